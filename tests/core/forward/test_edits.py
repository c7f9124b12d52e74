"""Edits against a small loop written here, with each mistake in it: a row a kind of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.forward.run import ChunkRun
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.edits import EDITS
from lstmcli.core.model.model import Inputs
from tests.core.forward.test_head_edits import EACH

T, B, N, H = 7, 2, 3, 3  # as many inputs as units: matrices can be exchanged
RNG = np.random.default_rng(38)
X = RNG.normal(size=(T, B, N))
Weights = dict[str, Array]


def random_weights(inputs: int = N, units: int = H) -> Weights:
    """K (4, I, H), R (4, H, H), b (4, H) in the order i, f, g, o."""
    shapes = {"K": (4, inputs, units), "R": (4, units, units), "b": (4, units)}
    return {name: RNG.normal(size=shape) * 0.7 for name, shape in shapes.items()}


W, W2 = random_weights(), random_weights()


def s(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def lstm(
    x: Array = X,
    w: Mapping[str, Array] = W,
    *,
    h: Any = 0.0,
    c: Any = 0.0,
    gate: Mapping[str, Callable[[Array], Array]] | None = None,
    norm: Callable[[Array], Array] = lambda z: z,
    c_of: Callable[..., Array] = lambda f, c, i, g: f * c + i * g,
    h_of: Callable[..., Array] = lambda o, new, c, t: o * t(new),
    tanh_c: Callable[[Array], Array] = np.tanh,
    keep: Callable[..., Any] = lambda h, c, old_h, old_c: (h, c),
    carry: Callable[..., Any] = lambda h, c: (h, c),
) -> Any:
    """The h and z of all steps, (T, B, ...), and the last c, with room for mistakes."""
    f: dict[str, Any] = {"i": s, "f": s, "g": np.tanh, "o": s, **(gate or {})}
    h, c = (np.broadcast_to(a, (x.shape[1], w["b"].shape[1])) for a in (h, c))
    out, zs = [], []
    for t, x_t in enumerate(x):
        if t:
            h, c = carry(h, c)
        z = [norm(x_t @ w["K"][k] + h @ w["R"][k] + w["b"][k]) for k in range(4)]
        i, forget, g, o = (f[name](z[k]) for k, name in enumerate("ifgo"))
        new = c_of(forget, c, i, g)
        h, c = keep(h_of(o, new, c, tanh_c), new, h, c)
        out.append(h)
        zs.append(np.concatenate(z, axis=1))
    return SimpleNamespace(h=np.array(out), z=np.array(zs), c=c)


def tensors(*layers: Mapping[str, Array]) -> Weights:
    """Weights as PyTorch stores them: (4H, I), rows by gates."""
    found: Weights = {}
    for n, w in enumerate(layers):
        found[f"weight_ih_l{n}"] = (
            w["K"].transpose(0, 2, 1).reshape(-1, w["K"].shape[1])
        )
        found[f"weight_hh_l{n}"] = (
            w["R"].transpose(0, 2, 1).reshape(-1, w["R"].shape[1])
        )
        found[f"bias_ih_l{n}"] = w["b"].reshape(-1)
        found[f"bias_hh_l{n}"] = np.zeros(w["b"].size)
    return found


def changed(**changes: Callable[[Array], Any]) -> Weights:
    """The weights with some changed in place, or by what a function gives."""
    w = {name: array.copy() for name, array in W.items()}
    for name, change in changes.items():
        if (array := change(w[name])) is not None:
            w[name] = array
    return w


def put(*at: Any, value: Any) -> Callable[[Array], None]:
    def change(array: Array) -> None:
        array[at] = value(array) if callable(value) else value

    return change


def stored(change: Callable[[Array], Array], bias: bool = True) -> Weights:
    """Weights whose tensors, as they are stored, are changed."""
    return {n: change(a) if bias or n != "b" else a for n, a in W.items()}


def late(n: int) -> Array:
    return np.concatenate([np.zeros((n, B, N)), X[:-n]])


def noted(function: Callable[[Array], Array]) -> dict[str, Any]:
    """The same function as tanh of g and of c."""
    return {"gate": {"g": function}, "tanh_c": function}


def int8(a: Array, axis: Any) -> Any:
    scale = np.abs(a).max(axis=axis, keepdims=True) / 127
    return np.round(a / scale) * scale


def one_by_one() -> Array:
    """Each sequence from the end of the one before."""
    h, c, out = np.zeros((1, H)), np.zeros((1, H)), []
    for b in range(B):
        run = lstm(X[:, [b]], h=h, c=c)
        h, c = run.h[-1], run.c
        out.append(run.h)
    return np.concatenate(out, axis=1)


def anew(*starts: int, parts: str = "hc") -> Array:
    """The initial h, c or both again at some steps."""
    h, c, out = np.zeros((B, H)), np.zeros((B, H)), []
    for first, end in zip((0, *starts), (*starts, T), strict=True):
        run = lstm(X[first:end], h=h, c=c)
        h, c = run.h[-1] * ("h" not in parts), run.c * ("c" not in parts)
        out.append(run.h)
    return np.concatenate(out)


def with_bias_times(gate: int, factor: float) -> Any:
    return lstm(w=changed(b=put(gate, value=lambda b: factor * b[gate]))).h


def without_gate(gate: str) -> Any:
    return lstm(gate={gate: np.ones_like}).h


def hard(x: Array) -> Array:
    return np.clip(x, -1, 1)


def lambert(x: Array) -> Any:
    return np.clip(x * (27 + x**2) / (27 + 9 * x**2), -1, 1)


def half_lambert(x: Array) -> Any:
    return 0.5 * lambert(x / 2) + 0.5


def table_tanh(x: Array) -> Any:
    grid = np.linspace(-8, 8, 256)
    nearest = np.abs(x[..., None] - grid).argmin(axis=-1)
    return np.tanh(grid)[nearest]


def cut_tanh(x: Array) -> Any:
    values = np.tanh(np.arange(128) / 16 - 4)
    at = np.clip(((x + 4) * 16).astype(int), 0, 127)
    return np.where(np.abs(x) >= 4, np.sign(x), values[at])


def fast_exp(x: Array) -> Any:
    bits = x.astype(np.float32) * np.float32(12102203.161561485) + np.float32(
        1064866805.0
    )
    return bits.astype(np.int32).view(np.float32).astype(float)


def nam(x: Array) -> Any:
    """As `fast_tanh` of NAM/activations.h."""
    a, x2 = np.abs(x), x * x
    return (
        x
        * (2.45550750702956 + 2.45550750702956 * a
           + (0.893229853513558 + 0.821226666969744 * a) * x2)
        / (2.44506634652299 + (2.44506634652299 + x2) * np.abs(x + 0.814642734961073 * x * a))
    )  # fmt: skip


def leaky(z: Array) -> Any:
    return np.where(z > 0, z, z / 100)


def half_table(limit: float) -> Callable[[Array], Any]:
    """Tanh by 512 values, a line between two."""
    grid = np.linspace(-limit, limit, 512)
    return lambda x: np.interp(x, grid, np.tanh(grid))


def table_sigmoid(x: Array) -> Any:
    grid = np.linspace(-8, 8, 512)
    return np.interp(x, grid, s(grid))


def in_place() -> Array:
    """One array h, which each unit writes and the later ones read."""
    out = np.zeros((T, B, H))
    for b in range(B):
        h, c = np.zeros(H), np.zeros(H)
        for t in range(T):
            for u in range(H):
                z = [X[t, b] @ W["K"][k, :, u] + h @ W["R"][k, :, u] + W["b"][k, u]
                     for k in range(4)]  # fmt: skip
                c[u] = s(z[1]) * c[u] + s(z[0]) * np.tanh(z[2])
                h[u] = s(z[3]) * np.tanh(c[u])
            out[t, b] = h
    return out


def computed(count: int) -> Callable[..., Any]:
    """The first units; the others keep what was there, 0."""
    is_computed = np.arange(H) < count
    return lambda h, c, p, q: (h * is_computed, c * is_computed)


def wrapped(c: Array, bound: float) -> Array:
    while (np.abs(c) > bound).any():
        c = np.where(c >= bound, c - 2 * bound, np.where(c < -bound, c + 2 * bound, c))
    return c


def mean_of_last(count: int) -> Array:
    return np.array([X[max(0, t + 1 - count) : t + 1].mean(axis=0) for t in range(T)])


zeros = np.zeros((1, B, N))
standard = (X - X.mean((0, 1))) / X.std((0, 1))
GATE = {"i": 0, "f": 1, "g": 2, "o": 3}

ROWS: dict[str, Callable[[], Array]] = {
    "inputs.late=2": lambda: lstm(late(2)).h,
    "inputs.early=1": lambda: lstm(np.concatenate([X[1:], zeros])).h,
    "inputs.rolled=1": lambda: lstm(np.concatenate([X[-1:], X[:-1]])).h,
    "inputs.skipped=2": lambda: lstm(X[2:]).h,
    "inputs.padded=1": lambda: lstm(np.concatenate([zeros, X])).h,
    "inputs.features=2,0,1": lambda: lstm(X[..., [2, 0, 1]]).h,
    "inputs.dropout_scale=0.2": lambda: lstm(X / 0.8).h,
    "inputs.factor=0.5": lambda: lstm(X / 2).h,
    "inputs.offset=-1": lambda: lstm(X - 1).h,
    "inputs.factor=0.5,2,1.5": lambda: lstm(X * [0.5, 2, 1.5]).h,
    "inputs.offset=0.1,0,-0.3": lambda: lstm(X + np.array([0.1, 0, -0.3])).h,
    "inputs.normalised=standard_feature": lambda: lstm(standard).h,
    "inputs.normalised=minmax_all": lambda: lstm((X - X.min()) / (X.max() - X.min())).h,
    "inputs.normalised=variance_feature": lambda: lstm(X / X.var((0, 1))).h,
    "inputs.normalised=first_abs_sequence": lambda: lstm(X / np.abs(X[:1, :, :1])).h,
    "inputs.normalised=minus_median_all": lambda: lstm(X - np.median(X)).h,
    "inputs.step=5,4": lambda: lstm(np.concatenate([X[:5], X[4:5], X[6:]])).h,
    "inputs.decimals=1": lambda: lstm(np.round(X, 1)).h,
    "inputs.grid=0.0625": lambda: lstm(np.round(X * 16) / 16).h,
    "inputs.smoothed=3": lambda: lstm(mean_of_last(3)).h,
    "inputs.differenced": lambda: lstm(X - np.concatenate([zeros, X[:-1]])).h,
    "inputs.resampled=2": lambda: lstm(X[[0, 0, 2, 2, 4, 4, 6]]).h,
    "inputs.reshaped=time_first": lambda: lstm(X.transpose(1, 0, 2).reshape(T, B, N)).h,
    "inputs.reshaped=batch_first": lambda: lstm(X.reshape(B, T, N).transpose(1, 0, 2)).h,
    "state.start=ones": lambda: lstm(h=1, c=1).h,
    "state.start.h=0.3": lambda: lstm(h=0.3).h,
    "state.start.c=-0.5": lambda: lstm(c=-0.5).h,
    "state.zero_steps=2": lambda: lstm(np.concatenate([zeros, zeros, X])).h[2:],
    "state.previous": one_by_one,
    "state.kept": lambda: lstm(h=lstm().h[-1], c=lstm().c).h,
    "state.chunks=3": lambda: anew(*range(3, T, 3)),
    "state.chunks.h=2": lambda: anew(*range(2, T, 2), parts="h"),
    "state.chunks.c=4": lambda: anew(*range(4, T, 4), parts="c"),
    "state.anew=2,5": lambda: anew(2, 5),
    "state.anew.h=2,5": lambda: anew(2, 5, parts="h"),
    "state.anew.c=3": lambda: anew(3, parts="c"),
    "state.passed=swapped": lambda: lstm(carry=lambda h, c: (c, h)).h,
    "state.passed=c_only": lambda: lstm(carry=lambda h, c: (0 * h, c)).h,
    "state.passed=h_only": lambda: lstm(carry=lambda h, c: (h, 0 * c)).h,
    "state.passed=tanh_of_c": lambda: lstm(carry=lambda h, c: (h, np.tanh(c))).h,
    **{
        f"weights.bias.{g}={factor}": partial(with_bias_times, GATE[g], factor)
        for g in GATE
        for factor in (0, -1, 2)
    },
    "weights.block.f=i": lambda: lstm(
        w=changed(**{n: put(1, value=lambda a: a[0]) for n in W})
    ).h,
    "weights.kernel.o=0": lambda: lstm(w=changed(K=put(3, value=0))).h,
    "weights.recurrent.g=o": lambda: lstm(w=changed(R=put(2, value=lambda a: a[3]))).h,
    "weights.kernel.number=f,1,2,0.25": lambda: lstm(w=changed(K=put(1, 2, 1, value=0.25))).h,
    "weights.kernel.row=o,2,0": lambda: lstm(w=changed(K=put(3, ..., 2, value=0))).h,
    "weights.recurrent.column=1,0": lambda: lstm(w=changed(R=put(..., 1, slice(None), value=0))).h,
    "weights.recurrent.columns=0,2": lambda: lstm(w=changed(R=lambda R: R[:, [2, 1, 0]])).h,
    "weights.bias.number=g,0,0.5": lambda: lstm(w=changed(b=put(2, 0, value=0.5))).h,
    "weights.factor=0.5": lambda: lstm(w={n: a / 2 for n, a in W.items()}).h,
    "weights.recurrent.factor=0.8": lambda: lstm(w=changed(R=lambda R: 0.8 * R)).h,
    "weights.added.o=1": lambda: lstm(w=changed(b=put(3, value=lambda b: b[3] + 1))).h,
    "weights.exchanged": lambda: lstm(w={"K": W["R"], "R": W["K"], "b": W["b"]}).h,
    "weights.int8=tensor": lambda: lstm(w=stored(lambda a: int8(a, None), bias=False)).h,
    "weights.int8=gate": lambda: lstm(w=stored(lambda a: int8(a, (1, 2)), bias=False)).h,
    "weights.int8=row": lambda: lstm(w=stored(lambda a: int8(a, 1), bias=False)).h,
    "weights.fixed=4": lambda: lstm(w=stored(lambda a: np.round(a * 16) / 16)).h,
    "weights.decimals=2": lambda: lstm(w=stored(lambda a: np.round(a, 2))).h,
    "equations.h=old_c": lambda: lstm(h_of=lambda o, new, c, t: o * t(c)).h,
    "equations.h=tanh_of_oc": lambda: lstm(h_of=lambda o, new, c, t: t(o * new)).h,
    "equations.h=o": lambda: lstm(h_of=lambda o, new, c, t: o).h,
    "equations.c=i_of_all": lambda: lstm(c_of=lambda f, c, i, g: i * (f * c + g)).h,
    "equations.c=tanh": lambda: lstm(c_of=lambda f, c, i, g: np.tanh(f * c + i * g)).h,
    **{f"equations.sigmoid.{g}=one": partial(without_gate, g) for g in "ifo"},
    "equations.sigmoid.i=identity": lambda: lstm(gate={"i": lambda z: z}).h,
    "equations.sigmoid.o=twice": lambda: lstm(gate={"o": lambda z: s(s(z))}).h,
    "equations.after.f=1": lambda: lstm(gate={"f": lambda z: s(z) + 1}).h,
    "equations.after.g=0.3": lambda: lstm(gate={"g": lambda z: np.tanh(z) + 0.3}).h,
    "equations.approximated=lambert": lambda: lstm(
        gate={"g": lambert, **dict.fromkeys("ifo", half_lambert)}, tanh_c=lambert
    ).h,
    "equations.tanh=hard": lambda: lstm(**noted(hard)).h,
    "equations.tanh=softsign": lambda: lstm(**noted(lambda x: x / (1 + np.abs(x)))).h,
    "equations.tanh=table_256_8": lambda: lstm(**noted(table_tanh)).h,
    "equations.approximated=table_128_4_cut": lambda: lstm(
        gate={"g": cut_tanh, **dict.fromkeys("ifo", lambda z: 0.5 + 0.5 * cut_tanh(z / 2))},
        tanh_c=cut_tanh,
    ).h,
    "equations.sigmoid=fast_exp": lambda: lstm(
        gate=dict.fromkeys("ifo", lambda z: 1 / (1 + fast_exp(-z)))
    ).h,
    "equations.approximated=nam": lambda: lstm(
        gate={"g": nam, **dict.fromkeys("ifo", lambda z: (nam(z / 2) + 1) / 2)}, tanh_c=nam
    ).h,
    "equations.approximated=table_512_8_half_linear": lambda: lstm(
        gate={"g": half_table(4), **dict.fromkeys("ifo", table_sigmoid)}, tanh_c=half_table(4)
    ).h,
    "equations.tanh.g=swish": lambda: lstm(gate={"g": lambda z: z * s(z)}).h,
    "equations.tanh.g=leaky_relu": lambda: lstm(gate={"g": leaky}).h,
    "equations.tanh.g=erf": lambda: lstm(gate={"g": np.vectorize(math.erf)}).h,
    "equations.order=in_place": in_place,
    "equations.c_wrap=0.5": lambda: lstm(
        c_of=lambda f, c, i, g: wrapped(f * c + i * g, 0.5)).h,
    "equations.c_top=0.2": lambda: lstm(c_of=lambda f, c, i, g: np.minimum(f * c + i * g, 0.2)).h,
    "equations.c_bottom=0.2": lambda: lstm(
        c_of=lambda f, c, i, g: np.maximum(f * c + i * g, -0.2)).h,
    "equations.h_wrap=0.2": lambda: lstm(keep=lambda h, c, p, q: (wrapped(h, 0.2), c)).h,
    "equations.h_top=0.1": lambda: lstm(keep=lambda h, c, p, q: (np.minimum(h, 0.1), c)).h,
    "equations.h_bottom=0.1": lambda: lstm(keep=lambda h, c, p, q: (np.maximum(h, -0.1), c)).h,
    "equations.clip.o=0.5": lambda: lstm(gate={"o": lambda z: s(np.clip(z, -0.5, 0.5))}).h,
    "equations.clip.g=0.5": lambda: lstm(gate={"g": lambda z: np.tanh(np.clip(z, -0.5, 0.5))}).h,
    "units.computed=2": lambda: lstm(keep=computed(2)).h,
    "equations.tanh.g=twice": lambda: lstm(gate={"g": lambda z: np.tanh(np.tanh(z))}).h,
    "equations.tanh.c=hard": lambda: lstm(tanh_c=hard).h,
    "equations.sigmoid_slope=1.7": lambda: lstm(gate=dict.fromkeys("ifo", lambda z: s(1.7 * z))).h,
    "equations.tanh_slope=0.5": lambda: lstm(**noted(lambda x: np.tanh(x / 2))).h,
    "equations.layer_norm=0.001": lambda: lstm(
        norm=lambda z: (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-3)
    ).h,
    "equations.zoneout=0.2": lambda: lstm(
        keep=lambda h, c, p, q: (0.8 * h + 0.2 * p, 0.8 * c + 0.2 * q)
    ).h,
    "equations.zoneout.h=0.2": lambda: lstm(keep=lambda h, c, p, q: (0.8 * h + 0.2 * p, c)).h,
    "equations.zoneout.c=0.2": lambda: lstm(keep=lambda h, c, p, q: (h, 0.8 * c + 0.2 * q)).h,
    "equations.h_clip=0.2": lambda: lstm(keep=lambda h, c, p, q: (np.clip(h, -0.2, 0.2), c)).h,
    "outputs.residual": lambda: lstm().h + X,
    "outputs.z": lambda: lstm().z,
    "outputs.applied=relu": lambda: np.maximum(lstm().h, 0),
    "outputs.factor=-2": lambda: -2 * lstm().h,
    "outputs.normalised=range_feature": lambda: lstm().h / np.ptp(lstm().h, axis=(0, 1)),
    "outputs.clip=0.1": lambda: np.clip(lstm().h, -0.1, 0.1),
}  # fmt: skip


@pytest.mark.parametrize("text", ROWS)
def test_an_edit_is_what_a_program_with_that_mistake_gives(text: str) -> None:
    trace = lstmcli.run(tensors(W), X, "h", layout="time", edits=[text])
    np.testing.assert_allclose(trace.h, ROWS[text](), atol=1e-12, rtol=0)
    assert trace.settings["edits"] == [text]


DEEP = tensors(W, W2)
HALF = RNG.normal(size=4 * H)
TWO_BIASES = tensors(W)
TWO_BIASES["bias_ih_l0"] = TWO_BIASES["bias_ih_l0"] - HALF
TWO_BIASES["bias_hh_l0"] = HALF
"""The same weights, their bias in two parts, each with further digits."""


def read_by_rows(R: Array) -> Any:
    """R (4, H, H) where a program reads the (4H, H) that is stored as an (H, 4H)."""
    rows = R.transpose(0, 2, 1).reshape(4 * H, H)
    return rows.reshape(H, 4, H).swapaxes(0, 1)


def second(w: Mapping[str, Array] = W2, **how: Any) -> Any:
    return lstm(lstm().h, w, **how).h


def backward(w: Mapping[str, Array]) -> Any:
    return lstm(X[::-1], w).h[::-1]


NETWORKS: dict[str, tuple[Weights, Callable[[], Array]]] = {
    "layer0.weights.bias.o=0": (DEEP, lambda: lstm(
        lstm(w=changed(b=put(3, value=0))).h, W2).h),
    "layer1.equations.h=tanh_of_oc": (DEEP, lambda: second(h_of=lambda o, new, c, t: t(o * new))),
    "layer1.state.start=0.5": (DEEP, lambda: second(h=0.5, c=0.5)),
    "layer0.outputs.applied=relu": (DEEP, lambda: lstm(np.maximum(lstm().h, 0), W2).h),
    "outputs.residual": (DEEP, lambda: second() + lstm().h),
    "weights.layers=1,0": (DEEP, lambda: lstm(lstm(w=W2).h, W).h),
    "weights.layers=0,0": (DEEP, lambda: second(W)),
    "weights.directions=forward": (
        tensors(W) | {f"{k}_reverse": a for k, a in tensors(W2).items()},
        lambda: np.concatenate([lstm().h, backward(W)], axis=2),
    ),
    "layer0_reverse.weights.bias.i=0": (
        tensors(W2) | {f"{k}_reverse": a for k, a in tensors(W).items()},
        lambda: np.concatenate([lstm(w=W2).h, backward(changed(b=put(0, value=0)))], axis=2),
    ),
    "weights.fixed.summed=4": (
        TWO_BIASES, lambda: lstm(w=stored(lambda a: np.round(a * 16) / 16)).h),
    "weights.decimals.summed=2": (TWO_BIASES, lambda: lstm(w=stored(lambda a: np.round(a, 2))).h),
    "weights.int8.summed=gate_with_bias": (TWO_BIASES, lambda: lstm(w={
        n: int8(a, tuple(range(1, a.ndim))) for n, a in W.items()}).h),
    "weights.reshaped=recurrent": (tensors(W), lambda: lstm(w=changed(R=read_by_rows)).h),
    "weights.projection=transposed": (
        tensors(W) | {"weight_hr_l0": W2["R"][0]},
        lambda: lstm(h_of=lambda o, new, c, t: (o * t(new)) @ W2["R"][0]).h,
    ),
    "weights.projection=none": (tensors(W) | {"weight_hr_l0": W2["R"][0]}, lambda: lstm().h),
}  # fmt: skip


@pytest.mark.parametrize("text", NETWORKS)
def test_an_edit_of_one_cell_or_of_a_network(text: str) -> None:
    weights, expected = NETWORKS[text]
    trace = lstmcli.run(weights, X, "h", layout="time", edits=[text])
    np.testing.assert_allclose(trace.h, expected(), atol=1e-12, rtol=0)


@pytest.mark.parametrize("merge", ["sum", "stack"])
def test_directions_of_two_widths_are_not_merged(merge: str) -> None:
    both = tensors(W) | {f"{k}_reverse": a for k, a in tensors(W2).items()}
    with pytest.raises(lstmcli.UserError, match=f"merge {merge} needs as many of both"):
        lstmcli.run(both, X, "h", layout="time", merge=merge, edits="layer0.outputs.z")


@pytest.mark.parametrize("lengths", [None, [4, 5]])
def test_padding_at_the_end_is_moved_to_the_front(lengths: list[int] | None) -> None:
    x, masked = X[:, :2].copy(), np.zeros((len(X), 2, H))
    x[4:, 0] = x[5:, 1] = 0
    moved = np.stack([np.roll(x[:, 0], 3, 0), np.roll(x[:, 1], 2, 0)], axis=1)
    for n, length in enumerate((4, 5)):
        masked[-length:, n] = lstm(x[:length, [n]]).h[:, 0]
    for value, expected in (("", lstm(moved).h), ("=masked", masked)):
        edit = f"inputs.padding_first{value}"
        trace = lstmcli.run(
            tensors(W), x, "h", layout="time", lengths=lengths, edits=edit
        )
        np.testing.assert_allclose(trace.h, expected, atol=1e-12)


def test_a_hole_in_a_mask_is_no_padding_and_padding_is_moved_first() -> None:
    x, valid = X[:7, :1], np.array([1, 0, 1, 1, 1, 0, 0], bool)
    expected = np.zeros((7, 1, H))
    expected[np.roll(valid, 2)] = lstm(x[valid]).h
    given: dict[str, Any] = {"layout": "time", "mask": valid[:, None]}
    edits = ["inputs.padding_first=masked", "state.kept"]
    trace = lstmcli.run(tensors(W), x, "h", **given, edits=edits[:1])
    np.testing.assert_allclose(trace.h, expected, atol=1e-12)
    one, other = (
        lstmcli.run(tensors(W), x, "h", **given, edits=e) for e in (edits, edits[::-1])
    )
    np.testing.assert_array_equal(one.h, other.h)


def test_the_epsilon_of_a_stored_layer_norm() -> None:
    # TF1's LayerNormBasicLSTMCell: each gate over its units, beta and gamma of 0 and 1; no bias
    K = np.concatenate([W["K"], W["R"]], axis=1)[[0, 2, 1, 3]]
    scope = "rnn/layer_norm_basic_lstm_cell"
    w: dict[str, Array] = {f"{scope}/kernel": K.transpose(1, 0, 2).reshape(N + H, -1)}
    for name in ("input", "transform", "forget", "output", "state"):
        w |= {f"{scope}/{name}/gamma": np.ones(H), f"{scope}/{name}/beta": np.zeros(H)}

    def norm(z: Array) -> Any:
        return (z - z.mean(-1, keepdims=True)) / np.sqrt(z.var(-1, keepdims=True) + 0.1)

    gate = {"f": lambda z: s(z + 1)}
    w0 = {**W, "b": 0 * W["b"]}
    expected = lstm(
        w=w0, norm=norm, gate=gate, c_of=lambda f, c, i, g: norm(f * c + i * g)
    ).h
    trace = lstmcli.run(w, X, "h", layout="time", edits=["equations.epsilon=0.1"])
    np.testing.assert_allclose(trace.h, expected, atol=1e-12)


def test_the_argument_of_the_sigmoid_is_clamped() -> None:
    x = 6 * X  # so that some are beyond 5
    expected = lstm(x, gate=dict.fromkeys("ifo", lambda z: s(np.clip(z, -5, 5)))).h
    edit = "equations.sigmoid=clamped_5"
    trace = lstmcli.run(tensors(W), x, "h", layout="time", edits=[edit])
    np.testing.assert_allclose(trace.h, expected, atol=1e-12)
    assert np.abs(trace.h - lstm(x).h).max() > 1e-4


PEEPHOLE_O = {
    "after": lambda z, p, new: (s(z) + p * new) * np.tanh(new),
    "in_tanh": lambda z, p, new: s(z) * np.tanh(new + p * new),
}


@pytest.mark.parametrize("place", PEEPHOLE_O)
def test_the_peephole_of_o_is_added_elsewhere(place: str) -> None:
    # TF1's LSTMCell: gates i g f o, and 1 is added to f
    K = np.concatenate([W["K"], W["R"]], axis=1)[[0, 2, 1, 3]]
    scope, p = "rnn/lstm_cell", RNG.normal(size=(3, H))
    w: Weights = {f"{scope}/kernel": K.transpose(1, 0, 2).reshape(N + H, -1)}
    w[f"{scope}/bias"] = W["b"][[0, 2, 1, 3]].ravel()
    for name, row in zip("ifo", p, strict=True):
        w[f"{scope}/w_{name}_diag"] = row
    h, c, out = np.zeros((B, H)), np.zeros((B, H)), []
    for x in X:
        z = [x @ W["K"][k] + h @ W["R"][k] + W["b"][k] for k in range(4)]
        i, f = s(z[0] + p[0] * c), s(z[1] + 1 + p[1] * c)
        c = f * c + i * np.tanh(z[2])
        h = PEEPHOLE_O[place](z[3], p[2], c)
        out.append(h)
    edit = f"equations.peephole_o={place}"
    trace = lstmcli.run(w, X, "h", layout="time", edits=[edit])
    np.testing.assert_allclose(trace.h, out, atol=1e-12)
    line = lstmcli.derive(w, X, 3, 1, layout="time", edits=[edit]).line("h")
    np.testing.assert_allclose(line.value, out[3][0, 1], atol=1e-12)
    with pytest.raises(lstmcli.UserError, match="has no peepholes"):
        lstmcli.run(tensors(W), X, edits=[edit])
    with pytest.raises(lstmcli.UserError, match="not run unit by unit"):
        lstmcli.run(w, X, edits=["equations.order=in_place"])


FILES: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any]], Any]]] = {
    "state.array": ({"h": X[0], "c": X[1]}, lambda a: lstm(h=a["h"], c=a["c"]).h),
    "outputs.mask": ({"mask": (X > 0) * 2.0}, lambda a: lstm().h * a["mask"]),
    "outputs.dense": (
        {"weights": W["K"].reshape(-1, 4)[:H], "bias": np.arange(4.0)},
        lambda a: lstm().h @ a["weights"] + a["bias"],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_an_edit_of_many_numbers_takes_a_file(name: str, tmp_path: Path) -> None:
    arrays, expected = FILES[name]
    np.savez(tmp_path / "numbers.npz", **arrays)
    text = f"{name}=@{tmp_path / 'numbers.npz'}"
    trace = lstmcli.run(tensors(W), X, "h", layout="time", edits=[text])
    np.testing.assert_allclose(trace.h, expected(arrays), atol=1e-12)
    assert trace.settings["edits"] == [text]


OF_SCHEDULE = "repeated", "held", "inserted", "skipped"
"""Edits of the state that `test_schedules` has."""


def test_every_kind_of_the_table_is_looked_at_here() -> None:
    of_head = {text.partition("=")[0] for text in EACH}
    elsewhere = {
        "inputs.padding_first",
        "equations.epsilon",
        "equations.peephole_o",
        *FILES,
        *of_head,
    }
    elsewhere.add("head.softmax")
    elsewhere |= {f"state.{name}" for name in OF_SCHEDULE}
    elsewhere.add("outputs.layer_norm")  # with those of layers in `test_layers`
    elsewhere |= {name for name in EDITS if name.startswith("layers.")}
    texts = {text.partition("=")[0].split("layer1.")[-1] for text in (*ROWS, *NETWORKS)}
    alike = {
        name for name in EDITS if any(name[:-1] == text[:-1] for text in texts)
    }  # gates
    parts = {"kernel", "recurrent", "bias", "block"}
    families = {tuple(p for p in t.split(".") if p not in parts) for t in texts | alike}
    missing = [
        n
        for n in EDITS
        if tuple(p for p in n.split(".") if p not in parts) not in families
    ]
    assert set(missing) <= elsewhere


# ---- how edits are given, and where they cannot be


def test_a_model_keeps_its_edits_and_takes_further_ones() -> None:
    model = lstmcli.load(tensors(W), edits=["inputs.factor=0.5"])
    trace = lstmcli.run(model, X, layout="time", edits=["weights.bias.o=0"])
    expected = lstm(X / 2, changed(b=put(3, value=0)))
    np.testing.assert_allclose(trace.h, expected.h, atol=1e-12)
    np.testing.assert_allclose(trace.final_c, expected.c, atol=1e-12)
    assert "edit inputs.factor=0.5" in repr(model)


def test_two_edits_of_a_step_are_applied_together() -> None:
    edits = [
        "equations.zoneout.h=0.2",
        "state.passed=h_only",
        "equations.sigmoid.i=one",
    ]
    expected = lstm(
        gate={"i": np.ones_like},
        keep=lambda h, c, p, q: (0.8 * h + 0.2 * p, c),
        carry=lambda h, c: (h, 0 * c),
    )
    trace = lstmcli.run(tensors(W), X, layout="time", edits=edits)
    np.testing.assert_allclose(trace.h, expected.h, atol=1e-12)


def test_the_state_is_what_the_cell_has_and_not_its_edited_output() -> None:
    trace = lstmcli.run(
        tensors(W), X, layout="time", edits=["outputs.factor=2"], lengths=[7, 4]
    )
    plain = lstmcli.run(tensors(W), X, layout="time", lengths=[7, 4])
    np.testing.assert_array_equal(trace.final_h, plain.final_h)
    np.testing.assert_array_equal(trace.h, 2 * plain.h)


def test_runs_in_processes_and_in_pieces_have_the_same_bits(tmp_path: Path) -> None:
    x = RNG.normal(size=(900, 3, N))
    edits = [
        "equations.zoneout=0.1",
        "outputs.residual",
        "state.chunks.c=7",
        "inputs.factor=2",
    ]
    model = lstmcli.load(tensors(W), edits=edits)
    whole = lstmcli.run(model, x, layout="time")
    with ProcessPoolExecutor(1) as pool:
        apart = lstmcli.run(model, x, layout="time", executor=pool)
    np.testing.assert_array_equal(whole.h, apart.h)
    plan = prepare(model, Inputs(x, "time"), ("h", "c"))
    run = ChunkRun(plan.chunk())
    pieces = [
        run.advance(plan.block(slice(n, n + 100)), ("h",))["h"]
        for n in range(0, 900, 100)
    ]
    np.testing.assert_array_equal(np.concatenate(pieces), whole.h)


REFUSED = {
    "inputs.lat=1": "unknown edit .inputs.lat.. Did you mean 'inputs.late'",
    "inputs.late=0": "takes an integer from 1 on",
    "inputs.late=9": "it does not fit inputs of shape .7, 2, 3. .steps, batch",
    "inputs.features=1": "it does not fit inputs of shape .7, 2, 3. .steps, batch",
    "inputs.features=0,1,1": "it does not fit inputs of shape .7, 2, 3. .steps, batch",
    "equations.h=oc": "takes old_c, tanh_of_oc",
    "weights.bias.o=x": "takes a factor, or another gate: i, f, g",
    "weights.kernel.row=f,9,0": "it does not fit a cell that takes 3 inputs and has 3 units",
    "outputs.residual=2": "takes no value",
    "layer0.inputs.late=1": "inputs.late is an edit of the model, not of layer0",
    "layer3.weights.bias.o=0": "there is no such cell; there is layer0",
    "weights.projection=none": "the cell has no projection",
    "equations.epsilon=0.1": "the cell has no layer normalisation",
    "equations.zoneout=2": "takes a number between 0 and 1",
    "state.array=1": "takes a file with h and c: @FILE.npz",
    "equations.tanh=eigne": "takes hard, twice, sigmoid, .*Did you mean 'eigen'",
    "equations.tanh=\x1b[1m": r"\\x1b",
}


@pytest.mark.parametrize("text", REFUSED)
def test_edits_that_do_not_fit_are_reported(text: str) -> None:
    with pytest.raises(lstmcli.UserError, match=REFUSED[text]):
        lstmcli.run(tensors(W), X, layout="time", edits=[text])


def test_edits_of_stored_tensors_are_refused_of_a_loaded_model() -> None:
    with pytest.raises(lstmcli.UserError, match="a loaded model has no stored tensors"):
        lstmcli.run(lstmcli.load(tensors(W)), X, edits=["weights.int8=tensor"])
    with pytest.raises(lstmcli.UserError, match="given twice"):
        lstmcli.load(tensors(W), edits=["inputs.late=1", "inputs.late=2"])
    with pytest.raises(lstmcli.UserError, match="edits has an int"):
        lstmcli.load(tensors(W), edits=3)


def test_a_number_of_steps_that_lengths_do_not_fit_is_refused() -> None:
    with pytest.raises(lstmcli.UserError, match="7 steps become 5, which lengths"):
        lstmcli.run(
            tensors(W), X, layout="time", edits=["inputs.skipped=2"], lengths=[7, 4]
        )


@pytest.mark.parametrize("text", ["weights.decimals=4", "weights.int8=row"])
def test_stored_tensors_are_rounded_alike_in_every_number_type(text: str) -> None:
    """A number half way between two others is the same one: else float32 was far from float64."""
    half_way = {
        n: np.round(a, 4).astype(np.float32) + np.float32(5e-5) for n, a in W.items()
    }
    one, other = (
        lstmcli.load(tensors(half_way), dtype=dtype, edits=[text]).cell
        for dtype in ("float32", "float64")
    )
    np.testing.assert_allclose(one.kernel, other.kernel, atol=1e-6)
    np.testing.assert_allclose(one.bias, other.bias, atol=1e-6)


def test_derive_takes_edits_before_the_equations() -> None:
    edits = ["inputs.late=1", "weights.bias.o=0", "state.start=ones"]
    found = lstmcli.derive(tensors(W), X, 2, 1, layout="time", edits=edits)
    expected = lstm(late(1), changed(b=put(3, value=0)), h=1, c=1)
    np.testing.assert_allclose(found.line("h").value, expected.h[2, 0, 1], atol=1e-12)
    with pytest.raises(lstmcli.UserError, match="derive shows the equations"):
        lstmcli.derive(tensors(W), X, 2, 1, edits=["equations.h=o"])
