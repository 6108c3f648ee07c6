# Tiles across the small images of a batch: a tile computes the same pixel of several images.
#
# In a 4x4 image with a border of one pixel, 44 of the 144 products of a 3x3 filter have a zero of the border as factor.
# All pixels of a row share their taps, so tiles along rows (along_rows.pxi) compute them; pixels at the same place in
# different images share theirs, too, and need no taps in the border. Rows of one to three pixels also leave registers
# idle, which several images fill.
#
# The window of the pixel in each image is copied first, one image after the other: cache lines at a distance of a power
# of two, as in small images, would evict each other from the first-level cache. One copy serves all filters.

# Assumed cost of copying, in multiply-adds of vectors: for each run, and for each vector of it. Rough estimates
# suffice: the border is either a third of the work or a tenth.
cdef enum:
    RUN_COPIED = 16
    VECTOR_COPIED = 2

# Fewer images leave registers idle; in larger images the border is too small a part for this to pay.
cdef enum:
    LEAST_IMAGES_ACROSS = 8
    MOST_PIXELS_ACROSS = 1024


cdef struct Window:
    # The part of one output pixel's window inside the image; all taps reach the same columns.
    Py_ssize_t first, taps          # which of the plane's
    Py_ssize_t row, column          # source pixel where the whole window begins, perhaps in the border
    Py_ssize_t left, columns        # how many columns are cut off, and how many are there


cdef inline Window window_inside(Correlate self, const Plane *plane, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Return the part of pixel (i, j)'s window inside the source; all taps of the plane begin in the same column."""
    cdef Window w
    cdef Py_ssize_t pitch = self.width * self.C, wide = plane.walk.run // self.C, last = plane.walk.taps, row
    w.row = i * self.row_step - self.top
    w.column = j * (plane.walk.x_pixel // self.C) - self.left
    w.first = 0
    if last > 0:
        w.column += plane.walk.tap[0] % pitch // self.C
    w.left = min(max(-w.column, 0), wide)
    w.columns = max(min(wide, self.W - w.column) - w.left, 0)
    if w.columns == 0:
        last = 0
    while w.first < last and not 0 <= w.row + plane.walk.tap[w.first] // pitch < self.H:
        w.first += 1
    while w.first < last and not 0 <= w.row + plane.walk.tap[last - 1] // pitch < self.H:
        last -= 1
    w.taps = last - w.first
    return w


cdef bint worth_tiling_across_images(Correlate self, Py_ssize_t lanes) noexcept nogil:
    """Compare the multiply-adds of vectors for tiles along rows and for tiles across images, copies included."""
    cdef Py_ssize_t p, i, j, tile, vectors
    cdef double along = 0, across = 0, run
    cdef Plane *plane
    cdef Window w
    for p in range(self.plane_count):
        plane = &self.planes[p]
        vectors = (plane.outputs + lanes - 1) // lanes
        tile = (plane.columns + TILE_PIXELS - 1) // TILE_PIXELS
        tile = (plane.columns + tile - 1) // tile
        # A tile of fewer sums waits for each multiply-add before the next one can be added.
        along += (<double>plane.walk.taps * plane.walk.run * vectors * plane.rows * plane.columns
                  * max(1.0, 4.0 / tile))
        for i in range(plane.rows):
            for j in range(plane.columns):
                w = window_inside(self, plane, i, j)
                run = w.columns * self.C
                across += w.taps * (run * vectors + RUN_COPIED + VECTOR_COPIED * run / lanes)
    # A copy does not pay for small gains.
    return across < 0.97 * along


cdef bint can_tile_across_images(Correlate self) noexcept nogil:
    """Whether windows consist of whole adjacent rows and there are several small images."""
    cdef Py_ssize_t p, t, pitch = self.width * self.C, pixels = 0
    cdef Plane *plane
    if (self.N < LEAST_IMAGES_ACROSS or self.flat_pixels or not self.packs or self.few.method != NOT_FEW
            or self.row_pixels > self.planes[0].columns):       # pooled
        return False
    for p in range(self.plane_count):
        plane = &self.planes[p]
        pixels += plane.rows * plane.columns
        for t in range(plane.walk.taps):
            if plane.walk.run % self.C or (plane.walk.tap[t] - plane.walk.tap[0]) % pitch:
                return False
    return pixels <= MOST_PIXELS_ACROSS


cdef bint tile_across_images(Correlate self, double operations) except -1:
    """Choose tiles across images if they pay: divide the work into units and reserve memory. Return whether they do."""
    cdef Py_ssize_t lanes = lanes_of(self.is_double), itemsize = 8 if self.is_double else 4, p, depth = 1, images
    cdef AcrossImages *a = &self.across_images
    if not (can_tile_across_images(self) and worth_tiling_across_images(self, lanes)):
        return False
    for p in range(self.plane_count):
        a.pixels += self.planes[p].rows * self.planes[p].columns
        a.most_taps = max(a.most_taps, self.planes[p].walk.taps)
        depth = max(depth, self.planes[p].walk.taps * self.planes[p].walk.run)
    images = max(STRIP_BYTES // (depth * itemsize), TILE_PIXELS)
    a.chunks = (self.N + images - 1) // images
    if self.worth_splitting(operations):
        # Corner pixels cost less than others, so threads get equal numbers of images.
        a.chunks = min(round_up(a.chunks, self.max_threads), self.N)
    a.size = (self.N + a.chunks - 1) // a.chunks * copy_pitch(depth, itemsize)
    a.tap = <ptrdiff_t *>self.reserve(a.most_taps * self.max_threads, sizeof(ptrdiff_t))
    a.copies = self.reserve_reals(a.size * self.max_threads)
    self.units = a.chunks * a.pixels
    self.unit_cost = operations / self.units
    return True


cdef inline Py_ssize_t copy_pitch(Py_ssize_t depth, Py_ssize_t itemsize) noexcept nogil:
    """Return the distance between the copies of two images, in elements: an odd number of cache lines."""
    cdef Py_ssize_t line = 64 // itemsize
    return ((depth + line - 1) // line | 1) * line


cdef void across_images_unit(Correlate self, Py_ssize_t unit, int thread, const real_t *x, real_t *y) noexcept nogil:
    """Compute one output pixel of a range of images, for all filters."""
    cdef AcrossImages *a = &self.across_images
    cdef Py_ssize_t chunk = unit // a.pixels, at = unit % a.pixels, n = self.N * chunk // a.chunks
    cdef Py_ssize_t images = self.N * (chunk + 1) // a.chunks - n, i, j
    cdef real_t *copy = <real_t *>a.copies + thread * a.size
    cdef Plane *plane = self.planes
    cdef Correlation walk
    cdef Window window
    while at >= plane.rows * plane.columns:
        at -= plane.rows * plane.columns
        plane += 1
    i, j = at // plane.columns, at % plane.columns
    window = window_inside(self, plane, i, j)
    walk = plane.walk
    walk.tap = a.tap + thread * a.most_taps
    copy_windows(self, plane, &window, x + n * self.H * self.W * self.C, images, <ptrdiff_t *>walk.tap, copy, &walk)
    y += n * self.y_image + plane.y_first + i * plane.y_row + j * plane.walk.y_pixel
    tiles_across_images(self, plane, &window, &walk, images, copy, y)


cdef inline void copy_windows(
    Correlate self, const Plane *plane, const Window *window,
    const real_t *x,                # (images, H, W, C)                                   IN
    Py_ssize_t images,
    ptrdiff_t *tap,                 # (taps,): where each row of a window begins          OUT
    real_t *copy,                   # (images, pitch): (taps, columns * C) of each        OUT
    Correlation *walk,              # how tiles go over the copies                        OUT
) noexcept nogil:
    cdef Py_ssize_t pitch = self.width * self.C, row = self.W * self.C, k, t
    cdef const real_t *from_
    walk.taps, walk.run = window.taps, window.columns * self.C
    walk.w_skip = plane.walk.run - walk.run
    walk.x_pixel, walk.y_pixel = copy_pitch(walk.taps * walk.run, sizeof(real_t)), self.y_image
    for t in range(window.taps):
        tap[t] = t * walk.run
    x += window.row * row + (window.column + window.left) * self.C
    for k in range(images):
        for t in range(window.taps):
            from_ = x + plane.walk.tap[window.first + t] // pitch * row
            memcpy(copy + t * walk.run, from_, walk.run * sizeof(real_t))
        x += self.H * row
        copy += walk.x_pixel


cdef inline void tiles_across_images(
    Correlate self, const Plane *plane, const Window *window, Correlation *walk,
    Py_ssize_t images,
    const real_t *copy,             # (images, x_pixel)                                   IN
    real_t *y,                      # the pixel in the first image; y_pixel to the next   OUT
) noexcept nogil:
    cdef Py_ssize_t lanes = lanes_of(real_t is double), block = TILE_VECTORS * lanes, f = 0, k
    cdef Py_ssize_t m = even_share(images, TILE_PIXELS)
    cdef Py_ssize_t skipped = window.first * plane.walk.run + window.left * self.C
    cdef const real_t *w
    cdef const real_t *bias
    while f < plane.outputs:
        w = weights_of(self, plane, f, walk, <const real_t *>self.weight) + skipped * walk.w_step
        bias = bias_of(self, plane, f, <const real_t *>self.bias)
        k = 0
        while k < images:
            correlate_tile(<int>min(m, images - k), walk, copy + k * walk.x_pixel, w, bias,
                           y + k * walk.y_pixel + f, min(plane.outputs - f, block))
            k += m
        f += block
