import json
import logging

import pytest

from models.family import Family
from protocol.errors import SettingsError
from protocol.recipe import TrainingRecipe
from tests.families.toy import Toy
from tests.ranks import TOY
from worker.calls import check
from worker.calls.check import check_settings, devices

GOOD = {
    "family": TOY,
    "recipes": [{"epochs": 2, "width": 4}, {"epochs": 2, "width": 8}],
    "data": {"samples": 5, "validation_samples": 3},
    "objective": {"metric": "error", "direction": "minimize"},
    "searched": ["width"],
}


def errors(**changes):
    return check_settings(**(GOOD | changes))["errors"]


def test_good_settings_come_back_with_metrics_keys_and_sample_counts():
    report = check_settings(**GOOD)
    assert report["errors"] == []
    assert report["metrics"] == {"error": "minimize", "psnr": "maximize"}
    assert report["samples"] == {"train": 5, "validation": 3}
    assert report["family_keys"]["width"] == 4
    assert json.loads(json.dumps(report)) == report


def test_what_data_are_warned_of_comes_back_once_each(monkeypatch):
    class Doubtful(Toy):
        def dataset(self, split):
            logging.getLogger("data.somewhere").warning("%s looks wrong", "it")
            logging.getLogger("data.somewhere").info("all is well")
            return super().dataset(split)

    monkeypatch.setattr(check, "load_family", lambda _: Doubtful)
    assert check_settings(**GOOD)["warnings"] == ["it looks wrong"]
    logging.getLogger("data.somewhere").warning("later")
    assert check_settings(**GOOD)["warnings"] == ["it looks wrong"]


def test_a_wrong_value_is_told_once_under_the_section_where_its_key_stands():
    recipes = [{"width": "wide"}, {"width": "wide"}, {"dropout": "much"}]
    assert errors(recipes=recipes) == [
        {"key": "search.width", "problem": "found 'wide', expected a whole number"},
        {"key": "recipe.dropout", "problem": "found 'much', expected a number"},
    ]


def test_an_unknown_key_comes_with_the_familys_and_the_common_keys():
    (problem,) = errors(recipes=[{"widht": 3}])
    assert problem["key"] == "recipe.widht"
    assert {"width", "dropout", "epochs", "learning_rate"} <= set(problem["valid_keys"])
    assert set(TrainingRecipe.model_fields) < set(problem["valid_keys"])


def test_common_keys_are_checked_too():
    (problem,) = errors(recipes=[{"epochs": 0}])
    assert problem == {"key": "recipe.epochs", "problem": "found 0, expected 1 or more"}


def test_the_data_section_is_checked_by_the_familys_model():
    (problem,) = errors(data={"sampels": 3})
    assert problem["key"] == "data.sampels"
    assert "samples" in problem["valid_keys"]


def test_a_family_whose_models_cannot_be_cut_is_refused_and_others_are_named(monkeypatch):
    monkeypatch.setattr("worker.calls.check.known_families", lambda: ["fbp_window"])
    (problem,) = errors(stages=3)
    assert problem["key"] == "parallel"
    assert problem["problem"] == (
        "found 3 stages, but the models of this family cannot be cut into pieces; expected kind: "
        "ddp, or a family that can: none in models/"
    )
    cut = {"family": "tests/families/pipelined_toy.py:PipelinedToy", "recipes": [{}]}
    assert errors(stages=3, **cut, data={}) == []


def test_what_the_family_itself_refuses_is_told_under_its_key(monkeypatch):
    def refuse(self):
        raise SettingsError("there is no file a: b", key="recipe.weights_file")

    monkeypatch.setattr(Family, "check", refuse)
    assert errors() == [{"key": "recipe.weights_file", "problem": "there is no file a: b"}]


def test_what_a_family_refuses_without_naming_a_key_is_told_as_it_says_it(monkeypatch):
    def refuse(self):
        raise SettingsError("recipe.weights_file: there is no file a: b")

    monkeypatch.setattr(Family, "check", refuse)
    assert errors() == [{"key": "", "problem": "recipe.weights_file: there is no file a: b"}]


def test_a_split_without_samples_is_told():
    (problem,) = errors(data={"validation_samples": 0})
    assert problem == {"key": "data", "problem": "the validation split has no samples"}


@pytest.mark.parametrize(
    ("objective", "key", "problem"),
    [
        (
            {"metric": "eror", "direction": "minimize"},
            "objective.metric",
            "found 'eror', expected one of the family's metrics: error, psnr",
        ),
        (
            {"metric": "psnr", "direction": "minimize"},
            "objective.direction",
            "found 'minimize', expected 'maximize', which is better for psnr",
        ),
    ],
)
def test_an_objective_that_the_family_cannot_serve_is_told(objective, key, problem):
    (found,) = errors(objective=objective)
    assert (found["key"], found["problem"]) == (key, problem)


def test_all_sections_problems_are_told_at_once():
    found = errors(recipes=[{"width": "wide"}], data={"size": "big"}, objective={"metric": "no"})
    assert [problem["key"] for problem in found] == [
        "search.width",
        "data.size",
        "objective.metric",
    ]


@pytest.mark.parametrize("family", ["no_such_family", "no/such/file.py:Toy", TOY + "y"])
def test_a_family_that_is_not_there_is_one_problem(family):
    (problem,) = errors(family=family)
    assert problem["key"] == "family"


def test_devices_are_told_as_json():
    found = devices()
    assert json.loads(json.dumps(found)) == found
    assert all({"index", "name", "uuid", "memory_gib"} == gpu.keys() for gpu in found["cuda"])


VOLUME_TOY = "tests/families/volume_toy.py:VolumeToy"
VOLUMES = {
    "family": VOLUME_TOY,
    "data": {},
    "searched": ["learning_rate"],
    "objective": {"metric": "error", "direction": "minimize"},
}
PARENT = {"parent_file": "/runs/refine/parent.pth", "parent_sha256": "ab"}


def test_a_family_that_starts_from_no_other_model_refuses_a_parent():
    assert errors(recipes=[{"width": 4} | PARENT], parent=True) == [
        {
            "key": "parent",
            "problem": "trials of this family start from no other model; remove the section",
        }
    ]


def test_a_family_that_takes_a_parent_looks_at_its_file(tmp_path):
    (problem,) = errors(**VOLUMES, recipes=[PARENT], parent=True)
    assert problem == {
        "key": "recipe.parent_file",
        "problem": "there is no /runs/refine/parent.pth",
    }
    assert errors(**VOLUMES, recipes=[{}]) == []


def test_a_metric_for_plateau_to_watch_must_be_one_of_the_familys():
    assert errors(recipes=[{"plateau_metric": "psnr"}, {"plateau_metric": None}]) == []
    assert errors(recipes=[{"plateau_metric": "loss"}]) == [
        {
            "key": "recipe.plateau_metric",
            "problem": "found 'loss', expected null or one of the family's metrics: error, psnr",
        }
    ]
