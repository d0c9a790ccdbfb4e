/* Lanes in other orders, for one dtype: REAL and NAME are set by lanes.h. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* The lanes of even numbers of two vectors. */
FASTNN_INLINE VECTOR NAME(even_lanes)(VECTOR first, VECTOR second) {
    MASK even;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) even[lane] = 2 * lane;
    return __builtin_shuffle(first, second, even);
}

/* The lanes of odd numbers of two vectors. */
FASTNN_INLINE VECTOR NAME(odd_lanes)(VECTOR first, VECTOR second) {
    MASK odd;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) odd[lane] = 2 * lane + 1;
    return __builtin_shuffle(first, second, odd);
}

/* The lanes of two vectors by turns: vector 0 or 1 of both. */
FASTNN_INLINE VECTOR NAME(interleave)(VECTOR even, VECTOR odd, const int number) {
    MASK turns;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) turns[lane] = (number * LANES + lane) / 2 + (lane & 1) * LANES;
    return __builtin_shuffle(even, odd, turns);
}

/* The lower halves of two vectors. */
FASTNN_INLINE VECTOR NAME(lower_halves)(VECTOR first, VECTOR second) {
    MASK halves;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) halves[lane] = lane < LANES / 2 ? lane : LANES + lane - LANES / 2;
    return __builtin_shuffle(first, second, halves);
}

/* The upper half, at the place of the lower. */
FASTNN_INLINE VECTOR NAME(upper_half)(VECTOR v) {
    MASK upper;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) upper[lane] = (lane + LANES / 2) % LANES;
    return __builtin_shuffle(v, upper);
}

#undef VECTOR
#undef MASK
#undef LANES
