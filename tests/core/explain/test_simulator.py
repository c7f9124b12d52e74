"""Hypotheses stepped side by side give what the loop gives, for every cell on record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.explain import explain
from lstmcli.api.load import load
from lstmcli.core.explain.causes import spelled_out
from lstmcli.core.explain.hypotheses import SingleChanges
from lstmcli.core.explain.simulator import Simulator
from lstmcli.core.model.model import Model, as_time_major
from lstmcli.core.model.states import split_state
from tests.recorded import CASES, SEVERAL, recorded

QUICK = (
    "keras/plain", "torch/projection", "tensorflow1/peepholes_clips_projection", "dynet/coupled",
    "tflite/layer_norm_peepholes_projection", "tensorflow1/layernorm", "lasagne/peepholes",
    "onnxruntime/input_forget_peepholes", "onnxruntime/reverse", "tensorflow1/coupled",
)  # fmt: skip
CHANGES: dict[str, dict[str, Any]] = {
    "as read": {},
    "wrong gates": {"gates": "ogfi"},
    "hard gates": {"recurrent_activation": "hard_sigmoid_0.2", "activation": "relu"},
    "no carried state": {"state": "reset", "forget_bias": 0.0},
}


def model_of(case: str, **settings: Any) -> Model:
    one = recorded(case)
    return one.load(dtype="float64", **spelled_out(settings, one.options()))


@pytest.mark.parametrize("case", QUICK)
@pytest.mark.sampled(2)
def test_hypotheses_of_a_cell(case: str) -> None:
    check(case)


@pytest.mark.wide
@pytest.mark.parametrize("case", [case for case in CASES if case not in SEVERAL])
def test_hypotheses_of_every_cell(case: str) -> None:
    if len(model_of(case).cells) == 1:
        check(case)


@pytest.mark.parametrize("rows", [1, 2], ids=["of all rows", "of each row"])
def test_a_first_state_in_the_weights(rows: int, tmp_path: Path) -> None:
    """Every hypothesis of a search starts from it."""
    rng = np.random.default_rng(rows)
    shapes = {"W": (1, 16, 3), "R": (1, 16, 4), "B": (1, 32)}
    shapes |= {"initial_h": (1, rows, 4), "initial_c": (1, rows, 4)}
    weights = str(tmp_path / "weights.npz")
    np.savez(
        weights,
        **{k: rng.normal(size=s) for k, s in shapes.items()},
        allow_pickle=False,
    )
    x = rng.normal(size=(6, 2, 3))
    settings: Any = {"convention": "onnx", "layout": "time", "dtype": "float64"}
    h = run(load(weights, **settings), x, layout="time").time_major("h")
    wrong = explain(weights, x, h, **settings, forget_bias=1.0)
    assert [(c.setting, c.found) for c in wrong.changes] == [("forget_bias", 0.0)]


def check(case: str) -> None:
    model = model_of(case)
    record = recorded(case)
    x = record.arrays["inputs"].astype(np.float64)
    layout = "steps" if x.ndim == 2 else record.about["layout"]
    major = as_time_major(x, layout)
    h, c = split_state(record.started["initial_state"], model, major.shape[1])[0]
    wanted = []
    changes = []
    for settings in CHANGES.values():
        if "gates" in settings and len(model.convention.storage.gates) < 4:
            continue
        reading = model_of(case, **settings)
        trace = run(
            reading,
            x,
            layout=None if layout == "steps" else layout,
            initial_state={"h": h, "c": c},
        )
        wanted.append({k: trace.time_major(k) for k in "hcifgo"})
        changes.append(settings)
    simulator = Simulator(
        lambda settings: model_of(case, **settings).cell, model.convention
    )
    singles = SingleChanges([["layer0"]], {"layer0": simulator.singles})
    places = {change: n for n, one in enumerate(singles.changes) for change in one}
    rows = [sorted(places[k] for k in of.items() if k in places) for of in changes]
    sets = [row + [len(singles)] * (2 - len(row)) for row in rows]
    codes = singles.codes("layer0", np.array(sets))
    cells = simulator.cells(codes)
    behaviour = model.convention.behaviour
    backwards = behaviour.reverse or behaviour.go_backwards
    flipped = (backwards and not behaviour.go_backwards) != behaviour.flip_output
    steps = major[::-1, 0] if backwards else major[:, 0]
    state = simulator.start(len(cells), (h[0], c[0]), np.float64)
    for step, x_t in enumerate(steps):
        given_arrays = simulator.step(step, x_t[None], state, cells)
        state = given_arrays["h"], given_arrays["c"]
        at = len(steps) - 1 - step if flipped else step
        for n, one in enumerate(wanted):
            for name in "hcifgo":
                np.testing.assert_allclose(
                    given_arrays[name][n], one[name][at, 0], rtol=1e-9, atol=1e-11,
                    err_msg=f"{list(CHANGES)[n]} step {step} {name}",
                )  # fmt: skip
