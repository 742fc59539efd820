"""What a training step on a CPU gains by the memory that the process keeps for the next.

    python -m benchmarks.allocator [--rounds 7]

The same steps in two processes of one thread that take turns, one with the words on glibc's malloc
that workers get (orchestrator/launcher/environment.py), one with none. Figures are steps a second,
and memory at the peak: the median over the rounds.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.neighbours import LOADS, Trainer, turn
from orchestrator.launcher.environment import ALLOCATING


def peak(trainer: Trainer) -> int:
    """MB that the process has held at most."""
    status = Path(f"/proc/{trainer.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1000


def measure(load: str, rounds: int, seconds: float) -> None:
    trainers = {"none": Trainer({}, load, 1), "workers'": Trainer(ALLOCATING, load, 1)}
    rates: dict[str, list[float]] = {name: [] for name in trainers}
    for _ in range(rounds):
        for name, trainer in trainers.items():
            rates[name].append(turn([trainer], seconds))
    ratio = statistics.median(b / a for a, b in zip(*rates.values(), strict=True))
    none, kept = (statistics.median(found) for found in rates.values())
    before, after = (peak(trainer) for trainer in trainers.values())
    print(f"| {load} | {none:.1f} | {kept:.1f} | {ratio:.2f} | {before} | {after} |", flush=True)
    for trainer in trainers.values():
        trainer.close()


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    seconds: Annotated[float, typer.Option(help="of one turn, at least")] = 3.0,
) -> None:
    """Measure, and print a table."""
    print("| net | nothing said | as workers | ratio | MB | MB as workers |")
    print("|---|---|---|---|---|---|")
    for load in LOADS:
        measure(load, rounds, seconds)


if __name__ == "__main__":
    typer.run(main)
