import math

import numpy as np
import pytest

from data.xray_ct.prepare.thorax_canvas import Canvas

STRAIGHT = np.hstack([np.eye(3), np.zeros((3, 1))])


@pytest.mark.parametrize("size", [24, 64])
def test_an_ellipsoid_has_its_volume_and_its_place_at_every_size(size):
    canvas = Canvas(size, 120.0, STRAIGHT, 0.0)
    canvas.ellipsoid((10, -15, 5), (25, 30, 40), 1.0)
    volume = canvas.values.sum() * canvas.voxel**3
    assert volume == pytest.approx(4 / 3 * math.pi * 25 * 30 * 40, rel=0.03)
    axis = ((np.arange(size) + 0.5) / size - 0.5) * 120
    weights = canvas.values / canvas.values.sum()
    centre = [float((weights.sum(axis=others) * axis).sum()) for others in ((1, 2), (0, 2), (0, 1))]
    assert centre == pytest.approx([10, -15, 5], abs=0.3)


def test_later_shapes_cover_earlier_ones_and_nothing_else():
    canvas = Canvas(30, 60.0, STRAIGHT, -1.0)
    canvas.ellipsoid((0, 0, 0), (25, 25, 25), 5.0)
    canvas.ellipsoid((0, 0, 10), (6, 6, 6), 9.0)
    assert canvas.values[15, 15, 20] == pytest.approx(9)
    assert canvas.values[15, 15, 10] == pytest.approx(5)
    assert canvas.values[0, 0, 0] == -1
    assert canvas.values.max() == pytest.approx(9)


def test_a_pose_moves_and_turns_what_is_painted():
    angle = math.radians(30)
    turn = np.eye(3)
    turn[1:, 1:] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    pose = np.hstack([turn, np.array([[4.0], [0.0], [-6.0]])])
    canvas = Canvas(60, 120.0, pose, 0.0)
    canvas.ellipsoid((0, 20, 0), (5, 5, 5), 1.0)
    middle = np.argwhere(canvas.values > 0.5).mean(axis=0)
    expected = turn.T @ (np.array([0, 20, 0]) - pose[:, 3])  # mm in the cube
    np.testing.assert_allclose((middle + 0.5) * 2 - 60, expected, atol=0.3)


def test_an_ellipsoid_may_lean():
    canvas = Canvas(40, 80.0, STRAIGHT, 0.0)
    canvas.ellipsoid((0, 0, 0), (30, 5, 5), 1.0, turn=math.radians(45))
    assert canvas.values[28, 20, 28] > 0.9  # down and to the left
    assert canvas.values[28, 20, 12] == 0
    assert canvas.values[36, 20, 20] == 0


def test_what_is_outside_the_cube_paints_nothing():
    canvas = Canvas(16, 40.0, STRAIGHT, 0.0)
    canvas.ellipsoid((0, 0, 100), (10, 10, 10), 1.0)
    assert canvas.values.max() == 0
