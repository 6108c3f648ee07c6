"""Assignments to attributes: each takes effect at the next step of training, or is an error that says what to do."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import gwucnn
from gwucnn import (
    MSE,
    SGD,
    Adam,
    BatchNormalization,
    Conv2D,
    CrossEntropy,
    Dense,
    Dropout,
    EarlyStopping,
    ExponentialDecay,
    Flatten,
    GWUNetwork,
    LambdaCallback,
    Layer,
    LeakyReLU,
    LossFunction,
    Optimizer,
    Parameter,
    Schedule,
    distributed,
)
from gwucnn.activation_layers import ActivationLayer
from gwucnn.callbacks.history import History
from gwucnn.initializers import ones
from gwucnn.layers.graphs.merge import Merge
from gwucnn.regularizers import Regularizer
from gwucnn.training.lr_finder import LearningRates

# The arguments of constructors that have no default.
ARGUMENTS = {
    "Activation": {"activation": "relu"},
    "CSVLogger": {"path": "log.csv"},
    "Concatenate": {"branches": [[], []]},
    "Conv2DTranspose": {"filters": 2, "kernel_size": 3},
    "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 9},
    "Dense": {"output_size": 2},
    "Dropout": {"rate": 0.5},
    "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 9, "decay_rate": 0.5},
    "GroupNormalization": {"groups": 1},
    "LambdaCallback": {"on_train_begin": print},
    "LearningRateScheduler": {"schedule": lambda epoch: 0.1},
    "ModelCheckpoint": {"filepath": "network"},
    "Normalization": {"mean": 0.0, "variance": 1.0},
    "OneCycle": {"max_learning_rate": 0.1, "total_steps": 9},
    "Parameter": {"name": "kernel", "shape": (2,), "initializer": ones},
    "PiecewiseConstant": {"boundaries": [1], "values": [0.1, 0.2]},
    "RandomBrightness": {"factor": 0.1},
    "RandomContrast": {"factor": 0.1},
    "RandomCrop": {"height": 4, "width": 4},
    "RandomRotation": {"factor": 0.1},
    "RandomTranslation": {"height": 0.1, "width": 0.1},
    "RandomZoom": {"factor": 0.1},
    "Rescaling": {"scale": 0.5},
    "Reshape": {"shape": (-1,)},
    "Residual": {"layers": [Conv2D(1, 3, padding="same")]},
    "Resizing": {"height": 4, "width": 4},
    "SeparableConv2D": {"filters": 2, "kernel_size": 3},
    "SpatialDropout2D": {"rate": 0.5},
}
BASES = {Layer, LossFunction, Optimizer, Schedule, ActivationLayer, Regularizer}
PUBLIC = [
    kind
    for kind in map(gwucnn.__dict__.get, sorted(gwucnn.__all__))
    if isinstance(kind, type) and not issubclass(kind, (gwucnn.ActivationFunction, Exception)) and kind not in BASES
]
KINDS = [*PUBLIC, LearningRates]
# Arguments whose assignment takes effect; the tests at the end of this file show how.
TAKES_EFFECT = {"lr", "name", "trainable"}

every_class = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def made(kind):
    """Return an object of a class; a layer is built."""
    thing = kind(**copy.deepcopy(ARGUMENTS.get(kind.__name__, {})))
    if isinstance(thing, Merge):
        thing.build(((6, 6, 1),) * 2)
    elif isinstance(thing, Layer):
        thing.build((5,) if kind is Dense else (6, 6, 1))
    return thing


def arguments(kind):
    return [name for name in inspect.signature(kind).parameters if name not in ("args", "kwargs")]


def trained(*layers, **options):
    """Return a network that has been trained, so that it has recorded its steps, and its data."""
    rng = np.random.default_rng(0)
    x, y = rng.random((8, 6, 6, 1)), rng.integers(0, 3, 8)
    network = GWUNetwork([Conv2D(2), *layers, Flatten(), Dense(3, activation="softmax")], seed=0)
    network.compile("cross_entropy", **options)
    network.fit(x, y, epochs=2, batch_size=4, verbose=0)
    return network, x, y


# ------------------------------------------------------------------------------------- the rule, for every class


@every_class
def test_a_constructors_argument_is_fixed_or_takes_effect(kind):
    thing = made(kind)
    for name in arguments(kind):
        before = getattr(thing, name, None)
        if name in TAKES_EFFECT and name in type(thing)._assignable:
            continue
        with pytest.raises(AttributeError, match=rf"^{kind.__name__}: expected .*{name!r}; .*{name}="):
            setattr(thing, name, 3)
        after = getattr(thing, name, None)
        assert after is before or after == before


@every_class
def test_an_unknown_attribute_is_an_error(kind):
    thing = made(kind)
    with pytest.raises(AttributeError, match=rf"^{kind.__name__}: expected an assignment to .*, got one to 'xyzzy'$"):
        thing.xyzzy = 3
    assert not hasattr(thing, "xyzzy")


@every_class
def test_a_mistyped_attribute_is_an_error_that_names_the_right_one(kind):
    thing = made(kind)
    known = [name for name in (*arguments(kind), *type(thing)._assignable) if len(name) > 4]
    for name in known:
        with pytest.raises(AttributeError, match=rf"got one to {name[:-1]!r}; did you mean '{name[:3]}"):
            setattr(thing, name[:-1], 3)


@every_class
def test_a_method_cannot_be_overwritten_by_a_value(kind):
    thing = made(kind)
    for name, _ in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            with pytest.raises(AttributeError, match=f"{name!r}"):
                setattr(thing, name, 3)


@every_class
def test_copies_are_as_strict(kind):
    for twin in (copy.copy(made(kind)), copy.deepcopy(made(kind))):
        with pytest.raises(AttributeError):
            twin.xyzzy = 3


def test_the_table_has_every_public_class_with_attributes():
    assert {GWUNetwork, Conv2D, Adam, EarlyStopping, CrossEntropy, ExponentialDecay, History, Parameter} <= set(PUBLIC)
    assert len(PUBLIC) > 60


# ------------------------------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("assign", "message"),
    [
        (lambda n: setattr(n, "trainble", False),
         "GWUNetwork: expected an assignment to trainable alone, got one to 'trainble'; did you mean 'trainable'?"),
        (lambda n: setattr(n, "optimizer", "adam"),
         "GWUNetwork: expected an assignment to trainable alone, got one to 'optimizer'; call compile(optimizer=...)"),
        (lambda n: setattr(n, "loss", "mse"),
         "GWUNetwork: expected an assignment to trainable alone, got one to 'loss'; call compile(loss=...)"),
        (lambda n: setattr(n, "batch_size", 3),
         "GWUNetwork: expected an assignment to trainable alone, got one to 'batch_size'; call fit(batch_size=...)"),
        (lambda n: setattr(n, "fuse", False),
         "GWUNetwork: expected an assignment to trainable alone, got one to 'fuse'; make a new one, GWUNetwork(fuse=...)"),
        (lambda n: setattr(n.layers[0], "filters", 8),
         "Conv2D: expected an assignment to name, trainable alone, got one to 'filters'; make a new layer, "
         "Conv2D(filters=...)"),
        (lambda n: setattr(n.layers[0], "kernel", np.ones((3, 3, 1, 2))),
         "Conv2D: expected an assignment to name, trainable alone, got one to 'kernel'"),
        (lambda n: setattr(n.layers[0], "forward", print),
         "Conv2D: expected an assignment to name, trainable alone, got one to 'forward'"),
        (lambda n: setattr(n.optimizer, "momentum", 0.5),
         "SGD: expected an assignment to lr, updates alone, got one to 'momentum'; call compile again with "
         "optimizer=SGD(momentum=...)"),
        (lambda n: setattr(n.optimizer, "learning_rate", 0.5),
         "SGD: expected an assignment to lr, updates alone, got one to 'learning_rate'; did you mean 'lr'?"),
        (lambda n: setattr(n.optimizer, "slots", {}),
         "SGD: expected an assignment to lr, updates alone, got one to 'slots'"),
        (lambda n: setattr(EarlyStopping(), "patiense", 3),
         "EarlyStopping: expected an assignment to best, wait, best_epoch, best_weights alone, got one to 'patiense'; "
         "did you mean 'patience'?"),
        (lambda n: setattr(CrossEntropy(), "label_smoothing", 0.1),
         "CrossEntropy: expected an assignment to no attribute, got one to 'label_smoothing'; call compile again with "
         "loss=CrossEntropy(label_smoothing=...)"),
        (lambda n: setattr(gwucnn.L2(), "l2", 0.1),
         "L2: expected an assignment to no attribute, got one to 'l2'; make a new layer with "
         "kernel_regularizer=L2(l2=...)"),
        (lambda n: setattr(n.layers[0].kernel, "regularizer", gwucnn.L2()),
         "Parameter: expected an assignment to grad, trainable, value alone, got one to 'regularizer'; make a new one, "
         "Parameter(regularizer=...)"),
        (lambda n: setattr(made(ExponentialDecay), "decay_rate", 0.1),
         "ExponentialDecay: expected an assignment to no attribute, got one to 'decay_rate'; assign a new schedule, "
         "optimizer.lr = ExponentialDecay(decay_rate=...)"),
    ],
)  # fmt: skip
def test_messages(assign, message):
    network, x, y = trained()
    with pytest.raises(AttributeError) as caught:
        assign(network)
    assert str(caught.value) == message
    network.train_on_batch(x, y)


@pytest.mark.parametrize(
    ("layer", "name"),
    [(Dropout(0.5), "rate"), (BatchNormalization(), "momentum"), (LeakyReLU(), "negative_slope"),
     (gwucnn.RandomFlip(), "mode"), (Conv2D(2, kernel_regularizer="l2"), "kernel_regularizer")],
)  # fmt: skip
def test_options_that_recorded_steps_have_read_are_fixed(layer, name):
    network, x, y = trained(copy.deepcopy(layer))
    value = getattr(network.layers[1], name)
    with pytest.raises(AttributeError, match=f"{name}="):
        setattr(network.layers[1], name, 0.9)
    assert getattr(network.layers[1], name) == value
    network.train_on_batch(x, y)


# ------------------------------------------------------------------------------------- what takes effect


def test_lr_takes_effect_at_the_next_step():
    changes = []
    for lr in (0.1, 0.3):
        network, x, y = trained(lr=0.1)
        before = network.get_weights()
        network.optimizer.lr = lr
        network.fit(x, y, batch_size=8, verbose=0)
        changes.append([new - old for new, old in zip(network.get_weights(), before, strict=True)])
    for once, thrice in zip(*changes, strict=True):
        np.testing.assert_allclose(thrice, 3 * once, rtol=1e-3, atol=1e-6)


def test_trainable_takes_effect_at_the_next_step():
    network, x, y = trained()
    before = network.get_weights()
    network.layers[0].trainable = False
    network.layers[2].kernel.trainable = False
    network.train_on_batch(x, y)
    assert all(np.array_equal(new, old) for new, old in zip(network.get_weights(), before, strict=True))
    network.trainable = True
    network.train_on_batch(x, y)
    assert not any(np.array_equal(new, old) for new, old in zip(network.get_weights(), before, strict=True))
    with pytest.raises(ValueError, match="kernel: expected trainable to be True or False, got 'no'"):
        network.layers[2].kernel.trainable = "no"


def test_name_takes_effect(capsys):
    network, *_ = trained()
    network.layers[0].name = "edges"
    network.summary()
    assert "edges" in capsys.readouterr().out
    assert GWUNetwork([gwucnn.layers.base.CLASSES["Conv2D"](**network.layers[0].config())]).layers[0].name == "edges"


def test_updates_take_effect_and_are_checked():
    optimizer = Adam(ExponentialDecay(0.1, 1, 0.5))
    network, x, y = trained(optimizer=optimizer)
    optimizer.updates = 0
    network.train_on_batch(x, y)
    assert (optimizer.updates, optimizer.lr) == (1, 0.1)
    with pytest.raises(ValueError, match="Adam: expected updates to be an integer of at least 0, got -1"):
        optimizer.updates = -1


def test_the_best_value_of_a_callback_takes_effect():
    network, x, y = trained()
    stop = EarlyStopping("loss", patience=1)
    stop.restore({"best": None, "wait": 0, "best_epoch": None, "best_weights": None})
    stop.best = 0.0
    assert len(network.fit(x, y, epochs=5, callbacks=[stop], verbose=0).epoch) == 1


def test_a_gradient_that_is_assigned_trains():
    class Scale(Layer):
        """A layer that overwrites its gradient by assignment."""

        def build(self, in_shape):
            self.factor = Parameter("factor", in_shape[-1:], ones)
            self.parameters = (self.factor,)
            return in_shape

        def forward(self, x, space):
            space.saved["x"] = x
            return x * self.factor.constant

        def backward(self, dy, space):
            self.factor.grad = (dy * space.saved["x"]).sum(axis=0)
            return dy * self.factor.constant

    network = GWUNetwork([Scale()], seed=0)
    network.compile("mse", lr=0.1)
    x = np.arange(6.0).reshape(3, 2) / 6
    network.train_on_batch(x, 0 * x)
    grad = 2 * (x * x).mean(axis=0) / 2  # of the mean over samples and outputs, at factor 1
    np.testing.assert_allclose(network.get_weights()[0], 1 - 0.1 * grad, rtol=1e-6)


def test_a_wrapper_of_a_method_is_called():
    network, x, y = trained()
    calls, step = [], network.optimizer.step
    network.optimizer.step = lambda: (calls.append(1), step())
    network.compile("cross_entropy", optimizer=network.optimizer)
    network.fit(x, y, batch_size=4, verbose=0)
    assert len(calls) == 2


# ------------------------------------------------------------------------------------- users' own classes


def test_users_classes_may_set_what_they_want():
    class Count(EarlyStopping):
        def on_train_begin(self):
            super().on_train_begin()
            self.weights_seen = 0

        def on_batch_end(self, record):
            self.weights_seen += 1

    class Halve(Layer):
        def __init__(self, by=2):
            self.by = by

        def build(self, in_shape):
            self.built_for = in_shape
            return super().build(in_shape)

        def forward(self, x, space):
            self.calls = getattr(self, "calls", 0) + 1
            return x / self.by

        def backward(self, dy, space):
            return dy / self.by

    class Plain(SGD):
        def step(self):
            self.count = getattr(self, "count", 0) + 1
            super().step()

    class Cubic(MSE):
        def loss_and_derivative(self, y_true, y_pred):
            self.last = y_pred
            return super().loss_and_derivative(y_true, y_pred)

    class Mine(GWUNetwork):
        def __init__(self, layers):
            super().__init__(layers)
            self.title = "mine"

    count, halve, plain = Count("loss", patience=9), Halve(), Plain(0.01)
    network = Mine([Flatten(), halve, Dense(1)])
    network.compile(Cubic(), optimizer=plain)
    x = np.ones((4, 2, 2))
    network.fit(x, np.ones(4), epochs=2, verbose=0, callbacks=[count])
    halve.by = 4  # takes effect: layers of users are called anew for each batch
    assert np.allclose(network.activations(x)[1], 1 / 4)
    count.note = plain.note = halve.note = network.note = "from outside"
    assert (count.weights_seen, halve.built_for, plain.count, network.title) == (8, (4,), 8, "mine")
    assert halve.calls > 8 and network._compiled.loss.last.shape == (1, 1)


def test_a_callback_of_functions_and_a_team_are_strict_too():
    with pytest.raises(AttributeError, match=r"make a new one, LambdaCallback\(on_batch_end=\.\.\.\)"):
        LambdaCallback(on_train_begin=print).on_batch_end = print
    with pytest.raises(AttributeError, match="got one to 'rank'"):
        distributed.DataParallel(Single()).rank = 1


class Single:
    """A communicator of one process."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 1

    def Allgather(self, sent, received):
        received[0] = sent

    def Allreduce(self, sent, received):
        pass

    def allgather(self, thing):
        return [thing]


def test_a_pickled_network_is_as_strict():
    network, x, y = trained()
    twin = pickle.loads(pickle.dumps(network))
    with pytest.raises(AttributeError, match="did you mean 'trainable'"):
        twin.trainble = False
    with pytest.raises(AttributeError, match="filters="):
        twin.layers[0].filters = 8
    assert twin.train_on_batch(x, y) == network.train_on_batch(x, y)
