# Winograd's convolution F(4x4, 3x3): 36 multiplications for 16 outputs of a 3x3 filter, where the plain way takes 144.
#
# The image is cut into tiles of 4x4 outputs, each from 6x6 pixels. Some tiles at a time:
#
#   V[e, t, c] = B^T d B           for each tile t and channel c; e numbers its 36 elements
#   M[e, t, f] = sum over c of V[e, t, c] * U[e, c, f]          36 matrix products, by the register tile of tile.h
#   outputs = A^T M A              for each tile and filter; bias, and relu with pooling, on the way out
#
# with U = G g G^T made from the filters by `prepare`. V and M of a block of tiles stay in the second-level cache.
#
# Additions replace multiplications at a price in accuracy: see `winograd_pays` in gwucnn/ops/base.py. Channels and
# filters come in whole vectors.

# Elements of a transformed tile, and tiles in a block: two register tiles of 14.
cdef enum:
    ELEMENTS_OF_TILE = 36
    TILES = 28


cdef class Winograd(Step):
    """Source images (N, H, W, C) to (N, OH, OW, F); derived classes prepare the filters and store the outputs."""

    cdef Py_ssize_t N, H, W, C, OH, OW, F
    cdef Py_ssize_t top, left
    cdef Py_ssize_t tile_rows, tile_columns, tiles
    cdef void *x
    cdef void *weight
    cdef void *bias
    cdef void *y
    cdef void *filters              # U, (36, blocks of F, C, block)
    cdef void *scratch_of_threads   # (threads, V and M and a 6x6 patch)
    cdef Py_ssize_t scratch_size
    cdef bint relu                  # whether outputs pass through it

    cdef int cut(self, Py_ssize_t N, Py_ssize_t H, Py_ssize_t W, Py_ssize_t C, Py_ssize_t OH, Py_ssize_t OW,
                 Py_ssize_t F, Py_ssize_t top, Py_ssize_t left) except -1:
        """Set the sizes, cut the outputs into tiles and reserve memory."""
        cdef Py_ssize_t lanes = lanes_of(self.is_double)
        if C % lanes or F % lanes:
            raise ValueError("Winograd: expected channels and filters in whole vectors")
        self.N, self.H, self.W, self.C, self.OH, self.OW, self.F = N, H, W, C, OH, OW, F
        self.top, self.left = top, left
        self.tile_rows, self.tile_columns = (OH + 3) // 4, (OW + 3) // 4
        self.tiles = N * self.tile_rows * self.tile_columns
        self.filters = self.reserve_reals(ELEMENTS_OF_TILE * C * F)
        self.scratch_size = round_up(ELEMENTS_OF_TILE * (TILES * (C + F) + C), 16)
        self.scratch_of_threads = self.reserve_reals(self.max_threads * self.scratch_size)
        self.units = (self.tiles + TILES - 1) // TILES
        self.unit_cost = 2.0 * ELEMENTS_OF_TILE * TILES * C * F
        return 0

    cdef void store_tile(self, const void *products, Py_ssize_t tile) noexcept nogil:
        """Transform and store the products of one tile; they lie TILES * F apart."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            winograd_block(self, index, thread, <double *>self.x)
        else:
            winograd_block(self, index, thread, <float *>self.x)


cdef void winograd_block(Winograd self, Py_ssize_t unit, int thread, const real_t *x) noexcept nogil:
    cdef Py_ssize_t first = unit * TILES, count = min(TILES, self.tiles - first), t, e, f, some
    cdef Py_ssize_t lanes = lanes_of(real_t is double), C = self.C, F = self.F
    cdef real_t *images = <real_t *>self.scratch_of_threads + thread * self.scratch_size
    cdef real_t *products = images + ELEMENTS_OF_TILE * TILES * C
    cdef real_t *patch = products + ELEMENTS_OF_TILE * TILES * F
    cdef const real_t *filters = <const real_t *>self.filters
    cdef Correlation walk
    for t in range(count):
        transform_tile(self, first + t, x, patch, images + t * C)
    walk.x_pixel, walk.y_pixel, walk.run, walk.taps, walk.relu = C, F, C, 1, False
    walk.tap = &NO_OFFSET
    for e in range(ELEMENTS_OF_TILE):
        f = 0
        while f < F:
            walk.w_step = block_width(F - f, lanes)
            t = 0
            while t < count:
                some = min(TILE_PIXELS, count - t)
                correlate_tile(<int>some, &walk, images + (e * TILES + t) * C, filters + (e * F + f) * C,
                               <const real_t *>NULL, products + (e * TILES + t) * F + f,
                               min(F - f, TILE_VECTORS * lanes))
                t += some
            f += walk.w_step
    for t in range(count):
        self.store_tile(products + t * F, first + t)


cdef ptrdiff_t NO_OFFSET = 0


cdef inline void transform_tile(Winograd self, Py_ssize_t tile, const real_t *x, real_t *patch,
                                real_t *images) noexcept nogil:
    """Transform the 6x6 pixels under a tile, by way of a patch with zeros where they reach over the border."""
    cdef Py_ssize_t C = self.C, per_image = self.tile_rows * self.tile_columns
    cdef Py_ssize_t h = tile % per_image // self.tile_columns * 4 - self.top
    cdef Py_ssize_t w = tile % self.tile_columns * 4 - self.left
    x += tile // per_image * self.H * self.W * C
    if h >= 0 and w >= 0 and h + 6 <= self.H and w + 6 <= self.W:
        image_transform(x + (h * self.W + w) * C, self.W * C, C, C, images, TILES * C)
    else:
        copy_patch(x, patch, self.H, self.W, C, h, w, 6, 6)
        image_transform(<const real_t *>patch, 6 * C, C, C, images, TILES * C)


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
    cdef Py_ssize_t lanes = lanes_of(real_t is double), C = self.C, F = self.F, f, wide, block
    cdef real_t *u = <real_t *>self.filters
    for f in range(0, F // lanes):
        block = f * lanes // (TILE_VECTORS * lanes) * (TILE_VECTORS * lanes)
        wide = block_width(F - block, lanes)
        filter_transform(weight + c * F + f * lanes, C * F, u + block * C + c * wide + f * lanes - block, C * F)


cdef class WinogradConv2D(Winograd):
    """Forward convolution, stride 1."""

    def __init__(self, x, weight, bias, y, offset, bint relu=False):
        cdef Geometry g = geometry_of(x.shape, weight.shape, y.shape, (1, 1), (1, 1), offset, 1)
        self.hold(&g, x, weight, bias, y, g.N * g.OH * g.OW * g.F)
        self.relu = relu

    cdef int hold(self, const Geometry *g, x, weight, bias, y, Py_ssize_t y_size) except -1:
        if g.KH != 3 or g.KW != 3:
            raise ValueError("Winograd: expected 3x3 filters")
        self.x = self.real(x, g.N * g.H * g.W * g.C, False)
        self.weight = self.real(weight, 9 * g.C * g.F, False)
        if bias is not None:
            self.bias = self.real(bias, g.F, False)
        self.y = self.real(y, y_size, True)
        self.out = y
        return self.cut(g.N, g.H, g.W, g.C, g.OH, g.OW, g.F, g.top, g.left)

    cdef void prepare(self) noexcept nogil:
        cdef Py_ssize_t c
        for c in range(self.C):
            if self.is_double:
                transform_filters(self, <const double *>self.weight, c)
            else:
                transform_filters(self, <const float *>self.weight, c)

    cdef void store_tile(self, const void *products, Py_ssize_t tile) noexcept nogil:
        if self.is_double:
            store_outputs(self, <const double *>products, tile, <const double *>self.bias, <double *>self.y)
        else:
            store_outputs(self, <const float *>products, tile, <const float *>self.bias, <float *>self.y)


cdef inline void store_outputs(Winograd self, const real_t *products, Py_ssize_t tile, const real_t *bias,
                               real_t *y) noexcept nogil:
    cdef Py_ssize_t per_image = self.tile_rows * self.tile_columns
    cdef Py_ssize_t i = tile % per_image // self.tile_columns * 4, j = tile % self.tile_columns * 4
    y += ((tile // per_image * self.OH + i) * self.OW + j) * self.F
    if real_t is float:
        winograd_outputs_f32(products, TILES * self.F, self.F, bias, y, self.relu, self.OW * self.F, self.F,
                             <int>min(4, self.OH - i), <int>min(4, self.OW - j))
    else:
        winograd_outputs_f64(products, TILES * self.F, self.F, bias, y, self.relu, self.OW * self.F, self.F,
                             <int>min(4, self.OH - i), <int>min(4, self.OW - j))


cdef class WinogradConv2DPool(WinogradConv2D):
    """Forward convolution with relu, if asked for, and 2x2 max pooling; see conv_pool.pxi."""

    cdef uint8_t *winner

    def __init__(self, x, weight, bias, y, winner, offset, bint relu):
        cdef Geometry g = pooled_geometry(x.shape, weight.shape, y.shape, (1, 1), (1, 1), offset, 1)
        cdef Py_ssize_t size = g.N * g.OH * g.OW // 4 * g.F
        self.hold(&g, x, weight, bias, y, size)
        self.relu = relu
        if winner is not None:
            self.winner = <uint8_t *>self.other(winner, size, 1, True)

    cdef void store_tile(self, const void *products, Py_ssize_t tile) noexcept nogil:
        cdef Py_ssize_t per_image = self.tile_rows * self.tile_columns, PH = self.OH // 2, PW = self.OW // 2
        cdef Py_ssize_t i = tile % per_image // self.tile_columns * 2, j = tile % self.tile_columns * 2
        cdef Py_ssize_t at = ((tile // per_image * PH + i) * PW + j) * self.F
        cdef uint8_t *winner = self.winner + at if self.winner != NULL else NULL
        if self.is_double:
            winograd_pooled_f64(<const double *>products, TILES * self.F, self.F, <const double *>self.bias,
                                <double *>self.y + at, winner, self.relu, PW * self.F, self.F, <int>min(2, PH - i),
                                <int>min(2, PW - j))
        else:
            winograd_pooled_f32(<const float *>products, TILES * self.F, self.F, <const float *>self.bias,
                                <float *>self.y + at, winner, self.relu, PW * self.F, self.F, <int>min(2, PH - i),
                                <int>min(2, PW - j))


cdef class WinogradConv2DBackwardInput(Winograd):
    """The gradient by the input, stride 1: the convolution of dy with the filters turned and transposed."""

    cdef void *turned               # (9, F, C)

    def __init__(self, dy, weight, dx, offset):
        cdef Geometry g = geometry_of(dx.shape, weight.shape, dy.shape, (1, 1), (1, 1), offset, 1)
        if g.KH != 3 or g.KW != 3 or max(g.top, g.left) > 2:
            raise ValueError("Winograd: expected 3x3 filters and padding of at most 2")
        self.x = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.weight = self.real(weight, 9 * g.C * g.F, False)
        self.y = self.real(dx, g.N * g.H * g.W * g.C, True)
        self.out = dx
        self.turned = self.reserve_reals(9 * g.C * g.F)
        self.cut(g.N, g.OH, g.OW, g.F, g.H, g.W, g.C, 2 - g.top, 2 - g.left)

    cdef void prepare(self) noexcept nogil:
        cdef Py_ssize_t c
        if self.is_double:
            turn(<const double *>self.weight, <double *>self.turned, self.F, self.C)
        else:
            turn(<const float *>self.weight, <float *>self.turned, self.F, self.C)
        for c in range(self.C):
            if self.is_double:
                transform_filters(self, <const double *>self.turned, c)
            else:
                transform_filters(self, <const float *>self.turned, c)

    cdef void store_tile(self, const void *products, Py_ssize_t tile) noexcept nogil:
        if self.is_double:
            store_outputs(self, <const double *>products, tile, <const double *>NULL, <double *>self.y)
        else:
            store_outputs(self, <const float *>products, tile, <const float *>NULL, <float *>self.y)


cdef void turn(
    const real_t *weight,           # (9, C, F)                                           IN
    real_t *turned,                 # (9, F, C), taps in reverse                          OUT
    Py_ssize_t C, Py_ssize_t F,
) noexcept nogil:
    cdef Py_ssize_t t, c, f
    for t in range(9):
        for f in range(F):
            for c in range(C):
                turned[((8 - t) * F + f) * C + c] = weight[(t * C + c) * F + f]


cdef inline void image_transform(const real_t *d, Py_ssize_t x_row, Py_ssize_t x_pixel, Py_ssize_t C, real_t *v,
                                 Py_ssize_t element) noexcept nogil:
    if real_t is float:
        winograd_image_f32(d, x_row, x_pixel, C, v, element)
    else:
        winograd_image_f64(d, x_row, x_pixel, C, v, element)


cdef inline void filter_transform(const real_t *g, Py_ssize_t tap, real_t *u, Py_ssize_t element) noexcept nogil:
    if real_t is float:
        winograd_filter_f32(g, tap, u, element)
    else:
        winograd_filter_f64(g, tap, u, element)
