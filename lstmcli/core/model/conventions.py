"""The table of conventions: how each framework names, stores and runs an LSTM.

A convention is a value. Recognising a file selects a row; settings from files
and options replace some of its fields (`Convention.changed`); decoding,
encoding, the forward pass and `explain` are functions of the result. No other
module knows a gate order.

A template names a tensor by the end of its name. ``{gate}`` stands for the
row's word for a gate, ``{layer}`` for a number, ``{direction}`` for the row's
mark of a direction, ``{number}`` for a running number of role and layer; `` |
`` separates forms, of which the first is written. ``/``, ``.``, ``:0`` and
``_`` are equivalent when names are matched, after any prefix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from types import MappingProxyType
from typing import Any

from lstmcli.core.model.settings import AS_ROW, SETTINGS
from lstmcli.core.model.vocabulary import GATES
from lstmcli.errors import UserError, did_you_mean

KERNELS = {"kernel": "kernel", "recurrent_kernel": "recurrent_kernel", "bias": "bias"}
ANY = ""
KERAS_TAKES = {
    "activation": ANY,
    "recurrent_activation": ANY,
    "go_backwards": ANY,
    "merge": "concat sum mul ave",
}
THREE_ACTIVATIONS = {
    "activation": ANY,
    "recurrent_activation": ANY,
    "output_activation": ANY,
}
KERAS_3 = {  # the second form is that of .weights.h5
    "kernel": "kernel | vars/0",
    "recurrent_kernel": "recurrent_kernel | vars/1",
    "bias": "bias | vars/2",
}
TORCH_CELL = {
    "kernel": "weight_ih",
    "recurrent_kernel": "weight_hh",
    "bias": "bias_ih",
    "recurrent_bias": "bias_hh",
}
TORCH_LAYERS = {
    role: f"{name}_l{{layer}}{{direction}}" for role, name in TORCH_CELL.items()
}

# fields that rows share
ROWS_IN_TIME = {"orientation": "rows", "layout": "time"}  # as in PyTorch
TORCH7: dict[str, Any] = {
    "tensors": {
        "kernel": "i2g.weight",
        "bias": "i2g.bias",
        "recurrent_kernel": "o2g.weight",
    },
    "gates": "igfo",
    "under": " | lstm{nth}.",
    **ROWS_IN_TIME,
}
KERAS: dict[str, Any] = {
    "masked_output": "repeat",
    "takes": KERAS_TAKES,
    "hidden": ("recurrent_activation",),
}
KERAS_NAMES = {
    "path": r"(?P<direction>forward|backward)(?=_)",
    "under": " | lstm{nth}/ | bidirectional{nth}/{direction}_lstm/",
}
TF1: dict[str, Any] = {
    "path": r"cell_(?P<layer>\d{1,9})(?=_)|"
    r"(?:(?<![^_])bidirectional_rnn_)?(?<![^_])(?P<direction>fw|bw)(?=_|$)",
    "scopes": True,
    "telling": "lstm|rnn|cell",
    "gates": "igfo",
    "forget_bias": 1.0,
    "projection_rows": False,
    "takes": {
        "forget_bias": ANY,
        "activation": ANY,
        "cell_clip": ANY,
        "projection_clip": ANY,
    },
    "hidden": ("forget_bias",),
}
TF_BLOCK: dict[str, Any] = {
    "tensors": {"fused": "w", "bias": "b", "peephole": "wc{gate}"},
    "required": ("bias",),
    "telling": "lstm|rnn|cell",
    "layout": "time",
    "under": "lstm{nth}/",
    "source": "tensorflow/core/ops/rnn_ops.cc (2.21)",
    "verified": "run: TensorFlow 2.21",
}
FLAX: dict[str, Any] = {
    "path": r"(?P<direction>forward|backward)(?=_rnn)",
    "past_length": "run",
    "under": " | lstm{nth}/ | {direction}_rnn/cell/ | lstm{nth}/{direction}_rnn/cell/",
    "takes": {
        "activation": ANY,
        "recurrent_activation": ANY,
        "reverse": ANY,
        "go_backwards": ANY,
    },
    "verified": "run: flax 0.12.8",
}
FLAX_GATES = {
    "kernel": "i{gate}/kernel",
    "recurrent_kernel": "h{gate}/kernel",
    "recurrent_bias": "h{gate}/bias",
}


@dataclass(frozen=True, repr=False)
class Names:
    """How a convention names its tensors; a role is ``kernel``, ``bias``, ``peephole``, ..."""

    tensors: Mapping[str, str] = field(default_factory=dict)  # role -> template
    words: Mapping[str, str] = field(
        default_factory=dict
    )  # gate -> its word or words ("c | g")
    recurrent_words: Mapping[str, str] = field(
        default_factory=dict
    )  # in recurrent tensors
    marks: tuple[str, str] = ("", "")  # of both directions in a template
    path: str = ""  # a pattern in the prefix that gives layer, direction or both
    scopes: bool = False  # the path's directions are scopes of any name
    within: str = ""  # a pattern that the prefix must match
    under: str = (
        " | lstm{nth}/"  # what is written before the templates; {nth}: "", "_1", "_2"
    )
    numbered: tuple[str, ...] = ()  # the roles behind {number}, repeated for each layer
    stacks: str = ""  # a direction's name where it is a stack with skip connections
    pairs: str = (
        ""  # a scope in which {builder} numbers directions; elsewhere that is assumed
    )
    packed: str = ""  # the roles in the order of one vector; " | " after each pass
    required: tuple[str, ...] = ()  # roles without which it is another convention
    shadows: str = ""  # a convention whose names in the same file are aliases
    not_beside: str = ""  # a pattern of names that exclude the convention
    telling: str = ""  # a pattern of prefixes; LSTMs without it go last
    by_name: bool = True  # False: only on request, as others have these names

    def word(self, gate: str, role: str = "kernel") -> str:
        """The word for a gate in a role's names that is written."""
        return self.words_of(gate, role)[0]

    def words_of(self, gate: str, role: str) -> list[str]:
        """Every word for a gate in a role's names."""
        if role.startswith("recurrent") and self.recurrent_words:
            return self.recurrent_words[gate].split(" | ")
        return self.words.get(gate, gate).split(" | ")

    @property
    def peephole_matrices(self) -> bool:
        """Return whether peepholes are matrices (H, H), as in DyNet's coupled cell."""
        return any(role.startswith("peephole.") for role in self.numbered)

    def is_per_gate(self, role: str) -> bool:
        """Return whether each gate has a tensor of a role."""
        is_numbered = any(one.startswith(f"{role}.") for one in self.numbered)
        return is_numbered or "{gate}" in self.tensors.get(role, "")

    @property
    def has_tensor_per_gate(self) -> bool:
        """Return whether there is a tensor per gate, and so no order of gates."""
        return self.is_per_gate("kernel") or self.is_per_gate("fused")

    @property
    def direction_marks(self) -> tuple[str, str]:
        """The marks of both directions, in a template or before it."""
        if any(self.marks):
            return self.marks
        match = re.search(r"\?P<direction>(\w+)\|(\w+)\)", self.path)
        return (match[1], match[2]) if match else ("", "")


@dataclass(frozen=True, repr=False)
class Storage:
    """How a convention arranges the numbers in its tensors."""

    orientation: str = "cols"  # gates along the last axis: (I, 4H); "rows": (4H, I)
    direction_axis: bool = False  # the first axis is the direction
    directions_count: bool = False  # layers and directions share one running number
    bias_halves: int = 1  # 2: one bias (8H,) is the input's and the recurrent one
    peephole_gates: str = "ifo"  # of one tensor (3H,)
    peephole_columns: bool = (
        False  # they are columns of the recurrent kernel, as in DL4J
    )
    projection_rows: bool = True  # (P, H); False: (H, P). Matters only where P = H
    gates: str = "ifgo"
    kernel_gates: str | None = None  # None: as gates
    recurrent_gates: str | None = None
    bias_gates: str | None = None
    interleaved: bool = False
    rows: str = "xh"  # of a fused kernel
    bias_row: str = "none"  # of a fused kernel with the bias: "first" or "last"
    transposed: str = "none"
    bias: str = "once"
    directions: str = "stored"  # or "exchanged": each has the weights of the other
    absent: Mapping[str, str] = field(
        default_factory=dict
    )  # gate that may be absent -> coupled

    def order_of(self, tensor: str) -> str:
        """The gate order in ``kernel``, ``recurrent`` or ``bias``."""
        order: str = getattr(self, f"{tensor}_gates") or self.gates
        return order

    @property
    def letters(self) -> str:
        """The gates that have weights: all four, or three of a coupled cell."""
        return "".join(gate for gate in GATES if gate in self.gates)

    @property
    def extra_columns(self) -> int:
        """The rows or columns of a fused kernel that are not of x and h."""
        return 0 if self.bias_row == "none" else 1

    def is_reshaped(self, role: str) -> bool:
        """Tell whether a matrix was reshaped in place of transposed."""
        roles = {
            "reshaped_kernel": ("kernel",),
            "reshaped_recurrent": ("recurrent_kernel",),
            "reshaped_both": ("kernel", "recurrent_kernel", "fused"),
        }
        return role in roles.get(self.transposed, ())


@dataclass(frozen=True, repr=False)
class Behaviour:
    """How a convention runs its cells."""

    forget_bias: float = 0.0
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    output_activation: str = "tanh"
    coupled: str = "none"
    cell_clip: float | None = None
    gate_clip: float | None = None
    projection_clip: float | None = None
    peepholes: str = "used"
    output_peephole: str = "new_c"  # the input of o's peephole, or where it acts
    norm_epsilon: float = 0.0
    layout: str = "batch"
    reverse: bool = False
    forward: bool = False  # of a backward cell with the setting reverse=false
    flip_output: bool = False
    go_backwards: bool = False
    merge: str = "concat"
    masked_output: str = "zero"
    masked_output_merged: str = "zero"  # the same inside a bidirectional layer
    past_length: str = "zero"  # outputs past a sequence's length
    states: str = (
        "cells"  # of several: (cells, B, H); "batch": (B, D, H); "features": (B, D H)
    )
    empty_rows: str = "initial"  # final state of a sequence of length 0; or "zero"
    arithmetic: str = "float"  # or how inputs and h are rounded to 8 bits
    state: str = "carried"
    initial_state: str = "given"
    lengths: str = "given"


_GROUPS = {"names": Names, "storage": Storage, "behaviour": Behaviour}
_GROUP_OF = {f.name: group for group, kind in _GROUPS.items() for f in fields(kind)}


@dataclass(frozen=True, repr=False)
class Convention:
    """One row, or one with settings changed, by the names of `SETTINGS`."""

    name: str
    title: str
    names: Names
    storage: Storage
    behaviour: Behaviour

    # settings that its framework has: setting -> its values; "" is any
    takes: Mapping[str, str] = field(default_factory=dict)

    # how it is known
    source: str = ""
    verified: str = ""  # what was run; empty: read in the source only
    hidden: tuple[str, ...] = ()  # settings that matter here and are in no tensor
    required_settings: tuple[str, ...] = ()  # without a usual value

    @classmethod
    def row(
        cls,
        name: str,
        title: str,
        tensors: Mapping[str, str] = MappingProxyType({}),
        **values: Any,
    ) -> Convention:
        """A row from the fields of `Names`, `Storage` and `Behaviour`."""
        values["tensors"] = tensors
        groups: dict[str, Any] = {}
        for group, kind in _GROUPS.items():
            names = [field.name for field in fields(kind) if field.name in values]
            groups[group] = kind(**{name: values.pop(name) for name in names})
        return cls(name, title, **groups, **values)

    def changed(self, settings: Mapping[str, Any]) -> Convention:
        """Replace some settings; unknown names are ignored.

        What follows a setting (`Setting.also`) is changed with it, unless it is given too.
        """
        given, following = dict[str, Any](), dict[str, Any]()
        for name, value in settings.items():
            if name in _GROUP_OF and name in SETTINGS:
                given[name] = value
                following |= SETTINGS[name].changes(value)
        by_group: dict[str, dict[str, Any]] = {}
        for name, value in {**following, **given}.items():
            by_group.setdefault(_GROUP_OF[name], {})[name] = value
        groups = {}
        for group, changes in by_group.items():
            groups[group] = replace(getattr(self, group), **changes)
        return replace(self, **groups)

    def with_behaviour(self, **values: Any) -> Convention:
        """The convention with these fields of its behaviour."""
        return replace(self, behaviour=replace(self.behaviour, **values))

    def setting(self, name: str) -> Any:
        """The value of a setting; None for one of no convention."""
        group = _GROUP_OF.get(name)
        return None if group is None else getattr(getattr(self, group), name)

    def settings(self) -> dict[str, Any]:
        """The settings of a run, by option name; those that are off are left out."""
        row = CONVENTIONS.get(self.name, self)
        values = {}
        for name, setting in SETTINGS.items():
            off = row.setting(name) if setting.off == AS_ROW else setting.off
            value = self.setting(name)
            if value not in (None, False, "none", off):
                values[name] = value
        return values

    def to_json(self) -> dict[str, Any]:
        """Every column of the row, by name."""
        members = asdict(self)
        flat = {name: members.pop(name) for name in ("name", "title")}
        for group in _GROUPS:
            flat |= members.pop(group)
        return flat | members

    def can_be_set_to(self, name: str, value: Any) -> bool:
        """Return whether its layers have a setting that takes the value."""
        if name not in self.takes:
            return False
        values = self.takes[name].split()
        if isinstance(value, float):
            value = f"{value:g}"
        return not values or value in values

    def config(self, both: bool) -> tuple[str, ...]:
        """The settings in a layer's config, of rows whose files may be without a config.

        ``both``: a layer of two directions.
        """
        if "recurrent_activation" not in self.hidden and "merge" not in self.takes:
            return ()
        names = ["recurrent_activation", "activation"]
        names.append("merge" if both else "go_backwards")
        return tuple(name for name in names if name in self.takes)

    def tensor_names(self, role: str, number: str = "N") -> list[str]:
        """The names that tensors of a role end in: one, one a gate, or one for each form.

        ``number`` stands for that of a layer: ``weight_ih_lN``.
        """
        return [name for names in self.tensor_forms(role, number) for name in names]

    def tensor_forms(self, role: str, number: str = "N") -> list[list[str]]:
        """The names of `tensor_names` by form, each with all of the role."""
        gates = [g for g in self.storage.letters if role != "peephole" or g != "g"]
        found: list[list[str]] = []
        for form in self.names.tensors[role].split(" | "):
            plain = form.replace("{layer}", number).replace("{number}", number)
            plain = plain.replace("{direction}", self.names.marks[0])
            plain = plain.replace("{builder}", "")
            words = [""]
            if "{gate}" in plain:
                words = [self.names.word(gate, role) for gate in gates]
            found.append([plain.replace("{gate}", word) for word in words])
        return found

    def kernel_shapes(self, outputs: str = "H") -> dict[str, str]:
        """By role ``(I, 4H)`` and ``(H, 4H)``, or of a fused kernel ``(I + H, 4H)``."""
        storage, width = self.storage, "H"
        if not self.names.has_tensor_per_gate:
            width = f"{len(storage.gates)}H"
        depths = {"kernel": "I", "recurrent_kernel": outputs}
        if "fused" in self.names.tensors:
            parts = ["I", outputs]
            if storage.rows == "hx":
                parts.reverse()
            if storage.extra_columns:
                parts.append("1")
            depths = {"fused": " + ".join(parts)}
        shapes = {}
        for role, depth in depths.items():
            sides = (depth, width)
            if storage.orientation == "rows":
                sides = (width, depth)
            shapes[role] = f"({', '.join(sides)})"
        return shapes

    @property
    def roles(self) -> frozenset[str]:
        """Return what the row has tensors for: ``kernel``, ``bias``, ``projection``, ..."""
        roles = set(self.stored_roles)
        if self.storage.peephole_columns:
            roles.add("peephole")
        if self.storage.extra_columns:
            roles.add("bias")
        return frozenset(roles)

    @property
    def stored_roles(self) -> frozenset[str]:
        """Return what the row has tensors of their own for."""
        roles = {role.partition(".")[0] for role in self.names.numbered}
        return frozenset(roles.union(self.names.tensors) - {"numbered"})


def describe_role(role: str) -> str:
    """``recurrent kernel``; a fused kernel with its parts."""
    return "kernel [x; h]" if role == "fused" else role.replace("_", " ")


def has_setting(name: str) -> bool:
    """Return whether a convention has a setting of this name."""
    return name in _GROUP_OF


_ROWS = (
    # ---- Keras and its kin
    Convention.row(
        "keras",
        "Keras 2 and 3, tf.keras: kernel, recurrent_kernel, bias",
        {
            # the third form is that of frozen graphs
            "kernel": f"{KERAS_3['kernel']} | Read/ReadVariableOp",
            "recurrent_kernel": f"{KERAS_3['recurrent_kernel']} | Read_1/ReadVariableOp",
            "bias": f"{KERAS_3['bias']} | Read_2/ReadVariableOp",
            "peephole": "{gate}_gate_peephole_weights",
        },
        words={"i": "input", "f": "forget", "o": "output"},
        **KERAS,
        # TensorFlow 2 before 2.13 counts the cells of both directions on
        path=r"(?P<direction>forward|backward)(?:_(?:(?!stacked)\w)*lstm_cell_\d+$|(?=_))",
        under=KERAS_NAMES["under"],
        source="keras/src/layers/rnn/lstm.py (Keras 3.15.1); tf_keras/layers/rnn (2.21)",
        verified="run: Keras 3.15.1, tf_keras 2.21",
    ),
    Convention.row(
        "cudnnlstm",
        "Keras 2 CuDNNLSTM: each block scrambled, two biases in one of 8H",
        KERAS_3,
        **KERAS_NAMES,
        transposed="both",
        bias_halves=2,
        takes={"go_backwards": ANY, "merge": "concat sum mul ave"},
        source="tf_keras/saving/legacy/hdf5_format.py (2.21)",
        verified="run: tf_keras 2.21, through its loader",
    ),
    Convention.row(
        "tfjs",
        "TensorFlow.js layers: Keras' names, hard sigmoid by default",
        KERNELS,
        **KERAS,
        **KERAS_NAMES,
        by_name=False,
        recurrent_activation="hard_sigmoid_0.2",
        masked_output_merged="repeat",
        source="tfjs-layers/src/layers/recurrent.ts (4.22)",
        verified="run: @tensorflow/tfjs 4.22",
    ),
    Convention.row(
        "keras1",
        "Keras 1: twelve arrays W_i, U_i, b_i, ...",
        {"kernel": "W_{gate}", "recurrent_kernel": "U_{gate}", "bias": "b_{gate}"},
        words={"g": "c"},
        **KERAS,
        path=KERAS_NAMES["path"],
        recurrent_activation="hard_sigmoid_0.2",
        under="lstm{nth}_ | bidirectional{nth}/{direction}_lstm_",
        source="keras/layers/recurrent.py (1.2); tf_keras/saving/legacy/hdf5_format.py",
        verified="run: Keras 1.2.2; tf_keras 2.21, through its Keras 1 loader",
    ),
    Convention.row(
        "keras1-gpu",
        "Keras 1 with consume_less='gpu': W, U, b of all gates",
        {"kernel": "W", "recurrent_kernel": "U", "bias": "b"},
        **KERAS,
        path=KERAS_NAMES["path"],
        within=r"(^|_)(.+)_\2$|(for|back)ward_.",  # such short names: under the layer's, twice
        recurrent_activation="hard_sigmoid_0.2",
        under="lstm{nth}/lstm{nth}_ | bidirectional{nth}/{direction}_lstm_",
        source="keras/layers/recurrent.py (1.2)",
        verified="run: Keras 1.2.2",
    ),
    # ---- TensorFlow 1 and its kin
    Convention.row(
        "tf1-cudnn",
        "TensorFlow 1 CudnnLSTM checkpoint: fused, and no forget bias",
        {"fused": "kernel", "bias": "bias"},
        path=r"(?:cell_(?P<layer>\d{1,9})_)?(?:bidirectional_rnn_(?P<direction>fw|bw)_)?"
        r"(?=cudnn_compatible_lstm_cell)",
        within="cudnn_compatible_lstm_cell",
        gates="igfo",
        layout="time",
        under="rnn/cudnn_compatible_lstm_cell/"
        " | rnn/multi_rnn_cell/cell_{layer}/cudnn_compatible_lstm_cell/"
        " | bidirectional_rnn/{direction}/cudnn_compatible_lstm_cell/"
        " | stack_bidirectional_rnn/cell_{layer}/bidirectional_rnn/{direction}"
        "/cudnn_compatible_lstm_cell/",
        source="tensorflow/contrib/cudnn_rnn/python/ops/cudnn_rnn_ops.py (1.15)",
        verified="run: its CudnnCompatibleLSTMCell in TensorFlow 1.15.5; cuDNN itself needs a GPU",
    ),
    Convention.row(
        "tf1-layernorm",
        "TensorFlow 1 LayerNormBasicLSTMCell: each gate and c layer-normed, forget bias +1",
        {
            "fused": "kernel", "bias": "bias",
            "norm_scale": "{gate}/gamma", "norm_shift": "{gate}/beta",
            "state_scale": "state/gamma", "state_shift": "state/beta",
        },
        words={"i": "input", "f": "forget", "g": "transform", "o": "output"},
        within="layer_norm_basic_lstm_cell",
        required=("norm_scale",),
        gates="igfo",
        forget_bias=1.0,
        norm_epsilon=1e-12,
        under="rnn{nth}/layer_norm_basic_lstm_cell/",
        takes={"forget_bias": ANY, "activation": ANY},
        source="tensorflow/contrib/rnn/python/ops/rnn_cell.py (1.15)",
        verified="run: TensorFlow 1.15.5",
        hidden=("forget_bias",),
    ),
    Convention.row(
        "elmo",
        "ELMo, TensorFlow 0.x LSTMCell: W_0, B, W_P_0; forget bias +1",
        {
            "fused": "LSTMCell/W_0", "bias": "LSTMCell/B", "projection": "LSTMCell/W_P_0",
            "peephole": "LSTMCell/W_{gate}_diag",
        },
        words={"i": "I", "f": "F", "o": "O"},
        path=r"RNN_(?P<direction>0|1)_RNN_MultiRNNCell_Cell(?P<layer>\d{1,9})",
        stacks="RNN_{direction}",
        gates="igfo",
        forget_bias=1.0,
        projection_rows=False,
        under="RNN_{direction}/RNN/MultiRNNCell/Cell{layer}/",
        takes={"forget_bias": ANY, "cell_clip": ANY, "projection_clip": ANY},
        source="allenai/allennlp allennlp/modules/elmo_lstm.py (2.10)",
        hidden=("forget_bias", "cell_clip", "projection_clip"),
    ),
    Convention.row(
        "tf1-coupled",
        "TensorFlow 1 CoupledInputForgetGateLSTMCell: three gates, i = 1 - f",
        {
            "fused": "W_0", "bias": "B", "projection": "W_P_0", "peephole": "W_{gate}_diag",
        },
        words={"f": "F", "o": "O"},
        gates="gfo",
        coupled="i=1-f",
        forget_bias=1.0,
        projection_rows=False,
        under="rnn{nth}/coupled_input_forget_gate_lstm_cell/",
        takes={"forget_bias": ANY, "activation": ANY, "projection_clip": ANY},
        source="tensorflow/contrib/rnn/python/ops/rnn_cell.py (1.15)",
        verified="run: TensorFlow 1.15.5",
        hidden=("forget_bias", "projection_clip"),
    ),
    Convention.row(
        "tf1",
        "TensorFlow 1 LSTMCell, BasicLSTMCell, LSTMBlockCell: one kernel [x; h]",
        {
            "fused": "kernel", "bias": "bias",
            "peephole": "w_{gate}_diag", "projection": "projection/kernel | projection",
        },
        **TF1,
        under="rnn/lstm_cell/ | rnn/multi_rnn_cell/cell_{layer}/lstm_cell/"
        " | bidirectional_rnn/{direction}/lstm_cell/"
        " | stack_bidirectional_rnn/cell_{layer}/bidirectional_rnn/{direction}/lstm_cell/",
        source="tensorflow/python/keras/layers/legacy_rnn/rnn_cell_impl.py (2.21)",
        verified="run: TensorFlow 2.21 compat.v1; its block cells in TensorFlow 1.15.5",
    ),
    Convention.row(
        "tf1-old",
        "TensorFlow 1.0 and 1.1 LSTMCell, BasicLSTMCell: weights, biases",
        {
            "fused": "weights", "bias": "biases",
            "peephole": "w_{gate}_diag", "projection": "projection/weights",
        },
        **TF1,
        required=("bias",),
        under="rnn/lstm_cell/ | rnn/multi_rnn_cell/cell_{layer}/lstm_cell/"
        " | bidirectional_rnn/{direction}/lstm_cell/",
        source="tensorflow/contrib/rnn/python/ops/core_rnn_cell_impl.py (1.0)",
        verified="run: TensorFlow 1.0.1",
    ),
    Convention.row(
        "tf-block",
        "TensorFlow raw op BlockLSTM: w, b; forget bias +1, |c| clipped at 3",
        **TF_BLOCK,
        gates="igfo",
        forget_bias=1.0,
        cell_clip=3.0,
        takes={"forget_bias": ANY, "cell_clip": ANY},
        hidden=("forget_bias", "cell_clip"),
    ),
    Convention.row(
        "tf-block-v2",
        "TensorFlow raw op BlockLSTMV2: the same names, another order, no forget bias",
        **TF_BLOCK,
        takes={"cell_clip": ANY},
    ),
    Convention.row(
        "tflite",
        "TFLite UNIDIRECTIONAL_ and BIDIRECTIONAL_SEQUENCE_LSTM: a tensor a gate",
        {
            "kernel": "input_to_{gate}_weights",
            "recurrent_kernel": "recurrent_to_{gate}_weights",
            "bias": "{gate}_gate_bias",
            "peephole": "cell_to_{gate}_weights",
            "projection": "projection_weights",
            "projection_bias": "projection_bias",
            "norm_scale": "{gate}_layer_norm_coefficients",
        },
        words={"i": "input", "f": "forget", "g": "cell", "o": "output"},
        path=r"(?P<direction>fw|bw)(?=_|$)",
        orientation="rows",
        absent={"i": "i=1-f"},
        norm_epsilon=1e-8,
        under=" | lstm{nth}/ | {direction}_ | lstm{nth}/{direction}_",
        takes={
            "activation": "tanh relu sigmoid identity", "cell_clip": ANY, "projection_clip": ANY,
            "arithmetic": "float hybrid hybrid_asymmetric",
        },
        source="tensorflow/lite/kernels/lstm_eval.cc (2.21)",
        verified="run: TensorFlow Lite of TensorFlow 2.21",
        hidden=("cell_clip",),
    ),
    Convention.row(
        "tflite-basic",
        "TFLite basic LSTM: one fused matrix of rows",
        {"fused": "weights", "bias": "bias"},
        telling="lstm|rnn|cell",
        **ROWS_IN_TIME,
        gates="igfo",
        under="lstm{nth}/",
        source="tensorflow/lite/kernels/lstm.cc (2.21)",
        verified="run: TensorFlow Lite of TensorFlow 2.21",
    ),
    # ---- PyTorch and its kin
    Convention.row(
        "pytorch",
        "PyTorch nn.LSTM: weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0",
        TORCH_LAYERS | {"projection": "weight_hr_l{layer}{direction}"},
        marks=("", "_reverse"),
        **ROWS_IN_TIME,
        source="torch/nn/modules/rnn.py (2.13)",
        verified="run: torch 2.13",
        hidden=("layout",),
    ),
    Convention.row(
        "pytorch-cell",
        "PyTorch nn.LSTMCell: weight_ih, weight_hh, bias_ih, bias_hh",
        TORCH_CELL,
        **ROWS_IN_TIME,
        under=" | lstm{nth}.",
        source="torch/nn/modules/rnn.py (2.13)",
        verified="run: torch 2.13",
    ),
    Convention.row(
        "tinygrad",
        "tinygrad nn.LSTMCell: PyTorch's names",
        TORCH_CELL,
        by_name=False,
        **ROWS_IN_TIME,
        under=" | lstm{nth}.",
        source="tinygrad/nn/__init__.py (0.14)",
        verified="run: tinygrad 0.14",
    ),
    Convention.row(
        "paddle",
        "PaddlePaddle nn.LSTM: 0.cell.weight_ih, ...; projection weight_ho (H, P)",
        TORCH_CELL | {"projection": "weight_ho"},
        path=r"(?P<layer>\d{1,9})_cell(?:_(?P<direction>fw|bw))?(?=_|$)",
        within=r"\d+_cell",
        shadows="pytorch",  # weight_ih_l0, ...: wrong where there is a projection
        orientation="rows",
        projection_rows=False,
        under="{layer}.cell. | {layer}.cell_{direction}.",
        source="python/paddle/nn/layer/rnn.py (3.3.1)",
        verified="run: paddlepaddle 3.3.1",
    ),
    Convention.row(
        "candle",
        "candle LSTM: PyTorch's names",
        TORCH_LAYERS,
        marks=("", "_reverse"),
        by_name=False,
        orientation="rows",
        source="huggingface/candle candle-nn/src/rnn.rs",
    ),
    Convention.row(
        "torch7",
        "Torch7 nn.FastLSTM of Element-Research: i2g, o2g",
        **TORCH7,
        source="Element-Research/rnn FastLSTM.lua",
    ),
    Convention.row(
        "torch7-flat",
        "Torch7 nn.FastLSTM: all its parameters in one vector",
        **TORCH7,
        packed="kernel bias recurrent_kernel",
        by_name=False,
        source="Element-Research/rnn FastLSTM.lua; torch/nn Module.lua, getParameters",
    ),
    Convention.row(
        "cudnn-flat",
        "cuDNN, jax.experimental.rnn, MXNet nd.RNN: all weights in one vector, then all biases",
        TORCH_LAYERS,
        packed="kernel recurrent_kernel | bias recurrent_bias",
        marks=("", "_reverse"),
        by_name=False,
        **ROWS_IN_TIME,
        source="cuDNN, cudnnGetRNNWeightParams; jax/experimental/rnn.py (0.10.2)",
        verified="run: jax 0.10.2, on a CPU",
    ),
    # ---- ONNX and runtimes
    Convention.row(
        "onnx",
        "ONNX LSTM: W, R, B (8H), P; directions on a first axis",
        {
            "kernel": "W", "recurrent_kernel": "R", "bias": "B", "peephole": "P",
            "initial_h": "initial_h", "initial_c": "initial_c",
        },
        **ROWS_IN_TIME,
        direction_axis=True,
        bias_halves=2,
        peephole_gates="iof",
        gates="iofg",
        merge="stack",
        empty_rows="zero",
        takes=THREE_ACTIVATIONS
        | {"gate_clip": ANY, "coupled": "f=1-i", "reverse": ANY, "arithmetic": "float 8bit"},
        source="ONNX specification, LSTM-22",
        verified="run: onnxruntime 1.32",
        hidden=("gate_clip",),
    ),
    Convention.row(
        "openvino",
        "OpenVINO LSTMSequence: W, R, B (4H); directions on a first axis",
        {"kernel": "W", "recurrent_kernel": "R", "bias": "B"},
        orientation="rows",
        direction_axis=True,
        gates="figo",
        states="batch",
        merge="stack",
        empty_rows="zero",
        takes=dict.fromkeys(THREE_ACTIVATIONS, "sigmoid tanh relu")
        | {"gate_clip": ANY, "reverse": ANY},
        source="openvino/core/reference (2026.4)",
        verified="run: openvino 2026.4, with f32 precision",
    ),
    Convention.row(
        "coreml",
        "Core ML MIL lstm: weight_ih, weight_hh, bias; i f o g",
        {
            "kernel": "weight_ih{direction}",
            "recurrent_kernel": "weight_hh{direction}",
            "bias": "bias{direction}",
        },
        marks=("", "_back"),
        by_name=False,
        **ROWS_IN_TIME,
        gates="ifog",
        states="features",
        takes={"reverse": ANY},
        source="coremltools/converters/mil/mil/ops/defs/iOS15/recurrent.py (9.0)",
        verified="weights converted by coremltools 9.0, outputs from torch; Core ML itself "
        "runs on macOS only",
    ),
    Convention.row(
        "coreml-nn",
        "Core ML NeuralNetwork uniDirectionalLSTM: a tensor a gate",
        {
            "kernel": "{gate}WeightMatrix",
            "recurrent_kernel": "{gate}RecursionMatrix",
            "bias": "{gate}BiasVector",
            "peephole": "{gate}PeepholeVector",
        },
        words={"i": "inputGate", "f": "forgetGate", "g": "blockInput", "o": "outputGate"},
        **ROWS_IN_TIME,
        takes={"forget_bias": "0 1", "cell_clip": ANY, "coupled": "f=1-i", "reverse": ANY},
        source="apple/coremltools mlmodel/format/NeuralNetwork.proto",
        hidden=("forget_bias", "cell_clip"),
    ),
    # ---- JAX
    Convention.row(
        "flax",
        "flax.linen LSTMCell and OptimizedLSTMCell: ii, if, ig, io, hi, ...",
        FLAX_GATES,
        **FLAX,
        source="flax/linen/recurrent.py (0.12.8)",
    ),
    Convention.row(
        "flax-nnx",
        "flax.nnx LSTMCell: the same, with if_",
        FLAX_GATES,
        words={"f": "f_"},
        recurrent_words={"i": "i", "f": "f", "g": "g", "o": "o"},
        by_name=False,
        **FLAX,
        source="flax/nnx/nn/recurrent.py (0.12.8)",
    ),
    Convention.row(
        "flax-optimized",
        "flax.nnx OptimizedLSTMCell: dense_i, dense_h",
        {
            "kernel": "dense_i/kernel",
            "recurrent_kernel": "dense_h/kernel",
            "recurrent_bias": "dense_h/bias",
        },
        **FLAX,
        source="flax/nnx/nn/recurrent.py (0.12.8)",
    ),
    Convention.row(
        "haiku",
        "Haiku hk.LSTM: linear/w [x; h], linear/b; forget bias +1",
        {"fused": "linear/w", "bias": "linear/b"},
        gates="igfo",
        forget_bias=1.0,
        layout="time",
        under="lstm{nth}/",
        source="haiku/_src/recurrent.py (0.0.17)",
        verified="run: dm-haiku 0.0.17",
    ),
    Convention.row(
        "equinox",
        "Equinox nn.LSTMCell: weight_ih, weight_hh, one bias",
        {"kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias"},
        orientation="rows",
        source="equinox/nn/_rnn.py (0.13.8)",
        verified="run: equinox 0.13.8",
    ),
    # ---- Sonnet
    Convention.row(
        "sonnet2",
        "Sonnet 2 snt.LSTM: w_i, w_h, b, projection",
        {"kernel": "w_i", "recurrent_kernel": "w_h", "bias": "b", "projection": "projection"},
        projection_rows=False,
        layout="time",
        past_length="repeat",
        under="lstm{nth}/",
        source="sonnet/src/recurrent.py (2.0.2)",
        verified="run: dm-sonnet 2.0.2",
    ),
    Convention.row(
        "sonnet1",
        "Sonnet 1 snt.LSTM: w_gates [x; h], b_gates; forget bias +1; o's peephole inside the tanh",
        {
            "fused": "w_gates", "bias": "b_gates",
            "peephole": "w_{gate}_diag", "projection": "w_h_projection",
        },
        gates="igfo",
        forget_bias=1.0,
        output_peephole="in_tanh",
        projection_rows=False,
        under="lstm{nth}/",
        takes={"forget_bias": ANY},
        source="google-deepmind/sonnet (v1) sonnet/python/modules/gated_rnn.py",
        hidden=("forget_bias",),
    ),
    # ---- others
    Convention.row(
        "mlx",
        "MLX nn.LSTM: Wx, Wh, bias",
        {"kernel": "Wx", "recurrent_kernel": "Wh", "bias": "bias"},
        orientation="rows",
        source="mlx/nn/layers/recurrent.py (0.32.4)",
        verified="run: mlx 0.32.4",
    ),
    Convention.row(
        "mxnet",
        "MXNet gluon rnn.LSTM: l0_i2h_weight, ..., or _unfused.0.i2h_weight, ...",
        {
            "kernel": "{direction}{layer}_i2h_weight | i2h_weight",
            "recurrent_kernel": "{direction}{layer}_h2h_weight | h2h_weight",
            "bias": "{direction}{layer}_i2h_bias | i2h_bias",
            "recurrent_bias": "{direction}{layer}_h2h_bias | h2h_bias",
            "projection": "{direction}{layer}_h2r_weight | h2r_weight",
        },
        marks=("l", "r"),
        path=r"unfused_(?P<layer>\d{1,9})(?:_(?P<direction>l|r)_cell)?(?=_|$)",  # save_parameters
        **ROWS_IN_TIME,
        source="python/mxnet/gluon/rnn/rnn_layer.py (1.9.1)",
        verified="run: mxnet 1.9.1",
    ),
    Convention.row(
        "chainer",
        "Chainer L.LSTM, StatelessLSTM: upward, lateral; gates alternate unit by unit",
        {"kernel": "upward/W", "recurrent_kernel": "lateral/W", "bias": "upward/b"},
        **ROWS_IN_TIME,
        gates="gifo",
        interleaved=True,
        source="chainer/functions/rnn/lstm.py (7.8.1)",
        verified="run: chainer 7.8.1",
    ),
    Convention.row(
        "nstep",
        "Chainer NStepLSTM and NStepBiLSTM: 0/w0 .. 0/w7, 0/b0 .. 0/b7",
        {
            "kernel": "{layer}/w{gate}",
            "recurrent_kernel": "{layer}/w{gate}",
            "bias": "{layer}/b{gate}",
            "recurrent_bias": "{layer}/b{gate}",
        },
        words={"i": "0", "f": "1", "g": "2", "o": "3"},
        recurrent_words={"i": "4", "f": "5", "g": "6", "o": "7"},
        directions_count=True,
        orientation="rows",
        source="chainer/links/rnn/n_step_rnn.py (7.8.1)",
        verified="run: chainer 7.8.1",
    ),
    Convention.row(
        "dynet",
        "DyNet VanillaLSTMBuilder: _0, _1, _2; i f o g, forget bias +1",
        {"numbered": "vanilla-lstm-builder{builder}/_{number}"},
        numbered=("kernel", "recurrent_kernel", "bias"),
        orientation="rows",
        pairs="birnn",
        gates="ifog",
        forget_bias=1.0,
        takes={"forget_bias": ANY},
        source="dynet/lstm.cc, python/_dynet.pyx (2.2)",
        verified="run: dyNET38 2.2",
        hidden=("forget_bias",),
    ),
    Convention.row(
        "dynet-coupled",
        "DyNet CoupledLSTMBuilder: f = 1 - i, peepholes as full matrices",
        {"numbered": "lstm-builder{builder}/_{number}"},
        numbered=(
            "kernel.i", "recurrent_kernel.i", "peephole.i", "bias.i",
            "kernel.o", "recurrent_kernel.o", "peephole.o", "bias.o",
            "kernel.g", "recurrent_kernel.g", "bias.g",
        ),
        orientation="rows",
        absent={"f": "f=1-i"},
        pairs="birnn",
        source="dynet/lstm.cc, python/_dynet.pyx (2.2)",
        verified="run: dyNET38 2.2",
    ),
    Convention.row(
        "lasagne",
        "Lasagne LSTMLayer: W_in_to_ingate, ...; o's peephole outside the sigmoid",
        {
            "kernel": "W_in_to_{gate}",
            "recurrent_kernel": "W_hid_to_{gate}",
            "bias": "b_{gate}",
            "peephole": "W_cell_to_{gate}",
            "initial_h": "hid_init",
            "initial_c": "cell_init",
        },
        words={"i": "ingate", "f": "forgetgate", "g": "cell", "o": "outgate"},
        output_peephole="after_sigmoid",
        masked_output="repeat",
        takes=THREE_ACTIVATIONS | {"reverse": ANY},
        source="lasagne/layers/recurrent.py (0.1)",
        verified="run: lasagne 0.1, theano 0.8.2",
    ),
    Convention.row(
        "madmom",
        "madmom LSTMLayer: input_gate.weights, ..., peepholes, initial state",
        {
            "kernel": "{gate}/weights",
            "recurrent_kernel": "{gate}/recurrent_weights",
            "bias": "{gate}/bias",
            "peephole": "{gate}/peephole_weights",
            "initial_h": "init",
            "initial_c": "cell_init",
        },
        words={"i": "input_gate", "f": "forget_gate", "g": "cell", "o": "output_gate"},
        path=r"(?P<direction>fwd|bwd)_layer(?=_|$)",
        within=r"(^|_)layers_\d+(_(fwd|bwd)_layer)?$",  # without it, cell/bias is TensorFlow 1's
        under="layers/{layer}/ | layers/{layer}/{direction}_layer/",
        takes=THREE_ACTIVATIONS,
        source="madmom/ml/nn/layers.py (0.16.1)",
        verified="run: madmom 0.16.1",
    ),
    Convention.row(
        "cntk",
        "CNTK LSTM block: W, H, b, Ci, Cf, Co",
        {"kernel": "W", "recurrent_kernel": "H", "bias": "b", "peephole": "C{gate}"},
        gates="igfo",
        takes={"activation": ANY},
        source="microsoft/CNTK bindings/python/cntk/layers/blocks.py",
    ),
    Convention.row(
        "caffe",
        "Caffe LSTM: W_xc, b_c, W_hc; i f o g",
        {"kernel": "W_xc", "recurrent_kernel": "W_hc", "bias": "b_c"},
        **ROWS_IN_TIME,
        gates="ifog",
        source="BVLC/caffe src/caffe/layers/lstm_layer.cpp",
    ),
    Convention.row(
        "dl4j",
        "DL4J LSTM, GravesLSTM: W, RW, b; g f o i",
        {"kernel": "W", "recurrent_kernel": "RW", "bias": "b"},
        gates="gfoi",
        peephole_gates="foi",
        peephole_columns=True,
        takes={"activation": ANY, "recurrent_activation": ANY},
        source="deeplearning4j LSTMHelpers.java, KerasLSTM.java",
        hidden=("recurrent_activation",),
    ),
    Convention.row(
        "matlab",
        "MATLAB lstmLayer: InputWeights, RecurrentWeights, Bias",
        {"kernel": "InputWeights", "recurrent_kernel": "RecurrentWeights", "bias": "Bias"},
        orientation="rows",
        takes={
            "activation": "tanh softsign relu", "recurrent_activation": "sigmoid hard_sigmoid_0.2",
        },
        source="MathWorks Keras importer TranslatorForLSTMLayer.m",
    ),
    Convention.row(
        "rtneural",
        "RTNeural JSON: weights = [kernel, recurrent kernel, bias]",
        {"numbered": "weights_{number}"},
        numbered=("kernel", "recurrent_kernel", "bias"),
        source="jatinchowdhury18/RTNeural RTNeural/lstm/lstm.tpp, model_loader.h",
    ),
    Convention.row(
        "nam",
        "Neural Amp Modeler .nam: [x; h] of each cell, one bias, and the initial state",
        {
            "fused": "nam.{layer}.weight", "bias": "nam.{layer}.bias",
            "initial_h": "nam.{layer}.hidden", "initial_c": "nam.{layer}.cell",
        },
        orientation="rows",
        source="sdatkinson/neural-amp-modeler nam/models/recurrent.py (0.13.0)",
        verified="run: neural-amp-modeler 0.13.0",
    ),
    Convention.row(
        "flux",
        "Flux.jl LSTMCell: Wi, Wh, bias",
        {"kernel": "Wi", "recurrent_kernel": "Wh", "bias": "bias"},
        orientation="rows",
        source="FluxML/Flux.jl src/layers/recurrent.jl",
    ),
    # ---- by hand: lecture notes, books and the scripts that follow them
    Convention.row(
        "per-gate",
        "Kernels by gate as books name them: W_xi, W_hi, b_i; Wi, Ui, bi; W_ii, W_hi, b_ii, b_hi",
        {
            "kernel": "W_x{gate} | Wx{gate} | W_i{gate} | W{gate} | W_{gate}",
            "recurrent_kernel": "W_h{gate} | Wh{gate} | U{gate} | U_{gate}",
            "bias": "b_{gate} | b{gate} | b_i{gate}",
            "recurrent_bias": "b_h{gate}",
        },
        words={"g": "c | g"},
        not_beside=r"(^|_)U_c$",  # those are Keras 1's
        source="d2l-ai/d2l-en chapter_recurrent-modern/lstm.md (1.0)",
        hidden=("transposed",),
        required_settings=("transposed",),
    ),
    Convention.row(
        "per-gate-fused",
        "One kernel a gate for inputs and h: Wf, Wi, Wc, Wo, bf, bi, bc, bo",
        {"fused": "W{gate} | W_{gate}", "bias": "b{gate} | b_{gate}"},
        words={"g": "c | g | C"},
        not_beside=r"(^|_)U_?[ifgoc]$",
        orientation="rows",
        rows="hx",
        source="DeepLearning.AI, Sequence Models, week 1 assignment: lstm_cell_forward",
        hidden=("rows",),
        required_settings=("rows",),
    ),
    Convention.row(
        "karpathy",
        "Karpathy's batched LSTM: WLSTM [1; x; h], the bias in its first row; i f o g",
        {"fused": "WLSTM"},
        gates="ifog",
        bias_row="first",
        layout="time",
        source="karpathy gist 587454dc0146a6ae21fc: An efficient, batched LSTM",
    ),
    Convention.row(
        "burn",
        "Burn nn::Lstm and BiLstm: input_gate.input_transform.weight, ...; two biases a gate",
        {
            "kernel": "{gate}_gate.input_transform.weight",
            "recurrent_kernel": "{gate}_gate.hidden_transform.weight",
            "bias": "{gate}_gate.input_transform.bias",
            "recurrent_bias": "{gate}_gate.hidden_transform.bias",
        },
        words={"i": "input", "f": "forget", "g": "cell", "o": "output"},
        path=r"(?P<direction>forward|reverse)(?=_|$)",
        absent={"f": "f=1-i"},
        under=" | lstm{nth}. | {direction}. | lstm{nth}.{direction}.",
        takes=THREE_ACTIVATIONS | {"cell_clip": ANY, "reverse": ANY},
        source="tracel-ai/burn crates/burn-nn/src/modules/rnn/lstm/lstm_module.rs",
    ),
    Convention.row(
        "tts-cpp",
        "TTS.cpp: 0.weights.0 to 7, 0.biases.0 to 7; PyTorch's, cut by gate",
        {
            "kernel": "{layer}/{direction}weights/{gate}",
            "recurrent_kernel": "{layer}/{direction}weights/{gate}",
            "bias": "{layer}/{direction}biases/{gate}",
            "recurrent_bias": "{layer}/{direction}biases/{gate}",
        },
        words={"i": "0", "f": "2", "g": "4", "o": "6"},
        recurrent_words={"i": "1", "f": "3", "g": "5", "o": "7"},
        marks=("", "reverse_"),
        within=r"(?<!layers)$",  # those are RTNeural's
        orientation="rows",
        source="mmwillet/TTS.cpp py-gguf/tts_encoders/kokoro_gguf_encoder.py",
        verified="weights cut as its converter cuts them, packed by gguf 0.19, outputs from torch",
    ),
)  # fmt: skip

CONVENTIONS: Mapping[str, Convention] = {row.name: row for row in _ROWS}
"""Every row by name, in the order in which recognition prefers them."""


FRAMEWORK_ALIASES = {  # names in use -> rows that may be meant, for the message
    "torch": ("pytorch", "pytorch-cell"),
    "libtorch": ("pytorch",),
    "torchscript": ("pytorch",),
    "pt": ("pytorch",),
    "lua": ("torch7",),
    "tensorflow": ("tf1", "keras"),
    "tf": ("tf1", "keras"),
    "tensorflow1": ("tf1",),
    "tf2": ("keras",),
    "tensorflow2": ("keras",),
    "tf.keras": ("keras",),
    "tfkeras": ("keras",),
    "keras2": ("keras",),
    "keras3": ("keras",),
    "tensorflow.js": ("tfjs",),
    "tensorflowjs": ("tfjs",),
    "tensorflow-lite": ("tflite",),
    "jax": ("flax", "haiku", "equinox"),
    "nnx": ("flax-nnx",),
    "linen": ("flax",),
    "sonnet": ("sonnet2", "sonnet1"),
    "cudnn": ("cudnnlstm", "tf1-cudnn"),
    "ort": ("onnx",),
    "onnxruntime": ("onnx",),
    "gluon": ("mxnet",),
    "paddlepaddle": ("paddle",),
    "mil": ("coreml",),
    "element-research": ("torch7",),
    "deeplearning4j": ("dl4j",),
}


def find_convention(name: str) -> Convention:
    """The row of this name; UserError with similar names if there is none."""
    try:
        return CONVENTIONS[name.lower()]
    except KeyError:
        meant = [f"'{row}'" for row in FRAMEWORK_ALIASES.get(name.lower(), ())]
        near = did_you_mean(name, CONVENTIONS)
        if meant:
            near = f" Did you mean {' or '.join(meant)}?"
        known = []
        if not near:
            known.append(f"  Conventions: {', '.join(CONVENTIONS)}.")
        raise UserError(f"there is no convention {name!r}.{near}", *known) from None
