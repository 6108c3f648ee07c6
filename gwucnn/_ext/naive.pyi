# Types of the textbook loops. textbook/*.pxi documents what each function computes and the shapes of its arguments.

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Winner: TypeAlias = npt.NDArray[np.int32]
Pair: TypeAlias = tuple[int, int]

def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None,
    strides: Pair,
    pads: Pair,
    dilation: Pair,
    groups: int,
    y: Array,
) -> None: ...
def conv2d_backward_input(
    dy: Array,
    weight: Array,
    strides: Pair,
    pads: Pair,
    dilation: Pair,
    groups: int,
    dx: Array,
) -> None: ...
def conv2d_backward_weight(
    x: Array,
    dy: Array,
    strides: Pair,
    pads: Pair,
    dilation: Pair,
    groups: int,
    dweight: Array,
) -> None: ...
def max_pool2d(x: Array, pool_size: Pair, strides: Pair, pads: Pair, y: Array, winner: Winner) -> None: ...
def max_pool2d_backward(
    dy: Array,
    winner: Winner,
    pool_size: Pair,
    strides: Pair,
    pads: Pair,
    dx: Array,
) -> None: ...
def dense(x: Array, weight: Array, bias: Array | None, y: Array) -> None: ...
def dense_backward_input(dy: Array, weight: Array, dx: Array) -> None: ...
def dense_backward_weight(x: Array, dy: Array, dweight: Array) -> None: ...
def relu(x: Array, y: Array) -> None: ...
def relu_backward(dy: Array, y: Array, dx: Array) -> None: ...
def sigmoid(x: Array, y: Array) -> None: ...
def sigmoid_backward(dy: Array, y: Array, dx: Array) -> None: ...
def softmax(x: Array, y: Array) -> None: ...
def softmax_backward(dy: Array, y: Array, dx: Array) -> None: ...
def sgd(value: Array, grad: Array, velocity: Array, lr: float, momentum: float, nesterov: bool) -> None: ...
def adam(
    value: Array,
    grad: Array,
    first_moment: Array,
    second_moment: Array,
    lr: float,
    beta_1: float,
    beta_2: float,
    epsilon: float,
    step: int,
) -> None: ...
