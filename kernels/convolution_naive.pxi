# Convolution as plain loops: the definition, for reading and for checking the fast one against.
#
# x (images, c, h, w), weight (filters, c / groups, r, s), bias (filters,), y (images, filters, out_h, out_w).
# Filter f belongs to group f // (filters / groups) and sees only that group's c / groups channels. At the
# output (p, q) the window's element (u, v) lies on the input's
#
#     row = p stride_h − pad_top + u dilation_h,    column = q stride_w − pad_left + v dilation_w
#
# and x is zero outside the image.


cdef void conv2d_naive(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y[i, f, p, q] = bias[f] + Σ x[i, first + e, row, column] weight[f, e, u, v] over e, u, v.

    `first` is the group's first channel. Overwrites y; bias may be absent. The threads divide the images'
    filters.
    """
    cdef const real* x = t[0]
    cdef const real* weight = t[1]
    cdef const real* bias = t[2]
    cdef real* y = t[3]
    cdef int64_t images = n[0], c = n[1], h = n[2], w = n[3], filters = n[4], size_r = n[5], size_s = n[6]
    cdef int64_t stride_h = n[7], stride_w = n[8], pad_top = n[9], pad_left = n[10]
    cdef int64_t dilation_h = n[11], dilation_w = n[12], groups = n[13], out_h = n[14], out_w = n[15]
    cdef int64_t group_c = c // groups, group_filters = filters // groups
    cdef int64_t output, i, f, first, p, q, e, u, v, row, column, begin, end
    cdef real total
    share(images * filters, 1, thread, threads, &begin, &end)
    for output in range(begin, end):
        i = output // filters
        f = output % filters
        first = f // group_filters * group_c
        for p in range(out_h):
            for q in range(out_w):
                total = 0 if bias is NULL else bias[f]
                for e in range(group_c):
                    for u in range(size_r):
                        for v in range(size_s):
                            row = p * stride_h - pad_top + u * dilation_h
                            column = q * stride_w - pad_left + v * dilation_w
                            if 0 <= row < h and 0 <= column < w:
                                total += (
                                    x[((i * c + first + e) * h + row) * w + column]
                                    * weight[((f * group_c + e) * size_r + u) * size_s + v]
                                )
                y[(output * out_h + p) * out_w + q] = total


cdef void conv2d_naive_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """The gradients of conv2d_naive, by the same indices:

    dx[i, first + e, row, column] = Σ dy[i, f, p, q] weight[f, e, u, v] over f, p, q, u, v that lead there;
    dweight[f, e, u, v] = Σ dy[i, f, p, q] x[i, first + e, row, column] over i, p, q;
    dbias[f] = Σ dy[i, f, p, q] over i, p, q.

    Overwrites those of dx, dweight and dbias that are not absent. The threads divide the images for dx, the
    filters for dweight and dbias.
    """
    cdef const real* dy = t[0]
    cdef const real* x = t[1]
    cdef const real* weight = t[2]
    cdef real* dx = t[3]
    cdef real* dweight = t[4]
    cdef real* dbias = t[5]
    cdef int64_t images = n[0], c = n[1], h = n[2], w = n[3], filters = n[4], size_r = n[5], size_s = n[6]
    cdef int64_t stride_h = n[7], stride_w = n[8], pad_top = n[9], pad_left = n[10]
    cdef int64_t dilation_h = n[11], dilation_w = n[12], groups = n[13], out_h = n[14], out_w = n[15]
    cdef int64_t group_c = c // groups, group_filters = filters // groups
    cdef int64_t i, f, first, p, q, e, u, v, row, column, begin, end
    cdef real total

    if dx is not NULL:
        share(images, 1, thread, threads, &begin, &end)
        for i in range(begin * c * h * w, end * c * h * w):
            dx[i] = 0
        for i in range(begin, end):
            for f in range(filters):
                first = f // group_filters * group_c
                for p in range(out_h):
                    for q in range(out_w):
                        for e in range(group_c):
                            for u in range(size_r):
                                for v in range(size_s):
                                    row = p * stride_h - pad_top + u * dilation_h
                                    column = q * stride_w - pad_left + v * dilation_w
                                    if 0 <= row < h and 0 <= column < w:
                                        dx[((i * c + first + e) * h + row) * w + column] += (
                                            dy[((i * filters + f) * out_h + p) * out_w + q]
                                            * weight[((f * group_c + e) * size_r + u) * size_s + v]
                                        )

    share(filters, 1, thread, threads, &begin, &end)
    if dweight is not NULL:
        for f in range(begin, end):
            first = f // group_filters * group_c
            for e in range(group_c):
                for u in range(size_r):
                    for v in range(size_s):
                        total = 0
                        for i in range(images):
                            for p in range(out_h):
                                for q in range(out_w):
                                    row = p * stride_h - pad_top + u * dilation_h
                                    column = q * stride_w - pad_left + v * dilation_w
                                    if 0 <= row < h and 0 <= column < w:
                                        total += (
                                            dy[((i * filters + f) * out_h + p) * out_w + q]
                                            * x[((i * c + first + e) * h + row) * w + column]
                                        )
                        dweight[((f * group_c + e) * size_r + u) * size_s + v] = total
    if dbias is not NULL:
        for f in range(begin, end):
            total = 0
            for i in range(images):
                for p in range(out_h):
                    for q in range(out_w):
                        total += dy[((i * filters + f) * out_h + p) * out_w + q]
            dbias[f] = total
