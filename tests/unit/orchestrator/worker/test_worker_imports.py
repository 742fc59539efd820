"""The fork server imports the training half before it forks."""

import subprocess
import sys

import pytest

PROGRAM = """
import importlib, pathlib, sys, threading
for file in sorted(pathlib.Path("orchestrator/worker").glob("*.py")):
    if file.stem != "__init__":
        importlib.import_module(f"orchestrator.worker.{file.stem}")
import torch
print(len(list(pathlib.Path("/proc/self/task").iterdir())), threading.active_count(),
      torch.cuda.is_initialized(), "optuna" in sys.modules, "matplotlib.pyplot" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts the threads in /proc")
def test_importing_the_training_half_starts_no_thread_and_leaves_cuda_alone():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=True,
        env={"OPENBLAS_NUM_THREADS": "1", "PATH": ""},
    )
    assert done.stdout.split() == ["1", "1", "False", "False", "False"]


TRIAL = """
import pathlib, sys
from orchestrator.worker.rank import run_rank
from tests.ranks import make_plan
trial = make_plan(pathlib.Path(sys.argv[1]), pictures=1)
before = set(sys.modules)
assert run_rank(trial, 0, lambda: None) == 0
print(len(set(sys.modules) - before))
"""


def test_a_forked_rank_finds_everything_imported_already(tmp_path):
    """Else every trial would pay for it: seconds in which the machine does nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", TRIAL, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 30
