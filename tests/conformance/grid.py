"""The grid: kinds of networks by engines, and what a cell of it is.

A cell is a number, the greatest difference from our run in float32 ULPs of the greatest number of
its array, or a word: the engine refuses the network by name, or is not installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

import numpy as np

from lstmcli import run
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import Cell, Inputs, Model
from lstmcli.core.weights.initializers import draw_run
from lstmcli.engines import NAMES, find_engine
from lstmcli.engines.engine import timed_trace
from lstmcli.engines.keras import backend
from tests.paths import TOP

Array = np.ndarray[Any, Any]

# All sizes differ, I is neither 4H nor 3H and I + H is not 4H: no axis can pass for another.
T, B, I, H, P = 9, 4, 5, 7, 3
LENGTHS = (9, 3, 5, 1)
BOUND = 16
"""ULPs of the largest number that a framework may be off after T steps: each step rounds the sum
of I + H + 1 products, in an order of its own, and hands it on."""

PAGE = TOP / "docs" / "conformance.md"  # which shows the grid
REFUSED, ABSENT = "refused", "not installed"


@dataclass(frozen=True)
class Kind:
    """A row of the grid."""

    row: str = "pytorch"  # the convention, for the settings that its framework has
    settings: Mapping[str, Any] = field(default_factory=dict)
    layers: int = 1
    units: Sequence[int] = (H, H, H)  # of each layer
    ways: int = 1
    parts: Sequence[str] = ()
    state: bool = True
    lengths: Sequence[int] | None = None
    mask: bool = False
    scale: float = 1.0  # of the inputs
    dtype: str = "float32"

    def model(self) -> Model:
        """Cells of uneven random numbers."""
        rng = np.random.default_rng(7)
        how = CONVENTIONS[self.row].changed(self.settings)
        layers, width = [], I
        for units in self.units[: self.layers]:
            cells = tuple(self._cell(rng, how, width, units) for _ in range(self.ways))
            width = sum(cell.outputs for cell in cells)
            width = (
                cells[0].outputs
                if how.behaviour.merge in ("sum", "mul", "ave")
                else width
            )
            layers.append(cells)
        return Model(tuple(layers), {"kernel": (4, H, I)})

    def _cell(
        self, rng: np.random.Generator, how: Convention, width: int, units: int
    ) -> Cell:
        def uneven(*shape: int) -> Array:
            return rng.normal(0.07, 0.6, shape).astype(self.dtype)

        outputs = P if "projection" in self.parts else units
        return Cell(
            uneven(4, units, width),
            uneven(4, units, outputs),
            uneven(4, units)
            if "no bias" not in self.parts
            else np.zeros((4, units), self.dtype),
            how,
            peephole=uneven(3, units) if "peephole" in self.parts else None,
            projection=uneven(P, units) if "projection" in self.parts else None,
        )

    def run_of(self, model: Model) -> dict[str, Any]:
        """Inputs and state, as `run` takes them besides the model."""
        rng = np.random.default_rng(8)
        given: dict[str, Any] = {"layout": "time", "lengths": self.lengths}
        given["x"] = rng.normal(0.07, self.scale, (T, B, I)).astype(self.dtype)
        if self.mask:
            given["mask"] = np.arange(T)[:, None] % (np.arange(B) + 2) > 0
        if self.state:
            given["initial_state"] = draw_run(model, B, 1, seed=9)[1]
        return given


KINDS = {
    "plain, zero state": Kind(state=False),
    "initial state": Kind(),
    "float64": Kind(dtype="float64"),
    "no bias": Kind(parts=["no bias"]),
    "forget bias +1": Kind("tf1"),
    "peepholes": Kind("tf1", parts=["peephole"]),
    "projection": Kind("tf1", parts=["projection"]),
    "cell clip": Kind("tf1", {"cell_clip": 0.4}),
    "projection clip": Kind("tf1", {"projection_clip": 0.3}, parts=["projection"]),
    "peepholes, projection, both clips": Kind(
        "tf1", {"cell_clip": 0.4, "projection_clip": 0.3}, parts=["peephole", "projection"]
    ),
    "gate clip": Kind("onnx", {"gate_clip": 0.5}),
    "gate clip, |c| beyond it": Kind("onnx", {"gate_clip": 0.9}, scale=3),
    "coupled, f = 1 - i": Kind("onnx", {"coupled": "f=1-i"}),
    "coupled, i = 1 - f": Kind("tf1-coupled"),
    "relu": Kind("keras", {"activation": "relu"}),
    "hard sigmoid x/6": Kind("keras", {"recurrent_activation": "hard_sigmoid_1_6"}),
    "hard sigmoid 0.2x": Kind("keras", {"recurrent_activation": "hard_sigmoid_0.2"}),
    "elu": Kind("keras", {"activation": "elu(0.8)"}),
    "leaky relu": Kind("keras", {"activation": "leaky_relu(0.1)"}),
    "softsign, scaled tanh": Kind(
        "keras", {"activation": "scaled_tanh(1.7,0.7)", "recurrent_activation": "softsign"}
    ),
    "thresholded relu": Kind("keras", {"activation": "thresholded_relu(0.3)"}),
    "affine": Kind("keras", {"activation": "affine(0.3,0.4)"}),
    "softplus": Kind("keras", {"activation": "softplus"}),
    "another output activation": Kind("onnx", {"output_activation": "softsign"}),
    "2 layers": Kind(layers=2),
    "2 layers of different sizes": Kind("keras", layers=2, units=(H, 4)),
    "2 directions": Kind(ways=2),
    "2 layers, 2 directions": Kind(layers=2, ways=2),
    "3 layers, projection": Kind("tf1", layers=3, parts=["projection"]),
    "directions summed": Kind("keras", {"merge": "sum"}, ways=2),
    "2 layers, directions multiplied": Kind("keras", {"merge": "mul"}, layers=2, ways=2),
    "directions stacked": Kind("onnx", ways=2),
    "reverse": Kind("onnx", {"reverse": True}),
    "go_backwards": Kind("keras", {"go_backwards": True}),
    "lengths": Kind(lengths=LENGTHS),
    "lengths, 2 directions": Kind(ways=2, lengths=LENGTHS),
    "lengths, 2 layers, 2 directions": Kind(layers=2, ways=2, lengths=LENGTHS),
    "lengths, reverse": Kind("onnx", {"reverse": True}, lengths=LENGTHS),
    "lengths, outputs run on": Kind("flax", lengths=LENGTHS),
    "lengths, 2 directions, run on": Kind("flax", ways=2, lengths=LENGTHS),
    "a length of 0": Kind("tf1", lengths=(9, 0, 5, 1)),
    "a length of 0, run on": Kind("flax", lengths=(9, 0, 5, 1)),
    "mask": Kind("keras", mask=True),
    "mask, 2 directions": Kind("keras", mask=True, ways=2),
}  # fmt: skip

KNOWN = {
    ("a length of 0", "onnxruntime"): {"final_h", "final_c"},
    ("a length of 0", "openvino"): {"final_h", "final_c"},
    ("a length of 0, run on", "jax"): {"final_h", "final_c"},
}
"""Cells that differ, and the arrays that do: the engine says so in its notes."""

KNOWN_ON_JAX = {
    ("mask", "keras"): {"h"},
    ("float64", "keras"): {"h", "final_h", "final_c"},
}
"""The same for Keras on JAX alone."""


def known(kind: str, name: str) -> set[str]:
    """The arrays of a cell that differ, with the frameworks at hand."""
    on_jax = KNOWN_ON_JAX if backend() == "jax" else {}
    return (KNOWN | on_jax).get((kind, name), set())


def refusal(kind: Kind, name: str) -> list[str]:
    """The parts of a kind of network that the engine lacks; no framework is imported."""
    model = kind.model()
    return find_engine(name).network(prepare(model, Inputs(**kind.run_of(model))))[1]


def distances(kind: Kind, name: str) -> dict[str, float]:
    """How far each array of the engine is from ours, in ULPs of its largest number."""
    model = kind.model()
    given = kind.run_of(model)
    engine = find_engine(name)
    plan = prepare(model, Inputs(**given))
    network, unsupported = engine.network(plan)
    assert not unsupported
    theirs, _ = timed_trace(engine, network, plan)
    ours = run(model, **given).members()
    return {k: ulps_of_greatest(a, ours[k]) for k, a in theirs.members().items()}


def ulps_of_greatest(theirs: Array, ours: Array) -> float:
    assert theirs.shape == ours.shape
    assert theirs.dtype == ours.dtype
    unit = np.spacing(np.abs(ours).max())
    return float(np.abs(theirs - ours).max() / unit)


def measured(kind: Kind, name: str) -> float | str:
    """A cell."""
    if refusal(kind, name):
        return REFUSED
    if not find_engine(name).installed:
        return ABSENT
    return max(distances(kind, name).values())


def table() -> str:
    """The grid, as docs/conformance.md has it."""
    cells = {
        (k, name): measured(kind, name) for k, kind in KINDS.items() for name in NAMES
    }
    versions = [
        f"{name} {engine.version}"
        for name in NAMES
        if (engine := find_engine(name)).installed
    ]
    lines = wrap(f"Measured with {', '.join(versions)}; numpy {np.__version__}.", 105)
    lines.append("")
    lines += [f"| | {' | '.join(NAMES)} |", f"|---|{'---|' * len(NAMES)}"]
    for kind in KINDS:
        words = [_shown(kind, name, cells[kind, name]) for name in NAMES]
        escaped = kind.replace("|", "\\|")
        lines.append(f"| {escaped} | {' | '.join(words)} |")
    return "\n".join(lines) + "\n"


def _shown(kind: str, name: str, cell: float | str) -> str:
    if known(kind, name) and not isinstance(cell, str):
        return "differs"
    return cell if isinstance(cell, str) else f"{cell:.1f}"
