"""A network as a diagram: a box for each layer, arrows between them, branches side by side.

Everything is measured in inches, from the top left corner. Of each layer, `_extent` says how much room it takes beside
the arrow that runs through it, and `_Diagram` draws it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from gwucnn.common import checks_arguments, panels
from gwucnn.layers import Layer, Residual
from gwucnn.layers.graphs.graph import Graph
from gwucnn.layers.inserting import in_user_order
from gwucnn.plotting.base import check_network

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gwucnn.gwu_network import GWUNetwork

__all__ = ["network_diagram"]

# Width and height of a box, length of an arrow, height of the lines where branches part and meet, and the space
# around a block of branches.
WIDTH, HEIGHT, ARROW, FORK, SPACE = 2.35, 0.44, 0.24, 0.3, 0.18
LANE = 0.16  # between arrows that pass layers
RADIUS = 0.13  # of the circle of a sum
STRAIGHT = 0.3  # width of a branch without layers

WITH_WEIGHTS, WITHOUT, LINE = "#cfe3f6", "#f0f0f0", "#555555"


@checks_arguments
def network_diagram(network: GWUNetwork, *, ax: Any = None) -> Figure:
    """Draw the layers of a network as boxes with the shapes of their outputs, and Residual and Concatenate as branches.

    Connected layers stand one below the other, with arrows beside them where an output passes the layers between.
    Boxes of layers with weights are blue. Shapes are those of one sample, '?' before the network is built.

    Parameters
    ----------
    network : GWUNetwork
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure, whose height depends on the number of layers.

    Raises
    ------
    ValueError
        For a network without layers.

    Examples
    --------
    >>> from gwucnn import Conv2D, Dense, Flatten, GWUNetwork, plotting
    >>> made = GWUNetwork([Conv2D(8, activation='relu'), Flatten(), Dense(10)])
    >>> made.build((28, 28))
    >>> figure = plotting.network_diagram(made)
    """
    check_network("network_diagram", network)
    if not network.layers:
        raise ValueError("network_diagram: expected at least one layer, got none; call add(layer)")
    row = network._layer_row
    graph, lanes = row.graph, _lanes(row.graph)
    extent = _row_extent(graph.steps)
    width = extent.left + extent.right + 2 * SPACE + LANE * max(lanes.values(), default=0)
    height = extent.height + graph.inputs * (HEIGHT + ARROW) + 2 * SPACE
    figure, (axis,) = panels("network_diagram", ax, ["diagram"], (width, height))
    axis.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
    axis.set_axis_off()
    diagram = _Diagram(axis, network.data_format == "channels_first")
    x = SPACE + extent.left
    single = graph.inputs == 1
    names = ["input"] if single else row.input_names
    shapes = [getattr(network.layers[0], "in_shape", None)] if single else row.in_shapes
    diagram.graph(x, diagram.inputs(x, SPACE, names, shapes), graph, lanes)
    return figure


def _lanes(graph: Graph) -> dict[tuple[int, int], int]:
    """Return a lane, 1 for the innermost, for each arrow that passes others: (value, the value made of it)."""
    passing = [
        (source, graph.inputs + number)
        for number, node in enumerate(graph.nodes)
        for source in dict.fromkeys(node.sources)
        if source != graph.inputs + number - 1
    ]
    lanes: dict[tuple[int, int], int] = {}
    for start, end in sorted(passing, key=lambda arrow: arrow[1] - arrow[0]):
        taken = {lane for (first, last), lane in lanes.items() if first < end and start < last}
        lanes[start, end] = next(lane for lane in range(1, len(taken) + 2) if lane not in taken)
    return lanes


class Extent(NamedTuple):
    """The room that layers take: to the left and to the right of the arrow, and from top to bottom."""

    left: float
    right: float
    height: float


def _row_extent(row: Sequence[Layer]) -> Extent:
    if not row:
        return Extent(STRAIGHT / 2, STRAIGHT / 2, 0)
    each = [_extent(layer) for layer in row]
    arrows = ARROW * (len(row) - 1)
    return Extent(max(e.left for e in each), max(e.right for e in each), sum(e.height for e in each) + arrows)


def _extent(layer: Layer) -> Extent:
    if not layer.rows:
        return Extent(WIDTH / 2, WIDTH / 2, HEIGHT)
    places, branches = _places(layer)
    left = max(branch.left - place for place, branch in zip(places, branches, strict=True)) + SPACE
    right = max(branch.right + place for place, branch in zip(places, branches, strict=True)) + SPACE
    if not isinstance(layer, Residual):
        left, right = max(left, WIDTH / 2 + SPACE), max(right, WIDTH / 2 + SPACE)  # of the box where branches meet
    join = 2 * RADIUS if isinstance(layer, Residual) else HEIGHT
    return Extent(left, right, 2 * FORK + max(branch.height for branch in branches) + join + 2 * SPACE)


def _places(layer: Layer) -> tuple[list[float], list[Extent]]:
    """Return where the arrow of each branch is, relative to that of the block, and the extents of the branches.

    The first branch of a Residual goes straight down; the branches of others are centred.
    """
    branches = [_row_extent(row) for row in layer.rows]
    places = [0.0]
    for before, branch in pairwise(branches):
        places.append(places[-1] + before.right + SPACE + branch.left)
    if not isinstance(layer, Residual):
        middle = (places[0] - branches[0].left + places[-1] + branches[-1].right) / 2
        places = [place - middle for place in places]
    return places, branches


class Span(NamedTuple):
    """Where the layer is, or the input, that a value comes from: top, bottom, and half of its width."""

    top: float
    bottom: float
    half: float


class _Diagram:
    """Draws into Axes. The methods take the place of the arrow that comes from above, and return where it goes on."""

    def __init__(self, axis: Any, channels_first: bool) -> None:
        self._axis = axis
        self._channels_first = channels_first

    def shape(self, sizes: tuple[int, ...] | None) -> str:
        """Return a shape in the user's order, '?' if it is not known yet."""
        return "?" if sizes is None else " x ".join(map(str, in_user_order(sizes, self._channels_first)))

    def inputs(self, x: float, y: float, names: Sequence[str], shapes: Sequence[Any]) -> list[Span]:
        """Draw the inputs one below the other; return where they are."""
        spans = []
        for name, sizes in zip(names, shapes, strict=True):
            spans.append(Span(y, self.box(x, y, name, self.shape(sizes), "white"), WIDTH / 2))
            y = spans[-1].bottom + ARROW
        return spans

    def graph(self, x: float, spans: list[Span], graph: Graph, lanes: Mapping[tuple[int, int], int]) -> None:
        """Draw connected layers below the inputs, in their order, with the arrows that pass others on the right."""
        for number, (layer, sources) in enumerate(graph.nodes):
            top = spans[-1].bottom + ARROW
            if graph.inputs + number - 1 in sources:
                self.arrow((x, spans[-1].bottom), (x, top))
            bottom = self._block(x, top, layer) if layer.rows else self._layer(x, top, layer)
            spans.append(Span(top, bottom, _extent(layer).right))
        right = x + max(span.half for span in spans)
        for (start, end), lane in lanes.items():
            begin, finish = spans[start].bottom - HEIGHT / 4, spans[end].top + HEIGHT / 4
            turn = right + LANE * lane
            self._line((x + spans[start].half, begin), (turn, begin))
            self._line((turn, begin), (turn, finish))
            self.arrow((turn, finish), (x + spans[end].half, finish))

    def row(self, x: float, y: float, row: Sequence[Layer]) -> float:
        """Draw consecutive layers, and arrows between them."""
        for number, layer in enumerate(row):
            if number:
                self.arrow((x, y), (x, y + ARROW))
                y += ARROW
            y = self._block(x, y, layer) if layer.rows else self._layer(x, y, layer)
        return y

    def _layer(self, x: float, y: float, layer: Layer) -> float:
        weights = sum(parameter.size for parameter in layer.parameters)
        below = self.shape(getattr(layer, "out_shape", None)) + (f"   {weights:,} weights" if weights else "")
        return self.box(x, y, f"{_name(layer)}{_options(layer)}", below, WITH_WEIGHTS if weights else WITHOUT)

    def _block(self, x: float, y: float, layer: Layer) -> float:
        """Draw branches between the line where they part and the sum, or the box, where they meet."""
        places, branches = _places(layer)
        extent = _extent(layer)
        self._dashed(x - extent.left, y, extent, _name(layer))
        top = y + SPACE
        first, last = top + FORK, top + FORK + max(branch.height for branch in branches)
        meeting = last + FORK
        is_sum = isinstance(layer, Residual)
        self._line((x, y), (x, top + FORK / 2))
        for place, row in zip(places, layer.rows, strict=True):
            at = x + place
            self._line((x, top + FORK / 2), (at, top + FORK / 2))
            if row:
                self.arrow((at, top + FORK / 2), (at, first))
            end = self.row(at, first, row) if row else top + FORK / 2
            if is_sum and place:
                self._line((at, end), (at, meeting + RADIUS))
                self.arrow((at, meeting + RADIUS), (x + RADIUS, meeting + RADIUS))
            else:
                self.arrow((at, end), (at, meeting))
        if is_sum:
            bottom = self._sum(x, meeting, self.shape(getattr(layer, "out_shape", None)))
        else:  # wide enough for the arrows of all branches
            wide = max(WIDTH, 2 * max(abs(place) for place in places) + STRAIGHT)
            bottom = self.box(x, meeting, "concatenated", self.shape(getattr(layer, "out_shape", None)), WITHOUT, wide)
        self._line((x, bottom), (x, bottom + SPACE))
        return y + extent.height

    def box(self, x: float, y: float, title: str, below: str, color: str, width: float = WIDTH) -> float:
        """Draw a box with two lines of text."""
        from matplotlib.patches import FancyBboxPatch

        style = "round,pad=0,rounding_size=0.06"
        corner = (x - width / 2, y)
        self._axis.add_patch(FancyBboxPatch(corner, width, HEIGHT, boxstyle=style, facecolor=color, edgecolor=LINE))
        self._text(x, y + 0.3 * HEIGHT, title, fontweight="bold")
        self._text(x, y + 0.72 * HEIGHT, below)
        return y + HEIGHT

    def arrow(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw an arrow."""
        properties = {"arrowstyle": "-|>", "color": LINE, "linewidth": 1, "shrinkA": 0, "shrinkB": 0}
        self._axis.annotate("", end, start, arrowprops=properties)

    def _line(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self._axis.plot([start[0], end[0]], [start[1], end[1]], color=LINE, linewidth=1, solid_capstyle="projecting")

    def _sum(self, x: float, y: float, shape: str) -> float:
        from matplotlib.patches import Circle

        self._axis.add_patch(Circle((x, y + RADIUS), RADIUS, facecolor="white", edgecolor=LINE, zorder=3))
        self._text(x, y + RADIUS, "+", zorder=4)
        self._text(x - 0.2, y + RADIUS, shape, ha="right")
        return y + 2 * RADIUS

    def _dashed(self, left: float, top: float, extent: Extent, name: str) -> None:
        """Draw the frame of a block."""
        from matplotlib.patches import Rectangle

        size = (extent.left + extent.right, extent.height)
        self._axis.add_patch(Rectangle((left, top), *size, fill=False, edgecolor="0.7", linestyle="--", linewidth=0.8))
        self._text(left + 0.06, top + 0.1, name, ha="left", color="0.4")

    def _text(self, x: float, y: float, text: str, **options: Any) -> None:
        self._axis.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": 7.5} | options)


def _name(layer: Layer) -> str:
    """Return number, kind and name of a layer; of one inside another, without the labels of those around it."""
    *around, kind = layer.label.split(".")
    number = f"{around[0]}." if len(around) == 1 else ""
    return f"{number}{kind}" + (f" '{layer.name}'" if layer.name else "")


def _options(layer: Layer) -> str:
    """Return the options that matter most: window, strides, rate and activation."""
    given = layer.config()
    window = given.get("kernel_size") or given.get("pool_size")
    strides = given.get("strides", (1, 1))
    shown = ["x".join(map(str, window))] if window else []
    if window and tuple(strides) != (1, 1) and "pool_size" not in given:
        shown.append("strides " + ("x".join(map(str, strides)) if strides[0] != strides[1] else str(strides[0])))
    if "rate" in given:
        shown.append(f"{given['rate']:g}")
    if given.get("activation"):
        shown.append(given["activation"])
    return f"  {', '.join(shown)}" if shown else ""
