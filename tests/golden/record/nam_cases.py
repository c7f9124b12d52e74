"""Neural Amp Modeler: LSTMs exported as .nam files, loaded again and run by it.

Recorded with neural-amp-modeler 0.13.0 and torch 2.13.0.

    pip install neural-amp-modeler==0.13.0
    python tests/golden/record/nam_cases.py

Its exporter takes mono input only, so I = 1 here. The state to start from is what it finds in
silence, and comes from the file.
"""

from __future__ import annotations

import importlib.metadata
import json

import numpy as np
import torch
from common import GOLDEN, B, T, numbers, save, uneven
from nam.models import recurrent
from nam.models._from_nam import init_from_nam

VERSION = importlib.metadata.version("neural-amp-modeler")


def record(case: str, seed: int, units: int, layers: int) -> None:
    rng = numbers(seed)
    trained = recurrent.LSTM(units, num_layers=layers, sample_rate=48_000)
    for parameter in trained.parameters():
        parameter.data = torch.from_numpy(uneven(rng, *parameter.shape))
    folder = GOLDEN / "nam"
    folder.mkdir(exist_ok=True)
    trained.export(folder, basename=case)
    loaded = init_from_nam(json.loads((folder / f"{case}.nam").read_text()))

    core, state = loaded._core, (loaded._initial_hidden, loaded._initial_cell)
    assert all(torch.any(part != 0) for part in state)
    weights = {}
    for n in range(layers):
        parts = [getattr(core, f"weight_{side}_l{n}") for side in ("ih", "hh")]
        weights[f"nam.{n}.weight"] = torch.cat(parts, dim=1)
        weights[f"nam.{n}.bias"] = getattr(core, f"bias_ih_l{n}")
        weights[f"nam.{n}.hidden"], weights[f"nam.{n}.cell"] = state[0][n], state[1][n]
    weights |= {"head.weight": loaded._head.weight, "head.bias": loaded._head.bias}

    x = uneven(rng, B, T, 1)
    with torch.no_grad():
        h, (final_h, final_c) = core(torch.from_numpy(x), loaded._initial_state(B))
        whole = loaded._forward(torch.from_numpy(x[:, :, 0]))  # with its head
        assert torch.equal(whole, loaded._apply_head(h))
    final_h, final_c = (
        final[0] if layers == 1 else final for final in (final_h, final_c)
    )
    save(
        "nam",
        case,
        {name: tensor.detach().numpy() for name, tensor in weights.items()},
        x,
        {"h": h, "final_h": final_h, "final_c": final_c},
        convention="nam",
        version=f"neural-amp-modeler {VERSION}, torch {torch.__version__}",
        script="nam_cases.py",
        layout="batch",
        file=f"{case}.nam",
    )


if __name__ == "__main__":
    np.seterr(all="raise")
    record("one_layer", 1501, 3, 1)
    record("two_layers", 1502, 5, 2)
