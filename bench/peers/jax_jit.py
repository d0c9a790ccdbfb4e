"""JAX: every call one jitted function, waited for; a training step a call."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax import lax

from bench.peers import jax_network
from bench.peers.peer import Peer
from bench.problems.convolution import Conv2D, Conv2DBackward, MaxPool2D
from bench.problems.inference import Inference, InferenceInputs
from bench.problems.kernels import (
    Elementwise,
    KernelInputs,
    LinearBackward,
    LinearReLU,
    LogLoss,
    Matmul,
    Softmax,
)
from bench.problems.training import VERIFIED_STEPS, Training, TrainingInputs, training_results
from bench.task import Arrays, Task, Unsupported, batch_ranges, named


class JaxJit(Peer):
    name = "jax-jit"
    distribution = "jax"
    import_statement = "import jax"
    cannot: ClassVar[dict[str, str]] = {
        "epoch": "see jax-scan, which does epochs in one call",
        "search": "see jax-scan, which trains all at once",
    }

    def matmul(self, problem: Matmul, inputs: KernelInputs) -> Task:
        _refuse_float64(problem.dtype)

        def matmul(a: Any, b: Any) -> Any:
            return (a.T if problem.transpose_a else a) @ (b.T if problem.transpose_b else b)

        return Task(_jitted(matmul), _arguments(inputs, "a", "b"), named("c"))

    def linear_relu(self, problem: LinearReLU, inputs: KernelInputs) -> Task:
        def linear_relu(x: Any, weight: Any, bias: Any) -> Any:
            return jax.nn.relu(x @ weight + bias)

        return Task(_jitted(linear_relu), _arguments(inputs, "x", "weight", "bias"), named("y"))

    def linear_backward(self, problem: LinearBackward, inputs: KernelInputs) -> Task:
        def linear_backward(dy: Any, x: Any, weight: Any) -> Any:
            return dy @ weight.T, x.T @ dy, dy.sum(axis=0)

        arguments = _arguments(inputs, "dy", "x", "weight")
        return Task(_jitted(linear_backward), arguments, named("dx", "dweight", "dbias"))

    def elementwise(self, problem: Elementwise, inputs: KernelInputs) -> Task:
        names = ("dy", "y") if problem.is_backward else ("x",)
        return Task(_jitted(_ELEMENTWISE[problem.function]), _arguments(inputs, *names), named("result"))

    def softmax(self, problem: Softmax, inputs: KernelInputs) -> Task:
        function = {"softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax}[problem.function]
        return Task(_jitted(function), _arguments(inputs, "x"), named("y"))

    def log_loss(self, problem: LogLoss, inputs: KernelInputs) -> Task:
        function = _jitted(jax.value_and_grad(jax_network.log_loss))
        return Task(function, _arguments(inputs, "z", "y"), named("loss", "dz"))

    def conv2d(self, problem: Conv2D, inputs: KernelInputs) -> Task:
        def conv2d(x: Any, weight: Any, bias: Any) -> Any:
            return _convolution(problem, x, weight, bias)

        return Task(_jitted(conv2d), _arguments(inputs, "x", "weight", "bias"), named("y"))

    def conv2d_backward(self, problem: Conv2DBackward, inputs: KernelInputs) -> Task:
        def conv2d_backward(dy: Any, x: Any, weight: Any) -> Any:
            bias = jnp.zeros(problem.filters, x.dtype)
            return jax.vjp(partial(_convolution, problem), x, weight, bias)[1](dy)

        arguments = _arguments(inputs, "dy", "x", "weight")
        return Task(_jitted(conv2d_backward), arguments, named("dx", "dweight", "dbias"))

    def max_pool2d(self, problem: MaxPool2D, inputs: KernelInputs) -> Task:
        window = (1, 1, problem.size, problem.size)

        def max_pool2d(x: Any) -> Any:
            return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")

        def max_pool2d_backward(dy: Any, x: Any) -> Any:
            return jax.vjp(max_pool2d, x)[1](dy)[0]

        if problem.backward:
            return Task(_jitted(max_pool2d_backward), _arguments(inputs, "dy", "x"), named("dx"))
        return Task(_jitted(max_pool2d), _arguments(inputs, "x"), named("y"))

    def inference(self, problem: Inference, inputs: InferenceInputs) -> Task:
        if problem.into:
            raise Unsupported("arrays cannot be written into")
        weights = jax.tree.map(jnp.asarray, inputs.weights)
        function = _jitted(partial(jax_network.predict, problem.network, weights))
        return Task(function, [(jnp.asarray(x),) for x in inputs.x], named("output"))

    def training(self, problem: Training, inputs: TrainingInputs) -> Task:
        x, y = jnp.asarray(inputs.x), jnp.asarray(inputs.y)
        step_on_batch = jax.jit(partial(_step_on_batch, problem), donate_argnums=0)
        state: list[jax_network.State] = []

        def begin() -> None:
            state[:] = [jax_network.start(inputs.weights)]

        def train(first: int, stop: int) -> Any:
            for number in range(first, stop):
                state[0], loss = step_on_batch(state[0], x, y, number)
            return jax.block_until_ready(loss)

        def results() -> Arrays:
            gradients = jax.jit(jax.grad(partial(jax_network.loss, problem.network)))(
                inputs.weights, x[: problem.batch], y[: problem.batch]
            )
            begin()
            loss = sum(float(train(number, number + 1)) for number in range(VERIFIED_STEPS)) / VERIFIED_STEPS
            return training_results(gradients, loss, inputs.weights, state[0][0])

        steps = min(10, problem.batches)
        return Task(train, batch_ranges(problem.batches, steps), named("loss"), steps, begin, results)

    def forget(self) -> None:
        jax.clear_caches()


def _step_on_batch(problem: Training, state: jax_network.State, x: Any, y: Any, number: Any) -> Any:
    """The slicing is inside the compiled step: outside, it costs as much as a small network's step."""
    batch_x = lax.dynamic_slice_in_dim(x, number * problem.batch, problem.batch)
    batch_y = lax.dynamic_slice_in_dim(y, number * problem.batch, problem.batch)
    step = partial(jax_network.step, problem.network, problem.optimizer, problem.learning_rate)
    return step(state, batch_x, batch_y)


def _convolution(problem: Conv2D, x: Any, weight: Any, bias: Any) -> Any:
    strides, padding = (problem.stride,) * 2, [(problem.padding, problem.padding)] * 2
    y = lax.conv_general_dilated(x, weight, strides, padding, feature_group_count=problem.groups)
    return y + bias[:, None, None]


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "relu": jax.nn.relu,
    "relu_backward": lambda dy, y: jnp.where(y > 0, dy, 0),
    "sigmoid": jax.nn.sigmoid,
    "sigmoid_backward": lambda dy, y: dy * y * (1 - y),
    "tanh": jnp.tanh,
    "tanh_backward": lambda dy, y: dy * (1 - y * y),
}


def _jitted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The compiled function, waited for: JAX returns before its work is done."""
    compiled = jax.jit(function)
    return lambda *arguments: jax.block_until_ready(compiled(*arguments))


def _arguments(inputs: KernelInputs, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(jnp.asarray(data[name]) for name in names) for data in inputs]


def _refuse_float64(dtype: str) -> None:
    if dtype == "float64":
        raise Unsupported("float64 is a switch of the whole process, and off")
