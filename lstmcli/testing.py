"""LSTM outputs in other people's tests: an assertion that shows why two results differ."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.api.diff import Result, diff, side_of
from lstmcli.api.explain import Request, asked_of, explained
from lstmcli.api.job import InputOptions, read_job
from lstmcli.api.load import checked
from lstmcli.api.same import are_networks, networks_differ, opened
from lstmcli.api.save import make_folder, write_arrays
from lstmcli.api.values import Path, StateLike, Weights, is_path, numbers_of
from lstmcli.core.diff.difference import Difference
from lstmcli.core.diff.operand import Side
from lstmcli.core.explain.budget import WorkDone
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.forward.sequence import valid_steps
from lstmcli.core.model.arrays import Array, ArrayLike
from lstmcli.core.model.model import Inputs, Model
from lstmcli.errors import UserError
from lstmcli.escaping import file_name
from lstmcli.views.assertion import failure_text, networks_text

__all__ = ["assert_lstm_close", "write_golden"]

WHERE = "assert_lstm_close"
__unittest = True  # unittest shows no lines of this module, as pytest does
EFFORT = 0.1
"""The share of `explain`'s budget for the search of a cause."""
SAVE = "LSTM_SAVE"
"""The variable that names the folder for files of failed tests; ``pytest --lstm-save`` sets it."""


def assert_lstm_close(
    actual: Result,
    expected: Result,
    *,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    weights: Model | Weights | Sequence[Weights] | None = None,
    inputs: ArrayLike | Path | None = None,
    initial_state: StateLike | None = None,
    lengths: ArrayLike | Path | None = None,
    mask: ArrayLike | Path | None = None,
    explain: bool = True,
    **settings: Any,
) -> None:
    """Fail unless two results of an LSTM are equal within a tolerance, and show why they are not.

    Two files or dicts of the weights of an LSTM are compared as networks, by
    `lstmcli.diff`. Axes may be in another order, as for `lstmcli.diff`, but all numbers have
    to be there: a last step does not equal all of them, and an array that
    ``expected`` has may not be left out of a dict.

    Parameters
    ----------
    actual, expected, rtol, atol, equal_nan
        as ``a``, ``b`` and the others of `lstmcli.diff`.
    weights, inputs, initial_state
        as for `lstmcli.explain`, which then names the cause: of the side that
        these weights do not give as loaded. It searches with a tenth of its
        budget. In the folder that the variable LSTM_SAVE names, or
        ``pytest --lstm-save``, a failure leaves files of what is in memory.
    lengths, mask
        as for `lstmcli.run`: padded steps are not compared. Those in the files
        of the weights and the inputs do the same.
    explain
        whether a cause is searched for.
    **settings
        as for `lstmcli.explain`: ``forget_bias=1.0``, ``layout="time"``.

    Raises
    ------
    AssertionError
        if they differ.
    UserError
        if they cannot be compared: a file that cannot be read, no array in
        common.

    Examples
    --------
    >>> h = lstmcli.run("demo/weights.npz", "demo/inputs.npy").h
    >>> assert_lstm_close(h, "demo/tensorflow.txt")
    >>> assert_lstm_close(h, "demo/numpy.txt")
    Traceback (most recent call last):
    AssertionError: actual and demo/numpy.txt differ in 1 of 1 arrays
    ...
    """
    __tracebackhide__ = True  # pytest shows the caller's line
    options = InputOptions(initial_state, lengths, mask)
    limits = {"rtol": rtol, "atol": atol, "equal_nan": equal_nan}
    try:
        run = _asked_run(weights, inputs, options, settings)
        text = _failure(actual, expected, limits, run, explain)
    except UserError as error:
        raise error.with_traceback(None) from None  # pytest shows the caller's line
    if text:
        raise AssertionError(text)


class _Run(NamedTuple):
    """The run that two results are said to be of, as it was asked for."""

    weights: Model | Weights | Sequence[Weights] | None
    inputs: ArrayLike | Path | None
    options: InputOptions
    settings: Mapping[str, Any]

    @property
    def layout(self) -> str | None:
        """The layout of the run, where it is given."""
        return self.settings.get("layout")

    @property
    def has_padding(self) -> bool:
        """Return whether lengths or a mask are given."""
        return self.options.lengths is not None or self.options.mask is not None


def _asked_run(
    weights: Model | Weights | Sequence[Weights] | None,
    inputs: ArrayLike | Path | None,
    options: InputOptions,
    settings: Mapping[str, Any],
) -> _Run:
    given = checked(settings, WHERE)
    if weights is None:
        is_of_run = inputs is not None or options.initial_state is not None
        if is_of_run or given.keys() - {"layout"}:
            raise UserError(
                f"{WHERE}: inputs and settings describe a run of weights; give weights too."
            )
    return _Run(weights, inputs, options, given)


def _failure(
    actual: Result,
    expected: Result,
    limits: Mapping[str, Any],
    run: _Run,
    searches: bool,
) -> str:
    """The text of an assertion that fails; nothing if it holds."""
    opened_sides = opened(actual, "actual"), opened(expected, "expected")
    if are_networks(*opened_sides):
        if run.weights is not None or run.has_padding:
            text = "both sides are networks, which are compared without a run"
            raise UserError(f"{WHERE}: {text}; leave weights, lengths and mask out.")
        networks = networks_differ(*opened_sides, {}, {}, limits)
        return "" if networks.equal else networks_text(networks)
    sides = [side_of(actual, "actual"), side_of(expected, "expected")]
    difference, unread = _difference(sides, limits, run)
    lacking = _lacking(difference, alone=list(sides[0].arrays) == [""])
    if difference.equal and not lacking:
        return ""
    files = Files.of_test()
    sides = [files.of_side(side) for side in sides]
    cause: Explanation | str = unread
    name = ""
    if searches and run.weights is not None and not difference.equal and not unread:
        x = files.of_inputs(run.inputs)
        requests = (
            asked_of(run.weights, x, side, run.options, run.settings) for side in sides
        )
        cause, name = _cause(requests)
    lines = [failure_text(difference, lacking, cause, name, sides)]
    lines.extend(files.written)
    return "\n".join(lines)


def _difference(
    sides: Sequence[Side], limits: Mapping[str, Any], run: _Run
) -> tuple[Difference, str]:
    """How two sides differ, with the padding of their run, and why that could not be read."""
    named = [replace(side, layout=side.layout or run.layout) for side in sides]
    difference = diff(*named, **limits)
    if run.weights is None:
        if not run.has_padding:
            return difference, ""
        layout, settings = _padding(difference, run.options, run.layout)
        return diff(*_of_run(named, layout, settings), **limits), ""
    if difference.equal:
        return difference, ""
    try:
        job = read_job(
            run.weights, run.inputs, run.settings, run.options, where=WHERE, settle=True
        )
        plan = job.drained().plan()
        return diff(*_of_run(named, plan.layout, plan.settings()), **limits), ""
    except UserError as error:
        return difference, f"explain: {error}"


def _cause(requests: Iterable[Request]) -> tuple[Explanation | str, str]:
    """The explanation of the first side that weights do not give as loaded, and its name."""
    found: Explanation | str = ""
    name = ""
    try:
        for asked in requests:
            name = asked.side.name
            found = explained(asked, WorkDone(EFFORT))
            if found.verdict != "agrees":
                break
    except UserError as error:
        return f"explain: {error}", name
    return found, name


class Files:
    """Files of a test that fails, in a folder for all of them; none without that folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.paths: list[str] = []

    @classmethod
    def of_test(cls) -> Files:
        """The files of the test that pytest runs, or of any other."""
        folder, test = os.environ.get(SAVE, ""), os.environ.get("PYTEST_CURRENT_TEST")
        if not folder:
            return cls("")
        name = "failed"
        if test:
            name = test.rpartition(" ")[0]
        return cls(os.path.join(folder, file_name(name)))

    def of_side(self, side: Side) -> Side:
        """A side as it is in a file, which is written if it is in memory alone."""
        if not self.folder or not side.in_memory:
            return side
        path = self._write(side.name, side.arrays, side.settings)
        return replace(side, name=path, in_memory=False)

    def of_inputs(self, inputs: ArrayLike | Path | None) -> ArrayLike | Path | None:
        """The path of inputs, which are written if they are in memory alone."""
        if not self.folder or inputs is None or is_path(inputs):
            return inputs
        return self._write("inputs", {"": numbers_of(inputs, "inputs")})

    @property
    def written(self) -> list[str]:
        """The line that names them."""
        if not self.paths:
            return []
        return [f"wrote {', '.join(self.paths)}"]

    def _write(
        self,
        name: str,
        arrays: Mapping[str, Array],
        meta: Mapping[str, Any] | None = None,
    ) -> str:
        path = os.path.join(self.folder, name)
        path = write_arrays(path, arrays, _attributes(meta))
        self.paths.append(path)
        return path


def _attributes(meta: Mapping[str, Any] | None) -> dict[str, Any]:
    if meta is None:
        return {}
    return {"meta": dict(meta)}


def _padding(
    d: Difference, options: InputOptions, layout: str | None
) -> tuple[str | None, Mapping[str, Any]]:
    """The layout of a run without weights, and the settings with which padding is left out."""
    lengths, mask = options.padding()
    pairs = [array.pair for array in d.arrays.values()]
    shape = next((pair.a.shape[:2] for pair in pairs if pair.stepwise), (1, 1))
    layout = layout or next((side.layout for side in d.sides if side.layout), None)
    if layout is None and lengths is not None and lengths.size == shape[0] != shape[1]:
        layout, shape = "batch", shape[::-1]  # the first axis was assumed to be time
    axes = layout or "time"
    if mask is not None and mask.ndim == 1:
        axes = "steps"
    if axes == "batch":
        shape = shape[::-1]
    source = options.padding_from()
    inputs = Inputs(np.empty(shape), lengths=lengths, mask=mask, padding_from=source)
    valid = valid_steps(inputs, axes)
    if valid is None:
        return layout, {}
    return layout, {"layout": "time", "mask": valid.tolist()}


def _of_run(
    sides: Sequence[Side], layout: str | None, run: Mapping[str, Any]
) -> Sequence[Side]:
    # (B, T, I) of a run does not tell whether an array of two axes has steps or sequences
    axes = max(array.ndim for array in chain(*(side.arrays.values() for side in sides)))
    if axes > 2 or layout == "steps":
        sides = [replace(side, layout=side.layout or layout) for side in sides]
    if not run:
        return sides
    return [replace(one, settings={**(one.settings or {}), **run}) for one in sides]


def _lacking(d: Difference, alone: bool) -> list[str]:
    sizes = {
        name: [prod(shape) for shape in array.shapes]
        for name, array in d.arrays.items()
    }
    a, b = (side.name for side in d.sides)
    texts = [
        f"{name or 'array'}: {a} has {had:,} numbers, {b} {wanted:,}"
        for name, (had, wanted) in sizes.items()
        if had != wanted
    ]
    if d.only_in_b and not alone:
        texts.append(f"{a} lacks {', '.join(d.only_in_b)}")
    return texts


def in_memory(actual: Result) -> Side:
    """A copy of a result, which does not change with it."""
    side = side_of(actual, "actual")
    return replace(side, arrays={k: np.array(a) for k, a in side.arrays.items()})


def write_golden(path: Path, actual: Result) -> None:
    """Write what `assert_lstm_close` compares with later.

    Parameters
    ----------
    path
        an .npz file, which appears complete or not at all; its folder is made.
    actual
        what `lstmcli.diff` takes; arrays keep their axes and dtypes.

    Raises
    ------
    UserError
        for a folder that cannot be written, or what is not a result.

    Examples
    --------
    >>> write_golden("golden/net.npz", np.ones((5, 3)))
    >>> assert_lstm_close(np.ones((5, 3)), "golden/net.npz")
    """
    side = side_of(actual, "actual")
    if not side.arrays:
        raise UserError("actual has no arrays to write.")
    for name in side.arrays:
        side.numbers(name)  # which refuses an array without numbers
    path = os.fspath(path)
    make_folder(os.path.dirname(path))
    arrays = {name or "h": array for name, array in side.arrays.items()}
    formats.write(path, formats.format_of(path), arrays, _attributes(side.settings))
