# The gradient with respect to the weights of a depthwise convolution, or one in groups of few channels.
#
#   dweight[t, r, f] (+)= sum over n, i, j of source[window of (i, j) + t, r, f] * dy[n, i, j, f]
#
# with the source of lanewise.pxi. Sums of one unit of work, a strip of an image, are kept in the first-level cache and
# then added to those of the thread's earlier units: many pixels are summed in two steps, which loses fewer digits than
# one running sum. Units are divided evenly among threads, and the shares' sums are added in order: bits depend on the
# number of threads, but on nothing else.

# Pixels of a row that are processed with one set of taps at a time: they stay in the first-level cache for the next.
cdef enum:
    OUTER_PIXELS = 14


cdef class DepthwiseConv2DBackwardWeight(Lanewise):
    """The gradient with respect to the weights; written to `dweight`, or added if `accumulate`."""

    cdef Axis rows, columns
    cdef bint accumulate
    cdef Py_ssize_t shares, pieces  # parts of the work, and units in all of it
    cdef Py_ssize_t first, last     # units at work
    cdef Py_ssize_t sums            # numbers in the sums of all taps
    cdef Tap *taps                  # (shares, KH*KW*depth)
    cdef void *partial              # (shares, 2, blocks, KH*KW*depth, width): of all units, and of one
    cdef void *gradients            # (shares, OW, lanes): a row of dy where a pixel is less than a vector
    cdef void *x
    cdef void *dy
    cdef void *dweight

    def __init__(self, x, dy, dweight, strides, dilation, offset, Py_ssize_t groups, bint accumulate):
        cdef Geometry g = geometry_of(x.shape, dweight.shape, dy.shape, strides, dilation, offset, groups)
        self.g = g
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.dweight = self.real(dweight, g.KH * g.KW * (g.C // groups) * g.F, True)
        self.out = dweight
        self.accumulate = accumulate
        self.lay_out(&g, g.C, g.F)
        self.rows = forward_axis(g.OH, g.top, g.SH, g.KH, g.DH)
        self.columns = forward_axis(g.OW, g.left, g.SW, g.KW, g.DW)
        self.cut()

    cdef int cut(self) except -1:
        """Divide the work into units and the units into shares, and reserve memory."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t lanes = lanes_of(self.is_double), itemsize = 8 if self.is_double else 4
        cdef Py_ssize_t row = g.W * g.C, taps = g.KH * g.KW * self.depth
        self.width = self.block_slots * lanes
        self.sums = taps * self.width * self.blocks
        if self.gathers:
            span(&self.columns, 0, g.OW, &self.strip_left, &self.strip_right)
            row = (self.strip_right - self.strip_left) * self.depth * self.block_slots * lanes
        self.cut_rows(g.N, g.OH, row * itemsize * g.SH)
        self.pieces = g.N * self.strip_count * self.blocks
        self.shares = max(min(self.max_threads, self.pieces), 1)
        self.taps = <Tap *>self.reserve(self.shares * taps, sizeof(Tap))
        self.partial = self.reserve_reals(self.shares * 2 * self.sums + self.shares * g.OW * lanes)
        if self.is_double:
            self.gradients = <double *>self.partial + self.shares * 2 * self.sums
        else:
            self.gradients = <float *>self.partial + self.shares * 2 * self.sums
        if self.gathers:
            self.strip_size = ((self.strip_rows - 1) * g.SH + (g.KH - 1) * g.DH + 1) * row
            self.strips = self.reserve_reals(self.strip_size * self.shares)
        self.units = max(self.pieces, 1)        # an empty batch has a gradient too: zero
        self.unit_cost = operations_of(g) / self.units
        return 0

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4
        if first == 0 and not self.accumulate:
            memset(self.dweight, 0, self.g.KH * self.g.KW * self.depth * self.outputs * itemsize)
        self.first, self.last = first, min(last, self.pieces)
        self.split_among_threads(0, 0, self.shares, threads)
        if self.is_double:
            add_shares(self, <const double *>self.partial, <double *>self.dweight)
        else:
            add_shares(self, <const float *>self.partial, <float *>self.dweight)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            depth_weight_share(self, index, <double *>self.partial)
        else:
            depth_weight_share(self, index, <float *>self.partial)


cdef void add_shares(DepthwiseConv2DBackwardWeight self, const real_t *partial, real_t *dweight) noexcept nogil:
    # The last slot ends with the last output: what it repeats of the previous slot is omitted.
    cdef Py_ssize_t lanes = lanes_of(real_t is double), share, block, tap, f, outputs, whole, moved
    for share in range(self.shares):
        for block in range(self.blocks):
            f = block * self.width
            outputs = min(self.outputs - f, self.width)
            whole = outputs // lanes * lanes
            moved = round_up(outputs, lanes) - outputs if self.walk.whole else 0
            for tap in range(self.g.KH * self.g.KW * self.depth):
                add_to(dweight + tap * self.outputs + f, partial, whole)
                add_to(dweight + tap * self.outputs + f + whole, partial + whole + moved, outputs - whole)
                partial += self.width
        partial += self.sums


cdef void depth_weight_share(DepthwiseConv2DBackwardWeight self, Py_ssize_t share, real_t *total) noexcept nogil:
    cdef Py_ssize_t unit, at, units = self.last - self.first, some = self.sums // self.blocks
    cdef real_t *sums
    total += share * 2 * self.sums
    sums = total + self.sums
    memset(total, 0, self.sums * sizeof(real_t))
    for unit in range(self.first + units * share // self.shares, self.first + units * (share + 1) // self.shares):
        at = unit % self.blocks * some
        memset(sums + at, 0, some * sizeof(real_t))
        depth_weight_unit(self, share, unit, <const real_t *>self.x, <const real_t *>self.dy, sums + at)
        add_to(total + at, sums + at, some)


cdef void depth_weight_unit(DepthwiseConv2DBackwardWeight self, Py_ssize_t share, Py_ssize_t unit, const real_t *x,
                            const real_t *dy, real_t *sums) noexcept nogil:
    """Sum over a strip of one image, for all outputs or a block of them."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), block = unit % self.blocks, f = block * self.block_slots * lanes
    cdef Py_ssize_t strip = unit // self.blocks % self.strip_count, n = unit // self.blocks // self.strip_count
    cdef Py_ssize_t outputs = min(self.outputs - f, self.block_slots * lanes), i = strip * self.strip_rows, left, right
    cdef Py_ssize_t last = min(i + self.strip_rows, g.OH), top, bottom, some
    cdef real_t *scratch = <real_t *>self.strips + share * self.strip_size
    cdef Source s
    cdef bint square = self.square and self.walk.whole
    x += n * g.H * g.W * g.C
    if self.gathers:
        s.top = s.bottom = 0
        span(&self.rows, i, last, &s.top, &s.bottom)
        s.left, s.right = self.strip_left, self.strip_right
        s.depth = round_up(outputs, lanes)
        s.pixel = self.depth * s.depth
        s.row = (s.right - s.left) * s.pixel
        gather_strip(self, x, g.H, g.W, g.C, block, &s, scratch)
        x = scratch
    else:
        s.top, s.bottom, s.left, s.right = 0, g.H, 0, g.W
        s.row, s.pixel, s.depth = g.W * g.C, g.C, 0
    outputs_inside(&self.columns, s.left, s.right, &left, &right)
    outputs_inside(&self.rows, s.top, s.bottom, &top, &bottom)
    dy += n * g.OH * g.OW * g.F + f
    top, bottom = min(max(top, i), last), max(min(bottom, last), i)
    while i < last:
        some = SQUARE_ROWS if square and top <= i and i + SQUARE_ROWS <= bottom else 0
        depth_weight_row(self, share, &s, i, some, top <= i < bottom, left, right, x, dy, sums, outputs)
        i += max(some, 1)
    if top < bottom and self.walk.whole:
        depth_weight_edges(self, share, &s, top, bottom, left, right, x, dy, sums, outputs)


cdef inline Depth outer_walk(DepthwiseConv2DBackwardWeight self, const Source *s) noexcept nogil:
    cdef Depth walk = self.walk
    walk.w_tap = self.width
    walk.x_row, walk.x_pixel = self.g.SH * s.row, self.g.SW * s.pixel
    walk.y_row, walk.y_pixel = self.g.OW * self.g.F, self.g.F
    return walk


cdef inline void depth_weight_edges(
    DepthwiseConv2DBackwardWeight self, Py_ssize_t share, const Source *s,
    Py_ssize_t first, Py_ssize_t last,      # rows of which all taps are there
    Py_ssize_t left, Py_ssize_t right,      # columns in between
    const real_t *x, const real_t *dy, real_t *sums, Py_ssize_t outputs,
) noexcept nogil:
    """Sum over the columns at the left and right edge, which lack some taps, each from top to bottom."""
    cdef Py_ssize_t j = 0 if left > 0 else right
    cdef Depth walk = outer_walk(self, s)
    dy += first * walk.y_row
    while j < self.g.OW:
        walk.x_pixel = walk.x_row
        depth_weight_pixels(self, share, s, &walk, walk.y_row, first, j, last - first, False, x, dy + j * self.g.F, sums,
                            outputs)
        j = j + 1 if j + 1 != left else right


cdef inline void depth_weight_row(
    DepthwiseConv2DBackwardWeight self, Py_ssize_t share, const Source *s,
    Py_ssize_t i, Py_ssize_t square,        # rows of square tiles, or 0
    bint inside,                            # whether all taps are there, so that edges are done by themselves
    Py_ssize_t left, Py_ssize_t right,      # columns of which all taps are there
    const real_t *x, const real_t *dy, real_t *sums, Py_ssize_t outputs,
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), j = 0, k, some, at, taps
    cdef Geometry *g = &self.g
    cdef Tap *tap = self.taps + share * g.KH * g.KW * self.depth
    cdef real_t *wide = <real_t *>self.gradients + share * g.OW * lanes
    cdef Depth walk = outer_walk(self, s)
    cdef Py_ssize_t y_pixel = walk.y_pixel
    dy += i * walk.y_row
    if not walk.whole:
        pad_filters(dy, wide, g.OW, g.F, lanes)
        dy = wide
        y_pixel, inside = lanes, False
    if square and right - left >= 4:
        at = list_taps(self, s, &self.rows, &self.columns, i, left, tap, &walk.taps) - left * walk.x_pixel
        j = left
        while j + 4 <= right:
            depth_square_outer_tile(&walk, tap, x + at + j * walk.x_pixel, dy + j * g.F, sums, outputs)
            j += 4
    elif inside:
        j = left
    while j < g.OW:
        some = min(right - j, OUTER_PIXELS) if left <= j < right else 1
        if inside and j >= right:
            break
        for k in range(max(square, 1)):
            depth_weight_pixels(self, share, s, &walk, y_pixel, i + k, j, some, left <= j < right, x,
                                dy + k * walk.y_row + j * y_pixel, sums, outputs)
        j += some


cdef inline void depth_weight_pixels(
    DepthwiseConv2DBackwardWeight self, Py_ssize_t share, const Source *s, const Depth *walk, Py_ssize_t y_pixel,
    Py_ssize_t i, Py_ssize_t j, Py_ssize_t pixels, bint inside,
    const real_t *x, const real_t *dy, real_t *sums, Py_ssize_t outputs,
) noexcept nogil:
    """Sum over pixels with the same taps, in tiles of taps that are consecutive in memory."""
    cdef Geometry *g = &self.g
    cdef Tap *tap = self.taps + share * g.KH * g.KW * self.depth
    cdef Py_ssize_t taps, run, top, bottom, t, k, m
    cdef Depth steps = walk[0]
    steps.y_pixel = y_pixel
    x += list_taps(self, s, &self.rows, &self.columns, i, j, tap, &taps)
    taps_inside(&self.rows, i, s.top, s.bottom, &top, &bottom)
    # For windows that overlap the left or right border, only parts of a filter row are consecutive.
    run = taps if inside else taps // max(bottom - top, 1)
    if run == 0:
        return
    m = even_share(run, DEPTH_PIXELS)
    t = 0
    while t < taps:
        k = 0
        while k < run:
            depth_outer_tile(<int>min(m, run - k), &steps, tap + t + k, pixels, x, dy, sums + tap[t + k].w, outputs)
            k += m
        t += run
