"""The benchmark: workloads, messages between processes, reports. No test depends on a timing."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import gwucnn
from gwucnn import get_num_threads, models
from gwucnn.bench import __main__ as bench
from gwucnn.bench import (
    base,
    compare,
    contestants,
    kernel_cases,
    kernel_grid,
    report,
    scaling,
    scaling_plot,
    workloads,
)
from gwucnn.layers.base import leaves

PEERS = Path(contestants.WORKER).parent
WORKLOADS = {workload.name: workload for workload in workloads.WORKLOADS}
QUICK = ["--rounds", "1", "--seconds", "0.01"]

# A library of the slides' network in numpy: as worker.py wants it, with a way to go wrong for each of its forms.
FAKE = textwrap.dedent(
    """
    import os
    import numpy as np

    print("libraries chatter")

    def set_threads(threads):
        os.write(1, b"even past Python\\n")

    def version():
        return "0.0"

    def sigmoid(z):
        return 1 / (1 + np.exp(-z))

    class Network:
        def __init__(self, case, arrays, form):
            if form == "refuses":
                raise ValueError("no such layer")
            self.lr, self.form, self.arrays = case["lr"], form, arrays
            self.turns = 0
            self.reset()

        def reset(self):
            self.turns += 1
            if self.form == "dies late" and self.turns > 2:
                os._exit(7)
            self.w = [self.arrays[f"w{number}"].astype(float) for number in range(3)]

        def forward(self):
            x = self.arrays["x"]
            self.seen = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), (1, 2))
            maps = np.einsum("nijuv,uv->nij", self.seen, self.w[0][:, :, 0, 0])
            n, h, w = maps.shape
            self.windows = maps.reshape(n, h // 2, 2, w // 2, 2).swapaxes(2, 3).reshape(n, h // 2, w // 2, 4)
            self.flat = self.windows.max(3).reshape(n, -1)
            self.hidden = np.maximum(self.flat @ self.w[1], 0)
            return sigmoid(self.hidden @ self.w[2])

        def train(self):
            p, y = self.forward(), self.arrays["y"]
            loss = -np.sum(y * np.log(p) + (1 - y) * np.log(1 - p)) / len(y)
            dz = (p - y) / len(y)
            dhidden = dz @ self.w[2].T * (self.hidden > 0)
            dflat = (dhidden @ self.w[1].T).reshape(self.windows.shape[:3])
            dwindows = dflat[..., None] * (np.arange(4) == self.windows.argmax(3)[..., None])
            n, h, w, _ = dwindows.shape
            dmaps = dwindows.reshape(n, h, w, 2, 2).swapaxes(2, 3).reshape(n, 2 * h, 2 * w)
            dkernel = np.einsum("nijuv,nij->uv", self.seen, dmaps)[:, :, None, None]
            if self.form == "learns wrongly":
                dkernel = -dkernel
            for weight, grad in zip(self.w, (dkernel, self.flat.T @ dhidden, self.hidden.T @ dz)):
                weight -= self.lr * grad
            return loss

        def predict(self):
            if self.form == "dies":
                import sys
                print("out of luck", file=sys.stderr)
                os._exit(3)
            return self.forward() + (0.01 if self.form == "wrong" else 0)

        def finish(self):
            pass

        def to_numpy(self, result):
            return np.asarray(result)
    """
)


@pytest.fixture(scope="module")
def fake_worker(tmp_path_factory):
    """Return a program that is worker.py with one library more."""
    folder = tmp_path_factory.mktemp("fake")
    (folder / "with_fake.py").write_text(FAKE)
    program = f"import sys\nsys.path[:0] = [{str(PEERS)!r}, {str(folder)!r}]\nimport worker\nworker.main()\n"
    (folder / "fake_worker.py").write_text(program)
    return folder / "fake_worker.py"


@pytest.fixture
def fake(fake_worker):
    """Return a function that makes the contestant which runs in these forms."""

    def make(*forms, name="fake", **options):
        library = contestants.Library("fake", forms or ("float32",), **options)
        return contestants.Contestant(name, library, sys.executable, fake_worker)

    return make


@pytest.fixture
def settings(tmp_path):
    return compare.Settings(threads=1, rounds=2, seconds=0.01, folder=tmp_path)


def run_row(everyone, settings, name="seed-b1", mode="train"):
    ticks = []
    row = compare.compare(WORKLOADS[name], mode, 1000, everyone, contestants.REFERENCE, settings, ticks.append)
    assert len(ticks) == len(everyone) * (1 + settings.rounds)
    return row


def with_gwucnn():
    """Load gwucnn's own part of the comparison, which is a program of another process otherwise."""
    spec = importlib.util.spec_from_file_location("with_gwucnn", PEERS / "with_gwucnn.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------------------- workloads


def test_there_are_ten_workloads():
    sizes = {"seed": (1, 32), "mnist": (1, 128), "vgg": (1, 64), "resnet18": (1, 32), "mobilenet": (1, 32)}
    assert list(WORKLOADS) == [f"{name}-b{batch}" for name, batches in sizes.items() for batch in batches]


@pytest.mark.parametrize("name", WORKLOADS)
def test_stated_shapes_are_those_of_the_network(name):
    workload = WORKLOADS[name]
    arrays = workload.arrays()
    shapes = [arrays[f"w{number}"].shape for number in range(len(arrays) - 2)]
    network = with_gwucnn().Network(workload.case("train"), arrays, "float32")._network
    assert [parameter.shape for parameter in network.parameters] == shapes
    layers = [told for told in workload.chain() if told["kind"] not in ("fork", "shortcut", "add")]
    built = [list(leaf.out_shape) for layer in network.layers for leaf in leaves(layer)]
    assert built == [told["out"] for told in layers]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet"])
def test_workloads_are_the_package_s_own_models(name):
    told = with_gwucnn().layers(WORKLOADS[f"{name}-b1"].chain())
    model = getattr(models, f"{name}_small")()
    options = re.compile(r", kernel_initializer='he_normal'")
    assert [repr(layer) for layer in told] == [options.sub("", repr(layer)) for layer in model.layers]


def test_workloads_are_plain_and_always_the_same():
    for workload in WORKLOADS.values():
        case = workload.case("predict")
        assert json.loads(json.dumps(case)) == case
    first, second = WORKLOADS["seed-b32"].arrays(), WORKLOADS["seed-b32"].arrays()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert all(first[name].dtype == np.float32 for name in first)


@pytest.mark.parametrize("name", ["seed-b1", "seed-b32", "mnist-b1", "mnist-b128", "vgg-b1", "mobilenet-b1"])
def test_fast_and_reference_answers_agree_and_losses_fall(name):
    answers = []
    for form in ("float32", "reference"):
        workload = WORKLOADS[name]
        network = with_gwucnn().Network(workload.case("train"), workload.arrays(), form)
        outputs = network.predict()
        losses = np.array([network.train() for _ in range(compare.STEPS)])
        answers.append({"outputs": outputs, "losses": losses})
        assert (np.diff(losses) < -0.02 * losses[0]).all(), "what is hardly learnt is hardly compared"
    assert answers[1]["outputs"].dtype == np.float64
    assert compare.difference(*answers) < 1e-4


def test_operations_are_those_of_direct_convolution():
    first, second, dense = 2 * 26 * 26 * 32 * 9, 2 * 11 * 11 * 64 * 32 * 9, 2 * 1600 * 10
    mnist = WORKLOADS["mnist-b128"]
    assert workloads.operations(mnist, "predict") == 128 * (first + second + dense)
    assert workloads.operations(mnist, "train") == 128 * (2 * first + 3 * second + 3 * dense)
    # 555,422,720 multiplications in ResNet-18 at 32 x 32, as torch.utils.flop_counter has them.
    assert workloads.operations(WORKLOADS["resnet18-b1"], "predict") == 2 * 555_422_720
    depthwise, mixed = 2 * 16 * 16 * 64 * 9, 2 * 16 * 16 * 64 * 128
    only = workloads.Workload("one block", 1, (32, 32, 64), workloads.separable(128, 2), "cross_entropy", 1e-4)
    assert workloads.operations(only, "predict") == depthwise + mixed


# ------------------------------------------------------------------------------------- clock and memory


def test_fastest_measures_at_least_one_loop_and_waits():
    calls, waits = [], []
    took = base.fastest(lambda: calls.append(0), 0, finish=lambda: waits.append(0), least=1e-4)
    assert 0 < took < 0.1
    assert len(calls) > len(waits) >= 1


def test_fastest_counts_a_slow_call_by_itself():
    calls = []
    base.fastest(lambda: calls.append(0), 0, least=0)
    assert calls == [0]


def test_peak_memory_is_that_of_a_process():
    held = base.peak_memory()
    assert held is None or 1e6 < held < 1e11


# ------------------------------------------------------------------------------- talk with processes


def test_a_peer_that_answers_rightly_is_timed(fake, settings):
    row = run_row([contestants.GWUCNN, fake()], settings)
    assert {name: result["status"] for name, result in row["results"].items()} == {
        "gwucnn": "timed",
        "fake": "timed",
    }
    ours, theirs = row["results"]["gwucnn"], row["results"]["fake"]
    assert (row["workload"], row["mode"], row["batch"], row["fastest_peer"]) == (
        "seed-b1",
        "train",
        1,
        "fake",
    )
    assert row["ratio"] == theirs["ms"] / ours["ms"]
    assert ours["version"] == gwucnn.__version__
    assert theirs["difference"] < 1e-5
    for result in (ours, theirs):
        assert result["gflops"] == pytest.approx(1000 / result["ms"] / 1e6)
        assert result["processors"] > 0
        assert result["ms"] == min(result["ms_of_rounds"])
        assert len(result["ms_of_rounds"]) == settings.rounds


@pytest.mark.parametrize(("form", "mode"), [("wrong", "predict"), ("wrong", "train"), ("learns wrongly", "train")])
def test_a_wrong_answer_is_not_timed(fake, settings, form, mode):
    row = run_row([fake(form)], settings, mode=mode)
    result = row["results"]["fake"]
    assert result["status"] == "mismatch"
    assert "ms" not in result
    assert re.fullmatch(
        r"fake: expected the reference's answer to 0\.0001 of its largest number, got a difference of \S+",
        result["message"],
    )
    assert (row["fastest_peer"], row["ratio"]) == (None, None)


def test_a_looser_tolerance_lets_it_pass_outside_the_ratio(fake, settings):
    peer = fake("wrong", tolerance=1.0, float32=False)
    row = run_row([contestants.GWUCNN, peer], settings, mode="predict")
    assert row["results"]["fake"]["status"] == "timed"
    assert row["fastest_peer"] is None


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("dies", r"fake: expected a reply to 'answer', got exit status 3; its last words: out of luck"),
        ("dies late", r"fake: expected a reply to 'turn', got exit status 7.*"),
        ("refuses", r"fake: expected a reply to 'load', got ValueError: no such layer"),
    ],
)
def test_a_dying_peer_does_not_take_the_others_along(fake, settings, form, message):
    row = run_row([fake(form), contestants.GWUCNN], settings)
    result = row["results"]["fake"]
    assert result["status"] == "failed"
    assert re.fullmatch(message, result["message"], re.DOTALL)
    assert row["results"]["gwucnn"]["status"] == "timed"


def test_of_several_forms_one_that_is_right_takes_part(fake, settings):
    row = run_row([fake("wrong", "float32", "dies")], settings)
    assert (row["results"]["fake"]["status"], row["results"]["fake"]["form"]) == ("timed", "float32")


def test_who_cannot_train_predicts_all_the_same(fake, settings):
    peer = fake(trains=False)
    assert run_row([peer], settings)["results"]["fake"] == {"status": "not offered", "message": ""}
    assert run_row([peer], settings, mode="predict")["results"]["fake"]["status"] == "timed"


def test_a_library_that_is_not_there(fake, settings):
    peer = contestants.Contestant("torch", contestants.Library("of_dreams"), sys.executable)
    result = run_row([peer], settings)["results"]["torch"]
    assert result["status"] == "failed"
    assert "expected a reply to its start, got ImportError: No module named 'with_of_dreams'" in result["message"]


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            "print('[1]', flush=True); input()",
            r"it: expected a JSON object as reply to its start, got '\[1\]'",
        ),
        ("print('{', flush=True); input()", r"it: expected a JSON object as reply to its start, got '\{'"),
        ("raise SystemExit(5)", "it: expected a reply to its start, got exit status 5"),
    ],
)
def test_a_process_that_talks_nonsense(tmp_path, program, message):
    with pytest.raises(contestants.ProcessError, match=message):
        contestants.Process("it", [sys.executable, "-c", program], {}, tmp_path)


def test_patience_ends_and_so_does_the_process(tmp_path):
    program = "print('{}', flush=True)\nfor line in __import__('sys').stdin: pass"
    message = r"it: expected a reply to 'turn', got none in 0\.05 s"
    with (
        contestants.Process("it", [sys.executable, "-c", program], {}, tmp_path) as process,
        pytest.raises(contestants.ProcessError, match=message),
    ):
        process.ask("turn", patience=0.05)
    assert process._process.returncode == 0


def test_a_process_that_cannot_be_started(tmp_path):
    with pytest.raises(contestants.ProcessError, match=r"it: expected .*nowhere to start, got"):
        contestants.Process("it", [str(tmp_path / "nowhere")], {}, tmp_path)


def test_difference_sees_shapes_and_nan():
    right = {"outputs": np.array([1.0, -4.0])}
    assert compare.difference({"outputs": np.array([1.0, -3.0])}, right) == 0.25
    assert compare.difference({"outputs": np.ones(3)}, right) == np.inf
    assert compare.difference({}, right) == np.inf
    assert np.isnan(compare.difference({"outputs": np.array([np.nan, -4.0])}, right))


# ----------------------------------------------------------------------------------------- kernels


CASES = [
    kernel_cases.Convolution("", "conv2d", (7, 6, 4), 6),
    kernel_cases.Convolution("", "conv2d", (9, 8, 4), 6, 3, 2, "same", 1, 2),
    kernel_cases.Convolution("", "backward_input", (9, 8, 4), 6, 3, 2, "valid", 1, 2),
    kernel_cases.Convolution("", "backward_input", (9, 9, 4), 4, 3, 1, "same", 2, 4),
    kernel_cases.Convolution("", "backward_weight", (9, 8, 4), 6, 5, 2, "same"),
    kernel_cases.Convolution("", "backward_weight", (9, 8, 4), 8, 3, 1, "valid", 2, 4),
    kernel_cases.Convolution("", "backward_weight", (28, 28, 32), 32, winograd=True),
    kernel_cases.Pooling((7, 6, 3), 3),
    kernel_cases.Dense("dense", 3, 5, 4),
    kernel_cases.Dense("backward_input", 9, 5, 4),
    kernel_cases.Dense("backward_weight", 9, 5, 4),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op} {case.text}")
def test_kernels_answer_as_numpy_does(case, rng, monkeypatch):
    monkeypatch.setattr(kernel_cases, "WORK", 1)
    bound = case.bind(rng)
    assert bound.answer().shape == bound.expected().shape
    kernel_grid.check(case, bound)


def test_a_wrong_kernel_is_not_timed(monkeypatch):
    monkeypatch.setattr(kernel_cases.Convolution, "_forward", lambda *_: np.ones((1, 7, 6, 6)))
    with pytest.raises(ArithmeticError, match=r"conv2d \S+ \* 3x3x4x6 same: expected numpy's answer to 0\.0001"):
        kernel_grid.time_kernels(CASES[:1], 1, 0.001, lambda text: None)


def test_the_grid_holds_what_it_promises():
    cases = list(kernel_cases.grid())
    groups = {case.group for case in cases}
    assert groups >= {"3x3", "winograd", "first layer", "few filters", "1x1", "5x5", "7x7", "strided"}
    assert groups >= {"dilated", "grouped", "depthwise", "pooling", "dense"}
    assert len({(case.op, case.text) for case in cases}) == len(cases)
    assert all(case.operations < 5e9 for case in cases)


def test_kernels_print_a_table_and_json(tmp_path, capsys):
    file = tmp_path / "kernels.json"
    before = get_num_threads()
    assert bench.main(["--kernels", "--only", "3x3 conv2d 32x7x7x32", *QUICK, "--json", str(file)]) == 0
    assert get_num_threads() == before
    output = capsys.readouterr().out
    assert re.search(r"^3x3 +conv2d +32x7x7x32 \* 3x3x32x32 same +\S+ +\S+ +\d+%$", output, re.MULTILINE)
    made = json.loads(file.read_text())
    (row,) = made["rows"]
    assert (made["kind"], row["group"], row["op"]) == ("kernels", "3x3", "conv2d")
    assert row["operations"] == 2 * 32 * 49 * 32 * 32 * 9
    assert row["gflops"] == pytest.approx(row["operations"] / row["ms"] / 1e6)
    assert set(made["peak_gflops"]) == {"gwucnn", "numpy"}


# ----------------------------------------------------------------------------------------- scaling


def test_exponents_are_those_of_the_data():
    rows = [
        {"sweep": "side", "quantity": "pixels", "size": n, "ms": {"train": 3.0 * n, "predict": n**0.5}}
        for n in (4, 16, 64)
    ]
    fits = {fit["mode"]: fit for fit in scaling.exponents(rows)}
    assert fits["train"]["exponent"] == pytest.approx(1)
    assert fits["predict"]["last"] == pytest.approx(0.5)
    assert list(scaling.exponents(rows[:1])) == []


def test_scaling_prints_tables_and_draws(tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(scaling, "SWEEPS", (scaling.Sweep("side", (6, 12), "pixels of an image", 2),))
    file, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    assert bench.main(["--scaling", "--only", "side", *QUICK, "--json", str(file), "--plot", str(picture)]) == 0
    output = capsys.readouterr().out
    assert re.search(r"^side 12 +pixels of an image +144 +\S+ +\S+$", output, re.MULTILINE)
    assert re.search(r"^pixels of an image +train +-?\d\.\d\d +-?\d\.\d\d$", output, re.MULTILINE)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert [row["size"] for row in json.loads(file.read_text())["rows"]] == [36, 144]


def test_drawing_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"--plot: expected matplotlib, got .*; pip install matplotlib"):
        scaling_plot.plot({}, "scaling.png")


# ------------------------------------------------------------------------------------ options, reports


def test_comparison_prints_tables_and_json(fake, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(contestants, "peer", {"a=x": fake(name="a"), "b=x": fake("wrong", name="b")}.get)
    file = tmp_path / "report.json"
    options = ["--only", "seed-b1", "--peer", "a=x", "--peer", "b=x", *QUICK, "--json", str(file)]
    assert bench.main(options) == 1
    captured = capsys.readouterr()
    assert re.search(r"^workload +gwucnn +a +b +fastest peer +ratio +GF/s +of peak$", captured.out, re.MULTILINE)
    assert re.search(r"^seed-b1 train +\S+ +\S+ +wrong +a +\S+ +\S+ +\d+%$", captured.out, re.MULTILINE)
    assert "seed-b1 predict: mismatch: b: expected the reference's answer" in captured.out
    assert "0/12" in captured.err, "progress"
    made = json.loads(file.read_text())
    assert made.keys() >= {
        "kind",
        "version",
        "numpy",
        "python",
        "isa",
        "processor",
        "threads",
        "rounds",
        "seconds",
    }
    assert made["libraries"] == {"gwucnn": gwucnn.__version__, "a": "0.0"}
    assert [(row["workload"], row["mode"]) for row in made["rows"]] == [
        ("seed-b1", "train"),
        ("seed-b1", "predict"),
    ]
    for row in made["rows"]:
        ours = row["results"]["gwucnn"]
        assert ours.keys() >= {
            "status",
            "ms",
            "gflops",
            "share_of_peak",
            "peak_memory_mb",
            "form",
            "difference",
        }
        assert row["results"]["b"].keys() == {"status", "message"}
    assert sys.executable not in file.read_text()
    assert report.tables(made).splitlines() == captured.out.splitlines()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--peer", "torch"], "--peer: expected NAME=PYTHON such as torch=venv/bin/python, got 'torch'"),
        (
            ["--peer", "torhc=python"],
            "--peer: expected NAME to be one of .*, got 'torhc'; did you mean 'torch'?",
        ),
        (
            ["--peer", "torch=no/such/python"],
            "--peer: expected a Python interpreter for torch, got 'no/such/python'; check the path",
        ),
        (
            ["--peer", f"jax={sys.executable}", "--peer", f"jax={sys.executable}"],
            "--peer: expected each NAME once, got jax several times",
        ),
        (
            ["--peer", f"jax={sys.executable}", "--kernels"],
            "--peer: expected a comparison, got --kernels; leave one of them out",
        ),
        (["--kernels", "--scaling"], "argument --scaling: not allowed with argument --kernels"),
        (
            ["--plot", "x.png"],
            "--plot: expected --scaling with it, which is what can be drawn; add --scaling",
        ),
        (
            ["--json", "no/such/x.json"],
            "--json: expected a file in a folder that is there, got 'no/such/x.json'",
        ),
        (["--only", "alexnet"], "--only: expected a part of a line's name, got 'alexnet', which is in none"),
        (["--threads", "0"], "argument --threads: expected a number above 0, got 0"),
        (["--threads", "100000"], r"--threads: expected at most the \d+ processors here, got 100000"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--seconds", "nan"], "argument --seconds: expected a number above 0, got nan"),
    ],
)
def test_wrong_options_end_with_status_2(capsys, options, message):
    with pytest.raises(SystemExit) as caught:
        bench.main(options)
    assert caught.value.code == 2
    assert re.search(message.replace("?", r"\?"), capsys.readouterr().err)


def test_interruption_leaves_quietly(capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "compare", interrupt)
    assert bench.main(["--only", "seed-b1 predict", *QUICK]) == 130
    assert capsys.readouterr().err.endswith("bench: interrupted\n")


def test_help_names_libraries_and_workloads(capsys):
    with pytest.raises(SystemExit) as caught:
        bench.main(["--help"])
    assert caught.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(name in text for name in (*contestants.LIBRARIES, *WORKLOADS))
    for option in (
        "--peer NAME=PYTHON",
        "--kernels",
        "--scaling",
        "--threads",
        "--json FILE",
        "--plot FILE.png",
    ):
        assert option in text
