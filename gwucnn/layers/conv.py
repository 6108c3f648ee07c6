"""Two-dimensional convolution."""

from __future__ import annotations

from typing import Any, ClassVar

from gwucnn import ops
from gwucnn.common import Padding, ShapeError, Size, Window, check_size
from gwucnn.layers.base import Array, Shape, Space
from gwucnn.layers.filters import FilterLayer

__all__ = ["Conv2D"]


class Conv2D(FilterLayer):
    """Slide filters over images: each output pixel is the product of a filter and the window under it.

    ::

        y = activation(conv2d(x, kernel) + bias)            see gwucnn.ops.conv2d for the formula
        dkernel = conv2d_backward_weight(x, dz)
        dbias = sum of dz over images and pixels
        dx = conv2d_backward_input(dz, kernel)

    where dz is the gradient before the activation.

    Parameters
    ----------
    filters : int
        F, number of output channels. Two by default, as on the slides.
    kernel_size : int or (KH, KW)
        In pixels.
    strides, dilation_rate : int or (rows, columns)
        Pixels between windows, and between the pixels of a window.
    padding : 'valid', 'same', int, (ph, pw) or ((top, bottom), (left, right))
        Zeros around the image; 'same' keeps its size at stride 1.
    groups : int
        Number of groups into which channels and filters are divided. With as many groups as channels, each channel is
        filtered separately.
    activation : str, optional
        'relu', 'sigmoid', 'softmax', 'tanh', 'leaky_relu', 'elu', 'gelu', 'silu', 'softplus', 'relu6', 'hard_sigmoid',
        'hard_swish', 'mish' or 'selu'.
    add_bias : bool
    input_size : int, (H, W) or (H, W, C), optional
        Size of the images; an int stands for square images with one channel. Never required. On the first layer it is
        checked against the data.
    kernel_initializer, bias_initializer : str
        See `gwucnn.initializers`.
    kernel_regularizer : 'l1', 'l2', or an object of L1, L2 or L1L2, optional
        Penalty on the kernel, see `gwucnn.regularizers`.
    trainable : bool
        False freezes kernel and bias.
    name : str, optional

    Raises
    ------
    ValueError
        For invalid sizes and unknown names; ShapeError at `add` or `build` if the filter does not fit the
        image.

    Notes
    -----
    Kernel of shape (KH, KW, C // groups, F), bias (F,), in the layout and order of Keras.
    """

    replayable = True
    overwrites_grads = True
    own: ClassVar[dict[str, Any]] = {"groups": 1}

    def __init__(
        self,
        filters: int = 2,
        kernel_size: Size = 3,
        strides: Size = 1,
        padding: Padding = "valid",
        *,
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
        super().__init__(
            Window.of(self.label, kernel_size, strides, padding, dilation_rate),
            input_size,
            activation=activation,
            add_bias=add_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            trainable=trainable,
            name=name,
        )
        self.filters = check_size(self.label, "filters", filters)
        self.groups = check_size(self.label, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(
                f"{self.label}: expected filters to be a multiple of groups={groups}, got {filters}; change either"
            )

    @property
    def _options(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        C = in_shape[2]
        if C % self.groups:
            raise ShapeError(
                f"{self.label}: expected channels to be a multiple of groups={self.groups}, got {C}; "
                "change groups, or the filters of the layer before"
            )
        self.slide(in_shape, self.filters)
        self.declare((*self.kernel_size, C // self.groups, self.filters))
        self._keywords = self._options
        return self.out_shape

    def multiply(self, x: Array, y: Array, space: Space, *, relu: bool = False) -> None:
        space.run(
            "conv2d",
            ops.conv2d,
            x,
            *self.weights(space),
            out=y,
            winograd=space.winograd,
            scratch=space.scratch,
            constant_weight=space.constant_weights,
            relu=relu,
            **self._keywords,
        )

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        space.run(
            "backward_weight",
            ops.conv2d_backward_weight,
            x,
            dy,
            weight_shape=self.kernel.shape,
            out=self.kernel.grad,
            accumulate=space.accumulates,
            winograd=space.winograd,
            scratch=space.scratch,
            **self._keywords,
        )

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        space.run(
            "backward_input",
            ops.conv2d_backward_input,
            dy,
            self.kernel.constant,
            input_shape=dx.shape,
            out=dx,
            winograd=space.winograd,
            scratch=space.scratch,
            **self._keywords,
        )

    def config(self) -> dict[str, Any]:
        return {"filters": self.filters} | super().config()
