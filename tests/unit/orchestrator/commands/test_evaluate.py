import json

import pytest

from orchestrator.commands import evaluate as command
from orchestrator.commands.evaluate import evaluate_trial, runs_of
from protocol.errors import SettingsError
from protocol.messages import load_plan, save_message
from tests.made_study import MadeStudy


class FakeBench:
    """Judges without a model: each checkpoint's Dice is 0.4 and a tenth of its fold."""

    asked: list

    def __init__(self, console, family, device):
        FakeBench.asked = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def say(self, word):
        pass

    def tuning(self, run):
        return {
            "scorer": "none:none",
            "task": {"fold": run.fold},
            "space": {"erosion": {"low": 0, "high": 9}},
            "defaults": {"erosion": 3},
        }

    def score(self, scorer, tasks, points):
        return [{"value": point["erosion"] / 10} for point in points]

    def judge(self, run, split, objective, pictures, parameters):
        self.asked.append((run.fold, split, parameters))
        pictures.mkdir(parents=True, exist_ok=True)
        picture = pictures / f"{run.prefix}best_a.png"
        picture.touch()
        return {
            "checkpoint": {"path": str(run.checkpoint), "epoch": 2, "sha256": "0" * 64},
            "settings": {"threshold": 0.1},
            "notes": ["mind this"],
            "cases": [{"name": "a", "group": "g", "scores": {"dice": 0.4 + (run.fold or 0) / 10}}],
            "pictures": [str(picture.absolute())],
        }


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "EvaluationBench", FakeBench)
    made = MadeStudy(tmp_path)
    made.add()
    return made


def evaluate(made, split="test", tune=None, trial="0"):
    evaluate_trial(made.folder, trial, split=split, device="cpu", tune_postprocessing=tune)
    return json.loads(made.trial(0).evaluation.read_text())


def cross_validate(made, folds, present):
    folder = made.trial(0)
    plan = load_plan(folder.plan).model_copy(update={"folds": folds})
    save_message(folder.plan, plan)
    for fold in present:
        folder.fold(fold).path.mkdir()
        folder.fold(fold).best.touch()
    return plan


@pytest.mark.parametrize(("split", "name"), [("val", "validation"), ("test", "test")])
def test_a_verdict_is_kept_under_its_split(made, split, name, capsys):
    found = evaluate(made, split)
    assert found.keys() == {name}
    assert found[name]["groups"]["all"]["scores"]["dice"]["mean"] == 0.4
    assert found[name]["settings"] == {"threshold": 0.1}
    assert found[name]["notes"] == ["mind this"]
    assert FakeBench.asked == [(None, name, None)]
    assert made.trial(0).cases(name).exists()
    assert "mind this" in capsys.readouterr().out


def test_tuning_comes_before_the_test_and_beside_the_plain_verdict(made):
    evaluate(made)
    found = evaluate(made, tune=12)
    assert found.keys() == {"test", "test_tuned"}
    best = found["test_tuned"]["tuning"]["parameters"]
    assert FakeBench.asked == [(None, "test", best)]
    assert best["erosion"] > 3
    assert len(made.trial(0).postprocessing.read_text().splitlines()) == 13


def test_each_fold_that_has_a_checkpoint_is_judged_and_a_missing_one_is_told(made):
    plan = cross_validate(made, 3, present=(0, 2))
    runs = runs_of(made.trial(0), plan)
    assert [(run.fold, run.checkpoint) for run in runs] == [
        (fold, made.trial(0).fold(fold).best) for fold in (0, 2)
    ]
    assert len({run.store for run in runs}) == 2
    found = evaluate(made)["test"]
    assert found["groups"]["all"]["scores"]["dice"]["mean"] == pytest.approx(0.5)
    assert found["notes"] == ["fold 1 has no checkpoint and is left out"]
    assert [fold["fold"] for fold in found["folds"]] == [0, 2]


def test_a_trial_that_is_still_running_is_judged_and_marked(made):
    made.trial(0).outcome.unlink()
    assert "has not ended" in evaluate(made)["test"]["notes"][0]


def test_pictures_of_an_earlier_verdict_go_and_others_stay(made):
    folder = made.trial(0).pictures / "evaluation_test"
    folder.mkdir(parents=True)
    (folder / "best_z.png").touch()
    (folder.parent / "validation_0000.png").touch()
    evaluate(made)
    assert [path.name for path in folder.iterdir()] == ["best_a.png"]
    assert (folder.parent / "validation_0000.png").exists()


def test_a_verdict_that_fails_leaves_the_earlier_one(made, monkeypatch):
    before = evaluate(made)

    def fail(*_):
        raise SettingsError("no data")

    monkeypatch.setattr(FakeBench, "judge", fail)
    with pytest.raises(SettingsError, match="no data"):
        evaluate(made)
    assert json.loads(made.trial(0).evaluation.read_text()) == before
    assert list((made.trial(0).pictures / "evaluation_test").iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"split": "train"}, "--split: found 'train', expected val or test"),
        ({"trial": "5"}, "--trial: study 'made' has no trial 5"),
    ],
)
def test_what_is_not_there_is_told(made, arguments, words):
    with pytest.raises(SettingsError, match=words):
        evaluate(made, **arguments)


def test_a_trial_without_its_plan_is_told(made):
    made.trial(0).plan.unlink()
    with pytest.raises(SettingsError, match=r"plan\.json is missing or damaged"):
        evaluate(made)
