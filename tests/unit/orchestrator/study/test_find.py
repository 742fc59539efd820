import errno
import sqlite3
import sys

import optuna
import pytest

from orchestrator.database.address import spelled
from orchestrator.study.find import database_of, read_study
from orchestrator.study.record import record_of
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def refused(folder):
    with pytest.raises(SettingsError) as caught:
        read_study(folder)
    return str(caught.value)


def test_an_unknown_study_is_answered_with_near_names(made, tmp_path):
    MadeStudy(tmp_path, "unlike")
    message = refused(StudyFolder(tmp_path / "mde"))
    assert message == f"there is no study 'mde' in {tmp_path}; did you mean made?"


def test_a_name_like_no_other_is_answered_with_those_there_are(made, tmp_path):
    assert refused(StudyFolder(tmp_path / "xyz")).endswith("; there are made")


def test_an_empty_or_missing_folder_of_studies_is_said_to_be_empty(tmp_path):
    for runs in (tmp_path, tmp_path / "missing"):
        message = refused(StudyFolder(runs / "x"))
        assert message == f"there is no study 'x', nor any other, in {runs}"


def test_a_study_without_a_database_has_not_begun(made):
    made.folder.database.unlink()
    assert "has not begun" in refused(made.folder)
    assert not made.folder.database.exists()


def test_a_damaged_database_is_named(made):
    made.folder.database.write_bytes(b"rubbish" * 1000)
    assert refused(made.folder).startswith(f"{made.folder.database} cannot be read: ")


def test_a_database_without_the_study_is_named(made):
    made.folder.database.write_bytes(b"")
    assert refused(made.folder) == f"{made.folder.database} holds no study named 'made'"


def test_another_table_layout_is_read_through_optuna(made):
    made.add()
    expected = record_of(made.study)
    connection = sqlite3.connect(made.folder.database)
    connection.execute("UPDATE alembic_version SET version_num = 'v3.1.0.a'")
    connection.commit()
    connection.close()
    assert read_study(made.folder) == expected


def test_the_settings_may_name_another_database(made, tmp_path, monkeypatch):
    elsewhere = f"sqlite:///{tmp_path}/elsewhere.db"
    other = optuna.create_study(storage=elsewhere, study_name="made", direction="minimize")
    other.tell(other.ask(), 7.0)
    made.write_settings(storage={"url": "sqlite:///${PLACE}/elsewhere.db"})
    monkeypatch.setenv("PLACE", str(tmp_path))
    assert spelled(database_of(made.folder)) == elsewhere
    assert read_study(made.folder) == record_of(other)


def test_an_unreachable_database_is_one_sentence_without_its_password(made, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", "hunter2")
    # A user and a password mean nothing to SQLite, but are in the URL as in any other.
    place = f"{tmp_path}/missing/s.db"
    made.write_settings(storage={"url": f"sqlite+pysqlite://me:${{SECRET}}@/{place}"})
    message = refused(made.folder)
    assert "\n" not in message
    assert "hunter2" not in message


def test_a_database_whose_driver_is_missing_is_told_with_what_to_install(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setenv("PW", "s3cr@t")
    made.write_settings(storage={"url": "postgresql+psycopg://me:${PW}@host/studies"})
    message = refused(made.folder)
    assert "postgresql+psycopg://me:***@host/studies cannot be read: its driver, the" in message
    assert "python -m pip install 'psycopg[binary]'" in message
    assert "t@host" not in message


def test_a_study_of_another_user_is_told_with_its_owner(made, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied", str(made.folder.database))

    monkeypatch.setattr("orchestrator.study.find.read_sqlite", denied)
    assert f"{made.folder.database} may not be used by you: Perm" in refused(made.folder)
