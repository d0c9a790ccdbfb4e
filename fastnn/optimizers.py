"""The optimizers: each describes the one op that ends a training step. Its vectors live in the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from fastnn.arguments import fraction, real_number
from fastnn.ops import Tensor
from fastnn.schedules import Rate, UnsavedSchedule, check_rate_or_schedule

Emit = Callable[..., None]


@dataclass(frozen=True)
class Optimizer:
    """What every optimizer has: a learning rate, an L2 penalty, and vectors that it keeps from step to step.

    The penalty ½ l2 Σ W² / n is part of the loss of a batch of n rows. It is on weights alone; `weight_decay`
    is on biases and batch norm's parameters as well.
    """

    lr: Rate
    l2: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        check_rate_or_schedule("lr", self.lr)
        real_number("l2", self.l2)

    @property
    def vectors(self) -> tuple[str, ...]:
        """The names of its vectors, each as long as theta and zero at first."""
        return ()

    def rates(self, first: int, count: int) -> np.ndarray:
        """The learning rates of `count` steps from step `first`, counted from 0."""
        if not callable(self.lr):
            return np.full(count, self.lr)
        return np.array([real_number(f"lr({step})", self.lr(step)) for step in range(first, first + count)])

    def emit(
        self, emit: Emit, gradient: Tensor, step: Tensor, theta: Tensor, *vectors: Tensor, decay: float = 0.0
    ) -> None:
        """Emit the update of theta, and of the optimizer's vectors, from the gradient + decay · theta."""
        raise NotImplementedError

    def continues(self, previous: Optimizer | None) -> bool:
        """Whether a network last trained with `previous` goes on: the two are equal.

        A schedule that couldn't be saved with the network is taken to be this one's.
        """
        if previous is not None and isinstance(previous.lr, UnsavedSchedule):
            previous = replace(previous, lr=self.lr)
        return self == previous


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum: g = gradient + weight_decay · theta, v = momentum · v + g,
    theta −= lr · v, or lr · (g + momentum · v) with Nesterov's momentum.

    Source: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, in
    PyTorch's form: the velocity is a sum of gradients, and the rate multiplies it.
    """

    lr: Rate
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction("momentum", self.momentum)
        real_number("weight_decay", self.weight_decay)
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")

    @property
    def vectors(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()

    def emit(
        self, emit: Emit, gradient: Tensor, step: Tensor, theta: Tensor, *vectors: Tensor, decay: float = 0.0
    ) -> None:
        (velocity,) = vectors or (None,)
        scalars = {"momentum": self.momentum, "weight_decay": self.weight_decay + decay}
        emit("sgd", [gradient, step], [theta, velocity], size=theta.size, nesterov=self.nesterov, **scalars)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: m = beta1 · m + (1 − beta1) · g, v = beta2 · v + (1 − beta2) · g²,
    theta −= lr · m / (1 − beta1^t) / (√(v / (1 − beta2^t)) + eps), where g = gradient + weight_decay · theta.

    Source: Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1.
    """

    lr: Rate = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    decoupled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        fraction("beta1", self.beta1)
        fraction("beta2", self.beta2)
        real_number("eps", self.eps)
        real_number("weight_decay", self.weight_decay)
        if self.l2 and self.decoupled:
            raise ValueError(f"l2 must be 0 with a decoupled weight_decay, got {self.l2}: Adam takes it")

    @property
    def vectors(self) -> tuple[str, ...]:
        return ("m", "v")

    def emit(
        self, emit: Emit, gradient: Tensor, step: Tensor, theta: Tensor, *vectors: Tensor, decay: float = 0.0
    ) -> None:
        betas = {"beta1": self.beta1, "beta2": self.beta2, "eps": self.eps}
        numbers = {**betas, "weight_decay": self.weight_decay + decay, "decoupled": self.decoupled}
        emit("adam", [gradient, step], [theta, *vectors], size=theta.size, **numbers)


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: theta −= lr · weight_decay · theta, then Adam's step without decay.

    Source: Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, in PyTorch's
    form: the rate multiplies the decay.
    """

    weight_decay: float = 1e-2

    decoupled: ClassVar[bool] = True


OPTIMIZERS: dict[str, type[Optimizer]] = {each.__name__: each for each in (SGD, Adam, AdamW)}


def check_optimizer(optimizer: Optimizer) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one such as SGD(0.1) or Adam(1e-3), got {optimizer!r}")
    return optimizer
