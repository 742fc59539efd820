import os
import subprocess
import sys

import pytest

from orchestrator.launcher import environment
from orchestrator.launcher.environment import server_environment
from orchestrator.launcher.local import LocalLauncher

WORDS = {"OMP_WAIT_POLICY", *environment.WAITING_OF_SCRIPTS, *environment.ALLOCATING}
WORDS |= {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"}


@pytest.fixture
def said(monkeypatch):
    """What workers are told of waiting and memory where our environment has the given words."""
    for name in WORDS:
        monkeypatch.delenv(name, raising=False)

    def environment_of(*, scripts: bool = False, **words: str) -> dict[str, str]:
        for name, word in words.items():
            monkeypatch.setenv(name, word)
        found = server_environment(scripts=scripts)
        return {name: word for name, word in found.items() if name in WORDS}

    return environment_of


def test_workers_keep_the_memory_of_tensors_for_the_next_and_scripts_are_left_alone(said):
    assert said() == environment.WAITING | environment.ALLOCATING
    assert said(scripts=True) == environment.WAITING_OF_SCRIPTS


@pytest.mark.parametrize(
    "own", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "7"}, {"KMP_BLOCKTIME": "0"}]
)
@pytest.mark.parametrize("scripts", [False, True])
def test_a_person_s_own_word_on_waiting_is_kept_and_nothing_added(said, own, scripts):
    rest = {} if scripts else environment.ALLOCATING
    assert said(scripts=scripts, **own) == own | rest


@pytest.mark.parametrize(
    "own", [{"GLIBC_TUNABLES": "glibc.malloc.check=0"}, {"MALLOC_TRIM_THRESHOLD_": "131072"}]
)
def test_a_person_s_own_word_on_memory_is_kept_and_nothing_added(said, own):
    assert said(**own) == own | environment.WAITING


def test_what_the_fork_server_forks_runs_in_it(tmp_path):
    told = server_environment(scripts=False)
    launcher = LocalLauncher(log=tmp_path / "log", trains=False)
    assert launcher.call("tests.called:environment", {"names": list(told)}) == told
    launcher.close()


def test_memory_of_a_tensor_that_is_gone_is_not_asked_of_the_kernel_again():
    """Of 16 MiB, every one of whose pages would be a fault each time."""
    program = """
import resource
import numpy
numpy.ones(2**21)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    numpy.ones(2**21)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

    def faults(words: dict[str, str]) -> int:
        clean = {name: word for name, word in os.environ.items() if name not in WORDS}
        return int(subprocess.check_output([sys.executable, "-c", program], env=clean | words))

    assert faults(environment.ALLOCATING) < faults({"MALLOC_TRIM_THRESHOLD_": "131072"}) / 10
