"""Winograd's form of the gradients by weight and bias: winograd.py has that of the convolution."""

from __future__ import annotations

from fastnn.kernels.numba_kernels.memory import (
    free,
    heap,
    heap_int64,
    helper,
    is_null,
    like,
    null,
    offset,
    share,
    stack,
)
from fastnn.kernels.numba_kernels.packing import pack_panel
from fastnn.kernels.numba_kernels.tap_tiles import sum_taps
from fastnn.kernels.numba_kernels.tile import tile_columns, vector_lanes
from fastnn.kernels.numba_kernels.window import ceil_divide
from fastnn.kernels.numba_kernels.winograd import BLOCK_FILTERS, TAPS_SIZE
from fastnn.kernels.numba_kernels.winograd_source import (
    fill,
    fill_source,
    most_taps,
    part_of,
    place_offsets,
    places_of,
    scratch_size,
    tiles_of,
)
from fastnn.kernels.numba_kernels.winograd_tiles import transform_gradient, transform_sums

# Channels whose sums are kept at a time, with those of BLOCK_FILTERS.
_BLOCK_CHANNELS = 64


@helper
def _pack_gradient(dy, filters, area, width, rows, panel, sums):
    """panel (·, 2 tiles, tile_columns) = the rows of dy (filters, rows, width), its filters `area` apart.

    Zeros fill up the last tile. Adds the rows to sums (tile_columns), unless it is null.
    """
    columns, row = tile_columns(dy), (width + width % 2) * tile_columns(dy)
    for i in range(rows):
        to = offset(panel, i * row)
        pack_panel(width, filters, offset(dy, i * width), 1, area, to)
        fill(offset(to, width * columns), like(dy[0], 0), row - width * columns)
        if not is_null(sums):
            for k in range(width):
                for f in range(columns):
                    sums[f] += to[k * columns + f]
    fill(offset(panel, rows * row), like(dy[0], 0), rows % 2 * row)


@helper
def _fill_gradient(kind, tiles, rows, columns, planes, filters, dy, begin, end, panel, m, m_sum, sums):
    """m (sums, tiles, tile_columns) of the rows of tiles [begin, end).

    The filters are the first of each image of dy (images, planes). Adds dy to sums (tile_columns), unless it
    is null.
    """
    area, at = rows.out * columns.out, begin
    while at < end:
        image, first, count = part_of(tiles, at, end)
        gradient = offset(dy, image * planes * area + 2 * first * columns.out)
        dy_rows = min(2 * count, rows.out - 2 * first)
        _pack_gradient(gradient, filters, area, columns.out, dy_rows, panel, sums)
        to = offset(m, (at - begin) * tiles.w * tile_columns(dy))
        transform_gradient(kind, panel, count, tiles.w, to, m_sum)
        at += count


@helper
def winograd_weight(
    kind, rows, columns, images, groups, channels, filters, x, dy, dweight, dbias, thread, threads
):
    """dweight and dbias. The threads divide the channels of all groups; a sum is one chain over the tiles."""
    lanes, width = vector_lanes(x), tile_columns(x)
    tiles = tiles_of(kind, rows, columns, images, lanes, 1)
    all_rows, strip_tiles = images * tiles.h, tiles.strip_rows * tiles.w
    v_place, m_sum = _BLOCK_CHANNELS * tiles.row + lanes, strip_tiles * width + lanes
    u_row, most = ceil_divide(min(filters, BLOCK_FILTERS), width) * width, most_taps(kind, _BLOCK_CHANNELS)
    area, out_area = rows.source * columns.source, rows.out * columns.out
    u_size = kind.places * _BLOCK_CHANNELS * u_row
    size = u_size + kind.places * v_place + kind.sums * m_sum + 4 * strip_tiles * width + u_row
    u = heap(x, size + scratch_size(kind, tiles, columns, lanes))
    offsets = heap_int64(x, most)
    v = offset(u, u_size)
    m = offset(v, kind.places * v_place)
    panel = offset(m, kind.sums * m_sum)
    sums = offset(panel, 4 * strip_tiles * width)
    scratch = offset(sums, u_row)
    taps = stack(x, TAPS_SIZE)
    at, last = share(groups * channels, 1, thread, threads)
    while at < last:
        g, first_channel = at // channels, at % channels
        count = min(min(last - at, channels - first_channel), _BLOCK_CHANNELS)
        place_offsets(most_taps(kind, count), count, v_place, tiles.row, offsets)
        for first_filter in range(0, filters, BLOCK_FILTERS):
            block = min(BLOCK_FILTERS, filters - first_filter)
            fill(u, like(x[0], 0), kind.places * count * u_row)
            fill(sums, like(x[0], 0), u_row)
            source = offset(x, (g * channels + first_channel) * area)
            gradient = offset(dy, (g * filters + first_filter) * out_area)
            for begin in range(0, all_rows, tiles.strip_rows):
                end = min(all_rows, begin + tiles.strip_rows)
                fill_source(
                    kind, tiles, rows, columns, groups * channels, count, source, begin, end, scratch, v,
                    v_place,
                )  # fmt: skip
                for f in range(0, block, width):
                    wide = min(width, block - f)
                    _fill_gradient(
                        kind, tiles, rows, columns, groups * filters, wide, offset(gradient, f * out_area),
                        begin, end, panel, m, m_sum, offset(sums, f) if first_channel == 0 else null(x),
                    )  # fmt: skip
                    place = 0
                    for k in range(kind.sums):
                        sum_taps(
                            places_of(kind, k) * count, (end - begin) * tiles.w, offset(v, place * v_place),
                            offsets, offset(m, k * m_sum), ceil_divide(wide, lanes),
                            offset(u, place * count * u_row + f), u_row,
                        )  # fmt: skip
                        place += places_of(kind, k)
            for e in range(count):
                for f in range(0, block, lanes):
                    transform_sums(kind, offset(u, e * u_row + f), count * u_row, taps)
                    for lane in range(min(lanes, block - f)):
                        filter_ = g * filters + first_filter + f + lane
                        to = (filter_ * channels + first_channel + e) * kind.weights
                        for i in range(kind.weights):
                            dweight[to + i] = taps[i * lanes + lane]
            if first_channel == 0 and not is_null(dbias):
                for f in range(block):
                    dbias[g * filters + first_filter + f] = sums[f]
        at += count
    free(u)
    free(offsets)
