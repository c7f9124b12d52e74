"""Golden cases of Haiku 0.0.17 on JAX 0.10.2: hk.LSTM, alone and in an hk.DeepRNN.

Environment: pip install dm-haiku==0.0.17 jax==0.10.2 jaxlib==0.10.2 numpy
Run, from the top of the checkout: python tests/golden/record/haiku_cases.py
(Not named haiku.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from common import B, H, I, T, numbers, save, uneven


class Encoder(hk.Module):
    """A model that makes its LSTM in its constructor: Haiku marks that by ``~`` in the path."""

    def __init__(self) -> None:
        super().__init__(name="encoder")
        self.core = hk.LSTM(H)


def alone() -> hk.RNNCore:
    """One LSTM."""
    return hk.LSTM(H)


def inside() -> hk.RNNCore:
    """The LSTM of a model, under the model's name."""
    return Encoder().core


def deep() -> hk.RNNCore:
    """Two LSTMs, one fed by the other: ``lstm`` and ``lstm_1``."""
    return hk.DeepRNN([hk.LSTM(H), hk.LSTM(H)])


def keep(
    case: str, seed: int, core: Any, *, layers: int = 0, layout: str = "time"
) -> None:
    """Record a core unrolled; ``layers`` is 0 where its state is not a tuple of layers' states."""
    rng = numbers(seed)
    batch = () if layout == "steps" else (B,)
    x = uneven(rng, *{"batch": (B, T, I), "time": (T, B, I), "steps": (T, I)}[layout])

    def run(x: Any, state: Any) -> Any:
        return hk.dynamic_unroll(
            core(), x, state, time_major=layout != "batch", return_all_states=True
        )

    states = [
        hk.LSTMState(uneven(rng, *batch, H), uneven(rng, *batch, H))
        for _ in range(layers or 1)
    ]
    initial = tuple(states) if layers else states[0]
    model = hk.without_apply_rng(hk.transform(run))
    drawn = model.init(jax.random.key(0), x, initial)
    weights = jax.tree.map(lambda leaf: jnp.asarray(uneven(rng, *leaf.shape)), drawn)
    y, every = model.apply(weights, x, initial)

    def stacked(state: Any, name: str) -> np.ndarray:
        return (
            np.stack([getattr(s, name) for s in state])
            if layers
            else getattr(state, name)
        )

    final = jax.tree.map(
        lambda leaf: leaf[:, -1] if layout == "batch" else leaf[-1], every
    )
    expected = {
        "h": y,
        "final_h": stacked(final, "hidden"),
        "final_c": stacked(final, "cell"),
    }
    if not layers:
        expected["c"] = every.cell
    save(
        "haiku",
        case,
        {
            f"{path}/{name}": value
            for path, module in weights.items()
            for name, value in module.items()
        },
        x,
        expected,
        convention="haiku",
        version=f"haiku {hk.__version__}",
        script="haiku_cases.py",
        layout=layout,
        initial={"h": stacked(initial, "hidden"), "c": stacked(initial, "cell")},
        note="a DeepRNN: the states of its layers are stacked here" if layers else "",
    )


def main() -> None:
    """Record every case."""
    keep("time_major", 1, alone)
    keep("batch_major", 2, alone, layout="batch")
    keep("unbatched", 3, alone, layout="steps")
    keep("prefixed", 4, inside)
    keep("deep", 5, deep, layers=2)


if __name__ == "__main__":
    main()
