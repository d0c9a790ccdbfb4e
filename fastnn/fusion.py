"""Fusion: rewrites of the op list that spare a pass over memory and change no result to the bit.

- linear or conv2d, then relu: one op that writes A; Z is never stored.
- linear_backward_input, conv2d_backward_input or max_pool2d_backward, then relu_backward: one op that writes
  dZ, with A as the mask; dA is never stored.
- In a prediction conv2d, then batch_norm_inference: the norm goes into the weights, which are few beside the
  pixels, so one op that writes N. This one rounds elsewhere. (After a dense layer the weights are many beside
  the outputs of a row, and the norm stays.)
- conv2d, then max_pool2d: one op that writes P, and in training where each window's maximum was.
  max_pool2d_backward is a part of the gradients, and neither A nor dZ is ever stored. Those by weight round
  elsewhere.
- Between two of such pairs P and dP are kept in blocks of images, as their kernels have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from fastnn.backend import get_backend
from fastnn.kernels import native
from fastnn.ops import Op, Tensor, make_op

_BLOCK = 16  # images of a block of conv2d_max_pool2d's


def fuse(ops: Sequence[Op]) -> list[Op]:
    """`ops` with every pair that has a fused form as one op, in the place of the pair's first."""
    fused = list(ops)
    for second in ops:
        join = _JOINS.get(second.kernel)
        first = join and _only_source(second, fused)
        joined = join(first, second) if join and first else ()
        if first and joined:
            at = fused.index(first)
            fused[at : at + 1] = joined
            fused.remove(second)
    for op in ops:
        if op.kernel == "max_pool2d":
            fused = _join_max_pool(op, fused)
    return _keep_in_blocks(fused)


def _only_source(op: Op, ops: Sequence[Op]) -> Op | None:
    """The op that writes op's first operand, if `op` is the only one that reads it."""
    name = op.reads[0].name if op.reads[0] else ""
    readers = [each for each in ops if name in each.names_read]
    writers = [each for each in ops if name in each.names_written]
    return writers[0] if len(readers) == len(writers) == 1 else None


def _join_relu(first: Op, second: Op) -> tuple[Op, ...]:
    """y = linear(x), a = relu(y): a = linear(x) with the flag relu. conv2d likewise."""
    if first.kernel not in ("linear", "conv2d") or first.sizes["relu"]:
        return ()
    return (replace(first, writes=second.writes, sizes={**first.sizes, "relu": 1}),)


def _join_mask(first: Op, second: Op) -> tuple[Op, ...]:
    """da = backward(dz, …), dx = relu_backward(da, a): dx = backward(dz, …, mask a)."""
    (_, a), (dx,) = second.reads, second.writes
    assert a is not None
    assert dx is not None
    if first.kernel == "max_pool2d_backward" and first.reads[1] == a:
        return (replace(first, writes=(dx,), sizes={**first.sizes, "relu": 1}),)
    if first.kernel not in ("linear_backward_input", "conv2d_backward_input"):
        return ()
    # The ReLU may see the same memory in another shape, that of a convolution's planes.
    written = first.writes[0]
    assert written is not None
    mask, dx = a.reshape(*written.shape), dx.reshape(*written.shape)
    return (replace(first, reads=(*first.reads[:-1], mask), writes=(dx,)),)


def _join_batch_norm(first: Op, second: Op) -> tuple[Op, ...]:
    """z = conv2d(x, w, b), n = batch_norm_inference(z, …): n = conv2d(x, folded w, folded b)."""
    if first.kernel != "conv2d" or first.sizes["relu"]:
        return ()
    x, weight, bias = first.reads
    assert weight is not None
    assert bias is not None
    folded = [replace(each, name=f"folded_{each.name}") for each in (weight, bias)]
    numbers = {"channels": weight.shape[0], "inner": prod(weight.shape[1:]), **second.scalars}
    fold = make_op("fold_batch_norm", [weight, bias, *second.reads[1:]], folded, numbers)
    return fold, replace(first, reads=(x, *folded), writes=second.writes)


def _join_max_pool(pool: Op, ops: list[Op]) -> list[Op]:
    """a = conv2d(x, w, b), p = max_pool2d(a): p = conv2d_max_pool2d(x, w, b), and so in the gradients.

    These do the pool's backward pass by themselves: from the places of the maxima, image by image in blocks.
    """
    (a,) = pool.reads
    assert a is not None
    conv = next((op for op in ops if op.kernel == "conv2d" and a in op.writes), None)
    backward = [op for op in ops if a.name in op.names_read and op is not pool]
    gradients = [op for op in ops if any(op.names_read & each.names_written for each in backward)]
    if conv is None or not _takes_pool(conv, pool, backward, gradients):
        return ops
    images, filters, h, w = a.shape
    size = pool.sizes["r"]
    place_shape = (_blocks(images), filters, h // size, w // size, _BLOCK)
    place = Tensor(f"{a.name}_place", place_shape, "uint8") if backward else None
    numbers: dict[str, float] = {**conv.sizes, "pool": size, "x_blocks": 0, "y_blocks": 0}
    joined = []
    for op in ops:
        if op is conv:
            joined.append(make_op("conv2d_max_pool2d", conv.reads, [*pool.writes, place], numbers))
        elif op in gradients:
            dy = backward[0].reads[0]
            x_or_dz, *others = op.reads
            reads = [x_or_dz, dy, place] if op.kernel == "conv2d_backward_weight" else [dy, place, *others]
            kernel = op.kernel.replace("conv2d", "conv2d_max_pool2d")
            joined.append(make_op(kernel, reads, op.writes, numbers))
        elif op is not pool and op not in backward:
            joined.append(op)
    return joined


def _takes_pool(conv: Op, pool: Op, backward: list[Op], gradients: list[Op]) -> bool:
    """Whether the kernels can do the pool with the convolution, and had better."""
    sides = {pool.sizes[name] for name in ("r", "s", "stride_h", "stride_w")}
    padding = (pool.sizes["pad_top"], pool.sizes["pad_left"])
    if len(sides) > 1 or sides == {1} or padding != (0, 0):
        return False
    if [op.kernel for op in backward] not in ([], ["max_pool2d_backward"]):
        return False
    if any(op.sizes["relu"] != conv.sizes["relu"] for op in backward):
        return False  # the places tell where the ReLU's gradient is 0
    if any(op.kernel not in ("conv2d_backward_weight", "conv2d_backward_input") for op in gradients):
        return False
    if get_backend() != "cython":
        return False  # Numba's kernels gain nothing from it
    (y,) = conv.writes
    assert y is not None
    *sizes, _ = conv.sizes.values()
    itemsize = np.dtype(y.dtype).itemsize
    return native.conv2d_takes_pool(tuple(sizes), pool.sizes["r"], bool(backward), itemsize)


def _blocks_flags(op: Op) -> dict[int, str]:
    """Which of its operands the kernel can have in blocks, and the flag that says so."""
    match op.kernel:
        case "conv2d_max_pool2d":
            return {0: "x_blocks", 3: "y_blocks"}
        case "conv2d_max_pool2d_backward_input":
            masked = op.reads[3] is not None
            return {0: "y_blocks"} if masked else {0: "y_blocks", 4: "x_blocks"}
        case "conv2d_max_pool2d_backward_weight":
            return {0: "x_blocks", 1: "y_blocks"}
    return {}


def _keep_in_blocks(ops: list[Op]) -> list[Op]:
    """`ops` with every tensor in blocks that only kernels write and read which can have it so."""
    users: dict[str, list[tuple[Op, int]]] = {}
    for op in ops:
        for at, operand in enumerate(op.operands):
            if operand is not None:
                users.setdefault(operand.name, []).append((op, at))
    kept = {
        name
        for name, uses in users.items()
        if all(at in _blocks_flags(op) for op, at in uses)
        and any(at < len(op.reads) for op, at in uses)
        and any(at >= len(op.reads) for op, at in uses)
    }
    return [_with_blocks(op, kept) for op in ops]


def _with_blocks(op: Op, names: set[str]) -> Op:
    """`op` with its operands of these names in blocks of images."""
    operands, sizes = list(op.operands), dict(op.sizes)
    for at, flag in _blocks_flags(op).items():
        operand = operands[at]
        if operand is not None and operand.name in names:
            images, channels, h, w = operand.shape
            shape = (_blocks(images), channels, h * w + 1, _BLOCK)
            operands[at] = Tensor(f"{operand.name}_blocks", shape, operand.dtype)
            sizes[flag] = 1
    reads = len(op.reads)
    return replace(op, reads=tuple(operands[:reads]), writes=tuple(operands[reads:]), sizes=sizes)


def _blocks(images: int) -> int:
    return -(-images // _BLOCK)


_JOINS = {"relu": _join_relu, "relu_backward": _join_mask, "batch_norm_inference": _join_batch_norm}
