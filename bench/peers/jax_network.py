"""A bench network in JAX, with SGD and Adam as pure functions."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from bench.problems.networks import Conv, Dense, Network
from bench.problems.training import ADAM

State = tuple[Any, Any, Any, Any]  # weights, m, v, the number of steps done


def logits(network: Network, weights: Any, x: Any) -> Any:
    number = 0
    for layer, _, _ in network.walk():
        if isinstance(layer, Dense | Conv):
            number += 1
            weight, bias = weights[f"W{number}"], weights[f"b{number}"]
        if isinstance(layer, Dense):
            x = x.reshape(len(x), -1) @ weight + bias
        elif isinstance(layer, Conv):
            padding = [(layer.padding, layer.padding)] * 2
            x = lax.conv_general_dilated(x, weight, (1, 1), padding) + bias[:, None, None]
        else:
            window = (1, 1, layer.size, layer.size)
            x = lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")
            continue
        if layer is not network.layers[-1]:
            x = jax.nn.relu(x)
    return x


def predict(network: Network, weights: Any, x: Any) -> Any:
    z = logits(network, weights, x)
    return jax.nn.sigmoid(z) if network.outputs == 1 else jax.nn.softmax(z)


def log_loss(z: Any, y: Any) -> Any:
    if y.ndim == z.ndim:
        return jnp.mean(jnp.maximum(z, 0) - z * y + jnp.log1p(jnp.exp(-jnp.abs(z))))
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], 1))


def loss(network: Network, weights: Any, x: Any, y: Any) -> Any:
    return log_loss(logits(network, weights, x), y)


def start(weights: Any) -> State:
    """New arrays, as a step overwrites those that it is given."""
    weights = jax.tree.map(jnp.array, weights)
    m, v = (jax.tree.map(jnp.zeros_like, weights) for _ in range(2))
    return weights, m, v, jnp.zeros(())


def step(network: Network, optimizer: str, rate: Any, state: State, x: Any, y: Any) -> tuple[State, Any]:
    weights, m, v, steps = state
    value, gradients = jax.value_and_grad(partial(loss, network))(weights, x, y)
    steps = steps + 1
    if optimizer == "sgd":
        weights = jax.tree.map(lambda w, g: w - rate * g, weights, gradients)
        return (weights, m, v, steps), value
    beta1, beta2 = ADAM["beta1"], ADAM["beta2"]
    m = jax.tree.map(lambda m, g: beta1 * m + (1 - beta1) * g, m, gradients)
    v = jax.tree.map(lambda v, g: beta2 * v + (1 - beta2) * g * g, v, gradients)
    correction1, correction2 = 1 - beta1**steps, 1 - beta2**steps
    weights = jax.tree.map(
        lambda w, m, v: w - rate * (m / correction1) / (jnp.sqrt(v / correction2) + ADAM["eps"]),
        weights,
        m,
        v,
    )
    return (weights, m, v, steps), value
