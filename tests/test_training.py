"""Training steps against the reference: the three networks with every optimizer."""

import numpy as np
import pytest
import reference
from compare import assert_close
from networks import BINARY_MLP, CNN, SOFTMAX_MLP

import fastnn as fn

pytestmark = pytest.mark.usefixtures("backend")

STEPS, BATCH = 12, 16

NETWORKS = {
    "binary MLP": (BINARY_MLP, reference.binary_mlp),
    "softmax MLP": (SOFTMAX_MLP, reference.softmax_mlp),
    "CNN": (CNN, reference.cnn),
}
OPTIMIZERS = {
    "SGD": fn.SGD(0.1),
    "SGD with weight decay": fn.SGD(0.1, weight_decay=0.01),
    "momentum": fn.SGD(0.05, momentum=0.9, weight_decay=0.01),
    "Nesterov": fn.SGD(0.05, momentum=0.9, nesterov=True),
    "Adam": fn.Adam(0.01),
    "Adam with weight decay": fn.Adam(0.01, beta1=0.8, beta2=0.99, eps=1e-6, weight_decay=0.1),
    "AdamW": fn.AdamW(0.01, weight_decay=0.1),
    "SGD with an L2 penalty": fn.SGD(0.05, momentum=0.9, nesterov=True, l2=2.0),
    "Adam with both": fn.Adam(0.01, weight_decay=0.1, l2=2.0),
    "a schedule": fn.SGD(lambda step: 0.1 / (1 + step)),
}


def reference_steps(optimizer, weights, loss_and_gradients, batches):
    """The loss of every step, before its update; `weights` end as the last step leaves them."""
    state = {name: [np.zeros_like(w), np.zeros_like(w)] for name, w in weights.items()}
    losses = []
    for step, (x, y) in enumerate(batches):
        loss, gradients = loss_and_gradients(weights, x, y)
        for name in weights:
            if name.startswith("W"):
                loss += optimizer.l2 / 2 * np.sum(weights[name] ** 2) / len(x)
                gradients[name] = gradients[name] + optimizer.l2 * weights[name] / len(x)
        losses.append(loss)
        lr = optimizer.lr(step) if callable(optimizer.lr) else optimizer.lr
        for name, gradient in gradients.items():
            if isinstance(optimizer, fn.SGD):
                settings = optimizer.momentum, optimizer.weight_decay, optimizer.nesterov
                weights[name], *state[name][:1] = reference.sgd(
                    gradient, weights[name], state[name][0], lr, *settings
                )
            else:
                settings = optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.weight_decay
                decoupled = isinstance(optimizer, fn.AdamW)
                weights[name], *state[name] = reference.adam(
                    gradient, weights[name], *state[name], lr, step + 1, *settings, decoupled
                )
    return losses


@pytest.mark.parametrize(("case", "loss_and_gradients"), NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_steps_are_the_references(rng, dtype, case, loss_and_gradients, optimizer):
    """A batch an epoch, so that the history has the loss of every step; the last batches are shorter."""
    tolerance = 2e-4 if dtype == np.float32 else 1e-10
    network = case.network(dtype)
    weights = {name: value.astype(np.float64) for name, value in network.parameters.items()}
    batches = [
        case.data(rng, BATCH if step < STEPS - 2 else 5, network.output_shape) for step in range(STEPS)
    ]
    batches = [(x.astype(dtype), y) for x, y in batches]
    losses = []
    for x, y in batches:
        history = network.fit(x, y, epochs=1, batch_size=len(x), optimizer=optimizer, shuffle=False)
        losses += history.loss
    wide = [(x.astype(np.float64), y) for x, y in batches]
    expected = reference_steps(optimizer, weights, loss_and_gradients, wide)
    assert losses == pytest.approx(expected, rel=tolerance)
    assert network.step_number == STEPS
    for name, value in weights.items():
        assert_close(network.parameters[name], value, tolerance, name)


@pytest.mark.parametrize(("case", "loss_and_gradients"), NETWORKS.values(), ids=NETWORKS)
def test_an_epoch_is_its_batches(rng, dtype, case, loss_and_gradients):
    """One call over 4 batches and a shorter one does what five calls do."""
    rows = 4 * BATCH + 5
    whole, parts = case.network(dtype), case.network(dtype)
    x, y = case.data(rng, rows, whole.output_shape)
    history = whole.fit(x, y, epochs=1, batch_size=BATCH, optimizer=fn.Adam(0.01), shuffle=False)
    total = 0.0
    for start in range(0, rows, BATCH):
        batch_x, batch_y = x[start : start + BATCH], y[start : start + BATCH]
        steps = parts.fit(batch_x, batch_y, batch_size=len(batch_x), optimizer=fn.Adam(0.01), shuffle=False)
        total += steps.loss[0] * len(batch_x)
    assert history.loss == pytest.approx([total / rows], rel=1e-12)
    assert (whole.theta == parts.theta).all()
