"""Every row of the table: a cell written in its form and names is read back bit for bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from lstmcli.api.load import load_model
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import Cell, Model
from lstmcli.core.weights.compatibility import fit_or_refuse, needed_settings
from lstmcli.core.weights.decode import decode, fold_weight_norm
from lstmcli.core.weights.encode import (
    encode,
    fold_forget_bias,
    named_tensors,
    prefix_forms,
)
from lstmcli.core.weights.recognise import recognise
from lstmcli.errors import UserError
from lstmcli.formats import Document
from tests.recorded import CASES, held, read

Array = np.ndarray[Any, Any]
Layers = Sequence[tuple[Cell, ...]]
ARRAYS = [f.name for f in fields(Cell) if f.name != "convention"]
I, H, P = 5, 3, 2

ALWAYS = {  # what the cells of some rows cannot do without
    "dynet-coupled": ("peephole",), "tf1-layernorm": ("norm_scale", "norm_shift", "state_scale",
                                                      "state_shift"),
}  # fmt: skip
PARTS = ("bias", "peephole", "projection", "projection_bias", "norm_scale", "initial_h")


def coupling(how: Convention) -> str:
    """The coupling that the row's cells cannot do without."""
    return "f=1-i" if how.name == "dynet-coupled" else how.behaviour.coupled


def cell_for(
    how: Convention, parts: tuple[str, ...], inputs: int = I, seed: int = 0
) -> Cell:
    """A random cell of these parts, as the row runs it."""
    rng = np.random.default_rng(seed)
    how = how.with_behaviour(coupled=coupling(how))

    def draw(*shape: int) -> Array:
        return rng.normal(0.07, 0.6, shape).astype(np.float32)

    outputs = P if "projection" in parts else H
    norm = "norm_scale" in parts
    peephole = None
    if "peephole" in parts:
        peephole = draw(3, H, H) if how.names.peephole_matrices else draw(3, H)
    cell = Cell(
        draw(4, H, inputs), draw(4, H, outputs),
        draw(4, H) if "bias" in parts else np.zeros((4, H), np.float32), how, peephole,
        draw(P, H) if "projection" in parts else None,
        draw(P) if "projection_bias" in parts else None,
        draw(4, H) if norm else None, draw(4, H) if norm else None,
        draw(H) if "state_scale" in parts else None, draw(H) if "state_shift" in parts else None,
        draw(outputs) if "initial_h" in parts else None,
        draw(H) if "initial_h" in parts else None,
    )  # fmt: skip
    if (
        cell.norm_shift is not None
    ):  # one of the two is stored, and the other follows from it
        zero = np.zeros_like(cell.bias)
        keeps_shift = "norm_shift" in how.roles
        cell = replace(cell, bias=zero if keeps_shift else cell.norm_shift)
    return _without_absent_gates(cell)


def _without_absent_gates(cell: Cell) -> Cell:
    """A gate that the coupling makes of another has no weights in the tensors: zeros here."""
    how = cell.convention
    gone = {"i=1-f": "i", "f=1-i": "f"}.get(how.behaviour.coupled)
    if gone is None or (
        gone in how.storage.gates
        and how.behaviour.coupled not in how.storage.absent.values()
    ):
        return cell
    changes: dict[str, Any] = {}
    for name in ("kernel", "recurrent_kernel", "bias", "norm_scale", "norm_shift"):
        if (array := getattr(cell, name)) is not None:
            changes[name] = array.copy()
            changes[name]["ifgo".index(gone)] = 0
    if cell.peephole is not None:
        changes["peephole"] = cell.peephole.copy()
        changes["peephole"]["ifo".index(gone)] = 0
    return replace(cell, **changes)


def reread(layers: Layers, how: Convention, row: Convention) -> Model:
    """The network by way of names, as a file of it would be read."""
    arrays = named_tensors(layers)
    found = recognise({name: a.shape for name, a in arrays.items()}, row.name)
    settings = needed_settings(how, row) | {"convention": row.name}
    if len(found) > 1:
        settings["layer"] = ",".join(map(str, range(len(found))))
    return load_model([Document("f.npz", "npz", arrays, settings)], {})


def assert_same(ours: Layers, theirs: Model) -> None:
    assert [len(layer) for layer in ours] == [len(layer) for layer in theirs.layers]
    for layer, other in zip(ours, theirs.layers, strict=True):
        for a, b in zip(layer, other, strict=True):
            for name in ARRAYS:
                x, y = getattr(a, name), getattr(b, name)
                if x is None or y is None:
                    assert x is y, name
                else:
                    np.testing.assert_array_equal(x, y, err_msg=name, strict=True)


def every_set_of_parts(row: Convention) -> list[tuple[str, ...]]:
    """No part, each alone, and all that the row has."""
    always = ALWAYS.get(row.name, ())
    held = [part for part in PARTS if part in row.roles or part == "bias"]
    if "norm_scale" in always:
        held = ["norm_scale"]
    sets = [always, *((*always, part) for part in held), (*always, *held)]
    sets = [
        (*one, "projection")
        if "projection_bias" in one and "projection" not in one
        else one
        for one in sets
    ]
    return list(dict.fromkeys(tuple(dict.fromkeys(one)) for one in sets))


LAID_OUT = [
    (name, parts)
    for name, row in CONVENTIONS.items()
    for parts in every_set_of_parts(row)
]


@pytest.mark.parametrize(("name", "parts"), LAID_OUT)
def test_a_cell_comes_back_bit_for_bit(name: str, parts: tuple[str, ...]) -> None:
    row = CONVENTIONS[name]
    layers = [(cell_for(row, parts),)]
    assert_same(layers, reread(layers, fit_or_refuse(layers, row, {}), row))


@pytest.mark.parametrize("both", [False, True], ids=["forward", "both"])
@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.sampled(3)
def test_two_layers_come_back_bit_for_bit(name: str, both: bool) -> None:
    row = CONVENTIONS[name]
    parts = (
        *ALWAYS.get(name, ()),
        *(p for p in ("bias", "projection") if p in row.roles),
    )
    outputs = P if "projection" in parts else H
    ways = 2 if both else 1
    layers = [
        tuple(cell_for(row, parts, width, 10 * n + d) for d in range(ways))
        for n, width in enumerate((I, ways * outputs))
    ]
    if row.names.stacks or (both and prefix_forms(row, layers) is None):
        with pytest.raises(UserError, match=r"skip connections|two directions"):
            fit_or_refuse(layers, row, {})
        return
    assert_same(layers, reread(layers, fit_or_refuse(layers, row, {}), row))


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize(
    "name", [n for n, row in CONVENTIONS.items() if "projection" in row.roles]
)  # fmt: skip
def test_a_square_projection_is_oriented_as_the_row_says(
    name: str, square: bool
) -> None:
    row = CONVENTIONS[name]
    cell = cell_for(row, ("bias", "projection"))
    if square:
        rng = np.random.default_rng(5)
        more: dict[str, Any] = {n: rng.normal(size=s).astype(np.float32)
                for n, s in (("recurrent_kernel", (4, H, H)), ("projection", (H, H)))}  # fmt: skip
        cell = _without_absent_gates(replace(cell, **more))
    assert_same([(cell,)], reread([(cell,)], fit_or_refuse([(cell,)], row, {}), row))


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("keras", {"gates": "ogfi"}),
        (
            "keras",
            {"recurrent_gates": "ogfi", "bias_gates": "fogi", "kernel_gates": "gofi"},
        ),
        ("pytorch", {"interleaved": True}),
        ("tf1", {"rows": "hx"}),
        ("keras", {"transposed": "recurrent"}),
        ("keras", {"transposed": "kernel"}),
        ("chainer", {"interleaved": False, "gates": "ifgo"}),
    ],
)
def test_another_form_of_a_row(name: str, asked: dict[str, Any]) -> None:
    row = CONVENTIONS[name]
    cell = cell_for(row, ("bias",))
    how = fit_or_refuse([(cell,)], row, asked)
    assert needed_settings(how, row).items() >= asked.items()
    assert_same([(cell,)], reread([(replace(cell, convention=how),)], how, row))


@pytest.mark.parametrize("name", ["keras", "lasagne"])
def test_a_row_of_two_kernels_keeps_its_bias_whatever_bias_row_says(name: str) -> None:
    row = CONVENTIONS[name]
    cell = cell_for(row, ("bias",))
    how = fit_or_refuse([(cell,)], row, {"bias_row": "first"})
    assert_same([(cell,)], reread([(replace(cell, convention=how),)], how, row))


OTHER_FORMS = ("jax/flat", "torch/initializers")  # which convert does not write


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.startswith(OTHER_FORMS)]
)
@pytest.mark.sampled(4)
def test_a_file_of_a_framework_is_written_as_it_is(case: str) -> None:
    """Every tensor of a recorded file, by its role: the same shape and the same numbers.

    The home form has one bias: where a framework keeps two, their sums are compared; a file
    without biases gets zeros.
    """
    record, _ = read(case)
    row = CONVENTIONS[record["convention"]]
    own = fold_weight_norm(held(f"{case}.weights"))
    places = by_place(own, row)
    layers = ",".join(map(str, range(len(recognise(shapes(own), row.name)))))
    asked = {**record["settings"], "convention": row.name, "layer": layers}
    model = load_model([Document("f.npz", "npz", own)], asked)
    written = named_tensors(model.layers)
    ours = by_place(written, row)
    assert len(written) >= len(model.tensors)
    assert set(places) == set(ours)
    for place, theirs in places.items():
        for role, expected in with_one_bias(theirs, row).items():
            found = with_one_bias(ours[place], row)[role]
            if (
                case != "openvino/cell"
            ):  # the one whose tensors lack the axis of directions
                assert found.shape == expected.shape, (place, role)
            np.testing.assert_array_equal(found.ravel(), expected.ravel(), err_msg=role)
        for role in set(ours[place]) - set(theirs):
            assert "bias" in role, role
            assert not ours[place][role].any(), role


def shapes(arrays: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in arrays.items()}


def by_place(arrays: dict[str, Array], row: Convention) -> dict[Any, dict[str, Array]]:
    """Role, or role and gate, -> tensor, for each cell."""
    places: dict[Any, dict[str, Array]] = {}
    for n, found in enumerate(recognise(shapes(arrays), row.name)):
        for place, names in found.cells.items():
            held = places.setdefault((n, *place), {})
            for slot, name in names.items():
                held[slot.text] = arrays[name]
    return places


def with_one_bias(roles: dict[str, Array], row: Convention) -> dict[str, Array]:
    """The tensors of a cell with two biases summed into the first."""
    summed = dict(roles)
    for role in list(roles):
        if (
            role.startswith("recurrent_bias")
            and (first := role[len("recurrent_") :]) in roles
        ):
            summed[first] = roles[first] + summed.pop(role)
    if row.storage.bias_halves == 2 and "bias" in roles:
        summed["bias"] = np.add(*np.split(roles["bias"], 2, axis=-1))
    return summed


# ---- the forget constant, and what a row cannot hold


@pytest.mark.parametrize(
    ("source", "target", "amount"), [("tf1", "keras", 1), ("keras", "tf1", -1)]
)
def test_the_forget_constant_goes_into_the_bias_and_out_of_it(
    source: str, target: str, amount: float
) -> None:
    cell = cell_for(CONVENTIONS[source], ("bias",))
    moved = fold_forget_bias(cell, CONVENTIONS[target])
    np.testing.assert_array_equal(moved.bias[1], cell.bias[1] + np.float32(amount))
    np.testing.assert_array_equal(moved.bias[[0, 2, 3]], cell.bias[[0, 2, 3]])
    assert moved.convention.name == target


def test_a_layer_norm_takes_the_forget_constant_after_it() -> None:
    parts = (*ALWAYS["tf1-layernorm"],)
    row = CONVENTIONS["tf1-layernorm"]
    cell = cell_for(row, parts)
    moved = fold_forget_bias(cell, fit_or_refuse([(cell,)], row, {"forget_bias": 0.0}))
    assert moved.norm_shift is not None
    assert cell.norm_shift is not None
    np.testing.assert_array_equal(
        moved.norm_shift[1], cell.norm_shift[1] + np.float32(1)
    )
    assert not moved.bias.any()


def test_a_gate_computed_from_another_needs_no_constant() -> None:
    cell = cell_for(CONVENTIONS["dynet-coupled"], ("bias", "peephole"))
    assert fold_forget_bias(cell, CONVENTIONS["dynet-coupled"]).bias is cell.bias


def with_settings(
    name: str, parts: tuple[str, ...] = ("bias",), **settings: Any
) -> Layers:
    cell = cell_for(CONVENTIONS[name], parts)
    return [(replace(cell, convention=cell.convention.changed(settings)),)]


CANNOT = [
    ("pytorch", with_settings("tf1", ("bias", "peephole")), "cannot store peepholes"),
    ("onnx", with_settings("tf1", ("bias", "projection")), "a projection"),
    ("onnx", with_settings("tf1", cell_clip=3.0), "a cell clip of 3"),
    ("keras", with_settings("onnx", gate_clip=0.5), "a gate clip of 0.5"),
    ("keras", with_settings("tf1", ("bias", "projection"), projection_clip=2.0),
     "a projection clip of 2 and a projection"),
    ("pytorch", with_settings("keras", recurrent_activation="hard_sigmoid_0.2"),
     r"recurrent activation hard_sigmoid_0.2 \(it has sigmoid\)"),
    ("pytorch", with_settings("keras", activation="relu"),
     r"store activation relu \(it has tanh\)"),
    ("tf1", with_settings("onnx", output_activation="relu"), "output activation relu"),
    ("keras", with_settings("onnx", coupled="f=1-i"), r"computed from another \(f=1-i\)"),
    ("onnx", with_settings("tf1-coupled"), r"computed from another \(i=1-f\)"),
    ("tf1-coupled", with_settings("tf1"), "input and forget gates that are independent"),
    ("dynet-coupled", with_settings("keras"), "input and forget gates that are independent"),
    ("keras", with_settings("dynet-coupled", ("bias", "peephole")), "peepholes that are full"),
    ("tf1", with_settings("tf1-layernorm", ALWAYS["tf1-layernorm"]), "layer normalisation of c"),
    ("tflite", with_settings("tf1-layernorm", ALWAYS["tf1-layernorm"]), "an epsilon of 1e-12"),
    ("tf1-layernorm", with_settings("tf1"), "a cell without layer normalisation"),
    ("pytorch", with_settings("lasagne", ("bias", "initial_h")), "learned initial state"),
    ("keras", with_settings("lasagne", ("bias", "peephole")), "acts as in lasagne"),
    ("haiku", with_settings("keras", go_backwards=True), "go backwards true"),
    ("onnx", with_settings("keras", state="reset"), "state reset"),
    ("haiku", with_settings("tf-block"), "a cell clip of 3"),
    ("matlab", with_settings("keras", recurrent_activation="hard_sigmoid_1_6"), "hard_sigmoid_1_6"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layers", "words"), CANNOT)
def test_features_that_cannot_be_stored_are_rejected(
    name: str, layers: Layers, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        fit_or_refuse(layers, CONVENTIONS[name], {})


@pytest.mark.parametrize(
    ("name", "asked", "words"),
    [
        ("keras", {"forget_bias": 1.0}, "keras always adds 0"),
        ("haiku", {"forget_bias": 0.0}, "haiku always adds 1"),
        ("coreml-nn", {"forget_bias": 0.5}, "always adds 0"),
        ("keras", {"activation": "relu"}, "store the same network in another form"),
        ("keras1", {"gates": "igfo"}, "a tensor per gate, in no order"),
    ],
)
def test_bad_settings_of_a_target_are_refused(
    name: str, asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        fit_or_refuse(with_settings("keras"), CONVENTIONS[name], asked)


@pytest.mark.parametrize(
    ("name", "layers", "needed"),
    [
        ("keras", with_settings("keras", activation="relu"),
         {"activation": "relu", "recurrent_activation": "sigmoid"}),
        ("tf1", with_settings("pytorch"), {"forget_bias": 1.0}),
        ("tf-block", with_settings("tf1"), {"forget_bias": 1.0, "cell_clip": "none"}),
        ("tf1", with_settings("tf-block"), {"forget_bias": 1.0, "cell_clip": 3.0}),
        ("tflite", with_settings("tf1-coupled"), {}),  # the absent tensors tell
        ("onnx", with_settings("onnx", output_activation="relu", coupled="f=1-i"),
         {"output_activation": "relu", "coupled": "f=1-i"}),
        ("pytorch", with_settings("tf1"), {}),
    ],
)  # fmt: skip
def test_settings_not_stored_are_named(
    name: str, layers: Layers, needed: dict[str, Any]
) -> None:
    row = CONVENTIONS[name]
    how = fit_or_refuse(layers, row, {})
    assert needed_settings(how, row) == needed
    again = reread([(fold_forget_bias(layers[0][0], how),)], how, row).convention
    assert {k: again.setting(k) for k in RUN} == {k: how.setting(k) for k in RUN}


RUN = ("activation", "recurrent_activation", "output_activation", "coupled", "cell_clip",
       "gate_clip", "projection_clip", "forget_bias")  # fmt: skip


@pytest.mark.parametrize(
    "which", ["reshaped_kernel", "reshaped_recurrent", "reshaped_both"]
)
def test_a_reshaped_matrix_comes_back(which: str) -> None:
    rng = np.random.default_rng(3)
    for name in ("tf1", "pytorch"):
        how = CONVENTIONS[name].changed({"transposed": which})
        kernel, recurrent = rng.normal(size=(4, 3, 5)), rng.normal(size=(4, 3, 3))
        cell = Cell(kernel, recurrent, rng.normal(size=(4, 3)), convention=how)
        tensors = encode(cell)
        again = decode(tensors, how, "here")
        assert np.array_equal(again.kernel, cell.kernel)
        assert np.array_equal(again.recurrent_kernel, cell.recurrent_kernel)
        told = which == "reshaped_both" or name == "pytorch"
        plain = decode(tensors, CONVENTIONS[name], "here")
        same = np.array_equal(plain.kernel, cell.kernel) and np.array_equal(
            plain.recurrent_kernel, cell.recurrent_kernel
        )
        assert same != told
