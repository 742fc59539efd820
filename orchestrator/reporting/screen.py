"""What every screen shares: a line, a table, a path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is: what it quotes may hold square brackets, which rich would take."""
    console.print(Text(line, style=style), soft_wrap=True)


def plain_table(**options: Any) -> Table:
    """A table without lines, its title row dim; `options` are rich's."""
    usual = {"box": None, "pad_edge": False, "padding": (0, 2, 0, 0), "header_style": "dim"}
    return Table(**{**usual, **options})


def near(path: Path) -> str:
    """`path` as short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
