"""Taking requests up: by the orchestrator, or by a command that finds no orchestrator."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import optuna

from orchestrator.steering.pause import Pause, begin_pause, end_pause, read_pause
from orchestrator.steering.requests import (
    Answered,
    Request,
    What,
    pending,
    read_answers,
    read_request,
    record,
    take,
)
from orchestrator.steering.trials import mark
from protocol.errors import UserError
from protocol.folders import StudyFolder

_LOOK_SECONDS = 0.5
ENDED = "the study had ended already"
_UNREADABLE = "this version cannot tell what is asked for"


class Steering:
    """Requests to the study in `folder`, which this process holds.

    Args:
        folder: the study's.
        stop: has the search end; None of a command, which runs none.
    """

    def __init__(self, folder: StudyFolder, stop: Callable[[], None] | None) -> None:
        self._folder, self._stop = folder, stop
        self._pause = read_pause(folder)
        self._answered = {line.id for line in read_answers(folder)}
        self._looked = 0.0

    def refuse_stale(self) -> None:
        """Answer what was asked of an earlier run: that one has ended."""
        for path in pending(self._folder):
            request = read_request(path)
            if request is not None and request.what is What.STOP:
                self._take(path, None, stop=None)

    def look(self, study: optuna.Study | None = None) -> list[int]:
        """Take up what is asked for, twice a second at most.

        Args:
            study: as it is open; without it requests that need it wait.

        Returns:
            Numbers of trials that are to end.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        return self.take_all(study)

    def take_all(self, study: optuna.Study | None) -> list[int]:
        """The same at once."""
        marked = []
        for path in pending(self._folder):
            request = read_request(path)
            if request is not None and request.what is What.STOP_TRIAL and study is None:
                continue
            if (
                self._take(path, study, self._stop)
                and request is not None
                and request.trial is not None
            ):
                marked.append(request.trial)
        return marked

    def paused(self) -> Pause | None:
        """The pause that the study is in; one whose time is up ends."""
        pause = self._pause
        if pause is not None and pause.until is not None and time.time() >= pause.until:
            end_pause(self._folder)
            self._pause = None
        return self._pause

    def _take(
        self, path: Path, study: optuna.Study | None, stop: Callable[[], None] | None
    ) -> bool:
        """Act on a request, once; whether that was done."""
        taken = take(path)
        if taken is None:
            return False
        done = False
        if taken.stem not in self._answered:
            request, refused = read_request(taken), False
            try:
                answer = _UNREADABLE if request is None else self._act(request, study, stop)
                done = request is not None
            except UserError as error:
                answer, refused = str(error), True
            refused = refused or request is None
            line = Answered(id=taken.stem, request=request, answer=answer, refused=refused)
            record(self._folder, line)
            self._answered.add(taken.stem)
        taken.unlink(missing_ok=True)
        return done

    def _act(
        self, request: Request, study: optuna.Study | None, stop: Callable[[], None] | None
    ) -> str:
        match request.what:
            case What.STOP:
                if stop is None:
                    return ENDED
                stop()
                return "the search stops: every running trial saves a checkpoint at its next step"
            case What.PAUSE:
                self._pause = begin_pause(self._folder, request)
                return self._pause.told
            case What.RESUME:
                was = end_pause(self._folder)
                self._pause = None
                return "the study goes on" if was else "the study was not paused"
            case What.STOP_TRIAL:
                assert study is not None, "such requests wait for it"
                return mark(study, request)
