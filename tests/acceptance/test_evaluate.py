"""`evaluate` from the command line: of a family judged by samples, and of one for lesions."""

from __future__ import annotations

import csv
import json
import statistics

import pytest

from protocol.messages import Validated
from tests.families.anomaly_toy import TINY_BRAINS
from tests.studio import ROOT, Studio, finish
from worker.training.checkpoint import load_checkpoint

ANOMALY_TOY = f"{ROOT}/tests/families/anomaly_toy.py:AnomalyToy"


@pytest.fixture(scope="module")
def reconstruction(tmp_path_factory, launcher):
    """A study of the toy with a trial that has ended."""
    studio = Studio(tmp_path_factory.mktemp("reconstruction"), launcher=launcher)
    studio.change(n_trials=1, recipe={"epochs": 1}, data={"noise": 0.1}, pictures=0)
    code, output = studio.run()
    assert code == 0, output
    return studio


@pytest.fixture(scope="module")
def anomaly(tmp_path_factory, launcher):
    """A cross-validated study of the anomaly toy."""
    studio = Studio(tmp_path_factory.mktemp("anomaly"), launcher=launcher)
    studio.change(
        family=ANOMALY_TOY,
        objective={"metric": "l1", "direction": "minimize"},
        data={"root": str(studio.path / "brains"), **TINY_BRAINS},
        recipe={"epochs": 1, "batch_size": 2, "learning_rate": 1e-3},
        search={"noise": {"low": 0.02, "high": 0.05}},
        n_trials=1,
        folds=2,
        pictures=0,
    )
    del studio.preset["search"]["learning_rate"]
    code, output = studio.run()
    assert code == 0, output
    return studio


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def found(studio):
    return json.loads(studio.trial(0).evaluation.read_text())


def test_every_sample_is_scored_and_the_means_are_the_trial_s_own(reconstruction):
    folder = reconstruction.trial(0)
    before = reconstruction.folder.database.read_bytes()
    arguments = ["evaluate", *reconstruction.where, "--split", "val"]
    code, output = finish(reconstruction.start_command(arguments))
    assert code == 0, output
    evaluation = found(reconstruction)["validation"]
    (validated,) = [e for e in reconstruction.events(0) if isinstance(e, Validated)]
    cases = rows(folder.cases("validation"))
    assert len(cases) == 8
    for name, mean in validated.metrics.items():
        statistic = evaluation["groups"]["all"]["scores"][name]
        values = [float(case[name]) for case in cases]
        assert statistic["mean"] == pytest.approx(mean, rel=1e-5)
        assert statistic["std"] == pytest.approx(statistics.stdev(values))
        assert f"{name} " in output
    assert len(list((folder.pictures / "evaluation_validation").glob("*.png"))) == 3
    assert evaluation["checkpoint"]["epoch"] == load_checkpoint(folder.best)["epoch"]
    assert reconstruction.folder.database.read_bytes() == before
    assert not reconstruction.processes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trial", "7"], "has no trial 7; it has 0 to 0"),
        (["--split", "train"], "--split: found 'train', expected val or test"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(reconstruction, arguments, words):
    code, output = reconstruction.command("evaluate", *arguments)
    assert code == 2
    assert words in output
    assert "Traceback" not in output


def test_lesions_are_scored_for_each_fold_beside_the_floor(anomaly):
    code, output = anomaly.command("evaluate")
    assert code == 0, output
    evaluation = found(anomaly)["test"]
    assert [fold["fold"] for fold in evaluation["folds"]] == [0, 1]
    shas = {fold["checkpoint"]["sha256"] for fold in evaluation["folds"]}
    assert len(shas) == 2
    lesions = [row for row in rows(anomaly.trial(0).cases("test")) if row["dice"]]
    for score in ("dice", "auprc", "floor_dice"):
        means = [
            statistics.fmean(float(row[score]) for row in lesions if row["fold"] == fold)
            for fold in "01"
        ]
        statistic = evaluation["groups"]["all"]["scores"][score]
        assert statistic["mean"] == pytest.approx(statistics.fmean(means))
        assert statistic["folds"] == 2
    assert "median-filter floor" in output
    pictures = {path.name[:10] for path in anomaly.trial(0).pictures.glob("evaluation_test/*")}
    assert {"fold0_best", "fold1_wors"} <= pictures


def test_post_processing_is_tuned_on_validation_and_reported_on_test(anomaly):
    code, output = anomaly.command("evaluate", "--tune_postprocessing", "20")
    assert code == 0, output
    evaluation = found(anomaly)["test_tuned"]
    tuning = evaluation["tuning"]
    tried = rows(anomaly.trial(0).postprocessing)
    assert len(tried) == 20
    assert tuning["value"] == max(float(row["value"]) for row in tried)
    assert tuning["value"] > tuning["default_value"] == float(tried[0]["value"])
    for fold in evaluation["folds"]:
        for name, value in tuning["parameters"].items():
            if name != "timesteps":
                assert fold["settings"][name] == value
        asked = [int(step) for step in tuning["parameters"]["timesteps"].split("-")]
        assert fold["settings"]["timesteps"] == asked
    assert "20 trials" in output
    assert anomaly.trial(0).residuals.is_dir()
