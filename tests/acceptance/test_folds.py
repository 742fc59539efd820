"""Cross-validated studies through the real command."""

from __future__ import annotations

import signal
import time
from statistics import fmean

import pytest

from protocol.messages import FoldFinished, Started, Validated


def test_a_trial_is_worth_the_mean_of_its_folds_and_says_so(inside):
    inside.change(folds=3, n_trials=2, parallel={"kind": "ddp", "ranks": 2})
    code, output = inside.run()
    assert code == 0, output
    assert "the mean of 3 folds" in output
    for trial in inside.trials():
        folds = [e.metrics["error"] for e in inside.events(trial.number) if e.event[:4] == "fold"]
        assert len(folds) == 3
        assert trial.value == pytest.approx(fmean(folds))
        assert trial.user_attrs["folds"] == pytest.approx(folds)
        assert list(trial.intermediate_values) == [1, 2, 3, 4, 5, 6]
    code, output = inside.command("visualize", "--trial", "best")
    assert code == 0, output


def test_a_study_killed_within_a_later_fold_goes_on_there(studio, launcher):
    studio.change(folds=3, n_trials=1, recipe={"epochs": 2, "step_seconds": 0.05})
    run = studio.start()
    studio.wait_for_event(0, "fold_finished")
    time.sleep(0.4)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    studio.launcher = launcher
    code, output = studio.run()
    assert code == 0, output
    told = studio.events(0)
    assert [e.fold for e in told if isinstance(e, FoldFinished)] == [0, 1, 2]
    assert [e.epoch for e in told if isinstance(e, Validated)] == [1, 2, 3, 4, 5, 6]
    assert sum(isinstance(e, Started) for e in told) in (3, 4)
    assert studio.states() == ["COMPLETE"]


def test_the_wilcoxon_pruner_stops_a_trial_that_is_worse_fold_by_fold(inside):
    inside.change(
        folds=3,
        n_trials=2,
        recipe={"epochs": 2, "step_seconds": 0.03},
        pruner={"kind": "wilcoxon", "p_threshold": 0.3},
        enqueue=[{"learning_rate": 0.1}, {"learning_rate": 0.001}],
    )
    code, output = inside.run()
    assert code == 0, output
    good, bad = inside.trials()
    assert list(good.intermediate_values) == [0, 1, 2]
    assert bad.state.name == "PRUNED"
    # Two folds at least are needed to tell; 1/4 is the least that two can show.
    assert list(bad.intermediate_values) == [0, 1]


def test_folds_that_the_data_do_not_have_are_refused_before_anything_starts(inside):
    inside.change(folds=5)
    code, output = inside.run()
    assert code != 0
    assert ": data.fold: found 3, expected 0 to 2" in output
    assert not inside.folder.database.exists()


def test_the_wilcoxon_pruner_without_folds_and_a_fixed_fold_beside_folds_are_refused(inside):
    inside.change(pruner={"kind": "wilcoxon"})
    _, output = inside.run()
    assert "wilcoxon compares trials fold by fold" in output
    inside.change(pruner={"kind": "none"}, folds=2, data={"fold": 1})
    _, output = inside.run()
    assert "data.fold: found 1 beside folds: 2" in output
    assert not inside.folder.path.exists() or not inside.folder.database.exists()
