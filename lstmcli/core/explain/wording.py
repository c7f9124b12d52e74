"""What `explain` found, in English: the one module that words it, once, at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from string import Formatter
from typing import Any, ClassVar

from lstmcli.core.explain.causes import (
    CANDIDATE,
    CAUSES,
    OPEN,
    SENSES,
    SHUT,
    ZERO_STATE,
    Cause,
    text_for,
)
from lstmcli.core.explain.explanation import Changed, Explanation, Row
from lstmcli.core.explain.hypotheses import convention_in_layout, conventions_having
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.verify import Remark
from lstmcli.core.model.conventions import CONVENTIONS, Convention
from lstmcli.core.model.model import join_with_and
from lstmcli.core.model.vocabulary import ONE_OF_TWO, spaced_order

WELL_KNOWN = (
    "keras", "pytorch", "tf1", "onnx", "flax", "haiku", "openvino", "coreml", "chainer", "mxnet",
    "paddle", "tflite", "tf-block", "equinox", "keras1", "cudnnlstm", "dl4j", "cntk", "dynet",
)  # fmt: skip
"""Conventions that are named first, and not all of the others."""

MOST_NAMED = 4  # conventions
MOST_STARTS = 5  # of chunks
MOST_NUMBERED = 8  # steps or sequences
TAKEN_AS = "EXPECTED is taken as "


def in_words(explanation: Explanation, assumed: Convention) -> Explanation:
    """The explanation with all its words put in; ``assumed`` is the convention as loaded."""
    changes = tuple(map(_worded, explanation.changes))
    untried = {text_of(one): one for one in explanation.untried}
    texts = [text_of(one) for one in explanation.wanted]
    return replace(
        explanation,
        changes=changes,
        equivalent=tuple(tuple(map(_worded, each)) for each in explanation.equivalent),
        nearest=tuple(
            replace(near, changes=tuple(map(_worded, near.changes))) for near in explanation.nearest
        ),
        remarks=tuple(replace(one, text=text_of(one)) for one in explanation.remarks),
        untried=tuple(replace(one, text=text) for text, one in untried.items()),
        rows=tuple(row_of(change, assumed) for change in changes),
        hidden=why_hidden(changes, explanation.first_step, explanation.backward),
        decide=" or ".join([", ".join(texts[:-1]), *texts[-1:]]) if texts[1:] else "".join(texts),
        taken=location_text(explanation.location),
    )


def _worded(change: Changed) -> Changed:
    return replace(change, text=change_text(change))


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
    if text := text_for(_cause(plain).words, value):
        return text
    if plain.endswith("gates"):
        return spaced_order(value)
    if plain == "array" and "." in value:  # of one cell
        return "{2} of {0}".format(*value.partition("."))
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
        return text_for(_of(change).words, change.found)
    return value_of(change.setting, change.found)


def assumed_of(change: Changed) -> str:
    """What was assumed."""
    if change.found in ONE_OF_TWO:  # there are two, and both were added
        return "b_ih + b_hh"
    return value_of(change.setting, change.assumed)


def change_text(change: Changed) -> str:
    """``forget bias: 0, not +1``."""
    if change.sense in (SHUT, OPEN):
        return f"{label(change)} {found_of(change)} (forget bias {change.found:+.10g})"
    if change.setting == "go_backwards":
        return "go_backwards, as Keras has it"
    return f"{label(change)}: {found_of(change)}, not {assumed_of(change)}"


def headline(changes: Sequence[Changed]) -> str:
    """``gates: i f g o, not i g f o; forget bias: 0, not +1``."""
    return "; ".join(map(change_text, changes))


# ---- who does it that way


def familiarity(name: str) -> tuple[int, str]:
    """Sorts the conventions that most people know first; a name may have words after it."""
    row = name.partition(" ")[0]
    return (WELL_KNOWN.index(row) if row in WELL_KNOWN else len(WELL_KNOWN), name)


def row_of(one: Changed, assumed: Convention) -> Row:
    """The line of the table for a change; it names the convention that has what was assumed."""
    row = CONVENTIONS.get(assumed.name)
    usual = None if row is None else row.setting(one.setting.rpartition(".")[2])
    is_usual = usual == one.assumed and usual not in (None, False, "none")
    note = f" ({assumed.name})" if is_usual else ""
    return Row(label(one), assumed_of(one) + note, found_of(one), used_by(one, assumed))


def used_by(change: Changed, assumed: Convention) -> str:
    """Which conventions do it that way, or what slip of the code does."""
    cell, _, setting = change.setting.rpartition(".")
    cause, value = _of(change), change.found
    if not change.sense:
        if setting == "reverse" and cell.endswith("_reverse"):
            return "every framework" if value else "code that runs both directions forward"
        if setting == "array" and "." in value:
            return "code that takes a lower layer's output"
    if text := text_for(cause.used_by, value):
        return text
    names = conventions_having(setting, value)
    option = convention_in_layout(assumed.name, value) if setting == "layout" else ""
    if option not in ("", assumed.name):
        return f"{option}; {', '.join(sorted(names, key=familiarity)[:3])}"
    if names:
        return _named(names)
    if text := text_for(cause.if_set, value):
        return text
    setting = "output_activation" if change.sense == CANDIDATE else setting  # set one by one
    names = [name for name, row in CONVENTIONS.items() if row.can_be_set_to(setting, value)]
    return f"{_named(names)}, if set to it" if names else "no framework known here"


def _named(conventions: Sequence[str]) -> str:
    names = sorted(conventions, key=familiarity)
    if len(names) > len(CONVENTIONS) // 2:
        return "most frameworks: " + ", ".join(names[:3])
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


# ---- why it hid


def why_hidden(changes: Sequence[Changed], first_step: int | None, backward: bool = False) -> str:
    """Why the mistake did not show at once, and from where on it does.

    Of the zero state before the first step nothing is said without a ``first_step`` after others
    that agree.
    """
    reasons: dict[str, dict[str, None]] = {}  # by what they have in common
    for change in changes:
        common, _, reason = _hides(change).partition(": ")
        if common != ZERO_STATE or first_step is not None:
            reasons.setdefault(common, {})[reason] = None
    reasons.pop("", None)
    text = ". ".join(
        f"{common}: {' and '.join(each)}" if any(each) else common
        for common, each in reasons.items()
    )
    state = "At the last step, which comes first, the state is zero"
    text = text.replace(ZERO_STATE, state if backward else "The state is zero") + "." * bool(text)
    if backward or first_step is None:
        return text
    return f"{text} The difference shows from step {first_step}.".lstrip()


def hidden_label(explanation: Explanation) -> str:
    """What the reasons are headed by: the first step is named only where it agrees."""
    at_first = any(_hides(change).startswith(ZERO_STATE) for change in explanation.changes)
    if at_first and explanation.first_step is not None and not explanation.backward:
        return "why step 0 matches"
    return "why it goes unseen"


def _hides(change: Changed) -> str:
    causes = _of(change), _cause(change.setting.rpartition(".")[2])
    return next((text for one in causes if (text := text_for(one.hides, change.found))), "")


# ---- remarks


class _Formatter(Formatter):
    """Words of lists: ``{0:step}`` is "steps 1 to 3", ``{0:agree}`` is "agrees" for one item."""

    VERBS: ClassVar[Mapping[str, str]] = {"agree": "agrees", "do": "does"}

    def format_field(self, value: Any, format_spec: str) -> str:
        """A fact in words."""
        if format_spec in ("step", "sequence", "unit"):
            return _numbered(format_spec, value)
        if format_spec in self.VERBS:
            return self.VERBS[format_spec] if len(value) == 1 else format_spec
        if format_spec == "and":
            return join_with_and(value)
        return str(super().format_field(value, format_spec))


def text_of(one: Remark) -> str:
    """A remark in words."""
    text = TEXTS[one.code]
    if not isinstance(text, str):
        return text(**one.facts)
    facts = {k: FACTS[k](v) if k in FACTS else v for k, v in one.facts.items()}
    words = _Formatter().vformat(text, (), {**facts, "layout": facts.get("layout", "")})
    return words[:1].upper() + words[1:] if text.startswith("{agreeing") else words


def _numbered(name: str, numbers: Sequence[int]) -> str:
    """``step 0``, ``steps 1 to 3``, ``steps 0, 2``, ``12 steps from 0 to 30``."""
    if len(numbers) == 1:
        return f"{name} {numbers[0]}"
    if [*numbers] == [*range(numbers[0], numbers[-1] + 1)]:
        return f"{name}s {numbers[0]} to {numbers[-1]}"
    if len(numbers) > MOST_NUMBERED:
        return f"{len(numbers)} {name}s from {numbers[0]} to {numbers[-1]}"
    return f"{name}s {', '.join(map(str, numbers))}"


def _changes(changes: Sequence[Changed]) -> str:
    return f"With {headline(changes)}" if changes else "As loaded"


def _option(layout: str) -> str:
    return f" (--layout {layout})" if layout else ""


FACTS: dict[str, Callable[[Any], str]] = {
    "changes": _changes,
    "layout": _option,
    "lengths": lambda lengths: ",".join(map(str, lengths)),
    "places": lambda n: f": the inputs have only {n} digits after the point" if n else "",
    "location": lambda one: location_text(one) or f"{TAKEN_AS}the full run",
    "shapes": lambda shape: f", taken as {shape} as the inputs have it" if shape else "",
    "settings": lambda given: join_with_and(
        [f"{name_of(k)} {value_of(k, v)}" for k, v in given.items()]
    ),
    "on_grid": lambda is_so: ", and all of EXPECTED are numbers of it" if is_so else "",
    "ending": lambda name: "one output over and over" if name == "repeat" else "zeros",
}
"""How facts are put into texts, by name, where not as they are."""


def _layout_assumed(layout: str) -> str:
    other = "time" if layout == "batch" else "batch"
    return (
        f"Input layout not given; assuming {value_of('layout', layout)}. If the inputs are "
        f"{value_of('layout', other)}, rerun with --layout {other}."
    )


def _some_sequences(changes: Sequence[Changed], begun: bool, step: int | None, **facts: Any) -> str:
    if begun:  # a state that is carried over shows at the first step
        why = f", from step {step} on: are they padded?"
    elif 0 in facts["agreeing"]:
        why = ": is a state carried from sequence to sequence?"
    else:
        why = ": are the sequences in another order?"
    prefix = f"{_changes(changes)}: " if changes else ""
    text = prefix + _Formatter().vformat(PARTS_AGREE.format("sequence"), (), facts) + why
    return text[:1].upper() + text[1:]


PARTS_AGREE = "{{agreeing:{0}}} {{agreeing:agree}}, {{differing:{0}}} {{differing:do}} not"


def _chunks(starts: Sequence[int], carried: Sequence[str], numbers: int, layout: str) -> str:
    lost = [name for name in "hc" if name not in carried]
    state, mistake = "a zero state", "does not carry the state on"
    if carried:
        state = f"the last {carried[0]} of the one before and a zero {lost[0]}"
        mistake = f"carries {carried[0]} on and not {lost[0]}"
    chunks = f"of {starts[0]} steps"
    if any(b - a != starts[0] for a, b in pairwise((0, *starts))):
        more = [f"{len(starts) - MOST_STARTS} more"] if len(starts) > MOST_STARTS else []
        listed = join_with_and(["0", *map(str, starts[:MOST_STARTS]), *more])
        chunks = f"that start at steps {listed}"
    return (
        f"Run in chunks {chunks}, each from {state}, all {numbers} values of h agree: the other "
        f"side {mistake}{_option(layout)}."
    )


def _padded(
    ending: str, lengths: Sequence[int], option: str, numbers: int, layout: str = ""
) -> str:
    """``numbers``: that agree so; 0 where not all do."""
    opening = f"Sequences of EXPECTED end in {FACTS['ending'](ending)}"
    given = f"--lengths {FACTS['lengths'](lengths)}"
    if not numbers:
        return f"{opening}, as padding does: {given} --masked-output {ending} leaves it out."
    return f"{opening}: with {given}{option} all {numbers} values agree{_option(layout)}."


def _rounds_otherwise(dtype: str, error: float, part: str, run: str, others: bool) -> str:
    text = f"--dtype {dtype} rounds otherwise: it comes within {error:.2g} of it."
    by_hand = f"To reproduce EXPECTED, round the {part} to {dtype} in the file"
    further = "the other changes and " * others
    return f"{text} {by_hand} and run with {further}--dtype {run}." if part else text


def _no_first_step(changes: int, singles: int) -> str:
    but = f" but with one of the {singles} nearest single changes" if singles else ""
    return (
        f"{NUMERALS[changes]} at once{but}: EXPECTED does not contain the first step, which "
        "distinguishes most"
    )


NUMERALS = {1: "one change", 2: "two changes", 3: "three changes"}
PLACED = ", for {left} of the {placements} possible alignments of EXPECTED"

TEXTS: dict[str, str | Callable[..., str]] = {
    # of EXPECTED and the inputs
    "all_zero": "EXPECTED is zero throughout: a bound of 0 or an output left out would give that "
    "with any weights, so it proves nothing.",
    "array_taken": "{said}.",
    "taken_as_printed": "EXPECTED has at most {digits} decimal places, so it is compared to these.",
    "undecided": "Given by neither names nor shapes, so assumed and searched: {settings}.",
    "print_left_out": "EXPECTED has {given:,} of {total:,} numbers{shapes}; the others are not "
    "compared.",
    "taken_in_a_row": "EXPECTED has the axes {given}; its numbers are taken in a row as {shape}.",
    "taken_as_gates": "EXPECTED has the axes {given}; it is taken as the gates side by side.",
    "taken_by_columns": "EXPECTED has the axes {given}; its numbers are taken column by column as "
    "{shape}.",
    "directions_joined": "EXPECTED has the axes {given}; its directions are taken side by side, "
    "{shape}.",
    "may_be_one_step": "If EXPECTED is the last step of h, its backward half is not turned back in "
    "time (--set {cell}.flip_output=true).",
    "axes_exchanged": "EXPECTED has the axes {given} where the run gives {run}.",
    "not_merged_so": "EXPECTED is no {assumed} of both directions by its width; it is compared "
    "with {merge}.",
    "not_finite": "NaN or infinite numbers of EXPECTED ({count:,}) are left out.",
    "not_finite_run": "{name} contains {count:,} NaN or infinite: every run gives NaN from there "
    "on.",
    "layout_assumed": _layout_assumed,
    "searched_in_float": "The search runs these weights in float, although they run in 8-bit "
    "arithmetic; what it finds is confirmed by a run in 8 bits, but a cause may be missed.",
    # of a run that fits
    "dtype_rounds_otherwise": _rounds_otherwise,
    "needs_float64": "In {dtype} the run is up to {error:.2g} off; --dtype float64 gives EXPECTED.",
    "stored_as": "All of EXPECTED are numbers of {dtype}, each within half a unit of the run's: "
    "storing the output in {dtype} is enough to give them.",
    "agrees_as_float32": "EXPECTED matches to float32 precision, not to float64 precision{places}.",
    "chaotic": "This net is chaotic: rounding grows {growth:.0e} times. The {numbers:,} numbers "
    "that rounding may have made anything of are not compared.",
    "rounding_grows": "Rounding grows {growth:.0f} times in this net; allowed for.",
    "half_precision_run": "A run with {part} rounded to {dtype} gives these values.",
    "placed_elsewhere": "{changes}: {location}.",
    # where nothing fits
    "size_of_half_precision": "As loaded, no value is off by more than {eps:.2g} eps of "
    "{dtype}{on_grid}. Errors of this size come from half precision, and from 8-bit weights, an "
    "approximated tanh or noise too; no run with the weights, the inputs or all of it rounded to "
    "{dtype} gives these values.",
    "some_arrays_agree": "All of {agreeing:and} {agreeing:agree}, {differing:and} {differing:do} "
    "not.",
    "some_steps_agree": PARTS_AGREE.format("step") + ".",
    "exact_zeros": "{changes}: {share:.0%} of EXPECTED are exact zeros where the run has none; "
    "dropout or a relu on the output?",
    "some_sequences_agree": _some_sequences,
    "near_miss": "{changes}: no number is off by more than {error:.2g}, and all other "
    "configurations are much further off. Coarser arithmetic does that rather than a setting: an "
    "approximated tanh or exp, a table, fewer bits.",
    "within_tolerance": "As loaded, no value is off by more than {error:.2g}: more than float32 "
    "makes of these weights, and within what lstm diff allows by itself ({atol:.0e}).",
    "noise": "As loaded, nearly all values are off, but by little: EXPECTED is {decibels:.0f} dB "
    "above the difference, and no configuration that was tried comes clearly nearer. A wrong gate "
    "order, transpose or direction leaves less than {least:.0f} dB. Possible causes: weights of "
    "another training step or of lower precision, noise, dropout.",
    # of how the other side ran
    "chunks": _chunks,
    "resumed": "Run from the last state of a run over the same inputs, all {numbers} values of h "
    "agree: the other side keeps its state from run to run (stateful). Reset it there, or give it "
    "here with --initial-state{layout}.",
    "padded": _padded,
    "masked": "{steps} steps of EXPECTED are {ending}: with a --mask that leaves them out{option} "
    "all {numbers} values agree{layout}.",
    "ended_early": "Sequences of EXPECTED end early: with --lengths {lengths} all {numbers} values "
    "agree.",
    "other_state": "The difference is greatest at step 0 and falls to {share:.1%} of that by the "
    "last step, as with another initial state: give h and c of the other side with "
    "--initial-state.",
    "other_units": "Taken as {units:unit} of the run, all {numbers} values of EXPECTED agree.",
    "rearranged": lambda hint, whole: f"Beside the run as loaded, {hint}",
    # what was not tried
    "dropout": "dropout and zoneout (random: run the other side twice, they differ)",
    "layer_norm": "layer norm that the weights do not contain",
    "rare_settings": "activations that few use (softsign, elu, ...) and arithmetic in 8 bits, "
    "unless given",
    "other_weights": "other weights than these, and other initial states",
    "two_constants": "two unknown constants at once",
    "rare_triples": "three changes at once with a clip or with a gate order that no framework uses",
    "no_first_step": _no_first_step,
    "triples_placed": "three changes at once" + PLACED,
    "pairs_placed": "two changes at once" + PLACED,
    "singles_placed": "one change" + PLACED,
    "unsolved": lambda changes, count: (
        f"a forget bias or a clip to be found in {count:,} of the configurations of "
        f"{NUMERALS[changes]}: those that lie further off"
    ),
    "windows": "EXPECTED as {left:,} more windows of the steps",
    "units": "changes where EXPECTED has other units than the first {first}",
    # what further data would decide
    "more_numbers": "two steps or two units more",
    "biases": "a net whose biases are not zero",
    "second_step": "a second step",
    "second_sequence": "a second sequence in the batch",
    "whole_run": "all steps and sequences of EXPECTED",
    "two_units": "two units",
    "all_steps": "all steps of h instead of the last",
    "larger_inputs": "larger inputs",
}
"""By code: a text with the facts in braces, or what makes one of them."""


def precision_text(explanation: Explanation) -> str:
    """``float32``, ``printed to 8 digits``, ``as bfloat16 does``."""
    if explanation.digits is not None:
        in_full = explanation.digits > 15  # after the point, where float64 has 17 in all
        return "printed in full" if in_full else f"printed to {explanation.digits} digits"
    return explanation.precision


# ---- where EXPECTED lies


def location_text(location: Location | None) -> str:
    """Where EXPECTED is taken to lie; empty where nothing has to be said."""
    text = "" if location is None else location.words
    is_named = location is not None and location.state in [one.name for one in location.arrays]
    return text if is_named or not text else f"{TAKEN_AS}{text}"
