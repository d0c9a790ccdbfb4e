"""The convolution and the max pool after it in one, and their gradients: one after the other, block by block.

What was pooled is kept in blocks of 16 images, which lie along the last axis.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.convolution import conv2d, conv2d_backward_input, conv2d_backward_weight
from fastnn.kernels.numba_kernels.memory import free, heap, helper, is_null, offset, share, stack
from fastnn.kernels.numba_kernels.pooling import max_pool2d, max_pool2d_backward
from fastnn.kernels.numba_kernels.registry import kernel

_IMAGES = 16

_conv2d = helper(conv2d)
_conv2d_backward_input = helper(conv2d_backward_input)
_conv2d_backward_weight = helper(conv2d_backward_weight)
_max_pool2d = helper(max_pool2d)
_max_pool2d_backward = helper(max_pool2d_backward)


@helper
def _sizes(n, convolution, pool):
    """The sizes of the convolution and of the pool of a block, in the kernel list's order."""
    for i in range(16):
        convolution[i] = n[i]
    convolution[0], convolution[16] = _IMAGES, n[17]
    size, out_h, out_w = n[16], n[14], n[15]
    pool[0], pool[1], pool[2] = _IMAGES * n[4], out_h, out_w
    for i in range(3, 7):
        pool[i] = size
    pool[7], pool[8], pool[9], pool[10], pool[11] = 0, 0, out_h // size, out_w // size, n[17]


@helper
def _backward_block(t, pool, s, plane, dy, a, z, dz):
    """dz of a block from dy, the gradient by the pool's result; z becomes what was pooled, image by image."""
    filters = pool[0] // _IMAGES
    for f in range(filters):
        for k in range(plane):
            for i in range(_IMAGES):
                z[(i * filters + f) * plane + k] = a[(f * plane + k) * _IMAGES + i]
    operands = stack(t, 3)
    operands[0], operands[1], operands[2] = dy, z, dz
    _max_pool2d_backward(operands, pool, s, 0, 1)


@kernel
def conv2d_max_pool2d(t, n, s, thread, threads):
    """a = relu?(bias + x * weight), y = the maximum of each of its windows. The threads divide the blocks."""
    convolution, pool, operands = stack(n, 17), stack(n, 12), stack(t, 4)
    _sizes(n, convolution, pool)
    filters, plane, image = n[4], n[14] * n[15], n[1] * n[2] * n[3]
    block_size, pooled = _IMAGES * filters * plane, pool[0] * pool[9] * pool[10]
    z = heap(t[0], block_size)
    begin, end = share(n[0] // _IMAGES, 1, thread, threads)
    for block in range(begin, end):
        operands[0], operands[1], operands[2] = offset(t[0], block * _IMAGES * image), t[1], t[2]
        operands[3] = z
        _conv2d(operands, convolution, s, 0, 1)
        operands[0], operands[1] = z, offset(t[3], block * pooled)
        _max_pool2d(operands, pool, s, 0, 1)
        if not is_null(t[4]):
            a = offset(t[4], block * block_size)
            for f in range(filters):
                for k in range(plane):
                    for i in range(_IMAGES):
                        a[(f * plane + k) * _IMAGES + i] = z[(i * filters + f) * plane + k]
    free(z)


@kernel
def conv2d_max_pool2d_backward_input(t, n, s, thread, threads):
    """dx from dy, a, weight, times 1[mask > 0] where there is a mask. The threads divide the blocks."""
    convolution, pool, operands = stack(n, 17), stack(n, 12), stack(t, 4)
    _sizes(n, convolution, pool)
    plane, images = n[14] * n[15], _IMAGES * n[1] * n[2] * n[3]
    block_size, pooled = pool[0] * plane, pool[0] * pool[9] * pool[10]
    z, dz = heap(t[0], block_size), heap(t[0], block_size)
    begin, end = share(n[0] // _IMAGES, 1, thread, threads)
    for block in range(begin, end):
        dy, a = offset(t[0], block * pooled), offset(t[1], block * block_size)
        _backward_block(t, pool, s, plane, dy, a, z, dz)
        operands[0], operands[1], operands[2] = dz, t[2], t[3]
        if not is_null(t[3]):
            operands[2] = offset(t[3], block * images)
        operands[3] = offset(t[4], block * images)
        _conv2d_backward_input(operands, convolution, s, 0, 1)
    free(z)
    free(dz)


@kernel
def conv2d_max_pool2d_backward_weight(t, n, s, thread, threads):
    """dweight and dbias from x, dy, a. Every thread takes dy through the pool, on the heap."""
    convolution, pool, operands = stack(n, 17), stack(n, 12), stack(t, 4)
    _sizes(n, convolution, pool)
    plane, blocks = n[14] * n[15], n[0] // _IMAGES
    block_size, pooled = pool[0] * plane, pool[0] * pool[9] * pool[10]
    z, dz = heap(t[0], block_size), heap(t[0], blocks * block_size)
    for block in range(blocks):
        dy, a = offset(t[1], block * pooled), offset(t[2], block * block_size)
        _backward_block(t, pool, s, plane, dy, a, z, offset(dz, block * block_size))
    convolution[0] = n[0]
    operands[0], operands[1], operands[2], operands[3] = t[0], dz, t[3], t[4]
    _conv2d_backward_weight(operands, convolution, s, thread, threads)
    free(z)
    free(dz)
