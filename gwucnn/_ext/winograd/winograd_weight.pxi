# The gradient with respect to the weights by Winograd's algorithm.
#
#   V[e, t, c] = B^T d B of the pixels, Z[e, t, f] = A dy A^T of the gradients of each tile t of 4x4 outputs
#   S[e, c, f] = sum over tiles t of V[e, t, c] * Z[e, t, f]     36 matrix products, by the register tile of tile.h
#   dweight (+)= G^T S G
#
# Tiles of all kinds are processed in blocks as large as the cache allows. S, four times as large as dweight, never
# exists as a whole: it is computed in pieces of some channels by some filters, which go from the second-level cache
# into dweight. With more than one block, the sums of earlier blocks are stored piece by piece.
#
# First the tiles of a block are divided among threads, then the pieces: no sum depends on the number of threads.

cdef extern from "variants/kernels.h" nogil:
    void winograd_gradient(int down, int across, const void *dy, Py_ssize_t y_row, Py_ssize_t y_pixel, Py_ssize_t F,
                           void *z, Py_ssize_t element)
    void winograd_filter_gradient(const void *s, Py_ssize_t element, const void *before, bint add, void *dg,
                                  Py_ssize_t tap)

# Bytes of V and Z in a block, of a piece of S, and of its filters.
cdef enum:
    BLOCK_BYTES = 1 << 22
    PIECE_BYTES = 3 << 17
    PIECE_WIDTH = 256

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
    cdef Py_ssize_t rows, row_tiles     # channels of a register tile, and how many of these make all
    cdef Py_ssize_t width           # filters of a piece
    cdef Py_ssize_t row_pieces, column_pieces
    cdef Py_ssize_t unit, first, count  # the block at work, and its tiles
    cdef Py_ssize_t v_element, z_element, s_element     # numbers from one element to the next
    cdef void *x
    cdef void *dy
    cdef void *dweight
    cdef void *images               # V, (36, block, C)
    cdef void *gradients            # Z, (36, block, F)
    cdef void *sums                 # S, (threads, 36, channels of a piece, filters of a piece)
    cdef void *total                # of the blocks so far, (pieces, channels, filters in vectors, 9, lanes), or NULL
    cdef void *patches              # (threads, 36, max(C, F))

    def __init__(self, x, dy, dweight, offset, bint accumulate, Scratch scratch=None):
        cdef Geometry g = geometry_of(x.shape, dweight.shape, dy.shape, (1, 1), (1, 1), offset, 1)
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.dy = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.dweight = self.real(dweight, 9 * g.C * g.F, True)
        self.out = dweight
        self.accumulate = accumulate
        self.g = g
        if g.KH != 3 or g.KW != 3 or g.C % lanes_of(self.is_double) or g.F % lanes_of(self.is_double):
            raise ValueError("Winograd: expected 3x3 filters, channels and filters in whole vectors")
        self.cut_blocks()
        self.cut_pieces()
        self.images = self.borrow_reals(scratch, "images", ELEMENTS_OF_TILE * self.v_element)
        self.gradients = self.borrow_reals(scratch, "gradients", ELEMENTS_OF_TILE * self.z_element)
        self.sums = self.borrow_reals(scratch, "tiles", self.max_threads * ELEMENTS_OF_TILE * self.s_element)
        self.patches = self.borrow_reals(scratch, "patches", self.max_threads * ELEMENTS_OF_TILE * max(g.C, g.F))
        if self.units > 1:
            self.total = self.borrow_reals(scratch, "filters", 9 * g.C * g.F)

    cdef void cut_blocks(self) noexcept:
        """Divide the tiles into even blocks, which are the units of work."""
        cdef Geometry *g = &self.g
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4
        cdef Py_ssize_t most = max(BLOCK_BYTES // (ELEMENTS_OF_TILE * (g.C + g.F) * itemsize), 64)
        self.tiles = cut_tiles(self.kinds, g.N, g.OH, g.OW)
        self.block = even_share(self.tiles, most)
        self.units = max((self.tiles + self.block - 1) // self.block, 1)
        self.unit_cost = 2.0 * products_of_tiles(self.kinds) * g.C * g.F / self.units
        # A cache line more: elements a multiple of 4 KB apart would drive each other out of the first-level cache.
        self.v_element = self.block * g.C + 64 // itemsize
        self.z_element = self.block * g.F + 64 // itemsize

    cdef void cut_pieces(self) noexcept:
        """Divide channels into register tiles, and these and the filters into pieces, equally many for each thread."""
        cdef Py_ssize_t itemsize = 8 if self.is_double else 4, C = self.g.C, F = self.g.F, most, tiles
        self.width = min(PIECE_WIDTH // itemsize, round_up(F, TILE_VECTORS * lanes_of(self.is_double)))
        self.column_pieces = (F + self.width - 1) // self.width
        self.row_tiles = (C + TILE_PIXELS - 1) // TILE_PIXELS
        # Even shares are worth lower register tiles, down to four rows.
        self.row_tiles = max(min(round_up(self.row_tiles, self.max_threads), C // 4), self.row_tiles)
        self.rows = (C + self.row_tiles - 1) // self.row_tiles
        self.row_tiles = (C + self.rows - 1) // self.rows
        most = max(PIECE_BYTES // (ELEMENTS_OF_TILE * self.width * itemsize * self.rows), 1)
        tiles = (self.row_tiles + self.max_threads - 1) // self.max_threads
        self.row_pieces = min((tiles + most - 1) // most * self.max_threads, self.row_tiles)
        tiles = (self.row_tiles + self.row_pieces - 1) // self.row_pieces
        self.s_element = min(tiles * self.rows, C) * self.width + 64 // itemsize

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t unit
        for unit in range(first, last):
            self.unit, self.first = unit, unit * self.block
            self.count = min(self.block, self.tiles - self.first)
            self.split_among_threads(TRANSFORM, 0, self.count, threads)
            self.split_among_threads(MULTIPLY, 0, self.row_pieces * self.column_pieces, threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if phase == TRANSFORM:
            if self.is_double:
                transform_pair(self, index, thread, <double *>self.x)
            else:
                transform_pair(self, index, thread, <float *>self.x)
        elif self.is_double:
            make_piece(self, index, thread, <double *>self.images)
        else:
            make_piece(self, index, thread, <float *>self.images)


cdef void transform_pair(WinogradConv2DBackwardWeight self, Py_ssize_t t, int thread, const real_t *x) noexcept nogil:
    """Transform the pixels and the gradients of tile t of the block."""
    cdef Geometry *g = &self.g
    cdef Place place = place_of(self.kinds, self.first + t, g.OH, g.OW)
    cdef real_t *patch = <real_t *>self.patches + thread * ELEMENTS_OF_TILE * max(g.C, g.F)
    cdef real_t *gradients = <real_t *>self.gradients + t * g.F
    cdef const real_t *dy = <const real_t *>self.dy + place.n * g.OH * g.OW * g.F
    image_tile(&place, x + place.n * g.H * g.W * g.C, g.H, g.W, g.C, g.top, g.left, patch,
               <real_t *>self.images + t * g.C, self.v_element)
    if place.rows == place.down and place.columns == place.across:
        gradient_transform(&place, dy + (place.i * g.OW + place.j) * g.F, g.OW * g.F, g.F, g.F, gradients,
                           self.z_element)
    else:
        copy_patch(dy, patch, g.OH, g.OW, g.F, place.i, place.j, place.down, place.across)
        gradient_transform(&place, <const real_t *>patch, place.across * g.F, g.F, g.F, gradients, self.z_element)


cdef void make_piece(WinogradConv2DBackwardWeight self, Py_ssize_t index, int thread,
                     const real_t *images) noexcept nogil:
    """Multiply for all elements of a piece of S, and transform it."""
    cdef Geometry *g = &self.g
    cdef Py_ssize_t row_piece = index // self.column_pieces, f = index % self.column_pieces * self.width
    cdef Py_ssize_t c = row_piece * self.row_tiles // self.row_pieces * self.rows
    cdef Py_ssize_t last_c = min((row_piece + 1) * self.row_tiles // self.row_pieces * self.rows, g.C)
    cdef Py_ssize_t filters = min(self.width, g.F - f), e, first, last
    cdef real_t *sums = <real_t *>self.sums + thread * ELEMENTS_OF_TILE * self.s_element
    cdef const real_t *gradients = <const real_t *>self.gradients + f
    cdef Outer walk
    images += c
    walk.images, walk.rows = 1, 1
    walk.x_row, walk.x_pixel, walk.dy_row, walk.dy_pixel, walk.dw_step = 0, g.C, 0, g.F, self.width
    for e in range(ELEMENTS_OF_TILE):
        tiles_with(self.kinds, e, self.first, self.count, &first, &last)
        walk.columns = last - first
        add_products(&walk, images + e * self.v_element + first * g.C, gradients + e * self.z_element + first * g.F,
                     sums + e * self.s_element, self.rows, last_c - c, filters)
    finish_piece(self, sums, c, f, last_c - c, filters)


cdef inline void add_products(
    const Outer *walk,
    const real_t *images,           # (tiles, C)                                          IN
    const real_t *gradients,        # (tiles, F)                                          IN
    real_t *sums,                   # (channels, width)                                   OUT
    Py_ssize_t rows,                # of a register tile
    Py_ssize_t channels, Py_ssize_t filters,
) noexcept nogil:
    cdef Py_ssize_t wide = TILE_VECTORS * lanes_of(real_t is double), c, f
    f = 0
    while f < filters:
        c = 0
        while c < channels:
            outer_tile(<int>min(rows, channels - c), walk, images + c, &NO_OFFSET, gradients + f,
                       sums + c * walk.dw_step + f, min(filters - f, wide), True)
            c += rows
        f += wide


cdef void finish_piece(
    WinogradConv2DBackwardWeight self,
    const real_t *sums,             # (36, channels, width), s_element apart              IN
    Py_ssize_t c, Py_ssize_t f,     # the first channel and filter
    Py_ssize_t channels, Py_ssize_t filters,
) noexcept nogil:
    cdef Py_ssize_t F = self.g.F, lanes = lanes_of(real_t is double), row, vector
    cdef Py_ssize_t at = 9 * (c * F + channels * f)
    cdef real_t *total = <real_t *>self.total
    cdef real_t *dweight = <real_t *>self.dweight
    cdef const real_t *before
    cdef const real_t *some
    for row in range(channels):
        for vector in range(filters // lanes):
            some = sums + row * self.width + vector * lanes
            before = total + at if self.unit > 0 else NULL
            if self.unit + 1 == self.units:
                transform_sums(some, self.s_element, before, self.accumulate,
                               dweight + (c + row) * F + f + vector * lanes, self.g.C * F)
            else:
                transform_sums(some, self.s_element, before, False, total + at, lanes)
            at += 9 * lanes


cdef inline void gradient_transform(const Place *place, const real_t *dy, Py_ssize_t y_row, Py_ssize_t y_pixel,
                                    Py_ssize_t F, real_t *z, Py_ssize_t element) noexcept nogil:
    winograd_gradient(place.down, place.across, dy, y_row, y_pixel, F, z, element)


cdef inline void transform_sums(const real_t *s, Py_ssize_t element, const real_t *before, bint add, real_t *dg,
                                Py_ssize_t tap) noexcept nogil:
    winograd_filter_gradient(s, element, before, add, dg, tap)
