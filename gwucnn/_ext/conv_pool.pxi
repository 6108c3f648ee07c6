# Convolution, bias, relu (if asked for) and 2x2 max pooling in one pass over the images.
#
#   y[n, i, j, f] = max over a < 2, b < 2 of conv[n, 2*i + a, 2*j + b, f], and with relu of 0
#
# with conv of conv.pxi, bias included. relu and maximum commute. The winner byte is 2*a + b of the first largest, or 4
# where relu shut all four (see winner.h). Rows and columns of the convolution that pooling drops are not computed.

cdef class Conv2DPool(Conv2D):
    """Forward; records winners if given an array for them."""

    cdef uint8_t *winner
    cdef bint relu

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
        self.row_step = 2 * g.SH
        self.reach = g.SH + (g.KH - 1) * g.DH + 1
        self.y_image = g.OH // 2 * (g.OW // 2) * g.F
        for p in range(groups):
            self.planes[p].rows = g.OH // 2
            self.planes[p].columns = g.OW // 2
            self.planes[p].y_row = g.OW // 2 * g.F
            self.planes[p].walk.x_row = g.SH * self.width * g.C
        self.plan(operations_of(&g))

    cdef void some_rows(self, const Plane *plane, const void *x, Py_ssize_t x_row, Py_ssize_t y_at,
                        Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t group) noexcept nogil:
        cdef uint8_t *winner = self.winner + y_at if self.winner != NULL else NULL
        if self.is_double:
            pooled_rows(self, plane, <const double *>x, x_row, <double *>self.y + y_at, winner, rows, columns, group)
        else:
            pooled_rows(self, plane, <const float *>x, x_row, <float *>self.y + y_at, winner, rows, columns, group)


cdef Geometry pooled_geometry(tuple x_shape, tuple weight_shape, tuple pooled_shape, strides, dilation, offset,
                              Py_ssize_t groups):
    """Return the geometry of the part of the convolution that pooling to `pooled_shape` looks at."""
    N, PH, PW, F = pooled_shape
    return geometry_of(x_shape, weight_shape, (N, 2 * PH, 2 * PW, F), strides, dilation, offset, groups)


cdef inline void pooled_tile(int m, const Correlation *walk, const real_t *x, const real_t *w, const real_t *bias,
                             real_t *y, uint8_t *winner, bint relu, Py_ssize_t lanes) noexcept nogil:
    if real_t is float:
        pooled_tile_f32(m, walk, x, w, bias, y, winner, relu, lanes)
    else:
        pooled_tile_f64(m, walk, x, w, bias, y, winner, relu, lanes)


cdef inline void pooled_rows(
    Conv2DPool self,
    const Plane *plane,
    const real_t *x,                # window of the first pixel                           IN
    Py_ssize_t x_row,
    real_t *y,                      # first pooled pixel                                  OUT
    uint8_t *winner,                # its winner, or NULL                                 OUT
    Py_ssize_t rows, Py_ssize_t columns,
    Py_ssize_t group,               # of filter blocks: of block_groups
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), block = TILE_VECTORS * lanes
    cdef Py_ssize_t blocks = (plane.outputs + block - 1) // block
    cdef Py_ssize_t b, f, i, j, m, at
    cdef const real_t *w
    cdef const real_t *bias
    cdef Correlation walk = plane.walk
    for b in range(group * blocks // self.block_groups, (group + 1) * blocks // self.block_groups):
        f = b * block
        w = weights_of(self, plane, f, &walk, <const real_t *>self.weight)
        bias = bias_of(self, plane, f, <const real_t *>self.bias)
        for i in range(rows):
            j = 0
            while j < columns:
                m = min(TILE_POOLED, columns - j)
                at = i * plane.y_row + j * walk.y_pixel + f
                pooled_tile(<int>m, &walk, x + i * x_row + 2 * j * walk.x_pixel, w, bias, y + at,
                            winner + at if winner != NULL else NULL, self.relu, min(plane.outputs - f, block))
                j += m
