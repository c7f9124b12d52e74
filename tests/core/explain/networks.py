"""Networks of several cells: a net of two directions or two layers, its inputs and mistakes.

What is expected comes from `reference`, a plain loop that shares no code with the program.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.api.explain import Explanation
from tests.core.explain.asking import Asking, printed, whole
from tests.core.explain.reference import Net, outputs, random_net

Array = np.ndarray[Any, Any]
Truth = dict[str, Any]

AS_STORED: Truth = {
    "gates": "igfo",
    "forget_bias": 1.0,
}  # the settings of the reference by default
SIZES = ((7, 3, 4, 3), (6, 2, 3, 5), (9, 4, 5, 4))  # T, B, I, H

BY_HAND: dict[str, Callable[[Array, Array], Array]] = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "concat_swapped": lambda f, b: np.concatenate([b, f], axis=-1),
    "sum": lambda f, b: f + b,
    "mul": lambda f, b: f * b,
    "ave": lambda f, b: (f + b) * f.dtype.type(0.5),
}

MERGES: list[tuple[str, Truth]] = [
    *(
        ("concat", {"merge": merge})
        for merge in ("concat_swapped", "sum", "mul", "ave")
    ),
    *(
        (merge, {"merge": "concat"})
        for merge in ("concat_swapped", "sum", "mul", "ave")
    ),
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
RUN_ALIKE: list[Truth] = [{"state": "reset"}, {"layer0_reverse.reverse": False}]
"""Beside these two directions run alike: exchanged halves are exchanged weights."""
PAIRS = [
    (assumed, {**truth, **other})
    for assumed, truth in MERGES
    for other in BESIDE
    if other not in RUN_ALIKE
    or {assumed, truth["merge"]} != {"concat", "concat_swapped"}
]
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
] + [{"directions": "exchanged"}, {"directions": "exchanged", "forget_bias": 0.0}]

DEEP: list[Truth] = [
    {"gates": "gofi"},
    {"forget_bias": -0.4},
    {"cell_clip": 0.5},
    {"layer1.forget_bias": 0.3},
    {"layer0.forget_bias": 0.3},
    {"layer1.gates": "gofi"},
    {"layer1.transposed": "recurrent", "layer1.forget_bias": 0.3},
    {"gates": "ifgo", "forget_bias": 0.3},
    {"kernel_gates": "gofi"},
    {"layer1.bias_gates": "ofgi"},
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
    {
        "layer1.recurrent_activation": "hard_sigmoid_0.2",
        "layer0.transposed": "recurrent",
    },
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
"""Parts of an output (B, T, H) that people save."""


LONG: dict[str, list[Truth]] = {
    "stack": [
        {"gates": "ifgo"},
        {"forget_bias": 0.0},
        {"recurrent_activation": "hard_sigmoid_0.2"},
        {"layer1.bias": "none"},
        {"layer0.coupled": "i=1-f"},
        {"layer0.transposed": "recurrent"},
        {"layer1.output_activation": "identity"},
        {"state": "reset"},
        {"gates": "ifgo", "forget_bias": 0.0},
        {"gates": "iofg", "recurrent_activation": "hard_sigmoid_0.2"},
        {"layer0.gates": "gofi", "layer1.forget_bias": 0.3},
        {"coupled": "f=1-i", "bias": "none"},
    ],
    "directions": [
        {"gates": "ifog"},
        {"forget_bias": -0.4},
        {"bias": "none"},
        {"merge": "sum"},
        {"layer0_reverse.gates": "ifgo"},
        {"layer0_reverse.reverse": False},
        {"layer0_reverse.flip_output": True},
        {"coupled": "f=1-i"},
        {"gates": "ifgo", "forget_bias": 0.0},
        {"merge": "concat_swapped", "forget_bias": 0.0},
        {"layout": "time", "recurrent_activation": "hard_sigmoid_0.2"},
        {"layer0.transposed": "recurrent", "layer0_reverse.bias": "none"},
    ],
    "both": [
        {"gates": "ifgo"},
        {"forget_bias": 0.0},
        {"merge": "concat_swapped"},
        {"recurrent_activation": "hard_sigmoid_1_6"},
        {"layer1_reverse.gates": "iofg"},
        {"layer0.forget_bias": 0.3, "layer0_reverse.forget_bias": 0.3},
        {"layer0_reverse.reverse": False, "layer1_reverse.reverse": False},
        {"bias": "none"},
        {"gates": "ifgo", "forget_bias": 0.0},
        {"bias": "none", "recurrent_activation": "hard_sigmoid_0.2"},
        {"gates": "gofi", "merge": "concat_swapped"},
        {"layer0.gates": "gofi", "layer1_reverse.bias": "none"},
    ],
}
"""Mistakes of networks as large as people have."""

LONG_SIZES = ((30, 4, 20, 128), (60, 3, 12, 64), (40, 2, 24, 128), (30, 3, 20, 64),
              (60, 2, 16, 96), (40, 4, 16, 64))  # T, B, I, H  # fmt: skip
LONG_FORMS = ("float32", "float64", "8 digits", "6 digits", "4 digits")
LONG_PLACES: dict[str, Callable[[Array], Array]] = {
    "all of h": whole,
    "last h": lambda h: h[:, -1],
    "h_n": whole,  # of `last_states`
    "a row": lambda h: h[1],
    "a last h": lambda h: h[1, -1],
}


def shows(place: str, kind: str, truth: Truth) -> bool:
    """Return whether this part of an output distinguishes a mistake from others as simple.

    h_n is taken before directions are merged or turned. At the last step a state that is reset
    gives what a reversed run gives; and it is a backward cell's first, where no forget gate shows.
    """
    if place in ("all of h", "a row"):
        return True
    hidden = {"layout", "flip_output"}
    if place == "h_n":
        hidden |= {"merge", "reverse"}
    else:
        hidden |= {"state"} | (
            {"forget_bias", "coupled"} if kind == "directions" else set()
        )
    return hidden.isdisjoint(setting.rpartition(".")[2] for setting in truth)


def long() -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and what is asked: each mistake in two places, of sizes and in forms by turns."""
    sizes, forms, places = cycle(LONG_SIZES), cycle(LONG_FORMS), cycle(LONG_PLACES)
    for kind, truths in LONG.items():
        sides, deep = 1 if kind == "stack" else 2, kind != "directions"
        for truth in truths:
            for place in islice((one for one in places if shows(one, kind, truth)), 2):
                (T, B, I, H), form = next(sizes), next(forms)
                name = f"{kind}/{place}, {name_of(truth)}, {T}x{H}, {form}"
                given = {
                    "deep": deep,
                    "sides": sides,
                    "size": (T, B, I, H),
                    "form": form,
                }
                part = {"part": LONG_PLACES[place], "states": place == "h_n"}
                yield name, {"truth": truth, **given, **part}


def of_cell(truth: Truth, cell: str) -> Truth:
    """The settings of one cell, and those of all cells."""
    general = {
        k: v
        for k, v in truth.items()
        if "." not in k and k not in ("merge", "layout", "directions")
    }
    own = {k.partition(".")[2]: v for k, v in truth.items() if k.startswith(f"{cell}.")}
    return general | own


def network(
    nets: list[Net], x: Array, truth: Truth, dtype: Any = np.float32, sides: int = 2
) -> tuple[Array, list[Array]]:
    """The output of layers of one or two directions for x (B, T, I), and h of each of their cells.

    All are in the axes of x.
    """
    if truth.get("layout") == "time":
        rest = {k: v for k, v in truth.items() if k != "layout"}
        top, cells = network(nets, x.swapaxes(0, 1), rest, dtype, sides)
        return top.swapaxes(0, 1), [h.swapaxes(0, 1) for h in cells]
    cells = []
    if truth.get("directions") == "exchanged":
        nets = [net for n in range(0, len(nets), 2) for net in (nets[n + 1], nets[n])]
    for n in range(0, len(nets), sides):
        for side in range(sides):
            cell = f"layer{n // sides}{'_reverse' * side}"
            settings = {"reverse": side == 1} | of_cell(truth, cell)
            cells.append(outputs(nets[n + side], x, settings, dtype=dtype)["h"])
        x = (
            BY_HAND[truth.get("merge", "concat")](*cells[n:])
            if sides == 2
            else cells[n]
        )
    return x, cells


def both(nets: list[Net], x: Array, truth: Truth, dtype: Any = np.float32) -> Array:
    """The output of layers of two directions."""
    return network(nets, x, truth, dtype)[0]


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
    """A net of two directions or two layers (or of both), its inputs, and what is said of them."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        what: str,
        rows: int = 0,
        deep: bool = False,
        sides: int = 0,
        size: tuple[int, int, int, int] | None = None,
        scale: float = 1.0,
    ):
        rng = np.random.default_rng([seed, zlib.crc32(what.encode())])
        T, B, I, H = size or SIZES[seed % 3]
        T, B = (rows, rows) if rows else (T, B)
        self.folder, self.rng, self.sides = folder, rng, sides or (1 if deep else 2)
        names = [f"l{layer}{end}" for layer in range(1 + deep)
                 for end in ("", "_reverse")[: self.sides]]  # fmt: skip
        inputs = [I if name.startswith("l0") else self.sides * H for name in names]
        self.nets = [random_net(rng, k, H, scale, scale) for k in inputs]
        self.x = rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64)
        self.weights = write(dict(zip(names, self.nets, strict=True)), folder / "w.npz")

    def run(self, truth: Truth, dtype: Any = np.float32) -> Array:
        return network(self.nets, self.x, truth, dtype, self.sides)[0]

    def last_states(self, truth: Truth, dtype: Any = np.float32) -> Array:
        """PyTorch's h_n, (cells, B, H)."""
        _, cells = network(self.nets, self.x, truth, dtype, self.sides)
        ends = (-1, 0)[: self.sides]
        return np.array([h[:, ends[n % self.sides]] for n, h in enumerate(cells)])

    def expected(
        self,
        truth: Truth,
        form: str = "float32",
        part: Callable[[Array], Array] = whole,
        states: bool = False,
    ) -> Array | str:
        dtype = np.float64 if form == "float64" else np.float32
        h = part(self.last_states(truth, dtype) if states else self.run(truth, dtype))
        if form.endswith("digits"):
            return printed(h, int(form.split()[0]), self.folder / "expected.txt")
        return h

    def explain(self, expected: Any, **assumed: Any) -> Explanation:
        return self.asking(expected, **assumed).explain()

    def asking(self, expected: Any, **assumed: Any) -> Asking:
        return Asking(
            self.weights, self.x, expected, {**AS_STORED, "layout": "batch", **assumed}
        )
