"""A row of the matrix as a question: files written, the program asked."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lstmcli.api.explain import Explanation, explain
from lstmcli.api.load import load
from tests.core.explain import reference
from tests.core.explain.matrix import Row

Array = np.ndarray[Any, Any]

FORMS = ("float32", "float64", "8 digits", "4 digits")


SIZES = ((7, 3, 4, 3), (6, 2, 3, 5), (9, 4, 5, 4))  # T, B, I, H
LARGE = (60, 4, 40, 128)


class Asking(NamedTuple):
    """A question to `explain`."""

    weights: str
    x: Array
    expected: Any
    given: dict[str, Any]  # settings, states, lengths

    def explain(self) -> Explanation:
        return explain(self.weights, self.x, self.expected, **self.given)


def whole(h: Array) -> Array:
    """All of an output, where a part could be asked."""
    return h


def asking(
    row: Row,
    folder: Path,
    form: str = "float32",
    seed: int = 0,
    size: tuple[int, int, int, int] | None = None,
    part: Callable[[Array], Array] = whole,
) -> Asking:
    """The question about a net with the row's mistake, and a part of the output as EXPECTED.

    Sizes are uneven and vary with the seed.
    """
    options = row.options
    rng = np.random.default_rng([seed, zlib.crc32(row.name.encode())])
    T, B, I, H = size or SIZES[seed % 3]
    if options.get("square"):
        I = H
    if options.get("rows"):
        T = B = options["rows"]
    net = reference.random_net(rng, I, H, peepholes=options.get("peepholes", False))
    x = rng.normal(size=(B, T, I)).astype(np.float32).astype(np.float64)
    settings: dict[str, Any] = {}
    if outputs := options.get("projection", 0):
        net.kernel = net.kernel[: I + outputs]
        net.projection = (
            rng.normal(0, 1, (H, outputs)).astype(np.float32).astype(np.float64)
        )
    if options.get("two_biases"):
        net.recurrent_bias = (
            rng.normal(0, 0.5, 4 * H).astype(np.float32).astype(np.float64)
        )
        settings = {"gates": "igfo", "forget_bias": 1.0, "layout": "batch"}
    weights = write(net, folder / "weights.npz", I)
    state = None
    if options.get("state"):
        state = {"h": rng.normal(0, 0.5, (B, H)), "c": rng.normal(0, 0.8, (B, H))}
    truth = dict(row.truth)
    array = truth.pop("array", "h")
    given = None if state is None else (state["h"], state["c"])
    dtype = np.float64 if form == "float64" else np.float32
    result = part(reference.outputs(net, x, truth, given, dtype)[array])
    expected: Any = result
    if form.endswith("digits"):
        expected = printed(result, int(form.split()[0]), folder / "expected.txt")
    return Asking(weights, x, expected, {"initial_state": state, **settings})


class Cell:
    """A net of one cell with inputs (B, T, I) of a seed, and questions about them."""

    def __init__(
        self,
        folder: Path,
        seed: Any,
        units: int = 5,
        steps: int = 7,
        batch: int = 3,
        **net: Any,
    ) -> None:
        self.folder, self.rng = folder, np.random.default_rng(seed)
        self.net = reference.random_net(self.rng, 4, units, **net)
        x = self.rng.normal(size=(batch, steps, 4))
        self.x = x.astype(np.float32).astype(np.float64)

    def run(
        self, truth: dict[str, Any] | None = None, state: Any = None
    ) -> dict[str, Array]:
        """The other side's outputs in float32, each (B, T, H)."""
        return reference.outputs(self.net, self.x, truth or {}, state, np.float32)

    def asking(self, expected: Any, **given: Any) -> Asking:
        weights = write(self.net, self.folder / "weights.npz", self.x.shape[2])
        return Asking(weights, self.x, expected, given)

    def explain(self, expected: Any, **given: Any) -> Explanation:
        return self.asking(expected, **given).explain()


def write(net: reference.Net, path: Path, inputs: int) -> str:
    """The net as TF1 stores it, or with two biases as a PyTorch cell."""
    arrays = {"kernel": net.kernel, "bias": net.bias}
    if net.recurrent_bias is not None:
        arrays = {
            "weight_ih": net.kernel[:inputs].T,
            "weight_hh": net.kernel[inputs:].T,
            "bias_ih": net.bias,
            "bias_hh": net.recurrent_bias,
        }
    if net.projection is not None:
        arrays["projection/kernel"] = net.projection
    if net.peepholes is not None:
        arrays |= {
            f"w_{gate}_diag": p for gate, p in zip("ifo", net.peepholes, strict=True)
        }
    held: dict[str, Any] = {
        name: array.astype(np.float32) for name, array in arrays.items()
    }
    np.savez(path, **held)
    return str(path)


def printed(array: Array, digits: int, path: Path) -> str:
    """A file with NumPy's print of an array."""
    with np.printoptions(precision=digits, threshold=10**9, suppress=True):
        path.write_text(f"{array}\n")
    return str(path)


def settings_give(asking: Asking, explanation: Explanation) -> bool:
    """Return whether a run with the settings and edits of an answer gives EXPECTED.

    A changed array, which is no setting, is all that is left to be changed.
    """
    of_run = {
        k: v
        for k, v in asking.given.items()
        if k in ("initial_state", "lengths", "mask")
    }
    model = load(asking.weights, **explanation.settings, edits=[*explanation.edits])
    again = explain(model, asking.x, asking.expected, **of_run)
    array = found(explanation).get("array")
    return again.found and found(again) == ({} if array is None else {"array": array})


def found(explanation: Explanation) -> dict[str, Any]:
    """The changes of an answer."""
    return {change.setting: change.found for change in explanation.changes}


def same(changes: dict[str, Any], truth: dict[str, Any], form: str) -> bool:
    """Return whether the changes are the true ones; a constant as well as the digits allow."""
    near = 2e-2 if form == "4 digits" else 1e-4
    return changes.keys() == truth.keys() and all(
        abs(changes[name] - value) < near
        if isinstance(value, float)
        else changes[name] == value
        for name, value in truth.items()
    )
