/* The convolution and its gradients where a group has one channel and few filters, for one dtype: REAL and NAME
   are set by convolution.h.

   A plane of the source is packed once, with its padding and its columns apart by their place in a stride: then
   the pixels of a tap and of adjacent outputs are adjacent, and every tap is one offset. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
/* Output rows whose sums are in registers together: a source row is loaded once for all of them. */
#define DEPTHWISE_ROWS 4
/* Planes that are packed together: what was stored just now is slow to load. */
#define DEPTHWISE_PLANES 4

/* Planes of the source, as they meet planes of outputs: a row has `width` pixels, pixel (i, j) of tap (u, v) is
   x[offset[u, v] + i · row + j]. */
typedef struct {
    window w; /* rows and columns of outputs and taps */
    window packing;
    strip s;
    const int64_t *offset;
    int64_t width, row, size; /* `size`: of a packed plane, 0 where planes need no packing */
    int even;                 /* rows and columns are alike, and not dilated */
} NAME(planes);

static NAME(planes) NAME(plan_planes)(const axis *rows, const axis *columns) {
    NAME(planes) to = {.w = {.channels = 1, .rows = *rows, .columns = *columns}};
    const int64_t reach = axis_reach(columns), stride = columns->stride;
    to.width = columns->out + reach / stride;
    to.row = rows->stride * to.width;
    to.packing = (window){
        .channels = 1,
        .rows = {rows->source, (rows->out + axis_reach(rows) / rows->stride) * rows->stride, 1, 1, rows->pad, 1},
        .columns = {columns->source, to.width, smaller(stride, reach + 1), stride, columns->pad, 1}};
    to.s = window_strip(&to.packing, to.packing.rows.out);
    to.size = strip_size(&to.packing, &to.s);
    to.even = rows->taps == columns->taps && rows->stride == stride && rows->dilation == 1 && columns->dilation == 1;
    return to;
}

static void NAME(plane_offsets)(NAME(planes) * p, int64_t *offset) {
    const axis *r = &p->w.rows, *c = &p->w.columns;
    for (int64_t u = 0; u < r->taps; u++)
        for (int64_t v = 0; v < c->taps; v++)
            offset[u * c->taps + v] = v * c->dilation % c->stride * p->s.plane + u * r->dilation * p->width +
                                      v * c->dilation / c->stride;
    p->offset = offset;
}

/* `count` adjacent planes of the source, packed. */
static const REAL *NAME(pack_planes)(const NAME(planes) * p, int64_t count, const REAL *source, REAL *packed) {
    if (p->s.packed) return source;
    NAME(pack_strip)(&p->packing, &p->s, source, count, 0, p->packing.rows.out, packed);
    return packed;
}

/* --- the convolution -------------------------------------------------------------------------------------- */

/* y = relu?(start + Σ over `sources` of the packed planes, each with r · s weights). */
typedef struct {
    NAME(planes) planes;
    int64_t sources, area; /* `area`: from a packed plane to the next */
    const REAL *x, *weight;
    REAL start;
    int relu;
    REAL *y;
} NAME(depthwise);

/* Store a row of outputs. */
FASTNN_INLINE void NAME(store_outputs)(const int partial, int tail, int relu, VECTOR sum, REAL *y) {
    if (relu) sum = NAME(relu_vector)(sum);
    if (partial) NAME(store_partial)(y, sum, tail);
    else NAME(store)(y, sum);
}

/* All rows of `vectors` vectors of columns from q on, the last with `partial` of `tail` lanes, for side · side
   taps, a dilation of 1 and equal strides: constants. Step m takes `stride` rows of the source, which meet the
   rows m, m − 1, … of outputs: their sums move on from step to step, and each source row is loaded once. The
   next plane of y is fetched meanwhile. A sum is one chain over (u / stride, source, u, v) in order. */
FASTNN_INLINE void NAME(depthwise_columns)(const int side, const int stride, const int vectors, const int partial,
                                           int tail, int64_t q, const NAME(depthwise) * p) {
    const int depth = (side + stride - 1) / stride;
    const int64_t width = p->planes.width, plane = p->planes.s.plane, out = p->planes.w.columns.out;
    const int64_t height = p->planes.w.rows.out, row = p->planes.row, sources = p->sources, area = p->area;
    const REAL *first = p->x + q, *all_weights = p->weight;
    const VECTOR start = (VECTOR){0} + p->start;
    const int relu = p->relu;
    REAL *y = p->y + q;
    VECTOR sum[7][2];
#pragma GCC unroll 8
    for (int d = 0; d < depth; d++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) sum[d][j] = start;
    for (int64_t m = 0; m < height + depth - 1; m++, first += row) {
        for (int64_t e = 0; e < sources; e++) {
            const REAL *x = first + e * area, *weight = all_weights + e * side * side;
#pragma GCC unroll 2
            for (int a = 0; a < stride; a++) {
                VECTOR pixels[7][2];
#pragma GCC unroll 8
                for (int v = 0; v < side; v++)
#pragma GCC unroll 2
                    for (int j = 0; j < vectors; j++) {
                        const REAL *at = x + a * width + v % stride * plane + v / stride + j * LANES;
                        pixels[v][j] = partial ? NAME(load_partial)(at, tail) : NAME(load)(at);
                    }
#pragma GCC unroll 8
                for (int d = 0; d < depth; d++)
                    if (d * stride + a < side && m >= d && m < height + d)
#pragma GCC unroll 8
                        for (int v = 0; v < side; v++)
#pragma GCC unroll 2
                            for (int j = 0; j < vectors; j++)
                                sum[d][j] += weight[(d * stride + a) * side + v] * pixels[v][j];
            }
        }
        if (m >= depth - 1) {
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++) {
                __builtin_prefetch(y + out * height + j * LANES, 1);
                NAME(store_outputs)(partial, tail, relu, sum[depth - 1][j], y + j * LANES);
            }
            y += out;
        }
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) {
#pragma GCC unroll 8
            for (int d = depth - 1; d > 0; d--) sum[d][j] = sum[d - 1][j];
            sum[0][j] = start;
        }
    }
}

FASTNN_INLINE void NAME(depthwise_plane)(const int side, const int stride, const NAME(depthwise) * p) {
    const int64_t out = p->planes.w.columns.out;
    int64_t q = 0;
    for (; q + 2 * LANES <= out; q += 2 * LANES) NAME(depthwise_columns)(side, stride, 2, 0, 0, q, p);
    if (q + LANES <= out) {
        NAME(depthwise_columns)(side, stride, 1, 0, 0, q, p);
        q += LANES;
    }
    if (q < out) NAME(depthwise_columns)(side, stride, 1, 1, (int)(out - q), q, p);
}

/* Any taps: `rows` rows from i0 on and a vector of columns from q on. A sum is one chain over (source, u, v) in
   order. */
FASTNN_INLINE void NAME(depthwise_tile)(const int rows, const int partial, int tail, int64_t i0, int64_t q,
                                        const NAME(depthwise) * p) {
    VECTOR sum[DEPTHWISE_ROWS];
    const int64_t row = p->planes.row, out = p->planes.w.columns.out;
    const int64_t taps = window_taps(&p->planes.w), *offset = p->planes.offset;
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) sum[i] = (VECTOR){0} + p->start;
    for (int64_t e = 0; e < p->sources; e++) {
        const REAL *x = p->x + e * p->area + i0 * row + q, *weight = p->weight + e * taps;
        for (int64_t t = 0; t < taps; t++)
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                const REAL *at = x + offset[t] + i * row;
                sum[i] += weight[t] * (partial ? NAME(load_partial)(at, tail) : NAME(load)(at));
            }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
        NAME(store_outputs)(partial, tail, p->relu, sum[i], p->y + (i0 + i) * out + q);
}

static void NAME(depthwise_any_plane)(const NAME(depthwise) * p) {
    const int64_t height = p->planes.w.rows.out, out = p->planes.w.columns.out;
    for (int64_t q = 0; q < out; q += LANES) {
        const int tail = (int)smaller(LANES, out - q);
        int64_t i = 0;
        for (; i + DEPTHWISE_ROWS <= height; i += DEPTHWISE_ROWS)
            if (tail == LANES) NAME(depthwise_tile)(DEPTHWISE_ROWS, 0, 0, i, q, p);
            else NAME(depthwise_tile)(DEPTHWISE_ROWS, 1, tail, i, q, p);
        for (; i < height; i++) NAME(depthwise_tile)(1, 1, tail, i, q, p);
    }
}

static void NAME(run_depthwise)(const NAME(depthwise) * p) {
    const int64_t side = p->planes.even ? p->planes.w.rows.taps : 0, stride = p->planes.w.rows.stride;
    if (side == 3 && stride == 1) NAME(depthwise_plane)(3, 1, p);
    else if (side == 3 && stride == 2) NAME(depthwise_plane)(3, 2, p);
    else if (side == 5 && stride == 1) NAME(depthwise_plane)(5, 1, p);
    else if (side == 5 && stride == 2) NAME(depthwise_plane)(5, 2, p);
    else if (side == 7 && stride == 1) NAME(depthwise_plane)(7, 1, p);
    else if (side == 7 && stride == 2) NAME(depthwise_plane)(7, 2, p);
    else NAME(depthwise_any_plane)(p);
}

/* y = relu?(bias + x * weight). Units of work: channels, counted through all images. */
static void NAME(convolve_depthwise)(const convolution *o, const REAL *x, const REAL *weight, const REAL *bias,
                                     REAL *y, int relu, int64_t thread, int64_t threads) {
    const window w = convolution_window(o, 1);
    const int64_t filters = o->filters / o->groups, taps = o->r * o->s, end = o->n * o->c * (thread + 1) / threads;
    NAME(depthwise) p = {.planes = NAME(plan_planes)(&w.rows, &w.columns), .sources = 1, .relu = relu};
    int64_t *offset = arena((size_t)taps * sizeof(int64_t) +
                            (size_t)(DEPTHWISE_PLANES * p.planes.size) * sizeof(REAL));
    REAL *packed = (REAL *)(offset + taps);
    NAME(plane_offsets)(&p.planes, offset);
    for (int64_t unit = o->n * o->c * thread / threads, count; unit < end; unit += count) {
        count = smaller(DEPTHWISE_PLANES, end - unit);
        const REAL *source = NAME(pack_planes)(&p.planes, count, x + unit * o->h * o->w, packed);
        for (int64_t k = 0; k < count * filters; k++) {
            const int64_t f = (unit % o->c * filters + k) % o->filters;
            p.x = source + k / filters * p.planes.s.plane * p.planes.packing.columns.taps;
            p.weight = weight + f * taps;
            p.start = bias ? bias[f] : 0;
            p.y = y + (unit * filters + k) * o->out_h * o->out_w;
            NAME(run_depthwise)(&p);
        }
    }
}

/* dx, with a stride of 1: dy convolved with the weights turned by 180°. Units of work: channels, counted through
   all images. */
static void NAME(convolve_depthwise_input)(const convolution *o, const REAL *dy, const REAL *weight,
                                           const REAL *mask, REAL *dx, int64_t thread, int64_t threads) {
    const convolution back = turned_convolution(o);
    const window w = convolution_window(&back, 1);
    const int64_t filters = o->filters / o->groups, taps = o->r * o->s, end = o->n * o->c * (thread + 1) / threads;
    const int64_t area = o->h * o->w;
    NAME(depthwise) p = {.planes = NAME(plan_planes)(&w.rows, &w.columns), .sources = filters};
    p.area = p.planes.s.plane;
    int64_t *offset = arena((size_t)taps * sizeof(int64_t) +
                            (size_t)(filters * (taps + DEPTHWISE_PLANES * p.planes.size)) * sizeof(REAL));
    REAL *turned = (REAL *)(offset + taps), *packed = turned + filters * taps;
    p.weight = turned;
    NAME(plane_offsets)(&p.planes, offset);
    for (int64_t unit = o->n * o->c * thread / threads, count; unit < end; unit += count) {
        count = smaller(DEPTHWISE_PLANES, end - unit);
        const REAL *source = NAME(pack_planes)(&p.planes, count * filters,
                                               dy + unit * filters * o->out_h * o->out_w, packed);
        for (int64_t k = 0; k < count; k++) {
            const REAL *from = weight + (unit + k) % o->c * filters * taps;
            for (int64_t f = 0; f < filters; f++)
                for (int64_t t = 0; t < taps; t++) turned[f * taps + t] = from[f * taps + taps - 1 - t];
            p.x = source + k * filters * p.area;
            p.y = dx + (unit + k) * area;
            NAME(run_depthwise)(&p);
            if (mask) NAME(apply_mask)(area, mask + (unit + k) * area, p.y);
        }
    }
}

/* --- the gradients by weight and bias --------------------------------------------------------------------- */

/* Add the columns of a vector from q on, with `partial` of `tail` lanes, to the sums of side · side taps: steps
   as of depthwise_columns, where the rows of dy move on. Lanes beyond the tail are no pixels of these outputs. */
FASTNN_INLINE void NAME(sum_depthwise_column)(const int side, const int stride, const int partial, int tail,
                                              int64_t q, const NAME(planes) * p, const REAL *x, const REAL *dy,
                                              VECTOR *sum, VECTOR *bias) {
    const int depth = (side + stride - 1) / stride;
    const int64_t width = p->width, plane = p->s.plane, out = p->w.columns.out, height = p->w.rows.out;
    VECTOR row[5] = {{0}};
    for (int64_t m = 0; m < height + depth - 1; m++) {
#pragma GCC unroll 8
        for (int d = depth - 1; d > 0; d--) row[d] = row[d - 1];
        if (m < height) {
            const REAL *at = dy + m * out + q;
            row[0] = partial ? NAME(load_partial)(at, tail) : NAME(load)(at);
            *bias += row[0];
        }
#pragma GCC unroll 2
        for (int a = 0; a < stride; a++) {
            VECTOR pixels[5];
#pragma GCC unroll 8
            for (int v = 0; v < side; v++) {
                const REAL *at = x + m * p->row + a * width + v % stride * plane + v / stride + q;
                pixels[v] = partial ? NAME(load_partial)(at, tail) : NAME(load)(at);
            }
#pragma GCC unroll 8
            for (int d = 0; d < depth; d++)
                if (d * stride + a < side && m >= d && m < height + d)
#pragma GCC unroll 8
                    for (int v = 0; v < side; v++) sum[(d * stride + a) * side + v] += row[d] * pixels[v];
        }
    }
}

/* The same for any `count` taps. */
FASTNN_INLINE void NAME(sum_any_column)(const int count, const int partial, int tail, int64_t q,
                                        const NAME(planes) * p, const int64_t *offset, const REAL *x, const REAL *dy, VECTOR *sum,
                                        VECTOR *bias) {
    for (int64_t i = 0; i < p->w.rows.out; i++) {
        const REAL *at = dy + i * p->w.columns.out + q;
        const VECTOR row = partial ? NAME(load_partial)(at, tail) : NAME(load)(at);
        *bias += row;
#pragma GCC unroll 4
        for (int t = 0; t < count; t++) {
            at = x + offset[t] + i * p->row + q;
            sum[t] += row * (partial ? NAME(load_partial)(at, tail) : NAME(load)(at));
        }
    }
}

/* Add a plane of dy: side · side taps, or where that is 0 `count` taps from `offset` on. */
FASTNN_INLINE void NAME(sum_depthwise_plane)(const int side, const int stride, const int count,
                                             const NAME(planes) * p, const int64_t *offset, const REAL *x,
                                             const REAL *dy, REAL *sums, REAL *bias_sum) {
    const int64_t width = p->w.columns.out;
    const int taps = side ? side * side : count;
    VECTOR sum[25], bias = NAME(load)(bias_sum);
#pragma GCC unroll 32
    for (int t = 0; t < taps; t++) sum[t] = NAME(load)(sums + t * LANES);
    int64_t q = 0;
    for (; q + LANES <= width; q += LANES)
        if (side) NAME(sum_depthwise_column)(side, stride, 0, 0, q, p, x, dy, sum, &bias);
        else NAME(sum_any_column)(count, 0, 0, q, p, offset, x, dy, sum, &bias);
    if (q < width) {
        const int tail = (int)(width - q);
        if (side) NAME(sum_depthwise_column)(side, stride, 1, tail, q, p, x, dy, sum, &bias);
        else NAME(sum_any_column)(count, 1, tail, q, p, offset, x, dy, sum, &bias);
    }
#pragma GCC unroll 32
    for (int t = 0; t < taps; t++) NAME(store)(sums + t * LANES, sum[t]);
    NAME(store)(bias_sum, bias);
}

static void NAME(sum_depthwise)(const NAME(planes) * p, const REAL *x, const REAL *dy, REAL *sums, REAL *bias) {
    const int64_t side = p->even ? p->w.rows.taps : 0, stride = p->w.rows.stride, taps = window_taps(&p->w);
    if (side == 3 && stride == 1) NAME(sum_depthwise_plane)(3, 1, 0, p, NULL, x, dy, sums, bias);
    else if (side == 3 && stride == 2) NAME(sum_depthwise_plane)(3, 2, 0, p, NULL, x, dy, sums, bias);
    else if (side == 5 && stride == 1) NAME(sum_depthwise_plane)(5, 1, 0, p, NULL, x, dy, sums, bias);
    else if (side == 5 && stride == 2) NAME(sum_depthwise_plane)(5, 2, 0, p, NULL, x, dy, sums, bias);
    else {
        /* The bias belongs to the first taps. */
        REAL spare[LANES] = {0};
        int64_t t = 0;
        for (; t + 4 <= taps; t += 4)
            NAME(sum_depthwise_plane)(0, 1, 4, p, p->offset + t, x, dy, sums + t * LANES, t ? spare : bias);
        for (; t < taps; t++)
            NAME(sum_depthwise_plane)(0, 1, 1, p, p->offset + t, x, dy, sums + t * LANES, t ? spare : bias);
    }
}

/* dweight and dbias. Each thread takes a range of channels; a lane's sum is one chain over its pixels in order. */
static void NAME(convolve_depthwise_weight)(const convolution *o, const REAL *x, const REAL *dy, REAL *dweight,
                                            REAL *dbias, int64_t thread, int64_t threads) {
    const window w = convolution_window(o, 1);
    const int64_t filters = o->filters / o->groups, taps = o->r * o->s, out_area = o->out_h * o->out_w;
    NAME(planes) planes = NAME(plan_planes)(&w.rows, &w.columns);
    const int64_t sums_row = (taps + 1) * LANES, sums_size = DEPTHWISE_PLANES * filters * sums_row;
    int64_t *offset = arena((size_t)taps * sizeof(int64_t) +
                            (size_t)(sums_size + DEPTHWISE_PLANES * planes.size) * sizeof(REAL));
    REAL *sums = (REAL *)(offset + taps);
    NAME(plane_offsets)(&planes, offset);
    const int64_t end = o->c * (thread + 1) / threads, plane = planes.s.plane * planes.packing.columns.taps;
    for (int64_t e = o->c * thread / threads, count; e < end; e += count) {
        count = smaller(DEPTHWISE_PLANES, end - e);
        memset(sums, 0, (size_t)sums_size * sizeof(REAL));
        for (int64_t i = 0; i < o->n; i++) {
            const REAL *source = NAME(pack_planes)(&planes, count, x + (i * o->c + e) * o->h * o->w,
                                                   sums + sums_size);
            const REAL *first = dy + (i * o->c + e) * filters * out_area;
            for (int64_t k = 0; k < count * filters; k++) {
                REAL *sum = sums + k * sums_row;
                NAME(sum_depthwise)(&planes, source + k / filters * plane, first + k * out_area, sum,
                                    sum + taps * LANES);
            }
        }
        for (int64_t k = 0; k < count * filters; k++) {
            const REAL *sum = sums + k * sums_row;
            const int64_t f = e * filters + k;
            for (int64_t t = 0; t < taps; t++) dweight[f * taps + t] = NAME(lane_sum)(NAME(load)(sum + t * LANES));
            if (dbias) dbias[f] = NAME(lane_sum)(NAME(load)(sum + taps * LANES));
        }
    }
}

#undef VECTOR
#undef LANES
#undef DEPTHWISE_ROWS
#undef DEPTHWISE_PLANES
