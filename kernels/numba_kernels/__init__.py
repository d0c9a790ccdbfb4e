"""The Numba backend: the kernels of the kernel list as C functions that Numba compiles, when first asked for.

Imported only when asked for. `kernel_names` and `kernel_address` are all that the executor needs.
"""

# Imported for the kernels that they register.
from fastnn.kernels.numba_kernels import (  # noqa: F401
    activations,
    algebra,
    convolution,
    convolution_naive,
    convolution_pool,
    dropout,
    losses,
    normalization,
    optimizers,
    pooling,
    softmax,
)
from fastnn.kernels.numba_kernels.registry import kernel_address, kernel_names

__all__ = ["kernel_address", "kernel_names"]
