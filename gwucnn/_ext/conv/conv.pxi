# Two-dimensional convolution (cross-correlation, as everywhere in the field).
#
#   y[n, i, j, f] = bias[f] + sum over u < KH, v < KW, c < C/groups of
#                   x[n, i*SH + u*DH - top, j*SW + v*DW - left, g*C/groups + c] * weight[u, v, c, f]
#
# with g = f // (F / groups) and x zero outside the image. A dense layer is the case H = W = KH = KW = 1.
# The algorithm is in correlate.pxi; this file defines the planes and the order of the weights. textbook/convolution.pxi
# has the same functions as plain loops.

cdef struct Geometry:
    Py_ssize_t N, H, W, C           # images
    Py_ssize_t KH, KW, F            # filters
    Py_ssize_t OH, OW               # output
    Py_ssize_t SH, SW               # strides
    Py_ssize_t DH, DW               # dilation
    Py_ssize_t top, left            # padding before the first row and column
    Py_ssize_t groups


cdef Geometry geometry_of(tuple x_shape, tuple weight_shape, tuple y_shape, strides, dilation, offset,
                          Py_ssize_t groups):
    cdef Geometry g
    g.N, g.H, g.W, g.C = x_shape
    g.KH, g.KW = weight_shape[:2]
    g.OH, g.OW, g.F = y_shape[1:]
    g.SH, g.SW = strides
    g.DH, g.DW = dilation
    g.top, g.left = offset
    g.groups = groups
    if (min(g.KH, g.KW, g.SH, g.SW) < 1 or min(g.DH, g.DW, groups) < 1 or min(g.top, g.left, g.N) < 0
            or min(g.H, g.W, g.C) < 1 or min(g.OH, g.OW, g.F) < 1 or g.C % groups or g.F % groups
            or tuple(weight_shape[2:]) != (g.C // groups, g.F) or y_shape[0] != g.N):
        raise ValueError(f"expected sizes that fit, got x {x_shape}, weight {weight_shape}, y {y_shape}")
    return g


cdef inline bint border_of(const Geometry *g, Py_ssize_t *height, Py_ssize_t *width) noexcept nogil:
    """Set the size of the image including the border that windows reach."""
    height[0] = (g.OH - 1) * g.SH + (g.KH - 1) * g.DH + 1
    width[0] = (g.OW - 1) * g.SW + (g.KW - 1) * g.DW + 1
    if g.top > 0 or g.left > 0 or height[0] > g.H or width[0] > g.W:
        return True
    height[0], width[0] = g.H, g.W
    return False


cdef inline double operations_of(const Geometry *g) noexcept nogil:
    return 2.0 * g.N * g.OH * g.OW * g.F * (g.C // g.groups) * g.KH * g.KW


cdef int flatten_pixels(Correlate self, Geometry *g) except -1:
    """Treat a 1x1 convolution (a dense layer, say) as one long row of pixels, divided into units that fit the cache.

    Tiles then need not stop at the end of an image row, of which a dense layer has N with one pixel each.
    """
    cdef Py_ssize_t pixels = g.N * g.H * g.W, chunk
    if not (g.KH == g.KW == g.SH == g.SW == 1 and g.top == g.left == 0 and g.OH == g.H and g.OW == g.W):
        return 0
    chunk = STRIP_BYTES // (g.C * (8 if self.is_double else 4))
    chunk = min(chunk, (pixels + 2 * self.max_threads - 1) // (2 * self.max_threads))
    chunk = min(round_up(max(chunk, 1), TILE_PIXELS), max(pixels, 1))
    self.flat_pixels = pixels
    g.N = (pixels + chunk - 1) // chunk
    g.H = g.OH = 1
    g.W = g.OW = chunk
    return 0


cdef class Conv2D(Correlate):
    """Forward convolution of images with filters, plus a bias."""

    cdef Geometry g

    def __init__(self, x, weight, bias, y, strides, dilation, offset, Py_ssize_t groups, bint constant_weight=False,
                 bint relu=False):
        cdef Geometry g = geometry_of(x.shape, weight.shape, y.shape, strides, dilation, offset, groups)
        cdef double operations = operations_of(&g)
        cdef Py_ssize_t pixels = g.N * g.OH * g.OW
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.weight = self.real(weight, g.KH * g.KW * (g.C // groups) * g.F, False)
        self.biased = bias is not None
        if self.biased:
            self.bias = self.real(bias, g.F, False)
        self.y = self.real(y, pixels * g.F, True)
        self.out = y
        self.applies_relu = relu
        flatten_pixels(self, &g)
        self.slide(&g, pixels, constant_weight)
        self.plan(operations)

    cdef int slide(self, const Geometry *g, Py_ssize_t pixels, bint constant_weight) except -1:
        """Define a plane for each group; `pixels` is the number of output pixels.

        constant_weight : many calls will be made with the same filters, so a copy of them costs nothing.
        """
        cdef Py_ssize_t p
        self.g = g[0]
        self.N, self.H, self.W, self.C = g.N, g.H, g.W, g.C
        self.top, self.left = g.top, g.left
        self.row_step = g.SH
        self.reach = (g.KH - 1) * g.DH + 1
        self.bordered = self.skips_border = border_of(g, &self.height, &self.width)
        self.y_image = g.OH * g.OW * g.F
        # Whole vectors can be read where they lie, unless that is slow and there are enough calls or pixels to pay for
        # a copy.
        self.packs = ((g.F // g.groups) % lanes_of(self.is_double) != 0
                      or (g.F * (8 if self.is_double else 4) > UNPACKED_ROW_BYTES
                           and (constant_weight or pixels > 4 * TILE_PIXELS)))
        self.plane_count = g.groups
        self.planes = <Plane *>self.reserve(g.groups, sizeof(Plane))
        self.taps = <ptrdiff_t *>self.reserve(g.groups * g.KH * g.KW, sizeof(ptrdiff_t))
        for p in range(g.groups):
            self.lay_out(&self.planes[p], p, self.taps + p * g.KH * g.KW)
        return 0

    cdef void lay_out(self, Plane *plane, Py_ssize_t group, ptrdiff_t *tap) noexcept nogil:
        cdef Geometry *g = &self.g
        cdef Py_ssize_t u, v, Cg = g.C // g.groups
        # One run may span the row of a filter where its pixels are neighbours in memory.
        cdef bint merge = g.DW == 1 and g.groups == 1
        cdef Py_ssize_t KW = 1 if merge else g.KW
        plane.walk.tap = tap
        plane.walk.taps = g.KH * KW
        plane.walk.run = Cg * (g.KW if merge else 1)
        plane.walk.x_pixel = g.SW * g.C
        plane.walk.y_pixel = g.F
        plane.walk.w_step, plane.walk.w_skip = g.F, 0
        plane.walk.relu = self.applies_relu
        plane.rows, plane.columns = g.OH, g.OW
        plane.outputs = g.F // g.groups
        plane.y_first = group * plane.outputs
        plane.y_row = g.OW * g.F
        for u in range(g.KH):
            for v in range(KW):
                tap[u * KW + v] = (u * g.DH * self.width + v * g.DW) * g.C + group * Cg

    cdef void pack(self) noexcept nogil:
        cdef Py_ssize_t p
        for p in range(self.plane_count):
            if self.is_double:
                pack_filters(self, p, <const double *>self.weight, <double *>self.packed)
            else:
                pack_filters(self, p, <const float *>self.weight, <float *>self.packed)
            pack_bias(self, p, p)


cdef void pack_filters(
    Conv2D self,
    Py_ssize_t group,
    const real_t *weight,           # (KH*KW*Cg, F)                                       IN
    real_t *packed,                 # (blocks, KH*KW*Cg, block)                           OUT
) noexcept nogil:
    cdef Plane *plane = &self.planes[group]
    cdef Py_ssize_t F = self.g.F, Fg = plane.outputs, depth = plane.walk.taps * plane.walk.run
    cdef Py_ssize_t lanes = lanes_of(real_t is double), f = 0, k, wide, some
    packed += plane.weights
    weight += group * Fg
    while f < Fg:
        wide = block_width(Fg - f, lanes)
        some = min(wide, Fg - f)
        for k in range(depth):
            memcpy(packed, weight + k * F + f, some * sizeof(real_t))
            memset(packed + some, 0, (wide - some) * sizeof(real_t))
            packed += wide
        f += wide


cdef void pack_bias(Correlate self, Py_ssize_t p, Py_ssize_t group) noexcept nogil:
    """Copy the biases of a group's outputs to where plane p reads them, the last vector padded with zeros."""
    cdef Plane *plane = &self.planes[p]
    cdef Py_ssize_t itemsize = 8 if self.is_double else 4, size = plane.outputs * itemsize
    cdef Py_ssize_t room = round_up(plane.outputs, lanes_of(self.is_double)) * itemsize
    cdef char *packed
    if self.biased:
        packed = <char *>self.packed_bias + plane.bias * itemsize
        memcpy(packed, <const char *>self.bias + group * size, size)
        memset(packed + size, 0, room - size)
