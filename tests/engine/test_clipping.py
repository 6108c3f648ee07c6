"""Clipping gradients by their global norm: the op in every variant, and compile(global_clipnorm=...)."""

import numpy as np
import pytest

from gwucnn import SGD, Adam, ops
from gwucnn.common.errors import ShapeError
from trainees import deep, deep_data, small, small_data, weights

SIZES = [1, 2, 15, 16, 17, 100, 4099]


# ------------------------------------------------------------------------------------------------------ the op


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", [0.01, 0.5, 1.01, 100])
def test_a_norm_above_the_limit_is_clipped_to_it(size, part, isa, dtype, rng):
    x = rng.standard_normal(size).astype(dtype)
    norm = np.linalg.norm(x.astype("float64"))
    cut = x.copy()
    assert ops.clip_norm(limit=part * norm, out=cut) == pytest.approx(norm, rel=1e-12)
    if part > 1:
        np.testing.assert_array_equal(cut, x)
    else:
        np.testing.assert_allclose(cut, part * x.astype("float64"), rtol=1e-14 if dtype == "float64" else 1e-6)


def test_any_shape_and_none(isa, dtype):
    x = np.full((2, 3, 4), 2, dtype)
    assert ops.clip_norm(limit=np.sqrt(24), out=x) == pytest.approx(2 * np.sqrt(24))
    np.testing.assert_allclose(x, 1, rtol=1e-6)
    assert ops.clip_norm(limit=1.0, out=np.zeros(0, dtype)) == 0
    assert ops.clip_norm(limit=1.0, out=np.zeros(5, dtype)) == 0


@pytest.mark.parametrize("size", [1e-30, 1e30, 1e200, 1e306])
def test_squares_that_overflow(size, isa):
    x = np.array([3, 4] * 20) * size
    norm = ops.clip_norm(limit=1.0, out=x)
    assert norm == pytest.approx(size * 5 * np.sqrt(20), rel=1e-12)
    want = np.array([3, 4] * 20) * min(size, 1 / (5 * np.sqrt(20)))
    np.testing.assert_allclose(x, want, rtol=1e-12)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 17, 39])
def test_non_finite_gradients_are_not_changed(wrong, place, isa, dtype):
    x = np.ones(40, dtype)
    x[place] = wrong
    before = x.copy()
    norm = ops.clip_norm(limit=1.0, out=x)
    assert np.isnan(norm) if np.isnan(wrong) else norm == np.inf
    np.testing.assert_array_equal(x, before)


def test_a_bound_step_clips_the_current_values(dtype):
    x = np.zeros(30, dtype)
    step = ops.clip_norm.bind(limit=1.0, out=x)
    assert step() == step.value == 0
    x[...] = 7
    assert step() == step.value == pytest.approx(7 * np.sqrt(30), rel=1e-6)
    assert np.linalg.norm(x) == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize(
    ("error", "limit", "out"),
    [
        (ValueError, 0, np.ones(3)),
        (ValueError, -1.0, np.ones(3)),
        (ValueError, "1", np.ones(3)),
        (TypeError, 1.0, np.ones(3, int)),
        (TypeError, 1.0, [1.0, 2.0]),
        (ValueError, 1.0, np.ones((4, 4))[::2, ::2]),
        (ValueError, 1.0, np.broadcast_to(1.0, 3)),
    ],
)
def test_what_does_not_fit(error, limit, out):
    with pytest.raises(error, match=r"^clip_norm: expected (out|limit|one dtype)") as caught:
        ops.clip_norm(limit=limit, out=out)
    assert not isinstance(caught.value, ShapeError)


# ------------------------------------------------------------------------------------------------ in a network


def move(made, x, y):
    """Return the change of the weights after one batch, in a network whose lr is 1."""
    made.build(x.shape[1:])
    before = weights(made)
    made.train_on_batch(x, y)
    return weights(made) - before


def test_the_norm_is_that_of_all_weights_together(rng):
    x, y = deep_data(rng)
    whole = move(deep(), x, y)
    norm = np.linalg.norm(whole)
    for limit in (norm / 3, norm / 1e6, norm * 1.001):
        made = deep()
        made.compile("cross_entropy", lr=1.0, global_clipnorm=limit)
        np.testing.assert_allclose(move(made, x, y), whole * min(1, limit / norm), rtol=1e-7, atol=limit * 1e-9)


def test_frozen_weights_do_not_count(rng):
    x, y = small_data(rng)
    made = small(lr=1.0)
    made.layers[0].trainable = False
    whole = move(made, x, y)
    assert not whole[:27].any() and whole[30:].any()
    cut = small(lr=1.0)
    cut.layers[0].trainable = False
    cut.compile("cross_entropy", lr=1.0, global_clipnorm=np.linalg.norm(whole) / 2)
    np.testing.assert_allclose(move(cut, x, y), whole / 2, rtol=1e-7, atol=1e-15)


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.1, 0.9), lambda: Adam(0.01)], ids=["sgd", "adam"])
def test_replayed_batches_are_clipped_too(optimizer, rng):
    x, y = small_data(rng)
    replayed, called, free = (small(lr=None, optimizer=optimizer()) for _ in range(3))
    for made in (replayed, called):
        made.compile("cross_entropy", optimizer=optimizer(), global_clipnorm=0.05)
    called.build((6, 6))
    called._engine.recorder.enabled = False
    for made in (replayed, called, free):
        made.fit(x, y, epochs=4, batch_size=5)
    np.testing.assert_array_equal(weights(replayed), weights(called))
    assert (weights(free) != weights(called)).any()


def test_compiling_again_without_it_ends_it(rng):
    x, y = small_data(rng)
    made, free = small(lr=1.0), small(lr=1.0)
    made.compile("cross_entropy", lr=1.0, global_clipnorm=1e-9)
    made.compile("cross_entropy", lr=1.0)
    np.testing.assert_array_equal(move(made, x, y), move(free, x, y))


def test_non_finite_gradients_are_still_found(rng):
    """If it were clipped, an infinite gradient would become 0 and NaN."""
    made = small(lr=1.0)
    made.compile("cross_entropy", lr=1.0, global_clipnorm=1.0)
    made.build((6, 6))
    made.set_weights([1e200 * weight for weight in made.get_weights()])
    before = weights(made)
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="lower lr or scale the images"):
        made.train_on_batch(np.full((2, 6, 6), 1e200), [0, 1])
    np.testing.assert_array_equal(weights(made), before)


@pytest.mark.parametrize("limit", [0, -1, "1", float("nan"), float("inf"), True])
def test_invalid_limits(limit):
    with pytest.raises(ValueError) as caught:
        small().compile("mse", global_clipnorm=limit)
    quoted = "; write 1 without quotes" if limit == "1" else ""
    assert str(caught.value) == (f"compile: expected global_clipnorm to be a positive number, got {limit!r}{quoted}")
