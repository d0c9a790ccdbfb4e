/* The gradients by weight and bias with images along the lanes, for one dtype: REAL and NAME are set by
   convolution.h. A lane sums its images' pixels; the lanes are added up at the end. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
/* The register tile: filters by adjacent taps of a row of the window. */
#define IMAGE_FILTERS (VECTOR_BYTES == 64 ? 4 : 2)
#define IMAGE_TAPS 5
#define IMAGE_ROWS_BYTES 20480

/* Rows of a turned gradient, `run` elements each, and of x where the tile's first tap meets them. */
typedef struct {
    int64_t rows, run, dy_plane, x_row, x_tap;
    const REAL *dy, *x;
    int64_t sum_filter;
    REAL *sum;
} NAME(image_sums);

/* sum (filters, taps, LANES) += Σ dy x over all pixels. */
FASTNN_INLINE void NAME(image_weight_tile)(const int filters, const int taps, const NAME(image_sums) * p) {
    VECTOR sum[IMAGE_FILTERS][IMAGE_TAPS];
#pragma GCC unroll 4
    for (int f = 0; f < filters; f++)
#pragma GCC unroll 5
        for (int t = 0; t < taps; t++) sum[f][t] = NAME(load)(p->sum + f * p->sum_filter + t * LANES);
    for (int64_t row = 0; row < p->rows; row++) {
        const REAL *dy = p->dy + row * p->run, *x = p->x + row * p->x_row;
        for (int64_t left = p->run; left > 0; left -= LANES, dy += LANES, x += LANES) {
            VECTOR x_t[IMAGE_TAPS];
#pragma GCC unroll 5
            for (int t = 0; t < taps; t++) {
                x_t[t] = NAME(load)(x + t * p->x_tap);
                KEEP_IN_REGISTER(x_t[t]);
            }
#pragma GCC unroll 4
            for (int f = 0; f < filters; f++) {
                const VECTOR dy_f = NAME(load)(dy + f * p->dy_plane);
#pragma GCC unroll 5
                for (int t = 0; t < taps; t++) sum[f][t] += dy_f * x_t[t];
            }
        }
    }
#pragma GCC unroll 4
    for (int f = 0; f < filters; f++)
#pragma GCC unroll 5
        for (int t = 0; t < taps; t++) NAME(store)(p->sum + f * p->sum_filter + t * LANES, sum[f][t]);
}

#define FASTNN_TAPS_CASE(taps)                                                                               \
    case taps: NAME(image_weight_tile)(filters, taps, p); break;
FASTNN_INLINE void NAME(image_weight_taps)(const int filters, int taps, const NAME(image_sums) * p) {
    switch (taps) {
        FASTNN_TAPS_CASE(1)
        FASTNN_TAPS_CASE(2)
        FASTNN_TAPS_CASE(3)
        FASTNN_TAPS_CASE(4)
        FASTNN_TAPS_CASE(5)
    }
}
#undef FASTNN_TAPS_CASE

static void NAME(add_image_sums)(int filters, int taps, const NAME(image_sums) * p) {
    switch (filters) {
        case 1: NAME(image_weight_taps)(1, taps, p); break;
        case 2: NAME(image_weight_taps)(2, taps, p); break;
#if VECTOR_BYTES == 64
        case 3: NAME(image_weight_taps)(3, taps, p); break;
        case 4: NAME(image_weight_taps)(4, taps, p); break;
#endif
    }
}

/* to[k] = lane_sum of vector k. */
static void NAME(add_lanes)(int64_t count, const REAL *vectors, REAL *to) {
    for (int64_t k = 0; k < count; k += LANES) {
        const int some = (int)smaller(LANES, count - k);
        VECTOR v[LANES];
        NAME(load_rows)(vectors + k * LANES, LANES, some, LANES, v);
        NAME(turn)(v);
        NAME(store_partial)(to + k, NAME(sum_of_lanes)(v), some);
    }
}

/* sums (filters, LANES) += Σ of `size` elements of each plane of dy, in order: one chain each, as many at once as there
   are filters in a tile, not to wait for one. */
FASTNN_INLINE void NAME(add_some_planes)(const int filters, int64_t size, const REAL *dy, int64_t plane, REAL *sums) {
    VECTOR sum[IMAGE_FILTERS];
    for (int f = 0; f < filters; f++) sum[f] = NAME(load)(sums + f * LANES);
    for (int64_t k = 0; k < size; k += LANES)
#pragma GCC unroll 4
        for (int f = 0; f < filters; f++) sum[f] += NAME(load)(dy + f * plane + k);
    for (int f = 0; f < filters; f++) NAME(store)(sums + f * LANES, sum[f]);
}
static void NAME(add_planes)(int64_t filters, int64_t size, const REAL *dy, int64_t plane, REAL *sums) {
    int64_t f = 0;
    for (; f + IMAGE_FILTERS <= filters; f += IMAGE_FILTERS)
        NAME(add_some_planes)(IMAGE_FILTERS, size, dy + f * plane, plane, sums + f * LANES);
    for (; f < filters; f++) NAME(add_some_planes)(1, size, dy + f * plane, plane, sums + f * LANES);
}

/* dweight and dbias of a convolution of one group with a stride of 1, from dy: of the convolution itself where `place`
   is NULL, else of the pool after it. The threads divide the filters; a lane's sum is one chain over blocks, rows and
   columns in order. */
static void NAME(convolve_images_weight)(const pooled_convolution *pooled, const REAL *x, const REAL *dy,
                                         const uint8_t *place, REAL *dweight, REAL *dbias, int64_t thread,
                                         int64_t threads) {
    const convolution *o = &pooled->o;
    const int64_t begin = o->filters * thread / threads, filters = o->filters * (thread + 1) / threads - begin;
    const int64_t taps = o->c * o->r * o->s, sums_size = filters * (taps + 1) * LANES;
    NAME(image_strips) s = NAME(plan_images)(pooled, filters, 0, 1);
    /* Tiles of equal heights, rather than a low one at the end. */
    const int64_t some = ceil_divide(filters, larger(1, ceil_divide(filters, IMAGE_FILTERS)));
    /* Rows of a tile's gradients, of whole windows, that stay in L1 from tap to tap. */
    const int64_t run = o->out_w * IMAGES, pool = pooled->pool;
    const int64_t fitting = IMAGE_ROWS_BYTES / larger(1, some * run * (int64_t)sizeof(REAL));
    const int64_t rows = larger(1, fitting / pool) * pool, dz_size = place ? some * rows * run : 0;
    REAL *dz = arena((size_t)(s.x_size + s.y_size + dz_size + sums_size) * sizeof(REAL));
    REAL *turned_dy = dz + dz_size, *sums = turned_dy + s.y_size, *room = sums + sums_size;
    REAL *bias_sums = sums + filters * taps * LANES;
    memset(dz, 0, (size_t)dz_size * sizeof(REAL)); /* as pixels stay that no window reaches */
    memset(sums, 0, (size_t)sums_size * sizeof(REAL));
    NAME(image_sums) p = {.run = run, .x_row = s.x.width * IMAGES, .x_tap = o->dilation_w * IMAGES,
                          .sum_filter = taps * LANES};
    for (int64_t unit = 0; unit < s.units; unit++) {
        const REAL *turned_x = NAME(turn_strip)(&s, unit, x, room);
        const REAL *strip_dy = NAME(turn_gradient)(&s, dy, begin, turned_dy);
        if (!place && dbias) NAME(add_planes)(filters, s.y.rows * run, strip_dy, s.y.plane, bias_sums);
        for (int64_t f = 0; f < filters; f += some)
            for (int64_t row = 0; row < s.y.rows * pool; row += rows) {
                const int64_t tile = smaller(some, filters - f), windows = row / pool * s.y.w * IMAGES;
                p.rows = smaller(rows, s.y.rows * pool - row);
                p.dy = strip_dy + f * s.y.plane + row * run;
                p.dy_plane = s.y.plane;
                if (place) {
                    NAME(unpooling) part = NAME(through_pool)(&s, strip_dy, place, begin, dz, rows * run);
                    part.channels = tile;
                    part.rows = p.rows / pool;
                    part.dy += f * part.dy_plane + windows;
                    part.place += f * part.place_plane + windows;
                    if (dbias) part.sums = bias_sums + f * LANES;
                    NAME(unpool)(&part);
                    p.dy = dz;
                    p.dy_plane = part.dz_plane;
                }
                for (int64_t t = 0, adjacent; t < taps; t += adjacent) {
                    const int64_t e = t / (o->r * o->s), v = t / o->s % o->r;
                    adjacent = smaller(IMAGE_TAPS, o->s - t % o->s);
                    p.x = turned_x + e * s.x.plane + (row + v * o->dilation_h) * p.x_row + t % o->s * p.x_tap;
                    p.sum = sums + (f * taps + t) * LANES;
                    NAME(add_image_sums)((int)tile, (int)adjacent, &p);
                }
            }
    }
    NAME(add_lanes)(filters * taps, sums, dweight + begin * taps);
    if (dbias) NAME(add_lanes)(filters, bias_sums, dbias + begin);
}

#undef VECTOR
#undef LANES
#undef IMAGE_FILTERS
#undef IMAGE_TAPS
#undef IMAGE_ROWS_BYTES
