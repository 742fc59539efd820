"""The settings of a study, validated: every key, its type, its range and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictInt,
    Tag,
    field_validator,
    model_validator,
)

from orchestrator.launcher.settings import LauncherSettings
from orchestrator.settings.parallel import Parallel
from orchestrator.settings.script import ScriptSettings
from protocol.objective import Objective
from protocol.recipe import FREE, is_whole


class Section(BaseModel):
    """Frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Scalar = bool | int | float | str | None


Number = StrictInt | Annotated[float, Field(strict=True, allow_inf_nan=False)]


When = dict[str, Scalar | list[Scalar]]


class Range(Section):
    """A searched number between `low` and `high`, both included."""

    # Optuna accepts a range that moves: each trial keeps the one that it was drawn from.
    low: Annotated[Number, FREE] = Field(
        description="the smallest value; whole numbers alone make a whole-number search"
    )
    high: Annotated[Number, FREE] = Field(description="the largest value")
    log: bool = Field(False, description="small values as often as large ones; low above 0")
    step: Annotated[Number, Field(gt=0)] | None = Field(
        None, description="between the values, counted from low; not beside log"
    )
    when: When = Field({}, description="searched only while these other keys have these values")

    @property
    def integer(self) -> bool:
        """Whole numbers in the file mean a whole-number search."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))

    def whole(self) -> Self:
        """The same range, its numbers written as whole ones where all of them are."""
        numbers = {name: getattr(self, name) for name in ("low", "high", "step")}
        given = {name: value for name, value in numbers.items() if value is not None}
        if any(value != int(value) for value in given.values()):
            return self
        return self.model_copy(update={name: int(value) for name, value in given.items()})

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range needs low above 0, found {self.low}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self


class Choices(Section):
    """A searched value out of a list."""

    choices: list[Scalar] = Field(min_length=1, description="the values, each once")
    when: When = Field({}, description="searched only while these other keys have these values")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.choices)) < len(self.choices):
            raise ValueError("a choice stands twice (1, 1.0 and true count as the same)")
        numbers = [c for c in self.choices if isinstance(c, int | float)]
        for choice in self.choices if numbers else []:
            if isinstance(choice, str) and re.fullmatch(r"[-+.\deE_]*\d[-+.\deE_]*", choice):
                raise ValueError(f"{choice!r} is text among numbers; write it without quotes")
        if any(value != value for value in self.choices):
            raise ValueError("NaN cannot be a choice")
        return self


def _kind_of_search(value: Any) -> str:
    listed = "choices" in value if isinstance(value, dict) else isinstance(value, Choices)
    return "choices" if listed else "range"


Searched = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Choices, Tag("choices")],
    Discriminator(_kind_of_search),
]


@dataclass(frozen=True, init=False)
class Of:
    """Which samplers or pruners an option belongs to."""

    kinds: tuple[str, ...]

    def __init__(self, *kinds: str) -> None:
        object.__setattr__(self, "kinds", kinds)


class SamplerSettings(Section):
    """Which sampler proposes, and its options; an option must belong to the sampler."""

    kind: Literal["tpe", "random", "cmaes", "gp", "grid", "qmc"] = "tpe"
    n_startup_trials: Annotated[int | None, Of("tpe", "cmaes", "gp")] = Field(None, ge=0)
    n_ei_candidates: Annotated[int | None, Of("tpe")] = Field(None, ge=1)
    multivariate: Annotated[bool | None, Of("tpe")] = Field(None)
    group: Annotated[bool | None, Of("tpe")] = Field(
        None, description="on by itself when a key has `when`"
    )
    constant_liar: Annotated[bool | None, Of("tpe")] = Field(None)
    sigma0: Annotated[float | None, Of("cmaes")] = Field(None, gt=0)
    popsize: Annotated[int | None, Of("cmaes")] = Field(None, ge=4)
    deterministic_objective: Annotated[bool | None, Of("gp")] = Field(None)
    qmc_type: Annotated[Literal["sobol", "halton"] | None, Of("qmc")] = Field(None)
    scramble: Annotated[bool | None, Of("qmc")] = Field(None)

    @model_validator(mode="after")
    def _own_options(self) -> Self:
        _refuse_foreign_options(self)
        if self.group and self.multivariate is False:
            raise ValueError("`group` needs `multivariate`")
        return self


class PrunerSettings(Section):
    """Which pruner stops hopeless trials; steps are epochs, of wilcoxon folds."""

    kind: Literal[
        "median",
        "percentile",
        "asha",
        "hyperband",
        "threshold",
        "patient",
        "wilcoxon",
        "none",
    ] = "median"
    n_startup_trials: Annotated[int | None, Of("median", "percentile")] = Field(None, ge=0)
    n_warmup_steps: Annotated[int | None, Of("median", "percentile", "threshold")] = Field(
        None, ge=0
    )
    interval_steps: Annotated[int | None, Of("median", "percentile", "threshold")] = Field(
        None, ge=1
    )
    n_min_trials: Annotated[int | None, Of("median", "percentile")] = Field(None, ge=1)
    percentile: Annotated[float | None, Of("percentile")] = Field(None, ge=0, le=100)
    min_resource: Annotated[int | None, Of("asha", "hyperband")] = Field(None, ge=1)
    max_resource: Annotated[int | None, Of("hyperband")] = Field(None, ge=1)
    reduction_factor: Annotated[int | None, Of("asha", "hyperband")] = Field(None, ge=2)
    min_early_stopping_rate: Annotated[int | None, Of("asha")] = Field(None, ge=0)
    lower: Annotated[float | None, Of("threshold")] = Field(None)
    upper: Annotated[float | None, Of("threshold")] = Field(None)
    patience: Annotated[int | None, Of("patient")] = Field(None, ge=0)
    min_delta: Annotated[float | None, Of("patient")] = Field(None, ge=0)
    p_threshold: Annotated[float | None, Of("wilcoxon")] = Field(None, ge=0, le=1)
    n_startup_steps: Annotated[int | None, Of("wilcoxon")] = Field(None, ge=0)

    @model_validator(mode="after")
    def _own_options(self) -> Self:
        _refuse_foreign_options(self)
        if self.kind == "threshold" and self.lower is None and self.upper is None:
            raise ValueError("the threshold pruner needs `lower` or `upper`")
        return self


def _refuse_foreign_options(section: SamplerSettings | PrunerSettings) -> None:
    for key in section.model_fields_set - {"kind"}:
        metadata = type(section).model_fields[key].metadata
        users = next(item.kinds for item in metadata if isinstance(item, Of))
        if getattr(section, key) is not None and section.kind not in users:
            raise ValueError(
                f"`{key}` is an option of {' and '.join(users)}, not of {section.kind}"
            )


def options_of(section: SamplerSettings | PrunerSettings) -> dict[str, Any]:
    """The options that were set, as keyword arguments."""
    return section.model_dump(exclude={"kind"}, exclude_none=True)


class StorageSettings(Section):
    """Where the study is kept; without a URL in runs/<study>/study.db."""

    url: str | None = Field(None, description="another database, as SQLAlchemy spells it")
    patience: float = Field(
        3600.0,
        ge=0,
        description="seconds that a database which is locked, cannot be reached or has no room is "
        "waited for while trials train on",
    )

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        variable = r"(?!\$\{\w+\}(?:[@&]|$))"
        credentials = rf"://[^/@:]*:{variable}[^@]+@"
        options = rf"[?&][^=&]*(?:password|passwd|pwd)[^=&]*={variable}[^&]"
        if url and re.search(f"{credentials}|{options}", url, re.IGNORECASE):
            raise ValueError(
                "the URL holds a password; put it into an environment variable and write "
                "${VARIABLE} in its place"
            )
        return url


class Keep(Section):
    """What stays on the disk: checkpoints, histories."""

    best_trials: int | None = Field(
        None, ge=1, description="only the best k trials keep checkpoints; null keeps all"
    )
    every_epochs: int | None = Field(None, ge=1, description="also keep every k-th epoch's")
    history_epochs: int = Field(
        5,
        ge=1,
        description="epochs between two writings of history.csv and history.png, which are at "
        "least two minutes apart",
    )


class Limits(Section):
    """When to give up waiting, and how often to try again."""

    hang_seconds: float = Field(1800.0, gt=0, description="without progress before a rank is hung")
    trial_timeout: float | None = Field(
        None,
        gt=0,
        description="seconds that one trial may train, over all its attempts; then it is pruned",
    )
    relaunches: int = Field(
        3, ge=0, description="times a trial whose processes were killed or hung is resumed"
    )
    same_failures: int = Field(
        3, ge=1, description="trials in a row with the same failure before the search stops"
    )
    checkpoint_seconds: float = Field(
        300.0, gt=0, description="of training that an interruption may cost"
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="GiB that one rank may take: of its GPU, or on a CPU beyond what the program "
        "itself holds when training begins; a trial that needs more runs out of memory",
    )


class TerminatorSettings(Section):
    """Optuna's terminator: whether more trials may bring less than the values' own error."""

    min_trials: int = Field(20, ge=2, description="complete trials before it is asked")
    error: float | None = Field(
        None,
        gt=0,
        description="of the objective, against which the regret bound is held; null: of the folds, "
        "or without folds the expected minimum model regret against its own median",
    )


class StopWhen(Section):
    """When a search ends before its budget; a larger `n_trials` overrules the rule."""

    value: float | None = Field(None, description="of the objective, once the best is as good")
    no_improvement: int | None = Field(
        None, ge=1, description="trials that have ended one after the other without a new best"
    )
    expected_gain_per_gpu_hour: float | None = Field(
        None,
        gt=0,
        description="of the best, below which it ends: what the latest half of the trials, ten at "
        "least, have gained for each hour that they had a device",
    )
    terminator: TerminatorSettings | None = None


class ParentSettings(Section):
    """Another study's trial, or a checkpoint; it is looked up once, when the study starts."""

    study: str | None = Field(
        None, min_length=1, description="a study beside this one, or the path of a study's folder"
    )
    trial: Literal["best"] | Annotated[StrictInt, Field(ge=0)] = Field(
        "best", description="of `study`: its best trial, or a trial's number"
    )
    checkpoint: str | None = Field(None, min_length=1, description="a .pth file instead")

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.study is None) == (self.checkpoint is None):
            raise ValueError("expected `study: NAME` or `checkpoint: FILE`, one of the two")
        if self.checkpoint is not None and self.trial != "best":
            raise ValueError("`trial` belongs to `study`, a checkpoint is of one trial alone")
        return self


class TrackingSettings(Section):
    """Weights & Biases, TensorBoard: off, or one run a trial."""

    wandb: Literal["off", "auto", "offline", "online"] = Field(
        "off", description="auto and online are offline without WANDB_API_KEY in the environment"
    )
    project: str = Field("tomostudy", description="the W&B project")
    entity: str | None = Field(None, description="the W&B user or team; null: the key's own")
    tensorboard: bool = Field(False, description="event files in runs/<study>/tensorboard")

    @property
    def used(self) -> bool:
        """Whether trials are mirrored to anything."""
        return self.wandb != "off" or self.tensorboard


class NotifySettings(Section):
    """Whom to tell when the search ends, a trial fails, or one is the best so far."""

    command: str | None = Field(
        None, description="of the shell; hears TOMOSTUDY_TEXT, and JSON at its input"
    )
    url: str | None = Field(
        None, description="a webhook's, as ${VARIABLE} of the environment: it is a secret"
    )
    of: list[Literal["end", "failure", "best"]] = Field(
        ["end", "failure", "best"], description="what is told"
    )

    @field_validator("url")
    @classmethod
    def _from_the_environment(cls, url: str | None) -> str | None:
        if url is not None and not re.fullmatch(r"\$\{\w+\}", url):
            raise ValueError(
                "the URL is a secret; put it into an environment variable and write "
                "${VARIABLE} in its place"
            )
        return url

    @property
    def variable(self) -> str | None:
        """Of the environment, which holds the URL."""
        return None if self.url is None else self.url[2:-1]

    @property
    def used(self) -> bool:
        """Whether anybody is told anything."""
        return bool(self.of) and (self.command is not None or self.url is not None)


class Deviation(Section):
    """Where a preset differs from the published recipe; it changes nothing."""

    published: str
    ours: str
    why: str


class Settings(Section):
    """Everything a study is asked to do."""

    preset: Annotated[str, FREE] = Field(description="a name in studies/, or a .yml file")
    family: str = Field(
        description="a name in models/, one that an installed package offers, "
        "path/to/file.py:ClassName, or script"
    )
    script: ScriptSettings | None = None
    objective: Objective
    data: dict[str, Any] = Field({}, description="where the data are and what of them is used")
    parent: ParentSettings | None = None
    recipe: dict[str, Any] = Field({}, description="how trials train: the values that are fixed")
    search: dict[str, Searched] = Field(
        {}, description="how trials train: the keys that are searched, each a range or choices"
    )
    enqueue: Annotated[list[dict[str, Scalar]], FREE] = Field([], description="points to try first")
    deviations: Annotated[dict[str, Deviation], FREE] = Field(
        {}, description="where a preset differs from the published recipe, and why; for readers"
    )
    n_trials: Annotated[int, FREE] = Field(
        20, ge=1, description="trials of the whole study, over all its runs"
    )
    timeout: Annotated[float | None, FREE] = Field(
        None, gt=0, description="seconds of searching in the whole study, over all its runs"
    )
    stop_when: Annotated[StopWhen, FREE] = StopWhen()
    folds: int = Field(
        1, ge=1, description="above 1 a trial is cross-validated: its value is the mean over folds"
    )
    seed: int = Field(0, ge=0, description="of everything random: sampler, weights, order, noise")
    deterministic: Annotated[bool, FREE] = Field(
        False,
        description="have GPUs compute the same bits from the same numbers, which may be slower; "
        "CPUs do anyway",
    )
    sampler: Annotated[SamplerSettings, FREE] = SamplerSettings()
    pruner: Annotated[PrunerSettings, FREE] = PrunerSettings()
    devices: Annotated[Literal["auto", "cpu"] | list[str], FREE] = Field(
        "auto", description="auto: all GPUs, else the CPU; or a list such as [cuda:0, cuda:1]"
    )
    yield_to_others: Annotated[bool, FREE] = Field(
        False,
        description="begin no trial on a GPU that somebody else's process uses, until it is free",
    )
    parallel: Parallel = Parallel()
    parallel_trials: Annotated[Literal["auto"] | int, FREE] = Field(
        "auto",
        description="trials at a time; auto: as many as fit on the GPUs, on CPUs one per 8 cores",
    )
    launcher: Annotated[LauncherSettings, FREE] = LauncherSettings()
    threads: Annotated[Literal["auto"] | int, FREE] = Field(
        "auto",
        description="CPU threads of one rank, on which the last bits of sums depend; auto: a share "
        "of the cores, at most OMP_NUM_THREADS, and as many as when the study began",
    )
    storage: Annotated[StorageSettings, FREE] = StorageSettings()
    keep: Annotated[Keep, FREE] = Keep()
    limits: Annotated[Limits, FREE] = Limits()
    pictures: Annotated[int, FREE] = Field(
        4, ge=0, description="validation samples drawn at a trial's end"
    )
    report: Annotated[bool, FREE] = Field(
        True, description="write report.html when a search has ended"
    )
    tracking: Annotated[TrackingSettings, FREE] = TrackingSettings()
    notify: Annotated[NotifySettings, FREE] = NotifySettings()

    @field_validator("search")
    @classmethod
    def _whole(cls, search: dict[str, Range | Choices]) -> dict[str, Range | Choices]:
        """1e1 to 1e3 is a float's range to YAML: of a whole-number key it is read as whole."""
        return {
            key: spec.whole() if isinstance(spec, Range) and is_whole(key) else spec
            for key, spec in search.items()
        }

    @property
    def scripted(self) -> bool:
        """Whether trials are a command of the user's."""
        return self.script is not None

    @field_validator("devices")
    @classmethod
    def _known_devices(cls, devices: str | list[str]) -> str | list[str]:
        for device in devices if isinstance(devices, list) else []:
            if not re.fullmatch(r"cpu|cuda:\d+", device):
                raise ValueError(f"{device!r} is no device; write cpu or cuda:0, cuda:1, …")
        if isinstance(devices, list) and (not devices or len(set(devices)) < len(devices)):
            raise ValueError("expected one or more devices, each once")
        return devices

    @field_validator("parallel_trials", "threads")
    @classmethod
    def _at_least_one(cls, value: str | int) -> str | int:
        if isinstance(value, int) and value < 1:
            raise ValueError("expected auto or a number from 1")
        return value
