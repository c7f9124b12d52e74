"""Every gate by a Scan of ONNX: of every recorded case of every framework, beside our run.

The grid of `tests/conformance` has the kinds of networks; here are the conventions' own parts:
layer norm, every place of the output peephole, peepholes that are matrices, biases of projections.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.load import load
from lstmcli.core.forward.plan import Plan, prepare
from lstmcli.core.model.model import Inputs
from lstmcli.engines import find_engine
from lstmcli.engines.engine import run_with
from lstmcli.engines.scan import ARRAYS
from lstmcli.errors import UserError
from tests.api.test_convert import settings_of
from tests.test_golden import CASES, GOLDEN, read

Array = np.ndarray[Any, Any]

ENGINES = ("onnxruntime", "openvino")
BOUND = 2e-6  # of numbers up to 1; relative beyond

REFUSED = dict.fromkeys(  # what the Scan has not, and what the one message says
    (
        "flax/linen_bidirectional_lengths", "flax/linen_lengths", "flax/nnx_lengths",
        "flax/nnx_optimized_lengths",
    ),
    "outputs that are run on past a sequence's length",
)  # fmt: skip


def case_of(case: str) -> tuple[Any, dict[str, Any]]:
    """The model in float32, and the run as `run` takes it."""
    record, recorded = read(case)
    model = load(str(GOLDEN / f"{case}.weights.npz"), **settings_of(case) | {"dtype": "float32"})
    given: dict[str, Any] = {
        "x": recorded["inputs"],
        "layout": None if record["layout"] == "steps" else record["layout"],
        "lengths": recorded.get("lengths"),
        "mask": recorded.get("mask"),
        "initial_state": {
            k: recorded[f"initial_state.{k}"] for k in "hc" if f"initial_state.{k}" in recorded
        },
    }
    return model, given


@pytest.mark.frameworks
@pytest.mark.filterwarnings("default")  # of the frameworks' own making
@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_every_array_of_a_recorded_case(case: str, name: str) -> None:
    engine = find_engine(name)
    if not engine.installed:
        pytest.skip(f"{name} is not installed")
    model, given = case_of(case)
    ours = run(model, **given)
    plan = prepare(model, Inputs(**given))
    network, unsupported = engine.network(plan)
    if unsupported:
        with pytest.raises(UserError) as error:
            run_with(engine, plan)
        assert len(error.value.lines) == 1
        eight_bit = model.convention.behaviour.arithmetic != "float"
        assert ("8-bit arithmetic" if eight_bit else REFUSED[case]) in str(error.value)
        return
    theirs = run_with(engine, plan)
    if len(model.cells) == 1:
        assert set(ARRAYS) <= set(theirs.arrays)
    for array, numbers in theirs.members().items():
        expected = ours.members()[array]
        assert numbers.shape == expected.shape
        if array.startswith("final") and not network.basic_operations and 0 in lengths_of(plan):
            continue  # these runtimes hand back zero: a known difference, see the grid
        np.testing.assert_allclose(numbers, expected, rtol=BOUND, atol=BOUND, err_msg=array)


def lengths_of(plan: Plan) -> list[int]:
    return [] if plan.valid is None else plan.valid.sum(axis=0).tolist()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"arithmetic": "8bit"}, "8-bit arithmetic"),
        ({"state": "reset"}, "a state that is reset at every step"),
    ],
)
def test_what_a_scan_has_not_is_one_message(
    name: str, settings: dict[str, Any], words: str
) -> None:
    engine = find_engine(name)
    model = load(str(GOLDEN / "onnxruntime/forward.weights.npz"), **settings, dtype="float32")
    _, unsupported = engine.network(
        prepare(model, Inputs(np.zeros((3, 2, model.cell.inputs)), "time"))
    )
    assert unsupported
    assert words in unsupported[0]
