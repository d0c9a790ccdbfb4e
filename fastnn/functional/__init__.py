"""Arrays in, arrays out: one checked function per kernel.

Every function takes anything that NumPy can read as an array of real numbers, of any memory order and
strides, and changes none of its inputs. Float32 is computed in float32 and float64 in float64; where
dtypes are mixed, NumPy's common one decides, with float16 raised to float32 and integers and booleans
to float64. Every function with one array as its result takes `out`, a writable array of exactly the
result's shape and dtype, which may overlap the inputs.

Errors: ValueError names the argument, what it got and what it needs; TypeError says which argument is no
array of real numbers.
"""

from fastnn.functional.activations import (
    log_softmax,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    softmax,
    softmax_backward,
    tanh,
    tanh_backward,
)
from fastnn.functional.algebra import linear, linear_backward, matmul
from fastnn.functional.convolution import (
    conv2d,
    conv2d_backward,
    conv2d_naive,
    conv2d_naive_backward,
)
from fastnn.functional.losses import (
    log_loss,
    log_loss_backward,
    log_loss_with_logits,
    log_loss_with_logits_backward,
)
from fastnn.functional.pooling import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)

__all__ = [
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_naive",
    "conv2d_naive_backward",
    "linear",
    "linear_backward",
    "log_loss",
    "log_loss_backward",
    "log_loss_with_logits",
    "log_loss_with_logits_backward",
    "log_softmax",
    "matmul",
    "max_pool2d",
    "max_pool2d_backward",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
