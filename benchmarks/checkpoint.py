"""What a checkpoint costs the training that it is of.

    python -m benchmarks.checkpoint [--millions 15] [--rounds 7]

For how long a step has to wait, of a model with so many millions of parameters and Adam's state:
ours, torch.save of the same content, torch.distributed.checkpoint's `async_save` to files, and a
clone of every tensor, which is the least that training can wait for; they take turns. Each begins
when nothing else is being written, and the file is waited for before the next one's turn. Ours is
hashed and synced to the disk, and replaces the one before atomically; theirs are not.

Then a run of short epochs (12 steps, a validation, every epoch the best so far) beside the same run
that keeps nothing: they take turns epoch by epoch.
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import typer

from protocol.messages import load_plan
from tests.ranks import make_plan
from worker.ranks.group import Group
from worker.ranks.trial import open_trial
from worker.training.train import Training

FAMILY = f"{Path(__file__).parent}/convnet.py:ConvNet"
STEPS = 12  # of a short epoch
Way = Callable[[], Callable[[], object]]  # begins to save; gives what waits for the file


def main(
    millions: Annotated[float, typer.Option(min=0.1)] = 15.0,
    rounds: Annotated[int, typer.Option(min=1)] = 7,
) -> None:
    """Measure, and print two tables."""
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module=r"torch\.distributed")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        waits(opened(folder / "waits", millions), folder, rounds)
        short_epochs(opened(folder / "kept", millions), opened(folder / "not", millions), rounds)


def opened(folder: Path, millions: float) -> Training:
    """A training that has taken a few steps."""
    place = make_plan(
        folder,
        family=FAMILY,
        recipe={"epochs": 10**6, "batch_size": 32, "idle": round(millions * 1e6)},
        data={"samples": 32 * STEPS, "size": 32},
    )
    group = Group(rank=0, ranks=1, device=torch.device("cpu"))
    training = Training(open_trial(place, load_plan(place.plan), group, lambda: None))
    training._begin()
    training._train_epoch()
    return training


def ways_to_save(training: Training, folder: Path) -> dict[str, Way]:
    """What takes turns."""
    learner, keeper = training.learner, training.keeper

    def content() -> dict[str, Any]:
        return {"model": learner.judged_weights(), "training": learner.state({})}

    def tensors() -> dict[str, Any]:
        return {"model": learner.judged_weights(), "optimizer": learner.optimizer.state_dict()}

    def ours() -> Callable[[], object]:
        learner.progress.step += 1  # or it would be there already
        keeper.keep_last()
        return keeper.wait

    def saved() -> Callable[[], object]:
        torch.save(content(), folder / "torch.pth")
        return lambda: None

    def cloned() -> Callable[[], object]:
        kept = [tensor.clone() for tensor in _tensors(content())]
        return kept.clear

    def asynchronous() -> Callable[[], object]:
        shutil.rmtree(folder / "dcp", ignore_errors=True)
        future = dcp.async_save(tensors(), checkpoint_id=folder / "dcp")
        return future.result

    return {"ours": ours, "torch.save": saved, "async_save": asynchronous, "clone": cloned}


def waits(training: Training, folder: Path, rounds: int) -> None:
    """Print for how long training waits."""
    ways = ways_to_save(training, folder)
    # Which `async_save` asks for.
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=0, world_size=1)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            wait = way()
            waited = time.perf_counter() - start
            wait()
            if number > 0:  # the first takes memory for good
                times[name].append(waited)
    dist.destroy_process_group()
    print("| a step waits for | ms | of torch.save |\n|---|---|---|")
    for name, found in times.items():
        ratio = statistics.median(a / b for a, b in zip(found, times["torch.save"], strict=True))
        print(f"| {name} | {1000 * statistics.median(found):.0f} | {ratio:.2f} |", flush=True)


def short_epochs(kept: Training, other: Training, rounds: int) -> None:
    """Print what share of a run of short epochs its checkpoints take."""
    other.keeper.keep_last = other.keeper.keep_validated = lambda *_: None  # type: ignore[method-assign, assignment]
    times: dict[str, list[float]] = {"kept": [], "other": []}
    for training in (kept, other):
        training._validate_epoch(0.0)
    for number in range(2 * rounds):
        pair = [("kept", kept), ("other", other)]
        for name, training in pair if number % 2 else pair[::-1]:
            training.learner.progress.best = None  # each epoch is the best so far
            start = time.perf_counter()
            training._train_epoch()
            training._validate_epoch(start)
            training.keeper.look()
            times[name].append(time.perf_counter() - start)
    kept.keeper.wait()
    share = statistics.median(1 - b / a for a, b in zip(times["kept"], times["other"], strict=True))
    seconds = statistics.median(times["kept"])
    print(f"\n{STEPS} steps an epoch, {seconds:.2f} s: checkpoints take {100 * share:.1f} %")


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [t for item in items for t in _tensors(item)] if isinstance(value, dict | list) else []


if __name__ == "__main__":
    typer.run(main)
