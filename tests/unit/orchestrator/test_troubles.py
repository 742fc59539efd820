import errno
import os
import sqlite3

import pytest

from orchestrator.troubles import trouble_of


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (
            errno.ENOSPC,
            "the disk that holds /r/x/plan.json is full (No space left on device); free",
        ),
        (errno.EDQUOT, "the disk that holds /r/x/plan.json is full (Disk quota exceeded); free"),
        (errno.EROFS, "/r/x/plan.json cannot be read or written: Read-only file system"),
        (errno.EMFILE, "/r/x/plan.json cannot be opened: Too many open files; raise that limit"),
        (errno.EACCES, "/r/x/plan.json may not be used by you: Permission denied; / belongs to"),
    ],
)
def test_what_the_system_refuses_is_a_sentence_that_names_the_file(number, told):
    error = OSError(number, os.strerror(number), "/r/x/plan.json")
    assert str(trouble_of(error)).startswith(told)
    wrapped = RuntimeError("could not be written")
    wrapped.__cause__ = error
    assert str(trouble_of(wrapped)).startswith(told)


def test_a_write_that_names_no_file_is_a_sentence_too():
    assert str(trouble_of(OSError(errno.ENOSPC, "No space"))).startswith("the disk is full (No sp")


def test_another_users_study_is_told_with_its_owner(tmp_path):
    error = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "lock"))
    assert str(trouble_of(error)).endswith(f"{tmp_path} belongs to {tmp_path.owner()}")


def test_a_database_that_cannot_be_written_is_a_sentence(tmp_path):
    path = tmp_path / "x.db"
    sqlite3.connect(path).execute("CREATE TABLE t (x)")
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with pytest.raises(sqlite3.OperationalError) as caught:
        reader.execute("INSERT INTO t VALUES (1)")
    assert "attempt to write a readonly database" in str(trouble_of(caught.value))


def test_a_defect_is_none():
    assert trouble_of(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert trouble_of(sqlite3.OperationalError("no such table: x")) is None
    assert trouble_of(KeyError("x")) is None
