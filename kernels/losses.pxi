# Losses and their gradients. `loss` holds one value a row, in a kernel's own dtype; the rows are divided
# between the threads. Blocks of rows, and BLOCK, are those of activations.pxi.


cdef inline void row_means(
    const real* terms, const real* weight, real* loss, int64_t rows, int64_t width, int64_t columns
) noexcept nogil:
    """loss[i] += weight[i] Σ_j terms[i, j] / columns, of a block (rows, width); no weight is 1.

    Starts from zero, where the block is the row's first: `loss` must hold that.
    """
    cdef int64_t i
    cdef real share_of_one = 1 / <real> columns
    for i in range(rows):
        loss[i] += share_of_one * row_sum(terms + i * width, width)
