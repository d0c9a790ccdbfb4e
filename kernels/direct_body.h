/* The convolution in direct form, for one dtype: REAL and NAME are set by convolution.h. */

#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* Units of work: strips of output rows of one image and group. A sum is one chain over (channel, u, v) in
   order, from the bias on; blocks of channels resume it. */
static void NAME(convolve_direct)(const convolution *shape, const REAL *x, const REAL *weight, const REAL *bias,
                                  REAL *y, int relu, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, taps = channels * o.r * o.s;
    const int64_t images = o.n * o.groups, area = o.h * o.w, plane = o.out_h * o.out_w;
    const int64_t block = larger(1, smaller(channels, BLOCK_TAPS / (o.r * o.s)));
    window w = convolution_window(shape, block);
    /* Short enough that every thread gets strips. */
    const int64_t share = ceil_divide(o.out_h, ceil_divide(threads, larger(1, images)));
    const int64_t most = strip_rows(&w, STRIP_BYTES / (int64_t)sizeof(REAL), LANES);
    const strip s = window_strip(&w, smaller(most, larger(1, share)));
    int64_t *offset = arena((size_t)round_up(window_taps(&w), 8) * sizeof(int64_t) +
                            (size_t)strip_size(&w, &s) * sizeof(REAL));
    REAL *packed = (REAL *)(offset + round_up(window_taps(&w), 8));
    tap_offsets(&w, &s, offset);
    const int64_t strips = ceil_divide(o.out_h, s.rows), units = images * strips;
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t image = unit / strips, g = image % o.groups, first = unit % strips * s.rows;
        const int64_t rows = smaller(s.rows, o.out_h - first);
        NAME(correlation) p = {.rows = filters, .pixels = rows * o.out_w,
                               .a_row = taps, .offset = offset,
                               .bias = bias ? bias + g * filters : NULL,
                               .c = y + image * filters * plane + first * o.out_w, .c_row = plane, .far_row = plane};
        for (int64_t e = 0; e == 0 || e < channels; e += block) {
            const REAL *source = x + (image * channels + e) * area;
            w.channels = smaller(block, channels - e);
            if (!s.packed) NAME(pack_strip)(&w, &s, source, w.channels, first, rows, packed);
            p.taps = window_taps(&w);
            p.a = weight + g * filters * taps + e * o.r * o.s;
            p.b = s.packed ? source + first * o.w : packed;
            p.resume = e > 0;
            p.far = e == 0 ? p.c : NULL;
            p.relu = relu && e + block >= channels;
            NAME(correlate)(&p);
        }
    }
}

#undef LANES
