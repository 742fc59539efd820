import pytest
from pydantic import ValidationError

from models.blocks.anomaly.denoising_settings import DenoisingSettings


@pytest.mark.parametrize(
    ("given", "kept"), [("1-2-2", (1, 2, 2)), ([1, 2, 4], (1, 2, 4)), ("3", (3,)), ((1,), (1,))]
)
def test_multipliers_may_be_text_as_choices_of_a_search_are(given, kept):
    assert DenoisingSettings(channel_multipliers=given).channel_multipliers == kept


def test_levels_with_attention_may_be_none():
    assert DenoisingSettings(attention_levels="").attention_levels == ()
    assert DenoisingSettings(attention_levels="1-2").attention_levels == (1, 2)


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"channel_multipliers": "1-x"}, "channel_multipliers"),
        ({"channel_multipliers": []}, "channel_multipliers"),
        ({"channel_multipliers": [1, 0]}, "channel_multipliers"),
        ({"attention_levels": [3]}, "attention_levels"),
        ({"channel_multipliers": "1-2", "attention_levels": "2"}, "attention_levels"),
        ({"steps": 100}, "test_timestep"),
        ({"test_timestep": 1000}, "test_timestep"),
        ({"encoder": "vgg16"}, "encoder"),
        ({"p2_gamma": 1.5}, "p2_gamma"),
        ({"dropout": 1.0}, "dropout"),
        ({"noise_persistence": 0.0}, "noise_persistence"),
        ({"steps": 3, "ensemble": True}, "steps"),
        ({"timestep": 3}, "timestep"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_its_key(wrong, key):
    with pytest.raises(ValidationError) as caught:
        DenoisingSettings(**wrong)
    assert [error["loc"][0] for error in caught.value.errors()] == [key]


def test_an_ensemble_does_not_mind_the_single_time_step():
    assert DenoisingSettings(steps=100, ensemble=True).ensemble


def test_every_key_is_described():
    assert all(field.description for field in DenoisingSettings.model_fields.values())
