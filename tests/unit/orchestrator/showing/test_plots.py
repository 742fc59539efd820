import base64
import json

import numpy as np
import pytest

from orchestrator.showing import plots
from orchestrator.showing.importance import importance
from orchestrator.showing.look import look
from tests.made_study import MadeStudy


def figure(plot):
    """The traces that the page's script draws."""
    start = plot.html.index("[", plot.html.index(f'"plot-{plot.name}",'))
    return json.JSONDecoder().raw_decode(plot.html, start)[0]


def numbers(values):
    """Of a list, or of an array as plotly packs it."""
    if isinstance(values, dict):
        found = np.frombuffer(base64.b64decode(values["bdata"]), f"<{values['dtype']}")
        return found.tolist()
    return values


def test_the_history_has_the_values_of_the_complete_trials_under_their_numbers(seen):
    points, best, *_ = figure(plots.history(seen))
    assert numbers(points["x"]) == [0, 1, 2, 3]
    assert numbers(points["y"]) == [24.0, 23.5, 31.25, 22.0]
    assert numbers(best["y"])[:4] == [24.0, 24.0, 31.25, 31.25]


def test_a_thinned_history_keeps_numbers_values_and_the_best(seen, monkeypatch):
    monkeypatch.setattr(plots, "_HISTORY", 3)
    plot = plots.history(seen)
    points, best, *_ = figure(plot)
    found = dict(zip(numbers(points["x"]), numbers(points["y"]), strict=True))
    assert found.items() <= {0: 24.0, 1: 23.5, 2: 31.25, 3: 22.0}.items()
    assert {0, 2} <= found.keys()
    assert len(found) == 3
    assert numbers(best["y"])[-1] == 31.25
    assert plot.word.startswith("3 of 4 trials are drawn")


def test_curves_are_what_trials_reported(seen):
    traces = figure(plots.curves(seen))
    found = {tuple(numbers(trace["y"])) for trace in traces}
    assert found == {tuple(t.intermediate_values.values()) for t in seen.trials}


def test_endings_are_counted_by_kind(seen):
    (bars,) = figure(plots.endings(seen))
    counted = dict(zip(bars["y"], numbers(bars["x"]), strict=True))
    assert counted == {"Complete": 4, "Pruned": 1, "Pruned: NaN or infinity": 1}


def test_importances_carry_their_word_and_their_spread(seen):
    found = importance(seen)
    plot = plots.importances(seen, found)
    (bars,) = figure(plot)
    assert dict(zip(bars["y"], numbers(bars["x"]), strict=True)) == pytest.approx(found.shares)
    assert plot.word == found.word
    assert "two complete trials" in plots.importances(seen, None).word


def test_where_there_is_nothing_to_draw_a_word_says_so(tmp_path):
    study = look(MadeStudy(tmp_path).folder)
    drawn = [plots.history(study), plots.curves(study), plots.endings(study), plots.parallel(study)]
    drawn += [plots.slices(study, []), plots.contour(study, ["a"])]
    assert [plot.html for plot in drawn] == [""] * 6
    assert all(plot.word for plot in drawn)


def test_a_plot_that_fails_takes_no_other_along(seen, monkeypatch, caplog):
    monkeypatch.setattr(plots.drawn, "plot_contour", lambda *_, **__: 1 / 0)
    plot = plots.contour(seen, ["learning_rate", "harmonics"])
    assert plot.word == "This plot could not be drawn: division by zero"
    assert "ZeroDivisionError" in caplog.text


def test_nothing_in_a_plot_can_send_data_anywhere(seen):
    html = plots.history(seen).html
    assert "sendChartToCloud" in html[html.index("modeBarButtonsToRemove") :]


def test_several_studies_share_an_axis(seen):
    first, second = figure(plots.bests_over_epochs([seen, seen]))
    assert numbers(first["y"]) == list(seen.trials[2].intermediate_values.values())
    assert first["y"] == second["y"]
    drawn = [
        trace
        for trace in figure(plots.histories([seen, seen]))
        if trace["name"] != "Infeasible Trial"
    ]
    assert [numbers(trace["y"])[-1] for trace in drawn] == [22.0, 31.25, 22.0, 31.25]
