"""Reading samples and collating batches, in this process or in loader processes."""

from __future__ import annotations

import signal
import weakref
from collections.abc import Iterable, Iterator
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from models.family import Batch, MapDataset
from protocol.messages import FROM_OUTSIDE
from worker.ranks.seeding import mix, reseed

_END_SECONDS = 1.0  # in which a process whose connection broke is seen to have ended

Key = tuple[int, int]  # (epoch, sample index)


class SeededDataset(Dataset[dict[str, Any]]):
    """A data set whose augmentation is a function of (seed, epoch, index)."""

    def __init__(self, dataset: MapDataset, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __getitem__(self, key: Key) -> dict[str, Any]:
        epoch, index = key
        reseed(mix(self.seed, "sample", epoch, index))
        return self.dataset[index]


class LoaderKilled(Exception):
    """A process that loads data was ended from outside."""


class BatchLoader:
    """Loads the batches it is asked for; its processes live on between epochs."""

    def __init__(
        self, dataset: MapDataset, *, seed: int, workers: int, device: torch.device
    ) -> None:
        self.samples = len(dataset)
        self._order = _GivenBatches()
        self._loader = DataLoader(
            SeededDataset(dataset, seed),
            batch_sampler=self._order,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=device.type == "cuda",
            # Data sets and families from a user's file need not be picklable.
            multiprocessing_context="fork" if workers else None,
            worker_init_fn=_as_deaf_as_its_rank,
        )
        self._device = device
        self._processes: list[BaseProcess] = []
        _LOADERS.add(self)

    def batches(self, epoch: int, indices: Iterable[tuple[int, ...]]) -> Iterator[Batch]:
        """One batch on the device for each tuple of sample indices.

        Raises:
            LoaderKilled: a process that loads them was killed, whatever torch says of it.
            MemoryError: one died of /dev/shm being full; smaller batches need less of it.
        """
        self._order.batches = [[(epoch, index) for index in batch] for batch in indices]
        for batch in self._read():
            yield to_device(batch, self._device)

    def _read(self) -> Iterator[dict[str, Any]]:
        try:
            iterator = iter(self._loader)
            self._processes = list(getattr(iterator, "_workers", []))
            yield from iterator
        except Exception as error:
            self._await_an_end()
            if (loss := self.loss) is None:
                raise
            raise loss from error

    def _await_an_end(self) -> None:
        """A connection can break a moment before its process is seen to have ended."""
        ended = wait([process.sentinel for process in self._processes], _END_SECONDS)
        for process in self._processes:
            if process.sentinel in ended:
                process.join(_END_SECONDS)

    @property
    def loss(self) -> LoaderKilled | MemoryError | None:
        """How a process that loads was ended by a signal, where one was: its exit code tells."""
        for process in self._processes:
            number = -(process.exitcode or 0)
            what = f"process {process.pid}, which loads data, was ended by signal {number}"
            if number in FROM_OUTSIDE:
                return LoaderKilled(what)
            if number == signal.SIGBUS:
                return MemoryError(f"{what}: /dev/shm is full")
        return None


def _as_deaf_as_its_rank(worker: int) -> None:
    """torch lets SIGTERM end the processes that load data, also where it means their rank nothing.

    On a cluster it comes to all of a job's processes, and the rank reads on until it has saved.
    """
    if signal.getsignal(signal.SIGTERM) is signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


_LOADERS: weakref.WeakSet[BatchLoader] = weakref.WeakSet()


def loader_loss() -> LoaderKilled | MemoryError | None:
    """How a process that loads data for this one was ended by a signal, where one was.

    torch tells of it by an exception wherever the main thread happens to be.
    """
    return next((loss for loader in list(_LOADERS) if (loss := loader.loss)), None)


def to_device(batch: dict[str, Any], device: torch.device) -> Batch:
    """The batch with its tensors on `device`."""
    moved = {
        key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for key, value in batch.items()
    }
    return cast(Batch, moved)


class _GivenBatches(Sampler[list[Key]]):
    """Hands out the batches it was given, whenever the loader starts anew."""

    def __init__(self) -> None:
        self.batches: list[list[Key]] = []

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
