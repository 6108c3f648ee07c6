"""Replayed batches: bit-identical to calling every layer again, whatever happens in between."""

import _thread
import gc
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest

import networks
from compare import assert_exact
from gwucnn import SGD, Adam, Layer, MaxPooling2D, kernels
from networks import NETS, conv

every_net = pytest.mark.parametrize("net", NETS, ids=[net.why.replace(" ", "-") for net in NETS])
FUSED, PLAIN = NETS[1], networks.Net("plain", (10, 9, 2), lambda: [conv(5), conv(4, 2), MaxPooling2D(3)])
FIRST = networks.Net("channels first", (10, 9, 2), lambda: [conv(4)], {"data_format": "channels_first"})


class Doubled(Layer):
    """A user's own layer, which computes in numpy and therefore cannot be replayed."""

    def forward(self, x, space):
        self.calls = getattr(self, "calls", 0) + 1
        return 2 * x

    def backward(self, dy, space):
        return 2 * dy


OWN = networks.Net("a layer of one's own", (10, 9, 2), lambda: [conv(16), MaxPooling2D(), Doubled(), conv(4)])


def twins(net, optimizer=lambda: SGD(0.05, momentum=0.9), **options):
    """Return two equal compiled networks. The second one is not allowed to record."""
    pair = networks.build(net, **options), networks.build(net, **options)
    for network in pair:
        network.compile(loss="cross_entropy", optimizer=optimizer())
    pair[1]._engine.recorder.enabled = False
    return pair


def assert_same_weights(one, other):
    for got, want in zip(one.get_weights(), other.get_weights(), strict=True):
        assert got.tobytes() == want.tobytes()


def train(pair, *batches):
    """Train both on the same batches, and assert that their losses are equal."""
    for x, y in batches:
        losses = [network.train_on_batch(x, y) for network in pair]
        assert losses[0] == losses[1]
    assert_same_weights(*pair)


def replays(network):
    """Return the keys of the valid recordings: the kind of pass and the batch size."""
    workspace = network._engine.workspaces.current_training
    return {key for key, replay in workspace.recordings.items() if replay.generation == workspace.tape.generation}


# -------------------------------------------------------------------------------------------- the same training


@every_net
def test_every_batch_updates_the_weights_identically(net, isa, dtype, rng):
    """Batch sizes alternate, grow and shrink: 4 is recorded, replayed, and dropped when buffers are replaced for 6."""
    pair = twins(net, precision=dtype.name)
    sizes = (4, 4, 2, 4, 2, 6, 4, 6, 4, 1, 8, 8, 1, 6)
    train(pair, *(networks.data(net, rng, n) for n in sizes))
    assert replays(pair[0]) == {("train", 1), ("train", 6), ("train", 8)}
    assert not pair[1]._engine.workspaces.current_training.recordings
    x, _ = networks.data(net, rng, 11)
    assert_exact(pair[0].predict(x, batch_size=4), pair[1].predict(x, batch_size=4), dtype)


@pytest.mark.parametrize("net", [FUSED, PLAIN, FIRST, OWN], ids=lambda net: net.why.replace(" ", "-"))
@pytest.mark.parametrize("optimizer", [lambda: SGD(0.05), lambda: Adam(0.01)], ids=["sgd", "adam"])
def test_fit_with_validation_between_epochs(net, optimizer, rng):
    """19 samples in batches of 4 leave 3; validation and sample weights use buffers of their own."""
    pair = twins(net, optimizer)
    x, y = networks.data(net, rng, 19)
    other = networks.data(net, rng, 7)
    histories = [
        network.fit(
            x,
            y,
            epochs=3,
            batch_size=4,
            validation_data=other,
            sample_weight=np.arange(19.0),
            class_weight={1: 2.0},
            verbose=0,
        )
        for network in pair
    ]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert histories[0].history[name] == histories[1].history[name]
    assert_same_weights(*pair)


def test_layers_are_called_once_for_each_size_of_batch(rng, monkeypatch):
    called = []
    network = networks.build(FUSED)
    network.compile(loss="cross_entropy")
    for step in (network._engine.steps[0], network._engine._inference_graph.steps[0]):
        forward = step.forward
        monkeypatch.setitem(
            vars(step), "forward", lambda x, space, forward=forward: called.append(len(x)) or forward(x, space)
        )
    x, y = networks.data(FUSED, rng, 10)
    network.fit(x, y, epochs=4, batch_size=4, verbose=0)
    assert called == [4, 2]
    network.evaluate(x, y, batch_size=4)
    network.evaluate(x, y, batch_size=4)
    assert called == [4, 2, 4, 2]
    network.predict(x, batch_size=4)
    network.predict(x, batch_size=4)
    assert called == [4, 2, 4, 2, 4, 2]


def test_a_users_own_layer_is_called_for_every_batch(rng):
    pair = twins(OWN)
    train(pair, *(networks.data(OWN, rng, n) for n in (4, 4, 2, 4, 6, 4)))
    assert [network.layers[2].calls for network in pair] == [6, 6]
    assert not pair[0]._engine.workspaces.current_training.recordings


@pytest.mark.parametrize("task", ["train", "predict", "evaluate"])
def test_recordings_do_not_pile_up(task, rng):
    """Only a few recordings are kept, and none whose buffers were replaced."""

    def run(network, n):
        x, y = images[:n], labels[:n]
        {"train": network.train_on_batch, "evaluate": network.evaluate}.get(task, lambda x, _: network.predict(x))(x, y)

    images, labels = networks.data(FUSED, rng, 40, "float32")
    kept = []
    for sizes in ([40], [*range(1, 41)], [*range(40, 0, -1)]):
        network = twins(FUSED)[0]
        run(network, 1)
        tracemalloc.start()
        for n in sizes:
            run(network, n)
        kept.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        engine = network._engine
        for workspace in (engine.workspaces.current_training, *engine.workspaces._idle):
            assert workspace is None or len(workspace.recordings) <= 4
    assert max(kept) < 3 * kept[0]


# -------------------------------------------------------------------------- what happens between two batches


def test_new_weights_are_seen(rng):
    pair = twins(FUSED)
    batches = [networks.data(FUSED, rng, 4) for _ in range(3)]
    train(pair, *batches)
    before = replays(pair[0])
    weights = [rng.standard_normal(w.shape) / 4 for w in pair[0].get_weights()]
    for network in pair:
        network.set_weights(weights)
    train(pair, *batches)
    assert replays(pair[0]) == before == {("train", 4)}
    x, _ = batches[0]
    predictions = [pair[0].predict(x)]
    for network in pair:
        network.set_weights([2 * w for w in weights])
    predictions.append(pair[0].predict(x))
    assert_exact(predictions[1], pair[1].predict(x), np.float32)
    assert (predictions[0] != predictions[1]).all()


def test_another_number_of_threads(rng, threads):
    pair = twins(FUSED)
    x, y = networks.data(FUSED, rng, 4)
    for n in (1, 2, 1, 3):
        threads(n)
        train(pair, (x, y), (x, y))
        assert_exact(pair[0].predict(x), pair[1].predict(x), np.float32)


def test_another_instruction_set(rng):
    before = kernels.isa()
    pair = twins(FUSED)
    x, y = networks.data(FUSED, rng, 4)
    try:
        for name in (*kernels.supported(), *kernels.supported()):
            kernels.select(name)
            train(pair, (x, y), (x, y))
            assert_exact(pair[0].predict(x), pair[1].predict(x), np.float32)
            step = pair[0]._engine.workspaces.current_training.spaces[0].step("conv2d_relu_pool")
            assert type(step).__module__ == kernels.active.__name__
    finally:
        kernels.select(before)


def test_another_compile_and_another_loss(rng):
    pair = twins(FUSED)
    x, y = networks.data(FUSED, rng, 4)
    one_hot = np.eye(3)[y]
    for loss in ("mse", "cross_entropy", "mse"):
        for network in pair:
            network.compile(loss=loss, lr=0.02)
        train(pair, (x, one_hot), (x, one_hot))


# --------------------------------------------------------------------------------- numbers that are not finite


def test_non_finite_numbers_stop_a_replayed_batch(rng):
    """With the same message and unchanged weights; afterwards training continues as if nothing had happened."""
    pair = twins(FUSED, lambda: SGD(0.05))
    x, y = networks.data(FUSED, rng, 4)
    train(pair, (x, y), (x, y))
    start = pair[0].get_weights()
    poisoned = [w.copy() for w in start]
    poisoned[2][0, 0, 3, 1] = np.nan
    messages = []
    for network in pair:
        network.set_weights(poisoned)
        with pytest.raises(FloatingPointError) as stopped:
            network.train_on_batch(x, y)
        messages.append(str(stopped.value))
        for got, want in zip(network.get_weights(), poisoned, strict=True):
            np.testing.assert_array_equal(got, want)
        network.set_weights(start)
    assert messages[0] == messages[1]
    assert "numbers that are not finite begin at 2.Conv2D" in messages[0]
    train(pair, (x, y), networks.data(FUSED, rng, 5), (x, y))


def test_a_non_finite_gradient_is_found_when_replayed(rng):
    """Although the loss is finite: a zero filter maps pixels of 3e38 to 0, but its gradient is their sum."""
    net = networks.Net("one convolution", (8, 8, 1), lambda: [conv(1, activation=None)])
    messages = []
    for network in twins(net, lambda: SGD(0.05)):
        network.train_on_batch(*networks.data(net, np.random.default_rng(0), 4))
        weights = [np.zeros_like(w) for w in network.get_weights()]
        weights[2][:, 0] = 1
        network.set_weights(weights)
        with pytest.raises(FloatingPointError) as stopped:
            network.train_on_batch(np.full((4, 8, 8, 1), 3e38), np.zeros(4, int))
        messages.append(str(stopped.value))
        for got, want in zip(network.get_weights(), weights, strict=True):
            assert got.tobytes() == want.tobytes()
    assert messages[0] == messages[1]
    assert "the gradient of 0.Conv2D's kernel is not finite" in messages[0]


# ---------------------------------------------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("layer", range(5))
def test_a_batch_interrupted_after_buffers_were_replaced(layer, rng, monkeypatch):
    """Recordings for smaller batches must not be replayed afterwards: they refer to the old buffers."""
    pair = twins(FUSED)
    small, large = networks.data(FUSED, rng, 4), networks.data(FUSED, rng, 9)
    train(pair, small, small)
    step = pair[0]._engine.steps[layer % 4]

    def strike(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(vars(step), "forward" if layer < 4 else "backward", strike)
        pair[0].train_on_batch(*large)
    train(pair, networks.data(FUSED, rng, 4), small, large, small)


@pytest.fixture
def ctrl_c():
    """Make Ctrl-C effective: background jobs ignore it, and hypothesis' callback on garbage collection would swallow it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()
    yield
    gc.enable()
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("net", [FUSED, OWN], ids=["replayed", "called"])
def test_ctrl_c_in_a_long_fit_leaves_a_usable_network(net, rng):
    """Wherever it arrives, the network then learns and predicts the same as one that was not interrupted."""
    network, fresh = networks.build(net), networks.build(net)
    x, y = networks.data(net, rng, 30)
    start = network.get_weights()
    for other in (network, fresh):
        other.compile(loss="cross_entropy", optimizer=SGD(0.01))
    fresh.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    deadline = time.monotonic() + 20
    late = lambda _: time.monotonic() > deadline  # noqa: E731
    for milliseconds in (1, 2, 4, 7, 11, 16, 22, 29):
        striker = threading.Timer(milliseconds / 1000, _thread.interrupt_main)
        with pytest.raises(KeyboardInterrupt):
            striker.start()
            network.fit(x, y, 10**9, 8, validation_data=(x[:5], y[:5]), callbacks=[late], verbose=0)
        striker.join()
        assert all(np.isfinite(weight).all() for weight in network.get_weights())
        network.set_weights(start)
        network.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
        assert_same_weights(network, fresh)
        assert_exact(network.predict(x), fresh.predict(x), np.float32)
