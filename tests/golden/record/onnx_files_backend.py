"""Golden ONNX files: the backend node tests of LSTM in the onnx package 1.23.2 (Apache-2.0).

They are onnx/backend/test/case/node/lstm.py of github.com/onnx/onnx, collected by the package
itself, which also computes the answers. Their weights are inputs of the graph; here they become
its initializers, as a file that is to be run has them, and nothing else changes.

Environment: pip install onnx==1.23.2 onnxruntime==1.32.0 numpy
Run, from the top of the checkout: python tests/golden/record/onnx_files_backend.py
"""

from __future__ import annotations

import warnings

import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx_files_common import FOLDER, keep

SCRIPT = "onnx_files_backend.py"
NAMES = {"Y": "h", "Y_h": "final_h", "Y_c": "final_c"}


def main() -> None:
    """Record every test."""
    warnings.filterwarnings("ignore")
    for test in collect_testcases("LSTM"):
        if not test.name.startswith("test_lstm_"):
            continue
        model = onnx.ModelProto()
        model.CopyFrom(test.model)
        taken, answers = test.data_sets[0]
        held = dict(zip([one.name for one in model.graph.input], taken, strict=True))
        x = held.pop("X")
        del model.graph.input[1:]
        model.graph.initializer.extend(
            numpy_helper.from_array(a, n) for n, a in held.items()
        )
        case = test.name.removeprefix("test_lstm_")
        (FOLDER / f"node_{case}.onnx").write_bytes(model.SerializeToString())
        outputs = {
            NAMES[o.name]: a for o, a in zip(model.graph.output, answers, strict=True)
        }
        record = {"lengths": held["sequence_lens"]} if "sequence_lens" in held else {}
        remarks = {"remarks": ["--lengths"]} if record else {}
        keep(f"node_{case}", f"onnx {onnx.__version__}", SCRIPT, [{"X": x}], None,
             outputs | record, inputs="X", **remarks, rtol=test.rtol, atol=test.atol)  # fmt: skip


if __name__ == "__main__":
    main()
