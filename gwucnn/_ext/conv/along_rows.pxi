# Register tiles along the rows of a plane, the innermost part of correlate.pxi.

cdef extern from "variants/kernels.h" nogil:
    void correlate_tile(int m, const Correlation *c, const void *x, const void *w, const void *bias, void *y,
                        Py_ssize_t lanes)
    void correlate_tile_ahead(int m, const Correlation *c, const void *x, const void *w, const void *bias, void *y,
                              Py_ssize_t lanes, Py_ssize_t ahead)


cdef inline void correlate_rows(
    Correlate self,
    const Plane *plane,
    const RowRange *at,
    const real_t *x,                # window of the first pixel                           IN
    real_t *y, Py_ssize_t y_row,    # first pixel                                         OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), block = TILE_VECTORS * lanes
    cdef Py_ssize_t blocks = (plane.outputs + block - 1) // block
    cdef Py_ssize_t b, f, i, j, left, skipped
    # Even tiles: 26 columns as 13 + 13, not 14 + 12, keeps each above the latency of a multiply-add.
    cdef Py_ssize_t m = even_share(at.columns, TILE_PIXELS)
    cdef const real_t *w
    cdef const real_t *bias
    cdef Correlation walk = plane.walk
    cdef Py_ssize_t next_block = plane.walk.taps * plane.walk.run * block if self.packs else 0
    if next_block * <Py_ssize_t>sizeof(real_t) > AHEAD_BYTES:
        next_block = 0
    for b in range(at.group * blocks // self.block_groups, (at.group + 1) * blocks // self.block_groups):
        f = b * block
        left = plane.outputs - f
        w = weights_of(self, plane, f, &walk, <const real_t *>self.weight)
        bias = bias_of(self, plane, f, <const real_t *>self.bias)
        for i in range(at.rows):
            skipped = trim_taps(self, plane, at.first + i, &walk) * walk.run * walk.w_step
            j = 0
            while j < at.columns:
                # The last tile asks for the next block's weights, so that the first one there need not wait for them.
                correlate_tile_ahead(
                    <int>min(m, at.columns - j), &walk, x + i * at.x_row + j * walk.x_pixel, w + skipped, bias,
                    y + i * y_row + j * walk.y_pixel + f, min(left, block),
                    next_block if i == at.rows - 1 and j + m >= at.columns and left > block else 0)
                j += m


cdef inline Py_ssize_t trim_taps(Correlate self, const Plane *plane, Py_ssize_t row, Correlation *walk) noexcept nogil:
    """Exclude the taps of output row `row` in the border above or below; return the first of the others.

    A padded 3x3 convolution of 4 rows meets 10 rows in 12; taps go downwards, or upwards in the input gradient.
    """
    cdef Py_ssize_t first = 0, last = plane.walk.taps, source_row = self.width * self.C
    cdef Py_ssize_t above = (self.top - row * self.row_step) * source_row, below = above + self.H * source_row
    if not self.skips_border:
        return 0
    while first < last and not above <= plane.walk.tap[first] < below:
        first += 1
    while first < last and not above <= plane.walk.tap[last - 1] < below:
        last -= 1
    walk.tap, walk.taps = plane.walk.tap + first, last - first
    return first


cdef inline const real_t *weights_of(Correlate self, const Plane *plane, Py_ssize_t f, Correlation *walk,
                                     const real_t *weight) noexcept nogil:
    """Return the address of the weights of the block of outputs from f on, and set the distance between their rows."""
    cdef Py_ssize_t lanes = lanes_of(real_t is double)
    if not self.packs:
        # plane.bias counts outputs as if rounded up to vectors; weights used in place need no rounding.
        return weight + plane.bias + f
    walk.w_step = block_width(plane.outputs - f, lanes)
    return <const real_t *>self.packed + plane.weights + f * plane.walk.taps * plane.walk.run


cdef inline const real_t *bias_of(Correlate self, const Plane *plane, Py_ssize_t f,
                                  const real_t *bias) noexcept nogil:
    """Return the biases of the block of outputs from f on, readable as whole vectors, or NULL."""
    if not self.biased:
        return NULL
    return (<const real_t *>self.packed_bias if self.packs else bias) + plane.bias + f


cdef inline Py_ssize_t block_width(Py_ssize_t left, Py_ssize_t lanes) noexcept nogil:
    """Return how many columns a block of packed weights has when `left` outputs remain: one vector, or two."""
    return lanes if left <= lanes else TILE_VECTORS * lanes
