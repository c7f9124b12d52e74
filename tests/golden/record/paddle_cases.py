"""Golden cases of PaddlePaddle 3.3.1: nn.LSTM and nn.LSTMCell.

Environment: pip install paddlepaddle==3.3.1 numpy
Run, from the top of the checkout: python tests/golden/record/paddle_cases.py
(Not named paddle.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from common import LENGTHS, B, H, I, P, T, numbers, save, uneven
from paddle import nn

SHIFTED = (
    "only the names with `cell` are right: paddle counts no weight_ho when it gives the second"
    " names, so from the second direction or layer on those stand for the wrong tensors"
)
VERSION = f"paddle {paddle.__version__}"


def fill(layer: nn.Layer, rng: np.random.Generator) -> None:
    """Give every parameter uneven numbers; its second names in the state dict are views of it."""
    for parameter in layer.parameters():
        parameter.set_value(uneven(rng, *parameter.shape))


def dumped(layer: nn.Layer, prefix: str) -> dict[str, np.ndarray]:
    """The state dict: most tensors are in it twice, `weight_ih_l0` and `0.cell.weight_ih`."""
    return {
        prefix + name: tensor.numpy() for name, tensor in layer.state_dict().items()
    }


def keep(
    case: str,
    seed: int,
    *,
    layout: str = "batch",
    lengths: np.ndarray | None = None,
    prefix: str = "",
    note: str = "",
    **options: Any,
) -> None:
    """Record one nn.LSTM."""
    rng = numbers(seed)
    layer = nn.LSTM(I, H, time_major=layout == "time", **options)
    layer.eval()
    fill(layer, rng)
    stack = layer.num_layers * layer.num_directions
    x = uneven(rng, *((T, B, I) if layout == "time" else (B, T, I)))
    initial = {
        "h": uneven(rng, stack, B, options.get("proj_size") or H),
        "c": uneven(rng, stack, B, H),
    }
    with paddle.no_grad():
        y, (h, c) = layer(
            paddle.to_tensor(x),
            tuple(paddle.to_tensor(state) for state in initial.values()),
            sequence_length=None if lengths is None else paddle.to_tensor(lengths),
        )
    save(
        "paddle",
        case,
        dumped(layer, prefix),
        x,
        {"h": y.numpy(), "final_h": h.numpy(), "final_c": c.numpy()},
        convention="paddle",
        version=VERSION,
        script="paddle_cases.py",
        layout=layout,
        initial=initial,
        lengths=lengths,
        note=note,
    )


def keep_cell(case: str, seed: int, prefix: str = "", **options: Any) -> None:
    """Record one nn.LSTMCell stepped by hand, with the cell state of every step."""
    rng = numbers(seed)
    cell = nn.LSTMCell(I, H, **options)
    fill(cell, rng)
    x = uneven(rng, T, B, I)
    initial = {
        "h": uneven(rng, B, options.get("proj_size") or H),
        "c": uneven(rng, B, H),
    }
    state = tuple(paddle.to_tensor(value) for value in initial.values())
    hs, cs = [], []
    with paddle.no_grad():
        for step in x:
            y, state = cell(paddle.to_tensor(step), state)
            hs.append(y.numpy())
            cs.append(state[1].numpy())
    save(
        "paddle",
        case,
        dumped(cell, prefix),
        x,
        {
            "h": np.stack(hs),
            "c": np.stack(cs),
            "final_h": state[0].numpy(),
            "final_c": state[1].numpy(),
        },
        convention="paddle",
        version=VERSION,
        script="paddle_cases.py",
        layout="time",
        initial=initial,
    )


def main() -> None:
    """Record every case."""
    paddle.set_device("cpu")
    both = {"direction": "bidirect"}
    keep("batch_major", 1)
    keep("time_major", 2, layout="time")
    keep("bidirectional", 4, **both)
    keep("two_layers", 5, num_layers=2)
    keep("two_layers_bidirectional", 6, num_layers=2, **both)
    keep("projection", 7, proj_size=P)
    shifted = {"proj_size": P, "note": SHIFTED}
    keep("projection_bidirectional", 15, **shifted, **both)
    keep("projection_two_layers", 16, num_layers=2, **shifted)
    keep("projection_two_layers_bidirectional", 8, num_layers=2, **shifted, **both)
    keep("lengths", 9, lengths=LENGTHS)
    keep("lengths_bidirectional", 10, lengths=LENGTHS, **both)
    keep("lengths_two_layers_bidirectional", 11, lengths=LENGTHS, num_layers=2, **both)
    keep("prefixed", 12, prefix="encoder.lstm.", **both)
    keep_cell("cell", 13)
    # An nn.LSTM with both bias attributes False crashes in this version; the cell does not.
    keep_cell("cell_no_bias", 3, bias_ih_attr=False, bias_hh_attr=False)
    keep_cell("cell_projection", 14, prefix="decoder.cell.", proj_size=P)


if __name__ == "__main__":
    main()
