# The gradient with respect to the input by Winograd's algorithm (winograd.pxi), stride 1: the convolution of dy with
# the filters rotated by 180 degrees, inputs and outputs exchanged.

cdef extern from "variants/kernels.h" nogil:
    void winograd_transposed(const void *g, Py_ssize_t tap, Py_ssize_t g_row, void *u, Py_ssize_t element,
                         Py_ssize_t u_row)


cdef class WinogradConv2DBackwardInput(Winograd):
    def __init__(self, dy, weight, dx, offset, Scratch scratch=None):
        cdef Geometry g = geometry_of(dx.shape, weight.shape, dy.shape, (1, 1), (1, 1), offset, 1)
        if g.KH != 3 or g.KW != 3 or max(g.top, g.left) > 2:
            raise ValueError("Winograd: expected 3x3 filters and padding of at most 2")
        self.x = self.real(dy, g.N * g.OH * g.OW * g.F, False)
        self.weight = self.real(weight, 9 * g.C * g.F, False)
        self.y = self.real(dx, g.N * g.H * g.W * g.C, True)
        self.out = dx
        self.cut(g.N, g.OH, g.OW, g.F, g.H, g.W, g.C, 2 - g.top, 2 - g.left, scratch, False)

    cdef void prepare(self) noexcept nogil:
        self.split_among_threads(TRANSFORM_FILTERS, 0, self.C // lanes_of(self.is_double), self.threads)

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if phase != TRANSFORM_FILTERS:
            Winograd.part(self, phase, index, thread)
        elif self.is_double:
            transform_transposed(self, <const double *>self.weight, index * LANES_F64)
        else:
            transform_transposed(self, <const float *>self.weight, index * LANES_F32)

    cdef void store_tile(self, const void *products, const Place *place) noexcept nogil:
        if self.is_double:
            store_outputs(self, <const double *>products, place, <const double *>NULL, <double *>self.y)
        else:
            store_outputs(self, <const float *>products, place, <const float *>NULL, <float *>self.y)


cdef void transform_transposed(
    Winograd self,
    const real_t *weight,           # (9, F, C): the channels of dy side by side          IN
    Py_ssize_t c,                   # the first of as many of them as a vector has lanes
) noexcept nogil:
    cdef Py_ssize_t C = self.C, F = self.F, lanes = lanes_of(real_t is double), f, k, apart
    for k in range(F // lanes):
        f = k * lanes
        apart = filter_at(self, c + 1, f, weight) - filter_at(self, c, f, weight)
        winograd_transposed(weight + f * C + c, F * C, C, filter_at(self, c, f, weight), self.u_element, apart)
