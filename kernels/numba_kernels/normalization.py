"""Batch normalization: x, y, dx, dy (rows, channels, inner), all else (channels,).

After a dense layer inner is 1, after a convolution it is the image's h w; count = rows · inner is the number
of a channel's elements. Source: Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithms 1 and 2.

Both layouts are one loop over stripes: up to _STRIPE adjacent elements, with a value of each parameter and a
running sum beside every element. Where inner is 1 a stripe's elements are of adjacent channels, else they are
of one channel, whose parameters stand beside all of them. Sums are in float64, their order depends on the
shape alone. The threads divide the channels.
"""

from __future__ import annotations

import math

from fastnn.kernels.numba_kernels.memory import inlined, like, offset, share, stack, stack_float64
from fastnn.kernels.numba_kernels.registry import kernel

_STRIPE = 64
_GRAIN = 16


@inlined
def _stripe_channels(inner):
    """How many channels are worked on at once."""
    return _STRIPE if inner == 1 else 1


@inlined
def _spread(parameter, channels, stripe):
    """Put the channels' values beside a stripe's elements: each its own, or the only one's beside all."""
    for k in range(_STRIPE):
        stripe[k] = parameter[min(k, channels - 1)]


@inlined
def _spread_total(sums):
    """Where all elements are of one channel: its sum is that of all the running sums."""
    total = 0.0
    for k in range(_STRIPE):
        total += sums[k]
    for k in range(_STRIPE):
        sums[k] = total


@inlined
def _add_stripe(u, sums, width):
    """sums[k] += u[k]."""
    for k in range(width):
        sums[k] += u[k]


@inlined
def _channel_sums(u, sums, rows, row_size, inner, channels):
    """sums[k] = Σ u over the channel's elements."""
    span = channels * inner
    whole = span - span % _STRIPE
    for k in range(_STRIPE):
        sums[k] = 0.0
    for i in range(rows):
        for j in range(0, whole, _STRIPE):
            _add_stripe(offset(u, i * row_size + j), sums, _STRIPE)
        _add_stripe(offset(u, i * row_size + whole), sums, span - whole)
    if inner > 1:
        _spread_total(sums)


@inlined
def _add_stripe_product(u, u_mean, v, v_mean, sums, width):
    """sums[k] += (u[k] − u_mean[k]) (v[k] − v_mean[k])."""
    for k in range(width):
        sums[k] += (u[k] - u_mean[k]) * (v[k] - v_mean[k])


@inlined
def _channel_products(u, u_mean, v, v_mean, sums, rows, row_size, inner, channels):
    """sums[k] = Σ (u − u_mean[k]) (v − v_mean[k]) over the channel's elements."""
    span = channels * inner
    whole = span - span % _STRIPE
    for k in range(_STRIPE):
        sums[k] = 0.0
    for i in range(rows):
        for j in range(0, whole, _STRIPE):
            at = i * row_size + j
            _add_stripe_product(offset(u, at), u_mean, offset(v, at), v_mean, sums, _STRIPE)
        at = i * row_size + whole
        _add_stripe_product(offset(u, at), u_mean, offset(v, at), v_mean, sums, span - whole)
    if inner > 1:
        _spread_total(sums)


@inlined
def _normalize_stripe(x, mean, scale, beta, y, width):
    """y = scale (x − mean) + beta, by way of the stack: then nothing checks whether x and y overlap."""
    result = stack(x, _STRIPE)
    for k in range(width):
        result[k] = scale[k] * (x[k] - mean[k]) + beta[k]
    for k in range(width):
        y[k] = result[k]


@inlined
def _normalize(x, mean, scale, beta, y, rows, row_size, span):
    """y = scale (x − mean) + beta, of stripes that span `span` adjacent elements of each row."""
    whole = span - span % _STRIPE
    for i in range(rows):
        for j in range(0, whole, _STRIPE):
            at = i * row_size + j
            _normalize_stripe(offset(x, at), mean, scale, beta, offset(y, at), _STRIPE)
        at = i * row_size + whole
        _normalize_stripe(offset(x, at), mean, scale, beta, offset(y, at), span - whole)


@kernel
def batch_norm(t, n, s, thread, threads):
    """y = gamma (x − mean) inv_std + beta, with the batch's mean and inv_std = 1 / √(var + eps);
    running = (1 − momentum) running + momentum (mean, or var · count / (count − 1)).
    """
    gamma, beta, mean, inv_std, running_mean, running_var = t[1], t[2], t[4], t[5], t[6], t[7]
    rows, channels, inner = n[0], n[1], n[2]
    eps, momentum, count = s[0], s[1], float(rows * inner)
    means, squares = stack_float64(t[0], _STRIPE), stack_float64(t[0], _STRIPE)
    mean_stripe, scale_stripe, beta_stripe = stack(t[0], _STRIPE), stack(t[0], _STRIPE), stack(t[0], _STRIPE)
    step = _stripe_channels(inner)
    begin, end = share(channels, _GRAIN, thread, threads)
    for c in range(begin, end, step):
        width = min(step, end - c)
        x, y = offset(t[0], c * inner), offset(t[3], c * inner)
        _channel_sums(x, means, rows, channels * inner, inner, width)
        for k in range(_STRIPE):
            means[k] /= count
        _channel_products(x, means, x, means, squares, rows, channels * inner, inner, width)
        for k in range(width):
            mean[c + k] = means[k]
            inv_std[c + k] = 1 / math.sqrt(squares[k] / count + eps)
            running_mean[c + k] += like(x[0], momentum * (means[k] - running_mean[c + k]))
            # One element has no variance: 0 / max(0, 1), not NaN.
            var = squares[k] / max(count - 1, 1.0)
            running_var[c + k] += like(x[0], momentum * (var - running_var[c + k]))
        _spread(offset(mean, c), width, mean_stripe)
        _spread(offset(gamma, c), width, scale_stripe)
        _spread(offset(beta, c), width, beta_stripe)
        for k in range(_STRIPE):
            scale_stripe[k] *= inv_std[c + min(k, width - 1)]
        _normalize(x, mean_stripe, scale_stripe, beta_stripe, y, rows, channels * inner, width * inner)


@inlined
def _stripe_backward(dy, x, mean, scale, mean_dy, slope, dx, width):
    """dx = scale (dy − mean_dy − slope (x − mean)), by way of the stack."""
    result = stack(x, _STRIPE)
    for k in range(width):
        result[k] = scale[k] * ((dy[k] - mean_dy[k]) - slope[k] * (x[k] - mean[k]))
    for k in range(width):
        dx[k] = result[k]


@kernel
def batch_norm_backward(t, n, s, thread, threads):
    """With x̂ = (x − mean) inv_std: dbeta = Σ dy; dgamma = Σ dy x̂;
    dx = gamma inv_std (dy − (dbeta + x̂ dgamma) / count).

    mean and inv_std are those that batch_norm gave.
    """
    gamma, mean, inv_std, dgamma, dbeta = t[2], t[3], t[4], t[6], t[7]
    rows, channels, inner = n[0], n[1], n[2]
    count = float(rows * inner)
    zeros, means = stack_float64(t[0], _STRIPE), stack_float64(t[0], _STRIPE)
    sums, products = stack_float64(t[0], _STRIPE), stack_float64(t[0], _STRIPE)
    mean_stripe, scale_stripe = stack(t[0], _STRIPE), stack(t[0], _STRIPE)
    mean_dy, slope = stack(t[0], _STRIPE), stack(t[0], _STRIPE)
    for k in range(_STRIPE):
        zeros[k] = 0.0
    step = _stripe_channels(inner)
    begin, end = share(channels, _GRAIN, thread, threads)
    for c in range(begin, end, step):
        width = min(step, end - c)
        dy, x, dx = offset(t[0], c * inner), offset(t[1], c * inner), offset(t[5], c * inner)
        _spread(offset(mean, c), width, mean_stripe)
        for k in range(_STRIPE):
            means[k] = mean_stripe[k]
        _channel_sums(dy, sums, rows, channels * inner, inner, width)
        _channel_products(dy, zeros, x, means, products, rows, channels * inner, inner, width)
        for k in range(width):
            dbeta[c + k] = sums[k]
            dgamma[c + k] = products[k] * inv_std[c + k]
        for k in range(_STRIPE):
            at = c + min(k, width - 1)
            scale_stripe[k] = gamma[at] * inv_std[at]
            mean_dy[k] = sums[k] / count
            slope[k] = products[k] * inv_std[at] * inv_std[at] / count
        span = width * inner
        whole = span - span % _STRIPE
        for i in range(rows):
            row = i * channels * inner
            for j in range(row, row + whole, _STRIPE):
                dy_j, x_j, dx_j = offset(dy, j), offset(x, j), offset(dx, j)
                _stripe_backward(dy_j, x_j, mean_stripe, scale_stripe, mean_dy, slope, dx_j, _STRIPE)
            j = row + whole
            dy_j, x_j, dx_j = offset(dy, j), offset(x, j), offset(dx, j)
            _stripe_backward(dy_j, x_j, mean_stripe, scale_stripe, mean_dy, slope, dx_j, span - whole)


@kernel
def batch_norm_inference(t, n, s, thread, threads):
    """y = gamma (x − running_mean) / √(running_var + eps) + beta."""
    gamma, beta, running_mean, running_var = t[1], t[2], t[3], t[4]
    rows, channels, inner = n[0], n[1], n[2]
    mean_stripe, scale_stripe, beta_stripe = stack(t[0], _STRIPE), stack(t[0], _STRIPE), stack(t[0], _STRIPE)
    step = _stripe_channels(inner)
    begin, end = share(channels, _GRAIN, thread, threads)
    for c in range(begin, end, step):
        width = min(step, end - c)
        _spread(offset(running_mean, c), width, mean_stripe)
        _spread(offset(beta, c), width, beta_stripe)
        for k in range(_STRIPE):
            at = c + min(k, width - 1)
            scale_stripe[k] = gamma[at] / math.sqrt(running_var[at] + s[0])
        x, y = offset(t[0], c * inner), offset(t[5], c * inner)
        _normalize(x, mean_stripe, scale_stripe, beta_stripe, y, rows, channels * inner, width * inner)


@kernel
def fold_batch_norm(t, n, s, thread, threads):
    """folded_weight (channels, inner) = scale weight, folded_bias = scale (bias − running_mean) + beta, where
    scale = gamma / √(running_var + eps).
    """
    weight, bias, gamma, beta, running_mean, running_var = t[0], t[1], t[2], t[3], t[4], t[5]
    folded_weight, folded_bias, inner = t[6], t[7], n[1]
    begin, end = share(n[0], _GRAIN, thread, threads)
    for c in range(begin, end):
        scale = like(weight[0], gamma[c] / math.sqrt(running_var[c] + s[0]))
        for k in range(c * inner, (c + 1) * inner):
            folded_weight[k] = scale * weight[k]
        folded_bias[c] = scale * (bias[c] - running_mean[c]) + beta[c]
