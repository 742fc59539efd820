"""Every study of a folder in one look, whatever has become of any of them."""

import json
import os
import socket
import time

import pytest

from orchestrator.reporting.overview import overview_json, overviews
from protocol.messages import Ending
from tests.made_study import MadeStudy


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs"


def told(runs):
    return {one["study_name"]: one for one in map(overview_json, overviews(runs))}


def test_each_study_is_told_by_what_is_to_be_done_with_it(runs):
    finished = MadeStudy(runs, "finished")
    finished.write_settings(n_trials=2)
    finished.add(22.0)
    best = finished.add(26.0)
    stopped = MadeStudy(runs, "stopped")
    stopped.add(None, ending=Ending.FAILED)
    stopped.begin(epochs=1)
    running = MadeStudy(runs, "running")
    lock = {"pid": os.getpid(), "host": socket.gethostname(), "start": time.time()}
    running.folder.lock.write_text(json.dumps(lock))
    found = told(runs)
    assert {name: one["state"] for name, one in found.items()} == {
        "finished": "finished",
        "running": "running",
        "stopped": "stopped",
    }
    assert found["finished"]["best"] == {"number": best, "value": 26.0}
    assert found["finished"]["counts"]["complete"] == found["finished"]["n_trials"] == 2
    assert found["stopped"]["counts"] == {"complete": 0, "pruned": 0, "failed": 1, "running": 1}
    assert found["running"]["orchestrator"]["pid"] == os.getpid()
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_study_that_cannot_be_read_hides_no_other(runs):
    MadeStudy(runs, "a").add(1.0)
    MadeStudy(runs, "b").folder.database.write_bytes(b"no database" * 1000)
    unset = MadeStudy(runs, "c")
    unset.write_settings(storage={"url": "postgresql://me:${NO_SUCH_PASSWORD}@host/db"})
    MadeStudy(runs, "d").add(2.0)
    found = told(runs)
    assert [found[name]["state"] for name in "abcd"] == [
        "stopped",
        "unreadable",
        "unreadable",
        "stopped",
    ]
    assert str(runs / "b") in found["b"]["problem"]
    assert "NO_SUCH_PASSWORD is not set" in found["c"]["problem"]
    assert found["d"]["best"]["value"] == 2.0


def test_device_hours_are_those_of_every_attempt_times_its_devices(runs):
    made = MadeStudy(runs, "x")
    folder = made.trial(made.add(1.0))
    plans = [{"attempt": 0, "devices": ["cuda:0", "cuda:1"]}, {"attempt": 1, "devices": ["cpu"]}]
    folder.plans.write_text("".join(f"{json.dumps(plan)}\n" for plan in plans))
    moments = [(0, 1000.0), (0, 1900.0), (0, 2800.0), (1, 9000.0), (1, 12600.0)]
    lines = [json.dumps({"event": "x", "attempt": a, "time": t}) for a, t in moments]
    folder.events.write_text("\n".join([*lines, '{"event": "torn', ""]))
    assert told(runs)["x"]["device_hours"] == 2 * 0.5 + 1.0


def test_the_last_sign_of_life_is_that_of_whatever_was_written_last(runs):
    made = MadeStudy(runs, "x")
    folder = made.trial(made.add(1.0))
    newest = time.time() + 1000
    os.utime(folder.events, (newest, newest))
    assert told(runs)["x"]["last_written"] == pytest.approx(newest)


def test_a_folder_without_studies_is_none(runs):
    assert told(runs) == {}
    runs.mkdir()
    (runs / "other").mkdir()
    assert told(runs) == {}
