"""save and load: the same predictions, and a training that goes on as if it had never stopped."""

import numpy as np
import pytest
from compare import assert_same_bits
from networks import BINARY_MLP, CNN, EVERY_KIND

import fastnn as fn

pytest.importorskip("safetensors", reason="safetensors, which files are written with, isn't installed")

pytestmark = pytest.mark.usefixtures("backend")

OPTIMIZERS = {
    "SGD": fn.SGD(0.1),
    "momentum": fn.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adam": fn.Adam(0.01, beta1=0.8, l2=0.1),
    "AdamW": fn.AdamW(0.01),
    "a schedule": fn.Adam(fn.WarmUp(fn.Cosine(0.05, steps=40), steps=4)),
}
CASES = {"binary MLP": BINARY_MLP, "CNN": CNN} | {
    name: EVERY_KIND[name] for name in ("dropout", "batch norm of channels")
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("case", EVERY_KIND.values(), ids=EVERY_KIND)
def test_a_loaded_network_is_the_same(rng, dtype, path, case):
    network = case.network(dtype, seed=3)
    x, y = case.data(rng, 20, network.output_shape)
    network.fit(x, y, batch_size=8)
    network.save(path)
    loaded = fn.load(path)
    assert repr(loaded) == repr(network)
    assert list(loaded.parameters) == list(network.parameters)
    assert loaded.evaluate(x, y) == network.evaluate(x, y)
    assert_same_bits(loaded.predict(x), network.predict(x))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_training_goes_on_as_if_it_had_never_stopped(rng, path, case, optimizer):
    options = {"batch_size": 8, "optimizer": optimizer}
    network = case.network("float32", seed=3)
    x, y = case.data(rng, 30, network.output_shape)
    expected = network.fit(x, y, epochs=5, **options)
    parts = case.network("float32", seed=3)
    losses = parts.fit(x, y, epochs=2, **options).loss
    parts.save(path)
    loaded = fn.load(path)
    losses += loaded.fit(x, y, epochs=3, **options).loss
    assert losses == expected.loss
    assert_same_bits(loaded.theta, network.theta)
    assert loaded.step_number == network.step_number
    for name, value in network.statistics.items():
        assert_same_bits(loaded.statistics[name], value, name)


def test_a_function_as_the_rate_must_be_given_again(rng, path):
    network = BINARY_MLP.network("float32")
    x, y = BINARY_MLP.data(rng, 30, (1,))

    def rate(step):
        return 0.1 / (1 + step)

    network.fit(x, y, batch_size=8, optimizer=fn.Adam(rate))
    network.save(path)
    loaded = fn.load(path)
    for each in (network, loaded):
        each.fit(x, y, batch_size=8, optimizer=fn.Adam(rate))
    assert_same_bits(loaded.theta, network.theta)


def test_what_is_no_network(rng, path, tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(FileNotFoundError):
        fn.load(tmp_path / "nothing")
    path.write_bytes(b"no such format")
    with pytest.raises(ValueError, match="safetensors"):
        fn.load(path)
    save_file({"theta": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="fastnn"):
        fn.load(path)
    BINARY_MLP.network().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="safetensors"):
        fn.load(path)


def test_a_save_that_fails_leaves_the_file(path, monkeypatch):
    network = BINARY_MLP.network()
    network.save(path)
    before = path.read_bytes()
    network.theta[...] = 1
    monkeypatch.setattr("safetensors.numpy.save_file", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        network.save(path)
    assert path.read_bytes() == before
