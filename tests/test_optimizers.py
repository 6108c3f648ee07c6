"""Optimizers against formulae, PyTorch, and a first step worked out by hand; and what they reject."""

import gc
import json

import numpy as np
import pytest

import reference
from gwucnn import SGD, Adagrad, Adam, AdamW, Dense, GWUNetwork, RMSprop, kernels
from gwucnn.common.configurable import to_config
from gwucnn.common.errors import NotBuiltError
from gwucnn.initializers import zeros
from gwucnn.memory.parameters import Arena, Parameter
from gwucnn.optimizers import OPTIMIZERS, optimizer
from trainees import batch_by_batch

STEPS = 20
SIZES = [1, 7, 16, 4099]  # on both sides of what a vector and a thread's share hold

MOVES = [
    (SGD, {}),
    (SGD, {"lr": 0.5}),
    (SGD, {"lr": 0.1, "momentum": 0.9}),
    (SGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True}),
    (SGD, {"lr": 0.1, "weight_decay": 0.25}),
    (SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.25}),
    (SGD, {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.25}),
    (Adam, {}),
    (Adam, {"lr": 0.1, "weight_decay": 0.25, "epsilon": 1e-3}),
    (Adam, {"lr": 0.1, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}),
    (Adam, {"lr": 0.01, "beta_1": 0.0, "beta_2": 0.0}),
    (AdamW, {}),
    (AdamW, {"lr": 0.1, "weight_decay": 0.5, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}),
    (AdamW, {"weight_decay": 0.0}),
    (RMSprop, {}),
    (RMSprop, {"lr": 0.01, "rho": 0.5, "momentum": 0.9, "epsilon": 1e-3}),
    (RMSprop, {"lr": 0.01, "rho": 0.75, "centered": True, "epsilon": 0.5}),
    (RMSprop, {"lr": 0.01, "momentum": 0.5, "centered": True, "epsilon": 0.5}),
    (RMSprop, {"lr": 0.01, "rho": 0.0}),
    (Adagrad, {}),
    (Adagrad, {"lr": 0.1, "initial_accumulator_value": 0.0, "epsilon": 1e-3}),
]
every_move = pytest.mark.parametrize(
    ("kind", "options"), MOVES, ids=[f"{kind.__name__}-{'-'.join(options)}" for kind, options in MOVES]
)


def arena_of(values, frozen=0):
    """Return an arena that holds these values, the last `frozen` of them not to be trained."""
    trained = len(values) - frozen
    arena = Arena([Parameter("w", (trained,), zeros), Parameter("rest", (frozen,), zeros, False)], values.dtype)
    arena.values[...] = values
    return arena


class Twin:
    """The reference of an optimizer: it remembers what reference.py returns."""

    def __init__(self, moves, values):
        self.kind, self.options, self.steps = type(moves), moves.config(), 0
        self.values, zeros_alike = values.astype(np.float64), np.zeros(values.shape)
        count = {SGD: 1, Adam: 2, AdamW: 2, RMSprop: 3, Adagrad: 1}[self.kind]
        start = self.options.pop("initial_accumulator_value", 0.0)
        self.memory = [zeros_alike + start] * count

    def step(self, grads):
        self.steps += 1
        number = [self.steps] if self.kind in (Adam, AdamW) else []
        rule = getattr(reference, self.kind.__name__.lower())
        self.values, *self.memory = rule(self.values, grads, *self.memory, *number, **self.options)
        return self.values


def courses(kind, options, size, dtype, frozen=0):
    """Yield (values, reference values) after each of the steps on random gradients."""
    rng = np.random.default_rng(size)
    arena = arena_of(rng.standard_normal(size + frozen).astype(dtype), frozen)
    moves = kind(**options)
    moves.bind(arena)
    twin = Twin(moves, arena.values)
    for _ in range(STEPS):
        arena.grads[...] = grads = rng.standard_normal(size + frozen).astype(dtype)
        moves.step()
        yield arena.values, twin.step(grads)
    assert moves.updates == STEPS


@every_move
@pytest.mark.parametrize("size", SIZES)
def test_twenty_steps(kind, options, size, isa):
    for values, want in courses(kind, options, size, "float64"):
        np.testing.assert_allclose(values, want, rtol=1e-12, atol=1e-12)


@every_move
def test_twenty_steps_in_float32_only_round(kind, options, isa):
    """A value of about 1 is rounded in each step, by at most half a unit, and so is what is added to it."""
    for values, want in courses(kind, options, 4099, "float32"):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, want, rtol=0, atol=STEPS * 2**-24 * 4 * max(1, abs(want).max()))


@pytest.mark.parametrize("before", range(18))
def test_weights_may_begin_anywhere_in_a_cache_line(before, isa, dtype, rng):
    """The pass goes from line to line: it must leave out no number before the first, and take none twice."""
    arena = Arena([Parameter("first", (before,), zeros), Parameter("largest", (9000,), zeros)], dtype)
    arena.values[...], arena.grads[...] = rng.integers(-9, 9, (2, before + 9000))
    want = arena.values - arena.grads
    moves = SGD(1.0)
    moves.bind(arena)
    moves.step()
    np.testing.assert_array_equal(arena.values, want)


@every_move
def test_what_is_frozen_stays(kind, options):
    start = np.random.default_rng(7).standard_normal(12)
    for values, _ in courses(kind, options, 7, "float64", frozen=5):
        np.testing.assert_array_equal(values[7:], start[7:])
        assert (values[:7] != start[:7]).all()


def torch_twin(torch, moves, parameters):
    """Return PyTorch's optimizer with the same numbers under its own names."""
    names = {"rho": "alpha", "epsilon": "eps"}
    given = {names.get(name, name): value for name, value in moves.config().items()}
    if "beta_1" in given:
        given["betas"] = given.pop("beta_1"), given.pop("beta_2")
    return getattr(torch.optim, type(moves).__name__)(parameters, **given)


@every_move
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_pytorch_makes_the_same_steps(kind, options, precision):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    arena = arena_of(rng.standard_normal(100).astype(precision))
    moves = kind(**options)
    moves.bind(arena)
    twin = torch.nn.Parameter(torch.from_numpy(arena.values.copy()))
    theirs = torch_twin(torch, moves, [twin])
    for _ in range(STEPS):
        arena.grads[...] = rng.standard_normal(100)
        twin.grad = torch.from_numpy(arena.grads.copy())
        moves.step()
        theirs.step()
        room = 1e-12 if precision == "float64" else STEPS * 2**-24 * 4
        np.testing.assert_allclose(arena.values, twin.detach().numpy(), rtol=room, atol=room)


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("make", [lambda: SGD(0.1, weight_decay=0.25), lambda: Adam(0.01, weight_decay=0.25)])
def test_weight_decay_of_a_network(make, batch_size, rng):
    """The same in sweeps as batch by batch, also where the optimizer could compute gradients itself; biases decay."""
    x, y = rng.random((12, 20)), rng.integers(0, 17, 12)
    results = []
    for wrap in (lambda network: network, batch_by_batch):
        network = wrap(GWUNetwork([Dense(17, True, "softmax", input_size=20)], precision="float64", seed=1))
        network.compile("cross_entropy", optimizer=make())
        network.build(20)
        start = network.get_weights()
        network.fit(x, y, epochs=3, batch_size=batch_size)
        results.append(np.concatenate([weight.ravel() for weight in network.get_weights()]))
    np.testing.assert_array_equal(*results)

    kernel, bias = start
    twin, shuffled = Twin(make(), results[0]), np.random.default_rng(0)
    twin.values = np.concatenate([kernel.ravel(), bias])
    ordered = GWUNetwork([Dense(17, True, "softmax", input_size=20)], precision="float64", seed=1)
    ordered.compile("cross_entropy", optimizer=make())
    ordered.build(20)
    for _ in range(4):
        numbers = shuffled.permutation(12)[:batch_size]
        kernel, bias = twin.values[:-17].reshape(20, 17), twin.values[-17:]
        z = np.exp(x[numbers] @ kernel + bias)
        dz = (z / z.sum(axis=1, keepdims=True) - np.eye(17)[y[numbers]]) / batch_size
        twin.step(np.concatenate([(x[numbers].T @ dz).ravel(), dz.sum(axis=0)]))
        ordered.train_on_batch(x[numbers], y[numbers])
    trained = np.concatenate([weight.ravel() for weight in ordered.get_weights()])
    np.testing.assert_allclose(trained, twin.values, rtol=1e-10, atol=1e-12)


# ------------------------------------------------------------------------------------------ by hand, on paper


def two_steps(moves):
    """Return the values after one and after two steps from 1.0 with the gradients 0.5 and then -1.0."""
    arena = arena_of(np.array([1.0]))
    moves.bind(arena)
    values = []
    for gradient in (0.5, -1.0):
        arena.grads[...] = gradient
        moves.step()
        values.append(arena.values[0])
    return values


def test_sgd_by_hand():
    # 1 - 0.1 * 0.5 = 0.95;  0.95 - 0.1 * -1 = 1.05
    assert two_steps(SGD(0.1)) == pytest.approx([0.95, 1.05], abs=1e-15)


def test_momentum_by_hand():
    # velocity 0.5:                     1 - 0.1 * 0.5     = 0.95
    # velocity 0.9 * 0.5 - 1 = -0.55:   0.95 + 0.1 * 0.55 = 1.005
    assert two_steps(SGD(0.1, momentum=0.9)) == pytest.approx([0.95, 1.005], abs=1e-15)


def test_nesterov_by_hand():
    # velocity 0.5,    direction 0.5 + 0.9 * 0.5 = 0.95:       1 - 0.1 * 0.95      = 0.905
    # velocity -0.55,  direction -1 + 0.9 * -0.55 = -1.495:    0.905 + 0.1 * 1.495 = 1.0545
    assert two_steps(SGD(0.1, momentum=0.9, nesterov=True)) == pytest.approx([0.905, 1.0545], abs=1e-15)


def test_weight_decay_by_hand():
    # 1 - 0.1 * (0.5 + 0.5 * 1) = 0.9;  0.9 - 0.1 * (-1 + 0.5 * 0.9) = 0.955
    assert two_steps(SGD(0.1, weight_decay=0.5)) == pytest.approx([0.9, 0.955], abs=1e-15)


def test_adam_by_hand():
    # Step 1: m = 0.1 * 0.5 = 0.05, v = 0.001 * 0.25 = 0.00025; both unbiased: 0.05 / 0.1 = 0.5, 0.00025 / 0.001 = 0.25.
    #         1 - 0.1 * 0.5 / (0.5 + 1e-7) = 0.90000002: the first step is lr long, whatever the gradient's size.
    # Step 2: m = 0.9 * 0.05 - 0.1 = -0.055,  / (1 - 0.81)     = -0.28947368
    #         v = 0.999 * 0.00025 + 0.001 = 0.00124975, / (1 - 0.998001) = 0.62518759, root 0.79068804
    #         0.90000002 + 0.1 * 0.28947368 / (0.79068804 + 1e-7) = 0.93661036
    assert two_steps(Adam(0.1)) == pytest.approx([0.90000002, 0.93661036], abs=1e-8)


def test_adamw_by_hand():
    # Adam's step 1 from 1 - 0.1 * 0.5 * 1 = 0.95:            0.95 - 0.1       = 0.85
    # Step 2 from 0.85 * 0.95 = 0.8075, moved as Adam's above: 0.8075 + 0.03661 = 0.84411
    assert two_steps(AdamW(0.1, weight_decay=0.5)) == pytest.approx([0.85, 0.84411035], abs=1e-7)


def test_rmsprop_by_hand():
    # square 0.1 * 0.25 = 0.025, root 0.15811388:             1 - 0.01 * 0.5 / root  = 0.96837722
    # square 0.9 * 0.025 + 0.1 = 0.1225, root 0.35:           0.96837722 + 0.01 / 0.35 = 0.99694865
    assert two_steps(RMSprop(0.01)) == pytest.approx([0.96837722, 0.99694865], abs=1e-7)


def test_adagrad_by_hand():
    # accumulator 0.1 + 0.25 = 0.35, root 0.59160798:         1 - 0.1 * 0.5 / root    = 0.91548457
    # accumulator 1.35, root 1.16189500:                      0.91548457 + 0.1 / root = 1.00155088
    assert two_steps(Adagrad(0.1)) == pytest.approx([0.91548457, 1.00155088], abs=1e-7)


def test_centered_averages_of_equal_gradients_leave_nothing_under_the_root(isa, dtype):
    """square - mean**2 is a little more or less than 0 then, and the root of less would be NaN."""
    rng, moves = np.random.default_rng(0), RMSprop(1e-9, centered=True)
    arena = arena_of(np.zeros(1000, dtype))
    moves.bind(arena)
    arena.grads[...] = rng.uniform(0.1, 10, 1000)
    for _ in range(400):
        moves.step()
    assert np.isfinite(arena.values).all()


@every_move
def test_nan_in_a_gradient_is_not_hidden(kind, options, isa):
    arena, moves = arena_of(np.ones(20)), kind(**options)
    moves.bind(arena)
    arena.grads[3] = np.nan
    moves.step()
    assert np.isnan(arena.values[3]) and np.isfinite(np.delete(arena.values, 3)).all()


# --------------------------------------------------------------------------------------------------- binding


def test_lr_may_change_between_batches():
    arena = arena_of(np.zeros(3))
    arena.grads[...] = 1
    moves = SGD(1.0)
    moves.bind(arena)
    moves.step()
    moves.lr = 0.25
    moves.step()
    np.testing.assert_array_equal(arena.values, [-1.25] * 3)


def test_slots_have_names_and_the_size_of_what_is_trained():
    for moves, names in [
        (SGD(), []),
        (SGD(momentum=0.5), ["velocity"]),
        (Adam(), ["m", "v"]),
        (AdamW(), ["m", "v"]),
        (RMSprop(), ["square"]),
        (RMSprop(momentum=0.5), ["square", "velocity"]),
        (RMSprop(centered=True), ["square", "mean"]),
        (RMSprop(momentum=0.5, centered=True), ["square", "mean", "velocity"]),
    ]:
        moves.bind(arena_of(np.zeros(7), frozen=2))
        assert list(moves.slots) == names
        assert all(slot.shape == (5,) and not slot.any() for slot in moves.slots.values())
    moves = Adagrad(initial_accumulator_value=0.25)
    moves.bind(arena_of(np.zeros(7, "float32"), frozen=2))
    assert moves.slots["accumulator"].tolist() == [0.25] * 5
    assert moves.slots["accumulator"].dtype == np.float32


@every_move
def test_slots_and_updates_are_all_that_is_remembered(kind, options):
    """Written into another optimizer, they let it go on bit for bit: what a checkpoint does."""
    rng = np.random.default_rng(5)
    arena, first = arena_of(rng.standard_normal(30)), kind(**options)
    first.bind(arena)
    for _ in range(3):
        arena.grads[...] = rng.standard_normal(30)
        first.step()
    other, second = arena_of(arena.values), kind(**json.loads(json.dumps(first.config())))
    second.bind(other)
    for name, slot in first.slots.items():
        second.slots[name][...] = slot
    second.updates = first.updates
    for _ in range(3):
        arena.grads[...] = other.grads[...] = rng.standard_normal(30)
        first.step()
        second.step()
        np.testing.assert_array_equal(arena.values, other.values)


def test_binding_again_goes_on_and_binding_to_another_starts_anew():
    arena, moves = arena_of(np.zeros(3)), Adam()
    moves.bind(arena)
    arena.grads[...] = 1
    moves.step()
    moves.bind(arena)
    assert moves.updates == 1 and moves.slots["m"].all()
    moves.bind(arena_of(np.zeros(4)))
    assert moves.updates == 0 and moves.slots["m"].tolist() == [0] * 4


def test_another_instruction_set_goes_on_where_the_first_stopped():
    """Kernels may be exchanged in the middle of a training."""
    before, values = kernels.isa(), []
    for switches in (False, True):
        arena, moves = arena_of(np.zeros(5)), Adam(0.1)
        moves.bind(arena)
        for step, name in enumerate(kernels.supported() * 2):
            kernels.select(name if switches else before)
            arena.grads[...] = np.arange(5) - step
            moves.step()
            assert type(moves._update).__module__ == f"gwucnn._ext.{kernels.MODULES[kernels.isa()]}"
        kernels.select(before)
        values.append(arena.values)
    np.testing.assert_allclose(*values, rtol=1e-14)


def test_nothing_to_train():
    moves = Adam()
    moves.bind(arena_of(np.zeros(0)))
    moves.step()
    assert moves.updates == 1


def test_a_step_before_weights_are_known():
    with pytest.raises(
        NotBuiltError, match=r"^step: expected an optimizer that is bound .*; call bind\(arena\) first$"
    ):
        SGD().step()


def test_one_optimizer_for_two_networks_is_an_error():
    """It would move the weights of the second when the first is trained."""
    shared = Adam()
    first, second = (GWUNetwork([Dense(1, input_size=2)]) for _ in range(2))
    first.compile("mse", optimizer=shared)
    first.compile("mse", optimizer=shared)
    with pytest.raises(ValueError) as caught:
        second.compile("mse", optimizer=shared)
    assert str(caught.value) == (
        "compile: expected an optimizer that no other network uses, got Adam(lr=0.001, beta_1=0.9, beta_2=0.999, "
        "epsilon=1e-07, weight_decay=0.0); make a new one"
    )
    del first
    gc.collect()
    second.compile("mse", optimizer=shared)


# --------------------------------------------------------------------------------------------- names, errors


def test_by_name_as_a_class_and_as_an_object():
    for name, kind in OPTIMIZERS.items():
        assert repr(optimizer(name, None)) == repr(kind())
        assert optimizer(name, 0.5).lr == 0.5
        assert optimizer(kind, np.float32(0.25)).lr == 0.25
    given = Adam(0.125)
    assert optimizer(given, None) is given
    again = optimizer(json.loads(json.dumps(to_config(given))), None)
    assert type(again) is Adam and again.config() == given.config()
    with pytest.raises(ValueError) as caught:
        optimizer(SGD(), 0.1)
    assert str(caught.value) == (
        "compile: expected lr inside the optimizer, got lr=0.1 beside SGD(lr=0.01, momentum=0.0, nesterov=False, "
        "weight_decay=0.0); leave it out"
    )


def test_repr_is_the_call_that_makes_it():
    for moves in (
        SGD(1, 0.5, True, 0.25),
        Adam(0.5, 0.25, 0.125, 1.0, 0.75),
        AdamW(0.5, 0.25, 0.125, 0.75, 1.0),
        RMSprop(0.5, 0.25, 0.125, 1.0, True),
        Adagrad(0.5, 0.25, 0.125),
    ):
        assert repr(eval(repr(moves))) == repr(moves)
        assert type(moves)(**moves.config()).config() == moves.config()


@pytest.mark.parametrize(
    ("name", "hint"), [("Adam", "; did you mean 'adam'?"), ("adm", "; did you mean 'adam'?"), (1, "")]
)
def test_unknown_optimizers(name, hint):
    names = "'sgd', 'adam', 'adamw', 'rmsprop', 'adagrad'"
    with pytest.raises(ValueError) as caught:
        optimizer(name, None)
    assert str(caught.value) == f"compile: expected optimizer to be one of {names}, got {name!r}{hint}"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0), "SGD: expected lr to be a positive number, got 0"),
        (lambda: SGD(-0.1), "SGD: expected lr to be a positive number, got -0.1"),
        (
            lambda: Adam("0.1"),
            "Adam: expected lr to be a positive number, got '0.1'; write 0.1 without quotes",
        ),
        (lambda: Adam(float("nan")), "Adam: expected lr to be a positive number, got nan"),
        (lambda: Adam(float("inf")), "Adam: expected lr to be a positive number, got inf"),
        (lambda: Adam(None), "Adam: expected lr to be a positive number, got None"),
        (lambda: SGD(True), "SGD: expected lr to be a positive number, got True"),
        (lambda: setattr(SGD(), "lr", -1), "SGD: expected lr to be a positive number, got -1"),
        (lambda: SGD(momentum=1), "SGD: expected momentum to be a number from 0 to less than 1, got 1"),
        (lambda: SGD(momentum=-0.5), "SGD: expected momentum to be a number from 0 to less than 1, got -0.5"),
        (
            lambda: SGD(momentum="0.9"),
            "SGD: expected momentum to be a number from 0 to less than 1, got '0.9'; write 0.9 without quotes",
        ),
        (
            lambda: SGD(nesterov=True),
            "SGD: expected momentum above 0 with nesterov=True, got 0; try momentum=0.9",
        ),
        (lambda: SGD(0.1, 0.9, "yes"), "SGD: expected nesterov to be True or False, got 'yes'"),
        (lambda: SGD(weight_decay=-1), "SGD: expected weight_decay to be a number of at least 0, got -1"),
        (lambda: Adam(weight_decay=-1), "Adam: expected weight_decay to be a number of at least 0, got -1"),
        (lambda: Adam(beta_1=1.0), "Adam: expected beta_1 to be a number from 0 to less than 1, got 1.0"),
        (lambda: Adam(beta_2=2), "Adam: expected beta_2 to be a number from 0 to less than 1, got 2"),
        (lambda: Adam(epsilon=0), "Adam: expected epsilon to be a positive number, got 0"),
        (lambda: AdamW(beta_2=2), "AdamW: expected beta_2 to be a number from 0 to less than 1, got 2"),
        (
            lambda: AdamW(weight_decay=-1),
            "AdamW: expected weight_decay to be a number of at least 0, got -1",
        ),
        (lambda: RMSprop(rho=1), "RMSprop: expected rho to be a number from 0 to less than 1, got 1"),
        (
            lambda: RMSprop(momentum=-1),
            "RMSprop: expected momentum to be a number from 0 to less than 1, got -1",
        ),
        (lambda: RMSprop(epsilon=0), "RMSprop: expected epsilon to be a positive number, got 0"),
        (lambda: RMSprop(centered=2), "RMSprop: expected centered to be True or False, got 2"),
        (
            lambda: Adagrad(initial_accumulator_value=float("inf")),
            "Adagrad: expected initial_accumulator_value to be a number of at least 0, got inf",
        ),
        (lambda: Adagrad(epsilon=-1), "Adagrad: expected epsilon to be a positive number, got -1"),
    ],
)
def test_numbers_that_no_optimizer_takes(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_unknown_keywords():
    with pytest.raises(TypeError) as caught:
        SGD(momentun=0.9)
    assert str(caught.value) == (
        "SGD: expected the arguments lr, momentum, nesterov, weight_decay, got 'momentun'; did you mean 'momentum'?"
    )
