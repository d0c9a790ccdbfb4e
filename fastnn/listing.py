"""The listing of a program: its ops as text, one a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastnn.kernels.kernel_list import KERNELS, Operand
from fastnn.ops import Op, Tensor

# Options that a line shows where they aren't as in this table; other sizes follow from the shapes.
_PLAIN = {
    **dict.fromkeys(("stride_h", "stride_w", "dilation_h", "dilation_w", "groups"), 1),
    **dict.fromkeys(("pad_top", "pad_left", "nesterov", "decoupled", "momentum", "weight_decay"), 0),
}
_ALWAYS_SHOWN = ("rate",)


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
    numbers = {**op.sizes, **op.scalars}
    options = "".join(f"  {name}={value:g}" for name, value in numbers.items() if _is_shown(name, value))
    row = KERNELS[op.kernel]
    return kernel, _operands(row.reads, op.reads), _operands(row.writes, op.writes), options


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


def _is_shown(name: str, value: float) -> bool:
    return name in _ALWAYS_SHOWN or (name in _PLAIN and value != _PLAIN[name])
