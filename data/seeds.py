"""Whole numbers from which what is random about a sample is derived."""

from __future__ import annotations

import hashlib

import torch

SEEDS = 2**62


def drawn_seed() -> int:
    """Another one every time, from torch's global generator."""
    return int(torch.randint(SEEDS, ()))


def fixed_seed(text: str) -> int:
    """The same for the same text, wherever and whenever."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % SEEDS
