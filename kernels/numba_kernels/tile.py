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
    first_lanes,
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
    """c (rows, columns) = relu?(start + a (rows, k) b (k, columns)) · 1[mask > 0]?.

    Matrices are tuples: a is (pointer, row stride, column stride), the others (pointer, row stride), with
    adjacent columns. `start` (what the sums begin from) and `mask` may have null pointers. rows ≤ TILE_ROWS
    and columns ≤ tile_columns; or rows ≤ 2 and columns = wide_columns. Every element is one chain of
    multiply-adds over k in ascending order. c may alias none of the others but start.
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
    """The function that goes to the loop for the tile's number of rows and vectors."""
    name = f"fastnn.tile.{real}"
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), name)
    function.linkage = "linkonce_odr"
    rows, columns = function.args[:2]
    lanes = lanes_of(real)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    widths = [builder.icmp_signed("<=", columns, INT64(width * lanes)) for width in (1, 2)]
    is_full = builder.icmp_signed("==", columns, INT64(2 * lanes))
    shape = INT64(_WIDE_VECTORS)
    for condition, vectors in ((widths[1], 2), (widths[0], 1), (is_full, 0)):
        shape = builder.select(condition, INT64(vectors), shape)
    case = builder.add(builder.mul(rows, INT64(16)), shape)
    end = function.append_basic_block("end")
    switch = builder.switch(case, end)
    for vectors, most_rows in ((0, TILE_ROWS), (1, TILE_ROWS), (2, TILE_ROWS), (_WIDE_VECTORS, _WIDE_ROWS)):
        for count in range(1, most_rows + 1):
            block = function.append_basic_block(f"tile_{count}x{vectors}")
            switch.add_case(INT64(16 * count + vectors), block)
            loop = ir.IRBuilder(block)
            _Tile(loop, function.args, real, count, vectors or 2, is_partial=0 < vectors <= 2).emit()
            loop.branch(end)
    ir.IRBuilder(end).ret_void()
    return function


class _Tile:
    """The code of a tile of a fixed number of rows and vectors; in a partial one the last vector is cut."""

    def __init__(self, builder, arguments, real, rows, vectors, is_partial):
        self.builder, self.rows, self.vectors = builder, rows, vectors
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
        index = self.builder.mul(row_stride, INT64(row))
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

        def step(k, values):
            a, b, *sums = values
            b_k = [self.load([b, b_row], 0, vector) for vector in range(self.vectors)]
            a_k = [
                broadcast(builder, builder.load(builder.gep(a, [builder.mul(a_row, INT64(row))])), self.lanes)
                for row in range(self.rows)
            ]
            updated = [
                multiply_add(builder, a_k[row], b_k[vector], x)
                for x, (row, vector) in zip(sums, self.cells(), strict=True)
            ]
            return [builder.gep(a, [a_column]), builder.gep(b, [b_row]), *updated]

        return carried_loop(builder, INT64(0), self.k, 1, [a, b, *sums], step)[2:]
