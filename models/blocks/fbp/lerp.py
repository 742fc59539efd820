"""Linear interpolation summed over angles, and its exact transpose: compiled loops or plain torch.

Both take the table of `symmetry.fold` and the positions of a `ScanPlan`. CPU tensors go through
compiled loops; any other device through torch operations on that device, a few angles at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch
from torch import Tensor

from models.blocks.fbp import lerp_kernels
from models.blocks.fbp.constant import constant
from models.blocks.fbp.scan_plan import ANGLES_AT_ONCE, ScanPlan

MAX_GATHERED = 1 << 25  # numbers that plain torch may hold at once: 128 MiB of float32
MIN_THREADED_WORK = 1 << 18  # (pixel, angle) pairs under which a second thread costs more


def gather_angles(table: Tensor, plan: ScanPlan) -> Tensor:
    """Every visited pixel's sum over the base angles, shape (half rows, N, columns)."""
    if table.device.type != "cpu":
        return gather_with_torch(table, plan)
    size = plan.geometry.image_size
    sums = table.new_empty(plan.half_rows, size, table.shape[-1])
    arrays = (table.numpy(), plan.origin, plan.row_step, plan.column_step, sums.numpy())

    def rows(first: int, end: int) -> None:
        lerp_kernels.gather_rows(*arrays, first, end)

    _share_out(rows, plan.half_rows, lerp_kernels.TILE, plan)
    return sums


def scatter_angles(sums: Tensor, plan: ScanPlan) -> Tensor:
    """The transpose of `gather_angles`: a table (padded angles, D + 3, columns)."""
    if sums.device.type != "cpu":
        return scatter_with_torch(sums, plan)
    table = sums.new_zeros(len(plan.origin), plan.table_cells, sums.shape[-1])
    arrays = (table.numpy(), plan.origin, plan.row_step, plan.column_step, sums.numpy())

    def angles(first: int, end: int) -> None:
        lerp_kernels.scatter_rows(*arrays, first, end)

    _share_out(angles, len(plan.origin), ANGLES_AT_ONCE, plan)
    return table


def gather_with_torch(table: Tensor, plan: ScanPlan) -> Tensor:
    """`gather_angles` in torch operations on the table's device."""
    size = plan.geometry.image_size
    columns = table.shape[-1]
    sums = table.new_zeros(plan.half_rows * size, columns)
    flat = table.view(-1, columns)
    for cells, weights in _cells_and_weights(table, plan):
        below = (1 - weights).unsqueeze(-1) * flat[cells]
        sums += torch.addcmul(below, weights.unsqueeze(-1), flat[cells + 1]).sum(dim=0)
    return sums.view(plan.half_rows, size, columns)


def scatter_with_torch(sums: Tensor, plan: ScanPlan) -> Tensor:
    """`scatter_angles` in torch operations on the device of `sums`.

    On CUDA its additions come in any order unless `torch.use_deterministic_algorithms` is on.
    """
    columns = sums.shape[-1]
    table = sums.new_zeros(len(plan.origin), plan.table_cells, columns)
    flat = table.view(-1, columns)
    values = sums.reshape(1, -1, columns)
    for cells, weights in _cells_and_weights(sums, plan):
        index, weight = cells.flatten(), weights.unsqueeze(-1)
        flat.index_add_(0, index, ((1 - weight) * values).flatten(0, 1))
        flat.index_add_(0, index + 1, (weight * values).flatten(0, 1))
    return table


def _cells_and_weights(like: Tensor, plan: ScanPlan) -> Iterator[tuple[Tensor, Tensor]]:
    """(flat cell, next cell's weight), each (angles, visited pixels), a few angles at a time."""
    size = plan.geometry.image_size
    pixels = plan.half_rows * size
    at_once = max(1, MAX_GATHERED // (pixels * like.shape[-1]))
    i = torch.arange(plan.half_rows, device=like.device, dtype=torch.float64)[:, None]
    j = torch.arange(size, device=like.device, dtype=torch.float64)
    origin, row_step, column_step = (
        values[:, None, None] for values in _positions(plan, like.device)
    )
    for first in range(0, plan.base_angles, at_once):
        some = slice(first, min(first + at_once, plan.base_angles))
        position = (origin[some] + i * row_step[some] + j * column_step[some]).flatten(1)
        position = position.clamp_(0.0, plan.table_cells - 2.0)
        cell = position.long()
        weight = (position - cell).to(like.dtype)
        angle = torch.arange(some.start, some.stop, device=like.device)[:, None]
        yield cell + angle * plan.table_cells, weight


@lru_cache(maxsize=16)
def _positions(plan: ScanPlan, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    origin, row_step, column_step = (
        constant(values, torch.float64, device)
        for values in (plan.origin, plan.row_step, plan.column_step)
    )
    return origin, row_step, column_step


def _share_out(work: Callable[[int, int], None], total: int, multiple: int, plan: ScanPlan) -> None:
    """Call `work` on ranges of [0, total) whose bounds are multiples, on torch's thread count.

    The threads live for this call only, so that a later fork copies none of them.
    """
    pairs = plan.half_rows * plan.geometry.image_size * plan.base_angles
    threads = torch.get_num_threads() if pairs >= MIN_THREADED_WORK else 1
    if threads == 1:
        work(0, total)
        return
    shares = min(4 * threads, -(-total // multiple))  # several each: a late thread is helped out
    bounds = [min(total, -(-total * k // (shares * multiple)) * multiple) for k in range(shares)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, bounds, [*bounds[1:], total]))
