"""Which members of a trace the file formats contain, and which arrays a run keeps for them."""

from __future__ import annotations

from collections.abc import Sequence

from lstmcli.core.forward.plan import KEPT, NAMES
from lstmcli.core.model.model import Trace
from lstmcli.core.model.selection import is_named
from lstmcli.errors import UserError, did_you_mean

FINAL = ("final_h", "final_c")
ONLY_H = ("npy", "text")  # formats of a single array
BY_STEP = ("jsonl", "csv", "tsv")  # formats written a step at a time
BINARY = ("npy", "npz")
IN_PIECES = (*BINARY, "json", "text")  # formats whose large results are written piece by piece


def members_for(format: str, only: Sequence[str] | None) -> tuple[str, ...]:
    """The members that a file of this format will hold; of several cells, those of each.

    ``layer0.f`` asks for one cell's.

    Raises
    ------
    UserError
        if ``only`` asks for what a trace, or the format, does not have.
    """
    known = (*NAMES, *FINAL)
    for name in only or ():
        cell, _, base = name.rpartition(".")
        if base not in known or (cell and base in FINAL):
            near = did_you_mean(name, known)
            raise UserError(f"--only {name}: a trace has {', '.join(known)}.{near}")
    if format in ONLY_H:
        if only not in (None, ["h"]):
            raise UserError(
                f"--only {','.join(only or ())}: {format} holds h alone; try .npz or .json"
            )
        return ("h",)
    if format in BY_STEP:
        if wrong := [name for name in only or () if name in FINAL]:
            raise UserError(
                f"--only {wrong[0]}: {format} holds steps; .npz and .json hold {wrong[0]}"
            )
        return tuple(only or KEPT)
    return tuple(only or (*KEPT, *FINAL))


def kept_for(names: Sequence[str]) -> list[str]:
    """What a run must keep for these members: h for ``final_h`` too, f for ``layer0.f``."""
    bases = dict.fromkeys(name.rpartition(".")[2] for name in names)
    return [name for name in bases if name in NAMES]


def present_names(trace: Trace, names: Sequence[str]) -> tuple[str, ...]:
    """Those of some names that a trace has members of."""
    return tuple(name for name in names if any(is_named(m, name) for m in trace.members()))
