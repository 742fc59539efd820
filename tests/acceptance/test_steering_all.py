"""A running study is driven through every command, and each command and the search are killed.

What the acknowledgements say is then the table that is found.
"""

from __future__ import annotations

import json
import signal
import time
from collections import Counter

import pytest

from orchestrator.steering.requests import What, pending, read_answers
from orchestrator.study.journal import read_journal
from tests.studio import Studio, finish, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(400)]
TRIALS = 12
NEW_KEY = ("search.weight_decay.low=0.0", "search.weight_decay.high=0.1")


class Driver:
    """Types commands at a study; of each the first process is killed at once, or half-way."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.search = None
        self.deaths = 0

    def start(self) -> None:
        self.search = self.studio.start()

    def kill_search(self) -> None:
        """And start it again."""
        self.search.send_signal(signal.SIGKILL)
        self.search.communicate()
        self.studio.wait_for_silence()
        self.start()

    def type(self, *command: str, done: str = "") -> None:
        """A command that is killed at some moment, and then typed again.

        Args:
            done: with which the second is refused if the first was taken up.
        """
        self.deaths += 1
        first = self.studio.start_command([command[0], *self.studio.where, *command[1:]])
        asked = len(read_answers(self.studio.folder)) + len(pending(self.studio.folder))
        if self.deaths % 2:  # as soon as its request is there, taken up or not
            wait_until(
                lambda: (
                    len(read_answers(self.studio.folder)) + len(pending(self.studio.folder)) > asked
                    or first.poll() is not None
                ),
                60,
                f"request of {command}",
            )
        else:
            time.sleep(0.6)  # before it has asked for anything
        first.kill()
        first.communicate()
        code, told = self.studio.command(*command)
        assert code == 0 or (done and done in told), told


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """The study at its end."""
    studio = Studio(tmp_path_factory.mktemp("driven"))
    studio.change(
        n_trials=8,
        recipe={"epochs": 12, "step_seconds": 0.02, "batch_size": 12, "weight_decay": 0.0},
        search={"optimizer": {"choices": ["adam"]}},
        limits={"checkpoint_seconds": 0.1},
        sampler={"n_startup_trials": 2},
    )
    del studio.preset["recipe"]["optimizer"]
    driver = Driver(studio)
    driver.start()
    studio.wait_for_event(1, "validated")
    driver.type("add", "learning_rate=0.02", "--why", "a guess")
    driver.kill_search()
    driver.type("pause")
    wait_until(lambda: not studio.ranks(), 20, "end of the ranks")
    resting = next(t.number for t in studio.trials() if not t.state.is_finished())
    driver.type("stop", "--trial", str(resting), "--why", "enough", done="has ended already")
    driver.kill_search()
    code, told = studio.command("status")
    assert (code, "It is paused by" in told) == (0, True), told
    driver.type("ignore", "--trial", "0", "--why", "wrong data")
    driver.type("set", f"n_trials={TRIALS}", "search.learning_rate.low=1e-4")
    driver.type("set", "search.optimizer.choices=[adam, sgd]", *NEW_KEY)
    driver.type("ignore", "--trial", "1", "--why", "a slip")
    driver.type("ignore", "--trial", "1", "--again")
    driver.type("resume")
    driver.kill_search()
    studio.wait_for_event(6, "validated")
    driver.type("stop")
    studio.wait_for_silence()
    driver.start()
    code, output = finish(driver.search)
    assert code == 0, output
    yield studio, resting
    code, told = studio.command("delete", "--yes", "--keep", "best")
    assert code == 0, told
    assert not studio.folder.path.exists()


def test_the_table_is_what_was_acknowledged(driven):
    driven, stopped = driven
    answers = read_answers(driven.folder)
    assert pending(driven.folder) == []
    assert not any(line.refused for line in answers if line.request.what is not What.STOP_TRIAL)
    assert len({line.id for line in answers}) == len(answers)
    trials = driven.trials()
    assert [trial.number for trial in trials] == list(range(len(trials)))
    # Each `add` that was taken up was done once.
    adds = [line for line in answers if line.request.what is What.ADD]
    marks = [trial.user_attrs.get("added_by", "").partition("/")[0] for trial in trials]
    assert Counter(filter(None, marks)) == Counter(line.id for line in adds)
    added = [trial for trial in trials if trial.user_attrs.get("added_by")]
    assert all(trial.params["learning_rate"] == 0.02 for trial in added)
    assert len(trials) == TRIALS
    assert trials[stopped].state.name == "PRUNED"
    assert trials[stopped].user_attrs["reason"].endswith(": enough")
    ended = {trial.state.name for trial in trials if trial.number != stopped}
    assert ended == {"COMPLETE"}
    code, told = driven.command("status", "--json")
    assert code == 0, told
    status = json.loads(told)
    assert status["budget"] == TRIALS
    assert [trial["number"] for trial in status["trials"] if trial["ignored"]] == [0]
    assert status["paused"] is None
    code, told = driven.command("verify")
    assert code == 0, told


def test_the_space_has_grown_twice_and_earlier_trials_stay(driven):
    driven, _ = driven
    entries = read_journal(driven.folder)
    spaces = [sorted(entry.settings.search) for entry in entries]
    assert spaces[0] == ["learning_rate", "optimizer"]
    assert spaces[-1] == ["learning_rate", "optimizer", "weight_decay"]
    trials = driven.trials()
    last = trials[-1]
    assert last.params.keys() == {"learning_rate", "optimizer", "weight_decay"}
    visible = last.user_attrs["visible"]
    assert visible["finished"] == "1-10"
    assert visible["settings"] == len(entries) - 1
