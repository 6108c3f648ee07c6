# Random numbers that depend only on a key, the index of the draw and their position in it.
#
# Philox4x32-10 (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 3.2) maps a counter
# of four words and a key of two to four words that pass all known tests. No word depends on the one before, so the
# numbers are the same for any number of threads, any vector width and in a replay.
#
#   state   (key, draws so far), two uint64               the counter is (block low, block high, draw low, draw high)
#   word i of a draw is word i % 64 // 16 of block i // 64 * 16 + i % 16
#
# so that sixteen blocks are computed at once, in vectors, and their words are stored in the order in which they result.

from libc.stdint cimport uint32_t, uint64_t

cdef enum:
    BLOCKS = 16                     # number of blocks computed at once
    WORDS = 64                      # number of words in them; divides ELEMENTS


cdef void philox(uint64_t key, uint64_t draw, uint64_t block, uint32_t *word) noexcept nogil:
    """Fill word (4, BLOCKS) with the blocks from `block` on."""
    cdef uint32_t k0 = <uint32_t>key, k1 = <uint32_t>(key >> 32), old_d
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
            old_d = d[i]
            b[i] = <uint32_t>q
            c[i] = <uint32_t>(p >> 32) ^ old_d ^ k1
            d[i] = <uint32_t>p
        k0 += <uint32_t>0x9E3779B9
        k1 += <uint32_t>0xBB67AE85


cdef class Draw(Step):
    """Fill an array with one draw, and increment the number of draws in the state."""

    cdef uint64_t *state            # (2,)                                                INOUT
    cdef Py_ssize_t size

    def __init__(self, state, out):
        self.state = <uint64_t *>self.other(state, 2, 8, True)
        self.size = out.size
        self.out = out
        self.units = (self.size + ELEMENTS - 1) // ELEMENTS
        self.unit_cost = 300.0 * ELEMENTS

    cdef void convert(self, const uint32_t *word, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
        """Convert `count` words into the elements from `first` on."""

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        """Compute the elements from `first`, a multiple of WORDS, up to, not including, `last`."""
        cdef uint32_t word[WORDS]
        cdef Py_ssize_t group
        for group in range(first // WORDS, (last + WORDS - 1) // WORDS):
            philox(self.state[0], self.state[1], group * BLOCKS, word)
            self.convert(word, group * WORDS, min(WORDS, last - group * WORDS))

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        self.compute_range(index * ELEMENTS, min((index + 1) * ELEMENTS, self.size))

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        self.split_among_threads(0, first, last, threads)
        if last == self.units and self.size:
            self.state[1] += 1


cdef class RandomUniform(Draw):
    """Numbers in [0, 1): word / 2**32; for float32 without the last 8 bits, which it cannot represent."""

    cdef void *x

    def __init__(self, state, x):
        Draw.__init__(self, state, x)
        self.x = self.real(x, self.size, True)

    cdef void convert(self, const uint32_t *word, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
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
    """mask[i] = (word i >= threshold): 0 with probability threshold / 2**32, else 1."""

    cdef uint8_t *mask
    cdef uint32_t threshold

    def __init__(self, state, mask, uint32_t threshold):
        Draw.__init__(self, state, mask)
        self.mask = <uint8_t *>self.other(mask, self.size, 1, True)
        self.threshold = threshold

    cdef void convert(self, const uint32_t *word, Py_ssize_t first, Py_ssize_t count) noexcept nogil:
        cdef Py_ssize_t i
        cdef uint8_t *mask = self.mask + first
        for i in range(count):
            mask[i] = word[i] >= self.threshold


cdef class Dropout(Elementwise):
    """Compute y = x * scale where the mask is not 0, else 0, element by element."""

    cdef uint8_t *mask              # (size,)                                             IN
    cdef double scale

    def __init__(self, x, mask, y, double scale):
        Elementwise.__init__(self, x, y)
        self.mask = <uint8_t *>self.other(mask, self.size, 1, False)
        self.scale = scale

    cdef void compute_range(self, Py_ssize_t first, Py_ssize_t last) noexcept nogil:
        if self.is_double:
            drop_range(<double *>self.a + first, self.mask + first, <double *>self.b + first, last - first, self.scale)
        else:
            drop_range(<float *>self.a + first, self.mask + first, <float *>self.b + first, last - first,
                       <float>self.scale)


cdef class DropoutChannels(Step):
    """Compute the same for x (N, P, C) with a mask (N, C) that applies to all P pixels."""

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
                drop_range(<double *>self.x + at, self.mask + n * self.C, <double *>self.y + at, self.C, self.scale)
            else:
                drop_range(<float *>self.x + at, self.mask + n * self.C, <float *>self.y + at, self.C,
                           <float>self.scale)


cdef inline void drop_range(const real_t *x, const uint8_t *mask, real_t *y, Py_ssize_t size,
                            real_t scale) noexcept nogil:
    cdef Py_ssize_t i
    cdef real_t scaled
    for i in range(size):
        # Multiply in either case: a branch on random data would often be mispredicted.
        scaled = x[i] * scale
        y[i] = scaled if mask[i] else 0
