"""Programs run bound steps without Python code in between; spaces bind the steps."""

import gc
import weakref

import numpy as np
import pytest

from compare import assert_exact
from gwucnn import ops
from gwucnn._ext.step import Program
from gwucnn.memory.workspace import Space


def test_a_program_runs_its_steps_in_order(rng):
    x = rng.standard_normal((3, 4))
    y, z = np.empty_like(x), np.empty_like(x)
    program = Program([ops.relu.bind(x, out=y), ops.sigmoid.bind(y, out=z)])
    assert len(program) == 2
    for _ in range(2):
        x *= -1
        y.fill(np.nan)
        z.fill(np.nan)
        assert program() is None
        assert_exact(z, ops.sigmoid(ops.relu(x)), np.float64)
    assert len(Program([])) == 0
    assert Program(iter([]))() is None


def test_a_program_reuses_prepared_weights_on_request(rng, isa):
    """A step prepares its weights again at each call, unless the caller guarantees that they have not changed."""
    x, weight = rng.standard_normal((2, 6, 6, 3)), rng.standard_normal((3, 3, 3, 5))
    y = np.empty((2, 4, 4, 5))
    program = Program([ops.conv2d.bind(x, weight, out=y)])
    program(same_weights=True)  # the first call prepares the weights in any case
    first = ops.conv2d(x, weight)
    assert_exact(y, first, np.float64)
    weight *= 2
    program(same_weights=True)
    assert_exact(y, first, np.float64)
    x *= 3
    program(same_weights=True)
    assert_exact(y, ops.conv2d(x, weight / 2), np.float64)
    program()
    assert_exact(y, ops.conv2d(x, weight), np.float64)


def test_a_program_keeps_its_steps_and_their_arrays_alive(rng):
    x, y = rng.standard_normal((2, 100))
    want = ops.relu(x)
    step = ops.relu.bind(x, out=y)
    program = Program([step])
    alive = weakref.ref(x)
    del x, step
    gc.collect()
    assert alive() is not None
    program()
    assert_exact(y, want, np.float64)
    del program
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize("wrong", [1, None, np.zeros(3), lambda: None, ops.relu])
def test_a_program_accepts_only_steps(wrong):
    step = ops.fill_zero.bind(out=np.ones(3))
    with pytest.raises(TypeError, match="^Program: expected steps, got "):
        Program([step, wrong])
    with pytest.raises(TypeError):
        Program(wrong)


def test_a_space_binds_a_new_step_for_another_array(rng):
    """A step is reused only for the same array object, not for a different array, whatever its contents."""
    space, x = Space("float64"), rng.standard_normal((2, 3))
    out = space.array("y", x.shape)
    assert space.run("relu", ops.relu, x, out=out) is out
    step = space.step("relu")
    space.run("relu", ops.relu, x, out=out)
    assert space.step("relu") is step
    other = -x
    space.run("relu", ops.relu, other, out=out)
    assert space.step("relu") is not step
    assert_exact(out, ops.relu(other), np.float64)
    larger = rng.standard_normal((4, 3))
    moved = space.array("y", larger.shape)
    assert_exact(space.run("relu", ops.relu, larger, out=moved), ops.relu(larger), np.float64)
    again = space.array("y", x.shape)
    assert again is not out
    assert_exact(space.run("relu", ops.relu, x, out=again), ops.relu(x), np.float64)
