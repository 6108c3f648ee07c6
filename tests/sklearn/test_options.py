"""Options of gwucnn.sklearn's estimators: callbacks, losses, augmentation, widths, metrics."""

import copy
import csv
import pickle

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.base import clone
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV

from estimator_models import quick, small
from gwucnn import (
    MSE,
    Adam,
    Conv2D,
    CrossEntropy,
    CSVLogger,
    Dense,
    EarlyStopping,
    Flatten,
    GWUNetwork,
    Huber,
    LossFunction,
    ModelCheckpoint,
    RandomCrop,
    RandomErasing,
    RandomFlip,
    RandomTranslation,
    Rescaling,
    ShapeError,
    models,
)
from gwucnn.sklearn import CNNClassifier, CNNRegressor

# -------------------------------------------------------------------------------------------------- callbacks


class Counter:
    """Counts the epochs that it sees, over all runs."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, record):
        self.epochs.append(record["epoch"])
        return len(self.epochs) == 3


def test_each_fit_has_callbacks_of_its_own(few):
    mine = Counter()
    classifier = quick(epochs=9, callbacks=[mine])
    copies = [classifier, clone(classifier), copy.deepcopy(classifier), pickle.loads(pickle.dumps(classifier))]
    for each in (*copies, classifier):
        assert each.fit(*few).n_iter_ == 3  # a counter that had counted before would not stop here
        assert [callback.epochs for callback in each.callbacks_] == [[0, 1, 2]]
    assert mine.epochs == [] and classifier.callbacks == [mine]
    assert len({id(each.callbacks_[0]) for each in copies}) == len(copies)


def test_functions_are_callbacks_too(few):
    seen = []
    classifier = quick(epochs=3, callbacks=(lambda record: seen.append(record["loss"]),)).fit(*few)
    assert seen == classifier.history_["loss"]
    assert quick().fit(*few).callbacks_ == []
    warm = quick(warm_start=True, callbacks=[Counter()]).fit(*few).fit(*few)
    assert warm.callbacks_[0].epochs == [0, 1] and warm.n_iter_ == 4


def test_callbacks_see_the_samples_held_out(few, tmp_path):
    x, y = few
    callbacks = [
        EarlyStopping("val_accuracy", patience=3),
        CSVLogger(tmp_path / "log.csv"),
        ModelCheckpoint(tmp_path / "best.safetensors", save_best_only=True),
    ]
    options = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 50, "lr": 0.01}
    classifier = quick(epochs=40, callbacks=callbacks, **options).fit(x, y)
    stopped, *_ = classifier.callbacks_
    best = classifier.history_["val_accuracy"].index(max(classifier.history_["val_accuracy"]))
    assert stopped.best_epoch == best and classifier.n_iter_ == best + 4 < 40
    with open(tmp_path / "log.csv", newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    assert losses == pytest.approx(classifier.history_["val_loss"])
    saved = GWUNetwork.load(tmp_path / "best.safetensors")
    assert saved.epochs_done == losses.index(min(losses)) + 1
    assert callbacks[0].best is None and not hasattr(callbacks[0], "network")
    again = pickle.loads(pickle.dumps(classifier))
    assert again.callbacks_[0].best_epoch == best
    np.testing.assert_array_equal(again.predict_proba(x), classifier.predict_proba(x))


class AtTheEnd:
    """Keeps the weights that it finds at the end of training."""

    def set_network(self, network):
        self.network = network

    def on_train_end(self):
        self.weights = self.network.get_weights()


def test_callbacks_end_with_the_best_weights(few):
    classifier = quick(epochs=300, early_stopping=True, lr=0.01, callbacks=[AtTheEnd()]).fit(*few)
    for seen, final in zip(classifier.callbacks_[0].weights, classifier.network_.get_weights(), strict=True):
        np.testing.assert_array_equal(seen, final)


def test_how_long_early_stopping_waits(few):
    x, y = few
    for patience in (1, 8):
        classifier = quick(epochs=300, early_stopping=True, n_iter_no_change=patience, lr=0.01).fit(x, y)
        losses = classifier.history_["val_loss"]
        assert classifier.n_iter_ == losses.index(min(losses)) + 1 + patience


def test_callbacks_that_do_not_fit(few):
    for callbacks, error, message in (
        (EarlyStopping(), TypeError, "CNNClassifier: expected a list of callbacks, got EarlyStopping"),
        ([EarlyStopping], TypeError, "expected a callback, got the class EarlyStopping"),
        ([EarlyStopping()], ValueError, "got 'val_loss'; .* or an estimator early_stopping=True"),
    ):
        with pytest.raises(error, match=message):
            quick(callbacks=callbacks).fit(*few)
    with pytest.raises(ValueError, match="CNNClassifier: expected no callbacks for partial_fit"):
        quick(callbacks=[Counter()]).partial_fit(*few, classes=range(10))
    with pytest.raises(ValueError, match="expected n_iter_no_change to be an integer of at least 1, got 0"):
        quick(early_stopping=True, n_iter_no_change=0).fit(*few)


# ----------------------------------------------------------------------------------------------------- losses


def brier(y_true, y_pred):
    error = y_pred - y_true
    return (error**2).sum() / len(error), 2 * error / len(error)


class OwnBrier(LossFunction):
    def loss(self, y_true, y_pred):
        return brier(y_true, y_pred)[0]

    def loss_partial_derivative(self, y_true, y_pred):
        return brier(y_true, y_pred)[1]


@pytest.mark.parametrize("loss", [brier, OwnBrier, OwnBrier()])
def test_a_loss_of_ones_own(few, loss):
    """The loss of the first epoch is that of the initial network: all of 10 classes are equally probable."""
    x, y = few
    classifier = quick(loss=loss, batch_size=100, epochs=1).fit(x, y)
    assert classifier.history_["loss"] == [pytest.approx(9 * 0.1**2 + 0.9**2)]
    assert quick(loss=loss, epochs=40).fit(x, y).score(x, y) > 0.9
    assert clone(classifier).fit(x, y).history_["loss"] == classifier.history_["loss"]


class Counting(OwnBrier):
    def __init__(self):
        self.calls = 0

    def loss(self, y_true, y_pred):
        self.calls += 1
        return super().loss(y_true, y_pred)


def test_a_loss_with_a_state_is_copied(few):
    loss = Counting()
    quick(loss=loss).fit(*few)
    assert loss.calls == 0


def test_smoothed_labels_are_less_certain(few):
    x, y = few
    sure, unsure = (
        quick(loss=loss, epochs=60).fit(x, y) for loss in ("cross_entropy", CrossEntropy(label_smoothing=0.5))
    )
    np.testing.assert_array_equal(sure.predict_proba(x), quick(epochs=60).fit(x, y).predict_proba(x))
    # The best that can be said of a label smoothed by 0.5 is 0.5 + 0.5 / 10.
    assert np.median(sure.predict_proba(x).max(axis=1)) > 0.9
    assert np.median(unsure.predict_proba(x).max(axis=1)) == pytest.approx(0.55, abs=0.05)
    grid = GridSearchCV(quick(epochs=5), {"loss": ["cross_entropy", CrossEntropy(label_smoothing=0.1)]}, cv=2).fit(x, y)
    assert len(set(grid.cv_results_["rank_test_score"])) <= 2 and grid.best_score_ > 0.3


@pytest.mark.parametrize("loss", ["log_loss", "binary_crossentropy"])
@pytest.mark.parametrize("model", ["auto", "lenet5"])
def test_a_loss_for_one_output_gets_one(rng, loss, model):
    x, y = rng.random((40, 28, 28)), np.array(["no", "yes"])[np.arange(40) % 2]
    x[y == "yes", :14] += 1
    classifier = CNNClassifier(model, loss=loss, random_state=0).fit(x, y)
    assert repr(classifier.network_.layers[-1]).startswith("Dense(output_size=1, activation='sigmoid'")
    probabilities = classifier.predict_proba(x)
    assert classifier.score(x, y) > 0.9 and probabilities.shape == (40, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_losses_of_a_regressor(rng):
    """The minimum of the absolute error is the median, that of the squared error the mean."""
    x, y = np.ones((30, 1)), np.array([0.0] * 20 + [3.0] * 10)
    options = {
        "model": [Flatten(), Dense(1, True, kernel_initializer="zeros")],
        "epochs": 300,
        "optimizer": Adam(0.01),
        "batch_size": 30,
    }
    for loss, value in ((None, 1.0), ("mse", 1.0), (MSE, 1.0), ("mae", 0.0), (Huber(0.1), 0.05)):
        found = CNNRegressor(loss=loss, random_state=0, **options).fit(x, y).predict(x[:1])
        assert found == pytest.approx(value, abs=0.03), loss


@pytest.mark.parametrize(
    ("estimator", "loss", "message"),
    [
        (CNNClassifier, "mse", "CNNClassifier: expected a loss for 3 classes, such as 'cross_entropy', got 'mse'"),
        (CNNClassifier, "log_loss", "expected a loss for 3 classes, such as 'cross_entropy', got 'log_loss'"),
        (CNNClassifier, "cross_entropie", "expected loss to be one of .* did you mean 'cross_entropy'"),
        (
            CNNRegressor,
            "cross_entropy",
            "CNNRegressor: expected a loss of quantities, such as 'mse' or 'huber', got 'cross_",
        ),
        (CNNRegressor, "log_loss", "expected a loss of quantities"),
    ],
)
def test_losses_that_do_not_fit(few, estimator, loss, message):
    with pytest.raises(ValueError, match=message):
        estimator(loss=loss).fit(few[0], few[1] % 3)


def test_two_sigmoids_are_not_two_classes(few):
    x, y = few[0], few[1] % 2
    with pytest.raises(ShapeError, match=r"expected a model with one output, .* Dense\(1, activation='sigmoid'\)"):
        quick(model=small(2, "sigmoid"), loss="log_loss").fit(x, y)
    with pytest.raises(ValueError, match="cross_entropy: expected"):
        quick(model=small(1, "sigmoid"), loss="cross_entropy").fit(x, y)


def test_metrics_are_in_the_history(few):
    classifier = quick(metrics=["f1", "top_3_accuracy"], early_stopping=True).fit(*few)
    assert {"f1", "top_3_accuracy", "val_f1"} <= set(classifier.history_)
    assert "accuracy" not in classifier.history_
    with pytest.raises(ValueError, match="did you mean 'precision'"):
        quick(metrics=["precisoin"]).fit(*few)


def test_training_goes_on_with_a_loss_of_ones_own(few):
    """Also in a copy, whose optimizer must not start anew; a change of loss is noticed."""
    x, y = few
    whole = quick(loss=brier, metrics=(), epochs=4).fit(x, y)
    warm = quick(loss=brier, metrics=(), warm_start=True).fit(x, y)
    other = pickle.loads(pickle.dumps(warm))
    for each in (warm, other):
        np.testing.assert_array_equal(each.fit(x, y).predict_proba(x), whole.predict_proba(x))
    other.set_params(loss=None).fit(x, y)
    expected = log_loss(y, other.predict_proba(x))
    assert other.network_.evaluate(x.reshape(-1, 8, 8), y) == pytest.approx(expected, rel=1e-6)


def test_the_history_has_a_number_for_each_epoch(few):
    """Also if a later call of fit records others: NaN, as in History."""
    classifier = quick(epochs=2, warm_start=True).fit(*few)
    classifier.set_params(early_stopping=True, metrics=["f1"], epochs=1).fit(*few)
    history = classifier.history_
    assert {len(values) for values in history.values()} == {3}
    for name, missing in (
        ("accuracy", [False, False, True]),
        ("f1", [True, True, False]),
        ("val_loss", [True, True, False]),
    ):
        assert np.isnan(history[name]).tolist() == missing
    assert not np.isnan(history["loss"]).any()


@pytest.mark.parametrize(
    "change",
    [{"width": 8}, {"model": "vgg_small"}, {"augmentation": [RandomFlip()]}, {"image_shape": (4, 16)}],
)
def test_training_does_not_go_on_in_another_network(few, change):
    (name,) = change
    classifier = quick(warm_start=True).fit(*few)
    before = classifier.predict_proba(few[0])
    message = f"CNNClassifier: expected {name}=.*, as when training began, got .*; call fit with warm_start=False"
    for train in (classifier.fit, classifier.partial_fit):
        with pytest.raises(ValueError, match=message):
            classifier.set_params(**change) and train(*few)
    np.testing.assert_array_equal(classifier.set_params(image_shape=(8, 8)).predict_proba(few[0]), before)
    if name == "augmentation":
        pickle.loads(pickle.dumps(quick(warm_start=True, **change).fit(*few))).fit(*few)


@pytest.mark.parametrize("fraction", [0, 1.5, 100, "0.1", True, float("nan")])
def test_fractions_that_do_not_fit(few, fraction):
    with pytest.raises(ValueError, match="CNNClassifier: expected validation_fraction between 0 and 1, or a number"):
        quick(early_stopping=True, validation_fraction=fraction).fit(*few)


# ----------------------------------------------------------------------------------------------- augmentation


def test_augmentation_comes_first_in_training_alone(few):
    x, y = few
    layers = [RandomTranslation(0.1, 0.1), RandomErasing(0.5)]
    before = [repr(layer) for layer in layers]
    classifier = quick(augmentation=layers).fit(x, y)
    again = clone(classifier).fit(x, y)
    network = classifier.network_
    assert [repr(layer) for layer in network.layers[:2]] == before == [repr(layer) for layer in layers]
    assert not {id(layer) for layer in network.layers[:2]} & {
        id(each) for each in (*layers, *again.network_.layers[:2])
    }
    np.testing.assert_array_equal(classifier.predict_proba(x), again.predict_proba(x))
    assert not np.array_equal(classifier.predict_proba(x), quick().fit(x, y).predict_proba(x))
    # Predictions are those of the layers behind the augmentation.
    behind = GWUNetwork([type(layer)(**layer.config()) for layer in network.layers[2:]], precision=network.precision)
    behind.build((8, 8, 1))
    behind.set_weights(network.get_weights())
    np.testing.assert_array_equal(behind.predict(x.reshape(-1, 8, 8)), classifier.predict_proba(x))


@pytest.mark.parametrize("model", ["auto", "lenet5", "list", "function"])
def test_augmentation_of_any_model(rng, model):
    x, y = rng.random((20, 28, 28)), np.arange(20) % 3
    trained = GWUNetwork(small(3, "softmax"))
    trained.build((28, 28))
    model = {"list": small(3, "softmax"), "function": lambda shape, outputs: trained}.get(model, model)
    classifier = CNNClassifier(model, augmentation=[RandomFlip()], epochs=1, lr=1e-30, random_state=0).fit(x, y)
    assert type(classifier.network_.layers[0]) is RandomFlip
    if callable(model):
        for mine, theirs in zip(classifier.network_.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-12)


def test_the_automatic_network_fits_what_a_random_crop_leaves(rng):
    x = rng.random((12, 9, 9))
    network = CNNClassifier(augmentation=[RandomCrop(3, 3)], epochs=1).fit(x, np.arange(12) % 3).network_
    assert [type(layer).__name__ for layer in network.layers] == ["RandomCrop", "Flatten", "Dense", "Dense"]


def test_a_regressor_augments_too(rng):
    x, y = rng.random((30, 8, 8)), rng.random(30)
    regressor = CNNRegressor(augmentation=[RandomFlip()], epochs=1).fit(x, y)
    assert type(regressor.network_.layers[0]) is RandomFlip


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            [Conv2D(3)],
            TypeError,
            "CNNClassifier: expected augmentation to be a list of augmentation layers, got .*Conv2D",
        ),
        ([Rescaling(2.0)], TypeError, "put other layers into model"),
        (RandomFlip(), TypeError, r"got RandomFlip\(.*write augmentation=\[RandomTranslation"),
        ([RandomFlip], TypeError, "expected augmentation to be a list"),
    ],
)
def test_augmentation_that_does_not_fit(few, given, error, message):
    with pytest.raises(error, match=message):
        quick(augmentation=given).fit(*few)


def test_rows_are_no_images_to_augment(few):
    with pytest.raises(
        ShapeError, match=r"expected images for augmentation, got rows of 64 features; state image_shape"
    ):
        CNNClassifier(augmentation=[RandomFlip()]).fit(*few)


# ----------------------------------------------------------------------------------------------------- widths


def test_width_of_named_models(rng):
    x, y = rng.random((6, 16, 16, 3)).astype("float32"), np.arange(6) % 3
    for name in ("vgg_small", "resnet18_small"):
        network = CNNClassifier(name, width=4, epochs=1).fit(x, y).network_
        assert repr(network) == repr(getattr(models, name)(3, width=4))
    network = CNNRegressor("vgg_small", width=np.int64(4), epochs=1).fit(x, y).network_
    assert network.layers[0].filters == 4 and network.layers[-1].out_shape == (1,)


def test_width_of_the_automatic_network(few):
    x, y = few
    for width, sizes in ((None, [32, 64, 256]), (32, [32, 64, 256]), (5, [5, 10, 40])):
        network = quick(width=width, epochs=1).fit(x, y).network_
        assert [layer.out_shape[-1] for layer in network.layers if layer.parameters] == [*sizes, 10]
    for width, units in ((None, 512), (5, 80)):
        network = CNNClassifier(width=width, epochs=1).fit(x, y).network_
        assert [layer.out_shape[-1] for layer in network.layers] == [units, 10]


@pytest.mark.parametrize(
    ("model", "width", "message"),
    [
        (
            "lenet5",
            8,
            "CNNClassifier: expected width with a model that has one, 'auto', .*'vgg_small'.* got width=8 with 'lenet5'",
        ),
        ("mobilenet_small", 8, "got width=8 with 'mobilenet_small'; leave it out"),
        (small(10, "softmax"), 8, "expected width with a model given by name only, got width=8 with other layers"),
        ("vgg_small", 0, "CNNClassifier: expected width to be an integer of at least 1, got 0"),
        ("auto", "wide", "expected width to be an integer of at least 1, got 'wide'"),
    ],
)
def test_widths_that_do_not_fit(few, model, width, message):
    with pytest.raises(ValueError, match=message):
        quick(model=model, width=width).fit(*few)


# --------------------------------------------------------------------------------------------------- searches


def test_a_search_over_widths_and_batches(few):
    x, y = few
    grid = {"width": [2, 8], "batch_size": [5, 50]}
    # A callback of the package: workers cannot import this file. No loss falls by 10, so that it stops after 3 epochs.
    stops = EarlyStopping("loss", patience=2, min_delta=10)
    base = quick(model="vgg_small", augmentation=[RandomTranslation(0.05, 0.05)], callbacks=[stops], epochs=4)
    search = GridSearchCV(base, grid, cv=2, n_jobs=2).fit(x, y)
    assert len(search.cv_results_["params"]) == 4 and not np.isnan(search.cv_results_["mean_test_score"]).any()
    best = search.best_estimator_
    assert best.network_.layers[1].filters == search.best_params_["width"] == best.width
    assert best.n_iter_ == 3 and stops.best is None
    alone = GridSearchCV(base, grid, cv=2).fit(x, y)
    np.testing.assert_allclose(alone.cv_results_["mean_test_score"], search.cv_results_["mean_test_score"])


def test_options_are_read_and_set():
    options = {
        "width": 3,
        "loss": CrossEntropy(label_smoothing=0.1),
        "augmentation": [RandomFlip()],
        "callbacks": [EarlyStopping()],
        "metrics": ["f1"],
        "n_iter_no_change": 2,
    }
    for kind in (CNNClassifier, CNNRegressor):
        for estimator in (kind(**options), kind().set_params(**options)):
            assert {name: estimator.get_params()[name] for name in options} == options
            assert clone(estimator).get_params().keys() == estimator.get_params().keys()
            assert repr(clone(estimator).loss) == repr(options["loss"])
