"""A running trial: how long it has trained, and what it says of its attempt."""

from types import SimpleNamespace

import optuna
import pytest

from orchestrator.launcher.base import Exit
from orchestrator.running.plan import make_plan
from orchestrator.running.slots import Slot
from orchestrator.running.trial import RunningTrial, trained_seconds
from protocol.folders import TrialFolder
from protocol.messages import Progressed, Stop, append_event, save_plan
from tests.searches import NUMBERS, make_settings

PARTICULARS = {"study": "s", "trial": 3, "attempt": 0, "seed": 1, "recipe": {"epochs": 2}}


def plan(parallel, devices):
    settings = make_settings(NUMBERS, {}, parallel=parallel)
    return make_plan(settings, Slot(tuple(devices), 2), **PARTICULARS)


def test_what_a_failed_rank_used_is_its_device_or_under_a_device_map_all(launched, tmp_path):
    """GPUs that are set aside when one of them fails."""
    trial, _ = launched
    devices = ["cuda:0", "cuda:1", "cuda:2"]
    save_plan(trial.folder, plan({"kind": "ddp", "ranks": 3}, devices))
    assert trial.devices_of(1) == ["cuda:1"]
    mapped = {"kind": "model", "devices": devices, "schedule": "device_map"}
    save_plan(trial.folder, plan(mapped, devices))
    assert trial.devices_of(0) == devices


def progressed(attempt, seconds):
    look = {"epoch": 1, "step": 1, "losses": {}, "learning_rate": 1.0, "gradient_norm": 1.0}
    return Progressed(attempt=attempt, time=seconds, **look)


def test_a_trials_time_is_that_of_all_its_attempts_without_what_lay_between():
    told = [progressed(0, 100.0), progressed(0, 160.0), progressed(1, 9000.0)]
    assert trained_seconds(told) == 60.0
    assert trained_seconds([*told, progressed(1, 9005.0)]) == 65.0
    assert trained_seconds([]) == 0.0


def test_a_clock_that_was_set_back_takes_no_time_away():
    assert trained_seconds([progressed(0, 100.0), progressed(0, 40.0), progressed(1, 5.0)]) == 0.0


@pytest.fixture
def launched(tmp_path, monkeypatch):
    """A trial that trained for 60 seconds before, launched, and a clock to be set."""
    clock = SimpleNamespace(now=1000.0)
    fake = SimpleNamespace(monotonic=lambda: clock.now)
    monkeypatch.setattr("orchestrator.running.trial.time", fake)
    folder = TrialFolder(tmp_path / "trial_3")
    folder.path.mkdir()
    for event in (progressed(0, 100.0), progressed(0, 160.0)):
        append_event(folder.events, event)
    settings = make_settings(NUMBERS, {})
    trial = optuna.create_study().ask()
    running = RunningTrial(trial=trial, folder=folder, objective=settings.objective, recipe=None)
    running.new_events()
    slot = Slot(("cpu",), 1)
    attempt = SimpleNamespace(waits=False, recall=lambda: None)
    launcher = SimpleNamespace(sweep=lambda folder: 0, launch=lambda folder, plan: attempt)
    running.launch(launcher, slot, make_plan(settings, slot, **PARTICULARS | {"attempt": 1}))
    return running, clock


def test_a_trial_is_overdue_once_its_attempts_together_took_longer_than_the_limit(launched):
    running, clock = launched
    for _ in range(8):
        clock.now += 5.0
        assert not running.overdue(None)
    assert not running.overdue(101.0)
    assert running.overdue(99.0)


def test_time_in_which_an_attempt_waits_for_a_place_is_no_training(launched):
    running, clock = launched
    running.attempt.waits = True
    for _ in range(20):
        clock.now += 5.0
        assert not running.overdue(100.0)


def test_time_in_which_everything_was_suspended_is_no_training(launched):
    running, clock = launched
    clock.now += 3600.0
    assert not running.overdue(100.0)


def test_a_trial_that_was_asked_to_stop_is_not_asked_again_for_its_time(launched):
    running, clock = launched
    clock.now += 5.0
    assert running.overdue(62.0)
    running.request_stop(Stop.TIMEOUT)
    assert running.folder.stop.read_text() == "timeout"
    assert not running.overdue(62.0)


def test_a_hung_attempt_names_the_file_that_says_where_its_ranks_stood(launched):
    running, _ = launched
    exit = Exit(codes={0: -9}, first=0, hung=0)
    assert "stacks" not in running.judged(exit).reason
    running.folder.stacks(1).write_text("==== rank 0")
    assert running.judged(exit).reason.endswith("; stacks_1.txt says where each of them stood")
