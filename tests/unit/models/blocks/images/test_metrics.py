import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from models.blocks.images import metrics

ALL = [metrics.psnr, metrics.ssim, metrics.psnr_lodopab, metrics.ssim_lodopab]


@pytest.fixture
def pair():
    """Ground truths in [0.1, 0.6], results that leave [0, 1]; each (3, 1, 48, 40)."""
    generator = torch.Generator().manual_seed(3)
    target = 0.1 + 0.5 * torch.rand(3, 1, 6, 5, generator=generator)
    target = torch.nn.functional.interpolate(target, size=(48, 40), mode="bilinear")
    noise = torch.randn(target.shape, generator=generator)
    return target + torch.tensor([0.01, 0.1, 0.5]).view(3, 1, 1, 1) * noise, target


def samples(result, target):
    return zip(result[:, 0].double().numpy(), target[:, 0].double().numpy(), strict=True)


@pytest.mark.parametrize("metric", [*ALL, metrics.mse])
def test_each_sample_is_scored_alone(metric, pair):
    result, target = pair
    scores = metric(result, target)
    assert scores.shape == (3,)
    alone = torch.cat([metric(result[i : i + 1], target[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(scores, alone)


def test_the_first_convention_clamps_and_takes_one_as_data_range(pair):
    scores = metrics.psnr(*pair)
    similarity = metrics.ssim(*pair)
    for index, (result, target) in enumerate(samples(*pair)):
        clamped = np.clip(result, 0, 1)
        assert scores[index].item() == pytest.approx(
            peak_signal_noise_ratio(target, clamped, data_range=1), abs=1e-2
        )
        gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        assert similarity[index].item() == pytest.approx(
            structural_similarity(target, clamped, data_range=1, **gaussian), abs=1e-3
        )


def test_the_challenge_s_convention_is_scikit_image_s_at_the_ground_truth_s_range(pair):
    scores = metrics.psnr_lodopab(*pair)
    similarity = metrics.ssim_lodopab(*pair)
    for index, (result, target) in enumerate(samples(*pair)):
        extent = target.max() - target.min()
        assert scores[index].item() == pytest.approx(
            peak_signal_noise_ratio(target, result, data_range=extent), abs=1e-3
        )
        assert similarity[index].item() == pytest.approx(
            structural_similarity(target, result, data_range=extent), abs=1e-4
        )


def test_the_conventions_differ_where_the_range_is_not_one(pair):
    result, target = pair
    assert torch.all(metrics.psnr(result[:1], target[:1]) > metrics.psnr_lodopab(*pair)[:1] + 3)


@pytest.mark.parametrize("value", [0.0, 0.5])
@pytest.mark.parametrize("metric", ALL)
def test_a_constant_ground_truth_gets_a_finite_score_that_falls_with_the_error(metric, value):
    target = torch.full((1, 1, 32, 32), value)
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(0)).abs()
    exact, near, far = (metric(target + s * noise, target) for s in (0.0, 0.01, 0.3))
    assert torch.isfinite(torch.cat((exact, near, far))).all()
    assert exact > near > far


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("metric", ALL)
def test_a_sample_that_is_not_finite_scores_nan_or_worse_and_spares_the_others(metric, bad, pair):
    result, target = pair
    expected = metric(result, target)
    result = result.clone()
    result[1, 0, 5, 5] = bad
    scores = metric(result, target)
    assert not torch.isfinite(scores[1])
    torch.testing.assert_close(scores[[0, 2]], expected[[0, 2]])
