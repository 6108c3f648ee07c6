"""The programs of the README and of docs/features.md run as printed, and give what the text states."""

import re
from pathlib import Path

import numpy as np
import pytest

import gwucnn

README = Path(__file__).parents[1] / "README.md"
FEATURES = README.parent / "docs" / "features.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def text():
    return README.read_text(encoding="utf-8")


def test_programs_run_and_do_what_the_text_says(text, capsys):
    names = {}
    programs = PROGRAM.findall(text)
    for program in programs:
        exec(compile(program, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    record = names["network"].evaluate(names["x_test"] / 255, names["y_test"], return_dict=True)
    assert record["loss"] == pytest.approx(0.31, abs=0.05)
    assert record["accuracy"] == pytest.approx(0.90, abs=0.03)
    assert str(record) in printed
    np.testing.assert_allclose(names["probabilities"].sum(axis=1), 1, rtol=1e-5)
    assert names["maps"].shape == (3, 26, 26, 16)
    assert "0.Conv2D" in printed
    assert "[[ 8. 12.]\n [20. 24.]]" in printed


def test_first_network_is_ten_lines(text):
    first = PROGRAM.search(text).group(1)
    assert len([line for line in first.splitlines() if line.strip()]) == 10


def test_features_with_scikit_learn(capsys):
    pytest.importorskip("sklearn")
    exec(compile(_feature("GridSearchCV"), "features.md", "exec"), {})
    assert 0.9 < float(capsys.readouterr().out) <= 1


def test_features_layer_of_your_own():
    names = {}
    exec(compile(_feature("Halve"), "features.md", "exec"), names)
    assert names["network"].predict(np.zeros((2, 5, 5))).shape == (2, 10)


def test_features_loss_of_your_own(capsys):
    names = {}
    exec(compile(_feature("brier"), "features.md", "exec"), names)
    assert float(capsys.readouterr().out) < 1e-8
    history = names["history"].history
    assert list(history) == ["loss", "accuracy", "confidence", "lr"] and history["accuracy"][-1] > 0.7


def test_features_names_exist():
    """Every class in the table is a name of the package or of its extras for MPI and scikit-learn."""
    table = re.findall(r"^\|.*\|$", FEATURES.read_text(encoding="utf-8"), re.MULTILINE)
    classes = set(re.findall(r"`(?:gwucnn\.sklearn\.)?([A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9]*)`", "\n".join(table)))
    assert len(classes) > 35
    assert classes - {"GridSearchCV", "DataParallel", "CNNClassifier", "CNNRegressor"} <= set(dir(gwucnn))


def _feature(word):
    """Return the program of docs/features.md that mentions a word."""
    (program,) = [p for p in PROGRAM.findall(FEATURES.read_text(encoding="utf-8")) if word in p]
    return program


def test_features_training_batch_by_batch(capsys):
    exec(compile(_feature("train_on_batch"), "features.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.75


def test_features_connected_layers(capsys):
    exec(compile(_feature("Multiply()"), "features.md", "exec"), {})
    assert capsys.readouterr().out.endswith("(1, 10)\n")


def test_features_starting_from_a_trained_network(capsys):
    exec(compile(_feature("trained[:-1]"), "features.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.9
