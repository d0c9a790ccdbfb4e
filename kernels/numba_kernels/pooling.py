"""Pooling: x, dx (planes, h, w), y, dy (planes, out_h, out_w); a plane is a channel of an image.

The output (p, q) covers the input's rows p stride_h − pad_top … + r − 1 and columns q stride_w − pad_left … +
s − 1, as far as they lie inside. Every window holds at least one element of the image. The threads divide the
planes.
"""

from __future__ import annotations

from collections import namedtuple

from fastnn.kernels.numba_kernels.memory import free, heap, heap_int32, helper, inlined, like, offset, share
from fastnn.kernels.numba_kernels.reductions import row_max, row_sum
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.tile import vector_lanes
from fastnn.kernels.numba_kernels.window_loops import Window
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
def _window(o):
    return Window(
        o.h, o.w, o.size_r, o.size_s, o.stride_h, o.stride_w, o.pad_top, o.pad_left, o.out_h, o.out_w
    )  # fmt: skip


@inlined
def _are_pairs(o):
    """Whether the windows are 2 x 2 and lie side by side."""
    return (
        o.size_r == 2 and o.size_s == 2 and o.stride_h == 2 and o.stride_w == 2
        and o.pad_top == 0 and o.pad_left == 0 and 2 * o.out_h <= o.h and 2 * o.out_w <= o.w
    )  # fmt: skip


@inlined
def _pairs(o, lanes):
    """The windows of a row in whole vectors, and the rest: apart, so that masks are made once, if at all.

    And the rows that go by twos, which fill a vector better: of planes no wider than one.
    """
    whole = o.out_w // lanes * lanes
    return whole, o.out_w - whole, o.out_h // 2 * 2 if o.w <= lanes else 0


@inlined
def _is_whole(o):
    """Whether there is one window, which is the whole plane."""
    return (
        o.out_h == 1 and o.out_w == 1 and o.size_r == o.h and o.size_s == o.w and o.pad_top + o.pad_left == 0
    )


@helper
def _first_maximum(x, count):
    """The index of the maximum, or of the last NaN."""
    largest, k = row_max(x, count), 0
    if largest != largest:
        k = count - 1
        while x[k] == x[k]:
            k -= 1
    else:
        while x[k] != largest:
            k += 1
    return k


@inlined
def _rows(o, p):
    """The rows inside that output row p covers: begin, end."""
    top = p * o.stride_h - o.pad_top
    return max(top, 0), min(top + o.size_r, o.h)


@helper
def _fill(o, x, value):
    for i in range(o.h * o.w):
        x[i] = value


@inlined
def _clear_rest(o, x, lanes):
    """Clear what of the plane the backward pass of windows side by side doesn't write."""
    if o.w > 2 * (o.out_w // lanes + 1) * lanes:
        _fill(o, x, like(x[0], 0))
    elif 2 * o.out_h < o.h:
        for i in range(2 * o.out_h * o.w, o.h * o.w):
            x[i] = like(x[0], 0)


@kernel
def max_pool2d(t, n, s, thread, threads):
    """y = the maximum of each window of x; a NaN in the window wins."""
    o, lanes = _shape(n), vector_lanes(t[0])
    size, out_size = o.h * o.w, o.out_h * o.out_w
    whole, rest, twos = _pairs(o, lanes)
    begin, end = share(o.planes, 1, thread, threads)
    if _are_pairs(o):
        for plane in range(begin, end):
            x, y = offset(t[0], plane * size), offset(t[1], plane * out_size)
            for p in range(0, twos, 2):
                max_pairs(2, offset(x, 2 * p * o.w), o.w, o.w, offset(y, p * o.out_w), o.out_w)
            for p in range(twos, o.out_h):
                row, to = offset(x, 2 * p * o.w), offset(y, p * o.out_w)
                for q in range(0, whole, lanes):
                    max_pairs(1, offset(row, 2 * q), o.w, 2 * lanes, offset(to, q), lanes)
                if rest > 0:
                    max_pairs(1, offset(row, 2 * whole), o.w, o.w - 2 * whole, offset(to, whole), rest)
    elif _is_whole(o):
        for plane in range(begin, end):
            t[1][plane] = row_max(offset(t[0], plane * size), size)
    else:
        for plane in range(begin, end):
            max_windows(offset(t[0], plane * size), _window(o), offset(t[1], plane * out_size))


@kernel
def max_pool2d_backward(t, n, s, thread, threads):
    """dx = Σ of dy over the windows whose maximum is here: the first in row order, or the last NaN; times
    1[x > 0] if relu.
    """
    o, lanes, relu = _shape(n), vector_lanes(t[1]), n[11] != 0
    largest, where = heap(t[1], o.out_h * o.out_w), heap_int32(t[1], o.out_h * o.out_w)
    whole, rest, twos = _pairs(o, lanes)
    first_plane, last_plane = share(o.planes, 1, thread, threads)
    for plane in range(first_plane, last_plane):
        x, dx = offset(t[1], plane * o.h * o.w), offset(t[2], plane * o.h * o.w)
        dy = offset(t[0], plane * o.out_h * o.out_w)
        if _are_pairs(o):
            _clear_rest(o, dx, lanes)
            for p in range(0, twos, 2):
                at = 2 * p * o.w
                max_pairs_backward(
                    2, offset(dy, p * o.out_w), o.out_w, offset(x, at), o.w, o.w, relu, offset(dx, at)
                )
            for p in range(twos, o.out_h):
                gradient, first = offset(dy, p * o.out_w), 2 * p * o.w
                for q in range(0, whole, lanes):
                    at = first + 2 * q
                    max_pairs_backward(
                        1, offset(gradient, q), lanes, offset(x, at), o.w, 2 * lanes, relu, offset(dx, at)
                    )
                if o.w > 2 * whole:  # clears the columns that no window covers, too
                    at, columns = first + 2 * whole, o.w - 2 * whole
                    max_pairs_backward(
                        1, offset(gradient, whole), rest, offset(x, at), o.w, columns, relu, offset(dx, at)
                    )
            continue
        _fill(o, dx, like(dx[0], 0))
        if _is_whole(o):
            k = _first_maximum(x, o.h * o.w)
            dx[k] = dy[0] if x[k] > 0 or not relu else like(dy[0], 0)
            continue
        argmax_windows(x, _window(o), largest, where)
        for j in range(o.out_h * o.out_w):
            # A select, not a branch that data would make unpredictable.
            dx[where[j]] += dy[j] if largest[j] > 0 or not relu else like(dy[0], 0)
    free(largest)
    free(where)


@kernel
def avg_pool2d(t, n, s, thread, threads):
    """y = Σ of each window of x / (r s), padding counted as zeros."""
    o, lanes = _shape(n), vector_lanes(t[0])
    size, out_size = o.h * o.w, o.out_h * o.out_w
    area = like(t[0][0], o.size_r * o.size_s)
    whole, rest, twos = _pairs(o, lanes)
    begin, end = share(o.planes, 1, thread, threads)
    if _are_pairs(o):
        for plane in range(begin, end):
            x, y = offset(t[0], plane * size), offset(t[1], plane * out_size)
            for p in range(0, twos, 2):
                mean_pairs(2, offset(x, 2 * p * o.w), o.w, o.w, offset(y, p * o.out_w), o.out_w)
            for p in range(twos, o.out_h):
                row, to = offset(x, 2 * p * o.w), offset(y, p * o.out_w)
                for q in range(0, whole, lanes):
                    mean_pairs(1, offset(row, 2 * q), o.w, 2 * lanes, offset(to, q), lanes)
                if rest > 0:
                    mean_pairs(1, offset(row, 2 * whole), o.w, o.w - 2 * whole, offset(to, whole), rest)
    elif _is_whole(o):
        for plane in range(begin, end):
            t[1][plane] = row_sum(offset(t[0], plane * size), size) / area
    else:
        for plane in range(begin, end):
            mean_windows(offset(t[0], plane * size), _window(o), area, offset(t[1], plane * out_size))


@kernel
def avg_pool2d_backward(t, n, s, thread, threads):
    """dx = Σ of dy over the windows that cover x here / (r s)."""
    o, lanes = _shape(n), vector_lanes(t[0])
    area = like(t[0][0], o.size_r * o.size_s)
    whole, rest, twos = _pairs(o, lanes)
    first_plane, last_plane = share(o.planes, 1, thread, threads)
    if _are_pairs(o):
        for plane in range(first_plane, last_plane):
            dx, dy = offset(t[1], plane * o.h * o.w), offset(t[0], plane * o.out_h * o.out_w)
            _clear_rest(o, dx, lanes)
            for p in range(0, twos, 2):
                mean_pairs_backward(2, offset(dy, p * o.out_w), o.out_w, o.w, o.w, offset(dx, 2 * p * o.w))
            for p in range(twos, o.out_h):
                gradient, to = offset(dy, p * o.out_w), offset(dx, 2 * p * o.w)
                for q in range(0, whole, lanes):
                    mean_pairs_backward(1, offset(gradient, q), lanes, o.w, 2 * lanes, offset(to, 2 * q))
                if o.w > 2 * whole:
                    at, columns = offset(to, 2 * whole), o.w - 2 * whole
                    mean_pairs_backward(1, offset(gradient, whole), rest, o.w, columns, at)
        return
    for plane in range(first_plane, last_plane):
        dx, dy = offset(t[1], plane * o.h * o.w), offset(t[0], plane * o.out_h * o.out_w)
        if _is_whole(o):
            _fill(o, dx, dy[0] / area)
            continue
        _fill(o, dx, like(dx[0], 0))
        for p in range(o.out_h):
            begin, end = _rows(o, p)
            row = offset(dy, p * o.out_w)
            for j in range(0, o.w, lanes):
                add_to_windows(
                    row, o.out_w, area, o.size_s, o.stride_w, j + o.pad_left, o.w - j, offset(dx, j), o.w,
                    begin, end,
                )  # fmt: skip
