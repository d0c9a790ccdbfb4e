"""Pooling's commonest windows, 2 x 2 side by side, a vector of them at a time, written as LLVM IR.

The columns of a vector of windows are two vectors: their even lanes are the windows' first columns, their odd
lanes the second.
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
    """Rows of `columns` columns, of which the first 2 `lanes` are a vector of windows."""

    def __init__(self, context, builder, pointer: types.CPointer, columns: ir.Value, outputs: ir.Value):
        self.builder, self.real = builder, context.get_data_type(pointer.dtype)
        self.lanes = lanes = lanes_of(self.real)
        self.vector = ir.VectorType(self.real, lanes)
        self.columns = [first_lanes(builder, builder.sub(columns, INT64(at)), lanes) for at in (0, lanes)]
        self.outputs = first_lanes(builder, outputs, lanes)

    def _halves(self, row: ir.Value) -> list[ir.Value]:
        return [self.builder.gep(row, [INT64(at)]) for at in (0, self.lanes)]

    def load(self, row: ir.Value, otherwise: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The windows' first and second columns of a row."""
        prefetch(self.builder, row, _ASK_TO_READ // size_of(self.real))
        halves = zip(self._halves(row), self.columns, strict=True)
        low, high = (load(self.builder, at, self.vector, mask, otherwise) for at, mask in halves)
        first, second = (list(range(start, 2 * self.lanes, 2)) for start in (0, 1))
        return shuffle(self.builder, low, high, first), shuffle(self.builder, low, high, second)

    def store(self, first: ir.Value, second: ir.Value, row: ir.Value) -> None:
        """Store what `load` loads."""
        prefetch(self.builder, row, _ASK_TO_WRITE // size_of(self.real), to_write=True)
        lanes = [lane // 2 + lane % 2 * self.lanes for lane in range(2 * self.lanes)]
        halves = lanes[: self.lanes], lanes[self.lanes :]
        for at, mask, half in zip(self._halves(row), self.columns, halves, strict=True):
            store(self.builder, shuffle(self.builder, first, second, half), at, mask)


@intrinsic
def max_pairs(typingctx, x, width, columns, y, outputs):
    """y[j] = the maximum of window j: columns 2 j and 2 j + 1 of x and of the row `width` after it.

    A NaN wins. Of rows with `columns` columns and `outputs` windows from here on, one vector at most.
    """

    def codegen(context, builder, signature, args):
        x, width, columns, y, outputs = args
        pairs = _Pairs(context, builder, signature.args[0], columns, outputs)
        lowest = broadcast(builder, pairs.real(float("-inf")), pairs.lanes)
        above, below = (pairs.load(row, lowest) for row in (x, builder.gep(x, [width])))
        best = above[0]
        for pixels in (above[1], *below):
            best = larger(builder, pixels, best)
        store(builder, best, y, pairs.outputs)
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64, y, types.int64), codegen


@intrinsic
def max_pairs_backward(typingctx, dy, outputs, x, width, columns, relu, dx):
    """dx = dy[j] where window j has its maximum, the first or the last NaN, else 0; times 1[x > 0] if relu.

    The windows are as in max_pairs.
    """

    def codegen(context, builder, signature, args):
        dy, outputs, x, width, columns, relu, dx = args
        pairs = _Pairs(context, builder, signature.args[0], columns, outputs)
        zero = ir.Constant(pairs.vector, None)
        above, below = (pairs.load(row, zero) for row in (x, builder.gep(x, [width])))
        gradient = load(builder, dy, pairs.vector, pairs.outputs)
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

    return types.void(dy, types.int64, x, types.int64, types.int64, types.boolean, dx), codegen


@intrinsic
def mean_pairs(typingctx, x, width, columns, y, outputs):
    """y[j] = the mean of window j, of windows as in max_pairs."""

    def codegen(context, builder, signature, args):
        x, width, columns, y, outputs = args
        pairs = _Pairs(context, builder, signature.args[0], columns, outputs)
        zero = ir.Constant(pairs.vector, None)
        above, below = (pairs.load(row, zero) for row in (x, builder.gep(x, [width])))
        total = above[0]
        for pixels in (above[1], *below):
            total = builder.fadd(total, pixels)
        quarter = broadcast(builder, pairs.real(0.25), pairs.lanes)
        store(builder, builder.fmul(total, quarter), y, pairs.outputs)
        return context.get_dummy_value()

    return types.void(x, types.int64, types.int64, y, types.int64), codegen


@intrinsic
def mean_pairs_backward(typingctx, dy, outputs, width, columns, dx):
    """dx = dy[j] / 4 all over window j, of windows as in max_pairs."""

    def codegen(context, builder, signature, args):
        dy, outputs, width, columns, dx = args
        pairs = _Pairs(context, builder, signature.args[0], columns, outputs)
        quarter = broadcast(builder, pairs.real(0.25), pairs.lanes)
        part = builder.fmul(load(builder, dy, pairs.vector, pairs.outputs), quarter)
        for row in (dx, builder.gep(dx, [width])):
            pairs.store(part, part, row)
        return context.get_dummy_value()

    return types.void(dy, types.int64, types.int64, types.int64, dx), codegen
