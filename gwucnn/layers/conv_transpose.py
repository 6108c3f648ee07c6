"""Transposed convolution, which enlarges images."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

from gwucnn import ops
from gwucnn.common import Padding, ShapeError, Size, TransposedWindow, check_size
from gwucnn.layers.base import Array, Shape, Space
from gwucnn.layers.filters import FilterLayer

__all__ = ["Conv2DTranspose"]


class Conv2DTranspose(FilterLayer):
    """Scatter each pixel over a window of a larger image: the gradient of a convolution, as a layer.

    ::

        y = activation(conv2d_transpose(x, kernel) + bias)    see gwucnn.ops.conv2d_transpose for the formula
        dkernel = conv2d_transpose_backward_weight(x, dz)
        dbias = sum of dz over images and pixels
        dx = conv2d_transpose_backward_input(dz, kernel)

    where dz is the gradient before the activation. Strides of 2 double the sides of an image, so that the decoder of an
    autoencoder mirrors an encoder of Conv2D with the same options.

    Parameters
    ----------
    filters : int
        F, number of output channels.
    kernel_size : int or (KH, KW)
        In pixels.
    strides, dilation_rate : int or (rows, columns)
        Distance between the windows of neighbouring pixels, and between the pixels of a window.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Pixels cut off from the output; with 'same' the output is strides times as large as the image.
    output_padding : int or (rows, columns), optional
        Additional pixels at the bottom and right; the default is that of Keras, see `gwucnn.ops.conv2d_transpose`.
    groups : int
        Number of groups into which channels and filters are divided.
    activation, add_bias, input_size, kernel_initializer, bias_initializer, kernel_regularizer, trainable,
    name
        As in Conv2D.

    Raises
    ------
    ValueError
        For invalid sizes, unknown names, and output_padding that is not smaller than the strides or the dilation;
        ShapeError at `add` or `build` if padding cuts off everything.

    Notes
    -----
    Kernel of shape (KH, KW, F // groups, C), bias (F,), in the layout of Keras, with filters before channels.

    References
    ----------
    M. Zeiler, D. Krishnan, G. Taylor and R. Fergus, "Deconvolutional networks", CVPR 2010; V. Dumoulin and F.
    Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285, section 4.
    """

    replayable = True
    overwrites_grads = True
    own: ClassVar[dict[str, Any]] = {"output_padding": None, "groups": 1}

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        strides: Size = 1,
        padding: Padding = "valid",
        *,
        output_padding: Size | None = None,
        dilation_rate: Size = 1,
        groups: int = 1,
        activation: Any = None,
        add_bias: bool = False,
        input_size: Any = None,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        window = TransposedWindow.of(
            self.label, kernel_size, strides, padding, dilation_rate, output_padding=output_padding
        )
        super().__init__(
            window,
            input_size,
            activation=activation,
            add_bias=add_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            trainable=trainable,
            name=name,
        )
        self.output_padding = window.output_padding
        self.filters = check_size(self.label, "filters", filters)
        self.groups = check_size(self.label, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(f"{self.label}: expected filters to be a multiple of groups={groups}, got {filters}")

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        C = in_shape[2]
        if C % self.groups:
            raise ShapeError(f"{self.label}: expected channels to be a multiple of groups={self.groups}, got {C}")
        self.slide(in_shape, self.filters)
        self.declare((*self.kernel_size, self.filters // self.groups, C), self.filters)
        self._keywords = {
            "strides": self.strides,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }
        return self.out_shape

    @property
    def multiply_adds(self) -> int:
        # Each weight is used once per input position.
        return prod(self.in_shape[:-1]) * self.kernel.size

    def multiply(self, x: Array, y: Array, space: Space) -> None:
        bias = self.bias.constant if self.add_bias else None
        space.run("conv2d_transpose", ops.conv2d_transpose, x, self.kernel.constant, bias, out=y, **self._keywords)

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        space.run(
            "backward_weight",
            ops.conv2d_transpose_backward_weight,
            x,
            dy,
            weight_shape=self.kernel.shape,
            out=self.kernel.grad,
            accumulate=space.accumulates,
            **self._keywords,
        )

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        space.run(
            "backward_input",
            ops.conv2d_transpose_backward_input,
            dy,
            self.kernel.constant,
            input_shape=dx.shape,
            out=dx,
            **self._keywords,
        )

    def config(self) -> dict[str, Any]:
        return {"filters": self.filters} | super().config()
