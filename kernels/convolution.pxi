# Convolution: thin names over convolution.h.

cdef extern from "convolution.h":
    # The sizes of a convolution, in the kernel list's order.
    ctypedef struct convolution:
        pass
    bint images_suit_pool(
        const convolution* shape, int64_t pool, bint training, int64_t lanes
    ) noexcept nogil
    int VECTOR_BYTES
    void convolve_f32(
        const convolution* shape, const float* x, const float* weight, const float* bias, float* y,
        int relu, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_f64(
        const convolution* shape, const double* x, const double* weight, const double* bias, double* y,
        int relu, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_backward_input_f32(
        const convolution* shape, const float* dy, const float* weight, const float* mask, float* dx,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_backward_input_f64(
        const convolution* shape, const double* dy, const double* weight, const double* mask, double* dx,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_backward_weight_f32(
        const convolution* shape, const float* x, const float* dy, float* dweight, float* dbias,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_backward_weight_f64(
        const convolution* shape, const double* x, const double* dy, double* dweight, double* dbias,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_f32(
        const convolution* shape, int64_t pool, const float* x, const float* weight, const float* bias, float* y,
        float* a, int relu, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_backward_input_f32(
        const convolution* shape, int64_t pool, int relu, const float* dy, const float* a, const float* weight,
        const float* mask, float* dx, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_backward_weight_f32(
        const convolution* shape, int64_t pool, int relu, const float* x, const float* dy, const float* a,
        float* dweight, float* dbias, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_f64(
        const convolution* shape, int64_t pool, const double* x, const double* weight, const double* bias, double* y,
        double* a, int relu, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_backward_input_f64(
        const convolution* shape, int64_t pool, int relu, const double* dy, const double* a, const double* weight,
        const double* mask, double* dx, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_backward_weight_f64(
        const convolution* shape, int64_t pool, int relu, const double* x, const double* dy, const double* a,
        double* dweight, double* dbias, int64_t thread, int64_t threads,
    ) noexcept nogil


cdef void conv2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y (n, filters, out_h, out_w) = bias + x (n, c, h, w) * weight (filters, c / groups, r, s); max(y, 0) if relu.

    Overwrites y. How a y is summed, and with what scratch, depends on the sizes of an image alone: see
    convolution.h.
    """
    cdef const convolution* shape = <const convolution*> n
    if real is float:
        convolve_f32(shape, t[0], t[1], t[2], t[3], <int> n[16], thread, threads)
    else:
        convolve_f64(shape, t[0], t[1], t[2], t[3], <int> n[16], thread, threads)


cdef void conv2d_backward_input(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx (n, c, h, w) from dy (n, filters, out_h, out_w) and weight (filters, c / groups, r, s), times
    1[mask > 0] (n, c, h, w). Overwrites dx.
    """
    cdef const convolution* shape = <const convolution*> n
    if real is float:
        convolve_backward_input_f32(shape, t[0], t[1], t[2], t[3], thread, threads)
    else:
        convolve_backward_input_f64(shape, t[0], t[1], t[2], t[3], thread, threads)


cdef void conv2d_backward_weight(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dweight (filters, c / groups, r, s) and, where given, dbias (filters,) = Σ dy. Overwrites both."""
    cdef const convolution* shape = <const convolution*> n
    if real is float:
        convolve_backward_weight_f32(shape, t[0], t[1], t[2], t[3], thread, threads)
    else:
        convolve_backward_weight_f64(shape, t[0], t[1], t[2], t[3], thread, threads)


cdef void conv2d_max_pool2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """a (n / 16, filters, out_h, out_w, 16) = conv2d, max(a, 0) if relu; y (n, filters, out_h / pool, out_w / pool) =
    the maximum of each window of pool x pool pixels of a. Overwrites both; a may be absent.

    n must be a multiple of 16, stride and groups 1.
    """
    cdef const convolution* shape = <const convolution*> n
    if real is float:
        convolve_pool_f32(shape, n[16], t[0], t[1], t[2], t[3], t[4], <int> n[17], thread, threads)
    else:
        convolve_pool_f64(shape, n[16], t[0], t[1], t[2], t[3], t[4], <int> n[17], thread, threads)


cdef void conv2d_max_pool2d_backward_input(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx (n, c, h, w) from dy, the gradient by conv2d_max_pool2d's y, its a, and weight, times 1[mask > 0].

    Overwrites dx.
    """
    cdef const convolution* shape = <const convolution*> n
    cdef int relu = <int> n[17]
    if real is float:
        convolve_pool_backward_input_f32(shape, n[16], relu, t[0], t[1], t[2], t[3], t[4], thread, threads)
    else:
        convolve_pool_backward_input_f64(shape, n[16], relu, t[0], t[1], t[2], t[3], t[4], thread, threads)


cdef void conv2d_max_pool2d_backward_weight(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dweight (filters, c, r, s) and, where given, dbias (filters,) from x, dy, the gradient by conv2d_max_pool2d's y,
    and its a. Overwrites both.
    """
    cdef const convolution* shape = <const convolution*> n
    cdef int relu = <int> n[17]
    if real is float:
        convolve_pool_backward_weight_f32(shape, n[16], relu, t[0], t[1], t[2], t[3], t[4], thread, threads)
    else:
        convolve_pool_backward_weight_f64(shape, n[16], relu, t[0], t[1], t[2], t[3], t[4], thread, threads)


def conv2d_takes_pool(tuple sizes, int64_t pool, bint training, int itemsize) -> bool:
    """Whether conv2d of these sizes, in the kernel list's order, had better be one with the max pool after it."""
    cdef int64_t n[16]
    cdef int i
    for i in range(16):
        n[i] = sizes[i]
    return images_suit_pool(<const convolution*> n, pool, training, VECTOR_BYTES // itemsize)
