"""conv2d and its gradients, fast and naive: exact on integers for every option."""

import numpy as np
import pytest
import reference
from arrays import UNIT_ROUNDOFF, integers, normal, wide
from compare import assert_identical

import fastnn.functional as F

pytestmark = pytest.mark.usefixtures("backend")

# n, c, h, w, filters, r, s, and options
CONFIGURATIONS = [
    ((2, 3, 7, 6, 4, 3, 3), {}),
    ((2, 3, 7, 6, 4, 3, 2), {"padding": 1}),
    ((2, 3, 7, 6, 4, 2, 3), {"padding": (0, 2), "stride": (2, 1)}),
    ((2, 2, 9, 8, 3, 3, 3), {"dilation": 2}),
    ((2, 2, 9, 8, 3, 2, 3), {"dilation": (3, 2), "padding": 2, "stride": 2}),
    ((2, 6, 5, 5, 4, 3, 3), {"groups": 2, "padding": 1}),
    ((2, 5, 6, 6, 5, 3, 3), {"groups": 5, "padding": 1}),  # depthwise
    ((2, 3, 6, 6, 9, 3, 3), {"groups": 3, "padding": 1, "stride": 2}),
    ((2, 3, 5, 7, 4, 3, 3), {"padding": "same"}),
    ((2, 3, 5, 7, 4, 2, 4), {"padding": "same"}),
    ((2, 3, 5, 7, 4, 2, 2), {"padding": "same", "dilation": (3, 1)}),
    ((1, 1, 1, 1, 1, 1, 1), {}),
    ((2, 3, 4, 5, 6, 1, 1), {}),
    ((2, 3, 4, 5, 6, 1, 1), {"stride": 3}),
    ((2, 3, 4, 5, 6, 4, 5), {}),  # one output
    ((2, 3, 4, 5, 6, 6, 7), {"padding": 1}),  # a kernel larger than the image
    ((2, 2, 4, 4, 3, 3, 3), {"padding": 4}),  # windows of nothing but padding
    ((2, 2, 5, 5, 3, 2, 2), {"stride": 4}),  # inputs that no window reaches
    ((0, 2, 5, 5, 3, 3, 3), {}),
    ((2, 2, 5, 5, 0, 3, 3), {}),
    ((2, 0, 5, 5, 3, 3, 3), {}),
    ((2, 0, 4, 5, 3, 1, 1), {}),
    ((2, 0, 3, 3, 32, 3, 3), {"padding": 1}),
    ((3, 1, 28, 28, 6, 5, 5), {}),
    ((1, 64, 44, 40, 2, 3, 3), {"padding": 1}),  # more rows than are packed at a time
    ((1, 40, 44, 40, 9, 3, 4), {"padding": 1}),
    ((2, 16, 10, 17, 17, 3, 3), {"padding": 1}),
    ((2, 17, 9, 33, 8, 3, 3), {"padding": 1}),
    ((1, 32, 8, 8, 33, 3, 3), {"padding": 1, "stride": 2}),
    ((2, 8, 16, 16, 16, 1, 1), {}),
    ((1, 3, 40, 40, 16, 7, 7), {"padding": 3, "stride": 2}),
    ((1, 2, 9, 70, 3, 3, 3), {"stride": 3}),
    ((2, 6, 20, 21, 5, 5, 5), {"padding": 2}),
    ((2, 8, 12, 20, 10, 3, 5), {"padding": (1, 4), "groups": 2, "dilation": (1, 2)}),
    # whole blocks of images, and some more, in Winograd's form
    ((18, 17, 10, 11, 33, 3, 3), {"padding": 1}),
    ((16, 16, 7, 27, 18, 3, 3), {"padding": (2, 0)}),
    ((35, 20, 9, 9, 17, 3, 3), {}),
    ((18, 25, 9, 8, 26, 5, 5), {"padding": 2}),
    ((17, 64, 11, 14, 65, 3, 3), {"padding": 1, "stride": 2}),
    # Winograd's form of larger windows
    ((3, 25, 13, 10, 26, 5, 5), {"padding": 2}),
    ((2, 48, 9, 12, 50, 5, 5), {"padding": (4, 1), "groups": 2}),
    ((1, 24, 12, 13, 33, 5, 5), {}),
    ((3, 17, 17, 18, 20, 5, 5), {"padding": 2}),
    ((2, 49, 17, 20, 50, 5, 5), {"padding": (1, 2), "stride": 2}),
    ((18, 17, 15, 14, 19, 5, 5), {"padding": 2, "stride": 2}),
    ((1, 65, 20, 17, 66, 4, 4), {"padding": (0, 1), "stride": 2}),
    ((17, 33, 16, 15, 35, 4, 4), {"padding": 1, "stride": 2}),
    # filters that fill vectors in Winograd's form, and blocks of tiles of several images
    ((9, 17, 20, 18, 32, 3, 3), {"padding": 1}),
    ((5, 12, 19, 11, 64, 5, 5), {"padding": (0, 3)}),
    ((2, 40, 9, 12, 64, 3, 3), {"padding": 1, "groups": 2}),
    ((7, 33, 19, 18, 64, 4, 4), {"padding": (1, 2), "stride": 2}),
    ((3, 32, 17, 20, 32, 3, 3), {"padding": 1, "stride": 2}),
    ((6, 32, 18, 21, 16, 5, 5), {"padding": 2, "stride": 2}),
    ((9, 64, 4, 4, 32, 3, 3), {"padding": 1}),
    # Winograd's form back through a stride: tiles that begin before dx, pixels that no window reaches
    ((17, 33, 9, 12, 34, 3, 3), {"padding": 1, "stride": 2}),
    ((3, 33, 10, 11, 34, 3, 3), {"padding": (0, 2), "stride": 2}),
    ((18, 9, 12, 11, 10, 4, 4), {"padding": (3, 0), "stride": 2}),
    ((2, 16, 9, 14, 18, 4, 4), {"padding": (1, 2), "stride": 2, "groups": 2}),
    ((19, 9, 11, 12, 10, 5, 5), {"padding": (1, 4), "stride": 2}),
    ((1, 10, 14, 15, 9, 5, 5), {"stride": 2}),
    ((17, 17, 6, 5, 17, 3, 3), {"padding": (3, 4)}),
    ((17, 10, 7, 6, 9, 4, 4), {"padding": (4, 5), "stride": 2}),
    # rows of outputs that fill whole vectors
    ((1, 3, 9, 66, 9, 3, 3), {"stride": 2, "padding": 1}),
    ((1, 2, 12, 97, 3, 5, 2), {"stride": 3, "dilation": 2, "padding": 1}),
    ((2, 2, 4, 80, 17, 3, 5), {"padding": "same"}),
    ((1, 3, 5, 64, 7, 3, 5), {"padding": (1, 2)}),
    ((2, 4, 6, 48, 9, 3, 3), {"padding": 1}),
    ((1, 3, 18, 21, 40, 5, 6), {"padding": "same"}),
    ((1, 2, 5, 127, 7, 2, 3), {"stride": (1, 4), "dilation": (1, 3), "padding": (0, 3)}),
    # Winograd's form along rows: whole vectors of tiles, strips, rows without padding, and more than dx has
    ((2, 3, 9, 32, 9, 3, 3), {"padding": 1}),
    ((2, 4, 7, 34, 10, 1, 3), {}),
    ((1, 9, 70, 96, 8, 3, 3), {"padding": (2, 1)}),
    ((3, 2, 12, 12, 7, 5, 5), {}),
    ((2, 3, 10, 14, 13, 3, 5), {"padding": (1, 2)}),
    ((2, 6, 13, 20, 8, 2, 5), {"padding": (0, 3), "dilation": (3, 1), "groups": 2}),
    ((1, 6, 9, 40, 6, 5, 5), {"padding": 2}),
    ((1, 3, 6, 8, 6, 5, 5), {"padding": (3, 6)}),
    # depthwise
    ((2, 5, 9, 37, 5, 3, 3), {"groups": 5, "padding": 1}),
    ((2, 5, 11, 40, 10, 3, 3), {"groups": 5, "padding": 1, "stride": 2}),
    ((2, 3, 9, 37, 6, 5, 5), {"groups": 3, "padding": 2}),
    ((1, 6, 12, 40, 6, 5, 5), {"groups": 6, "stride": 2}),
    ((1, 6, 9, 20, 6, 7, 7), {"groups": 6, "padding": 3}),
    ((1, 6, 12, 40, 6, 7, 7), {"groups": 6, "padding": 3, "stride": 2}),
    ((2, 3, 12, 20, 6, 4, 3), {"groups": 3, "padding": 1, "dilation": 2}),
    ((2, 3, 12, 20, 3, 1, 1), {"groups": 3, "stride": (1, 2)}),
    # planes smaller than vectors
    ((5, 8, 6, 6, 20, 3, 3), {"padding": 1}),
    ((3, 6, 7, 7, 48, 2, 3), {"groups": 2, "padding": 1, "stride": 2}),
    ((33, 20, 4, 4, 37, 2, 2), {}),
    ((2, 40, 7, 5, 16, 3, 3), {"padding": 2, "dilation": (2, 1)}),
    ((3, 17, 5, 5, 34, 1, 1), {"stride": 2}),
    ((9, 12, 6, 6, 10, 5, 5), {}),
    ((37, 21, 4, 5, 35, 3, 3), {"padding": 1}),
    ((13, 34, 9, 9, 50, 3, 3), {"padding": 1, "stride": 2}),
    ((3, 8, 9, 7, 6, 3, 3), {"groups": 2, "padding": 1, "stride": 4}),
    # several strips, and blocks of channels and filters
    ((1, 16, 30, 31, 17, 3, 3), {"padding": 1}),
    ((1, 70, 9, 9, 130, 3, 3), {"padding": 1}),
    ((4, 135, 5, 6, 131, 3, 3), {"padding": 1}),
    ((2, 120, 3, 4, 130, 3, 3), {"padding": 1}),
    ((1, 4, 60, 60, 16, 5, 5), {}),
]
IDS = [f"{'x'.join(map(str, sizes))} {options}" for sizes, options in CONFIGURATIONS]
FORWARD = ("conv2d", "conv2d_naive")
BACKWARD = ("conv2d_backward", "conv2d_naive_backward")


def reference_options(options, r, s):
    """The options in the form that the reference takes: pairs, and padding on each side."""

    def pair(value):
        return value if isinstance(value, tuple) else (value, value)

    stride, dilation = pair(options.get("stride", 1)), pair(options.get("dilation", 1))
    padding = options.get("padding", 0)
    if padding == "same":
        totals = dilation[0] * (r - 1), dilation[1] * (s - 1)
        padding = tuple((total // 2, total - total // 2) for total in totals)
    else:
        padding = tuple((each, each) for each in pair(padding))
    return {"stride": stride, "padding": padding, "dilation": dilation, "groups": options.get("groups", 1)}


def operands(make, rng, sizes, options, dtype):
    n, c, h, w, filters, r, s = sizes
    x = make(rng, n, c, h, w, dtype=dtype)
    weight = make(rng, filters, c // options.get("groups", 1), r, s, dtype=dtype)
    return x, weight, make(rng, filters, dtype=dtype), reference_options(options, r, s)


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize(("sizes", "options"), CONFIGURATIONS, ids=IDS)
def test_forward_is_exact_on_integers(rng, dtype, name, sizes, options):
    x, weight, bias, plain = operands(integers, rng, sizes, options, dtype)
    expected = reference.conv2d(wide(x), wide(weight), wide(bias), **plain)
    y = getattr(F, name)(x, weight, bias, **options)
    assert y.dtype == dtype
    assert_identical(y, expected)
    assert_identical(getattr(F, name)(x, weight, **options), expected - wide(bias)[:, None, None])


@pytest.mark.parametrize("name", BACKWARD)
@pytest.mark.parametrize(("sizes", "options"), CONFIGURATIONS, ids=IDS)
def test_backward_is_exact_on_integers(rng, dtype, name, sizes, options):
    x, weight, bias, plain = operands(integers, rng, sizes, options, dtype)
    y_shape = reference.conv2d(wide(x), wide(weight), wide(bias), **plain).shape
    dy = integers(rng, *y_shape, dtype=dtype)
    expected = reference.conv2d_backward(wide(dy), wide(x), wide(weight), **plain)
    actual = getattr(F, name)(dy, x, weight, **options)
    for what, gradient, right in zip(("dx", "dweight", "dbias"), actual, expected, strict=True):
        assert gradient.dtype == dtype
        assert_identical(gradient, right, what)


def test_same_keeps_the_image_size(rng, dtype):
    x = normal(rng, 1, 2, 6, 9, dtype=dtype)
    for r, s, dilation in ((1, 1, 1), (2, 3, 1), (4, 5, 1), (2, 2, 3)):
        weight = normal(rng, 3, 2, r, s, dtype=dtype)
        assert F.conv2d(x, weight, padding="same", dilation=dilation).shape == (1, 3, 6, 9)


@pytest.mark.parametrize("name", FORWARD)
def test_error_is_within_the_bound(rng, dtype, name):
    x, weight, bias, plain = operands(normal, rng, (2, 16, 9, 9, 8, 3, 3), {"padding": 1}, dtype)
    exact = reference.conv2d(*(each.astype(np.longdouble) for each in (x, weight, bias)), **plain)
    magnitudes = reference.conv2d(*(np.abs(wide(each)) for each in (x, weight, bias)), **plain)
    terms = weight[0].size + 1
    error = np.abs(getattr(F, name)(x, weight, bias, padding=1) - exact)
    assert (error <= terms * UNIT_ROUNDOFF[dtype] * magnitudes).all()


@pytest.mark.parametrize("name", FORWARD)
def test_nan_and_infinity_reach_their_windows_only(rng, dtype, name):
    """On images without padding; what a NaN weight makes of padding's zeros isn't defined."""
    x, weight, bias, plain = operands(integers, rng, (2, 3, 8, 8, 5, 3, 3), {}, dtype)
    x[0, 1, 4, 4], x[1, 2, 0, 7], weight[2, 0, 1, 1] = np.nan, np.inf, np.nan
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d(wide(x), wide(weight), wide(bias), **plain)
    assert_identical(getattr(F, name)(x, weight, bias), expected)


def test_fast_and_naive_agree_on_padded_nan(rng, dtype):
    x, weight, bias, _ = operands(integers, rng, (2, 3, 6, 6, 4, 3, 3), {"padding": 1}, dtype)
    x[0, 1, 0, 0] = np.nan
    naive = F.conv2d_naive(x, weight, bias, padding=1)
    assert np.isnan(naive[0]).sum() == 4 * 4  # the four windows at the corner, in each filter
    assert_identical(F.conv2d(x, weight, bias, padding=1), naive)
