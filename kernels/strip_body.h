/* Strips of packed source pixels, and the register tile over them: what all convolutions share. For one
   dtype: REAL and NAME are set by convolution.h. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* --- packing ------------------------------------------------------------------------------------------ */

/* Channels whose rows are packed together, so that they stay in L1 from one column tap to the next: so many, but
   no more than these bytes hold. */
#define PACK_CHANNELS 4
#define PACK_BYTES 32768

/* LANES outputs of a source row: lane q is from[q · stride] for q in [begin, end), else 0. `stride` is a
   constant at the calls that matter. */
FASTNN_INLINE VECTOR NAME(load_pixels)(const REAL *from, const int64_t stride, int64_t begin, int64_t end) {
    if (stride == 1) return NAME(load_between)(from, begin, end);
    if (stride <= 4) {
        VECTOR pixels = {0};
#pragma GCC unroll 4
        for (int i = 0; i < stride; i++) {
            const VECTOR part = NAME(load_between)(from + i * LANES, begin * stride - i * LANES,
                                                   (end - 1) * stride + 1 - i * LANES);
            MASK lanes; /* those that lie in this part */
#pragma GCC unroll 16
            for (int q = 0; q < LANES; q++)
                lanes[q] = q * stride / LANES == i ? LANES + (int)(q * stride % LANES) : q;
            pixels = __builtin_shuffle(pixels, part, lanes);
        }
        return pixels;
    }
    VECTOR pixels = {0};
    for (int64_t q = larger(0, begin); q < smaller(LANES, end); q++) pixels[q] = from[q * stride];
    return pixels;
}

/* The source rows of one column tap and row phase, of some channels: slots [0, top) and [bottom, slots) are
   zeros, the others are source rows `jump` apart. A vector stored at a row's end runs over into the next
   row, so the columns go from last to first, and a plane ends with room for a vector. The next channels'
   rows come from far away: they are asked for early. */
FASTNN_INLINE void NAME(pack_rows)(const REAL *from, int64_t area, int64_t jump, int64_t stride, int64_t channels,
                                   int64_t begin, int64_t end, int64_t out, int64_t top, int64_t bottom,
                                   int64_t slots, REAL *to, int64_t plane) {
    for (int64_t q = (out - 1) / LANES * LANES; q >= 0; q -= LANES)
        for (int64_t e = 0; e < channels; e++) {
            const REAL *at = from + e * area + q * stride;
            REAL *row = to + e * plane + q;
            for (int64_t slot = 0; slot < top; slot++, row += out) NAME(store)(row, (VECTOR){0});
            for (int64_t slot = top; slot < bottom; slot++, row += out, at += jump) {
                __builtin_prefetch(at + channels * area);
                if (stride > 1) __builtin_prefetch(at + channels * area + LANES);
                NAME(store)(row, NAME(load_pixels)(at, stride, begin - q, end - q));
            }
            for (int64_t slot = bottom; slot < slots; slot++, row += out) NAME(store)(row, (VECTOR){0});
        }
}

/* Pack the strip of `rows` output rows from `first` on, of `channels` channels of x (channels, rows.source,
   columns.source). */
static void NAME(pack_strip)(const window *w, const strip *s, const REAL *x, int64_t channels, int64_t first,
                             int64_t rows, REAL *to) {
    const axis *r = &w->rows, *c = &w->columns;
    const int64_t slots = s->slots - s->rows + rows, out = c->out, area = r->source * c->source;
    const int64_t plane = c->taps * s->plane; /* from a channel's planes to the next's */
    const int64_t source_bytes = slots * r->stride * c->source * (int64_t)sizeof(REAL);
    const int64_t together = larger(1, smaller(PACK_CHANNELS, PACK_BYTES / larger(1, source_bytes)));
    for (int64_t e = 0; e < channels; e += together)
        for (int64_t v = 0; v < c->taps; v++) {
            const int64_t block = smaller(together, channels - e), shift = v * c->dilation - c->pad;
            const int64_t begin = larger(0, ceil_divide(-shift, c->stride));
            const int64_t end = larger(begin, smaller(out, ceil_divide(c->source - shift, c->stride)));
            for (int64_t phase = 0; phase < r->stride && phase <= axis_reach(r); phase++) {
                const int64_t row = first * r->stride - r->pad + phase, jump = r->stride * c->source;
                const int64_t top = smaller(slots, larger(0, ceil_divide(-row, r->stride)));
                const int64_t bottom = larger(top, smaller(slots, ceil_divide(r->source - row, r->stride)));
                const REAL *from = x + e * area + (row + top * r->stride) * c->source + shift;
                REAL *at = to + e * plane + v * s->plane + phase * s->slots * out;
#define PACK_ROWS(stride)                                                                                    \
    NAME(pack_rows)(from, area, jump, stride, block, begin, end, out, top, bottom, slots, at, plane)
                if (c->stride == 1) PACK_ROWS(1);
                else if (c->stride == 2) PACK_ROWS(2);
                else if (c->stride == 3) PACK_ROWS(3);
                else if (c->stride == 4) PACK_ROWS(4);
                else PACK_ROWS(c->stride);
#undef PACK_ROWS
            }
        }
}

/* Copy a row of pixels. */
FASTNN_INLINE void NAME(copy_row)(const REAL *from, int64_t count, REAL *to) {
    int64_t j = 0;
    for (; j + LANES <= count; j += LANES) NAME(store)(to + j, NAME(load)(from + j));
    if (j < count) NAME(store_partial)(to + j, NAME(load_partial)(from + j, (int)(count - j)), (int)(count - j));
}

/* x = 0 where the mask isn't positive. */
FASTNN_INLINE void NAME(apply_mask)(int64_t count, const REAL *mask, REAL *x) {
    for (int64_t i = 0; i < count; i++) x[i] = mask[i] > 0 ? x[i] : 0;
}

/* --- the register tile -------------------------------------------------------------------------------- */

/* The vectors of a tile of `rows` rows: as many as fit the registers together with a vector of b for each
   and two more, which makes the fewest tiles and loads. */
#define TILE_VECTORS(rows) (smaller(4, ((VECTOR_BYTES == 64 ? 32 : 16) - 2) / ((rows) + 1)))

/* c[i, j] = relu?(start + Σ_k a[i, k] b[offset[k] + j]): rows i, pixels j, taps k. The sums start from c
   itself with `resume`, else from bias[i], or from 0 where that is NULL. The memory at
   `far` (rows, far_row) will be written soon: it is fetched while the sums go on, not waited for after. */
typedef struct {
    int64_t rows, pixels, taps;
    const REAL *a;
    int64_t a_row;
    const REAL *b;
    const int64_t *offset;
    const REAL *bias;
    REAL *c;
    int64_t c_row;
    int resume, relu;
    const REAL *far; /* or NULL */
    int64_t far_row;
} NAME(correlation);

/* Rows [i0, i0 + rows) and the pixels of `vectors` vectors from j0 on; with `partial`, of `tail` lanes. */
FASTNN_INLINE void NAME(correlate_tile)(const int rows, const int vectors, const int partial, int tail, int64_t i0,
                                        int64_t j0, const NAME(correlation) * p) {
    VECTOR sum[TILE_ROWS][4];
    const int64_t taps = p->taps, *offset = p->offset, a_row = p->a_row, c_row = p->c_row;
    const REAL *a = p->a + i0 * a_row, *b = p->b + j0;
    REAL *c = p->c + i0 * c_row + j0;
    if (p->resume)
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) {
                const REAL *at = c + i * c_row + j * LANES;
                sum[i][j] = partial ? NAME(load_partial)(at, tail) : NAME(load)(at);
            }
    else
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const REAL start = p->bias ? p->bias[i0 + i] : 0;
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] = (VECTOR){0} + start;
        }
    if (p->far && j0 < p->far_row)
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++)
                __builtin_prefetch(p->far + (i0 + i) * p->far_row + j0 + j * LANES, 1);
    for (int64_t k = 0; k < taps; k++) {
        const REAL *at = b + offset[k];
        VECTOR b_k[4];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            b_k[j] = partial ? NAME(load_partial)(at, tail) : NAME(load)(at + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const REAL a_ik = a[i * a_row + k];
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] += a_ik * b_k[j];
        }
    }
    if (p->relu)
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) sum[i][j] = NAME(relu_vector)(sum[i][j]);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            if (partial) NAME(store_partial)(c + i * c_row, sum[i][j], tail);
            else NAME(store)(c + i * c_row + j * LANES, sum[i][j]);
        }
}

/* All pixels of `rows` rows. */
FASTNN_INLINE void NAME(correlate_rows)(const int rows, int64_t i, const NAME(correlation) * p) {
    const int vectors = (int)TILE_VECTORS(rows);
    const int64_t pixels = p->pixels;
    int64_t j = 0;
    /* The last four vectors of tiles of three had better be two and two than three and one. */
    const int64_t wide = pixels - (vectors == 3 && pixels / LANES % 3 == 1 ? 4 * LANES : 0);
    for (; j + vectors * LANES <= wide; j += vectors * LANES) NAME(correlate_tile)(rows, vectors, 0, 0, i, j, p);
    if (vectors > 2)
        for (; j + 2 * LANES <= pixels; j += 2 * LANES) NAME(correlate_tile)(rows, 2, 0, 0, i, j, p);
    for (; j + LANES <= pixels; j += LANES) NAME(correlate_tile)(rows, 1, 0, 0, i, j, p);
    if (j < pixels) NAME(correlate_tile)(rows, 1, 1, (int)(pixels - j), i, j, p);
}

#define FASTNN_ROWS_CASE(rows)                                                                               \
    case rows:                                                                                               \
        NAME(correlate_rows)(rows, i, p);                                                                    \
        break;
static void NAME(correlate)(const NAME(correlation) * p) {
    for (int64_t i = 0; i < p->rows; i += TILE_ROWS) switch (smaller(TILE_ROWS, p->rows - i)) {
            FASTNN_ROWS_CASE(1)
            FASTNN_ROWS_CASE(2)
            FASTNN_ROWS_CASE(3)
            FASTNN_ROWS_CASE(4)
#if TILE_ROWS >= 6
            FASTNN_ROWS_CASE(5)
            FASTNN_ROWS_CASE(6)
#endif
#if TILE_ROWS >= 8
            FASTNN_ROWS_CASE(7)
            FASTNN_ROWS_CASE(8)
#endif
        }
}
#undef FASTNN_ROWS_CASE

#undef TILE_VECTORS
#undef PACK_CHANNELS
#undef PACK_BYTES
#undef VECTOR
#undef MASK
#undef LANES
