"""Augmentation by moving pixels: in training, each image is randomly translated, rotated, zoomed or flipped."""

from __future__ import annotations

from typing import Any

from gwucnn import ops
from gwucnn.common import check_number, look_up
from gwucnn.layers.augmentation.base import RandomLayer
from gwucnn.layers.base import Array, Space
from gwucnn.ops.warp import FILL_MODES, FLIPS, Factor, check_factor

__all__ = ["RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom"]


class RandomWarp(RandomLayer):
    """The base of the four layers: draws numbers, computes a matrix for each image, and warps the image by it.

    A derived class defines how many numbers an image needs, and the op that computes matrices from them.
    """

    replayable = True
    fill_value = 0.0
    fill_mode = "constant"

    def make_matrices(self, numbers: Array, matrices: Array, space: Space) -> None:
        """Compute matrices (N, 2, 3) from random numbers (N, draws)."""
        raise NotImplementedError

    def forward(self, x: Array, space: Space) -> Array:
        space.saved["matrices"] = None
        if not space.training:
            return x
        numbers = self.draw(len(x), space)
        matrices = space.saved["matrices"] = space.array("matrices", (len(x), 2, 3))
        self.make_matrices(numbers, matrices, space)
        y = space.array("y", x.shape)
        fill = {"fill_value": self.fill_value, "fill_mode": self.fill_mode}
        return space.run("warp", ops.affine_warp, x, matrices, **fill, out=y)

    def backward(self, dy: Array, space: Space) -> Array | None:
        matrices = space.saved["matrices"]
        if matrices is None:
            return dy
        if not space.needs_dx:
            return None
        dx = space.array("dx", dy.shape)
        return space.run("unwarp", ops.affine_warp_backward, dy, matrices, fill_mode=self.fill_mode, out=dx)


class FilledWarp(RandomWarp):
    """A warp that reads pixels outside of the image, as `fill_mode` says."""

    replayable = True

    def __init__(self, *, fill_mode: str, fill_value: float, input_size: Any, name: str | None) -> None:
        super().__init__(input_size=input_size, name=name)
        self.replayable = not look_up(self.label, "fill_mode", fill_mode, FILL_MODES)
        self.fill_mode = fill_mode
        self.fill_value = check_number(self.label, "fill_value", fill_value)
        if self.fill_value and fill_mode != "constant":
            raise ValueError(
                f"{self.label}: expected no fill_value with fill_mode={fill_mode!r}, got {fill_value!r}; leave one out"
            )

    def config(self) -> dict[str, Any]:
        mode = {} if self.fill_mode == "constant" else {"fill_mode": self.fill_mode}
        value = {"fill_value": self.fill_value} if self.fill_value else {}
        return mode | value | super().config()


class RandomTranslation(FilledWarp):
    """Translate each image randomly in training, by a fraction of its height and width.

    In inference images are not changed.

    Parameters
    ----------
    height, width : float or (low, high)
        Ranges of fractions, from -1 to 1; f stands for (-f, f). Positive ones move down and right: (-0.2, 0.3) moves by
        up to 20% up and 30% down.
    fill_mode : 'constant', 'reflect' or 'nearest'
        The pixels outside of the image: `fill_value`, the mirror image (d c b a | a b c d | d c b a, the default of
        Keras), or the pixels at the border (a a a a | a b c d | d d d d). The last two are computed by numpy, in 12 to
        50 times as long.
    fill_value : float
        Only with 'constant'.
    input_size : int, (H, W) or (H, W, C), optional
        Checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        For factors out of range and other modes; ShapeError at `add` or `build` for inputs that are not
        images.

    Notes
    -----
    Pixels are interpolated bilinearly. Random numbers come from the network's random state: a seed repeats a run,
    independently of the number of threads.

    Examples
    --------
    >>> from gwucnn import Conv2D, GWUNetwork, RandomRotation, RandomTranslation
    >>> network = GWUNetwork([RandomTranslation(0.1, 0.1), RandomRotation(0.03), Conv2D(8, 3)])
    """

    replayable = True
    draws = 2

    def __init__(
        self,
        height: Factor,
        width: Factor,
        *,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(fill_mode=fill_mode, fill_value=fill_value, input_size=input_size, name=name)
        self.height = check_factor(self.label, "height", height)
        self.width = check_factor(self.label, "width", width)

    def make_matrices(self, numbers: Array, matrices: Array, space: Space) -> None:
        space.run(
            "matrices",
            ops.translation_matrices,
            numbers,
            size=self.in_shape[:2],
            height_factor=self.height,
            width_factor=self.width,
            out=matrices,
        )

    def config(self) -> dict[str, Any]:
        factors = {"height": self.height, "width": self.width}
        return factors | super().config()


class RandomRotation(FilledWarp):
    """Rotate each image about its centre by a random angle in training.

    In inference images are not changed.

    Parameters
    ----------
    factor : float or (low, high)
        Range of angles, as fractions of a full turn from -1 to 1; f stands for (-f, f). Positive angles are
        counter-clockwise: (-0.1, 0.25) rotates by up to 36 degrees clockwise and 90 counter-clockwise.
    fill_mode, fill_value, input_size, name
        As for `RandomTranslation`, also everything else.

    Raises
    ------
    ValueError
        For a factor out of range and other modes; ShapeError at `add` or `build` for inputs that are not
        images.
    """

    replayable = True

    def __init__(
        self,
        factor: Factor,
        *,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(fill_mode=fill_mode, fill_value=fill_value, input_size=input_size, name=name)
        self.factor = check_factor(self.label, "factor", factor)

    def make_matrices(self, numbers: Array, matrices: Array, space: Space) -> None:
        space.run(
            "matrices",
            ops.rotation_matrices,
            numbers,
            size=self.in_shape[:2],
            factor=self.factor,
            out=matrices,
        )

    def config(self) -> dict[str, Any]:
        return {"factor": self.factor} | super().config()


class RandomZoom(FilledWarp):
    """Zoom each image randomly about its centre in training.

    In inference images are not changed.

    Parameters
    ----------
    factor : float or (low, high)
        Range of additional height in view, as fractions of the height from -1 to 1; f stands for (-f, f). Positive ones
        zoom out: 0.25 shows 1.25 times as many rows, so that objects appear 0.8 times as high.
    width_factor : float or (low, high), optional
        The same for columns. By default they are zoomed like rows, which preserves the aspect ratio.
    fill_mode, fill_value, input_size, name
        As for `RandomTranslation`, also everything else.

    Raises
    ------
    ValueError
        For factors out of range and other modes; ShapeError at `add` or `build` for inputs that are not
        images.
    """

    replayable = True

    def __init__(
        self,
        factor: Factor,
        *,
        width_factor: Factor | None = None,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(fill_mode=fill_mode, fill_value=fill_value, input_size=input_size, name=name)
        self.factor = check_factor(self.label, "factor", factor)
        self.width_factor = None
        if width_factor is not None:
            self.width_factor = check_factor(self.label, "width_factor", width_factor)
        self.draws = 1 if width_factor is None else 2

    def make_matrices(self, numbers: Array, matrices: Array, space: Space) -> None:
        space.run(
            "matrices",
            ops.zoom_matrices,
            numbers,
            size=self.in_shape[:2],
            height_factor=self.factor,
            width_factor=self.width_factor,
            out=matrices,
        )

    def config(self) -> dict[str, Any]:
        width = {} if self.width_factor is None else {"width_factor": self.width_factor}
        return {"factor": self.factor} | width | super().config()


class RandomFlip(RandomWarp):
    """Flip half of the images randomly in training: left to right, upside down, or both at once.

    In inference images are not changed.

    Parameters
    ----------
    mode : 'horizontal', 'vertical' or 'horizontal_and_vertical'
        With both, an image is flipped in both directions, which is half a turn, or not at all, as in Keras 3. For all
        four combinations, put RandomFlip('vertical') after RandomFlip('horizontal').
    input_size, name
        As for `RandomTranslation`, also everything else. Pixels are moved without interpolation.

    Raises
    ------
    ValueError
        For other modes; ShapeError at `add` or `build` for inputs that are not images.
    """

    replayable = True

    def __init__(
        self, mode: str = "horizontal_and_vertical", *, input_size: Any = None, name: str | None = None
    ) -> None:
        super().__init__(input_size=input_size, name=name)
        look_up(self.label, "mode", mode, FLIPS)
        self.mode = mode

    def make_matrices(self, numbers: Array, matrices: Array, space: Space) -> None:
        if self.mode == "horizontal_and_vertical":
            # The op uses one random number per direction: it gets the same number twice.
            twice = space.array("twice", (len(numbers), 2))
            for start in range(2):
                space.run(f"number {start}", ops.put_channels, numbers, start=start, out=twice)
            numbers = twice
        space.run("matrices", ops.flip_matrices, numbers, size=self.in_shape[:2], mode=self.mode, out=matrices)

    def config(self) -> dict[str, Any]:
        return {"mode": self.mode} | super().config()
