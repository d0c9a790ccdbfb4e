"""The gradients of whole networks: every layer, loss and option, by fourth-order differences in float64."""

import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from differences import numerical_gradient
from networks import EVERY_KIND

pytestmark = pytest.mark.usefixtures("backend")

ROWS = 7
every_kind = pytest.mark.parametrize("case", EVERY_KIND.values(), ids=EVERY_KIND)


def prepared(case, rng, dtype="float64"):
    """The network, its parameters moved from where they start (biases at 0), and data with weights."""
    network = case.network(dtype)
    network.theta[...] += 0.2 * np.random.default_rng(1).normal(size=network.theta.shape)
    return network, *case.data(rng, ROWS, network.output_shape), rng.uniform(0.2, 2, size=ROWS)


def in_one_vector(network, gradients):
    """In theta's order; one vector, as the gradient of a bias before a batch norm is nothing but rounding."""
    assert list(gradients) == list(network.parameters)
    return np.concatenate([gradient.ravel() for gradient in gradients.values()])


@every_kind
@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
def test_gradients_are_the_differences(rng, case, weighted):
    network, x, y, weight = prepared(case, rng)
    weight = weight if weighted else None
    gradients = network.gradients(x, y, sample_weight=weight)
    # A small step, so that no ReLU and no maximum changes sides.
    expected = numerical_gradient(lambda: network.loss(x, y, sample_weight=weight), network.theta, step=1e-5)
    assert_close(in_one_vector(network, gradients), expected, 1e-7)


@every_kind
def test_float32_gradients_are_float64s(rng, case):
    network, x, y, weight = prepared(case, rng)
    single, *_ = prepared(case, rng, "float32")
    gradients = single.gradients(x, y, sample_weight=weight)
    assert {gradient.dtype for gradient in gradients.values()} == {np.dtype(np.float32)}
    expected = in_one_vector(network, network.gradients(x, y, sample_weight=weight))
    assert_close(in_one_vector(single, gradients), expected, 1e-4)
    assert single.loss(x, y) == pytest.approx(network.loss(x, y), rel=1e-5)


@every_kind
def test_loss_and_gradients_change_nothing(rng, dtype, case):
    network, x, y, weight = prepared(case, rng, dtype)
    state = network.theta.copy(), {name: value.copy() for name, value in network.statistics.items()}
    first = network.gradients(x, y, sample_weight=weight)
    loss = network.loss(x, y, sample_weight=weight)
    network.trace(x, y)
    assert network.loss(x, y, sample_weight=weight) == loss
    for name, gradient in network.gradients(x, y, sample_weight=weight).items():
        assert_same_bits(gradient, first[name], f"d{name} of the second call")
    assert_same_bits(network.theta, state[0])
    for name, value in network.statistics.items():
        assert_same_bits(value, state[1][name], name)


@every_kind
def test_the_trace_has_the_gradients(rng, dtype, case):
    """Also where the program of `gradients` is fused, and the trace's isn't."""
    network, x, y, _ = prepared(case, rng, dtype)
    trace = network.trace(x, y)
    for name, gradient in network.gradients(x, y).items():
        assert_same_bits(gradient, trace[f"d{name}"], f"d{name}")
    assert trace["L"].shape == (ROWS,)
    assert trace["L"].mean(dtype=np.float64) == pytest.approx(network.loss(x, y), rel=1e-6)
