"""A convolution and the max pool after it as one op, of blocks of 16 images: predictions keep their bits."""

import numpy as np
import pytest
from compare import assert_close, assert_identical, assert_same_bits

import fastnn as fn
from fastnn.compiler import _compile
from fastnn.fusion import fuse
from fastnn.kernels import native
from fastnn.ops import Tensor, make_op

D, R, C = fn.Dense, fn.ReLU(), fn.Conv2D
POOLED = {
    "LeNet": ([C(6, 5), R, fn.MaxPool2D(2), C(7, 3), R, fn.MaxPool2D(2)], (1, 20, 19)),
    "relu after the pool": ([C(3, 3, padding=1), fn.MaxPool2D(3), R, C(4, 2), fn.MaxPool2D(2)], (2, 13, 14)),
    "wide": ([C(4, (2, 5), padding=(0, 1), dilation=(2, 1)), R, fn.MaxPool2D(2)], (3, 9, 22)),
    "Winograd": ([C(17, 1), R, C(33, 3, padding=1), R, fn.MaxPool2D(2)], (1, 17, 18)),
    "Winograd of larger windows": ([C(24, 1), R, C(25, 5, padding=2), R, fn.MaxPool2D(2)], (1, 9, 11)),
    "few taps": ([C(5, 3, padding=1), R, fn.MaxPool2D(2), C(4, 1), R, fn.MaxPool2D(3)], (1, 14, 11)),
    "Winograd along rows": ([C(6, 5), R, fn.MaxPool2D(2), C(7, 5), R, fn.MaxPool2D(3)], (1, 28, 28)),
    "nine channels": ([C(9, 2), fn.Tanh(), C(5, 3), R, fn.MaxPool2D(2)], (1, 9, 10)),
}
KERNELS = {
    "conv2d_max_pool2d",
    "conv2d_max_pool2d_backward_weight",
    "conv2d_max_pool2d_backward_input",
}


@pytest.fixture(autouse=True)
def always(monkeypatch):
    """Where it can be done it is, also where another form is faster."""
    monkeypatch.setattr(native, "conv2d_takes_pool", lambda *_: True)
    _compile.cache_clear()
    yield
    _compile.cache_clear()


def network(layers, input_shape, dtype="float32"):
    """A network with biases, which are zeros at first."""
    net = fn.Network([*layers, fn.Flatten(), D(3), fn.Softmax()], input_shape, dtype=dtype)
    for name in ("b1", "b2"):
        net.parameters[name][...] = np.linspace(-0.3, 0.4, net.parameters[name].size)
    return net


def data(rng, rows, input_shape, dtype="float32"):
    return rng.normal(size=(rows, *input_shape)).astype(dtype), rng.integers(0, 3, size=rows)


def kernels(net, rows, training):
    return {op.kernel for op in net.program(rows, training).ops}


@pytest.mark.parametrize(("layers", "input_shape"), POOLED.values(), ids=POOLED)
def test_a_row_has_the_same_bits_alone_and_unfused(rng, dtype, layers, input_shape):
    net = network(layers, input_shape, dtype)
    x, _ = data(rng, 39, input_shape, dtype)
    predicted = net.predict(x)
    assert "conv2d_max_pool2d" in kernels(net, 39, training=False)
    assert_same_bits(predicted, np.concatenate([net.predict(row[None]) for row in x]))
    *_, unfused = net.trace(x).values()
    assert_same_bits(predicted, unfused)


@pytest.mark.parametrize(("layers", "input_shape"), POOLED.values(), ids=POOLED)
def test_gradients_are_those_of_the_trace(rng, dtype, layers, input_shape):
    """Up to the rounding of sums of 10,000 products, which the trace may do in Winograd's form."""
    net = network(layers, input_shape, dtype)
    x, y = data(rng, 39, input_shape, dtype)
    trace = net.trace(x, y)
    for name, gradient in net.gradients(x, y).items():
        assert_close(gradient, trace[f"d{name}"], 1e-5 if dtype == np.float32 else 1e-13, f"d{name}")


@pytest.mark.parametrize(("layers", "input_shape"), POOLED.values(), ids=POOLED)
def test_training_is_that_of_unfused_batches(rng, layers, input_shape, monkeypatch):
    """Of 40 rows the last 8 fill half a block."""
    x, y = data(rng, 40, input_shape, "float64")
    fused, unfused = (network(layers, input_shape, "float64") for _ in range(2))
    history = fused.fit(x, y, epochs=3, batch_size=16)
    monkeypatch.setattr(native, "conv2d_takes_pool", lambda *_: False)
    _compile.cache_clear()
    assert_close(history.loss, unfused.fit(x, y, epochs=3, batch_size=16).loss, 1e-13)
    assert_close(fused.theta, unfused.theta, 1e-11)


def test_threads_give_the_same_bits(rng, dtype):
    net = network(*POOLED["LeNet"], dtype)
    program = net.program(48)
    assert kernels(net, 48, training=True) >= KERNELS
    program["X"][...], program["Y"][...] = data(rng, 48, (1, 20, 19), dtype)
    gradients = []
    for threads in (1, 2, 3, 4):
        before = {name: each.copy() for name, each in net.state.copy(optimizer=True).items()}
        program.executor.run(threads)
        gradients.append(program["gradient"].copy())
        net.state.restore(before)
    for gradient in gradients[1:]:
        assert_same_bits(gradient, gradients[0])


def test_nan_and_infinity_stay(rng, dtype):
    layers, input_shape = POOLED["LeNet"]
    net = network(layers, input_shape, dtype)
    x, y = data(rng, 16, input_shape, dtype)
    x[0, 0, 3, 4], x[1, 0, 0, 0], x[2, 0, 7, 7] = np.nan, np.inf, -np.inf
    *_, expected = net.trace(x).values()
    assert np.isnan(expected[0]).all()
    assert_identical(net.predict(x), expected)
    trace = net.trace(x, y)
    for name, gradient in net.gradients(x, y).items():
        assert_identical(np.isnan(gradient), np.isnan(trace[f"d{name}"]), f"d{name}")


@pytest.mark.parametrize(
    "layers",
    [
        [C(3, 3), fn.MaxPool2D(2, stride=1)],
        [C(3, 3), fn.MaxPool2D(3, padding=1)],
        [C(3, 3), fn.MaxPool2D((2, 1))],
        [C(3, 3), fn.AvgPool2D(2)],
        [C(3, 3), fn.Tanh(), fn.MaxPool2D(2)],
    ],
)
def test_other_pools_stay_ops_of_their_own(layers):
    net = network(layers, (1, 8, 8))
    for training in (False, True):
        assert not kernels(net, 16, training) & KERNELS


@pytest.mark.parametrize(("between", "kept"), [([], True), ([R], False), ([fn.BatchNorm()], False)])
def test_what_only_pairs_touch_is_kept_in_blocks(between, kept):
    net = network([C(3, 3), R, fn.MaxPool2D(2), *between, C(4, 2), fn.MaxPool2D(2)], (1, 14, 14))
    for training in (False, True):
        operands = [each for op in net.program(20, training).ops for each in op.operands if each is not None]
        shapes = {each.name: each.shape for each in operands}
        assert shapes.get("P1_blocks") == ((2, 3, 37, 16) if kept else None)
        assert shapes.get("dP1_blocks") == ((2, 3, 37, 16) if kept and training else None)


def test_numba_keeps_them_apart():
    pytest.importorskip("numba", reason="numba isn't installed")
    net = network(*POOLED["LeNet"])
    with fn.use_backend("numba"):
        assert not kernels(net, 16, training=True) & KERNELS
    assert kernels(net, 16, training=True) >= KERNELS


def test_what_others_read_is_stored():
    """A1 has another reader."""
    x, a = Tensor("X", (16, 1, 6, 6), "float32"), Tensor("A1", (16, 2, 4, 4), "float32")
    w, p, b = (
        Tensor(name, shape, "float32")
        for name, shape in (("W1", (2, 1, 3, 3)), ("P1", (16, 2, 2, 2)), ("B", a.shape))
    )
    sizes = dict(n=16, c=1, h=6, w=6, filters=2, r=3, s=3, groups=1, out_h=4, out_w=4, relu=0)
    sizes |= {f"{name}_{axis}": value for name, value in (("stride", 1), ("dilation", 1)) for axis in "hw"}
    conv = make_op("conv2d", [x, w, None], [a], sizes | {"pad_top": 0, "pad_left": 0})
    window = dict(r=2, s=2, stride_h=2, stride_w=2, pad_top=0, pad_left=0, out_h=2, out_w=2)
    pool = make_op("max_pool2d", [a], [p], {"planes": 32, "h": 4, "w": 4} | window)
    assert [op.kernel for op in fuse([conv, pool])] == ["conv2d_max_pool2d"]
    ops = [conv, pool, make_op("tanh", [a], [b], {"size": a.size})]
    assert fuse(ops) == ops


def test_where_it_is_faster_a_row_keeps_its_bits_too(rng, dtype, monkeypatch):
    """Left to the kernels: of 3 x 3 windows of many channels a pool of 3 stays apart, as fewer images do."""
    monkeypatch.undo()
    _compile.cache_clear()
    for pool in (2, 3):
        layers = [C(17, 5), R, fn.MaxPool2D(2), C(33, 3, padding=1), R, fn.MaxPool2D(pool)]
        net = network(layers, (2, 26, 25), dtype)
        x, _ = data(rng, 32, (2, 26, 25), dtype)
        assert_same_bits(net.predict(x), np.concatenate([net.predict(row[None]) for row in x]))
