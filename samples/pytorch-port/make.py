"""Make this sample: TensorFlow's cell of ../forget-bias in torch.nn.LSTM, ported wrongly.

    python samples/pytorch-port/make.py

Recorded with torch 2.13.0 and numpy 2.4.6. Nothing here comes from lstmcli.
"""

from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
TENSORFLOW = HERE.parent / "forget-bias"
I, H = 4, 3


def main() -> None:
    tensors = np.load(TENSORFLOW / "weights.npz")
    kernel, bias = torch.tensor(tensors["kernel"]), torch.tensor(tensors["bias"])
    lstm = torch.nn.LSTM(I, H, batch_first=True, dtype=torch.float64)
    lstm.load_state_dict(  # two mistakes: the order of gates, and the constant 1 on f
        {
            "weight_ih_l0": kernel[:I].T,
            "weight_hh_l0": kernel[I:].T,
            "bias_ih_l0": bias,
            "bias_hh_l0": torch.zeros_like(bias),
        }
    )
    torch.save(lstm.state_dict(), HERE / "port.pt")
    with torch.no_grad():
        y, _ = lstm(torch.tensor(np.load(TENSORFLOW / "inputs.npy")))
    (HERE / "torch.txt").write_text(f"{y}\n")


if __name__ == "__main__":
    main()
