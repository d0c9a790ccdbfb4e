/* The gradients by weight and bias in direct form, for one dtype: REAL and NAME are set by convolution.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Filters whose sums are kept in scratch at a time, for BLOCK_TAPS taps: 128 · 384 · 4 bytes = 192 KiB. */
#define BLOCK_FILTERS 128

/* The sums of one block: filters [f, f + filters) of group g and its taps [t, t + taps). */
typedef struct {
    int64_t g, f, filters, t, taps;
} NAME(weight_block);

/* What a thread works with. The lanes of the sums are filters, (taps + 1, filters); or, where the filters
   are few, adjacent pixels, (taps + 1, filters, LANES): then no panel of dy is transposed, but each sum's
   lanes are added up at the end. */
typedef struct {
    const convolution *o;
    window w; /* that of a block of taps */
    strip s;
    int along_pixels;
    const int64_t *offset; /* of the taps of w */
    const REAL **x;        /* (taps + 1): each tap's source pixels; the bias is a tap whose source is 1 */
    REAL *ones, *packed, *panel, *sums;
} NAME(weight_work);

/* Add one strip of image i: output rows [first, first + rows). */
static void NAME(sum_strip)(const NAME(weight_work) * work, const NAME(weight_block) * block, const REAL *x,
                            const REAL *dy, int64_t i, int64_t first, int64_t rows) {
    const convolution *o = work->o;
    const int64_t window = o->r * o->s, e0 = block->t / window, plane = o->out_h * o->out_w;
    const int64_t channels = ceil_divide(block->t + block->taps, window) - e0;
    const int64_t image = i * o->groups + block->g, pixels = rows * o->out_w;
    const REAL *source = x + (image * (o->c / o->groups) + e0) * o->h * o->w;
    if (work->s.packed) source += first * o->w;
    else {
        NAME(pack_strip)(&work->w, &work->s, source, channels, first, rows, work->packed);
        source = work->packed;
    }
    for (int64_t t = 0; t < block->taps; t++) work->x[t] = source + work->offset[block->t - e0 * window + t];
    work->x[block->taps] = work->ones;
    const REAL *dy_block = dy + (image * (o->filters / o->groups) + block->f) * plane + first * o->out_w;
    NAME(tap_sums) p = {.taps = block->taps + (block->t == 0), .pixels = pixels, .x = work->x};
    if (work->along_pixels) {
        p.dy_row = plane;
        p.sum_row = block->filters * LANES;
        for (int64_t f = 0, filters; f < block->filters; f += filters) {
            p.dy = dy_block + f * plane;
            p.sum = work->sums + f * LANES;
            filters = NAME(sum_filters)(block->filters - f, &p);
        }
        return;
    }
    p.dy = work->panel;
    p.sum_row = round_up(block->filters, TILE_COLUMNS);
    for (int64_t f = 0; f < block->filters; f += TILE_COLUMNS) {
        const int columns = (int)smaller(TILE_COLUMNS, block->filters - f);
        NAME(pack_panel)(pixels, columns, dy_block + f * plane, 1, plane, work->panel);
        p.sum = work->sums + f;
        NAME(sum_panel)(columns, &p);
    }
}

/* Write a block's sums to dweight (filters, taps) and dbias. */
static void NAME(write_sums)(const NAME(weight_work) * work, const NAME(weight_block) * block, int64_t filters,
                             int64_t taps, REAL *dweight, REAL *dbias) {
    for (int64_t f = 0; f < block->filters; f++) {
        const int64_t filter = block->g * filters + block->f + f;
        for (int64_t t = 0; t < block->taps + (block->t == 0); t++) {
            const REAL value = work->along_pixels
                                   ? NAME(lane_sum)(NAME(load)(work->sums + (t * block->filters + f) * LANES))
                                   : work->sums[t * round_up(block->filters, TILE_COLUMNS) + f];
            if (t < block->taps) dweight[filter * taps + block->t + t] = value;
            else if (dbias) dbias[filter] = value;
        }
    }
}

/* dweight[f, e, u, v] = Σ dy[f, p, q] x[e, i, j] over images and output pixels; dbias[f] = Σ dy[f]. Each
   thread takes a range of all groups' taps. A sum is one chain over the pixels in order; along pixels, one
   chain a lane. */
static void NAME(convolve_direct_weight)(const convolution *shape, const REAL *x, const REAL *dy, REAL *dweight,
                                           REAL *dbias, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t filters = o.filters / o.groups, window = o.r * o.s, taps = o.c / o.groups * window;
    NAME(weight_work) work = {.o = shape};
    /* The strips must not depend on the number of threads: along pixels, lanes count from their start. A
       thread's taps may begin and end inside a channel. */
    work.w = convolution_window(shape, smaller(o.c / o.groups, BLOCK_TAPS / window + 2));
    work.s = window_strip(&work.w, strip_rows(&work.w, STRIP_BYTES / (int64_t)sizeof(REAL), LANES));
    const int64_t pixels = round_up(work.s.rows * o.out_w, LANES), block_taps = smaller(taps, BLOCK_TAPS);
    work.along_pixels = filters <= LANES / 2 || (filters * taps <= ALONG_PIXELS_WEIGHTS && pixels >= 16 * LANES);
    const int64_t block_filters = round_up(smaller(filters, BLOCK_FILTERS), TILE_COLUMNS);
    const int64_t sums_row = work.along_pixels ? smaller(filters, BLOCK_FILTERS) * LANES : block_filters;
    const int64_t sums_size = (block_taps + 1) * sums_row;
    const int64_t pointers = round_up(block_taps + 1, 8), offsets = round_up(window_taps(&work.w), 8);
    const int64_t packed_size = strip_size(&work.w, &work.s);
    const int64_t panel_size = work.along_pixels ? 0 : pixels * TILE_COLUMNS;
    work.x = arena((size_t)pointers * sizeof(REAL *) + (size_t)offsets * sizeof(int64_t) +
                   (size_t)(pixels + packed_size + sums_size + panel_size) * sizeof(REAL));
    int64_t *offset = (int64_t *)(work.x + pointers);
    work.offset = offset;
    work.ones = (REAL *)(offset + offsets);
    work.packed = work.ones + pixels;
    work.sums = work.packed + packed_size;
    work.panel = work.sums + sums_size;
    tap_offsets(&work.w, &work.w, &work.s, offset);
    for (int64_t k = 0; k < pixels; k++) work.ones[k] = 1;

    const int64_t end = o.groups * taps * (thread + 1) / threads;
    NAME(weight_block) block;
    for (int64_t at = o.groups * taps * thread / threads; at < end; at += block.taps) {
        block.g = at / taps;
        block.t = at % taps;
        block.taps = smaller(smaller(end - at, taps - block.t), BLOCK_TAPS);
        for (block.f = 0; block.f < filters; block.f += BLOCK_FILTERS) {
            block.filters = smaller(BLOCK_FILTERS, filters - block.f);
            memset(work.sums, 0, (size_t)sums_size * sizeof(REAL));
            for (int64_t i = 0; i < o.n; i++)
                for (int64_t first = 0; first < o.out_h; first += work.s.rows)
                    NAME(sum_strip)(&work, &block, x, dy, i, first, smaller(work.s.rows, o.out_h - first));
            NAME(write_sums)(&work, &block, filters, taps, dweight, dbias);
        }
    }
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef BLOCK_FILTERS
