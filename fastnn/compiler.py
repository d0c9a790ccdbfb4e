"""The compiler: a plan, a loss and an optimizer become a program.

The forward pass is emitted layer by layer and remembered on a tape; the backward pass walks the tape back,
down to the first layer with parameters. Fusion then rewrites the list of ops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fastnn.backend import get_backend
from fastnn.blueprint import Blueprint
from fastnn.fusion import fuse
from fastnn.losses import Loss, LossTensors
from fastnn.ops import Op, Tensor, make_op
from fastnn.optimizers import Optimizer
from fastnn.plan import PlacedLayer, Plan
from fastnn.program import Program


@dataclass(frozen=True)
class Purpose:
    """What a program is for: which parts of a training step it has."""

    training: bool = False  # dropout drops, batch norm takes the batch's statistics
    loss: bool = False
    weighted: bool = False  # the loss has a weight for every row
    backward: bool = False
    update: Optimizer | None = None
    fused: bool = True


def compile_program(
    plan: Plan, loss: Loss, rows: int, purpose: Purpose, shared: Mapping[str, np.ndarray]
) -> Program:
    """The program that runs batches of `rows` rows.

    `shared` are the arrays that a network's programs have in common, by name: theta, the gradient and the
    views into both, the statistics, the optimizer's vectors. Every other tensor gets a buffer of its own.
    """
    return Program(_compile(plan, loss, rows, purpose, tuple(shared), get_backend()), shared)


@lru_cache(maxsize=64)  # many networks of one plan, as in a search, are compiled once
def _compile(
    plan: Plan, loss: Loss, rows: int, purpose: Purpose, shared: tuple[str, ...], backend: str
) -> Blueprint:
    """The blueprint. What is fused depends on the current backend, which therefore is a key."""
    compilation = _Compilation(plan, loss, rows, purpose)
    compilation.forward()
    if purpose.loss:
        compilation.loss()
    if purpose.update is not None and purpose.update.l2:
        compilation.penalty(purpose.update.l2)
    if purpose.backward:
        compilation.backward()
    if purpose.update is not None:
        compilation.update(purpose.update)
    return Blueprint(
        fuse(compilation.ops) if purpose.fused else compilation.ops,
        batch=compilation.batch,
        output=compilation.output,
        shapes=compilation.shapes,
        constants=compilation.constants,
        shared=shared,
        parts=compilation.parts,
    )


class _Compilation:
    """A program in the making: its ops so far, and the tensors that they name."""

    def __init__(self, plan: Plan, loss: Loss, rows: int, purpose: Purpose) -> None:
        self.plan = plan
        self.rows = rows
        self.purpose = purpose
        self._loss = loss
        self._dtype = loss.dtype.name
        self.ops: list[Op] = []
        self.shapes: dict[str, tuple[int, ...]] = {"step": (2,)}
        self.constants: dict[str, np.ndarray] = {}
        self.parts: dict[str, list[str]] = {}
        self.step = Tensor("step", self.shapes["step"], "float64")
        self.output = self.tensor("X", rows, *plan.input_shape)
        self.batch = {"x": self.output}  # what the executor fills for every batch
        self._tape: list[tuple[_LayerScope, Tensor, Tensor]] = []

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The tensor `name` of the network's dtype; it is shown in the shape that comes first."""
        self.shapes.setdefault(name, shape)
        return Tensor(name, shape, self._dtype)

    def gradient(self, tensor: Tensor) -> Tensor:
        self.shapes.setdefault(f"d{tensor.name}", self.shapes[tensor.name])
        return self.tensor(f"d{tensor.name}", *tensor.shape)

    def emit(
        self, kernel: str, reads: Sequence[Tensor | None], writes: Sequence[Tensor | None], **numbers: float
    ) -> None:
        self.ops.append(make_op(kernel, reads, writes, numbers))

    def forward(self) -> None:
        layers = self.plan.layers
        if self.purpose.loss and self._loss.absorbs_activation:
            layers = layers[:-1]
        for placed in layers:
            scope = _LayerScope(self, placed)
            x, self.output = self.output, placed.layer.forward(scope, self.output)
            self._tape.append((scope, x, self.output))

    def loss(self) -> None:
        x = self.output
        if self._loss.absorbs_activation:
            last = self.plan.layers[-1]
            self.output = self.tensor(last.output, self.rows, *last.output_shape)
        y = Tensor("Y", (self.rows, *self._loss.target_shape), self._loss.target_dtype.name)
        self.shapes["Y"] = y.shape
        weight = self.tensor("weight", self.rows) if self.purpose.weighted else None
        loss = self.tensor("L", self.rows)
        dx = self.gradient(x) if self.purpose.backward else None
        self._loss.emit(self.emit, LossTensors(x, y, weight, loss, self.output, dx))
        self.batch |= {"y": y, "loss": loss}
        if weight is not None:
            self.batch["weight"] = weight

    def penalty(self, l2: float) -> None:
        """Emit J = L + ½ l2 Σ W² / n, every row's loss with its share of the penalty; J takes L's place.

        S1 = Σ W1², S2 = S1 + Σ W2², …: products of a row and a column. The gradient is added by the update.
        The backward pass comes after this: the threads meet there, so that J is whole when it is summed.
        """
        squares = None
        for name, parameter in self.plan.parameters.items():
            if not parameter.is_weight:
                continue
            weight = self.tensor(name, *parameter.shape)
            row, column = weight.reshape(1, weight.size), weight.reshape(weight.size, 1)
            total = self.tensor(f"S{name[1:]}", 1, 1)
            self.emit("linear", [row, column, squares], [total], m=1, k=weight.size, n=1, relu=0)
            squares = total
        if squares is None:
            return
        share = self.tensor("l2/2n", 1, self.rows)
        self.constants[share.name] = np.full(share.shape, l2 / 2 / self.rows, self._dtype)
        objective = self.tensor("J", self.rows)
        self.emit("linear", [squares, share, self.batch["loss"]], [objective], m=1, k=1, n=self.rows, relu=0)
        self.batch["loss"] = objective

    def backward(self) -> None:
        first = self.plan.first_trained
        for scope, x, y in reversed(self._tape[first:]):
            if y.name == x.name:
                continue  # the same memory, and so the same gradient
            layer = scope.placed.layer
            dx = self.gradient(x) if scope.position > first or layer.always_needs_dx else None
            layer.backward(scope, x, y, self.gradient(y), dx)

    def update(self, optimizer: Optimizer) -> None:
        """Emit the optimizer's op over theta; or, where weights decay otherwise than biases, by parameter."""
        prefixes = {"theta": "", "gradient": "d", **{vector: f"{vector}_" for vector in optimizer.vectors}}
        for whole, prefix in prefixes.items():
            self.parts[whole] = [f"{prefix}{name}" for name in self.plan.parameters]
        if not optimizer.l2:
            size = sum(parameter.size for parameter in self.plan.parameters.values())
            self._update(optimizer, ("theta", "gradient", *optimizer.vectors), size)
            return
        for name, parameter in self.plan.parameters.items():
            names = (name, f"d{name}", *(f"{vector}_{name}" for vector in optimizer.vectors))
            decay = optimizer.l2 / self.rows if parameter.is_weight else 0.0
            self._update(optimizer, names, parameter.size, decay)

    def _update(self, optimizer: Optimizer, names: Sequence[str], size: int, decay: float = 0.0) -> None:
        theta, gradient, *vectors = (self.tensor(name, size) for name in names)
        optimizer.emit(self.emit, gradient, self.step, theta, *vectors, decay=decay)


class _LayerScope:
    """A layer's place in the program: what `fastnn.layers.base.Scope` promises."""

    def __init__(self, compilation: _Compilation, placed: PlacedLayer) -> None:
        self.placed = placed
        self.rows = compilation.rows
        self.training = compilation.purpose.training
        self.position = placed.position
        self.seed = compilation.plan.seed
        self.step = compilation.step
        self.emit = compilation.emit
        self._compilation = compilation

    @property
    def output(self) -> Tensor:
        return self._compilation.tensor(self.placed.output, self.rows, *self.placed.output_shape)

    def __getitem__(self, role: str) -> Tensor:
        """The role's tensor: "W" may be W1, "dW" its gradient dW1, "mean" the buffer mean1."""
        shapes = self.placed.shapes
        if role in shapes:
            return self._compilation.tensor(self.placed.names[role], *shapes[role])
        return self._compilation.tensor(f"d{self.placed.names[role[1:]]}", *shapes[role[1:]])
