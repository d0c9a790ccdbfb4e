"""PyTorch as the second opinion, where it is installed: random configurations, in both dtypes."""

import numpy as np
import pytest
from arrays import normal
from compare import assert_close, assert_identical

import fastnn.functional as F

torch = pytest.importorskip("torch", reason="PyTorch, the second opinion, isn't installed")
torch.set_num_threads(1)  # its threads would wait for each other more than they compute
TF = torch.nn.functional

pytestmark = pytest.mark.usefixtures("backend")

TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-13}


def leaf(array):
    """The array as a float64 tensor that gathers its gradient."""
    return torch.tensor(array.astype(np.float64), requires_grad=True)


def gradients(y, dy, *leaves):
    return [each.numpy() for each in torch.autograd.grad(y, leaves, torch.tensor(dy.astype(np.float64)))]


def random_convolution(rng):
    """Sizes, and options in the form that both take."""
    groups = int(rng.choice([1, 1, 1, 2, 3, 17]))
    channels = [1, 1, 2] if groups == 17 else [1, 2, 3, 4, 5, 6, 7, 8, 16, 33]
    c, filters = (groups * int(each) for each in rng.choice(channels, size=2))
    kernel, stride, dilation, padding = (
        tuple(map(int, rng.integers(low, high, size=2))) for low, high in ((1, 6), (1, 4), (1, 3), (0, 3))
    )
    if rng.random() < 0.3:
        step = int(rng.integers(1, 3))
        kernel, stride, dilation = (3, 3), (step, step), (1, 1)  # what most networks have
    least = [d * (k - 1) + 1 - 2 * p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    h, w = (int(max(1, small) + rng.integers(0, 9)) for small in least)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if rng.random() < 0.15:
        options |= {"stride": 1, "padding": "same"}
    return (int(rng.integers(1, 4)), c, h, w), (filters, c // groups, *kernel), options


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("seed", range(15))
def test_conv2d(dtype, seed):
    """15 times 20 configurations."""
    rng = np.random.default_rng(seed)
    for _ in range(20):
        x_shape, weight_shape, options = random_convolution(rng)
        x, weight = normal(rng, *x_shape, dtype=dtype), normal(rng, *weight_shape, dtype=dtype)
        bias = normal(rng, weight_shape[0], dtype=dtype)
        leaves = leaf(x), leaf(weight), leaf(bias)
        right = TF.conv2d(*leaves, **options)
        dy = normal(rng, *right.shape, dtype=dtype)
        what = f"x {x_shape}, weight {weight_shape}, {options}"
        assert_close(F.conv2d(x, weight, bias, **options), right.detach().numpy(), TOLERANCE[dtype], what)
        *expected, right_dbias = gradients(right, dy, *leaves)
        *actual, dbias = F.conv2d_backward(dy, x, weight, **options)
        for mine, right in zip(actual, expected, strict=True):
            assert_close(mine, right, TOLERANCE[dtype], what)
        # A sum over all pixels may cancel: its error is relative to what it sums.
        summed = np.abs(dy).sum(axis=(0, 2, 3), dtype=np.float64)
        assert_close(dbias + summed, right_dbias + summed, TOLERANCE[dtype], what)


def test_pool2d(rng, dtype):
    for _ in range(60):
        kernel = tuple(map(int, rng.integers(1, 5, size=2)))
        stride = tuple(map(int, rng.integers(1, 4, size=2)))
        padding = tuple(int(rng.integers(0, size // 2 + 1)) for size in kernel)
        h, w = (int(size + rng.integers(0, 9)) for size in kernel)
        x = rng.integers(-3, 4, size=(2, 3, h, w)).astype(dtype)  # ties are frequent
        x[rng.random(x.shape) < 0.02] = np.nan
        what = f"x {x.shape}, kernel {kernel}, stride {stride}, padding {padding}"

        leaf_x = leaf(x)
        right = TF.max_pool2d(leaf_x, kernel, stride, padding)
        dy = rng.integers(-3, 4, size=tuple(right.shape)).astype(dtype)
        assert_identical(F.max_pool2d(x, kernel, stride, padding), right.detach().numpy(), what)
        (dx,) = gradients(right, dy, leaf_x)
        assert_identical(F.max_pool2d_backward(dy, x, kernel, stride, padding), dx, what)

        right = TF.avg_pool2d(leaf_x, kernel, stride, padding)
        actual = F.avg_pool2d(x, kernel, stride, padding)
        assert_close(actual, right.detach().numpy(), TOLERANCE[dtype], what, special_values=True)
        (dx,) = gradients(right, dy, leaf_x)
        assert_close(F.avg_pool2d_backward(dy, x, kernel, stride, padding), dx, TOLERANCE[dtype], what)


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "softmax", "log_softmax"])
def test_activations(rng, dtype, name):
    x = 3 * normal(rng, 30, 20, dtype=dtype)
    axis = {"dim": 1} if "softmax" in name else {}
    leaf_x = leaf(x)
    right = getattr(torch, name)(leaf_x, **axis)
    assert_close(getattr(F, name)(x), right.detach().numpy(), TOLERANCE[dtype])
    if name != "log_softmax":
        dy = normal(rng, 30, 20, dtype=dtype)
        (dx,) = gradients(right, dy, leaf_x)
        assert_close(
            getattr(F, f"{name}_backward")(dy, right.detach().numpy().astype(dtype)), dx, TOLERANCE[dtype]
        )


def binary(rng, dtype):
    for scale in (1, 30, 1e4):
        for shape in ((50,), (50, 1), (20, 3)):
            yield scale * normal(rng, *shape, dtype=dtype), rng.random(shape).astype(dtype).round(1)


def test_binary_losses(rng, dtype):
    one = np.ones(())
    for z, y in binary(rng, dtype):
        leaf_z, target = leaf(z), torch.tensor(y.astype(np.float64))
        right = TF.binary_cross_entropy_with_logits(leaf_z, target)
        assert F.log_loss_with_logits(z, y) == pytest.approx(right.item(), rel=TOLERANCE[dtype])
        (dz,) = gradients(right, one, leaf_z)
        assert_close(F.log_loss_with_logits_backward(z, y), dz, TOLERANCE[dtype])

        p = np.clip(F.sigmoid(z), 0.001, 0.999)
        leaf_p = leaf(p)
        right = TF.binary_cross_entropy(leaf_p, target)
        assert F.log_loss(p, y) == pytest.approx(right.item(), rel=TOLERANCE[dtype])
        (dp,) = gradients(right, one, leaf_p)
        assert_close(F.log_loss_backward(p, y), dp, TOLERANCE[dtype])


def test_losses_over_classes(rng, dtype):
    one = np.ones(())
    for scale in (1, 30, 1e4):
        for n, classes in ((50, 10), (7, 2), (5, 300)):
            z, y = scale * normal(rng, n, classes, dtype=dtype), rng.integers(0, classes, size=n)
            leaf_z, target = leaf(z), torch.tensor(y)
            right = TF.cross_entropy(leaf_z, target)
            assert F.log_loss_with_logits(z, y) == pytest.approx(right.item(), rel=TOLERANCE[dtype])
            (dz,) = gradients(right, one, leaf_z)
            assert_close(F.log_loss_with_logits_backward(z, y), dz, TOLERANCE[dtype])

            p = np.clip(F.softmax(z), 0.001, 0.999)
            leaf_p = leaf(p)
            right = TF.nll_loss(torch.log(leaf_p), target)
            assert F.log_loss(p, y) == pytest.approx(right.item(), rel=TOLERANCE[dtype])
            (dp,) = gradients(right, one, leaf_p)
            assert_close(F.log_loss_backward(p, y), dp, TOLERANCE[dtype])


def test_linear(rng, dtype):
    for n, inputs, outputs in ((32, 30, 16), (1, 784, 10), (64, 9, 1)):
        x, weight = normal(rng, n, inputs, dtype=dtype), normal(rng, inputs, outputs, dtype=dtype)
        bias, dy = normal(rng, outputs, dtype=dtype), normal(rng, n, outputs, dtype=dtype)
        leaves = leaf(x), leaf(weight), leaf(bias)
        right = TF.linear(leaves[0], leaves[1].T, leaves[2])
        assert_close(F.linear(x, weight, bias), right.detach().numpy(), TOLERANCE[dtype])
        for actual, expected in zip(
            F.linear_backward(dy, x, weight), gradients(right, dy, *leaves), strict=True
        ):
            assert_close(actual, expected, TOLERANCE[dtype])
