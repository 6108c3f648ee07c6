# Layers with several inputs: differences, products and maxima of two arrays, and products with gates.
#
#   subtract, multiply, maximum    out[i] = x[i] - y[i], x[i] * y[i], max(x[i], y[i]) (NaN if either is)
#   maximum, gradient by x         dx[i] = dy[i] if x[i] > y[i], dy[i] / 2 if they are equal, else 0
#   gate by channels               out[n, p, c] = x[n, p, c] * gate[n, c]        dgate[n, c] = sum over p of dy * x
#   gate by pixels                 out[r, c] = x[r, c] * gate[r]                 dgate[r] = sum over c of dy * x
#
# The sums are computed in double, and in an order that does not depend on the number of threads.

# Sums side by side: as many as fit the registers, and whole vectors.
cdef enum:
    GATE_SUMS = 16

cdef enum:
    DIFFERENCE
    PRODUCT
    LARGER

KINDS_OF_PAIRS = {"subtract": DIFFERENCE, "multiply": PRODUCT, "maximum": LARGER}


cdef class Pair(Elementwise):
    """Compute b from a and y, element by element; b may be the same array as a or y."""

    cdef void *y
    cdef int kind

    def __init__(self, x, y, out, kind):
        Elementwise.__init__(self, x, out)
        self.y = self.real(y, self.size, False)
        self.kind = KINDS_OF_PAIRS[kind]

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            pair_range(<double *>self.a, <double *>self.y, <double *>self.b, first, last, self.kind)
        else:
            pair_range(<float *>self.a, <float *>self.y, <float *>self.b, first, last, self.kind)


cdef void pair_range(
    const real_t *x,            # IN   (size)
    const real_t *y,            # IN   (size)
    real_t *out,                # OUT  (size)
    Py_ssize_t first, Py_ssize_t last, int kind) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t a, b
    if kind == DIFFERENCE:
        for i in range(first, last):
            out[i] = x[i] - y[i]
    elif kind == PRODUCT:
        for i in range(first, last):
            out[i] = x[i] * y[i]
    else:
        for i in range(first, last):
            a, b = x[i], y[i]
            out[i] = a if a >= b or a != a else b


cdef class MaximumBackward(Elementwise):
    """Compute b, the gradient by x of max(x, y), from a, that by the maximum."""

    cdef void *x
    cdef void *y

    def __init__(self, dy, x, y, out):
        Elementwise.__init__(self, dy, out)
        self.x = self.real(x, self.size, False)
        self.y = self.real(y, self.size, False)

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            maximum_backward_range(<double *>self.a, <double *>self.x, <double *>self.y, <double *>self.b, first, last)
        else:
            maximum_backward_range(<float *>self.a, <float *>self.x, <float *>self.y, <float *>self.b, first, last)


cdef void maximum_backward_range(
    const real_t *dy,           # IN   (size)
    const real_t *x,            # IN   (size)
    const real_t *y,            # IN   (size)
    real_t *dx,                 # OUT  (size)
    Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t half, other
    for i in range(first, last):
        half = dy[i] * <real_t>0.5
        other = half if x[i] == y[i] else 0
        dx[i] = dy[i] if x[i] > y[i] else other


cdef class Gate(Step):
    """Multiply x, seen as (images, pixels, channels), by a gate for each channel of an image."""

    cdef Py_ssize_t N, P, C, pixels         # pixels in a work unit
    cdef Py_ssize_t strips                  # work units of an image
    cdef void *x
    cdef void *gate
    cdef void *y

    def __init__(self, x, gate, out, Py_ssize_t images, Py_ssize_t channels):
        cdef Py_ssize_t row = images * channels
        if images < 0 or channels < 1 or (row and x.size % row) or (not row and x.size):
            raise ValueError(f"expected images of {channels} channels, got {x.shape}")
        self.N, self.C = images, channels
        self.P = x.size // row if row else 0
        self.x = self.real(x, self.N * self.P * self.C, False)
        self.gate = self.real(gate, row, False)
        self.y = self.real(out, self.N * self.P * self.C, True)
        self.out = out
        self.pixels = max(ELEMENTS // self.C, 1)
        self.strips = (self.P + self.pixels - 1) // self.pixels
        self.units = self.N * self.strips
        self.unit_cost = 40.0 * self.pixels * self.C

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t n = index // self.strips, first = index % self.strips * self.pixels
        cdef Py_ssize_t pixels = min(self.pixels, self.P - first), at = (n * self.P + first) * self.C
        if self.is_double:
            gate_pixels(<double *>self.x + at, <double *>self.gate + n * self.C, <double *>self.y + at, pixels, self.C)
        else:
            gate_pixels(<float *>self.x + at, <float *>self.gate + n * self.C, <float *>self.y + at, pixels, self.C)


cdef void gate_pixels(
    const real_t *x,            # IN   (pixels, C)
    const real_t *gate,         # IN   (C)
    real_t *y,                  # OUT  (pixels, C)
    Py_ssize_t pixels, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t p, c
    for p in range(pixels):
        for c in range(C):
            y[p * C + c] = x[p * C + c] * gate[c]


cdef class GateRows(Step):
    """Multiply the rows of x, or sum the products of dy and x along rows: `gate` has a number for each row."""

    cdef Py_ssize_t R, C, rows              # rows in a work unit
    cdef void *a
    cdef void *b
    cdef void *c
    cdef bint sums

    def __init__(self, a, b, out, bint sums):
        cdef Py_ssize_t R = out.size if sums else b.size
        self.R, self.C, self.sums = R, a.size // R if R else 0, sums
        if a.size != R * self.C:
            raise ValueError(f"expected {R} rows, got {a.shape}")
        self.a = self.real(a, R * self.C, False)
        self.b = self.real(b, R * self.C if sums else R, False)
        self.c = self.real(out, R if sums else R * self.C, True)
        self.out = out
        self.rows = max(ELEMENTS // max(self.C, 1), 1)
        self.units = (R + self.rows - 1) // self.rows
        self.unit_cost = 40.0 * self.rows * self.C

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t first = index * self.rows, last = min(first + self.rows, self.R)
        if self.is_double:
            gate_rows(<double *>self.a, <double *>self.b, <double *>self.c, first, last, self.C, self.sums)
        else:
            gate_rows(<float *>self.a, <float *>self.b, <float *>self.c, first, last, self.C, self.sums)


cdef void gate_rows(
    const real_t *a,            # IN   (R, C)
    const real_t *b,            # IN   (R), or (R, C) for sums
    real_t *out,                # OUT  (R, C), or (R) for sums
    Py_ssize_t first, Py_ssize_t last, Py_ssize_t C, bint sums) noexcept nogil:
    cdef Py_ssize_t r, c
    cdef real_t factor
    for r in range(first, last):
        if sums:
            out[r] = sum_of_row(a + r * C, b + r * C, C)
        else:
            factor = b[r]
            for c in range(C):
                out[r * C + c] = a[r * C + c] * factor


cdef inline real_t sum_of_row(const real_t *dy, const real_t *x, Py_ssize_t C) noexcept nogil:
    cdef Py_ssize_t c, k
    cdef double sums[GATE_SUMS]
    for k in range(GATE_SUMS):
        sums[k] = 0
    for c in range(C // GATE_SUMS):
        for k in range(GATE_SUMS):
            sums[k] += <double>dy[c * GATE_SUMS + k] * x[c * GATE_SUMS + k]
    for c in range(C // GATE_SUMS * GATE_SUMS, C):
        sums[0] += <double>dy[c] * x[c]
    for k in range(1, GATE_SUMS):
        sums[0] += sums[k]
    return <real_t>sums[0]


cdef class GateBackward(Step):
    """Sum dy * x, seen as (images, pixels, channels), over the pixels of each image."""

    cdef Py_ssize_t N, P, C, blocks
    cdef void *dy
    cdef void *x
    cdef void *gate

    def __init__(self, dy, x, out, Py_ssize_t images, Py_ssize_t channels):
        cdef Py_ssize_t row = images * channels
        if images < 0 or channels < 1 or (row and x.size % row) or (not row and x.size):
            raise ValueError(f"expected images of {channels} channels, got {x.shape}")
        self.N, self.C = images, channels
        self.P = x.size // row if row else 0
        self.dy = self.real(dy, self.N * self.P * self.C, False)
        self.x = self.real(x, self.N * self.P * self.C, False)
        self.gate = self.real(out, row, True)
        self.out = out
        self.blocks = (self.C + GATE_SUMS - 1) // GATE_SUMS
        self.units = self.N * self.blocks
        self.unit_cost = 40.0 * self.P * GATE_SUMS

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        cdef Py_ssize_t n = index // self.blocks, c = index % self.blocks * GATE_SUMS
        cdef Py_ssize_t at = n * self.P * self.C + c, count = min(<Py_ssize_t>GATE_SUMS, self.C - c)
        if self.is_double:
            sum_products(<double *>self.dy + at, <double *>self.x + at, <double *>self.gate + n * self.C + c,
                         self.P, self.C, count)
        else:
            sum_products(<float *>self.dy + at, <float *>self.x + at, <float *>self.gate + n * self.C + c,
                         self.P, self.C, count)


cdef void sum_products(
    const real_t *dy,           # IN   (P, count), rows C numbers apart
    const real_t *x,            # IN   the same
    real_t *total,              # OUT  (count)
    Py_ssize_t P, Py_ssize_t C, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t p, k
    cdef double sums[GATE_SUMS]
    for k in range(GATE_SUMS):
        sums[k] = 0
    if count == GATE_SUMS:
        for p in range(P):
            for k in range(GATE_SUMS):
                sums[k] += <double>dy[p * C + k] * x[p * C + k]
    else:
        for p in range(P):
            for k in range(count):
                sums[k] += <double>dy[p * C + k] * x[p * C + k]
    for k in range(count):
        total[k] = <real_t>sums[k]
