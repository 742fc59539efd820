"""A command of the user's is searched over by the real commands: every way in which it can end."""

from __future__ import annotations

import signal
import sys
import time

import psutil
import pytest

from orchestrator.reporting.note_text import trial_note
from protocol.messages import NonFinite, Stopped, Validated, latest_plan, load_outcome
from tests.studio import Studio, finish, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

SCRIPT = """
import argparse, json, os, signal, subprocess, sys, time

parser = argparse.ArgumentParser()
parser.add_argument("--mode")
parser.add_argument("--out")
parser.add_argument("--seconds", type=float)
parser.add_argument("--resume")
args = parser.parse_args()
rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
start = json.load(open(args.resume))["epoch"] if args.resume else 0
print(f"rank {rank} of {ranks} begins behind epoch {start}")
if args.mode == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if args.mode == "leaves":
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"],
                     start_new_session=True)
table = open(os.path.join(args.out, "metrics.csv"), "a") if rank == 0 else None
if table:
    table.write("epoch,psnr,mse\\n")
for epoch in range(start, 60 if args.mode == "deaf" else 6):
    time.sleep(args.seconds)
    psnr = 20 + epoch
    if args.mode == "nan" and epoch == 3:
        psnr = float("nan")
    if args.mode == "memory" and epoch == 2:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    if args.mode == "error" and epoch == 2 and rank == ranks - 1:
        raise ValueError("shapes do not fit")
    if args.mode == "killed" and epoch == 2 and not args.resume:
        os.kill(os.getpid(), signal.SIGKILL)
    if args.mode == "hangs" and epoch == 2:
        time.sleep(300)
    if table and args.mode != "silent":
        table.write(f"{epoch + 1},{psnr},{1 / psnr}\\n")
        table.flush()
        with open(os.path.join(args.out, "half"), "w") as file:
            json.dump({"epoch": epoch + 1}, file)
        os.replace(os.path.join(args.out, "half"), os.path.join(args.out, "last.ckpt"))
"""


@pytest.fixture
def scripted(studio: Studio) -> Studio:
    (studio.path / "train.py").write_text(SCRIPT)
    studio.preset = {
        "family": "script",
        "script": {
            "command": f"{sys.executable} train.py --mode {{mode}} --out {{folder}} --seconds 0.1",
            "workdir": ".",
            "report": {"csv": "metrics.csv"},
            "resume": "--resume {folder}/last.ckpt",
        },
        "objective": {"metric": "psnr", "direction": "maximize"},
        "search": {"mode": {"choices": ["plain"]}},
        "sampler": {"kind": "grid"},
        "pruner": {"kind": "none"},
        "devices": "cpu",
        "report": False,
    }
    return studio


def choose(studio: Studio, *modes: str, **changes: object) -> None:
    studio.change(search={"mode": {"choices": list(modes)}}, n_trials=len(modes), **changes)


def epochs_of(studio: Studio, number: int) -> list[int]:
    return [event.epoch for event in studio.events(number) if isinstance(event, Validated)]


def test_every_end_of_a_command_is_told_for_what_it_was(scripted, launcher):
    modes = ["plain", "nan", "memory", "error", "killed", "silent", "leaves"]
    choose(scripted, *modes, parallel_trials=2)
    code, output = scripted.run()
    assert code == 0, output
    numbers = {trial.params["mode"]: trial.number for trial in scripted.trials()}
    outcomes = {mode: load_outcome(scripted.trial(numbers[mode]).outcome) for mode in modes}
    assert {mode: outcome.ending for mode, outcome in outcomes.items()} == {
        "plain": "completed",
        "nan": "nonfinite",
        "memory": "memory",
        "error": "failed",
        "killed": "completed",
        "silent": "failed",
        "leaves": "completed",
    }
    assert outcomes["plain"].value == 25.0
    assert outcomes["nan"].detail["epoch"] == 4
    assert outcomes["memory"].reason == (
        "out of memory on rank 0 (cpu); search smaller models or batches"
    )
    assert outcomes["error"].reason == (
        "ValueError on rank 0: shapes do not fit (the command left with code 1)"
    )
    assert "raise ValueError" in outcomes["error"].traceback
    assert outcomes["silent"].reason == (
        "the command ended without a report of psnr: metrics.csv in its folder has nothing"
    )
    assert outcomes["killed"].attempts == 2
    log = scripted.trial(numbers["killed"]).rank_log(0).read_text()
    assert "rank 0 of 1 begins behind epoch 2" in log
    assert epochs_of(scripted, numbers["killed"]) == [1, 2, 3, 4, 5, 6]
    plain = scripted.trial(numbers["plain"])
    note = trial_note(plain, latest_plan(plain), outcomes["plain"])
    assert f"- checkpoint: `{plain.output}/last.ckpt`" in note
    assert not scripted.processes(), "also what it left in a session of its own is gone"
    scripted.launcher = launcher
    code, told = scripted.command("verify")
    assert code == 0, told
    code, told = scripted.command("status")
    assert f"{scripted.name}/trial_" in told
    assert "output/last.ckpt" in told
    code, told = scripted.command("evaluate", "--trial", "best")
    assert (code, "is its script's" in told) == (2, True), told


def test_three_processes_know_of_each_other_and_end_with_the_first_that_fails(scripted):
    choose(scripted, "plain", "error", "nan", parallel={"ranks": 3})
    code, output = scripted.run()
    assert code == 0, output
    numbers = {trial.params["mode"]: trial.number for trial in scripted.trials()}
    plain = scripted.trial(numbers["plain"])
    assert [f"rank {r} of 3" in plain.rank_log(r).read_text() for r in range(3)] == [True] * 3
    failed = load_outcome(scripted.trial(numbers["error"]).outcome)
    assert failed.reason.startswith("ValueError on rank 2: shapes do not fit")
    (event,) = [e for e in scripted.events(numbers["nan"]) if isinstance(e, NonFinite)]
    assert (event.epoch, "psnr" in event.losses) == (4, True)
    assert not scripted.processes()


def test_interrupted_and_killed_at_any_time_it_goes_on_from_its_own_checkpoint(scripted, launcher):
    scripted.preset["script"]["command"] = scripted.preset["script"]["command"].replace(
        "0.1", "0.4"
    )
    choose(scripted, "plain")
    for count, number in ((1, signal.SIGINT), (3, signal.SIGKILL)):
        run = scripted.start()
        scripted.wait_for_event(0, "validated", count)
        run.send_signal(number)
        assert finish(run)[0] == (130 if number == signal.SIGINT else -number)
        scripted.wait_for_silence()
    (stopped,) = [e for e in scripted.events(0) if isinstance(e, Stopped)]
    assert stopped.reason == "interrupt"
    code, output = scripted.run()
    assert code == 0, output
    assert epochs_of(scripted, 0) == [1, 2, 3, 4, 5, 6]
    log = scripted.trial(0).rank_log(0).read_text()
    assert log.count("behind epoch 0") == 1
    assert len(scripted.trials()) == 1
    scripted.launcher = launcher
    code, told = scripted.command("verify")
    assert code == 0, told


def test_one_that_hears_no_signal_is_killed_and_one_that_does_nothing_is_hung(scripted):
    scripted.preset["script"]["stop_seconds"] = 0.5
    choose(scripted, "deaf", "hangs", limits={"hang_seconds": 2.0, "relaunches": 0})
    scripted.change(sampler={"kind": "random"}, enqueue=[{"mode": "deaf"}, {"mode": "hangs"}])
    scripted.preset["script"]["command"] = scripted.preset["script"]["command"].replace(
        "0.1", "0.5"
    )
    run = scripted.start()
    scripted.wait_for_event(0, "validated")
    began = time.monotonic()
    code, told = scripted.command("stop", "--trial", "0")
    assert code == 0, told
    wait_until(lambda: scripted.states()[0] == "PRUNED", 20, "end of the deaf one")
    assert time.monotonic() - began < 10
    code, output = finish(run)
    hung = load_outcome(scripted.trial(1).outcome)
    assert hung.ending == "hung", output
    assert not scripted.processes()


def test_a_process_alone_is_shown_all_devices_and_its_last_file_is_kept_for_the_best_only(scripted):
    program = (
        "import os, sys; out, value = sys.argv[1:]; open(out + '/model.ckpt', 'w').close(); "
        "open(out + '/kept.txt', 'w').close(); assert 'RANK' not in os.environ; "
        "print(f'val psnr={{value}} at the end')"
    )
    scripted.preset["script"] = {
        "command": [sys.executable, "-c", program, "{folder}", "{mode}"],
        "workdir": ".",
        "launch": "plain",
        "report": {"stdout": r"psnr=(?P<psnr>\S+)"},
    }
    choose(scripted, "20", "30", "25", parallel={"ranks": 2}, keep={"best_trials": 1})
    code, output = scripted.run()
    assert code == 0, output
    best = max(scripted.trials(), key=lambda trial: trial.value)
    assert best.value == 30.0
    kept = [scripted.trial(number).output for number in range(3)]
    assert [(path / "model.ckpt").exists() for path in kept] == [n == best.number for n in range(3)]
    assert all((path / "kept.txt").exists() for path in kept)
    assert not psutil.Process().children() or not scripted.processes()
