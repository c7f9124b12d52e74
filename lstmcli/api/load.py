"""Load a model from files: `formats` reads the files, `core` knows what an LSTM is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, NamedTuple

from lstmcli import formats
from lstmcli.api.documents import (
    document_of,
    is_weight,
    refuse_unused,
    settings_in,
    tensors_in,
)
from lstmcli.api.values import Weights, refuse_other_arguments, type_of
from lstmcli.core.forward.prepare import edited_layers
from lstmcli.core.model.arrays import Array, describe_not_finite
from lstmcli.core.model.edit import Edit
from lstmcli.core.model.model import (
    Cell,
    LoadedFrom,
    Masking,
    Model,
    cell_name,
    layer_width,
)
from lstmcli.core.model.settings import SETTINGS, Assumption, read_setting
from lstmcli.core.weights.assumptions import (
    assumptions,
    common_lengths,
    direction_assumptions,
    lengths_assumed,
    masking_assumed,
    refuse_open,
    unused_assumptions,
)
from lstmcli.core.weights.build_cells import (
    build_layers,
    check_cell_settings,
    check_layers,
    direction_settings,
    runs_backward,
)
from lstmcli.core.weights.choose_lstm import (
    choose_layer,
    choose_lstms,
    fitting_in_turn,
    other_names,
    refuse_partial,
    training_copies,
)
from lstmcli.core.weights.directions import layers_of_stacks
from lstmcli.core.weights.idle import idle_settings
from lstmcli.core.weights.metadata import (
    MetadataSettings,
    is_dense,
    is_in_group,
    layer_name,
    merge_metadata,
    read_metadata,
)
from lstmcli.core.weights.packed import cut_flat
from lstmcli.core.weights.recognise import recognise
from lstmcli.core.weights.surroundings import (
    SIDES,
    Chain,
    Surroundings,
    find_surroundings,
)
from lstmcli.core.weights.templates import CellIndex, RecognisedLstm
from lstmcli.errors import UserError, refuse_unprintable
from lstmcli.formats import Document
from lstmcli.formats.files.limits import raised_to

OF_MODEL = "model."  # before the name of a setting that is an argument too

EDITS = "edits"
"""The keyword of edits, among the settings of a function."""

Reader = Callable[[Mapping[str, Any]], Model]


@refuse_other_arguments
def load(*weights: Weights, max_bytes: Any = None, **settings: Any) -> Model:
    """Load the LSTM in files of weights, or in arrays, under settings.

    Parameters
    ----------
    *weights
        paths; dicts of arrays by the names that the tensors have in a file,
        such as ``module.state_dict()``; or lists of arrays in a framework's
        order, such as ``layer.get_weights()``. Shapes are the framework's, the
        dtype of the kernel is that of the computation.
    max_bytes
        the most that one tensor of a file may take in memory, in bytes: an
        integer, by default 1 GiB.
    **settings
        by option name (docs/settings.md), of one cell as
        ``**{"layer1.forget_bias": 1.0}``; ``edits`` is a list of the mistakes
        to run with, each as ``--edit`` takes it.

    Raises
    ------
    UserError
        for whatever is wrong with files, names, shapes or settings.

    Examples
    --------
    >>> lstmcli.load("demo/weights.npz", convention="tf1", forget_bias=0)
    <Model tf1, 4 inputs -> 3 units, float64>
    >>> arrays = {"kernel": np.zeros((4, 12)), "recurrent_kernel": np.zeros((3, 12))}
    >>> lstmcli.load(arrays | {"bias": np.zeros(12)}).cell.kernel.shape
    (4, 3, 4)
    """
    if not weights:
        raise UserError(
            'load takes a path or a dict of arrays, such as load("weights.npz").'
        )
    if max_bytes is not None:
        if not (isinstance(max_bytes, Integral) and int(max_bytes) > 0):
            raise UserError(
                f"load: max_bytes is {max_bytes!r}; it takes an integer from 1 on."
            )
        max_bytes = int(max_bytes)
    with raised_to(max_bytes):
        documents = [document_of(one, "load") for one in weights]
    given = checked(settings, "load")
    model = load_model(documents, given)
    refuse_unused(documents, model)
    return replace(model, loaded_from=LoadedFrom(weights, given, max_bytes))


def checked(
    settings: Mapping[str, Any], where: str, layout: str | None = None
) -> dict[str, Any]:
    """Settings as keywords of a function, and the layout if it is one, read and checked.

    A setting with the name of an argument is given as ``**{"model.lengths":
    "ignored"}``.
    """
    refuse_unprintable(settings.get("layer"), f"{where}: layer")
    plain = {k.removeprefix(OF_MODEL): v for k, v in settings.items()}
    settings = plain if layout is None else {**plain, "layout": layout}
    read: dict[str, Callable[[Any], Any]] = {
        "layer": lambda v: ",".join(map(str, v)) if isinstance(v, list | tuple) else v,
        EDITS: lambda given: edits_of(given, where),
    }
    return {
        k: read[k](v) if k in read else read_setting(k, v, where)
        for k, v in settings.items()
    }


def edits_of(given: Any, where: str) -> tuple[Edit, ...]:
    """Edits as texts, one or several, read and checked."""
    texts = given if isinstance(given, list | tuple) else [given]
    for one in texts:
        if not isinstance(one, str | Edit):
            raise UserError(
                f"{where}: edits has {type_of(one)}; it takes texts NAME=VALUE."
            )
    if not texts:
        return ()
    from lstmcli.core.model.edits import read_edit  # with all rows, which few runs need

    edits = tuple(
        read_edit(text, lambda path: formats.read(path).arrays) for text in texts
    )
    for n, edit in enumerate(edits):
        if any(
            (edit.name, edit.cell) == (other.name, other.cell) for other in edits[:n]
        ):
            raise UserError(
                f"{where}: the edit {edit.name} is given twice; give it once."
            )
    return edits


# ---- the model


def load_model(
    documents: Sequence[Document], settings: Mapping[str, Any], *, to_run: bool = True
) -> Model:
    """The LSTM in some documents, under their settings and the caller's.

    Without ``to_run``, a stack with skip connections has all its layers.
    """
    model = _load(documents, settings, to_run=to_run)
    if model.edits:
        edited_layers(model)  # refuses what does not fit
    return model


class _Asked(NamedTuple):
    """Documents of weights, their tensors, and the settings of theirs and of the caller."""

    documents: Sequence[Document]
    source: str  # what messages call them
    stored: Mapping[str, Array]  # the tensors of the documents
    tensors: Mapping[str, Array]  # the same, flat ones cut
    of_caller: Mapping[str, Any]
    given: dict[str, Any]  # those of cells
    apart: _Apart

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the tensors."""
        return {name: array.shape for name, array in self.tensors.items()}


class _Chosen(NamedTuple):
    """The LSTMs of documents, and those that are chosen to run in turn."""

    every: Sequence[RecognisedLstm]
    found: Sequence[RecognisedLstm]  # of stacks with skip connections one layer
    lstms: Sequence[RecognisedLstm]
    remarks: Sequence[str]


def _load(
    documents: Sequence[Document], settings: Mapping[str, Any], *, to_run: bool
) -> Model:
    """The LSTM in some documents, whose edits may not fit it."""
    asked = _asked_of(documents, settings)
    chosen = _chosen_of(asked, to_run=to_run)
    layers = _layers(chosen.lstms, asked)
    around = Surroundings()
    if to_run:
        around = surroundings_of(
            documents,
            asked.tensors,
            chosen.every,
            asked.given,
            asked.source,
            chosen.lstms,
            layers.cells,
        )
    return _model_of(asked, chosen, layers, around)


def _asked_of(documents: Sequence[Document], settings: Mapping[str, Any]) -> _Asked:
    """The tensors and settings of documents that are read."""
    _refuse_not_run(documents)
    source = " + ".join(document.source for document in documents)
    stored = tensors_in(documents)
    given, apart = _split_settings({**settings_in(*documents), **settings})
    tensors = cut_flat(stored, given, source)
    return _Asked(documents, source, stored, tensors, settings, given, apart)


def _chosen_of(asked: _Asked, *, to_run: bool) -> _Chosen:
    """The LSTMs of the documents, and those that run."""
    documents, tensors, source = asked.documents, asked.tensors, asked.source
    every = find_lstms(tensors, asked.given.get("convention"), source, documents)
    found, layer = _of_stacks(every, asked.apart.layer, source, to_run=to_run)
    lstms, remarks = _choose(found, layer, tensors, documents, asked.of_caller, source)
    return _Chosen(every, found, lstms, remarks)


def _model_of(
    asked: _Asked, chosen: _Chosen, layers: _LayerList, around: Surroundings
) -> Model:
    """The model of these layers and what is around them."""
    padding = layers.padding(asked.apart.lengths)
    idle = _idle_in(asked, chosen, layers)
    idle.extend(around.idle)
    assumed = [*layers.assumed, *padding.assumed, *around.assumed]
    assumed += unused_assumptions(
        chosen.lstms, chosen.found, asked.tensors, around.roles
    )
    return Model(
        tuple(layers.cells),
        {name: array.shape for name, array in layers.used.items()},
        assumed=tuple(dict.fromkeys(assumed)),
        given={**layers.layout, **layers.of_backward, **asked.given},
        lengths=padding.lengths,
        masks=padding.masks,
        remarks=_remarks_on(asked, chosen, layers, around, idle),
        idle=tuple(idle),
        labels=tuple(layers.labels) if len(chosen.lstms) > 1 else (),
        sources=_sources_of(asked, chosen, around),
        edits=asked.apart.edits,
        front=around.front,
        head=around.head,
    )


def _idle_in(asked: _Asked, chosen: _Chosen, layers: _LayerList) -> list[str]:
    """A line on each setting that changes nothing."""
    lines = idle_settings(
        asked.of_caller,
        chosen.lstms,
        layers.cells,
        asked.source,
        packed=asked.tensors.keys() != asked.stored.keys(),
        backward=layers.reversed,
    )
    return list(lines)


def _remarks_on(
    asked: _Asked,
    chosen: _Chosen,
    layers: _LayerList,
    around: Surroundings,
    idle: Sequence[str],
) -> tuple[str, ...]:
    """The lines on what was found on the way, each once."""
    remarks = [*chosen.remarks, *idle, *layers.remarks, *around.remarks]
    remarks += _not_finite(layers.used, asked.source)
    of_layers = {name: asked.tensors[name] for name in around.roles}
    remarks += _not_finite(of_layers, asked.source)
    return tuple(dict.fromkeys(remarks))


def _sources_of(
    asked: _Asked, chosen: _Chosen, around: Surroundings
) -> tuple[str, ...]:
    """The names of the documents that go into the model."""
    sources = []
    for document in asked.documents:
        has_surroundings = not around.roles.keys().isdisjoint(document.arrays)
        if has_surroundings or _goes_into(document, chosen.lstms, asked.tensors):
            sources.append(document.source)
    return tuple(sources)


class _Apart(NamedTuple):
    """The settings that no cell takes."""

    layer: str | None = None
    edits: tuple[Edit, ...] = ()
    lengths: tuple[int, ...] = ()


def _split_settings(settings: Mapping[str, Any]) -> tuple[dict[str, Any], _Apart]:
    """The settings of cells, and those apart."""
    given = dict(settings)
    layer, edits = given.pop("layer", None), given.pop(EDITS, ())
    if isinstance(given.get("lengths"), tuple):
        return given, _Apart(layer, edits, given.pop("lengths"))
    return given, _Apart(layer, edits)


def _layers(chosen: Sequence[RecognisedLstm], asked: _Asked) -> _LayerList:
    """The layers of the LSTMs that are chosen, one after the other, checked."""
    given, source = asked.given, asked.source
    if "convention" in given:
        refuse_partial(chosen, asked.shapes, given["convention"], source)
    layers = _LayerList(asked)
    for one in chosen:
        metadata = {
            index: _metadata(asked.documents, one, index) for index in one.cells
        }
        layers.add(one, metadata, is_last=one is chosen[-1])
    labels = layers.labels if len(chosen) > 1 else []
    check_layers(layers.cells, labels, source)
    check_cell_settings(layers.cells, given)
    return layers


def _refuse_not_run(documents: Sequence[Document]) -> None:
    for document in documents:
        if document.not_run:
            raise UserError(f"{document.source}: {document.not_run}")


def _of_stacks(
    found: list[RecognisedLstm], layer: str | None, source: str, *, to_run: bool
) -> tuple[list[RecognisedLstm], str | None]:
    """The LSTMs, of stacks with skip connections the layer chosen; and what else chooses."""
    layers = layers_of_stacks(found)
    if not layers or not (to_run or len(layers) == 1):
        return found, layer
    return [choose_layer(layers, layer, source)], None


class _Padding(NamedTuple):
    """The lengths of sequences, and masks."""

    lengths: tuple[int, ...] = ()
    masks: tuple[Masking, ...] = ()
    is_given: bool = False  # not by the files

    @property
    def assumed(self) -> list[str]:
        """The lines on what the files give."""
        if self.is_given:
            return []
        assumed = [lengths_assumed(self.lengths)] if self.lengths else []
        assumed += [masking_assumed(mask) for mask in self.masks if mask.value is None]
        return assumed


def _not_finite(tensors: Mapping[str, Array], source: str) -> list[str]:
    """A line on each tensor that has NaN or infinity."""
    lines = (
        describe_not_finite(array, f"{source}: {name}")
        for name, array in tensors.items()
    )
    return [line for line in lines if line]


def surroundings_of(
    documents: Sequence[Document],
    tensors: Mapping[str, Array],
    found: Sequence[RecognisedLstm],
    given: Mapping[str, Any],
    source: str,
    chosen: Sequence[RecognisedLstm],
    layers: Sequence[tuple[Cell, ...]],
) -> Surroundings:
    """The front and the head of those LSTMs of a file that were chosen to run in turn."""
    of_lstms = {name for one in found for name in one.tensors}
    heads = [head for document in documents for head in document.heads]
    fronts = [front for document in documents for front in document.fronts]
    is_asked = any(given.get(side) for side in SIDES)
    if tensors.keys() <= of_lstms and not (heads or fronts or is_asked):
        return Surroundings()  # as of most files, which explain reads again and again
    has_graph = any(document.has_graph for document in documents)
    chain = Chain(
        source,
        tensors,
        of_lstms,
        first=chosen[0].tensors,
        last=chosen[-1].tensors,
        inputs=layers[0][0].inputs,
        layer=layers[-1],
        is_whole=of_lstms <= _run_or_copied(tensors, found, chosen),
        names_unused=not (has_graph or any(one.by_shape for one in chosen)),
        has_graph=has_graph,
        heads=heads,
        fronts=fronts,
    )
    return find_surroundings(chain, given)


def _run_or_copied(
    tensors: Mapping[str, Array],
    found: Sequence[RecognisedLstm],
    chosen: Sequence[RecognisedLstm],
) -> set[str]:
    """The tensors of LSTMs that run, and of copies that training saved."""
    shapes = {name: array.shape for name, array in tensors.items()}
    names = {name for one in chosen for name in one.tensors}
    for n in training_copies(found, shapes):
        names.update(found[n].tensors)
    return names


@dataclass
class _LayerList:
    """The layers of LSTMs that run in turn, and what their files specify of them."""

    asked: _Asked
    cells: list[tuple[Cell, ...]] = field(default_factory=list)  # of each layer
    labels: list[str] = field(default_factory=list)  # of each layer
    layout: dict[str, Any] = field(default_factory=dict)
    """Of the first LSTM, which feeds the others."""
    of_backward: dict[str, Any] = field(default_factory=dict)
    """Settings of one of two directions, in files."""
    lengths: list[tuple[int, ...]] = field(default_factory=list)
    """Of each LSTM, if in its file."""
    masks: dict[str, Masking] = field(default_factory=dict)
    """By layer; only that of the first LSTM has a value."""
    reversed: dict[str, bool] = field(default_factory=dict)
    """Of each cell: by its files and index."""
    assumed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    used: dict[str, Array] = field(default_factory=dict)  # tensors

    def padding(self, given: tuple[int, ...]) -> _Padding:
        """The lengths that are given, or lengths and masks of the files if these count."""
        if given:
            return _Padding(given, is_given=True)
        if self.asked.given.get("lengths") == "ignored":
            return _Padding()
        lengths = common_lengths(self.lengths, self.asked.source)
        return _Padding(lengths, tuple(self.masks.values()))

    def add(
        self,
        found: RecognisedLstm,
        metadata: Mapping[CellIndex, MetadataSettings],
        *,
        is_last: bool,
    ) -> None:
        """Add one LSTM's layers; ``metadata`` is what the files specify of each cell."""
        asked, first = self.asked, len(self.cells)
        cells = list(metadata.values())
        for name in found.tensors:
            self.used[name] = asked.tensors[name]
        self._refuse_unknown(cells)
        self._add_of_backward(cells)
        of_files = {
            index: direction_settings(found, index, cell.settings)
            for index, cell in metadata.items()
        }
        is_unmasked = self._is_unmasked(cells)
        settings = self._settings(of_files, is_unmasked=is_unmasked)
        of_first = next(iter(settings.values()))
        if first == 0 and "layout" in of_first:
            self.layout["layout"] = of_first["layout"]
        refuse_open(found, asked.shapes, of_first, asked.source)
        layers = build_layers(
            found, asked.tensors, settings, asked.source, first, asked.apart.edits
        )
        self._add_directions(found, layers, of_files)
        if is_unmasked:
            self.assumed.append(_all_steps_assumed(found))
        self._add_padding(cells)
        self._add_assumed(found, layers[0][0], metadata, of_first)
        self._add_remarks(found, cells, is_last=is_last)
        self.cells.extend(layers)
        self.labels.extend([found.label] * len(layers))

    def _refuse_unknown(self, cells: Sequence[MetadataSettings]) -> None:
        """Refuse values in files that are not known, unless the caller gives the setting."""
        for cell in cells:
            for setting, message in cell.unknown.items():
                if setting not in self.asked.given:
                    raise UserError(f"{self.asked.source}: {message}")

    def _add_of_backward(self, cells: Sequence[MetadataSettings]) -> None:
        """Add the settings that files have of the backward direction alone."""
        prefix = f"layer{len(self.cells)}_reverse."
        for cell in cells:
            for name, value in cell.backward.items():
                if name not in self.asked.given:
                    self.of_backward[prefix + name] = value

    def _is_unmasked(self, cells: Sequence[MetadataSettings]) -> bool:
        """Return whether a mask of an earlier LSTM does not reach this one."""
        if not self.masks or "lengths" in self.asked.given:
            return False
        return not any(cell.masking for cell in cells)

    def _settings(
        self, of_files: Mapping[CellIndex, Mapping[str, Any]], *, is_unmasked: bool
    ) -> dict[CellIndex, dict[str, Any]]:
        """The settings of each cell: the caller's before those of the files."""
        over: dict[str, Any] = {}
        if is_unmasked:
            over["lengths"] = "ignored"
        over.update(self.layout)
        over.update(self.of_backward)
        over.update(self.asked.given)
        return {index: {**of_cell, **over} for index, of_cell in of_files.items()}

    def _add_directions(
        self,
        found: RecognisedLstm,
        layers: Sequence[tuple[Cell, ...]],
        of_files: Mapping[CellIndex, Mapping[str, Any]],
    ) -> None:
        """Add which of the cells of new layers run backward."""
        for n, layer in enumerate(layers):
            for d in range(len(layer)):
                of_cell = of_files.get((n, d))
                if of_cell is None:  # one names both
                    of_cell = of_files[n, 1 - d]
                name = cell_name(len(self.cells) + n, d)
                self.reversed[name] = runs_backward(found, (n, d), of_cell)

    def _add_padding(self, cells: Sequence[MetadataSettings]) -> None:
        """Add the lengths and the masks that files have of an LSTM."""
        self.lengths.append(next((cell.lengths for cell in cells if cell.lengths), ()))
        for cell in cells:
            mask = cell.masking
            if mask is None or mask.layer in self.masks:
                continue
            if self.cells:  # its inputs are outputs of the first LSTM
                mask = mask._replace(value=None)
            self.masks[mask.layer] = mask

    def _add_assumed(
        self,
        found: RecognisedLstm,
        cell: Cell,
        metadata: Mapping[CellIndex, MetadataSettings],
        of_first: Mapping[str, Any],
    ) -> None:
        """Add what is assumed of an LSTM, whose first cell and its settings are given."""
        given = self.asked.given
        known = {index for index, one in metadata.items() if "reverse" in one.settings}
        self.assumed.extend(assumptions(found, cell, of_first))
        self.assumed.extend(direction_assumptions(found, known, given))
        for one in metadata.values():
            self.assumed.extend(
                text for name, text in one.assumed.items() if name not in given
            )
        for one in metadata.values():
            self.assumed.extend(one.classes)

    def _add_remarks(
        self, found: RecognisedLstm, cells: Sequence[MetadataSettings], *, is_last: bool
    ) -> None:
        """Add the remarks on an LSTM."""
        for cell in cells:
            self.remarks.extend(cell.remarks)
        if not is_last and any(cell.last_step for cell in cells):
            self.remarks.append(
                f"{found.label} gives only its last step in its model; here, every step."
            )


def _all_steps_assumed(found: RecognisedLstm) -> Assumption:
    """The line on an LSTM behind a masked one, without a mask."""
    what = f"{found.label} runs all steps"
    return Assumption(what, "no mask reaches it in its model", "--set lengths=given")


def _metadata(
    documents: Sequence[Document], found: RecognisedLstm, index: CellIndex
) -> MetadataSettings:
    per_file = []
    for document in documents:
        try:
            settings = read_metadata(
                document.format, document.groups, found.names(index)
            )
        except UserError as error:
            raise error.within(document.source) from None
        per_file.append(settings.of_convention(found.convention.takes))
    return merge_metadata(per_file)


def _goes_into(
    document: Document, chosen: Sequence[RecognisedLstm], tensors: Mapping[str, Array]
) -> bool:
    if document.in_turn and len(chosen) > 1:
        return True
    if any(name in SETTINGS or name == "layer" for name in document.attributes):
        return True
    used = {name for one in chosen for name in one.tensors}
    names = set(document.arrays)
    # weight norm leaves W = g v / |v| under a third name
    if used & names or (
        used - names and any(n not in tensors and is_weight(n) for n in names)
    ):
        return True
    without_metadata = replace(document, groups={})
    return bool(document.groups) and any(
        _metadata([document], one, index) != _metadata([without_metadata], one, index)
        for one in chosen
        for index in one.cells
    )


def load_one(
    found: RecognisedLstm,
    tensors: Mapping[str, Array],
    documents: Sequence[Document],
    settings: Mapping[str, Any],
) -> Model:
    """The model of one LSTM of several, from its tensors alone.

    Names that two conventions share are those of the first.
    """
    first, *others = (replace(document, arrays={}) for document in documents)
    first = replace(first, arrays={name: tensors[name] for name in found.tensors})
    settled = {"convention": found.convention.name} if found.rivals else {}
    try:
        return load_model(
            [first, *others], {**settings, **settled, "layer": "0"}, to_run=False
        )
    except UserError as error:
        source = " + ".join(document.source for document in documents)
        raise error.without(source) from None


def run_in_turn(
    found: Sequence[RecognisedLstm], documents: Sequence[Document]
) -> dict[int, str]:
    """The numbers of the LSTMs that a model in a document runs one after the other, in order.

    Each has the name of its group; empty for a single LSTM.
    """
    for document in documents:
        order = {
            n: group
            for group in document.in_turn
            for n, one in enumerate(found)
            if all(is_in_group(name, group) for name in one.tensors)
        }
        if len(order) > 1:
            return order
    return {}


# ---- which LSTMs


def find_lstms(
    tensors: Mapping[str, Array],
    convention: str | None,
    source: str,
    documents: Sequence[Document],
) -> list[RecognisedLstm]:
    """Every LSTM among the tensors, named by its document; of one convention if given."""
    shapes = {name: array.shape for name, array in tensors.items()}
    found = recognise(shapes, convention)
    if convention is None:
        groups = [document.groups for document in documents]
        found = [
            f for f in found if not any(is_dense(words, f.tensors) for words in groups)
        ]
    if not found and convention is not None and (others := recognise(shapes)):
        raise other_names(convention, others, source)
    for document in documents:
        layers = [
            layer_name(document.format, document.groups, one.tensors) for one in found
        ]
        named = zip(found, layers, strict=True)
        found = [replace(one, name=one.name or layer) for one, layer in named]
    return found


def _choose(
    found: list[RecognisedLstm],
    layer: Any,
    tensors: Mapping[str, Array],
    documents: Sequence[Document],
    settings: Mapping[str, Any],
    source: str,
) -> tuple[list[RecognisedLstm], list[str]]:
    remarks = [remark for document in documents for remark in document.remarks]
    chain = run_in_turn(found, documents)
    if layer is None and chain and len(chain) == len(found):
        layer = ",".join(map(str, chain))
        names = " into ".join(found[n].name or group for n, group in chain.items())
        remarks.append(f"{source} feeds {names}; --layer N picks one.")
    left_out, fitting = _candidates(
        found, tensors, documents, settings, asked=layer is not None
    )
    in_turn = [*chain] or fitting
    word = None
    if layer is None:
        for n, reason in left_out.items():
            remarks.append(f"{source}: {reason} (--layer {n}).")
    else:
        word = str(layer)
    convention = settings.get("convention")
    try:
        chosen = choose_lstms(
            found, word, tensors, source, left_out, in_turn, convention
        )
    except UserError as error:
        if found:
            raise
        raise error.adding(*_why_none(remarks, documents)) from None
    return chosen, remarks


def _why_none(remarks: Sequence[str], documents: Sequence[Document]) -> list[str]:
    """Lines on why there may be no LSTM: what was left out, and configs alone."""
    lines = [f"  {remark}" for remark in remarks]
    for document in documents:
        if document.groups and not document.arrays:
            lines.append(
                f"  {document.source} has only a config: give the file of weights with it."
            )
    return lines


def _candidates(
    found: Sequence[RecognisedLstm],
    tensors: Mapping[str, Array],
    documents: Sequence[Document],
    settings: Mapping[str, Any],
    asked: bool,
) -> tuple[dict[int, str], list[int]]:
    """The LSTMs that are excluded from the choice, with the reasons, and a chain of the others.

    Excluded are copies saved by training and, unless one is ``asked`` for or
    none is readable, unreadable LSTMs. The chain is the first that can run one
    after the other.
    """
    if len(found) < 2:
        return {}, []
    names = [one.label or f"LSTM {n}" for n, one in enumerate(found)]
    copies = training_copies(found, {k: a.shape for k, a in tensors.items()})
    left_out = {
        n: f"{names[n]} is a copy of {names[original]} that training saved"
        for n, original in copies.items()
    }
    if asked:
        return left_out, []
    unread: dict[int, str] = {}
    sizes: dict[int, tuple[int, int]] = {}  # inputs and outputs
    for n, one in enumerate(found):
        if n in left_out:
            continue
        try:
            model = load_one(one, tensors, documents, settings)
            sizes[n] = model.cell.inputs, layer_width(model.layers[-1])
        except UserError as error:
            reason = error.lines[0].rstrip(".:")
            unread[n] = f"{names[n]} is not read: {reason}"
    return left_out | unread if sizes else left_out, fitting_in_turn(sizes)
