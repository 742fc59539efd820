import math

import numpy as np
import pytest

from worker.training.chart import MARK, Curve, Plot, Scale, draw_chart

RED, GREEN = "#ff0000", "#00ff00"


def drawn(*plots, epochs):
    return np.asarray(draw_chart(epochs, plots)).astype(int)


def plot(values, colour=GREEN, **more):
    return Plot(title="error", curves=[Curve(label="", colour=colour, values=values)], **more)


def places(image, colour):
    """The rows and columns of a colour."""
    wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return np.argwhere((abs(image - wanted) < 8).all(axis=2))


def test_a_curve_that_falls_ends_lower_and_further_right_than_it_begins():
    found = places(drawn(plot([3.0, 2.0, 1.0]), epochs=[1, 2, 3]), GREEN)
    first, last = found[found[:, 1].argmin()], found[found[:, 1].argmax()]
    assert last[0] > first[0] + 300
    assert last[1] > first[1] + 300


def test_plots_stand_one_above_the_other_over_the_same_epochs():
    image = drawn(plot([1.0, 2.0]), plot([5.0, 9.0], RED), epochs=[1, 2])
    above, below = places(image, GREEN), places(image, RED)
    assert above[:, 0].max() < below[:, 0].min()
    assert above[:, 1].min() == below[:, 1].min()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e308])
def test_what_has_no_place_is_a_gap(value):
    whole = places(drawn(plot([1.0] * 5), epochs=range(5)), GREEN)
    image = drawn(plot([1.0, 1.0, value, 1.0, 1.0]), epochs=range(5))
    columns = np.unique(places(image, GREEN)[:, 1])
    middle = int(whole[:, 1].mean())
    assert not ((columns > middle - 50) & (columns < middle + 50)).any()
    assert (columns.min(), columns.max()) == (whole[:, 1].min(), whole[:, 1].max())


def test_a_marked_value_is_highlighted_where_it_stands():
    image = drawn(plot([3.0, 1.0, 2.0], marked=(1, "best")), epochs=[1, 2, 3])
    found = places(image, MARK)
    dots = found[found[:, 0] > 60]  # below the heading
    assert dots[:, 0].mean() > 400
    assert dots[:, 1].mean() == pytest.approx(332, abs=3)


def test_values_over_decades_have_a_logarithmic_axis_and_others_a_linear_one():
    far = Scale.of([1.0, 10.0, 100.0])
    assert far.place([10.0])[0] == pytest.approx(0.5)
    near = Scale.of([1.0, 10.0, 20.0])
    assert near.place([10.5])[0] == pytest.approx(0.5)
    assert math.isnan(far.place([-1.0])[0])


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([30.0, 31.5], ["30", "30.25", "30.5", "30.75", "31", "31.25", "31.5"]),
        ([1e-4, 1.0], ["0.0001", "0.001", "0.01", "0.1", "1"]),
        ([1.0, 50.0], ["1", "2", "5", "10", "20", "50"]),
        ([10.0, 1e9], ["100", "1e+04", "1e+06", "1e+08"]),
        ([30.00001, 30.00003], ["30.00001", "30.000015", "30.00002", "30.000025", "30.00003"]),
        ([], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
    ],
)
def test_ticks_are_round_and_told_apart(values, labels):
    assert [label for _, label in Scale.of(values).ticks()] == labels


@pytest.mark.parametrize("value", [0.0, -3.0, 1e-9, 1e299, -1e299])
def test_a_single_value_has_an_axis_round_it(value):
    scale = Scale.of([value])
    assert scale.place([value])[0] == pytest.approx(0.5)
    assert scale.ticks()


def test_epochs_have_whole_ticks_alone():
    for count in (1, 2, 7, 40, 1200):
        scale = Scale.of([float(epoch) for epoch in range(1, count + 1)], whole=True)
        labels = [float(label) for _, label in scale.ticks()]
        assert labels
        assert all(label.is_integer() for label in labels)
        assert len(set(labels)) == len(labels)
