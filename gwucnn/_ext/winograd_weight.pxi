# The gradient by the weights in Winograd's form.
#
#   V[e, t, c] = B^T d B of the pixels, Z[e, t, f] = A dy A^T of the gradients of each tile t of 4x4 outputs
#   S[e, c, f] = sum over tiles t of V[e, t, c] * Z[e, t, f]     36 matrix products, by the register tile of tile.h
#   dweight (+)= G^T S G
#
# Tiles of one kind are taken in blocks as large as the cache bears, since S is read and written once a block. Threads
# share out the tiles of a block, then the elements: no sum is split by their number.

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
    cdef TileKind kinds[TILE_KINDS]
    cdef Py_ssize_t block
    cdef const TileKind *kind       # of the tiles at work
    cdef Py_ssize_t first, count    # which they are
    cdef void *x
    cdef void *dy
    cdef void *dweight
    cdef void *images               # V, (36, block, C)
    cdef void *gradients            # Z, (36, block, F)
    cdef void *sums                 # S, (36, C, F)
    cdef void *patches              # (threads, 36, max(C, F))

    def __init__(self, x, dy, dweight, offset, bint accumulate, Scratch scratch=None):
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
        self.block = BLOCK_BYTES // (ELEMENTS_OF_TILE * (g.C + g.F) * itemsize)
        self.block = min(max(self.block, 64), max(g.N * ((g.OH + 3) // 4) * ((g.OW + 3) // 4), 1))
        self.units = cut_tiles(self.kinds, g.N, g.OH, g.OW, self.block)
        self.images = self.borrow_reals(scratch, "images", ELEMENTS_OF_TILE * self.block * g.C)
        self.gradients = self.borrow_reals(scratch, "gradients", ELEMENTS_OF_TILE * self.block * g.F)
        self.sums = self.borrow_reals(scratch, "filters", ELEMENTS_OF_TILE * g.C * g.F)
        self.patches = self.borrow_reals(scratch, "patches", self.max_threads * ELEMENTS_OF_TILE * max(g.C, g.F))
        self.unit_cost = 2.0 * products_of_tiles(self.kinds) * g.C * g.F / max(self.units, 1)
        self.units = max(self.units, 1)

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t unit
        if first == 0:
            memset(self.sums, 0, ELEMENTS_OF_TILE * self.g.C * self.g.F * (8 if self.is_double else 4))
        if self.g.N > 0:
            for unit in range(first, last):
                self.kind = kind_of_unit(self.kinds, unit)
                self.first = (unit - self.kind.first_unit) * self.block
                self.count = min(self.block, self.kind.tiles - self.first)
                self.share_out(TRANSFORM, 0, self.count, threads)
                self.share_out(MULTIPLY, 0, elements_of(self.kind), threads)
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
    cdef Place place = place_of(self.kind, self.first + t, g.OH, g.OW)
    cdef real_t *patch = <real_t *>self.patches + thread * ELEMENTS_OF_TILE * max(g.C, g.F)
    cdef real_t *gradients = <real_t *>self.gradients + t * g.F
    cdef const real_t *dy = <const real_t *>self.dy + place.n * g.OH * g.OW * g.F
    image_tile(&place, x + place.n * g.H * g.W * g.C, g.H, g.W, g.C, g.top, g.left, patch,
               <real_t *>self.images + t * g.C, self.block * g.C)
    if place.rows == place.down and place.columns == place.across:
        gradient_transform(&place, dy + (place.i * g.OW + place.j) * g.F, g.OW * g.F, g.F, g.F, gradients,
                           self.block * g.F)
    else:
        copy_patch(dy, patch, g.OH, g.OW, g.F, place.i, place.j, place.down, place.across)
        gradient_transform(&place, <const real_t *>patch, place.across * g.F, g.F, g.F, gradients, self.block * g.F)


cdef void add_products(WinogradConv2DBackwardWeight self, Py_ssize_t number, const real_t *images) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t e = element_of(self.kind, number)
    cdef Py_ssize_t lanes = lanes_of(real_t is double), c, f, rows
    cdef Py_ssize_t tiles = (g.C + TILE_PIXELS - 1) // TILE_PIXELS, some = (g.C + tiles - 1) // tiles
    cdef const real_t *gradients = <const real_t *>self.gradients + e * self.block * g.F
    cdef real_t *sums = <real_t *>self.sums + e * g.C * g.F
    cdef Outer walk
    images += e * self.block * g.C
    walk.images, walk.rows, walk.columns = 1, 1, self.count
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


cdef inline void gradient_transform(const Place *place, const real_t *dy, Py_ssize_t y_row, Py_ssize_t y_pixel,
                                    Py_ssize_t F, real_t *z, Py_ssize_t element) noexcept nogil:
    if real_t is float:
        winograd_gradient_f32(place.down, place.across, dy, y_row, y_pixel, F, z, element)
    else:
        winograd_gradient_f64(place.down, place.across, dy, y_row, y_pixel, F, z, element)
