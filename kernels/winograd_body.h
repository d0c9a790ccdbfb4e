/* Winograd's form of the convolution, for one dtype: REAL and NAME are set by convolution.h; the
   formulas and their matrices' names are in winograd.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* --- the matrices, one axis at a time; `kind` is a constant at every call --------------------------------- */

/* u = G g, of run i if there is one */
FASTNN_INLINE void NAME(expand_weight_run)(const int kind, const int i, const VECTOR *g, VECTOR *u) {
    if (i >= winograd_kinds[kind].runs) return;
    const int taps = winograd_kinds[kind].run_taps[i], step = winograd_stride(kind);
    const VECTOR *at = g + winograd_kinds[kind].run_first[i];
    const VECTOR first = at[0], last = at[(taps - 1) * step];
    u[winograd_begin(kind, FIRST) + i] = first;
    u[winograd_begin(kind, SECOND) + i] = last;
    if (taps == 2) u[winograd_begin(kind, SUM) + i] = first + last;
    if (taps == 3) {
        u[winograd_begin(kind, SUM) + i] = (REAL)0.5 * (first + last + at[step]);
        u[winograd_begin(kind, DIFFERENCE) + i] = (REAL)0.5 * (first + last - at[step]);
    }
}
FASTNN_INLINE void NAME(expand_weight)(const int kind, const VECTOR *g, VECTOR *u) {
    NAME(expand_weight_run)(kind, 0, g, u);
    NAME(expand_weight_run)(kind, 1, g, u);
}

/* v = Bᵀ d, of run i if there is one */
FASTNN_INLINE void NAME(expand_source_run)(const int kind, const int i, const VECTOR *d, VECTOR *v) {
    if (i >= winograd_kinds[kind].runs) return;
    const int taps = winograd_kinds[kind].run_taps[i], step = winograd_stride(kind);
    const VECTOR *at = d + winograd_kinds[kind].run_first[i];
    const VECTOR next = at[step];
    v[winograd_begin(kind, FIRST) + i] = taps == 1 ? at[0] : at[0] - (taps == 2 ? next : at[2 * step]);
    v[winograd_begin(kind, SECOND) + i] = taps == 1 ? next : at[taps * step] - next;
    if (taps == 2) v[winograd_begin(kind, SUM) + i] = next;
    if (taps == 3) {
        v[winograd_begin(kind, SUM) + i] = next + at[2 * step];
        v[winograd_begin(kind, DIFFERENCE) + i] = at[2 * step] - next;
    }
}
FASTNN_INLINE void NAME(expand_source)(const int kind, const VECTOR *d, VECTOR *v) {
    NAME(expand_source_run)(kind, 0, d, v);
    NAME(expand_source_run)(kind, 1, d, v);
}

/* y = Aᵀ m, from the sums of each role */
FASTNN_INLINE void NAME(contract_output)(const int kind, const VECTOR *m, VECTOR y[2]) {
    y[0] = m[FIRST] + m[SUM];
    y[1] = m[SUM];
    if (winograd_roles(kind) == 4) {
        y[0] += m[DIFFERENCE];
        y[1] -= m[DIFFERENCE];
    }
    y[1] += m[SECOND];
}

/* --- transforms of blocks ------------------------------------------------------------------------------- */

/* What is convolved: forward x with the weights; back to x, dy with the weights transposed and turned by
   180°. */
typedef struct {
    int64_t images, groups, channels, filters; /* channels and filters of one group */
    int kind;
    axis rows, columns; /* tiles: pieces, 2 · stride apart */
    int64_t out_h, out_w;
    const REAL *source, *weight, *bias;
    int64_t weight_group, weight_filter, weight_channel; /* steps between the weights' … */
    int turned, relu;
    const REAL *mask; /* or NULL */
    REAL *y;
} NAME(winograd);

/* u = G g Gᵀ, for each sum (filters, places, channels), `place` for each place before it: lanes are channels. */
FASTNN_INLINE void NAME(transform_weight)(const int kind, const NAME(winograd) * p, const REAL *weight,
                                          int64_t filters, REAL *u, int64_t place) {
    const int taps = winograd_taps(kind), roles = winograd_roles(kind);
    for (int64_t f = 0; f < filters; f++)
        for (int64_t e = 0; e < p->channels; e += LANES) {
            const int lanes = (int)smaller(LANES, p->channels - e);
            const REAL *from = weight + f * p->weight_filter + e * p->weight_channel;
            REAL g[MAX_TAPS * MAX_TAPS][LANES];
            for (int i = 0; i < taps * taps; i += LANES)
                NAME(transpose)(from + i, p->weight_channel, lanes, (int)smaller(LANES, taps * taps - i), g[i], LANES);
            VECTOR half[MAX_TAPS][MAX_SIDE], whole[MAX_SIDE];
#pragma GCC unroll 5
            for (int i = 0; i < taps; i++) {
                VECTOR row[MAX_TAPS];
#pragma GCC unroll 5
                for (int j = 0; j < taps; j++)
                    row[j] = NAME(load)(g[p->turned ? taps * taps - 1 - taps * i - j : taps * i + j]);
                NAME(expand_weight)(kind, row, half[i]);
            }
#pragma GCC unroll 4
            for (int b = 0; b < roles; b++)
#pragma GCC unroll 2
                for (int j = 0; j < winograd_count(kind, b); j++) {
                    VECTOR column[MAX_TAPS];
#pragma GCC unroll 5
                    for (int i = 0; i < taps; i++) column[i] = half[i][winograd_begin(kind, b) + j];
                    NAME(expand_weight)(kind, column, whole);
#pragma GCC unroll 4
                    for (int a = 0; a < roles; a++)
#pragma GCC unroll 2
                        for (int i = 0; i < winograd_count(kind, a); i++) {
                            const winograd_places at = places_of_sum(kind, a, b);
                            const int64_t row = f * at.count + i * winograd_count(kind, b) + j;
                            NAME(store_partial)(u + at.begin * place + row * p->channels + e,
                                                whole[winograd_begin(kind, a) + i], lanes);
                        }
                }
        }
}

/* v (places, …, tiles) = Bᵀ d B of one channel: lanes are tiles, whose pixels lie at `offset` of `packed`. */
FASTNN_INLINE void NAME(transform_source)(const int kind, const REAL *packed, const int64_t *offset,
                                          int64_t tiles, REAL *v, int64_t place) {
    const int side = winograd_side(kind), piece = winograd_piece(kind), roles = winograd_roles(kind);
    for (int64_t t = 0; t < tiles; t += LANES) {
        VECTOR half[MAX_SIDE][MAX_PIECE], whole[MAX_SIDE];
#pragma GCC unroll 9
        for (int j = 0; j < piece; j++) {
            VECTOR d[MAX_PIECE], column[MAX_SIDE];
#pragma GCC unroll 9
            for (int i = 0; i < piece; i++) d[i] = NAME(load)(packed + offset[i * piece + j] + t);
            NAME(expand_source)(kind, d, column);
#pragma GCC unroll 10
            for (int i = 0; i < side; i++) half[i][j] = column[i];
        }
#pragma GCC unroll 4
        for (int a = 0; a < roles; a++)
#pragma GCC unroll 2
            for (int i = 0; i < winograd_count(kind, a); i++) {
                NAME(expand_source)(kind, half[winograd_begin(kind, a) + i], whole);
#pragma GCC unroll 4
                for (int b = 0; b < roles; b++)
#pragma GCC unroll 2
                    for (int j = 0; j < winograd_count(kind, b); j++)
                        NAME(store)(v + (places_of_sum(kind, a, b).begin + i * winograd_count(kind, b) + j) * place + t,
                                    whole[winograd_begin(kind, b) + j]);
            }
    }
}

/* Where the taps of the products below find v, whose channels are `row` elements apart; returns how many they are at
   most. */
FASTNN_INLINE int64_t NAME(most_taps)(const int kind, int64_t channels) {
    return places_of_sum(kind, FIRST, FIRST).count * channels;
}
static void NAME(place_offsets)(int64_t taps, int64_t channels, int64_t place, int64_t row, int64_t *offset) {
    for (int64_t k = 0; k < taps; k++) offset[k] = k / channels * place + k % channels * row;
}

/* m (sums, filters, tiles) = Σ over places and channels of u v, for filters from f on: `product` has their number, that
   of the tiles, the offsets and the row of m. */
FASTNN_INLINE void NAME(sum_places)(const int kind, NAME(correlation) product, int64_t channels, int64_t f, const REAL *u,
                                    int64_t u_place, const REAL *v, int64_t v_place, REAL *m, int64_t m_sum) {
    const int roles = winograd_roles(kind);
    for (int sum = 0; sum < roles * roles; sum++) {
        const winograd_places at = places_of_sum(kind, sum / roles, sum % roles);
        product.taps = product.a_row = at.count * channels;
        product.a = u + at.begin * u_place + f * product.taps;
        product.b = v + at.begin * v_place;
        product.c = m + sum * m_sum;
        NAME(correlate)(&product);
    }
}

/* y = relu?(Aᵀ m A + bias): the 2 x 2 outputs of a vector of tiles of one filter. */
FASTNN_INLINE void NAME(tile_outputs)(const int kind, const REAL *m, int64_t m_sum, REAL bias, int relu,
                                      VECTOR y[2][2]) {
    const int roles = winograd_roles(kind);
    VECTOR half[2][4];
#pragma GCC unroll 4
    for (int j = 0; j < roles; j++) {
        VECTOR column[4], rows[2];
#pragma GCC unroll 4
        for (int i = 0; i < roles; i++) column[i] = NAME(load)(m + (i * roles + j) * m_sum);
        NAME(contract_output)(kind, column, rows);
        half[0][j] = rows[0];
        half[1][j] = rows[1];
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        NAME(contract_output)(kind, half[i], y[i]);
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            y[i][j] += bias;
            if (relu) y[i][j] = NAME(relu_vector)(y[i][j]);
        }
    }
}

/* The outputs of one filter: two rows of 2 · tiles, `row` apart. */
FASTNN_INLINE void NAME(transform_output)(const int kind, const REAL *m, int64_t m_sum, int64_t tiles, REAL bias,
                                          int relu, REAL *y, int64_t row) {
    for (int64_t t = 0; t < tiles; t += LANES) {
        VECTOR tile[2][2];
        NAME(tile_outputs)(kind, m + t, m_sum, bias, relu, tile);
#pragma GCC unroll 2
        for (int i = 0; i < 2; i++) {
            NAME(store)(y + i * row + 2 * t, NAME(interleave)(tile[i][0], tile[i][1], 0));
            NAME(store)(y + i * row + 2 * t + LANES, NAME(interleave)(tile[i][0], tile[i][1], 1));
        }
    }
}

/* --- the convolution ------------------------------------------------------------------------------------- */

/* The rows of tiles in a block: about WINOGRAD_TILES, whole vectors of them where possible, and short enough
   that every thread gets a block. */
static inline int64_t NAME(winograd_rows)(const NAME(winograd) * p, int64_t threads) {
    const int64_t rows = larger(1, WINOGRAD_TILES / p->columns.out);
    const int64_t share = ceil_divide(p->images * p->rows.out, threads);
    return larger(1, smaller(whole_vectors(rows, p->columns.out, LANES), share));
}

/* The transformed source, (places, channels, tiles), of channels [e0, e0 + channels) of group g and the rows
   of tiles [begin, end), counted through all images. */
typedef struct {
    window w; /* of one channel */
    strip s;
    int64_t offset[MAX_PIECE * MAX_PIECE];
    REAL *packed, *v;
    int64_t row, place; /* steps of v */
} NAME(winograd_source);

/* Lay out `channels` channels of `rows` rows of tiles; returns the elements of v and packed. */
static int64_t NAME(plan_source)(NAME(winograd_source) * to, const NAME(winograd) * p, int64_t channels,
                                 int64_t rows) {
    to->w = (window){.channels = 1, .rows = p->rows, .columns = p->columns};
    to->s = window_strip(&to->w, smaller(rows, p->rows.out));
    tap_offsets(&to->w, &to->w, &to->s, to->offset);
    to->row = round_up(rows * p->columns.out, LANES) + LANES; /* a vector may run over */
    to->place = channels * to->row + LANES;                   /* places must not meet in the same sets of L1 */
    const int side = winograd_side(p->kind);
    return side * side * to->place + WINOGRAD_CHANNELS * p->columns.taps * to->s.plane;
}

FASTNN_INLINE void NAME(fill_source)(const int kind, const NAME(winograd_source) * to, const NAME(winograd) * p,
                                     int64_t g, int64_t e0, int64_t channels, int64_t begin, int64_t end) {
    const int64_t height = p->rows.out, width = p->columns.out, area = p->rows.source * p->columns.source;
    for (int64_t at = begin, count; at < end; at += count) { /* the part in one image */
        const int64_t image = at / height * p->groups + g, first = at % height;
        count = smaller(end - at, height - first);
        for (int64_t e = 0; e < channels; e += WINOGRAD_CHANNELS) {
            const int64_t block = smaller(WINOGRAD_CHANNELS, channels - e);
            NAME(pack_strip)(&to->w, &to->s, p->source + (image * p->channels + e0 + e) * area, block, first,
                             count, to->packed);
            for (int64_t i = 0; i < block; i++)
                NAME(transform_source)(kind, to->packed + i * p->columns.taps * to->s.plane, to->offset,
                                       count * width, to->v + (e + i) * to->row + (at - begin) * width,
                                       to->place);
        }
    }
}

/* Copy filter `filter` of group g from rows of outputs, two for each row of tiles in [begin, end), to y. The place
   of the next filter's is asked for. */
static void NAME(write_outputs)(const NAME(winograd) * p, const REAL *outputs, int64_t row, int64_t g,
                                int64_t filter, int64_t begin, int64_t end) {
    for (int64_t at = begin; at < end; at++, outputs += 2 * p->columns.out) {
        const int64_t image = at / p->rows.out * p->groups + g, i = at % p->rows.out * 2;
        const int64_t to = ((image * p->filters + filter) * p->out_h + i) * p->out_w;
        const int64_t rows = smaller(2, p->out_h - i), plane = p->out_h * p->out_w;
        for (int64_t ahead = plane; ahead < plane + rows * p->out_w; ahead += 64 / (int64_t)sizeof(REAL))
            __builtin_prefetch(p->y + to + ahead, 1);
        NAME(copy_row)(outputs, p->out_w, p->y + to);
        if (rows == 2) NAME(copy_row)(outputs + row, p->out_w, p->y + to + p->out_w);
        if (p->mask) NAME(apply_mask)(rows * p->out_w, p->mask + to, p->y + to);
    }
}

/* Units of work: blocks of rows of tiles, of all images, of one group. */
FASTNN_INLINE void NAME(run_winograd)(const int kind, const NAME(winograd) * problem, int64_t thread,
                                      int64_t threads) {
    const NAME(winograd) p = *problem;
    const int places = winograd_side(kind) * winograd_side(kind), sums = winograd_roles(kind) * winograd_roles(kind);
    const int64_t width = p.columns.out, all_rows = p.images * p.rows.out;
    const int64_t rows = NAME(winograd_rows)(&p, threads), units = ceil_divide(all_rows, rows);
    NAME(winograd_source) source;
    const int64_t source_size = NAME(plan_source)(&source, &p, p.channels, rows), row = source.row;
    const int64_t u_place = smaller(WINOGRAD_FILTERS, p.filters) * p.channels + LANES;
    const int64_t m_sum = WINOGRAD_ROWS * row + LANES, taps = NAME(most_taps)(kind, p.channels);
    int64_t *offset = arena((size_t)round_up(taps, 8) * sizeof(int64_t) +
                            (size_t)(places * u_place + sums * m_sum + 4 * row + source_size) * sizeof(REAL));
    REAL *u = (REAL *)(offset + round_up(taps, 8)), *m = u + places * u_place, *outputs = m + sums * m_sum;
    source.v = outputs + 4 * row;
    source.packed = source.v + places * source.place;
    NAME(place_offsets)(taps, p.channels, source.place, row, offset);

    for (int64_t g = 0; g < p.groups; g++)
        for (int64_t f0 = 0; f0 < p.filters; f0 += WINOGRAD_FILTERS) {
            const int64_t block = smaller(WINOGRAD_FILTERS, p.filters - f0);
            NAME(transform_weight)(kind, &p, p.weight + g * p.weight_group + f0 * p.weight_filter, block, u,
                                   u_place);
            for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
                const int64_t begin = unit * rows, end = smaller(all_rows, begin + rows);
                const int64_t tiles = (end - begin) * width;
                NAME(fill_source)(kind, &source, &p, g, 0, p.channels, begin, end);
                for (int64_t f = 0; f < block; f += WINOGRAD_ROWS) {
                    const int64_t filters = smaller(WINOGRAD_ROWS, block - f);
                    const NAME(correlation) product = {.rows = filters, .pixels = tiles, .offset = offset, .c_row = row};
                    NAME(sum_places)(kind, product, p.channels, f, u, u_place, source.v, source.place, m, m_sum);
                    for (int64_t i = 0; i < filters; i++) {
                        const int64_t filter = f0 + f + i;
                        NAME(transform_output)(kind, m + i * row, m_sum, tiles,
                                               p.bias ? p.bias[g * p.filters + filter] : 0, p.relu, outputs, 2 * row);
                        NAME(write_outputs)(&p, outputs, 2 * row, g, filter, begin, end);
                    }
                }
            }
        }
}

/* The problem y = relu?(bias + x * weight). */
static NAME(winograd) NAME(winograd_forward)(const convolution *o, const REAL *x, const REAL *weight,
                                             const REAL *bias, REAL *y, int relu) {
    const int64_t channels = o->c / o->groups, filters = o->filters / o->groups;
    const int kind = winograd_kind_of(o), taps = winograd_taps(kind);
    return (NAME(winograd)){.images = o->n, .groups = o->groups, .channels = channels, .filters = filters,
                            .kind = kind, .rows = winograd_axis(kind, o->h, o->out_h, o->pad_top),
                            .columns = winograd_axis(kind, o->w, o->out_w, o->pad_left),
                            .out_h = o->out_h, .out_w = o->out_w,
                            .source = x, .weight = weight, .bias = bias,
                            .weight_group = filters * channels * taps * taps,
                            .weight_filter = channels * taps * taps, .weight_channel = taps * taps,
                            .relu = relu, .y = y};
}

/* The problem dx, with a stride of 1: dy convolved with the weights transposed and turned. */
static NAME(winograd) NAME(winograd_input)(const convolution *o, const REAL *dy, const REAL *weight,
                                           const REAL *mask, REAL *dx) {
    const int64_t channels = o->c / o->groups, filters = o->filters / o->groups;
    const int kind = winograd_kind_of(o), taps = winograd_taps(kind);
    return (NAME(winograd)){.images = o->n, .groups = o->groups, .channels = filters, .filters = channels,
                            .kind = kind, .rows = winograd_axis(kind, o->out_h, o->h, taps - 1 - o->pad_top),
                            .columns = winograd_axis(kind, o->out_w, o->w, taps - 1 - o->pad_left),
                            .out_h = o->h, .out_w = o->w,
                            .source = dy, .weight = weight,
                            .weight_group = filters * channels * taps * taps, .weight_filter = taps * taps,
                            .weight_channel = channels * taps * taps, .turned = 1, .mask = mask, .y = dx};
}

#undef VECTOR
#undef LANES
