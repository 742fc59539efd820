import optuna
import pytest

from orchestrator.proposing.pruner import make_pruner, pruner_of
from orchestrator.settings.schema import PrunerSettings
from orchestrator.settings.space import Space
from protocol.recipe import TrainingRecipe
from tests.searches import NUMBERS, make_settings

KINDS = {
    "median": {"n_startup_trials": 1},
    "percentile": {"n_startup_trials": 1, "percentile": 50.0},
    "asha": {"min_resource": 1, "reduction_factor": 2},
    "hyperband": {"min_resource": 1, "reduction_factor": 2},
    "threshold": {"upper": 5.0},
    "patient": {"patience": 1},
}


def search_with(kind, options):
    """A study of four good trials, and a bad one's decision at its last epoch."""
    study = optuna.create_study(
        study_name="s", pruner=make_pruner(PrunerSettings(kind=kind, **options), epochs=8)
    )
    for _ in range(4):
        good = study.ask()
        for epoch in range(1, 9):
            good.report(1.0 / epoch, epoch)
            good.should_prune()  # some pruners take notes
        study.tell(good, 0.125)
    bad = study.ask()
    decisions = []
    for epoch in range(1, 9):
        bad.report(10.0 + epoch, epoch)
        decisions.append(bad.should_prune())
    return decisions


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("error")
def test_every_pruner_gives_up_a_hopeless_trial(kind):
    assert any(search_with(kind, KINDS[kind]))


def test_no_pruner_gives_nothing_up():
    assert not any(search_with("none", {}))


@pytest.mark.parametrize("kind", ["median", "percentile"])
def test_options_reach_the_pruner(kind):
    decisions = search_with(kind, {"n_startup_trials": 1, "n_warmup_steps": 5})
    assert decisions == [False] * 4 + [True] * 4
    assert not any(search_with(kind, {"n_startup_trials": 5}))


@pytest.mark.parametrize("epochs", [1, 8])
def test_hyperband_reckons_with_the_length_of_a_trial(epochs):
    pruner = make_pruner(PrunerSettings(kind="hyperband", reduction_factor=2), epochs)
    assert len(pruner._pruners) == {1: 1, 8: 4}[epochs]


@pytest.mark.parametrize(
    ("search", "recipe", "folds", "longest"),
    [
        ({}, {"epochs": 3}, 1, 3),
        ({}, {"epochs": 3}, 4, 12),
        ({"epochs": {"low": 2, "high": 9}}, {"epochs": 3}, 1, 9),
        ({}, {}, 1, 30),
    ],
)
def test_hyperband_reckons_with_the_epochs_that_trials_may_have_rather_than_with_a_default(
    search, recipe, folds, longest
):
    pruner = {"kind": "hyperband"}
    settings = make_settings(NUMBERS | search, {}, recipe=recipe, folds=folds, pruner=pruner)
    space = Space.of(settings.search, settings.recipe, TrainingRecipe().model_dump())
    assert pruner_of(settings, space)._max_resource == longest
