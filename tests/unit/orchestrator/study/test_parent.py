"""Adopting a parent when a study begins, and finding it again when the study goes on."""

import shutil

import pytest

from orchestrator.settings.layers import Asked, Layers
from orchestrator.study.parent import adopt, recorded, relocated
from orchestrator.study.ranking import keep_best
from orchestrator.study.study_file import StudyFile, read_study_file, write_study_file
from protocol.errors import CheckpointError, SettingsError
from protocol.folders import StudyFolder
from tests.made_study import MadeStudy
from tests.searches import make_settings

SEARCH = {"x": {"low": 0, "high": 1}}


@pytest.fixture
def direct(tmp_path):
    made = MadeStudy(tmp_path, "direct")
    made.add(22.0)
    made.add(26.0)
    return made


@pytest.fixture
def folder(tmp_path):
    folder = StudyFolder(tmp_path / "refine")
    folder.path.mkdir()
    return folder


def settings(parent={"study": "direct"}, **changes):  # noqa: B006
    return make_settings(SEARCH, {}, data={"root": "data"}, parent=parent, **changes)


def begin(folder, **changes):
    """Adopt a parent and keep what a study keeps of it."""
    wanted = settings(**changes)
    layers = Layers()
    layers.add(wanted.model_dump(mode="json", exclude_none=True), "refine.yml")
    parent, told = adopt(folder, wanted, layers, read_study_file(folder))
    write_study_file(folder, StudyFile(asked=Asked(), settings=wanted, parent=parent))
    return parent, told


def test_a_study_without_the_section_has_no_parent(folder):
    assert begin(folder, parent=None) == (None, [])
    assert recorded(folder, read_study_file(folder)) == (None, [])
    assert not folder.parent.exists()


def test_a_new_study_keeps_its_parent_records_it_and_says_so(direct, folder):
    parent, (sentence,) = begin(folder)
    assert folder.parent.read_bytes() == direct.trial(1).best.read_bytes()
    assert read_study_file(folder).parent == parent
    assert sentence == (
        f"parent: trial 1 of study direct, psnr 26 at epoch 3; kept as {folder.parent}"
    )


def test_a_study_that_goes_on_has_nothing_to_say_of_the_same_parent(direct, folder):
    parent, _ = begin(folder)
    assert begin(folder) == (parent, [])


def test_a_better_trial_that_is_found_later_changes_nothing_and_is_told(direct, folder):
    parent, _ = begin(folder)
    direct.add(31.0)
    again, (sentence,) = begin(folder)
    assert again == parent
    assert "the best trial of study direct is 2 by now; this study stays with trial 1" in sentence


def test_a_trial_that_was_named_is_not_compared_with_better_ones(direct, folder):
    begin(folder, parent={"study": "direct", "trial": 0})
    assert begin(folder, parent={"study": "direct", "trial": 0})[1] == []


def test_the_parent_study_may_clear_up_or_go(direct, folder, tmp_path):
    parent, _ = begin(folder)
    direct.add(31.0)
    keep_best(direct.folder, direct.study, best_trials=1)
    assert not direct.trial(1).best.exists()
    assert begin(folder)[0] == parent
    shutil.rmtree(tmp_path / "direct")
    assert begin(folder) == (parent, [])


def test_a_parent_that_lies_elsewhere_by_now_is_known_by_its_checkpoint(direct, folder, tmp_path):
    parent, _ = begin(folder)
    moved = direct.folder.path.rename(tmp_path / "moved")
    found = relocated(folder, settings(parent={"study": str(moved)}), parent)
    assert found.checkpoint == str(moved / "trial_1" / "best.pth")
    assert (found.study, found.sha256) == (str(moved), parent.sha256)
    copy = str(shutil.copy(moved / "trial_1" / "best.pth", tmp_path / "parent.pth"))
    assert relocated(folder, settings(parent={"checkpoint": copy}), parent).checkpoint == copy


def test_another_parent_is_not_taken_for_one_that_has_moved(direct, folder, tmp_path):
    parent, _ = begin(folder)
    direct.trial(0).best.write_bytes(b"another")
    for other in (
        {"study": "nowhere"},
        {"study": "direct", "trial": 0},
        {"checkpoint": str(direct.trial(0).best)},
        {"checkpoint": str(tmp_path / "missing.pth")},
    ):
        assert relocated(folder, settings(parent=other), parent) is None
    assert relocated(folder, settings(parent=None), parent) is None
    assert relocated(folder, settings(), None) is None


def test_a_parent_that_has_changed_is_refused(direct, folder):
    begin(folder)
    direct.trial(1).best.write_bytes(b"other weights")
    with pytest.raises(CheckpointError, match="has changed since the study began"):
        begin(folder)
    with pytest.raises(CheckpointError, match="has changed since the study began"):
        recorded(folder, read_study_file(folder))


def test_a_study_that_never_began_looks_its_parent_up_anew(direct, folder):
    begin(folder)
    folder.settings.unlink()
    direct.add(31.0)
    assert begin(folder)[0].trial == 2
    assert folder.parent.read_bytes() == direct.trial(2).best.read_bytes()


def test_a_study_file_that_forgot_its_parent_is_refused(direct, folder):
    begin(folder)
    known = read_study_file(folder)
    write_study_file(folder, known.model_copy(update={"parent": None}))
    with pytest.raises(SettingsError, match=r"study\.yml no longer says which checkpoint"):
        begin(folder)


def test_what_is_wrong_is_told_with_its_file_and_key(direct, folder):
    with pytest.raises(SettingsError, match=r"^refine\.yml: parent\.study: there is no study 'd'"):
        begin(folder, parent={"study": "d"})
    with pytest.raises(SettingsError, match=r"^refine\.yml: parent\.trial: study 'direct' has no"):
        begin(folder, parent={"study": "direct", "trial": 9})


@pytest.mark.parametrize("section", ["recipe", "search"])
def test_the_keys_that_it_fills_in_cannot_be_given_beside_it(direct, folder, section):
    given = {"recipe": {"parent_file": "a.pth"}}
    if section == "search":
        given = {}
    wanted = settings(**given)
    if section == "search":
        search = {"parent_sha256": {"choices": ["a", "b"]}}
        wanted = make_settings(search, {}, parent={"study": "direct"})
    with pytest.raises(SettingsError, match=rf"{section}\.parent_\w+: found beside `parent`"):
        adopt(folder, wanted, Layers(), None)
