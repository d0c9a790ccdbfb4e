/* Winograd's form with images along the lanes, for one dtype: REAL and NAME are set by convolution.h. A tile of IMAGES
   images fills vectors, so that none is packed, and its 2 x 2 outputs are a window of the max pool after it. The bits
   are those of winograd_body.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))

/* Tiles [begin, end) of a row of one filter, m (sums, tiles, IMAGES), to `rows` rows of z from the tiles' row `above` on,
   of width `out_w`, whose first is the tiles' column `left`; and to y, the maxima of whole tiles of 2 x 2. Either may be
   NULL. */
FASTNN_INLINE void NAME(write_tiles)(const int kind, int above, int rows, int64_t left, int64_t out_w, int64_t begin,
                                     int64_t end, const REAL *m, int64_t m_sum, REAL bias, int relu, REAL *z, REAL *y) {
    const int outputs = winograd_outputs(kind);
    if (!winograd_is_back(kind)) above = 0, left = 0;
    for (int64_t j = begin; j < end; j++) {
        const int64_t column = outputs * j - left;
        const int first = (int)larger(0, -column), last = (int)smaller(outputs, out_w - column);
        for (int lane = 0; lane < IMAGES; lane += LANES, m += LANES) {
            VECTOR tile[MAX_OUTPUTS][MAX_OUTPUTS];
            NAME(tile_outputs)(kind, m, m_sum, (VECTOR){0} + bias, relu, tile);
#pragma GCC unroll 4
            for (int a = 0; a < outputs; a++)
#pragma GCC unroll 4
                for (int b = 0; b < outputs; b++)
                    if (z && a >= above && a < above + rows && b >= first && b < last)
                        NAME(store)(z + ((a - above) * out_w + column + b) * IMAGES + lane, tile[a][b]);
            if (y && rows == 2 && last == 2)
                NAME(store)(y + j * IMAGES + lane, NAME(combine)(0, NAME(combine)(0, tile[0][0], tile[1][0]),
                                                                 NAME(combine)(0, tile[0][1], tile[1][1])));
        }
    }
}

/* Rows t of filters from f0 on of the block from `image` on, back in their place, 0 where the mask isn't positive. */
static void NAME(return_rows)(const NAME(winograd) * p, const NAME(image_rows) * t, const REAL *z, int64_t image,
                              int64_t f0) {
    const int64_t block = image * t->image + f0 * t->h * t->w;
    NAME(return_images)(t, z, p->y + block);
    for (int64_t i = 0; p->mask && i < t->images; i++)
        for (int64_t f = 0; f < t->channels; f++) {
            const int64_t to = block + i * t->image + (f * t->h + t->first) * t->w;
            NAME(apply_mask)(t->rows * t->w, p->mask + to, p->y + to);
        }
}

/* y of a convolution of one group as winograd_body.h makes it, or, where `pooled` isn't NULL, the maxima of its 2 x 2
   pixels. Units of work: strips of rows of tiles of blocks. */
FASTNN_INLINE void NAME(run_winograd_images)(const int kind, const NAME(winograd) * p,
                                             const pooled_convolution *pooled, int64_t thread, int64_t threads) {
    const int pool = pooled != NULL, x_blocks = pool && pooled->x_blocks, y_blocks = pool && pooled->y_blocks;
    const int step = winograd_step(kind), piece = winograd_piece(kind), overlap = piece - step;
    const int places = winograd_side(kind) * winograd_side(kind), sums = winograd_sums(kind) * winograd_sums(kind);
    const int outputs = winograd_outputs(kind);
    const int64_t channels = p->channels, columns = p->columns.out, width = step * columns + overlap;
    const int64_t pixels = IMAGE_LANES_BYTES / (IMAGES * (int64_t)sizeof(REAL));
    const int64_t rows = smaller(p->rows.out, larger(1, (pixels / (channels * width) - overlap) / step));
    const int64_t strips = ceil_divide(p->rows.out, rows), units = ceil_divide(p->images, IMAGES) * strips;
    const int64_t most = smaller(columns, WINOGRAD_TILES / IMAGES); /* tiles whose products are made together */
    const int64_t filters = smaller(WINOGRAD_FILTERS, p->filters), plane = p->out_h * p->out_w;
    NAME(image_rows) x_rows = NAME(image_planes)(channels, p->rows.source, p->columns.source);
    NAME(image_rows) z_rows = NAME(image_planes)(filters, p->out_h, p->out_w); /* of one row of tiles */
    NAME(image_rows) y_rows = NAME(image_planes)(filters, p->out_h / 2, p->out_w / 2);
    x_rows.left = p->columns.pad;
    x_rows.width = width;
    z_rows.image = p->filters * plane;
    y_rows.image = p->filters * y_rows.h * y_rows.w;
    const int64_t x_size = NAME(set_rows)(&x_rows, step * rows + overlap);
    const int64_t z_size = pool ? 0 : NAME(set_rows)(&z_rows, outputs);
    const int64_t y_size = pool ? NAME(set_rows)(&y_rows, y_blocks ? y_rows.h : rows) : 0;
    const int64_t run = most * IMAGES, u_place = filters * channels + LANES, v_place = channels * run + LANES;
    const int64_t m_sum = WINOGRAD_ROWS * run + LANES, taps = NAME(most_taps)(kind, channels);
    const int64_t elements = x_size + z_size + y_size + places * (u_place + v_place) + sums * m_sum;
    int64_t *offset = arena((size_t)round_up(taps, 8) * sizeof(int64_t) + (size_t)elements * sizeof(REAL));
    REAL *turned_x = (REAL *)(offset + round_up(taps, 8)), *turned_z = turned_x + x_size;
    REAL *turned_y = turned_z + z_size, *u = turned_y + y_size, *v = u + places * u_place, *m = v + places * v_place;
    int64_t tap[MAX_PIECE * MAX_PIECE];
    NAME(place_offsets)(taps, channels, v_place, run, offset);
    for (int i = 0; i < piece * piece; i++) tap[i] = (i / piece * width + i % piece) * IMAGES;

    for (int64_t f0 = 0; f0 < p->filters; f0 += filters) {
        z_rows.channels = y_rows.channels = smaller(filters, p->filters - f0);
        NAME(transform_weight)(kind, p, p->weight + f0 * p->weight_filter, z_rows.channels, u, u_place);
        for (int64_t unit = units * thread / threads; unit < units * (thread + 1) / threads; unit++) {
            const int64_t image = unit / strips * IMAGES, first = unit % strips * rows;
            const int64_t end = smaller(rows, p->rows.out - first);
            x_rows.images = z_rows.images = y_rows.images = (int)smaller(IMAGES, p->images - image);
            x_rows.first = step * first - p->rows.pad;
            y_rows.first = first;
            y_rows.rows = smaller(end, y_rows.h - first);
            memset(turned_x, 0, (size_t)x_size * sizeof(REAL));
            if (x_blocks)
                NAME(copy_images)(&x_rows, p->source + NAME(in_blocks)(&x_rows, channels, image, 0), turned_x);
            else NAME(turn_images)(&x_rows, p->source + image * x_rows.image, turned_x);
            REAL *y = turned_y;
            if (y_blocks) y = p->y + NAME(in_blocks)(&y_rows, p->filters, image, f0);
            for (int64_t i = 0; i < end; i++) {
                const int64_t top = outputs * (first + i) - p->above;
                z_rows.first = larger(0, top);
                z_rows.rows = larger(0, smaller(p->out_h, top + outputs) - z_rows.first);
                for (int64_t j = 0; j < columns; j += most) {
                    const int64_t tiles = smaller(most, columns - j);
                    for (int64_t e = 0; e < channels; e++) {
                        const REAL *from = turned_x + e * x_rows.plane + step * (i * width + j) * IMAGES;
                        for (int64_t k = 0; k < tiles; k++)
                            NAME(transform_source)(kind, from + step * k * IMAGES, tap, IMAGES,
                                                   v + e * run + k * IMAGES, v_place);
                    }
                    for (int64_t f = 0; f < z_rows.channels; f += WINOGRAD_ROWS) {
                        const int64_t some = smaller(WINOGRAD_ROWS, z_rows.channels - f);
                        const NAME(correlation) product = {
                            .rows = some, .pixels = tiles * IMAGES, .offset = offset, .c_row = run};
                        NAME(sum_places)(kind, product, channels, f, u, u_place, v, v_place, m, m_sum);
                        for (int64_t k = f; k < f + some; k++)
                            NAME(write_tiles)(kind, (int)(z_rows.first - top), (int)z_rows.rows, p->left, p->out_w, j,
                                              j + tiles, m + (k - f) * run, m_sum,
                                              p->bias ? p->bias[f0 + k] : 0, p->relu,
                                              pool ? NULL : turned_z + k * z_rows.plane,
                                              pool ? y + k * y_rows.plane + i * y_rows.w * IMAGES : NULL);
                    }
                }
                if (!pool) NAME(return_rows)(p, &z_rows, turned_z, image, f0);
            }
            if (y_blocks) NAME(clear_images)(&y_rows, y);
            else if (pool && y_rows.rows > 0)
                NAME(return_images)(&y_rows, turned_y, p->y + image * y_rows.image + f0 * y_rows.h * y_rows.w);
        }
    }
}

/* --- any form ---------------------------------------------------------------------------------------------- */

/* Filters along the lanes, or whole blocks of images with narrow planes, or tiles. */
FASTNN_INLINE void NAME(convolve_winograd_kind)(const int kind, const NAME(winograd) * problem, int64_t thread,
                                                int64_t threads) {
    NAME(winograd) p = *problem;
    const int64_t tiles = p.images * p.rows.out * p.columns.out;
    if (tiles > 0 && winograd_filters_suit(kind, p.filters, tiles, p.columns.out, LANES)) {
        NAME(run_winograd_filters)(kind, &p, thread, threads);
        return;
    }
    if (LANES == IMAGES && p.groups == 1 && winograd_is_narrow(p.channels, p.columns.out)) {
        p.images -= p.images % IMAGES;
        if (p.images) NAME(run_winograd_images)(kind, &p, NULL, thread, threads);
        p.source += p.images * p.channels * p.rows.source * p.columns.source;
        p.y += p.images * p.filters * p.out_h * p.out_w;
        if (p.mask) p.mask += p.images * p.filters * p.out_h * p.out_w;
        p.images = problem->images - p.images;
    }
    if (p.images) NAME(run_winograd)(kind, &p, thread, threads);
}

/* A function for each kind: in one for all of them GCC keeps less in registers. */
#define FASTNN_WINOGRAD_KIND(name, kind)                                                                     \
    static __attribute__((noinline)) void NAME(name)(const NAME(winograd) * p, int64_t thread, int64_t threads) { \
        NAME(convolve_winograd_kind)(kind, p, thread, threads);                                              \
    }
FASTNN_WINOGRAD_KIND(convolve_winograd_3, WINOGRAD_3)
FASTNN_WINOGRAD_KIND(convolve_winograd_5, WINOGRAD_5)
FASTNN_WINOGRAD_KIND(convolve_winograd_3_by_2, WINOGRAD_3_BY_2)
FASTNN_WINOGRAD_KIND(convolve_winograd_4_by_2, WINOGRAD_4_BY_2)
FASTNN_WINOGRAD_KIND(convolve_winograd_5_by_2, WINOGRAD_5_BY_2)
FASTNN_WINOGRAD_KIND(convolve_winograd_3_by_2_back, WINOGRAD_3_BY_2 + WINOGRAD_BACK)
FASTNN_WINOGRAD_KIND(convolve_winograd_4_by_2_back, WINOGRAD_4_BY_2 + WINOGRAD_BACK)
FASTNN_WINOGRAD_KIND(convolve_winograd_5_by_2_back, WINOGRAD_5_BY_2 + WINOGRAD_BACK)
#undef FASTNN_WINOGRAD_KIND

static void NAME(convolve_winograd)(const NAME(winograd) * p, int64_t thread, int64_t threads) {
    switch (p->kind) {
        case WINOGRAD_3: NAME(convolve_winograd_3)(p, thread, threads); break;
        case WINOGRAD_5: NAME(convolve_winograd_5)(p, thread, threads); break;
        case WINOGRAD_3_BY_2: NAME(convolve_winograd_3_by_2)(p, thread, threads); break;
        case WINOGRAD_4_BY_2: NAME(convolve_winograd_4_by_2)(p, thread, threads); break;
        case WINOGRAD_5_BY_2: NAME(convolve_winograd_5_by_2)(p, thread, threads); break;
        case WINOGRAD_3_BY_2 + WINOGRAD_BACK: NAME(convolve_winograd_3_by_2_back)(p, thread, threads); break;
        case WINOGRAD_4_BY_2 + WINOGRAD_BACK: NAME(convolve_winograd_4_by_2_back)(p, thread, threads); break;
        case WINOGRAD_5_BY_2 + WINOGRAD_BACK: NAME(convolve_winograd_5_by_2_back)(p, thread, threads); break;
    }
}

#undef VECTOR
#undef LANES
