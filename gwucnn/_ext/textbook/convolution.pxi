# Convolution and its gradients with respect to the input and to the weights.
#
# All three functions run the same seven loops over the relation in naive.pyx; they differ only in which of the three
# arrays accumulates the products of the other two.

def conv2d(
    const real_t[:, :, :, :] x,         # (N, H, W, C)              IN
    const real_t[:, :, :, :] weight,    # (KH, KW, CG, F)           IN
    const real_t[:] bias,               # (F,) or None for no bias  IN
    strides,                            # (SH, SW)
    pads,                               # (TOP, LEFT)
    dilation,                           # (DH, DW)
    Py_ssize_t groups,                  # G
    real_t[:, :, :, :] y,               # (N, OH, OW, F)            OUT
):
    """Slide every filter over every image and store how strongly it responds at each position."""
    cdef Py_ssize_t n, i, j, f, u, v, c, h, w, first_channel
    cdef Py_ssize_t SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    cdef Py_ssize_t DH = dilation[0], DW = dilation[1]
    cdef Py_ssize_t H = x.shape[1], W = x.shape[2], FG = y.shape[3] // groups
    cdef real_t total
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for f in range(y.shape[3]):
                    # Filter f belongs to group f // FG and reads only that group's channels.
                    first_channel = f // FG * weight.shape[2]
                    total = 0
                    for u in range(weight.shape[0]):
                        for v in range(weight.shape[1]):
                            h = i * SH + u * DH - TOP
                            w = j * SW + v * DW - LEFT
                            if 0 <= h < H and 0 <= w < W:
                                for c in range(weight.shape[2]):
                                    total += x[n, h, w, first_channel + c] * weight[u, v, c, f]
                    if bias is not None:
                        total += bias[f]
                    y[n, i, j, f] = total


def conv2d_backward_input(
    const real_t[:, :, :, :] dy,        # (N, OH, OW, F)            IN
    const real_t[:, :, :, :] weight,    # (KH, KW, CG, F)           IN
    strides,                            # (SH, SW)
    pads,                               # (TOP, LEFT)
    dilation,                           # (DH, DW)
    Py_ssize_t groups,                  # G
    real_t[:, :, :, :] dx,              # (N, H, W, C)              OUT
):
    """Propagate the gradient of each output back to the pixels it was computed from, through the same taps."""
    cdef Py_ssize_t n, i, j, f, u, v, c, h, w, first_channel
    cdef Py_ssize_t SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    cdef Py_ssize_t DH = dilation[0], DW = dilation[1]
    cdef Py_ssize_t H = dx.shape[1], W = dx.shape[2], FG = dy.shape[3] // groups
    dx[:, :, :, :] = 0
    # The reverse of conv2d: there y gathers from x, here dy is scattered into dx. Windows overlap, so several
    # outputs contribute to one pixel: += and never =.
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    first_channel = f // FG * weight.shape[2]
                    for u in range(weight.shape[0]):
                        for v in range(weight.shape[1]):
                            h = i * SH + u * DH - TOP
                            w = j * SW + v * DW - LEFT
                            if 0 <= h < H and 0 <= w < W:
                                for c in range(weight.shape[2]):
                                    dx[n, h, w, first_channel + c] += dy[n, i, j, f] * weight[u, v, c, f]


def conv2d_backward_weight(
    const real_t[:, :, :, :] x,         # (N, H, W, C)              IN
    const real_t[:, :, :, :] dy,        # (N, OH, OW, F)            IN
    strides,                            # (SH, SW)
    pads,                               # (TOP, LEFT)
    dilation,                           # (DH, DW)
    Py_ssize_t groups,                  # G
    real_t[:, :, :, :] dweight,         # (KH, KW, CG, F)           OUT
):
    """Sum gradient times pixel for every tap, over all positions of the filter in all images."""
    cdef Py_ssize_t n, i, j, f, u, v, c, h, w, first_channel
    cdef Py_ssize_t SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    cdef Py_ssize_t DH = dilation[0], DW = dilation[1]
    cdef Py_ssize_t H = x.shape[1], W = x.shape[2], FG = dy.shape[3] // groups
    dweight[:, :, :, :] = 0
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for f in range(dy.shape[3]):
                    first_channel = f // FG * dweight.shape[2]
                    for u in range(dweight.shape[0]):
                        for v in range(dweight.shape[1]):
                            h = i * SH + u * DH - TOP
                            w = j * SW + v * DW - LEFT
                            if 0 <= h < H and 0 <= w < W:
                                for c in range(dweight.shape[2]):
                                    dweight[u, v, c, f] += dy[n, i, j, f] * x[n, h, w, first_channel + c]
