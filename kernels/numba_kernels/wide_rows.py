"""Rows of more columns than turned_rows.py takes, so of more than a vector's: vectors along the row.

A row has a few vectors of sums, whose lanes are added up at its end: an order that depends on the
row's length and the width of a vector alone.
"""

from __future__ import annotations

import functools
import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.exponential import emit_exp
from fastnn.kernels.numba_kernels.reductions import halve, larger_number
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
    multiply_add,
    store,
)

# Vectors of a row's sum, which take turns: one alone would round twice as often.
_SUMS = 4


class _Rows:
    """The code of a loop over the rows of matrices (rows, columns), each a loop over its vectors."""

    def __init__(self, builder, real, rows, columns):
        self.builder, self.rows, self.columns = builder, rows, columns
        self.lanes = lanes_of(real)
        self.vector = ir.VectorType(real, self.lanes)
        self.whole = builder.and_(columns, INT64(-self.lanes))
        self.last = builder.sub(columns, INT64(self.lanes))
        self.has_last = builder.icmp_signed("<", self.whole, columns)
        before = builder.sub(self.whole, self.last)
        self.is_new = builder.not_(first_lanes(builder, before, self.lanes))

    def row(self, matrix: ir.Value, i: ir.Value) -> ir.Value:
        return self.builder.gep(matrix, [self.builder.mul(i, self.columns)])

    def over_vectors(self, rows: list[ir.Value], values: list[ir.Value], step) -> list[ir.Value]:
        """values = step(k, values, [the vector at k of each row], None), vector after vector.

        A last one, if there is a rest, overlaps the one before, and is loaded before anything is stored: the
        row may be overwritten. Its mask has the lanes that are new. (What a masked store leaves alone it
        still keeps from being loaded, for a while, and that is the next row.)
        """
        builder = self.builder

        def load_at(k):
            return [load(builder, builder.gep(row, [k]), self.vector) for row in rows]

        def whole(k, values):
            return step(k, values, load_at(k), None)

        at_last = load_at(self.last)
        values = carried_loop(builder, INT64(0), self.whole, self.lanes, values, whole, unroll=False)
        before = builder.block
        with builder.if_then(self.has_last):
            updated = step(self.last, values, at_last, self.is_new)
            inside = builder.block
        results = []
        for value, with_last in zip(values, updated, strict=True):
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phi.add_incoming(with_last, inside)
            results.append(phi)
        return results


def _emit_exp(builder, real, x, rows, columns, is_last, e, top, total) -> None:
    o = _Rows(builder, real, rows, columns)
    zeros, lowest = constant(o.vector, 0.0), constant(o.vector, -math.inf)

    def of_all_rows(has_e: bool) -> None:
        def row(i, values):
            (largest,) = values
            top_lanes = broadcast(builder, largest, o.lanes)
            x_row, e_row = o.row(x, i), o.row(e, i)
            is_end = builder.and_(is_last, builder.icmp_signed("==", i, builder.sub(rows, INT64(1))))
            next_row = builder.select(is_end, x_row, builder.gep(x_row, [columns]))

            def step(k, values, loaded, is_new):
                (maxima, oldest, *sums), (x_k, next_k) = values, loaded
                e_k = emit_exp(builder, builder.fsub(x_k, top_lanes))
                if has_e:
                    store(builder, e_k, builder.gep(e_row, [k]))
                if is_new is not None:
                    e_k = builder.select(is_new, e_k, zeros)
                return [larger_number(builder, maxima, next_k), *sums, builder.fadd(oldest, e_k)]

            maxima, *sums = o.over_vectors([x_row, next_row], [lowest] + _SUMS * [zeros], step)
            builder.store(largest, builder.gep(top, [i]))
            builder.store(
                halve(builder, functools.reduce(builder.fadd, sums), builder.fadd), builder.gep(total, [i])
            )
            return [halve(builder, maxima, lambda a, b: larger_number(builder, a, b))]

        (following,) = carried_loop(builder, INT64(0), rows, 1, [builder.load(top)], row)
        builder.store(following, builder.gep(top, [rows]))

    is_null = builder.icmp_unsigned("==", e, ir.Constant(e.type, None))
    choose(builder, [(is_null, "null")], lambda case: of_all_rows(case != "null"))


@intrinsic
def exp_wide(typingctx, x, rows, columns, is_last, e, top, total):
    """top[i] = max_j x[i, j], e[i, j] = e^(x[i, j] − top[i]), total[i] = Σ_j e[i, j], where top[0] is given.

    e may be x or null. top[rows] becomes the maximum of the row that follows, if this block isn't the last:
    the loads of the next row wait beside the exponentials. A NaN may be passed over by the maximum.
    """

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "exp_wide", _emit_exp)
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64, types.boolean, e, top, total), codegen


def _emit_scale(builder, real, x, rows, columns, subtrahend, factor, addend, y) -> None:
    o = _Rows(builder, real, rows, columns)

    def row(i, values):
        x_row, y_row = o.row(x, i), o.row(y, i)
        of_row = (builder.load(builder.gep(values, [i])) for values in (subtrahend, factor, addend))
        subtrahend_i, factor_i, addend_i = (broadcast(builder, value, o.lanes) for value in of_row)

        def step(k, values, loaded, is_new):
            product = builder.fmul(factor_i, builder.fsub(loaded[0], subtrahend_i))
            store(builder, builder.fadd(product, addend_i), builder.gep(y_row, [k]))
            return values

        return o.over_vectors([x_row], values, step)

    carried_loop(builder, INT64(0), rows, 1, [], row)


@intrinsic
def scale_wide(typingctx, x, rows, columns, subtrahend, factor, addend, y):
    """y[i, j] = factor[i] (x[i, j] − subtrahend[i]) + addend[i]; y may be x."""

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "scale_wide", _emit_scale)
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64, subtrahend, factor, addend, y), codegen


def _emit_backward(builder, real, dy, y, rows, columns, dx) -> None:
    o = _Rows(builder, real, rows, columns)
    zeros = constant(o.vector, 0.0)

    def row(i, values):
        operands, dx_row = [o.row(dy, i), o.row(y, i)], o.row(dx, i)

        def add(k, sums, loaded, is_new):
            dy_k, y_k = loaded
            if is_new is not None:
                dy_k, y_k = (builder.select(is_new, value, zeros) for value in loaded)
            return [*sums[1:], multiply_add(builder, dy_k, y_k, sums[0])]

        sums = o.over_vectors(operands, _SUMS * [zeros], add)
        dot = halve(builder, functools.reduce(builder.fadd, sums), builder.fadd)
        dot = broadcast(builder, dot, o.lanes)

        def scale(k, values, loaded, is_new):
            dy_k, y_k = loaded
            store(builder, builder.fmul(y_k, builder.fsub(dy_k, dot)), builder.gep(dx_row, [k]))
            return values

        return o.over_vectors(operands, values, scale)

    carried_loop(builder, INT64(0), rows, 1, [], row)


@intrinsic
def softmax_backward_wide(typingctx, dy, y, rows, columns, dx):
    """dx[i, j] = y[i, j] (dy[i, j] − Σ_j dy[i, j] y[i, j]); dx may be dy or y."""

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "softmax_backward_wide", _emit_backward)
        return context.get_dummy_value()

    return types.void(dy, y, types.int64, types.int64, dx), codegen
