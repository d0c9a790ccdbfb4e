"""Pooling: x, dx (planes, h, w), y, dy (planes, out_h, out_w); a plane is a channel of an image.

The output (p, q) covers the input's rows p stride_h − pad_top … + r − 1 and columns q stride_w − pad_left … +
s − 1, as far as they lie inside. Every window holds at least one element of the image. The threads divide the
planes.
"""

from __future__ import annotations

from collections import namedtuple

from fastnn.kernels.numba_kernels.memory import helper, inlined, like, offset, share, stack, stack_int32
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.tile import vector_lanes
from fastnn.kernels.numba_kernels.window_pairs import (
    max_pairs,
    max_pairs_backward,
    mean_pairs,
    mean_pairs_backward,
)
from fastnn.kernels.numba_kernels.window_rows import (
    add_to_windows,
    argmax_windows,
    max_windows,
    mean_windows,
)

_Shape = namedtuple("_Shape", "planes h w size_r size_s stride_h stride_w pad_top pad_left out_h out_w")


@inlined
def _shape(n):
    """The sizes in the kernel list's order."""
    return _Shape(n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10])


@inlined
def _are_pairs(o):
    """Whether the windows are 2 x 2 and lie side by side."""
    return (
        o.size_r == 2 and o.size_s == 2 and o.stride_h == 2 and o.stride_w == 2
        and o.pad_top == 0 and o.pad_left == 0 and 2 * o.out_h <= o.h and 2 * o.out_w <= o.w
    )  # fmt: skip


@inlined
def _rows(o, p):
    """The rows inside that output row p covers: begin, end."""
    top = p * o.stride_h - o.pad_top
    return max(top, 0), min(top + o.size_r, o.h)


@helper
def _clear(o, x):
    for i in range(o.h * o.w):
        x[i] = like(x[0], 0)


@inlined
def _clear_rest(o, x):
    """Clear the plane if windows side by side don't cover it."""
    if 2 * o.out_h < o.h or 2 * o.out_w < o.w:
        _clear(o, x)


@kernel
def max_pool2d(t, n, s, thread, threads):
    """y = the maximum of each window of x; a NaN in the window wins."""
    o, lanes = _shape(n), vector_lanes(t[0])
    first_plane, last_plane = share(o.planes, 1, thread, threads)
    for plane in range(first_plane, last_plane):
        x, y = offset(t[0], plane * o.h * o.w), offset(t[1], plane * o.out_h * o.out_w)
        if _are_pairs(o):
            for p in range(o.out_h):
                for q in range(0, o.out_w, lanes):
                    pixels, to = offset(x, 2 * (p * o.w + q)), offset(y, p * o.out_w + q)
                    max_pairs(pixels, o.w, o.w - 2 * q, to, o.out_w - q)
            continue
        for p in range(o.out_h):
            begin, end = _rows(o, p)
            for q in range(0, o.out_w, lanes):
                left, to = q * o.stride_w - o.pad_left, offset(y, p * o.out_w + q)
                max_windows(x, o.w, begin, end, left, o.size_s, o.stride_w, o.out_w - q, to)


@kernel
def max_pool2d_backward(t, n, s, thread, threads):
    """dx = Σ of dy over the windows whose maximum is here: the first in row order, or the last NaN; times
    1[x > 0] if relu.
    """
    o, lanes, relu = _shape(n), vector_lanes(t[1]), n[11] != 0
    largest, where = stack(t[1], 16), stack_int32(t[1], 16)
    first_plane, last_plane = share(o.planes, 1, thread, threads)
    for plane in range(first_plane, last_plane):
        x, dx = offset(t[1], plane * o.h * o.w), offset(t[2], plane * o.h * o.w)
        dy = offset(t[0], plane * o.out_h * o.out_w)
        if _are_pairs(o):
            _clear_rest(o, dx)
            for p in range(o.out_h):
                for q in range(0, o.out_w, lanes):
                    gradient, at = offset(dy, p * o.out_w + q), 2 * (p * o.w + q)
                    max_pairs_backward(
                        gradient, o.out_w - q, offset(x, at), o.w, o.w - 2 * q, relu, offset(dx, at)
                    )
            continue
        _clear(o, dx)
        for p in range(o.out_h):
            begin, end = _rows(o, p)
            for q in range(0, o.out_w, lanes):
                left = q * o.stride_w - o.pad_left
                argmax_windows(x, o.w, begin, end, left, o.size_s, o.stride_w, largest, where)
                for j in range(min(lanes, o.out_w - q)):
                    # A select, not a branch that data would make unpredictable.
                    gradient = dy[p * o.out_w + q + j]
                    dx[where[j]] += gradient if largest[j] > 0 or not relu else like(gradient, 0)


@kernel
def avg_pool2d(t, n, s, thread, threads):
    """y = Σ of each window of x / (r s), padding counted as zeros."""
    o, lanes = _shape(n), vector_lanes(t[0])
    area = like(t[0][0], o.size_r * o.size_s)
    first_plane, last_plane = share(o.planes, 1, thread, threads)
    for plane in range(first_plane, last_plane):
        x, y = offset(t[0], plane * o.h * o.w), offset(t[1], plane * o.out_h * o.out_w)
        if _are_pairs(o):
            for p in range(o.out_h):
                for q in range(0, o.out_w, lanes):
                    pixels, to = offset(x, 2 * (p * o.w + q)), offset(y, p * o.out_w + q)
                    mean_pairs(pixels, o.w, o.w - 2 * q, to, o.out_w - q)
            continue
        for p in range(o.out_h):
            begin, end = _rows(o, p)
            for q in range(0, o.out_w, lanes):
                left, to = q * o.stride_w - o.pad_left, offset(y, p * o.out_w + q)
                mean_windows(x, o.w, begin, end, left, o.size_s, o.stride_w, o.out_w - q, area, to)


@kernel
def avg_pool2d_backward(t, n, s, thread, threads):
    """dx = Σ of dy over the windows that cover x here / (r s)."""
    o, lanes = _shape(n), vector_lanes(t[0])
    area = like(t[0][0], o.size_r * o.size_s)
    first_plane, last_plane = share(o.planes, 1, thread, threads)
    for plane in range(first_plane, last_plane):
        dx, dy = offset(t[1], plane * o.h * o.w), offset(t[0], plane * o.out_h * o.out_w)
        if _are_pairs(o):
            _clear_rest(o, dx)
            for p in range(o.out_h):
                for q in range(0, o.out_w, lanes):
                    gradient, at = offset(dy, p * o.out_w + q), 2 * (p * o.w + q)
                    mean_pairs_backward(gradient, o.out_w - q, o.w, o.w - 2 * q, offset(dx, at))
            continue
        _clear(o, dx)
        for p in range(o.out_h):
            begin, end = _rows(o, p)
            row = offset(dy, p * o.out_w)
            for j in range(0, o.w, lanes):
                add_to_windows(
                    row, o.out_w, area, o.size_s, o.stride_w, j + o.pad_left, o.w - j, offset(dx, j), o.w,
                    begin, end,
                )  # fmt: skip
