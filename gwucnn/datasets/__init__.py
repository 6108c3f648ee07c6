"""Images with labels: a sample that is always there, and MNIST from wherever it lies.

Every loader returns ``((x_train, y_train), (x_test, y_test))``: uint8 images of shape (N, 28, 28), grey
values 0 (paper) to 255 (ink), and int64 labels of shape (N,). Divide by 255 before training.
"""

from gwucnn.datasets.mnist import load_mnist
from gwucnn.datasets.sample import load_sample

__all__ = ["load_mnist", "load_sample"]
