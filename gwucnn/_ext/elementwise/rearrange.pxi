# Kernels that rearrange elements: adding and removing a border of zeros, repeating pixels, and swapping axes.
#
#   Pad2D       y[n, i, j, c] = x[n, i - top, j - left, c], or 0 outside of x; (N, H, W, C) to (N, OH, OW, C)
#   Crop2D      y[n, i, j, c] = x[n, i + top, j + left, c], which is the gradient of Pad2D
#   Upsample2D  y[n, i, j, c] = x[n, i // SH, j // SW, c]; its gradient sums the gradients of each pixel's copies
#   SwapAxes    y[n, b, a] = x[n, a, b]: (H, W, C) to (C, H, W) with A = H*W, B = C, and back
#
# A work unit is a row, or a strip of rows. Copying is bound by memory: each element counts as 40 operations (see
# Elementwise).

cdef extern from "variants/kernels.h" nogil:
    void transpose(const void *x, Py_ssize_t x_step, void *y, Py_ssize_t y_step)


cdef class Pad2D(Step):
    cdef Py_ssize_t N, OH, H, top
    cdef Py_ssize_t before, row, after      # bytes of an output row: zeros, a row of x, zeros
    cdef char *x
    cdef char *y

    def __init__(self, x, y, Py_ssize_t top, Py_ssize_t left):
        cdef Py_ssize_t W, C, OW, N, OC
        self.N, self.H, W, C = x.shape
        N, self.OH, OW, OC = y.shape
        if (N, OC) != (self.N, C) or not 0 <= top <= self.OH - self.H or not 0 <= left <= OW - W:
            raise ValueError(f"{type(self).__name__}: expected shapes that match, got x {x.shape} and y {y.shape} with "
                             f"top {top} and left {left}")
        self.x = <char *>self.real(x, self.N * self.H * W * C, False)
        self.y = <char *>self.real(y, self.N * self.OH * OW * C, True)
        self.top = top
        self.row = W * C * x.itemsize
        self.before = left * C * x.itemsize
        self.after = (OW - W - left) * C * x.itemsize
        self.out = y
        self.units = self.N * self.OH
        self.unit_cost = 40.0 * OW * C

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t n = index // self.OH, h = index % self.OH - self.top
        cdef Py_ssize_t length = self.before + self.row + self.after
        cdef char *y = self.y + index * length
        if h < 0 or h >= self.H:
            memset(y, 0, length)
            return
        memset(y, 0, self.before)
        memcpy(y + self.before, self.x + (n * self.H + h) * self.row, self.row)
        memset(y + self.before + self.row, 0, self.after)


cdef class Crop2D(Step):
    cdef Py_ssize_t H, OH, top
    cdef Py_ssize_t before, row, wide       # bytes: skipped in a row of x, copied from it, and in all of it
    cdef char *x
    cdef char *y

    def __init__(self, x, y, Py_ssize_t top, Py_ssize_t left):
        cdef Py_ssize_t N, W, C, ON, OW, OC
        N, self.H, W, C = x.shape
        ON, self.OH, OW, OC = y.shape
        if (ON, OC) != (N, C) or not 0 <= top <= self.H - self.OH or not 0 <= left <= W - OW:
            raise ValueError(f"{type(self).__name__}: expected shapes that match, got x {x.shape} and y {y.shape} with "
                             f"top {top} and left {left}")
        self.x = <char *>self.real(x, N * self.H * W * C, False)
        self.y = <char *>self.real(y, N * self.OH * OW * C, True)
        self.top = top
        self.row = OW * C * x.itemsize
        self.before = left * C * x.itemsize
        self.wide = W * C * x.itemsize
        self.out = y
        self.units = N * self.OH
        self.unit_cost = 40.0 * OW * C

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t n = index // self.OH, h = index % self.OH + self.top
        memcpy(self.y + index * self.row, self.x + (n * self.H + h) * self.wide + self.before, self.row)


cdef class Upsampling(Step):
    """Base class: small images (N, H, W, C) and large images (N, H*SH, W*SW, C)."""

    cdef Py_ssize_t W, C, SH, SW
    cdef void *small
    cdef void *large

    cdef int hold(self, small, large, bint forward, size) except -1:
        cdef Py_ssize_t N, H
        N, H, self.W, self.C = small.shape
        self.SH, self.SW = size
        if min(self.SH, self.SW) < 1 or large.shape != (N, H * self.SH, self.W * self.SW, self.C):
            raise ValueError(f"{type(self).__name__}: expected shapes that match, got {small.shape} and {large.shape} "
                             f"for size {size}")
        self.small = self.real(small, small.size, not forward)
        self.large = self.real(large, large.size, forward)
        self.out = large if forward else small
        self.units = N * H
        self.unit_cost = 40.0 * self.W * self.C * self.SH * self.SW
        return 0


cdef class Upsample2D(Upsampling):
    def __init__(self, x, y, size):
        self.hold(x, y, True, size)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t x = index * self.W * self.C, y = x * self.SH * self.SW
        if self.is_double:
            upsample_row(<double *>self.small + x, <double *>self.large + y, self.W, self.C, self.SH, self.SW)
        else:
            upsample_row(<float *>self.small + x, <float *>self.large + y, self.W, self.C, self.SH, self.SW)


cdef void upsample_row(
    const real_t *x,                # (W, C)                                              IN
    real_t *y,                      # (SH, W, SW, C)                                      OUT
    Py_ssize_t W, Py_ssize_t C, Py_ssize_t SH, Py_ssize_t SW,
) noexcept nogil:
    cdef Py_ssize_t w, v, c, u, length = W * SW * C
    for w in range(W):
        for v in range(SW):
            for c in range(C):
                y[(w * SW + v) * C + c] = x[w * C + c]
    for u in range(1, SH):
        memcpy(y + u * length, y, length * sizeof(real_t))


cdef class Upsample2DBackward(Upsampling):
    def __init__(self, dy, dx, size):
        self.hold(dx, dy, False, size)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t dx = index * self.W * self.C, dy = dx * self.SH * self.SW
        if self.is_double:
            sum_copies(<double *>self.large + dy, <double *>self.small + dx, self.W, self.C, self.SH, self.SW)
        else:
            sum_copies(<float *>self.large + dy, <float *>self.small + dx, self.W, self.C, self.SH, self.SW)


cdef void sum_copies(const real_t *dy, real_t *dx, Py_ssize_t W, Py_ssize_t C, Py_ssize_t SH,
                     Py_ssize_t SW) noexcept nogil:
    # Average pooling of adjacent windows, without the division.
    cdef Py_ssize_t w
    for w in range(W):
        average_window(dy + w * SW * C, SH, SW, W * SW * C, C, <real_t>1, dx + w * C)


# Number of rows of x in a work unit; the unit writes as many adjacent elements of each row of y.
cdef enum:
    ROWS_PER_STRIP = 32


cdef class SwapAxes(Step):
    """Transpose x (N, A, B) to y (N, B, A); the arrays may have any shapes with that number of elements."""

    cdef Py_ssize_t A, B, strips
    cdef void *x
    cdef void *y

    def __init__(self, x, y, Py_ssize_t N, Py_ssize_t A, Py_ssize_t B):
        if min(N, A, B) < 0:
            raise ValueError(f"SwapAxes: expected sizes of at least 0, got {N}, {A}, {B}")
        self.A, self.B = A, B
        self.x = self.real(x, N * A * B, False)
        self.y = self.real(y, N * A * B, True)
        self.out = y
        self.strips = (A + ROWS_PER_STRIP - 1) // ROWS_PER_STRIP
        self.units = N * self.strips
        self.unit_cost = 40.0 * B * min(A, <Py_ssize_t>ROWS_PER_STRIP)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t image = index // self.strips * self.A * self.B, first = index % self.strips * ROWS_PER_STRIP
        cdef Py_ssize_t rows = min(self.A - first, <Py_ssize_t>ROWS_PER_STRIP), B = self.B
        if self.is_double:
            transpose_rows(<double *>self.x + image + first * B, rows, B, B, <double *>self.y + image + first, self.A)
        else:
            transpose_rows(<float *>self.x + image + first * B, rows, B, B, <float *>self.y + image + first, self.A)


cdef inline void transpose_rows(
    const real_t *x,                # (rows, columns), x_step apart                       IN
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t x_step,
    real_t *y,                      # (columns, rows), y_step apart                       OUT
    Py_ssize_t y_step,
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), row, column, i, j
    for j in range(columns // lanes):
        column = j * lanes
        for i in range(rows // lanes):
            row = i * lanes
            transpose(x + row * x_step + column, x_step, y + column * y_step + row, y_step)
        for row in range(rows // lanes * lanes, rows):
            for i in range(column, column + lanes):
                y[i * y_step + row] = x[row * x_step + i]
    for column in range(columns // lanes * lanes, columns):
        for row in range(rows):
            y[column * y_step + row] = x[row * x_step + column]
