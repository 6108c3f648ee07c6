# Optimizer updates: one pass over the flat arrays that hold all weights of a network, their gradients and the state.
#
# One loop reads the gradient and the optimizer's slots, and writes slots and weights while they are in registers. The
# update rules are those of PyTorch 2.13 (torch.optim.SGD, Adam, AdamW, RMSprop and Adagrad), with the names of Keras.
# The learning rate changes between calls, so it is an attribute.

from libc.math cimport pow, sqrt, sqrtf

cdef extern from "variants/kernels.h" nogil:
    void descend(Py_ssize_t first, Py_ssize_t last, Py_ssize_t U, const void *x, const void *dy, double lr,
                 void *weight)


cdef class Update(Step):
    """Base class: one optimizer pass, which updates values and slots in place."""

    cdef public double lr
    cdef Py_ssize_t size            # number of elements
    cdef Py_ssize_t lead            # number of elements before the first that begins a cache line
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

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """Update the values from `first` up to, not including, `last`."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        # Units begin at cache lines, because vectors that straddle two of them take longer; unit 0 includes the lead.
        if index == 0:
            self.compute_range(0, self.lead)
        self.compute_range(self.lead + index * ELEMENTS, min(self.lead + (index + 1) * ELEMENTS, self.size))


# Largest number of layers whose gradients SGD computes itself; it reads the gradients of all others.
cdef enum:
    MAX_FORMED = 4


cdef struct Products:
    # The gradients x[d] * dy[u] of the weights from element `first` up to, not including, `last`.
    Py_ssize_t first, last, U
    void *x
    void *dy


cdef class SGD(Update):
    """velocity = momentum * velocity + grad; value -= lr * velocity (nesterov: lr * (grad + momentum * velocity)).

    Without momentum every gradient is used only once. The gradients of a dense layer for a single image, which are
    products of two vectors, can then be computed during the update instead of being written to memory and read again:
    see `defer_gradients`.
    """

    cdef void *velocity             # NULL without momentum
    cdef double momentum
    cdef bint nesterov
    cdef list deferred              # steps whose gradients are computed here
    cdef Products products[MAX_FORMED]      # these gradients, in the order of their offsets
    cdef int formed                 # number of products in use

    def __init__(self, value, grad, velocity, double momentum, bint nesterov):
        Update.__init__(self, value, grad)
        self.momentum = momentum
        self.nesterov = nesterov
        self.deferred = []
        if velocity is not None:
            self.velocity = self.real(velocity, self.size, True)

    def defer_gradients(self, steps):
        """Make these steps stop writing their gradients, if this update can compute the gradients itself.

        The effect lasts until `apply_deferred`, which writes the gradients of the last batch. Nothing else may read
        these gradients in between. Steps whose gradients cannot be deferred are ignored.
        """
        self.apply_deferred()
        offsets = [(self.offset_of(step), step) for step in steps if self.can_form(step)]
        for first, step in sorted(offsets, key=lambda pair: pair[0])[:MAX_FORMED]:
            describe_products(&self.products[self.formed], first, step)
            self.deferred.append(step)
            self.formed += 1

    def apply_deferred(self):
        """Make the deferred steps write their gradients again: those of the last batch now, and on every later call."""
        self.formed = 0
        for step in self.deferred:
            (<DenseFewRowsBackwardWeight>step).deferred = False
            step()
        self.deferred = []

    cdef Py_ssize_t offset_of(self, DenseFewRowsBackwardWeight step):
        return (<char *>step.weight - <char *>self.grad) // (8 if self.is_double else 4)

    cdef bint can_form(self, candidate):
        cdef DenseFewRowsBackwardWeight step
        if self.velocity != NULL or not isinstance(candidate, DenseFewRowsBackwardWeight):
            return False
        step = candidate
        return (step.reports_finite and step.is_double == self.is_double and step.U >= lanes_of(self.is_double)
                and 0 <= self.offset_of(step) <= self.size - step.D * step.U)

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef const Products *products
        cdef Py_ssize_t k
        for k in range(self.formed):
            products = &self.products[k]
            if products.first >= last or products.last <= first:
                continue
            self.update_from_gradients(first, products.first)
            first = max(first, products.first)
            self.update_from_products(products, first, min(last, products.last))
            first = min(last, products.last)
        self.update_from_gradients(first, last)

    cdef void update_from_gradients(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            sgd(<double *>self.value, <double *>self.grad, <double *>self.velocity, first, last, self.lr,
                self.momentum, self.nesterov)
        else:
            sgd(<float *>self.value, <float *>self.grad, <float *>self.velocity, first, last, <float>self.lr,
                <float>self.momentum, self.nesterov)

    cdef void update_from_products(self, const Products *products, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            descend(first - products.first, last - products.first, products.U, <double *>products.x,
                    <double *>products.dy, self.lr, <double *>self.value + products.first)
        else:
            descend(first - products.first, last - products.first, products.U, <float *>products.x,
                    <float *>products.dy, <float>self.lr, <float *>self.value + products.first)


cdef int describe_products(Products *products, Py_ssize_t first, DenseFewRowsBackwardWeight step) except -1:
    products.first, products.last, products.U = first, first + step.D * step.U, step.U
    products.x, products.dy = step.x, step.y
    step.deferred = True
    return 0


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
    """Adam: D. P. Kingma and J. Ba, arXiv:1412.6980, algorithm 1, in PyTorch's order of operations.

    m = beta_1*m + (1 - beta_1)*grad; v = beta_2*v + (1 - beta_2)*grad**2; value *= 1 - lr*weight_decay;
    value -= lr / (1 - beta_1**t) * m / (sqrt(v) / sqrt(1 - beta_2**t) + epsilon), where t is `step`.
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

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
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
    # Round 1 - beta once, from double: computed in float32, it would inherit the rounding error of beta.
    cdef real_t keep_1 = <real_t>beta_1, keep_2 = <real_t>beta_2, add_1 = <real_t>(1 - beta_1)
    cdef real_t add_2 = <real_t>(1 - beta_2)
    for i in range(first, last):
        m[i] = keep_1 * m[i] + add_1 * grad[i]
        v[i] = keep_2 * v[i] + add_2 * grad[i] * grad[i]
        value[i] = shrink * value[i] - rate * m[i] / (square_root(v[i]) / root + epsilon)


cdef class RMSprop(Update):
    """square = rho*square + (1 - rho)*grad**2; value -= lr * grad / (sqrt(square) + epsilon).

    With `mean`, the running mean of grad, square - mean**2 replaces square under the root. With `velocity`, velocity =
    momentum * velocity + quotient replaces the quotient.
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

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
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
    cdef real_t keep = <real_t>rho, add = <real_t>(1 - rho), mean_square, change
    for i in range(first, last):
        square[i] = keep * square[i] + add * grad[i] * grad[i]
        mean_square = square[i]
        if mean != NULL:
            mean[i] = keep * mean[i] + add * grad[i]
            # Rounding can make a variance of 0 negative. The comparison leaves NaN unchanged.
            mean_square = mean_square - mean[i] * mean[i]
            mean_square = <real_t>0 if mean_square < 0 else mean_square
        change = grad[i] / (square_root(mean_square) + epsilon)
        if velocity != NULL:
            velocity[i] = momentum * velocity[i] + change
            change = velocity[i]
        value[i] -= lr * change


cdef class Adagrad(Update):
    """accumulator += grad**2; value -= lr * grad / (sqrt(accumulator) + epsilon)."""

    cdef void *accumulator
    cdef double epsilon

    def __init__(self, value, grad, accumulator, double epsilon):
        Update.__init__(self, value, grad)
        self.accumulator = self.real(accumulator, self.size, True)
        self.epsilon = epsilon
        self.unit_cost = 120.0 * ELEMENTS

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
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


cdef class FillZero(Step):
    """Set all elements of an array to 0, even NaN, which multiplication by 0 would preserve."""

    cdef void *x
    cdef Py_ssize_t bytes

    def __init__(self, x):
        self.x = self.real(x, x.size, True)
        self.bytes = x.nbytes
        self.out = x

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        memset(self.x, 0, self.bytes)
