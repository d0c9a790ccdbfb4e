"""fastnn: small dense and convolutional networks, trained and served on a CPU at the hardware's speed."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

from fastnn import functional
from fastnn.backend import (
    get_backend,
    get_num_threads,
    info,
    set_backend,
    set_num_threads,
    use_backend,
)
from fastnn.callbacks import Callback, EarlyStopping
from fastnn.layers import (
    AvgPool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    MaxPool2D,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam, AdamW
from fastnn.schedules import Cosine, StepDecay, WarmUp
from fastnn.serialization import load

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AvgPool2D",
    "BatchNorm",
    "Callback",
    "Conv2D",
    "Cosine",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAvgPool2D",
    "MaxPool2D",
    "Network",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "StepDecay",
    "Tanh",
    "WarmUp",
    "__version__",
    "datasets",
    "functional",
    "get_backend",
    "get_num_threads",
    "info",
    "load",
    "plot",
    "set_backend",
    "set_num_threads",
    "use_backend",
]

# Imported on first use: they bring matplotlib and scikit-learn. Without scikit-learn there are no estimators:
# they aren't in __all__.
_LAZY = ("datasets", "estimators", "plot")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"fastnn.{name}")
    raise AttributeError(f"module 'fastnn' has no attribute {name!r}")
