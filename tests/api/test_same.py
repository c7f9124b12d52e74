"""Two files of weights as networks: files of real frameworks, and every pair of conventions."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli.api.convert import convert
from lstmcli.cli import invoke
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.same.difference import NetworkDifference
from lstmcli.testing import assert_lstm_close
from tests.golden_models import FOLDER
from tests.networks import normal, pytorch
from tests.paths import TOP

NETS: dict[str, dict[str, Any]] = {
    "one layer": pytorch(4, 3),
    "stack": pytorch(4, 3, layers=2),
    "two directions": pytorch(4, 3, directions=2),
    "projection": pytorch(4, 3, projection=2),
    "peepholes": {
        "W": normal(1, 12, 4), "R": normal(1, 12, 3), "B": normal(1, 24), "P": normal(1, 9),
    },
}  # fmt: skip
STORING = {
    "one layer": 51,
    "stack": 50,
    "two directions": 26,
    "projection": 9,
    "peepholes": 12,
}
"""How many conventions can store each net."""


def diff(a: Any, b: Any, **given: Any) -> NetworkDifference:
    found = lstmcli.diff(a, b, **given)
    assert isinstance(found, NetworkDifference)
    return found


UNLIKE = (
    "keras",
    "tf1",
    "chainer",
    "onnx",
    "pytorch",
    "dynet",
    "flax",
    "tflite",
    "sonnet2",
)
"""Conventions of which no two store alike."""


def converted(kind: str, folder: Path, names: Iterable[str] = UNLIKE) -> dict[str, str]:
    """By convention, the file in which it stores a net."""
    source = folder / "source.npz"
    np.savez(source, **NETS[kind])
    files = {}
    for name in names:
        path = str(folder / f"{name}.npz")
        try:
            convert([str(source)], path, name, {})
        except lstmcli.UserError:
            continue
        files[name] = path
    return files


# ---- the same network


RECORDED = {  # one trained network each, as several frameworks save it
    "classifier": (
        "onnx_classifier.onnx", "torch_classifier_npz.model.npz", "torch_classifier_pt.pt",
        "torch_classifier_safetensors.safetensors",
    ),
    "forecaster": ("onnx_forecaster.onnx", "torch_forecaster_pt.pt"),
    "last states": ("onnx_last_states.onnx", "torch_last_states_pt.pt"),
    "tagger": ("onnx_tagger.onnx", "torch_tagger_pt.pt"),
    "stack": ("keras_stack_time_distributed.keras", "tf_keras_stack_time_distributed.h5"),
    "directions": ("keras_directions_each.keras", "tf_keras_directions_each.h5"),
    "embedding": ("keras_embedding_softmax.keras", "tf_keras_embedding_softmax.h5"),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDED)
def test_files_of_frameworks_with_one_network_are_the_same(name: str) -> None:
    for a, b in permutations(RECORDED[name], 2):
        found = diff(FOLDER / a, FOLDER / b)
        assert (found.relation, found.is_same_bits) == ("same", True)
        around = {array.split(".")[0] for array in found.arrays} & {"head", "front"}
        # what the format tells of the layers around is compared
        assert around == (
            {"head", "front"} if name in ("embedding", "classifier") else {"head"}
        )


def test_a_setting_that_a_converter_adds_is_named() -> None:
    found = diff(FOLDER / "keras_dense.keras", FOLDER / "tflite_dense.tflite")
    assert (found.relation, found.equal, found.differ) == ("differs", False, [])
    assert found.settings == {"cell_clip": (None, 10.0)}
    assert "run with other settings: cell_clip" in found.summary
    same = {"settings_b": {"cell_clip": None}}
    assert diff(
        FOLDER / "keras_dense.keras", FOLDER / "tflite_dense.tflite", **same
    ).equal


@pytest.mark.parametrize("kind", NETS)
def test_unlike_conventions_store_the_same_network(kind: str, tmp_path: Path) -> None:
    files = converted(kind, tmp_path)
    for a, b in permutations(files, 2):
        found = diff(files[a], files[b])
        assert found.relation == "same"
        # a constant that goes out of the bias and comes back is rounded twice
        added = {CONVENTIONS[name].behaviour.forget_bias for name in (a, b)}
        assert found.is_same_bits or added == {0, 1}


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
def test_every_pair_of_conventions_is_the_same(kind: str, tmp_path: Path) -> None:
    files = converted(kind, tmp_path, CONVENTIONS)
    assert len(files) == STORING[kind]
    for a, b in product(files.values(), repeat=2):
        assert diff(a, b).relation == "same"


def test_a_forget_bias_in_the_bias_is_that_of_the_run() -> None:
    arrays = {"kernel": normal(7, 12), "bias": normal(12)}
    folded = {**arrays}
    folded["bias"] = arrays["bias"].copy()
    folded["bias"][6:9] += 1
    assert diff(arrays, folded, settings_b={"forget_bias": 0}).is_same_bits
    found = diff(arrays, folded)
    assert found.reading is not None
    assert found.reading.settings == {"forget_bias": 0}


# ---- the same network, read otherwise


ASKED: list[dict[str, Any]] = [
    {"gates": "ofgi"}, {"kernel_gates": "gfio"}, {"recurrent_gates": "gfio"},
    {"bias_gates": "oigf"}, {"interleaved": True}, {"interleaved": False}, {"rows": "hx"},
    {"transposed": "both"}, {"transposed": "kernel"}, {"transposed": "recurrent"},
    {"transposed": "reshaped_both"}, {"forget_bias": 2.5}, {"forget_bias": 0.0},
    {"gates": "ofgi", "interleaved": True}, {"gates": "fgoi", "transposed": "recurrent"},
    {"gates": "fgoi", "rows": "hx"},
]  # fmt: skip
"""Settings under which B is written; its file has only the tensors."""


def written_otherwise(folder: Path, name: str, asked: dict[str, Any]) -> Path | None:
    """The tensors of the source under a convention and settings, without these settings."""
    path = folder / "other.npz"
    try:
        convert([str(folder / "source.npz")], str(path), name, {}, asked)
    except lstmcli.UserError:  # the convention has no such setting
        return None
    with np.load(path) as members:
        kept = {k: a for k, a in members.items() if k not in asked}
    np.savez(path, **kept)
    return path


def same_kernels(one: lstmcli.Model, other: lstmcli.Model) -> bool:
    """Return whether both have the same kernels, bit for bit, and nearly the same biases."""
    for (_, a), (_, b) in zip(one.cells, other.cells, strict=True):
        if not np.array_equal(a.kernel, b.kernel):
            return False
        if not np.array_equal(a.recurrent_kernel, b.recurrent_kernel):
            return False
        first, second = a.bias.copy(), b.bias.copy()
        first[1] += a.behaviour.forget_bias
        second[1] += b.behaviour.forget_bias
        if not np.allclose(first, second, rtol=0, atol=1e-12):
            return False
    return True


def recovered(kind: str, folder: Path, names: Iterable[str]) -> int:
    """How many ways of writing a net are seen in its numbers; each has to be, or be the same."""
    np.savez(folder / "source.npz", **NETS[kind])
    source = lstmcli.load(folder / "source.npz")
    count = 0
    for name, asked in product(names, ASKED):
        path = written_otherwise(folder, name, asked)
        if path is None:
            continue
        found = diff(folder / "source.npz", path)
        settings = dict(found.reading.settings) if found.reading else {}
        assert found.equal, (name, asked)
        assert found.relation == ("reordered" if settings else "same")
        assert same_kernels(source, lstmcli.load(path, **settings)), (name, asked)
        count += 1 if settings else 0
    return count


@pytest.mark.parametrize("kind", NETS)
def test_other_arrangements_are_seen_in_the_numbers(kind: str, tmp_path: Path) -> None:
    assert recovered(kind, tmp_path, ("tf1", "chainer")) >= 8


@pytest.mark.slow
@pytest.mark.parametrize("kind", NETS)
def test_arrangements_of_every_convention_are_seen(kind: str, tmp_path: Path) -> None:
    names = [
        name for name in CONVENTIONS if not name.startswith("per-gate")
    ]  # say it or fail
    assert recovered(kind, tmp_path, names) > 60


def reordered(net: dict[str, Any], order: Iterable[int]) -> dict[str, Any]:
    """The tensors of PyTorch with their gate blocks in another order."""
    blocks = {name: np.split(array, 4) for name, array in net.items()}
    return {name: np.concatenate([of[n] for n in order]) for name, of in blocks.items()}


def test_a_hand_written_node_with_the_gates_of_pytorch_is_named() -> None:
    port = TOP / "samples" / "onnx-port"
    found = diff(port / "model.pt", port / "port.onnx")
    assert (found.relation, found.is_same_bits) == ("reordered", True)
    assert found.summary == "the same network: in b, the gates are in the order i f g o"
    (pair, _) = found.to_json()["map"]
    assert (pair["a"], pair["b"]) == ("layer0", "layer0")
    (change,) = pair["changes"]
    assert [change[k] for k in ("setting", "assumed", "found")] == [
        "gates",
        "iofg",
        "ifgo",
    ]


@pytest.mark.parametrize("layers", [1, 2])
def test_directions_and_layers_that_are_exchanged_are_found(layers: int) -> None:
    one = pytorch(6, 3, layers=layers, directions=2)
    turned = {}
    for name, array in one.items():
        plain = name.removesuffix("_reverse")
        turned[plain if plain != name else f"{name}_reverse"] = array
    found = diff(one, turned)
    assert found.reading is not None
    assert found.reading.settings == {"directions": "exchanged"}
    assert [pair.b for pair in found.map[:2]] == ["layer0_reverse", "layer0"]
    stack = pytorch(3, 3, layers=3)
    swapped = {name.replace("l1", "lx").replace("l2", "l1").replace("lx", "l2"): a
               for name, a in stack.items()}  # fmt: skip
    found = diff(stack, swapped)
    assert (found.relation, [pair.b for pair in found.map]) == (
        "reordered", ["layer0", "layer2", "layer1"],
    )  # fmt: skip
    assert found.summary == "the same network: in b, layer1 is layer2, layer2 is layer1"


def test_exchanged_layers_are_written_in_their_order_by_the_command(
    tmp_path: Path,
) -> None:
    stack = pytorch(3, 3, layers=3)
    swapped = {name.replace("l1", "lx").replace("l2", "l1").replace("lx", "l2"): a
               for name, a in stack.items()}  # fmt: skip
    np.savez(tmp_path / "swapped.npz", **swapped)
    found = diff(stack, tmp_path / "swapped.npz")
    right = tmp_path / "right.npz"
    convert(found.moved, str(right), "pytorch", {})
    assert diff(stack, right).is_same_bits
    assert diff(stack, stack).moved == ()


def with_factors(
    both: Mapping[str, np.ndarray], *factors: int
) -> dict[str, np.ndarray]:
    """A PyTorch layer whose input and recurrent bias are multiplied."""
    other = dict(both)
    for name, factor in zip(("bias_ih_l0", "bias_hh_l0"), factors, strict=True):
        other[name] = both[name] * factor
    return other


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ((1, 0), "with its input bias alone"),
        ((0, 1), "with its recurrent bias alone"),
        ((0, 0), "without its biases"),
    ],
)
def test_a_network_that_lost_biases_is_not_the_same(
    factors: tuple[int, int], words: str
) -> None:
    """Whichever side lost them: a setting that leaves numbers out makes nothing equal."""
    both = pytorch(4, 3)
    lost = with_factors(both, *factors)
    found = diff(lost, both)
    assert (found.relation, found.equal) == ("differs", False)
    assert found.hints[-1].text == f"a is b {words}."
    found = diff(both, lost)
    assert (found.relation, found.equal) == ("differs", False)
    assert found.hints[-1].text == f"b is a {words}."


def test_biases_that_were_added_twice_are_named() -> None:
    both = pytorch(4, 3)
    found = diff(with_factors(both, 2, 2), both)
    assert found.reading is not None
    assert (found.relation, found.reading.settings) == ("reordered", {"bias": "twice"})
    found = diff(both, with_factors(both, 2, 2))
    assert found.hints[-1].text == "b is a with its biases added twice."


@pytest.mark.slow
def test_a_thousand_units_take_less_than_a_second() -> None:
    """Beyond reading both: of another network, another order, and a later one."""
    one = pytorch(1024, 1024, scale=0.03, dtype=np.float32)
    rng = np.random.default_rng(0)
    later = {name: array + np.float32(1e-3) * rng.random(array.shape, np.float32)
             for name, array in one.items()}  # fmt: skip
    other = pytorch(1024, 1024, scale=0.03, dtype=np.float32, seed=1)
    a = lstmcli.load(one)
    for tensors in (one, later, other, reordered(one, (0, 3, 1, 2))):
        b = lstmcli.load(tensors)
        began = time.process_time()
        diff(a, b)
        assert time.process_time() - began < 1


def test_one_tensor_of_one_layer_in_another_order_is_named() -> None:
    one = pytorch(4, 3, layers=2)
    other = {**one, **reordered({"weight_hh_l1": one["weight_hh_l1"]}, (1, 0, 2, 3))}
    found = diff(one, other)
    assert found.reading is not None
    assert found.reading.settings == {"layer1.recurrent_gates": "figo"}
    assert found.summary.endswith("recurrent kernel are in the order f i g o in layer1")


@pytest.mark.parametrize(
    ("changed", "tensor"),
    [
        ("weight_hh_l0", "recurrent_kernel"),
        ("weight_ih_l0", "kernel"),
        ("bias_hh_l0", "bias"),
    ],
)
def test_a_tensor_that_differs_is_counted_in_another_order(
    changed: str, tensor: str
) -> None:
    """The other kernel shows the order; by few numbers it may be chance."""
    one = pytorch(8, 8)
    other = reordered(one, (0, 3, 1, 2))
    other[changed] = other[changed].copy()
    other[changed][:8] *= -1  # of the input gate
    found = diff(one, other)
    assert found.reading is not None
    assert (found.relation, found.reading.settings) == ("differs", {"gates": "iofg"})
    assert {array["tensor"] for array in found.differ} == {tensor}
    few = pytorch(1, 1)
    small = reordered(few, (0, 3, 1, 2))
    small[changed] = -small[changed]
    assert diff(few, small).reading is None


def test_an_order_and_a_bias_that_was_left_out_are_both_named() -> None:
    one = pytorch(8, 8)
    lost = reordered({**one, "bias_hh_l0": 0 * one["bias_hh_l0"]}, (0, 3, 1, 2))
    found = diff(one, lost)
    assert found.reading is not None
    assert (found.relation, found.reading.settings) == ("differs", {"gates": "iofg"})
    assert found.hints[-1].text == "b is a with its input bias alone."
    found = diff(lost, one)
    assert found.reading is not None
    assert (found.relation, found.reading.settings) == ("differs", {"gates": "igof"})
    assert found.hints[-1].text == "a is b with its input bias alone."


def test_equal_blocks_leave_the_order_open() -> None:
    one = pytorch(4, 3)
    zero = {name: array * ("weight" in name) for name, array in one.items()}
    found = diff(zero, reordered(zero, (1, 0, 3, 2)))
    assert [hint.text for hint in found.hints] == [
        "Gates with the same biases leave the order of the bias open."
    ]
    twice = reordered(one, (0, 0, 2, 3))  # i and f have the same numbers
    assert diff(twice, dict(twice)).relation == "same"
    found = diff(twice, reordered(twice, (2, 3, 0, 1)))
    assert found.equal
    (hint,) = found.hints
    assert "g o i f and g o f i fit" in hint.text


def random_net(seed: int, of: int = 0) -> dict[str, Any]:
    """A net of random sizes; those of one ``seed`` have the same sizes."""
    rng = np.random.default_rng(seed)
    units, layers, directions = (
        rng.integers(1, 6),
        rng.integers(1, 3),
        rng.integers(1, 3),
    )
    inputs = units if seed % 3 == 0 else rng.integers(1, 6)
    return pytorch(int(inputs), int(units), layers=int(layers), directions=int(directions),
                   seed=seed + of)  # fmt: skip


@pytest.mark.sampled(4)
@pytest.mark.parametrize("first", range(0, 200, 20))
def test_no_map_is_found_of_another_net_or_one_step_later(first: int) -> None:
    for seed in range(first, first + 20):
        one, other = random_net(seed), random_net(seed, of=1000)
        rng = np.random.default_rng(seed)
        later = {
            name: array + rng.normal(0, 0.01, array.shape)
            for name, array in one.items()
        }
        for net in (other, later):
            found = diff(one, net)
            assert (found.equal, found.reading) == (False, None)
        order = tuple(rng.permutation(4))
        found = diff(one, reordered(later, order))
        assert not found.equal
        if found.reading is not None:  # of enough numbers
            assert found.reading.settings == {
                "gates": "".join("ifgo"[n] for n in order)
            }


# ---- rounded, and a step later


def quantised(array: Array, bits: int, axis: int | None) -> Array:
    """The nearest integers times a scale, of ``bits`` bits; biases stay."""
    if array.ndim < 2:
        return array
    scale = np.abs(array).max(axis=axis, keepdims=True) / (2 ** (bits - 1) - 1)
    return np.asarray(np.round(array / scale) * scale, array.dtype)


def asymmetric(array: Array) -> Array:
    """Unsigned 8 bits with a zero point, as onnxruntime quantises weights."""
    scale = (array.max() - array.min()) / 255
    zero = np.round(-array.min() / scale)
    return np.asarray((np.clip(np.round(array / scale) + zero, 0, 255) - zero) * scale)


def to_bfloat16(array: Array) -> Array:
    """The upper half of the bits of each float32, rounded to even."""
    bits = array.astype(np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.view(np.float32)


ROUNDED: dict[str, Callable[[Array], Array]] = {
    "float16": lambda array: array.astype(np.float16).astype(array.dtype),
    "bfloat16": to_bfloat16,
    "3 decimals": lambda array: np.round(array, 3),
    "fixed point, 8 bits after the point": lambda array: np.round(array * 256) / 256,
    "8 bits, a scale per tensor": lambda array: quantised(array, 8, None),
    "8 bits, a scale per row": lambda array: quantised(array, 8, 1),
    "8 bits, a scale per column": lambda array: quantised(array, 8, 0),
    "4 bits, a scale per tensor": lambda array: quantised(array, 4, None),
}


@pytest.mark.parametrize("words", ROUNDED)
@pytest.mark.parametrize("order", [(0, 1, 2, 3), (2, 0, 3, 1)])
def test_a_rounding_is_named(words: str, order: tuple[int, ...]) -> None:
    """Of a network in float32, in the same gate order and in another."""
    one = pytorch(6, 5, layers=2, scale=0.3, dtype=np.float32)
    rounded = {name: ROUNDED[words](array) for name, array in one.items()}
    found = diff(one, reordered(rounded, order))
    assert (found.equal, found.relation) == (False, "rounded")
    assert found.summary == f"not the same network: b is a rounded to {words}"
    is_plain = order == (0, 1, 2, 3)
    assert (found.reading is None) == is_plain
    if found.reading is not None:
        assert found.reading.settings == {"gates": "giof"}
    assert diff(rounded, one).summary.endswith(f"a is b rounded to {words}")


@pytest.mark.parametrize(
    ("kind", "bits"), [("Q8_0", 8), ("Q4_0", 4), ("Q4_1", 4), ("Q5_0", 5), ("Q5_1", 5)]
)
def test_the_blocks_of_gguf_are_a_rounding(kind: str, bits: int) -> None:
    """As its own package rounds kernels; biases stay."""
    gguf = pytest.importorskip("gguf")
    number = gguf.GGMLQuantizationType[kind]
    one = pytorch(64, 32, layers=2, scale=0.3, dtype=np.float32)
    rounded = dict(one)
    for name, array in one.items():
        if array.ndim == 2:
            packed = gguf.quants.quantize(array, number)
            rounded[name] = gguf.quants.dequantize(packed, number)
    words = f"rounded to {bits} bits, a scale per block of 32"
    assert diff(one, rounded).summary == f"not the same network: b is a {words}"
    found = diff(one, reordered(rounded, (2, 0, 3, 1)))
    assert found.summary == f"not the same network: b is a {words}"
    rng = np.random.default_rng(1)
    later = {name: array + rng.normal(0, 0.01, array.shape).astype(np.float32)
             for name, array in one.items()}  # fmt: skip
    assert diff(one, later).relation == "another_step"


def test_float16_within_its_tolerance_is_a_rounding_where_a_bias_is_not() -> None:
    """The sum of two rounded biases may be further off than a rounded sum."""
    one = pytorch(16, 16, scale=0.3, dtype=np.float32)
    one["bias_hh_l0"] -= one["bias_ih_l0"]
    rounded = {name: array.astype(np.float16) for name, array in one.items()}
    found = diff(one, rounded)
    assert {array["tensor"] for array in found.differ} == {"bias"}
    assert found.summary == "not the same network: b is a rounded to float16"


def test_unsigned_bits_with_a_zero_point_are_a_rounding() -> None:
    one = pytorch(6, 5, scale=0.3)
    found = diff(one, {name: asymmetric(array) for name, array in one.items()})
    assert found.relation_words == "b is a rounded to 8 bits, a scale per tensor"


def test_a_training_step_is_small_and_everywhere() -> None:
    one = pytorch(6, 5, layers=2, scale=0.3)
    rng = np.random.default_rng(0)
    later = {
        name: array + 1e-3 * rng.normal(size=array.shape) for name, array in one.items()
    }
    found = diff(one, later)
    assert found.relation == "another_step"
    assert found.summary.endswith(
        "6 of 6 tensors differ a little everywhere, as after a training step"
    )
    frozen = {**later, **{name: one[name] for name in one if "l0" in name}}
    assert [row["cell"] for row in diff(one, frozen).differ] == ["layer1"] * 3
    assert diff(one, frozen).relation == "another_step"
    some = {**one, "weight_hh_l0": one["weight_hh_l0"].copy()}
    some["weight_hh_l0"][:3] += 1e-3  # three rows alone
    assert diff(one, some).relation == "differs"


def test_a_tensor_that_is_zero_is_named() -> None:
    one = pytorch(4, 3)
    found = diff(
        one, {**one, "bias_ih_l0": 0 * one["bias_ih_l0"], "bias_hh_l0": np.zeros(12)}
    )
    assert [hint.text for hint in found.hints] == [
        "layer0.bias is zero in b.",
        "b is a without its biases.",
    ]
    assert found.relation == "differs"


# ---- other networks


@pytest.mark.parametrize("kind", NETS)
def test_another_network_is_not_the_same(kind: str, tmp_path: Path) -> None:
    """Of another seed, and with one number changed, in every convention."""
    names = list(NETS[kind])
    files = converted(kind, tmp_path)
    others = {
        name: normal(*NETS[kind][name].shape, seed=n) for n, name in enumerate(names, 5)
    }
    one_number = {names[1]: NETS[kind][names[1]].copy()}
    one_number[names[1]][..., 2, 1] += 0.01
    for changed, mismatched in ((others, 0), (one_number, 1)):
        np.savez(tmp_path / "other.npz", **{**NETS[kind], **changed})
        for path in files.values():
            found = diff(path, tmp_path / "other.npz")
            assert (found.equal, found.relation) == (False, found.relation)
            wrong = [one["mismatched"] for one in found.differ]
            assert wrong == [1] if mismatched else sum(wrong) > 20
            assert found.first_divergence is not None


def test_what_differs_is_counted_in_each_tensor() -> None:
    one = pytorch(4, 3, layers=2)
    other = {name: array.copy() for name, array in one.items()}
    other["weight_hh_l1"][4, 2] -= 0.25  # unit 1 of the forget gate
    found = diff(one, other)
    assert found.relation == "differs"
    assert found.differ == [
        {
            "cell": "layer1", "tensor": "recurrent_kernel", "mismatched": 1, "total": 36,
            "max_abs": pytest.approx(0.25),
        }
    ]  # fmt: skip
    assert found.first_divergence is not None
    assert found.first_divergence.index == (1, 1, 2)
    assert found.summary.endswith("layer1.recurrent_kernel differs, 1 of 180 values")


def test_networks_of_other_sizes_and_parts_differ() -> None:
    small, large = pytorch(4, 3), pytorch(4, 5)
    assert diff(small, large).relation == "differs"
    assert {one["mismatched"] for one in diff(small, large).differ} == {None}
    assert diff(small, pytorch(4, 3, layers=2)).only_in_b[0] == "layer1.kernel"
    assert diff(pytorch(4, 3, layers=2), small).relation == "differs"
    assert diff(small, pytorch(4, 3, seed=7)).relation == "differs"  # few numbers
    assert diff(pytorch(40, 30), pytorch(40, 30, seed=7)).relation == "unrelated"


def test_tolerances_are_those_of_the_coarser_dtype_or_given() -> None:
    one = pytorch(4, 3, dtype=np.float32)
    near = {name: array.astype(np.float64) + 5e-6 for name, array in one.items()}
    found = diff(one, near)
    assert (found.equal, found.is_same_bits) == (True, False)
    assert (found.rtol, found.atol) == (1.3e-6, 1e-5)
    assert not diff(one, near, atol=1e-6).equal


# ---- which sides are networks


def test_tensors_are_compared_by_name_on_request() -> None:
    one, other = pytorch(4, 3), pytorch(4, 3, seed=1)
    found = lstmcli.diff(one, other, by_name=True)
    assert list(found.arrays) == list(one)
    assert not isinstance(found, NetworkDifference)
    dense = {"a.weight": normal(3, 5), "a.bias": normal(3)}
    assert not isinstance(lstmcli.diff(dense, dense), NetworkDifference)


def test_models_are_sides_too() -> None:
    one = pytorch(4, 3)
    assert diff(lstmcli.load(one), one).is_same_bits
    with pytest.raises(lstmcli.UserError, match=r"give gates= to load"):
        lstmcli.diff(lstmcli.load(one), one, gates="ifog")
    with pytest.raises(lstmcli.UserError, match="has not; diff compares"):
        lstmcli.diff(lstmcli.load(one), normal(7, 3))


def test_one_lstm_of_several_is_chosen_by_its_name(tmp_path: Path) -> None:
    one, other = pytorch(4, 3), pytorch(4, 3, seed=1)
    both = {f"encoder.{k}": a for k, a in one.items()} | {
        f"decoder.{k}": a for k, a in other.items()
    }
    np.savez(tmp_path / "both.npz", **both)
    np.savez(tmp_path / "one.npz", **other)
    assert diff(f"{tmp_path}/both.npz:decoder", tmp_path / "one.npz").is_same_bits
    assert diff(f"{tmp_path}/both.npz:0", f"{tmp_path}/both.npz:encoder").is_same_bits
    with pytest.raises(lstmcli.UserError, match="has 2 LSTMs") as error:
        diff(tmp_path / "both.npz", tmp_path / "one.npz")
    assert "by_name=True" in str(error.value)
    with pytest.raises(lstmcli.UserError, match="no 'nothing'"):
        diff(f"{tmp_path}/both.npz:nothing", tmp_path / "one.npz")


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            normal(7, 3),
            r"a has the weights of an LSTM, b has not; diff compares.*\n.*\n  explain",
        ),
        ({"h": normal(7, 3), "c": normal(7, 3)}, "has not; diff compares"),
        (
            {"fc": normal(7, 3), "bias": normal(7)},
            r"b has none, but fc, bias.*\n.*by_name=True",
        ),
    ],
)
def test_one_network_alone_is_not_compared(other: Any, message: str) -> None:
    with pytest.raises(lstmcli.UserError, match=message):
        lstmcli.diff(pytorch(4, 3), other)
    with pytest.raises(
        lstmcli.UserError, match=message.replace("a has", "b has").replace("b ", "\\w ")
    ):
        lstmcli.diff(other, pytorch(4, 3))


@pytest.mark.parametrize(
    ("sides", "given", "why"),
    [
        ("networks", {"steps": "0:2"}, "weights have neither steps"),
        ("networks", {"layout": "batch"}, "weights have neither steps"),
        ("networks", {"padding": True}, "weights have neither steps"),
        ("tensors", {"gates": "ifog", "by_name": True}, "tensors are compared by name"),
        ("runs", {"gates": "ifog"}, "neither side has the weights of an LSTM"),
        (
            "runs",
            {"settings_b": {"gates": "ifog"}},
            "neither side has the weights of an LSTM",
        ),
        ("runs", {"by_name": True}, "neither side has the weights of an LSTM"),
    ],
)
def test_what_changes_nothing_is_refused(
    sides: str, given: dict[str, Any], why: str
) -> None:
    one: Any = normal(7, 3) if sides == "runs" else pytorch(4, 3)
    with pytest.raises(
        lstmcli.UserError, match=rf"{next(iter(given))}.*changes nothing.*{why}"
    ):
        lstmcli.diff(one, one, **given)


# ---- where explain and the assertion meet networks


@pytest.mark.parametrize(
    "words", [("port.onnx", "torch.npy"), ("inputs.npy", "port.onnx"), ("port.onnx",)]
)
def test_explain_of_two_files_of_weights_names_diff(
    words: tuple[str, ...],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(TOP / "samples" / "onnx-port")
    assert invoke(["explain", "model.pt", *words]) == 2
    assert "\n  lstm diff model.pt port.onnx\n" in capfd.readouterr().err
    assert invoke(["explain", "model.pt", "inputs.npy", "nowhere.npy"]) == 2
    assert "lstm diff" not in capfd.readouterr().err


def test_the_assertion_takes_weights() -> None:
    port = TOP / "samples" / "onnx-port"
    assert_lstm_close(port / "model.pt", port / "port.onnx")
    one = pytorch(4, 3)
    assert_lstm_close(one, dict(one))
    with pytest.raises(AssertionError, match=r"layer0.bias differs, 1 of 96"):
        assert_lstm_close({**one, "bias_ih_l0": one["bias_ih_l0"] + np.eye(12)[5]}, one)
    with pytest.raises(lstmcli.UserError, match="leave weights, lengths and mask out"):
        assert_lstm_close(one, one, weights=one, inputs=normal(7, 4))
