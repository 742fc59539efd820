import io

import pytest
from rich.console import Console

from orchestrator.evaluation.results import across_folds, summary
from orchestrator.reporting.evaluation import print_evaluation
from protocol.folders import TrialFolder


@pytest.fixture
def printed(tmp_path):
    def show(found, pictures=()):
        console = Console(width=100, record=True, file=io.StringIO())
        folder = TrialFolder(tmp_path / "trial_3")
        common = {"study": "x", "trial": 3, "split": "test", "notes": []}
        print_evaluation(console, folder, "test", common | found, list(pictures))
        return console.export_text()

    return show


def lesion(group, value, floor):
    return {"group": group, "scores": {"dice": value, "floor_dice": floor}}


def line(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start))


CASES = [
    lesion("Brats21", 0.5, 0.25),
    lesion("Brats21", 0.7, 0.25),
    {"group": "IXI", "scores": {"l1": 0.01}},
]


def test_the_floor_stands_beside_the_model(printed):
    text = printed({"checkpoint": {"epoch": 7}, "groups": summary(CASES)})
    assert "Trial 3 of study x on the test split, epoch 7" in text
    assert "median-filter floor" in text
    assert line(text, "dice").split() == ["dice", "0.6", "±", "0.14", "0.25", "±", "0"]
    assert "floor_dice" not in text


def test_all_together_is_told_only_where_groups_share_a_score(printed):
    text = printed({"checkpoint": {"epoch": 7}, "groups": summary(CASES)})
    assert "Brats21: 2 cases" in text
    assert "IXI: 1 case" in text
    assert "All together" not in text
    shared = [*CASES, lesion("MSLUB", 0.0, 0.1)]
    text = printed({"checkpoint": {"epoch": 7}, "groups": summary(shared)})
    assert "All together: 4 cases" in text
    assert "0.4 ±" in text


def test_one_group_needs_no_floor_column(printed):
    found = {
        "checkpoint": {"epoch": 1},
        "groups": summary([{"group": "t", "scores": {"mse": 2.0}}]),
    }
    text = printed(found, ["/elsewhere/best_0001.png", "/elsewhere/worst_0002.png"])
    assert "All: 1 case" in text
    assert "median-filter floor" not in text
    assert "evaluation.json" in text
    assert "evaluation_test.csv" in text
    assert "/elsewhere/worst_0002.png" in text


def test_folds_are_told_one_by_one_and_as_a_mean(printed):
    parts = [summary([lesion("B", value, 0.1)]) for value in (0.25, 0.75)]
    folds = [
        {"fold": n, "checkpoint": {"epoch": 4 + n}, "groups": part, "notes": [f"note {n}"]}
        for n, part in enumerate(parts)
    ]
    text = printed({"groups": across_folds(parts), "folds": folds})
    assert "over 2 folds" in text
    assert line(text, "dice").split()[:4] == ["dice", "0.5", "±", "0.35"]
    assert "Fold 1, epoch 5" in text
    assert "Note: fold 1: note 1" in text


def test_tuning_tells_what_it_gained_and_how_fast_it_was(printed):
    tuning = {
        "trials": 50,
        "seconds": 2.0,
        "value": 0.61,
        "default_value": 0.55,
        "parameters": {"erosion": 2, "timesteps": "250-500"},
    }
    found = {"checkpoint": {"epoch": 1}, "groups": summary(CASES), "tuning": tuning}
    text = printed(found)
    assert "50 trials, 25 a second: from 0.55 with the defaults to 0.61" in text
    assert "erosion=2 timesteps=250-500" in text
