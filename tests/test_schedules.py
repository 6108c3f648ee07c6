"""Learning rate schedules: closed forms, PyTorch's OneCycleLR, and their use by optimizers and networks."""

import json

import numpy as np
import pytest

from gwucnn import SGD, Adam, CosineDecay, ExponentialDecay, OneCycle, PiecewiseConstant, Schedule
from gwucnn.memory.parameters import Arena, Parameter
from gwucnn.optimizers import OPTIMIZERS
from gwucnn.schedules import SCHEDULES, schedule
from trainees import small, small_data

STEPS = np.arange(60)

# What each should be at every one of STEPS, by numpy.
CLOSED_FORMS = [
    (ExponentialDecay(0.1, 20, 0.5), 0.1 * np.exp(np.log(0.5) * STEPS / 20)),
    (ExponentialDecay(0.1, 20, 0.5, True), 0.1 / 2.0 ** (STEPS // 20)),
    (ExponentialDecay(2, 7, 1.1), 2 * np.exp(STEPS * np.log(1.1) / 7)),
    (CosineDecay(0.1, 40), 0.1 * np.cos(np.pi / 2 * np.minimum(STEPS, 40) / 40) ** 2),
    (CosineDecay(0.2, 40, 0.25), 0.05 + 0.15 * np.cos(np.pi / 2 * np.minimum(STEPS, 40) / 40) ** 2),
    (CosineDecay(0.2, 40, 1.0), np.full(60, 0.2)),
    (
        CosineDecay(0.0, 30, 0.1, 0.5, 10),
        np.where(
            STEPS < 10,
            0.05 * STEPS,
            0.05 + 0.45 * np.cos(np.pi / 2 * np.clip((STEPS - 10) / 30, 0, 1)) ** 2,
        ),
    ),
    (
        CosineDecay(1.0, 30, warmup_target=0.5, warmup_steps=10),
        np.where(STEPS < 10, 1 - 0.05 * STEPS, 0.5 * np.cos(np.pi / 2 * np.clip((STEPS - 10) / 30, 0, 1)) ** 2),
    ),
    (
        PiecewiseConstant([10, 30], [0.3, 0.2, 0.1]),
        np.select([STEPS <= 10, STEPS <= 30], [0.3, 0.2], 0.1),
    ),
    (PiecewiseConstant([], [0.3]), np.full(60, 0.3)),
    (
        OneCycle(1.0, 50),
        np.where(
            STEPS <= 14,
            1 / 25 + 24 / 25 * np.sin(np.pi / 2 * STEPS / 14) ** 2,
            4e-6 + (1 - 4e-6) * np.cos(np.pi / 2 * np.clip((STEPS - 14) / 35, 0, 1)) ** 2,
        ),
    ),
]
ids = [f"{made}" for made, _ in CLOSED_FORMS]
every_schedule = pytest.mark.parametrize("made", [made for made, _ in CLOSED_FORMS], ids=ids)


@pytest.mark.parametrize(("made", "rates"), CLOSED_FORMS, ids=ids)
def test_closed_forms(made, rates):
    np.testing.assert_allclose([made(step) for step in range(60)], rates, rtol=1e-12, atol=1e-17)
    assert all(type(made.rate(step)) is float for step in (0, 3, 59))


def test_far_behind_the_end():
    assert CosineDecay(0.1, 10)(10**9) == 0
    assert CosineDecay(0.1, 10, 0.5)(10**9) == 0.05
    assert PiecewiseConstant([3], [0.2, 0.1])(10**9) == 0.1
    assert OneCycle(1.0, 10)(10**9) == pytest.approx(4e-6, rel=1e-12)
    assert ExponentialDecay(0.1, 10, 0.5)(10**6) == 0


@pytest.mark.parametrize(
    "options",
    [{}, {"pct_start": 0.5}, {"div_factor": 4.0, "final_div_factor": 10.0}, {"pct_start": 0.01}],
)
def test_one_cycle_is_pytorchs(options):
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    cycle = torch.optim.lr_scheduler.OneCycleLR(theirs, 0.7, 37, cycle_momentum=False, **options)
    made = OneCycle(0.7, 37, **options)
    for step in range(37):
        assert made(step) == pytest.approx(theirs.param_groups[0]["lr"], rel=1e-12)
        theirs.step()
        if step < 36:
            cycle.step()


# ----------------------------------------------------------------------------------------------- written down


@every_schedule
def test_written_down_and_made_again(made):
    text = json.dumps({"class_name": type(made).__name__, "config": made.config()})
    again = schedule("SGD", "lr", json.loads(text))
    assert type(again) is type(made) and repr(again) == repr(made) == repr(eval(repr(made)))
    assert [again(step) for step in range(60)] == [made(step) for step in range(60)]


def test_every_schedule_is_in_the_table():
    assert SCHEDULES.keys() == {type(made).__name__ for made, _ in CLOSED_FORMS}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"class_name": "Cosine", "config": {}}, "SGD: expected lr to be one of 'ExponentialDecay', 'CosineDecay', "
         "'PiecewiseConstant', 'OneCycle'"),
        ({"class_name": "CosineDecay"}, "SGD: expected lr as {'class_name': ..., 'config': {...}}, got {'class_name': "
         "'CosineDecay'}"),
        (CosineDecay, "SGD: expected lr to be a schedule, got its class; write CosineDecay(...)"),
        (lambda step: 0.1, "SGD: expected lr to be a positive number, got <function"),
    ],
)  # fmt: skip
def test_invalid_schedule(given, message):
    with pytest.raises(ValueError) as caught:
        SGD(given)
    assert str(caught.value).startswith(message)


# ---------------------------------------------------------------------------------------------- in optimizers


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_a_new_rate_for_each_update(name):
    """The same course as by numbers that are set by hand."""
    rates = PiecewiseConstant([0, 2], [0.5, 0.125, 0.25])
    planned, by_hand = OPTIMIZERS[name](rates), OPTIMIZERS[name](lr=1.0)
    assert planned.lr == 0.5 and planned.schedule is rates and by_hand.schedule is None
    arenas = []
    for moves in (planned, by_hand):
        arena = Arena([Parameter("w", (9,), None)], "float64")
        moves.bind(arena)
        arenas.append(arena)
    for step, gradient in enumerate(np.random.default_rng(0).standard_normal((5, 9))):
        for arena in arenas:
            arena.grads[...] = gradient
        by_hand.lr = rates(step)
        planned.step()
        by_hand.step()
        assert planned.lr == rates(step)
        np.testing.assert_array_equal(arenas[0].values, arenas[1].values)


def test_a_number_ends_a_schedule_and_a_schedule_goes_on_at_the_update_reached():
    moves, arena = SGD(ExponentialDecay(1.0, 1, 0.5)), Arena([Parameter("w", (1,), None)], "float64")
    moves.bind(arena)
    for _ in range(3):
        moves.step()
    assert moves.lr == 0.25
    moves.lr = 0.1
    moves.step()
    assert moves.lr == 0.1 and moves.schedule is None
    moves.lr = ExponentialDecay(1.0, 1, 0.5)
    assert moves.lr == 1 / 16
    moves.step()
    assert moves.lr == 1 / 16


def test_a_rate_of_zero_moves_nothing():
    moves, arena = Adam(CosineDecay(1.0, 1)), Arena([Parameter("w", (3,), None)], "float64")
    moves.bind(arena)
    arena.grads[...] = 1
    moves.step()
    before = arena.values.copy()
    moves.step()
    np.testing.assert_array_equal(arena.values, before)
    assert moves.lr == 0 and before.all()


def test_optimizers_with_schedules_are_written_down():
    moves = Adam(CosineDecay(0.1, 100), beta_1=0.5)
    assert eval(repr(moves)).config() == moves.config()
    again = Adam(**json.loads(json.dumps(moves.config())))
    assert repr(again) == repr(moves)
    assert type(again.schedule) is CosineDecay and again.schedule is not moves.schedule
    assert SGD(moves.config()["lr"]).lr == 0.1


def test_a_schedule_of_ones_own():
    class Sawtooth(Schedule):
        def __init__(self, period):
            self.period = period

        def __call__(self, step):
            return 1.0 - step % self.period / self.period

    class Broken(Schedule):
        def __call__(self, step):
            return -0.5 if step else 0.5

    assert repr(Sawtooth(4)) == "Sawtooth(period=4)" and Sawtooth(4).config() == {"period": 4}
    assert SGD(Sawtooth(4)).lr == 1.0
    moves = SGD(Broken())
    moves.bind(Arena([Parameter("w", (1,), None)], "float64"))
    moves.step()
    with pytest.raises(ValueError, match="^Broken: expected a learning rate of at least 0, got -0.5 at step 1$"):
        moves.step()
    assert moves.updates == 1
    with pytest.raises(TypeError, match=r"^Broken: expected no arguments, got \(3,\); define __init__ to take them$"):
        Broken(3)
    with pytest.raises(NotImplementedError, match=r"^Schedule: expected a schedule that defines __call__\(step\)"):
        Schedule()(0)


# ------------------------------------------------------------------------------------------------ in networks


def test_networks_step_it_with_each_batch_and_record_it(rng):
    """20 images in batches of 8 are 3 updates: the record holds the rate of the last of each epoch."""
    x, y = small_data(rng)
    rates = ExponentialDecay(0.1, 3, 0.5)
    for made in (small(lr=rates), small(lr=rates, optimizer="adam"), small(lr=None, optimizer=SGD(rates))):
        history = made.fit(x, y, epochs=3, batch_size=8).history
        assert history["lr"] == [rates(2), rates(5), rates(8)]
        made.fit(x, y, epochs=4, initial_epoch=3, batch_size=8)
        assert made.fit(x, y, batch_size=20).history["lr"] == [rates(12)]


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ExponentialDecay(0, 1, 1), "ExponentialDecay: expected initial_learning_rate to be a positive number, got 0"),
        (lambda: ExponentialDecay(1, 0, 1), "ExponentialDecay: expected decay_steps to be an integer of at least 1, got 0"),
        (lambda: ExponentialDecay(1, 1, -1), "ExponentialDecay: expected decay_rate to be a positive number, got -1"),
        (lambda: ExponentialDecay(1, 1, 1, "no"), "ExponentialDecay: expected staircase to be True or False, got 'no'"),
        (lambda: CosineDecay(0, 10), "CosineDecay: expected initial_learning_rate to be a positive number, got 0"),
        (lambda: CosineDecay(-1, 10, 0, 1, 1),
         "CosineDecay: expected initial_learning_rate to be a number of at least 0, got -1"),
        (lambda: CosineDecay(1, 2.5), "CosineDecay: expected decay_steps to be an integer of at least 1, got 2.5"),
        (lambda: CosineDecay(1, 1, 1.5), "CosineDecay: expected alpha to be a number from 0 to less than 1, got 1.5"),
        (lambda: CosineDecay(1, 1, warmup_steps=5),
         "CosineDecay: expected warmup_target and warmup_steps together, got None and 5; give both or none"),
        (lambda: CosineDecay(1, 1, warmup_target=0.5),
         "CosineDecay: expected warmup_target and warmup_steps together, got 0.5 and 0; give both or none"),
        (lambda: PiecewiseConstant([1], [1]), "PiecewiseConstant: expected one value more than boundaries, got 1 values and 1 "
         "boundaries"),
        (lambda: PiecewiseConstant([2, 1], [3, 2, 1]), "PiecewiseConstant: expected boundaries that rise, got [2, 1]"),
        (lambda: PiecewiseConstant([1, 1], [3, 2, 1]), "PiecewiseConstant: expected boundaries that rise, got [1, 1]"),
        (lambda: PiecewiseConstant([0.5], [2, 1]),
         "PiecewiseConstant: expected each of boundaries to be an integer of at least 0, got 0.5"),
        (lambda: PiecewiseConstant([1], [2, 0]), "PiecewiseConstant: expected each of values to be a positive number, got 0"),
        (lambda: OneCycle(1, 1), "OneCycle: expected total_steps to be an integer of at least 2, got 1"),
        (lambda: OneCycle(1, 10, 1.0), "OneCycle: expected pct_start to be a number from 0 to less than 1, got 1.0"),
        (lambda: OneCycle(1, 10, div_factor=0), "OneCycle: expected div_factor to be a positive number, got 0"),
    ],
)  # fmt: skip
def test_numbers_that_no_schedule_takes(make, message):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_unknown_keywords():
    with pytest.raises(TypeError, match="got 'alpa'; did you mean 'alpha'\\?$"):
        CosineDecay(0.1, 10, alpa=0.1)
