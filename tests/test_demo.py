"""The demo as a user runs it: what it prints and returns, and its errors for wrong options."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from gwucnn import demo, kernels

QUICK = ["--epochs", "1", "--threads", "1"]


@pytest.fixture(autouse=True)
def threads_restored():
    before = kernels.get_num_threads()
    yield
    kernels.set_num_threads(before)


def run(*options):
    command = [sys.executable, "-P", "-m", "gwucnn.demo", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_both_acts_print_their_lines():
    done = run("--threads", "1", "--require", "0.95")
    assert done.returncode == 0, done.stderr
    first, *lines = done.stdout.splitlines()
    assert re.fullmatch(r"gwucnn \S+, (baseline|armv8-a|x86-64-v3|x86-64-v4) kernels, threads: 1", first)
    answers = [line for line in lines if re.fullmatch(r"(Actual|Predic): \[[01](, [01]){9}\]", line)]
    assert [line[:7] for line in answers] == ["Actual:", "Predic:"]
    assert any(line.startswith("Accuracy: ") and " of 10, " in line for line in lines)
    assert re.fullmatch(r"Accuracy: \d+ of 500 test images, (9[5-9]\.\d\d|100\.00)%", lines[-1])
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def done():
    return run(*QUICK)


def test_stated_sizes_are_explained_not_thrown_at_the_reader(done):
    assert "MaxPooling2D: input_size=23 stated, Conv2D makes 26 = (28 - 3) + 1; using 26" in done.stdout
    assert "Warning" not in done.stdout + done.stderr


def test_progress_is_shown_on_standard_error(done):
    assert "epoch 1/1" in done.stderr
    assert "loss=" in done.stderr


def test_json_alone_is_on_standard_output(capfd):
    assert demo.main([*QUICK, "--json", "--seed", "3"]) == 0
    output, errors = capfd.readouterr()
    report = json.loads(output)
    assert report["variant"] == kernels.isa()
    assert (report["threads"], report["epochs"], report["seed"], report["data"]) == (1, 1, 3, "sample")
    confusion = np.array(report["confusion_matrix"])
    assert confusion.sum(axis=1).tolist() == [50] * 10
    assert report["accuracy"] == confusion.trace() / 500
    assert len(report["seconds_per_epoch"]) == len(report["loss"]) == 1
    assert len(report["slides"]["actual"]) == len(report["slides"]["predicted"]) == 10
    assert (report["require"], report["passed"]) == (None, True)
    assert "Actual: [" in errors


def test_required_accuracy_missed(capfd):
    assert demo.main([*QUICK, "--lr", "1e-9", "--require", "0.95", "--json"]) == 1
    output, errors = capfd.readouterr()
    assert json.loads(output)["passed"] is False
    assert re.search(r"demo: expected an accuracy of 0\.95, got 0\.\d+; try more --epochs", errors)


def test_numbers_that_overflow_are_an_error_in_one_line(capfd):
    with np.errstate(all="ignore"):
        assert demo.main([*QUICK, "--lr", "1e30", "--json"]) == 1
    output, errors = capfd.readouterr()
    assert output == ""
    assert re.search(r"\ndemo: fit: .*expected finite numbers.*lower lr", errors)


def test_same_seed_gives_the_same_numbers(capsys):
    reports = []
    for seed in "112":
        demo.main([*QUICK, "--json", "--seed", seed])
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["loss"] == reports[1]["loss"] != reports[2]["loss"]
    assert reports[0]["confusion_matrix"] == reports[1]["confusion_matrix"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epoch-count", "3"], "unrecognized arguments: --epoch-count 3"),
        (["--epochs", "0"], "argument --epochs: expected a number above 0, got 0"),
        (["--epochs", "two"], "argument --epochs: invalid int value: 'two'"),
        (["--lr", "nan"], "argument --lr: expected a number above 0, got nan"),
        (["--require", "95"], r"argument --require: expected a share from 0 to 1, got 95; 95% is 0\.95"),
        (["--mnist", "nowhere"], "load_mnist: expected a folder or file, got nowhere; check the path"),
    ],
)
def test_wrong_options_end_with_status_2(capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        demo.main(options)
    assert caught.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_mnist_takes_other_files(tmp_path, capsys):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 28, 28), np.uint8), np.arange(40, dtype=np.uint8) % 10
    np.savez(tmp_path / "noise.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    assert demo.main(["--mnist", str(tmp_path / "noise.npz"), *QUICK, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["data"], report["batch_size"]) == ("mnist", 128)
    assert np.sum(report["confusion_matrix"]) == 20


def test_help_reads_well(capsys):
    with pytest.raises(SystemExit) as caught:
        demo.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in (
        "--mnist [DIR]",
        "--epochs",
        "--batch-size",
        "--lr",
        "--seed",
        "--threads",
        "--require",
        "--json",
    ):
        assert option in text
