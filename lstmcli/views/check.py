"""A check: a line for each engine, the most accurate ones, and where one first differs from us."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lstmcli.core.explain.explanation import Explanation
from lstmcli.views.explain import title
from lstmcli.views.sheet import AGREES, DIFFERS, Column, Sheet, Width, fitting_table, labelled
from lstmcli.views.text import error_size, ulp_counts

OURS = "ours"
INDENT = 16  # columns of the labels
WITHIN_ROUNDING = (
    "more than the tolerance, but at most 4 times the distance of ours from the same run in long "
    "double: rounding, and no difference"
)


def check_sheet(
    check: Mapping[str, Any], findings: Mapping[str, Explanation], width: Width
) -> Sheet:
    """The lines of a check, given as JSON; ``findings`` are the explanations of engines."""
    sheet = Sheet()

    def add(label: str, text: str, style: str = "") -> None:
        sheet.extend(labelled(label, text, width, style, INDENT))

    if check["seed"] is not None:
        add("drawn", f"inputs and the initial state, from seed {check['seed']}: none were given")
        sheet.add()
    engines = check["engines"]
    some_in_float64 = any(row["float64_abs"] is not None for row in engines)
    sheet.extend(_engines(check, width))
    sheet.add()
    add(*_agreement(check))
    if rounded := _rounded(check):
        add("rounding", f"{', '.join(rounded)}: {WITHIN_ROUNDING}")
    dtypes = {row["name"]: row["differs_in"] for row in engines}
    for name, place in check["first_divergence"].items():
        in_dtype = f"{name} in {dtypes[name]}" if some_in_float64 else name
        add("first mismatch", f"{in_dtype}: {_position(place)}", DIFFERS)
        if name in findings:
            add("finding", _finding(findings[name], name))
    if check["nearest"]:
        add("most accurate", f"{', '.join(check['nearest'])} (vs. the same run in long double)")
    for name, notes in check["notes"].items():
        for note in notes:
            add("known", f"{name}: {note}")
    for text in check["refused"].values():
        add("left out", text)
    return sheet


def _finding(e: Explanation, name: str) -> str:
    """The title of the explanation; explain may allow more for rounding than the tolerance here."""
    text = title(e, name)
    if e.verdict != "agrees" or e.measured is None:
        return text
    size = error_size(e.measured.max_abs)
    return f"{text[:-1]}, within what explain allows for rounding (greatest difference {size})."


def _engines(check: Mapping[str, Any], width: Width) -> Sheet:
    """The errors of each engine against ours, and of all against the run in long double."""
    engines = check["engines"]
    errors = ("max_abs", "max_rel", "max_ulp", "float64_abs")
    rows = [{"name": OURS, **dict.fromkeys(errors), **check["ours"]}, *engines]
    agreement = ["agrees" if row["equal"] else "differs" for row in engines]
    columns = [
        Column("engine", [row["name"] for row in rows], "bold", left=True),
        Column("version", [_version(row["version"]) for row in rows], left=True, rank=1),
        Column("", ["", *agreement], left=True),
        Column("max abs", [_error(row["max_abs"]) for row in rows]),
        Column("max rel", [_error(row["max_rel"]) for row in rows], rank=3),
        Column("max ulp", _ulps([row["max_ulp"] for row in rows]), rank=2),
        Column("float64", [_error(row["float64_abs"]) for row in rows], rank=1),
        Column("long double", [_error(row["truth_abs"]) for row in rows]),
        Column("ms", [f"{1000 * row['seconds']:.3g}" for row in rows], rank=4),
    ]
    return fitting_table([column for column in columns if any(column.cells)], width)


def _version(version: str) -> str:
    """``3.15.1 torch`` for ``3.15.1 on torch 2.13.0``, for the sake of the other columns."""
    engine, _, backend = version.partition(" on ")
    return f"{engine} {backend.partition(' ')[0]}".rstrip()


def _error(value: float | str | None) -> str:
    """An error; NaN and infinities are texts in JSON."""
    return value if isinstance(value, str) else error_size(value)


def _ulps(values: Sequence[float | str | None]) -> list[str]:
    texts = ulp_counts([None if isinstance(value, str) else value for value in values])
    return [v if isinstance(v, str) else text for v, text in zip(values, texts, strict=True)]


def _rounded(check: Mapping[str, Any]) -> list[str]:
    """The engines that agree although a difference is beyond the tolerance."""
    return [row["name"] for row in check["engines"] if row["equal"] and row["within_rounding"]]


def _agreement(check: Mapping[str, Any]) -> tuple[str, str, str]:
    """Label, text and style of the line about all engines."""
    count = len(check["engines"])
    differing = [row["name"] for row in check["engines"] if not row["equal"]]
    if check["ulp"] is not None and check["rtol"] is None:
        tolerance = f"{check['ulp']} ULP"
    else:
        rtol, atol = float(check["rtol"]), float(check["atol"])  # infinity is a text in JSON
        tolerance = f"rtol {rtol:g}, atol {atol:g}" + ", or rounding" * bool(_rounded(check))
    if differing:
        agreeing = f"{count - len(differing)} of {count} agree within {tolerance}"
        return "differs", f"{', '.join(differing)}; {agreeing}", DIFFERS
    return "agree", f"{count} engine{'s' * (count > 1)} within {tolerance}", AGREES


def _position(place: Mapping[str, Any]) -> str:
    """``h, step 3, batch 1, unit 0: 0.5, ours 0.4``."""
    axes = [
        f"{axis} {place[axis]}" for axis in ("step", "batch", "unit") if place[axis] is not None
    ]
    return f"{place['array']}, {', '.join(axes)}: {place['a']}, ours {place['b']}"
