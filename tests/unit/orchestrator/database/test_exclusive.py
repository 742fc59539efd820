"""Who has a study's lock in PostgreSQL writes to it, and nobody else does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import optuna
import pytest

from orchestrator.database import exclusive, patient
from orchestrator.database.address import address
from orchestrator.database.exclusive import StudyInDatabase, Working
from orchestrator.database.patient import Patience, PatientStorage
from protocol.errors import StudyInUse, UserError

HOLDER = """
import sys, time
from orchestrator.database.address import address
from orchestrator.database.exclusive import StudyInDatabase
from orchestrator.database.patient import Patience, PatientStorage

url = address(sys.argv[1])
storage = PatientStorage(url, Patience())
storage.hold(StudyInDatabase(url, "demo", "token"))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(exclusive, "_LINGER_SECONDS", 1.0)
    monkeypatch.setattr(patient, "_LONGEST_PAUSE", 0.2)


@pytest.fixture
def url(postgresql):
    return address(postgresql.url())


@pytest.fixture
def lock(url):
    return StudyInDatabase(url, "demo", "token")


@pytest.fixture
def holder(url):
    """Another process that has the lock."""
    with _holding(url) as process:
        yield process
        process.kill()


def _holding(url, *before):
    command = [*before, sys.executable, "-c", HOLDER, url.render_as_string(hide_password=False)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def opened(url, **patience):
    return PatientStorage(url, Patience(**patience))


def backends(postgresql):
    found = postgresql.sql(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name LIKE 'tomostudy%' AND datname = current_database()"
    )
    return [pid for (pid,) in found]


def test_the_second_is_refused_and_hears_who_the_first_is(url, lock, holder):
    with pytest.raises(StudyInUse) as caught:
        opened(url).hold(lock)
    told = str(caught.value)
    assert f"study 'demo' is in use by process {holder.pid} on {socket.gethostname()} " in told
    assert "--study_name" in told
    assert lock.holder().pid == holder.pid


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives a process a host name of its own")
def test_a_holder_on_another_host_is_named_with_that(url, lock):
    elsewhere = ["unshare", "--uts", "sh", "-c", 'hostname gpu7.lab; exec "$@"', "sh"]
    with _holding(url, *elsewhere) as process:
        with pytest.raises(StudyInUse, match=f"in use by process {process.pid} on gpu7.lab since"):
            opened(url).hold(lock)
        process.kill()


def test_another_study_of_the_same_database_is_free(url, holder):
    other = StudyInDatabase(url, "other", "other token")
    storage = opened(url)
    storage.hold(other)
    assert other.holder() == Working.here()


def test_the_lock_goes_with_its_holder_however_that_ends(url, lock, holder):
    holder.send_signal(signal.SIGKILL)
    storage = opened(url)
    storage.hold(lock)
    assert lock.holder() == Working.here()
    storage.remove_session()
    storage.engine.dispose()
    deadline = time.monotonic() + 10
    while lock.holder() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_holder_is_named_to_users_who_may_not_look_at_others_sessions(postgresql, holder):
    plain = address(postgresql.url(postgresql.new_user()))
    seen = StudyInDatabase(plain, "demo", "token").holder()
    assert seen is not None
    assert seen.pid == holder.pid


def test_a_lost_connection_takes_the_lock_along_and_the_next_one_takes_it_again(
    postgresql, url, lock
):
    storage = opened(url, seconds=20.0)
    study = optuna.create_study(storage=storage, study_name="demo")
    storage.hold(lock)
    study.ask()
    (backend,) = backends(postgresql)
    os.kill(backend, signal.SIGTERM)
    time.sleep(0.2)
    assert lock.holder() is None
    study.ask()
    assert lock.holder() == Working.here()
    assert backends(postgresql) != [backend]
    assert [trial.number for trial in study.get_trials()] == [0, 1]


def test_a_connection_that_broke_on_this_side_alone_does_not_keep_its_own_process_out(
    postgresql, url, lock
):
    storage = opened(url)
    storage.hold(lock)
    before = backends(postgresql)
    connection = storage.engine.raw_connection()
    connection.detach()  # the server knows nothing of it
    with storage.engine.connect() as fresh:
        fresh.exec_driver_sql("SELECT 1")
    assert lock.holder() == Working.here()
    after = backends(postgresql)
    assert len(after) == 1
    assert after != before


def test_who_finds_the_lock_taken_when_it_comes_back_stops_and_writes_nothing(
    postgresql, url, lock
):
    storage = opened(url, seconds=60.0)
    study = optuna.create_study(storage=storage, study_name="demo")
    storage.hold(lock)
    study.ask()
    (backend,) = backends(postgresql)
    os.kill(backend, signal.SIGTERM)
    with _holding(url) as other:
        with pytest.raises(UserError, match=rf"taken over by process {other.pid} on ") as caught:
            study.ask()
        assert not isinstance(caught.value, StudyInUse)
        other.kill()
    assert postgresql.sql("SELECT count(*) FROM trials") == [(1,)]


MAKER = """
import sys
from orchestrator.database.address import address
from orchestrator.database.exclusive import making_tables
from orchestrator.database.patient import Patience, PatientStorage

url = address(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
with making_tables(url):
    PatientStorage(url, Patience(seconds=0.0))
"""


def test_of_many_that_find_an_empty_database_each_finds_it_whole(postgresql, url):
    command = [sys.executable, "-c", MAKER, postgresql.url()]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    makers = [subprocess.Popen(command, text=True, **pipes) for _ in range(5)]
    for maker in makers:
        assert maker.stdout.readline() == "ready\n"
    for maker in makers:
        maker.stdin.close()
        maker.stdin = None
    told = [maker.communicate(timeout=60)[1] for maker in makers]
    assert [maker.returncode for maker in makers] == [0] * 5, told
    assert postgresql.sql("SELECT count(*) FROM version_info") == [(1,)]
    assert postgresql.sql("SELECT count(*) FROM alembic_version") == [(1,)]


@pytest.mark.parametrize("name", ["psql", "tomostudy", "tomostudy x 1 host", "tomostudy 1 2 3 4"])
def test_other_applications_are_no_orchestrators(name):
    assert Working.named(name) is None


def test_a_long_host_name_is_cut_to_what_the_server_keeps(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: f"node'1{'x' * 200}")
    name = Working.here().name
    assert len(name) == 63
    seen = Working.named(name)
    assert seen.pid == os.getpid()
    assert seen.host.startswith("node_1xxx")
