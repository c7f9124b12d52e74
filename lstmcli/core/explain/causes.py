"""The one table of what can be wrong with a run: a row for each setting.

A row has all that `explain` knows of a setting, but values that are searched otherwise: merges,
the dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any, NamedTuple

from lstmcli.core.model.conventions import Convention
from lstmcli.core.model.vocabulary import BIASES, GATES, PEEPHOLE_ORDERS, TRANSPOSED

SOLVE = "solve"
"""The value of a constant to be found."""

ORDERS = tuple("".join(order) for order in permutations(GATES))
KNOWN_ORDERS = ("ifgo", "igfo", "iofg", "ifog", "gifo", "figo", "gfoi")
"""Orders that some framework uses, the frequent ones first."""

ACTIVATIONS = (
    "sigmoid",
    "hard_sigmoid_0.2",
    "hard_sigmoid_1_6",
    "tanh",
    "relu",
    "identity",
)

# senses of a change: what it means beyond its setting
CANDIDATE = "candidate"  # the activation of the candidate only
WEIGHTS, INPUTS, BOTH = "weights", "inputs", "weights and inputs"
EVERY = "every operation"

ANY = None
"""Any other value, in texts by value."""

ZERO_STATE = "zero state: "
"""Begins what has no effect at a first step, from a zero state."""

Texts = Mapping[Any, str] | str
"""By value, or one of all values."""


@dataclass(frozen=True)
class Cause:
    """A setting of a run that can be wrong, or a sense in which it is."""

    setting: str
    name: str = ""  # in words, if the setting's is not enough
    sense: str = ""
    prior: float = 9.0  # lower is likelier; from counts of public threads
    values: tuple[Any, ...] = ()  # each a hypothesis of one change
    columns: tuple[str, ...] = ()  # the settings that it changes, if several
    of_run: bool = False  # only full runs show it, and no step of a cell
    usual: tuple[Any, ...] | None = None  # values of some framework; None: all
    unusual: float = 5.0  # added to the prior of the others
    forward: float = 0.0  # added to the prior if only a forward cell has it
    words: Texts = ""  # of values that are not words themselves
    shows: str = ""  # what shows it
    mend: str = ""  # what the line of a program should be
    hides: Texts = ""  # why the mistake does not show at once
    used_by: Texts = ""  # who does it; else the conventions that do


_ALL = "All steps are off"
_LATER = "The first step agrees, later ones do not"
_ONE_ORDER = "one order of gates for kernel, recurrent kernel and bias"
_BLOCKS = "All four gate blocks have the same shape, so a wrong order raises no error"
_EITHER_AXIS = "A block can be read along either axis: either way has one shape"
_NO_TENSOR = "An activation is in no tensor"
_NO_FORGET = f"{ZERO_STATE}the forget gate"
_NO_RECURRENT = f"{ZERO_STATE}the recurrent kernel"
_NOT_CARRIED = f"{ZERO_STATE}carrying it on"
_RESHAPED = tuple(value for value in TRANSPOSED if value.startswith("reshaped"))
_HARD = {
    "hard_sigmoid_0.2": "hard sigmoid, 0.2x + 0.5",
    "hard_sigmoid_1_6": "hard sigmoid, x/6 + 0.5",
}
_HALF = "layers moved to it, autocast"
_OF_GATES = "code that gives the candidate the gates' activation"

_ROWS = (
    # ---- how the tensors are stored
    Cause("gates", "gate order", prior=1,
        columns=("kernel_gates", "recurrent_gates", "bias_gates"),
        values=ORDERS, usual=KNOWN_ORDERS,
        shows=_ALL,
        mend="i, f, g, o = blocks of z, in the order of the weights",
        hides=_BLOCKS),
    Cause("kernel_gates", "gate order of the kernel", prior=6.2,
        values=ORDERS, usual=KNOWN_ORDERS,
        shows=_ALL,
        mend=_ONE_ORDER,
        hides=_BLOCKS),
    Cause("recurrent_gates", "gate order of the recurrent kernel", prior=6,
        values=ORDERS, usual=KNOWN_ORDERS,
        shows=_LATER,
        mend=_ONE_ORDER,
        hides=_NO_RECURRENT),
    Cause("bias_gates", "gate order of the bias", prior=6.4,
        values=ORDERS, usual=KNOWN_ORDERS,
        shows=_ALL,
        mend=_ONE_ORDER,
        hides=_BLOCKS),
    Cause("interleaved", "gate arrangement", prior=3.2,
        values=(False, True),
        words={True: "unit by unit", False: "block by block"},
        shows=_ALL,
        mend="z.reshape(4, units), or unit by unit z.reshape(units, 4).T",
        hides="Blocks and units are on one axis, so both orders have the same shape"),
    Cause("rows", "row order of the kernel", prior=3.4,
        values=("xh", "hx"),
        words={"xh": "[x; h]", "hx": "[h; x]"},
        shows=_ALL,
        mend="z = W @ concat(x, h)",
        hides="x and h are on the same axis, so no shape shows which comes first",
        used_by={"hx": "code that stacks [h; x]"}),
    Cause("transposed", "storage of gate blocks", prior=3.3,
        values=TRANSPOSED,
        words={
            "none": "plain",
            "kernel": "transposed in the kernel",
            "recurrent": "transposed in the recurrent kernel",
            "both": "transposed in both kernels",
            "reshaped_kernel": "reshaped in the kernel",
            "reshaped_recurrent": "reshaped in the recurrent kernel",
            "reshaped_both": "reshaped completely",
        },
        shows="The first step agrees, later ones do not, unless the kernel is transposed too",
        mend="multiply by R as it is stored; for the other axis R.T, not reshape",
        hides={
            ANY: _NO_RECURRENT,
            **dict.fromkeys(("kernel", "both"), _EITHER_AXIS),
            **dict.fromkeys(_RESHAPED, "A reshaped matrix has the shape of a transposed one"),
        },
        used_by={
            "recurrent": "code that multiplies by R, not its transpose",
            **dict.fromkeys(_RESHAPED, "code that calls reshape, not transpose"),
        }),
    Cause("bias", prior=2.4,
        values=BIASES,
        words={
            "input_only": "b_ih only",
            "recurrent_only": "b_hh only",
            "input_twice": "b_ih twice",
            "recurrent_twice": "b_hh twice",
        },
        shows=_ALL,
        mend="z = K x + R h + b_ih + b_hh, each of them once",
        hides="A bias that is added twice or left out changes no shape",
        used_by={
            "twice": "code that adds it in both halves",
            "none": "code that leaves it out",
            "input_only": "code that forgot b_hh",
            "recurrent_only": "code that forgot b_ih",
            "input_twice": "code that took b_ih for b_hh too",
            "recurrent_twice": "code that took b_hh for b_ih too",
        }),
    # ---- how the cell runs
    Cause("forget_bias", prior=3.5,
        values=(0.0, 1.0, SOLVE), usual=(0.0, 1.0), unusual=3.0,
        shows=_LATER,
        mend="f = sigmoid(z_f + forget_bias)",
        hides=_NO_FORGET),
    Cause("recurrent_activation", prior=3,
        values=ACTIVATIONS, usual=("sigmoid", *_HARD),
        words=_HARD,
        shows="All steps are off by a little",
        mend="i, f, o = sigmoid(z), or the hard one of the training",
        hides=f"{_NO_TENSOR}, and the hard ones are near the sigmoid"),
    Cause("activation", prior=5.4,
        columns=("activation", "output_activation"),
        values=ACTIVATIONS, usual=("tanh", "relu", "identity"),
        words=_HARD,
        shows=_ALL,
        mend="g = tanh(z_g), h = o * tanh(c)",
        hides=_NO_TENSOR),
    Cause("output_activation", prior=5.6,
        values=ACTIVATIONS, usual=("identity", "tanh"),
        words=_HARD,
        shows="c agrees, h does not",
        mend="h = o * tanh(c)",
        hides=_NO_TENSOR),
    Cause("coupled", "gate coupling", prior=5,
        values=("none", "f=1-i", "i=1-f"),
        words={"f=1-i": "f = 1 - i", "i=1-f": "i = 1 - f"},
        shows=_LATER,
        mend="f = sigmoid(z_f), with the weights of f",
        hides=_NO_FORGET),
    Cause("cell_clip", prior=7,
        values=(None, SOLVE), usual=(None, 1.0, 3.0), unusual=3.0,
        shows="Steps agree until c reaches the bound",
        mend="c = clip(c, -bound, bound), before h",
        hides="The bound does nothing until a cell reaches it"),
    Cause("gate_clip", prior=7.5,
        values=(None, SOLVE), usual=(None,), unusual=3.0,
        shows="Numbers whose z is large are off",
        mend="z = clip(z, -bound, bound), before the activations",
        hides="The bound does nothing until a gate's pre-activation reaches it"),
    Cause("projection_clip", prior=7.6,
        values=(None, SOLVE), usual=(None,), unusual=3.0,
        shows="Numbers of h that are large are off",
        mend="h = clip(P h, -bound, bound)",
        hides="The bound does nothing until a projected h reaches it"),
    Cause("peepholes", "peephole connection", prior=5.2,
        values=("used", "ignored", "old_c"),
        words={"old_c": "to the old c in o"},
        shows="The first step is off in o, later ones everywhere",
        mend="z_i += p_i * c; z_f += p_f * c; z_o += p_o * c_new",
        hides="Peepholes are small next to the kernels",
        used_by={"ignored": "code that leaves them out"}),
    Cause("peephole_gates", "order of the peepholes", prior=5.3,
        values=PEEPHOLE_ORDERS,
        shows="The first step is off in o, later ones everywhere",
        mend="p_i, p_f, p_o = peepholes, in the order of the weights",
        hides="The three peepholes have one shape, so a wrong order raises no error"),
    # ---- how a run goes through the data
    Cause("layout", prior=4,
        values=("batch", "time"),
        of_run=True,
        words={"batch": "(B, T, I)", "time": "(T, B, I)"},
        shows="Only the first step of the first sequence agrees",
        mend="x = x.transpose(1, 0, 2)",
        hides="No shape tells whether the first axis is batch or time",
        used_by={"batch": "keras, tf1, flax; pytorch with batch_first=True"}),
    Cause("reverse", "direction", prior=2.6,
        values=(False, True),
        words={True: "last step first", False: "first step first"},
        shows="All steps are off; the last one is the first one of the other run",
        mend="for t in reversed(range(steps))",
        hides="The direction is in no tensor",
        used_by={True: "a backward cell, go_backwards"}),
    # what is forgotten is to turn the backward half back
    Cause("flip_output", "order of the outputs", prior=2.7,
        values=(False, True),
        forward=5.0,
        words={True: "reversed in time", False: "in time order"},
        shows="The steps agree in the other order",
        mend="h = h[::-1]",
        hides="Outputs that are reversed in time have the same shape",
        used_by={True: "Keras' go_backwards, in processing order"}),
    Cause("go_backwards", "go_backwards", prior=2.8,
        columns=("reverse", "flip_output"),
        values=(True,),
        words={True: "yes", False: "no"},
        shows="All steps are off; they agree with no order of the forward run",
        mend="h = h[::-1], after a run from the last step on",
        hides="The direction is in no tensor",
        used_by={True: "Keras with go_backwards=True"}),
    Cause("state", prior=2,
        values=("carried", "reset"),
        words={"carried": "carried on", "reset": "zero at every step"},
        shows=_LATER,
        mend="h, c = cell(x[t], h, c)",
        hides=_NOT_CARRIED,
        used_by={"reset": "code that forgets to hand h and c on"}),
    Cause("initial_state", prior=2.2,
        values=("given", "zero", "swapped"),
        of_run=True,
        words={"given": "as given", "swapped": "h and c exchanged"},
        shows="The first steps are off, later ones less and less",
        mend="h, c = h0, c0",
        hides="h and c have the same shape",
        used_by={
            "zero": "code that leaves the given state out",
            "swapped": "code that reads (c, h) as (h, c)",
        }),
    Cause("lengths", "sequence length", prior=4.2,
        values=("given", "ignored", "inverted"),
        of_run=True,
        words={"given": "as given"},
        shows="The longest sequence agrees, shorter ones do not",
        mend="pack_padded_sequence(x, lengths), a mask, sequence_length",
        hides="Padded steps look like data, so nothing fails",
        used_by={
            "ignored": "code that runs over the padding",
            "inverted": "a mask that is true at the padding",
            ANY: "packed sequences, a mask, sequence_length",
        }),
    Cause("masked_output", prior=4.4,
        values=("zero", "repeat", "run"),
        of_run=True,
        shows="Only padded steps differ",
        mend="h[t] = 0 where t >= length, or h of the last valid step",
        hides="It shows only past a sequence's length"),
    Cause("merge", prior=4.7,
        words={"concat_swapped": "concat with the halves swapped"},
        shows="Each half agrees with the other half",
        mend="concat(forward, backward)",
        hides="Both directions have the same shape",
        used_by={"concat_swapped": "code that concatenates [backward; forward]"}),
    Cause("directions", "order of the directions in the weights", prior=4.8,
        words={"stored": "as stored"},
        shows=_ALL,
        mend="forward by the first weights, backward by those of _reverse",
        hides="Both directions have the same shape",
        used_by={"exchanged": "code that takes the backward weights first"}),
    Cause("array", "EXPECTED", prior=4.6,
        values=("h", "c", "i", "f", "g", "o"),
        of_run=True,
        shows="EXPECTED is another array of the trace",
        mend="return h, not c or a gate",
        hides="No shape tells which array of a run it is",
        used_by={"c": "code that returns (c, h)"}),
    Cause("head", "layers behind the LSTM", prior=2.1,
        of_run=True,
        shows="h agrees, y does not",
        mend="y = activation(h @ kernel + bias), the activation of training",
        hides="An activation is in no tensor",
        used_by="code that gives logits, or probabilities; state dicts, which have none"),
    Cause("dtype", prior=8,
        shows="Nearly all numbers differ slightly",
        mend="float32 from the inputs to the outputs",
        hides="Rounding is in no tensor",
        used_by={"float16": _HALF, "bfloat16": _HALF}),
)  # fmt: skip

CAUSES = {row.setting: row for row in _ROWS}
"""By setting, in the order of the table."""

_SENSES = (
    Cause("activation", "activation of the candidate", CANDIDATE,
        words=_HARD,
        used_by=dict.fromkeys(("sigmoid", *_HARD), _OF_GATES)),
    Cause("dtype", "dtype of the weights", WEIGHTS,
        used_by="weights that were saved in it once"),
    Cause("dtype", "dtype of the inputs", INPUTS,
        used_by="inputs that were saved in it once"),
    Cause("dtype", "dtype of weights and inputs", BOTH,
        used_by="mixed precision"),
    Cause("dtype", "dtype", EVERY,
        used_by=_HALF),
)  # fmt: skip

SENSES = {row.sense: row for row in _SENSES}
"""Other words for some values of a setting, or some evidence."""

CONSTANTS = tuple(name for name, cause in CAUSES.items() if SOLVE in cause.values)
"""Settings whose values are solved for too."""

ORDERS_OF_TENSORS = CAUSES["gates"].columns
"""The orders of gates that are one setting each, next to `gates` of all."""

SPREADS = {name: cause.columns for name, cause in CAUSES.items() if cause.columns}
"""Settings of several columns; those of one column are stronger."""

COLUMNS: Mapping[str, tuple[Any, ...]] = {
    name: cause.values
    for name, cause in CAUSES.items()
    if cause.values
    and not cause.of_run
    and (not cause.columns or name in cause.columns)
}
"""Each column of a hypothesis and its values; ``gates`` is three."""


def cause_of(setting: str, sense: str = "") -> Cause:
    """The row of a setting, of any cells, or of a sense of it."""
    plain = setting.rpartition(".")[2]
    return SENSES.get(sense) or CAUSES.get(plain) or Cause(plain)


def text_for(texts: Texts, value: Any) -> str:
    """The text for a value, or for any other; empty if there is none."""
    each = {ANY: texts} if isinstance(texts, str) else texts
    return each.get(value) or each.get(ANY, "")


Settings = Mapping[str, Any]


class Change(NamedTuple):
    """A setting and the value that it takes instead of the assumed one."""

    setting: str
    value: Any


Changes = tuple[Change, ...]
KEPT = -1  # the code of a setting that a change leaves


def value_in(how: Convention, setting: str) -> Any:
    """The value of a setting in a convention, of one tensor if it is an order."""
    if setting in ORDERS_OF_TENSORS:
        return how.storage.order_of(setting.removesuffix("_gates"))
    return how.setting(setting)


def settings_of(changes: Changes) -> dict[str, Any]:
    """Changes as settings by name."""
    return {change.setting: change.value for change in changes}


def kinds(changes: Iterable[Change]) -> set[str]:
    """The settings that are changed, of any cells."""
    return {change.setting.rpartition(".")[2] for change in changes}


def spelled_out(settings: Settings, given: Settings) -> dict[str, Any]:
    """Add the special settings that would otherwise override a changed general one.

    ``activation`` changes the output's too, unless that is given. ``go_backwards`` overrides the
    two settings that it stands for.
    """
    stale = {
        special: settings[general]
        for general, specials in SPREADS.items()
        if general in settings and general != "go_backwards"
        for special in specials
        if special != general and special in given and special not in settings
    }
    return {**settings, **stale}
