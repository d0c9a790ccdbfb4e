"""Examples of every kernel's operands and results, for the tests that go through the whole kernel list.

Operands are float64 here, or int64 for classes and float64 for `step`; a test rounds them to the kernel's
dtype. `expected` is a function of the rounded operands, so that it has no rounding of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import reference

Array = np.ndarray
Operands = dict[str, Array | None]


@dataclass
class Example:
    """One call of a kernel. `updates` are operands that it reads and overwrites; `unused`, by name, elements
    of results that may be anything.
    """

    reads: Operands
    expected: Callable[..., dict[str, Array | None]]
    sizes: dict[str, int]
    scalars: dict[str, float] = field(default_factory=dict)
    updates: Operands = field(default_factory=dict)
    unused: dict[str, Array] = field(default_factory=dict)


def examples(kernel: str) -> Iterator[Example]:
    """Small examples of one kernel: sizes from none to across a vector's end, operands there and absent."""
    return _MAKERS[kernel](kernel, np.random.default_rng(0))


_MAKERS: dict[str, Callable[[str, np.random.Generator], Iterator[Example]]] = {}

_VECTORS = (0, 1, 5, 16, 17, 67, 1500)
_TABLES = (
    *((0, 3), (1, 1), (7, 1), (5, 3), (33, 10), (17, 16)),
    *((70, 32), (5, 33), (3, 600), (2, 2500), (130, 2)),
)
# m, k, n
_PRODUCTS = (
    *((0, 3, 2), (0, 3, 300), (4, 0, 3), (4, 0, 300), (3, 4, 0)),
    *((1, 1, 1), (1, 5, 300), (2, 5, 300), (5, 7, 3), (32, 30, 16), (33, 17, 65), (70, 16, 1), (20, 40, 4)),
)


def _makes(*kernels: str):
    def register(maker):
        _MAKERS.update(dict.fromkeys(kernels, maker))
        return maker

    return register


# --- algebra ---------------------------------------------------------------------------------------


@_makes("matmul")
def _matmul(kernel, rng):
    for m, k, n in _PRODUCTS:
        for transposed in (False, True):
            a, b = rng.normal(size=(m, k)), rng.normal(size=(n, k) if transposed else (k, n))
            strides = {"a_row_stride": k, "a_column_stride": 1}
            if transposed:
                strides |= {"b_row_stride": 1, "b_column_stride": k}
            else:
                strides |= {"b_row_stride": n, "b_column_stride": 1}

            def expected(a, b, transposed=transposed):
                return {"c": reference.matmul(a, b.T if transposed else b)}

            yield Example({"a": a, "b": b}, expected, {"m": m, "n": n, "k": k} | strides)


@_makes("linear")
def _linear(kernel, rng):
    for m, k, n in _PRODUCTS:
        for relu, biased in ((0, True), (1, True), (0, False)):
            bias = rng.normal(size=n) if biased else None
            reads = {"x": rng.normal(size=(m, k)), "weight": rng.normal(size=(k, n)), "bias": bias}

            def expected(x, weight, bias, relu=relu):
                y = reference.linear(x, weight, bias)
                return {"y": reference.relu(y) if relu else y}

            yield Example(reads, expected, {"m": m, "k": k, "n": n, "relu": relu})


@_makes("linear_backward_input")
def _linear_backward_input(kernel, rng):
    for m, k, n in _PRODUCTS:
        for masked in (False, True):
            mask = reference.relu(rng.normal(size=(m, k))) if masked else None
            reads = {"dy": rng.normal(size=(m, n)), "weight": rng.normal(size=(k, n)), "mask": mask}

            def expected(dy, weight, mask):
                return {"dx": reference.linear_backward_input(dy, weight, mask)}

            yield Example(reads, expected, {"m": m, "k": k, "n": n})


@_makes("linear_backward_weight")
def _linear_backward_weight(kernel, rng):
    for m, k, n in _PRODUCTS:
        for biased in (True, False):

            def expected(x, dy, biased=biased):
                dweight, dbias = reference.linear_backward_weight(x, dy)
                return {"dweight": dweight, "dbias": dbias if biased else None}

            reads = {"x": rng.normal(size=(m, k)), "dy": rng.normal(size=(m, n))}
            yield Example(reads, expected, {"m": m, "k": k, "n": n})


# --- activations -----------------------------------------------------------------------------------


@_makes("relu", "sigmoid", "tanh")
def _elementwise(kernel, rng):
    for size in _VECTORS:
        yield Example(
            {"x": 3 * rng.normal(size=size)}, lambda x: {"y": getattr(reference, kernel)(x)}, {"size": size}
        )


@_makes("relu_backward", "sigmoid_backward", "tanh_backward")
def _elementwise_backward(kernel, rng):
    for size in _VECTORS:
        reads = {"dy": rng.normal(size=size), "y": np.tanh(rng.normal(size=size))}
        yield Example(reads, lambda dy, y: {"dx": getattr(reference, kernel)(dy, y)}, {"size": size})


@_makes("softmax", "log_softmax")
def _over_rows(kernel, rng):
    for rows, columns in _TABLES:
        reads = {"x": 3 * rng.normal(size=(rows, columns))}
        sizes = {"rows": rows, "columns": columns}
        yield Example(reads, lambda x: {"y": getattr(reference, kernel)(x)}, sizes)


@_makes("softmax_backward")
def _softmax_backward(kernel, rng):
    for rows, columns in _TABLES:
        y = reference.softmax(rng.normal(size=(rows, columns)))
        reads = {"dy": rng.normal(size=(rows, columns)), "y": y}
        sizes = {"rows": rows, "columns": columns}
        yield Example(reads, lambda dy, y: {"dx": reference.softmax_backward(dy, y)}, sizes)


@_makes("dropout")
def _dropout(kernel, rng):
    for size, rate, seed, step in (
        (0, 0.5, 1, 1),
        (67, 0.0, 2, 5),
        (1500, 0.3, 2**62, 2**40),
        (500, 0.9, 0, 1),
    ):

        def expected(x, step, seed=seed, rate=rate):
            return {"y": reference.dropout(x, rate, seed, 3, int(step[1]))}

        reads = {"x": rng.normal(size=size), "step": np.array([0.1, step])}
        yield Example(reads, expected, {"size": size, "seed": seed, "stream": 3}, {"rate": rate})


# --- losses ----------------------------------------------------------------------------------------


def _labels(kernel: str, rng: np.random.Generator, rows: int, columns: int) -> Operands:
    if "classes" in kernel:
        return {"classes": rng.integers(0, columns, size=rows)}
    return {"y": rng.random((rows, columns)).round(1)}


@_makes("log_loss_binary", "log_loss_classes")
def _log_loss(kernel, rng):
    for rows, columns in _TABLES:
        reads = {"p": rng.uniform(0.01, 0.99, size=(rows, columns))} | _labels(kernel, rng, rows, columns)

        def expected(p, labels):
            return {"loss": getattr(reference, kernel)(p, labels)}

        yield Example(reads, expected, {"rows": rows, "columns": columns})


@_makes("log_loss_binary_backward", "log_loss_classes_backward")
def _log_loss_backward(kernel, rng):
    for rows, columns in _TABLES:
        reads = {"p": rng.uniform(0.01, 0.99, size=(rows, columns))} | _labels(kernel, rng, rows, columns)

        def expected(p, labels):
            return {"dp": getattr(reference, kernel)(p, labels, 0.3)}

        yield Example(reads, expected, {"rows": rows, "columns": columns}, {"scale": 0.3})


@_makes("log_loss_binary_with_logits", "log_loss_classes_with_logits", "squared_error")
def _loss_and_gradient(kernel, rng):
    written = ("loss", "da") if kernel == "squared_error" else ("loss", "a", "dz")
    read = "a" if kernel == "squared_error" else "z"
    for rows, columns in _TABLES:
        for weighted in (False, True):
            for wanted in (written, ("loss",), written[-1:]):
                weight = rng.random(rows) if weighted else None
                reads = {read: 2 * rng.normal(size=(rows, columns))}
                reads |= _labels(kernel, rng, rows, columns) | {"weight": weight}

                def expected(predicted, labels, weight, wanted=wanted):
                    results = getattr(reference, kernel)(predicted, labels, weight, 0.3)
                    named = dict(zip(written, results, strict=True))
                    return {name: named[name] if name in wanted else None for name in written}

                yield Example(reads, expected, {"rows": rows, "columns": columns}, {"scale": 0.3})


# --- convolution and pooling -----------------------------------------------------------------------

# n, c, h, w, filters, r, s, stride, padding (top, left; bottom, right the same), dilation, groups
_CONVOLUTIONS = (
    (2, 3, 7, 6, 5, 3, 2, (1, 1), (0, 0), (1, 1), 1),
    (3, 4, 8, 9, 6, 3, 3, (2, 1), (1, 2), (1, 2), 2),
    (1, 1, 28, 28, 6, 5, 5, (1, 1), (0, 0), (1, 1), 1),
    (2, 18, 6, 19, 17, 3, 3, (1, 1), (1, 1), (1, 1), 1),
    (2, 6, 6, 6, 6, 3, 3, (1, 1), (1, 1), (1, 1), 6),
    (3, 20, 5, 5, 20, 3, 3, (1, 1), (1, 1), (1, 1), 1),
    (3, 4, 6, 6, 20, 5, 5, (1, 1), (0, 0), (1, 1), 1),
    (2, 6, 18, 19, 5, 5, 5, (1, 1), (2, 2), (1, 1), 1),
    (0, 2, 4, 4, 3, 2, 2, (1, 1), (0, 0), (1, 1), 1),
    (35, 2, 9, 6, 5, 4, 3, (1, 1), (1, 2), (2, 2), 1),  # more images than a vector has lanes
    (17, 6, 12, 12, 16, 5, 5, (1, 1), (0, 0), (1, 1), 1),
    (16, 1, 9, 11, 3, 5, 5, (1, 1), (3, 0), (1, 1), 1),
)


@_makes("conv2d", "conv2d_naive", "conv2d_naive_backward", "conv2d_backward_input", "conv2d_backward_weight")
def _convolution(kernel, rng):
    for n, c, h, w, filters, r, s, stride, padding, dilation, groups in _CONVOLUTIONS:
        plain = {
            "stride": stride,
            "padding": tuple((each, each) for each in padding),
            "dilation": dilation,
            "groups": groups,
        }
        x, bias = rng.normal(size=(n, c, h, w)), rng.normal(size=filters)
        weight = rng.normal(size=(filters, c // groups, r, s))
        y_shape = reference.conv2d(x, weight, bias, **plain).shape
        sizes = {"n": n, "c": c, "h": h, "w": w, "filters": filters, "r": r, "s": s}
        sizes |= dict(zip(("stride_h", "stride_w"), stride, strict=True))
        sizes |= dict(zip(("pad_top", "pad_left"), padding, strict=True))
        sizes |= dict(zip(("dilation_h", "dilation_w"), dilation, strict=True))
        sizes |= {"groups": groups, "out_h": y_shape[2], "out_w": y_shape[3]}
        dy = rng.normal(size=y_shape)

        def forward(x, weight, bias, plain=plain, relu=False):
            y = reference.conv2d(x, weight, bias, **plain)
            return {"y": reference.relu(y) if relu else y}

        def gradients(dy, x, weight, plain=plain):
            results = reference.conv2d_backward(dy, x, weight, **plain)
            return dict(zip(("dx", "dweight", "dbias"), results, strict=True))

        def by_input(dy, weight, mask, x=x, gradients=gradients):
            dx = gradients(dy, x, weight)["dx"]
            return {"dx": dx if mask is None else reference.relu_backward(dx, mask)}

        def by_weight(x, dy, weight=weight, gradients=gradients, biased=True):
            results = gradients(dy, x, weight)
            return {"dweight": results["dweight"], "dbias": results["dbias"] if biased else None}

        def with_relu(*operands, forward=forward):
            return forward(*operands, relu=True)

        def without_bias(*operands, by_weight=by_weight):
            return by_weight(*operands, biased=False)

        match kernel:
            case "conv2d_naive":
                yield Example({"x": x, "weight": weight, "bias": bias}, forward, sizes)
                yield Example({"x": x, "weight": weight, "bias": None}, forward, sizes)
            case "conv2d":
                yield Example({"x": x, "weight": weight, "bias": bias}, forward, sizes | {"relu": 0})
                yield Example({"x": x, "weight": weight, "bias": None}, with_relu, sizes | {"relu": 1})
            case "conv2d_naive_backward":
                yield Example({"dy": dy, "x": x, "weight": weight}, gradients, sizes)
            case "conv2d_backward_input":
                mask = np.maximum(rng.normal(size=x.shape), 0)
                yield Example({"dy": dy, "weight": weight, "mask": None}, by_input, sizes)
                yield Example({"dy": dy, "weight": weight, "mask": mask}, by_input, sizes)
            case "conv2d_backward_weight":
                yield Example({"x": x, "dy": dy}, by_weight, sizes)
                yield Example({"x": x, "dy": dy}, without_bias, sizes)


# n, c, h, w, filters, r, s, padding (top, left), dilation, pool
_POOLED_CONVOLUTIONS = (
    (32, 2, 9, 8, 5, 3, 2, (0, 0), (1, 1), 2),
    (16, 6, 12, 12, 16, 5, 5, (0, 0), (1, 1), 2),
    (35, 1, 10, 11, 3, 4, 3, (2, 1), (1, 2), 2),
    (16, 17, 7, 8, 9, 3, 3, (1, 1), (1, 1), 3),
    (16, 40, 9, 40, 33, 2, 6, (0, 3), (2, 1), 2),  # in strips of rows
    (0, 2, 4, 4, 3, 2, 2, (0, 0), (1, 1), 2),
)


def _in_blocks(a):
    """(n, …) as (n / 16 rounded up, …, 16), zeros in place of images that aren't there."""
    missing = np.zeros((-len(a) % 16, *a.shape[1:]))
    blocks = (len(a) + 15) // 16
    return np.moveaxis(np.concatenate([a, missing]).reshape(blocks, 16, *a.shape[1:]), 1, -1)


def _out_of_blocks(blocks, n):
    return np.moveaxis(blocks, -1, 1).reshape(16 * len(blocks), *blocks.shape[1:-1])[:n]


def _kept(a, in_blocks):
    """(n, c, h, w) or, in blocks, (n / 16 rounded up, c, h w + 1, 16), the last pixel unused: 7."""
    if not in_blocks:
        return a
    pixels = a.reshape(*a.shape[:2], a.shape[2] * a.shape[3])
    return _in_blocks(np.concatenate([pixels, np.full((*a.shape[:2], 1), 7.0)], axis=2))


def _taken(kept, shape, in_blocks):
    """The same, back: an array of this shape."""
    return _out_of_blocks(kept, shape[0])[:, :, :-1].reshape(shape) if in_blocks else kept


def _unused(shape, in_blocks):
    """The pixels that `_kept` adds."""
    unused = np.zeros(shape, bool)
    if in_blocks:
        unused[:, :, -1] = True
    return unused


def _places(a, pool, relu):
    """Where in its window each maximum is, image by image: 255 where a ReLU has made it 0."""
    n, c, h, w = a.shape
    rows, columns = h // pool, w // pool
    windows = a[:, :, : rows * pool, : columns * pool].reshape(n, c, rows, pool, columns, pool)
    windows = windows.swapaxes(3, 4).reshape(n, c, rows, columns, pool * pool)
    return np.where(relu & (windows.max(axis=-1) <= 0), 255, windows.argmax(axis=-1))


@_makes("conv2d_max_pool2d", "conv2d_max_pool2d_backward_input", "conv2d_max_pool2d_backward_weight")
def _pooled_convolution(kernel, rng):
    for number, (n, c, h, w, filters, r, s, padding, dilation, pool) in enumerate(_POOLED_CONVOLUTIONS):
        x, bias = rng.normal(size=(n, c, h, w)), rng.normal(size=filters)
        weight = rng.normal(size=(filters, c, r, s))
        plain = {"padding": tuple((each, each) for each in padding), "dilation": dilation}
        plain |= {"stride": (1, 1), "groups": 1}
        z = reference.conv2d(x, weight, bias, **plain)
        windows = ((pool, pool), (pool, pool), (0, 0))
        dy = rng.normal(size=reference.avg_pool2d(z, *windows).shape)
        sizes = {
            "n": n,
            "c": c,
            "h": h,
            "w": w,
            "filters": filters,
            "r": r,
            "s": s,
            "groups": 1,
            "pool": pool,
        }
        sizes |= {"stride_h": 1, "stride_w": 1, "dilation_h": dilation[0], "dilation_w": dilation[1]}
        sizes |= {"pad_top": padding[0], "pad_left": padding[1], "out_h": z.shape[2], "out_w": z.shape[3]}
        for relu, x_blocks, y_blocks in ((0, 0, 0), (1, 0, 0), (1, number % 2, 1), (0, 1, 1)):

            def activated(z, relu=relu):
                return reference.relu(z) if relu else z

            def forward(
                x,
                weight,
                bias,
                placed=True,
                activated=activated,
                plain=plain,
                windows=windows,
                shape=x.shape,
                relu=relu,
                x_blocks=x_blocks,
                y_blocks=y_blocks,
            ):
                a = activated(reference.conv2d(_taken(x, shape, x_blocks), weight, bias, **plain))
                places = _in_blocks(_places(a, windows[0][0], relu)) if placed else None
                return {"y": _kept(reference.max_pool2d(a, *windows), y_blocks), "place": places}

            def gradients(dy, x, weight, z=z, plain=plain, windows=windows, relu=relu, activated=activated):
                """Of the places of z: rounding may not move them."""
                dz = reference.max_pool2d_backward(dy, activated(z), *windows)
                dz = reference.relu_backward(dz, activated(z)) if relu else dz
                return reference.conv2d_backward(dz, x, weight, **plain)

            flags = {"x_blocks": x_blocks, "y_blocks": y_blocks}
            place = _in_blocks(_places(activated(z), pool, relu))
            kept_x, kept_dy = _kept(x, x_blocks), _kept(dy, y_blocks)
            not_there = _in_blocks(np.ones(dy.shape)) == 0
            match kernel:
                case "conv2d_max_pool2d":
                    reads = {"x": kept_x, "weight": weight, "bias": None if relu else bias}
                    unused = {"y": _unused(kept_dy.shape, y_blocks), "place": not_there}
                    numbers = sizes | flags | {"relu": relu}
                    yield Example(reads, forward, numbers, unused=unused)
                    yield Example(reads, functools.partial(forward, placed=False), numbers, unused=unused)
                case "conv2d_max_pool2d_backward_input":
                    masks = [None] if x_blocks else [None, np.maximum(rng.normal(size=x.shape), 0)]
                    for mask in masks:

                        def by_input(
                            dy,
                            place,
                            weight,
                            mask,
                            x=x,
                            shape=dy.shape,
                            gradients=gradients,
                            x_blocks=x_blocks,
                            y_blocks=y_blocks,
                        ):
                            dx = gradients(_taken(dy, shape, y_blocks), x, weight)[0]
                            dx = dx if mask is None else reference.relu_backward(dx, mask)
                            return {"dx": _kept(dx, x_blocks)}

                        reads = {"dy": kept_dy, "place": place, "weight": weight, "mask": mask}
                        unused = {"dx": _unused(kept_x.shape, x_blocks)}
                        yield Example(reads, by_input, sizes | flags, unused=unused)
                case "conv2d_max_pool2d_backward_weight":

                    def by_weight(
                        x,
                        dy,
                        place,
                        shape=x.shape,
                        dy_shape=dy.shape,
                        weight=weight,
                        gradients=gradients,
                        relu=relu,
                        x_blocks=x_blocks,
                        y_blocks=y_blocks,
                    ):
                        x, dy = _taken(x, shape, x_blocks), _taken(dy, dy_shape, y_blocks)
                        _, dweight, dbias = gradients(dy, x, weight)
                        return {"dweight": dweight, "dbias": None if relu else dbias}

                    yield Example({"x": kept_x, "dy": kept_dy, "place": place}, by_weight, sizes | flags)


# n, c, h, w, kernel, stride, padding
_POOLS = (
    (2, 3, 6, 8, (2, 2), (2, 2), (0, 0)),
    (1, 5, 7, 9, (3, 2), (2, 1), (1, 1)),
    (4, 16, 4, 5, (2, 2), (2, 2), (0, 0)),
    (0, 2, 4, 4, (2, 2), (2, 2), (0, 0)),
)


@_makes("max_pool2d", "max_pool2d_backward", "avg_pool2d", "avg_pool2d_backward")
def _pooling(kernel, rng):
    for n, c, h, w, *plain in _POOLS:
        x = rng.normal(size=(n, c, h, w))
        y_shape = reference.avg_pool2d(x, *plain).shape
        names = ("r", "s", "stride_h", "stride_w", "pad_top", "pad_left", "out_h", "out_w")
        numbers = (*plain[0], *plain[1], *plain[2], *y_shape[2:])
        sizes = {"planes": n * c, "h": h, "w": w} | dict(zip(names, numbers, strict=True))
        pool = getattr(reference, kernel)

        def forward(x, plain=plain, pool=pool):
            return {"y": pool(x, *plain)}

        def backward(dy, x=x, plain=plain, pool=pool):
            return {"dx": pool(dy, x, *plain)}

        def with_relu(dy, x, backward=backward):
            return {"dx": reference.relu_backward(backward(dy, x)["dx"], x)}

        reads = {"dy": rng.normal(size=y_shape), "x": x}
        if kernel == "avg_pool2d_backward":
            del reads["x"]
        if kernel == "max_pool2d_backward":
            yield Example(reads, backward, sizes | {"relu": 0})
            yield Example(reads | {"x": reference.relu(x)}, with_relu, sizes | {"relu": 1})
        elif kernel.endswith("_backward"):
            yield Example(reads, backward, sizes)
        else:
            yield Example({"x": x}, forward, sizes)


# --- normalization -----------------------------------------------------------------------------------

_NORMALIZED = ((32, 5, 1), (7, 3, 10), (4, 17, 1), (2, 1, 1), (3, 2, 300))  # rows, channels, inner


@_makes("batch_norm", "batch_norm_backward", "batch_norm_inference")
def _batch_norm(kernel, rng):
    for shape in _NORMALIZED:
        x, dy = 2 + rng.normal(size=shape), rng.normal(size=shape)
        gamma, beta, running_mean = rng.normal(size=(3, shape[1]))
        running_var = rng.uniform(0.5, 2, size=shape[1])
        affine, running = (
            {"gamma": gamma, "beta": beta},
            {"running_mean": running_mean, "running_var": running_var},
        )
        sizes = dict(zip(("rows", "channels", "inner"), shape, strict=True))
        eps, momentum = 1e-3, 0.1

        def training(*operands):
            names = ("y", "mean", "inv_std", "running_mean", "running_var")
            return dict(zip(names, reference.batch_norm(*operands, 1e-3, 0.1), strict=True))

        def backward(*operands):
            return dict(zip(("dx", "dgamma", "dbeta"), reference.batch_norm_backward(*operands), strict=True))

        def inference(*operands):
            return {"y": reference.batch_norm_inference(*operands, 1e-3)}

        match kernel:
            case "batch_norm":
                scalars = {"eps": eps, "momentum": momentum}
                yield Example({"x": x} | affine, training, sizes, scalars, running)
            case "batch_norm_backward":
                statistics = {"mean": x.mean(axis=(0, 2)), "inv_std": 1 / np.sqrt(x.var(axis=(0, 2)) + eps)}
                yield Example({"dy": dy, "x": x, "gamma": gamma} | statistics, backward, sizes)
            case "batch_norm_inference":
                yield Example({"x": x} | affine | running, inference, sizes, {"eps": eps})


@_makes("fold_batch_norm")
def _fold_batch_norm(kernel, rng):
    for channels, inner in ((1, 1), (5, 9), (17, 25), (40, 3)):
        names = ("bias", "gamma", "beta", "running_mean", "running_var")
        reads = {"weight": rng.normal(size=(channels, inner))} | {n: rng.normal(size=channels) for n in names}
        reads["running_var"] = rng.uniform(0.5, 2, size=channels)

        def expected(*operands):
            results = reference.fold_batch_norm(*operands, 1e-3)
            return dict(zip(("folded_weight", "folded_bias"), results, strict=True))

        yield Example(reads, expected, {"channels": channels, "inner": inner}, {"eps": 1e-3})


# --- optimizers ------------------------------------------------------------------------------------


@_makes("sgd")
def _sgd(kernel, rng):
    for size in _VECTORS:
        for momentum, nesterov, weight_decay in ((0.0, 0, 0.0), (0.9, 0, 0.0), (0.9, 1, 0.1), (0.0, 0, 0.1)):
            velocity = rng.normal(size=size) if momentum else None

            def expected(
                gradient, step, theta, velocity, momentum=momentum, nesterov=nesterov, decay=weight_decay
            ):
                before = np.zeros_like(theta) if velocity is None else velocity
                theta, after = reference.sgd(gradient, theta, before, step[0], momentum, decay, nesterov)
                return {"theta": theta, "velocity": None if velocity is None else after}

            yield Example(
                {"gradient": rng.normal(size=size), "step": np.array([0.1, 3])},
                expected,
                {"size": size, "nesterov": nesterov},
                {"momentum": momentum, "weight_decay": weight_decay},
                {"theta": rng.normal(size=size), "velocity": velocity},
            )


@_makes("adam")
def _adam(kernel, rng):
    for size in _VECTORS:
        for t, decoupled, weight_decay in ((1, 0, 0.0), (7, 0, 0.1), (7, 1, 0.1), (100_000, 0, 0.0)):
            scalars = {"beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": weight_decay}

            def expected(gradient, step, *state, scalars=scalars, decoupled=decoupled):
                results = reference.adam(gradient, *state, *step, **scalars, decoupled=decoupled)
                return dict(zip(("theta", "m", "v"), results, strict=True))

            state = {"theta": rng.normal(size=size), "m": rng.normal(size=size), "v": rng.random(size)}
            yield Example(
                {"gradient": rng.normal(size=size), "step": np.array([0.1, t])},
                expected,
                {"size": size, "decoupled": decoupled},
                scalars,
                state,
            )
