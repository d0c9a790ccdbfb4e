"""exp, log, sigmoid, tanh: without branches, so that loops over them are vectorized.

Each is a reduction of its argument and a polynomial (minimax, by Remez' algorithm), in float32 and float64
alike. Error bounds, of float32 and float64: exp 1 ULP, sigmoid 2.5, tanh 2, log and log1p 1.5. Zeros,
subnormals, infinities and NaN come out as C's functions have them.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .memory import inlined, like

# (e^r − 1 − r) / r² on |r| ≤ ½ log 2, least error relative to e^r − 1: (float32, float64), lowest power first.
_EXP = (
    (0.500000006265, 0.166665420486, 0.0416662790909, 0.00836671063258, 0.00139466694679),
    (
        0.50000000000000056564,
        0.1666666666666668636,
        0.041666666666572199654,
        0.0083333333333143112901,
        0.0013888888932877535439,
        0.00019841269903723491392,
        0.000024801503813605746054,
        2.7557227271761977564e-6,
        2.7626589450536849712e-7,
        2.5114705919787859321e-8,
    ),
)
# (log((1 + s) / (1 − s)) − 2 s) / s³ over z = s² for (1 + s) / (1 − s) between √½ and √2.
_LOG = (
    (0.66666778065777521711, 0.39977311098930698083, 0.29878456330237694274),
    (
        0.66666666666667368599,
        0.39999999999396559132,
        0.28571428746799518098,
        0.22222198084151046967,
        0.18183591508060178062,
        0.15313312438938557445,
        0.1480374077061092153,
    ),
)
# log 2 in two parts: the first has so few bits that its product with an exponent is exact.
_LOG2_HIGH = (0.693359375, 6.93147180369123816490e-01)
_LOG2_LOW = (-2.12194440e-4, 1.90821492927058770002e-10)
_LOG2E = (math.log2(math.e), math.log2(math.e))
# Adding 1.5 · 2^(bits of the fraction) rounds to an integer, that stands in the sum's lowest bits.
_ROUNDER = (1.5 * 2**23, 1.5 * 2**52)
# Arguments beyond which e^x is infinity or 0 even when rounded from its subnormals.
_EXP_MAX = (89.0, 710.0)
_EXP_MIN = (-104.0, -746.0)
_SMALLEST_NORMAL = (2.0**-126, 2.0**-1022)
_FRACTION_BITS = {types.float32: 23, types.float64: 52}


def _integer(value: ir.Value) -> ir.IntType:
    """The integer type of a float's width."""
    return ir.IntType(32 if isinstance(value.type, ir.FloatType) else 64)


@intrinsic
def constant(typingctx, x, choices):
    """A constant in the dtype of `x`: the first of two for float32, the second for float64."""

    def codegen(context, builder, signature, args):
        index = 0 if signature.return_type == types.float32 else 1
        return context.cast(
            builder, builder.extract_value(args[1], index), choices.dtype, signature.return_type
        )

    return x(x, choices), codegen


@intrinsic
def polynomial(typingctx, x, choices):
    """Σ c[i] x^i by Horner's rule; `choices` holds float32's and float64's c."""

    def codegen(context, builder, signature, args):
        index = 0 if signature.return_type == types.float32 else 1
        row = builder.extract_value(args[1], index)
        coefficients = [
            context.cast(builder, value, types.float64, signature.return_type)
            for value in cgutils.unpack_tuple(builder, row)
        ]
        result = coefficients.pop()
        while coefficients:
            result = multiply_add_ir(builder, result, args[0], coefficients.pop())
        return result

    return x(x, choices), codegen


def multiply_add_ir(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a b + c: fused where the processor has it, in the vectorized loop and in its remainder alike."""
    return builder.call(builder.module.declare_intrinsic("llvm.fmuladd", [a.type]), [a, b, c])


@intrinsic
def multiply_add(typingctx, a, b, c):
    """a b + c, rounded once where the processor has a fused multiply-add."""

    def codegen(context, builder, signature, args):
        return multiply_add_ir(builder, *args)

    return a(a, a, a), codegen


@intrinsic
def scale(typingctx, y, shifted):
    """y · 2^n, where `shifted` is n + _ROUNDER; in two steps, for 2^n itself may overflow or be subnormal."""

    def codegen(context, builder, signature, args):
        y, shifted = args
        integer = _integer(y)
        fraction_bits = _FRACTION_BITS[signature.return_type]
        exponent_mask = 2 ** (integer.width - 1 - fraction_bits) - 1
        rounder = context.get_constant(signature.return_type, _ROUNDER[integer.width == 64])
        n = builder.sub(builder.bitcast(shifted, integer), builder.bitcast(rounder, integer))
        half = builder.ashr(n, integer(1))
        for exponent in (half, builder.sub(n, half)):
            biased = builder.add(exponent, integer(exponent_mask >> 1))
            power = builder.bitcast(builder.shl(biased, integer(fraction_bits)), y.type)
            y = builder.fmul(y, power)
        return y

    return y(y, y), codegen


@intrinsic
def split_exponent(typingctx, x):
    """(m, n) with x = m · 2^n and m in [√½, √2), both floats, for positive normal x."""

    def codegen(context, builder, signature, args):
        (x,) = args
        integer = _integer(x)
        fraction_bits = integer(_FRACTION_BITS[signature.args[0]])
        bits = builder.bitcast(x, integer)
        smallest = builder.bitcast(context.get_constant(signature.args[0], math.sqrt(0.5)), integer)
        n = builder.ashr(builder.sub(bits, smallest), fraction_bits)
        m = builder.bitcast(builder.sub(bits, builder.shl(n, fraction_bits)), x.type)
        return context.make_tuple(builder, signature.return_type, [m, builder.sitofp(n, x.type)])

    return types.UniTuple(x, 2)(x), codegen


@inlined
def _reduce(x):
    """(r, shifted) with x = r + n log 2, |r| ≤ ½ log 2 and shifted = n + _ROUNDER."""
    shifted = multiply_add(x, constant(x, _LOG2E), constant(x, _ROUNDER))
    n = shifted - constant(x, _ROUNDER)
    r = multiply_add(-n, constant(x, _LOG2_HIGH), x)
    return multiply_add(-n, constant(x, _LOG2_LOW), r), shifted


@inlined
def exp(x):
    """e^x."""
    high, low = constant(x, _EXP_MAX), constant(x, _EXP_MIN)
    x = high if x > high else x
    x = low if x < low else x
    r, shifted = _reduce(x)
    expm1 = multiply_add(polynomial(r, _EXP), r * r, r)
    return scale(expm1 + like(x, 1), shifted)


@inlined
def sigmoid(x):
    """1 / (1 + e^−x), from e^−|x|, which can't overflow."""
    one = like(x, 1)
    e = exp(-abs(x))
    return (e if x < like(x, 0) else one) / (one + e)


@inlined
def tanh(x):
    """(e^2x − 1) / (e^2x + 1), from e^2x − 1, which is exact enough near 0."""
    one, limit = like(x, 1), like(x, 20)  # tanh(20) rounds to 1 in float64
    y = limit if x > limit else x
    y = -limit if y < -limit else y
    r, shifted = _reduce(y + y)
    power = scale(one, shifted)
    expm1 = multiply_add(power, multiply_add(polynomial(r, _EXP), r * r, r), power - one)
    return math.copysign(expm1 / (expm1 + like(x, 2)), x)


@inlined
def log(x):
    """The natural logarithm: −∞ of 0, NaN of what is negative."""
    zero, one = like(x, 0), like(x, 1)
    is_small = x < constant(x, _SMALLEST_NORMAL)
    m, n = split_exponent(x * like(x, 2.0**54) if is_small else x)
    n = n - like(x, 54) if is_small else n
    f = m - one
    s = f / (f + like(x, 2))
    z = s * s
    # log(1 + f) = f − (f²/2 − s (f²/2 + z polynomial(z))): f leads, and f is exact.
    half_square = like(x, 0.5) * f * f
    tail = multiply_add(s, multiply_add(z, polynomial(z, _LOG), half_square), n * constant(x, _LOG2_LOW))
    y = multiply_add(n, constant(x, _LOG2_HIGH), f - (half_square - tail))
    infinity = like(x, math.inf)
    y = x if x == infinity else y
    y = -infinity if x == zero else y
    return like(x, math.nan) if not x >= zero else y


@inlined
def log1p(x):
    """log(1 + x), for x from −1 to any finite number: what 1 + x rounds off is put back."""
    one = like(x, 1)
    u = one + x
    lost = (x - (u - one)) / u
    return log(u) + (lost if u > like(x, 0) else like(x, 0))
