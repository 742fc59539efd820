import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from data.xray_ct.windows import window_corners
from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.xray_diffusion.blending import Windows
from models.blocks.xray_diffusion.sampler import make_sampler, sample_volume
from tests.unit.models.blocks.diffusion.seen_noise import seen_noise

CPU = torch.device("cpu")
EXTENT = (12, 12, 14)


def windows(blend="cosine"):
    return Windows(EXTENT, 8, overlap=0.5, blend=blend, at_once=4, device=CPU)


def knowing(target, schedule):
    """A model that knows the volume."""

    def denoise(noisy, timesteps, corners):
        clean = torch.stack(
            [target[d : d + 8, h : h + 8, w : w + 8] for d, h, w in corners.tolist()]
        ).unsqueeze(1)
        return seen_noise(schedule, noisy, clean, timesteps)

    return denoise


def sample(denoise, schedule, *, kind="dpm_solver", steps=10, seed=3, blend="cosine"):
    return sample_volume(
        denoise,
        windows(blend),
        EXTENT,
        schedule=schedule,
        kind=kind,
        steps=steps,
        seed=torch.tensor(seed),
    )


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("kind", ["dpm_solver", "ddpm"])
def test_samplers_run_on_the_schedule_of_the_training(kind, schedule):
    trained = NoiseSchedule(schedule, 1000)
    sampler = make_sampler(kind, trained, 50, CPU)
    # β as float32, so the product of a thousand of them is off in the sixth digit.
    torch.testing.assert_close(sampler.alphas_cumprod, trained.alphas_cumprod, rtol=2e-4, atol=1e-8)
    assert len(sampler.timesteps) == 50


def test_the_schedules_are_those_of_diffusers_too():
    for kind, name in (("linear", "linear"), ("cosine", "squaredcos_cap_v2")):
        theirs = DDPMScheduler(num_train_timesteps=1000, beta_schedule=name)
        ours = NoiseSchedule(kind, 1000).betas
        np.testing.assert_allclose(theirs.betas, ours, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("blend", ["constant", "gaussian", "cosine"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("kind", ["dpm_solver", "ddpm"])
def test_a_model_that_knows_the_volume_makes_it_from_noise(kind, schedule, blend):
    trained = NoiseSchedule(schedule, 1000)
    target = 2 * torch.rand(EXTENT) - 1
    found = sample(knowing(target, trained), trained, kind=kind, blend=blend)
    torch.testing.assert_close(found, target, rtol=0, atol=0.02)


@pytest.mark.parametrize("kind", ["dpm_solver", "ddpm"])
def test_a_seed_makes_the_same_volume_every_time_and_another_one_another(kind):
    trained = NoiseSchedule("linear", 1000)

    def denoise(noisy, timesteps, corners):
        return 0.9 * noisy

    one, again = (sample(denoise, trained, kind=kind) for _ in range(2))
    torch.manual_seed(77)
    assert torch.equal(one, again)
    assert not torch.allclose(one, sample(denoise, trained, kind=kind, seed=4))


def test_a_volume_stays_in_range_whatever_the_model_says():
    trained = NoiseSchedule("cosine", 1000)
    found = sample(lambda noisy, timesteps, corners: 50 * torch.randn_like(noisy), trained)
    assert torch.isfinite(found).all()
    assert found.abs().max() <= 1


def test_the_model_is_told_the_time_step_and_the_place_of_each_window():
    trained = NoiseSchedule("linear", 1000)
    seen = []

    def denoise(noisy, timesteps, corners):
        assert timesteps.shape == (len(noisy),)
        assert corners.shape == (len(noisy), 3)
        seen.append((int(timesteps[0]), len(noisy)))
        return noisy

    sample(denoise, trained, steps=5)
    steps = list(dict.fromkeys(step for step, _ in seen))
    assert len(steps) == 5
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 950
    assert sum(count for _, count in seen) == 5 * len(window_corners(EXTENT, 8, 0.5))
