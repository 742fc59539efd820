import pytest
from pydantic import ValidationError

from data.brain.settings import BrainSettings


def test_the_published_preprocessing_is_the_default():
    settings = BrainSettings(root="/data/brain")
    assert settings.crop == (192, 192, 100)
    assert settings.size == (96, 96, 50)
    assert settings.percentiles == (1, 99)
    assert not settings.allow_overlap


@pytest.mark.parametrize(
    "wrong",
    [
        {"percentiles": [99, 1]},
        {"percentiles": [1, 101]},
        {"mode": "flair"},
        {"fold": -1},
        {"size": [96, 96]},
        {"size": [96, 96, 0]},
        {"crops": [1, 1, 1]},
        {"generate": {"shape": [64, 64, 4]}},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        BrainSettings(root="/data/brain", **wrong)
