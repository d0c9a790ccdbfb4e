/* Winograd's form of the gradients by weight and bias, for one dtype: REAL and NAME are set by
   convolution.h.

   The adjoint of winograd.h's formula by g: dg = Gᵀ [Σ over tiles of (A dY Aᵀ) ∘ (Bᵀ d B)] G. The sums are
   matrix products over the tiles, one for each place. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Channels whose sums are kept at a time, with those of WINOGRAD_FILTERS filters. */
#define BLOCK_CHANNELS 64

/* m = A y */
FASTNN_INLINE void NAME(expand_gradient)(const int kind, VECTOR y0, VECTOR y1, VECTOR *m) {
    m[0] = y0;
    m[1] = y0 + y1;
    if (kind == WINOGRAD_3_BY_2) {
        m[2] = m[4] = y1;
        m[3] = y0;
        return;
    }
    m[2] = y0 - y1;
    m[3] = -y1;
    if (kind == WINOGRAD_5) {
        m[4] = y0;
        m[5] = m[1];
        m[6] = y1;
    }
}

/* g = Gᵀ u */
FASTNN_INLINE void NAME(contract_weight)(const int kind, const VECTOR *u, VECTOR *g) {
    if (kind == WINOGRAD_3_BY_2) {
        g[0] = u[0] + u[1];
        g[1] = u[3] + u[4];
        g[2] = u[1] + u[2];
        return;
    }
    const VECTOR sum = (REAL)0.5 * (u[1] + u[2]);
    g[0] = u[0] + sum;
    g[1] = (REAL)0.5 * (u[1] - u[2]);
    g[2] = sum + u[3];
    if (kind == WINOGRAD_5) {
        g[3] = u[4] + u[5];
        g[4] = u[5] + u[6];
    }
}

/* m (places, tiles, TILE_COLUMNS) = A dY Aᵀ of a row of tiles: lanes are filters. dy (rows, columns,
   TILE_COLUMNS) may lack the second row, or its last tile the second column. */
FASTNN_INLINE void NAME(transform_gradient)(const int kind, const REAL *dy, int64_t columns, int two_rows,
                                            REAL *m, int64_t place) {
    const int side = winograd_side(kind);
    const int64_t row = columns * TILE_COLUMNS;
    for (int64_t j = 0; j < columns; j += 2, dy += 2 * TILE_COLUMNS, m += TILE_COLUMNS)
        for (int half = 0; half < TILE_COLUMNS; half += LANES) {
            const VECTOR zero = {0};
            const REAL *at = dy + half;
            const int two_columns = j + 1 < columns;
            VECTOR left[MAX_SIDE], right[MAX_SIDE], whole[MAX_SIDE];
            NAME(expand_gradient)(kind, NAME(load)(at), two_rows ? NAME(load)(at + row) : zero, left);
            at += TILE_COLUMNS;
            NAME(expand_gradient)(kind, two_columns ? NAME(load)(at) : zero,
                                  two_rows && two_columns ? NAME(load)(at + row) : zero, right);
#pragma GCC unroll 7
            for (int i = 0; i < side; i++) {
                NAME(expand_gradient)(kind, left[i], right[i], whole);
#pragma GCC unroll 7
                for (int k = 0; k < side; k++) NAME(store)(m + (i * side + k) * place + half, whole[k]);
            }
        }
}

/* dweight (filters, …, taps, taps) = Gᵀ u G of one channel, filter_step apart: lanes are filters. */
FASTNN_INLINE void NAME(transform_sums)(const int kind, const REAL *u, int64_t place, int64_t filters,
                                        REAL *dweight, int64_t filter_step) {
    const int side = winograd_side(kind), taps = winograd_taps(kind);
    for (int64_t f = 0; f < filters; f += LANES) {
        VECTOR half[5][MAX_SIDE], whole[5];
        REAL lanes[25][LANES];
        for (int j = 0; j < side; j++) {
            VECTOR column[MAX_SIDE], rows[5];
            for (int i = 0; i < side; i++) column[i] = NAME(load)(u + (i * side + j) * place + f);
            NAME(contract_weight)(kind, column, rows);
            for (int i = 0; i < taps; i++) half[i][j] = rows[i];
        }
        for (int i = 0; i < taps; i++) {
            NAME(contract_weight)(kind, half[i], whole);
            for (int j = 0; j < taps; j++) NAME(store)(lanes[taps * i + j], whole[j]);
        }
        for (int l = 0; l < smaller(LANES, filters - f); l++)
            for (int i = 0; i < taps * taps; i++) dweight[(f + l) * filter_step + i] = lanes[i][l];
    }
}

/* m for `columns` filters from `filter` on, of the rows of tiles [begin, end); adds dy to bias_sums. */
FASTNN_INLINE void NAME(fill_gradient)(const int kind, const NAME(winograd) * p, const REAL *dy, int64_t g,
                                       int64_t filter, int columns, int64_t begin, int64_t end, REAL *panel,
                                       REAL *m, int64_t place, REAL *bias_sums) {
    const int64_t height = p->rows.out, width = p->columns.out, plane = p->out_h * p->out_w;
    for (int64_t at = begin, part; at < end; at += part) { /* the part in one image */
        const int64_t image = at / height * p->groups + g, first = at % height;
        part = smaller(end - at, height - first);
        const int64_t rows = smaller(2 * part, p->out_h - 2 * first), pixels = rows * p->out_w;
        const REAL *from = dy + (image * p->filters + filter) * plane + 2 * first * p->out_w;
        NAME(pack_panel)(pixels, columns, from, 1, plane, panel);
        for (int64_t i = 0; i < part; i++)
            NAME(transform_gradient)(kind, panel + 2 * i * p->out_w * TILE_COLUMNS, p->out_w, 2 * i + 1 < rows,
                                     m + (at - begin + i) * width * TILE_COLUMNS, place);
        for (int half = 0; half < TILE_COLUMNS; half += LANES) {
            VECTOR sum = NAME(load)(bias_sums + half);
            for (int64_t k = 0; k < pixels; k++) sum += NAME(load)(panel + k * TILE_COLUMNS + half);
            NAME(store)(bias_sums + half, sum);
        }
    }
}

/* dweight and dbias. Each thread takes a range of all groups' channels; all sums are chains over the tiles
   in order. */
FASTNN_INLINE void NAME(run_winograd_weight)(const int kind, const NAME(winograd) * problem, const REAL *dy,
                                             REAL *dweight, REAL *dbias, int64_t thread, int64_t threads) {
    const NAME(winograd) p = *problem;
    const int places = winograd_side(kind) * winograd_side(kind), weights = winograd_taps(kind) * winograd_taps(kind);
    const int64_t all_rows = p.images * p.rows.out, rows = NAME(winograd_rows)(&p, 1);
    const int64_t tiles = rows * p.columns.out;
    NAME(winograd_source) source;
    const int64_t source_size = NAME(plan_source)(&source, &p, BLOCK_CHANNELS, rows);
    const int64_t m_place = tiles * TILE_COLUMNS + LANES, u_place = BLOCK_CHANNELS * WINOGRAD_FILTERS + LANES;
    const int64_t panel_size = 4 * tiles * TILE_COLUMNS;
    const int64_t elements = places * (m_place + u_place) + panel_size + WINOGRAD_FILTERS + source_size;
    const REAL **x = arena((size_t)places * BLOCK_CHANNELS * sizeof(REAL *) + (size_t)elements * sizeof(REAL));
    REAL *m = (REAL *)(x + places * BLOCK_CHANNELS), *u = m + places * m_place, *panel = u + places * u_place;
    REAL *bias_sums = panel + panel_size;
    source.v = bias_sums + WINOGRAD_FILTERS;
    source.packed = source.v + places * source.place;

    const int64_t last = p.groups * p.channels * (thread + 1) / threads;
    for (int64_t from = p.groups * p.channels * thread / threads, count; from < last; from += count) {
        const int64_t g = from / p.channels, e0 = from % p.channels;
        count = smaller(smaller(last - from, p.channels - e0), BLOCK_CHANNELS);
        for (int place = 0; place < places; place++)
            for (int64_t e = 0; e < count; e++)
                x[place * count + e] = source.v + place * source.place + e * source.row;
        for (int64_t f0 = 0; f0 < p.filters; f0 += WINOGRAD_FILTERS) {
            const int64_t block = smaller(WINOGRAD_FILTERS, p.filters - f0);
            memset(u, 0, (size_t)(places * u_place) * sizeof(REAL));
            memset(bias_sums, 0, WINOGRAD_FILTERS * sizeof(REAL));
            for (int64_t begin = 0; begin < all_rows; begin += rows) {
                const int64_t end = smaller(all_rows, begin + rows);
                NAME(fill_source)(kind, &source, &p, g, e0, count, begin, end);
                for (int64_t f = 0; f < block; f += TILE_COLUMNS) {
                    const int columns = (int)smaller(TILE_COLUMNS, block - f);
                    NAME(fill_gradient)(kind, &p, dy, g, f0 + f, columns, begin, end, panel, m, m_place,
                                        bias_sums + f);
                    for (int place = 0; place < places; place++) {
                        const NAME(tap_sums) sums = {
                            .taps = count, .pixels = (end - begin) * p.columns.out,
                            .x = x + place * count, .dy = m + place * m_place,
                            .sum = u + place * u_place + f, .sum_row = WINOGRAD_FILTERS};
                        NAME(sum_panel)(columns, &sums);
                    }
                }
            }
            for (int64_t e = 0; e < count; e++)
                NAME(transform_sums)(kind, u + e * WINOGRAD_FILTERS, u_place, block,
                                     dweight + ((g * p.filters + f0) * p.channels + e0 + e) * weights,
                                     p.channels * weights);
            if (e0 == 0 && dbias) memcpy(dbias + g * p.filters + f0, bias_sums, (size_t)block * sizeof(REAL));
        }
    }
}

static void NAME(convolve_winograd_weight)(const convolution *o, const REAL *x, const REAL *dy, REAL *dweight,
                                           REAL *dbias, int64_t thread, int64_t threads) {
    const NAME(winograd) p = NAME(winograd_forward)(o, x, NULL, NULL, NULL, 0);
    switch (p.kind) {
        case WINOGRAD_3: NAME(run_winograd_weight)(WINOGRAD_3, &p, dy, dweight, dbias, thread, threads); break;
        case WINOGRAD_3_BY_2: NAME(run_winograd_weight)(WINOGRAD_3_BY_2, &p, dy, dweight, dbias, thread, threads); break;
        case WINOGRAD_5: NAME(run_winograd_weight)(WINOGRAD_5, &p, dy, dweight, dbias, thread, threads); break;
    }
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef BLOCK_CHANNELS
