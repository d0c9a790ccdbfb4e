/* Products of small integers, which are exact: every shape, transposition and epilogue against plain loops.
   Prints the number of products that were checked; exits with 1 at the first wrong element. */
#include <stdio.h>

#include "matmul.h"

static int64_t checked;

#define CHECK(REAL, name)                                                                                    \
    static void check_##name(int64_t m, int64_t k, int64_t n, int transpose_a, int transpose_b, int biased,  \
                             int masked) {                                                                   \
        static REAL a[1 << 17], b[1 << 18], c[1 << 17], bias[1 << 11], mask[1 << 17];                         \
        for (int64_t i = 0; i < m * k; i++) a[i] = (REAL)((i * 7 + 3) % 11 - 5);                             \
        for (int64_t i = 0; i < k * n; i++) b[i] = (REAL)((i * 5 + 1) % 13 - 6);                             \
        for (int64_t i = 0; i < n; i++) bias[i] = (REAL)(i % 3 - 1);                                         \
        for (int64_t i = 0; i < m * n; i++) mask[i] = (REAL)(i % 5 % 2);                                     \
        const int64_t a_row = transpose_a ? 1 : k, a_column = transpose_a ? m : 1;                           \
        const int64_t b_row = transpose_b ? 1 : n, b_column = transpose_b ? k : 1;                           \
        for (int64_t thread = 0; thread < 3; thread++)                                                       \
            matmul_##name(m, n, k, a, a_row, a_column, b, b_row, b_column, c, biased ? bias : NULL,          \
                          masked ? mask : NULL, masked, thread, 3);                                          \
        for (int64_t i = 0; i < m; i++)                                                                      \
            for (int64_t j = 0; j < n; j++) {                                                                \
                REAL y = biased ? bias[j] : 0;                                                               \
                for (int64_t p = 0; p < k; p++) y += a[i * a_row + p * a_column] * b[p * b_row + j * b_column]; \
                if (masked && (y < 0 || mask[i * n + j] <= 0)) y = 0;                                        \
                if (c[i * n + j] != y) {                                                                     \
                    printf(#name " %ldx%ldx%ld, transposed %d %d, biased %d, masked %d: c[%ld, %ld] = %g, not %g\n", \
                           (long)m, (long)k, (long)n, transpose_a, transpose_b, biased, masked, (long)i,     \
                           (long)j, (double)c[i * n + j], (double)y);                                        \
                    exit(1);                                                                                 \
                }                                                                                            \
            }                                                                                                \
        checked++;                                                                                           \
    }

CHECK(float, f32)
CHECK(double, f64)

int main(void) {
    const int64_t sizes[] = {1, 3, 4, 5, 8, 17, 33, 70};
    const int count = sizeof sizes / sizeof *sizes;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < count; j++)
            for (int l = 0; l < count; l++)
                for (int options = 0; options < 16; options++) {
                    check_f32(sizes[i], sizes[j], sizes[l], options & 1, options & 2, options & 4, options & 8);
                    check_f64(sizes[i], sizes[j], sizes[l], options & 1, options & 2, options & 4, options & 8);
                }
    for (int options = 0; options < 16; options++) { /* several blocks of k and of n */
        check_f32(26, 600, 40, options & 1, options & 2, options & 4, options & 8);
        check_f32(16, 130, 1700, options & 1, options & 2, options & 4, options & 8);
        check_f64(26, 40, 600, options & 1, options & 2, options & 4, options & 8);
    }
    printf("%ld\n", (long)checked);
    return 0;
}
