"""An explanation as a sheet, and as Markdown for a bug report."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.explain.judge import Place, Verdict
from lstmcli.core.explain.result import Changed, Explanation, Near
from lstmcli.core.explain.who import familiarity
from lstmcli.core.explain.words import (
    OPEN,
    SHUT,
    found_of,
    headline,
    label,
    name_of,
    plainly,
)
from lstmcli.escaping import one_line
from lstmcli.views.prose import labelled, to_copy, unbroken
from lstmcli.views.sheet import AGREES, ASSUMED, DIFFERS, Column, Sheet, fit, table
from lstmcli.views.sizes import short

INDENT = 13
WHO = "who does it that way"
COUNTS = ("No", "One", "Two", "Three", "Four", "Five", "Six")
DEPTHS = {1: "one change", 2: "one or two changes", 3: "one, two or three changes"}
MOST_LISTED = 5  # readings that fit equally well


def explanation_sheet(e: Explanation, expected: str, *, width: int | None) -> Sheet:
    """The finding, why it hid, who does it that way, and the command; or what comes near."""
    sheet = Sheet()
    sheet.extend(_finding(e, expected, width))
    if e.rows:
        sheet.add()
        sheet.extend(_table(e, width))
    if e.verdict in ("none", "unproven") and len(e.nearest) > 1:
        sheet.add()
        sheet.extend(_nearest_table(e.nearest, width))
    notes = list(_notes(e))
    if notes or e.command or e.next:
        sheet.add()
    for name, text in notes:
        style = ASSUMED if name in ("assumed", "note") else ""
        sheet.extend(labelled(name, text, width, style, indent=INDENT))
    if e.command:
        sheet.extend(to_copy("to get it", e.command, INDENT))
    if e.next:
        sheet.extend(to_copy("next", e.next, INDENT))
    return sheet


# ---- the finding


def _finding(e: Explanation, expected: str, width: int | None) -> Sheet:
    marks = {"agrees": ("✔", AGREES), "found": ("✔", AGREES), "unproven": ("?", ASSUMED)}
    mark, style = marks.get(e.verdict, ("✘", DIFFERS))
    sheet = labelled(mark, title(e, expected), width, style, indent=2)
    for line in details(e, expected):
        sheet.extend(labelled("", line, width, indent=2))
    return sheet


def title(e: Explanation, expected: str) -> str:
    """The first line."""
    if e.verdict == "agrees":
        return f"Nothing has to be changed: as read, these weights give {expected}."
    if e.verdict == "found":
        count = COUNTS[len(e.changes)] if len(e.changes) < len(COUNTS) else str(len(e.changes))
        what = "change explains" if len(e.changes) == 1 else "changes explain"
        return f"{count} {what} it: {headline(e.changes)}"
    if e.verdict == "unproven":
        several = len(e.equivalent) + 1
        what = "One reading fits" if several == 1 else f"{several} readings fit"
        return f"{what}, but {expected} holds too few numbers to prove it."
    return f"No reading of these weights gives {expected}."


def details(e: Explanation, expected: str) -> list[str]:
    """The figures below it."""
    lines = []
    v = e.measured
    if e.verdict == "found":
        clauses = [plainly(change) for change in e.changes]
        said = clauses[0] if len(clauses) == 1 else ", ".join(clauses[:-1]) + " and " + clauses[-1]
        lines.append(f"{expected} is what these weights give when {said}.")
    if v is not None and e.verdict in ("agrees", "found"):
        exact = f"{e.precision}, " if e.precision else ""
        lines.append(f"All {v.total} values agree ({exact}greatest difference {short(v.max_abs)}).")
    elif v is not None and e.verdict == "none":
        lines.append(f"As read, {_agreeing(v)}; greatest difference {short(v.max_abs)}.")
    return lines


def _agreeing(v: Verdict) -> str:
    if v.nearly:
        wrong = v.total - v.agreeing
        return f"all but {wrong} of {v.total} values agree: a wrong number, not a convention"
    return f"{v.agreeing} of {v.total} values agree"


def _table(e: Explanation, width: int | None) -> Sheet:
    others = f"{e.others} others" if e.others else ""
    rows = [(r.setting, r.assumed, r.fits, r.who) for r in e.rows]
    rows += [(others, "as assumed", "as assumed", "")] if others else []
    setting, assumed, fits, who = zip(*rows, strict=True)
    columns = [
        Column("setting", setting, "bold", left=True),
        Column("assumed", assumed, left=True),
        Column("fits", fits, AGREES, left=True),
        Column(WHO, who, "dim", left=True, rank=1),
    ]
    kept = fit(columns, width, gap=3)
    sheet = table(kept, gap=3)
    if len(kept) < len(columns):  # no room beside the others: below them
        sheet.add()
        sheet.extend(labelled(WHO, "; ".join(_who_lines(e)), width, "dim", indent=len(WHO) + 2))
    return sheet


def _who_lines(e: Explanation) -> list[str]:
    """Who does what, each with its setting where there are several."""
    if len(e.rows) == 1:
        return [e.rows[0].who]
    return [f"{row.setting}: {row.who}" for row in e.rows]


def _nearest_table(nearest: Sequence[Near], width: int | None) -> Sheet:
    columns = [
        Column("nearest readings", [wording(n.changes) for n in nearest], "bold", left=True),
        Column("max abs", [short(n.verdict.max_abs) for n in nearest]),
        Column("rms", [short(n.verdict.rms) for n in nearest], rank=1),
        Column("agree", [f"{n.verdict.agreeing} of {n.verdict.total}" for n in nearest]),
        Column("leaves first at", [place(n.verdict.first) for n in nearest], left=True, rank=2),
    ]
    return table(fit(columns, width))


def wording(changes: Sequence[Changed]) -> str:
    """Changes in a few words; ``as read`` if there are none."""
    if not changes:
        return "as read"
    return ", ".join(f"{label(c)} {found_of(c)}" for c in changes)


def place(first: Place | None) -> str:
    """``step 1, gate f, unit 2``."""
    if first is None:
        return ""
    base = first.array.rpartition(".")[2]
    array = f"gate {first.array}" if base in ("i", "f", "g", "o") else first.array
    step = "" if first.step is None else f"step {first.step}, "
    row = f", row {first.row}" if first.row else ""
    return f"{step}{array}{row}, unit {first.unit}"


# ---- what else there is to say


def _notes(e: Explanation) -> list[tuple[str, str]]:
    notes = []
    if e.placement:
        notes.append(("assumed", f"{e.placement}."))
    notes += [("note", remark) for remark in e.remarks]
    if e.hidden:
        notes.append(("why it hid", e.hidden))
    if e.like:
        run = "runs" if len(e.like) == 1 else "run"
        notes.append(("all in all", f"{_some(e.like)} {run} such weights in just this way"))
    if e.verdict == "found" and e.tried > 1:
        notes.append(("ruled out", _ruled_out(e)))
    if e.verdict in ("found", "unproven"):
        notes.append(("same as", _same(e)))
    if e.unseen:
        shown = f"; {e.decide} would show them" if e.decide else ""
        notes.append(("not seen", f"{unseen(e)} may be otherwise{shown}"))
    elif e.decide:
        notes.append(("to decide", e.decide))
    if e.verdict == "none":
        tried = f"{e.tried:,} readings: {DEPTHS[e.depth]} at once" if e.tried else ""
        notes += [("tried", tried)] if tried else []
    if e.untried:
        notes.append(("not tried", "; ".join(e.untried)))
    return notes


def _some(names: Sequence[str]) -> str:
    """A few of the names, those first that most people know."""
    ranked = sorted(names, key=familiarity)
    more = len(ranked) - MOST_LISTED
    return ", ".join(ranked[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")


def _ruled_out(e: Explanation) -> str:
    count = e.tried - 1
    text = "1 other reading" if count == 1 else f"{count:,} other readings"
    if e.nearest:
        near = e.nearest[0]
        first = near.verdict.first
        where = f" at {place(first)}" if first else ""
        text += f"; the nearest: {wording(near.changes)}, off by {short(near.verdict.max_abs)}"
        if first:
            off = abs(first.given - first.expected)
            text += f", first by {short(off)}{where}"
    return text


def _same(e: Explanation) -> str:
    if not e.equivalent:
        shut = [c for c in e.changes if c.sense in (SHUT, OPEN)]
        if shut:
            end = "below" if shut[0].found < 0 else "above"
            return f"any forget bias that holds the gate there, {end} {shut[0].found:+.10g} too"
        if e.unseen and any(change.setting == "dtype" for change in e.changes):
            return "no other reading of as few changes"
        if e.verdict == "unproven":
            return "no other reading of as few changes, of those tried"
        return "nothing else: these data single it out"
    listed = [unbroken(wording(c)) for c in e.equivalent[:MOST_LISTED]]
    more = len(e.equivalent) - len(listed)
    return "; or ".join(listed) + (f"; and {more} more" if more else "")


def unseen(e: Explanation) -> str:
    """The settings that these data do not show."""
    return ", ".join(name_of(setting) for setting in e.unseen)


# ---- Markdown


def markdown(e: Explanation, expected: str) -> str:
    """The same for a bug report."""
    lines = [f"**{title(e, expected)}**", ""]
    lines += [line for text in details(e, expected) for line in (text, "")]
    if e.rows:
        lines += [
            "| setting | assumed | fits | who does it that way |",
            "| --- | --- | --- | --- |",
        ]
        lines += [f"| {r.setting} | {r.assumed} | {r.fits} | {r.who} |" for r in e.rows]
        lines.append("")
    if e.verdict in ("none", "unproven") and e.nearest:
        lines += [
            "| nearest readings | max abs | agree | leaves first at |",
            "| --- | --- | --- | --- |",
        ]
        lines += [
            f"| {wording(n.changes)} | {short(n.verdict.max_abs)} | "
            f"{n.verdict.agreeing} of {n.verdict.total} | {place(n.verdict.first)} |"
            for n in e.nearest
        ]
        lines.append("")
    lines += [f"- {name}: {text}" for name, text in _notes(e)]
    if command := e.command or e.next:
        lines += ["", "```sh", command, "```"]
    return "\n".join(map(one_line, lines)) + "\n"
