"""The same bits, whatever the number of threads, the run, the place in memory, and the batch of a row."""

import numpy as np
import pytest
from arrays import LAYOUTS, normal
from compare import assert_same_bits

import fastnn as fn
import fastnn.functional as F
from fastnn import backend as fastnn_backend

pytestmark = pytest.mark.usefixtures("backend")

_rng = np.random.default_rng(0)


def _normal(*shape):
    return _rng.normal(size=shape)


def _probabilities(*shape):
    return _rng.uniform(0.1, 0.9, size=shape)


# Of odd sizes, that no number of threads divides; the products are large enough for a team of themselves.
CALLS = {
    "matmul": (F.matmul, (_normal(203, 151), _normal(151, 197)), {}),
    "matmul of few rows": (F.matmul, (_normal(3, 1511), _normal(1511, 997)), {}),
    "matmul of few columns": (F.matmul, (_normal(5011, 151), _normal(151, 3)), {}),
    "matmul, transposed": (
        F.matmul,
        (_normal(151, 203), _normal(197, 151)),
        {"transpose_a": True, "transpose_b": True},
    ),
    "linear": (F.linear, (_normal(203, 151), _normal(151, 197), _normal(197)), {"activation": "relu"}),
    "linear_backward": (F.linear_backward, (_normal(203, 197), _normal(203, 151), _normal(151, 197)), {}),
    "relu": (F.relu, (_normal(100_003),), {}),
    "relu_backward": (F.relu_backward, (_normal(100_003), _normal(100_003)), {}),
    "sigmoid": (F.sigmoid, (_normal(100_003),), {}),
    "sigmoid_backward": (F.sigmoid_backward, (_normal(100_003), _normal(100_003)), {}),
    "tanh": (F.tanh, (_normal(100_003),), {}),
    "tanh_backward": (F.tanh_backward, (_normal(100_003), _normal(100_003)), {}),
    "softmax": (F.softmax, (_normal(20_011, 11),), {}),
    "softmax_backward": (F.softmax_backward, (_normal(20_011, 11), _probabilities(20_011, 11)), {}),
    "log_softmax": (F.log_softmax, (_normal(20_011, 11),), {}),
    "log_loss": (F.log_loss, (_probabilities(100_003), _probabilities(100_003)), {}),
    "log_loss_backward": (F.log_loss_backward, (_probabilities(100_003), _probabilities(100_003)), {}),
    "log_loss_with_logits": (F.log_loss_with_logits, (_normal(100_003), _probabilities(100_003)), {}),
    "log_loss_with_logits_backward": (
        F.log_loss_with_logits_backward,
        (_normal(20_011, 11), _rng.integers(0, 11, size=20_011)),
        {},
    ),
    "conv2d": (F.conv2d, (_normal(7, 5, 29, 31), _normal(9, 5, 3, 3), _normal(9)), {"padding": 1}),
    "conv2d of one image": (
        F.conv2d,
        (_normal(1, 5, 61, 63), _normal(9, 5, 3, 3), _normal(9)),
        {"padding": 1},
    ),
    "conv2d_backward": (
        F.conv2d_backward,
        (_normal(7, 9, 29, 31), _normal(7, 5, 29, 31), _normal(9, 5, 3, 3)),
        {"padding": 1},
    ),
    "conv2d, depthwise": (
        F.conv2d,
        (_normal(7, 30, 29, 31), _normal(30, 1, 3, 3), _normal(30)),
        {"padding": 1, "groups": 30},
    ),
    "conv2d_backward, depthwise": (
        F.conv2d_backward,
        (_normal(7, 30, 29, 31), _normal(7, 30, 29, 31), _normal(30, 1, 3, 3)),
        {"padding": 1, "groups": 30},
    ),
    "conv2d of small planes": (
        F.conv2d,
        (_normal(37, 17, 6, 6), _normal(35, 17, 3, 3), _normal(35)),
        {"padding": 1},
    ),
    "conv2d_backward of small planes": (
        F.conv2d_backward,
        (_normal(37, 35, 6, 6), _normal(37, 17, 6, 6), _normal(35, 17, 3, 3)),
        {"padding": 1},
    ),
    "conv2d of blocks in Winograd's form": (
        F.conv2d,
        (_normal(35, 17, 10, 11), _normal(33, 17, 3, 3), _normal(33)),
        {"padding": 1},
    ),
    "conv2d_backward of blocks in Winograd's form": (
        F.conv2d_backward,
        (_normal(35, 33, 10, 11), _normal(35, 17, 10, 11), _normal(33, 17, 3, 3)),
        {"padding": 1},
    ),
    "conv2d of one image in Winograd's form": (
        F.conv2d,
        (_normal(1, 17, 10, 11), _normal(64, 17, 3, 3), _normal(64)),
        {"padding": 1},
    ),
    "conv2d_backward of many filters in Winograd's form": (
        F.conv2d_backward,
        (_normal(5, 33, 14, 11), _normal(5, 64, 14, 11), _normal(33, 64, 3, 3)),
        {"padding": 1},
    ),
    "conv2d of larger windows in Winograd's form": (
        F.conv2d,
        (_normal(3, 25, 12, 11), _normal(33, 25, 5, 5), _normal(33)),
        {"padding": 2},
    ),
    "conv2d_backward of larger windows in Winograd's form": (
        F.conv2d_backward,
        (_normal(3, 33, 12, 11), _normal(3, 25, 12, 11), _normal(33, 25, 5, 5)),
        {"padding": 2},
    ),
    "conv2d of larger windows with a stride in Winograd's form": (
        F.conv2d,
        (_normal(35, 33, 14, 15), _normal(33, 33, 4, 4), _normal(33)),
        {"padding": 1, "stride": 2},
    ),
    "conv2d_backward of larger windows with a stride in Winograd's form": (
        F.conv2d_backward,
        (_normal(3, 49, 8, 9), _normal(3, 48, 16, 17), _normal(49, 48, 5, 5)),
        {"padding": 2, "stride": 2},
    ),
    "conv2d_backward of blocks": (
        F.conv2d_backward,
        (_normal(37, 7, 6, 8), _normal(37, 3, 10, 12), _normal(7, 3, 5, 5)),
        {},
    ),
    "conv2d_backward of planes made small": (
        F.conv2d_backward,
        (_normal(37, 35, 2, 2), _normal(37, 17, 6, 6), _normal(35, 17, 5, 5)),
        {},
    ),
    "conv2d_naive": (
        F.conv2d_naive,
        (_normal(7, 5, 29, 31), _normal(9, 5, 3, 3), _normal(9)),
        {"padding": 1},
    ),
    "conv2d_naive_backward": (
        F.conv2d_naive_backward,
        (_normal(7, 9, 29, 31), _normal(7, 5, 29, 31), _normal(9, 5, 3, 3)),
        {"padding": 1},
    ),
    "max_pool2d": (F.max_pool2d, (_normal(31, 17, 29, 31), 3, 2, 1), {}),
    "max_pool2d_backward": (
        F.max_pool2d_backward,
        (_normal(31, 17, 15, 16), _normal(31, 17, 29, 31), 3, 2, 1),
        {},
    ),
    "avg_pool2d": (F.avg_pool2d, (_normal(31, 17, 29, 31), 3, 2, 1), {}),
    "avg_pool2d_backward": (
        F.avg_pool2d_backward,
        (_normal(31, 17, 15, 16), _normal(31, 17, 29, 31), 3, 2, 1),
        {},
    ),
}
every_call = pytest.mark.parametrize(("function", "arguments", "options"), CALLS.values(), ids=CALLS)


def rounded(arguments, dtype):
    return [x.astype(dtype) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x for x in arguments]


def bits_of(function, arguments, options):
    results = function(*arguments, **options)
    return [np.asarray(result) for result in (results if isinstance(results, tuple) else (results,))]


def test_every_function_is_here():
    assert {function.__name__ for function, _, _ in CALLS.values()} == set(F.__all__)


@pytest.fixture
def _every_work_is_large(monkeypatch):
    """A single call runs on as many threads as are asked for, whatever its cost, on the checked path."""
    monkeypatch.setattr(fastnn_backend, "threads_for", lambda cost: fn.get_num_threads())
    monkeypatch.setattr(fastnn_backend, "direct", fastnn_backend._Checked())


@pytest.mark.usefixtures("_every_work_is_large")
@every_call
def test_number_of_threads_and_run_to_run(dtype, function, arguments, options):
    arguments = rounded(arguments, dtype)
    fn.set_num_threads(1)
    alone = bits_of(function, arguments, options)
    for threads in (1, 2, 3, 4):
        fn.set_num_threads(threads)
        for _ in range(2):
            for result, right in zip(bits_of(function, arguments, options), alone, strict=True):
                assert_same_bits(result, right, f"on {threads} threads")


@every_call
def test_alignment(dtype, function, arguments, options):
    arguments = rounded(arguments, dtype)
    offset = [LAYOUTS["offset"](x) if isinstance(x, np.ndarray) else x for x in arguments]
    aligned = bits_of(function, arguments, options)
    for result, right in zip(bits_of(function, offset, options), aligned, strict=True):
        assert_same_bits(result, right)


def of_rows(dtype):
    """Functions of rows, with what is the same for all of them."""
    weight, bias, filters = (_CONSTANTS[name].astype(dtype) for name in ("weight", "bias", "filters"))
    transposed = weight.T.copy()

    many, large = (
        transposed[:, : 3 * 3 * 3].reshape(33, 3, 3, 3),
        transposed[:3, : 3 * 5 * 6].reshape(3, 3, 5, 6),
    )

    few_channels = transposed[:3, : 2 * 4 * 3].reshape(3, 2, 4, 3)
    winograd = transposed[:18, : 17 * 9].reshape(18, 17, 3, 3)
    full_vectors = np.resize(transposed, (32, 17, 3, 3))
    larger = np.resize(transposed, (24, 24, 5, 5))
    strided = np.resize(transposed, (64, 64, 3, 3))
    strided_4, strided_5 = np.resize(transposed, (33, 32, 4, 4)), np.resize(transposed, (17, 16, 5, 5))
    along_rows = np.resize(transposed, (7, 3, 5, 5))

    def many_channels(x, channels):
        return np.tile(x, (1, -(-channels // 3), 1, 1))[:, :channels]

    def flat(x):
        return x.reshape(len(x), -1)

    def dx_of_linear(x):
        return F.linear_backward(flat(x), np.zeros((len(x), len(bias)), dtype), transposed)[0]

    return {
        "matmul": lambda x: F.matmul(flat(x), weight),
        "matmul, transposed": lambda x: F.matmul(flat(x), transposed, transpose_b=True),
        "linear": lambda x: F.linear(flat(x), weight, bias),
        "linear with relu": lambda x: F.linear(flat(x), weight, bias, activation="relu"),
        "linear of few columns": lambda x: F.linear(flat(x), weight[:, :3], bias[:3], activation="relu"),
        "linear_backward": dx_of_linear,
        "relu": F.relu,
        "sigmoid": F.sigmoid,
        "tanh": F.tanh,
        "softmax": F.softmax,
        "log_softmax": F.log_softmax,
        "softmax of wide rows": lambda x: F.softmax(flat(x)),
        "log_softmax of wide rows": lambda x: F.log_softmax(flat(x)[:, :47]),
        "softmax_backward of wide rows": lambda x: F.softmax_backward(flat(x), flat(x)[:, ::-1]),
        "conv2d": lambda x: F.conv2d(x, filters, bias[:7], padding=1),
        "conv2d, depthwise": lambda x: F.conv2d(x, filters[:3, :1], bias[:3], padding=1, groups=3),
        "conv2d of small planes": lambda x: F.conv2d(x, many, bias, stride=2),
        "conv2d in Winograd's form": lambda x: F.conv2d(many_channels(x, 17), winograd, bias[:18], padding=2),
        "conv2d of many filters in Winograd's form": lambda x: F.conv2d(
            many_channels(x, 17), full_vectors, padding=2
        ),
        "conv2d of larger windows in Winograd's form": lambda x: F.conv2d(
            many_channels(x, 24), larger, padding=3
        ),
        "conv2d with a stride in Winograd's form": lambda x: F.conv2d(
            many_channels(x, 64), strided, stride=2, padding=5
        ),
        "conv2d of 4 x 4 windows in Winograd's form": lambda x: F.conv2d(
            many_channels(x, 32), strided_4, stride=2, padding=6
        ),
        "conv2d of 5 x 5 windows with a stride in Winograd's form": lambda x: F.conv2d(
            many_channels(x, 16), strided_5, stride=2, padding=7
        ),
        "conv2d in Winograd's form along rows": lambda x: F.conv2d(x, along_rows, bias[:7], padding=2),
        "conv2d_backward in Winograd's form along rows": lambda x: F.conv2d_backward(
            many_channels(x, 6), np.zeros((len(x), 3, *x.shape[2:]), dtype), along_rows[:6], padding=2
        )[0],
        "conv2d_backward in Winograd's form": lambda x: F.conv2d_backward(
            many_channels(x, 18), np.zeros((len(x), 17, 9, 10), dtype), winograd
        )[0],
        "conv2d_backward through a stride in Winograd's form": lambda x: F.conv2d_backward(
            many_channels(x, 17),
            np.zeros((len(x), 16, 2 * x.shape[2], 2 * x.shape[3]), dtype),
            strided_5,
            stride=2,
            padding=2,
        )[0],
        "conv2d_backward of few channels": lambda x: F.conv2d_backward(
            x, np.zeros((len(x), 2, 10, 10), dtype), few_channels
        )[0],
        "conv2d_backward of planes made small": lambda x: F.conv2d_backward(x[:, :, :3, :3], x, large)[0],
        "conv2d_naive": lambda x: F.conv2d_naive(x, filters, bias[:7], padding=1),
        "conv2d_backward": lambda x: F.conv2d_backward(x, x, filters[:3], padding=1)[0],
        "max_pool2d": lambda x: F.max_pool2d(x, 2),
        "avg_pool2d": lambda x: F.avg_pool2d(x, 2),
    }


_CONSTANTS = {"weight": _normal(3 * 7 * 8, 33), "bias": _normal(33), "filters": _normal(7, 3, 3, 3)}


@pytest.mark.parametrize("name", of_rows(np.float64))
def test_a_row_alone_or_in_a_batch(rng, dtype, name):
    function = of_rows(dtype)[name]
    x = normal(rng, 70, 3, 7, 8, dtype=dtype)
    whole = function(x)
    for i in (0, 1, 33, 69):
        assert_same_bits(function(x[i : i + 1]), whole[i : i + 1], f"row {i} alone")
    for size in (2, 5, 16, 69):
        assert_same_bits(function(x[-size:]), whole[-size:], f"the last {size} rows")
