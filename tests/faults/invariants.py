"""What must hold of a study at its end, whatever was done to it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from protocol.errors import CheckpointError
from protocol.messages import Ending, Started, Validated, load_outcome
from tests.studio import Studio
from worker.training.checkpoint import read_checkpoint

_TOLD_TWICE = {
    "values": "SELECT trial_id FROM trial_values GROUP BY trial_id HAVING COUNT(*) > 1",
    "steps": "SELECT trial_id FROM trial_intermediate_values "
    "GROUP BY trial_id, step HAVING COUNT(*) > 1",
    "numbers": "SELECT number FROM trials GROUP BY study_id, number HAVING COUNT(*) > 1",
}

_DAMAGED = "damaged"  # instead of a digest


@dataclass(frozen=True)
class Result:
    """What one trial came to: all that must not depend on faults."""

    parameters: dict[str, Any]
    state: str
    value: float | None
    curve: dict[int, float]
    digests: dict[Path, str]  # of what training decides of its checkpoints


def results(studio: Studio) -> list[Result]:
    """Of every trial, by number."""
    return [
        Result(
            parameters=trial.params,
            state=trial.state.name,
            value=trial.value,
            curve=trial.intermediate_values,
            digests=_digests(studio, trial.number, complete=trial.state is TrialState.COMPLETE),
        )
        for trial in studio.trials()
    ]


def _digests(studio: Studio, number: int, *, complete: bool) -> dict[Path, str]:
    """Behind a decision to prune ranks train on for a while, into `last.pth`."""
    runs = studio.trial(number).runs()
    paths = [run.best for run in runs] + [run.last for run in runs if complete]
    return {path.relative_to(studio.folder.path): _digest(path) for path in paths if path.exists()}


def _digest(path: Path) -> str:
    try:
        return read_checkpoint(path)[1]
    except CheckpointError:
        return _DAMAGED


def problems(
    studio: Studio, undisturbed: list[Result], *, falls_back: bool, spoilt: Collection[Path]
) -> Iterator[str]:
    """Every invariant that does not hold.

    Args:
        undisturbed: what the trials come to without faults; of one that was given a NaN, which
            comes to nothing, only the parameters are compared.
        falls_back: whether a checkpoint was damaged, so that an attempt may begin before another.
        spoilt: files that may be damaged or missing; if they are not, they must be right.
    """
    yield from _told_once(studio)
    found = results(studio)
    if len(found) != len(undisturbed):
        yield f"{len(found)} trials instead of {len(undisturbed)}"
    for number, (got, expected) in enumerate(zip(found, undisturbed, strict=False)):
        if _diverged(studio, number):
            if (got.parameters, got.state) != (expected.parameters, "PRUNED"):
                yield f"trial {number} diverged, and is {got}"
        elif not _equal(got, expected, spoilt):
            yield f"trial {number} is\n  {got}\ninstead of\n  {expected}"
        yield from _only_forward(studio, number, falls_back=falls_back)
    yield from _left_behind(studio)


def _equal(got: Result, expected: Result, spoilt: Collection[Path]) -> bool:
    lost = {path for path in spoilt if got.digests.get(path, _DAMAGED) == _DAMAGED}
    return _without(lost, got) == _without(lost, expected)


def _without(lost: set[Path], result: Result) -> Result:
    left = {path: digest for path, digest in result.digests.items() if path not in lost}
    return replace(result, digests=left)


def unfit(studio: Studio, spoilt: Collection[Path]) -> str:
    """What `verify` says, where it says more than that spoilt files are damaged."""
    code, output = studio.command("verify")
    places = tuple(f"{path}: " for path in spoilt)
    lines = [line for line in output.splitlines() if not line.startswith(places or "\0")]
    known = bool(spoilt) and len(lines) == 1 and " not fit, of " in lines[0]
    return "" if code == 0 or known else f"verify ends with code {code}: {output}"


def _diverged(studio: Studio, number: int) -> bool:
    outcome = load_outcome(studio.trial(number).outcome)
    return outcome is not None and outcome.ending is Ending.NONFINITE


def _told_once(studio: Studio) -> Iterator[str]:
    with contextlib.closing(sqlite3.connect(studio.folder.database)) as database:
        for what, query in _TOLD_TWICE.items():
            if twice := database.execute(query).fetchall():
                yield f"{what} were told twice, of {twice}"
    numbers = [trial.number for trial in studio.trials()]
    if numbers != list(range(len(numbers))):
        yield f"the numbers are {numbers}"
    if running := [trial.number for trial in studio.trials() if not trial.state.is_finished()]:
        yield f"trials {running} were left"


def _only_forward(studio: Studio, number: int, *, falls_back: bool) -> Iterator[str]:
    events = studio.events(number)
    validated = [(event.epoch, event.step) for event in events if isinstance(event, Validated)]
    if validated != sorted(set(validated)) or len({epoch for epoch, _ in validated}) < len(
        validated
    ):
        yield f"trial {number} was told the epochs and steps {validated}"
    starts = [event.resumed_step for event in events if isinstance(event, Started)]
    if starts != sorted(starts) and not falls_back:
        yield f"trial {number}'s attempts began at steps {starts}"


def _left_behind(studio: Studio) -> Iterator[str]:
    try:
        studio.wait_for_silence()
    except AssertionError as error:
        yield str(error)
    tracked = studio.folder.path / "wandb"
    for path in studio.path.glob("runs/**/.*"):
        if tracked not in path.parents:
            yield f"{path} was left behind"
