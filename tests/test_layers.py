"""Dropout and batch norm, that training and prediction see differently; and fusion, that changes nothing."""

import numpy as np
import pytest
import reference
from compare import assert_close, assert_identical, assert_same_bits

import fastnn as fn
from fastnn.fusion import fuse
from fastnn.ops import Tensor, make_op

pytestmark = pytest.mark.usefixtures("backend")


def dropout_network(rate=0.4, dtype="float64", seed=7):
    return fn.Network(
        [fn.Dense(50), fn.Dropout(rate), fn.Dense(1), fn.Sigmoid()], (8,), dtype=dtype, seed=seed
    )


def test_dropout_is_the_reference(rng, dtype):
    network = dropout_network(dtype=dtype)
    x, y = rng.normal(size=(30, 8)).astype(dtype), rng.integers(0, 2, size=30)
    for step in (1, 2, 3):
        trace = network.trace(x, y)
        dropped = reference.dropout(trace["Z1"].astype(np.float64), 0.4, seed=7, stream=1, step=step)
        assert_close(trace["D1"], dropped, 1e-6)
        assert ((trace["D1"] == 0) == (dropped == 0)).all()
        passed_back = reference.dropout(trace["dD1"].astype(np.float64), 0.4, seed=7, stream=1, step=step)
        assert_close(trace["dZ1"], passed_back, 1e-6)
        network.fit(x, y, batch_size=30, optimizer=fn.SGD(0.1))


def test_dropout_keeps_its_share():
    network = fn.Network([fn.Dropout(0.3), fn.Dense(1), fn.Sigmoid()], (1000,))
    dropped = network.trace(np.ones((100, 1000)), np.zeros(100))["D0"]
    assert set(np.unique(dropped)) == {0, np.float32(1 / 0.7)}
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert (dropped == 0).mean(axis=0).max() < 0.6, "a column is dropped too often"
    assert (dropped == 0).mean(axis=1).max() < 0.4, "a row is dropped too often"


def test_dropout_does_nothing_in_a_prediction(rng):
    network = dropout_network()
    x, y = rng.normal(size=(30, 8)), rng.integers(0, 2, size=30)
    plain = fn.Network([fn.Dense(50), fn.Dense(1), fn.Sigmoid()], (8,), dtype="float64")
    plain.theta[...] = network.theta
    assert_same_bits(network.predict(x), plain.predict(x))
    assert network.evaluate(x, y) == plain.evaluate(x, y)
    assert network.loss(x, y) != plain.loss(x, y)


def test_every_step_and_seed_and_layer_drops_others(rng):
    x, y = rng.normal(size=(30, 8)), rng.integers(0, 2, size=30)
    network, other = dropout_network(seed=7), dropout_network(seed=8)
    other.theta[...] = network.theta
    first = network.trace(x, y)["D1"] == 0
    assert (first != (other.trace(x, y)["D1"] == 0)).any()
    network.fit(x, y, batch_size=30, optimizer=fn.SGD(0.0))
    assert (first != (network.trace(x, y)["D1"] == 0)).any()
    twice = fn.Network([fn.Dropout(0.5), fn.Dropout(0.5), fn.Dense(1), fn.Sigmoid()], (1000,))
    kept = twice.trace(np.ones((10, 1000)), np.zeros(10))["D0_2"] != 0
    assert kept.mean() == pytest.approx(0.25, abs=0.03), "the two layers drop alike"


def test_dropout_of_rate_0_does_nothing(rng):
    x, y = rng.normal(size=(30, 8)), rng.integers(0, 2, size=30)
    trace = dropout_network(rate=0.0).trace(x, y)
    assert_identical(trace["D1"], trace["Z1"])


NORMALIZED = {
    "features": ([fn.Dense(5), fn.BatchNorm(momentum=0.2, eps=1e-3), fn.Dense(1), fn.Sigmoid()], (4,)),
    "channels": (
        [fn.Conv2D(3, 2), fn.BatchNorm(momentum=0.2, eps=1e-3), fn.Flatten(), fn.Dense(1), fn.Sigmoid()],
        (2, 4, 4),
    ),
}


def rows_channels_inner(array):
    return array.reshape(*array.shape[:2], -1).astype(np.float64)


@pytest.mark.parametrize(("layers", "input_shape"), NORMALIZED.values(), ids=NORMALIZED)
def test_batch_norm_is_the_reference(rng, dtype, layers, input_shape):
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    network = fn.Network(layers, input_shape, dtype=dtype)
    network.parameters["gamma1"][...] = rng.uniform(0.5, 2, size=network.parameters["gamma1"].shape)
    network.parameters["beta1"][...] = rng.normal(size=network.parameters["beta1"].shape)
    x = 3 + rng.normal(size=(20, *input_shape)).astype(dtype)
    y = rng.integers(0, 2, size=20)
    affine = [network.parameters[name].astype(np.float64) for name in ("gamma1", "beta1")]
    running = [np.zeros_like(affine[0]), np.ones_like(affine[0])]
    for _ in range(3):
        trace = network.trace(x, y)
        z, dn = rows_channels_inner(trace["Z1"]), rows_channels_inner(trace["dN1"])
        n, mean, inv_std, *running = reference.batch_norm(z, *affine, *running, eps=1e-3, momentum=0.2)
        assert_close(rows_channels_inner(trace["N1"]), n, tolerance, "N1")
        dz, dgamma, dbeta = reference.batch_norm_backward(dn, z, affine[0], mean, inv_std)
        assert_close(rows_channels_inner(trace["dZ1"]), dz, 10 * tolerance, "dZ1")
        assert_close(trace["dgamma1"], dgamma, 10 * tolerance, "dgamma1")
        assert_close(trace["dbeta1"], dbeta, 10 * tolerance, "dbeta1")
        network.fit(x, y, batch_size=20, optimizer=fn.SGD(0.0))
        assert_close(network.statistics["running_mean1"], running[0], tolerance, "the running mean")
        assert_close(network.statistics["running_var1"], running[1], tolerance, "the running variance")
    prediction = network.trace(x)
    z = rows_channels_inner(prediction["Z1"])
    expected = reference.batch_norm_inference(z, *affine, *running, eps=1e-3)
    assert_close(rows_channels_inner(prediction["N1"]), expected, tolerance)


def test_batch_norm_needs_more_than_one_row():
    network = fn.Network([fn.Dense(3), fn.BatchNorm(), fn.Dense(1), fn.Sigmoid()], (2,))
    with pytest.raises(ValueError, match=r"BatchNorm\(\) can.t train on 1 row"):
        network.fit(np.ones((5, 2)), np.ones(5), batch_size=4)  # the last batch has one
    assert network.step_number == 0
    network.fit(np.ones((6, 2)), np.ones(6), batch_size=4)
    assert network.predict(np.ones((1, 2))).shape == (1, 1)


FUSED = {
    "linear and relu": ([fn.Dense(5), fn.ReLU(), fn.Dense(1), fn.Sigmoid()], (4,)),
    "relu twice": ([fn.Dense(5), fn.ReLU(), fn.ReLU(), fn.Dense(1), fn.Sigmoid()], (4,)),
    "conv2d and relu": ([fn.Conv2D(3, 2), fn.ReLU(), fn.Flatten(), fn.Dense(1), fn.Sigmoid()], (2, 4, 4)),
    "relu between convolutions": (
        [fn.Conv2D(3, 2), fn.ReLU(), fn.Conv2D(2, 2), fn.ReLU(), fn.Flatten(), fn.Dense(1), fn.Sigmoid()],
        (2, 5, 5),
    ),
    "relu before Winograd's form": (
        [fn.Conv2D(16, 3), fn.ReLU(), fn.Conv2D(16, 3), fn.ReLU(), fn.Flatten(), fn.Dense(1), fn.Sigmoid()],
        (2, 8, 9),
    ),
    "relu before Winograd's form with a stride": (
        [
            fn.Conv2D(8, 3),
            fn.ReLU(),
            fn.Conv2D(9, 5, stride=2, padding=1),
            fn.Flatten(),
            fn.Dense(1),
            fn.Sigmoid(),
        ],
        (2, 10, 11),
    ),
    "relu before a pool": (
        [fn.Conv2D(3, 2), fn.ReLU(), fn.MaxPool2D(2), fn.Flatten(), fn.Dense(1), fn.Sigmoid()],
        (2, 5, 6),
    ),
    "relu after pool": (
        [fn.Conv2D(3, 2), fn.MaxPool2D(2), fn.ReLU(), fn.Flatten(), fn.Dense(1), fn.Sigmoid()],
        (2, 5, 5),
    ),
    "relu after dropout": ([fn.Dense(5), fn.Dropout(0.5), fn.ReLU(), fn.Dense(1), fn.Sigmoid()], (4,)),
    "relu last": ([fn.Dense(3), fn.ReLU()], (4,)),
}


@pytest.mark.parametrize(("layers", "input_shape"), FUSED.values(), ids=FUSED)
def test_fusion_changes_no_bit(rng, dtype, layers, input_shape):
    """The trace is unfused; a training step, and a prediction, are fused."""
    loss = "log_loss" if isinstance(layers[-1], fn.Sigmoid) else "mse"
    network = fn.Network(layers, input_shape, loss=loss, dtype=dtype)
    x = rng.normal(size=(9, *input_shape)).astype(dtype)
    y = rng.integers(0, 2, size=(9, *network.output_shape))
    trace = network.trace(x, y)
    before = {name: value.copy() for name, value in network.parameters.items()}
    for name, gradient in network.gradients(x, y).items():
        assert_same_bits(gradient, trace[f"d{name}"], f"d{name}")
    network.fit(x, y, batch_size=9, optimizer=fn.SGD(1.0), shuffle=False)
    for name, value in network.parameters.items():
        assert_close(before[name] - value, trace[f"d{name}"], 1e-5, f"the step of {name}")
    fused = {op.kernel for op in network.program(9).ops}
    assert ("relu" in fused) == (layers[1:2] != [fn.ReLU()] or layers[2:3] == [fn.ReLU()])


@pytest.mark.parametrize(("layers", "input_shape"), FUSED.values(), ids=FUSED)
def test_fusion_keeps_nan_and_infinity(rng, dtype, layers, input_shape):
    """Also where they meet a ReLU, or a mask."""
    loss = "log_loss" if isinstance(layers[-1], fn.Sigmoid) else "mse"
    network = fn.Network(layers, input_shape, loss=loss, dtype=dtype)
    x, y = rng.normal(size=(9, *input_shape)).astype(dtype), np.ones((9, *network.output_shape))
    x[0].flat[1], x[1].flat[0], x[2].flat[2] = np.nan, np.inf, -np.inf
    trace = network.trace(x, y)
    for name, gradient in network.gradients(x, y).items():
        assert_identical(gradient, trace[f"d{name}"], f"d{name}")
    *_, output = network.trace(x).values()
    assert np.isnan(output[0]).any()
    assert_identical(network.predict(x), output)


def test_batch_norm_is_folded_into_a_convolution(rng, dtype):
    """Into the one before it, for predictions; the trace is unfused, and its ops are the reference's."""
    layers = [fn.Conv2D(5, 3, padding=1), fn.BatchNorm(eps=1e-2), fn.ReLU(), fn.Conv2D(20, 3), fn.BatchNorm()]
    network = fn.Network([*layers, fn.Flatten(), fn.Dense(1), fn.Sigmoid()], (3, 6, 7), dtype=dtype)
    x, y = rng.normal(size=(40, 3, 6, 7)).astype(dtype), rng.integers(0, 2, size=40)
    network.fit(x, y, epochs=3, batch_size=10)
    for name in ("gamma1", "gamma2"):
        network.parameters[name][...] = rng.uniform(-2, 2, size=network.parameters[name].shape)
    kernels = [op.kernel for op in network.program(40, training=False).ops]
    assert kernels == ["fold_batch_norm", "conv2d", "fold_batch_norm", "conv2d", "linear", "sigmoid"]
    *_, expected = network.trace(x).values()
    assert_close(network.predict(x), expected, 2e-6 if dtype == np.float32 else 1e-14)
    network.theta[...] *= 0.9  # the next prediction folds anew
    *_, expected = network.trace(x).values()
    assert_close(network.predict(x), expected, 2e-6 if dtype == np.float32 else 1e-14)


def test_global_average_pool_is_the_mean(rng, dtype):
    network = fn.Network([fn.GlobalAvgPool2D(), fn.Dense(1), fn.Sigmoid()], (5, 6, 7), dtype=dtype)
    x = rng.normal(size=(3, 5, 6, 7)).astype(dtype)
    pooled = network.trace(x)["P0"]
    assert_close(pooled, x.astype(np.float64).mean(axis=(2, 3)), 5e-7 if dtype == np.float32 else 1e-15)


def test_same_padding_is_that_of_the_function(rng, dtype):
    layer = fn.Conv2D(4, (3, 4), padding="same", dilation=(2, 1))
    network = fn.Network([layer, fn.Flatten(), fn.Dense(1), fn.Sigmoid()], (3, 6, 7), dtype=dtype)
    x = rng.normal(size=(2, 3, 6, 7)).astype(dtype)
    weight, bias = (network.parameters[name] for name in ("W1", "b1"))
    padded = {"stride": (1, 1), "padding": ((2, 2), (1, 2)), "dilation": (2, 1), "groups": 1}
    expected = reference.conv2d(*(each.astype(np.float64) for each in (x, weight, bias)), **padded)
    assert_close(network.trace(x)["Z1"], expected, 2e-6 if dtype == np.float32 else 1e-14)
    assert repr(layer) == "Conv2D(4, (3, 4), padding='same', dilation=(2, 1))"


def test_nothing_is_fused_away_that_others_read():
    """Z has two readers: it must be stored."""
    x, w, z, a, b = (Tensor(name, (4, 4), "float32") for name in ("X", "W1", "Z1", "A1", "A1_2"))
    linear = make_op("linear", [x, w, None], [z], {"m": 4, "k": 4, "n": 4, "relu": 0})
    relu = make_op("relu", [z], [a], {"size": 16})
    assert [op.kernel for op in fuse([linear, relu])] == ["linear"]
    ops = [linear, relu, make_op("tanh", [z], [b], {"size": 16})]
    assert fuse(ops) == ops
