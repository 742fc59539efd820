"""The fork server imports the training half before it forks."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import importlib, json, pathlib, sys, threading
elsewhere = {"worker/exporting/predict.py", "worker/exporting/network.py"}  # copied, never run here
for file in sorted(pathlib.Path("worker").rglob("*.py")):
    if file.stem != "__init__" and file.parent.name != "pipeline" and str(file) not in elsewhere:
        importlib.import_module(".".join(file.with_suffix("").parts))
import torch
from worker.processes.rank import run_rank
report = {
    "python threads": threading.active_count(),
    "threads": len(list(pathlib.Path("/proc/self/task").iterdir())),
    "cuda": torch.cuda.is_initialized(),
    "unwanted": [name for name in ("optuna", "matplotlib.pyplot") if name in sys.modules],
}
from tests.ranks import make_plan
trial = make_plan(pathlib.Path(sys.argv[1]), pictures=1)
before = set(sys.modules)
code = run_rank(trial, 0, lambda: None)
print(json.dumps(report | {"code": code, "late": sorted(set(sys.modules) - before)}))
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    if sys.platform != "linux":
        pytest.skip("counts the threads in /proc")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path_factory.mktemp("trial"))],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    return json.loads(done.stdout)


def test_importing_the_training_half_starts_no_thread_and_leaves_cuda_alone(report):
    assert (report["python threads"], report["threads"], report["cuda"]) == (1, 1, False)


def test_the_training_half_does_without_optuna_and_a_display(report):
    assert report["unwanted"] == []


def test_a_forked_rank_finds_everything_imported_already(report):
    """Else every trial would pay for it: seconds in which the machine does nothing else."""
    assert report["code"] == 0
    assert len(report["late"]) < 30
