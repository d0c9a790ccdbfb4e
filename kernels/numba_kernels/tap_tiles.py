"""The register tiles of the convolutions, over strips (window.py), written as LLVM IR like matmul's tile.

In a strip, the source pixels that meet a tap lie one after the other, and begin at the tap's offset.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    VECTOR_BYTES,
    broadcast,
    call_function,
    carried_loop,
    first_lanes,
    lanes_of,
    load,
    multiply_add,
    store,
)

# A tile has (rows) x (vectors) sums. They fit the registers, with what is loaded; there are few kinds of
# tiles, since each is code to compile, and whatever is left over takes several.
_REGISTERS = 32 if VECTOR_BYTES == 64 else 16
_ROWS = (8, 4, 2, 1) if VECTOR_BYTES == 64 else (4, 2, 1)
_PANEL_VECTORS = (2, 1)
_ALONG_PIXELS = (4, 1) if VECTOR_BYTES == 64 else (2, 1)


def _pixel_vectors(rows: int) -> int:
    """How many vectors of pixels a tile of filters has, beside one of each in flight."""
    return min(4, (_REGISTERS - 2) // (rows + 1))


def _cut(builder: ir.IRBuilder, begin: ir.Value, end: ir.Value, size: int) -> ir.Value:
    """The end of the whole pieces of `size` from `begin` to `end`."""
    count = builder.sub(end, begin)
    return builder.sub(end, builder.srem(count, INT64(size)))


def _in_pieces(
    builder: ir.IRBuilder, count: ir.Value, sizes: tuple[int, ...], body: Callable[[ir.Value, int], None]
):
    """body(first, size) for pieces of the range of `count`: as many of the first size as fit, and so on."""
    begin = INT64(0)
    for size in sizes:
        end = _cut(builder, begin, count, size)

        def piece(first, values, size=size):
            body(first, size)
            return values

        carried_loop(builder, begin, end, size, [], piece)
        begin = end


def _floor(builder: ir.IRBuilder, x: ir.Value, floor: ir.Value) -> ir.Value:
    """max(x, floor); "below the floor" is false for NaN: a NaN stays."""
    return builder.select(builder.fcmp_ordered("<", x, floor), floor, x)


@intrinsic
def correlate(
    typingctx, filters, pixels, taps, weight, weight_row, source, offsets, bias, bias_step, c, c_row, relu
):
    """c[f, j] = relu?(bias[f bias_step] + Σ_k weight[f, k] source[offsets[k] + j]): filters, pixels, taps.

    Rows of weight and c are weight_row and c_row apart. Every element is one chain of multiply-adds over k in
    ascending order.
    """

    def codegen(context, builder, signature, args):
        args = [*args[:-1], context.cast(builder, args[-1], relu, types.boolean)]
        call_function(context, builder, signature, args, "correlate", _emit_correlate)
        return context.get_dummy_value()

    arguments = filters, pixels, taps, weight, weight_row, source, offsets, bias, bias_step, c, c_row, relu
    return types.void(*arguments), codegen


def _emit_correlate(
    builder, real, filters, pixels, taps, weight, weight_row, source, offsets, bias, bias_step, c, c_row, relu
):
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)
    floor = broadcast(builder, builder.select(relu, real(0.0), real(float("-inf"))), lanes)

    def tile(first_filter, first_pixel, rows, vectors, mask=None):
        filter_ = [builder.add(first_filter, INT64(row)) for row in range(rows)]
        weights = [builder.gep(weight, [builder.mul(weight_row, f)]) for f in filter_]
        starts = [builder.load(builder.gep(bias, [builder.mul(bias_step, f)])) for f in filter_]
        cells = list(product(range(rows), range(vectors)))
        pixel = builder.gep(source, [first_pixel])

        def step(k, sums):
            at = builder.gep(pixel, [builder.load(builder.gep(offsets, [k]))])
            pixels_k = [
                load(builder, builder.gep(at, [INT64(v * lanes)]), vector, mask) for v in range(vectors)
            ]
            weights_k = [broadcast(builder, builder.load(builder.gep(w, [k])), lanes) for w in weights]
            return [
                multiply_add(builder, weights_k[row], pixels_k[v], x)
                for x, (row, v) in zip(sums, cells, strict=True)
            ]

        sums = [broadcast(builder, starts[row], lanes) for row, _ in cells]
        sums = carried_loop(builder, INT64(0), taps, 1, sums, step)
        for x, (row, v) in zip(sums, cells, strict=True):
            at = builder.add(builder.mul(c_row, filter_[row]), first_pixel)
            to = builder.gep(c, [builder.add(at, INT64(v * lanes))])
            store(builder, _floor(builder, x, floor), to, mask)

    def tiles(first_filter, rows):
        vectors = _pixel_vectors(rows)
        whole = _cut(builder, INT64(0), pixels, vectors * lanes)

        def full(pixel, values):
            tile(first_filter, pixel, rows, vectors)
            return values

        def cut(pixel, values):
            mask = first_lanes(builder, builder.sub(pixels, pixel), lanes)
            tile(first_filter, pixel, rows, 1, mask)
            return values

        carried_loop(builder, INT64(0), whole, vectors * lanes, [], full)
        carried_loop(builder, whole, pixels, lanes, [], cut)

    _in_pieces(builder, filters, _ROWS, tiles)


@intrinsic
def sum_taps(typingctx, taps, pixels, source, offsets, panel, vectors, total, total_row):
    """total[t, j] += Σ_k source[offsets[t] + k] panel[k, j] for the taps t, pixels k and filters j.

    The lanes are filters: those of a panel (pixels, tile_columns), of which the first one or two vectors
    count; rows of total are total_row apart.
    """

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "sum_taps", _emit_sum_taps)
        return context.get_dummy_value()

    return types.void(taps, pixels, source, offsets, panel, vectors, total, total_row), codegen


def _emit_sum_taps(builder, real, taps, pixels, source, offsets, panel, vectors, total, total_row):
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)
    panel_row = INT64(2 * lanes)

    def tile(first_tap, rows, vectors):
        taps_ = [builder.add(first_tap, INT64(row)) for row in range(rows)]
        sources = [builder.gep(source, [builder.load(builder.gep(offsets, [t]))]) for t in taps_]
        cells = list(product(range(rows), range(vectors)))
        addresses = [
            builder.gep(total, [builder.add(builder.mul(total_row, taps_[row]), INT64(v * lanes))])
            for row, v in cells
        ]

        def step(k, sums):
            at = builder.gep(panel, [builder.mul(k, panel_row)])
            panel_k = [load(builder, builder.gep(at, [INT64(v * lanes)]), vector) for v in range(vectors)]
            source_k = [broadcast(builder, builder.load(builder.gep(x, [k])), lanes) for x in sources]
            return [
                multiply_add(builder, source_k[row], panel_k[v], x)
                for x, (row, v) in zip(sums, cells, strict=True)
            ]

        sums = [load(builder, address, vector) for address in addresses]
        for x, address in zip(carried_loop(builder, INT64(0), pixels, 1, sums, step), addresses, strict=True):
            store(builder, x, address)

    for count in _PANEL_VECTORS:
        with builder.if_then(builder.icmp_signed("==", vectors, INT64(count))):
            _in_pieces(builder, taps, _ROWS, lambda first, rows, count=count: tile(first, rows, count))


@intrinsic
def sum_taps_along_pixels(typingctx, taps, filters, pixels, source, offsets, dy, dy_row, total):
    """total[t, f, lane] += Σ source[offsets[t] + k] dy[f, k] over the pixels k = lane, lane + lanes, …

    The lanes are adjacent pixels: total (taps, filters, lanes) holds partial sums. Rows of dy are dy_row
    apart.
    """

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "sum_taps_along_pixels", _emit_sum_taps_along_pixels)
        return context.get_dummy_value()

    return types.void(taps, filters, pixels, source, offsets, dy, dy_row, total), codegen


def _emit_sum_taps_along_pixels(builder, real, taps, filters, pixels, source, offsets, dy, dy_row, total):
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)
    whole = _cut(builder, INT64(0), pixels, lanes)
    tail = first_lanes(builder, builder.sub(pixels, whole), lanes)

    def tile(first_tap, rows, first_filter, columns):
        taps_ = [builder.add(first_tap, INT64(row)) for row in range(rows)]
        filters_ = [builder.add(first_filter, INT64(column)) for column in range(columns)]
        sources = [builder.gep(source, [builder.load(builder.gep(offsets, [t]))]) for t in taps_]
        gradients = [builder.gep(dy, [builder.mul(dy_row, f)]) for f in filters_]
        cells = list(product(range(rows), range(columns)))
        addresses = [
            builder.gep(
                total, [builder.mul(builder.add(builder.mul(taps_[t], filters), filters_[f]), INT64(lanes))]
            )
            for t, f in cells
        ]

        def step(k, sums, mask=None):
            source_k, dy_k = (
                [load(builder, builder.gep(x, [k]), vector, mask) for x in rows_]
                for rows_ in (sources, gradients)
            )
            return [
                multiply_add(builder, source_k[t], dy_k[f], x) for x, (t, f) in zip(sums, cells, strict=True)
            ]

        sums = [load(builder, address, vector) for address in addresses]
        sums = carried_loop(builder, INT64(0), whole, lanes, sums, step)
        sums = carried_loop(builder, whole, pixels, lanes, sums, lambda k, sums: step(k, sums, tail))
        for x, address in zip(sums, addresses, strict=True):
            store(builder, x, address)

    def of_filters(first_filter, columns):
        _in_pieces(builder, taps, _ALONG_PIXELS, lambda first, rows: tile(first, rows, first_filter, columns))

    _in_pieces(builder, filters, _ALONG_PIXELS, of_filters)
