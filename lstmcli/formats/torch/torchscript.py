"""TorchScript: tensors are attributes of modules, and settings are in the text of the code.

The code is text that `torch.jit` wrote; it is searched, never run. A scripted
module lists its constants (``batch_first : Final[bool] = True``); a traced or
frozen one has only the call ``torch.lstm(x, [h, c], weights, bias, layers,
dropout, train, bidirectional, batch_first)``. Source:
torch/csrc/jit/serialization/python_print.cpp (2.13); files of 1.0, 1.4 and
1.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lstmcli.formats.files.limits import MOST_WHOLE
from lstmcli.formats.torch.state_dict import Path, Settings, Tree, flatten, name_of
from lstmcli.formats.torch.tensors import Tensor, TensorStorage, itemsize
from lstmcli.formats.wire.pickle import Leaf

CONSTANTS = "constants.pkl"
MODEL = "model.json"  # of torch 1.0 to 1.3, in place of a pickle
LONGEST_LINE = 1 << 13  # characters; a call with 100 weights has half
FROM_JSON = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
}  # else the same word

_FINAL = re.compile(
    r'^  (\w+) : Final\[\w+\] = (True|False|-?\d{1,18}|"[^"\n]*")$', re.M
)
_LIST = re.compile(r"^\s*(\w+) = \[(CONSTANTS\.c\d+(?:, CONSTANTS\.c\d+)*)\]$")
_CALL = re.compile(
    r"torch\.lstm\(.*, (?:\[([^\[\]]*)\]|([\w.]+)), (True|False), (\d{1,18}), [^,]+, [^,]+, "
    r"(True|False), (True|False)\)$"
)
_CELL = re.compile(
    r"torch\.lstm_cell\([^,]+, \[[^\[\]]*\], (CONSTANTS\.c\d+(?:, CONSTANTS\.c\d+)*)\)$"
)


class Call(NamedTuple):
    """A call of ``torch.lstm`` or ``torch.lstm_cell`` in the code."""

    weights: list[str]  # the names of the constants it takes
    bias: bool
    settings: Settings  # as nn.LSTM calls them; empty for a cell


@dataclass
class Script:
    """The members of a TorchScript archive other than its storages."""

    names: Collection[str]
    bytes_of: Callable[..., bytes]
    pickle: Callable[..., Any]
    texts: dict[str, str] = field(default_factory=dict)
    classes: dict[str, dict[str, Settings]] = field(
        default_factory=dict
    )  # of a module's code

    def tree(self) -> Tree:
        """The tensors by their attributes' names, and the settings of the modules."""
        if MODEL in self.names and "data.pkl" not in self.names:
            calls = [call for text in self._code() for call in _calls(text)]
            found = [call.settings for call in calls if call.settings]
            agreed = found and all(one == found[0] for one in found)
            return Tree(self._of_json(), {"": found[0]} if agreed else {})
        tree = flatten(self.pickle("data.pkl", "data", "tensors"))
        if not tree.leaves:
            return self._frozen()
        for settings in tree.groups.values():
            module, _, name = settings["class"].rpartition(".")  # __torch__.a.b.Name
            if module not in self.classes:
                code = self._text(f"code/{module.replace('.', '/')}.py")
                self.classes[module] = _classes(code)
            settings.update(self.classes[module].get(name, {}))
        return tree

    # ---- the code

    def _code(self) -> Iterator[str]:
        yield from (
            self._text(n) for n in self.names if re.fullmatch(r"code/.*\.py", n)
        )

    def _text(self, name: str) -> str:
        if name not in self.texts:
            data = self.bytes_of(name, MOST_WHOLE) if name in self.names else b""
            self.texts[name] = data.decode("utf-8", "replace")
        return self.texts[name]

    # ---- frozen: no names are left

    def _frozen(self) -> Tree:
        """The constants, with nn.LSTM's names where a call takes them as weights."""
        constants = self.pickle(CONSTANTS, CONSTANTS.partition(".")[0])
        by_name = {f"CONSTANTS.c{n}": leaf for n, leaf in enumerate(constants)}
        leaves: dict[str, Leaf] = {}
        groups: dict[str, Settings] = {}
        calls = [call for text in self._code() for call in _calls(text) if call.weights]
        for n, call in enumerate(calls):
            prefix = f"lstm{n}" if len(calls) > 1 else "lstm"
            names = _names(call)
            for name, constant in zip(names, call.weights, strict=True):
                leaf = by_name[constant]
                if not isinstance(leaf, Leaf):
                    raise TypeError(f"{constant} is not a tensor")
                leaves[f"{prefix}.{name}"] = leaf
            groups[prefix] = call.settings
        used = {id(leaf) for leaf in leaves.values()}
        for name, leaf in by_name.items():
            if isinstance(leaf, Leaf) and id(leaf) not in used:
                leaves[name.lower()] = leaf
        how = (
            "those of calls of torch.lstm are named by their order"
            if calls
            else "none is known"
        )
        remark = f"frozen TorchScript keeps no names of tensors; {how}."
        return Tree(leaves, groups, (remark,) if leaves else ())

    # ---- torch 1.0 to 1.3

    def _of_json(self) -> dict[str, Leaf]:
        model = json.loads(self.bytes_of(MODEL, MOST_WHOLE))
        tensors = [self._tensor(entry) for entry in model["tensors"]]
        leaves: dict[Path, Leaf] = {}
        waiting: list[tuple[Path, Any]] = [((), model["mainModule"])]
        while waiting:
            path, module = waiting.pop()
            if not isinstance(module, dict):
                raise TypeError("a module is not an object")
            for entry in module.get("parameters", ()):
                leaves[(*path, entry["name"])] = tensors[int(entry["tensorId"])]
            for entry in reversed(module.get("submodules", [])):
                waiting.append(((*path, entry["name"]), entry))
        return {name_of(path): leaf for path, leaf in leaves.items()}

    def _tensor(self, entry: dict[str, Any]) -> Leaf:
        kind = str(entry["dataType"]).lower()
        kind = FROM_JSON.get(kind, kind)
        size, stride = (
            [int(n) for n in entry.get(key, ())] for key in ("dims", "strides")
        )
        key = entry["data"]["key"]
        data = self.bytes_of(key)
        storage = TensorStorage(key, kind, len(data) // itemsize(kind))
        storage.get = lambda: data
        return Tensor(storage, int(entry.get("offset", 0)), size, stride)


def _classes(text: str) -> dict[str, Settings]:
    parts = re.split(r"^class (\w+)\(Module\):\n", text, flags=re.M)
    classes: dict[str, Settings] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        of_calls = (call.settings for call in _calls(body) if call.settings)
        constants = {key: _plain(value) for key, value in _FINAL.findall(body)}
        classes[name] = next(of_calls, {}) | constants
    return classes


def _calls(text: str) -> Iterator[Call]:
    """The calls in some code, line by line; a list's name stands for its last value."""
    lists: dict[str, str] = {}
    for line in text.splitlines():
        at = line.rfind("torch.lstm")
        if len(line) > LONGEST_LINE or (at < 0 and "CONSTANTS" not in line):
            continue
        if match := _LIST.match(line):
            lists[match[1]] = match[2]
        elif at >= 0 and (match := _CALL.match(line, at)):
            written, name, bias, layers, both, first = match.groups()
            settings = {
                "num_layers": int(layers),
                "bidirectional": both == "True",
                "batch_first": first == "True",
            }
            weights = written if written is not None else lists.get(name, "")
            yield Call(
                _constants(weights), bias == "True", {"class": "torch.lstm", **settings}
            )
        elif at >= 0 and (match := _CELL.match(line, at)):
            yield Call(_constants(match[1]), True, {})


def _constants(text: str) -> list[str]:
    return re.findall(r"CONSTANTS\.c\d+", text)


def _names(call: Call) -> list[str]:
    """nn.LSTM's names of the weights of a call, in the call's order."""
    if not call.settings:
        return ["weight_ih", "weight_hh", "bias_ih", "bias_hh"][: len(call.weights)]
    directions = ["", "_reverse"] if call.settings["bidirectional"] else [""]
    cells = [
        f"_l{n}{direction}"
        for n in range(min(call.settings["num_layers"], len(call.weights)))
        for direction in directions
    ]
    roles = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if call.bias else [])]
    if len(call.weights) == len(cells) * (len(roles) + 1):
        roles.append("weight_hr")
    if len(call.weights) != len(cells) * len(roles):
        raise ValueError(f"torch.lstm is called with {len(call.weights)} weights")
    return [role + cell for cell in cells for role in roles]


def _plain(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    return text[1:-1] if text.startswith('"') else int(text)
