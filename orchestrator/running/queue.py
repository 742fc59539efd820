"""Where the runner's next trial comes from: those that are to be resumed, then new ones."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable

import optuna
from optuna.trial import TrialState

from orchestrator.proposing.ask import InvalidPoint, TrialSource
from orchestrator.running.clock import Clock
from orchestrator.running.session import Session
from orchestrator.running.stop_rules import StopRules
from orchestrator.running.trial import RunningTrial
from orchestrator.study.identity import refuse_anothers_folder
from protocol.recipe import Recipe


class TrialQueue:
    """Trials that wait for a slot, and new ones within the study's budget."""

    def __init__(self, session: Session, source: TrialSource, clock: Clock) -> None:
        self._session = session
        self._source = source
        self._clock = clock
        self._rules = StopRules(session.folder, session.study, session.display.notice)
        self._waiting: deque[RunningTrial] = deque()  # to be resumed before anything new

    def unfinished(self) -> list[RunningTrial]:
        """Every trial that an earlier run left unfinished, by number; none of them waits yet.

        Raises:
            UserError: a trial's folder is of another trial, such as after an older database was put
                back.
        """
        states = (TrialState.RUNNING,)
        found = self._session.study.get_trials(deepcopy=False, states=states)
        # Half-asked trials come first: they must be proposed from the history they first saw.
        found.sort(key=lambda t: self._session.folder.trial(t.number).plan.exists())
        taken_up = [
            self._proposed(functools.partial(self._source.attach, frozen)) for frozen in found
        ]
        return sorted(taken_up, key=lambda running: running.number)

    def put(self, running: RunningTrial) -> None:
        """Have a trial resumed as soon as it is its turn."""
        self._waiting.append(running)

    def withdraw(self, number: int) -> RunningTrial | None:
        """Take a trial out that waits to be resumed; None where it does not."""
        found = next((waiting for waiting in self._waiting if waiting.number == number), None)
        if found is not None:
            self._waiting.remove(found)
        return found

    def next(self) -> RunningTrial | None:
        """The trial to launch next; None where none waits and the budget allows no new one.

        Raises:
            UserError: its folder is of another trial.
        """
        if self._waiting:
            return self._waiting.popleft()
        if self._left() > 0 and not self._time_is_up() and not self.ruled:
            return self._proposed(self._source.ask)
        return None

    @property
    def budget_spent(self) -> bool:
        """Whether the study's number of trials, or its time, is used up, and no trial is left."""
        trials = self._session.study.get_trials(deepcopy=False)
        if any(trial.state == TrialState.RUNNING for trial in trials):
            return False
        finished = sum(trial.state.is_finished() for trial in trials)
        return finished >= self._source.total or self._time_is_up() or bool(self.ruled)

    @property
    def ruled(self) -> str:
        """Why a stop rule ends the search here; empty while it goes on."""
        return self._rules.reason(self._session.settings, self._source.total)

    def _proposed(self, source: Callable[[], tuple[optuna.Trial, Recipe]]) -> RunningTrial:
        try:
            trial, recipe = source()
        except InvalidPoint as refused:
            return self._running_trial(refused.trial, None, str(refused))
        return self._running_trial(trial, recipe)

    def _running_trial(
        self, trial: optuna.Trial, recipe: Recipe | None, refusal: str = ""
    ) -> RunningTrial:
        session, folder = self._session, self._session.folder.trial(trial.number)
        frozen = trial.storage.get_trial(trial._trial_id)
        refuse_anothers_folder(folder, frozen, session.known.identity)
        return RunningTrial(
            refusal=refusal,
            trial=trial,
            folder=folder,
            objective=self._session.settings.objective,
            recipe=recipe,
            folds=self._session.settings.folds,
            told_by_fold=self._session.settings.pruner.kind == "wilcoxon",
        )

    def _left(self) -> int:
        """How many new trials the budget allows."""
        study = self._session.study
        waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
        return self._source.total - len(study.get_trials(deepcopy=False)) + len(waiting)

    def _time_is_up(self) -> bool:
        timeout = self._session.settings.timeout
        return timeout is not None and self._clock.seconds >= timeout
