"""The plots of a study: Optuna's own where it has one, drawn by plotly in the page."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import optuna
import optuna.visualization as drawn
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.reporting.note_text import title_of
from orchestrator.showing.importance import Importance
from orchestrator.showing.look import Look
from orchestrator.showing.thinning import thinned

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

log = logging.getLogger(__name__)

# Trials beyond which a plot is slow to draw or too dense to read.
_HISTORY, _PARALLEL, _SLICE, _CONTOUR, _CURVES = 3000, 1000, 2000, 200, 200
_HEIGHT = 420  # pixels
_CONFIG = {
    "displaylogo": False,
    "responsive": True,
    # Nobody is to send a chart's data away by a slip of the hand.
    "modeBarButtonsToRemove": ["sendChartToCloud", "lasso2d", "select2d"],
}
_COMPLETE = (TrialState.COMPLETE,)


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One plot of a page."""

    name: str  # its id
    title: str
    html: str = ""  # empty where it could not be drawn
    word: str = ""  # what to know of it, or why it is not there


def history(look: Look) -> Plot:
    """Every trial's value, and the best so far."""
    shown, word = thinned(_among(look, _COMPLETE), look.record, _HISTORY)

    def draw(study: optuna.Study) -> Figure:
        figure = drawn.plot_optimization_history(study, target_name=look.metric)
        return _without(figure, shown) if word else figure

    title = "Values of the trials, in the order in which they were asked for"
    # Optuna's plot takes a trial's number for its place among all.
    plot = _plot(look, "history", title, draw, among=look.trials if shown else [])
    return replace(plot, word=plot.word or word)


def parallel(look: Look) -> Plot:
    """Every complete trial as a line through its keys' values."""
    return _plot(
        look,
        "parallel",
        "Parallel coordinates of the complete trials",
        lambda study: drawn.plot_parallel_coordinate(study, target_name=look.metric),
        _PARALLEL,
        states=_COMPLETE,
    )


def curves(look: Look) -> Plot:
    """The objective over epochs of all trials."""
    reported = [trial for trial in look.trials if trial.intermediate_values]
    return _plot(
        look,
        "curves",
        f"{look.metric} over epochs, of all trials",
        lambda study: _named(drawn.plot_intermediate_values(study), "epoch", look.metric),
        _CURVES,
        among=reported,
    )


def slices(look: Look, keys: Sequence[str]) -> Plot:
    """The value over each of some keys."""
    if not keys:
        return Plot(name="slices", title="Values over keys", word="No key varies.")
    return _plot(
        look,
        "slices",
        f"{look.metric} over {' and '.join(keys)}",
        lambda study: drawn.plot_slice(study, list(keys), target_name=look.metric),
        _SLICE,
        states=_COMPLETE,
    )


def contour(look: Look, keys: Sequence[str]) -> Plot:
    """The value over two keys."""
    title = f"{look.metric} over two keys"
    if len(keys) < 2:
        return Plot(name="contour", title=title, word="It takes two keys that vary.")
    return _plot(
        look,
        "contour",
        f"{look.metric} over {' × '.join(keys)}, interpolated between the trials (dots)",
        lambda study: drawn.plot_contour(study, list(keys), target_name=look.metric),
        _CONTOUR,
        states=_COMPLETE,
    )


def endings(look: Look) -> Plot:
    """How many trials ended in which way."""
    counted = Counter(
        title_of(trial.ending) or trial.state.capitalize() for trial in look.record.trials
    )
    names = [name for name, _ in counted.most_common()][::-1]

    def draw(_: optuna.Study) -> Figure:
        bars = go.Bar(
            x=[counted[name] for name in names],
            y=names,
            orientation="h",
            text=[counted[name] for name in names],
            marker={"color": "#3b6ea5"},
        )
        figure = go.Figure(bars, {"height": 120 + 34 * len(names)})
        figure.update_xaxes(title="trials")
        figure.update_yaxes(automargin=True)
        return figure

    return _plot(look, "endings", "How the trials ended", draw, among=look.trials)


def importances(look: Look, found: Importance | None) -> Plot:
    """The keys' shares, with how much they vary from resample to resample."""
    name, title = "importance", "Which keys mattered"
    if found is None:
        return Plot(
            name=name,
            title=title,
            word="It takes two complete trials with different values to say anything of this.",
        )
    keys = list(found.shares)[::-1]
    shares = [found.shares[key] for key in keys]
    over = [max(0.0, found.highs[key] - found.shares[key]) for key in keys]
    under = [max(0.0, found.shares[key] - found.lows[key]) for key in keys]

    def draw(_: optuna.Study) -> Figure:
        bars = go.Bar(
            x=shares,
            y=keys,
            orientation="h",
            error_x={"type": "data", "array": over, "arrayminus": under, "color": "#444"},
            marker={"color": "#3b6ea5"},
        )
        figure = go.Figure(bars, {"height": 120 + 34 * len(keys)})
        figure.update_xaxes(title="share", range=[0, 1.02])
        figure.update_yaxes(automargin=True)
        return figure

    plot = _plot(look, name, title, draw, among=look.trials)
    return replace(plot, word=plot.word or found.word)


def bests_over_epochs(looks: Sequence[Look]) -> Plot:
    """The curves of several studies' best trials over one axis."""
    figure = go.Figure()
    for look in looks:
        trial = next((t for t in look.trials if look.best and t.number == look.best.number), None)
        if trial is not None:
            steps = sorted(trial.intermediate_values)
            values = [trial.intermediate_values[step] for step in steps]
            label = f"{look.name}, trial {trial.number}"
            figure.add_scatter(x=steps, y=values, mode="lines+markers", name=label)
    metric = looks[0].metric
    _named(figure, "epoch", metric)
    return Plot(
        name="bests", title=f"{metric} over epochs, of the best trials", html=_html(figure, "bests")
    )


def histories(looks: Sequence[Look]) -> Plot:
    """The best value so far of several studies over one axis."""
    said, kept = [], []
    for look in looks:
        chosen, word = thinned(_among(look, _COMPLETE), look.record, _HISTORY // len(looks))
        kept += chosen
        said += [f"{look.name}: {word}"] if word else []
    studies = [look.study_of(look.trials) for look in looks]
    figure = drawn.plot_optimization_history(studies, target_name=looks[0].metric)
    figure = _without(figure, kept) if said else figure
    return Plot(
        name="histories",
        title="Values of the trials, and the best so far",
        html=_html(figure, "histories"),
        word=" ".join(said),
    )


def _among(look: Look, states: Sequence[TrialState]) -> list[FrozenTrial]:
    return [trial for trial in look.trials if trial.state in states]


def _plot(
    look: Look,
    name: str,
    title: str,
    draw: Callable[[optuna.Study], Figure],
    most: int = 0,
    *,
    states: Sequence[TrialState] = (),
    among: Sequence[FrozenTrial] | None = None,
) -> Plot:
    """A plot of the trials in some states, or of those given; at most so many."""
    trials = _among(look, states) if among is None else among
    if not trials:
        kind = "complete" if states else "reported"
        return Plot(name=name, title=title, word=f"No trial is {kind} yet.")
    shown, word = thinned(trials, look.record, most) if most else (list(trials), "")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            figure = draw(look.study_of(shown))
    except Exception as error:  # a library's defect must not take the report along
        log.exception("the plot %s could not be drawn", name)
        return Plot(name=name, title=title, word=f"This plot could not be drawn: {error}")
    return Plot(name=name, title=title, html=_html(figure, name), word=word)


def _without(figure: Figure, shown: Sequence[FrozenTrial]) -> Figure:
    """The points of trials that are shown."""
    numbers = {trial.number for trial in shown}
    for trace in figure.data:
        kept = [place for place, number in enumerate(trace.x) if number in numbers]
        trace.x, trace.y = ([values[place] for place in kept] for values in (trace.x, trace.y))
    return figure


def _named(figure: Figure, across: str, up: str) -> Figure:
    figure.update_xaxes(title=across)
    figure.update_yaxes(title=up)
    return figure


def _html(figure: Figure, name: str) -> str:
    """The plot as an element and the script that draws it; the library is in the page once."""
    figure.update_layout(
        title=None,
        template="plotly_white",
        height=figure.layout.height or _HEIGHT,
        autosize=True,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        font={"size": 12},
    )
    html: str = figure.to_html(
        full_html=False, include_plotlyjs=False, div_id=f"plot-{name}", config=_CONFIG
    )
    return html
