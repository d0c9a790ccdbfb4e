# Matrix products: thin names over the one product of matmul.h.

cdef extern from "matmul.h":
    void matmul_f32(
        int64_t m, int64_t n, int64_t k,
        const float* a, int64_t a_row, int64_t a_column,
        const float* b, int64_t b_row, int64_t b_column,
        float* c, const float* bias, const float* mask, int relu, int64_t thread, int64_t threads,
    ) noexcept nogil
    void matmul_f64(
        int64_t m, int64_t n, int64_t k,
        const double* a, int64_t a_row, int64_t a_column,
        const double* b, int64_t b_row, int64_t b_column,
        double* c, const double* bias, const double* mask, int relu, int64_t thread, int64_t threads,
    ) noexcept nogil
    void column_sums_f32(
        int64_t rows, int64_t columns, const float* x, int64_t begin, int64_t end, float* sums
    ) noexcept nogil
    void column_sums_f64(
        int64_t rows, int64_t columns, const double* x, int64_t begin, int64_t end, double* sums
    ) noexcept nogil


cdef inline void product(
    int64_t m, int64_t n, int64_t k,
    const real* a, int64_t a_row, int64_t a_column,
    const real* b, int64_t b_row, int64_t b_column,
    real* c, const real* bias, const real* mask, int relu, int64_t thread, int64_t threads,
) noexcept nogil:
    """c (m, n) = relu?(bias (n,) + a (m, k) b (k, n)) · 1[mask (m, n) > 0]?; absent operands are NULL."""
    if real is float:
        matmul_f32(
            m, n, k, a, a_row, a_column, b, b_row, b_column, c, bias, mask, relu, thread, threads
        )
    else:
        matmul_f64(
            m, n, k, a, a_row, a_column, b, b_row, b_column, c, bias, mask, relu, thread, threads
        )


cdef void matmul(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """c (m, n) = a (m, k) b (k, n); one of a's strides is 1, and one of b's. Overwrites c."""
    product[real](
        n[0], n[1], n[2], t[0], n[3], n[4], t[1], n[5], n[6], t[2], NULL, NULL, 0, thread, threads
    )


cdef void linear(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y (m, n) = x (m, k) weight (k, n) + bias (n,); max(y, 0) if relu. Overwrites y."""
    cdef int64_t m = n[0], k = n[1], columns = n[2]
    product[real](
        m, columns, k, t[0], k, 1, t[1], columns, 1, t[3], t[2], NULL, <int> n[3], thread, threads
    )


cdef void linear_backward_input(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx (m, k) = dy (m, n) weight (k, n)ᵀ, times 1[mask > 0] (m, k). Overwrites dx."""
    cdef int64_t m = n[0], k = n[1], columns = n[2]
    product[real](
        m, k, columns, t[0], columns, 1, t[1], 1, columns, t[3], NULL, t[2], 0, thread, threads
    )


cdef void linear_backward_weight(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dweight (k, n) = x (m, k)ᵀ dy (m, n); dbias (n,) = Σ over rows of dy. Overwrites both."""
    cdef int64_t m = n[0], k = n[1], columns = n[2], begin, end
    cdef const real* dy = t[1]
    cdef real* dbias = t[3]
    product[real](
        k, columns, m, t[0], 1, k, dy, columns, 1, t[2], NULL, NULL, 0, thread, threads
    )
    if dbias is NULL:
        return
    share(columns, 16, thread, threads, &begin, &end)
    if real is float:
        column_sums_f32(m, columns, dy, begin, end, dbias)
    else:
        column_sums_f64(m, columns, dy, begin, end, dbias)
