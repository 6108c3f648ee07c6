# Max pooling, forward and backward.
#
#   y[n, i, j, c] = max over u < PH, v < PW of x[n, i*SH + u - top, j*SW + v - left, c]
#
# Pixels outside the image are ignored. The winner record holds u*PW + v of the first largest value, in a byte where
# the window has at most 255 pixels, so that backward does not need x.
#
# NaN counts as larger than every number, and the first NaN is the maximum: written as "not smaller or equal, unless the
# best is NaN already", since a plain `>` would drop it. Loops run over channels innermost, where memory is contiguous
# (except where there are few), and select instead of branching, so that compilers vectorize them. Backward selects, or
# checks: a winner record with invalid contents can only lose a gradient, never write outside the window.

cdef extern from "variants/kernels.h" nogil:
    bint unpools(const void *dy, Py_ssize_t F, Py_ssize_t columns)
    void unpool_row(const void *dy, const uint8_t *winner, Py_ssize_t F, Py_ssize_t columns, void *dx, Py_ssize_t row)


ctypedef fused winner_t:
    uint8_t
    int32_t


cdef struct Pooling:
    Py_ssize_t N, H, W, C, OH, OW
    Py_ssize_t PH, PW, SH, SW, top, left


cdef Pooling pooling_of(tuple x_shape, tuple y_shape, size, strides, offset):
    cdef Pooling p
    p.N, p.H, p.W, p.C = x_shape
    p.OH, p.OW = y_shape[1:3]
    p.PH, p.PW = size
    p.SH, p.SW = strides
    p.top, p.left = offset
    # Every window must contain a pixel of the image.
    if (min(p.PH, p.PW, p.SH, p.SW) < 1 or min(p.H, p.W, p.C) < 1 or min(p.OH, p.OW) < 1 or p.N < 0
            or not 0 <= p.top < p.PH or not 0 <= p.left < p.PW
            or (p.OH - 1) * p.SH - p.top >= p.H or (p.OW - 1) * p.SW - p.left >= p.W
            or (y_shape[0], y_shape[3]) != (p.N, p.C)):
        raise ValueError(f"expected sizes that fit, got x {x_shape}, y {y_shape}, window {size}")
    return p


# With fewer channels windows are computed channel by channel.
cdef enum:
    FEW = 8


cdef class MaxPool2D(Step):
    """Forward maximum; records winners if given an array for them."""

    cdef Pooling p
    cdef void *x
    cdef void *y
    cdef void *winner
    cdef bint small

    def __init__(self, x, y, winner, size, strides, offset):
        cdef Pooling p = pooling_of(x.shape, y.shape, size, strides, offset)
        self.p = p
        self.x = self.real(x, p.N * p.H * p.W * p.C, False)
        self.y = self.real(y, p.N * p.OH * p.OW * p.C, True)
        self.small = p.PH * p.PW <= 255
        if winner is not None:
            self.winner = self.other(winner, p.N * p.OH * p.OW * p.C, 1 if self.small else 4, True)
        self.out = y
        self.units = p.N * p.OH
        self.unit_cost = 20.0 * p.OW * p.C * p.PH * p.PW

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double and self.small:
            max_row[double, uint8_t](&self.p, index, <double *>self.x, <double *>self.y, <uint8_t *>self.winner)
        elif self.is_double:
            max_row[double, int32_t](&self.p, index, <double *>self.x, <double *>self.y, <int32_t *>self.winner)
        elif self.small:
            max_row[float, uint8_t](&self.p, index, <float *>self.x, <float *>self.y, <uint8_t *>self.winner)
        else:
            max_row[float, int32_t](&self.p, index, <float *>self.x, <float *>self.y, <int32_t *>self.winner)


cdef void max_row(
    const Pooling *p,
    Py_ssize_t unit,                # output row: n * OH + i
    const real_t *x,                # (N, H, W, C)                                        IN
    real_t *y,                      # (N, OH, OW, C)                                      OUT
    winner_t *winner,               # (N, OH, OW, C) or NULL                              OUT
) noexcept nogil:
    cdef Py_ssize_t n = unit // p.OH, h = unit % p.OH * p.SH - p.top, j, u, v, w
    cdef bint first
    x += n * p.H * p.W * p.C
    y += unit * p.OW * p.C
    if winner != NULL:
        winner += unit * p.OW * p.C
    for j in range(p.OW):
        w = j * p.SW - p.left
        if p.C < FEW:
            max_few(p, x, h, w, y, winner)
            y += p.C
            if winner != NULL:
                winner += p.C
            continue
        first = True
        for u in range(max(-h, 0), min(p.PH, p.H - h)):
            for v in range(max(-w, 0), min(p.PW, p.W - w)):
                max_pixel(x + ((h + u) * p.W + w + v) * p.C, y, winner, p.C, <winner_t>(u * p.PW + v), first)
                first = False
        y += p.C
        if winner != NULL:
            winner += p.C


cdef inline void max_few(const Pooling *p, const real_t *x, Py_ssize_t h, Py_ssize_t w, real_t *y,
                         winner_t *winner) noexcept nogil:
    # Too few channels for a vector: one after the other, the maximum in a register.
    cdef Py_ssize_t c, u, v, first_u = max(-h, 0), last_u = min(p.PH, p.H - h)
    cdef Py_ssize_t first_v = max(-w, 0), last_v = min(p.PW, p.W - w)
    cdef real_t best, a
    cdef Py_ssize_t place
    cdef bint take
    for c in range(p.C):
        place = first_u * p.PW + first_v
        best = x[((h + first_u) * p.W + w + first_v) * p.C + c]
        for u in range(first_u, last_u):
            for v in range(first_v, last_v):
                a = x[((h + u) * p.W + w + v) * p.C + c]
                take = (not a <= best) & (best == best)
                best = a if take else best
                place = u * p.PW + v if take else place
        y[c] = best
        if winner != NULL:
            winner[c] = <winner_t>place


cdef inline void max_pixel(const real_t *x, real_t *y, winner_t *winner, Py_ssize_t C, winner_t place,
                           bint first) noexcept nogil:
    cdef Py_ssize_t c
    cdef bint take
    if first:
        memcpy(y, x, C * sizeof(real_t))
        if winner != NULL:
            for c in range(C):
                winner[c] = place
    elif winner != NULL:
        for c in range(C):
            take = (not x[c] <= y[c]) & (y[c] == y[c])
            y[c] = x[c] if take else y[c]
            winner[c] = place if take else winner[c]
    else:
        for c in range(C):
            y[c] = x[c] if (not x[c] <= y[c]) & (y[c] == y[c]) else y[c]


cdef class MaxPool2DBackward(Step):
    """Add each gradient to its window's maximum; where windows overlap, gradients add."""

    cdef Pooling p
    cdef void *dy
    cdef void *dx
    cdef void *winner
    cdef bint small

    def __init__(self, dy, winner, dx, size, strides, offset):
        cdef Pooling p = pooling_of(dx.shape, dy.shape, size, strides, offset)
        self.p = p
        self.dy = self.real(dy, p.N * p.OH * p.OW * p.C, False)
        self.dx = self.real(dx, p.N * p.H * p.W * p.C, True)
        self.small = p.PH * p.PW <= 255
        self.winner = self.other(winner, p.N * p.OH * p.OW * p.C, 1 if self.small else 4, False)
        self.out = dx
        self.units = p.N
        self.unit_cost = 20.0 * p.OH * p.OW * p.C * p.PH * p.PW

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double and self.small:
            max_image_backward(&self.p, index, <double *>self.dy, <uint8_t *>self.winner, <double *>self.dx)
        elif self.is_double:
            max_image_backward(&self.p, index, <double *>self.dy, <int32_t *>self.winner, <double *>self.dx)
        elif self.small:
            max_image_backward(&self.p, index, <float *>self.dy, <uint8_t *>self.winner, <float *>self.dx)
        else:
            max_image_backward(&self.p, index, <float *>self.dy, <int32_t *>self.winner, <float *>self.dx)


cdef void max_image_backward(
    const Pooling *p,
    Py_ssize_t n,
    const real_t *dy,               # (N, OH, OW, C)                                      IN
    const winner_t *winner,         # (N, OH, OW, C)                                      IN
    real_t *dx,                     # (N, H, W, C)                                        OUT
) noexcept nogil:
    cdef Py_ssize_t i, j, u, v, c, h, w
    cdef winner_t place
    cdef real_t *pixel
    dx += n * p.H * p.W * p.C
    dy += n * p.OH * p.OW * p.C
    winner += n * p.OH * p.OW * p.C
    if winner_t is uint8_t:
        if unpools_in_rows(p, real_t is double):
            unpool_image(p, dy, winner, dx)
            return
    memset(dx, 0, p.H * p.W * p.C * sizeof(real_t))
    for i in range(p.OH):
        h = i * p.SH - p.top
        for j in range(p.OW):
            w = j * p.SW - p.left
            if p.C < FEW:
                # Straight to the winner, wherever it says, as long as that is in the window and in the image.
                for c in range(p.C):
                    if p.PW == 2:       # two divisions would take longer than all the rest
                        u, v = winner[c] >> 1, winner[c] & 1
                    else:
                        u, v = winner[c] // p.PW, winner[c] % p.PW
                    if 0 <= winner[c] and u < p.PH and 0 <= h + u < p.H and 0 <= w + v < p.W:
                        dx[((h + u) * p.W + w + v) * p.C + c] += dy[c]
                dy += p.C
                winner += p.C
                continue
            for u in range(max(-h, 0), min(p.PH, p.H - h)):
                for v in range(max(-w, 0), min(p.PW, p.W - w)):
                    place = <winner_t>(u * p.PW + v)
                    pixel = dx + ((h + u) * p.W + w + v) * p.C
                    for c in range(p.C):
                        pixel[c] += dy[c] if winner[c] == place else 0
            dy += p.C
            winner += p.C


cdef inline bint unpools_in_rows(const Pooling *p, bint is_double) noexcept nogil:
    """Return whether windows are 2x2, adjacent and complete, and whether vectors can run over whole rows."""
    if p.PH != 2 or p.PW != 2 or p.SH != 2 or p.SW != 2 or p.top or p.left or 2 * p.OH > p.H or 2 * p.OW > p.W:
        return False
    return unpools(<double *>NULL, p.C, p.OW) if is_double else unpools(<float *>NULL, p.C, p.OW)


cdef void unpool_image(
    const Pooling *p,
    const real_t *dy,               # (OH, OW, C)                                         IN
    const uint8_t *winner,          # (OH, OW, C)                                         IN
    real_t *dx,                     # (H, W, C)                                           OUT
) noexcept nogil:
    cdef Py_ssize_t i, row = p.W * p.C, pooled = p.OW * p.C
    for i in range(p.OH):
        unpool_row(dy, winner, p.C, p.OW, dx, row)
        if row > 2 * pooled:    # columns that no window reaches
            memset(dx + 2 * pooled, 0, (row - 2 * pooled) * sizeof(real_t))
            memset(dx + row + 2 * pooled, 0, (row - 2 * pooled) * sizeof(real_t))
        dy += pooled
        winner += pooled
        dx += 2 * row
    memset(dx, 0, (p.H - 2 * p.OH) * row * sizeof(real_t))
