"""Reductions of a row, in registers: 32 partial results, then those by halves.

The order depends on the row's length alone: a row has the same sum in any batch, on any instruction set.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import INT32, INT64, first_lanes, load, shuffle

_LANES = 32


def halve(builder: ir.IRBuilder, x: ir.Value, combine: Callable[[ir.Value, ir.Value], ir.Value]) -> ir.Value:
    """All lanes combined: the lower half with the upper one, until one lane is left."""
    while x.type.count > 1:
        half = x.type.count // 2
        x = combine(*(shuffle(builder, x, x, list(range(at, at + half))) for at in (0, half)))
    return builder.extract_element(x, INT32(0))


def _reduction(combine: Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value], neutral: float, meaning: str):
    """An intrinsic that combines the `count` elements at a pointer; of none it is `neutral`."""

    @intrinsic
    def reduce(typingctx, x, count):
        def codegen(context, builder, signature, args):
            pointer, size = args
            vector = ir.VectorType(context.get_data_type(x.dtype), _LANES)
            neutral_lanes = ir.Constant(vector, [neutral] * _LANES)
            partial = cgutils.alloca_once_value(builder, neutral_lanes)
            whole = builder.and_(size, INT64(-_LANES))
            with cgutils.for_range_slice(builder, INT64(0), whole, INT64(_LANES), INT64) as (j, _):
                row = load(builder, builder.gep(pointer, [j]), vector)
                builder.store(combine(builder, builder.load(partial), row), partial)
            mask = first_lanes(builder, builder.sub(size, whole), _LANES)
            tail = load(builder, builder.gep(pointer, [whole]), vector, mask, neutral_lanes)
            result = combine(builder, builder.load(partial), tail)
            return halve(builder, result, lambda a, b: combine(builder, a, b))

        return x.dtype(x, types.int64), codegen

    reduce.__doc__ = meaning
    return reduce


def _add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.fadd(a, b)


def larger_number(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The larger one; a, if b is NaN."""
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


def larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The larger one, or a NaN: in two steps, the first of which is one instruction."""
    return builder.select(builder.fcmp_unordered("uno", b, b), b, larger_number(builder, a, b))


row_sum = _reduction(_add, 0.0, "Σ of the `count` elements at x.")
row_max_number = _reduction(
    larger_number, -math.inf, "The maximum of the `count` elements at x; a NaN may be passed over."
)
row_max = _reduction(larger, -math.inf, "The maximum of the `count` elements at x; a NaN wins.")
