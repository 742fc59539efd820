import math

import pytest

from orchestrator import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.00123456, "0.0012346"),
        (1e-5, "1e-5"),
        (2.5e12, "2.5e12"),
        (31.0, "31"),
        (-0.5, "-0.5"),
        (math.inf, "inf"),
        (None, "-"),
    ],
)
def test_numbers_have_five_significant_digits_at_most(value, text):
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 00 min"),
        (90_000, "1 d 01 h"),
    ],
)
def test_durations_show_their_two_leading_units(seconds, text):
    assert words.duration(seconds) == text


def test_parameters_stand_on_one_line_with_short_numbers():
    params = {"learning_rate": 0.00123456, "window": "full", "harmonics": 40, "bias": False}
    expected = "learning_rate=0.0012346 window=full harmonics=40 bias=False"
    assert words.settings(params) == expected


def test_copies_of_a_model_stand_before_their_pieces():
    assert words.stages(6, 3) == "2 × 3 stages"
    assert words.stages(1, 3, mapped=True) == "1 × 3 devices"


def test_one_is_singular():
    assert [words.counted(n, "trial") for n in (0, 1, 2)] == ["0 trials", "1 trial", "2 trials"]
