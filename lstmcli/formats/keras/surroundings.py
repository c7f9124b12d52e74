"""The layers of a Keras model before and behind its LSTMs, by its config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from lstmcli.core.model.surroundings import (
    EACH,
    LAST,
    STATES,
    FrontOfFile,
    HeadLayer,
    HeadOfFile,
)
from lstmcli.core.model.vocabulary import (
    hard_sigmoid_of_keras,
    keras_activation_name,
)
from lstmcli.formats.document import Arrays
from lstmcli.formats.keras.layers import (
    MOST_HOPS,
    PASSING,
    Config,
    Network,
    class_name,
    config_of,
    runs_an_lstm,
)
from lstmcli.formats.surroundings import (
    BATCH,
    OUTPUTS,
    TIME,
    Flow,
    NotFollowed,
    Surroundings,
    one_of_each_lstm,
)

PASSED = {*PASSING, "Masking"}  # before an LSTM, besides an Embedding
POOLED = {"GlobalAveragePooling1D": "mean", "GlobalMaxPooling1D": "max"}
ACTIVATIONS = ("Activation", "ELU", "LeakyReLU", "ReLU", "Softmax")  # layers of one
_OVER_STEPS = {"data_format": "channels_last", "keepdims": False}
PLAIN: dict[str, dict[str, Any]] = {  # layers' configs, if they are followed
    "GlobalAveragePooling1D": _OVER_STEPS,
    "GlobalMaxPooling1D": _OVER_STEPS,
    "ReLU": {"max_value": None, "negative_slope": 0, "threshold": 0},
    "Softmax": {"axis": -1},
}


def surroundings_of(
    model: Any, arrays: Arrays, groups: Mapping[str, Mapping[str, Any]]
) -> Surroundings:
    """The heads and fronts of the LSTMs in a model's config, with tensors of ``arrays``.

    The names of a layer's tensors start with its own, or, if a folder of
    ``groups`` has its name, with the folder.
    """
    if not isinstance(model, dict):
        return (), ()
    config = _Config(Network(model), arrays, groups)
    if config.network.has_twins:
        return (), ()
    heads, fronts = [*config.in_models()], [*config.fronts()]
    for inner in heads:
        fronts.append(FrontOfFile(inner.behind, obstacle=inner.obstacle))
    for output in config.network.outputs:
        heads.extend(config.heads(output))
    return one_of_each_lstm(heads), tuple(fronts)


class _Config(NamedTuple):
    network: Network
    arrays: Arrays
    groups: Mapping[str, Mapping[str, Any]]

    def _start(self, name: str) -> str:
        """The start of the names of a layer's tensors."""
        if name in self.groups:
            return name
        folders = [key for key in self.groups if key.rpartition("/")[2] == name]
        return folders[0] if len(folders) == 1 else name

    def _tensors(self, name: str, axes: int) -> list[str]:
        start = f"{self._start(name)}/"
        return [
            tensor
            for tensor, array in self.arrays.items()
            if tensor.startswith(start) and array.ndim == axes
        ]

    def in_models(self) -> Iterator[HeadOfFile]:
        """An obstacle for each LSTM of an inner model, which is not followed."""
        for name, layer in self.network.layers.items():
            for inner, serialized in Network(layer).layers.items():
                if runs_an_lstm(serialized) and "cell" not in config_of(layer):
                    words = f"{class_name(layer)} ({name})"
                    yield HeadOfFile(f"{self._start(name)}/{inner}", obstacle=words)

    # ---- behind

    def heads(self, output: str) -> Iterator[HeadOfFile]:
        """The head that makes this output, or what stands behind LSTMs instead."""
        layers = self.network.layers
        way = [output]
        while not runs_an_lstm(layers[way[-1]]):
            before = self.network.sources.get(way[-1])
            if before not in layers or len(way) == MOST_HOPS:
                break
            way.append(before)
        lstm = way.pop()
        at = lstm
        try:
            flow = self._outputs_of(lstm)
            for at in reversed(way):
                flow = self._behind(flow, at, layers[at])
        except NotFollowed:
            words = f"{class_name(layers[at])} ({at})"
            for behind in self._lstms_before(at):
                yield HeadOfFile(self._start(behind), obstacle=words)
            return
        if flow.layers:
            yield HeadOfFile(self._start(lstm), flow.layers, flow.steps)

    def _outputs_of(self, name: str) -> Flow:
        layer = self.network.layers[name]
        if not runs_an_lstm(layer):
            raise NotFollowed
        config = config_of(layer)
        steps = LAST
        if class_name(layer) == "Bidirectional":
            config = config_of(config["layer"])
            steps = STATES
        if config.get("return_sequences") is True:
            return Flow((BATCH, TIME, OUTPUTS), steps=EACH)
        return Flow((BATCH, OUTPUTS), steps=steps)

    def _behind(self, flow: Flow, name: str, layer: Config) -> Flow:
        inner = config_of(layer).get("layer")
        if class_name(layer) == "TimeDistributed" and isinstance(inner, dict):
            layer = inner
        kind, config = class_name(layer), config_of(layer)
        plain = PLAIN.get(kind, {})
        if any(config.get(word, value) != value for word, value in plain.items()):
            raise NotFollowed
        if kind in PASSING:
            return flow
        if kind == "Dense":
            return flow.dense(self._dense(name, config))
        if kind in POOLED and TIME in flow.axes:
            return flow.pooled([1], POOLED[kind], keeps=False)
        if kind in ACTIVATIONS:
            value = config.get("activation") if kind == "Activation" else layer
            return flow.activated(name, self._activation(value))
        raise NotFollowed

    def _dense(self, name: str, config: Config) -> HeadLayer:
        kernels, biases = self._tensors(name, 2), self._tensors(name, 1)
        if len(kernels) != 1 or len(biases) != (config.get("use_bias") is not False):
            raise NotFollowed
        activation = self._activation(config.get("activation"))
        return HeadLayer(name, kernels[0], "".join(biases), activation)

    def _activation(self, value: Any) -> str:
        name = keras_activation_name(value)
        if name != "hard_sigmoid":
            return name
        return hard_sigmoid_of_keras(
            str(self.groups.get("", {}).get("keras_version", ""))
        )

    def _lstms_before(self, name: str) -> Iterator[str]:
        """The LSTMs that a layer depends on, without another LSTM between."""
        pending, seen = [name], {name}
        while pending:
            for before in self.network.inputs_of(pending.pop()):
                if before in seen:
                    continue
                seen.add(before)
                if runs_an_lstm(self.network.layers[before]):
                    yield before
                else:
                    pending.append(before)

    # ---- before

    def fronts(self) -> Iterator[FrontOfFile]:
        """The front of each LSTM that takes no other's outputs, or what stands there."""
        for name, layer in self.network.layers.items():
            if runs_an_lstm(layer):
                front = self._front(name)
                if front is not None:
                    yield front._replace(before=self._start(name))

    def _front(self, lstm: str) -> FrontOfFile | None:
        layers, name = self.network.layers, lstm
        for _ in range(MOST_HOPS):
            sources = self.network.inputs_of(name)
            if len(sources) > 1:
                return FrontOfFile("", obstacle="several inputs")
            if not sources or class_name(layers[sources[0]]) == "InputLayer":
                return None
            name = sources[0]
            kind = class_name(layers[name])
            if kind not in PASSED:
                break
        if runs_an_lstm(layers[name]) and self.network.lstm_before(lstm) == name:
            return None
        tables = self._tensors(name, 2)
        if kind != "Embedding" or len(tables) != 1 or self._is_computed(name):
            return FrontOfFile("", obstacle=f"{kind} ({name})")
        masks = config_of(layers[name]).get("mask_zero") is True
        return FrontOfFile("", name, tables[0], masks)

    def _is_computed(self, name: str) -> bool:
        """Return whether the inputs of a layer are not those of the model."""
        before = [
            self.network.layers[source] for source in self.network.inputs_of(name)
        ]
        return any(class_name(layer) != "InputLayer" for layer in before)
