"""fit: history, order of the rows, weights, validation, callbacks, optimizers that go on, threads."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from compare import assert_close, assert_same_bits
from networks import BINARY_MLP, CNN, EVERY_KIND, SOFTMAX_MLP, THE_THREE, rows_for_a_team

import fastnn as fn

pytestmark = pytest.mark.usefixtures("backend")

the_three = pytest.mark.parametrize("case", THE_THREE.values(), ids=THE_THREE)
ROWS = 70


def prepared(case, rng, dtype="float32", rows=ROWS):
    network = case.network(dtype)
    x, y = case.data(rng, rows, network.output_shape)
    return network, x.astype(dtype), y


def thetas(case, x, y, dtype="float32", **options):
    """The parameters after a training of a fresh network."""
    network = case.network(dtype)
    network.fit(x, y, **({"epochs": 2, "batch_size": 16} | options))
    return network.theta


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


def test_data_in_any_form_trains_alike(rng, tmp_path):
    """Float64, integers, any strides, memory maps: the numbers count."""
    _, x, y = prepared(CNN, rng)
    x = np.round(4 * x)
    expected = thetas(CNN, x, y)
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
        assert_same_bits(thetas(CNN, form, y), expected, name)
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


def test_inputs_stay_as_they_were(rng):
    network, x, y = prepared(CNN, rng)
    weight = rng.random(ROWS)
    copies = x.copy(), y.copy(), weight.copy()
    for array in (x, y, weight):
        array.flags.writeable = False
    network.fit(x, y, sample_weight=weight, epochs=2)
    for array, before in zip((x, y, weight), copies, strict=True):
        assert_same_bits(array, before)


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


# --- validation, callbacks -----------------------------------------------------------------------------


def test_validation_fraction_takes_the_last_rows(rng):
    network, x, y = prepared(SOFTMAX_MLP, rng)
    history = network.fit(x, y, epochs=2, batch_size=16, validation_fraction=0.3)
    other = SOFTMAX_MLP.network("float32")
    expected = other.fit(x[:49], y[:49], epochs=2, batch_size=16, validation_data=(x[49:], y[49:]))
    assert history.validation_loss == expected.validation_loss
    assert_same_bits(network.theta, other.theta)


class Recorder(fn.Callback):
    """Keeps what it is called with; ends the training at `last`."""

    def __init__(self, last=None):
        self.calls = []
        self.last = last

    def on_train_begin(self, network, epochs, metrics):
        self.calls.append(("begin", epochs, metrics))

    def on_epoch_end(self, network, epoch, logs):
        self.calls.append(("epoch", epoch, dict(logs)))
        return epoch == self.last

    def on_train_end(self, network):
        self.calls.append(("end",))


def test_callbacks_of_epochs(rng):
    network, x, y = prepared(BINARY_MLP, rng)
    recorder, second = Recorder(), Recorder()
    history = network.fit(x, y, epochs=3, callbacks=[recorder, second], validation_data=(x, y))
    assert [call[0] for call in recorder.calls] == ["begin", "epoch", "epoch", "epoch", "end"]
    assert recorder.calls == second.calls
    names = {"loss", "learning_rate", "seconds", "validation_loss", "validation_accuracy"}
    assert recorder.calls[0][1] == 3
    assert set(recorder.calls[0][2]) == names
    for number, call in enumerate(recorder.calls[1:-1]):
        assert call[1] == number + 1
        assert call[2] == {name: getattr(history, name)[number] for name in names}


def test_a_callback_ends_the_training(rng):
    network, x, y = prepared(BINARY_MLP, rng)
    recorder = Recorder(last=2)
    after = Recorder()
    assert len(network.fit(x, y, epochs=9, callbacks=[recorder, after]).loss) == 2
    assert [call[0] for call in after.calls] == ["begin", "epoch", "epoch", "end"]
    assert network.epoch == 2


def test_an_error_in_a_callback_ends_the_training_in_order(rng):
    class Failing(fn.Callback):
        def on_epoch_end(self, network, epoch, logs):
            raise RuntimeError("enough")

    network, x, y = prepared(BINARY_MLP, rng)
    recorder = Recorder()
    with pytest.raises(RuntimeError, match="enough"):
        network.fit(x, y, epochs=3, callbacks=[recorder, Failing()])
    assert recorder.calls[-1] == ("end",)
    network.fit(x, y)


@the_three
def test_callbacks_of_batches_change_nothing(rng, case):
    class Batches(fn.Callback):
        def __init__(self):
            self.steps, self.losses = [], []

        def on_batch_end(self, network, step, logs):
            self.steps.append(step)
            self.losses.append(logs["loss"])

    _, x, y = prepared(case, rng)
    batches = Batches()
    network = case.network("float32")
    history = network.fit(x, y, epochs=2, batch_size=16, callbacks=[batches])
    assert batches.steps == list(range(1, 11))
    assert_same_bits(network.theta, thetas(case, x, y))
    rows = np.array([16, 16, 16, 16, 6])
    assert history.loss == pytest.approx(np.reshape(batches.losses, (2, 5)) @ rows / ROWS)


def test_early_stopping_restores_the_best_weights(rng):
    """Labels at random: what is learned of some is nothing for the others."""
    case = EVERY_KIND["batch norm"]
    network = case.network("float64")
    x, y = case.data(rng, 60, network.output_shape)
    stopping = fn.EarlyStopping(patience=4)
    fitted, held_out = (x[:30], y[:30]), (x[30:], y[30:])
    history = network.fit(
        *fitted,
        epochs=500,
        batch_size=10,
        optimizer=fn.Adam(0.05),
        validation_data=held_out,
        callbacks=[stopping],
    )
    best = min(history.validation_loss)
    assert len(history.loss) < 500
    assert len(history.loss) == stopping.best_epoch + 4
    assert history.validation_loss[stopping.best_epoch - 1] == best == stopping.best
    assert network.evaluate(*held_out)["loss"] == best


def test_early_stopping_on_accuracy_goes_upwards(rng):
    network, x, y = prepared(SOFTMAX_MLP, rng)
    stopping = fn.EarlyStopping(patience=3, monitor="validation_accuracy")
    history = network.fit(
        x, y, epochs=60, validation_data=(x, y), optimizer=fn.Adam(0.01), callbacks=[stopping]
    )
    assert stopping.best == max(history.validation_accuracy) > 0.9


def test_progress_shows_the_epochs(rng, capsys):
    network, x, y = prepared(BINARY_MLP, rng)
    network.fit(x, y, epochs=3, progress=True)
    shown = capsys.readouterr().err
    assert "3/3" in shown
    assert "loss" in shown
    network.fit(x, y, epochs=3)
    assert capsys.readouterr() == ("", "")


# --- optimizers ----------------------------------------------------------------------------------------


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


# --- what goes wrong, and what goes on meanwhile ---------------------------------------------------------


def test_a_loss_that_turns_infinite_ends_the_training(rng):
    network, x, y = prepared(EVERY_KIND["linear regression"], rng)
    with pytest.warns(RuntimeWarning, match=r"loss turned (inf|nan) in epoch \d+, at its step \d+"):
        history = network.fit(x, y, epochs=500, batch_size=16, optimizer=fn.SGD(50.0))
    assert len(history.loss) < 500
    assert not np.isfinite(history.loss[-1])


@pytest.mark.parametrize("batch_size", [16, ROWS])
def test_the_last_good_weights_are_kept_if_asked(rng, batch_size):
    network, x, y = prepared(EVERY_KIND["linear regression"], rng)
    with pytest.warns(RuntimeWarning, match="loss turned"):
        network.fit(x, y, epochs=500, batch_size=batch_size, optimizer=fn.SGD(50.0), keep_good=True)
    assert np.isfinite(network.theta).all()
    assert np.isfinite(network.evaluate(x, y)["loss"])
    network.fit(x, y, optimizer=fn.SGD(0.01))


def test_the_gil_is_free_during_an_epoch(rng):
    network, x, y = prepared(SOFTMAX_MLP, rng, rows=1000)
    network.fit(x, y)
    started = threading.Event()

    def fit():
        started.set()
        for _ in range(4):
            network.fit(np.tile(x, (150, 1)), np.tile(y, 150))

    worker = threading.Thread(target=fit)
    worker.start()
    started.wait()
    longest, turns, last = 0.0, 0, time.perf_counter()
    while worker.is_alive():
        time.sleep(0.001)
        now = time.perf_counter()
        longest, turns, last = max(longest, now - last), turns + 1, now
    assert turns > 20, f"this thread had {turns} turns, the longest wait took {longest:.3f} s"


def test_no_scratch_is_allocated_after_the_first_epoch(rng, backend):
    if backend != "cython":
        pytest.skip("the counter is of the compiled kernels")
    from fastnn.kernels import native

    network, x, y = prepared(CNN, rng)
    network.fit(x, y, epochs=2, batch_size=16)
    before = native.scratch_allocations()
    network.fit(x, y, epochs=5, batch_size=16)
    assert native.scratch_allocations() == before


def test_the_data_is_not_copied(rng, tmp_path):
    """While a memory map of 32 MB is trained on, less than 2 MB are allocated."""
    import tracemalloc

    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(40_000, 800))
    x[:, 0] = rng.integers(0, 256, size=40_000)
    y = x[:, 0] > 127
    network = fn.Network([fn.Dense(2), fn.ReLU(), fn.Dense(1), fn.Sigmoid()], (800,), input_scale=1 / 255)
    network.fit(x[:64], y[:64])
    tracemalloc.start()
    try:
        network.fit(x, y, epochs=1, batch_size=64)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e6


INTERRUPTED = """
import os, signal, threading
import numpy as np
import fastnn as fn

fn.set_backend({backend!r})
x = np.random.default_rng(0).normal(size=(4000, 64)).astype(np.float32)
y = np.arange(4000) % 10
network = fn.Network([fn.Dense(64), fn.ReLU(), fn.Dense(10), fn.Softmax()], (64,), seed=0)
network.fit(x, y)
rows = {rows}
many_x, many_y = np.broadcast_to(x[:1], (rows, 64)), np.zeros(rows, int)
threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    network.fit(many_x, many_y, epochs=1_000_000, shuffle=False)
except KeyboardInterrupt:
    print("interrupted", network.step_number > 125)
assert np.isfinite(network.theta).all()
assert network.predict(x).shape == (4000, 10)
network.fit(x, y)
print("goes on")
"""


@pytest.mark.parametrize("rows", [320, 20_000_000], ids=["between epochs", "within an epoch"])
def test_ctrl_c_ends_the_training(backend, rows):
    program = INTERRUPTED.format(backend=backend, rows=rows)
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["interrupted True", "goes on"]
