"""The attributes of an ONNX node by name, and the geometry of its sliding window."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["Node", "SlidingWindow", "Unsupported", "naming", "node_of", "opset_of", "slide", "transposed_pads"]


class Unsupported(ValueError):
    """Raised for an operator, an attribute or a type that this package does not support."""


class Node(NamedTuple):
    """A node of a graph, its attributes as numbers, strings, lists and arrays."""

    kind: str
    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    opset: int

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute, or its default where the node does not set it."""
        return self.attributes.get(name, default)

    def refuse(self, what: str) -> Unsupported:
        """Return the error that this node is not supported, and why."""
        return Unsupported(f"onnx: expected {what} in {self.kind} node {self.name!r}")


@contextlib.contextmanager
def naming(node: Node) -> Iterator[None]:
    """Turn errors about shapes and types raised inside the block into errors that name the node."""
    try:
        yield
    except Unsupported:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise node.refuse(f"inputs and attributes that fit together, got others ({error})") from error


def opset_of(onnx: Any, model: Any) -> int:
    """Return the version of ONNX's own operators in a model; raise Unsupported if it is newer than the library."""
    opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    newest = onnx.defs.onnx_opset_version()
    if opset > newest:
        raise Unsupported(f"onnx: expected an opset up to {newest}, got {opset}; install a newer version of onnx")
    return opset


def node_of(onnx: Any, proto: Any, opset: int) -> Node:
    """Return a NodeProto as a Node; `onnx` is the package."""
    attributes = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        if attribute.type == onnx.AttributeProto.TENSOR:
            value = onnx.numpy_helper.to_array(value)
        attributes[attribute.name] = value
    name = proto.name or (proto.output[0] if proto.output else "")
    if proto.domain not in ("", "ai.onnx"):
        raise Unsupported(
            f"onnx: expected operators of ONNX itself, got {proto.op_type} of {proto.domain!r} in node {name!r}"
        )
    return Node(proto.op_type, name, list(proto.input), list(proto.output), attributes, opset)


class SlidingWindow(NamedTuple):
    """How a window slides over an image of any number of axes.

    `pads` are (before, after) of each axis; `more` are the pixels that ceil_mode adds behind the padding and that
    average pooling does not count.
    """

    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    more: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """Number of pixels that a window spans, gaps of the dilation included."""
        return tuple((k - 1) * d + 1 for k, d in zip(self.size, self.dilations, strict=True))


def slide(node: Node, image: Sequence[int], size: Sequence[int] | None = None) -> SlidingWindow:
    """Return the window of a Conv or a pooling node over an image of these sizes."""
    axes = len(image)
    size = tuple(node.get("kernel_shape", size))
    strides = tuple(node.get("strides") or (1,) * axes)
    dilations = tuple(node.get("dilations") or (1,) * axes)
    given = node.get("pads") or (0,) * (2 * axes)
    words = _auto_pad(node)
    pads, more = [], []
    for axis, (length, k, s, d) in enumerate(zip(image, size, strides, dilations, strict=True)):
        reach = (k - 1) * d + 1
        if words in ("SAME_UPPER", "SAME_LOWER"):
            total = max((-(-length // s) - 1) * s + reach - length, 0)
            small, large = total // 2, total - total // 2
            pads.append((small, large) if words == "SAME_UPPER" else (large, small))
        elif words == "VALID":
            pads.append((0, 0))
        else:
            pads.append((given[axis], given[axes + axis]))
        more.append(_ceiled(length, pads[-1], s, reach) if node.get("ceil_mode", 0) else 0)
    return SlidingWindow(size, strides, dilations, tuple(pads), tuple(more))


def _auto_pad(node: Node) -> str:
    word = node.get("auto_pad", "NOTSET")
    if word not in ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"):
        raise node.refuse(f"auto_pad NOTSET, SAME_UPPER, SAME_LOWER or VALID, got {word!r}")
    return word


def _ceiled(length: int, pads: tuple[int, int], stride: int, reach: int) -> int:
    """Return how many pixels behind the padding the last window needs that ceil_mode adds."""
    rest = length + sum(pads) - reach
    windows = -(-rest // stride) + 1
    if (windows - 1) * stride >= length + pads[0]:
        windows -= 1
    return max((windows - 1) * stride - rest, 0)


def transposed_pads(
    node: Node, image: Sequence[int], size: Sequence[int]
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """Return the pixels that ConvTranspose crops (before, after) on each axis, and the size of its output."""
    axes = len(image)
    strides, dilations = node.get("strides") or (1,) * axes, node.get("dilations") or (1,) * axes
    added = node.get("output_padding") or (0,) * axes
    given = node.get("pads") or (0,) * (2 * axes)
    words = _auto_pad(node)
    wanted = node.get("output_shape")
    if wanted is None and words.startswith("SAME"):
        wanted = [length * stride for length, stride in zip(image, strides, strict=True)]
    pads, made = [], []
    for axis, length in enumerate(image):
        whole = (length - 1) * strides[axis] + (size[axis] - 1) * dilations[axis] + 1
        if wanted is None:
            before, after = given[axis], given[axes + axis] - added[axis]
            made.append(whole - before - after)
        else:
            made.append(wanted[len(wanted) - axes + axis])
            total = max(whole + added[axis] - made[-1], 0)
            half = total // 2
            before = half if words == "SAME_UPPER" else total - half
            after = whole - made[-1] - before
        pads.append((before, after))
    return tuple(pads), tuple(made)
