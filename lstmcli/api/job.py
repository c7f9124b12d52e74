"""From weights and inputs, as paths or values, to a model, its inputs and its state."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli.api.documents import (
    INITIAL_STATES,
    INPUT_NAMES,
    STATE,
    Named,
    document_of,
    input_names,
    inputs_of,
    only_one_stdin,
    refuse_gaps,
    refuse_unused,
    settings_in,
    state_members,
    state_of,
)
from lstmcli.api.load import EDITS, Reader, load_model
from lstmcli.api.values import (
    Path,
    StateLike,
    Weights,
    each_of,
    is_path,
    numbers_of,
    refuse_other_types,
    refuse_settings,
)
from lstmcli.core.forward.front import with_front
from lstmcli.core.forward.plan import DEFAULT_KEEP, Plan, check_axes, kept_names
from lstmcli.core.forward.prepare import prepare
from lstmcli.core.model.arrays import Array, ArrayLike, SliceableArray
from lstmcli.core.model.edit import Edit, edits_in, refuse_edits
from lstmcli.core.model.model import Inputs, Model
from lstmcli.core.model.settings import Assumption
from lstmcli.core.weights.assumptions import without_padding
from lstmcli.core.weights.idle import idle_settings_of_run
from lstmcli.errors import INPUTS, STDIN, CallToTry, NoInputs, Undecided, UserError
from lstmcli.formats import Document

if TYPE_CHECKING:
    from lstmcli.formats.text.line_stream import StepStream


class InputOptions(NamedTuple):
    """State, lengths and mask of inputs, as values or files; lengths may be ``"3,2"``."""

    initial_state: StateLike | None = None
    lengths: ArrayLike | Path | None = None
    mask: ArrayLike | Path | None = None

    @classmethod
    def split(cls, given: Mapping[str, Any]) -> tuple[InputOptions, dict[str, Any]]:
        """The options among keywords, and the others, which are settings."""
        settings = dict(given)
        return cls(*(settings.pop(name, None) for name in cls._fields)), settings

    def padding(
        self, holder: Document | None = None
    ) -> tuple[Array | None, Array | None]:
        """The given lengths and mask; if neither is, those in the file of the inputs."""
        if self.lengths is not None or self.mask is not None:
            holder = None
        mask = None
        if not self.all_steps:
            mask = _with_inputs("mask", self.mask, holder)
        return _lengths(self.lengths, holder), mask

    def padding_from(self, holder: Document | None = None) -> str:
        """The file of the lengths or the mask; "" if they are values, or not given."""
        given = self.lengths
        if given is None:
            given = self.mask
        if given is None and holder is not None:
            return holder.source
        if given is None:
            return ""
        if not is_path(given) or _are_typed_lengths(given):
            return ""
        return os.fspath(given)

    @property
    def all_steps(self) -> bool:
        """Return whether all steps are to run."""
        return isinstance(self.mask, str) and self.mask == NO_MASK

    def refuse_idle(self, model: Model, holder: Document | None) -> None:
        """Refuse a run of all steps if lengths are given, or nothing leaves out any."""
        if not self.all_steps:
            return
        in_file = holder is not None and {"lengths", "mask"} & {*holder.arrays}
        if self.lengths is not None:
            text = "it runs all steps, and lengths are given; leave one of them out."
        elif in_file or model.lengths or model.masks:
            return
        else:
            text = "it changes nothing: there are no lengths and no mask; leave it out."
        raise UserError(text, about={"mask": NO_MASK})


OF_RUN = ("layout", EDITS)  # that can be given next to a loaded model
_NO_TENSORS = (
    "a loaded model has no stored tensors, which this edit changes; give it to load()."
)
NO_MASK = "none"  # runs all steps; a file of that name is ./none


@dataclass(frozen=True, eq=False)
class ModelReader:
    """Reads the model of some files, once more with each further settings."""

    documents: Sequence[Document]
    settings: Mapping[str, Any]
    undecided: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the weights leave open, as assumed."""
    is_without_padding: bool = False
    """Lengths or a mask are given, in place of those of the model."""

    def __call__(self, further: Mapping[str, Any]) -> Model:
        """The model under further settings."""
        settings = {**self.settings, **self.undecided, **further}
        model = load_model(self.documents, settings)
        if self.is_without_padding:
            return without_padding(model)
        return model


@dataclass(frozen=True, eq=False)
class Job:
    """All that a run needs, as read."""

    model: Model
    inputs: Inputs  # of a stream x is empty; without inputs the name is
    stream: StepStream | None = None
    reread: Reader | None = None  # the model under further settings
    undecided: Mapping[str, Any] = field(default_factory=dict)
    """Settings that the weights leave open, as assumed."""

    def plan(self, keep: str | Iterable[str] = DEFAULT_KEEP) -> Plan:
        """The plan of a run of inputs that are not a stream."""
        names = kept_names(keep, self.model)
        return replace(self._prepared, keep=names)

    @cached_property
    def _prepared(self) -> Plan:
        return prepare(self.model, self.inputs)

    @property
    def assumed(self) -> list[str]:
        """Assumptions that affect the results."""
        if self.stream:
            return list(self.model.assumed)
        return self.plan().assumed

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The sequences, steps (0: of a stream, not known) and cells of the run."""
        cells = len(self.model.cells)
        if self.stream:
            return 1, 0, cells
        plan = self.plan()
        return plan.batch, plan.steps, cells

    def drained(self) -> Job:
        """The job with all inputs in one array; those of a stream are time-major."""
        if self.stream is None:
            return self
        steps = list(self.stream)
        if not steps:
            raise UserError(f"{self.inputs.name}: no steps.")
        inputs = replace(self.inputs, x=np.stack(steps))
        job = _with_front(replace(self, inputs=inputs, stream=None), of_steps=True)
        if job.inputs.x.ndim == 3:
            given = {**self.model.given, "layout": "time"}
            model = replace(self.model, given=given)
            job = replace(job, model=model, inputs=replace(job.inputs, layout="time"))
        return with_padding(job)


def split_paths(paths: Sequence[str]) -> tuple[list[str], str | None]:
    """The weights, and the inputs if a path names them: like ``cp``, the last."""
    named = [Named.parse(path) for path in paths]
    inputs = [n for n, one in enumerate(named) if one.name in INPUT_NAMES]
    if len(inputs) > 1:
        first, second = (named[n].path for n in inputs[:2])
        raise UserError(f"inputs are named twice: {first} and {second}.")
    if not inputs and len(named) > 1 and named[-1].name is None:
        inputs = [len(named) - 1]
    weights = [path for n, path in enumerate(paths) if n not in inputs]
    if not inputs:
        return weights, None
    return weights, paths[inputs[0]]


def read_job(
    weights: Model | Weights | Document | Sequence[Weights | Document],
    x: ArrayLike | Path | None,
    settings: Mapping[str, Any],
    options: InputOptions,
    *,
    where: str,
    name: str = "the input array",
    inputs_needed: bool = True,
    settle: bool = False,
) -> Job:
    """A model, loaded if it is not yet one, and its inputs, from paths or values.

    Without ``x`` the inputs are those in the files of the weights; where there
    are none and none are needed, x is empty and without a name. Of a loaded
    model only the layout can be set. The file of the inputs, or of the
    weights, may have what ``options`` lack. Messages begin with ``where``, and
    call an array of inputs ``name``. ``settle``: take the first value of a
    setting that the weights leave open.
    """
    refuse_other_types(str, "text", where, name=name)
    files: list[Any] = []
    if isinstance(weights, Model):
        refuse_settings({k: v for k, v in settings.items() if k not in OF_RUN}, where)
    else:
        files.extend(each_of(weights))
    only_one_stdin(*files, x, *options)
    documents = [document_of(one, where) for one in files]
    given = _inputs(x, name, files, documents, needed=inputs_needed)
    settings = {**given.settings, **settings}
    reader: ModelReader | None = None
    if isinstance(weights, Model):
        model = _with_edits(weights, settings.get(EDITS, ()))
    else:
        reader, model = _read(documents, settings, settle)
    padding = _padding(options, given.holder, model)
    if padding is not None:
        model = without_padding(model)
        if reader is not None:
            reader = replace(reader, is_without_padding=True)
    state, model, state_from = _started(model, options, documents, given.holder, where)
    if documents:
        refuse_unused(documents, model, [*given.within, state_from], given.last)
    layout = settings.get("layout", model.given.get("layout"))
    inputs = Inputs(given.array, layout, state, name=given.name)
    if padding is not None:
        inputs = replace(inputs, **padding)
    job = Job(model, inputs, given.stream)
    are_lines = given.are_lines and "layout" not in settings
    job = _with_front(job, of_steps=given.is_by_step, of_lines=are_lines)
    job = with_padding(job)
    if reader is None:
        return job
    job = replace(job, reread=reader, undecided=reader.undecided)
    return _with_idle_settings(job, settings)


def _padding(
    options: InputOptions, holder: Document | None, model: Model
) -> dict[str, Any] | None:
    """The lengths or the mask that are given, with their file; None: those of the model hold."""
    options.refuse_idle(model, holder)
    lengths, mask = options.padding(holder)
    if lengths is None and mask is None:
        if options.all_steps:
            return {}
        return None
    source = options.padding_from(holder)
    return {"lengths": lengths, "mask": mask, "padding_from": source}


def _with_edits(model: Model, edits: Sequence[Edit]) -> Model:
    """A loaded model with further edits, none of them of stored tensors."""
    refuse_edits(edits_in("tensors", edits), _NO_TENSORS)
    return replace(model, edits=(*model.edits, *edits))


def _started(
    model: Model,
    options: InputOptions,
    documents: Sequence[Document],
    holder: Document | None,
    where: str,
) -> tuple[dict[str, Array], Model, str]:
    """The initial state, the model with a line on one that a file has, and that file."""
    holders = list(documents)
    if holder is not None:
        holders.append(holder)
    state, source, names = _initial_state(options.initial_state, holders, where)
    if names and not names[0].startswith(STATE) and "initial_state" not in model.given:
        what = f"initial state {' and '.join(names)} of {source}"
        line = Assumption(what, option="--set initial_state=zero")
        model = replace(model, assumed=(*model.assumed, line))
    return state, model, source


def _with_front(job: Job, *, of_steps: bool, of_lines: bool = False) -> Job:
    """The job with inputs that the model's front makes of indices, if they are that.

    ``of_steps``: the format of the inputs has a step a row; ``of_lines``: it is
    lines of JSON, and no layout is given, so that a line is a step of all sequences.
    """
    front, inputs = job.model.front, job.inputs
    if front is None or job.stream is not None or not inputs.name:
        return job
    x = inputs.x
    if of_steps and x.ndim == 2 and x.shape[1] == 1 < front.table.shape[1]:
        inputs = replace(inputs, x=x[:, 0])  # a column of a text
    inputs = with_front(inputs, front)
    indices = inputs.indices
    if of_lines and indices is not None and indices.ndim == 2:
        inputs = replace(inputs, layout="time")
    return replace(job, inputs=inputs)


def _with_idle_settings(job: Job, settings: Mapping[str, Any]) -> Job:
    inputs, model = job.inputs, job.model
    masked = inputs.is_padded or settings.get("lengths") == "ignored"
    # without inputs, a state is drawn
    started = bool(inputs.initial_state) or not inputs.name
    source = " + ".join(model.sources)
    idle = idle_settings_of_run(settings, source, masked=masked, started=started)
    return replace(job, model=replace(model, remarks=(*model.remarks, *idle)))


def _read(
    documents: Sequence[Document], settings: Mapping[str, Any], settle: bool
) -> tuple[ModelReader, Model]:
    """The reader of a model, and the model; with ``settle``, what it leaves open is assumed."""
    reader = ModelReader(documents, settings)
    while True:
        try:
            return reader, reader({})
        except Undecided as error:
            if not settle:
                raise
            undecided = {**reader.undecided, **error.try_[0].settings}
            reader = replace(reader, undecided=undecided)


def with_padding(job: Job) -> Job:
    """The job with the lengths or the mask of its model, if it has any."""
    model, inputs = job.model, job.inputs
    if model.lengths and inputs.name:
        return replace(job, inputs=replace(inputs, lengths=np.array(model.lengths)))
    if not inputs.name or job.stream is not None:
        return job
    if inputs.indices is not None:
        return _with_mask_of_front(job, inputs.indices)
    if model.masking is None:
        return job
    check_axes(model, inputs)
    mask = _unless_all(model.masking.mask(inputs.x))
    return replace(job, inputs=replace(inputs, mask=mask, mask_from=model.masking))


def _unless_all(mask: Array) -> Array | None:
    """A mask; None where all steps are valid."""
    if mask.all():
        return None
    return mask


def _with_mask_of_front(job: Job, indices: Array) -> Job:
    """The job without the steps of index 0, where the front masks them."""
    model, front = job.model, job.model.front
    masking = next((one for one in model.masks if one.kind == "Embedding"), None)
    if front is None or not front.masks_zero or masking is None:
        return job
    mask = _unless_all(indices != 0)
    inputs = replace(job.inputs, mask=mask, mask_from=masking)
    return replace(job, model=without_padding(model), inputs=inputs)


class _Given(NamedTuple):
    """The inputs of a run, as found."""

    array: SliceableArray  # empty of a stream, and without inputs
    name: str = ""  # in messages; "": there are none
    holder: Document | None = None  # the file, of a value or a stream None
    stream: StepStream | None = None
    is_separate: bool = False  # a file without weights

    @property
    def settings(self) -> dict[str, Any]:
        """The settings in a separate file."""
        if self.holder is None or not self.is_separate:
            return {}
        settings = settings_in(self.holder)
        is_array = isinstance(self.array, np.ndarray) and self.array.ndim == 3
        if self.holder.layout == "time" and is_array:
            return {"layout": "time", **settings}  # JSON lines, a table of steps
        return settings

    @property
    def is_by_step(self) -> bool:
        """Return whether the format of the file has a step a row."""
        return self.holder is not None and self.holder.layout == "steps"

    @property
    def are_lines(self) -> bool:
        """Return whether the file has lines of JSON, a step each."""
        return self.holder is not None and self.holder.format == "jsonl"

    @property
    def within(self) -> list[str]:
        """The file of weights that has the inputs, if one has."""
        if self.holder is None or self.is_separate:
            return []
        return [self.holder.source]

    @property
    def last(self) -> str:
        """The separate file, which is named last; "" without one."""
        if self.holder is None or not self.is_separate or self.holder.source == STDIN:
            return ""
        return self.holder.source


def _inputs(
    x: Any,
    name: str,
    weights: Sequence[Any],
    documents: Sequence[Document],
    *,
    needed: bool,
) -> _Given:
    if x is None:
        return _inputs_within(weights, documents, needed=needed)
    if not is_path(x):
        return _Given(numbers_of(x, name), name)
    named = Named.parse(os.fspath(x))
    with named.in_errors():
        source = formats.read_or_stream(named.path)
    if not isinstance(source, Document):
        return _Given(np.empty(0), STDIN, stream=source)
    refuse_gaps(source)
    array = inputs_of(source, documents)
    is_separate = all(source is not document for document in documents)
    return _Given(array, source.source, source, is_separate=is_separate)


def _inputs_within(
    weights: Sequence[Any], documents: Sequence[Document], *, needed: bool
) -> _Given:
    for document in documents:
        names = input_names(document)
        if names:
            name = f"{document.source}: {names[0]}"
            return _Given(inputs_of(document), name, document)
    if not needed:
        return _Given(np.empty(0))
    source = " + ".join(document.source for document in documents)
    files = [one.source if isinstance(one, Document) else one for one in weights]
    typed = [Named.parse(os.fspath(one)).typed for one in files if is_path(one)]
    tries = []
    if typed:
        tries.append(CallToTry("run", weights=typed, others=[INPUTS]))
    raise NoInputs(
        f"{source}: no inputs given. Add their file as the last argument, or store them as inputs "
        "in the file of the weights:",
        try_=tries,
    )


def _initial_state(
    given: StateLike | None, documents: Sequence[Document], where: str
) -> tuple[dict[str, Array], str, Sequence[str]]:
    if given is not None:
        return state_of(given, where), "", ()
    for document in reversed(documents):
        for names in INITIAL_STATES:
            state = state_members(document, names)
            if state:
                return state, document.source, names
    return {}, "", ()


def _are_typed_lengths(given: Path) -> bool:
    text = r"\s*\d{1,18}(\s*,\s*\d{1,18})*\s*"
    return isinstance(given, str) and bool(re.fullmatch(text, given))


def _lengths(given: ArrayLike | Path | None, holder: Document | None) -> Array | None:
    if isinstance(given, str) and _are_typed_lengths(given):
        return np.array([int(n) for n in given.split(",")])
    if isinstance(given, str) and ("," in given or given.strip().isdecimal()):
        text = "takes integers from 0 on, one for each sequence."
        raise UserError(text, about={"lengths": given[:40]})
    lengths = _with_inputs("lengths", given, holder)
    if lengths is None:
        return None
    if given is None or is_path(given):  # of a file, where they may have two axes
        return np.ravel(lengths)
    return lengths


def _with_inputs(
    name: str, given: ArrayLike | Path | None, holder: Document | None
) -> Array | None:
    if given is None:
        if holder is None:
            return None
        return holder.arrays.get(name)
    if not is_path(given):
        what = name
        if name == "mask":
            what = "the mask"
        return numbers_of(given, what)
    arrays = formats.read(os.fspath(given)).arrays
    array = arrays.get(name)
    if len(arrays) == 1:
        (array,) = arrays.values()
    if array is None:
        names = ", ".join(arrays) or "no array"
        text = f"the file has {names}; it needs one array, or {name}."
        raise UserError(text, about={name: os.fspath(given)})
    return array
