/* Lanes in other orders, for one dtype: REAL and NAME are set by who includes this file. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* The lanes of two vectors by turns: vector 0 or 1 of both. */
FASTNN_INLINE VECTOR NAME(interleave)(VECTOR even, VECTOR odd, const int number) {
    MASK turns;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) turns[lane] = (number * LANES + lane) / 2 + (lane & 1) * LANES;
    return __builtin_shuffle(even, odd, turns);
}

#undef VECTOR
#undef MASK
#undef LANES
