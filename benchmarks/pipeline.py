"""What cutting the 3-D U-Net into stages costs and saves: time and memory of a training step.

    python -m benchmarks.pipeline [--stages 3] [--patch 32] [--width 16] [--json figures.json]

A step trains `diffx2ct` on m micro-batches of one patch each, in one process with as many threads
as there are stages, and cut into stages with one thread each; the two take turns, so that whatever
else the machine does falls on both alike. Beside the measured speed-up over the unsplit model
stands the ideal one, S·m/(m + S − 1), of S equal stages whose exchanges take no time. Processor
time of each stage shows how equal they are: no schedule gets below the busiest one's, so that the
sum over the stages divided by the busiest one's bounds the speed-up too.

Memory is the peak of a process within its steps, above what it held before its model was built;
the unsplit model is in one process.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

from models.family import Batch
from protocol.files import write_text
from protocol.folders import TrialFolder
from protocol.messages import Plan
from protocol.objective import Objective

# Imported here, so that it does not count as the memory of a stage.
from worker.pipeline.guard import StageGuard  # noqa: F401
from worker.ranks.batches import epoch_steps
from worker.ranks.group import join
from worker.ranks.guard import Wishes
from worker.ranks.trial import open_trial
from worker.training.learner import Learner
from worker.training.step import take_step

Schedule = Literal["1f1b", "gpipe"]
MICRO_BATCHES = (1, 4, 8)
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one process measures."""

    stages: int
    threads: int
    schedule: Schedule
    patch: int
    width: int
    xray: int

    def recipe(self, micro_batches: int) -> dict[str, Any]:
        levels = max(self.stages, 3)
        return {
            "batch_size": 1,
            "accumulation": micro_batches,
            "optimizer": "adamw",
            "patch_size": self.patch,
            "width": self.width,
            "levels": levels,
            "attention_levels": list(range(1, levels)),
        }


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One process's measurement of one step."""

    wall: float  # seconds
    processor: float  # seconds, of all threads
    memory: float  # MiB at the peak


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number of micro-batches, unsplit and cut: medians over the rounds."""

    micro_batches: int
    unsplit_seconds: float
    split_seconds: float
    ideal_speedup: float
    stage_processor_seconds: list[float]
    unsplit_mib: float
    stage_mib: list[float]

    @property
    def speedup(self) -> float:
        return self.unsplit_seconds / self.split_seconds

    @property
    def balance(self) -> float:
        """The speed-up that the busiest stage allows."""
        return sum(self.stage_processor_seconds) / max(self.stage_processor_seconds)


class Team:
    """The processes of one way to train, waiting for their next step."""

    def __init__(self, job: Job, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connections: list[Connection] = []
        self._processes = []
        for rank in range(job.stages):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(job, rank, folder, theirs), daemon=True)
            process.start()
            self._connections.append(ours)
            self._processes.append(process)

    def step(self, micro_batches: int) -> list[Sample]:
        """One step by all processes, the first stage's measurement first."""
        for connection in self._connections:
            connection.send(micro_batches)
        return [connection.recv() for connection in self._connections]

    def close(self) -> None:
        for connection in self._connections:
            connection.send(None)
        for process in self._processes:
            process.join(30)


def _work(job: Job, rank: int, folder: Path, orders: Connection) -> None:
    torch.set_num_threads(job.threads)
    group = join(
        devices=["cpu"] * job.stages,
        rank=rank,
        rendezvous=folder / f"meeting{job.stages}",
        patience=600.0,
        stages=job.stages,
    )
    trial = open_trial(TrialFolder(folder), _plan(job, folder, 1), group, lambda: None)
    trial.family.dataset("train")  # imports what the family needs, and makes its data
    learners: dict[int, Any] = {}
    before = _resident()
    while (count := orders.recv()) is not None:
        if count not in learners:
            learners.clear()
            trial = open_trial(TrialFolder(folder), _plan(job, folder, count), group, lambda: None)
            torch.set_num_threads(job.threads)
            learners[count] = trial, Learner(trial)
            learners[count][1].model.train()
        trial, learner = learners[count]
        (step,) = epoch_steps(range(count), trial.sharing)
        batches = iter([_batch(job, index) for index in range(count)])
        _forget_peak()
        wall, processor = time.monotonic(), _processor()
        take_step(trial, learner, step, batches, Wishes())
        orders.send(
            Sample(
                wall=time.monotonic() - wall,
                processor=_processor() - processor,
                memory=(_resident("VmHWM") - before) / MIB,
            )
        )
    group.leave()


def _plan(job: Job, folder: Path, micro_batches: int) -> Plan:
    sizes = {"size": job.patch, "xray_size": job.xray}
    return Plan(
        study="pipeline",
        trial=0,
        attempt=0,
        seed=1,
        family="diffx2ct",
        recipe=job.recipe(micro_batches),
        data={
            "root": str(folder / "chests"),  # read for its voxel size alone
            "ct_size": job.patch,
            "xray_size": job.xray,
            "generate": sizes | {"train": 1, "validation": 1, "test": 1},
        },
        objective=Objective(metric="l1", direction="minimize"),
        devices=["cpu"] * job.stages,
        stages=job.stages,
        schedule=job.schedule,
        threads=job.threads,
    )


def _batch(job: Job, index: int) -> Batch:
    generator = torch.Generator().manual_seed(index)
    return {
        "ct": torch.rand(1, 1, *[job.patch] * 3, generator=generator),
        "xrays": torch.rand(1, 2, job.xray, job.xray, generator=generator),
        "corner": torch.zeros(1, 3, dtype=torch.int64),
        "extent": torch.full((1, 3), job.patch),
        "seed": torch.tensor([index]),
        "index": torch.tensor([index]),
    }


def _processor() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _resident(key: str = "VmRSS") -> float:
    """Bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return 1024.0 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {key}")


def _forget_peak() -> None:
    """Let VmHWM start anew from what is held now."""
    Path("/proc/self/clear_refs").write_text("5")


def measure(unsplit: Team, split: Team, stages: int, micro_batches: int, rounds: int) -> Figure:
    """Medians over alternating steps, after one of each that is not counted."""
    unsplit.step(micro_batches)
    split.step(micro_batches)
    whole, parts = [], []
    for _ in range(rounds):
        whole.append(unsplit.step(micro_batches)[0])
        parts.append(split.step(micro_batches))
    by_stage = list(zip(*parts, strict=True))
    return Figure(
        micro_batches=micro_batches,
        unsplit_seconds=statistics.median(sample.wall for sample in whole),
        split_seconds=statistics.median(samples[0].wall for samples in parts),
        ideal_speedup=stages * micro_batches / (micro_batches + stages - 1),
        stage_processor_seconds=[
            statistics.median(sample.processor for sample in samples) for samples in by_stage
        ],
        unsplit_mib=max(sample.memory for sample in whole),
        stage_mib=[max(sample.memory for sample in samples) for samples in by_stage],
    )


def show(figure: Figure) -> None:
    processor = ", ".join(f"{seconds:.1f}" for seconds in figure.stage_processor_seconds)
    memory = ", ".join(f"{mib:.0f}" for mib in figure.stage_mib)
    print(
        f"m = {figure.micro_batches}: unsplit {figure.unsplit_seconds:.2f} s, "
        f"cut {figure.split_seconds:.2f} s: {figure.speedup:.2f}× "
        f"(ideal {figure.ideal_speedup:.2f}×, busiest stage allows {figure.balance:.2f}×); "
        f"processor s of each stage {processor}; "
        f"peak MiB unsplit {figure.unsplit_mib:.0f}, of each stage {memory}",
        flush=True,
    )


def main(
    stages: Annotated[int, typer.Option(min=2)] = 3,
    schedule: Schedule = "1f1b",
    patch: Annotated[int, typer.Option(help="voxels of a patch's edge")] = 32,
    width: Annotated[int, typer.Option(help="channels at full resolution")] = 16,
    xray: Annotated[int, typer.Option(help="pixels of an X-ray's edge")] = 64,
    rounds: int = 3,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure the unsplit and the cut model, and print a line for each number of micro-batches."""
    common: dict[str, Any] = {"patch": patch, "width": width, "xray": xray, "schedule": schedule}
    with tempfile.TemporaryDirectory() as place:
        unsplit = Team(Job(stages=1, threads=stages, **common), Path(place))
        split = Team(Job(stages=stages, threads=1, **common), Path(place))
        figures = []
        for micro_batches in MICRO_BATCHES:
            figures.append(measure(unsplit, split, stages, micro_batches, rounds))
            show(figures[-1])
        unsplit.close()
        split.close()
    if json_file is not None:
        write_text(json_file, json.dumps([asdict(figure) for figure in figures], indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
