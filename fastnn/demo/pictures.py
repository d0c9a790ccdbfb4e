"""The demo's pictures: what each network learned, from its weights before and after training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from fastnn import plot
from fastnn.datasets import Dataset
from fastnn.demo.cases import Case
from fastnn.network import History, Network

_EXAMPLE = 4  # the test row whose feature maps are drawn: a six, or a shirt


def draw_network(case: Case, data: Dataset, before: Network, after: Network, folder: Path) -> list[Path]:
    """Write the pictures of one network into `folder`; return their paths."""
    layers = sum(name.startswith("W") for name in after.parameters)
    paths = [folder / f"{case.name}-weights.png"]
    _compare(plot.weights, before, after, paths[-1], size=(4.4 * layers, 7.6), columns=1)
    if len(data.input_shape) == 3:
        paths.append(folder / f"{case.name}-first-layer.png")
        _compare(plot.filters, before, after, paths[-1], size=(16.0, 8.0), columns=2)
    convolutions = [name for name, value in after.parameters.items() if name[0] == "W" and value.ndim == 4]
    for name in convolutions[1:]:
        paths.append(folder / f"{case.name}-filters-{name}.png")
        figure = Figure(figsize=(6.0, 10.0), layout="constrained")
        _save(plot.filters(after, layer=int(name[1:]), figure=figure), paths[-1])
    if convolutions:
        paths.append(folder / f"{case.name}-feature-maps.png")
        figure = Figure(figsize=(18.0, 3.6), layout="constrained")
        _save(plot.feature_maps(after, data.x_test[_EXAMPLE], figure=figure), paths[-1])
    return paths


def draw_histories(histories: dict[str, History], path: Path) -> None:
    """Write the loss curves side by side."""
    figure = Figure(figsize=(4.0 * len(histories), 3.6), layout="constrained")
    parts = figure.subfigures(1, len(histories), squeeze=False)[0]
    for part, (title, history) in zip(parts, histories.items(), strict=True):
        plot.history(history, figure=part)
        part.suptitle(title)
    _save(figure, path)


def _compare(
    draw: Callable[..., Any],
    before: Network,
    after: Network,
    path: Path,
    size: tuple[float, float],
    columns: int,
) -> None:
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(2 // columns, columns, squeeze=False).flat
    for part, net, title in zip(parts, (before, after), ("before training", "after training"), strict=True):
        for axis in draw(net, figure=part).axes:
            axis.set_title(f"{axis.get_title()}, {title}")
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=100, bbox_inches="tight")
