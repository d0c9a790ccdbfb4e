"""What goes wrong during a training, and what goes on meanwhile: losses, Ctrl-C, the GIL, memory."""

import os
import subprocess
import sys
import threading
import time
import tracemalloc

import numpy as np
import pytest
from networks import CNN, EVERY_KIND, ROWS, SOFTMAX_MLP, prepared

import fastnn as fn
from fastnn.kernels import native

pytestmark = pytest.mark.usefixtures("backend")


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
    network, x, y = prepared(CNN, rng)
    network.fit(x, y, epochs=2, batch_size=16)
    before = native.scratch_allocations()
    network.fit(x, y, epochs=5, batch_size=16)
    assert native.scratch_allocations() == before


def test_the_data_is_not_copied(rng, tmp_path):
    """While a memory map of 32 MB is trained on, less than 2 MB are allocated."""
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

signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background has it ignored
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
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["interrupted True", "goes on"]
