"""Taking requests up: by the orchestrator, or by a command that finds no orchestrator."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import optuna

from orchestrator.steering.changing import Check, change
from orchestrator.steering.ignoring import ignore
from orchestrator.steering.points import add
from orchestrator.steering.requests import (
    Answered,
    Request,
    What,
    pending,
    read_answers,
    read_request,
    record,
    sweep_drafts,
    take,
)
from orchestrator.steering.trials import mark
from orchestrator.study.standing.pause import Pause, begin_pause, end_pause, read_pause
from orchestrator.study.study_file import StudyFile, read_study_file
from protocol.errors import UserError
from protocol.folders import StudyFolder

_LOOK_SECONDS = 0.5
ENDED = "the study had ended already"
_UNREADABLE = "this version cannot tell what is asked for"
_OF_STUDIES = (What.STOP_TRIAL, What.ADD, What.IGNORE, What.SET)  # which need it open


class Steering:
    """Requests to the study in `folder`, which this process holds.

    Args:
        folder: the study's.
        stop: has the search end; None of a command, which runs none.
    """

    def __init__(self, folder: StudyFolder, stop: Callable[[], None] | None) -> None:
        self.folder, self._stop = folder, stop
        self._study: optuna.Study | None = None
        self._check: Check | None = None
        self._pause = read_pause(folder)
        self._answered = {line.id for line in read_answers(folder)}
        self._looked = 0.0
        sweep_drafts(folder)

    def open(self, study: optuna.Study, check: Check) -> None:
        """From now on requests are taken up that need the study; until then they wait.

        Args:
            study: as it is open.
            check: has the family look at settings.
        """
        self._study, self._check = study, check

    def refuse_stale(self) -> None:
        """Answer what was asked of an earlier run: that one has ended."""
        for path in pending(self.folder):
            request = read_request(path)
            if request is not None and request.what is What.STOP:
                self._take(path, stop=None)

    def look(self) -> list[Request]:
        """Take up what is asked for, twice a second at most.

        Returns:
            What was done of it.
        """
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return []
        self._looked = time.monotonic()
        return self.take_all()

    def take_all(self) -> list[Request]:
        """The same at once."""
        done = []
        for path in pending(self.folder):
            request = read_request(path)
            if self._study is None and request is not None and request.what in _OF_STUDIES:
                continue
            if self._take(path, self._stop) and request is not None:
                done.append(request)
        return done

    def paused(self) -> Pause | None:
        """The pause that the study is in; one whose time is up ends."""
        pause = self._pause
        if pause is not None and not pause.holds:
            end_pause(self.folder)
            self._pause = None
        return self._pause

    def _take(self, path: Path, stop: Callable[[], None] | None) -> bool:
        """Act on a request, once; whether that was done."""
        taken = take(path)
        if taken is None:
            return False
        done = False
        if taken.stem not in self._answered:
            request, refused = read_request(taken), False
            try:
                answer = _UNREADABLE if request is None else self._act(request, stop)
                done = request is not None
            except UserError as error:
                answer, refused = str(error), True
            refused = refused or request is None
            line = Answered(id=taken.stem, request=request, answer=answer, refused=refused)
            record(self.folder, line)
            self._answered.add(taken.stem)
        taken.unlink(missing_ok=True)
        return done

    def _act(self, request: Request, stop: Callable[[], None] | None) -> str:
        match request.what:
            case What.STOP:
                if stop is None:
                    return ENDED
                stop()
                return "the search stops: every running trial saves a checkpoint at its next step"
            case What.PAUSE:
                pause = Pause(since=request.time, who=request.who, until=request.until)
                self._pause = begin_pause(self.folder, pause)
                return self._pause.told
            case What.RESUME:
                was = end_pause(self.folder)
                self._pause = None
                return "the study goes on" if was else "the study was not paused"
            case _:
                return self._act_on_study(request)

    def _act_on_study(self, request: Request) -> str:
        study, check = self._study, self._check
        assert study is not None, "such requests wait for it"
        assert check is not None, "it is opened with one"
        match request.what:
            case What.ADD:
                return add(self.folder, study, self._known(), request)
            case What.IGNORE:
                return ignore(self.folder, study, request)
            case What.SET:
                return change(self.folder, study, self._known(), request, check)
            case _:
                return mark(study, request)

    def _known(self) -> StudyFile:
        known = read_study_file(self.folder)
        assert known is not None, "the study was opened by what it says"
        return known
