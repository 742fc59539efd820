"""A study in PostgreSQL: whole, one orchestrator's, patient, and silent about passwords."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import optuna
import pytest
from sqlalchemy.engine import make_url

from tests.postgresql import PASSWORD
from tests.studio import Studio, finish
from tests.unit.orchestrator.database.test_exclusive import HOLDER

SPELLINGS = (PASSWORD, "s3cr%3At%2Fw%40rd%3F", "s3cr%3At/w%40rd%3F")


@pytest.fixture
def shared(studio, postgresql) -> Studio:
    """A studio whose study is kept in the server, where a password is asked for."""
    studio.change(storage={"url": postgresql.tcp(password="${DB_PASSWORD}")})
    studio.environment["DB_PASSWORD"] = PASSWORD
    studio.database = postgresql.url()
    return studio


def slow(studio):
    studio.change(
        recipe={"epochs": 5, "step_seconds": 0.1}, limits={"checkpoint_seconds": 0.1}, n_trials=3
    )


def assert_whole(studio):
    trials = studio.trials()
    assert [trial.number for trial in trials] == [0, 1, 2]
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    assert all(list(trial.intermediate_values) == [1, 2, 3, 4, 5] for trial in trials)
    studio.wait_for_silence()


def assert_kept_secret(studio, *outputs):
    """That the password is nowhere: on no screen, in no file of the study."""
    files = [path for path in (studio.path / "runs").rglob("*") if path.is_file()]
    texts = [path.read_bytes().decode(errors="replace") for path in files] + list(outputs)
    assert not [text for text in texts if any(spelling in text for spelling in SPELLINGS)]


def assert_one_sentence(studio, code, output, *words):
    assert code == 2, output
    assert output.startswith("error: "), output
    assert output.count("\n") == 1, output
    for word in words:
        assert word in output
    assert_kept_secret(studio, output)
    assert not studio.folder.path.exists()
    assert not studio.processes()


@pytest.mark.slow
def test_a_study_is_searched_looked_at_exported_and_shown_and_no_password_is_kept(shared, launcher):
    code, output = shared.run("--set", "tracking.wandb=off")
    assert code == 0, output
    assert shared.states() == ["COMPLETE"] * 3
    assert not shared.folder.database.exists()
    told = [shared.command("status", "--json")]
    assert json.loads(told[0][1])["counts"]["complete"] == 3
    assert json.loads(told[0][1])["orchestrator"] is None
    shared.launcher = launcher
    told.append(shared.command("export", "--trial", "best", "--out", str(shared.path / "out")))
    assert (shared.path / "out" / "metrics.json").exists()
    told.append(shared.command("confirm", "--top", "1", "--seeds", "1"))
    told += [shared.command("status"), shared.command("verify")]
    shared.launcher = None
    assert [code for code, _ in told] == [0, 0, 0, 0, 0], told
    told += [(0, _dashboard_says(shared))]
    assert_kept_secret(shared, output, *(text for _, text in told))
    del shared.environment["DB_PASSWORD"]
    code, output = shared.command("status")
    assert (code, output) == (
        2,
        "error: storage.url: the environment variable DB_PASSWORD is not set\n",
    )


def _dashboard_says(studio):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = studio.start_command(["dashboard", *studio.where, "--port", str(port)])
    try:
        first = process.stdout.readline()
        assert "The dashboard of study" in first, first
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies") as answer:
            found = answer.read().decode()
        assert json.loads(found)["study_summaries"][0]["study_name"] == studio.name
        commands = [p.cmdline() for p in studio.processes()]
        return first + found + repr(commands)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


@pytest.mark.slow
def test_the_drivers_own_variable_is_a_way_to_give_the_password(inside, postgresql):
    inside.change(storage={"url": postgresql.tcp()}, n_trials=1)
    inside.environment["PGPASSWORD"] = PASSWORD
    inside.database = postgresql.url()
    code, output = inside.run()
    assert code == 0, output
    assert inside.states() == ["COMPLETE"]
    assert_kept_secret(inside, output)


@pytest.mark.slow
def test_a_copied_folder_is_refused_while_the_study_runs_and_told_who_runs_it(
    shared, tmp_path, launcher
):
    slow(shared)
    first = shared.start()
    shared.wait_for_event(0, "started")
    elsewhere = Studio(tmp_path / "elsewhere", preset=shared.preset, launcher=launcher)
    elsewhere.environment = shared.environment
    shutil.copytree(shared.folder.path, elsewhere.folder.path)
    elsewhere.folder.lock.unlink()
    before = {path: path.stat().st_mtime_ns for path in elsewhere.folder.path.rglob("*")}
    code, output = elsewhere.run()
    assert code == 3, output
    assert f"in use by process {first.pid} on {socket.gethostname()}" in output
    changed = {
        path.name
        for path, time in before.items()
        if path.is_file() and path.stat().st_mtime_ns != time
    }
    assert changed == set()
    _, status = elsewhere.command("status", "--json")
    assert json.loads(status)["orchestrator"]["pid"] == first.pid
    code, output = elsewhere.command("delete", "--yes")
    assert (code, "in use by process" in output) == (3, True), output
    assert finish(first)[0] == 0
    assert_whole(shared)


@pytest.mark.slow
@pytest.mark.long
def test_a_study_is_steered_and_deleted_with_its_rows_and_nobody_elses(shared, postgresql):
    optuna.create_study(study_name="theirs", storage=postgresql.url())
    assert shared.run("--set", "n_trials=1")[0] == 0
    for command in (
        ["set", "n_trials=2"],
        ["ignore", "--trial", "0"],
        ["add", "learning_rate=0.01"],
    ):
        code, output = shared.command(*command)
        assert code == 0, output
    assert shared.run()[0] == 0
    assert [trial.params["learning_rate"] == 0.01 for trial in shared.trials()] == [False, True]
    code, output = shared.command("delete", "--yes")
    assert code == 0, output
    assert not shared.folder.path.exists()
    assert optuna.get_all_study_names(postgresql.url()) == ["theirs"]


@pytest.mark.slow
def test_a_study_that_is_killed_goes_on_at_once(shared, launcher):
    slow(shared)
    for kind, count in (("validated", 1), ("validated", 3)):
        run = shared.start()
        shared.wait_for_event(0, kind, count)
        run.kill()
        run.communicate()
        shared.wait_for_silence()
    shared.launcher = launcher
    code, output = shared.run()
    assert code == 0, output
    assert_whole(shared)


@pytest.mark.slow
def test_a_server_that_is_away_for_a_while_ends_nothing(shared, postgresql):
    slow(shared)
    run = shared.start()
    shared.wait_for_event(0, "validated")
    postgresql.stop()
    shared.wait_for_event(0, "validated", 4)  # it trains on
    time.sleep(3)
    postgresql.start()
    code, output = finish(run)
    assert code == 0, output
    assert_whole(shared)
    lines = [line for line in output.splitlines() if str(postgresql.port) in line]
    assert len(lines) == 2, output
    assert "cannot be reached" in lines[0]
    assert "trials train on, and it is tried" in lines[0]
    assert "answers again after" in lines[1]
    assert_kept_secret(shared, output)


@pytest.mark.slow
@pytest.mark.long
def test_a_server_that_stays_away_ends_the_study_with_a_sentence_and_it_can_go_on(
    shared, postgresql
):
    slow(shared)
    shared.change(storage={"patience": 2.0})
    run = shared.start()
    shared.wait_for_event(0, "validated")
    postgresql.stop()
    code, output = finish(run)
    assert code == 2, output
    assert "type the same command again" in output
    assert "Traceback" not in output
    code, output = shared.run()
    assert code == 2, output
    assert "look whether the server runs" in output
    postgresql.start()
    code, output = shared.run()
    assert code == 0, output
    assert_whole(shared)


@pytest.mark.slow
def test_a_study_whose_lock_somebody_took_meanwhile_stops_with_a_sentence(
    shared, postgresql, launcher
):
    slow(shared)
    run = shared.start()
    shared.wait_for_event(0, "validated")
    identity = postgresql.sql(
        "SELECT value_json FROM study_user_attributes WHERE key = 'tomostudy:identity'"
    )[0][0].strip('"')
    script = HOLDER.replace('"token"', f'"{identity}"')
    taker = subprocess.Popen(
        [sys.executable, "-c", script, postgresql.url()], stdout=subprocess.PIPE, text=True
    )
    time.sleep(1.5)  # until it waits for the lock
    (backend,) = postgresql.sql(
        f"SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'tomostudy {run.pid} %'"
    )
    os.kill(run.pid, signal.SIGSTOP)
    os.kill(backend[0], signal.SIGTERM)
    assert taker.stdout.readline() == "held\n"
    os.kill(run.pid, signal.SIGCONT)
    code, output = finish(run)
    taker.kill()
    taker.communicate()
    assert code == 2, output
    assert f"taken over by process {taker.pid} on {socket.gethostname()}" in output
    assert "Traceback" not in output
    shared.wait_for_silence()
    shared.launcher = launcher
    code, output = shared.run()
    assert code == 0, output
    assert_whole(shared)


MISTAKES = {  # what is changed in a URL that works, the password, and what is said
    "wrong password": ({}, "wrong", ['password authentication failed for user "me"', "PGPASSWORD"]),
    "no password": ({}, "", ["no password supplied", "PGPASSWORD", "${VARIABLE}"]),
    "no such database": ({"database": "nowhere"}, PASSWORD, ['"nowhere" does not', "createdb"]),
    "no such user": ({"username": "norole"}, PASSWORD, ['failed for user "norole"']),
    "no right to make tables": ({"username": "plain"}, "plain", ["denied for schema", "GRANT"]),
    "unknown host": ({"host": "no.invalid"}, PASSWORD, ["'no.invalid'", "mend the host's name"]),
    "nobody listens": ({"port": 1}, PASSWORD, ["Connection refused", "look whether the server"]),
    "no such driver": ({"drivername": "postgresql+asyncpg"}, "", ["pip install asyncpg"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_database_that_cannot_be_used_is_one_sentence_and_no_study(inside, postgresql, mistake):
    changes, password, words = MISTAKES[mistake]
    if changes.get("username") == "plain":
        changes = {"username": postgresql.new_user(password)}
    inside.change(storage={"url": str(make_url(postgresql.tcp()).set(**changes))})
    inside.environment["PGPASSWORD"] = password
    assert_one_sentence(inside, *inside.run(), "storage.url: ", "cannot be opened: ", *words)


def test_a_password_in_a_settings_file_is_refused_and_not_repeated(inside, postgresql):
    quoted = SPELLINGS[1]
    inside.change(storage={"url": postgresql.tcp(password=quoted)})
    code, output = inside.run()
    assert_one_sentence(inside, code, output, "storage.url: the URL holds a password")
    code, output = inside.run("--set", f"storage.url={postgresql.tcp(password='${DB_PASSWORD}')}")
    assert_kept_secret(inside, output)


@pytest.mark.parametrize("written", ["storage: {}", "storage: {{ulr: '{}'}}", "storage: [{}]"])
def test_a_password_in_a_misspelt_setting_is_not_repeated(inside, postgresql, written):
    arguments = inside.arguments()
    text = written.format(postgresql.tcp(password=SPELLINGS[1]))
    (inside.path / "config.yml").write_text(f"{text}\n")
    code, output = inside.run_with(arguments)
    assert code == 2, output
    assert "storage" in output
    assert_kept_secret(inside, output)
