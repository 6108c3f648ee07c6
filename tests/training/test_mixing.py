"""Mixup and cutmix: batches and targets are mixed as the papers say, and networks learn from them."""

import numpy as np
import pytest

from gwucnn import (
    Conv2D,
    CutMix,
    Dense,
    Flatten,
    GWUNetwork,
    LambdaCallback,
    MaxPooling2D,
    MixUp,
    ShapeError,
    datasets,
)
from ranks import on_ranks

MIXERS = [MixUp(0.4), CutMix()]


class Spy:
    """Keeps what a network is trained on, batch by batch, by taking the place of its step."""

    def __init__(self, network):
        self.batches, self._step = [], network._train
        network._train = self

    def __call__(self, sweeper, run, first, totals):
        for number in range(first, len(run)):
            at = run.indices(number)
            weights = None if run.data.weights is None else run.data.weights[at].copy()
            self.batches.append((run.data.x[at].copy(), run.data.targets[at].copy(), weights))
        for number in range(first, len(run)):
            self._step(sweeper, run.single(number), 0, totals)
        return len(run) - first


def classifier(loss="cross_entropy", activation="softmax", outputs=3, **options):
    network = GWUNetwork([Flatten(), Dense(outputs, activation=activation)], seed=3, **options)
    network.compile(loss, lr=0.01)
    return network


def spied(network, x, y, **options):
    spy = Spy(network)
    network.fit(x, y, verbose=0, **options)
    return spy.batches


def replayed(seed, N, alpha):
    """Return the partners and shares of one batch as numpy draws them from the state in which a network left it."""
    rng = np.random.default_rng()
    rng.bit_generator.state = seed
    return rng.permutation(N), rng.beta(alpha, alpha, N)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_mixup_is_the_formula(rng, precision):
    x, labels = rng.random((8, 4, 5)), np.arange(8) % 3
    network = classifier(precision=precision)
    network.build((4, 5))
    state = network._rng.bit_generator.state
    [(mixed, targets, weights)] = spied(network, x, labels, batch_size=8, mix=MixUp(0.7), shuffle=False)
    other, lam = replayed(state, 8, 0.7)
    one_hot, tolerance = np.eye(3)[labels], 1e-6 if precision == "float32" else 1e-15
    want = lam[:, None, None] * x + (1 - lam)[:, None, None] * x[other]
    np.testing.assert_allclose(mixed[..., 0], want, atol=tolerance)
    np.testing.assert_allclose(targets, lam[:, None] * one_hot + (1 - lam)[:, None] * one_hot[other], atol=tolerance)
    assert weights is None
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_the_shares_have_the_beta_distribution():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(5)
    for mixer in (MixUp(0.2), MixUp(2.0)):
        share = mixer.draw(rng, (4000, 3)).share
        assert stats.kstest(share, stats.beta(mixer.alpha, mixer.alpha).cdf).pvalue > 0.01
    # The box before it is clipped has the area 1 - lam, so clipped ones are no larger.
    drawn, again = CutMix(1.0).draw(np.random.default_rng(5), (4000, 100, 80, 1)), np.random.default_rng(5)
    again.permutation(4000)
    lam = again.beta(1.0, 1.0, 4000)
    inside = (drawn.boxes[..., 0] > 0).all(axis=1) & (drawn.boxes[..., 1] < (100, 80)).all(axis=1)
    np.testing.assert_allclose(drawn.share[inside], lam[inside], atol=0.04)
    assert inside.any()
    assert (drawn.share[~inside] > lam[~inside] - 1e-12).all()


@pytest.mark.parametrize("shape", [(12, 9), (1, 7), (8, 8, 3)])
def test_cutmix_replaces_one_rectangle_and_mixes_targets_by_its_area(rng, shape):
    # Each image has one value, so that a mixed one shows which pixels come from where.
    x = np.broadcast_to(np.arange(40).reshape(-1, *(1,) * len(shape)), (40, *shape)).astype("float64") / 40
    network = classifier(outputs=40, precision="float64")
    network.build(shape)
    [(mixed, targets, _)] = spied(network, x, np.arange(40), batch_size=40, mix=CutMix(), shuffle=False)
    cut = 0
    for number, (image, target) in enumerate(zip(mixed, targets, strict=True)):
        foreign = image[..., 0] != number / 40
        assert (image == image[..., :1]).all()
        rows, columns = np.flatnonzero(foreign.any(axis=1)), np.flatnonzero(foreign.any(axis=0))
        if not len(rows):
            assert target[number] == 1
            continue
        cut += 1
        box = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, 0]
        assert box.size == foreign.sum()
        assert (box == box[0, 0]).all()
        want = np.zeros(40)
        want[number], want[round(box[0, 0] * 40)] = 1 - foreign.mean(), foreign.mean()
        np.testing.assert_allclose(target, want, atol=1e-12)
    assert cut > 20 or shape == (1, 7)


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
def test_pixels_are_mixed_as_the_images_are(rng, mixer):
    x = rng.random((16, 6, 7)).round(3)
    network = GWUNetwork([Conv2D(1, 3, padding="same")], seed=1, precision="float64")
    network.compile("mse", lr=0.01)
    for mixed, targets, _ in spied(network, x, 2 * x, batch_size=8, epochs=2, mix=mixer):
        np.testing.assert_allclose(targets, 2 * mixed, atol=1e-12)
    labels = (x > 0.5).astype(int)
    network = GWUNetwork([Conv2D(2, 1, activation="softmax")], seed=1, precision="float64")
    network.compile("cross_entropy", lr=0.01)
    for _, targets, _ in spied(network, x, labels, batch_size=8, mix=mixer):
        np.testing.assert_allclose(targets.sum(axis=-1), 1, atol=1e-12)
        assert mixer is not MIXERS[1] or set(np.unique(targets)) == {0, 1}


KINDS = {
    "one-hot": ("cross_entropy", "softmax", lambda y: np.eye(3)[y]),
    "binary": ("binary_crossentropy", "sigmoid", lambda y: y == 1),
    "answers": ("log_loss", "sigmoid", lambda y: np.stack([y == 0, y != 2, y > 1], axis=1)),
    "quantities": ("mse", None, lambda y: y * 2.5 - 7),
}


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_targets_of_all_kinds(rng, mixer, kind):
    loss, activation, make = KINDS[kind]
    x, labels = rng.random((9, 4, 4)), np.arange(9) % 3
    y = make(labels).astype(float)
    network = classifier(loss, activation, outputs=y[:1].size, precision="float64", data_format="channels_first")
    state = network._rng.bit_generator.state
    network.build((1, 4, 4))
    state = network._rng.bit_generator.state
    [(_, targets, _)] = spied(network, x[:, None], y, batch_size=9, mix=mixer, shuffle=False)
    other, lam = replayed(state, 9, mixer.alpha)
    if mixer is MIXERS[1]:
        copy = np.random.default_rng()
        copy.bit_generator.state = state
        lam = mixer.draw(copy, (9, 4, 4, 1)).share
    rows, share = y.reshape(9, -1), lam[:, None]
    np.testing.assert_allclose(targets, share * rows + (1 - share) * rows[other], atol=1e-12)


@pytest.mark.parametrize("given", ["sample_weight", "class_weight"])
def test_the_loss_is_that_of_both_parts_by_their_weights(rng, given):
    x, labels = rng.random((8, 3, 3)), np.arange(8) % 3
    by_class = {0: 2.0, 1: 0.0, 2: 0.5}
    weight = np.array([by_class[label] for label in labels])
    network = classifier(precision="float64")
    network.build((3, 3))
    state, kernel = network._rng.bit_generator.state, network.get_weights()[0]
    option = {"sample_weight": weight} if given == "sample_weight" else {"class_weight": by_class}
    history = network.fit(x, labels, batch_size=8, mix=MixUp(1.0), shuffle=False, verbose=0, **option)
    other, lam = replayed(state, 8, 1.0)
    mixed = lam[:, None] * x.reshape(8, -1) + (1 - lam)[:, None] * x.reshape(8, -1)[other]
    scores = np.exp(mixed @ kernel)
    log_p = np.log(scores / scores.sum(axis=1, keepdims=True))
    own, theirs = -log_p[np.arange(8), labels], -log_p[np.arange(8), labels[other]]
    parts = lam * weight * own + (1 - lam) * weight[other] * theirs
    want = parts.sum() / (lam * weight + (1 - lam) * weight[other]).sum()
    assert history.history["loss"][0] == pytest.approx(want, rel=1e-12)


def test_accuracy_counts_the_class_with_the_larger_share(rng):
    x, labels = rng.random((60, 3, 3)), np.arange(60) % 3
    network = classifier(precision="float64")
    network.compile("cross_entropy", lr=1e-12)
    spy = Spy(network)
    history = network.fit(x, labels, batch_size=20, mix=MixUp(1.0), validation_data=(x, labels), verbose=0).history
    right = [network.predict(a[..., 0]).argmax(axis=1) == t.argmax(axis=1) for a, t, _ in spy.batches]
    assert history["accuracy"][0] == pytest.approx(np.mean(right))
    assert history["val_accuracy"][0] == pytest.approx((network.predict(x).argmax(axis=1) == labels).mean())
    assert history["val_loss"][0] == pytest.approx(network.evaluate(x, labels))


class Batches:
    def __init__(self, *parts):
        self.parts = parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, number):
        return self.parts[number]


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
def test_streams_and_iterables_are_mixed_as_arrays_are(rng, mixer):
    x, y = rng.random((10, 5, 5)), np.arange(10) % 3
    parts = [(x[at : at + 4], y[at : at + 4]) for at in (0, 4, 8)]

    def trained(*data, **options):
        network = classifier()
        network.fit(*data, mix=mixer, shuffle=False, epochs=2, verbose=0, **options)
        return network.get_weights()[0]

    want = trained(x, y, batch_size=4)
    assert (trained(Batches(*parts)) == want).all()
    assert (trained((part for _ in range(2) for part in parts), steps_per_epoch=3) == want).all()
    weighted = [(*part, np.ones(len(part[1])) * 2) for part in parts]
    np.testing.assert_allclose(trained(Batches(parts[0], *weighted[1:])), want, rtol=1e-5)


@pytest.mark.parametrize("mixer", MIXERS, ids=str)
def test_a_seed_repeats_the_run_and_compiled_sweeps_agree_with_single_steps(mixer):
    (x, y), _ = datasets.load_sample()
    x, y = x[:200] / 255, y[:200]

    def trained(**options):
        network = GWUNetwork([Conv2D(4, activation="relu"), MaxPooling2D(), Flatten()], seed=7)
        network.add(Dense(10, activation="softmax"))
        network.compile("cross_entropy", optimizer="adam")
        history = network.fit(x, y, epochs=3, batch_size=32, mix=mixer, verbose=0, **options)
        return [*network.get_weights(), np.array(history.history["loss"])]

    want = trained()
    by_batch = trained(callbacks=[LambdaCallback(on_batch_end=lambda *_: None)])
    for a, b, c in zip(want, trained(), by_batch, strict=True):
        assert a.tobytes() == b.tobytes() == c.tobytes()


def test_mixed_batches_are_swept():
    """Mixed samples are plain rows, so that the compiled loop trains on them."""
    from gwucnn.training import loop

    (x, y), _ = datasets.load_sample()
    counts, original = [], loop.train_next_batches

    def counting(*arguments):
        counts.append(original(*arguments))
        return counts[-1]

    network = classifier(outputs=10)
    network._train = counting
    network.fit(x[:512] / 255, y[:512], batch_size=4, mix=MixUp(), verbose=0)
    assert sum(counts) == 128
    assert max(counts) > 30


def test_a_saved_network_goes_on_with_the_same_mixtures(tmp_path, rng):
    x, y = rng.random((12, 4, 4)), np.arange(12) % 3
    options = {"batch_size": 4, "mix": MixUp(), "verbose": 0}
    whole, part = classifier(), classifier()
    whole.fit(x, y, epochs=4, **options)
    part.fit(x, y, epochs=2, **options)
    part.save(tmp_path / "part.safetensors")
    part = GWUNetwork.load(tmp_path / "part.safetensors")
    part.fit(x, y, epochs=4, initial_epoch=2, **options)
    assert (part.get_weights()[0] == whole.get_weights()[0]).all()


@pytest.mark.parametrize("shuffle", [True, False])
def test_ranks_mix_alike(rng, shuffle):
    x, y = rng.random((14, 4, 4)), np.arange(14) % 3

    def train(team):
        network = classifier(precision="float64")
        network.fit(x, y, epochs=2, batch_size=5, mix=CutMix(), shuffle=shuffle, verbose=0, distributed=team)
        return network.get_weights()[0]

    alone = train(None)
    for weights in on_ranks(3, train):
        np.testing.assert_allclose(weights, alone, rtol=1e-10)


def test_digits_are_learnt_from_mixtures():
    (x, y), (x_test, y_test) = datasets.load_sample()
    for mixer in MIXERS:
        network = GWUNetwork([Conv2D(8, activation="relu"), MaxPooling2D(), Flatten()], seed=0)
        network.add(Dense(10, activation="softmax"))
        network.compile("cross_entropy", optimizer="adam")
        validation = (x_test / 255, y_test)
        record = network.fit(x / 255, y, epochs=6, batch_size=16, mix=mixer, validation_data=validation, verbose=0)
        assert record.history["val_accuracy"][-1] > 0.87
        assert record.history["loss"][-1] < 0.7 * record.history["loss"][0]


REFUSED = [
    ({"batch_size": 4, "mix": 0.2}, TypeError, "fit: expected mix to be"),
    ({"batch_size": 4, "mix": MixUp}, TypeError, "fit: expected mix to be"),
    ({"mix": MixUp()}, ValueError, "fit: expected batches of at least 2 samples.*batch_size=1; give batch_size=32"),
]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED)
def test_refused(rng, options, error, message):
    network = classifier()
    network.build((4, 4))
    before = network.get_weights()[0], network._rng.bit_generator.state
    with pytest.raises(error, match=message):
        network.fit(rng.random((8, 4, 4)), np.arange(8) % 3, **options)
    assert (network.get_weights()[0] == before[0]).all()
    assert network._rng.bit_generator.state == before[1]


def test_cutmix_refuses_what_has_no_rectangle(rng):
    network = GWUNetwork([Dense(3, activation="softmax")])
    network.compile("cross_entropy")
    with pytest.raises(ShapeError, match="fit: expected images for CutMix, got features"):
        network.fit(rng.random((8, 4)), np.arange(8) % 3, batch_size=4, mix=CutMix())
    network.fit(rng.random((8, 4)), np.arange(8) % 3, batch_size=4, mix=MixUp(), verbose=0)
    network = GWUNetwork([MaxPooling2D(), Conv2D(1, 1)])
    network.compile("mse")
    x = rng.random((8, 4, 4))
    with pytest.raises(ShapeError, match=r"fit: expected outputs of the size of the images, \(4, 4\)"):
        network.fit(x, x[:, ::2, ::2], batch_size=4, mix=CutMix())
    network = GWUNetwork([Conv2D(1, 1)])
    network.compile("mse")
    with pytest.raises(ValueError, match="expected no sample weights for CutMix of outputs that are images"):
        network.fit(x, x, batch_size=4, mix=CutMix(), sample_weight=np.ones(8))
    with pytest.raises(ValueError, match="batch 1.*: expected no sample weights for CutMix"):
        network.fit(Batches((x, x, np.ones(8))), mix=CutMix(), verbose=0)


@pytest.mark.parametrize("kind", [MixUp, CutMix])
@pytest.mark.parametrize("alpha", [0, -1, np.nan, np.inf, "0.2", None])
def test_alpha_is_positive(kind, alpha):
    with pytest.raises(ValueError, match=f"{kind.__name__}: expected alpha to be a positive number"):
        kind(alpha)


def test_defaults():
    assert (repr(MixUp()), repr(CutMix())) == ("MixUp(alpha=0.2)", "CutMix(alpha=1.0)")
