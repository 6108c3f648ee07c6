"""Estimators, and models for the estimators of gwucnn.sklearn.

joblib's processes import what they unpickle, so these functions stand in a module that they find: pytest imports the
test files themselves under names that only it knows.
"""

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork
from gwucnn.sklearn import CNNClassifier


def quick(**options):
    """Return a classifier of digits of 8 x 8 pixels that trains for two epochs."""
    return CNNClassifier(**{"epochs": 2, "image_shape": (8, 8), "random_state": 0} | options)


def small(outputs, activation):
    return [Conv2D(4, 3, activation="relu"), Flatten(), Dense(outputs, True, activation)]


def softmax_of(shape, outputs):
    return small(outputs, "softmax")


def linear_of(shape, outputs):
    return GWUNetwork(small(outputs, None))
