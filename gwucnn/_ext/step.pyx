# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""A step: one kernel bound to the arrays that it works on.

Everything that can be decided once is decided when a step is made: the arrays are checked and their addresses
taken, sizes are multiplied out, scratch memory is reserved. Calling the step then only computes; a network calls
the same steps batch after batch.

A kernel derives from Step, takes its pointers with `real` or `other` in `__init__`, says how many independent
`units` of work there are, and overrides `part`, which does one of them and must not touch Python. One whose work
comes in phases that wait for each other overrides `compute` too, and calls `share_out` for each. What depends on
nothing but weights, it does in `prepare`. The checks here are the last line of defence: an array of another size
than the kernel was told never reaches it, whatever the caller believed.

While a step computes, its threads take subnormal numbers (below 1.2e-38 in float32) for zero: the processor takes
up to 60 times as long over them, and a network that is sure of its answers is full of them.

A step keeps its arrays alive, and belongs to one thread at a time.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)
from cpython.exc cimport PyErr_CheckSignals
from cython.parallel cimport parallel, prange, threadid
from libc.stdlib cimport free, malloc

cdef extern from "simd/threads.h" nogil:
    enum: GWUCNN_OPENMP
    int openmp_threads()
    void set_openmp_threads(int n)
    ctypedef long long float_mode
    float_mode flush_subnormals()
    void restore_subnormals(float_mode before)

# A call looks for Ctrl-C at least this often: 37 ms at the 27 GFLOP/s of a float32 convolution without AVX.
cdef double OPERATIONS_BETWEEN_SIGNALS = 1e9

cdef extern from "simd/pages.h" nogil:
    size_t LARGE_PAGE
    void ask_for_large_pages(void *block, size_t bytes)

# So much work for each thread takes about 20 microseconds at a vector unit's 150 GFLOP/s; sharing work between two
# threads was measured to cost 2 to 13. Work that is bound by memory or scalar functions counts each number as the
# operations that would take as long.
cdef double OPERATIONS_WORTH_A_THREAD = 3e6

# Below so many operations, about 2 microseconds at a vector unit's 150 GFLOP/s, other Python threads can wait: to
# release the interpreter and take it back is not worth it.
cdef double OPERATIONS_WORTH_RELEASING = 3e5

# 64 bytes: one cache line and the widest vector, so that no scratch row straddles two lines.
cdef enum:
    ALIGNMENT = 64

cdef int thread_limit = openmp_threads()

OPENMP = bool(GWUCNN_OPENMP)


def set_num_threads(int n):
    """Let kernels use at most n threads; n is at least 1."""
    global thread_limit
    thread_limit = n
    set_openmp_threads(n)


def get_num_threads():
    """Return how many threads a large kernel uses now: what was set, or less where OpenMP was limited since."""
    return min(thread_limit, openmp_threads())


cdef class Block:
    """Memory, aligned to a cache line; contents undefined.

    One of several MB begins at a large page and asks for such pages: transformed filters are read faster from them,
    and vgg-b64 trains and predicts 6% faster.
    """

    def __cinit__(self, caller, Py_ssize_t count, Py_ssize_t itemsize):
        cdef size_t alignment = ALIGNMENT
        if count < 0 or count > (<Py_ssize_t>1 << 58):
            raise MemoryError(f"{caller}: cannot reserve {count} numbers of scratch memory")
        self.bytes = count * itemsize
        if <size_t>self.bytes >= LARGE_PAGE:
            alignment = LARGE_PAGE
        self.memory = malloc(self.bytes + alignment)
        if self.memory == NULL:
            raise MemoryError(f"{caller}: cannot reserve {self.bytes} bytes of scratch memory")
        self.start = <void *>((<size_t>self.memory + alignment - 1) & ~(alignment - 1))
        if alignment == LARGE_PAGE:
            ask_for_large_pages(self.start, self.bytes)

    def __dealloc__(self):
        free(self.memory)


cdef class Scratch:
    """Memory that steps of one thread use in turn, for what is of no use once a step has run.

    Each kind of it has a name; a step may borrow one block of each. Where a larger one is asked for than there is,
    the smaller stays with those that have it.
    """

    def __cinit__(self):
        self.blocks = {}

    @property
    def bytes(self):
        """How much there is for those that borrow next."""
        return sum((<Block>held).bytes for held in self.blocks.values())

    cdef Block block(self, caller, str name, Py_ssize_t count, Py_ssize_t itemsize):
        held = self.blocks.get(name)
        if held is None or (<Block>held).bytes < count * itemsize:
            held = self.blocks[name] = Block(caller, count, itemsize)
        return held


cdef class Step:
    """A kernel bound to its arrays; calling it computes and returns `out`."""

    def __cinit__(self, *args, **kwargs):
        self.units = 1
        self.unit_cost = 0
        self.max_threads = thread_limit
        self.blocks = []

    def __dealloc__(self):
        for i in range(self.held):
            PyBuffer_Release(&self.views[i])

    cdef void *real(self, object array, Py_ssize_t size, bint writable) except? NULL:
        """Hold a float32 or float64 array of `size` elements, the same type throughout the step."""
        cdef bint is_double = array.dtype == "float64"
        if not is_double and array.dtype != "float32":
            raise TypeError(f"{type(self).__name__}: expected float32 or float64, got {array.dtype}")
        if self.dtype_known and is_double != self.is_double:
            raise TypeError(f"{type(self).__name__}: expected one dtype for all arrays, got float32 and float64")
        self.dtype_known = True
        self.is_double = is_double
        return self._hold(array, size, 8 if is_double else 4, writable)

    cdef void *other(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL:
        """Hold an array of `size` elements of another type, known by its width in bytes."""
        return self._hold(array, size, itemsize, writable)

    cdef void *_hold(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL:
        cdef Py_buffer *view = &self.views[self.held]
        if self.held == sizeof(self.views) // sizeof(Py_buffer):
            raise RuntimeError(f"{type(self).__name__}: too many arrays for one step")
        PyObject_GetBuffer(array, view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.held += 1
        if view.itemsize != itemsize or size < 0 or view.len != size * itemsize:
            raise ValueError(f"{type(self).__name__}: expected {size} elements of {itemsize} bytes, "
                             f"got {view.len // max(view.itemsize, 1)} of {view.itemsize}")
        return view.buf

    cdef void *reserve(self, Py_ssize_t count, Py_ssize_t itemsize) except? NULL:
        """Reserve scratch memory that lives as long as the step, aligned to a cache line; contents undefined."""
        cdef Block block = Block(type(self).__name__, count, itemsize)
        self.blocks.append(block)
        return block.start

    cdef void *reserve_reals(self, Py_ssize_t count) except? NULL:
        """Reserve scratch memory for `count` numbers of the step's own type."""
        return self.reserve(count, 8 if self.is_double else 4)

    cdef void *borrow_reals(self, Scratch scratch, str name, Py_ssize_t count) except? NULL:
        """Return memory for numbers of the step's own type that other steps use too, or its own if scratch is None."""
        cdef Block block
        if scratch is None:
            return self.reserve_reals(count)
        block = scratch.block(type(self).__name__, name, count, 8 if self.is_double else 4)
        self.blocks.append(block)
        return block.start

    cdef bint pays_to_share(self, double operations) noexcept nogil:
        """Whether more than one thread would work on so many operations."""
        return self.max_threads > 1 and operations > 2 * OPERATIONS_WORTH_A_THREAD

    cdef void prepare(self) noexcept nogil:
        """Bring the weights into the form in which the units want them."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        """Do one part of a phase's work; `thread` tells which scratch memory is free."""

    cdef void share_out(self, int phase, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        """Do the parts from `first` up to, not including, `last`, in any order."""
        cdef Py_ssize_t index
        cdef float_mode before = 0
        if threads == 1:
            for index in range(first, last):
                self.part(phase, index, 0)
            return
        with parallel(num_threads=threads):
            before = flush_subnormals()
            for index in prange(first, last, schedule="static"):
                self.part(phase, index, threadid())
            restore_subnormals(before)

    cdef void compute(self, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        """Do the units from `first` up to, not including, `last`."""
        self.share_out(0, first, last, threads)

    cdef int run(self, bint same_weights=False) except -1:
        """Compute all units, on as many threads as pay, looking for Ctrl-C now and then.

        same_weights : the caller knows that no weight changed since the last run.
        """
        cdef Py_ssize_t first = 0, last = self.units, some = self.units
        cdef double total = self.units * self.unit_cost
        cdef int threads = 1
        cdef float_mode before = flush_subnormals()
        if total > 2 * OPERATIONS_WORTH_A_THREAD:
            threads = min(self.max_threads, thread_limit, openmp_threads(),
                          <int>min(total / OPERATIONS_WORTH_A_THREAD, 1024.0))
            if total > OPERATIONS_BETWEEN_SIGNALS * threads:
                some = max(<Py_ssize_t>threads, <Py_ssize_t>(OPERATIONS_BETWEEN_SIGNALS / self.unit_cost) * threads)
        self.threads = threads
        if total < OPERATIONS_WORTH_RELEASING:
            if not (same_weights and self.prepared):
                self.prepare()
                self.prepared = True
            self.compute(first, last, 1)
            restore_subnormals(before)
            return 0
        try:
            if not (same_weights and self.prepared):
                with nogil:
                    self.prepare()
                self.prepared = True
            while first < last:
                with nogil:
                    self.compute(first, min(first + some, last), threads)
                first += some
                if first < last:
                    PyErr_CheckSignals()
        finally:
            restore_subnormals(before)
        return 0

    def __call__(self):
        self.run()
        return self.out


cdef class Program:
    """Steps in a row, called without Python in between: a batch through a network, once its steps are bound."""

    cdef readonly tuple steps

    def __init__(self, steps):
        self.steps = tuple(steps)
        for step in self.steps:
            if not isinstance(step, Step):
                raise TypeError(f"Program: expected steps, got {step!r}")

    def __len__(self):
        return len(self.steps)

    def __call__(self, bint same_weights=False):
        """Run all steps; with `same_weights`, of which the caller must be sure, without preparing weights again."""
        for step in self.steps:
            (<Step>step).run(same_weights)
        PyErr_CheckSignals()
