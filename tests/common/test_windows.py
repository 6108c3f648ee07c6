"""Output sizes of windows, compared with counting positions one by one, and errors for invalid sizes."""

import itertools

import numpy as np
import pytest

from gwucnn.common import TransposedWindow, Window, check_flag, check_size, pair
from gwucnn.common.errors import ShapeError
from reference import output_size, pads, transposed_sides

SIZES = [1, 2, 3, 5, 8]
PADDINGS = ["valid", "same", 0, 2, (1, 0), ((0, 2), (3, 1))]


def count(length, reach, stride, before, after):
    """Count the places of a window by moving it until it leaves the padded image."""
    start, places = -before, 0
    while start + reach <= length + after:
        start, places = start + stride, places + 1
    return places


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("strides", [1, 2, (3, 1)], ids=str)
@pytest.mark.parametrize("dilation", [1, (2, 1)], ids=str)
def test_output_counts_the_windows(padding, strides, dilation):
    for H, W, KH, KW in itertools.product(SIZES, SIZES, [1, 2, 3], [1, 4]):
        window = Window.of("test", (KH, KW), strides, padding, dilation)
        sides = window.pad((H, W))
        assert sides == pads(padding, (H, W), (KH, KW), strides, dilation)
        assert window.offset((H, W)) == (sides[0][0], sides[1][0])
        counted = tuple(
            count(length, reach, stride, *side)
            for length, reach, stride, side in zip((H, W), window.reach, window.strides, sides, strict=True)
        )
        if min(counted) < 1:
            with pytest.raises(ShapeError):
                window.output((H, W))
        else:
            assert window.output((H, W)) == counted
            assert counted == output_size((H, W), (KH, KW), strides, padding, dilation)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_same_makes_as_many_as_strides_fit(stride):
    for length, size in itertools.product(range(1, 12), range(1, 8)):
        window = Window.of("test", size, stride, "same")
        assert window.output((length, length)) == (-(-length // stride),) * 2
        (top, bottom), _ = window.pad((length, length))
        assert 0 <= bottom - top <= 1


def test_a_window_that_does_not_fit():
    with pytest.raises(ShapeError) as caught:
        Window.of("2.Conv2D", 5, 1, "valid").output((3, 7))
    assert str(caught.value) == (
        "2.Conv2D: expected kernel_size to fit in an image of 3x7, got a window of 5x5 pixels; use a smaller window, "
        "larger images or padding='same'"
    )
    with pytest.raises(ShapeError, match=r"pool_size to fit in an image of 3x7 padded to 5x9, got .* 6x6 pixels"):
        Window.of("max_pool2d", 6, 1, 1, name="pool_size").output((3, 7))
    with pytest.raises(ShapeError, match="a window of 9x9 pixels"):
        Window.of("conv2d", 3, 1, "valid", 4).output((8, 8))


@pytest.mark.parametrize(
    ("arguments", "image", "text"),
    [
        ((3, 1, "valid"), (28, 28), "26 = (28 - 3) + 1"),
        ((2, 2, "valid"), (26, 26), "13 = (26 - 2) // 2 + 1"),
        ((3, 1, "valid"), (28, 26), "26x24, 26 = (28 - 3) + 1 and 24 = (26 - 3) + 1"),
        ((3, (2, 1), "same"), (5, 5), "3x5, 3 = (5 + 2 - 3) // 2 + 1 and 5 = (5 + 2 - 3) + 1"),
        ((3, 1, "valid", 2), (9, 9), "5 = (9 - 5) + 1"),
    ],
)
def test_printed_arithmetic(arguments, image, text):
    window = Window.of("test", *arguments)
    assert window.arithmetic(image) == text
    for equation in text.split(", ")[-1].split(" and "):
        made, sums = equation.split(" = ")
        assert eval(sums) == int(made)


def test_integers_of_all_kinds_are_sizes():
    assert check_size("f", "n", np.int64(3)) == 3
    assert type(check_size("f", "n", np.uint8(3))) is int
    assert pair("f", "n", 3) == (3, 3)
    assert pair("f", "n", [np.int32(3), 4]) == (3, 4)
    assert Window.of("f", 3, 1, [[1, 2], [0, 3]]).padding == ((1, 2), (0, 3))


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", None, True, np.float32(1)])
def test_invalid_size(value):
    with pytest.raises(ValueError, match="^f: expected n to be an integer of at least 1, got "):
        check_size("f", "n", value)


@pytest.mark.parametrize("value", [(1, 2, 3), (1,), "12", 1.5, None, {1, 2}])
def test_invalid_pair(value):
    with pytest.raises(ValueError, match="^f: expected n to be an integer or a pair of integers, got "):
        pair("f", "n", value)


@pytest.mark.parametrize(
    "padding",
    ["SAME", "full", 1.5, None, (1, 2, 3), [1], (1, (2, 3)), ((1, 2, 3), (4, 5)), np.array([1, 2])],
    ids=str,
)
def test_invalid_padding(padding):
    with pytest.raises(ValueError, match="^f: expected padding 'valid', 'same', an integer, .* got "):
        Window.of("f", 3, 1, padding)


@pytest.mark.parametrize("padding", [-1, (-1, 0), ((0, 1), (-2, 0)), (1.5, 0), True])
def test_padding_of_less_than_nothing(padding):
    with pytest.raises(ValueError, match="^f: expected padding to be an integer of at least 0, got "):
        Window.of("f", 3, 1, padding)


@pytest.mark.parametrize("value", [True, False, 1, 0, np.True_, np.bool_(False)])
def test_flags(value):
    assert check_flag("f", "add_bias", value) is bool(value)


@pytest.mark.parametrize("value", ["relu", None, 2, [True], np.ones(2, bool), ""])
def test_invalid_flag(value):
    with pytest.raises(ValueError, match="^f: expected add_bias to be True or False, got .*; a hint$"):
        check_flag("f", "add_bias", value, "; a hint")


# ------------------------------------------------------------------------------------------ transposed windows


@pytest.mark.parametrize("padding", PADDINGS, ids=str)
@pytest.mark.parametrize("strides", [1, 2, (3, 1)], ids=str)
@pytest.mark.parametrize("more", [None, 0, (1, 0)], ids=str)
@pytest.mark.parametrize("dilation", [1, (2, 1)], ids=str)
def test_transposed_sizes(padding, strides, more, dilation):
    if more == (1, 0) and strides == dilation == 1:
        more = None  # no output has one row more than its windows reach
    for H, W, KH, KW in itertools.product(SIZES, SIZES, [1, 2, 3], [1, 4]):
        window = TransposedWindow.of("test", (KH, KW), strides, padding, dilation, output_padding=more)
        rows, columns = transposed_sides((H, W), (KH, KW), strides, padding, more, dilation)
        assert window.offset((H, W)) == (rows[1], columns[1])
        if rows[0] < 1 or columns[0] < 1:
            with pytest.raises(ShapeError, match=r"^test: expected padding to leave pixels"):
                window.output((H, W))
        else:
            assert window.output((H, W)) == (rows[0], columns[0])


@pytest.mark.parametrize(
    ("arguments", "image", "text"),
    [
        ((3, 2, "valid"), (4, 4), "9 = (4 - 1) * 2 + 3"),
        ((2, 3, "valid"), (4, 4), "12 = (4 - 1) * 3 + 2 + 1"),
        ((3, 2, "same"), (4, 5), "8x10, 8 = (4 - 1) * 2 + 3 - 1 and 10 = (5 - 1) * 2 + 3 - 1"),
        ((3, 2, 1), (4, 4), "7 = (4 - 1) * 2 + 3 - 2"),
    ],
)
def test_transposed_arithmetic(arguments, image, text):
    assert TransposedWindow.of("test", *arguments).arithmetic(image) == text


def test_output_padding_that_no_stride_makes():
    with pytest.raises(ValueError) as caught:
        TransposedWindow.of("test", 3, (2, 1), "valid", output_padding=(1, 1))
    assert str(caught.value) == (
        "test: expected output_padding smaller than strides=(2, 1), or than dilation_rate=(1, 1), got (1, 1)"
    )
    assert TransposedWindow.of("test", 3, (2, 1), "valid", (1, 2), output_padding=1).output((4, 4)) == (10, 9)
