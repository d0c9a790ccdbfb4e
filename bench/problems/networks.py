"""The networks of the cases, as every peer builds them, with their initial weights and arithmetic.

A ReLU follows every Dense and Conv layer but the last, a flattening comes before the first Dense layer, and
a sigmoid (one output) or a softmax comes last. The loss is the log loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Dense:
    units: int


@dataclass(frozen=True)
class Conv:
    filters: int
    kernel: int
    padding: int = 0


@dataclass(frozen=True)
class Pool:
    """Max pooling by windows of size x size that don't overlap."""

    size: int = 2


Layer = Dense | Conv | Pool
Weights = dict[str, np.ndarray]  # W1, b1, W2, …: Dense (in, out), Conv (filters, channels, kernel, kernel)


@dataclass(frozen=True)
class Network:
    name: str
    input_shape: tuple[int, ...]
    layers: tuple[Layer, ...]

    @property
    def outputs(self) -> int:
        last = self.layers[-1]
        assert isinstance(last, Dense)
        return last.units

    @property
    def is_dense(self) -> bool:
        return all(isinstance(layer, Dense) for layer in self.layers)

    @property
    def hidden(self) -> tuple[int, ...]:
        """The widths of the hidden layers of a dense network."""
        return tuple(layer.units for layer in self.layers[:-1] if isinstance(layer, Dense))

    def walk(self) -> Iterator[tuple[Layer, tuple[int, ...], tuple[int, ...]]]:
        """Every layer with the shapes of a row going in and coming out."""
        shape = self.input_shape
        before: tuple[int, ...]
        for layer in self.layers:
            if isinstance(layer, Dense):
                before, shape = (int(np.prod(shape)),), (layer.units,)
            elif isinstance(layer, Conv):
                before, side = shape, shape[1] + 2 * layer.padding - layer.kernel + 1
                shape = (layer.filters, side, side)
            else:
                before, side = shape, shape[1] // layer.size
                shape = (shape[0], side, side)
            yield layer, before, shape

    def initial_weights(self, seed: int = 0, dtype: str = "float32") -> Weights:
        """He's normal weights (He et al. 2015, section 2.2) and small biases, values of float32."""
        rng = np.random.default_rng(seed)
        weights: Weights = {}
        for layer, before, after in self.walk():
            if isinstance(layer, Pool):
                continue
            shape: tuple[int, ...] = (*before, *after)
            fan_in = before[0]
            if isinstance(layer, Conv):
                shape = (layer.filters, before[0], layer.kernel, layer.kernel)
                fan_in *= layer.kernel**2
            number = len(weights) // 2 + 1
            weight = np.float32(np.sqrt(2 / fan_in)) * rng.standard_normal(shape, np.float32)
            bias = np.float32(0.1) * rng.standard_normal(after[0], np.float32)
            weights |= {f"W{number}": weight.astype(dtype), f"b{number}": bias.astype(dtype)}
        return weights

    @property
    def parameters(self) -> int:
        return sum(array.size for array in self.initial_weights().values())

    def _products(self) -> list[int]:
        """Multiply-adds of one row's forward pass, a parametric layer each."""
        return [
            int(np.prod(after)) * (before[0] * (layer.kernel**2 if isinstance(layer, Conv) else 1))
            for layer, before, after in self.walk()
            if not isinstance(layer, Pool)
        ]

    def forward_flops(self, rows: int) -> int:
        return 2 * rows * sum(self._products())

    def training_flops(self, rows: int) -> int:
        """Forward, both gradients; nobody needs the gradient of the first layer's input."""
        products = self._products()
        return 2 * rows * (3 * sum(products) - products[0])


def dense(*widths: int) -> Network:
    return Network("-".join(map(str, widths)), widths[:1], tuple(map(Dense, widths[1:])))


LENET_5 = Network(
    "LeNet-5", (1, 28, 28), (Conv(6, 5), Pool(), Conv(16, 5), Pool(), Dense(120), Dense(84), Dense(10))
)


def cnn_32_64(side: int = 28) -> Network:
    layers = (Conv(32, 3, 1), Pool(), Conv(64, 3, 1), Pool(), Dense(128), Dense(10))
    return Network("CNN-32-64", (1, side, side), layers)
