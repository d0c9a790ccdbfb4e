"""Convolution as plain loops: the definition, for reading and for checking the fast one against.

x (images, c, h, w), weight (filters, c / groups, r, s), bias (filters,), y (images, filters, out_h, out_w).
Filter f belongs to group f // (filters / groups) and sees only that group's c / groups channels. At the
output (p, q) the window's element (u, v) lies on the input's

    row = p stride_h − pad_top + u dilation_h,    column = q stride_w − pad_left + v dilation_w

and x is zero outside the image.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.memory import is_null, like, share
from fastnn.kernels.numba_kernels.registry import kernel


@kernel
def conv2d_naive(t, n, s, thread, threads):
    """y[i, f, p, q] = bias[f] + Σ x[i, first + e, row, column] weight[f, e, u, v] over e, u, v.

    `first` is the group's first channel. The threads divide the images' filters.
    """
    x, weight, bias, y = t[0], t[1], t[2], t[3]
    images, c, h, w, filters, size_r, size_s = n[0], n[1], n[2], n[3], n[4], n[5], n[6]
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w = n[7], n[8], n[9], n[10], n[11], n[12]
    groups, out_h, out_w = n[13], n[14], n[15]
    group_c, group_filters = c // groups, filters // groups
    begin, end = share(images * filters, 1, thread, threads)
    for output in range(begin, end):
        i, f = output // filters, output % filters
        first = f // group_filters * group_c
        for p in range(out_h):
            for q in range(out_w):
                total = like(x[0], 0) if is_null(bias) else bias[f]
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


@kernel
def conv2d_naive_backward(t, n, s, thread, threads):
    """The gradients of conv2d_naive, by the same indices:

    dx[i, first + e, row, column] = Σ dy[i, f, p, q] weight[f, e, u, v] over f, p, q, u, v that lead there;
    dweight[f, e, u, v] = Σ dy[i, f, p, q] x[i, first + e, row, column] over i, p, q;
    dbias[f] = Σ dy[i, f, p, q] over i, p, q.

    The threads divide the images for dx, the filters for dweight and dbias.
    """
    dy, x, weight, dx, dweight, dbias = t[0], t[1], t[2], t[3], t[4], t[5]
    images, c, h, w, filters, size_r, size_s = n[0], n[1], n[2], n[3], n[4], n[5], n[6]
    stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w = n[7], n[8], n[9], n[10], n[11], n[12]
    groups, out_h, out_w = n[13], n[14], n[15]
    group_c, group_filters = c // groups, filters // groups

    if not is_null(dx):
        begin, end = share(images, 1, thread, threads)
        for i in range(begin * c * h * w, end * c * h * w):
            dx[i] = like(dy[0], 0)
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

    begin, end = share(filters, 1, thread, threads)
    if not is_null(dweight):
        for f in range(begin, end):
            first = f // group_filters * group_c
            for e in range(group_c):
                for u in range(size_r):
                    for v in range(size_s):
                        total = like(dy[0], 0)
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
    if not is_null(dbias):
        for f in range(begin, end):
            total = like(dy[0], 0)
            for i in range(images):
                for p in range(out_h):
                    for q in range(out_w):
                        total += dy[((i * filters + f) * out_h + p) * out_w + q]
            dbias[f] = total
