"""Fusion: rewrites of the op list that spare a pass over memory and change no result.

- linear or conv2d, then relu: one op that writes A; Z is never stored.
- linear_backward_input, then relu_backward: one op that writes dZ; the mask A rides along, dA is never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fastnn.ops import Op


def fuse(ops: Sequence[Op]) -> list[Op]:
    """`ops` with every pair that has a fused form as one op, in the place of the pair's first."""
    fused = list(ops)
    for second in ops:
        first = _only_source(second, fused)
        if first is None:
            continue
        joined = _join_relu(first, second) or _join_mask(first, second)
        if joined is not None:
            fused[fused.index(first)] = joined
            fused.remove(second)
    return fused


def _only_source(op: Op, ops: Sequence[Op]) -> Op | None:
    """The op that writes op's first operand, if `op` is the only one that reads it."""
    source = op.reads[0]
    assert source is not None, "every kernel's first operand is there"
    readers = [each for each in ops if any(read and read.name == source.name for read in each.reads)]
    writers = [each for each in ops if any(written and written.name == source.name for written in each.writes)]
    return writers[0] if len(readers) == len(writers) == 1 else None


def _join_relu(first: Op, second: Op) -> Op | None:
    """y = linear(x), a = relu(y): a = linear(x) with the flag relu. conv2d likewise."""
    if second.kernel != "relu" or first.sizes.get("relu") != 0:
        return None
    (activated,) = second.writes
    return replace(first, writes=(activated,), sizes={**first.sizes, "relu": 1})


def _join_mask(first: Op, second: Op) -> Op | None:
    """da = linear_backward_input(dz), dx = relu_backward(da, a): dx = linear_backward_input(dz, mask a)."""
    if second.kernel != "relu_backward" or first.kernel != "linear_backward_input":
        return None
    (da,), (_, a), (dx,) = first.writes, second.reads, second.writes
    assert da is not None and a is not None and dx is not None
    dy, weight, _ = first.reads
    return replace(first, reads=(dy, weight, a.reshape(*da.shape)), writes=(dx.reshape(*da.shape),))
