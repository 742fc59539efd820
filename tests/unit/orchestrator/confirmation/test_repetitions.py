import math

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.confirmation.repetitions import (
    Repetition,
    Repetitions,
    best_sources,
    missing_runs,
)
from orchestrator.settings.schema import Keep
from orchestrator.study.record import StudyRecord, TrialRecord
from orchestrator.study.storage import open_study
from protocol.errors import SettingsError
from protocol.folders import StudyFolder
from protocol.seeds import derive_seed
from tests.searches import CONDITIONAL, SmallSearch, make_settings, objective

SETTINGS = make_settings(CONDITIONAL, {"kind": "random"}, seed=4, recipe={"epochs": 2})


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Trials over numbers, whole numbers, words and a key that only one word has."""
    search = SmallSearch(tmp_path_factory.mktemp("runs"), SETTINGS)
    search.run(6)
    return search.trials()


@pytest.fixture
def repetitions(searched, tmp_path):
    """Makes the source of runs anew, as every command does, on one study."""
    study = optuna.create_study()

    def make(numbers=(0, 1), seeds=2, study=study, keep=None):
        sources = {number: searched[number] for number in numbers}
        settings = SETTINGS.model_copy(update={"keep": Keep(best_trials=keep)})
        return Repetitions(
            folder=StudyFolder(tmp_path),
            study=study,
            settings=settings,
            sources=sources,
            seeds=seeds,
        )

    return make


def run_all(runs):
    while runs.missing():
        trial, recipe = runs.ask()
        runs.study.tell(trial, objective(recipe.given))
    return runs.study.get_trials(deepcopy=False)


def test_a_run_has_the_parameters_of_its_trial_and_what_is_fixed(searched, repetitions):
    runs = repetitions(numbers=range(6), seeds=1)
    for source in searched:
        trial, recipe = runs.ask()
        assert recipe.given == {"epochs": 2, **source.params}
        assert trial.params == source.params
    assert {source.params["window"] for source in searched} > {"fourier"}


def test_every_trial_gets_its_first_run_before_any_gets_its_second(repetitions):
    trials = run_all(repetitions(numbers=(3, 1)))
    told = [Repetition.of(trial.user_attrs) for trial in trials]
    assert told == [Repetition(3, 0), Repetition(1, 0), Repetition(3, 1), Repetition(1, 1)]


def test_seeds_differ_from_each_other_and_from_those_of_the_search(repetitions):
    ours = [Repetition(source, count).seed(4) for source in range(50) for count in range(20)]
    theirs = [derive_seed(4, "trial", number) for number in range(50)]
    assert len(set(ours + theirs)) == len(ours) + len(theirs)
    runs = repetitions()
    run_all(runs)
    assert [runs.trial_seed(number) for number in range(4)] == [
        Repetition(source, count).seed(4) for count in range(2) for source in range(2)
    ]


def test_more_seeds_and_more_trials_add_runs_and_keep_the_others(repetitions):
    before = [(t.params, t.user_attrs) for t in run_all(repetitions())]
    more = repetitions(numbers=(0, 1, 2), seeds=3)
    assert more.total == 9
    after = [(t.params, t.user_attrs) for t in run_all(more)]
    assert after[:4] == before
    assert len(after) == 9


def test_fewer_seeds_and_trials_train_nothing_and_take_nothing_away(repetitions):
    run_all(repetitions())
    fewer = repetitions(numbers=(1,), seeds=1)
    assert fewer.missing() == []
    assert fewer.total == 4


def test_a_run_that_a_kill_left_is_taken_up_as_it_was(repetitions, tmp_path):
    folder = StudyFolder(tmp_path)
    trial, recipe = repetitions(study=open_study(folder, None, "minimize")).ask()
    again = repetitions(study=open_study(folder, None, "minimize"))
    (left,) = again.study.get_trials(states=(TrialState.RUNNING,))
    attached, same = again.attach(left)
    assert (attached.number, same) == (trial.number, recipe)
    assert again.missing()[0] == Repetition(1, 0)
    assert again.trial_seed(0) == Repetition(0, 0).seed(4)


def test_displays_say_which_trial_a_run_repeats(repetitions):
    runs = repetitions(numbers=(2,))
    trial, _ = runs.ask()
    assert runs.describe(trial) == {"confirms": 2, "repetition": 0, **trial.params}


def test_what_has_begun_is_not_missing():
    begun = {Repetition(7, 0), Repetition(3, 1)}
    assert missing_runs([7, 3], 2, begun) == [Repetition(3, 0), Repetition(7, 1)]


@pytest.mark.parametrize(("keep", "kept"), [(1, [1, 2, 4]), (None, [0, 1, 2, 3, 4])])
def test_where_the_best_are_kept_the_best_run_of_every_trial_keeps_its_checkpoints(
    repetitions, keep, kept
):
    runs = repetitions(seeds=3, keep=keep)
    for value in (3.0, 5.0, 2.0, 9.0, None):
        trial, _ = runs.ask()
        runs.folder.trial(trial.number).path.mkdir()
        runs.folder.trial(trial.number).best.touch()
        if value is not None:
            runs.study.tell(trial, value)
    runs.tidy()
    # The last one is still running.
    assert [run.number for run in runs.folder.trials() if run.best.exists()] == kept


def study(*values, direction="maximize", params=None, **changes):
    trials = [
        TrialRecord(
            number=number,
            state="failed" if value is None else "complete",
            value=value,
            params={"x": number if params is None else params[number]},
            **changes,
        )
        for number, value in enumerate(values)
    ]
    return StudyRecord(name="made", direction=direction, trials=trials)


def numbers(sources):
    return [trial.number for trial in sources.trials]


@pytest.mark.parametrize(("direction", "best"), [("maximize", [2, 3]), ("minimize", [0, 1])])
def test_the_best_trials_are_taken_in_the_studys_direction(direction, best):
    sources = best_sources(study(1.0, 2.0, 5.0, 3.0, direction=direction), 2)
    assert numbers(sources) == best
    assert sources.notices == []


def test_of_equals_the_earlier_comes_first():
    assert numbers(best_sources(study(1.0, 2.0, 2.0), 2)) == [1, 2]


def test_trials_that_are_not_complete_or_not_finite_are_passed_over():
    assert numbers(best_sources(study(1.0, None, math.inf, 0.5), 2)) == [0, 3]


def test_an_infeasible_trial_is_passed_over():
    with pytest.raises(SettingsError):
        best_sources(study(1.0, feasible=False), 1)


def test_fewer_trials_than_asked_for_are_taken_and_it_is_said():
    sources = best_sources(study(1.0, 2.0), 5)
    assert numbers(sources) == [1, 0]
    (sentence,) = sources.notices
    assert "--top" in sentence
    assert "2 complete trials" in sentence


def test_a_trial_with_the_parameters_of_a_better_one_gives_its_place_to_the_next():
    sources = best_sources(study(1.0, 2.0, 3.0, params=["a", "b", "b"]), 2)
    assert numbers(sources) == [2, 0]
    (sentence,) = sources.notices
    assert "trial 1 has the same parameters as trial 2" in sentence


def test_without_a_complete_trial_there_is_nothing_to_confirm_and_the_reason_is_given():
    with pytest.raises(SettingsError, match=r"'made' is complete.*2 failed"):
        best_sources(study(None, None), 3)
