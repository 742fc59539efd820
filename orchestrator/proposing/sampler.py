"""The sampler for one trial, made anew from the study's seed, the trial's number and history.

Nothing of a sampler outlives the ask it was made for but what follows from ended trials, so a
resumed study asks what the uninterrupted one would have asked, and no sampler is ever unpickled.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.samplers._tpe.sampler import default_gamma
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from orchestrator.proposing.memory import Floats, Memory
from orchestrator.proposing.parzen import LeanParzenEstimator
from orchestrator.settings.schema import Choices, SamplerSettings, options_of
from orchestrator.settings.space import Search, distribution, grid
from protocol.seeds import derive_seed

if TYPE_CHECKING:
    import cmaes
    from numpy.typing import NDArray
    from optuna._gp.acqf import BaseAcquisitionFunc

Distributions = dict[str, BaseDistribution]


def make_sampler(
    settings: SamplerSettings,
    search: Search,
    study_seed: int,
    number: int,
    memory: Memory | None = None,
) -> BaseSampler:
    """The sampler that proposes trial `number`.

    Args:
        memory: of the study, which spares work and changes no proposal.

    Raises:
        SettingsError: a grid search over a continuous range.
    """

    def make(*what: str) -> BaseSampler:
        seed = derive_seed(study_seed, "sampler", number, *what)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.simplefilter("ignore", FutureWarning)  # the options stay until Optuna 6
            return _make(settings, search, study_seed, seed, number, memory)

    return SamplerOfOneTrial(make)


def _make(
    settings: SamplerSettings,
    search: Search,
    study_seed: int,
    seed: int,
    number: int,
    memory: Memory | None = None,
) -> BaseSampler:
    options = options_of(settings)
    match settings.kind:
        case "tpe":
            conditional = any(spec.when for spec in search.values())
            group = conditional and settings.multivariate is not False
            return MovingTPESampler(search, memory, seed=seed, **{"group": group, **options})
        case "random":
            return RandomSampler(seed=seed)
        case "gp":
            return MovingGPSampler(search, seed=seed, **options)
        case "cmaes":
            return ReplayingCmaEsSampler(search, study_seed, seed, options)
        # These two walk through one sequence that the study's seed fixes.
        case "grid":
            return optuna.samplers.GridSampler(grid(search), seed=study_seed)
        case "qmc":
            return NumberedQMCSampler(search, number, study_seed, seed, options)


class SamplerOfOneTrial(BaseSampler):
    """Optuna's sampler, except that a value drawn alone has a seed of its own.

    So a trial that a kill left half-asked is completed to the point that it would have been:
    what is known already is not drawn again, and must not shift what is drawn after it.
    Optuna's `after_trial` is left out: of these samplers only the grid's does anything, which is
    to stop a loop that is not running here.
    """

    def __init__(self, make: Callable[..., BaseSampler]) -> None:
        self._make = make
        self._joint = make()

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._joint.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions
    ) -> dict[str, Any]:
        known = _asked_before(trial)
        if known is not None and known.keys() <= search_space.keys():
            return known
        return self._joint.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        alone = self._make(param_name)
        return alone.sample_independent(study, trial, param_name, param_distribution)


def _asked_before(trial: FrozenTrial) -> dict[str, Any] | None:
    """The joint proposal that TPE and GP leave with a trial, in pieces, before it is suggested."""
    pieces = {
        int(key.rpartition(":")[2]): piece
        for key, piece in trial.system_attrs.items()
        if ":relative_params:" in key
    }
    try:
        known: dict[str, Any] = json.loads("".join(pieces[index] for index in sorted(pieces)))
    except json.JSONDecodeError:
        return None  # none, or a kill fell between two pieces
    return known


class MovingTPESampler(TPESampler):
    """TPE that takes ranges as they are now.

    Of Optuna's, the groups keep the first range ever seen, and without them a range that has moved
    is left out of the joint proposal.
    """

    def __init__(self, search: Search, memory: Memory | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._search_now = search
        self._now = {key: distribution(spec) for key, spec in search.items()}
        self._memory = memory
        if memory is not None:
            self._parzen_estimator_cls = LeanParzenEstimator

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        if not self._is_multivariate(study):
            return {}
        if self._group_decomposed_search_space is None:
            states = (TrialState.COMPLETE, TrialState.PRUNED)
            return shared_space(self._search_now, study, *states, memory=self._memory)
        group = self._search_space_group = self._groups(study)
        for space in group.search_spaces:
            space.update({key: self._now[key] for key in space if key in self._now})
        return {
            key: found
            for space in group.search_spaces
            for key, found in sorted(space.items())
            if not found.single()
        }

    def _groups(self, study: optuna.Study) -> _SearchSpaceGroup:
        """The keys that always occur together, as Optuna finds them, trial after trial.

        Another trial with the same keys leaves the groups and their order as they are.
        """
        assert self._group_decomposed_search_space is not None
        if self._memory is None:
            return self._group_decomposed_search_space.calculate(study)
        group = _SearchSpaceGroup()
        rows = self._memory.rows(_ended(study))
        for first in self._memory.first_of_each_key_set(rows):
            group.add_distributions(first.distributions)
        return group

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions
    ) -> dict[str, Any]:
        """Optuna's own, but for what is remembered of ended trials."""
        memory = self._memory
        if memory is None or self._gamma is not None:
            return super()._sample(study, trial, search_space)
        rows = memory.rows(_ended(study))
        largest = study.direction == optuna.study.StudyDirection.MAXIMIZE
        good = memory.best(rows, default_gamma(len(rows)), largest=largest)
        below = _whole(memory.values(rows[good], search_space))
        others = memory.values(rows[~good], search_space)
        running, numbers = self._running(study, trial, search_space)
        by_number = np.argsort(np.concatenate([memory.numbers(rows[~good]), numbers]))
        above = _whole(np.concatenate([others, running])[by_number])
        estimators = [
            self._parzen_estimator_cls(
                dict(zip(search_space, found.T, strict=True)),
                search_space,
                self._parzen_estimator_parameters,
            )
            for found in (below, above)
        ]
        samples = estimators[0].sample(self._rng.rng, self._n_ei_candidates)
        chosen = self._compare(samples, self._compute_acquisition_func(samples, *estimators))
        return {key: found.to_external_repr(chosen[key]) for key, found in search_space.items()}

    def _running(
        self, study: optuna.Study, trial: FrozenTrial, space: Distributions
    ) -> tuple[Floats, Floats]:
        """What running trials try, which counts as bad until it is known; and their numbers."""
        if not self._constant_liar:
            return np.empty((0, len(space))), np.empty(0)
        trials = study._get_trials(deepcopy=False, states=(TrialState.RUNNING,), use_cache=False)
        others = [other for other in trials if other.number != trial.number]
        found = self._get_internal_repr(others, space, study)
        numbers = [
            other.number
            for other in others
            if space.keys() <= self._get_params(other, study).keys()
        ]
        return np.array(list(found.values())).T.reshape(len(numbers), len(space)), np.array(
            numbers, float
        )


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that TPE learns from, by number."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return study._get_trials(deepcopy=False, states=states, use_cache=False)


def _whole(values: Floats) -> Floats:
    """The rows that lack no value."""
    return values[~np.isnan(values).any(axis=1)]


class MovingGPSampler(GPSampler):
    """A Gaussian process over the ranges of now; values of the past may lie outside of them.

    For Optuna's own a range that has moved is none of the joint proposal's keys any more, so that
    its value is drawn at random for ever.
    """

    def __init__(self, search: Search, **options: Any) -> None:
        super().__init__(**options)
        self._search_now = search

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        return shared_space(self._search_now, study, TrialState.COMPLETE)

    def _optimize_acqf(
        self, acqf: BaseAcquisitionFunc, best_params: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """From the best points so far, as near to them as the ranges of now allow."""
        if best_params is not None:
            numbers = ~acqf.search_space.is_categorical
            best_params = best_params.copy()
            best_params[:, numbers] = best_params[:, numbers].clip(0.0, 1.0)
        return super()._optimize_acqf(acqf, best_params)


def shared_space(
    search: Search, study: optuna.Study, *states: TrialState, memory: Memory | None = None
) -> Distributions:
    """The keys that all trials in these states have, in their ranges of now.

    Choices, steps and scales stay what they were as long as a study goes on, so that a value from
    a range of the past is a point of the same axis.
    """
    trials = study._get_trials(deepcopy=False, states=states, use_cache=False)
    if memory is not None:
        trials = memory.first_of_each_key_set(memory.rows(trials))
    shared = set(search).intersection(*(trial.params for trial in trials)) if trials else ()
    space = {key: distribution(search[key]) for key in sorted(shared)}
    return {key: found for key, found in space.items() if not found.single()}


class ReplayingCmaEsSampler(CmaEsSampler):
    """CMA-ES whose state is replayed from the finished trials at every ask.

    Optuna's own sampler keeps its optimiser pickled in the study; a database that can run code
    when it is opened is not wanted here, and replaying a few hundred generations takes
    milliseconds. Hansen, "The CMA Evolution Strategy: A Tutorial", 2016.
    """

    def __init__(
        self, search: Search, study_seed: int, trial_seed: int, options: Mapping[str, Any]
    ) -> None:
        super().__init__(
            seed=study_seed,
            independent_sampler=RandomSampler(seed=trial_seed),
            warn_independent_sampling=False,
            **options,
        )
        self._search = search

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        """Every number that all trials have, in its range of now."""
        numbers = {
            key: distribution(spec)
            for key, spec in sorted(self._search.items())
            if not spec.when and not isinstance(spec, Choices)
        }
        return {key: found for key, found in numbers.items() if not found.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions
    ) -> dict[str, Any]:
        self._asked = (study, search_space)
        return super().sample_relative(study, trial, search_space)

    def _get_trials(self, study: optuna.Study) -> list[FrozenTrial]:
        """In order of completion, so that what once made up a generation always will."""
        trials = super()._get_trials(study)
        return sorted(trials, key=lambda trial: (trial.datetime_complete, trial.number))

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


class NumberedQMCSampler(QMCSampler):
    """A quasi-random sequence whose n-th point belongs to trial n.

    Optuna's own counts its points in the study, so that a trial asked twice gets two of them, and
    leaves the sequence's first point out.
    """

    def __init__(
        self,
        search: Search,
        number: int,
        study_seed: int,
        trial_seed: int,
        options: Mapping[str, Any],
    ) -> None:
        super().__init__(
            seed=study_seed,
            independent_sampler=RandomSampler(seed=trial_seed),
            warn_asynchronous_seeding=False,
            warn_independent_sampling=False,
            **{"scramble": True, **options},
        )
        self._search = search
        self._number = number

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        space = {key: distribution(spec) for key, spec in sorted(self._search.items())}
        return {key: found for key, found in space.items() if not found.single()}

    def _find_sample_id(self, study: optuna.Study, search_space: Distributions) -> int:
        return self._number
