"""Settings, values and changes in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from lstmcli.core.explain.passes.half_precision import ALL, INPUTS, STATES, WEIGHTS
from lstmcli.core.explain.result import Changed
from lstmcli.core.explain.space import SOLVE, Change, Changes
from lstmcli.core.model.vocabulary import ONE_OF_TWO, spaced_order

_NAMES = {
    "gates": "gates",
    "kernel_gates": "gates of the kernel",
    "recurrent_gates": "gates of the recurrent kernel",
    "bias_gates": "gates of the bias",
    "rows": "rows of the kernel",
    "array": "EXPECTED",
    "transposed": "gate blocks",
    "reverse": "direction",
    "flip_output": "order of the outputs",
    "go_backwards": "go_backwards",
}


_IN_WORDS: Mapping[tuple[str, Any], str] = {
    ("interleaved", True): "unit by unit",
    ("interleaved", False): "block by block",
    ("rows", "xh"): "[x; h]",
    ("rows", "hx"): "[h; x]",
    ("transposed", "none"): "as they are",
    ("transposed", "kernel"): "transposed in the kernel",
    ("transposed", "recurrent"): "transposed in the recurrent kernel",
    ("transposed", "both"): "transposed in both kernels",
    ("transposed", "reshaped_kernel"): "the kernel reshaped",
    ("transposed", "reshaped_recurrent"): "the recurrent kernel reshaped",
    ("transposed", "reshaped_both"): "reshaped as a whole",
    ("bias", "input_only"): "b_ih alone",
    ("bias", "recurrent_only"): "b_hh alone",
    ("bias", "input_twice"): "b_ih twice",
    ("bias", "recurrent_twice"): "b_hh twice",
    ("go_backwards", True): "yes",
    ("go_backwards", False): "no",
    ("coupled", "none"): "independent",
    ("coupled", "f=1-i"): "f = 1 - i",
    ("coupled", "i=1-f"): "i = 1 - f",
    ("peepholes", "old_c"): "o sees the old c",
    ("reverse", True): "last step first",
    ("reverse", False): "first step first",
    ("flip_output", True): "turned round in time",
    ("flip_output", False): "in the order of time",
    ("state", "carried"): "carried on",
    ("state", "reset"): "zero at every step",
    ("initial_state", "given"): "as given",
    ("initial_state", "swapped"): "h and c exchanged",
    ("layout", "batch"): "(batch, time, inputs)",
    ("layout", "time"): "(time, batch, inputs)",
    ("lengths", "given"): "as given",
    ("merge", "concat_swapped"): "concat with the halves swapped",
    **{
        (of, value): text
        for of in ("recurrent_activation", "activation", "output_activation")
        for value, text in (
            ("hard_sigmoid_0.2", "hard sigmoid, 0.2x + 0.5"),
            ("hard_sigmoid_1_6", "hard sigmoid, x/6 + 0.5"),
        )
    },
}


def name_of(setting: str) -> str:
    """A setting as the table has it."""
    cell, _, plain = setting.rpartition(".")
    words = _NAMES.get(plain, plain.replace("_", " "))
    return f"{words}, {cell}" if cell else words


def value_of(setting: str, value: Any) -> str:
    """A value as the table has it."""
    plain = setting.rpartition(".")[2]
    if value is None:
        return "none"
    if (plain, value) in _IN_WORDS:
        return _IN_WORDS[plain, value]
    if plain.endswith("gates"):
        return spaced_order(value)
    if plain == "forget_bias":
        return f"{value:+.10g}" if value else "0"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


CANDIDATE, SHUT, OPEN, ONE_WAY = "candidate", "shut", "open", "one way"
"""Senses of a change: the candidate's activation alone, a forget gate that is always 0 or 1, the
output of one direction alone."""


class Sense(NamedTuple):
    """What a change comes to beyond its setting, in words."""

    name: str
    clause: str
    doer: str  # who does it
    hidden: str = ""  # why it hid


_NOTHING_CARRIED = "At step 0 there is no c to carry on"

SENSES: Mapping[str, Sense] = {
    CANDIDATE: Sense(
        "activation of the candidate",
        "the candidate alone goes through {value}",
        "code that gives the candidate the gates' activation",
    ),
    SHUT: Sense(
        "forget gate",
        "the forget gate is shut: c is never carried on",
        "code that starts each step from c = 0",
        _NOTHING_CARRIED,
    ),
    OPEN: Sense(
        "forget gate",
        "the forget gate is wide open: all of c is carried on",
        "code without a forget gate",
        _NOTHING_CARRIED,
    ),
    ONE_WAY: Sense(
        "EXPECTED",
        "the array is what one direction gives, {value}, not both",
        "code that takes the output of one direction",
        "Each direction by itself is an output of the same rows and steps",
    ),
    WEIGHTS: Sense(
        "dtype of the weights",
        "the weights are rounded to {value}",
        "weights that were saved in it once",
    ),
    INPUTS: Sense(
        "dtype of weights and inputs",
        "weights and inputs are rounded to {value}",
        "mixed precision",
    ),
    STATES: Sense(
        "dtype of the states",
        "h and c are rounded to {value} from step to step",
        "states that are kept or sent in it",
    ),
    ALL: Sense(
        "dtype",
        "weights, inputs, h and c are rounded to {value}",
        "mixed precision",
    ),
}
_SATURATED = {SHUT: "shut: c is never carried on", OPEN: "wide open: all of c is carried on"}


def label(change: Changed) -> str:
    """A change's setting as the table has it."""
    return SENSES[change.sense].name if change.sense else name_of(change.setting)


def found_of(change: Changed) -> str:
    """What was found of a change, as the table has it."""
    return _SATURATED.get(change.sense) or value_of(change.setting, change.found)


def assumed_of(change: Changed) -> str:
    """What was assumed, as the table has it."""
    if change.found in ONE_OF_TWO:  # there are two, and both were added
        return "b_ih + b_hh"
    return value_of(change.setting, change.assumed)


def changed(
    change: Change, assumed: Any, sense: str = "", implied: Mapping[str, Any] | None = None
) -> Changed:
    """A change with its sentence."""
    one = Changed(change.setting, assumed, change.value, "", sense, implied or {})
    return replace(one, text=_headed(one))


def _headed(change: Changed) -> str:
    """``forget bias: 0, not +1``."""
    if change.sense in _SATURATED:
        return f"{label(change)} {found_of(change)} (forget bias {change.found:+.10g})"
    if change.setting == "go_backwards":
        return "go_backwards, as Keras has it"
    return f"{label(change)}: {found_of(change)}, not {assumed_of(change)}"


def headline(changes: Sequence[Changed]) -> str:
    """``forget bias: 0, not +1.0``."""
    return "; ".join(change.text for change in changes)


def plainly(change: Changed) -> str:
    """A change as a clause that goes on after "what these weights give when"."""
    setting, value = change.setting.rpartition(".")[2], change.found
    where = change.setting.rpartition(".")[0]
    said = SENSES[change.sense].clause if change.sense else None
    said = said or _CLAUSES.get((setting, value)) or _CLAUSES.get((setting, None))
    if setting == "array" and "." in value and not change.sense:
        said = f"the array is the output of {value.partition('.')[0]}, not of the last layer"
    if setting == "forget_bias" and value and not change.sense:
        said = "{value} is added to the forget gate"
    said = said or f"{name_of(setting)} is {{value}}"
    clause = said.replace("{value}", value_of(setting, value).removeprefix("+"))
    return f"{clause} in {where}" if where else clause


_CLAUSES: Mapping[tuple[str, Any], str] = {
    ("forget_bias", 0.0): "nothing is added to the forget gate",
    ("gates", None): "the gate blocks are read in the order {value}",
    ("kernel_gates", None): "the kernel's gate blocks are read in the order {value}",
    ("recurrent_gates", None): "the recurrent kernel's gate blocks are read in the order {value}",
    ("bias_gates", None): "the bias' gate blocks are read in the order {value}",
    ("interleaved", True): "the gates alternate unit by unit",
    ("interleaved", False): "each gate is a block",
    ("rows", "hx"): "the fused kernel takes [h; x]",
    ("rows", "xh"): "the fused kernel takes [x; h]",
    ("transposed", "none"): "no block is transposed",
    ("transposed", "kernel"): "each block of the kernel is transposed",
    ("transposed", "recurrent"): "each block of the recurrent kernel is transposed",
    ("transposed", "both"): "each block of both kernels is transposed",
    ("transposed", "reshaped_kernel"): "the kernel is reshaped where it has to be transposed",
    ("transposed", "reshaped_recurrent"): (
        "the recurrent kernel is reshaped where it has to be transposed"
    ),
    ("transposed", "reshaped_both"): "the kernels are reshaped where they have to be transposed",
    ("bias", "once"): "the bias is added once",
    ("bias", "twice"): "the bias is added twice",
    ("bias", "none"): "the bias is left out",
    ("bias", "input_only"): "only b_ih, the input's bias, is added",
    ("bias", "recurrent_only"): "only b_hh, the recurrent bias, is added",
    ("bias", "input_twice"): "b_ih, the input's bias, is added twice and b_hh not at all",
    ("bias", "recurrent_twice"): "b_hh, the recurrent bias, is added twice and b_ih not at all",
    ("activation", None): "the candidate and the output go through {value}",
    ("recurrent_activation", None): "the gates go through a {value}",
    ("output_activation", None): "the output goes through {value}",
    ("coupled", "f=1-i"): "the forget gate is 1 - i",
    ("coupled", "i=1-f"): "the input gate is 1 - f",
    ("coupled", "none"): "the gates are not coupled",
    ("cell_clip", None): "|c| is clipped at {value}",
    ("gate_clip", None): "each pre-activation is clipped at {value}",
    ("peepholes", "ignored"): "the peepholes are left out",
    ("go_backwards", True): "the last step is run first and the outputs are left in that order",
    ("peepholes", "old_c"): "the output gate's peephole sees the old c",
    ("layout", None): "the inputs are {value}",
    ("reverse", True): "the last step is run first",
    ("reverse", False): "the first step is run first",
    ("flip_output", True): "the outputs are turned round in time",
    ("flip_output", False): "the outputs are not turned round in time",
    ("state", "reset"): "h and c are never carried on: every step starts from zero",
    ("initial_state", "zero"): "the given state is left out",
    ("initial_state", "swapped"): "h and c of the given state are exchanged",
    ("lengths", "ignored"): "the padding is run as data",
    ("merge", "concat_swapped"): "the halves are swapped: backward first, then forward",
    ("merge", "concat"): "both directions stand side by side, forward first",
    ("merge", None): "both directions are merged by {value}",
    ("masked_output", "zero"): "outputs past a row's end are zero",
    ("masked_output", "repeat"): "outputs past a row's end repeat the last one",
    ("masked_output", "run"): "outputs run on past a row's end",
    ("array", "c"): "the array is c, not h",
    ("array", None): "the array is the gate {value}",
    ("dtype", None): "numbers are kept in {value}",
}


def wording(changes: Changes) -> str:
    """Changes in a line: ``gates i f g o, forget bias 0``."""
    return ", ".join(
        f"{name_of(c.setting)} {'?' if c.value == SOLVE else value_of(c.setting, c.value)}"
        for c in changes
    )
