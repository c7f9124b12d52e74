"""Runs of networks under settings, states, lengths and masks: every bit is compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.compare.question import Question, Rng, one_of, some_of, tensors

SETTINGS: dict[str, list[Any]] = {
    "gates": ["ifgo", "iofg", "gifo", "ifxo"], "forget_bias": [0, 1.0, -0.5, "x"],
    "activation": ["relu", "sigmoid", "softsign"], "cell_clip": [0.3, 2, -1],
    "recurrent_activation": ["hard_sigmoid_0.2", "hard_sigmoid_1_6", "tanh"],
    "output_activation": ["identity"], "gate_clip": [0.5], "projection_clip": [0.2],
    "coupled": ["f=1-i", "i=1-f"], "merge": ["sum", "ave", "mul", "concat_swapped"],
    "bias": ["none", "twice", "input_only"], "transposed": ["recurrent", "both"],
    "reverse": [True], "go_backwards": [True], "flip_output": [True], "state": ["reset"],
    "interleaved": [True], "masked_output": ["zero", "repeat", "run", "nan"], "rows": ["hx"],
    "dtype": ["float32", "float64", "float16", "longdouble", "int8"],
    "arithmetic": ["8bit", "hybrid"], "layer0.forget_bias": [2.0], "layer1.gates": ["iofg"],
    "edits": ["inputs.late=1", "weights.bias.o=0", "equations.tanh_slope=0.5", "c=1"],
    "layer": [0, "1"],
    "convention": ["keras", "pytorch", "tf1", "chainer", "kerras"],
}  # fmt: skip
KEPT = (*["h,c,i,f,g,o,z"] * 8, "h", "h,q")


def question(rng: Rng, folder: Path) -> Question:
    """A run of one or more sequences."""
    T, B, I, H = (int(n) for n in rng.integers(1, (12, 6, 7, 9)))
    layout = one_of(rng, ["steps", "batch", "time"])
    shape = {"steps": (T,), "batch": (B, T), "time": (T, B)}[layout]
    options = some_of(rng, SETTINGS)
    options["keep"] = one_of(rng, KEPT).split(",")
    if layout != "steps":
        options["layout"] = layout
    if layout != "steps" and rng.random() < 0.2:
        options["lengths"] = rng.integers(0, T + 1, B)
        if rng.random() < 0.9:  # else the longest may be another
            options["lengths"][0] = T
    elif rng.random() < 0.2:
        options["mask"] = rng.random(shape) < 0.7
    if rng.random() < 0.2:
        options["initial_state"] = {name: rng.normal(size=H) for name in "hc"}
    x = rng.normal(size=(*shape, I)).astype(one_of(rng, ["f8", "f4", "i4"]))
    weights = tensors(rng, I, H)
    return Question("run", {"weights": weights, "inputs": x, "options": options})
