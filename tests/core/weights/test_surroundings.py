"""The front and the head of an LSTM, of tensors beside it and of what a file's graph tells."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli import formats
from lstmcli.api.check import Program, check
from lstmcli.api.convert import convert
from lstmcli.api.inspect import inspect_files
from lstmcli.api.load import load_model
from lstmcli.core.model.model import Model
from lstmcli.core.model.surroundings import (
    Embedding,
    FrontOfFile,
    Head,
    HeadLayer,
    HeadOfFile,
)
from lstmcli.errors import UserError
from lstmcli.formats.document import Document
from tests import networks
from tests.recorded import GOLDEN

I, H = 4, 6
Shapes = Mapping[str, tuple[int, ...]]


def arrays_beside(shapes: Shapes, before: Shapes | None = None) -> dict[str, Any]:
    """An LSTM of PyTorch's names, with other tensors before and behind it."""
    rng = np.random.default_rng(7)
    arrays = {name: rng.normal(size=shape) for name, shape in (before or {}).items()}
    for name, array in networks.pytorch(I, H).items():
        arrays[f"lstm.{name}"] = array
    arrays |= {name: rng.normal(size=shape) for name, shape in shapes.items()}
    return arrays


def loaded(shapes: Shapes, before: Shapes | None = None, **settings: Any) -> Model:
    return lstmcli.load(arrays_beside(shapes, before), **settings)


def head_of(model: Model) -> Head:
    assert model.head is not None
    return model.head


def front_of(model: Model) -> Embedding:
    assert model.front is not None
    return model.front


def refused(arrays: Any, **settings: Any) -> str:
    with pytest.raises(UserError) as error:
        lstmcli.load(arrays, **settings)
    return str(error.value)


# ---- recorded from PyTorch


@pytest.mark.parametrize(
    ("file", "front", "layers"),
    [
        ("classifier_pt.pt", "emb", ["fc"]),
        ("classifier_safetensors.safetensors", "emb", ["fc"]),
        ("classifier_npz.model.npz", "emb", ["fc"]),
        ("forecaster_pt.pt", None, ["linear"]),
        ("tagger_pt.pt", None, ["classifier.0", "classifier.3"]),
        ("last_states_pt.pt", None, ["fc"]),
        ("pooled_pt.pt", None, ["fc"]),
    ],
)
def test_a_state_dict_has_its_head_and_front(
    file: str, front: str | None, layers: list[str]
) -> None:
    path = GOLDEN / "models" / f"torch_{file}"
    model, arrays = lstmcli.load(path), formats.read(str(path)).arrays
    assert [layer.name for layer in head_of(model).layers] == layers
    for layer in head_of(model).layers:
        np.testing.assert_array_equal(layer.kernel, arrays[f"{layer.name}.weight"].T)
        np.testing.assert_array_equal(layer.bias, arrays[f"{layer.name}.bias"])
    assert (model.front and model.front.name) == front
    if front:
        np.testing.assert_array_equal(front_of(model).table, arrays["emb.weight"])
    assert model.remarks == ()
    again = lstmcli.load(path, **model.settings())
    assert again.settings() == model.settings()
    assert not any("head" in text or "front" in text for text in again.assumed)


# ---- tensors beside an LSTM


@pytest.mark.parametrize(
    ("beside", "name", "bias", "shape"),
    [
        ({"fc.weight": (5, H), "fc.bias": (5,)}, "fc", "fc.bias", (H, 5)),
        ({"fc.weight": (H, H)}, "fc", None, (H, H)),
        ({"d/kernel:0": (H, 5), "d/bias:0": (5,)}, "d", "d/bias:0", (H, 5)),
        ({"Why": (5, H), "by": (5, 1)}, "Why", "by", (H, 5)),
        ({"w_out": (H, 5), "b_out": (5,)}, "w_out", "b_out", (H, 5)),
        ({"out/w": (H, 5), "out/b": (4,)}, "out", None, (H, 5)),
    ],
)
def test_a_dense_layer_is_found_by_its_shape_and_name(
    beside: Shapes, name: str, bias: str | None, shape: tuple[int, ...]
) -> None:
    (layer,) = head_of(loaded(beside)).layers
    arrays = arrays_beside(beside)
    kernel = arrays[next(iter(beside))]
    is_as_stored = kernel.shape == shape and "weight" not in next(iter(beside))
    assert layer.name == name
    np.testing.assert_array_equal(layer.kernel, kernel if is_as_stored else kernel.T)
    if bias is None:
        assert layer.bias is None
    else:
        np.testing.assert_array_equal(layer.bias, arrays[bias].reshape(-1))


def test_what_is_taken_is_assumed_and_what_is_not_is_named() -> None:
    beside = {"fc1.weight": (9, H), "fc2.weight": (1, 9), "scale": (3,)}
    model = loaded(beside, {"char_embedding.weight": (20, I)})
    head = "head fc1, fc2: 6 -> 9 -> 1, activations not in the file"
    front = "front char_embedding: 20 x 4 (by its name and shape; --front none)"
    assert model.assumed[-2:] == (
        front,
        f"{head} (--head fc1:relu,fc2:sigmoid)",
    )
    assert model.remarks == ("the dict of arrays: not used: scale.",)
    assert model.settings()["head"] == "fc1,fc2"


def test_a_tied_table_is_front_and_head() -> None:
    model = loaded({"decoder.bias": (9,)}, {"encoder.weight": (9, H)}, layer=None)
    assert model.front is None
    arrays = {f"rnn.{k}": a for k, a in networks.pytorch(H, H).items()}
    arrays = {"encoder.weight": np.ones((9, H)), **arrays, "decoder.bias": np.ones(9)}
    model = lstmcli.load(arrays)
    assert head_of(model).layers[0].kernel is not None
    assert (front_of(model).name, head_of(model).text) == ("encoder", "decoder")
    assert head_of(model).width(H) == 9
    again = lstmcli.load(arrays, **model.settings())
    assert head_of(again).layers[0].bias is not None


NOT_RUN = [
    (
        {"actor.weight": (3, H), "critic.weight": (1, H)},
        "several fit; --head actor (6 -> 3), --head critic (6 -> 1)",
    ),
    (
        {"bn.weight": (H,), "fc.weight": (5, H)},
        "bn.weight may stand before it; --head fc (6 -> 5)",
    ),
    (
        {"fc1.weight": (H, H), "out.weight": (2, H)},
        "several fit; --head fc1,out (6 -> 2), --head out (6 -> 2)",
    ),
    ({"att.W": (H, H)}, "a square kernel may be transposed; --head att (6 -> 6)"),
]


@pytest.mark.parametrize(("beside", "why"), NOT_RUN)
def test_of_several_and_behind_another_layer_no_head_is_taken(
    beside: Shapes, why: str
) -> None:
    model = loaded(beside)
    assert model.head is None
    assert model.remarks == (f"the dict of arrays: no head is run: {why}.",)


def test_the_order_of_the_alphabet_does_not_tell_what_stands_between() -> None:
    arrays = arrays_beside({"fc.weight": (5, H), "bn.weight": (H,)})
    assert lstmcli.load(arrays).head is not None
    model = lstmcli.load(dict(sorted(arrays.items())))
    assert model.head is None
    assert "bn.weight may stand before it" in model.remarks[0]


@pytest.mark.parametrize(
    "beside",
    [
        {"gru.weight_ih_l0": (15, H), "gru.weight_hh_l0": (15, 5)},
        {"conv.weight": (H, H, 3)},
        {"optimizer.fc.weight": (5, H)},
        {"fc.weight": (H, 5)},
        {"step": ()},
    ],
)
def test_other_tensors_change_nothing(beside: Shapes) -> None:
    model, alone = loaded(beside), loaded({})
    assert (model.front, model.head) == (None, None)
    assert (model.assumed, model.remarks) == (alone.assumed, alone.remarks)


def test_one_of_several_lstms_has_no_head() -> None:
    beside = {"fc.weight": (5, H)}
    arrays = arrays_beside(beside)
    arrays |= {f"b.{k}": a for k, a in networks.pytorch(I, H).items()}
    model = lstmcli.load(arrays, layer="lstm")
    assert model.head is None
    assert "the file has other LSTMs; --head fc (6 -> 5)" in model.remarks[-1]
    assert head_of(lstmcli.load(arrays, layer="lstm", head="fc")).text == "fc"


# ---- named by settings


def test_settings_name_the_layers_and_their_activations() -> None:
    beside = {"a.weight": (9, H), "b.weight": (3, 9), "c.weight": (2, H)}
    model = loaded(beside, head="a: ReLU, b.weight:log_softmax")
    activations = [layer.activation for layer in head_of(model).layers]
    assert activations == ["relu", "log_softmax"]
    assert model.settings()["head"] == "a:relu,b:log_softmax"
    square = loaded({"att.W": (H, H)}, head="att:leaky_relu(0.2)")
    assert head_of(square).text == "att:leaky_relu(0.2)"
    assert loaded({"fc.weight": (5, H)}, head="none").head is None
    with_table = {"table": (20, I), "fc.weight": (5, H)}
    assert front_of(loaded(with_table, front="table")).name == "table"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"head": "fx"},
            "no layer is called 'fx'; the file has fc, in, fc.weight, in.weight.",
        ),
        ({"head": "in"}, "in.weight (7, 5) takes 5 inputs; the LSTM gives 6."),
        ({"head": "fc,in:tanh,fc"}, "fc.weight (5, 6) takes 6 inputs; in gives 7."),
        ({"head": "fc:sofmax"}, "Did you mean 'softmax'?"),
        ({"head": "fc,"}, "takes none, or NAME[:ACTIVATION],..."),
        ({"front": "fc"}, "fc.weight is (5, 6); the LSTM takes 4 inputs"),
        ({"front": "ebm"}, "no layer is called 'ebm'"),
    ],
)
def test_a_wrong_name_and_what_does_not_fit_are_refused(
    settings: dict[str, str], message: str
) -> None:
    arrays = arrays_beside({"fc.weight": (5, H), "in.weight": (7, 5)})
    assert message in refused(arrays, **settings)


def test_numbers_of_a_file_are_no_setting() -> None:
    arrays = arrays_beside({"fc.weight": (5, H)})
    others = {"head": 8, "front": None, "heads": 4}
    model = load_model([Document("n.json", "json", arrays, others)], {})
    assert head_of(model).text == "fc"
    named = Document("n.json", "json", arrays, {"head": "fc:softmax"})
    assert head_of(load_model([named], {})).text == "fc:softmax"


def test_inspect_check_and_convert_say_what_they_do(tmp_path: Path) -> None:
    weights, x = str(GOLDEN / "models" / "torch_classifier_pt.pt"), np.ones((3, 2, 8))
    found = inspect_files([weights], {"head": "fc:softmax"})
    (lstm,) = found.to_json()["lstms"]
    assert lstm["front"] == {"name": "emb", "shape": [11, 8], "mask_zero": False}
    layer = {"name": "fc", "shape": [3, 9], "activation": "softmax"}
    assert lstm["head"] == {"layers": [layer], "steps": "each"}
    assert lstm["parameters"] == 12 * (8 + 3 + 2)
    roles = {name: tensor.role for name, tensor in found.tensors.items()}
    assert roles["emb.weight"] == "front"
    assert (roles["fc.weight"], roles["fc.bias"]) == ("head kernel", "head bias")
    target = str(tmp_path / "w.npz")
    conversion = convert([weights], target, "keras", {})
    remark = "the front emb and the head fc are left out"
    assert conversion.model.remarks == (f"{remark}: {target} has the LSTM alone.",)
    assert "head" not in conversion.to_json()["from"]
    assert not any("--head" in text for text in conversion.model.assumed)
    program = Program.parse("true", 9)
    with pytest.raises(UserError):
        check(weights, x, program, head="fx")


def test_none_where_there_is_none_changes_nothing() -> None:
    model = loaded({}, head="none", front="none")
    assert model.idle == model.remarks
    assert model.idle[1].endswith("head=none changes nothing: there is no head.")


def test_a_second_file_may_have_the_head() -> None:
    model = lstmcli.load(arrays_beside({}), {"fc.weight": np.ones((5, H))})
    assert head_of(model).width(H) == 5


def test_numbers_that_are_not_finite_are_reported() -> None:
    arrays = arrays_beside(
        {"fc.weight": (5, H), "fc.bias": (5,)}, {"emb.weight": (9, I)}
    )
    arrays["fc.bias"][2] = np.nan
    arrays["emb.weight"][3, 1] = np.inf
    remarks = " ".join(lstmcli.load(arrays).remarks)
    assert "fc.bias has nan at [2]" in remarks
    assert "emb.weight has inf at [3, 1]" in remarks


# ---- as a graph tells


def of_graph(
    heads: list[HeadOfFile], fronts: list[FrontOfFile], **settings: Any
) -> Model:
    beside = {"d/kernel": (H, 5), "table": (9, I), "d/bias": (5,)}
    document = Document(
        "g.keras",
        "npz",
        arrays_beside(beside),
        has_graph=True,
        heads=tuple(heads),
        fronts=tuple(fronts),
    )
    return load_model([document], settings)


DENSE = HeadLayer("d", "d/kernel", "d/bias", "softmax")
SOFTMAX = HeadLayer("softmax_1", activation="Softmax")


def test_a_graph_decides_alone() -> None:
    assert of_graph([], []).head is None
    heads = [HeadOfFile("lstm", (DENSE._replace(activation="relu"), SOFTMAX), "last")]
    model = of_graph(heads, [FrontOfFile("lstm", "e", "table", masks_zero=True)])
    assert head_of(model).text == "d:relu,softmax_1:softmax"
    assert (head_of(model).output, front_of(model).masks_zero) == ("final_y", True)
    assert not any("head" in text or "front" in text for text in model.assumed)
    named = {k: model.settings()[k] for k in ("front", "head")}
    again = of_graph(heads, [FrontOfFile("lstm", "e", "table")], **named)
    assert again.settings() == model.settings()
    assert head_of(again).steps == "last"


@pytest.mark.parametrize(
    ("head", "remark"),
    [
        (HeadOfFile("lstm", obstacle="attention"), "attention behind the LSTM"),
        (HeadOfFile("other", (DENSE,)), "d behind another LSTM"),
        (HeadOfFile("lstm", (DENSE, DENSE)), "d/kernel (6, 5) takes 6 inputs; d gives"),
        (
            HeadOfFile("lstm", (DENSE._replace(activation="gelu"),)),
            "d has the activation gelu",
        ),
    ],
)
def test_a_remark_names_what_is_not_run(head: HeadOfFile, remark: str) -> None:
    model = of_graph([head], [FrontOfFile("lstm", obstacle="a convolution")])
    assert (model.front, model.head) == (None, None)
    assert "no front is run: a convolution before" in model.remarks[0]
    assert remark in model.remarks[1]


def test_a_head_of_lstms_that_do_not_run_in_turn_is_not_ignored() -> None:
    path = str(GOLDEN / "models" / "tflite_directions_last.tflite")
    remarks = " ".join(inspect_files([path], {"head": "fc"}).remarks)
    assert (
        "head=fc changes nothing: its LSTMs do not run one after the other" in remarks
    )
    assert "changes nothing" not in " ".join(inspect_files([path], {}).remarks)


def test_a_table_that_is_given_stands_in_no_heads_way() -> None:
    """By the alphabet's order it might stand before the head; as the front it does not."""
    arrays = arrays_beside({"fc.weight": (5, H), "fc.bias": (5,), "tok.weight": (9, I)})
    ordered = {name: arrays[name] for name in sorted(arrays)}
    assert lstmcli.load(ordered).head is None
    model = lstmcli.load(ordered, front="tok")
    assert front_of(model).name == "tok"
    assert head_of(model).text == "fc"
    assert not any("may stand" in remark for remark in model.remarks)
