"""Make this sample: padded sequences in torch.nn.LSTM, packed, and by a port that packs nothing.

    python samples/padding/make.py

Recorded with torch 2.13.0 and numpy 2.4.6. Nothing here comes from lstmcli.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

HERE = Path(__file__).parent
LENGTHS = [7, 5, 7, 3]


def main() -> None:
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(3, 2, batch_first=True, bidirectional=True)
    x = torch.randn(len(LENGTHS), max(LENGTHS), 3)
    for item, length in enumerate(LENGTHS):
        x[item, length:] = 0
    torch.save(lstm.state_dict(), HERE / "model.pt")
    np.savez(HERE / "inputs.npz", inputs=x.numpy(), lengths=LENGTHS)
    with torch.no_grad():
        packed = pack_padded_sequence(
            x, LENGTHS, batch_first=True, enforce_sorted=False
        )
        output, (h, _) = lstm(packed)
        np.save(
            HERE / "packed.npy",
            pad_packed_sequence(output, batch_first=True)[0].numpy(),
        )
        np.save(HERE / "final.npy", torch.cat([*h], dim=-1).numpy())
        np.save(
            HERE / "port.npy", lstm(x)[0].numpy()
        )  # the mistake: padding is run over


if __name__ == "__main__":
    main()
