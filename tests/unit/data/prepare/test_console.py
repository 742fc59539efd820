import io

from rich.console import Console

from data.prepare import console
from data.prepare.console import Display


def test_without_a_terminal_there_is_a_plain_line_now_and_then_and_a_last_one(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    out = io.StringIO()
    with Display(Console(file=out)) as display:
        display.say("a [bold] word")
        for done in range(1, 101):
            now[0] += 0.3
            display.step(done, 100)
    lines = out.getvalue().splitlines()
    assert lines[0] == "a [bold] word"
    assert lines[-1] == "100 of 100 images"
    assert 2 <= len(lines[1:]) <= 4


def test_on_a_terminal_there_is_a_bar():
    out = io.StringIO()
    with Display(Console(file=out, force_terminal=True, width=100)) as display:
        display.step(1, 40)
        display.step(40, 40)
    assert "40/40" in out.getvalue()
