"""PyTorch through torch.compile: the forward pass, the loss and the backward pass, fused by Inductor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch

from bench.peers.pytorch_eager import PyTorchEager


class PyTorchCompile(PyTorchEager):
    name = "pytorch-compile"
    cannot: ClassVar[dict[str, str]] = {
        "import": "the same package as pytorch-eager",
        "installed_size": "the same package as pytorch-eager",
        "search": "would compile in every process",
        "epoch": "see the training cases, whose steps are the same",
        **dict.fromkeys(
            ("matmul", "elementwise", "softmax", "conv2d", "conv2d_backward", "max_pool2d"),
            "a single library call leaves nothing to fuse",
        ),
    }

    slow_kinds = frozenset(
        {"linear_relu", "linear_backward", "log_loss", "inference", "training", "first_step"}
    )

    def compiled(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compile(function, dynamic=False)

    def forget(self) -> None:
        # Else the cases' functions, one code object with ever new shapes, run into the recompilation limit,
        # and from there on silently run uncompiled.
        torch.compiler.reset()
