"""The value of a pickle -> named tensors: nested dicts, lists and modules, flattened.

The names are those of a state dict: keys joined with ".". Every container is
visited once, without recursion: sixty lists, each twice in the next, would
have 2^60 leaves, and a list may contain itself. Of madmom's networks
(madmom/ml/nn/__init__.py and layers.py, 0.16.1), the groups tell which layers
are LSTMs, and which follow each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

from lstmcli.errors import UserError
from lstmcli.formats.document import Arrays, Document
from lstmcli.formats.files.limits import (
    MOST_LEVELS,
    MOST_NAME,
    MOST_OBJECTS,
    check_size,
    check_total,
)
from lstmcli.formats.wire.pickle import Global, Leaf, Record, Unread

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "weights",
    "params",
)
OPTIMIZER = ("state", "param_groups")  # keys of its state dict: averages of all weights
MODULE = (
    "_parameters",
    "_buffers",
    "_modules",
)  # where nn.Module keeps what is in a state dict
PLAIN = (str, int, float, Global)  # the attributes of a module that may be settings
REPEATED = "_flat_weights"  # the parameters of an nn.LSTM once more

Path = tuple[str, ...]
Settings = dict[str, Any]


class Tree(NamedTuple):
    """The leaves of a value and its metadata of them, by name."""

    leaves: dict[str, Leaf]
    groups: dict[str, Settings]  # of each module: its class, its plain attributes
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()  # names of what cannot be read


def flatten(root: Any) -> Tree:
    """All leaves by name, in the order of the file.

    ValueError if it is nested deeper, or has more entries, than any
    checkpoint.
    """
    leaves: list[tuple[Path, Leaf]] = []
    groups: dict[Path, Settings] = {}
    entered: set[int] = set()
    left = MOST_OBJECTS
    root = _settled(root)
    waiting: list[tuple[Path, Any]] = [((), root)]
    while waiting:
        path, value = waiting.pop()
        value = _settled(value)
        if isinstance(value, Leaf):
            leaves.append((path, value))
        elif (
            isinstance(value, (dict, list, tuple, Record)) and id(value) not in entered
        ):
            entered.add(id(value))
            if len(path) > MOST_LEVELS:
                raise ValueError(f"nested more than {MOST_LEVELS} deep")
            children = [(path + step, child) for step, child in _children(value)]
            left -= 1 + len(children)
            if isinstance(value, Record) and isinstance(value.state, dict):
                left -= len(value.state)
                groups[path] = _plain_attributes(value.name, value.state)
            if left < 0:
                raise ValueError(
                    f"more than {MOST_OBJECTS:,} entries in its containers"
                )
            waiting += reversed(children)
    return _named(root, leaves, groups)


def _plain_attributes(name: str, state: dict[Any, Any]) -> Settings:
    """The class of a module, and its attributes that are numbers or words."""
    found: Settings = {"class": name}
    for key, word in state.items():
        if not isinstance(key, str) or key.startswith("_"):
            continue
        if isinstance(word, Global):
            found[key] = word.name
        elif isinstance(word, PLAIN):
            found[key] = word
    return found


def _named(
    root: Any, leaves: list[tuple[Path, Leaf]], groups: dict[Path, Settings]
) -> Tree:
    """Leaves and modules by name, without the containers that all are in."""
    cut = _wrapping(root, [path for path, _ in leaves])
    read: dict[str, Leaf] = {}
    unread: list[tuple[str, Unread]] = []
    remarks: list[str] = []
    for path, leaf in leaves:
        name = name_of(path[cut:])
        if isinstance(leaf, Unread):
            unread.append((name, leaf))
        elif read.setdefault(name, leaf) is not leaf:
            remarks.append(f"a second tensor named {name} is left out.")
    if unread:
        name, lacking = unread[0]
        text = f"left out: {name or 'a tensor'} is {lacking.kind}"
        if len(unread) > 1:
            text = f"{text}, and {len(unread) - 1} more"
        remarks.append(f"{text}.")
    by_name = {
        name_of(path[cut:]): one for path, one in groups.items() if len(path) >= cut
    }
    return Tree(read, by_name, tuple(remarks), tuple(name for name, _ in unread))


def _settled(value: Any) -> Any:
    """Follow a leaf to the object that its pickled state replaced it with."""
    for _ in range(MOST_LEVELS):
        if not isinstance(value, Leaf) or (settled := value.settled()) is value:
            return value
        value = settled
    raise ValueError(f"nested more than {MOST_LEVELS} deep")


def document(source: str, size: int, format: str, tree: Tree) -> Document:
    """The arrays of a tree, of a file of ``size`` bytes, once their sizes are checked."""
    declared = 0
    for name, leaf in tree.leaves.items():
        shape, itemsize = leaf.extent()
        declared += check_size(shape, itemsize, f"{source}: {name}") * itemsize
    check_total(declared, size, source)
    arrays: Arrays = {}
    for name, leaf in tree.leaves.items():
        try:
            arrays[name] = leaf.array()
        except ValueError as error:
            raise UserError(
                f"{source}: {name or 'the tensor'} is damaged ({error})."
            ) from None
    remarks = tuple(f"{source}: {remark}" for remark in tree.remarks)
    return Document(source, format, arrays, groups=tree.groups, remarks=remarks)


def _children(value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict):
        if not all(key in value for key in OPTIMIZER):
            yield from (
                ((str(key),), child) for key, child in value.items() if key != REPEATED
            )
    elif isinstance(value, Record):
        yield from _record_children(value)
    else:
        yield from (((str(n),), child) for n, child in enumerate(value))


def _record_children(record: Record) -> Iterator[tuple[Path, Any]]:
    state = record.state
    parts = (
        {part: state.get(part) for part in MODULE} if isinstance(state, dict) else {}
    )
    members = {part: found for part, found in parts.items() if isinstance(found, dict)}
    if members:
        names = state.get("_non_persistent_buffers_set")
        texts = names if isinstance(names, list) else ()
        passing = {name for name in texts if isinstance(name, str)}
        for part, children in members.items():
            left_out = passing if part == "_buffers" else ()
            yield from (
                ((str(k),), child) for k, child in children.items() if k not in left_out
            )
        return
    states: tuple[Any, ...] = state if isinstance(state, tuple) else (state,)
    yield from (((), child) for child in (*states, *record.items, *record.args))


def _wrapping(root: Any, paths: Sequence[Path]) -> int:
    """How many leading parts of all paths are wrappers, such as ``state_dict``."""
    cut = 0
    while paths and isinstance(root, dict):
        first = {path[cut : cut + 1] for path in paths}
        step = min(first)
        if len(first) > 1 or step[:1] not in {(word,) for word in WRAPPERS}:
            break
        if isinstance(root[step[0]], Leaf):
            break
        root, cut = root[step[0]], cut + 1
    return cut


def name_of(path: Path) -> str:
    """The steps joined with "."; ValueError beyond `MOST_NAME` characters."""
    if sum(map(len, path)) > MOST_NAME:
        raise ValueError(f"a name of more than {MOST_NAME} characters")
    return ".".join(path).encode("utf-8", "backslashreplace").decode()


# ---- pickled networks of madmom


NETWORK = "madmom.ml.nn.NeuralNetwork"
LAYER = re.compile(r"(?:.*\.)?layers\.\d+")
CLASSES = "madmom.ml.nn.layers."
LSTM, BIDIRECTIONAL = f"{CLASSES}LSTMLayer", f"{CLASSES}BidirectionalLayer"
OTHER_LAYERS = {"GRULayer": "GRUs", "RecurrentLayer": "plain recurrent layers"}
GATES = ("input_gate", "forget_gate", "cell", "output_gate")
FUNCTION = "activation_fn"


def describe_network(document: Document) -> Document:
    """A pickled network with the activations of each LSTM in its group, and the chain of LSTMs.

    Any other document is returned as it is.
    """
    groups = document.groups
    if groups.get("", {}).get("class") != NETWORK:
        return document
    functions = {
        path: {FUNCTION: attributes.get(FUNCTION)}
        | {gate: groups.get(f"{path}.{gate}", {}).get(FUNCTION) for gate in GATES}
        for path, attributes in groups.items()
        if attributes.get("class") == LSTM
    }
    if not functions:
        kinds = {
            str(group.get("class")).removeprefix(CLASSES) for group in groups.values()
        }
        others = " and ".join(
            name for kind, name in OTHER_LAYERS.items() if kind in kinds
        )
        why = f"it is a network of madmom with {others or 'no recurrent layer'}, and no LSTM."
        return replace(document, not_run=why)
    groups = groups | {
        path: groups[path] | of_lstm for path, of_lstm in functions.items()
    }
    layers = [path for path in groups if LAYER.fullmatch(path)]
    layers.sort(key=lambda path: int(path.rpartition(".")[2]))
    both = [path for path in layers if groups[path].get("class") == BIDIRECTIONAL]
    lstms = {*functions}
    lstms |= {
        path for path in both if {f"{path}.fwd_layer", f"{path}.bwd_layer"} <= lstms
    }
    runs = [[*run] for is_lstm, run in groupby(layers, lstms.__contains__) if is_lstm]
    return replace(
        document, groups=groups, in_turn=tuple(runs[0]) if len(runs) == 1 else ()
    )
