"""From two files of weights to how their networks differ."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from lstmcli import formats
from lstmcli.api.documents import is_weight
from lstmcli.api.load import checked, load, load_model
from lstmcli.api.values import document_of_arrays, is_packed, is_path, refuse_settings
from lstmcli.core.diff.operand import WEIGHT, WEIGHTS, ArrayName, Side
from lstmcli.core.diff.tolerance import Precision, Tolerance, tolerance
from lstmcli.core.model.model import Hint, Model, cell_name
from lstmcli.core.model.settings import Assumption
from lstmcli.core.model.vocabulary import BIASES
from lstmcli.core.same.difference import (
    SAME,
    NetworkDifference,
    compare_networks,
    reordered,
)
from lstmcli.core.same.network import Network, network_of
from lstmcli.core.same.readings import Reading, find_reading, renamed
from lstmcli.core.same.relations import ANOTHER_STEP, DIFFERS, ROUNDED
from lstmcli.core.weights.recognise import recognise
from lstmcli.core.weights.templates import RecognisedLstm
from lstmcli.errors import INPUTS, CallToTry, SettingsToTry, ToTry, UserError, listed
from lstmcli.formats import Document
from lstmcli.formats.files.sidecars import is_standard_input, split_member

BY_NAME = SettingsToTry({"by_name": True}, "compares tensors of the same name")


class Opened(NamedTuple):
    """A side of a comparison, its file read."""

    name: str  # as messages call it
    value: Any  # a document, a model, or what `diff` takes in memory
    layer: str = ""  # of FILE:PREFIX, the LSTM of several

    @property
    def has_lstm(self) -> bool:
        """Return whether it is the weights of an LSTM."""
        if isinstance(self.value, Document):
            return has_lstm(self.value)
        return isinstance(self.value, Model)

    @property
    def names(self) -> Sequence[str]:
        """The names of its arrays; none of a single array."""
        value = self.value
        arrays = value.arrays if isinstance(value, Document) else value
        return [*arrays] if isinstance(arrays, Mapping) else []


def opened(value: Any, name: str) -> Opened:
    """A side whose file is read; a dict of the weights of an LSTM is like a file."""
    if is_path(value):
        return _opened_path(os.fspath(value))
    if isinstance(value, Mapping) and not any(map(_is_of_run, value.items())):
        document = replace(document_of_arrays(value, f"diff: {name}"), source=name)
        if has_lstm(document):
            return Opened(name, document)
    return Opened(name, value)


def _is_of_run(item: tuple[Any, Any]) -> bool:
    name, value = item
    return not isinstance(name, str) or is_packed(value) or _is_result(name)


def _is_result(name: str) -> bool:
    return ArrayName.of(name).kind != WEIGHTS


def _opened_path(path: str) -> Opened:
    file, member = split_member(path)
    try:
        document = formats.read(path, abbreviated=True)
        return Opened(document.source, document)
    except UserError:
        if not member or is_standard_input(path):
            raise
        document = formats.read(file)
        is_start = any(name.startswith(member) for name in document.arrays)
        if not (is_start or member.isdecimal()):
            raise
        return Opened(path, document, member)


def has_lstm(document: Document) -> bool:
    """Return whether a document has the weights of an LSTM, and no results of a run.

    Those of which only the shapes tell count if they are called like weights.
    """
    names = [name for name in document.arrays if is_weight(name)]
    is_selected = bool(document.other_members)
    if is_selected or document.units or "meta" in document.attributes:
        return False
    if document.not_run or any(map(_is_result, names)):
        return False
    shapes = {name: document.arrays[name].shape for name in names}
    return any(_is_network(one, names) for one in recognise(shapes))


def _is_network(found: RecognisedLstm, names: Sequence[str]) -> bool:
    """Return whether an LSTM is recognised by more than one name or the shapes."""
    if found.by_shape:
        return all(map(WEIGHT.search, names))
    return len(names) > 1 or found.convention.storage.extra_columns > 0


def are_networks(a: Opened, b: Opened) -> bool:
    """Return whether both sides are the weights of an LSTM; UserError if one alone is."""
    if any(isinstance(side.value, Side) for side in (a, b)):
        return False
    if a.has_lstm != b.has_lstm:
        raise _one_of_two(a, b)
    return a.has_lstm


def networks_differ(
    a: Opened,
    b: Opened,
    settings: Mapping[str, Any],
    settings_b: Mapping[str, Any],
    tolerances: Mapping[str, Any],
) -> NetworkDifference:
    """How two networks differ."""
    read = checked(settings, "diff")
    given = {**read, **checked(settings_b, "diff")}
    one, other = _model(a, read), _model(b, given)
    test = partial(tolerance, **tolerances)
    networks = network_of(one, a.name), network_of(other, b.name)
    assumed = [*_assumed(networks[0]), *_assumed(networks[1])]
    sides = _Reloaded(a, read), _Reloaded(b, given)
    found = _read_otherwise(networks, sides[1], test, assumed)
    if found is None:
        found = compare_networks(*networks, test, assumed)
    if found.relation == DIFFERS and found.differs_in_biases:
        found = _with_other_biases(found, networks, sides, test)
    return replace(found, cuts=tuple(dict.fromkeys((*one.remarks, *other.remarks))))


def _with_other_biases(
    found: NetworkDifference,
    networks: tuple[Network, Network],
    sides: tuple[_Reloaded, _Reloaded],
    test: Callable[[Precision], Tolerance],
) -> NetworkDifference:
    """The comparison with the biases of B added once or twice, by which all of them count.

    A hint if one network is the other with other biases: those left out are lost.
    """
    a, b = networks
    reading = found.reading or Reading({name: name for name, _ in a.model.cells}, {})
    as_read = renamed(network_of(sides[1].model(reading.settings), b.name), reading)
    for use in BIASES:
        settings = {**reading.settings, "bias": use}
        try:
            other_b = renamed(network_of(sides[1].model(settings), b.name), reading)
            other_a = network_of(sides[0].model({"bias": use}), a.name)
        except UserError:
            continue
        again = compare_networks(a, other_b, test, found.assumed)
        if again.relation == SAME and use not in WITHOUT:
            return reordered(again, reading._replace(settings=settings), b.model)
        if again.relation == SAME:
            return _with_hint(found, f"a is b {OTHER_BIASES[use]}")
        if compare_networks(other_a, as_read, test).relation == SAME:
            return _with_hint(found, f"b is a {OTHER_BIASES[use]}")
    return found


WITHOUT = {
    "none": "without its biases",
    "input_only": "with its input bias alone",
    "recurrent_only": "with its recurrent bias alone",
}
"""The uses of biases that leave numbers out, in words."""

OTHER_BIASES = {
    "once": "with its biases added once",
    "twice": "with its biases added twice",
    **WITHOUT,
}


def _with_hint(found: NetworkDifference, text: str) -> NetworkDifference:
    hint = Hint("other_biases", f"{text}.")
    return replace(found, hints=(*found.hints, hint))


NEARLY = (ROUNDED, ANOTHER_STEP)


class _Reloaded(NamedTuple):
    """B, to be loaded again under further settings."""

    side: Opened
    given: Mapping[str, Any]

    def model(self, settings: Mapping[str, Any]) -> Model:
        """The model under settings; UserError where it cannot have them."""
        if not isinstance(self.side.value, Model):
            return _model(self.side, {**self.given, **settings})
        source = self.side.value.loaded_from
        if source is None:
            raise UserError(f"{self.side.name} is not loaded by lstmcli.load.")
        return load(*source.weights, **{**source.settings, **settings})


def _read_otherwise(
    networks: tuple[Network, Network],
    b: _Reloaded,
    test: Callable[[Precision], Tolerance],
    assumed: Sequence[Hint],
) -> NetworkDifference | None:
    """The comparison with B under the settings by which it is A; None without such."""
    reading = find_reading(networks[0], networks[1].model)
    if reading is None or reading.is_plain:
        return None
    try:
        model = b.model(reading.settings)
    except UserError:
        return None
    network = renamed(network_of(model, b.side.name), reading)
    found = compare_networks(networks[0], network, test, assumed)
    if found.relation != SAME and not _is_shown(found, reading):
        return None
    found = reordered(found, reading, networks[1].model)
    return replace(found, moved=tuple(_moved(b.side, reading)))


def _is_shown(found: NetworkDifference, reading: Reading) -> bool:
    """Return whether the numbers show a reading by which B is not A, but near or in part."""
    if not reading.is_sure:
        return False
    if found.relation in NEARLY:
        return True
    return reading.moves_kernels and bool(found.equal_kernels)


def _moved(b: Opened, reading: Reading) -> Iterator[str]:
    """The tensors of a file with exchanged cells, as arguments: ``name=FILE:name of the other``."""
    if reading.settings or b.layer or not isinstance(b.value, Document):
        return
    shapes = {name: array.shape for name, array in b.value.arrays.items()}
    recognised = recognise(shapes)
    if len(recognised) > 1:
        return
    names = {cell_name(*index): each for index, each in recognised[0].cells.items()}
    for of_a, of_b in reading.cells.items():
        for slot, name in names[of_a].items():
            yield f"{name}={b.name}:{names[of_b][slot]}"


def _assumed(network: Network) -> Iterator[Hint]:
    """The assumptions on a network; the layout of inputs does not matter."""
    for text in network.model.assumed:
        if not isinstance(text, Assumption) or text.option != "--layout":
            yield Hint("assumed", f"{network.name}: {text}")


def _model(side: Opened, settings: Mapping[str, Any]) -> Model:
    """The model of a side, under settings."""
    if isinstance(side.value, Model):
        refuse_settings(settings, "diff")
        return side.value
    if side.layer:
        settings = {"layer": side.layer, **settings}
    try:
        return load_model([side.value], settings)
    except UserError as error:
        raise error.adding(try_=[BY_NAME]) from None


def _one_of_two(a: Opened, b: Opened) -> UserError:
    """The error that one side alone is the weights of an LSTM."""
    weights, other = (a, b) if a.has_lstm else (b, a)
    start = f"{weights.name} has the weights of an LSTM"
    if _may_be_weights(other):
        names = listed([*other.names], 4)
        text = f"{start}, {other.name} has none, but {names}."
        return UserError(text, try_=[BY_NAME])
    explain = CallToTry("explain", [weights.name], [INPUTS, other.name])
    text = f"{start}, {other.name} has not; diff compares two networks, or two results."
    return UserError(text, "  If a run of them gives the other side:", try_=[explain])


def _may_be_weights(side: Opened) -> bool:
    """Return whether a side has several arrays that are not called results of a run."""
    document = side.value
    if isinstance(document, Document) and "meta" in document.attributes:
        return False
    return len(side.names) > 1 and not any(map(_is_result, side.names))


def to_compare(weights: Sequence[Any], other: Any) -> list[ToTry]:
    """The `diff` to try where weights and another file both have an LSTM."""
    paths = [*weights, other]
    if len(paths) != 2 or not all(map(is_path, paths)):
        return []
    a, b = map(os.fspath, paths)
    if is_standard_input(a) or is_standard_input(b):
        return []
    try:
        documents = [formats.read(path, abbreviated=True) for path in (a, b)]
    except UserError:
        return []
    if not all(map(has_lstm, documents)):
        return []
    return [
        CallToTry("diff", [a], [b], text="Whether both files have the same network")
    ]
