"""Winograd's form of 3 x 3 windows with a stride of 1 or 2 and of 5 x 5 windows.

By winograd_tiles.py's formula a channel costs 16 multiply-adds a tile of 2 x 2 outputs instead of 36 (25 with
a stride of 2, 49 instead of 100 of 5 x 5 windows): one for each place of the transformed piece. Places don't
meet, so the sums over channels, or over tiles (winograd_weight.py), are as many matrix products. All factors
are 0, ±1 or ½: sums of small integers stay exact. An infinite source pixel makes NaN of its whole tile.
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
    offset,
    share,
    stack,
)
from fastnn.kernels.numba_kernels.packing import turn_in
from fastnn.kernels.numba_kernels.tap_tiles import correlate
from fastnn.kernels.numba_kernels.tile import vector_lanes
from fastnn.kernels.numba_kernels.window import ceil_divide
from fastnn.kernels.numba_kernels.winograd_source import fill_source, kind_of, part_of, scratch_size, tiles_of
from fastnn.kernels.numba_kernels.winograd_tiles import transform_output, transform_weight

# Filters whose transformed weights are kept at a time, and those that go through all places at a time.
BLOCK_FILTERS, _PRODUCT_FILTERS = 128, 32
# With fewer channels or filters the transforms cost more than the products save: of 3 x 3 windows with a
# stride of 1 and of 2, and of 5 x 5.
_LEAST, _LEAST_BY_2, _LEAST_5 = 16, 64, 24
# The weights of a vector of channels, at most.
TAPS_SIZE = 25 * 16


@inlined
def winograd_suits(rows, columns, channels, filters, lanes):
    """Whether there is such a kind of windows, and planes and channels pay for the transforms."""
    taps, stride, area = rows.taps, rows.stride, rows.out * columns.out
    if columns.taps != taps or columns.stride != stride or rows.dilation != 1 or columns.dilation != 1:
        return False
    if not ((taps == 3 and stride <= 2) or (taps == 5 and stride == 1)):
        return False
    least = _LEAST_5 if taps == 5 else _LEAST_BY_2 if stride == 2 else _LEAST
    is_few = area <= 2 * lanes or (area < 4 * lanes and channels <= 32)
    return channels >= least and filters >= least and not is_few


@inlined
def _transform_weights(kind, weight, filters, channels, u, place):
    """u (places, filters, channels) of weight (filters, channels, taps)."""
    lanes, taps = vector_lanes(u), stack(u, TAPS_SIZE)
    for f in range(filters):
        for e in range(0, channels, lanes):
            at = f * channels + e
            for i in range(0, kind.taps, lanes):
                source, to = offset(weight, kind.taps * at + i), offset(taps, i * lanes)
                turn_in(min(lanes, channels - e), min(lanes, kind.taps - i), source, kind.taps, to, lanes)
            transform_weight(kind.number, taps, offset(u, at), place)


@helper
def _write_outputs(kind, tiles, rows, columns, planes, m, place, begin, end, bias, floor, made, mask, y):
    """y = max(… + bias, floor) · 1[mask > 0]? of the rows of tiles [begin, end), m (places, tiles).

    They go to the first plane of each image of y (images, planes).
    """
    at = begin
    while at < end:
        image, first, count = part_of(tiles, at, end)
        plane = image * planes * rows.out * columns.out
        to, last = plane + 2 * first * columns.out, plane + min(rows.out, 2 * (first + count)) * columns.out
        transform_output(
            kind.number, offset(m, (at - begin) * tiles.w), place, count, tiles.w, bias, floor, made,
            offset(y, to), rows.out - 2 * first, columns.out,
        )  # fmt: skip
        if not is_null(mask):
            for k in range(to, last):
                y[k] = y[k] if mask[k] > 0 else like(y[0], 0)
        at += count


@helper
def winograd(
    rows, columns, images, groups, channels, filters, x, weight, bias, mask, relu, y, thread, threads
):
    """y = relu?(bias + x * weight) · 1[mask > 0]?, from `channels` to `filters` planes an image and group.

    weight is (groups, filters, channels, taps, taps). The threads divide the strips of tiles.
    """
    lanes, kind = vector_lanes(x), kind_of(rows)
    tiles = tiles_of(rows, columns, images, lanes, threads)
    all_rows, row = images * tiles.h, tiles.row
    first_strip, last_strip = share(ceil_divide(all_rows, tiles.strip_rows), 1, thread, threads)
    # Places must not meet in the same sets of L1.
    u_place, v_place = min(filters, BLOCK_FILTERS) * channels + lanes, channels * row + lanes
    m_place = _PRODUCT_FILTERS * row + lanes
    size = kind.places * (u_place + v_place + m_place) + 4 * row
    u = heap(x, size + scratch_size(kind, tiles, columns, lanes))
    offsets = heap_int64(x, channels)
    v = offset(u, kind.places * u_place)
    m = offset(v, kind.places * v_place)
    made = offset(m, kind.places * m_place)
    scratch = offset(made, 4 * row)
    zero, floor = like(x[0], 0), like(x[0], 0 if relu else -math.inf)
    none = stack(x, 1)
    none[0] = zero
    for e in range(channels):
        offsets[e] = e * row
    area, out_area = rows.source * columns.source, rows.out * columns.out
    for g in range(groups):
        for first_filter in range(g * filters, (g + 1) * filters, BLOCK_FILTERS):
            block = min(BLOCK_FILTERS, (g + 1) * filters - first_filter)
            weights = offset(weight, first_filter * channels * kind.taps)
            _transform_weights(kind, weights, block, channels, u, u_place)
            for strip in range(first_strip, last_strip):
                begin = strip * tiles.strip_rows
                end = min(all_rows, begin + tiles.strip_rows)
                fill_source(
                    kind, tiles, rows, columns, groups * channels, channels, offset(x, g * channels * area),
                    begin, end, scratch, v, v_place,
                )  # fmt: skip
                for f in range(0, block, _PRODUCT_FILTERS):
                    product_filters = min(_PRODUCT_FILTERS, block - f)
                    for k in range(kind.places):
                        correlate(
                            product_filters, (end - begin) * tiles.w, channels,
                            offset(u, k * u_place + f * channels), channels, offset(v, k * v_place), offsets,
                            none, 0, offset(m, k * m_place), row, False,
                        )  # fmt: skip
                    for i in range(product_filters):
                        filter_ = first_filter + f + i
                        start, plane = zero if is_null(bias) else bias[filter_], filter_ * out_area
                        _write_outputs(
                            kind, tiles, rows, columns, groups * filters, offset(m, i * row), m_place, begin,
                            end, start, floor, made, mask if is_null(mask) else offset(mask, plane),
                            offset(y, plane),
                        )  # fmt: skip
    free(u)
    free(offsets)
