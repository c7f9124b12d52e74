"""An answer in words: what was assumed, what fits, why it hid, and who does it that way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lstmcli.core.conventions import CONVENTIONS, Convention
from lstmcli.core.explain.halves import ALL, EPS, GRID, INPUTS, RERUN, SIZE, STATES, WEIGHTS, Basis
from lstmcli.core.explain.ranking import lies_so, rows_that
from lstmcli.core.explain.result import Changed, Row
from lstmcli.core.explain.space import ONE_OF_TWO, SOLVE, Change, Changes
from lstmcli.core.names import spaced

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

WELL_KNOWN = (
    "keras", "pytorch", "tf1", "onnx", "flax", "haiku", "openvino", "coreml", "chainer", "mxnet",
    "paddle", "tflite", "tf-block", "equinox", "keras1", "cudnnlstm", "dl4j", "cntk", "dynet",
)  # fmt: skip
"""Rows that are named first, and not all of the others."""

MOST_NAMED = 4


def familiarity(name: str) -> tuple[int, str]:
    """Sorts the rows that most people know first; a name may have words after it."""
    row = name.partition(" ")[0]
    return (WELL_KNOWN.index(row) if row in WELL_KNOWN else len(WELL_KNOWN), name)


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
    ("coupled", "none"): "not coupled",
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
    ("recurrent_activation", "hard_sigmoid_0.2"): "hard sigmoid, 0.2x + 0.5",
    ("recurrent_activation", "hard_sigmoid_1_6"): "hard sigmoid, x/6 + 0.5",
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
        return spaced(value)
    if plain == "forget_bias":
        return f"{value:+.10g}" if value else "0"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


CANDIDATE, SHUT, OPEN = "candidate", "shut", "open"
"""Senses of a change: the candidate's activation alone, a forget gate that is always 0 or 1."""

_BY_SENSE: Mapping[str, tuple[str, str, str, str]] = {
    # sense: its name, clause, who does it, why it hid
    CANDIDATE: (
        "activation of the candidate",
        "the candidate alone goes through {value}",
        "code that gives the candidate the gates' activation",
        "",
    ),
    SHUT: (
        "forget gate",
        "the forget gate is shut: c is never carried on",
        "code that starts each step from c = 0",
        "At step 0 there is no c to carry on",
    ),
    OPEN: (
        "forget gate",
        "the forget gate is wide open: all of c is carried on",
        "code without a forget gate",
        "At step 0 there is no c to carry on",
    ),
    WEIGHTS: (
        "dtype of the weights",
        "the weights are rounded to {value}",
        "weights that were saved in it once",
        "",
    ),
    INPUTS: (
        "dtype of weights and inputs",
        "weights and inputs are rounded to {value}",
        "mixed precision",
        "",
    ),
    STATES: (
        "dtype of the states",
        "h and c are rounded to {value} from step to step",
        "states that are kept or sent in it",
        "",
    ),
    ALL: (
        "dtype",
        "weights, inputs, h and c are rounded to {value}",
        "mixed precision",
        "",
    ),
    SIZE: (
        "dtype",
        "numbers are rounded as {value} rounds them",
        "layers moved to it, autocast",
        "",
    ),
}
_SATURATED = {SHUT: "shut: c is never carried on", OPEN: "wide open: all of c is carried on"}


def label(change: Changed) -> str:
    """A change's setting as the table has it."""
    return _BY_SENSE[change.sense][0] if change.sense else name_of(change.setting)


def found_of(change: Changed) -> str:
    """What was found of a change, as the table has it."""
    return _SATURATED.get(change.sense) or value_of(change.setting, change.found)


def assumed_of(change: Changed) -> str:
    """What was assumed, as the table has it."""
    if change.found in ONE_OF_TWO:  # there are two, and both were added
        return "b_ih + b_hh"
    return value_of(change.setting, change.assumed)


def changed(
    change: Change, assumed: Any, sense: str = "", beside: Mapping[str, Any] | None = None
) -> Changed:
    """A change with its sentence."""
    one = Changed(change.setting, assumed, change.value, "", sense, beside or {})
    return replace(one, text=_headed(one))


def _headed(change: Changed) -> str:
    """``forget bias: 0, not +1``."""
    if change.sense in _SATURATED:
        return f"{label(change)} {found_of(change)} (forget bias {change.found:+.10g})"
    if change.setting == "go_backwards":
        return "go_backwards, as Keras has it"
    if change.sense == SIZE:
        return f"dtype: an error of the size that {found_of(change)} predicts"
    return f"{label(change)}: {found_of(change)}, not {assumed_of(change)}"


def of_basis(change: Changed, basis: Basis) -> Changed:
    """A change of dtype, told by what it rests on."""
    if basis.kind == GRID:
        return change
    sense = basis.what if basis.kind == RERUN else SIZE
    return replace(one := replace(change, sense=sense), text=_headed(one))


def rests_on(basis: Basis | None, name: str) -> list[str]:
    """What half precision rests on, as a remark; nothing without a basis."""
    if basis is None:
        return []
    off = f"at most {basis.verdict.max_abs / EPS[name]:.2g} eps of {name} ({EPS[name]:.2g})"
    if basis.kind == RERUN:
        return [f"It rests on a re-run: with {basis.what} rounded to {name} the numbers come out."]
    if basis.kind == GRID:
        return [
            f"It rests on the grid: all of EXPECTED are numbers of {name}; the run is {off} off."
        ]
    return [
        f"It rests on size and pattern, no run gives the numbers themselves: the run is {off} off, "
        f"from the first step on, and goes along with {basis.what} rounded to {name} (correlation "
        f"{basis.correlation:.2f}; the same rounded up or down by chance reaches "
        f"{basis.by_chance:.2f})."
    ]


def headline(changes: Sequence[Changed]) -> str:
    """``forget bias: 0, not +1.0``."""
    return "; ".join(change.text for change in changes)


def plainly(change: Changed) -> str:
    """A change as a clause that goes on after "what these weights give when"."""
    setting, value = change.setting.rpartition(".")[2], change.found
    where = change.setting.rpartition(".")[0]
    said = _BY_SENSE[change.sense][1] if change.sense else None
    said = said or _CLAUSES.get((setting, value)) or _CLAUSES.get((setting, None))
    if setting == "array" and "." in value:
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
    (
        "transposed",
        "reshaped_recurrent",
    ): "the recurrent kernel is reshaped where it has to be transposed",
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
    ("cell_clip", None): "|c| is held at {value}",
    ("gate_clip", None): "each pre-activation is held at {value}",
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


def row_of(one: Changed, assumed: Convention) -> Row:
    """The line of the table for a change."""
    cell, _, plain = one.setting.rpartition(".")
    note = f" ({assumed.name})" if _is_own(assumed, plain, one.assumed) else ""
    doer = _BY_SENSE[one.sense][2] if one.sense else who(plain, one.found, assumed, cell)
    return Row(label(one), assumed_of(one) + note, found_of(one), doer)


def _is_own(assumed: Convention, setting: str, value: Any) -> bool:
    row = CONVENTIONS.get(assumed.name)
    own = getattr(row, setting, None)
    return own == value and value not in (None, False, "none")


_HAVE_ACTIVATION = {
    "hard_sigmoid_0.2": "Keras 1 and 2, TF1 and ONNX, if told hard_sigmoid",
    "hard_sigmoid_1_6": "Keras 3, PyTorch and JAX, if told hard_sigmoid",
    "relu": "Keras and ONNX, if told relu",
}
"""Who has an activation where no row runs it unless it is told to."""

_WHO = {
    ("bias", "input_only"): "code that forgot b_hh",
    ("bias", "recurrent_only"): "code that forgot b_ih",
    ("bias", "input_twice"): "code that took b_ih for b_hh too",
    ("bias", "recurrent_twice"): "code that took b_hh for b_ih too",
    ("go_backwards", True): "Keras with go_backwards=True",
    ("state", "reset"): "code that forgets to hand h and c on",
    ("initial_state", "zero"): "code that leaves the given state out",
    ("initial_state", "swapped"): "code that reads (c, h) as (h, c)",
    ("bias", "twice"): "code that adds it in both halves",
    ("bias", "none"): "code that leaves it out",
    ("lengths", "ignored"): "code that runs over the padding",
    ("peepholes", "ignored"): "code that leaves them out",
    ("array", "c"): "code that returns (c, h)",
    ("rows", "hx"): "code that stacks [h; x]",
    ("merge", "concat_swapped"): "code that concatenates [backward; forward]",
    ("reverse", True): "a backward cell, go_backwards",
    ("flip_output", True): "Keras' go_backwards, not turned back",
    ("dtype", "float16"): "layers moved to it, autocast",
    ("dtype", "bfloat16"): "layers moved to it, autocast",
    ("transposed", "recurrent"): "code that multiplies by R, not its transpose",
}


def who(setting: str, value: Any, assumed: Convention, cell: str = "") -> str:
    """Which rows of the table do it that way, or what slip of the code does."""
    if setting == "reverse" and cell.endswith("_reverse"):
        return "every framework" if value else "code that runs both directions forward"
    if setting == "array" and "." in value:
        return "code that takes a lower layer's output"
    if str(value).startswith("reshaped"):
        return "code that calls reshape, not transpose"
    if (setting, value) in _WHO:
        return _WHO[setting, value]
    names = rows_that(setting, value)
    if setting == "layout" and (own := lies_so(assumed.name, value)) not in ("", assumed.name):
        return f"{own}; {', '.join(sorted(names, key=familiarity)[:3])}"
    if not names and "activation" in setting:
        return _HAVE_ACTIVATION.get(value, "no framework by itself; most take any activation")
    if not names:
        return "no framework known here"
    ranked = sorted(names, key=familiarity)
    if len(names) > len(CONVENTIONS) // 2:
        return "most frameworks: " + ", ".join(ranked[:3])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(ranked[:MOST_NAMED]) + more


_ZERO_STATE = "At step 0 the state is zero"

_HIDES: Mapping[str, str] = {
    "forget_bias": f"{_ZERO_STATE}: the forget gate multiplies nothing",
    "recurrent_gates": f"{_ZERO_STATE}: the recurrent kernel multiplies nothing",
    "coupled": f"{_ZERO_STATE}: the forget gate multiplies nothing",
    "state": f"{_ZERO_STATE} in either case",
    "transposed": f"{_ZERO_STATE}: the recurrent kernel multiplies nothing",
    "cell_clip": "The bound does nothing until a cell reaches it",
    "gate_clip": "The bound does nothing until a gate's pre-activation reaches it",
    "array": "h and c have the same shape",
    "gates": "The four blocks have one shape: any order of them can be run",
    "kernel_gates": "The four blocks have one shape: any order of them can be run",
    "bias_gates": "The four blocks have one shape: any order of them can be run",
    "interleaved": "Blocks and units lie along the same axis: both readings have one shape",
    "rows": "x and h lie along the same axis: no shape tells which comes first",
    "bias": "A bias that is added twice or left out changes no shape",
    "recurrent_activation": "An activation is in no tensor, and the hard ones are near the sigmoid",
    "activation": "An activation is in no tensor",
    "output_activation": "An activation is in no tensor",
    "go_backwards": "The direction is in no tensor",
    "layout": "No shape tells whether the first axis is batch or time",
    "reverse": "The direction is in no tensor",
    "flip_output": "Outputs turned round in time have the same shape",
    "initial_state": "h and c have the same shape",
    "peepholes": "Peepholes are small beside the kernels",
    "lengths": "Padding has the shape of data",
    "dtype": "Rounding is in no tensor",
    "masked_output": "It shows only past a row's length",
    "merge": "Both directions have the same shape",
}


def why_hidden(changes: Sequence[Changed], first_step: int | None) -> str:
    """Why the mistake did not show at once, and from where on it does."""
    sentences = [sentence for change in changes if (sentence := _hides(change))]
    text = ". ".join(dict.fromkeys(sentences))
    text += "." if text else ""
    if first_step:
        text += f" It shows from step {first_step}."
    return text


def _hides(change: Changed) -> str:
    plain = change.setting.rpartition(".")[2]
    if plain == "transposed" and str(change.found).startswith("reshaped"):
        return "A reshaped matrix has the shape of a transposed one"
    if plain == "transposed" and change.found in ("kernel", "both"):
        return "A block can be read along either axis: both readings have one shape"
    of_sense = _BY_SENSE[change.sense][3] if change.sense else ""
    return of_sense or _HIDES.get(plain, "")


def wording(changes: Changes) -> str:
    """Changes in a line: ``gates i f g o, forget bias 0``."""
    return ", ".join(
        f"{name_of(c.setting)} {'?' if c.value == SOLVE else value_of(c.setting, c.value)}"
        for c in changes
    )
