"""Every setting that is not stored in the weights: its name, its values, and its parser.

One table serves options, ``--set NAME=VALUE``, the members of a JSON or npz
file, the keywords of `lstmcli.load` and the changes that `explain` reports. No
numpy here: ``lstm run --help`` lists these too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import inf, isfinite
from typing import Any, NamedTuple

from lstmcli.core.model.vocabulary import (
    ACTIVATION_NAMES,
    BIASES,
    GATES,
    PEEPHOLE_ORDERS,
    TRANSPOSED,
    read_activation_name,
    read_gate_order,
    read_head,
)
from lstmcli.errors import UserError, did_you_mean, listed, refuse_unprintable

MOST_NAMED = 7  # values in a message
MOST_SHOWN = 40  # characters of a value in a message: half a line
CONVENTIONS_OWN = "the convention's"
"""The default of most settings: what the file specifies, otherwise what its framework does."""


AS_ROW = "as the row"  # a setting is off where it is that of the convention's row
SAME = "the same"


class Setting(NamedTuple):
    """One row: how a value is read, and what it means in a line of help."""

    read: Callable[[Any], Any]
    help: str
    values: str = ""  # in words, of a parser that has no choices
    default: str = CONVENTIONS_OWN  # in words: the value where none is given
    rule: str = ""  # what the page of the setting adds to the line of help
    off: str = ""  # the value that a list of settings leaves out, or `AS_ROW`
    also: Mapping[
        str, Any
    ] = {}  # fields that follow it: their values, `SAME` as its own

    def changes(self, value: Any) -> dict[str, Any]:
        """The fields that follow a value of the setting."""
        changes = {}
        for name, other in self.also.items():
            if other is SAME:
                changes[name] = value
            elif value in other:
                changes[name] = other[value]
        return changes

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it takes, where these can be listed."""
        if self.read is _boolean:
            return ("true", "false")
        return tuple(self.read.named) if isinstance(self.read, Parser) else ()


MERGES = ("concat", "concat_swapped", "sum", "mul", "ave")
"""How forward and backward h become one output of (B, T, K)."""


class Parser:
    """A parser of values between commas, or of names, which may have words.

    ``form`` has a letter of `_KINDS` for each value: "gun" takes a gate, a
    unit and a number, such as ``f,3,0.5``; "u+" takes any count of units.
    """

    def __init__(self, form: str, words: str, named: Iterable[Any] = ()) -> None:
        self.named = named if isinstance(named, dict) else dict.fromkeys(named, "")
        self.words, self.example, self._form = words, words.rpartition(" ")[2], form

    def __call__(self, value: Any) -> Any:
        """The name or the value, or several as a tuple; ValueError with what is expected."""
        text = value.__name__ if isinstance(value, type) else str(value)  # np.float64
        if text in self.named:
            return text
        parts = text.split(",")
        form = self._form.replace("+", self._form[:1] * (len(parts) - 1))
        try:
            values = tuple(
                _KINDS[kind](part) for kind, part in zip(form, parts, strict=True)
            )
        except ValueError:
            names = (name for name in self.named if isinstance(name, str))
            raise ValueError(f"{self.words}.{did_you_mean(text, names)}") from None
        return values if len(self._form) > 1 else values[0]


class OneOf(Parser):
    """A parser of one of several names."""

    def __init__(self, *names: str, **in_words: str) -> None:
        named = dict.fromkeys(names, "") | in_words
        *others, last = named
        words = f"{', '.join(others)} or {last}"
        if len(named) > MOST_NAMED:
            words = listed(list(named), MOST_NAMED)
        super().__init__("", words, named)


class _Padding(OneOf):
    """A parser of how given lengths are used, or of lengths."""

    def __call__(self, value: Any) -> Any:
        """The word; or the lengths as a tuple, of a text or a sequence."""
        if not isinstance(value, str) and hasattr(value, "__len__"):
            value = ",".join(map(str, value))
        if re.fullmatch(r"\d{1,9}(,\d{1,9})*", str(value).replace(" ", "")):
            return tuple(map(int, str(value).split(",")))
        return super().__call__(value)


def read_number(value: Any) -> float:
    """A finite number; ValueError with what is expected for anything else."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError("a number") from None
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise ValueError("a finite number")
    return number


def _bound(value: Any) -> float | None:
    if str(value).lower() == "none":  # BlockLSTM of TensorFlow has one by default
        return None
    number = read_number(value)
    if number <= 0:
        raise ValueError("a number above 0, or none")
    return number


def _fitting(
    read: Callable[[str], Any], fits: Callable[[Any], bool]
) -> Callable[[str], Any]:
    def fitting(part: str) -> Any:
        if not fits(value := read(part.strip())):
            raise ValueError
        return value

    return fitting


def _integer(part: str) -> int:
    if not re.fullmatch("-?[0-9]{1,6}", part):  # int() takes 1_0 and +2
        raise ValueError
    return int(part)


_KINDS: dict[str, Callable[[str], Any]] = {
    "g": _fitting(str, tuple(GATES).__contains__),
    "c": _fitting(_integer, lambda n: n > 0),
    "b": _fitting(_integer, (1, 2).__contains__),
    "u": _fitting(_integer, lambda n: n >= 0),  # a unit, feature or step
    "d": _fitting(_integer, bool),  # steps in either direction
    "n": read_number,
    "p": _fitting(read_number, lambda number: number > 0),
    "s": _fitting(read_number, lambda number: 0 < number < 1),
}


def _boolean(value: Any) -> bool:
    words = {
        "true": True,
        "yes": True,
        "1": True,
        "false": False,
        "no": False,
        "0": False,
    }
    try:
        return words[str(value).lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _name(value: Any) -> str:
    name = str(value).strip()
    if not name:
        raise ValueError("none, or the name of a layer")
    return name


_ACTIVATION = ", ".join(ACTIVATION_NAMES).replace("hard_sigmoid,", "hard_sigmoid(A,B),")
_BOUND = "a number above 0, or none"
_GATES = "the letters i f o and one of g j c z"

COUNT = Parser("c", "an integer from 1 on")

SETTINGS: dict[str, Setting] = {
    "convention": Setting(
        str,
        "Framework of the weights.",
        "a name that `lstm conventions` lists",
        "recognised",
        "It is recognised from the names and shapes of the tensors.",
    ),
    "gates": Setting(
        read_gate_order, "Order of the gate blocks: ifgo, igfo, iofg, ...", _GATES
    ),
    "kernel_gates": Setting(
        read_gate_order, "Gate order of the kernel only.", _GATES, "that of gates"
    ),
    "recurrent_gates": Setting(
        read_gate_order,
        "Gate order of the recurrent kernel only.",
        _GATES,
        "that of gates",
    ),
    "bias_gates": Setting(
        read_gate_order, "Gate order of the bias only.", _GATES, "that of gates"
    ),
    "interleaved": Setting(
        _boolean, "Gates alternate unit by unit instead of block by block."
    ),
    "rows": Setting(
        OneOf("xh", "hx"), "Rows of a fused kernel: inputs first, or h.", off="xh"
    ),
    "bias_row": Setting(
        OneOf("none", "first", "last"),
        "Row of a fused kernel that is the bias: first or last.",
    ),
    "transposed": Setting(
        OneOf(*TRANSPOSED),
        "Matrices whose gate blocks are stored transposed.",
        rule="reshaped_...: the matrix was reshaped instead of transposed.",
    ),
    "bias": Setting(
        OneOf(*BIASES),
        "How often the bias is added, or which of two: of the inputs, or recurrent.",
        off="once",
    ),
    "forget_bias": Setting(
        read_number, "Constant added to the forget gate at run time.", "a number"
    ),
    "activation": Setting(
        read_activation_name,
        "Activation of g, and of c in h = o * act(c).",
        _ACTIVATION,
        also={"output_activation": SAME},  # as in frameworks with one option for both
    ),
    "recurrent_activation": Setting(
        read_activation_name, "Activation of the gates i, f, o.", "those of activation"
    ),
    "output_activation": Setting(
        read_activation_name,
        "Only that of c in h = o * act(c).",
        "those of activation",
        "that of activation",
    ),
    "coupled": Setting(
        OneOf("none", "f=1-i", "i=1-f"), "One gate is 1 minus the other."
    ),
    "cell_clip": Setting(_bound, "Bound on |c|.", _BOUND),
    "gate_clip": Setting(
        _bound, "Bound on every pre-activation (ONNX's clip).", _BOUND
    ),
    "projection_clip": Setting(_bound, "Bound on |h| after the projection.", _BOUND),
    "peepholes": Setting(
        OneOf("used", "ignored", "old_c"),
        "old_c: the peephole of o takes the old c, as those of i and f do.",
        off="used",
        also={"output_peephole": {"old_c": "old_c"}},
    ),
    "peephole_gates": Setting(
        OneOf(*PEEPHOLE_ORDERS),
        "Gate order of peepholes that are one tensor.",
        off=AS_ROW,  # there may be no peepholes
    ),
    "layout": Setting(
        OneOf("batch", "time"), "Inputs are (B, T, I): batch; (T, B, I): time."
    ),
    "reverse": Setting(
        _boolean,
        "Process the steps from the last to the first.",
        rule="Outputs keep the order of the inputs. layer0_reverse.reverse=false runs a backward "
        "cell from the first step to the last.",
    ),
    "go_backwards": Setting(_boolean, "Keras: reversed, outputs in processing order."),
    "merge": Setting(
        OneOf(*MERGES, "stack"),
        "How two directions become one output.",
        rule="concat_swapped has the backward half first; stack has an axis of directions.",
        off="concat",
    ),
    "directions": Setting(
        OneOf("stored", "exchanged"),
        "exchanged: each direction uses the weights of the other one.",
        default="stored",
        off="stored",
    ),
    "masked_output": Setting(
        OneOf("zero", "repeat", "run"),
        "Output at masked steps and past lengths.",
        rule="The convention's default may differ for masks and for lengths. repeat is the last "
        "output again; run computes on, over the padding.",
        off="zero",
        also={"masked_output_merged": SAME, "past_length": SAME},
    ),
    "flip_output": Setting(
        _boolean, "Outputs in the other order of time.", default="false"
    ),
    "state": Setting(
        OneOf("carried", "reset"),
        "carried: a step starts from the state before; reset: from the initial one.",
        default="carried",
        off="carried",
    ),
    "initial_state": Setting(
        OneOf("given", "zero", "swapped"),
        "How a given initial state is used; swapped: h and c exchanged.",
        default="given",
        off="given",
    ),
    "lengths": Setting(
        _Padding("given", "ignored", "inverted"),
        "How given lengths or a mask are used.",
        default="given",
        off="given",
        rule="ignored: all steps are valid; inverted: the steps are valid that the mask leaves "
        "out. Or the lengths themselves, such as 3,7,5. layer1.lengths=ignored is a mask that one "
        "layer forgets.",
    ),
    "front": Setting(
        _name,
        "Embedding before the LSTM.",
        "none, or NAME",
        "the file's",
        rule="NAME is a layer of the file, the start of its tensors' names (emb), or its table. "
        "none: inputs are the LSTM's.",
    ),
    "head": Setting(
        read_head,
        "Dense layers behind the LSTM, in turn.",
        "none, or NAME[:ACTIVATION],...",
        "the file's",
        rule="NAME is a layer of the file, the start of its tensors' names (fc), or its kernel. "
        "An activation is one of cells, softmax or log_softmax; without it there is none.",
    ),
    "flat_units": Setting(
        COUNT, "Units, where the weights are one vector.", COUNT.words, "none"
    ),
    "flat_layers": Setting(
        COUNT, "Layers, where the weights are one vector.", COUNT.words, "1"
    ),
    "flat_directions": Setting(
        Parser("b", "1 or 2"),
        "Directions, where the weights are one vector.",
        "1 or 2",
        "1",
    ),
    "arithmetic": Setting(
        OneOf("float", "8bit", "hybrid", "hybrid_asymmetric"),
        "Arithmetic of the matrix products: float, 8bit, ...",
        off="float",
        rule="8bit quantises inputs and h to 8 bits as onnxruntime does; hybrid and "
        "hybrid_asymmetric as TensorFlow Lite does.",
    ),
    "dtype": Setting(
        OneOf("float16", "bfloat16", "float32", "float64", "longdouble"),
        "dtype of the computation.",
        default="that of the weights",
        rule="bfloat16 rounds the weights and runs in float32.",
    ),
}


FLAGS = ("reverse", "go_backwards")
"""Settings whose option is a flag."""

WITH_OPTION = (
    "convention",
    "gates",
    "forget_bias",
    "activation",
    "recurrent_activation",
    "output_activation",
    "cell_clip",
    "gate_clip",
    "projection_clip",
    "rows",
    "coupled",
    "layout",
    "dtype",
    "arithmetic",
    "merge",
    "masked_output",
    "front",
    "head",
)
"""Settings that have an option with a value; ``--set`` takes every setting."""


def setting_text(value: Any) -> str:
    """A value as it is typed; ``...`` for any."""
    if value is ...:
        return "..."
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(setting_text, value))
    if not isinstance(value, float):
        return str(value)
    return f"{value:.12g}" if value == round(value, 12) else f"{value:.17g}"


class Assumption(str):
    """An assumption, with the reason and the option that sets it: all of it in one text.

    ``forget bias +1 (not stored in the weights; --forget-bias)``; ``more``
    follows the option.
    """

    what: str
    option: str  # "" where none sets it

    def __new__(
        cls, what: str, why: str = "", option: str = "", more: str = ""
    ) -> Assumption:
        """The text, which knows its parts."""
        reason = "; ".join(filter(None, (why, f"{option} {more}".strip())))
        text = super().__new__(cls, f"{what} ({reason})" if reason else what)
        text.what, text.option = what, option
        return text


def without_option(assumed: Sequence[str]) -> list[str]:
    """The assumptions that no option changes."""
    return [
        text for text in assumed if not (isinstance(text, Assumption) and text.option)
    ]


CELL = re.compile(r"layer\d+(?:_reverse)?")
"""A name of a cell of a model."""

SIZES = ("flat_units", "flat_layers", "flat_directions")
"""Settings of weights that are one vector."""

MODEL_ONLY = (
    "convention",
    "layout",
    "initial_state",
    "merge",
    "directions",
    "dtype",
    "front",
    "head",
)
"""Settings of the model, which a single cell cannot have; so are `SIZES`."""


def split_cell(name: str) -> tuple[str, str]:
    """``layer1_reverse.forget_bias`` as the cell and its setting; the cell is "" for all cells."""
    cell, _, setting = name.rpartition(".")
    return (cell, setting) if cell else ("", name)


def read_setting(name: str, value: Any, where: str) -> Any:
    """The value of a setting, parsed.

    ``where`` starts a message: ``--gates``, ``weights.json``, ...
    """
    cell, plain = split_cell(name)
    if cell and plain in (*MODEL_ONLY, *SIZES):
        raise UserError(f"{where}: {plain} is a setting of the model, not of {cell}.")
    try:
        setting = SETTINGS[plain]
    except KeyError:
        near = did_you_mean(plain, SETTINGS, f"{cell}." if cell else "")
        known = [] if near else [f"  Settings: {', '.join(SETTINGS)}."]
        raise UserError(f"{where}: unknown setting {name!r}.{near}", *known) from None
    refuse_unprintable(value, f"{where}: {name}")
    try:
        read = setting.read(value)
        if cell and plain == "lengths" and isinstance(read, tuple):
            raise ValueError("given, ignored or inverted; lengths are of all layers")
        return read
    except ValueError as error:
        first, *further = error.args
        stop = "" if first[-1] in ".,?" else "."
        raise UserError(
            f"{_found(name, value, where)} takes {first}{stop}", *further
        ) from None


def _found(name: str, value: Any, where: str) -> str:
    if not where.startswith("-"):
        return f"{where}: {name} is {value!r}; it"
    if "=" in where:
        return f"{where}:"
    return f"{where} {str(value)[:MOST_SHOWN]}:"
