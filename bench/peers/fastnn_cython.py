"""fastnn on its Cython backend, through its public functions only."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, ClassVar

import numpy as np

import fastnn as fn
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
from bench.problems.networks import Conv, Dense, Network, Weights
from bench.problems.training import (
    VERIFIED_STEPS,
    Epoch,
    Search,
    SearchInputs,
    Training,
    TrainingInputs,
    training_results,
)
from bench.task import Arrays, Task, named

F = fn.functional


class FastnnCython(Peer):
    name = "fastnn-cython"
    distribution = "fastnn"
    import_statement = "import fastnn"
    backend: ClassVar[str] = "cython"

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._begin()

    def _begin(self, threads: int | None = None) -> None:
        fn.set_backend(self.backend)
        fn.set_num_threads(threads or self.threads)

    def _kernel(self, call: Callable[..., Any], arguments: list[tuple[Any, ...]], *results: str) -> Task:
        return Task(call, arguments, named(*results), begin=self._begin)

    def matmul(self, problem: Matmul, inputs: KernelInputs) -> Task:
        options = {"transpose_a": problem.transpose_a, "transpose_b": problem.transpose_b}
        options = {name: True for name, wanted in options.items() if wanted}
        out = np.empty((problem.m, problem.n), inputs[0]["a"].dtype)
        arguments = [(data["a"], data["b"], out) for data in inputs]
        return self._kernel(lambda a, b, out: F.matmul(a, b, out=out, **options), arguments, "c")

    def linear_relu(self, problem: LinearReLU, inputs: KernelInputs) -> Task:
        def linear_relu(x: Any, weight: Any, bias: Any, out: Any) -> Any:
            return F.linear(x, weight, bias, activation="relu", out=out)

        out = np.empty((problem.m, problem.n), inputs[0]["x"].dtype)
        arguments = [(data["x"], data["weight"], data["bias"], out) for data in inputs]
        return self._kernel(linear_relu, arguments, "y")

    def linear_backward(self, problem: LinearBackward, inputs: KernelInputs) -> Task:
        arguments = [(data["dy"], data["x"], data["weight"]) for data in inputs]
        return self._kernel(F.linear_backward, arguments, "dx", "dweight", "dbias")

    def elementwise(self, problem: Elementwise, inputs: KernelInputs) -> Task:
        function = getattr(F, problem.function)
        if problem.is_backward:
            out = np.empty_like(inputs[0]["y"])
            arguments = [(data["dy"], data["y"], out) for data in inputs]
            return self._kernel(lambda dy, y, out: function(dy, y, out=out), arguments, "result")
        out = np.empty_like(inputs[0]["x"])
        arguments = [(data["x"], out) for data in inputs]
        return self._kernel(lambda x, out: function(x, out=out), arguments, "result")

    def softmax(self, problem: Softmax, inputs: KernelInputs) -> Task:
        function = getattr(F, problem.function)
        out = np.empty_like(inputs[0]["x"])
        arguments = [(data["x"], out) for data in inputs]
        return self._kernel(lambda x, out: function(x, out=out), arguments, "y")

    def log_loss(self, problem: LogLoss, inputs: KernelInputs) -> Task:
        def log_loss(z: Any, y: Any) -> Any:
            return F.log_loss_with_logits(z, y), F.log_loss_with_logits_backward(z, y)

        return self._kernel(log_loss, [(data["z"], data["y"]) for data in inputs], "loss", "dz")

    def conv2d(self, problem: Conv2D, inputs: KernelInputs) -> Task:
        options = _convolution_options(problem)
        out = np.empty(problem.y_shape, inputs[0]["x"].dtype)
        arguments = [(data["x"], data["weight"], data["bias"], out) for data in inputs]
        return self._kernel(lambda x, w, b, out: F.conv2d(x, w, b, out=out, **options), arguments, "y")

    def conv2d_backward(self, problem: Conv2DBackward, inputs: KernelInputs) -> Task:
        function = partial(F.conv2d_backward, **_convolution_options(problem))
        arguments = [(data["dy"], data["x"], data["weight"]) for data in inputs]
        return self._kernel(function, arguments, "dx", "dweight", "dbias")

    def max_pool2d(self, problem: MaxPool2D, inputs: KernelInputs) -> Task:
        if problem.backward:
            arguments = [(data["dy"], data["x"], problem.size) for data in inputs]
            return self._kernel(F.max_pool2d_backward, arguments, "dx")
        return self._kernel(F.max_pool2d, [(data["x"], problem.size) for data in inputs], "y")

    def inference(self, problem: Inference, inputs: InferenceInputs) -> Task:
        self._begin()
        net = _network(problem.network, inputs.weights)
        if problem.into:
            out = np.empty((problem.batch, problem.network.outputs), inputs.x[0].dtype)
            return self._kernel(net.predict, [(x, out) for x in inputs.x], "output")
        return self._kernel(net.predict, [(x,) for x in inputs.x], "output")

    def training(self, problem: Training, inputs: TrainingInputs) -> Task:
        x, y, batch = inputs.x, inputs.y, problem.batch
        optimizer = (
            fn.SGD(problem.learning_rate) if problem.optimizer == "sgd" else fn.Adam(problem.learning_rate)
        )
        net: fn.Network

        def begin() -> None:
            nonlocal net
            self._begin()
            net = _network(problem.network, inputs.weights)  # a new one, as the optimizer's state lives in it

        def train(rows: int = problem.rows, epochs: int = problem.epochs) -> float:
            history = net.fit(
                x[:rows], y[:rows], epochs=epochs, batch_size=batch, optimizer=optimizer, shuffle=False
            )
            return history.loss[-1]

        def results() -> Arrays:
            begin()
            gradients = net.gradients(x[:batch], y[:batch])
            loss = train(VERIFIED_STEPS * batch, 1)
            return training_results(gradients, loss, inputs.weights, net.parameters)

        return Task(train, [()], named("loss"), problem.batches * problem.epochs, begin, results)

    def epoch(self, problem: Epoch, inputs: TrainingInputs) -> Task:
        optimizer = fn.Adam(problem.learning_rate)
        net: fn.Network

        def begin() -> None:
            nonlocal net
            self._begin()
            net = _network(problem.network, inputs.weights)

        def train(rows: int = problem.rows, shuffle: bool = True) -> float:
            x, y = inputs.x[:rows], inputs.y[:rows]
            history = net.fit(x, y, epochs=1, batch_size=problem.batch, optimizer=optimizer, shuffle=shuffle)
            return history.loss[-1]

        def results() -> Arrays:
            begin()
            loss = train(problem.verified_rows, shuffle=False)
            return training_results({}, loss, inputs.weights, net.parameters)

        return Task(train, [()], named("loss"), begin=begin, results=results)

    def search(self, problem: Search, inputs: SearchInputs) -> Task:
        """The networks train in threads: `fit` doesn't hold the GIL."""

        def train(weights: Weights, rate: float) -> float:
            net = _network(problem.network, weights)
            history = net.fit(
                inputs.x,
                inputs.y,
                epochs=problem.epochs,
                batch_size=problem.batch,
                optimizer=fn.SGD(rate),
                shuffle=False,
            )
            return history.loss[-1]

        def search() -> np.ndarray:
            with ThreadPoolExecutor(self.threads) as pool:
                return np.array(list(pool.map(train, inputs.weights, inputs.learning_rates)))

        return Task(search, [()], named("losses"), begin=partial(self._begin, 1))


def _network(network: Network, weights: Weights) -> fn.Network:
    layers: list[Any] = []
    flat = len(network.input_shape) == 1
    for layer in network.layers:
        if isinstance(layer, Conv):
            layers += [fn.Conv2D(layer.filters, layer.kernel, padding=layer.padding), fn.ReLU()]
        elif isinstance(layer, Dense):
            layers += [*([] if flat else [fn.Flatten()]), fn.Dense(layer.units), fn.ReLU()]
            flat = True
        else:
            layers.append(fn.MaxPool2D(layer.size))
    layers[-1] = fn.Sigmoid() if network.outputs == 1 else fn.Softmax()
    net = fn.Network(layers, input_shape=network.input_shape, loss="log_loss", dtype=str(weights["W1"].dtype))
    for name, parameter in net.parameters.items():
        parameter[...] = weights[name]
    return net


def _convolution_options(problem: Conv2D) -> dict[str, int]:
    return {"stride": problem.stride, "padding": problem.padding, "groups": problem.groups}
