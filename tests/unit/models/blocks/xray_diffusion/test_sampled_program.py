"""A sampler's steps as numbers give the volumes that the sampler gives."""

import pytest
import torch

from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.xray_diffusion.sampled_program import SEED, linear_steps
from models.blocks.xray_diffusion.sampler import make_sampler


@pytest.mark.parametrize("kind", ["dpm_solver", "ddpm"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("count", [2, 7])
def test_every_step_is_linear_in_what_it_is_given(kind, schedule, count):
    noise = NoiseSchedule(schedule, 50)
    torch.manual_seed(4)
    volume = kept = torch.randn(2, 3, 4)
    cleans = torch.rand(count, 2, 3, 4) * 2 - 1
    sampler = make_sampler(kind, noise, count, torch.device("cpu"))
    theirs, ours = (torch.Generator().manual_seed(SEED) for _ in range(2))
    before = torch.zeros_like(volume)
    steps = linear_steps(kind, noise, count)
    assert [step["timestep"] for step in steps] == sampler.timesteps.tolist()
    for step, clean in zip(steps, cleans, strict=True):
        volume = sampler.step(clean, step["timestep"], volume, generator=theirs).prev_sample
        kept = step["volume"] * kept + step["clean"] * clean + step["before"] * before
        if step["drawn"]:
            kept = kept + step["drawn"] * torch.randn(kept.shape, generator=ours)
        before = clean
        torch.testing.assert_close(kept, volume, atol=1e-5, rtol=1e-5)
        when = torch.tensor([step["timestep"]])
        assert step["signal"] == pytest.approx(float(noise.alphas_cumprod[when].sqrt()))
        assert step["signal"] ** 2 + step["noise"] ** 2 == pytest.approx(1)
