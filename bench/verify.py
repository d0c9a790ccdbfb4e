"""Are the peers' results the same? Asked before any clock starts."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.problems.problem import Problem
from bench.task import Arrays, Task


class WrongResult(Exception):
    """A peer's result differs from the reference; such a peer isn't timed."""


def results(task: Task, outcome: Any) -> Arrays:
    """What a task gives to compare: its own results, or its first call's outcome."""
    return task.results() if task.results is not None else task.arrays(outcome)


def relative_error(got: np.ndarray, want: np.ndarray) -> float:
    """‖got − want‖ / ‖want‖ over all elements; infinite for a NaN, and for anything where 0 is wanted."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    difference, size = np.linalg.norm(np.ravel(got - want)), np.linalg.norm(np.ravel(want))
    if not np.isfinite(difference) or not np.isfinite(size):
        return float("inf")
    if size == 0:
        return 0.0 if difference == 0 else float("inf")
    return float(difference / size)


def check(problem: Problem, got: Arrays, want: Arrays, slack: float = 1) -> dict[str, float]:
    """The relative error of every result that the peer gives; raises WrongResult at the first one too large.

    A library that keeps its gradients to itself gives no gradients, but every peer gives the loss and the
    weights' change, or the result.
    """
    errors = {}
    for name, wanted in want.items():
        if name not in got:
            if name.startswith("gradient "):
                continue
            raise WrongResult(f"gives no {name}")
        if got[name].shape != wanted.shape:
            raise WrongResult(f"{name} has shape {got[name].shape}, the reference {wanted.shape}")
        errors[name] = relative_error(got[name], wanted)
        tolerance = slack * problem.tolerance(name)
        if errors[name] > tolerance:
            raise WrongResult(f"{name} is off by {errors[name]:.1e} of its norm (tolerance {tolerance:.0e})")
    return errors


def check_timed(task: Task, outcome: Any) -> None:
    """The last outcome of a timed turn: consumed, and finite."""
    for name, array in task.arrays(outcome).items():
        if not np.all(np.isfinite(array)):
            raise WrongResult(f"{name} isn't finite after the timed calls")
