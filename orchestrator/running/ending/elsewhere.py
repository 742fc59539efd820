"""What others do to the study while it runs: the dashboard's buttons, or a notebook.

Nobody says so but the study itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import optuna

from orchestrator.running.session import Session
from orchestrator.running.trial import RunningTrial
from orchestrator.study.identity import name_now
from protocol.messages import Stop

_LOOK_SECONDS = 2.0  # between two looks


class Elsewhere:
    """Notices a study that is renamed and trials that are ended from outside."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._looked = 0.0
        self._name = session.study.study_name  # in the database

    def look(self, trials: Iterable[RunningTrial]) -> None:
        """Take note of what has changed, every few seconds.

        Raises:
            StudyGone: it was deleted.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        name = name_now(self._session.study)
        if name != self._name:
            self._name = name
            self._session.display.notice(
                f"the study was renamed to {name!r} in its database, as by the dashboard; here "
                f"it goes on as {self._session.name!r}, by which all commands know it"
            )
        for running in trials:
            if not running.ended_elsewhere and running.frozen.state.is_finished():
                self._ended(running)

    def guarded(self, running: RunningTrial, action: Callable[[], None]) -> None:
        """Do something to a trial that somebody else may end in the study at any time."""
        if running.ended_elsewhere:
            return
        try:
            action()
        except optuna.exceptions.UpdateFinishedTrialError:
            self._ended(running)

    def _ended(self, running: RunningTrial) -> None:
        running.ended_elsewhere = True
        state = running.frozen.state.name
        self._session.display.notice(
            f"trial {running.number} was ended as {state} from outside, and is stopped"
        )
        running.request_stop(Stop.INTERRUPT)
