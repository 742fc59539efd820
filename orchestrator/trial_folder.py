"""Every path under runs/. Part of the floor: nothing else spells these names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyFolder:
    """runs/<study>/"""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def database(self) -> Path:
        return self.path / "study.db"

    @property
    def settings(self) -> Path:
        """The settings in effect, and what was asked for on the command line."""
        return self.path / "study.yml"

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def clock(self) -> Path:
        """Seconds searched so far, over all the study's runs."""
        return self.path / "clock.json"

    @property
    def log(self) -> Path:
        """What the orchestrator did, and the traceback of a defect."""
        return self.path / "orchestrator.log"

    @property
    def artifacts(self) -> Path:
        """Pictures as the dashboard wants them."""
        return self.path / "artifacts"

    @property
    def best(self) -> Path:
        """A symbolic link to the best trial's folder."""
        return self.path / "best"

    def trial(self, number: int) -> TrialFolder:
        return TrialFolder(self.path / f"trial_{number}")

    def trials(self) -> list[TrialFolder]:
        """The trial folders that exist, by number."""
        found = [
            TrialFolder(path)
            for path in self.path.glob("trial_*")
            if path.name.removeprefix("trial_").isdigit()
        ]
        return sorted(found, key=lambda folder: folder.number)


@dataclass(frozen=True)
class TrialFolder:
    """runs/<study>/trial_<n>/"""

    path: Path

    @property
    def number(self) -> int:
        return int(self.path.name.removeprefix("trial_"))

    @property
    def plan(self) -> Path:
        """What to do; written by the orchestrator before an attempt is launched."""
        return self.path / "plan.json"

    @property
    def events(self) -> Path:
        """What happened; appended by the ranks, one JSON object a line."""
        return self.path / "events.jsonl"

    @property
    def outcome(self) -> Path:
        """How the trial ended; written by the orchestrator before the study is told."""
        return self.path / "outcome.json"

    @property
    def attempt(self) -> Path:
        """Process id and start time of the attempt's leader, to sweep what a crash left."""
        return self.path / "attempt.json"

    @property
    def stop(self) -> Path:
        """The orchestrator's request to stop at the next step; holds the reason."""
        return self.path / "stop"

    @property
    def best(self) -> Path:
        return self.path / "best.pth"

    @property
    def last(self) -> Path:
        return self.path / "last.pth"

    @property
    def previous(self) -> Path:
        """The checkpoint before `last`, used when `last` is damaged."""
        return self.path / "previous.pth"

    def epoch(self, epoch: int) -> Path:
        """A checkpoint kept because every k-th epoch was asked for."""
        return self.path / f"epoch_{epoch}.pth"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    def rank_log(self, rank: int) -> Path:
        return self.path / f"rank{rank}.log"

    def rendezvous(self, attempt: int) -> Path:
        """The file through which one attempt's ranks find each other."""
        return self.path / f".rendezvous_{attempt}"
