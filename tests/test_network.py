"""Networks outside training: parameters, prediction, evaluation, listing, seeds, copies."""

import copy
import pickle
import threading

import numpy as np
import pytest
import reference
from arrays import LAYOUTS
from compare import assert_close, assert_identical, assert_same_bits
from networks import BINARY_MLP, CNN, EVERY_KIND, SOFTMAX_MLP, THE_THREE, rows_for_a_team

import fastnn as fn

pytestmark = pytest.mark.usefixtures("backend")

every_kind = pytest.mark.parametrize("case", EVERY_KIND.values(), ids=EVERY_KIND)
the_three = pytest.mark.parametrize("case", THE_THREE.values(), ids=THE_THREE)


def test_parameters_are_views_into_one_vector(dtype):
    network = BINARY_MLP.network(dtype)
    assert {name: value.shape for name, value in network.parameters.items()} == {
        **{"W1": (30, 16), "b1": (16,), "W2": (16, 8), "b2": (8,), "W3": (8, 1), "b3": (1,)}
    }
    assert network.theta.shape == (30 * 16 + 16 + 16 * 8 + 8 + 8 + 1,)
    assert network.theta.dtype == dtype
    network.theta[...] = np.arange(network.theta.size)
    assert_identical(network.parameters["W1"][0], np.arange(16))
    network.parameters["b3"][...] = -1
    assert network.theta[-1] == -1


def test_first_weights_follow_the_seed():
    """Biases start at 0; the weights depend on nothing but the seed."""
    first, again, other = (CNN.network("float64", seed) for seed in (3, 3, 4))
    single = CNN.network("float32", 3)
    assert_same_bits(first.theta, again.theta)
    assert (first.theta != other.theta).any()
    assert_identical(single.theta, first.theta.astype(np.float32))
    for name, value in first.parameters.items():
        assert (value == 0).all() if name.startswith("b") else (value != 0).all()


def test_variance_of_the_first_weights():
    """2 / fan_in before a ReLU (He et al.), 2 / (fan_in + fan_out) otherwise (Glorot and Bengio)."""
    layers = [fn.Dense(300), fn.ReLU(), fn.Dense(200), fn.Tanh(), fn.Dense(100), fn.Softmax()]
    weights = fn.Network(layers, (250,)).parameters
    assert weights["W1"].var() == pytest.approx(2 / 250, rel=0.05)
    assert weights["W2"].var() == pytest.approx(2 / (300 + 200), rel=0.05)
    assert weights["W3"].var() == pytest.approx(2 / (200 + 100), rel=0.05)
    assert np.abs(weights["W3"]).max() <= np.sqrt(6 / 300)


@the_three
def test_predict_is_the_reference(rng, dtype, case):
    network = case.network(dtype)
    w = {name: value.astype(np.float64) for name, value in network.parameters.items()}
    x, _ = case.data(rng, 20, network.output_shape)
    if case is CNN:
        hidden = x
        for layer in ("1", "2"):
            z = reference.conv2d(hidden, w[f"W{layer}"], w[f"b{layer}"], padding=((1, 1), (1, 1)))
            hidden = reference.max_pool2d(reference.relu(z), (2, 2), (2, 2), (0, 0))
        hidden = hidden.reshape(20, -1)
    else:
        hidden = reference.relu(x @ w["W1"] + w["b1"])
        hidden = reference.relu(hidden @ w["W2"] + w["b2"])
    last = reference.sigmoid if case is BINARY_MLP else reference.softmax
    y = network.predict(x.astype(dtype))
    assert y.dtype == dtype
    assert_close(y, last(hidden @ w["W3"] + w["b3"]), 1e-5 if dtype == np.float32 else 1e-13)


@every_kind
def test_a_rows_prediction_has_the_same_bits_in_any_batch(rng, dtype, case):
    network = case.network(dtype)
    x = rng.normal(size=(600, *network.input_shape)).astype(dtype)
    whole = network.predict(x)
    assert whole.shape == (600, *network.output_shape)
    for rows in (slice(0, 1), slice(17, 18), slice(0, 2), slice(3, 258), slice(1, 257), slice(88, 600)):
        assert_same_bits(network.predict(x[rows]), whole[rows], f"rows {rows}")
    assert_same_bits(network.predict(x), whole, "the second time")


@the_three
def test_predict_takes_any_layout(rng, dtype, case):
    network = case.network(dtype)
    x = rng.normal(size=(5, *network.input_shape)).astype(dtype)
    expected = network.predict(x)
    for layout, lay_out in LAYOUTS.items():
        given = lay_out(x)
        assert_same_bits(network.predict(given), expected, layout)
        assert_identical(given, x)
    assert_same_bits(network.predict(x.tolist()), network.predict(x.astype(np.float64)), "a list")
    other = np.float64 if dtype == np.float32 else np.float32
    y = network.predict(x.astype(other))
    assert y.dtype == dtype
    assert_close(y, expected, 1e-5)
    whole = np.round(x)
    assert_same_bits(network.predict(whole.astype(np.int8)), network.predict(whole), "integers")


@the_three
def test_predict_into_out(rng, dtype, case):
    network = case.network(dtype)
    for rows in (1, 5, 300):
        x = rng.normal(size=(rows, *network.input_shape)).astype(dtype)
        expected = network.predict(x)
        for layout in ("Fortran", "strided", "offset", "misaligned"):
            out = LAYOUTS[layout](np.full_like(expected, np.nan))
            assert network.predict(x, out=out) is out
            assert_same_bits(out, expected, f"{rows} rows, {layout} out")


def test_predict_into_its_own_input(rng, dtype):
    network = fn.Network([fn.Dense(6), fn.Tanh(), fn.Dense(6)], (6,), loss="mse", dtype=dtype)
    for rows in (1, 5, 300):
        x = rng.normal(size=(rows, 6)).astype(dtype)
        expected = network.predict(x)
        assert network.predict(x, out=x) is x
        assert_same_bits(x, expected, f"{rows} rows")


def test_predictions_belong_to_the_caller(rng):
    network = SOFTMAX_MLP.network()
    x = rng.normal(size=(2, 3, 64))
    first = network.predict(x[0])
    kept = first.copy()
    second = network.predict(x[1])
    assert_same_bits(first, kept)
    first[...] = 7
    assert_same_bits(network.predict(x[1]), second)


def test_input_scale(rng):
    layers = [fn.Dense(4), fn.ReLU(), fn.Dense(3), fn.Softmax()]
    plain = fn.Network(layers, (6,), dtype="float64")
    scaled = fn.Network(layers, (6,), dtype="float64", input_scale=1 / 255)
    images, y = rng.integers(0, 256, size=(50, 6)).astype(np.uint8), rng.integers(0, 3, size=50)
    x = images * (1 / 255)
    assert_same_bits(scaled.predict(images), plain.predict(x))
    assert scaled.evaluate(images, y) == plain.evaluate(x, y)
    assert scaled.loss(images, y) == plain.loss(x, y)
    for network, data in ((plain, x), (scaled, images)):
        network.fit(data, y, epochs=2, batch_size=8)
    assert_same_bits(scaled.theta, plain.theta)


def test_evaluate(rng, dtype):
    for case in (BINARY_MLP, SOFTMAX_MLP, EVERY_KIND["several sigmoids"], EVERY_KIND["linear regression"]):
        network = case.network(dtype)
        x, y = case.data(rng, 700, network.output_shape)
        p = network.predict(x).astype(np.float64)
        if case.targets == "classes":
            loss, right = reference.log_loss_classes(p, y), p.argmax(axis=1) == y
        elif case.targets == "labels":
            loss, right = reference.log_loss_binary(p, y), (p > 0.5) == (y == 1)
        else:
            loss, right = ((p - y) ** 2).mean(axis=1), None
        measured = network.evaluate(x, y)
        assert measured.pop("loss") == pytest.approx(loss.mean(), rel=1e-5)
        assert measured == ({} if right is None else {"accuracy": pytest.approx(right.mean())})


ALIKE_IN_TRAINING = {
    name: case
    for name, case in EVERY_KIND.items()
    if not any(isinstance(layer, fn.Dropout | fn.BatchNorm) for layer in case.layers)
}


@pytest.mark.parametrize("case", ALIKE_IN_TRAINING.values(), ids=ALIKE_IN_TRAINING)
def test_evaluate_and_loss_agree(rng, case):
    network = case.network()
    x, y = case.data(rng, 40, network.output_shape)
    assert network.loss(x, y) == pytest.approx(network.evaluate(x, y)["loss"], rel=1e-12)


@every_kind
def test_the_listing_has_a_line_for_every_op(dtype, case):
    network = case.network(dtype)
    program = network.program(8)
    lines = program.describe().splitlines()
    assert len(lines) == 1 + 1 + len(program.ops)  # a header, the gathering of a batch, the ops
    for op, line in zip(program.ops, lines[2:], strict=True):
        assert op.kernel in line
        for tensor in op.writes:
            assert tensor is None or tensor.name in line
    prediction = network.program(8, training=False)
    assert len(prediction.describe().splitlines()) == 1 + len(prediction.ops)
    assert not any("backward" in op.kernel for op in prediction.ops)


def test_the_listing_of_the_derivations_network():
    lines = BINARY_MLP.network().program(32).describe().splitlines()
    assert "32 rows" in lines[0]
    assert [line.split()[1] for line in lines[1:]] == [
        "gather",
        *["linear", "linear", "linear", "log_loss_binary_with_logits"],
        *["linear_backward_weight", "linear_backward_input"],
        *["linear_backward_weight", "linear_backward_input"],
        *["linear_backward_weight", "adam"],
    ]
    for line, names in {
        2: "X (32, 30) W1 (30, 16) b1 (16,) A1 (32, 16)",
        5: "Z3 (32, 1) Y (32, 1) L (32,) A3 (32, 1) dZ3 (32, 1)",
        6: "A2 (32, 8) dZ3 (32, 1) dW3 (8, 1) db3 (1,)",
        7: "dZ3 (32, 1) W3 (8, 1) 1[A2 > 0] (32, 8) dZ2 (32, 8)",
    }.items():
        for name in names.replace(") ", ")|").split("|"):
            assert name in lines[line], f"{name} isn't in {lines[line]}"


def test_names_of_layers_between():
    layers = [
        *(fn.Conv2D(2, 3), fn.BatchNorm(), fn.ReLU(), fn.MaxPool2D(2), fn.Flatten(), fn.Dropout(0.5)),
        *(fn.Dense(3), fn.Tanh(), fn.Sigmoid(), fn.Dense(2), fn.Softmax()),
    ]
    network = fn.Network(layers, (1, 6, 6))
    assert list(network.parameters) == ["W1", "b1", "gamma1", "beta1", "W2", "b2", "W3", "b3"]
    assert list(network.statistics) == ["running_mean1", "running_var1"]
    trace = network.trace(np.ones((2, 1, 6, 6)), [0, 1])
    forward = ["X", "Z1", "N1", "A1", "P1", "D1", "Z2", "A2", "A2_2", "Z3", "A3"]
    assert [name for name in trace if name in forward] == forward
    assert {"dZ3", "dA2_2", "dA2", "dZ2", "dD1", "dP1", "dA1", "dN1", "dZ1", "dgamma1", "dbeta1"} <= set(
        trace
    )
    assert trace["P1"].shape == trace["dP1"].shape == (2, 2, 2, 2)


@every_kind
def test_number_of_threads(rng, case):
    network = case.network("float32")
    x, y = case.data(rng, rows_for_a_team(network), network.output_shape)
    fn.set_num_threads(1)
    predicted, right = network.predict(x), network.gradients(x, y)
    for threads in (2, 3, 4):
        fn.set_num_threads(threads)
        assert_same_bits(network.predict(x), predicted, f"the prediction on {threads} threads")
        for name, gradient in network.gradients(x, y).items():
            assert_same_bits(gradient, right[name], f"d{name} on {threads} threads")


@the_three
def test_threads_of_the_caller_may_share_a_network(rng, case):
    network = case.network("float32")
    x = rng.normal(size=(8, 40, *network.input_shape)).astype(np.float32)
    right = [network.predict(each) for each in x]
    wrong = []

    def predict(i):
        for _ in range(100):
            if not np.array_equal(network.predict(x[i]), right[i]):
                wrong.append(i)

    callers = [threading.Thread(target=predict, args=(i,)) for i in range(len(x))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


@the_three
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_copies(rng, case, duplicate):
    network = case.network("float32")
    x, y = case.data(rng, 40, network.output_shape)
    network.fit(x, y, epochs=2, batch_size=16, optimizer=fn.Adam(0.01))
    other = duplicate(network)
    assert_same_bits(other.predict(x), network.predict(x))
    network.fit(x, y, epochs=2, batch_size=16, optimizer=fn.Adam(0.01))
    assert (other.theta != network.theta).any()
    other.fit(x, y, epochs=2, batch_size=16, optimizer=fn.Adam(0.01))
    assert_same_bits(other.theta, network.theta)


def test_repr_says_what_it_is():
    text = repr(BINARY_MLP.network("float32"))
    assert "Dense(16), ReLU(), Dense(8), ReLU(), Dense(1), Sigmoid()" in text
    assert "641 parameters" in text
