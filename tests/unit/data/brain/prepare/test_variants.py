import numpy as np
import pytest
import torch

from data.brain.prepare.anatomy import draw_brain
from data.brain.prepare.standard import StandardBrain
from data.brain.prepare.variants import vary


@pytest.fixture(scope="module")
def brain():
    drawn = draw_brain(0, 0, (24, 40, 40))
    return StandardBrain(
        image=drawn.images["t1"] * 500, mask=drawn.mask, segmentation=None, mask_from="a file"
    )


def test_a_variant_is_a_whole_brain_that_differs_in_shape_and_intensity(brain):
    seen = []
    for seed in range(3):
        found = vary(brain, np.random.default_rng(seed))
        assert found.image.shape == found.mask.shape == brain.mask.shape
        assert found.image.dtype == np.float32
        assert not found.image[~found.mask].any()
        assert found.mask.sum() == pytest.approx(brain.mask.sum(), rel=0.4)
        assert found.mask_from == "a file"
        seen.append(found)
    for one, other in zip([brain, *seen], seen, strict=False):
        assert np.mean(one.mask != other.mask) > 0.005
        assert np.abs(one.image - other.image).mean() > 5


def test_the_same_generator_gives_the_same_variant_and_torchs_own_is_left_alone(brain):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = vary(brain, np.random.default_rng(7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(4)
    again = vary(brain, np.random.default_rng(7))
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
