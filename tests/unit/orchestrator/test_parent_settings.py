"""The `parent` section: what it may say."""

import pytest
from pydantic import ValidationError

from orchestrator.parent_settings import ParentSettings


def test_a_study_s_best_trial_is_meant_unless_a_number_is_given():
    assert ParentSettings(study="direct").trial == "best"
    assert ParentSettings(study="direct", trial=4).trial == 4


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({}, "expected `study: NAME` or `checkpoint: FILE`"),
        ({"study": "direct", "checkpoint": "best.pth"}, "one of the two"),
        ({"checkpoint": "best.pth", "trial": 2}, "`trial` belongs to `study`"),
        ({"study": "direct", "trial": "last"}, "'best'"),
        ({"study": "direct", "trial": -1}, "greater than or equal to 0"),
        ({"study": "direct", "trail": 1}, "not permitted"),
        ({"study": ""}, "at least 1 character"),
    ],
)
def test_what_names_no_one_model_is_refused(section, words):
    with pytest.raises(ValidationError, match=words):
        ParentSettings.model_validate(section)
