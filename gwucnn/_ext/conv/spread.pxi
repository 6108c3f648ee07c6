# Images of few channels, spread for lanes that run over outputs: each value is repeated once per output, one plane per
# channel and, with strides, per phase of the columns:
#
#   copy[row, c, s, w, o] = source[row, w*step + s, c]      step columns from one output pixel to the next
#
# so that element p = w*times + o of an output row needs element p + (offset of a tap) of the copy, for all p.

from libc.string cimport memset

cdef extern from "variants/kernels.h" nogil:
    void repeat(const void *x, Py_ssize_t step, Py_ssize_t count, Py_ssize_t times, void *to)


cdef struct Spread:
    # How strips of images are spread out.
    Py_ssize_t H, W, C, width, top, left    # as in Correlate
    Py_ssize_t step                 # source columns from one output pixel to the next
    Py_ssize_t columns              # pixels in a row of one phase
    Py_ssize_t times                # how often each value stands
    Py_ssize_t pitch                # numbers in a row of all channels and phases
    bint copies                     # without a copy rows are the source's
    bint bordered


cdef inline void set_spread(Spread *s, Py_ssize_t step, Py_ssize_t times) noexcept nogil:
    s.step, s.times = step, times
    s.copies = s.bordered or times > 1 or s.C > 1 or step > 1
    s.columns = (s.width + step - 1) // step
    s.pitch = s.C * step * s.columns * times


cdef inline Py_ssize_t spread_place(const Spread *s, Py_ssize_t row, Py_ssize_t column, Py_ssize_t c) noexcept nogil:
    """Return the offset in the copy of a source pixel's channel."""
    return row * s.pitch + ((c * s.step + column % s.step) * s.columns + column // s.step) * s.times


cdef void spread_strip(
    const Spread *s,
    const real_t *image,            # (H, W, C)                                           IN
    real_t *strip,                  # (rows, C, step, columns, times)                     OUT
    Py_ssize_t first, Py_ssize_t rows,
) noexcept nogil:
    # As copy_with_border: row r of the strip is image row first + r - top; pixels outside the image are zero.
    cdef Py_ssize_t inside = max(min(s.W, s.width - s.left), 0), r, h, c, w
    if s.C == 1 and s.step == 1 and s.width == s.W and not s.bordered:
        # Rows without anything between them are one long row.
        repeat(image + first * s.W, 1, min(rows, s.H - first) * s.W, s.times, strip)
        return
    if s.bordered:
        memset(strip, 0, rows * s.pitch * sizeof(real_t))
    for r in range(rows):
        h = first + r - s.top
        if 0 <= h < s.H:
            for c in range(s.C):
                for w in range(min(s.step, inside)):
                    repeat(image + (h * s.W + w) * s.C + c, s.step * s.C, (inside - w + s.step - 1) // s.step, s.times,
                           strip + spread_place(s, 0, s.left + w, c))
        strip += s.pitch


