/* The gradient by x with images along the lanes, for one dtype: REAL and NAME are set by convolution.h.

   Small planes of few channels fill vectors neither with pixels nor with channels. But one pixel of LANES images fills
   a vector: every tap then is a whole one, and there are no edges to cut. Blocks of images are turned so, and their dx
   back. An element is summed as in direct_input_body.h, over (u, v) in order, one chain each over the filters; so the
   images that fill no block take that form, and have the bits that they would have in one. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
/* A register tile has so many sums, of all channels and some adjacent pixels. */
#define IMAGE_SUMS (VECTOR_BYTES == 64 ? 12 : 6)

/* One tap: dx (columns, channels, LANES) += Σ_f weight[f, e] dy[j, f], the vectors of dy (columns, filters, LANES). */
FASTNN_INLINE void NAME(image_tile)(const int channels, const int columns, int64_t filters, const REAL *weight,
                                    const REAL *dy, REAL *dx) {
    VECTOR sum[8][8] = {{{0}}};
    for (int64_t f = 0; f < filters; f++, weight += channels) {
        VECTOR dy_f[8];
#pragma GCC unroll 8
        for (int j = 0; j < columns; j++) dy_f[j] = NAME(load)(dy + (j * filters + f) * LANES);
#pragma GCC unroll 8
        for (int e = 0; e < channels; e++)
#pragma GCC unroll 8
            for (int j = 0; j < columns; j++) sum[e][j] += weight[e] * dy_f[j];
    }
#pragma GCC unroll 8
    for (int j = 0; j < columns; j++)
#pragma GCC unroll 8
        for (int e = 0; e < channels; e++, dx += LANES) NAME(store)(dx, NAME(load)(dx) + sum[e][j]);
}

/* dx (h, w, channels, LANES) += all taps of dy (out_h, out_w, filters, LANES); weight (r, s, filters, channels). */
FASTNN_INLINE void NAME(add_image_taps)(const int channels, const convolution *o, const REAL *weight, const REAL *dy,
                                        REAL *dx) {
    const int columns = IMAGE_SUMS / channels < 1 ? 1 : IMAGE_SUMS / channels > 8 ? 8 : IMAGE_SUMS / channels;
    const int64_t pixel = o->filters * LANES, tap = o->filters * channels;
    for (int64_t i = 0; i < o->h; i++)
        for (int64_t u = 0; u < o->r; u++) {
            const int64_t p = i + o->pad_top - u * o->dilation_h;
            if (p < 0 || p >= o->out_h) continue;
            for (int64_t v = 0; v < o->s; v++) {
                const int64_t shift = v * o->dilation_w - o->pad_left, end = smaller(o->out_w, o->w - shift);
                const REAL *weight_tap = weight + (u * o->s + v) * tap, *row = dy + p * o->out_w * pixel;
                REAL *to = dx + (i * o->w + shift) * channels * LANES;
                int64_t q = larger(0, -shift);
                for (; q + columns <= end; q += columns)
                    NAME(image_tile)(channels, columns, o->filters, weight_tap, row + q * pixel,
                                     to + q * channels * LANES);
                for (; q < end; q++)
                    NAME(image_tile)(channels, 1, o->filters, weight_tap, row + q * pixel, to + q * channels * LANES);
            }
        }
}

/* LANES images x (channels, area) as (area, channels, LANES). */
static void NAME(turn_images)(int64_t channels, int64_t area, const REAL *x, REAL *to) {
    for (int64_t e = 0; e < channels; e++)
        for (int64_t k = 0; k < area; k += LANES)
            NAME(transpose)(x + e * area + k, channels * area, LANES, (int)smaller(LANES, area - k),
                            to + (k * channels + e) * LANES, channels * LANES);
}

/* The same, back. */
static void NAME(return_images)(int64_t channels, int64_t area, const REAL *from, REAL *x) {
    for (int64_t e = 0; e < channels; e++)
        for (int64_t k = 0; k < area; k += LANES) {
            const int count = (int)smaller(LANES, area - k);
            VECTOR v[LANES];
            NAME(load_rows)(from + (k * channels + e) * LANES, channels * LANES, count, LANES, v);
            NAME(turn)(v);
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++) NAME(store_partial)(x + (i * channels + e) * area + k, v[i], count);
        }
}

#define FASTNN_CHANNELS_CASE(channels)                                                                       \
    case channels: NAME(add_image_taps)(channels, o, turned_weight, turned_dy, turned_dx); break;
/* dx of a convolution of one group with a stride of 1 and at most 8 channels. The threads divide the blocks. */
static void NAME(convolve_images_input)(const convolution *o, const REAL *dy, const REAL *weight, const REAL *mask,
                                        REAL *dx, int64_t thread, int64_t threads) {
    const int64_t channels = o->c, filters = o->filters, taps = o->r * o->s, area = o->h * o->w;
    const int64_t out_area = o->out_h * o->out_w, blocks = o->n / LANES, done = blocks * LANES;
    const int64_t dx_size = area * channels * LANES, dy_size = out_area * filters * LANES;
    REAL *turned_dx = arena((size_t)(dx_size + dy_size + taps * filters * channels) * sizeof(REAL));
    REAL *turned_dy = turned_dx + dx_size, *turned_weight = turned_dy + dy_size;
    for (int64_t t = 0; t < taps; t++)
        for (int64_t f = 0; f < filters; f++)
            for (int64_t e = 0; e < channels; e++)
                turned_weight[(t * filters + f) * channels + e] = weight[(f * channels + e) * taps + t];
    for (int64_t block = blocks * thread / threads; block < blocks * (thread + 1) / threads; block++) {
        const int64_t to = block * dx_size;
        memset(turned_dx, 0, (size_t)dx_size * sizeof(REAL));
        NAME(turn_images)(filters, out_area, dy + block * dy_size, turned_dy);
        switch (channels) {
            FASTNN_CHANNELS_CASE(1)
            FASTNN_CHANNELS_CASE(2)
            FASTNN_CHANNELS_CASE(3)
            FASTNN_CHANNELS_CASE(4)
            FASTNN_CHANNELS_CASE(5)
            FASTNN_CHANNELS_CASE(6)
            FASTNN_CHANNELS_CASE(7)
            FASTNN_CHANNELS_CASE(8)
        }
        NAME(return_images)(channels, area, turned_dx, dx + to);
        if (mask) NAME(apply_mask)(dx_size, mask + to, dx + to);
    }
    convolution rest = *o;
    rest.n = o->n - done;
    if (rest.n)
        NAME(convolve_direct_input)(&rest, dy + done * filters * out_area, weight,
                                    mask ? mask + done * channels * area : NULL, dx + done * channels * area, thread,
                                    threads);
}
#undef FASTNN_CHANNELS_CASE

#undef VECTOR
#undef LANES
#undef IMAGE_SUMS
