"""The transforms of Winograd's minimal filtering, a vector of tiles or of channels at a time, as LLVM IR.

winograd.h has the formula and its source. A tile of 2 x 2 outputs takes a piece d of 4 x 4 pixels, which
overlaps others: Y = Aᵀ [Σ over channels of (G g Gᵀ) ∘ (Bᵀ d B)] A. The gradient by g is the adjoint,
Gᵀ [Σ over tiles of (A dY Aᵀ) ∘ (Bᵀ d B)] G. Along one axis,
    Bᵀ d = d0 − d2, d1 + d2, d2 − d1, d1 − d3      G g = g0, (g0 + g1 + g2) / 2, (g0 − g1 + g2) / 2, g2
    Aᵀ m = m0 + m1 + m2, m1 − m2 − m3
The 16 places of a transformed piece are `place` elements apart.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    broadcast,
    carried_loop,
    constant,
    first_lanes,
    lanes_of,
    load,
    shuffle,
    store,
)
from fastnn.kernels.numba_kernels.window_loops import Columns, plane_of, row_of

Values = list[ir.Value]


def _both_axes(square: list[Values], along_axis: Callable[[Values], Values]) -> list[Values]:
    """Transform the columns, then the rows."""
    columns = [along_axis(list(column)) for column in zip(*square, strict=True)]
    return [along_axis(list(row)) for row in zip(*columns, strict=True)]


def _store_places(builder: ir.IRBuilder, square: list[Values], to: ir.Value, place: ir.Value) -> None:
    for i, x in enumerate(chain(*square)):
        store(builder, x, builder.gep(to, [builder.mul(place, INT64(i))]))


@intrinsic
def transform_weight(typingctx, g, u, place):
    """u = G g Gᵀ of a vector of channels, whose nine weights are g (9, lanes)."""

    def codegen(context, builder, signature, args):
        g, u, place = args
        real = context.get_data_type(signature.args[0].dtype)
        vector = ir.VectorType(real, lanes_of(real))
        half = constant(vector, 0.5)

        def expand(g):
            ends = builder.fadd(g[0], g[2])
            middle = builder.fadd(ends, g[1]), builder.fsub(ends, g[1])
            return [g[0], *(builder.fmul(half, x) for x in middle), g[2]]

        taps = [load(builder, builder.gep(g, [INT64(i * vector.count)]), vector) for i in range(9)]
        _store_places(builder, _both_axes([taps[:3], taps[3:6], taps[6:]], expand), u, place)
        return context.get_dummy_value()

    return types.void(g, u, types.int64), codegen


@intrinsic
def transform_source(typingctx, x, window, zeros, v, place):
    """v = Bᵀ d B of the tiles of the plane x, row by row.

    They are the outputs of a `Window` of 4 x 4, 2 apart; `zeros` are a row of x's width. Writes v beyond the
    tiles, less than a vector.
    """

    def codegen(context, builder, signature, args):
        x, window, zeros, v, place = args
        vector, o, at = plane_of(context, builder, signature.args[0], window)

        def expand(d):
            return [
                builder.fsub(d[0], d[2]),
                builder.fadd(d[1], d[2]),
                builder.fsub(d[2], d[1]),
                builder.fsub(d[1], d[3]),
            ]

        def row_of_tiles(p, _):
            top = builder.sub(builder.mul(p, INT64(2)), o.pad_top)

            def tiles(q, _):
                columns = Columns(builder, o, (2, 4), q, vector, constant(vector, 0.0))
                rows = [builder.add(top, INT64(i)) for i in range(4)]
                d = [columns.load(row_of(builder, x, i, o, zeros)) for i in rows]
                _store_places(builder, _both_axes(d, expand), at(v, p, q)[0], place)
                return []

            return carried_loop(builder, INT64(0), o.out_w, vector.count, [], tiles)

        carried_loop(builder, INT64(0), o.out_h, 1, [], row_of_tiles)
        return context.get_dummy_value()

    return types.void(x, window, zeros, v, types.int64), codegen


@intrinsic
def transform_output(typingctx, m, place, tiles_h, tiles_w, bias, floor, y, out_h, out_w):
    """y = max(Aᵀ m A + bias, floor) of tiles (tiles_h, tiles_w), as far as they lie in y (out_h, out_w)."""

    def codegen(context, builder, signature, args):
        m, place, tiles_h, tiles_w, bias, floor, y, out_h, out_w = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        biases, floors = broadcast(builder, bias, lanes), broadcast(builder, floor, lanes)
        in_turn = [lane // 2 + lane % 2 * lanes for lane in range(2 * lanes)]

        def contract(m):
            return [
                builder.fadd(builder.fadd(m[0], m[1]), m[2]),
                builder.fsub(builder.fsub(m[1], m[2]), m[3]),
            ]

        def finish(x):
            x = builder.fadd(x, biases)
            return builder.select(builder.fcmp_ordered("<", x, floors), floors, x)  # a NaN stays

        def row_of_tiles(p, _):
            def tiles(q, _):
                at = builder.gep(m, [builder.add(builder.mul(p, tiles_w), q)])
                places = [
                    load(builder, builder.gep(at, [builder.mul(place, INT64(i))]), vector) for i in range(16)
                ]
                pairs = _both_axes([places[i : i + 4] for i in range(0, 16, 4)], contract)
                for i, pair in enumerate(pairs):
                    pair = [finish(x) for x in pair]
                    row = builder.add(builder.mul(p, INT64(2)), INT64(i))
                    with builder.if_then(builder.icmp_signed("<", row, out_h)):
                        for start in (0, lanes):
                            column = builder.add(builder.mul(q, INT64(2)), INT64(start))
                            to = builder.gep(y, [builder.add(builder.mul(row, out_w), column)])
                            mask = first_lanes(builder, builder.sub(out_w, column), lanes)
                            half = shuffle(builder, *pair, in_turn[start : start + lanes])
                            store(builder, half, to, mask)
                return []

            return carried_loop(builder, INT64(0), tiles_w, lanes, [], tiles)

        carried_loop(builder, INT64(0), tiles_h, 1, [], row_of_tiles)
        return context.get_dummy_value()

    return types.void(m, *[types.int64] * 3, m.dtype, m.dtype, y, types.int64, types.int64), codegen


@intrinsic
def transform_gradient(typingctx, dy, tiles_h, tiles_w, m, place):
    """m (tiles, panel) = A dY Aᵀ, dy (2 tiles_h, 2 tiles_w, panel): the lanes are the filters of a panel."""

    def codegen(context, builder, signature, args):
        dy, tiles_h, tiles_w, m, place = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)

        def expand(y):
            return [y[0], builder.fadd(*y), builder.fsub(*y), builder.fneg(y[1])]

        def at(x, row, columns, column, half):
            """The vector of a panel's row, with that many columns, at a column."""
            index = builder.add(builder.mul(row, columns), column)
            return builder.gep(x, [builder.add(builder.mul(index, INT64(2 * lanes)), INT64(half))])

        def row_of_tiles(p, _):
            def tile(q, _):
                twice = [[builder.add(builder.mul(k, INT64(2)), INT64(i)) for i in (0, 1)] for k in (p, q)]
                columns = builder.mul(tiles_w, INT64(2))
                for half in (0, lanes):
                    pixels = [
                        [load(builder, at(dy, i, columns, j, half), vector) for j in twice[1]]
                        for i in twice[0]
                    ]
                    _store_places(builder, _both_axes(pixels, expand), at(m, p, tiles_w, q, half), place)
                return []

            return carried_loop(builder, INT64(0), tiles_w, 1, [], tile)

        carried_loop(builder, INT64(0), tiles_h, 1, [], row_of_tiles)
        return context.get_dummy_value()

    return types.void(dy, types.int64, types.int64, m, types.int64), codegen


@intrinsic
def transform_sums(typingctx, u, place, g):
    """g (9, lanes) = Gᵀ u G of a vector of filters."""

    def codegen(context, builder, signature, args):
        u, place, g = args
        real = context.get_data_type(signature.args[0].dtype)
        vector = ir.VectorType(real, lanes_of(real))
        half = constant(vector, 0.5)

        def contract(u):
            total = builder.fmul(half, builder.fadd(u[1], u[2]))
            middle = builder.fmul(half, builder.fsub(u[1], u[2]))
            return [builder.fadd(u[0], total), middle, builder.fadd(total, u[3])]

        sums = [load(builder, builder.gep(u, [builder.mul(place, INT64(i))]), vector) for i in range(16)]
        square = _both_axes([sums[i : i + 4] for i in range(0, 16, 4)], contract)
        _store_places(builder, square, g, INT64(vector.count))
        return context.get_dummy_value()

    return types.void(u, types.int64, g), codegen
