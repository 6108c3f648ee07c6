# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""A sweep: small batches trained on one after the other, without Python in between.

The kernels of the slides' network take 9 microseconds for a single image, and the interpreter added 7 to them (python
-m gwucnn.bench.slides). What it does between two batches is always the same, so here it is compiled:

    gather samples and targets  ->  the steps of one batch  ->  finite?  ->  move the weights  ->  keep loss and outputs

It is the same arithmetic on the same buffers as batch by batch, and gives the same bits. The sweep ends before the
first batch that is not sound, with everything as that batch found it: whoever called then trains on it in the
ordinary way, which says what is wrong.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from gwucnn._ext.step cimport Step

# Types of the arrays that samples and targets lie in. Whole numbers in one dimension are labels, each of which becomes
# a row with a single 1.
cdef enum Kind:
    FLOAT32
    FLOAT64
    UINT8
    INT64
    LABELS

KINDS = {"f": FLOAT32, "d": FLOAT64, "B": UINT8, "l": INT64, "q": INT64}


cdef struct Feed:
    const char *source
    char *buffer
    Py_ssize_t count                # rows of the source
    Py_ssize_t row                  # numbers in a row of the buffer
    Kind kind
    bint copies                     # source and buffer have the same type


cdef struct Kept:
    const char *buffer
    char *rows
    Py_ssize_t bytes                # of one batch


cdef class Sweep(Step):
    """Batches of one size.

    Parameters
    ----------
    steps : Steps of one batch, from the layers' forward to the look for numbers that are not finite
    loss, finite : objects whose `value` tells what those steps found
    moves : callables that move the weights, called after a sound batch
    feeds : pairs (array of all samples, buffer of a batch): x and the targets, C-contiguous, of a type in KINDS;
        buffers and what is kept are float32 or float64, all the same
    kept : pairs (buffer of a batch, array with room for such buffers one after the other)
    numbers : int64 (batches * size,), losses : float64 (batches,)
        To be filled with the samples' numbers before a call, and filled with losses by it.
    draws : uint64 (2,) or None
        State of random numbers, put back if a batch is not sound.
    """

    cdef tuple steps, moves
    cdef object loss, finite
    cdef Feed feeds[2]
    cdef Kept kept[2]
    cdef int feed_count, kept_count
    cdef Py_ssize_t size, room
    cdef const int64_t *numbers
    cdef double *losses
    cdef uint64_t *draws
    cdef readonly Py_ssize_t done   # batches whose weights were moved by the last call

    def __init__(self, steps, loss, finite, moves, feeds, kept, numbers, losses, draws):
        self.steps, self.moves = tuple(steps), tuple(moves)
        for step in self.steps:
            if not isinstance(step, Step):
                raise TypeError(f"Sweep: expected steps, got {step!r}")
        if not 0 < len(feeds) <= 2 or len(kept) > 2:
            raise ValueError("Sweep: expected one or two arrays to read, and at most two to keep")
        self.loss, self.finite = loss, finite
        self.size, self.room = len(feeds[0][1]), len(losses)
        for array, buffer in feeds:
            self._feed(array, buffer)
        for buffer, rows in kept:
            self.kept[self.kept_count].buffer = <char *>self.real(buffer, buffer.size, False)
            self.kept[self.kept_count].rows = <char *>self.real(rows, self.room * buffer.size, True)
            self.kept[self.kept_count].bytes = buffer.nbytes
            self.kept_count += 1
        self.numbers = <int64_t *>self.other(numbers, self.room * self.size, 8, False)
        self.losses = <double *>self.other(losses, self.room, 8, True)
        if draws is not None:
            self.draws = <uint64_t *>self.other(draws, 2, 8, True)

    cdef int _feed(self, array, buffer) except -1:
        cdef Feed *feed = &self.feeds[self.feed_count]
        kind = KINDS.get(array.dtype.char)
        if kind is None or len(buffer) != self.size:
            raise ValueError(f"Sweep: expected batches of {self.size} and another type, got {buffer.shape} from "
                             f"{array.dtype}")
        feed.kind = LABELS if array.ndim == 1 and kind == INT64 else kind
        feed.copies = array.dtype == buffer.dtype
        feed.count, feed.row = len(array), buffer.size // max(self.size, 1)
        feed.buffer = <char *>self.real(buffer, self.size * feed.row, True)
        feed.source = <const char *>self.other(array, feed.count * (1 if feed.kind == LABELS else feed.row),
                                               array.itemsize, False)
        self.feed_count += 1
        return 0

    def train(self, Py_ssize_t batches):
        """Train on so many batches, whose samples `numbers` tells; return how many were sound."""
        cdef Py_ssize_t k
        cdef uint64_t draws = 0
        cdef double loss
        self.done = 0
        if not 0 <= batches <= self.room:
            raise ValueError(f"Sweep: expected at most {self.room} batches, got {batches}")
        while self.done < batches:
            self.gather(self.numbers + self.done * self.size)
            if self.draws != NULL:
                draws = self.draws[1]
            for step in self.steps:
                (<Step>step).run()
            loss = self.loss.value
            if not (isfinite(loss) and self.finite.value):
                if self.draws != NULL:
                    self.draws[1] = draws
                break
            for move in self.moves:
                move()
            self.losses[self.done] = loss
            for k in range(self.kept_count):
                memcpy(self.kept[k].rows + self.done * self.kept[k].bytes, self.kept[k].buffer, self.kept[k].bytes)
            self.done += 1
            PyErr_CheckSignals()
        return self.done

    cdef int gather(self, const int64_t *numbers) except -1:
        """Copy the samples with these numbers into the buffers."""
        cdef Py_ssize_t k, i
        cdef bint known
        for k in range(self.feed_count):
            for i in range(self.size):
                if not 0 <= numbers[i] < self.feeds[k].count:
                    raise IndexError(f"Sweep: expected a sample below {self.feeds[k].count}, got {numbers[i]}")
                if self.is_double:
                    known = take_row(&self.feeds[k], numbers[i], <double *>self.feeds[k].buffer + i * self.feeds[k].row)
                else:
                    known = take_row(&self.feeds[k], numbers[i], <float *>self.feeds[k].buffer + i * self.feeds[k].row)
                if not known:
                    raise IndexError(f"Sweep: expected labels below {self.feeds[k].row}, got another in sample "
                                     f"{numbers[i]}")
        return 0


def unread(Step step, steps, Step besides):
    """Return whether no other of these steps, `besides` excepted, holds memory that a step writes its `out` to."""
    cdef const char *first = <const char *><size_t>step.out.__array_interface__["data"][0]
    cdef const char *last = first + <Py_ssize_t>step.out.nbytes
    for other in steps:
        if other is not step and other is not besides and holds(<Step>other, first, last):
            return False
    return True


cdef bint holds(Step step, const char *first, const char *last) noexcept:
    cdef int k
    cdef const char *begin
    for k in range(step.held):
        begin = <const char *>step.views[k].buf
        if begin < last and first < begin + step.views[k].len:
            return True
    return False


ctypedef fused real_t:
    float
    double


cdef bint take_row(
    const Feed *feed,
    Py_ssize_t number,              # below feed.count
    real_t *row,                    # (feed.row,)                                         OUT
) noexcept nogil:
    # False for a label that no number of the row stands for.
    cdef Py_ssize_t i, label, at = number * feed.row
    if feed.kind == LABELS:
        label = (<const int64_t *>feed.source)[number]
        if not 0 <= label < feed.row:
            return False
        memset(row, 0, feed.row * sizeof(real_t))
        row[label] = 1
    elif feed.copies:
        memcpy(row, <const real_t *>feed.source + at, feed.row * sizeof(real_t))
    elif feed.kind == FLOAT64:
        for i in range(feed.row):
            row[i] = <real_t>(<const double *>feed.source)[at + i]
    elif feed.kind == FLOAT32:
        for i in range(feed.row):
            row[i] = <real_t>(<const float *>feed.source)[at + i]
    elif feed.kind == INT64:
        for i in range(feed.row):
            row[i] = <real_t>(<const int64_t *>feed.source)[at + i]
    else:
        for i in range(feed.row):
            row[i] = <real_t>(<const uint8_t *>feed.source)[at + i]
    return True
