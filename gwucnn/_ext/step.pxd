# cython: language_level=3
"""Declarations of Step, from which the kernels of all variants derive. step.pyx documents the protocol."""

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
    cdef int held                   # number of views in use
    cdef public object out          # returned by a call: the array that the step fills, or a view of it
    cdef bint is_double             # whether the real arrays are float64, else float32
    cdef bint dtype_known           # whether a real array has set is_double
    cdef Py_ssize_t units           # number of independent work units
    cdef double unit_cost           # floating-point operations of one unit
    cdef int max_threads            # number of threads that scratch memory is reserved for
    cdef int threads                # number of threads of the current run
    cdef list blocks                # scratch memory, the step's own and borrowed
    cdef readonly bint reports_finite   # whether every run sets found_finite
    cdef bint found_finite          # whether everything that the last run wrote to `out` is finite
    cdef bint prepared              # whether `prepare` has run

    cdef void *real(self, object array, Py_ssize_t size, bint writable) except? NULL
    cdef void *other(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL
    cdef void *_hold(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL
    cdef void *reserve(self, Py_ssize_t count, Py_ssize_t itemsize) except? NULL
    cdef void *reserve_reals(self, Py_ssize_t count) except? NULL
    cdef void *borrow_reals(self, Scratch scratch, str name, Py_ssize_t count) except? NULL
    cdef bint worth_splitting(self, double operations) noexcept nogil
    cdef void prepare(self) noexcept nogil
    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil
    cdef void split_among_threads(self, int phase, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil
    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil
    cdef int run(self, bint same_weights=*) except -1
