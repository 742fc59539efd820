"""The metrics of volumes, against MONAI's and against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from models.blocks.images import volume_metrics


@pytest.fixture
def pair():
    random = torch.Generator().manual_seed(1)
    target = torch.rand(2, 1, 14, 15, 16, generator=random)
    smooth = torch.nn.functional.avg_pool3d(target, 3, stride=1, padding=1)
    return 0.7 * target + 0.3 * smooth, target


def test_psnr_takes_one_as_the_data_range():
    target = torch.full((2, 1, 4, 4, 4), 0.5)
    result = target + torch.tensor([0.1, 0.01]).reshape(2, 1, 1, 1, 1)
    found = volume_metrics.psnr(result, target)
    torch.testing.assert_close(found, torch.tensor([20.0, 40.0]), rtol=0, atol=1e-3)


def test_the_mean_error_is_told_in_hounsfield_units():
    target = torch.full((1, 1, 4, 4, 4), 0.25)
    found = volume_metrics.mae_hu(target + 0.1, target, (-1024.0, 1500.0))
    assert found.item() == pytest.approx(252.4, rel=1e-4)


def test_ssim_is_monais_in_three_dimensions(pair):
    from monai.metrics import SSIMMetric

    result, target = pair
    peer = SSIMMetric(spatial_dims=3, data_range=1.0, win_size=11, kernel_sigma=1.5)
    expected = peer(result, target).squeeze(1)
    torch.testing.assert_close(volume_metrics.ssim(result, target), expected, rtol=1e-4, atol=1e-5)


def test_structure_along_every_axis_counts():
    """A metric of single slices would not see planes in another order along its own axis."""
    ramp = torch.linspace(0, 1, 13)
    for axis in (2, 3, 4):
        shape = [1] * 5
        shape[axis] = 13
        target = ramp.reshape(shape).expand(1, 1, 13, 13, 13)
        assert volume_metrics.ssim(target, target).item() == pytest.approx(1, abs=1e-5)
        assert volume_metrics.ssim(target.flip(axis), target).item() < 0.5


@pytest.mark.parametrize("side", [2, 3, 8, 11])
def test_volumes_narrower_than_the_window_have_a_similarity(side):
    random = torch.Generator().manual_seed(side)
    target = torch.rand(1, 1, side, side, side, generator=random)
    assert volume_metrics.ssim(target, target).item() == pytest.approx(1, abs=1e-4)
    assert volume_metrics.ssim(1 - target, target).item() < 0.9


def test_a_sample_does_not_depend_on_its_neighbours(pair):
    result, target = pair
    for metric in (volume_metrics.psnr, volume_metrics.ssim):
        together = metric(result, target)
        alone = torch.cat([metric(result[i : i + 1], target[i : i + 1]) for i in range(2)])
        assert torch.equal(together, alone)


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_sample_that_is_not_finite_scores_nan_and_spares_its_neighbours(pair, broken):
    result, target = pair
    result[0, 0, 3, 3, 3] = broken
    for metric in (volume_metrics.psnr, volume_metrics.ssim):
        found = metric(result, target)
        assert math.isnan(found[0])
        assert math.isfinite(found[1])
    assert math.isnan(volume_metrics.mae_hu(result, target, (0.0, 1.0))[0])


def test_values_beyond_the_window_are_judged_as_its_ends():
    target = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1, 1).expand(1, 1, 2, 4, 4)
    beyond = 5 * target - 2
    assert volume_metrics.psnr(beyond, target).item() == pytest.approx(120, abs=0.1)


def test_the_similarity_of_a_batch_can_be_trained_on(pair):
    result, target = pair
    result.requires_grad_()
    volume_metrics.similarity(result, target).mean().backward()
    assert result.grad is not None
    assert torch.isfinite(result.grad).all()
    assert (result.grad.flatten(1).norm(dim=1) > 0).all()


def test_an_inverted_dark_image_is_not_taken_for_a_similar_one(pair):
    """Luminance and structure, both negative, would multiply to a high similarity."""
    _, target = pair
    assert volume_metrics.similarity(-target, target).max() <= 0
    assert volume_metrics.similarity(target, target).min() > 0.99
