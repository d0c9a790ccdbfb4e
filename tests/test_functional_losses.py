"""The log loss: from probabilities and logits, binary and over classes, and stable at any logit."""

import numpy as np
import pytest
import reference
from arrays import UNIT_ROUNDOFF, normal, wide
from compare import assert_close, assert_identical

import fastnn.functional as F

pytestmark = pytest.mark.usefixtures("backend")

TOLERANCE = {np.dtype(np.float32): 1e-6, np.dtype(np.float64): 1e-14}
BINARY_SHAPES = ((1,), (7,), (7, 1), (33, 1), (20, 3), (2, 3, 4), (1, 600), (700,))
CLASS_SHAPES = ((1, 2), (5, 3), (64, 10), (33, 17), (3, 700), (0, 4))


def binary_examples(rng, dtype):
    for shape in BINARY_SHAPES:
        z = 3 * normal(rng, *shape, dtype=dtype)
        hard = rng.integers(0, 2, size=shape).astype(dtype)
        soft = rng.random(shape).astype(dtype)
        yield from ((z, hard), (z, soft))


def class_examples(rng, dtype):
    for rows, classes in CLASS_SHAPES:
        yield 3 * normal(rng, rows, classes, dtype=dtype), rng.integers(0, classes, size=rows)


def column(array):
    """An array's elements as the rows of the reference."""
    return wide(array).reshape(-1, 1)


def test_binary(rng, dtype):
    for z, y in binary_examples(rng, dtype):
        p = reference.sigmoid(wide(z)).astype(dtype)
        expected = reference.log_loss_binary(column(p), column(y)).mean()
        assert F.log_loss(p, y) == pytest.approx(expected, rel=TOLERANCE[dtype])
        dp = F.log_loss_backward(p, y)
        assert dp.dtype == dtype
        expected = reference.log_loss_binary_backward(column(p), column(y), 1 / p.size)
        assert_close(dp, expected.reshape(p.shape), TOLERANCE[dtype], f"shape {p.shape}")


def test_binary_with_logits(rng, dtype):
    for z, y in binary_examples(rng, dtype):
        loss, _, dz = reference.log_loss_binary_with_logits(column(z), column(y), None, 1 / z.size)
        assert F.log_loss_with_logits(z, y) == pytest.approx(loss.mean(), rel=TOLERANCE[dtype])
        actual = F.log_loss_with_logits_backward(z, y)
        assert actual.dtype == dtype
        assert_close(actual, dz.reshape(z.shape), TOLERANCE[dtype], f"shape {z.shape}")


def test_classes(rng, dtype):
    for z, classes in class_examples(rng, dtype):
        p = reference.softmax(wide(z)).astype(dtype)
        rows = len(p)
        if rows:
            expected = reference.log_loss_classes(wide(p), classes).mean()
            assert F.log_loss(p, classes) == pytest.approx(expected, rel=TOLERANCE[dtype])
        dp = F.log_loss_backward(p, classes)
        assert dp.dtype == dtype
        expected = reference.log_loss_classes_backward(wide(p), classes, 1 / max(rows, 1))
        assert_close(dp, expected, TOLERANCE[dtype], f"shape {p.shape}")


def test_classes_with_logits(rng, dtype):
    for z, classes in class_examples(rng, dtype):
        rows = len(z)
        expected = reference.log_loss_classes_with_logits(wide(z), classes, None, 1 / max(rows, 1))
        if rows:
            loss = F.log_loss_with_logits(z, classes)
            assert loss == pytest.approx(expected[0].mean(), rel=TOLERANCE[dtype])
        dz = F.log_loss_with_logits_backward(z, classes)
        assert dz.dtype == dtype
        assert_close(dz, expected[2], TOLERANCE[dtype], f"shape {z.shape}")


def test_probability_zero_costs_infinity_and_certainty_nothing(dtype):
    p = np.array([0, 1, 0, 1], dtype)
    y = np.array([0, 1, 0, 1])
    assert F.log_loss(p, y) == 0
    assert_identical(F.log_loss_backward(p, y), np.array([1, -1, 1, -1]) / 4)
    assert F.log_loss(p, 1 - y) == np.inf
    assert_identical(F.log_loss_backward(p, 1 - y), np.array([-np.inf, np.inf, -np.inf, np.inf]))
    assert F.log_loss(np.array([[0, 1]], dtype), [1]) == 0
    assert F.log_loss(np.array([[0, 1]], dtype), [0]) == np.inf


@pytest.mark.parametrize("z", [1e4, -1e4, 100.0, -100.0, 30.0, -30.0, 0.0])
def test_logits_are_stable(dtype, z):
    logits, p = np.array([z], dtype), 1 / (1 + np.exp(-np.longdouble(z)))
    expected = np.array([p, p - 1], np.float64)  # for labels 0 and 1; p itself is rounded, hence `rounding`
    rounding = 4 * UNIT_ROUNDOFF[dtype]
    for y in (0, 1):
        loss = max(z, 0) - z * y + np.log1p(np.exp(-abs(z)))
        assert F.log_loss_with_logits(logits, [y]) == pytest.approx(loss, rel=TOLERANCE[dtype], abs=1e-37)
        dz = F.log_loss_with_logits_backward(logits, [y])[0]
        assert dz == pytest.approx(expected[y], abs=rounding)

        pair = np.array([[0, z]], dtype)  # the same problem as one of two classes
        assert F.log_loss_with_logits(pair, [y]) == pytest.approx(loss, rel=TOLERANCE[dtype], abs=rounding)
        dpair = F.log_loss_with_logits_backward(pair, [y])[0]
        assert dpair == pytest.approx([-expected[y], expected[y]], abs=rounding)


def test_small_losses_keep_their_places(dtype):
    """A confident right answer costs e^−z, not the 0 that 1 − p rounds to."""
    z = np.linspace(20, 80, 13).astype(dtype)
    for logits, y in ((z, np.ones(13)), (-z, np.zeros(13))):
        for one, label in zip(logits, y, strict=True):
            expected = np.log1p(np.exp(-abs(wide(one))))
            assert F.log_loss_with_logits([one], [label]) == pytest.approx(expected, rel=1e-6)


def test_nan_and_infinity_propagate(dtype):
    y = np.array([1, 0])
    for bad in (np.nan, np.inf, -np.inf):
        z = np.array([bad, 0.5], dtype)
        with np.errstate(all="ignore"):
            loss, _, dz = reference.log_loss_binary_with_logits(column(z), column(y), None, 0.5)
        assert_close(F.log_loss_with_logits(z, y), loss.mean(), TOLERANCE[dtype], special_values=True)
        assert_close(F.log_loss_with_logits_backward(z, y), dz[:, 0], TOLERANCE[dtype], special_values=True)
    for name in ("log_loss", "log_loss_with_logits"):
        table = np.array([[0.5, 0.5], [0.2, np.nan]], dtype)
        assert np.isnan(getattr(F, name)(table, [0, 1]))


LABELS = [0, 1, 1, 0]


@pytest.mark.parametrize(
    "label_dtype", [bool, np.uint8, np.int32, np.int64, np.float16, np.float32, np.float64]
)
@pytest.mark.parametrize(
    "shapes", [((4,), (4,)), ((4,), (4, 1)), ((4, 1), (4,)), ((4, 1), (4, 1)), ((4, 2), (4,))]
)
@pytest.mark.parametrize("name", ["log_loss", "log_loss_with_logits"])
def test_labels_come_in_any_dtype_and_as_columns(dtype, name, shapes, label_dtype):
    shape, label_shape = shapes
    p = np.linspace(0.1, 0.9, np.prod(shape)).reshape(shape).astype(dtype)
    y = np.array(LABELS, label_dtype).reshape(label_shape)
    plain = np.array(LABELS) if shape == (4, 2) else np.array(LABELS, dtype).reshape(shape)
    assert getattr(F, name)(p, y) == getattr(F, name)(p, plain)
    gradient = getattr(F, f"{name}_backward")(p, y)
    assert gradient.dtype == dtype
    assert gradient.shape == shape
    assert_identical(gradient, getattr(F, f"{name}_backward")(p, plain))


def test_many_small_losses_are_summed_in_float64():
    """A float32 sum of 2^24 and more ones would stop growing; this one is checked at 1e-12."""
    p = np.full(100_000, 0.9, np.float32)
    expected = -np.log(wide(p[:1]))[0]
    actual = F.log_loss(p, np.ones(100_000))
    one = F.log_loss(p[:1], [1])
    assert actual == pytest.approx(one, rel=1e-12)
    assert actual == pytest.approx(expected, rel=1e-6)
