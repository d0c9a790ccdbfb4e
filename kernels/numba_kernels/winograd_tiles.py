"""The transforms of Winograd's minimal filtering, a vector of tiles or of channels at a time, as LLVM IR.

A tile of 2 x 2 outputs, of each phase, takes a piece d of the source, which overlaps others:
Y = Aᵀ [Σ over channels of (G g Gᵀ) ∘ (Bᵀ d B)] A. The gradient by g is the adjoint,
Gᵀ [Σ over tiles of (A dY Aᵀ) ∘ (Bᵀ d B)] G. winograd_matrices.py has the matrices of each kind of window. The
places of a transformed piece are `place` elements apart, sum by sum, and the sums `sum_step`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    broadcast,
    call_function,
    carried_loop,
    choose,
    constant,
    first_lanes,
    lanes_of,
    load,
    shuffle,
    store,
)
from fastnn.kernels.numba_kernels.window_loops import Columns, Window, row_of
from fastnn.kernels.numba_kernels.winograd_matrices import KINDS, KINDS_BACK, Kind, Matrices

Values = list[ir.Value]


def _of_kinds(name: str, emit: Callable[..., None]):
    """Calls the function of the kind, the first argument: emit(its matrices, builder, vector, *others)."""

    def codegen(context, builder, signature, args):
        (kind, *args), of = args, signature.args[0]
        number = builder.extract_value(kind, of.fields.index("number"))
        kinds = KINDS if of.instance_class is Kind else KINDS_BACK

        def call(kind):
            def emit_kind(builder, real, *args):
                vector = ir.VectorType(real, lanes_of(real))
                emit(Matrices(kind, builder, vector), builder, vector, *args)

            named = f"{name}.{type(kind).__name__}.{kind.number}"
            call_function(context, builder, signature, args, named, emit_kind)

        cases = [(builder.icmp_signed("==", number, INT64(kind.number)), kind) for kind in kinds[:-1]]
        choose(builder, cases, lambda kind: call(kind or kinds[-1]))
        return context.get_dummy_value()

    return codegen


def _both_axes(square: list[Values], along_axis: Callable[[Values], Values]) -> list[Values]:
    """Transform the columns, then the rows."""
    columns = [along_axis(list(column)) for column in zip(*square, strict=True)]
    return [along_axis(list(row)) for row in zip(*columns, strict=True)]


def _load_square(
    builder: ir.IRBuilder, side: int, x: ir.Value, step: ir.Value, vector: ir.VectorType
) -> list[Values]:
    """Vectors that are `step` elements apart, row by row."""
    return [
        [load(builder, builder.gep(x, [builder.mul(step, INT64(i * side + j))]), vector) for j in range(side)]
        for i in range(side)
    ]


def _store_each(builder: ir.IRBuilder, vectors: Iterable[ir.Value], to: ir.Value, step: ir.Value) -> None:
    for i, x in enumerate(vectors):
        store(builder, x, builder.gep(to, [builder.mul(step, INT64(i))]))


def _interleaved(builder: ir.IRBuilder, vectors: list[ir.Value]) -> list[ir.Value]:
    """The first lane of each of 2 or 4 vectors, then the second of each, …"""
    if len(vectors) == 1:
        return vectors
    lanes = vectors[0].type.count
    in_turn = [lane // 2 + lane % 2 * lanes for lane in range(2 * lanes)]
    halves = zip(*(_interleaved(builder, vectors[first::2]) for first in (0, 1)), strict=True)
    return [
        shuffle(builder, *pair, in_turn[start : start + lanes]) for pair in halves for start in (0, lanes)
    ]


@intrinsic
def transform_weight(typingctx, kind, g, u, place, filter_, channels):
    """u = G g Gᵀ of a vector of channels of a filter, whose weights are g (taps, taps, lanes).

    For each sum u is (filters, places, channels), and begins `place` elements on for each place before it.
    Writes whole vectors, over what comes after the channels.
    """
    arguments = kind, g, u, types.int64, types.int64, types.int64
    return types.void(*arguments), _of_kinds("transform_weight", _emit_weight)


def _emit_weight(matrices, builder, vector, g, u, place, filter_, channels):
    taps = _load_square(builder, matrices.kind.taps, g, INT64(vector.count), vector)
    made = _both_axes(taps, matrices.of_weight)
    begin = 0
    for places in matrices.of_sums:
        to = builder.gep(u, [builder.mul(place, INT64(begin))])
        row = builder.mul(builder.mul(filter_, INT64(len(places))), channels)
        _store_each(builder, (made[i][j] for i, j in places), builder.gep(to, [row]), channels)
        begin += len(places)


@intrinsic
def transform_source(typingctx, kind, x, window, zeros, packed, v, place):
    """v = Bᵀ d B of the tiles of the plane x, row by row.

    They are the outputs of a `Window` of pieces; `zeros` are a row of x's width. packed is scratch: the plane
    as window.py packs it, so that rows of few tiles fill vectors too. Writes v beyond the tiles, less than a
    vector.
    """
    arguments = kind, x, window, zeros, packed, v, types.int64
    return types.void(*arguments), _of_kinds("transform_source", _emit_source)


def _emit_source(matrices, builder, vector, x, window, zeros, packed, v, place):
    o = Window(*cgutils.unpack_tuple(builder, window))
    piece, step, lanes = matrices.kind.piece, matrices.kind.step, vector.count
    tiles = builder.mul(o.out_h, o.out_w)
    slots = builder.add(o.out_h, INT64((piece - 1) // step))
    plane = builder.add(builder.mul(slots, o.out_w), INT64(lanes))  # a vector may run over

    def at(phase, slot, column):
        """Where the pixels of a column of the pieces begin, of a row of the source."""
        planes = builder.add(phase, INT64(step * column))
        index = builder.add(builder.mul(planes, plane), builder.mul(slot, o.out_w))
        return builder.gep(packed, [index])

    def pack(done, _):
        q = builder.sub(last, done)
        columns = Columns(builder, o, (step, piece), q, vector, constant(vector, 0.0))

        def line(i, _):
            row = row_of(builder, x, builder.sub(i, o.pad_top), o, zeros)
            phase, slot = builder.and_(i, INT64(step - 1)), builder.sdiv(i, INT64(step))
            for column, pixels in enumerate(columns.load(row)):
                store(builder, pixels, builder.gep(at(phase, slot, column), [q]))
            return []

        return carried_loop(builder, INT64(0), lines, 1, [], line)

    def transform(t, _):
        d = [
            [
                load(builder, builder.gep(at(INT64(i % step), INT64(i // step), j), [t]), vector)
                for j in range(piece)
            ]
            for i in range(piece)
        ]
        made = _both_axes(d, matrices.of_source)
        _store_each(builder, (made[i][j] for i, j in chain(*matrices.of_sums)), builder.gep(v, [t]), place)
        return []

    lines = builder.add(builder.mul(o.out_h, INT64(step)), INT64(piece - step))
    # From last to first: a row's last vector runs over into what is written after it.
    last = builder.and_(builder.sub(o.out_w, INT64(1)), INT64(-lanes))
    carried_loop(builder, INT64(0), o.out_w, lanes, [], pack)
    carried_loop(builder, INT64(0), tiles, lanes, [], transform)


@intrinsic
def transform_output(
    typingctx, kind, m, sum_step, tiles_h, tiles_w, bias, floor, made, y, top, left, out_h, out_w
):
    """y = max(Aᵀ m A + bias, floor) of tiles (tiles_h, tiles_w), as far as they lie in y (out_h, out_w).

    They begin at row `top` and column `left` of it. made is scratch for a tile's rows of outputs, of all
    tiles and a vector more.
    """
    arguments = kind, m, *[types.int64] * 3, m.dtype, m.dtype, made, y, *[types.int64] * 4
    return types.void(*arguments), _of_kinds("transform_output", _emit_output)


def _emit_output(
    matrices, builder, vector, m, sum_step, tiles_h, tiles_w, bias, floor, made, y, top, left, out_h, out_w
):
    lanes, tile = vector.count, matrices.kind.tile
    biases, floors = broadcast(builder, bias, lanes), broadcast(builder, floor, lanes)
    tiles = builder.mul(tiles_h, tiles_w)
    made_row = builder.mul(builder.add(tiles, INT64(lanes)), INT64(tile))
    made_rows = [builder.gep(made, [builder.mul(made_row, INT64(i))]) for i in range(tile)]

    def finish(x):
        x = builder.fadd(x, biases)
        return builder.select(builder.fcmp_ordered("<", x, floors), floors, x)  # a NaN stays

    def transform(t, _):
        sums = _load_square(builder, matrices.kind.roles, builder.gep(m, [t]), sum_step, vector)
        for row, outputs in zip(made_rows, _both_axes(sums, matrices.to_output), strict=True):
            in_turn = _interleaved(builder, [finish(x) for x in outputs])
            _store_each(builder, in_turn, builder.gep(row, [builder.mul(t, INT64(tile))]), INT64(lanes))
        return []

    def put(p, _):
        for i, made_row in enumerate(made_rows):
            row = builder.add(top, builder.add(builder.mul(p, INT64(tile)), INT64(i)))
            first = builder.sub(builder.mul(builder.mul(p, tiles_w), INT64(tile)), left)
            source = builder.gep(made_row, [first])
            to = builder.gep(y, [builder.mul(row, out_w)])

            def copy(q, _, source=source, to=to):
                mask = first_lanes(builder, builder.sub(out_w, q), lanes)
                store(builder, load(builder, builder.gep(source, [q]), vector), builder.gep(to, [q]), mask)
                return []

            with builder.if_then(builder.icmp_unsigned("<", row, out_h)):
                carried_loop(builder, INT64(0), out_w, lanes, [], copy)
        return []

    carried_loop(builder, INT64(0), tiles, lanes, [], transform)
    carried_loop(builder, INT64(0), tiles_h, 1, [], put)


@intrinsic
def transform_gradient(typingctx, kind, dy, tiles_h, tiles_w, m, sum_step):
    """m (tiles, panel) = A dY Aᵀ, dy (2 tiles_h, 2 tiles_w, panel): the lanes are the filters of a panel."""
    arguments = kind, dy, types.int64, types.int64, m, types.int64
    return types.void(*arguments), _of_kinds("transform_gradient", _emit_gradient)


def _emit_gradient(matrices, builder, vector, dy, tiles_h, tiles_w, m, sum_step):
    lanes = vector.count

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
                    [load(builder, at(dy, i, columns, j, half), vector) for j in twice[1]] for i in twice[0]
                ]
                square = _both_axes(pixels, matrices.of_gradient)
                _store_each(builder, chain(*square), at(m, p, tiles_w, q, half), sum_step)
            return []

        return carried_loop(builder, INT64(0), tiles_w, 1, [], tile)

    carried_loop(builder, INT64(0), tiles_h, 1, [], row_of_tiles)


@intrinsic
def transform_sums(typingctx, kind, u, place, g):
    """g (taps, taps, lanes) = Gᵀ u G of a vector of filters."""
    return types.void(kind, u, types.int64, g), _of_kinds("transform_sums", _emit_sums)


def _emit_sums(matrices, builder, vector, u, place, g):
    square = [[None] * matrices.side for _ in range(matrices.side)]
    for k, (i, j) in enumerate(chain(*matrices.of_sums)):
        square[i][j] = load(builder, builder.gep(u, [builder.mul(place, INT64(k))]), vector)
    made = _both_axes(square, matrices.to_weight)
    _store_each(builder, chain(*made), g, INT64(vector.count))
