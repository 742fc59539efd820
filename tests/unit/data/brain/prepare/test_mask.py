import numpy as np
import pytest
from scipy import ndimage

from data.brain.prepare.anatomy import draw_brain, smooth_noise
from data.brain.prepare.mask import find_mask

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
