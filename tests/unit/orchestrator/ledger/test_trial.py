"""What each attempt trained, kept and lost, of events whose times are known."""

import time

import pytest

from orchestrator.ledger.account import USES
from orchestrator.ledger.trial import trial_account
from protocol.folders import TrialFolder
from protocol.messages import (
    Ending,
    Launched,
    Left,
    Progressed,
    Started,
    Stop,
    Stopped,
    Used,
    append_event,
)


class Told:
    """A trial's events, at moments of the test's choice."""

    def __init__(self, path):
        self.folder = TrialFolder(path / "trial_0")
        self.folder.path.mkdir()

    def say(self, moment, attempt, kind, **fields):
        append_event(self.folder.events, kind(time=moment, attempt=attempt, **fields))

    def launched(self, moment, attempt, devices=2):
        self.say(moment, attempt, Launched, devices=devices)

    def started(self, moment, attempt, step=0):
        shape = {"ranks": 2, "epochs": 4, "steps_per_epoch": 100, "parameters": 7}
        self.say(moment, attempt, Started, resumed_step=step, **shape)

    def at(self, moment, attempt, step):
        rest = {"epoch": 1, "losses": {}, "learning_rate": 1.0, "gradient_norm": 1.0}
        self.say(moment, attempt, Progressed, step=step, **rest)

    def stopped(self, moment, attempt, step, reason=Stop.INTERRUPT):
        self.say(moment, attempt, Stopped, reason=reason, epoch=1, step=step)

    def left(self, moment, attempt, ending=Ending.LOST):
        self.say(moment, attempt, Left, ending=ending, reason="-")

    def account(self, ending=None, **options):
        """Device-seconds by use, those that are nought left out."""
        self.found = trial_account(self.folder, ending, **options)
        return {use: value for use in USES if (value := getattr(self.found, use))}


@pytest.fixture
def told(tmp_path):
    return Told(tmp_path)


@pytest.mark.parametrize(
    ("ending", "use"),
    [
        (Ending.COMPLETED, "kept"),
        (Ending.PRUNED, "pruned"),
        (Ending.CANCELLED, "pruned"),
        (Ending.NONFINITE, "diverged"),
        (Ending.MEMORY, "failed"),
        (Ending.LOST, "failed"),
        (None, "unfinished"),
    ],
)
def test_training_counts_as_the_trial_ended_and_all_before_it_as_waiting(told, ending, use):
    told.launched(100.0, 0)
    told.started(110.0, 0)
    told.at(150.0, 0, step=40)
    told.left(160.0, 0)
    assert told.account(ending) == {use: 2 * 50.0, "waiting": 2 * 10.0}
    assert told.found.seconds == 2 * 60.0


def test_what_a_kill_cost_is_what_lay_behind_the_step_at_which_the_next_attempt_began(told):
    told.launched(100.0, 0)
    told.started(110.0, 0)
    told.at(120.0, 0, step=10)
    told.at(140.0, 0, step=30)
    told.left(145.0, 0)  # killed
    told.launched(1000.0, 1, devices=1)
    told.started(1002.0, 1, step=15)
    told.stopped(1052.0, 1, step=65)
    told.left(1053.0, 1, Ending.COMPLETED)
    # Step 15 was taken a quarter of the way from 120 to 140.
    assert told.account(Ending.COMPLETED) == {
        "kept": 2 * (125.0 - 110.0) + (1053.0 - 1002.0),
        "repeated": 2 * (145.0 - 125.0),
        "waiting": 2 * 10.0 + 2.0,
    }


def test_an_interruption_that_was_saved_costs_no_training(told):
    told.launched(0.0, 0, devices=1)
    told.started(4.0, 0)
    told.stopped(10.0, 0, step=60)
    told.left(11.0, 0, Ending.INTERRUPTED)
    told.launched(500.0, 1, devices=1)
    told.started(503.0, 1, step=60)
    told.at(513.0, 1, step=160)
    assert told.account(Ending.COMPLETED) == {"kept": 7.0 + 10.0, "waiting": 4.0 + 3.0}


def test_a_checkpoint_behind_the_last_word_was_kept_to_its_step_by_the_pace(told):
    told.launched(0.0, 0, devices=1)
    told.started(0.0, 0)
    told.at(10.0, 0, step=100)
    told.left(18.0, 0)
    told.launched(20.0, 1, devices=1)
    told.started(20.0, 1, step=130)
    assert told.account() == {"unfinished": 13.0, "repeated": 5.0}


def test_an_attempt_that_went_together_with_its_orchestrator_lived_to_its_last_checkpoint(told):
    told.launched(0.0, 0, devices=1)
    told.started(0.0, 0)
    told.at(10.0, 0, step=100)
    told.launched(500.0, 1, devices=1)
    told.started(500.0, 1, step=130)
    assert told.account() == {"unfinished": 13.0}
    assert told.found.lasted == 13.0


def test_an_older_checkpoint_takes_back_what_later_attempts_built_on(told):
    """Attempt 2 finds a damaged checkpoint, and goes on before where attempt 1 began."""
    for attempt, (begin, step) in enumerate([(0.0, 0), (100.0, 50), (200.0, 20)]):
        told.launched(begin, attempt, devices=1)
        told.started(begin, attempt, step=step)
        told.at(begin + 50.0, attempt, step=step + 50)
        told.left(begin + 50.0, attempt)
    assert told.account(Ending.COMPLETED) == {"kept": 20.0 + 50.0, "repeated": 30.0 + 50.0}


def test_a_smaller_micro_batch_begins_anew_and_attempts_that_never_trained_only_waited(told):
    told.launched(0.0, 0, devices=1)
    told.started(2.0, 0)
    told.left(9.0, 0, Ending.MEMORY)
    told.launched(10.0, 1, devices=1)
    told.left(13.0, 1)
    told.launched(20.0, 2, devices=1)
    told.started(20.0, 2)
    told.stopped(30.0, 2, step=5)
    assert told.account(Ending.PRUNED) == {"pruned": 10.0, "repeated": 7.0, "waiting": 2.0 + 3.0}


def test_an_attempt_that_is_there_counts_to_now_and_one_of_before_to_its_last_word(told):
    now = time.time()
    told.launched(now - 60.0, 0, devices=1)
    told.started(now - 50.0, 0)
    told.at(now - 40.0, 0, step=3)
    assert told.account(watched_since=now - 100.0)["unfinished"] == pytest.approx(50.0, abs=1.0)
    assert told.account(watched_since=now - 10.0)["unfinished"] == pytest.approx(10.0)
    told.left(now - 30.0, 0)
    assert told.account(watched_since=now - 100.0)["unfinished"] == pytest.approx(20.0)


def test_memory_is_the_most_of_any_device_and_energy_the_sum_of_what_is_known(told):
    told.launched(0.0, 0)
    told.started(0.0, 0)
    told.say(5.0, 0, Used, rank=0, peaks={"cuda:0": 100}, joules=40.0)
    told.say(10.0, 0, Used, rank=0, peaks={"cuda:0": 300}, joules=50.0)
    told.say(10.0, 0, Used, rank=1, peaks={"cuda:1": 200}, joules=60.0)
    told.launched(20.0, 1, devices=1)
    told.started(20.0, 1)
    told.say(30.0, 1, Used, rank=0, peaks={"cpu": 250}, joules=None)
    told.account()
    assert (told.found.peak, told.found.joules, told.found.metered) == (300, 150.0, 20.0)


def test_torn_lines_and_words_of_other_versions_are_passed_over(told):
    told.launched(0.0, 0, devices=3)
    with told.folder.events.open("a") as file:
        file.write('{"event": "unheard-of", "attempt": 0, "time": 10.0}\n{"event": "star')
    assert told.account() == {"waiting": 30.0}
