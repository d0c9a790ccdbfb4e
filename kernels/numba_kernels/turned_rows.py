"""Rows of few columns, as most networks' classes are, turned: the lanes of a vector are rows.

A vector along such a row would be half empty, and the row's maximum and sum slow. A tile (columns, lanes)
holds as many rows as a vector has lanes; what is in the lanes beyond the last row comes to nothing. A row's
bits don't depend on its lane.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.exponential import emit_exp
from fastnn.kernels.numba_kernels.packing import row_addresses, turned
from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    call_function,
    carried_loop,
    choose,
    constant,
    first_lanes,
    lanes_of,
    load,
    store,
)

# The longest rows that are turned.
SHORT_ROW = 32


def _over_squares(builder, real, rows, columns, square) -> None:
    """square(j, mask of the columns from j on, rows or None for all lanes), the last square first."""
    lanes = lanes_of(real)
    last = builder.and_(builder.sub(columns, INT64(1)), INT64(-lanes))
    is_whole = builder.icmp_signed("==", rows, INT64(lanes))

    def body(count):
        def step(done, values):
            j = builder.sub(last, done)
            square(j, first_lanes(builder, builder.sub(columns, j), lanes), count)
            return values

        carried_loop(builder, INT64(0), columns, lanes, [], step)

    choose(builder, [(is_whole, "whole")], lambda case: body(None if case else rows))


def _emit_load(builder, real, x, rows, columns, tile) -> None:
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)

    def square(j, mask, count):
        sources = row_addresses(builder, builder.gep(x, [j]), columns, lanes, count)
        targets = row_addresses(
            builder, builder.gep(tile, [builder.mul(j, INT64(lanes))]), INT64(lanes), lanes
        )
        loaded = [load(builder, at, vector, mask) for at in sources]
        for column, at in zip(turned(builder, loaded), targets, strict=True):
            store(builder, column, at)

    _over_squares(builder, real, rows, columns, square)


@intrinsic
def load_turned(typingctx, x, rows, columns, tile):
    """tile[j, i] = x[i, j]; the tile has room for whole squares, of lanes x lanes."""

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "load_turned", _emit_load)
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64, tile), codegen


def _emit_store(builder, real, tile, y, rows, columns) -> None:
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)

    def square(j, mask, count):
        sources = row_addresses(
            builder, builder.gep(tile, [builder.mul(j, INT64(lanes))]), INT64(lanes), lanes
        )
        targets = row_addresses(builder, builder.gep(y, [j]), columns, lanes, count)
        loaded = [load(builder, at, vector) for at in sources]
        # The last first: what stands for the rows beyond it is overwritten.
        for row, at in reversed(list(zip(turned(builder, loaded), targets, strict=True))):
            store(builder, row, at, mask)

    _over_squares(builder, real, rows, columns, square)


@intrinsic
def store_turned(typingctx, tile, y, rows, columns):
    """y[i, j] = tile[j, i]; the tile has whole squares, as load_turned's."""

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "store_turned", _emit_store)
        return context.get_dummy_value()

    return types.void(tile, y, types.int64, types.int64), codegen


def _columns_of(context, builder, signature, args, tiles: int):
    """The type of a tile's columns, and how to find one in each of the tiles, the first arguments."""
    real = context.get_data_type(signature.args[0].dtype)
    lanes = lanes_of(real)

    def column(j):
        first = builder.mul(j, INT64(lanes))
        return [builder.gep(tile, [first]) for tile in args[:tiles]]

    return ir.VectorType(real, lanes), column


@intrinsic
def exp_turned(typingctx, x, e, columns, top, total):
    """top[i] = max_j x[j, i], e = e^(x − top) and total[i] = Σ_j e[j, i].

    x and e are tiles, top and total vectors. A NaN may be passed over by the maximum.
    """

    def codegen(context, builder, signature, args):
        columns, top, total = args[2:]
        vector, column = _columns_of(context, builder, signature, args, 2)

        def maximum(j, values):
            x_j = load(builder, column(j)[0], vector)
            return [builder.select(builder.fcmp_ordered(">", x_j, values[0]), x_j, values[0])]

        (top_lanes,) = carried_loop(builder, INT64(0), columns, 1, [constant(vector, -math.inf)], maximum)

        def add_exp(j, values):
            x_at, e_at = column(j)
            x_j = builder.fsub(load(builder, x_at, vector), top_lanes)
            e_j = emit_exp(builder, x_j)
            store(builder, e_j, e_at)
            return [builder.fadd(values[0], e_j)]

        (total_lanes,) = carried_loop(builder, INT64(0), columns, 1, [constant(vector, 0.0)], add_exp)
        store(builder, top_lanes, top)
        store(builder, total_lanes, total)
        return context.get_dummy_value()

    return types.void(x, e, types.int64, top, total), codegen


@intrinsic
def scale_turned(typingctx, x, y, columns, subtrahend, factor, addend):
    """y[j, i] = factor[i] (x[j, i] − subtrahend[i]) + addend[i]; x and y are tiles, the others vectors."""

    def codegen(context, builder, signature, args):
        vector, column = _columns_of(context, builder, signature, args, 2)
        columns = args[2]
        subtrahend, factor, addend = (load(builder, values, vector) for values in args[3:])

        def scale(j, values):
            x_at, y_at = column(j)
            product = builder.fmul(factor, builder.fsub(load(builder, x_at, vector), subtrahend))
            store(builder, builder.fadd(product, addend), y_at)
            return values

        carried_loop(builder, INT64(0), columns, 1, [], scale)
        return context.get_dummy_value()

    return types.void(x, y, types.int64, subtrahend, factor, addend), codegen
