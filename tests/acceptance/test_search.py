"""A study from the command line to its answer."""

from __future__ import annotations

import json

import pytest
import torch

from protocol.messages import Validated
from tests.studio import Studio
from worker.training.checkpoint import load_checkpoint


def test_a_study_reaches_its_budget_and_leaves_what_it_promises(studio):
    studio.change(n_trials=3, parallel={"kind": "ddp", "ranks": 2}, pictures=1)
    code, output = studio.run()
    assert code == 0, output
    assert studio.states() == ["COMPLETE"] * 3
    for trial in studio.trials():
        folder = studio.trial(trial.number)
        names = {path.name for path in folder.path.iterdir()}
        assert {
            "plan.json",
            "events.jsonl",
            "outcome.json",
            "rank0.log",
            "rank1.log",
            "best.pth",
            "last.pth",
            "pictures",
        } <= names
        assert list(folder.pictures.glob("*.png"))
        assert "epoch 2/2, step 6: error " in folder.rank_log(0).read_text()
        validated = [e for e in studio.events(trial.number) if isinstance(e, Validated)]
        assert trial.value == min(e.metrics["error"] for e in validated)
        assert trial.intermediate_values == {e.epoch: e.metrics["error"] for e in validated}
    assert studio.folder.settings.exists()
    assert "checkpoint" in output
    assert "visualize" in output
    assert not studio.processes()


def test_status_as_json_tells_counts_and_the_best_trial(finished):
    code, output = finished.command("status", "--json")
    assert code == 0
    status = json.loads(output)
    best = min(finished.trials(), key=lambda trial: trial.value)
    assert status["study_name"] == "x"
    assert status["n_trials"] == 3
    assert status["counts"] == {"complete": 3, "pruned": 0, "failed": 0, "running": 0}
    assert status["best"]["number"] == best.number
    assert status["best"]["value"] == best.value
    assert status["best"]["params"] == best.params
    assert load_checkpoint(finished.trial(best.number).best)
    assert status["best"]["checkpoint"] == str(finished.trial(best.number).best)


def test_the_same_command_again_on_a_finished_study_repeats_nothing(finished, launcher):
    before = {p: p.stat().st_mtime_ns for p in finished.folder.path.glob("trial_*/*.pth")}
    assert len(before) >= 6
    finished.launcher = launcher
    code, _ = finished.run()
    assert code == 0
    assert len(finished.trials()) == 3
    assert {p: p.stat().st_mtime_ns for p in finished.folder.path.glob("trial_*/*.pth")} == before


def test_a_larger_budget_adds_trials_to_the_study(finished, launcher):
    finished.launcher = launcher
    code, _ = finished.run("--n_trials", "5")
    assert code == 0
    assert [trial.number for trial in finished.trials()] == [0, 1, 2, 3, 4]


def test_a_resumed_study_asks_what_an_uninterrupted_one_asks(studio, tmp_path, launcher):
    studio.change(n_trials=6, recipe={"epochs": 1}, sampler={"n_startup_trials": 2}, pictures=0)
    studio.run("--n_trials", "3")
    studio.launcher = launcher
    studio.run("--n_trials", "6")
    whole = Studio(tmp_path, name="whole", preset=studio.preset, launcher=launcher)
    whole.run()
    assert [t.params for t in studio.trials()] == [t.params for t in whole.trials()]
    assert [t.value for t in studio.trials()] == [t.value for t in whole.trials()]


def test_an_enqueued_point_is_tried_first(inside):
    inside.change(enqueue=[{"learning_rate": 0.0123}])
    inside.run("--n_trials", "1")
    assert inside.trials()[0].params == {"learning_rate": 0.0123}


def test_no_trial_is_begun_after_the_time_is_up(inside):
    inside.change(n_trials=1000, recipe={"step_seconds": 0.1})
    code, _ = inside.run("--timeout", "4")
    assert code == 0
    assert 1 <= len(inside.trials()) < 20
    assert set(inside.states()) == {"COMPLETE"}


def test_two_trials_run_side_by_side(inside):
    inside.change(n_trials=4, parallel_trials=2, recipe={"step_seconds": 0.1})
    code, _ = inside.run()
    assert code == 0
    spans = [(inside.events(n)[0].time, inside.events(n)[-1].time) for n in range(4)]
    assert spans[1][0] < spans[0][1]
    assert spans[0][0] < spans[1][1]


def test_a_hopeless_trial_is_pruned_while_it_trains(inside):
    inside.change(
        n_trials=2,
        enqueue=[{"learning_rate": 0.05}, {"learning_rate": 0.001}],
        recipe={"epochs": 16, "step_seconds": 0.02},
        pruner={"kind": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    )
    code, output = inside.run()
    assert code == 0
    assert inside.states() == ["COMPLETE", "PRUNED"]
    assert max(inside.trials()[1].intermediate_values) < 16
    assert "pruned" in output


@pytest.mark.parametrize(
    ("epochs", "pruner"),
    [
        (1, {"kind": "median", "n_startup_trials": 1}),
        (2, {"kind": "asha", "min_resource": 2, "reduction_factor": 2}),
        (1, {"kind": "threshold", "upper": 1e-9}),
    ],
)
def test_a_trial_that_has_trained_all_its_epochs_is_complete_whatever_a_pruner_would_say(
    inside, epochs, pruner
):
    """There is nothing left that pruning it could save, and it may be the best."""
    inside.change(
        n_trials=2,
        enqueue=[{"learning_rate": 0.05}, {"learning_rate": 0.001}],
        recipe={"epochs": epochs},
        pruner=pruner,
    )
    code, output = inside.run()
    assert code == 0, output
    assert inside.states() == ["COMPLETE", "COMPLETE"]
    assert not any(inside.trial(number).stop.exists() for number in (0, 1)), "it was asked"


def test_the_pruner_is_not_asked_about_a_trial_that_stops_early(inside):
    inside.change(
        n_trials=1,
        enqueue=[{"learning_rate": 0.1}],
        recipe={"epochs": 50, "early_stopping": 1, "minimum_learning_rate": 0.1},
        # Patience of the pruner and of the trial run out at the same epoch.
        pruner={"kind": "patient", "patience": 0},
    )
    code, output = inside.run()
    assert code == 0, output
    assert inside.states() == ["COMPLETE"]
    assert not inside.trial(0).stop.exists(), "it was asked"
    assert json.loads(inside.trial(0).outcome.read_text())["reason"] == "early stopping"


def test_an_exception_fails_its_trial_with_its_traceback_and_the_study_goes_on(inside, tmp_path):
    once = str(tmp_path / "raised")
    inside.change(n_trials=2, recipe={"raise_at_step": 2, "fault_once": once})
    code, output = inside.run()
    assert code == 0
    assert inside.states() == ["FAIL", "COMPLETE"]
    outcome = json.loads(inside.trial(0).outcome.read_text())
    assert "the toy was asked to raise at step 2" in outcome["traceback"]
    assert "the toy was asked to raise" in output


def test_a_study_without_a_complete_trial_ends_with_code_1(inside):
    inside.change(n_trials=2, recipe={"raise_at_step": 1})
    code, output = inside.run()
    assert code == 1
    assert inside.states() == ["FAIL", "FAIL"]
    assert "the toy was asked to raise" in output


def test_only_the_best_trials_keep_their_checkpoints(inside):
    inside.change(n_trials=4, keep={"best_trials": 1})
    inside.run()
    best = min(inside.trials(), key=lambda trial: trial.value).number
    kept = {path.parent.name for path in inside.folder.path.glob("trial_*/*.pth")}
    assert kept == {f"trial_{best}"}
    code, output = inside.command("visualize", "--trial", str((best + 1) % 4))
    assert code == 2
    assert "keep" in output


def test_visualize_and_export_work_from_a_checkpoint(finished, tmp_path, launcher):
    code, output = finished.command("visualize", "--trial", "best", "--samples", "2")
    assert code == 0, output
    pictures = [line for line in output.splitlines() if line.endswith(".png")]
    assert len(pictures) == 2
    out = tmp_path / "best"
    finished.launcher = launcher
    code, output = finished.command("export", "--out", str(out))
    assert code == 0, output
    best = min(finished.trials(), key=lambda trial: trial.value)
    exported = load_checkpoint(out / "best.pth")
    original = load_checkpoint(finished.trial(best.number).best)
    for name, weight in original["model"].items():
        assert torch.equal(exported["model"][name], weight)
    code, output = finished.command("export", "--out", str(out))
    assert code == 2
    assert str(out) in output


@pytest.mark.parametrize(
    ("sampler", "search"),
    [
        ("random", {"learning_rate": {"low": 1e-3, "high": 1e-1}}),
        ("cmaes", {"learning_rate": {"low": 1e-3, "high": 1e-1, "log": True}}),
        ("qmc", {"learning_rate": {"low": 1e-3, "high": 1e-1}}),
    ],
)
def test_every_sampler_searches(inside, sampler, search):
    inside.preset["search"] = search
    inside.change(n_trials=4, sampler={"kind": sampler}, recipe={"epochs": 1}, pictures=0)
    code, output = inside.run()
    assert code == 0, output
    points = {tuple(sorted(trial.params.items())) for trial in inside.trials()}
    assert len(points) == 4


def test_a_grid_is_tried_as_a_whole_and_then_ends(inside):
    inside.preset["search"] = {"width": {"choices": [2, 3]}, "batch_size": {"choices": [4, 8]}}
    inside.change(n_trials=10, sampler={"kind": "grid"}, recipe={"epochs": 1}, pictures=0)
    code, _ = inside.run()
    assert code == 0
    points = [(trial.params["width"], trial.params["batch_size"]) for trial in inside.trials()]
    assert sorted(points) == [(2, 4), (2, 8), (3, 4), (3, 8)]
