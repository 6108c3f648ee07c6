# The gradient with respect to the input of a convolution with 2x2 max pooling, with or without relu between, from the
# pooled gradient and the winner bytes.
#
#   dx[window of pixel (i, j, k) + (u, v), c] += sum over filters f whose maximum is pixel k of window (i, j) of
#                                                dy[i, j, f] * weight[u, v, c, f]
#
# For some rows of pooled pixels, of one image or several small ones, and a block of filters, the filters with their
# maximum at each of a window's four pixels are listed; then the lists' sums are added to the images, one vector of
# channels at a time. Weights are read once per winner, and the second-level cache delivers only half of what can be
# multiplied per cycle, so a block has as many filters as fit into the first level. Images are divided among threads.

cdef extern from "variants/kernels.h" nogil:
    Py_ssize_t list_filters(Py_ssize_t filters, const void *dy, const uint8_t *winner, int *counts, int *lists,
                            void *g)
    void winner_input_pixel(Py_ssize_t count, const int *filter, const void *g, const void *w, void *dx,
                            Py_ssize_t x_row, Py_ssize_t x_pixel)
    Py_ssize_t winner_input_row(Py_ssize_t windows, const int *counts, const int *filter, const void *g,
                                const void *w, void *dx, Py_ssize_t x_row, Py_ssize_t x_pixel)

# Bytes of filters, of a vector of channels, that stay in the first-level cache (32 kB); of lists that are read once;
# and of gradients that stay in the second level.
cdef Py_ssize_t FILTERS_BYTES = 18 << 10
cdef Py_ssize_t LISTS_BYTES = 16 << 10
cdef Py_ssize_t INPUTS_BYTES = 1 << 19

# The phase in which weights are packed; 0 is the computation.
cdef enum:
    PACK_FILTERS = 1


cdef class WinnerBackwardInput(Step):
    """For 3x3 filters, a whole number of vectors of channels, one group."""

    cdef Geometry g
    cdef Py_ssize_t height, width, image_size           # of dx, with its border
    cdef Py_ssize_t images                              # in a unit of work
    cdef Py_ssize_t compute_rows, some_filters             # that are listed at a time
    cdef Py_ssize_t list_size                           # scratch numbers of a thread
    cdef bint bordered
    cdef void *dy
    cdef uint8_t *winner
    cdef void *weight
    cdef void *dx
    cdef void *packed               # (vectors of channels, F, 9, lanes)
    cdef void *copies               # (threads, images, height, width, C) if bordered
    cdef void *gradients            # (threads, list_size)
    cdef int *filters               # likewise: which of those at work, pixel by pixel
    cdef int *counts                # (threads, compute_rows, PW, 4)

    def __init__(self, dy, winner, weight, dx, strides, offset):
        cdef Geometry g = pooled_geometry(dx.shape, weight.shape, dy.shape, strides, (1, 1), offset, 1)
        cdef Py_ssize_t itemsize, row_bytes, most
        self.dy = self.real(dy, g.N * g.OH * g.OW // 4 * g.F, False)
        self.winner = <uint8_t *>self.other(winner, g.N * g.OH * g.OW // 4 * g.F, 1, False)
        self.weight = self.real(weight, 9 * g.C * g.F, False)
        self.dx = self.real(dx, g.N * g.H * g.W * g.C, True)
        self.out = dx
        if g.KH != 3 or g.KW != 3 or g.C % lanes_of(self.is_double):
            raise ValueError("WinnerBackwardInput: expected 3x3 filters and channels in whole vectors")
        self.g = g
        self.height = max((g.OH - 1) * g.SH + 3, g.H + g.top)
        self.width = max((g.OW - 1) * g.SW + 3, g.W + g.left)
        self.bordered = g.top > 0 or g.left > 0 or self.height > g.H or self.width > g.W
        self.image_size = self.height * self.width * g.C
        itemsize = 8 if self.is_double else 4
        self.some_filters = even_share(g.F, FILTERS_BYTES // (9 * VECTOR_BYTES))
        row_bytes = g.OW // 2 * self.some_filters * (itemsize + <Py_ssize_t>sizeof(int))
        self.compute_rows = max(LISTS_BYTES // max(row_bytes, 1), 1)
        most = min(INPUTS_BYTES // max(self.image_size * itemsize, 1), g.N // (2 * self.max_threads))
        self.images = max(min(most, self.compute_rows // max(g.OH // 2, 1)), 1)
        self.compute_rows = min(self.compute_rows, self.images * max(g.OH // 2, 1))
        self.list_size = self.compute_rows * (g.OW // 2) * self.some_filters + lanes_of(self.is_double)
        self.packed = self.reserve_reals(9 * g.C * g.F)
        if self.bordered:
            self.copies = self.reserve_reals(self.max_threads * self.images * self.image_size)
        self.gradients = self.reserve_reals(self.max_threads * self.list_size)
        self.filters = <int *>self.reserve(self.max_threads * self.list_size, sizeof(int))
        self.counts = <int *>self.reserve(self.max_threads * self.compute_rows * (g.OW // 2) * 4, sizeof(int))
        self.units = (g.N + self.images - 1) // self.images
        self.unit_cost = operations_of(&g) / 4 / max(self.units, 1)

    cdef void prepare(self) noexcept nogil:
        self.split_among_threads(PACK_FILTERS, 0, self.g.C // lanes_of(self.is_double), self.threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if phase == PACK_FILTERS:
            if self.is_double:
                pack_by_filter(&self.g, index * LANES_F64, <double *>self.weight, <double *>self.packed)
            else:
                pack_by_filter(&self.g, index * LANES_F32, <float *>self.weight, <float *>self.packed)
        elif self.is_double:
            winner_input_images(self, index, thread, <double *>self.dy, <double *>self.dx)
        else:
            winner_input_images(self, index, thread, <float *>self.dy, <float *>self.dx)


cdef void pack_by_filter(
    const Geometry *g,
    Py_ssize_t c,                   # the first of a vector of channels
    const real_t *weight,           # (9, C, F)                                           IN
    real_t *packed,                 # (vectors of C, F, 9, lanes)                         OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), t
    for t in range(9):
        transpose_rows(weight + (t * g.C + c) * g.F, lanes, g.F, g.F, packed + c * g.F * 9 + t * lanes, 9 * lanes)


cdef void winner_input_images(WinnerBackwardInput self, Py_ssize_t unit, int thread, const real_t *dy,
                              real_t *dx) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t n = unit * self.images, images = min(self.images, g.N - n), rows = images * (g.OH // 2)
    cdef Py_ssize_t i = 0, f, h, k
    cdef real_t *target = dx + n * g.H * g.W * g.C
    if self.bordered:
        target = <real_t *>self.copies + thread * self.images * self.image_size
    memset(target, 0, images * self.image_size * sizeof(real_t))
    while i < rows:
        f = 0
        while f < g.F:
            winner_input_rows(self, thread, n, i, min(self.compute_rows, rows - i), f, min(self.some_filters, g.F - f), dy,
                              target)
            f += self.some_filters
        i += self.compute_rows
    if self.bordered:
        for k in range(images):
            for h in range(g.H):
                memcpy(dx + ((n + k) * g.H + h) * g.W * g.C,
                       target + k * self.image_size + ((h + g.top) * self.width + g.left) * g.C,
                       g.W * g.C * sizeof(real_t))


cdef void winner_input_rows(
    WinnerBackwardInput self,
    int thread,
    Py_ssize_t n,                   # the first image of the unit
    Py_ssize_t first, Py_ssize_t rows,          # of pooled pixels, counted from there on
    Py_ssize_t f, Py_ssize_t filters,           # the first filter and how many
    const real_t *dy,               # (N, PH, PW, F)                                      IN
    real_t *dx,                     # (images of the unit, height, width, C)              INOUT
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), PH = g.OH // 2, PW = g.OW // 2, k, i, at, to, length = 0
    cdef real_t *gradients = <real_t *>self.gradients + thread * self.list_size
    cdef int *lists = self.filters + thread * self.list_size
    cdef int *counts = self.counts + thread * self.compute_rows * PW * 4
    cdef const real_t *weight = <const real_t *>self.packed + f * 9 * lanes
    for i in range(rows * PW):
        at = ((n * PH + first) * PW + i) * g.F + f
        length += list_filters(filters, dy + at, self.winner + at, counts + i * 4, lists + length,
                                   gradients + length)
    for k in range(g.C // lanes):
        at = 0
        for i in range(rows):
            to = (first + i) // PH * self.image_size + 2 * ((first + i) % PH) * g.SH * self.width * g.C + k * lanes
            at += add_row(g, counts + i * PW * 4, lists + at, gradients + at, weight + k * g.F * 9 * lanes, dx + to,
                          self.width * g.C)


cdef inline Py_ssize_t add_row(
    const Geometry *g,
    const int *counts,              # (PW, 4)                                             IN
    const int *lists,               # of filters, one behind the other                    IN
    const real_t *gradients,        # likewise                                            IN
    const real_t *weight,           # (filters, 9, lanes)                                 IN
    real_t *dx,                     # from the first window on                            INOUT
    Py_ssize_t x_row,
) noexcept nogil:
    """Return the length of all lists of the row."""
    cdef Py_ssize_t at = 0, i
    if g.SH == 1 and g.SW == 1:
        return winner_input_row(g.OW // 2, counts, lists, gradients, weight, dx, x_row, g.C)
    for i in range(g.OW // 2 * 4):
        winner_input_pixel(counts[i], lists + at, gradients + at, weight, dx, x_row, g.C)
        at += counts[i]
        # To the pixel beside, and from the second to the one below the first, and on to the next window.
        dx += g.SW * g.C if i % 2 == 0 else (g.SH * x_row - g.SW * g.C if i % 4 == 1 else g.SW * g.C - g.SH * x_row)
    return at
