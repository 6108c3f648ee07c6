"""Scaling pixels and features to the order of 1 before a network learns from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gwucnn import ops
from gwucnn.common import CHUNK, NotBuiltError, ShapeError, check_number, chunks
from gwucnn.layers.base import Array, Layer, Shape, Space, image_size
from gwucnn.memory import Parameter

__all__ = ["Normalization", "Rescaling"]

Numbers = float | tuple[float, ...]

# Its square root is the smallest standard deviation in Keras, 1e-7.
EPSILON = 1e-14


class Preprocessing(Layer):
    """The base of both layers."""

    replayable = True
    rescales_pixels = True

    def __init__(self, *, input_size: Any, name: str | None) -> None:
        self.input_size = image_size(self.label, input_size)
        self.name = name

    def numbers(self, name: str, given: Any) -> Numbers:
        """Return a number, or a list of one per channel, as floats."""
        if isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, str) and np.shape(given):
            return tuple(check_number(self.label, name, value) for value in given)
        return check_number(self.label, name, given)

    def require_one_per_channel(self, in_shape: Shape, **given: Numbers | None) -> None:
        """Raise ShapeError unless each of these is a number, or a list with one per channel of the inputs."""
        if not in_shape:
            raise ShapeError(f"{self.label}: expected images (H, W, C) or features (D,), got {in_shape}")
        for name, numbers in given.items():
            if isinstance(numbers, tuple) and len(numbers) != in_shape[-1]:
                raise ShapeError(
                    f"{self.label}: expected {name} for {in_shape[-1]} channels, got {len(numbers)} numbers; "
                    "give one number, or one for each channel"
                )

    def config(self) -> dict[str, Any]:
        optional = {"input_size": self.input_size, "name": self.name}
        return {key: value for key, value in optional.items() if value is not None}


class Rescaling(Preprocessing):
    """Multiply and add, in training and inference: y[..., c] = x[..., c] * scale[c] + offset[c].

    Parameters
    ----------
    scale, offset : float, or one for each channel (feature)
        Rescaling(1 / 255) scales pixels from 0..255 to 0..1, Rescaling(1 / 127.5, -1) to -1..1.
    input_size : int, (H, W) or (H, W, C), optional
        Size of the images; checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        For anything but finite numbers; ShapeError at `add` or `build` for another number of channels.

    Examples
    --------
    >>> from gwucnn import Conv2D, GWUNetwork, Rescaling
    >>> network = GWUNetwork([Rescaling(1 / 255, input_size=28), Conv2D(8, 3)])
    """

    replayable = True

    def __init__(
        self,
        scale: float | Sequence[float],
        offset: float | Sequence[float] = 0.0,
        *,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_size=input_size, name=name)
        self.scale = self.numbers("scale", scale)
        self.offset = self.numbers("offset", offset)

    def build(self, in_shape: Shape) -> Shape:
        self.require_one_per_channel(in_shape, scale=self.scale, offset=self.offset)
        return super().build(in_shape)

    def forward(self, x: Array, space: Space) -> Array:
        y = space.array("y", x.shape)
        return space.run("forward", ops.rescale, x, scale=self.scale, offset=self.offset, out=y)

    def backward(self, dy: Array, space: Space) -> Array | None:
        if not space.needs_dx:
            return None
        return space.run("backward", ops.rescale, dy, scale=self.scale, out=space.array("dx", dy.shape))

    def config(self) -> dict[str, Any]:
        offset = {} if self.offset == 0 else {"offset": self.offset}
        return {"scale": self.scale} | offset | super().config()


class Normalization(Preprocessing):
    """Normalise each channel (feature) by a mean and a variance that are measured once, before training.

    ::

        y[..., c] = (x[..., c] - mean[c]) / sqrt(variance[c])

    in training and inference alike. `adapt` measures mean and variance. They are non-trainable weights, so that
    `set_weights` and files restore them.

    Parameters
    ----------
    mean, variance : float, or one for each channel, optional
        Pass both if they are known; `adapt` is then not needed.
    input_size : int, (H, W) or (H, W, C), optional
        Size of the images; checked against the output of the layer before.
    name : str, optional

    Raises
    ------
    ValueError
        If only one of mean and variance is given, or for a negative variance. NotBuiltError at the first batch if they
        were neither measured nor given; ShapeError at `add` or `build` for another number of channels.

    Notes
    -----
    Weights: mean, variance, each of shape (C,); variances are biased, divided by the number of pixels, as in
    Keras. 1e-14 is added to them, so that a constant channel becomes 0.

    Examples
    --------
    >>> import numpy as np
    >>> from gwucnn import Dense, GWUNetwork, Normalization
    >>> x = np.array([[1.0, 200.0], [3.0, 600.0]])
    >>> network = GWUNetwork([Normalization().adapt(x), Dense(1)])
    >>> network.activations(x)[0]
    array([[-1., -1.],
           [ 1.,  1.]], dtype=float32)
    """

    replayable = True
    channels_first = False  # set by a channels-first network

    def __init__(
        self,
        *,
        mean: float | Sequence[float] | None = None,
        variance: float | Sequence[float] | None = None,
        input_size: Any = None,
        name: str | None = None,
    ) -> None:
        super().__init__(input_size=input_size, name=name)
        if (mean is None) != (variance is None):
            raise ValueError(
                f"{self.label}: expected mean and variance together, got mean={mean!r} and "
                f"variance={variance!r}; give both, or call adapt(x)"
            )
        self._given: dict[str, Numbers] = {}
        if mean is not None:
            self._given = {"mean": self.numbers("mean", mean), "variance": self.numbers("variance", variance)}
            if np.min(self._given["variance"]) < 0:
                raise ValueError(
                    f"{self.label}: expected variance of at least 0, got {variance!r}; give the square of "
                    "the standard deviation"
                )
        # Given values by name; without them, the weights are NaN.
        self._statistics: dict[str, Any] = dict(self._given)

    def adapt(self, x: Any) -> Normalization:
        """Measure mean and variance of each channel over all of x, and return the layer.

        Of a memory-mapped array, only a few MB are loaded at a time.

        Parameters
        ----------
        x : array of numbers: images (N, H, W) or (N, H, W, C), or features (N, D)
            The training data. If it is channels first, the layer has to belong to its network already.

        Raises
        ------
        TypeError, ValueError
            For anything but finite numbers; ShapeError for another number of axes or channels, or no samples.
        """
        caller = f"{self.label}.adapt"
        x = np.asarray(x)
        if x.dtype.kind not in "biuf":
            got = {"U": "texts", "S": "texts", "O": "objects"}.get(x.dtype.kind, f"{x.dtype}")
            raise TypeError(f"{caller}: expected x to be an array of numbers, got {got}")
        if not x.size:
            raise ShapeError(f"{caller}: expected x with at least one sample, got {x.shape}; check how x was made")
        if x.ndim not in (2, 3, 4):
            raise ShapeError(f"{caller}: expected x of shape (N, H, W), (N, H, W, C) or (N, D), got {x.shape}")
        mean, variance = moments(x, self.channels_first)
        if not np.isfinite(variance).all():
            raise ValueError(f"{caller}: expected finite x, got NaN or infinity; remove or repair it")
        measured = {"mean": mean, "variance": variance}
        if self.parameters:
            _need_channels(caller, mean, self.mean.shape)
        self._statistics = measured
        for parameter in self.parameters:
            if parameter.constant is not None:
                parameter.value = measured[parameter.name].astype(parameter.constant.dtype)
        return self

    def build(self, in_shape: Shape) -> Shape:
        self.require_one_per_channel(in_shape, **self._given)
        mean = self._statistics.get("mean")
        if np.ndim(mean) if mean is not None else False:
            _need_channels(self.label, np.asarray(mean), in_shape[-1:])
        self.mean, self.variance = self.parameters = tuple(
            Parameter(name, in_shape[-1:], self._fill(name), trainable=False) for name in ("mean", "variance")
        )
        return super().build(in_shape)

    def _fill(self, name: str) -> Callable[[Any, Any], None]:
        def fill(array: Any, rng: Any) -> None:
            array[...] = self._statistics.get(name, np.nan)

        return fill

    def statistics(self) -> tuple[Array, Array]:
        """Return mean and variance, or raise NotBuiltError if they are unknown."""
        if np.isnan(self.mean.constant).any():
            raise NotBuiltError(
                f"{self.label}: expected mean and variance to be known, got a layer that has seen no data; "
                "call its adapt(x) with the images or features to train on, or give mean and variance"
            )
        return self.mean.constant, self.variance.constant

    def forward(self, x: Array, space: Space) -> Array:
        mean, variance = self.statistics()
        if "ones" not in space.saved:
            space.saved["ones"] = np.ones(mean.shape, space.dtype)
            space.saved["zeros"] = np.zeros(mean.shape, space.dtype)
        ones, zeros, y = space.saved["ones"], space.saved["zeros"], space.array("y", x.shape)
        space.saved["x"] = x
        return space.run("forward", ops.batch_norm, x, ones, zeros, mean, variance, EPSILON, out=y)

    def backward(self, dy: Array, space: Space) -> Array | None:
        if not space.needs_dx:
            return None
        x, ones, dx = space.saved["x"], space.saved["ones"], space.array("dx", dy.shape)
        mean, variance = self.statistics()
        return space.run("backward", ops.batch_norm_backward, dy, x, ones, mean, variance, EPSILON, out=dx)

    def config(self) -> dict[str, Any]:
        return self._given | super().config()


def _need_channels(caller: str, mean: Any, shape: Shape) -> None:
    if mean.shape != shape:
        raise ShapeError(
            f"{caller}: expected data of {shape[0]} channels, got {mean.size}; adapt to the data that the "
            "network is trained with, for channels first when the layer is in its network"
        )


def moments(x: Any, channels_first: bool) -> tuple[Any, Any]:
    """Return mean and variance of each channel, float64 of shape (C,), reading x piece by piece.

    Pieces are merged by the formulae of T. Chan, G. Golub and R. LeVeque, "Updating formulae", 1979, which avoid
    differences of large sums.
    """
    count, mean, square = 0, np.zeros(()), np.zeros(())
    with np.errstate(invalid="ignore", over="ignore"):
        # uint8 becomes float64, which is eight times as large.
        for _, piece in chunks(x, CHUNK // 16):
            rows = _rows(piece, channels_first).astype(np.float64)
            n, centre = len(rows), rows.mean(axis=0)
            rows -= centre
            step, total = centre - mean, count + n
            square = square + np.einsum("rc,rc->c", rows, rows) + step * step * (count * n / total)
            mean, count = mean + step * (n / total), total
    return mean, square / count


def _rows(x: Any, channels_first: bool) -> Any:
    """Return pixels or samples as rows, with a column for each channel or feature."""
    if x.ndim == 3:
        return x.reshape(-1, 1)
    if x.ndim == 4 and channels_first:
        x = np.moveaxis(x, 1, -1)
    return x.reshape(-1, x.shape[-1])
