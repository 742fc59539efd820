"""What an attempt at a script runs, from the settings and its point."""

import pytest
from pydantic import ValidationError

from orchestrator.settings.script import ScriptSettings, script_plan, spelled, split
from protocol.recipe import Recipe

PLACES = {"folder": "/runs/x/trial_3/output", "trial": 3, "seed": 7, "study": "x", "ranks": 2}


def settings(**changes):
    return ScriptSettings.model_validate({"command": "train", "workdir": "/"} | changes)


def planned(made, **given):
    return script_plan(made, Recipe.of(given, scripted=True), PLACES)


def test_values_stand_as_one_word_each_whatever_is_in_them():
    made = settings(command="train --name '{name}' --lr={lr} {flag}")
    plan = planned(made, name="two words; $HOME", lr=1e-5, flag="")
    assert plan.command == ["train", "--name", "two words; $HOME", "--lr=1e-05"]


@pytest.mark.parametrize(
    ("value", "word"),
    [(True, "true"), (None, "null"), (0.1, "0.1"), (1e-05, "1e-05"), (32, "32"), ("a b", "a b")],
)
def test_values_are_spelled_as_in_the_settings(value, word):
    assert spelled(value) == word


def test_the_trials_own_places_are_filled_in_everywhere():
    made = settings(
        command=["train", "{seed}", "{study}-{trial}", "{ranks}"],
        resume="--resume {folder}/last.ckpt",
        report={"csv": "{folder}/logs/{name}/metrics.csv"},
    )
    plan = planned(made, name="a", epochs=9)
    assert plan.command == ["train", "7", "x-3", "2"]
    assert plan.resume == ["--resume", "/runs/x/trial_3/output/last.ckpt"]
    assert plan.report.csv == "/runs/x/trial_3/output/logs/a/metrics.csv"


def test_a_regular_expression_keeps_its_braces():
    report = {"stdout": r"e(?P<epoch>\d{2}) (?P<psnr>\d+)"}
    assert planned(settings(report=report)).report.stdout == [r"e(?P<epoch>\d{2}) (?P<psnr>\d+)"]


def test_a_key_that_does_not_hold_at_this_point_is_empty():
    made = settings(command="train {momentum} --lr {lr}")
    assert planned(made, lr=1).command == ["train", "--lr", "1"]


def test_an_empty_command_is_refused():
    with pytest.raises(ValidationError, match="expected a command"):
        settings(command="  ")
    assert split(["a b", "c"]) == ["a b", "c"]
