/* short_rows.h for one dtype: REAL and NAME are set there. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TURNED_ROWS (TURNED_TILES * LANES)

/* At most TURNED_ROWS rows: row i is lane i % LANES of tile i / LANES, and v[tile][j] its column j. The lanes
   beyond the last row are zero. Every step is done to all tiles before the next: a tile alone would wait for
   the results of each step. */
typedef struct {
    int rows, columns, tiles;
    VECTOR v[TURNED_TILES][SHORT_ROW];
} NAME(turned);

FASTNN_INLINE void NAME(load_turned)(const REAL *x, int64_t rows, int columns, NAME(turned) * block) {
    block->rows = rows < TURNED_ROWS ? (int)rows : TURNED_ROWS;
    block->columns = columns;
    block->tiles = (block->rows + LANES - 1) / LANES;
    for (int tile = 0; tile < block->tiles; tile++)
        for (int j = 0; j < columns; j += LANES) {
            const REAL *from = x + tile * LANES * columns + j;
            const int count = block->rows - tile * LANES, width = columns - j < LANES ? columns - j : LANES;
            VECTOR v[LANES];
            if (count >= LANES) NAME(load_rows)(from, columns, LANES, width, v);
            else NAME(load_rows)(from, columns, count, width, v);
            NAME(turn)(v);
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++) block->v[tile][j + i] = v[i];
        }
}

/* Whole vectors are stored wherever they end within the block, which is faster than partial ones: what the last
   columns of a row leave in the first of the next is overwritten, as those are stored later. */
FASTNN_INLINE void NAME(store_turned)(const NAME(turned) * block, REAL *y) {
    const int columns = block->columns, end = block->rows * columns;
    for (int tile = 0; tile < block->tiles; tile++)
        for (int j = (columns - 1) / LANES * LANES; j >= 0; j -= LANES) {
            VECTOR v[LANES];
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++) v[i] = block->v[tile][j + i];
            NAME(turn)(v);
            int at = tile * LANES * columns + j;
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++, at += columns) {
                if (at + LANES <= end) NAME(store)(y + at, v[i]);
                else if (at < end) NAME(store_partial)(y + at, v[i], columns - j < LANES ? columns - j : LANES);
            }
        }
}

/* Each row's maximum; a NaN may be passed over. Two chains, of every other column, wait half as long as one. */
FASTNN_INLINE void NAME(tops)(const NAME(turned) * x, VECTOR *top) {
    for (int tile = 0; tile < x->tiles; tile++) {
        const VECTOR *v = x->v[tile];
        VECTOR even = v[0], odd = v[x->columns - 1];
        for (int j = 1; j + 1 < x->columns; j += 2) {
            odd = NAME(larger)(v[j], odd);
            even = NAME(larger)(v[j + 1], even);
        }
        top[tile] = NAME(larger)(odd, even);
    }
}

/* e = e^(x - top), which may be x; total[tile] is each row's sum of e. */
FASTNN_INLINE void NAME(exp_turned)(const NAME(turned) * x, const VECTOR *top, NAME(turned) * e, VECTOR *total) {
    e->rows = x->rows;
    e->columns = x->columns;
    e->tiles = x->tiles;
    for (int tile = 0; tile < x->tiles; tile++) {
        VECTOR sum = {0};
        for (int j = 0; j < x->columns; j++) {
            e->v[tile][j] = NAME(exp_lanes)(x->v[tile][j] - top[tile]);
            sum += e->v[tile][j];
        }
        total[tile] = sum;
    }
}

static void NAME(softmax_short)(const REAL *x, REAL *y, int64_t rows, int columns) {
    NAME(turned) block;
    VECTOR top[TURNED_TILES], total[TURNED_TILES];
    for (int64_t i = 0; i < rows; i += TURNED_ROWS) {
        NAME(load_turned)(x + i * columns, rows - i, columns, &block);
        NAME(tops)(&block, top);
        NAME(exp_turned)(&block, top, &block, total);
        for (int tile = 0; tile < block.tiles; tile++) {
            const VECTOR factor = 1 / total[tile];
            for (int j = 0; j < columns; j++) block.v[tile][j] *= factor;
        }
        NAME(store_turned)(&block, y + i * columns);
    }
}

static void NAME(log_softmax_short)(const REAL *x, REAL *y, int64_t rows, int columns) {
    NAME(turned) block, e;
    VECTOR top[TURNED_TILES], total[TURNED_TILES];
    for (int64_t i = 0; i < rows; i += TURNED_ROWS) {
        NAME(load_turned)(x + i * columns, rows - i, columns, &block);
        NAME(tops)(&block, top);
        NAME(exp_turned)(&block, top, &e, total);
        for (int tile = 0; tile < block.tiles; tile++) {
            const VECTOR log_total = NAME(log_lanes)(total[tile]);
            for (int j = 0; j < columns; j++) block.v[tile][j] = block.v[tile][j] - top[tile] - log_total;
        }
        NAME(store_turned)(&block, y + i * columns);
    }
}

/* Classes as lanes of the size of REAL; zero beyond `count`. */
FASTNN_INLINE MASK NAME(load_classes)(const int64_t *classes, int count) {
    NAME(lane) lanes[LANES] = {0};
    MASK v;
    if (count == LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] = (NAME(lane))classes[lane];
    else
        for (int lane = 0; lane < count; lane++) lanes[lane] = (NAME(lane))classes[lane];
    memcpy(&v, lanes, sizeof v);
    return v;
}

/* log_loss_classes_with_logits of losses.pxi; weight, loss, a and dz may be NULL. */
static void NAME(log_loss_short)(const REAL *z, const int64_t *classes, const REAL *weight, REAL *loss, REAL *a,
                                 REAL *dz, REAL scale, int64_t rows, int columns) {
    NAME(turned) block, e;
    VECTOR top[TURNED_TILES], total[TURNED_TILES];
    for (int64_t i = 0; i < rows; i += TURNED_ROWS) {
        NAME(load_turned)(z + i * columns, rows - i, columns, &block);
        NAME(tops)(&block, top);
        NAME(exp_turned)(&block, top, &e, total);
        for (int tile = 0; tile < block.tiles; tile++) {
            const int64_t first = i + tile * LANES;
            const int count = rows - first < LANES ? (int)(rows - first) : LANES;
            const MASK of_class = NAME(load_classes)(classes + first, count);
            const VECTOR weights = weight ? NAME(load_partial)(weight + first, count) : (VECTOR){0} + 1;
            if (loss) {
                VECTOR z_of_class = {0};
                for (int j = 0; j < columns; j++)
                    z_of_class = (VECTOR)((MASK)z_of_class | ((MASK)block.v[tile][j] & (of_class == j)));
                const VECTOR terms = NAME(log_lanes)(total[tile]) + (top[tile] - z_of_class);
                NAME(store_partial)(loss + first, weights * terms, count);
            }
            const VECTOR factor = 1 / total[tile];
            if (a)
                for (int j = 0; j < columns; j++) block.v[tile][j] = factor * e.v[tile][j];
            if (dz) {
                const VECTOR scales = scale * weights, scaled = scales * factor;
                for (int j = 0; j < columns; j++)
                    e.v[tile][j] = scaled * e.v[tile][j] - (VECTOR)((MASK)scales & (of_class == j));
            }
        }
        if (a) NAME(store_turned)(&block, a + i * columns);
        if (dz) NAME(store_turned)(&e, dz + i * columns);
    }
}

#undef VECTOR
#undef MASK
#undef LANES
#undef TURNED_ROWS
