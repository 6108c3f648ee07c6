# Activations, which are computed element by element, softmax, which is computed row by row, and their gradients.
#
#   relu     y = x if x > 0 else 0 (NaN stays NaN)       dx = dy if y > 0 else 0
#   softmax  y[k] = exp(x[k] - max x) / sum              dx[k] = y[k] * (dy[k] - sum over l of dy[l] * y[l])
#
# sigmoid, tanh and the others are implemented in elementary.h and looked up by name in activation_table.h. If the
# gradient needs only the output, a layer may compute in place: x and y, or dy and dx, can be the same array.

from libc.math cimport exp, fabs, log1p, log

cdef extern from "elementwise/activation_table.h" nogil:
    ctypedef struct Formula:
        const char *name
        double operations
        void (*f32)(const float *x, float *y, Py_ssize_t count, float option) noexcept nogil
        void (*f64)(const double *x, double *y, Py_ssize_t count, double option) noexcept nogil
        void (*backward_f32)(const float *dy, const float *x, float *dx, Py_ssize_t count, float option) noexcept nogil
        void (*backward_f64)(const double *dy, const double *x, double *dx, Py_ssize_t count,
                             double option) noexcept nogil
    const Formula *formulas
    enum: FORMULAS
    double exp_minus_abs_of(const void *x)
    double sigmoid_of(const void *x)

# Elements in a work unit: 16 kB of float32, enough to be worth a thread's while.
cdef enum:
    ELEMENTS = 4096


cdef inline real_t exp_minus_abs(real_t x) noexcept nogil:
    """Return exp(-|x|)."""
    return <real_t>exp_minus_abs_of(&x)


cdef class Elementwise(Step):
    """Compute b from a element by element, for any shape; subclasses override `compute_range`."""

    cdef void *a
    cdef void *b
    cdef Py_ssize_t size

    def __init__(self, a, b):
        self.size = a.size
        self.a = self.real(a, self.size, False)
        self.b = self.real(b, self.size, True)
        self.out = b
        self.units = (self.size + ELEMENTS - 1) // ELEMENTS
        self.unit_cost = ELEMENTS * self.operations()

    cdef double operations(self) noexcept nogil:
        """Return the cost of an element in operations; reading and writing it takes as long as 40 in registers."""
        return 40.0

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """Compute the elements from `first` up to, not including, `last`."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        self.compute_range(index * ELEMENTS, min((index + 1) * ELEMENTS, self.size))


cdef class Relu(Elementwise):
    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            relu_range(<double *>self.a, <double *>self.b, first, last)
        else:
            relu_range(<float *>self.a, <float *>self.b, first, last)


cdef void relu_range(const real_t *x, real_t *y, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first, last):
        y[i] = 0 if x[i] <= 0 else x[i]


cdef class ElementwiseBackward(Elementwise):
    """Compute b = dx from a = dy and y, which is the output of the activation, or for some its input."""

    cdef void *y

    def __init__(self, dy, y, dx):
        Elementwise.__init__(self, dy, dx)
        self.y = self.real(y, self.size, False)


cdef class ReluBackward(ElementwiseBackward):
    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            relu_backward_range(<double *>self.a, <double *>self.y, <double *>self.b, first, last)
        else:
            relu_backward_range(<float *>self.a, <float *>self.y, <float *>self.b, first, last)


cdef void relu_backward_range(const real_t *dy, const real_t *y, real_t *dx, Py_ssize_t first,
                              Py_ssize_t last) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(first, last):
        dx[i] = relu_gradient(y[i], dy[i])


cdef inline real_t relu_gradient(real_t y, real_t dy) noexcept nogil:
    # The caller has already read dy, whatever y is: a loop with conditional reads is vectorized only on processors with
    # mask registers.
    return 0 if y <= 0 else dy


cdef const Formula *find_formula(name) except NULL:
    for i in range(FORMULAS):
        if formulas[i].name == <bytes>name.encode():
            return &formulas[i]
    raise ValueError(f"expected the name of a formula, got {name!r}")


cdef class Activation(Elementwise):
    """Compute b = f(a), where f is the formula called `name`; `option` is its parameter, if it has one."""

    cdef const Formula *formula
    cdef double option

    def __init__(self, name, x, y, double option):
        self.formula = find_formula(name)
        self.option = option
        Elementwise.__init__(self, x, y)

    cdef double operations(self) noexcept nogil:
        return self.formula.operations

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            self.formula.f64(<double *>self.a + first, <double *>self.b + first, last - first, self.option)
        else:
            self.formula.f32(<float *>self.a + first, <float *>self.b + first, last - first, <float>self.option)


cdef class ActivationBackward(ElementwiseBackward):
    """Compute b = dy * f', where a = dy; f' is computed from y, the output, or from x where the formula needs it."""

    cdef const Formula *formula
    cdef double option

    def __init__(self, name, dy, y, dx, double option):
        self.formula = find_formula(name)
        self.option = option
        ElementwiseBackward.__init__(self, dy, y, dx)

    cdef double operations(self) noexcept nogil:
        return self.formula.operations

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            self.formula.backward_f64(<double *>self.a + first, <double *>self.y + first, <double *>self.b + first,
                                      last - first, self.option)
        else:
            self.formula.backward_f32(<float *>self.a + first, <float *>self.y + first, <float *>self.b + first,
                                      last - first, <float>self.option)


cdef class Rowwise(Step):
    """Process an array of R rows of K elements row by row; subclasses override `row`."""

    cdef Py_ssize_t R, K

    cdef void row(self, Py_ssize_t r) noexcept nogil:
        """Compute row r."""

    cdef int rows(self, array) except -1:
        self.K = array.shape[array.ndim - 1]
        self.R = array.size // max(self.K, 1)
        self.units = self.R
        self.unit_cost = 400.0 * self.K
        return 0

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        self.row(index)


cdef class Softmax(Rowwise):
    cdef void *x
    cdef void *y

    def __init__(self, x, y):
        self.rows(x)
        self.x = self.real(x, self.R * self.K, False)
        self.y = self.real(y, self.R * self.K, True)
        self.out = y

    cdef void row(self, Py_ssize_t r) noexcept nogil:
        if self.is_double:
            softmax_row(<double *>self.x + r * self.K, <double *>self.y + r * self.K, self.K)
        else:
            softmax_row(<float *>self.x + r * self.K, <float *>self.y + r * self.K, self.K)


cdef double softmax_row(const real_t *x, real_t *y, Py_ssize_t K) noexcept nogil:
    """Fill y with the softmax of x and return log(sum of exp(x))."""
    cdef Py_ssize_t k
    cdef real_t largest = x[0]
    cdef double total = 0
    for k in range(1, K):
        # Let NaN become the maximum, which makes every output of this row NaN.
        largest = x[k] if not x[k] <= largest else largest
    for k in range(K):
        y[k] = exp_minus_abs(x[k] - largest)
    for k in range(K):  # a separate loop, so that the one before is vectorized
        total += y[k]
    for k in range(K):
        y[k] = <real_t>(y[k] / total)
    return largest + log(total)


cdef class SoftmaxBackward(Rowwise):
    cdef void *dy
    cdef void *y
    cdef void *dx

    def __init__(self, dy, y, dx):
        self.rows(dy)
        self.dy = self.real(dy, self.R * self.K, False)
        self.y = self.real(y, self.R * self.K, False)
        self.dx = self.real(dx, self.R * self.K, True)
        self.out = dx

    cdef void row(self, Py_ssize_t r) noexcept nogil:
        cdef Py_ssize_t at = r * self.K
        if self.is_double:
            softmax_backward_row(<double *>self.dy + at, <double *>self.y + at, <double *>self.dx + at, self.K)
        else:
            softmax_backward_row(<float *>self.dy + at, <float *>self.y + at, <float *>self.dx + at, self.K)


cdef void softmax_backward_row(const real_t *dy, const real_t *y, real_t *dx, Py_ssize_t K) noexcept nogil:
    cdef Py_ssize_t k
    cdef double total = 0
    for k in range(K):
        total += <double>dy[k] * y[k]
    for k in range(K):
        dx[k] = <real_t>(y[k] * (dy[k] - total))
