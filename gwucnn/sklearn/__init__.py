"""Networks as scikit-learn's estimators: in pipelines, searches and cross-validation.

- `classifier.py`, `regressor.py`: the two estimators; `base.py` is what they share
- `networks.py`: their networks, made from options
- `targets.py`, `losses.py`: what a classifier learns, and which losses fit it
- `options.py`, `undoing.py`: options checked and copied; what was refused leaves nothing behind

Needs scikit-learn (the extra `sklearn`), which only this package imports.

>>> from gwucnn.sklearn import CNNClassifier
>>> from sklearn.datasets import load_digits
>>> from sklearn.model_selection import train_test_split
>>> x, y = load_digits(return_X_y=True)  # 1797 rows of 64 pixels
>>> x_train, x_test, y_train, y_test = train_test_split(x / 16, y, random_state=0)
>>> classifier = CNNClassifier(image_shape=(8, 8), random_state=0)
>>> classifier.fit(x_train, y_train).score(x_test, y_test) > 0.97
True
"""

try:
    import sklearn as _sklearn  # noqa: F401
except ImportError as error:
    raise ImportError(
        "gwucnn.sklearn: expected scikit-learn, which is not installed; pip install scikit-learn"
    ) from error

from gwucnn.sklearn.classifier import CNNClassifier
from gwucnn.sklearn.regressor import CNNRegressor

__all__ = ["CNNClassifier", "CNNRegressor"]
