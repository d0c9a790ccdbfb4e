"""Prediction from Python: one row, as a service gets it, and batches."""

from __future__ import annotations

from bench.case import Case
from bench.problems.inference import Inference
from bench.problems.networks import LENET_5, Network, cnn_32_64, dense

# network, batch, whether it belongs to the short run
_PREDICTED: tuple[tuple[Network, int, bool], ...] = (
    (dense(30, 16, 8, 1), 1, True),
    (dense(30, 16, 8, 1), 32, False),
    (dense(64, 32, 32, 10), 1, False),
    (dense(64, 32, 32, 10), 64, False),
    (dense(784, 128, 64, 10), 1, True),
    (dense(784, 128, 64, 10), 128, True),
    (dense(784, 512, 512, 10), 1, False),
    (dense(784, 512, 512, 10), 256, True),
    (LENET_5, 1, True),
    (LENET_5, 64, True),
    (cnn_32_64(), 1, True),
    (cnn_32_64(), 64, True),
)

CASES: tuple[Case, ...] = (
    *(
        Case(f"inference/{network.name}/B={batch}", Inference(network, batch), quick)
        for network, batch, quick in _PREDICTED
    ),
    *(
        Case(f"inference/{network.name}/B={batch}/out", Inference(network, batch, into=True), quick)
        for network, batch, quick in _PREDICTED
        if batch == 1
    ),
)
