"""The database is there whole or not at all, and refuses what is not a study's."""

import contextlib
import itertools
import os
import random
import re
import signal
import sqlite3
import sys
import threading
import time

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from orchestrator.study import storage
from orchestrator.study.find import read_study
from orchestrator.study.storage import identity_of, open_study
from protocol.errors import SettingsError, UserError
from protocol.folders import StudyFolder


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "demo").mkdir()
    return StudyFolder(tmp_path / "demo")


def opened(folder, url=None, **options):
    return open_study(folder, url, "minimize", **options)


def refusal(folder, url=None, **options) -> str:
    with pytest.raises(UserError) as caught:
        opened(folder, url, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------- whole


def test_a_new_study_is_created_and_later_opened_again(folder):
    study = open_study(folder, None, "maximize")
    study.tell(study.ask(), 3.0)
    again = open_study(folder, None, "maximize")
    assert again.study_name == "demo"
    assert again.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.value for trial in again.trials] == [3.0]
    assert sorted(path.name for path in folder.path.glob(".*")) == []


def test_readers_and_the_writer_do_not_keep_each_other_waiting(folder):
    study = opened(folder)
    with contextlib.closing(sqlite3.connect(folder.database)) as reader:
        assert reader.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        reader.execute("BEGIN")
        assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (0,)
        study.ask()
        assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (0,)
        reader.rollback()
        assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (1,)


def test_the_writer_waits_for_another_that_writes_for_a_while(folder):
    study = opened(folder)
    with contextlib.closing(sqlite3.connect(folder.database, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(6.0, other.rollback)  # SQLite waits 5 s unless told to
        release.start()
        study.ask()
        release.join()
    assert len(study.trials) == 1


def test_a_kill_while_it_is_created_leaves_it_whole_or_not_at_all(folder):
    start = time.monotonic()
    opened(StudyFolder(folder.path)).ask()
    whole = time.monotonic() - start
    left = []
    kills = 20
    for kill in range(kills):
        for file in folder.path.iterdir():
            if kill % 2 == 0 or not file.name.startswith("."):
                file.unlink()  # every other time leave what a kill left half done
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                opened(folder)
            os._exit(0)
        time.sleep(2 * whole * (kill + random.Random(kill).random()) / kills)  # at all stages of it
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left.append(folder.database.exists())
        if folder.database.exists():
            with contextlib.closing(sqlite3.connect(folder.database)) as connection:
                assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
                names = connection.execute("SELECT study_name FROM studies").fetchall()
            assert names == [("demo",)]
    assert len(set(left)) == 2, "kills fell before and after the database came to be"
    opened(folder).ask()


# ------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is not a study's database (no such table: studies)"),
        (b"garbage" * 1000, "is not a study's database (file is not a database)"),
    ],
)
def test_an_empty_or_foreign_file_is_refused_and_left_as_it_is(folder, content, problem):
    folder.database.write_bytes(content)
    message = refusal(folder)
    assert message.startswith(f"{folder.database} {problem}; restore it from a copy")
    assert folder.database.read_bytes() == content


def test_a_database_of_something_else_is_refused_and_left_as_it_is(folder):
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
        connection.commit()
    assert "is not a study's database (no such table: studies)" in refusal(folder)
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("recipes",)]


def test_a_database_that_another_program_made_by_looking_for_the_study_is_made_anew(folder):
    """Optuna's own load_study leaves tables behind, as does its dashboard."""
    url = f"sqlite:///{folder.database}"
    with pytest.raises(KeyError):
        optuna.load_study(study_name=folder.name, storage=url)
    assert folder.database.exists()
    assert opened(folder).study_name == folder.name
    folder.trial(0).path.mkdir()
    opened(folder).set_user_attr("kept", 1)
    assert opened(folder).user_attrs["kept"] == 1


def test_a_database_of_another_study_is_refused(folder):
    opened(folder)
    other = StudyFolder(folder.path.parent / "other")
    folder.path.rename(other.path)
    assert f"{other.database} holds no study 'other'; restore" in refusal(other)


def test_a_damaged_database_is_refused(folder):
    study = opened(folder)
    for _ in range(30):
        study.tell(study.ask(), 1.0)
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(folder.database.read_bytes())
    content[8192 : len(content) // 2] = bytes(len(content) // 2 - 8192)
    folder.database.write_bytes(content)
    message = refusal(folder)
    assert str(folder.database) in message
    assert "restore it from a copy, or start anew" in message


def test_a_truncated_database_is_refused(folder):
    opened(folder)
    content = folder.database.read_bytes()
    folder.database.write_bytes(content[: len(content) // 2])
    assert "restore it from a copy, or start anew" in refusal(folder)


def test_a_database_of_another_optuna_is_refused(folder):
    opened(folder)
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
        connection.commit()
    assert f"{folder.database} is of another version of Optuna: " in refusal(folder)


def test_a_database_that_was_lost_is_not_replaced_by_an_empty_one(folder):
    folder.trial(0).path.mkdir()
    message = refusal(folder)
    assert message.startswith(f"{folder.database} is missing, but {folder.path} holds trials; ")
    assert not folder.database.exists()


# ------------------------------------------------------------------------------- elsewhere


def test_a_database_elsewhere_is_used_as_named(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_FILE", str(tmp_path / "elsewhere.db"))
    study = opened(folder, "sqlite:///${STUDY_FILE}")
    study.tell(study.ask(), 1.0)
    assert not folder.database.exists()
    assert len(opened(folder, f"sqlite:///{tmp_path / 'elsewhere.db'}").trials) == 1


def test_an_environment_variable_that_is_not_set_is_refused_by_name(folder, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    with pytest.raises(SettingsError) as caught:
        opened(folder, "postgresql://me:${NO_SUCH_PASSWORD}@host/db")
    expected = "storage.url: the environment variable NO_SUCH_PASSWORD is not set"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresq://host/db", "sqlite:////no/such/folder/study.db", ""]
)
def test_a_url_that_cannot_be_opened_is_refused_in_one_sentence(folder, url):
    message = refusal(folder, url)
    assert message.startswith(f"storage.url: {url} cannot be opened: ")


def test_the_refusal_of_a_url_does_not_spell_out_the_password(folder, monkeypatch):
    monkeypatch.setenv("SECRET", "s3cret")
    assert "s3cret" not in refusal(folder, "sqlite:////no/such/${SECRET}/study.db").split(":")[1]


@pytest.fixture
def shared(tmp_path):
    return f"sqlite:///{tmp_path / 'shared.db'}"


@pytest.fixture
def stranger(tmp_path):
    """A folder of another user for a study of the same name."""
    folder = StudyFolder(tmp_path / "elsewhere" / "demo")
    folder.path.mkdir(parents=True)
    return folder


def test_a_study_of_another_folder_is_refused_before_its_first_trial(folder, stranger, shared):
    study = opened(folder, shared, identity="mine")
    assert identity_of(study) == "mine"
    assert "begun from another folder" in refusal(stranger, shared, identity="theirs")
    study.ask()
    assert "begun from another folder" in refusal(stranger, shared, identity="theirs")
    assert len(opened(folder, shared, identity="mine").trials) == 1


def test_trials_whose_study_is_in_another_database_are_not_numbered_anew(folder, shared, tmp_path):
    opened(folder, shared, identity="mine").ask()
    folder.trial(0).path.mkdir()
    other = f"sqlite:///{tmp_path / 'other.db'}"
    message = refusal(folder, other, identity="mine")
    assert f"other.db does not hold the study whose trials are in {folder.path}; name" in message
    assert len(opened(folder, shared, identity="mine").trials) == 1


def test_a_kill_between_a_shared_study_and_its_token_is_made_good(folder, shared):
    optuna.create_study(storage=shared, study_name="demo", direction="minimize")
    assert identity_of(opened(folder, shared, identity="mine")) == "mine"


def test_a_kill_before_any_commit_leaves_a_shared_study_whole_or_not_at_all(folder, postgresql):
    tables, kills = set(), 0
    while killed_at_commit(kills, folder, postgresql.url()):
        kills += 1
        counted = postgresql.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        tables |= set(counted)
        if counted != [(0,)]:
            born = postgresql.sql(
                "SELECT study_name, direction, value_json FROM studies JOIN study_directions "
                "USING (study_id) JOIN study_user_attributes USING (study_id)"
            )
            assert len(born) == postgresql.sql("SELECT count(*) FROM studies")[0][0]
            assert born in ([], [("demo", "MINIMIZE", '"mine"')])
        assert identity_of(opened(folder, postgresql.url(), identity="mine")) == "mine"
        postgresql.renew()
    assert kills >= 4
    assert len(tables) == 3, "none, Optuna's, and the one that says of which version they are"


def killed_at_commit(number, folder, url):
    """Whether a process that opens the study is killed before that one of its commits."""
    child = os.fork()
    if child == 0:
        commits = itertools.count()

        def strike(_):
            if next(commits) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        with contextlib.suppress(BaseException):
            event.listen(Engine, "commit", strike)
            opened(folder, url, identity="mine")
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_study_of_an_earlier_version_is_given_a_token_by_the_folder_that_has_its_trials(
    folder, stranger, shared
):
    earlier = optuna.create_study(storage=shared, study_name="demo", direction="minimize")
    for _ in range(2):
        earlier.ask()
    expected = "holds a study 'demo' with 2 trials that were not run from"
    assert expected in refusal(stranger, shared)
    assert expected in refusal(stranger, shared, identity="theirs")
    assert earlier.user_attrs == {}
    folder.trial(0).path.mkdir()
    token = identity_of(opened(folder, shared))
    assert token
    assert identity_of(opened(folder, shared)) == token
    assert expected in refusal(stranger, shared)


def test_of_an_earlier_version_one_trial_may_have_no_folder_yet(folder, shared):
    """A kill may have come between the first ask and its folder."""
    earlier = optuna.create_study(storage=shared, study_name="demo", direction="minimize")
    earlier.ask()
    earlier.enqueue_trial({"x": 1})
    states = [trial.state for trial in opened(folder, shared).trials]
    assert states == [TrialState.RUNNING, TrialState.WAITING]


def renamed(storage: str, old: str, new: str) -> None:
    """As optuna-dashboard does it: a copy under another name, and the old one deleted."""
    source = optuna.load_study(storage=storage, study_name=old)
    target = optuna.create_study(storage=storage, study_name=new, directions=source.directions)
    target.add_trials(source.get_trials(deepcopy=False))
    for key, value in source.user_attrs.items():
        target.set_user_attr(key, value)
    optuna.delete_study(storage=storage, study_name=old)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_renamed_study_is_found_by_its_token(folder, shared, elsewhere):
    url = shared if elsewhere else None
    study = opened(folder, url, identity="mine")
    study.tell(study.ask(), 7.0)
    study.ask()
    renamed(shared if elsewhere else f"sqlite:///{folder.database}", "demo", "pretty name")
    again = opened(folder, url, identity="mine")
    assert again.study_name == "pretty name"
    assert [trial.value for trial in again.trials] == [7.0, None]
    settings = {"identity": "mine", "settings": {"storage": {"url": url}}}
    folder.settings.write_text(yaml.safe_dump(settings))
    assert [trial.value for trial in read_study(folder).trials] == [7.0, None]


def test_a_new_study_under_the_name_that_a_renamed_one_had_is_not_taken_for_it(folder, shared):
    opened(folder, shared, identity="mine").ask()
    renamed(shared, "demo", "other")
    optuna.create_study(storage=shared, study_name="demo")
    assert opened(folder, shared, identity="mine").study_name == "other"


@pytest.mark.parametrize("content", ["empty", "garbage", "truncated", "of another Optuna"])
def test_a_database_that_is_refused_is_left_as_it_is(folder, content):
    opened(folder)._storage._backend.engine.dispose()
    with contextlib.closing(sqlite3.connect(folder.database)) as connection:
        if content == "of another Optuna":
            connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
            connection.execute("DROP TABLE trial_heartbeats")
            connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = folder.database.read_bytes()
    changed = {"empty": b"", "garbage": b"x" * 5000, "truncated": whole[: len(whole) // 2]}
    folder.database.write_bytes(changed.get(content, whole))
    before = folder.database.read_bytes()
    assert str(folder.database) in refusal(folder)
    assert folder.database.read_bytes() == before
    # What a look at the file needed beside it is gone as well.
    assert {path.name for path in folder.path.iterdir()} <= {
        "study.db",
        "study.db-wal",
        "study.db-shm",
    }


def test_a_database_that_stays_locked_while_it_is_opened_is_one_sentence(folder, monkeypatch):
    opened(folder)._storage._backend.engine.dispose()
    with contextlib.closing(sqlite3.connect(folder.database, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(storage, "_BUSY_SECONDS", 0.1)
        assert re.search(r"study.db cannot be (read|used): database is locked$", refusal(folder))


def test_a_password_with_any_character_is_in_no_refusal(folder, monkeypatch):
    monkeypatch.setenv("PW", "s3cr@t/wo:rd")
    monkeypatch.setitem(sys.modules, "psycopg", None)  # also where it is installed
    message = refusal(folder, "postgresql+nodriver://me:${PW}@nowhere.invalid/db")
    assert "s3cr" not in message
    assert "wo:rd" not in message
    message = refusal(folder, "postgresql://me:${PW}@nowhere.invalid/db")
    assert "wo:rd" not in message
    assert "the Python package psycopg, is not installed" in message
