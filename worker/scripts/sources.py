"""Where a user's command writes its metrics: tables, lines of JSON, what it prints."""

from __future__ import annotations

import csv
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protocol.files import LineTail
from protocol.script import matching_path

Metrics = dict[str, float]
_COUNTERS = ("epoch", "step")  # no metrics, whichever of them counts


@dataclass(frozen=True)
class Row:
    """A few metrics at once."""

    epoch: float | None  # as the command counts; None where it does not
    metrics: Metrics


class Source(ABC):
    """A place that metrics are written to."""

    @abstractmethod
    def rows(self) -> Iterator[Row]:
        """What came since the last call."""

    def size(self) -> int:
        """How much is there; it grows while the command makes progress."""
        return 0


class Jsonl(Source):
    """A file of JSON objects, each of metrics, or with a mapping `metrics` in it."""

    def __init__(self, path: Path, epoch: str) -> None:
        self._tail, self._epoch = Tail(path), epoch

    def rows(self) -> Iterator[Row]:
        for line in self._tail.new_lines():
            try:
                said = json.loads(line)
            except ValueError:
                continue  # of what else is written there
            if isinstance(said, dict):
                nested = said.get("metrics")
                epoch = {self._epoch: said.get(self._epoch)}
                yield _row({**nested, **epoch} if isinstance(nested, dict) else said, self._epoch)

    def size(self) -> int:
        return self._tail.size()


class Csv(Source):
    """Files with a header, the ones that match a pattern, in the order of their last changes."""

    def __init__(self, pattern: str, epoch: str) -> None:
        self._pattern, self._epoch = pattern, epoch
        self._tails: dict[Path, Tail] = {}
        self._headers: dict[Path, list[str]] = {}
        self._between: dict[Path, str] = {}

    def rows(self) -> Iterator[Row]:
        for path in matching_path(self._pattern):
            tail = self._tails.setdefault(path, Tail(path))
            lines = tail.new_lines()
            if tail.begun_anew:
                self._headers.pop(path, None)
            for cells in self._cells(path, lines):
                header = self._headers.setdefault(path, cells)
                # Loggers write their header again where a column is added.
                if header is not cells and not _is_header(cells, self._epoch):
                    yield _row(dict(zip(header, cells, strict=False)), self._epoch)
                else:
                    self._headers[path] = [name.strip() for name in cells]

    def _cells(self, path: Path, lines: list[str]) -> Iterator[list[str]]:
        """The lines' cells, between commas, semicolons or tabs, whichever the header has."""
        if lines and path not in self._headers:
            lines = [lines[0].removeprefix("\ufeff"), *lines[1:]]
            self._between[path] = max(",;\t", key=lines[0].count)
        return csv.reader(lines, delimiter=self._between.get(path, ","))

    def size(self) -> int:
        return sum(path.stat().st_size for path in matching_path(self._pattern))


class Stdout(Source):
    """What rank 0 prints, from now on, seen through regular expressions."""

    def __init__(self, log: Path, expressions: list[str]) -> None:
        self._tail = Tail(log, at_end=True)
        self._expressions = [re.compile(expression) for expression in expressions]

    def rows(self) -> Iterator[Row]:
        for line in self._tail.new_lines():
            for expression in self._expressions:
                if found := expression.search(line):
                    yield _row(found.groupdict(), "epoch")

    def size(self) -> int:
        return self._tail.size()


class Tail(LineTail):
    """A growing file's new lines, also where it is begun anew meanwhile."""

    def __init__(self, path: Path, *, at_end: bool = False) -> None:
        super().__init__(path)
        self.begun_anew = False
        if at_end:
            self._offset = self.size()

    def size(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def new_lines(self) -> list[str]:
        size = self.size()
        self.begun_anew = size < self._offset
        if self.begun_anew:
            self._offset = 0
        return super().new_lines() if size > self._offset else []


def _is_header(cells: list[str], epoch: str) -> bool:
    return epoch in (cell.strip() for cell in cells)


def _row(said: Mapping[str, Any], epoch: str) -> Row:
    metrics = {
        name: number
        for name, value in said.items()
        if name not in (epoch, *_COUNTERS) and (number := _number(value)) is not None
    }
    return Row(_number(said.get(epoch)), metrics)


def _number(value: Any) -> float | None:
    """A number, however it is written; None of what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
