"""Live progress of a study, on a terminal or as lines in a log."""

from __future__ import annotations

import io

from rich.console import Console

from orchestrator.live.display import Display
from orchestrator.live.plain import PlainDisplay
from orchestrator.live.terminal import TerminalDisplay

__all__ = ["Display", "PlainDisplay", "TerminalDisplay", "make_display"]


def make_display(console: Console) -> Display:
    """A live area where `console` is a terminal that can show one, else plain lines."""
    if isinstance(console.file, io.TextIOWrapper):
        # A parameter's or a path's letters may be foreign to the terminal's encoding.
        console.file.reconfigure(errors="replace")
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalDisplay(console)
    return PlainDisplay(console.file)
