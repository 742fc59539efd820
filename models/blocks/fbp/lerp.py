"""Linear interpolation summed over angles, and its exact transpose: compiled loops or plain torch.

Both take the table of `symmetry.fold` and the positions of a `ScanPlan`. CPU tensors go through
compiled loops, CUDA tensors through Triton kernels; any other device through torch operations on
that device, a few angles at a time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor

from data.geometry import ParallelGeometry
from models.blocks.fbp import lerp_kernels
from models.blocks.fbp.scan_plan import ANGLES_AT_ONCE, ScanPlan, device_steps, scan_plan

log = logging.getLogger(__name__)

MAX_GATHERED = 1 << 25  # numbers that plain torch may hold at once: 128 MiB of float32
MIN_THREADED_WORK = 1 << 18  # (pixel, angle) pairs under which a second thread costs more


def gather_angles(table: Tensor, plan: ScanPlan) -> Tensor:
    """Every visited pixel's sum over the base angles, shape (half rows, N, columns)."""
    if table.device.type != "cpu":
        kernels = _kernels(table.device)
        return kernels.gather(table, plan) if kernels else gather_with_torch(table, plan)
    size = plan.geometry.image_size
    sums = table.new_empty(plan.half_rows, size, table.shape[-1])
    arrays = (table.numpy(), plan.origin, plan.row_step, plan.column_step, sums.numpy())

    def rows(first: int, end: int) -> None:
        lerp_kernels.gather_rows(*arrays, first, end)

    _share_out(rows, plan.half_rows, lerp_kernels.TILE, plan)
    return sums


def scatter_angles(sums: Tensor, plan: ScanPlan) -> Tensor:
    """The transpose of `gather_angles`: a table (padded angles, D + 3, columns).

    What the empty cells around the detector hold is no part of it.
    """
    if sums.device.type != "cpu":
        kernels = _kernels(sums.device)
        return kernels.scatter(sums, plan) if kernels else scatter_with_torch(sums, plan)
    table = sums.new_zeros(len(plan.origin), plan.table_cells, sums.shape[-1])
    arrays = (table.numpy(), plan.origin, plan.row_step, plan.column_step, sums.numpy())

    def angles(first: int, end: int) -> None:
        lerp_kernels.scatter_rows(*arrays, first, end)

    _share_out(angles, len(plan.origin), ANGLES_AT_ONCE, plan)
    return table


@lru_cache(maxsize=16)
def _kernels(device: torch.device) -> ModuleType | None:
    """Triton's kernels, where a device can have them; they are tried on the smallest of scans.

    Triton needs a C compiler and a place for what it compiles, and not every device has it.
    """
    if device.type != "cuda":
        return None
    try:
        from models.blocks.fbp import lerp_triton

        plan = scan_plan(ParallelGeometry.lodopab(angles=4, detectors=3, image_size=2))
        sums = lerp_triton.gather(torch.zeros(8, plan.table_cells, 8, device=device), plan)
        lerp_triton.scatter(sums, plan)
    except Exception as error:
        log.warning("backprojection goes through torch operations on %s: %s", device, error)
        return None
    return lerp_triton


def gather_with_torch(table: Tensor, plan: ScanPlan, *, at_once: int | None = None) -> Tensor:
    """`gather_angles` in torch operations on the table's device.

    Args:
        at_once: angles, if not as many as `MAX_GATHERED` allows.
    """
    size = plan.geometry.image_size
    columns = table.shape[-1]
    sums = table.new_zeros(plan.half_rows * size, columns)
    flat = table.view(-1, columns)
    for cells, weights in _cells_and_weights(table, plan, at_once):
        below = (1 - weights).unsqueeze(-1) * flat[cells]
        sums += torch.addcmul(below, weights.unsqueeze(-1), flat[cells + 1]).sum(dim=0)
    return sums.view(plan.half_rows, size, columns)


def scatter_with_torch(sums: Tensor, plan: ScanPlan) -> Tensor:
    """`scatter_angles` in torch operations on the device of `sums`.

    Each detector cell gathers what the pixels beside it hold, because a device adds what several
    pixels bring to one cell in any order. Along each line of the direction in which positions
    change faster there are at most `plan.reach` such pixels.
    """
    columns = sums.shape[-1]
    table = sums.new_zeros(len(plan.origin), plan.table_cells, columns)
    cell = torch.arange(1, plan.geometry.detectors + 1, device=sums.device, dtype=torch.float64)
    for angle in range(plan.base_angles):
        # Numbers of the host: nobody waits for the device.
        origin, down, across = (
            float(values[angle]) for values in (plan.origin, plan.row_step, plan.column_step)
        )
        if abs(down) >= abs(across):
            lines, step, slow = sums, down, across
        else:
            lines, step, slow = sums.transpose(0, 1), across, down
        line = torch.arange(lines.shape[1], device=sums.device, dtype=torch.float64)
        offset = origin + line * slow - cell[:, None]
        first = ((-math.copysign(1, step) - offset) / step).floor() + 1
        for candidate in range(plan.reach):
            index = first + candidate
            weight = (1 - (offset + index * step).abs()).clamp_min(0)
            inside = (index >= 0) & (index < len(lines))
            weight = torch.where(inside, weight, 0).to(sums.dtype)
            values = lines[index.clamp(0, len(lines) - 1).long(), line.long()]
            table[angle, 1 : len(cell) + 1] += torch.einsum("cl,clk->ck", weight, values)
    return table


def _cells_and_weights(
    like: Tensor, plan: ScanPlan, at_once: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """(flat cell, next cell's weight), each (angles, visited pixels), a few angles at a time."""
    size = plan.geometry.image_size
    pixels = plan.half_rows * size
    at_once = at_once or max(1, MAX_GATHERED // (pixels * like.shape[-1]))
    i = torch.arange(plan.half_rows, device=like.device, dtype=torch.float64)[:, None]
    j = torch.arange(size, device=like.device, dtype=torch.float64)
    origin, row_step, column_step = (
        values[:, None, None] for values in device_steps(plan, like.device)
    )
    for first in range(0, plan.base_angles, at_once):
        some = slice(first, min(first + at_once, plan.base_angles))
        position = (origin[some] + i * row_step[some] + j * column_step[some]).flatten(1)
        position = position.clamp_(0.0, plan.table_cells - 2.0)
        cell = position.long()
        weight = (position - cell).to(like.dtype)
        angle = torch.arange(some.start, some.stop, device=like.device)[:, None]
        yield cell + angle * plan.table_cells, weight


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
