/* The convolution for one dtype: REAL and NAME are set by convolution.h, which includes this file twice.

   All three kernels are matrix products whose b is a matrix of patches. Of that matrix only one panel exists
   at a time, in the thread's scratch. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)

/* x (h, w) at row i and column j; zero outside. */
FASTNN_INLINE REAL NAME(pixel)(const REAL *x, int64_t h, int64_t w, int64_t i, int64_t j) {
    return i >= 0 && i < h && j >= 0 && j < w ? x[i * w + j] : 0;
}

/* All tiles of rows of c (m, columns) = relu?(start + a (m, k) panel (k, TILE_COLUMNS)). */
static void NAME(multiply_panel)(NAME(product) p, int columns) {
    const int64_t m = p.m;
    for (int64_t i = 0; i < m; i += TILE_ROWS) {
        NAME(tile_any)((int)NAME(smaller)(TILE_ROWS, m - i), columns, &p);
        p.a += TILE_ROWS * p.a_row;
        p.c += TILE_ROWS * p.c_row;
        if (p.start) p.start += TILE_ROWS * p.start_row;
    }
}

/* y = relu?(bias + x * weight). Units of work: panels of TILE_COLUMNS output pixels of one image and group.
   Scratch: a panel (c / groups · r · s, TILE_COLUMNS). */
static void NAME(convolve)(const convolution *shape, const REAL *x, const REAL *weight, const REAL *bias, REAL *y,
                           int relu, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, pixels = o.out_h * o.out_w;
    const int64_t taps = channels * o.r * o.s, panels = (pixels + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int64_t units = o.n * o.groups * panels;
    REAL *panel = arena((size_t)(taps * TILE_COLUMNS) * sizeof(REAL));
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t image_group = unit / panels, g = image_group % o.groups, j0 = unit % panels * TILE_COLUMNS;
        const int columns = (int)NAME(smaller)(TILE_COLUMNS, pixels - j0);
        const REAL *x_group = x + image_group * channels * o.h * o.w;
        REAL *to = panel;
        for (int64_t e = 0; e < channels; e++)
            for (int64_t u = 0; u < o.r; u++)
                for (int64_t v = 0; v < o.s; v++, to += TILE_COLUMNS)
                    for (int j = 0; j < columns; j++) {
                        const int64_t i_x = (j0 + j) / o.out_w * o.stride_h - o.pad_top + u * o.dilation_h;
                        const int64_t j_x = (j0 + j) % o.out_w * o.stride_w - o.pad_left + v * o.dilation_w;
                        to[j] = NAME(pixel)(x_group + e * o.h * o.w, o.h, o.w, i_x, j_x);
                    }
        REAL *c = y + image_group * filters * pixels + j0;
        for (int64_t f = 0; f < filters; f++)
            for (int j = 0; j < columns; j++) c[f * pixels + j] = bias ? bias[g * filters + f] : 0;
        const NAME(product) p = {.m = filters, .n = columns, .k = taps,
                                 .a = weight + g * filters * taps, .a_row = taps, .a_column = 1,
                                 .b = panel, .b_row = TILE_COLUMNS, .b_column = 1,
                                 .c = c, .c_row = pixels, .start = c, .start_row = pixels, .relu = relu};
        NAME(multiply_panel)(p, columns);
    }
}

/* dx[e, i, j] = Σ dy[f, p, q] weight[f, e, u, v] over f, u, v, where p · stride = i + pad − u · dilation.
   Units: panels of input pixels. Scratch: a panel (filters / groups · r · s, TILE_COLUMNS). */
static void NAME(convolve_backward_input)(const convolution *shape, const REAL *dy, const REAL *weight, REAL *dx,
                                          int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, pixels = o.h * o.w;
    const int64_t window = o.r * o.s, taps = filters * window, panels = (pixels + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int64_t units = o.n * o.groups * panels;
    REAL *panel = arena((size_t)(taps * (TILE_COLUMNS + channels)) * sizeof(REAL));
    REAL *transposed = panel + taps * TILE_COLUMNS; /* (channels, taps), of group `packed` */
    int64_t packed = -1;
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t image_group = unit / panels, g = image_group % o.groups, j0 = unit % panels * TILE_COLUMNS;
        const int columns = (int)NAME(smaller)(TILE_COLUMNS, pixels - j0);
        if (packed != g)
            for (int64_t f = 0; f < filters; f++)
                for (int64_t e = 0; e < channels; e++)
                    for (int64_t t = 0; t < window; t++)
                        transposed[e * taps + f * window + t] = weight[((g * filters + f) * channels + e) * window + t];
        packed = g;
        REAL *to = panel;
        for (int64_t f = 0; f < filters; f++) {
            const REAL *plane = dy + (image_group * filters + f) * o.out_h * o.out_w;
            for (int64_t u = 0; u < o.r; u++)
                for (int64_t v = 0; v < o.s; v++, to += TILE_COLUMNS)
                    for (int j = 0; j < columns; j++) {
                        const int64_t p = (j0 + j) / o.w + o.pad_top - u * o.dilation_h;
                        const int64_t q = (j0 + j) % o.w + o.pad_left - v * o.dilation_w;
                        to[j] = p % o.stride_h || q % o.stride_w
                                    ? 0
                                    : NAME(pixel)(plane, o.out_h, o.out_w, p / o.stride_h, q / o.stride_w);
                    }
        }
        const NAME(product) p = {.m = channels, .n = columns, .k = taps,
                                 .a = transposed, .a_row = taps, .a_column = 1,
                                 .b = panel, .b_row = TILE_COLUMNS, .b_column = 1,
                                 .c = dx + image_group * channels * pixels + j0, .c_row = pixels};
        NAME(multiply_panel)(p, columns);
    }
}

#define BLOCK_PIXELS 256

/* dweight[f, e, u, v] = Σ dy[f, p, q] x[e, i, j] over images and output pixels; dbias[f] = Σ dy[f].
   Units: panels of TILE_COLUMNS taps of one group. Scratch: a panel (BLOCK_PIXELS, TILE_COLUMNS). */
static void NAME(convolve_backward_weight)(const convolution *shape, const REAL *x, const REAL *dy, REAL *dweight,
                                           REAL *dbias, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, pixels = o.out_h * o.out_w;
    const int64_t window = o.r * o.s, taps = channels * window, panels = (taps + TILE_COLUMNS - 1) / TILE_COLUMNS;
    const int64_t units = o.groups * panels;
    REAL *panel = arena((size_t)(BLOCK_PIXELS * TILE_COLUMNS) * sizeof(REAL));
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t g = unit / panels, t0 = unit % panels * TILE_COLUMNS;
        const int columns = (int)NAME(smaller)(TILE_COLUMNS, taps - t0);
        REAL *c = dweight + g * filters * taps + t0;
        for (int64_t f = 0; f < filters; f++)
            for (int t = 0; t < columns; t++) c[f * taps + t] = 0;
        for (int64_t i = 0; i < o.n; i++)
            for (int64_t k0 = 0; k0 < pixels; k0 += BLOCK_PIXELS) {
                const int64_t k = NAME(smaller)(BLOCK_PIXELS, pixels - k0);
                for (int64_t j = 0; j < k; j++)
                    for (int t = 0; t < columns; t++) {
                        const int64_t e = (t0 + t) / window, u = (t0 + t) % window / o.s, v = (t0 + t) % o.s;
                        panel[j * TILE_COLUMNS + t] =
                            NAME(pixel)(x + ((i * o.groups + g) * channels + e) * o.h * o.w, o.h, o.w,
                                        (k0 + j) / o.out_w * o.stride_h - o.pad_top + u * o.dilation_h,
                                        (k0 + j) % o.out_w * o.stride_w - o.pad_left + v * o.dilation_w);
                    }
                const NAME(product) p = {.m = filters, .n = columns, .k = k,
                                         .a = dy + (i * o.groups + g) * filters * pixels + k0, .a_row = pixels,
                                         .a_column = 1,
                                         .b = panel, .b_row = TILE_COLUMNS, .b_column = 1,
                                         .c = c, .c_row = taps, .start = c, .start_row = taps};
                NAME(multiply_panel)(p, columns);
            }
    }
    if (dbias)
        for (int64_t f = o.filters * thread / threads; f < o.filters * (thread + 1) / threads; f++) {
            REAL sum = 0;
            for (int64_t i = 0; i < o.n; i++)
                for (int64_t j = 0; j < pixels; j++) sum += dy[(i * o.filters + f) * pixels + j];
            dbias[f] = sum;
        }
}

#undef BLOCK_PIXELS
#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
