import io

import pytest
from rich.console import Console

from orchestrator.live.open import open_display
from orchestrator.live.plain import PlainDisplay
from orchestrator.live.terminal import TerminalDisplay
from protocol.messages import Ending, Outcome, Started, Validated


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def display(stream, clock):
    shown = PlainDisplay(stream, clock, quiet_seconds=15.0)
    shown.study_opened("demo", 8, 1, "maximize", "psnr", best=(0, 29.5))
    return shown


def lines(stream):
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def validated(epoch, value=30.0, attempt=0):
    return Validated(
        attempt=attempt,
        epoch=epoch,
        step=epoch,
        metrics={"psnr": value},
        losses={},
        learning_rate=0.1,
        seconds=10.0,
        best=True,
    )


def started(attempt=0):
    return Started(
        attempt=attempt, ranks=2, epochs=9, steps_per_epoch=1, parameters=1, resumed_step=0
    )


def test_a_start_names_the_devices_and_the_parameters(display, stream):
    display.trial_started(3, {"learning_rate": 0.001, "window": "[full]"}, 0, ["cuda:0", "cuda:1"])
    assert lines(stream)[-1] == (
        "trial 3 starts on cuda:0, cuda:1: learning_rate=0.001 window=[full]"
    )


def test_a_later_attempt_resumes(display, stream):
    display.trial_started(3, {}, 1, ["cpu"])
    assert lines(stream)[-1] == "trial 3 resumes on cpu"


def test_epochs_are_told_at_most_every_few_seconds_per_trial(display, stream, clock):
    for number in (1, 2):
        display.trial_started(number, {}, 0, ["cpu"])
        display.event(number, started())
    before = len(lines(stream))
    for epoch in range(1, 9):
        clock.now += 5.0
        display.event(1, validated(epoch))
    clock.now += 1.0
    display.event(2, validated(1))
    told = lines(stream)[before:]
    assert [line.split(",")[0] for line in told] == [
        "trial 1: epoch 3/9",
        "trial 1: epoch 6/9",
        "trial 2: epoch 1/9",
    ]
    assert told[0] == "trial 1: epoch 3/9, psnr 30, best 30 at epoch 1, about 1 min 00 s left"


def test_an_earlier_attempts_epochs_are_not_told_again(display, stream, clock):
    display.trial_started(1, {}, 1, ["cpu"])
    clock.now += 100.0
    before = lines(stream)
    display.event(1, validated(1, attempt=0))
    assert lines(stream) == before


def test_an_ending_says_how_when_what_and_why_and_where_the_study_stands(display, stream, clock):
    display.trial_started(1, {}, 0, ["cpu"])
    clock.now += 65.0
    reason = "the loss was NaN at step 25 on rank 1"
    outcome = Outcome(
        ending=Ending.NONFINITE, reason=reason, attempts=1, value=20.1, epoch=2, best_epoch=1
    )
    display.trial_ended(1, outcome, "pruned")
    assert lines(stream)[-2:] == [
        f"trial 1 pruned after epoch 2, psnr 20.1 at epoch 1: {reason}",
        "study demo: 2/8 finished (1 pruned), best psnr 29.5 (trial 0), time left not known yet,"
        " 1 min 05 s elapsed, 1 min 05 s used",
    ]


def test_an_interrupted_trial_is_told_as_such(display, stream):
    display.trial_started(1, {}, 0, ["cpu"])
    outcome = Outcome(ending=Ending.INTERRUPTED, reason="stopped by the user", attempts=1)
    display.trial_ended(1, outcome, "running")
    assert "trial 1 interrupted: stopped by the user" in lines(stream)


def test_a_reader_that_goes_away_does_not_end_the_study(clock):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    display = PlainDisplay(Gone(), clock)
    display.study_opened("demo", 8, 1, "maximize", "psnr")
    display.notice("still here")
    display.close()


def test_a_terminal_gets_the_live_area_and_everything_else_gets_lines():
    assert isinstance(open_display(Console(file=io.StringIO())), PlainDisplay)
    terminal = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "xterm"})
    assert isinstance(open_display(terminal), TerminalDisplay)
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(open_display(dumb), PlainDisplay)


def test_what_the_study_has_become_meanwhile_is_what_is_told_from_then_on(display, stream):
    display.study_changed(12, (1, 28.5), timeout=60.0)
    display.trial_started(2, {}, 0, ["cpu"])
    ended = Outcome(ending=Ending.PRUNED, reason="hopeless", attempts=1, value=20.0, epoch=1)
    display.trial_ended(2, ended, "pruned")
    assert "2/12 finished" in lines(stream)[-1]
    assert "best psnr 28.5 (trial 1)" in lines(stream)[-1]
