/* The gradient by x with images along the lanes, for one dtype: REAL and NAME are set by convolution.h.

   An element is summed as in direct_input_body.h, over (u, v) in order, one chain each over the filters; so images that
   fill no block may take that form, and have the bits that they would have in one. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
/* A register tile has so many sums, of at most 8 channels and some adjacent vectors. */
#define IMAGE_SUMS (VECTOR_BYTES == 64 ? 24 : 6)

/* One tap at adjacent vectors: dx (channels, …) += Σ_f weight[f, e] dy (filters, …). */
FASTNN_INLINE void NAME(image_tile)(const int channels, const int vectors, int64_t filters, const REAL *weight,
                                    int64_t weight_row, const REAL *dy, int64_t dy_plane, REAL *dx, int64_t dx_plane) {
    VECTOR sum[8][8] = {{{0}}};
    for (int64_t f = filters; f > 0; f--, weight += weight_row, dy += dy_plane) {
        VECTOR dy_f[8];
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++) dy_f[j] = NAME(load)(dy + j * LANES);
#pragma GCC unroll 8
        for (int e = 0; e < channels; e++)
#pragma GCC unroll 8
            for (int j = 0; j < vectors; j++) sum[e][j] += weight[e] * dy_f[j];
    }
#pragma GCC unroll 8
    for (int e = 0; e < channels; e++, dx += dx_plane)
#pragma GCC unroll 8
        for (int j = 0; j < vectors; j++) NAME(store)(dx + j * LANES, NAME(load)(dx + j * LANES) + sum[e][j]);
}

/* dx (channels, h, w, IMAGES) += all taps of dy (filters, out_h, out_w, IMAGES); weight (r, s, filters, c). */
FASTNN_INLINE void NAME(add_image_taps)(const int channels, const convolution *o, const REAL *weight, const REAL *dy,
                                        int64_t dy_plane, REAL *dx, int64_t dx_plane) {
    const int vectors = IMAGE_SUMS / channels < 1 ? 1 : IMAGE_SUMS / channels > 8 ? 8 : IMAGE_SUMS / channels;
    for (int64_t i = 0; i < o->h; i++)
        for (int64_t u = 0; u < o->r; u++) {
            const int64_t p = i + o->pad_top - u * o->dilation_h;
            if (p < 0 || p >= o->out_h) continue;
            for (int64_t v = 0; v < o->s; v++) {
                const int64_t shift = v * o->dilation_w - o->pad_left;
                const int64_t end = smaller(o->out_w, o->w - shift) * IMAGES;
                const REAL *tap = weight + (u * o->s + v) * o->filters * o->c, *from = dy + p * o->out_w * IMAGES;
                REAL *to = dx + (i * o->w + shift) * IMAGES;
                int64_t q = larger(0, -shift) * IMAGES;
                for (; q + vectors * LANES <= end; q += vectors * LANES)
                    NAME(image_tile)(channels, vectors, o->filters, tap, o->c, from + q, dy_plane, to + q, dx_plane);
                for (; q < end; q += LANES)
                    NAME(image_tile)(channels, 1, o->filters, tap, o->c, from + q, dy_plane, to + q, dx_plane);
            }
        }
}

#define FASTNN_CHANNELS_CASE(channels)                                                                       \
    case channels: NAME(add_image_taps)(channels, o, weight, dy, dy_plane, dx, dx_plane); break;
static void NAME(add_image_channels)(int channels, const convolution *o, const REAL *weight, const REAL *dy,
                                     int64_t dy_plane, REAL *dx, int64_t dx_plane) {
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
}
#undef FASTNN_CHANNELS_CASE

/* dx of a convolution of one group with a stride of 1, whole images at a time, from dy: of the convolution itself where
   `place` is NULL, else of the pool after it. The threads divide the blocks. */
static void NAME(convolve_images_input)(const pooled_convolution *pooled, const REAL *dy, const uint8_t *place,
                                        const REAL *weight, const REAL *mask, REAL *dx, int64_t thread,
                                        int64_t threads) {
    const convolution *o = &pooled->o;
    const int64_t taps = o->r * o->s, blocks = ceil_divide(o->n, IMAGES), pool = pooled->pool;
    NAME(image_strips) s = {.o = o, .pool = pool, .y_blocks = (int)pooled->y_blocks,
                            .x = NAME(image_planes)(o->c, o->h, o->w),
                            .y = NAME(image_planes)(o->filters, o->out_h / pool, o->out_w / pool)};
    const int64_t x_size = NAME(set_rows)(&s.x, o->h), y_size = NAME(set_rows)(&s.y, s.y.h);
    const int64_t z_plane = block_plane(o->out_h, o->out_w), z_size = place ? o->filters * z_plane : 0;
    REAL *room = arena((size_t)(x_size + z_size + y_size + taps * o->filters * o->c) * sizeof(REAL));
    REAL *dz = room + x_size, *turned_dy = dz + z_size, *turned_weight = turned_dy + y_size;
    memset(dz, 0, (size_t)z_size * sizeof(REAL)); /* as pixels stay that no window reaches */
    for (int64_t t = 0; t < taps; t++)
        for (int64_t f = 0; f < o->filters; f++)
            for (int64_t e = 0; e < o->c; e++)
                turned_weight[(t * o->filters + f) * o->c + e] = weight[(f * o->c + e) * taps + t];
    for (int64_t block = blocks * thread / threads; block < blocks * (thread + 1) / threads; block++) {
        s.image = block * IMAGES;
        s.x.images = s.y.images = (int)smaller(IMAGES, o->n - s.image);
        const int64_t to = s.image * s.x.image;
        REAL *turned_dx = pooled->x_blocks ? dx + NAME(in_blocks)(&s.x, o->c, s.image, 0) : room;
        memset(turned_dx, 0, (size_t)x_size * sizeof(REAL));
        const REAL *block_dy = NAME(turn_gradient)(&s, dy, 0, turned_dy);
        if (place) {
            const NAME(unpooling) u = NAME(through_pool)(&s, block_dy, place, 0, dz, z_plane);
            NAME(unpool)(&u);
        }
        /* Tiles of six channels have the fewest loads. */
        for (int64_t e = 0, some; e < o->c; e += some) {
            some = o->c - e <= 8 ? o->c - e : 6;
            NAME(add_image_channels)((int)some, o, turned_weight + e, place ? dz : block_dy,
                                     place ? z_plane : s.y.plane, turned_dx + e * s.x.plane, s.x.plane);
        }
        if (pooled->x_blocks) continue;
        NAME(return_images)(&s.x, turned_dx, dx + to);
        if (mask) NAME(apply_mask)(s.x.images * s.x.image, mask + to, dx + to);
    }
}

#undef VECTOR
#undef LANES
#undef IMAGE_SUMS
