/* The functions of vector_math.h for one dtype, which vector_math.h describes before it includes this file. */

VECTOR_MATH BITS NAME(to_bits)(REAL x) {
    BITS bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

VECTOR_MATH REAL NAME(from_bits)(BITS bits) {
    REAL x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 2^lift e^x, if that is a normal number, for x ≤ 0: 2^(lift + n) e^r with n = round(x / log 2), |r| ≤ log(2) / 2.
   The low bits of `rounded` are the power's exponent, with its bias. */
VECTOR_MATH REAL NAME(exp_lifted)(REAL x, const int lift) {
    REAL rounded = x * (REAL)1.4426950408889634 + (ROUND + (BIAS + lift));
    REAL n = rounded - (ROUND + (BIAS + lift));
    REAL r = x - n * LN2_HIGH - n * LN2_LOW;
    REAL square = r * r;
    REAL e_r_minus_1 = r + square * ((REAL)0.5 + r * NAME(exp_polynomial)(r, square));
    REAL power = NAME(from_bits)(NAME(to_bits)(rounded) << MANTISSA_BITS);
    return power + power * e_r_minus_1; /* the product is exact */
}

/* e^x for x ≤ 0, which is all that the kernels need; it may be subnormal. */
VECTOR_MATH REAL NAME(exp)(REAL x) {
    return NAME(exp_lifted)(x < EXP_MIN ? EXP_MIN : x, LIFT) * EXP2_MINUS_LIFT;
}

VECTOR_MATH REAL NAME(exp_minus_abs)(REAL x) {
    return NAME(exp)(NAME(from_bits)(NAME(to_bits)(x) | NAME(to_bits)((REAL)-0.0)));
}

/* 1 / (1 + e^−x), as e^x / (1 + e^x) for negative x: the exponential never overflows. */
VECTOR_MATH REAL NAME(sigmoid)(REAL x) {
    REAL e = NAME(exp_minus_abs)(x);
    return (x < 0 ? e : 1) / (1 + e);
}

/* log(1 + t) for 0 ≤ t ≤ 1. */
VECTOR_MATH REAL NAME(log1p_unit)(REAL t) {
    REAL square = t * t;
    return t + square * NAME(log1p_polynomial)(t, square);
}

/* The natural logarithm. x = 2^n (1 + f) with √½ ≤ 1 + f < √2: n and f come from the bits of x. */
VECTOR_MATH REAL NAME(log)(REAL x) {
    int subnormal = x < SMALLEST_NORMAL;
    REAL normal = subnormal ? x * ((BITS)1 << MANTISSA_BITS) : x;
    BITS low = NAME(to_bits)((REAL)0.7071067811865476);
    BITS bits = NAME(to_bits)(normal) - low + NAME(to_bits)(1);
    BITS mantissa = bits & (((BITS)1 << MANTISSA_BITS) - 1);
    REAL f = NAME(from_bits)(mantissa + low) - 1;
    /* The number bits >> MANTISSA_BITS as a REAL, without an integer conversion: AVX2 has none of 64 bits. */
    REAL whole = (REAL)((BITS)1 << MANTISSA_BITS);
    REAL n = NAME(from_bits)((bits >> MANTISSA_BITS) | NAME(to_bits)(whole)) - (whole + BIAS);
    n = subnormal ? n - MANTISSA_BITS : n;
    REAL square = f * f;
    REAL log_1_f = f - (REAL)0.5 * square + f * square * NAME(log_polynomial)(f, square);
    REAL y = log_1_f + n * LN2_LOW + n * LN2_HIGH;
    y = x > 0 ? y : (x == 0 ? -(REAL)INFINITY : (REAL)NAN);
    return x > LARGEST ? x : y;
}

/* log(1 + x), corrected for what 1 + x rounds away. */
VECTOR_MATH REAL NAME(log1p)(REAL x) {
    REAL sum = 1 + x;
    REAL lost = x - (sum - 1);
    return NAME(log)(sum) + (sum > 0 ? lost / sum : 0);
}

/* The sum of `count` adjacent elements, by partial results and then the last elements: an order that depends on
   `count` alone. */
#define LANES (VECTOR_BYTES / sizeof(REAL) < 8 ? VECTOR_BYTES / sizeof(REAL) : 8)
typedef REAL NAME(lanes) __attribute__((vector_size(LANES * sizeof(REAL))));

VECTOR_MATH REAL NAME(sum)(const REAL *x, int64_t count) {
    REAL total = 0;
    int64_t k = 0;
    if (count >= (int64_t)LANES) {
        NAME(lanes) sums, next;
        memcpy(&sums, x, sizeof sums);
        for (k = LANES; k + (int64_t)LANES <= count; k += LANES) {
            memcpy(&next, x + k, sizeof next);
            sums += next;
        }
        for (int half = LANES / 2; half; half /= 2)
            for (int lane = 0; lane < half; lane++) sums[lane] += sums[lane + half];
        total = sums[0];
    }
    for (; k < count; k++) total += x[k];
    return total;
}
#undef LANES

/* From here on, whole vectors. */
#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

VECTOR_MATH VECTOR NAME(exp_lanes)(VECTOR x) {
    REAL lanes[LANES];
    NAME(store)(lanes, x);
#pragma GCC unroll 1 /* else the loop may be unrolled before it could become vectors */
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = NAME(exp)(lanes[lane]);
    return NAME(load)(lanes);
}

VECTOR_MATH VECTOR NAME(log_lanes)(VECTOR x) {
    REAL lanes[LANES];
    NAME(store)(lanes, x);
#pragma GCC unroll 1
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = NAME(log)(lanes[lane]);
    return NAME(load)(lanes);
}

/* v with the lanes swapped that are 2^round apart. */
VECTOR_MATH VECTOR NAME(swap_lanes)(VECTOR v, const int round) {
    static const NAME(lane) from[4][16] = {{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14},
                                           {2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13},
                                           {4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11},
                                           {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7}};
    NAME(mask) lanes;
    memcpy(&lanes, from[round], sizeof lanes);
    return __builtin_shuffle(v, lanes);
}

/* The largest lane. */
VECTOR_MATH REAL NAME(largest_lane)(VECTOR v) {
#pragma GCC unroll 4
    for (int round = 0; 1 << round < LANES; round++) v = NAME(larger)(v, NAME(swap_lanes)(v, round));
    return v[0];
}

/* The maximum of `count` adjacent elements; −∞ of nothing, and a NaN may be passed over. The last vectors may
   overlap the ones before. Two chains wait half as long as one. */
VECTOR_MATH REAL NAME(max)(const REAL *x, int64_t count) {
    if (count < LANES) {
        REAL top = -(REAL)INFINITY;
        for (int64_t k = 0; k < count; k++) top = x[k] > top ? x[k] : top;
        return top;
    }
    const int64_t last = count - LANES;
    VECTOR even = NAME(load)(x), odd = NAME(load)(x + last);
    for (int64_t k = LANES; k < last; k += 2 * LANES) {
        even = NAME(larger)(NAME(load)(x + k), even);
        odd = NAME(larger)(NAME(load)(x + (k + LANES < last ? k + LANES : last)), odd);
    }
    return NAME(largest_lane)(NAME(larger)(even, odd));
}

/* Σ e^(x − top) of a row, top its maximum; the exponentials go to e, which may be x, where it isn't NULL.
   On the way *next_top becomes the maximum of `next`, another row of as many elements, at least a vector: its loads
   then wait beside the exponentials. */
VECTOR_MATH REAL NAME(exp_row)(const REAL *x, int64_t count, REAL top, REAL *e, const REAL *next, REAL *next_top) {
    VECTOR sums[ROW_SUMS] = {{0}}, tops = NAME(load)(next + count - LANES);
    int64_t k = 0;
    for (; k + LANES <= count; k += LANES) {
        const VECTOR e_k = NAME(exp_lanes)(NAME(load)(x + k) - top);
        tops = NAME(larger)(NAME(load)(next + k), tops);
        if (e) NAME(store)(e + k, e_k);
        const VECTOR sum = sums[0] + e_k; /* they take turns */
#pragma GCC unroll 4
        for (int i = 1; i < ROW_SUMS; i++) sums[i - 1] = sums[i];
        sums[ROW_SUMS - 1] = sum;
    }
    if (k < count) {
        const int rest = (int)(count - k);
        REAL lanes[LANES];
        NAME(store)(lanes, NAME(exp_lanes)(NAME(load_partial)(x + k, rest) - top));
        const VECTOR e_k = NAME(load_partial)(lanes, rest);
        if (e) NAME(store_partial)(e + k, e_k, rest);
        sums[0] += e_k;
    }
    for (int i = 1; i < ROW_SUMS; i++) sums[0] += sums[i];
    *next_top = NAME(largest_lane)(tops);
#pragma GCC unroll 4
    for (int round = 0; 1 << round < LANES; round++) sums[0] += NAME(swap_lanes)(sums[0], round);
    return sums[0][0];
}

/* dx = y (dy − Σ dy y) of a row; dx may be dy or y. */
VECTOR_MATH void NAME(softmax_backward_row)(const REAL *dy, const REAL *y, int64_t count, REAL *dx) {
    VECTOR dots[2 * ROW_SUMS] = {{0}}, last_dy = {0}, last_y = {0};
    int64_t whole = 0;
    for (; whole + 2 * ROW_SUMS * LANES <= count; whole += 2 * ROW_SUMS * LANES)
#pragma GCC unroll 8
        for (int i = 0; i < 2 * ROW_SUMS; i++)
            dots[i] += NAME(load)(dy + whole + i * LANES) * NAME(load)(y + whole + i * LANES);
    for (; whole + LANES <= count; whole += LANES) dots[0] += NAME(load)(dy + whole) * NAME(load)(y + whole);
    const int rest = (int)(count - whole), one_by_one = LANES <= 4; /* partial loads of few lanes take longer */
    if (one_by_one)
        for (int64_t k = whole; k < count; k++) dots[1][0] += dy[k] * y[k];
    else if (rest) {
        last_dy = NAME(load_partial)(dy + whole, rest);
        last_y = NAME(load_partial)(y + whole, rest);
        dots[1] += last_dy * last_y;
    }
#pragma GCC unroll 8
    for (int i = 1; i < 2 * ROW_SUMS; i++) dots[0] += dots[i];
#pragma GCC unroll 4
    for (int round = 0; 1 << round < LANES; round++) dots[0] += NAME(swap_lanes)(dots[0], round);
    for (int64_t k = 0; k < whole; k += LANES)
        NAME(store)(dx + k, NAME(load)(y + k) * (NAME(load)(dy + k) - dots[0]));
    if (one_by_one)
        for (int64_t k = whole; k < count; k++) dx[k] = y[k] * (dy[k] - dots[0][0]);
    else if (rest) NAME(store_partial)(dx + whole, last_y * (last_dy - dots[0]), rest);
}
#undef VECTOR
#undef LANES
