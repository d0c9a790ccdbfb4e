"""Packing: b of a matrix product copied to panels (k, tile_columns), which the tile reads in one run."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.memory import helper, offset
from fastnn.kernels.numba_kernels.tile import tile_columns, vector_lanes
from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    call_function,
    first_lanes,
    lanes_of,
    load,
    shuffle,
    store,
)


def turned(builder, rows: list[ir.Value]) -> list[ir.Value]:
    """A square transposed in registers: log2(lanes) rounds swap blocks of 1, 2, 4, …

    LLVM makes single loads and stores of a loop that does it.
    """
    lanes, step = len(rows), 1
    while step < lanes:
        low = [lanes + lane - step if lane & step else lane for lane in range(lanes)]
        high = [lanes + lane if lane & step else lane + step for lane in range(lanes)]
        for i in range(lanes):
            if not i & step:
                pair = rows[i], rows[i + step]
                rows[i], rows[i + step] = (shuffle(builder, *pair, order) for order in (low, high))
        step *= 2
    return rows


def row_addresses(builder, pointer, row_stride, lanes: int, count=None) -> list[ir.Value]:
    """Of a square's rows. Those from `count` on are the last once more."""
    result = [pointer]
    for i in range(1, lanes):
        step = row_stride
        if count is not None:
            step = builder.select(builder.icmp_signed("<", INT64(i), count), row_stride, INT64(0))
        result.append(builder.gep(result[-1], [step]))
    return result


def _emit_turn_in(builder, real, rows, columns, source, source_row, target, target_row) -> None:
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)

    def turn(rows, columns, mask):
        sources = row_addresses(builder, source, source_row, lanes, rows)
        targets = row_addresses(builder, target, target_row, lanes, columns)
        result = turned(builder, [load(builder, at, vector, mask) for at in sources])
        for row, at in reversed(list(zip(result, targets, strict=True))):
            store(builder, row, at)

    is_whole = (builder.icmp_signed("==", count, INT64(lanes)) for count in (rows, columns))
    with builder.if_else(builder.and_(*is_whole)) as (then, otherwise):
        with then:
            turn(None, None, None)
        with otherwise:
            turn(rows, columns, first_lanes(builder, columns, lanes))


@intrinsic
def turn_in(typingctx, rows, columns, source, source_row, target, target_row):
    """target[j, i] = source[i, j], rows and columns from 1 to vector_lanes.

    Rows of the target are whole vectors, undefined beyond `rows`.
    """

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "turn_in", _emit_turn_in)
        return context.get_dummy_value()

    sizes = types.int64, types.int64
    return types.void(*sizes, source, types.int64, target, types.int64), codegen


def _copy_of(stride: int):
    @intrinsic
    def copy(typingctx, x, begin, end, target):
        def codegen(context, builder, signature, args):
            source, begin, end, target = args
            real = context.get_data_type(signature.args[0].dtype)
            lanes = lanes_of(real)
            vector = ir.VectorType(real, lanes)
            first, last = (builder.mul(lane, INT64(stride)) for lane in (begin, builder.sub(end, INT64(1))))
            loaded = []
            for start in range(0, stride * lanes, lanes):
                before = first_lanes(builder, builder.sub(first, INT64(start)), lanes)
                inside = first_lanes(builder, builder.sub(last, INT64(start - 1)), lanes)
                mask = builder.and_(inside, builder.not_(before))
                loaded.append(load(builder, builder.gep(source, [INT64(start)]), vector, mask))
            if stride == 2:
                loaded = [shuffle(builder, *loaded, list(range(0, 2 * lanes, 2)))]
            store(builder, loaded[0], target)
            return context.get_dummy_value()

        return types.void(x, types.int64, types.int64, target), codegen

    return copy


# target[lane] = x[stride lane] for begin ≤ lane < end, else 0: a whole vector. Reads nothing of x before the
# first of these or after the last.
copy_lanes = _copy_of(1)
copy_even_lanes = _copy_of(2)


@intrinsic
def spread_lanes(typingctx, x, count, target):
    """target[2 lane] = x[lane] for lane < count: up to a vector. What lies between stays."""

    def codegen(context, builder, signature, args):
        source, count, target = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        loaded = load(builder, source, vector, first_lanes(builder, count, lanes))
        even = ir.Constant(ir.VectorType(ir.IntType(1), lanes), [lane % 2 == 0 for lane in range(lanes)])
        for start in (0, lanes):
            half = shuffle(builder, loaded, loaded, [(start + lane) // 2 for lane in range(lanes)])
            inside = first_lanes(builder, builder.sub(builder.mul(count, INT64(2)), INT64(start)), lanes)
            store(builder, half, builder.gep(target, [INT64(start)]), builder.and_(inside, even))
        return context.get_dummy_value()

    return types.void(x, types.int64, target), codegen


@helper
def pack_panel(k, columns, b, b_row, b_column, panel):
    """A block of b (k, columns) as a panel (k, tile_columns), undefined beyond the columns."""
    width = tile_columns(b)
    if b_column == 1 and columns == width:
        for p in range(k):
            for j in range(width):
                panel[p * width + j] = b[p * b_row + j]
    elif b_column == 1:
        for p in range(k):
            for j in range(columns):
                panel[p * width + j] = b[p * b_row + j]
    else:
        _pack_transposed(k, columns, b, b_column, panel)


@helper
def _pack_transposed(k, columns, b, b_column, panel):
    """Where b's rows are adjacent: squares of vectors."""
    width, lanes = tile_columns(b), vector_lanes(b)
    for j in range(0, columns, lanes):
        for p in range(0, k, lanes):
            source, target = offset(b, j * b_column + p), offset(panel, p * width + j)
            turn_in(min(lanes, columns - j), min(lanes, k - p), source, b_column, target, width)
