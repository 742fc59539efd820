"""Linear interpolation and averaging whose gradients have a deterministic form on GPUs.

Torch's own add a gradient's parts up in whatever order its threads come, and refuse to where
`torch.use_deterministic_algorithms` is on. Values are always torch's own; with that mode on the
gradients are found by gathering: each input element looks up the outputs that it was part of.
Without it they are torch's own as well, which are a little faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_MODES: dict[int, Literal["linear", "bilinear", "trilinear"]] = {
    1: "linear",
    2: "bilinear",
    3: "trilinear",
}


class BilinearDoubling(nn.Module):
    """Twice as fine, the corners' centres kept: (B, C, H, W) → (B, C, 2H, 2W)."""

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        return interpolated(image, (2 * height, 2 * width), align_corners=True)


def interpolated(values: Tensor, size: Sequence[int], *, align_corners: bool = False) -> Tensor:
    """Linear along each axis: (B, C, *old) → (B, C, *size).

    Args:
        values: of one, two or three axes.
        size: the new extent of each.
        align_corners: whether the outermost centres stay where they are, rather than the edges.
    """
    if torch.are_deterministic_algorithms_enabled():
        found: Tensor = _Interpolated.apply(values, tuple(size), align_corners)
        return found
    return _interpolate(values, size, align_corners)


def averaged(volume: Tensor, factors: Sequence[int]) -> Tensor:
    """The mean of every block: (B, C, D, H, W) → (B, C, D/f₀, H/f₁, W/f₂), without remainders."""
    if torch.are_deterministic_algorithms_enabled():
        found: Tensor = _Averaged.apply(volume, tuple(factors))
        return found
    return F.avg_pool3d(volume, tuple(factors))


def _interpolate(values: Tensor, size: Sequence[int], align_corners: bool) -> Tensor:
    return F.interpolate(
        values, size=tuple(size), mode=_MODES[len(size)], align_corners=align_corners
    )


class _Interpolated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, size: tuple[int, ...], align_corners: bool) -> Tensor:
        ctx.old, ctx.dtype, ctx.align_corners = values.shape[2:], values.dtype, align_corners
        return _interpolate(values, size, align_corners)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # The transpose, an axis at a time.
        for axis, old in enumerate(ctx.old, start=2):
            places, weights = _transpose(old, gradient.shape[axis], ctx.align_corners)
            places, weights = places.to(gradient.device), weights.to(gradient)
            after = (-1, *(1 for _ in range(gradient.ndim - axis - 1)))
            parts = zip(places, weights, strict=True)
            found = [gradient.index_select(axis, some) * share.view(after) for some, share in parts]
            gradient = torch.stack(found).sum(dim=0)
        return gradient.to(ctx.dtype), None, None


class _Averaged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume: Tensor, factors: tuple[int, ...]) -> Tensor:
        ctx.factors, ctx.dtype = factors, volume.dtype
        return F.avg_pool3d(volume, factors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        deep, high, wide = ctx.factors
        shared = (gradient / (deep * high * wide))[:, :, :, None, :, None, :, None]
        blocks = shared.expand(-1, -1, -1, deep, -1, high, -1, wide)
        return blocks.flatten(6, 7).flatten(4, 5).flatten(2, 3).to(ctx.dtype), None


@lru_cache(maxsize=64)
def _transpose(old: int, new: int, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Of which outputs each of `old` inputs is a part, and by how much.

    Returns:
        (parts, old) indices of outputs, and their weights, 0 where an input has fewer parts.
    """
    step = (old - 1) / max(1, new - 1) if align_corners else old / new
    outputs = torch.arange(new, dtype=torch.float64)
    position = outputs * step if align_corners else ((outputs + 0.5) * step - 0.5).clamp_min(0.0)
    lower = position.long().clamp_max(old - 1)
    upper = (lower + 1).clamp_max(old - 1)
    weights = torch.zeros(old, new, dtype=torch.float64)
    share = position - lower
    weights[lower, outputs.long()] += 1.0 - share
    weights[upper, outputs.long()] += share  # in its turn: at the end both are the same input
    parts = int((weights != 0).sum(dim=1).max())
    # The outputs of an input lie side by side: from the first on, as many as any input has.
    first = (weights != 0).long().argmax(dim=1).clamp_max(new - parts)
    places = first + torch.arange(parts)[:, None]
    return places, weights.gather(1, places.T).T.contiguous()
