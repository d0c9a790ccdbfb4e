"""How cost grows with the batch, the width, the depth and the image; and a hyper-parameter search."""

from __future__ import annotations

from bench.case import Case, Sweep
from bench.problems.inference import Inference
from bench.problems.networks import Network, cnn_32_64, dense
from bench.problems.problem import Problem
from bench.problems.training import Search, Training

_BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
_WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
_DEPTHS = (1, 2, 4, 8, 16)
_SIDES = (8, 12, 16, 24, 32, 48)


def _batches(batch: int) -> int:
    """Some thousand rows in all, and no fewer than ten batches."""
    return max(10, min(500, 4096 // batch))


def _training(network: Network, batch: int, batches: int) -> Training:
    return Training(network, batch, "adam", batches)


# sweep's name → what varies, and the problem at each of its values
_SWEEPS: dict[str, tuple[str, dict[int, Problem]]] = {
    "training-over-batch": (
        "batch size",
        {size: _training(dense(64, 32, 32, 10), size, _batches(size)) for size in _BATCH_SIZES},
    ),
    "training-over-width": (
        "width",
        {width: _training(dense(64, width, width, 10), 64, 20) for width in _WIDTHS},
    ),
    "training-over-depth": (
        "number of hidden layers",
        {depth: _training(dense(64, *[64] * depth, 10), 64, 20) for depth in _DEPTHS},
    ),
    "training-over-image": (
        "side of the image",
        {side: _training(cnn_32_64(side), 32, 10) for side in _SIDES},
    ),
    "inference-over-batch": (
        "batch size",
        {size: Inference(dense(64, 32, 32, 10), size) for size in _BATCH_SIZES},
    ),
}

CASES: tuple[Case, ...] = (
    *(
        Case(f"growth/{name}/{value}", problem, sweep=Sweep(name, axis, value))
        for name, (axis, problems) in _SWEEPS.items()
        for value, problem in problems.items()
    ),
    Case("search/100-networks", Search(dense(30, 16, 8, 1), rows=569, batch=32, epochs=10)),
)
