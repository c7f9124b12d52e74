"""Pickles as data: a stack machine over parsed opcodes that imports nothing.

`pickletools` only parses. What a pickle asks Python to import becomes a
`Global`, only a name; what it asks to call a `Record` of the name and the
arguments. Only the names of ``makers`` are called: functions of this package
that build tensors. Source: Python's Lib/pickletools.py; PEP 307, 3154 and 574.
"""

from __future__ import annotations

import codecs
import pickletools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np

from lstmcli.formats.document import Shape
from lstmcli.formats.files.limits import LARGE, MOST_NAME, MOST_OBJECTS, Damaged

Maker = Callable[..., Any]


@dataclass(eq=False, repr=False, slots=True)
class Global:
    """The name of what a pickle asks to import."""

    name: str


@dataclass(eq=False, repr=False, slots=True)
class Record:
    """A call that was not made: the name of what is called, its arguments and state."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)

    def build(self, state: Any) -> None:
        """Take the state that a pickle gives the object."""
        self.state = state


class Leaf:
    """The parts of an array as a maker got them, not yet an array."""

    __slots__ = ()

    def build(self, state: Any) -> None:
        """Take the state that a pickle gives the object."""

    def settled(self) -> Any:
        """The leaf itself, or the value that its state replaced it by."""
        return self

    def extent(self) -> tuple[Shape, int]:
        """The shape, and the bytes of an element."""
        raise NotImplementedError

    def array(self) -> np.ndarray:
        """The array in native byte order; ValueError if its parts do not fit."""
        raise NotImplementedError


@dataclass(eq=False, repr=False, slots=True)
class Unread(Leaf):
    """Numbers of a kind that is not read."""

    kind: str


def load(
    stream: BinaryIO,
    makers: Mapping[str, Maker],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value of the pickle at the stream's position.

    The stream is in memory: for a file, Python allocates a forged length
    before it reads. ``makers`` are by the full name that a pickle imports;
    ``persistent`` resolves persistent ids. Whatever `pickletools` raises for a
    damaged pickle, and for opcodes that no checkpoint has, passes.
    """
    return _Machine(makers, persistent).run(stream)


_REMEMBERS = {"BINPUT", "LONG_BINPUT", "PUT", "MEMOIZE"}
_RECALLS = {"BINGET", "LONG_BINGET", "GET"}
_VALUES = {
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "BINUNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE8",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
}
_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_ATOMS = (str, bytes, int, float, type(None))  # keys whose hash does not go into depths


def identifier(value: Any) -> str:
    """The name that a pickle gives to a storage or a tensor, as text.

    ValueError for others than text or an integer: that of forty tuples, each
    containing the one before twice, would have 2**40 parts.
    """
    if type(value) not in (str, int):
        raise ValueError(f"a name that is a {type(value).__name__}")
    return str(value)


def first(*args: Any) -> Any:
    """The first argument, where a call would copy it: a pickle can ask for a million."""
    return args[0] if args else []


def _bytes(value: Any = b"", *_: Any) -> Any:
    return value


CONTAINERS: dict[str, Maker] = {
    f"{module}.{name}": _bytes if name.startswith("byte") else first
    for module in ("builtins", "__builtin__")
    for name in ("set", "frozenset", "list", "tuple", "bytes", "bytearray")
}


def opcodes(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """The opcodes of a pickle and their arguments, to the end of the pickle or of the stream.

    As `pickletools.genops`, which takes Python 2's strings in protocol 0 for
    ASCII, and raises what its readers raise.
    """
    while code := stream.read(1):
        opcode = _OPCODES.get(code.decode("latin-1"))
        if opcode is None:
            raise ValueError(f"no opcode at byte {stream.tell() - 1:,}")
        if opcode.name == "STRING":
            yield opcode.name, _string(stream.readline())
        else:
            yield opcode.name, opcode.arg and opcode.arg.reader(stream)
        if opcode.name == "STOP":
            return


def _string(line: bytes) -> str:
    """A quoted string of Python 2, its bytes as latin-1."""
    text = line.rstrip(b"\n")
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")


class _Machine:
    def __init__(self, makers: Mapping[str, Maker], persistent: Maker | None) -> None:
        standard: dict[str, Maker] = {
            "collections.OrderedDict": self._made_dict,
            "collections.Counter": self._made_dict,
            "builtins.dict": self._made_dict,
            "__builtin__.dict": self._made_dict,
            "collections.defaultdict": lambda *_: {},
            "_codecs.encode": self._made_bytes,
            "copyreg._reconstructor": self._made_bare,
            "copy_reg._reconstructor": self._made_bare,
            "copyreg.__newobj__": self._made_bare,
            "copy_reg.__newobj__": self._made_bare,
        }
        self.makers = {**CONTAINERS, **makers, **standard}
        self.persistent = persistent
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = MOST_OBJECTS
        self.characters = LARGE  # that may still be encoded

    def run(self, stream: BinaryIO) -> Any:
        push, stack = self.stack.append, self.stack
        for name, argument in opcodes(stream):
            self.left -= 1
            if self.left < 0:
                raise ValueError(f"more than {MOST_OBJECTS:,} opcodes")
            if name in _VALUES:
                push(argument)
            elif name in _PUSHED:
                push(_PUSHED[name](self, argument))
            elif name in _CHANGES:
                _CHANGES[name](self)
            elif name in _REMEMBERS:
                self.remember(argument)
            elif name in _RECALLS:
                push(self.recalled(argument))
            elif name == "STOP":
                return stack.pop()
            elif name not in ("PROTO", "FRAME"):
                raise ValueError(f"the opcode {name}, which no checkpoint has")
        raise ValueError("no end")

    def remember(self, key: int | None) -> None:
        """Keep the top of the stack under a key, by default the next number."""
        if key is None:
            key = len(self.memo)
        self.memo[key] = self.stack[-1]

    def recalled(self, key: int) -> Any:
        if key not in self.memo:
            raise Damaged(f"it refers to {key}, which is not in it")
        return self.memo[key]

    # ---- the stack and containers

    def above_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def popped(self, count: int) -> tuple[Any, ...]:
        items = tuple(self.stack[-count:])
        if len(items) < count:
            raise IndexError("nothing on the stack")
        del self.stack[-count:]
        return items

    def drop(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def extend(self, items: list[Any]) -> None:
        """Append items to the list, or the record, on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Record):
            target = target.items
        if not isinstance(target, list):
            raise TypeError(f"items for a {type(target).__name__}")
        target.extend(items)

    def fill(self, items: Sequence[Any]) -> None:
        self.filled(self.stack[-1], items)

    def filled(self, target: Any, items: Sequence[Any]) -> Any:
        """The dict with further keys, if they are plain: others can name no tensor."""
        if len(items) % 2:
            raise ValueError("a key without a value")
        pairs = list(zip(items[::2], items[1::2], strict=True))
        if isinstance(target, Record):
            target.items.append(self._made_dict(pairs))
        elif isinstance(target, dict):
            target.update((k, v) for k, v in pairs if isinstance(k, _ATOMS))
        else:
            raise TypeError(f"keys for a {type(target).__name__}")
        return target

    # ---- names and calls

    def named(self, module: Any, name: Any) -> Global:
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError("a name that is not text")
        if len(module) + len(name) > MOST_NAME:
            raise ValueError(f"a name of more than {MOST_NAME} characters")
        return Global(f"{module}.{name}")

    def call(self, what: Any, args: Any, *named: Any) -> Any:
        """The result of a maker, or a record of the call."""
        if not isinstance(args, tuple):
            raise TypeError("arguments that are not a tuple")
        args = (*args, *named)
        self.left -= len(args)  # a maker gets a copy of them
        if not isinstance(what, Global):
            return Record("a call of what a call made", args)
        maker = self.makers.get(what.name)
        return Record(what.name, args) if maker is None else maker(*args)

    def build(self, state: Any) -> None:
        if isinstance(self.stack[-1], (Record, Leaf)):
            self.stack[-1].build(state)

    def resolved(self, reference: Any) -> Any:
        if self.persistent is None:
            raise ValueError("it refers to data outside of itself")
        return self.persistent(reference)

    # ---- makers that count towards the limits

    def _made_dict(self, pairs: Any = (), *_: Any) -> Any:
        """A dict of pairs; Python 2 writes an OrderedDict so."""
        if isinstance(pairs, dict):
            return pairs
        self.left -= len(pairs)
        return {k: v for k, v in pairs if isinstance(k, _ATOMS)}

    def _made_bytes(self, text: Any, coding: Any = "latin1", *_: Any) -> bytes:
        """Bytes, as Python 3 writes them for Python 2."""
        if not isinstance(text, str):
            raise TypeError("bytes that are made of no text")
        self.characters -= len(text)
        if self.characters < 0 or coding not in ("latin1", "latin-1"):
            raise ValueError(
                "text in an encoding that is not latin1, or too much of it"
            )
        return bytes(text.encode("latin-1"))

    def _made_bare(self, kind: Any, *_: Any) -> Any:
        return self.call(kind, ())


_PUSHED: dict[
    str, Callable[[_Machine, Any], Any]
] = {  # opcode -> what it puts on the stack
    "NONE": lambda m, _: None,
    "NEWTRUE": lambda m, _: True,
    "NEWFALSE": lambda m, _: False,
    "EMPTY_TUPLE": lambda m, _: (),
    "EMPTY_LIST": lambda m, _: [],
    "EMPTY_DICT": lambda m, _: {},
    "EMPTY_SET": lambda m, _: [],  # nothing is hashed
    "TUPLE1": lambda m, _: m.popped(1),
    "TUPLE2": lambda m, _: m.popped(2),
    "TUPLE3": lambda m, _: m.popped(3),
    "TUPLE": lambda m, _: tuple(m.above_mark()),
    "LIST": lambda m, _: m.above_mark(),
    "FROZENSET": lambda m, _: m.above_mark(),
    "DICT": lambda m, _: m.filled({}, m.above_mark()),
    "DUP": lambda m, _: m.stack[-1],
    "GLOBAL": lambda m, argument: Global(".".join(argument.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.named(*m.popped(2)),
    "REDUCE": lambda m, _: m.call(*m.popped(2)),
    "NEWOBJ": lambda m, _: m.call(*m.popped(2)),
    "NEWOBJ_EX": lambda m, _: m.call(*m.popped(3)),
    "PERSID": lambda m, argument: m.resolved(argument),
    "BINPERSID": lambda m, _: m.resolved(m.stack.pop()),
}
_CHANGES: dict[
    str, Callable[[_Machine], object]
] = {  # opcode -> what it does to the stack
    "MARK": lambda m: m.marks.append(len(m.stack)),
    "POP": _Machine.drop,
    "POP_MARK": _Machine.above_mark,
    "APPEND": lambda m: m.extend(list(m.popped(1))),
    "APPENDS": lambda m: m.extend(m.above_mark()),
    "ADDITEMS": lambda m: m.extend(m.above_mark()),
    "SETITEM": lambda m: m.fill(m.popped(2)),
    "SETITEMS": lambda m: m.fill(m.above_mark()),
    "BUILD": lambda m: m.build(m.stack.pop()),
}
