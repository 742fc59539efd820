"""Random numbers as a function of a seed and a counter, drawn on the seeds' device.

A generator would have to be made and seeded for each sample, and on a GPU its seed be brought
back to the host first. A hash of (seed, stream, counter) needs neither, and gives a sample the
same numbers whatever its neighbours in the batch and whatever the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Increment and multipliers of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom
# number generators", with Stafford's variant 13), as signed 64-bit integers; products wrap around.
INCREMENT = -0x61C8864680B583EB
FIRST_FACTOR = -0x40A7B892E31B1A47
SECOND_FACTOR = -0x6B2FB644ECCEEE15


def derived(seeds: Tensor, key: int) -> Tensor:
    """New seeds (B,) int64 for another use of the same samples, such as another time step."""
    return _mixed(_mixed(seeds) + key)


def hashed(seeds: Tensor, stream: int, count: int) -> Tensor:
    """64 random bits for each sample and counter.

    Args:
        seeds: (B,) int64.
        stream: tells apart what one seed is used for.

    Returns:
        (B, count) int64, all 64 bits used.
    """
    counters = torch.arange(count, device=seeds.device) * INCREMENT
    return _mixed(derived(seeds, stream)[:, None] + counters)


def uniforms(seeds: Tensor, stream: int, count: int) -> Tensor:
    """(B, count) float32, uniform in [0, 1)."""
    return _upper(hashed(seeds, stream, count), 24).float() * 2.0**-24


def integers(seeds: Tensor, stream: int, count: int, *, below: int) -> Tensor:
    """(B, count) int64, uniform from 0 to `below` − 1; `below` is small against 2³²."""
    return _upper(hashed(seeds, stream, count), 32) % below


def normals(seeds: Tensor, stream: int, count: int) -> Tensor:
    """(B, count) float32 of the standard normal distribution (Box & Muller 1958)."""
    bits = hashed(seeds, stream, count)
    radius = (_upper(bits, 32) + 1).float() * 2.0**-32
    angle = (bits & 0xFFFFFFFF).float() * 2.0**-32
    return torch.sqrt(-2 * torch.log(radius)) * torch.cos(2 * math.pi * angle)


def _mixed(keys: Tensor) -> Tensor:
    """SplitMix64's finalizer of `keys` + increment, elementwise; one-to-one."""
    bits = keys + INCREMENT
    bits = (bits ^ _upper(bits, 34)) * FIRST_FACTOR
    bits = (bits ^ _upper(bits, 37)) * SECOND_FACTOR
    return bits ^ _upper(bits, 33)


def _upper(bits: Tensor, count: int) -> Tensor:
    """The uppermost `count` bits as a non-negative number."""
    return (bits >> (64 - count)) & ((1 << count) - 1)
