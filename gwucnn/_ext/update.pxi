# Optimizer passes over the flat arrays of all weights of a network, and a look for numbers that are not finite.
#
# One loop reads gradient and slots and writes slots and value while they are in registers; the update rules are
# PyTorch's (torch.optim.SGD, Adam, AdamW, RMSprop and Adagrad, 2.13), with Keras' names. The learning rate changes
# between calls, so it is an attribute.

from libc.math cimport pow, sqrt, sqrtf

cdef class Update(Step):
    """One optimizer pass: changes values and slots in place."""

    cdef public double lr
    cdef Py_ssize_t size, lead      # numbers; those before the first that begins a cache line
    cdef void *value
    cdef void *grad

    def __init__(self, value, grad):
        self.size = value.size
        self.value = self.real(value, self.size, True)
        self.grad = self.real(grad, self.size, False)
        self.out = value
        self.lead = min(<Py_ssize_t>(-<size_t>self.value % 64) // <Py_ssize_t>value.itemsize, self.size)
        self.units = max((self.size - self.lead + ELEMENTS - 1) // ELEMENTS, 1)
        self.unit_cost = 60.0 * ELEMENTS

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """Update the values from `first` up to, not including, `last`."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        # Vectors that straddle two cache lines would take longer.
        if index == 0:
            self.some(0, self.lead)
        self.some(self.lead + index * ELEMENTS, min(self.lead + (index + 1) * ELEMENTS, self.size))


cdef class SGD(Update):
    """velocity = momentum * velocity + grad; value -= lr * velocity (nesterov: lr * (grad + momentum * velocity))."""

    cdef void *velocity             # NULL without momentum
    cdef double momentum
    cdef bint nesterov

    def __init__(self, value, grad, velocity, double momentum, bint nesterov):
        Update.__init__(self, value, grad)
        self.momentum = momentum
        self.nesterov = nesterov
        if velocity is not None:
            self.velocity = self.real(velocity, self.size, True)

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            sgd(<double *>self.value, <double *>self.grad, <double *>self.velocity, first, last, self.lr,
                self.momentum, self.nesterov)
        else:
            sgd(<float *>self.value, <float *>self.grad, <float *>self.velocity, first, last, <float>self.lr,
                <float>self.momentum, self.nesterov)


cdef void sgd(real_t *value, const real_t *grad, real_t *velocity, Py_ssize_t first, Py_ssize_t last, real_t lr,
              real_t momentum, bint nesterov) noexcept nogil:
    cdef Py_ssize_t i
    if velocity == NULL:
        for i in range(first, last):
            value[i] -= lr * grad[i]
    elif nesterov:
        for i in range(first, last):
            velocity[i] = momentum * velocity[i] + grad[i]
            value[i] -= lr * (grad[i] + momentum * velocity[i])
    else:
        for i in range(first, last):
            velocity[i] = momentum * velocity[i] + grad[i]
            value[i] -= lr * velocity[i]


cdef class Adam(Update):
    """Kingma and Ba, arXiv:1412.6980, algorithm 1, in PyTorch's order of operations.

    m = beta_1*m + (1 - beta_1)*grad; v = beta_2*v + (1 - beta_2)*grad**2; value *= 1 - lr*weight_decay;
    value -= lr / (1 - beta_1**t) * m / (sqrt(v) / sqrt(1 - beta_2**t) + epsilon), t counted by `step`.
    """

    cdef public long long step
    cdef void *m
    cdef void *v
    cdef double beta_1, beta_2, epsilon, weight_decay

    def __init__(self, value, grad, m, v, double beta_1, double beta_2, double epsilon, double weight_decay):
        Update.__init__(self, value, grad)
        self.m = self.real(m, self.size, True)
        self.v = self.real(v, self.size, True)
        self.beta_1, self.beta_2, self.epsilon, self.weight_decay = beta_1, beta_2, epsilon, weight_decay
        self.unit_cost = 120.0 * ELEMENTS

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef double rate = self.lr / (1 - pow(self.beta_1, self.step)), root = sqrt(1 - pow(self.beta_2, self.step))
        cdef double shrink = 1 - self.lr * self.weight_decay
        if self.is_double:
            adam(<double *>self.value, <double *>self.grad, <double *>self.m, <double *>self.v, first, last, rate,
                 root, self.beta_1, self.beta_2, self.epsilon, shrink)
        else:
            adam(<float *>self.value, <float *>self.grad, <float *>self.m, <float *>self.v, first, last, <float>rate,
                 <float>root, self.beta_1, self.beta_2, <float>self.epsilon, <float>shrink)


cdef inline real_t square_root(real_t x) noexcept nogil:
    if real_t is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef void adam(real_t *value, const real_t *grad, real_t *m, real_t *v, Py_ssize_t first, Py_ssize_t last, real_t rate,
               real_t root, double beta_1, double beta_2, real_t epsilon, real_t shrink) noexcept nogil:
    cdef Py_ssize_t i
    # Rounded once, here: 1 - beta in float32 would carry the rounding error of beta.
    cdef real_t keep_1 = <real_t>beta_1, keep_2 = <real_t>beta_2, add_1 = <real_t>(1 - beta_1)
    cdef real_t add_2 = <real_t>(1 - beta_2)
    for i in range(first, last):
        m[i] = keep_1 * m[i] + add_1 * grad[i]
        v[i] = keep_2 * v[i] + add_2 * grad[i] * grad[i]
        value[i] = shrink * value[i] - rate * m[i] / (square_root(v[i]) / root + epsilon)


cdef class RMSprop(Update):
    """square = rho*square + (1 - rho)*grad**2; value -= lr * grad / (sqrt(square) + epsilon).

    With `mean`, the average of grad, square - mean**2 stands under the root; with `velocity`, momentum * velocity plus
    the quotient takes the quotient's place.
    """

    cdef void *square
    cdef void *mean                 # NULL unless centered
    cdef void *velocity             # NULL without momentum
    cdef double rho, momentum, epsilon

    def __init__(self, value, grad, square, mean, velocity, double rho, double momentum, double epsilon):
        Update.__init__(self, value, grad)
        self.square = self.real(square, self.size, True)
        if mean is not None:
            self.mean = self.real(mean, self.size, True)
        if velocity is not None:
            self.velocity = self.real(velocity, self.size, True)
        self.rho, self.momentum, self.epsilon = rho, momentum, epsilon
        self.unit_cost = 120.0 * ELEMENTS

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            rmsprop(<double *>self.value, <double *>self.grad, <double *>self.square, <double *>self.mean,
                    <double *>self.velocity, first, last, self.lr, self.rho, self.momentum, self.epsilon)
        else:
            rmsprop(<float *>self.value, <float *>self.grad, <float *>self.square, <float *>self.mean,
                    <float *>self.velocity, first, last, <float>self.lr, self.rho, <float>self.momentum,
                    <float>self.epsilon)


cdef void rmsprop(real_t *value, const real_t *grad, real_t *square, real_t *mean, real_t *velocity, Py_ssize_t first,
                  Py_ssize_t last, real_t lr, double rho, real_t momentum, real_t epsilon) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t keep = <real_t>rho, add = <real_t>(1 - rho), under, move
    for i in range(first, last):
        square[i] = keep * square[i] + add * grad[i] * grad[i]
        under = square[i]
        if mean != NULL:
            mean[i] = keep * mean[i] + add * grad[i]
            # A variance that is 0 may round to less; the comparison leaves NaN alone.
            under = under - mean[i] * mean[i]
            under = <real_t>0 if under < 0 else under
        move = grad[i] / (square_root(under) + epsilon)
        if velocity != NULL:
            velocity[i] = momentum * velocity[i] + move
            move = velocity[i]
        value[i] -= lr * move


cdef class Adagrad(Update):
    """accumulator += grad**2; value -= lr * grad / (sqrt(accumulator) + epsilon)."""

    cdef void *accumulator
    cdef double epsilon

    def __init__(self, value, grad, accumulator, double epsilon):
        Update.__init__(self, value, grad)
        self.accumulator = self.real(accumulator, self.size, True)
        self.epsilon = epsilon
        self.unit_cost = 120.0 * ELEMENTS

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            adagrad(<double *>self.value, <double *>self.grad, <double *>self.accumulator, first, last, self.lr,
                    self.epsilon)
        else:
            adagrad(<float *>self.value, <float *>self.grad, <float *>self.accumulator, first, last, <float>self.lr,
                    <float>self.epsilon)


cdef void adagrad(real_t *value, const real_t *grad, real_t *accumulator, Py_ssize_t first, Py_ssize_t last, real_t lr,
                  real_t epsilon) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first, last):
        accumulator[i] += grad[i] * grad[i]
        value[i] -= lr * grad[i] / (square_root(accumulator[i]) + epsilon)


cdef class AllFinite(Step):
    """Whether no number of an array is infinite or NaN; a call returns a bool.

    What `others` wrote last, steps that vouch for it, is not read again: of a dense layer that saw one image, all
    gradients are finite if the largest product is.
    """

    cdef readonly bint value        # the answer for the numbers that were looked at last
    cdef tuple others
    cdef bint vouched               # their answer
    cdef void *x
    cdef Py_ssize_t *gaps           # (gap_count, 2): first and last number, not included, to look at
    cdef Py_ssize_t gap_count

    def __init__(self, x, others=()):
        self.x = self.real(x, x.size, False)
        self.others = tuple(others)
        self.gaps = <Py_ssize_t *>self.reserve(2 * (len(self.others) + 1), sizeof(Py_ssize_t))
        self.gap_count = len(self.others) + 1
        cdef Py_ssize_t begin = x.__array_interface__["data"][0], at = 0, k = 0, first, last
        for first, last in sorted(place_in(begin, x, step) for step in self.others):
            if first < at or last > x.size:
                raise ValueError("AllFinite: expected steps that write to parts of the array, none twice")
            self.gaps[2 * k], self.gaps[2 * k + 1] = at, first
            at, k = last, k + 1
        self.gaps[2 * k], self.gaps[2 * k + 1] = at, x.size

    def __call__(self):
        self.run()
        return self.value

    cdef int run(self, bint same_weights=False) except -1:
        self.vouched = True
        for other in self.others:
            self.vouched = self.vouched and (<Step>other).sound
        return Step.run(self, same_weights)

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        cdef Py_ssize_t k
        self.value = self.vouched
        for k in range(self.gap_count):
            if self.is_double:
                self.value = self.value and gap_is_finite(<double *>self.x, self.gaps + 2 * k)
            else:
                self.value = self.value and gap_is_finite(<float *>self.x, self.gaps + 2 * k)


def place_in(Py_ssize_t begin, x, step):
    """Return which numbers of x a step writes, from the first up to, not including, the last."""
    if not isinstance(step, Step) or not step.vouches or step.out.dtype != x.dtype:
        raise ValueError(f"AllFinite: expected steps that vouch for what they write, got {step!r}")
    first = (<Py_ssize_t>step.out.__array_interface__["data"][0] - begin) // <Py_ssize_t>x.itemsize
    return first, first + step.out.size


cdef bint gap_is_finite(const real_t *x, const Py_ssize_t *gap) noexcept nogil:
    return all_finite(x + gap[0], gap[1] - gap[0])


# Sums that run side by side: four vectors of AVX-512, so that an addition need not wait for the one before.
cdef enum:
    SUMS = 64


cdef bint all_finite(const real_t *x, Py_ssize_t size) noexcept nogil:
    # x - x is 0 for every finite number and NaN for the others, and adding keeps a NaN: no branch, no overflow.
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


cdef class FillZero(Step):
    """Set all numbers of an array to 0; a product with 0 would keep a NaN."""

    cdef void *x
    cdef Py_ssize_t bytes

    def __init__(self, x):
        self.x = self.real(x, x.size, True)
        self.bytes = x.nbytes
        self.out = x

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        memset(self.x, 0, self.bytes)
