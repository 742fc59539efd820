"""What a user's command reports, wherever it writes it: as metrics of numbered epochs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from protocol.files import read_fresh, write_json
from protocol.folders import TrialFolder
from protocol.script import ScriptPlan
from worker.scripts.sources import Csv, Jsonl, Metrics, Source, Stdout
from worker.scripts.tensorboard_source import TensorBoard


def source_of(plan: ScriptPlan, trial: TrialFolder, metric: str) -> Source:
    """Where a trial's reports of `metric` and others are looked for."""
    report, folder = plan.report, Path(plan.folder)
    if report.csv is not None:
        return Csv(str(folder / report.csv), report.epoch)
    if report.jsonl is not None:
        return Jsonl(folder / report.jsonl, report.epoch)
    if report.tensorboard is not None:
        return TensorBoard(folder / report.tensorboard, metric)
    if report.stdout:
        return Stdout(trial.rank_log(0), report.stdout)
    return Jsonl(trial.reports, "epoch")


_PENDING = 100  # rows that may come between those of one epoch


@dataclass(frozen=True)
class Report:
    """What the command came to in an epoch."""

    epoch: int  # counted from 1
    metrics: Metrics

    @property
    def infinite(self) -> Metrics:
        """Those that are NaN or infinite."""
        return {name: value for name, value in self.metrics.items() if not math.isfinite(value)}


@dataclass
class Reporter:
    """Puts rows together to epochs, each reported once, over all attempts at the trial.

    An epoch is reported when its objective is known. A command that counts from 0 is counted from
    1 here, also after an interruption; what it reports of epochs that were reported before is
    passed over.

    Args:
        source: of the rows.
        metric: the objective.
        state: a file that keeps what the command counts from.
        told: epochs that were reported before this attempt.
        resumed: whether the command goes on from a checkpoint.
    """

    source: Source
    metric: str
    state: Path
    told: set[int]
    resumed: bool
    wanted: frozenset[str] = frozenset()  # the metrics to look at; none: all
    seen: set[str] = field(default_factory=set)  # names of everything that was reported
    fractional: float | None = None  # an epoch that is no whole number, of which there was one
    _pending: dict[float | None, Metrics] = field(default_factory=dict)
    _bad: tuple[float | None, Metrics] | None = None  # the latest row with such a metric
    _shift: int | None = None
    _counted: int = 0

    def __post_init__(self) -> None:
        kept = read_fresh(self.state)
        if kept is not None:
            self._shift = int(json.loads(kept)["shift"])
        if self.resumed:
            self._counted = self._counted_before()

    def _counted_before(self) -> int:
        """Reports that will not come again: none of a file that is read from its beginning."""
        return max(self.told, default=0) if isinstance(self.source, Stdout) else 0

    def new(self) -> Iterator[Report]:
        """The epochs that came to their objective since the last call."""
        for row in self.source.rows():
            self.seen |= row.metrics.keys()
            metrics = self._pending.setdefault(row.epoch, {})
            kept = self.wanted | {self.metric} if self.wanted else row.metrics.keys()
            metrics.update({k: v for k, v in row.metrics.items() if k in kept})
            if any(not math.isfinite(value) for value in metrics.values()):
                self._bad = row.epoch, metrics
            if len(self._pending) > _PENDING:
                del self._pending[next(iter(self._pending))]
            if self.metric in row.metrics:
                epoch = self._epoch(row.epoch)
                if epoch is not None and epoch not in self.told:
                    self.told.add(epoch)
                    yield Report(epoch, dict(metrics))
                del self._pending[row.epoch]

    def diverged(self) -> Report | None:
        """An epoch without its objective as yet, in which another metric is NaN or infinite."""
        if self._bad is None:
            return None
        said, metrics = self._bad
        epoch = self._epoch(said, count=False)
        return None if epoch in self.told else Report(epoch or 1, dict(metrics))

    def _epoch(self, said: float | None, *, count: bool = True) -> int | None:
        if said is None:
            self._counted += count
            return self._counted if count else self._counted + 1
        if said != int(said):
            self.fractional = said
            return None
        if self._shift is None:
            self._shift = int(said < 1)
            write_json(self.state, {"shift": self._shift})
        return int(said) + self._shift
