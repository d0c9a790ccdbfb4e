"""What a layer is: an immutable description, that knows its shapes and the ops that compute it.

A layer holds no arrays, so one instance may stand in several places, or networks. What belongs to its place
(the number in its tensors' names, the batch's rows) comes in through a `Scope`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from math import prod, sqrt
from typing import Any, Protocol

import numpy as np

from fastnn.checks import pair
from fastnn.ops import Tensor

Shape = tuple[int, ...]
IntOrPair = int | tuple[int, int]  # for both axes, or (height, width)


class Scope(Protocol):
    """A layer's place in a program, into which it emits its ops."""

    rows: int  # of a batch
    training: bool  # else inference: nothing is dropped, batch norm uses its running statistics
    position: int  # among the network's layers, from 0
    seed: int  # the network's
    step: Tensor  # float64: the learning rate, and the number of this step, from 1

    @property
    def output(self) -> Tensor:
        """The layer's result, to be written."""

    def __getitem__(self, role: str) -> Tensor:
        """The tensor of a role: a parameter ("W"), its gradient ("dW"), a statistic, a buffer."""

    def emit(
        self, kernel: str, reads: Sequence[Tensor | None], writes: Sequence[Tensor | None], **numbers: float
    ) -> None:
        """Append an op; `numbers` are the kernel's sizes and scalars by name."""


@dataclass(frozen=True)
class Parameter:
    """A parameter's shape and how it starts: at `fill`, or at random where `fill` is None."""

    shape: Shape
    fill: float | None = None
    fan_in: int = 0
    fan_out: int = 0

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def is_weight(self) -> bool:
        """Whether it multiplies a layer's inputs: what an L2 penalty is on."""
        return self.fan_in > 0

    def initial(self, generator: np.random.Generator, before_relu: bool) -> np.ndarray:
        """Weights of which a layer's outputs have about the variance of its inputs.

        Before a ReLU, which halves it: N(0, 2 / fan_in) (He et al., "Delving deep into rectifiers", 2015,
        equation 10). Otherwise U(−a, a) with a = √(6 / (fan_in + fan_out)) (Glorot and Bengio, "Understanding
        the difficulty of training deep feedforward neural networks", 2010, equation 16).
        """
        if self.fill is not None:
            return np.full(self.shape, self.fill)
        if before_relu:
            return generator.normal(0.0, sqrt(2.0 / self.fan_in), self.shape)
        bound = sqrt(6.0 / (self.fan_in + self.fan_out))
        return generator.uniform(-bound, bound, self.shape)


class Layer:
    """One layer. Subclasses are frozen dataclasses whose fields are the layer's options."""

    letter: str = ""
    """The first letter of its output's name: Z, A, P, D, N."""

    is_activation: bool = False

    draws: bool = False
    """Whether it draws random numbers by the network's seed."""

    always_needs_dx: bool = False
    """Whether the backward kernel can't leave the gradient by x out, where nobody needs it."""

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of one row's result. Raises ValueError where the layer can't take `input_shape`."""
        return input_shape

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """The trained parameters by role, such as "W"."""
        return {}

    def statistics(self, input_shape: Shape) -> dict[str, Parameter]:
        """What training gathers and inference uses, beside the parameters."""
        return {}

    def buffers(self, input_shape: Shape) -> dict[str, Shape]:
        """What the forward pass leaves for the backward pass, beside the output."""
        return {}

    def forward(self, scope: Scope, x: Tensor) -> Tensor:
        """Emit the forward pass; return the result, in a batch's shape."""
        raise NotImplementedError

    def backward(self, scope: Scope, x: Tensor, y: Tensor, dy: Tensor, dx: Tensor | None) -> None:
        """Emit the gradients: by x where `dx` is given, and by the parameters. Not called if y is x."""
        raise NotImplementedError

    def __repr__(self) -> str:
        options = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.default is MISSING:
                options.append(repr(value))
            elif value != field.default:
                options.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(options)})"


def int_or_pair(name: str, value: Any, least: int) -> IntOrPair:
    """`value` checked, and as an int where both axes agree, so that equal layers compare equal."""
    both = pair(name, value, least)
    return both[0] if both[0] == both[1] else both


def check_planes(layer: Layer, input_shape: Shape) -> tuple[int, int, int]:
    """`input_shape` as (channels, height, width), which convolution and pooling need."""
    if len(input_shape) != 3:
        raise ValueError(f"{layer!r} needs an input of shape (channels, height, width), got {input_shape}")
    return input_shape[0], input_shape[1], input_shape[2]


def window_steps(
    layer: Layer,
    plane: Sequence[int],
    size: IntOrPair,
    stride: IntOrPair,
    padding: IntOrPair,
    dilation: IntOrPair = 1,
) -> tuple[int, int]:
    """How often a window fits along the height and the width: (in + 2 padding − span) // stride + 1."""

    def steps(axis: int, side: str) -> int:
        step, pad, spread = (pair("option", option, 0)[axis] for option in (stride, padding, dilation))
        span = spread * (pair("option", size, 1)[axis] - 1) + 1
        length = plane[axis] + 2 * pad
        if span > length:
            raise ValueError(f"{layer!r} needs a {side} of at least {span - 2 * pad}, got {plane[axis]}")
        return (length - span) // step + 1

    return steps(0, "height"), steps(1, "width")
