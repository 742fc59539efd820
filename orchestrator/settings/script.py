"""`family: script`: a command of the user's as what a trial trains."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from protocol.recipe import FREE, Recipe
from protocol.script import Reports, ScriptPlan, filled, names_in, within

# What stands for something else than a searched or fixed key.
PLACES = {
    "folder": "of the trial's own, which is there and in which the command writes",
    "trial": "number",
    "seed": "of the trial, the same for every attempt, another for every trial",
    "study": "name",
    "ranks": "processes of the trial",
}


class ScriptSettings(BaseModel):
    """A command of the user's, which `family: script` runs as every trial."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str | list[str] = Field(
        description="what is run, without a shell; {key} is a searched or fixed key's value, "
        "beside {folder}, {seed}, {trial}, {study} and {ranks}"
    )
    workdir: Annotated[str, FREE] = Field(description="the folder in which it is run")
    launch: Literal["torchrun", "plain"] = Field(
        "torchrun",
        description="torchrun: one process a rank, in the environment that torchrun makes; "
        "plain: one process, to which all devices of the trial are shown",
    )
    report: Annotated[Reports, FREE] = Field(
        Reports(), description="where metrics are read; without it the command reports them itself"
    )
    resume: Annotated[str | list[str], FREE] = Field(
        [],
        description="further arguments where a trial goes on, if the file that they name in "
        "{folder} is there; of a pattern the latest",
    )
    checkpoints: Annotated[list[str], FREE] = Field(
        ["**/*.ckpt", "**/*.pt", "**/*.pth", "**/*.safetensors"],
        description="patterns of the files in {folder} that keep.best_trials counts as checkpoints",
    )
    pictures: Annotated[list[str], FREE] = Field(
        [], description="patterns of PNG files in {folder}, to be shown at the trial's end"
    )
    signal: Annotated[Literal["SIGTERM", "SIGINT", "SIGUSR1", "SIGUSR2"], FREE] = Field(
        "SIGTERM", description="by which it is asked to stop"
    )
    stop_seconds: Annotated[float, FREE] = Field(
        60.0, gt=0, description="for it to save and leave once it is asked to; then it is killed"
    )

    @property
    def seeded(self) -> bool:
        """Whether the command hears of the trial's seed."""
        return "seed" in names_in(split(self.command))

    @field_validator("checkpoints", "pictures")
    @classmethod
    def _within(cls, patterns: list[str]) -> list[str]:
        return within(patterns)

    @field_validator("command")
    @classmethod
    def _something(cls, command: str | list[str]) -> str | list[str]:
        if not split(command):
            raise ValueError("expected a command")
        return command


def split(command: str | list[str]) -> list[str]:
    """The words of a command, as a shell splits them.

    Raises:
        ValueError: a quotation is not closed.
    """
    return shlex.split(command) if isinstance(command, str) else list(command)


def script_plan(
    script: ScriptSettings,
    recipe: Recipe,
    places: Mapping[str, Any],
) -> ScriptPlan:
    """What an attempt is to run.

    Args:
        script: the settings.
        recipe: of the trial.
        places: the values of `PLACES`.
    """

    def value(name: str) -> str:
        return spelled(places[name] if name in PLACES else recipe.given.get(name, ""))

    return ScriptPlan(
        command=filled(split(script.command), value),
        workdir=script.workdir,
        folder=str(places["folder"]),
        launch=script.launch,
        report=_filled_report(script.report, value),
        resume=filled(split(script.resume), value),
        checkpoints=script.checkpoints,
        pictures=script.pictures,
        signal=script.signal,
        stop_seconds=script.stop_seconds,
    )


def _filled_report(report: Reports, value: Any) -> Reports:
    """The files with placeholders filled in; braces of a regular expression are its own."""
    names = ("csv", "jsonl", "tensorboard")
    given = {name: getattr(report, name) for name in names if getattr(report, name)}
    return report.model_copy(
        update={name: filled([text], value)[0] for name, text in given.items()}
    )


def spelled(value: Any) -> str:
    """A value as a command line has it, and as the settings do: true, false, null."""
    match value:
        case bool():
            return str(value).lower()
        case None:
            return "null"
        case float():
            return repr(value)
    return str(value)
