"""The fast convolution: convolution_naive.py says what it computes.

All three kernels are matrix products whose b is a matrix of patches. Of that matrix only one panel exists at
a time, on the thread's stack: PANEL_K rows of one pixel (or tap: an element of the window of one channel) a
column.
"""

from __future__ import annotations

from collections import namedtuple

from fastnn.kernels.numba_kernels.algebra import PANEL_K, PANEL_SIZE, multiply_rows
from fastnn.kernels.numba_kernels.memory import (
    free,
    heap,
    helper,
    inlined,
    is_null,
    like,
    null,
    offset,
    share,
    stack,
)
from fastnn.kernels.numba_kernels.packing import copy_part
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.tile import tile_columns

_Shape = namedtuple(
    "_Shape",
    "images h w size_r size_s stride_h stride_w pad_top pad_left dilation_h dilation_w groups out_h out_w "
    "channels filters",
)


@inlined
def _shape(n):
    """The sizes in the kernel list's order, with the channels and filters of one group."""
    return _Shape(
        n[0], n[2], n[3], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
        n[1] // n[13], n[4] // n[13],
    )  # fmt: skip


@inlined
def _ceil_divide(a, b):
    return -(-a // b)


@inlined
def _next(o, e, u, v):
    """The tap after (e, u, v): first the window's columns, then its rows, then the planes."""
    v += 1
    if v == o.size_s:
        v = 0
        u += 1
    if u == o.size_r:
        u = 0
        e += 1
    return e, u, v


@inlined
def _tap(o, index):
    """The plane e and the window element (u, v) of a tap."""
    e, window_element = index // (o.size_r * o.size_s), index % (o.size_r * o.size_s)
    return e, window_element // o.size_s, window_element % o.size_s


@inlined
def _take(x, size, first, to, count):
    """to[j] = x[first + j] for j < count ≤ tile_columns, 0 where that lies outside x (size,)."""
    copy_part(offset(x, first), max(-first, 0), min(size - first, count), to, count)


@helper
def _take_strided(x, size, first, stride, to, to_stride, count):
    """to[j] = x[first + j stride] for j < count, 0 where that lies outside x (size,); strides in elements."""
    zero = like(to[0], 0)
    if stride == 1:
        begin, end = max(-first, 0), size - first
    else:
        begin, end = max(_ceil_divide(-first, stride), 0), _ceil_divide(size - first, stride)
    begin = min(begin, count)
    end = max(min(end, count), begin)
    for j in range(begin):
        to[j * to_stride] = zero
    for j in range(begin, end):
        to[j * to_stride] = x[first + j * stride]
    for j in range(end, count):
        to[j * to_stride] = zero


@helper
def _take_spread(x, size, first, stride, to, count):
    """to[j] = x[(first + j) / stride] for j < count where that is an index of x (size,), else 0."""
    zero = like(to[0], 0)
    for j in range(count):
        to[j] = zero
    begin = max(_ceil_divide(first, stride), 0)
    end = min(_ceil_divide(first + count, stride), size)
    for q in range(begin, end):
        to[q * stride - first] = x[q]


@helper
def _take_window(o, plane, u, v, p, q, to, to_stride, count):
    """to[j] = what window element (u, v) meets at the output (p, q) + j, of a plane (h, w), for j < count."""
    j = 0
    while j < count:
        width = min(o.out_w - q, count - j)
        row = p * o.stride_h - o.pad_top + u * o.dilation_h
        size = o.w if 0 <= row < o.h else 0
        first = q * o.stride_w - o.pad_left + v * o.dilation_w
        x, target = offset(plane, row * o.w), offset(to, j * to_stride)
        if o.stride_w == 1 and to_stride == 1:
            _take(x, size, first, target, width)
        else:
            _take_strided(x, size, first, o.stride_w, target, to_stride, width)
        j += width
        p, q = p + 1, 0


@helper
def _take_window_backward(o, plane, u, v, i, column, to, count):
    """to[j] = the output that meets the input (i, column) + j by (u, v), of a plane (out_h, out_w), or 0."""
    j = 0
    while j < count:
        width = min(o.w - column, count - j)
        row = i + o.pad_top - u * o.dilation_h
        p = row if o.stride_h == 1 else row // o.stride_h
        size = o.out_w if p * o.stride_h == row and 0 <= p < o.out_h else 0
        first = column + o.pad_left - v * o.dilation_w
        outputs = offset(plane, p * o.out_w)
        if o.stride_w == 1:
            _take(outputs, size, first, offset(to, j), width)
        else:
            _take_spread(outputs, size, first, o.stride_w, offset(to, j), width)
        j += width
        i, column = i + 1, 0


@kernel
def conv2d(t, n, s, thread, threads):
    """y = relu?(bias + x * weight): c (filters, pixels) = a (filters, taps) b (taps, pixels), image by image.

    The threads divide the panels of pixels of all images and groups.
    """
    o, relu = _shape(n), n[16] != 0
    bias, y = t[2], t[3]
    width = tile_columns(t[0])
    panel = stack(t[0], PANEL_SIZE)
    pixels, taps = o.out_h * o.out_w, o.channels * o.size_r * o.size_s
    panels = (pixels + width - 1) // width
    begin, end = share(o.images * o.groups * panels, 1, thread, threads)
    for unit in range(begin, end):
        image_group = unit // panels
        first_filter = image_group % o.groups * o.filters
        pixel = unit % panels * width
        p, q = pixel // o.out_w, pixel % o.out_w
        columns = min(width, pixels - pixel)
        x = offset(t[0], image_group * o.channels * o.h * o.w)
        c = offset(y, image_group * o.filters * pixels + pixel), pixels
        for f in range(o.filters):
            value = like(y[0], 0) if is_null(bias) else bias[first_filter + f]
            for j in range(columns):
                c[0][f * pixels + j] = value
        for tap in range(0, max(taps, 1), PANEL_K):  # once even if there are none: the output is written
            depth = min(PANEL_K, taps - tap)
            e, u, v = _tap(o, tap)
            for k in range(depth):
                _take_window(o, offset(x, e * o.h * o.w), u, v, p, q, offset(panel, k * width), 1, columns)
                e, u, v = _next(o, e, u, v)
            a = offset(t[1], first_filter * taps + tap), taps, 1
            is_last = tap + depth == taps
            multiply_rows(o.filters, columns, depth, a, (panel, width), c, c, (null(y), 0), relu and is_last)


@helper
def _transpose_weight(o, weight, transposed):
    """transposed (groups, channels, filters, window) = weight (groups, filters, channels, window)."""
    window = o.size_r * o.size_s
    for g in range(o.groups):
        for f in range(o.filters):
            for e in range(o.channels):
                to = ((g * o.channels + e) * o.filters + f) * window
                at = ((g * o.filters + f) * o.channels + e) * window
                for k in range(window):
                    transposed[to + k] = weight[at + k]


@kernel
def conv2d_backward_input(t, n, s, thread, threads):
    """dx: c (channels, pixels) = a (channels, taps) b (taps, pixels), the taps here being filters x window.

    Times 1[mask > 0] where there is a mask. The threads divide the panels of input pixels of all images and
    groups. The weights are transposed on the heap.
    """
    o = _shape(n)
    masked, dx = not is_null(t[2]), t[3]
    width = tile_columns(dx)
    panel = stack(dx, PANEL_SIZE)
    window, pixels = o.size_r * o.size_s, o.h * o.w
    taps, panels = o.filters * window, (pixels + width - 1) // width
    begin, end = share(o.images * o.groups * panels, 1, thread, threads)
    if begin == end:
        return
    transposed = heap(dx, o.groups * o.channels * taps)
    _transpose_weight(o, t[1], transposed)
    for unit in range(begin, end):
        image_group = unit // panels
        g, pixel = image_group % o.groups, unit % panels * width
        i, column = pixel // o.w, pixel % o.w
        columns = min(width, pixels - pixel)
        dy = offset(t[0], image_group * o.filters * o.out_h * o.out_w)
        c = offset(dx, image_group * o.channels * pixels + pixel), pixels
        for tap in range(0, max(taps, 1), PANEL_K):  # once even if there are none: the output is written
            depth = min(PANEL_K, taps - tap)
            f, u, v = _tap(o, tap)
            for k in range(depth):
                plane = offset(dy, f * o.out_h * o.out_w)
                _take_window_backward(o, plane, u, v, i, column, offset(panel, k * width), columns)
                f, u, v = _next(o, f, u, v)
            a = offset(transposed, g * o.channels * taps + tap), taps, 1
            start = c if tap > 0 else (null(dx), 0)
            mask = null(dx), pixels
            if masked and tap + PANEL_K >= taps:
                mask = offset(t[2], image_group * o.channels * pixels + pixel), pixels
            multiply_rows(o.channels, columns, depth, a, (panel, width), c, start, mask, False)
    free(transposed)


@kernel
def conv2d_backward_weight(t, n, s, thread, threads):
    """dweight: c (filters, taps) = a (filters, pixels) b (pixels, taps), over the images; dbias[f] = Σ dy[f].

    The threads divide the panels of taps of all groups, and the filters for dbias.
    """
    o = _shape(n)
    dy, dweight, dbias = t[1], t[2], t[3]
    width = tile_columns(dy)
    panel = stack(dy, PANEL_SIZE)
    window, pixels = o.size_r * o.size_s, o.out_h * o.out_w
    taps = o.channels * window
    panels = (taps + width - 1) // width
    begin, end = share(o.groups * panels, 1, thread, threads)
    for unit in range(begin, end):
        g, tap = unit // panels, unit % panels * width
        columns = min(width, taps - tap)
        c = offset(dweight, g * o.filters * taps + tap), taps
        for f in range(o.filters):
            for k in range(columns):
                c[0][f * taps + k] = like(dy[0], 0)
        for i in range(o.images):
            image_group = i * o.groups + g
            x = offset(t[0], image_group * o.channels * o.h * o.w)
            for pixel in range(0, pixels, PANEL_K):
                depth = min(PANEL_K, pixels - pixel)
                p, q = pixel // o.out_w, pixel % o.out_w
                e, u, v = _tap(o, tap)
                for k in range(columns):
                    _take_window(o, offset(x, e * o.h * o.w), u, v, p, q, offset(panel, k), width, depth)
                    e, u, v = _next(o, e, u, v)
                a = offset(dy, image_group * o.filters * pixels + pixel), pixels, 1
                multiply_rows(o.filters, columns, depth, a, (panel, width), c, c, (null(dy), 0), False)
    if is_null(dbias):
        return
    begin, end = share(o.groups * o.filters, 1, thread, threads)
    for f in range(begin, end):
        total = like(dy[0], 0)
        for i in range(o.images):
            for j in range(pixels):
                total += dy[(i * o.groups * o.filters + f) * pixels + j]
        dbias[f] = total
