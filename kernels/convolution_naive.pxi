# Convolution as plain loops: the definition, for reading and for checking the fast one against.
#
# x (n, c, h, w), weight (filters, c / groups, r, s), bias (filters,), y (n, filters, out_h, out_w). Filter f is
# of group f // (filters / groups) and sees that group's c / groups channels only. Where the window
# leaves the image, x is zero.


cdef void conv2d_naive(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y[i, f, p, q] = bias[f] + Σ x[i, e', p stride_h − pad_top + u dilation_h, q stride_w − pad_left +
    v dilation_w] weight[f, e, u, v] over e, u, v, with e' channel e of f's group.

    Overwrites y; bias may be absent. The threads divide the (image, filter) pairs.
    """
    cdef const real* x = t[0]
    cdef const real* weight = t[1]
    cdef const real* bias = t[2]
    cdef real* y = t[3]
    cdef int64_t images = n[0], c = n[1], h = n[2], w = n[3], filters = n[4], r = n[5], columns = n[6]
    cdef int64_t stride_h = n[7], stride_w = n[8], pad_top = n[9], pad_left = n[10]
    cdef int64_t dilation_h = n[11], dilation_w = n[12], groups = n[13], out_h = n[14], out_w = n[15]
    cdef int64_t group_c = c // groups, group_filters = filters // groups
    cdef int64_t pair, begin, end, i, f, p, q, e, u, v, channel, row, column
    cdef real total
    share(images * filters, 1, thread, threads, &begin, &end)
    for pair in range(begin, end):
        i = pair // filters
        f = pair % filters
        for p in range(out_h):
            for q in range(out_w):
                total = 0 if bias is NULL else bias[f]
                for e in range(group_c):
                    channel = f // group_filters * group_c + e
                    for u in range(r):
                        row = p * stride_h - pad_top + u * dilation_h
                        if row < 0 or row >= h:
                            continue
                        for v in range(columns):
                            column = q * stride_w - pad_left + v * dilation_w
                            if column < 0 or column >= w:
                                continue
                            total += (
                                x[((i * c + channel) * h + row) * w + column]
                                * weight[((f * group_c + e) * r + u) * columns + v]
                            )
                y[(pair * out_h + p) * out_w + q] = total
