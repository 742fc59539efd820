"""The sampler for one trial, made anew from the study's seed, the trial's number and history.

Nothing of a sampler outlives the ask it was made for, so a resumed study asks what the
uninterrupted one would have asked, and no sampler is ever unpickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, CmaEsSampler
from optuna.trial import FrozenTrial

from orchestrator.search_space import Search, grid
from orchestrator.seeds import derive_seed
from orchestrator.settings import SamplerSettings, options_of

if TYPE_CHECKING:
    import cmaes


def make_sampler(
    settings: SamplerSettings, search: Search, study_seed: int, number: int
) -> BaseSampler:
    """The sampler that proposes trial `number`.

    Raises:
        SettingsError: a grid search over a continuous range.
    """
    options = options_of(settings)
    seed = derive_seed(study_seed, "sampler", number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match settings.kind:
            case "tpe":
                conditional = any(spec.when for spec in search.values())
                return optuna.samplers.TPESampler(seed=seed, **{"group": conditional, **options})
            case "random":
                return optuna.samplers.RandomSampler(seed=seed)
            case "gp":
                return optuna.samplers.GPSampler(seed=seed, **options)
            case "cmaes":
                return ReplayingCmaEsSampler(study_seed, seed, options)
            # These two walk through one sequence that the study's seed fixes.
            case "grid":
                return optuna.samplers.GridSampler(grid(search), seed=study_seed)
            case "qmc":
                return optuna.samplers.QMCSampler(
                    seed=study_seed,
                    independent_sampler=optuna.samplers.RandomSampler(seed=seed),
                    warn_asynchronous_seeding=False,
                    warn_independent_sampling=False,
                    **{"scramble": True, **options},
                )


class ReplayingCmaEsSampler(CmaEsSampler):
    """CMA-ES whose state is replayed from the finished trials at every ask.

    Optuna's own sampler keeps its optimiser pickled in the study; a database that can run code
    when it is opened is not wanted here, and replaying a few hundred generations takes
    milliseconds. Hansen, "The CMA Evolution Strategy: A Tutorial", 2016.
    """

    def __init__(self, study_seed: int, trial_seed: int, options: Mapping[str, Any]) -> None:
        super().__init__(
            seed=study_seed,
            independent_sampler=optuna.samplers.RandomSampler(seed=trial_seed),
            warn_independent_sampling=False,
            **options,
        )

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._asked = (study, search_space)
        return super().sample_relative(study, trial, search_space)

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> cmaes.CMA:
        study, space = self._asked
        transform = optuna._transform._SearchSpaceTransform(
            space, transform_step=True, transform_0_1=True
        )
        optimizer = self._init_optimizer(transform, study.direction)
        sign = 1.0 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1.0
        while True:
            solved = self._get_solution_trials(completed_trials, optimizer.generation)
            if len(solved) < optimizer.population_size:
                return optimizer
            optimizer.tell(
                [
                    (transform.transform({key: trial.params[key] for key in space}), sign * value)
                    for trial in solved[: optimizer.population_size]
                    if (value := trial.value) is not None
                ]
            )

    def _split_optimizer_str(self, optimizer_str: str) -> dict[str, str]:
        return {}  # nothing pickled enters the study
