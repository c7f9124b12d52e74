"""Changes and remarks of `explain` in English, worded once, at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from string import Formatter
from typing import Any

from lstmcli.core.explain.causes import (
    CANDIDATE,
    ZERO_STATE,
    cause_of,
    text_for,
)
from lstmcli.core.explain.explanation import (
    Changed,
    Explanation,
    Onset,
    Row,
    Words,
)
from lstmcli.core.explain.hypotheses import conventions_having
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.verify import Remark
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.edits import HIDES
from lstmcli.core.model.model import format_lengths, join_with_and
from lstmcli.core.model.selection import format_size
from lstmcli.core.model.shell import as_options
from lstmcli.core.model.vocabulary import ONE_OF_TWO, numbered, spaced_order
from lstmcli.errors import listed

WELL_KNOWN = (
    "keras", "pytorch", "tf1", "onnx", "flax", "haiku", "openvino", "coreml", "chainer", "mxnet",
    "paddle", "tflite", "tf-block", "equinox", "keras1", "cudnnlstm", "dl4j", "cntk", "dynet",
)  # fmt: skip
"""Conventions that are named first, before others."""

MOST_NAMED = 4  # conventions
# a forget bias that leaves 1e-7 of the gate, or of 1 - the gate, which is float32's eps;
# where EXPECTED is float32 the number found for -40 was -18
SATURATING = 16.0
FEW_VALUES = 12  # that a constant and a setting may fit by chance
HALF_A_DIGIT = 0.5001  # of the last digit: what is within it rounds to the same print
MOST_DIGITS = 15  # after the point, where float64 has 17 in all


def with_text(each: Iterable[Any], text: Callable[[Any], str]) -> tuple[Any, ...]:
    """Changes or remarks, each with its text."""
    return tuple(replace(one, text=text(one)) for one in each)


def words_of(
    changed: Sequence[Changed],
    location: Location | None,
    wanted: Sequence[Remark],
    onset: Onset,
    assumed: Convention,
) -> Words:
    """The sentences on an answer; ``assumed`` is the convention as loaded."""
    *decide, last = list(map(text_of, wanted)) or [""]
    if decide:
        last = f"{', '.join(decide)} or {last}"
    return Words(
        [row_of(change, assumed) for change in changed],
        hidden_label(changed, onset),
        why_hidden(changed, onset),
        last,
        location_text(location),
    )


def name_of(setting: str, sense: str = "") -> str:
    """A setting in words: ``gate order of the kernel``, ``bias of layer1``."""
    cell, _, plain = setting.rpartition(".")
    name = cause_of(setting, sense).name or plain.replace("_", " ")
    return f"{name} of {cell}" if cell else name


def value_of(setting: str, value: Any) -> str:
    """A value in words: ``i f g o``, ``+1``, ``hard sigmoid, 0.2x + 0.5``."""
    plain = setting.rpartition(".")[2]
    if value is None:
        return "all steps" if plain == "lengths" else "none"
    if isinstance(value, tuple):
        return format_lengths(value)
    text = text_for(cause_of(setting).words, value)
    if text:
        return text
    if plain.endswith("gates"):
        return spaced_order(value)
    if plain == "array":  # of the output, or of one cell
        return f"{value} of the trace" if "." in value else f"trace.{value}"
    if plain == "forget_bias" and value:
        return f"{value:+.10g}"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def saturated_gate(change: Changed) -> str:
    """The forget gate under a bias so large that it is 0 or 1; empty under another one."""
    is_bias = change.setting.rpartition(".")[2] == "forget_bias"
    if not is_bias or abs(change.found) < SATURATING:
        return ""
    if change.found < 0:
        return "f is 0, and c is never carried on"
    return "f is 1, and all of c is carried on"


def assumed_of(change: Changed) -> str:
    """Return what was assumed."""
    if change.found in ONE_OF_TWO:  # there are two, and both were added
        return "b_ih + b_hh"
    return value_of(change.setting, change.assumed)


def change_text(change: Changed) -> str:
    """``forget bias is 0, not +1``."""
    if change.edit:
        return change.edit.words
    if change.setting == "go_backwards":
        return "go_backwards, as in Keras"
    name = name_of(change.setting, change.sense)
    found = value_of(change.setting, change.found)
    text = f"{name} is {found}, not {assumed_of(change)}"
    gate = saturated_gate(change)
    return f"{text}: {gate}" if gate else text


def configuration(changes: Sequence[Changed]) -> str:
    """The changes of a configuration in short, or ``as loaded``."""
    texts = []
    for one in changes:
        value = value_of(one.setting, one.found)
        texts.append(f"{name_of(one.setting, one.sense)} {value}")
    return " and ".join(texts) or "as loaded"


def familiarity(name: str) -> tuple[int, str]:
    """Sorts the best-known conventions first; words may follow a name."""
    row = name.partition(" ")[0]
    if row in WELL_KNOWN:
        return WELL_KNOWN.index(row), name
    return len(WELL_KNOWN), name


def row_of(one: Changed, assumed: Convention) -> Row:
    """The line of a change; it names the convention that has what was assumed."""
    if one.edit:
        kind = one.edit.kind
        return Row(kind.family, "as given", one.edit.words, kind.used_by)
    was = assumed_of(one)
    convention = CONVENTIONS.get(assumed.name)
    if convention is not None:
        usual = convention.setting(one.setting.rpartition(".")[2])
        if usual == one.assumed and usual not in (None, False, "none", "given"):
            was += f" ({assumed.name})"
    return Row(
        name_of(one.setting, one.sense),
        was,
        value_of(one.setting, one.found),
        used_by(one),
        cause_of(one.setting, one.sense).mend,
    )


def used_by(change: Changed) -> str:
    """Which conventions do it that way, or what slip of the code does."""
    cell, _, setting = change.setting.rpartition(".")
    value = change.found
    if setting == "reverse" and cell.endswith("_reverse"):
        return "every framework" if value else "code that runs both directions forward"
    if setting == "array" and "." in value:
        return "code that takes one layer or direction"
    text = text_for(cause_of(setting, change.sense).used_by, value)
    if text:
        return text
    names = conventions_having(setting, value)
    if names:
        return _named(names)
    if change.sense == CANDIDATE:  # conventions set it one by one
        setting = "output_activation"
    names = [n for n, row in CONVENTIONS.items() if row.can_be_set_to(setting, value)]
    return f"{_named(names)}, if set to it" if names else "no framework known here"


def _named(conventions: Sequence[str]) -> str:
    names = sorted(conventions, key=familiarity)
    if len(names) > len(CONVENTIONS) // 2:
        return f"{', '.join(names[:3])} and most others"
    return listed(names, MOST_NAMED)


def why_hidden(changes: Sequence[Changed], onset: Onset) -> str:
    """Why the mistake did not show at once, and from where on it does.

    The zero state is named only with a step that is not the first.
    """
    texts: dict[str, None] = {}
    idle: dict[str, None] = {}  # without an effect on a zero state
    for reason in filter(None, map(_hides, changes)):
        if reason.startswith(ZERO_STATE):
            idle[reason.removeprefix(ZERO_STATE)] = None
        else:
            texts[f"{reason}."] = None
    if onset.step is None:
        return " ".join(texts)
    sentences = list(texts)
    if idle:
        at = "step 0"
        if onset.is_backward:
            at = "the last step, which is processed first,"
        have = "have" if len(idle) > 1 else "has"
        so = f"so {join_with_and(list(idle))} {have} no effect."
        sentences.insert(0, f"At {at} the cell state is zero, {so}")
    if not onset.is_backward:
        sentences.append(f"The difference first appears at step {onset.step}.")
    return " ".join(sentences)


def hidden_label(changes: Sequence[Changed], onset: Onset) -> str:
    """The heading of the reasons: it names the first step only where that agrees."""
    is_at_first = any(_hides(change).startswith(ZERO_STATE) for change in changes)
    if onset.step is None or onset.is_backward or not is_at_first:
        return "why it goes unseen"
    return "why step 0 matches"


def why_unproven(explanation: Explanation) -> str:
    """Why values that agree are not proof."""
    values = explanation.measured.total if explanation.measured else 0
    if any(change.edit for one in explanation.equivalent for change in one):
        return "Another cause gives these values too: see other fits."
    if values <= FEW_VALUES:
        return f"Too few values ({values}): one of the configurations tried may fit by chance."
    return "The values are too much alike, or saturated: other settings give nearly the same."


def _hides(change: Changed) -> str:
    if change.edit:
        return HIDES[change.edit.kind.family]
    of_sense = text_for(cause_of(change.setting, change.sense).hides, change.found)
    return of_sense or text_for(cause_of(change.setting).hides, change.found)


def location_text(location: Location | None) -> str:
    """How EXPECTED is interpreted; empty where that is plain."""
    if location is None or location.state in [one.name for one in location.arrays]:
        return ""
    return f"EXPECTED is interpreted as {location.words}" if location.words else ""


def precision_text(explanation: Explanation) -> str:
    """``to float32 precision``, ``to their 8 printed digits``: what was asked of the values."""
    precision, measured = explanation.compared.precision, explanation.measured
    digits = explanation.compared.digits
    if digits is None:
        return f"to {precision} precision" if precision else ""
    if measured and measured.max_abs > HALF_A_DIGIT * 10.0**-digits:
        return f"to float32 precision; {digits} digits are printed"
    if digits > MOST_DIGITS:
        return "to all printed digits"
    return f"to their {digits} printed digits"


# ---- facts in the texts of remarks


def _at_steps(steps: Sequence[bool]) -> str:
    """``, from step 9 on``, ``, at steps 3 to 5``; empty of last states."""
    at = [n for n, is_so in enumerate(steps) if is_so]
    if len(at) > 1 and all(steps[at[0] :]):
        return f", from step {at[0]} on"
    return f", at {numbered('step', at)}" if at else ""


def _prefix(changes: Sequence[Changed]) -> str:
    return f"With {configuration(changes)}: " if changes else ""


def _begun(changes: Sequence[Changed]) -> str:
    return f"With {configuration(changes)}" if changes else "As loaded"


def _nearest(changes: Sequence[Changed]) -> str:
    if not changes:
        return ""
    settings: dict[str, Any] = {}
    for one in changes:
        settings.update(one.settings)
    return f", perhaps {_options(settings)}: the nearest"


def _options(settings: Mapping[str, Any]) -> str:
    return " ".join(as_options(settings))


def _settings(given: Mapping[str, Any]) -> str:
    texts = [f"{name_of(name)} {value_of(name, given[name])}" for name in given]
    return join_with_and(texts)


def _location(location: Location) -> str:
    return location_text(location) or "EXPECTED is interpreted as the full run"


WORDS: dict[str, Callable[[Any], str]] = {
    "size": partial(format_size, digits=2),
    "and": join_with_and,
    "agree": lambda items: "agrees" if len(items) == 1 else "agree",
    "is": lambda count: "is" if count == 1 else "are",
    "do": lambda items: "does" if len(items) == 1 else "do",
    "where": _at_steps,
    "changes": _begun,
    "nearest": _nearest,
    "prefix": _prefix,
    "count": {1: "one change", 2: "two changes", 3: "three changes"}.__getitem__,
    "other": {"batch": "time", "time": "batch"}.__getitem__,
    "layout": partial(value_of, "layout"),
    "options": _options,
    "padded": {"repeat": "the last valid h again", "run": "computed on"}.__getitem__,
    "ending": {"repeat": "the same output, repeated", "zero": "zeros"}.__getitem__,
    "location": _location,
    "settings": _settings,
    "grid": {True: ", and all of EXPECTED are values of it", False: ""}.__getitem__,
}
"""How facts are put into texts, by what follows a colon in their braces."""
for _noun in ("step", "sequence", "unit", "Step", "Sequence"):
    WORDS[_noun] = partial(numbered, _noun)


class _Formatter(Formatter):
    """Puts facts into texts by `WORDS`."""

    def format_field(self, value: Any, format_spec: str) -> str:
        words = WORDS.get(format_spec)
        return words(value) if words else str(super().format_field(value, format_spec))


def text_of(one: Remark) -> str:
    """A remark in words."""
    texts = TEXTS[one.code]
    if isinstance(texts, str):
        return _in_words(texts, one)
    for fact, text in texts.items():
        if not fact or one.facts.get(fact):
            return _in_words(text, one)
    raise KeyError(one.code)


def _in_words(text: str, one: Remark) -> str:
    return _Formatter().vformat(text, (), one.facts)


_PARTS_AGREE = (
    "{{agreeing:{0}}} {{agreeing:agree}}, {{differing:{1}}} {{differing:do}} not"
)
_SEQUENCES_AGREE = "{changes:prefix}" + _PARTS_AGREE.format("Sequence", "sequence")
_PLACED = " for {left} of the {placements} possible alignments of EXPECTED"
_ENDED = (
    "The search ended at its budget, {} the settings that are known{{changes:nearest}}."
)
_NO_FIRST_STEP = ": EXPECTED lacks a first step of each layer, which distinguishes most"

TEXTS: dict[str, str | Mapping[str, str]] = {
    # of EXPECTED and the inputs
    "all_zero": "All values of EXPECTED are 0, which shows nothing about the settings. Is it the "
    "right file?",
    "array_taken": "{said}.",
    "taken_as_printed": "EXPECTED has at most {digits} decimal places, so {digits} are compared.",
    "undecided": "Not shown by names or shapes, so assumed and searched: {settings:settings}.",
    "print_left_out": "EXPECTED has {given:,} of {total:,} values of {shapes}; the others are not "
    "compared.",
    "may_be_one_step": "If EXPECTED is the last step of h, its backward half is in processing "
    "order (--set {cell}.flip_output=true).",
    "not_merged_so": "By its width EXPECTED is not merged by {assumed}; "
    "it is compared with {merge} of both directions.",
    "not_finite": "{count:,} of {total:,} values of EXPECTED {count:is} {kind}{steps:where}.",
    "not_compared": "These arrays are not of this run, and were not compared: {names:and}.",
    "layout_shown": "Step 0 of sequence 0 alone agrees, the sign of axes in another order: with "
    "the input layout {layout:layout} more of EXPECTED agrees.",
    "layout_assumed": "Input layout {layout:layout} assumed; "
    "for the other one add --layout {layout:other}.",
    "head_assumed": "The activations behind the LSTM are not in the file, and identity is assumed. "
    "Give them, such as --head {head}.",
    "searched_in_float": "The search runs these 8-bit weights in float. "
    "A run in 8 bits confirms what it finds, but a cause may be missed.",
    # of a run that fits
    "dtype_rounds_otherwise": {
        "part": "To reproduce EXPECTED, round the {part} to {dtype} in the file and run with "
        "--dtype {run} and the other changes: --dtype {dtype} comes within {error:size} only.",
        "": "--dtype {dtype} rounds differently: it comes within {error:size}.",
    },
    "needs_float64": "In {dtype} the run is up to {error:size} off; --dtype float64 gives "
    "EXPECTED.",
    "stored_as": "All of EXPECTED are values of {dtype}, each within half a unit of the run: the "
    "output was stored in {dtype}.",
    "agrees_as_float32": "EXPECTED matches to float32 precision, not to float64 precision.",
    "chaotic": "This network is chaotic: rounding grows {growth:size} times. "
    "The {numbers:,} values that rounding can change entirely are not compared.",
    "rounding_grows": "Rounding grows {growth:.0f} times in this network, which is allowed for.",
    "past_ends": "At padded steps EXPECTED has other values than the run; "
    "as in lstm diff, they are not compared.",
    "padded_steps_differ": "At all steps that count h agrees. At padded steps it is "
    "{ending:padded}, and EXPECTED has other values: does every layer use the lengths or the mask?",
    "half_precision_run": "A run with {part} rounded to {dtype} gives these values.",
    "placed_elsewhere": "{changes:changes}: {location:location}.",
    # of what is found
    "solved_number": "What is solved for holds for these inputs: a second sequence would show "
    "whether it is constant.",
    "chunks": "lstm run --save-state writes the last state of a chunk, and --initial-state starts "
    "the next one from it.",
    "resumed": "lstm run --save-state writes such a state, and --initial-state starts from it.",
    "padded_before": "Lengths leave out padding at the end only; at the start, --mask does.",
    "padded": "As a member lengths of an .npz of the inputs, every command takes them.",
    # where nothing fits
    "size_of_half_precision": "All differences are small (at most {eps:size} eps of "
    "{dtype}{on_grid:grid}). Typical causes: half precision, 8-bit weights, an approximated tanh, "
    "noise. Rounding the weights, the inputs or every operation to {dtype} does not give these "
    "values.",
    "some_steps_agree": _PARTS_AGREE.format("Step", "step") + ".",
    "exact_zeros": {
        "units": "{changes:changes}: in {units:unit} all of EXPECTED is 0, and the run is not. "
        "Does the other side compute these units?",
        "below": "{changes:changes}: {share:.0%} of EXPECTED are exact zeros, all where the run "
        "is within {below:size} of 0{steps:where}. Is it a table, or fixed point?",
        "": "{changes:changes}: {share:.0%} of EXPECTED are exact zeros where the run has "
        "none{steps:where}. Is there dropout, or a relu on the output?",
    },
    "some_sequences_agree": {  # a state that is carried over shows at the first step
        "padded": _SEQUENCES_AGREE
        + ", which are those that are padded: does every layer use the "
        "lengths or the mask?",
        "begun": _SEQUENCES_AGREE + ", from step {step} on: are they padded?",
        "first": _SEQUENCES_AGREE + ": is a state carried from sequence to sequence?",
        "": _SEQUENCES_AGREE + ": are the sequences in another order?",
    },
    "near_miss": "{changes:changes}, no value is off by more than {error:size}, and all other "
    "configurations are much further off. "
    "Typical causes: an approximated tanh or exp, a table, fewer bits.",
    "within_tolerance": "As loaded, no value is off by more than {error:size}: more than float32 "
    "rounding explains, and within the default tolerance of lstm diff ({atol:size}).",
    "noise": "As loaded, all differences are small (SNR {decibels:.0f} dB). "
    "A wrong gate order, transpose or direction usually gives less than {least:.0f} dB. "
    "Possible causes: an approximated sigmoid or tanh, weights of another training step or of "
    "lower precision, noise, dropout.",
    "approximated": "The first step of h is that of an approximated {function}, worst near "
    "z = {z:.1f} or -{z:.1f}, by {error:size}.",
    # of how the other side ran
    "shown_lengths": "Sequences end as padding does: {given:options} leaves it out.",
    "masked": "{steps} steps of EXPECTED are {ending:ending}: with a --mask that leaves them "
    "out{option} all {numbers} values agree.",
    "other_units": "As {units:unit} of the run, all {numbers} values of EXPECTED agree.",
    "rearranged": "Compared with the run as loaded, {hint}",
    "budget_ended": {
        "thorough": _ENDED.format("ten times the usual one. Give"),
        "": _ENDED.format("and --thorough has ten times as much. Or give"),
    },
    # what was not tried
    "rare_triples": "three changes at once with a clip, or a gate order that no framework uses",
    "rare_pairs": "in a network of several cells, two changes of which one is a gate order of a "
    "single tensor that no framework uses",
    "none_at_once": {
        "too_few": "{changes:count} at once: EXPECTED has too few values to prove this many",
        "cells": "{changes:count} at once: {cells} cells have too many",
        "": "{changes:count} at once" + _NO_FIRST_STEP,
    },
    "no_first_step": "{changes:count} at once, but with one of the {singles} nearest single changes"
    + _NO_FIRST_STEP,
    "triples_placed": "three changes at once" + _PLACED,
    "pairs_placed": "two changes at once" + _PLACED,
    "singles_placed": "single changes" + _PLACED,
    "unsolved": "other values of a forget bias or clip in the {count:,} configurations of "
    "{changes:count} that are furthest off",
    "edits_left": "edits of {left:and}: the budget ended after {tried:,} edits",
    "edits_left_beside": "next to a change of a setting, edits of {left:and}",
    "windows": "EXPECTED as {left:,} more windows of the steps",
    "units": "EXPECTED as other units than the first {first}",
    "dropout": "dropout inside a cell (random: two runs of the other program would differ)",
    "layer_norm": "layer normalisation over all gates at once",
    "rare_settings": "rare activations (elu, softplus, ...) and 8-bit arithmetic, unless given",
    "other_weights": "other weights or inputs (did these two give EXPECTED?), and other initial "
    "states",
    "two_constants": "two unknown numbers at once, such as a forget bias and a clip",
    "edit_code": "In code: {line}. Instead: {mend}.",
    # what further data would decide
    "more_numbers": "two more steps or units",
    "biases": "a network with non-zero biases",
    "second_step": "a second step",
    "second_sequence": "a second sequence in the batch",
    "whole_run": "all steps and sequences of EXPECTED",
    "two_units": "two units",
    "all_steps": "all steps of h instead of the last",
    "larger_inputs": "larger inputs",
}
"""By code: a text with facts in braces; or texts by fact, of the first one that is set.

The text under an empty name applies where none is.
"""
