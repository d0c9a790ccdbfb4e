"""The convolution and the max pool after it in one, and their gradients: one after the other, block by block.

Blocks have 16 images along the last axis; the last one may have fewer, and zeros in place of the others.
"""

from __future__ import annotations

from fastnn.kernels.numba_kernels.convolution import conv2d, conv2d_backward_input, conv2d_backward_weight
from fastnn.kernels.numba_kernels.memory import as_uint8, free, heap, helper, is_null, offset, share, stack
from fastnn.kernels.numba_kernels.pooling import max_pool2d
from fastnn.kernels.numba_kernels.registry import kernel

_IMAGES = 16
_NO_PLACE = 255

_conv2d = helper(conv2d)
_conv2d_backward_input = helper(conv2d_backward_input)
_conv2d_backward_weight = helper(conv2d_backward_weight)
_max_pool2d = helper(max_pool2d)


@helper
def _out_of_block(block, images, channels, plane, to):
    """to (images, channels, plane) = the images of a block (channels, plane + 1, 16)."""
    for i in range(images):
        for e in range(channels):
            for k in range(plane):
                to[(i * channels + e) * plane + k] = block[(e * (plane + 1) + k) * _IMAGES + i]


@helper
def _into_block(x, images, channels, plane, block):
    """The same, back."""
    for k in range(channels * (plane + 1) * _IMAGES):
        block[k] = 0
    for i in range(images):
        for e in range(channels):
            for k in range(plane):
                block[(e * (plane + 1) + k) * _IMAGES + i] = x[(i * channels + e) * plane + k]


@helper
def _images_at(x, block, images, channels, plane, in_blocks, room):
    """The images of a block of x, image by image: in `room`, or where they lie."""
    if not in_blocks:
        return offset(x, block * _IMAGES * channels * plane)
    _out_of_block(offset(x, block * channels * (plane + 1) * _IMAGES), images, channels, plane, room)
    return room


@helper
def _find_places(z, n, images, place):
    """place (filters, out_h / pool, out_w / pool, 16) = those of the maxima in z (images, filters, …)."""
    filters, out_h, out_w, pool, relu = n[4], n[14], n[15], n[16], n[19]
    h, w = out_h // pool, out_w // pool
    for i in range(images):
        for f in range(filters):
            for p in range(h):
                for q in range(w):
                    corner = ((i * filters + f) * out_h + p * pool) * out_w + q * pool
                    best, at = z[corner], 0
                    for k in range(1, pool * pool):
                        value = z[corner + k // pool * out_w + k % pool]
                        if value > best or value != value:
                            best, at = value, k
                    if relu and not best > 0:
                        at = _NO_PLACE
                    place[((f * h + p) * w + q) * _IMAGES + i] = at


@helper
def _unpool(dy, place, n, images, dz):
    """dz (images, filters, out_h, out_w) = dy at the maxima of the windows, else 0."""
    filters, out_h, out_w, pool = n[4], n[14], n[15], n[16]
    h, w = out_h // pool, out_w // pool
    for k in range(images * filters * out_h * out_w):
        dz[k] = 0
    for i in range(images):
        for f in range(filters):
            for p in range(h):
                for q in range(w):
                    at = place[((f * h + p) * w + q) * _IMAGES + i]
                    if at != _NO_PLACE:
                        row, column = p * pool + at // pool, q * pool + at % pool
                        plane = (i * filters + f) * out_h
                        dz[(plane + row) * out_w + column] = dy[((i * filters + f) * h + p) * w + q]


@helper
def _planes(n):
    """The pixels of a channel of x, of z and of y."""
    return n[2] * n[3], n[14] * n[15], (n[14] // n[16]) * (n[15] // n[16])


@kernel
def conv2d_max_pool2d(t, n, s, thread, threads):
    """y = the maximum of each window of relu?(bias + x * weight), and its place.

    The threads divide the blocks.
    """
    convolution, pool, operands = stack(n, 17), stack(n, 12), stack(t, 4)
    for k in range(16):
        convolution[k] = n[k]
    convolution[16] = n[19]
    pool[1], pool[2], pool[7], pool[8] = n[14], n[15], 0, 0
    for k in range(3, 7):
        pool[k] = n[16]
    pool[9], pool[10] = n[14] // n[16], n[15] // n[16]
    channels, filters = n[1], n[4]
    x_plane, z_plane, y_plane = _planes(n)
    room_x, z = heap(t[0], _IMAGES * channels * x_plane), heap(t[0], _IMAGES * filters * z_plane)
    room_y = heap(t[0], _IMAGES * filters * y_plane)
    begin, end = share((n[0] + _IMAGES - 1) // _IMAGES, 1, thread, threads)
    for block in range(begin, end):
        images = min(_IMAGES, n[0] - block * _IMAGES)
        convolution[0], pool[0] = images, images * filters
        operands[0] = _images_at(t[0], block, images, channels, x_plane, n[17], room_x)
        operands[1], operands[2], operands[3] = t[1], t[2], z
        _conv2d(operands, convolution, s, 0, 1)
        operands[0] = z
        operands[1] = room_y if n[18] else offset(t[3], block * _IMAGES * filters * y_plane)
        _max_pool2d(operands, pool, s, 0, 1)
        if n[18]:
            to = offset(t[3], block * filters * (y_plane + 1) * _IMAGES)
            _into_block(room_y, images, filters, y_plane, to)
        if not is_null(t[4]):
            _find_places(z, n, images, offset(as_uint8(t[4]), block * filters * y_plane * _IMAGES))
    free(room_x)
    free(z)
    free(room_y)


@kernel
def conv2d_max_pool2d_backward_input(t, n, s, thread, threads):
    """dx from dy, places, weight, times 1[mask > 0] where there is a mask. The threads divide the blocks."""
    convolution, operands = stack(n, 16), stack(t, 4)
    for k in range(16):
        convolution[k] = n[k]
    channels, filters = n[1], n[4]
    x_plane, z_plane, y_plane = _planes(n)
    room_x, dz = heap(t[0], _IMAGES * channels * x_plane), heap(t[0], _IMAGES * filters * z_plane)
    room_y = heap(t[0], _IMAGES * filters * y_plane)
    begin, end = share((n[0] + _IMAGES - 1) // _IMAGES, 1, thread, threads)
    for block in range(begin, end):
        images = min(_IMAGES, n[0] - block * _IMAGES)
        convolution[0] = images
        dy = _images_at(t[0], block, images, filters, y_plane, n[18], room_y)
        _unpool(dy, offset(as_uint8(t[1]), block * filters * y_plane * _IMAGES), n, images, dz)
        first = block * _IMAGES * channels * x_plane
        operands[0], operands[1], operands[2] = dz, t[2], t[3]
        if not is_null(t[3]):
            operands[2] = offset(t[3], first)
        operands[3] = room_x if n[17] else offset(t[4], first)
        _conv2d_backward_input(operands, convolution, s, 0, 1)
        if n[17]:
            to = offset(t[4], block * channels * (x_plane + 1) * _IMAGES)
            _into_block(room_x, images, channels, x_plane, to)
    free(room_x)
    free(dz)
    free(room_y)


@kernel
def conv2d_max_pool2d_backward_weight(t, n, s, thread, threads):
    """dweight and dbias from x, dy, places. Every thread takes dy through the pool, on the heap."""
    operands = stack(t, 4)
    channels, filters = n[1], n[4]
    x_plane, z_plane, y_plane = _planes(n)
    x, dz = heap(t[0], n[0] * channels * x_plane), heap(t[0], n[0] * filters * z_plane)
    room_y = heap(t[0], _IMAGES * filters * y_plane)
    for block in range((n[0] + _IMAGES - 1) // _IMAGES):
        images = min(_IMAGES, n[0] - block * _IMAGES)
        dy = _images_at(t[1], block, images, filters, y_plane, n[18], room_y)
        places = offset(as_uint8(t[2]), block * filters * y_plane * _IMAGES)
        _unpool(dy, places, n, images, offset(dz, block * _IMAGES * filters * z_plane))
        if n[17]:
            to = offset(x, block * _IMAGES * channels * x_plane)
            _images_at(t[0], block, images, channels, x_plane, 1, to)
    operands[0], operands[1], operands[2], operands[3] = x if n[17] else t[0], dz, t[3], t[4]
    _conv2d_backward_weight(operands, n, s, thread, threads)
    free(x)
    free(dz)
    free(room_y)
