"""Problems of prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.problems.networks import Network, Weights
from bench.problems.problem import COPIES, Problem
from bench.problems.training import labelled_rows

ROTATED_ROWS = 64  # a service never gets the same row twice


@dataclass(frozen=True)
class InferenceInputs:
    x: list[np.ndarray]  # batches, (batch, …) each
    weights: Weights


@dataclass(frozen=True)
class Inference(Problem):
    """The output, (batch, outputs) of probabilities, of a trained network.

    `into`: into an array that the caller gives. Every peer gets its input in its own kind of array.
    """

    kind: ClassVar[str] = "inference"
    network: Network
    batch: int
    into: bool = False

    @property
    def flops(self) -> int:
        return self.network.forward_flops(self.batch)

    @property
    def bytes_read(self) -> int:
        return 4 * (self.network.parameters + self.batch * int(np.prod(self.network.input_shape)))

    @property
    def bytes_written(self) -> int:
        return 4 * self.batch * self.network.outputs

    @property
    def working_set(self) -> int:
        rows = self._batches * self.batch
        return 4 * (self.network.parameters + rows * int(np.prod(self.network.input_shape)))

    @property
    def wants_latency(self) -> bool:
        """One row at a time is a service's request: its p50 and p99 count, not only the mean."""
        return self.batch == 1

    @property
    def _batches(self) -> int:
        return ROTATED_ROWS if self.batch == 1 else COPIES

    def inputs(self, dtype: str) -> InferenceInputs:
        x, _ = labelled_rows(self.network, self._batches * self.batch, dtype)
        return InferenceInputs(np.split(x, self._batches), self.network.initial_weights(dtype=dtype))

    def tolerance(self, result: str) -> float:
        return 1e-4
