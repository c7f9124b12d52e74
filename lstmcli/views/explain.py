"""An explanation on the screen, and as Markdown for a bug report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from lstmcli.core.explain.clues import (
    AGREEMENT,
    APPROXIMATED,
    PADDED_DIFFER,
    RUN_OTHERWISE,
)
from lstmcli.core.explain.explanation import Explanation, NearRun
from lstmcli.core.explain.verify import Agreement, Mismatch, Remark
from lstmcli.core.explain.wording import (
    configuration,
    familiarity,
    name_of,
    precision_text,
    saturated_gate,
    why_unproven,
)
from lstmcli.core.model.selection import format_size
from lstmcli.core.model.settings import without_option
from lstmcli.core.weights.assumptions import shorten_assumption
from lstmcli.errors import listed
from lstmcli.escaping import one_line
from lstmcli.views.sheet import (
    AGREES,
    ASSUMED,
    DIFFERS,
    Column,
    Sheet,
    Width,
    fitting_columns,
    fitting_table,
    table,
    verdict,
)
from lstmcli.views.text import count, error_sizes, unbroken
from lstmcli.views.timeline import timeline

INDENT = 20  # columns of the labels
USED_BY = "used by"
NUMERALS = ("No", "One", "Two", "Three", "Four", "Five", "Six")
DEPTHS = {1: "one change", 2: "one or two changes", 3: "one, two or three changes"}
MOST_LISTED = 5  # equivalent configurations, and frameworks
UNTESTED = {
    "bias": "number of biases"
}  # where the name of a setting alone is not clear
EXPLAINED = ("found", "not_finite")  # verdicts on changes that are certain
COLORS = {
    "agrees": AGREES,
    "found": AGREES,
    "unproven": ASSUMED,
}  # of the verdicts; else DIFFERS


def explanation_sheet(e: Explanation, expected: str, *, width: Width) -> Sheet:
    """The changes, who uses them, and the command; or the nearest configurations."""
    sheet = verdict(title(e, expected), COLORS.get(e.verdict, DIFFERS), width)
    for line in details(e, expected):
        sheet.label("", line, indent=2)
    if e.compared.steps_run is not None:
        sheet.section(timeline(e.compared.steps_run, width))
    if e.words.rows:
        sheet.section(_changes(e, width))
    if e.verdict in ("none", "unproven") and len(e.nearest) > 1:
        sheet.section(fitting_table(_nearest_columns(e.nearest), width))
    closing = _notes(e, width)
    for name, command in _commands(e).items():
        closing.command(name, command, INDENT)
    sheet.section(closing)
    return sheet


def _notes(e: Explanation, width: Width) -> Sheet:
    sheet = Sheet(width)
    for name, of_name in groupby(notes(e), key=itemgetter(0)):
        texts = [text for _, text in of_name]
        style, bullet = "", ""
        if name in ("assumed", "note"):
            style = ASSUMED
        if len(texts) > 1:
            bullet = "- "
        sheet.labels(name, texts, style, INDENT, bullet)
    return sheet


def _commands(e: Explanation) -> dict[str, str]:
    """The commands to type: the run that gives EXPECTED, and the one after it, or before."""
    commands = {"reproduce": e.command, "next": e.next}
    if e.arrays:  # next writes the file that an edit of the command takes
        commands = {"first": e.next, "reproduce": e.command}
    return {name: command for name, command in commands.items() if command}


# ---- the finding


def title(e: Explanation, expected: str) -> str:
    """The first line."""
    nan = "".join(
        f"{one.text} ".replace("EXPECTED", expected) for one in _not_finite(e)
    )
    if e.verdict == "not_finite" and not e.changes:
        return f"{nan}The others are what these weights give."
    if e.verdict == "agrees":
        run = ": as loaded"
        if any(one.code == "needs_float64" for one in e.remarks):
            run = " but the dtype: in float64"
        return f"Nothing has to be changed{run}, these weights give {expected}."
    if e.changes and e.verdict in EXPLAINED:
        what = "the difference"
        if nan:
            what = "the others"
        texts = "; ".join(change.text for change in e.changes)
        return f"{nan}{_changes_explain(len(e.changes))} {what}: {texts}"
    if e.verdict == "unproven":
        fitting = "One configuration fits"
        if e.equivalent:
            fitting = f"{len(e.equivalent) + 1} configurations fit"
        return f"{nan}{fitting}, but {expected} does not prove it."
    return _title_without_answer(e, expected)


def _title_without_answer(e: Explanation, expected: str) -> str:
    if any(one.code == PADDED_DIFFER for one in e.remarks):
        return f"{expected} differs at padded steps, and nowhere else."
    if _ran_otherwise(e):
        return f"No setting is wrong, but {expected} was run or arranged otherwise."
    if e.tried > 1:
        return f"None of the {e.tried:,} configurations tried gives {expected}."
    return f"As loaded, these weights do not give {expected}."


def _changes_explain(number: int) -> str:
    if number == 1:
        return f"{NUMERALS[1]} change explains"
    if number < len(NUMERALS):
        return f"{NUMERALS[number]} changes explain"
    return f"{number} changes explain"


def _not_finite(e: Explanation) -> list[Remark]:
    return [
        one for one in e.remarks if one.code == "not_finite" and e.verdict != "none"
    ]


def _ran_otherwise(e: Explanation) -> str:
    runs = (one for one in e.remarks if one.code in RUN_OTHERWISE)
    proved = (
        one for one in runs if one.facts.get("complete", one.facts.get("numbers", True))
    )
    return next((one.text for one in proved), "")


def details(e: Explanation, expected: str) -> list[str]:
    """The lines below the title: how many values agree, and where."""
    measured, otherwise = e.measured, _ran_otherwise(e)
    if e.verdict == "none" or measured is None:
        lines = []
        if measured is not None:
            lines.append(_as_loaded(measured))
        if otherwise:
            lines.append(otherwise)
        if measured is not None:
            lines.extend(one.text for one in e.remarks if one.code in AGREEMENT)
        return lines
    largest = f"max difference {format_size(measured.max_abs)}"
    text = f"{_matching(e, measured.total, expected)} {precision_text(e)}".rstrip()
    lines = [f"{text[:1].upper()}{text[1:]} ({largest})."]
    others = len(e.equivalent)
    if e.verdict == "unproven":
        lines.append(why_unproven(e))
    elif others == 1:
        lines.append("1 other configuration fits as well: see other fits.")
    elif others:
        lines.append(f"{others} other configurations fit as well: see other fits.")
    return lines


def _as_loaded(v: Agreement) -> str:
    texts = [f"As loaded, {_agreeing(v)}", f"max difference {format_size(v.max_abs)}"]
    if v.first:
        texts.append(f"first mismatch at {position(v.first)}")
    return f"{'; '.join(texts)}."


def _matching(e: Explanation, total: int, expected: str) -> str:
    """``with this change, all 105 values in EXPECTED match``."""
    noun = "value"
    if _not_finite(e):
        noun = "finite value"
    values = f"all {total} {noun}s in {expected} match"
    if total == 1:
        values = f"the only {noun} in {expected} matches"
    if not e.changes:
        return values
    if len(e.changes) == 1:
        return f"with this change, {values}"
    return f"with these changes, {values}"


def _agreeing(v: Agreement) -> str:
    if v.nearly:
        wrong = v.total - v.agreeing
        text = f"all but {wrong} of {v.total} values agree"
        if v.max_abs > APPROXIMATED:
            return f"{text}: a wrong number, not a convention"
        return text
    return f"{v.agreeing} of {v.total} values agree"


# ---- tables


def _change_columns(e: Explanation) -> list[Column]:
    heading = "setting"
    if e.edits:
        heading = "change"
    return [
        Column(heading, [row.setting for row in e.words.rows], "bold", left=True),
        Column("assumed", [row.assumed for row in e.words.rows], left=True, rank=1),
        Column("found", [row.fits for row in e.words.rows], AGREES, left=True),
        Column(USED_BY, [row.used_by for row in e.words.rows], left=True, rank=2),
    ]


def _changes(e: Explanation, width: Width) -> Sheet:
    columns = _change_columns(e)
    shown, hidden = fitting_columns(columns, width._replace(table=width.prose))
    sheet = Sheet(width, table(shown).lines)
    if hidden:
        sheet.add()
    for column in hidden:
        text = column.cells[0]
        if len(set(column.cells)) > 1:
            named = map(": ".join, zip(columns[0].cells, column.cells, strict=True))
            text = "; ".join(dict.fromkeys(named))
        sheet.label(column.heading, text, indent=len(USED_BY) + 2)
    return sheet


def _nearest_columns(nearest: Sequence[NearRun]) -> list[Column]:
    found = [near.comparison for near in nearest]
    configurations = [configuration(near.changes) for near in nearest]
    return [
        Column("nearest configurations", configurations, "bold", left=True),
        Column("max abs", error_sizes([one.max_abs for one in found])),
        Column("rms", error_sizes([one.rms for one in found]), rank=1),
        Column("agree", [f"{one.agreeing} of {one.total}" for one in found]),
        Column(
            "first mismatch", [position(one.first) for one in found], left=True, rank=2
        ),
    ]


def position(first: Mismatch | None) -> str:
    """``step 1, gate f, unit 2``."""
    if first is None:
        return ""
    words = []
    if first.step is not None:
        words.append(f"step {first.step}")
    if first.array.rpartition(".")[2] in ("i", "f", "g", "o"):
        words.append(f"gate {first.array}")
    else:
        words.append(first.array)
    if first.item:
        words.append(f"batch {first.item}")
    words.append(f"unit {first.unit}")
    return ", ".join(words)


# ---- notes


def notes(e: Explanation) -> Iterator[tuple[str, str]]:
    """The name and the text of each line below the tables."""
    yield from _assumptions(e)
    yield from _remarks(e)
    mends = dict.fromkeys(row.mend for row in e.words.rows if row.mend)
    if e.verdict in EXPLAINED and mends:
        yield "correct", "; ".join(mends)
    if e.words.hidden:
        yield e.words.hidden_label, e.words.hidden
    if e.alternatives.like:
        names = sorted(e.alternatives.like, key=familiarity)
        yield "matches", f"together, the settings of {listed(names, MOST_LISTED)}"
    if e.verdict in EXPLAINED and e.tried > 1:
        yield "tested", _tested(e)
    if e.changes and e.verdict != "none":
        yield "other fits", _equivalent(e)
    yield from _what_decides(e)
    if e.verdict == "none" and e.tried:
        yield "tested", _all_tested(e)
    for text in e.not_tried:
        yield "not tried", text
    if e.verdict == "agrees":
        yield "next", "give the outputs of the program that differs from this one"


def _assumptions(e: Explanation) -> Iterator[tuple[str, str]]:
    assumed: Sequence[str] = e.assumed
    if e.verdict != "agrees":  # a table has the settings, or what is wrong
        assumed = without_option(e.assumed)
    if assumed:
        yield "assumed", "; ".join(map(shorten_assumption, assumed))
    if e.words.taken:
        yield "assumed", f"{e.words.taken}."


def _remarks(e: Explanation) -> Iterator[tuple[str, str]]:
    """The remarks that stand neither in the title nor below it."""
    for remark in e.remarks:
        is_above = remark.code in AGREEMENT or remark in _not_finite(e)
        if remark.code == "edit_code":
            yield "mistake", remark.facts["line"]
            yield "correct", remark.facts["mend"]
        elif not is_above and remark.text != _ran_otherwise(e):
            yield "note", remark.text


def _what_decides(e: Explanation) -> Iterator[tuple[str, str]]:
    """The settings that EXPECTED does not show, and what to save to see them."""
    unseen = _unseen(e)
    decide = e.words.decide
    if unseen:
        text = ", ".join(map(_untested, unseen))
        if decide:
            text = f"{text}; to test them, use {decide}"
        yield "not testable here", text
    elif decide and (not e.unseen or e.equivalent or e.verdict == "unproven"):
        yield "to decide", f"save and give {decide}"


def _all_tested(e: Explanation) -> str:
    """How many configurations were tried where none fits."""
    number = count(e.tried, "configuration")
    text = f"{number}: {DEPTHS[e.alternatives.depth]} at once"
    if e.measured is not None and len(e.nearest) < 2:
        return f"{text}; none fits clearly better than the settings as loaded"
    return text


def _unseen(e: Explanation) -> list[str]:
    no_bias = any(
        (change.setting, change.found) == ("bias", "none") for change in e.changes
    )
    return [name for name in e.unseen if not (no_bias and name == "bias_gates")]


def _untested(name: str) -> str:
    """A setting in words, or all settings of a cell, which has that name."""
    if name.startswith("layer"):
        return f"all settings of {name}"
    return UNTESTED.get(name) or name_of(name)


def _tested(e: Explanation) -> str:
    text = count(e.tried, "configuration")
    if not e.nearest:
        return text
    best = e.nearest[0]
    error = format_size(best.comparison.max_abs)
    text = f"{text}; next best: {configuration(best.changes)}, max difference {error}"
    first = best.comparison.first
    if first is None:
        return text
    return f"{text}, first mismatch at {position(first)}"


def _equivalent(e: Explanation) -> str:
    if e.equivalent:
        texts = [
            unbroken(configuration(changes)) for changes in e.equivalent[:MOST_LISTED]
        ]
        more = len(e.equivalent) - len(texts)
        text = "; or ".join(texts)
        if more:
            return f"{text}; and {more} more"
        return text
    for change in e.changes:
        if saturated_gate(change):
            side = "above"
            if change.found < 0:
                side = "below"
            return f"any forget bias that keeps the gate there, {side} {change.found:+.10g} too"
    if e.unseen and any(change.setting == "dtype" for change in e.changes):
        return "none with this number of changes"
    return "none among those tested"


# ---- Markdown


def markdown(e: Explanation, expected: str) -> str:
    """The explanation for a bug report."""
    lines = [f"**{title(e, expected)}**", ""]
    for text in details(e, expected):
        lines.extend([text, ""])
    if e.words.rows:
        lines.extend(_markdown_table(_change_columns(e)))
    if e.verdict in ("none", "unproven") and e.nearest:
        columns = _nearest_columns(e.nearest)
        shown = [column for column in columns if column.heading != "rms"]
        lines.extend(_markdown_table(shown))
    lines.extend(f"- {name}: {text}" for name, text in notes(e))
    command = e.command or e.next
    if command:
        lines.extend(["", "```sh", command, "```"])
    return "\n".join(map(one_line, lines)) + "\n"


def _markdown_table(columns: Sequence[Column]) -> Iterator[str]:
    for row in zip(
        *((column.heading, "---", *column.cells) for column in columns), strict=True
    ):
        yield f"| {' | '.join(map(str.strip, row))} |"
    yield ""
