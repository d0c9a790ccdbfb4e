/* Winograd's form of the convolution, for one dtype: REAL and NAME are set by convolution.h; the
   formulas and their matrices' names are in winograd.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* --- the matrices, one axis at a time; `kind` is a constant at every call --------------------------------- */

/* u = G g, of run i if there is one */
FASTNN_INLINE void NAME(expand_weight_run)(const int kind, const int i, const VECTOR *g, VECTOR *u) {
    if (i >= winograd_of(kind)->runs) return;
    const int taps = winograd_of(kind)->run_taps[i], step = winograd_of(kind)->stride;
    const VECTOR *at = g + winograd_of(kind)->run_first[i];
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
    if (i >= winograd_of(kind)->runs) return;
    const int taps = winograd_of(kind)->run_taps[i], step = winograd_apart(kind);
    const VECTOR *at = d + winograd_run_begin(kind, i);
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

/* y = Aᵀ m, from places of each role that `taps` taps have */
FASTNN_INLINE void NAME(contract_roles)(const int taps, const VECTOR m[4], VECTOR *y0, VECTOR *y1) {
    *y0 = m[FIRST];
    *y1 = m[SECOND];
    if (taps > 1) {
        *y0 += m[SUM];
        *y1 += m[SUM];
    }
    if (taps > 2) {
        *y0 += m[DIFFERENCE];
        *y1 -= m[DIFFERENCE];
    }
}
/* Going back, from the places of run i, if there is one, to its phase. */
FASTNN_INLINE void NAME(contract_run)(const int kind, const int i, const VECTOR *m, VECTOR *y) {
    if (i >= winograd_of(kind)->runs) return;
    const int taps = winograd_of(kind)->run_taps[i];
    VECTOR of_run[4];
#pragma GCC unroll 4
    for (int role = 0; role < 4; role++)
        if (role <= taps) of_run[role] = m[winograd_begin(kind, role) + i];
    NAME(contract_roles)(taps, of_run, y + winograd_phase(kind, i), y + 2 + winograd_phase(kind, i));
}
FASTNN_INLINE void NAME(contract_output)(const int kind, const VECTOR *m, VECTOR *y) {
    if (!winograd_is_back(kind)) NAME(contract_roles)(winograd_roles(kind) - 1, m, y, y + 1);
    else {
        NAME(contract_run)(kind, 0, m, y);
        NAME(contract_run)(kind, 1, m, y);
    }
}

/* --- transforms of blocks ------------------------------------------------------------------------------- */

/* What is convolved: forward x with the weights; back to x, dy with the weights transposed and turned by
   180°. Then, with a stride, `above` and `left` pixels of the first tiles lie outside of y. */
typedef struct {
    int64_t images, groups, channels, filters; /* channels and filters of one group */
    int kind;
    axis rows, columns; /* tiles: pieces of the source */
    int64_t out_h, out_w, above, left;
    const REAL *source, *weight, *bias;
    int64_t weight_group, weight_filter, weight_channel; /* steps between the weights' … */
    int turned, relu;
    const REAL *mask; /* or NULL */
    REAL *y;
} NAME(winograd);

/* u = G g Gᵀ of as many windows as lanes, whose tap t is at g + t · row. The sum of each place has a part of u, `place`
   for each place before it; there u begins `before` times its places on, and they are `apart` elements apart. */
FASTNN_INLINE void NAME(expand_window)(const int kind, const REAL *g, int64_t row, int turned, REAL *u, int64_t place,
                                       int64_t before, int64_t apart, int lanes) {
    const int taps = winograd_of(kind)->taps, side = winograd_side(kind);
    VECTOR half[MAX_TAPS][MAX_SIDE], whole[MAX_SIDE];
#pragma GCC unroll 5
    for (int i = 0; i < taps; i++) {
        VECTOR of_row[MAX_TAPS];
#pragma GCC unroll 5
        for (int j = 0; j < taps; j++)
            of_row[j] = NAME(load)(g + (turned ? taps * taps - 1 - taps * i - j : taps * i + j) * row);
        NAME(expand_weight)(kind, of_row, half[i]);
    }
#pragma GCC unroll 7
    for (int j = 0; j < side; j++) {
        VECTOR column[MAX_TAPS];
#pragma GCC unroll 5
        for (int i = 0; i < taps; i++) column[i] = half[i][j];
        NAME(expand_weight)(kind, column, whole);
#pragma GCC unroll 7
        for (int i = 0; i < side; i++) {
            const winograd_places at = places_of_sum(kind, winograd_sum(kind, i), winograd_sum(kind, j));
            REAL *to = u + at.begin * place + at.count * before;
            NAME(store_partial)(to + (winograd_place(kind, i, j) - at.begin) * apart, whole[i], lanes);
        }
    }
}

/* u, for each sum (filters, places, channels), = G g Gᵀ: lanes are channels. */
FASTNN_INLINE void NAME(transform_weight)(const int kind, const NAME(winograd) * p, const REAL *weight,
                                          int64_t filters, REAL *u, int64_t place) {
    const int window = winograd_of(kind)->taps * winograd_of(kind)->taps;
    for (int64_t f = 0; f < filters; f++)
        for (int64_t e = 0; e < p->channels; e += LANES) {
            const int lanes = (int)smaller(LANES, p->channels - e);
            const REAL *from = weight + f * p->weight_filter + e * p->weight_channel;
            REAL g[MAX_TAPS * MAX_TAPS * LANES];
            for (int i = 0; i < window; i += LANES)
                NAME(transpose)(from + i, p->weight_channel, lanes, (int)smaller(LANES, window - i), g + i * LANES,
                                LANES);
            NAME(expand_window)(kind, g, LANES, p->turned, u + e, place, f * p->channels, p->channels, lanes);
        }
}

/* v (places, …, tiles) = Bᵀ d B of one channel: lanes are tiles, whose pixels lie at `offset` of `packed`. */
FASTNN_INLINE void NAME(transform_source)(const int kind, const REAL *packed, const int64_t *offset,
                                          int64_t tiles, REAL *v, int64_t place) {
    const int side = winograd_side(kind), piece = winograd_piece(kind);
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
#pragma GCC unroll 7
        for (int i = 0; i < side; i++) {
            NAME(expand_source)(kind, half[i], whole);
#pragma GCC unroll 7
            for (int j = 0; j < side; j++) NAME(store)(v + winograd_place(kind, i, j) * place + t, whole[j]);
        }
    }
}

/* Where the taps of the products below find v, whose channels are `row` elements apart; returns how many they are at
   most. */
FASTNN_INLINE int64_t NAME(most_taps)(const int kind, int64_t channels) {
    return places_of_sum(kind, 0, 0).count * channels;
}
static void NAME(place_offsets)(int64_t taps, int64_t channels, int64_t place, int64_t row, int64_t *offset) {
    for (int64_t k = 0; k < taps; k++) offset[k] = k / channels * place + k % channels * row;
}

/* m (sums, filters, tiles) = Σ over places and channels of u v, for filters from f on: `product` has their number, that
   of the tiles, the offsets and the row of m. */
FASTNN_INLINE void NAME(sum_places)(const int kind, NAME(correlation) product, int64_t channels, int64_t f, const REAL *u,
                                    int64_t u_place, const REAL *v, int64_t v_place, REAL *m, int64_t m_sum) {
    const int sums = winograd_sums(kind);
    for (int sum = 0; sum < sums * sums; sum++) {
        const winograd_places at = places_of_sum(kind, sum / sums, sum % sums);
        product.taps = product.a_row = at.count * channels;
        product.a = u + at.begin * u_place + f * product.taps;
        product.b = v + at.begin * v_place;
        product.c = m + sum * m_sum;
        NAME(correlate)(&product);
    }
}

/* y = relu?(Aᵀ m A + bias): the outputs of a vector of tiles, or of filters. */
FASTNN_INLINE void NAME(tile_outputs)(const int kind, const REAL *m, int64_t m_sum, VECTOR bias, int relu,
                                      VECTOR y[MAX_OUTPUTS][MAX_OUTPUTS]) {
    const int sums = winograd_sums(kind), outputs = winograd_outputs(kind);
    VECTOR half[MAX_OUTPUTS][MAX_SIDE];
#pragma GCC unroll 7
    for (int j = 0; j < sums; j++) {
        VECTOR column[MAX_SIDE], rows[MAX_OUTPUTS];
#pragma GCC unroll 7
        for (int i = 0; i < sums; i++) column[i] = NAME(load)(m + (i * sums + j) * m_sum);
        NAME(contract_output)(kind, column, rows);
#pragma GCC unroll 4
        for (int i = 0; i < outputs; i++) half[i][j] = rows[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < outputs; i++) {
        NAME(contract_output)(kind, half[i], y[i]);
#pragma GCC unroll 4
        for (int j = 0; j < outputs; j++) {
            y[i][j] += bias;
            if (relu) y[i][j] = NAME(relu_vector)(y[i][j]);
        }
    }
}

/* Store the same pixel of each of a row of tiles: a0, b0, a1, b1, … */
FASTNN_INLINE void NAME(store_interleaved)(REAL *to, VECTOR a, VECTOR b) {
    NAME(store)(to, NAME(interleave)(a, b, 0));
    NAME(store)(to + LANES, NAME(interleave)(a, b, 1));
}

/* The outputs of one filter: as many rows as a tile has, `row` apart. */
FASTNN_INLINE void NAME(transform_output)(const int kind, const REAL *m, int64_t m_sum, int64_t tiles, REAL bias,
                                          int relu, REAL *y, int64_t row) {
    const int outputs = winograd_outputs(kind);
    for (int64_t t = 0; t < tiles; t += LANES) {
        VECTOR tile[MAX_OUTPUTS][MAX_OUTPUTS];
        NAME(tile_outputs)(kind, m + t, m_sum, (VECTOR){0} + bias, relu, tile);
#pragma GCC unroll 4
        for (int i = 0; i < outputs; i++) {
            REAL *to = y + i * row + outputs * t;
            if (outputs == 2) NAME(store_interleaved)(to, tile[i][0], tile[i][1]);
            else
#pragma GCC unroll 2
                for (int half = 0; half < 2; half++)
                    NAME(store_interleaved)(to + half * 2 * LANES, NAME(interleave)(tile[i][0], tile[i][2], half),
                                      NAME(interleave)(tile[i][1], tile[i][3], half));
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

/* The transformed source, (places, channels, tiles), of group g and the rows of tiles [begin, end), counted through all
   images. */
typedef struct {
    window w; /* of one channel */
    strip s;
    int64_t offset[MAX_PIECE * MAX_PIECE];
    REAL *packed, *v;
    int64_t row, place; /* steps of v */
} NAME(winograd_source);

/* Lay out `rows` rows of tiles; returns the elements of v and packed. */
static int64_t NAME(plan_source)(NAME(winograd_source) * to, const NAME(winograd) * p, int64_t rows) {
    to->w = (window){.channels = 1, .rows = p->rows, .columns = p->columns};
    to->s = window_strip(&to->w, smaller(rows, p->rows.out));
    tap_offsets(&to->w, &to->w, &to->s, to->offset);
    to->row = round_up(rows * p->columns.out, LANES) + LANES; /* a vector may run over */
    to->place = p->channels * to->row + LANES;                /* places must not meet in the same sets of L1 */
    const int side = winograd_side(p->kind);
    return side * side * to->place + WINOGRAD_CHANNELS * p->columns.taps * to->s.plane;
}

/* Of the rows of tiles [at, end), counted through all images, those of the first image. */
static inline image_part NAME(part_from)(const NAME(winograd) * p, int64_t g, int64_t at, int64_t end) {
    const int64_t height = p->rows.out, first = at % height;
    return (image_part){at / height * p->groups + g, first, smaller(end - at, height - first)};
}

FASTNN_INLINE void NAME(fill_source)(const int kind, const NAME(winograd_source) * to, const NAME(winograd) * p,
                                     int64_t g, int64_t begin, int64_t end) {
    const int64_t width = p->columns.out, area = p->rows.source * p->columns.source;
    image_part part;
    for (int64_t at = begin; at < end; at += part.count) {
        part = NAME(part_from)(p, g, at, end);
        for (int64_t e = 0; e < p->channels; e += WINOGRAD_CHANNELS) {
            const int64_t block = smaller(WINOGRAD_CHANNELS, p->channels - e);
            NAME(pack_strip)(&to->w, &to->s, p->source + (part.image * p->channels + e) * area, block,
                             part.first, part.count, to->packed);
            for (int64_t i = 0; i < block; i++)
                NAME(transform_source)(kind, to->packed + i * p->columns.taps * to->s.plane, to->offset,
                                       part.count * width, to->v + (e + i) * to->row + (at - begin) * width,
                                       to->place);
        }
    }
}

/* Copy filter `filter` of group g from rows of outputs, as many for each row of tiles in [begin, end) as a tile has, to
   y. The place of the next filter's is asked for. */
FASTNN_INLINE void NAME(write_outputs)(const int kind, const NAME(winograd) * p, const REAL *outputs, int64_t row,
                                       int64_t g, int64_t filter, int64_t begin, int64_t end) {
    const int high = winograd_outputs(kind);
    for (int64_t at = begin; at < end; at++, outputs += high * p->columns.out) {
        const int64_t image = at / p->rows.out * p->groups + g, i = at % p->rows.out * high - p->above;
        const int64_t first = larger(0, i), rows = smaller(p->out_h, i + high) - first;
        const int64_t to = ((image * p->filters + filter) * p->out_h + first) * p->out_w, plane = p->out_h * p->out_w;
        for (int64_t ahead = plane; ahead < plane + rows * p->out_w; ahead += 64 / (int64_t)sizeof(REAL))
            __builtin_prefetch(p->y + to + ahead, 1);
        for (int64_t k = 0; k < rows; k++)
            NAME(copy_row)(outputs + (first - i + k) * row + p->left, p->out_w, p->y + to + k * p->out_w);
        if (p->mask && rows > 0) NAME(apply_mask)(rows * p->out_w, p->mask + to, p->y + to);
    }
}

/* Units of work: blocks of rows of tiles, of all images, of one group. */
FASTNN_INLINE void NAME(run_winograd)(const int kind, const NAME(winograd) * problem, int64_t thread,
                                      int64_t threads) {
    const NAME(winograd) p = *problem;
    const int places = winograd_side(kind) * winograd_side(kind), sums = winograd_sums(kind) * winograd_sums(kind);
    const int high = winograd_outputs(kind);
    const int64_t width = p.columns.out, all_rows = p.images * p.rows.out;
    const int64_t rows = NAME(winograd_rows)(&p, threads), units = ceil_divide(all_rows, rows);
    NAME(winograd_source) source;
    const int64_t source_size = NAME(plan_source)(&source, &p, rows), row = source.row;
    const int64_t outputs_size = high * high * row;
    const int64_t u_place = smaller(WINOGRAD_FILTERS, p.filters) * p.channels + LANES;
    const int64_t m_sum = WINOGRAD_ROWS * row + LANES, taps = NAME(most_taps)(kind, p.channels);
    int64_t *offset = arena((size_t)round_up(taps, 8) * sizeof(int64_t) +
                            (size_t)(places * u_place + sums * m_sum + outputs_size + source_size) * sizeof(REAL));
    REAL *u = (REAL *)(offset + round_up(taps, 8)), *m = u + places * u_place, *outputs = m + sums * m_sum;
    source.v = outputs + outputs_size;
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
                NAME(fill_source)(kind, &source, &p, g, begin, end);
                for (int64_t f = 0; f < block; f += WINOGRAD_ROWS) {
                    const int64_t filters = smaller(WINOGRAD_ROWS, block - f);
                    const NAME(correlation) product = {.rows = filters, .pixels = tiles, .offset = offset, .c_row = row};
                    NAME(sum_places)(kind, product, p.channels, f, u, u_place, source.v, source.place, m, m_sum);
                    for (int64_t i = 0; i < filters; i++) {
                        const int64_t filter = f0 + f + i;
                        NAME(transform_output)(kind, m + i * row, m_sum, tiles,
                                               p.bias ? p.bias[g * p.filters + filter] : 0, p.relu, outputs, high * row);
                        NAME(write_outputs)(kind, &p, outputs, high * row, g, filter, begin, end);
                    }
                }
            }
        }
}

/* The problem y = relu?(bias + x * weight). */
static NAME(winograd) NAME(winograd_forward)(const convolution *o, const REAL *x, const REAL *weight,
                                             const REAL *bias, REAL *y, int relu) {
    const int64_t channels = o->c / o->groups, filters = o->filters / o->groups, taps = o->r * o->s;
    const int kind = winograd_kind_of(o);
    return (NAME(winograd)){.images = o->n, .groups = o->groups, .channels = channels, .filters = filters,
                            .kind = kind, .rows = winograd_axis(kind, o->h, ceil_divide(o->out_h, 2), o->pad_top),
                            .columns = winograd_axis(kind, o->w, ceil_divide(o->out_w, 2), o->pad_left),
                            .out_h = o->out_h, .out_w = o->out_w,
                            .source = x, .weight = weight, .bias = bias,
                            .weight_group = filters * channels * taps, .weight_filter = channels * taps,
                            .weight_channel = taps, .relu = relu, .y = y};
}

/* The problem dx: dy convolved with the weights transposed and turned. */
static NAME(winograd) NAME(winograd_input)(const convolution *o, const REAL *dy, const REAL *weight,
                                           const REAL *mask, REAL *dx) {
    const int64_t channels = o->c / o->groups, filters = o->filters / o->groups, taps = o->r * o->s;
    const int back = o->stride_h == 2, kind = winograd_kind_of(o) + (back ? WINOGRAD_BACK : 0);
    return (NAME(winograd)){.images = o->n, .groups = o->groups, .channels = filters, .filters = channels,
                            .kind = kind, .rows = winograd_axis_back(kind, o->out_h, o->h, o->r, o->pad_top),
                            .columns = winograd_axis_back(kind, o->out_w, o->w, o->s, o->pad_left),
                            .out_h = o->h, .out_w = o->w, .above = winograd_before(kind, o->pad_top),
                            .left = winograd_before(kind, o->pad_left), .source = dy, .weight = weight,
                            .weight_group = filters * channels * taps, .weight_filter = taps,
                            .weight_channel = channels * taps, .turned = 1, .mask = mask, .y = dx};
}

#undef VECTOR
#undef LANES
