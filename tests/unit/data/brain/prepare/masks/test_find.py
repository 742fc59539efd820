import sys

import numpy as np
import pytest
from scipy import ndimage

from data.brain.prepare.anatomy import draw_brain, smooth_noise
from data.brain.prepare.masks.find import doubts, find_mask
from protocol.errors import SettingsError

SIDES = (2.5, 2.4, 2.4)


@pytest.fixture(scope="module", params=["t1", "t2"])
def brain(request):
    drawn = draw_brain(0, 0, (40, 80, 80))
    return drawn.images[request.param] * 800, drawn.mask


def head_around(image, mask, rng):
    """A head: fluid, dark bone and bright skin around the brain, a coil's field, and noise."""
    distance = ndimage.distance_transform_edt(~mask, SIDES)
    head = image.copy()
    fluid = 100 if np.median(image[mask]) > 400 else 700
    for within, value in ((16.0, 650.0), (11.0, 20.0), (3.0, fluid)):
        head[(distance > 0) & (distance <= within)] = value
    field = 1 + 0.2 * smooth_noise(rng, mask.shape, 90)
    return (head * field + rng.normal(0, 10, mask.shape).clip(0)).astype(np.float32)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_a_stripped_volume_is_recognised_and_its_brain_found(brain):
    image, mask = brain
    found = find_mask(image.astype(np.float32), SIDES, "auto")
    assert found.method == "nonzero"
    assert found.mask.shape == mask.shape
    assert dice(found.mask, mask) > 0.97


def test_a_whole_head_is_recognised_and_the_brain_cut_out(brain):
    image, mask = brain
    head = head_around(image, mask, np.random.default_rng(0))
    found = find_mask(head, SIDES, "auto")
    assert found.method == "threshold"
    assert dice(found.mask, mask) > 0.9


def test_a_method_that_is_asked_for_is_used(brain):
    image, mask = brain
    head = head_around(image, mask, np.random.default_rng(0))
    assert find_mask(head, SIDES, "nonzero").mask.sum() > 1.2 * mask.sum()
    assert find_mask(image.astype(np.float32), SIDES, "threshold").method == "threshold"


def test_a_mask_is_one_piece_without_holes(brain):
    image, mask = brain
    head = head_around(image, mask, np.random.default_rng(1))
    found = find_mask(head, SIDES, "threshold").mask
    assert ndimage.label(found)[1] == 1
    assert np.array_equal(ndimage.binary_fill_holes(found), found)


def test_nothing_is_found_in_a_flat_volume():
    assert find_mask(np.ones((8, 8, 8), dtype=np.float32), SIDES, "auto") is None


def test_a_volume_of_two_values_alone_has_its_brain_found_all_the_same(brain):
    _, mask = brain
    found = find_mask(mask.astype(np.float32), SIDES, "auto")
    assert dice(found.mask, mask) > 0.95


@pytest.fixture(scope="module")
def tied():
    """A brain of 1.2 l in a head whose muscles and neck are joined to it."""
    sides = (4.0, 4.0, 4.0)
    z, y, x = np.indices((70, 50, 48)) * 4.0
    z, y, x = z - 190, y - 98, x - 94
    mask = (z / 62) ** 2 + (y / 82) ** 2 + (x / 56) ** 2 < 1
    distance = ndimage.distance_transform_edt(~mask, sides)
    rng = np.random.default_rng(0)
    head = np.where(mask, 600 + 120 * smooth_noise(rng, mask.shape, 5), 0)
    head[~mask & (distance < 22)] = 650
    head[~mask & (distance < 14)] = 20
    neck = (z < -45) & (np.hypot(y - 15, x) < 62) & ~mask
    head[neck & (distance > 10)] = 520
    head[neck & (np.hypot(y - 15, x) < 8)] = 560
    for side in (-1, 1):
        muscle = (z / 25) ** 2 + (y / 30) ** 2 + ((x - side * 62) / 16) ** 2 < 1
        head[muscle & ~mask] = 520
    return (head + rng.normal(0, 8, mask.shape)).clip(0).astype(np.float32), mask, sides


def test_muscles_and_a_neck_that_touch_the_brain_are_cut_off(tied):
    head, mask, sides = tied
    found = find_mask(head, sides, "auto")
    assert found.method == "threshold"
    assert dice(found.mask, mask) > 0.9
    assert doubts(head, found.mask, sides) == ()


def test_what_speaks_against_a_mask_is_said(tied):
    head, mask, sides = tied
    small, everything = mask & (np.arange(70)[:, None, None] > 50), head > 100
    assert "l is no brain" in doubts(head, small, sides)[0]
    large, edge = doubts(head, everything, sides)
    assert "l is no brain" in large
    assert "touches the edge" in edge
    assert (
        "has no background"
        in doubts(head[25:60, 15:35, 15:33], mask[25:60, 15:35, 15:33], sides)[-1]
    )


def test_deepbet_finds_the_brain_where_it_is_installed(tied):
    pytest.importorskip("deepbet", reason="the extra tomostudy[deepbet] is not installed")
    head, mask, sides = tied
    assert dice(find_mask(head, sides, "deepbet").mask, mask) > 0.7


def test_without_deepbet_its_method_says_how_to_get_it(tied, monkeypatch):
    monkeypatch.setitem(sys.modules, "deepbet", None)
    head, _, sides = tied
    with pytest.raises(SettingsError, match=r"--mask_method: .*tomostudy\[deepbet\]"):
        find_mask(head, sides, "deepbet")
