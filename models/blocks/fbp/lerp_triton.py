# ruff: noqa: ANN001
"""The backprojector's sums on a GPU as Triton kernels; `lerp_kernels` are the same on a CPU.

Positions are computed where they are needed, so that a table is read and sums are written, and
nothing else goes through the device's memory. Backwards, a detector cell gathers what the pixels
beside it hold, as in `lerp.scatter_with_torch`: without atomic additions, so that every run has
the same bits. Sums are taken in the table's own precision, positions in double precision.
Arguments of kernels have no types because Triton would look them up.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from models.blocks.fbp.scan_plan import ScanPlan, device_steps

SIDE = 8  # pixels on the side of a program's tile
CELLS = 32  # detector cells of a program
FUSED = {"enable_fp_fusion": True}  # said, because what is meant by saying nothing changes


@triton.jit
def _gather(  # type: ignore[no-untyped-def]  # noqa: ANN202
    table,
    origin,
    row_step,
    column_step,
    sums,
    angles,
    cells,
    columns,
    height,
    width,
    SIDE: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    pixel = tl.arange(0, SIDE * SIDE)
    i = tl.program_id(0) * SIDE + pixel // SIDE
    j = tl.program_id(1) * SIDE + pixel % SIDE
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    x, y = i.to(tl.float64), j.to(tl.float64)
    last = (cells - 2).to(tl.float64)
    total = tl.full((SIDE * SIDE, COLUMNS), 0.0, sums.dtype.element_ty)
    for angle in range(angles):
        position = tl.load(origin + angle) + x * tl.load(row_step + angle)
        position += y * tl.load(column_step + angle)
        position = tl.minimum(tl.maximum(position, 0.0), last)
        cell = position.to(tl.int64)
        weight = (position - cell.to(tl.float64)).to(total.dtype)[:, None]
        row = table + ((angle * cells + cell) * columns)[:, None] + column[None, :]
        total += (1 - weight) * tl.load(row) + weight * tl.load(row + columns)
    place = (i.to(tl.int64) * width + j)[:, None] * columns + column[None, :]
    tl.store(sums + place, total, mask=((i < height) & (j < width))[:, None])


@triton.jit
def _scatter(  # type: ignore[no-untyped-def]  # noqa: ANN202
    sums,
    origin,
    row_step,
    column_step,
    table,
    cells,
    columns,
    height,
    width,
    CELLS: tl.constexpr,
    REACH: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    angle = tl.program_id(0)
    first = 1 + tl.program_id(1) * CELLS
    cell = first + tl.arange(0, CELLS)
    column = tl.program_id(2) * COLUMNS + tl.arange(0, COLUMNS)
    start = tl.load(origin + angle)
    down, across = tl.load(row_step + angle), tl.load(column_step + angle)
    by_rows = tl.abs(down) >= tl.abs(across)  # the faster direction is solved for
    step, slow = tl.where(by_rows, down, across), tl.where(by_rows, across, down)
    count = tl.where(by_rows, height, width)
    lines = tl.where(by_rows, width, height)
    pixel, line_pixel = tl.where(by_rows, width, 1), tl.where(by_rows, 1, width)
    # Lines whose pixels all fall outside of these cells are left out.
    span = (count - 1).to(tl.float64) * step
    low = (first - 1).to(tl.float64) - start - tl.maximum(span, 0.0)
    high = (first + CELLS).to(tl.float64) - start - tl.minimum(span, 0.0)
    flat = tl.abs(slow) < 1e-12
    safe = tl.where(flat, 1.0, slow)
    ends = tl.minimum(low / safe, high / safe), tl.maximum(low / safe, high / safe)
    most = lines.to(tl.float64)
    begin = tl.where(flat, 0.0, tl.minimum(tl.maximum(ends[0] - 1, 0.0), most)).to(tl.int32)
    end = tl.where(flat, most, tl.minimum(tl.maximum(ends[1] + 2, 0.0), most)).to(tl.int32)
    centre = cell.to(tl.float64)
    total = tl.full((CELLS, COLUMNS), 0.0, table.dtype.element_ty)
    for line in range(begin, end):
        offset = start + line * slow - centre
        nearest = tl.floor((tl.where(step > 0, -1.0, 1.0) - offset) / step) + 1
        for candidate in tl.static_range(REACH):
            index = nearest + candidate
            weight = 1 - tl.abs(offset + index * step)
            there = (index >= 0) & (index < count) & (weight > 0)
            place = (index.to(tl.int64) * pixel + line * line_pixel) * columns
            values = tl.load(
                sums + place[:, None] + column[None, :], mask=there[:, None], other=0.0
            )
            total += weight.to(total.dtype)[:, None] * values
    place = (angle.to(tl.int64) * cells + cell)[:, None] * columns + column[None, :]
    tl.store(table + place, total, mask=(cell <= cells - 3)[:, None])


def gather(table: Tensor, plan: ScanPlan) -> Tensor:
    """`lerp.gather_angles` on the table's device."""
    size, columns = plan.geometry.image_size, table.shape[-1]
    sums = table.new_empty(plan.half_rows, size, columns)
    together = _together(columns)
    grid = (triton.cdiv(plan.half_rows, SIDE), triton.cdiv(size, SIDE), columns // together)
    steps = device_steps(plan, table.device)
    shape = (plan.base_angles, plan.table_cells, columns, plan.half_rows, size)
    _gather[grid](table, *steps, sums, *shape, SIDE=SIDE, COLUMNS=together, **FUSED)
    return sums


def scatter(sums: Tensor, plan: ScanPlan) -> Tensor:
    """`lerp.scatter_angles` on the device of `sums`; empty cells stay empty."""
    size, columns = plan.geometry.image_size, sums.shape[-1]
    table = sums.new_zeros(len(plan.origin), plan.table_cells, columns)
    together = _together(columns)
    cells = triton.cdiv(plan.geometry.detectors, CELLS)
    steps = device_steps(plan, sums.device)
    shape = (plan.table_cells, columns, plan.half_rows, size)
    _scatter[plan.base_angles, cells, columns // together](
        sums.contiguous(),
        *steps,
        table,
        *shape,
        CELLS=CELLS,
        REACH=plan.reach,
        COLUMNS=together,
        **FUSED,
    )
    return table


def _together(columns: int) -> int:
    """Columns of a program: the largest power of two, to 32, that divides them."""
    return min(32, columns & -columns)
