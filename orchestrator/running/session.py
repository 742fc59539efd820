"""What every run of trials goes through, whatever it runs them for.

Hold the folder, log, check with the family, cut the devices into slots, track, run, and turn a
full disk into a sentence.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna

from orchestrator.launcher.base import Launcher
from orchestrator.live import Display
from orchestrator.running.clock import Clock
from orchestrator.running.interrupts import Interrupts
from orchestrator.running.runner import Runner, Search, best_of
from orchestrator.running.slots import Slot, cpu_cores, cut_slots
from orchestrator.settings.checks import Checked, check_with_family
from orchestrator.settings.layers import Layers
from orchestrator.settings.schema import Settings
from orchestrator.study.lock import StudyLock
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder

log = logging.getLogger(__name__)

DONE, NOT_DONE, INTERRUPTED = 0, 1, 130


class StoppedEarly(Exception):
    """^C came before the first trial began."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run of trials ended."""

    interrupted: bool
    budget_spent: bool
    trouble: UserError | None  # what only the user can mend; every trial can be resumed


def refuse_confirmations(folder: StudyFolder) -> None:
    """Make sure that `folder` is not where the trials of another study are trained again.

    Raises:
        SettingsError: it is; names that study.
    """
    path = folder.path.absolute()
    confirmed = StudyFolder(path.parent)
    if confirmed.settings.exists() and confirmed.confirmations.path == path:
        raise SettingsError(
            f"{folder.path} holds trials of study {confirmed.name!r} that `confirm` trained again; "
            f"only `confirm --study_name {confirmed.name}` adds to them"
        )


@contextlib.contextmanager
def held(folder: StudyFolder) -> Iterator[None]:
    """Make the study's folder and hold its lock; a folder in which nothing was begun goes again.

    Raises:
        StudyInUse: another process holds the lock.
    """
    new = not folder.path.exists()
    folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with StudyLock(folder.lock):
            yield
    finally:
        if new and not folder.settings.exists():
            shutil.rmtree(folder.path, ignore_errors=True)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write what the orchestrator does, and the traceback of a defect, to `path`."""
    handler = logging.FileHandler(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger("orchestrator")
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    try:
        yield
    except (UserError, StoppedEarly):
        raise
    except Exception:
        log.exception("a defect ended this run")
        raise
    finally:
        root.removeHandler(handler)
        handler.close()


def until(interrupts: Interrupts) -> Callable[[], None]:
    """To be called while something is waited for: raises StoppedEarly after a ^C."""

    def waiting() -> None:
        if interrupts.count > 0:
            raise StoppedEarly

    return waiting


def prepare(
    settings: Settings,
    layers: Layers,
    launcher: Launcher,
    interrupts: Interrupts,
    display: Display,
) -> tuple[list[Slot], Checked]:
    """Everything that can be wrong is found here, before the study exists.

    Raises:
        UserError: settings, data or devices cannot be used.
        StoppedEarly: ^C came meanwhile.
    """

    waiting = until(interrupts)
    display.notice("checking the settings and the data")
    checked = check_with_family(settings, layers, launcher, waiting)
    gpus = []
    if settings.devices != "cpu" or settings.parallel.devices is not None:
        gpus = launcher.call("worker.calls.check:devices", {}, waiting)["cuda"]
    return cut_slots(settings, gpus, cpu_cores()), checked


def track(
    stack: contextlib.ExitStack, folder: StudyFolder, settings: Settings, display: Display
) -> None:
    """Mirror the trials to where the settings ask, until `stack` closes."""
    if settings.tracking.wandb == "off":
        return
    from orchestrator.tracking import Tracker

    tracker = Tracker.start(folder, settings.tracking)
    stack.callback(tracker.close)
    if tracker.sentence:
        display.notice(tracker.sentence)


def run_trials(search: Search, interrupts: Interrupts) -> Ended:
    """Run the search until its budget is spent or it is interrupted; closes its display."""
    clock = Clock(search.folder.clock)
    timeout = search.settings.timeout
    search.display.study_opened(
        search.name,
        search.total,
        sum(trial.state.is_finished() for trial in search.study.get_trials(deepcopy=False)),
        search.settings.objective.direction,
        search.settings.objective.metric,
        best=best_of(search.study),
        timeout=None if timeout is None else max(0.0, timeout - clock.seconds),
    )
    runner = Runner(search, interrupts, clock)
    trouble: UserError | None = None
    try:
        runner.run()
    except UserError as error:
        trouble = error
    except (optuna.exceptions.StorageInternalError, OSError) as error:
        trouble = disk_trouble(error, search.folder)
        if trouble is None:
            raise
    search.display.close()
    return Ended(
        interrupted=runner.interrupted,
        budget_spent=trouble is None and runner.budget_spent,
        trouble=trouble,
    )


def disk_trouble(error: Exception, folder: StudyFolder) -> UserError | None:
    """A sentence for a disk that is full or cannot be written; None for anything else."""
    cause: BaseException | None = error
    while cause is not None:
        full = isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or "disk is full" in str(cause):
            return UserError(
                f"the disk that holds {folder.path} is full; running trials were ended and keep "
                "their last checkpoints; free some space and type the same command again"
            )
        if "readonly database" in str(cause) or "disk I/O error" in str(cause):
            return UserError(f"{folder.database} cannot be written: {cause}")
        cause = cause.__cause__ or cause.__context__
    return None
