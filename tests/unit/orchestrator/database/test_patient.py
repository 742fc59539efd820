"""Nothing that passes by itself ends a study, and nothing is done twice for it."""

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import optuna
import pytest
from optuna.storages._rdb import storage as rdb
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.exc import OperationalError, ProgrammingError

from orchestrator.database import patient
from orchestrator.database.address import address, own_address
from orchestrator.database.exclusive import StudyInDatabase
from orchestrator.database.gathering import Gathered
from orchestrator.database.patient import Patience, PatientStorage
from orchestrator.database.remembering import RememberingStorage
from protocol.errors import UserError


@pytest.fixture
def said():
    return []


@pytest.fixture
def storage(tmp_path, said, monkeypatch):
    monkeypatch.setattr(patient, "_BUSY_SECONDS", 0.05)
    monkeypatch.setattr(patient, "_LONGEST_PAUSE", 0.02)
    url = own_address(tmp_path / "study.db")
    return PatientStorage(url, Patience(seconds=20.0, say=said.append))


@pytest.fixture
def study(storage):
    return optuna.create_study(storage=RememberingStorage(storage), study_name="x")


class LostConnection:
    """A third of the sessions lose their connection, before their commit or after it."""

    def __init__(self, monkeypatch, seed: int, *, after: bool) -> None:
        self.random, self.after = random.Random(seed), after
        self._session = rdb._create_scoped_session
        for module in (rdb, patient):
            monkeypatch.setattr(module, "_create_scoped_session", self)

    @contextlib.contextmanager
    def __call__(self, *arguments, **options):
        lost = self.random.random() < 0.33
        error = OperationalError("statement", {}, OSError("server closed the connection"))
        wrapped = optuna.exceptions.StorageInternalError("during the commit")
        with (
            contextlib.suppress(ZeroDivisionError),
            self._session(*arguments, **options) as session,
        ):
            yield session
            if lost and not self.after:
                raise ZeroDivisionError  # rolls the transaction back
        if lost:
            raise wrapped from error


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
def test_whatever_call_loses_its_connection_nothing_is_lost_or_doubled(
    study, monkeypatch, seed, after
):
    study.enqueue_trial({"x": 0.5})
    LostConnection(monkeypatch, seed, after=after)
    for number in range(6):
        trial = study.ask()
        assert trial.number == number
        x = trial.suggest_float("x", 0, 1)
        trial.report(x, 1)
        trial.set_user_attr("note", number)
        study.tell(trial, x)
    study.set_user_attr("whole", True)
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert [trial.value for trial in trials] == [trial.params["x"] for trial in trials]
    assert [trial.user_attrs["note"] for trial in trials] == list(range(6))
    assert trials[0].params["x"] == 0.5
    assert study.user_attrs == {"whole": True}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before the commit", "after the commit"])
def test_steps_that_are_written_whole_are_neither_lost_nor_doubled(study, monkeypatch, seed, after):
    study.enqueue_trial({"x": 0.5})
    LostConnection(monkeypatch, seed, after=after)
    for number in range(6):
        frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
        frozen.number = number
        begun = Gathered(study, study.trials[0] if number == 0 else frozen)
        x = begun.trial.suggest_float("x", 0, 1)
        begun.trial.set_user_attr("visible", {"finished": ""})
        ended = Gathered(study, study._storage.get_trial(begun.store()))
        ended.trial.report(x, 1)
        ended.trial.set_user_attr("note", number)
        ended.study.tell(ended.trial, x)
        ended.store()
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(6))
    assert [trial.value for trial in trials] == [trial.params["x"] for trial in trials]
    assert [trial.user_attrs["note"] for trial in trials] == list(range(6))
    assert trials[0].params["x"] == 0.5


LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked(path, seconds):
    """The file is locked by another process."""
    arguments = [sys.executable, "-c", LOCK, str(path), str(seconds)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"locked\n"
        yield process
        process.kill()


def test_a_lock_that_another_process_holds_for_long_is_outlasted_and_told_once(
    study, said, storage
):
    path = storage.address.database
    with locked(path, 1.5):
        study.tell(study.ask(), 1.0)
    assert [trial.state for trial in study.get_trials()] == [TrialState.COMPLETE]
    assert len(said) == 2
    assert said[0].startswith(f"{path} is locked by another process; trials train on, and it is")
    assert said[1].startswith(f"{path} answers again after ")


def test_the_wait_ends_with_a_sentence_when_the_settings_patience_does(study, storage):
    storage._patience = Patience(seconds=0.3)
    with locked(storage.address.database, 60):
        with pytest.raises(UserError, match="is locked by another process after 0 s; trials keep"):
            study.ask()
        begun = time.monotonic()
        with pytest.raises(UserError):  # it does not begin to wait anew
            study.ask()
        assert time.monotonic() - begun < 0.3
    assert study.ask().number == 0


def test_an_interrupt_ends_the_wait(study, storage):
    pressed = threading.Event()
    storage._patience = Patience(interrupted=pressed.is_set)
    with locked(storage.address.database, 60):
        threading.Timer(0.3, pressed.set).start()
        with pytest.raises(UserError, match="was not waited for any longer"):
            study.ask()


def test_a_full_disk_is_waited_for_until_there_is_room(study, storage, said):
    trial = study.ask()
    _limit_pages(storage, 1)
    threading.Timer(0.8, lambda: setattr(storage, "roomy", True)).start()
    original = storage._wait

    def wait(*arguments):
        original(*arguments)
        if getattr(storage, "roomy", False):
            _limit_pages(storage, 10**9)

    storage._wait = wait
    trial.set_user_attr("long", "x" * 10**6)
    assert "has no room left to grow: free some space on that disk; trials train on" in said[0]
    assert "answers again" in said[1]
    assert study.get_trials()[0].user_attrs["long"] == "x" * 10**6


def _limit_pages(storage, pages):
    """As if the disk ended there, for every connection to come."""
    storage.engine.dispose()
    storage.remove_session()

    def limit(connection, _):
        connection.execute(f"PRAGMA max_page_count = {pages}")

    for earlier in getattr(storage, "limits", []):
        event.remove(storage.engine, "connect", earlier)
    storage.limits = [limit]
    event.listen(storage.engine, "connect", limit)


def test_a_defect_is_not_waited_for(study, storage, monkeypatch):
    def broken(*_):
        raise ProgrammingError("SELEC", {}, sqlite3.ProgrammingError("syntax"))

    begun = time.monotonic()
    with pytest.raises(ProgrammingError):
        storage.patiently(broken)
    trial = study.ask()
    study.tell(trial, 1.0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
    assert time.monotonic() - begun < 5


def test_a_study_that_goes_away_meanwhile_is_told_in_a_sentence(study, storage):
    storage.study_id = study._study_id
    trial = study.ask()
    optuna.delete_study(study_name="x", storage=storage.url)
    with pytest.raises(UserError, match="was deleted from"):
        trial.report(1.0, 1)
    with pytest.raises(UserError, match="was deleted from"):
        study.ask()


def test_of_a_study_that_the_dashboard_renames_its_new_name_is_told(study, storage):
    storage.claim(study._study_id, "owner", "one")
    storage.watch(study._study_id, "owner", "one")
    renamed = optuna.create_study(study_name="other", storage=storage.url)
    renamed.set_user_attr("owner", "one")
    optuna.delete_study(study_name="x", storage=storage.url)
    with pytest.raises(UserError, match="was renamed to 'other' in"):
        study.ask()


def test_of_two_that_claim_a_study_in_one_instant_both_hear_the_same_owner(study, storage):
    assert storage.claim(study._study_id, "owner", "one") == "one"
    assert storage.claim(study._study_id, "owner", "other") == "one"
    assert study.user_attrs == {"owner": "one"}


# ------------------------------------------------------------------------------- PostgreSQL


def test_a_terminated_backend_of_postgresql_costs_nothing(postgresql, monkeypatch):
    monkeypatch.setattr(patient, "_LONGEST_PAUSE", 0.1)
    storage = PatientStorage(address(postgresql.url()), Patience(seconds=20.0))
    study = optuna.create_study(storage=storage, study_name="x")
    for number in range(4):
        trial = study.ask()
        with storage.engine.connect() as connection:
            backend = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
        os.kill(backend, signal.SIGTERM)
        time.sleep(0.2)
        trial.report(1.0, 1)
        study.tell(trial, float(number))
    assert [trial.value for trial in study.get_trials()] == [0.0, 1.0, 2.0, 3.0]
    restarting = threading.Thread(target=restart, args=[postgresql])
    restarting.start()
    for _ in range(50):
        study.tell(study.ask(), 7.0)
    restarting.join()
    trials = study.get_trials()
    assert [trial.number for trial in trials] == list(range(54))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}


def test_a_session_that_ends_before_any_statement_of_a_trial_costs_nothing(postgresql, monkeypatch):
    monkeypatch.setattr(patient, "_FIRST_PAUSE", 0.02)
    url = address(postgresql.url())
    storage = PatientStorage(url, Patience(seconds=20.0))
    study = optuna.create_study(storage=RememberingStorage(storage), study_name="x")
    storage.hold(StudyInDatabase(url, "x", "token"))
    struck = True
    count = 0
    while struck:
        with ending_before_statement(storage.engine, count) as statements:
            one_trial(study, count)
        struck = len(statements) > count
        count += 1
    trials = study.get_trials()
    assert count > 20
    assert [trial.number for trial in trials] == list(range(count))
    assert [trial.value for trial in trials] == [trial.params["x"] for trial in trials]
    assert [trial.user_attrs["note"] for trial in trials] == list(range(count))
    assert [trial.intermediate_values for trial in trials] == [{1: t.value} for t in trials]


def one_trial(study, number):
    frozen = optuna.trial.create_trial(state=TrialState.RUNNING)
    frozen.number = number
    begun = Gathered(study, frozen)
    begun.trial.suggest_float("x", 0, 1)
    trial = study._storage.get_trial(begun.store())
    ended = Gathered(study, trial)
    ended.trial.report(trial.params["x"], 1)
    ended.trial.set_user_attr("note", number)
    ended.study.tell(ended.trial, trial.params["x"])
    ended.store()


@contextlib.contextmanager
def ending_before_statement(engine, number):
    """An administrator ends the session before the statement of that number; all statements."""
    statements = []

    def strike(connection, cursor, statement, *_):
        statements.append(statement)
        if len(statements) == number + 1:
            os.kill(connection.connection.dbapi_connection.info.backend_pid, signal.SIGTERM)
            time.sleep(0.05)

    def strike_commit(connection):
        strike(connection, None, "COMMIT")

    event.listen(engine, "before_cursor_execute", strike)
    event.listen(engine, "commit", strike_commit)
    yield statements
    event.remove(engine, "before_cursor_execute", strike)
    event.remove(engine, "commit", strike_commit)


def test_a_server_that_takes_no_changes_for_a_while_is_waited_for(postgresql, said):
    user = postgresql.new_user()
    postgresql.sql(f"GRANT CREATE ON SCHEMA public TO {user}")
    url = address(postgresql.url(user))
    storage = PatientStorage(url, Patience(seconds=20.0, say=said.append))
    study = optuna.create_study(storage=storage, study_name="x")
    postgresql.sql(f"ALTER ROLE {user} SET default_transaction_read_only = on")
    storage.engine.dispose()
    threading.Timer(1.0, postgresql.sql, [f"ALTER ROLE {user} RESET ALL"]).start()
    study.tell(study.ask(), 1.0)
    assert "takes no changes at the moment (cannot execute " in said[0]
    assert "answers again" in said[1]
    assert [trial.value for trial in study.get_trials()] == [1.0]


def test_a_right_that_is_taken_away_is_a_sentence_at_once(postgresql, said):
    user = postgresql.new_user()
    postgresql.sql(f"GRANT CREATE ON SCHEMA public TO {user}")
    url = address(postgresql.url(user))
    storage = PatientStorage(url, Patience(seconds=20.0, say=said.append))
    study = optuna.create_study(storage=storage, study_name="x")
    postgresql.sql(f"REVOKE INSERT ON trials FROM {user}")
    told = r"does not allow it: permission denied for table trials; whoever owns the database may"
    with pytest.raises(UserError, match=told):
        study.ask()
    assert said == []


def restart(server):
    server.stop()
    server.start()
