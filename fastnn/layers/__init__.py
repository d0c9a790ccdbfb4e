"""The layers, one family a file. `LAYERS` finds a layer's class by name."""

from fastnn.layers.activations import ReLU, Sigmoid, Softmax, Tanh
from fastnn.layers.base import Layer
from fastnn.layers.convolution import Conv2D
from fastnn.layers.dense import Dense, Flatten
from fastnn.layers.dropout import Dropout
from fastnn.layers.normalization import BatchNorm
from fastnn.layers.pooling import AvgPool2D, GlobalAvgPool2D, MaxPool2D

LAYERS: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        *(Dense, Conv2D, MaxPool2D, AvgPool2D, GlobalAvgPool2D, Flatten),
        *(ReLU, Sigmoid, Tanh, Softmax, Dropout, BatchNorm),
    )
}

__all__ = [
    "LAYERS",
    "AvgPool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAvgPool2D",
    "Layer",
    "MaxPool2D",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
