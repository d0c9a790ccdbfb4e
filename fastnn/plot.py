"""Pictures of a network: its weights, its filters, what they make of an image, and how training went.

Needs Matplotlib (the extra `plot`), which is imported when the first picture is drawn. Every function
draws into `figure`, a Matplotlib Figure or SubFigure, or else into a new figure of pyplot, and returns it:
`fn.plot.weights(net).savefig("weights.png")`. Weights and feature maps have a diverging colour scale that
is symmetric about zero: blue is negative, white is zero, red is positive.
"""

from __future__ import annotations

from math import ceil, isqrt, prod, sqrt
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from fastnn.network import History, Network

_COLOURS = "RdBu_r"


def weights(net: Network, *, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    """Every layer's weights as a heat map, a row for each unit or filter, a column for each of its inputs.

    A convolution's inputs are the entries of its kernel, channel by channel, row by row.
    """
    matrices = {name: value for name, value in net.parameters.items() if name.startswith("W")}
    if not matrices:
        raise ValueError(f"net must have a layer with weights, got layers {list(net.layers)}")
    figure = figure or _new_figure(4.2 * len(matrices), 3.6)
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for axis, (name, weight) in zip(axes, matrices.items(), strict=True):
        is_filter = weight.ndim == 4
        rows = weight.reshape(len(weight), -1) if is_filter else weight.T
        _heat_map(axis, rows, aspect="auto")
        axis.locator_params(integer=True, min_n_ticks=1)
        axis.set(
            title=f"{name} {_times(weight.shape)}",
            xlabel="entry of the kernel" if is_filter else "input",
            ylabel="filter" if is_filter else "unit",
        )
    return figure


def filters(net: Network, layer: int = 1, *, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    """The filters of convolution number `layer` as images, or the units of a first dense layer.

    `layer` counts the layers that have weights, as the names W1, W2, ... do. A dense unit is an image where
    the network's input is one, (channels, height, width), or a vector that fills a square. With several
    input channels every filter is a row, and every channel a column.
    """
    images = _unit_images(net, layer)
    units, channels, height, width = images.shape
    columns = channels if channels > 1 else _columns(units)
    mosaic = _mosaic(images.reshape(-1, height, width), columns)
    figure = figure or _new_figure(5.4, 0.8 + 4.4 * mosaic.shape[0] / mosaic.shape[1])
    axis = figure.subplots()
    _heat_map(axis, mosaic)
    kind = "filters" if net.parameters[f"W{layer}"].ndim == 4 else "units"
    axis.set(title=f"W{layer}: {units} {kind} of {height} × {width}", xticks=[], yticks=[])
    if channels > 1:
        axis.set(xlabel=f"{channels} input channels", ylabel=f"{units} {kind}")
    return figure


def feature_maps(
    net: Network, x: ArrayLike, *, figure: Figure | SubFigure | None = None
) -> Figure | SubFigure:
    """What each layer makes of the image `x`: the input, and every activation and pool that still has planes.

    `x` is one image, (channels, height, width) as the network's `input_shape`, or a batch of one.
    """
    if len(net.input_shape) != 3:
        raise ValueError(
            f"net must take images, (channels, height, width), got input_shape {net.input_shape}"
        )
    image = np.asarray(x)
    if image.shape not in (net.input_shape, (1, *net.input_shape)):
        raise ValueError(f"x must be one image of shape {net.input_shape}, got shape {image.shape}")
    planes = _forward_planes(net, image.reshape(1, *net.input_shape))
    figure = figure or _new_figure(3.4 * len(planes), 3.6)
    axes = figure.subplots(1, len(planes), squeeze=False)[0]
    for axis, (name, maps) in zip(axes, planes.items(), strict=True):
        _heat_map(axis, _mosaic(maps, _columns(len(maps))))
        axis.set(title=f"{name} {_times(maps.shape)}", xticks=[], yticks=[])
    return figure


def history(history: History, *, figure: Figure | SubFigure | None = None) -> Figure | SubFigure:
    """The loss of every epoch, in training and in validation, on a logarithmic scale."""
    figure = figure or _new_figure(4.8, 3.6)
    axis = figure.subplots()
    for label, losses in (("training", history.loss), ("validation", history.validation_loss)):
        if losses:
            axis.plot(np.arange(1, len(losses) + 1), losses, label=label)
    axis.legend()
    axis.set(xlabel="epoch", ylabel="loss", yscale="log")
    axis.grid(which="both", alpha=0.3)
    return figure


def _new_figure(width: float, height: float) -> Figure:
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError("a picture needs Matplotlib, which fastnn's extra `plot` installs") from error
    return pyplot.figure(figsize=(width, height), layout="constrained")


def _heat_map(axis: Axes, values: NDArray, aspect: Literal["equal", "auto"] = "equal") -> None:
    """`values` in colours from −limit to limit, so that white is zero; NaN, between two images, is dark.

    The limit is the 99.5th percentile of the magnitudes: a few large values would pale all others.
    """
    magnitudes = np.abs(values[np.isfinite(values)])
    limit = (np.quantile(magnitudes, 0.995) or magnitudes.max()) if magnitudes.size else 0.0
    limit = limit or 1.0  # no scale where all is zero
    image = axis.imshow(values, cmap=_COLOURS, vmin=-limit, vmax=limit, aspect=aspect)
    axis.set_facecolor("0.3")
    axis.figure.colorbar(image, cax=axis.inset_axes((1.03, 0, 0.04, 1)), extend="both")


def _columns(count: int) -> int:
    """The columns of a grid of `count`: about as many as rows, and where possible no place stays empty."""
    side = ceil(sqrt(count))
    return next((columns for columns in range(side, 2 * side) if count % columns == 0), side)


def _mosaic(images: NDArray, columns: int) -> NDArray:
    """`images` (count, height, width) side by side in rows of `columns`, with NaN between and after them.

    Small images are enlarged, so that the gaps are narrow beside them.
    """
    zoom, gap = ceil(24 / max(images.shape[1:])), 2
    images = images.repeat(zoom, axis=1).repeat(zoom, axis=2)
    count, height, width = images.shape
    row_step, column_step = height + gap, width + gap
    mosaic = np.full((ceil(count / columns) * row_step - gap, columns * column_step - gap), np.nan)
    for number, image in enumerate(images):
        top, left = number // columns * row_step, number % columns * column_step
        mosaic[top : top + height, left : left + width] = image
    return mosaic


def _forward_planes(net: Network, image: NDArray) -> dict[str, NDArray]:
    """X, and the activations and pools of one image that are (channels, height, width), by name."""
    tensors = net.trace(image)
    return {name: value[0] for name, value in tensors.items() if name[0] in "XAP" and value.ndim == 4}


def _unit_images(net: Network, layer: int) -> NDArray:
    """The weights of layer number `layer` as (units, channels, height, width)."""
    weight = net.parameters.get(f"W{layer}")
    if weight is None:
        numbers = [int(name[1:]) for name in net.parameters if name.startswith("W")]
        raise ValueError(f"layer must be the number of a layer with weights, one of {numbers}, got {layer!r}")
    if weight.ndim == 4:
        return weight
    shape = _image_shape(net.input_shape)
    if layer != 1 or shape is None or prod(shape) != len(weight):
        raise ValueError(
            "layer must be a convolution, or a first dense layer over an image or a square: layer "
            f"{layer} is dense over {len(weight)} values, in a network of input_shape {net.input_shape}"
        )
    return weight.T.reshape(-1, *shape)


def _image_shape(input_shape: tuple[int, ...]) -> tuple[int, ...] | None:
    """(channels, height, width) of an input that is an image or fills a square, else None."""
    if len(input_shape) == 3:
        return input_shape
    side = isqrt(input_shape[0])
    return (1, side, side) if input_shape == (side * side,) else None


def _times(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
