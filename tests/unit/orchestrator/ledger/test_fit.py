"""Which parameters matter for how long a trial takes, and by how much."""

import random

import pytest

from orchestrator.ledger.fit import Fit


def seen(count, seconds, seed=0):
    luck = random.Random(seed)
    points = [
        {"width": luck.choice([16, 32, 64, 128]), "rate": luck.random(), "kind": luck.choice("ab")}
        for _ in range(count)
    ]
    return [(point, seconds(point), 1.0) for point in points]


def test_a_number_and_a_choice_that_matter_are_told_from_a_number_that_does_not():
    fit = Fit.of(seen(40, lambda p: p["width"] ** 1.5 * (3.0 if p["kind"] == "a" else 1.0)))
    at = {"width": 64, "kind": "a"}
    assert fit.seconds({**at, "rate": 0.5}) == pytest.approx(3 * 64**1.5, rel=0.15)
    assert fit.seconds({**at, "rate": 0.0}) == pytest.approx(fit.seconds({**at, "rate": 1.0}), 0.15)
    assert fit.seconds({**at, "kind": "b"}) < 0.5 * fit.seconds(at)


def test_nothing_is_claimed_beyond_twice_what_was_seen():
    fit = Fit.of(seen(40, lambda p: float(p["width"])))
    assert fit.seconds({"width": 10**6}) == pytest.approx(2 * 128)
    assert fit.seconds({"width": 1}) == pytest.approx(16 / 2)


def test_parameters_that_some_trials_lack_or_that_never_change_do_no_harm():
    trials = [({"a": 1, "b": n} if n % 2 else {"a": 1}, 10.0, 1.0) for n in range(10)]
    assert Fit.of(trials).seconds({"c": None}) == pytest.approx(10.0)
    assert Fit.of([({}, 5.0, 1.0)] * 6).seconds({}) == pytest.approx(5.0)


def test_a_trial_that_came_to_little_counts_for_little():
    trials = [({"w": n % 2}, 100.0, 1.0) for n in range(6)] + [({"w": 0}, 1000.0, 0.01)] * 6
    assert Fit.of(trials).seconds({"w": 0}) == pytest.approx(100.0, rel=0.2)


def test_of_too_few_trials_there_is_none():
    assert Fit.of(seen(4, lambda p: 1.0)) is None
