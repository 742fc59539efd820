import json
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from rich.console import Console

import orchestrator
from orchestrator.commands.status import show_status
from orchestrator.reporting.status import Chosen, look_at, status_json
from orchestrator.reporting.status_screen import print_status
from protocol.messages import Ending
from tests.made_study import MadeStudy

ROOT = Path(orchestrator.__file__).parents[1]


@pytest.fixture
def made(tmp_path):
    return MadeStudy(tmp_path)


def shown(folder, width=140):
    console = Console(width=width, record=True, file=open(os.devnull, "w"), _environ={})  # noqa: SIM115, PTH123
    print_status(console, look_at(folder))
    return console.export_text()


def hold(made, pid):
    lock = {"pid": pid, "host": socket.gethostname(), "start": time.time()}
    made.folder.lock.write_text(json.dumps(lock))


def test_json_has_the_counts_and_the_best_trial(made, capsys):
    made.add(22.0)
    best = made.add(26.0)
    made.add(None, ending=Ending.FAILED, reason="ValueError on rank 0: wrong")
    made.add(None, ending=Ending.PRUNED, epochs=2)
    made.add(None, ending=Ending.NONFINITE, epochs=1)
    made.begin(epochs=3)
    made.study.enqueue_trial({})
    show_status(made.folder, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["study_name"] == "made"
    assert told["n_trials"] == 6
    assert told["counts"] == {"complete": 2, "pruned": 2, "failed": 1, "running": 1}
    assert told["waiting"] == 1
    assert told["best"] == {
        "number": best,
        "value": 26.0,
        "params": made.study.trials[best].params,
        "checkpoint": str(made.trial(best).best),
        "metrics": {"psnr": 26.0, "ssim": 0.5},
    }
    assert (told["objective"], told["direction"], told["budget"]) == ("psnr", "maximize", 8)
    failed, running = told["trials"][2], told["trials"][5]
    assert (failed["ending"], failed["reason"]) == ("failed", "ValueError on rank 0: wrong")
    assert (running["state"], running["epoch"], running["reason"]) == ("running", 3, None)


def test_a_checkpoint_that_was_removed_is_null(made):
    made.trial(made.add()).best.unlink()
    assert status_json(look_at(made.folder))["best"]["checkpoint"] is None


def test_without_a_complete_trial_best_is_null(made):
    made.add(None, ending=Ending.PRUNED)
    assert status_json(look_at(made.folder))["best"] is None


def test_values_that_json_cannot_hold_are_null(made, capsys):
    trial = made.begin()
    made.study.tell(trial, float("inf"))
    made.add(24.0, metrics={"psnr": 24.0, "ssim": float("nan")})
    show_status(made.folder, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["trials"][0]["value"] is None
    assert told["best"]["metrics"] == {"psnr": 24.0, "ssim": None}


def test_a_running_trial_whose_orchestrator_is_dead_counts_as_interrupted_for_people(made):
    made.begin(epochs=3)
    process = subprocess.Popen(["sleep", "60"])
    hold(made, process.pid)
    assert "1 running" in shown(made.folder)
    assert f"Process {process.pid} on" in shown(made.folder)
    process.kill()
    process.wait()
    assert "1 interrupted" in shown(made.folder)
    assert "Nobody works on it now" in shown(made.folder)
    told = status_json(look_at(made.folder))
    assert (told["counts"]["running"], told["orchestrator"]) == (1, None)


def test_while_it_runs_the_best_so_far_of_each_trial_and_the_time_left_are_told(made, capsys):
    for _ in range(3):
        trial = made.begin()
        trial.set_user_attr("ledger", {"kept": 100.0, "lasted": 100.0})
        made.tell(trial, made.settle(trial))
    made.write_settings(pruner={"kind": "none"}, recipe={"epochs": 4})
    made.begin(epochs=2)
    assert "left" not in shown(made.folder)  # nobody works on it
    hold(made, os.getpid())
    screen = shown(made.folder)
    assert "about 6 min" in screen  # four of 100 s are waiting, and what is left of the running one
    row = [line for line in screen.splitlines() if line.endswith("running")][-1]
    assert row.split()[:3] == ["3", "2", "22"]
    show_status(made.folder, as_json=True)
    left = json.loads(capsys.readouterr().out)["seconds_left"]
    assert left["low"] < left["seconds"] < left["high"]
    made.write_settings(pruner={"kind": "median"}, n_trials=20)
    assert "time left not known yet" in shown(made.folder)


def test_the_screen_shows_each_trial_with_its_reason_whatever_its_letters(made):
    made.add(26.0, reason="early [red]stopping[/nothing]")
    screen = shown(made.folder)
    assert "Study made: 1 of 8 trials begun, 1 complete, 0 pruned, 0 failed" in screen
    assert "Best: trial 0, psnr 26" in screen
    row = next(line for line in screen.splitlines() if line.strip().startswith("0 "))
    assert "early [red]stopping[/nothing]" in row


def test_at_80_columns_the_parameters_are_whole_and_a_long_reason_stands_below(made):
    made.add(26.0)
    reason = "ValueError on rank 0: " + "a very long message " * 5 + "its end"
    made.add(None, ending=Ending.FAILED, reason=reason)
    made.add(None, ending=Ending.FAILED, reason=reason)
    screen = shown(made.folder, width=80).splitlines()
    title = next(n for n, line in enumerate(screen) if line.startswith("trial"))
    told = made.study.trials[1].params
    rows = screen[title : title + 7]
    assert max(len(line) for line in rows) <= 80
    assert rows[1].split()[:3] == ["0", "4", "26"]
    assert rows[1].endswith("complete")
    assert rows[3].split()[:2] == ["1", "4"]
    assert rows[3].endswith("…")
    assert f"window={told['window']} harmonics={told['harmonics']}" in rows[4]
    assert f"trials 1, 2: {reason}" in screen


def test_on_a_wide_screen_the_searched_keys_are_columns(made):
    made.add(26.0)
    made.add(None, ending=Ending.PRUNED, epochs=2)
    screen = shown(made.folder, width=110).splitlines()
    title = next(n for n, line in enumerate(screen) if line.startswith("trial"))
    assert screen[title - 1].split() == ["learning_"]  # which is wider than its values
    assert screen[title].split()[:7] == [
        "trial",
        "epoch",
        "psnr",
        "took",
        "rate",
        "window",
        "harmonics",
    ]
    params = made.study.trials[0].params
    assert str(params["harmonics"]) in screen[title + 1].split()
    assert screen[title + 2].endswith("by the pruner")


def numbers(folder, **chosen):
    return [trial.number for trial in Chosen(**chosen).of(look_at(folder))]


def test_those_that_run_come_first_then_the_better_before_the_worse(made):
    for value in (22.0, 26.0, 24.0):
        made.add(value)
    made.add(None, ending=Ending.FAILED)
    made.add(None, ending=Ending.PRUNED, epochs=1)
    made.begin(epochs=1)
    made.add(None, ending=Ending.PRUNED, epochs=3)
    assert numbers(made.folder) == [5, 1, 2, 0, 6, 4, 3]
    assert numbers(made.folder, state="pruned") == [6, 4]
    assert numbers(made.folder, top=2) == [1, 2, 0]
    told = status_json(look_at(made.folder), Chosen(top=2))["trials"]
    assert [trial["number"] for trial in told] == [1, 2]


def test_of_a_long_study_the_best_are_shown(made):
    for value in range(42):
        made.study.tell(made.study.ask(), float(value))
    screen = shown(made.folder)
    assert "2 trials not shown" in screen
    rows = [line.split()[0] for line in screen.splitlines() if " complete" in line][1:]
    assert (rows[0], rows[-1]) == ("41", "2")


def test_what_a_trial_took_is_without_the_time_in_which_nobody_trained_it(made, capsys):
    trial = made.begin()
    trial.set_user_attr("ledger", {"kept": 7200.0, "lasted": 3600.0})
    made.tell(trial, made.settle(trial))
    row = next(line for line in shown(made.folder).splitlines() if line.endswith("complete"))
    assert "  1 h 00 min  " in row
    assert "Used: 2 device-hours: 2 h trained and kept" in shown(made.folder)
    show_status(made.folder, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["ledger"]["device_hours"] == told["trials"][0]["ledger"]["by_use"]["kept"] == 2.0
    assert told["trials"][0]["ledger"]["hours"] == 1.0


def test_status_takes_well_under_a_second_and_needs_neither_optuna_nor_torch(made):
    for _ in range(5):
        made.add()
    program = (
        "import sys; from pathlib import Path;"
        "from orchestrator.commands.status import show_status;"
        "from protocol.folders import StudyFolder;"
        f"show_status(StudyFolder(Path({str(made.folder.path)!r})), as_json='--json' in sys.argv);"
        "print([m for m in ('optuna', 'torch', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    seconds = []
    for arguments in (["--json"], [], []):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        ended = subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # The processor's time, because tests share their machine with others.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert ended.stderr.strip() == "[]"
    assert min(seconds) < 0.8


def test_it_leaves_the_studys_folder_as_it_was(made, tmp_path):
    made.add()
    made.begin(epochs=1)
    copy = tmp_path / "copy" / "made"
    shutil.copytree(made.folder.path, copy)
    show_status(made.folder)
    for path in copy.rglob("*"):
        if path.is_file() and not path.name.endswith("-shm"):
            there = made.folder.path / path.relative_to(copy)
            assert there.read_bytes() == path.read_bytes(), path.name


def test_a_dependent_study_names_its_parent(made, capsys):
    made.add(26.0)
    record = {
        "checkpoint": "/runs/direct/trial_3/best.pth",
        "sha256": "ab" * 32,
        "study": "/runs/direct",
        "trial": 3,
        "family": "direct64",
        "metric": "psnr",
        "value": 24.5,
        "epoch": 7,
    }
    assert "Parent" not in shown(made.folder)
    known = yaml.safe_load(made.folder.settings.read_text())
    made.folder.settings.write_text(yaml.safe_dump(known | {"parent": record}))
    assert "Parent: trial 3 of study direct, psnr 24.5 at epoch 7" in shown(made.folder)
    show_status(made.folder, as_json=True)
    assert json.loads(capsys.readouterr().out)["parent"] == record
