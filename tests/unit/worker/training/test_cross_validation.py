"""Trials with folds in real processes: each a training of its own, none trained twice."""

import os
import signal

import pytest
import torch

from protocol.messages import Finished, FoldFinished, Started, Stop, Stopped, Validated
from tests.ranks import attempt, events, make_plan, started, wait_for
from worker.training.checkpoint import load_checkpoint

RECIPE = {"epochs": 2, "dropout": 0.2}


def weights(path):
    return load_checkpoint(path)["model"]


def assert_same_folds(one, other):
    for fold in range(3):
        mine, theirs = weights(one.fold(fold).last), weights(other.fold(fold).last)
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    (mine,), (theirs,) = events(one, Finished), events(other, Finished)
    assert mine.metrics == theirs.metrics


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    trial = make_plan(tmp_path_factory.mktemp("whole"), recipe=RECIPE, folds=3, pictures=1)
    assert attempt(trial) == [0]
    return trial


def test_every_fold_trains_from_weights_of_its_own_on_samples_of_its_own(whole):
    checkpoints = [load_checkpoint(whole.fold(fold).best) for fold in range(3)]
    assert [content["data"]["fold"] for content in checkpoints] == [0, 1, 2]
    assert len({content["seed"] for content in checkpoints}) == 3
    assert not whole.last.exists()


def test_epochs_and_steps_are_told_counted_over_all_folds(whole):
    told = events(whole, Validated)
    assert [(event.fold, event.epoch) for event in told] == [
        (0, 1), (0, 2), (1, 3), (1, 4), (2, 5), (2, 6),
    ]  # fmt: skip
    assert [event.step for event in told] == [6, 12, 18, 24, 30, 36]
    assert [event.last for event in told] == [False] * 5 + [True]
    assert {event.epochs for event in events(whole, Started)} == {6}


def test_the_trial_is_worth_the_mean_of_its_folds_and_leads_to_the_best_of_them(whole):
    (finished,) = events(whole, Finished)
    folds = events(whole, FoldFinished)
    errors = [event.metrics["error"] for event in folds]
    assert finished.metrics["error"] == pytest.approx(sum(errors) / 3)
    best = errors.index(min(errors))
    assert whole.best.resolve() == whole.fold(best).best.resolve()
    assert whole.best.readlink().parts[0] == f"fold_{best}"  # so that the folder can be moved


def test_every_fold_has_its_pictures(whole):
    names = sorted(path.name.split("_")[0] for path in whole.pictures.glob("*.png"))
    assert names == ["fold0", "fold1", "fold2"]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_kill_within_any_fold_leads_to_the_same_folds_without_training_one_again(
    tmp_path, whole, done
):
    slow = RECIPE | {"step_seconds": 0.03}
    trial = make_plan(tmp_path, recipe=slow, folds=3, checkpoint_seconds=0.0)
    with started(trial) as (process,):
        wait_for(lambda: trial.fold(done).previous.exists())
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert len(events(trial, FoldFinished)) == done
    make_plan(tmp_path, recipe=slow, folds=3, attempt=1, checkpoint_seconds=0.0)
    assert attempt(trial) == [0]
    assert_same_folds(trial, whole)
    again = [event.resumed_step for event in events(trial, Started) if event.attempt == 1]
    assert len(again) == 3 - done
    assert 12 * done < again[0] < 12 * (done + 1)
    assert len(events(trial, FoldFinished)) == 3


def test_a_stop_in_a_later_fold_is_followed_by_both_ranks_and_undone_by_resuming(tmp_path):
    slow = RECIPE | {"step_seconds": 0.02}
    kept = make_plan(tmp_path / "kept", recipe=slow, folds=3, ranks=2)
    assert attempt(kept, ranks=2) == [0, 0]
    trial = make_plan(tmp_path, recipe=slow, folds=3, ranks=2)
    with started(trial, ranks=2) as processes:
        wait_for(lambda: events(trial, FoldFinished))
        trial.stop.write_text(Stop.INTERRUPT)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
    (stopped,) = events(trial, Stopped)
    assert stopped.epoch > 2
    trial.stop.unlink()
    make_plan(tmp_path, recipe=slow, folds=3, ranks=2, attempt=1)
    assert attempt(trial, ranks=2) == [0, 0]
    assert_same_folds(trial, kept)
