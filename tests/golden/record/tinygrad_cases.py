"""Golden cases of tinygrad 0.14.0: nn.LSTMCell, stepped by hand.

Environment: pip install tinygrad==0.14.0 numpy
Run, from the top of the checkout: python tests/golden/record/tinygrad_cases.py
(Not named tinygrad.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

import os
from importlib.metadata import version

# tinygrad compiles its kernels; this device of its own runs them where no compiler is.
os.environ.setdefault("DEV", "PYTHON")

from common import B, H, I, T, numbers, save, uneven
from tinygrad import Tensor, nn


class Model:
    """A model around a cell, so that the names get a prefix."""

    def __init__(self, cell: nn.LSTMCell) -> None:
        self.encoder = cell


def keep(case: str, seed: int, *, bias: bool = True, wrap: bool = False) -> None:
    """Record one cell, with the cell state of every step."""
    rng = numbers(seed)
    cell = nn.LSTMCell(I, H, bias=bias)
    model = Model(cell) if wrap else cell
    weights = {
        name: uneven(rng, *tensor.shape)
        for name, tensor in nn.state.get_state_dict(model).items()
    }
    nn.state.load_state_dict(
        model, {n: Tensor(w) for n, w in weights.items()}, verbose=False
    )
    x, h, c = uneven(rng, T, B, I), uneven(rng, B, H), uneven(rng, B, H)
    state = Tensor(h), Tensor(c)
    hs, cs = [], []
    for step in x:
        state = cell(Tensor(step), state)
        hs.append(state[0])
        cs.append(state[1])
    save(
        "tinygrad",
        case,
        weights,
        x,
        {
            "h": Tensor.stack(*hs).numpy(),
            "c": Tensor.stack(*cs).numpy(),
            "final_h": state[0].numpy(),
            "final_c": state[1].numpy(),
        },
        convention="tinygrad",
        version=f"tinygrad {version('tinygrad')}",
        script="tinygrad_cases.py",
        layout="time",
        initial={"h": h, "c": c},
    )


def main() -> None:
    """Record every case."""
    keep("cell", 1)
    keep("no_bias", 2, bias=False)
    keep("prefixed", 3, wrap=True)


if __name__ == "__main__":
    main()
