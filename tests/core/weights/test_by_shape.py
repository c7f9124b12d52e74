"""Weights whose names tell no framework: read by their shapes where these leave one way.

Truths are built here, of a random choice of form; nothing of ours writes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli import run
from lstmcli.api.load import load_model
from lstmcli.core.model.shell import ShellSyntax
from lstmcli.core.weights.by_shape import find_by_shape
from lstmcli.core.weights.templates import RecognisedLstm
from lstmcli.errors import UserError
from lstmcli.formats import Document
from tests.core.explain import reference

Array = np.ndarray[Any, Any]
Tensors = dict[str, Array]
Layer = list[
    tuple[Array, Array, Array]
]  # of each direction: (4, H, I), (4, H, H), (4, H); i f g o
T = 5


def by_role(found: RecognisedLstm) -> dict[str, str]:
    """The names of the tensors of its first cell."""
    return {slot.role: name for slot, name in found.cells[0, 0].items()}


def direction(x: Array, cell: tuple[Array, Array, Array], forget_bias: float) -> Array:
    """h of one direction, (T, H) from (T, I)."""
    kernel, recurrent, bias = (
        np.concatenate([*blocks]) for blocks in cell
    )  # (4H, ...)
    net = reference.Net(np.concatenate([kernel.T, recurrent.T]), bias)
    truth = {"gates": "ifgo", "forget_bias": forget_bias}
    h: Array = reference.outputs(net, x[None], truth)["h"][0]
    return h


def outputs(layers: list[Layer], x: Array, forget_bias: float = 0.0) -> Array:
    for layer in layers:
        halves = [direction(x, layer[0], forget_bias)]
        if len(layer) == 2:
            halves.append(direction(x[::-1], layer[1], forget_bias)[::-1])
        x = np.concatenate(halves, axis=1)
    return x


def draw(
    rng: np.random.Generator, inputs: int, units: int, ways: int, count: int
) -> list[Layer]:
    """Layers of cells whose every tensor differs."""
    layers: list[Layer] = []
    for n in range(count):
        width = inputs if n == 0 else units * ways
        layers.append(
            [
                (
                    rng.normal(0, 0.9, (4, units, width)),
                    rng.normal(0, 0.9, (4, units, units)),
                    rng.normal(0.2, 0.9, (4, units)),
                )
                for _ in range(ways)
            ]
        )
    return layers


def flat(blocks: Array, order: str) -> Array:
    """(4, H, K) or (4, H) as (4H, K) or (4H,) in an order of gates."""
    return np.concatenate([blocks["ifgo".index(gate)] for gate in order])


def forms(
    rng: np.random.Generator, layers: list[Layer]
) -> Iterator[tuple[str, Tensors, float, dict[str, Any]]]:
    """Every form in which people keep such weights: name, tensors, forget bias, settings."""
    (kernel, recurrent, bias), *_ = layers[0]
    single = len(layers) == 1 and len(layers[0]) == 1
    if single:
        k, r, b = (flat(a, "ifgo") for a in (kernel, recurrent, bias))
        half = 0.5 * b[::-1]
        usual = [("W", "U", "b"), ("Wx", "Wh", "bias"), ("w_ih", "w_hh", "b")]
        called = usual[int(rng.integers(3))]
        yield "columns", dict(zip(called, (k.T, r.T, b), strict=True)), 0.0, {}
        yield "rows", dict(zip(called, (k, r, b[:, None]), strict=True)), 0.0, {}
        yield "arr", {"arr_0": k.T, "arr_1": r.T, "arr_2": b}, 0.0, {}
        yield (
            "arr, PyTorch",
            {"arr_0": k, "arr_1": r, "arr_2": half, "arr_3": b - half},
            0.0,
            {},
        )
        shuffled = [("p", k.T), ("q", r.T), ("s", b)]
        yield (
            "no names",
            {shuffled[n][0]: shuffled[n][1] for n in rng.permutation(3)},
            0.0,
            {},
        )
        yield "no names, swapped", {"p": r.T, "q": k.T, "s": b}, 0.0, {}
        fused, one = (
            flat(np.concatenate([kernel, recurrent], 2), "igfo"),
            flat(bias, "igfo"),
        )
        yield "fused", {"W": fused.T, "b": one}, 1.0, {}
        yield "fused rows", {"W": fused, "b": one}, 1.0, {}
        classes = int(
            rng.choice([4 * bias.shape[1], bias.shape[1], 7, kernel.shape[2]])
        )
        head = [np.ones((bias.shape[1], classes)), np.ones(classes)]
        output, another = (
            dict(zip(names, head, strict=True)) for names in (("Wy", "by"), ("V", "c"))
        )
        yield "fused, output layer", {"W": fused.T, "b": one, **output}, 1.0, {}
        yield "fused, another layer", {"W": fused.T, "b": one, **another}, 1.0, {}
        yield "columns, output layer", {"W": k.T, "U": r.T, "b": b, **output}, 0.0, {}
        yield "columns, another layer", {"W": k.T, "U": r.T, "b": b, **another}, 0.0, {}
        yield "last row", {"W": np.c_[fused, one].T}, 1.0, {"bias_row": "last"}
        yield "first row", {"W": np.c_[one, fused].T}, 1.0, {"bias_row": "first"}
        yield from by_gate(rng, kernel, recurrent, bias)
        return
    yield from in_order(layers)
    last = int(rng.integers(100, 900))
    tensors: Tensors = {}
    after = bool(rng.integers(2))  # B's number is that after W and R, or the one before
    for layer in layers:
        stacked = [
            np.stack([flat(cell[n], "iofg") for cell in layer]) for n in range(3)
        ]
        parts = {"W": stacked[0], "R": stacked[1]}
        both = np.concatenate([stacked[2], np.zeros_like(stacked[2])], axis=1)
        parts = {**parts, "B": both} if after else {"B": both, **parts}
        last += int(rng.integers(2, 60))
        for array in parts.values():
            tensors[f"onnx::LSTM_{last}"] = array
            last += 1
    names = list(tensors)
    yield (
        "initializers",
        {names[n]: tensors[names[n]] for n in rng.permutation(len(names))},
        0.0,
        {},
    )
    scattered = rng.permutation(1000)[: len(names)]
    renamed = {
        f"onnx::LSTM_{n}": tensors[k] for n, k in zip(scattered, names, strict=True)
    }
    yield "initializers, scattered", renamed, 0.0, {}


def in_order(
    layers: list[Layer],
) -> Iterator[tuple[str, Tensors, float, dict[str, Any]]]:
    """Layers as `numpy.savez` numbers them, alone and with a dense layer after them."""
    cells = [[flat(a, "ifgo") for a in cell] for layer in layers for cell in layer]
    arrays = [a for k, r, b in cells for a in (k.T, r.T, b)]
    dense = np.zeros((cells[-1][1].shape[1] * len(layers[-1]), 8)), np.zeros(8)
    layer = (
        {} if len(layers) == 1 else {"layer": ",".join(map(str, range(len(layers))))}
    )
    for form, members in (("arr", arrays), ("arr, dense", [*arrays, *dense])):
        tensors = {f"arr_{n}": a for n, a in enumerate(members)}
        yield f"{form}, {len(cells)} cells", tensors, 0.0, dict(layer)


def by_gate(
    rng: np.random.Generator, kernel: Array, recurrent: Array, bias: Array
) -> Iterator[tuple[str, Tensors, float, dict[str, Any]]]:
    """A tensor a gate, in columns and in rows, h first and x first."""
    for rows in (False, True):
        tensors: Tensors = {}
        split: Tensors = {}
        h_first = bool(rng.integers(2))
        shape = [(-1,), (-1, 1) if rows else (1, -1)][int(rng.integers(2))]
        for gate, word in zip("ifgo", "ifco", strict=True):
            k, r, b = (a["ifgo".index(gate)] for a in (kernel, recurrent, bias))
            one = np.concatenate([r, k] if h_first else [k, r], axis=1)
            tensors |= {
                f"W{word}": one if rows else one.T,
                f"b{word}": b.reshape(shape),
            }
            split |= {
                f"W_x{word}": k if rows else k.T,
                f"W_h{word}": r if rows else r.T,
            }
            split[f"b_{word}"] = b.reshape(shape)
        yield (
            f"by gate, fused, rows={rows}",
            tensors,
            0.0,
            {"rows": "hx" if h_first else "xh"},
        )
        yield f"by gate, fused, rows={rows}, unsaid", tensors, 0.0, {}
        yield f"by gate, rows={rows}", split, 0.0, {}


def answer(tensors: Tensors, x: Array, settings: dict[str, Any]) -> Array:
    settings = {"convention": "tf1", **settings} if "bias_row" in settings else settings
    model = load_model([Document("w.npz", "npz", tensors)], settings)
    h = run(model, x).h
    return h.reshape(len(x), -1)


def collisions(seeds: range) -> Counter[tuple[str, str]]:
    """How networks of few sizes are read in every form: "right" or "refused"; never wrongly."""
    told: Counter[tuple[str, str]] = Counter()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        units = int(rng.choice([1, 2, 4, 4, 4, 8]))
        inputs = int(
            rng.choice([units, units, 4 * units, 3 * units, 2 * units, 1, 4, 5])
        )
        ways, count = 1, 1
        if seed % 2:
            ways, count = [(1, 2), (1, 3), (2, 1), (2, 2), (2, 3)][int(rng.integers(5))]
        layers = draw(rng, inputs, units, ways, count)
        x = rng.normal(size=(T, inputs))
        for form, tensors, forget_bias, settings in forms(rng, layers):
            truth = outputs(layers, x, forget_bias)
            try:
                ours = answer(tensors, x, settings)
            except UserError:
                told[form, "refused"] += 1
                continue
            assert ours.shape == truth.shape, (seed, form)
            assert np.allclose(ours, truth, atol=1e-9), (seed, form)
            told[form, "right"] += 1
    return told


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.wide)])
@pytest.mark.slow
def test_shapes_that_collide_are_read_rightly_or_refused(count: int) -> None:
    told, single = collisions(range(count)), count // 2
    for form in ("columns", "rows", "arr", "arr, PyTorch", "initializers"):
        assert told[form, "right"] == single
    assert (
        min(told[form, "right"] for form in ("fused", "fused rows", "last row"))
        > single // 2
    )
    assert told["columns, output layer", "right"] == single
    assert told["fused, output layer", "right"] == told["fused", "right"]
    assert told["fused, another layer", "right"] > single // 4
    assert min(told["no names", way] for way in ("right", "refused")) > single // 5
    assert told["by gate, fused, rows=True", "right"] == single
    assert told["by gate, fused, rows=True, unsaid", "refused"] == single
    two = "arr, 2 cells", "arr, dense, 2 cells"
    assert min(told[form, "right"] for form in two) > single // 8
    assert told["arr, 2 cells", "refused"], "as many inputs as units: one layer or two"


def refusal(tensors: Tensors, **settings: Any) -> list[str]:
    with pytest.raises(UserError) as error:
        load_model([Document("w.npz", "npz", tensors)], settings)
    return error.value.shown(ShellSyntax()).splitlines()


def zeros(**shapes: tuple[int, ...]) -> Tensors:
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def test_matrices_of_one_shape_are_named_with_both_ways() -> None:
    assert refusal(zeros(p=(4, 16), q=(4, 16), s=(16,))) == [
        "w.npz: p (4, 16), q (4, 16), s (16,) may be an LSTM's in 2 ways. Name the tensors:",
        "  lstm run kernel=w.npz:p recurrent_kernel=w.npz:q bias=w.npz:s INPUTS",
        "  lstm run kernel=w.npz:q recurrent_kernel=w.npz:p bias=w.npz:s INPUTS",
    ]


def called(line: str, x: Array) -> Array:
    """h of the call that a line of a message in Python proposes."""
    h: Array = eval(line.strip(), {"run": run, "inputs": x}).h
    return h


def test_proposed_commands_can_be_typed(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    layers = draw(rng, 4, 4, 1, 1)
    k, r, b = (flat(a, "ifgo") for a in layers[0][0])
    path = str(tmp_path / "w.npz")
    np.savez(path, p=r.T, q=k.T, s=b)
    x = rng.normal(size=(T, 4))
    with pytest.raises(UserError) as error:
        lstmcli.load(path)
    results = []
    for line in str(error.value).splitlines()[1:]:
        results.append(called(line, x))
    assert [np.allclose(h, outputs(layers, x)) for h in results] == [False, True]


def test_a_single_matrix_is_asked_about() -> None:
    assert refusal(zeros(W=(9, 20)))[1:] == [
        "  --convention tf1                       no bias is in it",
        "  --convention tf1 --set bias_row=last   the bias is its last row",
        "  --convention tf1 --set bias_row=first  the bias is its first row",
    ]


def test_a_square_kernel_is_asked_about() -> None:
    said = refusal(zeros(W=(16, 16), b=(16,)))
    assert said[0] == "w.npz: W is (16, 16); along which axis are the gates?"
    for line in said[1:]:
        name = line.split()[1]
        model = load_model([Document("w.npz", "npz", zeros(W=(16, 16), b=(16,)))],
                           {"convention": name})  # fmt: skip
        assert model.convention.name == name


def test_settings_recognised_by_shape_are_assumed() -> None:
    model = load_model(
        [Document("w.npz", "npz", zeros(W=(3, 20), U=(5, 20), b=(20,)))], {}
    )
    assert model.assumed[0] == "convention keras (assumed from shapes; --convention)"
    asked = load_model(
        [Document("w.npz", "npz", zeros(W=(3, 20), U=(5, 20), b=(20,)))],
        {"convention": "cntk"},
    )
    assert asked.convention.name == "cntk"
    assert not any("shapes" in line for line in asked.assumed)


@pytest.mark.parametrize(
    "shapes",
    [
        {"fc.weight": (48, 20), "fc.bias": (48,)},
        {"weight": (48, 20), "bias": (48,)},
        {"arr_0": (784, 128), "arr_1": (128,), "arr_2": (128, 10), "arr_3": (10,)},
        {"gru/W": (5, 12), "gru/U": (4, 12), "gru/b": (12,)},
        {"W": (5, 12), "U": (4, 12), "b": (12,)},  # three gates
        {"onnx::GRU_7": (1, 12, 5), "onnx::GRU_8": (1, 12, 4), "onnx::GRU_9": (1, 24)},
        {"mlp/W": (20, 16), "mlp/b": (16,)},
        {"W1": (10, 20), "b1": (20,), "W2": (20, 5), "b2": (5,)},
        {
            "W1": (20, 10),
            "b1": (20,),
            "W2": (20, 20),
            "b2": (20,),
            "W3": (3, 20),
            "b3": (3,),
        },
        {
            "layers.0.W": (20, 16),
            "layers.0.b": (16,),
            "layers.1.W": (16, 4),
            "layers.1.b": (4,),
        },
    ],
)
def test_other_layers_are_not_lstms(shapes: dict[str, tuple[int, ...]]) -> None:
    assert not find_by_shape(shapes)


def test_layers_of_a_file_are_distinguished_by_prefix_and_number() -> None:
    shapes = {f"{n}{k}": s for k in (1, 2) for n, s in (("W", (4, 16)), ("U", (4, 16)),
                                                         ("b", (16,)))}  # fmt: skip
    assert [by_role(found) for found in find_by_shape(shapes)] == [
        {"kernel": f"W{k}", "recurrent_kernel": f"U{k}", "bias": f"b{k}"}
        for k in (1, 2)
    ]
    shapes = {
        "enc/W": (3, 16),
        "enc/U": (4, 16),
        "enc/b": (16,),
        "enc/Wy": (4, 7),
        "enc/by": (7,),
    }
    (found,) = find_by_shape(shapes)
    assert by_role(found) == {
        "kernel": "enc/W",
        "recurrent_kernel": "enc/U",
        "bias": "enc/b",
    }


@pytest.mark.parametrize(
    "beside",
    [
        {"Wy": (4, 7), "by": (7,)},
        {"Wy": (4, 16), "by": (16,)},  # as many outputs as a kernel has columns
        {"Why": (16, 4), "bhy": (16, 1)},
        {"W_out": (4, 16), "b_out": (16,), "E": (16, 4), "vocab": (30,)},
    ],
)
@pytest.mark.parametrize("form", ["{}", "lstm_{}", "{}_lstm", "{}lstm", "lstm/{}"])
@pytest.mark.parametrize("letters", ["Wb", "wb"])
def test_an_output_layer_next_to_an_lstm_is_left_out(
    beside: dict[str, tuple[int, ...]], letters: str, form: str
) -> None:
    fused = {letters[0]: (8, 16), letters[1]: (16,)}
    for own in (fused, {**fused, "U": (4, 16)}):
        named = {form.format(name): shape for name, shape in own.items()}
        (found,) = find_by_shape({**named, **beside})
        assert set(found.cells[0, 0].values()) == set(named)


@pytest.mark.parametrize("form", ["{}", "{}/ReadVariableOp:0"])
def test_operations_of_a_graph_are_one_cell_whatever_their_numbers(form: str) -> None:
    """Keras' cell as basic operations: its first two tensors alone could be TensorFlow 1's."""
    names = [
        form.format(f"net/lstm_6/{name}") for name in ("MatMul", "MatMul_1", "BiasAdd")
    ]
    rng = np.random.default_rng(5)
    layers = draw(rng, 5, 3, 1, 1)
    kernel, recurrent, bias = layers[0][0]
    order = "ifgo"
    arrays = [
        flat(kernel, order).T,
        flat(recurrent, order).T,
        flat(bias[:, :, None], order).T[0],
    ]
    other = {"net/dense/MatMul": np.zeros((3, 2)), "net/dense/BiasAdd": np.zeros(2)}
    x = rng.normal(size=(T, 5))
    found = answer(dict(zip(names, arrays, strict=True)) | other, x, {})
    np.testing.assert_allclose(found, outputs(layers, x), atol=1e-12)
    lines = refusal(zeros(**{names[0]: (3, 12), names[1]: (3, 12), names[2]: (12,)}))
    assert lines[1].startswith("  lstm run kernel=")
    assert names[0] in lines[1]


def test_letters_whose_shapes_do_not_fit_an_lstm_are_listed_with_those_that_fit() -> (
    None
):
    fitting = "  With H units and I inputs those are (I + H, 4H) and (4H,), or (I, 4H), (H, 4H) "
    assert refusal(zeros(W=(8, 15), b=(15,), Wy=(4, 2), by=(2,))) == [
        "w.npz: W (8, 15), b (15,) are not those of an LSTM by their shapes.",
        f"{fitting}and (4H,).",
        "  With a matrix for each gate, name them: Wi=FILE:NAME Ui=FILE:NAME bi=FILE:NAME, then "
        "those of f, g and o.",
    ]  # fmt: skip
    assert (
        "W (5, 12), U (4, 12), b (12,)"
        in refusal(zeros(W=(5, 12), U=(4, 12), b=(12,)))[0]
    )
    mlp = refusal(zeros(W1=(10, 20), b1=(20,), W2=(20, 5), b2=(5,)))
    assert "W2 (20, 5), b2 (5,)" in mlp[0]


def test_a_matrix_that_may_be_the_recurrent_kernel_is_asked_about() -> None:
    """W, b and V: a kernel for inputs and h and a layer V, or a kernel and its recurrent one."""
    tensors = zeros(W=(8, 16), b=(16,), V=(4, 16))
    assert refusal(tensors) == [
        "w.npz: W (8, 16), b (16,), V (4, 16) may be an LSTM's in 2 ways. Name the tensors:",
        "  lstm run kernel=w.npz:W bias=w.npz:b INPUTS",
        "  lstm run kernel=w.npz:W recurrent_kernel=w.npz:V bias=w.npz:b INPUTS",
    ]
    with_bias = refusal({**tensors, "c": np.zeros(16)})
    assert with_bias[2].endswith(" bias=w.npz:b recurrent_bias=w.npz:c INPUTS")
    assert (
        load_model(
            [Document("w.npz", "npz", tensors)], {"convention": "tf1"}
        ).cell.units
        == 4
    )
    lines = refusal(zeros(W=(5, 12), b=(12,), V=(4, 12)))  # three gates, perhaps
    assert (
        lines[0]
        == "w.npz: W (5, 12), b (12,) are not those of an LSTM by their shapes."
    )


@pytest.mark.parametrize("inputs", [5, 4])
def test_two_cells_of_one_shape_are_the_directions_of_a_layer(inputs: int) -> None:
    cell = [(inputs, 16), (4, 16), (16,)]

    def layers(*after: tuple[int, ...]) -> list[int]:
        shapes = {f"arr_{n}": shape for n, shape in enumerate([*cell, *cell, *after])}
        return [len(found.cells) for found in find_by_shape(shapes)]

    assert layers() == ([2] if inputs == 5 else [1, 1])
    assert layers((8, 3), (3,)) == [2], "what follows takes the outputs of both"
    assert layers((8,), (8,), (8,), (8,)) == [2], "a normalisation of both"
    assert layers((4, 8), (8,)) == [1, 1], "a dense layer that takes the outputs of one"
    assert layers((8, 12), (3, 12), (12,), (8, 12), (3, 12), (12,)) == [2, 2]
    assert layers((7, 16), (4, 16), (16,)) == [1, 1, 1]


def test_a_kernel_that_may_be_a_dense_layer_s_is_shown_with_what_to_type() -> None:
    expected = [
        "w.npz: encoder/w (8, 20) and encoder/b (20,) may be an LSTM's or a dense layer's. "
        "If an LSTM's:",
        "  lstm run kernel=w.npz:encoder/w bias=w.npz:encoder/b INPUTS",
    ]
    encoder = {"encoder/w": np.zeros((8, 20)), "encoder/b": np.zeros(20)}
    assert refusal(encoder) == expected
    assert refusal(
        {**encoder, "encoder/Wy": np.zeros((5, 2)), "encoder/by": np.zeros(2)}
    ) == (expected)
    square = {"net.W": np.zeros((16, 16)), "net.b": np.zeros(16)}
    assert refusal(square)[1:] == [
        "  --convention tf1           gates along the last axis: (I + H, 4H)",
        "  --convention tflite-basic  gates along the first: (4H, I + H)",
    ]
    for name in ("tf1", "tflite-basic"):
        model = load_model([Document("w.npz", "npz", square)], {"convention": name})
        assert (model.convention.name, model.cell.inputs) == (name, 12)


def test_the_output_layer_next_to_a_fused_kernel_is_recognised_by_its_name() -> None:
    shapes = {
        "W": (8, 20),
        "b": (20,),
        "Wy": (5, 4),
        "by": (4,),
    }  # 4 numbers: a cell of one unit
    (found,) = find_by_shape(shapes)
    assert (found.convention.name, by_role(found)) == (
        "tf1",
        {"fused": "W", "bias": "b"},
    )
    assert not find_by_shape({"Wa": (8, 20), "ba": (20,), "Wy": (5, 4), "by": (4,)})


def test_a_model_s_weights_in_order_have_an_embedding_and_a_dense_layer_too() -> None:
    shapes = {
        "arr_0": (100, 6), "arr_1": (6, 16), "arr_2": (4, 16), "arr_3": (16,),
        "arr_4": (4, 20), "arr_5": (5, 20), "arr_6": (20,), "arr_7": (5, 1), "arr_8": (1,),
    }  # fmt: skip
    assert [list(one.cells[0, 0].values()) for one in find_by_shape(shapes)] == [
        ["arr_1", "arr_2", "arr_3"], ["arr_4", "arr_5", "arr_6"]
    ]  # fmt: skip
