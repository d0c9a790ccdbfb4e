"""Pooling's windows, a vector of adjacent ones at a time, written as LLVM IR."""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT32,
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
from fastnn.kernels.numba_kernels.window_loops import (
    counted,
    for_case,
    gather,
    is_index,
    larger_number,
    load_inside,
    over_windows,
    plane_of,
)


def _load_spread(builder, x, size, first, stride, known, vector, zero) -> ir.Value:
    """Lane j is x[(first + j) / stride] where that is an index of x (size,), else 0."""
    lanes = vector.count
    if known == 1:
        return load_inside(builder, x, size, first, vector, zero)
    if known == 2:
        start = builder.ashr(builder.add(first, INT64(1)), INT64(1))
        loaded = load_inside(builder, x, size, start, vector, zero)
        even = [lane // 2 if lane % 2 == 0 else lanes for lane in range(lanes)]
        odd = [lanes if lane % 2 == 0 else lane // 2 for lane in range(lanes)]
        is_even = builder.icmp_signed("==", builder.and_(first, INT64(1)), INT64(0))
        return builder.select(
            is_even, shuffle(builder, loaded, zero, even), shuffle(builder, loaded, zero, odd)
        )
    # The quotients of integers below 2^24 that are whole numbers are exact in float32.
    numbers = counted(builder, first, lanes)
    strides = broadcast(builder, builder.trunc(stride, INT32), lanes)
    floats = ir.VectorType(ir.FloatType(), lanes)
    quotients = builder.fdiv(builder.sitofp(numbers, floats), builder.sitofp(strides, floats))
    indices = builder.fptosi(quotients, numbers.type)
    is_whole = builder.icmp_signed("==", builder.mul(indices, strides), numbers)
    return gather(builder, x, indices, builder.and_(is_whole, is_index(builder, indices, size)), vector, zero)


def _for_stride(builder: ir.IRBuilder, stride: ir.Value, body: Callable[[int | None], None]) -> None:
    """body(1), body(2) or body(None), whichever the stride is."""
    for known in (1, 2, None):
        is_it = (
            builder.icmp_signed(">", stride, INT64(2))
            if known is None
            else builder.icmp_signed("==", stride, INT64(known))
        )
        with builder.if_then(is_it):
            body(known)


def wins(builder: ir.IRBuilder, x: ir.Value, best: ir.Value) -> ir.Value:
    """Whether x is larger than the best so far, or a NaN."""
    return builder.or_(builder.fcmp_ordered(">", x, best), builder.fcmp_unordered("uno", x, x))


@intrinsic
def max_windows(typingctx, x, window, y):
    """y = the maximum of each window of the plane x, a `Window`; a NaN wins."""

    def codegen(context, builder, signature, args):
        x, window, y = args
        vector, o, place = plane_of(context, builder, signature.args[0], window)
        lowest, nan = constant(vector, -math.inf), constant(vector, math.nan)
        nowhere = ir.Constant(ir.VectorType(ir.IntType(1), vector.count), None)

        def step(values, pixels, *_):
            # NaNs beside the maximum: else every comparison would wait for the one before.
            best, is_nan = values
            best = builder.select(builder.fcmp_ordered(">", pixels, best), pixels, best)
            return [best, builder.or_(is_nan, builder.fcmp_unordered("uno", pixels, pixels))]

        def finish(values, p, q):
            best, is_nan = values
            store(builder, builder.select(is_nan, nan, best), *place(y, p, q))

        for_case(
            builder,
            o,
            lambda case: over_windows(
                builder, x, o, case, vector, lowest, lambda p, q: [lowest, nowhere], step, finish
            ),
        )
        return context.get_dummy_value()

    return types.void(x, window, y), codegen


@intrinsic
def mean_windows(typingctx, x, window, area, y):
    """y = Σ of each window of the plane x, a `Window`, / area."""

    def codegen(context, builder, signature, args):
        x, window, area, y = args
        vector, o, place = plane_of(context, builder, signature.args[0], window)
        zero, areas = constant(vector, 0.0), broadcast(builder, area, vector.count)

        def step(values, pixels, *_):
            return [builder.fadd(values[0], pixels)]

        def finish(values, p, q):
            store(builder, builder.fdiv(values[0], areas), *place(y, p, q))

        for_case(
            builder,
            o,
            lambda case: over_windows(builder, x, o, case, vector, zero, lambda p, q: [zero], step, finish),
        )
        return context.get_dummy_value()

    return types.void(x, window, x.dtype, y), codegen


@intrinsic
def argmax_windows(typingctx, x, window, largest, where):
    """The maximum of each window of the plane x, a `Window`, and its index in x (int32).

    Of equal ones it is the first, of NaNs the last.
    """

    def codegen(context, builder, signature, args):
        x, window, largest, where = args
        vector, o, place = plane_of(context, builder, signature.args[0], window)
        lanes, lowest = vector.count, constant(vector, -math.inf)

        def lanes_with(number):
            return broadcast(builder, builder.trunc(number, INT32), lanes)

        steps = builder.mul(counted(builder, INT64(0), lanes), lanes_with(o.stride_w))

        def step(values, pixels, u, v, at):
            best, index = values
            is_won = wins(builder, pixels, best)
            here = builder.add(lanes_with(at), steps)
            return [builder.select(is_won, pixels, best), builder.select(is_won, here, index)]

        def finish(values, p, q):
            for output, value in zip((largest, where), values, strict=True):
                store(builder, value, *place(output, p, q))

        def start(p, q):
            """The first pixel inside."""
            top = builder.sub(builder.mul(p, o.stride_h), o.pad_top)
            left = builder.sub(builder.mul(q, o.stride_w), o.pad_left)
            columns = builder.add(lanes_with(left), steps)
            zero = ir.Constant(columns.type, None)
            inside = builder.select(builder.icmp_signed(">", columns, zero), columns, zero)
            row = builder.mul(larger_number(builder, INT64(0), top), o.w)
            return [lowest, builder.add(lanes_with(row), inside)]

        for_case(
            builder, o, lambda case: over_windows(builder, x, o, case, vector, lowest, start, step, finish)
        )
        return context.get_dummy_value()

    return types.void(x, window, largest, where), codegen


@intrinsic
def add_to_windows(typingctx, dy, outputs, area, size, stride, first, count, dx, width, begin, end):
    """dx[i, j] += Σ over v < size of dy[(first + j − v) / stride] / area, for begin ≤ i < end and j < count.

    Where that is an index of dy (outputs,); count is a vector at most, and rows of dx are `width` apart.
    """

    def codegen(context, builder, signature, args):
        dy, outputs, area, size, stride, first, count, dx, width, begin, end = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        zero = ir.Constant(vector, None)
        mask = first_lanes(builder, count, lanes)

        def loops(known):
            def element(v, values):
                at = builder.sub(first, v)
                return [
                    builder.fadd(
                        values[0], _load_spread(builder, dy, outputs, at, stride, known, vector, zero)
                    )
                ]

            (total,) = carried_loop(builder, INT64(0), size, 1, [zero], element)
            part = builder.fdiv(total, broadcast(builder, area, lanes))

            def row_of(row, values):
                to = builder.gep(dx, [builder.mul(row, width)])
                store(builder, builder.fadd(load(builder, to, vector, mask), part), to, mask)
                return values

            carried_loop(builder, begin, end, 1, [], row_of)

        _for_stride(builder, stride, loops)
        return context.get_dummy_value()

    return types.void(dy, types.int64, dy.dtype, *[types.int64] * 4, dx, *[types.int64] * 3), codegen
