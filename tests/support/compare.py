"""Comparisons of an array with the accurate answer, with derived bounds in place of guessed tolerances."""

import numpy as np

from reference import bound


def integers(rng, shape, dtype):
    """Draw small whole numbers, none of them 0, so that every sum of products of two is exact in `dtype`.

    At most 4 * 4 a product: float32 counts exactly to 2**24, so a million terms. Without zeros no wrong
    pixel can hide behind a factor of nothing.
    """
    return (rng.integers(1, 5, shape) * rng.choice([-1, 1], shape)).astype(dtype)


def normals(rng, shape, dtype):
    return rng.standard_normal(shape).astype(dtype)


def assert_exact(got, want, dtype):
    """Fail unless `got` is `want` to the last bit (NaN where it is NaN), in `dtype`."""
    want = np.asarray(want)
    assert got.dtype == dtype
    assert got.shape == want.shape
    differing = np.argwhere((got != want) & ~(np.isnan(got) & np.isnan(want)))
    assert len(differing) == 0, (
        f"{len(differing)} of {want.size} values differ, the first at {differing[0].tolist()}: "
        f"got {got[tuple(differing[0])]}, want {want[tuple(differing[0])]}"
    )


def assert_within(got, want, magnitude, terms):
    """Fail unless each value is as near as a sum of `terms` products must be; see reference.bound."""
    assert got.shape == want.shape
    # The tiny addend: below the smallest normal number a result has fewer digits, or is flushed to zero.
    room = bound(magnitude, terms, got.dtype) + np.finfo(got.dtype).tiny
    excess = np.max(np.abs(got - want) / room, initial=0.0)
    assert excess <= 1, f"error is {excess:.3g} times what {terms} roundings explain"
