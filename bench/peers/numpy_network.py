"""A dense network written by hand in NumPy, as one does to learn the derivation."""

from __future__ import annotations

import numpy as np

from bench.problems.networks import Network, Weights
from bench.problems.training import ADAM


class NumPyNetwork:
    """ReLU hidden layers, sigmoid or softmax output, log loss; trained by plain SGD or Adam."""

    def __init__(self, network: Network) -> None:
        self.binary = network.outputs == 1
        self.layers = len(network.layers)
        self.weights: Weights = {}

    def set(self, weights: Weights) -> None:
        self.weights = {name: array.copy() for name, array in weights.items()}

    def start(self, optimizer: str, learning_rate: float) -> None:
        self._optimizer, self._rate, self._steps = optimizer, learning_rate, 0
        self._m = {name: np.zeros_like(array) for name, array in self.weights.items()}
        self._v = {name: np.zeros_like(array) for name, array in self.weights.items()}

    def predict(self, x: np.ndarray) -> np.ndarray:
        logits = self._forward(x)[-1]
        return _sigmoid(logits) if self.binary else _softmax(logits)

    def gradients(self, x: np.ndarray, y: np.ndarray) -> tuple[float, Weights]:
        """The batch's mean loss and its gradients."""
        *inputs, z = self._forward(x)
        if self.binary:
            loss = (np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))).mean()
            dz = _sigmoid(z) - y
        else:
            rows = np.arange(len(y))
            dz = _softmax(z)
            loss = -np.log(dz[rows, y]).mean()
            dz[rows, y] -= 1
        dz /= z.dtype.type(len(x))
        gradients: Weights = {}
        for layer in range(self.layers, 0, -1):
            a = inputs[layer - 1]
            gradients[f"W{layer}"] = a.T @ dz
            gradients[f"b{layer}"] = dz.sum(axis=0)
            if layer > 1:
                dz = (dz @ self.weights[f"W{layer}"].T) * (a > 0)
        return float(loss), gradients

    def step(self, x: np.ndarray, y: np.ndarray) -> float:
        loss, gradients = self.gradients(x, y)
        self._steps += 1
        for name, gradient in gradients.items():
            if self._optimizer == "sgd":
                self.weights[name] -= self._rate * gradient
            else:
                self._adam(name, gradient)
        return loss

    def epoch(self, x: np.ndarray, y: np.ndarray, batch: int, order: np.ndarray | None = None) -> float:
        """The mean loss over the rows, each batch's before its update."""
        total = 0.0
        for start in range(0, len(x), batch):
            rows = slice(start, start + batch) if order is None else order[start : start + batch]
            total += self.step(x[rows], y[rows]) * len(x[rows])
        return total / len(x)

    def _forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Every layer's input, then the logits."""
        tensors = [x.reshape(len(x), -1)]
        for layer in range(1, self.layers + 1):
            z = tensors[-1] @ self.weights[f"W{layer}"] + self.weights[f"b{layer}"]
            tensors.append(np.maximum(z, 0, out=z) if layer < self.layers else z)
        return tensors

    def _adam(self, name: str, gradient: np.ndarray) -> None:
        """Kingma and Ba 2015, algorithm 1, in place."""
        beta1, beta2 = ADAM["beta1"], ADAM["beta2"]
        m, v = self._m[name], self._v[name]
        m += (1 - beta1) * (gradient - m)
        v += (1 - beta2) * (gradient * gradient - v)
        corrected = np.sqrt(v / (1 - beta2**self._steps)) + ADAM["eps"]
        self.weights[name] -= self._rate / (1 - beta1**self._steps) * m / corrected


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
