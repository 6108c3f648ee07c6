# Random numbers that depend on nothing but a key, the number of the draw and their place in it.
#
# Philox4x32-10 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.2) turns a counter
# of four words and a key of two into four words that pass all known tests. There is no sequence to walk along, so
# threads, vectors and replays all find the same numbers.
#
#   state   (key, draws so far), two uint64               the counter is (block low, block high, draw low, draw high)
#   word i of a draw is word i % 64 // 16 of block i // 64 * 16 + i % 16
#
# so that sixteen blocks are computed at once, in vectors, and their words lie in a row as they come.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    BLOCKS = 16                     # computed side by side
    WORDS = 64                      # that they give; divides ELEMENTS


cdef void philox(uint64_t key, uint64_t draw, uint64_t block, uint32_t *word) noexcept nogil:
    """Fill word (4, BLOCKS) from the blocks that begin with number `block`."""
    cdef uint32_t k0 = <uint32_t>key, k1 = <uint32_t>(key >> 32), kept
    cdef uint32_t *a = word
    cdef uint32_t *b = word + BLOCKS
    cdef uint32_t *c = word + 2 * BLOCKS
    cdef uint32_t *d = word + 3 * BLOCKS
    cdef uint64_t p, q
    cdef int i, round
    for i in range(BLOCKS):
        a[i] = <uint32_t>(block + i)
        b[i] = <uint32_t>((block + i) >> 32)
        c[i] = <uint32_t>draw
        d[i] = <uint32_t>(draw >> 32)
    for round in range(10):
        for i in range(BLOCKS):
            p = <uint64_t>0xD2511F53 * a[i]
            q = <uint64_t>0xCD9E8D57 * c[i]
            a[i] = <uint32_t>(q >> 32) ^ b[i] ^ k0
            kept = d[i]
            b[i] = <uint32_t>q
            c[i] = <uint32_t>(p >> 32) ^ kept ^ k1
            d[i] = <uint32_t>p
        k0 += <uint32_t>0x9E3779B9
        k1 += <uint32_t>0xBB67AE85


cdef class Draw(Step):
    """Fill an array with one draw, and count it."""

    cdef uint64_t *state            # (2,)                                                INOUT
    cdef Py_ssize_t size

    def __init__(self, state, out):
        self.state = <uint64_t *>self.other(state, 2, 8, True)
        self.size = out.size
        self.out = out
        self.units = (self.size + ELEMENTS - 1) // ELEMENTS
        self.unit_cost = 300.0 * ELEMENTS

    cdef void put(self, const uint32_t *word, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
        """Turn `count` words into the numbers from `first` on."""

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        cdef uint32_t word[WORDS]
        cdef Py_ssize_t group
        for group in range(first // WORDS, (last + WORDS - 1) // WORDS):
            philox(self.state[0], self.state[1], group * BLOCKS, word)
            self.put(word, group * WORDS, min(WORDS, last - group * WORDS))

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        self.some(index * ELEMENTS, min((index + 1) * ELEMENTS, self.size))

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        self.share_out(0, first, last, threads)
        if last == self.units and self.size:
            self.state[1] += 1


cdef class RandomUniform(Draw):
    """Numbers from 0 to less than 1: word / 2**32, for float32 without the last 8 bits, which it could not hold."""

    cdef void *x

    def __init__(self, state, x):
        Draw.__init__(self, state, x)
        self.x = self.real(x, self.size, True)

    cdef void put(self, const uint32_t *word, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t i
        cdef double *x = <double *>self.x + first
        cdef float *y = <float *>self.x + first
        if self.is_double:
            for i in range(count):
                x[i] = word[i] * (1.0 / 4294967296.0)
        else:
            for i in range(count):
                y[i] = <float>(<int32_t>(word[i] >> 8)) * <float>(1.0 / 16777216.0)


cdef class RandomMask(Draw):
    """mask[i] = word i >= threshold: 0 for threshold out of 2**32 words, else 1."""

    cdef uint8_t *mask
    cdef uint32_t threshold

    def __init__(self, state, mask, uint32_t threshold):
        Draw.__init__(self, state, mask)
        self.mask = <uint8_t *>self.other(mask, self.size, 1, True)
        self.threshold = threshold

    cdef void put(self, const uint32_t *word, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t i
        cdef uint8_t *mask = self.mask + first
        for i in range(count):
            mask[i] = word[i] >= self.threshold


cdef class Dropout(Elementwise):
    """y = x * scale where the mask is not 0, else 0: number by number."""

    cdef uint8_t *mask              # size of x                                           IN
    cdef double scale

    def __init__(self, x, mask, y, double scale):
        Elementwise.__init__(self, x, y)
        self.mask = <uint8_t *>self.other(mask, self.size, 1, False)
        self.scale = scale

    cdef void some(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            drop(<double *>self.a + first, self.mask + first, <double *>self.b + first, last - first, self.scale)
        else:
            drop(<float *>self.a + first, self.mask + first, <float *>self.b + first, last - first,
                 <float>self.scale)


cdef class DropoutChannels(Step):
    """The same with one mask of (N, C) for all pixels of (N, P, C)."""

    cdef Py_ssize_t P, C
    cdef void *x
    cdef void *y
    cdef uint8_t *mask
    cdef double scale

    def __init__(self, x, mask, y, double scale):
        cdef Py_ssize_t N = mask.shape[0]
        self.C = mask.shape[1]
        self.P = x.size // max(N * self.C, 1)
        self.x = self.real(x, N * self.P * self.C, False)
        self.y = self.real(y, N * self.P * self.C, True)
        self.mask = <uint8_t *>self.other(mask, N * self.C, 1, False)
        self.scale = scale
        self.out = y
        self.units = N
        self.unit_cost = 40.0 * self.P * self.C

    cdef void part(self, int phase, Py_ssize_t n, int thread) noexcept nogil:
        cdef Py_ssize_t p, at
        for p in range(self.P):
            at = (n * self.P + p) * self.C
            if self.is_double:
                drop(<double *>self.x + at, self.mask + n * self.C, <double *>self.y + at, self.C, self.scale)
            else:
                drop(<float *>self.x + at, self.mask + n * self.C, <float *>self.y + at, self.C, <float>self.scale)


cdef inline void drop(const real_t *x, const uint8_t *mask, real_t *y, Py_ssize_t size, real_t scale) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t stretched
    for i in range(size):
        # Multiplied whether it stays or not: without a branch, which chance would have guessed wrong every other time.
        stretched = x[i] * scale
        y[i] = stretched if mask[i] else 0
