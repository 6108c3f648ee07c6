"""Networks saved to files, pickled and copied come back unchanged, and go on training as if never interrupted."""

import copy
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import resumed
from gwucnn import (
    SGD,
    ActivationFunction,
    Adam,
    Conv2D,
    Dense,
    EarlyStopping,
    Flatten,
    FormatError,
    GWUNetwork,
    Layer,
    LossFunction,
    MaxPooling2D,
    ModelCheckpoint,
    NotBuiltError,
    Schedule,
    ops,
)
from layer_cases import CASES, inputs
from networks import NETS, build
from trainees import small, small_data

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


@pytest.fixture
def data(rng):
    return small_data(rng)


def saved(network, path):
    network.save(path)
    return GWUNetwork.load(path)


def pickled(network, path):
    return pickle.loads(pickle.dumps(network))


def copied(network, path):
    return copy.deepcopy(network)


every_way = pytest.mark.parametrize("way", [saved, pickled, copied])


# ----------------------------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer.__name__}, {case.why}")
def test_every_layer_is_restored_with_all_its_options(case, dtype, path):
    first = "channels_first" in case.why
    network = GWUNetwork(
        [case.layer(**case.options)],
        precision=dtype,
        seed=3,
        data_format="channels_first" if first else "channels_last",
    )
    x = inputs(case, 4, dtype)
    x = x.transpose(0, 3, 1, 2) if first and x.ndim == 4 else x
    network.build(x.shape[1:])
    # What a Normalization has not been told yet is NaN.
    network.set_weights([np.where(np.isnan(weight), 1.5, weight) for weight in network.get_weights()])
    outputs = network.predict(x)
    twin = saved(network, path)
    assert repr(twin) == repr(network)
    assert twin.predict(x).tobytes() == outputs.tobytes()
    assert [layer.config() for layer in twin.layers] == [layer.config() for layer in network.layers]


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.why)
def test_networks_train_alike_afterwards(net, path, rng):
    network = build(net)
    network.compile("cross_entropy", optimizer="adam")
    x, y = rng.random((9, *net.image)), rng.integers(0, 3, 9)
    x = x.transpose(0, 3, 1, 2) if network.data_format == "channels_first" else x
    network.fit(x, y, 2, 4, verbose=0)
    twin = saved(network, path)
    assert resumed.state(twin) == resumed.state(network)
    for each in (network, twin):
        each.fit(x, y, 4, 4, initial_epoch=2, verbose=0)
    assert resumed.state(twin) == resumed.state(network)


@every_way
def test_options_of_network_and_training(way, path, data):
    network = small(optimizer="rmsprop", seed=None, fuse=False, winograd=False)
    network.compile("cross_entropy", 0.02, "rmsprop", metrics=("accuracy", "precision"), global_clipnorm=0.5)
    network.fit(*data, verbose=0)
    twin = way(network, path)
    assert (twin.precision, twin.seed, twin.fuse, twin.winograd) == ("float64", None, False, False)
    assert repr(twin.optimizer) == repr(network.optimizer)
    assert (twin._compiled.metrics, twin._compiled.global_clipnorm) == (("accuracy", "precision"), 0.5)
    assert vars(twin.history) == vars(network.history)
    assert twin.evaluate(*data, return_dict=True) == network.evaluate(*data, return_dict=True)
    assert resumed.state(twin) == resumed.state(network)


@every_way
def test_a_copy_is_independent(way, path, data):
    network = small()
    network.fit(*data, verbose=0)
    before, twin = resumed.state(network), way(network, path)
    twin.fit(*data, 3, verbose=0)
    twin.optimizer.lr = 0.5
    assert resumed.state(network) == before


def test_history_and_rates_that_are_not_finite(path, data):
    network = small()
    network.fit(*data, 2, verbose=0)
    network.history.history["loss"][:] = [float("nan"), float("-inf")]
    twin = saved(network, path)
    np.testing.assert_array_equal(twin.history.history["loss"], [np.nan, -np.inf])
    stop = EarlyStopping("loss")
    network.fit(*data, 1, callbacks=[stop], verbose=0)
    stop.best = float("inf")
    assert dict(saved(network, path)._loaded_states)["EarlyStopping"]["best"] == float("inf")


@pytest.mark.parametrize("way", [pickled, copied])
def test_a_network_that_is_not_built_yet(way, data):
    for network in (small(), GWUNetwork(), GWUNetwork([Dense(2, input_size=3)], seed=1)):
        twin = way(network, None)
        assert repr(twin) == repr(network)
        assert twin._layer_row.shapes == network._layer_row.shapes
    first, second = small(), small()
    second = way(second, None)
    for each in (first, second):
        each.fit(*data, verbose=0)
    assert resumed.state(first) == resumed.state(second)


@pytest.mark.parametrize("way", [pickled, copied])
def test_weights_stay_when_a_layer_was_added_since(way):
    network = GWUNetwork([Dense(2, input_size=3)], seed=1)
    weights = network.get_weights()
    network.add(Dense(4))
    twin = way(network, None)
    np.testing.assert_array_equal(twin.get_weights()[0], weights[0])
    np.testing.assert_array_equal(twin.get_weights()[1], network.get_weights()[1])


@every_way
def test_layers_that_were_frozen_since_and_not_compiled(way, path, data):
    """Training goes on with what was trainable then, as it would in the network itself."""
    network = small(optimizer="adam")
    network.fit(*data, verbose=0)
    network.layers[0].trainable = False
    twin = way(network, path)
    assert not any(p.trainable for p in twin.layers[0].parameters)
    for each in (network, twin):
        each.fit(*data, 2, 4, verbose=0)
    assert resumed.state(twin) == resumed.state(network)


def test_saving_needs_weights_and_loading_a_file(path):
    with pytest.raises(NotBuiltError, match=r"^save: expected a built network; give input_size, or call build"):
        small().save(path)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        GWUNetwork.load(path)


def test_an_uncompiled_network(path, rng):
    network = GWUNetwork([Flatten(), Dense(2)], seed=0)
    x = rng.random((3, 4, 4))
    outputs = network.predict(x)
    twin = saved(network, path)
    assert twin.optimizer is None and twin.history is None and twin.epochs_done == 0
    np.testing.assert_array_equal(twin.predict(x), outputs)


def test_a_network_saves_over_the_file_it_came_from(path, data):
    network = small()
    network.fit(*data, verbose=0)
    network.save(path)
    first = path.read_bytes()
    for _ in range(3):
        network = GWUNetwork.load(path)
        network.save(path)
        assert path.read_bytes() == first
    np.testing.assert_array_equal(network.predict(data[0]), GWUNetwork.load(path).predict(data[0]))


def test_other_programs_can_read_the_weights(path, data):
    network = small(lr=None, optimizer=SGD(0.1, momentum=0.5))
    network.fit(*data, verbose=0)
    network.save(path)
    arrays = load_file(path)
    for name, weight in zip(
        ["0.Conv2D.kernel", "0.Conv2D.bias", "3.Dense.kernel", "3.Dense.bias"],
        network.get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(arrays[name], weight)
        assert arrays[f"optimizer.velocity.{name}"].shape == weight.shape


# ------------------------------------------------------------------------------------------ training goes on


def run_of(name):
    """Return a network to train with this optimizer, those with a schedule on images that are augmented too."""
    optimizer = resumed.OPTIMIZERS[name]()
    return resumed.network(optimizer, augmented=optimizer.schedule is not None)


@pytest.fixture(scope="module", params=resumed.OPTIMIZERS)
def whole(request, tmp_path_factory):
    """Return the name of an optimizer, a network trained with it without a stop, and what lies beside it."""
    folder = tmp_path_factory.mktemp("whole")
    network = run_of(request.param)
    history = resumed.train(network, folder)
    assert history.epoch == list(range(resumed.EPOCHS)), "it stopped early"
    return request.param, network, folder


def table(folder):
    """Return the rows of the log without the seconds."""
    return [line.rpartition(",")[0] for line in (folder / "log.csv").read_text().splitlines()]


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_a_run_from_a_checkpoint_is_the_run_that_never_stopped(whole, epochs, tmp_path):
    name, network, folder = whole
    resumed.train(run_of(name), tmp_path, epochs=epochs)
    loaded = GWUNetwork.load(tmp_path / f"every-{epochs}")
    assert loaded.epochs_done == epochs
    history = resumed.train(loaded, tmp_path, first=epochs)
    assert resumed.state(loaded) == resumed.state(network)
    assert loaded.history.history == network.history.history
    assert loaded.history.epoch == list(range(resumed.EPOCHS)) and len(loaded.history.seconds) == resumed.EPOCHS
    assert history.epoch == list(range(epochs, resumed.EPOCHS))
    for key, values in network.history.history.items():
        assert history.history[key] == values[epochs:], key
    assert table(tmp_path) == table(folder)
    for file in ("best", "every-6"):
        ours, theirs = (GWUNetwork.load(place / file) for place in (tmp_path, folder))
        assert resumed.state(ours) == resumed.state(theirs), file


def test_also_in_another_process(whole, tmp_path):
    name, network, folder = whole
    resumed.train(run_of(name), tmp_path, epochs=3)
    subprocess.run([sys.executable, resumed.__file__, tmp_path / "every-3", tmp_path, tmp_path / "last"], check=True)
    assert resumed.state(GWUNetwork.load(tmp_path / "last")) == resumed.state(network)
    assert table(tmp_path) == table(folder)


def test_a_run_of_several_fits_is_one_run(data):
    """Each fit returns its own epochs, the network keeps them all; what an earlier fit returned stays."""
    whole, network = small(optimizer="adam"), small(optimizer="adam")
    whole.fit(*data, 5, 4, validation_split=0.2, verbose=0)
    parts = [
        network.fit(*data, last, 4, initial_epoch=first, validation_split=0.2, verbose=0)
        for first, last in ((0, 2), (2, 3), (3, 3), (3, 5))
    ]
    assert resumed.state(network) == resumed.state(whole)
    assert [part.epoch for part in parts] == [[0, 1], [2], [], [3, 4]]
    for key, values in whole.history.history.items():
        assert [value for part in parts for value in part.history.get(key, [])] == values, key
    assert network.history.seconds == [seconds for part in parts for seconds in part.seconds]


def test_a_run_starts_anew_or_resumes(data):
    network = small()
    first = network.fit(*data, 3, verbose=0)
    assert network.history is first
    again = network.fit(*data, 4, initial_epoch=1, verbose=0)
    assert network.history.epoch == [0, 1, 2, 3] and network.epochs_done == 4
    assert network.history.history["loss"] == first.history["loss"][:1] + again.history["loss"]
    assert first.epoch == [0, 1, 2], "what was returned has changed"
    network.fit(*data, 9, initial_epoch=8, verbose=0)
    assert network.history.epoch == [0, 1, 2, 3, 8] and network.epochs_done == 9
    network.fit(*data, 10, initial_epoch=10, verbose=0)
    assert network.history.epoch == [0, 1, 2, 3, 8] and network.epochs_done == 10
    assert network.fit(*data, 2, verbose=0) is network.history and network.history.epoch == [0, 1]


def test_numbers_that_only_some_epochs_have(path, data):
    network = small()
    network.fit(*data, 2, verbose=0)
    later = network.fit(*data, 4, initial_epoch=2, validation_data=data, verbose=0)
    network.fit(*data, 5, initial_epoch=4, verbose=0)
    for each in (network, saved(network, path)):
        want = [np.nan, np.nan, *later.history["val_loss"], np.nan]
        np.testing.assert_array_equal(each.history.history["val_loss"], want)
        assert np.isfinite(each.history.history["loss"]).all() and len(each.history.history["lr"]) == 5
    network.history.to_csv(path)
    assert path.read_text().count("\n") == 6


def test_an_interrupted_run_is_resumed(path, data):
    def interrupt(record):
        if record["epoch"] == 1:
            raise KeyboardInterrupt

    whole, network = small(), small()
    whole.fit(*data, 4, verbose=0)
    with pytest.raises(KeyboardInterrupt):
        network.fit(*data, 4, callbacks=[interrupt], verbose=0)
    loaded = saved(network, path)
    for each in (network, loaded):
        each.fit(*data, 4, initial_epoch=each.epochs_done, verbose=0)
        assert resumed.state(each) == resumed.state(whole)


def test_dropout_draws_the_same_also_before_the_first_training(path):
    """The key of the draws comes from the seed, which the state of the generator alone does not tell."""
    x, y = resumed.data()
    for seed in (None, 5):
        network = resumed.network("adam", seed)
        network.build((8, 8))
        twin = saved(network, path)
        for each in (network, twin):
            each.fit(x, y, 1, 8, verbose=0)
        assert resumed.state(twin) == resumed.state(network)


def test_each_checkpoint_knows_the_states_after_its_epoch(tmp_path, data):
    """Also of the checkpoints that save after it."""
    best = [ModelCheckpoint(tmp_path / f"{name}", True, monitor=name) for name in ("loss", "accuracy")]
    every = ModelCheckpoint(tmp_path / "every")
    small().fit(*data, 3, callbacks=[every, *best], verbose=0)
    states = [
        GWUNetwork.load(tmp_path / "every")._loaded_states,
        GWUNetwork.load(tmp_path / "loss")._loaded_states,
    ]
    assert states[0] == states[1] == tuple((type(each).__name__, each.state()) for each in (every, *best))


def test_callbacks_reset_unless_training_is_resumed(tmp_path, path, data):
    stop = EarlyStopping("loss", patience=9)
    network = small()
    network.fit(*data, 3, callbacks=[stop], verbose=0)
    network.save(path)
    for first, wanted in ((3, stop.best), (0, None), (2, None)):
        seen, again = [], EarlyStopping("loss", patience=9)
        again.on_epoch_end = lambda record, seen=seen, again=again: seen.append(again.best)
        GWUNetwork.load(path).fit(*data, 4, initial_epoch=first, callbacks=[again], verbose=0)
        assert seen[0] == wanted


def test_states_are_matched_by_class_and_order(path, data):
    first, second = EarlyStopping("loss", 9), EarlyStopping("accuracy", 9, restore_best_weights=False)
    network = small()
    network.fit(*data, 2, callbacks=[first, second], verbose=0)
    loaded = saved(saved(network, path), path)
    others = [
        EarlyStopping("loss", 9),
        lambda record: None,
        EarlyStopping("accuracy", 9, restore_best_weights=False),
    ]
    loaded.fit(*data, 2, initial_epoch=2, callbacks=others, verbose=0)
    assert (others[0].best, others[2].best) == (first.best, second.best)


# ------------------------------------------------------------------------------------------------ users' own


class Thinned(Layer):
    def __init__(self, times=1):
        self.times = times

    def forward(self, x, space):
        return x / 2**self.times

    def backward(self, dy, space):
        return dy / 2**self.times

    def config(self):
        return {"times": self.times}


class Slowing(Schedule):
    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / (1 + step)


class Absolute(LossFunction):
    name = "absolute"
    classifies = False

    def step(self, space, z, target, share, p, gradient):
        np.multiply(np.sign(z - target), share[:, None], out=gradient)
        return float((np.abs(z - target).sum(axis=1) * share).sum())


class Slow(SGD):
    pass


class Twice(ActivationFunction):
    name = "twice"
    op = ops.Op(lambda x, *, out=None: lambda: np.add(x, x, out=out))
    backward_op = ops.Op(lambda dy, y, *, out=None: lambda: np.add(dy, dy, out=out))


class Mine(GWUNetwork):
    """A derived class whose constructor takes nothing."""

    def __init__(self):
        super().__init__([Thinned(2), Dense(3, activation=Twice), Dense(2)], seed=4)
        self.note = "kept"


@every_way
def test_classes_of_ones_own(way, path, rng):
    network, x, y = Mine(), rng.random((8, 5)), rng.random((8, 2))
    network.compile(Absolute, optimizer=Slow(Slowing(0.1)))
    network.fit(x, y, 2, 4, verbose=0)
    twin = way(network, path)
    assert type(twin.optimizer) is Slow and type(twin.optimizer.schedule) is Slowing
    assert repr(twin) == repr(network) and "Thinned(times=2)" in repr(twin)
    for each in (network, twin):
        each.fit(x, y, 4, 4, initial_epoch=2, verbose=0)
    assert resumed.state(twin) == resumed.state(network)
    if way is not saved:
        assert type(twin) is Mine and twin.note == "kept"
    else:
        assert type(twin) is GWUNetwork and type(Mine.load(path)) is Mine


class NoConfig(Thinned):
    config = Layer.config


class Misnamed(Thinned):
    def config(self):
        return {"time": self.times}


class Strange(Thinned):
    def config(self):
        return {"times": object()}


def test_what_could_not_be_made_again_is_refused(path):
    own_dense = type("Dense", (Layer,), {"forward": Thinned.forward})
    own_mse = type("MSE", (Absolute,), {})
    named_relu = type("Own", (Twice,), {"name": "relu"})
    cases = [
        (
            NoConfig(),
            "mse",
            TypeError,
            r"^save: expected 0\.NoConfig to define config\(\), got none; return the",
        ),
        (
            Misnamed(),
            "mse",
            TypeError,
            r"^save: expected arguments of which 0\.Misnamed can be recreated, got \{'time': 1\}",
        ),
        (Strange(), "mse", TypeError, r"^save: expected layers\.0\.config\.times to be numbers, texts"),
        (
            own_dense(),
            "mse",
            ValueError,
            r"^save: expected 0\.Dense to be of a class with a name of its own, got one",
        ),
        (
            Dense(2, activation=named_relu),
            "mse",
            ValueError,
            r"^save: expected the activation of 0\.Dense to have a",
        ),
        (
            Dense(2),
            own_mse,
            ValueError,
            r"^save: expected .* to be of a class with a name of its own, got one beside",
        ),
    ]
    for layer, loss, error, message in cases:
        network = GWUNetwork([layer])
        network.compile(loss)
        network.build(4)
        with pytest.raises(error, match=message):
            network.save(path)
        assert not path.exists()


def test_an_undefined_class(path):
    from gwucnn.layers.base import CLASSES

    gone = type("Gone", (Thinned,), {})
    network = GWUNetwork([Dense(2, input_size=3), gone()])
    network.save(path)
    del CLASSES["Gone"]
    with pytest.raises(FormatError, match="expected layer 1 to be of a class that is known, got 'Gone'; define"):
        GWUNetwork.load(path)
    with pytest.raises(ValueError, match=r"^save: expected 1\.Gone to be of a class"):
        network.save(path)


def test_a_callback_state_that_no_file_can_hold(path, data):
    class Own:
        def __init__(self):
            self.seen = object()

        def __call__(self, record):
            return False

        def state(self):
            return {"seen": self.seen}

        def restore(self, state):
            self.seen = state["seen"]

    own, network = Own(), small()
    network.fit(*data, callbacks=[own], verbose=0)
    with pytest.raises(TypeError, match=r"^save: expected callbacks\.0\.state\.seen to be numbers, texts, None"):
        network.save(path)
    own.seen = {"deep": [1, (2.5, None), np.arange(3), np.float32(0.5), np.zeros((0, 2))]}
    ((name, state),) = saved(network, path)._loaded_states
    deep = state["seen"]["deep"]
    assert name == "Own" and deep[:2] == [1, [2.5, None]] and deep[3] == 0.5
    np.testing.assert_array_equal(deep[2], [0, 1, 2])
    assert deep[4].shape == (0, 2)


# --------------------------------------------------------------------------------------------- old and many


def test_files_of_format_1_load_for_ever():
    """The file was written when the format was new; its predictions were computed then."""
    network = GWUNetwork.load(GOLDEN / "format_1.safetensors")
    kept = np.load(GOLDEN / "format_1.npz")
    np.testing.assert_allclose(network.predict(kept["x"]), kept["predictions"], rtol=1e-5, atol=1e-6)
    assert network.epochs_done == 2 and len(network.history.history["loss"]) == 2
    assert repr(network.optimizer.schedule).startswith("CosineDecay(")
    assert [int(p.updates[0]) for p in network.parameters if p.updates is not None] == [12, 12, 12, 12]
    assert len(dict(network._loaded_states)["EarlyStopping"]["best_weights"]) == len(network.parameters)
    assert [name for name, _ in network._loaded_states] == ["EarlyStopping", "ModelCheckpoint"]
    losses = network.fit(kept["x"], kept["y"], 4, 8, initial_epoch=2, verbose=0).history["loss"]
    np.testing.assert_allclose(losses, kept["losses"], rtol=1e-4)


def test_threads_may_save_at_once_to_one_path(path, data):
    networks = [small(seed=seed) for seed in range(4)]
    for network in networks:
        network.fit(*data, verbose=0)
    known = {network.get_weights()[0].tobytes() for network in networks}
    errors, found = [], set()

    def work(network):
        try:
            for _ in range(10):
                network.save(path)
                found.add(GWUNetwork.load(path).get_weights()[0].tobytes())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(network,)) for network in networks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and found <= known
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_larger_network_in_channels_first(path, rng):
    network = GWUNetwork(
        [Conv2D(3, input_size=(2, 9, 8)), MaxPooling2D(), Flatten(), Dense(2, activation="softmax")],
        data_format="channels_first",
        seed=0,
    )
    network.compile("cross_entropy", optimizer=Adam())
    x, y = rng.random((10, 2, 9, 8)), rng.integers(0, 2, 10)
    network.fit(x, y, verbose=0)
    np.testing.assert_array_equal(saved(network, path).predict(x), network.predict(x))


def test_without_safetensors_saving_says_what_is_missing(tmp_path, monkeypatch):
    """Free-threaded Python may have no wheel of it; loading does not need it."""
    network = GWUNetwork([Dense(2, input_size=3)])
    network.save(tmp_path / "kept.gwucnn")
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(
        ModuleNotFoundError, match="^save.*: expected the package safetensors, which writes files, got none"
    ):
        network.save(tmp_path / "lost.gwucnn")
    assert not (tmp_path / "lost.gwucnn").exists()
    assert GWUNetwork.load(tmp_path / "kept.gwucnn").count_params() == 6
