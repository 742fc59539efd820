"""A training's history for people: a table for a spreadsheet, and its curves.

Each writing makes it anew from all the training's events, so that it is whole after any kill.
"""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL.Image import Image

from protocol.errors import is_full
from protocol.files import write_text
from protocol.folders import RunFolder
from protocol.messages import Plan, Validated, read_events
from worker.training.chart import Curve, Plot, draw_chart
from worker.training.raster import write_png

log = logging.getLogger(__name__)

# Of the loss's terms, told apart by those who see no red or no green as well.
COLOURS = ["#1f77b4", "#ff7f0e", "#9467bd", "#17becf", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22"]
METRIC = "#2ca02c"


def read_history(events: Path) -> list[Validated]:
    """Every validated epoch of an events file once, in order; an epoch told twice counts once."""
    epochs: dict[int, Validated] = {}
    for event in read_events(events):
        if isinstance(event, Validated):
            epochs.setdefault(event.epoch, event)
    return [epochs[epoch] for epoch in sorted(epochs)]


def write_history(folder: RunFolder, validated: Sequence[Validated]) -> None:
    """Write history.csv, whole or not at all, of epochs in order; nothing without one."""
    if validated:
        write_text(folder.history, _table(validated))


def draw_history(
    folder: RunFolder, validated: Sequence[Validated], objective: str = "", name: str = ""
) -> None:
    """Draw history.png, whole or not at all; nothing without an epoch.

    It is for people alone: where it cannot be drawn, the log says so.

    Args:
        folder: where it goes.
        validated: the epochs, in order.
        objective: the metric that is drawn; the first one if it is not among the metrics.
        name: what they are the curves of.

    Raises:
        OSError: the disk is full, of which a trial that goes on later must not lose its curves.
    """
    if not validated:
        return
    try:
        write_png(history_chart(validated, objective, name), folder.history_curve)
    except Exception as error:
        if is_full(error):
            raise
        log.exception("history.png could not be drawn")


def history_name(plan: Plan, fold: int) -> str:
    """What a trial's curves are of."""
    of_fold = f", fold {fold}" if plan.folds > 1 else ""
    return f"{plan.study}, trial {plan.trial}{of_fold}"


def _table(validated: Sequence[Validated]) -> str:
    """A row for each epoch: its training losses as `loss_…`, then its metrics."""
    losses = _names(event.losses for event in validated)
    metrics = _names(event.metrics for event in validated)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["epoch", "step", *(f"loss_{name}" for name in losses), *metrics]
    writer.writerow([*head, "learning_rate", "seconds", "best"])
    for event in validated:
        values = [event.losses.get(name, "") for name in losses]
        values += [event.metrics.get(name, "") for name in metrics]
        last = [event.learning_rate, round(event.seconds, 3), int(event.best)]
        writer.writerow([event.epoch, event.step, *values, *last])
    return text.getvalue()


def _names(mappings: Iterable[dict[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def history_chart(validated: Sequence[Validated], objective: str, name: str = "") -> Image:
    """The training loss's terms, with their sum where there are several, above the metric."""
    names = _names(event.losses for event in validated)
    of = f"{name}: " if name else ""
    terms = [
        Curve(
            label=name,
            colour=COLOURS[number % len(COLOURS)],
            values=[event.losses.get(name, math.nan) for event in validated],
        )
        for number, name in enumerate(names)
    ]
    sums = [sum(event.losses.values()) for event in validated]
    sum_of_them = [Curve(label="sum", colour="black", values=sums)] if len(terms) > 1 else []
    metric = objective if objective in validated[0].metrics else next(iter(validated[0].metrics))
    values = [event.metrics.get(metric, math.nan) for event in validated]
    best = [index for index, event in enumerate(validated) if event.best][-1:]
    marked = [(i, f"best: {values[i]:.5g} at epoch {validated[i].epoch}") for i in best]
    return draw_chart(
        [event.epoch for event in validated],
        [
            Plot(title=f"{of}training loss", curves=[*sum_of_them, *terms]),
            Plot(
                title=f"validation {metric}",
                curves=[Curve(label="", colour=METRIC, values=values)],
                marked=marked[0] if marked else None,
            ),
        ],
    )
