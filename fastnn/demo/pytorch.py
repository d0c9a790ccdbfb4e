"""The demo's training, the same in PyTorch: layers, first weights, optimizer, batches, epochs, threads."""

from __future__ import annotations

from time import perf_counter

import torch
from torch import nn

from fastnn.backend import get_num_threads
from fastnn.datasets import Dataset
from fastnn.demo.cases import Case
from fastnn.layers import Conv2D, Dense, Flatten, Layer, MaxPool2D, ReLU
from fastnn.network import Network
from fastnn.optimizers import SGD, Adam, AdamW, Optimizer


def train_in_pytorch(case: Case, data: Dataset, untrained: Network) -> tuple[float, float]:
    """Train from the weights of `untrained`, plainly and eagerly: the seconds it took, and the accuracy."""
    torch.set_num_threads(get_num_threads())
    binary = len(data.classes) == 2
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    if binary:
        y = y.to(x.dtype)[:, None]
    log_loss = nn.functional.binary_cross_entropy_with_logits if binary else nn.functional.cross_entropy

    def train(model: nn.Module, epochs: int, rows: int) -> float:
        optimizer = _optimizer(case.optimizer, model)
        rates = iter(case.optimizer.rates(0, epochs * -(-rows // case.batch_size)))
        start = perf_counter()
        for _ in range(epochs):
            for batch in torch.randperm(rows).split(case.batch_size):
                optimizer.param_groups[0]["lr"] = next(rates)
                optimizer.zero_grad()
                log_loss(model(x[batch]), y[batch]).backward()
                optimizer.step()
        return perf_counter() - start

    train(_model(untrained), epochs=1, rows=case.batch_size)  # the first step loads and sets up a good deal
    model = _model(untrained)
    seconds = train(model, case.epochs, len(x))
    with torch.inference_mode():
        logits = model(torch.from_numpy(data.x_test))
    predicted = logits[:, 0] > 0 if binary else logits.argmax(1)
    return seconds, float((predicted.numpy() == data.y_test).mean())


def _model(net: Network) -> nn.Module:
    """The network's layers without the last activation, which belongs to the loss here, and its weights."""
    modules = []
    shape = net.input_shape
    for layer in net.layers[:-1]:
        modules.append(_module(layer, shape[0]))
        shape = layer.output_shape(shape)
    parameters = list(net.parameters.values())
    with torch.no_grad():
        for theirs, ours in zip(nn.ModuleList(modules).parameters(), parameters, strict=True):
            theirs.copy_(torch.tensor(ours.T if ours.ndim == 2 else ours))
    return nn.Sequential(*modules)


def _module(layer: Layer, channels: int) -> nn.Module:
    match layer:
        case Dense(units):
            return nn.Linear(channels, units)
        case Conv2D(filters, kernel_size, stride, padding, dilation, groups):
            return nn.Conv2d(channels, filters, kernel_size, stride, padding, dilation, groups)
        case MaxPool2D(size, stride, padding):
            return nn.MaxPool2d(size, stride, padding)
        case Flatten():
            return nn.Flatten()
        case ReLU():
            return nn.ReLU()
    raise NotImplementedError(f"the demo's comparison has no {layer!r}")


def _optimizer(optimizer: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """The same in PyTorch; the rate is set before every step."""
    match optimizer:
        case SGD(_, momentum, nesterov, weight_decay):
            options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
            return torch.optim.SGD(model.parameters(), **options)
        case Adam(_, beta1, beta2, eps, weight_decay):
            kind = torch.optim.AdamW if isinstance(optimizer, AdamW) else torch.optim.Adam
            return kind(model.parameters(), betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)
    raise NotImplementedError(f"the demo's comparison has no {optimizer!r}")
