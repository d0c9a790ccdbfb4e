"""Learning-rate schedules: callables of the step, from 0, that give its learning rate.

Any callable of the step will do as an optimizer's `lr`; these can also be saved with a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi

from fastnn.arguments import real_number, whole_number

Rate = float | Callable[[int], float]


@dataclass(frozen=True)
class StepDecay:
    """lr · factor^⌊step / every⌋: the rate falls by `factor` after every `every` steps."""

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        real_number("lr", self.lr)
        real_number("factor", self.factor)
        whole_number("every", self.every, 1)

    def __call__(self, step: int) -> float:
        return self.lr * self.factor ** (step // self.every)


@dataclass(frozen=True)
class Cosine:
    """From `lr` down to `final` along half a cosine of `steps` steps, and `final` afterwards.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, equation 5.
    """

    lr: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        real_number("lr", self.lr)
        real_number("final", self.final)
        whole_number("steps", self.steps, 1)

    def __call__(self, step: int) -> float:
        progress = min(step / self.steps, 1.0)
        return self.final + (self.lr - self.final) * (1 + cos(pi * progress)) / 2


@dataclass(frozen=True)
class WarmUp:
    """A linear rise over the first `steps` steps to `lr`, a rate or a schedule that starts at step 0 as well.

    Source: Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2.
    """

    lr: Rate
    steps: int

    def __post_init__(self) -> None:
        check_rate_or_schedule("lr", self.lr)
        whole_number("steps", self.steps, 1)

    def __call__(self, step: int) -> float:
        return rate_at(self.lr, step) * min((step + 1) / self.steps, 1.0)


@dataclass(frozen=True)
class UnsavedSchedule:
    """In the place of a schedule of the caller's own, after a load: a file holds no functions."""

    name: str

    def __call__(self, step: int) -> float:
        raise ValueError(f"lr was {self.name}, a function that a file can't hold: pass the optimizer anew")


SCHEDULES: dict[str, type] = {each.__name__: each for each in (StepDecay, Cosine, WarmUp, UnsavedSchedule)}


def rate_at(lr: Rate, step: int) -> float:
    return lr(step) if callable(lr) else lr


def check_rate_or_schedule(name: str, value: Rate) -> None:
    if not callable(value):
        real_number(name, value)
