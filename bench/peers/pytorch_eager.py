"""PyTorch, run op by op; with its fused optimizer kernel; and with images in channels-last order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F

from bench.peers.peer import Peer
from bench.peers.pytorch_network import PyTorchNetwork, search_in_processes
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


class PyTorchEager(Peer):
    name = "pytorch-eager"
    distribution = "torch"
    import_statement = "import torch"
    fused_optimizer: bool | None = None  # None: the optimizer's own choice
    memory_format = torch.contiguous_format

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        torch.set_num_threads(threads)

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """What becomes of a function before it is called: nothing here."""
        return function

    def matmul(self, problem: Matmul, inputs: KernelInputs) -> Task:
        def operands(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (a.t() if problem.transpose_a else a), (b.t() if problem.transpose_b else b), out

        tensors = [_tensors(data, "a", "b") for data in inputs]
        out = torch.empty(problem.m, problem.n, dtype=tensors[0][0].dtype)
        arguments = [operands(a, b) for a, b in tensors]
        return Task(lambda a, b, out: torch.mm(a, b, out=out), arguments, named("c"))

    def linear_relu(self, problem: LinearReLU, inputs: KernelInputs) -> Task:
        def linear_relu(x: Any, weight: Any, bias: Any) -> Any:
            return torch.addmm(bias, x, weight).relu_()

        arguments = [_tensors(data, "x", "weight", "bias") for data in inputs]
        return Task(self.compiled(linear_relu), arguments, named("y"))

    def linear_backward(self, problem: LinearBackward, inputs: KernelInputs) -> Task:
        def linear_backward(dy: Any, x: Any, weight: Any) -> Any:
            return dy @ weight.t(), x.t() @ dy, dy.sum(0)

        arguments = [_tensors(data, "dy", "x", "weight") for data in inputs]
        return Task(self.compiled(linear_backward), arguments, named("dx", "dweight", "dbias"))

    def elementwise(self, problem: Elementwise, inputs: KernelInputs) -> Task:
        names = ("dy", "y") if problem.is_backward else ("x",)
        function = _ELEMENTWISE[problem.function]
        if problem.is_backward:  # the functions with out= are slower here
            return Task(function, [_tensors(data, *names) for data in inputs], named("result"))
        tensors = [_tensors(data, "x") for data in inputs]
        out = torch.empty_like(tensors[0][0])
        return Task(function, [(x, out) for (x,) in tensors], named("result"))

    def softmax(self, problem: Softmax, inputs: KernelInputs) -> Task:
        function = {"softmax": torch.softmax, "log_softmax": torch.log_softmax}[problem.function]
        return Task(partial(function, dim=1), [_tensors(data, "x") for data in inputs], named("y"))

    def log_loss(self, problem: LogLoss, inputs: KernelInputs) -> Task:
        loss_of = self.compiled(_loss_function(problem.classes))

        def log_loss(z: Any, y: Any) -> Any:
            loss = loss_of(z, y)
            return loss.detach(), torch.autograd.grad(loss, z)[0]

        tensors = [_tensors(data, "z", "y") for data in inputs]
        return Task(log_loss, [(z.requires_grad_(), y) for z, y in tensors], named("loss", "dz"))

    def conv2d(self, problem: Conv2D, inputs: KernelInputs) -> Task:
        def conv2d(x: Any, weight: Any, bias: Any) -> Any:
            return F.conv2d(x, weight, bias, problem.stride, problem.padding, 1, problem.groups)

        arguments = [self._images(*_tensors(data, "x", "weight", "bias")) for data in inputs]
        return Task(conv2d, arguments, named("y"))

    def conv2d_backward(self, problem: Conv2DBackward, inputs: KernelInputs) -> Task:
        stride, padding = [problem.stride] * 2, [problem.padding] * 2

        def conv2d_backward(dy: Any, x: Any, weight: Any) -> Any:
            return torch.ops.aten.convolution_backward(
                dy, x, weight, [problem.filters], stride, padding, [1, 1], False, [0, 0],
                problem.groups, [True, True, True],
            )  # fmt: skip

        arguments = [self._images(*_tensors(data, "dy", "x", "weight")) for data in inputs]
        return Task(conv2d_backward, arguments, named("dx", "dweight", "dbias"))

    def max_pool2d(self, problem: MaxPool2D, inputs: KernelInputs) -> Task:
        size = [problem.size] * 2
        images = [self._images(*_tensors(data, "x", "dy")) for data in inputs]
        if not problem.backward:
            return Task(partial(F.max_pool2d, kernel_size=size), [(x,) for x, _ in images], named("y"))

        def max_pool2d_backward(dy: Any, x: Any, places: Any) -> Any:
            return torch.ops.aten.max_pool2d_with_indices_backward(
                dy, x, size, size, [0, 0], [1, 1], False, places
            )

        # Where the maxima are comes from the forward pass, and isn't timed.
        arguments = [(dy, x, F.max_pool2d(x, size, return_indices=True)[1]) for x, dy in images]
        return Task(max_pool2d_backward, arguments, named("dx"))

    def inference(self, problem: Inference, inputs: InferenceInputs) -> Task:
        if problem.into:
            raise Unsupported("a model has no output argument")
        network = self._network(problem)
        network.set(inputs.weights)
        arguments = [self._images(torch.from_numpy(x)) for x in inputs.x]
        return Task(self.compiled(network.predictor()), arguments, named("output"))

    def training(self, problem: Training, inputs: TrainingInputs) -> Task:
        network = self._network(problem)
        (x,), y = self._images(torch.from_numpy(inputs.x)), torch.from_numpy(inputs.y)
        loss_of = self.compiled(network.loss)
        batch = problem.batch

        def begin() -> None:
            network.set(inputs.weights)
            network.start(problem.optimizer, problem.learning_rate, self.fused_optimizer)

        def train(first: int, stop: int) -> torch.Tensor:
            for start in range(first * batch, stop * batch, batch):
                loss = network.step(loss_of, x[start : start + batch], y[start : start + batch])
            return loss.detach()

        def results() -> Arrays:
            begin()
            loss_of(x[:batch], y[:batch]).backward()
            gradients = network.gradients()
            rows = VERIFIED_STEPS * batch
            loss = network.epoch(loss_of, x[:rows], y[:rows], batch)
            return training_results(gradients, loss, inputs.weights, network.weights())

        steps = min(10, problem.batches)
        return Task(train, batch_ranges(problem.batches, steps), named("loss"), steps, begin, results)

    def epoch(self, problem: Epoch, inputs: TrainingInputs) -> Task:
        network = self._network(problem)
        (x,), y = self._images(torch.from_numpy(inputs.x)), torch.from_numpy(inputs.y)
        loss_of = self.compiled(network.loss)

        def begin() -> None:
            network.set(inputs.weights)
            network.start("adam", problem.learning_rate, self.fused_optimizer)

        def train() -> float:
            return network.epoch(loss_of, x, y, problem.batch, torch.randperm(problem.rows))

        def results() -> Arrays:
            begin()
            rows = problem.verified_rows
            loss = network.epoch(loss_of, x[:rows], y[:rows], problem.batch)
            return training_results({}, loss, inputs.weights, network.weights())

        return Task(train, [()], named("loss"), begin=begin, results=results)

    def search(self, problem: Search, inputs: SearchInputs) -> Task:
        return Task(
            partial(search_in_processes, problem, inputs, self.fused_optimizer, self.threads),
            [()],
            named("losses"),
        )

    def _network(self, problem: Inference | Training | Epoch) -> PyTorchNetwork:
        return PyTorchNetwork(problem.network, self.memory_format)

    def _images(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Images (4 dimensions) in this peer's memory format."""
        return tuple(
            tensor.contiguous(memory_format=self.memory_format) if tensor.dim() == 4 else tensor
            for tensor in tensors
        )


class PyTorchFused(PyTorchEager):
    """`fused=True`: the optimizer's whole update in one kernel."""

    name = "pytorch-fused"
    cannot: ClassVar[dict[str, str]] = {
        "first_step": "starts as pytorch-eager does",
        "import": "the same package as pytorch-eager",
        "installed_size": "the same package as pytorch-eager",
        "epoch": "see the training cases, whose steps are the same",
        **dict.fromkeys(
            (
                "matmul",
                "linear_relu",
                "linear_backward",
                "elementwise",
                "softmax",
                "log_loss",
                "conv2d",
                "conv2d_backward",
                "max_pool2d",
                "inference",
            ),
            "differs from pytorch-eager in the optimizer only",
        ),
    }
    fused_optimizer = True


class PyTorchChannelsLast(PyTorchEager):
    """Images in NHWC order in memory, already so when the clock starts."""

    name = "pytorch-nhwc"
    cannot: ClassVar[dict[str, str]] = {
        "first_step": "starts as pytorch-eager does",
        "import": "the same package as pytorch-eager",
        "installed_size": "the same package as pytorch-eager",
        "epoch": "see the training cases, whose steps are the same",
        "search": "only images have a layout",
        **dict.fromkeys(
            ("matmul", "linear_relu", "linear_backward", "elementwise", "softmax", "log_loss"),
            "only images have a layout",
        ),
    }
    memory_format = torch.channels_last

    def _network(self, problem: Inference | Training | Epoch) -> PyTorchNetwork:
        if problem.network.is_dense:
            raise Unsupported("only images have a layout")
        return super()._network(problem)


_ELEMENTWISE: dict[str, Callable[..., Any]] = {
    "relu": lambda x, out: torch.clamp_min(x, 0, out=out),
    "relu_backward": lambda dy, y: torch.ops.aten.threshold_backward(dy, y, 0),
    "sigmoid": lambda x, out: torch.sigmoid(x, out=out),
    "sigmoid_backward": torch.ops.aten.sigmoid_backward.default,
    "tanh": lambda x, out: torch.tanh(x, out=out),
    "tanh_backward": torch.ops.aten.tanh_backward.default,
}


def _loss_function(classes: int) -> Callable[..., Any]:
    return F.binary_cross_entropy_with_logits if classes == 1 else F.cross_entropy


def _tensors(data: dict[str, Any], *names: str) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(data[name]) for name in names)
