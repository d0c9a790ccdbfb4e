"""Pooling: x, dx (planes, h, w), y, dy (planes, out_h, out_w); a plane is a channel of an image.

The output (p, q) covers the input's rows p stride_h − pad_top … + r − 1 and columns q stride_w − pad_left … +
s − 1, as far as they lie inside. Every window holds at least one element of the image. The threads divide the
planes.
"""

from __future__ import annotations

import math

from fastnn.kernels.numba_kernels.memory import helper, like, offset, share
from fastnn.kernels.numba_kernels.registry import kernel


@helper
def _fill(x, value, count):
    for i in range(count):
        x[i] = value


@helper
def _inside(start, length, limit):
    """The part of start … start + length − 1 that lies in 0 … limit − 1, as a range."""
    return range(max(start, 0), min(start + length, limit))


@kernel
def max_pool2d(t, n, s, thread, threads):
    """y = the maximum of each window of x; a NaN in the window wins."""
    h, w, out_h, out_w = n[1], n[2], n[9], n[10]
    begin, end = share(n[0], 1, thread, threads)
    for plane in range(begin, end):
        x, y = offset(t[0], plane * h * w), offset(t[1], plane * out_h * out_w)
        for p in range(out_h):
            for q in range(out_w):
                best = like(x[0], -math.inf)
                for row in _inside(p * n[5] - n[7], n[3], h):
                    for column in _inside(q * n[6] - n[8], n[4], w):
                        value = x[row * w + column]
                        best = value if value > best or value != value else best
                y[p * out_w + q] = best


@kernel
def max_pool2d_backward(t, n, s, thread, threads):
    """dx = Σ of dy over the windows whose maximum is here: the first in row order, or the last NaN; times
    1[x > 0] if relu.
    """
    h, w, out_h, out_w, relu = n[1], n[2], n[9], n[10], n[11] != 0
    begin, end = share(n[0], 1, thread, threads)
    for plane in range(begin, end):
        x, dx, dy = (
            offset(t[1], plane * h * w),
            offset(t[2], plane * h * w),
            offset(t[0], plane * out_h * out_w),
        )
        _fill(dx, like(x[0], 0), h * w)
        for p in range(out_h):
            top = p * n[5] - n[7]
            for q in range(out_w):
                left = q * n[6] - n[8]
                best = max(top, 0) * w + max(left, 0)
                for row in _inside(top, n[3], h):
                    for column in _inside(left, n[4], w):
                        value = x[row * w + column]
                        best = row * w + column if value > x[best] or value != value else best
                if x[best] > 0 or not relu:
                    dx[best] += dy[p * out_w + q]


@kernel
def avg_pool2d(t, n, s, thread, threads):
    """y = Σ of each window of x / (r s), padding counted as zeros."""
    h, w, out_h, out_w = n[1], n[2], n[9], n[10]
    begin, end = share(n[0], 1, thread, threads)
    for plane in range(begin, end):
        x, y = offset(t[0], plane * h * w), offset(t[1], plane * out_h * out_w)
        for p in range(out_h):
            for q in range(out_w):
                total = like(x[0], 0)
                for row in _inside(p * n[5] - n[7], n[3], h):
                    for column in _inside(q * n[6] - n[8], n[4], w):
                        total += x[row * w + column]
                y[p * out_w + q] = total / like(total, n[3] * n[4])


@kernel
def avg_pool2d_backward(t, n, s, thread, threads):
    """dx = Σ of dy over the windows that cover x here / (r s)."""
    h, w, out_h, out_w = n[1], n[2], n[9], n[10]
    begin, end = share(n[0], 1, thread, threads)
    for plane in range(begin, end):
        dx, dy = offset(t[1], plane * h * w), offset(t[0], plane * out_h * out_w)
        _fill(dx, like(dy[0], 0), h * w)
        for p in range(out_h):
            for q in range(out_w):
                part = dy[p * out_w + q] / like(dy[0], n[3] * n[4])
                for row in _inside(p * n[5] - n[7], n[3], h):
                    for column in _inside(q * n[6] - n[8], n[4], w):
                        dx[row * w + column] += part
