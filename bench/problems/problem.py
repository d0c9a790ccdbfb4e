"""What all problems have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

COPIES = 4  # sets of inputs (and outputs) that a kernel's calls go round


@dataclass(frozen=True)
class Problem:
    """`kind` names the peers' method that solves it; `unit` is what a time is of.

    `flops`, `bytes_read` and `bytes_written` are what no implementation can avoid, in one unit; 0 where that
    is no useful limit. `working_set` is the memory that the timed calls go round, in bytes: it decides which
    cache's bandwidth is the limit.
    """

    kind: ClassVar[str]
    unit: ClassVar[str] = "call"
    title: ClassVar[str] = ""

    @property
    def flops(self) -> int:
        return 0

    @property
    def bytes_read(self) -> int:
        return 0

    @property
    def bytes_written(self) -> int:
        return 0

    @property
    def working_set(self) -> int:
        return COPIES * (self.bytes_read + self.bytes_written)

    @property
    def wants_latency(self) -> bool:
        """Whether calls are clocked one by one too, for p50 and p99."""
        return False

    @property
    def dtype(self) -> str:
        return "float32"

    def inputs(self, dtype: str) -> Any:
        """The same values for every peer; the reference gets them in float64."""
        raise NotImplementedError

    def tolerance(self, result: str) -> float:
        """The largest relative error, ‖got − want‖ / ‖want‖, of the result of that name."""
        return 1e-5 if self.dtype == "float32" else 1e-13
