"""Every kind of network through every engine: it agrees with lstm, or is rejected with the reason.

What is refused needs no framework and is tested in the quick suite, with the table of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest

from lstmcli import run
from lstmcli.core.forward.prepare import prepare
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

ONNX = ("onnxruntime", "openvino")


def but(*names: str) -> list[str]:
    """All engines but those."""
    return [name for name in NAMES if name not in names]


REFUSALS: dict[
    str, dict[str, str]
] = {  # kind: what the message names, by engine that refuses it
    "float64": dict.fromkeys(ONNX, "float64"),
    "peepholes": dict.fromkeys(but("onnxruntime", "tensorflow"), "peepholes"),
    "projection": dict.fromkeys(but("torch", "tensorflow"), "a projection"),
    "cell clip": dict.fromkeys(but("tensorflow"), "a cell clip of 0.4"),
    "projection clip": dict.fromkeys(but("tensorflow"), "a projection clip of 0.3"),
    "peepholes, projection, both clips": dict.fromkeys(but("tensorflow"), "clip"),
    "gate clip": dict.fromkeys(but(*ONNX), "a gate clip of 0.5"),
    "gate clip, |c| beyond it": dict.fromkeys(but(*ONNX), "gate clip"),
    "coupled, f = 1 - i": dict.fromkeys(but("onnxruntime"), "(f=1-i)"),
    "coupled, i = 1 - f": dict.fromkeys(NAMES, "(i=1-f)"),
    "relu": {"torch": "activation"},
    **{
        kind: dict.fromkeys(("torch", "openvino"), "activation")
        for kind in ("elu", "leaky relu", "softplus", "thresholded relu", "affine")
    },
    **{
        kind: dict.fromkeys(("torch", "openvino", "tensorflow"), "activation")
        for kind in ("hard sigmoid x/6", "hard sigmoid 0.2x", "softsign, scaled tanh")
    },
    "another output activation": dict.fromkeys(
        but("onnxruntime"), "output activation softsign"
    ),
    "2 layers of different sizes": {"torch": "layers of different sizes"},
    "3 layers, projection": dict.fromkeys(but("torch", "tensorflow"), "a projection"),
    "directions summed": dict.fromkeys(but("keras"), "merge sum"),
    "2 layers, directions multiplied": dict.fromkeys(but("keras"), "merge mul"),
    "reverse": dict.fromkeys(but(*ONNX, "jax"), "reverse"),
    "go_backwards": dict.fromkeys(but("keras", "jax"), "go backwards"),
    "lengths": {"jax": "past a sequence"},
    "lengths, 2 directions": {"jax": "past a sequence"},
    "lengths, 2 layers, 2 directions": {"jax": "past a sequence"},
    "lengths, reverse": dict.fromkeys(but(*ONNX, "jax"), "reverse")
    | {"jax": "past a sequence"},
    "lengths, outputs run on": dict.fromkeys(but("jax"), "length"),
    "lengths, 2 directions, run on": dict.fromkeys(but("jax"), ""),
    "a length of 0": {"torch": "a sequence of length 0", "jax": "past a sequence"},
    "a length of 0, run on": dict.fromkeys(but("jax"), "length"),
    "mask": dict.fromkeys(but("keras"), "a mask"),
    "mask, 2 directions": dict.fromkeys(but("keras"), ""),
}


@pytest.mark.parametrize(("kind", "name"), CELLS)
@pytest.mark.sampled(4)
def test_features_that_an_engine_lacks_are_rejected(kind: str, name: str) -> None:
    unsupported = refusal(KINDS[kind], name)
    expected = REFUSALS.get(kind, {}).get(name)
    assert bool(unsupported) == (expected is not None), unsupported
    assert expected is None or expected in " and ".join(unsupported)


@pytest.mark.frameworks
@pytest.mark.filterwarnings("default")  # of the frameworks' own making
@pytest.mark.parametrize(
    ("kind", "name"),
    [cell for cell in CELLS if cell[1] not in REFUSALS.get(cell[0], {})],
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
