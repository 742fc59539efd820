"""The pruner that the settings name."""

from __future__ import annotations

import warnings

import optuna
from optuna.pruners import BasePruner

from orchestrator.settings.schema import PrunerSettings, Settings, options_of
from orchestrator.settings.space import Space


def pruner_of(settings: Settings, space: Space) -> BasePruner:
    """The pruner of a study, whose trials may last as long as the search and the recipe allow."""
    return make_pruner(settings.pruner, settings.folds * int(space.most("epochs")))


def make_pruner(settings: PrunerSettings, epochs: int) -> BasePruner:
    """The pruner of a study whose trials last up to `epochs` steps."""
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
                return pruners.HyperbandPruner(**{"max_resource": epochs, **options})
            case "threshold":
                return pruners.ThresholdPruner(**options)
            case "patient":
                return pruners.PatientPruner(None, **{"patience": 3, **options})
            case "wilcoxon":
                return pruners.WilcoxonPruner(**options)
