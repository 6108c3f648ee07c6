# Operations on whole arrays: adding two, rescaling one, and copying channels, which concatenates or splits arrays.
#
#   add            out[i] = x[i] + y[i], or max(x[i] + y[i], 0) with relu (NaN stays NaN)
#   rescale        out[r, c] = x[r, c] * scale[c] + offset[c]
#   copy channels  out[r, to + k] = x[r, start + k],  k < count        rows r of A channels in x, of B channels in out
#
# There is almost no arithmetic: memory is the bottleneck.


cdef class Add(Elementwise):
    """Compute b = a + y element by element; b may be the same array as a or y."""

    cdef void *y
    cdef bint relu

    def __init__(self, x, y, out, bint relu):
        Elementwise.__init__(self, x, out)
        self.y = self.real(y, self.size, False)
        self.relu = relu

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            add_range(<double *>self.a, <double *>self.y, <double *>self.b, first, last, self.relu)
        else:
            add_range(<float *>self.a, <float *>self.y, <float *>self.b, first, last, self.relu)


cdef void add_range(
    const real_t *x,            # IN   (size)
    const real_t *y,            # IN   (size)
    real_t *out,                # OUT  (size)
    Py_ssize_t first, Py_ssize_t last, bint relu) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t total
    if relu:
        for i in range(first, last):
            total = x[i] + y[i]
            out[i] = 0 if total <= 0 else total
    else:
        for i in range(first, last):
            out[i] = x[i] + y[i]


cdef class Rescale(Step):
    """Compute b = a * scale + offset for rows of `width` elements, one for each scale."""

    cdef Py_ssize_t size, width, rows       # rows in a work unit
    cdef void *a
    cdef void *b
    cdef void *scale
    cdef void *offset

    def __init__(self, x, scale, offset, out):
        self.size, self.width = x.size, scale.size
        if self.width < 1 or self.size % self.width:
            raise ValueError(f"expected rows of {self.width} elements, got {x.shape}")
        self.a = self.real(x, self.size, False)
        self.scale = self.real(scale, self.width, False)
        self.offset = self.real(offset, self.width, False)
        self.b = self.real(out, self.size, True)
        self.out = out
        self.rows = max(ELEMENTS // self.width, 1)
        self.units = (self.size // self.width + self.rows - 1) // self.rows
        self.unit_cost = 40.0 * self.rows * self.width

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t at = index * self.rows * self.width
        cdef Py_ssize_t rows = min(self.rows, (self.size - at) // self.width)
        if self.is_double:
            rescale_rows(<double *>self.a + at, <double *>self.scale, <double *>self.offset, <double *>self.b + at,
                         rows, self.width)
        else:
            rescale_rows(<float *>self.a + at, <float *>self.scale, <float *>self.offset, <float *>self.b + at,
                         rows, self.width)


cdef void rescale_rows(
    const real_t *x,            # IN   (rows, width)
    const real_t *scale,        # IN   (width)
    const real_t *offset,       # IN   (width)
    real_t *out,                # OUT  (rows, width)
    Py_ssize_t rows, Py_ssize_t width) noexcept nogil:
    cdef Py_ssize_t r, k
    if width == 1:
        for r in range(rows):
            out[r] = x[r] * scale[0] + offset[0]
        return
    for r in range(rows):
        for k in range(width):
            out[r * width + k] = x[r * width + k] * scale[k] + offset[k]


cdef class CopyChannels(Step):
    """Copy `count` channels of x, from `start` on, to the channels of out from `to` on; leave the others unchanged."""

    cdef const char *x
    cdef char *y
    cdef Py_ssize_t R                       # number of rows
    cdef Py_ssize_t x_row, y_row, bytes     # sizes of a row of x, a row of out and the copied part, all in bytes
    cdef Py_ssize_t rows                    # rows in a work unit

    def __init__(self, x, out, Py_ssize_t start, Py_ssize_t to, Py_ssize_t count):
        cdef Py_ssize_t A = x.shape[x.ndim - 1], B = out.shape[out.ndim - 1], item = x.itemsize
        if min(start, to, count) < 0 or count > A - start or count > B - to:
            raise ValueError(f"CopyChannels: expected channels within the arrays, got {count} from channel {start} of "
                             f"{A} to channel {to} of {B}")
        self.R = x.size // max(A, 1)
        self.x = <const char *>self.real(x, self.R * A, False) + start * item
        self.y = <char *>self.real(out, self.R * B, True) + to * item
        self.x_row, self.y_row, self.bytes = A * item, B * item, count * item
        self.out = out
        self.rows = max(ELEMENTS // max(count, 1), 1)
        self.units = (self.R + self.rows - 1) // self.rows
        self.unit_cost = 40.0 * count * self.rows

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t r
        for r in range(index * self.rows, min((index + 1) * self.rows, self.R)):
            memcpy(self.y + r * self.y_row, self.x + r * self.x_row, self.bytes)
