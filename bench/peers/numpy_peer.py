"""NumPy: kernels as whole-array expressions with `out=`, and dense networks written by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from bench.peers.numpy_network import NumPyNetwork
from bench.peers.peer import Peer
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
from bench.problems.training import (
    VERIFIED_STEPS,
    Epoch,
    Search,
    SearchInputs,
    Training,
    TrainingInputs,
    training_results,
)
from bench.task import Arrays, Task, Unsupported, batch_ranges, named


class NumPyPeer(Peer):
    name = "numpy"
    distribution = "numpy"
    import_statement = "import numpy"
    cannot: ClassVar[dict[str, str]] = {
        "conv2d": "has no convolution of images",
        "conv2d_backward": "has no convolution of images",
        "max_pool2d": "has no pooling",
        **dict.fromkeys(("import", "installed_size", "first_step"), "fastnn needs it itself"),
    }

    def matmul(self, problem: Matmul, inputs: KernelInputs) -> Task:
        out = np.empty((problem.m, problem.n), inputs[0]["a"].dtype)
        arguments = [
            (
                data["a"].T if problem.transpose_a else data["a"],
                data["b"].T if problem.transpose_b else data["b"],
                out,
            )
            for data in inputs
        ]
        return Task(np.matmul, arguments, named("c"))

    def linear_relu(self, problem: LinearReLU, inputs: KernelInputs) -> Task:
        def linear_relu(x: Any, weight: Any, bias: Any, out: Any) -> Any:
            np.matmul(x, weight, out)
            np.add(out, bias, out)
            return np.maximum(out, 0, out=out)

        out = np.empty((problem.m, problem.n), inputs[0]["x"].dtype)
        arguments = [(data["x"], data["weight"], data["bias"], out) for data in inputs]
        return Task(linear_relu, arguments, named("y"))

    def linear_backward(self, problem: LinearBackward, inputs: KernelInputs) -> Task:
        def linear_backward(dy: Any, x: Any, weight: Any) -> Any:
            return dy @ weight.T, x.T @ dy, dy.sum(axis=0)

        arguments = [(data["dy"], data["x"], data["weight"]) for data in inputs]
        return Task(linear_backward, arguments, named("dx", "dweight", "dbias"))

    def elementwise(self, problem: Elementwise, inputs: KernelInputs) -> Task:
        names = ("dy", "y") if problem.is_backward else ("x",)
        out = np.empty_like(inputs[0][names[0]])
        arguments = [(*(data[n] for n in names), out) for data in inputs]
        return Task(_ELEMENTWISE[problem.function], arguments, named("result"))

    def softmax(self, problem: Softmax, inputs: KernelInputs) -> Task:
        out = np.empty_like(inputs[0]["x"])
        arguments = [(data["x"], out) for data in inputs]
        function = {"softmax": _softmax, "log_softmax": _log_softmax}[problem.function]
        return Task(function, arguments, named("y"))

    def log_loss(self, problem: LogLoss, inputs: KernelInputs) -> Task:
        arguments = [(data["z"], data["y"]) for data in inputs]
        return Task(
            _binary_log_loss if problem.classes == 1 else _class_log_loss, arguments, named("loss", "dz")
        )

    def inference(self, problem: Inference, inputs: InferenceInputs) -> Task:
        if problem.into:
            raise Unsupported("a network by hand has no output argument")
        network = self._network(problem)
        network.set(inputs.weights)
        return Task(network.predict, [(x,) for x in inputs.x], named("output"))

    def training(self, problem: Training, inputs: TrainingInputs) -> Task:
        network = self._network(problem)
        x, y, batch = inputs.x, inputs.y, problem.batch

        def begin() -> None:
            network.set(inputs.weights)
            network.start(problem.optimizer, problem.learning_rate)

        def train(first: int, stop: int) -> float:
            for start in range(first * batch, stop * batch, batch):
                loss = network.step(x[start : start + batch], y[start : start + batch])
            return loss

        def results() -> Arrays:
            begin()
            gradients = network.gradients(x[:batch], y[:batch])[1]
            rows = VERIFIED_STEPS * batch
            loss = network.epoch(x[:rows], y[:rows], batch)
            return training_results(gradients, loss, inputs.weights, network.weights)

        steps = min(10, problem.batches)
        return Task(train, batch_ranges(problem.batches, steps), named("loss"), steps, begin, results)

    def epoch(self, problem: Epoch, inputs: TrainingInputs) -> Task:
        network = self._network(problem)
        rng = np.random.default_rng(0)

        def begin() -> None:
            network.set(inputs.weights)
            network.start("adam", problem.learning_rate)

        def train() -> float:
            order = rng.permutation(problem.rows)
            return network.epoch(inputs.x, inputs.y, problem.batch, order)

        def results() -> Arrays:
            begin()
            rows = problem.verified_rows
            loss = network.epoch(inputs.x[:rows], inputs.y[:rows], problem.batch)
            return training_results({}, loss, inputs.weights, network.weights)

        return Task(train, [()], named("loss"), begin=begin, results=results)

    def search(self, problem: Search, inputs: SearchInputs) -> Task:
        def search() -> np.ndarray:
            losses = []
            for weights, rate in zip(inputs.weights, inputs.learning_rates, strict=True):
                network = NumPyNetwork(problem.network)
                network.set(weights)
                network.start("sgd", rate)
                for _ in range(problem.epochs):
                    loss = network.epoch(inputs.x, inputs.y, problem.batch)
                losses.append(loss)
            return np.array(losses)

        return Task(search, [()], named("losses"))

    @staticmethod
    def _network(problem: Inference | Training | Epoch) -> NumPyNetwork:
        if not problem.network.is_dense:
            raise Unsupported("has no convolution of images")
        return NumPyNetwork(problem.network)


def _relu(x: Any, out: Any) -> Any:
    return np.maximum(x, 0, out=out)


def _relu_backward(dy: Any, y: Any, out: Any) -> Any:
    return np.multiply(dy, y > 0, out)


def _sigmoid(x: Any, out: Any) -> Any:
    np.negative(x, out)
    np.exp(out, out)
    np.add(out, 1, out)
    return np.reciprocal(out, out)


def _sigmoid_backward(dy: Any, y: Any, out: Any) -> Any:
    np.subtract(1, y, out)
    np.multiply(out, y, out)
    return np.multiply(out, dy, out)


def _tanh_backward(dy: Any, y: Any, out: Any) -> Any:
    np.multiply(y, y, out)
    np.subtract(1, out, out)
    return np.multiply(out, dy, out)


_ELEMENTWISE = {
    "relu": _relu,
    "relu_backward": _relu_backward,
    "sigmoid": _sigmoid,
    "sigmoid_backward": _sigmoid_backward,
    "tanh": np.tanh,
    "tanh_backward": _tanh_backward,
}


def _softmax(x: Any, out: Any) -> Any:
    np.subtract(x, x.max(axis=1, keepdims=True), out)
    np.exp(out, out)
    return np.divide(out, out.sum(axis=1, keepdims=True), out)


def _log_softmax(x: Any, out: Any) -> Any:
    np.subtract(x, x.max(axis=1, keepdims=True), out)
    return np.subtract(out, np.log(np.exp(out).sum(axis=1, keepdims=True)), out)


def _binary_log_loss(z: Any, y: Any) -> Any:
    e = np.exp(-np.abs(z))
    loss = (np.maximum(z, 0) - z * y + np.log1p(e)).mean()
    sigmoid = np.where(z >= 0, 1, e) / (1 + e)
    return loss, (sigmoid - y) / z.dtype.type(z.size)


def _class_log_loss(z: Any, y: Any) -> Any:
    rows = np.arange(y.size)
    dz = z - z.max(axis=1, keepdims=True)
    logit = dz[rows, y]
    np.exp(dz, dz)
    total = dz.sum(axis=1, keepdims=True)
    loss = (np.log(total[:, 0]) - logit).mean()
    dz /= total
    dz[rows, y] -= 1
    dz /= z.dtype.type(y.size)
    return loss, dz
