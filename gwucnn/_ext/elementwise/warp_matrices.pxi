# Matrices for warp.pxi, computed from random numbers. They map each pixel of the result to its position in x.
#
#   numbers u (N, K) in [0, 1), matrices (N, 2, 3); each number is scaled to the range of a factor:
#   factor[k] = low[k] + u[k] * (high[k] - low[k])
#
#   translation  K = 2       shift down and to the right, as fractions of the height and of the width
#   rotation     K = 1       fraction of a full turn, counter-clockwise as displayed, about the centre of the image
#   zoom         K = 1 or 2  1 + factor pixels of x, vertically and horizontally, per pixel of y; about the centre
#   flip         K = 1 or 2  flip vertically, or horizontally, if the number is below 1/2
#
# The centre is at ((H - 1) / 2, (W - 1) / 2). The arithmetic is in double, so that small sizes and fractions are exact.

from libc.math cimport cos, sin

cdef double FULL_TURN = 6.283185307179586

cdef class WarpMatrices(Step):
    cdef Py_ssize_t K
    cdef double H, W
    cdef double low[2]
    cdef double high[2]
    cdef void *number               # (N, K)                                              IN
    cdef void *matrix               # (N, 2, 3)                                           OUT

    def __init__(self, numbers, matrices, size, *ranges):
        self.units, self.K = numbers.shape
        if self.K not in (1, 2) or len(ranges) != self.K:
            raise ValueError(f"{type(self).__name__}: expected one range for each of one or two numbers, got "
                             f"{numbers.shape} and {ranges}")
        self.H, self.W = size
        for k, (low, high) in enumerate(ranges):
            self.low[k], self.high[k] = low, high
        self.number = self.real(numbers, self.units * self.K, False)
        self.matrix = self.real(matrices, self.units * 6, True)
        self.out = matrices
        self.unit_cost = 3000.0

    cdef void fill_matrix(self, const double *f, double *m) noexcept nogil:
        """Fill m (2, 3) from the factors f (K)."""

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t k
        cdef double u
        cdef double f[2]
        cdef double m[6]
        for k in range(self.K):
            u = (<double *>self.number)[n * self.K + k] if self.is_double else (<float *>self.number)[n * self.K + k]
            f[k] = self.low[k] + u * (self.high[k] - self.low[k])
        self.fill_matrix(f, m)
        for k in range(6):
            if self.is_double:
                (<double *>self.matrix)[n * 6 + k] = m[k]
            else:
                (<float *>self.matrix)[n * 6 + k] = <float>m[k]

    cdef void keep_centre_in_place(self, double *m) noexcept nogil:
        """Set the offsets m[2] and m[5] such that the linear part maps the centre of the image to itself."""
        cdef double i = (self.H - 1) / 2, j = (self.W - 1) / 2
        m[2] = i - m[0] * i - m[1] * j
        m[5] = j - m[3] * i - m[4] * j


cdef class TranslationMatrices(WarpMatrices):
    cdef void fill_matrix(self, const double *f, double *m) noexcept nogil:
        m[0], m[1], m[2] = 1, 0, -f[0] * self.H
        m[3], m[4], m[5] = 0, 1, -f[1] * self.W


cdef class RotationMatrices(WarpMatrices):
    cdef void fill_matrix(self, const double *f, double *m) noexcept nogil:
        cdef double angle = FULL_TURN * f[0]
        m[0], m[1] = cos(angle), sin(angle)
        m[3], m[4] = -sin(angle), cos(angle)
        self.keep_centre_in_place(m)


cdef class ZoomMatrices(WarpMatrices):
    cdef void fill_matrix(self, const double *f, double *m) noexcept nogil:
        m[0], m[1] = 1 + f[0], 0
        m[3], m[4] = 0, 1 + f[self.K - 1]
        self.keep_centre_in_place(m)


cdef class FlipMatrices(WarpMatrices):
    cdef bint vertical, horizontal

    def __init__(self, numbers, matrices, size, bint vertical, bint horizontal):
        WarpMatrices.__init__(self, numbers, matrices, size, *((0, 1),) * (vertical + horizontal))
        self.vertical, self.horizontal = vertical, horizontal

    cdef void fill_matrix(self, const double *f, double *m) noexcept nogil:
        m[0], m[1] = (-1 if self.vertical and f[0] < 0.5 else 1), 0
        m[3], m[4] = 0, (-1 if self.horizontal and f[self.K - 1] < 0.5 else 1)
        self.keep_centre_in_place(m)
