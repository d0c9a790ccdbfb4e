"""The 3 x 3 convolution and its gradients where a group has one channel and few filters.

Planes go by as they lie, a vector of adjacent outputs at a time: a tile of one filter has too few sums to pay
for packing. Padding is zeros, which count: an infinite weight makes NaN of them.
"""

from __future__ import annotations

import math
from itertools import product

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.memory import (
    free,
    heap,
    helper,
    inlined,
    is_null,
    like,
    offset,
    share,
)
from fastnn.kernels.numba_kernels.reductions import row_sum
from fastnn.kernels.numba_kernels.tile import vector_lanes
from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    broadcast,
    carried_loop,
    constant,
    load,
    multiply_add,
    store,
)
from fastnn.kernels.numba_kernels.window_loops import (
    Columns,
    Window,
    over_windows,
    plane_of,
    row_of,
)


def _is_rolling(builder: ir.IRBuilder, o: Window) -> ir.Value:
    """Whether the stride is 1: rows then go by, and each is loaded once."""
    return builder.icmp_signed("==", o.stride_w, INT64(1))


@intrinsic
def _correlate_plane(typingctx, x, window, weight, start, floor, zeros, y):
    """y = max(start + x * weight, floor) of one plane, `zeros` being a row of its width.

    A sum is one chain over the taps in order.
    """

    def codegen(context, builder, signature, args):
        x, window, weight, start, floor, zeros, y = args
        vector, o, place = plane_of(context, builder, signature.args[0], window)
        zero, lanes = constant(vector, 0.0), vector.count
        starts, floors = broadcast(builder, start, lanes), broadcast(builder, floor, lanes)

        def weights_of(tap):
            return broadcast(builder, builder.load(builder.gep(weight, [tap])), lanes)

        def step(values, pixels, u, v, at):
            weights = weights_of(builder.add(builder.mul(u, INT64(3)), v))
            return [multiply_add(builder, weights, pixels, values[0])]

        def finish(values, p, q):
            # "Below the floor" is false for NaN: a NaN stays.
            is_below = builder.fcmp_ordered("<", values[0], floors)
            store(builder, builder.select(is_below, floors, values[0]), *place(y, p, q))

        def roll(q, _):
            """A row is loaded once, for the sums of the three rows of outputs that it meets."""
            columns = Columns(builder, o, (1, 3), q, vector, zero)
            weights = [weights_of(INT64(tap)) for tap in range(9)]

            def row_of_x(m, sums):
                pixels = columns.load(row_of(builder, x, builder.sub(m, o.pad_top), o, zeros))
                sums = [starts, *sums]
                for u in range(3):
                    for v in range(3):
                        sums[u] = multiply_add(builder, weights[3 * u + v], pixels[v], sums[u])
                p = builder.sub(m, INT64(2))
                with builder.if_then(builder.icmp_signed(">=", p, INT64(0))):
                    finish(sums[2:], p, q)
                return sums[:2]

            end = builder.add(o.out_h, INT64(2))
            carried_loop(builder, INT64(0), end, 1, [starts, starts], row_of_x)
            return []

        with builder.if_else(_is_rolling(builder, o)) as (then, otherwise):
            with then:
                carried_loop(builder, INT64(0), o.out_w, lanes, [], roll)
            with otherwise:
                over_windows(builder, x, o, (2, 3), vector, zero, lambda p, q: [starts], step, finish, zeros)
        return context.get_dummy_value()

    return types.void(x, window, weight, x.dtype, x.dtype, zeros, y), codegen


@intrinsic
def _sum_plane(typingctx, x, window, dy, zeros, total):
    """total[u, v, lane] += Σ dy[p, q] x[p stride_h − pad_top + u, q stride_w − pad_left + v] of one plane.

    q = lane, lane + lanes, …; `zeros` is a row of x's width.
    """

    def codegen(context, builder, signature, args):
        x, window, dy, zeros, total = args
        vector, o, place = plane_of(context, builder, signature.args[0], window)
        zero = constant(vector, 0.0)

        def add_product(sum_, pixels, gradient, mask):
            # What lies beyond the outputs may be infinite: it isn't multiplied by 0.
            return builder.select(mask, multiply_add(builder, gradient, pixels, sum_), sum_)

        def roll(q, sums):
            """A row is loaded once, and multiplied by the three rows of dy that it meets."""
            columns = Columns(builder, o, (1, 3), q, vector, zero)

            def row_of_x(m, values):
                is_row = builder.icmp_signed("<", m, o.out_h)
                at, mask = place(dy, m, q)
                mask = builder.and_(mask, broadcast(builder, is_row, vector.count))
                rows_of_dy = [load(builder, at, vector, mask), mask, *values[:4]]
                pixels = columns.load(row_of(builder, x, builder.sub(m, o.pad_top), o, zeros))
                pairs = product(zip(rows_of_dy[::2], rows_of_dy[1::2], strict=True), pixels)
                sums = [
                    add_product(sum_, each, *gradient)
                    for sum_, (gradient, each) in zip(values[4:], pairs, strict=True)
                ]
                return [*rows_of_dy[:4], *sums]

            nowhere = ir.Constant(ir.VectorType(ir.IntType(1), vector.count), None)
            values = [zero, nowhere, zero, nowhere, *sums]
            return carried_loop(builder, INT64(0), builder.add(o.out_h, INT64(2)), 1, values, row_of_x)[4:]

        def taps_of(u):
            """The sums of row u of the taps with a stride of 2."""

            def outputs(q, sums):
                columns = Columns(builder, o, (2, 3), q, vector, zero)

                def output_row(p, sums):
                    at, mask = place(dy, p, q)
                    gradient = load(builder, at, vector, mask)
                    i = builder.add(builder.sub(builder.mul(p, o.stride_h), o.pad_top), u)
                    pixels = columns.load(row_of(builder, x, i, o, zeros))
                    return [add_product(*each, gradient, mask) for each in zip(sums, pixels, strict=True)]

                return carried_loop(builder, INT64(0), o.out_h, 1, sums, output_row)

            return outputs

        def add(first_tap, count, outputs):
            """outputs(q, sums), from the sums in total to the sums in total, of `count` taps."""
            taps = [builder.add(first_tap, INT64(i)) for i in range(count)]
            addresses = [builder.gep(total, [builder.mul(tap, INT64(vector.count))]) for tap in taps]
            sums = [load(builder, at, vector) for at in addresses]
            sums = carried_loop(builder, INT64(0), o.out_w, vector.count, sums, outputs)
            for sum_, at in zip(sums, addresses, strict=True):
                store(builder, sum_, at)

        def row_of_taps(u, _):
            add(builder.mul(u, INT64(3)), 3, taps_of(u))
            return []

        with builder.if_else(_is_rolling(builder, o)) as (then, otherwise):
            with then:
                add(INT64(0), 9, roll)
            with otherwise:
                carried_loop(builder, INT64(0), INT64(3), 1, [], row_of_taps)
        return context.get_dummy_value()

    return types.void(x, window, dy, zeros, total), codegen


@inlined
def _row_of_zeros(x, window):
    zeros = heap(x, window.w)
    for k in range(window.w):
        zeros[k] = like(x[0], 0)
    return zeros


@helper
def depthwise(window, images, groups, filters, x, weight, bias, relu, mask, y, thread, threads):
    """y = relu?(bias + x * weight) · 1[mask > 0]?, x (images, groups, …), weight (groups, filters, …).

    The threads divide the planes.
    """
    area, out_area, taps = window.h * window.w, window.out_h * window.out_w, 9
    floor = like(x[0], 0 if relu else -math.inf)
    zeros = _row_of_zeros(x, window)
    begin, end = share(images * groups * filters, 1, thread, threads)
    for plane in range(begin, end):
        filter_ = plane % (groups * filters)
        start = like(x[0], 0) if is_null(bias) else bias[filter_]
        _correlate_plane(
            offset(x, plane // filters * area), window, offset(weight, filter_ * taps), start, floor, zeros,
            offset(y, plane * out_area),
        )  # fmt: skip
        if not is_null(mask):
            for k in range(plane * out_area, (plane + 1) * out_area):
                y[k] = y[k] if mask[k] > 0 else like(x[0], 0)
    free(zeros)


@helper
def depthwise_backward_weight(window, images, groups, filters, x, dy, dweight, dbias, thread, threads):
    """dweight and dbias of `depthwise`. The threads divide the filters of all groups.

    A sum goes image by image, one chain a lane.
    """
    area, out_area, taps = window.h * window.w, window.out_h * window.out_w, 9
    lanes = vector_lanes(x)
    zeros, total = _row_of_zeros(x, window), heap(x, taps * lanes)
    begin, end = share(groups * filters, 1, thread, threads)
    for filter_ in range(begin, end):
        of_bias = like(x[0], 0)
        for k in range(taps * lanes):
            total[k] = like(x[0], 0)
        for image in range(images):
            plane = image * groups * filters + filter_
            gradient = offset(dy, plane * out_area)
            _sum_plane(offset(x, plane // filters * area), window, gradient, zeros, total)
            of_bias += row_sum(gradient, out_area)
        for k in range(taps):
            dweight[filter_ * taps + k] = row_sum(offset(total, k * lanes), lanes)
        if not is_null(dbias):
            dbias[filter_] = of_bias
    free(zeros)
    free(total)
