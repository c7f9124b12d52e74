"""Who does it the way that was found, and why the difference hid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.core.explain.ranking import lies_so, rows_that
from lstmcli.core.explain.result import Changed, Row
from lstmcli.core.explain.words import SENSES, assumed_of, found_of, label
from lstmcli.core.model.conventions import CONVENTIONS, Convention

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


def row_of(one: Changed, assumed: Convention) -> Row:
    """The line of the table for a change."""
    cell, _, plain = one.setting.rpartition(".")
    note = f" ({assumed.name})" if _is_own(assumed, plain, one.assumed) else ""
    doer = SENSES[one.sense].doer if one.sense else who(plain, one.found, assumed, cell)
    return Row(label(one), assumed_of(one) + note, found_of(one), doer)


def _is_own(assumed: Convention, setting: str, value: Any) -> bool:
    row = CONVENTIONS.get(assumed.name)
    own = None if row is None else row.setting(setting)
    return own == value and value not in (None, False, "none")


_HAVE_ACTIVATION = {
    "hard_sigmoid_0.2": "Keras 1 and 2, TF1 and ONNX, if set to hard_sigmoid",
    "hard_sigmoid_1_6": "Keras 3, PyTorch and JAX, if set to hard_sigmoid",
    "relu": "Keras and ONNX, if set to relu",
}
"""Who has an activation where no row runs it by default."""


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
    "peepholes": "Peepholes are small next to the kernels",
    "lengths": "Padding has the shape of data",
    "dtype": "Rounding is in no tensor",
    "masked_output": "It shows only past a row's length",
    "merge": "Both directions have the same shape",
}


def why_hidden(changes: Sequence[Changed], first_step: int | None, backward: bool = False) -> str:
    """Why the mistake did not show at once, and from where on it does."""
    reasons: dict[str, dict[str, None]] = {}  # by what they have in common
    for change in changes:
        common, _, reason = _hides(change).partition(": ")
        reasons.setdefault(common, {})[reason] = None
    reasons.pop("", None)
    text = ". ".join(
        f"{common}: {' and '.join(own)}" if any(own) else common for common, own in reasons.items()
    )
    if backward:
        return text.replace("At step 0", "At the last step, which comes first,") + "." * bool(text)
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
    of_sense = SENSES[change.sense].hidden if change.sense else ""
    return of_sense or _HIDES.get(plain, "")
