"""Metrics of independent outputs, and the area under the ROC curve; scikit-learn is the oracle."""

import numpy as np
import pytest

from gwucnn import Dense, GWUNetwork, accuracy, auc, f1, precision, recall
from gwucnn.common.errors import ShapeError
from gwucnn.engine.epoch_totals import Metrics
from gwucnn.engine.metric_names import METRICS

SCORES = {"precision": precision, "recall": recall, "f1": f1}
every_score = pytest.mark.parametrize("which", SCORES)
weighted_or_not = pytest.mark.parametrize("weighted", [False, True])


@pytest.fixture
def oracle():
    return pytest.importorskip("sklearn.metrics")


def drawn(rng, K=4, N=150):
    """Return answers (N, K) and probabilities that are often on the right side of 0.5."""
    true = rng.random((N, K)) < np.linspace(0.2, 0.7, K)
    return true.astype(float), np.clip(true * 0.3 + rng.random((N, K)) * 0.7, 0, 1)


# --------------------------------------------------------------------------- accuracy, precision, recall and F1


@weighted_or_not
def test_accuracy_is_the_share_of_right_answers(weighted, oracle, rng):
    true, p = drawn(rng)
    weights = rng.random(150) if weighted else None
    each = [oracle.accuracy_score(true[:, k], p[:, k] > 0.5, sample_weight=weights) for k in range(4)]
    assert accuracy(true, p, multi_label=True, sample_weight=weights) == pytest.approx(np.mean(each), rel=1e-12)


@every_score
@pytest.mark.parametrize("K", [1, 2, 4])
@pytest.mark.parametrize("average", ["auto", "macro", "micro", "weighted", None])
@weighted_or_not
def test_scores(which, K, average, weighted, oracle, rng):
    true, p = drawn(rng, K)
    weights = rng.random(150) if weighted else None
    theirs, answers = "macro" if average == "auto" else average, p > 0.5
    if K == 1:  # which scikit-learn takes for two classes
        true, answers, p = (np.hstack([a, np.zeros((150, 1))]) for a in (true, answers, p))
    want = getattr(oracle, f"{which}_score")(true, answers, average=theirs, sample_weight=weights, zero_division=0)
    got = SCORES[which](true, p, average, multi_label=True, sample_weight=weights)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@every_score
def test_an_output_that_is_never_right_counts_as_zero(which, oracle):
    true, p = np.array([[1, 0, 0], [1, 1, 0]]), np.array([[0.9, 0.1, 0.2], [0.1, 0.2, 0.3]])
    for average in ("macro", "micro", "weighted", None):
        want = getattr(oracle, f"{which}_score")(true, p > 0.5, average=average, zero_division=0)
        np.testing.assert_allclose(SCORES[which](true, p, average, multi_label=True), want)
        assert np.all(SCORES[which](0 * true, p, average, multi_label=True) == 0), "nothing is true"
    assert np.isnan(SCORES[which](np.zeros((0, 3)), np.zeros((0, 3)), multi_label=True))


@pytest.mark.parametrize("metric", [accuracy, precision, recall, f1])
def test_answers_that_do_not_fit(metric):
    name = metric.__name__
    with pytest.raises(ValueError) as caught:
        metric([[0, 1, 0], [1, 1, 0]], [[0.2, 0.9, 0.1]] * 2)
    assert str(caught.value) == (
        f"{name}: expected one class in each row of y_true, got [1, 1, 0]; for independent outputs write "
        "multi_label=True"
    )
    with pytest.raises(ShapeError) as caught:
        metric([0, 1], [[0.1, 0.9], [0.2, 0.3]], multi_label=True)
    assert str(caught.value) == (
        f"{name}: expected y_true and y_pred of one shape (N, K) with multi_label=True, got (2,) and (2, 2); give a "
        "number for each output"
    )


@every_score
def test_one_class_of_two_is_no_average_of_independent_outputs(which):
    with pytest.raises(ValueError, match=f"^{which}: .* got 2 outputs with multi_label=True; give average='macro'"):
        SCORES[which](np.eye(2), np.eye(2), "binary", multi_label=True)


# ------------------------------------------------------------------------------------ the area under the curve


@weighted_or_not
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("shape", [(200,), (200, 1)])
def test_auc_of_two_classes(weighted, ties, shape, oracle, rng):
    true = rng.integers(0, 2, 200)
    scores = rng.standard_normal(200) + true
    scores = np.round(scores, 1) if ties else scores
    weights = rng.random(200) * (rng.random(200) < 0.8) if weighted else None
    want = oracle.roc_auc_score(true, scores, sample_weight=weights)
    got = auc(true, scores.reshape(shape), sample_weight=weights)
    assert type(got) is float and got == pytest.approx(want, rel=1e-12)
    assert auc(true, -scores, sample_weight=weights) == pytest.approx(1 - want, rel=1e-12)
    both = np.stack([-scores, scores], axis=1)
    for y in (true, true[:, None], np.eye(2)[true]):
        assert auc(y, both, sample_weight=weights) == pytest.approx(want, rel=1e-12)


@weighted_or_not
@pytest.mark.parametrize("average", ["auto", "macro", "weighted", None])
def test_auc_of_independent_outputs(weighted, average, oracle, rng):
    for K in (2, 5):
        true, p = drawn(rng, K)
        weights = rng.random(150) if weighted else None
        theirs = "macro" if average == "auto" else average
        want = oracle.roc_auc_score(true, p, average=theirs, sample_weight=weights)
        np.testing.assert_allclose(auc(true, p, average, multi_label=True, sample_weight=weights), want, rtol=1e-12)


@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_auc_of_exclusive_classes_is_that_of_each_against_the_others(average, oracle, rng):
    true, p = rng.integers(0, 4, 100), rng.dirichlet(np.ones(4), 100)
    want = oracle.roc_auc_score(true, p, average=average, multi_class="ovr")
    assert auc(true, p, average) == pytest.approx(want, rel=1e-12)
    assert auc(np.eye(4)[true], p, average) == pytest.approx(want, rel=1e-12)


def test_auc_by_hand():
    assert auc([0, 1], [1, 2]) == 1 and auc([0, 1], [2, 1]) == 0 and auc([0, 1], [1, 1]) == 0.5
    assert auc([0, 0, 1], [1, 2, 2]) == 0.75
    assert auc([0, 0, 1], [1, 2, 2], sample_weight=[1, 3, 1]) == (1 + 3 / 2) / 4
    assert auc([0, 1, 1], [1, 2, np.nan], sample_weight=[1, 1, 0]) == 1


def test_auc_without_a_curve(rng):
    assert np.isnan(auc([], [])) and np.isnan(auc([1, 1], [0.5, 0.6])) and np.isnan(auc([0, 0], [0.5, 0.6]))
    assert np.isnan(auc([0, 1], [0.5, np.nan]))
    assert np.isnan(auc([0, 1], [0.5, 0.6], sample_weight=[0, 1]))
    true, p = drawn(rng, 3)
    true[:, 1] = 1
    each = auc(true, p, None, multi_label=True)
    assert np.isnan(each[1]) and auc(true, p, multi_label=True) == pytest.approx((each[0] + each[2]) / 2)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (([0, 1], np.zeros((2,) * 5)), ShapeError, "expected y_pred of shape (N,) or (N, K), got (2, 2, 2, 2, 2); give a row "
         "per sample"),
        (([0, 1, 1], [0.5, 0.6]), ShapeError, "expected y_true of shape (2,) or (2, 1) beside y_pred of shape (2, 1), "
         "got (3,); give labels, or a number for each output"),
        (([0, 2], [0.5, 0.6]), ValueError, "expected labels from 0 to 1, got 0 to 2; number the classes from 0, and give "
         "a score for each"),
        (([0, 1], [0.5, 0.6], "micro"), ValueError, "expected average to be one of 'auto', 'macro', 'weighted', got "
         "'micro'; did you mean 'macro'?"),
    ],
)  # fmt: skip
def test_invalid_auc(arguments, kind, message):
    with pytest.raises(kind) as caught:
        auc(*arguments)
    assert str(caught.value) == f"auc: {message}"
    with pytest.raises(ShapeError, match=r"^auc: expected sample_weight of shape \(2,\), got \(1,\)$"):
        auc([0, 1], [0.5, 0.6], sample_weight=[1])


# -------------------------------------------------------------------------------------------------- in a network

NAMES = [name for name in METRICS if name != "top_k_accuracy"]
FUNCTIONS = {**SCORES, "accuracy": accuracy, "auc": auc}


@pytest.mark.parametrize("batch", [1, 7, 600])
@weighted_or_not
def test_gathered_batch_by_batch(batch, weighted, rng):
    true, p = drawn(rng, 3, 1300)
    weights = rng.random(1300) if weighted else None
    gathered = Metrics(NAMES, 3, multi_label=True)
    assert all(np.isnan(value) for value in gathered.results().values())
    for start in range(0, 1300, batch):
        rows = slice(start, start + batch)
        gathered.update(true[rows], p[rows], None if weights is None else weights[rows])
    want = {name: FUNCTIONS[name](true, p, multi_label=True, sample_weight=weights) for name in NAMES}
    assert gathered.results() == pytest.approx(want, rel=1e-12)
    assert list(gathered.results(quick=True)) == [name for name in NAMES if name != "auc"]


def network(loss, **options):
    made = GWUNetwork([Dense(3, activation="sigmoid", input_size=4)], seed=0)
    made.compile(loss, lr=0.1, metrics=NAMES, **options)
    return made


def test_a_network_with_several_sigmoid_outputs(rng):
    x, (y, _) = rng.standard_normal((60, 4)), drawn(rng, 3, 60)
    made, weights = network("binary_crossentropy"), rng.random(60)
    before = made.predict(x)
    history = made.fit(x, y, batch_size=60, validation_data=(x, y, weights), sample_weight=weights).history
    record, after = made.evaluate(x, y, 7, return_dict=True), made.predict(x)
    for name, function in FUNCTIONS.items():
        assert history[name] == pytest.approx([function(y, before, multi_label=True, sample_weight=weights)])
        assert history[f"val_{name}"] == pytest.approx([function(y, after, multi_label=True, sample_weight=weights)])
        assert record[name] == pytest.approx(function(y, after, multi_label=True))
    assert record["accuracy"] == pytest.approx(np.mean((after > 0.5) == (y > 0.5)))


def test_log_loss_still_takes_the_largest_output_for_the_class(rng):
    """As on the slides, which train ten sigmoid outputs on one-hot rows."""
    x, y = rng.standard_normal((60, 4)), rng.integers(0, 3, 60)
    made = network("log_loss")
    record, p = made.evaluate(x, y, return_dict=True), made.predict(x)
    for name, function in FUNCTIONS.items():
        assert record[name] == pytest.approx(function(y, p))


@pytest.mark.parametrize("loss", ["binary_crossentropy", "log_loss"])
def test_a_single_output_has_two_classes(loss, rng):
    x, y = rng.standard_normal((60, 4)), rng.integers(0, 2, 60)
    made = GWUNetwork([Dense(1, activation="sigmoid", input_size=4)], seed=0)
    made.compile(loss, metrics=NAMES)
    record, p = made.evaluate(x, y, return_dict=True), made.predict(x)
    for name, function in FUNCTIONS.items():
        assert record[name] == pytest.approx(function(y, p))


def test_the_area_has_all_rows_of_an_epoch_of_small_batches(rng):
    """Also of those that the compiled loop trained on, without one step between that changes a weight."""
    x, y = rng.standard_normal((700, 4)), rng.integers(0, 2, 700)
    made = GWUNetwork([Dense(1, activation="sigmoid", input_size=4)], seed=0)
    made.compile("log_loss", lr=1e-30, metrics=["auc"])
    want = auc(y, made.predict(x))
    assert made.fit(x, y, batch_size=3).history["auc"] == pytest.approx([want], rel=1e-6)
