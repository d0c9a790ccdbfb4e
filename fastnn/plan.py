"""A network's plan: every layer in its place, with the shapes and the names that its tensors will have.

The names are the derivation's. The layer with parameters number l (1, 2, …) has W{l}, b{l} and the output
Z{l}; the activation after it is A{l}, the pool P{l}, the dropout D{l}, the batch norm N{l}. The input is X.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from fastnn.arguments import whole_number
from fastnn.layers import Layer, ReLU
from fastnn.layers.base import Parameter, Shape


@dataclass(frozen=True)
class PlacedLayer:
    layer: Layer
    position: int
    input_shape: Shape
    output_shape: Shape
    output: str  # the name of its result, "" for a layer without a buffer of its own
    names: dict[str, str]  # of parameters, statistics and buffers, by role: {"W": "W1", "b": "b1"}
    shapes: dict[str, Shape]  # of the same, by role
    parameters: dict[str, Parameter]  # by name, such as "W1"
    statistics: dict[str, Parameter]  # by name, such as "running_mean1"
    before_relu: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """Plans are equal if their programs are: the seed counts only where a layer draws by it."""

    layers: tuple[PlacedLayer, ...]
    input_shape: Shape
    output_shape: Shape
    seed: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self._key == other._key

    def __hash__(self) -> int:
        layers, input_shape, seed = self._key
        return hash((tuple(map(type, layers)), input_shape, seed))

    @cached_property
    def _key(self) -> tuple[list[Layer], Shape, int | None]:
        layers = [placed.layer for placed in self.layers]
        return layers, self.input_shape, self.seed if any(each.draws for each in layers) else None

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        return {name: each for placed in self.layers for name, each in placed.parameters.items()}

    @cached_property
    def statistics(self) -> dict[str, Parameter]:
        return {name: each for placed in self.layers for name, each in placed.statistics.items()}

    @property
    def row_size(self) -> int:
        """How many numbers one row is where it is largest: a layer's input and output. Activations, mostly
        part of the op before them, don't count."""
        layers = [placed for placed in self.layers if not placed.layer.is_activation]
        return max(prod(placed.input_shape) + prod(placed.output_shape) for placed in layers)

    @property
    def first_trained(self) -> int:
        """The position of the first layer with parameters: the backward pass ends there."""
        return next(placed.position for placed in self.layers if placed.parameters)

    def initial_parameters(self) -> dict[str, np.ndarray]:
        """Every parameter's start, in float64: the same for either dtype of network."""
        generator = np.random.default_rng(self.seed)
        return {
            name: parameter.initial(generator, placed.before_relu)
            for placed in self.layers
            for name, parameter in placed.parameters.items()
        }


def make_plan(layers: Iterable[Layer], input_shape: int | Sequence[int], seed: int) -> Plan:
    """Put `layers` in their places. ValueError names the layer that can't take what comes before it."""
    layers = check_layers(layers)
    shape = input_shape = check_input_shape(input_shape)
    taken = {"X", "Y", "L", "A0"}  # A0 is X's name as the first layer's input
    number = 0
    placed = []
    for position, layer in enumerate(layers):
        output_shape = _output_shape(layer, position, shape)
        if layer.letter == "Z":
            number += 1
        output = _free_name(f"{layer.letter}{number}", taken) if layer.letter else ""
        parameters, statistics = layer.parameters(shape), layer.statistics(shape)
        shapes = {role: each.shape for role, each in (parameters | statistics).items()} | layer.buffers(shape)
        names = {role: _free_name(f"{role}{number}", taken) for role in shapes}
        placed.append(
            PlacedLayer(
                layer,
                position,
                shape,
                output_shape,
                output,
                names,
                shapes,
                parameters={names[role]: each for role, each in parameters.items()},
                statistics={names[role]: each for role, each in statistics.items()},
                before_relu=_is_before_relu(layers, position),
            )
        )
        shape = output_shape
    if not any(each.parameters for each in placed):
        raise ValueError(f"layers must hold one with parameters, such as Dense(1), got {list(layers)}")
    return Plan(tuple(placed), input_shape, shape, seed)


def check_layers(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    if isinstance(layers, Layer):
        raise TypeError(f"layers must be a list of layers, got the single layer {layers!r}")
    checked = tuple(layers)
    for position, layer in enumerate(checked):
        if not isinstance(layer, Layer):
            hint = f": write {layer.__name__}()" if isinstance(layer, type) else ""
            raise TypeError(f"layers must hold layers such as Dense(16), got {layer!r} at {position}{hint}")
    return checked


def check_input_shape(input_shape: int | Sequence[int]) -> Shape:
    lengths = input_shape if isinstance(input_shape, Iterable) else (input_shape,)
    shape = tuple(whole_number("input_shape", length, 1) for length in lengths)
    if not 1 <= len(shape) <= 3:
        raise ValueError(
            "input_shape must have one to three lengths, such as (features,) or (channels, height, width), "
            f"got {shape}"
        )
    return shape


def _output_shape(layer: Layer, position: int, shape: Shape) -> Shape:
    try:
        return layer.output_shape(shape)
    except ValueError as error:
        raise ValueError(f"layers[{position}]: {error}") from None


def _free_name(name: str, taken: set[str]) -> str:
    """`name`, or with a suffix _2, _3, … where it is taken."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    taken.add(free)
    return free


def _is_before_relu(layers: Sequence[Layer], position: int) -> bool:
    """Whether the next activation is a ReLU; pooling, batch norm and the like in between don't matter."""
    for layer in layers[position + 1 :]:
        if layer.letter == "Z":
            return False
        if layer.is_activation:
            return isinstance(layer, ReLU)
    return False
