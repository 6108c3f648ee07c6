"""Data for the estimators."""

import pytest


@pytest.fixture(scope="session")
def digits():
    """Digits of 8 x 8 pixels from 0 to 1, as rows of float64, with their labels."""
    x, y = pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)
    return x / 16, y


@pytest.fixture
def few(digits):
    x, y = digits
    return x[:100], y[:100]
