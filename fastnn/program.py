"""Programs: a fixed list of ops on fixed buffers, ready to run."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np

from fastnn.backend import get_backend, kernel_address
from fastnn.blueprint import Blueprint
from fastnn.kernels.native import Executor
from fastnn.listing import list_ops
from fastnn.ops import Tensor


class Program:
    """A blueprint with its memory.

    All its buffers are allocated here, in one block; a run allocates nothing. `program["A1"]` is the array of
    that name, as the last run left it.
    """

    def __init__(self, blueprint: Blueprint, shared: Mapping[str, np.ndarray]) -> None:
        """`shared` has the arrays that belong to the network: those that the blueprint calls so."""
        self.ops = blueprint.ops
        self.batch = blueprint.batch
        self.output = blueprint.output
        self.rows = blueprint.rows
        self.dtype = blueprint.dtype
        self.cost = blueprint.cost
        self.nbytes = blueprint.layout.nbytes
        self.backend = get_backend()
        self.buffers = blueprint.layout.allocate()
        self._arrays = {**shared, **blueprint.constants, **self.buffers}
        self.executor = self._make_executor(blueprint.barriers)
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
        last = [self[each.name] for each in self.ops[-1].writes if each is not None]
        return any(np.may_share_memory(array, self["theta"]) for array in last)

    def _purpose(self) -> str:
        if self._is_training_step():
            return "training step"
        return "prediction" if "loss" not in self.batch else "loss"

    def _array(self, tensor: Tensor) -> np.ndarray:
        """The tensor's memory, in the tensor's own shape."""
        return self[tensor.name].reshape(tensor.shape)

    def _make_executor(self, barriers: tuple[bool, ...]) -> Executor:
        calls = []
        for op, barrier in zip(self.ops, barriers, strict=True):
            # A kernel knows the shapes from its sizes: any view will do.
            operands = tuple(None if each is None else self._arrays[each.name] for each in op.operands)
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
