"""The run as pictures: the ratio of every case, the roofline, and the curves of the sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from bench import BASELINE
from bench.results import Record, Results, peers_of
from bench.tables import cores

_MOST_BARS = 60


def draw_all(results: Results, folder: Path) -> None:
    """Write every picture that the results have data for, as PNG."""
    for group, threads, records in results.groups():
        _ratios(group, threads, records, results.peers, folder)
    for threads, limits in results.json["limits"].items():
        if isinstance(limits, dict):
            _roofline(int(threads), limits, results, folder)
    for name, axis, threads, points in results.sweeps():
        _sweep(name, axis, threads, points, results.peers, folder)
    _threads(results, folder)


def _color(peer: str, order: list[str]) -> Any:
    """A peer's colour, the same in every picture: the strong ones of tab20 first, then the light ones."""
    number = 2 * order.index(peer)
    return plt.get_cmap("tab20")(number % 20 + number // 20)


def _save(figure: Any, folder: Path, name: str) -> None:
    figure.savefig(folder / f"{name}.png", dpi=120, bbox_inches="tight")
    plt.close(figure)


def _ratios(group: str, threads: int, records: list[Record], order: list[str], folder: Path) -> None:
    """Every peer's time over fastnn's, a dot a peer; hollow where the ratio is noise."""
    peers = [peer for peer in peers_of(records, order) if peer != BASELINE]
    rows = [record for record in records if record.time(BASELINE) is not None][:_MOST_BARS]
    if not rows or not peers:
        return
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.3 * len(rows)))
    for peer in peers:
        points = [(ratio, y) for y, record in enumerate(rows) if (ratio := record.ratio(peer))]
        if not points:
            continue
        color = _color(peer, order)
        axes.scatter(
            [ratio.value for ratio, _ in points],
            [y for _, y in points],
            label=peer,
            edgecolors=color,
            facecolors=["none" if ratio.is_noise else color for ratio, _ in points],
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks(range(len(rows)), [record.case.partition("/")[2] for record in rows], fontsize=8)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"time / {BASELINE}'s; left of 1 fastnn loses; hollow: noise")
    axes.set_title(f"{group}, {cores(threads)}")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, folder, f"ratio-{group}-{threads}")


def _roofline(threads: int, limits: dict[str, Any], results: Results, folder: Path) -> None:
    """fastnn's GFLOP/s over its arithmetic intensity, below the measured ceilings."""
    figure, axes = plt.subplots(figsize=(8, 5))
    intensity = np.geomspace(0.1, 1000, 100)
    peak = limits["peak"]["float32"]
    smallest, *_, largest = limits["copy"]
    for size, name in ((smallest, "first-level cache"), (largest, "memory")):
        ceiling = np.minimum(peak, limits["copy"][size] * intensity)
        axes.plot(intensity, ceiling, label=f"{name}, {limits['copy'][size]:.0f} GB/s")
    groups: dict[str, list[tuple[float, float]]] = {}
    for record in results.records:
        facts, taken = record.json, record.time(BASELINE)
        moved = facts["bytes_read"] + facts["bytes_written"]
        if record.threads == threads and taken and facts["flops"] and moved and facts["dtype"] == "float32":
            groups.setdefault(record.group, []).append((facts["flops"] / moved, facts["flops"] / taken))
    for group, points in groups.items():
        axes.scatter(*zip(*points, strict=True), s=14, label=group)
    axes.set(xscale="log", yscale="log", xlabel="FLOP / byte", ylabel="GFLOP/s")
    axes.set_title(f"roofline of {BASELINE}, {cores(threads)}; peak {peak:.0f} GFLOP/s (float32)")
    axes.grid(alpha=0.3, which="both")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, folder, f"roofline-{threads}")


def _sweep(
    name: str, axis: str, threads: int, points: list[tuple[float, Record]], order: list[str], folder: Path
) -> None:
    """Every peer's time over what the sweep varies."""
    figure, axes = plt.subplots(figsize=(8, 5))
    for peer in peers_of([record for _, record in points], order):
        known = [(value, t / 1e3) for value, record in points if (t := record.time(peer)) is not None]
        axes.plot(*zip(*known, strict=True), marker="o", label=peer, color=_color(peer, order))
    axes.set(xscale="log", yscale="log", xlabel=axis, ylabel=f"µs a {points[0][1].unit}")
    axes.set_xticks([value for value, _ in points], [f"{value:g}" for value, _ in points])
    axes.minorticks_off()
    axes.set_title(f"{name}, {cores(threads)}")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, folder, f"{name}-{threads}")


def _threads(results: Results, folder: Path) -> None:
    """How many times faster each peer is with all its threads than with one, case by case."""
    counts = sorted({record.threads for record in results.records})
    if len(counts) < 2:
        return
    one, most = counts[0], counts[-1]
    pairs = [
        (old, record)
        for record in results.records
        if record.threads == most
        and record.group in ("training", "matmul", "conv2d", "conv2d-backward", "inference")
        and (old := results.find(record.case, one))
    ]
    if not pairs:
        return
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.3 * len(pairs)))
    for peer in peers_of([record for _, record in pairs], results.peers):
        points = [
            (before / after, y)
            for y, (old, record) in enumerate(pairs)
            if (before := old.time(peer)) and (after := record.time(peer))
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), label=peer, s=16, color=_color(peer, results.peers))
    axes.axvline(1, color="black", linewidth=1)
    axes.set_yticks(range(len(pairs)), [record.case for _, record in pairs], fontsize=8)
    axes.set_ylim(len(pairs) - 0.5, -0.5)
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel(f"time on {cores(one)} / time on {cores(most)}")
    axes.set_title("scaling over threads")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    _save(figure, folder, "threads")
