# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=True, cdivision=True
# cython: freethreading_compatible=True
"""Every kernel of gwucnn as the textbook writes it: the slow, clear twin of the fast loops.

Read this file first. It has no blocking, no vector registers, no threads and no packing of weights: one loop
per index of the formula, in the order of the formula. The fast kernels compute the same sums in another
order. The tests hold them against these loops, and these loops against `tests/reference.py`, which shares no
code with either. Bounds checking is left ON: a wrong index is an IndexError here, and not a wrong number.

How arrays lie in memory, which runs to the right, then down (channels last; each c is one number in an image,
and F numbers in the filters, one for each filter):

    x[n]    column 0    column 1            weight   v = 0       v = 1
    row 0  |c0 c1 c2 |c0 c1 c2 |...         u = 0   |c0 c1 c2 |c0 c1 c2 |...
    row 1  |c0 c1 c2 |c0 c1 c2 |...         u = 1   |c0 c1 c2 |c0 c1 c2 |...

Capitals are sizes, lower case are indices:

    N batch        H, W image       C channels       F filters     KH, KW filter size    PH, PW pool window
    OH, OW output  SH, SW strides   DH, DW dilation  TOP, LEFT rows and columns of padding before the image
    D features     U units          G groups         CG = C / G channels and FG = F / G filters of one group

Output pixel (i, j) and tap (u, v) of a filter meet at one pixel (h, w) of the image. All of convolution,
forward and backward, is this one relation, read from three sides:

    h = i * SH + u * DH - TOP         the tap lies in the padding, and adds nothing, unless 0 <= h < H
    w = j * SW + v * DW - LEFT                                                      and 0 <= w < W

    y[n, i, j, f]       = bias[f] + sum over u, v, c of  x[n, h, w, c] * weight[u, v, c, f]
    dx[n, h, w, c]      =           sum over i, j, f of dy[n, i, j, f] * weight[u, v, c, f]
    dweight[u, v, c, f] =           sum over n, i, j of dy[n, i, j, f] * x[n, h, w, c]

Padding below and to the right needs no number: y says how many rows and columns there are.
Every function writes its OUT arguments in full (their contents before do not matter) and returns nothing.
"""

from libc.math cimport exp, sqrt

# One body, two types: float64 is there so that gradients can be checked to many digits.
ctypedef fused real_t:
    float
    double


# ------------------------------------------------------------------------------------------------ convolution

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
    """Slide every filter over every image and write down how well it matches at each place."""
    cdef Py_ssize_t n, i, j, f, u, v, c, h, w, first_channel
    cdef Py_ssize_t SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    cdef Py_ssize_t DH = dilation[0], DW = dilation[1]
    cdef Py_ssize_t H = x.shape[1], W = x.shape[2], FG = y.shape[3] // groups
    cdef real_t total
    for n in range(y.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                for f in range(y.shape[3]):
                    # Filter f belongs to group f // FG and sees that group's channels only.
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
    """Send each output's gradient back to the pixels that it was made from, through the same taps."""
    cdef Py_ssize_t n, i, j, f, u, v, c, h, w, first_channel
    cdef Py_ssize_t SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    cdef Py_ssize_t DH = dilation[0], DW = dilation[1]
    cdef Py_ssize_t H = dx.shape[1], W = dx.shape[2], FG = dy.shape[3] // groups
    dx[:, :, :, :] = 0
    # The loops of conv2d turned round: there y collects from x, here dy scatters into dx. Windows overlap, so
    # a pixel receives from several outputs: += and never =.
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
    """Sum, for every tap, gradient times pixel over all places where the filter lay in any image."""
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


# ---------------------------------------------------------------------------------------------------- pooling

def max_pool2d(
    const real_t[:, :, :, :] x,         # (N, H, W, C)              IN
    pool_size,                          # (PH, PW)
    strides,                            # (SH, SW)
    pads,                               # (TOP, LEFT)
    real_t[:, :, :, :] y,               # (N, OH, OW, C)            OUT
    int[:, :, :, :] winner,             # (N, OH, OW, C)            OUT
):
    """Keep the largest value of each window, and where in the window it stood: winner = u * PW + v.

    Needs a pixel of the image in every window (padding smaller than the window sees to that).
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
                            # Padding is left out, not taken as zero: all-negative windows stay negative.
                            if 0 <= h < H and 0 <= w < W:
                                value = x[n, h, w, c]
                                # The first pixel opens the contest, so that -inf can win it. `>` lets the
                                # first of equals win. NaN is larger than nothing, so it is asked for by
                                # value != value; once it leads, neither test lets another past.
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
    """Give each window's gradient to the pixel that won it, and nothing to the others."""
    cdef Py_ssize_t n, i, j, c, h, w
    cdef Py_ssize_t PW = pool_size[1], SH = strides[0], SW = strides[1], TOP = pads[0], LEFT = pads[1]
    dx[:, :, :, :] = 0
    for n in range(dy.shape[0]):
        for i in range(dy.shape[1]):
            for j in range(dy.shape[2]):
                for c in range(dy.shape[3]):
                    h = i * SH + winner[n, i, j, c] // PW - TOP
                    w = j * SW + winner[n, i, j, c] % PW - LEFT
                    # One pixel may win several overlapping windows, and then earns all their gradients.
                    dx[n, h, w, c] += dy[n, i, j, c]


# ------------------------------------------------------------------------------------------------------ dense

def dense(
    const real_t[:, :] x,               # (N, D)                    IN
    const real_t[:, :] weight,          # (D, U)                    IN
    const real_t[:] bias,               # (U,) or None for no bias  IN
    real_t[:, :] y,                     # (N, U)                    OUT
):
    """y[n, u] = bias[u] + sum over d of x[n, d] * weight[d, u]."""
    cdef Py_ssize_t n, d, u
    cdef real_t total
    for n in range(y.shape[0]):
        for u in range(y.shape[1]):
            total = 0
            for d in range(weight.shape[0]):
                total += x[n, d] * weight[d, u]
            if bias is not None:
                total += bias[u]
            y[n, u] = total


def dense_backward_input(
    const real_t[:, :] dy,              # (N, U)                    IN
    const real_t[:, :] weight,          # (D, U)                    IN
    real_t[:, :] dx,                    # (N, D)                    OUT
):
    """dx[n, d] = sum over u of dy[n, u] * weight[d, u]."""
    cdef Py_ssize_t n, d, u
    cdef real_t total
    for n in range(dx.shape[0]):
        for d in range(dx.shape[1]):
            total = 0
            for u in range(dy.shape[1]):
                total += dy[n, u] * weight[d, u]
            dx[n, d] = total


def dense_backward_weight(
    const real_t[:, :] x,               # (N, D)                    IN
    const real_t[:, :] dy,              # (N, U)                    IN
    real_t[:, :] dweight,               # (D, U)                    OUT
):
    """dweight[d, u] = sum over n of x[n, d] * dy[n, u]."""
    cdef Py_ssize_t n, d, u
    cdef real_t total
    for d in range(dweight.shape[0]):
        for u in range(dweight.shape[1]):
            total = 0
            for n in range(dy.shape[0]):
                total += x[n, d] * dy[n, u]
            dweight[d, u] = total


# ------------------------------------------------------------------------------------------------ activations

def relu(
    const real_t[:] x,                  # (size,)                   IN
    real_t[:] y,                        # (size,)                   OUT
):
    """y = x where x > 0, otherwise 0; NaN stays NaN."""
    cdef Py_ssize_t k
    for k in range(x.shape[0]):
        # Asked this way round NaN, for which every comparison is false, is kept.
        y[k] = 0 if x[k] <= 0 else x[k]


def relu_backward(
    const real_t[:] dy,                 # (size,)                   IN
    const real_t[:] y,                  # (size,) what relu gave    IN
    real_t[:] dx,                       # (size,)                   OUT
):
    """dx = dy where the unit was open, 0 where it was shut (y <= 0): at the kink the slope is taken as 0."""
    cdef Py_ssize_t k
    for k in range(dy.shape[0]):
        dx[k] = 0 if y[k] <= 0 else dy[k]


def sigmoid(
    const real_t[:] x,                  # (size,)                   IN
    real_t[:] y,                        # (size,)                   OUT
):
    """y = 1 / (1 + exp(-x)), written so that exp never overflows."""
    cdef Py_ssize_t k
    cdef double e
    for k in range(x.shape[0]):
        if x[k] < 0:
            # The same number, top and bottom multiplied by exp(x) < 1.
            e = exp(x[k])
            y[k] = <real_t> (e / (1 + e))
        else:
            y[k] = <real_t> (1 / (1 + exp(-x[k])))


def sigmoid_backward(
    const real_t[:] dy,                 # (size,)                   IN
    const real_t[:] y,                  # (size,) what sigmoid gave IN
    real_t[:] dx,                       # (size,)                   OUT
):
    """dx = dy * y * (1 - y)."""
    cdef Py_ssize_t k
    for k in range(dy.shape[0]):
        dx[k] = dy[k] * y[k] * (1 - y[k])


def softmax(
    const real_t[:, :] x,               # (N, U)                    IN
    real_t[:, :] y,                     # (N, U)                    OUT
):
    """y[n, u] = exp(x[n, u]) / sum over k of exp(x[n, k]), row by row."""
    cdef Py_ssize_t n, u
    cdef real_t largest
    cdef double total
    for n in range(x.shape[0]):
        # Taking the row's largest off leaves the quotient as it is and keeps exp from overflowing.
        largest = 0
        for u in range(x.shape[1]):
            if u == 0 or x[n, u] > largest:
                largest = x[n, u]
        total = 0
        for u in range(x.shape[1]):
            total += exp(<double> x[n, u] - largest)
        for u in range(x.shape[1]):
            y[n, u] = <real_t> (exp(<double> x[n, u] - largest) / total)


def softmax_backward(
    const real_t[:, :] dy,              # (N, U)                    IN
    const real_t[:, :] y,               # (N, U) what softmax gave  IN
    real_t[:, :] dx,                    # (N, U)                    OUT
):
    """dx[n, u] = y[n, u] * (dy[n, u] - sum over k of dy[n, k] * y[n, k]).

    The slope of y[n, k] by x[n, u] is y[n, k] * ((k == u) - y[n, u]). Multiplied by dy[n, k] and summed over
    k it becomes the line above: the U x U matrix of slopes is never needed.
    """
    cdef Py_ssize_t n, u
    cdef real_t mean
    for n in range(dy.shape[0]):
        # The row's gradients, weighted by its probabilities. Taking it off says that moving all logits by the
        # same amount moves no probability.
        mean = 0
        for u in range(dy.shape[1]):
            mean += dy[n, u] * y[n, u]
        for u in range(dy.shape[1]):
            dx[n, u] = y[n, u] * (dy[n, u] - mean)


# ------------------------------------------------------------------------------------------------- optimizers

def sgd(
    real_t[:] value,                    # (size,)                   INOUT
    const real_t[:] grad,               # (size,)                   IN
    real_t[:] velocity,                 # (size,) zeros at first    INOUT
    double lr,
    double momentum,                    # 0 is plain gradient descent
    bint nesterov,
):
    """One step downhill, with a velocity that remembers the steps before.

    velocity = momentum * velocity + grad
    value   -= lr * velocity                     (nesterov: lr * (grad + momentum * velocity), a look ahead)

    I. Sutskever et al., "On the importance of initialization and momentum in deep learning", ICML 2013, in
    the form that keeps lr outside the velocity.
    """
    cdef Py_ssize_t k
    for k in range(value.shape[0]):
        velocity[k] = <real_t> (momentum * velocity[k] + grad[k])
        if nesterov:
            value[k] -= <real_t> (lr * (grad[k] + momentum * velocity[k]))
        else:
            value[k] -= <real_t> (lr * velocity[k])


def adam(
    real_t[:] value,                    # (size,)                   INOUT
    const real_t[:] grad,               # (size,)                   IN
    real_t[:] first_moment,             # (size,) zeros at first    INOUT
    real_t[:] second_moment,            # (size,) zeros at first    INOUT
    double lr,
    double beta_1,
    double beta_2,
    double epsilon,
    Py_ssize_t step,                    # 1 for the first call
):
    """One step of Adam: each weight moves by about lr, whatever the size of its gradients.

    m = beta_1 * m + (1 - beta_1) * grad         running mean of the gradient
    v = beta_2 * v + (1 - beta_2) * grad**2      running mean of its square
    value -= lr * (m / (1 - beta_1**step)) / (sqrt(v / (1 - beta_2**step)) + epsilon)

    D. P. Kingma and J. Ba, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980, algorithm 1.
    """
    cdef Py_ssize_t k
    # Both means start at zero and so are too small by these factors, much so in the first steps.
    cdef double correction_1 = 1 - beta_1 ** step
    cdef double correction_2 = 1 - beta_2 ** step
    for k in range(value.shape[0]):
        first_moment[k] = <real_t> (beta_1 * first_moment[k] + (1 - beta_1) * grad[k])
        second_moment[k] = <real_t> (beta_2 * second_moment[k] + (1 - beta_2) * grad[k] * grad[k])
        value[k] -= <real_t> (
            lr * (first_moment[k] / correction_1) / (sqrt(second_moment[k] / correction_2) + epsilon)
        )
