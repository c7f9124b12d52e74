"""Golden cases of PyTorch 2.13.0: nn.LSTM and nn.LSTMCell.

Environment: pip install torch==2.13.0 numpy
Run, from the top of the checkout: python tests/golden/record/torch_cases.py
(Not named torch.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from common import LENGTHS, B, H, I, P, T, numbers, save, uneven
from torch import nn
from torch.nn.utils import rnn

VERSION = f"torch {torch.__version__.split('+')[0]}"


def drawn(rng: np.random.Generator, dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Uneven numbers; those of float64 have digits that no float32 holds."""
    values = torch.from_numpy(uneven(rng, *shape)).to(dtype)
    return values * 1.1 if dtype == torch.float64 else values


def fill(module: nn.Module, rng: np.random.Generator) -> None:
    """Give every parameter uneven numbers, so that the two biases differ too."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(drawn(rng, parameter.dtype, *parameter.shape))


def keep(
    case: str,
    seed: int,
    *,
    layout: str = "batch",
    lengths: np.ndarray | None = None,
    initial: bool = True,
    prefix: str = "",
    dtype: torch.dtype = torch.float32,
    stored: torch.dtype | None = None,
    weight_norm: Any = None,
    note: str = "",
    **options: Any,
) -> None:
    """Record one nn.LSTM; ``stored`` is the type in which the weights and numbers are kept.

    Everything is rounded to ``stored`` before the run in ``dtype``, so the files hold what ran.
    """
    rng = numbers(seed)
    layer = nn.LSTM(I, H, batch_first=layout == "batch", **options)
    if weight_norm:
        weight_norm(layer, "weight_ih_l0")
        weight_norm(layer, "weight_hh_l0")
    stored = stored or dtype
    fill(layer.to(stored), rng)
    layer = layer.to(dtype).eval()
    x = drawn(
        rng, stored, *{"batch": (B, T, I), "time": (T, B, I), "steps": (T, I)}[layout]
    )
    # nn.LSTM takes its states with layers x directions first, also with batch_first.
    stack = (layer.num_layers * (2 if layer.bidirectional else 1),)
    stack += () if layout == "steps" else (B,)
    states = tuple(
        drawn(rng, stored, *stack, size) for size in (layer.proj_size or H, H)
    )

    fed: Any = x.to(dtype)
    if lengths is not None:
        fed = rnn.pack_padded_sequence(
            fed, torch.from_numpy(lengths), True, enforce_sorted=False
        )
    with torch.no_grad():
        y, (h, c) = layer(fed, tuple(s.to(dtype) for s in states) if initial else None)
    if lengths is not None:
        y, _ = rnn.pad_packed_sequence(y, batch_first=True, total_length=T)
    save(
        "torch",
        case,
        {
            prefix + name: tensor.to(stored)
            for name, tensor in layer.state_dict().items()
        },
        x,
        {"h": y, "final_h": h, "final_c": c},
        convention="pytorch",
        version=VERSION,
        script="torch_cases.py",
        layout=layout,
        initial=dict(zip("hc", states, strict=True)) if initial else None,
        lengths=lengths,
        note=note,
    )


def keep_cell(
    case: str, seed: int, layout: str, prefix: str = "", **options: Any
) -> None:
    """Record one nn.LSTMCell, stepped by hand, with the cell state of every step."""
    rng = numbers(seed)
    cell = nn.LSTMCell(I, H, **options)
    fill(cell, rng)
    batch = () if layout == "steps" else (B,)
    x, h, c = (
        torch.from_numpy(uneven(rng, *s))
        for s in ((T, *batch, I), (*batch, H), (*batch, H))
    )
    initial = {"h": h, "c": c}
    hs, cs = [], []
    with torch.no_grad():
        for step in x:
            h, c = cell(step, (h, c))
            hs.append(h)
            cs.append(c)
    save(
        "torch",
        case,
        {prefix + name: tensor for name, tensor in cell.state_dict().items()},
        x,
        {"h": torch.stack(hs), "c": torch.stack(cs), "final_h": h, "final_c": c},
        convention="pytorch-cell",
        version=VERSION,
        script="torch_cases.py",
        layout=layout,
        initial=initial,
    )


def main() -> None:
    """Record every case."""
    both = {"num_layers": 2, "bidirectional": True}
    keep("batch_first", 1)
    keep("time_major", 2, layout="time")
    keep("unbatched", 3, layout="steps")
    keep("no_bias", 4, bias=False)
    keep("no_initial_state", 5, initial=False)
    keep("projection", 6, proj_size=P)
    keep("two_layers", 7, num_layers=2)
    keep("two_layers_bidirectional", 8, **both)
    keep("bidirectional_unbatched", 9, layout="steps", bidirectional=True)
    keep("bidirectional_projection", 10, proj_size=P, bidirectional=True)
    keep("two_layers_bidirectional_projection", 11, layout="time", proj_size=P, **both)
    padded = "packed, run, then padded back to T with pad_packed_sequence"
    keep("packed", 12, lengths=LENGTHS, note=padded)
    keep("packed_bidirectional", 13, lengths=LENGTHS, bidirectional=True, note=padded)
    keep("packed_two_layers_bidirectional", 14, lengths=LENGTHS, note=padded, **both)
    keep(
        "packed_projection", 15, lengths=LENGTHS, proj_size=P, num_layers=2, note=padded
    )
    keep("prefixed", 16, prefix="encoder.lstm.")
    keep("prefixed_two_layers_bidirectional", 17, prefix="module.encoder.rnn.", **both)
    keep("float64", 18, dtype=torch.float64)
    keep(
        "float16_weights",
        19,
        dtype=torch.float64,
        stored=torch.float16,
        note="weights, inputs and states are kept in float16; the layer ran on them in float64",
    )
    keep(
        "float16_run",
        20,
        dtype=torch.float16,
        note="layer.half(): every step was rounded to float16, so compare to about 2e-3",
    )
    norm = "W = original0 * original1 / norm of each row of original1"
    keep(
        "weight_norm", 21, weight_norm=nn.utils.parametrizations.weight_norm, note=norm
    )
    old = "W = _g * _v / norm of each row of _v"
    keep(
        "weight_norm_old",
        22,
        weight_norm=nn.utils.weight_norm,
        prefix="lstm.",
        note=old,
    )
    keep_cell("cell", 23, "time")
    keep_cell("cell_prefixed", 24, "time", prefix="decoder.cell.")
    keep_cell("cell_no_bias", 25, "time", bias=False)
    keep_cell("cell_unbatched", 26, "steps")


if __name__ == "__main__":
    main()
