"""The fully connected layer."""

from __future__ import annotations

from typing import Any, ClassVar

from gwucnn import ops
from gwucnn.common import ShapeError, check_size
from gwucnn.layers.base import Array, Shape, Space
from gwucnn.layers.weighted import WeightedLayer

__all__ = ["Dense"]


class Dense(WeightedLayer):
    """Connect every input to every output.

    ::

        y = activation(x @ kernel + bias)
        dkernel = x.T @ dz, dbias = sum of dz over the batch, dx = dz @ kernel.T

    where dz is the gradient before the activation.

    Parameters
    ----------
    output_size : int
        U, number of outputs.
    add_bias : bool
    activation : str, optional
        'relu', 'sigmoid', 'softmax', 'tanh', 'leaky_relu', 'elu', 'gelu', 'silu', 'softplus', 'relu6', 'hard_sigmoid',
        'hard_swish', 'mish' or 'selu'.
    input_size : int, optional
        D, number of inputs; checked against the output of the layer before.
    kernel_initializer, bias_initializer, kernel_regularizer, trainable, name
        As in Conv2D.

    Notes
    -----
    Kernel of shape (D, U), bias (U,), in the layout and order of Keras.
    """

    replayable = True
    overwrites_grads = True
    takes_images: ClassVar[bool] = False

    def __init__(
        self,
        output_size: int,
        add_bias: bool = False,
        activation: Any = None,
        input_size: int | None = None,
        *,
        kernel_initializer: str = "glorot_uniform",
        bias_initializer: str = "zeros",
        kernel_regularizer: Any = None,
        trainable: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__(
            activation=activation,
            add_bias=add_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            trainable=trainable,
            name=name,
        )
        self.output_size = check_size(self.label, "output_size", output_size)
        self.input_size = None if input_size is None else check_size(self.label, "input_size", input_size)

    def build(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 1:
            raise ShapeError(
                f"{self.label}: expected a flat input (D,), got {in_shape}; put Flatten() before this layer"
            )
        self.in_shape, self.out_shape = in_shape, (self.output_size,)
        self.declare((*in_shape, self.output_size))
        return self.out_shape

    def multiply(self, x: Array, y: Array, space: Space) -> None:
        space.run("dense", ops.dense, x, *self.weights(space), out=y)

    def multiply_backward_weight(self, x: Array, dy: Array, space: Space) -> None:
        space.keep(dy)  # for SGD, which may compute this gradient while it updates the weights (engine/sweeper.py)
        space.run(
            "backward_weight",
            ops.dense_backward_weight,
            x,
            dy,
            out=self.kernel.grad,
            accumulate=space.accumulates,
        )

    def multiply_backward_input(self, dy: Array, dx: Array, space: Space) -> None:
        space.run("backward_input", ops.dense_backward_input, dy, self.kernel.constant, out=dx)

    def config(self) -> dict[str, Any]:
        shown: dict[str, Any] = {"output_size": self.output_size}
        if self.input_size is not None:
            shown["input_size"] = self.input_size
        return shown | super().config()
