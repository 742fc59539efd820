"""The side of whoever asks: post a request, and have it taken up, whoever holds the study."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from orchestrator.launcher.open import open_launcher
from orchestrator.settings.checks import Checked, check_with_family
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import Settings
from orchestrator.steering.changing import Check
from orchestrator.steering.requests import (
    Answered,
    Request,
    ask_for,
    pending,
    read_answers,
    withdraw,
)
from orchestrator.steering.steering import Steering
from orchestrator.study.holding.lock import (
    StudyLock,
    holder_of,
    live_holder,
    living_holder,
    refuse_holder_elsewhere,
)
from orchestrator.study.storage import open_study
from orchestrator.study.study_file import read_study_file
from protocol.errors import SettingsError, StudyInUse, UserError
from protocol.folders import StudyFolder

_LOOK_SECONDS = 0.1  # between looks for an answer
_HOLDER_SECONDS = 1.0  # between looks whether somebody holds the study
_PATIENCE_SECONDS = 60.0  # with a holder of an earlier version, which may take nothing up
_WAIT_SECONDS = 5.0  # after which it is said that the request waits


def ask(folder: StudyFolder, request: Request, say: Callable[[str], None]) -> str:
    """Have a request taken up; the answer.

    Args:
        folder: the study's.
        request: to it.
        say: tells people a sentence.

    Raises:
        UserError: it is refused, or whoever holds the study does not answer.
    """
    if not folder.settings.exists():
        raise SettingsError(f"there is no study {folder.name!r} in {folder.path.parent}")
    ask_for(folder, request)
    answered = _answer(folder, request, say)
    if answered.refused:
        raise UserError(answered.answer)
    return answered.answer


def _answer(folder: StudyFolder, request: Request, say: Callable[[str], None]) -> Answered:
    began = tried = time.monotonic()
    looked, told = 0.0, False
    while True:
        answered = _found(folder, request)
        if answered is not None:
            return answered
        now = time.monotonic()
        overdue = now - tried > _PATIENCE_SECONDS
        if overdue or now - looked > _HOLDER_SECONDS:
            looked = now
            if not folder.settings.exists():
                raise UserError(f"the study {folder.name!r} was deleted meanwhile")
            holder = live_holder(folder.lock)
            # One that cannot be looked at from here counts as alive until the lock says otherwise.
            if overdue or holder_of(folder) is None:
                tried = now
                in_use = _take_up_alone(folder, say)
                steered = holder is not None and holder.steered
                if overdue and in_use and not steered and withdraw(folder, request):
                    raise UserError(
                        f"withdrawn, as nobody took the request up in {_PATIENCE_SECONDS:g} s, "
                        f"as by an earlier version; {in_use}"
                    )
            elif holder is not None and now - began > _WAIT_SECONDS and not told:
                told = True
                say(
                    f"the request waits: process {holder.pid} on {holder.host} prepares a search, "
                    "or is at a long step; ^C leaves it to be taken up"
                )
        time.sleep(_LOOK_SECONDS)


def _found(folder: StudyFolder, request: Request) -> Answered | None:
    return next((line for line in read_answers(folder) if line.id == request.id), None)


def _take_up_alone(folder: StudyFolder, say: Callable[[str], None]) -> StudyInUse | None:
    """Take every request up, holding the study; why not, where somebody else does."""
    try:
        with StudyLock(folder.lock, say):
            refuse_holder_elsewhere(folder)
            _take_all(folder)
    except StudyInUse as in_use:
        return in_use
    return None


def _take_all(folder: StudyFolder) -> None:
    steering = Steering(folder, stop=None)
    steering.take_all()
    if not pending(folder):
        return
    known = read_study_file(folder)
    assert known is not None, "there is a study"
    study = open_study(
        folder,
        known.settings.storage.url,
        known.settings.objective.direction,
        identity=known.identity,
    )
    steering.open(study, checking(folder))
    steering.take_all()


def checking(folder: StudyFolder) -> Check:
    """Have the family look at settings where no search has it at hand."""

    def check(settings: Settings, layers: Layers) -> Checked:
        with contextlib.closing(
            open_launcher(folder.path / "steering.log", settings.family, trains=False)
        ) as launcher:
            return check_with_family(settings, layers, launcher, lambda: None)

    return check


def wait_for_end(folder: StudyFolder, say: Callable[[str], None]) -> None:
    """Until nobody holds the study any more, or whoever did is dead."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while holder_of(folder) is not None:
        if time.monotonic() > deadline:  # it may have been killed on its host
            if living_holder(folder.lock, say) is None:
                return
            deadline = time.monotonic() + _PATIENCE_SECONDS
        time.sleep(_HOLDER_SECONDS / 2)
