"""Compiled loops of the backprojector on a CPU: gather a table's rows, and scatter into them.

Numba compiles them at the first call and keeps the machine code on disk. Positions are computed
on the fly, a tile of pixels and eight angles at a time, so no index or weight table is stored. A
pixel's sum runs over the angles in order, and a table row's over the pixels in order, however the
work is shared out among threads: results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from models.blocks.compiled import compiled

TILE = 8  # pixels on a tile's side: its sums and the rows that it reads stay in the L1 cache
ANGLES = 8  # located at once, one a lane
FOUR = 4  # pixels below one another that are scattered at once
# The cells beside each of four pixels, counted from that below the first, where a pixel's step is
# from 2/3 to 1 of a cell.
BESIDE = ((0, 1), (0, 1, 2), (1, 2, 3), (2, 3, 4))
SHARES = 11  # of them in all

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

    def constant(self, value: float, count: int) -> Any:
        return ir.Constant(ir.VectorType(self.scalar, count), [value] * count)

    def clamp(self, value: Any, low: Any, high: Any) -> Any:
        value = self.builder.select(self.builder.fcmp_ordered(">", value, low), value, low)
        return self.builder.select(self.builder.fcmp_ordered("<", value, high), value, high)

    def multiply_add(self, left: Any, right: Any, addend: Any) -> Any:
        # "contract" lets processors that have a fused operation use it.
        product = self.builder.fmul(left, right, flags=("contract",))
        return self.builder.fadd(product, addend, flags=("contract",))


class _Locating:
    """Positions of some pixels of a row, or of several rows, at eight angles."""

    def __init__(self, context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        starts, weights, at, *steps, angle, i, first, end, cells, columns = arguments
        self.builder, self.i, self.first, self.end, self.at = builder, i, first, end, at
        self.code = code = _Code(context, builder, signature.args[1].dtype)
        self.starts, self.weights = (
            code.data(array, kind)
            for array, kind in zip((starts, weights), signature.args[:2], strict=True)
        )
        self.origin, self.down, self.across = (
            code.load(code.data(step, signature.args[3]), angle, _DOUBLES, 8) for step in steps
        )
        self.width = self.integers(columns)
        lanes = ir.Constant(_INTEGERS, list(range(ANGLES)))
        self.tables = builder.mul(builder.mul(self.integers(cells), self.width), lanes)

    def doubles(self, value: Any) -> Any:
        return self.code.splat(self.builder.sitofp(value, ir.DoubleType()), ANGLES)

    def integers(self, value: Any) -> Any:
        return self.code.splat(self.builder.trunc(value, ir.IntType(32)), ANGLES)

    def line(self, below: int) -> Any:
        """What the positions of a row have in common, so many rows below the first."""
        row = self.builder.add(self.i, ir.Constant(self.i.type, below))
        return self.builder.fadd(self.origin, self.builder.fmul(self.doubles(row), self.down))

    @contextmanager
    def columns(self) -> Iterator[tuple[Any, Any]]:
        """Of each column: what its positions have in common, and the index of its entries."""
        one = ir.Constant(self.first.type, 1)
        with cgutils.for_range_slice(self.builder, self.first, self.end, one) as (j, _):
            offset = self.builder.fmul(self.doubles(j), self.across)
            done = self.builder.mul(self.builder.sub(j, self.first), ir.Constant(j.type, ANGLES))
            yield offset, self.builder.add(self.at, done)

    def store_start(self, cell: Any, place: Any) -> None:
        start = self.builder.add(self.builder.mul(cell, self.width), self.tables)
        self.code.store(start, self.starts, place, 4)

    def weight(self, position: Any, cell: Any) -> Any:
        """Of the next cell."""
        weight = self.builder.fsub(position, self.builder.sitofp(cell, _DOUBLES))
        if self.code.bytes == 8:
            return weight
        return self.builder.fptrunc(weight, ir.VectorType(self.code.scalar, ANGLES))


def _generate_locate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    pixels = _Locating(context, builder, signature, arguments)
    cells = pixels.doubles(arguments[-2])
    zero, two = (ir.Constant(_DOUBLES, [value] * ANGLES) for value in (0.0, 2.0))
    last = builder.fsub(cells, two)
    line = pixels.line(0)
    with pixels.columns() as (offset, place):
        position = builder.fadd(line, offset)
        position = pixels.code.clamp(position, zero, last)
        cell = builder.fptosi(position, _INTEGERS)
        pixels.store_start(cell, place)
        weight = pixels.weight(position, cell)
        pixels.code.store(weight, pixels.weights, place, pixels.code.bytes)
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


def _generate_locate_four(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    pixels = _Locating(context, builder, signature, arguments)
    lines = [pixels.line(k) for k in range(FOUR)]
    with pixels.columns() as (offset, place):
        first = builder.fptosi(builder.fadd(lines[0], offset), _INTEGERS)
        pixels.store_start(first, place)
        place = builder.mul(place, ir.Constant(place.type, SHARES))
        for line, beside in zip(lines, BESIDE, strict=True):
            position = builder.fadd(line, offset)
            cell = builder.fptosi(position, _INTEGERS)
            above = pixels.weight(position, cell)
            below = builder.fsub(pixels.code.constant(1.0, ANGLES), above)
            shares = [below, above]
            if len(beside) > 2:
                lowest = builder.add(first, ir.Constant(_INTEGERS, [beside[0]] * ANGLES))
                shares = _shifted(builder, shares, builder.icmp_signed("==", cell, lowest))
            for share in shares:
                pixels.code.store(share, pixels.weights, place, pixels.code.bytes)
                place = builder.add(place, ir.Constant(place.type, ANGLES))
    return context.get_dummy_value()


def _shifted(builder: Any, shares: list[Any], lower: Any) -> list[Any]:
    """Of three cells: the two shares are those of the lower two or of the upper two."""
    below, above = shares
    zero = ir.Constant(below.type, [0.0] * ANGLES)
    return [
        builder.select(lower, below, zero),
        builder.select(lower, above, below),
        builder.select(lower, zero, above),
    ]


def _declare_locate_four(
    _: Any,
    starts: Any,
    shares: Any,
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
    """Where the pixels of rows i to i + 3 and columns first ≤ j < end fall at eight angles.

    Of each column, from index `at` on: eight starts of the row below the first pixel's position.
    From index `SHARES · at` on: what share of each pixel each of the cells of `BESIDE` has, eight
    angles of each.
    """
    positions = (origin, row_step, column_step)
    place = (angle, i, first, end, cells, columns)
    return types.void(starts, shares, at, *positions, *place), _generate_locate_four


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
            rest = self.builder.fsub(self.code.constant(1.0, self.row.count), weight)
            yield self.builder.sext(start, _INDEX), rest, weight

    def load(self, data: Any, index: Any) -> Any:
        return self.code.load(data, index, self.row, self.code.bytes)

    def store(self, value: Any, data: Any, index: Any) -> None:
        self.code.store(value, data, index, self.code.bytes)


def _generate_gather(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    rows = _Rows(context, builder, signature, arguments)
    # Two sums, so that additions need not wait for one another.
    below, above = rows.load(rows.sums, rows.at), rows.code.constant(0.0, rows.row.count)
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


def _generate_scatter_four(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    sums, at, line, table, base, columns, starts, shares, first, _ = arguments
    code = _Code(context, builder, signature.args[0].dtype)
    row = ir.VectorType(code.scalar, signature.args[-1].literal_value)
    sums, table, starts, shares = (
        code.data(array, signature.args[place])
        for array, place in ((sums, 0), (table, 3), (starts, 6), (shares, 7))
    )
    values = []
    for _ in range(FOUR):
        values.append(code.load(sums, at, row, code.bytes))
        at = builder.add(at, line)
    entry = builder.mul(first, ir.Constant(_INDEX, SHARES))
    numbered = list(enumerate((m, k) for m, beside in enumerate(BESIDE) for k in beside))
    for lane in range(ANGLES):
        start = builder.load(builder.gep(starts, [builder.add(first, ir.Constant(_INDEX, lane))]))
        place = builder.add(base, builder.sext(start, _INDEX))
        for cell in range(FOUR + 1):
            found = code.load(table, place, row, code.bytes)
            for number, (m, k) in numbered:
                if k == cell:
                    index = builder.add(entry, ir.Constant(_INDEX, number * ANGLES + lane))
                    share = code.splat(builder.load(builder.gep(shares, [index])), row.count)
                    found = code.multiply_add(values[m], share, found)
            code.store(found, table, place, code.bytes)
            place = builder.add(place, columns)
    return context.get_dummy_value()


def _declare_scatter_four(
    _: Any,
    sums: Any,
    at: Any,
    line: Any,
    table: Any,
    base: Any,
    columns: Any,
    starts: Any,
    shares: Any,
    first: Any,
    width: Any,
) -> Any:
    """`_scatter` of the four pixels at `at`, `at + line`, …, which share the rows of five cells.

    A cell's row is read and written once for all of them: stores are what takes the time.
    """
    if not isinstance(width, types.IntegerLiteral):
        return None
    located = (starts, shares, first)
    return types.void(sums, at, line, table, base, columns, *located, width), _generate_scatter_four


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
_locate_four: Any = intrinsic(_declare_locate_four)
_scatter_four: Any = intrinsic(prefer_literal=True)(_declare_scatter_four)


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
def _by_four(steps: Any, angle: int, rows: Any, first: int, end: int, cells: int) -> bool:
    """Whether a tile's pixels fall as `_locate_four` takes for granted, at all of eight angles."""
    origin, down, across = steps
    for a in range(angle, angle + ANGLES):
        if not 2 / 3 <= down[a] <= 1:
            return False
        lowest = origin[a] + rows[0] * down[a] + min(first * across[a], (end - 1) * across[a])
        highest = origin[a] + rows[1] * down[a] + max(first * across[a], (end - 1) * across[a])
        if lowest < 0 or highest >= cells - FOUR - 1:
            return False
    return True


@compiled
def _scatter_tile(arrays: Any, located: Any, angle: int, rows: Any, columns: Any, c: int) -> None:
    """The pixels of `rows` and `columns` one by one, into eight angles."""
    flat, values, shape, size = arrays
    starts, weights = located
    _, cells, total = shape
    width = _width(total - c)
    base = angle * cells * total + c
    for i in range(rows[0], rows[1]):
        k = (i - rows[0]) * TILE * ANGLES
        for j in range(columns[0], columns[1]):
            at = (i * size + j) * total + c
            if width == 32:
                _scatter(values, at, flat, base, total, starts, weights, k, 32)
            elif width == 16:
                _scatter(values, at, flat, base, total, starts, weights, k, 16)
            else:
                _scatter(values, at, flat, base, total, starts, weights, k, 8)
            k += ANGLES


@compiled
def _scatter_fours(arrays: Any, located: Any, angle: int, rows: Any, columns: Any, c: int) -> None:
    """The same of rows that are four or eight, four pixels at once."""
    flat, values, shape, size = arrays
    starts, shares = located
    _, cells, total = shape
    width = _width(total - c)
    base = angle * cells * total + c
    line = size * total
    for i in range(rows[0], rows[1], FOUR):
        k = (i - rows[0]) // FOUR * TILE * ANGLES
        for j in range(columns[0], columns[1]):
            at = (i * size + j) * total + c
            if width == 32:
                _scatter_four(values, at, line, flat, base, total, starts, shares, k, 32)
            elif width == 16:
                _scatter_four(values, at, line, flat, base, total, starts, shares, k, 16)
            else:
                _scatter_four(values, at, line, flat, base, total, starts, shares, k, 8)
            k += ANGLES


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
    arrays = (table.reshape(-1), sums.reshape(-1), table.shape, size)
    located = _places(table)
    starts = np.empty(TILE * TILE // FOUR * ANGLES, np.int32)
    shares = np.empty(SHARES * TILE * TILE // FOUR * ANGLES, table.dtype)
    steps = (origin, row_step, column_step)
    for i0 in range(0, height, TILE):
        i1 = min(i0 + TILE, height)
        for j0 in range(0, size, TILE):
            j1 = min(j0 + TILE, size)
            for angle in range(first_angle, end_angle, ANGLES):
                between = i0
                if _by_four(steps, angle, (i0, i1), j0, j1, cells):
                    between = i0 + (i1 - i0) // FOUR * FOUR
                for i in range(i0, between, FOUR):
                    at = (i - i0) // FOUR * TILE * ANGLES
                    _locate_four(
                        starts,
                        shares,
                        at,
                        origin,
                        row_step,
                        column_step,
                        angle,
                        i,
                        j0,
                        j1,
                        cells,
                        columns,
                    )
                if between < i1:
                    _locate_tile(located, steps, angle, (between, i1), j0, j1, table.shape)
                c = 0
                while c < columns:
                    _scatter_fours(arrays, (starts, shares), angle, (i0, between), (j0, j1), c)
                    if between < i1:
                        _scatter_tile(arrays, located, angle, (between, i1), (j0, j1), c)
                    c += _width(columns - c)
