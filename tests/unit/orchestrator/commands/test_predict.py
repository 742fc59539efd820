"""What `predict` takes of a trial, and refuses at once, before anything is loaded."""

import json

import pytest

from orchestrator.commands.predict import (
    Wanted,
    checkpoints_of,
    doubts_of,
    postprocessing_of,
)
from protocol.errors import SettingsError
from protocol.messages import load_plan
from tests.made_study import MadeStudy


@pytest.fixture
def trial(tmp_path):
    made = MadeStudy(tmp_path)
    made.add()
    return made.trial(0)


@pytest.fixture
def wanted(tmp_path):
    def wanted(out, **changes):
        return Wanted(**{"inputs": [tmp_path / "in"], "out": tmp_path / out} | changes)

    return wanted


def found(*digests, **settings):
    runs = [{"checkpoint": {"sha256": one}, "settings": settings} for one in digests]
    return runs[0] if len(runs) == 1 else {"folds": runs}


def test_the_tuned_evaluation_is_taken_before_others(trial):
    assert postprocessing_of(trial) == []
    known = {"validation": found("a", threshold=1), "test": found("a", threshold=2)}
    trial.evaluation.write_text(json.dumps(known))
    assert [one["settings"] for one in postprocessing_of(trial)] == [{"threshold": 2}]
    trial.evaluation.write_text(
        json.dumps(known | {"validation_tuned": found("a", "b", threshold=3)})
    )
    (one, other) = postprocessing_of(trial)
    assert (one["sha256"], other["sha256"]) == ("a", "b")
    assert one["settings"] == {"threshold": 3}
    assert one["source"] == f"{trial.evaluation} (validation_tuned)"


def test_the_folds_that_have_a_checkpoint_are_taken(trial):
    plan = load_plan(trial.plan)
    assert checkpoints_of(trial, plan) == [trial.best]
    assert checkpoints_of(trial, None) == [trial.best]
    folded = plan.model_copy(update={"folds": 3})
    for fold in (0, 2):
        trial.fold(fold).path.mkdir()
        trial.fold(fold).best.touch()
    assert checkpoints_of(trial, folded) == [trial.fold(0).best, trial.fold(2).best]
    assert list(doubts_of(trial, folded)) == ["folds without a checkpoint are left out: 1"]
    trial.outcome.unlink()
    assert next(doubts_of(trial, plan)).startswith("the trial has not ended")


@pytest.mark.parametrize(
    ("out", "format_"),
    [
        ("images", None),
        ("a.nii.gz", "nii.gz"),
        ("a.NII", "nii"),
        ("a.h5", "hdf5"),
        ("a.png", "png"),
    ],
)
def test_a_file_s_name_says_the_format_and_another_is_a_folder(wanted, out, format_):
    checked = wanted(out).checked()
    assert (checked.into_file, checked.format) == (format_ is not None, format_)


@pytest.mark.parametrize(
    ("out", "changes", "words"),
    [
        ("there.npy", {}, "--out: .*there.npy exists; --overwrite replaces it"),
        ("there.txt", {}, "--out: .*there.txt is a file, expected a folder"),
        ("none/a.npy", {}, "--out: there is no folder .*none; make it first"),
        ("a.npy", {"format": "png"}, "--format: found 'png' for .*a.npy, which says another"),
        ("in/out", {}, "--out: .*in/out is in .*in, so that results would be taken for input"),
        ("out", {"voxel_size": (1, 2)}, "--voxel_size: found 1 2, expected one number"),
    ],
)
def test_what_cannot_be_done_is_refused_by_option(wanted, tmp_path, out, changes, words):
    (tmp_path / "in").mkdir()
    for name in ("there.npy", "there.txt"):
        (tmp_path / name).touch()
    with pytest.raises(SettingsError, match=f"^{words}"):
        wanted(out, **changes).checked()


def test_options_that_were_not_given_are_not_passed_on(wanted):
    options = {"mask": None, "threshold": 0.0}
    checked = wanted("out", options=options, voxel_size=(2.0,)).checked()
    assert checked.options == {"threshold": 0.0, "voxel_size": [2.0, 2.0, 2.0]}
