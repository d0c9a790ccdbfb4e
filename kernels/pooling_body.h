/* Max and average pooling, for one dtype: REAL and NAME are set by pooling.h. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

FASTNN_INLINE VECTOR NAME(select)(MASK mask, VECTOR yes, VECTOR no) {
    return (VECTOR)(((MASK)yes & mask) | ((MASK)no & ~mask));
}

/* Where the value after `best` in a window's order takes its place: it is larger, or a NaN. */
FASTNN_INLINE MASK NAME(takes)(VECTOR value, VECTOR best) { return (value > best) | (value != value); }

/* A window's result so far and one more value: their sum, or the maximum, where a NaN wins. */
FASTNN_INLINE VECTOR NAME(combine)(const int average, VECTOR best, VECTOR value) {
    return average ? best + value : NAME(select)(NAME(takes)(value, best), value, best);
}

/* The first `count` lanes, which may be 0 or more than there are. */
FASTNN_INLINE VECTOR NAME(load_some)(const REAL *from, int64_t count) {
    return count >= LANES ? NAME(load)(from) : NAME(load_partial)(from, (int)larger(0, count));
}
FASTNN_INLINE void NAME(store_some)(REAL *to, VECTOR v, int64_t count) {
    if (count >= LANES) NAME(store)(to, v);
    else if (count > 0) NAME(store_partial)(to, v, (int)count);
}

/* --- 2 x 2 windows side by side ----------------------------------------------------------------------- */

FASTNN_INLINE void NAME(pool_pairs)(const int average, const pooling *o, const REAL *x, REAL *y) {
    for (int64_t p = 0; p < o->out_h; p++, x += 2 * o->w, y += o->out_w)
        for (int64_t q = 0; q < o->out_w; q += LANES) {
            const int64_t left = 2 * (o->out_w - q);
            VECTOR half[2];
#pragma GCC unroll 2
            for (int i = 0; i < 2; i++) {
                const REAL *at = x + 2 * q + i * LANES;
                half[i] = NAME(combine)(average, NAME(load_some)(at, left - i * LANES),
                                        NAME(load_some)(at + o->w, left - i * LANES));
            }
            const VECTOR best = NAME(combine)(average, NAME(even_lanes)(half[0], half[1]),
                                              NAME(odd_lanes)(half[0], half[1]));
            NAME(store_some)(y + q, average ? best / 4 : best, o->out_w - q);
        }
}

/* Two columns of vectors, even and odd, as a row. */
FASTNN_INLINE void NAME(store_pairs)(VECTOR even, VECTOR odd, int64_t count, REAL *to) {
    NAME(store_some)(to, NAME(interleave)(even, odd, 0), count);
    NAME(store_some)(to + LANES, NAME(interleave)(even, odd, 1), count - LANES);
}

/* Zeros in the last column and row that no window reaches. */
FASTNN_INLINE void NAME(clear_rest)(const pooling *o, REAL *dx) {
    if (2 * o->out_w < o->w)
        for (int64_t row = 0; row < 2 * o->out_h; row++) dx[row * o->w + o->w - 1] = 0;
    if (2 * o->out_h < o->h) memset(dx + 2 * o->out_h * o->w, 0, (size_t)o->w * sizeof(REAL));
}

FASTNN_INLINE void NAME(max_pairs_backward)(const pooling *o, int relu, const REAL *dy, const REAL *x, REAL *dx) {
    NAME(clear_rest)(o, dx);
    for (int64_t p = 0; p < o->out_h; p++, dy += o->out_w, x += 2 * o->w, dx += 2 * o->w)
        for (int64_t q = 0; q < o->out_w; q += LANES) {
            const int64_t left = 2 * (o->out_w - q);
            VECTOR pixel[4]; /* of the windows, in row order */
#pragma GCC unroll 2
            for (int u = 0; u < 2; u++) {
                const REAL *at = x + u * o->w + 2 * q;
                const VECTOR low = NAME(load_some)(at, left), high = NAME(load_some)(at + LANES, left - LANES);
                pixel[2 * u] = NAME(even_lanes)(low, high);
                pixel[2 * u + 1] = NAME(odd_lanes)(low, high);
            }
            VECTOR best = pixel[0];
            MASK taken[4] = {{0}};
#pragma GCC unroll 4
            for (int i = 1; i < 4; i++) {
                taken[i] = NAME(takes)(pixel[i], best);
                best = NAME(select)(taken[i], pixel[i], best);
            }
            VECTOR gradient = NAME(load_some)(dy + q, o->out_w - q), part[4];
            if (relu) gradient = NAME(select)(best > (VECTOR){0}, gradient, (VECTOR){0});
            MASK later = {0}; /* a later pixel has taken the place */
#pragma GCC unroll 4
            for (int i = 3; i >= 0; i--) {
                part[i] = NAME(select)((i == 0 ? ~(MASK){0} : taken[i]) & ~later, gradient, (VECTOR){0});
                later |= taken[i];
            }
            NAME(store_pairs)(part[0], part[1], left, dx + 2 * q);
            NAME(store_pairs)(part[2], part[3], left, dx + o->w + 2 * q);
        }
}

FASTNN_INLINE void NAME(average_pairs_backward)(const pooling *o, const REAL *dy, REAL *dx) {
    NAME(clear_rest)(o, dx);
    for (int64_t p = 0; p < o->out_h; p++, dy += o->out_w, dx += 2 * o->w)
        for (int64_t q = 0; q < o->out_w; q += LANES) {
            const VECTOR part = NAME(load_some)(dy + q, o->out_w - q) / 4;
            for (int u = 0; u < 2; u++) NAME(store_pairs)(part, part, 2 * (o->out_w - q), dx + u * o->w + 2 * q);
        }
}

/* --- any windows -------------------------------------------------------------------------------------- */

/* A row of the image between columns of padding, and room for what vectors read beyond. */
static inline int64_t NAME(padded_width)(const pooling *o) {
    return o->pad_left + larger(o->w, (o->out_w - 1) * o->stride_w + o->s) + 2 * LANES;
}

/* Lane l is from[l · stride], for the first `count` lanes at least. */
FASTNN_INLINE VECTOR NAME(load_every)(const REAL *from, int64_t stride, int64_t count) {
    if (stride == 1) return NAME(load)(from);
    if (stride == 2) return NAME(even_lanes)(NAME(load)(from), NAME(load)(from + LANES));
    VECTOR v = {0};
    for (int64_t l = 0; l < smaller(LANES, count); l++) v[l] = from[l * stride];
    return v;
}

/* row[j] = x[j] of all `rows` rows combined. */
FASTNN_INLINE void NAME(combine_rows)(const int average, const REAL *x, int64_t rows, int64_t w, REAL *row) {
    for (int64_t j = 0; j < w; j += LANES) {
        VECTOR best = NAME(load_some)(x + j, w - j);
        for (int64_t u = 1; u < rows; u++)
            best = NAME(combine)(average, best, NAME(load_some)(x + u * w + j, w - j));
        NAME(store_some)(row + j, best, w - j);
    }
}

/* y = the windows' results of a plane: first down the rows of every column, then along the columns. */
FASTNN_INLINE void NAME(pool_plane)(const int average, const pooling *o, const REAL *x, REAL *padded, REAL *y) {
    const int64_t width = NAME(padded_width)(o);
    const REAL none = average ? 0 : (REAL)-INFINITY, count = (REAL)(o->r * o->s);
    for (int64_t p = 0; p < o->out_h; p++) {
        REAL *row = padded + p * width;
        const int64_t top = p * o->stride_h - o->pad_top, first = larger(0, top);
        for (int64_t j = 0; j < o->pad_left; j++) row[j] = none;
        for (int64_t j = o->pad_left + o->w; j < width; j++) row[j] = none;
        NAME(combine_rows)(average, x + first * o->w, smaller(top + o->r, o->h) - first, o->w, row + o->pad_left);
    }
    for (int64_t p = 0; p < o->out_h; p++)
        for (int64_t q = 0; q < o->out_w; q += LANES) {
            const REAL *row = padded + p * width + q * o->stride_w;
            VECTOR best = NAME(load_every)(row, o->stride_w, o->out_w - q);
            for (int64_t v = 1; v < o->s; v++)
                best = NAME(combine)(average, best, NAME(load_every)(row + v, o->stride_w, o->out_w - q));
            NAME(store_some)(y + p * o->out_w + q, average ? best / count : best, o->out_w - q);
        }
}

/* The same for wide windows: `row` has room for w columns. */
FASTNN_INLINE void NAME(pool_wide)(const int average, const pooling *o, const REAL *x, REAL *row, REAL *y) {
    for (int64_t p = 0; p < o->out_h; p++) {
        const int64_t top = p * o->stride_h - o->pad_top, first = larger(0, top);
        NAME(combine_rows)(average, x + first * o->w, smaller(top + o->r, o->h) - first, o->w, row);
        for (int64_t q = 0; q < o->out_w; q++) {
            const int64_t left = q * o->stride_w - o->pad_left;
            const int64_t begin = larger(0, left), end = smaller(left + o->s, o->w);
            VECTOR best = (VECTOR){0} + (average ? 0 : (REAL)-INFINITY);
            int64_t j = begin;
            for (; j + LANES <= end; j += LANES) best = NAME(combine)(average, best, NAME(load)(row + j));
            REAL lane[LANES], value;
            NAME(store)(lane, best);
            value = lane[0];
            for (int l = 1; l < LANES; l++)
                value = average ? value + lane[l] : lane[l] > value || lane[l] != lane[l] ? lane[l] : value;
            for (; j < end; j++) value = average ? value + row[j] : row[j] > value || row[j] != row[j] ? row[j] : value;
            y[p * o->out_w + q] = average ? value / (REAL)(o->r * o->s) : value;
        }
    }
}

/* dx += dy of the windows (p, q … q + LANES − 1), at the pixel that each one's maximum has, found for all of
   them together; `padded` is x between columns of −∞. */
FASTNN_INLINE void NAME(max_windows_backward)(const pooling *o, int relu, const REAL *dy, const REAL *padded,
                                              int64_t p, int64_t q, REAL *dx) {
    const int64_t width = NAME(padded_width)(o), count = smaller(LANES, o->out_w - q);
    const int64_t top = p * o->stride_h - o->pad_top, first = larger(0, top);
    const REAL *row = padded + q * o->stride_w;
    VECTOR best = (VECTOR){0} + (REAL)-INFINITY;
    MASK place = {0}, number = {0}; /* pixels are numbered in the window's order, from the first inside */
    for (int64_t u = first; u < smaller(top + o->r, o->h); u++)
        for (int64_t v = 0; v < o->s; v++, number += 1) {
            const VECTOR value = NAME(load_every)(row + u * width + v, o->stride_w, count);
            const MASK takes = NAME(takes)(value, best);
            best = NAME(select)(takes, value, best);
            place = (number & takes) | (place & ~takes);
        }
    for (int64_t l = 0; l < count; l++) {
        const int64_t left = (q + l) * o->stride_w - o->pad_left;
        /* Where all are −∞, the first one inside. */
        const int64_t at = best[l] == (REAL)-INFINITY ? larger(0, -left) : place[l];
        if (best[l] > 0 || !relu) dx[(first + at / o->s) * o->w + left + at % o->s] += dy[p * o->out_w + q + l];
    }
}

FASTNN_INLINE void NAME(max_plane_backward)(const pooling *o, int relu, const REAL *dy, const REAL *x, REAL *padded,
                                            REAL *dx) {
    const int64_t width = NAME(padded_width)(o);
    memset(dx, 0, (size_t)(o->h * o->w) * sizeof(REAL));
    for (int64_t i = 0; i < o->h; i++) {
        REAL *row = padded + i * width;
        for (int64_t j = 0; j < o->pad_left; j++) row[j] = (REAL)-INFINITY;
        for (int64_t j = o->pad_left + o->w; j < width; j++) row[j] = (REAL)-INFINITY;
        memcpy(row + o->pad_left, x + i * o->w, (size_t)o->w * sizeof(REAL));
    }
    for (int64_t p = 0; p < o->out_h; p++)
        for (int64_t q = 0; q < o->out_w; q += LANES) NAME(max_windows_backward)(o, relu, dy, padded, p, q, dx);
}

/* The same for wide windows, one by one. */
static void NAME(max_wide_backward)(const pooling *o, int relu, const REAL *dy, const REAL *x, REAL *dx) {
    memset(dx, 0, (size_t)(o->h * o->w) * sizeof(REAL));
    for (int64_t p = 0; p < o->out_h; p++)
        for (int64_t q = 0; q < o->out_w; q++) {
            const int64_t top = p * o->stride_h - o->pad_top, left = q * o->stride_w - o->pad_left;
            int64_t best = larger(0, top) * o->w + larger(0, left);
            for (int64_t i = larger(0, top); i < smaller(top + o->r, o->h); i++)
                for (int64_t j = larger(0, left); j < smaller(left + o->s, o->w); j++) {
                    const REAL value = x[i * o->w + j];
                    if (value > x[best] || value != value) best = i * o->w + j;
                }
            if (x[best] > 0 || !relu) dx[best] += dy[p * o->out_w + q];
        }
}

/* dx: the parts of a row of windows side by side first, then that row on every row of theirs. */
static void NAME(average_plane_backward)(const pooling *o, const REAL *dy, REAL *row, REAL *dx) {
    const REAL count = (REAL)(o->r * o->s);
    memset(dx, 0, (size_t)(o->h * o->w) * sizeof(REAL));
    for (int64_t p = 0; p < o->out_h; p++) {
        const int64_t top = p * o->stride_h - o->pad_top;
        memset(row, 0, (size_t)o->w * sizeof(REAL));
        for (int64_t q = 0; q < o->out_w; q++) {
            const int64_t left = q * o->stride_w - o->pad_left, end = smaller(left + o->s, o->w);
            const REAL part = dy[p * o->out_w + q] / count;
            for (int64_t j = larger(0, left); j < end; j++) row[j] += part;
        }
        for (int64_t i = larger(0, top); i < smaller(top + o->r, o->h); i++)
            for (int64_t j = 0; j < o->w; j++) dx[i * o->w + j] += row[j];
    }
}

/* --- the kernels --------------------------------------------------------------------------------------- */

/* y = every window's maximum (a NaN wins) or its average, with padding as zeros. */
FASTNN_INLINE void NAME(pool)(const int average, const pooling *o, const REAL *x, REAL *y, int64_t thread,
                              int64_t threads) {
    const int64_t area = o->h * o->w, out_area = o->out_h * o->out_w, end = o->planes * (thread + 1) / threads;
    const int64_t scratch = o->s <= NARROW ? o->out_h * NAME(padded_width)(o) : o->w;
    REAL *padded = is_pairs(o) ? NULL : arena((size_t)scratch * sizeof(REAL));
    for (int64_t plane = o->planes * thread / threads; plane < end; plane++) {
        if (is_pairs(o)) NAME(pool_pairs)(average, o, x + plane * area, y + plane * out_area);
        else if (o->s <= NARROW) NAME(pool_plane)(average, o, x + plane * area, padded, y + plane * out_area);
        else NAME(pool_wide)(average, o, x + plane * area, padded, y + plane * out_area);
    }
}

static void NAME(max_pool)(const pooling *o, const REAL *x, REAL *y, int64_t thread, int64_t threads) {
    NAME(pool)(0, o, x, y, thread, threads);
}

static void NAME(average_pool)(const pooling *o, const REAL *x, REAL *y, int64_t thread, int64_t threads) {
    NAME(pool)(1, o, x, y, thread, threads);
}

/* dx = Σ of dy over the windows whose maximum is here: the first in row order, or the last NaN; with `relu` only
   where that is positive. */
static void NAME(max_pool_backward)(const pooling *o, int relu, const REAL *dy, const REAL *x, REAL *dx,
                                    int64_t thread, int64_t threads) {
    const int64_t area = o->h * o->w, out_area = o->out_h * o->out_w, end = o->planes * (thread + 1) / threads;
    const int in_lanes = !is_pairs(o) && o->s <= NARROW;
    REAL *padded = in_lanes ? arena((size_t)(o->h * NAME(padded_width)(o)) * sizeof(REAL)) : NULL;
    for (int64_t plane = o->planes * thread / threads; plane < end; plane++) {
        const REAL *dy_plane = dy + plane * out_area, *x_plane = x + plane * area;
        if (is_pairs(o)) NAME(max_pairs_backward)(o, relu, dy_plane, x_plane, dx + plane * area);
        else if (in_lanes) NAME(max_plane_backward)(o, relu, dy_plane, x_plane, padded, dx + plane * area);
        else NAME(max_wide_backward)(o, relu, dy_plane, x_plane, dx + plane * area);
    }
}

/* dx = Σ of dy / (r s) over the windows that cover x here. */
static void NAME(average_pool_backward)(const pooling *o, const REAL *dy, REAL *dx, int64_t thread,
                                        int64_t threads) {
    const int64_t area = o->h * o->w, out_area = o->out_h * o->out_w, end = o->planes * (thread + 1) / threads;
    REAL *row = arena((size_t)o->w * sizeof(REAL));
    for (int64_t plane = o->planes * thread / threads; plane < end; plane++) {
        if (is_pairs(o)) NAME(average_pairs_backward)(o, dy + plane * out_area, dx + plane * area);
        else NAME(average_plane_backward)(o, dy + plane * out_area, row, dx + plane * area);
    }
}

#undef VECTOR
#undef MASK
#undef LANES
