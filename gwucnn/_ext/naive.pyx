# cython: language_level=3, boundscheck=True, wraparound=False, initializedcheck=True, cdivision=True
# cython: freethreading_compatible=True
"""Textbook versions of gwucnn's main kernels: slow, clear counterparts of the fast ones.

Read this file first, then the loops in `textbook/`. They use no blocking, no vector registers, no threads and no
packed weights: there is one loop per index of the formula, in the order of the formula. The fast kernels compute the
same sums in a different order. The tests compare the fast kernels with these loops, and these loops with
`tests/support/reference.py`, which shares no code with either. Bounds checking is left on, so that a wrong index raises
IndexError instead of producing a wrong number.

Memory layout (channels last): addresses increase from left to right, then downwards. Each c below is one element of
an image; in the weights it is F elements, one per filter.

    x[n]    column 0    column 1            weight   v = 0       v = 1
    row 0  |c0 c1 c2 |c0 c1 c2 |...         u = 0   |c0 c1 c2 |c0 c1 c2 |...
    row 1  |c0 c1 c2 |c0 c1 c2 |...         u = 1   |c0 c1 c2 |c0 c1 c2 |...

Capital letters are sizes, lower-case letters are indices:

    N batch        H, W image       C channels       F filters     KH, KW filter size    PH, PW pool window
    OH, OW output  SH, SW strides   DH, DW dilation  TOP, LEFT rows and columns of padding before the image
    D features     U units          G groups         CG = C / G channels and FG = F / G filters of one group

Output pixel (i, j) and filter tap (u, v) determine one pixel (h, w) of the image. Convolution and both of its
gradients are sums over this one relation:

    h = i * SH + u * DH - TOP         unless 0 <= h < H and 0 <= w < W,
    w = j * SW + v * DW - LEFT        the tap lies in the padding and contributes nothing

    y[n, i, j, f]       = bias[f] + sum over u, v, c of  x[n, h, w, c] * weight[u, v, c, f]
    dx[n, h, w, c]      =           sum over i, j, f of dy[n, i, j, f] * weight[u, v, c, f]
    dweight[u, v, c, f] =           sum over n, i, j of dy[n, i, j, f] * x[n, h, w, c]

The padding below and to the right of the image needs no parameter, because the shape of y determines it.
Every function overwrites its OUT arguments completely, whatever they contained before, updates its INOUT arguments
in place, and returns nothing.
"""

from libc.math cimport exp, sqrt

# Each function is compiled for both dtypes; float64 allows gradients to be checked to many digits.
ctypedef fused real_t:
    float
    double

include "textbook/convolution.pxi"
include "textbook/pooling.pxi"
include "textbook/dense.pxi"
include "textbook/activations.pxi"
include "textbook/optimizers.pxi"
