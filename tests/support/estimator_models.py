"""Models for the estimators of gwucnn.sklearn.

joblib's processes import what they unpickle, so these functions stand in a module that they find: pytest imports the
test files themselves under names that only it knows.
"""

from gwucnn import Conv2D, Dense, Flatten, GWUNetwork


def small(outputs, activation):
    return [Conv2D(4, 3, activation="relu"), Flatten(), Dense(outputs, True, activation)]


def softmax_of(shape, outputs):
    return small(outputs, "softmax")


def linear_of(shape, outputs):
    return GWUNetwork(small(outputs, None))
