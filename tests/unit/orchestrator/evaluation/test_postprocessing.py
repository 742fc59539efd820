import pytest

from orchestrator.evaluation.postprocessing import BATCH, search_postprocessing

SPACE = {
    "erosion": {"low": 0, "high": 6},
    "rule": {"choices": ["dice", "percentile"]},
    "percentile": {"low": 90.0, "high": 99.9, "when": {"rule": "percentile"}},
}
DEFAULTS = {"erosion": 3, "rule": "dice"}


class Scorer:
    """The best is a percentile near 96 with an erosion of 5."""

    def __init__(self):
        self.batches = []

    def __call__(self, points):
        self.batches.append(list(points))
        return [{"value": self.value(point), "thresholds": [0.1]} for point in points]

    def value(self, point):
        return -abs(point["erosion"] - 5) - abs(point.get("percentile", 80.0) - 96.0)


@pytest.fixture
def scorer():
    return Scorer()


def search(scorer, trials=60, seed=1, **changes):
    return search_postprocessing(SPACE, DEFAULTS, scorer, trials=trials, seed=seed, **changes)


def test_the_search_betters_the_defaults_which_it_tries_first(scorer):
    tuned = search(scorer)
    assert scorer.batches[0][0] == DEFAULTS
    assert tuned.default_value == scorer.value(DEFAULTS) == -18.0
    assert tuned.value > -3
    assert tuned.value == scorer.value(tuned.parameters)
    assert tuned.value == max(row["value"] for row in tuned.trials)


def test_of_equals_the_earliest_is_kept_so_that_defaults_stay_unless_something_is_better(scorer):
    scorer.value = lambda point: 0.5
    assert search(scorer, trials=20).parameters == DEFAULTS


def test_a_condition_of_the_space_holds(scorer):
    for row in search(scorer).trials:
        assert ("percentile" in row) == (row["rule"] == "percentile")


@pytest.mark.parametrize("trials", [1, BATCH, BATCH + 3])
def test_exactly_so_many_points_are_tried_in_batches(scorer, trials):
    told = []
    tuned = search(scorer, trials=trials, told=lambda done, best: told.append((done, best)))
    assert sum(map(len, scorer.batches)) == len(tuned.trials) == trials
    assert max(map(len, scorer.batches)) <= BATCH
    assert told[-1] == (trials, tuned.value)
    assert [row["trial"] for row in tuned.trials] == list(range(trials))


def test_the_same_seed_tries_the_same_points_and_another_one_others(scorer):
    first, again, other = (search(scorer, trials=20, seed=seed).trials for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert len({row["erosion"] for row in first}) > 3
