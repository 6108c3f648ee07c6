# The gradient by the weights in Winograd's form.
#
#   V[e, t, c] = B^T d B of the pixels, Z[e, t, f] = A dy A^T of the gradients of each tile t of 4x4 outputs
#   S[e, c, f] = sum over tiles t of V[e, t, c] * Z[e, t, f]     36 matrix products, by the register tile of tile.h
#   dweight (+)= G^T S G
#
# Tiles of all kinds are taken in blocks as large as the cache bears. Of S there is at any time one register tile of each
# element: it goes into dweight from the second-level cache, four times as large as dweight as the whole of it is.
#
# Threads share out the tiles of a block, then the register tiles: no sum is split by their number.

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
    cdef Py_ssize_t tiles, block    # in all, and in a block
    cdef Py_ssize_t rows            # channels of a register tile, ...
    cdef Py_ssize_t row_tiles       # ... of which so many make all
    cdef Py_ssize_t column_tiles    # register tiles in a row of filters
    cdef Py_ssize_t first, count    # which tiles are at work
    cdef bint follows, ends         # whether the block at work is not the first, and whether it is the last
    cdef void *x
    cdef void *dy
    cdef void *dweight
    cdef void *total                # of the blocks so far, (9, C, F): dweight, unless that holds what is added to
    cdef void *images               # V, (36, block, C)
    cdef void *gradients            # Z, (36, block, F)
    cdef void *sums                 # S, (threads, 36, rows, register tile's filters)
    cdef void *patches              # (threads, 36, max(C, F))

    def __init__(self, x, dy, dweight, offset, bint accumulate, Scratch scratch=None):
        cdef Geometry g = geometry_of(x.shape, dweight.shape, dy.shape, (1, 1), (1, 1), offset, 1)
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.total = self.dweight = self.real(dweight, 9 * g.C * g.F, True)
        self.out = dweight
        self.accumulate = accumulate
        self.g = g
        if g.KH != 3 or g.KW != 3 or g.C % lanes_of(self.is_double) or g.F % lanes_of(self.is_double):
            raise ValueError("Winograd: expected 3x3 filters, channels and filters in whole vectors")
        self.cut()
        self.images = self.borrow_reals(scratch, "images", ELEMENTS_OF_TILE * self.block * g.C)
        self.gradients = self.borrow_reals(scratch, "gradients", ELEMENTS_OF_TILE * self.block * g.F)
        self.sums = self.borrow_reals(scratch, "sums", self.max_threads * self.sums_of_thread())
        self.patches = self.borrow_reals(scratch, "patches", self.max_threads * ELEMENTS_OF_TILE * max(g.C, g.F))
        if accumulate and self.units > 1:
            self.total = self.borrow_reals(scratch, "filters", 9 * g.C * g.F)

    cdef void cut(self) noexcept:
        """Cut the tiles into even blocks, which are the units, and S into register tiles."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t lanes = lanes_of(self.is_double), itemsize = 8 if self.is_double else 4
        cdef Py_ssize_t most = max(BLOCK_BYTES // (ELEMENTS_OF_TILE * (g.C + g.F) * itemsize), 64)
        self.tiles = cut_tiles(self.kinds, g.N, g.OH, g.OW, 1)
        self.units = max((self.tiles + most - 1) // most, 1)
        self.block = max((self.tiles + self.units - 1) // self.units, 1)
        self.units = max((self.tiles + self.block - 1) // self.block, 1)
        self.unit_cost = 2.0 * products_of_tiles(self.kinds) * g.C * g.F / self.units
        self.column_tiles = (g.F + TILE_VECTORS * lanes - 1) // (TILE_VECTORS * lanes)
        self.row_tiles = (g.C + TILE_PIXELS - 1) // TILE_PIXELS
        if self.row_tiles * self.column_tiles < 4 * self.max_threads:
            # Even shares for all threads are worth lower register tiles, down to four rows.
            self.row_tiles = max(min(round_up(self.row_tiles, self.max_threads), g.C // 4), self.row_tiles)
        self.rows = (g.C + self.row_tiles - 1) // self.row_tiles
        self.row_tiles = (g.C + self.rows - 1) // self.rows

    cdef Py_ssize_t sums_of_thread(self) noexcept nogil:
        return ELEMENTS_OF_TILE * self.rows * TILE_VECTORS * lanes_of(self.is_double)

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t unit
        for unit in range(first, last):
            self.first = unit * self.block
            self.count = min(self.block, self.tiles - self.first)
            self.follows, self.ends = unit > 0, unit + 1 == self.units
            self.share_out(TRANSFORM, 0, self.count, threads)
            self.share_out(MULTIPLY, 0, self.row_tiles * self.column_tiles, threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if phase == TRANSFORM:
            if self.is_double:
                transform_pair(self, index, thread, <double *>self.x)
            else:
                transform_pair(self, index, thread, <float *>self.x)
        elif self.is_double:
            add_products(self, index, thread, <double *>self.images)
        else:
            add_products(self, index, thread, <float *>self.images)


cdef void transform_pair(WinogradConv2DBackwardWeight self, Py_ssize_t t, int thread, const real_t *x) noexcept nogil:
    """Transform the pixels and the gradients of tile t of the block."""
    cdef Geometry *g = &self.g
    cdef const TileKind *kind = kind_of_tile(self.kinds, self.first + t)
    cdef Place place = place_of(kind, self.first + t - kind.first_tile, g.OH, g.OW)
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


cdef void add_products(WinogradConv2DBackwardWeight self, Py_ssize_t index, int thread,
                       const real_t *images) noexcept nogil:
    """Multiply for one register tile of all elements, and transform its sums."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t width = TILE_VECTORS * lanes_of(real_t is double), e, first, last
    cdef Py_ssize_t c = index % self.row_tiles * self.rows, f = index // self.row_tiles * width
    cdef Py_ssize_t rows = min(self.rows, g.C - c), filters = min(width, g.F - f)
    cdef real_t *sums = <real_t *>self.sums + thread * self.sums_of_thread()
    cdef const real_t *gradients = <const real_t *>self.gradients
    cdef Outer walk
    walk.images, walk.rows = 1, 1
    walk.x_row, walk.x_pixel, walk.dy_row, walk.dy_pixel, walk.dw_step = 0, g.C, 0, g.F, width
    for e in range(ELEMENTS_OF_TILE):
        tiles_with(self.kinds, e, &first, &last)
        first = max(first - self.first, 0)
        walk.columns = max(min(last - self.first, self.count) - first, 0)
        first += e * self.block
        outer_tile_of(<int>rows, True, &walk, images + first * g.C + c, &NO_OFFSET, gradients + first * g.F + f,
                      sums + e * rows * width, filters, True)
    finish_tile(self, sums, rows * width, c, f, rows, filters)


cdef void finish_tile(
    WinogradConv2DBackwardWeight self,
    const real_t *sums,             # (36, rows, two vectors), `element` apart            IN
    Py_ssize_t element,
    Py_ssize_t c, Py_ssize_t f, Py_ssize_t rows, Py_ssize_t filters,
) noexcept nogil:
    cdef Py_ssize_t F = self.g.F, lanes = lanes_of(real_t is double), size = self.g.C * F, row, vector, at
    cdef const real_t *before = <const real_t *>self.total if self.follows else NULL
    cdef real_t *after = <real_t *>(self.dweight if self.ends else self.total)
    cdef bint adds = self.accumulate and self.ends
    for row in range(rows):
        for vector in range(filters // lanes):
            at = (c + row) * F + f + vector * lanes
            sum_transform(sums + (row * TILE_VECTORS + vector) * lanes, element,
                          before + at if before != NULL else NULL, adds, after + at, size)


cdef inline void gradient_transform(const Place *place, const real_t *dy, Py_ssize_t y_row, Py_ssize_t y_pixel,
                                    Py_ssize_t F, real_t *z, Py_ssize_t element) noexcept nogil:
    if real_t is float:
        winograd_gradient_f32(place.down, place.across, dy, y_row, y_pixel, F, z, element)
    else:
        winograd_gradient_f64(place.down, place.across, dy, y_row, y_pixel, F, z, element)


cdef inline void sum_transform(const real_t *s, Py_ssize_t element, const real_t *before, bint add, real_t *dg,
                               Py_ssize_t tap) noexcept nogil:
    if real_t is float:
        winograd_filter_gradient_f32(s, element, before, add, dg, tap)
    else:
        winograd_filter_gradient_f64(s, element, before, add, dg, tap)
