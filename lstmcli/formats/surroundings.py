"""The way from an LSTM to an output of its model, step by step, in any graph.

A reader finds the operators on the way and says what each does; here the axes
are followed, and dense layers collected, until the end of the way is a head.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from lstmcli.core.model.surroundings import (
    EACH,
    LAST,
    MOST_LAYERS,
    FrontOfFile,
    HeadLayer,
    HeadOfFile,
)
from lstmcli.core.model.vocabulary import read_head_activation
from lstmcli.errors import UserError
from lstmcli.formats.files.limits import Damaged

Surroundings = tuple[tuple[HeadOfFile, ...], tuple[FrontOfFile, ...]]

BATCH, TIME, DIRECTIONS, UNITS, OUTPUTS, ONE = "BTDHO1"
"""Axes: of h, OUTPUTS once the units of both directions lie side by side; of length 1."""

MOST_STEPS = 64  # operators on the way


class NotFollowed(Exception):
    """The way leads through what is neither a front nor a head; the text names it."""


UNREAD = (NotFollowed, UserError, Damaged)  # too large, in a file that is not there


class Flow(NamedTuple):
    """The numbers on the way; a step that is not understood is NotFollowed."""

    axes: tuple[str, ...]
    width: int = 0  # of the last axis, if reshaping needs it
    lstm: str = ""  # the start of the names of its tensors
    steps: str = EACH
    layers: tuple[HeadLayer, ...] = ()
    direction: int | None = None  # the one of two that is taken

    # ---- axes

    def transposed(self, order: Sequence[int]) -> Flow:
        """The axes in another order."""
        if sorted(order) != list(range(len(self.axes))):
            raise NotFollowed
        return self._replace(axes=tuple(self.axes[n] for n in order))

    def squeezed(self, numbers: Sequence[int]) -> Flow:
        """The other axes, where these have the length 1; y keeps that of a single output."""
        places = [self._place(n) for n in numbers]
        is_of_outputs = places == [len(self.axes) - 1] and self.axes[-1] == OUTPUTS
        if is_of_outputs and self.layers and self.width == 1:
            return self
        if any(self.axes[place] != ONE for place in places):
            raise NotFollowed
        return self._without(places, keeps=False)

    def reshaped(self, rank: int | None, width: int | None) -> Flow:
        """The axes joined or separated, as far as their number and the last one tell."""
        axes = self.axes
        long = tuple(axis for axis in axes if axis != ONE)
        if rank == len(axes) - 1 and axes[-2:] == (DIRECTIONS, UNITS):
            return self._replace(axes=(*axes[:-2], OUTPUTS), width=2 * self.width)
        if rank == len(axes) - 1 and axes[-2:] == (ONE, OUTPUTS):
            return self._replace(axes=(*axes[:-2], OUTPUTS))
        if width != self.width or axes[-1] != OUTPUTS:
            raise NotFollowed
        if rank == len(long) < len(axes):
            return self._replace(axes=long)
        if rank == 2 and len(axes) == 3:
            return self._replace(axes=(axes[0] + axes[1], OUTPUTS))
        if rank == 3 and len(axes[0]) == 2:
            return self._replace(axes=(*axes[0], OUTPUTS))
        raise NotFollowed

    def taken(self, number: int, index: int, *, keeps: bool) -> Flow:
        """One entry of an axis: the last step, a direction, or all that there is."""
        place = self._place(number)
        axis, flow = self.axes[place], self
        if axis == TIME and index == -1:
            flow = self._replace(steps=LAST)
        elif axis == DIRECTIONS and index in (0, 1, -1, -2):
            flow = self._replace(direction=index % 2)
        elif axis != ONE or index not in (0, -1):
            raise NotFollowed
        return flow._without([place], keeps=keeps)

    def pooled(self, numbers: Sequence[int], steps: str, *, keeps: bool) -> Flow:
        """The mean or the maximum over the steps, if no layer stands before it."""
        places = [self._place(n) for n in numbers]
        if self.layers or [self.axes[place] for place in places] != [TIME]:
            raise NotFollowed
        return self._replace(steps=steps)._without(places, keeps=keeps)

    def joined(self, backward: Flow, number: int) -> Flow:
        """Both directions side by side."""
        is_last = self._place(number) == len(self.axes) - 1
        in_order = (self.direction, backward.direction) == (0, 1)
        if not is_last or not in_order or backward != self._replace(direction=1):
            raise NotFollowed
        axes = (*self.axes[:-1], OUTPUTS)
        return self._replace(axes=axes, width=2 * self.width, direction=None)

    def _place(self, number: int) -> int:
        if not -len(self.axes) <= number < len(self.axes):
            raise NotFollowed
        return number % len(self.axes)

    def _without(self, places: Sequence[int], *, keeps: bool) -> Flow:
        axes = []
        for place, axis in enumerate(self.axes):
            if place not in places:
                axes.append(axis)
            elif keeps:
                axes.append(ONE)
        return self._replace(axes=tuple(axes))

    # ---- layers

    def dense(self, layer: HeadLayer, width: int = 0) -> Flow:
        """The outputs of a dense layer, of this width."""
        if self.axes[-1] != OUTPUTS or len(self.layers) == MOST_LAYERS:
            raise NotFollowed
        name = layer.activation
        layers = (*self.layers, layer._replace(activation="identity"))
        return self._replace(layers=layers, width=width).activated(layer.name, name)

    def biased(self, bias: str) -> Flow:
        """The outputs of a dense layer with its bias, which a graph adds behind it."""
        last = self.layers[-1] if self.layers else HeadLayer("")
        if not last.kernel or last.bias or last.activation != "identity":
            raise NotFollowed
        return self._replace(layers=(*self.layers[:-1], last._replace(bias=bias)))

    def activated(self, name: str, activation: str) -> Flow:
        """The outputs of an activation, which goes to the dense layer before it."""
        activation = _read_activation(activation)
        if self.axes[-1] != OUTPUTS:
            raise NotFollowed
        if activation == "identity":
            return self
        last = self.layers[-1] if self.layers else HeadLayer("")
        if last.kernel and last.activation == "identity":
            layers = (*self.layers[:-1], last._replace(activation=activation))
        elif len(self.layers) == MOST_LAYERS:
            raise NotFollowed
        else:
            layers = (*self.layers, HeadLayer(name, activation=activation))
        return self._replace(layers=layers)

    @property
    def is_of_h(self) -> bool:
        """The axes at the end are those of all outputs, of each step or of one."""
        expected = {BATCH, TIME, OUTPUTS} if self.steps == EACH else {BATCH, OUTPUTS}
        return {*self.axes} - {ONE} == expected and self.axes[-1] == OUTPUTS


def _read_activation(name: str) -> str:
    try:
        return read_head_activation(name)
    except ValueError:
        raise NotFollowed from None


class Ways(Protocol):
    """The graph of a file, as its reader gives it."""

    def flow(self, source: Any, /) -> Flow:
        """The numbers of this name, from an LSTM on."""

    def lstms_before(self, source: Any, /) -> Iterable[str]:
        """The LSTMs that a name depends on, without another LSTM between."""

    def words(self, source: Any, /) -> str:
        """The operator that computes a name, in words."""


def heads_at(outputs: Iterable[Any], ways: Ways) -> tuple[HeadOfFile, ...]:
    """The heads that make these outputs of a model."""
    ends = []
    for source in outputs:
        try:
            flow = ways.flow(source)
            if flow.layers and not flow.is_of_h:
                raise NotFollowed(ways.words(source))
        except UNREAD as reason:
            for lstm in ways.lstms_before(source):
                ends.append(HeadOfFile(lstm, obstacle=str(reason)))
        else:
            if flow.layers:
                ends.append(HeadOfFile(flow.lstm, flow.layers, flow.steps))
    return one_of_each_lstm(ends)


def one_of_each_lstm(ends: Iterable[HeadOfFile]) -> tuple[HeadOfFile, ...]:
    """The head of each LSTM; an obstacle where it reaches several outputs of the model."""
    heads: dict[str, HeadOfFile] = {}
    for head in ends:
        if head.behind in heads:
            head = HeadOfFile(head.behind, obstacle="several outputs")
        heads[head.behind] = head
    return tuple(heads.values())


def longest_chain(lstms: Iterable[str], fed_by: Mapping[str, str]) -> tuple[str, ...]:
    """The LSTMs that run one after the other; ``fed_by`` names the one before."""
    feeds = {before: lstm for lstm, before in fed_by.items()}
    longest: list[str] = []
    for first in lstms:
        if first in fed_by:
            continue
        chain = [first]
        while chain[-1] in feeds:
            chain.append(feeds[chain[-1]])
        if len(chain) > len(longest):
            longest = chain
    return tuple(longest)


def tensors_of(heads: Iterable[HeadOfFile], fronts: Iterable[FrontOfFile]) -> list[str]:
    """The names of the tensors of heads and fronts."""
    names = [front.table for front in fronts]
    for head in heads:
        for layer in head.layers:
            names += [layer.kernel, layer.bias]
    return [name for name in names if name]
