"""Weights by gate, as lectures, books and Rust's Burn have them: against numbers they published."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from lstmcli import run
from lstmcli.api.load import load, load_model
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.shell import ShellSyntax
from lstmcli.errors import UserError
from lstmcli.formats import Document
from tests.core.weights.test_by_shape import outputs

Array = np.ndarray[Any, Any]


def loaded(tensors: dict[str, Array], **settings: Any) -> Model:
    return load_model([Document("w.npz", "npz", tensors)], settings)


def ran(
    tensors: dict[str, Array], x: Array, state: Any = None, **settings: Any
) -> Trace:
    return run(loaded(tensors, **settings), x, initial_state=state)


def test_the_assignment_of_deeplearning_ai() -> None:
    """``lstm_cell_forward``, whose expected output many have printed; batch of 10, one step."""
    rng = np.random.RandomState(1)
    x, h, c = rng.randn(3, 10), rng.randn(5, 10), rng.randn(5, 10)
    tensors: dict[str, Array] = {}
    for gate in "fioc":
        tensors |= {f"W{gate}": rng.randn(5, 8), f"b{gate}": rng.randn(5, 1)}
    tensors |= {"Wy": rng.randn(2, 5), "by": rng.randn(2, 1)}
    trace = ran(tensors, x.T[:, None], {"h": h.T, "c": c.T}, rows="hx")
    np.testing.assert_allclose(
        trace.final_h[:, 4],
        [-0.66408471, 0.0036921, 0.02088357, 0.22834167, -0.85575339, 0.00138482, 0.76566531,
         0.34631421, -0.00215674, 0.43827275], atol=5e-9,
    )  # fmt: skip
    np.testing.assert_allclose(
        trace.final_c[:, 2],
        [0.63267805, 1.00570849, 0.35504474, 0.20690913, -1.64566718, 0.11832942, 0.76449811,
         -0.0981561, -0.74348425, -0.26810932], atol=5e-9,
    )  # fmt: skip


BURN: dict[str, dict[str, tuple[list[Any], ...]]] = {  # direction -> gate -> W, b, U, b
    "forward": {
        "input": (
            [[0.367, 0.091, 0.342], [0.322, 0.533, 0.059]], [-0.196, 0.354, 0.209],
            [[-0.320, 0.232, -0.165], [0.093, -0.572, -0.315], [-0.467, 0.325, 0.046]],
            [0.181, -0.190, -0.245],
        ),
        "forget": (
            [[-0.342, -0.084, -0.420], [-0.432, 0.119, 0.191]], [0.315, -0.413, -0.041],
            [[0.453, 0.063, 0.561], [0.211, 0.149, 0.213], [-0.499, -0.158, 0.068]],
            [-0.431, -0.535, 0.125],
        ),
        "cell": (
            [[-0.046, -0.382, 0.321], [-0.533, 0.558, 0.004]], [-0.358, 0.282, -0.078],
            [[-0.358, 0.109, 0.139], [-0.345, 0.091, -0.368], [-0.508, 0.221, -0.507]],
            [0.502, -0.509, -0.247],
        ),
        "output": (
            [[-0.577, -0.359, 0.216], [-0.550, 0.268, 0.243]], [-0.227, -0.274, 0.039],
            [[-0.383, 0.449, 0.222], [-0.357, -0.093, 0.449], [-0.106, 0.236, 0.360]],
            [-0.361, -0.209, -0.454],
        ),
    },
    "reverse": {
        "input": (
            [[-0.055, 0.506, 0.247], [-0.369, 0.178, -0.258]], [0.540, -0.164, 0.033],
            [[0.159, 0.180, -0.037], [-0.443, 0.485, -0.488], [0.098, -0.085, -0.140]],
            [-0.510, 0.105, 0.114],
        ),
        "forget": (
            [[-0.154, -0.432, -0.547], [-0.369, -0.310, -0.175]], [0.141, 0.004, 0.055],
            [[-0.005, -0.277, -0.515], [-0.011, -0.101, -0.365], [0.426, 0.379, 0.337]],
            [-0.382, 0.331, -0.176],
        ),
        "cell": (
            [[-0.571, 0.228, -0.287], [-0.331, 0.110, 0.219]], [-0.206, -0.546, 0.462],
            [[0.449, -0.240, 0.071], [-0.045, 0.131, 0.124], [0.138, -0.201, 0.191]],
            [-0.030, 0.211, -0.352],
        ),
        "output": (
            [[0.491, -0.442, 0.333], [0.313, -0.121, -0.070]], [-0.387, -0.250, 0.066],
            [[-0.030, 0.268, 0.299], [-0.019, -0.280, -0.314], [0.466, -0.365, -0.248]],
            [-0.398, -0.199, -0.566],
        ),
    },
}  # fmt: skip
BURN_INPUTS = [[0.949, -0.861], [0.892, 0.927], [-0.173, -0.301], [-0.081, 0.992]]
BURN_OUTPUTS = [  # without an initial state
    [0.08679, -0.08776, -0.00528, -0.15969, -0.05322, -0.08863],
    [-0.02577, -0.05057, 0.00033, -0.17558, -0.03679, 0.03142],
    [0.02942, -0.07411, -0.06044, -0.03601, -0.09998, 0.04846],
    [-0.04026, 0.07178, -0.10189, -0.07349, -0.04576, 0.05550],
]


@pytest.mark.parametrize("transposed", [False, True])
def test_burn_s_test_of_both_directions(transposed: bool) -> None:
    """``test_bidirectional`` of tracel-ai/burn, crates/burn-nn/.../lstm/bilstm_module.rs.

    Transposed as its adapter for PyTorch's files has them.
    """
    tensors: dict[str, Array] = {}
    for direction, gates in BURN.items():
        for gate, (w, b, u, c) in gates.items():
            for side, weight, bias in (("input", w, b), ("hidden", u, c)):
                name = f"{direction}.{gate}_gate.{side}_transform"
                matrix = np.array(weight)
                tensors |= {f"{name}.weight": matrix.T if transposed else matrix}
                tensors |= {f"{name}.bias": np.array(bias)}
    trace = ran(tensors, np.array(BURN_INPUTS))
    np.testing.assert_allclose(trace.h, BURN_OUTPUTS, atol=6e-6)


def draw(units: int, inputs: int) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(7)
    shapes = (4, units, inputs), (4, units, units), (4, units), (5, inputs)
    kernel, recurrent, bias, x = (rng.normal(size=shape) for shape in shapes)
    return kernel, recurrent, bias, x


def test_one_matrix_with_the_bias_in_its_first_row() -> None:
    """Karpathy's batched LSTM: the row of ones first, and the candidate last."""
    kernel, recurrent, bias, x = draw(3, 5)
    rows = np.concatenate([bias[:, :, None], kernel, recurrent], axis=2)[[0, 1, 3, 2]]
    trace = ran({"WLSTM": rows.reshape(12, -1).T}, x)
    np.testing.assert_allclose(
        trace.h, outputs([[(kernel, recurrent, bias)]], x), atol=1e-12
    )


@pytest.mark.parametrize(
    ("words", "candidate"),
    [
        *product(["W_x{} W_h{} b_{}", "W{} U{} b{}", "W_i{} W_h{} b_i{}"], "cg"),
        (
            "W_{} U_{} b_{}",
            "g",
        ),  # of Keras 1, whose gates are hard sigmoids, it is called c
    ],
)
def test_books_names_by_gate(words: str, candidate: str) -> None:
    kernel, recurrent, bias, x = draw(3, 5)
    forms = words.split()
    tensors = {
        form.format(gate): array[n].T
        for n, gate in enumerate(["i", "f", candidate, "o"])
        for form, array in zip(forms, (kernel, recurrent, bias), strict=True)
    }
    trace = ran(tensors, x)
    assert loaded(tensors).convention.name == "per-gate"
    np.testing.assert_allclose(
        trace.h, outputs([[(kernel, recurrent, bias)]], x), atol=1e-12
    )


def test_keras_1_s_hard_sigmoid_says_how_to_have_the_sigmoid() -> None:
    kernel, recurrent, bias, x = draw(3, 5)
    tensors: dict[str, Array] = {}
    for n, gate in enumerate("ifco"):
        tensors |= {
            f"W_{gate}": kernel[n].T,
            f"U_{gate}": recurrent[n].T,
            f"b_{gate}": bias[n],
        }
    (said,) = (line for line in loaded(tensors).assumed if "hard" in line)
    assert "--recurrent-activation sigmoid for sigmoid" in said
    trace = ran(tensors, x, recurrent_activation="sigmoid")
    np.testing.assert_allclose(
        trace.h, outputs([[(kernel, recurrent, bias)]], x), atol=1e-12
    )


@pytest.mark.parametrize("both", [False, True])
def test_pytorch_s_tensors_as_tts_cpp_cuts_them(both: bool) -> None:
    """0.weights.0 is W_ii, 0.weights.1 W_hi, and so on; the backward direction is reverse_weights.

    As `prepare_lstm_tensor` of its converter does.
    """
    cells: list[tuple[Array, Array, Array]] = []
    tensors: dict[str, Array] = {}
    for direction in range(2 if both else 1):
        rng = np.random.default_rng(direction)
        kernel, recurrent, bias = (
            rng.normal(size=s) for s in ((4, 3, 5), (4, 3, 3), (4, 3))
        )
        cells.append((kernel, recurrent, bias))
        for n in range(4):
            mark = "reverse_" * direction
            tensors |= {f"net.lstm.0.{mark}weights.{2 * n}": kernel[n]}
            tensors |= {f"net.lstm.0.{mark}weights.{2 * n + 1}": recurrent[n]}
            tensors |= {f"net.lstm.0.{mark}biases.{2 * n}": bias[n] + 1}
            tensors |= {f"net.lstm.0.{mark}biases.{2 * n + 1}": -np.ones(3)}
    x = np.random.default_rng(9).normal(size=(6, 5))
    trace = ran(tensors, x)
    assert loaded(tensors).convention.name == "tts-cpp"
    np.testing.assert_allclose(trace.h, outputs([cells], x), atol=1e-12)


def refusal(tensors: dict[str, Array], **settings: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        loaded(tensors, **settings)
    return error.value.shown(ShellSyntax()).splitlines()


def test_torch7_s_flat_vector() -> None:
    """i2g's weight and bias, then o2g's weight; its gates are i g f o."""
    kernel, recurrent, bias, x = draw(3, 5)
    parts = [a[[0, 2, 1, 3]].ravel() for a in (kernel, bias, recurrent)]
    trace = ran({"w": np.concatenate(parts)}, x, convention="torch7-flat", flat_units=3)
    np.testing.assert_allclose(
        trace.h, outputs([[(kernel, recurrent, bias)]], x), atol=1e-12
    )


def test_a_flat_vector_is_never_guessed() -> None:
    vector = {"w": np.zeros(4 * 3 * (5 + 3 + 2))}
    assert refusal(vector)[1:] == [
        "  --convention cudnn-flat --set flat_units=N   cuDNN's, JAX's, MXNet's",
        "  --convention torch7-flat --set flat_units=N  Torch7's",
    ]
    assert refusal(vector, convention="cudnn-flat")[0] == (
        "w.npz: w has 120 numbers, all weights of cudnn-flat in a row; how many units are there?"
    )
    assert refusal(vector, convention="cudnn-flat", flat_units=4)[0] == (
        "w.npz: w has 120 numbers; 4 units, 1 layers and 1 directions take 112 for one input and "
        "16 for each further one."
    )
    assert loaded(vector, convention="cudnn-flat", flat_units=3).cell.inputs == 5


@pytest.mark.parametrize("size", ["flat_layers", "flat_directions"])
def test_torch7_packs_one_layer_in_one_direction(size: str) -> None:
    vector = {
        "w": np.zeros(2 * 4 * 3 * (3 + 3 + 1))
    }  # as two layers of 3 inputs would have
    lines = refusal(vector, convention="torch7-flat", flat_units=3, **{size: 2})
    assert lines[0].startswith("w.npz: torch7-flat packs one layer in one direction")


def test_a_flat_vector_has_at_most_two_directions() -> None:
    vector = {"w": np.zeros(3 * 4 * 3 * (3 + 3 + 2))}
    with pytest.raises(UserError, match="flat_directions is 3; it takes 1 or 2"):
        load(vector, convention="cudnn-flat", flat_units=3, flat_directions=3)


def test_a_convention_that_is_asked_for_is_the_one_that_messages_speak_of() -> None:
    tensors = {"W": np.zeros((9, 21)), "U": np.zeros((5, 20)), "b": np.zeros(20)}
    said = refusal(tensors, convention="pytorch")
    assert said[:2] == [
        "w.npz has W, U, b; no LSTM is recognised in these names.",
        "  pytorch       weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0",
    ]
    assert not any(name in " ".join(said) for name in ("cntk", "keras", "onnx"))


@pytest.mark.parametrize(
    ("beside", "unused"),
    [
        ({"wci": (3,), "wcf": (3,), "wco": (3,)}, ["wci, wcf, wco"]),
        ({"Wy": (5, 2), "by": (2,)}, ["Wy, by"]),
        ({"h0": (1, 3), "c0": (1, 3)}, []),
        ({}, []),
    ],
)
def test_tensors_next_to_weights_recognised_by_shape_are_named(
    beside: dict[str, tuple[int, ...]], unused: list[str]
) -> None:
    shapes = {"W": (7, 12), "b": (12,)} | beside
    assumed = loaded({name: np.ones(shape) for name, shape in shapes.items()}).assumed
    said = [f"not used: {names} (no part of a cell by their names)" for names in unused]
    assert [line for line in assumed if line.startswith("not used")] == said
