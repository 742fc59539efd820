"""Whichever process is struck, whatever is damaged, and whenever: the study ends as if nothing."""

from __future__ import annotations

import random
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.disk import small_disk
from tests.faults.disturbing import Disturber
from tests.faults.invariants import Result, problems, results, unfit
from tests.faults.tally import Tally
from tests.studio import ROOT, Studio

FAULTS, SHORT_FAULTS = 8, 2  # of one study
# What decides a study's results. One trial at a time where a pruner compares them, or else it
# depends on which of them is faster.
SHAPES: dict[str, dict[str, Any]] = {
    "halving": {
        "parallel": {"ranks": 2},
        "pruner": {"kind": "asha", "min_resource": 1, "reduction_factor": 2},
    },
    "two ranks": {"parallel": {"ranks": 2}},
    "two trials": {"parallel": {"ranks": 1}, "parallel_trials": 2},
    "two folds": {"parallel": {"ranks": 2}, "folds": 2, "recipe": {"epochs": 3}},
    "two stages": {
        "parallel": {"kind": "model", "stages": 2},
        "family": f"{ROOT}/tests/families/pipelined_toy.py:PipelinedToy",
    },
    "a script": {
        "parallel": {"ranks": 2},
        "family": "script",
        "script": {
            "command": [
                sys.executable,
                f"{ROOT}/tests/faults/script.py",
                "{learning_rate}",
                "{epochs}",
                "{folder}",
            ],
            "workdir": str(ROOT),
            "report": {"csv": "metrics.csv"},
            "resume": ["{folder}/last.ckpt"],
            "stop_seconds": 5.0,
        },
        "pruner": {"kind": "asha", "min_resource": 1, "reduction_factor": 2},
    },
}
WITH_NAN = ("two ranks", "two trials")  # where other trials do not depend on the one it ends


def studied(path: Path, shape: str) -> Studio:
    """A studio whose trials take a few seconds each."""
    path.mkdir(exist_ok=True)
    studio = Studio(path)
    studio.change(
        n_trials=5,
        limits={"checkpoint_seconds": 0.1, "hang_seconds": 12.0, "relaunches": 100},
        recipe={"epochs": 5, "step_seconds": 0.04},
    )
    studio.change(**SHAPES[shape])
    return studio


class Undisturbed:
    """What studies come to without faults, each run once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, list[Result]] = {}

    def of(self, shape: str) -> list[Result]:
        if shape not in self._known:
            studio = studied(self._path / f"undisturbed-{len(self._known)}", shape)
            code, output = studio.run()
            assert code == 0, output
            self._known[shape] = results(studio)
        return self._known[shape]


@dataclass(frozen=True)
class Round:
    """One study that is disturbed as its seed says."""

    seed: int
    path: Path
    faults: int

    def run(self, undisturbed: Undisturbed, tally: Tally) -> str:
        """What is wrong with it; nothing where nothing is."""
        chance = random.Random(self.seed)
        shape = chance.choice(list(SHAPES))
        studio = studied(self.path, shape)
        self._vary(studio, chance, shape)
        expected = undisturbed.of(shape)
        wanted = chance.random() < 0.25
        with small_disk(self.path / "runs", wanted=wanted) as disk:
            if wanted and not disk:
                tally.left_out.add("no full disk: only root can mount a small one")
            disturber = Disturber(studio, self.seed, disk=disk)
            wrong = list(self._wrong(studio, disturber, expected))
            for process in studio.processes():
                process.kill()
        tally.add(disturber.counts, failed=bool(wrong))
        if not wrong:
            return ""
        again = f"./run_tests.sh --faults --minutes 0 --seed {self.seed} repeats it"
        return "\n".join([*wrong, again, *disturber.history, disturber.told])

    def _wrong(self, studio: Studio, disturber: Disturber, expected: list[Result]) -> Iterator[str]:
        try:
            disturber.run(self.faults)
            if self._mark.exists():
                disturber.counts["NaN on one rank"] += 1
            yield from disturber.problems
            spoilt = disturber.spoilt
            yield from problems(studio, expected, falls_back=disturber.falls_back, spoilt=spoilt)
            if sentence := unfit(studio, spoilt):
                yield sentence
        except Exception:
            yield traceback.format_exc()

    def _vary(self, studio: Studio, chance: random.Random, shape: str) -> None:
        """What results must not depend on; and a NaN, which ends the trial that it strikes."""
        studio.change(
            pictures=chance.choice((0, 1)),
            recipe={"loader_workers": chance.choice((0, 1, 1))},
            limits={"checkpoint_seconds": chance.choice((0.1, 1000.0))},
        )
        if chance.random() < 0.25:
            studio.change(tracking={"wandb": "offline"})
        if shape in WITH_NAN and chance.random() < 0.4:
            rank = chance.randrange(SHAPES[shape]["parallel"]["ranks"])
            nan = {"nan_at_step": chance.randint(1, 9), "fault_rank": rank}
            studio.change(recipe=nan | {"fault_once": str(self._mark)})

    @property
    def _mark(self) -> Path:
        return self.path.with_name(f"{self.path.name}-nan")


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_study_whose_processes_and_files_are_struck_at_random_ends_as_if_they_had_not_been(
    tmp_path, request, record_property
):
    at_length = request.config.getoption("--faults")
    seed = request.config.getoption("--seed")
    deadline = time.monotonic() + 60 * request.config.getoption("--minutes")
    undisturbed, tally, failures = Undisturbed(tmp_path), Tally(), []
    while not tally.studies or (at_length and time.monotonic() < deadline):
        path = tmp_path / f"struck-{seed}"
        path.mkdir()
        faults = FAULTS if at_length else SHORT_FAULTS
        if problem := Round(seed, path, faults).run(undisturbed, tally):
            failures.append(problem)
            print(problem, flush=True)
        seed += 1
    record_property("faults", tally.table())
    assert not failures, "\n\n".join(failures)
