import pytest
from optuna.trial import TrialState

from tests.searches import CONDITIONAL, NUMBERS, SmallSearch, make_settings


@pytest.fixture
def search(tmp_path):
    return SmallSearch(tmp_path, make_settings(CONDITIONAL, {"kind": "random"}, seed=4))


def test_a_trial_remembers_which_trials_its_sampler_could_see(search):
    search.run(2)
    first, second = search.asker.ask(), search.asker.ask()
    search.tell(*second)
    search.asker.ask()
    seen = [trial.user_attrs["visible"] for trial in search.trials()]
    assert seen == [
        {"finished": "", "running": "", "settings": 0},
        {"finished": "0", "running": "", "settings": 0},
        {"finished": "0-1", "running": "", "settings": 0},
        {"finished": "0-1", "running": "2", "settings": 0},
        {"finished": "0-1,3", "running": "2", "settings": 0},
    ]
    assert first[0].number == 2


def test_attaching_again_changes_neither_the_point_nor_what_was_seen(search):
    trial, recipe = search.asker.ask()
    search.run(2)
    search.restart()
    (frozen,) = search.study.get_trials(states=(TrialState.RUNNING,))
    again, same = search.asker.attach(frozen)
    assert (again.number, same) == (trial.number, recipe)
    assert search.trials()[0].user_attrs["visible"]["finished"] == ""


def test_the_recipe_holds_what_is_fixed_and_what_was_chosen(tmp_path):
    settings = make_settings(NUMBERS, {}, recipe={"epochs": 3})
    trial, recipe = SmallSearch(tmp_path, settings).asker.ask()
    assert recipe.given == {"epochs": 3, **trial.params}
    assert recipe.training.epochs == 3
    assert set(trial.params) == set(NUMBERS)


def test_enqueued_points_are_asked_first_and_completed(search):
    search.study.enqueue_trial({"window": "full", "scale": 0.5})
    search.study.enqueue_trial({"rate": 0.01})
    first, second, third = (search.asker.ask()[1].given for _ in range(3))
    assert (first["window"], first["scale"]) == ("full", 0.5)
    assert set(first) == {"rate", "window", "phase", "scale"}
    assert second["rate"] == 0.01
    assert third["rate"] != 0.01
    assert [trial.number for trial in search.trials()] == [0, 1, 2]


def test_an_enqueued_point_does_not_change_what_later_trials_are_asked(tmp_path):
    settings = make_settings(CONDITIONAL, {"kind": "random"}, seed=4)
    plain, seeded = (SmallSearch(tmp_path / name, settings) for name in "ab")
    seeded.study.enqueue_trial({"window": "full"})
    assert plain.run(3)[1:] == seeded.run(3)[1:]


def test_each_trial_trains_with_a_seed_of_its_own(search):
    seeds = {search.asker.trial_seed(number) for number in range(100)}
    assert len(seeds) == 100
    assert search.asker.trial_seed(0) != make_seed(search, seed=5)


def make_seed(search, *, seed):
    other = SmallSearch(search.runs / "other", search.settings.model_copy(update={"seed": seed}))
    return other.asker.trial_seed(0)
