# cython: language_level=3
"""Declarations of Step, for the compiled variants that derive their kernels from it."""

cdef enum:
    MAX_ARRAYS = 12


cdef class Block:
    cdef void *memory
    cdef void *start
    cdef Py_ssize_t bytes


cdef class Scratch:
    cdef dict blocks

    cdef Block block(self, caller, str name, Py_ssize_t count, Py_ssize_t itemsize)


cdef class Step:
    cdef Py_buffer views[MAX_ARRAYS]
    cdef int held                   # how many of views are in use
    cdef public object out          # what a call returns: the array that it fills, or a view of it
    cdef bint is_double             # float64 work, else float32
    cdef bint dtype_known           # becomes true with the first real array
    cdef Py_ssize_t units           # independent pieces of work, numbered from 0
    cdef double unit_cost           # floating-point operations of one of them
    cdef int max_threads            # scratch memory is there for so many
    cdef int threads                # that work on the call under way
    cdef list blocks                # scratch memory: of its own, and borrowed
    cdef readonly bint reports_finite      # a call finds out, on the way, whether all that it wrote to `out` is finite ...
    cdef bint found_finite                 # ... and this is what it found
    cdef bint prepared              # `prepare` was called since the weights changed, for all that the step knows

    cdef void *real(self, object array, Py_ssize_t size, bint writable) except? NULL
    cdef void *other(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL
    cdef void *_hold(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL
    cdef void *reserve(self, Py_ssize_t count, Py_ssize_t itemsize) except? NULL
    cdef void *reserve_reals(self, Py_ssize_t count) except? NULL
    cdef void *borrow_reals(self, Scratch scratch, str name, Py_ssize_t count) except? NULL
    cdef bint pays_to_share(self, double operations) noexcept nogil
    cdef void prepare(self) noexcept nogil
    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil
    cdef void share_out(self, int phase, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil
    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil
    cdef int run(self, bint same_weights=*) except -1
