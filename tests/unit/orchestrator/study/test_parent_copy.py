"""A study's own hold on its parent's checkpoint."""

import errno
import hashlib
import os
import shutil

import pytest

from orchestrator.study.parent_copy import check_kept, keep
from orchestrator.study.parent_record import ParentRecord
from protocol.errors import CheckpointError
from protocol.folders import StudyFolder

WEIGHTS = b"the parent's weights"


@pytest.fixture
def original(tmp_path):
    path = tmp_path / "direct" / "trial_3" / "best.pth"
    path.parent.mkdir(parents=True)
    path.write_bytes(WEIGHTS)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = StudyFolder(tmp_path / "refine")
    folder.path.mkdir()
    return folder


@pytest.fixture
def record(original, folder):
    return ParentRecord(checkpoint=str(original), sha256=keep(original, folder))


def rewrite(path, content):
    """Put another file in the place of one, as checkpoints are replaced."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)


def test_the_study_has_the_file_under_a_name_of_its_own_without_a_second_copy(original, folder):
    assert keep(original, folder) == hashlib.sha256(WEIGHTS).hexdigest()
    assert folder.parent.samefile(original)
    assert [path.name for path in folder.path.iterdir()] == ["parent.pth"]


def test_keeping_it_again_leaves_one_name(original, folder):
    keep(original, folder)
    keep(original, folder)
    assert [path.name for path in folder.path.iterdir()] == ["parent.pth"]


@pytest.mark.parametrize("reason", [errno.EXDEV, errno.EPERM])
def test_where_there_can_be_no_link_it_is_copied(original, folder, monkeypatch, reason):
    def no_link(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "link", no_link)
    assert keep(original, folder) == hashlib.sha256(WEIGHTS).hexdigest()
    assert folder.parent.read_bytes() == WEIGHTS
    assert not folder.parent.samefile(original)


def test_what_is_gone_cannot_be_kept(original, folder):
    original.unlink()
    with pytest.raises(CheckpointError, match=r"best\.pth cannot be kept as .*No such file"):
        keep(original, folder)


def test_it_outlives_the_parent_s_checkpoint_and_the_parent_study(original, folder, record):
    original.unlink()
    assert check_kept(folder, record) == []
    shutil.rmtree(original.parents[1])
    assert check_kept(folder, record) == []
    assert folder.parent.read_bytes() == WEIGHTS


def test_a_file_that_was_removed_is_taken_from_where_it_came_from(original, folder, record):
    folder.parent.unlink()
    (remark,) = check_kept(folder, record)
    assert remark == f"{folder.parent} was gone, and was taken from {original} again"
    assert folder.parent.read_bytes() == WEIGHTS


def test_a_file_that_is_gone_everywhere_is_refused(original, folder, record):
    folder.parent.unlink()
    original.unlink()
    with pytest.raises(CheckpointError, match=r"is gone, and .*, is gone as well; put one of them"):
        check_kept(folder, record)


def test_another_file_does_not_take_the_place_of_one_that_is_gone(original, folder, record):
    folder.parent.unlink()
    rewrite(original, b"other weights")
    with pytest.raises(CheckpointError, match="has changed; put one of them back"):
        check_kept(folder, record)
    assert not folder.parent.exists()


@pytest.mark.parametrize("in_place", [True, False])
def test_a_parent_that_has_changed_is_refused_with_both_digests(original, folder, record, in_place):
    if in_place:
        original.write_bytes(b"other weights")
    else:
        rewrite(original, b"other weights")
    with pytest.raises(CheckpointError) as caught:
        check_kept(folder, record)
    found = hashlib.sha256(b"other weights").hexdigest()
    assert f"SHA-256 is {found[:12]}…, recorded is {record.sha256[:12]}…" in str(caught.value)
    assert "or start a new study" in str(caught.value)


def test_a_copy_that_has_changed_in_the_study_s_folder_is_refused(folder, record):
    rewrite(folder.parent, b"other weights")
    with pytest.raises(CheckpointError, match="from which this study's trials start, has changed"):
        check_kept(folder, record)


def test_what_was_put_back_is_taken(original, folder, record):
    rewrite(original, b"other weights")
    rewrite(original, WEIGHTS)
    assert check_kept(folder, record) == []
