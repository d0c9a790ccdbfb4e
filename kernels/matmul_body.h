/* The matrix product for one dtype: REAL and NAME are set by matmul.h, which includes this file twice. */

#define VECTOR NAME(vector)
#define MASK NAME(mask)
#define LANES ((int)(VECTOR_BYTES / sizeof(REAL)))
#define TILE_COLUMNS (2 * LANES)

/* One product: c (m, n) = relu?(start + a (m, k) b (k, n)) · 1[mask > 0]?, strides in elements.
   `start` is what the sums begin from: the bias (start_row = 0), c itself (start_row = c_row) or NULL.
   c may alias none of the others, but for start == c. */
typedef struct {
    int64_t m, n, k;
    const REAL *a;
    int64_t a_row, a_column;
    const REAL *b;
    int64_t b_row, b_column;
    REAL *c;
    int64_t c_row;
    const REAL *start;
    int64_t start_row;
    const REAL *mask;
    int64_t mask_row;
    int relu;
} NAME(product);

/* A NaN stays. */
FASTNN_INLINE VECTOR NAME(relu_vector)(VECTOR x) { return NAME(larger)((VECTOR){0}, x); }

/* The register tile: `rows` x `vectors` accumulators of c from (i, j) on. The three counts are constants at every
   call, so each call becomes its own unrolled loop; with `partial` the last vector has only `tail` columns.
   a is the first of its rows, b its panel, whose columns must be adjacent (b_column == 1). */
FASTNN_INLINE void NAME(tile)(const int rows, const int vectors, const int partial, int tail,
                              const NAME(product) * p, int64_t i0, int64_t j0, const REAL *a, const REAL *b) {
    VECTOR sum[TILE_ROWS][WIDE_VECTORS];
#define LAST(j) (partial && (j) == vectors - 1)
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++) {
            if (!p->start) sum[i][j] = (VECTOR){0};
            else {
                const REAL *at = p->start + (i0 + i) * p->start_row + j0 + j * LANES;
                sum[i][j] = LAST(j) ? NAME(load_partial)(at, tail) : NAME(load)(at);
            }
        }
    const int64_t a_row = p->a_row, a_column = p->a_column, b_row = p->b_row;
    for (int64_t k = p->k; k > 0; k--) {
        VECTOR b_k[WIDE_VECTORS];
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++)
            b_k[j] = LAST(j) ? NAME(load_partial)(b + j * LANES, tail) : NAME(load)(b + j * LANES);
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            const REAL a_ik = a[i * a_row];
#pragma GCC unroll 16
            for (int j = 0; j < vectors; j++) sum[i][j] += a_ik * b_k[j];
        }
        a += a_column;
        b += b_row;
    }
    if (p->relu)
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
            for (int j = 0; j < vectors; j++) sum[i][j] = NAME(relu_vector)(sum[i][j]);
    if (p->mask)
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
            for (int j = 0; j < vectors; j++) {
                const REAL *at = p->mask + (i0 + i) * p->mask_row + j0 + j * LANES;
                const VECTOR mask = LAST(j) ? NAME(load_partial)(at, tail) : NAME(load)(at);
                sum[i][j] = (VECTOR)((MASK)sum[i][j] & (mask > (VECTOR){0}));
            }
    const int64_t c_row = p->c_row;
    REAL *c = p->c + i0 * c_row + j0;
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 16
        for (int j = 0; j < vectors; j++) {
            REAL *to = c + i * c_row + j * LANES;
            if (LAST(j)) NAME(store_partial)(to, sum[i][j], tail);
            else NAME(store)(to, sum[i][j]);
        }
#undef LAST
}

/* A tile of fewer than TILE_ROWS rows; of none, nothing. */
#define FASTNN_TILE_CASE(rows)                                                                               \
    case rows:                                                                                               \
        NAME(tile)(rows, vectors, partial, tail, p, i, j, a, b);                                             \
        break;
FASTNN_INLINE void NAME(tile_rows)(int rows, const int vectors, const int partial, int tail,
                                   const NAME(product) * p, int64_t i, int64_t j, const REAL *a, const REAL *b) {
    switch (rows) {
        FASTNN_TILE_CASE(1)
        FASTNN_TILE_CASE(2)
        FASTNN_TILE_CASE(3)
#if TILE_ROWS >= 6
        FASTNN_TILE_CASE(4)
        FASTNN_TILE_CASE(5)
#endif
#if TILE_ROWS >= 8
        FASTNN_TILE_CASE(6)
        FASTNN_TILE_CASE(7)
#endif
    }
}
#undef FASTNN_TILE_CASE

/* `rows` rows of c from (i, j) on at a panel of b: tile after tile. */
FASTNN_INLINE void NAME(panel_rows)(const int vectors, const int partial, int tail, int64_t rows,
                                    const NAME(product) * p, int64_t i, int64_t j, const REAL *a, const REAL *b) {
    for (; rows >= TILE_ROWS; rows -= TILE_ROWS, i += TILE_ROWS, a += TILE_ROWS * p->a_row)
        NAME(tile)(TILE_ROWS, vectors, partial, tail, p, i, j, a, b);
    NAME(tile_rows)((int)rows, vectors, partial, tail, p, i, j, a, b);
}

/* The same for a panel of any width up to TILE_COLUMNS. */
static void NAME(panel)(int64_t rows, int columns, const NAME(product) * p, int64_t i, int64_t j, const REAL *a,
                        const REAL *b) {
    if (columns == TILE_COLUMNS) NAME(panel_rows)(2, 0, 0, rows, p, i, j, a, b);
    else if (columns > LANES) NAME(panel_rows)(2, 1, columns - LANES, rows, p, i, j, a, b);
    else if (columns == LANES) NAME(panel_rows)(1, 0, 0, rows, p, i, j, a, b);
    else NAME(panel_rows)(1, 1, columns, rows, p, i, j, a, b);
}

static inline int64_t NAME(smaller)(int64_t a, int64_t b) { return a < b ? a : b; }

/* One or two rows of c at a panel of 3 to 8 vectors, of which the last has `tail` columns with `partial`. */
FASTNN_INLINE void NAME(wide_tile)(const int vectors, const int partial, int tail, const NAME(product) * p,
                                   int64_t j) {
    if (p->m == 1) NAME(tile)(1, vectors, partial, tail, p, 0, j, p->a, p->b + j);
    else NAME(tile)(2, vectors, partial, tail, p, 0, j, p->a, p->b + j);
}

/* One or two rows take wide panels, to read b's rows in long runs and to have enough independent sums; returns the
   columns done: all but at most TILE_COLUMNS. */
static int64_t NAME(wide_panels)(const NAME(product) * p) {
    int64_t j = 0;
    if (p->m == 1)
        for (; p->n - j >= WIDE_VECTORS * LANES; j += WIDE_VECTORS * LANES)
            NAME(tile)(1, WIDE_VECTORS, 0, 0, p, 0, j, p->a, p->b + j);
    for (; p->n - j >= 8 * LANES; j += 8 * LANES) NAME(wide_tile)(8, 0, 0, p, j);
    const int64_t left = p->n - j;
    if (left <= TILE_COLUMNS) return j;
    const int tail = (int)(left % LANES);
    switch (left / LANES + (tail > 0)) {
#define FASTNN_WIDE_CASE(vectors)                                                                            \
    case vectors:                                                                                            \
        if (tail) NAME(wide_tile)(vectors, 1, tail, p, j);                                                   \
        else NAME(wide_tile)(vectors, 0, 0, p, j);                                                           \
        break;
        FASTNN_WIDE_CASE(3)
        FASTNN_WIDE_CASE(4)
        FASTNN_WIDE_CASE(5)
        FASTNN_WIDE_CASE(6)
        FASTNN_WIDE_CASE(7)
        FASTNN_WIDE_CASE(8)
#undef FASTNN_WIDE_CASE
    }
    return p->n;
}

/* b read where it lies: all of k in one pass, panel after panel. */
static void NAME(multiply_in_place)(const NAME(product) * p) {
    for (int64_t j = p->m <= 2 ? NAME(wide_panels)(p) : 0; j < p->n; j += TILE_COLUMNS)
        NAME(panel)(p->m, (int)NAME(smaller)(TILE_COLUMNS, p->n - j), p, 0, j, p->a, p->b + j);
}

/* A block (rows, columns) of at most LANES x LANES, zeros around it, transposed. */
FASTNN_INLINE void NAME(transpose)(const REAL *from, int64_t from_row, int rows, int columns, REAL *to,
                                   int64_t to_row) {
    VECTOR v[LANES];
    NAME(load_rows)(from, from_row, rows, columns, v);
    if (columns <= LANES / 2) {
        NAME(turn_narrow)(v);
#pragma GCC unroll 8
        for (int i = 0; i < LANES / 2; i++)
            if (i < columns) NAME(store)(to + i * to_row, v[i]);
        return;
    }
    NAME(turn)(v);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        if (i < columns) NAME(store)(to + i * to_row, v[i]);
}

/* Pack a block of b (k, columns <= TILE_COLUMNS) as a panel (k, TILE_COLUMNS), zeros beyond its columns;
   either b's columns are adjacent (b_column == 1) or its rows are (b_row == 1). */
static void NAME(pack_panel)(int64_t k, int columns, const REAL *b, int64_t b_row, int64_t b_column,
                             REAL *panel) {
    if (b_column == 1) {
        if (columns == TILE_COLUMNS)
            for (int64_t p = 0; p < k; p++) {
                __builtin_prefetch(b + (p + PACK_AHEAD) * b_row);
                __builtin_prefetch(b + (p + PACK_AHEAD) * b_row + LANES);
                NAME(store)(panel + p * TILE_COLUMNS, NAME(load)(b + p * b_row));
                NAME(store)(panel + p * TILE_COLUMNS + LANES, NAME(load)(b + p * b_row + LANES));
            }
        else
            for (int64_t p = 0; p < k; p++)
                for (int half = 0; half < TILE_COLUMNS; half += LANES) {
                    const int width = columns - half < LANES ? columns - half : LANES;
                    NAME(store)(panel + p * TILE_COLUMNS + half,
                                width <= 0 ? (VECTOR){0} : NAME(load_partial)(b + p * b_row + half, width));
                }
        return;
    }
    for (int half = 0; half < TILE_COLUMNS; half += LANES) {
        const int width = columns - half < LANES ? columns - half : LANES;
        const REAL *from = b + half * b_column;
        REAL *to = panel + half;
        int64_t p = 0;
        if (width == LANES)
            for (; p + LANES <= k; p += LANES) {
                for (int j = LANES; j < 2 * LANES; j++) __builtin_prefetch(from + p + j * b_column);
                NAME(transpose)(from + p, b_column, LANES, LANES, to + p * TILE_COLUMNS, TILE_COLUMNS);
            }
        for (; p < k; p += LANES)
            NAME(transpose)(from + p, b_column, width, (int)NAME(smaller)(LANES, k - p),
                            to + p * TILE_COLUMNS, TILE_COLUMNS);
    }
}

/* Whether a's tiles are better packed, too. */
FASTNN_INLINE int NAME(scattered)(const NAME(product) * p) {
    const int one_set = p->a_column * (int64_t)sizeof(REAL) % L1_WAY_BYTES == 0;
    return p->a_column != 1 && p->k >= (one_set ? PACK_A_MIN_K_OF_ONE_SET : PACK_A_MIN_K) &&
           p->n >= PACK_A_MIN_PANELS * TILE_COLUMNS;
}

/* Elements from one packed tile of a to the next; the last vector stored in one may run over. */
FASTNN_INLINE int64_t NAME(packed_tile)(int64_t k) { return k * TILE_ROWS + LANES; }

/* Copy the tiles of an a (m, k) whose rows are adjacent (a_row == 1) to (k, TILE_ROWS) each. */
static void NAME(pack_tiles)(int64_t m, int64_t k, const REAL *a, int64_t a_column, REAL *to) {
    for (int64_t p0 = 0; p0 < k; p0 += LANES) /* a line of a is still in L1 when the next tile reads on in it */
        for (int64_t i = 0; i < m; i += TILE_ROWS) {
            REAL *tile = to + i / TILE_ROWS * NAME(packed_tile)(k);
            for (int64_t p = p0; p < NAME(smaller)(p0 + LANES, k); p++)
                for (int64_t row = 0; row < NAME(smaller)(TILE_ROWS, m - i); row += LANES) {
                    const REAL *from = a + p * a_column + i + row;
                    const int64_t left = m - i - row;
                    NAME(store)(tile + p * TILE_ROWS + row,
                                left >= LANES ? NAME(load)(from) : NAME(load_partial)(from, (int)left));
                }
        }
}

/* b packed panel by panel, each for all rows of an a that stays near by: then no block of b is written and read. */
static void NAME(multiply_panels)(const NAME(product) * p) {
    NAME(product) packed = *p;
    REAL *panel = arena((size_t)(p->k * TILE_COLUMNS) * sizeof(REAL));
    packed.b_row = TILE_COLUMNS;
    for (int64_t j = 0; j < p->n; j += TILE_COLUMNS) {
        const int columns = (int)NAME(smaller)(TILE_COLUMNS, p->n - j);
        NAME(pack_panel)(p->k, columns, p->b + j * p->b_column, p->b_row, p->b_column, panel);
        NAME(panel)(p->m, columns, &packed, 0, j, p->a, panel);
    }
}

/* b packed block by block, so that the tile reads it in one run however far apart its rows lie. */
static void NAME(multiply_packed)(const NAME(product) * p) {
    const int pack_a = NAME(scattered)(p);
    const int64_t most_k = pack_a ? BLOCK_K / 2 : BLOCK_K, block_n = BLOCK_BYTES / (most_k * (int64_t)sizeof(REAL));
    const int64_t block_columns = NAME(smaller)(block_n, (p->n + TILE_COLUMNS - 1) / TILE_COLUMNS * TILE_COLUMNS);
    const int64_t block_k = NAME(smaller)(most_k, p->k), b_size = block_columns * block_k;
    const int64_t a_size = pack_a ? BLOCK_TILES * NAME(packed_tile)(block_k) : 0;
    REAL *packed = arena((size_t)(b_size + a_size) * sizeof(REAL)), *packed_a = packed + b_size;
    for (int64_t j0 = 0; j0 < p->n; j0 += block_n) {
        const int64_t n = NAME(smaller)(block_n, p->n - j0);
        for (int64_t k0 = 0; k0 < p->k; k0 += block_k) {
            const int64_t k = NAME(smaller)(block_k, p->k - k0);
            for (int64_t j = 0; j < n; j += TILE_COLUMNS)
                NAME(pack_panel)(k, (int)NAME(smaller)(TILE_COLUMNS, n - j),
                                 p->b + k0 * p->b_row + (j0 + j) * p->b_column, p->b_row, p->b_column,
                                 packed + j * k);
            /* The blocks between the first and the last continue from c and leave the epilogue alone. */
            NAME(product) block = *p;
            const REAL *a = p->a + k0 * p->a_column;
            block.k = k;
            block.b_row = TILE_COLUMNS;
            if (pack_a) block.a_column = TILE_ROWS;
            if (k0 > 0) {
                block.start = p->c;
                block.start_row = p->c_row;
            }
            if (k0 + k < p->k) {
                block.relu = 0;
                block.mask = NULL;
            }
            for (int64_t i = 0; i < p->m; i += TILE_ROWS) {
                const int rows = (int)NAME(smaller)(TILE_ROWS, p->m - i);
                const int64_t packed_tiles = i / TILE_ROWS % BLOCK_TILES;
                if (pack_a && packed_tiles == 0)
                    NAME(pack_tiles)(NAME(smaller)(BLOCK_TILES * TILE_ROWS, p->m - i), k, a + i, p->a_column, packed_a);
                const REAL *a_tile = pack_a ? packed_a + packed_tiles * NAME(packed_tile)(k) : a + i * p->a_row;
                for (int64_t j = 0; j < n; j += TILE_COLUMNS)
                    NAME(panel)(rows, (int)NAME(smaller)(TILE_COLUMNS, n - j), &block, i, j0 + j, a_tile, packed + j * k);
            }
        }
    }
}

/* The epilogue of `columns` sums of c from (i, j) on. */
FASTNN_INLINE VECTOR NAME(finished)(const NAME(product) * p, VECTOR sum, int64_t i, int64_t j, int columns) {
    if (p->relu) sum = NAME(relu_vector)(sum);
    if (p->mask)
        sum = (VECTOR)((MASK)sum & (NAME(load_partial)(p->mask + i * p->mask_row + j, columns) > (VECTOR){0}));
    return sum;
}

/* One row against a transposed b (b_row == 1): blocks of b are turned in registers, not packed. */
static void NAME(multiply_row)(const NAME(product) * p) {
    for (int64_t j = 0; j < p->n; j += LANES) {
        const int columns = (int)NAME(smaller)(LANES, p->n - j);
        VECTOR sum = p->start ? NAME(load_partial)(p->start + j, columns) : (VECTOR){0};
        for (int64_t k0 = 0; k0 < p->k; k0 += LANES) {
            const int count = (int)NAME(smaller)(LANES, p->k - k0);
            const REAL *a = p->a + k0 * p->a_column;
            VECTOR b[LANES];
            NAME(load_rows)(p->b + k0 + j * p->b_column, p->b_column, columns, count, b);
            NAME(turn)(b);
#pragma GCC unroll 16
            for (int k = 0; k < LANES; k++)
                if (k < count) sum += a[k * p->a_column] * b[k];
        }
        NAME(store_partial)(p->c + j, NAME(finished)(p, sum, 0, j, columns), columns);
    }
}

/* An outer product (k == 1) without an epilogue: the gradient by the weights of a batch of one row.
   Begun at zero like every other sum: -0 becomes 0. */
static void NAME(multiply_outer)(const NAME(product) * p) {
    const VECTOR zero = {0};
    const REAL *a = p->a;
    REAL *c = p->c;
    if (p->n == LANES) {
        const VECTOR b = NAME(load)(p->b);
        for (int64_t i = 0; i < p->m; i++, a += p->a_row, c += p->c_row) NAME(store)(c, zero + *a * b);
        return;
    }
    const int tail = (int)(p->n % LANES);
    const int64_t whole = p->n - tail;
    const VECTOR last = NAME(load_partial)(p->b + whole, tail);
    for (int64_t i = 0; i < p->m; i++, a += p->a_row, c += p->c_row) {
        for (int64_t j = 0; j < whole; j += LANES) NAME(store)(c + j, zero + *a * NAME(load)(p->b + j));
        if (tail) NAME(store_partial)(c + whole, zero + *a * last, tail);
    }
}

/* Whether to make cᵀ = bᵀ aᵀ, with a along the lanes, and turn it: a transposed a (a_row == 1) by few columns, so that
   vectors are full; or few rows by a transposed b, which is then read where it lies, instead of packed. */
FASTNN_INLINE int NAME(turning_pays)(const NAME(product) * p) {
    if (p->start) return 0;
    if (p->b_column != 1) {
        if (p->m > TURN_MAX_ROWS) return 0;
        /* Packing b costs the multiply-adds of LANES rows; empty lanes, and panels of one vector, some. */
        const int64_t lanes = (p->m + LANES - 1) / LANES * LANES;
        const int64_t saved = LANES + p->m - lanes - (lanes % TILE_COLUMNS ? LANES * 3 / 8 : 0);
        return saved * p->n * p->k > LANES * ((p->a_row == 1 ? 0 : p->m * p->k) + TURN_COST * p->m * p->n);
    }
    return p->a_row == 1 && p->a_column != 1 && p->m >= 2 * LANES && p->n <= NAME(smaller)(TURN_MAX_COLUMNS, LANES) &&
           p->k >= TURN_MIN_K && p->k * p->m * (int64_t)sizeof(REAL) <= TURN_MAX_BYTES;
}

/* Columns [j0, j0 + n) of c from their transpose, with the epilogue. */
static void NAME(turn_back)(const NAME(product) * p, const REAL *turned, int64_t j0, int64_t n) {
    const int64_t m = p->m, c_row = p->c_row;
    const int plain = !p->relu && !p->mask;
    for (int64_t j = 0; j < n; j += LANES, turned += LANES * m) {
        const int columns = (int)NAME(smaller)(LANES, n - j);
        for (int64_t i = 0; i < m; i += LANES) {
            VECTOR v[LANES];
            const int rows = (int)NAME(smaller)(LANES, m - i);
            NAME(load_rows)(turned + i, m, columns, rows, v);
            NAME(turn)(v);
            REAL *c = p->c + i * c_row + j0 + j;
            for (int row = 0; row < rows; row++, c += c_row) {
                if (!plain) v[row] = NAME(finished)(p, v[row], i + row, j0 + j, columns);
                NAME(store_partial)(c, v[row], columns);
            }
        }
    }
}

/* The sums are the same chains. */
static void NAME(multiply_turned)(const NAME(product) * p) {
    const int64_t block_n = NAME(smaller)(TURN_COLUMNS, p->n), panel_size = BLOCK_K * TILE_COLUMNS;
    REAL *panel = arena((size_t)(panel_size + block_n * p->m) * sizeof(REAL)), *turned = panel + panel_size;
    for (int64_t j = 0; j < p->n; j += block_n) {
        NAME(product) q = {.m = NAME(smaller)(block_n, p->n - j), .n = p->m, .c = turned, .c_row = p->m,
                           .a_row = p->b_column, .a_column = p->b_row, .start_row = p->m};
        for (int64_t k0 = 0; k0 < p->k; k0 += BLOCK_K, q.start = turned) {
            q.k = NAME(smaller)(BLOCK_K, p->k - k0);
            for (int64_t i = 0; i < p->m; i += TILE_COLUMNS) {
                const int width = (int)NAME(smaller)(TILE_COLUMNS, p->m - i);
                const REAL *a = p->a + i * p->a_row + k0 * p->a_column;
                if (p->a_row == 1) q.b_row = p->a_column;
                else {
                    NAME(pack_panel)(q.k, width, a, p->a_column, p->a_row, panel);
                    q.b_row = TILE_COLUMNS;
                    a = panel;
                }
                NAME(panel)(q.m, width, &q, 0, i, p->b + j * p->b_column + k0 * p->b_row, a);
            }
        }
        NAME(turn_back)(p, turned, j, q.m);
    }
}

#include "dots_body.h"

/* Reduce p to share number `thread`: whole tiles of rows or of columns, whichever there are more of. */
static void NAME(take_share)(NAME(product) * p, int64_t thread, int64_t threads) {
    const int64_t row_tiles = (p->m + TILE_ROWS - 1) / TILE_ROWS;
    const int64_t column_tiles = (p->n + TILE_COLUMNS - 1) / TILE_COLUMNS;
    int64_t i = 0, j = 0;
    if (column_tiles >= 2 * threads || column_tiles > row_tiles) {
        j = column_tiles * thread / threads * TILE_COLUMNS;
        p->n = NAME(smaller)(p->n, column_tiles * (thread + 1) / threads * TILE_COLUMNS) - j;
    } else {
        i = row_tiles * thread / threads * TILE_ROWS;
        p->m = NAME(smaller)(p->m, row_tiles * (thread + 1) / threads * TILE_ROWS) - i;
    }
    p->a += i * p->a_row;
    p->b += j * p->b_column;
    p->c += i * p->c_row + j;
    if (p->start) p->start += i * p->start_row + j;
    if (p->mask) p->mask += i * p->mask_row + j;
}

/* Compute share number `thread` of the product, to which p is reduced. (A copy of a p that has just been written
   would wait: vectors can't be loaded from stores on their way that are narrower.) */
static void NAME(multiply)(NAME(product) * p, int64_t thread, int64_t threads) {
    /* Chosen by the shape of b alone: a row has the same bits in any batch. */
    const int dots = p->n <= DOT_MAX_COLUMNS && p->k >= DOT_MIN_K && p->k <= DOT_MAX_K;
    if (threads > 1) NAME(take_share)(p, thread, threads);
    if (p->m <= 0 || p->n <= 0) return;
    if (dots) {
        NAME(multiply_dots)(p);
        return;
    }
    if (p->m == 1 && p->b_column != 1) {
        NAME(multiply_row)(p);
        return;
    }
    if (p->k == 1 && p->b_column == 1 && !p->start && !p->relu && !p->mask) {
        NAME(multiply_outer)(p);
        return;
    }
    if (NAME(turning_pays)(p)) {
        NAME(multiply_turned)(p);
        return;
    }
    const int64_t a_bytes = p->m * p->k * (int64_t)sizeof(REAL), b_bytes = p->k * p->n * (int64_t)sizeof(REAL);
    const int scattered = NAME(scattered)(p);
    const int in_place = p->m < PACK_MIN_ROWS || b_bytes <= PACK_MIN_BYTES ||
                         (a_bytes <= PACK_MIN_A_BYTES && p->k <= PACK_MIN_K && !scattered);
    if ((in_place && p->b_column == 1) || p->k == 0) NAME(multiply_in_place)(p);
    else if (p->k <= BLOCK_K && a_bytes <= PANELS_MAX_A_BYTES && !scattered) NAME(multiply_panels)(p);
    else NAME(multiply_packed)(p);
}

/* c (m, n) = relu?(bias + a (m, k) b (k, n)) · 1[mask > 0]?: c, bias (n,) and mask (m, n) contiguous. */
static void NAME(matmul)(int64_t m, int64_t n, int64_t k, const REAL *a, int64_t a_row, int64_t a_column,
                         const REAL *b, int64_t b_row, int64_t b_column, REAL *c, const REAL *bias,
                         const REAL *mask, int relu, int64_t thread, int64_t threads) {
    NAME(product) p = {.m = m, .n = n, .k = k,
                       .a = a, .a_row = a_row, .a_column = a_column,
                       .b = b, .b_row = b_row, .b_column = b_column,
                       .c = c, .c_row = n,
                       .start = bias, .start_row = 0,
                       .mask = mask, .mask_row = n,
                       .relu = relu};
    NAME(multiply)(&p, thread, threads);
}

/* sums[j] = Σ over the rows i of x[i, j], for columns [begin, end): a vector of columns at a time. */
static void NAME(column_sums)(int64_t rows, int64_t columns, const REAL *x, int64_t begin, int64_t end,
                              REAL *sums) {
    int64_t j = begin;
    for (; j + LANES <= end; j += LANES) {
        VECTOR sum = {0};
        for (int64_t i = 0; i < rows; i++) sum += NAME(load)(x + i * columns + j);
        NAME(store)(sums + j, sum);
    }
    if (j < end) {
        const int tail = (int)(end - j);
        VECTOR sum = {0};
        for (int64_t i = 0; i < rows; i++) sum += NAME(load_partial)(x + i * columns + j, tail);
        NAME(store_partial)(sums + j, sum, tail);
    }
}

#undef VECTOR
#undef MASK
#undef LANES
#undef TILE_COLUMNS
