"""Loops over the windows of a plane, a vector of adjacent ones at a time, written as LLVM IR.

Along a row the columns that one element of the windows meets are a stride apart. Strides of 1 and 2 are loads
and shuffles, where the width is known that of 4 too; others are gathered.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from itertools import chain

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastnn.kernels.numba_kernels.vector_ir import (
    INT32,
    INT64,
    broadcast,
    carried_loop,
    choose,
    first_lanes,
    lanes_of,
    load,
    prefetch,
    shuffle,
    size_of,
)

Values = list[ir.Value]

# Bytes.
_ASK_TO_READ = 8192


def _int_lanes(lanes: int) -> ir.VectorType:
    return ir.VectorType(INT32, lanes)


def counted(builder: ir.IRBuilder, first: ir.Value, lanes: int) -> ir.Value:
    """The numbers first, first + 1, …, as int32."""
    numbers = ir.Constant(_int_lanes(lanes), list(range(lanes)))
    return builder.add(broadcast(builder, builder.trunc(first, INT32), lanes), numbers)


def is_index(builder: ir.IRBuilder, numbers: ir.Value, size: ir.Value) -> ir.Value:
    """Which numbers lie in 0 … size − 1."""
    lanes = numbers.type.count
    return builder.icmp_unsigned("<", numbers, broadcast(builder, builder.trunc(size, INT32), lanes))


def load_inside(builder, x, size, first, vector, otherwise) -> ir.Value:
    """The elements first, first + 1, … of x (size,); `otherwise` outside."""
    mask = is_index(builder, counted(builder, first, vector.count), size)
    return load(builder, builder.gep(x, [first]), vector, mask, otherwise)


def gather(builder, x, indices, mask, vector, otherwise) -> ir.Value:
    """The elements of x at these indices; `otherwise` where the mask is unset."""
    lanes, numbers = vector.count, ir.VectorType(INT64, vector.count)
    size = ir.Constant(numbers, [size_of(vector.element)] * lanes)
    bytes_ = builder.mul(builder.sext(indices, numbers), size)
    start = broadcast(builder, builder.ptrtoint(x, INT64), lanes)
    addresses = builder.inttoptr(builder.add(start, bytes_), ir.VectorType(x.type, lanes))
    type_ = ir.FunctionType(vector, [addresses.type, INT32, mask.type, vector])
    name = f"llvm.masked.gather.v{lanes}{vector.element.intrinsic_name}.v{lanes}p0"
    function = cgutils.get_or_insert_function(builder.module, type_, name)
    return builder.call(function, [addresses, INT32(size_of(vector.element)), mask, otherwise])


# The stride and width of windows, as far as they are known: None is any.
Case = tuple[int | None, int | None]
# Those that have code of their own.
_CASES = ((1, 3), (2, 3), (3, 3), (1, None), (2, None))

# Output (p, q) of (out_h, out_w) meets rows p stride_h − pad_top … + size_r − 1 of (h, w), and columns alike.
Window = namedtuple("Window", "h w size_r size_s stride_h stride_w pad_top pad_left out_h out_w")


def for_case(builder: ir.IRBuilder, o: Window, body: Callable[[Case], None]) -> None:
    """body(case) of the first of _CASES that is the window's, else of any."""
    cases = []
    for stride, size in _CASES:
        is_case = builder.icmp_signed("==", o.stride_w, INT64(stride))
        if size is not None:
            is_case = builder.and_(is_case, builder.icmp_signed("==", o.size_s, INT64(size)))
        cases.append((is_case, (stride, size)))
    choose(builder, cases, lambda case: body(case or (None, None)))


def _apart(builder: ir.IRBuilder, vectors: Values) -> Values:
    """The elements of adjacent vectors, as many as the stride, 2 to 4: from the first, the second, … on."""
    if len(vectors) == 1:
        return vectors
    if len(vectors) == 3:
        return [_every_third(builder, vectors, first) for first in range(3)]
    pairs = list(zip(vectors[::2], vectors[1::2], strict=True))
    lanes = vectors[0].type.count
    even, odd = (
        _apart(builder, [shuffle(builder, *pair, list(range(first, 2 * lanes, 2))) for pair in pairs])
        for first in (0, 1)
    )
    return list(chain(*zip(even, odd, strict=True)))


def _every_third(builder: ir.IRBuilder, vectors: Values, first: int) -> ir.Value:
    lanes = vectors[0].type.count
    places = [divmod(first + 3 * lane, lanes) for lane in range(lanes)]
    two = [lane + lanes * (vector == 1) for vector, lane in places]
    all_ = [lanes + at if vector == 2 else lane for lane, (vector, at) in enumerate(places)]
    return shuffle(builder, shuffle(builder, *vectors[:2], two), vectors[2], all_)


class Columns:
    """The columns of the windows of outputs q, q + 1, …, of a case; `otherwise` is what lies outside."""

    def __init__(self, builder, o: Window, case: Case, q, vector, otherwise):
        self.builder, self.o = builder, o
        self.stride, self.size = stride, size = case
        self.vector, self.otherwise = vector, otherwise
        self.first = builder.sub(builder.mul(q, o.stride_w), o.pad_left)
        # The same in all rows: what is inside of each vector that is loaded.
        self.loads = []
        if size is not None:
            lanes = vector.count
            starts = range(size) if stride == 1 else range(0, stride * (lanes - 1) + size, lanes)
            for start in starts:
                column = builder.add(self.first, INT64(start))
                inside = is_index(builder, counted(builder, column, lanes), o.w)
                self.loads.append((column, inside))

    def load(self, row: ir.Value) -> Values:
        """The pixels of a row that meet the windows' columns, where their number is known."""
        builder, lanes = self.builder, self.vector.count
        loaded = [
            load(builder, builder.gep(row, [column]), self.vector, mask, self.otherwise)
            for column, mask in self.loads
        ]
        if self.stride == 1:
            return loaded
        pixels = _apart(builder, loaded[: self.stride])
        for v in range(self.stride, self.size):
            # The same as a column of the next window, but for the last window.
            last = v + self.stride * (lanes - 1)
            order = [*range(1, lanes), lanes + last % lanes]
            pixels.append(shuffle(builder, pixels[v - self.stride], loaded[last // lanes], order))
        return pixels

    def ask(self, row: ir.Value) -> None:
        """Ask for what lies well beyond a row: after loads under a mask the processor doesn't by itself."""
        at = self.builder.gep(row, [self.first])
        prefetch(self.builder, at, _ASK_TO_READ // size_of(self.vector.element))

    def load_one(self, row: ir.Value, v: ir.Value) -> ir.Value:
        """The pixels of a row that meet the windows' column v."""
        builder, vector, lanes, w = self.builder, self.vector, self.vector.count, self.o.w
        first = builder.add(self.first, v)
        if self.stride == 1:
            return load_inside(builder, row, w, first, vector, self.otherwise)
        if self.stride == 2:
            starts = first, builder.add(first, INT64(lanes))
            pair = (load_inside(builder, row, w, start, vector, self.otherwise) for start in starts)
            return shuffle(builder, *pair, list(range(0, 2 * lanes, 2)))
        stride = broadcast(builder, builder.trunc(self.o.stride_w, INT32), lanes)
        steps = builder.mul(counted(builder, INT64(0), lanes), stride)
        columns = builder.add(steps, broadcast(builder, builder.trunc(first, INT32), lanes))
        return gather(builder, row, columns, is_index(builder, columns, w), vector, self.otherwise)


def over_windows(
    builder: ir.IRBuilder,
    x: ir.Value,
    o: Window,
    case: Case,
    vector: ir.VectorType,
    otherwise: ir.Value,
    start: Callable[[ir.Value, ir.Value], Values],
    step: Callable[..., Values],
    finish: Callable[[Values, ir.Value, ir.Value], None],
    outside: ir.Value | None = None,
) -> None:
    """A vector of windows of the plane x at a time, those of outputs (p, q), (p, q + 1), …

    values = start(p, q); for their elements (u, v), row by row, values = step(values, pixels, u, v, index of
    the first pixel); finish(values, p, q). `otherwise` is what the windows hold beside the image; rows above
    and below it are left out, or are the row `outside`.
    """
    zero = INT64(0)

    def outputs(q, _):
        columns = Columns(builder, o, case, q, vector, otherwise)

        def output_row(p, _):
            top = builder.sub(builder.mul(p, o.stride_h), o.pad_top)
            columns.ask(builder.gep(x, [builder.mul(top, o.w)]))

            def line(u, values):
                i = builder.add(top, u)
                at = builder.add(builder.mul(i, o.w), columns.first)
                row = row_of(builder, x, i, o, outside)
                if columns.size is None:

                    def element(v, values):
                        return step(values, columns.load_one(row, v), u, v, builder.add(at, v))

                    return carried_loop(builder, zero, o.size_s, 1, values, element)
                for v, pixels in enumerate(columns.load(row)):
                    values = step(values, pixels, u, INT64(v), builder.add(at, INT64(v)))
                return values

            begin, end = zero, o.size_r
            if outside is None:
                begin = larger_number(builder, zero, builder.neg(top))
                below = builder.sub(o.h, top)
                end = builder.select(builder.icmp_signed("<", below, end), below, end)
            finish(carried_loop(builder, begin, end, 1, start(p, q), line), p, q)
            return []

        return carried_loop(builder, zero, o.out_h, 1, [], output_row)

    carried_loop(builder, zero, o.out_w, vector.count, [], outputs)


def row_of(builder: ir.IRBuilder, x: ir.Value, i: ir.Value, o: Window, outside: ir.Value | None) -> ir.Value:
    """Row i of the plane, or the row `outside` where there is one and i is no row of the plane's."""
    row = builder.gep(x, [builder.mul(i, o.w)])
    return row if outside is None else builder.select(builder.icmp_unsigned("<", i, o.h), row, outside)


def larger_number(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """Of two integers."""
    return builder.select(builder.icmp_signed(">", a, b), a, b)


def plane_of(context, builder: ir.IRBuilder, x: types.CPointer, window: ir.Value):
    """The vector of x's dtype, a Window, and the place of outputs (p, q), … in y, with the lanes there."""
    real = context.get_data_type(x.dtype)
    lanes, o = lanes_of(real), Window(*cgutils.unpack_tuple(builder, window))

    def place(y, p, q):
        at = builder.gep(y, [builder.add(builder.mul(p, o.out_w), q)])
        return at, first_lanes(builder, builder.sub(o.out_w, q), lanes)

    return ir.VectorType(real, lanes), o, place
