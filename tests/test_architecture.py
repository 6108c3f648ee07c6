"""The house stands: every import goes to a strictly lower storey, and importing the package stays light.

A room is a module, or a folder as a whole. It may lean on what lies on lower storeys. Inside a folder a file
may import `base` and no other file beside it; `__init__` and `__main__` may import all of their own.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gwucnn

PACKAGE = Path(gwucnn.__file__).parent

STOREYS = [
    {"_ext", "atomic", "errors", "suggestions", "_version"},
    {"checks", "chunks", "described", "kernels", "memory", "shapes"},
    {"ops", "parameters", "workspace", "initializers", "remembered", "schedules", "metrics", "seeds"},
    {"activation_functions", "regularizers", "totals"},
    {"layers.base"},
    {"building", "endings", "layers.filters"},
    {"layers.rows"},
    {"layers", "activation_layers", "loss_functions", "optimizers"},
    {"fused_steps", "slices"},
    {
        "batches",
        "csv_log",
        "fusion",
        "history",
        "hooks",
        "loss_head",
        "monitor",
        "progress",
        "replays",
        "serialization",
        "stack",
        "summary",
        "team",
    },
    {"checkpoint", "snapshot"},
    {"callbacks", "data_checks", "engine", "input_gradients", "restoring", "streams"},
    {"lr_finder", "network_base", "sweeper"},
    {"training"},
    {"intake"},
    {"savable"},
    {"gwu_network"},
    {"feature_order", "keras_file", "onnx.attributes", "onnx.base"},
    {"onnx.drawn_activations", "onnx.loading", "onnx.patterns", "onnx.seen", "onnx.window_operators"},
    {"onnx.blocks", "onnx.drawn_layers", "onnx.operators", "onnx.read_moves", "onnx.read_products"},
    {"onnx.folding", "onnx.read_nodes"},
    {"agreement", "common_state", "onnx.reading"},
    {"models", "datasets", "plotting", "interop", "onnx", "distributed"},
    {"sklearn.networks"},
    {"sklearn"},
    # "" is gwucnn/__init__.py, the roof: it imports what it likes, and only those above it may use it.
    {""},
    {"bench", "web"},
    {"demo"},
    {"cli", "__main__"},
]
STOREY_OF = {room: storey for storey, rooms in enumerate(STOREYS) for room in rooms}


def room_of(module):
    """Return the room that a module, given by its names below the package, belongs to."""
    dotted = ".".join(module)
    return dotted if dotted in STOREY_OF else ".".join(module[:1])


def imported(tree, root, home):
    """Yield (line, names below the package) for all that is imported from the package, at any depth.

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
        yield from ((node.lineno, module_in(root, path[1:])) for path in paths if path[0] == root.name)


def module_in(root, path):
    """Return the part of `path` that is a module: in `ops.conv2d` the last name may be a function."""
    while path:
        place = root.joinpath(*path)
        if place.is_dir() or list(place.parent.glob(f"{place.name}.*")):
            break
        path = path[:-1]
    return path


def violations(root):
    """Return a line for each import in the package at `root` that does not point down."""
    found = []
    for file in sorted(root.rglob("*.py")):
        where = file.relative_to(root)
        home, is_init = list(where.parts[:-1]), where.stem == "__init__"
        is_program = where.stem == "__main__" and bool(home)
        module = home if is_init else [*home, where.stem]
        own = room_of(module)
        if own not in STOREY_OF:
            found.append(f"{where}: {own} has no storey")
            continue
        for line, target in imported(ast.parse(file.read_text(encoding="utf-8")), root, home):
            inside = target[:1] == home[:1] and bool(home)
            if module == [] or (inside and (is_init or is_program or target[1:] == ["base"])):
                continue
            room = room_of(target)
            if STOREY_OF.get(room, len(STOREYS)) >= STOREY_OF[own]:
                found.append(f"{where}:{line}: {own} may not import {room or root.name}")
    return list(dict.fromkeys(found))


def test_every_import_points_down():
    assert violations(PACKAGE) == []


# ---------------------------------------------------------------------------- the checker, on a planted tree

CLEAN = {
    "__init__": "from .demo import main",
    "_ext/__init__": "",
    "_version": "",
    "errors": "",
    "kernels": "from ._ext import baseline\nfrom gwucnn._version import __version__",
    "ops/__init__": "from .conv import conv2d",
    "ops/base": "import numpy\nfrom .. import kernels\nfrom ..errors import ShapeError",
    "ops/conv": "import gwucnn.kernels\nfrom .base import checked",
    "layers/__init__": "from . import conv\nfrom .base import Layer",
    "layers/base": "def f():\n    from gwucnn.ops import conv2d",
    "layers/conv": "from .base import Layer\nfrom .. import ops",
    "activation_layers": "from .layers.base import Layer",
    "gwu_network": "from . import layers",
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
            "history",
            "def f():\n    if f:\n        from .gwu_network import g",
            ":3: history may not import gwu_network",
        ),
        ("history", "from gwucnn import GWUNetwork", ":1: history may not import gwucnn"),
        ("history", "import gwucnn", ":1: history may not import gwucnn"),
        ("history", "from . import layers, gwu_network", ":1: history may not import gwu_network"),
        ("shapes", "import gwucnn.ops", ":1: shapes may not import ops"),
        ("shapes", "import numpy, gwucnn.ops.conv as c", ":1: shapes may not import ops"),
        ("shapes", "from . import kernels", ":1: shapes may not import kernels"),
        ("shapes", "from gwucnn.kernels import isa", ":1: shapes may not import kernels"),
        ("shapes", "from gwucnn import kernels", ":1: shapes may not import kernels"),
        ("optimizers", "from .layers.conv import Conv2D", ":1: optimizers may not import layers"),
        ("layers/dense", "from .conv import Conv2D", ":1: layers may not import layers"),
        ("layers/dense", "from . import Conv2D", ":1: layers may not import layers"),
        ("layers/dense", "from gwucnn.layers import conv", ":1: layers may not import layers"),
        ("layers/base", "from .conv import Conv2D", ":1: layers.base may not import layers"),
        ("ops/dense", "from ..layers.base import Layer", ":1: ops may not import layers.base"),
        ("ops/__init__", "from .. import demo", ":1: ops may not import demo"),
        ("attic", "", ": attic has no storey"),
    ],
)
def test_an_import_that_points_up_is_found(house, file, text, complaint):
    assert house({file: text}) == [f"{file}.py{complaint}"]


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
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
