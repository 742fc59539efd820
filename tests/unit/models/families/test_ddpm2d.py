import pytest
import torch

from data.brain.dataset import BrainSettings
from models.families.ddpm2d import Ddpm2d, Ddpm2dSettings
from models.registry import load_family
from orchestrator.settings.layers import Asked, load_settings
from orchestrator.settings.space import candidates
from protocol.errors import DataError


@pytest.fixture
def published(tmp_path):
    return Ddpm2d(Ddpm2dSettings(), BrainSettings(root=tmp_path / "nowhere"))


def test_it_is_found_by_its_name():
    assert load_family("ddpm2d") is Ddpm2d


def test_the_defaults_are_the_published_recipe():
    settings = Ddpm2dSettings()
    assert (settings.width, settings.channel_multipliers) == (128, (1, 2, 2))
    assert (settings.residual_blocks, settings.attention_levels) == (3, ())
    assert (settings.encoder, settings.condition_features) == ("resnet50", 512)
    assert (settings.schedule, settings.steps, settings.prediction) == ("cosine", 1000, "x0")
    assert (settings.loss, settings.p2_gamma, settings.test_timestep) == ("l1", 0.0, 500)
    assert settings.noise == "simplex"
    assert settings.noise_frequency == 64
    assert (settings.noise_octaves, settings.noise_persistence) == (6, 0.8)


def test_the_published_net_and_its_encoder_are_as_large_as_documented(published):
    with torch.device("meta"):
        model = published.build_model()
    unet, encoder = (
        sum(weight.numel() for weight in part.parameters()) for part in (model.unet, model.encoder)
    )
    assert (unet, encoder) == (44_068_481, 24_550_848)
    for count in (unet, encoder):
        assert f"{count:,}".replace(",", " ") in Ddpm2d.__doc__


def test_without_data_it_says_so(published):
    with pytest.raises(DataError, match="nowhere"):
        published.dataset("train")


@pytest.mark.parametrize("preset", ["ddpm2d", "ddpm2d_tiny"])
def test_its_presets_hold_values_that_it_takes(preset):
    settings, _ = load_settings(Asked(preset=preset))
    known = Ddpm2dSettings.model_fields
    assert settings.family == "ddpm2d"
    assert Ddpm2d.metrics[settings.objective.metric] == settings.objective.direction
    BrainSettings.model_validate(settings.data)
    for recipe in candidates(settings.search, settings.recipe):
        Ddpm2dSettings.model_validate({key: recipe[key] for key in recipe if key in known})
