"""Golden cases of MLX 0.32.4: nn.LSTM.

Environment: pip install "mlx[cpu]==0.32.4" numpy
Run, from the top of the checkout: python tests/golden/record/mlx_cases.py
(Not named mlx.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from common import B, H, I, T, numbers, save, uneven
from mlx import nn
from mlx.utils import tree_flatten


class Model(nn.Module):
    """A model around a layer, so that the names get a prefix."""

    def __init__(self, layer: nn.LSTM) -> None:
        super().__init__()
        self.encoder = layer


def keep(
    case: str,
    seed: int,
    *,
    layout: str = "batch",
    bias: bool = True,
    initial: bool = True,
    wrap: bool = False,
) -> None:
    """Record one layer; it answers with the h and the c of every step, and with no last state."""
    rng = numbers(seed)
    layer = nn.LSTM(I, H, bias=bias)
    model = Model(layer) if wrap else layer
    weights = {
        name: uneven(rng, *array.shape)
        for name, array in tree_flatten(model.parameters())
        if array is not None  # an absent bias
    }
    model.load_weights([(name, mx.array(value)) for name, value in weights.items()])
    rows = (B,) if layout == "batch" else ()
    x, h, c = (uneven(rng, *rows, *shape) for shape in ((T, I), (H,), (H,)))
    hs, cs = layer(mx.array(x), *((mx.array(h), mx.array(c)) if initial else ()))
    save(
        "mlx",
        case,
        weights,
        x,
        {"h": np.array(hs), "c": np.array(cs)},
        convention="mlx",
        version=f"mlx {mx.__version__}",
        script="mlx_cases.py",
        layout=layout,
        initial={"h": h, "c": c} if initial else None,
    )


def main() -> None:
    """Record every case."""
    mx.set_default_device(mx.cpu)
    keep("batch", 1)
    keep("unbatched", 2, layout="steps")
    keep("no_bias", 3, bias=False)
    keep("no_initial_state", 4, initial=False)
    keep("prefixed", 5, wrap=True)


if __name__ == "__main__":
    main()
