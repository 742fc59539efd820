import threading

import pytest

from orchestrator.tracking.mirror import Mirror
from orchestrator.tracking.state import ToldState
from protocol.messages import Ending, Validated
from tests.made_study import MadeStudy


class Sinks:
    """Remembers what it is told, in order; fails or hangs where a test wants it to."""

    def __init__(self):
        self.told = []
        self.broken = set()  # trials whose sink fails
        self.network = threading.Event()  # closing waits for it
        self.network.set()

    def open(self, folder, plan):
        if plan.trial in self.broken:
            raise ConnectionError("no")
        self.told.append((plan.trial, "opened"))
        return Sink(self, plan.trial)

    def of(self, trial):
        return [what for number, what in self.told if number == trial]


class Sink:
    def __init__(self, sinks, trial):
        self.sinks, self.trial = sinks, trial

    def tell(self, what):
        self.sinks.told.append((self.trial, what))

    def planned(self, plan):
        self.tell(f"attempt {plan.attempt}")

    def event(self, event):
        self.tell(f"epoch {event.epoch}" if isinstance(event, Validated) else event.event)

    def ended(self, outcome):
        self.tell(outcome.ending.value)

    def close(self):
        self.sinks.network.wait(30)
        self.tell("closed")


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


@pytest.fixture
def sinks():
    return Sinks()


@pytest.fixture
def mirrored(made, sinks):
    """Makes a mirror as after a (re)start."""
    return lambda: Mirror(made.folder, ToldState(made.folder.path / "tracked.json"), sinks.open)


def test_a_trial_is_told_from_its_plan_to_its_outcome(made, sinks, mirrored):
    made.add(epochs=2)
    mirrored().close(10)
    expected = "opened, attempt 0, started, epoch 1, epoch 2, completed, closed"
    assert ", ".join(sinks.of(0)) == expected


def test_events_are_told_as_they_come_and_once(made, sinks, mirrored):
    mirror = mirrored()
    made.begin(epochs=1)
    mirror.look()
    mirror.look()
    made.validate(0, 2)
    mirror.look()
    assert sinks.of(0) == ["opened", "attempt 0", "started", "epoch 1", "epoch 2"]


def test_a_restart_goes_on_after_what_was_told(made, sinks, mirrored):
    made.begin(epochs=1)
    mirrored().close(10)
    made.validate(0, 2)
    mirrored().close(10)
    again = ["opened", "attempt 0", "epoch 2", "closed"]
    assert sinks.of(0) == ["opened", "attempt 0", "started", "epoch 1", "closed", *again]


def test_a_trial_that_was_told_to_its_end_is_left_alone_after_a_restart(made, sinks, mirrored):
    made.add()
    mirrored().close(10)
    before = list(sinks.told)
    mirrored().close(10)
    assert sinks.told == before


def test_a_half_written_line_waits(made, sinks, mirrored):
    mirror = mirrored()
    made.begin(epochs=1)
    events = made.trial(0).events
    whole = events.read_text()
    events.write_text(whole[:-10])
    mirror.look()
    assert sinks.of(0)[-1] == "started"
    events.write_text(whole)
    mirror.look()
    assert sinks.of(0)[-1] == "epoch 1"


def test_one_trials_trouble_does_not_reach_the_others(made, sinks, mirrored):
    sinks.broken = {0}
    made.add()
    made.add(None, ending=Ending.PRUNED)
    mirror = mirrored()
    mirror.look()
    mirror.close(10)
    assert sinks.of(0) == []
    assert sinks.of(1)[-2:] == ["pruned", "closed"]
    sinks.broken = set()
    mirrored().close(10)
    assert sinks.of(0)[-2:] == ["completed", "closed"]


def test_a_run_that_cannot_be_closed_holds_nothing_up_and_is_told_again(made, sinks, mirrored):
    sinks.network.clear()
    made.add()
    mirror = mirrored()
    mirror.look()
    made.begin(epochs=1)
    mirror.look()
    assert sinks.of(1)[-1] == "epoch 1"
    mirror.close(0.2)
    assert "closed" not in sinks.of(0)
    later = Sinks()
    Mirror(made.folder, ToldState(made.folder.path / "tracked.json"), later.open).close(10)
    assert later.of(0) == ["opened", "attempt 0", "completed", "closed"]
    sinks.network.set()
