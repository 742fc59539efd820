import os
import shutil
import time

import pytest

from protocol import fingerprint
from protocol.errors import DataError
from protocol.fingerprint import EDGE, combined, difference, digest, files_of, quick_look


@pytest.fixture
def data(tmp_path):
    root = tmp_path / "data"
    (root / "scans").mkdir(parents=True)
    (root / "list.csv").write_text("a,b\n")
    (root / "scans" / "größe.nii").write_bytes(b"x" * (3 * EDGE))
    (root / "scans" / "b.nii").write_bytes(b"")
    return root


def of(path, *without):
    return digest(files_of(path, without))


def test_the_same_files_are_the_same_data_wherever_and_behind_whatever_links_they_lie(
    data, tmp_path
):
    before = of(data)
    copy = shutil.copytree(data, tmp_path / "mounted" / "elsewhere")
    os.utime(copy / "list.csv", (1, 1))
    assert of(copy) == before
    link = tmp_path / "link"
    link.symlink_to(copy)
    assert of(link) == before
    shutil.move(copy / "scans", tmp_path / "scans")
    (copy / "scans").symlink_to(tmp_path / "scans")
    assert of(copy) == before


def change_first_bytes(data):
    _put(data, 0)


def change_last_bytes(data):
    _put(data, 3 * EDGE - 1)


def _put(data, place):
    with (data / "scans" / "größe.nii").open("r+b") as stream:
        stream.seek(place)
        stream.write(b"y")


def add(data):
    (data / "scans" / "c.nii").touch()


def remove(data):
    (data / "list.csv").unlink()


def rename(data):
    (data / "list.csv").rename(data / "lists.csv")


def append(data):
    with (data / "list.csv").open("a") as stream:
        stream.write("c")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (change_first_bytes, "changed: scans/größe.nii"),
        (change_last_bytes, "changed: scans/größe.nii"),
        (add, "new: scans/c.nii"),
        (remove, "missing: list.csv"),
        (rename, "missing: list.csv; new: lists.csv"),
        (append, "changed: list.csv"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_change_is_noticed_and_named(data, change, told):
    before, look = files_of(data), quick_look(data)
    change(data)
    assert digest(files_of(data)) != digest(before)
    assert quick_look(data) != look
    assert difference(before, files_of(data)) == told


def test_what_the_program_itself_keeps_beside_the_data_does_not_count(data, tmp_path):
    before, look = of(data), quick_look(data)
    (data / ".cache").mkdir()
    (data / ".cache" / "store").write_bytes(b"1")
    (data / "scans" / ".b.nii.12.partial").write_bytes(b"1")
    assert (of(data), quick_look(data)) == (before, look)
    named = data / "cache"
    named.mkdir()
    (named / "store").write_bytes(b"1")
    assert of(data) != before
    assert of(data, named) == before
    assert quick_look(data, [named]) == look


def test_of_many_files_the_same_ones_are_read_wherever_they_lie(data, tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprint, "MOST_READ", 2)
    copy = shutil.copytree(data, tmp_path / "copy")
    assert files_of(copy) == files_of(data)
    assert sorted(bool(known) for _, known in files_of(data).values()) == [False, True, True]


def test_a_single_file_is_known_by_what_it_holds(data, tmp_path):
    one = data / "list.csv"
    other = shutil.copy(one, tmp_path / "other.csv")
    assert of(other) == of(one)
    append(data)
    assert of(other) != of(one)


def test_a_folder_that_leads_back_to_itself_is_walked_once(data):
    (data / "scans" / "back").symlink_to(data)
    assert len(files_of(data)) == 3


def test_what_cannot_be_read_is_named(data):
    with pytest.raises(DataError, match="gone cannot be read: No such file"):
        files_of(data / "gone")


def test_a_hundred_thousand_files_take_seconds(data):
    """In short: two thousand of them, of which a thousand are read."""
    for number in range(2000):
        (data / f"{number}.npy").write_bytes(b"x")
    begun = time.monotonic()
    files_of(data)
    assert time.monotonic() - begun < 2.0


def test_several_places_are_one_word(data):
    assert combined({"a": "1", "b": "2"}) == combined({"b": "2", "a": "1"}) != combined({"a": "1"})
