# L1 and L2 penalties on weights, and their gradients.

cdef class Penalty(Step):
    """Compute l1 * sum of |w| + l2 * sum of w**2, accumulated in float64; a call returns this penalty.

    Adds l1 * sign(w) + 2 * l2 * w to `gradient` unless that is None.
    """

    cdef readonly double value      # the penalty computed by the last call
    cdef Py_ssize_t size
    cdef double l1, l2
    cdef void *weight
    cdef void *gradient             # NULL if not needed

    def __init__(self, weight, gradient, double l1, double l2):
        self.size = weight.size
        self.weight = self.real(weight, self.size, False)
        if gradient is not None:
            self.gradient = self.real(gradient, self.size, True)
        self.l1, self.l2 = l1, l2
        self.unit_cost = 60.0 * self.size

    def __call__(self):
        self.run()
        return self.value

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        if self.is_double:
            self.value = penalty(<double *>self.weight, self.size, self.l1, self.l2)
            if self.gradient != NULL:
                add_penalty_gradient(<double *>self.weight, <double *>self.gradient, self.size, self.l1, self.l2)
        else:
            self.value = penalty(<float *>self.weight, self.size, self.l1, self.l2)
            if self.gradient != NULL:
                add_penalty_gradient(<float *>self.weight, <float *>self.gradient, self.size, <float>self.l1,
                                     <float>self.l2)


cdef double penalty(const real_t *weight, Py_ssize_t size, double l1, double l2) noexcept nogil:
    # Sixteen partial sums, so that the loop is vectorized.
    cdef double sums[16]
    cdef double w
    cdef Py_ssize_t i
    memset(sums, 0, sizeof(sums))
    for i in range(size // 16):
        add_penalties(sums, weight + 16 * i, l1, l2)
    for i in range(size // 16 * 16, size):
        w = weight[i]
        sums[0] += l1 * fabs(w) + l2 * w * w
    for i in range(1, 16):
        sums[0] += sums[i]
    return sums[0]


cdef inline void add_penalties(double *sums, const real_t *weight, double l1, double l2) noexcept nogil:
    cdef Py_ssize_t k
    cdef double w
    for k in range(16):
        w = weight[k]
        sums[k] += l1 * fabs(w) + l2 * w * w


cdef void add_penalty_gradient(const real_t *weight, real_t *gradient, Py_ssize_t size, real_t l1,
                               real_t l2) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t w
    for i in range(size):
        w = weight[i]
        gradient[i] += (l1 if w > 0 else -l1 if w < 0 else <real_t>0) + 2 * l2 * w
