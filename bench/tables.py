"""Figures as text, and Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.results import Record

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))


def duration(nanoseconds: float) -> str:
    """Three digits and a unit: 1.23 µs, 45.6 ms."""
    size, unit = next((pair for pair in _UNITS if nanoseconds >= 0.9995 * pair[0]), _UNITS[-1])
    return f"{_three_digits(nanoseconds / size)} {unit}"


def amount(value: float, unit: str) -> str:
    """A measured value of a record's unit: a duration, or megabytes."""
    return f"{_three_digits(value / 1e6)} MB" if unit == "byte" else duration(value)


def percent(share: float) -> str:
    return f"{100 * share:.0f}%" if share >= 0.0095 else f"{100 * share:.1g}%"


def cores(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def cell(record: Record, peer: str) -> str:
    """A peer's time and how many times fastnn's that is: `12.3 µs (4.5x)`; a dash where there is none."""
    value = record.time(peer)
    if value is None:
        return "–"
    ratio = record.ratio(peer)
    return amount(value, record.unit) + (f" ({ratio})" if ratio else "")


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
