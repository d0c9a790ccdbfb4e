"""The gradient by x of few channels: planes of products, one for each tap, and sums gathered from them.

A correlation of dy has a sum over filters and taps for every pixel of x, and packs dy for it. With few
channels it is cheaper to sum over the filters alone: a matrix product of the weights and dy as it lies, which
for every tap and pixel of dy gives what it adds to x. Where planes of dy are smaller than those of x, there
are fewer pixels too.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

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
from fastnn.kernels.numba_kernels.tap_tiles import correlate
from fastnn.kernels.numba_kernels.tile import element_bytes
from fastnn.kernels.numba_kernels.vector_ir import (
    INT32,
    INT64,
    broadcast,
    call_function,
    carried_loop,
    choose,
    first_lanes,
    lanes_of,
    load,
    store,
)
from fastnn.kernels.numba_kernels.window import ceil_divide, put, reach

# The bytes of the planes of a strip: they stay in L2.
_PLANES_BYTES = 384 * 1024
# Windows' columns that have code of their own.
_KNOWN_COLUMNS = (1, 2, 3, 5)


@intrinsic
def _gather_taps(
    typingctx, planes, height, width, rows, columns, dilation_h, dilation_w, top, left, out_h, out_w, y
):
    """y[i, j] = Σ over u, v of planes[u, v, top + i + u dilation_h, left + j + v dilation_w].

    y is (out_h, out_w), planes (rows, columns, height, width): 0 outside of a plane.
    """

    def codegen(context, builder, signature, args):
        call_function(context, builder, signature, args, "gather_taps", _emit_gather_taps)
        return context.get_dummy_value()

    return types.void(planes, *[types.int64] * 10, y), codegen


def _emit_gather_taps(
    builder, real, planes, height, width, rows, columns, dilation_h, dilation_w, top, left, out_h, out_w, y
):
    lanes = lanes_of(real)
    vector = ir.VectorType(real, lanes)
    lane = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))
    plane = builder.mul(height, width)
    next_column = builder.add(plane, dilation_w)
    next_row = builder.add(builder.mul(columns, plane), builder.mul(dilation_h, width))

    def lanes_with(number):
        return broadcast(builder, builder.trunc(number, INT32), lanes)

    def outputs(q, known):
        def is_inside(v):
            column = builder.add(builder.add(left, q), builder.mul(dilation_w, v))
            return builder.icmp_unsigned("<", builder.add(lanes_with(column), lane), lanes_with(width))

        # The same in all rows.
        masks = [is_inside(INT64(v)) for v in range(known or 0)]
        is_output = first_lanes(builder, builder.sub(out_w, q), lanes)

        def output_row(p, _):
            def line(u, values):
                start, row, total = values
                is_row = broadcast(builder, builder.icmp_unsigned("<", row, height), lanes)

                def tap(v, values, mask=None):
                    at, total = values
                    mask = builder.and_(is_row, mask or is_inside(v))
                    return [
                        builder.gep(at, [next_column]),
                        builder.fadd(total, load(builder, at, vector, mask)),
                    ]

                sums = [start, total]
                if known:
                    for v, mask in enumerate(masks):
                        sums = tap(v, sums, mask)
                else:
                    sums = carried_loop(builder, INT64(0), columns, 1, sums, tap)
                return [builder.gep(start, [next_row]), builder.add(row, dilation_h), sums[1]]

            row = builder.add(top, p)
            at = builder.add(builder.mul(row, width), builder.add(left, q))
            values = [builder.gep(planes, [at]), row, ir.Constant(vector, None)]
            *_, total = carried_loop(builder, INT64(0), rows, 1, values, line)
            to = builder.gep(y, [builder.add(builder.mul(p, out_w), q)])
            store(builder, total, to, is_output)
            return []

        return carried_loop(builder, INT64(0), out_h, 1, [], output_row)

    def loop(known):
        carried_loop(builder, INT64(0), out_w, lanes, [], lambda q, _: outputs(q, known))

    choose(builder, [(builder.icmp_signed("==", columns, INT64(k)), k) for k in _KNOWN_COLUMNS], loop)


@helper
def gather_images(o, rows, columns, place, channels, filters, x, weight, mask, y, thread, threads):
    """y = x * weight · 1[mask > 0]?, from `channels` to `filters` planes an image and group.

    weight is (groups, filters, rows.taps, columns.taps, channels); the windows have no stride. The threads
    divide the strips of rows of all images and groups. A sum's order doesn't depend on its strip.
    """
    images, window = o.images * o.groups, rows.taps * columns.taps
    taps, below = filters * window, reach(rows)
    # Short enough that every thread gets strips.
    most_rows = ceil_divide(rows.out, ceil_divide(threads, max(1, images)))
    fit = _PLANES_BYTES // element_bytes(x) // max(1, taps * columns.source) - below
    strip_rows = max(1, min(fit, most_rows))
    strips = ceil_divide(rows.out, strip_rows)
    begin, end = share(images * strips, 1, thread, threads)
    if begin == end:
        return
    is_elsewhere = place.row_step > 1 or place.column_step > 1
    area = rows.source * columns.source
    planes_size = taps * min(rows.source, strip_rows + below) * columns.source
    planes = heap(x, planes_size + (filters * strip_rows * columns.out if is_elsewhere else 0))
    made = offset(planes, planes_size) if is_elsewhere else null(x)
    offsets, zero = heap_int64(x, channels), stack(x, 1)
    zero[0] = like(x[0], 0)
    for e in range(channels):
        offsets[e] = e * area
    for unit in range(begin, end):
        image, first = unit // strips, unit % strips * strip_rows
        count = min(strip_rows, rows.out - first)
        low = min(rows.source, max(0, first + rows.first))
        high = max(low, min(rows.source, first + count + rows.first + below))
        pixels = (high - low) * columns.source
        source = offset(x, image * channels * area + low * columns.source)
        a = offset(weight, image % o.groups * taps * channels)
        correlate(taps, pixels, channels, a, channels, source, offsets, zero, 0, planes, pixels, False)
        image_y = offset(y, image * filters * place.h * place.w)
        for f in range(filters):
            to = offset(image_y, (f * place.h + first) * place.w)
            if is_elsewhere:
                to = offset(made, f * count * columns.out)
            _gather_taps(
                offset(planes, f * window * pixels), high - low, columns.source, rows.taps, columns.taps,
                rows.dilation, columns.dilation, first + rows.first - low, columns.first, count, columns.out,
                to,
            )  # fmt: skip
        image_mask = mask if is_null(mask) else offset(mask, image * filters * place.h * place.w)
        put(place, filters, first, count, columns.out, made, columns.out, image_mask, image_y)
    free(planes)
    free(offsets)
