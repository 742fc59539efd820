import math

import pytest
from scipy import stats

from orchestrator.confirmation.repetitions import Repetition
from orchestrator.confirmation.results import confirmation_of
from orchestrator.study.record import StudyRecord, TrialRecord
from protocol.folders import StudyFolder
from protocol.objective import Objective

SEARCHED = {3: 30.0, 7: 33.0}  # the search's values by trial


class Runs:
    """Runs that ended as the test says, and what is then known."""

    def __init__(self, folder, direction="maximize"):
        self.folder = StudyFolder(folder)
        self.objective = Objective(metric="psnr", direction=direction)
        self.trials = []

    def add(self, source, value=None, state="complete", **notes):
        count = sum(t.notes["confirms"] == source for t in self.trials)
        notes |= {"confirms": source, "repetition": count}
        number = len(self.trials)
        trial = TrialRecord(number=number, state=state, value=value, notes=notes)
        self.trials.append(trial)
        return self.folder.confirmations.trial(number)

    def known(self, asked):
        searched = [
            TrialRecord(number=number, state="complete", value=value, params={"x": number})
            for number, value in SEARCHED.items()
        ]
        direction = self.objective.direction
        return confirmation_of(
            StudyRecord(name="made", direction=direction, trials=searched),
            StudyRecord(name="confirm", direction=direction, trials=self.trials),
            asked,
            folder=self.folder,
            objective=self.objective,
            study_seed=4,
        )


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path)


def fill(runs, three=(31.0, 31.2, 31.4), seven=(30.0, 30.4, 30.5)):
    for value in three:
        runs.add(3, value)
    for value in seven:
        runs.add(7, value)


@pytest.mark.parametrize(("direction", "order"), [("maximize", [3, 7]), ("minimize", [7, 3])])
def test_trials_are_ranked_by_their_means_in_the_studys_direction(tmp_path, direction, order):
    runs = Runs(tmp_path, direction)
    fill(runs)
    found = runs.known({3: 3, 7: 3})
    assert [trial.trial for trial in found.trials] == order
    assert found.winner.trial == order[0]
    assert (found.comparison.winner, found.comparison.runner_up) == tuple(order)


def test_the_value_of_the_search_is_shown_and_is_no_part_of_the_mean(runs):
    fill(runs)
    best, other = runs.known({3: 3, 7: 3}).trials
    assert best.mean == pytest.approx(31.2)
    assert (best.search_value, other.search_value) == (30.0, 33.0)
    assert best.params == {"x": 3}


def test_the_winner_is_tested_against_the_runner_up(runs):
    fill(runs)
    found = runs.known({3: 3, 7: 3}).comparison
    known = stats.ttest_ind([31.0, 31.2, 31.4], [30.0, 30.4, 30.5], equal_var=False)
    assert found.p_value == pytest.approx(known.pvalue)
    assert found.low < found.by < found.high


def test_runs_that_diverged_or_failed_are_counted_and_left_out_of_the_mean(runs):
    fill(runs)
    runs.add(3, state="pruned", ending="nonfinite", reason="NaN at step 3")
    runs.add(3, math.inf)
    runs.add(3, state="failed", ending="failed")
    runs.add(3, state="failed", ending="lost")
    best = runs.known({3: 7, 7: 3}).trials[0]
    assert best.mean == pytest.approx(31.2)
    assert {s: best.count(s) for s in ("complete", "diverged", "failed", "unfinished")} == {
        "complete": 3,
        "diverged": 2,
        "failed": 2,
        "unfinished": 0,
    }
    assert best.runs[3].reason == "NaN at step 3"


def test_what_is_still_missing_is_counted_and_what_is_there_is_told(runs):
    fill(runs, three=(31.0, 31.2))
    runs.add(3, state="running")
    found = runs.known({3: 4, 7: 3})
    assert not found.finished
    assert found.trials[0].count("unfinished") == 2
    assert found.trials[0].mean == pytest.approx(31.1)
    assert runs.known({7: 3}).finished is False  # the running one is finished with anything


def test_before_any_run_has_ended_nothing_is_claimed(runs):
    found = runs.known({3: 2, 7: 2})
    assert (found.finished, found.winner, found.comparison, found.checkpoint) == (
        False,
        None,
        None,
        None,
    )


def test_trials_without_a_mean_come_last(runs):
    runs.add(3, state="failed", ending="failed")
    runs.add(7, 30.0)
    found = runs.known({3: 1, 7: 1})
    assert [trial.trial for trial in found.trials] == [7, 3]
    assert found.finished
    assert found.comparison is None


def test_a_trial_confirmed_earlier_stays_in_the_ranking(runs):
    fill(runs)
    found = runs.known({7: 3})
    assert [(trial.trial, trial.asked) for trial in found.trials] == [(3, 3), (7, 3)]
    assert found.finished


def test_each_run_names_the_seed_it_was_trained_with(runs):
    fill(runs)
    best = runs.known({3: 3, 7: 3}).trials[0]
    assert [run.seed for run in best.runs] == [Repetition(3, n).seed(4) for n in range(3)]


def test_the_checkpoint_is_that_of_the_winners_best_run_that_has_one(runs):
    folders = [runs.add(3, value) for value in (31.0, 31.4, 31.2)]
    runs.add(7, 30.0).path.mkdir(parents=True)
    for folder in (folders[0], folders[2]):
        folder.path.mkdir(parents=True)
        folder.best.touch()
    assert runs.known({3: 3, 7: 1}).checkpoint == "confirm/trial_2/best.pth"
