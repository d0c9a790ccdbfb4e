# Activations and their gradients. Elementwise kernels divide their elements between the threads, softmax its
# rows.

include "vector_math.pxi"

cdef extern from "short_rows.h" nogil:
    enum: SHORT_ROW
    void softmax_short_f32(const float* x, float* y, int64_t rows, int columns)
    void softmax_short_f64(const double* x, double* y, int64_t rows, int columns)
    void log_softmax_short_f32(const float* x, float* y, int64_t rows, int columns)
    void log_softmax_short_f64(const double* x, double* y, int64_t rows, int columns)


# --- elementwise: x, y, dx, dy (size,) ----------------------------------------------------------------


cdef inline int64_t aligned_from(const real* y, int64_t begin, int64_t end) noexcept nogil:
    """The first i in [begin, end] at which y + i lies on a cache line's start.

    NumPy's arrays begin anywhere. Where memory is the bound, a loop from there on runs faster: no vector of the
    output lies in two lines.
    """
    cdef int64_t behind = <int64_t> (<uintptr_t> (y + begin) % 64)
    return min(end, begin + (64 - behind) % 64 // <int64_t> sizeof(real))


cdef inline void relu_range(const real* x, real* y, int64_t begin, int64_t end) noexcept nogil:
    cdef int64_t i
    for i in range(begin, end):
        y[i] = 0 if x[i] < 0 else x[i]


cdef void relu(real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads) noexcept nogil:
    """y = max(x, 0), NaN where x is. Overwrites y, which may be x."""
    cdef const real* x = t[0]
    cdef real* y = t[1]
    cdef int64_t begin, end, aligned
    share(n[0], 64, thread, threads, &begin, &end)
    aligned = aligned_from(y, begin, end)
    relu_range(x, y, begin, aligned)
    relu_range(x, y, aligned, end)


cdef inline void relu_backward_range(
    const real* dy, const real* y, real* dx, int64_t begin, int64_t end
) noexcept nogil:
    cdef real slope
    cdef int64_t i
    for i in range(begin, end):
        slope = dy[i]  # a load under a condition would keep the loop from becoming vectors
        dx[i] = slope if y[i] > 0 else 0


cdef void relu_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = dy · 1[y > 0], y the output of relu. Overwrites dx, which may be dy or y."""
    cdef const real* dy = t[0]
    cdef const real* y = t[1]
    cdef real* dx = t[2]
    cdef int64_t begin, end, aligned
    share(n[0], 64, thread, threads, &begin, &end)
    aligned = aligned_from(dx, begin, end)
    relu_backward_range(dy, y, dx, begin, aligned)
    relu_backward_range(dy, y, dx, aligned, end)


cdef void sigmoid(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = 1 / (1 + e^−x). Overwrites y, which may be x."""
    cdef const real* x = t[0]
    cdef real* y = t[1]
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        y[i] = sigmoid_of(x[i])


cdef void sigmoid_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = dy y (1 − y), y the output of sigmoid. Overwrites dx, which may be dy or y."""
    cdef const real* dy = t[0]
    cdef const real* y = t[1]
    cdef real* dx = t[2]
    cdef real one = 1
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        dx[i] = dy[i] * (y[i] * (one - y[i]))


cdef void tanh(real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads) noexcept nogil:
    """y = tanh(x). Overwrites y, which may be x."""
    cdef const real* x = t[0]
    cdef real* y = t[1]
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        y[i] = tanh_of(x[i])


cdef void tanh_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = dy (1 − y²), y the output of tanh. Overwrites dx, which may be dy or y."""
    cdef const real* dy = t[0]
    cdef const real* y = t[1]
    cdef real* dx = t[2]
    cdef real one = 1
    cdef int64_t i, begin, end
    share(n[0], 64, thread, threads, &begin, &end)
    for i in range(begin, end):
        dx[i] = dy[i] * (one - y[i] * y[i])


# --- rows: x, y, dx, dy (rows, columns) ---------------------------------------------------------------
#
# Most networks have few classes, so most rows are short: short_rows.h says how softmax works on these. Losses
# work on rows in blocks, so that what is done to every element is one long loop over the block. A row wider than
# a block is worked on in pieces. Either way a block is a range of adjacent elements, whose copies on the stack
# stay in L1.

cdef enum:
    BLOCK = 512  # elements


cdef inline int64_t block_rows(int64_t columns) noexcept nogil:
    """Rows of a block: as many as fit, at least one."""
    return max(1, BLOCK // max(1, columns))


cdef inline void add_row_sums(
    const real* x, real* total, int64_t rows, int64_t width, bint first
) noexcept nogil:
    """total[i] += Σ_j x[i, j], of a block (rows, width); total[i] = Σ_j x[i, j] if it is the rows' first."""
    cdef int64_t i
    if first:
        for i in range(rows):
            total[i] = 0
    for i in range(rows):
        total[i] += row_sum(x + i * width, width)


cdef inline void scale_row(real* x, real factor, int64_t columns) noexcept nogil:
    cdef int64_t j
    for j in range(columns):
        x[j] *= factor


cdef void softmax(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y[i, j] = e^x[i, j] / Σ_j e^x[i, j], the row's maximum taken off x first.

    Overwrites y, which may be x.
    """
    cdef int64_t columns = n[1], i, begin, end
    cdef const real* x
    cdef real* y
    cdef real top, total, one = 1
    share(n[0] if columns else 0, 16, thread, threads, &begin, &end)
    if columns <= SHORT_ROW:
        if real is float:
            softmax_short_f32(t[0] + begin * columns, t[1] + begin * columns, end - begin, <int> columns)
        else:
            softmax_short_f64(t[0] + begin * columns, t[1] + begin * columns, end - begin, <int> columns)
        return
    top = first_row_max(t[0], columns, begin, end)
    for i in range(begin, end):
        x = t[0] + i * columns
        y = t[1] + i * columns
        total = exp_row(x, columns, &top, y, i == end - 1)
        scale_row(y, one / total, columns)


cdef void softmax_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx[i, j] = y[i, j] (dy[i, j] − Σ_j dy[i, j] y[i, j]), y the output of softmax.

    Overwrites dx, which may be dy or y.
    """
    cdef int64_t columns = n[1], i, first, begin, end
    share(n[0], 16, thread, threads, &begin, &end)
    for i in range(begin, end):
        first = i * columns
        if real is float:
            softmax_backward_row_f32(t[0] + first, t[1] + first, columns, t[2] + first)
        else:
            softmax_backward_row_f64(t[0] + first, t[1] + first, columns, t[2] + first)


cdef void log_softmax(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y[i, j] = x[i, j] − log Σ_j e^x[i, j], the row's maximum taken off x first.

    Overwrites y, which may be x.
    """
    cdef int64_t columns = n[1], i, j, begin, end
    cdef const real* x
    cdef real* y
    cdef real top, next_top, log_total
    share(n[0] if columns else 0, 16, thread, threads, &begin, &end)
    if columns <= SHORT_ROW:
        if real is float:
            log_softmax_short_f32(t[0] + begin * columns, t[1] + begin * columns, end - begin, <int> columns)
        else:
            log_softmax_short_f64(t[0] + begin * columns, t[1] + begin * columns, end - begin, <int> columns)
        return
    next_top = first_row_max(t[0], columns, begin, end)
    for i in range(begin, end):
        x = t[0] + i * columns
        y = t[1] + i * columns
        top = next_top
        log_total = log_of(exp_row[real](x, columns, &next_top, NULL, i == end - 1))
        for j in range(columns):
            y[j] = x[j] - top - log_total
