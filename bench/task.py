"""A task: what one peer does for one case, ready to be verified and timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]


class Unsupported(Exception):
    """A peer cannot do a case; the message is the reason that the reports print."""


def _nothing() -> None: ...


@dataclass(frozen=True)
class Task:
    """The timed call of one peer.

    `call(*arguments[i])` is timed, `i` going round, so that neither the cache nor the branch predictor
    meets the same data each time; it returns only when the work is done. What a peer writes into is one
    array for all, as the memory that others allocate is mostly the one just freed. `begin` runs before
    every turn, untimed: it puts the initial weights back and chooses the backend. `arrays` turns what
    `call` returned into named NumPy arrays, as they are compared between the peers. Where a call's outcome
    doesn't say enough (a training step returns only a loss), `results` gives the arrays to compare.
    """

    call: Callable[..., Any]
    arguments: Sequence[tuple[Any, ...]]
    arrays: Callable[[Any], Arrays]
    steps: int = 1  # a time is divided by the number of training steps in a call
    begin: Callable[[], object] = _nothing
    results: Callable[[], Arrays] | None = None


def named(*names: str, convert: Callable[[Any], np.ndarray] = np.asarray) -> Callable[[Any], Arrays]:
    """An `arrays` function for a call that returns one array (one name) or a tuple of them."""

    def arrays(outcome: Any) -> Arrays:
        values = outcome if len(names) > 1 else (outcome,)
        return {name: convert(value) for name, value in zip(names, values, strict=True)}

    return arrays


def batch_ranges(batches: int, steps: int) -> list[tuple[int, int]]:
    """Arguments that go through a data set's batches, `steps` batches (first, stop) a call."""
    return [(first, first + steps) for first in range(0, batches - steps + 1, steps)]
