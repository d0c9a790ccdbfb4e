"""Convolutions whose window is as large as the image: dense layers.

x is (images, taps), weight (filters, taps), y (images, filters). The products are made by the convolutions'
tiles, which takes less code to compile than matmul's.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.memory import (
    free,
    heap,
    heap_int64,
    helper,
    is_null,
    like,
    offset,
    share,
    stack,
)
from fastnn.kernels.numba_kernels.packing import pack_panel
from fastnn.kernels.numba_kernels.tap_tiles import correlate, sum_taps
from fastnn.kernels.numba_kernels.tile import tile_columns, vector_lanes


@helper
def _multiply(m, k, a, b, b_row, b_column, begin, end, c, c_row):
    """c (m, ·) = a (m, k) b (k, ·), the columns begin … end − 1, of which a panel is packed at a time."""
    width = tile_columns(c)
    panel, offsets, zero = heap(c, k * width), heap_int64(c, k), stack(c, 1)
    zero[0] = like(c[0], 0)
    for i in range(k):
        offsets[i] = i * width
    for j in range(begin, end, width):
        columns = min(width, end - j)
        pack_panel(k, columns, offset(b, j * b_column), b_row, b_column, panel)
        correlate(m, columns, k, a, k, panel, offsets, zero, 0, offset(c, j), c_row, False)
    free(panel)
    free(offsets)


@helper
def dense(images, filters, taps, x, weight, bias, relu, y, thread, threads):
    """y = relu?(x weightᵀ + bias); the threads divide the filters."""
    begin, end = share(filters, tile_columns(y), thread, threads)
    _multiply(images, taps, x, weight, 1, taps, begin, end, y, filters)
    for i in range(images):
        for f in range(begin, end):
            value = y[i * filters + f]
            if not is_null(bias):
                value += bias[f]
            y[i * filters + f] = like(value, 0) if relu and value < 0 else value


@helper
def dense_backward_input(images, filters, taps, dy, weight, mask, dx, thread, threads):
    """dx = dy weight · 1[mask > 0]?; the threads divide the taps."""
    begin, end = share(taps, tile_columns(dx), thread, threads)
    _multiply(images, filters, dy, weight, taps, 1, begin, end, dx, taps)
    if not is_null(mask):
        for i in range(images):
            for k in range(i * taps + begin, i * taps + end):
                dx[k] = dx[k] if mask[k] > 0 else like(dx[0], 0)


@helper
def dense_backward_weight(images, filters, taps, x, dy, dweight, dbias, thread, threads):
    """dweight = dyᵀ x, dbias = Σ over images of dy; the threads divide the taps, and the filters for dbias.

    Some images at a time are added to the sums of a panel of taps.
    """
    width, lanes = tile_columns(x), vector_lanes(x)
    begin, end = share(taps, width, thread, threads)
    turned, offsets = heap(x, filters * width), heap_int64(x, filters)
    total, panel = heap(x, filters * width), heap(x, width * width)
    for f in range(filters):
        offsets[f] = f * width
    for j in range(begin, end, width):
        columns = min(width, end - j)
        for k in range(filters * width):
            total[k] = like(x[0], 0)
        for i in range(0, images, width):
            count = min(width, images - i)
            pack_panel(filters, count, offset(dy, i * filters), 1, filters, turned)
            pack_panel(count, columns, offset(x, i * taps + j), taps, 1, panel)
            sum_taps(filters, count, turned, offsets, panel, (columns + lanes - 1) // lanes, total, width)
        for f in range(filters):
            for k in range(columns):
                dweight[f * taps + j + k] = total[f * width + k]
    free(turned)
    free(offsets)
    free(total)
    free(panel)
    if not is_null(dbias):
        begin, end = share(filters, 1, thread, threads)
        for f in range(begin, end):
            dbias[f] = like(dy[0], 0)
        for i in range(images):
            for f in range(begin, end):
                dbias[f] += dy[i * filters + f]
