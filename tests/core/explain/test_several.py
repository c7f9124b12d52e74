"""Mistakes of several cells: how two directions are merged, how the inputs lie, one cell alone.

What is expected comes from `reference`, a plain loop that shares no code with the program.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.explain import explain
from lstmcli.api.load import load
from tests.core.explain.asking import found
from tests.core.explain.networks import (
    AS_STORED,
    RUN_ALIKE,
    Asked,
    Truth,
    name_of,
)
from tests.core.explain.reference import outputs
from tests.core.explain.test_refusals import BOTH, of_both
from tests.networks import pytorch


@pytest.mark.parametrize("other", RUN_ALIKE, ids=name_of)
@pytest.mark.sampled(2)
def test_exchanged_halves_are_exchanged_weights_where_both_directions_run_forward(
    other: Truth, tmp_path: Path
) -> None:
    asked = Asked(tmp_path, 0, name_of(other))
    explanation = asked.explain(asked.expected({"merge": "concat_swapped", **other}))
    assert found(explanation) == {"merge": "concat_swapped", **other}
    (equal,) = explanation.equivalent
    assert {c.setting: c.found for c in equal} == {"directions": "exchanged", **other}


def test_one_row_may_be_another_layout_or_a_state_that_is_reset(tmp_path: Path) -> None:
    asked = Asked(tmp_path, 0, "one row")
    asked.x = asked.x[:1]
    explanation = asked.explain(asked.expected({"layout": "time"}))
    ways = [{c.setting: c.found for c in other} for other in explanation.equivalent]
    assert [found(explanation), *ways] == [{"layout": "time"}, {"state": "reset"}]
    assert explanation.words.decide == "a second sequence in the batch"


@pytest.mark.parametrize("assumed", ["concat", "sum"])
@pytest.mark.parametrize("cell", ["layer0", "layer0_reverse"])
@pytest.mark.sampled(3)
def test_one_direction_of_two(cell: str, assumed: str, tmp_path: Path) -> None:
    """``output[..., :H]``: no way to merge both, with one of them held at nothing."""
    asked = Asked(tmp_path, 0, "half")
    half = np.split(np.asarray(asked.expected({})), 2, axis=-1)[
        cell == "layer0_reverse"
    ]
    explanation = asked.explain(half, merge=assumed)
    assert found(explanation) == {"array": f"{cell}.h"}
    assert explanation.found
    assert not explanation.equivalent
    assert explanation.command.endswith("-o trace.npz")
    last = half[:, -1 if cell == "layer0" else 0]  # PyTorch's h_n[0] and h_n[1]
    which = "h" if cell == "layer0" else "final_h"
    assert found(asked.explain(last, merge=assumed)) == {"array": f"{cell}.{which}"}


@pytest.mark.parametrize("assumed", ["batch", "time"])
@pytest.mark.parametrize("deep", [True, False])
@pytest.mark.sampled(3)
def test_a_part_of_the_net_under_a_layout(
    deep: bool, assumed: str, tmp_path: Path
) -> None:
    asked = Asked(tmp_path, 0, "part", deep=deep)
    part = outputs(asked.nets[0], asked.x, {}, dtype=np.float32)["h"]
    explanation = explain(asked.weights, asked.x, part, **AS_STORED, layout=assumed)
    layout = {} if assumed == "batch" else {"layout": "batch"}
    assert found(explanation) == {"array": "layer0.h", **layout}


def test_outputs_that_deeper_directions_lack_are_reported(tmp_path: Path) -> None:
    """A number more than both have is no merge; fewer are the first units of both."""
    asked = Asked(tmp_path, 0, "width")
    h = np.asarray(asked.expected({}))
    with pytest.raises(Exception, match="both directions"):
        asked.explain(np.concatenate([h, h[..., :1]], axis=-1))
    assert asked.explain(h[..., :-1]).verdict == "agrees"


@pytest.mark.parametrize("merge", ["sum", "concat"])
def test_the_first_units_of_merged_directions(merge: str, tmp_path: Path) -> None:
    asked = Asked(tmp_path, 0, "first units")
    h = np.asarray(asked.expected({"merge": merge, "gates": "ifgo"}))
    explanation = asked.explain(h[0, :, :2], merge=merge)
    assert found(explanation) == {"gates": "ifgo"}
    assert explanation.words.taken.endswith(f"the first 2 of {h.shape[-1]} units")


@pytest.mark.parametrize(
    ("part", "axis"), [(0, "steps"), ((slice(None), 0), "sequences")]
)
@pytest.mark.slow
def test_units_of_two_directions_before_the_last_axis(
    part: Any, axis: str, tmp_path: Path
) -> None:
    """``y[0].T``, and the same of a step."""
    asked = Asked(tmp_path, 0, "units first")
    explanation = asked.explain(np.asarray(asked.expected({"gates": "ifgo"}))[part].T)
    assert found(explanation) == {"gates": "ifgo"}
    assert f"interpreted as units before {axis}, s" in explanation.words.taken


def test_the_last_c_of_each_cell_taken_for_h_is_found(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "w.npz", **pytorch(4, 5, directions=2, scale=0.5, dtype=np.float32)
    )
    x = np.random.default_rng(8).normal(size=(3, 7, 4)).astype(np.float32)
    trace = run(load(str(tmp_path / "w.npz")), x, layout="batch")
    explanation = explain(str(tmp_path / "w.npz"), x, trace.final_c, layout="batch")
    assert explanation.verdict == "found"
    assert found(explanation) == {"array": "c"}


@pytest.mark.parametrize("direction", ["layer0", "layer0_reverse"])
@pytest.mark.sampled(3)
def test_one_direction_does_not_show_what_the_other_has(direction: str) -> None:
    x, h = of_both(np.random.default_rng(2), 6, 2, forget_bias=1.0)
    explanation = explain(BOTH, x, h[f"{direction}.h"], layout="time")
    assert found(explanation) == {"forget_bias": 1.0, "array": f"{direction}.h"}
    other = {c.setting: c.found for c in explanation.equivalent[0]}
    assert other == {f"{direction}.forget_bias": 1.0, "array": f"{direction}.h"}


def test_both_directions_do_not_match_at_step_0() -> None:
    """The backward direction ends there: no zero state hides a forget bias in it."""
    x, h = of_both(np.random.default_rng(2), 6, 2, forget_bias=1.0)
    _, loaded = of_both(np.random.default_rng(2), 6, 2)
    for change, expected in (
        (
            {"layer0_reverse.forget_bias": 1.0},
            h | {"layer0.h": loaded["layer0.h"]},
        ),
        ({"forget_bias": 1.0}, h),
    ):
        explanation = explain(BOTH, x, expected, layout="time")
        assert found(explanation) == change
    assert "first appears" not in explanation.words.hidden
    assert "state is zero" not in explanation.words.hidden
