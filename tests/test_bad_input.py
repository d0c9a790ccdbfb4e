"""Bad input of functions: an error that names the argument, what it got and what it needs."""

import numpy as np
import pytest

import fastnn.functional as F

NAN, INF = np.nan, np.inf


def ones(*shape):
    return np.ones(shape)


# A call, and what the message of its ValueError must say.
FUNCTIONAL = {
    "matmul of vectors": (lambda: F.matmul(ones(3), ones(3)), r"a must have shape \(m, k\), got \(3,\)"),
    "matmul of a stack": (
        lambda: F.matmul(ones(2, 3), ones(1, 3, 2)),
        r"b must have shape \(k, n\), got \(1, 3, 2\)",
    ),
    "matmul's inner sizes": (
        lambda: F.matmul(ones(2, 3), ones(4, 5)),
        r"b must have 3 rows.*a \(2, 3\).*got.*\(4, 5\)",
    ),
    "matmul's inner sizes, transposed": (
        lambda: F.matmul(ones(3, 2), ones(5, 4), transpose_a=True, transpose_b=True),
        r"b must have 3 columns.*a \(3, 2\) transposed.*got.*\(5, 4\)",
    ),
    "matmul's out": (
        lambda: F.matmul(ones(2, 3), ones(3, 4), out=ones(4, 2)),
        r"out must have shape \(2, 4\), got \(4, 2\)",
    ),
    "linear's x": (lambda: F.linear(ones(3), ones(3, 2)), r"x must have shape \(n, in\), got \(3,\)"),
    "linear's weight": (
        lambda: F.linear(ones(4, 3), ones(2, 3)),
        r"weight must have shape \(in, out\) = \(3, 3\), got \(2, 3\)",
    ),
    "linear's bias": (
        lambda: F.linear(ones(4, 3), ones(3, 2), ones(3)),
        r"bias must have shape \(out,\) = \(2,\), got \(3,\)",
    ),
    "linear's bias as a row": (
        lambda: F.linear(ones(4, 3), ones(3, 2), ones(1, 2)),
        r"bias must have shape.*got \(1, 2\)",
    ),
    "linear's activation": (
        lambda: F.linear(ones(4, 3), ones(3, 2), activation="gelu"),
        r"activation must be None or \"relu\", got 'gelu'",
    ),
    "linear_backward's dy": (
        lambda: F.linear_backward(ones(4, 3), ones(4, 3), ones(3, 2)),
        r"dy must have shape \(n, out\) = \(4, 2\), got \(4, 3\)",
    ),
    "relu_backward's shapes": (
        lambda: F.relu_backward(ones(3), ones(3, 1)),
        r"dy must have the shape of y, \(3, 1\), got \(3,\)",
    ),
    "softmax of a number": (lambda: F.softmax(1.0), r"x must have at least one axis"),
    "softmax_backward's shapes": (
        lambda: F.softmax_backward(ones(3, 2), ones(2, 3)),
        r"y must have the shape of dy, \(3, 2\), got \(2, 3\)",
    ),
    "a label above 1": (lambda: F.log_loss(ones(3) / 2, [0, 1, 2]), r"y must hold labels from 0 to 1, got 2"),
    "a label below 0": (
        lambda: F.log_loss_with_logits(ones(2), [0, -1]),
        r"y must hold labels from 0 to 1, got -1",
    ),
    "a NaN label": (
        lambda: F.log_loss_with_logits_backward(ones(2), [NAN, 1]),
        r"y must hold labels from 0 to 1, got nan",
    ),
    "a class too large": (
        lambda: F.log_loss(ones(3, 4), [0, 4, 1]),
        r"y must hold classes.*from 0 to 3, got 4",
    ),
    "a negative class": (
        lambda: F.log_loss_with_logits(ones(3, 4), [0, -1, 1]),
        r"y must hold classes.*got -1",
    ),
    "half a class": (
        lambda: F.log_loss_backward(ones(3, 4), [0, 0.5, 1]),
        r"y must hold classes, whole numbers.*got 0.5",
    ),
    "a NaN class": (
        lambda: F.log_loss_with_logits_backward(ones(3, 4), [0, NAN, 1]),
        r"y must hold classes.*got nan",
    ),
    "an infinite class": (lambda: F.log_loss(ones(3, 4), [0, INF, 1]), r"y must hold classes.*got inf"),
    "a huge class": (
        lambda: F.log_loss(ones(1, 4), np.array([2**63], np.uint64)),
        r"y must hold classes.*got 9223372036854775808",
    ),
    "too few labels": (
        lambda: F.log_loss(ones(3), [0, 1]),
        r"y must have shape \(3,\).*p has shape \(3,\), got \(2,\)",
    ),
    "too few classes": (
        lambda: F.log_loss(ones(3, 4), [0, 1]),
        r"y must have shape \(3, 4\), or \(3,\) for classes.*got \(2,\)",
    ),
    "labels of another shape": (
        lambda: F.log_loss_with_logits(ones(3, 4), ones(4, 3)),
        r"y must have shape \(3, 4\).*z has.*got \(4, 3\)",
    ),
    "labels for a stack": (
        lambda: F.log_loss_with_logits(ones(2, 3, 4), [0, 1]),
        r"y must have shape \(2, 3, 4\).*got \(2,\)",
    ),
    "the mean of nothing": (lambda: F.log_loss(ones(0), ones(0)), r"p must hold at least one prediction"),
    "the mean of no rows": (
        lambda: F.log_loss_with_logits(ones(0, 3), np.ones(0, int)),
        r"z must hold at least one",
    ),
    "conv2d's x": (
        lambda: F.conv2d(ones(3, 5, 5), ones(2, 3, 3, 3)),
        r"x must have shape \(n, c, h, w\), got \(3, 5, 5\)",
    ),
    "conv2d's weight": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 9)),
        r"weight must have shape \(filters, c/groups, r, s\), got",
    ),
    "conv2d's channels": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 4, 3, 3)),
        r"weight must have shape \(filters, 3, r, s\).*x has 3 channels.*got \(2, 4, 3, 3\)",
    ),
    "conv2d's groups and channels": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(4, 1, 3, 3), groups=2),
        r"groups must divide.*3 channels.*got 2",
    ),
    "conv2d's groups and filters": (
        lambda: F.conv2d(ones(1, 4, 5, 5), ones(3, 2, 3, 3), groups=2),
        r"groups must divide.*3 filters, got 2",
    ),
    "conv2d's groups of 0": (
        lambda: F.conv2d(ones(1, 4, 5, 5), ones(4, 4, 3, 3), groups=0),
        r"groups must divide.*got 0",
    ),
    "conv2d's bias": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), ones(3)),
        r"bias must have shape \(filters,\) = \(2,\), got \(3,\)",
    ),
    "conv2d's kernel": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 6, 3)),
        r"kernel, 6 x 3.*must fit into the padded image, 5 x 5",
    ),
    "conv2d's dilated kernel": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), padding=(1, 0), dilation=(2, 3)),
        r"kernel, 5 x 7 with its dilation, must fit into the padded image, 7 x 5",
    ),
    "conv2d's empty kernel": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 0, 3)),
        r"kernel of at least 1 x 1, got.*\(2, 3, 0, 3\)",
    ),
    "conv2d's stride": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), stride=0),
        r"stride must be at least 1.*got 0",
    ),
    "conv2d's padding": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), padding=(0, -1)),
        r"padding must be at least 0.*got \(0, -1\)",
    ),
    "conv2d's dilation": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), dilation=(1, 1, 1)),
        r"dilation must be an int or a pair",
    ),
    "conv2d's huge stride": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), stride=2**40),
        r"stride must be.*below",
    ),
    "conv2d's huge padding": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), padding=2**62),
        r"padding must be.*below",
    ),
    "conv2d's kind of padding": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), padding="full"),
        r"padding must be.*\"same\", got 'full'",
    ),
    "conv2d's strided same": (
        lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), padding="same", stride=2),
        r'"same" needs stride 1, got',
    ),
    "conv2d_backward's dy": (
        lambda: F.conv2d_backward(ones(1, 2, 5, 5), ones(1, 3, 5, 5), ones(2, 3, 3, 3)),
        r"dy must have shape \(n, filters, out_h, out_w\) = \(1, 2, 3, 3\), got \(1, 2, 5, 5\)",
    ),
    "max_pool2d's x": (
        lambda: F.max_pool2d(ones(5, 5), 2),
        r"x must have shape \(n, c, h, w\), got \(5, 5\)",
    ),
    "max_pool2d's window": (
        lambda: F.max_pool2d(ones(1, 1, 3, 5), (4, 2)),
        r"kernel_size must fit into the padded image, 3 x 5, got \(4, 2\)",
    ),
    "max_pool2d's window of 0": (
        lambda: F.max_pool2d(ones(1, 1, 3, 5), 0),
        r"kernel_size must be at least 1.*got 0",
    ),
    "max_pool2d's stride": (
        lambda: F.max_pool2d(ones(1, 1, 3, 5), 2, 0),
        r"stride must be at least 1.*got 0",
    ),
    "max_pool2d's padding": (
        lambda: F.max_pool2d(ones(1, 1, 3, 5), (4, 2), padding=2),
        r"padding must be at most half of kernel_size \(4, 2\)",
    ),
    "avg_pool2d of nothing": (
        lambda: F.avg_pool2d(ones(1, 1, 0, 5), 2, padding=1),
        r"x must have images of at least 1 x 1, got",
    ),
    "max_pool2d_backward's dy": (
        lambda: F.max_pool2d_backward(ones(1, 1, 4, 4), ones(1, 1, 4, 4), 2),
        r"dy must have shape \(n, c, out_h, out_w\) = \(1, 1, 2, 2\), got \(1, 1, 4, 4\)",
    ),
    "avg_pool2d_backward's x": (
        lambda: F.avg_pool2d_backward(ones(1, 1, 2, 2), ones(4, 4), 2),
        r"x must have shape",
    ),
}

NO_INTS = {
    "stride": lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), stride=1.5),
    "padding": lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), padding=(1, None)),
    "dilation": lambda: F.conv2d_backward(ones(1, 2, 3, 3), ones(1, 3, 5, 5), ones(2, 3, 3, 3), dilation="2"),
    "groups": lambda: F.conv2d(ones(1, 3, 5, 5), ones(2, 3, 3, 3), groups=1.0),
    "kernel_size": lambda: F.max_pool2d(ones(1, 3, 5, 5), 2.0),
}


@pytest.mark.parametrize(("call", "message"), FUNCTIONAL.values(), ids=FUNCTIONAL)
def test_functional(backend, call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", NO_INTS)
def test_options_that_are_no_ints(name):
    with pytest.raises(TypeError, match=f"{name} must be an int"):
        NO_INTS[name]()


TOO_LARGE = {
    # An array of stride 0 says that it has more elements than an address space.
    "a copy": lambda: F.relu(np.broadcast_to(np.float32(1), (2**30, 2**22))),
    "a product": lambda: F.matmul(np.empty((2**40, 0)), np.empty((0, 2**20))),
    "a padded image": lambda: F.conv2d(ones(1, 1, 5, 5), ones(1, 1, 3, 3), padding=2**30),
}


@pytest.mark.parametrize("call", TOO_LARGE.values(), ids=TOO_LARGE)
def test_results_that_no_memory_could_hold(backend, call):
    with pytest.raises((MemoryError, ValueError)):
        call()
