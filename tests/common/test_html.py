"""What notebooks show is well-formed, complete and escaped."""

from math import inf, nan
from xml.etree import ElementTree

import numpy as np
import pytest

from gwucnn import Concatenate, Conv2D, Dense, Flatten, GWUNetwork, History, Residual
from gwucnn.common import html_curves, html_table


def parsed(text):
    return ElementTree.fromstring(f"<body>{text}</body>")


def cells(text):
    return [["".join(cell.itertext()) for cell in row] for row in parsed(text).iter("tr")]


def lines(text):
    return [line.get("points") for line in parsed(text).findall(".//{*}polyline")]


def test_a_table():
    made = html_table(["<name>", "n"], [("  a & b", 12345), ("c", 0.123456)], "one\n<two>")
    assert cells(made) == [["<name>", "n"], ["  a & b", "12,345"], ["c", "0.1235"]]
    assert [div.text for div in parsed(made).iter("div")] == ["one", "<two>"]


def test_curves():
    made = html_curves(
        "<loss>", [1, 2, 3], {"training": [3.0, 2.0, 1.0], "validation": [3.0, 3.0, 3.0]}, xlabel="epoch"
    )
    assert lines(made) == ["48.0,22.0 169.0,91.0 290.0,160.0", "48.0,22.0 169.0,22.0 290.0,22.0"]
    assert [text.text for text in parsed(made).findall(".//{*}text")] == [
        "<loss>", "epoch", "3", "1", "1", "3", "training", "validation"
    ]  # fmt: skip
    log = html_curves("loss", [0.1, 1, 10], {"": [0, 1, 2]}, xlabel="lr", log_x=True)
    assert lines(log) == ["48.0,160.0 169.0,91.0 290.0,22.0"]


@pytest.mark.parametrize("values", [[nan, nan, nan], [inf, 1.0, nan], [2.0, nan, 2.0], [1.0, 1.0, 1.0]])
def test_curves_with_gaps(values):
    made = html_curves("loss", [1, 2, 3], {"": values}, xlabel="epoch")
    assert "nan" not in made and "inf" not in made
    assert sum(len(points.split()) for points in lines(made)) == np.isfinite(values).sum()


def test_a_network():
    layers = [
        Conv2D(3, name="<b>first"),
        Residual([Conv2D(3, padding="same")]),
        Concatenate([Conv2D(1, 1), []]),
        Flatten(),
        Dense(2),
    ]
    network = GWUNetwork(layers)
    assert cells(network._repr_html_())[1] == ["0.Conv2D (<b>first)", "?", "?", "?", "?"]
    network.build((8, 8))
    rows, printed = cells(network._repr_html_()), []
    network.summary(printed.append)
    assert rows[0] == ["layer", "output shape", "weights", "multiply-adds", "bytes"]
    for row, line in zip(rows[1:], printed[0].splitlines()[2:], strict=False):
        assert " ".join(row).split() == line.split()
    assert [div.text for div in parsed(network._repr_html_()).iter("div")] == printed[0].splitlines()[-3:]


def test_a_history():
    history = History()
    assert "no epochs yet" in history._repr_html_()
    for epoch in range(12):
        history.append({"epoch": epoch, "loss": 1 / (epoch + 1), "lr": 0.1, "val_loss": 0.5, "seconds": 1.5})
    rows = cells(history._repr_html_())
    assert rows[0] == ["epoch", "loss", "lr", "val_loss", "seconds"]
    assert [row[0] for row in rows[1:]] == [str(epoch) for epoch in range(3, 13)]
    assert rows[-1] == ["12", "0.08333", "0.1", "0.5", "1.5"]
    assert len(lines(history._repr_html_())) == 2, "no curve of a rate that does not change"
