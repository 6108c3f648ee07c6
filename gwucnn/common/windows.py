"""Integer arithmetic of windows that slide over images.

V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Self

from gwucnn.common.checks import check_size, misplaced_word_hint
from gwucnn.common.errors import ShapeError

__all__ = [
    "Border",
    "Padding",
    "Shape",
    "Size",
    "TransposedWindow",
    "Window",
    "border",
    "pair",
]

# More than any image has; products of two such numbers fit into 64 bits.
MOST_PIXELS = 2**31 - 1

Shape = tuple[int, ...]
Size = int | Sequence[int]
Border = int | Sequence[int] | Sequence[Sequence[int]]
Padding = str | Border


def pair(caller: str, name: str, value: object, least: int = 1) -> tuple[int, int]:
    """Return an int or a pair of ints as (rows, columns)."""
    if isinstance(value, Integral):
        value = (value, value)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        hint = misplaced_word_hint(name, value)
        raise ValueError(f"{caller}: expected {name} to be an integer or a pair of integers, got {value!r}{hint}")
    rows, columns = check_size(caller, name, value[0], least), check_size(caller, name, value[1], least)
    if max(rows, columns) > MOST_PIXELS:
        raise ValueError(f"{caller}: expected {name} of at most {MOST_PIXELS} pixels, got {max(rows, columns)}")
    return rows, columns


def _is_two(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2


def border(
    caller: str, padding: object, words: str = "", *, name: str = "padding"
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return padding given as int, (ph, pw) or ((top, bottom), (left, right)) in the last form.

    words : names that are also allowed, and name : that of the argument, for the error message.
    """
    sides: Any = padding
    if isinstance(padding, Integral):
        sides = (padding, padding)
    if _is_two(sides) and not any(isinstance(side, Sequence) for side in sides):
        sides = [(side, side) for side in sides]
    if not _is_two(sides) or not all(map(_is_two, sides)):
        meant = padding.lower() if isinstance(padding, str) else ""
        hint = f"; did you mean {meant!r}?" if f"'{meant}'" in words else ""
        raise ValueError(
            f"{caller}: expected {name} {words}an integer, (ph, pw) or ((top, bottom), (left, right)), got "
            f"{padding!r}{hint}"
        )
    return pair(caller, name, sides[0], 0), pair(caller, name, sides[1], 0)


@dataclass(frozen=True)
class Window:
    """A window of `size` pixels, `dilation` apart, that moves over an image in steps of `strides`.

    `caller` and `name` are the function or layer and the argument that error messages name. `padding` is 'valid'
    (none), 'same' (the output has ceil(H / stride) rows; an odd row or column of padding goes to the bottom or right,
    as in Keras) or ((top, bottom), (left, right)) in pixels. Create it with `Window.of`, which checks the arguments.
    """

    caller: str
    name: str
    size: tuple[int, int]
    strides: tuple[int, int]
    padding: str | tuple[tuple[int, int], tuple[int, int]]
    dilation: tuple[int, int] = (1, 1)

    @classmethod
    def of(
        cls,
        caller: str,
        size: object,
        strides: object,
        padding: object,
        dilation: object = 1,
        name: str = "kernel_size",
    ) -> Self:
        """Check the user's arguments and return a Window."""
        return cls(
            caller,
            name,
            pair(caller, name, size),
            pair(caller, "strides", strides),
            padding
            if isinstance(padding, str) and padding in ("valid", "same")
            else border(caller, padding, "'valid', 'same', "),
            pair(caller, "dilation_rate", dilation),
        )

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns that the window spans, from its first to its last pixel inclusive."""
        (KH, KW), (DH, DW) = self.size, self.dilation
        return (KH - 1) * DH + 1, (KW - 1) * DW + 1

    def pad(self, image: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return ((top, bottom), (left, right)) for an image of (H, W) pixels."""
        if self.padding == "valid":
            return (0, 0), (0, 0)
        if self.padding != "same":
            return self.padding  # type: ignore[return-value]
        totals = [
            max((-(-length // stride) - 1) * stride + reach - length, 0)
            for length, stride, reach in zip(image, self.strides, self.reach, strict=True)
        ]
        return (totals[0] // 2, totals[0] - totals[0] // 2), (totals[1] // 2, totals[1] - totals[1] // 2)

    def offset(self, image: tuple[int, int]) -> tuple[int, int]:
        """Return (top, left): the padding before the image."""
        (top, _), (left, _) = self.pad(image)
        return top, left

    def output(self, image: tuple[int, int]) -> tuple[int, int]:
        """Return the number of windows, (OH, OW), or raise ShapeError if none fits."""
        (top, bottom), (left, right) = self.pad(image)
        H, W = image[0] + top + bottom, image[1] + left + right
        if self.reach[0] > H or self.reach[1] > W:
            padded = "" if tuple(image) == (H, W) else f" padded to {H}x{W}"
            raise ShapeError(
                f"{self.caller}: expected {self.name} to fit in an image of {image[0]}x{image[1]}{padded}, got "
                f"a window of {self.reach[0]}x{self.reach[1]} pixels; use a smaller window, larger images or "
                "padding='same'"
            )
        return (H - self.reach[0]) // self.strides[0] + 1, (W - self.reach[1]) // self.strides[1] + 1

    def arithmetic(self, image: tuple[int, int]) -> str:
        """Return the calculation of the output size: '26 = (28 - 3) + 1' or '26x24, 26 = ... and 24 = ...'."""
        size = self.output(image)
        sums = [f"{size[axis]} = {self._sum(axis, image)}" for axis in range(2)]
        return sums[0] if sums[0] == sums[1] else f"{size[0]}x{size[1]}, {sums[0]} and {sums[1]}"

    def _sum(self, axis: int, image: tuple[int, int]) -> str:
        length, stride, reach = image[axis], self.strides[axis], self.reach[axis]
        padding = sum(self.pad(image)[axis])
        inside = f"{length} + {padding} - {reach}" if padding else f"{length} - {reach}"
        return f"({inside})" + (f" // {stride}" if stride > 1 else "") + " + 1"


@dataclass(frozen=True)
class TransposedWindow(Window):
    """The window of a transposed convolution: each pixel of the image is scattered over a window of the output.

    Pixel h contributes to the output rows from h*stride - top on. In total there are (H - 1)*stride + reach rows, of
    which `padding` cuts off none for 'valid', the excess over H*stride for 'same' (more at the bottom), or the given
    numbers. `output_padding` adds rows and columns at the bottom and right, which may lie outside all windows. None
    stands for the choice of Keras: 0, and with 'valid' as many as make the output at least H*stride rows high.
    """

    output_padding: tuple[int, int] | None = None

    @classmethod
    def of(
        cls,
        caller: str,
        size: object,
        strides: object,
        padding: object,
        dilation: object = 1,
        name: str = "kernel_size",
        output_padding: object = None,
    ) -> Self:
        window = super().of(caller, size, strides, padding, dilation, name)
        if output_padding is None:
            return window
        more = pair(caller, "output_padding", output_padding, 0)
        if any(n >= max(sizes) for n, *sizes in zip(more, window.strides, window.dilation, strict=True)):
            raise ValueError(
                f"{caller}: expected output_padding smaller than strides={window.strides}, or than "
                f"dilation_rate={window.dilation}, got {output_padding!r}"
            )
        return replace(window, output_padding=more)

    def _whole(self, axis: int, image: tuple[int, int]) -> int:
        """Return the number of rows or columns covered by all windows of an image."""
        return (image[axis] - 1) * self.strides[axis] + self.reach[axis]

    def pad(self, image: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Return how much is cut off, ((top, bottom), (left, right)); negative where rows or columns are added."""
        return self._cut(0, image), self._cut(1, image)

    def _cut(self, axis: int, image: tuple[int, int]) -> tuple[int, int]:
        stride, reach = self.strides[axis], self.reach[axis]
        more = None if self.output_padding is None else self.output_padding[axis]
        if self.padding == "valid":
            return 0, -(max(stride - reach, 0) if more is None else more)
        if self.padding == "same":
            # Keras counts output_padding from (H - 1)*stride, plus one if the window has a middle pixel.
            cut = reach - (stride if more is None else reach % 2 + more)
            return max(cut, 0) // 2, cut - max(cut, 0) // 2
        before, after = super().pad(image)[axis]
        return before, after - (more or 0)

    def output(self, image: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the output, or raise ShapeError if padding cuts off everything."""
        H, W = (self._whole(axis, image) - sum(self._cut(axis, image)) for axis in range(2))
        if H < 1 or W < 1:
            raise ShapeError(
                f"{self.caller}: expected padding to leave pixels of an output of "
                f"{self._whole(0, image)}x{self._whole(1, image)}, got {self.padding!r}, which makes it "
                f"{H}x{W}"
            )
        return H, W

    def _sum(self, axis: int, image: tuple[int, int]) -> str:
        cut = sum(self._cut(axis, image))
        change = f" {'-' if cut > 0 else '+'} {abs(cut)}" if cut else ""
        return f"({image[axis]} - 1) * {self.strides[axis]} + {self.reach[axis]}{change}"
