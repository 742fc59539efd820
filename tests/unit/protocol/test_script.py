"""Placeholders, patterns of files, and where reports may be."""

import os

import pytest
from pydantic import ValidationError

from protocol.script import Reports, ScriptPlan, filled, matching, matching_path, names_in


def test_words_are_filled_in_and_other_braces_stay():
    words = ["--lr", "{lr}", 'a={"b": {c}}', "{folder}/x", "{flag}", "{{lr}}"]
    values = {"lr": "1e-3", "c": "2", "folder": "/out", "flag": ""}
    assert names_in(words) == ["lr", "c", "folder", "flag"]
    assert filled(words, values.__getitem__) == ["--lr", "1e-3", 'a={"b": 2}', "/out/x", "{lr}"]


def test_a_word_that_the_user_left_empty_stays():
    assert filled(["-c", ""], {}.__getitem__) == ["-c", ""]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"csv": "a", "jsonl": "b"}, "expected one place, found csv and jsonl"),
        ({"stdout": "psnr ([0-9.]+)"}, "has no named group"),
        ({"stdout": ["(?P<psnr>[0-9"]}, "is no regular expression"),
        ({"cvs": "a"}, "Extra inputs"),
    ],
)
def test_a_place_of_reports_that_cannot_be_is_refused(given, told):
    with pytest.raises(ValidationError, match="(?s)" + told.replace("(", r"\(")):
        Reports.model_validate(given)


def test_one_expression_may_stand_without_a_list():
    assert Reports.model_validate({"stdout": "(?P<psnr>.)"}).stdout == ["(?P<psnr>.)"]


@pytest.mark.parametrize("pattern", ["/etc/*", "../*.ckpt", "a/../../b", ""])
def test_a_pattern_never_leads_out_of_the_trials_own_folder(pattern):
    with pytest.raises(ValidationError, match="leads out of"):
        ScriptPlan(
            command=["x"],
            workdir="/",
            folder="/f",
            launch="plain",
            report=Reports(),
            checkpoints=[pattern],
        )


def test_a_plan_that_repeats_the_recipes_epochs_as_earlier_ones_did_is_read():
    told = {"command": ["x"], "workdir": "/", "folder": "/f", "launch": "plain", "report": {}}
    assert ScriptPlan.model_validate(told | {"epochs": 9}) == ScriptPlan.model_validate(told)


def test_files_are_found_once_and_the_latest_comes_last(tmp_path):
    for age, name in enumerate(("c.ckpt", "b.ckpt", "sub/a.ckpt")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    (tmp_path / "folder.ckpt").mkdir()
    found = matching(tmp_path, ["*.ckpt", "**/*.ckpt"])
    assert [path.name for path in found] == ["a.ckpt", "b.ckpt", "c.ckpt"]
    assert matching_path(f"{tmp_path}/?.ckpt")[-1].name == "c.ckpt"
    assert matching_path(f"{tmp_path}/none") == []
