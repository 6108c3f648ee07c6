# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Step: one kernel bound to its arrays.

Everything that can be decided once is decided when a step is created: the arrays are checked, their addresses taken,
sizes multiplied out and scratch memory reserved. Calling the step then only computes, and a network calls the same
steps for batch after batch. A step keeps its arrays alive. Only one thread may use a step at a time.

The protocol: a kernel derives from Step and provides

    __init__      takes a pointer to each array with `real` (float32 or float64, one dtype for all arrays of the step)
                  or `other` (any other type), both of which check the number of elements; reserves scratch memory with
                  `reserve` or `reserve_reals` for itself alone, or `borrow_reals` from a Scratch that steps share; and
                  sets `out`, `units` and `unit_cost`.
    units         the number of independent work units. Threads process them in any order, and the result must not
                  depend on the number of threads.
    unit_cost     the cost of one unit in floating-point operations. Work that is bound by memory or by scalar
                  functions counts as the operations that take as long. The cost determines how many threads are
                  worthwhile, and how many units are computed between two checks for Ctrl-C.
    prepare       computes what depends on weights (or statistics) only, such as packed or transformed filters. Runs
                  before `compute`, except when the caller guarantees that no weight has changed (`same_weights`).
    part          computes one unit. `thread` selects the scratch memory that no other thread uses meanwhile.
    compute       computes a range of units. By default it calls `split_among_threads` once, which calls `part` for
                  each unit. A kernel whose work has several phases, each of which needs the results of the one
                  before, overrides `compute` and calls `split_among_threads` once per phase; `part` then gets the
                  number of the phase, and `index` counts that phase's pieces of work.
    reports_finite, found_finite
                  A step that finds out, while computing, whether everything it writes to `out` is finite sets
                  `reports_finite` when it is created and `found_finite` on every run. AllFinite (finite.pxi) uses the
                  answer instead of reading `out` again.

`prepare`, `part` and `compute` run without the interpreter lock and must not touch Python objects. `run` calls them.

The checks in `real` and `other` are the last line of defence: whatever the caller passes, no array of a different
size than the kernel expects reaches a loop.

While a step computes, its threads flush subnormal numbers (below 1.2e-38 in float32) to zero: the processor takes up
to 60 times as long for them, and a network whose predictions are confident produces many of them.
"""

from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer)
from cpython.exc cimport PyErr_CheckSignals
from cpython.pyport cimport PY_SSIZE_T_MAX
from cython.parallel cimport parallel, prange, threadid
from libc.stdlib cimport free, malloc

cdef extern from "simd/threads.h" nogil:
    enum: GWUCNN_OPENMP
    int openmp_threads()
    void set_openmp_threads(int n)
    ctypedef long long float_mode
    float_mode flush_subnormals()
    void restore_subnormals(float_mode before)

# A call checks for Ctrl-C at least once per this many operations and thread: every 37 ms at the 27 GFLOP/s of a
# float32 convolution without AVX.
cdef double OPERATIONS_BETWEEN_SIGNALS = 1e9

cdef extern from "simd/pages.h" nogil:
    size_t LARGE_PAGE
    void ask_for_large_pages(void *block, size_t bytes)

# A thread is used only if it gets at least this much work, about 20 microseconds at a vector unit's 150 GFLOP/s:
# splitting work between two threads was measured to cost 2 to 13 microseconds.
cdef double OPERATIONS_WORTH_A_THREAD = 3e6

# The interpreter lock is released only for at least this many operations, about 2 microseconds at a vector unit's 150
# GFLOP/s: for less, releasing and reacquiring it costs more than other Python threads gain.
cdef double OPERATIONS_WORTH_RELEASING = 3e5

# Bytes: one cache line, and the widest vector, so that vectors of scratch memory do not straddle two lines.
cdef enum:
    ALIGNMENT = 64

cdef int thread_limit = openmp_threads()

OPENMP = bool(GWUCNN_OPENMP)


def set_num_threads(int n):
    """Set the largest number of threads that a kernel may use; n is at least 1."""
    global thread_limit
    thread_limit = n
    set_openmp_threads(n)


def get_num_threads():
    """Return how many threads a large kernel uses: the number set, or fewer if OpenMP has been limited since."""
    return min(thread_limit, openmp_threads())


cdef class Block:
    """A block of memory, aligned to a cache line; contents undefined.

    A block of at least one large page (2 MB) begins at a page boundary and requests large pages: transformed filters
    are read faster from them, and vgg-b64 trains and predicts 6% faster.
    """

    def __cinit__(self, caller, Py_ssize_t count, Py_ssize_t itemsize):
        cdef size_t alignment = ALIGNMENT
        if count < 0 or count > PY_SSIZE_T_MAX // (2 * itemsize):
            raise MemoryError(f"{caller}: cannot reserve {count} elements of scratch memory")
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
    """Scratch memory that the steps of one thread share, for data that is not needed after a step has run.

    Each kind of block has a name, and a step may borrow one block of each name. If a step asks for a larger block than
    there is, a new one replaces it; steps that borrowed the smaller block keep it.
    """

    def __cinit__(self):
        self.blocks = {}

    @property
    def bytes(self):
        """Total size of the blocks that the next borrower can get."""
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
        """Take a float32 or float64 array of `size` elements, of the same dtype as the step's other real arrays.

        Keeps the array alive and returns the address of its first element.
        """
        cdef bint is_double = array.dtype == "float64"
        if not is_double and array.dtype != "float32":
            raise TypeError(f"{type(self).__name__}: expected float32 or float64, got {array.dtype}")
        if self.dtype_known and is_double != self.is_double:
            raise TypeError(f"{type(self).__name__}: expected one dtype for all arrays, got float32 and float64")
        self.dtype_known = True
        self.is_double = is_double
        return self._hold(array, size, 8 if is_double else 4, writable)

    cdef void *other(self, object array, Py_ssize_t size, Py_ssize_t itemsize, bint writable) except? NULL:
        """Take an array of `size` elements of another type, which is checked only by its width in bytes."""
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
        """Reserve scratch memory for the lifetime of the step, aligned to a cache line; contents undefined."""
        cdef Block block = Block(type(self).__name__, count, itemsize)
        self.blocks.append(block)
        return block.start

    cdef void *reserve_reals(self, Py_ssize_t count) except? NULL:
        """Reserve scratch memory for `count` elements of the step's dtype."""
        return self.reserve(count, 8 if self.is_double else 4)

    cdef void *borrow_reals(self, Scratch scratch, str name, Py_ssize_t count) except? NULL:
        """Borrow a block for `count` elements of the step's dtype from `scratch`, or reserve one if that is None."""
        cdef Block block
        if scratch is None:
            return self.reserve_reals(count)
        block = scratch.block(type(self).__name__, name, count, 8 if self.is_double else 4)
        self.blocks.append(block)
        return block.start

    cdef bint worth_splitting(self, double operations) noexcept nogil:
        """Return whether so many operations are worth splitting among threads."""
        return self.max_threads > 1 and operations > 2 * OPERATIONS_WORTH_A_THREAD

    cdef void prepare(self) noexcept nogil:
        """Compute what depends on the weights alone, for example packed or transformed filters."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        """Compute work unit `index` of a phase, with the scratch memory of `thread`."""

    cdef void split_among_threads(self, int phase, Py_ssize_t first, Py_ssize_t last, int threads) noexcept nogil:
        """Split the work units from `first` up to, not including, `last` among threads; call `part` for each."""
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
        """Compute the work units from `first` up to, not including, `last`."""
        self.split_among_threads(0, first, last, threads)

    cdef int run(self, bint same_weights=False) except -1:
        """Compute all units on as many threads as are worthwhile, checking for Ctrl-C from time to time.

        same_weights : the caller guarantees that no weight has changed since the last run, so `prepare` is skipped.
        """
        cdef Py_ssize_t first = 0, last = self.units, units_per_check = self.units
        cdef double total = self.units * self.unit_cost
        cdef int threads = 1
        cdef float_mode before = flush_subnormals()
        if total > 2 * OPERATIONS_WORTH_A_THREAD:
            threads = min(self.max_threads, thread_limit, openmp_threads(),
                          <int>min(total / OPERATIONS_WORTH_A_THREAD, 1024.0))
            if total > OPERATIONS_BETWEEN_SIGNALS * threads:
                units_per_check = max(<Py_ssize_t>threads,
                                      <Py_ssize_t>(OPERATIONS_BETWEEN_SIGNALS / self.unit_cost) * threads)
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
                    self.compute(first, min(first + units_per_check, last), threads)
                first += units_per_check
                if first < last:
                    PyErr_CheckSignals()
        finally:
            restore_subnormals(before)
        return 0

    def __call__(self):
        self.run()
        return self.out


cdef class Program:
    """A sequence of bound steps, run without Python code in between: for example one batch through a network."""

    cdef readonly tuple steps

    def __init__(self, steps):
        self.steps = tuple(steps)
        for step in self.steps:
            if not isinstance(step, Step):
                raise TypeError(f"Program: expected steps, got {step!r}")

    def __len__(self):
        return len(self.steps)

    def __call__(self, bint same_weights=False):
        # Run all steps. `same_weights`: the caller guarantees that no weight has changed since the last run, so
        # `prepare` is skipped.
        for step in self.steps:
            (<Step>step).run(same_weights)
        PyErr_CheckSignals()
