"""Trials that go NaN or infinite: pruned, explained, and learned from."""

from __future__ import annotations

import json

import pytest

from protocol.messages import NonFinite


def test_nan_on_one_rank_prunes_the_trial_and_says_where(inside):
    inside.change(
        n_trials=1,
        parallel={"kind": "ddp", "ranks": 2},
        recipe={"nan_at_step": 2, "fault_rank": 1, "epochs": 4},
        limits={"hang_seconds": 20.0},
    )
    code, output = inside.run()
    assert code == 1
    assert inside.states() == ["PRUNED"]
    event = next(e for e in inside.events(0) if isinstance(e, NonFinite))
    assert event.step == 2
    assert event.ranks == [1]
    detail = json.loads(inside.trial(0).outcome.read_text())["detail"]
    assert detail["step"] == 2
    assert detail["ranks"] == [1]
    assert set(detail["losses"]) == {"data", "bias"}
    assert detail["parameters"] == inside.trials()[0].params
    assert "non-finite loss at step 2" in output


def test_a_divergence_late_in_training_is_no_promise_to_the_sampler(inside):
    inside.change(n_trials=1, recipe={"nan_at_step": 26, "epochs": 6})
    inside.run()
    trial = inside.trials()[0]
    assert trial.state.name == "PRUNED"
    assert len(trial.intermediate_values) >= 4
    assert any(value > 0 for value in trial.constraints.values())
    assert trial.intermediate_values[5] == max(trial.intermediate_values.values())


@pytest.mark.slow
@pytest.mark.long
def test_a_search_where_a_third_diverges_learns_to_avoid_it(inside):
    inside.preset["search"] = {"learning_rate": {"low": 1e-3, "high": 10.0, "log": True}}
    inside.change(
        n_trials=36,
        recipe={"steep": True, "epochs": 3, "batch_size": 4, "width": 8},
        sampler={"n_startup_trials": 8},
        limits={"hang_seconds": 20.0},
        pictures=0,
        seed=3,
    )
    code, output = inside.run()
    assert code == 0, output
    endings = [trial.user_attrs["ending"] for trial in inside.trials()]
    assert len(endings) == 36
    assert set(endings) == {"completed", "nonfinite"}
    diverged = [ending == "nonfinite" for ending in endings]
    states = {state for state, bad in zip(inside.states(), diverged, strict=True) if bad}
    assert states == {"PRUNED"}
    first, second = sum(diverged[:18]), sum(diverged[18:])
    assert first >= 4
    assert second < first
