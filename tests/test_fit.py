"""fit: history, order of the rows, forms of data, weights, threads."""

import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from networks import (
    BINARY_MLP,
    CNN,
    EVERY_KIND,
    ROWS,
    SOFTMAX_MLP,
    THE_THREE,
    prepared,
    rows_for_a_team,
    thetas,
)

import fastnn as fn

pytestmark = pytest.mark.usefixtures("backend")

the_three = pytest.mark.parametrize("case", THE_THREE.values(), ids=THE_THREE)

# --- epochs, history, order ----------------------------------------------------------------------------


@the_three
def test_it_learns(rng, dtype, case):
    network, x, y = prepared(case, rng, dtype)
    before = network.evaluate(x, y)
    history = network.fit(x, y, epochs=60, batch_size=16, optimizer=fn.Adam(0.01))
    after = network.evaluate(x, y)
    assert len(history.loss) == 60
    assert history.loss[-1] < 0.2 * history.loss[0]
    assert after["loss"] < 0.2 * before["loss"]
    assert after["accuracy"] > 0.95


def test_history(rng):
    network, x, y = prepared(BINARY_MLP, rng)
    history = network.fit(
        x, y, epochs=3, batch_size=16, validation_data=(x[:20], y[:20]), optimizer=fn.SGD(0.25)
    )
    assert len(history.loss) == len(history.validation_loss) == len(history.validation_accuracy) == 3
    assert history.learning_rate == [0.25] * 3
    assert all(seconds > 0 for seconds in history.seconds)
    measured = network.evaluate(x[:20], y[:20])
    assert history.validation_loss[-1] == measured["loss"]
    assert history.validation_accuracy[-1] == measured["accuracy"]
    assert network.fit(x, y).validation_loss == []


def test_the_loss_is_of_every_batch_before_its_update(rng):
    network, x, y = prepared(SOFTMAX_MLP, rng, "float64", rows=40)
    whole = network.evaluate(x, y)["loss"]
    history = network.fit(x, y, batch_size=40)
    assert history.loss == [pytest.approx(whole, rel=1e-12)]
    frozen = network.evaluate(x, y)["loss"]
    assert network.fit(x, y, batch_size=7, optimizer=fn.SGD(0.0)).loss == [pytest.approx(frozen, rel=1e-12)]


def test_shuffling_takes_every_row_once_an_epoch(rng):
    """With inputs that are their own numbers, a callback sees which rows come."""
    x = np.arange(50, dtype=np.float64)[:, None]
    seen = []

    class Record(fn.Callback):
        def on_batch_end(self, network, step, logs):
            seen.append(logs["loss"])

    # An idle regression from 0: the loss of a batch of one row is its target squared.
    network = fn.Network([fn.Dense(1)], (1,), loss="mse", dtype="float64", seed=5)
    network.theta[...] = 0
    network.fit(x, x, epochs=3, batch_size=1, optimizer=fn.SGD(0.0), callbacks=[Record()])
    epochs = np.sqrt(seen).round().reshape(3, 50)
    for epoch in epochs:
        assert sorted(epoch) == list(range(50))
        assert (epoch != np.arange(50)).sum() > 40
    assert (epochs[0] != epochs[1]).sum() > 40
    seen.clear()
    network.fit(x, x, batch_size=1, optimizer=fn.SGD(0.0), callbacks=[Record()], shuffle=False)
    assert (np.sqrt(seen).round() == np.arange(50)).all()


@the_three
def test_equal_seeds_give_equal_bits(rng, dtype, case):
    _, x, y = prepared(case, rng, dtype)
    first, again = (thetas(case, x, y, dtype) for _ in range(2))
    assert_same_bits(first, again)
    other = case.network(dtype, seed=1)
    other.fit(x, y, epochs=2, batch_size=16)
    assert (other.theta != first).any()


@the_three
@pytest.mark.parametrize("optimizer", [fn.SGD(0.1, momentum=0.9), fn.Adam(0.01)], ids=["SGD", "Adam"])
def test_number_of_threads(rng, dtype, case, optimizer):
    batch_size = rows_for_a_team(case.network(dtype))
    _, x, y = prepared(case, rng, dtype, rows=2 * batch_size + 5)
    fn.set_num_threads(1)
    alone = thetas(case, x, y, dtype, batch_size=batch_size, optimizer=optimizer)
    for threads in (2, 3, 4):
        fn.set_num_threads(threads)
        shared = thetas(case, x, y, dtype, batch_size=batch_size, optimizer=optimizer)
        assert_same_bits(shared, alone, f"on {threads} threads")


@pytest.mark.parametrize("batch_size", [1, 7, 16, 35, 69, 70])
def test_batch_sizes(rng, batch_size):
    network, x, y = prepared(BINARY_MLP, rng)
    network.fit(x, y, epochs=2, batch_size=batch_size)
    assert network.step_number == 2 * -(-ROWS // batch_size)
    assert network.epoch == 2


# --- data as it is -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
def test_data_in_any_form_trains_alike(rng, tmp_path, shuffle):
    """Float64, integers, any strides, memory maps: the numbers count. Unshuffled float32 is read in place."""
    _, x, y = prepared(CNN, rng)
    x = np.round(4 * x)
    expected = thetas(CNN, x, y, shuffle=shuffle)
    mapped = np.memmap(tmp_path / "x", np.float64, "w+", shape=x.shape)
    mapped[...] = x
    forms = {
        "float64": x.astype(np.float64),
        "int16": x.astype(np.int16),
        "Fortran": np.asfortranarray(x),
        "channels last": np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
        "every second row": np.repeat(x, 2, axis=0)[::2],
        "reversed": np.flip(np.flip(x).copy()),
        "a memory map": mapped,
        "a list": x.tolist(),
    }
    for name, form in forms.items():
        assert_same_bits(thetas(CNN, form, y, shuffle=shuffle), expected, name)
    positive = np.abs(x)
    assert_same_bits(thetas(CNN, positive.astype(np.uint8), y), thetas(CNN, positive, y), "uint8")


@pytest.mark.parametrize(
    "form", [bool, np.int8, np.uint64, np.float16, np.float64, "a column", "a vector", "a list"]
)
def test_labels_in_any_form_train_alike(rng, form):
    _, x, y = prepared(BINARY_MLP, rng)
    labels = y[:, 0]
    if form in ("a column", "a vector", "a list"):
        given = {"a column": labels[:, None], "a vector": labels, "a list": labels.tolist()}[form]
    else:
        given = labels.astype(form)
    assert_same_bits(thetas(BINARY_MLP, x, given), thetas(BINARY_MLP, x, y))
    _, x, classes = prepared(SOFTMAX_MLP, rng)
    classes %= 2
    given = classes[:, None] if form == "a column" else classes.tolist() if form == "a list" else classes
    if not isinstance(form, str):
        given = classes.astype(form)
    assert_same_bits(thetas(SOFTMAX_MLP, x, given), thetas(SOFTMAX_MLP, x, classes))


@pytest.mark.parametrize("case", [CNN, *EVERY_KIND.values()], ids=["CNN", *EVERY_KIND])
def test_inputs_stay_as_they_were(rng, case):
    network, x, y = prepared(case, rng)
    weight = rng.random(ROWS)
    copies = x.copy(), y.copy(), weight.copy()
    for array in (x, y, weight):
        array.flags.writeable = False
    network.fit(x, y, sample_weight=weight, epochs=2)
    network.fit(x, y, sample_weight=weight, epochs=2, shuffle=False)
    for array, before in zip((x, y, weight), copies, strict=True):
        assert_same_bits(array, before)


@the_three
def test_epochs_in_and_out_of_order_by_turns(rng, case):
    """An epoch that read its rows in place leaves the next one its own buffers."""
    network, x, y = prepared(case, rng)
    other = case.network(x.dtype)
    for shuffle in (False, True, False, True):
        network.fit(x, y, batch_size=16, optimizer=fn.Adam(0.01), shuffle=shuffle)
        other.fit(np.asfortranarray(x), y, batch_size=16, optimizer=fn.Adam(0.01), shuffle=shuffle)
        assert_same_bits(network.theta, other.theta)


@the_three
def test_an_iterable_of_batches(rng, case):
    _, x, y = prepared(case, rng)
    expected = thetas(case, x, y, shuffle=False)
    batches = [(x[start : start + 16], y[start : start + 16]) for start in range(0, ROWS, 16)]
    network = case.network("float32")
    network.fit(batches, epochs=2)
    assert_same_bits(network.theta, expected)

    class Anew:
        def __iter__(self):
            return ((*batch, np.ones(len(batch[0]))) for batch in batches)

    network = case.network("float32")
    network.fit(Anew(), epochs=2)
    assert_close(network.theta, expected, 1e-5)
    with pytest.raises(ValueError, match="X must yield batches anew"):
        case.network().fit(iter(batches), epochs=2)


# --- weights -------------------------------------------------------------------------------------------


@the_three
def test_sample_weights_multiply_the_losses(rng, case):
    network, x, y = prepared(case, rng, "float64", rows=20)
    weight = rng.uniform(0, 3, size=20)
    each = [network.loss(x[i : i + 1], y[i : i + 1]) for i in range(20)]
    assert network.loss(x, y, sample_weight=weight) == pytest.approx(np.mean(weight * each), rel=1e-12)
    history = network.fit(x, y, batch_size=20, sample_weight=weight)
    assert history.loss == [pytest.approx(np.mean(weight * each), rel=1e-12)]


@the_three
def test_weights_of_one_and_zero(rng, case):
    """Rows of weight 0 are as good as absent, but for the n that the sum is divided by."""
    _, x, y = prepared(case, rng, "float64")
    ones = thetas(case, x, y, "float64", sample_weight=np.ones(ROWS))
    assert_close(ones, thetas(case, x, y, "float64"), 1e-12)
    half = (np.arange(ROWS) % 2).astype(float)
    kept = np.flatnonzero(half)
    options = {"epochs": 3, "shuffle": False}
    network = case.network("float64")
    network.fit(x, y, sample_weight=2 * half, batch_size=10, optimizer=fn.SGD(0.1), **options)
    subset = case.network("float64")
    subset.fit(x[kept], y[kept], batch_size=5, optimizer=fn.SGD(0.1), **options)
    assert_close(network.theta, subset.theta, 1e-10)


@pytest.mark.parametrize("case", [BINARY_MLP, SOFTMAX_MLP], ids=["binary", "classes"])
def test_class_weights_are_sample_weights(rng, case):
    _, x, y = prepared(case, rng, "float64")
    labels = np.ravel(y).astype(int)
    by_class = {0: 0.5, 1: 2.0}
    expected = thetas(case, x, y, "float64", sample_weight=[by_class.get(label, 1.0) for label in labels])
    assert_same_bits(thetas(case, x, y, "float64", class_weight=by_class), expected)
    present, counts = np.unique(labels, return_counts=True)
    balanced = ROWS / (len(present) * counts)
    weight = balanced[np.searchsorted(present, labels)]
    expected = thetas(case, x, y, "float64", sample_weight=weight)
    assert_same_bits(thetas(case, x, y, "float64", class_weight="balanced"), expected)
    both = thetas(case, x, y, "float64", class_weight=by_class, sample_weight=weight)
    product = weight * [by_class.get(label, 1.0) for label in labels]
    assert_close(both, thetas(case, x, y, "float64", sample_weight=product), 1e-12)
