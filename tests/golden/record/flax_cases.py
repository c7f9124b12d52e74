"""Golden cases of Flax 0.12.8 on JAX 0.10.2: linen and nnx LSTMs.

Environment: pip install flax==0.12.8 jax==0.10.2 jaxlib==0.10.2 numpy
Run, from the top of the checkout: python tests/golden/record/flax_cases.py
(Not named flax.py: a script's own folder comes first on the import path.)
"""

from __future__ import annotations

from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from common import LENGTHS, B, H, I, T, numbers, save, uneven
from flax import linen, nnx

RUNS_ON = (
    "the carry stops at the row's length, but the outputs run on over the padding"
    " (backward: the valid steps in reverse, then the padding in reverse)"
)


def flat(tree: Any) -> dict[str, np.ndarray]:
    """The leaves of a tree of dicts under the names on their path, joined with ``/``."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        "/".join(str(part.key) for part in path): np.asarray(leaf)
        for path, leaf in leaves
    }


def uneven_like(tree: Any, rng: np.random.Generator) -> Any:
    """The same tree of arrays, of uneven numbers; not a zero in the biases."""
    return jax.tree.map(lambda leaf: jnp.asarray(uneven(rng, *leaf.shape)), tree)


class Run:
    """What every case shares: inputs, the initial carries (c, h) and how the answer is kept."""

    def __init__(
        self,
        case: str,
        seed: int,
        convention: str,
        *,
        layout: str = "batch",
        bidirectional: bool = False,
        lengths: np.ndarray | None = None,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.rng = numbers(seed)
        self.case, self.convention, self.layout = case, convention, layout
        self.lengths, self.settings = lengths, settings
        self.x = uneven(self.rng, *((T, B, I) if layout == "time" else (B, T, I)))
        directions = 2 if bidirectional else 1
        carries = [
            (uneven(self.rng, B, H), uneven(self.rng, B, H)) for _ in range(directions)
        ]
        self.carry = tuple(carries) if bidirectional else carries[0]

    def by_name(self, carry: Any) -> dict[str, np.ndarray]:
        """The carry (c, h), or the pair of them of both directions, as stacked ``h`` and ``c``."""
        if isinstance(carry[0], tuple):
            c, h = (np.stack(each) for each in zip(*carry, strict=True))
        else:
            c, h = carry
        return {"h": np.asarray(h), "c": np.asarray(c)}

    def keep(
        self, weights: dict[str, np.ndarray], y: Any, carry: Any, note: str = ""
    ) -> None:
        """Record the answer."""
        final = self.by_name(carry)
        notes = [note] if note else []
        if self.lengths is not None:
            notes.append(RUNS_ON)
        if isinstance(carry[0], tuple):
            notes.append("the carries of the two directions are stacked here")
        save(
            "flax",
            self.case,
            weights,
            self.x,
            {"h": y, "final_h": final["h"], "final_c": final["c"]},
            convention=self.convention,
            version=f"flax {flax.__version__}",
            script="flax_cases.py",
            layout=self.layout,
            settings=self.settings,
            initial=self.by_name(self.carry),
            lengths=self.lengths,
            note="; ".join(notes),
        )


class Compact(linen.Module):
    """A model that makes its RNN when called: the cell is the model's own, `LSTMCell_0`."""

    @linen.compact
    def __call__(self, x: Any, **options: Any) -> Any:
        return linen.RNN(linen.LSTMCell(H))(x, **options)


class Setup(linen.Module):
    """A model that keeps its RNN as an attribute: the cell lies below `encoder/cell`."""

    def setup(self) -> None:
        self.encoder = linen.RNN(linen.LSTMCell(H))

    def __call__(self, x: Any, **options: Any) -> Any:
        return self.encoder(x, **options)


def keep_linen(case: str, seed: int, module: linen.Module, **options: Any) -> None:
    """Record a linen.RNN, linen.Bidirectional or a model around one."""
    call = {
        name: options.pop(name) for name in ("reverse", "keep_order") if name in options
    }
    run = Run(case, seed, "flax", **options)
    x = jnp.asarray(run.x)
    variables = uneven_like(module.init(jax.random.key(0), x), run.rng)
    carry, y = module.apply(
        variables,
        x,
        initial_carry=run.carry,
        seq_lengths=None if run.lengths is None else jnp.asarray(run.lengths),
        return_carry=True,
        **call,
    )
    run.keep(flat(variables), y, carry)


def keep_linen_cell(case: str, seed: int, cell: linen.Module) -> None:
    """Record a bare linen cell stepped by hand."""
    run = Run(case, seed, "flax", layout="time")
    carry = run.carry
    variables = uneven_like(cell.init(jax.random.key(0), carry, run.x[0]), run.rng)
    hs, cs = [], []
    for step in run.x:
        carry, y = cell.apply(variables, carry, step)
        hs.append(y)
        cs.append(carry[0])
    run.keep(flat(variables), jnp.stack(hs), carry, note="the cell stepped by hand")


def keep_nnx(
    case: str, seed: int, convention: str, module: Any, **options: Any
) -> None:
    """Record an nnx.RNN or nnx.Bidirectional, its parameters under their paths."""
    call = {
        name: options.pop(name) for name in ("reverse", "keep_order") if name in options
    }
    prefix = options.pop("prefix", "")
    run = Run(case, seed, convention, **options)
    parameters = uneven_like(nnx.state(module, nnx.Param).to_pure_dict(), run.rng)
    nnx.update(module, parameters)
    carry, y = module(
        jnp.asarray(run.x),
        initial_carry=run.carry,
        seq_lengths=None if run.lengths is None else jnp.asarray(run.lengths),
        return_carry=True,
        **call,
    )
    run.keep(
        {prefix + name: value for name, value in flat(parameters).items()}, y, carry
    )


def main() -> None:
    """Record every case."""
    two = {"bidirectional": True}
    back = {"reverse": True, "settings": {"go_backwards": True}}
    ordered = {"reverse": True, "keep_order": True, "settings": {"reverse": True}}

    def linen_rnn(cell: type = linen.LSTMCell, **options: Any) -> linen.RNN:
        return linen.RNN(cell(H), **options)

    keep_linen("linen", 1, linen_rnn())
    keep_linen("linen_time_major", 2, linen_rnn(time_major=True), layout="time")
    keep_linen("linen_optimized", 3, linen_rnn(linen.OptimizedLSTMCell))
    keep_linen("linen_prefixed", 4, Setup())
    keep_linen("linen_compact", 12, Compact())
    keep_linen("linen_reverse", 5, linen_rnn(), **back)
    keep_linen("linen_reverse_keep_order", 6, linen_rnn(), **ordered)
    keep_linen("linen_lengths", 7, linen_rnn(), lengths=LENGTHS)
    keep_linen(
        "linen_bidirectional", 8, linen.Bidirectional(linen_rnn(), linen_rnn()), **two
    )
    keep_linen(
        "linen_bidirectional_lengths",
        9,
        linen.Bidirectional(linen_rnn(), linen_rnn()),
        lengths=LENGTHS,
        **two,
    )
    keep_linen_cell("linen_cell", 10, linen.LSTMCell(H))
    keep_linen_cell("linen_cell_optimized", 11, linen.OptimizedLSTMCell(H))

    def nnx_rnn(cell: type = nnx.LSTMCell, **options: Any) -> nnx.RNN:
        return nnx.RNN(cell(I, H, rngs=nnx.Rngs(0)), rngs=nnx.Rngs(0), **options)

    for offset, (name, convention, cell) in enumerate(
        (
            ("nnx", "flax-nnx", nnx.LSTMCell),
            ("nnx_optimized", "flax-optimized", nnx.OptimizedLSTMCell),
        )
    ):
        seed = 20 + 10 * offset
        keep_nnx(name, seed, convention, nnx_rnn(cell))
        keep_nnx(
            f"{name}_prefixed",
            seed + 1,
            convention,
            nnx_rnn(cell),
            prefix="encoder/rnn/",
        )
        keep_nnx(f"{name}_reverse", seed + 2, convention, nnx_rnn(cell), **back)
        keep_nnx(
            f"{name}_lengths", seed + 3, convention, nnx_rnn(cell), lengths=LENGTHS
        )
        keep_nnx(
            f"{name}_bidirectional",
            seed + 4,
            convention,
            nnx.Bidirectional(nnx_rnn(cell), nnx_rnn(cell), rngs=nnx.Rngs(0)),
            **two,
        )


if __name__ == "__main__":
    main()
