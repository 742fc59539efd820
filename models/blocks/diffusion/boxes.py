"""Square boxes in slices: on a covering grid, at random, and how a grid's are put together.

A box is named by its upper left pixel (row, column); all boxes of a slice have one size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.blocks.diffusion.hashing import integers

GRID_STREAM, ROW_STREAM, COLUMN_STREAM = 201, 202, 203


def box_grid(height: int, width: int, size: int, overlap: int = 0) -> Tensor:
    """The fewest boxes that cover a slice with at least `overlap` pixels in common, evenly spread.

    Four boxes of 48 pixels on a slice of 96 by 96, as in Behrendt et al. 2023 ("Patched diffusion
    models for unsupervised anomaly detection in brain MRI"). Where the sizes do not divide,
    neighbours have more than `overlap` in common and none reaches beyond the slice.

    Returns:
        (N, 2) int64, row by row.

    Raises:
        ValueError: a box is larger than the slice, or not larger than the overlap.
    """
    if not 0 <= overlap < size <= min(height, width):
        raise ValueError(
            f"box: found {size} pixels with an overlap of {overlap}, expected an overlap smaller "
            f"than the box and a box no larger than the slice of {height} by {width}"
        )
    rows, columns = _starts(height, size, overlap), _starts(width, size, overlap)
    return torch.cartesian_prod(rows, columns)


def boxes_of_grid(seeds: Tensor, grid: Tensor) -> Tensor:
    """One of the grid's boxes (N, 2) for each sample, by its seed (B,): (B, 2)."""
    chosen = integers(seeds, GRID_STREAM, 1, below=len(grid)).squeeze(1)
    return grid.to(seeds.device)[chosen]


def boxes_anywhere(seeds: Tensor, height: int, width: int, size: int) -> Tensor:
    """A box anywhere inside the slice for each sample, by its seed (B,): (B, 2) int64."""
    rows = integers(seeds, ROW_STREAM, 1, below=height - size + 1)
    columns = integers(seeds, COLUMN_STREAM, 1, below=width - size + 1)
    return torch.cat([rows, columns], dim=1)


def inside(corners: Tensor, sizes: Tensor | int, height: int, width: int) -> Tensor:
    """Which pixels lie in a box.

    Args:
        corners: (…, 2) row and column.
        sizes: height and width (…, 2), or one size for all.

    Returns:
        (…, height, width) bool.
    """
    first, end = corners, corners + sizes
    rows = torch.arange(height, device=corners.device)
    columns = torch.arange(width, device=corners.device)
    in_rows = (rows >= first[..., :1]) & (rows < end[..., :1])
    in_columns = (columns >= first[..., 1:]) & (columns < end[..., 1:])
    return in_rows[..., :, None] & in_columns[..., None, :]


def stitched(outputs: Tensor, masks: Tensor) -> Tensor:
    """Slices put together from their boxes, overlaps averaged.

    Args:
        outputs: (N, B, 1, H, W), of which only what lies in box n counts.
        masks: (N, H, W), 1 in box n; together they cover the slice.

    Returns:
        (B, 1, H, W).
    """
    weights = masks.to(outputs.dtype)
    return (outputs * (weights / weights.sum(dim=0))[:, None, None]).sum(dim=0)


def _starts(length: int, size: int, overlap: int) -> Tensor:
    """Where the boxes begin along one side of a slice, int64."""
    count = max(1, math.ceil((length - overlap) / (size - overlap)))
    return torch.linspace(0, length - size, count, dtype=torch.float64).round().long()
