"""Does a sinogram belong to its image, or at least to a scan?

In parallel beams the sum of a projection is the image's, at every angle (Natterer, "The Mathematics
of Computerized Tomography", 1986, §II.4: the moments of order 0). Files of another layout or unit
have the right shape now and then, and nothing fails but the result.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.geometry import ParallelGeometry
from data.physics.parallel import MU_MAX

_CLOSE = 0.2  # relative: of the mean over the angles to the image's
_EVEN = 0.1  # relative: of the angles among each other; noise makes less
_TISSUE = 0.05  # of the normalised attenuation: a fifth of water's
LEAST_SHARE = 0.002  # of an image's pixels that show something

_LOWEST = -0.02  # metres of normalised attenuation: five times the photons that were sent out
_RIM = 0.02  # of the detector at each end, which sees air past what is in the image
_BRIGHTER = 1.5  # times the middle's mean, which the rim's is where photons were stored
_OVER = 1.05  # times the longest way through an image that is nothing but the densest bone

Array = NDArray[np.float32]


def shows_something(image: Array) -> bool:
    """Whether an image (N, N) is more than air."""
    return float(np.mean(image > _TISSUE)) >= LEAST_SHARE


def mistake(sinogram: Array, image: Array, geometry: ParallelGeometry) -> str | None:
    """How a sinogram is stored instead of as it should be; None if it is right, or quite foreign.

    Args:
        sinogram: (angles, detectors).
        image: (N, N) of normalised attenuation, with something on it.
    """
    mass = image_mass(image, geometry)
    if _fits(sinogram, mass, geometry):
        return None
    other = replace(geometry, angles=geometry.detectors, detectors=geometry.angles)
    if _fits(sinogram.T, mass, other):
        return f"it is (detectors, angles), expected {sinogram.shape[::-1]}; transpose it"
    with np.errstate(divide="ignore", invalid="ignore"):
        logged = -np.log(np.maximum(sinogram, 1e-6)) / MU_MAX
    if _fits(logged.astype(np.float32), mass, geometry):
        return "it holds shares of photons, expected line integrals; take −ln(x)/μ_max"
    if _fits(sinogram / MU_MAX, mass, geometry):
        return f"it holds line integrals in 1, expected them over μ_max; divide by {MU_MAX:g}"
    return None


def foreign(sinogram: Array, geometry: ParallelGeometry) -> str | None:
    """What keeps a sinogram that comes without its image from being one; None if nothing does.

    Args:
        sinogram: (angles, detectors).
    """
    if not np.isfinite(sinogram.sum(dtype=np.float64)):
        bad = int(sinogram.size - np.isfinite(sinogram).sum())
        return f"has {bad} NaN or infinite values of {sinogram.size}; export it again"
    low, high = float(sinogram.min()), float(sinogram.max())
    if _looks_like_photons(sinogram):
        what = "numbers of photons" if high > 2 else "shares of photons"
        return (
            f"holds {what} (from {low:.3g} to {high:.3g}, most where nothing is in the way), "
            f"expected line integrals; take −ln(N/N₀)/{MU_MAX:g}"
        )
    longest = 2 * float(np.sqrt(2)) * geometry.image_half_width
    if high > _OVER * longest:
        if high / MU_MAX <= _OVER * longest:
            return (
                f"has values up to {high:.3g}, as line integrals of attenuation have, expected "
                f"them over μ_max; divide by {MU_MAX:g}"
            )
        return (
            f"has values up to {high:.3g}, expected at most {longest:.2g}: line integrals in "
            "metres of attenuation from 0 to 1; check its unit"
        )
    if low < _LOWEST:
        return (
            f"has values down to {low:.3g}, but line integrals are 0 or more except for noise; "
            "check whether it is filtered, or a mean was taken from it"
        )
    return None


def _looks_like_photons(sinogram: Array) -> bool:
    """Whether the detector's ends, which see air, have the highest values."""
    cells = sinogram.shape[1]
    rim, quarter = max(1, round(_RIM * cells)), cells // 4
    ends = float(np.concatenate([sinogram[:, :rim], sinogram[:, -rim:]], axis=1).mean())
    middle = float(sinogram[:, quarter : cells - quarter].mean())
    return ends > 0.1 and ends > _BRIGHTER * abs(middle)


def mass_ratio(sinogram: Array, image: Array, geometry: ParallelGeometry) -> float:
    """How many times the image's sum a projection has, in the mean."""
    return float(_sums(sinogram, geometry).mean() / image_mass(image, geometry))


def is_close(ratio: float) -> bool:
    """Whether a ratio of sums is about one."""
    return abs(ratio - 1) <= _CLOSE


def image_mass(image: Array, geometry: ParallelGeometry) -> float:
    """The integral of an image, in square metres of normalised attenuation."""
    return float(image.sum(dtype=np.float64)) * geometry.pixel_width**2


def _sums(sinogram: Array, geometry: ParallelGeometry) -> NDArray[np.float64]:
    return np.asarray(sinogram.sum(axis=1, dtype=np.float64) * geometry.cell_width)


def _fits(sinogram: Array, mass: float, geometry: ParallelGeometry) -> bool:
    sums = _sums(sinogram, geometry)
    return is_close(float(sums.mean()) / mass) and float(sums.std()) <= _EVEN * mass
