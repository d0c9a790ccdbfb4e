"""Medians, spreads and ratios, and when a ratio is nothing but noise.

A measurement is a list of rounds, a round a list of samples: the peers take turns, one round after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Rounds = list[list[float]]


def median(rounds: Rounds) -> float:
    return float(np.median(np.concatenate([np.asarray(samples) for samples in rounds])))


def relative_spread(rounds: Rounds) -> float:
    """The interquartile range of all samples over their median."""
    low, middle, high = np.percentile(np.concatenate([np.asarray(s) for s in rounds]), (25, 50, 75))
    return float((high - low) / middle) if middle else 0.0


@dataclass(frozen=True)
class Ratio:
    """A ratio with the quartiles within which it lies from round to round."""

    value: float
    low: float
    high: float

    @property
    def is_noise(self) -> bool:
        """Whether the spread is no smaller than the difference from 1, or than a factor of 2: what is so
        uneven has been disturbed. All as logarithms, so that 2 and 1/2 differ from 1 by as much."""
        return bool(np.log(self.high / self.low) >= min(abs(np.log(self.value)), np.log(2)))

    def __str__(self) -> str:
        if self.is_noise:
            return "noise"
        return f"{self.value:.2f}x" if self.value < 9.95 else f"{self.value:.0f}x"


def paired_ratio(numerator: Rounds, denominator: Rounds) -> Ratio:
    """How much longer the numerator took, both timed in the same rounds of one run.

    Rounds are compared pairwise, as what disturbs the machine for a while disturbs both.
    """
    ratios = [np.median(a) / np.median(b) for a, b in zip(numerator, denominator, strict=True)]
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return Ratio(float(middle), float(low), float(high))


def unpaired_ratio(numerator: Rounds, denominator: Rounds) -> Ratio:
    """How much longer the numerator took, timed in another run: every round against every round."""
    above, below = (np.array([np.median(samples) for samples in r]) for r in (numerator, denominator))
    low, middle, high = np.percentile(above[:, None] / below[None, :], (25, 50, 75))
    return Ratio(float(middle), float(low), float(high))


def slope(values: list[float], times: list[float]) -> float:
    """d log(time) / d log(value) by least squares: 1 where cost is proportional, 0 where it is constant."""
    return float(np.polyfit(np.log(values), np.log(times), 1)[0])
