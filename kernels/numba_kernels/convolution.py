"""The fast convolution: convolution_naive.py says what it computes.

The lanes of a vector are adjacent output pixels, of a strip that window.py packs. The gradient by x is such a
correlation too, of dy with the window turned around: one for each phase of a stride. Where the window is as
large as the image it is a dense layer: convolution_dense.py.
"""

from __future__ import annotations

from collections import namedtuple

from fastnn.kernels.numba_kernels.convolution_dense import (
    dense,
    dense_backward_input,
    dense_backward_weight,
)
from fastnn.kernels.numba_kernels.convolution_depthwise import depthwise, depthwise_backward_weight
from fastnn.kernels.numba_kernels.convolution_gather import gather_images
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
from fastnn.kernels.numba_kernels.packing import pack_panel
from fastnn.kernels.numba_kernels.reductions import row_sum
from fastnn.kernels.numba_kernels.registry import kernel
from fastnn.kernels.numba_kernels.tap_tiles import correlate, sum_taps, sum_taps_along_pixels
from fastnn.kernels.numba_kernels.tile import element_bytes, tile_columns, vector_lanes
from fastnn.kernels.numba_kernels.window import (
    Axis,
    Place,
    ceil_divide,
    pack_strip,
    put,
    strip_of,
    tap_offsets,
)
from fastnn.kernels.numba_kernels.window_loops import Window
from fastnn.kernels.numba_kernels.winograd import FEWEST_OUTPUTS, winograd, winograd_kind
from fastnn.kernels.numba_kernels.winograd_matrices import KINDS, KINDS_BACK
from fastnn.kernels.numba_kernels.winograd_weight import winograd_weight

_Shape = namedtuple(
    "_Shape",
    "images h w size_r size_s stride_h stride_w pad_top pad_left dilation_h dilation_w groups out_h out_w "
    "channels filters",
)

# Up to so many filters a correlation's strips are wide: packing would cost more than the additional pixels.
_WIDE_FILTERS = 4
# Up to so many channels dx is gathered: of planes of dy much smaller than those of x, or else of any.
_GATHERED_CHANNELS, _ALWAYS_GATHERED_CHANNELS = 16, 4
# Up to so many weights dweight is summed with lanes along the pixels: that costs a vector for each weight,
# but dy isn't transposed.
_ALONG_PIXELS_WEIGHTS = 1024


@inlined
def _shape(n):
    """The sizes in the kernel list's order, with the channels and filters of one group."""
    return _Shape(
        n[0], n[2], n[3], n[5], n[6], n[7], n[8], n[9], n[10], n[11], n[12], n[13], n[14], n[15],
        n[1] // n[13], n[4] // n[13],
    )  # fmt: skip


@inlined
def _window(o):
    """The rows and columns of the window."""
    return (
        Axis(o.h, o.out_h, o.size_r, o.stride_h, -o.pad_top, o.dilation_h),
        Axis(o.w, o.out_w, o.size_s, o.stride_w, -o.pad_left, o.dilation_w),
    )


@inlined
def _is_dense(o):
    """Whether the window is as large as the image."""
    return (
        o.groups == 1 and o.size_r == o.h and o.size_s == o.w and o.out_h == 1 and o.out_w == 1
        and o.pad_top == 0 and o.pad_left == 0 and o.dilation_h == 1 and o.dilation_w == 1
    )  # fmt: skip


@inlined
def _is_depthwise(o):
    """Whether a group has one channel and few filters, of 3 x 3 taps."""
    return (
        o.channels == 1 and o.filters <= 2 and o.size_r == 3 and o.size_s == 3 and o.dilation_h == 1
        and o.dilation_w == 1 and o.stride_h == o.stride_w and o.stride_w <= 2
    )  # fmt: skip


@inlined
def _plane_window(rows, columns):
    """The window of one plane, without dilation."""
    return Window(
        rows.source, columns.source, rows.taps, columns.taps, rows.stride, columns.stride, -rows.first,
        -columns.first, rows.out, columns.out,
    )  # fmt: skip


@inlined
def _is_pixelwise(rows, columns):
    """Whether one tap meets the planes as they lie: they needn't be packed."""
    return (
        rows.taps == 1 and columns.taps == 1 and rows.stride == 1 and columns.stride == 1 and rows.first == 0
        and columns.first == 0 and rows.out <= rows.source and columns.out == columns.source
    )  # fmt: skip


@helper
def _correlate_images(
    o, rows, columns, place, channels, filters, x, weight, bias, mask, relu, y, thread, threads
):
    """y = relu?(bias + x * weight) · 1[mask > 0]?, from `channels` to `filters` planes an image and group.

    weight is (groups, filters, channels, rows.taps, columns.taps).
    The threads divide the strips of all images and groups. Every output is one chain over its taps.
    """
    lanes = vector_lanes(x)
    images, taps = o.images * o.groups, channels * rows.taps * columns.taps
    # Short enough that every thread gets strips.
    most_rows = ceil_divide(rows.out, ceil_divide(threads, max(1, images)))
    is_wide = filters <= _WIDE_FILTERS and columns.stride == 1 and columns.taps > 1
    strip = strip_of(rows, columns, channels, is_wide, most_rows, lanes, element_bytes(x))
    strips = ceil_divide(rows.out, strip.rows)
    begin, end = share(images * strips, 1, thread, threads)
    if begin == end:
        return
    is_elsewhere = is_wide or place.row_step > 1 or place.column_step > 1
    made_size = filters * strip.rows * strip.width if is_elsewhere else 0
    packed, offsets = heap(x, strip.size + made_size), heap_int64(x, taps)
    made = offset(packed, strip.size) if is_elsewhere else null(x)
    is_packed, area = not _is_pixelwise(rows, columns), rows.source * columns.source
    if is_packed:
        tap_offsets(rows, columns, strip, channels, offsets)
    else:
        for e in range(channels):
            offsets[e] = e * area
    no_bias = stack(x, 1)
    no_bias[0] = like(x[0], 0)
    for unit in range(begin, end):
        image, first = unit // strips, unit % strips * strip.rows
        g, count = image % o.groups, min(strip.rows, rows.out - first)
        pixels = count * strip.width
        source = offset(x, image * channels * area)
        b = packed
        if is_packed:
            pack_strip(rows, columns, strip, source, channels, first, count, packed)
        else:
            b = offset(source, first * columns.source)
        image_start = image * filters * place.h * place.w
        c, c_row = made, pixels
        if not is_elsewhere:
            c, c_row = offset(y, image_start + first * place.w), place.h * place.w
        start, start_step = no_bias, 0
        if not is_null(bias):
            start, start_step = offset(bias, g * filters), 1
        a = offset(weight, g * filters * taps)
        correlate(filters, pixels, taps, a, taps, b, offsets, start, start_step, c, c_row, relu)
        image_mask = mask if is_null(mask) else offset(mask, image_start)
        put(place, filters, first, count, columns.out, made, strip.width, image_mask, offset(y, image_start))
    free(packed)
    free(offsets)


@kernel
def conv2d(t, n, s, thread, threads):
    """y = relu?(bias + x * weight)."""
    o = _shape(n)
    if _is_dense(o):
        taps = o.channels * o.h * o.w
        dense(o.images, o.filters, taps, t[0], t[1], t[2], n[16] != 0, t[3], thread, threads)
        return
    rows, columns = _window(o)
    if _is_depthwise(o):
        depthwise(
            _plane_window(rows, columns), o.images, o.groups, o.filters, t[0], t[1], t[2], n[16] != 0,
            null(t[0]), t[3], thread, threads,
        )  # fmt: skip
        return
    kind = winograd_kind(KINDS, rows, columns, o.channels, o.filters)
    if kind >= 0 and o.out_h * o.out_w >= FEWEST_OUTPUTS:
        winograd(
            KINDS[kind], rows, columns, o.images, o.groups, o.channels, o.filters, t[0], t[1], t[2],
            null(t[0]), n[16] != 0, t[3], thread, threads,
        )  # fmt: skip
        return
    place = Place(o.out_h, o.out_w, 0, 1, 0, 1)
    _correlate_images(
        o, rows, columns, place, o.channels, o.filters, t[0], t[1], t[2], null(t[0]), n[16] != 0, t[3],
        thread, threads,
    )  # fmt: skip


_Phase = namedtuple("_Phase", "first_tap tap_step axis place")


@helper
def _phase(phase, source, out, taps, stride, pad, dilation):
    """The inputs k stride + phase − pad of an axis, as the outputs of a correlation of its outputs.

    Such an input meets tap t at output k − (t dilation − phase) / stride, where the division is exact: taps
    first_tap, first_tap + tap_step, … The correlation takes them from last to first, so that the outputs
    ascend.
    """
    tap_step = 1
    while tap_step * dilation % stride != 0:
        tap_step += 1
    first_tap = 0
    while first_tap < taps and first_tap * dilation % stride != phase:
        first_tap += 1
    count = ceil_divide(taps - first_tap, tap_step)
    begin, end = ceil_divide(pad - phase, stride), ceil_divide(source + pad - phase, stride)
    last_tap = first_tap + max(0, count - 1) * tap_step
    down = (last_tap * dilation - phase) // stride
    axis = Axis(out, end - begin, count, 1, begin - down, tap_step * dilation // stride)
    return _Phase(first_tap, tap_step, axis, begin * stride + phase - pad)


@helper
def _turn_weight(o, rows, columns, weight, turned, tap_step, filter_step):
    """turned (groups, channels, filters, taps) = weight (groups, filters, channels, r, s): the taps are those
    of the phase, from last to first. Its taps are tap_step apart, its filters filter_step.
    """
    taps = rows.axis.taps * columns.axis.taps
    for g in range(o.groups):
        for e in range(o.channels):
            for f in range(o.filters):
                window = ((g * o.filters + f) * o.channels + e) * o.size_r
                k = (g * o.channels + e) * o.filters * taps + f * filter_step
                for u in range(rows.axis.taps - 1, -1, -1):
                    row = (window + rows.first_tap + u * rows.tap_step) * o.size_s
                    for v in range(columns.axis.taps - 1, -1, -1):
                        turned[k] = weight[row + columns.first_tap + v * columns.tap_step]
                        k += tap_step


@inlined
def _is_gathered(o):
    """Whether dx is made of planes of products."""
    is_small = 4 * o.h * o.w > 5 * o.out_h * o.stride_h * o.out_w * o.stride_w
    most = _GATHERED_CHANNELS if is_small else _ALWAYS_GATHERED_CHANNELS
    return o.channels <= most and (is_small or o.filters >= 4 * o.channels)


@kernel
def conv2d_backward_input(t, n, s, thread, threads):
    """dx[e, i, j] = Σ dy[f, p, q] weight[f, e, u, v] where p stride = i + pad − u dilation, and q alike.

    Times 1[mask > 0] where there is a mask.
    Every thread turns the weights around, on the heap.
    """
    o = _shape(n)
    weight, dx = t[1], t[3]
    if _is_dense(o):
        taps = o.channels * o.h * o.w
        dense_backward_input(o.images, o.filters, taps, t[0], weight, t[2], dx, thread, threads)
        return
    turned = heap(dx, o.groups * o.channels * o.filters * o.size_r * o.size_s)
    is_gathered = _is_gathered(o)
    kind = winograd_kind(KINDS_BACK, *_window(o), o.filters, o.channels)
    if kind >= 0 and (KINDS_BACK[kind].through > 1 or not is_gathered):
        # All taps, as if zeros lay between dy's pixels.
        rows = _phase(0, o.h, o.out_h, o.size_r, 1, o.pad_top, 1)
        columns = _phase(0, o.w, o.out_w, o.size_s, 1, o.pad_left, 1)
        _turn_weight(o, rows, columns, weight, turned, 1, o.size_r * o.size_s)
        winograd(
            KINDS_BACK[kind], rows.axis, columns.axis, o.images, o.groups, o.filters, o.channels, t[0],
            turned, null(dx), t[2], False, dx, thread, threads,
        )  # fmt: skip
        free(turned)
        return
    is_depthwise = _is_depthwise(o) and o.filters == 1 and o.stride_h == 1 and o.stride_w == 1
    for row_phase in range(o.stride_h):
        rows = _phase(row_phase, o.h, o.out_h, o.size_r, o.stride_h, o.pad_top, o.dilation_h)
        for column_phase in range(o.stride_w):
            columns = _phase(column_phase, o.w, o.out_w, o.size_s, o.stride_w, o.pad_left, o.dilation_w)
            place = Place(o.h, o.w, rows.place, o.stride_h, columns.place, o.stride_w)
            if is_depthwise:
                _turn_weight(o, rows, columns, weight, turned, 1, o.size_r * o.size_s)
                depthwise(
                    _plane_window(rows.axis, columns.axis), o.images, o.groups, 1, t[0], turned, null(dx),
                    False, t[2], dx, thread, threads,
                )  # fmt: skip
            elif is_gathered:
                _turn_weight(o, rows, columns, weight, turned, o.filters, 1)
                gather_images(
                    o, rows.axis, columns.axis, place, o.filters, o.channels, t[0], turned, t[2], dx, thread,
                    threads,
                )  # fmt: skip
            else:
                _turn_weight(o, rows, columns, weight, turned, 1, rows.axis.taps * columns.axis.taps)
                _correlate_images(
                    o, rows.axis, columns.axis, place, o.filters, o.channels, t[0], turned, null(dx), t[2],
                    False, dx, thread, threads,
                )  # fmt: skip
    free(turned)


@helper
def _sum_group(o, g, first_tap, taps, x, dy, dweight, dbias):
    """The gradients of group g by taps [first_tap, first_tap + taps), and with the first by its bias.

    The lanes of the sums are filters, (taps, filters), a panel of which is transposed at a time. Or, where
    the weights are few, they are adjacent pixels, (taps, filters, lanes), and a sum's lanes are added up at
    the end. A bias is a tap whose source is 1.
    """
    rows, columns = _window(o)
    lanes, width = vector_lanes(x), tile_columns(x)
    window, area = o.size_r * o.size_s, o.out_h * o.out_w
    # Along pixels lanes count from a strip's start: it must not depend on which taps they are.
    strip = strip_of(rows, columns, o.channels, False, rows.out, lanes, element_bytes(x))
    strip_pixels = ceil_divide(strip.rows * columns.out, lanes) * lanes
    weights = o.filters * o.channels * window
    along_pixels = o.filters <= lanes // 2 or (
        weights <= _ALONG_PIXELS_WEIGHTS and strip_pixels >= 16 * lanes
    )
    total_row = o.filters * lanes if along_pixels else ceil_divide(o.filters, width) * width
    has_bias = first_tap == 0 and not is_null(dbias)
    sums = taps + 1 if has_bias else taps
    first_channel = first_tap // window
    channels = ceil_divide(first_tap + taps, window) - first_channel

    packed = heap(x, strip.size + strip_pixels * (1 + width) + sums * total_row)
    ones = offset(packed, strip.size)
    panel = offset(ones, strip_pixels)
    total = offset(panel, strip_pixels * width)
    for k in range(strip_pixels):
        ones[k] = like(x[0], 1)
    for k in range(sums * total_row):
        total[k] = like(x[0], 0)
    offsets = heap_int64(x, channels * window + 1)
    tap_offsets(rows, columns, strip, channels, offsets)
    tap_offset = offset(offsets, first_tap - first_channel * window)
    tap_offset[taps] = strip.size

    for i in range(o.images):
        image = i * o.groups + g
        source = offset(x, (image * o.channels + first_channel) * o.h * o.w)
        for first in range(0, rows.out, strip.rows):
            count = min(strip.rows, rows.out - first)
            pixels = count * columns.out
            pack_strip(rows, columns, strip, source, channels, first, count, packed)
            gradient = offset(dy, image * o.filters * area + first * columns.out)
            if along_pixels:
                sum_taps_along_pixels(sums, o.filters, pixels, packed, tap_offset, gradient, area, total)
            else:
                for f in range(0, o.filters, width):
                    wide = min(width, o.filters - f)
                    pack_panel(pixels, wide, offset(gradient, f * area), 1, area, panel)
                    vectors = ceil_divide(wide, lanes)
                    sum_taps(sums, pixels, packed, tap_offset, panel, vectors, offset(total, f), total_row)

    for f in range(o.filters):
        filter_ = g * o.filters + f
        for k in range(sums):
            if along_pixels:
                value = row_sum(offset(total, k * total_row + f * lanes), lanes)
            else:
                value = total[k * total_row + f]
            if k < taps:
                dweight[filter_ * o.channels * window + first_tap + k] = value
            else:
                dbias[filter_] = value
    free(packed)
    free(offsets)


@kernel
def conv2d_backward_weight(t, n, s, thread, threads):
    """dweight[f, e, u, v] = Σ dy[f, p, q] x[e, i, j] over the images and output pixels; dbias[f] = Σ dy[f].

    The threads divide the taps of all groups. A sum is one chain over the pixels in order; along pixels, one
    chain a lane.
    """
    o = _shape(n)
    taps = o.channels * o.size_r * o.size_s
    if _is_dense(o):
        dense_backward_weight(o.images, o.filters, taps, t[0], t[1], t[2], t[3], thread, threads)
        return
    if _is_depthwise(o):
        window = _plane_window(*_window(o))
        depthwise_backward_weight(
            window, o.images, o.groups, o.filters, t[0], t[1], t[2], t[3], thread, threads
        )  # fmt: skip
        return
    rows, columns = _window(o)
    kind = winograd_kind(KINDS, rows, columns, o.channels, o.filters)
    outputs = o.out_h * o.out_w
    # The sums are transformed once: the outputs of all images must pay for it.
    if kind >= 0 and outputs >= FEWEST_OUTPUTS and o.images * outputs >= 4 * KINDS[kind].places:
        winograd_weight(
            KINDS[kind], rows, columns, o.images, o.groups, o.channels, o.filters, t[0], t[1], t[2], t[3],
            thread, threads,
        )  # fmt: skip
        return
    if taps == 0 and thread == 0:  # dbias alone
        for g in range(o.groups):
            _sum_group(o, g, 0, 0, t[0], t[1], t[2], t[3])
    at, end = share(o.groups * taps, 1, thread, threads)
    while at < end:
        g, first_tap = at // taps, at % taps
        count = min(end - at, taps - first_tap)
        _sum_group(o, g, first_tap, count, t[0], t[1], t[2], t[3])
        at += count
