"""Pooling's windows, a vector of adjacent ones at a time, written as LLVM IR.

Along a row the columns that one element of the windows meets are a stride apart. Strides of 1 and 2 are loads
and shuffles; others are gathered.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT32,
    INT64,
    broadcast,
    carried_loop,
    first_lanes,
    lanes_of,
    load,
    shuffle,
    size_of,
    store,
)

Values = list[ir.Value]


def _int_lanes(lanes: int) -> ir.VectorType:
    return ir.VectorType(INT32, lanes)


def _counted(builder: ir.IRBuilder, first: ir.Value, lanes: int) -> ir.Value:
    """The numbers first, first + 1, …, as int32."""
    numbers = ir.Constant(_int_lanes(lanes), list(range(lanes)))
    return builder.add(broadcast(builder, builder.trunc(first, INT32), lanes), numbers)


def _is_index(builder: ir.IRBuilder, numbers: ir.Value, size: ir.Value) -> ir.Value:
    """Which numbers lie in 0 … size − 1."""
    lanes = numbers.type.count
    return builder.icmp_unsigned("<", numbers, broadcast(builder, builder.trunc(size, INT32), lanes))


def _load_inside(builder, x, size, first, vector, otherwise) -> ir.Value:
    """The elements first, first + 1, … of x (size,); `otherwise` outside."""
    mask = _is_index(builder, _counted(builder, first, vector.count), size)
    return load(builder, builder.gep(x, [first]), vector, mask, otherwise)


def _gather(builder, x, indices, mask, vector, otherwise) -> ir.Value:
    """The elements of x at these indices; `otherwise` where the mask is unset."""
    lanes, numbers = vector.count, ir.VectorType(INT64, vector.count)
    size = ir.Constant(numbers, [size_of(vector.element)] * lanes)
    bytes_ = builder.mul(builder.sext(indices, numbers), size)
    start = broadcast(builder, builder.ptrtoint(x, INT64), lanes)
    addresses = builder.inttoptr(builder.add(start, bytes_), ir.VectorType(x.type, lanes))
    function = ir.FunctionType(vector, [addresses.type, INT32, mask.type, vector])
    name = f"llvm.masked.gather.v{lanes}{vector.element.intrinsic_name}.v{lanes}p0"
    gather = cgutils.get_or_insert_function(builder.module, function, name)
    return builder.call(gather, [addresses, INT32(size_of(vector.element)), mask, otherwise])


def _load_columns(builder, x, size, first, stride, known, vector, otherwise) -> ir.Value:
    """The elements first, first + stride, … of x (size,), `otherwise` outside; `known` as in _for_stride."""
    lanes = vector.count
    if known == 1:
        return _load_inside(builder, x, size, first, vector, otherwise)
    if known == 2:
        low, high = (
            _load_inside(builder, x, size, builder.add(first, INT64(start)), vector, otherwise)
            for start in (0, lanes)
        )
        return shuffle(builder, low, high, list(range(0, 2 * lanes, 2)))
    steps = builder.mul(
        _counted(builder, INT64(0), lanes), broadcast(builder, builder.trunc(stride, INT32), lanes)
    )
    columns = builder.add(steps, broadcast(builder, builder.trunc(first, INT32), lanes))
    return _gather(builder, x, columns, _is_index(builder, columns, size), vector, otherwise)


def _load_spread(builder, x, size, first, stride, known, vector, zero) -> ir.Value:
    """Lane j is x[(first + j) / stride] where that is an index of x (size,), else 0."""
    lanes = vector.count
    if known == 1:
        return _load_inside(builder, x, size, first, vector, zero)
    if known == 2:
        start = builder.ashr(builder.add(first, INT64(1)), INT64(1))
        loaded = _load_inside(builder, x, size, start, vector, zero)
        even = [lane // 2 if lane % 2 == 0 else lanes for lane in range(lanes)]
        odd = [lanes if lane % 2 == 0 else lane // 2 for lane in range(lanes)]
        is_even = builder.icmp_signed("==", builder.and_(first, INT64(1)), INT64(0))
        return builder.select(
            is_even, shuffle(builder, loaded, zero, even), shuffle(builder, loaded, zero, odd)
        )
    # The quotients of integers below 2^24 that are whole numbers are exact in float32.
    numbers = _counted(builder, first, lanes)
    strides = broadcast(builder, builder.trunc(stride, INT32), lanes)
    floats = ir.VectorType(ir.FloatType(), lanes)
    quotients = builder.fdiv(builder.sitofp(numbers, floats), builder.sitofp(strides, floats))
    indices = builder.fptosi(quotients, numbers.type)
    is_whole = builder.icmp_signed("==", builder.mul(indices, strides), numbers)
    return _gather(
        builder, x, indices, builder.and_(is_whole, _is_index(builder, indices, size)), vector, zero
    )


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


def _over_windows(
    builder: ir.IRBuilder,
    window: Values,
    vector: ir.VectorType,
    otherwise: ir.Value,
    values: Values,
    step: Callable[[Values, ir.Value, ir.Value], Values],
    finish: Callable[[Values], None],
    by_rows: bool = False,
) -> None:
    """values = step(values, pixels, index of the first) for the elements of the windows; finish(values).

    They come column by column, which is faster, or row by row. `otherwise` is what the windows hold outside
    of the image.
    """
    x, width, begin, end, first, size, stride = window

    def loops(known):
        def element(row, v, values):
            column, row_start = builder.add(first, v), builder.mul(row, width)
            at = builder.gep(x, [row_start])
            pixels = _load_columns(builder, at, width, column, stride, known, vector, otherwise)
            return step(values, pixels, builder.add(row_start, column))

        rows, columns = (begin, end), (INT64(0), size)
        outer, inner = (rows, columns) if by_rows else (columns, rows)

        def line(i, values):
            def cell(j, values):
                return element(i, j, values) if by_rows else element(j, i, values)

            return carried_loop(builder, *inner, 1, values, cell)

        finish(carried_loop(builder, *outer, 1, values, line))

    _for_stride(builder, stride, loops)


def wins(builder: ir.IRBuilder, x: ir.Value, best: ir.Value) -> ir.Value:
    """Whether x is larger than the best so far, or a NaN."""
    return builder.or_(builder.fcmp_ordered(">", x, best), builder.fcmp_unordered("uno", x, x))


def larger(builder: ir.IRBuilder, x: ir.Value, best: ir.Value) -> ir.Value:
    """x where it wins, else the best: in two steps, the first of which is one instruction."""
    either = builder.select(builder.fcmp_ordered(">", x, best), x, best)
    return builder.select(builder.fcmp_unordered("uno", x, x), x, either)


@intrinsic
def max_windows(typingctx, x, width, begin, end, first, size, stride, count, y):
    """y[j] = the maximum of window j, for j < count, a vector at most; a NaN wins.

    Window j is rows begin … end − 1 and columns first + j stride … + size − 1 of x (·, width), as far as they
    lie inside.
    """

    def codegen(context, builder, signature, args):
        *window, count, y = args
        real = context.get_data_type(x.dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        lowest = broadcast(builder, real(float("-inf")), lanes)

        def step(values, pixels, _):
            return [larger(builder, pixels, values[0])]

        def finish(values):
            store(builder, values[0], y, first_lanes(builder, count, lanes))

        _over_windows(builder, window, vector, lowest, [lowest], step, finish)
        return context.get_dummy_value()

    return types.void(x, *[types.int64] * 7, y), codegen


@intrinsic
def mean_windows(typingctx, x, width, begin, end, first, size, stride, count, area, y):
    """y[j] = Σ of window j / area, of windows as in max_windows."""

    def codegen(context, builder, signature, args):
        *window, count, area, y = args
        real = context.get_data_type(x.dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        zero = ir.Constant(vector, None)

        def step(values, pixels, _):
            return [builder.fadd(values[0], pixels)]

        def finish(values):
            mean = builder.fdiv(values[0], broadcast(builder, area, lanes))
            store(builder, mean, y, first_lanes(builder, count, lanes))

        _over_windows(builder, window, vector, zero, [zero], step, finish)
        return context.get_dummy_value()

    return types.void(x, *[types.int64] * 7, x.dtype, y), codegen


@intrinsic
def argmax_windows(typingctx, x, width, begin, end, first, size, stride, largest, where):
    """The maxima of a vector of windows as in max_windows, and their indices in x.

    Of equal ones it is the first, of NaNs the last.
    """

    def codegen(context, builder, signature, args):
        *window, largest, where = args
        width, begin, first, stride = window[1], window[2], window[4], window[6]
        real = context.get_data_type(x.dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        lowest = broadcast(builder, real(float("-inf")), lanes)
        zero = ir.Constant(_int_lanes(lanes), None)

        def lanes_with(number):
            return broadcast(builder, builder.trunc(number, INT32), lanes)

        steps = builder.mul(_counted(builder, INT64(0), lanes), lanes_with(stride))
        columns = builder.add(lanes_with(first), steps)
        inside = builder.select(builder.icmp_signed(">", columns, zero), columns, zero)
        start = builder.add(lanes_with(builder.mul(begin, width)), inside)

        def step(values, pixels, at):
            best, index = values
            is_won = wins(builder, pixels, best)
            here = builder.add(lanes_with(at), steps)
            return [builder.select(is_won, pixels, best), builder.select(is_won, here, index)]

        def finish(values):
            store(builder, values[0], largest)
            store(builder, values[1], where)

        _over_windows(builder, window, vector, lowest, [lowest, start], step, finish, by_rows=True)
        return context.get_dummy_value()

    return types.void(x, *[types.int64] * 6, largest, where), codegen


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
