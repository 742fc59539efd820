"""Projects as people have them, searched over by the real commands: every way in which they end.

One reports by the table that it writes anyway, one by the two lines, one by a callback that is
named on its command line.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from protocol.messages import Stopped, Validated, load_outcome
from tests.studio import Studio, finish, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FOLDER = Path(__file__).parents[1] / "projects"
SECTIONS = {
    "ddp_argparse": {
        "command": "train.py --lr {learning_rate} --width {width} --epochs {epochs} "
        "--pause {pause} --seed {seed} --out {folder}",
        "report": {"csv": "metrics.csv"},
        "resume": "--resume {folder}/last.ckpt",
    },
    "hydra_app": {
        "command": "run.py model.lr={learning_rate} model.width={width} epochs={epochs} "
        "pause={pause} seed={seed} hydra.run.dir={folder}",
        "resume": "resume={folder}/last.ckpt",
    },
    "lightning_cli": {
        "command": "main.py fit --config config.yaml --model.lr {learning_rate} "
        "--model.width {width} --model.pause {pause} --trainer.max_epochs {epochs} "
        "--seed_everything {seed} --trainer.logger.init_args.save_dir {folder} "
        "--trainer.callbacks+=tomostudy_lightning.TomostudyCallback",
        "resume": "--ckpt_path {folder}/lightning_logs/*/checkpoints/last*.ckpt",
    },
}
PROGRAMS = {"ddp_argparse": "train.py", "hydra_app": "run.py", "lightning_cli": "main.py"}
RANKS = {"ddp_argparse": 2, "hydra_app": 1, "lightning_cli": 1}
BY_THEMSELVES = {
    "ddp_argparse": "-m torch.distributed.run --standalone --nproc_per_node 2 train.py --epochs 2",
    "hydra_app": "run.py epochs=2",
    "lightning_cli": "main.py fit --config config.yaml --trainer.max_epochs 2",
}
GOES_ON = {
    "ddp_argparse": "last.ckpt at epoch",
    "hydra_app": "last.ckpt at epoch",
    "lightning_cli": "Restored all states from the checkpoint",
}
POINTS = {
    "good": {"learning_rate": 0.05, "width": 32},
    "lame": {"learning_rate": 1e-6, "width": 32},
    "wild": {"learning_rate": 3.0, "width": 32},  # NaN in the second epoch
    "large": {"learning_rate": 0.05, "width": 10000},
}

cheap_first = pytest.mark.parametrize(
    "project",
    [
        "hydra_app",
        pytest.param("ddp_argparse", marks=pytest.mark.long),
        pytest.param("lightning_cli", marks=pytest.mark.long),
    ],
)


def search(studio: Studio, project: str, points: list[str], *, pause: float, epochs: int) -> None:
    section = SECTIONS[project]
    studio.preset = {
        "family": "script",
        "script": {
            **section,
            "command": f"{sys.executable} {section['command']}",
            "workdir": str(shutil.copytree(FOLDER / project, studio.path / project)),
        },
        "objective": {"metric": "val_psnr", "direction": "maximize"},
        "recipe": {"epochs": epochs, "pause": pause},
        "search": {
            "learning_rate": {"low": 1e-6, "high": 10.0, "log": True},
            "width": {"choices": [32, 10000]},
        },
        "sampler": {"kind": "random"},
        "pruner": {"kind": "none"},
        "parallel": {"ranks": RANKS[project]},
        "enqueue": [POINTS[point] for point in points],
        "n_trials": len(points),
        "devices": "cpu",
        "report": False,
    }


def told(studio: Studio, number: int) -> list[Validated]:
    return [event for event in studio.events(number) if isinstance(event, Validated)]


def programs(studio: Studio, project: str) -> list[psutil.Process]:
    """The project's own processes, rank 0 first."""
    found = [p for p in studio.processes() if PROGRAMS[project] in " ".join(p.cmdline())]
    return sorted(found, key=lambda process: process.environ().get("RANK", ""))


@cheap_first
def test_a_project_is_trained_pruned_diverges_and_runs_out_of_memory(studio, project, launcher):
    search(studio, project, list(POINTS), pause=1.0, epochs=5)
    studio.change(
        pruner={"kind": "threshold", "lower": 9.6, "n_warmup_steps": 2},
        parallel_trials=2,
        keep={"best_trials": 4},
    )
    if RANKS[project] == 2:  # which take half as many steps
        studio.preset["enqueue"][2] = {"learning_rate": 10.0, "width": 32}
    code, output = studio.run()
    assert code == 0, output
    outcomes = {
        name: load_outcome(studio.trial(number).outcome) for number, name in enumerate(POINTS)
    }
    assert {name: outcome.ending for name, outcome in outcomes.items()} == {
        "good": "completed",
        "lame": "pruned",
        "wild": "nonfinite",
        "large": "memory",
    }
    assert [event.epoch for event in told(studio, 0)] == [1, 2, 3, 4, 5]
    assert told(studio, 0)[-1].metrics.keys() == {"val_psnr", "train_loss"}
    assert len(told(studio, 1)) < 5
    assert outcomes["wild"].detail["epoch"] == 2
    assert outcomes["large"].reason.startswith("out of memory on rank ")
    log = studio.trial(1).rank_log(0).read_text()
    assert ("told to stop" in log) == (project == "hydra_app")
    assert "SIGTERM" not in log, "where a callback hears it there is no need of a signal"
    assert not studio.processes()
    studio.launcher = launcher
    code, answer = studio.command("verify")
    assert code == 0, answer


@pytest.mark.long
@pytest.mark.parametrize("project", SECTIONS)
def test_a_project_that_is_interrupted_and_killed_goes_on_where_it_was(studio, project):
    search(studio, project, ["good"], pause=1.0, epochs=7)
    for count, number in ((1, signal.SIGINT), (3, signal.SIGKILL)):
        run = studio.start()
        studio.wait_for_event(0, "validated", count)
        run.send_signal(number)
        code, output = finish(run)
        assert code == (130 if number == signal.SIGINT else -number), output
        studio.wait_for_silence()
    (stopped,) = [event for event in studio.events(0) if isinstance(event, Stopped)]
    assert stopped.reason == "interrupt"
    run = studio.start()
    studio.wait_for_event(0, "validated", 5)
    programs(studio, project)[-1].kill()
    code, output = finish(run)
    assert code == 0, output
    assert [event.epoch for event in told(studio, 0)] == [1, 2, 3, 4, 5, 6, 7]
    assert studio.states() == ["COMPLETE"]
    assert load_outcome(studio.trial(0).outcome).attempts == 4
    assert studio.trial(0).rank_log(0).read_text().count(GOES_ON[project]) == 3
    wait_until(lambda: not studio.processes(), 10, "end of all processes")
    code, answer = studio.command("verify")
    assert code == 0, answer


@pytest.mark.long
@pytest.mark.parametrize("project", SECTIONS)
def test_a_project_runs_by_itself(project, tmp_path):
    place = shutil.copytree(FOLDER / project, tmp_path / project)
    left_out = ("PYTHONPATH", "RANK", "WORLD_SIZE")
    done = subprocess.run(
        [sys.executable, *BY_THEMSELVES[project].split()],
        cwd=place,
        env={name: value for name, value in os.environ.items() if name not in left_out},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert list(place.rglob("last.ckpt"))
