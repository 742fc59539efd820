"""`run`: open or resume a study, search, and say what was found."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.text import Text

from orchestrator.launcher.local import LocalLauncher
from orchestrator.launcher.preload import clash, modules_of
from orchestrator.live import make_display
from orchestrator.preflight.preflight import is_wanted, preflight
from orchestrator.preflight.rehearsal import Rehearsal
from orchestrator.proposing.ask import Asker
from orchestrator.proposing.pruner import make_pruner
from orchestrator.reporting.final import final_report
from orchestrator.reporting.notes import annotate_study
from orchestrator.running.interrupts import Interrupts
from orchestrator.running.runner import Search
from orchestrator.running.session import (
    DONE,
    INTERRUPTED,
    NOT_DONE,
    StoppedEarly,
    held,
    logging_to,
    prepare,
    refuse_confirmations,
    run_trials,
    track,
    until,
)
from orchestrator.settings.checks import check_at_once, trials_in_all
from orchestrator.settings.layers import Asked, Layers, load_settings
from orchestrator.settings.schema import Settings
from orchestrator.study.find import check_study_name
from orchestrator.study.parent import adopt
from orchestrator.study.ranking import keep_best
from orchestrator.study.record import record_of
from orchestrator.study.storage import open_study
from orchestrator.study.study_file import (
    StudyFile,
    read_study_file,
    refuse_other_meaning,
    write_study_file,
)
from protocol.folders import StudyFolder


@dataclass(frozen=True)
class Opened:
    """What the command line asked for, resolved against an existing study."""

    folder: StudyFolder
    asked: Asked
    settings: Settings
    layers: Layers
    earlier: StudyFile | None


def run_study(
    name: str, runs_dir: Path, asked: Asked, console: Console, preflight: bool | None = None
) -> int:
    """Search until the study's budget is spent; the exit code.

    Args:
        preflight: whether to try the largest configuration first; None: where there are GPUs.

    Raises:
        UserError: settings or data are wrong; nothing of the study was changed.
        StudyInUse: another orchestrator runs it.
    """
    folder = StudyFolder(runs_dir / check_study_name(name))
    refuse_confirmations(folder)
    _open(folder, asked)
    try:
        with Interrupts() as interrupts, held(folder):
            # Again: another run may have begun the study between the first look and the lock.
            return _run_locked(_open(folder, asked), interrupts, console, preflight)
    except StoppedEarly:
        return INTERRUPTED


def _open(folder: StudyFolder, asked: Asked) -> Opened:
    earlier = read_study_file(folder)
    if earlier is not None:
        asked = asked.over(earlier.asked)
    settings, layers = load_settings(asked)
    check_at_once(settings, layers)
    return Opened(folder, asked, settings, layers, earlier)


def _run_locked(
    opened: Opened, interrupts: Interrupts, console: Console, asked: bool | None
) -> int:
    folder, settings = opened.folder, opened.settings
    display = make_display(console)
    with contextlib.ExitStack() as stack:
        stack.callback(display.close)
        stack.enter_context(logging_to(folder.log))
        preload = modules_of(settings.family, settings.parallel.depth)
        launcher = LocalLauncher(log=folder.path / "forkserver.log", preload=preload)
        stack.callback(launcher.close)
        for sentence in [*_harmless_changes(opened), clash(settings.family)]:
            if sentence:
                display.notice(sentence)
        parent, told = adopt(folder, settings, opened.layers, opened.earlier)
        for sentence in told:
            display.notice(sentence)
        if parent is not None:
            settings = parent.given_to(settings, folder)
        slots, checked = prepare(settings, opened.layers, launcher, interrupts, display)
        known = StudyFile(asked=opened.asked, settings=opened.settings, parent=parent)
        write_study_file(folder, known)
        study = open_study(folder, settings.storage.url, settings.objective.direction)
        study.pruner = make_pruner(
            settings.pruner, settings.folds * int(checked.defaults["epochs"])
        )
        _enqueue(study, settings)
        annotate_study(study, folder, settings)
        track(stack, folder, settings, display)
        search = Search(
            folder=folder,
            name=folder.name,
            settings=settings,
            study=study,
            source=Asker(study, settings, checked.defaults),
            launcher=launcher,
            display=display,
            slots=slots,
            total=trials_in_all(settings),
            describe=lambda trial: trial.params,
            tidy=partial(keep_best, folder, study, settings.keep.best_trials),
        )
        if is_wanted(asked, folder, slots, study):
            _try_largest(search, checked.defaults, interrupts)
        return _search(search, interrupts, console)


def _try_largest(search: Search, defaults: dict[str, Any], interrupts: Interrupts) -> None:
    search.display.notice("preflight: trying the largest configurations for two steps each")
    rehearsal = Rehearsal(
        folder=search.folder,
        name=search.name,
        settings=search.settings,
        launcher=search.launcher,
        slot=search.slots[0],
        waiting=until(interrupts),
    )
    search.display.notice(preflight(rehearsal, defaults, len(search.slots)).sentence)


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
    ended = run_trials(search, interrupts)
    record = record_of(search.study)
    interrupted = ended.interrupted or ended.trouble is not None
    report = final_report(record, search.folder, total=search.total, interrupted=interrupted)
    console.print(report, soft_wrap=True)
    if ended.trouble is not None:
        console.print(Text(f"Stopped: {ended.trouble}", style="bold red"), soft_wrap=True)
        return NOT_DONE
    if ended.interrupted:
        return INTERRUPTED
    return DONE if ended.budget_spent and record.counts["complete"] else NOT_DONE
