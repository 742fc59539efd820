"""A running study is steered by the real commands from other shells."""

from __future__ import annotations

import signal
import time

import pytest

from orchestrator.steering.requests import read_answers
from protocol.messages import load_outcome
from tests.studio import Studio, finish, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
EPOCHS = 24  # of half a second, in which a command can be typed


@pytest.fixture
def slow(studio: Studio) -> Studio:
    studio.change(
        n_trials=2,
        recipe={"epochs": EPOCHS, "step_seconds": 0.25, "batch_size": 12},
        limits={"checkpoint_seconds": 0.1},
    )
    return studio


def test_one_trial_is_stopped_and_the_study_goes_on_to_its_end(slow, launcher):
    run = slow.start()
    slow.wait_for_event(0, "validated")
    code, told = slow.command("stop", "--trial", "0", "--why", "wrong data")
    assert code == 0, told
    code, output = finish(run)
    assert code == 0, output
    assert slow.states() == ["PRUNED", "COMPLETE"]
    outcome = load_outcome(slow.trial(0).outcome)
    assert outcome.ending == "cancelled"
    assert outcome.reason.startswith("stopped by ")
    assert outcome.reason.endswith(": wrong data")
    assert outcome.value is not None
    (line,) = read_answers(slow.folder)
    assert line.taken - line.request.time < 2.0
    code, told = slow.command("stop", "--trial", "0")
    assert (code, "has ended already" in told) == (2, True)
    slow.launcher = launcher
    code, told = slow.command("verify")
    assert code == 0, told


def test_stopping_a_study_waits_until_it_has_ended_and_it_goes_on_later(slow, launcher):
    run = slow.start()
    slow.wait_for_event(0, "validated")
    code, told = slow.command("stop")
    assert code == 0, told
    assert "has stopped" in told
    assert finish(run, timeout=5)[0] == 130
    code, told = slow.command("stop", "--trial", "0", "--why", "while it is not run")
    assert code == 0, told
    slow.launcher = launcher
    code, output = slow.run()
    assert code == 0, output
    assert slow.states() == ["PRUNED", "COMPLETE"]
    code, told = slow.command("stop")
    assert (code, "ended already" in told) == (0, True)


def test_a_pause_outlives_a_killed_orchestrator_and_costs_no_trial_anything(slow):
    slow.change(n_trials=1, limits={"relaunches": 0})
    run = slow.start()
    slow.wait_for_event(0, "validated")
    code, told = slow.command("pause")
    assert code == 0, told
    wait_until(lambda: not slow.ranks(), 20, "end of the ranks")
    assert run.poll() is None
    run.send_signal(signal.SIGKILL)
    finish(run)
    slow.wait_for_silence()
    run = slow.start()
    assert run.stdout is not None
    assert any("paused by" in line for line in run.stdout)  # has come to where it would launch
    time.sleep(1.0)
    assert not slow.ranks()
    code, told = slow.command("resume")
    assert code == 0, told
    code, output = finish(run)
    assert code == 0, output
    assert slow.states() == ["COMPLETE"]
    epochs = [event.epoch for event in slow.events(0) if event.event == "validated"]
    assert epochs == list(range(1, EPOCHS + 1))
