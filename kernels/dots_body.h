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

/* Write one element of c, whose sum over k is y. */
FASTNN_INLINE void NAME(finish)(const NAME(product) * p, int64_t i, int64_t j, REAL y) {
    if (p->start) y += p->start[i * p->start_row + j];
    if (p->relu && y < 0) y = 0;
    if (p->mask && !(p->mask[i * p->mask_row + j] > 0)) y = 0;
    p->c[i * p->c_row + j] = y;
}

/* c for rows [first, first + rows) and `columns` columns: dot products of rows of a with columns of b, both
   contiguous along k. */
FASTNN_INLINE void NAME(dot_tile)(const int rows, const int columns, int64_t first, const NAME(product) * p) {
    VECTOR sum[4][4] = {{{0}}};
    for (int64_t k = 0; k < p->k; k += LANES) {
        const int64_t left = p->k - k;
        VECTOR b[4];
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) {
            const REAL *at = p->b + j * p->b_column + k;
            b[j] = left >= LANES ? NAME(load)(at) : NAME(load_partial)(at, (int)left);
        }
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++) {
            const REAL *at = p->a + (first + i) * p->a_row + k;
            const VECTOR a = left >= LANES ? NAME(load)(at) : NAME(load_partial)(at, (int)left);
#pragma GCC unroll 4
            for (int j = 0; j < columns; j++) sum[i][j] += a * b[j];
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int j = 0; j < columns; j++) NAME(finish)(p, first + i, j, NAME(lane_sum)(sum[i][j]));
}

static void NAME(dot_rows)(int64_t rows, int64_t first, const NAME(product) * p) {
    switch (p->n * 10 + rows) {
        case 14: NAME(dot_tile)(4, 1, first, p); break;
        case 24: NAME(dot_tile)(4, 2, first, p); break;
        case 34: NAME(dot_tile)(4, 3, first, p); break;
        case 44: NAME(dot_tile)(4, 4, first, p); break;
        case 11: NAME(dot_tile)(1, 1, first, p); break;
        case 21: NAME(dot_tile)(1, 2, first, p); break;
        case 31: NAME(dot_tile)(1, 3, first, p); break;
        case 41: NAME(dot_tile)(1, 4, first, p); break;
    }
}

/* The dot products of an a whose rows are adjacent (a_row == 1): lanes along the rows, with the sums that
   dot_tile keeps in its lanes in LANES vectors, so that an element has the same bits in either layout. */
static void NAME(dots_transposed)(const NAME(product) * p) {
    for (int64_t i = 0; i < p->m; i += LANES)
        for (int64_t j = 0; j < p->n; j++) {
            const int rows = (int)NAME(smaller)(LANES, p->m - i);
            const REAL *a = p->a + i, *b = p->b + j * p->b_column;
            VECTOR sum[LANES] = {{0}};
            int64_t k = 0;
            if (rows == LANES)
                for (; k + LANES <= p->k; k += LANES)
#pragma GCC unroll 16
                    for (int l = 0; l < LANES; l++) sum[l] += NAME(load)(a + (k + l) * p->a_column) * b[k + l];
            else
                for (; k + LANES <= p->k; k += LANES)
#pragma GCC unroll 16
                    for (int l = 0; l < LANES; l++)
                        sum[l] += NAME(load_partial)(a + (k + l) * p->a_column, rows) * b[k + l];
            for (; k < p->k; k += LANES)
#pragma GCC unroll 16
                for (int l = 0; l < LANES; l++)
                    if (k + l < p->k) sum[l] += NAME(load_partial)(a + (k + l) * p->a_column, rows) * b[k + l];
#pragma GCC unroll 4
            for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
                for (int l = 0; l < half; l++) sum[l] += sum[l + half];
            REAL y[LANES];
            NAME(store)(y, sum[0]);
            for (int l = 0; l < rows; l++) NAME(finish)(p, i + l, j, y[l]);
        }
}

static void NAME(multiply_dots)(const NAME(product) * p) {
    NAME(product) part = *p;
    if (p->b_row != 1) { /* make b's columns contiguous */
        REAL *b = arena((size_t)(p->n * p->k) * sizeof(REAL));
        for (int64_t k = 0; k < p->k; k++)
            for (int64_t j = 0; j < p->n; j++) b[j * p->k + k] = p->b[k * p->b_row + j];
        part.b = b;
        part.b_column = p->k;
    }
    if (p->a_column != 1) {
        NAME(dots_transposed)(&part);
        return;
    }
    for (int64_t i = 0, rows; i < p->m; i += rows) {
        rows = p->m - i >= 4 ? 4 : 1;
        NAME(dot_rows)(rows, i, &part);
    }
}
