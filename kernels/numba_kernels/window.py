"""The geometry of a convolution's window: which source pixel meets which output pixel and tap; and strips.

So that the pixels that meet one tap lie one after the other, a strip of output rows packs the source rows
that it needs: shifted by each of the window's columns, and cut to the output's width. In that copy a tap is
one offset, whatever the stride, padding and dilation. It is s times the source, not r s times as a matrix of
patches. A wide strip is packed once, unshifted, with the columns that all taps need: its rows have more
pixels than the output's.
"""

from __future__ import annotations

from collections import namedtuple

from fastnn.kernels.numba_kernels.memory import helper, inlined, is_null, like, offset
from fastnn.kernels.numba_kernels.packing import copy_even_lanes, copy_lanes, spread_lanes
from fastnn.kernels.numba_kernels.tile import vector_lanes

# One axis of a window: output o and tap t meet at source index first + o stride + t dilation; outside of 0 …
# source − 1 the source is zero.
Axis = namedtuple("Axis", "source out taps stride first dilation")

# How a strip of up to `rows` output rows is packed: every channel and shift (column tap, or just one) has a
# plane of (phases, slots, width) elements, where source row slot · stride + phase, counted from the strip's
# lowest, lies at (phase, slot). A row and a vector more follow the last plane. `size` counts them all.
Strip = namedtuple("Strip", "rows phases slots width shifts plane size")

# Where a correlation's output (p, q) goes: to row + p row_step, column + q column_step of planes (h, w).
Place = namedtuple("Place", "h w row row_step column column_step")

# The bytes of a strip: with the weights of some filters and the outputs it stays in a 1 MiB L2.
_STRIP_BYTES = 384 * 1024


@inlined
def ceil_divide(a, b):
    return -(-a // b)


@inlined
def reach(axis):
    """How far the last tap lies beyond the first."""
    return max(0, axis.taps - 1) * axis.dilation


@inlined
def whole_vectors(rows, width, lanes):
    """As many of these rows as fill whole vectors together, or else all."""
    grain = 1
    while grain < lanes and grain * width % lanes != 0:
        grain *= 2
    return rows if rows < grain else rows - rows % grain


@helper
def strip_of(rows, columns, channels, is_wide, most_rows, lanes, element_bytes):
    """The strip of as many rows as _STRIP_BYTES hold, at least one, at most `most_rows`.

    It can be wide where the columns have no stride.
    """
    width, shifts = columns.out, columns.taps
    if is_wide:
        width, shifts = columns.out + reach(columns), 1
    phases, more_slots = min(rows.stride, reach(rows) + 1), reach(rows) // rows.stride
    count = max(1, _STRIP_BYTES // element_bytes // max(1, channels * shifts * phases * width) - more_slots)
    count = max(1, min(whole_vectors(count, width, lanes), most_rows))
    slots = count + more_slots
    plane = phases * slots * width
    return Strip(count, phases, slots, width, shifts, plane, channels * shifts * plane + width + lanes)


@helper
def tap_offsets(rows, columns, strip, channels, offsets):
    """offsets[e, u, v]: where tap (e, u, v) finds the strip's first pixel."""
    k = 0
    for e in range(channels):
        for u in range(rows.taps):
            row = u * rows.dilation
            at = row % rows.stride * strip.slots + row // rows.stride
            for v in range(columns.taps):
                plane, shift = (e, v * columns.dilation) if strip.shifts == 1 else (e * strip.shifts + v, 0)
                offsets[k] = plane * strip.plane + at * strip.width + shift
                k += 1


@inlined
def _pack_rows(width, stride, x, jump, begin, end, top, bottom, slots, to):
    """to[slot, q] = x[(slot − top) jump + q stride] for begin ≤ q < end in slots top … bottom − 1, else 0.

    A vector that is stored at a row's end runs over into what is written after it: the columns go from last
    to first.
    """
    lanes = vector_lanes(to)
    if stride <= 2:
        for q in range((width - 1) // lanes * lanes, -1, -lanes):
            for slot in range(top):
                copy_lanes(x, 0, 0, offset(to, slot * width + q))
            for slot in range(top, bottom):
                source, target = offset(x, (slot - top) * jump + q * stride), offset(to, slot * width + q)
                if stride == 1:
                    copy_lanes(source, begin - q, end - q, target)
                else:
                    copy_even_lanes(source, begin - q, end - q, target)
            for slot in range(bottom, slots):
                copy_lanes(x, 0, 0, offset(to, slot * width + q))
    else:
        for slot in range(slots):
            row = offset(x, (slot - top) * jump)
            first, last = (begin, end) if top <= slot < bottom else (0, 0)
            for q in range(width):
                to[slot * width + q] = row[q * stride] if first <= q < last else like(to[0], 0)


@helper
def pack_strip(rows, columns, strip, x, channels, first, count, to):
    """Pack the `count` output rows from `first` on, of x (channels, rows.source, columns.source)."""
    slots = strip.slots - strip.rows + count
    for e in range(channels):
        for v in range(strip.shifts):
            shift = columns.first + v * columns.dilation
            begin = max(0, ceil_divide(-shift, columns.stride))
            end = max(begin, min(strip.width, ceil_divide(columns.source - shift, columns.stride)))
            for phase in range(strip.phases):
                row = rows.first + first * rows.stride + phase
                top = min(slots, max(0, ceil_divide(-row, rows.stride)))
                bottom = max(top, min(slots, ceil_divide(rows.source - row, rows.stride)))
                lowest = e * rows.source + row + top * rows.stride
                at = (e * strip.shifts + v) * strip.plane + phase * strip.slots * strip.width
                _pack_rows(
                    strip.width, columns.stride, offset(x, lowest * columns.source + shift),
                    rows.stride * columns.source, begin, end, top, bottom, slots, offset(to, at),
                )  # fmt: skip


@helper
def put(place, filters, first, rows, width, made, made_width, mask, y):
    """Put a strip's outputs, made (filters, rows, made_width), in their place in y; null: they are there.

    Then times 1[mask > 0].
    """
    is_elsewhere, is_masked, lanes = not is_null(made), not is_null(mask), vector_lanes(y)
    if not (is_elsewhere or is_masked):
        return
    for f in range(filters):
        for p in range(rows):
            to = (f * place.h + place.row + (first + p) * place.row_step) * place.w + place.column
            at = (f * rows + p) * made_width
            if is_elsewhere and place.column_step == 2:
                for q in range(0, width, lanes):
                    spread_lanes(offset(made, at + q), width - q, offset(y, to + 2 * q))
            elif is_elsewhere:
                for q in range(width):
                    y[to + q * place.column_step] = made[at + q]
            if is_masked:
                for q in range(to, to + width * place.column_step, place.column_step):
                    y[q] = y[q] if mask[q] > 0 else like(y[0], 0)
