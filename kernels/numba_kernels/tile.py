"""Matmul's register tile: up to TILE_ROWS x TILE_COLUMNS sums, held in vector registers, written as LLVM IR.

A loop over k in Python would keep its sums in memory: LLVM neither unrolls it into registers nor knows that
the operands don't overlap.
"""

from __future__ import annotations

from collections.abc import Iterator

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    VECTOR_BYTES,
    broadcast,
    carried_loop,
    choose,
    first_lanes,
    hidden,
    lanes_of,
    load,
    multiply_add,
    store,
)

# The tile (rows x 2 accumulators), two vectors of b and one of a fill the registers but don't spill.
TILE_ROWS = {64: 8, 32: 6, 16: 4}[VECTOR_BYTES]
# Columns of one or two rows: enough independent sums to keep the multiply-adders busy.
_WIDE_ROWS, _WIDE_VECTORS = 2, 8


def _of_dtype(count):
    """An intrinsic of a pointer that gives `count(lanes)`, a constant, for the pointer's dtype."""

    @intrinsic
    def constant(typingctx, pointer):
        def codegen(context, builder, signature, args):
            return INT64(count(lanes_of(context.get_data_type(pointer.dtype))))

        return types.int64(pointer), codegen

    return constant


vector_lanes = _of_dtype(lambda lanes: lanes)
tile_columns = _of_dtype(lambda lanes: 2 * lanes)
wide_columns = _of_dtype(lambda lanes: _WIDE_VECTORS * lanes)
element_bytes = _of_dtype(lambda lanes: VECTOR_BYTES // lanes)


@intrinsic
def tile(typingctx, rows, columns, k, a, b, c, start, mask, relu):
    """c (rows, columns) = relu?(start + a (rows, k) b (k, columns)) · 1[mask > 0]?, tile after tile.

    Matrices are tuples: a is (pointer, row stride, column stride), the others (pointer, row stride), with
    adjacent columns. `start` (what the sums begin from) and `mask` may have null pointers. 1 ≤ columns ≤
    tile_columns, or rows ≤ 2 and columns = wide_columns. Every element is one chain of multiply-adds over k
    in ascending order. c may alias none of the others but start.
    """

    def codegen(context, builder, signature, args):
        values = []
        for value, argument in zip(args, signature.args, strict=True):
            values += (
                cgutils.unpack_tuple(builder, value) if isinstance(argument, types.BaseTuple) else [value]
            )
        values[-1] = context.cast(builder, args[-1], relu, types.boolean)
        real = context.get_data_type(c[0].dtype)
        builder.call(_tile_function(builder.module, real, [value.type for value in values]), values)
        return context.get_dummy_value()

    return types.void(rows, columns, k, a, b, c, start, mask, relu), codegen


def _tile_function(module: ir.Module, real: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    """The function that goes to the tiles of the panel's width, the last of which may have fewer rows."""
    name = f"fastnn.tile.{real}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "linkonce_odr"
    function.attributes.add("noinline")
    rows, columns = function.args[:2]
    lanes = lanes_of(real)
    builder = ir.IRBuilder(function.append_basic_block("entry"))

    def emit(first: ir.Value, count: int, vectors: int, is_partial: bool) -> None:
        _Tile(builder, function.args, real, first, count, vectors, is_partial).emit()

    def rest(first: ir.Value, most: int, vectors: int, is_partial: bool) -> None:
        """The rows from `first` on, at most so many."""
        end = function.append_basic_block("end")
        switch = builder.switch(builder.sub(rows, first), end)
        for count in range(1, most + 1):
            builder.position_at_end(function.append_basic_block(f"tile_{count}x{vectors}"))
            switch.add_case(INT64(count), builder.block)
            emit(first, count, vectors, is_partial)
            builder.branch(end)
        builder.position_at_end(end)

    def panel(shape: tuple[int, bool] | None) -> None:
        if shape is None:
            rest(INT64(0), _WIDE_ROWS, _WIDE_VECTORS, False)
            return
        whole = builder.sub(rows, builder.urem(rows, INT64(TILE_ROWS)))

        def whole_tile(first: ir.Value, values: list[ir.Value]) -> list[ir.Value]:
            emit(first, TILE_ROWS, *shape)
            return values

        carried_loop(builder, INT64(0), whole, TILE_ROWS, [], whole_tile)
        rest(whole, TILE_ROWS - 1, *shape)

    is_full = builder.icmp_signed("==", columns, INT64(2 * lanes))
    widths = [builder.icmp_signed("<=", columns, INT64(width * lanes)) for width in (1, 2)]
    choose(builder, [(is_full, (2, False)), (widths[0], (1, True)), (widths[1], (2, True))], panel)
    builder.ret_void()
    return function


class _Tile:
    """The code of a tile of a fixed number of rows and vectors; in a partial one the last vector is cut."""

    def __init__(self, builder, arguments, real, first, rows, vectors, is_partial):
        self.builder, self.rows, self.vectors = builder, rows, vectors
        self.first = first  # of its rows
        self.lanes = lanes_of(real)
        self.real = real
        self.vector = ir.VectorType(real, self.lanes)
        (_, columns, self.k, *matrices, self.relu) = arguments
        self.a, self.b, self.c = matrices[:3], matrices[3:5], matrices[5:7]
        self.start, self.mask = matrices[7:9], matrices[9:11]
        self.lane_masks = [None] * vectors
        if is_partial:
            last = builder.sub(columns, INT64((vectors - 1) * self.lanes))
            self.lane_masks[-1] = first_lanes(builder, last, self.lanes)

    def emit(self) -> None:
        builder, zero = self.builder, ir.Constant(self.vector, None)
        sums = self.load_or(self.start, [zero] * (self.rows * self.vectors), lambda start, zeros: start)
        sums = self.multiply(sums)
        floor = builder.select(self.relu, self.real(0.0), self.real(float("-inf")))
        floor = broadcast(builder, floor, self.lanes)
        # "Below the floor" is false for NaN: a NaN stays.
        sums = [builder.select(builder.fcmp_ordered("<", x, floor), floor, x) for x in sums]
        sums = self.load_or(self.mask, sums, self.masked)
        for x, (row, vector) in zip(sums, self.cells(), strict=True):
            store(builder, x, self.address(self.c, row, vector), self.lane_masks[vector])

    def masked(self, mask: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
        builder, zero = self.builder, ir.Constant(self.vector, None)
        pairs = zip(mask, sums, strict=True)
        return [builder.select(builder.fcmp_ordered(">", m, zero), x, zero) for m, x in pairs]

    def cells(self) -> Iterator[tuple[int, int]]:
        return ((row, vector) for row in range(self.rows) for vector in range(self.vectors))

    def address(self, matrix: list[ir.Value], row: int, vector: int) -> ir.Value:
        pointer, row_stride = matrix
        index = self.builder.mul(row_stride, self.builder.add(self.first, INT64(row)))
        return self.builder.gep(pointer, [self.builder.add(index, INT64(vector * self.lanes))])

    def load(self, matrix: list[ir.Value], row: int, vector: int) -> ir.Value:
        address = self.address(matrix, row, vector)
        return load(self.builder, address, self.vector, self.lane_masks[vector])

    def load_or(self, matrix, otherwise: list[ir.Value], combine) -> list[ir.Value]:
        """combine(the matrix's tile, otherwise), or `otherwise` where the matrix is absent."""
        builder = self.builder
        before = builder.block
        with builder.if_then(builder.not_(cgutils.is_null(builder, matrix[0]))):
            loaded = [self.load(matrix, row, vector) for row, vector in self.cells()]
            combined = combine(loaded, otherwise)
            inside = builder.block
        results = []
        for present, absent in zip(combined, otherwise, strict=True):
            phi = builder.phi(self.vector)
            phi.add_incoming(present, inside)
            phi.add_incoming(absent, before)
            results.append(phi)
        return results

    def multiply(self, sums: list[ir.Value]) -> list[ir.Value]:
        """sums + a b: the loop over k."""
        builder = self.builder
        (a, a_row, a_column), (b, b_row) = self.a, self.b
        rows = [
            hidden(builder, builder.gep(a, [builder.mul(a_row, builder.add(self.first, INT64(row)))]))
            for row in range(self.rows)
        ]

        def step(k, values):
            at, b, *sums = values
            b_k = [
                load(
                    builder,
                    builder.gep(b, [INT64(vector * self.lanes)]),
                    self.vector,
                    self.lane_masks[vector],
                )
                for vector in range(self.vectors)
            ]
            a_k = [broadcast(builder, builder.load(builder.gep(row, [at])), self.lanes) for row in rows]
            updated = [
                multiply_add(builder, a_k[row], b_k[vector], x)
                for x, (row, vector) in zip(sums, self.cells(), strict=True)
            ]
            return [builder.add(at, a_column), builder.gep(b, [b_row]), *updated]

        return carried_loop(builder, INT64(0), self.k, 1, [INT64(0), b, *sums], step, unroll=False)[2:]
