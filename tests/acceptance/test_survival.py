"""Whatever is killed, and whenever: the same command goes on, and nothing is lost or done twice."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from orchestrator.ledger.account import Account
from orchestrator.ledger.study import study_ledger
from orchestrator.ledger.trial import ended_account
from orchestrator.study.find import read_study
from protocol.messages import Started, Stopped, Validated
from tests.studio import ROOT, Studio, finish, wait_until
from worker.training.checkpoint import load_checkpoint

KILLS, SHORT_KILLS = 20, 3


def slow(studio: Studio, **sections):
    """Two ranks, trials of a few seconds with a checkpoint every tenth of a second."""
    studio.change(
        parallel={"kind": "ddp", "ranks": 2},
        limits={"checkpoint_seconds": 0.1, "hang_seconds": 20.0},
        recipe={"epochs": 5, "step_seconds": 0.1},
        **sections,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_killed_at_random_moments_ends_as_if_it_had_not_been(studio, launcher, request):
    slow(studio, n_trials=6)
    moments = random.Random(1)
    for _ in range(KILLS if request.config.getoption("--long") else SHORT_KILLS):
        run = studio.start()
        if moments.random() < 0.3:
            delay = moments.uniform(0.1, 4.0)  # while it starts
        else:
            delay = moments.uniform(0.0, 2.5)  # while it trains, reports and settles
            wait_for_news(studio, run)
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(delay)
        run.kill()
        run.communicate()
        studio.wait_for_silence()
    studio.launcher = launcher
    code, output = studio.run()
    assert code == 0, output
    trials = studio.trials()
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5]
    assert {trial.state.name for trial in trials} == {"COMPLETE"}
    for trial in trials:
        assert_only_forward(studio, trial.number)
        assert list(trial.intermediate_values) == [1, 2, 3, 4, 5]
        for checkpoint in studio.trial(trial.number).path.glob("*.pth"):
            load_checkpoint(checkpoint)
    assert max(trial.user_attrs["attempts"] for trial in trials) > 1
    ledger = study_ledger(studio.folder, read_study(studio.folder))
    assert all(account.kept >= 15 * 0.1 for account in ledger.trials.values())
    assert ledger.total.unfinished == ledger.total.failed == 0.0
    assert not studio.processes()


def wait_for_news(studio: Studio, run: subprocess.Popen[str]) -> None:
    """Until some trial has told something new, or the run has ended."""

    def told() -> int:
        return sum(len(studio.events(folder.number)) for folder in studio.folder.trials())

    before = told()
    wait_until(lambda: run.poll() is not None or told() > before, 60, "event")


def assert_only_forward(studio: Studio, number: int) -> None:
    """Every epoch is told once and in order, and an attempt begins where a checkpoint was."""
    events = studio.events(number)
    validated = [event for event in events if isinstance(event, Validated)]
    assert [event.epoch for event in validated] == list(range(1, len(validated) + 1))
    assert [event.step for event in validated] == sorted({event.step for event in validated})
    starts = [event.resumed_step for event in events if isinstance(event, Started)]
    assert starts == sorted(starts)


def test_an_interrupted_and_resumed_trial_computes_what_an_unbroken_one_does(
    studio, tmp_path, launcher
):
    slow(studio, n_trials=1)
    run = studio.start()
    studio.wait_for_event(0, "validated", 2)
    run.kill()
    run.communicate()
    studio.wait_for_silence()
    studio.launcher = launcher
    studio.run()
    whole = Studio(tmp_path, name="whole", preset=studio.preset, launcher=launcher)
    whole.run()
    broken, unbroken = studio.trials()[0], whole.trials()[0]
    assert broken.intermediate_values == unbroken.intermediate_values
    assert broken.params == unbroken.params


def test_one_ctrl_c_ends_at_the_next_step_with_a_checkpoint(studio, launcher):
    slow(studio, n_trials=2)
    studio.change(recipe={"step_seconds": 0.5}, limits={"checkpoint_seconds": 1000.0})
    run = studio.start()
    studio.wait_for_event(0, "progress")
    run.send_signal(signal.SIGINT)
    started = time.monotonic()
    code, output = finish(run, 20)
    assert code == 130
    assert time.monotonic() - started < 15
    assert "same command" in output
    stopped = studio.last_word(0)
    assert isinstance(stopped, Stopped)
    assert load_checkpoint(studio.trial(0).last)
    assert studio.states() == ["RUNNING"]
    assert not studio.processes()
    studio.launcher = launcher
    code, _ = studio.run("--n_trials", "1")
    assert code == 0
    assert studio.states() == ["COMPLETE"]
    resumed = [e.resumed_step for e in studio.events(0) if isinstance(e, Started)]
    assert resumed == [0, stopped.step]


def test_a_second_ctrl_c_ends_at_once(studio):
    slow(studio, n_trials=2)
    studio.change(recipe={"step_seconds": 30})
    run = studio.start()
    studio.wait_for_event(0, "started")
    run.send_signal(signal.SIGINT)
    time.sleep(0.5)
    run.send_signal(signal.SIGINT)
    started = time.monotonic()
    code, _ = finish(run, 20)
    assert code == 130
    assert time.monotonic() - started < 15  # the step takes 30
    assert not studio.processes()


def test_sigterm_ends_as_ctrl_c_does(studio):
    slow(studio, n_trials=2)
    run = studio.start()
    studio.wait_for_event(0, "progress")
    run.terminate()
    code, _ = finish(run, 20)
    assert code == 130
    assert isinstance(studio.last_word(0), Stopped)


def test_ctrl_c_before_the_search_leaves_nothing_behind(studio):
    run = studio.start()
    wait_until(studio.folder.lock.exists, 20, "lock")
    run.send_signal(signal.SIGINT)
    code, _ = finish(run, 20)
    assert code == 130
    assert not studio.folder.path.exists()
    assert not studio.processes()


def test_a_killed_rank_is_resumed_under_the_same_number(studio):
    slow(studio, n_trials=1)
    run = studio.start()
    studio.wait_for_event(0, "validated", 2)
    studio.ranks()[1].kill()
    code, output = finish(run)
    assert code == 0, output
    assert studio.states() == ["COMPLETE"]
    starts = [e.resumed_step for e in studio.events(0) if isinstance(e, Started)]
    assert len(starts) == 2
    assert starts[1] > 0
    assert_only_forward(studio, 0)
    assert "resumed" in output
    ledger = study_ledger(studio.folder, read_study(studio.folder))
    assert ledger.trials[0].kept >= 15 * 0.1  # every step once
    assert ledger.trials[0].repeated < 1.5  # behind a checkpoint of a tenth of a second before
    assert ledger.trials[0] == Account.unpacked(ended_account(studio.trial(0)).packed())
    assert ledger.total.unfinished == ledger.total.failed == 0.0


def test_a_rank_that_is_killed_over_and_over_fails_its_trial_in_the_end(inside):
    slow(inside, n_trials=1)
    inside.change(recipe={"die_at_step": 2, "fault_rank": 1}, limits={"relaunches": 1})
    code, output = inside.run()
    assert code == 1
    assert inside.states() == ["FAIL"]
    assert sum(isinstance(event, Started) for event in inside.events(0)) == 2
    assert "SIGKILL" in output


def test_a_frozen_rank_is_noticed_and_its_trial_resumed(studio):
    slow(studio, n_trials=1)
    studio.change(limits={"hang_seconds": 3.0})
    run = studio.start()
    studio.wait_for_event(0, "validated", 1)
    studio.ranks()[1].suspend()
    code, output = finish(run)
    assert code == 0, output
    assert studio.states() == ["COMPLETE"]
    assert sum(isinstance(event, Started) for event in studio.events(0)) == 2


def test_a_killed_fork_server_disturbs_neither_running_nor_later_trials(studio):
    slow(studio, n_trials=2)
    run = studio.start()
    studio.wait_for_event(0, "validated", 1)
    servers = [p for p in studio.processes() if p.ppid() == run.pid]
    assert len(servers) == 1
    servers[0].kill()
    code, output = finish(run)
    assert code == 0, output
    assert studio.states() == ["COMPLETE", "COMPLETE"]
    for number in range(2):
        assert sum(isinstance(event, Started) for event in studio.events(number)) == 1


def test_a_killed_orchestrator_leaves_no_process(studio):
    slow(studio, n_trials=1)
    run = studio.start()
    studio.wait_for_event(0, "progress")
    assert len(studio.ranks()) == 2
    run.kill()
    run.communicate()
    studio.wait_for_silence(3)


def test_a_damaged_last_checkpoint_falls_back_to_the_one_before(studio, launcher):
    slow(studio, n_trials=1)
    run = studio.start()
    studio.wait_for_event(0, "validated", 3)
    run.kill()
    run.communicate()
    studio.wait_for_silence()
    last = studio.trial(0).last
    data = bytearray(last.read_bytes())
    data[len(data) // 2] ^= 0xFF
    last.write_bytes(data)
    studio.launcher = launcher
    code, output = studio.run()
    assert code == 0, output
    assert studio.states() == ["COMPLETE"]
    assert_only_forward(studio, 0)
    starts = [e.resumed_step for e in studio.events(0) if isinstance(e, Started)]
    assert starts[1] > 0


def test_processes_that_went_away_on_a_full_disk_are_not_counted_against_their_trial(
    inside, tmp_path, monkeypatch
):
    mark = str(tmp_path / "died")
    inside.change(n_trials=1, limits={"relaunches": 0})
    inside.change(recipe={"die_at_step": 2, "fault_once": mark})
    room = iter([False])
    monkeypatch.setattr("orchestrator.running.runner.has_room", lambda *_: next(room, True))
    code, output = inside.run()
    assert code == 0, output
    assert "the study pauses" in output
    assert inside.states() == ["COMPLETE"]


def test_what_a_kill_right_behind_a_trials_end_left_goes_with_the_next_run(finished, launcher):
    spare = finished.trial(1).superseded(1)
    spare.write_bytes(b"weights that were better for a while")
    finished.launcher = launcher
    code, output = finished.run()
    assert code == 0, output
    assert not spare.exists()


def test_a_trial_that_others_stop_is_taken_up_again_and_the_run_goes_to_its_budget(studio):
    """Nobody asked this run to end, so it must not leave a trial behind and call that done."""
    slow(studio, n_trials=2)
    run = studio.start()
    studio.wait_for_event(0, "validated")
    studio.trial(0).stop.write_text("interrupt")
    code, output = finish(run)
    assert code == 0, output
    assert [trial.state.name for trial in studio.trials()] == ["COMPLETE", "COMPLETE"]
    assert studio.trials()[0].user_attrs["attempts"] == 2
    assert_only_forward(studio, 0)
    assert "by others; it is resumed" in output


def test_a_trial_that_others_stop_again_and_again_ends_as_failed(studio):
    slow(studio, n_trials=1)
    studio.change(limits={"relaunches": 1})
    run = studio.start()
    for attempt in range(2):
        studio.wait_for_event(0, "validated", count=attempt + 1)
        studio.trial(0).stop.write_text("interrupt")
        studio.wait_for_event(0, "stopped", count=attempt + 1)
    code, output = finish(run)
    assert code == 1, output
    assert [trial.state.name for trial in studio.trials()] == ["FAIL"]
    assert "it was resumed 1 time, and no more" in output


def test_a_file_in_the_studys_folder_ends_the_search_as_an_interrupt_does(studio, launcher):
    slow(studio, n_trials=2)
    run = studio.start()
    studio.wait_for_event(0, "validated")
    studio.folder.stop.touch()
    code, output = finish(run)
    assert code == 130, output
    assert isinstance(studio.last_word(0), Stopped)
    assert not studio.folder.stop.exists()
    studio.folder.stop.touch()  # left behind: it was not meant for the next run
    studio.launcher = launcher
    code, output = studio.run()
    assert code == 0, output
    assert {trial.state.name for trial in studio.trials()} == {"COMPLETE"}


@pytest.mark.parametrize(
    ("state", "value"), [("FAIL", None), pytest.param("COMPLETE", 0.25, marks=pytest.mark.long)]
)
def test_a_trial_that_is_ended_from_the_dashboard_is_stopped_and_the_study_goes_on(
    studio, state, value
):
    slow(studio, n_trials=2)
    studio.change(recipe={"step_seconds": 0.4})  # longer than the runner waits between looks
    run = studio.start()
    studio.wait_for_event(0, "validated")
    storage = optuna.storages.RDBStorage(f"sqlite:///{studio.folder.database}")
    study = optuna.load_study(study_name=studio.name, storage=storage)
    study.tell(0, value, state=TrialState[state])
    storage.engine.dispose()
    code, output = finish(run)
    assert code == 0, output
    assert studio.states() == [state, "COMPLETE"]
    assert studio.trials()[0].value == value
    assert f"trial 0 was ended as {state} from outside" in output
    assert isinstance(studio.last_word(0), Stopped)
    studio.wait_for_silence()


def test_whoever_stops_reading_does_not_decide_how_a_study_ends(studio):
    studio.change(n_trials=1, recipe={"epochs": 1})
    command = [sys.executable, "-P", "-m", "orchestrator"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    gone = subprocess.Popen(
        [*command, *studio.arguments()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    gone.stdout.close()
    assert (gone.wait(60), gone.stderr.read()) == (0, "")
    with Path("/dev/full").open("w") as full:
        code = subprocess.run(
            [*command, *studio.arguments("--n_trials", "2")],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            timeout=60,
        )
    assert (code.returncode, code.stderr) == (0, "")
    assert studio.states() == ["COMPLETE", "COMPLETE"]
