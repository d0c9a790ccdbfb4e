"""What a run found, as text for the terminal and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bench import BASELINE
from bench.results import Record, Results, peers_of
from bench.spread import slope
from bench.tables import amount, cell, cores, duration, markdown_table, percent

_METHOD = f"""\
Every case's results are compared with a float64 reference before any clock starts; a peer whose result is
wrong is not timed. The peers then take turns in one process, held to as many cores as there are threads;
a time is the median over all turns, and a ratio the median over the rounds of the peer's time divided by
{BASELINE}'s in the same round: above 1x, fastnn is faster. Where the ratio's quartiles lie farther apart
than the ratio from 1, or than a factor of 2, it says *noise*. A dash: the peer can't do it; the reasons are
at the end."""


def record_text(record: Record) -> str:
    """A case as it is printed when it is done: the peers from the fastest to the slowest, then the others."""
    lines = [f"{record.case}  ({cores(record.threads)})"]
    for peer in sorted(record.timed, key=lambda name: record.time(name) or 0.0):
        value = amount(record.time(peer) or 0.0, record.unit)
        ratio, share = record.ratio(peer), record.share_of_limit(peer)
        line = f"  {peer:<16}{value:>10}  ±{percent(record.spread(peer) / 2):<5}"
        line += f"{ratio!s:>7}" if ratio else " " * 7
        line += f"  {percent(share)} of the limit" if share else ""
        lines.append(line.rstrip())
    lines += [f"  {peer:<16}{reason}" for peer, reason in record.failures.items()]
    if unable := [peer for peer in record.reasons if peer not in record.failures]:
        lines.append(f"  can't: {', '.join(unable)}")
    return "\n".join(lines)


def summary(results: Results) -> str:
    """Where fastnn loses, how cost grows, and which results were wrong."""
    parts = ["", *_losses(results), *_growth(results), *_sweep_medians(results)]
    wrong = [
        f"{record.case} ({cores(record.threads)}): {peer}: {reason}"
        for record in results.records
        for peer, reason in record.failures.items()
    ]
    if wrong:
        parts += ["Wrong results and failures:", *(f"  {line}" for line in wrong)]
    return "\n".join(parts)


def markdown(results: Results) -> str:
    """The whole report."""
    machine = results.json["machine"]
    changed = ", changed since" if machine["changed_since_commit"] else ""
    parts = [
        "# fastnn's benchmarks",
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}; "
        f"{machine['date']}; commit {machine['commit']}{changed}; load before: {machine['load_before']}.",
        _METHOD,
        *_limits(results),
        "## Peers",
        markdown_table(
            ("peer", "version, or why it is absent"),
            [
                (name, entry.get("version") or f"absent: {entry['absent']}")
                for name, entry in results.json["peers"].items()
            ],
        ),
        "## Where fastnn loses",
        "\n".join(f"- {line}" for line in _losses(results)),
    ]
    for group, threads, records in results.groups():
        parts += [f"## {group}, {cores(threads)}", _group_table(records, results.peers)]
        if any("latencies" in entry for record in records for entry in record.json["peers"].values()):
            parts += ["One call at a time, p50 / p99, the clock's own reading included:"]
            parts += [_latency_table(records, results.peers)]
    if growth := [*_growth(results), *_sweep_medians(results)]:
        parts += ["## How cost grows", "\n".join(f"- {line}" for line in growth)]
    parts += _first_calls(results)
    parts += ["## What peers can't do", "\n".join(_reasons(results))]
    return "\n\n".join(parts) + "\n"


def _group_table(records: list[Record], order: list[str]) -> str:
    peers = peers_of(records, order)
    with_limit = any(record.share_of_limit(BASELINE) for record in records)
    rows = []
    for record in records:
        name = record.case.partition("/")[2] or record.case
        share = record.share_of_limit(BASELINE)
        rows.append([name, *(cell(record, peer) for peer in peers)])
        if with_limit:
            rows[-1].append(percent(share) if share else "–")
    unit = " or ".join(dict.fromkeys(f"a {record.unit}" for record in records if record.unit != "byte"))
    header = [unit, *peers, *([f"{BASELINE} of the limit"] if with_limit else [])]
    return markdown_table(header, rows)


def _latency_table(records: list[Record], order: list[str]) -> str:
    records = [r for r in records if any("latencies" in entry for entry in r.json["peers"].values())]
    peers = peers_of(records, order)
    rows = []
    for record in records:
        row = [record.case.partition("/")[2]]
        for peer in peers:
            latencies = record.json["peers"].get(peer, {}).get("latencies")
            row.append(" / ".join(map(duration, np.median(latencies, axis=0))) if latencies else "–")
        rows.append(row)
    return markdown_table(("a call", *peers), rows)


def _limits(results: Results) -> Iterator[str]:
    yield "## The machine's limits"
    for threads, limits in results.json["limits"].items():
        if isinstance(limits, str):
            yield f"{cores(int(threads))}: {limits}."
            continue
        peak = ", ".join(f"{dtype} {rate:.0f} GFLOP/s" for dtype, rate in limits["peak"].items())
        yield f"{cores(int(threads))}: multiply-adds {peak}; GB/s over a working set of"
        sizes = list(limits["copy"])
        yield markdown_table(
            ("", *(_kilobytes(int(size)) for size in sizes)),
            [(name, *(f"{limits[name][size]:.0f}" for size in sizes)) for name in ("copy", "read")],
        )


def _kilobytes(size: int) -> str:
    return f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


def _losses(results: Results) -> Iterator[str]:
    """The cases in which another library is faster, beyond noise, from the worst on."""
    compared = lost = 0
    lines = []
    for record in results.records:
        rival = record.best_rival()
        ratio = record.ratio(rival) if rival else None
        if ratio is None:
            continue
        compared += 1
        if ratio.value < 1 and not ratio.is_noise:
            lost += 1
            line = f"{record.case}, {cores(record.threads)}: {rival} takes {ratio} as long"
            lines.append((ratio.value, line))
    yield f"{BASELINE} loses {lost} of {compared} compared cases to the fastest other library."
    yield from (line for _, line in sorted(lines))


def _growth(results: Results) -> Iterator[str]:
    """For each sweep, every peer's slope, and where PyTorch overtakes."""
    for name, axis, threads, points in results.sweeps():
        peers = peers_of([record for _, record in points], results.peers)
        slopes = []
        for peer in peers:
            known = [(value, t) for value, record in points if (t := record.time(peer)) is not None]
            if len(known) > 1:
                slopes.append(f"{peer} {slope(*map(list, zip(*known, strict=True))):.2f}")
        yield f"{name}, {cores(threads)}: cost grows as {axis} to the power of: {', '.join(slopes)}"
        yield f"{name}, {cores(threads)}: {_crossover(axis, points)}"


def _crossover(axis: str, points: list[tuple[float, Record]]) -> str:
    """From which value on the fastest of PyTorch's forms is faster."""
    compared = []
    for value, record in points:
        forms = [peer for peer in record.timed if peer.startswith("pytorch")]
        fastest = min(forms, key=lambda peer: record.time(peer) or 0.0, default=None)
        ratio = record.ratio(fastest) if fastest else None
        if ratio is not None:
            compared.append((value, ratio))
    if not compared:
        return "not compared with PyTorch"
    lost = [value for value, ratio in compared if ratio.value < 1 and not ratio.is_noise]
    if lost:
        return f"PyTorch is faster at {axis} {', '.join(f'{value:g}' for value in lost)}"
    return f"no crossover with PyTorch up to {axis} {compared[-1][0]:g}"


def _sweep_medians(results: Results) -> Iterator[str]:
    """Of groups of many shapes, one figure: the median ratio against the fastest other library."""
    for group, threads, records in results.groups():
        if not group.endswith("-sweep"):
            continue
        rivals = ((record, rival) for record in records if (rival := record.best_rival()))
        ratios = [ratio.value for record, rival in rivals if (ratio := record.ratio(rival))]
        if ratios:
            yield (
                f"{group}, {cores(threads)}: over {len(ratios)} shapes the fastest other library takes "
                f"{np.median(ratios):.2f}x as long in the median, {min(ratios):.2f}x at the least"
            )


def _first_calls(results: Results) -> Iterator[str]:
    """The longest first call of each peer in each group."""
    rows = []
    for group, threads, records in results.groups():
        row = [f"{group}, {cores(threads)}"]
        for peer in results.peers:
            calls = [c for r in records if (c := r.json["peers"].get(peer, {}).get("first_call")) is not None]
            row.append(duration(1e9 * max(calls)) if calls else "–")
        if any(entry != "–" for entry in row[1:]):
            rows.append(row)
    if rows:
        yield "## The first call"
        yield "The longest of each group: building, compiling and running. No time above holds any of it."
        yield markdown_table(("group", *results.peers), rows)


def _reasons(results: Results) -> Iterator[str]:
    """Every reason once, with the groups in which it holds."""
    groups: dict[tuple[str, str], list[str]] = {}
    for record in results.records:
        for peer, reason in record.reasons.items():
            groups.setdefault((peer, reason), []).append(record.group)
    for (peer, reason), names in sorted(groups.items()):
        yield f"- {peer}: {reason} ({', '.join(dict.fromkeys(names))})"
