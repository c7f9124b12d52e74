"""A plain cell that makes every mistake of the matrix, written from the equations alone.

It shares no code with the program: weights are cut, turned and reordered here by hand, steps are a
Python loop over rows, and float32 runs sum in another order than the program does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass
class Net:
    """A net as TF1 stores it: kernel [x; h] (I + H, 4H), bias (4H,); perhaps peepholes (3, H).

    With a ``projection`` (H, P) the rows of h in the kernel are P.
    """

    kernel: Array
    bias: Array
    recurrent_bias: Array | None = None
    peepholes: Array | None = None
    projection: Array | None = None
    projection_bias: Array | None = None

    @property
    def units(self) -> int:
        return int(self.kernel.shape[1]) // 4

    @property
    def outputs(self) -> int:
        return self.units if self.projection is None else int(self.projection.shape[1])


def random_net(
    rng: np.random.Generator,
    inputs: int,
    units: int,
    scale: float = 1.0,
    recurrent: float = 1.0,
    dtype: Any = np.float32,
    peepholes: bool = False,
) -> Net:
    """Uneven weights: every block and every row of another size."""
    kernel = np.concatenate(
        [
            scale * rng.normal(0, 1.2 / np.sqrt(inputs), (inputs, 4 * units)),
            recurrent * rng.normal(0, 1.2 / np.sqrt(units), (units, 4 * units)),
        ]
    )
    kernel *= np.repeat(rng.uniform(0.6, 1.4, 4), units)
    bias = rng.normal(0.1, 0.5, 4 * units)
    rounded = (
        kernel.astype(dtype).astype(np.float64),
        bias.astype(dtype).astype(np.float64),
    )
    held = (
        rng.normal(0, 0.6, (3, units)).astype(dtype).astype(np.float64)
        if peepholes
        else None
    )
    return Net(*rounded, peepholes=held)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "sigmoid": sigmoid,
    "hard_sigmoid_0.2": lambda z: np.minimum(
        1, np.maximum(0, z * z.dtype.type(0.2) + z.dtype.type(0.5))
    ),
    "hard_sigmoid_1_6": lambda z: np.minimum(
        1, np.maximum(0, z / z.dtype.type(6) + z.dtype.type(0.5))
    ),
    "tanh": np.tanh,
    "relu": lambda z: z * (z > 0),
    "identity": lambda z: z,
}


Spoil = Callable[[str, Array, dict[str, Array], Array], Array]
"""From a name (i, f, g, o, c, h), its value (H,), all pre-activations and x_t to another value."""


def activation(how: str | Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function by its name, or as given."""
    return ACTIVATIONS[how] if isinstance(how, str) else how


def gates_of(matrix: Array, order: str, interleaved: bool) -> dict[str, Array]:
    """(K, 4H) -> each gate's (K, H)."""
    units = matrix.shape[-1] // 4
    if interleaved:
        return {gate: matrix[..., k::4] for k, gate in enumerate(order)}
    return {
        gate: matrix[..., k * units : (k + 1) * units] for k, gate in enumerate(order)
    }


def outputs(
    net: Net,
    x: Array,
    truth: dict[str, Any],
    state: tuple[Array, Array] | None = None,
    dtype: Any = np.float64,
) -> dict[str, Array]:
    """The other side's outputs for x (B, T, I): h, c, i, f, g, o (B, T, H) in the axes of x.

    z (B, T, 4H) is in the order i, f, g, o.

    ``truth`` are settings by name, over TF1's: igfo, +1.0. An activation may be a function; a
    `Spoil` under ``spoil`` changes the gates, c and h as they are made.
    """
    how: dict[str, Any] = {"gates": "igfo", "forget_bias": 1.0, "recurrent_activation": "sigmoid",
           "activation": "tanh", "bias": "once", "rows": "xh"} | truth  # fmt: skip
    if how.get("layout") == "time":
        rest = {k: v for k, v in truth.items() if k != "layout"}
        turned = outputs(net, x.swapaxes(0, 1), rest, state, dtype)
        return {name: a.swapaxes(0, 1) for name, a in turned.items()}
    H = net.units
    I = x.shape[2]
    turned_blocks = how.get("transposed", "none")
    whole = net.kernel
    if (
        turned_blocks == "reshaped_both" and net.recurrent_bias is None
    ):  # one matrix, one reshape
        whole = whole.reshape(4 * H, -1).T
    P = net.outputs
    K, R = (whole[:I], whole[I:]) if how["rows"] == "xh" else (whole[P:], whole[:P])
    if net.recurrent_bias is not None:  # kept as (4H, I) and (4H, H)
        if turned_blocks in ("reshaped_kernel", "reshaped_both"):
            K = np.ascontiguousarray(K.T).reshape(I, 4 * H)
        if turned_blocks in ("reshaped_recurrent", "reshaped_both"):
            R = np.ascontiguousarray(R.T).reshape(H, 4 * H)
    inter = bool(how.get("interleaved"))
    k = gates_of(K, how.get("kernel_gates", how["gates"]), inter)
    r = gates_of(R, how.get("recurrent_gates", how["gates"]), inter)
    if turned_blocks in ("kernel", "both"):
        k = {gate: np.ascontiguousarray(m).reshape(H, -1).T for gate, m in k.items()}
    if turned_blocks in ("recurrent", "both"):
        r = {gate: m.T for gate, m in r.items()}
    b = gates_of(
        biases(net, how["bias"])[None], how.get("bias_gates", how["gates"]), inter
    )
    weights = [
        {g: np.asfortranarray(m, dtype) for g, m in d.items()} for d in (k, r, b)
    ]
    x = x.astype(dtype)
    if how.get("reverse"):
        x = x[:, ::-1]
    rows = [_row(x_row, weights, net, how, state and (state[0][n], state[1][n]), dtype)
            for n, x_row in enumerate(x)]  # fmt: skip
    arrays = {name: np.array([row[name] for row in rows]) for name in "hcifgoz"}
    if bool(how.get("reverse")) != bool(how.get("flip_output")):
        arrays = {name: a[:, ::-1] for name, a in arrays.items()}
    return arrays


def biases(net: Net, times: str) -> Array:
    other = (
        np.zeros_like(net.bias) if net.recurrent_bias is None else net.recurrent_bias
    )
    return {
        "once": net.bias + other,
        "twice": 2 * (net.bias + other),
        "none": 0 * net.bias,
        "input_only": net.bias,
        "recurrent_only": other,
        "input_twice": net.bias + net.bias,
        "recurrent_twice": other + other,
    }[times]


def _row(
    x: Array,
    weights: list[dict[str, Array]],
    net: Net,
    how: dict[str, Any],
    state: Any,
    dtype: Any,
) -> dict[str, list[Array]]:
    """One row x (T, I), step by step."""
    k, r, b = weights
    gate, cell = activation(how["recurrent_activation"]), activation(how["activation"])
    out = activation(how.get("output_activation", how["activation"]))
    spoil: Spoil = how.get("spoil", lambda _name, value, _z, _x: value)
    number = np.dtype(dtype).type
    zero = np.zeros(net.outputs, dtype), np.zeros(net.units, dtype)
    h, c = zero if state is None or how.get("initial_state") == "zero" else state
    if how.get("initial_state") == "swapped":
        h, c = c, h
    h, c = h.astype(dtype), c.astype(dtype)
    p = None
    if net.peepholes is not None and how.get("peepholes") != "ignored":
        p = dict(zip("ifo", net.peepholes.astype(dtype), strict=True))
    kept: dict[str, list[Array]] = {name: [] for name in "hcifgoz"}
    for x_t in x:
        z = {
            g: (x_t[::-1] @ k[g][::-1] + h[::-1] @ r[g][::-1]) + b[g][0] for g in "ifgo"
        }
        z["f"] = z["f"] + number(how["forget_bias"])
        if p:
            z["i"], z["f"] = z["i"] + p["i"] * c, z["f"] + p["f"] * c
            if how.get("peepholes") == "old_c":
                z["o"] = z["o"] + p["o"] * c
        bound = how.get("gate_clip")
        if bound is not None:
            z = {g: np.clip(v, -number(bound), number(bound)) for g, v in z.items()}
        i, f, g = gate(z["i"]), gate(z["f"]), cell(z["g"])
        i, f, g = spoil("i", i, z, x_t), spoil("f", f, z, x_t), spoil("g", g, z, x_t)
        if how.get("coupled") == "f=1-i":
            f = 1 - i
        if how.get("coupled") == "i=1-f":
            i = 1 - f
        c = spoil("c", f * c + i * g, z, x_t)
        if how.get("cell_clip") is not None:
            c = np.clip(c, -number(how["cell_clip"]), number(how["cell_clip"]))
        if p and how.get("peepholes") != "old_c":
            z["o"] = z["o"] + p["o"] * c
        o = spoil("o", gate(z["o"]), z, x_t)
        h = spoil("h", o * out(c), z, x_t)
        h = projected(h, net, how.get("projection_clip"), number)
        stacked = np.concatenate([z[gate] for gate in "ifgo"])
        for name, value in zip("hcifgoz", (h, c, i, f, g, o, stacked), strict=True):
            kept[name].append(value)
        if how.get("state") == "reset":
            h, c = zero
    return kept


def projected(h: Array, net: Net, bound: float | None, number: Any) -> Array:
    """The h that is given back: projected, shifted and clipped, if it is."""
    if net.projection is not None:
        h = h @ net.projection.astype(number)
    if net.projection_bias is not None:
        h = h + net.projection_bias.astype(number)
    return h if bound is None else np.clip(h, -number(bound), number(bound))
