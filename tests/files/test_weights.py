"""Files of weights alone: what they hold, which networks take them, and that a file that does not fit changes nothing."""

import os

import numpy as np
import pytest
from safetensors.numpy import load_file

import damage
import resumed
from gwucnn import BatchNormalization, Conv2D, Dense, Dropout, Flatten, FormatError, GWUNetwork, RandomFlip
from gwucnn.common.errors import NotBuiltError, ShapeError
from layer_cases import CASES, inputs


def make(seed=0, units=3, *, precision="float32", first=(), last=()):
    return GWUNetwork(
        [*first, Conv2D(2, add_bias=True, input_size=6), BatchNormalization(), Flatten(), Dense(units), *last],
        seed=seed,
        precision=precision,
    )


def assert_same(network, other):
    for ours, theirs in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer.__name__}, {case.why}")
def test_every_layer(case, path):
    networks = [GWUNetwork([case.layer(**case.options)], seed=seed) for seed in (0, 1)]
    for network in networks:
        network.build(case.in_shape)
        # What a Normalization has not been told yet is NaN.
        network.set_weights([np.where(np.isnan(weight), 1.5, weight) for weight in network.get_weights()])
    networks[0].save_weights(path)
    networks[1].load_weights(path)
    assert_same(*networks)
    x = inputs(case, 2)
    np.testing.assert_array_equal(networks[0].predict(x), networks[1].predict(x))


def test_other_programs_can_read_the_arrays(path):
    network = make()
    network.save_weights(path)
    held = load_file(path)
    assert list(held) and held["0.Conv2D.kernel"].shape == (3, 3, 1, 2)
    np.testing.assert_array_equal(held["3.Dense.kernel"], network.get_weights()[-1])
    assert path.stat().st_size < 4000


def test_a_trained_network_and_one_made_anew(path):
    """Predictions are the same; the number of batches behind running statistics comes along; nothing else does."""
    trained, fresh = (resumed.network(resumed.OPTIMIZERS["adamw"](), seed=seed) for seed in (7, 8))
    x, y = resumed.data()
    trained.fit(x, y, 2, 8)
    fresh.build((8, 8))
    fresh.predict(x)  # so that transformed weights are kept
    before = resumed.state(fresh)
    trained.save_weights(path)
    fresh.load_weights(os.fsencode(path))
    np.testing.assert_array_equal(fresh.predict(x), trained.predict(x))
    after, theirs = resumed.state(fresh), resumed.state(trained)
    for part in ("weights", "statistics"):
        assert after.pop(part) == theirs[part]
        before.pop(part)
    assert after == before
    assert fresh.fit(x, y, 1, 8).epoch == [0]


def test_a_file_of_a_whole_network_will_do(path):
    trained, fresh = (resumed.network(resumed.OPTIMIZERS["adamw"](), seed=seed) for seed in (7, 8))
    trained.fit(*resumed.data(), 1, 8)
    trained.save(path)
    fresh.build((8, 8))
    fresh.load_weights(path)
    assert_same(trained, fresh)
    assert resumed.state(fresh)["statistics"] == resumed.state(trained)["statistics"]


def test_layers_without_weights_do_not_matter(path):
    make(0, first=[RandomFlip(input_size=6)], last=[Dropout(0.5)]).save_weights(path)
    network = make(1)
    network.load_weights(path)
    assert_same(network, make(0))


def test_another_precision_is_rounded(path):
    make(0, precision="float64").save_weights(path)
    network = make(1)
    network.load_weights(path)
    for ours, theirs in zip(network.get_weights(), make(0, precision="float64").get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs.astype("float32"))


FIX = "the network needs the layers of the one that was saved, in the same order"
WRONG = [
    (lambda: make(units=4), ShapeError, "expected 3.Dense.kernel of shape (32, 4), got (32, 3); the layer needs the same "
     "sizes as in the network that was saved, and the same input"),
    (lambda: make(last=[Dense(2)]), ValueError, f"expected 8 weights, got 7, without 4.Dense.kernel; {FIX}"),
    (lambda: GWUNetwork([Conv2D(2, add_bias=True, input_size=6)]), ValueError,
     f"expected 2 weights, got 7, with 1.BatchNormalization.gamma; {FIX}"),
    (lambda: GWUNetwork([Dense(2, input_size=3)]), ValueError,
     f"expected the weight 0.Dense.kernel, got 0.Conv2D.kernel; {FIX}"),
]  # fmt: skip


@pytest.mark.parametrize(("other", "kind", "message"), WRONG, ids=[case[2][:40] for case in WRONG])
def test_weights_of_other_layers_change_nothing(other, kind, message, path):
    make().save_weights(path)
    network = other()
    before = network.get_weights()
    with pytest.raises(kind) as caught:
        network.load_weights(path)
    assert type(caught.value) is kind
    assert str(caught.value) == f"load_weights {os.fspath(path)!r}: {message}"
    for ours, kept in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)


def test_damaged_files_change_nothing(path, rng):
    make().save_weights(path)
    sound, network = path.read_bytes(), make(1)
    before = network.get_weights()
    changes = [
        lambda document: document.pop("weights") and None,
        damage.set_in("weights", value="all"),
        damage.set_in("weights", value=[{"name": "elsewhere"}]),
        damage.set_in("weights", 0, value={}),
        damage.set_in("format", value=99),
    ]
    damaged = [sound[:length] for length in (0, 7, 100, len(sound) - 1)] + [damage.rewritten(sound, c) for c in changes]
    flipped = bytearray(sound)
    flipped[-5] ^= 4
    for data in [*damaged, bytes(flipped), sound + b"\0", rng.bytes(500)]:
        path.write_bytes(data)
        with pytest.raises(FormatError, match=r"^load_weights '.*': expected "):
            network.load_weights(path)
    for ours, kept in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, kept)


def test_weights_alone_are_not_a_network(path):
    make().save_weights(path)
    with pytest.raises(FormatError) as caught:
        GWUNetwork.load(path)
    name = os.fspath(path)
    assert str(caught.value) == (
        f"load {name!r}: expected a network, got weights alone; make the network and call load_weights({name!r})"
    )


def test_before_there_are_weights(path):
    network = GWUNetwork([Dense(2)])
    with pytest.raises(NotBuiltError, match=r"^save_weights: expected a built network; give input_size, or call build"):
        network.save_weights(path)
    assert not path.exists()
    make().save_weights(path)
    with pytest.raises(NotBuiltError, match=r"^load_weights: expected a built network; give input_size, or call build"):
        network.load_weights(path)


def test_a_save_that_fails_leaves_the_old_file(path, monkeypatch):
    make(0).save_weights(path)

    def fail(*args, **kwargs):
        raise OSError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no room"):
            make(1).save_weights(path)
    network = make(2)
    network.load_weights(path)
    assert_same(network, make(0))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    with pytest.raises(FileNotFoundError, match=r"^load_weights '.*': expected a file, got none; check the path$"):
        network.load_weights(path.with_name("other"))
