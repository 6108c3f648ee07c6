"""Metrics and one-hot encoding, on whole arrays and accumulated by batch; scikit-learn is the oracle."""

import functools

import numpy as np
import pytest

from gwucnn import (
    CrossEntropy,
    Dense,
    EarlyStopping,
    GWUNetwork,
    accuracy,
    auc,
    confusion_matrix,
    f1,
    precision,
    recall,
    to_categorical,
    top_k_accuracy,
)
from gwucnn.common.errors import ShapeError
from gwucnn.engine.epoch_totals import Metrics
from gwucnn.engine.metric_names import METRICS
from gwucnn.metrics import to_classes
from trainees import small, small_data


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        ([0, 2, 1], [0, 2, 1]),
        (np.array([3, 255], np.uint8), [3, 255]),
        ([True, False], [1, 0]),
        ([[1], [0]], [1, 0]),
        ([0.2, 0.5, 0.51], [0, 0, 1]),
        ([[0.9], [0.1]], [1, 0]),
        ([0.0, 2.0, 1.0], [0, 2, 1]),
        ([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]], [1, 0]),
        ([[0, 1], [1, 0]], [1, 0]),
        ([[0.5, 0.5]], [0]),
        (np.zeros((0, 3)), []),
        ([], []),
        ([np.nan, 0.9], [0, 1]),
    ],
)
def test_to_classes(y, classes):
    made = to_classes(y)
    assert made.dtype == np.int64
    assert made.tolist() == classes


@pytest.mark.parametrize("y", [0.5, np.zeros((2, 2, 2))], ids=["a number", "three axes"])
def test_what_are_no_classes(y):
    with pytest.raises(ShapeError, match=r"^to_classes: expected labels \(N,\) or rows \(N, K\), got \("):
        to_classes(y)


def test_accuracy_takes_labels_one_hot_rows_and_probabilities():
    labels, one_hot = [0, 2, 1, 1], np.eye(3)[[0, 2, 1, 1]]
    probabilities = [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]]
    for y_true in (labels, one_hot, np.array(labels)[:, None], np.float64(labels)):
        assert accuracy(y_true, probabilities) == 0.75
    assert type(accuracy(labels, labels)) is float
    assert np.isnan(accuracy([], []))
    with pytest.raises(ShapeError, match="^accuracy: expected as many y_true as y_pred, got 2 and 3$"):
        accuracy([0, 1], [0, 1, 1])


def test_confusion_matrix_counts_rows_by_truth():
    matrix = confusion_matrix([0, 0, 1, 2, 2, 2], [0, 1, 1, 2, 2, 0])
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert confusion_matrix([1], [1], num_classes=4).shape == (4, 4)
    assert confusion_matrix([], [], num_classes=2).tolist() == [[0, 0], [0, 0]]
    true, predicted = np.random.default_rng(0).integers(0, 7, (2, 500))
    counted = [[np.sum((true == i) & (predicted == j)) for j in range(7)] for i in range(7)]
    assert confusion_matrix(true, predicted).tolist() == counted
    assert np.trace(counted) / 500 == accuracy(true, predicted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0]), "expected as many y_true as y_pred, got 2 and 1"),
        (([0, 3], [0, 1], 3), "expected classes from 0 to 2, got 0 to 3"),
        (([0, -1], [0, 1]), "expected classes from 0 to 1, got -1 to 1"),
        (([0], [0], 0), "expected num_classes to be an integer of at least 1, got 0"),
        (([0], [0], 2.5), "expected num_classes to be an integer of at least 1, got 2.5"),
    ],
)
def test_confusion_matrix_of_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=f"^confusion_matrix: {message}$"):
        confusion_matrix(*arguments)


def test_to_categorical():
    rows = to_categorical([1, 0, 2])
    assert rows.dtype == np.float32
    assert rows.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    assert to_categorical(np.array([[1], [0]]), 2).tolist() == [[0, 1], [1, 0]]
    assert to_categorical([1.0, 0.0]).tolist() == [[0, 1], [1, 0]]
    assert to_categorical(np.array([1], np.uint8), num_classes=4).shape == (1, 4)
    assert to_categorical([], 3).shape == (0, 3)
    assert to_classes(to_categorical([1, 0, 2])).tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("y", "num_classes", "message"),
    [
        (
            [0, 3],
            3,
            "expected labels from 0 to 2, got 0 to 3; number the classes from 0, or raise num_classes",
        ),
        ([-1, 3], None, "expected labels from 0 to 3, got -1 to 3; number the classes"),
        ([0.5, 1], None, r"expected integer labels, got 0.5, 1.0; round them"),
        ([np.nan], None, r"expected integer labels, got nan; remove or repair"),
        (["a", "b"], None, r"expected integer labels, got 'a', 'b'; number the classes from 0, as np.unique"),
        ([[0, 1], [1, 0]], None, r"expected labels of shape \(N,\) or \(N, 1\), got \(2, 2\)"),
        ([0], "2", "expected num_classes to be an integer of at least 1, got '2'"),
    ],
)
def test_to_categorical_of_what_are_no_labels(y, num_classes, message):
    with pytest.raises(ValueError, match=f"^to_categorical: {message}"):
        to_categorical(y, num_classes)


@pytest.mark.parametrize("outputs", [1, 2, 10, 5000])
@pytest.mark.parametrize("batch", [1, 7, 600])
def test_accuracy_gathered_batch_by_batch(outputs, batch, rng):
    rows = 40 if outputs == 5000 else 1300
    labels = rng.integers(0, max(outputs, 2), rows)
    y_true = labels[:, None].astype(float) if outputs == 1 else np.eye(outputs)[labels]
    y_pred = rng.random((rows, outputs))
    gathered = Metrics(["accuracy"], outputs)
    assert np.isnan(gathered.results()["accuracy"])
    for start in range(0, rows, batch):
        gathered.update(y_true[start : start + batch], y_pred[start : start + batch])
    assert gathered.results()["accuracy"] == accuracy(y_true, y_pred)
    assert gathered.results()["accuracy"] == accuracy(y_true, y_pred), "asking twice changes nothing"


def test_gathered_accuracy_tells_numbers_apart_that_float32_cannot():
    gathered = Metrics(["accuracy"], 2)
    gathered.update(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5 + 1e-12]]))
    assert gathered.results()["accuracy"] == 1


def test_gathered_accuracy_of_a_batch_larger_than_any_stack():
    gathered = Metrics(["accuracy"], 1)
    ones = np.ones((2**20, 1), np.float32)
    gathered.update(ones, ones)
    assert gathered.results()["accuracy"] == 1


# ---------------------------------------------------------------------------------------- against scikit-learn

SCORES = {"precision": precision, "recall": recall, "f1": f1}
every_score = pytest.mark.parametrize("which", SCORES)


@pytest.fixture
def oracle():
    return pytest.importorskip("sklearn.metrics")


def drawn(rng, K, N=200):
    """Return labels and labels that are often the same."""
    true = rng.integers(0, K, N)
    return true, np.where(rng.random(N) < 0.6, true, rng.integers(0, K, N))


@every_score
@pytest.mark.parametrize("K", [2, 3, 7])
@pytest.mark.parametrize("average", ["auto", "binary", "macro", "micro", "weighted", None])
@pytest.mark.parametrize("weighted", [False, True])
def test_scores(which, K, average, weighted, oracle, rng):
    if average == "binary" and K > 2:
        return
    true, predicted = drawn(rng, K)
    weights = rng.random(200) if weighted else None
    theirs = {"auto": "binary" if K == 2 else "macro"}.get(average, average)
    want = getattr(oracle, f"{which}_score")(true, predicted, average=theirs, sample_weight=weights, zero_division=0)
    got = SCORES[which](true, predicted, average, sample_weight=weights)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    rows = np.eye(K)
    np.testing.assert_allclose(
        SCORES[which](rows[true], rows[predicted], average, sample_weight=weights), want, rtol=1e-12
    )
    if average is not None:
        assert type(got) is float


@every_score
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_classes_that_are_never_predicted_or_never_there(which, average, oracle):
    true, predicted = [0, 0, 2, 2, 4], [0, 2, 2, 3, 0]
    want = getattr(oracle, f"{which}_score")(true, predicted, average=average, zero_division=0)
    assert SCORES[which](true, predicted, average) == pytest.approx(want, rel=1e-12)
    probabilities = np.eye(9)[predicted]
    assert SCORES[which](true, probabilities, average) == pytest.approx(want, rel=1e-12)
    each = SCORES[which](true, probabilities, None)
    assert each.shape == (9,) and not each[5:].any()


@pytest.mark.parametrize("weighted", [False, True])
def test_accuracy_and_confusion_matrix(weighted, oracle, rng):
    true, predicted = drawn(rng, 5)
    weights = rng.random(200) if weighted else None
    want = oracle.accuracy_score(true, predicted, sample_weight=weights)
    assert accuracy(true, predicted, sample_weight=weights) == pytest.approx(want, rel=1e-12)
    matrix = confusion_matrix(true, predicted, sample_weight=weights)
    np.testing.assert_allclose(matrix, oracle.confusion_matrix(true, predicted, sample_weight=weights), rtol=1e-12)
    assert matrix.dtype == (np.float64 if weighted else np.int64)


@pytest.mark.parametrize("k", [1, 2, 5, 7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:'k'")
def test_top_k(k, weighted, oracle, rng):
    true, p = rng.integers(0, 7, 100), rng.random((100, 7))
    weights = rng.random(100) if weighted else None
    want = oracle.top_k_accuracy_score(true, p, k=k, sample_weight=weights, labels=range(7))
    for y in (true, true[:, None], np.eye(7)[true]):
        assert top_k_accuracy(y, p, k, sample_weight=weights) == pytest.approx(want, rel=1e-12)
    if k == 1:
        assert top_k_accuracy(true, p, 1) == accuracy(true, p)
    if k == 5:
        assert top_k_accuracy(true, p) == top_k_accuracy(true, p, 5)


def test_top_k_of_equal_outputs_and_of_nan():
    p = np.array([[0.4, 0.4, 0.2], [0.1, 0.1, 0.8]])
    assert top_k_accuracy([0, 0], p, 1) == 0.5 and top_k_accuracy([1, 1], p, 1) == 0.5
    assert top_k_accuracy([0, 1], p, 2) == 1
    p[0] = [np.nan, 0.4, 0.6]
    assert [top_k_accuracy([label], p[:1], 2) for label in range(3)] == [0, 0, 1]


# ----------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("metric", [accuracy, precision, recall, f1, confusion_matrix])
def test_what_does_not_fit_together(metric):
    caller = metric.__name__
    with pytest.raises(ShapeError, match=f"^{caller}: expected as many y_true as y_pred, got 2 and 3$"):
        metric([0, 1], [0, 1, 1])
    with pytest.raises(ShapeError, match=rf"^{caller}: expected as many columns in y_true as in y_pred, got \[2, 3\]$"):
        metric(np.eye(2), np.eye(3)[:2])
    with pytest.raises(ShapeError, match=rf"^{caller}: expected sample_weight of shape \(2,\), got \(1,\)$"):
        metric([0, 1], [0, 1], sample_weight=[1])
    for wrong in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"^{caller}: expected weights that are finite and not negative$"):
            metric([0, 1], [0, 1], sample_weight=[1, wrong])


@every_score
def test_invalid_score(which):
    with pytest.raises(ValueError, match=f"^{which}: expected two classes with average='binary', got 3; give"):
        SCORES[which]([0, 2], [0, 1], "binary")
    with pytest.raises(
        ValueError, match=f"^{which}: expected average to be one of 'auto', .* got 'makro'; did you mean"
    ):
        SCORES[which]([0, 1], [0, 1], "makro")
    with pytest.raises(ValueError, match=f"^{which}: expected classes from 0, got -1$"):
        SCORES[which]([0, -1], [0, 1])
    assert np.isnan(SCORES[which]([], []))
    assert np.isnan(SCORES[which]([0, 1], [0, 1], sample_weight=[0, 0]))


def test_invalid_top_k():
    with pytest.raises(
        ShapeError, match=r"^top_k_accuracy: expected y_pred of shape \(N, K\), K at least 2, got \(2,\)$"
    ):
        top_k_accuracy([0, 1], [0.1, 0.9])
    with pytest.raises(ValueError, match="^top_k_accuracy: expected k to be an integer of at least 1, got 0$"):
        top_k_accuracy([0], [[0.1, 0.9]], 0)
    with pytest.raises(ValueError, match="^top_k_accuracy: expected classes from 0 to 1, got 0 to 2$"):
        top_k_accuracy([0, 2], [[0.1, 0.9]] * 2)
    assert np.isnan(top_k_accuracy([], np.zeros((0, 3))))


# ------------------------------------------------------------------------------------------------ batch by batch


@pytest.mark.parametrize("outputs", [1, 2, 6])
@pytest.mark.parametrize("batch", [1, 7, 600])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_metric_gathered_batch_by_batch(outputs, batch, weighted, rng):
    best = ["top_1_accuracy", "top_2_accuracy", "top_k_accuracy", "top_4_accuracy", "top_11_accuracy"]
    names = [*(name for name in METRICS if name != "top_k_accuracy"), *(best if outputs > 1 else [])]
    labels = rng.integers(0, max(outputs, 2), 1300)
    y_true = labels[:, None].astype(float) if outputs == 1 else np.eye(outputs)[labels]
    y_pred, weights = rng.random((1300, outputs)), rng.random(1300) if weighted else None
    gathered = Metrics(names, outputs)
    assert all(np.isnan(value) for value in gathered.results().values())
    for start in range(0, 1300, batch):
        rows = slice(start, start + batch)
        gathered.update(y_true[rows], y_pred[rows], None if weights is None else weights[rows])
    functions = {**SCORES, "accuracy": accuracy, "auc": auc}
    for name, k in zip(best, (1, 2, 5, 4, 11), strict=True):
        functions[name] = functools.partial(top_k_accuracy, k=k)
    want = {name: functions[name](y_true, y_pred, sample_weight=weights) for name in names}
    assert gathered.results() == pytest.approx(want, rel=1e-12)
    assert list(gathered.results()) == names


# -------------------------------------------------------------------------------------------------- in a network


def test_networks_report_them(rng):
    x, y = small_data(rng)
    made = small()
    made.compile("cross_entropy", lr=0.1, metrics=list(METRICS))
    before = made.predict(x)
    history = made.fit(x, y, batch_size=20, validation_data=(x, y)).history
    assert list(history) == ["loss", *METRICS, "val_loss", *(f"val_{name}" for name in METRICS), "lr"]
    after = made.predict(x)
    record = made.evaluate(x, y, 7, return_dict=True)
    for name, function in {**SCORES, "accuracy": accuracy, "top_k_accuracy": top_k_accuracy, "auc": auc}.items():
        assert history[name] == pytest.approx([function(y, before)], rel=1e-12)
        assert history[f"val_{name}"] == pytest.approx([function(y, after)], rel=1e-12)
        assert record[name] == pytest.approx(function(y, after), rel=1e-12)
    made.compile("cross_entropy", metrics=["f1", "accuracy", "f1"])
    assert list(made.evaluate(x, y, return_dict=True)) == ["loss", "f1", "accuracy"]


def test_one_yes_or_no_output(rng):
    x, y = rng.standard_normal((40, 3)), rng.integers(0, 2, 40)
    made = GWUNetwork([Dense(1, activation="sigmoid", input_size=3)], seed=0)
    made.compile("log_loss", metrics=["precision", "recall", "f1", "accuracy"])
    record, p = made.evaluate(x, y, return_dict=True), made.predict(x)
    for name, function in {**SCORES, "accuracy": accuracy}.items():
        assert record[name] == pytest.approx(function(y, p[:, 0] > 0.5), rel=1e-12)


def test_metrics_that_do_not_fit_the_network():
    made = GWUNetwork([Dense(1, activation="sigmoid")])
    with pytest.raises(ValueError) as caught:
        made.compile("mse", metrics=["accuracy", "recall"])
    assert str(caught.value) == (
        "compile: expected no classification metric with a regression loss, got 'recall' with 'mse'; leave it out"
    )
    message = "compile: expected at least 2 outputs for top_k_accuracy, got 1; use 'accuracy'"
    made.compile("log_loss", metrics=["top_k_accuracy"])
    with pytest.raises(ValueError) as caught:
        made.build(3)
    assert str(caught.value) == message
    made = GWUNetwork([Dense(1, activation="sigmoid", input_size=3)])
    with pytest.raises(ValueError) as caught:
        made.compile("log_loss", metrics=["top_k_accuracy"])
    assert str(caught.value) == message


def test_the_best_k_in_a_network(rng):
    """k stands in the name; it is in the history, beside others, and callbacks can watch it."""
    x, y = small_data(rng)
    made = small()
    made.compile("cross_entropy", lr=0.1, metrics=["top_2_accuracy", "accuracy", "top_1_accuracy"])
    stop = EarlyStopping(monitor="val_top_2_accuracy", patience=1)
    history = made.fit(x, y, 3, 20, validation_data=(x, y), callbacks=[stop]).history
    assert history["top_1_accuracy"] == history["accuracy"]
    assert made.evaluate(x, y, return_dict=True)["top_2_accuracy"] == pytest.approx(
        top_k_accuracy(y, made.predict(x), 2), rel=1e-12
    )
    assert 0 < history["val_top_2_accuracy"][0] <= 1


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("top3_accuracy", "top_3_accuracy"),
        ("top_5_acc", "top_5_accuracy"),
        ("top_0_accuracy", "top_k_accuracy"),
        ("top_03_accuracy", "top_3_accuracy"),
        ("sparse_top_k_categorical_accuracy", "top_k_accuracy"),
        ("categorical_accuracy", "accuracy"),
        ("top_k_acuracy", "top_k_accuracy"),
    ],
)
def test_names_of_metrics_that_do_not_exist(given, meant):
    with pytest.raises(ValueError, match=f"^compile: expected metrics .* got '{given}'; did you mean '{meant}'"):
        small().compile("cross_entropy", metrics=[given])


def test_the_best_k_of_fewer_classes():
    """A k that was named is one too many; the default's answer is 1, as in Keras."""
    made = small()
    made.compile("cross_entropy", metrics=["top_3_accuracy", "top_k_accuracy"])
    made.build((6, 6))
    with pytest.raises(ValueError) as caught:
        made.compile("cross_entropy", metrics=["top_4_accuracy"])
    assert str(caught.value) == ("compile: expected at least 4 outputs for top_4_accuracy, got 3; use 'top_2_accuracy'")


def test_metrics_in_a_network_have_the_weights_of_its_loss(rng):
    """A sample that counts twice is a sample that is there twice."""
    x, y = small_data(rng)
    counts = np.arange(20) % 3
    x_there, y_there = np.repeat(x, counts, axis=0), np.repeat(y, counts)
    made = small()
    made.compile(CrossEntropy, lr=0.1, metrics=list(METRICS))
    want = made.evaluate(x_there, y_there, return_dict=True)
    assert made.evaluate(x, y, 6, sample_weight=counts, return_dict=True) == pytest.approx(want, rel=1e-10)
    assert made.evaluate(x, y, sample_weight=counts) == pytest.approx(want["loss"], rel=1e-10)
    plain = made.get_weights()
    history = made.fit(x, y, batch_size=20, sample_weight=counts, validation_data=(x, y, counts)).history
    assert {name: history[name][0] for name in want} == pytest.approx(want, rel=1e-10)
    after = made.evaluate(x_there, y_there, return_dict=True)
    assert {name: history[f"val_{name}"][0] for name in want} == pytest.approx(after, rel=1e-10)
    made.set_weights(plain)
    by_class = made.fit(x, y, batch_size=20, class_weight={0: 2, 1: 0.5}).history
    made.set_weights(plain)
    by_sample = made.fit(x, y, batch_size=20, sample_weight=np.choose(y, [2, 0.5, 1])).history
    assert by_class == by_sample


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"evaluate: expected sample_weight of shape \(20,\), got \(2,\); give one for each sample"),
        (
            -np.ones(20),
            "evaluate: expected finite weights of at least 0 for samples and classes, got .*",
        ),
        (np.zeros(20), "evaluate: expected a positive sample weight, got only zeros"),
    ],
)
def test_weights_that_evaluate_does_not_take(weights, message, rng):
    with pytest.raises(ValueError, match=f"^{message}$"):
        small().evaluate(*small_data(rng), sample_weight=weights)


def test_weights_beside_batches_that_come_as_they_are(rng):
    with pytest.raises(ValueError, match="^evaluate: expected y with sample_weight, got none"):
        small().evaluate([small_data(rng)], sample_weight=np.ones(20))
