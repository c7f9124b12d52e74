"""Common parts of engines: their settings, their results, their refusals."""

from __future__ import annotations

import os
import sys
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.core.forward.equations import activation as ours
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.model.model import Inputs
from lstmcli.engines import NAMES, find_engine
from lstmcli.engines.engine import activation, library, quiet, run_with, timed_trace
from lstmcli.errors import UserError
from tests.conformance.grid import KINDS
from tests.engines.fake import broken, fake
from tests.paths import TOP
from tests.processes import python


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_says_what_it_is(name: str) -> None:
    engine = find_engine(name)
    assert engine.name == name
    assert set(engine.dtypes) <= {"float32", "float64"}
    assert engine.install.startswith(f"{sys.executable} -m pip install '")


def test_the_extras_are_in_pyproject() -> None:
    text = (TOP / "pyproject.toml").read_text()
    for name in NAMES:
        engine = find_engine(name)
        (line,) = [x for x in text.splitlines() if x.startswith(f"{name} = ")]
        for package in engine.packages:
            assert f'"{package}>=' in line


def test_an_unknown_engine() -> None:
    with pytest.raises(UserError, match="Did you mean 'torch'"):
        find_engine("torhc")


@pytest.mark.slow
def test_no_framework_is_imported_to_say_what_it_cannot_do() -> None:
    code = (
        "import sys\n"
        "from tests.conformance.grid import KINDS, NAMES, refusal\n"
        "for kind in KINDS.values():\n"
        "    for name in NAMES: refusal(kind, name)\n"
        "print({m.split('.')[0] for m in sys.modules})"
    )
    found = python("-c", code).stdout
    assert not {"torch", "keras", "tensorflow", "jax", "flax", "onnxruntime"} & eval(
        found
    )


@pytest.mark.parametrize(
    "kind", ["2 layers, 2 directions", "directions stacked", "float64"]
)
@pytest.mark.parametrize("layout", ["time", "batch"])
def test_a_trace_has_the_axes_of_ours(kind: str, layout: str) -> None:
    one = KINDS[kind]
    model = one.model()
    given = one.run_of(model) | {"layout": layout}
    given["x"] = given["x"] if layout == "time" else given["x"].swapaxes(0, 1)
    theirs, seconds = timed_trace(
        *(lambda e, t: (e, e.network(t)[0], t))(fake(), prepare(model, Inputs(**given)))
    )
    assert seconds > 0
    assert theirs.settings["engine"].startswith("torch ")
    ours = run(model, **given).members()
    for name, array in theirs.members().items():
        np.testing.assert_array_equal(array, ours[name])


def test_a_trace_says_which_layout_was_assumed() -> None:
    model = KINDS["plain, zero state"].model()
    trace = run_with(
        fake(), prepare(model, Inputs(np.zeros((3, 2, model.cell.inputs))))
    )
    (assumed,) = trace.settings["assumed"]
    assert assumed.startswith(f"layout {trace.layout} ")


def test_one_sequence_without_a_batch_axis() -> None:
    model = KINDS["plain, zero state"].model()
    x = np.random.default_rng(1).normal(size=(6, model.cell.inputs))
    trace = run_with(fake(), prepare(model, Inputs(x)))
    assert trace.h.shape == (6, model.cell.units)
    assert trace.final_c.shape == (model.cell.units,)


def test_lengths_that_are_all_of_it_are_none() -> None:
    model = KINDS["plain, zero state"].model()
    x = np.zeros((3, 2, model.cell.inputs))
    engine = fake(padded_outputs=("run",))
    _, unsupported = engine.network(prepare(model, Inputs(x, "time", lengths=[3, 3])))
    assert unsupported == []
    _, (reason,) = engine.network(prepare(model, Inputs(x, "time", lengths=[3, 2])))
    assert reason.startswith("outputs that are zero past a sequence's length")


def test_refusals_are_one_line_by_name() -> None:
    kind = KINDS["peepholes, projection, both clips"]
    model = kind.model()
    with pytest.raises(UserError) as error:
        run_with(fake(), prepare(model, Inputs(**kind.run_of(model))))
    assert str(error.value) == (
        "torch (a loop) cannot run a cell clip of 0.4, a projection clip of 0.3 and peepholes."
    )


def test_an_absent_engine_is_one_line() -> None:
    model = KINDS["plain, zero state"].model()
    with pytest.raises(UserError) as error:
        run_with(
            fake(packages=("no_such_package",)),
            prepare(model, Inputs(np.zeros((2, 5)))),
        )
    command = f"{sys.executable} -m pip install 'torch>=2.2'"
    assert str(error.value) == f"torch is not installed:\n  {command}"


def test_an_error_of_a_framework_is_one_line() -> None:
    model = KINDS["plain, zero state"].model()
    with pytest.raises(
        UserError, match=r"^torch [\d.]+ ended with an error: the first line$"
    ):
        run_with(fake(fault=broken), prepare(model, Inputs(np.zeros((2, 5)))))


def test_a_library_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="torch is installed and cannot be imported"):
        library("torch")


def test_output_of_libraries_stays_off_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with quiet():
        os.write(2, b"from C++")
        print("from Python", file=sys.stderr)
        warnings.warn("and a warning", stacklevel=1)
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_activations_are_made_of_those_of_the_framework() -> None:
    own: dict[str, Any] = {
        "tanh": np.tanh, "clip": np.clip, "where": np.where, "zeros_like": np.zeros_like,
        "elu": lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
        "hard_sigmoid_1_6": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    }  # fmt: skip
    x = np.linspace(-4, 4, 33)
    for name in (
        "tanh", "identity", "affine(0.3,0.4)", "hard_sigmoid_0.2", "hard_sigmoid_1_6",
        "hard_sigmoid(0.3,0.4)", "scaled_tanh(1.7,0.7)", "thresholded_relu(0.3)", "elu(0.8)", "elu",
    ):  # fmt: skip
        out = np.empty_like(x)
        ours(name)(x, out)
        np.testing.assert_allclose(activation(name, own)(x), out, rtol=1e-14)


def test_the_backend_of_a_keras_that_runs_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    running = SimpleNamespace(backend=SimpleNamespace(backend=lambda: "tensorflow"))
    monkeypatch.setenv("KERAS_BACKEND", "numpy")  # too late for it
    monkeypatch.setitem(sys.modules, "keras", running)
    assert find_engine("keras").backend() == "tensorflow"
    monkeypatch.delitem(sys.modules, "keras")
    assert find_engine("keras").backend() == "numpy"
