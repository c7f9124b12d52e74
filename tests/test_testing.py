"""`lstmcli.testing` and the pytest plugin: what a failing test of a user shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from lstmcli import run
from lstmcli.errors import UserError
from lstmcli.testing import assert_lstm_close, write_golden
from lstmcli.views.assertion import COLUMNS, LINES
from tests.paths import TOP
from tests.processes import python

pytest_plugins = "pytester"

SAMPLE = TOP / "samples" / "forget-bias"
WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
PLUGIN = ("-p", "no:lstmcli", "-p", "lstmcli.pytest_plugin")  # installed or not
TENSORFLOW, PORT = (
    SAMPLE / "tensorflow.txt",
    SAMPLE / "numpy.txt",
)  # without the forget bias


def printed(path: Path) -> Any:
    """The numbers (T, H) of a print of the sample."""
    return np.array(re.findall(r"-?\d\S*\d", path.read_text()), float).reshape(7, 3)


def failure(actual: Any, expected: Any, **given: Any) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        assert_lstm_close(actual, expected, **given)
    return str(caught.value).splitlines()


def test_results_within_the_tolerance_pass() -> None:
    h = np.random.default_rng(0).normal(size=(7, 3))
    assert_lstm_close(h[None], h.tolist())
    assert_lstm_close({"h": h}, {"h": h.astype(np.float32)})
    assert_lstm_close(h, h + 1e-3, atol=1e-2)
    assert failure(h, h + 1e-3)[0] == "actual and expected differ in 1 of 1 arrays"


@pytest.mark.parametrize(
    ("actual", "text"),
    [
        (lambda h: h[-1], "h: actual has 12 numbers, expected 60"),
        (lambda h: h[:, :2], "h: actual has 30 numbers, expected 60"),
        (lambda h: {"h": h}, "actual lacks c"),
    ],
)
def test_all_numbers_have_to_be_there(actual: Any, text: str) -> None:
    h = np.random.default_rng(3).normal(size=(5, 4, 3))
    named = isinstance(actual(h), dict)
    expected = {"h": h, "c": 2 * h} if named else h
    assert any(text in line for line in failure(actual(h), expected))
    assert_lstm_close({"h": h, "c": 2 * h, "z": h}, {"h": h, "c": 2 * h})
    assert_lstm_close(h, {"h": h, "c": 2 * h})
    assert_lstm_close(h.ravel(), h)
    assert_lstm_close(
        np.where(h > 1, np.nan, h), np.where(h > 1, np.nan, h), equal_nan=True
    )


def test_a_layout_names_the_axes_of_both() -> None:
    h = np.random.default_rng(3).normal(size=(5, 4, 3))
    wrong = np.where(np.arange(4)[:, None] == 2, h + 1, h)
    assert "at step 2," in " ".join(failure(wrong, h, layout="batch"))
    assert "at step 0, batch 2" in " ".join(failure(wrong, h, layout="time"))
    wrong, h = wrong[:, 0], h[:, 0] + np.eye(5, 3)
    assert "first      batch 0," in " ".join(failure(wrong, h, layout="batch"))
    assert "first      step 0," in " ".join(failure(wrong, h))


@pytest.mark.parametrize("sides", [(PORT, TENSORFLOW), (TENSORFLOW, PORT)])
def test_the_cause_is_that_of_the_side_that_the_weights_do_not_give(sides: Any) -> None:
    lines = failure(*sides, weights=WEIGHTS, inputs=INPUTS)
    assert any(line.startswith("first      step 1, unit 0 · a ") for line in lines)
    assert lines[-2:] == [
        "explain    One change explains the difference: forget bias is 0, not +1",
        f"lstm run {WEIGHTS} {INPUTS} --forget-bias 0",
    ]


LENGTHS = [7, 5, 6, 3]
COUNTS = np.arange(7) < np.array(LENGTHS)[:, None]


@pytest.mark.parametrize(
    ("time_first", "given"),
    [
        (False, {"lengths": LENGTHS}),
        (True, {"lengths": "7,5,6,3"}),
        (False, {"lengths": LENGTHS, "layout": "batch"}),
        (False, {"mask": COUNTS}),
        (True, {"mask": COUNTS.T, "layout": "time"}),
        (False, {"weights": "w.npz", "inputs": "x.npz", "layout": "batch"}),
        (
            False,
            {
                "weights": "w.npz",
                "inputs": "x.npz:inputs",
                "layout": "batch",
                "mask": COUNTS,
            },
        ),
    ],
)
def test_padded_steps_are_not_compared(
    time_first: bool,
    given: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    h, x, kernel = (rng.normal(size=shape) for shape in [(4, 7, 3), (4, 7, 2), (5, 12)])
    np.savez("w.npz", kernel=kernel, bias=np.zeros(12))
    np.savez("x.npz", inputs=x, lengths=LENGTHS)
    padded, wrong = h.copy(), h.copy()
    padded[~COUNTS] = 99
    wrong[1, 4] += 1
    axes = (1, 0, 2) if time_first else (0, 1, 2)
    assert_lstm_close(padded.transpose(axes), h.transpose(axes), **given)
    lines = failure(
        padded.transpose(axes), wrong.transpose(axes), explain=False, **given
    )
    assert any(
        line.startswith("h          3 of 63 differ, max abs 1 at") for line in lines
    )
    assert failure(padded, h)[-1].startswith("lstmcli.explain(")


@pytest.mark.parametrize(
    ("actual", "given", "text"),
    [
        (np.empty((0, 3)), {}, "actual is empty: h is (0, 3), without numbers."),
        (
            np.array([None, 1.0]),
            {},
            "actual is an array of object; it has to be an array of",
        ),
        (
            iter([1.0, 2.0]),
            {},
            "actual is a list_iterator; it has to be an array of numbers.",
        ),
        ("none.npy", {}, "none.npy: no such file."),
        (
            1.0,
            {"lengths": [1, 2]},
            "the lengths 1,2 are of 2 sequences and at most 2 steps",
        ),
        (1.0, {"explian": False}, "assert_lstm_close: unknown setting 'explian'."),
        (1.0, {"forget_bias": 1.0}, "describe a run of weights; give weights too"),
    ],
)
def test_values_that_cannot_be_compared_are_reported(
    actual: Any, given: Any, text: str
) -> None:
    with pytest.raises(UserError, match=re.escape(text)):
        assert_lstm_close(actual, 1.0, **given)


def test_nan_is_not_equal_and_a_number_is_an_array() -> None:
    assert_lstm_close(1.0, 1.0)
    assert_lstm_close([np.inf, 1], [np.inf, 1])
    assert "equal_nan=True accepts" in " ".join(failure([np.nan, 1], [np.nan, 1]))
    assert "a nan · b 2.0" in " ".join(failure([np.nan, 1], [2.0, 1], explain=False))


def test_a_failure_is_short_whatever_differs() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 5, 4, 6))
    names = [f"layer{n}.{name}" for n in range(9) for name in "hcifgoz"]
    lines = failure(dict.fromkeys(names, a), dict.fromkeys(names, b))
    assert len(lines) <= LINES + 1
    assert max(map(len, lines[:-1])) <= COLUMNS
    assert any(line.startswith("first  ") for line in lines)


def test_a_search_that_is_refused_does_not_hide_the_difference() -> None:
    lines = failure(PORT, TENSORFLOW, weights=WEIGHTS, inputs=np.ones((7, 9)))
    assert lines[0].endswith("differ in 1 of 1 arrays")
    assert lines[-1].startswith("explain: the input array is (7, 9), but ")


@pytest.mark.frameworks
@pytest.mark.parametrize("library", ["torch", "tensorflow", "jax.numpy"])
def test_tensors_of_frameworks(library: str) -> None:
    module = pytest.importorskip(library)
    convert = {"torch": "tensor", "tensorflow": "constant", "jax.numpy": "asarray"}[
        library
    ]
    given = {"requires_grad": True} if library == "torch" else {}
    h = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    assert_lstm_close(getattr(module, convert)(h, **given), h)
    failure(getattr(module, convert)(h + 1, **given), h)


class Bfloat16:
    """What a tensor of PyTorch in bfloat16 does, of which NumPy cannot make an array."""

    dtype = "torch.bfloat16"

    def __init__(self, values: Any) -> None:
        self.values = values

    def detach(self) -> Bfloat16:
        return self

    cpu = detach

    def float(self) -> Any:
        bits = np.asarray(self.values, np.float32).view(np.uint32) & 0xFFFF0000
        return bits.view(np.float32)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Got unsupported ScalarType BFloat16")


class Packed(NamedTuple):
    """A PackedSequence of PyTorch: the steps of the sequences that are not over, longest first."""

    data: Any
    batch_sizes: Any
    sorted_indices: Any
    unsorted_indices: Any


PACKED_LENGTHS = [3, 5, 1]


def packed_by_hand(h: Any) -> Packed:
    order = np.argsort(PACKED_LENGTHS)[::-1]
    lengths = np.array(PACKED_LENGTHS)[order]
    data = [
        h[b, t] for t in range(5) for b, n in zip(order, lengths, strict=True) if t < n
    ]
    sizes = [int((lengths > t).sum()) for t in range(5)]
    return Packed(np.array(data), np.array(sizes), order, np.argsort(order))


def packed_by_torch(h: Any) -> Any:
    torch = pytest.importorskip("torch")
    pack = torch.nn.utils.rnn.pack_padded_sequence
    lengths = torch.tensor(PACKED_LENGTHS)
    return pack(torch.tensor(h), lengths, batch_first=True, enforce_sorted=False)


def bfloat16_by_torch(h: Any) -> Any:
    return (
        pytest.importorskip("torch").tensor(h).to(pytest.importorskip("torch").bfloat16)
    )


with_torch = pytest.mark.frameworks


@pytest.mark.parametrize(
    "convert", [Bfloat16, pytest.param(bfloat16_by_torch, marks=with_torch)]
)
def test_bfloat16_of_pytorch_counts_as_such(convert: Any) -> None:
    h = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    assert_lstm_close(convert(h), h)  # within 1.6e-2
    assert_lstm_close({"h": convert(h)}, {"h": h})
    failure(convert(h + 0.1), h)


@pytest.mark.parametrize(
    "pack", [packed_by_hand, pytest.param(packed_by_torch, marks=with_torch)]
)
def test_a_packed_sequence_is_compared_where_it_has_steps(pack: Any) -> None:
    h = np.random.default_rng(0).normal(size=(3, 5, 4)).astype(np.float32)
    state = h[:, -1][None]
    wrong = h.copy()
    wrong[1, 4] += 1  # the last step of the longest
    assert_lstm_close(pack(h), np.where(np.isnan(h), 0, h), layout="batch")
    assert_lstm_close((pack(h), (state, state)), {"output": h}, layout="batch")
    text = " ".join(failure(pack(h), wrong, layout="batch"))
    assert "4 of 36 differ" in text
    assert "step 4, batch 1" in text


# ---- the plugin

TESTS = """
import numpy as np
import pytest

@pytest.mark.parametrize("size", [3, 4])
def test_net(lstm_golden, size):
    h = np.arange(2.0 * size).reshape(2, size) / 10
    lstm_golden(h{off})
    lstm_golden({{"h": h, "c": h}}, name="of both")

class TestNet:
    def test_twice(self, lstm_golden):
        lstm_golden(np.ones(3))
        lstm_golden(np.ones(3))
"""


def test_golden_files_are_written_and_compared(pytester: pytest.Pytester) -> None:
    def run(*words: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(*PLUGIN, *words)

    pytester.makepyfile(test_port=TESTS.format(off=""))
    missing = run("-k", "test_net")
    missing.assert_outcomes(failed=2)
    missing.stdout.fnmatch_lines(
        ["*there is no *test_net*3*.npz: pytest --lstm-update writes it"]
    )

    update = run("--lstm-update")
    update.assert_outcomes(passed=2, failed=1)
    update.stdout.fnmatch_lines(
        ["*TestNet.test_twice.npz was compared in this test: name=*"]
    )
    written = sorted(path.name for path in (pytester.path / "test_port").iterdir())
    assert [name for name in written if "of" not in name] == [
        "test_net[3].npz", "test_net[4].npz",
    ]  # fmt: skip
    assert len(written) == 4
    run().assert_outcomes(passed=2, failed=1)

    pytester.makepyfile(test_port=TESTS.format(off=" + 1e-3"))
    wrong = run("-k", "test_net")
    wrong.assert_outcomes(failed=2)
    text = wrong.stdout.str()
    assert "actual and " in text
    assert "first      step 0, unit 0 · a " in text
    assert "lstmcli/testing.py" not in text  # no traceback of ours
    assert "lstmcli/pytest_plugin.py" not in text


NAMES = """
import numpy as np
import pytest

@pytest.mark.parametrize("n", [0, 1], ids=["a::b", "a.b"])
def test_ids(lstm_golden, n):
    lstm_golden(np.ones(3) + n)

@pytest.mark.parametrize("n", [0, 1], ids=["x" * 300, "x" * 301])
def test_long(lstm_golden, n):
    lstm_golden(np.ones(3) + n)
"""


def test_each_test_has_a_golden_file_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_port=NAMES)
    missing = pytester.runpytest_inprocess(*PLUGIN)
    missing.assert_outcomes(failed=4)
    assert missing.stdout.str().count("--lstm-update writes it") >= 4
    for words in (["--lstm-update"], []):
        pytester.runpytest_inprocess(*PLUGIN, *words).assert_outcomes(passed=4)
    assert len([*(pytester.path / "test_port").iterdir()]) == 4


REFUSED = """
import numpy as np

def test_refused(lstm_golden):
    given = {given}
    lstm_golden(given)
    given[:] = 7
    {end}
"""


@pytest.mark.parametrize(
    ("given", "end", "text"),
    [
        ("{}", "pass", "no common array"),
        ("np.empty((0, 3))", "pass", "without numbers"),
        ("np.full(3, np.nan)", "pass", "is not written: what it gets does not equal"),
        ("np.array([1, np.nan])", "pass", "equal_nan=True accepts"),
        ("np.ones(3)", "assert False, 'later'", "later"),
    ],
)
def test_what_is_never_compared_is_not_written(
    pytester: pytest.Pytester, given: str, end: str, text: str
) -> None:
    lines = REFUSED.replace("{given}", given).replace("{end}", end)
    pytester.makepyfile(test_port=lines)
    done = pytester.runpytest_inprocess(*PLUGIN, "--lstm-update")
    done.assert_outcomes(failed=1)
    assert text in done.stdout.str()
    assert not (pytester.path / "test_port").exists()


def test_a_golden_file_has_what_was_compared(pytester: pytest.Pytester) -> None:
    lines = REFUSED.replace("{given}", "np.ones(3)").replace("{end}", "pass")
    pytester.makepyfile(test_port=lines)
    pytester.runpytest_inprocess(*PLUGIN, "--lstm-update").assert_outcomes(passed=1)
    path = pytester.path / "test_port" / "test_refused.npz"
    assert np.load(path)["h"].tolist() == [1, 1, 1]
    path.rename(pytester.path / "elsewhere")
    path.symlink_to(pytester.path / "elsewhere")
    before = path.read_bytes()
    done = pytester.runpytest_inprocess(*PLUGIN, "--lstm-update")
    done.assert_outcomes(failed=1)
    assert "test_refused.npz is a link; remove it" in done.stdout.str()
    assert path.read_bytes() == before


def test_the_reason_why_a_folder_is_not_made_is_shown(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file/sub cannot be written: not a directory"):
        write_golden(tmp_path / "file" / "sub" / "net.npz", np.ones(3))
    refused: list[Any] = [{}, np.empty((0, 3))]
    for actual in refused:
        with pytest.raises(UserError, match=r"no arrays|without numbers"):
            write_golden(tmp_path / "net.npz", actual)
    assert not (tmp_path / "net.npz").exists()


FAILING = """
import numpy as np
from lstmcli.testing import assert_lstm_close

def test_port():
    h = np.loadtxt({port!r})[None]
    x = np.load({inputs!r})
    assert_lstm_close(h, {expected!r}, weights={weights!r}, inputs=x)
"""


def test_a_failed_test_leaves_files_to_go_on_with(pytester: pytest.Pytester) -> None:
    h = printed(PORT)
    np.savetxt("port.txt", np.sort(h, axis=0) * 1.7 - 0.1)  # no setting gives this
    given = {
        "port": str(pytester.path / "port.txt"), "inputs": str(INPUTS),
        "expected": str(TENSORFLOW), "weights": str(WEIGHTS),
    }  # fmt: skip
    pytester.makepyfile(test_net=FAILING.format(**given))
    without = pytester.runpytest_inprocess(*PLUGIN)
    assert "to go on: pytest --lstm-save DIR" in without.stdout.str()
    done = pytester.runpytest_inprocess(*PLUGIN, "--lstm-save", "kept")
    lines = [line.removeprefix("E").strip() for line in done.outlines]
    wrote = next(line for line in lines if line.startswith("wrote "))
    actual, inputs = wrote.removeprefix("wrote ").split(", ")
    np.testing.assert_allclose(np.load(actual)[0], np.loadtxt("port.txt"))
    np.testing.assert_array_equal(np.load(inputs), np.load(INPUTS))
    assert any(line.startswith("note  ") for line in lines)
    next_line = lines[lines.index(wrote) - 1]
    assert next_line.startswith(f"lstm derive {WEIGHTS} {inputs} ")
    assert next_line.endswith(f" --against {actual}")


def test_what_else_fits_is_shown() -> None:
    few = printed(PORT)[:2, :1].round(2)  # which prove nothing
    lines = failure(few, few + 1, weights=WEIGHTS, inputs=INPUTS)
    shown = {line[:11].strip(): line[11:] for line in lines}
    assert {shown["fits"], shown["other fits"]} == {
        "state zero at every step", "forget bias 0",
    }  # fmt: skip


def test_a_start_of_pytest_imports_no_numpy() -> None:
    code = "import sys, lstmcli.pytest_plugin; print({'numpy', 'rich', 'click'} & {*sys.modules})"
    assert python("-c", code).stdout == "set()\n"


# ---- docs/testing.md

BLOCKS = re.findall(
    r"```\w+\n# (\S+)\n(.*?)```", (TOP / "docs/testing.md").read_text(), re.S
)
PROGRAM = "import numpy as np\n\ndef lstm(x):\n    return np.{}\n"
WRONG = "loadtxt('c.txt', dtype='f4')[None]"
WITH_LSTM = os.environ | {"PYTHONPATH": str(TOP)}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The sample in a folder, with the files that the page shows; their texts by name."""
    shutil.copytree(TOP / "samples" / "c-port", tmp_path, dirs_exist_ok=True)
    for name, text in BLOCKS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return dict(BLOCKS)


@pytest.mark.parametrize(
    "command", [" ".join(["pytest", *PLUGIN, "test_port.py"]), "unittest"]
)
def test_the_tests_that_the_page_shows(
    files: dict[str, str], tmp_path: Path, command: str
) -> None:
    words = [sys.executable, "-m", *command.split()]
    words += ["test_with_unittest"] if command == "unittest" else []
    for port, status in (("load('keras.npy')", 0), (WRONG, 1)):
        (tmp_path / "port.py").write_text(PROGRAM.format(port))
        done = subprocess.run(
            words, cwd=tmp_path, env=WITH_LSTM, capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout + done.stderr
    said = {
        line.removeprefix("E").strip()
        for line in (done.stdout + done.stderr).splitlines()
    }
    page = (TOP / "docs/testing.md").read_text()
    shown = [
        line.removeprefix("E").strip() for line in re.findall(r"^E .*", page, re.M)
    ]
    assert len(shown) > 8
    of_search = 3 * (
        "pytest" not in command
    )  # lines, and without a search another command
    assert {*shown[1 : len(shown) - of_search]} <= said


@pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("make")), reason="needs cc and make"
)
def test_the_makefile_and_the_workflow_that_the_page_shows(
    files: dict[str, str], tmp_path: Path
) -> None:
    lstm = f"{sys.executable} -m lstmcli"
    build, check = re.findall(r"- run: (.*)", files[".github/workflows/port.yml"])[1:]
    check = check.replace(".venv/bin/lstm", lstm)
    source = (tmp_path / "lstm.c").read_text()
    mended = source.replace("RECURRENT[n * H + k]", "RECURRENT[k * 4 * H + n]")
    for text, statuses in ((source, (2, 1)), (mended, (0, 0))):
        (tmp_path / "lstm.c").write_text(text)
        (tmp_path / "lstm_c").unlink(missing_ok=True)
        made, ran = (
            subprocess.run(
                words, cwd=tmp_path, env=WITH_LSTM, shell=True, capture_output=True
            )
            for words in (f"make LSTM='{lstm}'", f"{build} && {check}")
        )
        assert (made.returncode, ran.returncode) == statuses, made.stderr + ran.stderr


MODEL = TOP / "samples" / "text-classifier" / "model.keras"
WORDS = MODEL.with_name("words.npy")
PORT_OF_TEXTS = MODEL.with_name("port.txt")


def test_the_output_of_a_model_is_compared_and_its_cause_named() -> None:
    """As a trace, an array of its name or a bare one; of a port the setting is named."""
    y = np.load(MODEL.with_name("keras.npy"))
    trace = run(MODEL, WORDS)
    for actual in (trace, {"final_y": y}, {"y": y}, y):
        assert_lstm_close(actual, {"final_y": y}, weights=MODEL, inputs=WORDS)
    lines = failure(y, PORT_OF_TEXTS, weights=MODEL, inputs=WORDS)
    assert lines[0].endswith("differ in 1 of 1 arrays")
    cause = "One change explains the difference: gate order is i f o g, not i f g o"
    assert cause in " ".join(lines)
