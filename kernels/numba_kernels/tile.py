"""Matmul's register tile: up to TILE_ROWS x TILE_COLUMNS sums, held in vector registers, written as LLVM IR.

A loop over k in Python would keep its sums in memory: LLVM neither unrolls it into registers nor knows that
the operands don't overlap.
"""

from __future__ import annotations

from collections.abc import Iterator

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.vector_math import multiply_add_ir

_FEATURES = llvm.get_host_cpu_features()
_VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx2") else 16
# The tile (rows x 2 accumulators), two vectors of b and one of a fill the registers but don't spill.
TILE_ROWS = {64: 8, 32: 6, 16: 4}[_VECTOR_BYTES]
# Columns of one or two rows: enough independent sums to keep the multiply-adders busy.
_WIDE_ROWS, _WIDE_VECTORS = 2, 8
_INT64 = ir.IntType(64)
_INT32 = ir.IntType(32)


def lanes_of(real: ir.Type) -> int:
    """Elements of a vector."""
    return _VECTOR_BYTES // (4 if isinstance(real, ir.FloatType) else 8)


def _of_dtype(count):
    """An intrinsic of a pointer that gives `count(lanes)`, a constant, for the pointer's dtype."""

    @intrinsic
    def constant(typingctx, pointer):
        def codegen(context, builder, signature, args):
            return _INT64(count(lanes_of(context.get_data_type(pointer.dtype))))

        return types.int64(pointer), codegen

    return constant


vector_lanes = _of_dtype(lambda lanes: lanes)
tile_columns = _of_dtype(lambda lanes: 2 * lanes)
wide_columns = _of_dtype(lambda lanes: _WIDE_VECTORS * lanes)


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
    widths = [builder.icmp_signed("<=", columns, _INT64(width * lanes)) for width in (1, 2)]
    is_full = builder.icmp_signed("==", columns, _INT64(2 * lanes))
    shape = _INT64(_WIDE_VECTORS)
    for condition, vectors in ((widths[1], 2), (widths[0], 1), (is_full, 0)):
        shape = builder.select(condition, _INT64(vectors), shape)
    case = builder.add(builder.mul(rows, _INT64(16)), shape)
    end = function.append_basic_block("end")
    switch = builder.switch(case, end)
    for vectors, most_rows in ((0, TILE_ROWS), (1, TILE_ROWS), (2, TILE_ROWS), (_WIDE_VECTORS, _WIDE_ROWS)):
        for count in range(1, most_rows + 1):
            block = function.append_basic_block(f"tile_{count}x{vectors}")
            switch.add_case(_INT64(16 * count + vectors), block)
            loop = ir.IRBuilder(block)
            _Tile(loop, function.args, real, count, vectors or 2, is_partial=0 < vectors <= 2).emit()
            loop.branch(end)
    ir.IRBuilder(end).ret_void()
    return function


class _Tile:
    """The code of a tile of a fixed number of rows and vectors; in a partial one the last vector is cut."""

    def __init__(self, builder, arguments, real, rows, vectors, is_partial):
        self.builder, self.rows, self.vectors, self.is_partial = builder, rows, vectors, is_partial
        self.lanes = lanes_of(real)
        self.real = real
        self.vector = ir.VectorType(real, self.lanes)
        (_, columns, self.k, *matrices, self.relu) = arguments
        self.a, self.b, self.c, self.start, self.mask = (
            matrices[:3],
            matrices[3:5],
            matrices[5:7],
            matrices[7:9],
            matrices[9:11],
        )
        if is_partial:
            last = builder.sub(columns, _INT64((vectors - 1) * self.lanes))
            lane = ir.Constant(ir.VectorType(_INT32, self.lanes), list(range(self.lanes)))
            count = self.broadcast(builder.trunc(last, _INT32))
            self.lane_mask = builder.icmp_signed("<", lane, count)

    def emit(self) -> None:
        zero = ir.Constant(self.vector, None)
        sums = self.load_or(self.start, [zero] * (self.rows * self.vectors), lambda loaded, zeros: loaded)
        sums = self.multiply(sums)
        floor = self.broadcast(self.builder.select(self.relu, self.real(0.0), self.real(float("-inf"))))
        # Below the floor is false for NaN: a NaN stays.
        sums = [self.builder.select(self.builder.fcmp_ordered("<", x, floor), floor, x) for x in sums]
        sums = self.load_or(self.mask, sums, self.masked)
        for x, (row, vector) in zip(sums, self.cells(), strict=True):
            self.store(x, self.address(self.c, row, vector), vector)

    def masked(self, mask: list[ir.Value], sums: list[ir.Value]) -> list[ir.Value]:
        zero = ir.Constant(self.vector, None)
        pairs = zip(mask, sums, strict=True)
        return [self.builder.select(self.builder.fcmp_ordered(">", m, zero), x, zero) for m, x in pairs]

    def cells(self) -> Iterator[tuple[int, int]]:
        return ((row, vector) for row in range(self.rows) for vector in range(self.vectors))

    def multiply(self, sums: list[ir.Value]) -> list[ir.Value]:
        """sums + a b: the loop over k."""
        builder = self.builder
        a, a_row, a_column = self.a
        b, b_row = self.b
        before = builder.block
        function = builder.function
        head, body, after = (function.append_basic_block(name) for name in ("head", "body", "after"))
        builder.branch(head)
        builder.position_at_end(head)
        phis = []
        for value in (_INT64(0), a, b, *sums):
            phi = builder.phi(value.type)
            phi.add_incoming(value, before)
            phis.append(phi)
        k, a, b, *running = phis
        builder.cbranch(builder.icmp_signed("<", k, self.k), body, after)
        builder.position_at_end(body)
        b_k = [self.load(self.address((b, b_row), 0, vector), vector) for vector in range(self.vectors)]
        updated = []
        for row in range(self.rows):
            a_ik = builder.load(builder.gep(a, [builder.mul(a_row, _INT64(row))]))
            a_ik = self.broadcast(a_ik)
            for vector in range(self.vectors):
                updated.append(
                    multiply_add_ir(builder, a_ik, b_k[vector], running[row * self.vectors + vector])
                )
        values = [builder.add(k, _INT64(1)), builder.gep(a, [a_column]), builder.gep(b, [b_row]), *updated]
        for phi, value in zip(phis, values, strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(after)
        return running

    def load_or(self, matrix, otherwise: list[ir.Value], combine) -> list[ir.Value]:
        """combine(the matrix's tile, otherwise), or `otherwise` where the matrix is absent."""
        builder = self.builder
        before = builder.block
        with builder.if_then(builder.not_(cgutils.is_null(builder, matrix[0]))):
            loaded = [self.load(self.address(matrix, row, vector), vector) for row, vector in self.cells()]
            combined = combine(loaded, otherwise)
            inside = builder.block
        results = []
        for present, absent in zip(combined, otherwise, strict=True):
            phi = builder.phi(self.vector)
            phi.add_incoming(present, inside)
            phi.add_incoming(absent, before)
            results.append(phi)
        return results

    def broadcast(self, x: ir.Value) -> ir.Value:
        """A vector with x in all lanes."""
        vector = ir.VectorType(x.type, self.lanes)
        single = self.builder.insert_element(ir.Constant(vector, ir.Undefined), x, _INT32(0))
        lanes = ir.Constant(ir.VectorType(_INT32, self.lanes), None)
        return self.builder.shuffle_vector(single, ir.Constant(vector, ir.Undefined), lanes)

    def address(self, matrix, row: int, vector: int) -> ir.Value:
        pointer, row_stride = matrix
        index = self.builder.add(self.builder.mul(row_stride, _INT64(row)), _INT64(vector * self.lanes))
        return self.builder.bitcast(self.builder.gep(pointer, [index]), self.vector.as_pointer())

    def is_cut(self, vector: int) -> bool:
        return self.is_partial and vector == self.vectors - 1

    def load(self, pointer: ir.Value, vector: int) -> ir.Value:
        if not self.is_cut(vector):
            return self.builder.load(pointer, align=self.element_bytes)
        load = self.masked_intrinsic(
            "load", self.vector, [pointer.type, _INT32, self.lane_mask.type, self.vector]
        )
        align = _INT32(self.element_bytes)
        return self.builder.call(load, [pointer, align, self.lane_mask, ir.Constant(self.vector, None)])

    def store(self, x: ir.Value, pointer: ir.Value, vector: int) -> None:
        if not self.is_cut(vector):
            self.builder.store(x, pointer, align=self.element_bytes)
            return
        types_ = [self.vector, pointer.type, _INT32, self.lane_mask.type]
        store = self.masked_intrinsic("store", ir.VoidType(), types_)
        self.builder.call(store, [x, pointer, _INT32(self.element_bytes), self.lane_mask])

    @property
    def element_bytes(self) -> int:
        return _VECTOR_BYTES // self.lanes

    def masked_intrinsic(self, what: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
        name = f"llvm.masked.{what}.v{self.lanes}{self.real.intrinsic_name}.p0"
        return cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(result, arguments), name)
