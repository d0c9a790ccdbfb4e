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

from fastnn.kernels.numba_kernels.vector_ir import INT32, INT64, first_lanes, load

_LANES = 32


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
            half = _LANES // 2
            while half > 0:
                low, high = (
                    builder.shuffle_vector(
                        result, result, ir.Constant(ir.VectorType(INT32, half), list(lanes))
                    )
                    for lanes in (range(half), range(half, 2 * half))
                )
                result = combine(builder, low, high)
                half //= 2
            return builder.extract_element(result, INT32(0))

        return x.dtype(x, types.int64), codegen

    reduce.__doc__ = meaning
    return reduce


def _add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.fadd(a, b)


def _larger_number(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    return builder.select(builder.fcmp_ordered(">", b, a), b, a)


def larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The larger one, or a NaN: in two steps, the first of which is one instruction."""
    return builder.select(builder.fcmp_unordered("uno", b, b), b, _larger_number(builder, a, b))


row_sum = _reduction(_add, 0.0, "Σ of the `count` elements at x.")
row_max_number = _reduction(
    _larger_number, -math.inf, "The maximum of the `count` elements at x; a NaN may be passed over."
)
row_max = _reduction(larger, -math.inf, "The maximum of the `count` elements at x; a NaN wins.")
