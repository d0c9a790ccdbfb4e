/* Winograd's form of the 3 x 3 convolution, for one dtype: REAL and NAME are set by convolution.h; the
   formulas and their matrices' names are in winograd.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* --- the matrices, one axis at a time; `kind` is a constant at every call --------------------------------- */

/* u = G g */
FASTNN_INLINE void NAME(expand_weight)(const int kind, const VECTOR *g, VECTOR *u) {
    u[0] = g[0];
    if (kind == WINOGRAD_3_BY_2) {
        u[1] = g[0] + g[2];
        u[2] = g[2];
        u[3] = u[4] = g[1];
        return;
    }
    u[1] = (REAL)0.5 * (g[0] + g[2] + g[1]);
    u[2] = (REAL)0.5 * (g[0] + g[2] - g[1]);
    u[3] = g[2];
    if (kind == WINOGRAD_5) {
        u[4] = g[3];
        u[5] = g[3] + g[4];
        u[6] = g[4];
    }
}

/* v = Bᵀ d */
FASTNN_INLINE void NAME(expand_source)(const int kind, const VECTOR *d, VECTOR *v) {
    v[0] = d[0] - d[2];
    if (kind == WINOGRAD_3_BY_2) {
        v[1] = d[2];
        v[2] = d[4] - d[2];
        v[3] = d[1];
        v[4] = d[3];
        return;
    }
    v[1] = d[1] + d[2];
    v[2] = d[2] - d[1];
    v[3] = d[1] - d[3];
    if (kind == WINOGRAD_5) {
        v[4] = d[3] - d[4];
        v[5] = d[4];
        v[6] = d[5] - d[4];
    }
}

/* y = Aᵀ m */
FASTNN_INLINE void NAME(contract_output)(const int kind, const VECTOR *m, VECTOR y[2]) {
    if (kind == WINOGRAD_3_BY_2) {
        y[0] = m[0] + m[1] + m[3];
        y[1] = m[1] + m[2] + m[4];
        return;
    }
    y[0] = m[0] + m[1] + m[2];
    y[1] = m[1] - m[2] - m[3];
    if (kind == WINOGRAD_5) {
        y[0] += m[4] + m[5];
        y[1] += m[5] + m[6];
    }
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

/* u (places, filters, channels) = G g Gᵀ, its places `place` apart: lanes are channels. */
FASTNN_INLINE void NAME(transform_weight)(const int kind, const NAME(winograd) * p, const REAL *weight,
                                          int64_t filters, REAL *u, int64_t place) {
    const int side = winograd_side(kind), taps = winograd_taps(kind);
    for (int64_t f = 0; f < filters; f++)
        for (int64_t e = 0; e < p->channels; e += LANES) {
            const int lanes = (int)smaller(LANES, p->channels - e);
            const REAL *from = weight + f * p->weight_filter + e * p->weight_channel;
            REAL g[25][LANES];
            for (int i = 0; i < taps * taps; i += LANES)
                NAME(transpose)(from + i, p->weight_channel, lanes, (int)smaller(LANES, taps * taps - i), g[i], LANES);
            VECTOR half[5][MAX_SIDE], whole[MAX_SIDE];
            for (int i = 0; i < taps; i++) {
                VECTOR row[5];
                for (int j = 0; j < taps; j++)
                    row[j] = NAME(load)(g[p->turned ? taps * taps - 1 - taps * i - j : taps * i + j]);
                NAME(expand_weight)(kind, row, half[i]);
            }
            for (int j = 0; j < side; j++) {
                VECTOR column[5];
                for (int i = 0; i < taps; i++) column[i] = half[i][j];
                NAME(expand_weight)(kind, column, whole);
                for (int i = 0; i < side; i++)
                    NAME(store_partial)(u + (i * side + j) * place + f * p->channels + e, whole[i], lanes);
            }
        }
}

/* v (places, …, tiles) = Bᵀ d B of one channel: lanes are tiles, whose pixels lie at `offset` of `packed`. */
FASTNN_INLINE void NAME(transform_source)(const int kind, const REAL *packed, const int64_t *offset,
                                          int64_t tiles, REAL *v, int64_t place) {
    const int side = winograd_side(kind), piece = winograd_piece(kind);
    for (int64_t t = 0; t < tiles; t += LANES) {
        VECTOR half[MAX_SIDE][MAX_PIECE], whole[MAX_SIDE];
#pragma GCC unroll 6
        for (int j = 0; j < piece; j++) {
            VECTOR d[MAX_PIECE], column[MAX_SIDE];
#pragma GCC unroll 6
            for (int i = 0; i < piece; i++) d[i] = NAME(load)(packed + offset[i * piece + j] + t);
            NAME(expand_source)(kind, d, column);
#pragma GCC unroll 7
            for (int i = 0; i < side; i++) half[i][j] = column[i];
        }
#pragma GCC unroll 7
        for (int i = 0; i < side; i++) {
            NAME(expand_source)(kind, half[i], whole);
#pragma GCC unroll 7
            for (int j = 0; j < side; j++) NAME(store)(v + (i * side + j) * place + t, whole[j]);
        }
    }
}

/* y = relu?(Aᵀ m A + bias): the 2 x 2 outputs of a vector of tiles of one filter. */
FASTNN_INLINE void NAME(tile_outputs)(const int kind, const REAL *m, int64_t place, REAL bias, int relu,
                                      VECTOR y[2][2]) {
    const int side = winograd_side(kind);
    VECTOR half[2][MAX_SIDE];
#pragma GCC unroll 7
    for (int j = 0; j < side; j++) {
        VECTOR column[MAX_SIDE], rows[2];
#pragma GCC unroll 7
        for (int i = 0; i < side; i++) column[i] = NAME(load)(m + (i * side + j) * place);
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
FASTNN_INLINE void NAME(transform_output)(const int kind, const REAL *m, int64_t place, int64_t tiles, REAL bias,
                                          int relu, REAL *y, int64_t row) {
    for (int64_t t = 0; t < tiles; t += LANES) {
        VECTOR tile[2][2];
        NAME(tile_outputs)(kind, m + t, place, bias, relu, tile);
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
    const int places = winograd_side(kind) * winograd_side(kind);
    const int64_t width = p.columns.out, all_rows = p.images * p.rows.out;
    const int64_t rows = NAME(winograd_rows)(&p, threads), units = ceil_divide(all_rows, rows);
    NAME(winograd_source) source;
    const int64_t source_size = NAME(plan_source)(&source, &p, p.channels, rows), row = source.row;
    const int64_t u_place = smaller(WINOGRAD_FILTERS, p.filters) * p.channels + LANES;
    const int64_t m_place = WINOGRAD_ROWS * row + LANES;
    int64_t *offset = arena((size_t)round_up(p.channels, 8) * sizeof(int64_t) +
                            (size_t)(places * (u_place + m_place) + 4 * row + source_size) * sizeof(REAL));
    REAL *u = (REAL *)(offset + round_up(p.channels, 8)), *m = u + places * u_place, *outputs = m + places * m_place;
    source.v = outputs + 4 * row;
    source.packed = source.v + places * source.place;
    for (int64_t e = 0; e < p.channels; e++) offset[e] = e * row;

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
                    for (int place = 0; place < places; place++) {
                        const NAME(correlation) product = {
                            .rows = filters, .pixels = tiles, .taps = p.channels,
                            .a = u + place * u_place + f * p.channels, .a_row = p.channels,
                            .b = source.v + place * source.place, .offset = offset,
                            .c = m + place * m_place, .c_row = row};
                        NAME(correlate)(&product);
                    }
                    for (int64_t i = 0; i < filters; i++) {
                        const int64_t filter = f0 + f + i;
                        NAME(transform_output)(kind, m + i * row, m_place, tiles,
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
    const int kind = winograd_kind(o), taps = winograd_taps(kind);
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
    const int kind = winograd_kind(o), taps = winograd_taps(kind);
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
