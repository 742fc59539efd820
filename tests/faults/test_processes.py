"""Whichever process is struck, and whenever: the study ends as if it had not been."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.faults.disturbing import Disturber
from tests.studio import Studio

FAULTS = 6  # of one study


def studied(path, pruner) -> Studio:
    studio = Studio(path)
    studio.change(
        n_trials=4,
        parallel={"kind": "ddp", "ranks": 2},
        limits={"checkpoint_seconds": 0.1, "hang_seconds": 15.0, "relaunches": 100},
        recipe={"epochs": 4, "step_seconds": 0.03, "loader_workers": 1},
        pruner=pruner,
    )
    return studio


def table(studio):
    return [
        (trial.params, trial.state.name, trial.value, trial.intermediate_values)
        for trial in studio.trials()
    ]


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_study_whose_processes_are_struck_at_random_ends_as_if_it_had_not_been(
    tmp_path, request, record_property
):
    at_length = request.config.getoption("--faults")
    minutes = request.config.getoption("--minutes")
    seed = first = request.config.getoption("--seed")
    deadline = time.monotonic() + 60 * minutes
    pruner = {"kind": "asha", "min_resource": 1, "reduction_factor": 2}
    unbroken = studied(tmp_path / "unbroken", pruner)
    unbroken.path.mkdir()
    code, output = unbroken.run()
    assert code == 0, output
    counts: Counter[str] = Counter()
    while seed == first or (at_length and time.monotonic() < deadline):
        studio = studied(tmp_path / f"struck-{seed}", pruner)
        studio.path.mkdir()
        disturber = Disturber(studio, seed, FAULTS)
        code, output = disturber.run()
        again = f"--seed {seed} repeats it; struck: {dict(disturber.counts)}\n{output}"
        assert code == 0, again
        assert table(studio) == table(unbroken), again
        studio.wait_for_silence()
        code, output = studio.command("verify")
        assert code == 0, f"{again}\n{output}"
        litter = [path for path in studio.folder.path.rglob(".*") if path.name != ".stamp"]
        assert not litter, again
        counts += disturber.counts
        seed += 1
    record_property(f"{seed - first} studies", dict(counts))
