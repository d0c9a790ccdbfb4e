"""Pooling's commonest windows, 2 x 2 side by side, a vector of them at a time, written as LLVM IR.

The columns of a vector of windows are two vectors: their even lanes are the windows' first columns, their odd
lanes the second. The two are adjacent or, where a plane is no wider than a vector, of two rows of windows.
The number of `rows` is a literal at every call.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from fastnn.kernels.numba_kernels.reductions import larger
from fastnn.kernels.numba_kernels.vector_ir import (
    INT64,
    broadcast,
    first_lanes,
    lanes_of,
    load,
    prefetch,
    shuffle,
    size_of,
    store,
)
from fastnn.kernels.numba_kernels.window_rows import wins

# After loads under a mask processors don't fetch what follows by themselves: it is asked for, so many bytes
# before.
_ASK_TO_READ, _ASK_TO_WRITE = 8192, 1024


class _Pairs:
    """A vector of windows of planes `width` wide: of one row, with `columns` columns and `outputs` results
    from there on, as far as a vector goes; or of two whole rows.
    """

    def __init__(self, context, builder, pointer: types.CPointer, rows, width, columns, outputs):
        self.builder, self.real = builder, context.get_data_type(pointer.dtype)
        self.lanes = lanes = lanes_of(self.real)
        self.vector = ir.VectorType(self.real, lanes)
        self.rows = rows.literal_value
        self.second = INT64(lanes) if self.rows == 1 else builder.mul(width, INT64(2))
        behind = columns if self.rows == 2 else builder.sub(columns, INT64(lanes))
        self.columns = [first_lanes(builder, count, lanes) for count in (columns, behind)]
        self.count, self.outputs = outputs, first_lanes(builder, outputs, lanes)

    def _halves(self, row: ir.Value) -> list[ir.Value]:
        return [row, self.builder.gep(row, [self.second])]

    def _ask(self, halves: list[ir.Value], ahead: int, *, to_write: bool) -> None:
        for at in halves[: self.rows]:
            prefetch(self.builder, at, ahead // size_of(self.real), to_write=to_write)

    def load(self, row: ir.Value, otherwise: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The windows' first and second columns of a row."""
        halves = self._halves(row)
        self._ask(halves, _ASK_TO_READ, to_write=False)
        low, high = (
            load(self.builder, at, self.vector, mask, otherwise)
            for at, mask in zip(halves, self.columns, strict=True)
        )
        first, second = (list(range(start, 2 * self.lanes, 2)) for start in (0, 1))
        return shuffle(self.builder, low, high, first), shuffle(self.builder, low, high, second)

    def store(self, first: ir.Value, second: ir.Value, row: ir.Value) -> None:
        """Store what `load` loads."""
        at_halves = self._halves(row)
        self._ask(at_halves, _ASK_TO_WRITE, to_write=True)
        lanes = [lane // 2 + lane % 2 * self.lanes for lane in range(2 * self.lanes)]
        halves = lanes[: self.lanes], lanes[self.lanes :]
        for at, mask, half in zip(at_halves, self.columns, halves, strict=True):
            store(self.builder, shuffle(self.builder, first, second, half), at, mask)

    def load_results(self, y: ir.Value) -> ir.Value:
        """One number for each window."""
        first = load(self.builder, y, self.vector, self.outputs)
        if self.rows == 1:
            return first
        second = load(self.builder, self.builder.gep(y, [self.count]), self.vector, self.outputs)
        half = self.lanes // 2
        lanes = [lane if lane < half else lane + half for lane in range(self.lanes)]
        return shuffle(self.builder, first, second, lanes)

    def store_results(self, results: ir.Value, y: ir.Value) -> None:
        """Store what `load_results` loads."""
        store(self.builder, results, y, self.outputs)
        if self.rows == 2:
            upper = [(lane + self.lanes // 2) % self.lanes for lane in range(self.lanes)]
            at = self.builder.gep(y, [self.count])
            store(self.builder, shuffle(self.builder, results, results, upper), at, self.outputs)


@intrinsic(prefer_literal=True)
def max_pairs(typingctx, rows, x, width, columns, y, outputs):
    """y[j] = the maximum of window j: columns 2 j and 2 j + 1 of x and of the row `width` after it.

    A NaN wins. Of rows with `columns` columns and `outputs` windows from here on, one vector at most; or of
    two rows of windows.
    """

    def codegen(context, builder, signature, args):
        _, x, width, columns, y, outputs = args
        pairs = _Pairs(context, builder, signature.args[1], rows, width, columns, outputs)
        lowest = broadcast(builder, pairs.real(float("-inf")), pairs.lanes)
        above, below = (pairs.load(row, lowest) for row in (x, builder.gep(x, [width])))
        best = above[0]
        for pixels in (above[1], *below):
            best = larger(builder, pixels, best)
        pairs.store_results(best, y)
        return context.get_dummy_value()

    return types.void(rows, x, types.int64, types.int64, y, types.int64), codegen


@intrinsic(prefer_literal=True)
def max_pairs_backward(typingctx, rows, dy, outputs, x, width, columns, relu, dx):
    """dx = dy[j] where window j has its maximum, the first or the last NaN, else 0; times 1[x > 0] if relu.

    The windows are as in max_pairs.
    """

    def codegen(context, builder, signature, args):
        _, dy, outputs, x, width, columns, relu, dx = args
        pairs = _Pairs(context, builder, signature.args[1], rows, width, columns, outputs)
        zero = ir.Constant(pairs.vector, None)
        above, below = (pairs.load(row, zero) for row in (x, builder.gep(x, [width])))
        gradient = pairs.load_results(dy)
        best, won = above[0], []
        for pixels in (above[1], *below):
            won.append(wins(builder, pixels, best))
            best = builder.select(won[-1], pixels, best)
        passes = builder.or_(
            builder.fcmp_ordered(">", best, zero), broadcast(builder, builder.not_(relu), pairs.lanes)
        )
        # From the last to the first: what a later one has won, the earlier ones have not.
        rest, parts = builder.select(passes, gradient, zero), []
        for is_won in reversed(won):
            parts.append(builder.select(is_won, rest, zero))
            rest = builder.select(is_won, zero, rest)
        pairs.store(rest, parts[2], dx)
        pairs.store(parts[1], parts[0], builder.gep(dx, [width]))
        return context.get_dummy_value()

    return types.void(rows, dy, types.int64, x, types.int64, types.int64, types.boolean, dx), codegen


@intrinsic(prefer_literal=True)
def mean_pairs(typingctx, rows, x, width, columns, y, outputs):
    """y[j] = the mean of window j, of windows as in max_pairs."""

    def codegen(context, builder, signature, args):
        _, x, width, columns, y, outputs = args
        pairs = _Pairs(context, builder, signature.args[1], rows, width, columns, outputs)
        zero = ir.Constant(pairs.vector, None)
        above, below = (pairs.load(row, zero) for row in (x, builder.gep(x, [width])))
        total = above[0]
        for pixels in (above[1], *below):
            total = builder.fadd(total, pixels)
        quarter = broadcast(builder, pairs.real(0.25), pairs.lanes)
        pairs.store_results(builder.fmul(total, quarter), y)
        return context.get_dummy_value()

    return types.void(rows, x, types.int64, types.int64, y, types.int64), codegen


@intrinsic(prefer_literal=True)
def mean_pairs_backward(typingctx, rows, dy, outputs, width, columns, dx):
    """dx = dy[j] / 4 all over window j, of windows as in max_pairs."""

    def codegen(context, builder, signature, args):
        _, dy, outputs, width, columns, dx = args
        pairs = _Pairs(context, builder, signature.args[1], rows, width, columns, outputs)
        quarter = broadcast(builder, pairs.real(0.25), pairs.lanes)
        part = builder.fmul(pairs.load_results(dy), quarter)
        for row in (dx, builder.gep(dx, [width])):
            pairs.store(part, part, row)
        return context.get_dummy_value()

    return types.void(rows, dy, types.int64, types.int64, types.int64, dx), codegen
