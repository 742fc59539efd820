"""A training step beside a plain loop's: the same net, data, batches and optimiser.

    python -m benchmarks.training_step [--rounds 31]

One rank beside a plain PyTorch loop, and two beside plain DistributedDataParallel over gloo, one
thread a rank; and where pytorch-lightning is installed, beside its Trainer with neither progress
bar, logger nor checkpoints, which would cost more. They take turns of a fifth of a second within
the same processes, so that whatever else the machine does falls on all alike. Samples are read and
collated by all in the training process. A step includes what we do beside training: seeds for every
sample and micro-batch, the watch for numbers that are not finite, the ranks' agreement on stopping,
heartbeats, mean losses. The ratios are medians over the rounds.
"""

from __future__ import annotations

import logging
import os
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler

from benchmarks.convnet import ConvNet, ConvNetData, ConvNetSettings, Images
from protocol.folders import TrialFolder
from protocol.messages import load_plan
from tests.ranks import make_plan, talk_together
from worker.processes.leader import ProgressBoard
from worker.ranks.batches import Step, epoch_order, epoch_steps
from worker.ranks.group import Group, join
from worker.ranks.trial import open_trial
from worker.training.train import Training

FAMILY = f"{Path(__file__).parent}/convnet.py:ConvNet"
SECONDS = 0.2  # of one turn
Turn = Callable[[int], None]  # takes so many steps


@dataclass(frozen=True)
class Load:
    """What is trained."""

    name: str
    ranks: int
    batch: int
    width: int
    blocks: int
    size: int


LOADS = [
    Load("1 rank, batch 4, 2 × 8 channels, 16²", 1, 4, 8, 2, 16),
    Load("1 rank, batch 32, 2 × 8 channels, 16²", 1, 32, 8, 2, 16),
    Load("1 rank, batch 32, 3 × 16 channels, 32²", 1, 32, 16, 3, 32),
    Load("2 ranks, batch 4, 2 × 8 channels, 16²", 2, 4, 8, 2, 16),
    Load("2 ranks, batch 32, 3 × 16 channels, 32²", 2, 32, 16, 3, 32),
]


def main(rounds: Annotated[int, typer.Option(min=1)] = 31) -> None:
    """Measure, and print a table."""
    print("| load | peer | peer ms | ours ms | ours / peer |\n|---|---|---|---|---|")
    for load in LOADS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            trial = planned(folder, load)
            if load.ranks == 1:
                times = measured(trial, Group(rank=0, ranks=1, device=torch.device("cpu")), rounds)
            else:
                found = talk_together(_Rank(trial, load, rounds), folder / "meet", ranks=load.ranks)
                times = found[0]
        for peer in [name for name in times if name != "ours"]:
            ratios = [own / other for own, other in zip(times["ours"], times[peer], strict=True)]
            own, other = (1000 * statistics.median(times[name]) for name in ("ours", peer))
            print(
                f"| {load.name} | {peer} | {other:.2f} | {own:.2f} | "
                f"{statistics.median(ratios):.2f} |",
                flush=True,
            )


def planned(folder: Path, load: Load) -> TrialFolder:
    recipe = {"epochs": 10**6, "batch_size": load.batch, "clip_norm": None}
    return make_plan(
        folder,
        ranks=load.ranks,
        family=FAMILY,
        recipe=recipe | {"width": load.width, "blocks": load.blocks},
        data={"size": load.size},
        checkpoint_seconds=1e9,
    )


class _Rank:
    """Measures in a process of its own."""

    def __init__(self, trial: TrialFolder, load: Load, rounds: int) -> None:
        self.trial, self.load, self.rounds = trial, load, rounds

    def __call__(self, rendezvous: Path, rank: int, queue: Any) -> None:
        torch.set_num_threads(1)
        devices = ["cpu"] * self.load.ranks
        group = join(devices=devices, rank=rank, rendezvous=rendezvous, patience=600.0)
        queue.put((rank, measured(self.trial, group, self.rounds)))
        group.leave()


def measured(folder: TrialFolder, group: Group, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step in every round, by who takes it."""
    torch.set_num_threads(1)
    peer = "plain loop" if group.ranks == 1 else "plain DDP"
    turns = {"ours": ours(folder, group), peer: plain(folder, group)}
    if find_spec("pytorch_lightning"):
        turns["Lightning"] = through_lightning(folder, group)
    for turn in turns.values():
        turn(20)
    counts = {name: _steps(turn, group) for name, turn in turns.items()}
    times: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        order = list(turns) if number % 2 == 0 else list(turns)[::-1]
        for name in order:
            times[name].append(_timed(turns[name], counts[name]))
    return times


def ours(folder: TrialFolder, group: Group) -> Turn:
    """Steps as the training loop takes them."""
    board = ProgressBoard(range(group.ranks))
    trial = open_trial(folder, load_plan(folder.plan), group, lambda: board.tick(group.rank))
    training = Training(trial)
    training.learner.model.train()

    def endless() -> Iterator[Step]:
        while True:
            progress = training.learner.progress
            order = epoch_order(trial.plan.seed, progress.epoch, training.samples)
            yield from epoch_steps(order, trial.sharing)
            progress.next_epoch()

    steps = endless()
    return lambda count: training.take_steps([next(steps) for _ in range(count)])


def _parts(
    folder: TrialFolder, group: Group
) -> tuple[ConvNet, nn.Module, DataLoader[dict[str, torch.Tensor]], float]:
    """What both peers train: the family's losses, its net, its batches, the learning rate."""
    plan = load_plan(folder.plan)
    data = ConvNetData(**plan.data)
    family = ConvNet(ConvNetSettings(**plan.recipe.own), data)
    images = Images(data.samples, data.size)
    sampler = DistributedSampler(images) if group.ranks > 1 else None  # type: ignore[arg-type, var-annotated]
    loader: DataLoader[Any] = DataLoader(
        images,  # type: ignore[arg-type]
        batch_size=plan.recipe.training.batch_size,
        sampler=sampler,
        shuffle=sampler is None,
    )
    return family, family.build_model(), loader, plan.recipe.training.learning_rate


def plain(folder: TrialFolder, group: Group) -> Turn:
    """A loop as one would write it."""
    family, net, loader, rate = _parts(folder, group)
    model = DistributedDataParallel(net) if group.ranks > 1 else net
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)

    def endless() -> Iterator[dict[str, torch.Tensor]]:
        while True:
            yield from loader

    batches = endless()

    def turn(count: int) -> None:
        for _ in range(count):
            batch = next(batches)
            optimizer.zero_grad()
            loss = sum(family.losses(model, batch).values())
            assert isinstance(loss, torch.Tensor)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return turn


def through_lightning(folder: TrialFolder, group: Group) -> Turn:
    """Steps of Lightning's Trainer, in a thread that goes on for as many as it is told."""
    import pytorch_lightning as lightning

    family, net, loader, rate = _parts(folder, group)
    allowed, waits = threading.Semaphore(0), threading.Semaphore(0)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: dict[str, torch.Tensor], _: int) -> Any:
            return sum(family.losses(self.net, batch).values())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=rate)

        def on_train_batch_start(self, *_: Any) -> None:
            waits.release()
            allowed.acquire()

    def train() -> None:
        torch.set_num_threads(1)
        _trainer(group).fit(Module(), loader)

    threading.Thread(target=train, daemon=True).start()
    waits.acquire()  # what it does before the first batch is over on all ranks

    def turn(count: int) -> None:
        allowed.release(count)
        for _ in range(count):
            waits.acquire()

    return turn


def _trainer(group: Group) -> Any:
    """Lightning's, with nothing beside training; its ranks meet as ours have."""
    import pytorch_lightning as lightning

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning_fabric|pytorch_lightning")
    shared: dict[str, Any] = {"devices": 1}
    if group.ranks > 1:
        told = {"RANK": group.rank, "LOCAL_RANK": group.rank, "GROUP_RANK": 0, "MASTER_PORT": 0}
        told |= {"WORLD_SIZE": group.ranks, "LOCAL_WORLD_SIZE": group.ranks}
        told |= {"MASTER_ADDR": "127.0.0.1", "TORCHELASTIC_RUN_ID": "one"}
        os.environ |= {key: str(value) for key, value in told.items()}
        strategy = lightning.strategies.DDPStrategy(process_group_backend="gloo")
        shared = {"devices": group.ranks, "strategy": strategy}
    return lightning.Trainer(
        max_epochs=-1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **shared,
    )


def _steps(turn: Turn, group: Group) -> int:
    """How many fit into a turn, the same on all ranks."""
    return group.from_first(max(5, round(SECONDS / _timed(turn, 20))))


def _timed(turn: Turn, count: int) -> float:
    start = time.perf_counter()
    turn(count)
    return (time.perf_counter() - start) / count


if __name__ == "__main__":
    typer.run(main)
