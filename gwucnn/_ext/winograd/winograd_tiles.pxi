# The tiles of Winograd's algorithm: 4x4 outputs, and short tiles of two rows or columns where one or two remain at the
# end of an image. A short side takes 4 of the 6 rows of elements (see winograd.h), so that 10x10 outputs cost 256
# products where nine whole tiles cost 324.
#
# Tiles are numbered by kind, within a kind by image and row. The kinds are in the order 4x2, 4x4, 2x4,
# 2x2: so the tiles that have a given one of the 36 elements are consecutive, and their products are one matrix.

cdef enum:
    ELEMENTS_OF_TILE = 36
    TILE_KINDS = 4


cdef struct TileKind:
    int down, across                # outputs of a tile: 4 or 2
    Py_ssize_t i, j                 # first output of the first tile of an image
    Py_ssize_t rows, columns        # tiles in an image
    Py_ssize_t first, last          # numbers of the tiles in all images, from first up to, not including, last


cdef struct Place:
    # The position of a tile.
    int down, across                # as in its kind
    Py_ssize_t n, i, j              # image and first output
    int rows, columns               # outputs that there are
    Py_ssize_t f, filters           # the first filter at work, and how many


cdef Py_ssize_t cut_tiles(TileKind *kinds, Py_ssize_t N, Py_ssize_t OH, Py_ssize_t OW) noexcept nogil:
    """Describe the four kinds of tiles, of which some may be none; return the number of all tiles."""
    cdef Py_ssize_t tiles = 0, k
    cdef TileKind *kind
    for k in range(TILE_KINDS):
        kind = &kinds[k]
        kind.down, kind.across = 4 if k < 2 else 2, 4 if k == 1 or k == 2 else 2
        # Three rows that are left over are a whole tile.
        kind.rows = (OH + 1) // 4 if kind.down == 4 else (1 if 0 < OH % 4 < 3 else 0)
        kind.columns = (OW + 1) // 4 if kind.across == 4 else (1 if 0 < OW % 4 < 3 else 0)
        kind.i = 0 if kind.down == 4 else OH // 4 * 4
        kind.j = 0 if kind.across == 4 else OW // 4 * 4
        kind.first = tiles
        tiles += N * kind.rows * kind.columns
        kind.last = tiles
    return tiles


cdef double products_of_tiles(const TileKind *kinds) noexcept nogil:
    """Return how many products each pair of a channel and a filter takes, in all tiles."""
    cdef double products = 0
    cdef Py_ssize_t k
    for k in range(TILE_KINDS):
        products += <double>(kinds[k].last - kinds[k].first) * (kinds[k].down + 2) * (kinds[k].across + 2)
    return products


cdef inline void tiles_with(const TileKind *kinds, Py_ssize_t element, Py_ssize_t first, Py_ssize_t count,
                            Py_ssize_t *begin, Py_ssize_t *end) noexcept nogil:
    """Set which of `count` tiles from number `first` on have an element: those from begin up to, not including, end."""
    # Short tiles have no rows or columns 3 and 4.
    cdef bint tall = 3 <= element // 6 <= 4, broad = 3 <= element % 6 <= 4
    begin[0] = min(max(kinds[1 if broad else 0].first - first, 0), count)
    end[0] = max(min(kinds[1 if tall else (2 if broad else 3)].last - first, count), begin[0])


cdef inline Place place_of(const TileKind *kinds, Py_ssize_t tile, Py_ssize_t OH, Py_ssize_t OW) noexcept nogil:
    cdef Place place
    cdef Py_ssize_t in_image
    while kinds.last <= tile:
        kinds += 1
    tile -= kinds.first
    in_image = kinds.rows * kinds.columns
    place.down, place.across = kinds.down, kinds.across
    place.n, place.f, place.filters = tile // in_image, 0, 0
    place.i = kinds.i + tile % in_image // kinds.columns * 4
    place.j = kinds.j + tile % kinds.columns * 4
    place.rows, place.columns = <int>min(kinds.down, OH - place.i), <int>min(kinds.across, OW - place.j)
    return place
