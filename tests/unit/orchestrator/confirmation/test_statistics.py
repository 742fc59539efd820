import math
import random

import pytest
from scipy import stats

from orchestrator.confirmation.statistics import LEVEL, difference, estimate

ONE, OTHER = [31.2, 32.9, 32.1], [30.1, 30.4, 29.2, 30.3]


def test_the_interval_is_students():
    found = estimate(ONE)
    low, high = stats.t.interval(LEVEL, 2, loc=sum(ONE) / 3, scale=stats.sem(ONE))
    assert (found.n, found.mean) == (3, pytest.approx(sum(ONE) / 3))
    assert found.deviation == pytest.approx(stats.tstd(ONE))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_two_values_reach_as_far_as_the_table_says():
    found = estimate([1.0, 3.0])  # t = 12.7062 for one degree of freedom, standard error 1
    assert (found.low, found.high) == pytest.approx((2 - 12.7062, 2 + 12.7062), abs=1e-4)


def test_of_one_value_neither_spread_nor_interval_is_claimed():
    found = estimate([5.0])
    assert (found.mean, found.deviation, found.low, found.high) == (5.0, None, None, None)


def test_ninety_five_of_a_hundred_intervals_hold_the_true_mean():
    draw = random.Random(0)
    samples = [[draw.gauss(7.0, 2.0) for _ in range(3)] for _ in range(4000)]
    held = sum(e.low <= 7.0 <= e.high for e in map(estimate, samples))
    assert held / len(samples) == pytest.approx(LEVEL, abs=0.011)  # three standard errors


def test_two_samples_are_compared_as_welch_does():
    found = difference(ONE, OTHER)
    known = stats.ttest_ind(ONE, OTHER, equal_var=False)
    interval = known.confidence_interval(LEVEL)
    assert found.by == pytest.approx(sum(ONE) / 3 - sum(OTHER) / 4)
    assert found.p_value == pytest.approx(known.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_the_order_of_two_samples_changes_the_sign_alone():
    there, back = difference(ONE, OTHER), difference(OTHER, ONE)
    assert (there.by, there.p_value) == pytest.approx((-back.by, back.p_value))


def test_a_sample_that_does_not_vary_can_be_compared_to_one_that_does():
    found = difference([1.0, 1.0], [1.5, 2.0, 2.5])
    known = stats.ttest_1samp([1.5, 2.0, 2.5], 1.0)  # which the equation comes down to
    assert found.p_value == pytest.approx(known.pvalue)


def test_values_of_any_size_can_be_compared():
    plain = difference([1.0, 1.2, 1.1], [2.0, 2.1, 2.5])
    for scale in (1e-150, 1e150):
        found = difference(
            [scale * x for x in (1.0, 1.2, 1.1)], [scale * x for x in (2.0, 2.1, 2.5)]
        )
        assert found.p_value == pytest.approx(plain.p_value)
        assert math.isfinite(found.low)


@pytest.mark.parametrize(
    ("one", "other"), [([1.0], [2.0, 3.0]), ([1.0, 2.0], [3.0]), ([1.0, 1.0], [2.0, 2.0])]
)
def test_what_cannot_be_tested_is_not(one, other):
    assert difference(one, other) is None
