"""What is remembered of ended trials changes no suggestion, whatever the history was."""

import itertools
import math
import random

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.proposing.memory import Memory
from orchestrator.proposing.sampler import make_sampler
from orchestrator.settings.space import Space
from tests.searches import CONDITIONAL, NUMBERS, make_settings

CHOICES = {
    "a": {"choices": [None, 1, "b", 0.5]},
    "b": {"choices": [1, 2]},
    "c": {"low": 0.0, "high": 1.0, "step": 0.25},
    "d": {"low": 1, "high": 512, "log": True},
}
SEARCHES = {
    "numbers": (NUMBERS, {"n_startup_trials": 3}),
    "choices": (CHOICES, {"n_startup_trials": 3}),
    "choices alone": ({"a": CHOICES["a"], "b": CHOICES["b"]}, {"n_startup_trials": 0}),
    "groups": (CONDITIONAL, {"n_startup_trials": 3}),
    "by key": (CONDITIONAL, {"n_startup_trials": 3, "multivariate": False}),
    "no liar": (NUMBERS, {"n_startup_trials": 3, "constant_liar": False}),
    "gp": (NUMBERS, {"kind": "gp", "n_startup_trials": 60}),
}


class History:
    """Trials that begin and end in no order, as in several slots, and in every way."""

    def __init__(self, settings, seed):
        self.settings = settings
        self.chance = random.Random(seed)
        self.study = optuna.create_study(direction=settings.objective.direction)
        self.memory = Memory()
        self.space = Space.of(settings.search, {}, {"epochs": 1})

    def suggested(self, memory):
        """The point of the newest trial, asked for once more in a copy of the study."""
        trials = self.study.get_trials()
        copied = optuna.create_study(direction=self.settings.objective.direction)
        copied._storage = type(self.study._storage)()
        copied._study_id = copied._storage.create_new_study(self.study.directions, "copy")
        for trial in trials[:-1]:
            copied._storage.create_new_trial(copied._study_id, trial)
        blank = optuna.trial.create_trial(state=TrialState.RUNNING)
        number = copied._storage.create_new_trial(copied._study_id, blank)
        settings = self.settings
        copied.sampler = make_sampler(
            settings.sampler, settings.search, settings.seed, len(trials) - 1, memory
        )
        return self.space.suggest(optuna.trial.Trial(copied, number))

    def go_on(self):
        settings, number = self.settings, len(self.study.trials)
        self.study.sampler = make_sampler(
            settings.sampler, settings.search, settings.seed, number, self.memory
        )
        trial = self.study.ask()
        self.space.suggest(trial)
        point = self.study.trials[-1].params
        assert self.suggested(None) == point
        assert self.suggested(Memory()) == point
        for running in self.study.get_trials(states=(TrialState.RUNNING,)):
            if self.chance.random() < 0.6:
                self.end(optuna.trial.Trial(self.study, running._trial_id))

    def end(self, trial):
        values = [0.25, math.inf, -math.inf, self.chance.random(), self.chance.random()]
        for step in range(self.chance.randrange(4)):
            trial.report(self.chance.choice([*values, math.nan]), step)
        if self.chance.random() < 0.1:
            trial.set_constraint("finite", self.chance.choice([1.0, 2.0, -1.0]))
        state = self.chance.choice([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, None])
        told = None if state in (TrialState.PRUNED, TrialState.FAIL) else self.chance.choice(values)
        self.study.tell(trial, told, state=state)


@pytest.mark.parametrize(
    ("kind", "direction"),
    [
        *((kind, "minimize") for kind in SEARCHES),
        ("numbers", "maximize"),
        *(
            pytest.param(kind, "maximize", marks=pytest.mark.long)
            for kind in SEARCHES
            if kind != "numbers"
        ),
    ],
)
def test_a_suggestion_is_the_same_with_a_memory_and_without(kind, direction):
    search, sampler = SEARCHES[kind]
    objective = {"metric": "error", "direction": direction}
    settings = make_settings(search, sampler, seed=3, objective=objective)
    history = History(settings, f"{kind} {direction}")
    for _ in range(45):
        history.go_on()


def test_a_range_that_moves_is_taken_up_with_what_is_remembered_of_the_old_one():
    settings = make_settings(CONDITIONAL, {"n_startup_trials": 3}, seed=3)
    history = History(settings, 1)
    for _ in range(15):
        history.go_on()
    moved = CONDITIONAL | {"scale": {"low": 0.5, "high": 2.0}}
    history.settings = make_settings(moved, {"n_startup_trials": 3}, seed=3)
    history.space = Space.of(history.settings.search, {}, {"epochs": 1})
    for _ in range(15):
        history.go_on()


def test_each_trial_is_looked_at_once(monkeypatch):
    settings = make_settings(NUMBERS, {"n_startup_trials": 3}, seed=3)
    history = History(settings, 1)
    counted = itertools.count()
    add = Memory._add

    def counting(memory, trial):
        if memory is history.memory:
            next(counted)
        add(memory, trial)

    monkeypatch.setattr(Memory, "_add", counting)
    for _ in range(20):
        history.go_on()
    ended = history.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    assert next(counted) <= len(ended)
