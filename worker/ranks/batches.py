"""Which rank trains on which samples, when: a pure function of (seed, epoch).

An epoch is one permutation of all samples, cut into global batches. Of each, rank r takes every
ranks-th sample from the r-th on, in micro-batches. Weights make an uneven last batch right: the
gradient that data-parallel training averages is that of the mean over the global batch.

A trial that ran out of memory goes on in smaller micro-batches, and more of them. The global
batches, their order and every sample's weight stay what they were, so the gradient is the same up
to rounding, with two exceptions: batch normalisation sees the smaller micro-batch, and what a
family draws from torch's global generator (dropout, a whole batch's noise) is drawn for each
micro-batch, hence differently; what it derives from a sample's own seed stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from worker.ranks.seeding import mix


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """How a global batch is shared out, and which share is this rank's."""

    rank: int
    ranks: int
    batch_size: int  # of a micro-batch, as the recipe has it
    accumulation: int  # micro-batches of one rank in one optimiser step, as the recipe has it
    reduced: int | None = None  # samples of a micro-batch, where less fits into memory

    @property
    def global_batch(self) -> int:
        """Samples of all ranks in one optimiser step."""
        return self.batch_size * self.ranks * self.accumulation

    @property
    def micro_batch(self) -> int:
        """Samples that one rank runs through the model at once, at most."""
        return min(self.batch_size, self.reduced or self.batch_size)


@dataclass(frozen=True, kw_only=True)
class MicroBatch:
    """What one rank runs through the model at once."""

    indices: tuple[int, ...]  # never empty: a rank without a sample runs a stand-in
    samples: int  # that count: 0 for a stand-in
    weight: float  # of their mean loss


@dataclass(frozen=True, kw_only=True)
class Step:
    """This rank's part of one optimiser step."""

    seen: int  # samples of the epoch, of all ranks, trained on before
    samples: int  # of the global batch
    micro_batches: tuple[MicroBatch, ...]


def epoch_order(seed: int, epoch: int, samples: int) -> list[int]:
    """The epoch's permutation of all sample indices."""
    generator = np.random.default_rng(mix(seed, "order", epoch))
    return [int(index) for index in generator.permutation(samples)]


def epoch_steps(order: Sequence[int], sharing: Sharing, seen: int = 0) -> Iterator[Step]:
    """The steps that remain of an epoch once `seen` of its samples are trained on."""
    for start in range(seen, len(order), sharing.global_batch):
        batch = order[start : start + sharing.global_batch]
        yield Step(seen=start, samples=len(batch), micro_batches=_share(batch, sharing))


def steps_per_epoch(samples: int, sharing: Sharing) -> int:
    """Optimiser steps of a whole epoch."""
    return math.ceil(samples / sharing.global_batch)


def validation_rounds(samples: int, sharing: Sharing) -> list[tuple[int, ...]]:
    """This rank's validation batches, unpadded; the same number on all ranks, so some are empty."""
    size = sharing.micro_batch
    rounds = math.ceil(math.ceil(samples / sharing.ranks) / size)
    own = range(sharing.rank, samples, sharing.ranks)
    return [tuple(own[number * size : (number + 1) * size]) for number in range(rounds)]


def _share(batch: Sequence[int], sharing: Sharing) -> tuple[MicroBatch, ...]:
    own = batch[sharing.rank :: sharing.ranks]
    size = sharing.micro_batch
    count = math.ceil(math.ceil(len(batch) / sharing.ranks) / size)
    parts = [own[number * size : (number + 1) * size] for number in range(count)]
    return tuple(
        MicroBatch(
            indices=tuple(part or batch[:1]),
            samples=len(part),
            # × ranks, because data-parallel training divides the summed gradients by it.
            weight=sharing.ranks * len(part) / len(batch),
        )
        for part in parts
    )
