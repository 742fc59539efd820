"""A study is what it was begun with, wherever it and its parts lie and whatever they are called."""

import contextlib
import errno
import shutil
import sqlite3

import pytest

from orchestrator.study.inputs import data_fingerprint
from orchestrator.study.study_file import read_study_file
from protocol.messages import load_plan
from tests.families import toy
from tests.studio import Studio, finish


@pytest.fixture
def begun(inside):
    """A study of a family in a folder of its own, of which one trial has failed."""
    family = inside.path / "first" / "own.py"
    family.parent.mkdir()
    shutil.copy(toy.__file__, family)
    inside.change(family=f"{family}:Toy", n_trials=1, recipe={"epochs": 1})
    inside.change(recipe={"raise_at_step": 1})
    code, output = inside.run()
    assert code == 1, output
    assert inside.states() == ["FAIL"]
    return inside


def test_a_wrong_first_start_is_discarded_by_one_option_and_only_while_no_trial_is_complete(begun):
    del begun.preset["recipe"]["raise_at_step"]
    code, output = begun.run()
    assert code == 2
    assert "recipe.raise_at_step: the study has 1, now None" in output
    assert "No trial is complete: --restart discards what was begun and starts over" in output
    code, output = begun.run("--restart")
    assert code == 0, output
    assert "starting over: 1 trial of the earlier start discarded" in output
    assert begun.states() == ["COMPLETE"]
    code, output = begun.run("--restart")
    assert code == 2
    assert "1 of the trials of study 'x' are complete, so it is not discarded" in output
    assert begun.states() == ["COMPLETE"]
    begun.change(recipe={"epochs": 2})
    code, output = begun.run()
    assert code == 2
    assert "--restart" not in output


def test_a_study_goes_on_when_its_familys_folder_has_moved_and_only_with_the_same_code(begun):
    begun.path.joinpath("first").rename(begun.path / "mounted elsewhere")
    moved = begun.path / "mounted elsewhere" / "own.py"
    begun.change(family=f"{moved}:Toy", n_trials=2)
    code, output = begun.run()
    assert "family is" in output
    assert begun.states() == ["FAIL", "FAIL"]
    shutil.copytree(moved.parent, begun.path / "third")
    (begun.path / "third" / "own.py").write_text(moved.read_text() + "# another\n")
    begun.change(family=f"{begun.path / 'third' / 'own.py'}:Toy")
    code, output = begun.run()
    assert code == 2
    assert "does not hold what study 'x' was begun with" in output


@pytest.mark.parametrize("name", ["q?mark", "per%20cent", "ha#sh {x} ü"])
def test_the_folder_of_studies_may_be_called_anything(name, tmp_path, launcher):
    studio = Studio(tmp_path / name, launcher=launcher)
    studio.path.mkdir()
    studio.change(n_trials=1, recipe={"epochs": 1})
    code, output = studio.run()
    assert code == 0, output
    with contextlib.closing(sqlite3.connect(studio.folder.database)) as database:
        assert database.execute("SELECT state FROM trials").fetchall() == [("COMPLETE",)]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    code, output = studio.run_with(["status", *studio.where])
    assert code == 0
    assert "1 of 1 trials begun, 1 complete" in output


def test_data_are_known_by_what_they_hold_and_not_by_where_they_lie(inside):
    data = inside.path / "data"
    generate = {"image_size": 32, "angles": 32, "photons": 300, "seed": 1}
    generate |= {"train": 8, "validation": 4, "test": 4}
    inside.preset |= {
        "family": "fbp_window",
        "objective": {"metric": "psnr", "direction": "maximize"},
        "data": {"root": str(data), "generate": generate},
        "recipe": {"epochs": 1},
        "n_trials": 1,
    }
    code, output = inside.run()
    assert code == 0, output
    plan = load_plan(inside.trial(0).plan)
    known = read_study_file(inside.folder)
    assert plan.data_fingerprint == data_fingerprint(known.inputs)
    assert plan.study_identity == known.identity

    (inside.path / "mounted").mkdir()
    data.rename(inside.path / "mounted" / "set")
    (inside.path / "link").symlink_to(inside.path / "mounted")
    moved = inside.path / "link" / "set"
    inside.change(data={"root": str(moved), "generate": None}, n_trials=2)
    code, output = inside.run()
    assert code == 0, output
    assert f"data.root is {moved} now: the same 10 files as {data}" in output
    assert load_plan(inside.trial(1).plan).data["root"] == str(moved), "links stay as typed"

    moved.joinpath("ground_truth_test_000.hdf5").unlink()
    code, output = inside.run("--n_trials", "3")
    assert code == 2
    assert f"data.root: {moved} does not hold what study 'x' was begun with" in output
    assert "missing: ground_truth_test_000.hdf5" in output


def test_paths_are_spelled_in_full_under_any_locale(begun, monkeypatch):
    """Python turns to UTF-8 for the locale C by itself, but not for others; it is kept from it."""
    begun.path.joinpath("runs").rename(begun.path / "größe")
    for variable, value in {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}.items():
        monkeypatch.setenv(variable, value)
    where = ["--study_name", "x", "--runs_dir", str(begun.path / "größe")]
    code, output = finish(begun.start_command(["status", *where]))
    assert code == 0, output
    assert "1 of 1 trials begun, 0 complete, 0 pruned, 1 failed" in output
    code, output = finish(begun.start_command(["export", *where, "--out", str(begun.path / "ü")]))
    assert "größe/x" in output or "is complete" in output
    assert "Traceback" not in output


def test_a_disk_that_is_full_while_a_study_is_set_up_is_one_sentence(inside, monkeypatch):
    def full(path, *_):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("orchestrator.study.study_file.write_text", full)
    code, output = inside.run()
    assert code == 2, output
    assert f"error: the disk that holds {inside.folder.settings} is full" in output
    assert "Traceback" not in output
    assert not inside.folder.path.exists()
