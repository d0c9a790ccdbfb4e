/* exp, sigmoid, tanh and logarithms of one float (…_f32) or double (…_f64), for use inside loops, and the
   maximum and sum of a row.

   The functions of one number hold no calls, branches or tables, only arithmetic, bit casts and selects, so GCC
   turns a loop over them into vector code on every instruction set. No product is added to another product:
   what the compiler may fuse into multiply-adds is then the same in a loop's vectors and in its last few
   elements, and an element's bits don't depend on its position.

   NaN and infinities propagate as in the C library. Largest error in units in the last place, subnormal results
   included, with and without multiply-adds: over all floats exp 1.1, sigmoid 2.5, tanh 2.0; over every 97th
   float log 1.2, log1p 1.7, log1p_unit 2.7; over samples of doubles 1.1, 2.5, 1.5, 1.7, 2.1, 5.3.

   The polynomials are weighted minimax fits of the relative error, in 50-digit arithmetic. Even and odd powers
   are two chains of multiply-adds beside each other, so that the next element needn't wait as long. */
#ifndef FASTNN_VECTOR_MATH_H
#define FASTNN_VECTOR_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"

#define VECTOR_MATH static inline __attribute__((always_inline))

/* (e^r − 1 − r − r² / 2) / r³ on |r| ≤ log(2) / 2. */
VECTOR_MATH float exp_polynomial_f32(float r, float square) {
    float even = 0.008367435f;
    even = even * square + 0.16666535f;
    float odd = 0.001386343f;
    odd = odd * square + 0.04166724f;
    return even + r * odd;
}

VECTOR_MATH double exp_polynomial_f64(double r, double square) {
    double even = 2.4978152189206067e-08;
    even = even * square + 2.755764167668046e-06;
    even = even * square + 0.00019841269465228282;
    even = even * square + 0.008333333333500519;
    even = even * square + 0.16666666666666433;
    double odd = 2.7625203744599687e-07;
    odd = odd * square + 2.4801508643461177e-05;
    odd = odd * square + 0.001388888892682451;
    odd = odd * square + 0.041666666666603895;
    return even + r * odd;
}

/* (log(1 + f) − f + f² / 2) / f³ on √½ − 1 ≤ f ≤ √2 − 1. */
VECTOR_MATH float log_polynomial_f32(float f, float square) {
    float even = 0.12763433f;
    even = even * square + 0.14201553f;
    even = even * square + 0.20001233f;
    even = even * square + 0.3333333f;
    float odd = -0.07634247f;
    odd = odd * square - 0.13161123f;
    odd = odd * square - 0.16623244f;
    odd = odd * square - 0.25000826f;
    return even + f * odd;
}

VECTOR_MATH double log_polynomial_f64(double f, double square) {
    double even = 0.026149758671290886;
    even = even * square + 0.06505249142627402;
    even = even * square + 0.05667846105065037;
    even = even * square + 0.06684651910699574;
    even = even * square + 0.0769152630885732;
    even = even * square + 0.09090924014377903;
    even = even * square + 0.11111111147649218;
    even = even * square + 0.14285714280052342;
    even = even * square + 0.20000000000067167;
    even = even * square + 0.3333333333333314;
    double odd = -0.059831083203700515;
    odd = odd * square - 0.05677934734063875;
    odd = odd * square - 0.06196529342946097;
    odd = odd * square - 0.07149464957300591;
    odd = odd * square - 0.0833291149424864;
    odd = odd * square - 0.1000001529544012;
    odd = odd * square - 0.12499999689328346;
    odd = odd * square - 0.16666666669850724;
    odd = odd * square - 0.24999999999987868;
    return even + f * odd;
}

/* (log(1 + t) − t) / t² on 0 ≤ t ≤ 1. */
VECTOR_MATH float log1p_polynomial_f32(float t, float square) {
    float even = -0.0033178425f;
    even = even * square - 0.057658885f;
    even = even * square - 0.1535505f;
    even = even * square - 0.24958564f;
    even = even * square - 0.4999993f;
    float odd = 0.020201689f;
    odd = odd * square + 0.106799796f;
    odd = odd * square + 0.19695279f;
    odd = odd * square + 0.3333051f;
    return even + t * odd;
}

VECTOR_MATH double log1p_polynomial_f64(double t, double square) {
    double even = -0.0002917539295640739;
    even = even * square - 0.005543022895967073;
    even = even * square - 0.026743754850604966;
    even = even * square - 0.05750184653080414;
    even = even * square - 0.08081206623246832;
    even = even * square - 0.09981014540157326;
    even = even * square - 0.12499479610554468;
    even = even * square - 0.1666666249866788;
    even = even * square - 0.2499999999367722;
    even = even * square - 0.4999999999999946;
    double odd = 2.532917966317567e-05;
    odd = odd * square + 0.0015957090006583172;
    odd = odd * square + 0.01383843277432095;
    odd = odd * square + 0.04229990414563202;
    odd = odd * square + 0.07035531660684159;
    odd = odd * square + 0.09013152007804351;
    odd = odd * square + 0.1110750594192793;
    odd = odd * square + 0.14285658897974837;
    odd = odd * square + 0.19999999791337966;
    odd = odd * square + 0.33333333333235055;
    return even + t * odd;
}

/* A row's vectors of sums: short vectors have more of them, for sums of as few numbers. */
#define ROW_SUMS (64 / VECTOR_BYTES)

#define REAL float
#define BITS uint32_t
#define NAME(name) name##_f32
#define MANTISSA_BITS 23
#define BIAS 127
#define SMALLEST_NORMAL 0x1p-126f
#define LARGEST 0x1.fffffep127f
#define ROUND 0x1.8p23f /* the sum x + ROUND has no fraction bits, and its low bits are round(x) */
#define LN2_HIGH 0.693145751953125f /* 16 bits: n LN2_HIGH is exact */
#define LN2_LOW 1.4286068e-06f
#define EXP_MIN (-105.0f) /* below, e^x rounds to 0 */
#define LIFT 64
#define EXP2_MINUS_LIFT 0x1p-64f
#include "vector_math_body.h"
#undef REAL
#undef BITS
#undef NAME
#undef MANTISSA_BITS
#undef BIAS
#undef SMALLEST_NORMAL
#undef LARGEST
#undef ROUND
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_MIN
#undef LIFT
#undef EXP2_MINUS_LIFT

#define REAL double
#define BITS uint64_t
#define NAME(name) name##_f64
#define MANTISSA_BITS 52
#define BIAS 1023
#define SMALLEST_NORMAL 0x1p-1022
#define LARGEST 0x1.fffffffffffffp1023
#define ROUND 0x1.8p52
#define LN2_HIGH 0x1.62e42fefa3p-1 /* 41 bits */
#define LN2_LOW 2.8235290563031577e-13
#define EXP_MIN (-750.0)
#define LIFT 512
#define EXP2_MINUS_LIFT 0x1p-512
#include "vector_math_body.h"
#undef REAL
#undef BITS
#undef NAME
#undef MANTISSA_BITS
#undef BIAS
#undef SMALLEST_NORMAL
#undef LARGEST
#undef ROUND
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_MIN
#undef LIFT
#undef EXP2_MINUS_LIFT

/* (1 − e) / (1 + e) with e = e^−2|x| = 2^n e^r as in exp_lifted, and the sign of x. Near zero n is 0, and 1 − e keeps
   the digits of e^r − 1. Half of r is there before r, and spares a rounding. */
VECTOR_MATH float tanh_f32(float x) {
    float a = x < 0 ? -x : x;
    a = a > 40 ? 40 : a;
    float rounded = a * -2.885390f + (0x1.8p23f + 127);
    float n = rounded - (0x1.8p23f + 127);
    float half = -a - n * (0.693145751953125f / 2) - n * (1.4286068e-06f / 2);
    float r = half + half, square = r * r;
    float e_r_minus_1 = r + r * (half + square * exp_polynomial_f32(r, square));
    float power = from_bits_f32(to_bits_f32(rounded) << 23);
    float y = ((1 - power) - power * e_r_minus_1) / ((1 + power) + power * e_r_minus_1); /* the products are exact */
    return from_bits_f32(to_bits_f32(y) | (to_bits_f32(x) & to_bits_f32(-0.0f)));
}

/* (tanh(√z) / √z − 1) / z on 0 ≤ z ≤ 0.625². */
VECTOR_MATH double tanh_polynomial_f64(double z, double square) {
    double even = -1.6072576571524873e-05;
    even = even * square - 0.00022856425273040537;
    even = even * square - 0.0014549588927089078;
    even = even * square - 0.008863221003431116;
    even = even * square - 0.053968253931274364;
    even = even * square - 0.33333333333332854;
    double odd = 7.714439489950342e-05;
    odd = odd * square + 0.0005863165723464976;
    odd = odd * square + 0.0035919891780980943;
    odd = odd * square + 0.021869487576189135;
    odd = odd * square + 0.13333333333262115;
    return even + z * odd;
}

/* That form's error is above 2 units for doubles. So: an odd polynomial near zero, 1 − 2 / (e^2|x| + 1) with the sign of
   x elsewhere. */
VECTOR_MATH double tanh_f64(double x) {
    double a = x < 0 ? -x : x;
    double z = a * a;
    double near = a + a * (z * tanh_polynomial_f64(z, z * z));
    double e = exp_lifted_f64(a > 40 ? -80 : -2 * a, 0);
    double far = 1 - (e + e) / (1 + e);
    double y = a < 0.625 ? near : far;
    return from_bits_f64(to_bits_f64(y) | (to_bits_f64(x) & to_bits_f64(-0.0)));
}

#endif
