"""`confirm`: train a study's best trials again with fresh seeds, and say whether the best is luck.

The runs are trials of a study of their own in runs/<study>/confirm, so that they are run, resumed,
interrupted and looked at as any trials are. The search itself only gets a note of what came of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from rich.text import Text

from orchestrator import words
from orchestrator.confirmation.repetitions import (
    Repetition,
    Repetitions,
    Sources,
    best_sources,
    missing_runs,
)
from orchestrator.confirmation.results import confirmation_of
from orchestrator.confirmation.saved import Confirmation, save_confirmation
from orchestrator.live.console import PatientConsole
from orchestrator.reporting.confirmation import print_confirmation
from orchestrator.reporting.confirmation_note import confirmation_note
from orchestrator.reporting.hints import commands_on
from orchestrator.reporting.notes import annotate_study, name_values, write_note
from orchestrator.running.search import Ended, run_trials
from orchestrator.running.session import (
    DONE,
    INTERRUPTED,
    NOT_DONE,
    Session,
    StoppedEarly,
    held,
    open_session,
    refuse_confirmations,
)
from orchestrator.settings.layers import Asked, Layers
from orchestrator.settings.schema import PrunerSettings, Settings, StopWhen, StorageSettings
from orchestrator.steering.asking import checking
from orchestrator.study.find import read_study
from orchestrator.study.inputs import Input
from orchestrator.study.journal import read_journal
from orchestrator.study.parent import recorded
from orchestrator.study.parent_record import ParentRecord
from orchestrator.study.record import StudyRecord
from orchestrator.study.storage import open_study
from orchestrator.study.study_file import StudyFile, read_study_file, write_study_file
from protocol.errors import SettingsError
from protocol.folders import StudyFolder

_NOTHING_RUN = Ended(interrupted=False, budget_spent=True, trouble=None)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is confirmed: the search as it stands, and what was asked for."""

    folder: StudyFolder  # of the search
    settings: Settings  # of the search, with its parent
    parent: ParentRecord | None
    identity: str  # of the search
    data: Mapping[str, Input]  # that the search was begun with
    record: StudyRecord  # of the search
    sources: Sources
    seeds: int
    threads: int | None  # of one rank of the search

    @property
    def numbers(self) -> list[int]:
        return [trial.number for trial in self.sources.trials]


def confirm_study(folder: StudyFolder, *, top: int, seeds: int, as_json: bool = False) -> int:
    """Train the best `top` trials `seeds` times again, or what of that is missing; the exit code.

    Raises:
        UserError: there is no such study, none of its trials is complete, or its settings or data
            can no longer be used.
        StudyInUse: another process works on the study.
    """
    refuse_confirmations(folder)
    progress = PatientConsole(stderr=as_json)
    _look_at(folder, top, seeds)  # what is wrong at once is said before anything is written
    try:
        with (
            held(folder),
            open_session(
                folder.confirmations, f"{folder.name}.confirm", progress, steered=folder
            ) as session,
        ):
            return _confirm(session, _look_at(folder, top, seeds), as_json)
    except StoppedEarly:
        return INTERRUPTED


def _look_at(folder: StudyFolder, top: int, seeds: int) -> _Job:
    record = read_study(folder)
    known = read_study_file(folder)
    if known is None:
        raise SettingsError(
            f"the study {folder.name!r} has no {folder.settings}, which says what its trials were "
            "trained with; put it back"
        )
    if known.settings.script is not None and not known.settings.script.seeded:
        raise SettingsError(
            "confirm trains the best trials again with other seeds, but the study's script.command "
            "has no {seed}; begin a study whose command has one"
        )
    parent, _ = recorded(folder, known)
    return _Job(
        folder=folder,
        settings=parent.given_to(known.settings, folder) if parent else known.settings,
        parent=parent,
        identity=known.identity,
        data=known.inputs,
        record=record,
        sources=best_sources(record, top),
        seeds=seeds,
        threads=known.threads,
    )


def _confirm(session: Session, job: _Job, as_json: bool) -> int:
    console = PatientConsole()
    for sentence in _notices(job):
        session.display.notice(sentence)
    search = open_study(
        job.folder,
        job.settings.storage.url,
        job.settings.objective.direction,
        identity=job.identity,
        patience=session.patience(job.settings),
    )
    session.steering.open(search, checking(job.folder))
    ended = _NOTHING_RUN if _is_done(job) else _train(session, job, search)
    confirmation = _results(job)
    # On a full disk the results are shown at least, and kept by the next run.
    unwritable = (OSError, optuna.exceptions.StorageInternalError) if ended.trouble else ()
    with contextlib.suppress(*unwritable):
        _keep(job, search, confirmation)
    if as_json:
        print(confirmation.model_dump_json(indent=2))
    else:
        interrupted = ended.interrupted or ended.trouble is not None
        print_confirmation(console, job.folder, confirmation, interrupted=interrupted)
    if ended.trouble is not None:
        trouble = Text(f"Stopped: {ended.trouble}", style="bold red")
        PatientConsole(stderr=as_json).print(trouble, soft_wrap=True)
        return NOT_DONE
    if ended.interrupted:
        return INTERRUPTED
    return DONE if confirmation.finished and confirmation.winner else NOT_DONE


def _notices(job: _Job) -> list[str]:
    numbers = ", ".join(map(str, job.numbers))
    runs = words.counted(job.seeds, "run")
    plural = "s" if len(job.numbers) > 1 else ""
    sentences = [
        *job.sources.notices,
        f"trial{plural} {numbers} of study {job.folder.name}: {runs} of each with fresh seeds",
    ]
    if job.seeds == 1:
        sentences.append("a single run has no interval; --seeds 2 gives one, 3 a useful one")
    return sentences


def _is_done(job: _Job) -> bool:
    """Whether every run that is asked for has ended; then no process has to be started."""
    runs = job.folder.confirmations
    if not runs.settings.exists() or not runs.database.exists():
        return False
    trials = read_study(runs).trials
    begun = {Repetition.of(trial.notes) for trial in trials}
    running = any(trial.state == "running" for trial in trials)
    return not running and not missing_runs(job.numbers, job.seeds, begun)


def _train(session: Session, job: _Job, search: optuna.Study) -> Ended:
    settings = _settings_of_runs(job.settings)
    layers = Layers()
    layers.add(job.settings.model_dump(mode="json"), str(job.folder.settings))
    session.begin(settings, layers, job.threads)
    session.take_inputs(job.folder, job.data)
    known = StudyFile(
        asked=Asked(), settings=settings, parent=job.parent, threads=session.slots[0].threads
    )
    study = session.keep_study(known)
    trials = search.get_trials(deepcopy=False)
    runs = Repetitions(
        folder=session.folder,
        study=study,
        settings=settings,
        sources={number: trials[number] for number in job.numbers},
        seeds=job.seeds,
        journal=read_journal(job.folder),
    )
    counted = settings.model_copy(update={"n_trials": runs.total})
    write_study_file(session.folder, session.known.model_copy(update={"settings": counted}))
    name_values(study, settings.objective.metric)
    session.track()
    return run_trials(session, runs)


def _settings_of_runs(settings: Settings) -> Settings:
    """The search's settings, but that every run is trained to its end, whatever that takes."""
    return settings.model_copy(
        update={
            "pruner": PrunerSettings(kind="none"),
            "enqueue": [],
            "timeout": None,
            "stop_when": StopWhen(),
            "storage": StorageSettings(patience=settings.storage.patience),
        }
    )


def _results(job: _Job) -> Confirmation:
    return confirmation_of(
        job.record,
        read_study(job.folder.confirmations),
        dict.fromkeys(job.numbers, job.seeds),
        folder=job.folder,
        objective=job.settings.objective,
        study_seed=job.settings.seed,
    )


def _keep(job: _Job, search: optuna.Study, confirmation: Confirmation) -> None:
    """Keep the results on the search, and tell the dashboard of both studies."""
    save_confirmation(job.folder, confirmation)
    search.set_user_attr("confirmation", confirmation.model_dump(mode="json", exclude={"trials"}))
    annotate_study(search, job.folder, job.settings)
    runs = open_study(job.folder.confirmations, None, job.settings.objective.direction)
    command = commands_on(job.folder).on_study("confirm")
    write_note(runs, f"{confirmation_note(confirmation)}\n\nTo train more: `{command}`")
