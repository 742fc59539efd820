"""What a training process of several threads loses beside an equal neighbour, and by which waiting.

    python -m benchmarks.neighbours [--rounds 7]

OpenMP's threads spin while they wait for one another, and with more threads than cores they spin
in the way of those that they wait for. Each row trains with other words on that in the
environment, or gives way as workers do (worker/machine/threads.py), alone and with two processes
side by side, all with the allocator's thresholds that workers have. All rows take turns, once a
round, and each figure says how many times longer a step took than alone with an environment that
says nothing: the median over the rounds, and in brackets that of the fastest turns, which is
nearer to what a machine gives that does nothing else.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from typing import Annotated

import torch
import typer
from torch import nn

from benchmarks.convnet import Net
from orchestrator.launcher.environment import ALLOCATING
from worker.machine.threads import give_way

SAID = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
GIVES_WAY = "gives way"
WAYS: dict[str, dict[str, str]] = {
    "nothing said": {},
    GIVES_WAY: {},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "spins 1 000 times": {"GOMP_SPINCOUNT": "1000"},
    "spins 10 000 times": {"GOMP_SPINCOUNT": "10000"},
    "spins 30 000 times": {"GOMP_SPINCOUNT": "30000"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
ALONE, TWO = "alone", "two"
# Width, layers, batch, pixels; a tensor of the last is of 67 MB.
LOADS = {"small": (8, 2, 4, 16), "middle": (16, 3, 32, 32), "large": (16, 3, 32, 181)}


class Trainer:
    """A process that trains for so long when it is told to."""

    def __init__(
        self, way: dict[str, str], load: str, threads: int, *, gives_way: bool = False
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in SAID}
        environment |= {"OMP_NUM_THREADS": str(threads)} | way
        gives = ["--gives-way"] if gives_way else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.neighbours", "--train", load, *gives],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.answer()  # that it is there

    def start(self, seconds: float) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def answer(self) -> float:
        assert self.process.stdout is not None
        return float(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def train(load: str) -> None:
    """Answer each line, a number of seconds, with the steps a second of so long a training."""
    width, layers, batch, pixels = LOADS[load]
    model = Net(width, layers, 0)
    optimizer = torch.optim.Adam(model.parameters())
    image = torch.rand(batch, 1, pixels, pixels)

    def step() -> None:
        loss = nn.functional.mse_loss(model(image), image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    for _ in range(3):
        step()
    print(0.0, flush=True)
    for line in sys.stdin:
        start, steps = time.perf_counter(), 0
        while time.perf_counter() < start + float(line):
            step()
            steps += 1
        print(steps / (time.perf_counter() - start), flush=True)


def turn(trainers: list[Trainer], seconds: float) -> float:
    """Steps a second of the slowest of the trainers, side by side."""
    for trainer in trainers:
        trainer.start(seconds)
    return min(trainer.answer() for trainer in trainers)


def measure(load: str, threads: int, rounds: int, seconds: float) -> None:
    pairs = {
        name: [
            Trainer(ALLOCATING | way, load, threads, gives_way=name == GIVES_WAY) for _ in range(2)
        ]
        for name, way in WAYS.items()
    }
    rates: dict[tuple[str, str], list[float]] = {}
    for _ in range(rounds):
        for name, pair in pairs.items():
            rates.setdefault((name, ALONE), []).append(turn(pair[:1], seconds))
            rates.setdefault((name, TWO), []).append(turn(pair, seconds))
    for pair in pairs.values():
        for trainer in pair:
            trainer.close()
    base = rates["nothing said", ALONE]
    typer.echo(f"{load}, {threads} threads each, {max(base):.0f} steps/s alone at the fastest")
    for name in WAYS:
        alone, two = (longer(base, rates[name, what]) for what in (ALONE, TWO))
        typer.echo(f"  {name:<20} alone {alone}   beside its equal {two}")


def longer(base: list[float], rates: list[float]) -> str:
    median = statistics.median(b / own for b, own in zip(base, rates, strict=True))
    return f"{median:5.2f}× ({max(base) / max(rates):5.2f}×)"


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 7,
    seconds: Annotated[float, typer.Option(help="of one turn")] = 4.0,
    threads: Annotated[int, typer.Option(min=1)] = os.cpu_count() or 1,
    train_load: Annotated[str | None, typer.Option("--train", hidden=True)] = None,
    gives: Annotated[bool, typer.Option("--gives-way", hidden=True)] = False,
) -> None:
    """Time steps alone and beside a neighbour, under each way to wait."""
    if train_load is not None:
        if gives:
            give_way()
        train(train_load)
        return
    for load in ("small", "middle"):
        measure(load, threads, rounds, seconds)


if __name__ == "__main__":
    typer.run(main)
