/* turn.h for one dtype: REAL and NAME are set there. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* v[i] = row i of a block (rows, columns) of at most LANES x LANES, zeros around it. */
FASTNN_INLINE void NAME(load_rows)(const REAL *from, int64_t from_row, int rows, int columns, VECTOR *v) {
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        v[i] = i >= rows          ? (VECTOR){0}
               : columns == LANES ? NAME(load)(from + i * from_row)
                                  : NAME(load_partial)(from + i * from_row, columns);
}

/* Transpose v, `count` vectors of as many lanes (or side by side, twice as many), by log2(count) rounds, each of which
   swaps the off-diagonal blocks of 1, 2, 4, … lanes between rows as far apart. */
#define FASTNN_LOW(lane, step) ((lane) & (step) ? LANES + (lane) - (step) : (lane))
#define FASTNN_HIGH(lane, step) ((lane) & (step) ? LANES + (lane) : (lane) + (step))
#define FASTNN_BESIDE(lane, step) ((lane) < LANES / 2 ? (lane) : LANES / 2 + (lane))
#define FASTNN_EACH_4(f, lane, step) f(lane, step), f(lane + 1, step), f(lane + 2, step), f(lane + 3, step)
#define FASTNN_EACH_16(f, step)                                                                              \
    {FASTNN_EACH_4(f, 0, step), FASTNN_EACH_4(f, 4, step), FASTNN_EACH_4(f, 8, step), FASTNN_EACH_4(f, 12, step)}
FASTNN_INLINE void NAME(turn_blocks)(const int count, VECTOR *v) {
    typedef NAME(lane) LANE; /* an integer of REAL's size */
    static const LANE low[4][16] = {FASTNN_EACH_16(FASTNN_LOW, 1), FASTNN_EACH_16(FASTNN_LOW, 2),
                                    FASTNN_EACH_16(FASTNN_LOW, 4), FASTNN_EACH_16(FASTNN_LOW, 8)};
    static const LANE high[4][16] = {FASTNN_EACH_16(FASTNN_HIGH, 1), FASTNN_EACH_16(FASTNN_HIGH, 2),
                                     FASTNN_EACH_16(FASTNN_HIGH, 4), FASTNN_EACH_16(FASTNN_HIGH, 8)};
#pragma GCC unroll 4
    for (int round = 0; 1 << round < count; round++) {
        const int step = 1 << round;
        MASK take_low, take_high;
        memcpy(&take_low, low[round], sizeof take_low);
        memcpy(&take_high, high[round], sizeof take_high);
#pragma GCC unroll 16
        for (int i = 0; i < count; i++)
            if (!(i & step)) {
                const VECTOR upper = v[i], lower = v[i + step];
                v[i] = __builtin_shuffle(upper, lower, take_low);
                v[i + step] = __builtin_shuffle(upper, lower, take_high);
            }
    }
}
FASTNN_INLINE void NAME(turn)(VECTOR *v) { NAME(turn_blocks)(LANES, v); }

/* The same of vectors whose upper halves are empty, to LANES / 2 vectors: the lower half of the rows goes beside the
   upper one first, which leaves half of the swaps. */
FASTNN_INLINE void NAME(turn_narrow)(VECTOR *v) {
    typedef NAME(lane) LANE;
    static const LANE halves[16] = {FASTNN_EACH_4(FASTNN_BESIDE, 0, ), FASTNN_EACH_4(FASTNN_BESIDE, 4, ),
                                    FASTNN_EACH_4(FASTNN_BESIDE, 8, ), FASTNN_EACH_4(FASTNN_BESIDE, 12, )};
    MASK take_halves;
    memcpy(&take_halves, halves, sizeof take_halves);
#pragma GCC unroll 8
    for (int i = 0; i < LANES / 2; i++) v[i] = __builtin_shuffle(v[i], v[i + LANES / 2], take_halves);
    NAME(turn_blocks)(LANES / 2, v);
}
#undef FASTNN_BESIDE
#undef FASTNN_LOW
#undef FASTNN_HIGH
#undef FASTNN_EACH_4
#undef FASTNN_EACH_16

#undef VECTOR
#undef MASK
#undef LANES
