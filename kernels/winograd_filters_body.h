/* Winograd's form with channels and filters along the lanes, for one dtype: REAL and NAME are set by convolution.h. Few
   tiles would fill vectors badly; here they are the rows of matrix products. Planes of the source are turned, a vector of
   channels at a time, and planes of outputs turned back. The bits are those of winograd_body.h. */

#define VECTOR NAME(vector)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)
/* Outputs of a plane that are written together: several lines of the cache, as the planes may meet in the same sets. */
#define RUN (8 * LANES)

/* transpose, for which the sizes of whole blocks are constants. */
FASTNN_INLINE void NAME(turn_block)(const REAL *from, int64_t from_row, int rows, int columns, REAL *to,
                                    int64_t to_row) {
    if (rows == LANES && columns == LANES) NAME(transpose)(from, from_row, LANES, LANES, to, to_row);
    else NAME(transpose)(from, from_row, rows, columns, to, to_row);
}

/* The transformed source with channels along the lanes, and what it is made from. */
typedef struct {
    REAL *rows, *pixels; /* of one image, its rows with their padding, (LANES, channel), turned: (channel, LANES) */
    int64_t channel, width, offset[MAX_PIECE * MAX_PIECE]; /* of a row; of a piece in `pixels` */
    REAL *v;
    int64_t tile, place; /* steps of v, whose channels are adjacent */
} NAME(turned_source);

/* Lay out up to `rows` rows of tiles; returns the elements of rows and pixels. */
FASTNN_INLINE int64_t NAME(plan_turned)(const int kind, NAME(turned_source) * to, const NAME(winograd) * p,
                                        int64_t rows) {
    const int piece = winograd_piece(kind), step = winograd_step(kind);
    to->width = step * (p->columns.out - 1) + piece;
    for (int i = 0; i < piece * piece; i++) to->offset[i] = (i / piece * to->width + i % piece) * LANES;
    to->channel = round_up((step * (smaller(rows, p->rows.out) - 1) + piece) * to->width, LANES) + LANES;
    return 2 * LANES * to->channel;
}
static void NAME(place_source)(NAME(turned_source) * to, REAL *memory) {
    to->rows = memory;
    to->pixels = to->rows + LANES * to->channel;
    to->v = to->pixels + LANES * to->channel;
}

/* v = Bᵀ d B of `count` channels from e0 on, and a part of the rows of tiles, from tile `v` on. */
FASTNN_INLINE void NAME(turn_part)(const int kind, const NAME(turned_source) * to, const NAME(winograd) * p,
                                   int64_t e0, int64_t count, image_part part, REAL *v) {
    const int step = winograd_step(kind);
    const int64_t height = p->rows.source, width = p->columns.source, left = p->columns.pad;
    const int64_t above = p->rows.pad - step * part.first, high = step * (part.count - 1) + winograd_piece(kind);
    const int64_t begin = larger(0, -left), columns = smaller(width, to->width - left) - begin;
    const REAL *planes = p->source + (part.image * p->channels + e0) * height * width;
    memset(to->rows, 0, (size_t)(LANES * to->channel) * sizeof(REAL));
    for (int64_t e = 0; e < count; e += LANES) {
        const int channels = (int)smaller(LANES, count - e);
        for (int k = 0; k < channels; k++)
            for (int64_t i = larger(0, -above); i < smaller(height, high - above); i++)
                NAME(copy_row)(planes + ((e + k) * height + i) * width + begin, columns,
                               to->rows + k * to->channel + (i + above) * to->width + begin + left);
        for (int64_t j = 0; j < high * to->width; j += LANES)
            NAME(turn_block)(to->rows + j, to->channel, channels, LANES, to->pixels + j * LANES, LANES);
        REAL *tile = v + e;
        for (int64_t i = 0; i < part.count; i++)
            for (int64_t j = 0; j < p->columns.out; j++, tile += to->tile)
                NAME(transform_source)(kind, to->pixels + step * (i * to->width + j) * LANES, to->offset, 1, tile,
                                       to->place);
    }
}

/* v of `count` channels of group g from e0 on, and the rows of tiles [begin, end), counted through all images. */
FASTNN_INLINE void NAME(turn_source)(const int kind, const NAME(turned_source) * to, const NAME(winograd) * p,
                                     int64_t g, int64_t e0, int64_t count, int64_t begin, int64_t end) {
    image_part part;
    for (int64_t at = begin; at < end; at += part.count) {
        part = NAME(part_from)(p, g, at, end);
        NAME(turn_part)(kind, to, p, e0, count, part, to->v + (at - begin) * p->columns.out * to->tile);
    }
}

/* A block of rows of tiles, counted through all images. */
typedef struct {
    int64_t begin, end;
    NAME(turned_source) source; /* v (tiles, places, channels) */
    REAL *m; /* (sums, tiles, TILE_COLUMNS) */
    int64_t m_sum;
    REAL *z; /* the outputs of one image, (pixels, TILE_COLUMNS) */
} NAME(winograd_block);

/* Lay out the block of `rows` rows of tiles; returns its elements. */
FASTNN_INLINE int64_t NAME(plan_block)(const int kind, NAME(winograd_block) * to, const NAME(winograd) * p,
                                       int64_t rows) {
    const int places = winograd_side(kind) * winograd_side(kind), sums = winograd_sums(kind) * winograd_sums(kind);
    const int64_t tiles = rows * p->columns.out, source_size = NAME(plan_turned)(kind, &to->source, p, rows);
    to->source.place = round_up(p->channels, LANES);
    to->source.tile = places * to->source.place + LANES; /* tiles and places must not meet in the same sets of L1 */
    to->m_sum = tiles * TILE_COLUMNS + LANES;
    return source_size + tiles * to->source.tile + sums * to->m_sum +
           winograd_outputs(kind) * smaller(rows, p->rows.out) * p->out_w * TILE_COLUMNS;
}
static void NAME(place_block)(NAME(winograd_block) * to, int64_t tiles, int64_t sums, REAL *memory) {
    NAME(place_source)(&to->source, memory);
    to->m = to->source.v + tiles * to->source.tile;
    to->z = to->m + sums * to->m_sum;
}

/* u, for each sum (places, channels, TILE_COLUMNS), = G g Gᵀ of a panel of `columns` filters, whose weights are turned
   to `taps`, those of LANES channels at a time. */
FASTNN_INLINE void NAME(transform_panel)(const int kind, const NAME(winograd) * p, const REAL *weight, int columns,
                                         REAL *taps, REAL *u, int64_t place) {
    const int window = winograd_of(kind)->taps * winograd_of(kind)->taps;
    for (int64_t e0 = 0; e0 < p->channels; e0 += LANES) {
        const int64_t count = smaller(LANES, p->channels - e0), adjacent = p->weight_channel == window ? count : 1;
        for (int64_t e = 0; e < count; e += adjacent)
            NAME(pack_panel)(adjacent * window, columns, weight + (e0 + e) * p->weight_channel, 1, p->weight_filter,
                             taps + e * window * TILE_COLUMNS);
        for (int64_t e = 0; e < count; e++)
            for (int j = 0; j < columns; j += LANES)
                NAME(expand_window)(kind, taps + e * window * TILE_COLUMNS + j, TILE_COLUMNS, p->turned,
                                    u + (e0 + e) * TILE_COLUMNS + j, place, 0, p->channels * TILE_COLUMNS, LANES);
    }
}

/* m = Σ over places and channels of v u, of `tiles` tiles and a panel of `columns` filters, or some more. */
FASTNN_INLINE void NAME(multiply_places)(const int kind, const NAME(winograd_block) * block, int64_t channels,
                                         int64_t tiles, int columns, const REAL *u, int64_t u_place) {
    const int sums = winograd_sums(kind), whole = (int)round_up(columns, LANES);
    for (int sum = 0; sum < sums * sums; sum++) {
        const winograd_places at = places_of_sum(kind, sum / sums, sum % sums);
        NAME(product) product = {.m = tiles, .n = whole, .k = channels, .a_row = block->source.tile, .a_column = 1,
                                 .b_row = TILE_COLUMNS, .c = block->m + sum * block->m_sum, .c_row = TILE_COLUMNS,
                                 .start_row = TILE_COLUMNS};
        for (int i = 0; i < at.count; i++) {
            NAME(panel)(tiles, whole, &product, 0, 0, block->source.v + (at.begin + i) * block->source.place,
                        u + at.begin * u_place + i * channels * TILE_COLUMNS);
            product.start = product.c; /* the chain goes on */
        }
    }
}

/* y = relu?(Aᵀ m A + bias) of a part of the block, from tile `m` on, and `columns` filters from f on. */
FASTNN_INLINE void NAME(write_part)(const int kind, const NAME(winograd_block) * block, const NAME(winograd) * p,
                                    image_part part, const REAL *m, int64_t f, int columns, const REAL *bias) {
    const int outputs = winograd_outputs(kind);
    const int64_t top = outputs * part.first - (winograd_is_back(kind) ? p->above : 0);
    const int64_t left = winograd_is_back(kind) ? p->left : 0, row = p->out_w * TILE_COLUMNS;
    const int64_t begin = larger(0, top), end = smaller(p->out_h, top + outputs * part.count);
    for (int64_t i = top; i < top + outputs * part.count; i += outputs)
        for (int64_t j = -left; j < p->out_w; j += outputs, m += TILE_COLUMNS) {
            REAL *z = block->z + (i - begin) * row + j * TILE_COLUMNS;
            const int whole = i >= begin && i + outputs <= end && j >= 0 && j + outputs <= p->out_w;
            for (int lane = 0; lane < columns; lane += LANES) {
                VECTOR tile[MAX_OUTPUTS][MAX_OUTPUTS];
                NAME(tile_outputs)(kind, m + lane, block->m_sum, NAME(load)(bias + lane), p->relu, tile);
#pragma GCC unroll 4
                for (int a = 0; a < outputs; a++)
#pragma GCC unroll 4
                    for (int b = 0; b < outputs; b++)
                        if (whole || (i + a >= begin && i + a < end && j + b >= 0 && j + b < p->out_w))
                            NAME(store)(z + a * row + b * TILE_COLUMNS + lane, tile[a][b]);
            }
        }
    const int64_t plane = p->out_h * p->out_w, pixels = larger(0, end - begin) * p->out_w;
    const int64_t to = (part.image * p->filters + f) * plane + begin * p->out_w;
    for (int lane = 0; lane < columns; lane += LANES)
        for (int64_t j = 0; j < pixels; j += RUN) {
            const int count = (int)smaller(LANES, columns - lane);
            const int64_t run = smaller(RUN, pixels - j);
            const REAL *z = block->z + j * TILE_COLUMNS + lane;
            REAL turned[LANES * RUN];
            for (int64_t k = 0; k < run; k += LANES, z += LANES * TILE_COLUMNS)
                NAME(turn_block)(z, TILE_COLUMNS, (int)smaller(LANES, run - k), count, turned + k, RUN);
            for (int i = 0; i < count; i++) {
                REAL *y = p->y + to + (lane + i) * plane + j;
                NAME(copy_row)(turned + i * RUN, run, y);
                for (int64_t ahead = run; ahead < run + RUN; ahead += 64 / (int64_t)sizeof(REAL))
                    __builtin_prefetch(y + ahead, 1);
            }
        }
    for (int i = 0; p->mask && i < columns; i++)
        NAME(apply_mask)(pixels, p->mask + to + i * plane, p->y + to + i * plane);
}

/* Units of work: blocks of rows of tiles, of all images, of one group; or panels of filters, where those blocks are
   fewer than the threads and the panels aren't. */
FASTNN_INLINE void NAME(run_winograd_filters)(const int kind, const NAME(winograd) * p, int64_t thread,
                                              int64_t threads) {
    const int places = winograd_side(kind) * winograd_side(kind), sums = winograd_sums(kind) * winograd_sums(kind);
    const int64_t all_rows = p->images * p->rows.out, width = p->columns.out;
    const int64_t panels = ceil_divide(p->filters, TILE_COLUMNS);
    const int64_t most = smaller(panels, WINOGRAD_FILTERS / TILE_COLUMNS); /* whose weights are kept */
    int64_t blocks = ceil_divide(all_rows, larger(1, WINOGRAD_TILES / width));
    const int by_panels = blocks < threads && panels >= threads;
    if (!by_panels) blocks = round_up(blocks, threads);
    const int64_t rows = ceil_divide(all_rows, blocks);
    blocks = ceil_divide(all_rows, rows);
    const int64_t first_panel = by_panels ? panels * thread / threads : 0;
    const int64_t last_panel = by_panels ? panels * (thread + 1) / threads : panels;
    const int64_t first_block = by_panels ? 0 : blocks * thread / threads;
    const int64_t last_block = by_panels ? blocks : blocks * (thread + 1) / threads;
    NAME(winograd_block) block;
    const int64_t block_size = NAME(plan_block)(kind, &block, p, rows);
    const int64_t taps_size = winograd_of(kind)->taps * winograd_of(kind)->taps * LANES * TILE_COLUMNS;
    const int64_t u_place = p->channels * TILE_COLUMNS + LANES, u_size = places * u_place;
    REAL *taps = arena((size_t)(taps_size + most * u_size + block_size) * sizeof(REAL)), *u = taps + taps_size;
    NAME(place_block)(&block, rows * width, sums, u + most * u_size);
    for (int64_t g = 0; g < p->groups; g++)
        for (int64_t panel = first_panel; panel < last_panel; panel += most) {
            const int64_t f0 = panel * TILE_COLUMNS;
            const int64_t end = smaller(p->filters, smaller(last_panel, panel + most) * TILE_COLUMNS);
            const REAL *weight = p->weight + g * p->weight_group;
            for (int64_t f = f0; f < end; f += TILE_COLUMNS)
                NAME(transform_panel)(kind, p, weight + f * p->weight_filter, (int)smaller(TILE_COLUMNS, end - f), taps,
                                      u + (f - f0) / TILE_COLUMNS * u_size, u_place);
            for (int64_t unit = first_block; unit < last_block; unit++) {
                block.begin = unit * rows;
                block.end = smaller(all_rows, block.begin + rows);
                NAME(turn_source)(kind, &block.source, p, g, 0, p->channels, block.begin, block.end);
                for (int64_t f = f0; f < end; f += TILE_COLUMNS) {
                    const int columns = (int)smaller(TILE_COLUMNS, end - f);
                    REAL bias[TILE_COLUMNS] = {0};
                    for (int i = 0; p->bias && i < columns; i++) bias[i] = p->bias[g * p->filters + f + i];
                    NAME(multiply_places)(kind, &block, p->channels, (block.end - block.begin) * width, columns,
                                          u + (f - f0) / TILE_COLUMNS * u_size, u_place);
                    image_part part;
                    for (int64_t at = block.begin; at < block.end; at += part.count) {
                        part = NAME(part_from)(p, g, at, block.end);
                        NAME(write_part)(kind, &block, p, part, block.m + (at - block.begin) * width * TILE_COLUMNS, f,
                                         columns, bias);
                    }
                }
            }
        }
}

#undef VECTOR
#undef LANES
#undef TILE_COLUMNS
#undef RUN
