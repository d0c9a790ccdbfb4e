"""Problems of starting up: measured in fresh processes, by `bench.startup`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.problems.problem import Problem


@dataclass(frozen=True)
class Import(Problem):
    """The time of the import statement in a fresh interpreter, after NumPy's import where asked."""

    kind: ClassVar[str] = "import"
    after_numpy: bool = False


@dataclass(frozen=True)
class FirstStep(Problem):
    """From the start of Python to the first trained batch of 30-16-8-1: import, compilation, one step."""

    kind: ClassVar[str] = "first_step"


@dataclass(frozen=True)
class InstalledSize(Problem):
    """The bytes that the package and all that it needs take on disk."""

    kind: ClassVar[str] = "installed_size"
    unit: ClassVar[str] = "byte"
