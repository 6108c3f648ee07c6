# Average pooling and its gradient.
#
#   y[n, i, j, c]  = sum over u < PH, v < PW of x[n, h, w, c] / count       h = i*SH + u - top, w = j*SW + v - left
#   dx[n, h, w, c] = sum over the windows that contain the pixel of dy[n, i, j, c] / count
#
# `count` is the number of the window's pixels inside the image, or PH*PW where padding counts as zeros. Sums of
# many pixels are computed in double, so that the mean of a whole image is as accurate as that of four pixels.

ctypedef fused sum_t:
    float
    double

# At most this many pixels are summed in their own type: 2x2 windows of 16 to 64 float32 channels take a third to half
# the time.
cdef enum:
    FEW_PIXELS = 16

# Channels that are summed at a time: few enough for registers, and whole vectors.
cdef enum:
    BLOCK = 16


cdef class AveragePool2D(Step):
    cdef Pooling p
    cdef void *x
    cdef void *y
    cdef bint count_include_pad

    def __init__(self, x, y, size, strides, offset, bint count_include_pad):
        cdef Pooling p = pooling_of(x.shape, y.shape, size, strides, offset)
        self.p = p
        self.x = self.real(x, p.N * p.H * p.W * p.C, False)
        self.y = self.real(y, p.N * p.OH * p.OW * p.C, True)
        self.count_include_pad = count_include_pad
        self.out = y
        self.units = p.N * p.OH
        self.unit_cost = 20.0 * p.OW * p.C * p.PH * p.PW

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            average_row(&self.p, index, <double *>self.x, <double *>self.y, self.count_include_pad)
        else:
            average_row(&self.p, index, <float *>self.x, <float *>self.y, self.count_include_pad)


cdef void average_row(
    const Pooling *p,
    Py_ssize_t unit,                # output row: n * OH + i
    const real_t *x,                # (N, H, W, C)                                        IN
    real_t *y,                      # (N, OH, OW, C)                                      OUT
    bint count_include_pad,
) noexcept nogil:
    cdef Py_ssize_t n = unit // p.OH, h = unit % p.OH * p.SH - p.top, j, w
    cdef Py_ssize_t first_u = max(-h, 0), rows = min(p.PH, p.H - h) - first_u, first_v, columns, count
    x += (n * p.H + h + first_u) * p.W * p.C
    y += unit * p.OW * p.C
    for j in range(p.OW):
        w = j * p.SW - p.left
        first_v = max(-w, 0)
        columns = min(p.PW, p.W - w) - first_v
        count = p.PH * p.PW if count_include_pad else rows * columns
        if rows * columns <= FEW_PIXELS:
            average_window(x + (w + first_v) * p.C, rows, columns, p.W * p.C, p.C, <real_t>count, y)
        else:
            average_window(x + (w + first_v) * p.C, rows, columns, p.W * p.C, p.C, <double>count, y)
        y += p.C


cdef inline void average_window(
    const real_t *x,                # (rows, columns, C), rows `step` numbers apart       IN
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t step, Py_ssize_t C,
    sum_t count,                    # what the sums are divided by, of the type that they have
    real_t *y,                      # (C,)                                                OUT
) noexcept nogil:
    cdef Py_ssize_t b, c, k, u, v
    cdef sum_t total[BLOCK]
    cdef sum_t alone
    cdef const real_t *pixel
    for b in range(C // BLOCK):
        c = b * BLOCK
        memset(total, 0, sizeof(total))
        for u in range(rows):
            for v in range(columns):
                pixel = x + u * step + v * C + c
                for k in range(BLOCK):
                    total[k] += pixel[k]
        for k in range(BLOCK):
            y[c + k] = <real_t>(total[k] / count)
    for c in range(C // BLOCK * BLOCK, C):
        alone = 0
        for u in range(rows):
            for v in range(columns):
                alone += x[u * step + v * C + c]
        y[c] = <real_t>(alone / count)


cdef class AveragePool2DBackward(Step):
    cdef Pooling p
    cdef void *dy
    cdef void *dx
    cdef bint count_include_pad

    def __init__(self, dy, dx, size, strides, offset, bint count_include_pad):
        cdef Pooling p = pooling_of(dx.shape, dy.shape, size, strides, offset)
        self.p = p
        self.dy = self.real(dy, p.N * p.OH * p.OW * p.C, False)
        self.dx = self.real(dx, p.N * p.H * p.W * p.C, True)
        self.count_include_pad = count_include_pad
        self.out = dx
        self.units = p.N
        self.unit_cost = 20.0 * p.OH * p.OW * p.C * p.PH * p.PW

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            average_image_backward(&self.p, index, <double *>self.dy, <double *>self.dx, self.count_include_pad)
        else:
            average_image_backward(&self.p, index, <float *>self.dy, <float *>self.dx, self.count_include_pad)


cdef void average_image_backward(
    const Pooling *p,
    Py_ssize_t n,
    const real_t *dy,               # (N, OH, OW, C)                                      IN
    real_t *dx,                     # (N, H, W, C)                                        OUT
    bint count_include_pad,
) noexcept nogil:
    cdef Py_ssize_t i, j, u, v, c, h, w, first_u, last_u, first_v, last_v
    cdef real_t share
    cdef real_t *pixel
    dx += n * p.H * p.W * p.C
    dy += n * p.OH * p.OW * p.C
    memset(dx, 0, p.H * p.W * p.C * sizeof(real_t))
    for i in range(p.OH):
        h = i * p.SH - p.top
        first_u, last_u = max(-h, 0), min(p.PH, p.H - h)
        for j in range(p.OW):
            w = j * p.SW - p.left
            first_v, last_v = max(-w, 0), min(p.PW, p.W - w)
            share = <real_t>(1.0 / (p.PH * p.PW if count_include_pad else (last_u - first_u) * (last_v - first_v)))
            for u in range(first_u, last_u):
                for v in range(first_v, last_v):
                    pixel = dx + ((h + u) * p.W + w + v) * p.C
                    for c in range(p.C):
                        pixel[c] += dy[c] * share
            dy += p.C
