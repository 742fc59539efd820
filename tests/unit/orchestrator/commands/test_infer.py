"""What `infer` refuses at once, before anything is loaded, and how its options are spelled."""

import os
from pathlib import Path

import pytest

from orchestrator.__main__ import with_command
from orchestrator.commands.infer import Wanted, infer_volume
from protocol.errors import SettingsError
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture
def wanted(tmp_path):
    def wanted(**changes):
        given = {"inputs": [tmp_path / "ap.png"], "out": tmp_path / "ct.nii.gz"}
        return Wanted(**(given | changes))

    return wanted


@pytest.mark.parametrize(
    ("given", "three"), [((), ()), ((1.5,), (1.5, 1.5, 1.5)), ((1, 2, 3), (1, 2, 3))]
)
def test_a_voxel_is_given_by_one_side_or_by_three(wanted, given, three):
    assert wanted(voxel_size=given).checked().voxel_size == three


@pytest.mark.parametrize(
    "sizes", [(1, 2), (1, 2, 3, 4), (0,), (-1,), (float("nan"),), (1, 1e400, 1)]
)
def test_a_voxel_of_another_kind_is_refused(wanted, sizes):
    with pytest.raises(SettingsError, match=r"^--voxel_size: found .*expected one number of mm"):
        wanted(voxel_size=sizes).checked()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"out": "ct.png"}, "--out: found .*ct.png, expected a name.nii.gz or name.nii"),
        ({"out": ".nii.gz"}, "--out: found"),
        ({"out": "there.nii.gz"}, "--out: .*there.nii.gz exists; --overwrite replaces it"),
        ({"out": "none/ct.nii.gz"}, "--out: there is no folder .*none; make it first"),
        ({"out": "folder.nii"}, "--out: .*folder.nii is a folder"),
        ({"picture": "ct.jpg"}, "--picture: found .*ct.jpg, expected a name.png"),
        ({"picture": "there.png"}, "--picture: .*there.png exists; --overwrite"),
        ({"number": "int8"}, "--dtype: found 'int8', expected int16 or float32"),
    ],
)
def test_what_cannot_be_done_is_refused_by_option(wanted, tmp_path, options, words):
    (tmp_path / "there.nii.gz").touch()
    (tmp_path / "there.png").touch()
    (tmp_path / "folder.nii").mkdir()
    placed = {
        key: tmp_path / value if key in ("out", "picture") else value
        for key, value in options.items()
    }
    with pytest.raises(SettingsError, match=f"^{words}"):
        wanted(**placed).checked()


def test_what_is_there_is_replaced_when_that_is_asked_for(wanted, tmp_path):
    (tmp_path / "ct.nii.gz").touch()
    assert wanted(overwrite=True).checked().out == tmp_path / "ct.nii.gz"


def test_a_folder_that_may_not_be_written_is_refused(wanted, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(SettingsError, match="--out: nothing may be written into"):
        wanted().checked()


def test_a_trial_without_a_checkpoint_is_refused_before_anything_is_loaded(wanted, tmp_path):
    made = MadeStudy(tmp_path)
    made.add(None, ending=Ending.FAILED)
    with pytest.raises(SettingsError, match="no trial of study 'made' is complete"):
        infer_volume(made.folder, "best", wanted())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("infer --input a b --out c", "infer --input a --input b --out c"),
        ("infer --out c --input a b", "infer --out c --input a --input b"),
        ("infer --input a --input b", "infer --input a --input b"),
        (
            "infer --voxel-size 1 2 3 --input case",
            "infer --voxel_size 1 --voxel_size 2 --voxel_size 3 --input case",
        ),
        ("infer --out c d", "infer --out c d"),
        ("status --input a b", "status --input a b"),
    ],
)
def test_several_values_may_follow_one_option(typed, meant):
    assert with_command(typed.split()) == meant.split()


def test_paths_stay_as_they_were_typed():
    assert Wanted(inputs=[Path("ap.png")], out=Path("ct.nii")).checked().out == Path("ct.nii")
