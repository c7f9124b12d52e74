"""What the scripts share that record ONNX files.

A case is ``tests/golden/onnx_files/<case>.onnx``, perhaps with files beside it that hold its
tensors, and ``<case>.npz``:

``nodes/<n>/<role>``
    what the onnx package's reference evaluator passes to the n-th LSTM node that holds other
    weights than those before it: W, R, B, P and initial states;
``inputs`` and ``h``, ``final_h``, ``final_c``
    inputs and answers of onnxruntime, each in its own axes, where it can run the model;
``case``
    a JSON record of versions, what was asked of the exporter, and how our side is to be called.

Nothing here imports lstmcli.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

FOLDER = Path(__file__).resolve().parent.parent / "onnx_files"
ROLES = ("W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P")


class LSTM(OpRun):
    """Stands in for the operator: keeps what it is given, and answers zeros of the right shapes."""

    op_domain = ""
    seen: ClassVar[list[dict[str, np.ndarray]]] = []

    def _run(
        self, X: np.ndarray, *inputs: Any, layout: int = 0, **_: Any
    ) -> tuple[Any, ...]:
        given = {
            role: a for role, a in zip(ROLES, inputs) if a is not None and a.shape != ()
        }
        if not any(
            all(np.array_equal(one[k], given[k]) for k in "WR") for one in LSTM.seen
        ):
            LSTM.seen.append(given)
        directions, _, units = given["R"].shape
        steps, batch = X.shape[:2] if layout == 0 else X.shape[1::-1]
        state = np.zeros((directions, batch, units), X.dtype)
        return np.zeros((steps, directions, batch, units), X.dtype), state, state


def strip(path: Path) -> None:
    """Take out what exporters tell of the machine: stack traces, and other words for people."""
    model = onnx.load(path, load_external_data=False)
    _strip(model.graph)
    for message in (model, *model.functions):
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    for function in model.functions:
        _strip(function)
    path.write_bytes(model.SerializeToString())


def _strip(graph: Any) -> None:
    graph.ClearField("metadata_props")
    graph.ClearField("doc_string")
    held = [*graph.node, *graph.value_info]
    if isinstance(graph, onnx.GraphProto):
        held += [*graph.input, *graph.output, *graph.initializer]
    for message in held:
        message.ClearField("doc_string")
        message.ClearField("metadata_props")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                _strip(inner)


def constants(
    path: Path, feeds: list[dict[str, np.ndarray]]
) -> list[dict[str, np.ndarray]]:
    """What each distinct LSTM node of a model is given beside X, over runs with these inputs."""
    LSTM.seen = []
    model = onnx.load(path)
    for feed in feeds:
        ReferenceEvaluator(model, new_ops=[LSTM]).run(None, feed)
    return LSTM.seen


def answers(
    path: Path, feed: dict[str, np.ndarray], names: dict[str, str]
) -> dict[str, Any]:
    """Outputs of onnxruntime: h, final_h, final_c by the model's names for them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        1  # of several, each rounds h of its sequences to 8 bits alone
    )
    session = onnxruntime.InferenceSession(
        str(path), options, providers=["CPUExecutionProvider"]
    )
    wanted = list(names.values())
    return dict(zip(names, session.run(wanted, feed)))


def keep(
    case: str,
    version: str,
    script: str,
    feeds: list[dict[str, np.ndarray]],
    outputs: dict[str, str] | None = None,
    expected: dict[str, np.ndarray] | None = None,
    *,
    inputs: str = "x",
    run: dict[str, np.ndarray] | None = None,
    note: str = "",
    **record: Any,
) -> None:
    """Keep a case whose model lies in the folder already.

    ``feeds`` are inputs of the evaluator's runs; those of onnxruntime are ``run``, or the first of
    ``feeds``, and are recorded as ``inputs``. ``outputs`` says what of
    the model is h, final_h, final_c; ``expected`` are answers that onnxruntime cannot give.
    ``record`` says what our side is to do: ``settings``, ``remarks`` (a piece of each).
    """
    path = FOLDER / f"{case}.onnx"
    members = {
        f"nodes/{n}/{role}": array
        for n, one in enumerate(constants(path, feeds))
        for role, array in one.items()
    }
    if outputs:
        members |= answers(path, run or feeds[0], outputs)
    members |= expected or {}
    members["inputs"] = (run or feeds[0])[inputs]
    record |= {"version": version, "script": script, "note": note}
    record["onnxruntime"] = onnxruntime.__version__
    record["onnx"] = onnx.__version__
    np.savez_compressed(
        FOLDER / f"{case}.npz", case=np.array(json.dumps(record)), **members
    )
    size = sum(p.stat().st_size for p in FOLDER.glob(f"{case}.*"))
    print(f"{case}: {size:,} bytes; {', '.join(members)}")
