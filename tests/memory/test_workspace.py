"""Buffers are reused: one allocation for all batches, one space for each layer and thread."""

import threading

import numpy as np
import pytest

from gwucnn import kernels, ops
from gwucnn.memory.workspace import Space, Workspace


def address(array):
    return array.__array_interface__["data"][0]


def test_the_same_shape_gives_the_same_array():
    space = Space()
    first = space.array("y", (2, 3))
    assert first.shape == (2, 3) and first.dtype == np.float32
    assert space.array("y", (2, 3)) is first
    assert not np.shares_memory(space.array("dx", (2, 3)), first)


def test_a_smaller_batch_uses_the_same_memory():
    space = Space()
    large, small = space.array("y", (8, 3)), space.array("y", (2, 3))
    assert address(large) == address(small)
    assert space.array("y", (8, 3)) is large, "and the large one is not forgotten"


def test_a_larger_batch_moves_it():
    space = Space()
    small = space.array("y", (2, 3))
    small[...] = 1
    large = space.array("y", (8, 3))
    assert not np.shares_memory(small, large)
    again = space.array("y", (2, 3))
    assert again is not small and address(again) == address(large)
    assert (small == 1).all(), "whoever kept the old array still has it"


def test_memory_never_shrinks():
    space = Space()
    held = address(space.array("y", (100,)))
    for size in (1, 50, 0, 100):
        assert address(space.array("y", (size,))) == held


def test_one_name_in_another_dtype_is_another_buffer():
    space = Space("float64")
    assert space.array("mask", (4,)).dtype == np.float64
    assert space.array("mask", (4,), "uint8").dtype == np.uint8
    assert space.array("mask", (4,)).dtype == np.float64


def test_arrays_are_contiguous_and_empty_ones_work():
    space = Space()
    for shape in [(0, 3, 3, 2), (5, 0), (3, 4, 5, 6), ()]:
        array = space.array("y", shape)
        assert array.shape == shape and array.flags.c_contiguous and array.flags.writeable


def test_a_view_is_the_same_object_for_the_same_array():
    space = Space()
    y = space.array("y", (4, 2, 3))
    flat = space.view("flat", y, (4, 6))
    assert flat.shape == (4, 6) and address(flat) == address(y)
    assert space.view("flat", y, (4, 6)) is flat
    other = space.array("other", (4, 2, 3))
    assert address(space.view("flat", other, (4, 6))) == address(other)


def test_an_op_is_bound_once_for_the_same_arrays(rng):
    space, bound = Space("float64"), []

    class Counted:
        @staticmethod
        def bind(*args, **options):
            bound.append(args)
            return ops.relu.bind(*args, **options)

    x, out = rng.standard_normal(5), np.empty(5)
    for _ in range(3):
        x[...] = rng.standard_normal(5)
        np.testing.assert_array_equal(space.run("relu", Counted, x, out=out), np.maximum(x, 0))
    assert len(bound) == 1
    other = rng.standard_normal(5)
    np.testing.assert_array_equal(space.run("relu", Counted, other, out=out), np.maximum(other, 0))
    assert len(bound) == 2
    space.run("another name", Counted, other, out=out)
    assert len(bound) == 3


def test_modes_and_needs():
    workspace = Workspace([False, True, True], "float64", training=True)
    assert [space.needs_dx for space in workspace.spaces] == [False, True, True]
    assert all(space.training and space.dtype == np.float64 for space in [*workspace.spaces, workspace.outer])
    assert not Workspace([False], "float32", training=False).spaces[0].training


@pytest.mark.parametrize("flag", [True, False])
def test_a_space_inside_a_space_differs_in_its_buffers_alone(flag):
    """Whatever flag a space has, what works inside must see it."""
    workspace = Workspace([False, True], "float64", training=flag, winograd=not flag, constant_weights=flag)
    space = workspace.spaces[1]
    child, other = space.child((0, 1)), space.child("first", needs_dx=False)
    assert space.child((0, 1)) is child and child not in (space, other)
    assert (child.needs_dx, other.needs_dx) == (True, False)
    for name, value in vars(space).items():
        if not isinstance(value, dict) and name != "_pool":  # what runs inside of a step keeps its own memory
            assert vars(child)[name] is value or vars(child)[name] == value, name
    y = child.array("y", (3,))
    assert not np.shares_memory(y, space.array("y", (3,))) and child.array("y", (3,)) is y
    assert workspace.tape.generation == 2


def test_a_workspace_fits_until_the_kernels_change(threads):
    workspace = Workspace([False], "float32", training=False)
    assert workspace.is_current
    before = kernels.isa()
    for name in kernels.supported():
        kernels.select(name)
        assert workspace.is_current == (name == before)
    kernels.select(before)
    assert workspace.is_current
    now = kernels.get_num_threads()
    threads(now + 1)
    assert workspace.is_current == (kernels.get_num_threads() == now)


@pytest.mark.parametrize("rounds", [20])
def test_two_threads_with_their_own_spaces_do_not_interfere(rounds):
    """Each writes its number everywhere and must find it again."""
    start, wrong = threading.Barrier(2), []

    def work(number):
        space = Space("float64")
        start.wait()
        for size in np.random.default_rng(number).integers(1, 2000, rounds):
            y = space.array("y", (int(size),))
            y.fill(number)
            total = space.run("sum", ops.sum_rows, y[:, None], out=space.array("sum", (1,)))
            if total[0] != number * size:
                wrong.append((number, size, total[0]))

    workers = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []
