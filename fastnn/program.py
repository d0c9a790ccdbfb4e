"""Programs: a fixed list of ops on fixed buffers, ready to run."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from fastnn.backend import get_backend, kernel_address
from fastnn.kernels.native import Executor
from fastnn.listing import list_ops
from fastnn.memory import carve
from fastnn.ops import Op, Tensor


class Program:
    """A network compiled for batches of `rows` rows, for one purpose: a training step, prediction, …

    All its buffers are allocated here, in one block; a run allocates nothing. `program["A1"]` is the array of
    that name, as the last run left it.
    """

    def __init__(
        self,
        ops: Sequence[Op],
        *,
        batch: Mapping[str, Tensor],
        output: Tensor,
        shapes: Mapping[str, tuple[int, ...]],
        shared: Mapping[str, np.ndarray],
    ) -> None:
        """Give every tensor its memory: `shared` has the arrays that belong to the network.

        `batch` are the tensors that the executor fills or reads for every batch: x, y, weight, loss. `shapes`
        says in which shape an array is seen under its name, if not in its op's.
        """
        self.ops = tuple(ops)
        self.batch = dict(batch)
        self.output = output
        self.rows = batch["x"].shape[0]
        self.dtype = np.dtype(batch["x"].dtype)
        self.backend = get_backend()
        self.cost = sum(op.cost for op in ops)
        tensors = [each for op in ops for each in op.operands if each is not None] + [*batch.values()]
        own = {
            each.name: (shapes.get(each.name, each.shape), each.dtype)
            for each in tensors
            if each.name not in shared
        }
        self.buffers, self.nbytes = carve(own)
        self._arrays = {**shared, **self.buffers}
        self.executor = self._make_executor()
        self.lock = threading.Lock()  # for who fills the buffers, runs and reads them

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def describe(self) -> str:
        """The ops, one a line: number, kernel, operands with their shapes, options."""
        sizes = [
            f"{self.rows} row{'s' * (self.rows != 1)}",
            f"{self['theta'].size:,} parameters",
            f"work of about {self.cost:,} multiply-adds",
            f"{self.nbytes:,} bytes of buffers",
        ]
        header = f"{self._purpose()}, {self.dtype}, {self.backend}: {', '.join(sizes)}"
        return "\n".join([header, *list_ops(self.ops, self.batch if self._is_training_step() else {})])

    def _is_training_step(self) -> bool:
        """Whether it updates theta."""
        last = [self._array(each) for each in self.ops[-1].writes if each is not None]
        return _overlap(last, [self["theta"]])

    def _purpose(self) -> str:
        if self._is_training_step():
            return "training step"
        return "prediction" if "loss" not in self.batch else "loss"

    def _array(self, tensor: Tensor) -> np.ndarray:
        """The tensor's memory, in the tensor's own shape."""
        return self._arrays[tensor.name].reshape(tensor.shape)

    def _make_executor(self) -> Executor:
        calls = []
        for op, barrier in zip(self.ops, self._barriers(), strict=True):
            operands = tuple(None if each is None else self._array(each) for each in op.operands)
            address = kernel_address(op.kernel, self.dtype)
            calls.append((address, operands, tuple(op.sizes.values()), tuple(op.scalars.values()), barrier))
        return Executor(
            calls,
            rows=self.rows,
            **{role: self._array(tensor) for role, tensor in self.batch.items()},
            step=self._arrays.get("step"),
            output=self._array(self.output),
            cost=self.cost,
        )

    def _barriers(self) -> list[bool]:
        """Before which ops the threads must meet: where one touches what another has written since they met.

        Reading what others read is free; an op's own operands are its kernel's business.
        """
        barriers = []
        read: list[np.ndarray] = []
        written: list[np.ndarray] = []
        for op in self.ops:
            reads = [self._array(each) for each in op.reads if each is not None]
            writes = [self._array(each) for each in op.writes if each is not None]
            meet = _overlap(reads, written) or _overlap(writes, written) or _overlap(writes, read)
            if meet:
                read, written = [], []
            read += reads
            written += writes
            barriers.append(meet)
        return barriers


def _overlap(some: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> bool:
    """Whether any of `some` shares memory with any of `others`: W1, say, is a part of theta."""
    return any(np.may_share_memory(one, other) for one in some for other in others)
