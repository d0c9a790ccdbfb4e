"""e^x of a number, for use in loops that are vectorized, and of a vector, in LLVM IR: the same bits."""

from __future__ import annotations

import math

from llvmlite import ir
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    constant,
    element_type,
    kept,
    multiply_add,
    polynomial,
    size_of,
)

# Constants come in pairs: float32's and float64's. Polynomials have their lowest power first.
# (e^r − 1 − r − r² / 2) / r³ on |r| ≤ log(2) / 2.
EXP_REST = (
    (0.16666535, 0.04166724, 0.008367435, 0.001386343),
    (
        0.16666666666666433,
        0.041666666666603895,
        0.008333333333500519,
        0.001388888892682451,
        0.00019841269465228282,
        2.4801508643461177e-05,
        2.755764167668046e-06,
        2.7625203744599687e-07,
        2.4978152189206067e-08,
    ),
)
# log 2 in two parts: the first has so few bits that its product with an exponent is exact.
LOG2_HIGH = (0.693145751953125, 0.693147180559663)
LOG2_LOW = (1.4286068e-06, 2.8235290563031577e-13)
# Adding 1.5 · 2^(bits of the fraction) rounds to an integer, that stands in the sum's lowest bits.
_ROUNDER = (1.5 * 2**23, 1.5 * 2**52)
# Below, e^x rounds to 0.
_EXP_MIN = (-105.0, -750.0)
_FRACTION_BITS = (23, 52)
_BIAS = (127, 1023)
# 2^n is lifted by so much that it is a normal number for every e^x that is not 0.
_LIFT = (64, 512)


def emit_exp(builder: ir.IRBuilder, x: ir.Value) -> ir.Value:
    """e^x for x ≤ 0, which is all that is needed: 2^n e^r with n = round(x / log 2), |r| ≤ log(2) / 2."""
    choice = int(size_of(element_type(x.type)) == 8)
    integer = ir.IntType(8 * size_of(element_type(x.type)))
    integers = ir.VectorType(integer, x.type.count) if isinstance(x.type, ir.VectorType) else integer

    def of_x(value):
        return kept(builder, x.type, value)

    lift = _LIFT[choice]
    # The low bits of `shifted` are the power's exponent, with its bias.
    low, rounder = of_x(_EXP_MIN[choice]), of_x(_ROUNDER[choice] + _BIAS[choice] + lift)
    x = builder.select(builder.fcmp_ordered("<", x, low), low, x)
    shifted = multiply_add(builder, x, of_x(math.log2(math.e)), rounder)
    minus_n = builder.fsub(rounder, shifted)
    r = multiply_add(builder, minus_n, of_x(LOG2_HIGH[choice]), x)
    r = multiply_add(builder, minus_n, of_x(LOG2_LOW[choice]), r)
    second = multiply_add(builder, r, polynomial(builder, r, EXP_REST[choice]), of_x(0.5))
    less_1 = multiply_add(builder, builder.fmul(r, r), second, r)
    exponent = builder.shl(builder.bitcast(shifted, integers), constant(integers, _FRACTION_BITS[choice]))
    power = builder.bitcast(exponent, x.type)
    lifted = multiply_add(builder, power, less_1, power)  # the product is exact
    return builder.fmul(lifted, of_x(2.0**-lift))


@intrinsic
def exp(typingctx, x):
    """e^x for x ≤ 0."""

    def codegen(context, builder, signature, args):
        return emit_exp(builder, args[0])

    return x(x), codegen
