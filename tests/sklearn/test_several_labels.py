"""Classifiers of several labels, y (N, K) of 0 and 1, against scikit-learn's MLPClassifier and metrics."""

import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier

from estimator_models import quick, small
from gwucnn import BinaryCrossentropy, ShapeError
from gwucnn.sklearn import CNNClassifier


@pytest.fixture(scope="module")
def marked():
    """Images of 8 x 8 noise with bright quarters, and which quarters are bright."""
    rng = np.random.default_rng(0)
    y = (rng.random((240, 4)) < [0.2, 0.4, 0.6, 0.8]).astype(int)
    x = 0.3 * rng.random((240, 8, 8))
    x += np.repeat(np.repeat(y.reshape(-1, 2, 2), 4, axis=1), 4, axis=2) * 0.4
    return x.reshape(240, 64), y


def test_labels_are_learnt(marked):
    x, y = marked
    classifier = quick(epochs=10).fit(x[:160], y[:160])
    assert repr(classifier.network_.layers[-1]).startswith("Dense(output_size=4, activation='sigmoid'")
    p, answers = classifier.predict_proba(x[160:]), classifier.predict(x[160:])
    mlp = MLPClassifier(max_iter=5, random_state=0)
    with pytest.warns(UserWarning, match="converged"):
        mlp.fit(x[:160], y[:160])
    for mine, theirs in ((p, mlp.predict_proba(x[160:])), (answers, mlp.predict(x[160:]))):
        assert mine.shape == theirs.shape and type(mine) is type(theirs) and mine.dtype.kind == theirs.dtype.kind
    np.testing.assert_array_equal(classifier.classes_, mlp.classes_)
    np.testing.assert_array_equal(answers, p > 0.5)
    assert f1_score(y[160:], answers, average="macro") > 0.9
    assert classifier.score(x[160:], y[160:]) == accuracy_score(y[160:], answers) > 0.8  # of whole rows


def test_the_loss_is_the_mean_of_each_labels_log_loss(marked):
    x, y = marked
    classifier = quick(epochs=3).fit(x, y)
    p = classifier.predict_proba(x)
    expected = np.mean([log_loss(y[:, k], p[:, k]) for k in range(4)])
    found = classifier.network_.evaluate(x.reshape(-1, 8, 8), y, return_dict=True)
    assert found["loss"] == pytest.approx(expected, rel=1e-6)
    assert found["accuracy"] == pytest.approx(np.mean((p > 0.5) == y))  # the share of all answers


def test_any_array_of_zeros_and_ones(marked):
    x, y = marked
    expected = quick().fit(x, y).predict_proba(x)
    for same in (y.tolist(), y.astype(float), y.astype(bool), y.astype(np.uint8), csr_array(y)):
        classifier = quick().fit(x, same)
        np.testing.assert_array_equal(classifier.predict_proba(x), expected)
        assert classifier.predict(x).dtype == np.int64
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(y, columns=list("abcd"))
    np.testing.assert_array_equal(quick().fit(x, frame).predict_proba(x), expected)


def test_a_column_is_two_classes_as_ever(marked):
    x, y = marked
    with pytest.warns(UserWarning, match="column-vector"):
        classifier = quick().fit(x, y[:, :1])
    assert classifier.predict(x).shape == (240,) and classifier.predict_proba(x).shape == (240, 2)


@pytest.mark.parametrize("model", ["lenet5", small(4, "sigmoid"), lambda shape, outputs: small(outputs, "sigmoid")])
def test_models_of_several_labels(marked, model):
    x, y = marked
    x = x.reshape(-1, 8, 8).repeat(4, axis=1).repeat(4, axis=2) if model == "lenet5" else x.reshape(-1, 8, 8)
    classifier = CNNClassifier(model, epochs=1, random_state=0).fit(x, y)
    assert classifier.predict_proba(x).shape == (240, 4)


def test_weights_of_samples(marked):
    """A weight of 2 is a sample twice, 0 none, where all are one batch."""
    x, y = marked
    weights = np.arange(240) % 3
    options = {"batch_size": 480, "epochs": 5}
    weighted = quick(**options).fit(x, y, sample_weight=weights).predict_proba(x)
    repeated = quick(**options).fit(x.repeat(weights, axis=0), y.repeat(weights, axis=0)).predict_proba(x)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-6)


def test_early_stopping_losses_copies_and_searches(marked):
    x, y = marked
    classifier = quick(epochs=300, early_stopping=True, lr=0.01, loss=BinaryCrossentropy(label_smoothing=0.1)).fit(x, y)
    assert classifier.n_iter_ < 300 and "val_accuracy" in classifier.history_
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict(x), classifier.predict(x))
    assert cross_val_score(clone(quick(epochs=8)), x, y, cv=3, scoring="f1_macro").mean() > 0.8
    search = GridSearchCV(quick(), {"epochs": [1, 8]}, cv=2).fit(x, y)
    assert search.best_params_ == {"epochs": 8}


def test_samples_with_answers_of_their_own_may_be_held_out(marked):
    x = marked[0]
    y = (np.arange(240)[:, None] >> np.arange(8)) & 1  # each row is another number
    assert "val_loss" in quick(early_stopping=True).fit(x, y).history_


def test_training_goes_on(marked):
    x, y = marked
    whole = quick(epochs=3).fit(x, y).predict_proba(x)
    parts = quick()
    for _ in range(3):
        parts.partial_fit(x, y)
    np.testing.assert_array_equal(parts.predict_proba(x), whole)
    np.testing.assert_array_equal(quick().partial_fit(x, y, classes=range(4)).fit(x, y).classes_, range(4))
    warm = quick(epochs=2, warm_start=True).fit(x, y).set_params(epochs=1).fit(x, y)
    np.testing.assert_array_equal(warm.predict_proba(x), whole)
    with pytest.raises(ShapeError, match=r"expected y of shape \(N, 4\), as before, got \(240, 3\)"):
        warm.fit(x, y[:, :3])
    with pytest.raises(ShapeError, match=r"expected y of shape \(N, 4\), as before, got \(240,\)"):
        parts.partial_fit(x, y[:, 0])
    single = quick(warm_start=True).fit(x, y[:, 0])
    with pytest.raises(ShapeError, match=r"expected y of shape \(N,\), as before, got \(240, 4\)"):
        single.fit(x, y)
    np.testing.assert_array_equal(single.set_params(warm_start=False).fit(x, y).fit(x, y[:, 0]).classes_, [0, 1])


def test_targets_that_are_refused(marked):
    x, y = marked
    with pytest.raises(
        ValueError, match="CNNClassifier: expected y of one class for each sample, .*multiclass-.*MultiOutputClassifier"
    ):
        quick().fit(x, y + np.arange(4))
    with pytest.raises(ValueError, match="expected y of 0 and 1 for each of several labels, got 2; write y == 2"):
        quick().fit(x, y * 2)
    with pytest.raises(ValueError, match="continuous-multioutput"):
        quick().fit(x, y * 0.3)
    with pytest.raises(ValueError, match=r"expected classes=range\(4\), the columns of y, got \[0, 1\]"):
        quick().partial_fit(x, y, classes=[0, 1])
    each = MultiOutputClassifier(quick()).fit(x, y + np.arange(4))
    assert each.predict(x).shape == (240, 4)


def test_options_that_are_refused(marked):
    x, y = marked
    for options, error, message in (
        (
            {"class_weight": "balanced"},
            ValueError,
            "expected class_weight=None for y of several labels, got 'balanced'",
        ),
        ({"class_weight": {0: 1.0}}, ValueError, "expected class_weight=None for y of several labels"),
        (
            {"loss": "cross_entropy"},
            ValueError,
            "expected a loss for yes-or-no answers .* such as 'binary_crossentropy'",
        ),
        ({"model": small(4, "softmax")}, ValueError, "binary_crossentropy: expected a network that ends with sigmoid"),
        (
            {"model": small(3, "sigmoid")},
            ShapeError,
            r"output for each of the 4 labels, got .* Dense\(4, activation='sigmoid'\)",
        ),
    ):
        with pytest.raises(error, match=message):
            quick(**options).fit(x, y)
