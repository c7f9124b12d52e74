"""From two results, in files or in memory, to their difference."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import signature
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from lstmcli import formats
from lstmcli.api.documents import only_one_stdin
from lstmcli.api.load import EDITS, OF_MODEL
from lstmcli.api.same import Opened, are_networks, networks_differ, opened
from lstmcli.api.values import (
    Path,
    is_packed,
    is_path,
    is_torch_bfloat16,
    names_of,
    numbers_of,
    refuse_other_arguments,
    refuse_other_types,
    unpacked,
)
from lstmcli.core.diff.compare import compare
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.names import with_trace_names
from lstmcli.core.diff.operand import FINAL, WEIGHTS, ArrayName, Side
from lstmcli.core.diff.printed import spread
from lstmcli.core.diff.tolerance import BFLOAT16, Numbers, Precision
from lstmcli.core.model.arrays import Array, ArrayLike
from lstmcli.core.model.model import Model, Trace
from lstmcli.core.model.part import WHOLE, Part, Sizes
from lstmcli.core.model.selection import Selection
from lstmcli.core.model.settings import SETTINGS, read_setting, split_cell
from lstmcli.errors import UserError, did_you_mean, refuse_unprintable
from lstmcli.formats import Document

_TABLES = ("text", "csv", "tsv")  # formats whose rows are steps by default

Result: TypeAlias = (
    "Side | Path | Trace | Model | ArrayLike | Mapping[str, ArrayLike] | Document"
)


@refuse_other_arguments
def diff(
    a: Result,
    b: Result,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    ulp: int | None = None,
    equal_nan: bool = False,
    layout: str | None = None,
    only: str | Sequence[str] | None = None,
    steps: str | int | None = None,
    batch: str | int | None = None,
    units: str | int | None = None,
    padding: bool = False,
    by_name: bool = False,
    settings_b: Mapping[str, Any] = MappingProxyType({}),
    **settings: Any,
) -> Difference:
    """Compare two results of an LSTM, or two networks; b is the one that is expected.

    Parameters
    ----------
    a, b
        an array or a tensor, which is h, (T, H), (B, T, H) or (T, B, H); a
        trace; a dict of arrays by name; ``(output, (h, c))`` of PyTorch; or a
        path.
    rtol, atol, ulp
        the tolerance: ``|a - b| <= atol + rtol * |b|``, where one alone leaves
        the other at 0, or a number of units in the last place. By default that
        of `torch.testing.assert_close` for the coarser dtype. Printed numbers
        get half a unit of their last digit on top.
    equal_nan
        whether NaN equals NaN.
    layout
        "batch" or "time", of a side whose file does not specify it: the first
        axis is sequences, or steps.
    only
        names of the arrays that are compared.
    steps, batch, units
        what is compared: an index, or a text such as ``"0:10"`` or ``"0,2"``.
    padding
        whether padded steps are compared, which the lengths or the mask of a
        trace leave out.
    by_name
        whether the tensors of two files of weights are compared by their names;
        by default, the networks are, whatever the framework of each file.
    settings_b, **settings
        settings of two networks, as of `lstmcli.load`; ``settings_b`` are those
        of b alone.

    Raises
    ------
    UserError
        for a file that cannot be read, if the two have no array in common, or
        if nothing is selected.

    Examples
    --------
    >>> lstmcli.diff("demo/numpy.txt", "demo/tensorflow.txt")
    <Difference h differs: 18 of 21 values, first at step 1, unit 0; the first axis of h is time>
    >>> lstmcli.diff(np.ones((5, 3)), np.ones((5, 3)) + 1e-9, atol=1e-8).equal
    True
    """
    layout = None if layout is None else read_setting("layout", layout, "diff")
    _refuse_unknown(settings)
    names = names_of(only, "diff")
    selection = Selection.parse(
        _typed(steps, "steps"), _typed(batch, "batch"), _typed(units, "units")
    )
    only_one_stdin(a, b)
    sides = opened(a, "a"), opened(b, "b")
    limits = {"rtol": rtol, "atol": atol, "ulp": ulp, "equal_nan": equal_nan}
    if not by_name and are_networks(*sides):
        of_runs = {"layout": layout, "only": only, "steps": steps, "batch": batch}
        of_runs |= {"units": units, "padding": padding or None}
        _refuse_idle(of_runs, "weights have neither steps nor sequences")
        return networks_differ(*sides, settings, settings_b, limits)
    of_networks = {"settings_b": settings_b or None, **settings}
    if any(side.has_lstm for side in sides):
        _refuse_idle(of_networks, "tensors are compared by name, as they are stored")
    else:
        of_networks["by_name"] = by_name or None
        _refuse_idle(of_networks, "neither side has the weights of an LSTM")
    return _results_differ(sides, limits, layout, names, selection, padding)


def _results_differ(
    opened_sides: Sequence[Opened],
    limits: Mapping[str, Any],
    layout: str | None,
    names: Sequence[str] | None,
    selection: Selection,
    padding: bool,
) -> Difference:
    """How two results of a run, or tensors of the same names, differ."""
    sides = [side_of(_as_given(side), side.name) for side in opened_sides]
    a, b = with_layouts(sides, layout, axes=2)
    given = {*(a.settings or {}), *(b.settings or {})}
    if padding and not {"lengths", "mask"} & given:
        text = "it changes nothing: neither side has lengths or a mask; leave it out."
        raise UserError(text, about={"padding": True})
    found = compare(
        a, b, **limits, only=names, selection=selection, padding=bool(padding)
    )
    return replace(found, cuts=tuple(selection.cuts(_sizes_of(found))))


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    """Refuse the first name that is neither an argument nor a setting."""
    known = [*signature(diff).parameters, *SETTINGS, EDITS]
    for name in settings:
        plain = split_cell(name.removeprefix(OF_MODEL))[1]
        if plain not in known:
            near = did_you_mean(name, known)
            raise UserError(f"diff: there is no argument {name!r}.{near}")


def _refuse_idle(given: Mapping[str, Any], why: str) -> None:
    """Refuse the first argument that is given, as it changes nothing."""
    for name, value in given.items():
        if value is not None:
            text = f"it changes nothing: {why}; leave it out."
            raise UserError(text, about={name: value})


def _as_given(side: Opened) -> Result:
    if isinstance(side.value, Model):
        raise UserError(
            f"{side.name} is a model; diff compares it with another's weights."
        )
    given: Result = side.value
    return given


def _typed(choice: str | int | None, name: str) -> str | None:
    """A selection as the option takes it; an integer may be NumPy's."""
    refuse_unprintable(choice, f"diff: {name}")
    takes = 'one number, or a text such as "0:10" or "0,2"'
    refuse_other_types(str | int | np.integer | None, takes, "diff", **{name: choice})
    return None if choice is None else str(choice)


def with_layouts(
    sides: Sequence[Side], layout: str | None, *, axes: int = 3
) -> list[Side]:
    """The sides with this layout where they have none; refused if it changes nothing.

    It names the first of two ``axes``, or of three only.
    """
    why = "" if layout is None else _why_idle(sides, axes)
    if why:
        text = f"it changes nothing: {why}; leave it out."
        raise UserError(text, about={"layout": layout})
    return [side if side.layout else replace(side, layout=layout) for side in sides]


def _why_idle(sides: Sequence[Side], axes: int) -> str:
    """Why a layout changes nothing; "" if it does."""
    arrays = [item for side in sides for item in side.arrays.items()]
    names = {name for name, _ in arrays}
    # single arrays of two names are compared as h
    are_named = len(arrays) > 2 or len(names) < len(sides)
    if are_named and all(ArrayName.of(name or "h").kind == WEIGHTS for name in names):
        return "weights have neither steps nor sequences"
    if all(side.layout for side in sides):
        files = "both files specify" if len(sides) > 1 else "the file specifies"
        return f"{files} a layout"
    if any(array.ndim > 2 for _, array in arrays):
        return ""
    for side in sides:
        if side.layout == "steps":
            return f"{side.name} has (steps, units)"
    counts = [a.ndim for name, a in arrays if ArrayName.of(name).kind != FINAL]
    if max(counts, default=0) < axes:
        return f"no array has {'two' if axes == 2 else 'three'} axes"
    return ""


def _sizes_of(found: Difference) -> Sizes:
    axes = [0, 0, 0]
    for pair in (array.pair for array in found.arrays.values()):
        for axis, size in enumerate(pair.a.shape if pair.placed else ()):
            in_run = pair.indices[axis]
            axes[axis] = max(axes[axis], in_run[-1] + 1 if in_run else size)
    return Sizes(*axes)


def side_of(result: Result, name: str, *, of_run: bool = False) -> Side:
    """Whatever `diff` takes, as one side of a comparison."""

    def array_of(value: object, what: str) -> Array:
        array = numbers_of(value, what)
        if of_run and not array.ndim:
            raise UserError(
                f"{what} is a single number; it has to be an array of a run."
            )
        return np.atleast_1d(array)

    if isinstance(result, Side):
        return result
    if isinstance(result, Trace):
        widths = {k: a.shape[-1] for k, a in result.arrays.items()}
        return Side(
            name,
            result.members(),
            layout=result.layout,
            settings=result.settings,
            part=Part.of_meta(result.settings, widths),
            in_memory=True,
        )
    if is_path(result):
        return _side(formats.read(os.fspath(result), abbreviated=True))
    if isinstance(result, Document):
        return _side(result)
    if isinstance(result, tuple):
        are_states = [isinstance(one, tuple) and not is_packed(one) for one in result]
        if are_states == [False, True]:
            # (output, (h, c)) of PyTorch; printed output has these names
            states = {f"1.{n}": one for n, one in enumerate(result[1])}
            result = {"0": result[0], **states}
    if isinstance(result, Mapping):
        values = {str(k): one for k, one in result.items()}
        return with_trace_names(_side_of_values(values, name, array_of))
    return _side_of_values({"": result}, name, array_of)


def _side_of_values(
    values: Mapping[str, Any], name: str, array_of: Callable[[object, str], Array]
) -> Side:
    """A side of arrays and tensors by name; "" is a single one."""
    arrays: dict[str, Array] = {}
    dtypes: dict[str, Precision] = {}
    settings = None
    for key, value in values.items():
        what = name if values.keys() == {""} else f"{name}: {key}"
        if is_packed(value):
            arrays[key], lengths = unpacked(value, what)
            settings = {"layout": "time", "lengths": lengths}
        else:
            arrays[key] = array_of(value, what)
        if is_torch_bfloat16(value.data if is_packed(value) else value):
            dtypes[key] = BFLOAT16
    layout = "time" if settings else None
    return Side(name, arrays, layout, {}, dtypes, settings, in_memory=True)


def _side(document: Document) -> Side:
    meta = document.attributes.get("meta")
    meta = meta if isinstance(meta, dict) else None
    single = [k for k, v in document.attributes.items() if isinstance(v, int | float)]
    if single and not document.arrays:
        only = "has only single numbers" if single != [""] else "is a single number"
        raise UserError(f"{document.source} {only}; diff and explain compare arrays.")
    exact = (
        document.dtypes.keys() - document.units.keys()
    )  # was float32, in nine digits
    arrays = {
        name: array.astype(document.dtypes[name]) if name in exact else array
        for name, array in document.arrays.items()
    }
    units, gaps = dict(document.units), {}
    for name, left_out in document.gaps.items():
        if left_out.shape is None:
            gaps[name] = left_out.before
            continue
        numbers = spread(
            Numbers(arrays[name], units[name]), left_out.before, left_out.shape
        )
        arrays[name], units[name] = numbers.values, np.asarray(numbers.unit)
    part = document.part
    if part == WHOLE:
        widths = {k: a.shape[-1] for k, a in arrays.items() if a.ndim}
        part = Part.of_meta(meta, widths)
    layout = (meta or {}).get("layout")
    layout = layout if layout in ("steps", "time", "batch") else None
    layout = document.layout or layout
    is_plain = document.format in _TABLES and part.steps is None
    if layout == "steps" and is_plain:  # its rows may be the last h of sequences
        layout = None
    side = Side(
        document.source,
        arrays,
        layout=layout,
        units=units,
        dtypes=document.dtypes,
        settings=meta,
        gaps=gaps,
        part=part,
        not_asked_for=document.other_members,
    )
    return with_trace_names(side)
