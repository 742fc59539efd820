import pytest
from pydantic import TypeAdapter, ValidationError

from models.blocks.anomaly.evaluation.parameters import (
    Parameters,
    published,
    spelled,
    tuning_defaults,
    tuning_space,
)
from models.families.ddpm2d import Ddpm2d
from orchestrator.settings.schema import Searched

DATA = Ddpm2d.Data(root="nowhere")


def test_time_steps_are_one_word_in_a_search_and_numbers_again_in_the_parameters():
    assert spelled((250, 500, 750)) == "250-500-750"
    assert Parameters(timesteps="250-500-750", erosion=0).timesteps == (250, 500, 750)
    assert Parameters(timesteps="500", erosion=0).timesteps == (500,)


def test_the_published_values_at_full_size():
    parameters = published((500,), 96)
    assert parameters.erosion == 3
    assert parameters.median_size == 5
    assert parameters.largest_dropped == 7
    assert parameters.rule == "global_dice"


@pytest.mark.parametrize("width", [32, 96])
def test_the_space_is_one_a_study_could_search_and_holds_the_defaults(width):
    defaults = tuning_defaults(published((500,), width))
    space = tuning_space([(500,), (250, 500, 750)], width)
    search = TypeAdapter(dict[str, Searched]).validate_python(space)
    assert search.keys() == {*defaults, "percentile"}
    for key, value in defaults.items():
        spec = space[key]
        inside = value in spec["choices"] if "choices" in spec else spec["low"] <= value
        assert inside, key
        assert "choices" in spec or value <= spec["high"]


@pytest.mark.parametrize(
    "wrong", [{"timesteps": ""}, {"rule": "luck"}, {"percentile": 101.0}, {"sharpen": 1}]
)
def test_what_no_evaluation_knows_is_refused(wrong):
    with pytest.raises(ValidationError):
        Parameters.model_validate({"timesteps": [500], "erosion": 1, **wrong})


@pytest.mark.parametrize("settings", [{}, {"steps": 8, "test_timestep": 3}, {"ensemble": True}])
def test_a_diffusion_family_offers_its_own_time_steps_and_others_within_its_schedule(settings):
    family = Ddpm2d(Ddpm2d.Settings(**settings), DATA)
    offered = family.candidate_timesteps
    assert offered[0] == family.timesteps
    assert len(set(offered)) == len(offered) >= 4
    assert any(len(steps) > 1 for steps in offered)
    assert all(0 <= step < family.settings.steps for steps in offered for step in steps)
