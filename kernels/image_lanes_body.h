/* Images along the lanes, for one dtype: REAL and NAME are set by convolution.h.

   Small planes of few channels fill vectors neither with pixels nor with channels. But one pixel of IMAGES images fills
   one or several: every tap then is a whole one, there are no edges to cut, and the pixels of a row follow each other.
   So blocks of images are turned, a strip of rows at a time, and the results back. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* Rows of a block of images x (channels, h, w), of which `images` are there, `image` elements apart; turned to
   (channels, rows, width, IMAGES), `plane` elements a channel: row 0 is row `first` of x, column `left` column 0. */
typedef struct {
    int images;
    int64_t image, channels, h, w, first, rows, left, width, plane;
} NAME(image_rows);

static NAME(image_rows) NAME(image_planes)(int64_t channels, int64_t h, int64_t w) {
    return (NAME(image_rows)){.image = channels * h * w, .channels = channels, .h = h, .w = w, .width = w};
}

/* Returns the elements of all channels. A pixel lies between two planes, so that the same place of several isn't
   in the same set of the cache. */
static int64_t NAME(set_rows)(NAME(image_rows) * t, int64_t rows) {
    t->rows = rows;
    t->plane = (rows * t->width + 1) * IMAGES;
    return t->channels * t->plane;
}

/* The pixels that x doesn't have are zeros already. */
static void NAME(turn_images)(const NAME(image_rows) * t, const REAL *x, REAL *to) {
    const int64_t begin = larger(0, t->first), end = larger(begin, smaller(t->h, t->first + t->rows));
    /* Without columns beside them the rows are one run. */
    const int64_t run = t->width == t->w ? (end - begin) * t->w : t->w, runs = t->width == t->w ? 1 : end - begin;
    for (int64_t e = 0; e < t->channels; e++)
        for (int64_t i = 0; i < runs; i++) {
            const REAL *from = x + (e * t->h + begin + i) * t->w;
            REAL *at = to + e * t->plane + ((begin - t->first + i) * t->width + t->left) * IMAGES;
            for (int64_t k = 0; k < run; k += LANES)
                for (int lane = 0; lane < IMAGES; lane += LANES)
                    NAME(transpose)(from + lane * t->image + k, t->image, t->images - lane,
                                    (int)smaller(LANES, run - k), at + k * IMAGES + lane, IMAGES);
        }
}

/* The same, back: of rows without columns beside the images'. */
static void NAME(return_images)(const NAME(image_rows) * t, const REAL *from, REAL *x) {
    const int64_t pixels = t->rows * t->w;
    for (int64_t e = 0; e < t->channels; e++)
        for (int64_t k = 0; k < pixels; k += LANES)
            for (int lane = 0; lane < t->images; lane += LANES) {
                const int count = (int)smaller(LANES, pixels - k), images = (int)smaller(LANES, t->images - lane);
                REAL *to = x + lane * t->image + (e * t->h + t->first) * t->w + k;
                VECTOR v[LANES];
                NAME(load_rows)(from + e * t->plane + k * IMAGES + lane, IMAGES, count, LANES, v);
                NAME(turn)(v);
                if (count == LANES && images == LANES)
#pragma GCC unroll 16
                    for (int i = 0; i < LANES; i++) NAME(store)(to + i * t->image, v[i]);
                else
                    for (int i = 0; i < images; i++) NAME(store_partial)(to + i * t->image, v[i], count);
            }
}

/* --- strips ---------------------------------------------------------------------------------------------- */

/* How the images of a convolution of one group with a stride of 1 are turned: x, and z, its result or that one's
   gradient, in strips of rows of z that IMAGE_LANES_BYTES hold with those of x that they meet; y is z after the pool,
   which windows of pool x pool pixels make of the strip, side by side. */
typedef struct {
    const convolution *o;
    int64_t pool, rows, strips, units, x_size, z_size, y_size;
    int padded;
    NAME(image_rows) x, z, y;
} NAME(image_strips);

/* The parts that the rows of a block are cut into, at least, so that the threads get about as much each. */
static int64_t NAME(parts_of_block)(int64_t images, int64_t threads) {
    const int64_t blocks = ceil_divide(images, IMAGES);
    return blocks == 0 || blocks % threads == 0 ? 1 : ceil_divide(4 * threads, blocks);
}

static NAME(image_strips) NAME(plan_images)(const convolution *o, int64_t pool, int64_t filters, int64_t parts) {
    const int64_t reach = (o->r - 1) * o->dilation_h, width = o->out_w + (o->s - 1) * o->dilation_w;
    const int64_t pixels = IMAGE_LANES_BYTES / (IMAGES * (int64_t)sizeof(REAL));
    const int64_t fitting = (pixels - reach * o->c * width) / larger(1, o->c * width + filters * o->out_w);
    const int64_t most = smaller(fitting, round_up(ceil_divide(o->out_h, parts), pool));
    NAME(image_strips) s = {.o = o, .pool = pool,
                            .rows = smaller(o->out_h, larger(pool, most / pool * pool)),
                            .padded = width != o->w || o->pad_top != 0 || o->out_h + reach != o->h,
                            .x = NAME(image_planes)(o->c, o->h, o->w),
                            .z = NAME(image_planes)(filters, o->out_h, o->out_w),
                            .y = NAME(image_planes)(filters, o->out_h / pool, o->out_w / pool)};
    s.x.left = o->pad_left;
    s.x.width = width;
    s.z.image = o->filters * s.z.h * s.z.w; /* these filters may be some of all */
    s.y.image = o->filters * s.y.h * s.y.w;
    s.strips = ceil_divide(o->out_h, larger(1, s.rows));
    s.units = ceil_divide(o->n, IMAGES) * s.strips;
    s.x_size = NAME(set_rows)(&s.x, s.rows + reach);
    s.z_size = NAME(set_rows)(&s.z, s.rows);
    s.y_size = NAME(set_rows)(&s.y, s.rows / pool);
    return s;
}

/* Go to strip `unit` and turn what it needs of x. Returns the number of its first image. */
static int64_t NAME(turn_strip)(NAME(image_strips) * s, int64_t unit, const REAL *x, REAL *to) {
    const int64_t image = unit / s->strips * IMAGES, first = unit % s->strips * s->rows;
    s->x.images = s->z.images = s->y.images = (int)smaller(IMAGES, s->o->n - image);
    s->x.first = first - s->o->pad_top;
    s->z.first = first;
    s->z.rows = smaller(s->rows, s->o->out_h - first);
    s->y.first = first / s->pool;
    s->y.rows = s->z.rows / s->pool;
    if (s->padded) memset(to, 0, (size_t)s->x_size * sizeof(REAL));
    NAME(turn_images)(&s->x, x + image * s->x.image, to);
    return image;
}

/* --- pooling ---------------------------------------------------------------------------------------------- */

/* y (channels, rows, columns) = the maxima of the windows side by side of z, whose rows are `width` long. As in
   pooling_body.h: down the columns first, and a NaN wins. */
FASTNN_INLINE void NAME(pool_turned)(const int64_t size, const NAME(image_rows) * to, int64_t width, const REAL *z,
                                     int64_t z_plane, REAL *y) {
    for (int64_t e = 0; e < to->channels; e++)
        for (int64_t p = 0; p < to->rows; p++)
            for (int64_t q = 0; q < to->w; q++)
                for (int lane = 0; lane < IMAGES; lane += LANES) {
                    const REAL *from = z + e * z_plane + size * (p * width + q) * IMAGES + lane;
                    VECTOR best = {0};
                    for (int64_t v = 0; v < size; v++) {
                        VECTOR down = NAME(load)(from + v * IMAGES);
                        for (int64_t u = 1; u < size; u++)
                            down = NAME(combine)(0, down, NAME(load)(from + (u * width + v) * IMAGES));
                        best = v ? NAME(combine)(0, best, down) : down;
                    }
                    NAME(store)(y + e * to->plane + (p * to->w + q) * IMAGES + lane, best);
                }
}

/* dz = dy (channels, rows, columns) where z has its window's maximum, the first one or the last NaN, else 0; with
   `relu`, z being a ReLU's result, 0 too where that isn't positive. */
FASTNN_INLINE void NAME(unpool_turned)(const int64_t size, int relu, const NAME(image_rows) * from, int64_t width,
                                       const REAL *dy, const REAL *z, int64_t z_plane, REAL *dz, int64_t dz_plane) {
    for (int64_t e = 0; e < from->channels; e++)
        for (int64_t p = 0; p < from->rows; p++)
            for (int64_t q = 0; q < from->w; q++)
                for (int lane = 0; lane < IMAGES; lane += LANES) {
                    const int64_t at = size * (p * width + q) * IMAGES + lane;
                    VECTOR best = NAME(load)(z + e * z_plane + at);
                    NAME(mask) place = {0};
                    for (int64_t k = 1; k < size * size; k++) {
                        const VECTOR value = NAME(load)(z + e * z_plane + at + (k / size * width + k % size) * IMAGES);
                        const NAME(mask) takes = NAME(takes)(value, best);
                        best = NAME(select)(takes, value, best);
                        place = (place & ~takes) | (takes & (NAME(lane))k);
                    }
                    VECTOR gradient = NAME(load)(dy + e * from->plane + (p * from->w + q) * IMAGES + lane);
                    if (relu) gradient = NAME(select)(best > (VECTOR){0}, gradient, (VECTOR){0});
                    for (int64_t k = 0; k < size * size; k++)
                        NAME(store)(dz + e * dz_plane + at + (k / size * width + k % size) * IMAGES,
                                    NAME(select)(place == (NAME(lane))k, gradient, (VECTOR){0}));
                }
}

/* --- the convolution ------------------------------------------------------------------------------------- */

/* y = the maxima of pool x pool pixels of relu?(bias + x * weight), and these to `a` (n / IMAGES, filters, out_h, out_w,
   IMAGES) unless that is NULL. Units of work: strips of blocks, which must be whole. A sum is one chain over (channel,
   u, v) in order, from the bias on, as in the direct form. */
static void NAME(convolve_images)(const convolution *o, int64_t pool, const REAL *x, const REAL *weight,
                                  const REAL *bias, REAL *y, REAL *a, int relu, int64_t thread, int64_t threads) {
    NAME(image_strips) s = NAME(plan_images)(o, pool, o->filters, NAME(parts_of_block)(o->n, threads));
    const int64_t taps = o->c * o->r * o->s, plane = o->out_h * o->out_w * IMAGES;
    int64_t *offset = arena((size_t)round_up(taps, 8) * sizeof(int64_t) +
                            (size_t)(s.x_size + s.z_size + s.y_size) * sizeof(REAL));
    REAL *turned_x = (REAL *)(offset + round_up(taps, 8)), *turned_z = turned_x + s.x_size;
    REAL *turned_y = turned_z + s.z_size;
    for (int64_t e = 0, k = 0; e < o->c; e++)
        for (int64_t u = 0; u < o->r; u++)
            for (int64_t v = 0; v < o->s; v++, k++)
                offset[k] = e * s.x.plane + (u * o->dilation_h * s.x.width + v * o->dilation_w) * IMAGES;
    NAME(correlation) p = {.rows = o->filters, .pixels = o->out_w * IMAGES, .taps = taps, .a = weight, .a_row = taps,
                           .offset = offset, .bias = bias, .c_row = a ? plane : s.z.plane, .relu = relu};
    for (int64_t unit = s.units * thread / threads; unit < s.units * (thread + 1) / threads; unit++) {
        const int64_t image = NAME(turn_strip)(&s, unit, x, turned_x);
        REAL *z = a ? a + image / IMAGES * o->filters * plane + s.z.first * p.pixels : turned_z;
        for (int64_t i = 0; i < s.z.rows; i++) {
            p.b = turned_x + i * s.x.width * IMAGES;
            p.c = z + i * p.pixels;
            NAME(correlate)(&p);
        }
        if (pool == 2) NAME(pool_turned)(2, &s.y, o->out_w, z, p.c_row, turned_y);
        else NAME(pool_turned)(pool, &s.y, o->out_w, z, p.c_row, turned_y);
        NAME(return_images)(&s.y, turned_y, y + image * s.y.image);
    }
}

/* Where a gradient comes from: dy of the convolution itself, with a pool of 1, or of the pool after it; then `a` is
   what was pooled, as convolve_images has left it, with `relu` a ReLU's result. */
typedef struct {
    int64_t pool;
    int relu;
    const REAL *dy, *a;
} NAME(image_gradient);

/* The gradient of rows t.z of filters [f, f + t.z.channels) of the block from `image` on, turned to dz; `turned_dy` has
   room for those of t.y. */
static void NAME(turn_gradient)(const NAME(image_strips) * t, const NAME(image_gradient) * g, int64_t image, int64_t f,
                                REAL *turned_dy, REAL *dz) {
    const convolution *o = t->o;
    const REAL *dy = g->dy + image * t->y.image + f * t->y.h * t->y.w;
    if (g->pool == 1) {
        NAME(turn_images)(&t->z, dy, dz);
        return;
    }
    NAME(turn_images)(&t->y, dy, turned_dy);
    const int64_t plane = o->out_h * o->out_w * IMAGES;
    const REAL *a = g->a + (image / IMAGES * o->filters + f) * plane + t->z.first * o->out_w * IMAGES;
    /* Pixels that no window reaches have none. */
    if (o->out_h % g->pool || o->out_w % g->pool) memset(dz, 0, (size_t)(t->z.channels * t->z.plane) * sizeof(REAL));
    if (g->pool == 2) NAME(unpool_turned)(2, g->relu, &t->y, o->out_w, turned_dy, a, plane, dz, t->z.plane);
    else NAME(unpool_turned)(g->pool, g->relu, &t->y, o->out_w, turned_dy, a, plane, dz, t->z.plane);
}

#undef VECTOR
#undef LANES
