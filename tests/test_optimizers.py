"""Optimizers from one training to the next, and learning-rate schedules. test_training.py has their steps."""

import numpy as np
import pytest
from compare import assert_close, assert_identical, assert_same_bits
from networks import BINARY_MLP, SOFTMAX_MLP, prepared, rows_for_a_team, thetas

import fastnn as fn
from fastnn.backend import kernel_address
from fastnn.kernels import native

pytestmark = pytest.mark.usefixtures("backend")


@pytest.mark.parametrize("optimizer", [fn.SGD(0.1, momentum=0.9), fn.Adam(0.01), fn.AdamW(0.01)])
def test_an_equal_optimizer_goes_on(rng, optimizer):
    _, x, y = prepared(BINARY_MLP, rng)
    network, parts = BINARY_MLP.network("float32"), BINARY_MLP.network("float32")
    network.fit(x, y, epochs=4, optimizer=optimizer)
    for _ in range(2):
        parts.fit(x, y, epochs=2, optimizer=type(optimizer)(**vars(optimizer)))
    assert_same_bits(parts.theta, network.theta)
    assert parts.step_number == network.step_number == 12


def test_another_optimizer_starts_afresh(rng):
    network, x, y = prepared(BINARY_MLP, rng)
    network.fit(x, y, optimizer=fn.Adam(0.01), shuffle=False)
    theta = network.theta.copy()
    network.fit(x, y, optimizer=fn.Adam(0.02), shuffle=False)
    assert network.step_number == 3
    fresh = BINARY_MLP.network("float32")
    fresh.theta[...] = theta
    fresh.fit(x, y, optimizer=fn.Adam(0.02), shuffle=False)
    assert_same_bits(network.theta, fresh.theta)


def test_what_decays_is_never_subnormal(dtype):
    """It would stay so for ever: the smallest subnormal number times 0.9 is rounded to itself."""
    least = np.finfo(dtype).tiny
    decaying = np.resize(np.array([1.05 * least, -1.05 * least, 4 * least, np.nan], dtype), 39)
    decayed = np.resize([0, 0, 3.6, np.nan], 39)
    for nesterov in (0, 1):
        step, theta, velocity = np.array([0.1, 3.0]), np.ones(39, dtype), decaying.copy()
        operands = (np.zeros(39, dtype), step, theta, velocity)
        native.call(kernel_address("sgd", dtype), operands, (39, nesterov), (0.9, 0.0), 1)
        assert_close(velocity / least, decayed, 1e-6, special_values=True)
    theta, m, v = np.ones(39, dtype), decaying.copy(), np.abs(decaying)
    operands = (np.zeros(39, dtype), step, theta, m, v)
    native.call(kernel_address("adam", dtype), operands, (39, 0), (0.9, 0.9, 1e-8, 0.0), 1)
    assert_close(m / least, decayed, 1e-6, special_values=True)
    assert_close(v / least, decayed, 1e-6, special_values=True)
    assert_identical(theta, np.resize([1, 1, 1, np.nan], 39))


def test_schedules(rng):
    _, x, y = prepared(BINARY_MLP, rng, rows=64)
    rates = {
        "step decay": (fn.StepDecay(0.4, every=4, factor=0.5), [0.4, 0.2, 0.1]),
        "cosine": (
            fn.Cosine(0.4, steps=8),
            [0.4 * (1 + np.cos(np.pi * 3 / 8)) / 2, 0.4 * (1 + np.cos(np.pi * 7 / 8)) / 2, 0],
        ),
        "warm-up": (fn.WarmUp(0.4, steps=8), [0.2, 0.4, 0.4]),
        "warm-up of a schedule": (fn.WarmUp(fn.StepDecay(0.4, 4), steps=8), [0.2, 0.04, 0.004]),
        "a function": (lambda step: 1 / (1 + step), [1 / 4, 1 / 8, 1 / 12]),
    }
    for name, (schedule, last_of_epoch) in rates.items():
        history = BINARY_MLP.network().fit(x, y, epochs=3, batch_size=16, optimizer=fn.SGD(schedule))
        assert history.learning_rate == pytest.approx(last_of_epoch), name


def test_a_constant_schedule_is_the_constant(rng):
    _, x, y = prepared(BINARY_MLP, rng)
    constant = thetas(BINARY_MLP, x, y, optimizer=fn.Adam(0.01))
    assert_same_bits(thetas(BINARY_MLP, x, y, optimizer=fn.Adam(lambda step: 0.01)), constant)


def test_the_penalty_is_the_same_on_any_number_of_threads(rng, dtype):
    rows = rows_for_a_team(SOFTMAX_MLP.network(dtype))
    options = {"epochs": 2, "batch_size": rows, "optimizer": fn.SGD(0.1, momentum=0.9, l2=2.0)}
    losses, weights = [], []
    for threads in (1, 2, 3):
        fn.set_num_threads(threads)
        network, x, y = prepared(SOFTMAX_MLP, np.random.default_rng(0), dtype, 2 * rows + 3)
        losses.append(network.fit(x, y, **options).loss)
        weights.append(network.theta)
    assert losses[0] == losses[1] == losses[2]
    assert_same_bits(weights[1], weights[0])
    assert_same_bits(weights[2], weights[0])


def test_the_listing_of_a_step_with_a_penalty():
    network = BINARY_MLP.network()
    network.begin(fn.SGD(0.1, momentum=0.9, l2=3.0))
    lines = network.program(32).describe().splitlines()
    assert lines[0].startswith("training step")
    penalties = [line.split("->")[1].split()[0] for line in lines if " S" in line]
    assert penalties == ["S1", "S2", "S3", "J"]
    updates = [line.split("->")[1].split()[0] for line in lines if " sgd " in line]
    assert updates == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert ["weight decay" in line for line in lines if " sgd " in line] == [True, False] * 3
