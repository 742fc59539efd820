import numpy as np
import pytest

from data.xray_ct.prepare.cube import (
    DEGREES,
    SCALE,
    SHIFT,
    Change,
    Cube,
    body_cube,
    cut,
    random_change,
)
from protocol.errors import DataError

VOXEL = (3.0, 1.0, 2.0)


@pytest.fixture
def scan():
    """A body of 30 × 24 × 36 mm, off the middle, lopsided, above a couch that it does not touch."""
    hu = np.full((20, 50, 40), -1000, dtype=np.float32)
    hu[4:14, 6:30, 10:28] = 40  # 30, 24 and 36 mm
    hu[4:6, 6:10, 10:13] = 1000  # bone: high, in front, on the right
    hu[:, 40:42, :] = 200  # the couch
    return hu


def test_the_cube_is_around_the_body_and_not_the_couch(scan):
    scan[:, 40:42, :] = -1000
    scan[3:6, 40:42, 5:9] = 200  # a small thing beside it
    cube = body_cube("a", scan, VOXEL)
    assert cube.edge == pytest.approx(36 * 1.06)
    np.testing.assert_allclose(cube.centre, [8.5 * 3, 17.5, 18.5 * 2])


def test_the_edge_may_be_given(scan):
    assert body_cube("a", scan, VOXEL, 100.0).edge == 100.0


def test_a_scan_of_nothing_but_air_is_refused():
    with pytest.raises(DataError, match="a: nothing is denser than -500 HU"):
        body_cube("a", np.full((8, 8, 8), -1000, np.float32), VOXEL)


def test_a_couch_that_the_body_lies_on_is_not_a_part_of_it():
    hu = np.full((60, 60, 60), -1000, dtype=np.float32)
    hu[5:55, 15:40, 18:42] = 40
    alone = body_cube("a", hu, (2.0,) * 3)
    hu[:, 40:42, 2:58] = 200  # its upper shell
    couch = body_cube("a", hu, (2.0,) * 3)
    assert couch.edge == alone.edge == pytest.approx(100 * 1.06)
    np.testing.assert_allclose(couch.centre, alone.centre, atol=2)  # half its shell


def test_what_is_thin_throughout_is_found_all_the_same():
    hu = np.full((40, 40, 40), -1000, dtype=np.float32)
    hu[4:36, 20, 20] = 100
    assert body_cube("a", hu, (1.0,) * 3).edge == pytest.approx(32 * 1.06)


def test_a_large_scan_is_searched_coarsely_with_nearly_the_same_result(scan, monkeypatch):
    exact = body_cube("a", scan, VOXEL)
    monkeypatch.setattr("data.xray_ct.prepare.cube.COARSE", 24)
    rough = body_cube("a", scan, VOXEL)
    np.testing.assert_allclose(rough.centre, exact.centre, atol=3)
    assert rough.edge == pytest.approx(exact.edge, abs=6)


def test_a_cut_has_voxels_of_equal_sides_and_the_body_in_its_middle(scan):
    cube = Cube(centre=np.array([8.5 * 3, 17.5, 18.5 * 2]), edge=48.0)
    volume = cut(scan, VOXEL, cube, 48)
    assert volume.shape == (48, 48, 48)
    inside = volume > -300
    for axis, side in ((0, 30), (1, 24), (2, 36)):
        others = tuple(one for one in range(3) if one != axis)
        length = np.count_nonzero(inside[:, :40].any(axis=others))
        assert abs(length - side) <= 2
    bone = np.argwhere(volume > 500).mean(axis=0)
    assert (bone < [24 - 8, 24 - 8, 24 - 10]).all()  # high, in front, right
    body = volume[24, 24, 24]
    assert body == pytest.approx(40)


def test_what_lies_outside_the_scan_is_air(scan):
    volume = cut(scan, VOXEL, Cube(centre=np.zeros(3), edge=60.0), 12)
    assert (volume[:5] == -1024).all()


def test_fewer_voxels_hold_the_same_mean(scan):
    cube = Cube(centre=np.array([8.5 * 3, 17.5, 18.5 * 2]), edge=46.0)
    fine, coarse = (cut(scan, VOXEL, cube, size) for size in (46, 8))
    assert coarse.mean() == pytest.approx(fine.mean(), abs=25)


def test_a_change_turns_moves_and_mirrors_the_body(scan):
    cube = Cube(centre=np.array([8.5 * 3, 17.5, 18.5 * 2]), edge=48.0)
    plain = cut(scan, VOXEL, cube, 24)
    mirror = cut(scan, VOXEL, cube, 24, Change(turn=np.diag([1.0, 1.0, -1.0])))
    np.testing.assert_allclose(mirror, plain[:, :, ::-1], atol=0.5)
    moved = cut(scan, VOXEL, cube, 24, Change(shift=np.array([0, 0, 0.25])))
    np.testing.assert_allclose(moved[:, :, 6:], plain[:, :, :-6], atol=0.5)  # to the left
    quarter = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    turned = cut(scan, VOXEL, cube, 24, Change(turn=quarter))
    np.testing.assert_allclose(turned, np.rot90(plain, -1, axes=(1, 2)), atol=0.5)
    both = cut(scan, VOXEL, cube, 24, Change(turn=quarter, shift=np.array([0, 0, 0.25])))
    np.testing.assert_allclose(both[:, :, 6:], turned[:, :, :-6], atol=0.5)
    larger = cut(scan, VOXEL, cube, 24, Change(turn=np.eye(3) / 1.2))
    ratio = (larger[:, :20] > -300).sum() / (plain[:, :20] > -300).sum()
    assert 1.2**2 < ratio < 1.2**4


def test_random_changes_differ_within_their_bounds_and_follow_from_the_generator():
    changes = [random_change(np.random.default_rng(seed)) for seed in range(60)]
    again = random_change(np.random.default_rng(7))
    np.testing.assert_array_equal(again.turn, changes[7].turn)
    volumes = [abs(np.linalg.det(change.turn)) for change in changes]
    assert (1 + SCALE) ** -3 <= min(volumes) < max(volumes) <= (1 - SCALE) ** -3
    assert {np.sign(np.linalg.det(change.turn)) for change in changes} == {-1, 1}
    for change in changes:
        assert np.abs(change.shift).max() <= SHIFT
        turn = change.turn / np.cbrt(abs(np.linalg.det(change.turn)))
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        rotation = np.diag([1, 1, np.sign(np.linalg.det(turn))]) @ turn
        angle = np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))
        assert angle <= 2 * DEGREES


def test_a_slice_or_two_are_no_volume():
    hu = np.full((2, 40, 40), -1000, dtype=np.float32)
    hu[:, 10:30, 10:30] = 40
    with pytest.raises(DataError, match=r"thin is 4 mm deep and 80 mm long"):
        body_cube("thin", hu, (2.0, 2.0, 2.0))
