"""Small files of programs whose LSTMs are named and not read.

Run from the top of the checkout, each part in its own environment:

python tests/golden/record/unread_files.py torch
    torch 2.13.0: what `quantize_dynamic` makes of an LSTM, as a state dict, a module, TorchScript.
python tests/golden/record/unread_files.py thinc
    thinc 9.1.1.
python tests/golden/record/unread_files.py tesseract eng.traineddata
    eng.traineddata of Debian's tesseract-ocr-eng 1:4.1.0-2 (github.com/tesseract-ocr/tessdata_fast,
    Copyright Google Inc., Apache License 2.0): the first bytes of it, and of its network.

The debug members of TorchScript are left out: they hold where the script lay.
"""

from __future__ import annotations

import struct
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "unread_files"
I, H = 5, 3
KEPT = 1024  # bytes of a file of Tesseract
LSTM_COMPONENT = 17  # TESSDATA_LSTM of tessdatamanager.h


def of_torch() -> None:
    """Quantised modules of PyTorch, and the weights that PyTorch unpacks of one."""
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, rnn: Any) -> None:
            super().__init__()
            self.rnn, self.out = rnn, nn.Linear(H, 2)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.out(self.rnn(x)[0])

    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    net, kinds = Net(nn.LSTM(I, H)).eval(), {nn.LSTM, nn.LSTMCell, nn.Linear}
    quantised = torch.ao.quantization.quantize_dynamic(net, kinds)
    half = torch.ao.quantization.quantize_dynamic(net, {nn.LSTM}, dtype=torch.float16)
    cell = torch.ao.quantization.quantize_dynamic(Net(nn.LSTMCell(I, H)), kinds)
    torch.save(quantised.state_dict(), FOLDER / "quantised_state.pt")
    torch.save(half.state_dict(), FOLDER / "quantised_float16.pt")
    torch.save(cell.state_dict(), FOLDER / "quantised_cell.pt")
    torch.save(nn.Sequential(quantised.rnn), FOLDER / "quantised_module.pt")
    torch.jit.script(quantised).save(str(FOLDER / "quantised_script.pt"))
    without_debug(FOLDER / "quantised_script.pt")
    linear = torch.ao.quantization.quantize_dynamic(net, {nn.Linear})
    torch.save(linear.state_dict(), FOLDER / "quantised_linear_alone.pt")
    lstm = quantised.rnn
    unpacked = {**lstm.get_weight(), **lstm.get_bias()}
    torch.save({k: w.dequantize() for k, w in unpacked.items()}, FOLDER / "unpacked.pt")
    x = torch.randn(7, 4, I)
    with torch.no_grad():
        np.savez_compressed(FOLDER / "unpacked.npz", inputs=x, h=lstm(x)[0])


def without_debug(path: Path) -> None:
    """Take the debug members out of TorchScript."""
    with zipfile.ZipFile(path) as archive:
        kept = {
            n: archive.read(n)
            for n in archive.namelist()
            if not n.endswith(".debug_pkl")
        }
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in kept.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def of_thinc() -> None:
    """A model with an LSTM."""
    from thinc.api import LSTM, fix_random_seed, with_padded

    fix_random_seed(0)
    model = with_padded(LSTM(H, I))
    model.initialize(X=[np.ones((7, I), np.float32)])
    model.to_disk(FOLDER / "thinc.bin")


def of_tesseract(path: str) -> None:
    """The beginnings of traineddata and of the network in it."""
    data = Path(path).read_bytes()
    (count,) = struct.unpack_from("<i", data)
    begins = struct.unpack_from(f"<{count}q", data, 4)
    (FOLDER / "eng.traineddata").write_bytes(data[:KEPT])
    start = begins[LSTM_COMPONENT]
    (FOLDER / "eng.lstm").write_bytes(data[start : start + KEPT])


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    {"torch": of_torch, "thinc": of_thinc, "tesseract": of_tesseract}[sys.argv[1]](
        *sys.argv[2:]
    )
