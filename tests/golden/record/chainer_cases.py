"""Chainer's LSTM links.

Recorded with chainer 7.8.1 on Python 3.8.

    pip install chainer==7.8.1 "numpy<1.24"
    python tests/golden/record/chainer_cases.py
"""

from __future__ import annotations

from typing import Any

import chainer
import chainer.links as L
import numpy as np
from chainer.serializers import DictionarySerializer
from common import LENGTHS, B, H, I, T, numbers, save, uneven


def fill(link: chainer.Link, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Give the link uneven numbers; return them under the names that save_npz writes."""
    for _, parameter in sorted(link.namedparams()):
        parameter.array = uneven(rng, *parameter.shape)
    serializer = DictionarySerializer()
    serializer.save(link)
    return {
        name: value
        for name, value in serializer.target.items()
        if value.dtype != object
    }


def keep(case: str, *args: Any, **options: Any) -> None:
    version = f"chainer {chainer.__version__}"
    save("chainer", case, *args, version=version, script="chainer_cases.py", **options)


def record_steps(case: str, seed: int, link: Any, chain: Any = None) -> None:
    """A link that does one step at a time, carrying its state itself or handing it back."""
    rng = numbers(seed)
    weights, x = fill(chain or link, rng), uneven(rng, T, B, I)
    state = {"h": uneven(rng, B, H), "c": uneven(rng, B, H)}
    h, c = chainer.Variable(state["h"]), chainer.Variable(state["c"])
    steps = []
    if isinstance(link, L.LSTM):
        link.set_state(c, h)
    for row in x:
        if isinstance(link, L.LSTM):
            h, c = link(row), link.c
        else:
            c, h = link(c, h, row)
        steps.append(h.array)
    expected = {"h": np.stack(steps), "final_h": h.array, "final_c": c.array}
    keep(case, weights, x, expected, convention="chainer", layout="time", initial=state)


def record_nstep(
    case: str, seed: int, link: Any, directions: int, layers: int = 2
) -> None:
    """A link of whole sequences: a list of arrays in, a list of arrays out."""
    rng = numbers(seed)
    weights, x = fill(link, rng), uneven(rng, B, T, I)
    state = {name: uneven(rng, layers * directions, B, H) for name in "hc"}
    rows = [row[:length] for row, length in zip(x, LENGTHS)]
    final_h, final_c, outputs = link(state["h"], state["c"], rows)
    h = np.zeros((B, T, directions * H), np.float32)
    for row, output in zip(h, outputs):
        row[: len(output)] = output.array
    keep(
        case,
        weights,
        x,
        {"h": h, "final_h": final_h.array, "final_c": final_c.array},
        convention="nstep",
        layout="batch",
        initial=state,
        lengths=LENGTHS,
        note="The link takes and returns lists of arrays; h is padded with zeros here.",
    )


if __name__ == "__main__":
    record_steps("lstm", 1, L.LSTM(I, H))
    record_steps("stateless_lstm", 2, L.StatelessLSTM(I, H))
    inner = L.LSTM(I, H)
    record_steps("in_a_chain", 3, inner, chainer.Chain(encoder=inner))
    record_nstep("nstep", 4, L.NStepLSTM(2, I, H, dropout=0.0), 1)
    record_nstep("nstep_bi", 5, L.NStepBiLSTM(2, I, H, dropout=0.0), 2)
