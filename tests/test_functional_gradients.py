"""Every functional gradient against fourth-order differences, in float64, with a random upstream gradient."""

import numpy as np
import pytest
from compare import assert_close
from differences import numerical_gradient

import fastnn.functional as F

pytestmark = pytest.mark.usefixtures("backend")

TOLERANCE = 1e-9


def away_from_zero(rng, *shape):
    """Beyond the reach of a difference across a kink at 0."""
    return rng.choice([-1, 1], size=shape) * rng.uniform(0.1, 2, size=shape)


def distinct(rng, *shape):
    """Shuffled and evenly spaced, so that no difference changes which is the largest."""
    return rng.permutation(np.prod(shape)).reshape(shape) / 20


def check(forward, arrays, gradients, rng):
    """`gradients(dy)` gives the gradient of Σ dy · forward() by each of `arrays`, which forward reads."""
    dy = rng.normal(size=forward().shape)
    for (name, x), actual in zip(arrays.items(), gradients(dy), strict=True):
        expected = numerical_gradient(lambda: float((dy * forward()).sum()), x)
        assert_close(actual, expected, TOLERANCE, f"d{name}")


def test_differences_find_a_wrong_gradient(rng):
    x = rng.normal(size=(3, 4))
    for wrong in (lambda dy, y: 2 * F.tanh_backward(dy, y), lambda dy, y: F.sigmoid_backward(dy, y)):
        with pytest.raises(AssertionError):
            check(lambda: F.tanh(x), {"x": x}, lambda dy, wrong=wrong: (wrong(dy, F.tanh(x)),), rng)


def test_linear(rng):
    x, weight, bias = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    arrays = {"x": x, "weight": weight, "bias": bias}
    check(lambda: F.linear(x, weight, bias), arrays, lambda dy: F.linear_backward(dy, x, weight), rng)


def test_linear_with_relu(rng):
    x, weight, bias = rng.normal(size=(5, 4)), rng.normal(size=(4, 3)), rng.normal(size=3)
    assert np.abs(F.linear(x, weight, bias)).min() > 0.02, "an output lies too near the kink for differences"

    def gradients(dy):
        masked = F.relu_backward(dy, F.linear(x, weight, bias, activation="relu"))
        return F.linear_backward(masked, x, weight)

    arrays = {"x": x, "weight": weight, "bias": bias}
    check(lambda: F.linear(x, weight, bias, activation="relu"), arrays, gradients, rng)


@pytest.mark.parametrize(("transpose_a", "transpose_b"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_matmul(rng, transpose_a, transpose_b):
    """dA = dC Bᵀ and dB = Aᵀ dC, each transposed where its operand is."""
    a, b = rng.normal(size=(4, 5)), rng.normal(size=(5, 3))
    a, b = (a.T.copy() if transpose_a else a), (b.T.copy() if transpose_b else b)

    def gradients(dc):
        da = F.matmul(dc, b, transpose_b=not transpose_b)
        db = F.matmul(a, dc, transpose_a=not transpose_a)
        return da.T if transpose_a else da, db.T if transpose_b else db

    def forward():
        return F.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)

    check(forward, {"a": a, "b": b}, gradients, rng)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax"])
def test_activation(rng, name):
    function, backward = getattr(F, name), getattr(F, f"{name}_backward")
    x = away_from_zero(rng, 4, 6)
    check(lambda: function(x), {"x": x}, lambda dy: (backward(dy, function(x)),), rng)


LOSSES = {
    "binary, a vector": ((7,), "hard"),
    "binary, a column": ((7, 1), "hard"),
    "binary, a table": ((5, 3), "hard"),
    "binary, soft labels": ((5, 3), "soft"),
    "classes": ((5, 3), "classes"),
    "two classes": ((6, 2), "classes"),
}


def make_labels(rng, shape, kind):
    if kind == "classes":
        return rng.integers(0, shape[1], size=shape[0])
    return rng.integers(0, 2, size=shape) if kind == "hard" else rng.random(shape)


@pytest.mark.parametrize(("shape", "kind"), LOSSES.values(), ids=LOSSES)
def test_log_loss(rng, shape, kind):
    p, y = rng.uniform(0.1, 0.9, size=shape), make_labels(rng, shape, kind)
    expected = numerical_gradient(lambda: F.log_loss(p, y), p, step=1e-4)  # log is steep near 0
    assert_close(F.log_loss_backward(p, y), expected, TOLERANCE)


@pytest.mark.parametrize(("shape", "kind"), LOSSES.values(), ids=LOSSES)
def test_log_loss_with_logits(rng, shape, kind):
    z, y = 2 * rng.normal(size=shape), make_labels(rng, shape, kind)
    expected = numerical_gradient(lambda: F.log_loss_with_logits(z, y), z)
    assert_close(F.log_loss_with_logits_backward(z, y), expected, TOLERANCE)


@pytest.mark.parametrize(("activation", "kind"), [("sigmoid", "soft"), ("softmax", "classes")])
def test_both_ways_to_the_logits_agree(rng, activation, kind):
    """Through the probabilities or straight: the chain rule gives dZ = (A − Y) / n."""
    z = rng.normal(size=(6, 4))
    y = make_labels(rng, z.shape, kind)
    p = getattr(F, activation)(z)
    assert F.log_loss(p, y) == pytest.approx(F.log_loss_with_logits(z, y), rel=1e-12)
    chained = getattr(F, f"{activation}_backward")(F.log_loss_backward(p, y), p)
    assert_close(F.log_loss_with_logits_backward(z, y), chained, 1e-12)


CONVOLUTIONS = [
    ((2, 2, 5, 6), (3, 2, 3, 2), {}),
    ((2, 2, 5, 6), (3, 2, 3, 3), {"padding": 1, "stride": 2}),
    ((1, 2, 5, 6), (3, 2, 2, 3), {"padding": (2, 0), "stride": (1, 3)}),
    ((1, 2, 6, 7), (3, 2, 2, 3), {"dilation": (2, 3)}),
    ((1, 4, 4, 4), (6, 2, 2, 2), {"groups": 2, "padding": 1}),
    ((1, 3, 4, 4), (3, 1, 3, 3), {"groups": 3, "padding": "same"}),
    ((1, 2, 4, 5), (2, 2, 2, 4), {"padding": "same"}),
]


@pytest.mark.parametrize("naive", ["", "_naive"])
@pytest.mark.parametrize(("x_shape", "weight_shape", "options"), CONVOLUTIONS)
def test_conv2d(rng, x_shape, weight_shape, options, naive):
    forward, backward = getattr(F, f"conv2d{naive}"), getattr(F, f"conv2d{naive}_backward")
    x, weight, bias = (
        rng.normal(size=x_shape),
        rng.normal(size=weight_shape),
        rng.normal(size=weight_shape[0]),
    )
    arrays = {"x": x, "weight": weight, "bias": bias}
    check(
        lambda: forward(x, weight, bias, **options),
        arrays,
        lambda dy: backward(dy, x, weight, **options),
        rng,
    )


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
@pytest.mark.parametrize("options", [(2,), (3, 1, 1), ((2, 3), (1, 2)), ((3, 2), 2, (1, 0)), ((5, 6),)])
def test_pool2d(rng, name, options):
    x = distinct(rng, 2, 2, 5, 6)
    forward, backward = getattr(F, name), getattr(F, f"{name}_backward")
    check(lambda: forward(x, *options), {"x": x}, lambda dy: (backward(dy, x, *options),), rng)
