import pytest
import torch
from torch import nn

from data.brain.dataset import BrainSettings
from models.blocks.anomaly.denoising import masked_l1
from models.blocks.diffusion.noise import sample_noise, sample_timesteps
from models.blocks.diffusion.schedule import NoiseSchedule
from models.families.ddpm2d import Ddpm2d, Ddpm2dSettings
from protocol.errors import SettingsError
from tests.unit.models.blocks.diffusion.seen_noise import seen_noise

TINY = {
    "width": 8,
    "channel_multipliers": (1, 2),
    "residual_blocks": 1,
    "encoder": "small",
    "condition_features": 4,
    "noise_frequency": 16.0,
}


@pytest.fixture
def family(tmp_path):
    def make(**settings):
        return Ddpm2d(Ddpm2dSettings(**(TINY | settings)), BrainSettings(root=tmp_path))

    return make


@pytest.fixture
def batch():
    random = torch.Generator().manual_seed(0)
    mask = torch.zeros(3, 1, 16, 16)
    mask[:, :, 3:13, 4:14] = 1
    return {
        "image": torch.rand(3, 1, 16, 16, generator=random) * mask,
        "mask": mask,
        "index": torch.tensor([4, 5, 6]),
        "seed": torch.tensor([11, 12, 13]),
    }


class Recorder(nn.Module):
    """Answers with `answer` of what it is given, and keeps that."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer
        self.calls = []

    def forward(self, noisy, timesteps, image):
        self.calls.append((noisy, timesteps, image))
        return self.answer(noisy)


def _built(family, seed=0):
    torch.manual_seed(seed)
    model = family.build_model()
    for parameter in model.parameters():  # a new net answers 0 to everything
        if parameter.ndim > 1 and not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model


def _part(batch, places):
    return {key: value[places] for key, value in batch.items()}


def test_the_net_sees_the_noised_slice_its_time_step_and_the_clean_slice(family, batch):
    model = Recorder(torch.zeros_like)
    made = family(noise="gaussian")
    made.losses(model, batch)
    ((noisy, timesteps, image),) = model.calls
    expected_times = sample_timesteps(batch["seed"], 1000)
    noise = sample_noise("gaussian", (3, 1, 16, 16), batch["seed"], device="cpu")
    schedule = NoiseSchedule("cosine", 1000)
    assert torch.equal(image, batch["image"])
    assert torch.equal(timesteps, expected_times)
    expected = schedule.add_noise(2 * batch["image"] - 1, noise, expected_times)
    torch.testing.assert_close(noisy, expected)


@pytest.mark.parametrize("loss", ["l1", "mse"])
@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
def test_the_loss_compares_with_the_slice_or_the_noise(family, batch, loss, prediction):
    made = family(loss=loss, prediction=prediction, noise="gaussian")
    found = made.losses(Recorder(lambda noisy: torch.full_like(noisy, 0.25)), batch)
    noise = sample_noise("gaussian", (3, 1, 16, 16), batch["seed"], device="cpu")
    target = 2 * batch["image"] - 1 if prediction == "x0" else noise
    error = (0.25 - target).abs() if loss == "l1" else (0.25 - target).square()
    assert found.keys() == {loss}
    torch.testing.assert_close(found[loss], error.mean())


def test_p2_weighs_each_sample_by_its_own_time_step(family, batch):
    answer = Recorder(torch.zeros_like)
    plain = [family().losses(answer, _part(batch, [place]))["l1"] for place in range(3)]
    ratio = NoiseSchedule("cosine", 1000).alphas_cumprod[sample_timesteps(batch["seed"], 1000)]
    weights = (1 + ratio / (1 - ratio)) ** -0.5
    weighted = family(p2_gamma=0.5).losses(answer, batch)["l1"]
    torch.testing.assert_close(weighted, (weights * torch.stack(plain)).mean())


def test_a_sample_trains_alike_whatever_its_neighbours(family, batch):
    made = family()
    model = _built(made)
    together = made.losses(model, batch)["l1"]
    apart = [made.losses(model, _part(batch, [place]))["l1"] for place in (2, 0, 1)]
    torch.testing.assert_close(together, torch.stack(apart).mean())


def test_training_draws_no_other_random_numbers(family, batch):
    made = family()
    model = _built(made)
    torch.manual_seed(1)
    first = made.losses(model, batch)["l1"]
    torch.manual_seed(2)
    assert torch.equal(made.losses(model, batch)["l1"], first)
    other = made.losses(model, batch | {"seed": batch["seed"] + 1})["l1"]
    assert not torch.equal(other, first)


@pytest.mark.parametrize("prediction", ["x0", "epsilon"])
@pytest.mark.parametrize("noise", ["gaussian", "simplex"])
def test_a_perfect_net_reconstructs_the_slice(family, batch, prediction, noise):
    made = family(prediction=prediction, noise=noise)
    clean = 2 * batch["image"] - 1

    class Perfect(nn.Module):
        def forward(self, noisy, timesteps, image):
            if prediction == "x0":
                return clean
            return seen_noise(made.schedule, noisy, clean, timesteps)

    result = made.reconstruct(
        Perfect(), batch["image"], batch["mask"], batch["seed"], (250, 500, 750)
    )
    torch.testing.assert_close(result, batch["image"], atol=1e-4, rtol=0)
    scores = made.evaluate(Perfect(), batch)
    assert scores["l1"].max() < 1e-4
    assert scores["psnr"].min() > 60
    assert scores["ssim"].min() > 0.999


def test_an_ensemble_is_the_mean_of_its_members_each_with_noise_of_its_own(family, batch):
    made = family(noise="gaussian")
    model = Recorder(lambda noisy: noisy / 4)
    arguments = model, batch["image"], batch["mask"], batch["seed"]
    together = made.reconstruct(*arguments, (500, 500))
    torch.testing.assert_close(together, made.reconstruct(*arguments, (500,)))
    mean = torch.stack([made.reconstruct(*arguments, (t,)) for t in (300, 600)]).mean(dim=0)
    torch.testing.assert_close(made.reconstruct(*arguments, (300, 600)), mean)
    (early, steps, _), (late, _, _) = model.calls[-2:]
    assert steps.tolist() == [300] * 3

    def noise(noisy, t):
        step = torch.full((3,), t)
        return seen_noise(made.schedule, noisy, 2 * batch["image"] - 1, step)

    assert (noise(early, 300) - noise(late, 600)).abs().mean() > 0.5


def test_a_reconstruction_stays_within_the_intensities_of_slices(family, batch):
    for factor in (-50, 50):
        model = Recorder(lambda noisy, factor=factor: factor * torch.ones_like(noisy))
        result = family().reconstruct(
            model, batch["image"], batch["mask"], batch["seed"], (250, 750)
        )
        assert result.min() == result.max() == float(factor > 0)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (500,)),
        ({"test_timestep": 320}, (320,)),
        ({"ensemble": True}, (250, 500, 750)),
        ({"ensemble": True, "steps": 40}, (10, 20, 30)),
    ],
)
def test_time_steps_of_the_test_are_those_asked_for(family, settings, expected):
    assert family(**settings).timesteps == expected


def test_epochs_are_judged_at_the_same_time_step_whatever_is_tested(family, batch):
    model = Recorder(torch.zeros_like)
    for settings in ({"test_timestep": 20}, {"ensemble": True}, {}):
        family(**settings).evaluate(model, batch)
    times = [steps.tolist() for _, steps, _ in model.calls]
    assert times == [[500] * 3] * 3
    first, second, _ = (noisy for noisy, _, _ in model.calls)
    assert torch.equal(first, second)


def test_a_sample_is_judged_alike_whatever_its_neighbours(family, batch):
    made = family()
    model = _built(made).eval()
    together = made.evaluate(model, batch)
    assert together.keys() == Ddpm2d.metrics.keys()
    for place in range(3):
        alone = made.evaluate(model, _part(batch, [place]))
        for name, values in together.items():
            torch.testing.assert_close(alone[name], values[[place]], atol=1e-4, rtol=1e-4)


def test_the_error_is_that_inside_the_brain():
    target, result = torch.zeros(2, 1, 2, 2), torch.ones(2, 1, 2, 2)
    result[0, 0, 0, 0] = 0.5
    mask = torch.zeros(2, 1, 2, 2)
    mask[0, 0, 0] = 1
    torch.testing.assert_close(masked_l1(result, target, mask), torch.tensor([0.75, 1.0]))


@pytest.mark.parametrize("settings", [{}, {"encoder": "none", "prediction": "epsilon"}], ids=str)
def test_a_few_steps_on_a_batch_lower_its_loss(family, batch, settings):
    made = family(**settings)
    torch.manual_seed(0)
    model = made.build_model()
    history = []
    for _ in range(15):
        model.zero_grad()
        loss = made.losses(model, batch)["l1"]
        loss.backward()
        history.append(loss.item())
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 3e-3 * weight.grad.sign()
    assert history[-1] < 0.8 * history[0]


def test_a_diverged_model_is_scored_nan_and_does_not_raise(family, batch):
    scores = family().evaluate(Recorder(lambda noisy: noisy * torch.nan), batch)
    assert all(torch.isnan(score).all() for score in scores.values())


def test_pictures_show_the_brain_alone_at_the_test_s_time_steps(family, batch):
    made = family(ensemble=True)
    model = _built(made).eval()
    with torch.no_grad():
        result = made.reconstruct(
            model, batch["image"], batch["mask"], batch["seed"], (250, 500, 750)
        )
        pictures = made.pictures(model, batch)
    assert [picture.name for picture in pictures] == ["slice_00004", "slice_00005", "slice_00006"]
    for place, picture in enumerate(pictures):
        original, shown, residual = (torch.from_numpy(panel.image) for panel in picture.panels)
        mask = batch["mask"][place, 0]
        assert "250, 500, 750" in picture.title
        assert torch.equal(original, batch["image"][place, 0])
        torch.testing.assert_close(shown, result[place, 0] * mask)
        torch.testing.assert_close(residual, original - shown)
        assert picture.window == (0.0, original.max())
        assert [panel.difference for panel in picture.panels] == [False, False, True]
        assert f"{float(residual.abs().sum() / mask.sum()):.4f}" in picture.panels[2].title


def test_the_encoder_starts_from_a_file_when_training_starts_and_only_then(family, tmp_path):
    source = _built(family(), seed=5)
    path = tmp_path / "encoder.pth"
    torch.save(source.state_dict(), path)
    made = family(encoder_weights_file=path)
    built = _built(made)
    assert not torch.equal(built.encoder.fc.weight, source.encoder.fc.weight)
    before = built.unet.conv_in.weight.clone()
    made.initialize(built)
    assert torch.equal(built.encoder.fc.weight, source.encoder.fc.weight)
    assert torch.equal(built.unet.conv_in.weight, before)
    path.unlink()
    made.build_model().load_state_dict(built.state_dict())


def test_an_encoder_s_file_is_looked_into_before_anything_starts(family, tmp_path):
    path = tmp_path / "encoder.pth"
    torch.save(_built(family()).state_dict(), path)
    family(encoder_weights_file=path).check()
    family(encoder_weights_file=tmp_path / "gone.pth", encoder="none").check()
    for encoder, given, words in (
        ("small", tmp_path / "gone.pth", "there is no file"),
        ("resnet18", path, "has 0 of the encoder's"),
    ):
        with pytest.raises(SettingsError, match=f"^recipe.encoder_weights_file: .*{words}"):
            family(encoder=encoder, encoder_weights_file=given).check()


def test_checkpoints_hold_parameters_and_running_means_alone(family):
    model = family(encoder="resnet18").build_model()
    extra = model.state_dict().keys() - {name for name, _ in model.named_parameters()}
    assert all(name.startswith("encoder.") for name in extra)
    assert {name.rpartition(".")[2] for name in extra} == {
        "running_mean",
        "running_var",
        "num_batches_tracked",
    }
