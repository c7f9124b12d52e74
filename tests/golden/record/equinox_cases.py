"""Golden cases of Equinox 0.13.8 on JAX 0.10.2: nn.LSTMCell, scanned over the steps.

Environment: pip install equinox==0.13.8 jax==0.10.2 jaxlib==0.10.2 numpy
Run, from the top of the checkout: python tests/golden/record/equinox_cases.py
(Not named equinox.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import B, H, I, T, numbers, save, uneven


class Model(eqx.Module):
    """A model around a cell, so that the weights lie deeper."""

    encoder: eqx.nn.LSTMCell


def scan(cell: eqx.nn.LSTMCell, x: Any, state: Any) -> Any:
    """Step the cell over (T, I): the last (h, c), and those of every step."""

    def step(state: Any, x_t: Any) -> Any:
        state = cell(x_t, state)
        return state, state

    return jax.lax.scan(step, state, x)


def keep(
    case: str, seed: int, *, batch: bool = True, bias: bool = True, wrap: bool = False
) -> None:
    """Record a cell, over one sequence or, with vmap, over a batch of them."""
    rng = numbers(seed)
    drawn = eqx.nn.LSTMCell(I, H, use_bias=bias, key=jax.random.key(0))
    cell = jax.tree.map(lambda leaf: jnp.asarray(uneven(rng, *leaf.shape)), drawn)
    model = Model(cell) if wrap else cell
    rows = (B,) if batch else ()
    x, h, c = (uneven(rng, *rows, *shape) for shape in ((T, I), (H,), (H,)))
    run = jax.vmap(scan, in_axes=(None, 0, 0)) if batch else scan
    final, every = run(cell, x, (h, c))
    leaves = jax.tree_util.tree_leaves_with_path(model)
    save(
        "equinox",
        case,
        {
            "/".join(part.name for part in path): np.asarray(leaf)
            for path, leaf in leaves
        },
        x,
        {"h": every[0], "c": every[1], "final_h": final[0], "final_c": final[1]},
        convention="equinox",
        version=f"equinox {eqx.__version__}",
        script="equinox_cases.py",
        layout="batch" if batch else "steps",
        initial={"h": h, "c": c},
    )


def main() -> None:
    """Record every case."""
    keep("batch", 1)
    keep("one_sequence", 2, batch=False)
    keep("no_bias", 3, bias=False)
    keep("prefixed", 4, wrap=True)


if __name__ == "__main__":
    main()
