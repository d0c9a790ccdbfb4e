/* Winograd's form of the gradients by weight and bias, for one dtype: REAL and NAME are set by
   convolution.h.

   The adjoint of winograd.h's formula by g: dg = Gᵀ [Σ over tiles of (A dY Aᵀ) ∘ (Bᵀ d B)] G. The sums are matrix
   products over the tiles, one for each place, with filters along the lanes; places of the same roles share their
   A dY Aᵀ. Of the source, channels lie along the lanes, as in winograd_filters_body.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Channels whose sums are kept at a time, with those of WINOGRAD_FILTERS filters. */
#define BLOCK_CHANNELS 128

/* m = A y, by role */
FASTNN_INLINE void NAME(expand_gradient)(VECTOR y0, VECTOR y1, VECTOR *m) {
    m[FIRST] = y0;
    m[SECOND] = y1;
    m[SUM] = y0 + y1;
    m[DIFFERENCE] = y0 - y1;
}

/* g = Gᵀ u, of run i if there is one */
FASTNN_INLINE void NAME(contract_weight_run)(const int kind, const int i, const VECTOR *u, VECTOR *g) {
    if (i >= winograd_of(kind)->runs) return;
    const int taps = winograd_of(kind)->run_taps[i], step = winograd_of(kind)->stride;
    const VECTOR first = u[winograd_begin(kind, FIRST) + i], second = u[winograd_begin(kind, SECOND) + i];
    VECTOR *at = g + winograd_of(kind)->run_first[i];
    if (taps == 1) at[0] = first + second;
    if (taps == 2) {
        at[0] = first + u[winograd_begin(kind, SUM) + i];
        at[step] = u[winograd_begin(kind, SUM) + i] + second;
    }
    if (taps == 3) {
        const VECTOR sum = u[winograd_begin(kind, SUM) + i], difference = u[winograd_begin(kind, DIFFERENCE) + i];
        const VECTOR both = (REAL)0.5 * (sum + difference);
        at[0] = first + both;
        at[step] = (REAL)0.5 * (sum - difference);
        at[2 * step] = both + second;
    }
}
FASTNN_INLINE void NAME(contract_weight)(const int kind, const VECTOR *u, VECTOR *g) {
    NAME(contract_weight_run)(kind, 0, u, g);
    NAME(contract_weight_run)(kind, 1, u, g);
}

/* m (sums, tiles, TILE_COLUMNS) = A dY Aᵀ of a row of tiles: lanes are filters. dy (rows, columns,
   TILE_COLUMNS) may lack the second row, or its last tile the second column. */
FASTNN_INLINE void NAME(transform_gradient)(const int kind, const REAL *dy, int64_t columns, int two_rows,
                                            REAL *m, int64_t m_sum) {
    const int roles = winograd_roles(kind);
    const int64_t row = columns * TILE_COLUMNS;
    for (int64_t j = 0; j < columns; j += 2, dy += 2 * TILE_COLUMNS, m += TILE_COLUMNS)
        for (int half = 0; half < TILE_COLUMNS; half += LANES) {
            const VECTOR zero = {0};
            const REAL *at = dy + half;
            const int two_columns = j + 1 < columns;
            VECTOR left[4], right[4], whole[4];
            NAME(expand_gradient)(NAME(load)(at), two_rows ? NAME(load)(at + row) : zero, left);
            at += TILE_COLUMNS;
            NAME(expand_gradient)(two_columns ? NAME(load)(at) : zero,
                                  two_rows && two_columns ? NAME(load)(at + row) : zero, right);
#pragma GCC unroll 4
            for (int i = 0; i < roles; i++) {
                NAME(expand_gradient)(left[i], right[i], whole);
#pragma GCC unroll 4
                for (int k = 0; k < roles; k++) NAME(store)(m + (i * roles + k) * m_sum + half, whole[k]);
            }
        }
}

/* dweight (filters, …, taps, taps) = Gᵀ u G of one channel, filter_step apart: lanes are filters. */
FASTNN_INLINE void NAME(transform_sums)(const int kind, const REAL *u, int64_t place, int64_t filters,
                                        REAL *dweight, int64_t filter_step) {
    const int taps = winograd_of(kind)->taps, side = winograd_side(kind);
    for (int64_t f = 0; f < filters; f += LANES) {
        VECTOR half[MAX_TAPS][MAX_SIDE], whole[MAX_TAPS];
        REAL lanes[MAX_TAPS * MAX_TAPS][LANES];
#pragma GCC unroll 7
        for (int j = 0; j < side; j++) {
            VECTOR column[MAX_SIDE], rows[MAX_TAPS];
#pragma GCC unroll 7
            for (int i = 0; i < side; i++) column[i] = NAME(load)(u + winograd_place(kind, i, j) * place + f);
            NAME(contract_weight)(kind, column, rows);
#pragma GCC unroll 5
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
                                       REAL *m, int64_t m_sum, REAL *bias_sums) {
    const int64_t width = p->columns.out, plane = p->out_h * p->out_w;
    image_part part;
    for (int64_t at = begin; at < end; at += part.count) {
        part = NAME(part_from)(p, g, at, end);
        const int64_t rows = smaller(2 * part.count, p->out_h - 2 * part.first), pixels = rows * p->out_w;
        const REAL *from = dy + (part.image * p->filters + filter) * plane + 2 * part.first * p->out_w;
        NAME(pack_panel)(pixels, columns, from, 1, plane, panel);
        for (int64_t i = 0; i < part.count; i++)
            NAME(transform_gradient)(kind, panel + 2 * i * p->out_w * TILE_COLUMNS, p->out_w, 2 * i + 1 < rows,
                                     m + (at - begin + i) * width * TILE_COLUMNS, m_sum);
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
    const int places = winograd_side(kind) * winograd_side(kind), taps = winograd_of(kind)->taps, weights = taps * taps;
    const int roles = winograd_roles(kind);
    const int64_t all_rows = p.images * p.rows.out, rows = smaller(all_rows, larger(1, WINOGRAD_TILES / p.columns.out));
    const int64_t tiles = rows * p.columns.out, most = smaller(BLOCK_CHANNELS, p.channels);
    NAME(turned_source) source; /* v (places, tiles, channels) */
    const int64_t source_size = NAME(plan_turned)(kind, &source, &p, rows);
    source.tile = round_up(most, LANES);
    source.place = tiles * source.tile + LANES; /* places must not meet in the same sets of L1 */
    const int64_t m_sum = tiles * TILE_COLUMNS + LANES, panel_size = 4 * tiles * TILE_COLUMNS;
    const int64_t sums_size = (places * most + 1) * WINOGRAD_FILTERS, v_size = places * source.place;
    REAL *m = arena((size_t)(roles * roles * m_sum + sums_size + panel_size + source_size + v_size) * sizeof(REAL));
    REAL *u = m + roles * roles * m_sum, *panel = u + sums_size, *bias_sums = panel - WINOGRAD_FILTERS;
    NAME(place_source)(&source, panel + panel_size);

    const int64_t last = p.groups * p.channels * (thread + 1) / threads;
    for (int64_t from = p.groups * p.channels * thread / threads, count; from < last; from += count) {
        const int64_t g = from / p.channels, e0 = from % p.channels;
        count = smaller(smaller(last - from, p.channels - e0), BLOCK_CHANNELS);
        const int64_t u_place = count * WINOGRAD_FILTERS;
        for (int64_t f0 = 0; f0 < p.filters; f0 += WINOGRAD_FILTERS) {
            const int64_t block = smaller(WINOGRAD_FILTERS, p.filters - f0);
            memset(u, 0, (size_t)(places * u_place) * sizeof(REAL));
            memset(bias_sums, 0, WINOGRAD_FILTERS * sizeof(REAL));
            for (int64_t begin = 0; begin < all_rows; begin += rows) {
                const int64_t end = smaller(all_rows, begin + rows);
                NAME(turn_source)(kind, &source, &p, g, e0, count, begin, end);
                for (int64_t f = 0; f < block; f += TILE_COLUMNS) {
                    const int columns = (int)smaller(TILE_COLUMNS, block - f);
                    NAME(fill_gradient)(kind, &p, dy, g, f0 + f, columns, begin, end, panel, m, m_sum,
                                        bias_sums + f);
                    for (int sum = 0; sum < roles * roles; sum++) {
                        const winograd_places at = places_of_roles(kind, sum / roles, sum % roles);
                        NAME(product) product = {.m = count, .n = round_up(columns, LANES),
                                                 .k = (end - begin) * p.columns.out, .a_row = 1,
                                                 .a_column = source.tile, .b_row = TILE_COLUMNS,
                                                 .c_row = WINOGRAD_FILTERS, .start_row = WINOGRAD_FILTERS};
                        for (int place = at.begin; place < at.begin + at.count; place++) {
                            product.start = product.c = u + place * u_place + f; /* the chain goes on */
                            NAME(panel)(count, (int)product.n, &product, 0, 0, source.v + place * source.place,
                                        m + sum * m_sum);
                        }
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
        case WINOGRAD_4_BY_2: NAME(run_winograd_weight)(WINOGRAD_4_BY_2, &p, dy, dweight, dbias, thread, threads); break;
        case WINOGRAD_5: NAME(run_winograd_weight)(WINOGRAD_5, &p, dy, dweight, dbias, thread, threads); break;
        case WINOGRAD_5_BY_2: NAME(run_winograd_weight)(WINOGRAD_5_BY_2, &p, dy, dweight, dbias, thread, threads); break;
    }
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef BLOCK_CHANNELS
