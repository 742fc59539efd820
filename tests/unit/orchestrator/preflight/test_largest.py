"""Looking for the largest corner, with sizes that are computed rather than measured."""

import pytest

from orchestrator.preflight.largest import INFINITE, climb
from orchestrator.settings.schema import Choices, Range
from orchestrator.settings.space import Space, highest


def space(fixed=None, **specs):
    search = {
        key: Choices(**spec) if "choices" in spec else Range(**spec) for key, spec in specs.items()
    }
    return Space.of(search, fixed or {}, {})


SPACE = space(
    learning_rate={"low": 1e-5, "high": 1e-2, "log": True},
    batch_size={"choices": [8, 2, 16]},
    encoder={"choices": ["small", "large", "medium"]},
    width={"low": 8, "high": 67, "step": 8, "when": {"encoder": ["large", "medium"]}},
    checkpointing={"choices": [True, False]},
)
WEIGHT = {"small": 1, "medium": 2, "large": 4}


def size(point):
    saved = 1 if point["checkpointing"] else 3
    return point["batch_size"] * WEIGHT[point["encoder"]] * point.get("width", 1) * saved


class Counted:
    def __init__(self, measure):
        self.measure, self.points = measure, []

    def __call__(self, point):
        self.points.append(point)
        return self.measure(point)


def test_the_largest_point_is_found_key_by_key_and_conditions_hold():
    measure = Counted(size)
    found = climb(SPACE, measure, lambda _: True)
    assert found.point == {
        "learning_rate": 1e-2,
        "batch_size": 16,
        "encoder": "large",
        "width": 64,
        "checkpointing": False,
    }
    assert found.size == 16 * 4 * 64 * 3
    assert found.tried == len(measure.points) == 6  # 1, two encoders, False, two lower ends
    assert found.untried == []
    assert all(("width" in p) == (p["encoder"] != "small") for p in measure.points)


def test_keys_that_cost_no_memory_are_not_tried():
    measure = Counted(size)
    climb(SPACE, measure, lambda _: True)
    assert {point["learning_rate"] for point in measure.points} == {1e-2}


def test_a_number_that_costs_more_the_lower_it_is_is_found_out():
    found = climb(space(stride={"low": 1, "high": 4}), lambda p: 1 / p["stride"], lambda _: True)
    assert found.point == {"stride": 1}


def test_the_search_ends_where_a_point_does_not_fit():
    measure = Counted(lambda p: INFINITE if p["encoder"] == "large" else size(p))
    found = climb(SPACE, measure, lambda _: True)
    assert (found.size, found.point["encoder"]) == (INFINITE, "large")
    assert len(measure.points) == 2


def test_points_that_cannot_be_measured_are_passed_over():
    found = climb(SPACE, lambda p: -1.0 if p["encoder"] == "small" else size(p), lambda _: True)
    assert found.point["encoder"] == "large"


def test_when_no_more_may_be_tried_the_keys_that_remain_are_named():
    found = climb(SPACE, Counted(size), lambda tried: tried < 3)
    assert found.tried == 3
    assert found.untried == ["batch_size", "checkpointing", "width"]


def test_small_differences_are_no_reason_to_leave_the_upper_end():
    found = climb(space(w={"low": 0.0, "high": 1.0}), lambda p: 100 - p["w"], lambda _: True)
    assert found.point == {"w": 1.0}


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (Range(low=1, high=10, step=4), 9),
        (Range(low=0.1, high=1.0), 1.0),
        (Choices(choices=[None, 2, 8, 4]), 8),
        (Choices(choices=["b", "a"]), "b"),
        (Choices(choices=[False, True]), False),
    ],
)
def test_the_upper_end_is_a_value_that_the_search_can_reach(spec, value):
    assert highest(spec) == value


def test_a_fixed_key_decides_conditions_too():
    width = {"low": 1, "high": 2, "when": {"encoder": "large"}}
    assert space({"encoder": "small"}, width=width).at({"width": 2}) == {}
    assert space({"encoder": "large"}, width=width).at({"width": 2}) == {"width": 2}
