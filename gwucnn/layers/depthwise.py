"""Convolutions that filter each channel separately."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar

from gwucnn import ops
from gwucnn.common import Padding, Size, Window, check_size, set_inside, to_config
from gwucnn.initializers import initializer
from gwucnn.layers.base import Array, Shape, Space, constructor_repr
from gwucnn.layers.filters import FilterLayer
from gwucnn.memory import Parameter
from gwucnn.regularizers import regularizer

__all__ = ["DepthwiseConv2D", "SeparableConv2D"]


class ChannelLayer(FilterLayer):
    """A layer with M filters per channel, stored as (KH, KW, C, M) and used as (KH, KW, 1, C * M).

    Both have the same elements in the same order: filter c*M + m of `conv2d` with C groups is filter m of channel c.
    """

    replayable = True
    own: ClassVar[dict[str, Any]] = {"depth_multiplier": 1}
    depth_multiplier: int

    def _prepare(self, channels: int) -> None:
        self._flat = (*self.kernel_size, 1, channels * self.depth_multiplier)
        self._keywords = {
            "strides": self.strides,
            "padding": self.padding,
            "dilation_rate": self.dilation_rate,
            "groups": channels,
        }

    def _filter(self, x: Array, kernel: Array, bias: Any, y: Array, space: Space, *, relu: bool = False) -> None:
        weight = space.view("kernel", kernel, self._flat)
        options = {"constant_weight": space.constant_weights, "relu": relu, **self._keywords}
        space.run("depthwise", ops.conv2d, x, weight, bias, out=y, **options)

    def _filter_backward_weight(self, x: Array, dy: Array, kernel: Parameter, space: Space) -> None:
        space.run(
            "depthwise_backward_weight",
            ops.conv2d_backward_weight,
            x,
            dy,
            weight_shape=self._flat,
            out=space.view("kernel grad", kernel.grad, self._flat),
            accumulate=space.accumulates,
            **self._keywords,
        )

    def _filter_backward_input(self, dy: Array, kernel: Parameter, dx: Array, space: Space) -> None:
        space.run(
            "depthwise_backward_input",
            ops.conv2d_backward_input,
            dy,
            space.view("kernel", kernel.constant, self._flat),
            input_shape=dx.shape,
            out=dx,
            **self._keywords,
        )


class DepthwiseConv2D(ChannelLayer):
    """Slide filters over images, each over a single channel: M filters per channel, C * M outputs.

    ::

        y[..., c*M + m] = activation(conv2d(x[..., c], kernel[..., c, m]) + bias[c*M + m])

    Parameters
    ----------
    kernel_size : int or (KH, KW)
        In pixels.
    strides, padding, dilation_rate
        As in Conv2D.
    depth_multiplier : int
        M, number of filters per channel.
    activation, add_bias, input_size, kernel_initializer, bias_initializer, kernel_regularizer, trainable,
    name
        As in Conv2D.

    Raises
    ------
    ValueError
        For invalid sizes and unknown names; ShapeError at `add` or `build` if the filter does not fit the
        image.

    Notes
    -----
    Kernel of shape (KH, KW, C, M), bias (C * M,), in the layout and order of Keras.

    References
    ----------
    A. Howard et al., "MobileNets", arXiv:1704.04861, section 3.1.
    """

    replayable = True
    overwrites_grads = True

    def __init__(
        self,
        kernel_size: Size = 3,
        strides: Size = 1,
        padding: Padding = "valid",
        *,
        depth_multiplier: int = 1,
        dilation_rate: Size = 1,
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
        self.depth_multiplier = check_size(self.label, "depth_multiplier", depth_multiplier)

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        C, M = in_shape[2], self.depth_multiplier
        self.slide(in_shape, C * M)
        self.declare((*self.kernel_size, C, M), C * M)
        self._prepare(C)
        return self.out_shape

    def multiply(self, x: Array, y: Array, space: Space, *, relu: bool = False) -> None:
        kernel, bias = self.weights(space)
        self._filter(x, kernel, bias, y, space, relu=relu)

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        self._filter_backward_weight(x, dy, self.kernel, space)

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        self._filter_backward_input(dy, self.kernel, dx, space)


class SeparableConv2D(ChannelLayer):
    """Filter each channel separately, then mix the channels of each pixel: a cheaper Conv2D.

    ::

        z[..., c*M + m] = conv2d(x[..., c], depthwise_kernel[..., c, m])
        y = activation(conv2d(z, pointwise_kernel) + bias)

    Each output pixel takes C*M*(KH*KW + F) products, compared with C*KH*KW*F for Conv2D.

    Parameters
    ----------
    filters : int
        F, number of output channels.
    kernel_size : int or (KH, KW)
        Size of the filters of the first step, in pixels.
    strides, padding, dilation_rate
        Options of the first step, as in Conv2D.
    depth_multiplier : int
        M, number of filters per channel in the first step.
    depthwise_initializer, pointwise_initializer : str
        See `gwucnn.initializers`.
    depthwise_regularizer, pointwise_regularizer : as Conv2D's kernel_regularizer, optional
    activation, add_bias, input_size, bias_initializer, trainable, name
        As in Conv2D; there is no activation between the two steps.

    Raises
    ------
    ValueError
        For invalid sizes and unknown names; ShapeError at `add` or `build` if the filter does not fit the
        image.

    Notes
    -----
    Depthwise kernel of shape (KH, KW, C, M), pointwise kernel (1, 1, C * M, F), bias (F,), in the layout and
    order of Keras.

    References
    ----------
    F. Chollet, "Xception", arXiv:1610.02357, section 1.2.
    """

    replayable = True
    overwrites_grads = True
    own: ClassVar[dict[str, Any]] = {"depth_multiplier": 1, "depthwise_initializer": "glorot_uniform"}

    def __init__(
        self,
        filters: int,
        kernel_size: Size,
        strides: Size = 1,
        padding: Padding = "valid",
        *,
        depth_multiplier: int = 1,
        dilation_rate: Size = 1,
        activation: Any = None,
        add_bias: bool = False,
        input_size: Any = None,
        depthwise_initializer: str = "glorot_uniform",
        pointwise_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        initializer(self.label, "pointwise_initializer", pointwise_initializer)
        super().__init__(
            Window.of(self.label, kernel_size, strides, padding, dilation_rate),
            input_size,
            activation=activation,
            add_bias=add_bias,
            kernel_initializer=pointwise_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=regularizer(self.label, "pointwise_regularizer", pointwise_regularizer),
            trainable=trainable,
            name=name,
        )
        self.filters = check_size(self.label, "filters", filters)
        self.depth_multiplier = check_size(self.label, "depth_multiplier", depth_multiplier)
        self.depthwise_initializer = depthwise_initializer
        initializer(self.label, "depthwise_initializer", depthwise_initializer)
        self.depthwise_regularizer = regularizer(self.label, "depthwise_regularizer", depthwise_regularizer)

    @property
    def pointwise_initializer(self) -> str:
        """The initializer of the second kernel."""
        return self.kernel_initializer

    @property
    def pointwise_regularizer(self) -> Any:
        """The penalty on the second kernel."""
        return self.kernel_regularizer

    def build(self, in_shape: Shape) -> Shape:
        self.require_image(in_shape)
        C, M = in_shape[2], self.depth_multiplier
        self.slide(in_shape, self.filters)
        first = initializer(self.label, "depthwise_initializer", self.depthwise_initializer)
        self.declare((1, 1, C * M, self.filters))
        set_inside(self.kernel, name="pointwise_kernel")
        self.depthwise_kernel = Parameter(
            "depthwise_kernel", (*self.kernel_size, C, M), first, regularizer=self.depthwise_regularizer
        )
        self.parameters = (self.depthwise_kernel, *self.parameters)
        self.mark_parameters()
        self._prepare(C)
        return self.out_shape

    @property
    def pointwise_kernel(self) -> Parameter:
        """The second kernel, which mixes channels."""
        return self.kernel

    @property
    def multiply_adds(self) -> int:
        return prod(self.out_shape[:-1]) * (self.depthwise_kernel.size + self.kernel.size)

    def _between(self, name: str, pixels: Array, space: Space) -> Array:
        """Return a buffer for the output of the first step, with as many pixels as `pixels`."""
        return space.array(name, (*pixels.shape[:3], self._flat[3]))

    def multiply(self, x: Array, y: Array, space: Space) -> None:
        z = space.saved["between"] = self._between("between", y, space)
        self._filter(x, self.depthwise_kernel.constant, None, z, space)
        kernel, bias = self.weights(space)
        space.run("pointwise", ops.conv2d, z, kernel, bias, out=y, constant_weight=space.constant_weights)

    def _pointwise_backward(self, dy: Array, space: Space) -> Array:
        """Return the gradient with respect to the output of the first step."""
        dz = self._between("dbetween", dy, space)
        return space.run(
            "pointwise_backward_input",
            ops.conv2d_backward_input,
            dy,
            self.kernel.constant,
            input_shape=dz.shape,
            out=dz,
        )

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        space.run(
            "pointwise_backward_weight",
            ops.conv2d_backward_weight,
            space.saved["between"],
            dy,
            weight_shape=self.kernel.shape,
            out=self.kernel.grad,
            accumulate=space.accumulates,
        )
        dz = space.saved["dbetween"] = self._pointwise_backward(dy, space)
        self._filter_backward_weight(x, dz, self.depthwise_kernel, space)

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        # In a frozen layer, `multiply_backward_weight` has not been called before.
        dz = space.saved["dbetween"] if self.kernel.trainable else self._pointwise_backward(dy, space)
        self._filter_backward_input(dz, self.depthwise_kernel, dx, space)

    def config(self) -> dict[str, Any]:
        config = {"filters": self.filters} | super().config()
        for what in ("initializer", "regularizer"):
            if f"kernel_{what}" in config:
                config[f"pointwise_{what}"] = config.pop(f"kernel_{what}")
        if self.depthwise_regularizer is not None:
            config["depthwise_regularizer"] = to_config(self.depthwise_regularizer)
        return config

    def __repr__(self) -> str:
        shown = self.config()
        for name in ("pointwise_regularizer", "depthwise_regularizer"):
            if getattr(self, name) is not None:
                shown[name] = getattr(self, name)
        return constructor_repr(self, shown)
