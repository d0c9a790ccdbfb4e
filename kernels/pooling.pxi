# Pooling: thin names over pooling.h, which says what the planes and windows are.

cdef extern from "pooling.h":
    # The sizes of a pooling, in the kernel list's order.
    ctypedef struct pooling:
        pass
    void max_pool_f32(
        const pooling* shape, const float* x, float* y, int64_t thread, int64_t threads
    ) noexcept nogil
    void max_pool_f64(
        const pooling* shape, const double* x, double* y, int64_t thread, int64_t threads
    ) noexcept nogil
    void max_pool_backward_f32(
        const pooling* shape, int relu, const float* dy, const float* x, float* dx,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void max_pool_backward_f64(
        const pooling* shape, int relu, const double* dy, const double* x, double* dx,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void average_pool_f32(
        const pooling* shape, const float* x, float* y, int64_t thread, int64_t threads
    ) noexcept nogil
    void average_pool_f64(
        const pooling* shape, const double* x, double* y, int64_t thread, int64_t threads
    ) noexcept nogil
    void average_pool_backward_f32(
        const pooling* shape, const float* dy, float* dx, int64_t thread, int64_t threads
    ) noexcept nogil
    void average_pool_backward_f64(
        const pooling* shape, const double* dy, double* dx, int64_t thread, int64_t threads
    ) noexcept nogil


cdef void max_pool2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = the maximum of each window of x; a NaN in the window wins. Overwrites y."""
    cdef const pooling* shape = <const pooling*> n
    if real is float:
        max_pool_f32(shape, t[0], t[1], thread, threads)
    else:
        max_pool_f64(shape, t[0], t[1], thread, threads)


cdef void max_pool2d_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = Σ of dy over the windows whose maximum is here: the first in row order, or the last NaN; times
    1[x > 0] if relu.

    Overwrites dx.
    """
    cdef const pooling* shape = <const pooling*> n
    if real is float:
        max_pool_backward_f32(shape, <int> n[11], t[0], t[1], t[2], thread, threads)
    else:
        max_pool_backward_f64(shape, <int> n[11], t[0], t[1], t[2], thread, threads)


cdef void avg_pool2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = Σ of each window of x / (r s), padding counted as zeros. Overwrites y."""
    cdef const pooling* shape = <const pooling*> n
    if real is float:
        average_pool_f32(shape, t[0], t[1], thread, threads)
    else:
        average_pool_f64(shape, t[0], t[1], thread, threads)


cdef void avg_pool2d_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = Σ of dy over the windows that cover x here / (r s). Overwrites dx."""
    cdef const pooling* shape = <const pooling*> n
    if real is float:
        average_pool_backward_f32(shape, t[0], t[1], thread, threads)
    else:
        average_pool_backward_f64(shape, t[0], t[1], thread, threads)
