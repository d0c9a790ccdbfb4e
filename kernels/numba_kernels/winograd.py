"""Winograd's form of the 3 x 3 convolution with a stride of 1: winograd_tiles.py has the formula.

A channel costs 16 multiply-adds a tile of 2 x 2 outputs instead of 36: one for each place of the transformed
piece. Places don't meet, so the sums over channels, or over tiles, are 16 matrix products. All factors are 0,
±1 or ½: sums of small integers stay exact. An infinite source pixel makes NaN of its whole tile.
"""

from __future__ import annotations

import math

from fastnn.kernels.numba_kernels.memory import (
    free,
    heap,
    heap_int64,
    helper,
    inlined,
    is_null,
    like,
    null,
    offset,
    share,
    stack,
)
from fastnn.kernels.numba_kernels.packing import pack_panel, turn_in
from fastnn.kernels.numba_kernels.tap_tiles import correlate, sum_taps
from fastnn.kernels.numba_kernels.tile import tile_columns, vector_lanes
from fastnn.kernels.numba_kernels.window import ceil_divide
from fastnn.kernels.numba_kernels.window_loops import Window
from fastnn.kernels.numba_kernels.winograd_tiles import (
    transform_gradient,
    transform_output,
    transform_source,
    transform_sums,
    transform_weight,
)

# Tiles that are transformed together: with 64 channels they fill half of a 1 MiB L2.
_TILES = 112
# Filters whose transformed weights are kept at a time, and those that go through all places at a time.
_BLOCK_FILTERS, _PRODUCT_FILTERS = 128, 32
# Channels whose sums are kept at a time, with those of _BLOCK_FILTERS.
_BLOCK_CHANNELS = 64
# With fewer channels or filters the transforms cost more than the products save.
_LEAST = 16
# The nine weights of a vector of channels.
_TAPS_SIZE = 9 * 16


@inlined
def winograd_suits(rows, columns, channels, filters, lanes):
    """Whether the window is 3 x 3 and goes over planes and channels that pay for the transforms."""
    area = rows.out * columns.out
    is_few = area <= 2 * lanes or (area < 4 * lanes and channels <= 32)
    return (
        rows.taps == 3 and columns.taps == 3 and rows.stride == 1 and columns.stride == 1
        and rows.dilation == 1 and columns.dilation == 1 and channels >= _LEAST and filters >= _LEAST
        and not is_few
    )  # fmt: skip


@inlined
def _fill(x, value, count):
    for k in range(count):
        x[k] = value


@inlined
def _transform_weights(weight, filters, channels, u, place):
    """u (16, filters, channels) of weight (filters, channels, 3, 3)."""
    lanes, taps = vector_lanes(u), stack(u, _TAPS_SIZE)
    for f in range(filters):
        for e in range(0, channels, lanes):
            at = f * channels + e
            for i in range(0, 9, lanes):
                source, to = offset(weight, 9 * at + i), offset(taps, i * lanes)
                turn_in(min(lanes, channels - e), min(lanes, 9 - i), source, 9, to, lanes)
            transform_weight(taps, offset(u, at), place)


@helper
def winograd(
    rows, columns, images, groups, channels, filters, x, weight, bias, mask, relu, y, thread, threads
):
    """y = relu?(bias + x * weight) · 1[mask > 0]?, from `channels` to `filters` planes an image and group.

    weight is (groups, filters, channels, 3, 3). The threads divide the strips of rows of tiles of all images.
    """
    lanes = vector_lanes(x)
    tiles_h, tiles_w = (rows.out + 1) // 2, (columns.out + 1) // 2
    # Short enough that every thread gets strips.
    most_rows = ceil_divide(tiles_h, ceil_divide(threads, max(1, images)))
    strip_rows = max(1, min(_TILES // tiles_w, most_rows))
    strips = ceil_divide(tiles_h, strip_rows)
    begin, end = share(images * strips, 1, thread, threads)
    # A vector may run over; and places must not meet in the same sets of L1.
    row = ceil_divide(strip_rows * tiles_w, lanes) * lanes + lanes
    u_place, v_place = min(filters, _BLOCK_FILTERS) * channels + lanes, channels * row + lanes
    m_place = _PRODUCT_FILTERS * row + lanes
    u, offsets = heap(x, 16 * (u_place + v_place + m_place) + columns.source), heap_int64(x, channels)
    v = offset(u, 16 * u_place)
    m = offset(v, 16 * v_place)
    zeros = offset(m, 16 * m_place)
    zero, floor = like(x[0], 0), like(x[0], 0 if relu else -math.inf)
    _fill(zeros, zero, columns.source)
    none = stack(x, 1)
    none[0] = zero
    for e in range(channels):
        offsets[e] = e * row
    area = rows.source * columns.source
    for g in range(groups):
        for first_filter in range(g * filters, (g + 1) * filters, _BLOCK_FILTERS):
            block = min(_BLOCK_FILTERS, (g + 1) * filters - first_filter)
            _transform_weights(offset(weight, first_filter * channels * 9), block, channels, u, u_place)
            for unit in range(begin, end):
                image, first = unit // strips, unit % strips * strip_rows
                count = min(strip_rows, tiles_h - first)
                pieces = Window(
                    rows.source, columns.source, 4, 4, 2, 2, -rows.first - 2 * first, -columns.first, count,
                    tiles_w,
                )  # fmt: skip
                source = offset(x, (image * groups + g) * channels * area)
                for e in range(channels):
                    transform_source(offset(source, e * area), pieces, zeros, offset(v, e * row), v_place)
                for f in range(0, block, _PRODUCT_FILTERS):
                    product_filters = min(_PRODUCT_FILTERS, block - f)
                    for k in range(16):
                        correlate(
                            product_filters, count * tiles_w, channels, offset(u, k * u_place + f * channels),
                            channels, offset(v, k * v_place), offsets, none, 0, offset(m, k * m_place), row,
                            False,
                        )  # fmt: skip
                    for i in range(product_filters):
                        filter_ = first_filter + f + i
                        start = zero if is_null(bias) else bias[filter_]
                        plane = (image * groups * filters + filter_) * rows.out * columns.out
                        transform_output(
                            offset(m, i * row), m_place, count, tiles_w, start, floor,
                            offset(y, plane + 2 * first * columns.out), rows.out - 2 * first, columns.out,
                        )  # fmt: skip
                        if not is_null(mask):
                            last = plane + min(rows.out, 2 * (first + count)) * columns.out
                            for k in range(plane + 2 * first * columns.out, last):
                                y[k] = y[k] if mask[k] > 0 else zero
    free(u)
    free(offsets)


@helper
def _pack_gradient(dy, filters, area, width, rows, panel, sums):
    """panel (·, 2 tiles, tile_columns) = the rows of dy (filters, rows, width), its filters `area` apart.

    Zeros fill up the last tile. Adds the rows to sums (tile_columns), unless it is null.
    """
    columns, row = tile_columns(dy), (width + width % 2) * tile_columns(dy)
    for i in range(rows):
        to = offset(panel, i * row)
        pack_panel(width, filters, offset(dy, i * width), 1, area, to)
        _fill(offset(to, width * columns), like(dy[0], 0), row - width * columns)
        if not is_null(sums):
            for k in range(width):
                for f in range(columns):
                    sums[f] += to[k * columns + f]
    _fill(offset(panel, rows * row), like(dy[0], 0), rows % 2 * row)


@helper
def winograd_weight(rows, columns, images, groups, channels, filters, x, dy, dweight, dbias, thread, threads):
    """dweight and dbias. The threads divide the channels of all groups; a sum is one chain over the tiles."""
    lanes, width = vector_lanes(x), tile_columns(x)
    tiles_h, tiles_w = (rows.out + 1) // 2, (columns.out + 1) // 2
    strip_rows = max(1, min(_TILES // tiles_w, tiles_h))
    tiles = strip_rows * tiles_w
    row = ceil_divide(tiles, lanes) * lanes + lanes
    v_place, m_place = _BLOCK_CHANNELS * row + lanes, tiles * width + lanes
    u_row = ceil_divide(min(filters, _BLOCK_FILTERS), width) * width
    u_place = _BLOCK_CHANNELS * u_row + lanes
    area, out_area = rows.source * columns.source, rows.out * columns.out
    u, offsets = (
        heap(x, 16 * (u_place + v_place + m_place) + 4 * tiles * width + u_row + columns.source),
        heap_int64(x, _BLOCK_CHANNELS),
    )
    v = offset(u, 16 * u_place)
    m = offset(v, 16 * v_place)
    panel = offset(m, 16 * m_place)
    sums = offset(panel, 4 * tiles * width)
    zeros = offset(sums, u_row)
    _fill(zeros, like(x[0], 0), columns.source)
    taps = stack(x, _TAPS_SIZE)
    for e in range(_BLOCK_CHANNELS):
        offsets[e] = e * row
    at, end = share(groups * channels, 1, thread, threads)
    while at < end:
        g, first_channel = at // channels, at % channels
        count = min(min(end - at, channels - first_channel), _BLOCK_CHANNELS)
        for first_filter in range(0, filters, _BLOCK_FILTERS):
            block = min(_BLOCK_FILTERS, filters - first_filter)
            _fill(u, like(x[0], 0), 16 * u_place)
            _fill(sums, like(x[0], 0), u_row)
            for image in range(images):
                source = offset(x, ((image * groups + g) * channels + first_channel) * area)
                gradient = offset(dy, ((image * groups + g) * filters + first_filter) * out_area)
                for first in range(0, tiles_h, strip_rows):
                    tile_rows = min(strip_rows, tiles_h - first)
                    pieces = Window(
                        rows.source, columns.source, 4, 4, 2, 2, -rows.first - 2 * first, -columns.first,
                        tile_rows, tiles_w,
                    )  # fmt: skip
                    for e in range(count):
                        transform_source(offset(source, e * area), pieces, zeros, offset(v, e * row), v_place)
                    for f in range(0, block, width):
                        wide = min(width, block - f)
                        part = offset(gradient, f * out_area + 2 * first * columns.out)
                        dy_rows = min(2 * tile_rows, rows.out - 2 * first)
                        of_bias = offset(sums, f) if first_channel == 0 else null(x)
                        _pack_gradient(part, wide, out_area, columns.out, dy_rows, panel, of_bias)
                        transform_gradient(panel, tile_rows, tiles_w, m, m_place)
                        for k in range(16):
                            sum_taps(
                                count, tile_rows * tiles_w, offset(v, k * v_place), offsets,
                                offset(m, k * m_place), ceil_divide(wide, lanes), offset(u, k * u_place + f),
                                u_row,
                            )  # fmt: skip
            for e in range(count):
                for f in range(0, block, lanes):
                    transform_sums(offset(u, e * u_row + f), u_place, taps)
                    for lane in range(min(lanes, block - f)):
                        filter_ = g * filters + first_filter + f + lane
                        to = (filter_ * channels + first_channel + e) * 9
                        for i in range(9):
                            dweight[to + i] = taps[i * lanes + lane]
            if first_channel == 0 and not is_null(dbias):
                for f in range(block):
                    dbias[g * filters + first_filter + f] = sums[f]
        at += count
    free(u)
    free(offsets)
