/* The convolution in direct form, for one dtype: REAL and NAME are set by convolution.h. */

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* weight (filters, channels, taps) as (channels, filters, taps), turned by 180°. */
static void NAME(turn_weight)(int64_t filters, int64_t channels, int64_t taps, const REAL *weight, REAL *to) {
    for (int64_t f = 0; f < filters; f++)
        for (int64_t e = 0; e < channels; e++)
            for (int64_t t = 0; t < taps; t++)
                to[(e * filters + f) * taps + t] = weight[(f * channels + e) * taps + taps - 1 - t];
}

/* y = relu?(bias + x * weight), 0 where the mask, unless that is NULL, isn't positive. With `back`, x is a
   gradient that goes back through the weights of a convolution from y. Units of work: strips of output rows of
   one image and group, groups outermost. A sum is one chain over (channel, u, v) in order, from the bias on;
   blocks of channels resume it. */
static void NAME(convolve_direct)(const convolution *shape, const REAL *x, const REAL *weight, const REAL *bias,
                             const REAL *mask, REAL *y, int relu, int back, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, taps = channels * o.r * o.s;
    const int64_t images = o.n * o.groups, area = o.h * o.w, plane = o.out_h * o.out_w;
    const int64_t block = larger(1, smaller(channels, BLOCK_TAPS / (o.r * o.s)));
    window w = convolution_window(shape, block);
    const window wide = rows_apart(&w), *packing = rows_apart_suit(shape, LANES) ? &wide : &w;
    const int apart = packing == &wide;
    /* Short enough that every thread gets strips. */
    const int64_t share = ceil_divide(o.out_h, ceil_divide(threads, larger(1, images)));
    const int64_t most = strip_rows(packing, STRIP_BYTES / (int64_t)sizeof(REAL), LANES);
    const strip s = window_strip(packing, smaller(most, larger(1, share)));
    const int64_t turned_size = back ? round_up(filters * taps, LANES) : 0;
    int64_t *offset = arena((size_t)round_up(window_taps(&w), 8) * sizeof(int64_t) +
                            (size_t)(turned_size + strip_size(packing, &s)) * sizeof(REAL));
    REAL *turned = (REAL *)(offset + round_up(window_taps(&w), 8)), *packed = turned + turned_size;
    tap_offsets(&w, packing, &s, offset);
    const int64_t strips = ceil_divide(o.out_h, s.rows), units = images * strips;
    int64_t turned_group = -1;
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t g = unit / strips / o.n, image = unit / strips % o.n * o.groups + g;
        const int64_t first = unit % strips * s.rows, rows = smaller(s.rows, o.out_h - first);
        const REAL *group_weight = weight + g * filters * taps;
        if (back && turned_group != g)
            NAME(turn_weight)(channels, filters, o.r * o.s, group_weight, turned);
        turned_group = g;
        REAL *strip_y = y + image * filters * plane + first * o.out_w;
        NAME(correlation) p = {.rows = filters, .pixels = apart ? o.out_w : rows * o.out_w,
                               .a_row = taps, .offset = offset,
                               .bias = bias ? bias + g * filters : NULL,
                               .c_row = plane, .far_row = plane};
        for (int64_t e = 0; e == 0 || e < channels; e += block) {
            const REAL *source = x + (image * channels + e) * area;
            w.channels = smaller(block, channels - e);
            if (!s.packed) NAME(pack_strip)(packing, &s, source, w.channels, first, rows, packed);
            p.taps = window_taps(&w);
            p.a = (back ? turned : group_weight) + e * o.r * o.s;
            p.resume = e > 0;
            p.relu = relu && e + block >= channels;
            for (int64_t row = 0; row < (apart ? rows : 1); row++) {
                p.b = (s.packed ? source + first * o.w : packed) + row * packing->columns.out;
                p.c = strip_y + row * o.out_w;
                p.far = e == 0 ? p.c : NULL;
                NAME(correlate)(&p);
            }
        }
        for (int64_t f = 0; mask && f < filters; f++)
            NAME(apply_mask)(rows * o.out_w, mask + (strip_y - y) + f * plane, strip_y + f * plane);
    }
}

#undef LANES
