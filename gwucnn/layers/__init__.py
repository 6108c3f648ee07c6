"""The layers that a network is made of."""

from gwucnn.layers.base import Layer
from gwucnn.layers.conv import Conv2D
from gwucnn.layers.conv_transpose import Conv2DTranspose
from gwucnn.layers.dense import Dense
from gwucnn.layers.depthwise import DepthwiseConv2D, SeparableConv2D
from gwucnn.layers.flatten import Flatten
from gwucnn.layers.nested import Concatenate, Residual
from gwucnn.layers.pool import MaxPooling2D

__all__ = [
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "Flatten",
    "Layer",
    "MaxPooling2D",
    "Residual",
    "SeparableConv2D",
]
