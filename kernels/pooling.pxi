# Pooling: x, dx (planes, h, w), y, dy (planes, out_h, out_w); a plane is a channel of an image. The output
# (p, q) covers the input's rows p stride_h − pad_top … + r − 1 and columns q stride_w − pad_left … + s − 1, as
# far as they lie inside. Every window holds at least one element of the image. The threads divide the planes.

from libc.math cimport INFINITY


cdef void max_pool2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = the maximum of each window of x; a NaN in the window wins. Overwrites y."""
    cdef const real* x
    cdef real* y = t[1]
    cdef int64_t h = n[1], w = n[2], stride_h = n[5], stride_w = n[6], out_h = n[9], out_w = n[10]
    cdef int64_t plane, p, q, top, left, row, column, begin, end
    cdef real best, value
    share(n[0], 1, thread, threads, &begin, &end)
    for plane in range(begin, end):
        x = t[0] + plane * h * w
        for p in range(out_h):
            top = p * stride_h - n[7]
            for q in range(out_w):
                left = q * stride_w - n[8]
                best = -INFINITY
                for row in range(max(top, 0), min(top + n[3], h)):
                    for column in range(max(left, 0), min(left + n[4], w)):
                        value = x[row * w + column]
                        # A select, not a branch that data would make unpredictable; NaNs are rare.
                        best = value if value > best else best
                        if value != value:
                            best = value
                y[(plane * out_h + p) * out_w + q] = best


cdef void max_pool2d_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = Σ of dy over the windows whose maximum is here: the first in row order, or the last NaN; times
    1[x > 0] if relu.

    Overwrites dx.
    """
    cdef const real* dy = t[0]
    cdef const real* x
    cdef real* dx
    cdef int64_t h = n[1], w = n[2], stride_h = n[5], stride_w = n[6], out_h = n[9], out_w = n[10]
    cdef int64_t plane, p, q, top, left, row, column, at, best, begin, end
    cdef real value, largest
    share(n[0], 1, thread, threads, &begin, &end)
    for plane in range(begin, end):
        x = t[1] + plane * h * w
        dx = t[2] + plane * h * w
        for row in range(h * w):
            dx[row] = 0
        for p in range(out_h):
            top = p * stride_h - n[7]
            for q in range(out_w):
                left = q * stride_w - n[8]
                best = max(top, 0) * w + max(left, 0)
                largest = x[best]
                for row in range(max(top, 0), min(top + n[3], h)):
                    for column in range(max(left, 0), min(left + n[4], w)):
                        at = row * w + column
                        value = x[at]
                        best = at if value > largest else best
                        largest = value if value > largest else largest
                        if value != value:
                            best = at
                            largest = value
                if largest > 0 or not n[11]:
                    dx[best] += dy[(plane * out_h + p) * out_w + q]


cdef void avg_pool2d(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = Σ of each window of x / (r s), padding counted as zeros. Overwrites y."""
    cdef const real* x
    cdef real* y = t[1]
    cdef int64_t h = n[1], w = n[2], stride_h = n[5], stride_w = n[6], out_h = n[9], out_w = n[10]
    cdef int64_t plane, p, q, top, left, row, column, begin, end
    cdef real total
    share(n[0], 1, thread, threads, &begin, &end)
    for plane in range(begin, end):
        x = t[0] + plane * h * w
        for p in range(out_h):
            top = p * stride_h - n[7]
            for q in range(out_w):
                left = q * stride_w - n[8]
                total = 0
                for row in range(max(top, 0), min(top + n[3], h)):
                    for column in range(max(left, 0), min(left + n[4], w)):
                        total += x[row * w + column]
                y[(plane * out_h + p) * out_w + q] = total / (n[3] * n[4])


cdef void avg_pool2d_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """dx = Σ of dy over the windows that cover x here / (r s). Overwrites dx."""
    cdef const real* dy = t[0]
    cdef real* dx
    cdef int64_t h = n[1], w = n[2], stride_h = n[5], stride_w = n[6], out_h = n[9], out_w = n[10]
    cdef int64_t plane, p, q, top, left, row, column, begin, end
    cdef real part
    share(n[0], 1, thread, threads, &begin, &end)
    for plane in range(begin, end):
        dx = t[1] + plane * h * w
        for row in range(h * w):
            dx[row] = 0
        for p in range(out_h):
            top = p * stride_h - n[7]
            for q in range(out_w):
                left = q * stride_w - n[8]
                part = dy[(plane * out_h + p) * out_w + q] / (n[3] * n[4])
                for row in range(max(top, 0), min(top + n[3], h)):
                    for column in range(max(left, 0), min(left + n[4], w)):
                        dx[row * w + column] += part
