"""From Hounsfield units to the two X-ray images of a volume.

μ = μ_water(E)·(1 + HU/1000), not below 0, for photons of one energy E: Hounsfield's definition,
with the attenuation of air taken as 0. A detector counts I = I₀·exp(−∫μ) (Beer and Lambert). The
image is the usual inverted logarithmic one, −ln(I/I₀), bright where much is absorbed, divided by
what water 1.25 times as thick as the volume's longest side absorbs, and clipped to [0, 1]. So grey
values of different volumes can be compared, and without noise do not depend on E: what they say is
how thick a layer of water, as a share of that length, would absorb as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.physics.drr import Array, ConeBeam, project
from data.physics.photons import HIGHEST, KEV, LOWEST, WATER
from data.scans.volume import Millimetres

WHITE = 1.25  # the volume's longest sides of water that absorb as much as white means
FEWEST_PHOTONS = 0.5  # stands for none, whose logarithm is infinite


@dataclass(frozen=True, kw_only=True)
class XrayTube:
    """How X-ray images are taken."""

    beam: ConeBeam | None = None  # None: parallel rays
    energy: float = KEV  # keV
    photons: float | None = None  # that a pixel counts without a body; None: no noise
    from_behind: bool = False  # the front view is PA, source behind the patient, rather than AP


def radiographs(
    hu: Array,
    voxel_size: Millimetres,
    size: int,
    tube: XrayTube | None = None,
    rng: np.random.Generator | None = None,
) -> Array:
    """The front and the lateral view of a volume.

    Both are seen from the front or from the patient's right: AP or PA, what is on the patient's
    right is on the left of the front view, as radiographs are hung. The lateral source is on the
    patient's right; the front of the body is on the left of the image.

    Args:
        hu: (D, H, W), axes from head to feet, front to back, right to left.
        voxel_size: mm between slices, rows and columns.
        size: rows and columns of an image.
        tube: how they are taken.
        rng: of the noise; needed if `tube` counts photons.

    Returns:
        (2, size, size) float32 in [0, 1].

    Raises:
        ValueError: the source is inside the volume.
    """
    tube = tube or XrayTube()
    relative = np.maximum(1 + hu / np.float32(1000), 0)  # μ / μ_water
    side = max(n * mm for n, mm in zip(hu.shape, voxel_size, strict=True))
    front = relative[:, ::-1] if tube.from_behind else relative
    views = [
        project(volume, size, voxel_size, axis=axis, beam=tube.beam)
        for axis, volume in ((1, front), (2, relative))
    ]
    water = water_attenuation(tube.energy)
    absorbed = np.stack(views) * np.float32(water)  # ∫μ
    if tube.photons is not None:
        if rng is None:
            raise ValueError("noise needs a generator of random numbers")
        absorbed = noisy(absorbed, tube.photons, rng)
    return np.clip(absorbed / np.float32(WHITE * water * side), 0, 1).astype(np.float32)


def noisy(absorbed: Array, photons: float, rng: np.random.Generator) -> Array:
    """−ln(N/I₀) of counts N that are Poisson distributed about I₀·exp(−∫μ)."""
    counts = rng.poisson(photons * np.exp(-absorbed.astype(np.float64)))
    return np.asarray(-np.log(np.maximum(counts, FEWEST_PHOTONS) / photons), dtype=np.float32)


def water_attenuation(kev: float) -> float:
    """μ of water in 1/mm, interpolated between tabled energies on logarithmic scales.

    Raises:
        ValueError: the energy is outside the table.
    """
    if not LOWEST <= kev <= HIGHEST:
        raise ValueError(f"energy: found {kev:g} keV, expected {LOWEST} to {HIGHEST}")
    logs = np.interp(np.log(kev), np.log(list(WATER)), np.log(list(WATER.values())))
    return float(np.exp(logs)) / 10
