"""Optuna's terminator, asked about a study in terms of its space of now.

Makarova et al., "Automatic Termination for Hyperparameter Optimization", AutoML 2022, for the
regret bound; Ishibashi et al., "A Stopping Criterion for Bayesian Optimization by the Gap of
Expected Minimum Simple Regrets", AISTATS 2023, for the other.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence

import optuna
from optuna.terminator.erroreval import _CROSS_VALIDATION_SCORES_KEY
from optuna.trial import FrozenTrial, TrialState

from orchestrator import words
from orchestrator.settings.schema import Settings, TerminatorSettings
from orchestrator.settings.space import distribution
from orchestrator.study.counting.history import InTermsOfNow
from orchestrator.study.journal import read_journal
from protocol.folders import StudyFolder

_SHARE = 20  # it is asked again after this part of the trials more: it fits a Gaussian process


class Terminating:
    """Of one study."""

    def __init__(self, folder: StudyFolder, study: optuna.Study) -> None:
        self._folder, self._study = folder, study
        self._asked = 0  # about so many trials

    def reason(self, settings: Settings, ended: Sequence[FrozenTrial]) -> str:
        """Why it would end the search; empty where it would not.

        Args:
            settings: that are in effect, with a terminator.
            ended: the trials that count.
        """
        wanted = settings.stop_when.terminator
        assert wanted is not None, "it is asked for"
        trials = self._in_space(settings, ended)
        if len(trials) < wanted.min_trials or len(trials) < self._asked + len(trials) // _SHARE:
            return ""
        self._asked = len(trials)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it is experimental, and may go
            improvement, error = _evaluated(wanted, settings, trials, self._study)
        if not improvement < error:
            return ""
        return (
            f"Optuna's terminator expects no more than {words.number(improvement)} of further "
            f"trials, less than the error of {words.number(error)}"
        )

    def _in_space(self, settings: Settings, ended: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The complete trials that have all unconditional keys, in the ranges of now."""
        complete = [trial for trial in ended if trial.state is TrialState.COMPLETE]
        shown = InTermsOfNow(read_journal(self._folder), settings.search, {})(complete)
        space = {key: distribution(s) for key, s in settings.search.items() if not s.when}
        found = []
        for trial in shown:
            if space.keys() <= trial.params.keys():
                now = copy.copy(trial)
                now.params = {key: trial.params[key] for key in space}
                now.distributions = dict(space)
                if scores := trial.user_attrs.get("folds"):
                    now.system_attrs = {_CROSS_VALIDATION_SCORES_KEY: list(scores)}
                found.append(now)
        return found


def _evaluated(
    wanted: TerminatorSettings, settings: Settings, trials: list[FrozenTrial], study: optuna.Study
) -> tuple[float, float]:
    """What further trials may bring, and the error that it is held against."""
    found = optuna.terminator
    improvement: optuna.terminator.BaseImprovementEvaluator
    error: optuna.terminator.BaseErrorEvaluator
    if wanted.error is not None:
        error = found.StaticErrorEvaluator(wanted.error)
        improvement = found.RegretBoundEvaluator(seed=settings.seed)
    elif settings.folds > 1:
        error = found.CrossValidationErrorEvaluator()
        improvement = found.RegretBoundEvaluator(seed=settings.seed)
    else:
        improvement = found.EMMREvaluator(seed=settings.seed)
        error = found.MedianErrorEvaluator(improvement)
    direction = study.direction
    return (
        float(improvement.evaluate(trials, direction)),
        float(error.evaluate(trials, direction)),
    )
