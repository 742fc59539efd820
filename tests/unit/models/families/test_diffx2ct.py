import pytest
import torch
from pydantic import ValidationError
from torchvision import models as zoo

from data.xray_ct.dataset import XrayCtVolumes
from models.blocks.xray_diffusion.settings import Diffx2ctSettings
from models.families.diffx2ct import Diffx2ct
from protocol.errors import SettingsError
from tests.small_diffx2ct import SMALL, awake, batch_of, small_data, small_family
from tests.unit.models.blocks.diffusion.seen_noise import seen_noise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("diffx2ct")


@pytest.fixture
def model(folder):
    torch.manual_seed(0)
    return awake(small_family(folder).build_model()).eval()


def test_losses_change_with_the_epoch_and_an_interrupted_one_goes_on_with_its_own(folder, model):
    family = small_family(folder, mse_until=2, l1_until=3)
    batch = batch_of(family, "train", 0, 1)
    found = {}
    for epoch in (1, 2, 3, 4, 2):
        family.epoch_begins(epoch)
        found[epoch] = set(family.losses(model, batch))
    assert found == {1: {"mse"}, 2: {"mse"}, 3: {"l1"}, 4: {"l1", "ssim", "fft"}}


def test_noise_and_time_step_are_of_the_sample_alone(folder):
    family = small_family(folder)
    batch = batch_of(family, "train", 0, 1, 2)
    together = family.prepare(batch)
    alone = family.prepare({name: value[1:2] for name, value in batch.items()})
    for one, other in zip(together.inputs, alone.inputs, strict=True):
        assert torch.equal(one[1:2], other)
    for name, value in together.targets.items():
        assert torch.equal(value[1:2], alone.targets[name]), name
    assert len(together.targets["timesteps"].unique()) == 3


def test_the_noise_is_as_the_schedule_says_and_the_volume_between_minus_one_and_one(folder):
    family = small_family(folder)
    batch = batch_of(family, "train", 0, 1)
    prepared = family.prepare(batch)
    noisy, timesteps, *_ = prepared.inputs
    kept = family.schedule.alphas_cumprod[timesteps].reshape(2, 1, 1, 1, 1)
    expected = kept.sqrt() * (2 * batch["ct"] - 1) + (1 - kept).sqrt() * prepared.targets["noise"]
    torch.testing.assert_close(noisy, expected, rtol=1e-4, atol=1e-5)


def test_noise_is_added_to_a_volume_between_zero_and_one_where_the_recipe_says_so(folder):
    family = small_family(folder, volume_range="unit")
    prepared = family.prepare(batch := batch_of(family, "train", 0, 1))
    assert torch.equal(prepared.targets["clean"], batch["ct"])
    model = awake(family.build_model()).eval()
    sampled = family.sampler.sample(model, batch["xrays"][0], 1)
    assert 0 <= sampled.min() < sampled.max() <= 1


def test_the_patch_size_is_what_the_model_sees(folder):
    for size in (8, 16):
        family = small_family(folder, patch_size=size)
        noisy = family.prepare(batch_of(family, "train", 0)).inputs[0]
        assert noisy.shape == (1, 1, size, size, size)


@pytest.mark.parametrize("output", ["epsilon", "velocity"])
def test_metrics_are_the_error_of_the_noise_and_the_same_every_time(folder, output):
    family = small_family(folder, output=output)
    batch = batch_of(family, "validation", 0, 3)

    class Knowing(torch.nn.Module):
        """Sees the noise, but for an error of 0.25."""

        def forward(self, noisy, timesteps, *others):
            clean = 2 * batch["ct"] - 1
            noise = seen_noise(family.schedule, noisy, clean, timesteps) + 0.25
            if output == "epsilon":
                return noise
            x0 = family.schedule.x0_from_epsilon(noisy, noise, timesteps)
            return family.schedule.velocity(x0, noise, timesteps)

    found = family.evaluate(Knowing(), batch)
    torch.testing.assert_close(found["l1"], torch.full((2,), 0.25), rtol=1e-2, atol=0)
    torch.testing.assert_close(found["mse"], torch.full((2,), 0.0625), rtol=2e-2, atol=0)
    again = family.evaluate(Knowing(), batch)
    assert torch.equal(found["l1"], again["l1"])


def test_inference_gives_hounsfield_units_in_their_window_for_views_of_any_size(folder, model):
    data = small_data(folder, hu_window=(-1000, 400), voxel_size=(2.0, 1.5, 1.0))
    family = Diffx2ct(Diffx2ctSettings.model_validate(SMALL), data)
    xrays = torch.rand(2, 40, 30)
    family.initialize(model)
    volume = family.infer(model, xrays)
    assert volume.hu.shape == (16, 16, 16)
    assert volume.hu.dtype == "float32"
    assert volume.hu.min() >= -1000
    assert volume.hu.max() <= 400
    assert volume.hu.std() > 0
    assert volume.voxel_size == (2.0, 1.5, 1.0)
    assert (volume.hu == family.infer(model, xrays).hu).all()
    assert (volume.hu != family.infer(model, xrays.flip(0)).hu).any()


def test_pictures_are_of_the_whole_sampled_volume_and_carry_its_scores(folder, model):
    family = small_family(folder)
    (picture,) = family.pictures(model, batch_of(family, "test", 3))
    assert picture.name == XrayCtVolumes(family.data, "test").name(1)
    assert len(picture.panels) == 9
    assert all(panel.image.shape == (16, 16) for panel in picture.panels)
    assert picture.scores.keys() == {"mae_hu", "psnr", "ssim"}
    assert f"PSNR {picture.scores['psnr']:.2f} dB" in picture.title


def test_segments_are_those_of_the_models_chain(folder, model):
    family = small_family(folder)
    assert len(family.segments(model, 2)) == 4
    with pytest.raises(SettingsError, match=r"parallel\.stages: found 3, expected 1 to 2"):
        family.segments(model, 3)


def test_the_encoder_starts_from_a_file_and_a_checkpoint_does_not_need_it(folder, tmp_path):
    torch.manual_seed(4)
    colour = zoo.resnet18(weights=None)
    torch.save({"state_dict": colour.state_dict()}, tmp_path / "weights.pth")
    path = tmp_path / "weights.pth"
    family = small_family(folder, encoder="resnet18", encoder_weights_file=path)
    family.check()
    model = family.build_model()
    family.initialize(model)
    found = model.encoder.backbone.layer1[0].conv1.weight
    assert torch.equal(found, colour.layer1[0].conv1.weight)
    path.unlink()
    family.build_model()
    with pytest.raises(SettingsError, match=r"^recipe\.encoder_weights_file: there is no file"):
        family.check()


def test_weights_of_another_network_are_refused_before_a_study_starts(folder, tmp_path):
    torch.save({"layer.weight": torch.zeros(3)}, tmp_path / "other.pth")
    family = small_family(folder, encoder="resnet18", encoder_weights_file=tmp_path / "other.pth")
    with pytest.raises(SettingsError, match="has 0 of the encoder's"):
        family.check()


def test_a_patch_larger_than_the_volume_is_refused_before_a_study_starts(folder):
    with pytest.raises(SettingsError, match=r"^recipe\.patch_size: found 32, expected at most"):
        small_family(folder, patch_size=32).check()


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"patch_size": 12, "levels": 3}, "patch_size, which is 12"),
        ({"levels": 1, "attention_levels": [1]}, "levels from 0 to 0"),
        ({"mse_until": 5, "l1_until": 4}, "not before mse_until, which is 5"),
        ({"steps": 20, "sampling_steps": 21}, "at most `steps`, which is 20"),
        ({"l1_weight": 0, "ssim_weight": 0, "fft_weight": 0}, "expected one above 0"),
        ({"encoder_norm": "frozen"}, "without encoder_weights_file"),
    ],
)
def test_impossible_recipes_are_refused(recipe, sentence):
    with pytest.raises(ValidationError, match=sentence):
        Diffx2ctSettings.model_validate(SMALL | recipe)
