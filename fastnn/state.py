"""A network's state: every array that lasts from program to program, and how far its training has come."""

from __future__ import annotations

import numpy as np

from fastnn.memory import aligned_zeros, views
from fastnn.optimizers import Optimizer
from fastnn.plan import Plan


class State:
    """The parameters and their gradients, each as one flat vector with named views; batch norm's statistics;
    the optimizer with its vectors and its step; the number of epochs trained."""

    def __init__(self, plan: Plan, dtype: np.dtype) -> None:
        shapes = {name: parameter.shape for name, parameter in plan.parameters.items()}
        size = sum(parameter.size for parameter in plan.parameters.values())
        self.dtype = dtype
        self.theta = aligned_zeros(size, dtype)
        self.parameters = views(self.theta, shapes)
        for name, value in plan.initial_parameters().items():
            self.parameters[name][...] = value
        self.gradient = aligned_zeros(size, dtype)
        self.gradients = views(self.gradient, {f"d{name}": shape for name, shape in shapes.items()})
        self.statistics = {name: aligned_zeros(each.shape, dtype) for name, each in plan.statistics.items()}
        for name, each in plan.statistics.items():
            self.statistics[name][...] = each.fill
        self.optimizer: Optimizer | None = None
        self.optimizer_vectors: dict[str, np.ndarray] = {}
        self.step = aligned_zeros(2, np.float64)  # the learning rate and the number of the last step
        self.epoch = 0

    @property
    def step_number(self) -> int:
        """How many steps the optimizer has done."""
        return int(self.step[1])

    def begin(self, optimizer: Optimizer) -> bool:
        """Make `optimizer` the network's; return whether it starts afresh: it isn't the one before."""
        afresh = not optimizer.continues(self.optimizer)
        if afresh:
            size = self.theta.size
            self.optimizer_vectors = {name: aligned_zeros(size, self.dtype) for name in optimizer.vectors}
            self.step[:] = 0
        self.optimizer = optimizer
        return afresh

    def copy(self, *, optimizer: bool) -> dict[str, np.ndarray]:
        """Copies by name of all that a prediction depends on; with `optimizer`, that a step changes."""
        return {name: array.copy() for name, array in self._arrays(optimizer).items()}

    def restore(self, copies: dict[str, np.ndarray]) -> None:
        """Put back what `copy` returned. ValueError where its arrays aren't those that this state has."""
        optimizer = "step" in copies
        arrays = self._arrays(optimizer)
        shapes = {name: array.shape for name, array in arrays.items()}
        got = {name: copy.shape for name, copy in copies.items()}
        if got != shapes:
            raise ValueError(f"the arrays must be {shapes}, got {got}")
        for name, array in arrays.items():
            array[...] = copies[name]

    def _arrays(self, optimizer: bool) -> dict[str, np.ndarray]:
        arrays = {"theta": self.theta, **self.statistics}
        return arrays | self.optimizer_vectors | {"step": self.step} if optimizer else arrays
