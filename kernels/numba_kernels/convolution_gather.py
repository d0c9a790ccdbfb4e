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
from fastnn.kernels.numba_kernels.tile import element_bytes, vector_lanes
from fastnn.kernels.numba_kernels.vector_ir import (
    INT32,
    INT64,
    broadcast,
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
_KNOWN_COLUMNS = (3, 5)


@intrinsic
def _gather_taps(typingctx, planes, plane, width, rows, columns, dilation, row_step, first, count, y):
    """y[j] = Σ over u < rows, v < columns of planes[u, v] at u row_step + first + j + v dilation.

    For j < count, a vector at most. A plane (·, width) is `plane` elements; columns outside of it are 0.
    """

    def codegen(context, builder, signature, args):
        planes, plane, width, rows, columns, dilation, row_step, first, count, y = args
        real = context.get_data_type(signature.args[0].dtype)
        lanes = lanes_of(real)
        vector = ir.VectorType(real, lanes)
        next_column = builder.add(plane, dilation)
        next_row = builder.add(builder.mul(columns, plane), row_step)

        def lanes_with(number):
            return broadcast(builder, builder.trunc(number, INT32), lanes)

        lane = ir.Constant(ir.VectorType(INT32, lanes), list(range(lanes)))

        def is_inside(v):
            column = builder.add(first, builder.mul(dilation, v))
            return builder.icmp_unsigned("<", builder.add(lanes_with(column), lane), lanes_with(width))

        def loops(known):
            # The same in all rows.
            masks = [is_inside(INT64(v)) for v in range(known or 0)]

            def line(u, values):
                start, _ = values

                def tap(v, values, mask=None):
                    at, total = values
                    pixels = load(builder, at, vector, mask or is_inside(v))
                    return [builder.gep(at, [next_column]), builder.fadd(total, pixels)]

                if known:
                    for v, mask in enumerate(masks):
                        values = tap(v, values, mask)
                else:
                    values = carried_loop(builder, INT64(0), columns, 1, values, tap)
                return [builder.gep(start, [next_row]), values[1]]

            values = [builder.gep(planes, [first]), ir.Constant(vector, None)]
            _, total = carried_loop(builder, INT64(0), rows, 1, values, line)
            store(builder, total, y, first_lanes(builder, count, lanes))

        choose(builder, [(builder.icmp_signed("==", columns, INT64(k)), k) for k in _KNOWN_COLUMNS], loops)
        return context.get_dummy_value()

    return types.void(planes, *[types.int64] * 8, y), codegen


@helper
def gather_images(o, rows, columns, place, channels, filters, x, weight, mask, y, thread, threads):
    """y = x * weight · 1[mask > 0]?, from `channels` to `filters` planes an image and group.

    weight is (groups, filters, rows.taps, columns.taps, channels); the windows have no stride. The threads
    divide the strips of rows of all images and groups. A sum's order doesn't depend on its strip.
    """
    lanes = vector_lanes(x)
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
        for p in range(count):
            row = first + p + rows.first
            top = min(rows.taps, max(0, ceil_divide(-row, rows.dilation)))
            bottom = max(top, min(rows.taps, ceil_divide(rows.source - row, rows.dilation)))
            at = top * columns.taps * pixels + (row + top * rows.dilation - low) * columns.source
            for f in range(filters):
                if is_elsewhere:
                    to = offset(made, (f * count + p) * columns.out)
                else:
                    to = offset(image_y, (f * place.h + place.row + first + p) * place.w + place.column)
                for q in range(0, columns.out, lanes):
                    _gather_taps(
                        offset(planes, f * window * pixels + at), pixels, columns.source, bottom - top,
                        columns.taps, columns.dilation, rows.dilation * columns.source, columns.first + q,
                        columns.out - q, offset(to, q),
                    )  # fmt: skip
        image_mask = mask if is_null(mask) else offset(mask, image * filters * place.h * place.w)
        put(place, filters, first, count, columns.out, made, columns.out, image_mask, image_y)
    free(planes)
    free(offsets)
