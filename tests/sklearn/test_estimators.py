"""The estimators of gwucnn.sklearn: scikit-learn's own checks, and what those do not cover."""

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from estimator_models import linear_of, quick, small, softmax_of
from gwucnn import (
    SGD,
    Adam,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    ExponentialDecay,
    Flatten,
    GWUNetwork,
    Layer,
    MaxPooling2D,
    Normalization,
    Residual,
    ShapeError,
    get_num_threads,
    models,
)
from gwucnn.sklearn import CNNClassifier, CNNRegressor


@parametrize_with_checks([CNNClassifier(), CNNRegressor()])
def test_what_scikit_learn_asks_of_an_estimator(estimator, check):
    check(estimator)


# ------------------------------------------------------------------------------------------------------- data


@pytest.fixture
def quantities(rng):
    x = rng.random((90, 6, 5))
    return x, np.stack([x[:, :3].mean(axis=(1, 2)), x[:, :, :2].mean(axis=(1, 2))], axis=1)


# --------------------------------------------------------------------------------------------------- learning


def test_digits_are_learnt(digits):
    x, x_test, y, y_test = train_test_split(*digits, random_state=1)
    classifier = CNNClassifier(image_shape=(8, 8), epochs=20, batch_size=32, random_state=0).fit(x, y)
    assert classifier.score(x_test, y_test) > 0.97
    assert classifier.network_.predict(x_test[:1].reshape(1, 8, 8)).shape == (1, 10)
    assert classifier.n_iter_ == 20 == len(classifier.history_["loss"])
    assert classifier.history_["accuracy"][-1] > 0.97
    assert (classifier.n_features_in_, classifier.image_shape_) == (64, (8, 8, 1))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # of MLPClassifier
def test_the_defaults_learn_digits_better_than_scikit_learns_network(digits):
    x, y = digits
    score = cross_val_score(CNNClassifier(image_shape=(8, 8), random_state=0), x, y, cv=3).mean()
    assert score > cross_val_score(MLPClassifier(random_state=0), x, y, cv=3).mean() > 0.9


def test_labels_may_be_anything(few):
    x, y = few
    names = np.array([f"digit {label}" for label in y])
    classifier = quick(epochs=30).fit(x, names)
    assert classifier.classes_.tolist() == sorted(set(names))
    assert (classifier.predict(x) == names).mean() > 0.9
    probabilities = classifier.predict_proba(x)
    assert probabilities.shape == (100, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    assert (classifier.classes_[probabilities.argmax(axis=1)] == classifier.predict(x)).all()


def test_quantities_are_learnt(quantities):
    x, y = quantities
    for targets in (y, y[:, 0], y[:, :1]):
        regressor = CNNRegressor(epochs=150, random_state=0).fit(x, targets)
        assert regressor.predict(x).shape == targets.shape
        assert regressor.n_outputs_ == (1 if targets.ndim == 1 else targets.shape[1])
        assert regressor.score(x, targets) > 0.7
        assert "accuracy" not in regressor.history_


def test_rows_and_images_are_the_same(few):
    x, y = few
    rows = quick().fit(x, y)
    images = quick(image_shape=None).fit(x.reshape(-1, 8, 8), y)
    channels = quick(image_shape=(8, 8, 1)).fit(x.reshape(-1, 8, 8, 1), y)
    expected = rows.predict_proba(x)
    for other in (images, channels):
        for same in (x, x.reshape(-1, 8, 8), x.reshape(-1, 8, 8, 1), x.reshape(-1, 8, 8).tolist()):
            np.testing.assert_array_equal(other.predict_proba(same), expected)
        assert other.n_features_in_ == 64


def test_rows_without_a_shape_are_images_of_one_row(few):
    x, y = few
    layers = [Conv2D(4, (1, 3), activation="relu"), Flatten(), Dense(10, True, "softmax")]
    classifier = CNNClassifier(layers, epochs=1).fit(x, y)
    assert classifier.image_shape_ == (1, 64, 1)
    assert classifier.network_.layers[0].out_shape == (1, 62, 4)
    assert CNNClassifier(epochs=1).fit(x, y).image_shape_ == (1, 64, 1)


@pytest.mark.parametrize(
    ("given", "precision", "images", "computed"),
    [
        ("float64", "auto", True, "float32"),
        ("float64", "auto", False, "float64"),
        ("float32", "auto", False, "float32"),
        ("float16", "auto", True, "float32"),
        ("uint8", "auto", False, "float32"),
        ("float64", "float32", False, "float32"),
        ("float64", "float64", True, "float64"),
        ("uint8", "float64", True, "float64"),
    ],
)
def test_images_are_computed_in_float32_unless_told_otherwise(few, given, precision, images, computed):
    x, y = few
    x = (x * 16).astype(given)
    x = x.reshape(len(x), 8, 8) if images else x.reshape(len(x), -1)
    for kind in (CNNClassifier, CNNRegressor):
        estimator = kind(epochs=1, precision=precision).fit(x, y)
        assert estimator.network_.precision == computed
        outputs = estimator.predict_proba(x) if kind is CNNClassifier else estimator.predict(x)
        assert outputs.dtype == computed


def test_rows_that_image_shape_calls_images_are_images(few):
    x, y = few
    rows = x.reshape(len(x), -1).astype(np.float64)
    assert CNNClassifier(image_shape=(8, 8), epochs=1).fit(rows, y).network_.precision == "float32"


def test_an_unknown_precision_is_refused(few):
    with pytest.raises(ValueError, match="CNNClassifier: expected precision to be"):
        CNNClassifier(precision="float16").fit(*few)


def test_columns_keep_their_names(few):
    pandas = pytest.importorskip("pandas")
    x, y = few
    frame = pandas.DataFrame(x, columns=[f"pixel {number}" for number in range(64)])
    classifier = quick().fit(frame, y)
    assert classifier.feature_names_in_.tolist() == frame.columns.tolist()
    with pytest.raises(ValueError, match="feature names should match"):
        classifier.predict(frame[frame.columns[::-1]])


# ------------------------------------------------------------------------------------------------------ models


@pytest.mark.parametrize(
    ("shape", "kinds"),
    [
        ((8, 8), "Conv2D MaxPooling2D Conv2D MaxPooling2D Flatten Dense Dense"),
        ((5, 9, 3), "Conv2D MaxPooling2D Flatten Dense Dense"),
        ((3, 40), "Flatten Dense Dense"),
    ],
)
def test_the_automatic_network_fits_the_images(rng, shape, kinds):
    x = rng.random((12, *shape))
    network = CNNClassifier(epochs=1).fit(x, np.arange(12) % 3).network_
    assert " ".join(type(layer).__name__ for layer in network.layers) == kinds
    assert network.layers[-1].out_shape == (3,)


@pytest.mark.parametrize("name", models.__all__)
def test_models_go_by_their_names(rng, name):
    x = rng.random((4, 32, 32)).astype("float32")
    network = CNNClassifier(name, epochs=1, optimizer="sgd").fit(x, [0, 1, 2, 1]).network_
    assert repr(network) == repr(getattr(models, name)(3))


def test_a_model_for_quantities_ends_without_softmax(rng):
    network = CNNRegressor("lenet5", epochs=1).fit(rng.random((4, 28, 28)), [0, 1, 2, 1]).network_
    expected = models.lenet5(1)
    assert [repr(layer) for layer in network.layers[:-1]] == [repr(layer) for layer in expected.layers[:-1]]
    assert repr(network.layers[-1]) == "Dense(output_size=1, add_bias=True)"


def test_a_list_of_layers_is_copied_for_each_fit(few):
    x, y = few
    inside = [Conv2D(4, 3, padding="same"), BatchNormalization()]
    layers = [Conv2D(4, 3, activation="relu"), Residual(inside), MaxPooling2D(), Flatten(), Dropout(0.1)]
    layers += [Dense(10, True, "softmax", kernel_regularizer="l2")]
    before = [repr(layer) for layer in layers]
    classifier = quick(model=layers)
    first = classifier.fit(x, y).network_
    second = clone(classifier).fit(x, y).network_
    assert [repr(layer) for layer in layers] == before == [repr(layer) for layer in first.layers]
    assert all(not layer.parameters and "." not in layer.label for layer in layers)
    assert not {id(layer) for layer in first.layers} & {id(layer) for layer in (*layers, *second.layers)}
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_layers_bring_along_what_they_measured(few):
    x, y = few
    measured = Normalization().adapt(x.reshape(-1, 8, 8))
    network = quick(model=[measured, *small(10, "softmax")]).fit(x, y).network_
    assert network.layers[0].mean.constant == pytest.approx(x.mean())
    assert network.layers[0].variance.constant == pytest.approx(x.var())


def test_a_function_makes_layers_or_a_network(few):
    x, y = few
    asked = []

    def layers(shape, outputs):
        asked.append((shape, outputs))
        return small(outputs, "softmax")

    def network(shape, outputs):
        return GWUNetwork(small(outputs, "softmax"), fuse=False, winograd=False)

    first, second = (quick(model=model, precision="float64").fit(x, y) for model in (layers, network))
    assert asked == [((8, 8, 1), 10)]
    assert (second.network_.fuse, second.network_.precision) == (False, "float64")
    np.testing.assert_allclose(first.predict_proba(x), second.predict_proba(x), rtol=1e-9)


def test_the_weights_of_a_trained_network_are_where_training_begins(few):
    x, y = few
    trained = GWUNetwork(small(10, "softmax"), precision="float64", seed=3)
    trained.build((8, 8))
    weights = trained.get_weights()
    classifier = quick(model=lambda shape, outputs: trained, optimizer="sgd", lr=1e-12, precision="float64").fit(x, y)
    for mine, theirs in zip(classifier.network_.get_weights(), weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-9)
    for before, after in zip(weights, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def channels_first(shape, outputs):
    return GWUNetwork(small(outputs, "softmax"), data_format="channels_first")


def test_channels_may_come_first(rng):
    x = rng.random((20, 3, 8, 6))
    y = np.arange(20) % 4
    classifier = CNNClassifier(channels_first, epochs=1, random_state=0).fit(x, y)
    assert classifier.network_.layers[0].in_shape == (8, 6, 3)
    again = pickle.loads(pickle.dumps(classifier))
    rows = CNNClassifier(channels_first, image_shape=(3, 8, 6), epochs=1, random_state=0)
    rows.fit(x.reshape(20, -1), y)
    for same in (again, rows):
        np.testing.assert_array_equal(same.predict_proba(x), classifier.predict_proba(x))


def test_one_output_tells_two_classes_apart(few):
    x, y = few[0], few[1] % 2 == 1
    classifier = quick(model=small(1, "sigmoid"), epochs=40, lr=0.01).fit(x, y)
    probabilities = classifier.predict_proba(x)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert classifier.score(x, y) > 0.8
    assert ((probabilities[:, 1] > 0.5) == classifier.predict(x)).all()


# ---------------------------------------------------------------------------------------------------- training


def test_partial_fit_is_an_epoch_from_where_training_stands(few):
    x, y = few
    whole = quick(epochs=3).fit(x, y)
    parts = quick()
    for _ in range(3):
        parts.partial_fit(x, y, classes=range(10))
    np.testing.assert_array_equal(parts.predict_proba(x), whole.predict_proba(x))
    assert parts.history_["loss"] == whole.history_["loss"] and parts.n_iter_ == 3
    regressor = CNNRegressor(random_state=0, epochs=3)
    whole = regressor.fit(x, y).predict(x)
    parts = clone(regressor).partial_fit(x, y).partial_fit(x, y).partial_fit(x, y)
    np.testing.assert_array_equal(parts.predict(x), whole)


def test_partial_fit_knows_classes_that_come_later(few):
    x, y = few
    classifier = quick().partial_fit(x[:3], y[:3], classes=np.arange(10))
    assert classifier.predict_proba(x).shape == (100, 10)
    classifier.partial_fit(x, y)
    with pytest.raises(ValueError, match=r"expected y of the classes \[0, 1, .*\], got 17"):
        classifier.partial_fit(x, y + 17)
    assert classifier.fit(x, y + 17).classes_.tolist() == list(range(17, 27))


def test_warm_start_goes_on(few):
    x, y = few
    whole = quick(epochs=4).fit(x, y)
    warm = quick(epochs=2, warm_start=True).fit(x, y).fit(x, y)
    cold = quick(epochs=2).fit(x, y).fit(x, y)
    np.testing.assert_array_equal(warm.predict_proba(x), whole.predict_proba(x))
    assert (warm.n_iter_, cold.n_iter_) == (4, 2)
    assert not np.array_equal(cold.predict_proba(x), whole.predict_proba(x))
    # Another learning rate is taken up.
    before = warm.predict_proba(x)
    warm.set_params(optimizer="sgd", lr=1e-12).fit(x, y)
    np.testing.assert_allclose(warm.predict_proba(x), before, atol=1e-9)
    with pytest.raises(ValueError, match="64 features"):
        warm.fit(x[:, :32], y)


def test_early_stopping_keeps_the_best_weights(few):
    x, y = few
    classifier = quick(epochs=200, early_stopping=True, validation_fraction=0.2, lr=0.01).fit(x, y)
    losses = classifier.history_["val_loss"]
    assert classifier.n_iter_ == len(losses) < 200
    assert losses.index(min(losses)) == len(losses) - 6  # five more without a better one
    # The samples held out are the same again, and of each class in proportion.
    seed = np.random.RandomState(0)
    seed.randint(2**31 - 1)
    _, held_out = train_test_split(np.arange(100), test_size=0.2, random_state=seed, stratify=y)
    assert classifier.network_.evaluate(x[held_out].reshape(-1, 8, 8), y[held_out]) == pytest.approx(min(losses))
    regressor = CNNRegressor(epochs=200, early_stopping=True, random_state=0, lr=0.01)
    assert regressor.fit(x, y, sample_weight=np.ones(100)).n_iter_ < 200


def test_weights_of_samples_and_of_classes_multiply(few):
    x, y = few[0], few[1] % 3
    weight_of = {0: 1.0, 1: 2.0, 2: 0.5}
    mine = np.linspace(0.1, 2, 100)
    expected = quick().fit(x, y, sample_weight=mine * np.vectorize(weight_of.get)(y)).predict_proba(x)
    both = quick(class_weight=weight_of).fit(x, y, sample_weight=mine)
    np.testing.assert_allclose(both.predict_proba(x), expected)
    share = {label: 100 / (3 * (y == label).sum()) for label in range(3)}
    balanced = quick(class_weight="balanced").fit(x, y).predict_proba(x)
    np.testing.assert_allclose(balanced, quick(class_weight=share).fit(x, y).predict_proba(x))
    assert abs(balanced - quick().fit(x, y).predict_proba(x)).max() > 1e-4
    named = quick(class_weight={"a": 1.0, "b": 2.0, "c": 0.5}).fit(x, np.array(list("abc"))[y])
    np.testing.assert_array_equal(named.predict_proba(x), quick(class_weight=weight_of).fit(x, y).predict_proba(x))


def test_a_seed_repeats_and_none_does_not(few):
    x, y = few
    first, again = (quick(random_state=5).fit(x, y).predict_proba(x) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, quick(random_state=6).fit(x, y).predict_proba(x))
    drawn = [quick(random_state=None).fit(x, y).predict_proba(x) for _ in range(2)]
    assert not np.array_equal(*drawn)


def test_the_batch_is_thirty_two_or_all(digits):
    x, y = digits
    for count, updates in ((20, 1), (32, 1), (33, 2), (100, 4)):
        classifier = quick(epochs=1).fit(x[:count], y[:count])
        assert classifier.network_.optimizer.updates == updates
    assert quick(epochs=1, batch_size=30).fit(x[:100], y[:100]).network_.optimizer.updates == 4


def test_an_optimizer_is_never_the_users(few):
    x, y = few
    optimizer = SGD(lr=ExponentialDecay(0.1, 10, 0.5), momentum=0.9)
    classifiers = [quick(optimizer=optimizer).fit(x, y) for _ in range(2)]
    assert optimizer.updates == 0 and not optimizer.slots
    assert repr(classifiers[0].network_.optimizer) == repr(optimizer)
    np.testing.assert_array_equal(*(classifier.predict_proba(x) for classifier in classifiers))
    assert quick(optimizer=Adam, lr=0.5).fit(x, y).network_.optimizer.lr == 0.5


# ------------------------------------------------------------------------------------- in scikit-learn's company


def regularized(shape, outputs):
    return [
        Flatten(),
        Dense(16, True, "relu"),
        BatchNormalization(),
        Dropout(0.5),
        Dense(outputs, True, "softmax"),
    ]


@pytest.mark.parametrize("model", ["auto", softmax_of, regularized])
@pytest.mark.parametrize("how", ["pickle", "deepcopy", "joblib"])
def test_a_copy_goes_on_as_the_original_would(few, tmp_path, model, how):
    x, y = few
    original = quick(model=model, epochs=3, batch_size=40).fit(x, y)
    if how == "pickle":
        other = pickle.loads(pickle.dumps(original))
    elif how == "deepcopy":
        other = copy.deepcopy(original)
    else:
        joblib.dump(original, tmp_path / "classifier.joblib")
        other = joblib.load(tmp_path / "classifier.joblib")
    np.testing.assert_array_equal(other.predict_proba(x), original.predict_proba(x))
    assert other.network_ is not original.network_ and other.history_ == original.history_
    for classifier in (original, other):
        classifier.set_params(warm_start=True).fit(x, y)
    np.testing.assert_array_equal(other.predict_proba(x), original.predict_proba(x))


def test_estimators_without_a_network_are_pickled_too(few):
    unfitted = pickle.loads(pickle.dumps(quick(model=small(10, "softmax"))))
    assert unfitted.fit(*few).n_iter_ == 2


def test_searches_run_in_processes(few):
    x, y = few
    pipeline = make_pipeline(MinMaxScaler(), CNNClassifier(image_shape=(8, 8), random_state=0))
    grid = {"cnnclassifier__model": ["auto", softmax_of], "cnnclassifier__epochs": [1, 20]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2).fit(x, y)
    assert search.best_params_["cnnclassifier__epochs"] == 20
    alone = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    np.testing.assert_allclose(alone.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_scores_of_a_pipeline(quantities):
    x, y = quantities
    pipeline = make_pipeline(StandardScaler(), CNNRegressor(linear_of, image_shape=(6, 5), epochs=50))
    assert cross_val_score(pipeline, x.reshape(90, -1), y, cv=3).shape == (3,)
    layers = clone(pipeline).set_params(cnnregressor__model=small(2, None), cnnregressor__epochs=1)
    assert cross_val_score(layers, x.reshape(90, -1), y, cv=3, error_score="raise").shape == (3,)


@pytest.mark.skipif("OMP_NUM_THREADS" in os.environ, reason="joblib leaves the user's own setting alone")
def test_workers_share_the_processors():
    """As many workers as processors run one thread each."""
    workers = max(joblib.cpu_count(), 2)
    threads = joblib.Parallel(n_jobs=workers)(joblib.delayed(get_num_threads)() for _ in range(workers))
    assert set(threads) == {1}


def test_scikit_learn_is_imported_with_the_estimators_alone():
    program = (
        "import sys, gwucnn, gwucnn.models\n"
        "assert 'sklearn' not in sys.modules\n"
        "assert gwucnn.sklearn.CNNClassifier().epochs == 20\n"
    )
    subprocess.run([sys.executable, "-P", "-c", program], check=True)
    program = "import sys; sys.modules['sklearn'] = None\nimport gwucnn.sklearn"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True)
    assert "expected scikit-learn, which is not installed; pip install scikit-learn" in done.stderr


# ------------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"model": "lenet"}, ValueError, "CNNClassifier: expected model to be one of 'auto', 'lenet5', .* did you mean 'lenet5'"),
        ({"model": [Dense]}, TypeError, "expected model to be a name, a list of layers, or a function"),
        ({"model": []}, TypeError, "expected model to be a name, a list of layers"),
        ({"model": small(3, "softmax")}, ShapeError, r"an output for each of the 10 classes, got outputs of shape \(3,\); end"),
        ({"model": small(10, None)}, ValueError, "cross_entropy: expected"),
        ({"image_shape": 8}, ValueError, r"expected image_shape to be \(H, W\) or \(H, W, C\), got 8"),
        ({"image_shape": (8, 0)}, ValueError, "expected image_shape to be an integer of at least 1, got 0"),
        ({"image_shape": (8, 9)}, ShapeError, r"expected 72 features, image_shape=\(8, 9\), got 64 features"),
        ({"epochs": 0}, ValueError, "CNNClassifier: expected epochs to be an integer of at least 1, got 0"),
        ({"batch_size": 0}, ValueError, "expected batch_size to be an integer of at least 1, got 0"),
        ({"optimizer": "adm"}, ValueError, "did you mean 'adam'"),
        ({"lr": -1}, ValueError, "expected lr"),
        ({"lr": 1.0, "optimizer": SGD()}, ValueError, "expected lr inside the optimizer"),
        ({"early_stopping": 3}, ValueError, "expected early_stopping to be True or False, got 3"),
        ({"warm_start": "yes"}, ValueError, "expected warm_start to be True or False"),
        ({"verbose": 9}, ValueError, "expected verbose"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit(few, options, error, message):
    classifier = quick(**options)
    with pytest.raises(error, match=message):
        classifier.fit(*few)


def test_data_that_do_not_fit(few):
    x, y = few
    with pytest.raises(NotFittedError):
        quick().predict(x)
    with pytest.raises(NotFittedError):
        CNNRegressor().predict(x)
    with pytest.raises(ValueError, match="at least two classes, got one class"):
        quick().fit(x, np.zeros(100))
    with pytest.raises(ShapeError, match=r"expected 64 features, image_shape=\(8, 8\), got images \(4, 16\)"):
        quick().fit(x.reshape(-1, 4, 16), y)
    classifier = quick().fit(x, y)
    with pytest.raises(ShapeError, match=r"expected images \(8, 8, 1\), as in fit, got \(4, 16\)"):
        classifier.predict(x.reshape(-1, 4, 16))
    with pytest.raises(ValueError, match="has 32 features, but CNNClassifier is expecting 64"):
        classifier.predict(x[:, :32])
    with pytest.raises(ValueError, match="NaN"):
        classifier.predict(np.full((1, 64), np.nan))
    with pytest.raises(ValueError, match="requires y"):
        classifier.partial_fit(x, None)
    with pytest.raises(ShapeError, match="expected 1 quantities for each sample, as before, got 2"):
        CNNRegressor().partial_fit(x, y).partial_fit(x, np.stack([y, y], axis=1))
    with pytest.raises(ShapeError, match="expected a model with 2 outputs, as many as y has columns"):
        CNNRegressor(small(3, None), image_shape=(8, 8)).fit(x, np.stack([y, y], axis=1))


@pytest.mark.parametrize(
    ("options", "y"),
    [
        ({"batch_size": 0}, None),
        ({"verbose": 9}, None),
        ({"callbacks": [Dense]}, None),
        ({"loss": "mse"}, None),
        ({"early_stopping": True, "validation_fraction": 2.0}, None),
        ({"class_weight": "balanced"}, np.eye(10, dtype=int)[np.arange(100) % 10]),
        ({}, np.zeros(100)),
    ],
)
def test_what_does_not_fit_changes_nothing(few, options, y):
    """An estimator that was trained predicts as before; one that was not is none the wiser."""
    x, labels = few
    y = labels % 3 if y is None else y
    trained, fresh = quick().fit(x, labels), quick()
    before = trained.predict_proba(x)
    for classifier in (trained, fresh):
        attributes = set(vars(classifier.set_params(**options)))
        with pytest.raises((TypeError, ValueError)):
            classifier.fit(x, y)
        assert set(vars(classifier)) == attributes
    np.testing.assert_array_equal(trained.predict_proba(x), before)
    assert trained.classes_.tolist() == list(range(10))


def test_a_first_partial_fit_that_fails_leaves_no_classes(few):
    x, y = few
    for classifier, arguments in (
        (quick(), (y, [17, 18])),
        (quick(batch_size=0), (y, range(10))),
        (quick(lr=-1), (y, range(10))),
    ):
        with pytest.raises(ValueError, match="expected"):
            classifier.partial_fit(x, *arguments)
        assert not hasattr(classifier, "classes_")
    regressor = CNNRegressor(batch_size=0)
    with pytest.raises(ValueError, match="expected batch_size"):
        regressor.partial_fit(x, y)
    assert not hasattr(regressor, "network_") and not hasattr(regressor, "n_features_in_")


def test_partial_fit_refuses_what_needs_all_samples(few):
    for options, message in (
        ({"early_stopping": True}, "expected early_stopping=False for partial_fit"),
        ({"class_weight": "balanced"}, "expected class_weight to be a dict or None for partial_fit"),
    ):
        with pytest.raises(ValueError, match=message):
            quick(**options).partial_fit(*few, classes=range(10))


def test_a_layer_of_the_users_own_is_made_anew(few):
    class Scaled(Layer):
        def __init__(self, factor):
            self.factor = factor

        def forward(self, x, space):
            return x * self.factor

        def backward(self, dy, space):
            return dy * self.factor

        def config(self):
            return {"factor": self.factor}

    own = Scaled(0.5)
    network = quick(model=[own, *small(10, "softmax")]).fit(*few).network_
    assert network.layers[0] is not own and network.layers[0].factor == 0.5


CHECKS = """
from sklearn.utils.estimator_checks import check_estimator
from gwucnn.sklearn import CNNClassifier, CNNRegressor
for estimator in (CNNClassifier(), CNNRegressor()):
    found = check_estimator(estimator, on_fail=None, on_skip=None)
    bad = [(each["check_name"], str(each["exception"])) for each in found if each["status"] != "passed"]
    bad = [each for each in bad if "does not have a decision_function" not in each[1]]  # nor has MLPClassifier
    print(len(found), bad)
"""


def test_no_check_is_skipped_and_none_expected_to_fail():
    """With pandas and the array API, which scipy wants to be told of before it is imported."""
    pytest.importorskip("pandas")
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", CHECKS],
        env={**os.environ, "SCIPY_ARRAY_API": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    counts = [line.partition(" ") for line in done.stdout.splitlines()]
    assert [bad for _, _, bad in counts] == ["[]", "[]"]
    assert all(int(count) >= 50 for count, _, _ in counts)


def test_every_check_of_scikit_learn_is_there():
    """None is skipped for what the estimators are, and none is expected to fail."""
    names = {check.func.__name__ for _, check in estimator_checks_generator(CNNClassifier())}
    assert {"check_classifiers_train", "check_class_weight_classifiers", "check_estimators_pickle"} <= names
    assert {
        "check_sample_weight_equivalence_on_dense_data",
        "check_estimators_partial_fit_n_features",
    } <= names
    names = {check.func.__name__ for _, check in estimator_checks_generator(CNNRegressor())}
    assert {"check_regressors_train", "check_regressor_multioutput"} <= names
