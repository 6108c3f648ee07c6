# Few outputs per pixel: variants of correlate.pxi for where lanes over outputs would be idle.
#
#   DOT      runs of at least a vector (many channels): lanes run along a run, and a tile of pixels by 1 to 3 outputs
#            adds up its lanes at the end
#   SPREAD   short runs (few channels), outputs of a row side by side in memory: lanes run along the row of outputs.
#            The source is copied with each value as often as there are outputs, one plane a channel:
#
#                copy[row, c, s, w*O + o] = source[row, w*S + s, c]        S columns from one pixel's window to the next
#
#            so that element p of an output row needs element p + tap of the copy, for all p. Nothing is copied for one
#            channel and one output, the network of the slides.
#
# SPREAD sums in the same order as correlate_tile and gives the same bits.

cdef extern from "variants/kernels.h" nogil:
    void dot_row(int outputs, Py_ssize_t columns, const Correlation *c, const void *x, const void *w,
                 const void *bias, void *y)
    void spread_rows(Py_ssize_t rows, const Correlation *c, const ptrdiff_t *at, const void *x, const void *w,
                     void *y, Py_ssize_t y_row)


cdef enum:
    NOT_FEW = 0
    DOT = 1
    SPREAD = 2


cdef int few_method(Correlate self, Py_ssize_t lanes) noexcept nogil:
    cdef const Plane *plane = &self.planes[0]
    if 2 * plane.outputs > lanes:
        return NOT_FEW
    if plane.walk.run >= lanes:
        return DOT
    if self.plane_count > 1 or plane.walk.y_pixel != plane.outputs or self.row_pixels * plane.outputs < lanes:
        return NOT_FEW
    # Spreading, and pooling afterwards, cost most with many outputs: 8 filters of 3 channels gain nothing, nor do
    # 4 of one channel before pooling (measured with AVX-512). The bits are the same either way.
    if self.flat_pixels or (self.C > 1 and 4 * plane.outputs > lanes):
        return NOT_FEW
    return NOT_FEW if self.row_pixels > plane.columns and 4 * plane.outputs >= lanes else SPREAD


cdef void plan_spread(Correlate self) noexcept nogil:
    cdef const Plane *plane = &self.planes[0]
    cdef Spread *s = &self.few.spread
    s.H, s.W, s.C, s.width, s.top, s.left = self.H, self.W, self.C, self.width, self.top, self.left
    s.bordered = self.bordered
    set_spread(s, plane.walk.x_pixel // self.C, plane.outputs)
    self.few.pitch = s.pitch
    self.few.weight_shifts = 1 if lanes_of(self.is_double) % plane.outputs == 0 else plane.outputs


cdef int reserve_few(Correlate self, Py_ssize_t lanes, Py_ssize_t weights) except -1:
    """Reserve memory for the weights, of which the engine holds `weights` in rows of a vector."""
    cdef const Plane *plane = &self.planes[0]
    cdef Py_ssize_t run = plane.walk.run, depth = plane.walk.taps * run, t, r, place
    if self.few.method == DOT:
        self.few.weights = self.reserve_reals(weights // run * ((run + lanes - 1) // lanes) * plane.outputs)
        return 0
    self.few.weights = self.reserve_reals(self.few.weight_shifts * (1 + depth) * lanes)
    self.few.tap = <ptrdiff_t *>self.reserve(depth, sizeof(ptrdiff_t))
    for t in range(plane.walk.taps):
        for r in range(run):
            place = plane.walk.tap[t] + r
            self.few.tap[t * run + r] = spread_place(&self.few.spread, place // (self.width * self.C),
                                                     place // self.C % self.width, place % self.C)
    return 0


cdef void pack_few(Correlate self, const real_t *packed, const real_t *bias) noexcept nogil:
    """Reorder the weights from rows of one vector, as in correlate.pxi, to the order of the tiles."""
    cdef real_t *to = <real_t *>self.few.weights
    cdef Py_ssize_t p
    if self.few.method == SPREAD:
        pack_spread(self, packed, bias, to)
        return
    for p in range(self.plane_count):
        to += pack_dots(&self.planes[p], packed + self.planes[p].weights, to)


cdef Py_ssize_t pack_dots(
    const Plane *plane,
    const real_t *packed,           # (taps, run, lanes): weights of an output in a lane  IN
    real_t *to,                     # (blocks, taps, vectors of the run, outputs of the block, lanes)     OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), run = plane.walk.run, whole = run // lanes * lanes
    cdef Py_ssize_t o = 0, t, r, b, k, first, block
    cdef const real_t *tap
    cdef real_t *begin = to
    while o < plane.outputs:
        block = dot_block(plane.outputs - o)
        for t in range(plane.walk.taps):
            tap = packed + t * run * lanes + o
            r = 0
            while r < run:
                # The last vector ends with the run; what was there before counts no second time.
                first = r if r < whole else run - lanes
                for b in range(block):
                    for k in range(lanes):
                        to[k] = tap[(first + k) * lanes + b] if first + k >= r else 0
                    to += lanes
                r += lanes
        o += block
    return to - begin


cdef inline Py_ssize_t dot_block(Py_ssize_t left) noexcept nogil:
    """Return how many outputs the next tile takes when `left` remain: 1 to 3, and 4 as 2 + 2."""
    return 3 if left == 3 or left > 4 else min(left, 2)


cdef void pack_spread(
    Correlate self,
    const real_t *packed,           # (KH*KW*C, lanes)                                    IN
    const real_t *bias,             # (lanes,) or NULL                                    IN
    real_t *to,                     # (turns, 1 + KH*KW*C, lanes): biases, then weights   OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), outputs = self.planes[0].outputs
    cdef Py_ssize_t depth = self.planes[0].walk.taps * self.planes[0].walk.run, turn, k, l
    for turn in range(self.few.weight_shifts):
        for l in range(lanes):
            to[l] = bias[(turn + l) % outputs] if self.biased else 0
        to += lanes
        for k in range(depth):
            for l in range(lanes):
                to[l] = packed[k * lanes + (turn + l) % outputs]
            to += lanes


cdef inline void dot_rows(Correlate self, const Plane *plane, const RowRange *at, const real_t *x, real_t *y,
                          Py_ssize_t y_row) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), run = plane.walk.run, i, o, block, skipped
    cdef Py_ssize_t vectors = (run + lanes - 1) // lanes
    cdef const real_t *plane_weights = (<const real_t *>self.few.weights
                                        + plane.weights // run * vectors * plane.outputs)
    cdef const real_t *w
    cdef const real_t *bias = NULL
    cdef Correlation walk = plane.walk
    for i in range(at.rows):
        w = plane_weights
        skipped = trim_taps(self, plane, at.first + i, &walk)
        o = 0
        while o < plane.outputs:
            block = dot_block(plane.outputs - o)
            if self.biased:
                bias = <const real_t *>self.packed_bias + plane.bias + o
            dot_row(<int>block, at.columns, &walk, x + i * at.x_row,
                    w + skipped * vectors * block * lanes, bias, y + i * y_row + o)
            w += plane.walk.taps * vectors * block * lanes
            o += block


cdef inline void spread_stretch(Correlate self, const Plane *plane, const RowRange *at, const real_t *x, real_t *y,
                                Py_ssize_t y_row) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), length = at.columns * plane.outputs, p
    cdef Py_ssize_t depth = plane.walk.taps * plane.walk.run
    cdef ptrdiff_t begin[2]
    cdef const real_t *w[2]
    cdef Correlation walk
    walk.tap, walk.taps, walk.x_row = self.few.tap, depth, at.x_row
    p = 0
    while p < length:
        # The last vectors end with the row and compute some outputs again.
        begin[0], begin[1] = min(p, length - lanes), min(p + lanes, length - lanes)
        w[0] = <const real_t *>self.few.weights + begin[0] % self.few.weight_shifts * (1 + depth) * lanes
        w[1] = <const real_t *>self.few.weights + begin[1] % self.few.weight_shifts * (1 + depth) * lanes
        spread_rows(at.rows, &walk, begin, x, w, y, y_row)
        p += 2 * lanes
