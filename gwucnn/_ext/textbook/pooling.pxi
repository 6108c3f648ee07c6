# Max pooling, which records the winner of each window, and its gradient, which goes to the winners alone.

def max_pool2d(
    const real_t[:, :, :, :] x,         # (N, H, W, C)              IN
    pool_size,                          # (PH, PW)
    strides,                            # (SH, SW)
    pads,                               # (TOP, LEFT)
    real_t[:, :, :, :] y,               # (N, OH, OW, C)            OUT
    int[:, :, :, :] winner,             # (N, OH, OW, C)            OUT
):
    """Store the largest value of each window and its position within the window: winner = u * PW + v.

    Every window must contain at least one pixel of the image, which holds if the padding is smaller than the window.
    """
    cdef Py_ssize_t n, i, j, c, u, v, h, w
    cdef Py_ssize_t PH = pool_size[0], PW = pool_size[1], SH = strides[0], SW = strides[1]
    cdef Py_ssize_t TOP = pads[0], LEFT = pads[1], H = x.shape[1], W = x.shape[2]
    cdef real_t value, largest
    cdef bint found
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for c in range(y.shape[3]):
                    found = False
                    largest = 0
                    for u in range(PH):
                        for v in range(PW):
                            h = i * SH + u - TOP
                            w = j * SW + v - LEFT
                            # Padding is skipped, not read as zero: all-negative windows stay negative.
                            if 0 <= h < H and 0 <= w < W:
                                value = x[n, h, w, c]
                                # `not found` takes the first pixel, so that -inf can win. `>` makes the first of
                                # equal values win. NaN is not larger than anything, so value != value tests for
                                # it; once largest is NaN, neither condition is true for a later pixel.
                                if not found or value > largest or (value != value and largest == largest):
                                    found = True
                                    largest = value
                                    winner[n, i, j, c] = <int> (u * PW + v)
                    y[n, i, j, c] = largest


def max_pool2d_backward(
    const real_t[:, :, :, :] dy,        # (N, OH, OW, C)            IN
    const int[:, :, :, :] winner,       # (N, OH, OW, C)            IN
    pool_size,                          # (PH, PW)
    strides,                            # (SH, SW)
    pads,                               # (TOP, LEFT)
    real_t[:, :, :, :] dx,              # (N, H, W, C)              OUT
):
    """Add each window's gradient to the pixel that won it, and nothing to the others."""
    cdef Py_ssize_t n, i, j, c, h, w
    cdef Py_ssize_t PW = pool_size[1], SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    dx[:, :, :, :] = 0
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for c in range(dy.shape[3]):
                    h = i * SH + winner[n, i, j, c] // PW - TOP
                    w = j * SW + winner[n, i, j, c] % PW - LEFT
                    # A pixel that wins several overlapping windows accumulates the gradients of all of them.
                    dx[n, h, w, c] += dy[n, i, j, c]
