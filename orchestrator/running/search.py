"""Running a study's trials, and how that ended."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import optuna

from orchestrator.database.patient import StudyGone
from orchestrator.ledger.outlook import past_trials
from orchestrator.ledger.study import study_ledger
from orchestrator.proposing.ask import TrialSource
from orchestrator.running.clock import Clock
from orchestrator.running.room import DiskFull, comes_of_full_disk, disk_full, wait_for_room
from orchestrator.running.runner import Runner
from orchestrator.running.session import Session
from orchestrator.study.peek import peek
from orchestrator.study.ranking import best_of
from orchestrator.study.record import record_of
from orchestrator.troubles import trouble_of
from protocol.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run of trials ended."""

    interrupted: bool
    left: bool = False  # the process has to leave; trials go on without it
    budget_spent: bool
    ruled: str = ""  # why a stop rule has ended it
    trouble: UserError | None  # what only the user can mend; every trial can be resumed


def run_trials(session: Session, source: TrialSource) -> Ended:
    """Run the search until its budget is spent or it is interrupted; closes its display."""
    clock = Clock(session.folder.clock)
    timeout, objective = session.settings.timeout, session.settings.objective
    record = record_of(session.study)
    session.display.study_opened(
        session.name,
        source.total,
        record.ended,
        objective.direction,
        objective.metric,
        best=best_of(session.study),
        timeout=None if timeout is None else max(0.0, timeout - clock.seconds),
        lanes=len(session.slots),
        gpus=session.gpus,
        prunes=session.settings.pruner.kind != "none",
        pruned=record.counts["pruned"],
        failed=record.counts["failed"],
        device_seconds=study_ledger(session.folder, record).total.seconds,
        past=past_trials(record, peek(session.folder).epochs),
    )
    runner, trouble = _search(session, source, clock)
    session.display.close()
    return Ended(
        interrupted=runner.interrupted,
        left=runner.left,
        budget_spent=trouble is None and runner.budget_spent,
        ruled="" if trouble else runner.ruled,
        trouble=trouble,
    )


def _search(session: Session, source: TrialSource, clock: Clock) -> tuple[Runner, UserError | None]:
    """Run to an end, over every pause for want of room; the last runner, and its trouble."""
    while True:
        runner = Runner(session, source, clock)
        try:
            runner.run()
            return runner, None
        except DiskFull as error:
            full = error
        except StudyGone as gone:
            runner.abandon()
            return runner, gone
        except UserError as error:
            return runner, error
        except (optuna.exceptions.StorageInternalError, OSError) as error:
            runner.abandon()
            if not comes_of_full_disk(error):
                trouble = trouble_of(error)
                if trouble is None:
                    raise
                return runner, trouble
            full = disk_full(session.folder)
        log.warning("%s", full)
        session.display.notice(str(full))
        if not wait_for_room(session.folder, session.pause):
            return runner, None
        session.display.notice("there is room again, the study goes on")
