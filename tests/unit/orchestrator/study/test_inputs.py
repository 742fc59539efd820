import os
import shutil
import time

import pytest

from orchestrator.study import inputs
from orchestrator.study.inputs import DataWatch, data_fingerprint, found_in, remember, take
from protocol.errors import DataError, SettingsError
from protocol.fingerprint import files_of
from protocol.folders import StudyFolder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "x").mkdir()
    return StudyFolder(tmp_path / "x")


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npy").write_bytes(b"abc")
    return tmp_path / "data"


def found(path, key="data.root"):
    files = {name: list(known) for name, known in files_of(path).items()}
    return found_in({key: {"path": str(path), "files": files}})


def test_data_that_were_moved_are_taken_and_said(folder, data, tmp_path):
    begun, _ = found(data)
    moved = data.rename(tmp_path / "moved")
    (sentence,) = take(folder, begun, *found(moved))
    assert sentence == f"data.root is {moved} now: the same 1 file as {data}"
    assert take(folder, begun, *found(shutil.copytree(moved, data))) == []


@pytest.mark.parametrize("elsewhere", [False, True])
def test_other_data_are_refused_by_name(folder, data, tmp_path, elsewhere):
    begun, files = found(data)
    remember(folder, files)
    (data / "b.npy").touch()
    (data / "a.npy").write_bytes(b"abd")
    place = data.rename(tmp_path / "moved") if elsewhere else data
    with pytest.raises(SettingsError, match=r"2 files of 3 bytes.*new: b.npy; changed: a.npy"):
        take(folder, begun, *found(place))
    folder.data_files.write_text("torn {")
    with pytest.raises(SettingsError, match=r"2 files of 3 bytes, .* expected 1 file of 3 bytes"):
        take(folder, begun, *found(place))


def test_a_study_of_an_earlier_version_is_taken_as_it_is(folder, data):
    assert take(folder, {}, *found(data)) == []


def test_a_familys_own_file_may_be_edited_but_not_be_replaced_by_another_elsewhere(
    folder, data, tmp_path
):
    begun, _ = found(data / "a.npy", "family")
    (data / "a.npy").write_bytes(b"edited")
    now, files = found(data / "a.npy", "family")
    assert take(folder, begun, now, files) == []
    assert data_fingerprint(begun) == data_fingerprint(now)
    moved = data.rename(tmp_path / "moved")
    with pytest.raises(SettingsError, match="does not hold what study 'x' was begun with"):
        take(folder, begun, *found(moved / "a.npy", "family"))


def test_data_that_change_between_two_attempts_are_noticed(data, monkeypatch):
    monkeypatch.setattr(inputs, "_SHARE", 1e9)
    begun, _ = found(data)
    watch = DataWatch(begun)
    watch.check()
    os.utime(data / "a.npy", (1, 1))  # touched, but the same
    watch.check()
    (data / ".cache").mkdir()
    watch.check()
    (data / "a.npy").write_bytes(b"abd")
    with pytest.raises(DataError, match=r"data.root: .* has changed while the study runs"):
        watch.check()
    (data / "a.npy").write_bytes(b"abc")
    watch.check()


def test_of_a_large_set_looking_takes_a_hundredth_of_the_time_at_most(data, monkeypatch):
    looks = []

    def slow_look(*_):
        looks.append(time.sleep(0.02))
        return "same"

    monkeypatch.setattr(inputs, "quick_look", slow_look)
    watch = DataWatch(found(data)[0])
    for _ in range(1000):
        watch.check()
    assert len(looks) == 1


def test_an_unchanged_look_opens_no_file(data, monkeypatch):
    monkeypatch.setattr(inputs, "_SHARE", 1e9)
    watch = DataWatch(found(data)[0])
    monkeypatch.setattr(inputs, "files_of", lambda *_: pytest.fail("files were read"))
    watch.check()
