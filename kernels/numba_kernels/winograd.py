"""Winograd's form of small square windows: of 3 x 3 and 5 x 5 taps, and with a stride of 2 of 4 x 4 too.

By winograd_tiles.py's formula a channel costs a multiply-add for each place of a tile's transformed piece: 16
for 2 x 2 outputs instead of 36 (25 with a stride of 2; 36 of 4 x 4 windows instead of 64, 49 of 5 x 5 instead
of 100); back to x through a stride they make 4 x 4 pixels. The sums over channels and places of equal roles,
or over tiles (winograd_weight.py), are matrix products. All factors are 0, ±1 or ½: sums of small integers
stay exact. An infinite source pixel makes NaN of its whole tile.
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
from fastnn.kernels.numba_kernels.winograd_source import (
    fill_source,
    kind_number,
    most_taps,
    part_of,
    place_offsets,
    places_of,
    scratch_size,
    tiles_of,
)
from fastnn.kernels.numba_kernels.winograd_tiles import transform_output, transform_weight

# Filters whose transformed weights are kept at a time, and those that go through all sums at a time.
BLOCK_FILTERS, _PRODUCT_FILTERS = 128, 32
# Fewer outputs of an image don't pay for transforming the weights: an image alone must get the same bits.
FEWEST_OUTPUTS = 16
# The weights of a vector of channels, at most.
TAPS_SIZE = 25 * 16


@inlined
def winograd_kind(kinds, rows, columns, channels, filters):
    """The number of the kind of these windows, -1 if there is none or so few channels don't pay."""
    number = kind_number(rows, columns)
    return number if number >= 0 and min(channels, filters) >= kinds[number].least else -1


@inlined
def _transform_weights(kind, weight, filters, channels, u, place):
    """u: for each sum (filters, places, channels), of weight (filters, channels, taps)."""
    lanes, taps = vector_lanes(u), stack(u, TAPS_SIZE)
    for f in range(filters):
        # From last to first: a row's last vector runs over into what is written after it.
        for e in range((channels - 1) // lanes * lanes, -1, -lanes):
            at = (f * channels + e) * kind.weights
            for i in range(0, kind.weights, lanes):
                source, to = offset(weight, at + i), offset(taps, i * lanes)
                turn_in(
                    min(lanes, channels - e), min(lanes, kind.weights - i), source, kind.weights, to, lanes
                )
            transform_weight(kind, taps, offset(u, e), place, f, channels)


@helper
def _write_outputs(kind, tiles, rows, columns, planes, m, m_sum, begin, end, bias, floor, made, mask, y):
    """y = max(… + bias, floor) · 1[mask > 0]? of the rows of tiles [begin, end), m (sums, tiles).

    They go to the first plane of each image of y (images, planes).
    """
    at = begin
    while at < end:
        image, first, count = part_of(tiles, at, end)
        plane, top = image * planes * rows.out * columns.out, tiles.top + kind.tile * first
        transform_output(
            kind, offset(m, (at - begin) * tiles.w), m_sum, count, tiles.w, bias, floor, made,
            offset(y, plane), top, tiles.left, rows.out, columns.out,
        )  # fmt: skip
        if not is_null(mask):
            bottom = min(rows.out, top + kind.tile * count)
            for k in range(plane + max(0, top) * columns.out, plane + bottom * columns.out):
                y[k] = y[k] if mask[k] > 0 else like(y[0], 0)
        at += count


@helper
def winograd(
    kind, rows, columns, images, groups, channels, filters, x, weight, bias, mask, relu, y, thread, threads
):
    """y = relu?(bias + x * weight) · 1[mask > 0]?, from `channels` to `filters` planes an image and group.

    weight is (groups, filters, channels, taps, taps). Back through a stride the window has none, on a source
    with zeros between x's pixels. The threads divide the strips of tiles.
    """
    lanes = vector_lanes(x)
    tiles = tiles_of(kind, rows, columns, images, lanes, threads)
    all_rows, row = images * tiles.h, tiles.row
    first_strip, last_strip = share(ceil_divide(all_rows, tiles.strip_rows), 1, thread, threads)
    # Places and sums must not meet in the same sets of L1.
    u_place, v_place = min(filters, BLOCK_FILTERS) * channels + lanes, channels * row + lanes
    m_sum, most = _PRODUCT_FILTERS * row + lanes, most_taps(kind, channels)
    made_size = kind.tile * kind.tile * row
    size = kind.places * (u_place + v_place) + kind.sums * m_sum + made_size
    u = heap(x, size + scratch_size(kind, tiles, columns, lanes))
    offsets = heap_int64(x, most)
    v = offset(u, kind.places * u_place)
    m = offset(v, kind.places * v_place)
    made = offset(m, kind.sums * m_sum)
    scratch = offset(made, made_size)
    zero, floor = like(x[0], 0), like(x[0], 0 if relu else -math.inf)
    none = stack(x, 1)
    none[0] = zero
    place_offsets(most, channels, v_place, row, offsets)
    area, out_area = rows.source * columns.source, rows.out * columns.out
    for g in range(groups):
        for first_filter in range(g * filters, (g + 1) * filters, BLOCK_FILTERS):
            block = min(BLOCK_FILTERS, (g + 1) * filters - first_filter)
            weights = offset(weight, first_filter * channels * kind.weights)
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
                    place = 0
                    for k in range(kind.sums):
                        taps = places_of(kind, k) * channels
                        correlate(
                            product_filters, (end - begin) * tiles.w, taps,
                            offset(u, place * u_place + f * taps), taps, offset(v, place * v_place), offsets,
                            none, 0, offset(m, k * m_sum), row, False,
                        )  # fmt: skip
                        place += places_of(kind, k)
                    for i in range(product_filters):
                        filter_ = first_filter + f + i
                        start, plane = zero if is_null(bias) else bias[filter_], filter_ * out_area
                        _write_outputs(
                            kind, tiles, rows, columns, groups * filters, offset(m, i * row), m_sum, begin,
                            end, start, floor, made, mask if is_null(mask) else offset(mask, plane),
                            offset(y, plane),
                        )  # fmt: skip
    free(u)
    free(offsets)
