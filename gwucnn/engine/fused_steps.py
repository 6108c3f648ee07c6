"""Steps that compute several layers at once, or a part of one. They share the layers' parameters and own none."""

from __future__ import annotations

from typing import Any

from gwucnn import ops
from gwucnn.activation_functions import ActivationFunction
from gwucnn.activation_layers import ActivationLayer
from gwucnn.layers import BatchNormalization, Conv2D, Layer, MaxPooling2D
from gwucnn.layers.weighted import WeightedLayer
from gwucnn.memory import Space
from gwucnn.ops.conv_pool import has_gradients

__all__ = ["Activate", "ConvPool", "ConvRelu", "NormRelu"]


class Activate(ActivationLayer):
    """The final activation of a layer as a step of its own."""

    def __init__(self, function: type[ActivationFunction], layer: Layer) -> None:
        super().__init__()
        self._applied = function
        self.label = layer.label
        self.in_shape = self.out_shape = layer.out_shape

    @property
    def _function(self) -> type[ActivationFunction]:
        return self._applied


class ConvRelu(Layer):
    """Convolution, bias and relu in one step.

    conv : Conv2D or DepthwiseConv2D
    """

    replayable = True
    overwrites_grads = True

    def __init__(self, conv: WeightedLayer) -> None:
        self._conv: Any = conv
        self.label = conv.label
        self.parameters = conv.parameters
        self._trainable = conv.trainable
        self.in_shape, self.out_shape = conv.in_shape, conv.out_shape

    def forward(self, x: Any, space: Space) -> Any:
        y = space.array("y", (x.shape[0], *self.out_shape))
        self._conv.multiply(x, y, space, relu=True)
        space.saved["x"] = x
        space.saved["before activation"] = space.saved["y"] = y  # the gradient of relu needs only its output
        return y

    def backward(self, dy: Any, space: Space) -> Any:
        return self._conv.backward(dy, space)


class ConvPool(Layer):
    """Convolution, bias, optionally relu, and 2x2 max pooling in one step."""

    replayable = True

    def __init__(self, conv: Conv2D, pool: MaxPooling2D) -> None:
        self._conv = conv
        self.label = conv.label
        self.parameters = conv.parameters
        self._trainable = conv.trainable
        self.in_shape, self.out_shape = conv.in_shape, pool.out_shape
        self._options: dict[str, Any] = {"strides": conv.strides, "padding": conv.padding}

    def forward(self, x: Any, space: Space) -> Any:
        conv = self._conv
        shape = (x.shape[0], *self.out_shape)
        winner = space.array("winner", shape, "uint8") if space.backward_follows else None
        space.saved["x"], space.saved["winner"] = x, winner
        return space.run(
            "conv2d_relu_pool",
            ops.conv2d_relu_pool,
            x,
            *conv.weights(space),
            winner=winner,
            winograd=space.winograd,
            scratch=space.scratch,
            constant_weight=space.constant_weights,
            relu=conv.activation is not None,
            dilation_rate=conv.dilation_rate,
            groups=conv.groups,
            out=space.array("y", shape),
            **self._options,
        )

    def backward(self, dy: Any, space: Space) -> Any:
        conv, x, winner = self._conv, space.saved["x"], space.saved["winner"]
        has_weight_kernel, has_input_kernel = has_gradients(
            space.dtype, conv.kernel.shape, conv.dilation_rate, conv.groups
        )
        # Where there is no kernel for pooled gradients, the gradient at full size is written out first.
        dz = None
        if (self.trainable and not has_weight_kernel) or (space.needs_dx and not has_input_kernel):
            dz = self._unpool(dy, winner, space)
        if self.trainable:
            self._backward_weight(x, dy, winner, dz if not has_weight_kernel else None, space)
        if not space.needs_dx:
            return None
        dx = space.array("dx", x.shape)
        if dz is not None and not has_input_kernel:
            conv.multiply_backward_input(dz, dx, space)
            return dx
        op = ops.conv2d_relu_pool_backward_input
        return space.run(
            "winner_input", op, dy, winner, conv.kernel.constant, input_shape=x.shape, out=dx, **self._options
        )

    def _unpool(self, dy: Any, winner: Any, space: Space) -> Any:
        """Return the gradient with respect to the input of relu and pooling. Winner 4 marks a window zeroed by relu."""
        shape = (dy.shape[0], *self._conv.out_shape)
        out = space.array("dz", shape)
        return space.run("unpool", ops.max_pool2d_backward, dy, winner, input_shape=shape, pool_size=2, out=out)

    def _backward_weight(self, x: Any, dy: Any, winner: Any, dz: Any, space: Space) -> None:
        conv = self._conv
        if dz is not None:
            conv.multiply_backward_weight(x, dz, space)
            if conv.add_bias:
                space.run("bias", ops.sum_rows, dz, out=conv.bias.grad, accumulate=True)
            return
        space.run(
            "winner_weight",
            ops.conv2d_relu_pool_backward_weight,
            x,
            dy,
            winner,
            dilation_rate=conv.dilation_rate,
            bias_grad=conv.bias.grad if conv.add_bias else None,
            out=conv.kernel.grad,
            **self._options,
        )


class NormRelu(Layer):
    """Batch normalisation and relu in one step."""

    replayable = True

    def __init__(self, norm: BatchNormalization) -> None:
        self._norm = norm
        self.label = norm.label
        self.parameters = norm.parameters
        self._trainable = norm.trainable
        self.in_shape, self.out_shape = norm.in_shape, norm.out_shape

    def forward(self, x: Any, space: Space) -> Any:
        norm = self._norm
        mean, variance = norm.statistics(x, space)
        return space.run(
            "forward",
            ops.batch_norm_relu,
            x,
            norm.gamma.constant,
            norm.beta.constant,
            mean,
            variance,
            norm.epsilon,
            line=space.array("line", (2, x.shape[-1])) if space.backward_follows else None,
            out=space.array("y", x.shape),
        )

    def backward(self, dy: Any, space: Space) -> Any:
        norm = self._norm
        x, mean, variance = space.saved["x"], space.saved["mean"], space.saved["variance"]
        sums = None
        if space.saved["by_batch"]:
            sums = space.run(
                "sums",
                ops.batch_norm_relu_backward_sums,
                dy,
                x,
                space.array("line", (2, x.shape[-1])),
                mean,
                variance,
                norm.epsilon,
                gamma_grad=norm.gamma.grad,
                beta_grad=norm.beta.grad,
                out=space.array("sums", (2, x.shape[-1])),
            )
        if not space.needs_dx:
            return None
        return space.run(
            "backward",
            ops.batch_norm_relu_backward,
            dy,
            x,
            norm.gamma.constant,
            norm.beta.constant,
            mean,
            variance,
            norm.epsilon,
            sums=sums,
            out=space.array("dx", x.shape),
        )
