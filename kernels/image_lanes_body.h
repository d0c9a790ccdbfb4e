/* Images along the lanes, for one dtype: REAL and NAME are set by convolution.h.

   Small planes of few channels fill vectors neither with pixels nor with channels. But one pixel of IMAGES images fills
   one or several: every tap then is a whole one, there are no edges to cut, and the pixels of a row follow each other.
   So blocks of images are turned, a strip of rows at a time, and the results back; or they lie in blocks already, the
   last one with zeros in place of images that aren't there. */

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
    t->plane = block_plane(rows, t->width);
    return t->channels * t->plane;
}

/* Row `first` of the block from `image` on, of channel e, in x (blocks, all channels, block_plane(h, w)). */
static int64_t NAME(in_blocks)(const NAME(image_rows) * t, int64_t all_channels, int64_t image, int64_t e) {
    return (image / IMAGES * all_channels + e) * block_plane(t->h, t->w) + larger(0, t->first) * t->w * IMAGES;
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

/* The same from x that lies in blocks, from row `first` of its first channel on. */
static void NAME(copy_images)(const NAME(image_rows) * t, const REAL *x, REAL *to) {
    const int64_t begin = larger(0, t->first), end = larger(begin, smaller(t->h, t->first + t->rows));
    const size_t bytes = (size_t)(t->w * IMAGES) * sizeof(REAL);
    for (int64_t e = 0; e < t->channels; e++)
        for (int64_t i = 0; i < end - begin; i++)
            memcpy(to + e * t->plane + ((begin - t->first + i) * t->width + t->left) * IMAGES,
                   x + e * block_plane(t->h, t->w) + i * t->w * IMAGES, bytes);
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

/* How the images of a convolution of one group with a stride of 1 are turned: in strips of rows of its result z that
   IMAGE_LANES_BYTES hold with those of x that they meet; y is z after the pool, which windows of pool x pool pixels make
   of the strip, side by side, or z itself with a pool of 1. */
typedef struct {
    const convolution *o;
    int64_t pool, rows, strips, units, x_size, y_size;
    int padded, x_blocks, y_blocks;
    int64_t image; /* the block's first */
    NAME(image_rows) x, y;
} NAME(image_strips);

/* The parts that the rows of a block are cut into, at least, so that the threads get about as much each. */
static int64_t NAME(parts_of_block)(int64_t images, int64_t threads) {
    const int64_t blocks = ceil_divide(images, IMAGES);
    return blocks == 0 || blocks % threads == 0 ? 1 : ceil_divide(4 * threads, blocks);
}

/* `beside` are the pixels that each row of the strip takes besides those of x and z. */
static NAME(image_strips) NAME(plan_images)(const pooled_convolution *p, int64_t filters, int64_t beside,
                                            int64_t parts) {
    const convolution *o = &p->o;
    const int64_t reach = (o->r - 1) * o->dilation_h, width = o->out_w + (o->s - 1) * o->dilation_w;
    const int64_t pixels = IMAGE_LANES_BYTES / (IMAGES * (int64_t)sizeof(REAL));
    const int64_t fitting = (pixels - reach * (o->c * width + beside)) /
                            larger(1, o->c * width + filters * o->out_w + beside);
    const int64_t most = smaller(fitting, round_up(ceil_divide(o->out_h, parts), p->pool));
    NAME(image_strips) s = {.o = o, .pool = p->pool, .x_blocks = (int)p->x_blocks, .y_blocks = (int)p->y_blocks,
                            .rows = smaller(o->out_h, larger(p->pool, most / p->pool * p->pool)),
                            .padded = width != o->w || o->pad_top != 0 || o->out_h + reach != o->h,
                            .x = NAME(image_planes)(o->c, o->h, o->w),
                            .y = NAME(image_planes)(filters, o->out_h / p->pool, o->out_w / p->pool)};
    s.x.left = o->pad_left;
    s.x.width = width;
    s.y.image = o->filters * s.y.h * s.y.w; /* these filters may be some of all */
    s.strips = ceil_divide(o->out_h, larger(1, s.rows));
    s.units = ceil_divide(o->n, IMAGES) * s.strips;
    s.x_size = NAME(set_rows)(&s.x, s.x_blocks && !s.padded ? s.x.h : s.rows + reach);
    s.y_size = NAME(set_rows)(&s.y, s.y_blocks ? s.y.h : s.rows / p->pool);
    return s;
}

/* Go to strip `unit`. Returns its rows of x, turned: in `to`, or in x if they lie there as they are needed. */
static const REAL *NAME(turn_strip)(NAME(image_strips) * s, int64_t unit, const REAL *x, REAL *to) {
    const int64_t first = unit % s->strips * s->rows;
    s->image = unit / s->strips * IMAGES;
    s->x.images = s->y.images = (int)smaller(IMAGES, s->o->n - s->image);
    s->x.first = first - s->o->pad_top;
    s->y.first = first / s->pool;
    s->y.rows = smaller(s->rows, s->o->out_h - first) / s->pool;
    const REAL *from = x + (s->x_blocks ? NAME(in_blocks)(&s->x, s->o->c, s->image, 0) : s->image * s->x.image);
    if (s->x_blocks && !s->padded) return from;
    if (s->padded) memset(to, 0, (size_t)s->x_size * sizeof(REAL));
    if (s->x_blocks) NAME(copy_images)(&s->x, from, to);
    else NAME(turn_images)(&s->x, from, to);
    return to;
}

/* --- pooling ---------------------------------------------------------------------------------------------- */

/* Where a window's maximum is that a ReLU has made 0. */
#define NO_PLACE 255

/* The maximum of a window of vectors, whose rows are `row` elements apart and columns IMAGES. As in pooling_body.h: down
   the columns first, and a NaN wins. */
FASTNN_INLINE VECTOR NAME(window_maximum)(const int64_t size, const REAL *from, int64_t row) {
    VECTOR best = {0};
    for (int64_t v = 0; v < size; v++) {
        VECTOR down = NAME(load)(from + v * IMAGES);
        for (int64_t u = 1; u < size; u++) down = NAME(combine)(0, down, NAME(load)(from + u * row + v * IMAGES));
        best = v ? NAME(combine)(0, best, down) : down;
    }
    return best;
}

/* The same, and its place in the window: the first in row order, or the last NaN; with `relu` NO_PLACE where it isn't
   positive. */
FASTNN_INLINE VECTOR NAME(window_place)(const int64_t size, int relu, const REAL *from, int64_t row, uint8_t *to) {
    VECTOR best = NAME(load)(from);
    NAME(mask) place = {0};
    for (int64_t k = 1; k < size * size; k++) {
        const VECTOR value = NAME(load)(from + k / size * row + k % size * IMAGES);
        const NAME(mask) takes = NAME(takes)(value, best), here = (NAME(mask)){0} + (NAME(lane))k;
        best = NAME(select)(takes, value, best);
        place = (place & ~takes) | (here & takes);
    }
    if (relu) place |= ~(best > (VECTOR){0}) & NO_PLACE;
    NAME(store_bytes)(to, place);
    return best;
}

/* A row of windows side by side of z (channels, size, width, IMAGES): their maxima and, unless `place` is NULL, where
   they are; planes are z_plane, y_plane and place_plane elements apart. */
FASTNN_INLINE void NAME(pool_row)(const int64_t size, int relu, int64_t channels, int64_t columns, int64_t width,
                                  const REAL *z, int64_t z_plane, REAL *y, int64_t y_plane, uint8_t *place,
                                  int64_t place_plane) {
    for (int64_t e = 0; e < channels; e++)
        for (int64_t q = 0; q < columns; q++)
            for (int lane = 0; lane < IMAGES; lane += LANES) {
                const REAL *from = z + e * z_plane + size * q * IMAGES + lane;
                const int64_t to = q * IMAGES + lane;
                const VECTOR best = place ? NAME(window_place)(size, relu, from, width * IMAGES,
                                                               place + e * place_plane + to)
                                          : NAME(window_maximum)(size, from, width * IMAGES);
                NAME(store)(y + e * y_plane + to, best);
            }
}

/* The gradients of some channels and rows before and after a pool, and their maxima's places; `width` and `columns` are
   those of a row of dz and of windows. */
typedef struct {
    int64_t pool, channels, rows, columns, width;
    const REAL *dy;
    int64_t dy_plane;
    const uint8_t *place;
    int64_t place_plane;
    REAL *dz;
    int64_t dz_plane;
    REAL *sums; /* (channels, LANES) or NULL */
} NAME(unpooling);

/* dz (channels, pool rows, width) = dy (channels, rows, columns) at the place of each window's maximum, else 0;
   sums += Σ dz. */
FASTNN_INLINE void NAME(unpool_windows)(const int64_t size, const NAME(unpooling) * unpooling) {
    const NAME(unpooling) u = *unpooling; /* a store could be to its fields otherwise */
    for (int64_t e = 0; e < u.channels; e++) {
        VECTOR sum = u.sums ? NAME(load)(u.sums + e * LANES) : (VECTOR){0};
        for (int64_t p = 0; p < u.rows; p++)
            for (int64_t q = 0; q < u.columns; q++)
                for (int lane = 0; lane < IMAGES; lane += LANES) {
                    const int64_t window = (p * u.columns + q) * IMAGES + lane;
                    REAL *to = u.dz + e * u.dz_plane + size * (p * u.width + q) * IMAGES + lane;
                    const NAME(mask) at = NAME(load_bytes)(u.place + e * u.place_plane + window);
                    const VECTOR gradient = NAME(load)(u.dy + e * u.dy_plane + window);
                    sum += NAME(select)(at == NO_PLACE, (VECTOR){0}, gradient);
                    for (int64_t k = 0; k < size * size; k++)
                        NAME(store)(to + (k / size * u.width + k % size) * IMAGES,
                                    NAME(select)(at == (NAME(lane))k, gradient, (VECTOR){0}));
                }
        if (u.sums) NAME(store)(u.sums + e * LANES, sum);
    }
}

static void NAME(unpool)(const NAME(unpooling) * u) {
    if (u->pool == 2) NAME(unpool_windows)(2, u);
    else NAME(unpool_windows)(u->pool, u);
}

/* Zeros in place of images that aren't there, in rows t of a block. */
static void NAME(clear_images)(const NAME(image_rows) * t, REAL *block) {
    for (int64_t e = 0; e < t->channels && t->images < IMAGES; e++)
        for (int64_t k = 0; k < t->rows * t->w; k++) {
            REAL *pixel = block + e * t->plane + k * IMAGES;
            for (int i = t->images; i < IMAGES; i++) pixel[i] = 0;
        }
}

/* --- the convolution ------------------------------------------------------------------------------------- */

/* y = the maxima of pool x pool pixels of z = relu?(bias + x * weight), of which only what a window reaches is made, and
   where they are to place (blocks, filters, out_h / pool, out_w / pool, IMAGES) unless that is NULL. Units of work:
   strips of blocks. The sums of z are those of the direct form, or of Winograd's along rows where that suits. */
static void NAME(convolve_images)(const pooled_convolution *pooled, const REAL *x, const REAL *weight,
                                  const REAL *bias, REAL *y, uint8_t *place, int64_t thread, int64_t threads) {
    const convolution *o = &pooled->o;
    const int along = winograd_rows_suit(o, LANES), kind = winograd_rows_kind(o), side = along ? winograd_side(kind) : 0;
    const int64_t pool = pooled->pool, taps = o->c * o->r * (along ? 1 : o->s), tiles = o->out_w / 2 * IMAGES;
    const int relu = (int)pooled->relu;
    NAME(image_strips) s = NAME(plan_images)(pooled, o->filters, side * o->c * tiles / IMAGES,
                                             NAME(parts_of_block)(o->n, threads));
    NAME(row_source) source = NAME(plan_rows)(kind, o->c, s.x.rows, tiles);
    const int64_t u_filter = round_up(taps, LANES) * side;
    const int64_t z_plane = block_plane(pool, o->out_w); /* a row of windows at a time */
    const int64_t z_size = o->filters * z_plane, place_plane = s.y.h * s.y.w * IMAGES;
    int64_t *offset = arena((size_t)round_up(taps, 8) * sizeof(int64_t) +
                            (size_t)(o->filters * u_filter + side * source.place + s.x_size + z_size + s.y_size) *
                                sizeof(REAL));
    REAL *u = (REAL *)(offset + round_up(taps, 8)), *v = u + o->filters * u_filter, *z = v + side * source.place;
    REAL *turned_y = z + z_size, *room = turned_y + s.y_size;
    if (along) {
        NAME(row_offsets)(o, &source, offset);
        NAME(expand_image_weight)(kind, weight, o->filters, taps, u);
    } else
        for (int64_t k = 0; k < taps; k++) {
            const int64_t row = k / o->s % o->r * o->dilation_h, column = k % o->s * o->dilation_w;
            offset[k] = k / (o->r * o->s) * s.x.plane + (row * s.x.width + column) * IMAGES;
        }
    NAME(correlation) p = {.rows = o->filters, .pixels = s.y.w * pool * IMAGES, .taps = taps, .a = weight,
                           .a_row = taps, .offset = offset, .bias = bias, .c_row = z_plane, .relu = relu};
    NAME(row_sums) sums = {.filters = o->filters, .tiles = (s.y.w * pool + 1) / 2 * IMAGES, .taps = taps, .u = u,
                           .u_filter = u_filter, .offset = offset, .place = source.place, .bias = bias,
                           .y_filter = z_plane, .relu = relu, .images = 1};
    for (int64_t unit = s.units * thread / threads; unit < s.units * (thread + 1) / threads; unit++) {
        const REAL *turned_x = NAME(turn_strip)(&s, unit, x, room);
        REAL *rows = s.y_blocks ? y + NAME(in_blocks)(&s.y, o->filters, s.image, 0) : turned_y;
        uint8_t *places = place ? place + s.image * o->filters * s.y.h * s.y.w + s.y.first * s.y.w * IMAGES : NULL;
        if (along) {
            source.slots = s.y.rows * pool + (o->r - 1) * o->dilation_h;
            NAME(expand_image_rows)(kind, &source, turned_x, s.x.plane, s.x.width, v);
        }
        for (int64_t i = 0; i < s.y.rows; i++) {
            REAL *to = rows + i * s.y.w * IMAGES;
            for (int64_t row = 0; row < pool; row++) {
                p.b = turned_x + (i * pool + row) * s.x.width * IMAGES;
                sums.v = v + (i * pool + row) * tiles;
                p.c = sums.y = z + row * o->out_w * IMAGES;
                if (along) NAME(sum_image_rows)(kind, &sums);
                else NAME(correlate)(&p);
            }
            uint8_t *row_places = places ? places + i * s.y.w * IMAGES : NULL;
            if (pool == 2)
                NAME(pool_row)(2, relu, o->filters, s.y.w, o->out_w, z, z_plane, to, s.y.plane, row_places, place_plane);
            else
                NAME(pool_row)(pool, relu, o->filters, s.y.w, o->out_w, z, z_plane, to, s.y.plane, row_places, place_plane);
        }
        if (s.y_blocks) NAME(clear_images)(&s.y, rows);
        else if (s.y.rows > 0) NAME(return_images)(&s.y, rows, y + s.image * s.y.image);
    }
}

/* dy of rows t.y of filters [f, f + t.y.channels) of the block, turned: in `to`, or in dy if it lies in blocks. */
static const REAL *NAME(turn_gradient)(const NAME(image_strips) * t, const REAL *dy, int64_t f, REAL *to) {
    if (t->y_blocks) return dy + NAME(in_blocks)(&t->y, t->o->filters, t->image, f);
    NAME(turn_images)(&t->y, dy + t->image * t->y.image + f * t->y.h * t->y.w, to);
    return to;
}

/* How these rows come through the pool to dz, whose planes lie dz_plane elements apart. Pixels that no window reaches
   must be zeros. */
static NAME(unpooling) NAME(through_pool)(const NAME(image_strips) * t, const REAL *turned_dy, const uint8_t *place,
                                          int64_t f, REAL *dz, int64_t dz_plane) {
    const int64_t plane = t->y.h * t->y.w * IMAGES, first = t->y.first * t->y.w * IMAGES;
    return (NAME(unpooling)){.pool = t->pool, .channels = t->y.channels, .rows = t->y.rows, .columns = t->y.w,
                             .width = t->o->out_w, .dy = turned_dy, .dy_plane = t->y.plane,
                             .place = place + (t->image / IMAGES * t->o->filters + f) * plane + first,
                             .place_plane = plane, .dz = dz, .dz_plane = dz_plane};
}

#undef VECTOR
#undef LANES
