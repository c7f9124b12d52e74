"""Gate orders, orientations and blocks: permutations, inverses, and shapes that do not fit."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli import run
from lstmcli.api.load import load
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.weights.decode import decode, fold_weight_norm
from lstmcli.core.weights.slots import Slot
from lstmcli.core.weights.storage import from_blocks, to_blocks
from lstmcli.errors import UserError
from tests.networks import Array, model_of, random_net

ORDERS = ["".join(p) for p in permutations("ifgo")]


@given(st.sampled_from(ORDERS), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_a_permutation_and_its_inverse_are_the_identity(
    order: str, units: int, width: int, interleaved: bool
) -> None:
    matrix = np.arange(4.0 * units * width).reshape(4 * units, width)
    blocks = to_blocks(matrix, order, interleaved)
    assert blocks.shape == (4, units, width)
    np.testing.assert_array_equal(from_blocks(blocks, order, interleaved), matrix)
    np.testing.assert_array_equal(to_blocks(from_blocks(blocks, order), order), blocks)


@pytest.mark.parametrize("order", ORDERS)
def test_a_kernel_in_another_order_is_the_same_cell(order: str) -> None:
    rng = np.random.default_rng(0)
    net, x = random_net(rng, 4, 3), rng.normal(size=(7, 4))
    cell = model_of(net).cell
    blocks = np.concatenate([cell.kernel, cell.recurrent_kernel], axis=2)
    moved = {
        "kernel": from_blocks(blocks, order).T,
        "bias": from_blocks(cell.bias[:, :, None], order)[:, 0],
    }
    np.testing.assert_array_equal(
        run(model_of(moved, gates=order), x).h, run(model_of(net), x).h
    )
    if order != "igfo":
        assert np.abs(run(model_of(moved), x).h - run(model_of(net), x).h).max() > 1e-3


def decoded(row: str = "keras", **tensors: Array) -> None:
    decode({Slot(role): a for role, a in tensors.items()}, CONVENTIONS[row], "f.npz")


@pytest.mark.parametrize(
    ("row", "shapes", "message"),
    [
        ("keras", {"kernel": (4, 9), "recurrent_kernel": (3, 9)}, "three gates, a GRU"),
        ("keras", {"kernel": (4, 12), "recurrent_kernel": (3, 11)}, r"\(H, 4H\) or \(4H, H\)"),
        ("keras", {"kernel": (4, 8), "recurrent_kernel": (3, 12)}, r"should be \(I, 12\)"),
        ("keras", {"kernel": (4, 12), "recurrent_kernel": (3, 12), "bias": (16,)}, "12 .4 gates"),
        ("keras", {"kernel": (4, 12), "recurrent_kernel": (3,)}, "two axes"),
        ("keras", {"kernel": (4, 12), "recurrent_kernel": (0, 12)}, "none empty"),
        ("keras", {"kernel": (4, 12), "recurrent_kernel": (2, 12)}, "projection .2, 3. is missing"),
        ("tf1", {"fused": (3, 12), "bias": (12,)}, "more than 3 rows"),
        ("tf1", {"fused": (7, 9), "bias": (9,)}, "a GRU or coupled"),
        ("tf1", {"fused": (7, 12), "bias": (13,)}, r"\(I \+ H, 4H\) and \(4H,\)"),
        ("tf1", {"fused": (7, 12), "bias": (12,), "peephole": (8,)}, "three gates"),
        (
            "pytorch",
            {"kernel": (12, 4), "recurrent_kernel": (12, 2), "projection": (5, 3)},
            r"projection is \(5, 3\)",
        ),
        (
            "tf1",
            {"fused": (7, 12), "bias": (12,), "projection": ()},
            r"projection \(\); .*P outputs these are \(I \+ P, 12\) and \(P, 3\)",
        ),
        ("tf1", {"fused": (7, 12), "projection": (9, 8)}, r"projection \(9, 8\)"),
    ],
)  # fmt: skip
def test_shapes_that_cannot_be_are_named(
    row: str, shapes: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        decoded(row, **{role: np.zeros(shape) for role, shape in shapes.items()})


def test_an_order_of_four_gates_does_not_fit_a_kernel_of_three() -> None:
    row = CONVENTIONS["tf1-coupled"].changed({"kernel_gates": "ifgo"})
    tensors = {Slot("fused"): np.zeros((7, 9)), Slot("bias"): np.zeros(9)}
    with pytest.raises(
        UserError, match="the kernel has 9 numbers, no multiple of 4 gates"
    ):
        decode(tensors, row, "f.npz")


def test_an_order_of_the_kernel_alone_moves_no_other_tensor_of_a_gate() -> None:
    rng, row = np.random.default_rng(6), CONVENTIONS["per-gate-fused"]
    tensors = {Slot("fused", gate): rng.normal(size=(3, 8)) for gate in "ifgo"}
    tensors |= {Slot("bias", gate): rng.normal(size=3) for gate in "ifgo"}
    plain = decode(tensors, row, "f.npz")
    moved = decode(tensors, row.changed({"kernel_gates": "ogfi"}), "f.npz")
    np.testing.assert_array_equal(moved.kernel[[3, 2, 1, 0]], plain.kernel)
    np.testing.assert_array_equal(moved.recurrent_kernel, plain.recurrent_kernel)
    np.testing.assert_array_equal(moved.bias, plain.bias)


PEEPHOLES = {f"w_{gate}_diag": np.linspace(-1, 1, 3) for gate in "ifo"}


@pytest.mark.parametrize("shape", [(), (3, 3), (5, 3)])
def test_peepholes_of_another_size_are_refused(shape: tuple[int, ...]) -> None:
    net = random_net(np.random.default_rng(4), 4, 3)
    with pytest.raises(
        UserError, match=r"the peephole is \(3, \d+\), but there are 3 units"
    ):
        load({**net, **{name: np.ones(shape) for name in PEEPHOLES}})


def test_kernels_of_other_numbers_of_units_are_refused() -> None:
    tensors: dict[str, Array] = {}
    for gate in ("ingate", "forgetgate", "cell", "outgate"):
        tensors |= {
            f"W_in_to_{gate}": np.zeros((4, 5)),
            f"W_hid_to_{gate}": np.zeros((5, 3)),
            f"b_{gate}": np.zeros(3),
        }
    with pytest.raises(
        UserError, match="the kernel has 5 units and the recurrent kernel 3"
    ):
        load(tensors)


@pytest.mark.parametrize("directions", [(1, 2, 1), (2, 1, 2), (3, 3, 3), (0, 0, 0)])
def test_an_axis_of_directions_is_1_or_2_everywhere(
    directions: tuple[int, ...],
) -> None:
    W, R, B = ((12, 4), (12, 3), (24,))
    shapes = {k: (n, *s) for k, n, s in zip("WRB", directions, (W, R, B), strict=True)}
    with pytest.raises(
        UserError, match="the first axis of each is the directions, 1 or 2"
    ):
        load(
            {name: np.zeros(shape) for name, shape in shapes.items()}, convention="onnx"
        )


def test_a_row_of_zeros_under_weight_norm_is_nan_without_a_warning() -> None:
    folded = fold_weight_norm(
        {"w_g": np.ones((2, 1)), "w_v": np.array([[3.0, 4], [0, 0]])}
    )
    np.testing.assert_array_equal(folded["w"], [[0.6, 0.8], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("outputs", "given", "gives"),
    [
        (2, 15, "the projection gives 2 numbers"),
        (2, 1, "the projection gives 2 numbers"),
        (3, 3, "there is no projection"),
    ],
)
def test_a_projection_bias_has_the_numbers_that_the_projection_gives(
    outputs: int, given: int, gives: str
) -> None:
    """With as many outputs as units, a file may have the bias and lack the projection."""
    tensors: dict[str, Array] = {"projection_bias": np.zeros(given)}
    for gate in ("input", "forget", "cell", "output"):
        tensors |= {
            f"input_to_{gate}_weights": np.zeros((3, 4)),
            f"recurrent_to_{gate}_weights": np.zeros((3, outputs)),
            f"{gate}_gate_bias": np.zeros(3),
        }
    if outputs != 3:
        tensors["projection_weights"] = np.zeros((outputs, 3))
    with pytest.raises(
        UserError, match=rf"projection bias is \({given},\), but {gives}"
    ):
        load(tensors)


@pytest.mark.parametrize("transposed", ["kernel", "recurrent_kernel"])
def test_one_matrix_of_two_that_is_transposed_is_named(transposed: str) -> None:
    tensors = {
        "kernel": np.ones((3, 16)),
        "recurrent_kernel": np.ones((4, 16)),
        "bias": np.ones(16),
    }
    tensors[transposed] = tensors[transposed].T
    with pytest.raises(
        UserError, match=r"has 4 units, so it should be \((I, 16|16, I)\)"
    ):
        load(tensors)


@pytest.mark.parametrize("gates_last", [True, False])
def test_the_recurrent_matrix_decides_the_orientation(gates_last: bool) -> None:
    rng = np.random.default_rng(3)
    kernel, recurrent = (
        rng.normal(size=(12, 12)),
        rng.normal(size=(3, 12)),
    )  # I = 4H: it alone tells
    tensors = {Slot("kernel"): kernel, Slot("recurrent_kernel"): recurrent}
    if not gates_last:
        tensors = {slot: a.T for slot, a in tensors.items()}
    cell = decode(tensors, CONVENTIONS["keras"], "f.npz")
    np.testing.assert_array_equal(cell.kernel.reshape(12, 12), kernel.T)


def test_settings_of_one_tensor_and_of_the_bias(tmp_path: object) -> None:
    rng = np.random.default_rng(4)
    net = random_net(rng, 4, 3)
    plain = model_of(net).cell
    for name, field in (
        ("kernel", "kernel"),
        ("recurrent", "recurrent_kernel"),
        ("bias", "bias"),
    ):
        cell = model_of(net, **{f"{name}_gates": "ifgo"}).cell
        moved = {f for f in ("kernel", "recurrent_kernel", "bias")
                 if not np.array_equal(getattr(cell, f), getattr(plain, f))}  # fmt: skip
        assert moved == {field}
    np.testing.assert_array_equal(model_of(net, bias="twice").cell.bias, 2 * plain.bias)
    assert not model_of(net, bias="none").cell.bias.any()
    flipped = model_of(net, transposed="recurrent").cell
    np.testing.assert_array_equal(
        flipped.recurrent_kernel, plain.recurrent_kernel.swapaxes(1, 2)
    )
    swapped = model_of(net, rows="hx").cell
    assert swapped.kernel.shape == plain.kernel.shape
    assert not np.array_equal(swapped.kernel, plain.kernel)


def test_a_bias_of_one_number_is_refused_under_an_edit_of_stored_tensors() -> None:
    net = random_net(np.random.default_rng(4), 4, 3)
    named = {"rnn/kernel": net["kernel"], "rnn/bias": np.array(1.0)}
    with pytest.raises(UserError, match=r"the bias \(\); an LSTM has"):
        load(named, edits=["weights.int8=gate"])


def test_weight_norm_needs_both_of_its_tensors() -> None:
    g, v = np.full((12, 1), 2.0), np.random.default_rng(0).normal(size=(12, 3))
    folded = fold_weight_norm({"weight_hh_l0_g": g, "weight_hh_l0_v": v, "odd_g": g})
    assert sorted(folded) == ["odd_g", "weight_hh_l0"]
    np.testing.assert_allclose(np.linalg.norm(folded["weight_hh_l0"], axis=1), 2)
