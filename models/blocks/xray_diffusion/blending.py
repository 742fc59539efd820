"""Windows over a volume, and how what a model says of each is blended into one.

The weights of the windows over a voxel sum to 1, so that a model which says the same everywhere
is left alone by every kind of blending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from data.xray_ct.windows import window_corners

BlendKind = Literal["constant", "gaussian", "cosine"]

GAUSSIAN_WIDTH = 0.125  # standard deviation over the window's edge


def window_weights(kind: BlendKind, size: int) -> Tensor:
    """How much each voxel of a window counts, (size, size, size) float32, all above 0.

    Args:
        kind: `constant`: all alike. `gaussian`: with the distance from the middle, as in Isensee
            et al., "nnU-Net" (2021). `cosine`: half a wave along each axis, nearly 0 at the faces,
            so that where windows overlap by half the weights of one fall as those of the next
            rise.
    """
    places = (torch.arange(size, dtype=torch.float64) + 0.5) / size  # of voxels' middles, in (0, 1)
    if kind == "constant":
        line = torch.ones_like(places)
    elif kind == "gaussian":
        line = torch.exp(-((places - 0.5) ** 2) / (2 * GAUSSIAN_WIDTH**2))
    else:
        line = torch.sin(math.pi * places) ** 2
    cube = line[:, None, None] * line[:, None] * line
    # Where one window alone counts, its weight is divided by itself: it must not vanish.
    return cube.clamp_min(1e-6).float()


class Windows:
    """The windows of one volume, ready to be blended as often as a sampler needs."""

    def __init__(
        self,
        extent: Sequence[int],
        size: int,
        *,
        overlap: float,
        blend: BlendKind,
        at_once: int,
        device: torch.device,
    ) -> None:
        """Lay the windows out.

        Args:
            extent: (D, H, W) voxels of the volume, none fewer than `size`.
            size: voxels of a window's edge.
            overlap: share of a window that the next one covers as well, 0 ≤ overlap < 1.
            at_once: windows that the model sees in one pass.
        """
        self._size, self._at_once = size, at_once
        self._corners = window_corners(extent, size, overlap)
        self._weights = window_weights(blend, size).to(device)
        total = torch.zeros(*extent, device=device)
        for corner in self._corners:
            total[self._inside(corner)] += self._weights
        self._total = total

    def blended(self, volume: Tensor, predict: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """What `predict` says of every window, as one volume.

        Args:
            volume: (D, H, W).
            predict: from windows (N, 1, size, size, size) of it and their first voxels (N, 3)
                int64 to the windows' values (N, 1, size, size, size).

        Returns:
            (D, H, W) float32.
        """
        found = torch.zeros_like(self._total)
        for corners in self._batches():
            windows = torch.stack([volume[self._inside(corner)] for corner in corners])
            places = torch.tensor(corners, device=volume.device)
            values = predict(windows.unsqueeze(1), places).float()
            for corner, value in zip(corners, values, strict=True):
                found[self._inside(corner)] += self._weights * value[0]
        return found / self._total

    def _batches(self) -> Iterator[list[tuple[int, int, int]]]:
        for start in range(0, len(self._corners), self._at_once):
            yield self._corners[start : start + self._at_once]

    def _inside(self, corner: Sequence[int]) -> tuple[slice, ...]:
        return tuple(slice(first, first + self._size) for first in corner)
