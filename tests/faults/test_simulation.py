"""Whatever is killed between whichever writes: each trial is told once, and nothing changes."""

from __future__ import annotations

import shutil
import time
from collections import Counter

import optuna
import pytest

from tests.faults.simulation import simulate

SEEDS = 20  # of the short form


@pytest.fixture(autouse=True)
def quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.timeout(0)
def test_a_study_disturbed_between_any_two_writes_ends_as_if_it_had_not_been(
    tmp_path, request, record_property
):
    minutes = request.config.getoption("--minutes")
    first = request.config.getoption("--seed")
    deadline = time.monotonic() + 60 * minutes if request.config.getoption("--faults") else None
    counts: Counter[str] = Counter()
    seed = first
    while seed < first + SEEDS or (deadline is not None and time.monotonic() < deadline):
        problems, faults = simulate(seed, tmp_path)
        assert not problems, f"--seed {seed} repeats it: " + "\n".join(problems)
        counts += faults
        for place in tmp_path.iterdir():
            shutil.rmtree(place)
        seed += 1
    record_property(f"{seed - first} studies", dict(counts))
    assert counts["orchestrator killed"] > SEEDS
