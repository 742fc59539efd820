"""How an attempt's ranks end: agreement on divergence, and each rank's own cause of death."""

import errno
import math
import multiprocessing
import os
import signal

import pytest

from protocol.messages import (
    NO_ROOM,
    Failed,
    Fault,
    Finished,
    Measured,
    NonFinite,
    Progressed,
    Started,
    Validated,
    load_plan,
)
from tests.ranks import attempt, events, make_plan, started, wait_for
from worker.calls.opened import open_checkpoint
from worker.processes.rank import PEER_PATIENCE, run_rank
from worker.ranks.faults import fault_of
from worker.ranks.group import JoinError, join
from worker.training.checkpoint import load_checkpoint

HUNGRY = "tests/families/hungry.py:Hungry"
PIPELINED = "tests/families/pipelined_toy.py:PipelinedToy"


def failures(trial):
    return {event.rank: event for event in events(trial, Failed)}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_nan_on_one_rank_ends_all_ranks_in_order_and_names_that_rank(tmp_path, accumulation):
    """The bad batch is its rank's first micro-batch of the second step."""
    trial = make_plan(
        tmp_path,
        ranks=2,
        recipe={
            "nan_at_step": accumulation + 1,
            "fault_rank": 1,
            "accumulation": accumulation,
            "batch_size": 2,
        },
    )
    assert attempt(trial, ranks=2) == [0, 0]
    (event,) = events(trial, NonFinite)
    assert (event.where, event.epoch, event.step, event.ranks) == ("loss", 1, 2, [1])
    assert event.losses.keys() == {"data", "bias"}
    assert math.isnan(event.losses["data"])
    assert "layers.0.weight" in event.tensors
    assert not events(trial, Failed)
    assert not events(trial, Finished)


def test_a_nonfinite_gradient_of_a_finite_loss_is_noticed_before_it_reaches_the_weights(tmp_path):
    trial = make_plan(
        tmp_path,
        ranks=2,
        checkpoint_seconds=0.0,
        recipe={"nan_gradient_at_step": 3, "fault_rank": 1},
    )
    assert attempt(trial, ranks=2) == [0, 0]
    (event,) = events(trial, NonFinite)
    assert (event.where, event.step, event.ranks) == ("gradient", 3, [0, 1])
    assert all(math.isfinite(value) for value in event.losses.values())
    last = load_checkpoint(trial.last)
    assert last["training"]["progress"]["step"] == 2
    assert all(bool(tensor.isfinite().all()) for tensor in last["model"].values())


def test_with_a_gradient_scaler_one_bad_gradient_only_skips_a_step(tmp_path):
    trial = make_plan(
        tmp_path,
        ranks=2,
        checkpoint_seconds=0.0,
        recipe={"nan_gradient_at_step": 3, "fault_rank": 1, "precision": "fp16", "ema_decay": 0.9},
    )
    assert attempt(trial, ranks=2) == [0, 0]
    assert not events(trial, NonFinite)
    assert len(events(trial, Validated)) == 2
    scaler = load_checkpoint(trial.last)["training"]["scaler"]
    assert scaler["scale"] == 65536 / 2


def test_with_a_gradient_scaler_a_run_of_bad_gradients_is_a_divergence(tmp_path):
    trial = make_plan(
        tmp_path,
        recipe={"always_nan_gradient": True, "precision": "fp16", "epochs": 3},
    )
    assert attempt(trial) == [0]
    (event,) = events(trial, NonFinite)
    assert (event.where, event.step) == ("gradient", 8)


def test_with_a_gradient_scaler_a_nonfinite_loss_is_a_divergence_at_once(tmp_path):
    trial = make_plan(tmp_path, recipe={"nan_at_step": 2, "precision": "fp16"})
    assert attempt(trial) == [0]
    (event,) = events(trial, NonFinite)
    assert (event.where, event.step) == ("loss", 2)


def test_a_nonfinite_objective_is_a_divergence_on_all_ranks(tmp_path):
    trial = make_plan(tmp_path, ranks=2, recipe={"nan_validation": True})
    assert attempt(trial, ranks=2) == [0, 0]
    (event,) = events(trial, NonFinite)
    assert (event.where, event.epoch, event.ranks) == ("validation", 1, [0, 1])
    assert math.isnan(event.losses["error"])
    assert not trial.best.exists()


def test_an_exception_on_one_rank_is_told_with_its_traceback_and_peers_are_bystanders(tmp_path):
    trial = make_plan(tmp_path, ranks=2, recipe={"raise_at_step": 2, "fault_rank": 1})
    assert attempt(trial, ranks=2) == [1, 1]
    told = failures(trial)
    assert told[1].error == "RuntimeError"
    assert told[1].message == "the toy was asked to raise at step 2"
    assert "in _misbehave" in told[1].traceback
    assert not told[1].user_error
    assert told[0].error == "PeerLost"


def test_the_peer_of_a_killed_rank_ends_soon_as_a_bystander(tmp_path):
    trial = make_plan(tmp_path, ranks=2, recipe={"step_seconds": 0.05, "epochs": 50})
    with started(trial, ranks=2) as processes:
        wait_for(lambda: events(trial, Progressed))
        os.kill(processes[1].pid, signal.SIGKILL)
        processes[0].join(5.0)
        assert processes[0].exitcode == 1
    assert failures(trial)[0].error == "PeerLost"


def test_the_peer_of_a_rank_that_stands_still_gives_up_after_its_patience(tmp_path):
    recipe = {"hang_at_step": 2, "fault_rank": 1}
    trial = make_plan(tmp_path, ranks=2, recipe=recipe, hang_seconds=3.0 / PEER_PATIENCE)
    with started(trial, ranks=2) as processes:
        processes[0].join(20.0)
        assert processes[0].exitcode == 1
        assert processes[1].is_alive()
    assert failures(trial)[0].error == "PeerLost"


def test_a_users_mistake_is_told_in_one_sentence_without_a_traceback(tmp_path):
    trial = make_plan(tmp_path, recipe={"user_error_at_step": 2})
    assert attempt(trial) == [1]
    told = failures(trial)[0]
    assert (told.error, told.user_error, told.traceback) == ("DataError", True, "")
    assert told.message == "the toy's file ended at step 2"


def test_a_wrong_recipe_value_is_a_users_mistake_that_names_its_key(tmp_path):
    trial = make_plan(tmp_path, recipe={"width": "wide"})
    assert attempt(trial) == [1]
    told = failures(trial)[0]
    assert told.user_error
    assert told.message == "recipe.width: found 'wide', expected a whole number"


def test_running_out_of_memory_is_told_by_its_name(tmp_path):
    trial = make_plan(tmp_path, recipe={"largest_batch": 2})
    assert attempt(trial) == [1]
    assert failures(trial)[0].fault is Fault.MEMORY


def test_a_ranks_memory_is_limited_beyond_what_its_program_holds(tmp_path):
    recipe = {"model_mb": 30, "sample_mb": 10, "batch_size": 8}
    for limit, codes in ((0.05, [1]), (0.5, [0])):
        trial = make_plan(tmp_path / str(limit), family=HUNGRY, recipe=recipe, memory_gb=limit)
        assert attempt(trial) == codes
        told = [event.fault for event in events(trial, Failed)]
        assert told == [Fault.MEMORY] * codes[0]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_smaller_micro_batch_trains_and_validates_to_the_same_numbers(tmp_path, ranks):
    recipe = {"batch_size": 5, "accumulation": 2, "clip_norm": 0.1}
    whole = make_plan(tmp_path / "whole", ranks=ranks, recipe=recipe)
    only_two = recipe | {"largest_batch": 2}  # at once; more is out of memory
    parts = make_plan(tmp_path / "parts", ranks=ranks, recipe=only_two, micro_batch=2)
    for trial in (whole, parts):
        assert attempt(trial, ranks=ranks) == [0] * ranks
    for one, other in zip(events(whole, Validated), events(parts, Validated), strict=True):
        assert other.step == one.step
        assert other.losses == pytest.approx(one.losses, rel=1e-4)
        assert other.metrics == pytest.approx(one.metrics, rel=1e-4)


def test_a_smaller_micro_batch_of_a_model_in_stages_gives_the_same_numbers(tmp_path):
    changes = {"family": PIPELINED, "recipe": {"batch_size": 4, "epochs": 1}}
    whole = make_plan(tmp_path / "whole", **changes)
    parts = make_plan(tmp_path / "parts", ranks=2, stages=2, micro_batch=1, **changes)
    assert attempt(whole) == [0]
    assert attempt(parts, ranks=2) == [0, 0]
    (one,), (other,) = events(whole, Validated), events(parts, Validated)
    assert other.losses == pytest.approx(one.losses, rel=1e-4)
    assert other.metrics == pytest.approx(one.metrics, rel=1e-4)


def test_a_checkpoint_is_judged_in_the_batches_that_fitted(tmp_path):
    trial = make_plan(tmp_path, recipe={"batch_size": 6, "epochs": 1}, micro_batch=3)
    assert attempt(trial) == [0]
    assert open_checkpoint(trial.best, "cpu").training.batch_size == 3


def test_pictures_that_do_not_fit_are_left_out_of_a_trained_trial(tmp_path):
    trial = make_plan(tmp_path, family=HUNGRY, recipe={"drawn_mb": 100}, memory_gb=0.06, pictures=2)
    assert attempt(trial) == [0]
    assert events(trial, Finished)
    assert not list(trial.pictures.iterdir())
    assert "out of memory while drawing" in trial.rank_log(0).read_text()


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_rehearsal_measures_two_steps_and_one_validation_batch(tmp_path, ranks):
    recipe = {"sample_mb": 5, "judged_mb": 40, "batch_size": 4, "epochs": 7}
    trial = make_plan(tmp_path, ranks=ranks, family=HUNGRY, recipe=recipe, rehearsal=True)
    assert attempt(trial, ranks=ranks) == [0] * ranks
    measured = {event.rank: event for event in events(trial, Measured)}
    assert sorted(measured) == list(range(ranks))
    for event in measured.values():
        assert 150 < event.peaks["cpu"] / 2**20 < 300  # the validation batch takes 160
        assert event.available["cpu"] > event.peaks["cpu"]
        assert event.seconds > 0
    assert not events(trial, Validated)
    assert not trial.last.exists()


def test_a_rehearsal_that_diverges_is_measured_all_the_same(tmp_path):
    trial = make_plan(tmp_path, recipe={"always_nan_gradient": True}, rehearsal=True)
    assert attempt(trial) == [0]
    assert events(trial, Measured)


def test_a_full_disk_is_no_defect_and_leaves_the_last_checkpoint(tmp_path):
    recipe = {"step_seconds": 0.05, "epochs": 50}
    trial = make_plan(tmp_path, recipe=recipe)
    with started(trial) as (process,):
        wait_for(lambda: events(trial, Validated))
        (trial.path / f".last.pth.{process.pid}.partial").symlink_to("/dev/full")
        process.join(20.0)
        assert process.exitcode == 1
    told = failures(trial)[0]
    assert told.fault is Fault.DISK
    assert told.message.startswith("No space left on device")
    assert load_checkpoint(trial.last)["training"]["progress"]["step"] > 0


def test_every_sign_of_progress_ticks(tmp_path):
    trial = make_plan(tmp_path, ranks=2, pictures=2, recipe={"epochs": 1, "batch_size": 2})
    assert attempt(trial, ranks=2) == [0, 0]
    (begun,) = events(trial, Started)
    for rank in range(2):
        ticks = len((trial.path / f"ticks{rank}").read_text())
        # each step, each of two validation rounds, two checkpoints, rank 0's pictures
        assert ticks >= begun.steps_per_epoch + 2 + 2 + (2 if rank == 0 else 0)


def test_a_deterministic_rank_trains_and_names_what_it_cannot_do_deterministically(tmp_path):
    trial = make_plan(tmp_path / "well", deterministic=True)
    assert attempt(trial) == [0]
    trial = make_plan(tmp_path, deterministic=True, recipe={"refused": True})
    assert attempt(trial) == [1]
    (failed,) = events(trial, Failed)
    assert failed.user_error
    assert failed.message.startswith("deterministic: found true, but the family ")
    assert "needs put_" in failed.message


def join_through_nothing(tmp_path):
    os.environ["GLOO_SOCKET_IFNAME"] = "nonsense"
    try:
        join(devices=["cpu", "cpu"], rank=0, rendezvous=tmp_path / "meeting", patience=5.0)
    except Exception as error:
        return type(error).__name__, str(error)
    return "", ""


def test_ranks_that_cannot_meet_say_why_themselves(tmp_path):
    """The path of gloo's own source stands in the message; that is no sign of a lost peer."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        kind, message = pool.apply(join_through_nothing, (tmp_path,))
    assert kind == "JoinError"
    assert "nonsense" in message
    plan = load_plan(make_plan(tmp_path).plan)
    assert fault_of(JoinError("at gloo/transport/tcp"), plan) is Fault.MACHINE


def test_a_family_that_leaves_the_program_has_failed_and_says_so(tmp_path):
    trial = make_plan(tmp_path, recipe={"leave_at_step": 2})
    assert attempt(trial) == [1]
    told = failures(trial)[0]
    assert (told.error, told.fault) == ("SystemExit", Fault.DEFECT)
    assert "leave_at_step" in told.traceback


def test_a_point_that_the_family_refuses_is_no_fault_of_the_users(tmp_path):
    trial = make_plan(
        tmp_path, recipe={"width": 4, "refused_width": 4}, searched=["width", "learning_rate"]
    )
    assert attempt(trial) == [1]
    assert failures(trial)[0].fault is Fault.RECIPE


def test_an_ending_for_which_there_is_no_room_is_told_by_the_exit_code(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("logging.basicConfig", lambda **_: None)  # a rank's is of its process
    monkeypatch.setattr("worker.processes.rank._train", full)
    trial = make_plan(tmp_path)
    assert run_rank(trial, 0, lambda: None) == 1
    trial.events.unlink()
    trial.events.symlink_to("/dev/full")
    assert run_rank(trial, 0, lambda: None) == NO_ROOM


class Odd(BaseException):
    pass


def test_whatever_is_raised_in_a_family_is_told(tmp_path, monkeypatch):
    def odd(*_):
        raise Odd("neither an exception nor an exit")

    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    monkeypatch.setattr("worker.processes.rank._train", odd)
    trial = make_plan(tmp_path)
    assert run_rank(trial, 0, lambda: None) == 1
    assert failures(trial)[0].error == "Odd"


@pytest.mark.parametrize(("limit", "always"), [(None, "False"), (8.0, "True")])
def test_a_rank_gives_way_to_neighbours_and_from_the_first_where_its_memory_is_limited(
    tmp_path, monkeypatch, limit, always
):
    told = tmp_path / "told"
    monkeypatch.setattr(
        "worker.processes.rank.give_way", lambda *, always: told.write_text(str(always))
    )
    trial = make_plan(tmp_path, ranks=1, memory_gb=limit)
    fork = multiprocessing.get_context("fork")
    rank = fork.Process(target=run_rank, args=(trial, 0, lambda: None))
    rank.start()
    rank.join(60)
    assert told.read_text() == always
