import random

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.proposing.view import View, numbers_in, ranges
from tests.searches import NUMBERS, SmallSearch, make_settings


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1, 2, 5], "0-2,5"), ([5, 2, 1, 7, 8], "1-2,5,7-8")],
)
def test_numbers_are_written_as_ranges_and_read_back(numbers, text):
    assert ranges(numbers) == text
    assert numbers_in(text) == sorted(numbers)


def test_a_view_says_how_far_the_curve_of_every_running_trial_was_known(tmp_path):
    search = SmallSearch(tmp_path, make_settings(NUMBERS, {}))
    trials = [search.asker.ask()[0] for _ in range(4)]
    trials[1].report(0.5, 3)
    search.study.tell(trials[2], 1.0)
    view = View.of(search.trials(), 3, settings=2)
    assert view == View(finished="2", running="0-1", known={1: 3}, settings=2)
    assert View.model_validate(view.kept()) == view


@pytest.mark.parametrize("seed", range(30))
def test_a_view_names_every_ended_trial_but_ones_own_and_no_other(seed):
    chance = random.Random(seed)
    trials = []
    for number in range(chance.randrange(12)):
        state = chance.choice(list(TrialState))
        value = 1.0 if state is TrialState.COMPLETE else None
        trials.append(optuna.trial.create_trial(state=state, value=value))
        trials[-1].number = number
    if seed % 3 == 0:
        trials = [trial for trial in trials if chance.random() < 0.7]  # as of one bracket
    own = chance.randrange(14)
    ended = [t.number for t in trials if t.state.is_finished() and t.number != own]
    running = [t.number for t in trials if t.state is TrialState.RUNNING and t.number != own]
    assert View.of(trials, own) == View(finished=ranges(ended), running=ranges(running))
