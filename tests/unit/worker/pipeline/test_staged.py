"""Whole trials of a model that is cut over real processes: results, checkpoints, ends."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from protocol.folders import TrialFolder
from protocol.messages import (
    Failed,
    Finished,
    NonFinite,
    Pictured,
    Started,
    Stop,
    Stopped,
    Validated,
)
from tests.ranks import attempt, events, make_plan, started, wait_for
from worker.calls.show import evaluate
from worker.training.checkpoint import load_checkpoint

TOY = "tests/families/pipelined_toy.py:PipelinedToy"
# What could differ: an average, buffers, clipping, steps whose micro-batches differ in shape.
RICH = {
    "epochs": 2,
    "batch_size": 2,
    "accumulation": 2,
    "batch_norm": True,
    "ema_decay": 0.9,
    "clip_norm": 0.5,
    "scheduler": "plateau",
    "plateau_patience": 0,
    "optimizer": "adamw",
}
CHANGES: dict[str, Any] = {"family": TOY, "data": {"samples": 7}, "checkpoint_seconds": 0.0}
DEAD_WITHIN = 15.0  # seconds; mostly for a busy machine to start processes


def plan(folder: Path, *, stages: int = 1, replicas: int = 1, **changes: Any) -> TrialFolder:
    recipe = RICH | changes.pop("recipe", {})
    ranks = 1 if changes.get("schedule") == "device_map" else stages * replicas
    devices = ["cpu"] * (stages * replicas)
    return make_plan(
        folder, ranks=ranks, stages=stages, devices=devices, recipe=recipe, **(CHANGES | changes)
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> TrialFolder:
    trial = plan(tmp_path_factory.mktemp("whole"), pictures=1)
    assert attempt(trial) == [0]
    return trial


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> TrialFolder:
    trial = plan(tmp_path_factory.mktemp("split"), stages=3, pictures=1)
    assert attempt(trial, ranks=3) == [0, 0, 0], trial.rank_log(0).read_text()
    return trial


def assert_same_result(trial: TrialFolder, whole: TrialFolder) -> None:
    told, expected = events(trial, Validated), events(whole, Validated)
    assert [event.step for event in told] == [event.step for event in expected]
    for one, other in zip(told, expected, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5)
        assert one.losses == pytest.approx(other.losses, rel=1e-5)
    assert len(events(trial, Finished)) == 1
    for path in ("last", "best"):
        assert_same_content(getattr(trial, path), getattr(whole, path))


def assert_same_content(path: Path, expected: Path) -> None:
    """One layout: the same entries in the same order, and the same numbers up to rounding."""
    found, wanted = (dict(flat(load_checkpoint(file))) for file in (path, expected))
    assert list(found) == list(wanted)
    for key, value in wanted.items():
        if isinstance(value, torch.Tensor) and ".random." not in key:
            assert found[key].shape == value.shape
            torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5, msg=key)


def flat(content: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            if key != "recipe":  # where a fault stands
                yield from flat(value, f"{place}.{key}")
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            yield from flat(value, f"{place}.{number}")
    else:
        yield place, content


def test_three_stages_train_as_one_process_does(split, whole):
    assert_same_result(split, whole)
    (begun,) = events(split, Started)
    assert (begun.ranks, begun.stages) == (3, 3)
    assert begun.parameters == events(whole, Started)[0].parameters


def test_three_stages_draw_the_best_models_pictures_together(split, whole):
    (drawn,) = events(split, Pictured)
    (expected,) = events(whole, Pictured)
    image = (split.path / drawn.path).read_bytes()
    assert image == (whole.path / expected.path).read_bytes()


def test_a_split_trials_checkpoint_is_judged_in_one_process(split):
    best = min(event.metrics["error"] for event in events(split, Validated))
    assert evaluate(split.best, "validation")["error"] == pytest.approx(best, rel=1e-5)


def test_two_replicas_of_two_stages_train_as_one_process_does(tmp_path):
    # Batch normalisation takes its statistics from a replica's own samples.
    plain = {"batch_norm": False}
    one = plan(tmp_path / "one", recipe=plain | {"accumulation": 4})
    assert attempt(one) == [0]
    mesh = plan(tmp_path / "mesh", stages=2, replicas=2, recipe=plain | {"accumulation": 2})
    assert attempt(mesh, ranks=4) == [0] * 4
    for single, double in zip(events(one, Validated), events(mesh, Validated), strict=True):
        assert double.metrics == pytest.approx(single.metrics, rel=1e-4)
        assert double.losses == pytest.approx(single.losses, rel=1e-4)


def test_a_device_map_in_one_process_trains_alike(tmp_path, whole):
    mapped = plan(tmp_path, stages=3, schedule="device_map")
    assert attempt(mapped) == [0]
    assert_same_result(mapped, whole)


def test_a_killed_stage_ends_the_others_within_seconds_and_one_process_goes_on(tmp_path, whole):
    fault = {"fault_level": 1, "die_at_step": 6, "fault_once": str(tmp_path / "died")}
    trial = plan(tmp_path, stages=3, recipe=fault)
    began = time.monotonic()
    codes = attempt(trial, ranks=3)
    assert time.monotonic() - began < DEAD_WITHIN
    assert codes == [1, -signal.SIGKILL, 1]
    assert {event.error for event in events(trial, Failed)} == {"PeerLost"}
    # Seven samples are a step of two micro-batches of two, and one of two and one.
    plan(tmp_path, recipe=fault, attempt=1)
    assert attempt(trial) == [0]
    assert [event.resumed_step for event in events(trial, Started)] == [0, 2]
    assert_same_result(trial, whole)


def test_a_stop_is_followed_by_all_stages_and_other_stages_go_on(tmp_path, whole):
    trial = plan(tmp_path, stages=3, schedule="gpipe", recipe={"step_seconds": 0.3})
    with started(trial, ranks=3) as processes:
        wait_for(lambda: events(trial, Started))
        trial.stop.write_text(Stop.INTERRUPT)
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
    (stopped,) = events(trial, Stopped)
    trial.stop.unlink()
    plan(tmp_path, stages=2, attempt=1)
    assert attempt(trial, ranks=2) == [0, 0]
    assert [event.resumed_step for event in events(trial, Started)] == [0, stopped.step]
    assert_same_result(trial, whole)


@pytest.mark.parametrize(
    ("fault", "where", "ranks"),
    [
        ({"fault_level": 2, "nan_at_step": 4}, "loss", [2]),
        ({"fault_level": 1, "nan_gradient_at_step": 3}, "gradient", [0, 1]),
    ],
)
def test_a_non_finite_number_on_any_stage_is_a_divergence_of_all(tmp_path, fault, where, ranks):
    trial = plan(tmp_path, stages=3, recipe=fault)
    assert attempt(trial, ranks=3) == [0, 0, 0]
    (event,) = events(trial, NonFinite)
    assert (event.where, event.step, event.ranks) == (where, 2, ranks)
    assert event.losses.keys() == {"data", "bias"}
    assert event.tensors
    assert not events(trial, Finished)


def test_an_error_on_a_later_stage_is_told_by_its_own_name(tmp_path):
    trial = plan(tmp_path, stages=2, recipe={"fault_level": 2, "raise_at_step": 1})
    assert attempt(trial, ranks=2) == [1, 1]
    told = {event.rank: event for event in events(trial, Failed)}
    assert told[1].error == "RuntimeError"
    assert told[1].message == "the toy was asked to raise at step 1"
    assert told[0].error == "PeerLost"


def test_all_stages_skip_an_fp16_step_that_one_of_them_has_to_skip(tmp_path):
    fault = {"fault_level": 1, "nan_gradient_at_step": 3, "precision": "fp16"}
    trials = [plan(tmp_path / str(stages), stages=stages, recipe=fault) for stages in (1, 3)]
    assert attempt(trials[0]) == [0]
    assert attempt(trials[1], ranks=3) == [0, 0, 0]
    one, three = (load_checkpoint(trial.last) for trial in trials)
    assert three["training"]["scaler"] == one["training"]["scaler"]
    steps = [state["step"].item() for state in three["training"]["optimizer"]["state"].values()]
    assert set(steps) == {3.0}, "of four"
    for key, value in one["model"].items():
        torch.testing.assert_close(three["model"][key], value, rtol=1e-3, atol=1e-4)
