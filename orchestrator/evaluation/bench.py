"""Has the training half judge and score, and shows how far it is."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rich.console import Console

from orchestrator.launcher.open import open_launcher
from protocol.doors import Call
from protocol.objective import Objective


class EvaluationBench:
    """A launcher of one command, and its line on the screen."""

    def __init__(self, console: Console, family: str, device: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="tomostudy-")
        place = Path(self._folder.name)
        self._progress = place / "progress"
        # Each batch of proposals is scored by a process of its own, which is to start at once: the
        # family's module imports its scorer.
        self._launcher = open_launcher(place / "log", family, calls=(Call.JUDGE,), trains=False)
        self._status = console.status("loading")
        self._device = device

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
        self._launcher.close()
        self._folder.cleanup()

    def say(self, word: str) -> None:
        """Show what is being done."""
        self._status.update(word)

    def judge(
        self,
        run: JudgedRun,
        split: str,
        objective: Objective,
        pictures: Path,
        parameters: Mapping[str, Any] | None,
    ) -> dict[str, Any]:
        """What `Call.JUDGE` says of one training."""
        arguments = {
            "checkpoint": str(run.checkpoint),
            "split": split,
            "objective": objective.model_dump(),
            "store": str(run.store.absolute()),
            "pictures": str(pictures.absolute()),
            "progress": str(self._progress),
            "device": self._device,
            "parameters": parameters,
            "prefix": run.prefix,
        }
        return self._call(Call.JUDGE, arguments, run)

    def tuning(self, run: JudgedRun) -> dict[str, Any]:
        """What `Call.TUNING` says of one training."""
        arguments = {
            "checkpoint": str(run.checkpoint),
            "store": str(run.store.absolute()),
            "progress": str(self._progress),
            "device": self._device,
        }
        return self._call(Call.TUNING, arguments, run)

    def score(
        self, scorer: str, tasks: Sequence[Any], points: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """What `Call.SCORE` says of some points."""
        arguments = {"scorer": scorer, "tasks": tasks, "candidates": points}
        found = self._launcher.call(Call.SCORE, arguments)
        scores: list[dict[str, Any]] = found["scores"]
        return scores

    def _call(self, function: str, arguments: dict[str, Any], run: JudgedRun) -> dict[str, Any]:
        whose = "" if run.fold is None else f"fold {run.fold}: "

        def show_progress() -> None:
            if self._progress.exists():
                self.say(whose + self._progress.read_text())

        return self._launcher.call(function, arguments, show_progress)


@dataclass(frozen=True)
class JudgedRun:
    """One training to judge: the trial's only one, or that of a fold."""

    fold: int | None
    checkpoint: Path
    store: Path  # for what is dear to compute

    @property
    def prefix(self) -> str:
        """Of its pictures' names."""
        return "" if self.fold is None else f"fold{self.fold}_"
