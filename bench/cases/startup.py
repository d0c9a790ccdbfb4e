"""What it costs before anything is computed."""

from __future__ import annotations

from bench.case import Case
from bench.problems.startup import FirstStep, Import, InstalledSize

CASES: tuple[Case, ...] = (
    Case("startup/import", Import(), quick=True, serial=True),
    Case("startup/import-after-numpy", Import(after_numpy=True), quick=True, serial=True),
    Case("startup/first-step", FirstStep(), quick=True, serial=True),
    Case("startup/installed-size", InstalledSize(), quick=True, serial=True),
)
