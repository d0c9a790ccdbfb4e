# The compiled backend, whole: each instruction-set module includes this file.

from fastnn.kernels.kernel_list import KERNELS

include "team.pxi"
include "algebra.pxi"
include "activations.pxi"
include "losses.pxi"
include "dropout.pxi"
include "convolution_naive.pxi"
include "convolution.pxi"
include "pooling.pxi"
include "normalization.pxi"
include "optimizers.pxi"
include "ops.pxi"
include "direct.pxi"
include "direct_linear.pxi"
include "direct_same_shape.pxi"
include "direct_windows.pxi"
include "labels.pxi"
include "direct_losses.pxi"
include "gather.pxi"
include "epoch.pxi"
include "executor.pxi"

cdef extern from "arena.h":
    int64_t arena_allocations() noexcept nogil


def scratch_allocations() -> int:
    """How many times the kernels' scratch has been allocated or grown, over all threads."""
    return arena_allocations()


# (name, dtype) → address
cdef dict _addresses = {}


cdef void _add(str name, void* single, void* double_):
    _addresses[name, "float32"] = <uintptr_t> single
    _addresses[name, "float64"] = <uintptr_t> double_


_add("matmul", <void*> matmul[float], <void*> matmul[double])
_add("linear", <void*> linear[float], <void*> linear[double])
_add("linear_backward_input", <void*> linear_backward_input[float], <void*> linear_backward_input[double])
_add("linear_backward_weight", <void*> linear_backward_weight[float], <void*> linear_backward_weight[double])
_add("relu", <void*> relu[float], <void*> relu[double])
_add("relu_backward", <void*> relu_backward[float], <void*> relu_backward[double])
_add("sigmoid", <void*> sigmoid[float], <void*> sigmoid[double])
_add("sigmoid_backward", <void*> sigmoid_backward[float], <void*> sigmoid_backward[double])
_add("tanh", <void*> tanh[float], <void*> tanh[double])
_add("tanh_backward", <void*> tanh_backward[float], <void*> tanh_backward[double])
_add("softmax", <void*> softmax[float], <void*> softmax[double])
_add("softmax_backward", <void*> softmax_backward[float], <void*> softmax_backward[double])
_add("log_softmax", <void*> log_softmax[float], <void*> log_softmax[double])
_add("dropout", <void*> dropout[float], <void*> dropout[double])
_add("log_loss_binary", <void*> log_loss_binary[float], <void*> log_loss_binary[double])
_add("log_loss_binary_backward", <void*> log_loss_binary_backward[float], <void*> log_loss_binary_backward[double])
_add("log_loss_binary_with_logits", <void*> log_loss_binary_with_logits[float], <void*> log_loss_binary_with_logits[double])
_add("log_loss_classes", <void*> log_loss_classes[float], <void*> log_loss_classes[double])
_add("log_loss_classes_backward", <void*> log_loss_classes_backward[float], <void*> log_loss_classes_backward[double])
_add("log_loss_classes_with_logits", <void*> log_loss_classes_with_logits[float], <void*> log_loss_classes_with_logits[double])
_add("squared_error", <void*> squared_error[float], <void*> squared_error[double])
_add("conv2d_naive", <void*> conv2d_naive[float], <void*> conv2d_naive[double])
_add("conv2d_naive_backward", <void*> conv2d_naive_backward[float], <void*> conv2d_naive_backward[double])
_add("conv2d", <void*> conv2d[float], <void*> conv2d[double])
_add("conv2d_backward_input", <void*> conv2d_backward_input[float], <void*> conv2d_backward_input[double])
_add("conv2d_backward_weight", <void*> conv2d_backward_weight[float], <void*> conv2d_backward_weight[double])
_add("conv2d_max_pool2d", <void*> conv2d_max_pool2d[float], <void*> conv2d_max_pool2d[double])
_add("conv2d_max_pool2d_backward_input", <void*> conv2d_max_pool2d_backward_input[float], <void*> conv2d_max_pool2d_backward_input[double])
_add("conv2d_max_pool2d_backward_weight", <void*> conv2d_max_pool2d_backward_weight[float], <void*> conv2d_max_pool2d_backward_weight[double])
_add("max_pool2d", <void*> max_pool2d[float], <void*> max_pool2d[double])
_add("max_pool2d_backward", <void*> max_pool2d_backward[float], <void*> max_pool2d_backward[double])
_add("avg_pool2d", <void*> avg_pool2d[float], <void*> avg_pool2d[double])
_add("avg_pool2d_backward", <void*> avg_pool2d_backward[float], <void*> avg_pool2d_backward[double])
_add("batch_norm", <void*> batch_norm[float], <void*> batch_norm[double])
_add("batch_norm_backward", <void*> batch_norm_backward[float], <void*> batch_norm_backward[double])
_add("batch_norm_inference", <void*> batch_norm_inference[float], <void*> batch_norm_inference[double])
_add("fold_batch_norm", <void*> fold_batch_norm[float], <void*> fold_batch_norm[double])
_add("sgd", <void*> sgd[float], <void*> sgd[double])
_add("adam", <void*> adam[float], <void*> adam[double])
fill_same_shape()
fill_loss_kernels()


def kernel_names() -> list[str]:
    """The names of the kernels that this module holds."""
    return sorted({name for name, _ in _addresses})


def kernel_address(str name, str dtype) -> int:
    """The address of a kernel's C function, for dtype "float32" or "float64"."""
    return _addresses[name, dtype]
