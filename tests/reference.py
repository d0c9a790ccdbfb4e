"""What every kernel must compute, in plain float64 NumPy. It imports nothing of fastnn.

A function has the name of its kernel and follows its formula in the kernel list, without regard to speed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

Array = np.ndarray


# --- algebra ---------------------------------------------------------------------------------------


def matmul(a: Array, b: Array) -> Array:
    return a @ b


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    y = x @ weight
    return y if bias is None else y + bias


def linear_backward_input(dy: Array, weight: Array, mask: Array | None = None) -> Array:
    dx = dy @ weight.T
    return dx if mask is None else relu_backward(dx, mask)


def linear_backward_weight(x: Array, dy: Array) -> tuple[Array, Array]:
    return x.T @ dy, dy.sum(axis=0)


# --- activations -----------------------------------------------------------------------------------


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def relu_backward(dy: Array, y: Array) -> Array:
    return np.where(y > 0, dy, 0)


def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def sigmoid_backward(dy: Array, y: Array) -> Array:
    return dy * y * (1 - y)


def tanh(x: Array) -> Array:
    return np.tanh(x)


def tanh_backward(dy: Array, y: Array) -> Array:
    return dy * (1 - y * y)


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_backward(dy: Array, y: Array) -> Array:
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def log_softmax(x: Array) -> Array:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def dropout(x: Array, rate: float, seed: int, stream: int, step: int) -> Array:
    """Keeps x[i] / (1 − rate) where a hash of i, its key made of seed, stream and step, says so."""
    key = _mix64((_mix64((_mix64((seed + 0x9E3779B97F4A7C15) % 2**64) + stream) % 2**64) + step) % 2**64)
    low, high = key % 2**32, key >> 32
    hashes = [_mix32(_mix32((i + low) % 2**32) ^ high) >> 8 for i in range(x.size)]
    kept = np.array(hashes, dtype=np.int64).reshape(x.shape) >= rate * 2**24
    return np.where(kept, x / (1 - rate), 0)


def _mix64(z: int) -> int:
    """The finalizer of SplitMix64: Steele, Lea and Flood, OOPSLA 2014."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
    return z ^ (z >> 31)


def _mix32(x: int) -> int:
    """The two-round hash of 32 bits by C. Wellons ("lowbias32")."""
    x = (x ^ (x >> 16)) * 0x7FEB352D % 2**32
    x = (x ^ (x >> 15)) * 0x846CA68B % 2**32
    return x ^ (x >> 16)


# --- losses: one value a row, and the gradient of their weighted sum times scale ----------------------


def log_loss_binary(p: Array, y: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        of_ones = np.where(y == 0, 0, y * np.log(p))
        of_zeros = np.where(y == 1, 0, (1 - y) * np.log1p(-p))
    return -(of_ones + of_zeros).mean(axis=1)


def log_loss_binary_backward(p: Array, y: Array, scale: float) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        of_ones = np.where(y == 0, 0, -y / p)
        of_zeros = np.where(y == 1, 0, (1 - y) / (1 - p))
    return scale * (of_ones + of_zeros)


def log_loss_binary_with_logits(
    z: Array, y: Array, weight: Array | None, scale: float
) -> tuple[Array, Array, Array]:
    w = np.ones(len(z)) if weight is None else weight
    a = sigmoid(z)
    loss = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    return w * loss.mean(axis=1), a, scale * w[:, None] * (a - y)


def log_loss_classes(p: Array, classes: Array) -> Array:
    with np.errstate(divide="ignore"):
        return -np.log(p[np.arange(len(p)), classes])


def log_loss_classes_backward(p: Array, classes: Array, scale: float) -> Array:
    dp = np.zeros_like(p)
    rows = np.arange(len(p))
    dp[rows, classes] = -scale / p[rows, classes]
    return dp


def log_loss_classes_with_logits(
    z: Array, classes: Array, weight: Array | None, scale: float
) -> tuple[Array, Array, Array]:
    w = np.ones(len(z)) if weight is None else weight
    a = softmax(z)
    rows = np.arange(len(z))
    one_hot = np.zeros_like(z)
    one_hot[rows, classes] = 1
    return -w * log_softmax(z)[rows, classes], a, scale * w[:, None] * (a - one_hot)


def squared_error(a: Array, y: Array, weight: Array | None, scale: float) -> tuple[Array, Array]:
    w = np.ones(len(a)) if weight is None else weight
    return w * ((a - y) ** 2).mean(axis=1), scale * 2 * w[:, None] * (a - y)


# --- convolution and pooling -----------------------------------------------------------------------

# (before, after) of the height and of the width
Padding = tuple[tuple[int, int], tuple[int, int]]
Pair = tuple[int, int]


def _taps(
    padded: Array, kernel: Pair, stride: Pair, dilation: Pair
) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """For each position (u, v) in a window, where all windows have it in the padded image."""
    (h, w), (r, s) = padded.shape[2:], kernel
    out_h = (h - dilation[0] * (r - 1) - 1) // stride[0] + 1
    out_w = (w - dilation[1] * (s - 1) - 1) // stride[1] + 1
    for u in range(r):
        for v in range(s):
            top, left = u * dilation[0], v * dilation[1]
            rows = slice(top, top + stride[0] * (out_h - 1) + 1, stride[0])
            columns = slice(left, left + stride[1] * (out_w - 1) + 1, stride[1])
            yield u, v, (slice(None), slice(None), rows, columns)


def _pad(x: Array, padding: Padding) -> Array:
    return np.pad(x, ((0, 0), (0, 0), *padding))


def _crop(padded: Array, padding: Padding) -> Array:
    (top, bottom), (left, right) = padding
    return padded[:, :, top : padded.shape[2] - bottom, left : padded.shape[3] - right]


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Array:
    padded = _pad(x, padding)
    parts = []
    for group, filters in zip(np.split(padded, groups, 1), np.split(weight, groups), strict=True):
        taps = _taps(padded, weight.shape[2:], stride, dilation)
        parts.append(sum(np.einsum("nepq,fe->nfpq", group[at], filters[:, :, u, v]) for u, v, at in taps))
    y = np.concatenate(parts, axis=1)
    return y if bias is None else y + bias[:, None, None]


def conv2d_backward(
    dy: Array,
    x: Array,
    weight: Array,
    stride: Pair = (1, 1),
    padding: Padding = ((0, 0), (0, 0)),
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> tuple[Array, Array, Array]:
    padded = _pad(x, padding)
    dpadded, dweight = np.zeros(padded.shape), np.zeros(weight.shape)
    split = (np.split(padded, groups, 1), np.split(dpadded, groups, 1), np.split(dy, groups, 1))
    weights = (np.split(weight, groups), np.split(dweight, groups))
    for group, dgroup, upstream, filters, dfilters in zip(*split, *weights, strict=True):
        for u, v, at in _taps(padded, weight.shape[2:], stride, dilation):
            dgroup[at] += np.einsum("nfpq,fe->nepq", upstream, filters[:, :, u, v])
            dfilters[:, :, u, v] = np.einsum("nfpq,nepq->fe", upstream, group[at])
    return _crop(dpadded, padding), dweight, dy.sum(axis=(0, 2, 3))


def _windows(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Iterator[tuple[Pair, slice, slice]]:
    """The output position, rows and columns of each pooling window, its padding cut off."""
    (h, w), (r, s) = x.shape[2:], kernel
    for p in range((h + 2 * padding[0] - r) // stride[0] + 1):
        for q in range((w + 2 * padding[1] - s) // stride[1] + 1):
            top, left = p * stride[0] - padding[0], q * stride[1] - padding[1]
            yield (p, q), slice(max(top, 0), min(top + r, h)), slice(max(left, 0), min(left + s, w))


def _pooled_shape(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> tuple[int, ...]:
    sizes = zip(x.shape[2:], kernel, stride, padding, strict=True)
    return (*x.shape[:2], *((size + 2 * pad - window) // step + 1 for size, window, step, pad in sizes))


def max_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    y = np.empty(_pooled_shape(x, kernel, stride, padding))
    for (p, q), rows, columns in _windows(x, kernel, stride, padding):
        y[:, :, p, q] = x[:, :, rows, columns].max(axis=(2, 3))
    return y


def max_pool2d_backward(dy: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    dx = np.zeros(x.shape)
    for (p, q), rows, columns in _windows(x, kernel, stride, padding):
        for plane in np.ndindex(x.shape[:2]):
            window, dwindow = x[plane][rows, columns], dx[plane][rows, columns]
            nans = np.flatnonzero(np.isnan(window))
            winner = nans[-1] if len(nans) else window.argmax()
            dwindow[np.unravel_index(winner, window.shape)] += dy[plane][p, q]
    return dx


def avg_pool2d(x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    y = np.empty(_pooled_shape(x, kernel, stride, padding))
    for (p, q), rows, columns in _windows(x, kernel, stride, padding):
        y[:, :, p, q] = x[:, :, rows, columns].sum(axis=(2, 3)) / (kernel[0] * kernel[1])
    return y


def avg_pool2d_backward(dy: Array, x: Array, kernel: Pair, stride: Pair, padding: Pair) -> Array:
    dx = np.zeros(x.shape)
    for (p, q), rows, columns in _windows(x, kernel, stride, padding):
        dx[:, :, rows, columns] += dy[:, :, p, q, None, None] / (kernel[0] * kernel[1])
    return dx


# --- normalization: x (rows, channels, inner) --------------------------------------------------------


def batch_norm(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float, momentum: float
) -> tuple[Array, Array, Array, Array, Array]:
    count = x.shape[0] * x.shape[2]
    mean, var = x.mean(axis=(0, 2)), x.var(axis=(0, 2))
    inv_std = 1 / np.sqrt(var + eps)
    y = (x - mean[:, None]) * (gamma * inv_std)[:, None] + beta[:, None]
    running_mean = (1 - momentum) * running_mean + momentum * mean
    running_var = (1 - momentum) * running_var + momentum * var * count / (count - 1)
    return y, mean, inv_std, running_mean, running_var


def batch_norm_backward(
    dy: Array, x: Array, gamma: Array, mean: Array, inv_std: Array
) -> tuple[Array, Array, Array]:
    count = x.shape[0] * x.shape[2]
    normalized = (x - mean[:, None]) * inv_std[:, None]
    dbeta, dgamma = dy.sum(axis=(0, 2)), (dy * normalized).sum(axis=(0, 2))
    centred = dy - (dbeta[:, None] + normalized * dgamma[:, None]) / count
    return (gamma * inv_std)[:, None] * centred, dgamma, dbeta


def batch_norm_inference(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float
) -> Array:
    scale = gamma / np.sqrt(running_var + eps)
    return (x - running_mean[:, None]) * scale[:, None] + beta[:, None]


def fold_batch_norm(
    weight: Array, bias: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, eps: float
) -> tuple[Array, Array]:
    """weight (channels, inner)."""
    scale = gamma / np.sqrt(running_var + eps)
    return weight * scale[:, None], (bias - running_mean) * scale + beta


# --- optimizers: the new parameters and the new state -------------------------------------------------


def sgd(
    gradient: Array,
    theta: Array,
    velocity: Array,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> tuple[Array, Array]:
    g = gradient + weight_decay * theta
    velocity = momentum * velocity + g
    return theta - lr * (g + momentum * velocity if nesterov else velocity), velocity


def adam(
    gradient: Array,
    theta: Array,
    m: Array,
    v: Array,
    lr: float,
    t: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
) -> tuple[Array, Array, Array]:
    if decoupled:
        theta = theta - lr * weight_decay * theta
    else:
        gradient = gradient + weight_decay * theta
    m = beta1 * m + (1 - beta1) * gradient
    v = beta2 * v + (1 - beta2) * gradient**2
    step = lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)
    return theta - step, m, v


# --- the three networks: the loss, and its gradients by name ------------------------------------------


def binary_mlp(w: dict[str, Array], x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Dense, ReLU, Dense, ReLU, Dense, sigmoid; log loss. y (n, 1) holds 0 and 1."""
    a1 = relu(linear(x, w["W1"], w["b1"]))
    a2 = relu(linear(a1, w["W2"], w["b2"]))
    loss, _, dz3 = log_loss_binary_with_logits(linear(a2, w["W3"], w["b3"]), y, None, 1 / len(x))
    return loss.mean(), _dense_gradients(w, x, a1, a2, dz3)


def softmax_mlp(w: dict[str, Array], x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Dense, ReLU, Dense, ReLU, Dense, softmax; log loss. y (n,) holds classes."""
    a1 = relu(linear(x, w["W1"], w["b1"]))
    a2 = relu(linear(a1, w["W2"], w["b2"]))
    loss, _, dz3 = log_loss_classes_with_logits(linear(a2, w["W3"], w["b3"]), y, None, 1 / len(x))
    return loss.mean(), _dense_gradients(w, x, a1, a2, dz3)


def _dense_gradients(w: dict[str, Array], x: Array, a1: Array, a2: Array, dz3: Array) -> dict[str, Array]:
    dz2 = linear_backward_input(dz3, w["W3"], mask=a2)
    dz1 = linear_backward_input(dz2, w["W2"], mask=a1)
    gradients = {}
    for layer, (layer_input, dz) in enumerate(((x, dz1), (a1, dz2), (a2, dz3)), start=1):
        gradients[f"W{layer}"], gradients[f"b{layer}"] = linear_backward_weight(layer_input, dz)
    return gradients


def cnn(w: dict[str, Array], x: Array, y: Array) -> tuple[float, dict[str, Array]]:
    """Convolution (padding 1), ReLU, max pool of 2, the same again, Dense, softmax; log loss."""
    pool, same = ((2, 2), (2, 2), (0, 0)), ((1, 1), (1, 1))
    a1 = relu(conv2d(x, w["W1"], w["b1"], padding=same))
    p1 = max_pool2d(a1, *pool)
    a2 = relu(conv2d(p1, w["W2"], w["b2"], padding=same))
    p2 = max_pool2d(a2, *pool)
    flat = p2.reshape(len(x), -1)
    loss, _, dz3 = log_loss_classes_with_logits(linear(flat, w["W3"], w["b3"]), y, None, 1 / len(x))

    gradients = {}
    gradients["W3"], gradients["b3"] = linear_backward_weight(flat, dz3)
    dp2 = linear_backward_input(dz3, w["W3"]).reshape(p2.shape)
    dz2 = relu_backward(max_pool2d_backward(dp2, a2, *pool), a2)
    dp1, gradients["W2"], gradients["b2"] = conv2d_backward(dz2, p1, w["W2"], padding=same)
    dz1 = relu_backward(max_pool2d_backward(dp1, a1, *pool), a1)
    _, gradients["W1"], gradients["b1"] = conv2d_backward(dz1, x, w["W1"], padding=same)
    return loss.mean(), gradients
