"""Which trial is the best, and whose checkpoints go, found without a look at all that is old."""

import math
import random
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.study import ranking
from orchestrator.study.ranking import best_trial, keep_best, rank_trials
from protocol.folders import StudyFolder

VALUES = [0.5, 0.25, 0.25, math.inf, -math.inf, 0.75]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
@pytest.mark.parametrize("seed", range(10))
def test_trials_that_end_one_after_the_other_are_ranked_as_if_all_were_ranked_at_once(
    direction, seed
):
    chance = random.Random(seed)
    study = optuna.create_study(direction=direction)
    begun = []
    for _ in range(20):
        begun.append(study.ask())
        if chance.random() < 0.7:
            trial = begun.pop(chance.randrange(len(begun)))
            trial.set_constraint("finite", chance.choice([-1.0, 1.0, 0.0]))
            state = chance.choice([None, TrialState.PRUNED])
            study.tell(trial, None if state else chance.choice(VALUES), state=state)
        sign = 1 if direction == "minimize" else -1
        able = [
            trial
            for trial in study.get_trials(states=(TrialState.COMPLETE,))
            if math.isfinite(trial.value) and trial.constraints["finite"] <= 0
        ]
        expected = [t.number for t in sorted(able, key=lambda trial: sign * trial.value)]
        assert [trial.number for trial in rank_trials(study)] == expected
        best = best_trial(study)
        assert (None if best is None else best.number) == (expected or [None])[0]


def folder_with(tmp_path: Path, study: optuna.Study) -> StudyFolder:
    folder = StudyFolder(tmp_path)
    for trial in study.trials:
        place = folder.trial(trial.number).path
        for path in (place / "best.pth", place / "fold_0" / "last.pth", place / "note.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return folder


def kept(folder: StudyFolder) -> list[int]:
    return [trial.number for trial in folder.trials() if trial.best.exists()]


def test_checkpoints_go_but_for_the_best_and_the_running(tmp_path):
    study = optuna.create_study()
    for value in (3.0, 1.0, 2.0, 4.0):
        study.tell(study.ask(), value)
    study.ask()
    folder = folder_with(tmp_path, study)
    keep_best(folder, study, 2)
    assert kept(folder) == [1, 2, 4]
    assert sorted(path.name for path in folder.trial(0).path.rglob("*")) == ["fold_0", "note.txt"]


def test_a_folder_that_was_cleared_is_not_looked_at_again(tmp_path, monkeypatch):
    study = optuna.create_study()
    cleared: set[int] = set()
    for value in (3.0, 1.0, 2.0):
        study.tell(study.ask(), value)
    keep_best(folder_with(tmp_path, study), study, 2, cleared)
    looked = []
    checkpoints = ranking.checkpoints_of
    monkeypatch.setattr(
        ranking,
        "checkpoints_of",
        lambda trial: looked.append(trial.path.name) or checkpoints(trial),
    )
    study.tell(study.ask(), 0.5)  # better than all: trial 2 is none of the best two any more
    folder = folder_with(tmp_path, study)
    keep_best(folder, study, 2, cleared)
    assert looked == ["trial_2"]
    assert kept(folder) == [0, 1, 3], "the first one was put back behind its back"
