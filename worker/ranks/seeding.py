"""Random numbers without hidden state: every use is seeded from what it is for."""

from __future__ import annotations

import hashlib
import random
from typing import Any

import numpy as np
import torch


def mix(*parts: int | str) -> int:
    """A 63-bit seed that differs wherever one of `parts` does, the same in every process."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def reseed(seed: int) -> None:
    """Seed torch on the CPU and all GPUs, numpy and random, with the numbers of `manual_seed`.

    That one takes as long as a small step: it notes the caller's stack for every kind of device
    that is not in use.
    """
    torch.default_generator.manual_seed(seed)
    _seed_gpus(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


_of_later_gpus: list[int] = []  # the latest seed, while CUDA is not in use


def _seed_gpus(seed: int) -> None:
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
        return
    if not _of_later_gpus:
        torch.cuda._lazy_call(lambda: torch.cuda.manual_seed_all(_of_later_gpus[0]))
    _of_later_gpus[:] = [seed]


def random_state() -> dict[str, Any]:
    """The generators' states, for a third-party layer that draws between two reseedings."""
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        "numpy": [torch.from_numpy(np.asarray(keys, np.int64)), position, has_gauss, cached],
        "random": [version, list(internal), gauss_next],
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the generators back where `random_state` found them."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_initialized():
        torch.cuda.set_rng_state(state["cuda"])
    keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), position, has_gauss, cached))
    version, internal, gauss_next = state["random"]
    random.setstate((version, tuple(internal), gauss_next))
