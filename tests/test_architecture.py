"""The layout of the package: rooms lie on storeys, imports point down, and importing the package stays light.

A room is a module or a folder directly in `gwucnn/`. It may import from rooms on lower storeys. Inside a room files
may import each other as long as there is no circle. Rooms that users never import from have one door, their
`__init__.py`, and other rooms go through it.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gwucnn

PACKAGE = Path(gwucnn.__file__).parent

# From the ground up. "" is gwucnn/__init__.py, which collects the public names.
STOREYS = [
    {"_ext", "_version", "processors"},  # compiled loops: pointers and sizes, no Python inside; counting processors
    {"common", "kernels"},  # errors and checks that every room uses; which build of the loops runs here
    {"memory"},  # where weights, gradients and activations live
    {"ops"},  # checked functions on arrays
    # small functions and objects with names that users type
    {"activation_functions", "initializers", "metrics", "regularizers", "schedules"},
    {"callbacks", "layers", "loss_functions", "optimizers"},  # what a network is put together from
    {"activation_layers", "data"},  # activation functions as layers; what goes in, checked, batch by batch
    {"engine"},  # what runs instead of what was written
    {"distributed", "files", "training"},  # several processes; a network as bytes; the loop of `fit`
    {"network"},  # what a network is before it is trained
    {"gwu_network"},  # the class that users meet
    {"", "datasets", "interop", "models", "onnx", "plotting", "testing"},  # public names; what is built on networks
    {"sklearn"},  # networks as estimators
    {"bench", "demo"},  # programs
]
STOREY_OF = {room: storey for storey, rooms in enumerate(STOREYS) for room in rooms}

# Rooms with one door: others import from `gwucnn.common`, and not from `gwucnn.common.errors`.
PRIVATE = {"common", "data", "engine", "files", "memory", "network", "training"}

# Packages that are not dependencies, and the only rooms that may import them, inside functions.
EXTRAS = {
    "h5py": {"interop"},
    "matplotlib": {"bench", "common", "plotting"},
    "mpi4py": {"distributed"},
    "onnx": {"bench", "onnx"},
    "sklearn": {"datasets", "sklearn"},
}


def imported(tree, root, home):
    """Yield (line, path) of everything that is imported, at any depth; `path` begins with the package's name.

    `home` is the folder of the importing file, as names below the package.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = [root.name, *home[: len(home) - node.level + 1]] if node.level else []
            start += node.module.split(".") if node.module else []
            paths = [[*start, alias.name] for alias in node.names]
        else:
            continue
        yield from ((node.lineno, path) for path in paths)


def module_in(root, path):
    """Return the part of `path` that is a module: in `ops.conv2d` the last name may be a function."""
    while path:
        place = root.joinpath(*path)
        if place.is_dir() or list(place.parent.glob(f"{place.name}.*")):
            break
        path = path[:-1]
    return path


def circles(edges):
    """Return the files of one circle of `edges`, {file: files that it imports}; empty if there is none."""
    done = set()

    def walk(file, way):
        if file in way:
            return way[way.index(file) :]
        if file in done:
            return []
        done.add(file)
        return next(filter(None, (walk(other, [*way, file]) for other in sorted(edges.get(file, ())))), [])

    return next(filter(None, (walk(file, []) for file in sorted(edges))), [])


def violations(root):
    """Return a line for each import in the package at `root` that breaks a rule."""
    found, inside = [], {}
    for file in sorted(root.rglob("*.py")):
        where = file.relative_to(root)
        module = [*where.parts[:-1], *([] if where.stem == "__init__" else [where.stem])]
        own = module[0] if module else ""
        if own not in STOREY_OF:
            found.append(f"{where}: {own} has no storey")
            continue
        for line, path in imported(ast.parse(file.read_text(encoding="utf-8")), root, list(where.parts[:-1])):
            if path[0] in EXTRAS and own not in EXTRAS[path[0]]:
                found.append(f"{where}:{line}: {own} may not import {path[0]}")
            if path[0] != root.name:
                continue
            target = module_in(root, path[1:])
            room = target[0] if target else ""
            if room == own and own:
                inside.setdefault(own, {}).setdefault(".".join(module), set()).add(".".join(target))
            elif own and STOREY_OF.get(room, len(STOREYS)) >= STOREY_OF[own]:
                found.append(f"{where}:{line}: {own} may not import {room or root.name}")
            elif room in PRIVATE and len(target) > 1:
                found.append(f"{where}:{line}: import from {room}, not from {'.'.join(target)}")
    for edges in inside.values():
        circle = circles(edges)
        if circle:
            found.append("a circle: " + " -> ".join([*circle, circle[0]]))
    return list(dict.fromkeys(found))


def test_every_import_points_down():
    assert violations(PACKAGE) == []


def test_a_visitor_can_count_the_rooms():
    assert len(STOREYS) <= 14
    assert len(list(PACKAGE.glob("*.py"))) <= 14
    folders = [path for path in PACKAGE.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    assert sum(path.parent == PACKAGE for path in folders) <= 22
    for folder in folders:
        assert sum(path.is_file() for path in folder.iterdir()) <= 25, folder


def test_every_room_says_what_it_is_for():
    for storey in STOREYS:
        for room in storey - {"", "_ext"}:
            file = PACKAGE / room / "__init__.py"
            text = (file if file.exists() else PACKAGE / f"{room}.py").read_text(encoding="utf-8")
            assert ast.get_docstring(ast.parse(text)), room


# ---------------------------------------------------------------------------- the checker, on a planted tree

CLEAN = {
    "__init__": "from .gwu_network import GWUNetwork",
    "_ext/__init__": "",
    "_ext/step": "",
    "_version": "",
    "common/__init__": "from gwucnn.common.errors import ShapeError",
    "common/errors": "",
    "common/windows": "from gwucnn.common.errors import ShapeError",
    "kernels": "from ._ext import step\nfrom gwucnn._version import __version__",
    "ops/__init__": "from .conv import conv2d",
    "ops/base": "import numpy\nfrom .. import kernels\nfrom ..common import ShapeError",
    "ops/conv": "import gwucnn.kernels\nfrom .base import checked",
    "layers/__init__": "from . import conv\nfrom .base import Layer",
    "layers/base": "def f():\n    from gwucnn.ops import conv2d",
    "layers/conv": "from .base import Layer\nfrom .. import ops",
    "activation_layers": "from .layers.base import Layer",
    "gwu_network": "from . import layers",
    "plotting/__init__": "def f():\n    import matplotlib",
    "demo": "from gwucnn import GWUNetwork",
}


@pytest.fixture
def house(tmp_path):
    """Return a function that adds files to a clean tree and returns what the checker says of it."""

    def build(files):
        root = tmp_path / "gwucnn"
        for name, text in {**CLEAN, **files}.items():
            path = root / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return violations(root)

    return build


def test_a_clean_tree_passes(house):
    assert house({}) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        (
            "metrics",
            "def f():\n    if f:\n        from .gwu_network import g",
            ":3: metrics may not import gwu_network",
        ),
        ("metrics", "from gwucnn import GWUNetwork", ":1: metrics may not import gwucnn"),
        ("metrics", "import gwucnn", ":1: metrics may not import gwucnn"),
        ("metrics", "from . import layers, gwu_network", ":1: metrics may not import layers"),
        ("kernels", "import gwucnn.ops", ":1: kernels may not import ops"),
        ("kernels", "import numpy, gwucnn.ops.conv as c", ":1: kernels may not import ops"),
        ("kernels", "from gwucnn.common import ShapeError", ":1: kernels may not import common"),
        ("common/errors", "from gwucnn.kernels import isa", ":1: common may not import kernels"),
        ("common/errors", "from gwucnn import kernels", ":1: common may not import kernels"),
        ("optimizers", "from .layers.conv import Conv2D", ":1: optimizers may not import layers"),
        ("ops/dense", "from ..layers.base import Layer", ":1: ops may not import layers"),
        ("ops/__init__", "from .. import demo", ":1: ops may not import demo"),
        (
            "ops/dense",
            "from ..common.errors import ShapeError",
            ":1: import from common, not from common.errors",
        ),
        ("ops/dense", "from gwucnn.common import errors", ":1: import from common, not from common.errors"),
        ("layers/dense", "def f():\n    import matplotlib.pyplot", ":2: layers may not import matplotlib"),
        ("attic", "", ": attic has no storey"),
    ],
)
def test_a_broken_rule_is_found(house, file, text, complaint):
    assert f"{file}.py{complaint}" in house({file: text})


@pytest.mark.parametrize(
    ("files", "circle"),
    [
        ({"layers/base": "from .conv import Conv2D"}, "layers.base -> layers.conv -> layers.base"),
        ({"layers/conv": "from . import Conv2D"}, "layers -> layers.conv -> layers"),
        ({"layers/a": "from .b import x", "layers/b": "from .c import x", "layers/c": "import gwucnn.layers.a"},
         "layers.a -> layers.b -> layers.c -> layers.a"),
    ],
)  # fmt: skip
def test_a_circle_inside_a_room_is_found(house, files, circle):
    assert house(files) == [f"a circle: {circle}"]


# ------------------------------------------------------------------------------------ what an import costs


def test_import_is_light_and_silent():
    """It loads numpy and itself, and of numpy nothing that numpy alone would not have loaded."""
    program = (
        "import sys, numpy\n"
        "before = set(sys.modules)\n"
        "import gwucnn\n"
        "loaded = set(sys.modules) - before\n"
        "heavy = {'tqdm', 'safetensors', 'numpy.random', 'sklearn', 'scipy', 'matplotlib', 'torch', 'onnx', 'mpi4py'}\n"
        "assert not loaded & heavy, loaded & heavy\n"
    )
    done = subprocess.run([sys.executable, "-P", "-W", "error", "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
