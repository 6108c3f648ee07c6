# The gradient by the weights in Winograd's form.
#
#   V[e, t, c] = B^T d B of the pixels, Z[e, t, f] = A dy A^T of the gradients of each tile t of 4x4 outputs
#   S[e, c, f] = sum over tiles t of V[e, t, c] * Z[e, t, f]     36 matrix products, by the register tile of tile.h
#   dweight (+)= G^T S G
#
# Tiles are taken in blocks as large as the cache bears, since S is read and written once a block. Threads share out
# the tiles of a block, then the elements: no sum is split by their number.

# Bytes of V and Z in a block.
cdef Py_ssize_t BLOCK_BYTES = 1 << 22

# The phases of a block.
cdef enum:
    TRANSFORM
    MULTIPLY


cdef class WinogradConv2DBackwardWeight(Step):
    """For 3x3 filters and stride 1; written to `dweight`, or added if `accumulate`."""

    cdef Geometry g
    cdef bint accumulate
    cdef Py_ssize_t tile_rows, tile_columns, tiles, block
    cdef Py_ssize_t first, count    # tiles at work
    cdef void *x
    cdef void *dy
    cdef void *dweight
    cdef void *images               # V, (36, block, C)
    cdef void *gradients            # Z, (36, block, F)
    cdef void *sums                 # S, (36, C, F)
    cdef void *patches              # (threads, 36, max(C, F))

    def __init__(self, x, dy, dweight, offset, bint accumulate):
        cdef Geometry g = geometry_of(x.shape, dweight.shape, dy.shape, (1, 1), (1, 1), offset, 1)
        cdef Py_ssize_t lanes, itemsize
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.dweight = self.real(dweight, 9 * g.C * g.F, True)
        self.out = dweight
        self.accumulate = accumulate
        self.g = g
        lanes, itemsize = lanes_of(self.is_double), 8 if self.is_double else 4
        if g.KH != 3 or g.KW != 3 or g.C % lanes or g.F % lanes:
            raise ValueError("Winograd: expected 3x3 filters, channels and filters in whole vectors")
        self.tile_rows, self.tile_columns = (g.OH + 3) // 4, (g.OW + 3) // 4
        self.tiles = g.N * self.tile_rows * self.tile_columns
        self.block = BLOCK_BYTES // (ELEMENTS_OF_TILE * (g.C + g.F) * itemsize)
        self.block = min(max(self.block, 64), max(self.tiles, 1))
        self.images = self.reserve_reals(ELEMENTS_OF_TILE * self.block * g.C)
        self.gradients = self.reserve_reals(ELEMENTS_OF_TILE * self.block * g.F)
        self.sums = self.reserve_reals(ELEMENTS_OF_TILE * g.C * g.F)
        self.patches = self.reserve_reals(self.max_threads * ELEMENTS_OF_TILE * max(g.C, g.F))
        self.units = max((self.tiles + self.block - 1) // self.block, 1)
        self.unit_cost = 2.0 * ELEMENTS_OF_TILE * self.block * g.C * g.F

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t unit
        if first == 0:
            memset(self.sums, 0, ELEMENTS_OF_TILE * self.g.C * self.g.F * (8 if self.is_double else 4))
        for unit in range(first, last):
            self.first = unit * self.block
            self.count = min(self.block, self.tiles - self.first)
            self.share_out(TRANSFORM, 0, self.count, threads)
            self.share_out(MULTIPLY, 0, ELEMENTS_OF_TILE, threads)
        if last == self.units:
            if self.is_double:
                self.finish(<double *>self.sums)
            else:
                self.finish(<float *>self.sums)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if phase == TRANSFORM:
            if self.is_double:
                transform_pair(self, index, thread, <double *>self.x)
            else:
                transform_pair(self, index, thread, <float *>self.x)
        elif self.is_double:
            add_products(self, index, <double *>self.images)
        else:
            add_products(self, index, <float *>self.images)

    cdef void finish(self, const real_t *sums) noexcept nogil:
        cdef Py_ssize_t lanes = lanes_of(real_t is double), size = self.g.C * self.g.F, k
        cdef real_t *dweight = <real_t *>self.dweight
        if not self.accumulate:
            memset(dweight, 0, 9 * size * sizeof(real_t))
        for k in range(size // lanes):
            if real_t is float:
                winograd_filter_gradient_f32(sums + k * lanes, size, dweight + k * lanes, size)
            else:
                winograd_filter_gradient_f64(sums + k * lanes, size, dweight + k * lanes, size)


cdef void transform_pair(WinogradConv2DBackwardWeight self, Py_ssize_t t, int thread, const real_t *x) noexcept nogil:
    """Transform the pixels and the gradients of tile t of the block."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t tile = self.first + t, per_image = self.tile_rows * self.tile_columns
    cdef Py_ssize_t i = tile % per_image // self.tile_columns * 4, j = tile % self.tile_columns * 4
    cdef Py_ssize_t h = i - g.top, w = j - g.left, n = tile // per_image
    cdef real_t *patch = <real_t *>self.patches + thread * ELEMENTS_OF_TILE * max(g.C, g.F)
    cdef real_t *images = <real_t *>self.images + t * g.C
    cdef real_t *gradients = <real_t *>self.gradients + t * g.F
    cdef const real_t *dy = <const real_t *>self.dy + n * g.OH * g.OW * g.F
    x += n * g.H * g.W * g.C
    if h >= 0 and w >= 0 and h + 6 <= g.H and w + 6 <= g.W:
        image_transform(x + (h * g.W + w) * g.C, g.W * g.C, g.C, g.C, images, self.block * g.C)
    else:
        copy_patch(x, patch, g.H, g.W, g.C, h, w, 6, 6)
        image_transform(<const real_t *>patch, 6 * g.C, g.C, g.C, images, self.block * g.C)
    if i + 4 <= g.OH and j + 4 <= g.OW:
        gradient_transform(dy + (i * g.OW + j) * g.F, g.OW * g.F, g.F, g.F, gradients, self.block * g.F)
    else:
        copy_patch(dy, patch, g.OH, g.OW, g.F, i, j, 4, 4)
        gradient_transform(<const real_t *>patch, 4 * g.F, g.F, g.F, gradients, self.block * g.F)


cdef void add_products(WinogradConv2DBackwardWeight self, Py_ssize_t e, const real_t *images) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), c, f, rows
    cdef Py_ssize_t tiles = (g.C + TILE_PIXELS - 1) // TILE_PIXELS, some = (g.C + tiles - 1) // tiles
    cdef const real_t *gradients = <const real_t *>self.gradients + e * self.block * g.F
    cdef real_t *sums = <real_t *>self.sums + e * g.C * g.F
    cdef Outer walk
    images += e * self.block * g.C
    walk.rows, walk.columns = 1, self.count
    walk.x_row, walk.x_pixel, walk.dy_row, walk.dy_pixel, walk.dw_step = 0, g.C, 0, g.F, g.F
    f = 0
    while f < g.F:
        c = 0
        while c < g.C:
            rows = min(some, g.C - c)
            outer_tile(<int>rows, True, &walk, images + c, &NO_OFFSET, gradients + f, sums + c * g.F + f,
                       min(g.F - f, TILE_VECTORS * lanes))
            c += rows
        f += TILE_VECTORS * lanes


cdef inline void gradient_transform(const real_t *dy, Py_ssize_t y_row, Py_ssize_t y_pixel, Py_ssize_t F, real_t *z,
                                    Py_ssize_t element) noexcept nogil:
    if real_t is float:
        winograd_gradient_f32(dy, y_row, y_pixel, F, z, element)
    else:
        winograd_gradient_f64(dy, y_row, y_pixel, F, z, element)
