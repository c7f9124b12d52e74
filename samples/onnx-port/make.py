"""Make this sample: a bidirectional PyTorch LSTM, and a port to ONNX that is wrong.

    python samples/onnx-port/make.py

Recorded with torch 2.13.0, onnx 1.23.2 and onnxruntime 1.32.0. Nothing here comes from lstmcli.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
I, H, T, B = 3, 4, 6, 3


def port(lstm: torch.nn.LSTM) -> onnx.ModelProto:
    """One LSTM node with PyTorch's tensors as they are: the mistake is in the order of gates."""
    state = {name: tensor.numpy() for name, tensor in lstm.state_dict().items()}
    ends = ("", "_reverse")
    w = np.stack([state[f"weight_ih_l0{end}"] for end in ends])
    r = np.stack([state[f"weight_hh_l0{end}"] for end in ends])
    b = np.stack(
        [
            np.concatenate([state[f"bias_ih_l0{end}"], state[f"bias_hh_l0{end}"]])
            for end in ends
        ]
    )
    node = helper.make_node(
        "LSTM", ["X", "W", "R", "B"], ["Y"], hidden_size=H, direction="bidirectional"
    )
    graph = helper.make_graph(
        [node],
        "port",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, [T, B, I])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [T, 2, B, H])],
        [
            numpy_helper.from_array(a, name)
            for name, a in {"W": w, "R": r, "B": b}.items()
        ],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8
    )


def main() -> None:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(I, H, bidirectional=True)
    x = torch.randn(T, B, I)
    with torch.no_grad():
        y, _ = lstm(x)
    torch.save(lstm.state_dict(), HERE / "model.pt")
    np.save(HERE / "inputs.npy", x.numpy())
    np.save(HERE / "torch.npy", y.numpy())
    model = port(lstm)
    onnx.save(model, HERE / "port.onnx")
    session = onnxruntime.InferenceSession(HERE / "port.onnx")
    np.save(HERE / "onnx.npy", session.run(None, {"X": x.numpy()})[0])


if __name__ == "__main__":
    main()
