"""Reading samples and collating batches, in this process or in loader processes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from models.family import Batch, MapDataset
from protocol.messages import FROM_OUTSIDE
from worker.ranks.seeding import mix, reseed

_REAPED_SECONDS = 1.0  # until a killed process has an exit code

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
        )
        self._device = device

    def batches(self, epoch: int, indices: Iterable[tuple[int, ...]]) -> Iterator[Batch]:
        """One batch on the device for each tuple of sample indices.

        Raises:
            LoaderKilled: a process that loads them was killed.
        """
        self._order.batches = [[(epoch, index) for index in batch] for batch in indices]
        with self._told_of_a_kill():
            loaded = iter(self._loader)
        while True:
            with self._told_of_a_kill():
                batch = next(loaded, None)
            if batch is None:
                return
            yield to_device(batch, self._device)

    @contextlib.contextmanager
    def _told_of_a_kill(self) -> Iterator[None]:
        """Whatever torch says of it: a process that was killed has an exit code."""
        try:
            yield
        except Exception as error:
            if self._was_killed(error):
                raise LoaderKilled(f"a process that loads data was killed: {error}") from error
            raise

    def _was_killed(self, error: Exception) -> bool:
        workers = getattr(self._loader._iterator, "_workers", [])
        deadline = time.monotonic() + _REAPED_SECONDS
        while workers and time.monotonic() < deadline:
            codes = [worker.exitcode for worker in workers]
            if any(code is not None and -code in FROM_OUTSIDE for code in codes):
                return True
            if all(code is None for code in codes) and not isinstance(error, OSError | EOFError):
                break  # all live, and nothing says that one does not
            time.sleep(0.02)
        return False


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
