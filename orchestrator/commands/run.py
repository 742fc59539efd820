"""`run`: open or resume a study, search, and say what was found."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import optuna
from optuna.trial import TrialState
from rich.console import Console
from rich.text import Text

from orchestrator import words
from orchestrator.commands.showing.report import try_to_report
from orchestrator.database.patient import StudyGone
from orchestrator.launcher.preload import clash
from orchestrator.preflight.preflight import is_wanted, preflight
from orchestrator.preflight.rehearsal import Rehearsal
from orchestrator.proposing.ask import Asker
from orchestrator.reporting.final import final_report
from orchestrator.reporting.notes import annotate_study
from orchestrator.reporting.screen import near
from orchestrator.running.search import Ended, run_trials
from orchestrator.running.session import (
    DONE,
    INTERRUPTED,
    NOT_DONE,
    Session,
    StoppedEarly,
    open_session,
    refuse_confirmations,
)
from orchestrator.settings.checks import check_at_once
from orchestrator.settings.layers import Asked, Layers, load_settings
from orchestrator.settings.schema import Settings
from orchestrator.study.find import check_study_name
from orchestrator.study.journal import note
from orchestrator.study.parent import adopt, relocated
from orchestrator.study.record import StudyRecord, record_of
from orchestrator.study.restart import discard, may_be_discarded
from orchestrator.study.study_file import StudyFile, read_study_file, refuse_other_meaning
from protocol.errors import SettingsError
from protocol.folders import StudyFolder


@dataclass(frozen=True)
class OpenedStudy:
    """What the command line asked for, resolved against an existing study."""

    folder: StudyFolder
    asked: Asked
    settings: Settings
    layers: Layers
    earlier: StudyFile | None


def run_study(
    name: str,
    runs_dir: Path,
    asked: Asked,
    console: Console,
    rehearses: bool | None = None,
    restart: bool = False,
) -> int:
    """Search until the study's budget is spent; the exit code.

    Args:
        rehearses: whether to try the largest configuration first; None: where there are GPUs.
        restart: discard what was begun under this name, if no trial of it is complete.

    Raises:
        UserError: settings or data are wrong; nothing of the study was changed.
        StudyInUse: another orchestrator runs it.
    """
    folder = StudyFolder(runs_dir / check_study_name(name))
    refuse_confirmations(folder)
    opened = _open(folder, asked, restart)
    if not restart and _starts_over(console, opened):
        restart = True
        _open(folder, asked, restart)
    try:
        with open_session(folder, folder.name, console, opened.settings.storage.url) as session:
            if restart:
                trials = words.counted(discard(folder), "trial")
                session.display.notice(f"starting over: {trials} of the earlier start discarded")
            # Again: another run may have begun the study between the first look and the lock.
            opened = _open(folder, asked)
            with _saying_how_to_discard(opened):
                source = _begin(session, opened, rehearses)
            return _search(session, source, console)
    except StoppedEarly:
        return INTERRUPTED


def _open(folder: StudyFolder, asked: Asked, restart: bool = False) -> OpenedStudy:
    earlier = None if restart else read_study_file(folder)
    if earlier is not None:
        asked = asked.over(earlier.asked)
    settings, layers = load_settings(asked)
    check_at_once(settings, layers)
    return OpenedStudy(folder, asked, settings, layers, earlier)


def _starts_over(console: Console, opened: OpenedStudy) -> bool:
    """On a terminal: whether the user rather starts over than is refused other settings."""
    if not (console.is_terminal and sys.stdin.isatty()):
        return False
    try:
        _harmless_changes(_with_parent_where_it_is(opened))
    except SettingsError as refusal:
        if not may_be_discarded(opened.folder):
            return False
        console.print(Text(str(refusal)), soft_wrap=True)
        question = "No trial is complete. Discard what was begun and start over? [y/N] "
        return console.input(Text(question)).strip().lower() in ("y", "yes")
    return False


@contextlib.contextmanager
def _saying_how_to_discard(opened: OpenedStudy) -> Iterator[None]:
    """Tell with what is refused of an earlier start how that can be got rid of."""
    try:
        yield
    except SettingsError as refusal:
        if opened.earlier is None or not may_be_discarded(opened.folder):
            raise
        raise SettingsError(
            f"{refusal.problem}\nNo trial is complete: --restart discards what was begun and "
            "starts over with the settings of now",
            key=refusal.key,
            source=refusal.source,
        ) from None


def _begin(session: Session, opened: OpenedStudy, rehearses: bool | None) -> Asker:
    """Make everything ready for the first trial, the study included."""
    opened = _with_parent_where_it_is(opened)
    folder, settings = session.folder, opened.settings
    sentences = [*opened.layers.told(), *_harmless_changes(opened), clash(settings.family)]
    for sentence in sentences:
        if sentence:
            session.display.notice(sentence)
    parent, told = adopt(folder, settings, opened.layers, opened.earlier)
    for sentence in told:
        session.display.notice(sentence)
    if parent is not None:
        settings = parent.given_to(settings, folder)
    begun = opened.earlier
    checked = session.begin(settings, opened.layers, begun.threads if begun else None)
    session.take_inputs(folder, begun.inputs if begun else {})
    for remark in checked.remarks:
        session.display.notice(remark)
    space = checked.space
    if checked.refused:
        if begun is None:
            raise SettingsError(checked.refused)
        session.display.notice(f"such trials are left out: {checked.refused}")
    known = StudyFile(
        asked=opened.asked,
        settings=opened.settings,
        parent=parent,
        free=checked.free,
        threads=session.slots[0].threads,
    )
    study = session.keep_study(known)
    _enqueue(study, settings)
    annotate_study(study, folder, settings)
    session.track()
    if is_wanted(rehearses, folder, session.slots, study, scripted=settings.scripted):
        session.display.notice("preflight: trying the largest configurations for two steps each")
        session.display.notice(preflight(Rehearsal(session, space)).sentence)
    asked = sum(t.state != TrialState.WAITING for t in study.get_trials(deepcopy=False))
    line = note(folder, settings, space, asked)
    session.steering.open(study, session.check)
    return Asker(folder, study, settings, space, line, session.display.notice)


def _with_parent_where_it_is(opened: OpenedStudy) -> OpenedStudy:
    """An earlier parent is known by its checkpoint: the same one may lie elsewhere by now."""
    earlier = opened.earlier
    if earlier is None or earlier.settings.parent == opened.settings.parent:
        return opened
    found = relocated(opened.folder, opened.settings, earlier.parent)
    if found is None:
        return opened
    known = earlier.settings.model_copy(update={"parent": opened.settings.parent})
    return replace(opened, earlier=earlier.model_copy(update={"parent": found, "settings": known}))


def _harmless_changes(opened: OpenedStudy) -> list[str]:
    if opened.earlier is None:
        return []
    changed = refuse_other_meaning(opened.folder, opened.earlier, opened.settings)
    return [f"changed since the last run, and taken: {', '.join(changed)}"] if changed else []


def _enqueue(study: optuna.Study, settings: Settings) -> None:
    known = [trial.system_attrs.get("fixed_params") for trial in study.get_trials(deepcopy=False)]
    for point in settings.enqueue:
        if point not in known:
            study.enqueue_trial(dict(point))


def _leave(session: Session, console: Console) -> int:
    """This orchestrator is a job whose time is up, or which has to make room."""
    from orchestrator.launcher.slurm.detached import submit_successor

    told = "its jobs go on; its own is queued again by Slurm, unless somebody cancelled it"
    if session.interrupts.left_by is signal.SIGUSR2:
        told = f"its jobs go on, and job {submit_successor(session.folder.jobs)} with the study"
    console.print(Text(f"Study {session.name}: {told}"), soft_wrap=True)
    return DONE


def _tell_the_end(session: Session, ended: Ended, record: StudyRecord) -> None:
    """People hear of an end that they have not made themselves."""
    if ended.trouble is not None:
        session.say_farewell("failure", f"Study {session.name} stopped: {ended.trouble}")
    elif ended.budget_spent:
        ended_trials = sum(record.counts[state] for state in ("complete", "pruned", "failed"))
        text = f"Study {session.name} has ended: {words.counted(ended_trials, 'trial')}"
        if record.best is not None:
            value = f"{session.settings.objective.metric} {record.best.value:.5g}"
            text += f", the best is trial {record.best.number}, {value}"
        session.say_farewell("end", text)


def _search(session: Session, source: Asker, console: Console) -> int:
    session.say_farewell("failure", f"Study {session.name}: a defect ended its search")
    ended = run_trials(session, source)
    session.say_farewell("", "")
    if ended.left:
        return _leave(session, console)
    if isinstance(ended.trouble, StudyGone):
        raise ended.trouble
    record = record_of(session.study)
    _tell_the_end(session, ended, record)
    interrupted = ended.interrupted or ended.trouble is not None
    report = final_report(record, session.folder, total=source.total, interrupted=interrupted)
    console.print(report, soft_wrap=True)
    if session.settings.report and not interrupted and try_to_report(session.folder):
        told = f"The report: {near(session.folder.report)}; open it in a browser."
        console.print(Text(told), soft_wrap=True)
    if ended.trouble is not None:
        console.print(Text(f"Stopped: {ended.trouble}", style="bold red"), soft_wrap=True)
    if ended.ruled:
        console.print(_how_to_overrule(session, ended.ruled, source.total), soft_wrap=True)
    if ended.interrupted:
        return INTERRUPTED
    if ended.trouble is not None:
        return NOT_DONE
    return DONE if ended.budget_spent and record.counts["complete"] else NOT_DONE


def _how_to_overrule(session: Session, reason: str, total: int) -> Text:
    told = f"Ended by a stop rule: {reason}. More trials than {total} overrule it, as in"
    name = session.folder.name
    return Text(
        f"{told} `set --study_name {name} n_trials={2 * total}`, and the same command again"
    )
