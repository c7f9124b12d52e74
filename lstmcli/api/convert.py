"""From one framework's weights to another's: read, encode, prove, write.

The tensors are read back, and run against the source, before they are written.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from lstmcli import formats
from lstmcli._version import __version__
from lstmcli.api import load
from lstmcli.api.documents import (
    INITIAL_STATES,
    Named,
    only_one_stdin,
    read_named,
    refuse_unused,
)
from lstmcli.core.forward.equivalence import (
    Proof,
    compared_runs,
    largest_difference,
    same_weights,
)
from lstmcli.core.model.arrays import Array
from lstmcli.core.model.conventions import CONVENTIONS, Convention, find_convention
from lstmcli.core.model.model import Cell, Model, format_lengths
from lstmcli.core.model.shell import as_options
from lstmcli.core.weights.build_cells import BFLOAT16
from lstmcli.core.weights.choose_lstm import layer_options
from lstmcli.core.weights.compatibility import (
    fit_or_refuse,
    needed_settings,
)
from lstmcli.core.weights.directions import layers_of_stacks
from lstmcli.core.weights.encode import fold_forget_bias, named_tensors
from lstmcli.core.weights.idle import idle_settings_of_run
from lstmcli.core.weights.recipe import Change, recipe
from lstmcli.core.weights.recognise import recognise
from lstmcli.core.weights.surroundings import lstm_alone
from lstmcli.engines.export import graph_of, rtneural_document, serialised
from lstmcli.errors import SettingsToTry, UserError
from lstmcli.escaping import typed_command, with_article
from lstmcli.formats import Document
from lstmcli.formats.files.atomic import refuse_overwriting

Layers = Sequence[Sequence[Cell]]


class Rounding(NamedTuple):
    """The effect of --dtype on the weights."""

    dtype: str  # of the source
    to: str
    max_abs: float


class Target(NamedTuple):
    """A kind of file that can be written."""

    format: str
    convention: str | None = None  # of the files of this kind, if they have one
    settings: bool = True  # whether the file can have settings


TARGETS = {
    ".npz": Target("npz"),
    ".json": Target("json"),
    ".safetensors": Target("safetensors", settings=False),
    ".onnx": Target("onnx", "onnx"),
}
COMMON = ("keras", "pytorch", "pytorch-cell", "tf1", "onnx", "flax", "rtneural")
RTNEURAL = Target("rtneural", "rtneural")  # a .json too


@dataclass(frozen=True, eq=False, repr=False)
class Conversion:
    """A network in the tensors of another convention."""

    source: str
    target: str
    model: Model
    layers: Layers  # as in the target
    file: Target
    arrays: Mapping[str, Array]
    settings: Mapping[str, Any]  # that a reader needs with the tensors
    steps: tuple[Change, ...]
    proof: Proof
    rounding: Rounding | None = None  # of the weights

    @property
    def convention(self) -> Convention:
        """The target's convention, with its settings."""
        return self.layers[0][0].convention

    @property
    def settings_of_target(self) -> dict[str, Any]:
        """The convention of the target, its forget bias, and its other settings."""
        to = self.convention
        return {
            "convention": to.name,
            "forget_bias": to.behaviour.forget_bias,
        } | to.settings()

    @property
    def use(self) -> Iterator[str]:
        """How the file is used, elsewhere and here, in lines."""
        model, is_onnx = self.model, self.file.format == "onnx"
        batched = model.convention.behaviour.layout == "batch"
        if is_onnx:
            transposed = (
                ": transpose inputs (B, T, I), as the source takes them" * batched
            )
            yield f"X is (T, B, {model.cell.inputs}), time first{transposed}"
            more = "; so may sequence_lens" * bool(model.lengths)
            warned = "(onnxruntime warns that they have defaults)"
            yield f"initial_h and initial_c may be left out {warned}{more}"
        elif self.convention.name == "keras":
            one = "each layer" if len(self.layers) > 1 else "the layer"
            both = "; Bidirectional takes the forward three, then the backward three"
            call = "layer.set_weights([kernel, recurrent_kernel, bias])"
            yield f"in Keras, build {one}, then {call}{both * model.bidirectional}"
        if "layout" in model.given or batched:
            return  # an assumed layout takes inputs (1, T, I) for one sequence
        one = "for inputs (1, T, I): to the source they are one sequence"
        if self.layout_option:
            yield f"leave out --layout time {one}"
        elif is_onnx:
            yield f"add --layout batch {one}"

    @property
    def options(self) -> str:
        """The options that `lstm run` needs with the file."""
        if self.file is RTNEURAL and len(self.layers) > 1:
            return f"--layer {','.join(map(str, range(len(self.layers))))}"
        return "" if self.file.settings else typed_command(*as_options(self.settings))

    @property
    def all_options(self) -> str:
        """These, and the layout that the source's inputs need."""
        return " ".join(filter(None, (self.options, self.layout_option)))

    @property
    def layout_option(self) -> str:
        """``--layout batch`` if the target would read the source's inputs otherwise."""
        given = self.model.given.get("layout")
        source = given or self.model.convention.behaviour.layout
        target = find_convention(self.convention.name).behaviour.layout
        # only an assumed layout takes (1, T, I) for one sequence
        one_of_many = given == "time" and self.file.format != "onnx"
        return f"--layout {source}" if source != target or one_of_many else ""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Remarks on the file that is written."""
        lines = []
        if self.options and not self.file.settings:
            lines.append(f"{self.target} has only tensors; run it with {self.options}")
        if self.file.format == "onnx" and self.model.cell.dtype != np.float32:
            name = self.model.cell.dtype.name
            lines.append(
                f"{self.target} is {name}; onnxruntime's LSTM takes only float32 "
                "(--dtype float32 rounds to it)."
            )
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Both sides, the tensors, the recipe and the proof."""
        return {
            "source": self.source,
            "target": self.target,
            "from": self.model.settings(),
            "to": self.settings_of_target,
            "assumed": list(self.model.assumed),
            "dtype": self.model.cell.dtype.name,
            "tensors": {name: list(array.shape) for name, array in self.arrays.items()},
            "settings": dict(self.settings),
            "options": self.all_options,
            "use": list(self.use),
            "recipe": [{"what": step.what, "text": step.text} for step in self.steps],
            "proof": self.proof._asdict(),
            "rounding": self.rounding and self.rounding._asdict(),
        }


def convert(
    paths: Sequence[str],
    target: str,
    to: str | None,
    settings: Mapping[str, Any],
    asked: Mapping[str, Any] | None = None,
) -> Conversion:
    """Write the LSTM in some files to another, in the convention ``to``.

    Some kinds of file have one convention, and need no ``to``. ``settings``
    are those of the source, as for a run; ``asked`` are those of the target.
    """
    named = [Named.parse(path) for path in paths]
    refuse_overwriting([target], [one.path for one in named])
    row = find_convention(implied(target) if to is None else to)
    file = target_of(target, row)
    only_one_stdin(*paths)
    documents = [read_named(one) for one in named]
    model = _source_model(documents, settings, target)
    refuse_unused(documents, model)
    _refuse_unstorable(model, file, row, target, asked)
    source = " + ".join(document.source for document in documents)
    convention = fit_or_refuse(model.layers, row, asked or {}, source, model.labels)
    layers = _folded(model, convention)
    arrays = named_tensors(layers)
    stored = _stored_settings(arrays, convention, row, model, file)
    conversion = Conversion(
        source=source,
        target=target,
        model=model,
        layers=layers,
        file=file,
        arrays=arrays,
        settings=stored,
        steps=tuple(recipe(model.layers, convention)),
        proof=_proof(model, layers, arrays, stored, target),
        rounding=_rounding(model, documents, settings),
    )
    _write(conversion)
    return conversion


def _folded(model: Model, convention: Convention) -> list[tuple[Cell, ...]]:
    """The layers under a convention: its forget bias, the difference added to the bias."""
    layers: list[tuple[Cell, ...]] = []
    for layer in model.layers:
        layers.append(tuple(fold_forget_bias(cell, convention) for cell in layer))
    return layers


def _refuse_unstorable(
    model: Model,
    file: Target,
    row: Convention,
    target: str,
    asked: Mapping[str, Any] | None,
) -> None:
    """Refuse what the kind of file of a target cannot store."""
    is_wide = model.cell.dtype.itemsize > np.dtype(np.float64).itemsize
    if is_wide and file.format != "npz":
        raise UserError(
            f"{target}: longdouble needs an .npz file.", try_={"dtype": "float64"}
        )
    if asked and file.convention:
        raise UserError(
            f"{target}: {with_article(file.format)} model has one form.",
            try_={"to_set": None},
        )
    if model.lengths and file.format != "onnx":
        raise UserError(
            f"{target}: a {file.format} file of {row.name} cannot store the lengths "
            f"{format_lengths(model.lengths)} of its source (sequence_lens); nothing was written.",
            try_=[SettingsToTry({"lengths": "ignored"}, "leaves them out")],
        )


def _stored_settings(
    arrays: Mapping[str, Array],
    convention: Convention,
    row: Convention,
    model: Model,
    file: Target,
) -> dict[str, Any]:
    """The settings that the file stores with the tensors."""
    stored = _settings(arrays, convention, row)
    has_one_dtype = file.format == "json"  # JSON has one kind of number
    if has_one_dtype and model.cell.dtype != np.float64:
        stored["dtype"] = model.cell.dtype.name
    if not file.settings or file.convention:
        return stored
    of_config = {  # the settings of the source's config too
        name: convention.setting(name) for name in row.config(model.bidirectional)
    }
    return of_config | stored


def _source_model(
    documents: Sequence[Document], settings: Mapping[str, Any], target: str
) -> Model:
    model = load.load_model(documents, settings)
    remarks = [*model.remarks]
    if model.convention.behaviour.arithmetic != "float":
        model = load.load_model(documents, {**settings, "arithmetic": "float"})
        text = (
            f"{target} stores numbers in float, so its runs round neither inputs nor h."
        )
        remarks = [*model.remarks, text]
    states = [
        f"the initial state {' and '.join(names)} of {one.source} is not written to {target}; "
        f"lstm run takes it by {typed_command('--initial-state', one.source)}."
        for one in documents
        for names in INITIAL_STATES
        if {*names} <= {*one.arrays}
    ]
    masked = bool(model.lengths or model.masking or "lengths" in settings)
    source = " + ".join(document.source for document in documents)
    idle = idle_settings_of_run(settings, source, masked=masked, started=bool(states))
    mask = [f"the mask from {model.masking} is not written to {target}."] * bool(
        model.masking
    )
    model = replace(model, remarks=(*remarks, *states, *mask, *idle))
    return lstm_alone(model, f"{target} has the LSTM alone")


def implied(path: str) -> str:
    """The convention that a suffix implies: ``onnx`` of an .onnx file."""
    target = TARGETS.get(os.path.splitext(path)[1].lower())
    if target is None or target.convention is None:
        raise UserError(
            f"missing; {path} can have the convention {', '.join(COMMON)}, ...",
            f"  lstm conventions lists all {len(CONVENTIONS)}.",
            about={"to": ...},
        )
    return target.convention


def target_of(path: str, row: Convention) -> Target:
    """The kind of file of a suffix and a convention."""
    suffix = formats.suffix_of(path, TARGETS)
    if suffix == ".json" and row.name == RTNEURAL.convention:
        return RTNEURAL
    target = TARGETS[suffix]
    if target.convention not in (None, row.name):
        text = f"{path}: a {suffix} file is in the convention {target.convention}."
        raise UserError(text, try_={"to": target.convention})
    return target


def _settings(
    arrays: Mapping[str, Array], convention: Convention, row: Convention
) -> dict[str, Any]:
    settings = needed_settings(convention, row)
    shapes = {name: array.shape for name, array in arrays.items()}
    found = recognise(shapes)
    if any(one.rivals or one.convention.name != row.name for one in found) or not found:
        settings = {"convention": row.name} | settings
        found = recognise(shapes, row.name)
    if len(found) > 1 and not layers_of_stacks(found):
        settings["layer"] = ",".join(
            layer_options(found)
        )  # names: a file may sort its tensors
    return settings


def _proof(
    model: Model,
    layers: Layers,
    arrays: dict[str, Array],
    settings: Mapping[str, Any],
    target: str,
) -> Proof:
    again = load.load_model([Document(target, "npz", arrays, dict(settings))], {})
    name = layers[0][0].convention.name
    if again.convention.name != name or not same_weights(layers, again.layers):
        raise UserError(
            f"{target}: in the names of {name}, these tensors would be another network; "
            "nothing was written."
        )
    proof = compared_runs(model, again)
    if not proof.holds:
        raise UserError(
            f"{target}: in the names of {name}, these weights would give other outputs: off by "
            f"{proof.difference:.2g}, where {proof.allowed:.2g} is rounding. Nothing was written."
        )
    return proof


def _rounding(
    model: Model, documents: Sequence[Document], settings: Mapping[str, Any]
) -> Rounding | None:
    to = settings.get("dtype")
    if to is None:
        return None
    source = load.load_model(
        documents, {k: v for k, v in settings.items() if k != "dtype"}
    )
    if to != BFLOAT16 and source.cell.dtype.itemsize <= model.cell.dtype.itemsize:
        return None
    difference = max(
        largest_difference(array, getattr(rounded, name))
        for (_, cell), (_, rounded) in zip(source.cells, model.cells, strict=True)
        for name, array in vars(cell).items()
        if isinstance(array, np.ndarray)
    )
    return Rounding(source.cell.dtype.name, to, difference) if difference else None


# ---- the file


def _write(conversion: Conversion) -> None:
    format, target = conversion.file.format, conversion.target
    if format == "onnx":
        graph = graph_of(conversion.layers, lengths=conversion.model.lengths)
        data = serialised(graph, __version__)
        with formats.atomically(target) as stream:
            stream.write(data)
    elif format == "rtneural":
        formats.write(target, "json", {}, rtneural_document(conversion.layers))
    else:
        formats.write(target, format, conversion.arrays, conversion.settings)
