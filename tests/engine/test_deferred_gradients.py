"""Deferred gradients: for a single image, the optimizer computes gradients of dense layers itself, bit-identically."""

import numpy as np
import pytest

from compare import integers, normals
from gwucnn import SGD, Conv2D, Dense, Flatten, GWUNetwork, MaxPooling2D, kernels
from gwucnn._ext.sweep import unread
from trainees import batch_by_batch

# Elements before the weights, features and units: rows of a vector and more, with any alignment.
SIZES = [(0, 5, 16), (3, 7, 17), (1, 1, 33), (20, 338, 100), (7, 41, 64), (2, 90, 131)]


def products(before, D, U, dtype, rng):
    """Return values, gradients, and the step that writes x[d] * dy[u] into the middle of the gradients."""
    values, grads = (normals(rng, (before + D * U + 5,), dtype) for _ in range(2))
    x, dy = normals(rng, (1, D), dtype), normals(rng, (1, U), dtype)
    x[0, 1::3], dy[0, ::5] = 0, -0.0
    dweight = grads[before : before + D * U].reshape(D, U)
    return values, grads, kernels.active.DenseFewRowsBackwardWeight(x, dy, dweight, False)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_an_update_that_computes_gradients_is_bit_identical(sizes, isa, dtype, rng):
    values, grads, step = products(*sizes, dtype, rng)
    step()
    plain, plain_grads = values.copy(), grads.copy()
    update = kernels.active.SGD(plain, plain_grads, None, 0.0, False)
    update.lr = 0.1
    update()
    grads[sizes[0] : sizes[0] + sizes[1] * sizes[2]] = np.nan
    update = kernels.active.SGD(values, grads, None, 0.0, False)
    update.lr = 0.1
    update.defer_gradients([step])
    step()
    assert np.isnan(grads).sum() == sizes[1] * sizes[2]
    update()
    assert values.tobytes() == plain.tobytes()
    update.apply_deferred()
    assert grads.tobytes() == plain_grads.tobytes()
    grads[...] = 0
    step()
    assert grads.any()


def test_threads_that_share_an_update_compute_its_gradients(isa, dtype, threads, rng):
    threads(2)
    sizes = (11, 1300, 101)  # enough work for two threads
    values, grads, step = products(*sizes, dtype, rng)
    step()
    update = kernels.active.SGD(values, grads, None, 0.0, False)
    update.lr, before = 0.5, values.copy()
    update()
    plain = values.copy()
    values[...] = before
    update.defer_gradients([step])
    grads[sizes[0] : -5] = np.nan
    update()
    assert values.tobytes() == plain.tobytes()


def test_several_layers_in_any_order_and_more_than_can_be_deferred(isa, dtype, rng):
    steps, places, size = [], [], 3
    for units in (20, 16, 33, 18, 40, 17):
        places.append((size, 6, units))
        size += 6 * units + units
    values, grads = integers(rng, (size,), dtype), integers(rng, (size,), dtype)
    for first, D, U in places:
        dweight = grads[first : first + D * U].reshape(D, U)
        x, dy = integers(rng, (1, D), dtype), integers(rng, (1, U), dtype)
        steps.append(kernels.active.DenseFewRowsBackwardWeight(x, dy, dweight, False))
    update = kernels.active.SGD(values, grads, None, 0.0, False)
    update.lr = 1.0
    update.defer_gradients(steps[::-1])
    for step in steps:
        step()
    before = values.copy()
    update()
    update.apply_deferred()
    np.testing.assert_array_equal(values, before - grads)


def test_gradients_that_cannot_be_deferred_are_read(isa, dtype, rng):
    """With momentum, in other memory, for rows shorter than a vector, for several samples, for accumulated gradients."""
    values, grads, step = products(0, 9, 40, dtype, rng)
    x, dy = normals(rng, (1, 9), dtype), normals(rng, (1, 40), dtype)
    kernel, dweight = kernels.active.DenseFewRowsBackwardWeight, grads[: 9 * 40].reshape(9, 40)
    velocity = np.zeros_like(values)
    other = np.zeros_like(values)
    narrow = kernel(x, dy[:, :1].copy(), grads[:9].reshape(9, 1), False)
    for update, late in [
        (kernels.active.SGD(values, grads, velocity, 0.9, False), step),
        (kernels.active.SGD(values, other, None, 0.0, False), step),
        (kernels.active.SGD(values[:200], grads[:200], None, 0.0, False), step),
        (kernels.active.SGD(values, grads, None, 0.0, False), narrow),
        (kernels.active.SGD(values, grads, None, 0.0, False), kernel(x, dy, dweight, True)),
        (
            kernels.active.SGD(values, grads, None, 0.0, False),
            kernel(np.repeat(x, 2, 0), np.repeat(dy, 2, 0), dweight, False),
        ),
        (kernels.active.SGD(values, grads, None, 0.0, False), kernels.active.FillZero(grads)),
    ]:
        update.defer_gradients([late])
        grads[...] = 7
        late()
        assert not (grads == 7).all()
        update.apply_deferred()


def test_memory_that_another_step_holds_is_not_unread(dtype, rng):
    _, grads, step = products(2, 9, 40, dtype, rng)
    finite = kernels.active.AllFinite(grads, [step])
    apart = kernels.active.FillZero(grads[:2])
    assert unread(step, [apart, step, finite], finite)
    assert not unread(step, [apart, step, finite], apart)
    assert not unread(step, [kernels.active.FillZero(grads[:3]), step, finite], finite)
    assert not unread(step, [kernels.active.FillZero(grads[-6:]), step], step)
    assert unread(step, [kernels.active.FillZero(grads[-5:]), step], step)


# ---------------------------------------------------------------------------------------- in a network

SAMPLES = 19


def network(dtype="float32", optimizer=None, units=(100, 33), **options):
    made = GWUNetwork(
        [
            Conv2D(2, 3),
            MaxPooling2D(),
            Flatten(),
            *(Dense(n, True, "relu") for n in units),
            Dense(2, False, "sigmoid"),
        ],
        seed=3,
        precision=str(dtype),
    )
    made.compile("log_loss", optimizer=SGD(0.05) if optimizer is None else optimizer, **options)
    return made


def ends(made):
    """Return all weights and all gradients, as bytes."""
    return made._engine.arena.values.tobytes(), made._engine.arena.grads.tobytes()


def images(rng, size=(11, 13)):
    return rng.random((SAMPLES, *size)), np.eye(2)[rng.integers(0, 2, SAMPLES)]


@pytest.mark.parametrize(
    "options",
    [{}, {"units": (16,)}, {"units": (17, 20, 33, 64, 40)}, {"units": (5,)}, {"global_clipnorm": 0.05}],
    ids=str,
)
@pytest.mark.parametrize("count", [1, 2])
def test_weights_and_gradients_are_those_of_batch_by_batch(options, count, isa, dtype, threads, rng):
    threads(count)
    x, y = images(rng)
    made, plain = network(dtype, **options), batch_by_batch(network(dtype, **options))
    for net in (made, plain):
        net.fit(x, y, epochs=2)
    assert ends(made) == ends(plain)


@pytest.mark.parametrize("name", ["adam", "momentum"])
def test_other_optimizers_read_their_gradients(name, rng):
    x, y = images(rng)
    nets = [network(optimizer=SGD(0.05, momentum=0.9) if name == "momentum" else name) for _ in range(2)]
    batch_by_batch(nets[1])
    for net in nets:
        net.fit(x, y, epochs=2)
    assert ends(nets[0]) == ends(nets[1])


def test_gradients_are_deferred_and_written_at_the_end(rng):
    """Makes sure that the other tests exercise deferred gradients at all."""
    x, y = images(rng)
    made = network()
    made.fit(x, y)
    optimizer, told = made.optimizer, []
    defer_gradients, apply_deferred = optimizer.defer_gradients, optimizer.apply_deferred
    optimizer.defer_gradients = lambda steps: (told.append(len(steps)), defer_gradients(steps))
    optimizer.apply_deferred = lambda: (
        told.append(np.array(made.layers[3].parameters[0].grad)),
        apply_deferred(),
    )
    made.fit(x, y)
    assert told[0] >= 2
    assert not np.array_equal(told[1], made.layers[3].parameters[0].grad)


class Watching(SGD):
    """Reads the gradients in `step`, as a user's own optimizer may."""

    def step(self):
        self.seen = [*getattr(self, "seen", []), self._arena.grads.copy()]
        super().step()


def test_a_replaced_optimizer_step_finds_the_gradients(rng):
    x, y = images(rng)
    nets = [network(optimizer=Watching(0.05)) for _ in range(2)]
    batch_by_batch(nets[1])
    for net in nets:
        net.fit(x, y, epochs=2)
    np.testing.assert_array_equal(nets[0].optimizer.seen, nets[1].optimizer.seen)


@pytest.mark.filterwarnings("ignore:fit. expected pixels")
def test_a_non_finite_batch_or_an_interruption_leaves_nothing_deferred(rng):
    x, y = images(rng)
    x[7] = 3e38 * rng.choice([-1, 1], x[7].shape)
    made = network()
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="batch 8: expected"):
        made.fit(x.astype("float32"), y, shuffle=False)
    x[7] = 0.5
    move, moved = made.optimizer._update, []

    class Interrupting:
        def __call__(self):
            moved.append(move())
            if len(moved) == 3:
                raise KeyboardInterrupt

        def __getattr__(self, name):
            return getattr(move, name)

        def __setattr__(self, name, value):
            setattr(move, name, value)

    made.optimizer._update = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y)
    made.optimizer._update = move
    plain = network()
    plain.fit(x[:1], y[:1])
    plain.set_weights(made.get_weights())
    for net in (made, plain):
        net.train_on_batch(x[:1], y[:1])
    assert ends(made) == ends(plain)
