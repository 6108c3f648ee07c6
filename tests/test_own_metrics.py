"""Metrics that users write as functions."""

import numpy as np
import pytest

import gwucnn
from gwucnn import Dense, EarlyStopping, GWUNetwork
from trainees import small, small_data


def error(y_true, y_pred):
    return np.mean(np.abs(y_pred - y_true))


def weighted_error(y_true, y_pred, sample_weight=None):
    return np.average(np.abs(y_pred - y_true).mean(axis=1), weights=sample_weight)


def column(rng, N=50):
    x = rng.standard_normal((N, 3))
    return x, x @ [[1.0], [2.0], [3.0]]


def line(**options):
    made = GWUNetwork([Dense(1, input_size=3)], seed=0, precision="float64")
    made.compile("mse", lr=0.01, **options)
    return made


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_batches_count_by_their_size(batch, rng):
    """The last batch is smaller than the others; the mean is that of all samples all the same."""
    x, y = column(rng)
    made = line(metrics=[error])
    want = error(y, made.predict(x))
    assert made.evaluate(x, y, batch, return_dict=True) == {
        "loss": pytest.approx(made.evaluate(x, y)),
        "error": pytest.approx(want, rel=1e-12),
    }
    made.compile("mse", lr=1e-30, metrics=error)
    history = made.fit(x, y, batch_size=batch, validation_data=(x, y)).history
    assert list(history) == ["loss", "error", "val_loss", "val_error", "lr"]
    assert [*history["error"], *history["val_error"]] == pytest.approx([want, want], rel=1e-12)


def test_it_sees_one_batch_at_a_time_in_arrays_of_its_own(rng):
    seen = []

    def watch(y_true, y_pred):
        seen.append((y_true, y_pred))
        return len(seen)

    x, y = column(rng, 10)
    made = line(metrics=[watch])
    made.fit(x, y, epochs=3, batch_size=4, shuffle=False)
    assert [len(t) for t, _ in seen] == [4, 4, 2] * 3
    for first in (0, 3, 6):
        np.testing.assert_array_equal(np.concatenate([t for t, _ in seen[first : first + 3]]), y)
    assert len({p.tobytes() for _, p in seen}) == 9, "what it kept is not overwritten"


def test_labels_come_as_one_hot_rows_beside_metrics_by_name(rng):
    def right(y_true, y_pred):
        assert y_true.shape == y_pred.shape and (y_true.sum(axis=1) == 1).all()
        return np.mean(y_true.argmax(axis=1) == y_pred.argmax(axis=1))

    x, y = small_data(rng)
    made = small()
    made.compile("cross_entropy", lr=0.1, metrics=["accuracy", right, "f1"])
    stop = EarlyStopping(monitor="val_right", patience=1)
    history = made.fit(x, y, 2, 3, validation_data=(x, y), callbacks=[stop]).history
    assert history["right"] == pytest.approx(history["accuracy"]) and "f1" in history
    assert history["val_right"] == pytest.approx(history["val_accuracy"])


def test_a_function_that_takes_weights_gets_them(rng):
    x, y = column(rng)
    weights = rng.random(50) * (np.arange(50) % 3)
    made = line(metrics=[error, weighted_error])
    record = made.evaluate(x, y, 7, sample_weight=weights, return_dict=True)
    p = made.predict(x)
    assert record["weighted_error"] == pytest.approx(weighted_error(y, p, weights), rel=1e-12)
    assert record["error"] == pytest.approx(error(y, p), rel=1e-12), "the other one cannot"


def test_functions_of_the_package_are_as_exact_as_their_names(rng):
    x, y = small_data(rng)
    functions = [gwucnn.f1, gwucnn.auc, gwucnn.accuracy]
    made = small()
    made.compile("cross_entropy", metrics=functions)
    record = made.evaluate(x, y, 3, return_dict=True)
    p = made.predict(x)
    assert record == pytest.approx({"loss": record["loss"], **{f.__name__: f(y, p) for f in functions}})


def test_accuracy_beside_a_loss_that_does_not_say_whether_there_are_classes(rng):
    def distance(y_true, y_pred):
        return np.mean((y_pred - y_true) ** 2), 2 * (y_pred - y_true) / y_pred.size

    x, y = rng.standard_normal((20, 3)), np.eye(2)[rng.integers(0, 2, 20)]
    made = GWUNetwork([Dense(2, activation="softmax", input_size=3)], seed=0)
    made.compile(distance, metrics=[gwucnn.accuracy])
    assert made.evaluate(x, y, 7, return_dict=True)["accuracy"] == pytest.approx(gwucnn.accuracy(y, made.predict(x)))


class Metric:
    def __call__(self, y_true, y_pred):
        return 0


def loss(y_true, y_pred):
    return 0


def accuracy(y_true, y_pred):
    return 0


def val_error(y_true, y_pred):
    return 0


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ([lambda t, p: 0], "expected each metric to be a function with a name, got <lambda>; define it with def, since "
         "its name stands in messages and in the history"),
        ([Metric()], "expected each metric to be a function with a name, got Metric; define it with def, since its name "
         "stands in messages and in the history"),
        ([loss], "expected a metric with a name of its own, got the function 'loss'; rename it, other columns of the "
         "history are called so"),
        ([val_error], "expected a metric with a name of its own, got the function 'val_error'; rename it, other columns "
         "of the history are called so"),
        ([accuracy, "accuracy"], "expected metrics of different names, got two called 'accuracy'; rename one"),
    ],
)  # fmt: skip
def test_functions_that_are_refused(metrics, message):
    with pytest.raises(ValueError) as caught:
        small().compile("cross_entropy", metrics=metrics)
    assert str(caught.value) == f"compile: {message}"


def test_a_metric_must_be_a_number(rng):
    def each(y_true, y_pred):
        return np.abs(y_true - y_pred)

    x, y = column(rng)
    with pytest.raises(TypeError) as caught:
        line(metrics=[each]).evaluate(x, y)
    assert str(caught.value) == (
        "each: expected the metric to be a number, got an array of shape (50, 1); return a mean over the batch"
    )
