"""Random slices of invented bodies: what a chest or abdomen looks like to CT, roughly.

Values are attenuation over that of 3071 HU, as in LoDoPaB-CT: air 0, lung about 0.05, fat 0.22,
water 0.246, muscle 0.26, bone 0.35 to 0.7. About one body in six is none at all but a heap of
random ellipses, as in Adler & Öktem, "Solving ill-posed inverse problems using iterative deep
neural networks", Inverse Problems 33 (2017), so that nothing can be learned by heart.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data.physics.raster import Blob, coverage, paint

Rng = np.random.Generator

FAT, MUSCLE = 0.22, 0.258
ELLIPSES_SHARE = 1 / 6


def draw_slice(seed: int, patient: int, number: int, size: int) -> NDArray[np.float32]:
    """Slice `number` of a patient: (size, size) float32 in [0, 1].

    The same arguments give the same slice at every size, up to the sampling. Slices of one
    patient share the body's build and differ in level, organs and lesions.
    """
    body_rng = np.random.default_rng([seed, patient])
    slice_rng = np.random.default_rng([seed, patient, number, 1])
    if body_rng.random() < ELLIPSES_SHARE:
        image = _ellipses(slice_rng, size)
    else:
        image = _Body(body_rng).slice(slice_rng, size)
    return np.clip(image, 0, 1)


def _ellipses(rng: Rng, size: int) -> NDArray[np.float32]:
    image = np.zeros((size, size), dtype=np.float32)
    paint(image, _blob(rng, (0, 0), (0.68, 0.68), vary=0.2, waviness=0.03), rng.uniform(0.1, 0.3))
    for _ in range(rng.integers(5, 30)):
        centre = (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5))
        radii = (rng.exponential(0.1) + 0.01, rng.exponential(0.1) + 0.01)
        blob = Blob(centre=centre, radii=radii, turn=rng.uniform(0, np.pi))
        paint(image, blob, rng.uniform(0, 0.6))
    return image


def _blob(
    rng: Rng,
    centre: tuple[float, float],
    radii: tuple[float, float],
    *,
    vary: float = 0.12,
    waviness: float = 0.04,
    turn: float = 0.0,
) -> Blob:
    """A blob near the given one: moved, stretched, turned and waved a little."""
    scale = rng.uniform(1 - vary, 1 + vary, 2)
    shift = rng.uniform(-vary, vary, 2) * min(radii)
    waves = tuple(
        (order, rng.normal(0, waviness / order), rng.uniform(0, 2 * np.pi))
        for order in (2, 3, 4, 5)
    )
    return Blob(
        centre=(centre[0] + shift[0], centre[1] + shift[1]),
        radii=(radii[0] * scale[0], radii[1] * scale[1]),
        turn=turn + rng.normal(0, vary / 2),
        waves=waves if waviness else (),
    )


@dataclass
class _Body:
    """One patient's build."""

    rng: Rng
    radii: tuple[float, float] = field(init=False)  # of the skin
    fat: float = field(init=False)  # share of the radii that is fat
    level: float = field(init=False)  # 0 upper chest … 1 belly, of its first slice
    density: float = field(init=False)  # of its bones

    def __post_init__(self) -> None:
        rng = self.rng
        self.radii = (rng.uniform(0.46, 0.64), rng.uniform(0.7, 0.9))
        self.fat = rng.uniform(0.04, 0.16)
        self.level = rng.uniform(0, 0.9)
        self.density = rng.uniform(0.8, 1.2)

    def slice(self, rng: Rng, size: int) -> NDArray[np.float32]:
        """One of its slices, (size, size)."""
        level = float(np.clip(self.level + rng.normal(0, 0.15), 0, 1))
        image = np.zeros((size, size), dtype=np.float32)
        skin = _blob(rng, (0, 0), self.radii, vary=0.03, waviness=0.02)
        paint(image, skin, FAT + rng.normal(0, 0.004))
        inner = (skin.radii[0] * (1 - self.fat), skin.radii[1] * (1 - self.fat))
        muscle = Blob(centre=skin.centre, radii=inner, turn=skin.turn, waves=skin.waves)
        paint(image, muscle, MUSCLE + rng.normal(0, 0.004))
        if level < 0.65:
            self._chest(image, rng, inner, 1.0 - 0.6 * level)
        if level > 0.45:
            self._belly(image, rng, inner)
        self._bones(image, rng, inner, chest=level < 0.65)
        _lesions(image, rng, inner)
        _texture(image, rng, skin)
        return image

    def _chest(
        self, image: NDArray[np.float32], rng: Rng, inner: tuple[float, float], lungs: float
    ) -> None:
        """Two lungs with their vessels, and the heart and great vessels between them."""
        for side in (-1, 1):
            centre = (-0.05 * inner[0], side * 0.47 * inner[1])
            radii = (0.68 * inner[0] * lungs, 0.34 * inner[1] * lungs)
            paint(image, _blob(rng, centre, radii, waviness=0.06), rng.uniform(0.03, 0.08))
            for _ in range(rng.integers(8, 30)):
                where = _inside(rng, centre, radii, 0.85)
                width = 0.004 + rng.exponential(0.006)
                branch = (width, width * rng.uniform(1, 5))
                vessel = Blob(centre=where, radii=branch, turn=rng.uniform(0, np.pi))
                paint(image, vessel, rng.uniform(0.15, 0.27))
        heart = _blob(rng, (0.05, 0.12 * inner[1]), (0.33 * inner[0], 0.3 * inner[1]))
        contrast = rng.uniform(0.0, 0.08)
        paint(image, heart, MUSCLE + 0.5 * contrast)
        for where in ((0.42 * inner[0], 0.13 * inner[1]), (-0.2 * inner[0], 0.0)):
            paint(image, _blob(rng, where, (0.05, 0.05)), MUSCLE + contrast)
        paint(image, _blob(rng, (0.2 * inner[0], 0), (0.025, 0.03)), 0.0)  # windpipe

    def _belly(self, image: NDArray[np.float32], rng: Rng, inner: tuple[float, float]) -> None:
        """Liver, kidneys, and bowels filled with anything from gas to contrast agent."""
        paint(image, _blob(rng, (0, 0), (0.85 * inner[0], 0.88 * inner[1])), FAT + 0.005)
        liver = _blob(rng, (-0.1, -0.45 * inner[1]), (0.5 * inner[0], 0.36 * inner[1]))
        paint(image, liver, rng.uniform(0.255, 0.28))
        for side in (-1, 1):
            kidney = _blob(rng, (0.45 * inner[0], side * 0.4 * inner[1]), (0.1, 0.07))
            paint(image, kidney, rng.uniform(0.25, 0.31))
        for _ in range(rng.integers(4, 14)):
            where = _inside(rng, (-0.15, 0.25 * inner[1]), (0.5 * inner[0], 0.55 * inner[1]), 0.9)
            bowel = _blob(rng, where, (rng.uniform(0.03, 0.1), rng.uniform(0.03, 0.12)))
            paint(image, bowel, MUSCLE)
            filling = Blob(centre=bowel.centre, radii=(0.8 * bowel.radii[0], 0.8 * bowel.radii[1]))
            paint(image, filling, rng.choice([0.0, 0.235, 0.25, 0.26, 0.36]))

    def _bones(
        self, image: NDArray[np.float32], rng: Rng, inner: tuple[float, float], *, chest: bool
    ) -> None:
        """A vertebra; in the chest also ribs along the wall, and the breastbone."""
        spongy, hard = 0.34 * self.density, 0.52 * self.density
        spine = 0.62 * inner[0]
        for where, radii in (
            ((spine, 0.0), (0.09, 0.11)),
            ((spine + 0.17, 0.0), (0.09, 0.025)),
            ((spine + 0.12, 0.12), (0.03, 0.1)),
            ((spine + 0.12, -0.12), (0.03, 0.1)),
        ):
            bone = _blob(rng, where, radii, vary=0.08)
            paint(image, bone, hard)
            marrow = (0.75 * bone.radii[0], 0.75 * bone.radii[1])
            paint(image, Blob(centre=bone.centre, radii=marrow, turn=bone.turn), spongy)
        paint(image, _blob(rng, (spine + 0.115, 0), (0.03, 0.04)), MUSCLE)  # spinal canal
        if not chest:
            return
        for angle in np.arange(0.5, 2 * np.pi, 2 * np.pi / rng.integers(8, 15)):
            at = angle + rng.normal(0, 0.1)
            where = (0.92 * inner[0] * np.cos(at), 0.92 * inner[1] * np.sin(at))
            tangent = np.arctan2(-inner[0] * np.sin(at), inner[1] * np.cos(at))
            rib = _blob(rng, where, (0.017, rng.uniform(0.03, 0.09)), turn=-tangent)
            paint(image, rib, hard * rng.uniform(0.8, 1.2))
        paint(image, _blob(rng, (-0.9 * inner[0], 0), (0.03, 0.1)), spongy)


def _inside(
    rng: Rng, centre: tuple[float, float], radii: tuple[float, float], share: float
) -> tuple[float, float]:
    """A point spread evenly over the inner `share` of an ellipse."""
    radius, angle = share * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    return (
        centre[0] + radii[0] * radius * np.cos(angle),
        centre[1] + radii[1] * radius * np.sin(angle),
    )


def _lesions(image: NDArray[np.float32], rng: Rng, inner: tuple[float, float]) -> None:
    """A few small spots, most of them faint, now and then a calcification."""
    for _ in range(rng.integers(0, 6)):
        spot = _blob(rng, _inside(rng, (0, 0), inner, 0.8), (rng.uniform(0.01, 0.05),) * 2)
        where = tuple(int((middle + 1) / 2 * len(image)) for middle in spot.centre)
        around = float(image[where])
        if rng.random() < 0.15:
            value = rng.uniform(0.4, 0.9)
        elif around < 0.15:
            value = rng.uniform(0.1, 0.26)
        else:
            value = around + rng.choice([-1, 1]) * rng.uniform(0.01, 0.05)
        paint(image, spot, value)


def _texture(image: NDArray[np.float32], rng: Rng, skin: Blob) -> None:
    """Let tissue be uneven, coarsely and finely, the lungs more than the rest."""
    found = coverage(skin, len(image))
    if found is None:
        return
    window, covered = found
    amplitude = np.where(image < 0.15, np.float32(2.5), np.float32(1.0)) * (image > 0.01)
    coarse, fine = (_smooth_noise(rng, knots, len(image)) for knots in (12, 90))
    uneven = np.float32(0.004) * coarse + np.float32(0.004) * fine
    image[window] += covered * (amplitude * uneven)[window]


def _smooth_noise(rng: Rng, knots: int, size: int) -> NDArray[np.float32]:
    """Noise of about unit variance that varies over 1/knots of the image, (size, size)."""
    field_ = rng.standard_normal((knots, knots)).astype(np.float32)
    return ndimage.zoom(field_, size / knots, order=1, grid_mode=True, mode="nearest")
