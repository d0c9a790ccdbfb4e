"""Blueprints: all of a program but its memory, shared by the programs of equal networks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from fastnn.memory import Layout
from fastnn.ops import Op, Tensor


class Blueprint:
    """A network compiled for batches of `rows` rows, for one purpose: a training step, prediction, …

    A search over hyper-parameters makes hundreds of networks of one plan. What depends on the plan alone is
    worked out here, once; a program then only allocates its buffers.
    """

    def __init__(
        self,
        ops: Sequence[Op],
        *,
        batch: Mapping[str, Tensor],
        output: Tensor,
        shapes: Mapping[str, tuple[int, ...]],
        constants: Mapping[str, np.ndarray],
        shared: Collection[str],
        parts: Mapping[str, Collection[str]],
    ) -> None:
        """`batch` are the tensors that the executor fills or reads for every batch: x, y, weight, loss.

        `shapes` says in which shape an array is seen under its name, if not in its op's. `shared` names the
        arrays that belong to the network; all others but `constants` have a place in `layout`. `parts` are
        the names of the tensors that lie within another: theta's are W1, b1, …
        """
        self.ops = tuple(ops)
        self.batch = dict(batch)
        self.output = output
        self.constants = dict(constants)
        self.rows = batch["x"].shape[0]
        self.dtype = np.dtype(batch["x"].dtype)
        self.cost = sum(op.cost for op in ops)
        self.barriers = _barriers(self.ops, parts)
        tensors = [each for op in ops for each in op.operands if each is not None] + [*batch.values()]
        lent = {*shared, *constants}
        self.layout = Layout(
            {
                each.name: (shapes.get(each.name, each.shape), each.dtype)
                for each in tensors
                if each.name not in lent
            }
        )


def _barriers(ops: Sequence[Op], parts: Mapping[str, Collection[str]]) -> tuple[bool, ...]:
    """Before which ops the threads must meet: where one touches what another has written since they met.

    Reading what others read is free; an op's own operands are its kernel's business.
    """

    def memory(names: Collection[str]) -> set[str]:
        return set(names).union(*(parts.get(name, ()) for name in names))

    barriers = []
    read: set[str] = set()
    written: set[str] = set()
    for op in ops:
        reads, writes = memory(op.names_read), memory(op.names_written)
        meet = not (written.isdisjoint(reads | writes) and read.isdisjoint(writes))
        if meet:
            read, written = set(), set()
        read |= reads
        written |= writes
        barriers.append(meet)
    return tuple(barriers)
