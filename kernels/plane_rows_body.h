/* The convolution of planes too small to fill vectors, for one dtype: REAL and NAME are set by convolution.h.

   The lanes are filters, and a register tile's rows are pixels, of one image or of several: each is a pointer
   into its image, from which every tap is one offset. Images are copied only where they need padding; the
   weights of TILE_COLUMNS filters are transposed once for all images. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Outputs that are summed at a time: enough for several tiles. */
#define BLOCK_PIXELS 64

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

FASTNN_INLINE void NAME(sum_pixels)(const int vectors, int64_t pixels, const NAME(pixel_sums) * p) {
    int64_t i = 0;
    for (; i + TILE_ROWS <= pixels; i += TILE_ROWS) NAME(pixels_tile)(TILE_ROWS, vectors, i, p);
    if (TILE_ROWS > 4)
        for (; i + 4 <= pixels; i += 4) NAME(pixels_tile)(4, vectors, i, p);
    for (; i + 2 <= pixels; i += 2) NAME(pixels_tile)(2, vectors, i, p);
    for (; i < pixels; i++) NAME(pixels_tile)(1, vectors, i, p);
}

/* Copy `channels` planes of x with their padding, of which only the zeros are there already. */
static void NAME(pad_planes)(const convolution *o, int64_t channels, const REAL *x, int64_t height, int64_t width,
                             REAL *to) {
    const int64_t top = larger(0, -o->pad_top), left = larger(0, -o->pad_left);
    const int64_t rows = smaller(o->h, height - o->pad_top), columns = smaller(o->w, width - o->pad_left) - left;
    for (int64_t e = 0; e < channels && columns > 0; e++)
        for (int64_t i = top; i < rows; i++)
            NAME(copy_row)(x + (e * o->h + i) * o->w + left, columns,
                           to + (e * height + i + o->pad_top) * width + left + o->pad_left);
}

/* The sums (pixels, TILE_COLUMNS) of at most LANES pixels, to `filters` planes. */
static void NAME(write_pixels)(int filters, int pixels, const REAL *sums, REAL *y, int64_t plane) {
    for (int f = 0; f < filters; f += LANES) {
        const int count = (int)smaller(LANES, filters - f);
        REAL block[LANES * LANES];
        NAME(transpose)(sums + f, TILE_COLUMNS, pixels, count, block, LANES);
        for (int i = 0; i < count; i++)
            NAME(store_partial)(y + (f + i) * plane, NAME(load)(block + i * LANES), pixels);
    }
}

/* y = relu?(bias + x * weight), 0 where the mask, unless that is NULL, isn't positive. With `back`, x is a
   gradient that goes back through the weights of a convolution from y. Units of work: blocks of images of one
   group, groups outermost. A sum is one chain over (channel, u, v) in order, from the bias on. */
static void NAME(convolve_plane_rows)(const convolution *shape, const REAL *x, const REAL *weight, const REAL *bias,
                                 const REAL *mask, REAL *y, int relu, int back, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, window = o.r * o.s, taps = channels * window;
    const int64_t plane = o.out_h * o.out_w, area = o.h * o.w;
    const int padded = o.pad_top != 0 || o.pad_left != 0 || o.h < (o.out_h - 1) * o.stride_h + (o.r - 1) * o.dilation_h + 1 ||
                       o.w < (o.out_w - 1) * o.stride_w + (o.s - 1) * o.dilation_w + 1;
    const int64_t height = padded ? (o.out_h - 1) * o.stride_h + (o.r - 1) * o.dilation_h + 1 : o.h;
    const int64_t width = padded ? (o.out_w - 1) * o.stride_w + (o.s - 1) * o.dilation_w + 1 : o.w;
    const int64_t share = ceil_divide(o.n, threads);
    const int64_t images = larger(1, smaller(share, BLOCK_PIXELS / plane)), blocks = ceil_divide(o.n, images);
    const int64_t padded_size = padded ? images * channels * height * width : 0;
    const int64_t offsets = round_up(taps, 8), pixels = round_up(images * plane, 8);
    int64_t *offset = arena((size_t)offsets * sizeof(int64_t) + (size_t)pixels * sizeof(REAL *) +
                            (size_t)((taps + pixels + 1) * TILE_COLUMNS + padded_size) * sizeof(REAL));
    const REAL **at = (const REAL **)(offset + offsets);
    REAL *panel = (REAL *)(at + pixels), *start = panel + taps * TILE_COLUMNS, *sums = start + TILE_COLUMNS;
    REAL *copies = sums + pixels * TILE_COLUMNS;
    for (int64_t e = 0, t = 0; e < channels; e++)
        for (int64_t u = 0; u < o.r; u++)
            for (int64_t v = 0; v < o.s; v++, t++)
                offset[back ? e * window + window - 1 - (t - e * window) : t] =
                    (e * height + u * o.dilation_h) * width + v * o.dilation_w;
    memset(copies, 0, (size_t)padded_size * sizeof(REAL));
    for (int64_t g = 0; g < o.groups; g++)
        for (int64_t f = 0; f < filters; f += TILE_COLUMNS) {
            const int columns = (int)smaller(TILE_COLUMNS, filters - f);
            const REAL *from = weight + g * filters * taps;
            if (back)
                for (int64_t e = 0; e < channels; e++)
                    NAME(pack_panel)(window, columns, from + (e * filters + f) * window, 1, window,
                                     panel + e * window * TILE_COLUMNS);
            else NAME(pack_panel)(taps, columns, from + f * taps, 1, taps, panel);
            for (int j = 0; j < TILE_COLUMNS; j++) start[j] = bias && j < columns ? bias[g * filters + f + j] : 0;
            const NAME(pixel_sums) p = {taps, at, offset, panel, start, relu, sums};
            for (int64_t block = blocks * thread / threads; block < blocks * (thread + 1) / threads; block++) {
                const int64_t first = block * images, count = smaller(images, o.n - first);
                for (int64_t i = 0; i < count; i++) {
                    const REAL *source = x + ((first + i) * o.c + g * channels) * area;
                    if (padded) {
                        REAL *copy = copies + i * channels * height * width;
                        NAME(pad_planes)(&o, channels, source, height, width, copy);
                        source = copy;
                    }
                    for (int64_t row = 0; row < o.out_h; row++)
                        for (int64_t column = 0; column < o.out_w; column++)
                            at[i * plane + row * o.out_w + column] =
                                source + row * o.stride_h * width + column * o.stride_w;
                }
                if (columns > LANES) NAME(sum_pixels)(2, count * plane, &p);
                else NAME(sum_pixels)(1, count * plane, &p);
                for (int64_t i = 0; i < count; i++) {
                    const int64_t to = ((first + i) * o.filters + g * filters + f) * plane;
                    for (int64_t j = 0; j < plane; j += LANES)
                        NAME(write_pixels)(columns, (int)smaller(LANES, plane - j), sums + (i * plane + j) * TILE_COLUMNS,
                                           y + to + j, plane);
                    if (mask) NAME(apply_mask)(columns * plane, mask + to, y + to);
                }
            }
        }
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef BLOCK_PIXELS
