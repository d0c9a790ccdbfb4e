"""The transformed source of Winograd's form: that of winograd.py and of winograd_weight.py."""

from __future__ import annotations

from collections import namedtuple

from fastnn.kernels.numba_kernels.memory import helper, inlined, like, offset
from fastnn.kernels.numba_kernels.window import ceil_divide, whole_vectors
from fastnn.kernels.numba_kernels.window_loops import Window
from fastnn.kernels.numba_kernels.winograd_matrices import KINDS
from fastnn.kernels.numba_kernels.winograd_tiles import transform_source

# Tiles that are transformed together: with 64 channels and 16 places they fill half of a 1 MiB L2.
_TILES = 112

# The tiles (h, w) of an image. The first begins at row `top` and column `left` of the outputs, which may lie
# before them, its piece at `first_row` and `first_column` of the source. Strips have up to `strip_rows` rows
# of tiles, counted through all images: small images fill vectors together. The channels of a transformed
# strip are `row` apart.
Tiles = namedtuple("Tiles", "h w top left first_row first_column strip_rows row")


@inlined
def fill(x, value, count):
    for k in range(count):
        x[k] = value


@inlined
def kind_number(rows, columns):
    """That of the windows' kind, -1 if there is none."""
    if columns.taps != rows.taps or columns.stride != rows.stride or rows.dilation * columns.dilation != 1:
        return -1
    for kind in KINDS:
        if kind.taps == rows.taps and kind.stride == rows.stride:
            return kind.number
    return -1


@inlined
def places_of(kind, k):
    """How many places sum k has."""
    return kind.counts[k // kind.roles] * kind.counts[k % kind.roles]


@inlined
def most_taps(kind, channels):
    """Of a product over the places of a sum and the channels."""
    return places_of(kind, 0) * channels


@inlined
def place_offsets(taps, channels, place, row, offsets):
    """Where those taps find a source whose places are `place` apart and channels `row`."""
    for k in range(taps):
        offsets[k] = k // channels * place + k % channels * row


@inlined
def _tiles_along(kind, axis):
    """How many there are, where the first begins, and where its piece does."""
    first = axis.first + kind.lead
    before = first % kind.through
    return ceil_divide(before + axis.out, kind.tile), -before, first // kind.through


@inlined
def tiles_of(kind, rows, columns, images, lanes, threads):
    """Strips of rows that fill whole vectors where possible, short enough that every thread gets some."""
    h, top, first_row = _tiles_along(kind, rows)
    w, left, first_column = _tiles_along(kind, columns)
    strip_rows = whole_vectors(max(1, _TILES // w), w, lanes)
    strip_rows = max(1, min(strip_rows, ceil_divide(images * h, threads)))
    # A vector may run over.
    row = ceil_divide(strip_rows * w, lanes) * lanes + lanes
    return Tiles(h, w, top, left, first_row, first_column, strip_rows, row)


@inlined
def part_of(tiles, at, end):
    """The image of the row of tiles `at`, which of its rows that is, and how many up to `end` it has."""
    first = at % tiles.h
    return at // tiles.h, first, min(end - at, tiles.h - first)


@inlined
def scratch_size(kind, tiles, columns, lanes):
    """Elements of `fill_source`'s scratch: a row of zeros and a packed plane."""
    slots = tiles.strip_rows + (kind.piece - 1) // kind.step
    return columns.source + kind.piece * kind.step * (slots * tiles.w + lanes)


@helper
def fill_source(kind, tiles, rows, columns, planes, channels, x, begin, end, scratch, v, place):
    """v (places, channels, tiles) of the rows of tiles [begin, end).

    The channels are the first of each image of x (images, planes).
    """
    area, at = rows.source * columns.source, begin
    zeros, packed = scratch, offset(scratch, columns.source)
    fill(zeros, like(x[0], 0), columns.source)
    while at < end:
        image, first, count = part_of(tiles, at, end)
        pieces = Window(
            rows.source, columns.source, kind.piece, kind.piece, kind.step, kind.step,
            -tiles.first_row - kind.step * first, -tiles.first_column, count, tiles.w,
        )  # fmt: skip
        for e in range(channels):
            source = offset(x, (image * planes + e) * area)
            to = offset(v, e * tiles.row + (at - begin) * tiles.w)
            transform_source(kind, source, pieces, zeros, packed, to, place)
        at += count
