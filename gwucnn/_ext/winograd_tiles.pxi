# How Winograd's algorithm cuts images of outputs into tiles: 4x4 of them, and where an image ends with one or two rows
# or columns, short tiles of two. A short side takes 4 of the 6 rows of elements (see winograd.h), so that 10x10 outputs
# cost 256 products where nine whole tiles cost 324.
#
# Tiles of one kind are numbered image by image, row by row. Numbered kind after kind, those that have one of the 36
# elements follow each other, whichever it is: so the kinds are in the order 4x2, 4x4, 2x4, 2x2.

cdef enum:
    ELEMENTS_OF_TILE = 36
    TILE_KINDS = 4


cdef struct TileKind:
    int down, across                # outputs of a tile: 4 or 2
    Py_ssize_t i, j                 # first output of the first tile of an image
    Py_ssize_t rows, columns        # tiles in an image
    Py_ssize_t tiles                # in all images
    Py_ssize_t first_tile           # number of the first one, if numbers go on from kind to kind
    Py_ssize_t first_unit           # number of the first unit of work, which is a block of tiles of one kind


cdef struct Place:
    # Where a tile lies.
    int down, across                # as in its kind
    Py_ssize_t n, i, j              # image and first output
    int rows, columns               # outputs that there are
    Py_ssize_t f, filters           # the first filter at work, and how many


cdef Py_ssize_t cut_tiles(TileKind *kinds, Py_ssize_t N, Py_ssize_t OH, Py_ssize_t OW, Py_ssize_t block) noexcept nogil:
    """Describe the four kinds of tiles, of which some may be none; return the number of blocks of at most `block`."""
    cdef Py_ssize_t units = 0, tiles = 0, k
    cdef TileKind *kind
    for k in range(TILE_KINDS):
        kind = &kinds[k]
        kind.down, kind.across = 4 if k < 2 else 2, 4 if k == 1 or k == 2 else 2
        # Three rows that are left over are a whole tile.
        kind.rows = (OH + 1) // 4 if kind.down == 4 else (1 if 0 < OH % 4 < 3 else 0)
        kind.columns = (OW + 1) // 4 if kind.across == 4 else (1 if 0 < OW % 4 < 3 else 0)
        kind.i = 0 if kind.down == 4 else OH // 4 * 4
        kind.j = 0 if kind.across == 4 else OW // 4 * 4
        kind.tiles = N * kind.rows * kind.columns
        kind.first_tile = tiles
        kind.first_unit = units
        tiles += kind.tiles
        units += (kind.tiles + block - 1) // block
    return units


cdef double products_of_tiles(const TileKind *kinds) noexcept nogil:
    """Return how many products each pair of a channel and a filter takes, in all tiles."""
    cdef double products = 0
    cdef Py_ssize_t k
    for k in range(TILE_KINDS):
        products += <double>kinds[k].tiles * elements_of(&kinds[k])
    return products


cdef inline const TileKind *kind_of_unit(const TileKind *kinds, Py_ssize_t unit) noexcept nogil:
    cdef Py_ssize_t k = TILE_KINDS - 1
    # Kinds without tiles begin where the next one does.
    while kinds[k].first_unit > unit or kinds[k].tiles == 0:
        k -= 1
    return &kinds[k]


cdef inline const TileKind *kind_of_tile(const TileKind *kinds, Py_ssize_t tile) noexcept nogil:
    cdef Py_ssize_t k = TILE_KINDS - 1
    while kinds[k].first_tile > tile or kinds[k].tiles == 0:
        k -= 1
    return &kinds[k]


cdef inline void tiles_with(const TileKind *kinds, Py_ssize_t element, Py_ssize_t *first,
                            Py_ssize_t *last) noexcept nogil:
    """Set which tiles have an element, from `first` up to, not including, `last`; numbers go from kind to kind."""
    # Short tiles have no rows or columns 3 and 4.
    cdef bint tall = 3 <= element // 6 <= 4, broad = 3 <= element % 6 <= 4
    cdef const TileKind *end = &kinds[1 if tall else (2 if broad else 3)]
    first[0] = kinds[1 if broad else 0].first_tile
    last[0] = end.first_tile + end.tiles


cdef inline Py_ssize_t elements_of(const TileKind *kind) noexcept nogil:
    return (kind.down + 2) * (kind.across + 2)


cdef inline Py_ssize_t element_of(const TileKind *kind, Py_ssize_t number) noexcept nogil:
    """Return which of the 36 elements is a kind's element of this number."""
    cdef Py_ssize_t row = number // (kind.across + 2), column = number % (kind.across + 2)
    row = 5 if kind.down == 2 and row == 3 else row
    column = 5 if kind.across == 2 and column == 3 else column
    return row * 6 + column


cdef inline Place place_of(const TileKind *kind, Py_ssize_t tile, Py_ssize_t OH, Py_ssize_t OW) noexcept nogil:
    cdef Place place
    cdef Py_ssize_t in_image = kind.rows * kind.columns
    place.down, place.across = kind.down, kind.across
    place.n, place.f, place.filters = tile // in_image, 0, 0
    place.i = kind.i + tile % in_image // kind.columns * 4
    place.j = kind.j + tile % kind.columns * 4
    place.rows, place.columns = <int>min(kind.down, OH - place.i), <int>min(kind.across, OW - place.j)
    return place
