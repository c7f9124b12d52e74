"""Make this sample: a forecaster of PyTorch, and a program that keeps its state too long.

    python samples/forecaster/make.py

Recorded with torch 2.13.0. Nothing here comes from lstmcli.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
SERIES, STEPS, INPUTS, UNITS = 4, 12, 2, 6


class Forecaster(nn.Module):
    """The next value of a series, of the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(INPUTS, UNITS, num_layers=2, batch_first=True)
        self.linear = nn.Linear(UNITS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h, _ = self.lstm(x)
        return self.linear(h[:, -1])


def by_series(model: Forecaster, x: torch.Tensor) -> torch.Tensor:
    """Each series on its own; the mistake: each starts from the state of the one before."""
    state, found = None, []
    for series in x:
        h, state = model.lstm(series[None], state)
        found.append(model.linear(h[:, -1]))
    return torch.cat(found)


def main() -> None:
    torch.manual_seed(2)
    model = Forecaster().eval()
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor *= 2  # as training leaves them: not near 0
        x = torch.randn(SERIES, STEPS, INPUTS)
        torch.save(model.state_dict(), HERE / "model.pt")
        np.save(HERE / "series.npy", x.numpy())
        np.save(HERE / "torch.npy", model(x).numpy())
        np.save(HERE / "by_series.npy", by_series(model, x).numpy())


if __name__ == "__main__":
    main()
