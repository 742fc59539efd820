"""Ending a trial: whatever is repeated after a kill changes nothing, and the record is clean."""

from __future__ import annotations

import errno
import os

import pytest
from optuna.samplers._tpe.sampler import _split_trials
from optuna.trial import TrialState

from orchestrator.launcher.base import Exit
from orchestrator.running.ending.settle import make_outcome, settle
from orchestrator.running.folds import best_epoch, unique_epochs
from orchestrator.running.trial import RunningTrial
from orchestrator.running.verdict import Verdict, judge
from orchestrator.study.ranking import keep_best, point_to_best
from orchestrator.study.storage import open_study
from protocol.folders import StudyFolder
from protocol.messages import (
    Ending,
    Failed,
    Finished,
    NonFinite,
    Validated,
    append_event,
    load_outcome,
)
from protocol.objective import Objective
from protocol.recipe import Recipe
from tests.ranks import make_plan

ERROR = Objective(metric="error", direction="minimize")


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "x"
    path.mkdir()
    return StudyFolder(path)


@pytest.fixture
def study(folder):
    return open_study(folder, None, "minimize")


def validated(epoch, error):
    return Validated(
        attempt=0,
        epoch=epoch,
        step=6 * epoch,
        metrics={"error": error},
        losses={},
        learning_rate=1.0,
        seconds=1.0,
        best=False,
    )


def running_trial(study, folder, errors=()):
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    place = folder.trial(trial.number)
    place.path.mkdir()
    for epoch, error in enumerate(errors, start=1):
        append_event(place.events, validated(epoch, error))
    running = RunningTrial(trial=trial, folder=place, objective=ERROR, recipe=Recipe.of({}))
    running.number_of_attempt = 0
    for event in running.new_events():
        running.report(event)
    return running


def completed(study, folder, errors):
    running = running_trial(study, folder, errors)
    end = Finished(attempt=0, epoch=len(errors), step=1, early=False, best_epoch=1, metrics={})
    verdict = Verdict(ending=Ending.COMPLETED, reason="all epochs trained", event=end)
    settle(study, folder, running, make_outcome(running, verdict))


def diverged(study, folder, errors):
    running = running_trial(study, folder, errors)
    event = NonFinite(
        attempt=0, epoch=len(errors) + 1, step=9, where="loss", ranks=[1], losses={"a": 1e999}
    )
    verdict = Verdict(ending=Ending.NONFINITE, reason="non-finite loss", event=event)
    settle(study, folder, running, make_outcome(running, verdict))


def test_a_complete_trial_is_told_with_its_best_epoch(study, folder):
    completed(study, folder, [3.0, 1.0, 2.0])
    trial = study.trials[0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 1.0)
    assert trial.intermediate_values == {1: 3.0, 2: 1.0, 3: 2.0}
    assert trial.user_attrs["best_epoch"] == 2
    assert load_outcome(folder.trial(0).outcome).value == 1.0


def test_where_lines_of_epochs_were_lost_the_end_that_the_ranks_told_counts(study, folder):
    running = running_trial(study, folder, [3.0, 2.0])
    best = {"error": 1.0}
    end = Finished(attempt=0, epoch=4, step=1, early=False, best_epoch=3, metrics=best)
    outcome = make_outcome(running, judge([end], None, None))
    assert (outcome.value, outcome.best_epoch) == (1.0, 3)
    assert "lacks epochs" in outcome.reason


def test_what_was_trained_behind_a_decision_to_prune_is_no_part_of_the_outcome(study, folder):
    running = running_trial(study, folder, [3.0, 2.0, 1.0])
    running.prune(2)
    outcome = make_outcome(running, running.judged(None))
    assert (outcome.ending, outcome.epoch, outcome.step) == (Ending.PRUNED, 2, 12)
    assert (outcome.value, outcome.best_epoch) == (2.0, 2)
    again = RunningTrial(
        trial=running.trial, folder=running.folder, objective=ERROR, recipe=Recipe.of({})
    )
    assert again.pruned_at == 3  # of an earlier version, whose decision was at the last report


def test_an_outcome_on_disk_that_was_not_told_is_told_once(study, folder, monkeypatch):
    running = running_trial(study, folder, [2.0])
    event = Finished(attempt=0, epoch=1, step=6, early=False, best_epoch=1, metrics={})
    outcome = make_outcome(running, Verdict(ending=Ending.COMPLETED, reason="", event=event))
    monkeypatch.setattr(study, "tell", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        settle(study, folder, running, outcome)
    monkeypatch.undo()
    settle(study, folder, running, load_outcome(running.folder.outcome))
    assert [(t.state, t.value) for t in study.trials] == [(TrialState.COMPLETE, 2.0)]


def test_a_trial_whose_pictures_find_no_room_is_told_when_there_is_some(study, folder, monkeypatch):
    running = running_trial(study, folder, [0.5])
    (running.folder.pictures).mkdir()
    (running.folder.pictures / "sample.png").write_bytes(bytes(100))
    outcome = make_outcome(running, Verdict(ending=Ending.COMPLETED, reason="all epochs trained"))

    def write_half(source, target):
        target.write(source.read(50))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr("shutil.copyfileobj", write_half)
        with pytest.raises(OSError, match="No space left"):
            settle(study, folder, running, outcome)
    assert study.trials[0].state is TrialState.RUNNING
    assert list(folder.artifacts.iterdir()) == []
    settle(study, folder, running, outcome)
    assert study.trials[0].state is TrialState.COMPLETE
    (copy,) = folder.artifacts.iterdir()
    assert copy.read_bytes() == bytes(100)


def test_events_told_twice_are_reported_once_and_a_torn_line_waits(study, folder):
    running = running_trial(study, folder, [2.0])
    append_event(running.folder.events, validated(1, 5.0))
    with running.folder.events.open("a") as stream:
        stream.write('{"event": "valid')
    for event in running.new_events():
        running.report(event)
    append_event(running.folder.events, validated(2, 1.0))
    assert [running.report(event) for event in running.new_events()] == [2]
    assert study.trials[0].intermediate_values == {1: 2.0, 2: 1.0}


def test_the_first_telling_of_an_epoch_counts_and_the_earliest_best_wins():
    events = unique_epochs([validated(1, 2.0), validated(2, 1.0), validated(2, 9.0)])
    assert [event.metrics["error"] for event in events] == [2.0, 1.0]
    assert best_epoch([validated(1, 1.0), validated(2, 1.0)], ERROR).epoch == 1
    assert best_epoch([validated(1, float("nan"))], ERROR) is None


def test_a_late_divergence_ranks_behind_every_other_trial(study, folder):
    """TPE alone would rank a pruned trial by its last step, so the latest divergence first."""
    completed(study, folder, [5.0])
    diverged(study, folder, [0.1] * 8)
    completed(study, folder, [9.0])
    pruned = running_trial(study, folder, [20.0])
    verdict = Verdict(ending=Ending.PRUNED, reason="")
    settle(study, folder, pruned, make_outcome(pruned, verdict))
    trial = study.trials[1]
    assert trial.state is TrialState.PRUNED
    assert trial.intermediate_values[9] == 5.0  # the worst that was seen by then
    below, above = _split_trials(study, study.trials, 3)
    assert sorted(t.number for t in below) == [0, 2, 3]
    assert [t.number for t in above] == [1]


def out_of_memory(study, folder, errors, micro_batch=None):
    running = running_trial(study, folder, errors)
    plan = make_plan(folder.path / "elsewhere", recipe={"batch_size": 6}, micro_batch=micro_batch)
    running.folder.plan.write_bytes(plan.plan.read_bytes())
    event = Failed(
        attempt=2, rank=0, error="OutOfMemoryError", message="90 bytes\nmore", traceback="Trace"
    )
    verdict = judge([event], Exit(codes={0: 1}, first=0), None)
    outcome = make_outcome(running, verdict)
    settle(study, folder, running, outcome)
    return outcome


def test_a_trial_that_fits_nowhere_is_infeasible_and_ranks_behind_every_other(study, folder):
    completed(study, folder, [5.0])
    outcome = out_of_memory(study, folder, [0.1] * 8, micro_batch=1)
    completed(study, folder, [9.0])
    trial = study.trials[1]
    assert trial.state is TrialState.PRUNED
    assert trial.constraints == {"memory": 1.0}
    assert trial.intermediate_values[9] == 5.0
    assert trial.user_attrs["micro_batch"] == 1
    _, above = _split_trials(study, study.trials, 2)
    assert [t.number for t in above] == [1]
    assert outcome.reason.startswith("out of memory on rank 0 (cpu) even with one sample")
    assert outcome.detail["micro_batch"] == 1
    assert outcome.detail["message"] == "OutOfMemoryError on rank 0: 90 bytes"
    assert outcome.detail["parameters"] == trial.params


def test_a_crash_that_is_taken_for_a_lack_of_memory_is_called_what_it_was(study, folder):
    running = running_trial(study, folder)
    plan = make_plan(folder.path / "elsewhere", recipe={"batch_size": 6}, memory_gb=1.0)
    running.folder.plan.write_bytes(plan.plan.read_bytes())
    verdict = running.judged(Exit(codes={0: -11}, first=0))
    assert make_outcome(running, verdict).reason == (
        "out of memory on rank 0 (cpu, limited to 1 GiB) with micro-batches of 6; it goes on with "
        "3 at the same effective batch (rank 0 was ended by SIGSEGV, taken for a lack of memory)"
    )


def test_before_the_smallest_micro_batch_the_reason_says_what_follows(study, folder):
    outcome = out_of_memory(study, folder, [], micro_batch=3)
    assert outcome.reason.endswith("of 3; it goes on with 1 at the same effective batch")


def test_a_plan_on_disk_keeps_the_size_that_fits_and_gives_the_next_one(study, folder):
    running = running_trial(study, folder)
    plan = make_plan(folder.path / "elsewhere", recipe={"batch_size": 6}, micro_batch=3, attempt=4)
    running.folder.plan.write_bytes(plan.plan.read_bytes())
    again = RunningTrial(
        trial=running.trial, folder=running.folder, objective=ERROR, recipe=Recipe.of({})
    )
    assert (again.number_of_attempt, again.micro_batch) == (4, 3)
    assert again.take_less_memory()
    assert again.micro_batch == 1
    assert again.take_less_memory()  # the plan still has 3: asking twice changes nothing
    assert again.micro_batch == 1


def test_a_divergence_records_step_rank_terms_and_parameters(study, folder):
    diverged(study, folder, [1.0])
    detail = load_outcome(folder.trial(0).outcome).detail
    assert detail["step"] == 9
    assert detail["ranks"] == [1]
    assert detail["losses"] == {"a": "inf"}
    assert detail["parameters"] == study.trials[0].params


def test_the_link_leads_to_the_best_trial_and_only_the_best_keep_checkpoints(study, folder):
    for errors in ([3.0], [1.0], [2.0]):
        completed(study, folder, errors)
        (folder.trial(len(study.trials) - 1).path / "best.pth").touch()
        point_to_best(folder, study)
    assert folder.best.resolve() == folder.trial(1).path.resolve()
    keep_best(folder, study, None)
    assert len(list(folder.path.glob("trial_*/best.pth"))) == 3
    keep_best(folder, study, 2)
    kept = {path.parent.name for path in folder.path.glob("trial_*/best.pth")}
    assert kept == {"trial_1", "trial_2"}


def test_a_running_trial_keeps_its_checkpoints_whatever_is_kept(study, folder):
    completed(study, folder, [1.0])
    running = running_trial(study, folder)
    (running.folder.path / "last.pth").touch()
    keep_best(folder, study, 1)
    assert (running.folder.path / "last.pth").exists()
