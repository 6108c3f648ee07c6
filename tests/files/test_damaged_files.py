"""Truncated, altered, forged and foreign files: each raises a FormatError that says what is wrong."""

import contextlib
import json
import os
import re
import struct
import tracemalloc

import numpy as np
import pytest
from safetensors.numpy import save as save_arrays

import damage
import resumed
from damage import complaint, set_in
from gwucnn import EarlyStopping, FormatError, GWUNetwork
from gwucnn.files.safetensors_file import FORMAT
from layer_cases import CASES, inputs


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Return the bytes of a file that has everything in it."""
    path = tmp_path_factory.mktemp("sound") / "net"
    network = resumed.network(resumed.OPTIMIZERS["momentum and a schedule"]())
    x, y = resumed.data()
    network.fit(x, y, 1, 8, callbacks=[EarlyStopping("loss")], verbose=0)
    network.save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net"


def test_what_is_put_together_unchanged_loads(sound, path):
    path.write_bytes(damage.rewritten(sound, lambda document: None))
    assert resumed.state(GWUNetwork.load(path))["epochs"] == 1
    path.write_bytes(damage.rearranged(sound, lambda header: None))
    assert resumed.state(GWUNetwork.load(path))["epochs"] == 1


# ------------------------------------------------------------------------------------------ cut off, flipped


def test_cut_off_anywhere(sound, path):
    """At each byte of the length, at a hundred places of the header and a hundred of the arrays."""
    (length,) = struct.unpack("<Q", sound[:8])
    places = {*range(9), 8 + length - 1, 8 + length, len(sound) - 1}
    places |= {int(place) for place in np.linspace(9, 8 + length, 100)}
    places |= {int(place) for place in np.linspace(8 + length, len(sound) - 1, 100)}
    assert len(places) > 200
    for place in sorted(places):
        assert re.search(r"expected \d+ bytes of .*, got \d+; the file is cut off$", complaint(path, sound[:place]))


def test_bytes_too_many(sound, path):
    for more in (b"\0", b"\0" * 8, sound):
        assert "something else follows" in complaint(path, sound + more)


@pytest.mark.parametrize("part", ["length", "header", "arrays"])
def test_flipped_bits(part, sound, path, rng):
    """A flipped bit is found, or changes nothing: the e of 1e-05 may be an E."""
    (length,) = struct.unpack("<Q", sound[:8])
    start, stop = {"length": (0, 8), "header": (8, 8 + length), "arrays": (8 + length, len(sound))}[part]
    bits = range(64) if part == "length" else rng.integers(8 * (stop - start), size=400)
    before = whole_state(sound, path)
    for bit in map(int, bits):
        data = bytearray(sound)
        data[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            GWUNetwork.load(path)
        except FormatError as error:
            assert str(error).startswith(f"load {os.fspath(path)!r}: expected ")
        else:
            assert part == "header" and whole_state(data, path) == before


def whole_state(data, path):
    path.write_bytes(data)
    network = GWUNetwork.load(path)
    return resumed.state(network), repr(network), str(network._loaded_states), vars(network.history)


# ------------------------------------------------------------------------------------------------- no network


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 8,
        b"\0" * 1000,
        b"PK\3\4" + b"\0" * 100,
        b"\x89HDF\r\n\x1a\n" + b"\0" * 100,
        b"{}",
        b"x" * 5000,
    ],
    ids=["empty", "a zero", "eight zeros", "zeros", "zip", "hdf5", "json", "text"],
)
def test_no_safetensors(data, path):
    complaint(path, data)


def test_safetensors_of_others(path):
    for metadata in (None, {}, {"format": "pt"}, {"gwucnn": "1", "more": "2"}):
        message = complaint(path, save_arrays({"weight": np.ones(3, "float32")}, metadata))
        assert "expected a file that `network.save` wrote" in message


def test_folders_pipes_and_devices(tmp_path, path):
    with pytest.raises(FormatError, match="expected a file, got a folder"):
        GWUNetwork.load(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(path)
        with pytest.raises(FormatError, match="expected a file, got a device or a pipe"):
            GWUNetwork.load(path)
        with pytest.raises(FormatError, match="expected a file, got a device or a pipe"):
            GWUNetwork.load("/dev/zero")


def test_pickles_are_not_opened(path):
    import pickle

    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    complaint(path, pickle.dumps(Trap()))


# ----------------------------------------------------------------------------------------------- the header

KERNEL = "0.Conv2D.kernel"


def entry(**changed):
    def change(header):
        header[KERNEL] |= changed

    return change


HEADERS = {
    "shape of other numbers": (entry(shape=[3, 3, 1, 5]), r"expected 180 bytes for 0\.Conv2D\.kernel, F32 of shape"),
    "huge shape": (entry(shape=[2**40, 2**40]), r"expected an array that memory could hold"),
    "huge and empty": (entry(shape=[0, 2**62, 2**62]), r"expected an array that memory could hold"),
    "negative": (entry(shape=[-3, -3, 1, 4]), r"expected the shape of 0\.Conv2D\.kernel to be a list of sizes"),
    "fraction": (entry(shape=[3.0, 3, 1, 4]), r"to be a list of sizes"),
    "truth": (entry(shape=[3, 3, True, 4]), r"to be a list of sizes"),
    "text": (entry(shape="3314"), r"to be a list of sizes"),
    "33 axes": (entry(shape=[1] * 29 + [3, 3, 1, 4]), r"to be a list of sizes"),
    "beyond int64": (entry(shape=[2**63]), r"to be a list of sizes"),
    "no shape": (lambda header: header[KERNEL].pop("shape") and None, r"expected dtype, shape and data_offsets of 0\."),
    "more": (entry(more=1), r"expected dtype, shape and data_offsets of 0\."),
    "a list": (lambda header: header.update({KERNEL: [1]}), r"expected dtype, shape and data_offsets of 0\."),
    "null": (lambda header: header.update({KERNEL: None}), r"expected dtype, shape and data_offsets of 0\."),
    "dtype of other size": (entry(dtype="F64"), r"expected 288 bytes for 0\.Conv2D\.kernel"),
    "unknown dtype": (entry(dtype="BF16"), r"expected the dtype of 0\.Conv2D\.kernel to be one of U8, "),
    "dtype is a list": (entry(dtype=["F32"]), r"expected the dtype of 0\.Conv2D\.kernel to be one of U8, "),
    "one offset": (entry(data_offsets=[0]), r"expected two offsets"),
    "negative offsets": (entry(data_offsets=[-144, 0]), r"expected two offsets"),
    "offsets backwards": (entry(data_offsets=[144, 0]), r"expected 144 bytes for"),
    "far away": (entry(data_offsets=[2**50, 2**50 + 144]), r"expected .* to begin at byte \d+, where the array before"),
    "on another": (entry(data_offsets=[0, 144]), r"expected .* to begin at byte \d+, where the array before ends, got"),
    "left out": (lambda header: header.pop(KERNEL) and None, r"expected .* to begin at byte"),
    "no metadata": (lambda header: header.pop("__metadata__") and None, r"expected a file that `network\.save` wrote"),
    "metadata is a list": (lambda header: header.update(__metadata__=[]), r"expected a file that `network\.save` wrote"),
    "a number for the text": (
        lambda header: header.update(__metadata__={"gwucnn": 1}), r"expected a file that `network\.save` wrote"),
    "no JSON": (lambda header: header.update(__metadata__={"gwucnn": "x"}), r"expected the text 'gwucnn' to be a JSON"),
    "an array for the document": (lambda header: header.update(__metadata__={"gwucnn": "[]"}), r"to be a JSON object"),
    "NaN": (lambda header: header.update(__metadata__={"gwucnn": '{"format": NaN}'}), r"NaN is not valid JSON"),
    "infinite": (lambda header: header.update(__metadata__={"gwucnn": '{"format": 1, "x": 1e999}'}), r"finite numbers"),
    "deep": (lambda header: header.update(__metadata__={"gwucnn": '{"a":' * 10**5}), r"to be a JSON object"),
    "long number": (lambda header: header.update(__metadata__={"gwucnn": '{"a":' + "9" * 5000 + "}"}), r"JSON object"),
    "twice in the document": (
        lambda header: header.update(__metadata__={"gwucnn": '{"format": 1, "format": 1}'}),
        r"the name 'format' occurs twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name, sound, path):
    change, message = HEADERS[name]
    assert re.search(message, complaint(path, damage.rearranged(sound, change, sign=False)))


def test_a_name_twice_in_the_header(sound, path):
    header, body = damage.split(sound)
    text = json.dumps(header)
    for name in (KERNEL, "__metadata__"):
        double = f"{text[:-1]}, {json.dumps(name)}: {json.dumps(header[name])}}}".encode()
        data = struct.pack("<Q", len(double)) + double + body
        assert f"the name {name!r} occurs twice" in complaint(path, data)


def test_a_name_twice_among_very_many(path):
    """Found in one go: to compare each with each would take hours."""
    text = "{" + ", ".join(f'"{number}": 0' for number in [*range(300_000), 299_999]) + "}"
    data = struct.pack("<Q", len(text)) + text.encode()
    assert "the name '299999' occurs twice" in complaint(path, data)


def test_a_header_that_is_no_text(sound, path):
    _, body = damage.split(sound)
    for text in (
        b"\xff\xfe{}",
        b" {}",
        b"[]",
        b"[1]",
        b"1",
        b"null",
        b'"a"',
        b"{",
        b"{]",
        b"{'a': 1}",
        b"\0\0",
    ):
        complaint(path, struct.pack("<Q", len(text)) + text + body)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 2**24 + 1])
def test_a_header_that_says_it_is_huge_takes_no_memory(length, path):
    tracemalloc.start()
    try:
        assert "expected a header of at most" in complaint(path, struct.pack("<Q", length) + b"{}")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_layer_that_says_it_is_huge_takes_no_memory(sound, path):
    def change(document):
        document["layers"][-1]["config"]["output_size"] = 10**12

    data = damage.rewritten(sound, change)
    tracemalloc.start()
    try:
        assert "expected '6.Dense.kernel' to be float32 of shape (36, 1000000000000), got" in complaint(path, data)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def places_of_numbers(document, *parts):
    """Yield the path to each number in these parts of a document."""
    for place in places({part: document[part] for part in parts}):
        item = document
        for key in place:
            item = item[key]
        if type(item) in (int, float):
            yield place


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.layer.__name__}, {case.why}")
def test_no_number_of_a_layer_takes_memory(case, path):
    """Of a layer by itself, each number that describes it: the file is refused, or the layer needs no weights."""
    first = "channels_first" in case.why
    network = GWUNetwork([case.layer(**case.options)], data_format="channels_first" if first else "channels_last")
    x = inputs(case, 4, "float32")
    network.build(x.transpose(0, 3, 1, 2).shape[1:] if first and x.ndim == 4 else x.shape[1:])
    network.save(path)
    data = path.read_bytes()
    document = json.loads(damage.split(data)[0]["__metadata__"]["gwucnn"])
    tracemalloc.start()
    try:
        for place in places_of_numbers(document, "layers", "input_shape"):
            path.write_bytes(damage.rewritten(data, set_in(*place, value=10**12)))
            with contextlib.suppress(FormatError):
                GWUNetwork.load(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_layers_in_layers_in_layers(sound, path):
    """As deep as Python goes, and deeper: what reads JSON may go further than what goes through it."""
    for depth in (120, 150, 180, 210, 240):

        def change(document, depth=depth):
            layer = {"class_name": "RELU", "config": {}}
            for _ in range(depth):
                layer = {"class_name": "Residual", "config": {"layers": [layer], "shortcut": None}}
            document["layers"].append(layer)
            document["weights"] = []

        complaint(path, damage.rewritten(sound, change))


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, ["x"] * 10**5, {"class_name": "x" * 10**6, "config": {}}],
    ids=["text", "list", "class"],
)
def test_long_values_make_no_long_message(value, sound, path):
    for place in (("layers", 0), ("layers", 0, "config", "activation"), ("compiled", "loss"), ("epochs",)):
        complaint(path, damage.rewritten(sound, set_in(*place, value=value)))


def test_memory_that_runs_out_is_not_the_files_fault(sound, path, monkeypatch):
    path.write_bytes(sound)

    def full(*_, **__):
        raise MemoryError

    monkeypatch.setattr(GWUNetwork, "_build", full)
    with pytest.raises(MemoryError):
        GWUNetwork.load(path)


def test_a_long_list_of_layers_makes_no_long_message(sound, path):
    def change(document):
        document["layers"] += [{"class_name": "LayerNormalization", "config": {}}] * 2000

    assert "expected the weights 0.Conv2D.kernel, " in complaint(path, damage.rewritten(sound, change))


# --------------------------------------------------------------------------------------------- the document


def test_newer_formats_say_so(sound, path):
    for version in (FORMAT + 1, 10**9):
        data = damage.rewritten(sound, lambda document, version=version: document | {"format": version})
        wanted = f"expected format {FORMAT} at most, got {version}; a newer gwucnn wrote this, update"
        assert wanted in complaint(path, data)
    for version in (0, -1, "1", 1.0, None, True, [1]):
        data = damage.rewritten(sound, lambda document, version=version: document | {"format": version})
        assert "expected the number of a format" in complaint(path, data)


def test_wrong_checksums(sound, path):
    for text in ("", "sha256:", None, 5, "sha256:" + "0" * 64):
        header, body = damage.split(sound)
        document = json.loads(header["__metadata__"]["gwucnn"]) | {"checksum": text}
        header["__metadata__"]["gwucnn"] = json.dumps(document)
        assert "expected the checksum" in complaint(path, damage.joined(header, body, sign=False))


def places(value, path=()):
    """Yield the path to everything in a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def test_each_part_of_the_document_missing(sound, path):
    """Arguments have defaults, and states are the callbacks' own; without any other part a file is refused."""
    document = json.loads(damage.split(sound)[0]["__metadata__"]["gwucnn"])
    refused = 0
    for place in places(document):
        if not isinstance(place[-1], str) or place[0] in ("gwucnn", "checksum") or place == ("trained_on",):
            continue

        def change(document, place=place):
            for key in place[:-1]:
                document = document[key]
            del document[place[-1]]

        if "config" in place or "state" in place[:-1] or place[:2] == ("history", "records"):
            continue
        complaint(path, damage.rewritten(sound, change))
        refused += 1
    assert refused > 50


@pytest.mark.parametrize("other", [None, -1, 0.5, "x", [], {}, [[]], {"class_name": "Dense", "config": {}}, 10**40])
def test_each_part_of_the_document_something_else(other, sound, path):
    """It is refused, or it is a value that a network can have."""
    document = json.loads(damage.split(sound)[0]["__metadata__"]["gwucnn"])
    refused = 0
    for place in places(document):
        if place[0] == "checksum":
            continue

        def change(document, place=place):
            for key in place[:-1]:
                document = document[key]
            document[place[-1]] = other

        path.write_bytes(damage.rewritten(sound, change))
        try:
            GWUNetwork.load(path)
        except FormatError as error:
            refused += 1
            assert len(str(error)) < 3000
    assert refused > 100


DOCUMENTS = {
    "unknown layer": (set_in("layers", 0, "class_name", value="Conv4D"), "layer 0 to be of a class that is known, got"),
    "a module's path": (set_in("layers", 0, "class_name", value="os.system"), "class that is known, got 'os.system'"),
    "a builtin": (set_in("layers", 0, "class_name", value="eval"), "to be of a class that is known, got 'eval'"),
    "unknown argument": (set_in("layers", 0, "config", "filter", value=3), "Conv2D: expected the arguments filters, "),
    "unknown layer inside": (
        set_in("layers", 3, "config", "layers", 0, "class_name", value="Lambda"), "expected layer to be one of"),
    "unknown optimizer": (set_in("compiled", "optimizer", "class_name", value="Evil"), "expected optimizer to be one"),
    "unknown loss": (set_in("compiled", "loss", "class_name", value="Evil"), "compile: expected loss to be one of"),
    "unknown schedule": (
        set_in("compiled", "optimizer", "config", "lr", "class_name", value="Evil"), "SGD: expected lr to be one of"),
    "unknown metric": (set_in("compiled", "metrics", value=["evil"]), "compile: expected metrics to be one of"),
    "other filters": (set_in("layers", 0, "config", "filters", value=5), "3.Residual: expected layers and shortcut to make"),
    "more layers": (
        lambda d: d["layers"].append({"class_name": "Dense", "config": {"output_size": 2}}), "expected the weights 0."),
    "fewer layers": (lambda d: d["layers"].pop() and None, "expected the weights 0.Conv2D.kernel"),
    "other precision": (set_in("network", "precision", value="float64"), "to be float64 of shape (3, 3, 1, 4), got"),
    "unknown option": (set_in("network", "evil", value=1), "expected the options data_format, precision, seed, "),
    "no such image": (set_in("input_shape", value=[2, 2, 1]), "Conv2D: expected"),
    "other image": (set_in("input_shape", value=[12, 12, 1]), "to be float32 of shape"),
    "other bits": (set_in("random", "generator", "bit_generator", value="MT19937"), "PCG64"),
    "other units": (set_in("layers", 6, "config", "output_size", value=2), "to be float32 of shape (36, 2), got"),
    "other slots": (
        lambda d: d["compiled"]["optimizer"].update(config={"lr": d["compiled"]["lr"]}), "expected arrays of this network"),
    "other names": (set_in("weights", 0, "name", value="kernel"), "expected the weights 0.Conv2D.kernel, "),
    "reference to nothing": (
        set_in("callbacks", 0, "state", "best", value={"$array": "nothing"}), "expected an array or a number by"),
    "reference with more": (set_in("epochs", value={"$array": "x", "more": 1}), "expected an array or a number by"),
    "unknown number": (set_in("epochs", value={"$float": "1e5"}), "expected an array or a number by its name"),
    "epochs": (set_in("epochs", value=-1), "epochs: expected their number to be an integer of at least 0, got -1"),
    "a rate below zero": (set_in("compiled", "lr", value=-0.1), "expected lr to be a number of at least 0, got -0.1"),
}  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name, sound, path):
    change, message = DOCUMENTS[name]
    assert message in complaint(path, damage.rewritten(sound, lambda document: change(document)))


def test_arrays_of_another_shape_or_dtype(sound, path):
    """Consistent files, signed, of arrays that this network does not have."""
    header, _ = damage.split(sound)
    for name in header:
        if name == "__metadata__" or name.startswith(("history", "callbacks")):
            continue
        for change in (
            {"shape": [*header[name]["shape"], 1]},
            {"dtype": "I32" if header[name]["dtype"] == "F32" else "F64"},
        ):
            data = damage.rearranged(sound, lambda header, name=name, change=change: header[name].update(change))
            assert f"expected {name!r} to be " in complaint(path, data)
        data = damage.rearranged(sound, lambda header, name=name: header.update({"x" + name: header.pop(name)}))
        assert f"expected an array {name!r}, got none" in complaint(path, data)


def test_an_array_too_many(sound, path):
    header, body = damage.split(sound)
    header["more"] = {"dtype": "F32", "shape": [2], "data_offsets": [len(body), len(body) + 8]}
    message = complaint(path, damage.joined(header, body + b"\0" * 8))
    assert "expected arrays of this network only, got more besides" in message
