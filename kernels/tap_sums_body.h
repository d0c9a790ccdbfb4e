/* The register tile of the gradients by weight, for one dtype: REAL and NAME are set by convolution.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Along pixels a tile has 4 taps and as many filters as make 16 sums of 32 registers, or 8 of 16. */
#define ALONG_FILTERS (VECTOR_BYTES == 64 ? 4 : 2)

/* sum[t, j] += Σ_k x[t][k] dy[k, j] over the pixels k of a strip.

   Either the lanes are filters: dy is a panel (pixels, TILE_COLUMNS), x is broadcast, and a row of sums has
   two vectors at most. Or the lanes are adjacent pixels: dy's rows are filters, dy_row apart, and a row of
   sums has a vector of partial sums for each of them. */
typedef struct {
    int64_t taps, pixels;
    const REAL *const *x;
    const REAL *dy;
    int64_t dy_row;
    REAL *sum;
    int64_t sum_row;
} NAME(tap_sums);

FASTNN_INLINE void NAME(taps_tile)(const int taps, const int columns, const int along_pixels, int64_t t0,
                                   const NAME(tap_sums) * p) {
    VECTOR sum[TILE_ROWS][4], dy_k[4];
    const REAL *x[TILE_ROWS];
#pragma GCC unroll 8
    for (int t = 0; t < taps; t++) {
        x[t] = p->x[t0 + t];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) sum[t][j] = NAME(load)(p->sum + (t0 + t) * p->sum_row + j * LANES);
    }
    const int64_t pixels = p->pixels, dy_row = along_pixels ? p->dy_row : LANES;
    const REAL *dy = p->dy;
    const int step = along_pixels ? LANES : 1;
    int64_t k = 0;
    for (; k + step <= pixels; k += step, dy += along_pixels ? LANES : TILE_COLUMNS) {
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            dy_k[j] = NAME(load)(dy + j * dy_row);
            if (along_pixels && t0 == 0) __builtin_prefetch(dy + (columns + j) * dy_row); /* the next filters */
        }
#pragma GCC unroll 8
        for (int t = 0; t < taps; t++) {
            const VECTOR x_k = along_pixels ? NAME(load)(x[t] + k) : (VECTOR){0};
            const REAL x_t = x[t][k];
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[t][j] += along_pixels ? x_k * dy_k[j] : x_t * dy_k[j];
        }
    }
    if (k < pixels) { /* along pixels: the last, partial vector */
        const int tail = (int)(pixels - k);
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            dy_k[j] = NAME(load_partial)(dy + j * dy_row, tail);
#pragma GCC unroll 8
            for (int t = 0; t < taps; t++) sum[t][j] += NAME(load_partial)(x[t] + k, tail) * dy_k[j];
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < taps; t++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) NAME(store)(p->sum + (t0 + t) * p->sum_row + j * LANES, sum[t][j]);
}

/* All taps: tiles of `tile`, then of 4, 2 and 1. */
FASTNN_INLINE void NAME(sum_taps)(const int tile, const int columns, const int along_pixels,
                                  const NAME(tap_sums) * p) {
    int64_t t = 0;
    for (; t + tile <= p->taps; t += tile) NAME(taps_tile)(tile, columns, along_pixels, t, p);
    if (tile > 4)
        for (; t + 4 <= p->taps; t += 4) NAME(taps_tile)(4, columns, along_pixels, t, p);
    for (; t + 2 <= p->taps; t += 2) NAME(taps_tile)(2, columns, along_pixels, t, p);
    for (; t < p->taps; t++) NAME(taps_tile)(1, columns, along_pixels, t, p);
}

/* The lanes are the `columns` <= TILE_COLUMNS filters of a panel. */
static void NAME(sum_panel)(int columns, const NAME(tap_sums) * p) {
    if (columns > LANES) NAME(sum_taps)(TILE_ROWS, 2, 0, p);
    else NAME(sum_taps)(TILE_ROWS, 1, 0, p);
}

/* The lanes are pixels: sums for some of the next `filters` filters; returns how many. */
static int NAME(sum_filters)(int64_t filters, const NAME(tap_sums) * p) {
    if (ALONG_FILTERS >= 4 && filters >= 4) {
        NAME(sum_taps)(4, ALONG_FILTERS, 1, p);
        return ALONG_FILTERS;
    }
    if (filters >= 2) {
        NAME(sum_taps)(4, 2, 1, p);
        return 2;
    }
    NAME(sum_taps)(4, 1, 1, p);
    return 1;
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef ALONG_FILTERS
