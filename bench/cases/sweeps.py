"""How cost grows with the batch, the width, the depth and the image; and a hyper-parameter search."""

from __future__ import annotations

from bench.case import Case, Sweep
from bench.problems.inference import Inference
from bench.problems.networks import cnn_32_64, dense
from bench.problems.training import Search, Training

_BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
_WIDTHS = (16, 32, 64, 128, 256, 512, 1024)
_DEPTHS = (1, 2, 4, 8, 16)
_SIDES = (8, 12, 16, 24, 32, 48)


def _batches(batch: int) -> int:
    """Some thousand rows in all, and no fewer than ten batches."""
    return max(10, min(500, 4096 // batch))


def _point(name: str, axis: str, value: int, problem: Training | Inference) -> Case:
    return Case(f"growth/{name}/{value}", problem, sweep=Sweep(name, axis, value))


CASES: tuple[Case, ...] = (
    *(
        _point(
            "training-over-batch",
            "batch size",
            size,
            Training(dense(64, 32, 32, 10), size, "adam", _batches(size)),
        )
        for size in _BATCH_SIZES
    ),
    *(
        _point("training-over-width", "width", width, Training(dense(64, width, width, 10), 64, "adam", 20))
        for width in _WIDTHS
    ),
    *(
        _point(
            "training-over-depth",
            "hidden layers",
            depth,
            Training(dense(64, *[64] * depth, 10), 64, "adam", 20),
        )
        for depth in _DEPTHS
    ),
    *(
        _point("training-over-image", "side", side, Training(cnn_32_64(side), 32, "adam", 10))
        for side in _SIDES
    ),
    *(
        _point("inference-over-batch", "batch size", size, Inference(dense(64, 32, 32, 10), size))
        for size in _BATCH_SIZES
    ),
    Case("search/100-networks", Search(dense(30, 16, 8, 1), rows=569, batch=32, epochs=10)),
)
