"""Packing: b of a matrix product copied to panels (k, tile_columns), which the tile reads in one run."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.memory import helper, offset
from fastnn.kernels.numba_kernels.tile import tile_columns, vector_lanes
from fastnn.kernels.numba_kernels.vector_ir import INT32, INT64, first_lanes, lanes_of, load, store


@intrinsic
def _transpose(typingctx, source, source_row, target, target_row):
    """A square of vector_lanes x vector_lanes, transposed in registers: log2(lanes) rounds that swap blocks
    of 1, 2,
    4, … LLVM makes single loads and stores of a loop that does it.
    """

    def codegen(context, builder, signature, args):
        source, source_row, target, target_row = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)

        def address(pointer, row_stride, row):
            return builder.gep(pointer, [builder.mul(row_stride, INT64(row))])

        rows = [load(builder, address(source, source_row, i), vector) for i in range(lanes)]
        step = 1
        while step < lanes:
            low = [lanes + lane - step if lane & step else lane for lane in range(lanes)]
            high = [lanes + lane if lane & step else lane + step for lane in range(lanes)]
            masks = [ir.Constant(ir.VectorType(INT32, lanes), mask) for mask in (low, high)]
            for i in range(lanes):
                if not i & step:
                    pair = rows[i], rows[i + step]
                    rows[i], rows[i + step] = (builder.shuffle_vector(*pair, mask) for mask in masks)
            step *= 2
        for i, row in enumerate(rows):
            store(builder, row, address(target, target_row, i))
        return context.get_dummy_value()

    return types.void(source, types.int64, target, types.int64), codegen


@intrinsic
def copy_lanes(typingctx, x, begin, end, target):
    """target[lane] = x[lane] for begin ≤ lane < end, else 0: a whole vector. Reads no other lane of x."""

    def codegen(context, builder, signature, args):
        source, begin, end, target = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        before, inside = (
            first_lanes(builder, context.cast(builder, bound, type_, types.int64), lanes)
            for bound, type_ in zip((begin, end), signature.args[1:3], strict=True)
        )
        mask = builder.and_(inside, builder.not_(before))
        store(builder, load(builder, source, ir.VectorType(real, lanes), mask), target)
        return context.get_dummy_value()

    return types.void(x, begin, end, target), codegen


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
    """Where b's rows are adjacent: squares of vectors, then what is left at the right and below."""
    width, lanes = tile_columns(b), vector_lanes(b)
    whole_columns, whole_k = columns - columns % lanes, k - k % lanes
    for j in range(0, whole_columns, lanes):
        for p in range(0, whole_k, lanes):
            _transpose(offset(b, j * b_column + p), b_column, offset(panel, p * width + j), width)
    for j in range(columns):
        for p in range(whole_k if j < whole_columns else 0, k):
            panel[p * width + j] = b[j * b_column + p]
