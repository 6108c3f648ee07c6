"""Loss ops: values, gradients and probabilities, written to the caller's arrays, and errors."""

import numpy as np
import pytest

import reference
from compare import assert_exact, normals
from gradcheck import assert_gradient
from gwucnn import ops
from gwucnn.common.errors import ShapeError

# Op, its twin for a plain mean, the activation that it contains.
LOSSES = {
    "sigmoid_log_loss": (reference.log_loss, ops.sigmoid),
    "softmax_cross_entropy": (reference.categorical_crossentropy, ops.softmax),
    "squared_error": (lambda z, t: tuple(part * t[0].size for part in reference.mse(z, t)), None),
    "absolute_error": (lambda z, t: tuple(part * t[0].size for part in reference.mae(z, t)), None),
    "huber": (lambda z, t: tuple(part * t[0].size for part in reference.huber(z, t)), None),
}
SMOOTHED = {"sigmoid_log_loss": lambda K: 2, "softmax_cross_entropy": lambda K: K}
every_loss = pytest.mark.parametrize("name", LOSSES)


def targets(name, rng, shape, dtype):
    """Draw targets: any from 0 to 1, or distributions for softmax."""
    t = rng.random(shape).astype(dtype)
    return t / t.sum(axis=1, keepdims=True) if name == "softmax_cross_entropy" else t


def run(name, z, t, share, **options):
    """Return (loss, gradient, probability or None) of an op, whose arrays held NaN before."""
    arrays = {"gradient": np.full(z.shape, np.nan, z.dtype)}
    if LOSSES[name][1] is not None:
        arrays["probability"] = np.full(z.shape, np.nan, z.dtype)
    value = getattr(ops, name)(z, t, share, **arrays, **options)
    assert type(value) is float
    return value, arrays["gradient"], arrays.get("probability")


@every_loss
@pytest.mark.parametrize("K", [1, 2, 3, 7, 8, 15, 16, 17, 33])
def test_loss_gradient_and_probability(name, K, isa, dtype, rng):
    twin, activation = LOSSES[name]
    z, t = 3 * normals(rng, (5, K), dtype), targets(name, rng, (5, K), dtype)
    value, gradient, probability = run(name, z, t, np.full(5, 0.2, dtype))
    want, want_gradient = twin(z, t)
    roundoff = float(np.finfo(dtype).eps)
    # The value is summed in float64; 0.2 and the terms are rounded to dtype.
    assert abs(value - want) <= 32 * roundoff * (abs(want) + K)
    assert np.abs(gradient - want_gradient).max() <= 32 * roundoff * max(abs(want_gradient).max(), 0.2)
    if activation is not None:
        assert_exact(probability, activation(z), dtype)


@every_loss
def test_shares_and_scale_multiply_rows(name, isa, dtype, rng):
    """By powers of 2, so that nothing is rounded; a row without a share has neither loss nor gradient."""
    z, t = normals(rng, (4, 3), dtype), targets(name, rng, (4, 3), dtype)
    share = np.array([0.5, 0.25, 0, 2], dtype)
    rows = [run(name, z[n : n + 1], t[n : n + 1], np.ones(1, dtype)) for n in range(4)]
    value, gradient, probability = run(name, z, t, share, scale=0.125)
    # Python's sum may carry more digits: it compensates since 3.12, and 32-bit x86 has registers of 64-bit fractions.
    expected = sum(row[0] * part * 0.125 for row, part in zip(rows, share.tolist(), strict=True))
    assert value == pytest.approx(expected, rel=1e-15)
    assert_exact(gradient, np.concatenate([row[1] for row in rows]) * share[:, None] / 8, dtype)
    assert not gradient[2].any()
    if probability is not None:
        assert_exact(probability, np.concatenate([row[2] for row in rows]), dtype)


@every_loss
def test_gradients_are_those_of_the_loss(name, isa, rng):
    z, t = rng.standard_normal((3, 4)), targets(name, rng, (3, 4), "float64")
    share = np.array([0.5, 0.2, 0.3])
    _, gradient, _ = run(name, z, t, share, scale=0.7)
    assert_gradient(gradient, lambda: run(name, z, t, share, scale=0.7)[0], z)


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("K", [1, 2, 5, 17])
@pytest.mark.parametrize("smoothing", [0.1, 0.75])
def test_smoothed_targets(name, K, smoothing, isa, dtype, rng):
    """As if the targets had been smoothed before."""
    z, t = 3 * normals(rng, (4, K), dtype), targets(name, rng, (4, K), dtype)
    share = np.full(4, 0.25, dtype)
    value, gradient, p = run(name, z, t, share, label_smoothing=smoothing)
    smooth = t.astype("float64") * (1 - smoothing) + smoothing / SMOOTHED[name](K)
    want, want_gradient = LOSSES[name][0](z, smooth)
    roundoff = float(np.finfo(dtype).eps)
    assert abs(value - want) <= 64 * roundoff * (abs(want) + K)
    assert np.abs(gradient - want_gradient).max() <= 32 * roundoff * max(abs(want_gradient).max(), 0.25)
    assert_exact(p, run(name, z, t, share)[2], dtype)


@pytest.mark.parametrize("name", SMOOTHED)
def test_gradients_of_smoothed_losses(name, isa, rng):
    z, t, share = rng.standard_normal((3, 4)), np.eye(4)[[0, 3, 1]], np.array([0.5, 0.2, 0.3])
    _, gradient, _ = run(name, z, t, share, label_smoothing=0.2)
    assert_gradient(gradient, lambda: run(name, z, t, share, label_smoothing=0.2)[0], z)


@pytest.mark.parametrize("name", SMOOTHED)
@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5, "0.1", True, np.nan])
def test_invalid_label_smoothing(name, smoothing):
    with pytest.raises(ValueError, match=f"^{name}: expected label_smoothing to be a number from 0 to less than 1"):
        run(name, zeros(2, 3), zeros(2, 3), zeros(2), label_smoothing=smoothing)


@pytest.mark.parametrize("delta", [0.1, 1.0, 30.0])
def test_huber_on_both_sides_of_delta(delta, isa, dtype):
    errors = np.array([[0, 0.5, 1, 1.0001, -1, -1.0001, 3, -3]]) * delta
    y, t = errors.astype(dtype), np.zeros((1, 8), dtype)
    value, gradient, _ = run("huber", y, t, np.ones(1, dtype), scale=1 / 8, delta=delta)
    want, want_gradient = reference.huber(y, t, delta)
    assert value == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, rtol=1e-6)
    with pytest.raises(ValueError, match="^huber: expected delta to be a positive number, got 0$"):
        run("huber", y, t, np.ones(1, dtype), delta=0)


def test_absolute_error_has_no_slope_where_it_is_zero(isa, dtype):
    y, t = np.array([[1, 2, 3]], dtype), np.array([[1, 3, 2]], dtype)
    value, gradient, _ = run("absolute_error", y, t, np.ones(1, dtype))
    assert value == 2 and gradient.tolist() == [[0, -1, 1]]


def test_targets_of_softmax_need_not_sum_to_one(rng):
    z, t, share = rng.standard_normal((3, 4)), 5 * rng.random((3, 4)), np.full(3, 1 / 3)
    _, gradient, _ = run("softmax_cross_entropy", z, t, share)
    assert_gradient(gradient, lambda: run("softmax_cross_entropy", z, t, share)[0], z)


@pytest.mark.parametrize("size", [100, 1e4, 1e30])
def test_large_numbers_stay_finite(size, isa, dtype):
    """Where exp would overflow and the logarithm of a rounded probability is minus infinity."""
    z, share = np.array([[size, -size, 0], [-size, size, 0]], dtype), np.array([0.5, 0.5], dtype)
    t = np.array([[0, 1, 0.5], [0, 1, 0.5]], dtype)
    value, gradient, p = run("sigmoid_log_loss", z, t, share)
    assert value == pytest.approx(float(z[0, 0]) + np.log(2), rel=1e-12)
    np.testing.assert_allclose(gradient, [[0.5, -0.5, 0], [0, 0, 0]], atol=1e-30)
    np.testing.assert_allclose(p, [[1, 0, 0.5], [0, 1, 0.5]], atol=1e-30)
    one_hot = np.array([[0, 1, 0], [0, 1, 0]], dtype)
    value, gradient, p = run("softmax_cross_entropy", z, one_hot, share)
    assert value == pytest.approx(float(z[0, 0]), rel=1e-12)
    np.testing.assert_allclose(gradient, [[0.5, -0.5, 0], [0, 0, 0]], atol=1e-30)


def test_a_class_of_probability_zero_costs_nothing_if_it_is_not_the_target(dtype):
    z, t = np.array([[0, -np.inf, 0]], dtype), np.array([[1, 0, 0]], dtype)
    value, gradient, p = run("softmax_cross_entropy", z, t, np.ones(1, dtype))
    assert value == pytest.approx(np.log(2), rel=1e-12)
    assert gradient.tolist() == [[-0.5, 0, 0.5]]
    assert p.tolist() == [[0.5, 0, 0.5]]


@every_loss
def test_nan_makes_its_row_nan(name, isa, dtype, rng):
    z, t = normals(rng, (3, 5), dtype), targets(name, rng, (3, 5), dtype)
    z[1, 2] = np.nan
    value, gradient, _ = run(name, z, t, np.full(3, 1, dtype))
    assert np.isnan(value)
    assert np.isnan(gradient[1, 2])
    assert np.isfinite(gradient[[0, 2]]).all()


@every_loss
def test_loss_of_no_samples_is_rejected(name, isa, dtype):
    empty = np.zeros((0, 3), dtype)
    assert run(name, empty, empty, np.zeros(0, dtype))[0] == 0


@every_loss
def test_a_bound_step_reads_the_current_contents(name, isa, dtype, rng):
    """And remembers the value, for who calls it through a program."""
    z, t, share = normals(rng, (3, 5), dtype), targets(name, rng, (3, 5), dtype), np.ones(3, dtype)
    arrays = {key: np.empty_like(z) for key in ("gradient", "probability")[: 1 + (LOSSES[name][1] is not None)]}
    step = getattr(ops, name).bind(z, t, share, **arrays)
    first = step()
    z += 1
    t[...] = t[::-1].copy()
    assert step() == step.value == run(name, z, t, share)[0] != first
    assert_exact(arrays["gradient"], run(name, z, t, share)[1], dtype)


@every_loss
def test_inputs_of_any_layout_are_accepted_and_not_modified(name, dtype, rng):
    z, t, share = normals(rng, (4, 5), dtype), targets(name, rng, (4, 5), dtype), rng.random(4).astype(dtype)
    odd = np.asfortranarray(z), t[::-1].copy()[::-1], np.repeat(share, 2)[::2]
    before = [array.tobytes() for array in odd]
    want, got = run(name, z, t, share), run(name, *odd)
    assert want[0] == got[0]
    assert_exact(got[1], want[1], dtype)
    assert before == [array.tobytes() for array in odd]


@pytest.mark.parametrize("name", ["sigmoid_log_loss", "softmax_cross_entropy"])
def test_probability_is_optional(name, rng):
    """None is an array of the op's own, as out=None is elsewhere; it was a write to address 0."""
    z, t, share = rng.standard_normal((4, 5)), targets(name, rng, (4, 5), "float64"), np.ones(4)
    gradient = np.empty_like(z)
    value = getattr(ops, name)(z, t, share, probability=None, gradient=gradient)
    want = run(name, z, t, share)
    assert value == want[0] == getattr(ops, name)(z, t, share, probability=None, gradient=None)
    assert_exact(gradient, want[1], np.float64)


# -------------------------------------------------------------------------------------------------- refusals


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("error", "argument", "changes"),
    [
        (ShapeError, "INPUT", {"INPUT": zeros(4, 3, 1)}),
        (ShapeError, "INPUT", {"INPUT": zeros(3)}),
        (TypeError, "INPUT int32", {"INPUT": zeros(4, 3, dtype="int32")}),
        (ShapeError, "target", {"target": zeros(4, 2)}),
        (ShapeError, "target", {"target": zeros(4)}),
        (TypeError, "target float64", {"target": zeros(4, 3, dtype="float64")}),
        (ShapeError, "share", {"share": zeros(3)}),
        (ShapeError, "share", {"share": zeros(4, 1)}),
        (TypeError, "share int64", {"share": zeros(4, dtype="int64")}),
        (ShapeError, "gradient", {"gradient": zeros(3, 4)}),
        (TypeError, "gradient", {"gradient": zeros(4, 3, dtype="float64")}),
        (TypeError, "gradient", {"gradient": zeros(4, 3).tolist()}),
        (ValueError, "gradient", {"gradient": np.asfortranarray(zeros(4, 3))}),
        (ShapeError, "probability", {"probability": zeros(4, 3, 1)}),
        (TypeError, "probability", {"probability": zeros(4, 3, dtype="float64")}),
    ],
)
@every_loss
def test_what_does_not_fit(name, error, argument, changes):
    given = {"INPUT": zeros(4, 3), "target": zeros(4, 3), "share": zeros(4), "gradient": zeros(4, 3)}
    if LOSSES[name][1] is not None:
        given["probability"] = zeros(4, 3)
    elif "probability" in changes:
        return
    given |= changes
    z = given.pop("INPUT")
    argument = argument.replace("INPUT", "z" if name in SMOOTHED else "y")
    with pytest.raises(error, match=rf"^{name}: .*\b{argument}\b"):
        getattr(ops, name)(z, **given)


@every_loss
def test_overlapping_arrays(name):
    z, t, share = zeros(4, 3), zeros(4, 3), zeros(4)
    rest = {"probability": zeros(4, 3)} if LOSSES[name][1] is not None else {}
    for shared in (z, t):
        with pytest.raises(ValueError, match=rf"^{name}: .*\bgradient\b"):
            getattr(ops, name)(z, t, share, gradient=shared, **rest)
    if rest:
        with pytest.raises(ValueError, match=rf"^{name}: .*\bprobability\b"):
            getattr(ops, name)(z, t, share, gradient=rest["probability"], **rest)
