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
    if e.steps_run is not None:
        sheet.section(timeline(e.steps_run, width))
    if e.words.rows:
        sheet.section(_changes(e, width))
    if e.verdict in ("none", "unproven") and len(e.nearest) > 1:
        sheet.section(fitting_table(_nearest_columns(e.nearest), width))
    lines = list(notes(e))
    if lines or e.command or e.next:
        sheet.add()
    for name, of_name in groupby(lines, key=itemgetter(0)):
        style = ASSUMED if name in ("assumed", "note") else ""
        texts = [text for _, text in of_name]
        bullet = "- " * (len(texts) > 1)
        sheet.labels(name, texts, style, INDENT, bullet)
    commands = {"reproduce": e.command, "next": e.next}
    if e.arrays:  # next writes the file that an edit of the command takes
        commands = {"first": e.next, "reproduce": e.command}
    for name, command in commands.items():
        if command:
            sheet.command(name, command, INDENT)
    return sheet


# ---- the finding


def title(e: Explanation, expected: str) -> str:
    """The first line."""
    nan = "".join(
        f"{one.text} ".replace("EXPECTED", expected) for one in _not_finite(e)
    )
    if e.verdict == "not_finite" and not e.changes:
        return f"{nan}The others are what these weights give."
    if e.verdict == "agrees":
        wide = any(one.code == "needs_float64" for one in e.remarks)
        run = " but the dtype: in float64" if wide else ": as loaded"
        return f"Nothing has to be changed{run}, these weights give {expected}."
    if e.changes and e.verdict in EXPLAINED:
        changes = len(e.changes)
        numeral = NUMERALS[changes] if changes < len(NUMERALS) else str(changes)
        verb = "change explains" if changes == 1 else "changes explain"
        texts = "; ".join(change.text for change in e.changes)
        return f"{nan}{numeral} {verb} the {'others' if nan else 'difference'}: {texts}"
    if e.verdict == "unproven":
        several = len(e.equivalent) + 1
        fitting = (
            "One configuration fits"
            if several == 1
            else f"{several} configurations fit"
        )
        return f"{nan}{fitting}, but {expected} does not prove it."
    if any(one.code == PADDED_DIFFER for one in e.remarks):
        return f"{expected} differs at padded steps, and nowhere else."
    if _ran_otherwise(e):
        return f"No setting is wrong, but {expected} was run or arranged otherwise."
    if e.tried > 1:
        return f"None of the {e.tried:,} configurations tried gives {expected}."
    return f"As loaded, these weights do not give {expected}."


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
    if (measured := e.measured) is None:
        return [*filter(None, [_ran_otherwise(e)])]
    largest = f"max difference {format_size(measured.max_abs)}"
    if e.verdict == "none":
        agreement = [*filter(None, [_ran_otherwise(e)])]
        agreement += [one.text for one in e.remarks if one.code in AGREEMENT]
        first = (
            f"; first mismatch at {position(measured.first)}" if measured.first else ""
        )
        return [f"As loaded, {_agreeing(measured)}; {largest}{first}.", *agreement]
    finite = "finite " * bool(_not_finite(e))
    values = f"all {measured.total} {finite}values in {expected} match"
    if measured.total == 1:
        values = f"the only {finite}value in {expected} matches"
    change = "With this change, " if len(e.changes) == 1 else "With these changes, "
    text = f"{change * bool(e.changes)}{values} {precision_text(e)}".rstrip()
    lines = [f"{text[:1].upper()}{text[1:]} ({largest})."]
    if e.verdict == "unproven":
        lines.append(why_unproven(e))
    elif e.equivalent:
        several = len(e.equivalent) > 1
        others = (
            f"{len(e.equivalent)} other configuration{'s fit' if several else ' fits'}"
        )
        lines.append(f"{others} as well: see other fits.")
    return lines


def _agreeing(v: Agreement) -> str:
    if v.nearly:
        wrong = v.total - v.agreeing
        why = ": a wrong number, not a convention" if v.max_abs > APPROXIMATED else ""
        return f"all but {wrong} of {v.total} values agree{why}"
    return f"{v.agreeing} of {v.total} values agree"


# ---- tables


def _change_columns(e: Explanation) -> list[Column]:
    heading = "change" if e.edits else "setting"
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
        named = map(": ".join, zip(columns[0].cells, column.cells, strict=True))
        text = (
            "; ".join(dict.fromkeys(named))
            if len({*column.cells}) > 1
            else column.cells[0]
        )
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
    base = first.array.rpartition(".")[2]
    array = f"gate {first.array}" if base in ("i", "f", "g", "o") else first.array
    step = "" if first.step is None else f"step {first.step}, "
    batch = f", batch {first.item}" if first.item else ""
    return f"{step}{array}{batch}, unit {first.unit}"


# ---- notes


def notes(e: Explanation) -> Iterator[tuple[str, str]]:
    """The name and the text of each line below the tables."""
    # otherwise a table has the settings, or what is wrong
    assumed = e.assumed if e.verdict == "agrees" else without_option(e.assumed)
    if assumed:
        yield "assumed", "; ".join(map(shorten_assumption, assumed))
    if e.words.taken:
        yield "assumed", f"{e.words.taken}."
    for remark in e.remarks:
        is_above = remark.code in AGREEMENT or remark in _not_finite(e)
        if remark.code == "edit_code":
            yield "mistake", remark.facts["line"]
            yield "correct", remark.facts["mend"]
        elif not is_above and remark.text != _ran_otherwise(e):
            yield "note", remark.text
    if e.verdict in EXPLAINED and (
        lines := [row.mend for row in e.words.rows if row.mend]
    ):
        yield "correct", "; ".join(dict.fromkeys(lines))
    if e.words.hidden:
        yield e.words.hidden_label, e.words.hidden
    if e.alternatives.like:
        names = sorted(e.alternatives.like, key=familiarity)
        yield "matches", f"together, the settings of {listed(names, MOST_LISTED)}"
    if e.verdict in EXPLAINED and e.tried > 1:
        yield "tested", _tested(e)
    if e.changes and e.verdict != "none":
        yield "other fits", _equivalent(e)
    if unseen := _unseen(e):
        by = f"; to test them, use {e.words.decide}" if e.words.decide else ""
        names = [_untested(name) for name in unseen]
        yield "not testable here", f"{', '.join(names)}{by}"
    elif e.words.decide and (not e.unseen or e.equivalent or e.verdict == "unproven"):
        yield "to decide", f"save and give {e.words.decide}"
    if e.verdict == "none" and e.tried:
        far = e.measured is not None and len(e.nearest) < 2
        nearer = "; none fits clearly better than the settings as loaded" * far
        yield (
            "tested",
            f"{count(e.tried, 'configuration')}: {DEPTHS[e.alternatives.depth]} at once{nearer}",
        )
    yield from (("not tried", text) for text in e.not_tried)
    if e.verdict == "agrees":
        yield "next", "give the outputs of the program that differs from this one"


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
    best, first = e.nearest[0], e.nearest[0].comparison.first
    at = f", first mismatch at {position(first)}" if first else ""
    error = format_size(best.comparison.max_abs)
    return (
        f"{text}; next best: {configuration(best.changes)}, max difference {error}{at}"
    )


def _equivalent(e: Explanation) -> str:
    if e.equivalent:
        texts = [
            unbroken(configuration(changes)) for changes in e.equivalent[:MOST_LISTED]
        ]
        more = len(e.equivalent) - len(texts)
        return "; or ".join(texts) + (f"; and {more} more" if more else "")
    for change in e.changes:
        if saturated_gate(change):
            side = "below" if change.found < 0 else "above"
            return f"any forget bias that keeps the gate there, {side} {change.found:+.10g} too"
    if e.unseen and any(change.setting == "dtype" for change in e.changes):
        return "none with this number of changes"
    return "none among those tested"


# ---- Markdown


def markdown(e: Explanation, expected: str) -> str:
    """The explanation for a bug report."""
    lines = [f"**{title(e, expected)}**", ""]
    lines += [line for text in details(e, expected) for line in (text, "")]
    if e.words.rows:
        lines += _markdown_table(_change_columns(e))
    if e.verdict in ("none", "unproven") and e.nearest:
        columns = _nearest_columns(e.nearest)
        lines += _markdown_table(
            [column for column in columns if column.heading != "rms"]
        )
    lines += [f"- {name}: {text}" for name, text in notes(e)]
    if command := e.command or e.next:
        lines += ["", "```sh", command, "```"]
    return "\n".join(map(one_line, lines)) + "\n"


def _markdown_table(columns: Sequence[Column]) -> Iterator[str]:
    for row in zip(
        *((column.heading, "---", *column.cells) for column in columns), strict=True
    ):
        yield f"| {' | '.join(map(str.strip, row))} |"
    yield ""
