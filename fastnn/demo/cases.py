"""What the demo trains: data, network, optimizer, and the accuracy that must come out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastnn import datasets
from fastnn.datasets import Dataset
from fastnn.layers import Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU, Sigmoid, Softmax
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam, AdamW, Optimizer
from fastnn.schedules import Cosine


@dataclass(frozen=True)
class Case:
    """One network on one dataset. `accuracy` is the least that it must reach on the test rows."""

    name: str  # in the names of its pictures
    title: str  # in the table
    data: Callable[[], Dataset]
    layers: tuple[Layer, ...]
    optimizer: Optimizer
    batch_size: int
    epochs: int
    accuracy: float

    def network(self, data: Dataset, seed: int) -> Network:
        return Network(self.layers, input_shape=data.input_shape, loss="log_loss", seed=seed)


CASES = (
    Case(
        name="breast-cancer-mlp",
        title="MLP 30-16-8-1",
        data=datasets.breast_cancer,
        layers=(Dense(16), ReLU(), Dense(8), ReLU(), Dense(1), Sigmoid()),
        optimizer=SGD(0.02, momentum=0.9, weight_decay=0.01),
        batch_size=32,
        epochs=30,
        accuracy=0.96,
    ),
    Case(
        name="digits-mlp",
        title="MLP 64-64-32-10",
        data=datasets.digits,
        layers=(Flatten(), Dense(64), ReLU(), Dense(32), ReLU(), Dense(10), Softmax()),
        optimizer=AdamW(3e-3, weight_decay=0.1),
        batch_size=32,
        epochs=30,
        accuracy=0.96,
    ),
    Case(
        name="digits-cnn",
        title="CNN 24-48-10",
        data=datasets.digits,
        layers=(
            *(Conv2D(24, 3, padding=1), ReLU(), MaxPool2D(2)),
            *(Conv2D(48, 3, padding=1), ReLU(), MaxPool2D(2)),
            *(Flatten(), Dense(10), Softmax()),
        ),
        optimizer=Adam(4e-3),
        batch_size=64,
        epochs=30,
        accuracy=0.98,
    ),
    Case(
        name="fashion-mlp",
        title="MLP 784-128-64-10",
        data=datasets.fashion_mnist,
        layers=(Flatten(), Dense(128), ReLU(), Dense(64), ReLU(), Dense(10), Softmax()),
        optimizer=AdamW(Cosine(2e-3, steps=10 * 469), weight_decay=0.1),
        batch_size=128,
        epochs=10,
        accuracy=0.87,
    ),
    Case(
        name="fashion-cnn",
        title="CNN 32-64-128-10",
        data=datasets.fashion_mnist,
        layers=(
            *(Conv2D(32, 3, padding=1), ReLU(), MaxPool2D(2)),
            *(Conv2D(64, 3, padding=1), ReLU(), MaxPool2D(2)),
            *(Flatten(), Dense(128), ReLU(), Dense(10), Softmax()),
        ),
        optimizer=Adam(Cosine(1e-3, steps=4 * 938)),
        batch_size=64,
        epochs=4,
        accuracy=0.90,
    ),
)
