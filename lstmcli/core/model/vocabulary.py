"""Gate letters, gate orders, names of activations. No numpy here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite

from lstmcli.errors import did_you_mean

GATES = "ifgo"
"""The order of gates in a `Cell`: input, forget, candidate, output."""

_CANDIDATE = "gjcz"  # g in flax and torch, j in TF1, c in Keras and ONNX, z in Core ML


def read_gate_order(value: object) -> str:
    """A gate order in the letters i f g o: ``ijfo`` and ``ICFO`` are ``igfo``.

    A ValueError describes what a gate order is.
    """
    text = str(value).lower()
    order = "".join("g" if letter in _CANDIDATE else letter for letter in text)
    if sorted(order) != sorted(GATES):
        raise ValueError(
            "each of i, f, o and one of g j c z once, such as ifgo, ijfo or iofc"
        )
    return order


def spaced_order(order: str) -> str:
    """``i g f o``, as headers show an order."""
    return " ".join(order)


PEEPHOLE_ORDERS = ("ifo", "iof", "fio", "foi", "oif", "ofi")
"""The orders of the peepholes of i, f and o in one tensor."""

TRANSPOSED = (
    "none",
    "kernel",
    "recurrent",
    "both",
    "reshaped_kernel",
    "reshaped_recurrent",
    "reshaped_both",
)
"""Which matrices are stored with exchanged axes, block by block or reshaped as one matrix."""

ONE_OF_TWO = ("input_only", "recurrent_only", "input_twice", "recurrent_twice")
"""Uses of one of two biases, the other being forgotten."""

BIASES = ("once", "twice", "none", *ONE_OF_TWO)
"""How often the bias is added."""

ACTIVATION_NAMES: dict[str, tuple[float, ...]] = {
    # by name the default parameters, those of the ONNX specification
    "sigmoid": (),
    "tanh": (),
    "relu": (),
    "identity": (),
    "hard_sigmoid_0.2": (),  # clip(0.2 x + 0.5): Keras 1 and 2, TF1, ONNX
    "hard_sigmoid_1_6": (),  # clip(x/6 + 0.5): Keras 3, PyTorch, JAX
    "hard_sigmoid": (0.2, 0.5),  # only with its slope and offset given
    "affine": (1.0, 0.0),
    "leaky_relu": (0.01,),
    "thresholded_relu": (1.0,),
    "scaled_tanh": (1.0, 1.0),
    "elu": (1.0,),
    "softsign": (),
    "softplus": (),
}

_ALIASES = {
    "linear": "identity",
    "leakyrelu": "leaky_relu",
    "thresholdedrelu": "thresholded_relu",
    "scaledtanh": "scaled_tanh",
    "hardsigmoid": "hard_sigmoid",
    "hard_sigmoid_1/6": "hard_sigmoid_1_6",
    "logsoftmax": "log_softmax",
}

OVER_OUTPUTS = ("softmax", "log_softmax")
"""Activations of a head that take all outputs at once."""


def read_activation_name(value: object, further: Sequence[str] = ()) -> str:
    """An activation in one spelling: ``relu``, ``leaky_relu(0.01)``, ``affine(1.5,0.2)``.

    ``further`` are known as well. A ValueError has the known names; for a bare
    ``hard_sigmoid``, the two that share the name.
    """
    text = str(value).lower().replace(" ", "")
    name, _, inside = text.partition("(")
    name = _ALIASES.get(name, name)
    if name in further and not inside:
        return name
    if name not in ACTIVATION_NAMES:
        known = [n for n in ACTIVATION_NAMES if n != "hard_sigmoid"]
        known.extend(further)
        raise ValueError(f"one of {', '.join(known)}.{did_you_mean(name, known)}")
    if name == "hard_sigmoid" and inside in ("", ")"):
        raise ValueError(
            "hard_sigmoid_0.2, clip(0.2x + 0.5), as in Keras 1 and 2, TF1 and ONNX,",
            "  or hard_sigmoid_1_6, clip(x/6 + 0.5), as in Keras 3, PyTorch and JAX.",
        )
    defaults = ACTIVATION_NAMES[name]
    given = () if inside in ("", ")") else _numbers_inside(inside, name)
    if len(given) > len(defaults):
        raise ValueError(f"at most {len(defaults)} numbers for {name}")
    if not given:
        return name
    return f"{name}({','.join(map(shortest_decimal, given + defaults[len(given) :]))})"


def read_head_activation(value: object) -> str:
    """An activation of a layer behind the LSTM in one spelling; ``none`` is ``identity``.

    A ValueError as of `read_activation_name`.
    """
    if str(value).lower() == "none":
        return "identity"
    return read_activation_name(value, OVER_OUTPUTS)


_COMMA = re.compile(r",(?![^(]*\))")  # outside of brackets
_ACTIVATION = re.compile(r"(.*[^:]):(?!\d+$)([^:]+)")  # kernel:0 and onnx::W have none


def split_head(value: object) -> list[tuple[str, str]]:
    """The layers of a head, each with its activation, of ``fc:relu,out``; none of ``none``.

    A ValueError has what is expected.
    """
    text = str(value).strip()
    if text == "none":
        return []
    layers = []
    for part in _COMMA.split(text):
        name, activation = part.strip(), "identity"
        match = _ACTIVATION.fullmatch(name)
        if match:
            name, activation = match.groups()
        if not name:
            raise ValueError("none, or NAME[:ACTIVATION],... of the layers in turn")
        layers.append((name, read_head_activation(activation)))
    return layers


def read_head(value: object) -> str:
    """A head in one spelling: ``fc:relu,out`` of ``fc:ReLU, out:linear``."""
    texts = []
    for name, activation in split_head(value):
        texts.append(name if activation == "identity" else f"{name}:{activation}")
    return ",".join(texts) or "none"


def _numbers_inside(text: str, name: str) -> tuple[float, ...]:
    try:
        numbers = tuple(map(float, text.removesuffix(")").split(",")))
    except ValueError:
        numbers = ()
    if not numbers or not text.endswith(")") or not all(map(isfinite, numbers)):
        raise ValueError(f"finite numbers between the brackets of {name}(...)")
    return numbers


_FIXED = {"hard_sigmoid_0.2": (0.2, 0.5), "hard_sigmoid_1_6": (1 / 6, 0.5)}


def split_activation(name: str) -> tuple[str, tuple[float, ...]]:
    """An activation's family and its numbers: ``elu(0.8)`` is ``elu``, (0.8,)."""
    if name in _FIXED:
        return "hard_sigmoid", _FIXED[name]
    family, _, rest = name.partition("(")
    given = tuple(float(p) for p in rest.rstrip(")").split(",") if p)
    return family, given or ACTIVATION_NAMES[family]


def shortest_decimal(number: float) -> str:
    """The shortest decimal text of exactly this number: ``0.3``, ``1``."""
    text = f"{number:g}"
    return text if float(text) == number else repr(number)


MOST_NUMBERED = 8  # steps or sequences


def numbered(name: str, numbers: Sequence[int]) -> str:
    """``step 0``, ``steps 1 to 3``, ``steps 0, 2``, ``12 steps from 0 to 30``."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) == 1:
        return f"{name} {first}"
    if [*numbers] == [*range(first, last + 1)]:
        return f"{name}s {first} to {last}"
    if len(numbers) > MOST_NUMBERED:
        return f"{len(numbers)} {name.lower()}s from {first} to {last}"
    return f"{name}s {', '.join(map(str, numbers))}"


# ---- Keras' names


OLD_HARD_SIGMOID, NEW_HARD_SIGMOID = "hard_sigmoid_0.2", "hard_sigmoid_1_6"
_LEAKY = "leaky_relu(0.2)"  # the slope of Keras' activation of that name
_SLOPES = ("negative_slope", "alpha")  # of a LeakyReLU layer: Keras 3, Keras 2


def keras_activation_name(value: object) -> str:
    """An activation in a config, a name or a serialized layer, as one that may be read."""
    if value is None:
        return "linear"
    if isinstance(value, dict):
        config, kind = value.get("config"), str(value.get("class_name"))
        if kind == "LeakyReLU":
            config = config if isinstance(config, dict) else {}
            slope = next((config[word] for word in _SLOPES if word in config), 0.3)
            return f"leaky_relu({slope})"
        return config if isinstance(config, str) else kind
    return _LEAKY if value == "leaky_relu" else str(value)


def hard_sigmoid_of_keras(version: str) -> str:
    """The function of that name in a version: Keras 3 gave the name to another one."""
    major = version.partition(".")[0]
    is_new = major.isdecimal() and major not in ("0", "1", "2")
    return NEW_HARD_SIGMOID if is_new else OLD_HARD_SIGMOID
