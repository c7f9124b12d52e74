"""The config of a TensorFlow.js layer: Keras' words, run by another library."""

from __future__ import annotations

from lstmcli.core.weights.metadata import Told, Words, keras


def read(words: Words) -> Told:
    """As Keras', but the hard sigmoid is TensorFlow.js' own, whichever Keras wrote the config."""
    bare = [{k: v for k, v in w.items() if k != "keras_version"} for w in words]
    return keras.read(bare)._replace(assumed={})
