import pytest
import torch

from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.xray_diffusion.network.output import Output


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
@pytest.mark.parametrize("kind", ["epsilon", "velocity"])
def test_a_perfect_output_gives_back_the_noise_and_the_volume(kind, schedule):
    torch.manual_seed(0)
    reading = Output(kind=kind, schedule=NoiseSchedule(schedule, 1000))
    clean, noise = torch.rand(4, 1, 3, 3, 3) * 2 - 1, torch.randn(4, 1, 3, 3, 3)
    timesteps = torch.tensor([0, 10, 400, 700])
    noisy = reading.schedule.add_noise(clean, noise, timesteps)
    target = reading.target(clean, noise, timesteps)
    torch.testing.assert_close(
        reading.epsilon(target, noisy, timesteps), noise, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(reading.clean(target, noisy, timesteps), clean, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["epsilon", "velocity"])
def test_shrunk_errors_of_the_volume_are_never_larger_than_those_of_the_output(kind):
    reading = Output(kind=kind, schedule=NoiseSchedule("cosine", 1000))
    timesteps = torch.arange(1000)
    noisy = torch.zeros(1000, 1, 1, 1, 1)
    step = torch.ones_like(noisy)
    error = reading.clean(step, noisy, timesteps).abs().flatten()
    assert (error * reading.steadiness(timesteps)).max() <= 1 + 1e-5


def test_half_precision_outputs_are_read_in_single_precision():
    reading = Output(kind="velocity", schedule=NoiseSchedule("linear", 10))
    noisy, when = torch.ones(1, 1, 1, 1, 1), torch.tensor([3])
    for read in (reading.epsilon, reading.clean):
        assert read(noisy.bfloat16(), noisy, when).dtype == torch.float32
