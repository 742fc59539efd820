import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from wandb.proto import wandb_internal_pb2

import orchestrator
from orchestrator.settings.schema import NotifySettings, TrackingSettings
from orchestrator.tracking import tracker
from orchestrator.tracking.trackers import start_trackers, start_wandb
from protocol.messages import Ending
from tests.made_study import MadeStudy

ROOT = Path(orchestrator.__file__).parents[1]
KEY = "0123456789abcdef" * 2 + "01234567"
OFFLINE = TrackingSettings(wandb="offline", project="tests")


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def log_of(made):
    return (made.folder.path / "wandb" / "tracking.log").read_text()


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def told(made, trial=0):
    try:
        state = json.loads((made.folder.path / "wandb" / "tracked.json").read_text())
        return state["trials"].get(str(trial), {"events": 0})["events"]
    except OSError:
        return 0


def survivors(pid):
    """Processes of the tracking session that `pid` led."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == pid and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.Error):
            continue
    return found


def records(path):
    """The messages in a .wandb file: a log of blocks of 32 KiB, as LevelDB has it."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    position, message = 7, b""
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        kind = data[position + 6]
        message += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # a whole message, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(message)
            yield record
            message = b""


class Run:
    """What an offline run holds."""

    def __init__(self, path):
        self.run, self.history, self.config, self.summary, self.exit_code = None, [], {}, {}, None
        for record in records(path):
            match record.WhichOneof("record_type"):
                case "run":
                    self.run = record.run
                    self.config |= self._items(record.run.config.update)
                case "history":
                    self.history.append(self._items(record.history.item))
                case "config":
                    self.config |= self._items(record.config.update)
                case "summary":
                    self.summary |= self._items(record.summary.update)
                case "exit":
                    self.exit_code = record.exit.exit_code

    @staticmethod
    def _items(items):
        return {
            item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items
        }


def runs(made):
    paths = sorted(made.folder.path.glob("wandb/offline-run-*/*.wandb"))
    return {path: Run(path) for path in paths}


def test_off_starts_nothing_and_leaves_nothing(made):
    assert start_trackers(made.folder, TrackingSettings(), NotifySettings()) == []
    assert not (made.folder.path / "wandb").exists()


def test_each_trial_is_a_run_with_settings_metrics_pictures_and_ending(made, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    started = start_wandb(made.folder, OFFLINE)
    pid = started._process.pid
    trial = made.begin(epochs=3)
    made.draw(0, "validation_0000")
    made.tell(trial, made.settle(trial, 26.0))
    made.add(None, ending=Ending.FAILED, reason="ValueError on rank 0: wrong", epochs=1)
    wait_for(lambda: told(made, 0) == 5 and told(made, 1) == 2)
    started.close()
    wait_for(lambda: survivors(pid) == [], seconds=10)

    (path, complete), (_, failed) = sorted(runs(made).items(), key=lambda item: item[1].run.run_id)
    assert (complete.run.project, complete.run.run_group) == ("tests", "made")
    assert complete.config["learning_rate"] == made.study.trials[0].params["learning_rate"]
    assert complete.config["plan"]["data"] == {"root": "data"}
    epochs = [row for row in complete.history if "validation/psnr" in row]
    assert [(row["epoch"], row["step"], row["validation/psnr"]) for row in epochs] == [
        (1, 5, 21.0),
        (2, 10, 22.0),
        (3, 15, 23.0),
    ]
    assert epochs[0]["train_epoch/mse"] == 1.0
    key = "pictures/validation_0000/path"
    (picture,) = [row[key] for row in complete.history if key in row]
    stored = path.parent / "files" / picture
    drawn = made.trial(0).pictures / "validation_0000.png"
    assert stored.read_bytes() == drawn.read_bytes()
    assert (complete.summary["ending"], complete.summary["best/psnr"]) == ("completed", 26.0)
    assert complete.exit_code == 0
    assert failed.summary["reason"] == "ValueError on rank 0: wrong"
    assert failed.exit_code == 1

    for file in made.folder.path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_a_restart_goes_on_in_the_same_run_without_telling_twice(made):
    made.begin(epochs=1)
    for epoch in (2, 3):
        started = start_wandb(made.folder, OFFLINE)
        lines = epoch
        wait_for(lambda lines=lines: told(made) == lines)
        pid = started._process.pid
        started.close()
        wait_for(lambda pid=pid: survivors(pid) == [], seconds=30)  # W&B writes until its end
        if epoch == 2:
            made.validate(0, 2)
    first, second = runs(made).values()
    assert first.run.run_id == second.run.run_id
    assert [row["epoch"] for row in first.history] == [1]
    assert [row["epoch"] for row in second.history] == [2]


def test_it_ends_when_the_orchestrator_is_killed(made):
    made.begin(epochs=1)
    program = (
        "import time; from pathlib import Path;"
        "from orchestrator.tracking.trackers import start_wandb;"
        "from orchestrator.settings.schema import NotifySettings, TrackingSettings;"
        "from protocol.folders import StudyFolder;"
        f"t = start_wandb(StudyFolder(Path({str(made.folder.path)!r})),"
        " TrackingSettings(wandb='offline'));"
        "print(t._process.pid, flush=True); time.sleep(100)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
    )
    pid = int(process.stdout.readline())
    wait_for(lambda: told(made) == 2)
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: survivors(pid) == [], seconds=30)
    assert next(iter(runs(made).values())).exit_code == 0


@pytest.mark.long
def test_a_server_that_never_answers_delays_nothing_and_what_was_told_stays_here(made, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        # The kernel takes the connections in, and nobody ever answers them.
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        made.add(24.0, epochs=2)
        begun = time.monotonic()
        started = start_wandb(made.folder, TrackingSettings(wandb="online"))
        assert time.monotonic() - begun < 2.0
        pid = started._process.pid
        wait_for(lambda: told(made) == 3)
        begun = time.monotonic()
        started.close()
        assert time.monotonic() - begun < 10.0
    wait_for(lambda: survivors(pid) == [], seconds=10)
    assert "offline from here" in log_of(made)
    (run,) = runs(made).values()
    assert run.summary["ending"] == "completed"
    for file in made.folder.path.rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_a_process_that_hangs_is_ended_after_its_time(made, tmp_path, monkeypatch):
    (tmp_path / "hangs").mkdir()
    (tmp_path / "hangs" / "wandb.py").write_text("import time; time.sleep(1000)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hangs"))
    monkeypatch.setattr(tracker, "FLUSH_SECONDS", 1.0)
    started = start_wandb(made.folder, OFFLINE)
    process = started._process
    begun = time.monotonic()
    started.close()
    assert time.monotonic() - begun < 10.0
    assert process.returncode == 1  # by itself, and not because it was killed
    assert survivors(process.pid) == []


def test_a_missing_wandb_is_told_in_the_log_and_nowhere_else(made, tmp_path, monkeypatch):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "wandb.py").write_text("raise ImportError('no wandb here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "none"))
    started = start_wandb(made.folder, OFFLINE)
    started._process.wait(30)
    started.close()
    started.close()
    assert "no wandb here" in log_of(made)
