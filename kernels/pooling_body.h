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
    return average ? best + value : NAME(select)(value != value, value, NAME(larger)(value, best));
}

/* The first `count` lanes, which may be 0 or more than there are. With AVX-512 a mask costs less than a branch. */
FASTNN_INLINE VECTOR NAME(load_some)(const REAL *from, int64_t count) {
    if (VECTOR_BYTES == 64) return NAME(load_between)(from, 0, count);
    return count >= LANES ? NAME(load)(from) : NAME(load_partial)(from, (int)larger(0, count));
}
FASTNN_INLINE void NAME(store_some)(REAL *to, VECTOR v, int64_t count) {
    if (VECTOR_BYTES == 64) NAME(store_partial)(to, v, (int)larger(0, smaller(LANES, count)));
    else if (count >= LANES) NAME(store)(to, v);
    else if (count > 0) NAME(store_partial)(to, v, (int)count);
}

/* --- 2 x 2 windows side by side ----------------------------------------------------------------------- */

/* A vector holds the results of adjacent windows, whose columns lie in two vectors of x: adjacent ones or, where a row
   fits one, those of two rows of windows. */
typedef struct {
    int rows;              /* of windows in a vector of results: 1 or, of narrow planes, 2; a constant at the calls */
    int64_t next;          /* from a row's first vector to its second */
    int64_t first, second; /* their columns */
} NAME(pairs);

/* A plane, vector of results after vector: BLOCK(at, p, q) makes those of the windows from (p, q) on. Whole vectors and
   the last of a row, with columns in both vectors of x or in one, are apart: most of each is constant, and its masks
   are made once. */
#define FASTNN_EACH_PAIRS(rows, o, BLOCK)                                                                    \
    const int64_t last = (rows) == 1 ? (o)->out_w / LANES * LANES : 0, left = 2 * ((o)->out_w - last);       \
    const int64_t next = (rows) == 1 ? LANES : 2 * (o)->w, second = (rows) == 1 ? left - LANES : left;       \
    const NAME(pairs) whole = {1, LANES, 2 * LANES, LANES};                                                  \
    const NAME(pairs) both = {rows, next, left, second}, one = {rows, next, left, 0};                        \
    for (int64_t p = 0; p < (o)->out_h; p += (rows)) {                                                       \
        for (int64_t q = 0; q < last; q += LANES) BLOCK(&whole, p, q);                                       \
        if (second > 0 && p + (rows) <= (o)->out_h) BLOCK(&both, p, last);                                   \
        else if (left > 0) BLOCK(&one, p, last);                                                             \
    }

FASTNN_INLINE VECTOR NAME(load_windows)(const NAME(pairs) * at, const REAL *y) {
    const VECTOR first = NAME(load_some)(y, at->first / 2);
    return at->rows == 1 ? first
                         : NAME(lower_halves)(first, NAME(load_some)(y + at->first / 2, at->second / 2));
}
FASTNN_INLINE void NAME(store_windows)(const NAME(pairs) * at, VECTOR v, REAL *y) {
    NAME(store_some)(y, v, at->first / 2);
    if (at->rows == 2) NAME(store_some)(y + at->first / 2, NAME(upper_half)(v), at->second / 2);
}

/* The results of a vector of windows, of planes of width w: x and y are at the first. */
FASTNN_INLINE void NAME(pool_windows)(const NAME(pairs) * at, const int average, int64_t w, const REAL *x, REAL *y) {
    VECTOR half[2];
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const REAL *from = x + i * at->next;
        const int64_t count = i ? at->second : at->first;
        __builtin_prefetch((const char *)from + ASK_TO_READ);
        __builtin_prefetch((const char *)(from + w) + ASK_TO_READ);
        half[i] = NAME(combine)(average, NAME(load_some)(from, count), NAME(load_some)(from + w, count));
    }
    const VECTOR best = NAME(combine)(average, NAME(even_lanes)(half[0], half[1]), NAME(odd_lanes)(half[0], half[1]));
    NAME(store_windows)(at, average ? best / 4 : best, y);
}

FASTNN_INLINE void NAME(pool_pairs)(const int rows, const int average, const pooling *o, const REAL *x, REAL *y) {
#define POOL(at, p, q) NAME(pool_windows)(at, average, o->w, x + 2 * ((p) * o->w + (q)), y + (p) * o->out_w + (q))
    FASTNN_EACH_PAIRS(rows, o, POOL)
#undef POOL
}

/* The even and the odd columns of the windows, as a row or two. */
FASTNN_INLINE void NAME(store_pairs)(const NAME(pairs) * at, VECTOR even, VECTOR odd, REAL *to) {
    NAME(store_some)(to, NAME(interleave)(even, odd, 0), at->first);
    NAME(store_some)(to + at->next, NAME(interleave)(even, odd, 1), at->second);
}

/* Zeros in the last column and row that no window reaches. */
FASTNN_INLINE void NAME(clear_rest)(const pooling *o, REAL *dx) {
    if (2 * o->out_w < o->w)
        for (int64_t row = 0; row < 2 * o->out_h; row++) dx[row * o->w + o->w - 1] = 0;
    if (2 * o->out_h < o->h) memset(dx + 2 * o->out_h * o->w, 0, (size_t)o->w * sizeof(REAL));
}

/* The gradients of a vector of windows, of planes of width w: dy, x and dx are at the first. */
FASTNN_INLINE void NAME(max_windows_backward)(const NAME(pairs) * at, int relu, int64_t w, const REAL *dy,
                                              const REAL *x, REAL *dx) {
    VECTOR pixel[4]; /* of the windows, in row order */
#pragma GCC unroll 2
    for (int u = 0; u < 2; u++) {
        VECTOR half[2];
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            const int64_t from = u * w + i * at->next, count = i ? at->second : at->first;
            __builtin_prefetch((const char *)(x + from) + ASK_TO_READ);
            __builtin_prefetch((const char *)(dx + from) + ASK_TO_WRITE, 1);
            half[i] = NAME(load_some)(x + from, count);
        }
        pixel[2 * u] = NAME(even_lanes)(half[0], half[1]);
        pixel[2 * u + 1] = NAME(odd_lanes)(half[0], half[1]);
    }
    VECTOR best = pixel[0];
    MASK taken[4] = {{0}};
#pragma GCC unroll 4
    for (int i = 1; i < 4; i++) {
        taken[i] = NAME(takes)(pixel[i], best);
        best = NAME(select)(taken[i], pixel[i], best);
    }
    VECTOR gradient = NAME(load_windows)(at, dy), part[4];
    if (relu) gradient = NAME(select)(best > (VECTOR){0}, gradient, (VECTOR){0});
    MASK later = {0}; /* a later pixel has taken the place */
#pragma GCC unroll 4
    for (int i = 3; i >= 0; i--) {
        part[i] = NAME(select)((i == 0 ? ~(MASK){0} : taken[i]) & ~later, gradient, (VECTOR){0});
        later |= taken[i];
    }
    NAME(store_pairs)(at, part[0], part[1], dx);
    NAME(store_pairs)(at, part[2], part[3], dx + w);
}

FASTNN_INLINE void NAME(max_pairs_backward)(const int rows, const pooling *o, int relu, const REAL *dy,
                                            const REAL *x, REAL *dx) {
    NAME(clear_rest)(o, dx);
#define BACK(at, p, q)                                                                                       \
    NAME(max_windows_backward)(at, relu, o->w, dy + (p) * o->out_w + (q), x + 2 * ((p) * o->w + (q)),        \
                               dx + 2 * ((p) * o->w + (q)))
    FASTNN_EACH_PAIRS(rows, o, BACK)
#undef BACK
}

FASTNN_INLINE void NAME(average_windows_backward)(const NAME(pairs) * at, int64_t w, const REAL *dy, REAL *dx) {
    const VECTOR part = NAME(load_windows)(at, dy) / 4;
    NAME(store_pairs)(at, part, part, dx);
    NAME(store_pairs)(at, part, part, dx + w);
}

FASTNN_INLINE void NAME(average_pairs_backward)(const int rows, const pooling *o, const REAL *dy, REAL *dx) {
    NAME(clear_rest)(o, dx);
#define BACK(at, p, q) NAME(average_windows_backward)(at, o->w, dy + (p) * o->out_w + (q), dx + 2 * ((p) * o->w + (q)))
    FASTNN_EACH_PAIRS(rows, o, BACK)
#undef BACK
}

#undef FASTNN_EACH_PAIRS

/* --- any windows -------------------------------------------------------------------------------------- */

/* A row of the image between columns of padding, and room for what vectors read beyond. */
FASTNN_INLINE int64_t NAME(padded_width)(const pooling *o) {
    return o->pad_left + larger(o->w, (o->out_w - 1) * o->stride_w + o->s) + MOST_VECTORS * LANES;
}

/* Lane l is from[l · stride], for the first `count` lanes at least; `stride` is a constant at the calls that
   matter, which read `stride` vectors. */
FASTNN_INLINE VECTOR NAME(load_every)(const REAL *from, const int64_t stride, int64_t count) {
    VECTOR v = {0};
    if (stride > MOST_VECTORS) {
        for (int64_t l = 0; l < smaller(LANES, count); l++) v[l] = from[l * stride];
        return v;
    }
    v = NAME(load)(from);
#pragma GCC unroll 4
    for (int i = 1; i < stride; i++) { /* the lanes that lie in vector i; the first time, those before too */
        MASK place;
#pragma GCC unroll 16
        for (int l = 0; l < LANES; l++) {
            const int at = l * (int)stride, vector = at / LANES;
            place[l] = vector == i ? LANES + at % LANES : i == 1 && vector == 0 ? at : l;
        }
        v = __builtin_shuffle(v, NAME(load)(from + i * LANES), place);
    }
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
FASTNN_INLINE void NAME(pool_plane)(const int64_t stride, const int average, const pooling *o, const REAL *x,
                                    REAL *padded, REAL *y) {
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
            const REAL *row = padded + p * width + q * stride;
            VECTOR best = NAME(load_every)(row, stride, o->out_w - q);
            for (int64_t v = 1; v < o->s; v++)
                best = NAME(combine)(average, best, NAME(load_every)(row + v, stride, o->out_w - q));
            NAME(store_some)(y + p * o->out_w + q, average ? best / count : best, o->out_w - q);
        }
}

FASTNN_INLINE MASK NAME(lane_numbers)(void) {
    static const NAME(lane) numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    MASK lanes;
    memcpy(&lanes, numbers, sizeof lanes);
    return lanes;
}

/* All of x[0 … count − 1] combined. The last vectors of a maximum may overlap the ones before. */
FASTNN_INLINE REAL NAME(combine_all)(const int average, const REAL *x, int64_t count) {
    const VECTOR none = (VECTOR){0} + (average ? 0 : (REAL)-INFINITY);
    VECTOR best[4] = {none, none, none, none};
    int64_t j = 0;
    for (; j + 4 * LANES <= count; j += 4 * LANES)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) best[i] = NAME(combine)(average, best[i], NAME(load)(x + j + i * LANES));
    if (j > 0) {
        best[0] = NAME(combine)(average, best[0], best[1]);
        best[2] = NAME(combine)(average, best[2], best[3]);
        best[0] = NAME(combine)(average, best[0], best[2]);
    }
    for (; j < count; j += LANES) {
        const VECTOR rest = average || count < LANES ? NAME(load_some)(x + j, count - j)
                                                     : NAME(load)(x + smaller(j, count - LANES));
        const MASK there = NAME(lane_numbers)() < (MASK){0} + (NAME(lane))smaller(LANES, count - j);
        best[0] = NAME(combine)(average, best[0], average || count >= LANES ? rest : NAME(select)(there, rest, none));
    }
#pragma GCC unroll 4
    for (int round = 0; 1 << round < LANES; round++)
        best[0] = NAME(combine)(average, best[0], NAME(swap_lanes)(best[0], round));
    return best[0][0];
}

/* The same for windows of whole rows, whose pixels follow each other, and for wide ones: `row` has room for w
   columns. */
FASTNN_INLINE void NAME(pool_wide)(const int average, const pooling *o, const REAL *x, REAL *row, REAL *y) {
    const REAL count = (REAL)(o->r * o->s);
    for (int64_t p = 0; p < o->out_h; p++) {
        const int64_t top = p * o->stride_h - o->pad_top, first = larger(0, top);
        const int64_t rows = smaller(top + o->r, o->h) - first;
        if (!is_whole_rows(o)) NAME(combine_rows)(average, x + first * o->w, rows, o->w, row);
        for (int64_t q = 0; q < o->out_w; q++) {
            const int64_t left = q * o->stride_w - o->pad_left;
            const int64_t begin = larger(0, left), end = smaller(left + o->s, o->w);
            const REAL value = is_whole_rows(o) ? NAME(combine_all)(average, x + first * o->w, rows * o->w)
                                                : NAME(combine_all)(average, row + begin, end - begin);
            y[p * o->out_w + q] = average ? value / count : value;
        }
    }
}

/* Going back, what the windows of an output row give lies between zeros, in rows of this width, each from
   `outputs_before` on. */
FASTNN_INLINE int64_t NAME(outputs_before)(const pooling *o) { return (o->s - 1) / o->stride_w; }
FASTNN_INLINE int64_t NAME(outputs_width)(const pooling *o) {
    const int64_t columns = larger(o->out_w, (o->w - 1) / o->stride_w + 1);
    return NAME(outputs_before)(o) + round_up(columns, LANES) + (o->stride_w - 1 + o->pad_left) / o->stride_w;
}

/* The output rows whose windows cover row i: begin and end. */
FASTNN_INLINE int64_t NAME(first_output)(const pooling *o, int64_t i) {
    return larger(0, ceil_divide(i + o->pad_top - o->r + 1, o->stride_h));
}
FASTNN_INLINE int64_t NAME(last_output)(const pooling *o, int64_t i) {
    return smaller(o->out_h, (i + o->pad_top) / o->stride_h + 1);
}

/* to[j] = Σ of `given` over the windows of the output rows [begin, end) that cover the row's column j, for strides of 1
   and 2; with `places` only over those whose place is this pixel, which lies (top − p stride_h) w + v after the
   corner of a window of row p in its column v. The columns v ≡ phase meet each other at the columns n stride + d
   of the image. */
FASTNN_INLINE void NAME(gather_outputs)(const int64_t stride, const int64_t s, const pooling *o, const REAL *given,
                                        const NAME(lane) * places, int64_t begin, int64_t end, int64_t top,
                                        REAL *to) {
    const int64_t width = NAME(outputs_width)(o), before = NAME(outputs_before)(o);
    for (int64_t n = 0; n * stride < o->w; n += LANES) {
        const int64_t left = o->w - n * stride;
        VECTOR sum[2] = {{0}, {0}};
        for (int64_t p = begin; p < end; p++)
#pragma GCC unroll 2
            for (int phase = 0; phase < stride; phase++) {
                const int64_t d = (phase + o->pad_left) % stride; /* = (phase − pad_left) mod stride */
                int64_t at = p * width + before + n + (d + o->pad_left - phase) / stride;
#pragma GCC unroll 4
                for (int64_t v = phase; v < s; v += stride, at--) {
                    VECTOR value = NAME(load)(given + at);
                    if (places) {
                        MASK place;
                        memcpy(&place, places + at, sizeof place);
                        const MASK here = place == (MASK){0} + (NAME(lane))((top - p * o->stride_h) * o->w + v);
                        value = NAME(select)(here, value, (VECTOR){0});
                    }
                    sum[phase] += value;
                }
            }
        if (stride == 1) NAME(store_some)(to + n, sum[0], left);
        else {
            const int turned = o->pad_left % 2;
            const VECTOR even = turned ? sum[1] : sum[0], odd = turned ? sum[0] : sum[1];
            NAME(store_some)(to + 2 * n, NAME(interleave)(even, odd, 0), left);
            NAME(store_some)(to + 2 * n + LANES, NAME(interleave)(even, odd, 1), left - LANES);
        }
    }
}

/* Of each window the maximum of its s columns in a row, and which column has it: `row` lies between columns of −∞. */
FASTNN_INLINE void NAME(row_maxima)(const int64_t stride, const int64_t s, const pooling *o, const REAL *row,
                                    REAL *best, NAME(lane) * columns) {
    for (int64_t q = 0; q < o->out_w; q += LANES) {
        VECTOR top = (VECTOR){0} + (REAL)-INFINITY;
        MASK column = (NAME(lane))(o->pad_left - q * stride) - NAME(lane_numbers)() * (NAME(lane))stride;
        column &= column > (MASK){0}; /* where all are −∞, the first one inside */
        for (int64_t v = 0; v < s; v++) {
            const VECTOR value = NAME(load_every)(row + q * stride + v, stride, o->out_w - q);
            const MASK takes = NAME(takes)(value, top), here = (MASK){0} + (NAME(lane))v;
            top = NAME(select)(takes, value, top);
            column = (here & takes) | (column & ~takes);
        }
        NAME(store)(best + q, top);
        memcpy(columns + q, &column, sizeof column);
    }
}

/* Scratch of max_plane_backward: x between columns of −∞; the maxima of its rows and their columns; of every output
   what it gives and how far after its window's corner the pixel lies that takes it. Each is written for the whole
   plane before it is read: a load waits long for the stores of two vectors that it lies across. */
typedef struct {
    REAL *padded, *best, *given;
    NAME(lane) *columns, *places;
} NAME(maxima);

FASTNN_INLINE NAME(maxima) NAME(maxima_in_arena)(const pooling *o) {
    const int64_t padded = o->h * NAME(padded_width)(o), width = NAME(outputs_width)(o), rows = o->h + o->out_h;
    REAL *scratch = arena((size_t)(padded + 2 * rows * width) * sizeof(REAL));
    for (int64_t j = 0; j < padded; j++) scratch[j] = (REAL)-INFINITY;
    memset(scratch + padded, 0, (size_t)(2 * rows * width) * sizeof(REAL));
    NAME(maxima) m = {.padded = scratch, .best = scratch + padded};
    m.given = m.best + o->h * width;
    m.columns = (NAME(lane) *)(m.best + rows * width);
    m.places = m.columns + o->h * width;
    return m;
}

FASTNN_INLINE void NAME(max_plane_backward)(const int64_t stride, const int64_t s, const pooling *o, int relu,
                                            const REAL *dy, const REAL *x, const NAME(maxima) * m, REAL *dx) {
    const int64_t width = NAME(outputs_width)(o), padded_width = NAME(padded_width)(o);
    for (int64_t i = 0; i < o->h; i++)
        memcpy(m->padded + i * padded_width + o->pad_left, x + i * o->w, (size_t)o->w * sizeof(REAL));
    for (int64_t i = 0; i < o->h; i++)
        NAME(row_maxima)(stride, s, o, m->padded + i * padded_width, m->best + i * width, m->columns + i * width);
    for (int64_t p = 0; p < o->out_h; p++) {
        const int64_t top = p * o->stride_h - o->pad_top, first = larger(0, top), end = smaller(top + o->r, o->h);
        for (int64_t q = 0; q < o->out_w; q += LANES) {
            VECTOR best = (VECTOR){0};
            MASK place = {0};
            for (int64_t i = first; i < end; i++) {
                const int64_t at = i * width + q;
                const VECTOR value = NAME(load)(m->best + at);
                MASK here;
                memcpy(&here, m->columns + at, sizeof here);
                here += (NAME(lane))((i - top) * o->w);
                const MASK takes = i == first ? ~(MASK){0} : NAME(takes)(value, best);
                best = NAME(select)(takes, value, best);
                place = (here & takes) | (place & ~takes);
            }
            VECTOR gradient = NAME(load_some)(dy + p * o->out_w + q, o->out_w - q);
            if (relu) gradient = NAME(select)(best > (VECTOR){0}, gradient, (VECTOR){0});
            const int64_t at = p * width + NAME(outputs_before)(o) + q;
            NAME(store)(m->given + at, gradient);
            memcpy(m->places + at, &place, sizeof place);
        }
    }
    if (stride > 2) { /* few windows meet in a pixel */
        memset(dx, 0, (size_t)(o->h * o->w) * sizeof(REAL));
        for (int64_t p = 0; p < o->out_h; p++)
            for (int64_t q = 0; q < o->out_w; q++) {
                const int64_t at = p * width + NAME(outputs_before)(o) + q;
                const int64_t corner = (p * o->stride_h - o->pad_top) * o->w + q * stride - o->pad_left;
                dx[corner + m->places[at]] += m->given[at];
            }
        return;
    }
    for (int64_t i = 0; i < o->h; i++)
        NAME(gather_outputs)(stride, s, o, m->given, m->places, NAME(first_output)(o, i), NAME(last_output)(o, i),
                             i + o->pad_top, dx + i * o->w);
}

/* The place in x[0 … count − 1] of its maximum, the first one's, or the last NaN's. */
FASTNN_INLINE int64_t NAME(find_maximum)(const REAL *x, int64_t count) {
    const REAL value = NAME(combine_all)(0, x, count);
    int64_t at = 0;
    if (value == value) while (x[at] != value) at++;
    else for (at = count - 1; x[at] == x[at];) at--;
    return at;
}

/* The same for wide windows, and those of whole rows, one by one. */
static void NAME(max_wide_backward)(const pooling *o, int relu, const REAL *dy, const REAL *x, REAL *dx) {
    memset(dx, 0, (size_t)(o->h * o->w) * sizeof(REAL));
    for (int64_t p = 0; p < o->out_h; p++)
        for (int64_t q = 0; q < o->out_w; q++) {
            const int64_t top = p * o->stride_h - o->pad_top, left = q * o->stride_w - o->pad_left;
            const int64_t first = larger(0, top), bottom = smaller(top + o->r, o->h);
            const int64_t begin = larger(0, left), end = smaller(left + o->s, o->w);
            int64_t best = first * o->w + begin;
            if (is_whole_rows(o)) best += NAME(find_maximum)(x + best, (bottom - first) * o->w);
            else
                for (int64_t i = first; i < bottom; i++) {
                    const int64_t at = i * o->w + begin + NAME(find_maximum)(x + i * o->w + begin, end - begin);
                    if (x[at] > x[best] || x[at] != x[at]) best = at;
                }
            if (x[best] > 0 || !relu) dx[best] += dy[p * o->out_w + q];
        }
}

/* Along the columns of every output row first, into out_h rows of w, then down the rows; `given` has room for as
   many of outputs_width. */
FASTNN_INLINE void NAME(average_plane_backward)(const int64_t stride, const int64_t s, const pooling *o,
                                                const REAL *dy, REAL *given, REAL *rows, REAL *dx) {
    const int64_t width = NAME(outputs_width)(o);
    const REAL count = (REAL)(o->r * o->s);
    if (stride > 2 || o->out_w == 1) { /* few windows meet in a column */
        memset(dx, 0, (size_t)(o->h * o->w) * sizeof(REAL));
        for (int64_t p = 0; p < o->out_h; p++) {
            const int64_t top = p * o->stride_h - o->pad_top;
            memset(rows, 0, (size_t)o->w * sizeof(REAL));
            for (int64_t q = 0; q < o->out_w; q++) {
                const int64_t left = q * stride - o->pad_left, end = smaller(left + s, o->w);
                const REAL part = dy[p * o->out_w + q] / count;
                for (int64_t j = larger(0, left); j < end; j++) rows[j] += part;
            }
            for (int64_t i = larger(0, top); i < smaller(top + o->r, o->h); i++)
                for (int64_t j = 0; j < o->w; j++) dx[i * o->w + j] += rows[j];
        }
        return;
    }
    for (int64_t p = 0; p < o->out_h; p++)
        for (int64_t q = 0; q < o->out_w; q += LANES)
            NAME(store)(given + p * width + NAME(outputs_before)(o) + q,
                        NAME(load_some)(dy + p * o->out_w + q, o->out_w - q) / count);
    for (int64_t p = 0; p < o->out_h; p++)
        NAME(gather_outputs)(stride, s, o, given + p * width, NULL, 0, 1, 0, rows + p * o->w);
    for (int64_t i = 0; i < o->h; i++) {
        const int64_t begin = NAME(first_output)(o, i), end = NAME(last_output)(o, i);
        if (begin < end) NAME(combine_rows)(1, rows + begin * o->w, end - begin, o->w, dx + i * o->w);
        else memset(dx + i * o->w, 0, (size_t)o->w * sizeof(REAL));
    }
}

/* --- the kernels --------------------------------------------------------------------------------------- */

/* `form`(stride, …) with the stride as a constant where one is worth it. */
#define WITH_STRIDE(form, ...)                                                                               \
    switch (o->stride_w) {                                                                                   \
        case 1: form(1, __VA_ARGS__); break;                                                                 \
        case 2: form(2, __VA_ARGS__); break;                                                                 \
        case 3: form(3, __VA_ARGS__); break;                                                                 \
        default: form(o->stride_w, __VA_ARGS__);                                                             \
    }

/* `form`(stride, s, …) with both as constants for 3 x 3 windows with strides of 1 and 2, which most that overlap are. */
#define WITH_WINDOW(form, ...)                                                                               \
    if (o->s == 3 && o->stride_w == 1) form(1, 3, __VA_ARGS__);                                              \
    else if (o->s == 3 && o->stride_w == 2) form(2, 3, __VA_ARGS__);                                         \
    else WITH_STRIDE(form, o->s, __VA_ARGS__)

/* y = every window's maximum (a NaN wins) or its average, with padding as zeros. */
FASTNN_INLINE void NAME(pool)(const int average, const pooling *sizes, const REAL *x, REAL *y, int64_t thread,
                              int64_t threads) {
    const pooling own = *sizes, *o = &own; /* no store can be thought to change it */
    const int64_t area = o->h * o->w, out_area = o->out_h * o->out_w, end = o->planes * (thread + 1) / threads;
    const int in_lanes = is_narrow(o);
    REAL *padded = arena((size_t)(in_lanes ? o->out_h * NAME(padded_width)(o) : o->w) * sizeof(REAL));
    for (int64_t plane = o->planes * thread / threads; plane < end; plane++) {
        const REAL *x_plane = x + plane * area;
        REAL *y_plane = y + plane * out_area;
        if (is_pairs(o) && o->w <= LANES) NAME(pool_pairs)(2, average, o, x_plane, y_plane);
        else if (is_pairs(o)) NAME(pool_pairs)(1, average, o, x_plane, y_plane);
        else if (!in_lanes) NAME(pool_wide)(average, o, x_plane, padded, y_plane);
        else WITH_STRIDE(NAME(pool_plane), average, o, x_plane, padded, y_plane)
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
static void NAME(max_pool_backward)(const pooling *sizes, int relu, const REAL *dy, const REAL *x, REAL *dx,
                                    int64_t thread, int64_t threads) {
    const pooling own = *sizes, *o = &own; /* no store can be thought to change it */
    const int64_t area = o->h * o->w, out_area = o->out_h * o->out_w, end = o->planes * (thread + 1) / threads;
    const int in_lanes = is_narrow(o);
    const NAME(maxima) maxima = in_lanes ? NAME(maxima_in_arena)(o) : (NAME(maxima)){0};
    for (int64_t plane = o->planes * thread / threads; plane < end; plane++) {
        const REAL *dy_plane = dy + plane * out_area, *x_plane = x + plane * area;
        if (is_pairs(o) && o->w <= LANES) NAME(max_pairs_backward)(2, o, relu, dy_plane, x_plane, dx + plane * area);
        else if (is_pairs(o)) NAME(max_pairs_backward)(1, o, relu, dy_plane, x_plane, dx + plane * area);
        else if (!in_lanes) NAME(max_wide_backward)(sizes, relu, dy_plane, x_plane, dx + plane * area);
        else WITH_WINDOW(NAME(max_plane_backward), o, relu, dy_plane, x_plane, &maxima, dx + plane * area)
    }
}

/* dx = Σ of dy / (r s) over the windows that cover x here. */
static void NAME(average_pool_backward)(const pooling *sizes, const REAL *dy, REAL *dx, int64_t thread,
                                        int64_t threads) {
    const pooling own = *sizes, *o = &own; /* no store can be thought to change it */
    const int64_t area = o->h * o->w, out_area = o->out_h * o->out_w, end = o->planes * (thread + 1) / threads;
    const int64_t given_size = o->out_h * NAME(outputs_width)(o);
    REAL *given = arena((size_t)(given_size + o->out_h * o->w) * sizeof(REAL)), *rows = given + given_size;
    memset(given, 0, (size_t)given_size * sizeof(REAL));
    for (int64_t plane = o->planes * thread / threads; plane < end; plane++) {
        if (is_pairs(o) && o->w <= LANES) NAME(average_pairs_backward)(2, o, dy + plane * out_area, dx + plane * area);
        else if (is_pairs(o)) NAME(average_pairs_backward)(1, o, dy + plane * out_area, dx + plane * area);
        else if (is_whole(o)) {
            const REAL part = dy[plane] / (REAL)(o->r * o->s);
            for (int64_t j = 0; j < area; j++) dx[plane * area + j] = part;
        } else WITH_WINDOW(NAME(average_plane_backward), o, dy + plane * out_area, given, rows, dx + plane * area)
    }
}

#undef WITH_WINDOW
#undef WITH_STRIDE
#undef VECTOR
#undef MASK
#undef LANES
