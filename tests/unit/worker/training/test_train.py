"""Whole trials in real processes: what training comes to, and what survives a kill or a stop."""

import os
import random
import signal
import time
from contextlib import suppress

import pytest
import torch

from protocol.errors import CheckpointError
from protocol.messages import Finished, NonFinite, Progressed, Started, Stop, Stopped, Validated
from tests.ranks import attempt, events, make_plan, started, wait_for
from worker.training.checkpoint import load_checkpoint, read_checkpoint

# Everything that could hide state: augmentation, dropout, momentum, a schedule, an average.
RICH = {
    "epochs": 3,
    "dropout": 0.2,
    "batch_norm": True,
    "ema_decay": 0.9,
    "scheduler": "plateau",
    "plateau_patience": 0,
    "warmup_steps": 4,
    "clip_norm": 0.5,
    "accumulation": 2,
    "batch_size": 2,
}
NOISY = {"noise": 0.1, "samples": 22}


def weights(path):
    return load_checkpoint(path)["model"]


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def whole_run(folder, *, ranks=1, **changes):
    trial = make_plan(folder / "whole", ranks=ranks, **changes)
    assert attempt(trial, ranks=ranks) == [0] * ranks
    return trial


def assert_same_result(trial, whole):
    assert same(weights(trial.last), weights(whole.last))
    assert same(weights(trial.best), weights(whole.best))
    assert len(events(trial, Finished)) == 1
    told, expected = events(trial, Validated), events(whole, Validated)
    assert [event.epoch for event in told] == [event.epoch for event in expected]
    assert [event.metrics for event in told] == [event.metrics for event in expected]
    for one, other in zip(told, expected, strict=True):
        assert one.losses == pytest.approx(other.losses)
        assert (one.step, one.best, one.learning_rate) == (
            other.step,
            other.best,
            other.learning_rate,
        )


def test_training_improves_the_objective_and_ends_with_the_best_epoch(tmp_path):
    trial = whole_run(tmp_path, recipe={"epochs": 4})
    values = [event.metrics["error"] for event in events(trial, Validated)]
    assert values[-1] < 0.7 * values[0]
    (finished,) = events(trial, Finished)
    assert finished.metrics["error"] == min(values)
    assert finished.best_epoch == values.index(min(values)) + 1
    assert load_checkpoint(trial.best)["metrics"] == finished.metrics
    (begun,) = events(trial, Started)
    assert (begun.ranks, begun.epochs, begun.steps_per_epoch, begun.resumed_step) == (1, 4, 6, 0)
    assert begun.parameters == 4 * 9 + 4 + 4 * 9 + 1


def test_two_ranks_equal_one_rank_with_the_doubled_batch(tmp_path):
    """13 samples in global batches of 8: the last one leaves a rank's micro-batches short."""
    recipe = {"accumulation": 2, "epochs": 2, "clip_norm": 1.0, "optimizer": "sgd"}
    data = {"samples": 13, "noise": 0.1}
    one = whole_run(tmp_path / "1", recipe=recipe | {"batch_size": 4}, data=data)
    two = whole_run(tmp_path / "2", ranks=2, recipe=recipe | {"batch_size": 2}, data=data)
    first, second = weights(one.last), weights(two.last)
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-6)
    for single, double in zip(events(one, Validated), events(two, Validated), strict=True):
        assert single.metrics == pytest.approx(double.metrics, rel=1e-5)
        assert single.losses == pytest.approx(double.losses, rel=1e-5)


def test_a_rank_without_any_sample_in_the_last_batch_changes_nothing(tmp_path):
    recipe = {"epochs": 1, "optimizer": "sgd"}
    one = whole_run(tmp_path / "1", recipe=recipe | {"batch_size": 2}, data={"samples": 3})
    two = whole_run(tmp_path / "2", ranks=2, recipe=recipe | {"batch_size": 1}, data={"samples": 3})
    first, second = weights(one.last), weights(two.last)
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)


@pytest.mark.parametrize("loader_workers", [0, 2])
def test_a_kill_within_an_epoch_leads_to_the_very_same_weights(tmp_path, loader_workers):
    changes = {"data": NOISY, "checkpoint_seconds": 0.0}
    recipe = RICH | {"loader_workers": loader_workers}
    whole = whole_run(tmp_path, recipe=recipe, **changes)
    fault = {"die_at_step": 16, "fault_once": str(tmp_path / "died")}
    trial = make_plan(tmp_path, recipe=recipe | fault, **changes)
    assert attempt(trial) == [-signal.SIGKILL]
    make_plan(tmp_path, recipe=recipe | fault, attempt=1, **changes)
    assert attempt(trial) == [0]
    # 22 samples are five steps of two micro-batches and one of one; the 16th is the ninth step's.
    # The checkpoint of the eighth may still be written then.
    assert [event.resumed_step for event in events(trial, Started)] in ([0, 7], [0, 8])
    assert_same_result(trial, whole)


def test_a_moving_clipping_threshold_goes_on_after_a_kill_as_if_there_had_been_none(tmp_path):
    recipe = {"clip_norm": 1.0, "clip_dynamic": 1.01, "epochs": 10}  # of three steps
    changes = {"checkpoint_seconds": 0.0, "ranks": 2}
    whole = whole_run(tmp_path, recipe=recipe, **changes)
    fault = {"die_at_step": 26, "fault_once": str(tmp_path / "died")}
    trial = make_plan(tmp_path, recipe=recipe | fault, **changes)
    assert -signal.SIGKILL in attempt(trial, ranks=2)
    make_plan(tmp_path, recipe=recipe | fault, attempt=1, **changes)
    assert attempt(trial, ranks=2) == [0, 0]
    assert events(trial, Started)[1].resumed_step in (24, 25)
    states = [load_checkpoint(place.last)["training"]["clipping"] for place in (trial, whole)]
    assert states[0] == states[1]
    assert states[0]["steps"] == 30
    assert_same_result(trial, whole)


@pytest.mark.parametrize("killed_at", [2, 8])
def test_a_kill_among_three_ranks_leads_to_the_very_same_bits(tmp_path, killed_at):
    """With three ranks the order of addition tells, which two ranks cannot show."""
    recipe = RICH | {"width": 24, "epochs": 2}
    changes = {"data": NOISY, "checkpoint_seconds": 0.0, "ranks": 3}
    whole = whole_run(tmp_path, recipe=recipe, **changes)
    fault = {"die_at_step": killed_at, "fault_once": str(tmp_path / "died"), "fault_rank": 1}
    trial = make_plan(tmp_path, recipe=recipe | fault, **changes)
    assert -signal.SIGKILL in attempt(trial, ranks=3)
    make_plan(tmp_path, recipe=recipe | fault, attempt=1, **changes)
    assert attempt(trial, ranks=3) == [0, 0, 0]
    assert_same_result(trial, whole)
    assert_same_digests(trial, whole)
    told, expected = ([e.losses for e in events(place, Validated)] for place in (trial, whole))
    assert told == expected


def test_kills_at_random_moments_lead_to_the_very_same_weights(tmp_path):
    changes = {"data": NOISY, "checkpoint_seconds": 0.0}
    recipe = RICH | {"step_seconds": 0.01, "epochs": 4}
    whole = whole_run(tmp_path, recipe=recipe, **changes)
    chance = random.Random(0)
    for number in range(40):
        trial = make_plan(tmp_path, recipe=recipe, attempt=number, **changes)
        with started(trial) as (process,):
            if number < 8:
                wait_for(lambda: len(events(trial, Started)) > number)  # noqa: B023
                time.sleep(chance.uniform(0.0, 0.3))
                # A fast machine may have finished the trial in the meantime.
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            process.join()
            if process.exitcode == 0:
                break
    assert number >= 3
    assert_same_result(trial, whole)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_stop_within_an_epoch_is_followed_at_the_next_step_and_undone_by_resuming(
    tmp_path, ranks
):
    recipe = RICH | {"step_seconds": 0.02}
    changes = {"data": NOISY, "ranks": ranks}
    whole = whole_run(tmp_path, recipe=recipe, **changes)
    trial = make_plan(tmp_path, recipe=recipe, **changes)
    with started(trial, ranks=ranks) as processes:
        wait_for(lambda: events(trial, Progressed))
        trial.stop.write_text(Stop.PRUNED)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0] * ranks
    (stopped,) = events(trial, Stopped)
    assert stopped.reason == Stop.PRUNED
    assert not events(trial, Finished)
    trial.stop.unlink()
    make_plan(tmp_path, recipe=recipe, attempt=1, **changes)
    assert attempt(trial, ranks=ranks) == [0] * ranks
    assert events(trial, Started)[1].resumed_step == stopped.step
    if ranks == 1:
        assert_same_result(trial, whole)
    else:
        found, expected = weights(trial.last), weights(whole.last)
        assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)


def test_an_epochs_loss_means_cover_what_all_ranks_trained_on_before_a_stop(tmp_path):
    changes = {"data": NOISY, "ranks": 2, "recipe": RICH | {"epochs": 1}}
    whole = whole_run(tmp_path, **changes)
    trial = make_plan(tmp_path, **changes)
    trial.stop.write_text(Stop.INTERRUPT)
    assert attempt(trial, ranks=2) == [0, 0]
    assert [event.step for event in events(trial, Stopped)] == [1]
    trial.stop.unlink()
    make_plan(tmp_path, attempt=1, **changes)
    assert attempt(trial, ranks=2) == [0, 0]
    (found,), (expected,) = events(trial, Validated), events(whole, Validated)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)


def test_a_stop_within_validation_repeats_the_validation_on_resuming(tmp_path):
    recipe = RICH | {"epochs": 1}
    changes = {"data": NOISY | {"validation_samples": 9}, "ranks": 2}
    whole = whole_run(tmp_path, recipe=recipe, **changes)
    mark = tmp_path / "validating"
    slow = {"validation_seconds": 0.6, "validation_mark": str(mark)}
    trial = make_plan(tmp_path, recipe=recipe | slow, **changes)
    with started(trial, ranks=2) as processes:
        wait_for(mark.exists)
        trial.stop.write_text(Stop.INTERRUPT)
        for process in processes:
            process.join()
    (stopped,) = events(trial, Stopped)
    assert stopped.step == events(whole, Validated)[0].step
    assert not events(trial, Validated)
    trial.stop.unlink()
    make_plan(tmp_path, recipe=recipe, attempt=1, **changes)
    assert attempt(trial, ranks=2) == [0, 0]
    assert events(trial, Validated)[0].metrics == pytest.approx(events(whole, Validated)[0].metrics)
    assert events(trial, Validated)[0].losses == pytest.approx(events(whole, Validated)[0].losses)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_kill_within_validation_loses_no_step_and_changes_no_event(tmp_path, ranks):
    changes = {"data": NOISY, "ranks": ranks}
    whole = whole_run(tmp_path, recipe=RICH, **changes)
    mark = tmp_path / "validating"
    slow = {"validation_seconds": 0.3, "validation_mark": str(mark)}
    trial = make_plan(tmp_path, recipe=RICH | slow, digest_epochs=[1, 2, 3], **changes)
    with started(trial, ranks=ranks) as processes:
        for epoch in (1, 2):
            wait_for(mark.exists)
            mark.unlink()
            wait_for(lambda: len(events(trial, Validated)) >= epoch)  # noqa: B023
            mark.unlink(missing_ok=True)
        wait_for(mark.exists)
        wait_for(lambda: load_checkpoint(trial.last)["epoch"] == 3)
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
    make_plan(tmp_path, recipe=RICH, attempt=1, **changes)
    assert attempt(trial, ranks=ranks) == [0] * ranks
    first = events(whole, Validated)
    resumed = events(trial, Started)[1].resumed_step
    assert resumed == first[len(events(trial, Validated)) - 1].step == first[-1].step
    assert_same_result(trial, whole)
    assert [event.losses for event in events(trial, Validated)] == [e.losses for e in first]
    assert_same_digests(trial, whole)


def test_a_kill_after_validation_judges_the_epoch_again_to_the_same_end(tmp_path):
    whole = whole_run(tmp_path, recipe=RICH, data=NOISY)
    trial = whole_run(tmp_path / "cut", recipe=RICH, data=NOISY)
    trial.previous.replace(trial.last)  # as it was before the last epoch was validated
    lines = trial.events.open()
    trial.events.write_text("".join(line for line in lines if '"finished"' not in line))
    make_plan(trial.path.parent, recipe=RICH, data=NOISY, attempt=1)
    assert attempt(trial) == [0]
    assert_same_result(trial, whole)
    assert_same_digests(trial, whole)


def test_two_runs_compare_by_their_events_digests_and_those_by_the_files(tmp_path):
    one, same_again = (whole_run(tmp_path / name, recipe=RICH, data=NOISY) for name in "ab")
    assert_same_digests(one, same_again)
    other = whole_run(tmp_path / "c", recipe=RICH, data=NOISY, seed=4)
    assert events(one, Finished)[0].digest != events(other, Finished)[0].digest
    (finished,) = events(one, Finished)
    assert finished.digest == read_checkpoint(one.last)[1]
    assert finished.best_digest == read_checkpoint(one.best)[1]
    bests = [event.best_digest for event in events(one, Validated) if event.best]
    assert finished.best_digest == bests[-1]


def assert_same_digests(trial, whole):
    """Of every epoch that both kept, of the first one's training at least, and of every best."""
    told, expected = events(trial, Validated), events(whole, Validated)
    pairs = [(one.digest, other.digest) for one, other in zip(told, expected, strict=True)]
    assert all(one == other for one, other in pairs if one and other)
    assert all(len(digest) == 64 for digest in pairs[0])
    assert [e.best_digest for e in told] == [e.best_digest for e in expected]
    for trials in (told, expected):
        assert all(bool(event.best_digest) == event.best for event in trials)
    (end,), (right,) = events(trial, Finished), events(whole, Finished)
    assert (end.digest, end.best_digest) == (right.digest, right.best_digest)


def test_an_epochs_event_that_a_kill_swallowed_is_told_on_resuming_once(tmp_path):
    whole = whole_run(tmp_path, recipe=RICH)
    trial = whole_run(tmp_path / "cut", recipe=RICH)
    lines = trial.events.read_text().splitlines()
    last_epoch = next(i for i, line in enumerate(lines) if '"epoch":3' in line and "valid" in line)
    trial.events.write_text("\n".join(lines[:last_epoch]) + "\n")
    for number in (1, 2):
        make_plan(trial.path.parent, recipe=RICH, attempt=number)
        assert attempt(trial) == [0]
        assert [event.epoch for event in events(trial, Validated)] == [1, 2, 3]
    assert [event.metrics for event in events(trial, Validated)] == [
        event.metrics for event in events(whole, Validated)
    ]
    assert read_checkpoint(trial.best)[1] == events(whole, Finished)[0].best_digest
    assert len(events(trial, Finished)) == 2  # one an attempt, with nothing trained again
    assert events(trial, Started)[-1].resumed_step == events(whole, Finished)[0].step


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path):
    whole = whole_run(tmp_path, recipe=RICH, data=NOISY)
    trial = whole_run(tmp_path / "hurt", recipe=RICH, data=NOISY)
    damaged = bytearray(trial.last.read_bytes())
    weights = load_checkpoint(trial.last)["model"]["layers.0.weight"].numpy().tobytes()
    damaged[damaged.index(weights)] ^= 1
    trial.last.write_bytes(damaged)
    with pytest.raises(CheckpointError):
        load_checkpoint(trial.last)
    trial.events.write_text(
        "".join(line for line in trial.events.open() if '"finished"' not in line)
    )
    make_plan(trial.path.parent, recipe=RICH, data=NOISY, attempt=1)
    assert attempt(trial) == [0]
    assert "last.pth is damaged" in trial.rank_log(0).read_text()
    assert "going on from previous.pth" in trial.rank_log(0).read_text()
    assert_same_result(trial, whole)


def test_a_time_between_checkpoints_within_an_epoch_is_kept(tmp_path):
    recipe = {"epochs": 1, "step_seconds": 0.05}
    data = {"samples": 60}
    trial = make_plan(tmp_path, recipe=recipe, data=data, checkpoint_seconds=0.2, ranks=2)
    seen = set()
    with started(trial, ranks=2) as processes:
        while processes[0].is_alive():
            if trial.last.exists():
                seen.add(trial.last.stat().st_mtime_ns)
            time.sleep(0.005)
        assert [process.join() or process.exitcode for process in processes] == [0, 0]
    assert 2 <= len(seen) <= 5


def test_an_epochs_end_is_kept_when_a_checkpoint_is_due_and_the_first_and_the_last_always(tmp_path):
    trial = whole_run(tmp_path, recipe={"epochs": 6})
    kept = [load_checkpoint(path)["training"]["progress"] for path in (trial.previous, trial.last)]
    assert [(progress["epoch"], progress["step"]) for progress in kept] == [(1, 6), (7, 36)]
    assert [bool(event.digest) for event in events(trial, Validated)] == [True] + 5 * [False]


@pytest.mark.parametrize(("ranks", "forward_passes"), [(1, 11), (3, 4)])
def test_epochs_that_were_told_are_trained_again_to_the_same_end_and_not_told_again(
    tmp_path, ranks, forward_passes
):
    recipe = RICH | {"epochs": 6}
    changes = {"data": NOISY, "ranks": ranks}
    whole = whole_run(tmp_path, recipe=recipe, digest_epochs=list(range(1, 7)), **changes)
    steps = events(whole, Started)[0].steps_per_epoch
    fault = {"die_at_step": 4 * forward_passes + 2, "fault_once": str(tmp_path / "died")}
    trial = make_plan(tmp_path, recipe=recipe | fault, **changes)
    assert -signal.SIGKILL in attempt(trial, ranks=ranks)
    told = events(trial, Validated)
    assert len(told) in (3, 4), "the fourth one's best.pth may still be written"
    make_plan(tmp_path, recipe=recipe | fault, attempt=1, **changes)
    assert attempt(trial, ranks=ranks) == [0] * ranks
    assert events(trial, Started)[1].resumed_step == steps
    assert events(trial, Validated)[: len(told)] == told
    assert_same_result(trial, whole)
    assert_same_digests(trial, whole)
    assert "came" not in trial.rank_log(0).read_text(), "every epoch came to what was told"


def cut_back(trial, epoch):
    """As a kill leaves it that fell after `epoch` was told, with the first epoch's checkpoint."""
    trial.previous.replace(trial.last)
    lines, kept = trial.events.read_text().splitlines(), []
    for line in lines:
        if '"finished"' in line or f'"epoch":{epoch + 1},' in line:
            break
        kept.append(line)
    trial.events.write_text("".join(f"{line}\n" for line in kept))


def test_a_best_epoch_that_was_not_told_gives_way_to_the_one_that_was(tmp_path):
    """Who decides in the meantime decides by what was told."""
    recipe = {"epochs": 4}
    trial = whole_run(tmp_path, recipe=recipe)
    told = events(trial, Validated)
    assert [event.best for event in told] == 4 * [True]
    cut_back(trial, 3)
    trial.stop.write_text(Stop.PRUNED)
    make_plan(trial.path.parent, recipe=recipe, attempt=1)
    assert attempt(trial) == [0]
    assert events(trial, Stopped)[0].step == 6, "the first epoch's end"
    assert read_checkpoint(trial.best)[1] == told[2].best_digest
    trial.stop.unlink()
    make_plan(trial.path.parent, recipe=recipe, attempt=2)
    assert attempt(trial) == [0]
    assert read_checkpoint(trial.best)[1] == told[3].best_digest
    assert [e.best_digest for e in events(trial, Validated)] == [e.best_digest for e in told]


def test_a_told_best_that_is_lost_is_made_once_more_when_its_epoch_comes_again(tmp_path):
    recipe = {"epochs": 4}
    trial = whole_run(tmp_path, recipe=recipe)
    told = events(trial, Validated)
    cut_back(trial, 3)
    trial.best.unlink()
    for spare in trial.path.glob(".best_*"):
        spare.unlink()
    make_plan(trial.path.parent, recipe=recipe | {"raise_at_step": 14}, attempt=1)
    assert attempt(trial) == [1]
    assert read_checkpoint(trial.best)[1] == told[2].best_digest


def test_what_was_told_holds_where_an_epoch_comes_to_something_else(tmp_path):
    """As on hardware that adds up in another order every time: others have acted on it."""
    recipe = {"epochs": 4}
    trial = whole_run(tmp_path, recipe=recipe)
    cut_back(trial, 3)
    error = events(trial, Validated)[2].metrics["error"]
    trial.events.write_text(trial.events.read_text().replace(f"{error}", "1e-05"))
    make_plan(trial.path.parent, recipe=recipe, attempt=1)
    assert attempt(trial) == [0]
    (finished,) = events(trial, Finished)
    assert (finished.best_epoch, finished.metrics["error"]) == (3, 1e-05)
    assert load_checkpoint(trial.best)["epoch"] == 3
    assert [event.best for event in events(trial, Validated)] == [True, True, True, False]
    assert "that holds" in trial.rank_log(0).read_text()


def test_early_stopping_ends_the_trial_and_is_remembered(tmp_path):
    recipe = {"epochs": 50, "early_stopping": 2, "learning_rate": 0.2}
    trial = whole_run(tmp_path, recipe=recipe)
    (finished,) = events(trial, Finished)
    values = [event.metrics["error"] for event in events(trial, Validated)]
    assert finished.early
    assert [e.last for e in events(trial, Validated)] == [False] * (finished.epoch - 1) + [True]
    assert finished.epoch == len(values) == finished.best_epoch + 2 < 50
    assert finished.best_epoch == values.index(min(values)) + 1
    best = load_checkpoint(trial.best)
    assert (best["epoch"], best["metrics"]) == (finished.best_epoch, finished.metrics)
    make_plan(trial.path.parent, recipe=recipe, attempt=1)
    assert attempt(trial) == [0]
    assert len(events(trial, Validated)) == len(values)


def test_the_best_checkpoint_holds_the_averaged_weights_that_were_validated(tmp_path):
    recipe = RICH | {"epochs": 1}
    trial = whole_run(tmp_path, recipe=recipe, checkpoint_epochs=1)
    last = load_checkpoint(trial.last)
    assert same(weights(trial.best), last["model"])
    assert not same(last["training"]["weights"], last["model"])
    assert same(weights(trial.epoch(1)), last["model"])


def test_every_kth_epochs_checkpoint_is_kept_where_asked_for(tmp_path):
    trial = whole_run(tmp_path, recipe={"epochs": 5}, checkpoint_epochs=2)
    kept = sorted(path.name for path in trial.path.glob("epoch_*.pth"))
    assert kept == ["epoch_2.pth", "epoch_4.pth"]
    assert load_checkpoint(trial.epoch(4))["epoch"] == 4


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_mixed_precision_trains_with_every_optimiser(tmp_path, precision, optimizer):
    rate = 0.1 if optimizer == "sgd" else 0.01
    recipe = {"precision": precision, "optimizer": optimizer, "learning_rate": rate}
    trial = whole_run(tmp_path, recipe=recipe)
    first, last = events(trial, Validated)
    assert last.metrics["error"] < first.metrics["error"]
    full = whole_run(tmp_path / "full", recipe=recipe | {"precision": "off"})
    assert weights(full.last)["layers.0.weight"].dtype == torch.float32
    assert not same(weights(full.last), weights(trial.last))
    assert last.metrics == pytest.approx(events(full, Validated)[-1].metrics, rel=0.1)


def test_natural_divergence_ends_the_trial_as_nonfinite(tmp_path):
    trial = whole_run(tmp_path, recipe={"steep": True, "learning_rate": 3.0, "epochs": 5})
    (event,) = events(trial, NonFinite)
    assert event.where in ("loss", "gradient")
    assert not events(trial, Finished)


def test_the_learning_rate_follows_the_recipes_schedule(tmp_path):
    recipe = {"epochs": 4, "scheduler": "step", "step_epochs": 2, "step_factor": 0.1}
    trial = whole_run(tmp_path, recipe=recipe)
    rates = [event.learning_rate for event in events(trial, Validated)]
    assert rates == pytest.approx([0.01, 0.01, 0.001, 0.001])


def test_validation_leaves_the_model_in_training_mode_for_the_next_epoch(tmp_path):
    trial = whole_run(tmp_path, recipe={"epochs": 3, "batch_norm": True})
    assert weights(trial.last)["layers.1.num_batches_tracked"] == 3 * 6
