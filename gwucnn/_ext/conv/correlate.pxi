# The core of convolution: correlates a batch of images with packed weights, one register tile at a time.
#
# Forward convolution and the gradient with respect to the input are the same computation. Both compute families of
# output pixels, called planes here; within a plane, pixel (i, j) sums the same taps relative to source pixel (i * step,
# j * step):
#
#   y[first + i*y_row + j*y_pixel + f] = bias[f] + sum over t, r of
#       source[(i*row_step*width + j*column_step*width_pixel) + tap[t] + r] * weight[t*run + r, f]
#
#   forward          one plane per group; the taps are the filter's pixels, a run is the channels of one pixel
#                    (with dilation 1 and one group a whole filter row: KW * C neighbouring numbers)
#   backward_input   one plane for each phase of the stride and each group; the source is dy, a run is its filters
#
# Weights are packed so that a tile reads them in order: (block of filters, t, r, filter in block); the last block is
# padded with zeros, so that tiles always compute whole vectors and only the store needs to know how many are valid.
#
# Where windows overlap the border, the rows that a unit of work reads are copied once into scratch memory with
# the border as zeros: the inner loops then have no special cases. One element is copied for KH*KW*F products. Where
# much of a window is border, in small images, tiles take several images instead of a row: see across_images.pxi.

from libc.string cimport memcpy, memset

# Two vectors of filters per tile.
cdef enum:
    TILE_VECTORS = 2

# A copied strip with its border should stay in the second-level cache beside the weights (1 to 2 MB per core).
cdef Py_ssize_t STRIP_BYTES = 1 << 18

# Unpacked rows of weights lie F numbers apart. Up to 512 bytes this costs nothing; at 1024 the address bits that
# choose a cache set repeat and the tile halves its speed (measured with 256 filters of 256 channels).
cdef Py_ssize_t UNPACKED_ROW_BYTES = 512


# A block of weights that is prefetched must fit into the second-level cache beside the one in use.
cdef Py_ssize_t AHEAD_BYTES = 1 << 17


cdef struct Plane:
    Correlation walk
    Py_ssize_t rows, columns        # output pixels in one image
    Py_ssize_t y_first, y_row       # where they lie in the output image
    Py_ssize_t outputs              # filters (forward) or channels (gradient) of one pixel
    Py_ssize_t weights              # where this plane's packed weights begin
    Py_ssize_t bias                 # where its bias begins


cdef struct RowRange:
    # Rows of a plane, as part of a unit of work.
    Py_ssize_t first, rows, columns # output pixels
    Py_ssize_t x_row                # numbers from one row's windows to the next row's
    Py_ssize_t y_at                 # where the first pixel lies in y
    Py_ssize_t group                # of filter blocks: of block_groups
    int thread


cdef struct FewOutputs:
    int method
    Spread spread
    Py_ssize_t pitch                # numbers in a row of the source, or of its copy
    Py_ssize_t weight_shifts        # SPREAD: copies of the weights, as a vector may begin with any output
    ptrdiff_t *tap                  # ... (KH*KW*C,): places in the copy
    void *weights


cdef struct AcrossImages:
    Py_ssize_t chunks               # parts of the batch, or 0: tiles do not run across images
    Py_ssize_t pixels               # output pixels of an image, those of all planes
    Py_ssize_t most_taps, size      # taps of a plane, and numbers in a thread's copy
    ptrdiff_t *tap                  # (threads, most_taps): of the copy
    void *copies                    # (threads, size)


cdef inline Py_ssize_t lanes_of(bint is_double) noexcept nogil:
    return LANES_F64 if is_double else LANES_F32


cdef inline Py_ssize_t round_up(Py_ssize_t size, Py_ssize_t multiple) noexcept nogil:
    return (size + multiple - 1) // multiple * multiple


cdef inline Py_ssize_t even_share(Py_ssize_t all, Py_ssize_t most) noexcept nogil:
    """Return the size of a part when `all` is divided into the fewest equal parts of at most `most`; at least 1."""
    cdef Py_ssize_t parts = max((all + most - 1) // most, 1)
    return max((all + parts - 1) // parts, 1)


cdef void copy_with_border(
    const real_t *image,            # (H, W, C)                                           IN
    real_t *strip,                  # (rows, width, C)                                    OUT
    Py_ssize_t H, Py_ssize_t W, Py_ssize_t C,
    Py_ssize_t first, Py_ssize_t rows, Py_ssize_t width,
    Py_ssize_t top, Py_ssize_t left,
) noexcept nogil:
    # Row r of the strip is image row first + r - top; pixels outside the image are zero.
    cdef Py_ssize_t r, h, inside
    left = min(left, width)         # a single window may end before the image begins
    inside = min(W, width - left)
    for r in range(rows):
        h = first + r - top
        if h < 0 or h >= H:
            memset(strip, 0, width * C * sizeof(real_t))
        else:
            memset(strip, 0, left * C * sizeof(real_t))
            memcpy(strip + left * C, image + h * W * C, inside * C * sizeof(real_t))
            memset(strip + (left + inside) * C, 0, (width - left - inside) * C * sizeof(real_t))
        strip += width * C


cdef class Correlate(Step):
    cdef Py_ssize_t N, H, W, C      # the source: images, or dy
    cdef Py_ssize_t height, width   # the source with its border, as far as windows reach
    cdef Py_ssize_t top, left       # border before the first row and column
    cdef Py_ssize_t row_step        # source rows from one output row to the next
    cdef bint bordered              # whether strips must be copied
    cdef Py_ssize_t reach           # source rows under one output row
    cdef Py_ssize_t y_image         # numbers in one output image
    cdef Py_ssize_t flat_pixels     # if not 0, all pixels of the batch are one row, cut into units
    cdef Plane *planes
    cdef Py_ssize_t plane_count
    cdef ptrdiff_t *taps            # memory for the planes' taps
    cdef Py_ssize_t strips, strip_rows
    cdef Py_ssize_t block_groups    # few images: units are also cut by filters
    cdef bint packs                 # whether weights are copied to `packed`
    cdef ptrdiff_t *weight_taps     # if not NULL, weights are used where they lie, along runs: see few_pixels.pxi
    cdef bint biased
    cdef bint applies_relu                # whether outputs pass through relu
    cdef void *x
    cdef void *weight
    cdef void *bias
    cdef void *y
    cdef void *packed
    cdef void *packed_bias
    cdef void *strip_scratch
    cdef Py_ssize_t strip_size
    cdef bint skips_border                 # whether rows skip taps that lie entirely in the border
    cdef Py_ssize_t row_pixels      # pixels of a row of sums: before pooling
    cdef FewOutputs few             # where lanes do not run over outputs, see few_outputs.pxi
    cdef AcrossImages across_images # where tiles take a pixel of several images, see across_images.pxi

    cdef int plan(self, double operations) except -1:
        """Divide the work into units and reserve memory, once the planes are known."""
        cdef Py_ssize_t lanes = lanes_of(self.is_double), itemsize = 8 if self.is_double else 4
        cdef Py_ssize_t p, rows = 0, weights = 0, biases = 0, blocks = 1, row_bytes
        cdef Plane *plane
        for p in range(self.plane_count):
            plane = &self.planes[p]
            rows = max(rows, plane.rows)
            blocks = max(blocks, (plane.outputs + TILE_VECTORS * lanes - 1) // (TILE_VECTORS * lanes))
            plane.weights = weights
            plane.bias = biases
            weights += plane.walk.taps * plane.walk.run * round_up(plane.outputs, lanes)
            biases += round_up(plane.outputs, lanes)
        self.row_pixels = max(self.row_pixels, self.planes[0].columns)
        self.few.method = NOT_FEW if self.applies_relu else few_method(self, lanes)
        if self.few.method != NOT_FEW:
            self.packs = True
        self.few.pitch = self.width * self.C
        if self.few.method == SPREAD:
            plan_spread(self)
        row_bytes = max(self.few.pitch * itemsize * self.row_step, 1)
        self.strip_rows = max(rows, 1)
        if self.bordered or self.few.spread.copies:
            self.strip_rows = min(self.strip_rows, max(STRIP_BYTES // row_bytes, 4))
        self.strips = (rows + self.strip_rows - 1) // self.strip_rows
        self.block_groups = 1
        if self.worth_splitting(operations) and self.N * self.strips < 4 * self.max_threads:
            # Rows first: threads then share nothing but the weights. Small images are cut by filters.
            if rows >= 4 * self.max_threads:
                self.strip_rows = min(self.strip_rows, (rows + 2 * self.max_threads - 1) // (2 * self.max_threads))
                self.strips = (rows + self.strip_rows - 1) // self.strip_rows
            else:
                self.block_groups = min(blocks, self.max_threads)
                if self.weight_taps != NULL:
                    self.block_groups = min(self.block_groups, self.planes[0].outputs // RUN_OUTPUTS)
        if self.packs:
            self.packed = self.reserve_reals(weights)
            if self.biased:
                self.packed_bias = self.reserve_reals(biases)
        if self.few.method != NOT_FEW:
            reserve_few(self, lanes, weights)
        if tile_across_images(self, operations):
            return 0
        if self.bordered or self.few.spread.copies:
            self.strip_size = round_up(((self.strip_rows - 1) * self.row_step + self.reach) * self.few.pitch, 16)
            self.strip_scratch = self.reserve_reals(self.strip_size * self.max_threads)
        self.units = self.N * self.strips * self.block_groups
        self.unit_cost = operations / max(self.units, 1)
        return 0

    cdef void prepare(self) noexcept nogil:
        if self.packs:
            self.pack()
        if self.few.method != NOT_FEW:
            if self.is_double:
                pack_few(self, <const double *>self.packed, <const double *>self.packed_bias)
            else:
                pack_few(self, <const float *>self.packed, <const float *>self.packed_bias)

    cdef void pack(self) noexcept nogil:
        """Copy the weights to `packed`, in the order in which tiles read them."""

    cdef void part(self, int phase, Py_ssize_t index, int thread) noexcept nogil:
        if self.across_images.chunks and self.is_double:
            across_images_unit(self, index, thread, <double *>self.x, <double *>self.y)
        elif self.across_images.chunks:
            across_images_unit(self, index, thread, <float *>self.x, <float *>self.y)
        elif self.is_double:
            correlate_unit(self, index, thread, <double *>self.x)
        else:
            correlate_unit(self, index, thread, <float *>self.x)

    cdef void compute_rows(self, const Plane *plane, const RowRange *at, const void *x) noexcept nogil:
        """Compute rows of a plane: x is the first pixel's window."""
        if self.is_double:
            plane_rows(self, plane, at, <const double *>x, <double *>self.y + at.y_at, plane.y_row)
        else:
            plane_rows(self, plane, at, <const float *>x, <float *>self.y + at.y_at, plane.y_row)


cdef void correlate_unit(Correlate self, Py_ssize_t unit, int thread, const real_t *x) noexcept nogil:
    """Compute a strip of rows of one image, for a range of filters."""
    cdef Py_ssize_t strip = unit // self.block_groups % self.strips
    cdef Py_ssize_t n = unit // self.block_groups // self.strips
    cdef Py_ssize_t first_row = strip * self.strip_rows
    cdef Py_ssize_t source_row = first_row * self.row_step
    cdef Py_ssize_t height = min((self.strip_rows - 1) * self.row_step + self.reach, self.height - source_row), p
    cdef Plane *plane
    cdef RowRange at
    cdef real_t *copy = <real_t *>self.strip_scratch + thread * self.strip_size
    x += n * self.H * self.W * self.C
    if self.few.spread.copies:
        spread_strip(&self.few.spread, x, copy, source_row, height)
        x = copy
    elif self.bordered:
        copy_with_border(x, copy, self.H, self.W, self.C, source_row, height, self.width, self.top, self.left)
        x = copy
    else:
        x += source_row * self.width * self.C
    at.first, at.group, at.thread = first_row, unit % self.block_groups, thread
    at.x_row = self.few.pitch * self.row_step
    for p in range(self.plane_count):
        plane = &self.planes[p]
        at.columns = plane.columns
        if self.flat_pixels:
            at.columns = min(at.columns, self.flat_pixels - n * at.columns)
        at.rows = min(self.strip_rows, plane.rows - first_row)
        at.y_at = n * self.y_image + plane.y_first + first_row * plane.y_row
        if at.rows > 0 and at.columns > 0:
            self.compute_rows(plane, &at, x)


cdef inline void plane_rows(
    Correlate self,
    const Plane *plane,
    const RowRange *at,
    const real_t *x,                # window of the first pixel                           IN
    real_t *y, Py_ssize_t y_row,    # first pixel                                         OUT
) noexcept nogil:
    if self.few.method == DOT:
        dot_rows(self, plane, at, x, y, y_row)
    elif self.few.method == SPREAD:
        spread_stretch(self, plane, at, x, y, y_row)
    elif self.weight_taps != NULL:
        run_rows(self, plane, at, x, y, y_row)
    else:
        correlate_rows(self, plane, at, x, y, y_row)
