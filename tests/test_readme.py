"""The README's programs run as they stand, one after the other, and give what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.fixture(scope="module")
def text():
    return README.read_text(encoding="utf-8")


def test_programs_run_and_do_what_the_text_says(text, capsys):
    names = {}
    programs = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
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
    first = re.search(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE).group(1)
    assert len([line for line in first.splitlines() if line.strip()]) == 10
