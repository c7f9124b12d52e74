"""Questions with few numbers, whose right answer is known or known to be none.

A case is a family of nets and inputs (saturated, of equal units, of zero inputs, ...), settings
that are true, and perhaps a defect that no setting expresses: all of it is computed by the cell of
`reference`, and so is whether an answer is right, on 20 other nets of the same family.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.api.explain import Explanation
from tests.core.explain.asking import Asking, printed, write
from tests.core.explain.reference import Array, Net, Spoil, outputs, random_net, sigmoid

Rng = np.random.Generator
Truth = dict[str, Any]
Family = Callable[[Rng, int, int, int], tuple[Net, Array]]
"""From units, steps and sequences to a net and its inputs (B, T, I)."""
OTHERS = (
    20  # nets and inputs on which an answer has to give the same numbers as the truth
)
INPUTS = 3


# ---- nets and inputs


def _plain(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    return random_net(rng, INPUTS, H), _inputs(rng, T, B)


def _inputs(rng: Rng, T: int, B: int) -> Array:
    return rng.normal(size=(B, T, INPUTS)).astype(np.float32).astype(np.float64)


def _scaled(scale: float) -> Family:
    def family(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
        return random_net(rng, INPUTS, H, scale=scale, recurrent=scale), _inputs(
            rng, T, B
        )

    return family


def _equal_units(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    """All units have the weights of the first."""
    net, x = _plain(rng, H, T, B)
    first = np.repeat(np.arange(0, 4 * H, H), H)
    kernel = net.kernel[:, first]
    kernel[INPUTS:] = kernel[INPUTS : INPUTS + 1]
    return Net(kernel, net.bias[first]), x


def _pairs_of_units(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    """Units 0 and 1 are equal, 2 and 3, and so on."""
    net, x = _plain(rng, H, T, B)
    unit = np.arange(4 * H) % H
    which = np.arange(4 * H) - unit % 2
    rows = INPUTS + np.arange(H) - np.arange(H) % 2
    kernel = net.kernel[:, which]
    kernel[INPUTS:] = kernel[rows]
    return Net(kernel, net.bias[which]), x


def _equal_gates(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    which = np.arange(4 * H) % H
    return Net(net.kernel[:, which], net.bias[which]), x


def _no_bias(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    return Net(net.kernel, 0 * net.bias), x


def _zero_inputs(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    return net, 0 * x


def _first_input_zero(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    x[:, 0] = 0
    return Net(net.kernel, 0 * net.bias), x


def _constant_inputs(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    return net, np.broadcast_to(x[:1, :1], x.shape).copy()


def _repeated_steps(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    return net, np.repeat(x[:, :1], T, axis=1)


def _repeated_sequences(rng: Rng, H: int, T: int, B: int) -> tuple[Net, Array]:
    net, x = _plain(rng, H, T, B)
    return net, np.repeat(x[:1], B, axis=0)


FAMILIES: dict[str, Family] = {
    "plain": _plain,
    "saturated 12": _scaled(12.0),
    "saturated 40": _scaled(40.0),
    "small weights": _scaled(0.03),
    "equal units": _equal_units,
    "pairs of equal units": _pairs_of_units,
    "equal gates": _equal_gates,
    "no bias": _no_bias,
    "zero inputs": _zero_inputs,
    "first input zero": _first_input_zero,
    "constant inputs": _constant_inputs,
    "repeated steps": _repeated_steps,
    "repeated sequences": _repeated_sequences,
}


# ---- defects: of the cell, of the weights, of the outputs


def _on(name: str, function: Callable[[Array], Array]) -> Spoil:
    return lambda n, value, _z, _x: function(value) if n == name else value


def _gate_by(name: str, function: Callable[[Array], Array]) -> Spoil:
    """One gate takes another activation."""
    return lambda n, value, z, _x: function(z[name]) if n == name else value


def _residual(name: str, value: Array, _z: dict[str, Array], x: Array) -> Array:
    return value + np.resize(x, value.shape) if name == "h" else value


def softsign_gate(z: Array) -> Array:
    half: Array = 0.5 * (1 + z / (1 + np.abs(z)))
    return half


def rational_tanh(z: Array) -> Array:
    """tanh as a continued fraction, cut short: 1e-2 off at 3."""
    bounded = np.clip(z, -3, 3)
    quotient: Array = bounded * (27 + bounded**2) / (27 + 9 * bounded**2)
    return quotient


def table_tanh(z: Array) -> Array:
    """tanh from a table of 1/16."""
    rounded: Array = np.tanh(np.round(z * 16) / 16)
    return rounded


def _normalised(h: Array) -> Array:
    centred = h - h.mean(axis=-1, keepdims=True)
    scaled: Array = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
    return scaled


CELLS: dict[str, Truth] = {
    "0.1 added to f": {"spoil": _on("f", lambda f: f + 0.1)},
    "0.1 added to i": {"spoil": _on("i", lambda i: i + 0.1)},
    "0.05 taken from o": {"spoil": _on("o", lambda o: o - 0.05)},
    "f times 0.9": {"spoil": _on("f", lambda f: 0.9 * f)},
    "f squared": {"spoil": _on("f", np.square)},
    "c times 0.95": {"spoil": _on("c", lambda c: 0.95 * c)},
    "c without its sign": {"spoil": _on("c", np.abs)},
    "no input gate": {"spoil": _on("i", np.ones_like)},
    "no output gate": {"spoil": _on("o", np.ones_like)},
    "h within 0.2": {"spoil": _on("h", lambda h: np.clip(h, -0.2, 0.2))},
    "h normalised": {"spoil": _on("h", _normalised)},
    "h with the input added": {"spoil": _residual},
    "softsign in f": {"spoil": _gate_by("f", softsign_gate)},
    "softsign in o": {"spoil": _gate_by("o", softsign_gate)},
    "hard tanh in g": {"spoil": _gate_by("g", lambda z: np.clip(z, -1, 1))},
    "tanh in i": {"spoil": _gate_by("i", np.tanh)},
    "softsign in all gates": {"recurrent_activation": softsign_gate},
    "gates of slope 1/2": {"recurrent_activation": lambda z: sigmoid(z / 2)},
    "rational tanh": {"activation": rational_tanh},
    "tanh from a table": {"activation": table_tanh},
    "scaled tanh": {"activation": lambda z: 1.7159 * np.tanh(2 / 3 * z)},
    "leaky relu": {"activation": lambda z: np.where(z > 0, z, 0.1 * z)},
}


def _unit_zeroed(net: Net, rng: Rng) -> Net:
    kernel, bias = net.kernel.copy(), net.bias.copy()
    which = np.arange(4) * net.units + rng.integers(net.units)
    kernel[:, which], bias[which] = 0, 0
    return Net(kernel, bias)


def _rows_swapped(net: Net, rng: Rng) -> Net:
    order = np.arange(len(net.kernel))
    a, b = rng.choice(INPUTS, 2, replace=False)
    order[[a, b]] = order[[b, a]]
    return Net(net.kernel[order], net.bias)


def _columns_swapped(net: Net, rng: Rng) -> Net:
    """Two columns of one gate: another one, where there is one unit."""
    order = np.arange(4 * net.units)
    a = int(rng.integers(len(order)))
    b = (a + 1) % len(order)
    order[[a, b]] = order[[b, a]]
    return Net(net.kernel[:, order], net.bias)


def _bias_scaled(net: Net, _rng: Rng) -> Net:
    return Net(net.kernel, 1.5 * net.bias)


def _kernel_scaled(net: Net, _rng: Rng) -> Net:
    return Net(1.1 * net.kernel, net.bias)


def _sign_flipped(net: Net, rng: Rng) -> Net:
    kernel = net.kernel.copy()
    kernel[rng.integers(len(kernel)), rng.integers(kernel.shape[1])] *= -1
    return Net(kernel, net.bias)


def _gate_negated(net: Net, rng: Rng) -> Net:
    kernel, bias, H = net.kernel.copy(), net.bias.copy(), net.units
    gate = slice(H * (n := int(rng.integers(4))), H * (n + 1))
    kernel[:, gate], bias[gate] = -kernel[:, gate], -bias[gate]
    return Net(kernel, bias)


def _int8(net: Net, _rng: Rng) -> Net:
    unit = np.abs(net.kernel).max() / 127 or 1.0
    return Net(np.round(net.kernel / unit) * unit, net.bias)


def _pruned(net: Net, _rng: Rng) -> Net:
    least = np.quantile(np.abs(net.kernel), 0.3)
    return Net(np.where(np.abs(net.kernel) < least, 0, net.kernel), net.bias)


def _retrained(size: float) -> Callable[[Net, Rng], Net]:
    def changed(net: Net, rng: Rng) -> Net:
        def other(array: Array) -> Array:
            return array + rng.normal(0, size, array.shape)

        return Net(other(net.kernel), other(net.bias))

    return changed


def _dropped_weights(net: Net, rng: Rng) -> Net:
    """Dropout that was left on, of the recurrent weights."""
    kernel = net.kernel.copy()
    kernel[INPUTS:] *= (rng.random(kernel[INPUTS:].shape) > 0.3) / 0.7
    return Net(kernel, net.bias)


WEIGHTS: dict[str, Callable[[Net, Rng], Net]] = {
    "a unit's weights zero": _unit_zeroed,
    "two rows of the kernel exchanged": _rows_swapped,
    "two columns of the kernel exchanged": _columns_swapped,
    "bias times 1.5": _bias_scaled,
    "kernel times 1.1": _kernel_scaled,
    "a weight's sign": _sign_flipped,
    "a gate negated": _gate_negated,
    "weights of 8 bits": _int8,
    "smallest weights zero": _pruned,
    "retrained by 1e-3": _retrained(1e-3),
    "retrained by 1e-2": _retrained(1e-2),
    "retrained by 3e-2": _retrained(3e-2),
    "retrained by 1e-1": _retrained(1e-1),
    "recurrent dropout": _dropped_weights,
}


def _dropout(h: Array, _x: Array, rng: Rng) -> Array:
    return h * (rng.random(h.shape) > 0.3) / 0.7


def _one_wrong(h: Array, _x: Array, rng: Rng) -> Array:
    h = h.copy()
    h[-1, -1, rng.integers(h.shape[2])] += 0.1
    return h


OUTPUTS: dict[str, Callable[[Array, Array, Rng], Array]] = {
    "dropout": _dropout,
    "output normalised": lambda h, x, rng: _normalised(h),
    "input added to the output": lambda h, x, rng: h + np.resize(x, h.shape),
    "relu of the output": lambda h, x, rng: np.maximum(h, 0),
    "noise of 1e-2": lambda h, x, rng: h + rng.normal(0, 1e-2, h.shape),
    "output times 1.05": lambda h, x, rng: 1.05 * h,
    "a step late": lambda h, x, rng: np.roll(h, 1, axis=1),
    "units rolled": lambda h, x, rng: np.roll(h, 1, axis=2),
    "one number wrong": _one_wrong,
    "another net": lambda h, x, rng: outputs(
        random_net(rng, INPUTS, h.shape[2]), x, {}
    )["h"],
    "random": lambda h, x, rng: np.tanh(rng.normal(0, 0.5, h.shape)),
}


# ---- cases


@dataclass(frozen=True)
class Case:
    """A question and what is true of it; ``defect`` is a name in one of the tables above, or ""."""

    family: str
    truth: tuple[tuple[str, Any], ...]
    defect: str
    units: int
    steps: int
    batch: int
    digits: int

    @property
    def name(self) -> str:
        """By which it can be asked alone."""
        truth = " + ".join(f"{k}={v}" for k, v in self.truth) or "as loaded"
        size = f"{self.units} units, {self.steps} steps, batch {self.batch}, {self.digits} digits"
        return f"{self.defect or 'no defect'}/{self.family}/{truth}/{size}"

    def rng(self, number: int = 0) -> Rng:
        """The source of a net of the family; number 0 is the one that is asked."""
        return np.random.default_rng([number, zlib.crc32(self.name.encode())])

    def drawn(self, number: int = 0) -> tuple[Net, Array, Array]:
        """A net, its inputs, and the outputs (B, T, H) of the other side."""
        rng = self.rng(number)
        net, x = FAMILIES[self.family](rng, self.units, self.steps, self.batch)
        truth = dict(self.truth)
        if self.defect in OUTPUTS:
            return net, x, OUTPUTS[self.defect](outputs(net, x, truth)["h"], x, rng)
        other = WEIGHTS[self.defect](net, rng) if self.defect in WEIGHTS else net
        return net, x, outputs(other, x, truth | CELLS.get(self.defect, {}))["h"]

    def without_defect(self, net: Net, x: Array) -> Array:
        """The outputs of the true settings alone."""
        return outputs(net, x, dict(self.truth))["h"]

    def asking(self, folder: Path) -> Asking:
        net, x, h = self.drawn()
        weights = write(net, folder / "weights.npz", INPUTS)
        return Asking(
            weights,
            x,
            printed(h, self.digits, folder / "expected.txt"),
            {"layout": "batch"},
        )

    @property
    def unit(self) -> float:
        """Of the last printed digit."""
        return 10.0**-self.digits


CONSTANTS = ("forget_bias", "cell_clip", "gate_clip")
EXACT = 1e-6  # the weights are asked in float32


def fault(case: Case, explanation: Explanation) -> str:
    """The false parts of an answer; empty if there are none.

    A cause is right if it is the truth or an equal of it, which gives the same numbers for other
    nets of the family; of a true constant any value will do that gives EXPECTED. Where the net that
    is asked cannot tell two causes apart, the truth may stand among the equals that are listed, and
    where it does not show the defect, a cause that gives its very numbers is right. Whatever is
    listed has to give EXPECTED.
    """
    if explanation.verdict == "agrees":
        return "" if _gives(case, {}) else "said to agree, and does not"
    if explanation.verdict != "found":
        return ""
    listed = [_settings(one) for one in (explanation.changes, *explanation.equivalent)]
    for one in listed:
        if not _gives(case, one):
            return f"{one} does not give EXPECTED"
    truth = dict(case.truth)
    if any(_is_true(one, truth) for one in listed):
        return ""
    if _off(case, listed[0]) < EXACT or _same_elsewhere(case, listed[0]):
        return ""
    return f"{listed[0]} is no equal of {truth or 'as loaded'} with {case.defect or 'no defect'}"


def missed(case: Case, explanation: Explanation) -> str:
    """The rejected EXPECTED that a setting gives; empty if there is none.

    Zeros prove nothing, and none is the answer to them.
    """
    if case.defect or explanation.verdict != "none":
        return ""
    if np.round(case.drawn()[2], case.digits).any() and _gives(case, dict(case.truth)):
        return f"{dict(case.truth) or 'as loaded'} gives EXPECTED, and nothing is found"
    return ""


def _settings(changes: Sequence[Any]) -> dict[str, Any]:
    """As the reference takes them, with those that go with a change."""
    settings = {name: value for one in changes for name, value in one.settings.items()}
    if settings.pop("go_backwards", False):
        settings |= {"reverse": True, "flip_output": True}
    return settings


def _is_true(changes: dict[str, Any], truth: Truth) -> bool:
    """Return whether these are the true settings, whatever the values of constants."""
    return changes.keys() == truth.keys() and all(
        name in CONSTANTS or value == truth[name] for name, value in changes.items()
    )


def _gives(case: Case, settings: dict[str, Any]) -> bool:
    """Return whether a run of the net in question gives the printed output, rounding aside."""
    return _off(case, settings, printed=True) <= 0.53 * case.unit


def _off(case: Case, settings: dict[str, Any], printed: bool = False) -> float:
    """The largest difference of such a run from the outputs, or from their printed output."""
    net, x, h = case.drawn()
    expected = np.round(h, case.digits) if printed else h
    return float(np.abs(_run(net, x, settings) - expected).max())


def _run(net: Net, x: Array, settings: dict[str, Any]) -> Array:
    settings = dict(settings)
    return outputs(net, x, settings)[settings.pop("array", "h")]


def _same_elsewhere(case: Case, changes: dict[str, Any]) -> bool:
    """Return whether they give the other side's outputs, for other nets of the family."""
    for number in range(1, OTHERS + 1):
        net, x, h = case.drawn(number)
        if not np.abs(_run(net, x, changes) - h).max() <= case.unit:
            return False
    return True


SIZES = ((2, 2, 1), (2, 3, 1), (3, 2, 1), (2, 4, 1), (4, 2, 1), (3, 3, 2), (5, 3, 1), (8, 2, 1),
         (2, 2, 2), (6, 4, 2), (3, 4, 1), (8, 4, 1))  # units, steps, sequences  # fmt: skip
TRUTHS: tuple[tuple[tuple[str, Any], ...], ...] = (
    (), (("forget_bias", 0.0),), (("gates", "ifgo"),), (("transposed", "recurrent"),),
    (("recurrent_activation", "hard_sigmoid_0.2"),), (("forget_bias", -0.7),),
    (("kernel_gates", "ifgo"),), (("bias", "none"),), (("state", "reset"),),
    (("cell_clip", 0.4),), (("gates", "iofg"), ("forget_bias", 0.0)), (("reverse", True),),
    (("coupled", "i=1-f"),),
)  # fmt: skip


def _cases() -> Iterator[Case]:
    """Every defect with every family or size in turn, and every truth in every family without."""
    sizes, digits, truths = cycle(SIZES), cycle((4, 3, 2, 4, 3)), cycle(TRUTHS[:5])
    for defect in (*CELLS, *WEIGHTS, *OUTPUTS):
        for n in range(7):
            yield Case(
                "plain",
                next(truths) if n > 1 else (),
                defect,
                *next(sizes),
                next(digits),
            )
    families = [family for family in FAMILIES if family != "plain"]
    for family in families:
        for n, defect in enumerate((*CELLS, *WEIGHTS, *OUTPUTS)):
            if n % 6 == families.index(family) % 6:
                yield Case(family, (), defect, *next(sizes), next(digits))
    for family in FAMILIES:
        for truth in TRUTHS:
            yield Case(family, truth, "", *next(sizes), next(digits))
    for defect in (*CELLS, *WEIGHTS, *OUTPUTS):
        yield Case("plain", (), defect, 1, 2 + len(defect) % 3, 1, next(digits))
    for truth in TRUTHS:
        yield Case("plain", truth, "", 1, 4, 1, next(digits))
    yield from _fewest()


def _fewest() -> Iterator[Case]:
    """Four to six numbers of three or four digits, of which one or two constants take their part.

    At the second step alone a forget gate shows, in two or three numbers.
    """
    sizes = cycle(((2, 2, 1), (3, 2, 1), (2, 3, 1)))
    truths = cycle(((), (), TRUTHS[3], (), TRUTHS[1], TRUTHS[2], ()))
    for defect in (*CELLS, *WEIGHTS):
        for digits in (3, 4, 4):
            yield Case("plain", next(truths), defect, *next(sizes), digits)


CASES = {case.name: case for case in _cases()}
"""By name; a few of the last are among the first."""
