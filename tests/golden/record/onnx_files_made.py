"""Golden ONNX files made with the onnx package 1.23.2, run by onnxruntime 1.32.0.

They hold what exporters seldom write: every attribute, every encoding of tensors, every operation
that weights may be folded through, LSTMs within Loop, Scan, If and functions.

Environment: pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
Run, from the top of the checkout: python tests/golden/record/onnx_files_made.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from common import B, H, I, T, numbers, uneven
from onnx import TensorProto, helper, numpy_helper
from onnx_files_common import FOLDER, keep
from onnxruntime.quantization import QuantType, quantize_dynamic

VERSION, SCRIPT = f"onnx {onnx.__version__}", "onnx_files_made.py"
ROLES = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")
OUTPUTS = {"h": "Y", "final_h": "Y_h", "final_c": "Y_c"}
FLOAT = TensorProto.FLOAT
NAMES = tuple(OUTPUTS.values())


def weights(
    seed: int, directions: int = 1, peepholes: bool = False
) -> dict[str, np.ndarray]:
    """Uneven W, R, B and perhaps P."""
    rng = numbers(seed)
    made = {
        "W": uneven(rng, directions, 4 * H, I),
        "R": uneven(rng, directions, 4 * H, H),
        "B": uneven(rng, directions, 8 * H),
    }
    return made | ({"P": uneven(rng, directions, 3 * H)} if peepholes else {})


def lstm(given: Any, prefix: str = "", name: str = "", **attributes: Any) -> Any:
    """A node that takes these inputs under their own names."""
    inputs = [
        ("X" if role == "X" else prefix + role) if role in given else ""
        for role in ROLES
    ]
    attributes.setdefault("hidden_size", H)
    outputs = [prefix + output for output in OUTPUTS.values()]
    return helper.make_node("LSTM", inputs, outputs, name=name, **attributes)


def model(
    nodes: list[Any], tensors: list[Any], *, opset: int = 14, outputs: Any = NAMES,
    inputs: Any = None, functions: Any = (), domains: Any = (), **graph: Any,
) -> Any:  # fmt: skip
    """A model that takes X (T, B, I)."""
    made = helper.make_graph(
        nodes, "made",
        inputs or [helper.make_tensor_value_info("X", FLOAT, [T, B, I])],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        tensors, **graph,
    )  # fmt: skip
    opsets = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid(d, 1) for d in domains),
    ]
    return helper.make_model(
        made, opset_imports=opsets, ir_version=8, functions=list(functions)
    )


def tensors(arrays: dict[str, np.ndarray]) -> list[Any]:
    """Arrays as initializers."""
    return [numpy_helper.from_array(array, name) for name, array in arrays.items()]


def write(case: str, made: Any) -> Path:
    """Save a model in the folder of cases."""
    path = FOLDER / f"{case}.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def x(seed: int) -> dict[str, np.ndarray]:
    """Inputs."""
    return {"X": uneven(numbers(1000 + seed), T, B, I)}


def node_case(case: str, seed: int, *, directions: int = 1, state: bool = False,
              peepholes: bool = False, record: Any = None, **attributes: Any) -> None:  # fmt: skip
    """One node with these attributes."""
    arrays = weights(seed, directions, peepholes)
    record = dict(record or {})
    if state:
        rng = numbers(500 + seed)
        arrays |= {f"initial_{s}": uneven(rng, directions, B, H) for s in "hc"}
        record["initial_state"] = "constant"
    if directions == 2:
        attributes["direction"] = "bidirectional"
    write(case, model([lstm(("X", *arrays), **attributes)], tensors(arrays)))
    keep(case, VERSION, SCRIPT, [x(seed)], OUTPUTS, inputs="X", **record)


def attributes() -> None:
    """What a node's attributes say."""
    node_case("reverse", 101, direction="reverse", peepholes=True)
    node_case("clip_input_forget", 102, clip=0.7, input_forget=1, directions=2)
    node_case("state_by_row", 103, state=True, directions=2)
    usual = ["HardSigmoid", "Softsign", "Tanh"]
    node_case("hard_sigmoid", 104, activations=usual)
    node_case("hard_sigmoid_1_6", 105, activations=usual, activation_alpha=[1 / 6],
              activation_beta=[0.5])  # fmt: skip
    node_case(
        "odd_numbers",
        106,
        activations=["HardSigmoid", "ScaledTanh", "Elu"],
        activation_alpha=[0.123456789, 1.7159, 0.9876543],
        activation_beta=[0.4567891, 0.667],
    )
    node_case("either_case", 107, activations=["sIGMOID", "RELU", "softplus"])
    three = ["Sigmoid", "LeakyRelu", "ThresholdedRelu"]
    node_case("both_ways", 108, directions=2, activations=three * 2,
              activation_alpha=[0.2, 0.05, 0.2, 0.05])  # fmt: skip
    backward = ["HardSigmoid", "Relu", "ScaledTanh"]
    node_case("directions_differ", 109, directions=2, activations=[*three, *backward],
              activation_alpha=[0.2, 0.05, 0.3, 1.7], activation_beta=[0.4, 0.6])  # fmt: skip
    for n, name in enumerate(("LeakyRelu", "Elu")):
        node_case(
            f"default_{name.lower()}", 110 + n, activations=["Sigmoid", name, "Tanh"]
        )
    zeros = {"ThresholdedRelu": "thresholded_relu(0)", "Affine": "affine(0,0)",
             "ScaledTanh": "scaled_tanh(0,0)"}  # fmt: skip
    for n, (name, ours) in enumerate(zeros.items()):
        record = {"settings": {"activation": ours, "output_activation": "tanh"},
                  "remarks": ["onnxruntime takes 0"]}  # fmt: skip
        node_case(f"default_{name.lower()}", 112 + n, activations=["Sigmoid", name, "Tanh"],
                  record=record)  # fmt: skip
    arrays = weights(120) | {"sequence_lens": np.array([7, 3, 5, 1], np.int32)}
    write("constant_lengths", model([lstm(("X", *arrays))], tensors(arrays)))
    keep(
        "constant_lengths",
        VERSION,
        SCRIPT,
        [x(120)],
        OUTPUTS,
        inputs="X",
        lengths=[7, 3, 5, 1],
    )
    arrays = weights(121, 2) | {"sequence_lens": np.array([2, 7, 0, 5], np.int32)}
    node = lstm(("X", *arrays), direction="bidirectional")
    write("constant_lengths_both_ways", model([node], tensors(arrays)))
    keep("constant_lengths_both_ways", VERSION, SCRIPT, [x(121)], OUTPUTS, inputs="X",
         lengths=[2, 7, 0, 5])  # fmt: skip


def encodings() -> None:
    """W in every encoding of a tensor that weights come in."""
    rng = numbers(201)
    shape, count = (1, 4 * H, I), 4 * H * I
    nodes, held = [], []
    # kinds that are stored as they are, raw or in the field of their kind, then cast
    kinds = ("FLOAT", "DOUBLE", "FLOAT16", "INT32", "INT64", "INT8", "UINT8", "INT16", "UINT16",
             "UINT32", "UINT64")  # fmt: skip
    for raw in (False, True):
        for kind in kinds:
            number = getattr(TensorProto, kind)
            dtype = helper.tensor_dtype_to_np_dtype(number)
            values = (
                uneven(rng, *shape) if dtype.kind == "f" else rng.integers(1, 99, shape)
            )
            if kind in ("INT8", "INT16", "INT32", "INT64"):
                values = -values
            name = f"{kind.lower()}_{'raw' if raw else 'field'}"
            array = values.astype(dtype)
            data = array.tobytes() if raw else array.ravel()
            held.append(
                helper.make_tensor(f"{name}/stored", number, shape, data, raw=raw)
            )
            nodes.append(
                helper.make_node("Cast", [f"{name}/stored"], [f"{name}/W"], to=FLOAT)
            )
    # kinds that NumPy lacks
    for kind in (
        "BFLOAT16",
        "FLOAT8E4M3FN",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2",
        "FLOAT8E5M2FNUZ",
    ):
        number, name = getattr(TensorProto, kind), kind.lower()
        held.append(
            helper.make_tensor(f"{name}/stored", number, shape, uneven(rng, count))
        )
        nodes.append(
            helper.make_node("Cast", [f"{name}/stored"], [f"{name}/W"], to=FLOAT)
        )
    # quantised: a scale for all, for each row, for blocks of a row; 8 and 4 bits
    for kind, least, most in (
        ("INT8", -128, 128),
        ("UINT8", 0, 256),
        ("INT4", -8, 8),
        ("UINT4", 0, 16),
    ):
        for form in ("whole", "rows", "blocks"):
            name, number = f"{kind.lower()}_{form}", getattr(TensorProto, kind)
            along = {"whole": (), "rows": (4 * H,), "blocks": (1, 4 * H, 3)}[form]
            options = {
                "whole": {},
                "rows": {"axis": 1},
                "blocks": {"axis": 2, "block_size": 2},
            }
            stored = rng.integers(least, most, shape).ravel()
            zeros = rng.integers(least // 2, most // 2, along).ravel()
            scale = np.abs(uneven(rng, *along)) / 50 + 0.001
            held += [
                helper.make_tensor(f"{name}/stored", number, shape, stored),
                numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}/scale"),
                helper.make_tensor(f"{name}/zero", number, along, zeros),
            ]
            taken = [f"{name}/{part}" for part in ("stored", "scale", "zero")]
            nodes.append(
                helper.make_node(
                    "DequantizeLinear", taken, [f"{name}/W"], **options[form]
                )
            )
    rest = weights(202)
    held += tensors({"R": rest["R"]})
    for node in list(nodes):
        name = node.output[0].removesuffix("/W")
        nodes.append(
            helper.make_node(
                "LSTM", ["X", f"{name}/W", "R"], [f"{name}/Y"], name, hidden_size=H
            )
        )
    names = [node.output[0] for node in nodes if node.op_type == "LSTM"]
    made = model(nodes, held, opset=21, outputs=names)
    made.ir_version = 10
    write("encodings", made)
    keep("encodings", VERSION, SCRIPT, [x(201)], inputs="X", note="constants alone")


def operations() -> None:
    """W through every operation, in the forms of an early and of a late version."""
    given = {key: weights(301)[key][0] for key in "WR"}
    w = given["W"]  # (4H, I)
    rest = {"R": given["R"][None]}
    for opset in (9, 21):
        early = opset == 9
        held = dict(rest) | {"w": w, "two": np.array(2, np.float32)}
        counts = {"n": np.array([4 * H]), "minus": np.array([-1]), "i": np.array([I]),
                  "zero": np.array([0]), "one": np.array([1]), "three": np.array([3])}  # fmt: skip
        held |= {name: value.astype(np.int64) for name, value in counts.items()}
        nodes: list[Any] = []

        def add(
            op: str, inputs: list[str], outputs: list[str], **attributes: Any
        ) -> None:
            nodes.append(helper.make_node(op, inputs, outputs, **attributes))  # noqa: B023

        def axes(op: str, source: str, target: str, axis: int) -> None:
            if early:  # noqa: B023
                add(op, [source], [target], axes=[axis])
            else:
                held[f"axis{axis}"] = np.array([axis], np.int64)  # noqa: B023
                add(op, [source, f"axis{axis}"], [target])

        def cut(
            source: str, target: str, start: int, end: int, axis: int, step: int = 1
        ) -> None:
            if early:  # noqa: B023
                add(
                    "Slice", [source], [target], starts=[start], ends=[end], axes=[axis]
                )
            else:
                for name, n in (
                    ("start", start),
                    ("end", end),
                    ("axis", axis),
                    ("step", step),
                ):
                    held[f"{target}_{name}"] = np.array([n], np.int64)  # noqa: B023
                add("Slice", [source, *(f"{target}_{n}" for n in ("start", "end", "axis", "step"))],
                    [target])  # fmt: skip

        axes("Unsqueeze", "w", "unsqueeze/W", 0)
        axes("Unsqueeze", "unsqueeze/W", "twice", -4 if not early else 0)
        axes("Squeeze", "twice", "squeezed", 0)
        add("Mul", ["squeezed", "two"], ["mul/W"])
        add("Add", ["squeezed", "mul/W"], ["add/W"])
        add("Sub", ["mul/W", "two"], ["sub/W"])
        add("Div", ["squeezed", "two"], ["div/W"])
        add("Identity", ["div/W"], ["identified"])
        add("Add", ["identified", "two"], ["identity/W"])
        cut("w", "top", 0, H, 0)
        cut("w", "rest", H, 2**31 - 1, 0)
        add("Concat", ["rest", "top"], ["turned"], axis=0)
        axes("Unsqueeze", "turned", "concat/W", 0)
        cut("unsqueeze/W", "last", -H, 2**31 - 1, 1)
        cut("unsqueeze/W", "first", 0, -H, 1)
        add("Concat", ["last", "first"], ["negative/W"], axis=-2 if not early else 1)
        if not early:
            cut("unsqueeze/W", "backwards/W", -1, -(2**31), 1, -1)
        pieces = {"split": [H, 2 * H, H]}
        if early:
            add("Split", ["w"], ["a", "b", "c"], axis=0, **pieces)
            add("Split", ["w"], ["d", "e", "f", "g"], axis=0)
        else:
            held["pieces"] = np.array(pieces["split"], np.int64)
            add("Split", ["w", "pieces"], ["a", "b", "c"], axis=0)
            add("Split", ["w"], ["d", "e", "f", "g"], axis=-2, num_outputs=4)
        add("Concat", ["c", "a", "b"], ["abc"], axis=0)
        axes("Unsqueeze", "abc", "split/W", 0)
        add("Concat", ["g", "e", "d", "f"], ["defg"], axis=0)
        axes("Unsqueeze", "defg", "split_alike/W", 0)
        held["flat"] = w.T.copy().ravel()
        add("Shape", ["w"], ["shape_of_w"])
        add("Gather", ["shape_of_w", "one"], ["columns"])
        add("Concat", ["columns", "minus"], ["columns_first"], axis=0)
        add("Reshape", ["flat", "columns_first"], ["matrix"])
        add("Transpose", ["matrix"], ["upright"])
        axes("Unsqueeze", "upright", "reshape/W", 0)
        held["three_zeros"] = np.array([0, 0, -1], np.int64)
        add("Reshape", ["mul/W", "three_zeros"], ["kept/W"])
        held["order"] = np.arange(4 * H)[::-1].astype(np.int64).copy()
        add("Gather", ["unsqueeze/W", "order"], ["gather/W"], axis=1)
        held["row"] = uneven(numbers(302), 4 * H, 1)
        add("Concat", ["one", "shape_of_w"], ["whole_shape"], axis=0)
        add("Expand", ["row", "whole_shape"], ["expand/W"])
        fill = helper.make_tensor("fill", FLOAT, [1], [0.3])
        add("ConstantOfShape", ["whole_shape"], ["filled"], value=fill)
        add("Mul", ["filled", "unsqueeze/W"], ["constant_of_shape/W"])
        value = numpy_helper.from_array(w[None] * np.float32(0.7), "value")
        add("Constant", [], ["constant/W"], value=value)
        add("Transpose", ["gather/W"], ["mixed"], perm=[1, 2, 0])
        add("Transpose", ["mixed"], ["transpose/W"], perm=[2, 0, 1])
        add("Mul", ["transpose/W", "constant/W"], ["transposed/W"])
        if not early:
            add("Constant", [], ["seven"], value_float=0.7)
            add("Mul", ["seven", "gather/W"], ["value_float/W"])
            add("Constant", [], ["some"], value_floats=[0.1, 0.2, 0.3, 0.4, 0.5])
            add("Mul", ["some", "gather/W"], ["value_floats/W"])
            add("Constant", [], ["ints"], value_ints=[1, 4 * H, I])
            add("Constant", [], ["int"], value_int=2)
            add("Shape", ["unsqueeze/W"], ["bounded"], start=-2, end=-1)
            add("Div", ["bounded", "int"], ["half"])
            add("Concat", ["one", "half", "minus"], ["halved"], axis=0)
            add("Reshape", ["sub/W", "halved"], ["flatter"])
            add("Reshape", ["flatter", "ints"], ["value_ints/W"])
            add("Equal", ["order", "three"], ["which"])
            add("Reshape", ["which", "columnwise"], ["which_row"])
            held["columnwise"] = np.array([-1, 1], np.int64)
            add("Where", ["which_row", "add/W", "sub/W"], ["where/W"])
            add("Cast", ["order"], ["numbers"], to=FLOAT)
            add("Reshape", ["numbers", "columnwise"], ["numbered"])
            add("Mul", ["numbered", "sub/W"], ["cast/W"])
        names = [
            n.output[0].removesuffix("/W") for n in nodes if n.output[0].endswith("/W")
        ]
        nodes += [
            helper.make_node("LSTM", ["X", f"{n}/W", "R"], [f"{n}/Y"], n, hidden_size=H)
            for n in names
        ]
        write(
            f"operations_{opset}",
            model(nodes, tensors(held), opset=opset, outputs=[f"{n}/Y" for n in names]),
        )
        keep(f"operations_{opset}", VERSION, SCRIPT, [x(300 + opset)], inputs="X",
             note="constants alone")  # fmt: skip


def depth() -> None:
    """LSTMs within If, Loop and Scan, their weights outside; and within functions."""
    value, info = helper.make_tensor_value_info, FLOAT
    arrays = {f"a/{k}": v for k, v in weights(401).items()}
    arrays |= {f"b/{k}": v for k, v in weights(402).items()}
    arrays |= {"c/R": weights(403)["R"]}
    inner = {"c/W": weights(403)["W"]}

    def body(name: str, nodes: list[Any], inputs: Any = (), held: Any = ()) -> Any:
        outputs = [value(n.output[0], info, None) for n in nodes[-1:]]
        return helper.make_graph(nodes, name, list(inputs), outputs, list(held))

    branches = {
        "then_branch": body("then", [lstm(("X", "W", "R", "B"), "a/")]),
        "else_branch": body("else", [lstm(("X", "W", "R"), "c/")], held=tensors(inner)),
    }
    loop_inputs = [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, [])]
    loop_body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"]), lstm(("X", "W", "R", "B"), "b/"),
         helper.make_node("If", ["flag"], ["chosen"], "If", **branches)],
        "body", loop_inputs,
        [value("go_on", TensorProto.BOOL, []), value("b/Y", info, None),
         value("chosen", info, None)],
    )  # fmt: skip
    nodes = [
        helper.make_node("Loop", ["count", "yes"], ["Y", "Z"], "Loop", body=loop_body)
    ]
    held = tensors(arrays | {"count": np.array(1), "yes": np.array(True)})
    flag = value("flag", TensorProto.BOOL, [])
    write("loop_and_if", model(nodes, held, outputs=("Y", "Z"),
                               inputs=[value("X", info, [T, B, I]), flag]))  # fmt: skip
    feeds = [x(401) | {"flag": np.array(flag)} for flag in (False, True)]
    keep("loop_and_if", VERSION, SCRIPT, feeds, inputs="X", note="constants alone")

    scanned = helper.make_graph(
        [lstm(("X", "W", "R"), "a/")], "scanned", [value("X", info, [T, B, I])],
        [value("a/Y", info, None)],
    )  # fmt: skip
    node = helper.make_node("Scan", ["many"], ["Y"], body=scanned, num_scan_inputs=1)
    write("scan", model([node], tensors({k: arrays[k] for k in ("a/W", "a/R")}), outputs=("Y",),
                        inputs=[value("many", info, [2, T, B, I])]))  # fmt: skip
    keep("scan", VERSION, SCRIPT, [{"many": uneven(numbers(411), 2, T, B, I)}], inputs="many",
         note="constants alone")  # fmt: skip

    # functions: one calls the other, both have a weight and an attribute handed on
    units = helper.make_node("LSTM", ["x", "w", "r"], ["y", "y_h", "y_c"])
    reference = onnx.AttributeProto(
        name="hidden_size", ref_attr_name="units", type=onnx.AttributeProto.INT
    )
    way = onnx.AttributeProto(
        name="direction", ref_attr_name="way", type=onnx.AttributeProto.STRING
    )
    units.attribute.extend([reference, way])
    opsets = [helper.make_opsetid("", 14), helper.make_opsetid("own", 1)]
    inside = helper.make_function(
        "own", "Inner", ["x", "w", "r"], ["y", "y_h", "y_c"],
        [units], opsets, ["units"], [helper.make_attribute("way", "reverse")],
    )  # fmt: skip
    call = helper.make_node(
        "Inner", ["x", "wide", "r"], ["y", "y_h", "y_c"], domain="own"
    )
    call.attribute.append(
        onnx.AttributeProto(
            name="units", ref_attr_name="size", type=onnx.AttributeProto.INT
        )
    )
    three = helper.make_node("Concat", ["w", "w2"], ["wide"], axis=2)
    outside = helper.make_function(
        "own",
        "Outer",
        ["x", "w", "w2", "r"],
        ["y", "y_h", "y_c"],
        [three, call],
        opsets,
        ["size"],
    )
    whole = weights(421)
    held = tensors(
        {"w": whole["W"][..., :2], "w2": whole["W"][..., 2:], "R": whole["R"]}
    )
    node = helper.make_node("Outer", ["X", "w", "w2", "R"], list(OUTPUTS.values()), domain="own",
                            size=H)  # fmt: skip
    write(
        "functions", model([node], held, functions=[inside, outside], domains=("own",))
    )
    given = {
        f"nodes/0/{role}": whole[role] for role in "WR"
    }  # the evaluator knows no defaults
    keep("functions", VERSION, SCRIPT, [], OUTPUTS, given, run=x(421), inputs="X")


def beside() -> None:
    """Tensors in files beside the model, and models that onnxruntime quantises."""
    arrays = weights(501)
    made = model([lstm(("X", *arrays))], tensors(arrays))
    path = str(FOLDER / "external.onnx")
    onnx.save_model(made, path, save_as_external_data=True, location="external.onnx.data",
                    size_threshold=0)  # fmt: skip
    keep("external", VERSION, SCRIPT, [x(501)], OUTPUTS, inputs="X")
    prefix = "external_each."  # the names of the tensors are those of the files
    outputs = {key: prefix + name for key, name in OUTPUTS.items()}
    held = tensors({prefix + role: array for role, array in weights(502).items()})
    made = model([lstm(("X", *arrays), prefix)], held, outputs=outputs.values())
    onnx.save_model(made, str(FOLDER / "external_each.onnx"), save_as_external_data=True,
                    all_tensors_to_one_file=False, size_threshold=100)  # fmt: skip
    keep("external_each", VERSION, SCRIPT, [x(502)], outputs, inputs="X")

    for per_channel in (False, True):
        case = "quantized_rows" if per_channel else "quantized"
        arrays = weights(510 + per_channel, 2, peepholes=True)
        plain = write("plain", model([lstm(("X", *arrays), direction="bidirectional", name="rnn")],
                                     tensors(arrays)))  # fmt: skip
        quantize_dynamic(plain, FOLDER / f"{case}.onnx", per_channel=per_channel,
                         weight_type=QuantType.QInt8)  # fmt: skip
        plain.unlink()
        expected = {f"plain/{role}": array for role, array in arrays.items()}
        keep(case, VERSION, SCRIPT, [], OUTPUTS, expected, run=x(510), inputs="X", tolerance=1e-6,
             remarks=["weights are of 8 bits"])  # fmt: skip


def refused() -> None:
    """Models whose weights cannot be read."""
    arrays = weights(601)
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("W", FLOAT, [3], [0.1, 0.2, 0.3]),
        helper.make_tensor("W_at", TensorProto.INT64, [3], [3, 20, 41]), list(arrays["W"].shape),
    )  # fmt: skip
    held = tensors({k: arrays[k] for k in "RB"})
    write(
        "refused_sparse",
        model([lstm(("X", *arrays))], held, sparse_initializer=[sparse]),
    )
    text = helper.make_tensor("W", TensorProto.STRING, [2], [b"a", b"b"])
    write("refused_strings", model([lstm(("X", *arrays))], [text, *held]))
    node = helper.make_node("TopK", ["X", "k"], ["W", "which"])
    held += tensors({"k": np.array([2])})
    write("refused_operation", model([node, lstm(("X", *arrays))], held))
    write(
        "refused_hidden_size",
        model([lstm(("X", *arrays), hidden_size=H + 1)], tensors(arrays)),
    )
    gates = weights(602)
    gru = {"W": gates["W"][:, : 3 * H], "R": gates["R"][:, : 3 * H]}
    node = helper.make_node("GRU", ["X", "W", "R"], ["Y"], hidden_size=H)
    write("refused_gru", model([node], tensors(gru), outputs=("Y",)))


if __name__ == "__main__":
    attributes()
    encodings()
    operations()
    depth()
    beside()
    refused()
