"""ONNX Runtime: networks and single operators as ONNX graphs, run by one session each."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bench.peers.peer import Peer
from bench.problems.convolution import Conv2D, MaxPool2D
from bench.problems.inference import Inference, InferenceInputs
from bench.problems.kernels import Elementwise, KernelInputs, LinearReLU, Matmul, Softmax
from bench.problems.networks import Conv, Dense, Network, Pool, Weights
from bench.task import Task, Unsupported, named

_OPSET = 17
_NO_TRAINING = "only runs trained models"


class OnnxRuntime(Peer):
    name = "onnxruntime"
    distribution = "onnxruntime"
    import_statement = "import onnxruntime"
    cannot: ClassVar[dict[str, str]] = {
        "training": _NO_TRAINING,
        "epoch": _NO_TRAINING,
        "search": _NO_TRAINING,
        "first_step": _NO_TRAINING,
        "": "has no backward pass",
    }

    def matmul(self, problem: Matmul, inputs: KernelInputs) -> Task:
        node = helper.make_node(
            "Gemm", ["a", "b"], ["c"], transA=int(problem.transpose_a), transB=int(problem.transpose_b)
        )
        return self._operators([node], inputs, ("a", "b"), (problem.m, problem.n))

    def linear_relu(self, problem: LinearReLU, inputs: KernelInputs) -> Task:
        nodes = [
            helper.make_node("Gemm", ["x", "weight", "bias"], ["z"]),
            helper.make_node("Relu", ["z"], ["y"]),
        ]
        return self._operators(nodes, inputs, ("x", "weight", "bias"), (problem.m, problem.n))

    def elementwise(self, problem: Elementwise, inputs: KernelInputs) -> Task:
        if problem.is_backward:
            raise Unsupported("has no backward pass")
        node = helper.make_node(problem.function.capitalize(), ["x"], ["result"])
        return self._operators([node], inputs, ("x",), (problem.size,))

    def softmax(self, problem: Softmax, inputs: KernelInputs) -> Task:
        operator = {"softmax": "Softmax", "log_softmax": "LogSoftmax"}[problem.function]
        node = helper.make_node(operator, ["x"], ["y"], axis=1)
        return self._operators([node], inputs, ("x",), (problem.rows, problem.columns))

    def conv2d(self, problem: Conv2D, inputs: KernelInputs) -> Task:
        node = helper.make_node(
            "Conv",
            ["x", "weight", "bias"],
            ["y"],
            strides=[problem.stride] * 2,
            pads=[problem.padding] * 4,
            group=problem.groups,
        )
        # As a trained model has them: constants, which the session may lay out as it likes.
        constants = {name: inputs[0][name] for name in ("weight", "bias")}
        inputs = [{**data, **constants} for data in inputs]
        return self._operators([node], inputs, ("x",), problem.y_shape, constants)

    def max_pool2d(self, problem: MaxPool2D, inputs: KernelInputs) -> Task:
        if problem.backward:
            raise Unsupported("has no backward pass")
        side = problem.h // problem.size
        node = helper.make_node(
            "MaxPool", ["x"], ["y"], kernel_shape=[problem.size] * 2, strides=[problem.size] * 2
        )
        return self._operators([node], inputs, ("x",), (problem.n, problem.c, side, side))

    def inference(self, problem: Inference, inputs: InferenceInputs) -> Task:
        network = problem.network
        nodes = _network_nodes(network)
        shape = (problem.batch, network.outputs)
        session = self._session(nodes, {"x": inputs.x[0]}, shape, inputs.weights)
        if not problem.into:
            return Task(
                session.run, [(None, {"x": x}) for x in inputs.x], lambda outputs: {"output": outputs[0]}
            )
        bindings = [_bound(session, {"x": x}, np.empty(shape, x.dtype)) for x in inputs.x]

        def run(binding: Any, out: np.ndarray) -> np.ndarray:
            session.run_with_iobinding(binding)
            return out

        return Task(run, bindings, named("output"))

    def _operators(
        self,
        nodes: list[Any],
        inputs: KernelInputs,
        names: tuple[str, ...],
        shape: tuple[int, ...],
        constants: Weights | None = None,
    ) -> Task:
        session = self._session(nodes, {name: inputs[0][name] for name in names}, shape, constants or {})
        output = nodes[-1].output[0]
        arguments = [(None, {name: data[name] for name in names}) for data in inputs]
        return Task(session.run, arguments, lambda outputs: {output: outputs[0]})

    def _session(
        self, nodes: list[Any], feeds: Weights, shape: tuple[int, ...], constants: Weights
    ) -> onnxruntime.InferenceSession:
        kind = TensorProto.DOUBLE if next(iter(feeds.values())).dtype == np.float64 else TensorProto.FLOAT
        graph = helper.make_graph(
            nodes,
            "case",
            [helper.make_tensor_value_info(name, kind, array.shape) for name, array in feeds.items()],
            [helper.make_tensor_value_info(nodes[-1].output[0], kind, shape)],
            [numpy_helper.from_array(array, name) for name, array in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)])
        model.ir_version = min(model.ir_version, 10)  # the newest that every supported runtime reads
        onnx.checker.check_model(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def _bound(session: Any, feeds: Weights, out: np.ndarray) -> tuple[Any, np.ndarray]:
    """A binding of the caller's own arrays: the output is written straight into `out`."""
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    value = session.get_outputs()[0]
    binding.bind_output(value.name, "cpu", 0, out.dtype, out.shape, out.ctypes.data)
    return binding, out


def _network_nodes(network: Network) -> list[Any]:
    nodes: list[Any] = []
    tensor, number = "x", 0
    flat = len(network.input_shape) == 1

    def add(operator: str, *parameters: str, **attributes: Any) -> None:
        nonlocal tensor
        output = f"t{len(nodes)}"
        nodes.append(helper.make_node(operator, [tensor, *parameters], [output], **attributes))
        tensor = output

    for layer, _, _ in network.walk():
        if isinstance(layer, Pool):
            add("MaxPool", kernel_shape=[layer.size] * 2, strides=[layer.size] * 2)
            continue
        number += 1
        if isinstance(layer, Conv):
            add("Conv", f"W{number}", f"b{number}", pads=[layer.padding] * 4)
        elif isinstance(layer, Dense):
            if not flat:
                add("Flatten")
                flat = True
            add("Gemm", f"W{number}", f"b{number}")
        if layer is not network.layers[-1]:
            add("Relu")
    if network.outputs == 1:
        add("Sigmoid")
    else:
        add("Softmax", axis=1)
    return nodes
