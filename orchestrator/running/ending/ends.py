"""A trial's end as the whole study sees it: told, shown, and perhaps the best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from optuna.trial import TrialState

from orchestrator.proposing.ask import TrialSource
from orchestrator.running.ending.repeated import Repeated
from orchestrator.running.ending.settle import (
    ELSEWHERE,
    STATES,
    forget,
    keep_outcome,
    make_outcome,
    settle,
    sweep_ended,
)
from orchestrator.running.session import Session
from orchestrator.running.trial import RunningTrial
from orchestrator.running.verdict import Verdict
from orchestrator.study.ranking import point_to_best
from protocol.errors import UserError
from protocol.messages import Ending, Outcome

_WORDS: dict[TrialState, Any] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class Ends:
    """Ends trials for good.

    Args:
        session: whose trials they are.
        source: where they come from, which hears that one has ended.
        stop_for: ends the run for a failure that repeats in trial after trial.
    """

    def __init__(
        self, session: Session, source: TrialSource, stop_for: Callable[[UserError], None]
    ) -> None:
        self._session = session
        self._source = source
        self._stop_for = stop_for
        self._repeated = Repeated(session.settings.limits.same_failures)

    def end(self, running: RunningTrial, verdict: Verdict) -> None:
        """End a trial by the verdict on its last attempt."""
        self.settle(running, make_outcome(running, verdict))

    def settle(self, running: RunningTrial, outcome: Outcome) -> None:
        """Write a trial's outcome and tell the study; again, where a kill came between."""
        settle(self._session.study, self._session.folder, running, outcome)
        self._follow(running, outcome, STATES[outcome.ending])

    def cancel(self, running: RunningTrial) -> None:
        """End a trial because somebody wants it to."""
        self.end(running, running.cancelled)

    def refuse(self, running: RunningTrial) -> None:
        """End a trial whose point cannot be trained; the sampler hears that it is infeasible."""
        self._session.display.notice(f"trial {running.number}: {running.refusal}; it is left out")
        self.end(running, Verdict(ending=Ending.INVALID, reason=running.refusal))

    def told_by_others(self, running: RunningTrial) -> None:
        """Keep what became of a trial that others have told."""
        running.new_events()  # those of after that
        state = running.frozen.state
        reason = f"ended as {state.name} from outside, such as by the dashboard"
        verdict = Verdict(ending=Ending.INTERRUPTED, reason=reason)
        outcome = make_outcome(running, verdict)
        outcome = outcome.model_copy(update={"detail": {ELSEWHERE: state.name}})
        keep_outcome(running.folder, outcome)
        forget(running.folder)
        self._follow(running, outcome, state)

    def set_aside(self, running: RunningTrial, verdict: Verdict) -> None:
        """The trial stays in the study as running, to go on from its last checkpoint."""
        self._session.display.trial_ended(running.number, make_outcome(running, verdict), "running")

    def tidy_up(self) -> None:
        """Do what kills behind a tell left undone."""
        self._tidy()
        sweep_ended(self._session.study, self._session.folder)

    def look_anew(self) -> None:
        """The settings have changed, or which trials count."""
        self._repeated.most = self._session.settings.limits.same_failures
        self.tidy_up()

    def _follow(self, running: RunningTrial, outcome: Outcome, state: TrialState) -> None:
        self._tidy()
        self._session.display.trial_ended(running.number, outcome, _WORDS[state])
        trouble = self._repeated.trouble(outcome)
        if trouble is not None:
            self._stop_for(trouble)

    def _tidy(self) -> None:
        point_to_best(self._session.folder, self._session.study)
        self._source.tidy()
