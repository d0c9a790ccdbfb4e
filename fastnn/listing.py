"""The listing of a program: its ops as text, one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastnn.kernels.kernel_list import KERNELS, Operand
from fastnn.ops import Op, Tensor

# What a line shows beside the operands, where it isn't the usual: the name, the sizes or scalars, their usual
# values. All other sizes follow from the shapes.
_OPTIONS: tuple[tuple[str, tuple[str, ...], tuple[float, ...]], ...] = (
    ("stride", ("stride_h", "stride_w"), (1, 1)),
    ("padding", ("pad_top", "pad_left"), (0, 0)),
    ("dilation", ("dilation_h", "dilation_w"), (1, 1)),
    ("groups", ("groups",), (1,)),
    ("rate", ("rate",), (0,)),
    ("momentum", ("momentum",), (0,)),
    ("nesterov", ("nesterov",), (0,)),
    ("decoupled", ("decoupled",), (0,)),
    ("weight decay", ("weight_decay",), (0,)),
)
_WINDOW = ("window", ("r", "s"), ())  # of a pool; a convolution's is in its weights' shape
_POOL = ("window", ("pool",), ())  # of the pool after a convolution


def list_ops(ops: Sequence[Op], gathered: Mapping[str, Tensor]) -> list[str]:
    """A line for every op, in columns: number, kernel, operands read, operands written, options.

    `gathered` are the tensors of a batch that the executor takes from the data, which makes the first line.
    """
    lines = [_op_cells(op) for op in ops]
    batch = [tensor for role, tensor in gathered.items() if role != "loss"]
    if batch:
        sources = ", ".join(f"{tensor.name}[order]" for tensor in batch)
        lines.insert(0, ("gather", sources, ", ".join(map(str, batch)), ""))
    kernel_width, reads_width = (max(len(line[column]) for line in lines) for column in (0, 1))
    number_width = len(str(len(lines) - 1))
    return [
        f"{number:>{number_width}}  {kernel:<{kernel_width}}  {reads:<{reads_width}} -> {writes}{options}"
        for number, (kernel, reads, writes, options) in enumerate(lines)
    ]


def _op_cells(op: Op) -> tuple[str, str, str, str]:
    kernel = f"{op.kernel} + relu" if op.sizes.get("relu") else op.kernel
    row = KERNELS[op.kernel]
    return kernel, _operands(row.reads, op.reads), _operands(row.writes, op.writes), _options(op)


def _operands(operands: Sequence[Operand], tensors: Sequence[Tensor | None]) -> str:
    return ", ".join(
        _operand(operand.name, tensor)
        for operand, tensor in zip(operands, tensors, strict=True)
        if tensor is not None
    )


def _operand(role: str, tensor: Tensor) -> str:
    if role == "step":
        return tensor.name
    if role == "mask":
        return f"1[{tensor.name} > 0] {tensor.shape}"
    return str(tensor)


def _options(op: Op) -> str:
    numbers = {**op.sizes, **op.scalars}
    options = []
    window = _POOL if "pool" in op.sizes else _WINDOW if "pool2d" in op.kernel else None
    for name, keys, usual in (window, *_OPTIONS) if window else _OPTIONS:
        values = tuple(numbers[key] for key in keys if key in numbers)
        if values and values != usual:
            options.append(f"{name} {'×'.join(f'{value:g}' for value in dict.fromkeys(values))}")
    return f"  ({', '.join(options)})" if options else ""
