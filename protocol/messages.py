"""What crosses processes: plans go down, events go up, outcomes are settled. Part of the floor.

plan.json     written by the orchestrator, read by every rank; plans.jsonl has those of all attempts
events.jsonl  appended by the ranks, tailed by the orchestrator, who adds when they are gone
outcome.json  written by the orchestrator before it tells the study
"""

from __future__ import annotations

import contextlib
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from protocol.files import append_line, read_lines, write_text
from protocol.folders import TrialFolder
from protocol.objective import Objective
from protocol.recipe import FlatRecipe
from protocol.script import ScriptPlan

Schedule = Literal["1f1b", "gpipe", "device_map"]


class Message(BaseModel):
    """Frozen, keyword-only, and closed to unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class Plan(Message):
    """What one attempt at a trial has to do."""

    study: str
    study_identity: str = ""  # the study's token
    trial: int
    attempt: int  # 0 for the first launch
    seed: int  # of the trial: the same for every attempt
    family: str
    recipe: FlatRecipe
    data: dict[str, Any]
    objective: Objective
    searched: list[str] = []  # the recipe keys that the sampler chose
    folds: int = 1  # of a cross-validated trial: trained one after the other
    devices: list[str]  # one a rank: "cpu", "cuda:0"; with a device map all are the one rank's
    stages: int = 1  # devices that one copy of the model is cut for
    schedule: Schedule = "1f1b"  # of micro-batches through the stages
    threads: int  # CPU threads of one rank
    pictures: int = 4  # samples drawn from the validation split at the end
    checkpoint_seconds: float = 300.0  # of training that an interruption may cost
    checkpoint_epochs: int | None = None  # also keep every k-th epoch's
    digest_epochs: list[int] = []  # also those whose digest is to be told, whatever the time
    history_epochs: int = 5  # between two writings of the history
    hang_seconds: float = 1800.0  # without progress before a rank counts as hung
    micro_batch: int | None = None  # samples in one forward pass, where batch_size did not fit
    memory_gb: float | None = None  # that one rank may take, in units of 2³⁰ bytes
    surroundings: dict[str, str] = {}  # what else bits may depend on: processor, versions, commit
    deterministic: bool = False  # the same bits from the same numbers, on GPUs as well
    data_fingerprint: str = ""  # of the data that the study was begun with
    rehearsal: bool = False  # only as many steps as tell what training needs
    nodes: int | None = None  # of a cluster, over which the ranks are spread; None: no cluster
    interface: str | None = None  # of each node, through which ranks on several nodes meet
    script: ScriptPlan | None = None  # what is run, where that is a command of the user's

    @property
    def ranks(self) -> int:
        """Processes."""
        return 1 if self.mapped or self.alone else len(self.devices)

    @property
    def alone(self) -> bool:
        """Whether one process of the user's uses all devices, in whatever way."""
        return self.script is not None and self.script.launch == "plain"

    @property
    def mapped(self) -> bool:
        """Whether one process spreads the model over all devices."""
        return self.stages > 1 and self.schedule == "device_map"

    @property
    def device_count(self) -> int:
        """GPUs, or the machines whose CPUs are used."""
        return sum(device != "cpu" for device in self.devices) or self.nodes or 1

    def ranks_of(self, node: int) -> range:
        """The ranks that run on one of the nodes: each has as many, in order."""
        share = self.ranks // (self.nodes or 1)
        return range(node * share, (node + 1) * share)


class Stop(StrEnum):
    """Why a trial is asked to stop at its next step: by the orchestrator, or by its job."""

    PRUNED = "pruned"  # the pruner found it hopeless
    INTERRUPT = "interrupt"  # the user or the system wants the machine back
    TIMEOUT = "timeout"  # it has trained for as long as a trial may
    EXPIRED = "expired"  # its job's time is nearly up: it goes on in another
    DISPLACED = "displaced"  # the cluster wants its nodes back: it goes on elsewhere


class Ending(StrEnum):
    """How an attempt ended."""

    COMPLETED = "completed"  # all epochs, or early stopping
    PRUNED = "pruned"  # stopped because the pruner said so
    INTERRUPTED = "interrupted"  # stopped because the user or the system said so
    MOVED = "moved"  # a cluster took its place back, or the place failed
    CANCELLED = "cancelled"  # somebody ended it, or its job
    NONFINITE = "nonfinite"  # NaN or infinity
    MEMORY = "memory"  # ran out of memory
    INVALID = "invalid"  # a point of the search that the family refuses; never launched
    FAILED = "failed"  # an exception in the trial's code
    LOST = "lost"  # a process was killed from outside
    HUNG = "hung"  # no progress within the time-out
    OVERDUE = "overdue"  # trained for longer than a trial may


class EventBase(Message):
    time: float = Field(default_factory=time.time)  # seconds since the epoch
    attempt: int


class Launched(EventBase):
    """Rank 0's process is there: from now on the devices are held."""

    event: Literal["launched"] = "launched"
    devices: int  # GPUs, or machines whose CPUs are used


class Started(EventBase):
    """The ranks have met and the model is ready; a cross-validated trial starts every fold."""

    event: Literal["started"] = "started"
    ranks: int  # processes
    stages: int = 1  # of them that share one copy of the model
    epochs: int  # over all folds; 0 where nobody knows
    steps_per_epoch: int  # 0 likewise
    parameters: int  # trainable; 0 likewise
    resumed_step: int  # 0 for a fresh start

    @property
    def of_script(self) -> bool:
        """Whether a command of the user's has begun, whose first epoch has its start in it."""
        return self.parameters == 0


class Progressed(EventBase):
    """A look at training within an epoch, every few seconds."""

    event: Literal["progress"] = "progress"
    epoch: int  # counted from 1
    step: int  # optimiser steps since the trial began
    losses: dict[str, float]
    learning_rate: float
    gradient_norm: float


class Validated(EventBase):
    """An epoch is trained and validated; the same if it is once more, after an interruption.

    Digests are of what training alone decides in a checkpoint, neither times nor paths: equal
    digests of two runs mean equal bits.
    """

    event: Literal["validated"] = "validated"
    epoch: int  # counted from 1 over all folds; the step under which the study is told
    fold: int = 0
    step: int
    metrics: dict[str, float]  # means over all validation samples
    losses: dict[str, float]  # means over the epoch's training samples
    learning_rate: float
    seconds: float  # of the epoch in this attempt
    best: bool  # whether this is the fold's best so far, in `best.pth`
    last: bool = False  # whether nothing of the trial is left to train after it
    digest: str = ""  # of the trained epoch's `last.pth`, where one was due before it was validated
    best_digest: str = ""  # of `best.pth`, where this is the best


class NonFinite(EventBase):
    """A loss or gradient was NaN or infinite; the step was not taken."""

    event: Literal["nonfinite"] = "nonfinite"
    epoch: int
    step: int
    where: Literal["loss", "gradient", "validation"]
    ranks: list[int]  # whose own loss or layers made it so; all ranks for a shared gradient
    losses: dict[str, float]  # the terms on the first of those ranks
    tensors: list[str] = []  # names of parameters with non-finite gradients, a few


# By which others end a process; the rest it brings upon itself.
NO_ROOM = 28  # the exit code of a rank that found no room for its last event: the system's ENOSPC
FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Fault(StrEnum):
    """What an exception on a rank means for what follows; judged once, where it is caught."""

    DEFECT = "defect"  # of the trial's code
    SCRIPT = "script"  # of a user's command: it cannot be run, or tells nothing
    USER = "user"  # only the user can mend it, such as data that are gone
    RECIPE = "recipe"  # the family refuses this point of the search
    MEMORY = "memory"  # there was not enough of it
    LOADER = "loader"  # a process that loads data was killed from outside
    PEER = "peer"  # the rank only noticed the end of another
    DISK = "disk"  # no room, or no quota
    DEVICE = "device"  # the GPU takes no more work of anybody
    MACHINE = "machine"  # the ranks could not meet: no interface, no driver, no shared memory


class Failed(EventBase):
    """An exception on one rank."""

    event: Literal["failed"] = "failed"
    rank: int
    error: str  # the exception's type
    message: str
    traceback: str
    user_error: bool = False  # the user can mend it: no traceback is shown
    fault: Fault = Fault.DEFECT  # of version 0.2 and earlier `error` and `user_error` tell


class Stopped(EventBase):
    """The stop request was followed; `last.pth` holds the state."""

    event: Literal["stopped"] = "stopped"
    reason: Stop
    epoch: int
    step: int
    digest: str = ""  # of `last.pth`


class Measured(EventBase):
    """What one rank of a rehearsal needed."""

    event: Literal["measured"] = "measured"
    rank: int
    peaks: dict[str, int]  # bytes at most, by device
    available: dict[str, int]  # bytes before it began, by device
    seconds: float  # of an optimiser step


class Used(EventBase):
    """What one rank took since its last word of it: at the end of epochs, and at its own."""

    event: Literal["used"] = "used"
    rank: int
    peaks: dict[str, int]  # bytes at most since training began, by device
    joules: float | None = None  # by the devices, whoever used them; None where they do not tell


class Left(EventBase):
    """The attempt's processes are gone, and its devices free; appended by the orchestrator."""

    event: Literal["left"] = "left"
    ending: Ending
    reason: str


class Pictured(EventBase):
    """A picture was drawn."""

    event: Literal["pictured"] = "pictured"
    path: str  # relative to the trial's folder


class FoldFinished(EventBase):
    """One fold of a cross-validated trial is done; it is not trained again."""

    event: Literal["fold_finished"] = "fold_finished"
    fold: int
    epoch: int  # the last one, over all folds
    step: int
    early: bool
    best_epoch: int
    metrics: dict[str, float]  # of the fold's best epoch
    digest: str = ""  # of the fold's `last.pth`
    best_digest: str = ""  # of its `best.pth`
    best_lost: bool = False  # which was gone or damaged, and could not be made once more


class Finished(EventBase):
    """All epochs of all folds are done, or early stopping ended the trial."""

    event: Literal["finished"] = "finished"
    epoch: int
    step: int
    early: bool
    best_epoch: int  # with folds: of the best fold
    metrics: dict[str, float]  # of the best epoch; with folds: means over them
    digest: str = ""  # of `last.pth`; with folds: of their digests
    best_digest: str = ""  # of `best.pth`
    best_lost: bool = False  # which was gone or damaged; with folds: of one at least


Event = Annotated[
    Launched
    | Started
    | Progressed
    | Validated
    | NonFinite
    | Failed
    | Stopped
    | Measured
    | Used
    | Left
    | Pictured
    | FoldFinished
    | Finished,
    Field(discriminator="event"),
]
_EVENT: TypeAdapter[Event] = TypeAdapter(Event)
# What a power cut may take: pictures are drawn again then, and the end that they come before brings
# them to the disk with it.
_SMALL_LOSS = (Launched, Progressed, Used, Pictured)


def append_event(path: Path, event: Event) -> None:
    """Append one event to events.jsonl; what is acted on comes to the disk first."""
    append_line(path, event.model_dump_json(), sync=not isinstance(event, _SMALL_LOSS))


def parse_event(line: str) -> Event | None:
    """The event of one line, or None for a line that a kill has torn."""
    try:
        return _EVENT.validate_json(line)
    except ValidationError:
        return None


def read_events(path: Path) -> list[Event]:
    """Every whole event of the file; none when there is no file."""
    return read_lines(path, _EVENT.validate_json)


class Outcome(Message):
    """How a trial ended, once it has; settled before the study is told."""

    ending: Ending
    reason: str  # one sentence for people
    attempts: int
    value: float | None = None  # the objective at the best epoch; with folds: the mean of theirs
    epoch: int = 0  # the last validated one
    best_epoch: int = 0  # with folds: of the best fold
    step: int = 0
    metrics: dict[str, float] = {}  # of the best epoch; with folds: means over them
    folds: list[float] = []  # of a cross-validated trial: every fold's objective at its best epoch
    traceback: str = ""
    detail: dict[str, Any] = {}  # of a divergence: step, ranks, loss terms, parameters
    sha256: dict[str, str] = {}  # of the trial's files that do not change any more, by path


def save_message(path: Path, message: Message) -> None:
    """Write a plan or an outcome atomically."""
    write_text(path, message.model_dump_json(indent=2) + "\n")


def save_plan(folder: TrialFolder, plan: Plan) -> None:
    """Write the plan of a new attempt, and add it to those of the attempts before."""
    folder.path.mkdir(parents=True, exist_ok=True)
    append_line(folder.plans, plan.model_dump_json(exclude_defaults=True), sync=True)
    save_message(folder.plan, plan)


def load_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged.
    """
    return Plan.model_validate_json(path.read_bytes())


def latest_plan(folder: TrialFolder) -> Plan | None:
    """The plan of a trial's latest attempt, also where plan.json is damaged; None of none."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return load_plan(folder.plan)
    plans = load_plans(folder)
    return plans[-1] if plans else None


def load_plans(folder: TrialFolder) -> list[Plan]:
    """The plans of all attempts, in order; of version 0.2 the latest alone."""
    if folder.plans.exists():
        return read_lines(folder.plans, Plan.model_validate_json)
    with contextlib.suppress(FileNotFoundError, ValueError):
        return [load_plan(folder.plan)]
    return []


def load_outcome(path: Path) -> Outcome | None:
    """The settled outcome; None where the trial has not ended, or the file is damaged.

    What a damaged file said can be settled again from the events.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        return Outcome.model_validate_json(path.read_bytes())
    return None
