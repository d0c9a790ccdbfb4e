"""Prediction from Python: one row, as a service gets it, and batches."""

from __future__ import annotations

from bench.case import Case
from bench.problems.inference import Inference
from bench.problems.networks import LENET_5, Network, cnn_32_64, dense

_PREDICTED: tuple[tuple[Network, int], ...] = (
    (dense(30, 16, 8, 1), 1),
    (dense(30, 16, 8, 1), 32),
    (dense(64, 32, 32, 10), 1),
    (dense(64, 32, 32, 10), 64),
    (dense(784, 128, 64, 10), 1),
    (dense(784, 128, 64, 10), 128),
    (dense(784, 512, 512, 10), 1),
    (dense(784, 512, 512, 10), 256),
    (LENET_5, 1),
    (LENET_5, 64),
    (cnn_32_64(), 1),
    (cnn_32_64(), 64),
)

CASES: tuple[Case, ...] = (
    *(
        Case(f"inference/{network.name}/B={batch}", Inference(network, batch), quick=True)
        for network, batch in _PREDICTED
    ),
    *(
        Case(f"inference/{network.name}/B={batch}/out", Inference(network, batch, into=True), quick=True)
        for network, batch in _PREDICTED
        if batch == 1
    ),
)
