"""The density that TPE ranks candidates by has the same bits as Optuna's."""

import itertools

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import default_weights

from orchestrator.proposing.parzen import LeanParzenEstimator

KEYS = {
    "plain": FloatDistribution(-1.0, 1.0),
    "log": FloatDistribution(1e-5, 1e-1, log=True),
    "choice": CategoricalDistribution(["a", None, 3]),
    "stepped": FloatDistribution(0.0, 1.0, step=0.125),
    "whole": IntDistribution(1, 64, step=3),
    "whole log": IntDistribution(1, 512, log=True),
}
SPACES = [
    *([key] for key in KEYS),
    ["plain", "choice"],
    ["plain", "log", "choice", "stepped", "whole", "whole log"],
]


def drawn(chance, distribution, count):
    if isinstance(distribution, CategoricalDistribution):
        return chance.integers(0, len(distribution.choices), count).astype(float)
    low, high = distribution.low, distribution.high
    if distribution.log:
        found = np.exp(chance.uniform(np.log(low), np.log(high), count))
    else:
        found = chance.uniform(low, high, count)
    if distribution.step:
        return low + np.round((found - low) / distribution.step) * distribution.step
    return found


def both(space, observations):
    parameters = _ParzenEstimatorParameters(1.0, True, False, default_weights, True)
    return [
        kind(observations, space, parameters) for kind in (_ParzenEstimator, LeanParzenEstimator)
    ]


@pytest.mark.parametrize("keys", SPACES, ids=" ".join)
@pytest.mark.parametrize("count", [0, 1, 5, 26, 300])
def test_every_density_has_the_same_bits(keys, count):
    space = {key: KEYS[key] for key in keys}
    chance = np.random.default_rng(count)
    optunas, ours = both(space, {key: drawn(chance, d, count) for key, d in space.items()})
    samples = optunas.sample(np.random.RandomState(count), 24)
    assert ours.log_pdf(samples).tobytes() == optunas.log_pdf(samples).tobytes()


@pytest.mark.parametrize("count", range(2, 12))
def test_so_it_has_however_many_keys_there_are(count):
    space = {str(n): FloatDistribution(0.0, 10.0**n) for n in range(count)}
    chance = np.random.default_rng(count)
    optunas, ours = both(space, {key: drawn(chance, d, 50) for key, d in space.items()})
    samples = optunas.sample(np.random.RandomState(count), 24)
    assert ours.log_pdf(samples).tobytes() == optunas.log_pdf(samples).tobytes()


def test_what_lies_outside_of_the_range_has_no_density():
    space = {"plain": KEYS["plain"], "log": KEYS["log"]}
    chance = np.random.default_rng(0)
    for shift in itertools.product((1.0, 3.0), (1.0, 1e4)):
        optunas, ours = both(space, {key: drawn(chance, d, 9) for key, d in space.items()})
        samples = {
            key: by * drawn(chance, d, 24)
            for by, (key, d) in zip(shift, space.items(), strict=True)
        }
        assert ours.log_pdf(samples).tobytes() == optunas.log_pdf(samples).tobytes()
