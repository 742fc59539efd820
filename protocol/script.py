"""What one attempt of `family: script` has to run, and where it finds what that reports."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCRIPT = "script"  # the family whose trials are commands of the user's
_PLACEHOLDER = re.compile(r"{{(\w+)}}|{(\w+)}")  # the first is a word in braces, to be left

# The environment of a trial's processes: see integrations/tomostudy_report.py.
REPORT_VARIABLE = "TOMOSTUDY_REPORT"  # the file that its reports are appended to
STOP_VARIABLE = "TOMOSTUDY_STOP"  # the file that is there once the trial is to stop
TRIAL_VARIABLE = "TOMOSTUDY_TRIAL"  # the trial's folder: by it what it left running is known


class Reports(BaseModel):
    """Where a command's metrics are read, where it does not report them itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    csv: str | None = Field(
        None, description="a file with a header, which may be a pattern; relative to {folder}"
    )
    jsonl: str | None = Field(
        None, description="a file with one JSON object a line; relative to {folder}"
    )
    tensorboard: str | None = Field(
        None, description="a folder with event files; relative to {folder}"
    )
    stdout: list[str] = Field(
        [],
        description="regular expressions over what rank 0 prints, whose named groups are metrics, "
        "and `epoch`",
    )
    epoch: str = Field(
        "epoch",
        description="the column or key that counts epochs; without it reports are counted, of "
        "TensorBoard the distinct steps",
    )
    metrics: list[str] = Field(
        [], description="of which one that is NaN or infinite ends the trial; []: every one"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_expression(cls, given: object) -> object:
        if isinstance(given, dict) and isinstance(given.get("stdout"), str):
            return {**given, "stdout": [given["stdout"]]}
        return given

    @property
    def told(self) -> str:
        """Where that is, in words; empty where the command reports by itself."""
        file = self.csv or self.jsonl or self.tensorboard
        return f"{file} in its folder" if file else "what it prints" if self.stdout else ""

    @model_validator(mode="after")
    def _one_place(self) -> Reports:
        given = [name for name in ("csv", "jsonl", "tensorboard", "stdout") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"expected one place, found {' and '.join(given)}")
        for expression in self.stdout:
            try:
                groups = re.compile(expression).groupindex
            except re.error as error:
                raise ValueError(f"{expression!r} is no regular expression: {error}") from None
            if not groups:
                raise ValueError(
                    f"{expression!r} has no named group; write (?P<val_psnr>[\\d.]+) where the "
                    "number stands"
                )
        return self


class ScriptPlan(BaseModel):
    """The command of one attempt, every placeholder filled in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: list[str]
    workdir: str
    folder: str  # the script's own, in the trial's
    launch: Literal["torchrun", "plain"]
    report: Reports
    resume: list[str] = []  # more arguments where the trial goes on
    checkpoints: list[str] = []  # patterns of files in `folder`
    pictures: list[str] = []  # likewise
    signal: str = "SIGTERM"
    stop_seconds: float = 60.0

    @model_validator(mode="before")
    @classmethod
    def _of_before(cls, given: object) -> object:
        """Plans on disk may say `epochs` here too, as the recipe does."""
        if isinstance(given, dict) and "epochs" in given:
            return {key: value for key, value in given.items() if key != "epochs"}
        return given

    @field_validator("checkpoints", "pictures")
    @classmethod
    def _within(cls, patterns: list[str]) -> list[str]:
        return within(patterns)


def within(patterns: list[str]) -> list[str]:
    """The patterns, which lead nowhere out of a folder.

    Raises:
        ValueError: one does.
    """
    for pattern in patterns:
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or not pattern:
            raise ValueError(f"{pattern!r} leads out of {{folder}}; expected a pattern within it")
    return patterns


def matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The files in a folder that match a pattern at least, the latest last."""
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    return sorted(found, key=lambda path: (path.stat().st_mtime, path))


def matching_path(pattern: str) -> list[Path]:
    """The same of the pattern of a whole path."""
    path = Path(pattern)
    return matching(Path(path.anchor), [str(path.relative_to(path.anchor))])


def names_in(words: Sequence[str]) -> list[str]:
    """The names of all placeholders, each once."""
    found = (name for word in words for _, name in _PLACEHOLDER.findall(word))
    return list(dict.fromkeys(filter(None, found)))


def filled(words: Sequence[str], value: Callable[[str], str]) -> list[str]:
    """The words with every placeholder replaced; one that was nothing else, and is empty, goes.

    Braces doubled around a word are braces: {{x}} becomes {x}.
    """

    def replaced(found: re.Match[str]) -> str:
        return value(found[2]) if found[2] else f"{{{found[1]}}}"

    done = [_PLACEHOLDER.sub(replaced, word) for word in words]
    return [new for new, word in zip(done, words, strict=True) if new or not word]
