"""Networks of several cells: a net of two directions or two layers, its inputs and mistakes.

What is expected comes from `reference`, a plain loop that shares no code with the program.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli import run
from lstmcli.api.explain import Explanation
from lstmcli.api.load import load
from tests.core.explain.asking import Asking, found, printed, same
from tests.core.explain.reference import Net, outputs, random_net

Array = np.ndarray[Any, Any]
Truth = dict[str, Any]

AS_STORED: Truth = {"gates": "igfo", "forget_bias": 1.0}  # what the reference takes, unless told
SIZES = ((7, 3, 4, 3), (6, 2, 3, 5), (9, 4, 5, 4))  # T, B, I, H

BY_HAND: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "concat_swapped": lambda f, b: np.concatenate([b, f], axis=-1),
    "sum": lambda f, b: f + b,
    "mul": lambda f, b: f * b,
    "ave": lambda f, b: (f + b) * f.dtype.type(0.5),
}

MERGES: list[tuple[str, Truth]] = [
    *(("concat", {"merge": merge}) for merge in ("concat_swapped", "sum", "mul", "ave")),
    *((merge, {"merge": "concat"}) for merge in ("concat_swapped", "sum", "mul", "ave")),
    ("sum", {"merge": "ave"}),
    ("mul", {"merge": "sum"}),
    ("ave", {"merge": "concat_swapped"}),
]
"""The merge that is assumed, and what is true."""

BESIDE: list[Truth] = [
    {"forget_bias": 0.0},
    {"forget_bias": -0.4},
    {"gates": "gofi"},
    {"state": "reset"},
    {"layer0.transposed": "recurrent"},
    {"layer0_reverse.gates": "ifgo"},
    {"layer0_reverse.forget_bias": 2.5},
    {"layer0_reverse.reverse": False},
    {"layer0_reverse.flip_output": True},
]
PAIRS = [(assumed, {**truth, **other}) for assumed, truth in MERGES for other in BESIDE]
BOTH_AND_ONE: list[tuple[str, Truth]] = [
    (merge, {"merge": merge, "forget_bias": 0.0, **one})
    for merge in ("concat", "sum", "mul", "ave")
    for one in (
        {"layer0.transposed": "recurrent"},
        {"layer0_reverse.gates": "ifgo"},
        {"layer0_reverse.reverse": False},
    )
]
"""A mistake of both directions and one of a single one, the merge as assumed."""

LAYOUTS: list[Truth] = [
    {"layout": "time", **other}
    for other in (
        {},
        {"forget_bias": 0.0},
        {"layer0.gates": "ifgo"},
        {"layer0_reverse.reverse": False},
        {"layer0_reverse.flip_output": True},
        {"merge": "sum"},
        {"merge": "concat_swapped"},
    )
]

DEEP: list[Truth] = [
    {"gates": "gofi"},
    {"forget_bias": -0.4},
    {"cell_clip": 0.5},
    {"layer1.forget_bias": 0.3},
    {"layer0.forget_bias": 0.3},
    {"layer1.gates": "gofi"},
    {"layer1.transposed": "recurrent", "layer1.forget_bias": 0.3},
    {"gates": "ifgo", "forget_bias": 0.3},
]

ALONE: list[tuple[bool, Truth]] = [
    (True, {"gates": "ifgo"}),
    (True, {"layer0.activation": "relu"}),
    (True, {"layer1.bias": "none"}),
    (False, {"gates": "ifog"}),
    (False, {"layer0.coupled": "i=1-f"}),
    (False, {"layer0_reverse.gates": "ifgo"}),
]

PAIRS_OF_CELLS: list[Truth] = [
    {"layer0.bias": "none", "layer0.activation": "relu"},
    {"layer1.bias": "none", "layer0.gates": "ifgo"},
    {"layer1.bias": "none", "gates": "iofg"},
    {"layer1.recurrent_activation": "hard_sigmoid_0.2", "layer0.transposed": "recurrent"},
]


def name_of(value: Any) -> str:
    if isinstance(value, dict):
        return " + ".join(f"{k}={v}" for k, v in value.items())
    return str(value)


PLACES: dict[str, Callable[[Array], Array]] = {
    "a row": lambda h: h[2],
    "first steps of a row": lambda h: h[2, :3],
    "a first step": lambda h: h[:, 0],
    "first steps": lambda h: h[:, :3],
    "time before batch": lambda h: h.swapaxes(0, 1),
}
"""What people save of an output (B, T, H)."""


def of_cell(truth: Truth, cell: str) -> Truth:
    """What is true of one cell: its own settings, and those of all."""
    general = {k: v for k, v in truth.items() if "." not in k and k not in ("merge", "layout")}
    own = {k.partition(".")[2]: v for k, v in truth.items() if k.startswith(f"{cell}.")}
    return general | own


def both(nets: list[Net], x: Array, truth: Truth, dtype: Any = np.float32) -> Array:
    """The output of two directions for x (B, T, I), in the axes of x."""
    if truth.get("layout") == "time":
        rest = {k: v for k, v in truth.items() if k != "layout"}
        return both(nets, x.swapaxes(0, 1), rest, dtype).swapaxes(0, 1)
    forward = outputs(nets[0], x, of_cell(truth, "layer0"), dtype=dtype)["h"]
    backward = {"reverse": True} | of_cell(truth, "layer0_reverse")
    return BY_HAND[truth.get("merge", "concat")](
        forward, outputs(nets[1], x, backward, dtype=dtype)["h"]
    )


def stacked(nets: list[Net], x: Array, truth: Truth, dtype: Any = np.float32) -> Array:
    """The output of layers one above the other."""
    for n, net in enumerate(nets):
        x = outputs(net, x, of_cell(truth, f"layer{n}"), dtype=dtype)["h"]
    return x


def write(nets: dict[str, Net], path: Path) -> str:
    """Nets as PyTorch names them, by ``l0``, ``l0_reverse``, ``l1``."""
    arrays: dict[str, Any] = {}
    for name, net in nets.items():
        inputs = len(net.kernel) - net.units
        arrays |= {
            f"weight_ih_{name}": net.kernel[:inputs].T,
            f"weight_hh_{name}": net.kernel[inputs:].T,
            f"bias_ih_{name}": net.bias,
            f"bias_hh_{name}": 0 * net.bias,
        }
    np.savez(path, **{name: array.astype(np.float32) for name, array in arrays.items()})
    return str(path)


class Asked:
    """A net of two directions or two layers, its inputs, and what is said of both."""

    def __init__(self, folder: Path, seed: int, what: str, rows: int = 0, deep: bool = False):
        rng = np.random.default_rng([seed, zlib.crc32(what.encode())])
        T, B, I, H = SIZES[seed % 3]
        T, B = (rows, rows) if rows else (T, B)
        self.folder, self.rng, self.run = folder, rng, stacked if deep else both
        self.nets = [random_net(rng, I, H), random_net(rng, H if deep else I, H)]
        self.x = rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64)
        names = ("l0", "l1" if deep else "l0_reverse")
        self.weights = write(dict(zip(names, self.nets, strict=True)), folder / "w.npz")

    def expected(self, truth: Truth, form: str = "float32") -> Array | str:
        h = self.run(self.nets, self.x, truth, np.float64 if form == "float64" else np.float32)
        if form.endswith("digits"):
            return printed(h, int(form.split()[0]), self.folder / "expected.txt")
        return h

    def explain(self, expected: Array | str, **assumed: Any) -> Explanation:
        return self.asking(expected, **assumed).explain()

    def asking(self, expected: Array | str, **assumed: Any) -> Asking:
        return Asking(self.weights, self.x, expected, {**AS_STORED, "layout": "batch", **assumed})

    def check(self, truth: Truth, form: str = "float32", **assumed: Any) -> None:
        """Exactly the truth is found, and its settings reproduce EXPECTED."""
        explanation = self.explain(self.expected(truth, form), **assumed)
        changes = found(explanation)
        assert explanation.found, explanation
        wrong = {k: v for k, v in truth.items() if assumed.get(k) != v}
        assert same(changes, wrong, form), changes
        assert not explanation.equivalent, "these data single it out"
        settings = {**AS_STORED, **assumed, **changes}
        layout = settings.pop("layout", "batch")
        trace = run(load(self.weights, **settings), self.x, layout=layout)
        right = self.run(self.nets, self.x, truth, np.float64)
        slack = 5e-3 if form == "4 digits" else 2e-6
        np.testing.assert_allclose(trace.arrays["h"], right, atol=slack)
