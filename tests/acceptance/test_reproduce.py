"""`reproduce` trains a trial again from its plan alone, and says whether it is the same."""

from __future__ import annotations

import json

from tests.acceptance.test_survival import slow
from tests.studio import finish


def test_a_trial_that_was_killed_and_resumed_is_reproduced_bit_for_bit(studio, launcher):
    slow(studio, n_trials=1)
    run = studio.start()
    studio.wait_for_event(0, "validated", count=2)
    run.kill()
    finish(run)
    studio.launcher = launcher
    assert studio.run()[0] == 0
    studio.launcher = None
    before = studio.trial(0).events.read_bytes()
    code, output = studio.command("reproduce", "--trial", "0")
    assert code == 0, output
    assert "epoch 5 of 5: identical" in output
    assert "Identical in 5 epochs: weights and metrics" in output
    assert studio.trial(0).events.read_bytes() == before
    studio.wait_for_silence()


def test_a_trial_that_cannot_be_reproduced_is_told_where_by_how_much_and_what_changed(
    finished, launcher
):
    events = finished.trial(1).events
    lines = []
    for line in events.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "validated" and event["epoch"] == 2:
            event["metrics"]["error"] *= 1.5
        lines.append(json.dumps(event))
    events.write_text("\n".join(lines) + "\n")
    plans = finished.trial(1).plans
    plan = json.loads(plans.read_text())
    plan["surroundings"]["torch"] = "1.0"
    plans.write_text(json.dumps(plan) + "\n")
    finished.launcher = launcher
    code, output = finished.command("reproduce", "--trial", "1")
    assert code == 1, output
    assert "epoch 1 of 2: identical" in output
    assert "Differs from epoch 2 on: error was" in output
    assert "torch: '1.0' then" in output


def test_what_was_never_trained_is_refused_in_a_sentence(finished, launcher):
    finished.launcher = launcher
    code, output = finished.command("reproduce", "--trial", "7")
    assert code == 2
    assert "--trial: trial 7 of study 'x' has validated no epoch" in output
    assert "Traceback" not in output
