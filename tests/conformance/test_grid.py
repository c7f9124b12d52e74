"""Every kind of network through every engine: it agrees with us, or is refused by name.

What is refused needs no framework and is tested in the quick suite, with the table of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from lstmcli import run
from lstmcli.core.forward.plan import prepare
from lstmcli.core.model.model import Inputs
from lstmcli.engines import NAMES, find_engine
from tests.conformance.grid import (
    ABSENT,
    BOUND,
    KINDS,
    KNOWN,
    KNOWN_ON_JAX,
    PAGE,
    REFUSED,
    distances,
    known,
    refusal,
)

CELLS = list(product(KINDS, NAMES))

SPELLING = ("onnxruntime", "openvino")  # what LSTM of ONNX has not is a Scan of single operations
OTHERS = [name for name in NAMES if name not in SPELLING]

REFUSALS = {  # kind: what the message names, for each engine that refuses it
    "float64": dict.fromkeys((*SPELLING, "tensorflow-block"), "float64"),
    "peepholes": {"torch": "peepholes", "keras": "peepholes", "jax": "peepholes"},
    "projection": {name: "a projection" for name in OTHERS if name not in ("torch", "tensorflow")},
    "cell clip": {
        name: "a cell clip of 0.4" for name in OTHERS if not name.startswith("tensorflow")
    },
    "projection clip": {
        name: "a projection clip of 0.3" for name in OTHERS if name != "tensorflow"
    },
    "peepholes, projection, both clips": {name: "clip" for name in OTHERS if name != "tensorflow"},
    "gate clip": dict.fromkeys(OTHERS, "a gate clip of 0.5"),
    "gate clip, |c| beyond it": dict.fromkeys(OTHERS, "gate clip"),
    "coupled, f = 1 - i": dict.fromkeys(OTHERS, "(f=1-i)"),
    "coupled, i = 1 - f": dict.fromkeys(OTHERS, "(i=1-f)"),
    **{
        kind: {"torch": "activation", "tensorflow-block": "activation"}
        for kind in ("relu", "elu", "leaky relu", "softplus", "thresholded relu", "affine")
    },
    **{
        kind: {
            "torch": "activation", "tensorflow": "activation", "tensorflow-block": "activation",
        }
        for kind in (
            "hard sigmoid x/6", "hard sigmoid 0.2x", "softsign, scaled tanh",
        )
    },
    "another output activation": dict.fromkeys(OTHERS, "output activation softsign"),
    "2 layers of different sizes": {"torch": "layers of different sizes"},
    "2 directions": {"tensorflow-block": "two directions"},
    "2 layers, 2 directions": {"tensorflow-block": "two directions"},
    "directions stacked": {"tensorflow-block": "two directions"},
    "3 layers, projection": {
        name: "a projection" for name in OTHERS if name not in ("torch", "tensorflow")
    },
    "directions summed": {name: "merge sum" for name in OTHERS if name != "keras"},
    "2 layers, directions multiplied": {name: "merge mul" for name in OTHERS if name != "keras"},
    "reverse": {name: "reverse" for name in OTHERS if name != "jax"},
    "go_backwards": {name: "go backwards" for name in OTHERS if name not in ("keras", "jax")},
    "lengths": {"tensorflow-block": "several lengths", "jax": "past a sequence"},
    "lengths, 2 directions": {"tensorflow-block": "two", "jax": "past a sequence"},
    "lengths, 2 layers, 2 directions": {"tensorflow-block": "two", "jax": "past a sequence"},
    "lengths, reverse": {name: "reverse" for name in OTHERS if name != "jax"}
    | {"jax": "past a sequence"},
    "lengths, outputs run on": {name: "length" for name in NAMES if name != "jax"},
    "lengths, 2 directions, run on": {name: "" for name in NAMES if name != "jax"},
    "a length of 0": {
        "torch": "a sequence of length 0", "tensorflow-block": "lengths", "jax": "past a sequence",
    },
    "a length of 0, run on": {name: "length" for name in NAMES if name != "jax"},
    "mask": {name: "a mask" for name in OTHERS if name not in ("keras", "tensorflow-block")}
    | {"tensorflow-block": "a mask"},
    "mask, 2 directions": {name: "" for name in OTHERS if name != "keras"},
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CELLS)
@pytest.mark.sampled(4)
def test_what_an_engine_cannot_do_is_refused_by_name(kind: str, name: str) -> None:
    unsupported = refusal(KINDS[kind], name)
    expected = REFUSALS.get(kind, {}).get(name)
    assert bool(unsupported) == (expected is not None), unsupported
    assert expected is None or expected in " and ".join(unsupported)


@pytest.mark.frameworks
@pytest.mark.filterwarnings("default")  # of the frameworks' own making
@pytest.mark.parametrize(
    ("kind", "name"), [cell for cell in CELLS if cell[1] not in REFUSALS.get(cell[0], {})]
)
def test_an_engine_agrees(kind: str, name: str) -> None:
    engine = find_engine(name)
    if not engine.installed:
        pytest.skip(f"{name} is not installed")
    apart = distances(KINDS[kind], name)
    assert {"h", "final_h", "final_c"} <= set(apart)
    for array in known(kind, name):
        assert apart.pop(array) > BOUND
    assert all(distance <= BOUND for distance in apart.values()), apart


@pytest.mark.parametrize(("kind", "name"), [*KNOWN, *KNOWN_ON_JAX])
def test_a_known_difference_is_in_the_engine_s_notes(
    kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstmcli.engines.keras.backend", lambda: "jax")
    one = KINDS[kind]
    model = one.model()
    engine = find_engine(name)
    network, _ = engine.network(prepare(model, Inputs(**one.run_of(model))))
    assert any("measured with" in note for note in engine.notes(network))


def test_the_clip_of_the_grid_would_show_if_c_were_clipped() -> None:
    kind = KINDS["gate clip, |c| beyond it"]
    model = kind.model()
    trace = run(model, **kind.run_of(model))
    assert np.abs(trace.c).max() > 1.05 * kind.settings["gate_clip"]


# ---- the table in docs/conformance.md


def rows_of_page() -> Iterator[tuple[str, str, str]]:
    text = PAGE.read_text().split("Measured with ", 1)[1].split("\n\n", 2)[1]
    heading, _, *lines = text.splitlines()
    names = [cell.strip() for cell in heading.strip("|").split("|")[1:]]
    for line in lines:
        kind, *cells = re.split(r"(?<!\\)\|", line.strip("|"))
        for name, cell in zip(names, cells, strict=True):
            yield kind.strip().replace("\\|", "|"), name, cell.strip()


def test_the_table_of_the_page_is_complete_and_says_what_is_refused() -> None:
    shown = list(rows_of_page())
    assert [(kind, name) for kind, name, _ in shown] == CELLS
    for kind, name, cell in shown:
        if name in REFUSALS.get(kind, {}):
            assert cell == REFUSED
        elif (kind, name) in KNOWN:
            assert cell == "differs"
        else:
            assert cell != ABSENT
            assert float(cell) <= BOUND
