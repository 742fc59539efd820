"""Trials that run out of memory: smaller micro-batches and the same result, or avoided."""

from __future__ import annotations

import json

import pytest

from protocol.messages import Failed, Validated, load_outcome, load_plan
from tests.ranks import attempt, events, make_plan
from tests.studio import ROOT

HUNGRY = f"{ROOT}/tests/families/hungry.py:Hungry"


def test_a_trial_that_does_not_fit_goes_on_in_smaller_micro_batches_to_the_same_value(
    studio, tmp_path
):
    """Also when everything is killed meanwhile, for the plan keeps the size that fits."""
    studio.change(
        family=HUNGRY,
        n_trials=1,
        data={"samples": 9},
        recipe={"batch_size": 6, "epochs": 2, "sample_mb": 40, "step_seconds": 0.03},
        limits={"memory_gb": 0.19, "relaunches": 0, "checkpoint_seconds": 0.01},
        pictures=0,
    )
    process = studio.start("--preflight")
    studio.wait_for_event(0, "validated", seconds=200)
    process.kill()
    output, _ = process.communicate()
    studio.wait_for_silence()
    assert "does not fit into memory in batches of 6; in micro-batches of 1 it takes 0." in output
    assert json.loads(studio.folder.preflight.read_text())["micro_batch"] == 1
    failed = [event for event in studio.events(0) if isinstance(event, Failed)]
    assert [event.attempt for event in failed] == [0, 1]
    assert load_plan(studio.trial(0).plan).micro_batch == 1

    code, output = studio.run()
    assert code == 0, output
    assert "preflight" not in output
    assert [event for event in studio.events(0) if isinstance(event, Failed)] == failed
    plan = load_plan(studio.trial(0).plan)
    assert (plan.attempt, plan.micro_batch) == (3, 1)
    (trial,) = studio.trials()
    assert trial.state.name == "COMPLETE"
    assert trial.user_attrs["micro_batch"] == 1
    assert "losses" not in trial.user_attrs  # nothing counts against limits.relaunches

    unlimited = make_plan(
        tmp_path / "unlimited",
        recipe=dict(plan.recipe.given),
        family=plan.family,
        seed=plan.seed,
        data=plan.data,
    )
    assert attempt(unlimited) == [0]
    assert not events(unlimited, Failed)
    assert trial.value == pytest.approx(
        min(event.metrics["error"] for event in events(unlimited, Validated)), rel=1e-4
    )


def test_what_never_fits_is_pruned_as_infeasible_and_the_sampler_avoids_it(studio):
    studio.preset["search"] = {"model_mb": {"choices": [0, 10, 20, 300, 400, 500]}}
    studio.change(
        family=HUNGRY,
        n_trials=14,
        data={"samples": 4, "validation_samples": 2},
        recipe={"batch_size": 1, "epochs": 1},
        sampler={"n_startup_trials": 5},
        limits={"memory_gb": 0.15},
        pictures=0,
        seed=3,
    )
    code, output = studio.run()
    assert code == 0, output
    trials = studio.trials()
    large = [trial.params["model_mb"] >= 300 for trial in trials]
    for trial, too_large in zip(trials, large, strict=True):
        outcome = load_outcome(studio.trial(trial.number).outcome)
        if too_large:
            assert trial.state.name == "PRUNED"
            assert trial.constraints == {"memory": 1.0}
            assert outcome.ending == "memory"
            assert outcome.detail["micro_batch"] == 1
            assert "with one sample at a time" in outcome.reason
        else:
            assert trial.state.name == "COMPLETE"
    assert "or raise limits.memory_gb" in output
    assert sum(large[:5]) >= 2
    assert sum(large[5:]) <= 2  # of nine, half of which would be by chance
