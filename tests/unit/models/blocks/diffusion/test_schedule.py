import math

import pytest
import torch
from diffusers import DDPMScheduler

from models.blocks.diffusion.schedule import NoiseSchedule

KINDS = {"cosine": "squaredcos_cap_v2", "linear": "linear"}
STEPS = torch.tensor([0, 1, 250, 500, 750, 998])


def theirs(kind):
    return DDPMScheduler(num_train_timesteps=1000, beta_schedule=KINDS[kind])


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, len(STEPS), 1, 4, 5, generator=generator)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_left_of_the_image_is_that_of_diffusers(kind):
    torch.testing.assert_close(
        NoiseSchedule(kind).alphas_cumprod, theirs(kind).alphas_cumprod, rtol=2e-4, atol=1e-8
    )


@pytest.mark.parametrize("kind", KINDS)
def test_noise_is_added_as_diffusers_adds_it(kind, images):
    x0, noise = images
    expected = theirs(kind).add_noise(x0, noise, STEPS)
    # Early steps differ by what 1 − ᾱ loses in their float32.
    torch.testing.assert_close(
        NoiseSchedule(kind).add_noise(x0, noise, STEPS), expected, rtol=1e-4, atol=3e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_is_found_from_the_noise_as_diffusers_finds_it(kind, images):
    xt, epsilon = images
    scheduler = theirs(kind)
    scheduler.config.clip_sample = False
    t = 500
    expected = scheduler.step(epsilon, t, xt).pred_original_sample
    found = NoiseSchedule(kind).x0_from_epsilon(xt, epsilon, torch.full((len(xt),), t))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_is_found_again_from_the_noisy_one(kind, images):
    x0, noise = images
    schedule = NoiseSchedule(kind)
    noisy = schedule.add_noise(x0, noise, STEPS)
    # At the last steps next to nothing of the image is left to be found.
    seen = STEPS < 900
    torch.testing.assert_close(
        schedule.x0_from_epsilon(noisy, noise, STEPS)[seen], x0[seen], rtol=1e-3, atol=1e-4
    )


def test_the_cosine_schedule_follows_its_closed_form_until_the_last_steps():
    def left(t, steps=200):
        return math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2

    found = NoiseSchedule("cosine", steps=200).alphas_cumprod
    expected = [left(t + 1) / left(0) for t in range(190)]
    assert found[:190].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [40, 250, 1000, 4000])
def test_noise_grows_from_almost_none_to_almost_all_for_any_number_of_steps(kind, steps):
    kept = NoiseSchedule(kind, steps).alphas_cumprod
    assert len(kept) == steps
    assert (kept[1:] < kept[:-1]).all()
    assert kept[0] > 0.98
    assert kept[-1] < 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0])
def test_p2_weights_follow_the_signal_to_noise_ratio(kind, gamma):
    schedule = NoiseSchedule(kind)
    found = schedule.p2_weights(STEPS, gamma)
    assert found.shape == (len(STEPS), 1, 1, 1)
    kept = theirs(kind).alphas_cumprod.double()[STEPS]
    expected = 1 / (1 + kept / (1 - kept)) ** gamma
    # diffusers' ᾱ is a float32, which tells in 1 − ᾱ of the first steps.
    assert found.flatten().tolist() == pytest.approx(expected.tolist(), rel=3e-3)


def test_images_of_any_number_of_dimensions_are_taken():
    volume = torch.ones(2, 1, 3, 4, 5)
    noisy = NoiseSchedule("cosine").add_noise(volume, 0 * volume, torch.tensor([0, 999]))
    assert noisy[0].min() > 0.99
    assert noisy[1].max() < 0.01


def test_a_schedule_without_steps_is_refused():
    with pytest.raises(ValueError, match="steps: found 0"):
        NoiseSchedule("cosine", 0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_velocity_is_that_of_diffusers_and_gives_both_the_noise_and_the_image(kind, images):
    x0, noise = images
    schedule = NoiseSchedule(kind)
    velocity = schedule.velocity(x0, noise, STEPS)
    expected = theirs(kind).get_velocity(x0, noise, STEPS)
    torch.testing.assert_close(velocity, expected, rtol=1e-3, atol=1e-4)
    noisy = schedule.add_noise(x0, noise, STEPS)
    torch.testing.assert_close(schedule.epsilon_from_velocity(noisy, velocity, STEPS), noise)
    torch.testing.assert_close(schedule.x0_from_velocity(noisy, velocity, STEPS), x0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_step_to_a_steps_own_level_of_noise_is_that_step(kind):
    schedule = NoiseSchedule(kind)
    assert torch.equal(schedule.nearest(schedule.alphas_cumprod[STEPS]), STEPS)


def test_betas_multiply_to_what_is_left_of_the_image():
    schedule = NoiseSchedule("cosine", 50)
    torch.testing.assert_close(
        torch.cumprod(1 - schedule.betas, dim=0).float(), schedule.alphas_cumprod
    )
    assert torch.equal(schedule.signal(torch.tensor([7])), schedule.alphas_cumprod[[7]].sqrt())
