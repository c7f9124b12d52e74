"""EXPECTED of two directions in any axes; and of whatever shape it is, there is an answer."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.api.explain import Explanation, explain
from lstmcli.errors import UserError
from tests.core.explain import networks
from tests.networks import pytorch
from tests.recorded import GOLDEN, read

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

ONNX = "onnxruntime/bidirectional"
TORCH = "torch/two_layers_bidirectional"
VERDICTS = ("agrees", "found", "unproven", "none")


def of_golden(expected: Any, case: str = ONNX, row: int | None = None) -> Explanation:
    """The explanation of outputs of onnxruntime, all rows of the batch or one."""
    _, arrays = read(case)
    rows = slice(None) if row is None else slice(row, row + 1)
    return explain(
        str(GOLDEN / f"{case}.weights.npz"),
        arrays["inputs"][:, rows],
        expected,
        initial_state={k: arrays[f"initial_state.{k}"][:, rows] for k in "hc"},
        lengths=arrays.get("lengths"),
    )


@pytest.mark.parametrize("case", [ONNX, "onnxruntime/lengths_bidirectional"])
@pytest.mark.parametrize("axes", ["TDBH", "TBDH", "DTBH", "BTDH", "BDTH"])
@pytest.mark.sampled(3)
def test_directions_are_found_on_any_axis(axes: str, case: str) -> None:
    y = read(case)[1]["h"]
    turned = y.transpose(*("TDBH".index(letter) for letter in axes))
    assert of_golden(turned, case).verdict == "agrees"


@pytest.mark.slow
def test_last_h_of_merged_directions_is_compared_with_what_a_run_gives(
    tmp_path: Path,
) -> None:
    """Merged directions have no last state of this width: nothing at all was compared."""
    net = networks.Asked(tmp_path, 0, "time first")  # inputs (3, 7, 4)
    explanation = explain(
        net.weights, net.x, net.rng.normal(size=(7, 3)), layout="time"
    )
    assert explanation.verdict == "none"
    assert explanation.measured is not None
    assert explanation.measured.total == 21
    assert explanation.words.taken == "EXPECTED is interpreted as the last step"


def of_torch(expected: Any) -> Explanation:
    """The explanation of outputs of PyTorch, two layers of two directions."""
    _, arrays = read(TORCH)
    state = {k: arrays[f"initial_state.{k}"] for k in "hc"}
    weights = str(GOLDEN / f"{TORCH}.weights.npz")
    return explain(
        weights, arrays["inputs"], expected, layout="batch", initial_state=state
    )


def test_a_last_step_in_a_row_is_the_last_step() -> None:
    arrays = read(TORCH)[1]
    last, states = arrays["h"][:, -1], arrays["final_h"]
    for expected, taken in (
        (last, f"numbers in a row of {last.shape}, the last step"),
        (states, "the last state of each cell"),
    ):
        explanation = of_torch(expected.ravel())
        assert explanation.verdict == "agrees"
        assert explanation.words.taken == f"EXPECTED is interpreted as {taken}"


@pytest.mark.slow
def test_joined_last_states_are_reported_in_terms_of_the_last_step() -> None:
    """The backward half of y[-1] is that of Keras' last output only in processing order."""
    arrays = read(TORCH)[1]
    note = (
        "If EXPECTED is the last step of h, its backward half is in processing order "
        "(--set layer1_reverse.flip_output=true)."
    )
    joined = np.concatenate([*arrays["final_h"][-2:]], axis=-1)
    assert note in of_torch(joined).notes
    for expected in (
        arrays["h"][:, -1],
        arrays["final_h"],
        {"final_h": arrays["final_h"]},
    ):
        assert note not in of_torch(expected).notes


@pytest.mark.parametrize("shape", [(-1,), (-1, 3), (-1, 1, 3), (1, -1, 3)])
def test_a_flat_dump_of_stacked_directions_agrees(shape: Shape) -> None:
    y = read(ONNX)[1]["h"]
    explanation = of_golden(y.reshape(shape))
    assert explanation.verdict == "agrees"
    taken = f"EXPECTED is interpreted as numbers in a row of {y.shape}"
    assert explanation.words.taken == taken


@pytest.mark.parametrize(
    "shape", [(7, 2, 1, 3), (7, 2, 3), (1, 7, 2, 3), (-1, 3), (-1,)]
)
def test_stacked_directions_of_one_sequence_agree(shape: Shape) -> None:
    y = read(ONNX)[1]["h"][:, :, 2:3]
    assert of_golden(y.reshape(shape), row=2).verdict == "agrees"


@pytest.mark.parametrize("row", [None, 0, 2])
@pytest.mark.slow
def test_a_step_of_stacked_directions_is_not_a_last_state(row: int | None) -> None:
    """ONNX' Y[-1], (2, B, H): the backward half is what the backward cell began with."""
    arrays = read(ONNX)[1]
    rows = slice(None) if row is None else slice(row, row + 1)
    y, last = arrays["h"][:, :, rows], arrays["final_h"][:, rows]
    for expected, taken in (
        (y[-1], "the last step"), (y[0], "step 0 of 7"), (last, "the last state of each cell"),
    ):  # fmt: skip
        explanation = of_golden(expected, row=row)
        assert explanation.verdict == "agrees"
        assert explanation.words.taken == f"EXPECTED is interpreted as {taken}"
    noisy = y[-1] + np.random.default_rng(0).normal(0, 0.1, y[-1].shape)
    assert not of_golden(noisy, row=row).found


@pytest.mark.parametrize("row", [None, 2])
def test_directions_side_by_side_are_another_merge(row: int | None) -> None:
    y = read(ONNX)[1]["h"].transpose(0, 2, 1, 3)
    joined = y.reshape(*y.shape[:2], -1)  # (T, B, 2 H)
    explanation = of_golden(
        joined if row is None else joined[:, row : row + 1], row=row
    )
    assert explanation.verdict == "found"
    assert [c.settings for c in explanation.changes] == [{"merge": "concat"}]


def test_a_part_of_stacked_directions_agrees() -> None:
    y = read(ONNX)[1]["h"]
    assert (
        of_golden(y[:, :, 1]).words.taken
        == "EXPECTED is interpreted as sequence 1 of 4"
    )
    assert (
        of_golden(y[:3]).words.taken
        == "EXPECTED is interpreted as the first 3 of 7 steps"
    )


def test_last_states_without_an_entry_for_each_cell_are_refused(tmp_path: Path) -> None:
    final = read(ONNX)[1]["final_h"]
    with pytest.raises(
        UserError,
        match=r"final_h \(1, 4, 3\).*\n.*final_h of every cell, \(2, batch, 3\)",
    ):
        of_golden(saved(tmp_path / "expected.npz", final_h=final[:1]))


def test_c_of_a_projection_is_distinguished_from_h_by_its_size() -> None:
    record, arrays = read("torch/projection")
    weights = str(GOLDEN / "torch" / "projection.weights.npz")
    with pytest.raises(
        UserError, match=r"2 values of h a step.*\n.*\n  c has 3 values a step"
    ):
        explain(weights, arrays["inputs"], arrays["final_c"], layout=record["layout"])


def saved(path: Path, **arrays: Any) -> str:
    """A file of named arrays."""
    np.savez(path, **arrays)
    return str(path)


def test_last_states_of_different_widths_are_side_by_side(tmp_path: Path) -> None:
    weights = saved(tmp_path / "w.npz", **TWO_WIDTHS)
    x = np.random.default_rng(0).normal(size=(4, 2))
    with pytest.raises(
        UserError, match=r"final_h \(2, 3\).*\n.*final_h of every cell, \(batch, 5\)"
    ):
        explain(weights, x, saved(tmp_path / "expected.npz", final_h=np.zeros((2, 3))))


def onnx_net(directions: int) -> dict[str, Array]:
    """W, R and B that take 2 inputs and have 2 units."""
    rng, n = np.random.default_rng(2), 2
    shapes = {
        "W": (directions, 4 * n, 2),
        "R": (directions, 4 * n, n),
        "B": (directions, 8 * n),
    }
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


TWO_WIDTHS = {
    **pytorch(2, 3),
    **{k.replace("l0", "l1"): a for k, a in pytorch(3, 2).items()},
}
NETS = {
    "onnx": onnx_net(1), "onnx both ways": onnx_net(2), "torch": pytorch(2, 2),
    "torch both ways": pytorch(2, 2, directions=2), "stacked": pytorch(2, 2, layers=2),
    "stacked, of two widths": TWO_WIDTHS,
    "stacked both ways": pytorch(2, 2, layers=2, directions=2),
}  # fmt: skip
INPUTS: tuple[Shape, ...] = (
    (3, 2),
    (1, 2),
    (3, 1, 2),
    (1, 3, 2),
    (1, 1, 2),
    (2, 2, 2),
    (3, 4, 2),
)
SHAPES = [shape for rank in range(6) for shape in product((0, 1, 2, 3, 4), repeat=rank)]


def answer(weights: str, inputs: Shape, expected: Any) -> str:
    """The verdict, or that it was refused."""
    x = np.random.default_rng(3).normal(size=inputs)
    try:
        return explain(weights, x, expected).verdict
    except UserError:
        return "refused"


@pytest.mark.parametrize("name", ["h", "final_h", "layer0.h"])
@pytest.mark.parametrize("net", NETS)
@pytest.mark.slow
def test_every_shape_has_an_answer_or_is_refused(
    net: str, name: str, tmp_path: Path
) -> None:
    """Zeros, which need no search: they prove nothing."""
    weights, path = saved(tmp_path / "w.npz", **NETS[net]), tmp_path / "expected.npz"
    rng = np.random.default_rng([*net.encode(), *name.encode()])
    given = set()
    for n in rng.choice(len(SHAPES), 30, replace=False):
        for inputs in INPUTS[n % 2 :: 2]:
            given.add(
                answer(weights, inputs, saved(path, **{name: np.zeros(SHAPES[n])}))
            )
    for inputs in INPUTS[::2]:  # shapes that collide with those of a run
        for lead in ((), (2,), (4, 1), inputs[:-1], (inputs[0], 2, *inputs[1:-1])):
            for width in (2, 4, 5):
                zeros = np.zeros((*lead, width))
                given.add(answer(weights, inputs, saved(path, **{name: zeros})))
    assert "refused" in given
    assert given <= {"refused", "none"}


@pytest.mark.parametrize(
    ("net", "inputs", "shape"),
    [
        ("onnx both ways", (1, 1, 2), (2,)),
        ("onnx both ways", (3, 1, 2), (3, 1, 2)),
        ("torch both ways", (1, 2), (1, 2, 1, 2)),
        ("stacked, of two widths", (1, 2), (5,)),
    ],
)
@pytest.mark.usefixtures("without_edits")
@pytest.mark.sampled(3)
def test_a_shape_that_collides_is_searched(
    net: str, inputs: Shape, shape: Shape, tmp_path: Path
) -> None:
    weights = saved(tmp_path / "w.npz", **NETS[net])
    expected = np.random.default_rng(4).normal(size=shape)
    assert answer(weights, inputs, expected) in (*VERDICTS, "refused")
