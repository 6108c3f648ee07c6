# The check for non-finite values, in one pass over all gradients of a network.

cdef class AllFinite(Step):
    """Check that no element of an array is infinite or NaN; a call returns a bool.

    `others` are steps that write to parts of the array and report whether their output is finite. These parts are not
    read again. For example, the gradients of a dense layer for a single image are finite if the largest product is.
    """

    cdef readonly bint value        # the result of the last call
    cdef readonly tuple others
    cdef bint others_finite         # whether all outputs of `others` are finite
    cdef void *x
    cdef Py_ssize_t *gaps           # (gap_count, 2): first element to read, and the end, of each gap between `others`
    cdef Py_ssize_t gap_count

    def __init__(self, x, others=()):
        self.x = self.real(x, x.size, False)
        self.others = tuple(others)
        self.gaps = <Py_ssize_t *>self.reserve(2 * (len(self.others) + 1), sizeof(Py_ssize_t))
        self.gap_count = len(self.others) + 1
        cdef Py_ssize_t at = 0, k = 0, first, last
        for first, last in sorted(elements_written(x, step) for step in self.others):
            if first < at or last > x.size:
                raise ValueError("AllFinite: expected steps that write to disjoint parts of the array")
            self.gaps[2 * k], self.gaps[2 * k + 1] = at, first
            at, k = last, k + 1
        self.gaps[2 * k], self.gaps[2 * k + 1] = at, x.size

    def __call__(self):
        self.run()
        return self.value

    cdef int run(self, bint same_weights=False) except -1:
        self.others_finite = True
        for other in self.others:
            self.others_finite = self.others_finite and (<Step>other).found_finite
        return Step.run(self, same_weights)

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t k
        self.value = self.others_finite
        for k in range(self.gap_count):
            if self.is_double:
                self.value = self.value and gap_is_finite(<double *>self.x, self.gaps + 2 * k)
            else:
                self.value = self.value and gap_is_finite(<float *>self.x, self.gaps + 2 * k)


def elements_written(x, step):
    """Return the range of elements of x that a step writes: the first, and the end."""
    if not isinstance(step, Step) or not step.reports_finite or step.out.dtype != x.dtype:
        raise ValueError(f"AllFinite: expected steps that report whether their output is finite, got {step!r}")
    # Python's integers: in a 32-bit process, half of all addresses do not fit into Py_ssize_t.
    first = (step.out.__array_interface__["data"][0] - x.__array_interface__["data"][0]) // x.itemsize
    return first, first + step.out.size


cdef bint gap_is_finite(const real_t *x, const Py_ssize_t *gap) noexcept nogil:
    return all_finite(x + gap[0], gap[1] - gap[0])


# Partial sums: four vectors of AVX-512, so that additions do not wait for the one before.
cdef enum:
    SUMS = 64


cdef bint all_finite(const real_t *x, Py_ssize_t size) noexcept nogil:
    # x - x is 0 for every finite x and NaN for the others, and a sum with a NaN is NaN: no branches, no overflow.
    cdef Py_ssize_t i
    cdef real_t sums[SUMS]
    memset(sums, 0, sizeof(sums))
    for i in range(size // SUMS):
        add_differences(sums, x + SUMS * i)
    for i in range(size // SUMS * SUMS, size):
        sums[0] += x[i] - x[i]
    for i in range(1, SUMS):
        sums[0] += sums[i]
    return sums[0] == 0


cdef inline void add_differences(real_t *sums, const real_t *x) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(SUMS):
        sums[k] += x[k] - x[k]
