"""The one place that chooses how progress is shown."""

from __future__ import annotations

import io

from rich.console import Console

from orchestrator.live.display import Display
from orchestrator.live.plain import PlainDisplay
from orchestrator.live.terminal import TerminalDisplay


def open_display(console: Console) -> Display:
    """A live area where `console` is a terminal that can show one, else plain lines."""
    if isinstance(console.file, io.TextIOWrapper):
        # A parameter's or a path's letters may be foreign to the terminal's encoding.
        console.file.reconfigure(errors="replace")
    if console.is_terminal and not console.is_dumb_terminal:
        return TerminalDisplay(console)
    return PlainDisplay(console.file)
