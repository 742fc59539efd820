"""TPE's mixture of kernels, one for every trial: the same bits as Optuna's in a third of the time.

Which candidate is proposed can hang on the last bit where two are equally good, so that every
number goes through the same operations in the same order; what is spared are arrays in between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from optuna.samplers._tpe import _truncnorm
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.samplers._tpe.probability_distributions import (
    _BatchedCategoricalDistributions,
    _BatchedDiscreteTruncLogNormDistributions,
    _BatchedDiscreteTruncNormDistributions,
    _BatchedTruncLogNormDistributions,
    _BatchedTruncNormDistributions,
    _log_gauss_mass_unique,
    _unique_inverse_2d,
)

Floats = NDArray[np.float64]
_BLOCK = 1024  # kernels at once, so that they stay in the processor's cache
_ADDED_IN_PAIRS = 8  # so many numbers numpy adds in another order than one after the other
_Stepped = _BatchedDiscreteTruncNormDistributions | _BatchedDiscreteTruncLogNormDistributions
_Continuous = _BatchedTruncNormDistributions | _BatchedTruncLogNormDistributions


class LeanParzenEstimator(_ParzenEstimator):
    """Optuna's own, but for how its density is computed."""

    def log_pdf(self, samples_dict: dict[str, Floats]) -> Floats:
        """The logarithm of the density at some samples."""
        samples = self._transform(samples_dict)
        weights, kernels = self._mixture_distribution
        summed = np.zeros((len(samples), len(weights)))
        continuous: dict[int, _Continuous] = {}
        for index, kernel in enumerate(kernels):
            if isinstance(kernel, _BatchedCategoricalDistributions):
                of_choices = np.ascontiguousarray(np.log(kernel.weights).T)
                for row, choice in zip(summed, samples[:, index].astype(np.int64), strict=True):
                    row += of_choices[choice]
            elif isinstance(kernel, _Continuous):
                continuous[index] = kernel
            else:
                _add_masses(summed, samples[:, index], kernel)
        if continuous:
            summed += _log_densities(samples[:, list(continuous)], list(continuous.values()))
        summed += np.log(weights[np.newaxis])
        largest = summed.max(axis=1)
        largest[np.isneginf(largest)] = 0
        summed -= largest[:, None]
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(np.exp(summed, out=summed).sum(axis=1)) + largest)


def _add_masses(summed: Floats, points: Floats, kernel: _Stepped) -> None:
    """Of a key with steps, what a kernel puts on the step around each sample."""
    half = kernel.step / 2
    steps, step_of = np.unique(points, return_inverse=True)
    mu, sigma, kernel_of = _unique_inverse_2d(kernel.mu, kernel.sigma)
    left, right = steps - half, steps + half
    if kernel.is_log:
        left, right = np.log(left), np.log(right)
    ends = ((left[:, np.newaxis] - mu) / sigma, (right[:, np.newaxis] - mu) / sigma)
    summed += _log_gauss_mass_unique(*ends)[np.ix_(step_of, kernel_of)]
    low, high = (kernel.adapted_low - mu) / sigma, (kernel.adapted_high - mu) / sigma
    summed -= _truncnorm._log_gauss_mass(low, high)[kernel_of]


def _log_densities(samples: Floats, kernels: list[_Continuous]) -> Floats:
    """Of truncated normal kernels, the sum over the keys; (samples, kernels)."""
    shape = (len(samples), len(kernels[0].mu))
    of_keys = (
        _log_density(np.log(points) if kernel.is_log else points, kernel, np.empty(shape))
        for points, kernel in zip(samples.T, kernels, strict=True)
    )
    if len(kernels) >= _ADDED_IN_PAIRS:
        return np.asarray(np.stack(list(of_keys), axis=-1).sum(axis=-1))
    summed = next(of_keys)
    for density in of_keys:
        summed += density
    return summed


def _log_density(points: Floats, kernel: _Continuous, out: Floats) -> Floats:
    """Of one key."""
    low, high = (
        (end - kernel.mu) / kernel.sigma for end in (kernel.adapted_low, kernel.adapted_high)
    )
    mass, log_sigma = _truncnorm._log_gauss_mass(low, high), np.log(kernel.sigma)
    may_be_outside = _may_be_outside(points, kernel)
    for first in range(0, len(kernel.mu), _BLOCK):
        some = slice(first, first + _BLOCK)
        block = out[:, some]
        np.subtract(points[:, None], kernel.mu[some], out=block)
        block /= kernel.sigma[some]
        outside = (block < low[some]) | (block > high[some]) if may_be_outside else None
        np.square(block, out=block)
        block *= -0.5  # exact, as are minus and half in turn
        block -= _truncnorm._norm_pdf_logC
        block -= mass[some]
        block -= log_sigma[some]
        if outside is not None:
            block[outside] = -np.inf
    return out


def _may_be_outside(points: Floats, kernel: _Continuous) -> bool:
    """Rounding keeps the order of numbers, so that a sample within the range is never outside."""
    return bool(points.min() < kernel.adapted_low or points.max() > kernel.adapted_high)
