"""One table of odd shapes that every convolution, pooling and dense kernel must handle."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

PLAIN: Mapping[str, Any] = MappingProxyType({})


class Conv(NamedTuple):
    why: str
    x: tuple[int, int, int, int]
    weight: tuple[int, int, int, int]
    options: Mapping[str, Any] = PLAIN


class Pool(NamedTuple):
    why: str
    x: tuple[int, int, int, int]
    pool_size: int | tuple[int, int]
    options: Mapping[str, Any] = PLAIN


class Dense(NamedTuple):
    why: str
    x: tuple[int, int]
    units: int


# A register tile covers 5 to 14 neighbouring output pixels and a vector 4 to 16 filters (twice that in one
# tile): take widths and filter counts on both sides of every such edge.
FEW = [
    # Few filters: lanes run over channels if these fill a vector, or over the pixels of a row.
    *(
        Conv(f"{C} channels, {F} filters", (2, 6, 11, C), (3, 3, C, F))
        for C in (1, 3, 16, 21)
        for F in (1, 2, 3, 4, 5, 7, 8)
    ),
    *(Conv(f"one filter, OW = {OW}", (1, 4, OW + 2, 6), (3, 3, 6, 1)) for OW in (1, 6, 7, 13, 14, 15, 29)),
    *(Conv(f"one channel and filter, OW = {OW}", (2, 9, OW + 2, 1), (3, 3, 1, 1)) for OW in (15, 16, 17, 32, 33)),
    Conv("few filters, strides", (2, 15, 36, 3), (3, 3, 3, 2), {"strides": (2, 3), "padding": "same"}),
    Conv(
        "few filters of many channels, strides",
        (2, 9, 11, 18),
        (3, 4, 18, 3),
        {"strides": (3, 2), "padding": 1},
    ),
    Conv("few filters, dilation", (1, 9, 23, 2), (3, 3, 2, 3), {"dilation_rate": (2, 3), "padding": (3, 1)}),
    Conv("few filters, dilation of many channels", (1, 9, 12, 33), (3, 3, 33, 2), {"dilation_rate": (3, 2)}),
    Conv("few filters, four paddings", (2, 6, 17, 1), (3, 2, 1, 4), {"padding": ((0, 2), (3, 1))}),
    Conv("few filters, larger padding than filter", (1, 3, 4, 17), (2, 2, 17, 2), {"padding": ((4, 3), (5, 6))}),
    Conv("few filters, 1 x 1", (3, 5, 7, 40), (1, 1, 40, 3)),
    Conv("few filters, same", (2, 8, 19, 1), (5, 5, 1, 2), {"padding": "same"}),
    Conv("few filters in groups", (2, 6, 9, 34), (3, 3, 17, 6), {"groups": 2}),
    Conv(
        "few filters, a stride that leaves taps out",
        (1, 1, 1, 9),
        (2, 2, 9, 2),
        {"strides": 2, "padding": ((3, 0), (0, 1))},
    ),
    # 3x3 filters on one channel take three rows of an image at a time, and 6 or 7 rows of outputs.
    *(
        Conv(f"{F} filters, {OH} rows", (2, OH + 2, 23, 1), (3, 3, 1, F))
        for F in (1, 2, 3)
        for OH in (1, 2, 3, 6, 7, 8, 15)
    ),
    Conv("one channel, rows in steps", (1, 15, 23, 1), (3, 3, 1, 2), {"strides": (2, 1)}),
    Conv("one channel, dilated", (1, 15, 23, 1), (3, 3, 1, 2), {"dilation_rate": (2, 1)}),
    Conv("one channel, rows left over", (1, 16, 24, 1), (3, 3, 1, 2), {"strides": (2, 2)}),
]

SMALL = [
    # Small images of a batch, much of whose windows is border: a tile takes the same pixel of several images.
    *(
        Conv(f"{N} images of {size} x {size}", (N, size, size, 18), (3, 3, 18, 33), {"padding": "same"})
        for N in (8, 13, 29)
        for size in (1, 2, 4)
    ),
    *(
        Conv(
            f"small images, stride {s}, {F} filters",
            (9, 6, 5, 35),
            (3, 3, 35, F),
            {"strides": s, "padding": 1},
        )
        for s in (2, 3)
        for F in (17, 40)
    ),
    Conv("small images, no border, few columns", (10, 7, 3, 17), (3, 2, 17, 20)),
    Conv("small images, tall filters", (8, 4, 5, 18), (5, 2, 18, 34), {"padding": ((3, 2), (0, 1))}),
    Conv(
        "small images, larger padding than filter",
        (11, 2, 3, 17),
        (2, 2, 17, 18),
        {"padding": ((4, 3), (5, 6))},
    ),
    Conv(
        "small images, gaps between rows",
        (9, 5, 4, 20),
        (3, 3, 20, 24),
        {"dilation_rate": (2, 1), "padding": 2},
    ),
    Conv(
        "small images, gaps between columns",
        (9, 5, 4, 20),
        (3, 3, 20, 24),
        {"dilation_rate": 2, "padding": 2},
    ),
    Conv("small images in groups", (9, 4, 4, 40), (3, 3, 20, 48), {"groups": 2, "padding": "same"}),
    Conv(
        "small images, a stride that leaves taps out",
        (8, 3, 2, 18),
        (2, 2, 18, 20),
        {"strides": 3, "padding": 2},
    ),
]

CONV = [
    *FEW,
    *SMALL,
    *(Conv(f"OW = {OW}", (1, 4, OW + 2, 3), (3, 3, 3, 17)) for OW in (1, 2, 5, 6, 7, 13, 14, 15, 29)),
    *(Conv(f"{F} filters", (2, 5, 6, 4), (3, 2, 4, F)) for F in (1, 2, 7, 8, 15, 16, 32, 33)),
    *(Conv(f"{C} channels", (2, 6, 7, C), (3, 3, C, 5)) for C in (1, 2, 3, 8, 17, 33)),
    Conv("one pixel, one filter", (1, 1, 1, 1), (1, 1, 1, 1)),
    Conv("one pixel, many channels", (3, 1, 1, 19), (1, 1, 19, 33)),
    Conv("filter as large as the image", (2, 5, 7, 3), (5, 7, 3, 4)),
    Conv("the slides", (1, 28, 28, 1), (3, 3, 1, 2)),
    Conv("1 x 1 filters", (2, 5, 3, 6), (1, 1, 6, 9)),
    Conv("1 x 1 filters in groups", (3, 7, 5, 6), (1, 1, 3, 34), {"groups": 2}),
    Conv("1 x 1 filters, strides", (2, 5, 7, 3), (1, 1, 3, 9), {"strides": (1, 2)}),
    Conv("1 x 1 filters, padding", (2, 3, 4, 3), (1, 1, 3, 9), {"padding": 1}),
    # Beyond 512 bytes a row, weights are copied in another order, if there are pixels enough to pay for it.
    Conv("144 filters, few pixels", (1, 3, 4, 2), (3, 3, 2, 144)),
    Conv("144 filters, many pixels", (1, 9, 10, 2), (2, 2, 2, 144)),
    # Few pixels under whole vectors of filters: weights are used where they lie, forward by blocks of 32
    # channels, backward along 512 or more numbers.
    *(
        Conv(f"few pixels, {C} channels, {F} filters", (2, 3, 4, C), (3, 3, C, F), {"padding": "same"})
        for C, F in ((32, 128), (33, 144), (70, 128), (9, 64), (8, 64), (7, 64), (17, 80), (40, 72))
    ),
    *(
        Conv(f"{H} x {W} pixels, many filters", (1, H, W, 34), (3, 3, 34, 128), {"padding": 1})
        for H, W in ((1, 1), (1, 2), (2, 1), (3, 5), (5, 3), (1, 6), (1, 7), (3, 9), (4, 7))
    ),
    Conv("few pixels, 1 x 1", (1, 4, 4, 35), (1, 1, 35, 512)),
    Conv("few pixels, no padding", (1, 5, 6, 33), (3, 3, 33, 128)),
    Conv("few pixels, strides", (2, 7, 6, 32), (3, 3, 32, 128), {"padding": "same", "strides": (2, 3)}),
    Conv("few pixels, dilation", (1, 5, 7, 33), (2, 3, 33, 128), {"padding": "same", "dilation_rate": 2}),
    Conv("few pixels, four paddings", (1, 2, 3, 33), (3, 2, 33, 128), {"padding": ((0, 3), (4, 1))}),
    Conv("few pixels, groups", (1, 4, 5, 40), (3, 3, 20, 256), {"padding": 1, "groups": 2, "strides": 2}),
    Conv("few pixels, no images", (0, 4, 5, 32), (3, 3, 32, 128)),
    Conv("a row", (1, 1, 23, 2), (1, 5, 2, 3)),
    Conv("a column", (1, 23, 1, 2), (5, 1, 2, 3)),
    Conv("no images", (0, 5, 6, 2), (3, 2, 2, 4)),
    Conv("many small images", (9, 3, 3, 2), (2, 2, 2, 3)),
    Conv("strides that leave pixels over", (2, 9, 12, 3), (3, 2, 3, 4), {"strides": (3, 2), "padding": 0}),
    Conv("stride 2, one channel", (2, 9, 8, 1), (3, 3, 1, 33), {"strides": 2}),
    Conv("strides larger than the filter", (1, 8, 11, 2), (2, 1, 2, 3), {"strides": (3, 3)}),
    Conv("stride larger than the image", (1, 3, 3, 2), (3, 3, 2, 3), {"strides": 5, "padding": 1}),
    *(
        Conv(
            f"taps that meet no pixel, {C} channels",
            (2, 1, 1, C),
            (2, 2, C, 2),
            {"strides": 2, "padding": pad},
        )
        for C in (3, 9)
        for pad in [((3, 2), (0, 3))]
    ),
    Conv("dilation", (1, 9, 10, 2), (3, 3, 2, 4), {"dilation_rate": (2, 3)}),
    Conv("dilation and strides", (2, 10, 11, 2), (2, 3, 2, 5), {"dilation_rate": (3, 2), "strides": (2, 3)}),
    Conv("same, 3 x 3", (2, 6, 5, 3), (3, 3, 3, 17), {"padding": "same"}),
    Conv("same, even filter", (1, 5, 6, 2), (2, 4, 2, 3), {"padding": "same"}),
    Conv("same, strides", (2, 5, 8, 3), (3, 3, 3, 4), {"padding": "same", "strides": (2, 3)}),
    Conv("same, dilation", (1, 7, 8, 2), (3, 2, 2, 4), {"padding": "same", "dilation_rate": 2}),
    Conv("same, filter larger than the image", (1, 2, 3, 2), (5, 5, 2, 3), {"padding": "same"}),
    Conv("padding on all sides", (1, 5, 6, 1), (3, 3, 1, 8), {"padding": 1}),
    Conv("padding above and below", (1, 4, 7, 3), (4, 2, 3, 2), {"padding": (2, 0)}),
    Conv(
        "four different paddings",
        (2, 4, 5, 2),
        (3, 4, 2, 5),
        {"padding": ((0, 2), (3, 1)), "strides": (1, 2)},
    ),
    Conv("padding larger than the filter", (1, 3, 2, 2), (2, 2, 2, 3), {"padding": ((4, 3), (5, 6))}),
    Conv("padding makes the filter fit", (1, 1, 1, 2), (3, 4, 2, 3), {"padding": ((1, 1), (0, 3))}),
    Conv("two groups", (2, 5, 6, 6), (3, 2, 3, 8), {"groups": 2}),
    Conv("two groups of whole vectors", (1, 5, 6, 4), (3, 2, 2, 64), {"groups": 2}),
    Conv("three groups of one filter", (1, 5, 4, 6), (2, 2, 2, 3), {"groups": 3, "padding": "same"}),
    Conv("depthwise", (2, 6, 5, 17), (3, 3, 1, 17), {"groups": 17, "padding": 1}),
    Conv("depthwise with multiplier", (1, 6, 5, 3), (3, 3, 1, 9), {"groups": 3, "strides": 2}),
    # Depthwise tiles cover 2 x 2 to 2 x 4 pixels of 3x3 filters, or up to 7 in a row; the last vector of
    # channels is moved back over the one before.
    *(
        Conv(f"depthwise, {C} channels", (1, 7, 9, C), (3, 3, 1, C), {"groups": C, "padding": 1})
        for C in (2, 4, 15, 16, 31, 33, 48)
    ),
    *(
        Conv(f"depthwise, OW = {W}", (2, W // 2 + 1, W, 17), (3, 3, 1, 17), {"groups": 17, "padding": "same"})
        for W in (1, 2, 3, 4, 6, 10, 17)
    ),
    *(
        Conv(f"depthwise, border {border}", (2, 6, 7, 18), (3, 3, 1, 18), {"groups": 18, "padding": border})
        for border in (
            ((1, 0), (0, 1)),
            ((0, 1), (1, 0)),
            ((1, 2), (1, 1)),
            ((1, 1), (2, 1)),
            ((0, 0), (1, 1)),
        )
    ),
    *(Conv(f"depthwise, {H} rows", (1, H, 5, 16), (3, 3, 1, 16), {"groups": 16, "padding": 1}) for H in (1, 2, 3)),
    Conv("depthwise, no padding", (1, 9, 8, 19), (3, 3, 1, 19), {"groups": 19}),
    Conv("depthwise, 1 x 1", (2, 3, 9, 18), (1, 1, 1, 18), {"groups": 18}),
    Conv("depthwise, 5 x 5", (1, 8, 9, 20), (5, 5, 1, 20), {"groups": 20, "padding": 2}),
    Conv("depthwise, stride 2", (2, 8, 17, 18), (3, 3, 1, 18), {"groups": 18, "padding": "same", "strides": 2}),
    Conv(
        "depthwise, strides and dilation",
        (1, 11, 12, 18),
        (3, 2, 1, 18),
        {"groups": 18, "padding": ((1, 2), (4, 0)), "strides": (3, 2), "dilation_rate": (2, 3)},
    ),
    Conv("depthwise, stride larger than the filter", (1, 9, 9, 17), (2, 1, 1, 17), {"groups": 17, "strides": 3}),
    Conv("depthwise, no images", (0, 5, 6, 17), (3, 3, 1, 17), {"groups": 17, "padding": 1}),
    *(Conv(f"multiplier {m}", (2, 5, 6, 9), (3, 3, 1, 9 * m), {"groups": 9, "padding": 1}) for m in (2, 3, 4, 7)),
    *(
        Conv(f"groups of {c} and {f}", (1, 6, 7, 5 * c), (3, 3, c, 5 * f), {"groups": 5, "padding": 1})
        for c, f in ((2, 2), (3, 1), (4, 4), (5, 3), (2, 6), (8, 8))
    ),
    Conv("many groups, stride 2", (2, 7, 6, 36), (3, 3, 4, 36), {"groups": 9, "strides": 2, "padding": "same"}),
    Conv("many groups, 1 x 1", (2, 4, 5, 40), (1, 1, 4, 20), {"groups": 10}),
    Conv(
        "windows beside the image",
        (2, 10, 1, 10),
        (3, 3, 5, 10),
        {"groups": 2, "strides": (1, 3), "padding": ((3, 3), (4, 0))},
    ),
    Conv("windows beside the image, depthwise", (1, 1, 3, 17), (2, 2, 1, 17), {"groups": 17, "padding": 3}),
    Conv(
        "everything at once",
        (3, 11, 13, 4),
        (2, 3, 2, 6),
        {"groups": 2, "strides": (2, 3), "dilation_rate": (3, 2), "padding": ((1, 2), (3, 0))},
    ),
]

# Transposed convolutions: weight (KH, KW, F / groups, C), outputs before inputs.
TRANSPOSED = [
    Conv("stride 1", (2, 4, 5, 3), (3, 3, 17, 3)),
    Conv("one pixel", (1, 1, 1, 1), (1, 1, 1, 1)),
    Conv("1 x 1 filters", (2, 5, 3, 6), (1, 1, 9, 6)),
    Conv("1 x 1 filters, strides", (2, 3, 4, 3), (1, 1, 18, 3), {"strides": (2, 3)}),
    *(Conv(f"{F} filters", (2, 4, 3, 5), (3, 2, F, 5), {"strides": 2}) for F in (1, 8, 16, 33)),
    *(Conv(f"{C} channels", (1, 4, 6, C), (4, 4, 3, C), {"strides": 2}) for C in (1, 2, 17, 33)),
    Conv("strides larger than the filter", (2, 3, 4, 2), (2, 1, 3, 2), {"strides": (3, 4)}),
    Conv("the same, nothing added", (1, 3, 4, 2), (2, 1, 3, 2), {"strides": (3, 4), "output_padding": 0}),
    Conv("output padding", (1, 4, 3, 2), (3, 3, 3, 2), {"strides": (2, 3), "output_padding": (1, 2)}),
    Conv("output padding by dilation", (1, 4, 3, 2), (3, 3, 3, 2), {"dilation_rate": 3, "output_padding": 2}),
    Conv("same", (2, 4, 5, 3), (3, 3, 4, 3), {"padding": "same"}),
    *(
        Conv(f"same, {K} x {K}, strides", (1, 4, 3, 2), (K, K, 5, 2), {"padding": "same", "strides": (2, 3)})
        for K in (1, 2, 3, 4, 5, 7)
    ),
    *(
        Conv(
            f"same, {K} x {K}, output padding {more}",
            (1, 4, 3, 2),
            (K, K, 5, 2),
            {"padding": "same", "strides": (2, 3), "output_padding": more},
        )
        for K in (1, 2, 3, 4, 5)
        for more in (0, 1)
    ),
    Conv("same, dilation", (1, 4, 5, 2), (3, 2, 4, 2), {"padding": "same", "strides": 2, "dilation_rate": 2}),
    Conv("padding", (1, 5, 6, 3), (3, 3, 8, 3), {"strides": 2, "padding": 1, "output_padding": 1}),
    Conv("padding by axis", (1, 5, 6, 3), (4, 2, 3, 3), {"strides": 2, "padding": (2, 0)}),
    Conv("four paddings", (2, 4, 5, 2), (3, 4, 5, 2), {"strides": (1, 2), "padding": ((0, 2), (3, 1))}),
    Conv("padding cuts off whole windows", (1, 5, 4, 2), (2, 2, 3, 2), {"padding": ((3, 2), (2, 1))}),
    Conv("one pixel is left", (1, 3, 2, 2), (2, 2, 3, 2), {"strides": 2, "padding": ((3, 2), (0, 3))}),
    *(
        Conv(f"small images, stride {S}", (N, 4, 3, 34), (3, 3, 18, 34), {"strides": S, "padding": "same"})
        for N, S in ((9, 1), (8, 2), (19, 2), (9, 3))
    ),
    Conv("no images", (0, 3, 4, 2), (3, 3, 4, 2), {"strides": 2}),
    Conv("groups", (2, 4, 3, 6), (3, 2, 4, 6), {"groups": 2, "strides": 2}),
    Conv("each channel by itself", (1, 4, 5, 7), (3, 3, 1, 7), {"groups": 7, "strides": 2, "padding": 1}),
    Conv(
        "everything at once",
        (2, 5, 4, 4),
        (2, 3, 3, 4),
        {
            "groups": 2,
            "strides": (2, 3),
            "dilation_rate": (3, 2),
            "padding": ((1, 2), (3, 0)),
            "output_padding": (1, 2),
        },
    ),
]

POOL = [
    Pool("halves", (2, 4, 6, 3), 2),
    Pool("pixels left over", (1, 5, 7, 3), 2),
    Pool("one pixel", (1, 1, 1, 1), 1),
    Pool("window as large as the image", (2, 3, 5, 4), (3, 5)),
    Pool("no images", (0, 4, 4, 2), 2),
    Pool("one channel", (3, 8, 6, 1), 2),
    *(Pool(f"{C} channels", (1, 4, 4, C), 2) for C in (8, 16, 17, 33)),
    Pool("overlap", (2, 6, 7, 3), 3, {"strides": 1}),
    Pool("overlap one way", (1, 7, 9, 2), (3, 2), {"strides": (1, 3)}),
    Pool("strides larger than the window", (1, 9, 8, 3), 2, {"strides": (4, 3)}),
    Pool("same", (2, 6, 5, 3), 3, {"strides": 2, "padding": "same"}),
    Pool("same, odd size", (1, 5, 7, 18), 2, {"padding": "same"}),
    Pool("padding", (1, 5, 5, 3), 3, {"strides": 2, "padding": 1}),
    Pool("four different paddings", (2, 5, 6, 2), (3, 4), {"strides": (2, 1), "padding": ((0, 2), (3, 1))}),
    Pool("255 pixels, a byte", (1, 16, 18, 2), (15, 17), {"strides": 1}),
    Pool("256 pixels, no longer a byte", (1, 17, 17, 2), 16, {"strides": 1}),
    # Few channels in rows of at least a vector of windows; what is left over at the right and at the bottom is zero.
    *(Pool(f"{C} channels, {W} wide", (2, W % 5 + 4, W, C), 2) for C in range(1, 8) for W in (8, 13, 34, 37)),
    *(Pool(f"{C} channels, same, odd size", (1, 5, 37, C), 2, {"padding": "same"}) for C in (1, 2, 4)),
    Pool(
        "one channel, a rest of many columns",
        (1, 9, 40, 1),
        2,
        {"strides": (2, 2), "padding": ((0, 0), (0, 0))},
    ),
    Pool("300 pixels, padded", (2, 20, 12, 1), (20, 15), {"padding": (4, 2), "strides": 2}),
]

DENSE = [
    Dense("one number", (1, 1), 1),
    Dense("no images", (0, 3), 4),
    Dense("the slides", (1, 242), 100),
    Dense("two outputs", (10, 100), 2),
    Dense("one feature", (7, 1), 8),
    Dense("one output", (13, 33), 1),
    Dense("wide", (3, 5), 129),
    Dense("odd everywhere", (29, 17), 33),
    # Few rows take the weights where they lie: four features at a time, sums of 32 products side by side.
    *(Dense(f"1 row, {D} features", (1, D), 35) for D in (2, 3, 4, 5, 8, 11)),
    # The gradients take a vector of rows at a time, and rows of at least a vector in vectors that reach into the next.
    *(Dense(f"1 row, {U} outputs", (1, 37), U) for U in (2, 3, 4, 7, 8, 9, 16, 17, 24, 48, 100, 128, 129, 150)),
    *(Dense(f"{N} rows, {U} outputs", (N, 6), U) for N in (2, 4, 5) for U in (1, 31, 32, 33, 64, 71)),
    Dense("many rows", (65, 9), 16),
    Dense("144 outputs", (70, 5), 144),
    # The gradient by the weight takes 256 rows at a time.
    Dense("256 rows and some", (300, 5), 18),
    Dense("513 rows", (513, 3), 7),
]

# Convolution with 2x2 pooling. A tile covers up to 3 pooled pixels; the gradients have kernels for 3x3
# filters of whole vectors of channels (2, 4, 8 or 16 of them) and for filters of few channels, and none for
# the rest.
CONV_POOL = [
    *(Conv(f"OW = {OW}", (1, 6, OW + 2, 3), (3, 3, 3, 17)) for OW in (2, 3, 4, 6, 7, 8, 12, 14, 15)),
    *(Conv(f"{F} filters", (2, 7, 8, 3), (3, 3, 3, F)) for F in (1, 2, 8, 16, 32, 33)),
    *(Conv(f"{C} channels", (2, 8, 9, C), (3, 3, C, 18)) for C in (1, 2, 8, 16, 32, 48)),
    Conv("2 x 2 outputs", (3, 4, 4, 16), (3, 3, 16, 2)),
    Conv("3 x 3 outputs", (3, 5, 5, 1), (3, 3, 1, 16)),
    Conv("the slides", (1, 28, 28, 1), (3, 3, 1, 2)),
    Conv("one filter, 16 rows", (2, 34, 37, 1), (3, 3, 1, 1)),
    Conv("three filters, strides", (1, 19, 38, 2), (3, 3, 2, 3), {"strides": (1, 2), "padding": "same"}),
    Conv("few filters in groups", (2, 7, 8, 34), (3, 3, 17, 6), {"groups": 2}),
    Conv("no images", (0, 6, 7, 16), (3, 3, 16, 16)),
    Conv("many small images", (9, 5, 4, 16), (3, 3, 16, 3)),
    Conv("144 filters", (2, 8, 9, 2), (3, 3, 2, 144)),
    Conv("144 filters of 16 channels", (1, 6, 7, 16), (3, 3, 16, 144)),
    Conv("small images that share lists", (23, 8, 8, 48), (3, 3, 48, 20)),
    Conv("small images that share lists, same", (7, 3, 4, 80), (3, 3, 80, 37), {"padding": "same"}),
    Conv("many rows, 40 filters of 16 channels", (1, 40, 23, 16), (3, 3, 16, 40)),
    Conv("many rows, strides", (1, 74, 23, 16), (3, 3, 16, 35), {"strides": (3, 1)}),
    Conv("1 x 1 filters", (2, 5, 7, 3), (1, 1, 3, 16)),
    Conv("5 x 5 filters", (2, 9, 10, 1), (5, 5, 1, 16)),
    Conv("5 x 5 filters of 16 channels", (1, 9, 8, 16), (5, 5, 16, 6)),
    Conv("one row of filters", (1, 5, 11, 2), (1, 4, 2, 32)),
    Conv("strides", (2, 9, 12, 2), (3, 2, 2, 16), {"strides": (1, 2)}),
    Conv("strides that leave pixels over", (2, 11, 12, 16), (3, 3, 16, 5), {"strides": 2}),
    Conv("strides larger than the filter", (1, 15, 18, 16), (3, 3, 16, 17), {"strides": (4, 5)}),
    Conv("same", (2, 6, 9, 3), (3, 3, 3, 16), {"padding": "same"}),
    Conv("same, 16 channels", (2, 6, 9, 16), (3, 3, 16, 4), {"padding": "same"}),
    Conv("same, even filter", (1, 6, 5, 2), (2, 4, 2, 16), {"padding": "same"}),
    Conv("same, strides", (2, 9, 8, 16), (3, 3, 16, 6), {"padding": "same", "strides": (2, 1)}),
    Conv("four paddings", (2, 5, 6, 2), (3, 4, 2, 16), {"padding": ((0, 2), (3, 1)), "strides": (1, 2)}),
    Conv("four paddings, 16 channels", (2, 5, 6, 16), (3, 3, 16, 3), {"padding": ((0, 2), (3, 1))}),
    Conv("padding below alone", (1, 4, 6, 16), (3, 3, 16, 3), {"padding": ((0, 1), (0, 0))}),
    Conv("padding larger than the filter", (1, 3, 2, 16), (3, 3, 16, 3), {"padding": ((4, 3), (5, 6))}),
    Conv("padding makes the filter fit", (1, 1, 1, 2), (3, 4, 2, 16), {"padding": ((1, 2), (0, 4))}),
    Conv("dilation", (1, 9, 10, 2), (3, 3, 2, 16), {"dilation_rate": (2, 3)}),
    Conv("dilation, 16 channels", (1, 7, 8, 16), (3, 3, 16, 3), {"dilation_rate": 2}),
    Conv("dilation and strides", (1, 11, 12, 1), (2, 3, 1, 32), {"dilation_rate": (3, 2), "strides": (2, 1)}),
    Conv("two groups", (2, 7, 6, 6), (3, 2, 3, 8), {"groups": 2}),
    Conv("depthwise", (2, 6, 7, 17), (3, 3, 1, 17), {"groups": 17, "padding": 1}),
]


def names(cases):
    """Return the reason for each case, as pytest's ids."""
    return [case.why.replace(" ", "-") for case in cases]
