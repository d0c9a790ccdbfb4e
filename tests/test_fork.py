"""A process forked from one whose threads have worked can go on computing: libgomp's own threads can't."""

import multiprocessing
import os

import numpy as np
import pytest

import fastnn as fn

SECONDS = 60  # far more than it takes; a child that hangs is ended then

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system"),
    pytest.mark.usefixtures("backend"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def large_work():
    """A product, a training and a prediction that are each worth two threads."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 300)).astype(np.float32)
    network = fn.Network([fn.Dense(200), fn.ReLU(), fn.Dense(10), fn.Softmax()], (300,), seed=0)
    history = network.fit(a, np.arange(300) % 10, epochs=2, batch_size=100)
    product = fn.functional.matmul(a, a)
    return [product.tobytes(), network.theta.tobytes(), network.predict(a).tobytes(), history.loss]


def send_large_work(connection):
    connection.send(large_work())


def test_a_forked_child_computes_the_same():
    fn.set_num_threads(2)
    expected = large_work()
    forking = multiprocessing.get_context("fork")
    for _ in range(2):
        receiver, sender = forking.Pipe(duplex=False)
        child = forking.Process(target=send_large_work, args=(sender,))
        child.start()
        try:
            assert receiver.poll(SECONDS), "the child hangs"
            assert receiver.recv() == expected
            child.join(SECONDS)
            assert child.exitcode == 0
        finally:
            child.kill()
    assert large_work() == expected, "the parent isn't what it was"
