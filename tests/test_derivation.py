"""The derivation, line by line in float64 NumPy: every tensor of both passes, by its name.

A network of two hidden layers: Z1 = X W1 + b1, A1 = ReLU(Z1), Z2 = A1 W2 + b2, A2 = ReLU(Z2),
Z3 = A2 W3 + b3; then A3 = σ(Z3) with the binary log loss, or A3 = softmax(Z3) with that over classes.
"""

import numpy as np
import pytest
from compare import assert_close, assert_identical

import fastnn as fn

pytestmark = pytest.mark.usefixtures("backend")

TOLERANCE = {np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-13}
ROWS = 20


def forward_to_z3(p, X):
    Z1 = X @ p["W1"] + p["b1"]
    A1 = np.maximum(Z1, 0)
    Z2 = A1 @ p["W2"] + p["b2"]
    A2 = np.maximum(Z2, 0)
    Z3 = A2 @ p["W3"] + p["b3"]
    return {"X": X, "Z1": Z1, "A1": A1, "Z2": Z2, "A2": A2, "Z3": Z3}


def backward_from_dz3(p, t, dZ3):
    dW3 = t["A2"].T @ dZ3
    db3 = dZ3.sum(axis=0)
    dA2 = dZ3 @ p["W3"].T
    dZ2 = dA2 * (t["Z2"] > 0)
    dW2 = t["A1"].T @ dZ2
    db2 = dZ2.sum(axis=0)
    dA1 = dZ2 @ p["W2"].T
    dZ1 = dA1 * (t["Z1"] > 0)
    dW1 = t["X"].T @ dZ1
    db1 = dZ1.sum(axis=0)
    return {
        **{"dZ3": dZ3, "dW3": dW3, "db3": db3},
        **{"dA2": dA2, "dZ2": dZ2, "dW2": dW2, "db2": db2},
        **{"dA1": dA1, "dZ1": dZ1, "dW1": dW1, "db1": db1},
    }


def binary_derivation(p, X, Y):
    n = len(X)
    tensors = forward_to_z3(p, X)
    A3 = 1 / (1 + np.exp(-tensors["Z3"]))
    L = -(Y * np.log(A3) + (1 - Y) * np.log(1 - A3))
    dA3 = (-Y / A3 + (1 - Y) / (1 - A3)) / n
    dZ3 = dA3 * A3 * (1 - A3)
    assert_close(dZ3, (A3 - Y) / n, 1e-12, "the derivation's own shortcut")
    return {**tensors, "A3": A3, "Y": Y, "L": L[:, 0], **backward_from_dz3(p, tensors, (A3 - Y) / n)}


def softmax_derivation(p, X, classes):
    n = len(X)
    tensors = forward_to_z3(p, X)
    E = np.exp(tensors["Z3"])
    A3 = E / E.sum(axis=1, keepdims=True)
    Y = np.zeros_like(A3)
    Y[np.arange(n), classes] = 1
    L = -(Y * np.log(A3)).sum(axis=1)
    return {**tensors, "A3": A3, "Y": classes, "L": L, **backward_from_dz3(p, tensors, (A3 - Y) / n)}


def binary_case(dtype):
    layers = [fn.Dense(16), fn.ReLU(), fn.Dense(8), fn.ReLU(), fn.Dense(1), fn.Sigmoid()]
    return fn.Network(layers, (30,), loss="log_loss", dtype=dtype, seed=0), binary_derivation


def softmax_case(dtype):
    layers = [fn.Dense(16), fn.ReLU(), fn.Dense(8), fn.ReLU(), fn.Dense(5), fn.Softmax()]
    return fn.Network(layers, (30,), loss="log_loss", dtype=dtype, seed=0), softmax_derivation


@pytest.fixture(params=[binary_case, softmax_case], ids=["binary", "softmax"])
def case(request, dtype, rng):
    """A network with biases that aren't 0, data, and the derivation's tensors for them."""
    network, derivation = request.param(dtype)
    network.theta[...] += 0.1 * rng.normal(size=network.theta.shape)
    X = rng.normal(size=(ROWS, 30)).astype(dtype)
    Y = rng.integers(0, 5, size=ROWS)
    if derivation is binary_derivation:
        Y = (Y % 2).reshape(ROWS, 1).astype(dtype)
    parameters = {name: value.astype(np.float64) for name, value in network.parameters.items()}

    def derive():
        return derivation(
            parameters, X.astype(np.float64), Y if Y.dtype == np.int64 else Y.astype(np.float64)
        )

    return network, X, Y, parameters, derive


def test_every_tensor_is_the_derivations(case, dtype):
    network, X, Y, _, derive = case
    expected = derive()
    trace = network.trace(X, Y)
    assert set(trace) == set(expected)
    for name, tensor in trace.items():
        assert_close(tensor, expected[name], TOLERANCE[dtype], name)


def test_gradients_and_loss(case, dtype):
    network, X, Y, parameters, derive = case
    expected = derive()
    assert network.loss(X, Y) == pytest.approx(expected["L"].mean(), rel=TOLERANCE[dtype])
    gradients = network.gradients(X, Y)
    assert set(gradients) == set(parameters)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[f"d{name}"], TOLERANCE[dtype], f"d{name}")


def test_a_step_of_gradient_descent(case, dtype):
    network, X, Y, parameters, derive = case
    lr = 0.5
    for _ in range(3):
        expected = derive()
        history = network.fit(X, Y, epochs=1, batch_size=ROWS, optimizer=fn.SGD(lr), shuffle=False)
        assert history.loss == pytest.approx([expected["L"].mean()], rel=10 * TOLERANCE[dtype])
        for name in parameters:
            parameters[name] -= lr * expected[f"d{name}"]
            assert_close(network.parameters[name], parameters[name], 10 * TOLERANCE[dtype], name)
    assert_close(network.predict(X), derive()["A3"], 10 * TOLERANCE[dtype])


def test_a_prediction_traces_its_forward_pass(case, dtype):
    network, X, *_, derive = case
    expected = derive()
    trace = network.trace(X)
    assert set(trace) == {"X", "Z1", "A1", "Z2", "A2", "Z3", "A3"}
    for name, tensor in trace.items():
        assert_close(tensor, expected[name], TOLERANCE[dtype], name)
    assert_close(network.predict(X), expected["A3"], TOLERANCE[dtype])


def test_the_listing_has_the_derivations_names(case):
    """In the training step's list of ops dA1, dA2, Z1 and Z2 are fused away; each other name is there."""
    network, *_, derive = case
    listing = network.program(ROWS).describe()
    for name in set(derive()) - {"dA1", "dA2", "Z1", "Z2"}:
        assert f" {name} (" in listing, f"{name} isn't in\n{listing}"


def test_the_trace_is_a_copy(case):
    network, X, Y, _, _ = case
    first = network.trace(X, Y)
    again = network.trace(X, Y)
    for name in first:
        first[name][...] = 7
    for name, tensor in network.trace(X, Y).items():
        assert_identical(tensor, again[name], name)
