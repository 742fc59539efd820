"""Where a dependent study's parent is, wherever the study or an export of it has gone."""

import shutil

import pytest

from protocol.files import partial
from protocol.folders import StudyFolder, parent_of


@pytest.fixture
def folder(tmp_path):
    folder = StudyFolder(tmp_path / "runs" / "refine")
    folder.trial(2).fold(1).path.mkdir(parents=True)
    folder.parent.write_bytes(b"weights")
    return folder


def recipe(folder, **more):
    return {"epochs": 2, "parent_file": str(folder.parent), "parent_sha256": "ab", **more}


def test_a_model_of_its_own_needs_none(folder):
    assert parent_of(folder.trial(2).best, {"epochs": 2}) is None
    assert parent_of(folder.trial(2).best, {"parent_file": None}) is None


def test_a_trial_a_fold_and_a_confirmation_find_it_where_the_study_keeps_it(folder, tmp_path):
    moved = StudyFolder(tmp_path / "elsewhere" / "refine")
    moved.path.parent.mkdir()
    shutil.move(folder.path, moved.path)
    runs = moved.confirmations
    for run in (moved.trial(2), moved.trial(2).fold(1), runs.trial(0), runs.trial(0).fold(4)):
        assert parent_of(run.best, recipe(folder)) == moved.parent


def test_an_export_has_its_own(folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "parent.pth").write_bytes(b"weights")
    assert parent_of(out / "best.pth", recipe(folder)) == out / "parent.pth"


def test_one_that_was_given_without_a_digest_is_where_it_was_given(folder, tmp_path):
    given = tmp_path / "given.pth"
    given.write_bytes(b"other weights")
    asked = recipe(folder, parent_file=str(given), parent_sha256=None)
    assert parent_of(folder.trial(2).best, asked) == given
    given.unlink()
    assert parent_of(folder.trial(2).best, asked) == folder.parent


def test_one_that_is_nowhere_is_named_by_where_it_was(folder):
    folder.parent.unlink()
    assert parent_of(folder.trial(2).best, recipe(folder)) == folder.parent


def test_what_a_kill_left_of_a_trial_is_swept_also_where_another_has_the_number_by_now(tmp_path):
    trial = StudyFolder(tmp_path).trial(0)
    fold = trial.fold(1)
    kept = [trial.last, trial.events, fold.best]
    litter = [
        partial(trial.last),  # of this very process's number, which is alive
        partial(fold.best),
        partial(trial.pictures / "validation_0000.png"),
        trial.rendezvous(0),
    ]
    for path in [*litter, *kept]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    trial.sweep()
    assert [path.exists() for path in litter] == [False] * 4
    assert [path.exists() for path in kept] == [True] * 3
