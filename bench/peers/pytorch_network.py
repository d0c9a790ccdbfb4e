"""A bench network in PyTorch, and the training loop that its tutorial teaches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from bench.problems.networks import Conv, Dense, Network, Pool, Weights
from bench.problems.training import ADAM, Search, SearchInputs

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _module(network: Network) -> torch.nn.Sequential:
    """The layers up to the logits; a dense network takes its images flat."""
    modules: list[torch.nn.Module] = []
    flat = len(network.input_shape) == 1
    for layer, before, after in network.walk():
        if isinstance(layer, Pool):
            modules.append(torch.nn.MaxPool2d(layer.size))
            continue
        if isinstance(layer, Conv):
            modules.append(torch.nn.Conv2d(before[0], layer.filters, layer.kernel, padding=layer.padding))
        elif isinstance(layer, Dense):
            if not flat:
                modules.append(torch.nn.Flatten())
                flat = True
            modules.append(torch.nn.Linear(before[0], after[0]))
        modules.append(torch.nn.ReLU())
    return torch.nn.Sequential(*modules[:-1])


class PyTorchNetwork:
    def __init__(
        self, network: Network, memory_format: torch.memory_format = torch.contiguous_format
    ) -> None:
        self.binary = network.outputs == 1
        self._memory_format = memory_format
        self.module = _module(network)
        self._layers = [m for m in self.module if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]

    def set(self, weights: Weights) -> None:
        """Put weights in, in place, and take on their dtype."""
        dtype = torch.from_numpy(weights["W1"]).dtype
        self.module.to(dtype=dtype, memory_format=self._memory_format)
        with torch.no_grad():
            for number, layer in enumerate(self._layers, 1):
                layer.weight.copy_(_turned(layer, torch.from_numpy(weights[f"W{number}"])))
                layer.bias.copy_(torch.from_numpy(weights[f"b{number}"]))

    def weights(self) -> Weights:
        return self._named(lambda parameter: parameter.detach())

    def gradients(self) -> Weights:
        return self._named(lambda parameter: parameter.grad)

    def _named(self, part: Callable[[torch.Tensor], torch.Tensor]) -> Weights:
        arrays: Weights = {}
        for number, layer in enumerate(self._layers, 1):
            arrays[f"W{number}"] = _turned(layer, part(layer.weight)).numpy().copy()
            arrays[f"b{number}"] = part(layer.bias).numpy().copy()
        return arrays

    def start(self, optimizer: str, learning_rate: float, fused: bool | None) -> None:
        parameters = list(self.module.parameters())
        if optimizer == "sgd":
            self._optimizer = torch.optim.SGD(parameters, learning_rate, fused=fused)
        else:
            betas = (ADAM["beta1"], ADAM["beta2"])
            self._optimizer = torch.optim.Adam(parameters, learning_rate, betas, ADAM["eps"], fused=fused)
        self._optimizer.zero_grad(set_to_none=True)

    def predictor(self) -> torch.nn.Module:
        """From rows to probabilities; nothing is recorded for a backward pass."""
        last = torch.nn.Sigmoid() if self.binary else torch.nn.Softmax(dim=1)
        return torch.nn.Sequential(*self.module, last).eval().requires_grad_(False)

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        z = self.module(x)
        return F.binary_cross_entropy_with_logits(z, y) if self.binary else F.cross_entropy(z, y)

    def step(self, loss_of: Loss, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """A training step; `loss_of` is `loss`, or what a compiler made of it."""
        self._optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        self._optimizer.step()
        return loss

    def epoch(
        self, loss_of: Loss, x: torch.Tensor, y: torch.Tensor, batch: int, order: torch.Tensor | None = None
    ) -> float:
        """The mean loss over the rows, each batch's before its update."""
        total = torch.zeros((), dtype=x.dtype)
        for start in range(0, len(x), batch):
            rows = slice(start, start + batch) if order is None else order[start : start + batch]
            batch_x = x[rows]
            total += self.step(loss_of, batch_x, y[rows]).detach() * len(batch_x)
        return total.item() / len(x)


def search_in_processes(
    problem: Search, inputs: SearchInputs, fused: bool | None, processes: int
) -> np.ndarray:
    """Every network's last mean loss. Threads would share the GIL, so joblib starts processes."""
    from joblib import Parallel, delayed

    train = partial(_train_one, problem, inputs.x, inputs.y, fused)
    pairs = zip(inputs.weights, inputs.learning_rates, strict=True)
    return np.array(Parallel(n_jobs=processes)(delayed(train)(weights, rate) for weights, rate in pairs))


def _train_one(
    problem: Search, x: np.ndarray, y: np.ndarray, fused: bool | None, weights: Weights, rate: float
) -> float:
    torch.set_num_threads(1)
    network = PyTorchNetwork(problem.network)
    network.set(weights)
    network.start("sgd", rate, fused)
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    for _ in range(problem.epochs):
        loss = network.epoch(network.loss, *tensors, problem.batch)
    return loss


def _turned(layer: torch.nn.Module, weight: torch.Tensor) -> torch.Tensor:
    """PyTorch's Linear holds (out, in); a bench network (in, out), and so back."""
    return weight.t() if isinstance(layer, torch.nn.Linear) else weight
