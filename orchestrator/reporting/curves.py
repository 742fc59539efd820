"""The curves of trials that have ended, drawn while their slots train the next ones.

What is to be drawn is seen from the files: a history.csv that is younger than its history.png. So
what a kill leaves undrawn is drawn when the study goes on.
"""

from __future__ import annotations

from orchestrator.launcher.base import Attempt, Launcher
from protocol.doors import Call
from protocol.folders import RunFolder, TrialFolder

AT_ONCE = 20  # trials that a process draws


class Curves:
    """Has one process at a time draw, for which nobody waits.

    Args:
        wanted: whether the study draws anything.
    """

    def __init__(self, launcher: Launcher, *, wanted: bool) -> None:
        self._launcher = launcher
        self._wanted = wanted
        self._due: list[TrialFolder] = []
        self.drawing: list[Attempt] = []  # at most one

    def take(self, trial: TrialFolder) -> None:
        """Have a trial's curves drawn if there is anything new to draw, once its ranks are gone."""
        if self._wanted and any(_undrawn(run) for run in trial.runs()):
            self._due.append(trial)

    def look(self) -> bool:
        """Start on what is due once nothing is being drawn; whether there is anything left."""
        self.drawing = [attempt for attempt in self.drawing if attempt.poll() is None]
        if self._due and not self.drawing:
            some, self._due = self._due[:AT_ONCE], self._due[AT_ONCE:]
            folders = [str(trial.path.resolve()) for trial in some]
            self.drawing = [self._launcher.begin(Call.DRAW_CURVES, {"folders": folders})]
        return bool(self.drawing)

    def stop(self) -> None:
        """Leave the rest for the next time."""
        self._due.clear()
        for attempt in self.drawing:
            attempt.kill()
        self.drawing = []


def _undrawn(run: RunFolder) -> bool:
    try:
        told = run.history.stat().st_mtime_ns
    except FileNotFoundError:
        return False
    try:
        return run.history_curve.stat().st_mtime_ns < told
    except FileNotFoundError:
        return True
