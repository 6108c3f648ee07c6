# Convolutions of few pixels with many weights, as in the last layers of a network trained with a batch of one.
#
# Packing the weights would take longer than multiplying by them: they are used in place.
#
#   input gradient          dx[p, c] is a product of neighbours in memory, the filters of a tap and channel, with those
#                           of a pixel of dy: lanes run along both (Conv2DBackwardInput, with `run_rows` for its rows)
#   forward                 y[p, :] += x[p, tap, c] * weight[tap, c, :], for a block of channels of one tap and all
#                           pixels for which it is inside the image, then for the next block (Conv2DFewPixels)

cdef extern from "variants/kernels.h" nogil:
    enum: RUN_PIXELS
    enum: RUN_OUTPUTS
    void along_run(int m, const Correlation *c, const ptrdiff_t *w_tap, const void *x, const void *w,
                   Py_ssize_t ahead, void *y)
    void add_rows(int m, int vectors, Py_ssize_t rows, const void *x, const void *w, Py_ssize_t w_step,
                  const void *next, const ptrdiff_t *at, void *y)

# The input gradient of at most so many pixels is computed along runs. With AVX-512, 16 pixels of 512 filters and
# channels take 1.1 ms instead of 2.9, 64 of 256 take 0.8 instead of 1.2, and 256 of 128 gain nothing.
cdef enum:
    RUNS_PIXELS = 256

# Vectors of a sum below which adding up its lanes costs too much.
cdef enum:
    LEAST_RUN = 32

# Rows of weights in a block.
cdef enum:
    BLOCK_ROWS = 32


cdef inline bint runs_pay(const Geometry *g, Py_ssize_t lanes) noexcept nogil:
    cdef Py_ssize_t Fg = g.F // g.groups, Cg = g.C // g.groups
    return (g.N * g.H * g.W <= RUNS_PIXELS and Fg % lanes == 0 and g.KH * g.KW * Fg >= LEAST_RUN * lanes
            and Cg >= RUN_OUTPUTS and 2 * Cg > lanes)


cdef inline void run_rows(
    Correlate self,
    const Plane *plane,
    const RowRange *at,
    const real_t *x,                # window of the first pixel                           IN
    real_t *y, Py_ssize_t y_row,    # first pixel                                         OUT
) noexcept nogil:
    cdef Py_ssize_t f = plane.outputs * at.group // self.block_groups, i, j, m, tile, ahead
    cdef Py_ssize_t last = plane.outputs * (at.group + 1) // self.block_groups
    cdef Correlation walk = plane.walk
    cdef const real_t *w
    cdef const ptrdiff_t *w_tap
    while f < last:
        # The last block is moved back and computes some outputs again.
        f = min(f, last - RUN_OUTPUTS)
        w = <const real_t *>self.weight + f * walk.w_step
        tile = 0
        for i in range(at.rows):
            trim_taps(self, plane, at.first + i, &walk)
            w_tap = self.weight_taps + (walk.tap - self.taps)
            j = 0
            while j < at.columns:
                m = min(at.columns - j, RUN_PIXELS)
                # The first tiles ask for the next block's weights, two outputs each.
                ahead = (RUN_OUTPUTS + 2 * tile) * walk.w_step if 2 * tile < RUN_OUTPUTS else 0
                run_tile(<int>m, &walk, w_tap, x + i * at.x_row + j * walk.x_pixel, w, ahead,
                         y + i * y_row + j * walk.y_pixel + f)
                tile += 1
                j += m
        f += RUN_OUTPUTS


cdef inline void run_tile(int m, const Correlation *walk, const ptrdiff_t *w_tap, const real_t *x, const real_t *w,
                          Py_ssize_t ahead, real_t *y) noexcept nogil:
    along_run(m, walk, w_tap, x, w, ahead, y)


cdef class Conv2DFewPixels(Step):
    """Forward convolution for a whole number of vectors of filters; see Conv2D for the arguments."""

    cdef Geometry g
    cdef bint relu
    cdef Py_ssize_t *counts         # (KH*KW,)
    cdef ptrdiff_t *from_x          # (KH*KW, pixels): where each tap finds its values, in x
    cdef ptrdiff_t *to_y            # ... and the outputs that they belong to
    cdef void *x
    cdef void *weight
    cdef void *bias
    cdef void *y
    cdef void *values               # (units, BLOCK_ROWS, pixels)

    def __init__(self, x, weight, bias, y, strides, dilation, offset, bint relu=False):
        cdef Geometry g = geometry_of(x.shape, weight.shape, y.shape, strides, dilation, offset, 1)
        cdef Py_ssize_t pixels = g.N * g.OH * g.OW
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.weight = self.real(weight, g.KH * g.KW * g.C * g.F, False)
        if bias is not None:
            self.bias = self.real(bias, g.F, False)
        self.y = self.real(y, pixels * g.F, True)
        self.out = y
        if g.F % lanes_of(self.is_double):
            raise ValueError(f"Conv2DFewPixels: expected whole vectors of filters, got {g.F}")
        self.g = g
        self.relu = relu
        self.counts = <Py_ssize_t *>self.reserve(g.KH * g.KW, sizeof(Py_ssize_t))
        self.from_x = <ptrdiff_t *>self.reserve(g.KH * g.KW * pixels, sizeof(ptrdiff_t))
        self.to_y = <ptrdiff_t *>self.reserve(g.KH * g.KW * pixels, sizeof(ptrdiff_t))
        self.list_pixels()
        self.units = min(self.max_threads, g.F // lanes_of(self.is_double))
        self.values = self.reserve_reals(self.units * BLOCK_ROWS * pixels)
        self.unit_cost = operations_of(&g) / self.units

    cdef void list_pixels(self) noexcept nogil:
        """List for each tap the outputs for which it is inside the image."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t pixels = g.N * g.OH * g.OW, tap, n, i, j, h, w, count
        for tap in range(g.KH * g.KW):
            count = tap * pixels
            for n in range(g.N):
                for i in range(g.OH):
                    for j in range(g.OW):
                        h = i * g.SH + tap // g.KW * g.DH - g.top
                        w = j * g.SW + tap % g.KW * g.DW - g.left
                        if 0 <= h < g.H and 0 <= w < g.W:
                            self.from_x[count] = ((n * g.H + h) * g.W + w) * g.C
                            self.to_y[count] = ((n * g.OH + i) * g.OW + j) * g.F
                            count += 1
            self.counts[tap] = count - tap * pixels

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            few_pixels(self, index, <double *>self.x, <double *>self.weight, <double *>self.bias, <double *>self.y)
        else:
            few_pixels(self, index, <float *>self.x, <float *>self.weight, <float *>self.bias, <float *>self.y)


cdef void few_pixels(Conv2DFewPixels self, Py_ssize_t unit, const real_t *x, const real_t *weight, const real_t *bias,
                     real_t *y) noexcept nogil:
    """Compute a range of filters of all pixels."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), pixels = g.N * g.OH * g.OW, vectors = g.F // lanes
    cdef Py_ssize_t first = vectors * unit // self.units * lanes, last = vectors * (unit + 1) // self.units * lanes
    cdef Py_ssize_t p, f, tap, c
    for p in range(pixels):
        for f in range(first, last):
            y[p * g.F + f] = bias[f] if bias != NULL else 0
    for tap in range(g.KH * g.KW):
        for c in range(0, g.C, 32):  # BLOCK_ROWS, which a loop takes only as a number
            few_pixels_block(self, unit, tap, c, first, last, x, weight, y)
    if self.relu:
        for p in range(pixels):
            relu_range(y, y, p * g.F + first, p * g.F + last)


cdef inline void few_pixels_block(
    Conv2DFewPixels self, Py_ssize_t unit, Py_ssize_t tap, Py_ssize_t c,
    Py_ssize_t first, Py_ssize_t last,      # filters
    const real_t *x, const real_t *weight, real_t *y,
) noexcept nogil:
    """Add the products of a block of channels of one tap."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), pixels = g.N * g.OH * g.OW, count = self.counts[tap]
    cdef Py_ssize_t rows = min(BLOCK_ROWS, g.C - c), each = even_share(count, TILE_PIXELS)
    cdef Py_ssize_t p, m, r, k, f, vectors
    cdef const ptrdiff_t *at = self.from_x + tap * pixels
    cdef const ptrdiff_t *to = self.to_y + tap * pixels
    cdef real_t *values = <real_t *>self.values + unit * BLOCK_ROWS * pixels
    cdef const real_t *w = weight + (tap * g.C + c) * g.F
    cdef const real_t *next_rows = w + rows * (g.F + first)
    p = 0
    while p < count:
        m = min(each, count - p)
        for k in range(m):
            for r in range(rows):
                values[p * rows + r * m + k] = x[at[p + k] + c + r]
        p += m
    f = first
    while f < last:
        vectors = min((last - f) // lanes, TILE_VECTORS)
        p = 0
        while p < count:
            m = min(each, count - p)
            add_rows(<int>m, <int>vectors, rows, values + p * rows, w + f, g.F, next_rows, to + p, y + f)
            p += m
        next_rows += rows * vectors * lanes
        f += vectors * lanes
