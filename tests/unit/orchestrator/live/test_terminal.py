import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import textwrap
import time
from pathlib import Path

import pytest
from rich.console import Console

import orchestrator
from orchestrator.launcher.gpus import Gpus, GpuUse
from orchestrator.live.progress import StudyProgress, TrialProgress
from orchestrator.live.terminal import live_area
from protocol.messages import Started, Validated
from protocol.objective import Objective

OBJECTIVE = Objective(metric="psnr", direction="maximize")
ROOT = Path(orchestrator.__file__).parents[1]
SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"


def a_study(params=None):
    study = StudyProgress(
        name="demo", total=8, finished=2, objective=OBJECTIVE, since=0.0, best=29.5, best_trial=0
    )
    for number in (3, 11):
        trial = TrialProgress(number, params or {"window": "[red]full"}, 0, ["cpu"], since=0.0)
        study.start(trial)
    started = Started(
        attempt=0, ranks=1, epochs=40, steps_per_epoch=10, parameters=1, resumed_step=0
    )
    validated = Validated(
        attempt=0,
        epoch=7,
        step=70,
        metrics={"psnr": 31.25},
        losses={},
        learning_rate=0.1,
        seconds=10.0,
        best=True,
    )
    for event in (started, validated):
        study.running[3].apply(event, OBJECTIVE, now=60.0)
    return study


def drawn(width, params=None):
    console = Console(file=io.StringIO(), width=width, _environ={})
    console.print(live_area(a_study(params), 60.0, width))
    return console.file.getvalue().splitlines()


def test_every_running_trial_has_a_row_under_the_studys_line():
    line, header, first, second = drawn(120)
    assert line.startswith(
        "demo  2/8 finished, best psnr 29.5 (trial 0), time left not known yet, 1 min"
    )
    assert header.split() == ["trial", "epoch", "psnr", "best", "left"]
    cells = ["3", "training", "7/40", "31.25", "31.25", "5 min 30 s", "window=[red]full"]
    assert re.split(r"\s\s+", first.strip()) == cells
    assert second.split() == ["11", "starting", "window=[red]full"]


@pytest.mark.parametrize("width", [20, 30, 40, 50, 62, 79, 80, 100])
def test_no_line_is_wider_than_the_terminal_and_none_is_wrapped(width):
    lines = drawn(width)
    assert len(lines) == 4
    assert max(len(line) for line in lines) <= width
    assert "7/40" in lines[2]


@pytest.mark.parametrize("width", [80, 110, 160])
def test_long_parameters_are_cut_and_take_nothing_from_the_other_columns(width):
    params = {f"a_parameter_with_a_long_name_{n}": 0.123456 for n in range(9)}
    line = drawn(width, params)[2]
    cells = ["3", "training", "7/40", "31.25", "31.25", "5 min 30 s"]
    assert re.split(r"\s\s+", line.strip())[:-1] == cells
    assert len(line.rstrip()) <= width
    assert line.rstrip().endswith("…")


def test_on_gpus_each_row_has_their_use_and_memory(monkeypatch):
    gpus = Gpus([])
    uses = {
        "cuda:0": GpuUse(busy=0.9, used=10 * 2**30, total=80 * 2**30),
        "cuda:1": GpuUse(busy=0.7, used=12 * 2**30, total=80 * 2**30),
    }
    monkeypatch.setattr(gpus, "use", uses.get)
    study = a_study()
    study.gpus = gpus
    study.start(TrialProgress(4, {}, 0, ["cuda:0", "cuda:1"], since=0.0))
    study.start(TrialProgress(5, {}, 0, ["cuda:9"], since=0.0))
    console = Console(file=io.StringIO(), width=120, _environ={})
    console.print(live_area(study, 60.0, 120))
    lines = console.file.getvalue().splitlines()
    assert lines[1].split()[-1] == "GPU"
    assert "80 % 22/160 GiB" in lines[3]
    assert "GiB" not in lines[4]


class Screen:
    """A process on a pseudo-terminal."""

    def __init__(self, program, columns=100):
        self.pid, self.descriptor = pty.fork()
        if self.pid == 0:
            # A new environment: readline puts COLUMNS into this process's behind Python's back.
            environment = {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
            os.execve(sys.executable, [sys.executable, "-c", program], environment)
        self.resize(columns)
        self.seen = b""

    def resize(self, columns):
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)

    def read_until(self, pattern, seconds=20.0):
        deadline = time.monotonic() + seconds
        start = len(self.seen)
        while not re.search(pattern, self.seen[start:]):
            assert time.monotonic() < deadline, self.seen[start:]
            self._read()

    def read_to_end(self):
        while self._read():
            pass
        os.close(self.descriptor)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self):
        ready, _, _ = select.select([self.descriptor], [], [], 0.2)
        if not ready:
            return True
        try:
            data = os.read(self.descriptor, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)


PROGRAM = textwrap.dedent(
    """
    import time
    from rich.console import Console
    from orchestrator.live.open import open_display
    from protocol.messages import Outcome

    display = open_display(Console())
    display.study_opened("demo", 8, 0, "maximize", "psnr")
    display.trial_started(5, {"window": "full"}, 0, ["cpu"])
    done = Outcome(ending="completed", reason="done", attempts=1, value=30.0)
    display.trial_ended(4, done, "complete")
    print("a stray line")
    END
    """
)


def test_lines_scroll_by_above_the_area_and_closing_takes_only_the_area_away():
    screen = Screen(PROGRAM.replace("END", "display.close(); print('after')"))
    assert screen.read_to_end() == 0
    text = screen.seen.decode()
    positions = [text.index(part) for part in ("trial 4 complete", "a stray line", "after")]
    assert positions == sorted(positions)
    last_frame, _, end = text[text.rindex("elapsed") :].partition("after")
    assert last_frame.count("\x1b[2K") >= 3  # its three lines
    assert end.strip() == ""


def test_an_interrupt_from_the_keyboard_leaves_a_usable_terminal():
    screen = Screen(PROGRAM.replace("END", "time.sleep(60)"))
    screen.read_until(rb"a stray line")
    os.write(screen.descriptor, b"\x03")
    assert screen.read_to_end() != 0
    assert b"KeyboardInterrupt" in screen.seen
    assert screen.seen.rindex(SHOW_CURSOR) > screen.seen.rindex(HIDE_CURSOR)


def test_even_a_kill_leaves_the_cursor_visible():
    screen = Screen(PROGRAM.replace("END", "time.sleep(60)"))
    screen.read_until(rb"a stray line")
    os.kill(screen.pid, signal.SIGKILL)
    assert screen.read_to_end() == -signal.SIGKILL
    assert screen.seen.rindex(SHOW_CURSOR) > screen.seen.rindex(HIDE_CURSOR)


def test_the_area_follows_the_width_of_a_resized_window():
    screen = Screen(PROGRAM.replace("END", "time.sleep(60)"))
    screen.read_until(rb"window=full")
    screen.resize(50)
    screen.read_until(rb"starting *\r")
    os.kill(screen.pid, signal.SIGKILL)
    screen.read_to_end()
