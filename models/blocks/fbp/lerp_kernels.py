"""Compiled loops of the backprojector on a CPU: gather a table's rows, and scatter into them.

Numba compiles them at the first call and keeps the machine code on disk. Positions are computed
on the fly, so no index or weight table is stored. A pixel's sum runs over the angles in order,
and a table row's over the pixels in order, however the work is shared out among threads: results
do not depend on the number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.blocks.compiled import compiled

LANES = 8  # columns that one vector operation takes
TILE = 8  # pixels on a tile's side: its sums and the rows that it reads stay in the L1 cache

Numbers = NDArray[np.floating[Any]]
Positions = NDArray[np.float64]


# The loop vectoriser guards a loop over 8 to 32 columns with alias checks that cost more than the
# loop itself, so the vector operations are written out. They must stay in this file: numba's
# cache notices changes of the file that a compiled function is in, and of no other.


class _Rows:
    """Code generator of the operations between a tile's sums and four angles' table rows."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        self.context = context
        self.builder = builder
        self.array_type = signature.args[0]
        self.scalar = context.get_data_type(self.array_type.dtype)
        self.vector = ir.VectorType(self.scalar, LANES)
        self.sums, self.at, self.table, self.starts, self.columns, self.weights = arguments

    def interpolation(self) -> list[tuple[Any, Any]]:
        """(pointer, splatted weight) of the two rows beside each of the four positions."""
        pairs = []
        for angle in range(4):
            start = self.builder.extract_value(self.starts, angle)
            weight = self.context.cast(
                self.builder,
                self.builder.extract_value(self.weights, angle),
                types.float64,
                self.array_type.dtype,
            )
            rest = self.builder.fsub(ir.Constant(self.scalar, 1.0), weight)
            next_start = self.builder.add(start, self.columns)
            pairs.append((self.pointer(self.table, start), self.splat(rest)))
            pairs.append((self.pointer(self.table, next_start), self.splat(weight)))
        return pairs

    def pointer(self, array: Any, index: Any) -> Any:
        data = self.context.make_array(self.array_type)(self.context, self.builder, array).data
        return self.builder.bitcast(self.builder.gep(data, [index]), self.vector.as_pointer())

    def load(self, pointer: Any) -> Any:
        value = self.builder.load(pointer)
        value.align = self.array_type.dtype.bitwidth // 8  # no more than its scalars are
        return value

    def store(self, value: Any, pointer: Any) -> None:
        stored = self.builder.store(value, pointer)
        stored.align = self.array_type.dtype.bitwidth // 8

    def splat(self, scalar: Any) -> Any:
        empty = ir.Constant(self.vector, ir.Undefined)
        first = self.builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return self.builder.shuffle_vector(first, empty, mask)

    def multiply_add(self, left: Any, right: Any, addend: Any) -> Any:
        # "contract" lets processors that have a fused operation use it.
        product = self.builder.fmul(left, right, flags=("contract",))
        return self.builder.fadd(product, addend, flags=("contract",))


def _generate_gather(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = _Rows(context, builder, signature, arguments)
    target = rows.pointer(rows.sums, rows.at)
    total = rows.load(target)
    for row, weight in rows.interpolation():
        total = rows.multiply_add(rows.load(row), weight, total)
    rows.store(total, target)
    return context.get_dummy_value()


def _generate_scatter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = _Rows(context, builder, signature, arguments)
    value = rows.load(rows.pointer(rows.sums, rows.at))
    for row, weight in rows.interpolation():
        rows.store(rows.multiply_add(value, weight, rows.load(row)), row)
    return context.get_dummy_value()


def _declare_gather(
    _: Any, sums: Any, at: Any, table: Any, starts: Any, columns: Any, weights: Any
) -> Any:
    """sums[at : at + LANES] += the four interpolated rows of the flat `table`."""
    return types.void(sums, at, table, starts, columns, weights), _generate_gather


def _declare_scatter(
    _: Any, sums: Any, at: Any, table: Any, starts: Any, columns: Any, weights: Any
) -> Any:
    """The four positions' rows of the flat `table` += their weights · sums[at : at + LANES]."""
    return types.void(sums, at, table, starts, columns, weights), _generate_scatter


_gather: Any = intrinsic(_declare_gather)
_scatter: Any = intrinsic(_declare_scatter)


@compiled
def _four(values: Positions, first: int) -> Any:
    return values[first], values[first + 1], values[first + 2], values[first + 3]


@compiled
def _along(start: Any, step: Any, count: int) -> Any:
    return (
        start[0] + count * step[0],
        start[1] + count * step[1],
        start[2] + count * step[2],
        start[3] + count * step[3],
    )


@compiled
def _locate(position: float, row: int, cells: int) -> Any:
    """The table's row below a position of the angle that starts at `row`; the next one's weight."""
    inside = min(max(position, 0.0), cells - 2.0)
    cell = int(inside)
    return row + cell, inside - cell


@compiled
def _locate_four(position: Any, angle: int, cells: int) -> Any:
    """`_locate` at four consecutive angles: (rows, weights)."""
    row = angle * cells
    r0, w0 = _locate(position[0], row, cells)
    r1, w1 = _locate(position[1], row + cells, cells)
    r2, w2 = _locate(position[2], row + 2 * cells, cells)
    r3, w3 = _locate(position[3], row + 3 * cells, cells)
    return (r0, r1, r2, r3), (w0, w1, w2, w3)


@compiled
def _starts(rows: Any, columns: int, column: int) -> Any:
    return (
        rows[0] * columns + column,
        rows[1] * columns + column,
        rows[2] * columns + column,
        rows[3] * columns + column,
    )


@compiled
def gather_rows(
    table: Numbers,
    origin: Positions,
    row_step: Positions,
    column_step: Positions,
    sums: Numbers,
    first_row: int,
    end_row: int,
) -> None:
    """sums[i, j] = Σ_angles of the table (A, cells, columns) interpolated at pixel (i, j).

    Fills the rows `first_row` ≤ i < `end_row` of `sums` (rows, N, columns); A is a multiple of 4
    and columns one of 8.
    """
    angles, cells, columns = table.shape
    size = sums.shape[1]
    flat, out = table.reshape(-1), sums.reshape(-1)
    for i0 in range(first_row, end_row, TILE):
        i1 = min(i0 + TILE, end_row)
        for j0 in range(0, size, TILE):
            j1 = min(j0 + TILE, size)
            for i in range(i0, i1):
                out[(i * size + j0) * columns : (i * size + j1) * columns] = 0
            for angle in range(0, angles, 4):
                start, down = _four(origin, angle), _four(row_step, angle)
                across = _four(column_step, angle)
                for i in range(i0, i1):
                    line = _along(start, down, i)
                    for j in range(j0, j1):
                        rows, weights = _locate_four(_along(line, across, j), angle, cells)
                        at = (i * size + j) * columns
                        for c in range(0, columns, LANES):
                            starts = _starts(rows, columns, c)
                            _gather(out, at + c, flat, starts, columns, weights)


@compiled
def scatter_rows(
    table: Numbers,
    origin: Positions,
    row_step: Positions,
    column_step: Positions,
    sums: Numbers,
    first_angle: int,
    end_angle: int,
) -> None:
    """The exact transpose of `gather_rows`, added into the table.

    Adds to the angles `first_angle` ≤ angle < `end_angle`, both multiples of 4.
    """
    _, cells, columns = table.shape
    height, size, _ = sums.shape
    flat, values = table.reshape(-1), sums.reshape(-1)
    for i0 in range(0, height, TILE):
        i1 = min(i0 + TILE, height)
        for j0 in range(0, size, TILE):
            j1 = min(j0 + TILE, size)
            for angle in range(first_angle, end_angle, 4):
                start, down = _four(origin, angle), _four(row_step, angle)
                across = _four(column_step, angle)
                for i in range(i0, i1):
                    line = _along(start, down, i)
                    for j in range(j0, j1):
                        rows, weights = _locate_four(_along(line, across, j), angle, cells)
                        at = (i * size + j) * columns
                        for c in range(0, columns, LANES):
                            starts = _starts(rows, columns, c)
                            _scatter(values, at + c, flat, starts, columns, weights)
