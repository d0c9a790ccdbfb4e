"""The demo's training, the same in PyTorch: layers, first weights, optimizer, batches, epochs, threads."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import Tensor, nn

from fastnn.datasets import Dataset
from fastnn.demo.cases import Case
from fastnn.layers import Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam, AdamW, Optimizer


def train_in_pytorch(case: Case, data: Dataset, untrained: Network, threads: int) -> tuple[float, float]:
    """Train from the weights of `untrained`, plainly and eagerly; the seconds it took, and the accuracy."""
    torch.set_num_threads(threads)
    model = _model(untrained)
    optimizer = _optimizer(case.optimizer, model)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    binary = len(data.classes) == 2
    loss_function = _binary_log_loss if binary else nn.functional.cross_entropy
    _warm_up(case, untrained, x)
    start = perf_counter()
    for _ in range(case.epochs):
        for rows in torch.randperm(len(x)).split(case.batch_size):
            optimizer.zero_grad()
            loss_function(model(x[rows]), y[rows]).backward()
            optimizer.step()
    seconds = perf_counter() - start
    with torch.inference_mode():
        logits = model(torch.from_numpy(data.x_test))
    classes = logits[:, 0] > 0 if binary else logits.argmax(1)
    return seconds, float((classes.numpy() == data.y_test).mean())
