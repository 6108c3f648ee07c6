# The gradient by the input of a convolution with 2x2 max pooling, with or without relu between, from the pooled gradient and the winner
# bytes.
#
#   dx[window of pixel (i, j, k) + (u, v), c] += sum over filters f that pixel k of window (i, j) won of
#                                                dy[i, j, f] * weight[u, v, c, f]
#
# For each row of pooled pixels the filters that each of a window's four pixels won are listed; then, block of channels
# by block, one tile of 9 taps by two vectors sums them and is added to the image. Threads share out images.

cdef class WinnerBackwardInput(Step):
    """For 3x3 filters, channels in whole vectors, one group."""

    cdef Geometry g
    cdef Py_ssize_t height, width, image_size, list_size
    cdef bint bordered
    cdef void *dy
    cdef uint8_t *winner
    cdef void *weight
    cdef void *dx
    cdef void *packed               # (blocks of channels, F, 9, lanes of a block)
    cdef void *copies               # (threads, height, width, C) if bordered
    cdef void *gradients            # (threads, PW, 4, F)
    cdef int *filters               # likewise
    cdef int *counts                # (threads, PW, 4)

    def __init__(self, dy, winner, weight, dx, strides, offset):
        cdef Geometry g = pooled_geometry(dx.shape, weight.shape, dy.shape, strides, (1, 1), offset, 1)
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
        self.list_size = g.OW // 2 * 4
        self.packed = self.reserve_reals(9 * g.C * g.F)
        if self.bordered:
            self.copies = self.reserve_reals(self.max_threads * self.image_size)
        self.gradients = self.reserve_reals(self.max_threads * self.list_size * g.F)
        self.filters = <int *>self.reserve(self.max_threads * self.list_size * g.F, sizeof(int))
        self.counts = <int *>self.reserve(self.max_threads * self.list_size, sizeof(int))
        self.units = g.N
        self.unit_cost = operations_of(&g) / 4 / max(g.N, 1)

    cdef void prepare(self) noexcept nogil:
        if self.is_double:
            pack_by_filter(self, <double *>self.weight, <double *>self.packed)
        else:
            pack_by_filter(self, <float *>self.weight, <float *>self.packed)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.is_double:
            winner_input_image(self, index, thread, <double *>self.dy, <double *>self.dx)
        else:
            winner_input_image(self, index, thread, <float *>self.dy, <float *>self.dx)


cdef void pack_by_filter(WinnerBackwardInput self, const real_t *weight, real_t *packed) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), c = 0, f, t, k, width
    while c < g.C:
        width = min(WINNER_VECTORS, (g.C - c) // lanes) * lanes
        for t in range(9):
            for k in range(width):
                for f in range(g.F):
                    packed[9 * c * g.F + (f * 9 + t) * width + k] = weight[(t * g.C + c + k) * g.F + f]
        c += width


cdef void winner_input_image(WinnerBackwardInput self, Py_ssize_t n, int thread, const real_t *dy,
                             real_t *dx) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t PH = g.OH // 2, PW = g.OW // 2, i, h, width = self.width if self.bordered else g.W
    cdef real_t *image = dx + n * g.H * g.W * g.C
    cdef real_t *target = <real_t *>self.copies + thread * self.image_size if self.bordered else image
    dy += n * PH * PW * g.F
    memset(target, 0, (self.image_size if self.bordered else g.H * g.W * g.C) * sizeof(real_t))
    for i in range(PH):
        winner_input_row(self, thread, dy + i * PW * g.F, self.winner + (n * PH + i) * PW * g.F,
                         target + 2 * i * g.SH * width * g.C, width)
    if self.bordered:
        for h in range(g.H):
            memcpy(image + h * g.W * g.C, target + ((h + g.top) * width + g.left) * g.C,
                   g.W * g.C * sizeof(real_t))


cdef void winner_input_row(
    WinnerBackwardInput self,
    int thread,
    const real_t *dy,               # (PW, F)                                             IN
    const uint8_t *winner,          # (PW, F)                                             IN
    real_t *dx,                     # image, from the first window on                     INOUT
    Py_ssize_t width,
) noexcept nogil:
    cdef Geometry *g = &self.g
    cdef Py_ssize_t lanes = lanes_of(real_t is double), PW = g.OW // 2, j, f, k, c = 0, q, vectors
    cdef real_t *gradients = <real_t *>self.gradients + thread * self.list_size * g.F
    cdef int *filters = self.filters + thread * self.list_size * g.F
    cdef int *counts = self.counts + thread * self.list_size
    cdef uint8_t who
    memset(counts, 0, self.list_size * sizeof(int))
    for j in range(PW):
        for f in range(g.F):
            # Written always, kept only if alive: no branch that the processor could guess wrong.
            who = winner[j * g.F + f]
            k = j * 4 + (who & 3)
            q = k * g.F + counts[k]
            gradients[q] = dy[j * g.F + f]
            filters[q] = <int>f
            counts[k] += who < 4
    while c < g.C:
        vectors = min(WINNER_VECTORS, (g.C - c) // lanes)
        for j in range(PW):
            for k in range(4):
                winner_input_tile(<int>vectors, counts[j * 4 + k], filters + (j * 4 + k) * g.F,
                                  gradients + (j * 4 + k) * g.F, <real_t *>self.packed + 9 * c * g.F,
                                  dx + ((k >> 1) * g.SH * width + (2 * j + (k & 1)) * g.SW) * g.C + c,
                                  width * g.C, g.C)
        c += vectors * lanes


cdef inline void winner_input_tile(int vectors, Py_ssize_t count, const int *filter, const real_t *g, const real_t *w,
                                   real_t *dx, Py_ssize_t x_row, Py_ssize_t x_pixel) noexcept nogil:
    if real_t is float:
        winner_input_tile_f32(vectors, count, filter, g, w, dx, x_row, x_pixel)
    else:
        winner_input_tile_f64(vectors, count, filter, g, w, dx, x_row, x_pixel)
