"""`verify` says that a study's record fits together, and names what somebody changed in it."""

from __future__ import annotations

import json
import shutil
import sqlite3
import zipfile
from unittest import mock

import pytest

from orchestrator.commands import verify
from orchestrator.commands.verify import verify_study
from protocol.folders import StudyFolder
from protocol.messages import Ending, load_outcome
from tests.acceptance.test_survival import slow
from tests.studio import Studio, finish


@pytest.fixture(scope="module")
def searched_with_pruning(tmp_path_factory, launcher):

    studio = Studio(tmp_path_factory.mktemp("verify"), launcher=launcher)
    studio.change(
        n_trials=6,
        recipe={"epochs": 4},
        pictures=1,
        pruner={"kind": "asha", "min_resource": 1, "reduction_factor": 2},
    )
    code, output = studio.run()
    assert code == 0, output
    return studio.folder.path


@pytest.fixture
def copied(searched_with_pruning, tmp_path, launcher, monkeypatch):
    """A copy under another name, as somebody would send it."""
    lent = mock.Mock(wraps=launcher, close=lambda: None)
    monkeypatch.setattr(verify, "open_launcher", lambda *_, **__: lent)
    return StudyFolder(shutil.copytree(searched_with_pruning, tmp_path / "copy", symlinks=True))


def times(folder):
    """When each file was changed, but for the index in memory that SQLite's readers share."""
    files = (path for path in folder.path.rglob("*") if not path.name.endswith("-shm"))
    return {path: path.lstat().st_mtime_ns for path in files}


def test_a_finished_study_fits_also_as_a_copy_that_may_not_be_written(copied, capsys):
    before = times(copied)
    assert verify_study(copied) == 0
    output = capsys.readouterr().out
    assert "All fits: 6 trials" in output
    assert "6 suggestions" in output
    assert times(copied) == before


def test_a_study_that_was_killed_fits_when_it_is_done(studio, launcher):
    slow(studio, n_trials=2, pruner={"kind": "median", "n_startup_trials": 1})
    for count in (1, 3):
        run = studio.start()
        studio.wait_for_event(0, "validated", count=count)
        run.kill()
        finish(run)
    studio.launcher = launcher
    assert studio.run()[0] == 0
    code, output = studio.command("verify")
    assert code == 0, output
    assert "All fits: 2 trials" in output


def in_database(folder, statement):
    connection = sqlite3.connect(folder.database)
    connection.execute(statement)
    connection.commit()
    connection.close()


def change_an_event(folder):
    lines = folder.trial(2).events.read_text().splitlines()
    index = next(i for i, line in enumerate(lines) if '"validated"' in line)
    event = json.loads(lines[index])
    event["metrics"]["error"] += 0.25
    lines[index] = json.dumps(event)
    folder.trial(2).events.write_text("\n".join(lines) + "\n")


def change_a_picture(folder):
    pictures = folder.artifacts.iterdir()
    with next(pictures).open("ab") as stream:
        stream.write(b"x")


def change_a_byte(folder):
    """One of a tensor's: between the file's records are bytes that mean nothing."""
    file = folder.trial(0).best
    with zipfile.ZipFile(file) as records:
        tensors = [record for record in records.infolist() if "/data/" in record.filename]
        largest = max(tensors, key=lambda record: record.file_size)
        weights = records.read(largest)
    content = file.read_bytes()
    at = content.index(weights) + len(weights) // 2
    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def exchange_checkpoints(folder):
    shutil.copy(folder.trial(0).best, folder.trial(1).best)


def lose_the_end_of_a_pruned_trial(folder):
    """Its `last.pth` is of another trial, whole and of the same shape."""
    pruned = next(
        place for place in folder.trials() if load_outcome(place.outcome).ending is Ending.PRUNED
    )
    shutil.copy(folder.trial(0).last, pruned.last)


CHANGES = {
    "/last.pth: is not of the training": lose_the_end_of_a_pruned_trial,
    "trial_0/best.pth is damaged": change_a_byte,
    "trial_1/best.pth: is not of the training": exchange_checkpoints,
    "trial_2/events.jsonl": change_an_event,
    "trial 1: its parameters": lambda folder: in_database(
        folder, "UPDATE trial_params SET param_value = param_value * 1.01 WHERE trial_id = 2"
    ),
    "the database has": lambda folder: in_database(
        folder, "UPDATE trials SET state = 'FAIL' WHERE number = 1"
    ),
    "trial_3/outcome.json": lambda folder: folder.trial(3).outcome.write_text("{"),
    "artifacts/": change_a_picture,
    "best: leads to nothing": lambda folder: folder.best.unlink(),
    "trial_0: the folder is missing": lambda folder: shutil.rmtree(folder.trial(0).path),
    "trial_9: the database has no such trial": lambda folder: folder.trial(9).path.mkdir(),
}


@pytest.mark.parametrize("told", CHANGES)
def test_each_thing_that_was_changed_is_named(told, copied, capsys):
    CHANGES[told](copied)
    assert verify_study(copied) == 1
    assert told in capsys.readouterr().out
