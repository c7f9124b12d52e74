"""Runs of PyTorch 2.13.0 in half precision, on a CPU: nn.LSTM and nn.LSTMCell.

Environment: pip install torch==2.13.0 numpy
Run, from the top of the checkout: python tests/golden/record/halves.py

Each case keeps the float32 weights and inputs from which it was made and the h that came out, as
float32. ``how`` says what was rounded:

``whole``       the layer and its inputs are in the format: h lies on its grid
``weights``     the weights alone were rounded; the run is float32's
``autocast``    float32 weights under torch.autocast; on a CPU it refuses an LSTM in float16
``states``      a float32 nn.LSTMCell whose h and c are kept in the format from step to step
``bias``        as ``whole``, of small weights whose bias blocks were taken as f i g o: a mistake
                of a few units of the format
``head``        the layer runs in the format; h is turned and turned back in float32: off the grid
"""

from __future__ import annotations

import numpy as np
import torch
from common import GOLDEN, numbers, uneven
from torch import nn

FOLDER = GOLDEN / "halves"
FORMATS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
SIZES = {
    "tiny": (2, 7, 4, 3),
    "small": (3, 20, 6, 10),
    "medium": (3, 12, 8, 24),
}  # B, T, I, H
SIZES |= {"square": (4, 16, 8, 16)}
SCALE = {
    3: 0.6,
    10: 0.6,
    24: 0.25,
    16: 0.1,
}  # of the weights, by units: the widest net is no wild one
HOWS = ("whole", "weights", "autocast", "states", "head")
ONE_HOW = {"medium": ("head",), "square": ("bias",)}


def layer_of(seed: int, I: int, H: int) -> nn.LSTM:
    """An nn.LSTM of uneven weights, in float32."""
    rng = numbers(seed)
    layer = nn.LSTM(I, H, batch_first=True)
    for parameter in layer.parameters():
        parameter.copy_(torch.from_numpy(uneven(rng, *parameter.shape, scale=SCALE[H])))
    return layer.eval()


def run(how: str, layer: nn.LSTM, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """h (B, T, H) in float32, of a layer that is changed on the way."""
    if how == "bias":
        for bias in (layer.bias_ih_l0, layer.bias_hh_l0):
            f, i, g, o = bias.chunk(4)
            bias.copy_(torch.cat([i, f, g, o]))
    if how in ("whole", "bias"):
        return layer.to(dtype)(x.to(dtype))[0].float()
    if how == "weights":
        return layer.to(dtype).float()(x)[0]
    if how == "autocast":
        with torch.autocast("cpu", dtype=dtype):
            return layer(x)[0].float()
    if how == "states":
        return cell_by_cell(layer, x, dtype)
    h = layer.to(dtype)(x.to(dtype))[0].float()
    mix = torch.linalg.qr(torch.from_numpy(uneven(numbers(5), h.shape[2], h.shape[2])))[
        0
    ]
    return (h @ mix) @ mix.T


def cell_by_cell(layer: nn.LSTM, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """h of a float32 cell whose states are rounded after each step."""
    cell = nn.LSTMCell(layer.input_size, layer.hidden_size)
    cell.load_state_dict(
        {k.removesuffix("_l0"): v for k, v in layer.state_dict().items()}
    )
    state = None
    steps = []
    for x_t in x.unbind(1):
        h, c = cell(x_t, state)
        steps.append(h)
        state = (h.to(dtype).float(), c.to(dtype).float())
    return torch.stack(steps, 1)


def main() -> None:
    """All cases."""
    FOLDER.mkdir(exist_ok=True)
    torch.set_grad_enabled(False)
    for size, (B, T, I, H) in SIZES.items():
        for name, dtype in FORMATS.items():
            for how in ONE_HOW.get(size, HOWS):
                if (name, how) == ("float16", "autocast"):
                    continue
                seed = 40 + len(how) + H
                layer = layer_of(seed, I, H)
                held = {k: v.numpy().copy() for k, v in layer.state_dict().items()}
                x = torch.from_numpy(uneven(numbers(seed + 1), B, T, I))
                right = layer(x)[0]
                h = run(how, layer, x, dtype)
                case = f"{name}-{how}-{size}"
                np.savez_compressed(
                    FOLDER / f"{case}.npz", **held, inputs=x.numpy(), h=h.numpy()
                )
                grid = bool((h.to(dtype).float() == h).all())
                error = float((h - right).abs().max()) / torch.finfo(dtype).eps
                print(f"{case}: {error:.2f} eps off, on the grid: {grid}")


if __name__ == "__main__":
    main()
