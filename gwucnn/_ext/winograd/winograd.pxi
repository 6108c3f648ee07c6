# Winograd's convolution F(4x4, 3x3): 36 multiplications for 16 outputs of a 3x3 filter, where the direct algorithm
# takes 144.
#
# The image is divided into tiles of 4x4 outputs, each from 6x6 pixels, and shorter ones at the edge
# (winograd_tiles.pxi). For a block of tiles at a time:
#
#   V[e, t, c] = B^T d B           for each tile t and channel c; e numbers its 36 elements
#   M[e, t, f] = sum over c of V[e, t, c] * U[e, c, f]          36 matrix products, by the register tile of tile.h
#   outputs = A^T M A              for each tile and filter; bias, and relu with pooling, before the store
#
# with U = G g G^T computed from the filters by `prepare`. V and M of a block of tiles stay in the second-level cache.
#
# Replacing multiplications by additions costs accuracy: see `use_winograd` in gwucnn/ops/conv_algorithm.py. Channels and
# filters are whole numbers of vectors.

cdef extern from "variants/kernels.h" nogil:
    void winograd_image(int down, int across, const void *d, Py_ssize_t x_row, Py_ssize_t x_pixel, Py_ssize_t C,
                        void *v, Py_ssize_t element)
    void winograd_filter(const void *g, Py_ssize_t tap, void *u, Py_ssize_t element)
    void winograd_outputs(int down, int across, const void *m, Py_ssize_t element, Py_ssize_t F, const void *bias,
                          void *y, bint relu, Py_ssize_t y_row, Py_ssize_t y_pixel, int rows, int columns)
    void winograd_pooled(int down, int across, const void *m, Py_ssize_t element, Py_ssize_t F, const void *bias,
                         void *y, uint8_t *winner, bint relu, Py_ssize_t y_row, Py_ssize_t y_pixel, int rows,
                         int columns)

# Maximum number of tiles in a block: two register tiles of 14.
cdef enum:
    TILES = 28

# The phase in which filters are prepared; 0 is the computation.
cdef enum:
    TRANSFORM_FILTERS = 1


cdef class Winograd(Step):
    """Source images (N, H, W, C) to (N, OH, OW, F); derived classes prepare the filters and store the outputs."""

    cdef Py_ssize_t N, H, W, C, OH, OW, F
    cdef Py_ssize_t top, left
    cdef TileKind kinds[TILE_KINDS]
    cdef Py_ssize_t tiles, block    # in all, and in a block
    cdef Py_ssize_t tile_units      # blocks of tiles
    cdef Py_ssize_t groups          # of filters, where there are too few of these for all threads
    cdef void *x
    cdef void *weight
    cdef void *bias
    cdef void *y
    cdef void *filters              # U, (36, blocks of F, C, block)
    cdef void *scratch_of_threads   # (threads, V and M and a 6x6 patch)
    cdef Py_ssize_t scratch_size
    cdef Py_ssize_t u_element, v_element, m_element     # numbers from one of the 36 elements to the next
    cdef bint relu                  # whether outputs pass through it

    cdef int cut(self, Py_ssize_t N, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t OH, Py_ssize_t OW,
                 Py_ssize_t F, Py_ssize_t top, Py_ssize_t left, Scratch scratch, bint constant_weight) except -1:
        """Set the sizes, divide the outputs into tiles and reserve memory.

        scratch : for what a call leaves behind, unless that serves the next call, with a `constant_weight`, too.
        """
        cdef Py_ssize_t lanes = lanes_of(self.is_double), line = 64 // (8 if self.is_double else 4)
        cdef double operations
        if C % lanes or F % lanes:
            raise ValueError("Winograd: expected channels and filters in whole vectors")
        self.N, self.H, self.W, self.C, self.OH, self.OW, self.F = N, H, W, C, OH, OW, F
        self.top, self.left = top, left
        self.tiles = cut_tiles(self.kinds, N, OH, OW)
        self.block = even_share(self.tiles, TILES)
        self.tile_units = (self.tiles + self.block - 1) // self.block
        operations = 2.0 * products_of_tiles(self.kinds) * C * F
        self.groups = 1
        if self.worth_splitting(operations) and self.tile_units < 4 * self.max_threads:
            # Each thread then reads its part of the filters only, and transforms all pixels for itself.
            self.groups = min((F + TILE_VECTORS * lanes - 1) // (TILE_VECTORS * lanes), self.max_threads)
        self.units = self.tile_units * self.groups
        # A cache line more than they need: a power of two apart, the 36 would lie in one set of each cache.
        self.u_element = C * F + line
        self.v_element = self.block * C + line
        self.m_element = self.block * F + line
        self.filters = self.borrow_reals(None if constant_weight else scratch, "filters",
                                         ELEMENTS_OF_TILE * self.u_element)
        self.scratch_size = round_up(ELEMENTS_OF_TILE * (self.v_element + self.m_element + C), 16)
        self.scratch_of_threads = self.borrow_reals(scratch, "tiles", self.max_threads * self.scratch_size)
        self.unit_cost = operations / max(self.units, 1)
        return 0

    cdef void store_tile(self, const void *products, const Place *place) noexcept nogil:
        """Transform and store the products of one tile and its filters; they are m_element apart."""

    cdef void prepare(self) noexcept nogil:
        self.split_among_threads(TRANSFORM_FILTERS, 0, self.C, self.threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if phase == TRANSFORM_FILTERS:
            if self.is_double:
                transform_filters(self, <const double *>self.weight, index)
            else:
                transform_filters(self, <const float *>self.weight, index)
        elif self.is_double:
            winograd_block(self, index, thread, <double *>self.x)
        else:
            winograd_block(self, index, thread, <float *>self.x)


cdef void winograd_block(Winograd self, Py_ssize_t unit, int thread, const real_t *x) noexcept nogil:
    cdef Py_ssize_t first = unit % self.tile_units * self.block, count = min(self.block, self.tiles - first)
    cdef Py_ssize_t lanes = lanes_of(real_t is double), C = self.C, F = self.F, group = unit // self.tile_units
    cdef Py_ssize_t wide = TILE_VECTORS * lanes, blocks = (F + wide - 1) // wide, t, e, begin, end
    cdef Py_ssize_t first_filter = group * blocks // self.groups * wide
    cdef Py_ssize_t last_filter = min((group + 1) * blocks // self.groups * wide, F)
    cdef real_t *images = <real_t *>self.scratch_of_threads + thread * self.scratch_size
    cdef real_t *products = images + ELEMENTS_OF_TILE * self.v_element
    cdef real_t *patch = products + ELEMENTS_OF_TILE * self.m_element
    cdef const real_t *filters = <const real_t *>self.filters
    cdef Place place
    for t in range(count):
        place = place_of(self.kinds, first + t, self.OH, self.OW)
        transform_tile(self, &place, x, patch, images + t * C)
    for e in range(ELEMENTS_OF_TILE):
        tiles_with(self.kinds, e, first, count, &begin, &end)
        multiply_element(images + e * self.v_element + begin * C, filters + e * self.u_element,
                         products + e * self.m_element + begin * F, end - begin, C, F, first_filter, last_filter)
    for t in range(count):
        place = place_of(self.kinds, first + t, self.OH, self.OW)
        place.f, place.filters = first_filter, last_filter - first_filter
        self.store_tile(products + t * F + first_filter, &place)


cdef inline void multiply_element(
    const real_t *images,           # (tiles, C)                                          IN
    const real_t *filters,          # (blocks of F, C, block)                             IN
    real_t *products,               # (tiles, F), those of some filters                   OUT
    Py_ssize_t tiles, Py_ssize_t C, Py_ssize_t F, Py_ssize_t first_filter, Py_ssize_t last_filter,
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), f = first_filter, t, some
    cdef Py_ssize_t even = even_share(tiles, TILE_PIXELS)
    cdef Correlation walk
    walk.x_pixel, walk.y_pixel, walk.run, walk.taps, walk.relu = C, F, C, 1, False
    walk.tap, walk.w_skip = &NO_OFFSET, 0
    while f < last_filter:
        walk.w_step = block_width(F - f, lanes)
        t = 0
        while t < tiles:
            some = min(even, tiles - t)
            correlate_tile(<int>some, &walk, images + t * C, filters + f * C, <const real_t *>NULL,
                           products + t * F + f, min(F - f, TILE_VECTORS * lanes))
            t += some
        f += walk.w_step


cdef ptrdiff_t NO_OFFSET = 0


cdef inline void transform_tile(Winograd self, const Place *place, const real_t *x, real_t *patch,
                                real_t *images) noexcept nogil:
    """Transform the pixels of a tile, through a zero-padded copy where they overlap the border."""
    image_tile(place, x + place.n * self.H * self.W * self.C, self.H, self.W, self.C, self.top, self.left, patch,
               images, self.v_element)


cdef inline void image_tile(
    const Place *place,
    const real_t *image,            # (H, W, C)                                           IN
    Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t top, Py_ssize_t left,
    real_t *patch,                  # scratch, (36, C)
    real_t *v,                      # (36, C), `element` apart                            OUT
    Py_ssize_t element,
) noexcept nogil:
    cdef Py_ssize_t h = place.i - top, w = place.j - left, down = place.down + 2, across = place.across + 2
    if h >= 0 and w >= 0 and h + down <= H and w + across <= W:
        image_transform(place, image + (h * W + w) * C, W * C, C, C, v, element)
    else:
        copy_patch(image, patch, H, W, C, h, w, down, across)
        image_transform(place, <const real_t *>patch, across * C, C, C, v, element)


cdef inline void copy_patch(
    const real_t *image,            # (H, W, C)                                           IN
    real_t *patch,                  # (rows, columns, C), zero outside the image          OUT
    Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t h, Py_ssize_t w, Py_ssize_t rows, Py_ssize_t columns,
) noexcept nogil:
    cdef Py_ssize_t i, first = min(max(-w, 0), columns), last = max(min(columns, W - w), first)
    for i in range(rows):
        if 0 <= h + i < H:
            memset(patch, 0, first * C * sizeof(real_t))
            memcpy(patch + first * C, image + ((h + i) * W + w + first) * C, (last - first) * C * sizeof(real_t))
            memset(patch + last * C, 0, (columns - last) * C * sizeof(real_t))
        else:
            memset(patch, 0, columns * C * sizeof(real_t))
        patch += columns * C


cdef void transform_filters(
    Winograd self,
    const real_t *weight,           # (9, C, F), rows of F together                       IN
    Py_ssize_t c,                   # one source channel
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), f, k
    for k in range(self.F // lanes):
        f = k * lanes
        winograd_filter(weight + c * self.F + f, self.C * self.F, filter_at(self, c, f, weight), self.u_element)


cdef inline real_t *filter_at(Winograd self, Py_ssize_t c, Py_ssize_t f, const real_t *weight) noexcept nogil:
    """Return the offset in U of the first element of source channel c and filter f; `weight` determines the type."""
    cdef Py_ssize_t lanes = lanes_of(real_t is double), wide = TILE_VECTORS * lanes, block = f // wide * wide
    return <real_t *>self.filters + block * self.C + c * block_width(self.F - block, lanes) + f - block


cdef class WinogradConv2D(Winograd):
    """Forward convolution, stride 1."""

    def __init__(self, x, weight, bias, y, offset, bint relu=False, bint constant_weight=False, Scratch scratch=None):
        cdef Geometry g = geometry_of(x.shape, weight.shape, y.shape, (1, 1), (1, 1), offset, 1)
        self.hold(&g, x, weight, bias, y, g.N * g.OH * g.OW * g.F, constant_weight, scratch)
        self.relu = relu

    cdef int hold(self, const Geometry *g, x, weight, bias, y, Py_ssize_t y_size, bint constant_weight,
                  Scratch scratch) except -1:
        if g.KH != 3 or g.KW != 3:
            raise ValueError("Winograd: expected 3x3 filters")
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.weight = self.real(weight, 9 * g.C * g.F, False)
        if bias is not None:
            self.bias = self.real(bias, g.F, False)
        self.y = self.real(y, y_size, True)
        self.out = y
        return self.cut(g.N, g.H, g.W, g.C, g.OH, g.OW, g.F, g.top, g.left, scratch, constant_weight)

    cdef void store_tile(self, const void *products, const Place *place) noexcept nogil:
        if self.is_double:
            store_outputs(self, <const double *>products, place, <const double *>self.bias, <double *>self.y)
        else:
            store_outputs(self, <const float *>products, place, <const float *>self.bias, <float *>self.y)


cdef inline void store_outputs(Winograd self, const real_t *products, const Place *place, const real_t *bias,
                               real_t *y) noexcept nogil:
    y += ((place.n * self.OH + place.i) * self.OW + place.j) * self.F + place.f
    if bias != NULL:
        bias += place.f
    winograd_outputs(place.down, place.across, products, self.m_element, place.filters, bias, y, self.relu,
                         self.OW * self.F, self.F, place.rows, place.columns)


cdef class WinogradConv2DPool(WinogradConv2D):
    """Forward convolution with relu, if asked for, and 2x2 max pooling; see conv_pool.pxi."""

    cdef uint8_t *winner

    def __init__(self, x, weight, bias, y, winner, offset, bint relu, bint constant_weight=False, Scratch scratch=None):
        cdef Geometry g = pooled_geometry(x.shape, weight.shape, y.shape, (1, 1), (1, 1), offset, 1)
        cdef Py_ssize_t size = g.N * g.OH * g.OW // 4 * g.F
        self.hold(&g, x, weight, bias, y, size, constant_weight, scratch)
        self.relu = relu
        if winner is not None:
            self.winner = <uint8_t *>self.other(winner, size, 1, True)

    cdef void store_tile(self, const void *products, const Place *place) noexcept nogil:
        if self.is_double:
            store_pooled(self, <const double *>products, place, <const double *>self.bias, <double *>self.y)
        else:
            store_pooled(self, <const float *>products, place, <const float *>self.bias, <float *>self.y)


cdef inline void store_pooled(WinogradConv2DPool self, const real_t *products, const Place *place, const real_t *bias,
                              real_t *y) noexcept nogil:
    cdef Py_ssize_t PH = self.OH // 2, PW = self.OW // 2
    cdef Py_ssize_t at = ((place.n * PH + place.i // 2) * PW + place.j // 2) * self.F + place.f
    cdef uint8_t *winner = self.winner + at if self.winner != NULL else NULL
    if bias != NULL:
        bias += place.f
    winograd_pooled(place.down, place.across, products, self.m_element, place.filters, bias, y + at, winner,
                        self.relu, PW * self.F, self.F, place.rows // 2, place.columns // 2)


cdef inline void image_transform(const Place *place, const real_t *d, Py_ssize_t x_row, Py_ssize_t x_pixel,
                                 Py_ssize_t C, real_t *v, Py_ssize_t element) noexcept nogil:
    winograd_image(place.down, place.across, d, x_row, x_pixel, C, v, element)
