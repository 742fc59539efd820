import pytest
import torch
from scipy import stats

from models.blocks.diffusion.noise import gaussian_noise, sample_noise, sample_timesteps
from models.blocks.diffusion.schedule import NoiseSchedule

KINDS = ["gaussian", "simplex"]


def noise(kind, seeds, side=16, **given):
    return sample_noise(kind, (len(seeds), 1, side, side), seeds, device="cpu", **given)


@pytest.mark.parametrize("kind", KINDS)
def test_a_samples_noise_is_a_function_of_its_own_seed(kind):
    seeds = torch.tensor([5, 2**62 - 1, 7, 5])
    together = noise(kind, seeds)
    assert together.dtype == torch.float32
    assert torch.equal(together[0], together[3])
    assert not torch.equal(together[0], together[2])
    torch.manual_seed(1)
    for index in range(len(seeds)):
        torch.testing.assert_close(noise(kind, seeds[[index]])[0], together[index])


@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_has_mean_zero_and_variance_one_over_seeds(kind):
    found = noise(kind, torch.arange(4000), side=12)
    deviation = 1 / 4000**0.5
    assert found.mean(dim=0).abs().max() < 5 * deviation
    # The variance of a sample variance is below 2/n for tails no longer than a Gaussian's.
    assert (found.var(dim=0) - 1).abs().max() < 5 * 2**0.5 * deviation


@pytest.mark.parametrize("kind", KINDS)
def test_noise_of_neighbouring_seeds_is_unrelated(kind):
    found = noise(kind, torch.arange(4001), side=8)
    products = (found[1:] * found[:-1]).mean(dim=0)
    assert products.abs().max() < 5 / 4000**0.5


def test_gaussian_noise_is_normal_and_white():
    found = noise("gaussian", torch.arange(100), side=32)
    assert stats.kstest(found.flatten().numpy(), "norm").pvalue > 1e-3
    for shift in [(0, 1), (1, 0), (3, 2)]:
        assert (
            abs(float((found * found.roll(shift, dims=(2, 3))).mean())) < 5 / found.numel() ** 0.5
        )


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_not_rounded_under_autocast(kind):
    seeds = torch.arange(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = noise(kind, seeds)
    torch.testing.assert_close(found, noise(kind, seeds))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_gives_the_same_noise(kind):
    seeds = torch.arange(8)
    found = sample_noise(kind, (8, 1, 16, 16), seeds, device="cuda")
    torch.testing.assert_close(found.cpu(), noise(kind, seeds), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 1, 8, 8), (2, 2, 8, 8)])
def test_a_shape_that_does_not_go_with_the_seeds_is_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(B, 1, H, W\)"):
        sample_noise("gaussian", shape, torch.arange(2), device="cpu")


def test_time_steps_are_even_and_a_function_of_the_seed():
    seeds = torch.arange(20000)
    found = sample_timesteps(seeds, 10)
    counts = torch.bincount(found, minlength=10)
    assert len(counts) == 10
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3
    assert torch.equal(sample_timesteps(seeds[[77]], 10), found[[77]])


def test_the_time_step_tells_nothing_of_the_noise():
    seeds = torch.arange(4000)
    late = sample_timesteps(seeds, 1000) >= 500
    for kind in KINDS:
        found = noise(kind, seeds, side=2).flatten(1)
        assert (found[late].mean(dim=0) - found[~late].mean(dim=0)).abs().max() < 0.15


def test_gaussian_noise_of_volumes_is_each_seeds_own():
    seeds = torch.tensor([5, 9])
    together = gaussian_noise((2, 1, 3, 4, 5), seeds)
    assert together.shape == (2, 1, 3, 4, 5)
    assert torch.equal(gaussian_noise((1, 1, 3, 4, 5), seeds[1:])[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_simplex_noise_may_have_another_deviation_and_gaussian_noise_keeps_its_own():
    seeds = torch.arange(4)
    for kind, factor in (("simplex", 0.5), ("gaussian", 1.0)):
        unit, other = (
            sample_noise(kind, (4, 1, 8, 8), seeds, device="cpu", std=std) for std in (1.0, 0.5)
        )
        assert torch.equal(other, unit * factor)


@pytest.mark.parametrize(("published", "unit"), [(250, 149), (500, 337), (750, 609)])
def test_a_published_time_step_is_as_noisy_as_an_earlier_one_of_unit_noise(published, unit):
    signal = NoiseSchedule("cosine", 1000).alphas_cumprod
    ratios = ((1 - signal) / signal).sqrt()
    found = int((ratios - 0.59 * ratios[published]).abs().argmin())
    assert abs(found - unit) <= 1
