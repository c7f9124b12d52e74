"""DyNet's LSTM builders, on minibatches.

Recorded with dyNET38 2.2 (DyNet 2.1 built for later Pythons) on Python 3.10.

    pip install dyNET38==2.2 "numpy<2"
    python tests/golden/record/dynet_cases.py
"""

from __future__ import annotations

from typing import Any

import dynet as dy
import numpy as np
from common import GOLDEN, B, H, I, T, numbers, save, uneven


def record(
    case: str,
    seed: int,
    builder: Any,
    *,
    layers: int = 1,
    collection: str = "",
    convention: str = "dynet",
    **options: Any,
) -> None:
    rng = numbers(seed)
    model = dy.ParameterCollection()
    lstm = builder(
        layers, I, H, model.add_subcollection(collection) if collection else model
    )
    weights = {}
    for parameter in model.parameters_list():
        name = parameter.name().lstrip("/")  # every name is a path from the root "/"
        weights[name] = uneven(rng, *parameter.shape())
        parameter.set_value(weights[name])
    x = uneven(rng, T, B, I)
    start = {"h": uneven(rng, layers, B, H), "c": uneven(rng, layers, B, H)}

    dy.renew_cg()
    vectors = [
        batch(row) for name in "ch" for row in start[name]
    ]  # all of c, then all of h
    state = lstm.initial_state(vectors)
    outputs = []
    for row in x:
        state = state.add_input(batch(row))
        outputs.append(rows(state.output()))
    final = [rows(vector) for vector in state.s()]
    expected = {
        "h": np.stack(outputs),
        "final_h": final[layers:],
        "final_c": final[:layers],
    }
    if layers == 1:
        expected |= {name: value[0] for name, value in expected.items() if name != "h"}
        start = {name: value[0] for name, value in start.items()}
    save(
        "dynet",
        case,
        weights,
        x,
        expected,
        convention=convention,
        version="dyNET38 2.2",
        script="dynet_cases.py",
        layout="time",
        initial=start,
        **options,
    )


def record_both(
    case: str, seed: int, builder: Any, layers: int = 1, **options: Any
) -> None:
    """BiRNNBuilder: a builder of one layer for each layer and direction, in one collection."""
    rng = numbers(seed)
    model = dy.ParameterCollection()
    network = dy.BiRNNBuilder(layers, I, 2 * H, model, builder)
    weights = {}
    for parameter in model.parameters_list():
        name = parameter.name().lstrip("/")
        weights[name] = uneven(rng, *parameter.shape())
        parameter.set_value(weights[name])
    x = uneven(rng, T, B, I)
    dy.renew_cg()
    h = np.stack(
        [rows(output) for output in network.transduce([batch(row) for row in x])]
    )
    if "note" in options:  # as it was before DyNet 2.1: without a collection of its own
        weights = {
            name.removeprefix("birnn/"): array for name, array in weights.items()
        }
    if layers > 1:  # a text, which is named for what it is and not read
        model.save(str(GOLDEN / "dynet" / f"{case}.model"))
    options = {"convention": "dynet", **options}
    save(
        "dynet", case, weights, x, {"h": h}, version="dyNET38 2.2", script="dynet_cases.py",
        layout="time", **options,
    )  # fmt: skip


def batch(rows_: np.ndarray) -> Any:
    """DyNet's batch axis is the last one."""
    return dy.inputTensor(rows_.T, batched=True)


def rows(vector: Any) -> np.ndarray:
    return vector.npvalue().T.astype(np.float32)


if __name__ == "__main__":
    record("vanilla", 1, dy.VanillaLSTMBuilder)
    record("vanilla_2_layers", 2, dy.VanillaLSTMBuilder, layers=2, collection="encoder")
    record("compact", 3, dy.CompactVanillaLSTMBuilder)
    record(
        "coupled",
        4,
        dy.CoupledLSTMBuilder,
        convention="dynet-coupled",
        note="f = 1 - i, and peepholes that are whole matrices.",
    )
    record_both(
        "birnn",
        5,
        dy.VanillaLSTMBuilder,
        note="The names of DyNet 2.0, without birnn/.",
    )
    record_both("birnn_3_layers", 6, dy.VanillaLSTMBuilder, layers=3)
    record_both("birnn_compact", 7, dy.CompactVanillaLSTMBuilder)
    record_both("birnn_coupled", 8, dy.CoupledLSTMBuilder, convention="dynet-coupled")
