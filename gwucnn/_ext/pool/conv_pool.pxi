# Convolution, bias, relu (if asked for) and 2x2 max pooling in one pass over the images.
#
#   y[n, i, j, f] = max over a < 2, b < 2 of conv[n, 2*i + a, 2*j + b, f], and with relu of 0
#
# with conv of conv.pxi, bias included. relu and maximum commute. The winner byte is 2*a + b of the first largest, or 4
# where relu zeroed all four (see winner.h). Rows and columns of the convolution that pooling drops are not computed.

cdef extern from "variants/kernels.h" nogil:
    enum: TILE_POOLED
    void pool_few(const void *full, Py_ssize_t row, Py_ssize_t F, Py_ssize_t outputs, Py_ssize_t columns, bint relu,
                  void *y, uint8_t *winner)
    void pooled_tile(int m, const Correlation *c, const void *x, const void *w, const void *bias, void *y,
                     uint8_t *winner, bint relu, Py_ssize_t lanes)

# Two tiles of rows of the kernel for few filters, 7 each with AVX-512.
cdef enum:
    FULL_ROWS = 14
    POOLED_ROWS = 7


cdef class Conv2DPool(Conv2D):
    """Forward; records winners if given an array for them."""

    cdef uint8_t *winner
    cdef bint relu
    cdef void *full_rows            # (threads, FULL_ROWS, OW, F): before pooling, for few filters
    cdef Py_ssize_t full_size

    def __init__(self, x, weight, bias, y, winner, strides, dilation, offset, Py_ssize_t groups, bint relu,
                 bint constant_weight=False):
        cdef Geometry g = pooled_geometry(x.shape, weight.shape, y.shape, strides, dilation, offset, groups)
        cdef Py_ssize_t pixels = g.N * g.OH * g.OW, p
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.weight = self.real(weight, g.KH * g.KW * (g.C // groups) * g.F, False)
        self.biased = bias is not None
        if self.biased:
            self.bias = self.real(bias, g.F, False)
        self.y = self.real(y, pixels // 4 * g.F, True)
        if winner is not None:
            self.winner = <uint8_t *>self.other(winner, pixels // 4 * g.F, 1, True)
        self.out = y
        self.relu = relu
        self.slide(&g, pixels, constant_weight)
        # From here on a row is one of pooled pixels.
        self.skips_border = False
        self.row_step = 2 * g.SH
        self.reach = g.SH + (g.KH - 1) * g.DH + 1
        self.y_image = g.OH // 2 * (g.OW // 2) * g.F
        for p in range(groups):
            self.planes[p].rows = g.OH // 2
            self.planes[p].columns = g.OW // 2
            self.planes[p].y_row = g.OW // 2 * g.F
            self.planes[p].walk.x_row = g.SH * self.width * g.C
        self.row_pixels = g.OW
        self.plan(operations_of(&g))
        if self.few.method != NOT_FEW:
            self.full_size = round_up(FULL_ROWS * g.OW * g.F, 16)
            self.full_rows = self.reserve_reals(self.full_size * self.max_threads)

    cdef void compute_rows(self, const Plane *plane, const RowRange *at, const void *x) noexcept nogil:
        cdef uint8_t *winner = self.winner + at.y_at if self.winner != NULL else NULL
        if self.few.method != NOT_FEW:
            if self.is_double:
                pooled_few(self, plane, at, <const double *>x, <double *>self.y + at.y_at, winner)
            else:
                pooled_few(self, plane, at, <const float *>x, <float *>self.y + at.y_at, winner)
        elif self.is_double:
            pooled_rows(self, plane, at, <const double *>x, <double *>self.y + at.y_at, winner)
        else:
            pooled_rows(self, plane, at, <const float *>x, <float *>self.y + at.y_at, winner)


cdef Geometry pooled_geometry(tuple x_shape, tuple weight_shape, tuple pooled_shape, strides, dilation, offset,
                              Py_ssize_t groups):
    """Return the geometry of the part of the convolution that pooling to `pooled_shape` reads."""
    N, PH, PW, F = pooled_shape
    return geometry_of(x_shape, weight_shape, (N, 2 * PH, 2 * PW, F), strides, dilation, offset, groups)


cdef inline void pooled_rows(
    Conv2DPool self,
    const Plane *plane,
    const RowRange *at,
    const real_t *x,                # window of the first pixel                           IN
    real_t *y,                      # first pooled pixel                                  OUT
    uint8_t *winner,                # its winner, or NULL                                 OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), block = TILE_VECTORS * lanes
    cdef Py_ssize_t blocks = (plane.outputs + block - 1) // block
    cdef Py_ssize_t b, f, i, j, m, to
    cdef const real_t *w
    cdef const real_t *bias
    cdef Correlation walk = plane.walk
    for b in range(at.group * blocks // self.block_groups, (at.group + 1) * blocks // self.block_groups):
        f = b * block
        w = weights_of(self, plane, f, &walk, <const real_t *>self.weight)
        bias = bias_of(self, plane, f, <const real_t *>self.bias)
        for i in range(at.rows):
            j = 0
            while j < at.columns:
                m = min(TILE_POOLED, at.columns - j)
                to = i * plane.y_row + j * walk.y_pixel + f
                pooled_tile(<int>m, &walk, x + i * at.x_row + 2 * j * walk.x_pixel, w, bias, y + to,
                            winner + to if winner != NULL else NULL, self.relu, min(plane.outputs - f, block))
                j += m


cdef inline void pooled_few(
    Conv2DPool self,
    const Plane *plane,
    const RowRange *at,
    const real_t *x,                # window of the first pixel                           IN
    real_t *y,                      # first pooled pixel                                  OUT
    uint8_t *winner,                # its winner, or NULL                                 OUT
) noexcept nogil:
    """Few filters: a few full-size rows at a time are written to scratch memory, which stays in the cache."""
    cdef real_t *full = <real_t *>self.full_rows + at.thread * self.full_size
    cdef Py_ssize_t F = self.g.F, row = 2 * at.columns * F, i, k, to
    cdef RowRange some = at[0]
    some.x_row, some.columns = at.x_row // 2, 2 * at.columns
    i = 0
    while i < at.rows:
        some.rows = 2 * min(POOLED_ROWS, at.rows - i)
        plane_rows(self, plane, &some, x + i * at.x_row, full + plane.y_first, row)
        for k in range(some.rows // 2):
            to = (i + k) * plane.y_row
            pool_few(full + plane.y_first + 2 * k * row, row, F, plane.outputs, at.columns, self.relu, y + to,
                     winner + to if winner != NULL else NULL)
        i += POOLED_ROWS


