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

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from protocol.files import replacing, write_text
from protocol.folders import RunFolder, TrialFolder
from protocol.messages import Plan, Validated, read_events

log = logging.getLogger(__name__)

INCHES = (6.4, 6.4)
# Laying it out anew every time would take as long as drawing it.
MARGINS = {"left": 0.14, "right": 0.97, "bottom": 0.08, "top": 0.98, "hspace": 0.06}
DPI = 100
DECADES = 1.5  # between the smallest and the largest value from which an axis is logarithmic


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


def draw_history(folder: RunFolder, validated: Sequence[Validated], objective: str = "") -> None:
    """Draw history.png, whole or not at all; nothing without an epoch.

    Args:
        folder: where it goes.
        validated: the epochs, in order.
        objective: the metric that is drawn; the first one if it is not among the metrics.
    """
    if validated:
        _draw(folder.history_curve, validated, objective)


def draw_histories(folder: TrialFolder, plan: Plan) -> None:
    """Draw the curves of a trial, or of its folds, as far as they were told.

    They are for people alone: where that fails, the log says so.
    """
    told = read_history(folder.events)
    try:
        for fold in range(plan.folds):
            place = folder.fold(fold) if plan.folds > 1 else folder
            own = [event for event in told if event.fold == fold]
            draw_history(place, own, plan.objective.metric)
    except Exception:
        log.exception("history.png could not be drawn")


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


def _draw(path: Path, validated: Sequence[Validated], objective: str) -> None:
    # A Figure without pyplot keeps no global state and needs no display.
    figure = Figure(figsize=INCHES, dpi=DPI)
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw=MARGINS)
    _draw_losses(upper, validated)
    _draw_metric(lower, validated, objective)
    with replacing(path) as stream:
        figure.savefig(stream, format="png")


def _draw_losses(axes: Axes, validated: Sequence[Validated]) -> None:
    """The training loss's terms, and their sum where there are several."""
    epochs = [event.epoch for event in validated]
    names = _names(event.losses for event in validated)
    curves = {name: [event.losses.get(name, math.nan) for event in validated] for name in names}
    if len(names) > 1:
        sums = [sum(event.losses.values()) for event in validated]
        axes.plot(epochs, sums, color="black", marker=".", label="sum")
    for name, values in curves.items():
        axes.plot(epochs, values, marker=".", label=name)
    _scale(axes, [value for values in curves.values() for value in values])
    axes.set_ylabel("training loss")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _draw_metric(axes: Axes, validated: Sequence[Validated], objective: str) -> None:
    """The validated metric, its best epoch marked."""
    name = objective if objective in validated[0].metrics else next(iter(validated[0].metrics))
    epochs = [event.epoch for event in validated]
    values = [event.metrics.get(name, math.nan) for event in validated]
    axes.plot(epochs, values, marker=".", color="tab:green")
    for event in [event for event in validated if event.best][-1:]:
        label = f"best: {event.metrics[name]:.5g} at epoch {event.epoch}"
        axes.plot(event.epoch, event.metrics[name], "o", color="tab:red", label=label)
        axes.legend(fontsize=8)
    _scale(axes, values)
    axes.set_ylabel(f"validation {name}")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)


def _scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where positive values span decades; a curve of one value is linear."""
    finite = [value for value in values if math.isfinite(value)]
    if finite and min(finite) > 0 and math.log10(max(finite) / min(finite)) > DECADES:
        axes.set_yscale("log")
