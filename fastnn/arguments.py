"""Checks of single numbers among a caller's arguments."""

from __future__ import annotations

from math import inf, isfinite
from operator import index
from typing import Any


def whole_number(name: str, value: Any, least: int) -> int:
    """`value` as an int of at least `least`."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")
    return number


def real_number(name: str, value: Any, *, most: float = inf) -> float:
    """`value` as a finite float from 0 to `most`."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not (isfinite(number) and 0 <= number <= most):
        limits = "finite and at least 0" if most == inf else f"from 0 to {most:g}"
        raise ValueError(f"{name} must be {limits}, got {value}")
    return number


def fraction(name: str, value: Any) -> float:
    """`value` as a float from 0 up to, but not including, 1."""
    number = real_number(name, value, most=1.0)
    if number == 1:
        raise ValueError(f"{name} must be below 1, got {value}")
    return number
