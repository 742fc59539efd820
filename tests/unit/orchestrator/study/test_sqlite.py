import math
import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.study.record import record_of
from orchestrator.study.sqlite import UnknownLayout, read_sqlite
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def a_bit_of_everything(made):
    """Trials in every state, of every kind of parameter, with every kind of value."""
    for _ in range(3):
        made.add(25.0)
    made.add(None, ending=Ending.FAILED, epochs=0)
    made.add(None, ending=Ending.PRUNED, epochs=2)
    for value in (math.inf, -math.inf):
        made.study.tell(made.begin(), value)
    diverged = made.begin(epochs=1)
    diverged.set_constraint("finite", 1.0)
    diverged.report(math.nan, 2)
    made.tell(diverged, made.settle(diverged, None, ending=Ending.NONFINITE))
    feasible = made.begin()
    feasible.set_constraint("finite", -1.0)
    feasible.set_user_attr("nested", {"a": [1, None, "ü"]})
    made.begin(epochs=1)
    made.study.ask()  # a kill may leave a trial without parameters
    made.study.enqueue_trial({"harmonics": 20})
    log = optuna.distributions.IntDistribution(1, 8, log=True)
    made.study.ask({"width": log, "flag": optuna.distributions.CategoricalDistribution([True])})


def test_it_reads_what_optuna_reads(made):
    a_bit_of_everything(made)
    read = read_sqlite(made.folder.database, "made")
    assert repr(read) == repr(record_of(made.study))  # also 20 and 20.0 are told apart
    assert {trial.state for trial in read.trials} == {
        "complete",
        "pruned",
        "failed",
        "running",
    }
    assert [trial.number for trial in read.trials if not trial.feasible] == [7]


def test_a_waiting_trial_is_read_as_waiting(made):
    made.study.enqueue_trial({"harmonics": 20})
    read = read_sqlite(made.folder.database, "made")
    assert read == record_of(made.study)
    assert [trial.state for trial in read.trials] == ["waiting"]


def test_of_several_studies_in_one_file_only_the_named_one_is_read(made):
    url = f"sqlite:///{made.folder.database}"
    other = optuna.create_study(storage=url, study_name="other", direction="minimize")
    other.tell(other.ask(), 1.0)
    made.add(25.0)
    assert read_sqlite(made.folder.database, "other") == record_of(other)
    assert len(read_sqlite(made.folder.database, "made").trials) == 1


def test_reading_changes_neither_the_file_nor_its_log(made):
    made.add()
    made.begin(epochs=1)
    files = [made.folder.database, made.folder.path / "study.db-wal"]
    before = [file.read_bytes() for file in files]
    read_sqlite(made.folder.database, "made")
    assert [file.read_bytes() for file in files] == before


def test_it_reads_past_a_writer_in_the_middle_of_a_transaction(made):
    made.add()
    writer = sqlite3.connect(made.folder.database, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE trials SET state = 'FAIL'")
    try:
        assert read_sqlite(made.folder.database, "made").trials[0].state == "complete"
        writer.execute("COMMIT")
        assert read_sqlite(made.folder.database, "made").trials[0].state == "failed"
    finally:
        writer.close()


def test_it_keeps_no_lock_on_the_database(made):
    made.add()
    read_sqlite(made.folder.database, "made")
    writer = sqlite3.connect(made.folder.database, timeout=0, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    writer.close()


def test_a_folder_that_may_not_be_written_to_can_be_read(made):
    made.add()
    expected = record_of(made.study)
    # A root user writes everywhere: only another user's process shows what others see.
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        path = Path(place) / "study.db"
        shutil.copy(made.folder.database, path)
        wal = made.folder.database.with_name("study.db-wal")
        if wal.stat().st_size:
            made.study._storage._backend.engine.dispose()
            closing = sqlite3.connect(made.folder.database)
            closing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            closing.close()
            shutil.copy(made.folder.database, path)
        path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
        Path(place).chmod(0o555)
        child = os.fork()
        if child == 0:
            try:
                if os.geteuid() == 0:
                    os.setuid(65534)
                os._exit(0 if read_sqlite(path, "made") == expected else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        Path(place).chmod(0o755)


def test_an_unknown_study_is_a_key_error(made):
    with pytest.raises(KeyError):
        read_sqlite(made.folder.database, "other")


def test_an_empty_file_holds_no_study(tmp_path):
    path = tmp_path / "study.db"
    path.touch()
    with pytest.raises(KeyError):
        read_sqlite(path, "made")


def test_a_missing_file_is_not_made(tmp_path):
    with pytest.raises(sqlite3.OperationalError):
        read_sqlite(tmp_path / "study.db", "made")
    assert not (tmp_path / "study.db").exists()


def test_a_foreign_file_is_no_database(tmp_path):
    path = tmp_path / "study.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(sqlite3.DatabaseError):
        read_sqlite(path, "made")


def test_another_table_layout_is_left_to_optuna(made):
    connection = sqlite3.connect(made.folder.database)
    connection.execute("UPDATE alembic_version SET version_num = 'v9'")
    connection.commit()
    connection.close()
    with pytest.raises(UnknownLayout):
        read_sqlite(made.folder.database, "made")


def test_every_state_of_optuna_is_known():
    from orchestrator.study.record import STATES

    assert set(STATES) == {state.name for state in TrialState}
