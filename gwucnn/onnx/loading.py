"""An ONNX file as a ModelProto. The file is not trusted: its sizes are checked, and names of other files are rejected.

A model may name files with its weights: see `sidecars.py`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from gwucnn.common import FormatError
from gwucnn.files import opened
from gwucnn.onnx.attributes import Unsupported
from gwucnn.onnx.sidecars import take_sidecars

__all__ = ["array_of", "checked", "declare", "load", "named", "need_whole", "take_numbers"]

# The limit of protobuf.
LONGEST_FILE = 2**31 - 1

STEPS = ("dilations", "group", "kernel_shape", "strides")

# A constant of at most so many elements may be a shape, pads or scales, on which the sizes of other tensors depend.
FEW = 64


def load(onnx: Any, path: Any) -> Any:
    """Return the ModelProto of a file, of its bytes, or a copy of a ModelProto, with all its weights inside.

    Raises FormatError for a missing file or another format, ValueError for a model with parts that are not supported.
    """
    if isinstance(path, onnx.ModelProto):
        model = onnx.ModelProto()
        model.CopyFrom(path)
    else:
        model = _parsed(onnx, path)
    if isinstance(path, (str, os.PathLike)):
        take_sidecars(onnx, model, os.path.dirname(os.path.abspath(path)))
    need_whole("import_onnx", onnx, model)
    _need_steps(model)
    return model


def named(path: Any) -> str:
    """Return a path, or what is given in its place, for messages."""
    return os.fspath(path) if isinstance(path, (str, os.PathLike)) else type(path).__name__


def _parsed(onnx: Any, path: Any) -> Any:
    if isinstance(path, (bytes, bytearray)):
        data = bytes(path)
    else:
        with opened(f"import_onnx {os.fspath(path)!r}", path) as (file, size):
            if size > LONGEST_FILE:
                raise FormatError(f"import_onnx: expected a file of at most {LONGEST_FILE} bytes, got {size}")
            data = file.read(size)
    try:
        return onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's errors have no common base class
        raise FormatError(f"import_onnx: expected an ONNX file, got {named(path)}: {error}") from None


def need_whole(caller: str, onnx: Any, proto: Any) -> None:
    """Raise an error for a model or a node with parts in other files, or in an encoding that is not supported."""
    for tensor in _messages(proto, (onnx.TensorProto, onnx.SparseTensorProto)):
        if isinstance(tensor, onnx.SparseTensorProto):
            raise Unsupported(f"{caller}: expected dense constants, got a sparse one")
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise Unsupported(
                f"{caller}: expected all numbers inside of the model, got tensor {tensor.name!r} in another "
                "file; save it with its numbers inside"
            )
    for function in getattr(proto, "functions", ()):
        raise Unsupported(f"{caller}: expected operators of ONNX itself, got the function {function.name!r}; inline it")


def _need_steps(model: Any) -> None:
    """Raise an error for strides and similar sizes of 0: older versions of ONNX divide by them unchecked."""
    for node in model.graph.node:
        for attribute in node.attribute:
            sizes = [attribute.i] if attribute.name == "group" else list(attribute.ints)
            if attribute.name in STEPS and min(sizes, default=1) < 1:
                raise FormatError(
                    f"import_onnx: expected {attribute.name} of 1 or more in {node.op_type} node "
                    f"{node.name!r}, got {sizes}"
                )


def _messages(message: Any, kinds: tuple[type, ...]) -> Iterator[Any]:
    """Yield all messages of the given types inside another, at any depth; protobuf limits the depth to 100."""
    if isinstance(message, kinds):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in (value,) if hasattr(value, "ListFields") else value:
                yield from _messages(inner, kinds)


def array_of(onnx: Any, tensor: Any) -> Any:
    """Return a tensor as an array. Raises FormatError if its data do not have the size that its shape states.

    Memory is allocated for the data in the file, not for what the shape states.
    """
    try:
        array = onnx.numpy_helper.to_array(tensor)
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"import_onnx: expected numbers that fill tensor {tensor.name!r} of sizes {list(tensor.dims)}, "
            f"got others: {error}"
        ) from None
    if array.shape != tuple(tensor.dims):
        raise FormatError(
            f"import_onnx: expected sizes of 0 or more in tensor {tensor.name!r}, got {list(tensor.dims)}"
        )
    return array


def take_numbers(onnx: Any, model: Any) -> tuple[Any, dict[str, Any]]:
    """Return the model with its large constants turned into inputs, and all constants by name.

    The time of ONNX's checks and shape inference is proportional to the length of the model.
    """
    constants: dict[str, Any] = {}
    for tensor in model.graph.initializer:
        if tensor.name in constants:
            raise FormatError(f"import_onnx: expected one tensor {tensor.name!r}, got two")
        constants[tensor.name] = array_of(onnx, tensor)
    slim = onnx.ModelProto()
    del model.graph.initializer[:]
    slim.CopyFrom(model)
    for name, array in constants.items():
        declare(onnx, slim, name, array)
    return slim, constants


def checked(onnx: Any, model: Any) -> Any:
    """Check a model as runtimes do; return it with the little that ONNX's own checker also requires.

    Runtimes infer types and shapes of outputs that state none. Before version 4 of the format constants had to be
    listed as inputs too, which no runtime insists on.
    """
    vague = [value for value in model.graph.output if not _states_shape(value)]
    if vague or model.ir_version < 4:
        whole, model = model, onnx.ModelProto()
        model.CopyFrom(whole)
        model.ir_version = max(model.ir_version, 4)
        for value in model.graph.output:
            if not _states_shape(value):
                kind = value.type.tensor_type
                kind.elem_type = kind.elem_type or model.graph.input[0].type.tensor_type.elem_type
                kind.shape.SetInParent()
    onnx.checker.check_model(model)
    return model


def _states_shape(value: Any) -> bool:
    """Whether an output states the shape of a tensor, or is no tensor."""
    kind = value.type.WhichOneof("value")
    return kind not in (None, "tensor_type") or value.type.tensor_type.HasField("shape")


def declare(onnx: Any, model: Any, name: str, array: Any) -> None:
    """Add a constant to a model: as a constant if sizes may depend on it, else as an input of its shape."""
    if array.size <= FEW or array.dtype.kind not in "fc":
        model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
    elif all(value.name != name for value in model.graph.input):
        kind = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, array.shape))
