/* The products with few columns, for one dtype: matmul_body.h includes this file. Few columns fill few lanes,
   so the lanes go along k instead. */

/* The sum of a vector's lanes, halves first. */
FASTNN_INLINE REAL NAME(lane_sum)(VECTOR v) {
    REAL lane[LANES];
    NAME(store)(lane, v);
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
}

/* The same of what are the lanes of some vectors. (The vectors that a loop adds to aren't passed themselves: they would
   lie in memory.) */
FASTNN_INLINE VECTOR NAME(sum_of_lanes)(VECTOR *lane) {
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}

/* Write one element of c, whose sum over k is y. */
FASTNN_INLINE void NAME(finish)(const NAME(product) * p, int64_t i, int64_t j, REAL y) {
    if (p->start) y += p->start[i * p->start_row + j];
    if (p->relu && y < 0) y = 0;
    if (p->mask && !(p->mask[i * p->mask_row + j] > 0)) y = 0;
    p->c[i * p->c_row + j] = y;
}

/* The most sums of a tile: a vector's lanes, or one row of all columns. */
#define DOT_SUMS (LANES > DOT_MAX_COLUMNS ? LANES : DOT_MAX_COLUMNS)

/* c for rows [first, first + rows), as far as there are, and `columns` columns: dot products of rows of a with columns
   of b, both contiguous along k. The vectors of sums of several rows are turned, and so added up over their lanes all
   at once, in the order of lane_sum. */
FASTNN_INLINE void NAME(dot_tile)(const int rows, const int columns, int64_t first, const NAME(product) * p) {
    VECTOR sum[8][4];
    const REAL *a[8];
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++) {
        a[i] = p->a + NAME(smaller)(first + i, p->m - 1) * p->a_row;
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) sum[i][j] = (VECTOR){0};
    }
    for (int64_t k = 0; k < p->k; k += LANES) {
        const int64_t left = p->k - k;
        VECTOR b[4];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            const REAL *at = p->b + j * p->b_column + k;
            b[j] = left >= LANES ? NAME(load)(at) : NAME(load_partial)(at, (int)left);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const VECTOR a_i = left >= LANES ? NAME(load)(a[i] + k) : NAME(load_partial)(a[i] + k, (int)left);
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[i][j] += a_i * b[j];
        }
    }
    REAL y[DOT_SUMS];
    if (rows == 1)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) y[j] = NAME(lane_sum)(sum[0][j]);
    else {
        VECTOR lane[DOT_SUMS] = {{0}};
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) lane[i * columns + j] = sum[i][j];
        NAME(turn)(lane);
        const VECTOR total = NAME(sum_of_lanes)(lane);
        if (!p->start && !p->relu && !p->mask && p->c_row == columns && first + rows <= p->m) {
            NAME(store_partial)(p->c + first * columns, total, rows * columns);
            return;
        }
        NAME(store)(y, total);
    }
    for (int i = 0; i < rows && first + i < p->m; i++)
        for (int j = 0; j < columns; j++) NAME(finish)(p, first + i, j, y[i * columns + j]);
}

/* Rows of a tile: as many as make LANES sums, at most 8. */
#define FASTNN_DOT_ROWS(columns) (LANES / (columns) > 8 ? 8 : LANES / (columns) < 1 ? 1 : LANES / (columns))
FASTNN_INLINE void NAME(dot_rows)(const int columns, const NAME(product) * p) {
    if (p->m == 1) NAME(dot_tile)(1, columns, 0, p);
    else
        for (int64_t i = 0; i < p->m; i += FASTNN_DOT_ROWS(columns))
            NAME(dot_tile)(FASTNN_DOT_ROWS(columns), columns, i, p);
}
#undef FASTNN_DOT_ROWS

/* Sums of a tile of an a whose rows are adjacent: those of each lane that dot_tile keeps, for some lanes at a time. */
#define DOT_LANES(columns) (LANES < (columns) ? 1 : LANES / ((columns) == 3 ? 4 : (columns)))

/* The dot products of an a whose rows are adjacent (a_row == 1), for rows [first, first + rows) and all `columns`
   columns: lanes along the rows, with the sums that dot_tile keeps in its lanes in LANES vectors, so that an element has
   the same bits in either layout. */
FASTNN_INLINE void NAME(transposed_tile)(const int columns, const int whole, int rows, int64_t first,
                                         const NAME(product) * p) {
    const int64_t a_column = p->a_column, b_row = p->b_row, b_column = p->b_column, all = p->k;
    VECTOR lane[4][LANES];
    for (int l0 = 0; l0 < LANES; l0 += DOT_LANES(columns)) {
        const REAL *a = p->a + first + l0 * a_column, *b = p->b + l0 * b_row;
        VECTOR sum[LANES][4];
#pragma GCC unroll 16
        for (int l = 0; l < DOT_LANES(columns); l++)
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[l][j] = (VECTOR){0};
        int64_t k = l0;
        for (; k + DOT_LANES(columns) <= all; k += LANES) {
#pragma GCC unroll 16
            for (int l = 0; l < DOT_LANES(columns); l++, a += a_column, b += b_row) {
                const VECTOR a_l = whole ? NAME(load)(a) : NAME(load_partial)(a, rows);
#pragma GCC unroll 4
                for (int j = 0; j < columns; j++) sum[l][j] += a_l * b[j * b_column];
            }
            a += (LANES - DOT_LANES(columns)) * a_column;
            b += (LANES - DOT_LANES(columns)) * b_row;
        }
#pragma GCC unroll 16
        for (int l = 0; l < DOT_LANES(columns); l++) {
            if (k + l < all)
#pragma GCC unroll 4
                for (int j = 0; j < columns; j++)
                    sum[l][j] += NAME(load_partial)(a + l * a_column, rows) * b[l * b_row + j * b_column];
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) lane[j][l0 + l] = sum[l][j];
        }
    }
    for (int j = 0; j < columns; j++) {
        REAL y[LANES];
        NAME(store)(y, NAME(sum_of_lanes)(lane[j]));
        for (int i = 0; i < rows; i++) NAME(finish)(p, first + i, j, y[i]);
    }
}

FASTNN_INLINE void NAME(dots_transposed)(const int columns, const NAME(product) * p) {
    int64_t i = 0;
    for (; i + LANES <= p->m; i += LANES) NAME(transposed_tile)(columns, 1, LANES, i, p);
    if (i < p->m) NAME(transposed_tile)(columns, 0, (int)(p->m - i), i, p);
}
#undef DOT_LANES

#define FASTNN_DOTS_CASE(columns)                                                                            \
    case columns:                                                                                            \
        if (p->a_column != 1) NAME(dots_transposed)(columns, p);                                             \
        else NAME(dot_rows)(columns, p);                                                                     \
        break;
static void NAME(dot_columns)(const NAME(product) * p) {
    switch (p->n) {
        FASTNN_DOTS_CASE(1)
        FASTNN_DOTS_CASE(2)
        FASTNN_DOTS_CASE(3)
        FASTNN_DOTS_CASE(4)
    }
}
#undef FASTNN_DOTS_CASE

static void NAME(multiply_dots)(const NAME(product) * p) {
    if (p->a_column != 1 || p->b_row == 1) {
        NAME(dot_columns)(p);
        return;
    }
    NAME(product) part = *p; /* whose b has contiguous columns */
    REAL *b = arena((size_t)(p->n * p->k) * sizeof(REAL));
    for (int64_t k = 0; k < p->k; k++)
        for (int64_t j = 0; j < p->n; j++) b[j * p->k + k] = p->b[k * p->b_row + j];
    part.b = b;
    part.b_column = p->k;
    NAME(dot_columns)(&part);
}

#undef DOT_SUMS
