/* Winograd's form along rows alone, for one dtype: REAL and NAME are set by convolution.h. A tile is two outputs of a
   row: for each channel and row of the window there are as many multiply-adds as winograd.h has places along an axis, 4
   instead of 6 of 3 columns and 7 instead of 10 of 5, and the sums of a tile stay in registers. So few channels and
   filters pay for it. Lanes are tiles, of row after row. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
/* The register tile: ROW_SUMS by ROW_VECTORS of tiles, the sums of all 4 roles of some filters, or of two roles, and then
   the other two, of twice as many. With more filters a vector of the source is loaded less often; but half of the sums wait
   in memory meanwhile, and those of few taps are soon done. */
#define ROW_SUMS (VECTOR_BYTES == 64 ? 12 : 6)
#define ROW_VECTORS 2
#define ROW_ROLES(kind) ((kind) == WINOGRAD_3 && VECTOR_BYTES == 64 ? 4 : 2)
#define ROW_FILTERS(kind) (ROW_SUMS / ROW_ROLES(kind))

/* u (filters, blocks of LANES taps, places, LANES) = G g, of the windows' rows of `filters` filters, `taps` each. */
FASTNN_INLINE void NAME(expand_weight_rows)(const int kind, const REAL *weight, int64_t filters, int64_t taps,
                                            REAL *u) {
    const int columns = winograd_of(kind)->taps, side = winograd_side(kind);
    for (int64_t f = 0; f < filters; f++)
        for (int64_t k = 0; k < taps; k += LANES, u += side * LANES) {
            REAL rows[MAX_TAPS * LANES];
            VECTOR g[MAX_TAPS], places[MAX_SIDE];
            for (int j = 0; j < columns; j += LANES)
                NAME(transpose)(weight + (f * taps + k) * columns + j, columns, (int)smaller(LANES, taps - k),
                                (int)smaller(LANES, columns - j), rows + j * LANES, LANES);
#pragma GCC unroll 5
            for (int j = 0; j < columns; j++) g[j] = NAME(load)(rows + j * LANES);
            NAME(expand_weight)(kind, g, places);
#pragma GCC unroll 7
            for (int i = 0; i < side; i++) NAME(store)(u + i * LANES, places[i]);
        }
}

/* y of tiles, whose tap k, of all channels and rows of the window, has the i-th place of its source at
   v + offset[k] + i · place. */
typedef struct {
    int64_t filters, tiles, taps;
    const REAL *u;
    int64_t u_filter;
    const REAL *v;
    const int64_t *offset;
    int64_t place;
    const REAL *bias; /* or NULL */
    REAL *y;
    int64_t y_filter;
    int relu, images; /* the same tile of IMAGES images side by side, so that each of its outputs is IMAGES pixels */
} NAME(row_sums);

/* sum (filters, roles) of vectors: those of ROW_ROLES roles from `first` on, of the weights u and the tiles from v on. */
FASTNN_INLINE void NAME(sum_roles)(const int kind, const int first, const int filters, const int vectors,
                                   const NAME(row_sums) * p, const REAL *u, const REAL *v, VECTOR sum[ROW_SUMS][2]) {
    const int side = winograd_side(kind), roles = ROW_ROLES(kind), begin = winograd_begin(kind, first);
    const int end = first + roles == 4 ? side : winograd_begin(kind, first + roles);
    const int64_t u_filter = p->u_filter, place = p->place, taps = p->taps, *offset = p->offset;
#pragma GCC unroll 12
    for (int a = 0; a < filters * roles; a++)
#pragma GCC unroll 2
        for (int b = 0; b < vectors; b++) sum[a][b] = (VECTOR){0};
    for (int64_t k = 0; k < taps; k += LANES, u += side * LANES)
        for (int64_t i = 0; i < smaller(LANES, taps - k); i++) {
            const REAL *at = v + begin * place + offset[k + i];
#pragma GCC unroll 7
            for (int s = begin; s < end; s++, at += place) {
                const int role = winograd_role(kind, s) - first;
                VECTOR source[2];
#pragma GCC unroll 2
                for (int b = 0; b < vectors; b++) {
                    source[b] = NAME(load)(at + b * LANES);
                    KEEP_IN_REGISTER(source[b]);
                }
#pragma GCC unroll 6
                for (int a = 0; a < filters; a++) {
                    const REAL weight = u[a * u_filter + s * LANES + i];
#pragma GCC unroll 2
                    for (int b = 0; b < vectors; b++) {
                        sum[a * roles + role][b] += weight * source[b];
                        KEEP_IN_REGISTER(sum[a * roles + role][b]);
                    }
                }
            }
        }
}

/* y = relu?(bias + Aᵀ m) of filters from f on and vectors of tiles from j on; with `partial`, of `tail` tiles. */
FASTNN_INLINE void NAME(row_tile)(const int kind, const int filters, const int vectors, const int partial, int64_t f,
                                  int64_t j, int tail, const NAME(row_sums) * p) {
    const int roles = ROW_ROLES(kind);
    VECTOR sum[ROW_SUMS][2];
    REAL waiting[ROW_SUMS * 2 * LANES], *y = p->y + f * p->y_filter + 2 * j;
    const REAL *u = p->u + f * p->u_filter, *v = p->v + j;
    const int64_t y_filter = p->y_filter;
#pragma GCC unroll 6
    for (int a = 0; a < filters; a++)
#pragma GCC unroll 4
        for (int b = 0; b < 2 * vectors; b++) __builtin_prefetch(y + a * y_filter + b * LANES, 1);
    NAME(sum_roles)(kind, FIRST, filters, vectors, p, u, v, sum);
    if (roles == 2) {
#pragma GCC unroll 24
        for (int i = 0; i < filters * roles * vectors; i++)
            NAME(store)(waiting + i * LANES, sum[i / vectors][i % vectors]);
        __asm__ volatile("" : : "r"(waiting) : "memory"); /* they are in no register */
        NAME(sum_roles)(kind, SUM, filters, vectors, p, u, v, sum);
    }
    const VECTOR least = p->relu ? (VECTOR){0} : (VECTOR){0} - (REAL)INFINITY;
#pragma GCC unroll 6
    for (int a = 0; a < filters; a++) {
        const REAL bias = p->bias ? p->bias[f + a] : 0;
#pragma GCC unroll 2
        for (int b = 0; b < vectors; b++) {
            VECTOR m[4], even, odd;
#pragma GCC unroll 4
            for (int role = 0; role < 4; role++)
                m[role] = role < 4 - roles ? NAME(load)(waiting + ((a * roles + role) * vectors + b) * LANES)
                                           : sum[a * roles + role - (4 - roles)][b];
            NAME(contract_roles)(3, m, &even, &odd);
            even = NAME(larger)(least, even + bias), odd = NAME(larger)(least, odd + bias);
            REAL *to = y + a * y_filter + 2 * b * LANES;
            if (p->images) {
                to -= (j + b * LANES) % IMAGES;
                NAME(store)(to, even);
                NAME(store)(to + IMAGES, odd);
            } else if (!partial) NAME(store_interleaved)(to, even, odd);
            else {
                NAME(store_partial)(to, NAME(interleave)(even, odd, 0), (int)smaller(LANES, 2 * tail));
                NAME(store_partial)(to + LANES, NAME(interleave)(even, odd, 1), (int)larger(0, 2 * tail - LANES));
            }
        }
    }
}

/* All filters: in tiles of about as many each. */
FASTNN_INLINE void NAME(row_tiles)(const int kind, const int vectors, const int partial, int64_t j, int tail,
                                   const NAME(row_sums) * p) {
    const int most = ROW_FILTERS(kind);
    const int64_t count = ceil_divide(p->filters, most);
    for (int64_t i = 0, f = 0, end; i < count; i++, f = end) {
        end = p->filters * (i + 1) / count;
        const int64_t filters = end - f;
        if (filters == 1) NAME(row_tile)(kind, 1, vectors, partial, f, j, tail, p);
        if (filters == 2) NAME(row_tile)(kind, 2, vectors, partial, f, j, tail, p);
        if (filters == 3) NAME(row_tile)(kind, 3, vectors, partial, f, j, tail, p);
        if (most > 3 && filters == 4) NAME(row_tile)(kind, 4, vectors, partial, f, j, tail, p);
        if (most > 3 && filters == 5) NAME(row_tile)(kind, 5, vectors, partial, f, j, tail, p);
        if (most > 3 && filters == 6) NAME(row_tile)(kind, 6, vectors, partial, f, j, tail, p);
    }
}

/* All tiles: the source of a tile stays in L1 while it meets the filters. */
FASTNN_INLINE void NAME(sum_rows)(const int kind, const NAME(row_sums) * p) {
    int64_t j = 0;
    for (; j + ROW_VECTORS * LANES <= p->tiles; j += ROW_VECTORS * LANES)
        NAME(row_tiles)(kind, ROW_VECTORS, 0, j, 0, p);
    for (; j < p->tiles; j += LANES) NAME(row_tiles)(kind, 1, 1, j, (int)smaller(LANES, p->tiles - j), p);
}

/* --- the source ------------------------------------------------------------------------------------------- */

/* A strip of `slots` source rows of each channel, padding counted, as v (places, channels, slots, tiles). Rows that
   aren't whole vectors of tiles are cut into even and odd columns first, `half` of each. */
typedef struct {
    int64_t channels, slots, half, tiles;
    int64_t plane; /* from the even columns of a channel to the odd ones */
    int64_t v_plane, place;
} NAME(row_source);

static NAME(row_source) NAME(plan_rows)(const int kind, int64_t channels, int64_t slots, int64_t tiles) {
    NAME(row_source) s = {.channels = channels, .slots = slots, .tiles = tiles,
                          .half = tiles + winograd_of(kind)->taps / 2};
    s.plane = tiles % LANES ? round_up(slots * s.half, LANES) + 3 * LANES : 0; /* vectors run over */
    s.v_plane = ((slots * tiles / LANES + ROW_VECTORS) | 1) * LANES; /* channels must not meet in the same sets of L1, */
    s.place = (channels * s.v_plane / LANES | 1) * LANES;            /* nor places */
    return s;
}

/* Where v has the tiles that meet each channel's row of the window. */
static inline void NAME(row_offsets)(const convolution *o, const NAME(row_source) * s, int64_t *offset) {
    for (int64_t k = 0; k < s->channels * o->r; k++)
        offset[k] = k / o->r * s->v_plane + k % o->r * o->dilation_h * s->tiles;
}

/* The rows [top, bottom) of a strip's slots lie in a plane of h rows. */
static inline void NAME(rows_within)(const NAME(row_source) * s, int64_t first, int64_t h, int64_t *top,
                                     int64_t *bottom) {
    *top = smaller(s->slots, larger(0, -first));
    *bottom = larger(*top, smaller(s->slots, h - first));
}

/* The even and odd columns, `half` of each, of rows of `width` pixels, column 0 `pad` before them. A vector stored at a
   row's end runs over into the next row, so the columns go from last to first. The next channel's rows, `area` on, are
   asked for: loads of some lanes don't make the processor fetch what follows. */
static void NAME(split_columns)(const REAL *x, int64_t rows, int64_t width, int64_t pad, int64_t area, int64_t half,
                                REAL *even, REAL *odd) {
    for (int64_t q = (half - 1) / LANES * LANES; q >= 0; q -= LANES) {
        const int64_t begin = pad - 2 * q, end = width + pad - 2 * q;
        const REAL *from = x - begin;
        for (int64_t i = 0; i < rows; i++, from += width) {
            __builtin_prefetch(from + area);
            __builtin_prefetch(from + area + LANES);
            const VECTOR low = NAME(load_between)(from, begin, end);
            const VECTOR high = NAME(load_between)(from + LANES, begin - LANES, end - LANES);
            NAME(store)(even + i * half + q, NAME(even_lanes)(low, high));
            NAME(store)(odd + i * half + q, NAME(odd_lanes)(low, high));
        }
    }
}

/* The same of a strip, from row `first` of x on. */
static void NAME(split_rows)(const NAME(row_source) * s, const REAL *x, int64_t h, int64_t w, int64_t first, int64_t pad,
                             REAL *columns) {
    const int64_t half = s->half;
    int64_t top, bottom;
    NAME(rows_within)(s, first, h, &top, &bottom);
    const int64_t rows = bottom - top, below = s->slots - bottom;
    for (int64_t e = 0; e < s->channels; e++) {
        REAL *even = columns + 2 * e * s->plane, *odd = even + s->plane;
        const REAL *from = x + (e * h + first + top) * w;
        memset(even, 0, (size_t)(top * half) * sizeof(REAL));
        memset(odd, 0, (size_t)(top * half) * sizeof(REAL));
        even += top * half, odd += top * half;
        if (pad == 0 && w == 2 * half) /* without padding the rows are one */
            NAME(split_columns)(from, 1, rows * w, 0, h * w, rows * half, even, odd);
        else NAME(split_columns)(from, rows, w, pad, h * w, half, even, odd);
        memset(even + rows * half, 0, (size_t)(below * half) * sizeof(REAL));
        memset(odd + rows * half, 0, (size_t)(below * half) * sizeof(REAL));
    }
}

/* v = Bᵀ d of a vector of tiles, of which d's even and odd pixels are columns. */
FASTNN_INLINE void NAME(store_places)(const int kind, const NAME(row_source) * s, const VECTOR *d, REAL *v) {
    VECTOR places[MAX_SIDE];
    NAME(expand_source)(kind, d, places);
#pragma GCC unroll 7
    for (int i = 0; i < winograd_side(kind); i++) NAME(store)(v + i * s->place, places[i]);
}

/* Vectors of tiles, which go on in the next row, from two vectors of columns each. */
FASTNN_INLINE void NAME(expand_columns)(const int kind, const NAME(row_source) * s, const REAL *columns, REAL *v) {
    const int64_t size = s->slots * s->tiles;
    MASK lanes;
#pragma GCC unroll 16
    for (int lane = 0; lane < LANES; lane++) lanes[lane] = lane;
    for (int64_t q = 0; q < size; q += LANES) {
        const int64_t column = q % s->tiles;
        const REAL *at = columns + q / s->tiles * s->half + column;
        MASK from = lanes;
        for (int64_t end = s->tiles - column; end < LANES; end += s->tiles)
            from += (lanes >= (NAME(lane))end) & (NAME(lane))(s->half - s->tiles);
        for (int64_t e = 0; e < s->channels; e++, at += 2 * s->plane) {
            VECTOR d[MAX_PIECE];
#pragma GCC unroll 6
            for (int j = 0; j < winograd_piece(kind); j++) {
                const REAL *pixel = at + j % 2 * s->plane + j / 2;
                d[j] = __builtin_shuffle(NAME(load)(pixel), NAME(load)(pixel + LANES), from);
            }
            NAME(store_places)(kind, s, d, v + e * s->v_plane + q);
        }
    }
}

/* Vectors of tiles of one row each, from the pixels themselves, of row `first` on. */
FASTNN_INLINE void NAME(expand_rows)(const int kind, const NAME(row_source) * s, const REAL *x, int64_t h, int64_t w,
                                     int64_t first, int64_t pad, REAL *v) {
    int64_t top, bottom;
    NAME(rows_within)(s, first, h, &top, &bottom);
    for (int64_t e = 0; e < s->channels; e++)
        for (int64_t q = 0; q < s->tiles; q += LANES) {
            const int64_t begin = pad - 2 * q, end = w + pad - 2 * q;
            const REAL *from = x + (e * h + first + top) * w - begin;
            REAL *to = v + e * s->v_plane + q;
            const VECTOR padding[MAX_PIECE] = {{0}};
            for (int64_t i = 0; i < top; i++, to += s->tiles) NAME(store_places)(kind, s, padding, to);
            for (int64_t i = top; i < bottom; i++, to += s->tiles, from += w) {
                VECTOR d[MAX_PIECE];
                __builtin_prefetch(from + h * w);
                __builtin_prefetch(from + h * w + LANES);
#pragma GCC unroll 3
                for (int j = 0; j < winograd_piece(kind); j += 2) {
                    const VECTOR low = NAME(load_between)(from + j, begin - j, end - j);
                    const VECTOR high = NAME(load_between)(from + j + LANES, begin - j - LANES, end - j - LANES);
                    d[j] = NAME(even_lanes)(low, high), d[j + 1] = NAME(odd_lanes)(low, high);
                }
                NAME(store_places)(kind, s, d, to);
            }
            for (int64_t i = bottom; i < s->slots; i++, to += s->tiles) NAME(store_places)(kind, s, padding, to);
        }
}

/* Rows of tiles of IMAGES images, from (channels, slots, width, IMAGES), `plane` elements a channel. */
FASTNN_INLINE void NAME(expand_images)(const int kind, const NAME(row_source) * s, const REAL *x, int64_t plane,
                                       int64_t width, REAL *v) {
    for (int64_t e = 0; e < s->channels; e++)
        for (int64_t i = 0; i < s->slots; i++)
            for (int64_t t = 0; t < s->tiles; t += LANES) {
                const REAL *at = x + e * plane + i * width * IMAGES + 2 * t - t % IMAGES;
                VECTOR d[MAX_PIECE];
#pragma GCC unroll 6
                for (int j = 0; j < winograd_piece(kind); j++) d[j] = NAME(load)(at + j * IMAGES);
                NAME(store_places)(kind, s, d, v + e * s->v_plane + i * s->tiles + t);
            }
}

/* --- the convolution -------------------------------------------------------------------------------------- */

/* y = relu?(bias + x * weight), or dx of dy, as convolve_direct. Units of work: strips of output rows of one image and
   group. */
FASTNN_INLINE void NAME(run_winograd_rows)(const int kind, const convolution *o, const REAL *x, const REAL *weight,
                                           const REAL *bias, const REAL *mask, REAL *y, int relu, int back,
                                           int64_t thread, int64_t threads) {
    const int64_t channels = o->c / o->groups, filters = o->filters / o->groups, taps = channels * o->r;
    const int64_t images = o->n * o->groups, area = o->h * o->w, plane = o->out_h * o->out_w;
    const int64_t group = filters * taps * o->s; /* of weights */
    const int64_t tiles = o->out_w / 2, reach = (o->r - 1) * o->dilation_h, side = winograd_side(kind);
    const int64_t row = channels * ((side + 2) * tiles + 4); /* about what a row of the source takes */
    const int64_t share = ceil_divide(o->out_h, ceil_divide(threads, larger(1, images)));
    const int64_t fitting = larger(1, STRIP_BYTES / (int64_t)sizeof(REAL) / row - reach);
    const int64_t most = larger(1, smaller(smaller(o->out_h, fitting), share));
    const NAME(row_source) s = NAME(plan_rows)(kind, channels, most + reach, tiles);
    const int64_t u_filter = round_up(taps, LANES) * side, turned_size = back ? round_up(group, LANES) : 0;
    int64_t *offset = arena((size_t)round_up(taps, 8) * sizeof(int64_t) +
                            (size_t)(turned_size + filters * u_filter + 2 * channels * s.plane + side * s.place) *
                                sizeof(REAL));
    REAL *turned = (REAL *)(offset + round_up(taps, 8)), *u = turned + turned_size, *columns = u + filters * u_filter;
    REAL *v = columns + 2 * channels * s.plane;
    NAME(row_offsets)(o, &s, offset);
    const int64_t strips = ceil_divide(o->out_h, most), units = images * strips;
    int64_t expanded = -1;
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t g = unit / strips / o->n, image = unit / strips % o->n * o->groups + g;
        const int64_t first = unit % strips * most, rows = smaller(most, o->out_h - first);
        if (expanded != g) {
            const REAL *of_group = weight + g * group;
            if (back) NAME(turn_weight)(channels, filters, o->r * o->s, of_group, turned);
            NAME(expand_weight_rows)(kind, back ? turned : of_group, filters, taps, u);
        }
        expanded = g;
        NAME(row_source) part = s;
        part.slots = rows + reach;
        const REAL *from = x + image * channels * area;
        if (tiles % LANES == 0) NAME(expand_rows)(kind, &part, from, o->h, o->w, first - o->pad_top, o->pad_left, v);
        else {
            NAME(split_rows)(&part, from, o->h, o->w, first - o->pad_top, o->pad_left, columns);
            NAME(expand_columns)(kind, &part, columns, v);
        }
        const int64_t to = image * filters * plane + first * o->out_w;
        const NAME(row_sums) sums = {.filters = filters, .tiles = rows * tiles, .taps = taps, .u = u,
                                     .u_filter = u_filter, .v = v, .offset = offset, .place = s.place,
                                     .bias = bias ? bias + g * filters : NULL, .y = y + to, .y_filter = plane,
                                     .relu = relu};
        NAME(sum_rows)(kind, &sums);
        for (int64_t f = 0; mask && f < filters; f++)
            NAME(apply_mask)(rows * o->out_w, mask + to + f * plane, y + to + f * plane);
    }
}

/* A function for each kind of windows: the convolution, ... */
static void NAME(convolve_winograd_rows)(const convolution *o, const REAL *x, const REAL *weight, const REAL *bias,
                                         const REAL *mask, REAL *y, int relu, int back, int64_t thread,
                                         int64_t threads) {
    if (winograd_rows_kind(o) == WINOGRAD_3)
        NAME(run_winograd_rows)(WINOGRAD_3, o, x, weight, bias, mask, y, relu, back, thread, threads);
    else NAME(run_winograd_rows)(WINOGRAD_5, o, x, weight, bias, mask, y, relu, back, thread, threads);
}
/* ... and what image_lanes_body.h needs of it. */
static void NAME(expand_image_weight)(int kind, const REAL *weight, int64_t filters, int64_t taps, REAL *u) {
    if (kind == WINOGRAD_3) NAME(expand_weight_rows)(WINOGRAD_3, weight, filters, taps, u);
    else NAME(expand_weight_rows)(WINOGRAD_5, weight, filters, taps, u);
}
static void NAME(expand_image_rows)(int kind, const NAME(row_source) * s, const REAL *x, int64_t plane, int64_t width,
                                    REAL *v) {
    if (kind == WINOGRAD_3) NAME(expand_images)(WINOGRAD_3, s, x, plane, width, v);
    else NAME(expand_images)(WINOGRAD_5, s, x, plane, width, v);
}
static void NAME(sum_image_rows)(int kind, const NAME(row_sums) * p) {
    if (kind == WINOGRAD_3) NAME(sum_rows)(WINOGRAD_3, p);
    else NAME(sum_rows)(WINOGRAD_5, p);
}

#undef VECTOR
#undef MASK
#undef LANES
