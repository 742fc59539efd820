import numpy as np
import pytest

from data.xray_ct.prepare.thorax_bones import RIBS, VERTEBRA, draw_ribs, draw_spine, draw_sternum
from data.xray_ct.prepare.thorax_canvas import Canvas

STRAIGHT = np.hstack([np.eye(3), np.zeros((3, 1))])
SIZE, EDGE = 90, 360.0


@pytest.fixture
def canvas():
    return Canvas(SIZE, EDGE, STRAIGHT, 0.0)


def at(canvas, down, back, left):
    place = tuple(int((mm / EDGE + 0.5) * SIZE) for mm in (down, back, left))
    return canvas.values[place]


def test_the_spine_is_behind_and_repeats_with_its_vertebrae(canvas):
    draw_spine(canvas, np.random.default_rng(0), 60.0)
    bone = canvas.values > 150
    assert not bone[:, : int(SIZE * (0.5 + 25 / EDGE))].any()
    along = bone.sum(axis=(1, 2)).astype(float)[10:80]
    lag = round(VERTEBRA / EDGE * SIZE)
    middle = along - along.mean()
    assert (middle[lag:] * middle[:-lag]).sum() > 0.4 * (middle**2).sum()
    assert (middle[lag // 2 :] * middle[: -(lag // 2)]).sum() < 0


def test_ribs_are_bands_on_the_cages_shell_that_slope_down_to_the_front(canvas):
    draw_ribs(canvas, np.random.default_rng(1), (175.0, 80.0, 120.0))
    bone = canvas.values > 300
    column = bone[:, 45, 45:].any(axis=1).astype(int)  # along the left side
    assert np.count_nonzero(np.diff(column) == 1) == RIBS
    assert not bone[45, 45, 30:60].any()  # nothing inside the cage
    front, back = (
        np.flatnonzero(bone[:, slice_, :].any(axis=(1, 2))).max()
        for slice_ in (slice(0, 40), slice(50, 90))
    )
    assert front > back


def test_the_sternum_is_in_front(canvas):
    draw_sternum(canvas, -80.0)
    assert at(canvas, -40, -80, 0) > 300
    assert at(canvas, -40, 80, 0) == 0
