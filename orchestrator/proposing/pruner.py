"""The pruner that the settings name: made anew for every question, so that none remembers any."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner
from optuna.trial import FrozenTrial

from orchestrator.settings.schema import PrunerSettings, Settings, options_of
from orchestrator.settings.space import Space
from protocol.seeds import derive_seed


def pruner_of(settings: Settings, space: Space) -> BasePruner:
    """The pruner of a study, whose trials may last as long as the search and the recipe allow."""
    most = space.most_epochs
    epochs = None if most is None else settings.folds * most
    return make_pruner(settings.pruner, epochs, settings.seed)


def make_pruner(settings: PrunerSettings, epochs: int | None, study_seed: int = 0) -> BasePruner:
    """The pruner of a study whose trials last up to `epochs` steps; None where nobody knows."""
    options = options_of(settings)
    pruners = optuna.pruners
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match settings.kind:
            case "none":
                return pruners.NopPruner()
            case "median":
                return pruners.MedianPruner(**options)
            case "percentile":
                return pruners.PercentilePruner(**{"percentile": 25.0, **options})
            case "asha":
                return pruners.SuccessiveHalvingPruner(**options)
            case "hyperband":
                return SeededHyperbandPruner(study_seed, **{"max_resource": epochs, **options})
            case "threshold":
                return pruners.ThresholdPruner(**options)
            case "patient":
                return pruners.PatientPruner(None, **{"patience": 3, **options})
            case "wilcoxon":
                return pruners.WilcoxonPruner(**options)


class SeededHyperbandPruner(HyperbandPruner):
    """Hyperband whose brackets follow from the study's seed and are there from the beginning.

    Optuna's come from the study's name, and only with the first decision of a process: until
    then its samplers see the trials of all brackets, after a resume again.
    Li et al., "Hyperband", JMLR 18 (2018).
    """

    def __init__(self, study_seed: int, **options: Any) -> None:
        super().__init__(**options)
        self._study_seed = study_seed
        self._try_initialization(None)  # type: ignore[arg-type]  # asked only without max_resource

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        drawn = derive_seed(self._study_seed, "bracket", trial.number)
        left = drawn % self._total_trial_allocation_budget
        for bracket, budget in enumerate(self._trial_allocation_budgets):
            left -= budget
            if left < 0:
                return bracket
        raise AssertionError("the budgets make up their total")
