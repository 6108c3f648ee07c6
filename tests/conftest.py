"""Fixtures shared by all tests, and the floating-point settings under which they run."""

import numpy as np
import pytest

from gwucnn import kernels, processors


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """`pytest -n auto`: a worker for each processor that may be used, at most eight, as each runs several threads."""
    return min(processors.available(), 8)


@pytest.fixture
def rng():
    """A generator that draws the same numbers in every run of a test."""
    return np.random.default_rng(20221211)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=kernels.supported())
def isa(request):
    """Run the test once for each compiled variant that this machine can execute."""
    before = kernels.isa()
    kernels.select(request.param)
    yield request.param
    kernels.select(before)


@pytest.fixture
def threads():
    """Return the function that sets the number of threads; the number from before comes back at the end."""
    before = kernels.get_num_threads()
    yield kernels.set_num_threads
    kernels.set_num_threads(before)


@pytest.fixture(autouse=True)
def float_errors_raised():
    """Let no test overflow or make NaN by accident; one that means to says so with its own np.errstate.

    Underflow is left alone: exp of a large negative number is 0, and right.
    """
    with np.errstate(divide="raise", over="raise", invalid="raise", under="ignore"):
        yield
