import threading
import time

import pytest

from orchestrator.launcher.slurm import controller as module
from orchestrator.launcher.slurm import squeue
from orchestrator.launcher.slurm.ask import Away, Refused
from orchestrator.launcher.slurm.controller import Controller

LISTED = "9|COMPLETED|None|n1|0:00|x.0\n10|RUNNING|None|n1|30:00|x.0\n12_3|PENDING|None||1:00|y\n"


@pytest.fixture
def slurm(monkeypatch):
    """A controller that answers at once, or as it is told."""
    answers = {"squeue": LISTED, "asked": []}

    def ask(*command):
        answers["asked"].append(command)
        answer = answers.get(command[0], "")
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(squeue, "ask", ask)
    monkeypatch.setattr(module, "ask", ask)
    monkeypatch.setattr(module, "_LEAST_SECONDS", 0.01)
    monkeypatch.setattr(module, "_AWAY_SECONDS", 0.01)
    return answers


@pytest.fixture
def told():
    return []


@pytest.fixture
def controller(slurm, told):
    controller = Controller(told.append)
    yield controller
    controller.close()


def look_until(controller, condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        controller.look()
        time.sleep(0.01)


def test_states_come_without_waiting_for_them(controller, slurm):
    go_on = threading.Event()
    slurm["squeue"] = lambda: go_on.wait(5) and LISTED
    began = time.monotonic()
    controller.look()
    controller.look()
    assert time.monotonic() - began < 1
    assert controller.states == {}
    go_on.set()
    look_until(controller, lambda: controller.looks > 0)
    assert controller.states["10"].state == "RUNNING"


def test_of_several_jobs_of_one_name_the_latest_is_meant(controller):
    look_until(controller, lambda: controller.looks > 0)
    assert controller.named("x.0").id == "10"
    assert controller.named("z") is None


def test_a_silence_is_told_once_and_its_end_too(controller, slurm, told, monkeypatch):
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.1)
    slurm["squeue"] = Away("Unable to contact slurm controller")
    look_until(controller, lambda: told)
    time.sleep(0.15)
    controller.look()
    slurm["squeue"] = LISTED
    look_until(controller, lambda: len(told) > 1)
    assert "Slurm has not answered for" in told[0]
    assert "Unable to contact slurm controller; waiting for it" in told[0]
    assert told[1:] == ["Slurm answers again"]


def test_a_slow_controller_that_is_asked_seldom_is_not_called_silent(controller, told, monkeypatch):
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.1)
    look_until(controller, lambda: controller.looks > 0)
    controller._next_look = time.monotonic() + 60
    time.sleep(0.2)
    controller.look()
    assert told == []


def test_a_controller_that_took_long_to_fail_is_asked_again_soon(controller, slurm, monkeypatch):
    monkeypatch.setattr(module, "_SHARE", 10000)

    def after_a_while():
        time.sleep(0.05)
        return Away("Socket timed out")

    slurm["squeue"] = after_a_while
    look_until(controller, lambda: len(slurm["asked"]) >= 3)


def test_cancelling_tries_again_while_nobody_answers(controller, slurm, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    tries = iter([Away("away"), Away("away"), ""])
    slurm["scancel"] = lambda: next(tries)
    controller.cancel(["7", "8"]).result(5)
    assert [command for command in slurm["asked"] if command[0] == "scancel"] == [
        ("scancel", "--quiet", "7", "8")
    ] * 3
    slurm["scancel"] = Refused("Invalid job id specified")
    assert controller.cancel(["7"]).result(5) is None
