/* The gradient by x in direct form, for one dtype: REAL and NAME are set by convolution.h.

   For some channels and a strip of dy's rows a matrix product makes t[e, u, v] = Σ_f weight[f, e, u, v] dy[f],
   and dx gathers its taps from these planes. dy itself is the product's b: nothing is packed. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
/* Rows of dx that are gathered together. */
#define GATHER_ROWS 4

/* A plane's rows are the last `above` of the strip before (zeros before the first), the strip's, and after
   the last strip zeros as far as dx may ask. Taps are grouped by the phases of dx that they reach: those of
   row phase i and column place j are numbers starts[i · stride_w + j] and up. A single filter's planes are
   all dy itself, which dx takes `scale` times. */
typedef struct {
    const REAL *t;
    const gather_tap *taps;
    const int64_t *starts;
    const REAL *scale; /* or NULL */
    int64_t scale_row;
} NAME(tap_planes);

/* GATHER_ROWS rows by LANES columns of dx, of one phase each: row k and column n of them are the first. */
FASTNN_INLINE void NAME(gather)(const NAME(tap_planes) * p, int64_t phase, int64_t out, int64_t k, int64_t n,
                                VECTOR sum[GATHER_ROWS]) {
#pragma GCC unroll 4
    for (int i = 0; i < GATHER_ROWS; i++) sum[i] = (VECTOR){0};
    const REAL *t = p->t + k * out + n;
    for (const gather_tap *tap = p->taps + p->starts[phase]; tap < p->taps + p->starts[phase + 1]; tap++) {
        const REAL scale = p->scale ? p->scale[tap->number * p->scale_row] : 1;
        const int64_t begin = tap->left - n;
#pragma GCC unroll 4
        for (int i = 0; i < GATHER_ROWS; i++)
            sum[i] += scale * NAME(load_between)(t + tap->offset + i * out, begin, begin + out);
    }
}

/* Store gathered rows at columns `stride` apart; with a stride of 2, both phases' interleaved. `left` columns
   of dx are left. */
FASTNN_INLINE void NAME(store_rows)(const VECTOR even[GATHER_ROWS], const VECTOR odd[GATHER_ROWS], int rows,
                                    int64_t stride, int64_t left, REAL *to, int64_t to_row) {
    const int head = (int)smaller(LANES, left), tail = (int)smaller(LANES, left - LANES);
#pragma GCC unroll 4
    for (int i = 0; i < GATHER_ROWS; i++, to += to_row) {
        if (i >= rows) break;
        if (stride == 1) NAME(store_partial)(to, even[i], head);
        else if (stride == 2) {
            NAME(store_partial)(to, NAME(interleave)(even[i], odd[i], 0), head);
            if (tail > 0) NAME(store_partial)(to + LANES, NAME(interleave)(even[i], odd[i], 1), tail);
        } else {
            REAL lanes[LANES];
            NAME(store)(lanes, even[i]);
            for (int64_t l = 0; l < LANES && l * stride < left; l++) to[l * stride] = lanes[l];
        }
    }
}

/* The rows of one channel of dx (h, w) that this strip of dy, rows [first, end), completes: those that the
   strips before haven't, or, with the last strip, all that are left. `ranges` are those of the row phases. */
static void NAME(gather_rows)(const window *w, const phase_range *ranges, const NAME(tap_planes) * p, int64_t first,
                              int64_t end, int last, REAL *dx) {
    const int64_t down = w->rows.stride, stride = w->columns.stride;
    const int64_t width = w->columns.source, out = w->columns.out;
    for (int64_t row_phase = 0; row_phase < down; row_phase++) {
        const phase_range range = ranges[row_phase];
        const int64_t begin = first == 0 ? range.begin : larger(range.begin, first + range.shift);
        const int64_t stop = last ? range.end : smaller(range.end, end + range.shift);
        for (int64_t k = begin; k < stop; k += GATHER_ROWS) {
            REAL *to = dx + (k * down + row_phase - w->rows.pad) * width;
            const int rows = (int)smaller(GATHER_ROWS, stop - k);
            for (int64_t n = 0; n * stride < width; n += LANES)
                for (int64_t place = 0; place < stride; place += stride == 2 ? 2 : 1) {
                    VECTOR even[GATHER_ROWS], odd[GATHER_ROWS];
                    const int64_t phase = row_phase * stride + place, j = n * stride + place;
                    NAME(gather)(p, phase, out, k - first, n, even);
                    if (stride == 2) NAME(gather)(p, phase + 1, out, k - first, n, odd);
                    NAME(store_rows)(even, odd, rows, stride, width - j, to + j, down * width);
                }
        }
    }
}

/* weight (filters, taps) transposed, its rows to_row apart. */
static void NAME(transpose_weight)(int64_t filters, int64_t taps, const REAL *weight, REAL *to, int64_t to_row) {
    for (int64_t t = 0; t < taps; t += LANES)
        for (int64_t f = 0; f < filters; f += LANES)
            NAME(transpose)(weight + f * taps + t, taps, (int)smaller(LANES, filters - f),
                            (int)smaller(LANES, taps - t), to + t * to_row + f, to_row);
}

/* The planes of t for a strip: `above` rows of `out` columns, `rows` rows of the strip, `below` rows. */
typedef struct {
    int64_t count, rows, above, below, out, plane;
    REAL *t;
} NAME(plane_block);

/* Before the strip from output row `first` on: the rows above it are the last ones of the strip before, or
   zeros above the first. */
static void NAME(roll_planes)(const NAME(plane_block) * b, int64_t first) {
    const size_t bytes = (size_t)(b->above * b->out) * sizeof(REAL);
    for (int64_t i = 0; i < b->count; i++) {
        REAL *plane = b->t + i * b->plane;
        if (first == 0) memset(plane, 0, bytes);
        else memmove(plane, plane + b->rows * b->out, bytes);
    }
}

/* The last strip has `rows` rows: zeros follow. */
static void NAME(end_planes)(const NAME(plane_block) * b, int64_t rows) {
    const size_t bytes = (size_t)((b->rows - rows + b->below) * b->out) * sizeof(REAL);
    for (int64_t i = 0; i < b->count; i++) memset(b->t + i * b->plane + (b->above + rows) * b->out, 0, bytes);
}

/* A sum is, over (u, v) in order, that of one chain each over the filters. Units of work: blocks of channels
   of one image and group, groups outermost, so that their weights are transposed once. */
static void NAME(convolve_direct_input)(const convolution *shape, const REAL *dy, const REAL *weight,
                                        const REAL *mask, REAL *dx, int64_t thread, int64_t threads) {
    const convolution o = *shape;
    const int64_t channels = o.c / o.groups, filters = o.filters / o.groups, taps = o.r * o.s;
    const int64_t area = o.h * o.w, out_area = o.out_h * o.out_w;
    const window w = convolution_window(shape, 1);
    /* A 1 x 1 window's product is dx itself; a single filter needs no product. */
    const int itself = taps == 1 && area == out_area && o.pad_top == 0 && o.pad_left == 0;
    const int single = !itself && filters == 1;
    const int64_t block = larger(1, itself ? channels : smaller(channels, DIRECT_PLANES / taps));
    NAME(plane_block) planes = {.count = itself ? 0 : single ? 1 : block * taps, .out = o.out_w};
    const int64_t most = DIRECT_PLANE_BYTES / (int64_t)sizeof(REAL) / larger(1, planes.count * o.out_w);
    planes.rows = most >= o.out_h ? larger(1, o.out_h) : whole_vectors(larger(1, most), o.out_w, LANES);
    planes.above = axis_reach(&w.rows) / o.stride_h;
    planes.below = planes.above + GATHER_ROWS;
    planes.plane = (planes.above + planes.rows + planes.below) * o.out_w;

    const int64_t weight_row = round_up(filters, LANES), starts_size = round_up(o.stride_h * o.stride_w + 1, 8);
    const int64_t weight_size = channels * taps * weight_row;
    int64_t *offset = arena((size_t)(weight_row + starts_size) * sizeof(int64_t) + (size_t)taps * sizeof(gather_tap) +
                            (size_t)o.stride_h * sizeof(phase_range) +
                            (size_t)(weight_size + planes.count * planes.plane) * sizeof(REAL));
    int64_t *starts = offset + weight_row;
    gather_tap *gather_taps = (gather_tap *)(starts + starts_size);
    phase_range *ranges = (phase_range *)(gather_taps + taps);
    REAL *transposed = (REAL *)(ranges + o.stride_h);
    planes.t = transposed + weight_size;
    for (int64_t f = 0; f < filters; f++) offset[f] = f * out_area;
    for (int64_t phase = 0; phase < o.stride_h; phase++) ranges[phase] = range_of_phase(&w.rows, phase);
    group_taps(&w, single ? 0 : planes.plane, planes.above, gather_taps, starts);
    /* With one strip, the zeros around it stay. */
    memset(planes.t, 0, (size_t)(planes.count * planes.plane) * sizeof(REAL));

    const int64_t blocks = ceil_divide(channels, block), units = o.groups * o.n * blocks;
    int64_t transposed_group = -1;
    for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
        const int64_t g = unit / blocks / o.n, image = unit / blocks % o.n * o.groups + g;
        const int64_t e0 = unit % blocks * block, count = smaller(block, channels - e0);
        const REAL *group_weight = transposed + e0 * taps * weight_row;
        REAL *group_dx = dx + (image * channels + e0) * area;
        if (transposed_group != g)
            NAME(transpose_weight)(filters, channels * taps, weight + g * filters * channels * taps, transposed,
                                   weight_row);
        transposed_group = g;
        for (int64_t first = 0; first < o.out_h; first += planes.rows) {
            const int64_t rows = smaller(planes.rows, o.out_h - first);
            const int last = first + rows == o.out_h;
            const REAL *source = dy + image * filters * out_area + first * o.out_w;
            NAME(correlation) p = {.rows = count * taps, .pixels = rows * o.out_w, .taps = filters,
                                   .a = group_weight, .a_row = weight_row, .b = source, .offset = offset,
                                   .c = itself ? group_dx : planes.t + planes.above * o.out_w,
                                   .c_row = itself ? area : planes.plane,
                                   .far = first == 0 ? group_dx : NULL, .far_row = ceil_divide(area, taps)};
            if (planes.rows < o.out_h) NAME(roll_planes)(&planes, first);
            if (single) memcpy(p.c, source, (size_t)p.pixels * sizeof(REAL));
            else NAME(correlate)(&p);
            if (planes.rows < o.out_h && last) NAME(end_planes)(&planes, rows);
            for (int64_t e = 0; e < count && !itself; e++) {
                const NAME(tap_planes) channel = {.t = single ? planes.t : planes.t + e * taps * planes.plane,
                                                  .taps = gather_taps, .starts = starts,
                                                  .scale = single ? group_weight + e * taps * weight_row : NULL,
                                                  .scale_row = weight_row};
                NAME(gather_rows)(&w, ranges, &channel, first, first + rows, last, group_dx + e * area);
            }
        }
        if (mask) NAME(apply_mask)(count * area, mask + (image * channels + e0) * area, group_dx);
    }
}

#undef VECTOR
#undef LANES
#undef GATHER_ROWS
