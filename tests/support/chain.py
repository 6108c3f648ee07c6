"""Convolution, relu and 2x2 max pooling in turn: the reference for the fused ops."""

import numpy as np

import reference

# The winner of a window that relu shut: the number of no pixel.
SHUT = 4


def forward(x, weight, bias=None, *, relu=True, **options):
    """(y, winner), both (N, OH // 2, OW // 2, F); the winner is 2*a + b of the first largest pixel, or SHUT."""
    z = reference.conv2d(x, weight, bias, **options)
    y, winner = reference.max_pool2d(reference.relu(z) if relu else z, 2)
    return y, (np.where(y <= 0, SHUT, winner) if relu else winner).astype(np.uint8)


def spread(dy, winner, conv_shape):
    """dz (N, OH, OW, F), the gradient by the convolution: that of an open window goes to its winner."""
    is_open = winner < SHUT
    return reference.max_pool2d_backward(
        np.where(is_open, dy, 0), np.where(is_open, winner, 0), conv_shape, pool_size=2
    )


def conv_shape(x_shape, weight_shape, *, groups=1, **options):
    """Shape of the convolution before it is pooled."""
    return (x_shape[0], *reference.output_size(x_shape[1:3], weight_shape[:2], **options), weight_shape[3])


def pooled_shape(x_shape, weight_shape, **options):
    """Shape of outputs and winners."""
    N, OH, OW, F = conv_shape(x_shape, weight_shape, **options)
    return N, OH // 2, OW // 2, F


def backward_weight(x, dy, winner, weight_shape, **options):
    """(dweight, dbias)."""
    dz = spread(dy, winner, conv_shape(x.shape, weight_shape, **options))
    return reference.conv2d_backward_weight(x, dz, weight_shape, **options), dz.sum(axis=(0, 1, 2))


def backward_input(dy, winner, weight, x_shape, **options):
    """dx (N, H, W, C)."""
    dz = spread(dy, winner, conv_shape(x_shape, weight.shape, **options))
    return reference.conv2d_backward_input(dz, weight, x_shape, **options)
