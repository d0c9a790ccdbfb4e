"""log, sigmoid, tanh: without branches, like exp of exponential.py, so that loops over them are vectorized.

The algorithms and the polynomials (weighted minimax fits of the relative error) are those of vector_math.h.
Largest error found, on every 257th float32 and on samples of float64: exp 1.1 ULP (subnormal results too),
sigmoid 2.4, tanh 2.0, log 1.6, log1p 1.9; log1p_unit 2.2 in float32 and 3.4 in float64. NaN and infinities
propagate as in the C library.
"""

from __future__ import annotations

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels import vector_ir
from fastnn.kernels.numba_kernels.exponential import EXP_REST, LOG2_HIGH, LOG2_LOW, emit_exp, exp
from fastnn.kernels.numba_kernels.memory import inlined, like

# Constants come in pairs: float32's and float64's. Polynomials have their lowest power first.
# (tanh(√z) / √z − 1) / z on 0 ≤ z ≤ 0.625², for float64.
_TANH = (
    -0.33333333333332854,
    0.13333333333262115,
    -0.053968253931274364,
    0.021869487576189135,
    -0.008863221003431116,
    0.0035919891780980943,
    -0.0014549588927089078,
    0.0005863165723464976,
    -0.00022856425273040537,
    7.714439489950342e-05,
    -1.6072576571524873e-05,
)
# (log(1 + f) − f + f² / 2) / f³ on √½ − 1 ≤ f ≤ √2 − 1.
_LOG = (
    (0.3333333, -0.25000826, 0.20001233, -0.16623244, 0.14201553, -0.13161123, 0.12763433, -0.07634247),
    (
        0.3333333333333314,
        -0.24999999999987868,
        0.20000000000067167,
        -0.16666666669850724,
        0.14285714280052342,
        -0.12499999689328346,
        0.11111111147649218,
        -0.1000001529544012,
        0.09090924014377903,
        -0.0833291149424864,
        0.0769152630885732,
        -0.07149464957300591,
        0.06684651910699574,
        -0.06196529342946097,
        0.05667846105065037,
        -0.05677934734063875,
        0.06505249142627402,
        -0.059831083203700515,
        0.026149758671290886,
    ),
)
# (log(1 + t) − t) / t² on 0 ≤ t ≤ 1.
_LOG1P = (
    (
        -0.4999993,
        0.3333051,
        -0.24958564,
        0.19695279,
        -0.1535505,
        0.106799796,
        -0.057658885,
        0.020201689,
        -0.0033178425,
    ),
    (
        -0.4999999999999946,
        0.33333333333235055,
        -0.2499999999367722,
        0.19999999791337966,
        -0.1666666249866788,
        0.14285658897974837,
        -0.12499479610554468,
        0.1110750594192793,
        -0.09981014540157326,
        0.09013152007804351,
        -0.08081206623246832,
        0.07035531660684159,
        -0.05750184653080414,
        0.04229990414563202,
        -0.026743754850604966,
        0.01383843277432095,
        -0.005543022895967073,
        0.0015957090006583172,
        -0.0002917539295640739,
        2.532917966317567e-05,
    ),
)
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


def _polynomial(choices):
    """A function that gives the polynomial of the first coefficients for float32, the second for float64."""

    @intrinsic
    def polynomial(typingctx, x):
        def codegen(context, builder, signature, args):
            return vector_ir.polynomial(builder, args[0], choices[x == types.float64])

        return x(x), codegen

    return polynomial


_log_polynomial, _log1p_polynomial = map(_polynomial, (_LOG, _LOG1P))


@intrinsic
def multiply_add(typingctx, a, b, c):
    """a b + c: fused where the processor has it, in a vectorized loop and in its remainder alike."""

    def codegen(context, builder, signature, args):
        return vector_ir.multiply_add(builder, *args)

    return a(a, a, a), codegen


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
def sigmoid(x):
    """1 / (1 + e^−x), as e^x / (1 + e^x) for negative x: the exponential never overflows."""
    one = like(x, 1)
    e = exp(-abs(x))
    return (e if x < like(x, 0) else one) / (one + e)


def _emit_tanh_of_float32(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
    """(1 − e) / (1 + e) of a ≥ 0, with e = e^−2a = 2^n e^r.

    Near zero n is 0, and 1 − e keeps the digits of e^r − 1.
    """

    def of_a(value):
        return vector_ir.kept(builder, a.type, value)

    one, rounder = of_a(1.0), of_a(1.5 * 2**23 + 127)
    a = builder.select(builder.fcmp_ordered(">", a, of_a(40.0)), of_a(40.0), a)
    shifted = vector_ir.multiply_add(builder, a, of_a(-2 * math.log2(math.e)), rounder)
    minus_n = builder.fsub(rounder, shifted)
    half = vector_ir.multiply_add(builder, minus_n, of_a(LOG2_HIGH[0] / 2), builder.fneg(a))
    half = vector_ir.multiply_add(builder, minus_n, of_a(LOG2_LOW[0] / 2), half)
    r = builder.fadd(half, half)
    rest = vector_ir.polynomial(builder, r, EXP_REST[0])
    inner = vector_ir.multiply_add(builder, builder.fmul(r, r), rest, half)
    less_1 = vector_ir.multiply_add(builder, r, inner, r)
    exponent = builder.shl(builder.bitcast(shifted, _integer(a)), ir.Constant(_integer(a), 23))
    power = builder.bitcast(exponent, a.type)
    above = vector_ir.multiply_add(builder, builder.fneg(power), less_1, builder.fsub(one, power))
    below = vector_ir.multiply_add(builder, power, less_1, builder.fadd(one, power))
    return builder.fdiv(above, below)


def _emit_tanh_of_float64(builder: ir.IRBuilder, a: ir.Value) -> ir.Value:
    """Of a ≥ 0: an odd polynomial near zero, 1 − 2 / (e^2a + 1) elsewhere; the other form errs more."""
    one, two, bound = (vector_ir.kept(builder, a.type, value) for value in (1.0, 2.0, 0.625))
    z = builder.fmul(a, a)
    product = builder.fmul(z, vector_ir.polynomial(builder, z, _TANH))
    near = vector_ir.multiply_add(builder, a, product, a)
    e = emit_exp(builder, builder.fneg(builder.fmul(two, a)))
    far = builder.fsub(one, builder.fdiv(builder.fmul(two, e), builder.fadd(one, e)))
    return builder.select(builder.fcmp_ordered("<", a, bound), near, far)


@intrinsic
def tanh(typingctx, x):
    """tanh, with the sign of x."""

    def codegen(context, builder, signature, args):
        (x,) = args
        bits = builder.bitcast(x, _integer(x))
        sign = ir.Constant(bits.type, 1 << bits.type.width - 1)
        a = builder.bitcast(builder.and_(bits, builder.not_(sign)), x.type)
        single = signature.return_type == types.float32
        y = (_emit_tanh_of_float32 if single else _emit_tanh_of_float64)(builder, a)
        signed = builder.or_(builder.bitcast(y, bits.type), builder.and_(bits, sign))
        return builder.bitcast(signed, x.type)

    return x(x), codegen


@inlined
def log1p_unit(t):
    """log(1 + t) for 0 ≤ t ≤ 1."""
    return multiply_add(t * t, _log1p_polynomial(t), t)


@inlined
def log(x):
    """The natural logarithm of x = (1 + f) 2^n, √½ ≤ 1 + f < √2: −∞ of 0, NaN of what is negative."""
    zero, infinity = like(x, 0), like(x, math.inf)
    is_subnormal = x < constant(x, _SMALLEST_NORMAL)
    m, n = split_exponent(x * like(x, 2.0**54) if is_subnormal else x)
    n = n - like(x, 54) if is_subnormal else n
    f = m - like(x, 1)
    square = f * f
    y = multiply_add(f * square, _log_polynomial(f), multiply_add(like(f, -0.5), square, f))
    y = multiply_add(n, constant(x, LOG2_LOW), y)
    y = multiply_add(n, constant(x, LOG2_HIGH), y)
    y = y if x > zero else (-infinity if x == zero else like(x, math.nan))
    return x if x == infinity else y


@inlined
def log1p(x):
    """log(1 + x), corrected for what 1 + x rounds away."""
    one, zero = like(x, 1), like(x, 0)
    total = one + x
    lost = x - (total - one)
    return log(total) + (lost / total if total > zero else zero)
