"""Fusion: rewrites of the op list that spare a pass over memory and change no result.

- linear or conv2d, then relu: one op that writes A; Z is never stored.
- linear_backward_input, conv2d_backward_input or max_pool2d_backward, then relu_backward: one op that writes
  dZ, with A as the mask; dA is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastnn.ops import Op


def fuse(ops: Sequence[Op]) -> list[Op]:
    """`ops` with every pair that has a fused form as one op, in the place of the pair's first."""
    fused = list(ops)
    for second in ops:
        join = _JOINS.get(second.kernel)
        first = join and _only_source(second, fused)
        joined = join(first, second) if join and first else None
        if first and joined:
            fused[fused.index(first)] = joined
            fused.remove(second)
    return fused


def _only_source(op: Op, ops: Sequence[Op]) -> Op | None:
    """The op that writes op's first operand, if `op` is the only one that reads it."""
    name = op.reads[0].name if op.reads[0] else ""
    readers = [each for each in ops if any(read and read.name == name for read in each.reads)]
    writers = [each for each in ops if any(written and written.name == name for written in each.writes)]
    return writers[0] if len(readers) == len(writers) == 1 else None


def _join_relu(first: Op, second: Op) -> Op | None:
    """y = linear(x), a = relu(y): a = linear(x) with the flag relu. conv2d likewise."""
    if first.sizes.get("relu") != 0:
        return None
    return replace(first, writes=second.writes, sizes={**first.sizes, "relu": 1})


def _join_mask(first: Op, second: Op) -> Op | None:
    """da = backward(dz, …), dx = relu_backward(da, a): dx = backward(dz, …, mask a)."""
    (_, a), (dx,) = second.reads, second.writes
    if a is None or dx is None:
        return None
    if first.kernel == "max_pool2d_backward" and first.reads[1] == a:
        return replace(first, writes=(dx,), sizes={**first.sizes, "relu": 1})
    if first.kernel not in ("linear_backward_input", "conv2d_backward_input"):
        return None
    # The ReLU may see the same memory in another shape, that of a convolution's planes.
    written = first.writes[0]
    assert written is not None
    mask, dx = a.reshape(*written.shape), dx.reshape(*written.shape)
    return replace(first, reads=(*first.reads[:-1], mask), writes=(dx,))


_JOINS = {"relu": _join_relu, "relu_backward": _join_mask}
