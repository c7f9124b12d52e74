"""Half precision: found where a run with a part rounded shows it; otherwise its size is reported.

Real runs are those of ``tests/golden/halves``; the cell below is written from the equations alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.api.explain import Explanation, explain
from lstmcli.core.model.arrays import round_to_format, spacing, to_bfloat16
from tests.core.explain.asking import Asking, found, write
from tests.core.explain.reference import outputs, random_net
from tests.paths import TESTS
from tests.recorded import held

Array = np.ndarray[Any, Any]

FOLDER = TESTS / "golden" / "halves"
CASES = sorted(path.stem for path in FOLDER.glob("*.npz"))
FORMATS = ("float16", "bfloat16")
EPS = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
RERUN, SIZE = "half_precision_run", "size_of_half_precision"


def exactly(a: Array) -> Array:
    return a


def rounder(name: str) -> Callable[[Array], Array]:
    def rounded(a: Array) -> Array:
        if name == "bfloat16":
            return to_bfloat16(a).astype(np.float64)
        return a.astype(np.float16).astype(np.float64)

    return rounded


class Net:
    """Random weights as PyTorch names them, inputs, and a cell that rounds where it is asked to."""

    def __init__(
        self, seed: int, rows: int, steps: int, inputs: int, units: int
    ) -> None:
        rng = np.random.default_rng([seed, units])

        def drawn(*shape: int, scale: float = 0.6) -> Array:
            return rng.normal(0.07, scale, shape).astype(np.float32).astype(np.float64)

        self.W = drawn(4 * units, inputs, scale=1 / np.sqrt(inputs))
        self.U = drawn(4 * units, units, scale=1 / np.sqrt(units))
        self.b, self.b_hh = drawn(4 * units), drawn(4 * units)
        self.x = drawn(rows, steps, inputs, scale=1.0)

    def run(
        self,
        weights: Callable[[Array], Array] = exactly,
        inputs: Callable[[Array], Array] = exactly,
        states: Callable[[Array], Array] = exactly,
        each: Callable[[Array], Array] = exactly,
        order: str = "ifgo",
    ) -> Array:
        """h (B, T, H)."""
        W, U, b, b_hh = (weights(a) for a in (self.W, self.U, self.b, self.b_hh))
        h = c = np.zeros((len(self.x), U.shape[1]))
        steps = []
        for x in inputs(self.x).transpose(1, 0, 2):
            z = each(each(x @ W.T + b) + each(h @ U.T + b_hh))
            blocks = dict(zip(order, np.split(z, 4, axis=1), strict=True))
            i, f, o = (each(1 / (1 + np.exp(-blocks[gate]))) for gate in "ifo")
            c = each(each(f * c) + each(i * each(np.tanh(blocks["g"]))))
            h = each(o * each(np.tanh(c)))
            steps.append(h)
            h, c = states(h), states(c)
        return np.stack(steps, 1)

    def ask(self, expected: Any, folder: Path, **assumed: Any) -> Explanation:
        return self.asking(expected, folder, **assumed).explain()

    def asking(self, expected: Any, folder: Path, **assumed: Any) -> Asking:
        path = folder / "w.npz"
        np.savez(path, **self.tensors(0))
        return Asking(str(path), self.x, expected, {"layout": "batch", **assumed})

    def tensors(self, layer: int) -> dict[str, Any]:
        held = {
            "weight_ih": self.W,
            "weight_hh": self.U,
            "bias_ih": self.b,
            "bias_hh": self.b_hh,
        }
        return {f"{name}_l{layer}": a.astype(np.float32) for name, a in held.items()}


def codes(explanation: Explanation) -> set[str]:
    return {remark.code for remark in explanation.remarks}


def check(
    explanation: Explanation, name: str, basis: str, verdict: str = "found", **more: Any
) -> None:
    assert explanation.verdict == verdict, explanation
    assert found(explanation) == {"dtype": name, **more}
    assert basis in codes(explanation), explanation.notes


# ---- real runs


def asking_pytorch(case: str, folder: Path) -> Asking:
    """The question about a real run, with the weights before they were rounded."""
    arrays: dict[str, Any] = held(f"halves/{case}")
    x, h = arrays.pop("inputs"), arrays.pop("h")
    np.savez(folder / "w.npz", **arrays)
    return Asking(str(folder / "w.npz"), x, h, {"layout": "batch"})


def test_weights_that_are_rounded_show_in_another_array(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    net, x = random_net(rng, 4, 6), rng.normal(size=(2, 9, 4)).astype(np.float32)
    half = replace(net, kernel=round_to_format(net.kernel, "float16"))
    c = outputs(replace(half, bias=round_to_format(net.bias, "float16")), x, {})["c"]
    explanation = explain(write(net, tmp_path / "w.npz", 4), x, c.astype(np.float32))
    assert found(explanation) == {"array": "c", "dtype": "float16"}


def test_other_changes_go_with_inputs_that_are_rounded_by_hand(tmp_path: Path) -> None:
    net = Net(1, 2, 9, 4, 5)
    expected = net.run(inputs=rounder("float16"), order="iofg")
    for given, dtype in (({}, "float32"), ({"dtype": "float16"}, "float64")):
        explanation = net.ask(expected, tmp_path, **given)
        check(explanation, "float16", RERUN, gates="iofg")
        by_hand = f"in the file and run with --dtype {dtype} and the other changes"
        assert any(by_hand in text for text in explanation.notes)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("order", ["ifgo", "iofg"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.sampled(4)
def test_half_precision_that_is_given_is_not_said_to_fit_values_that_it_misses(
    layers: int, order: str, name: str, tmp_path: Path
) -> None:
    net, above = Net(1, 2, 9, 4, 5), Net(2, 2, 9, 5, 5)
    expected = above.x = net.run(order=order)
    tensors = net.tensors(0)
    if layers == 2:
        expected, tensors = above.run(order=order), tensors | above.tensors(1)
    np.savez(tmp_path / "w.npz", **tensors)
    np.save(tmp_path / "x.npy", net.x.astype(np.float32))
    files = str(tmp_path / "w.npz"), str(tmp_path / "x.npy")
    expected = expected.astype(np.float32)
    explanation = explain(*files, expected, layout="batch", dtype=name)
    assert explanation.found
    assert found(explanation) == ({} if order == "ifgo" else {"gates": "iofg"})
    assert any(
        text.startswith(f"In {name} the run is up to") for text in explanation.notes
    )
    assert "--dtype float64" in explanation.command
    fine = lstmcli.run(*files, layout="batch", gates=order, dtype="float64").h
    np.testing.assert_allclose(fine, expected, 1e-5, 1e-6)
    rounded = lstmcli.run(*files, layout="batch", gates=order, dtype="float16").h
    explanation = explain(*files, rounded, layout="batch", dtype="float16", gates=order)
    assert not any("float64" in text for text in explanation.notes)
    assert "--dtype float16" in explanation.command


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("where", ["weights", "inputs"])
@pytest.mark.sampled(2)
def test_the_command_for_a_rounded_part_reproduces_it(
    where: str, name: str, tmp_path: Path
) -> None:
    """A command, or what is to be done by hand; nothing where neither gives EXPECTED."""
    net, r = Net(1, 2, 9, 4, 5), rounder(name)
    rounded: Any = {where: r}
    expected = net.run(**rounded)
    asking = net.asking(expected, tmp_path)
    explanation = asking.explain()
    said = " ".join(explanation.notes)
    with np.load(asking.weights) as held:
        weights = dict(held)
    x = net.x.astype(np.float32)
    if (where, name) == ("weights", "bfloat16"):
        assert explanation.command.endswith("--dtype bfloat16")
        trace = lstmcli.run(asking.weights, x, layout="batch", dtype="bfloat16")
    else:
        assert not explanation.command, "--dtype rounds every operation"
        by_hand = (
            f"round the {where} to {name} in the file and run with --dtype float32"
        )
        assert by_hand in said
        if where == "weights":
            weights = {k: r(a).astype(np.float32) for k, a in weights.items()}
        else:
            x = r(x).astype(np.float32)
        trace = lstmcli.run(weights, x, layout="batch", dtype="float32")
    np.testing.assert_allclose(trace.h, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "where", ["weights", pytest.param("inputs", marks=pytest.mark.wide)]
)
@pytest.mark.slow
def test_a_part_of_two_layers_that_is_rounded_is_run_again(
    where: str, name: str, tmp_path: Path
) -> None:
    lower, upper = Net(1, 2, 9, 4, 5), Net(2, 2, 9, 5, 4)
    rounded: Any = {where: rounder(name)}
    upper.x = lower.run(**rounded)
    expected = upper.run(**{k: r for k, r in rounded.items() if k != "inputs"})
    np.savez(tmp_path / "w.npz", **lower.tensors(0), **upper.tensors(1))
    for off, verdict in ((0.0, "found"), (1e-4, "none")):
        asked = (str(tmp_path / "w.npz"), lower.x, expected + off)
        explanation = lstmcli.explain(*asked, layout="batch")
        assert explanation.verdict == verdict
        assert found(explanation) == ({} if off else {"dtype": name})
        assert off or explanation.words.rows[0].setting == f"dtype of the {where}"
        assert (RERUN in codes(explanation)) == (not off)


# ---- what has the size of half precision and is something else


def spoiled(kind: str, net: Net, eps: float, rng: np.random.Generator) -> Array:
    """An h that is off by a few eps for another reason than rounding to a format."""
    size = eps * float(rng.choice([0.5, 1, 2, 4]))
    other = Net.__new__(Net)
    other.__dict__ |= {name: a.copy() for name, a in vars(net).items()}
    if kind == "noise":
        return net.run() + rng.normal(0, size / 2, net.run().shape)
    if kind == "a weight":
        other.W[rng.integers(len(net.W)), 1] += 4 * size
    if kind == "all weights":
        other.W += rng.normal(0, size / 2, net.W.shape)
        other.U += rng.normal(0, size / 2, net.U.shape)
    if kind == "a bias":
        other.b[rng.integers(len(net.b))] += 4 * size
    if kind == "scaled weights":
        other.W *= 1 + size
    if kind == "whole numbers of 8 bits":
        for matrix in (other.W, other.U):
            scale = np.abs(matrix).max() / 127
            matrix[:] = np.round(matrix / scale) * scale
    if kind == "noise on the inputs":
        other.x = net.x + rng.normal(0, size / 2, net.x.shape)
    if kind == "an offset":
        return net.run() + size
    if kind == "zoneout":
        h = net.run()
        h[:, 3, 1], h[:, 5, 0] = h[:, 2, 1], h[:, 4, 0]
        return h
    if kind == "a number wrong":
        h = net.run(weights=rounder("float16"))
        h[-1, -1, -1] += 8 * size
        return h
    return other.run()


KINDS = (
    "noise", "a weight", "all weights", "a bias", "scaled weights", "whole numbers of 8 bits",
    "noise on the inputs", "an offset", "zoneout", "a number wrong",
)  # fmt: skip


# ---- the output alone


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("order", ["ifgo", "iofg"])
@pytest.mark.sampled(3)
def test_an_output_that_was_only_stored_so(
    order: str, name: str, tmp_path: Path
) -> None:
    net = Net(8, 2, 9, 4, 5)
    stored = rounder(name)(net.run(order=order))
    kinds = [stored] if name == "bfloat16" else [stored, stored.astype(np.float16)]
    for one in kinds:
        explanation = net.ask(one, tmp_path)
        assert explanation.found
        assert found(explanation) == ({} if order == "ifgo" else {"gates": "iofg"})
        assert any("the output was stored in" in remark for remark in explanation.notes)


def test_half_precision_under_another_layout(tmp_path: Path) -> None:
    net, r = Net(9, 4, 4, 5, 8), rounder("bfloat16")
    net.x = (
        np.random.default_rng(9)
        .normal(0, 1, (4, 9, 5))
        .astype(np.float32)
        .astype(float)
    )
    explanation = net.ask(net.run(weights=r), tmp_path, layout="time")
    check(explanation, "bfloat16", RERUN, layout="batch")


# ---- the formats


@pytest.mark.parametrize("name", FORMATS)
def test_spacing_is_the_distance_to_the_next_number(name: str) -> None:
    values = np.array([1.0, 1.5, 2.0, 0.3, -0.3, 100.0, 2.0**-14, 2.0**-16, 0.0])
    gap = spacing(values, name)
    on_grid = round_to_format(values, name)
    assert (
        round_to_format(on_grid + np.sign(values + 1e-9) * gap, name) != on_grid
    ).all()
    assert (
        round_to_format(on_grid + np.sign(values + 1e-9) * gap * 0.49, name) == on_grid
    ).all()
    if name == "float16":
        np.testing.assert_array_equal(
            gap, np.spacing(np.abs(values).astype(np.float16))
        )


# ---- networks that run in 8-bit arithmetic: the search is in float, and the answer says so


FILE = TESTS / "golden" / "tflite_files" / "keras_hybrid"


@pytest.mark.parametrize(
    ("wrong", "verdict", "changes"),
    [
        ({}, "agrees", {}),
        pytest.param(
            {"forget_bias": 1.0}, "found", {"forget_bias": 0.0}, marks=pytest.mark.slow
        ),
        pytest.param({"off": 0.1}, "none", {}, marks=pytest.mark.slow),
        pytest.param(
            {"off": 0.1, "arithmetic": "float"}, "none", {}, marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_a_search_in_float_for_weights_of_8_bits_is_reported(
    wrong: dict[str, Any], verdict: str, changes: dict[str, Any]
) -> None:
    recorded = held("tflite_files/keras_hybrid")
    settings = dict(wrong)
    off = settings.pop("off", 0)
    h = recorded["h"][..., ::-1] + off if off else recorded["h"]
    explanation = lstmcli.explain(f"{FILE}.tflite", recorded["inputs"], h, **settings)
    assert explanation.verdict == verdict
    assert found(explanation) == changes
    searched = verdict != "agrees" and "arithmetic" not in wrong
    assert ("searched_in_float" in codes(explanation)) == searched
    assert any("8-bit weights" in note for note in explanation.notes) == searched
    if changes:
        assert explanation.to_json()["max_abs"] < 1e-6
