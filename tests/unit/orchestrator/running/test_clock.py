import json

import pytest

from orchestrator.running import clock as module
from orchestrator.running.clock import Clock


@pytest.fixture
def now(monkeypatch):
    """A monotonic clock that the test sets."""
    time = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


def test_time_adds_up_over_all_runs_and_pauses_do_not_count(tmp_path, now):
    first = Clock(tmp_path / "clock.json")
    now[0] += 30
    first.save(now=True)
    now[0] += 500
    second = Clock(tmp_path / "clock.json")
    assert second.seconds == 30
    now[0] += 5
    assert second.seconds == 35


def test_a_kill_loses_ten_seconds_of_the_count_at_most(tmp_path, now):
    clock = Clock(tmp_path / "clock.json")
    for _ in range(100):
        now[0] += 1
        clock.save()
    assert 90 <= Clock(tmp_path / "clock.json").seconds <= 100


def test_the_count_is_not_written_at_every_look(tmp_path, now):
    clock = Clock(tmp_path / "clock.json")
    now[0] += 1
    clock.save()
    assert not (tmp_path / "clock.json").exists()


@pytest.mark.parametrize("content", ["", "{}", "[1]", "3", '{"seconds": null}', '{"seconds": "x"}'])
def test_a_damaged_count_begins_anew(tmp_path, content):
    (tmp_path / "clock.json").write_text(content)
    assert Clock(tmp_path / "clock.json").seconds < 1


def test_the_file_is_for_people_too(tmp_path, now):
    clock = Clock(tmp_path / "clock.json")
    now[0] += 12.3456789
    clock.save(now=True)
    assert json.loads((tmp_path / "clock.json").read_text()) == {
        "seconds": 12.346,
        "device_seconds": 0.0,
    }


def test_devices_count_while_they_are_held_and_over_all_runs(tmp_path, now):
    path = tmp_path / "clock.json"
    clock = Clock(path)
    now[0] += 10.0
    clock.hold(4)
    now[0] += 5.0
    clock.leave_out(5.0)
    now[0] += 1.0
    clock.hold(3)
    clock.save(now=True)
    again = Clock(path)
    now[0] += 2.0
    again.hold(1)
    again.save(now=True)
    assert json.loads(path.read_text())["device_seconds"] == 43.0 + 2.0
