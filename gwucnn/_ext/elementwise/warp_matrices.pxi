# Matrices for warp.pxi out of random numbers: where each pixel of the result comes from.
#
#   numbers (N, K) from 0 to less than 1, matrices (N, 2, 3); u[k] is brought into the range of a factor:
#   low[k] + u[k] * (high[k] - low[k])
#
#   translation  K = 2  shifts down and right, as shares of the height and of the width
#   rotation     K = 1  share of a full turn, counter-clockwise as one sees it, about the middle of the image
#   zoom         K = 1  or 2: 1 + factor pixels of x, down and across, for each of y; about the middle
#   flip         K = 1  or 2: upside down, or left to right, if the number is below 1/2
#
# The middle lies at ((H - 1) / 2, (W - 1) / 2). Computed in double: small sizes and shares stay exact.

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
            raise ValueError(f"expected a range for each of one or two numbers, got {numbers.shape} and {ranges}")
        self.H, self.W = size
        for k, (low, high) in enumerate(ranges):
            self.low[k], self.high[k] = low, high
        self.number = self.real(numbers, self.units * self.K, False)
        self.matrix = self.real(matrices, self.units * 6, True)
        self.out = matrices
        self.unit_cost = 3000.0

    cdef void make(self, const double *f, double *m) noexcept nogil:
        """Fill m (2, 3) from the factors f (K), but for what stands behind the linear parts."""

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t k
        cdef double u
        cdef double f[2]
        cdef double m[6]
        for k in range(self.K):
            u = (<double *>self.number)[n * self.K + k] if self.is_double else (<float *>self.number)[n * self.K + k]
            f[k] = self.low[k] + u * (self.high[k] - self.low[k])
        self.make(f, m)
        for k in range(6):
            if self.is_double:
                (<double *>self.matrix)[n * 6 + k] = m[k]
            else:
                (<float *>self.matrix)[n * 6 + k] = <float>m[k]

    cdef void about_the_middle(self, double *m) noexcept nogil:
        """Set what stands behind the linear parts so that the middle of the image stays where it is."""
        cdef double i = (self.H - 1) / 2, j = (self.W - 1) / 2
        m[2] = i - m[0] * i - m[1] * j
        m[5] = j - m[3] * i - m[4] * j


cdef class TranslationMatrices(WarpMatrices):
    cdef void make(self, const double *f, double *m) noexcept nogil:
        m[0], m[1], m[2] = 1, 0, -f[0] * self.H
        m[3], m[4], m[5] = 0, 1, -f[1] * self.W


cdef class RotationMatrices(WarpMatrices):
    cdef void make(self, const double *f, double *m) noexcept nogil:
        cdef double angle = FULL_TURN * f[0]
        m[0], m[1] = cos(angle), sin(angle)
        m[3], m[4] = -sin(angle), cos(angle)
        self.about_the_middle(m)


cdef class ZoomMatrices(WarpMatrices):
    cdef void make(self, const double *f, double *m) noexcept nogil:
        m[0], m[1] = 1 + f[0], 0
        m[3], m[4] = 0, 1 + f[self.K - 1]
        self.about_the_middle(m)


cdef class FlipMatrices(WarpMatrices):
    cdef bint vertical, horizontal

    def __init__(self, numbers, matrices, size, bint vertical, bint horizontal):
        WarpMatrices.__init__(self, numbers, matrices, size, *((0, 1),) * (vertical + horizontal))
        self.vertical, self.horizontal = vertical, horizontal

    cdef void make(self, const double *f, double *m) noexcept nogil:
        m[0], m[1] = (-1 if self.vertical and f[0] < 0.5 else 1), 0
        m[3], m[4] = 0, (-1 if self.horizontal and f[self.K - 1] < 0.5 else 1)
        self.about_the_middle(m)
