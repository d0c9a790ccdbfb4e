"""100 steps as PyTorch does them: from equal weights and batches, its loss at every step."""

from functools import cache

import numpy as np
import pytest
from networks import BINARY_MLP, CNN, SOFTMAX_MLP

import fastnn as fn

torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, isn't installed")
torch.set_num_threads(1)  # its threads would wait for each other more than they compute
sklearn_datasets = pytest.importorskip(
    "sklearn.datasets", reason="scikit-learn, for its data, isn't installed"
)

pytestmark = pytest.mark.usefixtures("backend")

STEPS, BATCH, EPOCHS = 100, 32, 10
TOLERANCE = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-9}


def breast_cancer():
    x, y = sklearn_datasets.load_breast_cancer(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


def digits():
    x, y = sklearn_datasets.load_digits(return_X_y=True)
    return x / 16, y


def digit_images():
    x, y = digits()
    return x.reshape(-1, 1, 8, 8), y


NETWORKS = {
    "binary MLP": (BINARY_MLP, breast_cancer),
    "softmax MLP": (SOFTMAX_MLP, digits),
    "CNN": (CNN, digit_images),
}
OPTIMIZERS = {
    "SGD": (fn.SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (
        fn.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    ),
    "Adam": (fn.Adam(1e-3), lambda p: torch.optim.Adam(p, lr=1e-3)),
    "AdamW": (fn.AdamW(1e-3, weight_decay=0.1), lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.1)),
}


class LossOfEveryStep(fn.Callback):
    def __init__(self):
        self.losses = []

    def on_batch_end(self, network, step, logs):
        self.losses.append(logs["loss"])


def same_in_torch(network):
    """The network's layers up to its logits, with copies of its parameters."""
    parameters = iter(network.parameters.values())
    channels = network.input_shape[0]
    modules = []
    for layer in network.layers[:-1]:
        match layer:
            case fn.Dense():
                weight, bias = next(parameters), next(parameters)
                module = torch.nn.Linear(*weight.shape)
                weight = weight.T
            case fn.Conv2D():
                weight, bias = next(parameters), next(parameters)
                module = torch.nn.Conv2d(channels, layer.filters, layer.kernel_size, padding=layer.padding)
                channels = layer.filters
            case fn.ReLU():
                module = torch.nn.ReLU()
            case fn.MaxPool2D():
                module = torch.nn.MaxPool2d(layer.size)
            case fn.Flatten():
                module = torch.nn.Flatten()
            case _:
                raise NotImplementedError(repr(layer))
        if isinstance(layer, fn.Dense | fn.Conv2D):
            module.weight.data = torch.tensor(np.ascontiguousarray(weight))
            module.bias.data = torch.tensor(bias)
        modules.append(module)
    return torch.nn.Sequential(*modules)


@cache
def rows(network_name, dtype):
    """The rows of ten batches."""
    x, y = NETWORKS[network_name][1]()
    return np.ascontiguousarray(x[: STEPS * BATCH // EPOCHS], dtype), y[: STEPS * BATCH // EPOCHS]


@cache
def losses_in_torch(network_name, optimizer_name, dtype):
    """The loss of every step, before its update."""
    x, y = map(torch.tensor, rows(network_name, dtype))
    model = same_in_torch(NETWORKS[network_name][0].network(dtype))
    optimizer = OPTIMIZERS[optimizer_name][1](model.parameters())
    if network_name == "binary MLP":
        loss_function, y = torch.nn.BCEWithLogitsLoss(), y.reshape(-1, 1).to(x.dtype)
    else:
        loss_function = torch.nn.CrossEntropyLoss()
    losses = []
    for step in range(STEPS):
        start = step * BATCH % len(x)
        optimizer.zero_grad()
        loss = loss_function(model(x[start : start + BATCH]), y[start : start + BATCH])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("network_name", NETWORKS)
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_the_loss_of_every_step_is_pytorchs(dtype, network_name, optimizer_name):
    expected = losses_in_torch(network_name, optimizer_name, dtype)
    case, optimizer = NETWORKS[network_name][0], OPTIMIZERS[optimizer_name][0]
    x, y = rows(network_name, dtype)
    network = case.network(dtype)
    recorded = LossOfEveryStep()
    options = {"epochs": EPOCHS, "batch_size": BATCH, "optimizer": optimizer, "shuffle": False}
    network.fit(x, y, **options, callbacks=[recorded])
    assert len(recorded.losses) == STEPS
    assert recorded.losses == pytest.approx(expected, rel=TOLERANCE[dtype])
    assert expected[-1] < expected[0], "nothing was learned"

    whole = case.network(dtype)
    history = whole.fit(x, y, **options)
    by_epoch = np.reshape(expected, (EPOCHS, -1)).mean(axis=1)
    assert history.loss == pytest.approx(by_epoch, rel=TOLERANCE[dtype])
