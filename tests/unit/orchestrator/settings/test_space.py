import optuna
import pytest

from orchestrator.settings.schema import Choices, Range
from orchestrator.settings.space import (
    Space,
    active,
    candidates,
    check_point,
    distribution,
    grid,
    ordered,
)
from protocol.errors import SettingsError
from tests.searches import make_settings

WINDOW = Choices(choices=["full", "fourier"])
HARMONICS = Range(low=10, high=40, step=10, when={"window": "fourier"})
RATE = Range(low=1e-4, high=1e-2, log=True)


# ------------------------------------------------------------------------------- order


def test_keys_come_after_those_that_their_conditions_name():
    search = {
        "phase": Range(low=0.0, high=1.0, when={"harmonics": [10, 20]}),
        "harmonics": HARMONICS,
        "rate": RATE,
        "window": WINDOW,
    }
    assert ordered(search, {}) == ["rate", "window", "harmonics", "phase"]


def test_keys_without_conditions_stay_in_their_order():
    search = dict.fromkeys(("c", "a", "b"), RATE)
    assert ordered(search, {}) == ["c", "a", "b"]


def test_a_condition_may_name_a_fixed_key():
    assert ordered({"harmonics": HARMONICS}, {"window": "fourier"}) == ["harmonics"]


def test_a_condition_on_an_unknown_key_is_refused_with_the_nearest():
    search = {"harmonics": HARMONICS, "windows": WINDOW}
    with pytest.raises(SettingsError) as caught:
        ordered(search, {"epochs": 3})
    expected = "search.harmonics.when: there is no key 'window'; did you mean 'windows'?"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    "search",
    [
        {"a": Choices(choices=[1], when={"a": 1})},
        {"a": Choices(choices=[1], when={"b": 1}), "b": Choices(choices=[1], when={"a": 1})},
    ],
)
def test_conditions_in_a_circle_are_refused_by_name(search):
    with pytest.raises(SettingsError, match=f"the conditions of {', '.join(search)} form a circle"):
        ordered({**search, "free": RATE}, {})


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({}, True),
        ({"window": "full"}, True),
        ({"window": "fourier"}, False),
        ({"window": ["fourier", "full"]}, True),
        ({"window": "full", "epochs": 4}, False),
        ({"missing": None}, True),
        ({"missing": 3}, False),
    ],
)
def test_a_condition_holds_when_all_its_keys_have_one_of_their_values(when, holds):
    values = {"window": "full", "epochs": 3}
    assert active(Choices(choices=[1, 2], when=when), values) is holds


# ------------------------------------------------------------------------------- suggesting


@pytest.fixture
def trial():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    return study.ask()


def suggest(trial, search, fixed, defaults):
    space = Space.of(search, fixed, defaults)
    return space.recipe(space.suggest(trial)).given


def fixed_trial(**values):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    study.enqueue_trial(values)
    return study.ask()


def test_a_conditional_key_is_suggested_only_while_its_condition_holds():
    search = {"harmonics": HARMONICS, "window": WINDOW}
    trial = fixed_trial(window="full")
    assert suggest(trial, search, {"epochs": 3}, {}) == {"epochs": 3, "window": "full"}
    assert list(trial.params) == ["window"]
    trial = fixed_trial(window="fourier", harmonics=20)
    assert suggest(trial, search, {}, {}) == {"window": "fourier", "harmonics": 20}


@pytest.mark.parametrize(("window", "asked"), [("fourier", True), ("full", False)])
def test_conditions_see_fixed_values_before_defaults(trial, window, asked):
    search = {"harmonics": HARMONICS}
    recipe = suggest(trial, search, {"window": window}, {"window": "neither"})
    assert ("harmonics" in recipe) is asked


@pytest.mark.parametrize(("window", "asked"), [("fourier", True), ("full", False)])
def test_conditions_see_the_defaults_of_keys_that_nobody_gave(trial, window, asked):
    recipe = suggest(trial, {"harmonics": HARMONICS}, {}, {"window": window})
    assert ("harmonics" in recipe) is asked
    assert "window" not in recipe, "a default is the family's business"


def test_a_key_whose_condition_does_not_hold_keeps_its_fixed_value():
    search = {"window": WINDOW, "harmonics": HARMONICS}
    recipe = suggest(fixed_trial(window="full"), search, {"harmonics": 30}, {})
    assert recipe == {"harmonics": 30, "window": "full"}


def test_values_have_the_types_that_the_file_asked_for(trial):
    search = {
        "epochs": Range(low=2, high=9),
        "rate": RATE,
        "step": Range(low=0, high=1, step=0.25),
        "pair": Choices(choices=[None, 1.5]),
    }
    recipe = suggest(trial, search, {}, {})
    assert type(recipe["epochs"]) is int
    assert type(recipe["rate"]) is float
    assert recipe["step"] in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert recipe["pair"] in (None, 1.5)


@pytest.mark.parametrize(
    ("spec", "highest"),
    [
        (Range(low=10, high=95, step=10), 90),
        (Range(low=0.0, high=1.0, step=0.3), 0.9),
        (Range(low=0.1, high=0.7, step=0.2), 0.7),
        (Range(low=1, high=8), 8),
        (RATE, 1e-2),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_range_ends_where_its_steps_do(spec, highest):
    assert distribution(spec).high == highest


# ------------------------------------------------------------------------------- grid


def test_a_grid_holds_every_value_of_every_key():
    search = {
        "window": WINDOW,
        "epochs": Range(low=2, high=5),
        "harmonics": Range(low=10, high=45, step=10),
        "scale": Range(low=0.1, high=0.7, step=0.2),
    }
    assert grid(search) == {
        "window": ["full", "fourier"],
        "epochs": [2, 3, 4, 5],
        "harmonics": [10, 20, 30, 40],
        "scale": [0.1, 0.3, 0.5, 0.7],
    }


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (RATE, "search.x: a grid search needs `choices` or a `step`, found a continuous range"),
        (Range(low=0.0, high=1.0), "search.x: a grid search needs"),
        (Range(low=1, high=64, log=True), "search.x: a grid search needs"),
        (Range(low=1, high=3, when={"y": 1}), "search.x.when: a grid search cannot have cond"),
        (Choices(choices=[1], when={"y": 1}), "search.x.when: a grid search cannot have cond"),
    ],
)
def test_what_no_grid_can_cover_is_refused_by_key(spec, problem):
    with pytest.raises(SettingsError) as caught:
        grid({"x": spec})
    assert str(caught.value).startswith(problem)


# ------------------------------------------------------------------------------- checking


def test_candidates_use_every_choice_and_both_ends():
    search = {"window": Choices(choices=["a", "b", "c"]), "epochs": Range(low=2, high=9)}
    recipes = list(candidates(search, {"rate": 0.1, "window": "fixed"}))
    assert all(recipe["rate"] == 0.1 for recipe in recipes)
    assert {recipe["window"] for recipe in recipes} == {"a", "b", "c"}
    assert {recipe["epochs"] for recipe in recipes} == {2, 9}


SEARCH = {"window": WINDOW, "rate": RATE, "epochs": Range(low=2, high=9), "harmonics": HARMONICS}


@pytest.mark.parametrize(
    "point",
    [
        {},
        {"window": "full"},
        {"rate": 1e-4, "epochs": 9},
        {"rate": 1e-2},
        {"harmonics": 40},
    ],
)
def test_points_that_the_search_can_reach_are_taken(point):
    check_point(point, SEARCH, "enqueue[0]")


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"windw": "full"}, "windw: not a searched key (did you mean 'window'?); searched are"),
        ({"window": "hann"}, "window: found 'hann', expected one of ['full', 'fourier']"),
        ({"rate": "fast"}, "rate: found 'fast', expected a number"),
        ({"rate": True}, "rate: found True, expected a number"),
        ({"rate": 1.0}, "rate: found 1.0, expected 0.0001 to 0.01"),
        ({"rate": float("nan")}, "rate: found nan, expected 0.0001 to 0.01"),
        ({"epochs": 2.5}, "epochs: found 2.5, expected a whole number"),
        ({"harmonics": 15}, "harmonics: found 15, expected 10 to 40 in steps of 10"),
    ],
)
def test_points_that_the_search_can_never_reach_are_refused(point, sentence):
    with pytest.raises(SettingsError) as caught:
        check_point(point, SEARCH, "enqueue[0]")
    assert str(caught.value).startswith(f"enqueue[0].{sentence}")


# ------------------------------------------------------------------------------- merging


def test_the_most_that_a_trial_may_have_is_searched_then_fixed_then_a_default():
    search = {"width": Range(low=1, high=8), "window": WINDOW}
    space = Space.of(search, {"epochs": 3}, {"epochs": 30, "depth": 2, "width": 99})
    assert [space.most(key) for key in ("width", "epochs", "depth")] == [8, 3, 2]


def test_a_point_that_cannot_be_trained_is_refused_with_its_key(trial):
    space = Space.of({"epochs": Range(low=0, high=0)}, {}, {})
    with pytest.raises(SettingsError, match=r"^recipe\.epochs: found 0, expected 1 or more$"):
        space.recipe(space.suggest(trial))


def test_a_key_that_does_not_hold_lets_none_that_hangs_on_its_default_hold():
    search = make_settings(
        {
            "a": {"choices": ["off", "on"]},
            "b": {"choices": ["x", "y"], "when": {"a": "on"}},
            "c": {"low": 0.0, "high": 1.0, "when": {"b": "x"}},
        },
        {},
    ).search
    space = Space.of(search, {}, {"b": "x"})
    assert space.at({"a": "off", "b": "y", "c": 0.5}) == {"a": "off"}
    assert space.at({"a": "on", "b": "x", "c": 0.5}) == {"a": "on", "b": "x", "c": 0.5}
