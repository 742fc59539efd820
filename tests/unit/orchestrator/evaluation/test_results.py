import csv
import json
import math
import statistics

import pytest

from orchestrator.evaluation.results import (
    across_folds,
    read_evaluations,
    save_cases,
    save_evaluation,
    save_table,
    summary,
)
from protocol.errors import SettingsError
from protocol.folders import TrialFolder


@pytest.fixture
def folder(tmp_path):
    return TrialFolder(tmp_path)


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_each_split_has_its_place_and_a_new_verdict_takes_the_old_one_s(folder):
    save_evaluation(folder, "test", {"value": 1})
    save_evaluation(folder, "validation", {"value": 2})
    save_evaluation(folder, "test", {"value": 3})
    assert read_evaluations(folder) == {"test": {"value": 3}, "validation": {"value": 2}}


def test_the_file_is_json_also_where_a_number_is_not_finite(folder):
    save_evaluation(folder, "test", {"means": [math.nan, math.inf, 1.5], "cases": {"a": -math.inf}})
    strict = json.loads(folder.evaluation.read_text(), parse_constant=pytest.fail)
    assert strict["test"] == {"means": ["nan", "inf", 1.5], "cases": {"a": "-inf"}}


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_file_is_not_overwritten(folder, content):
    folder.evaluation.write_text(content)
    with pytest.raises(SettingsError, match="is damaged"):
        save_evaluation(folder, "test", {})
    assert folder.evaluation.read_text() == content


def test_each_case_has_a_line_with_every_digit_and_a_gap_where_there_is_no_score(folder):
    cases = [
        {"name": "a", "group": "Set, 1", "scores": {"dice": 1 / 3, "auprc": None}},
        {"name": "b", "group": "healthy", "scores": {"l1": 0.25}},
    ]
    save_cases(folder.cases("test"), [{"fold": None, "cases": cases}])
    first, second = rows(folder.cases("test"))
    assert list(first) == ["case", "group", "dice", "auprc", "l1"]
    assert float(first["dice"]) == 1 / 3
    assert first["group"] == "Set, 1"
    assert first["auprc"] == first["l1"] == second["dice"] == ""


def test_with_folds_a_line_says_which(folder):
    cases = [{"name": "a", "group": "g", "scores": {"dice": 0.5}}]
    save_cases(folder.cases("test"), [{"fold": fold, "cases": cases} for fold in (0, 2)])
    assert [row["fold"] for row in rows(folder.cases("test"))] == ["0", "2"]


def test_a_table_s_rows_may_lack_columns(tmp_path):
    save_table(tmp_path / "t.csv", [{"trial": 0, "a": 1}, {"trial": 1, "b": 2.5}])
    assert rows(tmp_path / "t.csv") == [
        {"trial": "0", "a": "1", "b": ""},
        {"trial": "1", "a": "", "b": "2.5"},
    ]


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
