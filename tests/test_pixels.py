"""Classes of pixels: outputs (N, H, W, C) with labels (N, H, W) or one-hot images, as for segmentation."""

import numpy as np
import pytest

from gradcheck import assert_gradient, numerical_gradient
from gwucnn import (
    BinaryCrossentropy,
    Concatenate,
    Conv2D,
    Conv2DTranspose,
    CrossEntropy,
    GWUNetwork,
    MaxPooling2D,
    Residual,
    SigmoidActivation,
    SoftmaxActivation,
    UpSampling2D,
    accuracy,
    auc,
    confusion_matrix,
    f1,
    precision,
    recall,
    top_k_accuracy,
)
from gwucnn.common.errors import ShapeError
from gwucnn.engine import LossHead
from gwucnn.loss_functions import loss_function
from gwucnn.memory import Space

SHAPE = (3, 4, 5, 3)  # N, H, W, C
PAIRS = [(CrossEntropy, SoftmaxActivation), (BinaryCrossentropy, SigmoidActivation)]
every_loss = pytest.mark.parametrize(("loss", "activation"), PAIRS, ids=["softmax", "sigmoid"])
ENDS = {"cross_entropy": "softmax", "binary_crossentropy": "sigmoid"}
every_name = pytest.mark.parametrize("loss", ENDS)


def one_hot(labels, C=3):
    return np.eye(C)[labels]


def targets(loss, rng, shape=SHAPE):
    if loss is BinaryCrossentropy:
        return rng.integers(0, 2, shape).astype(float)
    return one_hot(rng.integers(0, shape[-1], shape[:-1]), shape[-1])


def run_head(loss, activation, z, t, share=None, dtype="float64"):
    """Return (loss, gradient by z, outputs) of a head."""
    share = np.full(len(z), 1 / max(len(z), 1)) if share is None else share
    space = Space(dtype, training=True)
    value, gradient, outputs = LossHead(activation, loss).loss(
        z.astype(dtype), t.astype(dtype), share.astype(dtype), space
    )
    return value, np.array(gradient), np.array(outputs)


# -------------------------------------------------------------------------------------------------- the losses


@every_loss
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_that_of_the_pixels_in_one_row(loss, activation, smoothing, isa, rng):
    z, t, made = rng.standard_normal(SHAPE), targets(loss, rng), loss(label_smoothing=smoothing)
    value, gradient, p = run_head(made, activation, z, t)
    rows = [a.reshape(-1, 3) for a in (z, t)]
    want, want_gradient, want_p = run_head(made, activation, *rows)
    assert value == pytest.approx(want, rel=1e-12)
    np.testing.assert_allclose(gradient.reshape(-1, 3), want_gradient, rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(p.reshape(-1, 3), want_p, rtol=1e-12)
    assert made.loss(t, p) == pytest.approx(want, rel=1e-10)
    slopes = made.loss_partial_derivative(t, p)
    np.testing.assert_allclose(
        slopes.reshape(-1, 3), made.loss_partial_derivative(rows[1], p.reshape(-1, 3)), rtol=1e-10
    )


@every_loss
def test_gradients_are_central_differences(loss, activation, rng):
    z, t, share = rng.standard_normal(SHAPE), targets(loss, rng), np.array([0.2, 0.0, 0.8])
    for shares in (None, share):
        gradient = run_head(loss(), activation, z, t, shares)[1]
        assert_gradient(gradient, lambda s=shares: run_head(loss(), activation, z, t, s)[0], z)
    assert not gradient[1].any(), "an image without weight has no gradient"


@every_loss
def test_the_methods_are_their_own_derivatives(loss, activation, rng):
    t, p = targets(loss, rng), rng.uniform(0.1, 0.9, SHAPE)
    assert_gradient(loss.loss_partial_derivative(t, p), lambda: loss.loss(t, p), p)


def test_the_method_takes_labels_of_pixels(rng):
    p, labels = rng.dirichlet(np.ones(3), SHAPE[:-1]), rng.integers(0, 3, SHAPE[:-1])
    for y in (labels, labels[..., None], labels.astype(np.uint8)):
        assert CrossEntropy.loss(y, p) == CrossEntropy.loss(one_hot(labels), p)


@every_loss
def test_heads_in_float32_differ_by_rounding_only(loss, activation, isa, rng):
    z, t = rng.standard_normal((2, 9, 7, 5)), targets(loss, rng, (2, 9, 7, 5))
    want, want_gradient, _ = run_head(loss(), activation, z, t)
    value, gradient, _ = run_head(loss(), activation, z, t, dtype="float32")
    assert value == pytest.approx(want, rel=1e-6)
    np.testing.assert_allclose(gradient, want_gradient, rtol=0, atol=1e-6 * abs(want_gradient).max())


@every_loss
def test_no_images(loss, activation):
    value, gradient, p = run_head(loss(), activation, np.zeros((0, 4, 5, 3)), np.zeros((0, 4, 5, 3)))
    assert value == 0 and gradient.shape == p.shape == (0, 4, 5, 3)


# --------------------------------------------------------------------------------------------------- the targets


@pytest.mark.parametrize("kind", [np.uint8, np.int64, float, bool])
def test_labels_of_pixels(kind, rng):
    labels = rng.integers(0, 2, (6, 4, 5)).astype(kind)
    for name in ENDS:
        made = loss_function(name).targets(labels, (4, 5, 3))
        np.testing.assert_array_equal(made, labels)
        np.testing.assert_array_equal(loss_function(name).targets(labels[..., None], (4, 5, 3)), labels)
        assert made.dtype.kind in "iu"
    assert loss_function("cross_entropy").targets(np.uint8(labels), (4, 5, 3)).dtype == np.uint8, "it takes less memory"
    assert loss_function("binary_crossentropy").targets(labels, (4, 5, 1)).shape == (6, 4, 5, 1)


BAD_TARGETS = [
    ("cross_entropy", np.zeros(2), "cross_entropy: expected y of shape (N, 4, 5), a class for each pixel of the outputs "
     "(4, 5, 3), got (2,); for one class an image add Flatten() and Dense(classes, activation='softmax')"),
    ("cross_entropy", np.arange(40).reshape(2, 4, 5) % 4, "cross_entropy: expected labels from 0 to 2 for 3 outputs, got 3; give the "
     "last layer as many outputs as there are classes"),
    ("cross_entropy", np.full((2, 4, 5), 0.5), "cross_entropy: expected integer labels, got 0.5, 0.5, 0.5; round them, "
     "or for quantities use a loss such as 'mse'"),
    ("cross_entropy", np.ones((2, 4, 5, 3)), "cross_entropy: expected rows of y that are one-hot or sum to 1, got [1.0, "
     "1.0, 1.0]; use to_categorical(labels)"),
    ("cross_entropy", np.zeros((2, 5, 4)), "cross_entropy: expected y of shape (N, 4, 5, 3), got (2, 5, 4); the last "
     "layer makes 60 numbers a sample, y must have as many"),
    ("binary_crossentropy", np.full((2, 4, 5, 3), 2), "binary_crossentropy: expected y from 0 to 1, got values from 2 to "
     "2; for more than two classes use one softmax output for each and loss='cross_entropy'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "y", "message"), BAD_TARGETS)
def test_targets_that_do_not_fit(name, y, message):
    with pytest.raises(ValueError) as caught:
        loss_function(name).targets(y, (4, 5, 3))
    assert str(caught.value) == message


# --------------------------------------------------------------------------------------------------- in networks


def segmenter(loss, C=3, metrics=("accuracy",), **options):
    network = GWUNetwork(
        [Conv2D(4, activation="relu", padding="same"), Conv2D(C, 1, activation=ENDS[loss])],
        **{"seed": 0, "precision": "float64"} | options,
    )
    network.compile(loss, lr=0.5, metrics=metrics)
    return network


def pictures(rng, N=12):
    """Return images (N, 6, 5), and the class of each pixel by its brightness."""
    x = rng.random((N, 6, 5))
    return x, (x > 0.3).astype(np.int64) + (x > 0.7)


@every_name
@pytest.mark.parametrize("batch", [1, 5, 12])
def test_labels_and_one_hot_images_train_alike(loss, batch, rng):
    x, labels = pictures(rng)
    histories = []
    for y in (labels, np.uint8(labels), one_hot(labels), labels[..., None]):
        network = segmenter(loss)
        history = network.fit(x, y, epochs=3, batch_size=batch, validation_data=(x, y)).history
        histories.append((history, [w.tobytes() for w in network.get_weights()]))
    assert all(other == histories[0] for other in histories[1:])
    assert histories[0][0]["loss"][2] < histories[0][0]["loss"][0]


@every_name
def test_channels_first(loss, rng):
    x, labels = pictures(rng)
    last, first = segmenter(loss), segmenter(loss, data_format="channels_first")
    want = last.fit(x, labels, epochs=2, batch_size=5).history
    for y in (labels, one_hot(labels).transpose(0, 3, 1, 2)):
        first = segmenter(loss, data_format="channels_first")
        assert first.fit(x, y, epochs=2, batch_size=5).history == want
    assert first.predict(x).shape == (12, 3, 6, 5)
    with pytest.raises(
        ShapeError, match=rf"^{loss}: expected y of shape \(N, 3, 6, 5\), got \(12, 6, 5, 3\); the last"
    ):
        first.fit(x, one_hot(labels))


METRICS = {"accuracy": accuracy, "precision": precision, "recall": recall, "f1": f1, "auc": auc}


@every_name
def test_metrics_count_pixels_and_weights_count_images(loss, rng):
    x, labels = pictures(rng)
    network, counts = segmenter(loss, metrics=list(METRICS)), np.arange(12) % 3
    record = network.evaluate(x, labels, 5, sample_weight=counts, return_dict=True)
    again, y = network.predict(x).reshape(-1, 3), one_hot(labels).reshape(-1, 3)
    options = {"multi_label": loss == "binary_crossentropy", "sample_weight": np.repeat(counts, 30)}
    for name, function in METRICS.items():
        assert record[name] == pytest.approx(function(y, again, **options), rel=1e-10)
    there = np.repeat(np.arange(12), counts)
    assert record == pytest.approx(network.evaluate(x[there], labels[there], return_dict=True), rel=1e-10)
    twin = segmenter(loss, metrics=list(METRICS))
    network.fit(x, labels, batch_size=12, sample_weight=counts)
    twin.fit(x[there], labels[there], batch_size=len(there))
    np.testing.assert_allclose(network.predict(x), twin.predict(x), rtol=1e-10)


@pytest.mark.parametrize("metric", [*METRICS.values(), confusion_matrix, top_k_accuracy], ids=lambda f: f.__name__)
@pytest.mark.parametrize("weighted", [False, True])
def test_functions_count_pixels(metric, weighted, rng):
    labels, p = rng.integers(0, 3, (4, 5, 6)), rng.dirichlet(np.ones(3), (4, 5, 6))
    weights = rng.random(4) if weighted else None
    rows = p.reshape(-1, 3)
    want = metric(labels.reshape(-1), rows, sample_weight=np.repeat(weights, 30) if weighted else None)
    for y in (labels, labels[..., None], one_hot(labels)):
        np.testing.assert_array_equal(metric(y, p, sample_weight=weights), want)
    name = metric.__name__
    with pytest.raises(ShapeError) as caught:
        metric(labels[:, :4], p)
    assert str(caught.value) == (
        f"{name}: expected y_true for each pixel of y_pred (4, 5, 6, 3), got (4, 4, 6); give labels (4, 5, 6)"
    )
    with pytest.raises(ShapeError, match=rf"^{name}: expected sample_weight of shape \(4,\), got \(5,\)$"):
        metric(labels, p, sample_weight=np.ones(5))


def test_predicted_labels_and_answers_of_pixels(rng):
    labels, p = rng.integers(0, 3, (4, 5, 6)), rng.dirichlet(np.ones(3), (4, 5, 6))
    assert accuracy(labels, p.argmax(axis=-1)) == accuracy(labels, p) == np.mean(labels == p.argmax(axis=-1))
    answers = rng.integers(0, 2, (4, 5, 6, 3))
    assert accuracy(answers, p, multi_label=True) == pytest.approx(np.mean(answers == (p > 0.5)))


def test_one_answer_for_each_pixel(rng):
    x, labels = pictures(rng)
    network = segmenter("binary_crossentropy", 1, metrics=list(METRICS))
    record = network.evaluate(x, labels > 0, return_dict=True)
    p = network.predict(x).reshape(-1)
    for name, function in METRICS.items():
        assert record[name] == pytest.approx(function((labels > 0).reshape(-1), p), rel=1e-10)


def test_streams_and_single_batches(rng):
    x, labels = pictures(rng)
    parts = [(x[:8], labels[:8]), (x[8:], labels[8:])]
    one, two = segmenter("cross_entropy"), segmenter("cross_entropy")
    one.fit(parts, shuffle=False)
    for part in parts:
        two.train_on_batch(*part)
    np.testing.assert_allclose(one.get_weights()[0], two.get_weights()[0], rtol=1e-12)
    assert one.evaluate(parts) == pytest.approx(one.evaluate(x, labels), rel=1e-12)
    assert one.evaluate(x, labels) == pytest.approx(CrossEntropy.loss(labels, one.predict(x)), rel=1e-10)


def test_class_weights_need_one_class_an_image(rng):
    with pytest.raises(ValueError, match="^fit: expected targets with one class per sample for class_weight"):
        segmenter("cross_entropy").fit(*pictures(rng), class_weight={0: 2})


def u_net(C=3, **options):
    """Return a small U-Net: down to half the size, up again, and past it the image as it was."""
    down_and_up = [
        MaxPooling2D(2),
        Conv2D(8, padding="same", activation="relu"),
        Residual([Conv2D(8, padding="same", activation="relu")]),
        Conv2DTranspose(4, 2, strides=2, activation="relu"),
    ]
    around = [MaxPooling2D(2), Conv2D(4, padding="same", activation="relu"), UpSampling2D(2)]
    return GWUNetwork(
        [
            Conv2D(6, padding="same", activation="relu", add_bias=True),
            Concatenate([down_and_up, around, []]),
            Conv2D(6, padding="same", activation="relu", add_bias=True),
            Conv2D(C, 1, activation="softmax", add_bias=True),
        ],
        **{"seed": 0} | options,
    )


def discs(rng, N):
    """Return noisy images (N, 16, 16) of a disc and a bar, and for each pixel whether it is in one of them."""
    i, j = np.mgrid[:16, :16]
    x, y = rng.normal(0, 0.3, (N, 16, 16)), np.zeros((N, 16, 16), np.uint8)
    for n in range(N):
        row, column, radius = rng.uniform(4, 11), rng.uniform(4, 11), rng.uniform(2, 4)
        y[n][(i - row) ** 2 + (j - column) ** 2 < radius**2] = 1
        y[n, :, (k := rng.integers(1, 14)) : k + 2] = 2
    return x + np.choose(y, [0, 1, 1]), y


def test_a_small_u_net_learns(rng):
    x, y = discs(rng, 96)
    x_new, y_new = discs(rng, 32)
    network = u_net()
    network.compile("cross_entropy", optimizer="adam", lr=0.01, metrics=["accuracy", "recall"])
    history = network.fit(x, y, epochs=12, batch_size=8, validation_data=(x_new, y_new)).history
    background = np.mean(y_new == 0)
    assert history["val_accuracy"][-1] > 1 - (1 - background) / 4 and history["val_recall"][-1] > 0.8
    assert history["val_accuracy"][-1] == pytest.approx(np.mean(network.predict(x_new).argmax(axis=-1) == y_new))


def test_weights_of_a_u_net_by_central_differences(rng):
    x, y = discs(rng, 2)
    network = u_net(precision="float64", fuse=False)
    network.compile("cross_entropy", lr=1e-30)
    network.train_on_batch(x, y)
    for number in (0, 1, -2, -1):
        parameter = network.parameters[number]
        part = tuple(slice(0, 2) for _ in parameter.shape)  # some of the filters are enough
        numeric = numerical_gradient(lambda: network.evaluate(x, y), parameter.value[part])
        np.testing.assert_allclose(parameter.grad[part], numeric, rtol=0, atol=1e-7 * abs(parameter.grad).max())


def test_such_a_network_is_saved(rng, tmp_path):
    x, y = pictures(rng)
    network = segmenter("cross_entropy")
    network.fit(x, y, batch_size=4)
    network.save(tmp_path / "net")
    twin = GWUNetwork.load(tmp_path / "net")
    for each in (network, twin):
        each.fit(x, y, epochs=2, batch_size=4, initial_epoch=1)
    np.testing.assert_array_equal(network.predict(x), twin.predict(x))
