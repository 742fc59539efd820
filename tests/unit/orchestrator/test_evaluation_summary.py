import math
import statistics

import pytest

from orchestrator.evaluation_summary import across_folds, summary


def case(group, **scores):
    return {"group": group, "scores": scores}


def test_every_group_and_all_together_have_mean_and_deviation():
    cases = [case("A", dice=0.2), case("A", dice=0.6), case("B", dice=0.7)]
    found = summary(cases)
    assert list(found) == ["all", "A", "B"]
    statistic = found["all"]["scores"]["dice"]
    assert statistic["mean"] == pytest.approx(0.5)
    assert statistic["std"] == pytest.approx(statistics.stdev([0.2, 0.6, 0.7]))
    assert statistic["cases"] == 3
    assert found["A"]["scores"]["dice"]["mean"] == pytest.approx(0.4)
    assert found["B"]["scores"]["dice"] == {"mean": 0.7, "std": None, "cases": 1}


def test_a_single_group_is_not_told_twice():
    assert list(summary([case("A", dice=1.0)])) == ["all"]


def test_a_score_without_meaning_does_not_count():
    found = summary([case("A", dice=1.0, auprc=None), case("A", dice=0.0, auprc=0.3)])
    assert found["all"]["cases"] == 2
    assert found["all"]["scores"]["auprc"] == {"mean": 0.3, "std": None, "cases": 1}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_mean_does_not_hide_what_is_not_finite(bad):
    statistic = summary([case("A", psnr=bad), case("A", psnr=1.0)])["all"]["scores"]["psnr"]
    assert not math.isfinite(statistic["mean"])
    assert statistic["std"] is None


def test_folds_are_averaged_by_their_means_whatever_their_sizes():
    folds = [
        summary([case("A", dice=0.0), case("A", dice=0.2), case("A", dice=0.4)]),
        summary([case("A", dice=0.6)]),
    ]
    found = across_folds(folds)["all"]
    assert found["cases"] == 4
    assert found["scores"]["dice"]["mean"] == pytest.approx(0.4)
    assert found["scores"]["dice"]["std"] == pytest.approx(statistics.stdev([0.2, 0.6]))
    assert found["scores"]["dice"]["folds"] == 2
