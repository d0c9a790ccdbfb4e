"""Networks to test with: the three of the derivation, and one for every layer, loss and option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import fastnn as fn
from fastnn.backend import threads_for


@dataclass(frozen=True)
class Case:
    """A network's arguments, and how its targets are made."""

    layers: tuple[Any, ...]
    input_shape: tuple[int, ...]
    targets: str  # "labels", "soft labels", "classes" or "numbers"
    loss: str = "log_loss"

    def network(self, dtype: np.dtype | str = "float64", seed: int = 0) -> fn.Network:
        return fn.Network(self.layers, self.input_shape, loss=self.loss, dtype=dtype, seed=seed)

    def data(self, rng: np.random.Generator, rows: int, output_shape: tuple[int, ...]) -> tuple[Any, Any]:
        """Inputs and targets in float64, the latter as the loss takes them."""
        x = rng.normal(size=(rows, *self.input_shape))
        shape = (rows, *output_shape)
        match self.targets:
            case "labels":
                return x, rng.integers(0, 2, size=shape).astype(np.float64)
            case "soft labels":
                return x, rng.random(shape)
            case "classes":
                return x, rng.integers(0, output_shape[0], size=rows)
            case _:
                return x, rng.normal(size=shape)


D, R = fn.Dense, fn.ReLU()

BINARY_MLP = Case((D(16), R, D(8), R, D(1), fn.Sigmoid()), (30,), "labels")
SOFTMAX_MLP = Case((D(32), R, D(32), R, D(10), fn.Softmax()), (64,), "classes")
CNN = Case(
    (
        *(fn.Conv2D(4, 3, padding=1), R, fn.MaxPool2D(2)),
        *(fn.Conv2D(8, 3, padding=1), R, fn.MaxPool2D(2)),
        *(fn.Flatten(), D(10), fn.Softmax()),
    ),
    (1, 8, 8),
    "classes",
)
THE_THREE = {"binary MLP": BINARY_MLP, "softmax MLP": SOFTMAX_MLP, "CNN": CNN}

# Small enough for a difference by every parameter.
EVERY_KIND = {
    "logistic regression": Case((D(1), fn.Sigmoid()), (5,), "labels"),
    "softmax regression": Case((D(4), fn.Softmax()), (5,), "classes"),
    "linear regression": Case((D(2),), (5,), "numbers", "mse"),
    "soft labels": Case((D(4), fn.Tanh(), D(1), fn.Sigmoid()), (5,), "soft labels"),
    "several sigmoids": Case((D(4), fn.Tanh(), D(3), fn.Sigmoid()), (5,), "labels"),
    "ReLU": Case((D(6), R, D(4), R, D(1), fn.Sigmoid()), (5,), "labels"),
    "tanh": Case((D(4), fn.Tanh(), D(3), fn.Softmax()), (5,), "classes"),
    "sigmoid within": Case((D(4), fn.Sigmoid(), D(3), fn.Softmax()), (5,), "classes"),
    "softmax within": Case((D(4), fn.Softmax(), D(3), fn.Softmax()), (5,), "classes"),
    "squared error after ReLU": Case((D(4), fn.Tanh(), D(3), R), (5,), "numbers", "mse"),
    "squared error after sigmoid": Case((D(4), R, D(3), fn.Sigmoid()), (5,), "numbers", "mse"),
    "squared error after tanh": Case((D(4), R, D(3), fn.Tanh()), (5,), "numbers", "mse"),
    "squared error after softmax": Case((D(4), R, D(3), fn.Softmax()), (5,), "numbers", "mse"),
    "squared error of images": Case((fn.Conv2D(2, 3, padding=1),), (1, 4, 4), "numbers", "mse"),
    "two activations": Case((D(4), fn.Tanh(), fn.Sigmoid(), D(2), fn.Softmax()), (5,), "classes"),
    "no activation": Case((D(4), D(3), fn.Softmax()), (5,), "classes"),
    "activation first": Case((fn.Tanh(), D(3), fn.Softmax()), (5,), "classes"),
    "dropout": Case(
        (D(6), R, fn.Dropout(0.5), D(5), fn.Tanh(), fn.Dropout(0.2), D(3), fn.Softmax()), (5,), "classes"
    ),
    "dropout first": Case((fn.Dropout(0.3), D(3), fn.Softmax()), (5,), "classes"),
    "batch norm": Case((D(5), fn.BatchNorm(), fn.Tanh(), D(3), fn.Softmax()), (5,), "classes"),
    "batch norm first": Case((fn.BatchNorm(), D(4), R, D(3), fn.Softmax()), (5,), "classes"),
    "batch norm of channels": Case(
        (fn.Conv2D(3, 2), fn.BatchNorm(eps=1e-2), R, fn.Flatten(), D(1), fn.Sigmoid()), (2, 4, 4), "labels"
    ),
    "convolution": Case((fn.Conv2D(3, 3), R, fn.Flatten(), D(2), fn.Softmax()), (2, 5, 4), "classes"),
    "strided convolution": Case(
        (fn.Conv2D(3, (3, 2), stride=2, padding=1), fn.Tanh(), fn.Flatten(), D(2), fn.Softmax()),
        (2, 5, 5),
        "classes",
    ),
    "dilated convolution": Case(
        (fn.Conv2D(3, 2, dilation=2), fn.Tanh(), fn.Flatten(), D(2), fn.Softmax()), (2, 5, 5), "classes"
    ),
    "convolution that keeps the size": Case(
        (fn.Conv2D(2, (3, 4), padding="same", dilation=(2, 1)), fn.Tanh(), fn.Flatten(), D(2), fn.Softmax()),
        (2, 4, 5),
        "classes",
    ),
    "convolution in groups": Case(
        (fn.Conv2D(4, 3, padding=1, groups=2), fn.Tanh(), fn.Flatten(), D(1), fn.Sigmoid()),
        (2, 4, 4),
        "labels",
    ),
    "two convolutions": Case(
        (fn.Conv2D(2, 3, padding=1), R, fn.Conv2D(3, 2), R, fn.Flatten(), D(2), fn.Softmax()),
        (1, 4, 4),
        "classes",
    ),
    "max pool": Case(
        (fn.Conv2D(2, 3, padding=1), R, fn.MaxPool2D(2), fn.Conv2D(2, 2), fn.Flatten(), D(2), fn.Softmax()),
        (1, 6, 6),
        "classes",
    ),
    "overlapping pools": Case(
        (
            *(fn.Conv2D(2, 2), fn.MaxPool2D(3, stride=2, padding=1), fn.Tanh()),
            *(fn.AvgPool2D(2, stride=1), fn.Flatten(), D(2), fn.Softmax()),
        ),
        (1, 6, 6),
        "classes",
    ),
    "average pool": Case(
        (fn.Conv2D(2, 3), fn.Tanh(), fn.AvgPool2D(2, padding=1), fn.Flatten(), D(2), fn.Softmax()),
        (1, 6, 6),
        "classes",
    ),
    "global average pool": Case(
        (fn.Conv2D(3, 2), R, fn.GlobalAvgPool2D(), D(2), fn.Softmax()), (2, 5, 4), "classes"
    ),
    "pool first": Case((fn.AvgPool2D(2), fn.Flatten(), D(3), fn.Softmax()), (2, 4, 4), "classes"),
}


def rows_for_a_team(network: fn.Network) -> int:
    """An odd number of rows, so many that a batch of them is worth several threads."""
    rows = 37
    fn.set_num_threads(2)
    while threads_for(network.program(rows, training=False).cost) < 2:
        rows = 2 * rows + 1
    return rows


ROWS = 70  # no multiple of the batches' 16


def prepared(
    case: Case, rng: np.random.Generator, dtype: np.dtype | str = "float32", rows: int = ROWS
) -> tuple[fn.Network, np.ndarray, np.ndarray]:
    """A fresh network, and data in its dtype."""
    network = case.network(dtype)
    x, y = case.data(rng, rows, network.output_shape)
    return network, x.astype(dtype), y


def thetas(case: Case, x: Any, y: Any, dtype: np.dtype | str = "float32", **options: Any) -> np.ndarray:
    """The parameters after a training of a fresh network."""
    network = case.network(dtype)
    network.fit(x, y, **({"epochs": 2, "batch_size": 16} | options))
    return network.theta
