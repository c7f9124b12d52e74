"""Several cells: mistakes of two bidirectional layers of which only the top is known.

What is expected comes from `reference`, a plain loop that shares no code with the program.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import explain
from lstmcli.core.explain.budget import Budget
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.explain.verify import Case
from tests.core.explain.asking import found, printed
from tests.core.explain.networks import AS_STORED, Asked, Truth, both, name_of, write
from tests.core.explain.reference import random_net
from tests.paths import PACKAGE

Array = np.ndarray[Any, Any]


def top_of_four(
    folder: Path, units: int = 4, steps: int = 7, scale: float = 1.0
) -> Asked:
    """Two layers of two directions, of which the top is known."""
    size = steps, 2, 3, units
    return Asked(folder, 0, "four cells", deep=True, sides=2, size=size, scale=scale)


LONG = ((1, 120), (4, 120), (16, 120), (64, 120))  # units and steps
LONG_CASES = [pytest.param(*sizes, marks=pytest.mark.wide) for sizes in LONG]


def test_backward_outputs_in_processing_order_in_all_layers_are_one_change(
    tmp_path: Path,
) -> None:
    deep = top_of_four(tmp_path)
    truth = {"layer0_reverse.flip_output": True, "layer1_reverse.flip_output": True}
    explanation = deep.explain(deep.run(truth))
    assert explanation.verdict == "found"
    assert found(explanation) == truth
    assert explanation.tried < 2000, "no two changes were tried"


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(
            {"recurrent_activation": "hard_sigmoid_0.2"}, marks=pytest.mark.slow
        ),
        {"output_activation": "identity"},
        pytest.param(
            {"layer0_reverse.reverse": False, "layer1_reverse.reverse": False},
            marks=pytest.mark.slow,
        ),
    ],
    ids=name_of,
)
def test_few_digits_of_the_first_units_of_a_step(truth: Truth, tmp_path: Path) -> None:
    """Hundreds of wrong settings come within a thousand tolerances of five such numbers."""
    deep = top_of_four(tmp_path, scale=0.4)
    explanation = deep.explain(
        printed(deep.run(truth)[0, 0, :5], 4, tmp_path / "y.txt")
    )
    assert explanation.found
    answers = [explanation.changes, *explanation.equivalent]
    assert truth in [found_of(changes) for changes in answers]
    assert all(len(changes) <= len(truth) for changes in answers)


def found_of(changes: Any) -> dict[str, Any]:
    return {change.setting: change.found for change in changes}


def test_a_first_placement_is_searched_whatever_work_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Budget, "QUESTION", 1.0)
    deep = top_of_four(tmp_path)
    explanation = deep.explain(deep.run({"layer1.gates": "ifgo"}))
    assert explanation.verdict == "found"
    assert found(explanation) == {"layer1.gates": "ifgo"}


@pytest.mark.parametrize("at", [(0, 0), (slice(None), 0)], ids=["y[0, 0]", "y[:, 0]"])
@pytest.mark.slow
def test_a_backward_half_in_processing_order_is_likelier_than_a_reversed_forward_half(
    at: Any, tmp_path: Path
) -> None:
    """Such a first step is the last one of a net whose forward half is reversed."""
    deep, truth = top_of_four(tmp_path), {"layer1_reverse.flip_output": True}
    explanation = deep.explain(deep.run(truth)[at])
    assert explanation.verdict == "found"
    assert found(explanation) == truth
    assert [found_of(one) for one in explanation.equivalent] == [
        {"layer1.flip_output": True}
    ]


@pytest.mark.parametrize("way", ["layer1", "layer1_reverse"])
@pytest.mark.parametrize("part", [slice(None), 1], ids=["all sequences", "one"])
@pytest.mark.slow
def test_one_direction_of_the_top_layer_with_a_wrong_setting_is_found(
    way: str, part: Any, tmp_path: Path
) -> None:
    """The output of one direction was refused, unless the weights as loaded gave it."""
    deep, truth = top_of_four(tmp_path), {f"{way}.gates": "ifgo"}
    half = np.split(deep.run(truth), 2, axis=-1)[way == "layer1_reverse"]
    explanation = deep.explain(half[part])
    assert explanation.verdict == "found"
    assert found(explanation) == {**truth, "array": f"{way}.h"}


@pytest.mark.parametrize("name", ["final_h", ""])
@pytest.mark.parametrize(
    "truth", [{}, {"layer0.gates": "ifgo"}], ids=["right", "wrong"]
)
@pytest.mark.slow
def test_last_states_of_only_the_last_layer(
    truth: Truth, name: str, tmp_path: Path
) -> None:
    """Each bidirectional node of ONNX has its own Y_h, (2, B, H)."""
    deep = top_of_four(tmp_path)
    forward, backward = np.split(deep.run(truth), 2, axis=-1)
    explanation = deep.explain({name: np.stack([forward[:, -1], backward[:, 0]])})
    assert explanation.verdict == ("found" if truth else "agrees")
    assert found(explanation) == truth


@pytest.mark.slow
@pytest.mark.parametrize(("units", "steps"), [(4, 60), *LONG_CASES])
def test_a_refusal_takes_so_many_steps_and_runs(
    units: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row of 4 units and 120 steps took 140 s: what it took were calls, of few hypotheses each.

    It may lie at any step, of three shapes; a step of a cell takes some 0.15 ms, a run 20 ms.
    """
    calls = {Simulator: 0, Case: 0}

    def counted(of: Any, name: str) -> None:
        function = getattr(of, name)

        def call(*args: Any, **options: Any) -> Any:
            calls[of] += 1
            return function(*args, **options)

        monkeypatch.setattr(of, name, call)

    counted(Simulator, "step")
    counted(Case, "plan")
    deep = top_of_four(tmp_path, units=units, steps=steps)
    explanation = deep.explain(np.random.default_rng(1).normal(0, 0.3, 2 * units))
    assert explanation.verdict == "none"
    left_out = any(
        "possible alignments of EXPECTED" in one for one in explanation.not_tried
    )
    assert left_out == (units > 1)  # of one unit the budget allows all
    assert calls[Simulator] < 40_000
    assert calls[Case] < 300


def test_three_layers_with_lengths_that_agree_are_run_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    nets = [random_net(rng, k, 4) for k in (3, 3, 8, 8, 8, 8)]
    names = [f"l{n}{way}" for n in range(3) for way in ("", "_reverse")]
    weights = write(dict(zip(names, nets, strict=True)), tmp_path / "w.npz")
    x = rng.normal(size=(2, 9, 3)).astype(np.float32).astype(np.float64)
    lengths = np.array([9, 5])
    h = np.zeros((2, 9, 8), np.float32)
    for row, length in enumerate(lengths):
        h[row, :length] = both(nets, x[row : row + 1, :length], {})[0]
    explanation = explain(weights, x, h, lengths=lengths, **AS_STORED, layout="batch")
    assert explanation.verdict == "agrees"
    assert explanation.tried == 1


def test_nothing_in_explain_reads_a_clock() -> None:
    for path in sorted((PACKAGE / "core/explain").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {"time", "datetime"} & {name.split(".")[0] for name in names}, (
                path.name
            )
