"""study.yml: what a study was asked, and which changes it bears."""

from __future__ import annotations

import re

import pytest

from orchestrator.settings.layers import Asked
from orchestrator.settings.schema import Settings
from orchestrator.study.inputs import Input
from orchestrator.study.parent_record import ParentRecord
from orchestrator.study.study_file import (
    StudyFile,
    read_study_file,
    refuse_other_meaning,
    write_study_file,
)
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder

PLAIN = {
    "preset": "p",
    "family": "f",
    "objective": {"metric": "m", "direction": "minimize"},
    "data": {"root": "/d"},
    "recipe": {"epochs": 3},
    "search": {
        "learning_rate": {"low": 1e-3, "high": 1e-1, "log": True},
        "window": {"choices": ["a", "b"]},
    },
}


def settings(**changed):
    return Settings.model_validate(PLAIN | changed)


def begun(made=None, **changed):
    return StudyFile(asked=Asked(), settings=made or settings(), **changed)


def search(**changed):
    return {"search": PLAIN["search"] | changed}


def test_what_is_written_is_read_back(tmp_path):
    folder = StudyFolder(tmp_path)
    content = StudyFile(asked=Asked(preset="p", sets=["a=1"]), settings=settings())
    write_study_file(folder, content)
    assert read_study_file(folder) == content


def test_a_new_study_has_no_file_and_a_damaged_one_is_named(tmp_path):
    folder = StudyFolder(tmp_path)
    assert read_study_file(folder) is None
    folder.settings.write_text("settings: [")
    with pytest.raises(UserError, match=r"study\.yml"):
        read_study_file(folder)


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"family": "g"}, "family"),
        ({"objective": {"metric": "n", "direction": "minimize"}}, "objective.metric"),
        ({"data": {"root": "/e"}}, "data.root"),
        ({"recipe": {"epochs": 4}}, "recipe.epochs"),
        ({"seed": 1}, "seed"),
        ({"parallel": {"ranks": 2}}, "parallel.ranks"),
        (
            search(window={"choices": ["a", "c"]}),
            r"search.window: found \['a', 'c'\].*begin with.*\['a', 'b'\]",
        ),
        (search(learning_rate={"low": 1e-3, "high": 1e-1}), "search.learning_rate.log"),
    ],
)
def test_a_change_of_meaning_is_refused_by_name(tmp_path, changed, key):
    with pytest.raises(SettingsError, match=key):
        refuse_other_meaning(StudyFolder(tmp_path), begun(), settings(**changed))


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"devices": "cpu"}, "devices"),
        ({"n_trials": 99}, "n_trials"),
        ({"timeout": 5.0}, "timeout"),
        ({"tracking": {"wandb": "offline"}}, "tracking.wandb"),
        ({"recipe": {"epochs": 3, "loader_workers": 2}}, "recipe.loader_workers"),
        ({"data": {"root": "/d", "cache_gb": 9}}, "data.cache_gb"),
        ({"data": {"root": "/d", "cache_folder": "/scratch"}}, "data.cache_folder"),
        (
            search(learning_rate={"low": 1e-4, "high": 1e-1, "log": True}),
            "search.learning_rate.low",
        ),
    ],
)
def test_a_harmless_change_is_taken_and_named(tmp_path, changed, key):
    changes = refuse_other_meaning(StudyFolder(tmp_path), begun(), settings(**changed))
    assert changes == [key]


def test_keys_that_the_family_declares_free_may_change_and_others_may_not(tmp_path):
    known = begun(free=["data.threads"])
    data = PLAIN["data"]
    changed = settings(data=data | {"threads": 2})
    assert refuse_other_meaning(StudyFolder(tmp_path), known, changed) == ["data.threads"]
    with pytest.raises(SettingsError, match=r"data\.cache_gb"):
        refuse_other_meaning(StudyFolder(tmp_path), known, settings(data=data | {"cache_gb": 9}))


def test_how_a_copy_of_the_model_is_cut_may_change_and_how_many_copies_there_are_may_not(tmp_path):
    stages = settings(parallel={"kind": "model", "stages": 3})
    changes = refuse_other_meaning(StudyFolder(tmp_path), begun(), stages)
    assert changes == ["parallel.kind", "parallel.stages"]
    copies = settings(parallel={"kind": "ddp+model", "ranks": 2, "stages": 3})
    with pytest.raises(SettingsError, match=r"parallel.ranks: the study has 1, now 2"):
        refuse_other_meaning(StudyFolder(tmp_path), begun(stages), copies)


def test_the_parent_that_a_study_was_begun_with_is_kept(tmp_path):
    folder = StudyFolder(tmp_path)
    record = ParentRecord(checkpoint="/r/direct/trial_3/best.pth", sha256="ab", trial=3)
    content = StudyFile(asked=Asked(), settings=settings(parent={"study": "d"}), parent=record)
    write_study_file(folder, content)
    assert read_study_file(folder) == content


@pytest.mark.parametrize(
    ("parent", "key"),
    [
        ({"study": "other"}, "parent.study: the study has 'direct', now 'other'"),
        ({"study": "direct", "trial": 3}, "parent.trial: the study has 'best', now 3"),
        ({"checkpoint": "/a.pth"}, "parent.checkpoint: the study has None, now '/a.pth'"),
        (None, "parent.study: the study has 'direct', now None"),
    ],
)
def test_another_parent_is_another_meaning(tmp_path, parent, key):
    old = settings(parent={"study": "direct"})
    with pytest.raises(SettingsError, match=re.escape(key)):
        refuse_other_meaning(StudyFolder(tmp_path), begun(old), settings(parent=parent))


ROOT = Input(path="/d", files=1, bytes=1, fingerprint="f")


def test_a_path_that_has_changed_is_left_to_be_judged_by_what_lies_there(tmp_path):
    folder, moved = StudyFolder(tmp_path), settings(data={"root": "/e"})
    assert refuse_other_meaning(folder, begun(inputs={"data.root": ROOT}), moved) == []
    with pytest.raises(SettingsError, match=r"data\.root"):
        refuse_other_meaning(folder, begun(), moved)


def test_data_that_were_generated_may_be_named_without_how(tmp_path):
    made = settings(data={"root": "/d", "generate": {"seed": 1}})
    folder = StudyFolder(tmp_path)
    known = begun(made, inputs={"data.root": ROOT})
    assert refuse_other_meaning(folder, known, settings(data={"root": "/e"})) == []
    with pytest.raises(SettingsError, match=r"data\.generate\.seed"):
        refuse_other_meaning(folder, begun(made), settings(data={"root": "/d"}))


def test_another_way_to_the_same_place_is_the_same_place(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    known = begun(settings(data={"root": str(tmp_path)}))
    linked = settings(data={"root": str(tmp_path / "link")})
    assert refuse_other_meaning(StudyFolder(tmp_path), known, linked) == []


def test_a_family_may_move_with_its_file_but_not_become_another(tmp_path):
    known = begun(settings(family="/a/own.py:Own"), inputs={"family": ROOT})
    folder = StudyFolder(tmp_path)
    assert refuse_other_meaning(folder, known, settings(family="/b/own.py:Own")) == []
    with pytest.raises(SettingsError, match="family"):
        refuse_other_meaning(folder, known, settings(family="/b/own.py:Other"))


def test_the_ranges_of_a_grid_stay(tmp_path):
    grid = {"sampler": {"kind": "grid"}}
    known = begun(settings(**search(epochs={"low": 1, "high": 3}), **grid))
    wider = settings(**search(epochs={"low": 1, "high": 4}), **grid)
    with pytest.raises(SettingsError, match=r"search\.epochs\.high"):
        refuse_other_meaning(StudyFolder(tmp_path), known, wider)
