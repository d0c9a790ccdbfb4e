"""Problems of training: steps on a data set of many batches, whole epochs, and many networks at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.problems.networks import Network, Weights
from bench.problems.problem import Problem

VERIFIED_STEPS = 10  # steps after which the peers' losses and weights are compared
ADAM = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8}


@dataclass(frozen=True)
class TrainingInputs:
    """x (rows, …); y float (rows, 1) of 0 and 1 for one output, else int64 (rows,) classes."""

    x: np.ndarray
    y: np.ndarray
    weights: Weights


def labelled_rows(network: Network, rows: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Normal rows, labelled by a random linear rule and some chance, so that there is something to learn.

    The first rows have each class once, as some libraries insist on all of them in any data set.
    """
    rng = np.random.default_rng(10)
    x = rng.standard_normal((rows, *network.input_shape), dtype=np.float32)
    flat = x.reshape(rows, -1)
    rule = rng.standard_normal((flat.shape[1], network.outputs), dtype=np.float32)
    scores = flat @ rule
    scores += scores.std() * rng.standard_normal(scores.shape, dtype=np.float32)
    classes = max(network.outputs, 2)
    labels = scores.argmax(axis=1) if network.outputs > 1 else scores[:, 0] > 0
    labels[:classes] = np.arange(classes)[:rows]
    return x.astype(dtype), labels if network.outputs > 1 else labels[:, None].astype(dtype)


def training_results(
    gradients: Weights, loss: float, before: Weights, after: Weights
) -> dict[str, np.ndarray]:
    """What the peers compare of training: the first batch's gradients, then the mean loss and the weights'
    change (not the weights: those would agree even if nothing were learned) after the same steps."""
    results = {f"gradient {name}": gradient for name, gradient in gradients.items()}
    results["loss"] = np.asarray(loss)
    results |= {f"update {name}": after[name] - before[name] for name in before}
    return results


def _tolerance(result: str) -> float:
    """Rounding flips a ReLU now and then, or the largest pixel of a pool's window: one such pixel, of 32
    images, has been 1.2e-3 of the first layer's gradient. Adam's first steps magnify a small gradient's
    error."""
    return 2e-2 if result.startswith("update ") else 5e-3


@dataclass(frozen=True)
class Training(Problem):
    """Steps of `batch` rows: slice the batch, forward, log loss, backward, update.

    The data set holds `batches` batches; a peer that trains epochs in one call does `epochs` of them in one.
    """

    kind: ClassVar[str] = "training"
    unit: ClassVar[str] = "step"
    network: Network
    batch: int
    optimizer: str  # "sgd" or "adam"
    batches: int = 100
    epochs: int = 1

    @property
    def learning_rate(self) -> float:
        return 0.01 if self.optimizer == "sgd" else 1e-3

    @property
    def rows(self) -> int:
        return self.batch * self.batches

    @property
    def flops(self) -> int:
        return self.network.training_flops(self.batch)

    def inputs(self, dtype: str) -> TrainingInputs:
        x, y = labelled_rows(self.network, self.rows, dtype)
        return TrainingInputs(x, y, self.network.initial_weights(dtype=dtype))

    def tolerance(self, result: str) -> float:
        return _tolerance(result)


@dataclass(frozen=True)
class Epoch(Problem):
    """One epoch over `rows` shuffled rows, the last batch shorter where it comes so."""

    kind: ClassVar[str] = "epoch"
    unit: ClassVar[str] = "epoch"
    network: Network
    batch: int
    rows: int
    learning_rate: ClassVar[float] = 1e-3

    @property
    def flops(self) -> int:
        return self.network.training_flops(self.rows)

    def inputs(self, dtype: str) -> TrainingInputs:
        x, y = labelled_rows(self.network, self.rows, dtype)
        return TrainingInputs(x, y, self.network.initial_weights(dtype=dtype))

    @property
    def verified_rows(self) -> int:
        """The peers are compared on these first rows, unshuffled, a shorter batch at the end."""
        return min(self.rows, 3 * self.batch + self.batch // 2)

    def tolerance(self, result: str) -> float:
        return _tolerance(result)


@dataclass(frozen=True)
class SearchInputs:
    x: np.ndarray
    y: np.ndarray
    weights: list[Weights]
    learning_rates: list[float]


@dataclass(frozen=True)
class Search(Problem):
    """A hyper-parameter search: networks of one shape, each with its own seed and learning rate."""

    kind: ClassVar[str] = "search"
    unit: ClassVar[str] = "search"
    network: Network
    rows: int
    batch: int
    epochs: int
    networks: int = 100

    @property
    def flops(self) -> int:
        return self.networks * self.epochs * self.network.training_flops(self.rows)

    def inputs(self, dtype: str) -> SearchInputs:
        x, y = labelled_rows(self.network, self.rows, dtype)
        weights = [self.network.initial_weights(seed, dtype) for seed in range(self.networks)]
        rates = np.geomspace(1e-3, 1e-1, self.networks).tolist()
        return SearchInputs(x, y, weights, rates)

    def tolerance(self, result: str) -> float:
        return 1e-3
