"""Sinograms folded into the backprojector's table, its sums unfolded into images, and back.

`fold_transpose` and `unfold_transpose` are the exact transposes of `fold` and `unfold`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.blocks.fbp.scan_plan import ScanPlan

LANES = 8  # table columns are padded to a multiple of this: one AVX register of float32


def fold(sinogram: Tensor, plan: ScanPlan) -> Tensor:
    """The table of sinograms (B, A, D): shape (padded angles, D + 3, columns).

    Column (g·2 + r)·B + b holds image b's angles of group g, read backwards where r is 1.
    """
    batch = sinogram.shape[0]
    table = _empty_table(sinogram, plan)
    columns = _detector_columns(table, plan, batch)
    for group, angles in enumerate(angle_groups(sinogram, plan)):
        columns[:, :, group, 0] = angles.permute(1, 2, 0)
        columns[:, :, group, 1] = angles.permute(1, 2, 0).flip(1)
    return table


def fold_transpose(table: Tensor, plan: ScanPlan, batch: int) -> Tensor:
    """Sinograms (B, A, D) from a table: each cell is the sum of the places that it was put in."""
    columns = _detector_columns(table, plan, batch)
    both = columns[:, :, :, 0] + columns[:, :, :, 1].flip(1)  # (base angles, D, groups, B)
    groups = both.permute(2, 3, 0, 1).unbind(0)
    if plan.groups == 1:
        return groups[0].contiguous()
    turned = [group.flip(1) if index in (1, 3) else group for index, group in enumerate(groups)]
    return torch.cat(turned, dim=1)


def unfold(sums: Tensor, plan: ScanPlan, batch: int) -> Tensor:
    """Images (B, N, N) from the sums (half rows, N, columns) of the visited pixels."""
    size = plan.geometry.image_size
    used = sums[..., : 2 * plan.groups * batch]
    parts = used.unflatten(-1, (plan.groups, 2, batch)).permute(2, 3, 4, 0, 1)
    upper = parts[:, 0]
    lower = parts[:, 1, :, : size // 2].flip(-2, -1)  # the middle row of an odd image is its own
    groups = torch.cat((upper, lower), dim=-2)  # (groups, B, N, N)
    if plan.groups == 1:
        return groups[0]
    # φ → π/2 − φ swaps x and y; φ + π/2 is (x, y) → (y, −x); π − φ is x → −x.
    straight = groups[0] + groups[3].flip(-2)
    return straight + (groups[1] + groups[2].flip(-1)).transpose(-2, -1)


def unfold_transpose(images: Tensor, plan: ScanPlan) -> Tensor:
    """The sums' cotangents, shape (half rows, N, columns), from the images' (B, N, N)."""
    batch, size, _ = images.shape
    columns = plan.table_columns(batch, LANES)
    sums = images.new_zeros(plan.half_rows, size, columns)
    parts = sums[..., : 2 * plan.groups * batch].unflatten(-1, (plan.groups, 2, batch))
    for group, image in enumerate(_image_groups(images, plan)):
        rows = image.permute(1, 2, 0)
        parts[:, :, group, 0] = rows[: plan.half_rows]
        parts[: size // 2, :, group, 1] = rows.flip(0, 1)[: size // 2]
    return sums


def angle_groups(sinogram: Tensor, plan: ScanPlan) -> tuple[Tensor, ...]:
    """Sinograms (B, A, D) as the plan's groups of base angles, each (B, base angles, D)."""
    if plan.groups == 1:
        return (sinogram,)
    first, second, third, fourth = sinogram.split(plan.base_angles, dim=1)
    return first, second.flip(1), third, fourth.flip(1)


def _image_groups(images: Tensor, plan: ScanPlan) -> tuple[Tensor, ...]:
    if plan.groups == 1:
        return (images,)
    turned = images.transpose(-2, -1)
    return images, turned, turned.flip(-1), images.flip(-2)


def _empty_table(like: Tensor, plan: ScanPlan) -> Tensor:
    columns = plan.table_columns(like.shape[0], LANES)
    return like.new_zeros(len(plan.origin), plan.table_cells, columns)


def _detector_columns(table: Tensor, plan: ScanPlan, batch: int) -> Tensor:
    detector = table[: plan.base_angles, 1 : plan.geometry.detectors + 1]
    return detector[..., : 2 * plan.groups * batch].unflatten(-1, (plan.groups, 2, batch))
