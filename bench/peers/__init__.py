"""One adapter a library. A library that isn't installed makes its peer absent, with the reason."""

from __future__ import annotations

from importlib import import_module

from bench.peers.peer import Peer

# name → module and class of its adapter; the order is that of the reports' columns
ADAPTERS = {
    "fastnn-cython": ("fastnn_cython", "FastnnCython"),
    "fastnn-numba": ("fastnn_numba", "FastnnNumba"),
    "numpy": ("numpy_peer", "NumPyPeer"),
    "pytorch-eager": ("pytorch_eager", "PyTorchEager"),
    "pytorch-fused": ("pytorch_eager", "PyTorchFused"),
    "pytorch-nhwc": ("pytorch_eager", "PyTorchChannelsLast"),
    "pytorch-compile": ("pytorch_compile", "PyTorchCompile"),
    "jax-jit": ("jax_jit", "JaxJit"),
    "jax-scan": ("jax_scan", "JaxScan"),
    "scikit-learn": ("scikit_learn", "ScikitLearn"),
    "onnxruntime": ("onnx_runtime", "OnnxRuntime"),
}


def load(name: str, threads: int) -> Peer:
    """The peer of that name, set to `threads` threads; ImportError, with the reason, where it is absent."""
    module, adapter = ADAPTERS[name]
    return getattr(import_module(f"bench.peers.{module}"), adapter)(threads)
