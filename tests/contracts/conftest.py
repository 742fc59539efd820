"""Every test of this folder runs over every family; their data and trainings are made once."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from protocol.folders import TrialFolder
from protocol.messages import Validated
from tests.contracts.bench import Bench, alone, plan_trial
from tests.contracts.cases import CASES, Case
from tests.ranks import events, started

TRAINING_SECONDS = 240.0
PICTURES = 2


@dataclass(frozen=True)
class Trained:
    """One training of a family's tiny preset, to its end."""

    folder: TrialFolder

    @property
    def epochs(self) -> list[Validated]:
        return events(self.folder, Validated)


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all processes of this test run have in common."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder = folder / "contracts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(params=CASES, ids=[case.name for case in CASES])
def case(request, shared, monkeypatch) -> Case:
    """The family under test, with its package installed if it is of one."""
    chosen: Case = request.param
    with FileLock(shared / "preset.lock"):
        chosen.preset(shared)
    if chosen.parent is not None:
        train(chosen.parent, shared)
    if chosen.packaged:
        monkeypatch.syspath_prepend(shared / "own" / "packages")
    return chosen


@pytest.fixture
def bench(case, shared, tmp_path) -> Bench:
    """The family's tiny preset before its first step."""
    return _with_data(case, shared, tmp_path)


@pytest.fixture
def trained(case, shared) -> Trained:
    """The tiny preset trained as a study would, by whichever test needs it first."""
    return train(case, shared)


def _with_data(case: Case, shared: Path, folder: Path) -> Bench:
    """A bench whose data are there: one process makes them, the others wait."""
    with FileLock(shared / f"{case.name}.lock"):
        bench = Bench(plan_trial(case, shared, folder), alone())
        bench.family.dataset("train")
    return bench


def train(case: Case, shared: Path) -> Trained:
    """Train once for all tests and processes; only those that need it trained wait."""
    place = shared / "trained" / case.name
    with FileLock(shared / f"{case.name}.trained.lock"):
        ended = place / "exit_codes"
        if not ended.exists():
            _with_data(case, shared, place / "data")
            _run(
                plan_trial(case, shared, place, pictures=PICTURES, recipe={"loader_workers": 1}),
                ended,
            )
        folder = TrialFolder(place / "trial_0")
        assert ended.read_text() == "[0]", folder.rank_log(0).read_text()
    return Trained(folder)


def _run(folder: TrialFolder, ended: Path) -> None:
    """Once, also where it fails: the next test would wait for the same in vain."""
    deadline = time.monotonic() + TRAINING_SECONDS
    with started(folder) as processes:
        for process in processes:
            process.join(max(0.0, deadline - time.monotonic()))
        ended.write_text(str([process.exitcode for process in processes]))
