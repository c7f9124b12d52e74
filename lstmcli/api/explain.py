"""From weights, inputs and EXPECTED, in files or in memory, to an explanation."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from lstmcli.api.diff import Result, side_of
from lstmcli.api.documents import only_one_stdin
from lstmcli.api.job import InputOptions, Job, read_job
from lstmcli.api.load import EDITS, checked
from lstmcli.api.same import to_compare
from lstmcli.api.values import (
    Path,
    StateLike,
    Weights,
    each_of,
    is_path,
    refuse_other_arguments,
    refuse_settings,
    type_of,
)
from lstmcli.core.diff.by_layout import with_all_steps
from lstmcli.core.diff.operand import WEIGHTS, ArrayName, Side
from lstmcli.core.explain import explain as explain_question
from lstmcli.core.explain.budget import Budget, Progress, WorkDone, quiet
from lstmcli.core.explain.causes import spelled_out
from lstmcli.core.explain.clues import PADDED_DIFFER
from lstmcli.core.explain.explanation import Explanation
from lstmcli.core.explain.locations import Location
from lstmcli.core.explain.question import Question, SharingReader
from lstmcli.core.explain.verify import Agreement
from lstmcli.core.forward.equivalence import same_weights
from lstmcli.core.forward.plan import NAMES
from lstmcli.core.model.arrays import Array, ArrayLike
from lstmcli.core.model.model import (
    MAX_LENGTHS_SHOWN,
    Model,
    from_time_major,
)
from lstmcli.core.model.shell import as_options
from lstmcli.errors import INPUTS, STDIN, CallToTry, SettingsToTry, ToTry, UserError
from lstmcli.escaping import file_argument, typed_command
from lstmcli.formats.files.limits import raised_to

__all__ = ["Explanation", "Progress", "explain"]


NEARER = 10.0  # times as near as the run as loaded: then `derive` shows that run
TRACE_FILE = "trace.npz"  # the file with an array of one layer
LENGTHS_FILE = "lengths.npy"  # of more sequences than are typed
TENSORS = {
    "kernel": ("ifgo", "unit", "column"),
    "recurrent_kernel": ("ifgo", "unit", "column"),
    "bias": ("ifgo", "unit"),
    "peephole": ("ifo", "unit"),
    "projection": ("output", "unit"),
    "projection_bias": ("output",),
    "norm_scale": ("ifgo", "unit"),
    "norm_shift": ("ifgo", "unit"),
    "state_scale": ("unit",),
    "state_shift": ("unit",),
}
"""The tensors of a cell, and the name of each axis, or its gates."""


def _short(found: Explanation) -> str:
    changes = ", ".join(
        f"{c.setting} {c.found}" + f", not {c.assumed}" * (c.edit is None)
        for c in found.changes
    )
    return f"<Explanation {found.verdict}{f': {changes}' if changes else ''}>"


setattr(Explanation, "__repr__", _short)  # noqa: B010 (mypy refuses to assign a method)


@refuse_other_arguments
def explain(
    weights: Model | Weights | Sequence[Weights],
    inputs: ArrayLike | Path | None,
    expected: Result,
    *,
    initial_state: StateLike | None = None,
    lengths: ArrayLike | Path | None = None,
    mask: ArrayLike | Path | None = None,
    thorough: bool = False,
    progress: Callable[[float, str], object] | None = None,
    **settings: Any,
) -> Explanation:
    """Find the configuration of these weights that gives the outputs of another program.

    Parameters
    ----------
    weights
        a loaded model, whose files are read again under other settings, or
        what `lstmcli.load` takes; several files in a list.
    inputs, initial_state, lengths, mask
        as ``x`` and the others of `lstmcli.run`.
    expected
        what `lstmcli.diff` takes: all outputs of the other program, or a part.
    thorough
        whether to search with ten times the budget, which may take ten times
        as long.
    progress
        is called with the share of the search that is done, from 0 to 1, and
        with what is tried.
    **settings
        what is assumed, as for `lstmcli.load`, where ``weights`` are not
        loaded yet.

    Raises
    ------
    UserError
        for whatever is wrong with files, names, shapes or settings.

    Examples
    --------
    >>> files = "demo/weights.npz", "demo/inputs.npy", "demo/numpy.txt"
    >>> found = lstmcli.explain(*files)
    >>> found
    <Explanation found: forget_bias 0.0, not 1.0>
    >>> model = lstmcli.load("demo/weights.npz", **found.settings)
    >>> lstmcli.diff(lstmcli.run(model, "demo/inputs.npy"), "demo/numpy.txt").equal
    True
    """
    options = InputOptions(initial_state, lengths, mask)
    work = WorkDone(Budget.THOROUGH if thorough else 1)
    if progress is not None and not callable(progress):
        takes = "a function of the share done and of what is tried"
        raise UserError(f"explain: progress is {type_of(progress)}; it takes {takes}.")
    asked = asked_of(weights, inputs, expected, options, settings)
    return explained(asked, work, progress or quiet)


class Request(NamedTuple):
    """A question to explain."""

    job: Job
    side: Side  # EXPECTED
    words: Sequence[str]  # of the run
    settings: Mapping[str, Any]  # as given

    def typed(self, command: str, *further: str) -> str:
        """A command on the files of the run."""
        settings = as_options({**self.settings, **self.job.undecided})
        return typed_command("lstm", command, *self.words, *further, *settings)

    @property
    def expected(self) -> str:
        """EXPECTED as a word of a command."""
        return "-" if self.side.name == STDIN else self.side.name


def asked_of(
    weights: Model | Weights | Sequence[Weights],
    inputs: ArrayLike | Path | None,
    expected: Result,
    options: InputOptions,
    settings: Mapping[str, Any],
) -> Request:
    """The files read."""
    given: Mapping[str, Any] = checked(settings, "explain")
    several: Sequence[Any] = each_of(weights)
    max_bytes = None
    if isinstance(weights, Model):
        refuse_settings(given, "explain")
        if weights.loaded_from is None:
            takes = "it takes a model that load made, or what load takes"
            raise UserError(f"explain reads weights under other settings: {takes}.")
        several, given, max_bytes = weights.loaded_from
    only_one_stdin(*several, inputs, *options, expected)
    try:
        with raised_to(max_bytes):
            job = read_job(
                several, inputs, given, options, where="explain", settle=True
            ).drained()
    except UserError as error:
        error = _with_expected(error, _typed(expected, "EXPECTED"))
        other = expected if inputs is None else inputs
        comparison = to_compare(several, other)
        if not comparison:
            raise error from None
        raise error.adding(try_=comparison) from None
    side = side_of(expected, "EXPECTED", of_run=True)
    _refuse_weights(side, several, expected)
    words = typed_run(
        ["WEIGHTS"] if isinstance(weights, Model) else several, inputs, options
    )
    if isinstance(weights, Model):
        _refuse_changed(weights, job.model)
    return Request(job, side, words, given)


def _refuse_weights(side: Side, weights: Sequence[Any], expected: Result) -> None:
    """Refuse EXPECTED with the weights of an LSTM, and no results of a run."""
    kinds = {ArrayName.of(name).kind for name in side.arrays}
    tries = to_compare(weights, expected) if kinds == {WEIGHTS} else []
    if tries:
        text = "contains the weights of an LSTM; EXPECTED is outputs of a run."
        raise UserError(f"{side.name} {text}", try_=tries)


def _with_expected(error: UserError, expected: str) -> UserError:
    """The same mistake; a run that may be tried is a question to explain."""
    tries: list[ToTry] = []
    for one in error.try_:
        if isinstance(one, CallToTry) and one.call == "run":
            others = [*one.others, expected]
            tries.append(one._replace(call="explain", others=others))
        else:
            tries.append(one)
    if tuple(tries) == error.try_:
        return error
    return type(error)(*error.lines, about=error.about, try_=tries)


def typed_run(
    several: Sequence[Any], inputs: ArrayLike | Path | None, options: InputOptions
) -> list[str]:
    """The words of a command for a run; a value that is not a file is a placeholder."""
    words = [_typed(one, "WEIGHTS") for one in several]
    words += [] if inputs is None else [_typed(inputs, INPUTS)]
    for name, value in options._asdict().items():
        if value is not None:
            otherwise = PLACEHOLDERS.get(name) or ",".join(map(str, np.ravel(value)))
            words += [f"--{name.replace('_', '-')}", _typed(value, otherwise)]
    return words


PLACEHOLDERS = {
    "initial_state": "STATE",
    "mask": "MASK",
}  # of values that are not files


def _typed(value: Any, otherwise: str) -> str:
    return file_argument(os.fspath(value)) if is_path(value) else otherwise


def _refuse_changed(model: Model, again: Model) -> None:
    conventions = [[cell.convention for _, cell in one.cells] for one in (model, again)]
    if conventions[0] == conventions[1] and same_weights(model.layers, again.layers):
        return
    raise UserError(
        f"explain: {' + '.join(again.sources) or 'the weights'} changed since the model was loaded."
        " Load it again."
    )


def explained(
    asked: Request, work: WorkDone, progress: Progress = quiet
) -> Explanation:
    """The explanation with its commands."""
    job = asked.job
    _refuse_not_finite(job)
    question = replace(question_of(job, _at_its_steps(asked.side, job)), work=work)
    explanation = explain_question(question, progress)
    settings = {**asked.settings, **job.undecided}
    now = asked._replace(side=question.side, settings=settings)
    command, further = _commands(asked, now, explanation)
    return replace(
        explanation,
        settings=_settings(explanation, settings),
        command=command,
        next=further,
        assumed=tuple(job.assumed),
        run_remarks=job.model.remarks,
    )


def _commands(
    asked: Request, now: Request, explanation: Explanation
) -> tuple[str, str]:
    """The command that gives EXPECTED, and the one to go on with; "" for none.

    ``now`` is the question with EXPECTED at its steps, and with all settings.
    """
    command = ""
    if explanation.verdict != "none":
        words, writing = _without_found_lengths(explanation, now.words)
        now = now._replace(words=words)
        command = _command(explanation, now, in_file=bool(writing))
        writing = _writing(explanation, words, now.side.name, now.settings) or writing
        if explanation.verdict != "not_finite" or writing:
            return command, writing
    other_question = _other_question(asked, explanation)
    if other_question:
        return command, other_question
    return command, _where_it_differs(now, asked.typed("run"), explanation, command)


def _without_found_lengths(
    explanation: Explanation, words: Sequence[str]
) -> tuple[list[str], str]:
    """The words of a run without a padding in whose place another is found.

    Also the command that writes the lengths found, if they are too many to be
    typed.
    """
    for change in explanation.changes:
        found = change.found
        if not isinstance(found, tuple):
            continue
        kept: list[str] = []
        for before, word in zip(["", *words[:-1]], words, strict=True):
            if not {before, word} & {"--lengths", "--mask"}:
                kept.append(word)
        if len(found) <= MAX_LENGTHS_SHOWN:
            return kept, ""
        code = f"import numpy; numpy.save({LENGTHS_FILE!r}, {[*found]})"
        return kept, typed_command("python", "-c", code)
    return list(words), ""


def _where_it_differs(
    asked: Request, as_loaded: str, explanation: Explanation, command: str
) -> str:
    """The command that shows where the run with the changes differs from EXPECTED.

    ``as_loaded`` is the command of the run as loaded, ``command`` that with the changes.
    """
    job, side, words, settings = asked
    comparison, changed = _to_be_derived(explanation)
    is_h = side.name != STDIN
    if any(change.setting == "array" for change in explanation.changes):
        is_h = False
    against = side.name if is_h and _lies_alike(job.model, explanation) else None
    if explanation.edits:
        edits = (*settings.get(EDITS, ()), *explanation.edits)
        settings = {**settings, EDITS: edits}
    spelled = spelled_out(changed, job.model.given)
    start = [*words, *as_options({**settings, **spelled})]
    several = len(job.model.cells) > 1
    further = _next(start, comparison, against, several)
    run = command if explanation.verdict == "not_finite" else ""
    if any(one.code == PADDED_DIFFER for one in explanation.remarks):
        run, further = as_loaded, ""  # at padded steps nothing is derived
    if run and is_h and not further:
        against = typed_command("lstm", "diff", "-", file_argument(side.name))
        further = f"{run} -f npy -q | {against}"
    return further


def _other_question(asked: Request, explanation: Explanation) -> str:
    """The question to ask next, on the other layout or of a larger budget; "" if neither helps."""
    facts = {one.code: one.facts for one in explanation.remarks}
    if "layout_shown" in facts:
        layout = facts["layout_shown"]["layout"]
        other = asked._replace(settings={**asked.settings, "layout": layout})
        return other.typed("explain", asked.expected)
    if "budget_ended" in facts and not facts["budget_ended"]["thorough"]:
        return f"{asked.typed('explain', asked.expected)} --thorough"
    return ""


def _writing(
    explanation: Explanation,
    words: Sequence[str],
    expected: str,
    settings: Mapping[str, Any],
) -> str:
    """The command that writes the file of an edit of many numbers; "" without one.

    What came on standard input is gone.
    """
    for file in explanation.arrays if not {"-", STDIN} & {*words, expected} else ():
        start = next(
            (n for n, word in enumerate(words) if word.startswith("--")), len(words)
        )
        *weights, x = words[:start]
        given = {
            k: [e.text for e in v] if k == EDITS else v for k, v in settings.items()
        }
        options = zip(words[start::2], words[start + 1 :: 2], strict=True)
        given |= {k.removeprefix("--").replace("-", "_"): word for k, word in options}
        texts = (
            f", {k}={json.dumps(v) if isinstance(v, str | list) else repr(v)}"
            for k, v in given.items()
        )
        words = ", ".join(
            map(json.dumps, (weights, x, expected))
        )  # no quotes of the shell's
        asked, name = f"lstmcli.explain({words}{''.join(texts)})", json.dumps(file)
        code = f"import lstmcli, numpy; numpy.savez({name}, **{asked}.arrays[{name}])"
        return typed_command("python", "-c", code)
    return ""


def question_of(job: Job, side: Side) -> Question:
    """The question which configuration of a job's weights gives a side."""
    assert job.reread is not None
    read = SharingReader(job.reread, job.model)
    return Question(read, job.inputs, side, job.undecided)


def _refuse_not_finite(job: Job) -> None:
    """Refuse weights, an initial state or inputs with NaN or infinity."""
    weights = " + ".join(job.model.sources) or "weights"
    for name, cell in job.model.cells:
        for tensor, axes in TENSORS.items():
            array = getattr(cell, tensor)
            if array is not None:
                what = f"{weights}: the {tensor.replace('_', ' ')} of {name}"
                _refuse_values(what, array, axes)
    for name, state in job.inputs.initial_state.items():
        _refuse_values(f"the initial {name}", np.asarray(state))
    try:
        _refuse_values(job.inputs.name, _valid_inputs(job))
    except UserError as error:
        raise error.adding(
            "  If these are padding, exclude them:",
            try_=[SettingsToTry({"lengths": ...}), SettingsToTry({"mask": ...})],
        ) from None


def _valid_inputs(job: Job) -> Array:
    """The inputs of a job, those of steps that are not valid as 0."""
    x = np.asarray(job.inputs.x)
    if np.isfinite(x).all():
        return x
    plan = job.plan()
    if plan.valid is None:
        return x
    valid = from_time_major(plan.valid[..., None], plan.layout)
    return np.where(valid, x, 0)


def _refuse_values(name: str, array: Array, axes: Sequence[str] = ()) -> None:
    """Refuse an array with NaN or infinity; without ``axes`` the first is named by its index."""
    is_wrong = ~np.isfinite(array)
    count = np.count_nonzero(is_wrong)
    if not count:
        return
    indices = np.argwhere(is_wrong)[0].tolist()
    parts: list[str] = []
    for axis, n in zip(axes, indices, strict=False):
        if axis in ("ifgo", "ifo"):
            parts.append(f"gate {axis[n]}")
        else:
            parts.append(f"{axis} {n}")
    first = ", ".join(parts) or indices
    raise UserError(
        f"{name} has NaN or infinite values, {count:,} in all and the first at {first}; "
        "explain compares runs of finite numbers."
    )


def _at_its_steps(side: Side, job: Job) -> Side:
    """EXPECTED at its steps of the run; a part of the batch or of the units is refused."""
    if selected := side.part.settings:
        raise UserError(
            f"{side.name} contains {side.part.description} of a run; explain needs all batch "
            "items and units. Save the run without selecting these, or compare it with a run:",
            try_=[CallToTry("diff", [side.name], ["RUN"], selected)],
        )
    if side.part.from_the_start:
        return side
    plan = job.plan(NAMES)
    return with_all_steps(side, plan.shapes, plan.layout)


def _to_be_derived(
    explanation: Explanation,
) -> tuple[Agreement | None, Mapping[str, Any]]:
    """The run as loaded, or one that is found or much nearer, and what it changes."""
    loaded = explanation.measured
    if explanation.verdict == "not_finite":
        found = {k: v for one in explanation.changes for k, v in one.settings.items()}
        return explanation.compared.not_finite, {
            k: v for k, v in found.items() if k != "array"
        }
    for near in explanation.nearest[:1]:
        changed = {k: v for c in near.changes for k, v in c.settings.items()}
        shown = any(name.rpartition(".")[2] in ("array", "merge") for name in changed)
        if (
            loaded
            and changed
            and not shown
            and near.comparison.rms * NEARER < loaded.rms
        ):
            return near.comparison, changed
    return loaded, {}


def _lies_alike(model: Model, explanation: Explanation) -> bool:
    """Return whether `derive` takes EXPECTED for the same steps and sequences."""
    location = explanation.compared.location
    if location is None or not location.is_from_the_start:
        return False
    at, one = location.first, location.arrays[0]
    if location.state:
        return len(model.cells) == 1 and not model.backward
    is_named = one.arrays == (one.name,) or len(one.arrays) == len(model.layers[-1]) > 1
    return is_named and at.order == "C" and not at.exchanged and at.units.is_all


def _next(
    start: Sequence[str],
    comparison: Agreement | None,
    against: str | None,
    several: bool,
) -> str:
    """The command that shows, term by term, where a run leaves EXPECTED.

    ``start`` are the files and settings of the run; ``against`` is EXPECTED if
    `derive` takes it so. Of ``several`` merged cells, none is known to be the
    wrong one.
    """
    first = comparison and comparison.first
    prefix = ArrayName.of(first.array).prefix if first else ""
    if not first or (several and not prefix):
        return ""
    step = -1 if first.step is None else first.step
    place = ["--steps", str(step), "--units", str(first.unit)]
    place += ["--batch", str(first.item)] if first.item else []
    place += ["--cell", prefix] if prefix else []
    place += [] if against is None else ["--against", against]
    return typed_command("lstm", "derive", *start, *place)


def _settings(explanation: Explanation, given: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: given[name] for name in ("layer", "dtype") if name in given}
    settings = {**explanation.settings, **kept}
    if _is_rounded_in_part(explanation):
        settings.pop("dtype", None)
    return settings | _wider_dtype(explanation)


def _is_rounded_in_part(explanation: Explanation) -> bool:
    """Return whether weights or inputs alone are rounded, as no dtype of a run does."""
    facts = {one.code: one.facts for one in explanation.remarks}
    return bool(facts.get("dtype_rounds_otherwise", {}).get("part"))


def _wider_dtype(explanation: Explanation) -> dict[str, Any]:
    is_needed = any(one.code == "needs_float64" for one in explanation.remarks)
    return {"dtype": "float64"} if is_needed else {}


def _command(explanation: Explanation, asked: Request, in_file: bool) -> str:
    """The run that gives EXPECTED; ``in_file``: the lengths found are too many to be typed."""
    settings = asked.settings
    if _is_rounded_in_part(explanation):
        return ""
    changed = {k: v for c in explanation.changes for k, v in c.settings.items()}
    changed |= _wider_dtype(explanation)
    if explanation.edits:
        changed[EDITS] = (*settings.get(EDITS, ()), *explanation.edits)
    if in_file:
        changed["lengths"] = LENGTHS_FILE
    shown = changed.pop("array", None)
    given = asked.job.model.given
    options = as_options({**settings, **spelled_out(changed, given)})
    options += _selection(explanation.compared.location)
    if shown is not None:
        options += ["--only", shown]
        if "." in shown:
            options += ["-o", TRACE_FILE]
    return typed_command("lstm", "run", *asked.words, *options)


def _selection(location: Location | None) -> list[str]:
    """The options that select the part of a run that EXPECTED is."""
    if location is None or location.state or location.ends:
        return []
    at, options = location.first, list[str]()
    parts = {"--steps": at.steps, "--batch": at.sequences}
    if at.run.directions == 1:
        parts["--units"] = at.units
    for option, part in parts.items():
        if part.size == 1 < part.of:
            options += [option, str(part.first)]
        elif not part.is_all:
            first, stop, stride = part.indices.indices(part.of)
            options += [option, f"{first}:{stop}" + f":{stride}" * (stride > 1)]
    return options
