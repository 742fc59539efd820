import threading

import pytest
import torch

from protocol.bests import cut_best
from protocol.errors import CheckpointError
from protocol.messages import Failed, Finished, Started, Validated, load_plan
from tests.ranks import attempt, events, make_plan
from worker.ranks.group import Group
from worker.ranks.trial import open_trial
from worker.training import keeping
from worker.training.checkpoint import load_checkpoint, read_checkpoint, save_last
from worker.training.keeping import Keeper
from worker.training.learner import Learner


@pytest.fixture
def trial(tmp_path):
    trial = make_plan(tmp_path, recipe={"epochs": 2}, digest_epochs=[1, 2])
    assert attempt(trial) == [0]
    return trial


def again(trial, **changes):
    make_plan(trial.path.parent, recipe={"epochs": 2}, attempt=1, **changes)
    return attempt(trial)


def test_with_both_checkpoints_damaged_the_trial_fails_and_names_them(trial):
    for path in (trial.last, trial.previous):
        path.write_bytes(path.read_bytes()[:-100])
    assert again(trial) == [1]
    (failed,) = events(trial, Failed)
    assert failed.user_error
    assert str(trial.last) in failed.message
    assert str(trial.previous) in failed.message


def test_with_last_missing_the_previous_is_taken(trial):
    trial.last.unlink()
    assert again(trial) == [0]
    assert events(trial, Started)[1].resumed_step == 12  # trained to the end, not yet validated


def test_a_damaged_last_checkpoint_does_not_take_the_place_of_the_whole_one_before(trial):
    before = trial.previous.read_bytes()
    trial.last.write_bytes(trial.last.read_bytes()[:-100])
    make_plan(trial.path.parent, recipe={"epochs": 2, "raise_at_step": 1}, attempt=1)
    attempt(trial)
    assert trial.previous.read_bytes() == before
    assert attempt(trial) == [0]
    load_checkpoint(trial.last)
    load_checkpoint(trial.previous)


def test_without_any_checkpoint_the_trial_starts_anew(trial):
    trial.last.unlink()
    trial.previous.unlink()
    assert again(trial) == [0]
    assert events(trial, Started)[1].resumed_step == 0


def test_best_and_last_tell_what_they_are_of(trial):
    plan = load_plan(trial.plan)
    for path in (trial.best, trial.last):
        content = load_checkpoint(path)
        for key in ("study", "trial", "seed", "family", "recipe", "data"):
            assert content[key] == plan.model_dump()[key]
        assert content["objective"] == {"metric": "error", "direction": "minimize"}
    assert "training" not in load_checkpoint(trial.best)


def test_a_smaller_micro_batch_at_the_same_global_batch_goes_on_within_the_epoch(tmp_path):
    """What follows running out of memory: nothing trained is lost, and the result is the same."""
    recipe = {"epochs": 2, "optimizer": "sgd"}
    whole = make_plan(tmp_path / "whole", recipe=recipe | {"batch_size": 8})
    assert attempt(whole) == [0]
    fault = {"raise_at_step": 5, "fault_once": str(tmp_path / "raised")}
    trial = make_plan(tmp_path, recipe=recipe | fault | {"batch_size": 8}, checkpoint_seconds=0.0)
    assert attempt(trial) == [1]
    smaller = recipe | {"batch_size": 2, "accumulation": 4}
    make_plan(tmp_path, recipe=smaller, attempt=1)
    assert attempt(trial) == [0]
    assert events(trial, Started)[1].resumed_step == 4
    found, expected = load_checkpoint(trial.last)["model"], load_checkpoint(whole.last)["model"]
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)


def test_a_decision_that_ranks_ran_past_to_their_end_still_finds_the_best_of_its_time(tmp_path):
    """Who decided settles it after the ranks are gone: until then nothing is forgotten."""
    trial = make_plan(tmp_path, recipe={"epochs": 3})
    assert attempt(trial) == [0]
    told = events(trial, Validated)
    assert [event.best for event in told] == [True, True, True]
    cut_best(trial, [1, 2, 3], last=2)
    assert load_checkpoint(trial.best)["epoch"] == 2
    assert read_checkpoint(trial.best)[1] == told[1].best_digest


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content[:-50])


@pytest.mark.parametrize("harm", [damage, lambda path: path.unlink()], ids=["damaged", "lost"])
def test_a_best_that_is_no_more_is_made_of_the_last_epochs_weights(tmp_path, harm):
    trial = make_plan(tmp_path, recipe={"ema_decay": 0.5})
    assert attempt(trial) == [0]
    (first,) = events(trial, Finished)
    assert first.best_epoch == 2, "the best epoch is the last one"
    before = read_checkpoint(trial.best)
    harm(trial.best)
    make_plan(tmp_path, recipe={"ema_decay": 0.5}, attempt=1, pictures=1)
    assert attempt(trial) == [0]
    content, digest = read_checkpoint(trial.best)
    assert digest == before[1] == events(trial, Finished)[1].best_digest
    assert {key: content[key] for key in ("epoch", "metrics")} == {
        key: before[0][key] for key in ("epoch", "metrics")
    }
    assert len(list(trial.pictures.iterdir())) == 1
    assert not events(trial, Finished)[1].best_lost


LONG_PAST_ITS_BEST = {"epochs": 50, "early_stopping": 2, "learning_rate": 0.2}


@pytest.mark.parametrize("kept", [True, False])
def test_an_earlier_best_that_is_no_more_is_found_under_its_epoch_or_told(tmp_path, kept):
    changes = {"recipe": LONG_PAST_ITS_BEST, "checkpoint_epochs": 1 if kept else None}
    trial = make_plan(tmp_path, **changes)
    assert attempt(trial) == [0]
    before = read_checkpoint(trial.best)[1]
    damage(trial.best)
    make_plan(tmp_path, attempt=1, pictures=1, **changes)
    assert attempt(trial) == [0], "the trial is trained, and ends well"
    ended = events(trial, Finished)[1]
    assert ended.best_lost == (not kept)
    assert trial.pictures.exists() == kept
    if kept:
        assert read_checkpoint(trial.best)[1] == before


@pytest.fixture
def keeper(tmp_path):
    """One that is taken apart, and its learner."""
    place = make_plan(tmp_path, recipe={"ema_decay": 0.5})
    group = Group(rank=0, ranks=1, device=torch.device("cpu"))
    trial = open_trial(place, load_plan(place.plan), group, lambda: None)
    learner = Learner(trial)
    return Keeper(trial, learner), learner


class SlowDisk:
    """Saves when it is let."""

    def __init__(self, save):
        self.save, self.free = save, threading.Event()

    def __call__(self, *arguments):
        assert self.free.wait(30.0)
        return self.save(*arguments)


def test_training_goes_on_while_its_checkpoint_is_written_and_does_not_change_it(
    keeper, monkeypatch
):
    keeper, learner = keeper
    monkeypatch.setattr(keeping, "save_last", disk := SlowDisk(save_last))
    before = {name: tensor.clone() for name, tensor in learner.judged_weights().items()}
    rate = learner.rate
    keeper.keep_last()
    with torch.no_grad():
        for tensor in [*learner.model.parameters(), *learner.average.model.parameters()]:
            tensor.fill_(7.0)
    learner.set_rate(0.5)
    learner.progress.best_metrics["error"] = 1.0
    learner.progress.step += 1
    disk.free.set()
    keeper.wait()
    content, digest = read_checkpoint(keeper._trial.place.last)
    assert all(torch.equal(content["model"][name], before[name]) for name in before)
    assert content["training"]["optimizer"]["param_groups"][0]["lr"] == rate
    assert content["training"]["progress"]["step"] == 0
    assert content["training"]["progress"]["best_metrics"] == {}
    assert keeper.digest == digest


def test_what_tells_of_a_file_waits_until_it_is_on_the_disk(keeper, monkeypatch):
    keeper, learner = keeper
    monkeypatch.setattr(keeping, "save_checkpoint", disk := SlowDisk(keeping.save_checkpoint))
    told = []
    keeper.keep_validated({"error": 1.0}, 0)
    keeper.after_writing(lambda: told.append(learner.progress.best_digest))
    keeper.look()
    assert told == []
    assert not keeper._trial.place.best.exists()
    disk.free.set()
    keeper.wait()
    assert told == [read_checkpoint(keeper._trial.place.best)[1]]


def test_an_error_in_writing_is_raised_at_the_next_look(keeper, monkeypatch):
    def fail(*_):
        raise CheckpointError("No space left on device")

    keeper, _ = keeper
    monkeypatch.setattr(keeping, "save_last", fail)
    keeper.keep_last()
    keeper._background._thread.shutdown()  # it is done
    with pytest.raises(CheckpointError, match="No space left"):
        keeper.look()
    assert keeper.digest == ""


def test_without_memory_for_a_copy_training_waits_for_its_checkpoint(keeper, monkeypatch, caplog):
    def full(_):
        raise torch.OutOfMemoryError("none left")

    keeper, _ = keeper
    monkeypatch.setattr(keeper._snapshot, "take", full)
    keeper.keep_last()
    assert keeper.digest == read_checkpoint(keeper._trial.place.last)[1]
    assert "for want of memory" in caplog.text


def test_a_rehearsal_takes_the_memory_of_a_checkpoint_and_writes_none(keeper):
    keeper, learner = keeper
    keeper.rehearse()
    places = {tensor.data_ptr() for kind in keeper._snapshot._memory.values() for tensor in kind}
    assert len(places) > len(learner.parameters())
    assert not keeper._trial.place.last.exists()
    keeper.keep_last()
    assert places == {
        tensor.data_ptr() for kind in keeper._snapshot._memory.values() for tensor in kind
    }
    keeper.wait()
