# Gradient clipping by norm: R. Pascanu et al., "On the difficulty of training recurrent neural networks",
# ICML 2013, arXiv:1211.5063, algorithm 1.

from libc.math cimport HUGE_VAL


cdef class ClipNorm(Step):
    """Multiply x by limit / norm if its norm, the root of the sum of squares, exceeds limit; a call returns the norm.

    x stays unchanged if an element is infinite or NaN.
    """

    cdef readonly double value      # the norm found by the last call
    cdef void *x
    cdef Py_ssize_t size
    cdef double limit

    def __init__(self, x, double limit):
        self.size = x.size
        self.x = self.real(x, self.size, True)
        self.limit = limit
        self.unit_cost = 20.0 * self.size

    def __call__(self):
        self.run()
        return self.value

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        if self.is_double:
            self.value = clip_norm(<double *>self.x, self.size, self.limit)
        else:
            self.value = clip_norm(<float *>self.x, self.size, self.limit)


cdef double clip_norm(real_t *x, Py_ssize_t size, double limit) noexcept nogil:
    cdef Py_ssize_t i
    cdef double norm = norm_of(x, size), factor
    if limit < norm < HUGE_VAL:
        factor = limit / norm
        for i in range(size):
            x[i] = <real_t>(x[i] * factor)
    return norm


cdef double norm_of(const real_t *x, Py_ssize_t size) noexcept nogil:
    cdef double total = sum_of_squares(x, size, 1), largest = 0
    cdef Py_ssize_t i
    if not total == HUGE_VAL:
        return sqrt(total)
    # The squares of float64 values beyond 1e154 overflow; those of values divided by the largest do not.
    for i in range(size):
        largest = max(largest, fabs(x[i]))
    return largest if largest == HUGE_VAL else largest * sqrt(sum_of_squares(x, size, 1 / largest))


cdef double sum_of_squares(const real_t *x, Py_ssize_t size, double factor) noexcept nogil:
    # Sixteen partial sums, so that the loop is vectorized.
    cdef double sums[16]
    cdef Py_ssize_t i
    memset(sums, 0, sizeof(sums))
    for i in range(size // 16):
        add_squares(sums, x + 16 * i, factor)
    for i in range(size // 16 * 16, size):
        sums[0] += (x[i] * factor) * (x[i] * factor)
    for i in range(1, 16):
        sums[0] += sums[i]
    return sums[0]


cdef inline void add_squares(double *sums, const real_t *x, double factor) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(16):
        sums[k] += (x[k] * factor) * (x[k] * factor)
