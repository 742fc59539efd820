import torch

from models.blocks.diffusion.schedule import NoiseSchedule
from models.blocks.xray_diffusion.validation import noise_errors, validation_timesteps

SEEDS = torch.arange(500) * 1_000_003


def test_each_patch_is_judged_once_in_every_share_of_the_noise():
    found = validation_timesteps(SEEDS, NoiseSchedule("linear", 1000), 4)
    for share, timesteps in enumerate(found):
        assert timesteps.min() >= 250 * share
        assert timesteps.max() < 250 * (share + 1)
        assert len(timesteps.unique()) > 150


def test_the_level_of_noise_does_not_depend_on_the_schedule():
    """So that models trained on different schedules are judged alike."""
    schedules = [NoiseSchedule("linear", 1000), NoiseSchedule("cosine", 1000)]
    found = [validation_timesteps(SEEDS, schedule, 2) for schedule in schedules]
    for linear, cosine in zip(*found, strict=True):
        levels = [
            torch.logit(schedule.alphas_cumprod.double()[timesteps])
            for schedule, timesteps in zip(schedules, (linear, cosine), strict=True)
        ]
        # Steps of the cosine schedule lie further apart at both ends.
        assert (levels[0] - levels[1]).abs().median() < 0.05
        assert (levels[0] - levels[1]).abs().mean() < 0.15


def test_errors_are_means_over_the_levels_for_each_sample():
    schedule = NoiseSchedule("linear", 1000)
    seeds = torch.tensor([3, 4, 5])

    def missed(seeds, timesteps):
        return torch.full((3, 1, 2, 2, 2), 0.5) * (timesteps // 500 + 1).reshape(3, 1, 1, 1, 1)

    found = noise_errors(missed, seeds, schedule, 2)
    torch.testing.assert_close(found["l1"], torch.full((3,), 0.75))
    torch.testing.assert_close(found["mse"], torch.full((3,), 0.625))


def test_every_level_gets_noise_of_its_own_by_the_sample_alone():
    seen = []

    def missed(seeds, timesteps):
        seen.append(seeds)
        return torch.zeros(len(seeds), 1, 1, 1, 1)

    schedule = NoiseSchedule("linear", 1000)
    noise_errors(missed, torch.tensor([3, 4]), schedule, 3)
    noise_errors(missed, torch.tensor([4]), schedule, 3)
    assert len({int(seed) for seeds in seen[:3] for seed in seeds}) == 6
    assert [int(seeds[1]) for seeds in seen[:3]] == [int(seeds[0]) for seeds in seen[3:]]
