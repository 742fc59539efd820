"""`run`: open or resume a study, search, and say what was found."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.trial import TrialState
from rich.console import Console
from rich.text import Text

from orchestrator.checks import Checked, check_at_once, check_with_family, trials_in_all
from orchestrator.clock import Clock
from orchestrator.config import Asked, Layers, load_settings
from orchestrator.devices import Slot, cpu_cores, cut_slots
from orchestrator.errors import UserError
from orchestrator.interrupts import Interrupts
from orchestrator.launcher.local import LocalLauncher
from orchestrator.live import Display, make_display
from orchestrator.lock import StudyLock
from orchestrator.notes import annotate_study
from orchestrator.preloading import clash, modules_of
from orchestrator.pruner import make_pruner
from orchestrator.record import record_of
from orchestrator.report import final_report
from orchestrator.runner import Runner, Search, best_of
from orchestrator.settings import Settings
from orchestrator.storage import open_study
from orchestrator.study_file import (
    StudyFile,
    read_study_file,
    refuse_other_meaning,
    write_study_file,
)
from orchestrator.study_name import check_study_name
from orchestrator.trial_folder import StudyFolder

log = logging.getLogger(__name__)

DONE, NOT_DONE, INTERRUPTED = 0, 1, 130


class StoppedEarly(Exception):
    """^C came before the search began."""


@dataclass(frozen=True)
class Opened:
    """What the command line asked for, resolved against an existing study."""

    folder: StudyFolder
    asked: Asked
    settings: Settings
    layers: Layers
    earlier: StudyFile | None


def run_study(name: str, runs_dir: Path, asked: Asked, console: Console) -> int:
    """Search until the study's budget is spent; the exit code.

    Raises:
        UserError: settings or data are wrong; nothing of the study was changed.
        StudyInUse: another orchestrator runs it.
    """
    opened = _open(StudyFolder(runs_dir / check_study_name(name)), asked)
    new = not opened.folder.path.exists()
    opened.folder.path.mkdir(parents=True, exist_ok=True)
    try:
        with Interrupts() as interrupts, StudyLock(opened.folder.lock):
            # Another run may have begun the study between the first look and the lock.
            opened = _open(opened.folder, asked)
            return _run_locked(opened, interrupts, console)
    except StoppedEarly:
        return INTERRUPTED
    finally:
        if new and not opened.folder.settings.exists():
            shutil.rmtree(opened.folder.path, ignore_errors=True)


def _open(folder: StudyFolder, asked: Asked) -> Opened:
    earlier = read_study_file(folder)
    if earlier is not None:
        asked = asked.over(earlier.asked)
    settings, layers = load_settings(asked)
    check_at_once(settings, layers)
    return Opened(folder, asked, settings, layers, earlier)


def _run_locked(opened: Opened, interrupts: Interrupts, console: Console) -> int:
    folder, settings = opened.folder, opened.settings
    display = make_display(console)
    with contextlib.ExitStack() as stack:
        stack.callback(display.close)
        stack.enter_context(_logging_to(folder.log))
        preload = modules_of(settings.family)
        launcher = LocalLauncher(log=folder.path / "forkserver.log", preload=preload)
        stack.callback(launcher.close)
        for sentence in [*_harmless_changes(opened), clash(settings.family)]:
            if sentence:
                display.notice(sentence)
        slots, checked = _prepare(opened, launcher, interrupts, display)
        write_study_file(folder, StudyFile(asked=opened.asked, settings=settings))
        study = open_study(folder, settings.storage.url, settings.objective.direction)
        study.pruner = make_pruner(
            settings.pruner, settings.folds * int(checked.defaults["epochs"])
        )
        _enqueue(study, settings)
        annotate_study(study, folder, settings)
        if settings.tracking.wandb != "off":
            from orchestrator.tracking import Tracker

            tracker = Tracker.start(folder, settings.tracking)
            stack.callback(tracker.close)
            if tracker.sentence:
                display.notice(tracker.sentence)
        search = Search(
            folder=folder,
            settings=settings,
            study=study,
            launcher=launcher,
            display=display,
            slots=slots,
            defaults=checked.defaults,
            total=trials_in_all(settings),
        )
        return _search(search, interrupts, console)


def _prepare(
    opened: Opened, launcher: LocalLauncher, interrupts: Interrupts, display: Display
) -> tuple[list[Slot], Checked]:
    """Everything that can be wrong is found here, before the study exists."""

    def waiting() -> None:
        if interrupts.count > 0:
            raise StoppedEarly

    display.notice("checking the settings and the data")
    settings = opened.settings
    checked = check_with_family(settings, opened.layers, launcher, waiting)
    gpus = []
    if settings.devices != "cpu":
        gpus = launcher.call("orchestrator.worker.check:devices", {}, waiting)["cuda"]
    return cut_slots(settings, gpus, cpu_cores()), checked


def _harmless_changes(opened: Opened) -> list[str]:
    if opened.earlier is None:
        return []
    changed = refuse_other_meaning(opened.folder, opened.earlier.settings, opened.settings)
    return [f"changed since the last run, and taken: {', '.join(changed)}"] if changed else []


def _enqueue(study: optuna.Study, settings: Settings) -> None:
    known = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False)]
    for point in settings.enqueue:
        if point not in known:
            study.enqueue_trial(dict(point))


def _search(search: Search, interrupts: Interrupts, console: Console) -> int:
    clock = Clock(search.folder.clock)
    timeout = search.settings.timeout
    finished = search.study.get_trials(
        deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    )
    search.display.study_opened(
        search.folder.name,
        search.total,
        len(finished),
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
        trouble = _disk_trouble(error, search.folder)
        if trouble is None:
            raise
    search.display.close()
    record = record_of(search.study)
    interrupted = runner.interrupted or trouble is not None
    report = final_report(record, search.folder, total=search.total, interrupted=interrupted)
    console.print(report, soft_wrap=True)
    if trouble is not None:
        console.print(Text(f"Stopped: {trouble}", style="bold red"), soft_wrap=True)
        return NOT_DONE
    if runner.interrupted:
        return INTERRUPTED
    return DONE if runner.budget_spent and record.counts["complete"] else NOT_DONE


def _disk_trouble(error: Exception, folder: StudyFolder) -> UserError | None:
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


@contextlib.contextmanager
def _logging_to(path: Path) -> Iterator[None]:
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
