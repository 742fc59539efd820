"""The trials of a study as lines, none wider than the screen.

Where they fit, the searched keys are columns; else each trial has a second line with its
parameters, which are whole in either case. Of a long reason there is the beginning, and all of it
below.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from orchestrator import words

_GAP = "  "
_SHORTEST_REASON = 16  # columns, below which the keys are no columns
_INDENT = "    "
_COLOURS = {"complete": "green", "pruned": "yellow", "failed": "red", "running": "cyan"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One trial, in words."""

    trial: str
    epoch: str
    value: str
    took: str
    state: str
    why: str  # short
    reason: str  # whole; empty where `why` says it all
    params: Mapping[str, str]


def table_lines(rows: Sequence[Row], metric: str, width: int) -> Iterator[Text]:
    """The table, its title line first, and the reasons that are longer than their place."""
    keys = list(dict.fromkeys(key for row in rows for key in row.params))
    columns = [_Column("trial", [row.trial for row in rows])]
    columns += [_Column("epoch", [row.epoch for row in rows])]
    columns += [_Column(metric, [row.value for row in rows])]
    columns += [_Column("took", [row.took for row in rows])]
    state = [_Column("state", [row.state for row in rows], left=True)]
    of_keys = [_Column(key, [row.params.get(key, "") for row in rows]) for key in keys]
    longest = max(map(cell_len, (row.why for row in rows)), default=0)
    wide = _width([*columns, *of_keys, *state]) + min(longest, _SHORTEST_REASON) <= width
    columns += [*of_keys, *state] if wide else state
    left = width - _width(columns)
    yield from _titles(columns)
    for index, row in enumerate(rows):
        why = row.why if cell_len(row.why) <= left else f"{_cut(row.why, left - 1)}…"
        cells = _GAP.join(column.cell(index) for column in columns)
        yield Text(f"{cells}{_GAP}{why}".rstrip(), style=_COLOURS.get(row.state, ""))
        if not wide:
            yield from _pairs(row.params, width)
    yield from _reasons(rows, left)


class _Column:
    def __init__(self, title: str, cells: Sequence[str], *, left: bool = False) -> None:
        self.titles = _folded(title, max(map(cell_len, cells), default=0))
        self._cells, self._left = cells, left
        self.width = max(map(cell_len, [*cells, *self.titles]))

    def cell(self, index: int) -> str:
        return self._placed(self._cells[index])

    def title(self, line: int, lines: int) -> str:
        """One of the title's lines, which stand at the bottom."""
        above = lines - len(self.titles)
        return self._placed("" if line < above else self.titles[line - above])

    def _placed(self, text: str) -> str:
        space = " " * (self.width - cell_len(text))
        return text + space if self._left else space + text


def _folded(title: str, width: int) -> list[str]:
    """A title that is wider than its column in pieces, cut behind underscores."""
    pieces: list[str] = [""]
    for word in title.replace("_", "_ ").split():
        if pieces[-1] and cell_len(pieces[-1] + word) > width:
            pieces.append("")
        pieces[-1] += word
    return pieces


def _width(columns: Sequence[_Column]) -> int:
    """Of the columns and the gap behind each."""
    return sum(column.width + len(_GAP) for column in columns)


def _titles(columns: Sequence[_Column]) -> Iterator[Text]:
    lines = max(len(column.titles) for column in columns)
    for line in range(lines):
        titles = [column.title(line, lines) for column in columns]
        yield Text(_GAP.join(titles).rstrip(), style="dim")


def _pairs(params: Mapping[str, str], width: int) -> Iterator[Text]:
    """Every parameter, in as many lines as it takes."""
    line = ""
    for key, value in params.items():
        pair = f"{key}={value}"
        if line and cell_len(_INDENT + line + " " + pair) > width:
            yield Text(_INDENT + line)
            line = ""
        line = f"{line} {pair}" if line else pair
    if line:
        yield Text(_INDENT + line)


def _reasons(rows: Sequence[Row], left: int) -> Iterator[Text]:
    """The whole of the reasons that were cut, each once with all trials that ended by it."""
    trials: dict[str, list[str]] = {}
    for row in rows:
        if row.reason and (row.reason != row.why or cell_len(row.why) > left):
            trials.setdefault(row.reason, []).append(row.trial)
    if trials:
        yield Text()
    for reason, numbers in trials.items():
        noun = "trial" if len(numbers) == 1 else "trials"
        yield Text(f"{noun} {', '.join(numbers)}: {reason}")


def _cut(text: str, width: int) -> str:
    return set_cell_size(text, max(0, width)).rstrip()


def shown_params(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters as they stand in a table."""
    return {key: words.setting(value) for key, value in params.items()}
