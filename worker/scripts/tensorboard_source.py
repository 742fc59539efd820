"""Scalars of TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from worker.scripts.sources import Row, Source


class TensorBoard(Source):
    """The scalars of every event file in a folder.

    The steps at which the objective is written are the epochs 1, 2, 3, whatever they are; what is
    written of other metrics meanwhile belongs to the next of them.
    """

    def __init__(self, folder: Path, metric: str) -> None:
        self._folder, self._metric = folder, metric
        self._loaders: dict[Path, Any] = {}
        self._epochs: dict[int, int] = {}  # by step of the objective

    def rows(self) -> Iterator[Row]:
        for path in sorted(self._folder.rglob("*tfevents*")):
            # Of one step the objective comes last.
            for step, _, tag, number in sorted(self._scalars(path)):
                epoch = len(self._epochs) + 1
                if tag == self._metric:
                    epoch = self._epochs.setdefault(step, epoch)
                yield Row(epoch, {tag: number})

    def _scalars(self, path: Path) -> Iterator[tuple[int, bool, str, float]]:
        from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

        if path not in self._loaders:
            self._loaders[path] = EventFileLoader(str(path))
        for event in self._loaders[path].Load():
            for value in event.summary.value:
                number = _scalar(value)
                if number is not None:
                    yield event.step, value.tag == self._metric, value.tag, number

    def size(self) -> int:
        return sum(path.stat().st_size for path in self._folder.rglob("*tfevents*"))


def _scalar(value: Any) -> float | None:
    """The number of a summary, in the older form and in that of today; None of anything else."""
    from tensorboard.util import tensor_util

    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    if kind == "tensor" and not value.tensor.tensor_shape.dim:
        try:
            return float(tensor_util.make_ndarray(value.tensor))
        except (TypeError, ValueError):
            return None  # of text
    return None
