"""Compiled loops of the backprojector on a CPU: gather a table's rows, and scatter into them.

Numba compiles them at the first call and keeps the machine code on disk. Positions are computed
on the fly, a tile of pixels and eight angles at a time, so no index or weight table is stored. A
pixel's sum runs over the angles in order, and a table row's over the pixels in order, however the
work is shared out among threads: results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.blocks.compiled import compiled

TILE = 8  # pixels on a tile's side: its sums and the rows that it reads stay in the L1 cache
ANGLES = 8  # located at once, one a lane

Numbers = NDArray[np.floating[Any]]
Positions = NDArray[np.float64]

_DOUBLES = ir.VectorType(ir.DoubleType(), ANGLES)
_INTEGERS = ir.VectorType(ir.IntType(32), ANGLES)
_INDEX = ir.IntType(64)


# The loop vectoriser guards a loop over 8 to 32 columns with alias checks that cost more than the
# loop itself, so the vector operations are written out. They must stay in this file: numba's
# cache notices changes of the file that a compiled function is in, and of no other.


class _Code:
    """Code generator of vectors and arrays of one floating point type."""

    def __init__(self, context: Any, builder: Any, dtype: Any) -> None:
        self.context = context
        self.builder = builder
        self.scalar = context.get_data_type(dtype)
        self.bytes = dtype.bitwidth // 8

    def data(self, array: Any, array_type: Any) -> Any:
        return self.context.make_array(array_type)(self.context, self.builder, array).data

    def load(self, data: Any, index: Any, kind: Any, align: int) -> Any:
        pointer = self.builder.bitcast(self.builder.gep(data, [index]), kind.as_pointer())
        value = self.builder.load(pointer)
        value.align = align  # no more than its scalars are
        return value

    def store(self, value: Any, data: Any, index: Any, align: int) -> None:
        pointer = self.builder.bitcast(self.builder.gep(data, [index]), value.type.as_pointer())
        self.builder.store(value, pointer).align = align

    def splat(self, scalar: Any, count: int) -> Any:
        empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
        first = self.builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)
        return self.builder.shuffle_vector(first, empty, mask)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        value = self.builder.select(self.builder.fcmp_ordered(">", value, low), value, low)
        return self.builder.select(self.builder.fcmp_ordered("<", value, high), value, high)

    def multiply_add(self, left: Any, right: Any, addend: Any) -> Any:
        # "contract" lets processors that have a fused operation use it.
        product = self.builder.fmul(left, right, flags=("contract",))
        return self.builder.fadd(product, addend, flags=("contract",))


def _generate_locate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    starts, weights, at, *steps, angle, i, first, end, cells, columns = arguments
    code = _Code(context, builder, signature.args[1].dtype)
    starts, weights = (
        code.data(array, kind)
        for array, kind in zip((starts, weights), signature.args[:2], strict=True)
    )
    origin, down, across = (
        code.load(code.data(step, signature.args[3]), angle, _DOUBLES, 8) for step in steps
    )

    def number(value: Any) -> Any:
        return code.splat(builder.sitofp(value, ir.DoubleType()), ANGLES)

    def integer(value: Any) -> Any:
        return code.splat(builder.trunc(value, ir.IntType(32)), ANGLES)

    line = builder.fadd(origin, builder.fmul(number(i), down))
    zero = ir.Constant(_DOUBLES, [0.0] * ANGLES)
    last = builder.fsub(number(cells), ir.Constant(_DOUBLES, [2.0] * ANGLES))
    width = integer(columns)
    lanes = ir.Constant(_INTEGERS, list(range(ANGLES)))
    rows = builder.mul(builder.mul(integer(cells), width), lanes)
    with cgutils.for_range_slice(builder, first, end, ir.Constant(first.type, 1)) as (j, _):
        position = builder.fadd(line, builder.fmul(number(j), across))
        position = code.clamp(position, zero, last)
        cell = builder.fptosi(position, _INTEGERS)
        weight = builder.fsub(position, builder.sitofp(cell, _DOUBLES))
        if code.bytes < 8:
            weight = builder.fptrunc(weight, ir.VectorType(code.scalar, ANGLES))
        done = builder.mul(builder.sub(j, first), ir.Constant(first.type, ANGLES))
        place = builder.add(at, done)
        code.store(builder.add(builder.mul(cell, width), rows), starts, place, 4)
        code.store(weight, weights, place, code.bytes)
    return context.get_dummy_value()


def _declare_locate(
    _: Any,
    starts: Any,
    weights: Any,
    at: Any,
    origin: Any,
    row_step: Any,
    column_step: Any,
    angle: Any,
    i: Any,
    first: Any,
    end: Any,
    cells: Any,
    columns: Any,
) -> Any:
    """Where row i's pixels first ≤ j < end fall at eight angles, into `starts` and `weights`.

    Of each pixel, from index `at` on: eight starts of the rows below its positions, counted from
    the first angle's first cell, and eight weights of the next rows.
    """
    positions = (origin, row_step, column_step)
    place = (angle, i, first, end, cells, columns)
    return types.void(starts, weights, at, *positions, *place), _generate_locate


class _Rows:
    """One pixel's sums, and the table rows beside its eight positions."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        sums, at, table, base, columns, starts, weights, first, _ = arguments
        self.builder = builder
        self.code = code = _Code(context, builder, signature.args[0].dtype)
        self.row = ir.VectorType(code.scalar, signature.args[-1].literal_value)
        self.sums, self.at = code.data(sums, signature.args[0]), at
        self.below = builder.gep(code.data(table, signature.args[2]), [base])
        self.above = builder.gep(self.below, [columns])
        self.starts = builder.gep(code.data(starts, signature.args[5]), [first])
        self.weights = builder.gep(code.data(weights, signature.args[6]), [first])

    def interpolation(self) -> Iterator[tuple[Any, Any, Any]]:
        """(start, splatted weight below, splatted weight above) of each of the eight angles."""
        for lane in range(ANGLES):
            place = [ir.Constant(_INDEX, lane)]
            start = self.builder.load(self.builder.gep(self.starts, place))
            scalar = self.builder.load(self.builder.gep(self.weights, place))
            weight = self.code.splat(scalar, self.row.count)
            rest = self.builder.fsub(self.constant(1.0), weight)
            yield self.builder.sext(start, _INDEX), rest, weight

    def constant(self, value: float) -> Any:
        return ir.Constant(self.row, [value] * self.row.count)

    def load(self, data: Any, index: Any) -> Any:
        return self.code.load(data, index, self.row, self.code.bytes)

    def store(self, value: Any, data: Any, index: Any) -> None:
        self.code.store(value, data, index, self.code.bytes)


def _generate_gather(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = _Rows(context, builder, signature, arguments)
    # Two sums, so that additions need not wait for one another.
    below, above = rows.load(rows.sums, rows.at), rows.constant(0.0)
    for start, rest, weight in rows.interpolation():
        below = rows.code.multiply_add(rows.load(rows.below, start), rest, below)
        above = rows.code.multiply_add(rows.load(rows.above, start), weight, above)
    rows.store(builder.fadd(below, above), rows.sums, rows.at)
    return context.get_dummy_value()


def _generate_scatter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = _Rows(context, builder, signature, arguments)
    value = rows.load(rows.sums, rows.at)
    for start, rest, weight in rows.interpolation():
        for row, share in ((rows.below, rest), (rows.above, weight)):
            rows.store(rows.code.multiply_add(value, share, rows.load(row, start)), row, start)
    return context.get_dummy_value()


def _declare_gather(
    _: Any,
    sums: Any,
    at: Any,
    table: Any,
    base: Any,
    columns: Any,
    starts: Any,
    weights: Any,
    first: Any,
    width: Any,
) -> Any:
    """sums[at : at + width] += the eight interpolated rows of the flat `table` from `base` on.

    `first` is where the pixel's starts and weights begin; `width` is a literal.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    located = (starts, weights, first)
    return types.void(sums, at, table, base, columns, *located, width), _generate_gather


def _declare_scatter(
    _: Any,
    sums: Any,
    at: Any,
    table: Any,
    base: Any,
    columns: Any,
    starts: Any,
    weights: Any,
    first: Any,
    width: Any,
) -> Any:
    """The rows that `_gather` reads += their weights · sums[at : at + width]."""
    if not isinstance(width, types.IntegerLiteral):
        return None
    located = (starts, weights, first)
    return types.void(sums, at, table, base, columns, *located, width), _generate_scatter


_locate: Any = intrinsic(_declare_locate)
_gather: Any = intrinsic(prefer_literal=True)(_declare_gather)
_scatter: Any = intrinsic(prefer_literal=True)(_declare_scatter)


@compiled
def _width(columns: int) -> int:
    """How many of the columns that are left are summed at once."""
    return 32 if columns >= 32 else 16 if columns >= 16 else 8


@compiled
def _places(table: Numbers) -> Any:
    """Room for a tile's starts and weights at eight angles."""
    entries = TILE * TILE * ANGLES
    return np.empty(entries, np.int32), np.empty(entries, table.dtype)


@compiled
def _locate_tile(
    located: Any, steps: Any, angle: int, rows: Any, first: int, end: int, shape: Any
) -> None:
    """`_locate` of every row of a tile, (rows, pixels, angles) in a tile's full size."""
    starts, weights = located
    origin, down, across = steps
    _, cells, columns = shape
    for i in range(rows[0], rows[1]):
        at = (i - rows[0]) * TILE * ANGLES
        _locate(starts, weights, at, origin, down, across, angle, i, first, end, cells, columns)


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

    Fills the rows `first_row` ≤ i < `end_row` of `sums` (rows, N, columns); A and columns are
    multiples of 8.
    """
    angles, cells, columns = table.shape
    size = sums.shape[1]
    flat, out = table.reshape(-1), sums.reshape(-1)
    starts, weights = _places(table)
    steps = (origin, row_step, column_step)
    for i0 in range(first_row, end_row, TILE):
        i1 = min(i0 + TILE, end_row)
        sums[i0:i1] = 0
        for j0 in range(0, size, TILE):
            j1 = min(j0 + TILE, size)
            for angle in range(0, angles, ANGLES):
                _locate_tile((starts, weights), steps, angle, (i0, i1), j0, j1, table.shape)
                c = 0
                while c < columns:
                    width = _width(columns - c)
                    base = angle * cells * columns + c
                    for i in range(i0, i1):
                        k = (i - i0) * TILE * ANGLES
                        for at in range(
                            (i * size + j0) * columns + c, (i * size + j1) * columns, columns
                        ):
                            if width == 32:
                                _gather(out, at, flat, base, columns, starts, weights, k, 32)
                            elif width == 16:
                                _gather(out, at, flat, base, columns, starts, weights, k, 16)
                            else:
                                _gather(out, at, flat, base, columns, starts, weights, k, 8)
                            k += ANGLES
                    c += width


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

    Adds to the angles `first_angle` ≤ angle < `end_angle`, both multiples of 8.
    """
    _, cells, columns = table.shape
    height, size, _ = sums.shape
    flat, values = table.reshape(-1), sums.reshape(-1)
    starts, weights = _places(table)
    steps = (origin, row_step, column_step)
    for i0 in range(0, height, TILE):
        i1 = min(i0 + TILE, height)
        for j0 in range(0, size, TILE):
            j1 = min(j0 + TILE, size)
            for angle in range(first_angle, end_angle, ANGLES):
                _locate_tile((starts, weights), steps, angle, (i0, i1), j0, j1, table.shape)
                c = 0
                while c < columns:
                    width = _width(columns - c)
                    base = angle * cells * columns + c
                    for i in range(i0, i1):
                        k = (i - i0) * TILE * ANGLES
                        for at in range(
                            (i * size + j0) * columns + c, (i * size + j1) * columns, columns
                        ):
                            if width == 32:
                                _scatter(values, at, flat, base, columns, starts, weights, k, 32)
                            elif width == 16:
                                _scatter(values, at, flat, base, columns, starts, weights, k, 16)
                            else:
                                _scatter(values, at, flat, base, columns, starts, weights, k, 8)
                            k += ANGLES
                    c += width
