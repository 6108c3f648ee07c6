"""The layers that a network is made of."""

from gwucnn.layers.base import Layer
from gwucnn.layers.conv import Conv2D
from gwucnn.layers.dense import Dense
from gwucnn.layers.flatten import Flatten
from gwucnn.layers.nested import Concatenate, Residual
from gwucnn.layers.pool import MaxPooling2D

__all__ = ["Concatenate", "Conv2D", "Dense", "Flatten", "Layer", "MaxPooling2D", "Residual"]
