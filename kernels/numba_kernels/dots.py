"""Matrix products of few columns: they would leave most lanes of a tile empty, so the lanes go along k.

The lanes of a sum are added up at the end, the upper half to the lower, those of several rows all at once.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT32,
    INT64,
    call_function,
    carried_loop,
    choose,
    constant,
    first_lanes,
    lanes_of,
    load,
    multiply_add,
    shuffle,
    store,
)

# Products of so few columns, over so many k: beyond, the scratch for b's columns would grow without bound.
DOT_MAX_COLUMNS = 4
DOT_MIN_K, DOT_MAX_K = 32, 16384
# Rows of a tile for 1, 2, … columns: enough independent sums to keep the multiply-adders busy.
_ROWS = (8, 4, 2, 2)


def _sums_of_lanes(builder: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
    """A vector of the sums of the lanes of each vector; their number is a power of 2."""
    group = vectors[0].type.count  # a vector is groups of so many partial sums
    while group > 1 or len(vectors) > 1:
        if len(vectors) > 1:
            pairs = list(zip(vectors[0::2], vectors[1::2], strict=True))
        else:
            pairs = [(vectors[0], vectors[0])]
        width = min(2, len(vectors)) * vectors[0].type.count
        half = max(1, group // 2)
        low = [first + lane for first in range(0, width, group) for lane in range(half)]
        vectors = [shuffle(builder, *pair, low) for pair in pairs]
        if group > 1:
            upper = [shuffle(builder, *pair, [lane + half for lane in low]) for pair in pairs]
            vectors = [builder.fadd(*halves) for halves in zip(vectors, upper, strict=True)]
        group = half
    return vectors[0]


def _emit(builder, real, rows, columns, k, a, a_row, b, b_column, c, start, mask, relu) -> None:
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)
    whole = builder.and_(k, INT64(-lanes))
    tail = first_lanes(builder, builder.sub(k, whole), lanes)

    def tile(first: ir.Value, count: int, width: int) -> None:
        """Of `count` rows and all columns, `width`."""
        a_rows = [
            builder.gep(a, [builder.mul(a_row, builder.add(first, INT64(row)))]) for row in range(count)
        ]
        b_columns = [builder.gep(b, [builder.mul(b_column, INT64(j))]) for j in range(width)]

        def step(at, sums, mask=None):
            b_k = [load(builder, builder.gep(column, [at]), vector, mask) for column in b_columns]
            a_k = [load(builder, builder.gep(row, [at]), vector, mask) for row in a_rows]
            cells = ((a_i, b_j) for a_i in a_k for b_j in b_k)
            return [multiply_add(builder, *cell, x) for cell, x in zip(cells, sums, strict=True)]

        zero = constant(vector, 0.0)
        sums = carried_loop(builder, INT64(0), whole, lanes, [zero] * (count * width), step, unroll=False)
        sums = step(whole, sums, tail)
        size = count * width
        sums += [zero] * (1 << (size - 1).bit_length())  # up to a power of 2
        total = _sums_of_lanes(builder, sums[: 1 << (size - 1).bit_length()])
        total = shuffle(builder, total, total, list(range(size)))
        finish(total, builder.mul(first, INT64(width)), count, width)

    def finish(total: ir.Value, at: ir.Value, count: int, width: int) -> None:
        """The epilogue of elements that lie one after the other in c."""
        zeros = constant(total.type, 0.0)
        bias = zeros
        with_bias = builder.not_(cgutils.is_null(builder, start))
        before = builder.block
        with builder.if_then(with_bias):
            for lane in range(count * width):
                value = builder.load(builder.gep(start, [INT64(lane % width)]))
                bias = builder.insert_element(bias, value, INT32(lane))
            biased = builder.fadd(total, bias)
            inside = builder.block
        result = builder.phi(total.type)
        result.add_incoming(total, before)
        result.add_incoming(biased, inside)
        is_low = builder.fcmp_ordered("<", result, zeros)
        result = builder.select(relu, builder.select(is_low, zeros, result), result)
        with builder.if_else(cgutils.is_null(builder, mask)) as (then, otherwise):
            with then:
                store(builder, result, builder.gep(c, [at]))
            with otherwise:
                of_mask = load(builder, builder.gep(mask, [at]), total.type)
                masked = builder.select(builder.fcmp_ordered(">", of_mask, zeros), result, zeros)
                store(builder, masked, builder.gep(c, [at]))

    def all_rows(width: int) -> None:
        count = _ROWS[width - 1]
        full = builder.and_(rows, INT64(-count))

        def of(count):
            def some_rows(first, values):
                tile(first, count, width)
                return values

            return some_rows

        carried_loop(builder, INT64(0), full, count, [], of(count))
        carried_loop(builder, full, rows, 1, [], of(1))

    cases = [(builder.icmp_signed("==", columns, INT64(width)), width) for width in range(1, DOT_MAX_COLUMNS)]
    choose(builder, cases, lambda width: all_rows(width or DOT_MAX_COLUMNS))


@intrinsic
def dots(typingctx, rows, columns, k, a, a_row, b, b_column, c, start, mask, relu):
    """c (rows, columns) = relu?(start (columns,) + a (rows, k) b (k, columns)) · 1[mask > 0]?.

    1 ≤ columns ≤ DOT_MAX_COLUMNS. a's columns and b's rows are adjacent, c and mask contiguous. start and
    mask may be null. An element's order of summing depends on k alone.
    """

    def codegen(context, builder, signature, args):
        args = [*args[:-1], context.cast(builder, args[-1], relu, types.boolean)]
        call_function(context, builder, signature, args, "dots", _emit)
        return context.get_dummy_value()

    sizes = types.int64, types.int64, types.int64
    return types.void(*sizes, a, types.int64, b, types.int64, c, start, mask, relu), codegen
