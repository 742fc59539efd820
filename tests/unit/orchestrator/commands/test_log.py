"""What a rank has printed, as it is, and as it comes."""

import subprocess
import sys
import time

import pytest

from orchestrator.commands.log import show_log
from protocol.errors import SettingsError
from tests.made_study import MadeStudy
from tests.studio import ROOT


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path / "runs", "x")


@pytest.fixture
def trial(made):
    """One that is running, in twelve processes."""
    trial = made.begin(epochs=1)
    for rank in range(12):
        made.trial(trial.number).rank_log(rank).write_bytes(b"rank %d\n" % rank)
    return trial


@pytest.fixture
def number(trial):
    return trial.number


def test_the_log_of_the_rank_that_is_asked_for_is_printed_byte_by_byte(made, number, capfdbinary):
    made.trial(number).rank_log(3).write_bytes(b"\xff no text\r 50 %\x1b[0m")
    show_log(made.folder, str(number), rank=3)
    assert capfdbinary.readouterr().out == b"\xff no text\r 50 %\x1b[0m"
    show_log(made.folder, str(number))
    assert capfdbinary.readouterr().out == b"rank 0\n"


def test_the_best_trial_is_one_that_can_be_asked_for(made, capfdbinary):
    best = made.add(25.0)
    made.add(24.0)
    made.trial(best).rank_log(0).write_bytes(b"of the best\n")
    show_log(made.folder, "best")
    assert capfdbinary.readouterr().out == b"of the best\n"


def test_a_rank_that_is_not_there_is_told_with_those_that_are(made, number):
    with pytest.raises(SettingsError, match=r"--rank: .*has ranks 0, 1, 2, .*9, 10, 11$"):
        show_log(made.folder, str(number), rank=12)


def test_a_trial_without_logs_is_told_in_a_sentence(made):
    number = made.begin().number
    with pytest.raises(SettingsError, match=f"trial {number} has no log: it was never launched"):
        show_log(made.folder, str(number))
    with pytest.raises(SettingsError, match="has no trial 7"):
        show_log(made.folder, "7")


def test_what_comes_is_followed_over_a_new_beginning_until_the_trial_has_ended(made, trial):
    log = made.trial(trial.number).rank_log(0)
    log.write_text("first attempt\n" * 100)
    command = [sys.executable, "-m", "orchestrator", "log", "--study_name", "x", "--follow"]
    command += ["--runs_dir", str(made.folder.path.parent), "--trial", str(trial.number)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert [process.stdout.readline() for _ in range(100)] == ["first attempt\n"] * 100
        time.sleep(0.5)
        assert process.poll() is None
        log.write_text("second attempt\n")
        assert process.stdout.readline() == "second attempt\n"
        with log.open("a") as more:
            more.write("its last words\n")
        made.settle(trial)
        assert process.stdout.read() == "its last words\n"
        assert process.wait(10) == 0
