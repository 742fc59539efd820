"""The skeleton of a random chest: spine, ribs and sternum."""

from __future__ import annotations

import numpy as np

from data.xray_ct.prepare.thorax_canvas import Canvas, Field

SPONGY, COMPACT, DISC, CORD = 250.0, 750.0, 90.0, 35.0

VERTEBRA = 30.0  # mm from one to the next
RIBS = 10

Rng = np.random.Generator


def draw_spine(canvas: Canvas, rng: Rng, back: float) -> None:
    """Vertebrae with discs between them, their canal and spinous processes.

    Args:
        canvas: painted on.
        rng: of the bend to a side and the density.
        back: mm that the vertebrae's middles are behind the chest's middle.
    """
    density = rng.uniform(0.8, 1.25)
    bend, phase = rng.normal(0, 6), rng.uniform(0, 2 * np.pi)
    for number in range(-7, 8):
        down = number * VERTEBRA
        left = float(bend * np.sin(down / 130 + phase))
        place = back - 12 * (down / 180) ** 2  # it is hunched a little
        canvas.ellipsoid((down, place, left), (13, 17, 20), COMPACT * density)
        canvas.ellipsoid((down, place, left), (10, 13, 16), SPONGY * density)
        canvas.ellipsoid((down + VERTEBRA / 2, place, left), (4, 15, 18), DISC)
        canvas.ellipsoid((down + 8, place + 27, left), (7, 12, 4), COMPACT * 0.6 * density)
        canvas.ellipsoid((down, place + 20, left), (18, 7, 8), CORD)


def draw_sternum(canvas: Canvas, front: float) -> None:
    """The breast bone, `front` mm from the chest's middle, negative to the front."""
    canvas.ellipsoid((-40, front, 0), (75, 6, 17), COMPACT * 0.55)


def draw_ribs(canvas: Canvas, rng: Rng, cage: tuple[float, float, float]) -> None:
    """Bands of an ellipsoid's shell that slope down to the front.

    Args:
        canvas: painted on.
        rng: of their slope, spacing and thickness.
        cage: half axes of the shell.
    """
    slope, spacing = rng.uniform(0.35, 0.7), rng.uniform(25, 30)
    thickness, height = rng.uniform(3.5, 5.0), rng.uniform(5.5, 7.5)
    first = -spacing * (RIBS - 1) / 2 - 15

    def depth(down: Field, back: Field, left: Field) -> Field:
        radius = np.sqrt((down / cage[0]) ** 2 + (back / cage[1]) ** 2 + (left / cage[2]) ** 2)
        shell = thickness - np.abs(radius - 1) * min(cage)
        level = (down + slope * back - first) / spacing
        nearest = np.clip(np.rint(level), 0, RIBS - 1)
        band = height - np.abs(level - nearest) * spacing
        gap = np.abs(left) - 20  # of cartilage, which joins them to the sternum
        return np.asarray(
            np.minimum(np.minimum(shell, band), np.where(back < 0, gap, band)), dtype=np.float32
        )

    canvas.paint((0, 0, 0), np.array(cage) + thickness, depth, COMPACT * rng.uniform(0.7, 1.0))
