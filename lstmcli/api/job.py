"""From a command line's paths to all that a run needs: a model, its inputs and its state.

The last path is the inputs, those before it are weights; the model itself comes from
`lstmcli.api.load`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from lstmcli import formats
from lstmcli.api.arguments import (
    INITIAL_STATES,
    INPUT_NAMES,
    STATE,
    Named,
    Path,
    Weights,
    document_of,
    each_of,
    input_names,
    inputs_of,
    is_path,
    numbers_of,
    only_one_stdin,
    read_named,
    read_state,
    refuse_gaps,
    refuse_other_types,
    refuse_unused,
    settings_in,
    state_members,
    state_of,
)
from lstmcli.api.load import Reader, load_model
from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan, prepare
from lstmcli.core.model.arrays import Array, SliceableArray
from lstmcli.core.model.model import Inputs, Model
from lstmcli.core.model.settings import read_setting
from lstmcli.core.weights.assumptions import idle_settings_of_run, without_lengths
from lstmcli.errors import STDIN, NoInputs, Try, UserError
from lstmcli.formats import Document, StepStream


class InputFiles(NamedTuple):
    """Files that come with the inputs, by path; lengths may be the numbers themselves."""

    initial_state: str | None = None
    lengths: str | None = None
    mask: str | None = None

    def words(self) -> list[str]:
        """Those that are given, as they are typed."""
        given = {name: value for name, value in self._asdict().items() if value is not None}
        return [w for name, v in given.items() for w in (f"--{name.replace('_', '-')}", v)]


NO_FILES = InputFiles()


class Job(NamedTuple):
    """All that a run needs, as read."""

    model: Model
    inputs: Inputs  # x is empty of a stream; where there are none, the name is empty too
    stream: StepStream | None = None
    reread: Reader | None = None  # the model under further settings

    def plan(self, keep: str | Iterable[str] = DEFAULT_KEEP) -> Plan:
        """The plan of a run of inputs in memory or in a file; see `prepare`."""
        return prepare(self.model, self.inputs, keep)

    @property
    def assumed(self) -> list[str]:
        """All that was assumed of the weights and the inputs, and changes numbers."""
        layout = "" if self.stream else self.plan().assumed_layout
        return [*self.model.assumed, *([layout] if layout else [])]

    def drained(self) -> Job:
        """The job with its inputs as one array; those of a stream are time first."""
        if self.stream is None:
            return self
        steps = list(self.stream)
        if not steps:
            raise UserError(f"{self.inputs.name}: no steps.")
        model, inputs = self.model, replace(self.inputs, x=np.stack(steps))
        if inputs.x.ndim == 3:
            model = replace(model, given={**model.given, "layout": "time"})
            inputs = replace(inputs, layout="time")
        return self._replace(model=model, inputs=inputs, stream=None)


def load_job(
    paths: Sequence[str],
    settings: Mapping[str, Any],
    *,
    stdin: BinaryIO | None,
    files: InputFiles,
    inputs_needed: bool = True,
) -> Job:
    """Read a model and its inputs: like ``cp``, the last path is the inputs.

    Where they are not needed and not given, they are an empty array without a name.
    """
    weights, inputs = split_paths(paths)
    only_one_stdin([*weights, *inputs], *files)
    documents = [read_named(named, stdin) for named in weights]
    if inputs_needed or inputs or any(map(input_names, documents)):
        x, name, holder = _read_inputs(weights, inputs, documents, stdin)
    else:
        x, name, holder = np.empty(0), "", None
    job = _job_of(documents, x, name, holder, settings, files, stdin)
    return _with_idle_settings(job, settings)


def _with_idle_settings(job: Job, settings: Mapping[str, Any]) -> Job:
    """The job with a remark on each setting that these inputs leave without an effect."""
    inputs, model = job.inputs, job.model
    masked = inputs.lengths is not None or inputs.mask is not None
    if "lengths" in settings and not masked and job.reread is not None:
        masked = bool(job.reread({"lengths": "given"}).lengths)  # of the file, ignored
    started = bool(inputs.initial_state) or not inputs.name  # without inputs, one is drawn
    source = " + ".join(model.sources)
    idle = idle_settings_of_run(settings, source, masked=masked, started=started)
    return job._replace(model=replace(model, remarks=(*model.remarks, *idle)))


def job_of(
    model: Model | Weights | Sequence[Weights],
    x: npt.ArrayLike | Path | None,
    settings: Mapping[str, Any],
    given: Inputs,
    initial_state: Mapping[str, npt.ArrayLike] | Path | None,
    where: str,
) -> Job:
    """A model, loaded where it is not yet one, and its inputs, as Python passes them.

    ``given`` and ``initial_state`` are what the caller gives with ``x``; what they lack, the files
    of weights may have, and without ``x`` the inputs. An empty ``initial_state`` is zero.

    Raises
    ------
    UserError
        for whatever is wrong with files, names, types or shapes; ``where`` begins messages.
    """
    refuse_other_types(str, "text", where, name=given.name)
    layout = None if given.layout is None else read_setting("layout", given.layout, where)
    lengths = None if given.lengths is None else numbers_of(given.lengths, "lengths")
    mask = None if given.mask is None else numbers_of(given.mask, "the mask")
    state = None if initial_state is None else state_of(initial_state, where)
    if isinstance(model, Model):
        array, name, _ = _python_inputs(x, given.name)
        job = Job(model, Inputs(array, name=name))
    else:
        several = each_of(model)
        documents = [document_of(one, where) for one in several]
        if x is None:
            paths = [Named(os.fspath(one)) for one in several if is_path(one)]
            job = _job_of(documents, *_inputs_within(paths, documents), settings)
        else:
            job = _job_of(documents, *_python_inputs(x, given.name), settings)
    inputs = replace(job.inputs, layout=layout or job.inputs.layout)
    if state is not None:
        inputs = replace(inputs, initial_state=state)
    if lengths is None and mask is None:
        return job._replace(inputs=inputs)
    return with_lengths(job._replace(inputs=replace(inputs, lengths=lengths, mask=mask)))


def _python_inputs(x: Any, name: str) -> tuple[Array, str, Document | None]:
    """The inputs that Python passes, what messages call them, and the file that has them."""
    if not is_path(x):
        return numbers_of(x, name), name, None
    holder = formats.read(os.fspath(x))
    refuse_gaps(holder)
    return inputs_of(holder), holder.source, holder


def _job_of(
    documents: Sequence[Document],
    x: SliceableArray | StepStream,
    name: str,
    holder: Document | None,
    settings: Mapping[str, Any],
    files: InputFiles = NO_FILES,
    stdin: BinaryIO | None = None,
) -> Job:
    """The job of documents with weights, and of inputs that ``holder`` contains."""
    if holder is not None and holder not in documents:
        settings = {**settings_in(holder), **settings}
        if holder.layout == "time" and isinstance(x, np.ndarray) and x.ndim == 3:
            settings = {"layout": "time", **settings}  # JSON lines, a table of steps

    def reread(further: Mapping[str, Any]) -> Model:
        return load_model(documents, {**settings, **further})

    model = reread({})
    state, state_from, names = _initial_state(
        files.initial_state, [*documents, *([holder] if holder else [])], stdin
    )
    if names and not names[0].startswith(STATE) and "initial_state" not in model.given:
        line = f"initial state {' and '.join(names)} of {state_from} (--set initial_state=zero)"
        model = replace(model, assumed=(*model.assumed, line))
    within = [holder.source] if holder and any(holder is one for one in documents) else []
    last = holder.source if holder and not within and holder.source != STDIN else ""
    refuse_unused(documents, model, [*within, state_from], last)
    lengths = _lengths(files.lengths, holder, stdin)
    mask = _array_with_inputs("mask", files.mask, holder, stdin)
    stream = x if isinstance(x, StepStream) else None
    array = np.empty(0) if isinstance(x, StepStream) else x
    inputs = Inputs(array, model.given.get("layout"), state, lengths, mask, name)
    return with_lengths(Job(model, inputs, stream, reread))


def with_lengths(job: Job) -> Job:
    """The job with the lengths of the model's file, where neither lengths nor a mask are given."""
    model, reread = job.model, job.reread
    if not model.lengths:
        return job
    if job.inputs.lengths is not None or job.inputs.mask is not None:
        again = None if reread is None else lambda settings: without_lengths(reread(settings))
        return job._replace(model=without_lengths(model), reread=again)
    if not job.inputs.name:
        return job
    if job.stream is None:
        job.plan()  # refuses inputs that the lengths do not fit
    return job._replace(inputs=replace(job.inputs, lengths=np.array(model.lengths)))


def split_paths(paths: Sequence[str]) -> tuple[list[Named], list[Named]]:
    """The weights, and the inputs if a separate path names them."""
    named = [Named.parse(path) for path in paths]
    inputs = [n for n in named if n.name in INPUT_NAMES]
    if len(inputs) > 1:
        raise UserError(f"inputs are named twice: {inputs[0].path} and {inputs[1].path}.")
    if not inputs and len(named) > 1 and named[-1].name is None:
        inputs = [named[-1]]
    return [n for n in named if all(n is not i for i in inputs)], inputs


def _read_inputs(
    weights: Sequence[Named],
    inputs: Sequence[Named],
    documents: Sequence[Document],
    stdin: BinaryIO | None,
) -> tuple[SliceableArray | StepStream, str, Document | None]:
    """The inputs, what messages call them, and the document that contains them."""
    if not inputs:
        return _inputs_within(weights, documents)
    with inputs[0].in_errors():
        source = formats.read_or_stream(inputs[0].path, stdin)
    if isinstance(source, StepStream):
        return source, STDIN, None
    refuse_gaps(source)
    return inputs_of(source), source.source, source


def _inputs_within(
    weights: Sequence[Named], documents: Sequence[Document]
) -> tuple[Array, str, Document]:
    for document in documents:
        if names := input_names(document):
            return inputs_of(document), f"{document.source}: {names[0]}", document
    source = " + ".join(document.source for document in documents)
    raise NoInputs(
        f"{source}: no inputs. They come last, or one file alone has a member inputs:",
        try_=[Try(call="run", weights=[n.typed for n in weights], others=["inputs.npy"])],
    )


def _initial_state(
    path: str | None, documents: Sequence[Document], stdin: BinaryIO | None
) -> tuple[dict[str, Array], str, Sequence[str]]:
    """h and c from a file, or from the documents already read; then their source and names too."""
    if path is not None:
        return read_state(formats.read(path, stdin)), "", ()
    for document in reversed(documents):
        for names in INITIAL_STATES:
            if state := state_members(document, names):
                return state, document.source, names
    return {}, "", ()


def _lengths(given: str | None, holder: Document | None, stdin: BinaryIO | None) -> Array | None:
    """Lengths as ``N,N,...``, from a file, or from the member in the file of the inputs."""
    if given is not None and re.fullmatch(r"\s*\d{1,18}(\s*,\s*\d{1,18})*\s*", given):
        return np.array([int(n) for n in given.split(",")])
    if given is not None and ("," in given or given.strip().isdecimal()):
        text = "takes whole numbers from 0 on, one for each sequence."
        raise UserError(text, about={"lengths": given[:40]})
    lengths = _array_with_inputs("lengths", given, holder, stdin)
    return None if lengths is None else np.ravel(lengths)


def _array_with_inputs(
    name: str, path: str | None, holder: Document | None, stdin: BinaryIO | None
) -> Array | None:
    """An array from a file, or from the member of that name in the file of the inputs."""
    if path is None:
        return None if holder is None else holder.arrays.get(name)
    arrays = formats.read(path, stdin).arrays
    array = next(iter(arrays.values())) if len(arrays) == 1 else arrays.get(name)
    if array is None:
        names = ", ".join(arrays) or "no array"
        text = f"the file has {names}; it needs one array, or {name}."
        raise UserError(text, about={name: path})
    return array
