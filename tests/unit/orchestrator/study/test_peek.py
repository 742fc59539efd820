"""Which studies a study descends from."""

import yaml

from orchestrator.study.peek import ancestors
from protocol.folders import StudyFolder


def begin(runs, name, parent=None):
    folder = StudyFolder(runs / name)
    folder.path.mkdir()
    record = parent and {
        "checkpoint": f"{runs}/{parent}/trial_0/best.pth",
        "sha256": "0" * 64,
        "study": f"{runs}/{parent}",
        "trial": 0,
    }
    folder.settings.write_text(yaml.safe_dump({"settings": {}, "parent": record}))
    return folder


def names(folder):
    return [parent.study.rpartition("/")[2] for parent in ancestors(folder)]


def test_a_study_without_a_parent_has_no_ancestors(tmp_path):
    assert names(begin(tmp_path, "direct")) == []


def test_ancestors_are_told_from_the_nearest_to_the_farthest(tmp_path):
    begin(tmp_path, "coarse")
    begin(tmp_path, "direct", "coarse")
    assert names(begin(tmp_path, "refine", "direct")) == ["direct", "coarse"]


def test_the_trace_ends_where_a_study_is_gone_or_comes_again(tmp_path):
    assert names(begin(tmp_path, "refine", "gone")) == ["gone"]
    begin(tmp_path, "hen", "egg")
    assert names(begin(tmp_path, "egg", "hen")) == ["hen", "egg"]
