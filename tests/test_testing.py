"""`lstmcli.testing` and the pytest plugin: what somebody else's failing test says."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from lstmcli.errors import UserError
from lstmcli.testing import assert_lstm_close
from lstmcli.views.assertion import COLUMNS, LINES
from tests.paths import TOP

pytest_plugins = "pytester"

SAMPLE = TOP / "samples" / "forget-bias"
WEIGHTS, INPUTS = SAMPLE / "weights.npz", SAMPLE / "inputs.npy"
TENSORFLOW, PORT = SAMPLE / "tensorflow.txt", SAMPLE / "numpy.txt"  # without the forget bias


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


@pytest.mark.parametrize("sides", [(PORT, TENSORFLOW), (TENSORFLOW, PORT)])
def test_the_cause_is_that_of_the_side_that_the_weights_do_not_give(sides: Any) -> None:
    lines = failure(*sides, weights=WEIGHTS, inputs=INPUTS)
    assert any(line.startswith("first difference   step 1, unit 0: ") for line in lines)
    assert lines[-2:] == [
        "explain  One change explains the difference: forget bias is 0, not +1",
        f"lstm run {WEIGHTS} {INPUTS} --forget-bias 0",
    ]


def test_a_failure_is_short_whatever_differs() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 5, 4, 6))
    names = [f"layer{n}.{name}" for n in range(9) for name in "hcifgoz"]
    lines = failure(dict.fromkeys(names, a), dict.fromkeys(names, b))
    assert len(lines) <= LINES + 1
    assert max(map(len, lines[:-1])) <= COLUMNS
    assert "first difference" in " ".join(lines)


def test_a_search_that_is_refused_does_not_hide_the_difference() -> None:
    lines = failure(PORT, TENSORFLOW, weights=WEIGHTS, inputs=np.ones((7, 9)))
    assert lines[0].endswith("differ in 1 of 1 arrays")
    assert lines[-1].startswith("explain: the input array is (7, 9), but ")
    with pytest.raises(UserError, match="give weights too"):
        assert_lstm_close(PORT, TENSORFLOW, forget_bias=1.0)


@pytest.mark.frameworks
@pytest.mark.parametrize("library", ["torch", "tensorflow", "jax.numpy"])
def test_tensors_of_frameworks(library: str) -> None:
    module = pytest.importorskip(library)
    convert = {"torch": "tensor", "tensorflow": "constant", "jax.numpy": "asarray"}[library]
    given = {"requires_grad": True} if library == "torch" else {}
    h = np.random.default_rng(0).normal(size=(2, 7, 3)).astype(np.float32)
    assert_lstm_close(getattr(module, convert)(h, **given), h)
    failure(getattr(module, convert)(h + 1, **given), h)


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
        return pytester.runpytest_inprocess("-p", "lstmcli.pytest_plugin", *words)

    pytester.makepyfile(test_port=TESTS.format(off=""))
    missing = run("-k", "test_net")
    missing.assert_outcomes(failed=2)
    missing.stdout.fnmatch_lines(["*there is no *test_net*3*.npz: pytest --lstm-update writes it"])

    run("--lstm-update").assert_outcomes(passed=2, failed=1)
    written = sorted(path.name for path in (pytester.path / "test_port").iterdir())
    assert [name for name in written if "of" not in name] == [
        "TestNet.test_twice.npz", "test_net[3].npz", "test_net[4].npz",
    ]  # fmt: skip
    assert len(written) == 5

    again = run()
    again.assert_outcomes(passed=2, failed=1)
    again.stdout.fnmatch_lines(["*TestNet.test_twice.npz was compared in this test: name=*"])

    pytester.makepyfile(test_port=TESTS.format(off=" + 1e-3"))
    wrong = run("-k", "test_net")
    wrong.assert_outcomes(failed=2)
    text = wrong.stdout.str()
    assert "actual and " in text
    assert "first difference   step 0, unit 0:" in text
    assert "lstmcli/testing.py" not in text  # no traceback of ours
    assert "lstmcli/pytest_plugin.py" not in text


def test_a_start_of_pytest_imports_no_numpy() -> None:
    code = "import sys, lstmcli.pytest_plugin; print({'numpy', 'rich', 'click'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP, capture_output=True, check=True)
    assert done.stdout.strip() == b"set()"
