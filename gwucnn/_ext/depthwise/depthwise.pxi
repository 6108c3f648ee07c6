# Depthwise convolution, and convolution in groups of few channels, and the input gradient.
#
# The algorithm is that of lanewise.pxi. Weights are used in place if nothing is gathered; otherwise they are copied
# into slots as well, for the input gradient with a channel in each lane.

cdef class DepthwiseSlide(Lanewise):
    """Forward, or the input gradient: one axis for each phase of the stride."""

    cdef Py_ssize_t N, H, W, C      # the source
    cdef Axis *rows
    cdef Axis *columns
    cdef Py_ssize_t row_phases, column_phases
    cdef Py_ssize_t y_rows, y_columns
    cdef Tap *taps                  # (threads, KH*KW*depth)
    cdef bint backward              # whether weights are transposed when they are copied
    cdef void *x
    cdef void *weight
    cdef void *bias
    cdef void *y
    cdef void *packed               # (blocks, KH*KW*depth, width), and (blocks, width) of the bias

    cdef int plan(self) except -1:
        """Divide the work into units and reserve memory, once the axes are known."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t lanes = lanes_of(self.is_double), itemsize = 8 if self.is_double else 4
        cdef Py_ssize_t strip, p, rows = 0, row_bytes = self.W * self.C * itemsize
        cdef Source s
        if self.gathers:
            self.strip_left = self.strip_right = 0
            for p in range(self.column_phases):
                span(&self.columns[p], 0, self.columns[p].count, &self.strip_left, &self.strip_right)
            row_bytes = (self.strip_right - self.strip_left) * self.depth * self.block_slots * lanes * itemsize
        self.cut_rows(self.N, self.y_rows, row_bytes * self.rows[0].source_step // self.rows[0].step)
        self.taps = <Tap *>self.reserve(self.max_threads * g.KH * g.KW * self.depth, sizeof(Tap))
        if self.gathers:
            for strip in range(self.strip_count):
                self.strip_span(strip, &s)
                rows = max(rows, s.bottom - s.top)
            self.strip_size = rows * (row_bytes // itemsize)
            self.strips = self.reserve_reals(self.strip_size * self.max_threads)
            self.packed = self.reserve_reals((g.KH * g.KW * self.depth + 1) * self.width * self.blocks)
        self.units = self.N * self.strip_count * self.blocks
        self.unit_cost = operations_of(g) / max(self.units, 1)
        return 0

    cdef void strip_span(self, Py_ssize_t strip, Source *s) noexcept nogil:
        """Set the source rows that a strip of output rows reads."""
        cdef Py_ssize_t p, first, last
        s.top = s.bottom = 0
        for p in range(self.row_phases):
            outputs_between(&self.rows[p], strip * self.strip_rows, (strip + 1) * self.strip_rows, &first, &last)
            span(&self.rows[p], first, last, &s.top, &s.bottom)

    cdef void prepare(self) noexcept nogil:
        if self.gathers and self.is_double:
            pack_lanes(self, <const double *>self.weight, <const double *>self.bias, <double *>self.packed)
        elif self.gathers:
            pack_lanes(self, <const float *>self.weight, <const float *>self.bias, <float *>self.packed)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            slide_unit(self, index, thread, <const double *>self.x, <double *>self.y)
        else:
            slide_unit(self, index, thread, <const float *>self.x, <float *>self.y)


cdef void pack_lanes(DepthwiseSlide self, const real_t *weight, const real_t *bias, real_t *packed) noexcept nogil:
    """Copy weights and bias to the slots; for the input gradient a lane is a channel, not a filter."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t Cg = g.C // g.groups, Fg = g.F // g.groups, lanes = lanes_of(real_t is double)
    cdef Py_ssize_t block, tap, r, place, f, last = self.slots * lanes - 1
    for block in range(self.blocks):
        for tap in range(g.KH * g.KW):
            for r in range(self.depth):
                for place in range(self.width):
                    f = output_of(self, min(block * self.width + place, last), lanes)
                    if f < 0:
                        packed[place] = 0
                    elif self.backward:
                        packed[place] = weight[(tap * Cg + f % Cg) * g.F + f // Cg * Fg + r]
                    else:
                        packed[place] = weight[(tap * Cg + r) * g.F + f]
                packed += self.width
    if bias != NULL:
        for place in range(self.blocks * self.width):
            f = output_of(self, min(place, last), lanes)
            packed[place] = bias[f] if f >= 0 else 0


cdef void slide_unit(DepthwiseSlide self, Py_ssize_t unit, int thread, const real_t *x, real_t *y) noexcept nogil:
    """Compute a strip of rows of one image, for all outputs or a block of them."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), block = unit % self.blocks, f = block * self.block_slots * lanes
    cdef Py_ssize_t strip = unit // self.blocks % self.strip_count, n = unit // self.blocks // self.strip_count
    cdef Py_ssize_t a, b, first, last, outputs = min(self.outputs - f, self.block_slots * lanes)
    cdef Tap *tap = self.taps + thread * g.KH * g.KW * self.depth
    cdef const real_t *weight = <const real_t *>self.weight
    cdef const real_t *bias = <const real_t *>self.bias
    cdef real_t *scratch = <real_t *>self.strips + thread * self.strip_size
    cdef Source s
    x += n * self.H * self.W * self.C
    y += n * self.y_rows * self.y_columns * self.outputs + f
    if self.gathers:
        self.strip_span(strip, &s)
        s.left, s.right = self.strip_left, self.strip_right
        s.depth = round_up(outputs, lanes)
        s.pixel = self.depth * s.depth
        s.row = (s.right - s.left) * s.pixel
        gather_strip(self, x, self.H, self.W, self.C, block, &s, scratch)
        x = scratch
        weight = <const real_t *>self.packed
        if bias != NULL:
            bias = weight + g.KH * g.KW * self.depth * self.width * self.blocks + f
        weight += g.KH * g.KW * self.depth * f
    else:
        s.top, s.bottom, s.left, s.right = 0, self.H, 0, self.W
        s.row, s.pixel, s.depth = self.W * self.C, self.C, 0
    for a in range(self.row_phases):
        outputs_between(&self.rows[a], strip * self.strip_rows, (strip + 1) * self.strip_rows, &first, &last)
        for b in range(self.column_phases):
            slide_rows(self, &s, &self.rows[a], &self.columns[b], first, last, tap, x, weight, bias, y, outputs)


cdef inline void slide_rows(
    DepthwiseSlide self, const Source *s, const Axis *rows, const Axis *columns,
    Py_ssize_t i, Py_ssize_t last,  # rows of the axis
    Tap *tap,                       # (KH*KW*depth,)                                      OUT
    const real_t *x, const real_t *weight, const real_t *bias,
    real_t *y, Py_ssize_t outputs,
) noexcept nogil:
    cdef Py_ssize_t left, right, top, bottom
    cdef Depth walk = self.walk
    walk.tap = tap
    walk.x_row, walk.x_pixel = rows.source_step * s.row, columns.source_step * s.pixel
    walk.y_row, walk.y_pixel = rows.step * self.y_columns * self.outputs, columns.step * self.outputs
    y += (rows.first * self.y_columns + columns.first) * self.outputs
    outputs_inside(columns, s.left, s.right, &left, &right)
    outputs_inside(rows, s.top, s.bottom, &top, &bottom)
    if (self.square and last - i >= 2 and columns.count >= SQUARE_PIXELS and left < right and top < bottom
            and left <= 1 and right + 1 >= columns.count and top <= i + 1 and bottom + 1 >= last):
        square_rows(self, s, rows, columns, i, last, left, right, top, bottom, &walk, tap, x, weight, bias, y, outputs)
        return
    top, bottom = min(max(top, i), last), max(min(bottom, last), i)
    while i < last:
        slide_row(self, s, rows, columns, i, left, right, &walk, tap, x, weight, bias, y, outputs)
        if not top <= i < bottom:
            slide_edges(self, s, rows, columns, i, i + 1, left, right, &walk, tap, x, weight, bias, y, outputs)
        i += 1
    if top < bottom:
        slide_edges(self, s, rows, columns, top, bottom, left, right, &walk, tap, x, weight, bias, y, outputs)


cdef inline void square_rows(
    DepthwiseSlide self, const Source *s, const Axis *rows, const Axis *columns,
    Py_ssize_t first, Py_ssize_t last,      # rows, at least two
    Py_ssize_t left, Py_ssize_t right,      # columns of which all taps are there: all but one on each side
    Py_ssize_t top, Py_ssize_t bottom,      # ... and rows
    Depth *walk, Tap *tap, const real_t *x, const real_t *weight, const real_t *bias, real_t *y, Py_ssize_t outputs,
) noexcept nogil:
    """Compute rows in pairs; tiles at the border omit the row or column outside."""
    cdef Py_ssize_t i = first, j, at = list_taps(self, s, rows, columns, top, left, tap, &walk.taps)
    cdef int outside
    x += at - top * walk.x_row - left * walk.x_pixel
    while i < last:
        # The last tiles are moved back and repeat some pixels.
        i = min(i, last - 2)
        j = 0
        while j < columns.count:
            j = min(j, columns.count - SQUARE_PIXELS)
            outside = ((OUTSIDE_ABOVE if i < top else 0) | (OUTSIDE_BELOW if i + 2 > bottom else 0)
                       | (OUTSIDE_LEFT if j < left else 0) | (OUTSIDE_RIGHT if j + SQUARE_PIXELS > right else 0))
            depth_square_tile(walk, outside, x + i * walk.x_row + j * walk.x_pixel, weight, bias,
                              y + i * walk.y_row + j * walk.y_pixel, outputs)
            j += SQUARE_PIXELS
        i += 2


cdef inline void slide_edges(
    DepthwiseSlide self, const Source *s, const Axis *rows, const Axis *columns,
    Py_ssize_t first, Py_ssize_t last,      # rows with the same taps
    Py_ssize_t left, Py_ssize_t right,      # columns in between
    Depth *walk, Tap *tap, const real_t *x, const real_t *weight, const real_t *bias, real_t *y, Py_ssize_t outputs,
) noexcept nogil:
    """Compute the columns at the left and right edge, which lack some taps, in vertical tiles."""
    cdef Py_ssize_t at, i, j = 0 if left > 0 else right, m
    cdef Depth upright = walk[0]
    upright.x_pixel, upright.y_pixel = walk.x_row, walk.y_row
    while j < columns.count:
        at = list_taps(self, s, rows, columns, first, j, tap, &upright.taps)
        i = first
        while i < last:
            m = min(last - i, DEPTH_PIXELS)
            depth_tile(<int>m, &upright, x + at + (i - first) * walk.x_row, weight, bias,
                       y + i * walk.y_row + j * walk.y_pixel, outputs)
            i += m
        j = j + 1 if j + 1 != left else right


cdef inline void slide_row(
    DepthwiseSlide self, const Source *s, const Axis *rows, const Axis *columns,
    Py_ssize_t i,                   # row
    Py_ssize_t left, Py_ssize_t right,      # columns of which all taps are there
    Depth *walk, Tap *tap, const real_t *x, const real_t *weight, const real_t *bias, real_t *y, Py_ssize_t outputs,
) noexcept nogil:
    cdef Py_ssize_t j = 0, m
    if left == right:
        return
    x += list_taps(self, s, rows, columns, i, left, tap, &walk.taps)
    y += i * walk.y_row + left * walk.y_pixel
    right -= left
    m = even_share(right, DEPTH_PIXELS)
    while j < right:
        depth_tile(<int>min(m, right - j), walk, x + j * walk.x_pixel, weight, bias, y + j * walk.y_pixel, outputs)
        j += m


cdef class DepthwiseConv2D(DepthwiseSlide):
    """Forward convolution in groups, plus a bias; transforming the weights costs too little to be cached."""

    def __init__(self, x, weight, bias, y, strides, dilation, offset, Py_ssize_t groups, bint constant_weight=False,
                 bint relu=False):
        cdef Geometry g = geometry_of(x.shape, weight.shape, y.shape, strides, dilation, offset, groups)
        self.g = g
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.weight = self.real(weight, g.KH * g.KW * (g.C // groups) * g.F, False)
        if bias is not None:
            self.bias = self.real(bias, g.F, False)
        self.y = self.real(y, g.N * g.OH * g.OW * g.F, True)
        self.out = y
        self.N, self.H, self.W, self.C = g.N, g.H, g.W, g.C
        self.y_rows, self.y_columns = g.OH, g.OW
        self.walk.relu = relu
        self.lay_out(&g, g.C, g.F)
        self.row_phases = self.column_phases = 1
        self.rows = <Axis *>self.reserve(2, sizeof(Axis))
        self.columns = self.rows + 1
        self.rows[0] = forward_axis(g.OH, g.top, g.SH, g.KH, g.DH)
        self.columns[0] = forward_axis(g.OW, g.left, g.SW, g.KW, g.DW)
        self.plan()


cdef class DepthwiseConv2DBackwardInput(DepthwiseSlide):
    """The gradient with respect to the input, or a transposed convolution: see Conv2DBackwardInput, also for phases."""

    def __init__(self, dy, weight, dx, strides, dilation, offset, Py_ssize_t groups, bias=None):
        cdef Geometry g = geometry_of(dx.shape, weight.shape, dy.shape, strides, dilation, offset, groups)
        cdef Py_ssize_t p
        self.g = g
        self.backward = True
        self.x = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.weight = self.real(weight, g.KH * g.KW * (g.C // groups) * g.F, False)
        if bias is not None:
            self.bias = self.real(bias, g.C, False)
        self.y = self.real(dx, g.N * g.H * g.W * g.C, True)
        self.out = dx
        self.N, self.H, self.W, self.C = g.N, g.OH, g.OW, g.F
        self.y_rows, self.y_columns = g.H, g.W
        self.lay_out(&g, g.F, g.C)
        self.row_phases, self.column_phases = min(g.SH, g.H), min(g.SW, g.W)
        self.rows = <Axis *>self.reserve(self.row_phases + self.column_phases, sizeof(Axis))
        self.columns = self.rows + self.row_phases
        for p in range(self.row_phases):
            self.rows[p] = backward_axis(p, g.H, g.top, g.SH, g.KH, g.DH)
        for p in range(self.column_phases):
            self.columns[p] = backward_axis(p, g.W, g.left, g.SW, g.KW, g.DW)
        self.plan()
