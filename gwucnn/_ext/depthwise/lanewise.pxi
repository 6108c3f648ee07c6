# Convolutions in which vectors run over channels: depthwise ones, and those in groups of few channels.
#
# correlate.pxi gives each group its own tiles; with one or two filters in a group most of a vector would be
# empty. Here a vector holds neighbouring outputs of one pixel, whatever their groups, and the sum is lane by lane:
#
#   y[i, j, f] = bias[f] + sum over taps t, r < depth of source[window of (i, j) + t, r, f] * weight[t, r, f]
#
#   forward          source[p, r, f] = x[p, g*C/groups + r], depth = C/groups, g = f // (F/groups)
#   backward_input   source[p, r, c] = dy[p, g*F/groups + r], depth = F/groups, g = c // (C/groups)
#
# With one channel and one filter in each group, source is the images themselves and nothing is copied: windows that
# overlap the border have fewer taps. Otherwise the rows that a unit of work needs are gathered in scratch
# memory, for two vectors of outputs at a time, with the border as zeros: each gathered value serves KH*KW products.

cdef extern from "variants/kernels.h" nogil:
    enum: DEPTH_PIXELS
    enum: SQUARE_PIXELS
    enum: SQUARE_ROWS
    enum: OUTSIDE_ABOVE
    enum: OUTSIDE_BELOW
    enum: OUTSIDE_LEFT
    enum: OUTSIDE_RIGHT
    ctypedef struct Tap:
        Py_ssize_t x, w
    ctypedef struct Depth:
        Py_ssize_t x_row, x_pixel, y_row, y_pixel, taps, w_tap
        const Tap *tap
        int gathered, whole, relu
    void depth_tile(int m, const Depth *d, const void *x, const void *w, const void *bias, void *y,
                    Py_ssize_t outputs)
    void depth_square_tile(const Depth *d, int outside, const void *x, const void *w, const void *bias, void *y,
                           Py_ssize_t outputs)
    void depth_outer_tile(int t, const Depth *d, const Tap *tap, Py_ssize_t pixels, const void *x, const void *y,
                          void *dw, Py_ssize_t outputs)
    void depth_square_outer_tile(const Depth *d, const Tap *tap, const void *x, const void *y, void *dw,
                                 Py_ssize_t outputs)
    void gather(Py_ssize_t pixels, Py_ssize_t depth, Py_ssize_t slots, const void *x, Py_ssize_t x_pixel,
                const Py_ssize_t *begins, const Py_ssize_t *vectors, const void *index, void *out,
                Py_ssize_t out_pixel, Py_ssize_t out_depth)


cdef struct Axis:
    # Output rows (or columns) first, first + step, ...; the window of output i begins at source_first + i*source_step.
    Py_ssize_t first, step, count
    Py_ssize_t source_first, source_step
    Py_ssize_t taps, tap_step       # source rows under one window, and between them
    Py_ssize_t w_first, w_step      # the filter rows that belong to them


cdef struct Source:
    # The source of the windows: an image, or a gathered strip of one. Rows top <= h < bottom exist.
    Py_ssize_t top, bottom, left, right
    Py_ssize_t row, pixel, depth    # numbers between neighbours


cdef inline Axis forward_axis(Py_ssize_t size, Py_ssize_t before, Py_ssize_t stride, Py_ssize_t taps,
                              Py_ssize_t dilation) noexcept nogil:
    cdef Axis axis
    axis.first, axis.step, axis.count = 0, 1, size
    axis.source_first, axis.source_step = -before, stride
    axis.taps, axis.tap_step = taps, dilation
    axis.w_first, axis.w_step = 0, 1
    return axis


cdef inline Axis backward_axis(Py_ssize_t phase, Py_ssize_t size, Py_ssize_t before, Py_ssize_t stride,
                               Py_ssize_t taps, Py_ssize_t dilation) noexcept nogil:
    """Return the axis of the input rows h = phase, phase + stride, ...: their filter rows, in reverse order."""
    cdef Axis axis
    cdef Py_ssize_t u, last = 0
    axis.first, axis.step, axis.count = phase, stride, (size - phase + stride - 1) // stride
    axis.source_first, axis.source_step = 0, 1
    axis.taps, axis.tap_step = 0, 1
    axis.w_first, axis.w_step = 0, 1
    for u in range(taps - 1, -1, -1):
        if (phase + before - u * dilation) % stride != 0:
            continue
        if axis.taps == 0:
            axis.w_first = u
            axis.source_first = (phase + before - u * dilation) // stride
        elif axis.taps == 1:
            axis.w_step = u - last
            axis.tap_step = (last - u) * dilation // stride
        last = u
        axis.taps += 1
    return axis


cdef inline Py_ssize_t ceiling(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    """Return a / b rounded up, or 0 if a is negative."""
    return (a + b - 1) // b if a > 0 else 0


cdef inline void taps_inside(const Axis *axis, Py_ssize_t i, Py_ssize_t low, Py_ssize_t high,
                             Py_ssize_t *first, Py_ssize_t *last) noexcept nogil:
    """Set which taps of output i lie in low <= source < high."""
    cdef Py_ssize_t at = axis.source_first + i * axis.source_step
    first[0] = min(ceiling(low - at, axis.tap_step), axis.taps)
    last[0] = max(min(ceiling(high - at, axis.tap_step), axis.taps), first[0])


cdef inline void outputs_inside(const Axis *axis, Py_ssize_t low, Py_ssize_t high,
                                Py_ssize_t *first, Py_ssize_t *last) noexcept nogil:
    """Set which outputs have all their taps in low <= source < high."""
    cdef Py_ssize_t reach = (axis.taps - 1) * axis.tap_step
    first[0], last[0] = 0, axis.count
    if axis.taps > 0:
        first[0] = min(ceiling(low - axis.source_first, axis.source_step), axis.count)
        last[0] = max(min(ceiling(high - reach - axis.source_first, axis.source_step), axis.count), first[0])


cdef inline void outputs_between(const Axis *axis, Py_ssize_t low, Py_ssize_t high,
                                 Py_ssize_t *first, Py_ssize_t *last) noexcept nogil:
    """Set which outputs i have rows low <= first + i*step < high."""
    first[0] = min(ceiling(low - axis.first, axis.step), axis.count)
    last[0] = min(ceiling(high - axis.first, axis.step), axis.count)


cdef class Lanewise(Step):
    """The base class of the three kernels: the layout of outputs in vectors, and the gathering of strips."""

    cdef Geometry g
    cdef Py_ssize_t depth           # source values that one output sums at each tap
    cdef Py_ssize_t outputs, slots  # of a pixel, and vectors that hold them
    cdef bint gathers               # whether the source is gathered
    cdef Py_ssize_t width           # numbers in one tap's row of weights, of a block if gathered
    cdef bint square                # whether filters are 3x3, side by side, and move by one pixel
    cdef Depth walk
    cdef Py_ssize_t block_slots, blocks     # slots that are gathered at a time
    cdef void *index                # (depth, slots, lanes): of each lane's value in a source pixel, from begins on
    cdef Py_ssize_t *begins         # (depth, slots): where the vectors to load begin
    cdef Py_ssize_t *vectors        # (depth, slots): how many
    cdef void *strips               # (threads, strip_size)
    cdef Py_ssize_t strip_size, strip_left, strip_right
    cdef Py_ssize_t strip_rows, strip_count     # output rows that are a unit of work

    cdef int lay_out(self, const Geometry *g, Py_ssize_t channels, Py_ssize_t outputs) except -1:
        """Assign the outputs of a pixel to slots; `channels` is the number of channels of a source pixel."""
        cdef Py_ssize_t groups = g.groups
        cdef Py_ssize_t lanes = lanes_of(self.is_double), r, s
        self.outputs = outputs
        self.depth = channels // groups
        self.slots = (outputs + lanes - 1) // lanes
        self.walk.whole = outputs >= lanes
        self.gathers = self.depth > 1 or outputs > groups or outputs < lanes
        self.walk.gathered = self.gathers
        self.square = g.KH == g.KW == 3 and g.SH == g.SW == g.DH == g.DW == 1
        self.block_slots, self.blocks = self.slots, 1
        self.width = outputs
        if not self.gathers:
            return 0
        # Square tiles take one vector at a time, so that four gathered rows fit the first-level cache.
        self.block_slots = 1 if self.square else min(self.slots, TILE_VECTORS)
        self.width = self.block_slots * lanes
        self.blocks = (self.slots + self.block_slots - 1) // self.block_slots
        self.index = self.reserve_reals(self.depth * self.slots * lanes)
        self.begins = <Py_ssize_t *>self.reserve(2 * self.depth * self.slots, sizeof(Py_ssize_t))
        self.vectors = self.begins + self.depth * self.slots
        for r in range(self.depth):
            for s in range(self.slots):
                self.index_slot(channels, outputs // groups, r, s)
        return 0

    cdef void index_slot(self, Py_ssize_t channels, Py_ssize_t width, Py_ssize_t r, Py_ssize_t s) noexcept nogil:
        cdef Py_ssize_t lanes = lanes_of(self.is_double), at = r * self.slots + s, lane, f, begin, count
        cdef Py_ssize_t least = output_of(self, s * lanes, lanes) // width * self.depth + r, most = least
        for lane in range(lanes):
            f = output_of(self, s * lanes + lane, lanes)
            if f >= 0:
                most = f // width * self.depth + r
        count = (most - least) // lanes + 1
        begin = min(least, channels - count * lanes)
        if begin < 0:
            begin = count = 0
        self.begins[at], self.vectors[at] = begin, count
        for lane in range(lanes):
            f = output_of(self, s * lanes + lane, lanes)
            f = f // width * self.depth + r - begin if f >= 0 else 0
            if self.is_double:
                (<int64_t *>self.index)[at * lanes + lane] = f
            else:
                (<int32_t *>self.index)[at * lanes + lane] = <int32_t>f

    cdef int cut_rows(self, Py_ssize_t N, Py_ssize_t rows, Py_ssize_t row_bytes) except -1:
        """Divide images into strips of rows that fit the cache and are enough for all threads."""
        cdef Py_ssize_t most = max(STRIP_BYTES // max(row_bytes, 1), 4)
        if self.max_threads > 1 and N * self.blocks < 4 * self.max_threads:
            most = min(most, max(rows // (2 * self.max_threads), 2))
        self.strip_rows = max(min(round_up(most, 2), rows), 1)
        self.strip_count = (rows + self.strip_rows - 1) // self.strip_rows
        return 0


cdef inline Py_ssize_t output_of(Lanewise self, Py_ssize_t place, Py_ssize_t lanes) noexcept nogil:
    """Return the output at a position in the slots, or -1: the last slot ends with the last output."""
    if self.walk.whole and place >= self.outputs // lanes * lanes:
        return place - (self.slots * lanes - self.outputs)
    return place if place < self.outputs else -1


cdef inline void gather_slot(Lanewise self, Py_ssize_t slot, Py_ssize_t pixels, const real_t *x, Py_ssize_t C,
                             const Source *s, real_t *out) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double)
    gather(pixels, self.depth, self.slots, x, C, self.begins + slot, self.vectors + slot,
           <const void *>(<const char *>self.index + slot * lanes * sizeof(real_t)), out, s.pixel, s.depth)


cdef void gather_strip(
    Lanewise self,
    const real_t *image,            # (H, W, C)                                           IN
    Py_ssize_t H, Py_ssize_t W, Py_ssize_t C,
    Py_ssize_t block,
    const Source *s,                # which rows and columns of the image
    real_t *strip,                  # (rows, columns, depth, block slots, lanes)          OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), h, slot
    cdef Py_ssize_t first = min(max(s.left, 0), s.right), last = max(min(W, s.right), first)
    cdef real_t *row
    for h in range(s.top, s.bottom):
        row = strip + (h - s.top) * s.row
        if h < 0 or h >= H:
            memset(row, 0, s.row * sizeof(real_t))
            continue
        memset(row, 0, (first - s.left) * s.pixel * sizeof(real_t))
        memset(row + (last - s.left) * s.pixel, 0, (s.right - last) * s.pixel * sizeof(real_t))
        row += (first - s.left) * s.pixel
        for slot in range(s.depth // lanes):
            gather_slot(self, block * self.block_slots + slot, last - first, image + (h * W + first) * C, C, s,
                        row + slot * lanes)


cdef inline void span(const Axis *axis, Py_ssize_t first, Py_ssize_t last, Py_ssize_t *low,
                      Py_ssize_t *high) noexcept nogil:
    """Extend low <= source < high to what outputs from first to last read; low == high at the start."""
    cdef Py_ssize_t least = axis.source_first + first * axis.source_step
    cdef Py_ssize_t most = axis.source_first + (last - 1) * axis.source_step + (axis.taps - 1) * axis.tap_step + 1
    if first >= last or axis.taps == 0:
        return
    if low[0] == high[0]:
        low[0], high[0] = least, most
    low[0], high[0] = min(low[0], least), max(high[0], most)


cdef inline Py_ssize_t list_taps(
    Lanewise self, const Source *s, const Axis *rows, const Axis *columns, Py_ssize_t i, Py_ssize_t j,
    Tap *tap,                       # (taps,)                                             OUT
    Py_ssize_t *taps,
) noexcept nogil:
    """List the existing taps of output (i, j); return the offset of its window in the source."""
    cdef Py_ssize_t top, bottom, left, right, u, v, r, row, column
    cdef Py_ssize_t h = rows.source_first + i * rows.source_step, w = columns.source_first + j * columns.source_step
    taps_inside(rows, i, s.top, s.bottom, &top, &bottom)
    taps_inside(columns, j, s.left, s.right, &left, &right)
    taps[0] = 0
    for u in range(top, bottom):
        row = rows.w_first + u * rows.w_step
        for v in range(left, right):
            column = columns.w_first + v * columns.w_step
            for r in range(self.depth):
                tap.x = u * rows.tap_step * s.row + v * columns.tap_step * s.pixel + r * s.depth
                tap.w = ((row * self.g.KW + column) * self.depth + r) * self.width
                tap += 1
                taps[0] += 1
    return (h - s.top) * s.row + (w - s.left) * s.pixel
