"""`python -m bench compare BEFORE.json AFTER.json`: what became faster or slower between two runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from bench.results import Results
from bench.spread import Ratio, unpaired_ratio
from bench.tables import amount, cores


def changes(before: Results, after: Results) -> Iterator[tuple[str, int, str, float, float, Ratio]]:
    """Case, threads, peer, the two medians, and after / before, of all that is in both runs."""
    for record in after.records:
        old = before.find(record.case, record.threads)
        if old is None:
            continue
        for peer in record.timed:
            if peer in old.timed:
                samples = (r.json["peers"][peer]["samples"] for r in (record, old))
                yield (
                    record.case, record.threads, peer,
                    old.time(peer) or 0.0, record.time(peer) or 0.0, unpaired_ratio(*samples),
                )  # fmt: skip


def text(before: Results, after: Results) -> str:
    """fastnn's changes beyond noise, from the worst to the best, and how the other peers drifted meanwhile.

    The others' code is the same in both runs: what their times did, the machine did.
    """
    lines, steady = [], 0
    drift = []
    for case, threads, peer, old, new, ratio in changes(before, after):
        if not peer.startswith("fastnn"):
            drift.append(ratio.value)
        elif ratio.is_noise:
            steady += 1
        else:
            unit = "byte" if case.endswith("installed-size") else "call"
            change = f"{ratio.value:.2f}x the time" if unit != "byte" else f"{ratio.value:.2f}x the size"
            values = f"{amount(old, unit)} → {amount(new, unit)}"
            lines.append((-ratio.value, f"{case}, {cores(threads)}, {peer}: {values}, {change}"))
    result = [line for _, line in sorted(lines)]
    result.append(f"{steady} of {steady + len(lines)} of fastnn's figures unchanged within noise")
    if drift:
        low, middle, high = np.percentile(drift, (25, 50, 75))
        result.append(
            f"the other peers took {middle:.2f}x the time (quartiles {low:.2f}x to {high:.2f}x), "
            f"over {len(drift)} figures: the machine's own drift"
        )
    if before.json["machine"]["processor"] != after.json["machine"]["processor"]:
        result.append("the runs are of different processors")
    return "\n".join(result)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench compare", description=__doc__)
    parser.add_argument("before")
    parser.add_argument("after")
    options = parser.parse_args(arguments)
    print(text(Results.load(options.before), Results.load(options.after)))
