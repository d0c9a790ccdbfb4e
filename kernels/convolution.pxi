# Convolution: thin names over convolution.h.

cdef extern from "convolution.h":
    # The sizes of a convolution, in the kernel list's order.
    ctypedef struct convolution:
        pass
    # Those of a convolution and a max pool, likewise.
    ctypedef struct pooled_convolution:
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
        const pooled_convolution* shape, const float* x, const float* weight, const float* bias, float* y, uint8_t* place,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_images_input_f32(
        const pooled_convolution* shape, const float* dy, const uint8_t* place, const float* weight, const float* mask,
        float* dx, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_images_weight_f32(
        const pooled_convolution* shape, const float* x, const float* dy, const uint8_t* place, float* dweight,
        float* dbias, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_pool_f64(
        const pooled_convolution* shape, const double* x, const double* weight, const double* bias, double* y, uint8_t* place,
        int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_images_input_f64(
        const pooled_convolution* shape, const double* dy, const uint8_t* place, const double* weight, const double* mask,
        double* dx, int64_t thread, int64_t threads,
    ) noexcept nogil
    void convolve_images_weight_f64(
        const pooled_convolution* shape, const double* x, const double* dy, const uint8_t* place, double* dweight,
        double* dbias, int64_t thread, int64_t threads,
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


# In the three kernels below `blocks` is n / 16, rounded up. With x_blocks x, or its gradient, has the shape (blocks, c,
# h w + 1, 16): 16 images along the last axis, zeros in place of those that aren't there, and a pixel between
# two channels that nobody reads; y likewise with y_blocks. place (blocks, filters, out_h / pool,
# out_w / pool, 16) is the place of each window's maximum: 0, 1, … in row order, 255 for none.

cdef void conv2d_max_pool2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y (n, filters, out_h / pool, out_w / pool) = the maximum of each window of pool x pool pixels of conv2d, with relu
    of max(conv2d, 0), and, unless it is absent, place: the first in row order, or the last NaN, or, with relu, none if
    y isn't positive. Overwrites both.

    Stride and groups must be 1.
    """
    cdef const pooled_convolution* shape = <const pooled_convolution*> n
    if real is float:
        convolve_pool_f32(shape, t[0], t[1], t[2], t[3], <uint8_t*> t[4], thread, threads)
    else:
        convolve_pool_f64(shape, t[0], t[1], t[2], t[3], <uint8_t*> t[4], thread, threads)


cdef void conv2d_max_pool2d_backward_input(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx (n, c, h, w) from dy, the gradient by conv2d_max_pool2d's y, its place, and weight, times 1[mask > 0]; with
    x_blocks there must be no mask. Overwrites dx.
    """
    cdef const pooled_convolution* shape = <const pooled_convolution*> n
    if real is float:
        convolve_images_input_f32(shape, t[0], <uint8_t*> t[1], t[2], t[3], t[4], thread, threads)
    else:
        convolve_images_input_f64(shape, t[0], <uint8_t*> t[1], t[2], t[3], t[4], thread, threads)


cdef void conv2d_max_pool2d_backward_weight(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dweight (filters, c, r, s) and, where given, dbias (filters,) from x, dy, the gradient by conv2d_max_pool2d's y,
    and its place. Overwrites both.
    """
    cdef const pooled_convolution* shape = <const pooled_convolution*> n
    if real is float:
        convolve_images_weight_f32(shape, t[0], t[1], <uint8_t*> t[2], t[3], t[4], thread, threads)
    else:
        convolve_images_weight_f64(shape, t[0], t[1], <uint8_t*> t[2], t[3], t[4], thread, threads)


def conv2d_takes_pool(tuple sizes, int64_t pool, bint training, int itemsize) -> bool:
    """Whether conv2d of these sizes, in the kernel list's order, had better be one with the max pool after it."""
    cdef int64_t n[16]
    cdef int i
    for i in range(16):
        n[i] = sizes[i]
    return images_suit_pool(<const convolution*> n, pool, training, VECTOR_BYTES // itemsize)
