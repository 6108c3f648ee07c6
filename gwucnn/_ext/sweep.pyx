# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, freethreading_compatible=True
"""Sweep: train on many small batches in one compiled loop.

The kernels of the slides' network take 9 microseconds for a single image, and the interpreter added 7 to them (python
-m gwucnn.bench.slides). The work between two batches is always the same, so it is compiled here:

    gather samples and targets  ->  run the steps of a batch  ->  check for non-finite values  ->  update the weights
    ->  store the loss and outputs

The arithmetic and the buffers are those of batch-by-batch training, so the results are bit-identical. The sweep stops
before the update of the first batch with a non-finite value and restores the state of the random numbers. The caller
then trains on that batch in the ordinary way, which reports what is wrong.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, memset

from gwucnn._ext.step cimport Step

# Types of the arrays that hold all samples and targets. One-dimensional integers are labels, which are one-hot encoded.
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
    Py_ssize_t count                # number of rows in the source
    Py_ssize_t row                  # elements in a row of the buffer
    Kind kind
    bint copies                     # whether source and buffer have the same type, so that rows are copied


cdef struct Kept:
    const char *buffer              # of one batch
    char *rows                      # room for the buffers of all batches
    Py_ssize_t bytes                # size of one batch


cdef class Sweep(Step):
    """Train on batches of one size.

    Parameters
    ----------
    steps : Steps of one batch, from the forward pass of the first layer to the check for non-finite values
    loss, finite : objects whose `value` is the loss of the batch, and whether all gradients are finite
    updates : callables that update the weights, called after every batch without non-finite values
    feeds : pairs (array of all samples, buffer of a batch)
        x and the targets, C-contiguous, of a type in KINDS. All buffers and the arrays in `kept` are float32, or all
        are float64.
    kept : pairs (buffer of a batch, array with room for the buffers of all batches)
        Buffers to copy after every batch.
    numbers : int64 (batches * size,)
        Indices of the samples of all batches, which the caller writes before a call of `train`.
    losses : float64 (batches,)
        Filled with the losses by `train`.
    draws : uint64 (2,) or None
        State of the random numbers, restored if a batch has a non-finite value.
    """

    cdef tuple steps, updates
    cdef object loss, finite
    cdef Feed feeds[2]
    cdef Kept kept[2]
    cdef int feed_count, kept_count
    cdef Py_ssize_t size, room
    cdef const int64_t *numbers
    cdef double *losses
    cdef uint64_t *draws
    cdef readonly Py_ssize_t done   # number of batches that the last call trained on

    def __init__(self, steps, loss, finite, updates, feeds, kept, numbers, losses, draws):
        self.steps, self.updates = tuple(steps), tuple(updates)
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
            raise ValueError(f"Sweep: expected batches of {self.size} samples, of a dtype among {', '.join(KINDS)}, "
                             f"got a buffer of shape {buffer.shape} for {array.dtype}")
        feed.kind = LABELS if array.ndim == 1 and kind == INT64 else kind
        feed.copies = array.dtype == buffer.dtype
        feed.count, feed.row = len(array), buffer.size // max(self.size, 1)
        feed.buffer = <char *>self.real(buffer, self.size * feed.row, True)
        feed.source = <const char *>self.other(array, feed.count * (1 if feed.kind == LABELS else feed.row),
                                               array.itemsize, False)
        self.feed_count += 1
        return 0

    def train(self, Py_ssize_t batches):
        """Train on the first `batches` batches of `numbers`; return how many precede the first non-finite one."""
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
            for update in self.updates:
                update()
            self.losses[self.done] = loss
            for k in range(self.kept_count):
                memcpy(self.kept[k].rows + self.done * self.kept[k].bytes, self.kept[k].buffer, self.kept[k].bytes)
            self.done += 1
            PyErr_CheckSignals()
        return self.done

    cdef int gather(self, const int64_t *numbers) except -1:
        """Copy the samples with these indices into the buffers."""
        cdef Py_ssize_t k, i
        cdef bint valid
        for k in range(self.feed_count):
            for i in range(self.size):
                if not 0 <= numbers[i] < self.feeds[k].count:
                    raise IndexError(f"Sweep: expected a sample below {self.feeds[k].count}, got {numbers[i]}")
                if self.is_double:
                    valid = take_row(&self.feeds[k], numbers[i], <double *>self.feeds[k].buffer + i * self.feeds[k].row)
                else:
                    valid = take_row(&self.feeds[k], numbers[i], <float *>self.feeds[k].buffer + i * self.feeds[k].row)
                if not valid:
                    raise IndexError(f"Sweep: expected labels below {self.feeds[k].row}, got another in sample "
                                     f"{numbers[i]}")
        return 0


def unread(Step step, steps, Step besides):
    """Return whether none of `steps`, apart from `step` and `besides`, uses the memory of `step.out`."""
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
    # Convert a row of the source; return False for a label that is negative or not below feed.row.
    cdef Py_ssize_t i, label, start = number * feed.row
    if feed.kind == LABELS:
        label = (<const int64_t *>feed.source)[number]
        if not 0 <= label < feed.row:
            return False
        memset(row, 0, feed.row * sizeof(real_t))
        row[label] = 1
    elif feed.copies:
        memcpy(row, <const real_t *>feed.source + start, feed.row * sizeof(real_t))
    elif feed.kind == FLOAT64:
        for i in range(feed.row):
            row[i] = <real_t>(<const double *>feed.source)[start + i]
    elif feed.kind == FLOAT32:
        for i in range(feed.row):
            row[i] = <real_t>(<const float *>feed.source)[start + i]
    elif feed.kind == INT64:
        for i in range(feed.row):
            row[i] = <real_t>(<const int64_t *>feed.source)[start + i]
    else:
        for i in range(feed.row):
            row[i] = <real_t>(<const uint8_t *>feed.source)[start + i]
    return True
