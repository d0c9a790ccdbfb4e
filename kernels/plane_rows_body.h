/* The convolution and its gradients of planes too small to fill vectors, for one dtype: REAL and NAME are set by
   convolution.h.

   The lanes are filters, and a register tile's rows are pixels, of one image or of several: each is a pointer
   into its image, from which every tap is one offset. Images are copied only where they need padding; the
   weights are transposed, in panels of TILE_COLUMNS filters, once for all images. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Outputs that are summed at a time: enough for several tiles. */
#define BLOCK_PIXELS 64
/* Panels of weights that the pixels of one block of images meet, half of a 1 MiB L2; or one panel. */
#define PANELS_BYTES (512 * 1024)

/* sum[i, j] = relu?(start[j] + Σ_k at[i][offset[k]] panel[k, j]): pixels i, taps k, TILE_COLUMNS filters j. */
typedef struct {
    int64_t taps;
    const REAL *const *at;
    const int64_t *offset;
    const REAL *panel, *start;
    int relu;
    REAL *sum;
} NAME(pixel_sums);

FASTNN_INLINE void NAME(pixels_tile)(const int pixels, const int vectors, int64_t i0, const NAME(pixel_sums) * p) {
    VECTOR sum[TILE_ROWS][2];
    const REAL *at[TILE_ROWS], *panel = p->panel;
    const int64_t taps = p->taps, *offset = p->offset;
#pragma GCC unroll 8
    for (int i = 0; i < pixels; i++) {
        at[i] = p->at[i0 + i];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) sum[i][j] = NAME(load)(p->start + j * LANES);
    }
    for (int64_t k = 0; k < taps; k++, panel += TILE_COLUMNS) {
        VECTOR weight[2];
        const int64_t to = offset[k];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) weight[j] = NAME(load)(panel + j * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < pixels; i++) {
            const REAL x = at[i][to];
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++) sum[i][j] += x * weight[j];
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++)
            NAME(store)(p->sum + (i0 + i) * TILE_COLUMNS + j * LANES,
                        p->relu ? NAME(relu_vector)(sum[i][j]) : sum[i][j]);
}

FASTNN_INLINE void NAME(sum_pixel_vectors)(const int vectors, int64_t pixels, const NAME(pixel_sums) * p) {
    int64_t i = 0;
    for (; i + TILE_ROWS <= pixels; i += TILE_ROWS) NAME(pixels_tile)(TILE_ROWS, vectors, i, p);
    if (TILE_ROWS > 4)
        for (; i + 4 <= pixels; i += 4) NAME(pixels_tile)(4, vectors, i, p);
    for (; i + 2 <= pixels; i += 2) NAME(pixels_tile)(2, vectors, i, p);
    for (; i < pixels; i++) NAME(pixels_tile)(1, vectors, i, p);
}

/* All pixels, and the `columns` <= TILE_COLUMNS filters of a panel. */
static void NAME(sum_pixels)(int columns, int64_t pixels, const NAME(pixel_sums) * p) {
    if (columns > LANES) NAME(sum_pixel_vectors)(2, pixels, p);
    else NAME(sum_pixel_vectors)(1, pixels, p);
}

/* --- the pixels of a block of images -------------------------------------------------------------------- */

/* Where pixel p of the outputs of some images finds tap (e, u, v): at at[p][offset[e, u, v]]. */
typedef struct {
    int64_t channels, images, height, width; /* the planes' sizes, with their padding */
    int padded;
    int64_t *offset;
    const REAL **at;
    REAL *copies; /* of padded planes, (images, channels, height, width) */
} NAME(pixel_block);

static NAME(pixel_block) NAME(plan_pixels)(const convolution *o, int64_t channels, int64_t images) {
    NAME(pixel_block) b = {.channels = channels, .images = images};
    b.height = (o->out_h - 1) * o->stride_h + (o->r - 1) * o->dilation_h + 1;
    b.width = (o->out_w - 1) * o->stride_w + (o->s - 1) * o->dilation_w + 1;
    b.padded = o->pad_top != 0 || o->pad_left != 0 || b.height > o->h || b.width > o->w;
    if (!b.padded) b.height = o->h, b.width = o->w;
    return b;
}

/* The elements of the block's copies, and the bytes of its tables. */
static int64_t NAME(copies_size)(const NAME(pixel_block) * b) {
    return b->padded ? b->images * b->channels * b->height * b->width : 0;
}
static int64_t NAME(tables_size)(const NAME(pixel_block) * b, const convolution *o) {
    return (round_up(b->channels * o->r * o->s, 8) + round_up(b->images * o->out_h * o->out_w, 8)) *
           (int64_t)sizeof(int64_t);
}

/* Lay the tables out; returns what follows them. */
static REAL *NAME(place_pixels)(NAME(pixel_block) * b, const convolution *o, void *memory) {
    b->offset = memory;
    b->at = (const REAL **)(b->offset + round_up(b->channels * o->r * o->s, 8));
    int64_t *offset = b->offset;
    for (int64_t e = 0; e < b->channels; e++)
        for (int64_t u = 0; u < o->r; u++)
            for (int64_t v = 0; v < o->s; v++)
                *offset++ = (e * b->height + u * o->dilation_h) * b->width + v * o->dilation_w;
    return (REAL *)(b->at + round_up(b->images * o->out_h * o->out_w, 8));
}

/* Point at the outputs of image i of the block, whose planes are at `source`. */
static void NAME(point_at)(const NAME(pixel_block) * b, const convolution *o, int64_t i, const REAL *source) {
    const REAL **at = b->at + i * o->out_h * o->out_w;
    for (int64_t row = 0; row < o->out_h; row++)
        for (int64_t column = 0; column < o->out_w; column++)
            *at++ = source + row * o->stride_h * b->width + column * o->stride_w;
}

/* The images [first, first + count), channels from e on. The zeros around copies are there already. */
static void NAME(fill_pixels)(const NAME(pixel_block) * b, const convolution *o, const REAL *x, int64_t e,
                              int64_t first, int64_t count) {
    const int64_t area = o->h * o->w, top = larger(0, -o->pad_top), left = larger(0, -o->pad_left);
    const int64_t rows = smaller(o->h, b->height - o->pad_top);
    const int64_t columns = smaller(o->w, b->width - o->pad_left) - left;
    for (int64_t i = 0; i < count; i++) {
        const REAL *source = x + ((first + i) * o->c + e) * area;
        if (b->padded) {
            REAL *copy = b->copies + i * b->channels * b->height * b->width;
            for (int64_t k = 0; k < b->channels && columns > 0; k++)
                for (int64_t row = top; row < rows; row++)
                    NAME(copy_row)(source + k * area + row * o->w + left, columns,
                                   copy + (k * b->height + row + o->pad_top) * b->width + left + o->pad_left);
            source = copy;
        }
        NAME(point_at)(b, o, i, source);
    }
}

/* Write the sums (pixels, TILE_COLUMNS) of at most LANES pixels to y (filters, …), its rows `plane` apart. */
static void NAME(write_pixels)(int filters, int pixels, const REAL *sums, REAL *y, int64_t plane) {
    for (int f = 0; f < filters; f += LANES) {
        const int count = (int)smaller(LANES, filters - f);
        REAL block[LANES * LANES];
        NAME(transpose)(sums + f, TILE_COLUMNS, pixels, count, block, LANES);
        for (int i = 0; i < count; i++)
            NAME(store_partial)(y + (f + i) * plane, NAME(load)(block + i * LANES), pixels);
    }
}

/* Write the sums of all pixels of the images [first, first + count) to y, filters from f on, 0 where the mask, unless
   that is NULL, isn't positive. */
static void NAME(write_block)(const convolution *o, int filters, int64_t first, int64_t count, int64_t f,
                              const REAL *sums, const REAL *mask, REAL *y) {
    const int64_t plane = o->out_h * o->out_w;
    for (int64_t i = 0; i < count; i++) {
        const int64_t to = ((first + i) * o->filters + f) * plane;
        for (int64_t j = 0; j < plane; j += LANES)
            NAME(write_pixels)(filters, (int)smaller(LANES, plane - j), sums + (i * plane + j) * TILE_COLUMNS,
                               y + to + j, plane);
        if (mask) NAME(apply_mask)(filters * plane, mask + to, y + to);
    }
}

/* --- the convolution -------------------------------------------------------------------------------------- */

/* Pack a panel of `columns` filters from f on, of weight (filters, channels, window) or, where `turned` isn't 0, of
   weight (channels, turned, window). */
static void NAME(pack_filters)(int64_t channels, int64_t window, int columns, const REAL *weight, int64_t f,
                               int64_t turned, REAL *panel) {
    if (!turned) {
        NAME(pack_panel)(channels * window, columns, weight + f * channels * window, 1, channels * window, panel);
        return;
    }
    for (int64_t e = 0; e < channels; e++)
        NAME(pack_panel)(window, columns, weight + (e * turned + f) * window, 1, window,
                         panel + e * window * TILE_COLUMNS);
}

/* y = relu?(bias + x * weight), 0 where the mask, unless that is NULL, isn't positive. With `back`, x is a
   gradient that goes back through the weights of a convolution from y. Units of work: blocks of images of one
   group, groups outermost. A sum is one chain over (channel, u, v) in order, from the bias on. */
static void NAME(convolve_plane_rows)(const convolution *shape, const REAL *x, const REAL *weight,
                                      const REAL *bias, const REAL *mask, REAL *y, int relu, int back,
                                      int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, window = o.r * o.s;
    const int64_t taps = channels * window, plane = o.out_h * o.out_w;
    const int64_t images = larger(1, smaller(ceil_divide(o.n, threads), BLOCK_PIXELS / plane));
    const int64_t blocks = ceil_divide(o.n, images);
    NAME(pixel_block) b = NAME(plan_pixels)(shape, channels, images);
    const int64_t panel_size = taps * TILE_COLUMNS, sums_size = images * plane * TILE_COLUMNS;
    const int64_t panels = larger(1, smaller(ceil_divide(filters, TILE_COLUMNS),
                                             PANELS_BYTES / larger(1, panel_size * (int64_t)sizeof(REAL))));
    REAL *panel = NAME(place_pixels)(&b, shape, arena((size_t)NAME(tables_size)(&b, shape) +
                                                      (size_t)(panels * (panel_size + TILE_COLUMNS) + sums_size +
                                                               NAME(copies_size)(&b)) * sizeof(REAL)));
    REAL *start = panel + panels * panel_size, *sums = start + panels * TILE_COLUMNS;
    b.copies = sums + sums_size;
    memset(b.copies, 0, (size_t)NAME(copies_size)(&b) * sizeof(REAL));
    /* Turned by 180°, each channel's taps come from last to first. */
    for (int64_t e = 0; e < channels && back; e++)
        for (int64_t t = 0; 2 * t < window - 1; t++) {
            int64_t *first = b.offset + e * window + t, *last = b.offset + (e + 1) * window - 1 - t;
            const int64_t offset = *first;
            *first = *last;
            *last = offset;
        }
    for (int64_t g = 0; g < o.groups; g++)
        for (int64_t f0 = 0; f0 < filters; f0 += panels * TILE_COLUMNS) {
            const int64_t some = smaller(panels * TILE_COLUMNS, filters - f0), first_filter = g * filters + f0;
            const REAL *from = weight + g * filters * taps;
            for (int64_t f = 0; f < some; f += TILE_COLUMNS) {
                const int columns = (int)smaller(TILE_COLUMNS, some - f);
                NAME(pack_filters)(channels, window, columns, from, f0 + f, back ? filters : 0, panel + f * taps);
                for (int j = 0; j < TILE_COLUMNS; j++)
                    start[f + j] = bias && j < columns ? bias[first_filter + f + j] : 0;
            }
            for (int64_t block = blocks * thread / threads; block < blocks * (thread + 1) / threads; block++) {
                const int64_t first = block * images, count = smaller(images, o.n - first);
                NAME(fill_pixels)(&b, shape, x, g * channels, first, count);
                for (int64_t f = 0; f < some; f += TILE_COLUMNS) {
                    const int columns = (int)smaller(TILE_COLUMNS, some - f);
                    const NAME(pixel_sums) p = {taps, b.at, b.offset, panel + f * taps, start + f, relu, sums};
                    NAME(sum_pixels)(columns, count * plane, &p);
                    NAME(write_block)(shape, columns, first, count, first_filter + f, sums, mask, y);
                }
            }
        }
}

/* --- the gradient by x ------------------------------------------------------------------------------------ */

/* Add the sums (pixels, TILE_COLUMNS) of `count` taps to where the pixels find them. One by one: a vector would
   wait for the overlapping one that was stored just before. */
static void NAME(scatter_pixels)(int64_t pixels, int count, const REAL *const *at, const int64_t *offset,
                                 const REAL *sums) {
    for (int64_t k = 0; k < pixels; k++, sums += TILE_COLUMNS) {
        REAL *to = (REAL *)at[k];
        for (int t = 0; t < count; t++) to[offset[t]] += sums[t];
    }
}

/* dx: for each pixel of dy the sums over the filters of all taps (the lanes), added in the order of the pixels to
   the pixels of x that they meet. Units of work: blocks of images of one group, groups outermost. */
static void NAME(convolve_scattered_input)(const convolution *shape, const REAL *dy, const REAL *weight,
                                            const REAL *mask, REAL *dx, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, taps = channels * o.r * o.s;
    const int64_t plane = o.out_h * o.out_w, area = o.h * o.w;
    const int64_t images = larger(1, smaller(ceil_divide(o.n, threads), BLOCK_PIXELS / plane));
    const int64_t blocks = ceil_divide(o.n, images);
    NAME(pixel_block) b = NAME(plan_pixels)(shape, channels, images);
    b.padded = 1; /* the sums of all images begin at 0 */
    b.height = larger(b.height, o.pad_top + o.h);
    b.width = larger(b.width, o.pad_left + o.w);
    const int64_t panel_size = filters * TILE_COLUMNS, sums_size = images * plane * TILE_COLUMNS;
    const int64_t copy = channels * b.height * b.width, pixels = round_up(images * plane, 8);
    int64_t *filter_offset = arena((size_t)(round_up(filters, 8) + pixels) * sizeof(int64_t) +
                                   (size_t)NAME(tables_size)(&b, shape) +
                                   (size_t)(panel_size + TILE_COLUMNS + sums_size + NAME(copies_size)(&b)) *
                                       sizeof(REAL));
    const REAL **from = (const REAL **)(filter_offset + round_up(filters, 8));
    REAL *panel = NAME(place_pixels)(&b, shape, from + pixels), *zeros = panel + panel_size;
    REAL *sums = zeros + TILE_COLUMNS;
    b.copies = sums + sums_size;
    memset(zeros, 0, TILE_COLUMNS * sizeof(REAL));
    for (int64_t f = 0; f < filters; f++) filter_offset[f] = f * plane;
    for (int64_t i = 0; i < images; i++) NAME(point_at)(&b, shape, i, b.copies + i * copy);
    const NAME(pixel_sums) p = {filters, from, filter_offset, panel, zeros, 0, sums};
    for (int64_t g = 0; g < o.groups; g++)
        for (int64_t block = blocks * thread / threads; block < blocks * (thread + 1) / threads; block++) {
            const int64_t first = block * images, count = smaller(images, o.n - first);
            memset(b.copies, 0, (size_t)(count * copy) * sizeof(REAL));
            for (int64_t i = 0; i < count; i++)
                for (int64_t k = 0; k < plane; k++)
                    from[i * plane + k] = dy + ((first + i) * o.filters + g * filters) * plane + k;
            for (int64_t t = 0; t < taps; t += TILE_COLUMNS) {
                const int columns = (int)smaller(TILE_COLUMNS, taps - t);
                NAME(pack_panel)(filters, columns, weight + g * filters * taps + t, taps, 1, panel);
                NAME(sum_pixels)(columns, count * plane, &p);
                NAME(scatter_pixels)(count * plane, columns, b.at, b.offset + t, sums);
            }
            for (int64_t i = 0; i < count; i++)
                for (int64_t e = 0; e < channels; e++) {
                    const int64_t to = ((first + i) * o.c + g * channels + e) * area;
                    const REAL *inside = b.copies + i * copy + (e * b.height + o.pad_top) * b.width + o.pad_left;
                    for (int64_t row = 0; row < o.h; row++)
                        NAME(copy_row)(inside + row * b.width, o.w, dx + to + row * o.w);
                    if (mask) NAME(apply_mask)(area, mask + to, dx + to);
                }
        }
}

/* --- the gradients by weight and bias --------------------------------------------------------------------- */

/* sum[t, j] += Σ_k at[k][offset[t]] dy[k, j]: taps t, pixels k, TILE_COLUMNS filters j. */
typedef struct {
    int64_t pixels;
    const REAL *const *at;
    const int64_t *offset;
    const REAL *dy;
    REAL *sum;
} NAME(offset_sums);

FASTNN_INLINE void NAME(offsets_tile)(const int taps, const int vectors, int64_t t0, const NAME(offset_sums) * p) {
    VECTOR sum[TILE_ROWS][2];
    int64_t offset[TILE_ROWS];
    const REAL *const *at = p->at, *dy = p->dy;
    const int64_t pixels = p->pixels;
    REAL *to = p->sum + t0 * TILE_COLUMNS;
#pragma GCC unroll 8
    for (int t = 0; t < taps; t++) {
        offset[t] = p->offset[t0 + t];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) sum[t][j] = NAME(load)(to + t * TILE_COLUMNS + j * LANES);
    }
    for (int64_t k = 0; k < pixels; k++, dy += TILE_COLUMNS) {
        VECTOR dy_k[2];
        const REAL *x = at[k];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) dy_k[j] = NAME(load)(dy + j * LANES);
#pragma GCC unroll 8
        for (int t = 0; t < taps; t++) {
            const REAL x_t = x[offset[t]];
#pragma GCC unroll 2
            for (int j = 0; j < vectors; j++) sum[t][j] += x_t * dy_k[j];
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < taps; t++)
#pragma GCC unroll 2
        for (int j = 0; j < vectors; j++) NAME(store)(to + t * TILE_COLUMNS + j * LANES, sum[t][j]);
}

FASTNN_INLINE void NAME(sum_offsets)(const int vectors, int64_t taps, const NAME(offset_sums) * p) {
    int64_t t = 0;
    for (; t + TILE_ROWS <= taps; t += TILE_ROWS) NAME(offsets_tile)(TILE_ROWS, vectors, t, p);
    if (TILE_ROWS > 4)
        for (; t + 4 <= taps; t += 4) NAME(offsets_tile)(4, vectors, t, p);
    for (; t < taps; t++) NAME(offsets_tile)(1, vectors, t, p);
}

/* dweight and dbias. Each thread takes a range of channels of each group; a sum is one chain over the pixels in
   order. */
static void NAME(convolve_plane_rows_weight)(const convolution *shape, const REAL *x, const REAL *dy, REAL *dweight,
                                             REAL *dbias, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t filters = o.filters / o.groups, window = o.r * o.s, plane = o.out_h * o.out_w;
    const int64_t all_channels = o.c / o.groups, all_taps = all_channels * window;
    const int64_t e0 = all_channels * thread / threads, channels = all_channels * (thread + 1) / threads - e0;
    const int64_t taps = channels * window, images = larger(1, smaller(o.n, 2 * BLOCK_PIXELS / plane));
    NAME(pixel_block) b = NAME(plan_pixels)(shape, channels, images);
    const int64_t sums_size = (taps + 1) * TILE_COLUMNS, panel_size = images * plane * TILE_COLUMNS;
    REAL *sums = NAME(place_pixels)(&b, shape, arena((size_t)NAME(tables_size)(&b, shape) +
                                                     (size_t)(sums_size + panel_size + NAME(copies_size)(&b)) *
                                                         sizeof(REAL)));
    REAL *bias_sums = sums + taps * TILE_COLUMNS, *panel = sums + sums_size;
    b.copies = panel + panel_size;
    memset(b.copies, 0, (size_t)NAME(copies_size)(&b) * sizeof(REAL));
    for (int64_t g = 0; g < o.groups; g++)
        for (int64_t f = 0; f < filters; f += TILE_COLUMNS) {
            const int columns = (int)smaller(TILE_COLUMNS, filters - f);
            const int64_t filter = g * filters + f;
            memset(sums, 0, (size_t)sums_size * sizeof(REAL));
            for (int64_t first = 0; first < o.n; first += images) {
                const int64_t count = smaller(images, o.n - first);
                NAME(fill_pixels)(&b, shape, x, g * all_channels + e0, first, count);
                for (int64_t i = 0; i < count; i++)
                    NAME(pack_panel)(plane, columns, dy + ((first + i) * o.filters + filter) * plane, 1, plane,
                                     panel + i * plane * TILE_COLUMNS);
                const NAME(offset_sums) p = {count * plane, b.at, b.offset, panel, sums};
                if (columns > LANES) NAME(sum_offsets)(2, taps, &p);
                else NAME(sum_offsets)(1, taps, &p);
                for (int half = 0; half < TILE_COLUMNS && e0 == 0; half += LANES) {
                    VECTOR sum = NAME(load)(bias_sums + half);
                    for (int64_t k = 0; k < p.pixels; k++) sum += NAME(load)(panel + k * TILE_COLUMNS + half);
                    NAME(store)(bias_sums + half, sum);
                }
            }
            for (int64_t t = 0; t < taps; t += LANES)
                NAME(write_pixels)(columns, (int)smaller(LANES, taps - t), sums + t * TILE_COLUMNS,
                                   dweight + filter * all_taps + e0 * window + t, all_taps);
            if (e0 == 0 && dbias) memcpy(dbias + filter, bias_sums, (size_t)columns * sizeof(REAL));
        }
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef BLOCK_PIXELS
#undef PANELS_BYTES
