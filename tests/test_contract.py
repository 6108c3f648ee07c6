"""The public interface as promised: names, order of arguments, keyword-only arguments, defaults."""

import inspect

import numpy as np
import pytest

import gwucnn
from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, Normalization

NETWORK = """
GWUNetwork(layers=(), *, data_format='channels_last', precision='float32', seed=None, fuse=True)
GWUNetwork.add(self, layer)
GWUNetwork.compile(self, loss, lr=None, optimizer='sgd', *, metrics=('accuracy',), global_clipnorm=None)
GWUNetwork.build(self, input_shape)
GWUNetwork.fit(self, x, y, epochs=1, batch_size=None, *, validation_split=0.0, validation_data=None, shuffle=True,
    callbacks=(), class_weight=None, sample_weight=None, initial_epoch=0, verbose='auto', distributed=None)
GWUNetwork.train_on_batch(self, x, y)
GWUNetwork.evaluate(self, x, y, batch_size=256, *, return_dict=False)
GWUNetwork.predict(self, x, batch_size=256)
GWUNetwork.activations(self, x, layers=None)
GWUNetwork.get_layer(self, name)
GWUNetwork.pop(self)
Layer.get_weights(self)
Layer.set_weights(self, weights)
GWUNetwork.summary(self, print_fn=print)
GWUNetwork.get_weights(self)
GWUNetwork.set_weights(self, weights)
GWUNetwork.count_params(self)
GWUNetwork.save(self, path)
GWUNetwork.load(path)
GWUNetwork.save_weights(self, path)
GWUNetwork.load_weights(self, path)
GWUNetwork.lr_find(self, x, y)
set_random_seed(seed)
set_num_threads(n)
get_num_threads()
show_config()
to_categorical(y, num_classes=None)
"""

LAYERS = """
Conv2D(filters=2, kernel_size=3, strides=1, padding='valid', *, dilation_rate=1, groups=1, activation=None,
    add_bias=False, input_size=None, kernel_initializer='glorot_uniform', bias_initializer='zeros',
    kernel_regularizer=None, trainable=True, name=None)
DepthwiseConv2D(kernel_size=3, strides=1, padding='valid', *, depth_multiplier=1, dilation_rate=1,
    activation=None, add_bias=False, input_size=None, kernel_initializer='glorot_uniform',
    bias_initializer='zeros', kernel_regularizer=None, trainable=True, name=None)
SeparableConv2D(filters, kernel_size, strides=1, padding='valid', *, depth_multiplier=1, dilation_rate=1,
    activation=None, add_bias=False, input_size=None, depthwise_initializer='glorot_uniform',
    pointwise_initializer='glorot_uniform', bias_initializer='zeros', depthwise_regularizer=None,
    pointwise_regularizer=None, trainable=True, name=None)
Conv2DTranspose(filters, kernel_size, strides=1, padding='valid', *, output_padding=None, dilation_rate=1,
    activation=None, add_bias=False, input_size=None, kernel_initializer='glorot_uniform',
    bias_initializer='zeros', kernel_regularizer=None, trainable=True, name=None)
MaxPooling2D(pool_size=2, strides=None, padding='valid', *, input_size=None)
AveragePooling2D(pool_size=2, strides=None, padding='valid', *, input_size=None)
GlobalAveragePooling2D()
GlobalMaxPooling2D()
Dense(output_size, add_bias=False, activation=None, input_size=None, *, kernel_initializer='glorot_uniform',
    bias_initializer='zeros', kernel_regularizer=None, trainable=True, name=None)
Flatten(input_size=None)
Reshape(shape)
ZeroPadding2D(padding=1)
Cropping2D(cropping=0)
UpSampling2D(size=2)
Resizing(height, width, interpolation='bilinear')
Dropout(rate)
SpatialDropout2D(rate)
BatchNormalization(momentum=0.99, epsilon=1e-3)
LayerNormalization(epsilon=1e-3)
GroupNormalization(groups=32, epsilon=1e-3)
PReLU(alpha_initializer='zeros', shared_axes=None)
Activation(activation)
RELU()
Sigmoid()
Softmax()
Tanh()
LeakyReLU(negative_slope=0.3)
ELU(alpha=1.0)
GELU()
SiLU()
Softplus()
ReLU6()
HardSigmoid()
HardSwish()
Mish()
SELU()
Residual(layers, shortcut=None)
Concatenate(branches)
Add()
Subtract()
Multiply()
Average()
Maximum()
Input(shape)
Rescaling(scale, offset=0.0)
Normalization()
Normalization.adapt(self, x)
RandomTranslation(height, width)
RandomRotation(factor)
RandomZoom(factor)
RandomFlip(mode)
RandomCrop(height, width)
RandomErasing(factor=1.0, scale=(0.02, 0.33), ratio=(0.3, 1 / 0.3), fill_value=0.0)
RandomBrightness(factor, value_range=(0, 1))
RandomContrast(factor, value_range=(0, 1))
L1(l1=0.01)
L2(l2=0.01)
L1L2(l1=0.0, l2=0.0)
"""

TRAINING = """
SGD(lr=0.01, momentum=0.0, nesterov=False, weight_decay=0.0)
Adam(lr=0.001, beta_1=.9, beta_2=.999, epsilon=1e-7, weight_decay=0.0)
AdamW(lr=0.001, weight_decay=0.004, beta_1=.9, beta_2=.999, epsilon=1e-7)
RMSprop(lr=0.001, rho=.9, momentum=0.0, epsilon=1e-7, centered=False)
Adagrad(lr=0.001, initial_accumulator_value=0.1, epsilon=1e-7)
ExponentialDecay(initial_learning_rate, decay_steps, decay_rate, staircase=False)
CosineDecay(initial_learning_rate, decay_steps, alpha=0.0, warmup_target=None, warmup_steps=0)
PiecewiseConstant(boundaries, values)
OneCycle(max_learning_rate, total_steps, pct_start=0.3, div_factor=25.0, final_div_factor=1e4)
LogLoss(*, label_smoothing=0.0)
BinaryCrossentropy(*, label_smoothing=0.0)
CrossEntropy(*, label_smoothing=0.0)
Huber(delta=1.0)
accuracy(y_true, y_pred)
top_k_accuracy(y_true, y_pred, k=5)
precision(y_true, y_pred, average='auto')
recall(y_true, y_pred, average='auto')
f1(y_true, y_pred, average='auto')
auc(y_true, y_pred, average='auto')
confusion_matrix(y_true, y_pred, num_classes=None)
History.to_csv(self, path)
plotting.learning_curves(history)
EarlyStopping(monitor='val_loss', patience=0, min_delta=0, restore_best_weights=True, *, start_from_epoch=0)
ModelCheckpoint(filepath, save_best_only=False)
ReduceLROnPlateau(monitor='val_loss', factor=0.1, patience=10, verbose=False, mode='auto', min_delta=1e-4,
    cooldown=0, min_lr=0.0)
CSVLogger(path, append=False)
LearningRateScheduler(schedule, verbose=False)
LambdaCallback(on_train_begin=None, on_epoch_end=None, on_train_end=None)
"""


def entries(table):
    """Return name and line of each entry; a line that begins with blanks goes on with the one before."""
    lines = table.replace("\n    ", " ").strip().splitlines()
    return [pytest.param(line.partition("(")[0], line, id=line.partition("(")[0]) for line in lines]


def promised(line):
    """Return the signature that a line writes down."""
    names = {}
    exec(f"def entry{line[line.index('(') :]}: pass", names)
    return inspect.signature(names["entry"])


def actual(name):
    """Return the signature of what has this name in the package; a class is that of its constructor."""
    thing = gwucnn
    for part in name.split("."):
        thing = getattr(thing, part)
    if not inspect.isclass(thing):
        return inspect.signature(thing)
    own = inspect.signature(thing.__init__)
    return own.replace(parameters=list(own.parameters.values())[1:])


def split(signature):
    """Return parameters that can be given by place, and the keyword-only ones."""
    parameters = list(signature.parameters.values())
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY]
    return [p for p in parameters if p.kind is not p.KEYWORD_ONLY], {p.name: p for p in keywords}


def differences(promise, actual):
    """Return what is wrong with a signature, in words.

    More keyword-only arguments are right if they have defaults, and so is a default where none is promised.
    """
    (places, keywords), (own_places, own_keywords) = split(promise), split(actual)
    wrong = []
    if [p.name for p in places] != [p.name for p in own_places]:
        wrong.append(f"{[p.name for p in own_places]} by place, promised {[p.name for p in places]}")
    own = {p.name: p for p in own_places} | own_keywords
    wrong += [f"no keyword-only {name}" for name in keywords if name not in own_keywords]
    for p in [*places, *keywords.values()]:
        if p.default is not p.empty and p.name in own and own[p.name].default != p.default:
            wrong.append(f"{p.name}={own[p.name].default!r}, promised {p.default!r}")
    more = [p for name, p in own_keywords.items() if name not in keywords]
    return wrong + [f"{p.name} must be given" for p in more if p.default is p.empty]


@pytest.mark.parametrize("name, line", entries(NETWORK) + entries(LAYERS) + entries(TRAINING))
def test_signatures_are_as_promised(name, line):
    wrong = differences(promised(line), actual(name))
    assert not wrong, f"{name}: {'; '.join(wrong)}"


@pytest.mark.parametrize(
    "own, wrong",
    [
        ("(a, b=1, *, c=2)", []),
        ("(a=0, b=1, *, c=2, d=3)", []),
        ("(a, b=2, *, c=2)", ["b=2, promised 1"]),
        ("(b=1, a=0, *, c=2)", ["['b', 'a'] by place, promised ['a', 'b']"]),
        ("(a, b=1, d=0, *, c=2)", ["['a', 'b', 'd'] by place, promised ['a', 'b']"]),
        ("(a, b=1, *, d)", ["no keyword-only c", "d must be given"]),
        ("(a, b, *, c=None)", [f"b={inspect.Parameter.empty!r}, promised 1", "c=None, promised 2"]),
    ],
)
def test_every_kind_of_difference_is_seen(own, wrong):
    assert differences(promised("f(a, b=1, *, c=2)"), promised(f"f{own}")) == wrong


def test_each_name_is_public():
    lines = entries(NETWORK) + entries(LAYERS) + entries(TRAINING)
    names = {entry.values[0].partition(".")[0] for entry in lines}
    assert names <= set(gwucnn.__all__)


def test_a_network_has_the_promised_attributes():
    network = GWUNetwork([Flatten(), Dense(2)], seed=0)
    network.build((3, 3))
    assert [type(layer) for layer in network.layers] == [Flatten, Dense]
    assert [p.value.shape for p in network.parameters] == [(9, 2)]
    assert "Dense" in repr(network)


LOSSES = {
    "sigmoid": ("log_loss", "binary_crossentropy"),
    "softmax": ("cross_entropy", "categorical_crossentropy", "sparse_categorical_crossentropy"),
    None: ("mse", "mae", "huber"),
}
# A confusion matrix is no number of an epoch: it is a function alone.
METRICS = ("accuracy", "top_k_accuracy", "precision", "recall", "f1", "auc")


def trained(loss="cross_entropy", activation="softmax", kernel="glorot_uniform", **options):
    """Return the history of an epoch, with the names given."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((8, 4, 4)), np.eye(3)[rng.integers(3, size=8)]
    network = GWUNetwork([Conv2D(2, 3, kernel_initializer=kernel), Flatten(), Dense(3, activation=activation)], seed=0)
    network.compile(loss, **options)
    return network.fit(x, y, 1, 4, validation_data=(x, y), verbose=0)


@pytest.mark.parametrize("activation, loss", [(a, loss) for a, losses in LOSSES.items() for loss in losses])
def test_losses_are_known_by_name(activation, loss):
    assert np.isfinite(trained(loss, activation).history["loss"]).all()


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_known_by_name(name):
    assert {"loss", "lr", "val_loss", name, f"val_{name}"} <= set(trained(metrics=[name]).history)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop", "adagrad"])
def test_optimizers_are_known_by_name(name):
    assert trained(optimizer=name, lr=0.002).history["lr"] == [0.002]


SCALED = [f"{base}_{kind}" for base in ("glorot", "he", "lecun") for kind in ("uniform", "normal")]


@pytest.mark.parametrize("name", [*SCALED, "random_normal", "random_uniform", "zeros", "ones", "orthogonal"])
def test_initializers_are_known_by_name(name):
    assert np.isfinite(trained(kernel=name).history["loss"]).all()


@pytest.mark.parametrize("given", ["l1", "l2", gwucnn.L1(), gwucnn.L2(0.1), gwucnn.L1L2(0.1, 0.2)])
def test_regularizers_are_known(given):
    assert Dense(2, kernel_regularizer=given).kernel_regularizer is not None


def test_a_search_for_a_learning_rate_suggests_one():
    network = GWUNetwork([Flatten(), Dense(2, activation="softmax")], seed=0)
    network.compile("cross_entropy")
    rng = np.random.default_rng(0)
    found = network.lr_find(rng.standard_normal((8, 3, 3)), rng.integers(2, size=8), steps=20, verbose=0)
    assert hasattr(found, "suggestion")


def test_adapt_gives_the_layer_back():
    layer = Normalization()
    assert layer.adapt(np.arange(8.0).reshape(2, 2, 2)) is layer


def test_names_may_be_imported_from_where_gwu_nn_has_them():
    from gwucnn.activation_functions import RELUActivation, SigmoidActivation, SoftmaxActivation
    from gwucnn.activation_layers import RELU, Sigmoid, Softmax
    from gwucnn.gwu_network import GWUNetwork
    from gwucnn.layers import Conv2D, Dense, Flatten, Layer, MaxPooling2D
    from gwucnn.loss_functions import MSE, CrossEntropy, LogLoss

    layers = [Conv2D, Dense, Flatten, MaxPooling2D, RELU, Sigmoid, Softmax]
    assert all(issubclass(kind, Layer) for kind in layers) and GWUNetwork is gwucnn.GWUNetwork
    for function in (SigmoidActivation, RELUActivation, SoftmaxActivation):
        assert callable(function.activation) and callable(function.activation_partial_derivative)
    for loss in (MSE, LogLoss, CrossEntropy):
        assert callable(loss.loss) and callable(loss.loss_partial_derivative)
