"""A check as a sheet: a row an engine, who is nearest to the truth, where somebody parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.explain.result import Explanation
from lstmcli.views.explain import title
from lstmcli.views.prose import labelled
from lstmcli.views.sheet import AGREES, DIFFERS, Column, Sheet
from lstmcli.views.sizes import short, whole
from lstmcli.views.step_errors import fitted

OURS = "ours"
_INDENT = 11


def check_sheet(
    check: Mapping[str, Any], findings: Mapping[str, Explanation], width: int | None
) -> Sheet:
    """The lines of a check, as `Check.to_json` tells it; findings are those of `explain`."""
    sheet = Sheet()
    if check["seed"] is not None:
        text = f"inputs and the initial state, from seed {check['seed']}: none were given"
        sheet.extend(labelled("drawn", text, width, indent=_INDENT))
        sheet.add()
    sheet.extend(_rows(check, width))
    sheet.add()
    sheet.extend(_verdict(check, width))
    for name, place in check["first_divergence"].items():
        sheet.extend(labelled("parts", f"{name}: {_place(place)}", width, DIFFERS, _INDENT))
        if name in findings:
            sheet.extend(labelled("finding", title(findings[name], name), width, indent=_INDENT))
    sheet.extend(_truth(check, width))
    for name, notes in check["notes"].items():
        for note in notes:
            sheet.extend(labelled("known", f"{name}: {note}", width, indent=_INDENT))
    for text in check["refused"].values():
        sheet.extend(labelled("left out", text, width, indent=_INDENT))
    return sheet


def _rows(check: Mapping[str, Any], width: int | None) -> Sheet:
    engines, ours = check["engines"], check["ours"]
    nothing = dict.fromkeys(("max_abs", "max_rel", "max_ulp"))
    rows = [{"name": OURS, **nothing, **ours}, *engines]
    columns = [
        Column("engine", [row["name"] for row in rows], "bold", left=True),
        Column("version", [_version(row["version"]) for row in rows], left=True, rank=1),
        Column("", ["", *(_word(row["equal"]) for row in engines)], left=True),
        Column("max abs", [_figure(row["max_abs"]) for row in rows]),
        Column("max rel", [_figure(row["max_rel"]) for row in rows], rank=3),
        Column("max ulp", [_count(row["max_ulp"]) for row in rows], rank=2),
        Column("truth", [_figure(row["truth_abs"]) for row in rows]),
        Column("ms", [f"{1000 * row['seconds']:.3g}" for row in rows], "dim", rank=4),
    ]
    return fitted([column for column in columns if any(column.cells)], width)


def _version(version: str) -> str:
    """``3.15.1 torch`` for ``3.15.1 on torch 2.13.0``: there are many columns."""
    own, _, beneath = version.partition(" on ")
    return f"{own} {beneath.partition(' ')[0]}".rstrip()


def _word(equal: bool) -> str:
    return "agrees" if equal else "differs"


def _figure(value: Any) -> str:
    return value if isinstance(value, str) else short(value)


def _count(value: Any) -> str:
    return value if isinstance(value, str) else whole(value)


def _verdict(check: Mapping[str, Any], width: int | None) -> Sheet:
    """One line on all engines."""
    count = len(check["engines"])
    apart = [row["name"] for row in check["engines"] if not row["equal"]]
    within = _within(check)
    if apart:
        text = f"{', '.join(apart)}; {count - len(apart)} of {count} agree within {within}"
        sheet = labelled("differs", text, width, DIFFERS, _INDENT)
    else:
        text = f"{count} engine{'s' * (count > 1)} within {within}"
        sheet = labelled("agree", text, width, AGREES, _INDENT)
    return sheet


def _truth(check: Mapping[str, Any], width: int | None) -> Sheet:
    if not check["nearest"]:
        return Sheet()
    text = f"{', '.join(check['nearest'])}; the truth is the same run in longdouble"
    return labelled("nearest", text, width, indent=_INDENT)


def _within(check: Mapping[str, Any]) -> str:
    if check["ulp"] is not None and check["rtol"] is None:
        return f"{check['ulp']} ULP"
    return f"rtol {check['rtol']:g}, atol {check['atol']:g}"


def _place(place: Mapping[str, Any]) -> str:
    """``h, step 3, batch 1, unit 0: 0.5 / 0.4``: theirs, ours."""
    words = [
        f"{word} {place[word]}" for word in ("step", "batch", "unit") if place[word] is not None
    ]
    return f"{place['array']}, {', '.join(words)}: {place['a']}, ours {place['b']}"
