"""Settings, values and changes in English: names, clauses, reasons, and who does it that way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lstmcli.core.explain.causes import (
    CANDIDATE as CANDIDATE,
)
from lstmcli.core.explain.causes import (
    CAUSES,
    SENSES,
    SOLVE,
    ZERO_STATE,
    Cause,
    said_of,
)
from lstmcli.core.explain.causes import (
    ONE_WAY as ONE_WAY,
)
from lstmcli.core.explain.causes import (
    OPEN as OPEN,
)
from lstmcli.core.explain.causes import (
    SHUT as SHUT,
)
from lstmcli.core.explain.ranking import lies_so, rows_that
from lstmcli.core.explain.result import Changed, Row
from lstmcli.core.explain.space import Change, Changes
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.vocabulary import ONE_OF_TWO, spaced_order

WELL_KNOWN = (
    "keras", "pytorch", "tf1", "onnx", "flax", "haiku", "openvino", "coreml", "chainer", "mxnet",
    "paddle", "tflite", "tf-block", "equinox", "keras1", "cudnnlstm", "dl4j", "cntk", "dynet",
)  # fmt: skip
"""Conventions that are named first, and not all of the others."""

MOST_NAMED = 4

# ---- settings and values


def name_of(setting: str) -> str:
    """A setting in words: ``gates of the kernel``, ``bias, layer1``."""
    cell, _, plain = setting.rpartition(".")
    words = _cause(plain).name or plain.replace("_", " ")
    return f"{words}, {cell}" if cell else words


def value_of(setting: str, value: Any) -> str:
    """A value in words: ``i f g o``, ``+1``, ``hard sigmoid, 0.2x + 0.5``."""
    plain = setting.rpartition(".")[2]
    if value is None:
        return "none"
    if text := said_of(_cause(plain).words, value):
        return text
    if plain.endswith("gates"):
        return spaced_order(value)
    if plain == "forget_bias":
        return f"{value:+.10g}" if value else "0"
    if isinstance(value, float):
        return f"{value:.10g}"
    return str(value)


def _cause(plain: str, sense: str = "") -> Cause:
    return SENSES.get(sense) or CAUSES.get(plain) or Cause(plain)


def _of(change: Changed) -> Cause:
    return _cause(change.setting.rpartition(".")[2], change.sense)


# ---- changes


def label(change: Changed) -> str:
    """The setting of a change in words."""
    return _of(change).name if change.sense else name_of(change.setting)


def found_of(change: Changed) -> str:
    """What was found."""
    if change.sense in (SHUT, OPEN):
        return said_of(_of(change).words, change.found)
    return value_of(change.setting, change.found)


def assumed_of(change: Changed) -> str:
    """What was assumed."""
    if change.found in ONE_OF_TWO:  # there are two, and both were added
        return "b_ih + b_hh"
    return value_of(change.setting, change.assumed)


def changed(
    change: Change, assumed: Any, sense: str = "", implied: Mapping[str, Any] | None = None
) -> Changed:
    """A change with its sentence."""
    one = Changed(change.setting, assumed, change.value, "", sense, implied or {})
    return replace(one, text=_text_of(one))


def _text_of(change: Changed) -> str:
    """``forget bias: 0, not +1``."""
    if change.sense in (SHUT, OPEN):
        return f"{label(change)} {found_of(change)} (forget bias {change.found:+.10g})"
    if change.setting == "go_backwards":
        return "go_backwards, as Keras has it"
    return f"{label(change)}: {found_of(change)}, not {assumed_of(change)}"


def headline(changes: Sequence[Changed]) -> str:
    """``gates: i f g o, not i g f o; forget bias: 0, not +1``."""
    return "; ".join(change.text for change in changes)


def plainly(change: Changed) -> str:
    """A change as a clause that goes on after "what these weights give when"."""
    setting, value = change.setting.rpartition(".")[2], change.found
    where = change.setting.rpartition(".")[0]
    said = said_of(_of(change).clauses, value) or f"{name_of(setting)} is {{value}}"
    if setting == "array" and "." in value and not change.sense:
        said = f"the array is the output of {value.partition('.')[0]}, not of the last layer"
    clause = said.replace("{value}", value_of(setting, value).removeprefix("+"))
    return f"{clause} in {where}" if where else clause


def wording(changes: Changes) -> str:
    """Changes in a line: ``gates i f g o, forget bias 0``."""
    return ", ".join(
        f"{name_of(c.setting)} {'?' if c.value == SOLVE else value_of(c.setting, c.value)}"
        for c in changes
    )


# ---- who does it that way


def familiarity(name: str) -> tuple[int, str]:
    """Sorts the conventions that most people know first; a name may have words after it."""
    row = name.partition(" ")[0]
    return (WELL_KNOWN.index(row) if row in WELL_KNOWN else len(WELL_KNOWN), name)


def row_of(one: Changed, assumed: Convention) -> Row:
    """The line of the table for a change."""
    plain = one.setting.rpartition(".")[2]
    note = f" ({assumed.name})" if _is_own(assumed, plain, one.assumed) else ""
    return Row(label(one), assumed_of(one) + note, found_of(one), used_by(one, assumed))


def _is_own(assumed: Convention, setting: str, value: Any) -> bool:
    """Whether the convention itself has a value, and not an option or a file."""
    row = CONVENTIONS.get(assumed.name)
    own = None if row is None else row.setting(setting)
    return own == value and value not in (None, False, "none")


def used_by(change: Changed, assumed: Convention) -> str:
    """Which conventions do it that way, or what slip of the code does."""
    cell, _, setting = change.setting.rpartition(".")
    cause, value = _of(change), change.found
    if not change.sense:
        if setting == "reverse" and cell.endswith("_reverse"):
            return "every framework" if value else "code that runs both directions forward"
        if setting == "array" and "." in value:
            return "code that takes a lower layer's output"
    if text := said_of(cause.used_by, value):
        return text
    names = sorted(rows_that(setting, value), key=familiarity)
    if setting == "layout" and (own := lies_so(assumed.name, value)) not in ("", assumed.name):
        return f"{own}; {', '.join(names[:3])}"
    if not names:
        return said_of(cause.if_asked, value) or "no framework known here"
    if len(names) > len(CONVENTIONS) // 2:
        return "most frameworks: " + ", ".join(names[:3])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


# ---- why it hid


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
    state = "At the last step, which comes first, the state is zero"
    text = text.replace(ZERO_STATE, state if backward else "The state is zero") + "." * bool(text)
    if backward or not first_step:
        return text
    return f"{text} The difference shows from step {first_step}.".lstrip()


def hides_at_first_step(changes: Sequence[Changed]) -> bool:
    """Whether a first step from a zero state is the same with the changes and without."""
    return any(_hides(change).startswith(ZERO_STATE) for change in changes)


def _hides(change: Changed) -> str:
    own = said_of(_of(change).hides, change.found)
    return own or said_of(_cause(change.setting.rpartition(".")[2]).hides, change.found)
