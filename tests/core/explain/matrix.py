"""The test matrix: what is wrong, the public threads it stands for, and how it is asked.

Each row is the truth as changes over what the weights' names say (TF1: igfo, forget bias 1.0).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A mistake: its name, the settings that are true, and the threads that had it."""

    name: str
    truth: dict[str, Any]
    threads: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})  # of the net and the question
    verdict: str = "found"


SEED = "newbe.dev: how exactly does LSTMCell from TensorFlow operate"

SINGLES = [
    Row("order-ifgo", {"gates": "ifgo"}, ("tensorflow#29308", "tensorflow/tfjs#6554")),
    Row("order-iofg", {"gates": "iofg"}, ("CrispStrobe/CrispASR#102", "elizaOS/eliza#9460")),
    Row("order-ifog", {"gates": "ifog"}, ("apple/coremltools!93",)),
    Row("order-gfoi", {"gates": "gfoi"}, ("konduit: imported Keras LSTM layer mismatch",)),
    Row("order-gifo", {"gates": "gifo"}, ("chainer#8579",)),
    Row("order-figo", {"gates": "figo"}, ("openvino: figo",)),
    Row("order-kernel-only", {"kernel_gates": "ifgo"}, ("jax-ml/jax!36572",)),
    Row("order-recurrent-only", {"recurrent_gates": "iofg"}, ("keras#3088",)),
    Row("order-bias-only", {"bias_gates": "ifgo"}, ("magenta!1015",)),
    Row("interleaved", {"interleaved": True}, ("mathworks 2005887",)),
    Row("rows-hx", {"rows": "hx"}, ("NVIDIA/TensorRT#403",)),
    Row("transposed-recurrent", {"transposed": "recurrent"}, ("pytorch#1961",)),
    Row("transposed-kernel", {"transposed": "kernel"}, ("keras!8307",)),
    Row("transposed-both", {"transposed": "both"}, ("keras#9463", "keras#11785")),
    Row("transposed-both-square", {"transposed": "both"}, ("keras!8307",), {"square": True}),
    Row("transposed-kernel-square", {"transposed": "kernel"}, (), {"square": True}),
    Row("reshaped", {"transposed": "reshaped_both"}),
    *(Row(f"reshaped-{one}", {"transposed": f"reshaped_{one}"}, (), {"two_biases": True})
      for one in ("kernel", "recurrent", "both")),
    Row("forget-0", {"forget_bias": 0.0}, (SEED, "tensorflow#14223", "apple/coremltools#309")),
    Row("forget-2.5", {"forget_bias": 2.5}, ("clab/dynet!1097",)),
    Row("forget-minus-0.7", {"forget_bias": -0.7}, ("tyliupku/wiki2bio#2",)),
    Row("bias-twice", {"bias": "twice"}, ("lisa-lab/DeepLearningTutorials#81",)),
    Row("bias-none", {"bias": "none"}, ("keras!8547",)),
    Row("bias-input-only", {"bias": "input_only"}, ("pytorch#43000",), {"two_biases": True}),
    Row("bias-recurrent-only", {"bias": "recurrent_only"}, ("google/flax#3746",),
        {"two_biases": True}),
    *(Row(f"bias-{one}-twice", {"bias": f"{one}_twice"}, (), {"two_biases": True})
      for one in ("input", "recurrent")),
    Row("gates-hard-0.2", {"recurrent_activation": "hard_sigmoid_0.2"},
        ("stackoverflow 49759614", "tensorflow#47495")),
    Row("gates-hard-1/6", {"recurrent_activation": "hard_sigmoid_1_6"}, ("tensorflow#65381",)),
    Row("act-relu", {"activation": "relu"}, ("keras#13399",)),
    Row("out-identity", {"output_activation": "identity"}, ("sonos/tract#2751",)),
    Row("coupled-f", {"coupled": "f=1-i"}, ("clab/dynet#154",)),
    Row("coupled-i", {"coupled": "i=1-f"}, ()),
    Row("cell-clip-0.6", {"cell_clip": 0.6}, ("onnxruntime#27224",)),
    Row("gate-clip-1", {"gate_clip": 1.0}, ("onnxruntime#27224",)),
    Row("projection-clip-0.3", {"projection_clip": 0.3}, (), {"projection": 2}),
    Row("peepholes-ignored", {"peepholes": "ignored"}, ("opencv!29931",), {"peepholes": True}),
    Row("peepholes-old-c", {"peepholes": "old_c"}, ("webnn-baseline!81",), {"peepholes": True}),
    Row("axes-swapped", {"layout": "time"}, ("onnx#5218", "openvino#37820")),
    Row("axes-swapped-square", {"layout": "time"}, ("pytorch#1538",), {"rows": 6}),
    Row("reversed", {"reverse": True}, ("tensorflow#39635", "nlc#8")),
    Row("not-flipped", {"flip_output": True}, ("onnxruntime#4187", "CRNN-with-STN#12")),
    Row("state-reset", {"state": "reset"}, ("rgbkrk/voice!8", "livekit/agents-js!944")),
    Row("start-zero", {"initial_state": "zero"}, ("silero-vad#533",), {"state": True}),
    Row("start-swapped", {"initial_state": "swapped"},
        ("texar-pytorch#198", "burn!5234", "nni!2842"), {"state": True}),
    *(Row(f"it-is-{name}", {"array": name}, ("keras#1204",)) for name in "cifgo"),
]  # fmt: skip

_FIRST: dict[str, dict[str, Any]] = {
    "order": {"gates": "ifgo"},
    "bias": {"bias": "none"},
    "hard": {"recurrent_activation": "hard_sigmoid_0.2"},
    "reversed": {"reverse": True},
    "reset": {"state": "reset"},
    "R^T": {"transposed": "recurrent"},
    "rows": {"rows": "hx"},
    "c": {"array": "c"},
    "axes": {"layout": "time"},
    "coupled-i": {"coupled": "i=1-f"},
}
_SECOND: dict[str, dict[str, Any]] = {
    "forget 0": {"forget_bias": 0.0},
    "order": {"gates": "iofg"},
    "bias none": {"bias": "none"},
}
_PAIR_THREADS = {
    ("order", "forget 0"): ("tensorflow#29622", "discuss.pytorch 146907"),
    ("hard", "forget 0"): ("keras#10179",),
}

PAIRS = [
    Row(f"{a} + {b}", {**first, **second}, _PAIR_THREADS.get((a, b), ()))
    for a, first in _FIRST.items()
    for b, second in _SECOND.items()
    if not set(first) & set(second) and (a, b) not in {("reset", "forget 0")}
] + [
    Row("CuDNN: both transposed + second bias", {"transposed": "both", "bias": "twice"},
        ("keras!8307", "keras#8860", "keras#9463")),
    Row("interleaved + gifo", {"interleaved": True, "gates": "gifo"}, ("chainer L.LSTM",)),
    Row("swapped state + forget 0", {"initial_state": "swapped", "forget_bias": 0.0},
        ("neulab/xnmt#223",), {"state": True}),
    # two unknown constants are not tried
    Row("forget 2.5 + clip", {"forget_bias": 2.5, "cell_clip": 0.6}, (), {}, "none"),
    Row("hard 0.2 + forget 2.5", {"recurrent_activation": "hard_sigmoid_0.2", "forget_bias": 2.5}),
    Row("order + forget 0.3", {"gates": "ifgo", "forget_bias": 0.3}),
    Row("order + gate clip", {"gates": "ifgo", "gate_clip": 0.8}),
    Row("order + projection clip", {"gates": "ifgo", "projection_clip": 0.3}, (),
        {"projection": 2}),
]  # fmt: skip

TRIPLES = [
    Row("TF1 in old Keras: order + 1.0 + hard sigmoid",
        {"gates": "ifgo", "forget_bias": 0.0, "recurrent_activation": "hard_sigmoid_0.2"},
        ("tensorflow#29622", "keras#10179")),
    Row("CuDNN + order", {"transposed": "both", "bias": "twice", "gates": "ifgo"}, ("keras!8307",)),
    Row("reversed + order + forget 0", {"reverse": True, "gates": "ifgo", "forget_bias": 0.0}),
    Row("rows + R only + forget 2.5",
        {"rows": "hx", "recurrent_gates": "ifog", "forget_bias": 2.5}),
]  # fmt: skip
