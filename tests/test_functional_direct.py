"""The short way from Python objects to the kernels: taken only where it gives what the checked way gives."""

import numpy as np
import pytest
from arrays import normal
from compare import assert_same_bits

import fastnn.functional as F
from fastnn.kernels import native

UNARY = ("relu", "sigmoid", "tanh", "softmax", "log_softmax")
BINARY = ("relu_backward", "sigmoid_backward", "tanh_backward", "softmax_backward")
CHUNK = 2048  # elements of a loss's predictions that are worked on at a time


@pytest.mark.parametrize("name", [*UNARY, *BINARY])
def test_same_bits_as_the_checked_way(rng, dtype, name):
    for shape in ((1,), (5, 3), (33, 10), (3, 4, 33), (2, 700)):
        arrays = [normal(rng, *shape, dtype=dtype) for _ in range(1 if name in UNARY else 2)]
        direct = native.same_shape_direct(name, arrays[0], arrays[1] if name in BINARY else None, None)
        strided = [np.repeat(array, 2, axis=-1)[..., ::2] for array in arrays]  # which the short way refuses
        assert_same_bits(direct, getattr(F, name)(*strided), f"{name}, shape {shape}")


def test_other_arrays_are_refused(rng, dtype):
    x = normal(rng, 4, 6, dtype=dtype)
    read_only = x.copy()
    read_only.flags.writeable = False
    other = np.float64 if dtype == np.float32 else np.float32
    assert native.same_shape_direct("relu", read_only, None, None) is not None
    for wrong in (
        x.T,
        x[:, ::2],
        x.astype(other).tolist(),
        x.astype(np.int32),
        x.astype(dtype.newbyteorder()),
    ):
        assert native.same_shape_direct("relu", wrong, None, None) is None
        assert native.same_shape_direct("relu_backward", x, wrong, None) is None
        assert native.same_shape_direct("relu_backward", wrong, x, None) is None
        assert native.same_shape_direct("relu", x, None, wrong) is None
    for wrong_out in (read_only, x.astype(other), x[:2], x.ravel()):
        before = wrong_out.copy()
        assert native.same_shape_direct("relu", x, None, wrong_out) is None
        assert_same_bits(wrong_out, before)
    whole = normal(rng, 100, dtype=dtype)
    assert native.same_shape_direct("relu", whole[:60], None, whole[4:64]) is None  # they overlap
    assert native.same_shape_direct("softmax", np.array(1, dtype), None, None) is None
    assert native.same_shape_direct("softmax", np.empty((3, 0), dtype), None, None) is None


def test_linear_has_the_bits_of_the_checked_way(rng, dtype):
    for n, inputs, outputs in ((1, 1, 1), (5, 3, 4), (33, 30, 16), (2, 0, 3), (0, 4, 3), (70, 300, 33)):
        x, weight = normal(rng, n, inputs, dtype=dtype), normal(rng, inputs, outputs, dtype=dtype)
        dy, bias = normal(rng, n, outputs, dtype=dtype), normal(rng, outputs, dtype=dtype)
        turned = np.asfortranarray(np.vstack([x, x]))[:n]  # which the short way refuses, but where it's empty
        for activation in (None, "relu"):
            for each in (None, bias):
                direct = native.linear_direct(x, weight, each, activation, None)
                out = np.full_like(dy, 7)
                assert native.linear_direct(x, weight, each, activation, out) is out
                assert_same_bits(out, direct)
                assert_same_bits(direct, F.linear(turned, weight, each, activation=activation))
        direct = native.linear_backward_direct(dy, x, weight)
        for gradient, checked in zip(direct, F.linear_backward(dy, turned, weight), strict=True):
            assert_same_bits(gradient, checked)


def test_linear_refuses_other_arrays(rng, dtype):
    x, weight = normal(rng, 6, 4, dtype=dtype), normal(rng, 4, 5, dtype=dtype)
    dy, bias = normal(rng, 6, 5, dtype=dtype), normal(rng, 5, dtype=dtype)
    other = np.float64 if dtype == np.float32 else np.float32

    def others(array):
        swapped = array.astype(dtype.newbyteorder())
        return [array[::-1], array.astype(other), array.tolist(), swapped, array[:-1], array[None], None]

    assert native.linear_direct(x, weight, bias, "gelu", None) is None
    for wrong in others(weight):
        assert native.linear_direct(x, wrong, bias, None, None) is None
        assert native.linear_backward_direct(dy, x, wrong) is None
    for wrong in others(x):
        if np.shape(wrong) != (5, 4):  # five rows are right for linear alone
            assert native.linear_direct(wrong, weight, bias, None, None) is None
        assert native.linear_backward_direct(dy, wrong, weight) is None
    for wrong in others(dy):
        assert native.linear_backward_direct(wrong, x, weight) is None
    for wrong in others(bias)[:-1]:
        assert native.linear_direct(x, weight, wrong, None, None) is None
    read_only = dy.copy()
    read_only.flags.writeable = False
    whole = normal(rng, 100, dtype=dtype)
    x, out = whole[:24].reshape(6, 4), whole[20:50].reshape(6, 5)  # they overlap
    for wrong_out in (read_only, *others(dy)[:-1]):
        assert native.linear_direct(x, weight, bias, None, wrong_out) is None
    assert native.linear_direct(x, weight, bias, None, out) is None
    assert native.linear_direct(dy.copy(), normal(rng, 5, 5, dtype=dtype), out[0], None, out) is None


# sizes (n, c, h, w, filters, r, s), options
CONVOLUTIONS = [
    ((2, 3, 7, 8, 4, 3, 2), {}),
    ((1, 4, 9, 6, 6, 3, 3), {"stride": 2, "padding": (1, 0), "dilation": (1, 2), "groups": 2}),
    ((3, 2, 5, 5, 2, 5, 5), {"padding": 2, "stride": (3, 1)}),
    ((0, 2, 5, 5, 3, 3, 3), {}),
    ((2, 2, 5, 5, 0, 3, 3), {}),
]
NO_CONVOLUTION = [
    {"stride": 0}, {"stride": True}, {"stride": 1.0}, {"stride": [1, 1]}, {"stride": (1, 0)},
    {"stride": (1, 1, 1)}, {"padding": -1}, {"padding": "same"}, {"padding": 2**70}, {"padding": None},
    {"dilation": 0}, {"dilation": 9}, {"groups": 3}, {"groups": 0}, {"groups": 2},
]  # fmt: skip

USUAL_OPTIONS = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}


def strided(array):
    """An equal array that no short way takes."""
    return np.repeat(array, 2, axis=-1)[..., ::2] if array.size else array[..., ::-1]


def convolution(options):
    """The options as the short way takes them, in order."""
    return [options.get(name, usual) for name, usual in USUAL_OPTIONS.items()]


@pytest.mark.parametrize(("sizes", "options"), CONVOLUTIONS)
def test_convolution_has_the_bits_of_the_checked_way(rng, dtype, sizes, options):
    n, c, h, w, filters, r, s = sizes
    x = normal(rng, n, c, h, w, dtype=dtype)
    weight = normal(rng, filters, c // options.get("groups", 1), r, s, dtype=dtype)
    for bias in (None, normal(rng, filters, dtype=dtype)):
        y = native.conv2d_direct(x, weight, bias, *convolution(options), None)
        out = np.full_like(y, 7)
        assert native.conv2d_direct(x, weight, bias, *convolution(options), out) is out
        assert_same_bits(out, y)
        assert_same_bits(y, F.conv2d(strided(x), weight, bias, **options))
    dy = normal(rng, *y.shape, dtype=dtype)
    direct = native.conv2d_backward_direct(dy, x, weight, *convolution(options))
    for gradient, checked in zip(direct, F.conv2d_backward(dy, strided(x), weight, **options), strict=True):
        assert_same_bits(gradient, checked)


def test_convolution_refuses_other_arguments(rng, dtype):
    x, weight, bias = (normal(rng, *shape, dtype=dtype) for shape in ((2, 2, 6, 6), (3, 2, 3, 3), (3,)))
    dy, usual = normal(rng, 2, 3, 4, 4, dtype=dtype), convolution({})
    for options in NO_CONVOLUTION:
        assert native.conv2d_direct(x, weight, bias, *convolution(options), None) is None, options
        assert native.conv2d_backward_direct(dy, x, weight, *convolution(options)) is None, options
    other = np.float64 if dtype == np.float32 else np.float32

    def others(array):
        return [
            strided(array),
            array.astype(other),
            array.astype(dtype.newbyteorder()),
            array.tolist(),
            array[0],
        ]

    too_large = normal(rng, 3, 2, 7, 3, dtype=dtype)
    for wrong in (*others(weight), weight[:, :1].copy(), weight[:, :, :0], too_large, None):
        assert native.conv2d_direct(x, wrong, bias, *usual, None) is None
        assert native.conv2d_backward_direct(dy, x, wrong, *usual) is None
    for wrong in others(x):
        assert native.conv2d_direct(wrong, weight, bias, *usual, None) is None
        assert native.conv2d_backward_direct(dy, wrong, weight, *usual) is None
    for wrong in (*others(dy), dy[:1], dy[:, :, :3].copy(), None):
        assert native.conv2d_backward_direct(wrong, x, weight, *usual) is None
    for wrong in (*others(bias), bias[:2]):
        assert native.conv2d_direct(x, weight, wrong, *usual, None) is None
    read_only = dy.copy()
    read_only.flags.writeable = False
    whole = np.zeros(200, dtype)  # x, weight or bias in it overlap out
    out = whole[40:136].reshape(dy.shape)
    for wrong in (read_only, *others(dy)[:-1], dy[:1], dy[:, :, :3].copy()):
        assert native.conv2d_direct(x, weight, bias, *usual, wrong) is None
    assert native.conv2d_direct(whole[:144].reshape(x.shape), weight, bias, *usual, out) is None
    assert native.conv2d_direct(x, whole[:54].reshape(weight.shape), bias, *usual, out) is None
    assert native.conv2d_direct(x, weight, whole[135:138], *usual, out) is None
    assert not whole.any()


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_pooling_has_the_bits_of_the_checked_way(rng, dtype, name):
    average, back = name == "avg_pool2d", getattr(F, f"{name}_backward")
    for window, stride, padding in ((2, None, 0), ((3, 2), (2, 1), 1), (3, 1, (0, 1)), (7, None, 0)):
        x = normal(rng, 3, 2, 7, 8, dtype=dtype)
        y = native.pool2d_direct(average, x, window, stride, padding, None)
        out = np.full_like(y, 7)
        assert native.pool2d_direct(average, x, window, stride, padding, out) is out
        assert_same_bits(out, y)
        assert_same_bits(y, getattr(F, name)(strided(x), window, stride, padding))
        dy = normal(rng, *y.shape, dtype=dtype)
        dx = native.pool2d_backward_direct(average, dy, x, window, stride, padding, None)
        out = np.full_like(x, 7)
        assert native.pool2d_backward_direct(average, dy, x, window, stride, padding, out) is out
        assert_same_bits(out, dx)
        assert_same_bits(dx, back(dy, strided(x), window, stride, padding))


@pytest.mark.parametrize("average", [False, True])
def test_pooling_refuses_other_arguments(rng, dtype, average):
    x, dy = normal(rng, 2, 3, 6, 6, dtype=dtype), normal(rng, 2, 3, 3, 3, dtype=dtype)
    for window, stride, padding in (
        (0, None, 0), (2, 0, 0), (2, None, 2), (2, None, -1), (7, None, 0), (2.0, None, 0), (True, None, 0),
        ([2, 2], 2, 0), (2, (2, 2, 2), 0), (2**70, None, 0), ((2, 2**70), 1, 0),
    ):  # fmt: skip
        assert native.pool2d_direct(average, x, window, stride, padding, None) is None
        assert native.pool2d_backward_direct(average, dy, x, window, stride, padding, None) is None
    other = np.float64 if dtype == np.float32 else np.float32
    read_only = x.copy()
    read_only.flags.writeable = False
    assert native.pool2d_backward_direct(average, dy, x.astype(other), 2, None, 0, None) is None
    for wrong in (strided(x), x.astype(dtype.newbyteorder()), x.tolist(), x[0], x[:, :, :0], None):
        assert native.pool2d_direct(average, wrong, 2, None, 0, None) is None
        assert native.pool2d_backward_direct(average, dy, wrong, 2, None, 0, None) is None
    for wrong in (strided(dy), dy.astype(other), dy.tolist(), dy[:1], dy[0]):
        assert native.pool2d_backward_direct(average, wrong, x, 2, None, 0, None) is None
        assert native.pool2d_direct(average, x, 2, None, 0, wrong) is None
    assert native.pool2d_backward_direct(average, None, x, 2, None, 0, None) is None
    assert native.pool2d_direct(average, read_only, 2, None, 0, None) is not None
    for wrong in (read_only, strided(x), x[:1], x):
        assert native.pool2d_backward_direct(average, dy, x, 2, None, 0, wrong) is None
    whole = np.zeros(400, dtype)
    x = whole[:216].reshape(x.shape)
    assert native.pool2d_direct(average, x, 2, None, 0, whole[200:254].reshape(dy.shape)) is None
    dy = whole[390 - 54 : 390].reshape(dy.shape)
    x_shaped = whole[384 - 216 : 384].reshape(x.shape)
    assert (
        native.pool2d_backward_direct(average, dy, normal(rng, *x.shape, dtype=dtype), 2, None, 0, x_shaped)
        is None
    )
    assert not whole.any()


def examples(rng, dtype):
    """Predictions and labels, binary and over classes, of fewer and more rows than a chunk has."""
    for rows in (1, 100, CHUNK, CHUNK + 1, 3 * CHUNK + 7):
        p = rng.uniform(0.01, 0.99, rows).astype(dtype)
        yield p, rng.random(rows).astype(dtype)
        yield p.reshape(rows, 1), rng.integers(0, 2, rows).astype(dtype)
    for rows, columns in ((1, 2), (300, 10), (1000, 33), (3, CHUNK + 5)):
        yield rng.uniform(0.01, 0.99, (rows, columns)).astype(dtype), rng.integers(0, columns, rows)


@pytest.mark.parametrize("with_logits", [False, True])
def test_losses_have_the_bits_of_the_checked_way(rng, dtype, with_logits):
    name = "log_loss_with_logits" if with_logits else "log_loss"
    for p, y in examples(rng, dtype):
        unusual = y.astype(np.int32 if y.dtype == np.int64 else np.longdouble)
        direct = native.log_loss_direct(p, y, with_logits)
        assert direct == getattr(F, name)(p, unusual)
        gradient = native.log_loss_backward_direct(p, y, with_logits, None)
        assert_same_bits(gradient, getattr(F, f"{name}_backward")(p, unusual))


@pytest.mark.parametrize("wrong", [-1, 10, np.nan, -0.1, 1.1])
def test_wrong_labels_are_found_wherever_they_are(rng, dtype, wrong):
    for p, y in examples(rng, dtype):
        if y.dtype == np.int64 and not float(wrong).is_integer():
            continue
        for at in {0, y.size // 2, y.size - 1}:
            bad = y.copy()
            bad[at] = wrong if y.dtype != np.int64 or wrong < 0 else p.shape[1]
            out = np.full_like(p, 7)
            assert native.log_loss_direct(p, bad, True) is None
            assert native.log_loss_backward_direct(p, bad, True, None) is None
            assert native.log_loss_backward_direct(p, bad, False, out) is None
            assert (out == 7).all()  # nothing is written for labels that are refused
            with pytest.raises(ValueError, match="y must hold"):
                F.log_loss_with_logits(p, bad)
