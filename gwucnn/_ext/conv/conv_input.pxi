# The gradient of a two-dimensional convolution with respect to its input, by the algorithm of correlate.pxi. Its planes
# are the phases of the strides. textbook/convolution.pxi has the same function as plain loops.

cdef class Conv2DBackwardInput(Correlate):
    """The gradient with respect to the input: the correlation of dy with the filters rotated by 180 degrees.

    Input row h, counted with the padding, has phase a = (h + top) % SH and lies at t = (h + top) // SH. It received
    products through filter row u from output row t - q, where u*DH - a = q*SH: rows of one phase share their taps,
    so each pair of phases is a plane. With stride 1 there is one plane.

    With a bias for each channel of dx it is the transposed convolution of images dy; what its padding cuts off
    and what it adds at the bottom and right is all in dx's shape and the offset.
    """

    cdef Geometry g
    cdef Py_ssize_t row_shift, column_shift     # source row of output row t - q, less t - q

    def __init__(self, dy, weight, dx, strides, dilation, offset, Py_ssize_t groups, bias=None):
        cdef Geometry g = geometry_of(dx.shape, weight.shape, dy.shape, strides, dilation, offset, groups)
        cdef double operations = operations_of(&g)
        cdef Py_ssize_t a, b, group, p = 0
        self.x = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.weight = self.real(weight, g.KH * g.KW * (g.C // groups) * g.F, False)
        self.biased = bias is not None
        if self.biased:
            self.bias = self.real(bias, g.C, False)
        self.y = self.real(dx, g.N * g.H * g.W * g.C, True)
        self.out = dx
        flatten_pixels(self, &g)
        self.g = g
        self.N, self.H, self.W, self.C = g.N, g.OH, g.OW, g.F
        # Rows of zeros before dy, as far as the last filter row reaches up from the first input row.
        self.top = max((g.KH - 1) * g.DH // g.SH - g.top // g.SH, 0)
        self.left = max((g.KW - 1) * g.DW // g.SW - g.left // g.SW, 0)
        self.row_shift, self.column_shift = self.top, self.left
        self.row_step = 1
        self.reach = self.top + (min(g.SH, g.H) - 1 + g.top) // g.SH + 1
        # Rows of zeros behind dy, for input rows that no window reaches.
        self.height = self.top + (g.H - 1 + g.top) // g.SH + 1
        self.width = self.left + (g.W - 1 + g.left) // g.SW + 1
        self.bordered = self.top > 0 or self.left > 0 or self.height > g.OH or self.width > g.OW
        if not self.bordered:
            self.width = g.OW
        self.y_image = g.H * g.W * g.C
        self.skips_border = self.bordered
        self.packs = not (runs_pay(&g, lanes_of(self.is_double)) and not self.biased)
        self.plane_count = groups * min(g.SH, g.H) * min(g.SW, g.W)
        self.planes = <Plane *>self.reserve(self.plane_count, sizeof(Plane))
        self.taps = <ptrdiff_t *>self.reserve(self.plane_count * g.KH * g.KW, sizeof(ptrdiff_t))
        if not self.packs:
            self.weight_taps = <ptrdiff_t *>self.reserve(self.plane_count * g.KH * g.KW, sizeof(ptrdiff_t))
        for group in range(groups):
            for a in range(min(g.SH, g.H)):
                for b in range(min(g.SW, g.W)):
                    self.lay_out(&self.planes[p], group, a, b, self.taps + p * g.KH * g.KW)
                    p += 1
        self.plan(operations)

    cdef void lay_out(self, Plane *plane, Py_ssize_t group, Py_ssize_t h, Py_ssize_t w, ptrdiff_t *tap) noexcept nogil:
        # (h, w) is the plane's first input pixel.
        cdef Geometry *g = &self.g
        cdef Py_ssize_t u, v, row, column, rows = 0, columns = 0, merged = 1, Fg = g.F // g.groups
        # A filter row's taps are neighbours in dy, whatever the stride. (For few channels all runs are of one length.)
        cdef bint merge = (self.packs and g.DW == 1 and g.groups == 1
                           and (g.SW == 1 or 2 * g.C > lanes_of(self.is_double)))
        for u in range(g.KH):
            row = tap_shift(u * g.DH, h + g.top, g.SH)
            if row == NO_TAP:
                continue
            rows += 1
            columns, merged = 0, 1
            for v in range(g.KW - 1, -1, -1):       # backwards, so that neighbours in dy follow each other
                column = tap_shift(v * g.DW, w + g.left, g.SW)
                if column == NO_TAP:
                    continue
                if merge and columns:
                    merged += 1
                    continue
                columns += 1
                tap[0] = ((row + self.row_shift) * self.width + column + self.column_shift) * g.F + group * Fg
                if not self.packs:
                    self.weight_taps[tap - self.taps] = (u * g.KW + v) * (g.C // g.groups) * g.F + group * Fg
                tap += 1
        plane.walk.taps = rows * columns
        plane.walk.tap = tap - plane.walk.taps
        plane.walk.run = Fg * merged
        plane.walk.relu = False
        plane.walk.x_pixel = g.F
        plane.walk.y_pixel = g.SW * g.C
        plane.walk.w_step, plane.walk.w_skip = g.F, 0
        plane.rows, plane.columns = (g.H - h + g.SH - 1) // g.SH, (g.W - w + g.SW - 1) // g.SW
        plane.outputs = g.C // g.groups
        plane.y_first = (h * g.W + w) * g.C + group * plane.outputs
        plane.y_row = g.SH * g.W * g.C

    cdef void pack(self) noexcept nogil:
        cdef Py_ssize_t p, group, h, w, phases_h = min(self.g.SH, self.g.H), phases_w = min(self.g.SW, self.g.W)
        for p in range(self.plane_count):
            group, h, w = p // (phases_h * phases_w), p // phases_w % phases_h, p % phases_w
            if self.is_double:
                pack_transposed(self, p, group, h, w, <const double *>self.weight, <double *>self.packed)
            else:
                pack_transposed(self, p, group, h, w, <const float *>self.weight, <float *>self.packed)
            pack_bias(self, p, group)


cdef enum:
    NO_TAP = -(1 << 30)


cdef inline Py_ssize_t tap_shift(Py_ssize_t reach, Py_ssize_t h, Py_ssize_t stride) noexcept nogil:
    """Return the output row that a filter row `reach` below its window's top reads at padded input row h, or NO_TAP."""
    cdef Py_ssize_t distance = reach - h % stride
    if distance % stride != 0:
        return NO_TAP
    return h // stride - distance // stride


cdef void pack_transposed(
    Conv2DBackwardInput self,
    Py_ssize_t p, Py_ssize_t group, Py_ssize_t h, Py_ssize_t w,
    const real_t *weight,           # (KH, KW, Cg, F)                                     IN
    real_t *packed,                 # (blocks, taps, Fg, block)                           OUT
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t Cg = self.planes[p].outputs, Fg = g.F // g.groups, lanes = lanes_of(real_t is double)
    cdef Py_ssize_t c = 0, u, v, f, wide, count
    cdef const real_t *tap
    packed += self.planes[p].weights
    while c < Cg:
        wide = block_width(Cg - c, lanes)
        count = min(wide, Cg - c)
        for u in range(g.KH):
            for v in range(g.KW - 1, -1, -1):
                if tap_shift(u * g.DH, h + g.top, g.SH) == NO_TAP or tap_shift(v * g.DW, w + g.left, g.SW) == NO_TAP:
                    continue
                tap = weight + ((u * g.KW + v) * Cg + c) * g.F + group * Fg
                transpose_rows(tap, count, Fg, g.F, packed, wide)
                if count < wide:
                    for f in range(Fg):
                        memset(packed + f * wide + count, 0, (wide - count) * sizeof(real_t))
                packed += Fg * wide
        c += wide
