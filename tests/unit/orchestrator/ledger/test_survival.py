"""Means of what has ended and what goes on, against cases that can be counted by hand."""

import random
from statistics import fmean

import pytest

from orchestrator.ledger.survival import Survival


def test_where_all_have_ended_it_is_their_mean_and_variance():
    found = Survival(ended=[1.0, 2.0, 6.0], going=[], end=6.0)
    assert found.mean == pytest.approx(3.0)
    assert found.variance == pytest.approx((4 + 1 + 9) / 3)


def test_one_that_goes_on_counts_as_far_as_those_that_came_further():
    # Of two that came beyond 1, one ended at 3: so did half of the one that is at 1.
    found = Survival(ended=[3.0], going=[1.0], end=5.0)
    assert found.mean == pytest.approx(3.0)
    assert Survival(ended=[1.0, 3.0], going=[2.0], end=5.0).mean == pytest.approx((1 + 3 + 3) / 3)


def test_what_comes_beyond_a_place_is_of_those_that_came_there():
    found = Survival(ended=[1.0, 1.0, 4.0, 8.0], going=[], end=8.0)
    assert found.further(2.0) == pytest.approx((2 + 6) / 2)
    assert found.further(0.0) == pytest.approx(3.5)
    assert found.further(8.0) == 0.0
    assert Survival(ended=[1.0], going=[], end=5.0).further(2.0) == 3.0


def test_looks_at_a_stream_of_trials_are_right_in_the_mean():
    """Those that have ended alone would be too short, and those that go on too long."""
    luck = random.Random(0)
    found, ended_alone = [], []
    for _ in range(300):
        lengths = [luck.choice([1.0, 10.0]) for _ in range(40)]
        looks = [luck.uniform(0, 12.0) for _ in lengths]
        ended = [length for length, look in zip(lengths, looks, strict=True) if length <= look]
        going = [look for length, look in zip(lengths, looks, strict=True) if length > look]
        found.append(Survival(ended=ended, going=going, end=10.0).mean)
        ended_alone.append(fmean(ended))
    assert fmean(found) == pytest.approx(5.5, rel=0.05)
    assert fmean(ended_alone) < 4.0
