"""LSTM outputs in other people's tests: an assertion that shows why two results differ."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod
from typing import Any

import numpy as np

from lstmcli import formats
from lstmcli.api.diff import Result, diff, side_of
from lstmcli.api.explain import Request, asked_of, explained
from lstmcli.api.job import InputOptions, read_job
from lstmcli.api.load import checked
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
from lstmcli.views.assertion import failure_text

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

    Axes may be in another order, as for `lstmcli.diff`, but all numbers have
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
    try:
        options, given = (
            InputOptions(initial_state, lengths, mask),
            checked(settings, WHERE),
        )
        of_run = given.keys() - {"layout"} or inputs is not None or initial_state
        if weights is None and of_run:
            text = "inputs and settings describe a run of weights; give weights too."
            raise UserError(f"{WHERE}: {text}")
        compared = partial(diff, rtol=rtol, atol=atol, equal_nan=equal_nan)
        sides = side_of(actual, "actual"), side_of(expected, "expected")
        layout = given.get("layout")
        named = [replace(side, layout=side.layout or layout) for side in sides]
        difference = compared(*named)
        cause: Explanation | str = ""
        if weights is None and (lengths is not None or mask is not None):
            layout, run = _padding(difference, options, layout)
            difference = compared(*_of_run(named, layout, run))
        if weights is not None and not difference.equal:
            try:
                job = read_job(
                    weights, inputs, given, options, where=WHERE, settle=True
                ).drained()
                plan = job.plan()
                difference = compared(*_of_run(named, plan.layout, plan.settings()))
            except UserError as error:
                cause = f"explain: {error}"
        lacking = _lacking(difference, alone=[*sides[0].arrays] == [""])
        if difference.equal and not lacking:
            return
        files, name = Files.of_test(), ""
        sides = files.of_side(sides[0]), files.of_side(sides[1])
        if weights is not None and explain and not difference.equal and not cause:
            x = files.of_inputs(inputs)
            requests = (asked_of(weights, x, side, options, given) for side in sides)
            cause, name = _cause(requests)
        text = failure_text(difference, lacking, cause, name, sides)
        raise AssertionError("\n".join([text, *files.written]))
    except UserError as error:
        raise error.with_traceback(None) from None  # pytest shows the caller's line


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
        name = file_name(test.rpartition(" ")[0] if test else "failed")
        return cls(os.path.join(folder, name) if folder else "")

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
        return [f"wrote {', '.join(self.paths)}"] if self.paths else []

    def _write(
        self,
        name: str,
        arrays: Mapping[str, Array],
        meta: Mapping[str, Any] | None = None,
    ) -> str:
        attributes = {} if meta is None else {"meta": dict(meta)}
        path = write_arrays(os.path.join(self.folder, name), arrays, attributes)
        self.paths.append(path)
        return path


def _padding(
    d: Difference, options: InputOptions, layout: str | None
) -> tuple[str | None, Mapping[str, Any]]:
    lengths, mask = options.padding()
    pairs = [array.pair for array in d.arrays.values()]
    shape = next((pair.a.shape[:2] for pair in pairs if pair.stepwise), (1, 1))
    layout = layout or next((side.layout for side in d.sides if side.layout), None)
    if layout is None and lengths is not None and lengths.size == shape[0] != shape[1]:
        layout, shape = "batch", shape[::-1]  # the first axis was assumed to be time
    axes = "steps" if mask is not None and mask.ndim == 1 else layout or "time"
    x = np.empty(shape[::-1] if axes == "batch" else shape)
    source = options.padding_from()
    inputs = Inputs(x, lengths=lengths, mask=mask, padding_from=source)
    valid = valid_steps(inputs, axes)
    return layout, {} if valid is None else {"layout": "time", "mask": valid.tolist()}


def _of_run(
    sides: Sequence[Side], layout: str | None, run: Mapping[str, Any]
) -> Sequence[Side]:
    # (B, T, I) of a run does not tell whether an array of two axes has steps or sequences
    axes = max(array.ndim for side in sides for array in side.arrays.values())
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
    meta = {} if side.settings is None else {"meta": dict(side.settings)}
    formats.write(path, formats.format_of(path), arrays, meta)
