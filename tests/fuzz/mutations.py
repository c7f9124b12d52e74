"""Seeded changes of files: of their bytes, and of what lies behind checksums and compression.

A mutator takes a random generator and the bytes of a file and returns other bytes. Those that know
a format change its parts (members, fields, opcodes, headers) and put the file together again, so
that the change is met by the code behind the first check.
"""

from __future__ import annotations

import io
import itertools
import json
import pickletools
import random
import re
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from lstmcli.formats.files.limits import Damaged
from lstmcli.formats.wire.protobuf import BYTES, FIXED32, FIXED64, fields
from tests.formats.protobuf import varint

Mutator = Callable[[random.Random, bytes], bytes]

INTEGERS = (
    -1, 0, 1, 2, 3, 7, 255, 1 << 16, (1 << 31) - 1, 1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 32,
    1 << 40, (1 << 63) - 1, 1 << 63, -(1 << 63), (1 << 64) - 1,
)  # fmt: skip
HUGE = 10**4000  # just below the digits that Python writes
TEXTS = (
    "", ".", "..", "/", "../outside.npz", "/etc/passwd", "outside.npz", "a/b", "a\\b", "C:\\x",
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "\x7f", "line\nfeed", "cr\rx", "nul\0byte",
    "\u202eright to left", "\u2028line", "\u2029paragraph", "\u2066isolate", "\ufeff", "\ud800",
    "$(touch x)", "`touch x`", "; touch x", "%s%n", "[bold]x[/bold]", "[/]", "x" * 5000,
    "9" * 5000, "layer_" + "9" * 400, "nan", "inf", "-0", "1e400", "0x10", "①", "٣", "True",
    "weight_ih_l0", "weight_hh_l" + "9" * 30, "kernel", "recurrent_kernel", "bias", "inputs",
    "initial_state.h", "lengths", "mask", "lstm", "tanh", "sigmoid", "float16", "bfloat16",
    "complex64", "object", "LSTM", "GRU", "Bidirectional", "__class__", "data.pkl",
)  # fmt: skip

TOKENS = (
    b"nan", b"inf", b"-inf", b"1e400", b"-0", b"1e-400", b"0x1p3", b"1_0", b"9" * 5000,
    b"-" + b"9" * 5000, b"." , b"e5", b"1.5.2", b"None", b"null", b"true", b"...", b", ...,",
    b"[", b"]", b"[[", b"]]", b"{", b"}", b"(", b")", b'"', b"'", b",", b",,", b"\t", b";", b":",
    b"\n", b"\r", b"\r\n", b"\n\n", b" ", b"\\", b"\\u0000", b"\\ud800", b"#", b"\0", b"\x1b[31m",
    b"\x1b]0;x\x07", b"\xc2\x9b2J", b"\x7f", b"\xe2\x80\xae", b"\xe2\x80\xa8", b"\xef\xbb\xbf",
    b"\xff\xfe", b"\xed\xa0\x80", b"\xff", b"[" * 3000, b"{\"a\":" * 3000, b"step", b"h[0]",
    b"h[999999999]", b"h[-1]", b"h[0][0][0]", b"x[" + b"9" * 5000 + b"]", b"array(", b"tensor(",
    b"dtype=float16", b"dtype=object", b"grad_fn=<X>", b"device='cuda:0'", b"inputs", b"lengths",
    b"\xd9\xa3", b"1e", b"--1", b"+1", b"\"a\"\"b\"", b"\v", b"\f", b"\x85", b"\xc2\x85",
)  # fmt: skip


def times(rng: random.Random) -> int:
    """How many changes a variant gets: mostly one."""
    return rng.choice((1, 1, 1, 2, 3))


def one_of(*mutators: Mutator) -> Mutator:
    """A mutator that is one of these, each time."""
    return lambda rng, data: rng.choice(mutators)(rng, data)


def flips(rng: random.Random, data: bytes) -> bytes:
    """Bytes flipped, replaced, removed, repeated, exchanged; nothing stays nothing."""
    out = bytearray(data)
    for _ in range(times(rng) if data else 0):
        at, start = rng.randrange(len(out)), rng.randrange(len(out))
        piece = out[start : start + rng.choice((1, 2, 4, 8, 64))]
        action = rng.randrange(6)
        if action < 2:
            out[at] ^= 1 << rng.randrange(8)
        elif action == 2:
            out[at] = rng.randrange(256)
        elif action == 3 and len(piece) < len(out):
            del out[start : start + len(piece)]
        elif action == 4:
            out[at:at] = piece
        else:
            out[at : at + len(piece)] = piece
    return bytes(out)


def truncation(rng: random.Random, data: bytes) -> bytes:
    """The data cut short, mostly near an end."""
    near = rng.randrange(min(len(data), 64) + 1)
    return data[: rng.choice((rng.randrange(len(data) + 1), near, len(data) - near))]


def lying_number(rng: random.Random, data: bytes) -> bytes:
    """A number of 2, 4 or 8 bytes, mostly at a multiple of its size, that becomes another.

    It becomes an extreme one, one near itself, or the number at another position.
    """
    out = bytearray(data)
    for _ in range(times(rng)):
        size = rng.choice((2, 4, 4, 4, 8))
        if len(out) < 2 * size:
            continue
        at = rng.randrange(len(out) // size) * size
        at += (
            rng.randrange(size)
            if rng.random() < 0.3 and at + 2 * size <= len(out)
            else 0
        )
        order = rng.choice(("little", "little", "little", "big"))
        if rng.random() < 0.3:
            other = rng.randrange(len(out) // size) * size
            number = int.from_bytes(out[other : other + size], "little")
        elif rng.random() < 0.5:
            number = int.from_bytes(out[at : at + size], "little") + rng.choice(
                (-4, -1, 1, 4, 64)
            )
        else:
            number = rng.choice((*INTEGERS, len(out), len(out) - at))
        out[at : at + size] = (number % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]
    return bytes(out)


binary = one_of(flips, flips, truncation, lying_number)


def tokens(rng: random.Random, data: bytes) -> bytes:
    """Text with a token put in, or in place of another."""
    for _ in range(times(rng)):
        token = rng.choice(TOKENS)
        places = list(re.finditer(rb"[\w.+-]+|[^\w\s]|\s", data[:20000]))
        if not places:
            return token
        at = rng.choice(places)
        end = at.end() if rng.random() < 0.6 else at.start()
        data = data[: at.start()] + token + data[end:]
    return data


text = one_of(tokens, tokens, flips, truncation)


# ---- JSON


def json_value(rng: random.Random) -> Any:
    """A value that a JSON document seldom has at that place."""
    nested: Any = rng.choice((*INTEGERS, HUGE))
    for _ in range(rng.choice((1, 3, 70, 400))):
        nested = [nested] if rng.random() < 0.7 else {"a": nested}
    return rng.choice(
        (
            None, True, False, 0.5, -0.0, float("nan"), float("inf"), 1e300, [], {}, [[]], [{}],
            [None], [[1], [1, 2]], [[1, 2], 3], [True, 1], ["a"], {"": {}}, nested, nested,
            rng.choice(INTEGERS), rng.choice((*INTEGERS, HUGE)),
            rng.choice(TEXTS), rng.choice(TEXTS),
        )
    )  # fmt: skip


def json_tree(rng: random.Random, data: bytes) -> bytes:
    """A JSON document with values replaced, removed, repeated, or under other names."""
    try:
        value = json.loads(data)
    except ValueError:
        return tokens(rng, data)
    holder = [value]
    for _ in range(times(rng)):
        _change_node(rng, holder)
    encoded = json.dumps(holder[0], ensure_ascii=rng.random() < 0.5)
    return encoded.encode("utf-8", "surrogatepass")


def _change_node(rng: random.Random, tree: Any) -> None:
    """Change one node of a tree of lists and dicts, in place; lists of numbers are seldom met."""
    node, key = tree, 0
    while True:
        child = node[key]
        keys: Any = [*child] if isinstance(child, dict) else ()
        keys = range(len(child)) if isinstance(child, list) else keys
        if not keys or rng.random() < 0.15:
            break
        node, key = child, rng.choice(keys)
    action = rng.randrange(5)
    if action == 0 and node is not tree:
        del node[key]
    elif action == 1 and isinstance(node, dict):
        node[rng.choice(TEXTS)] = node.pop(key)
    elif action == 2 and isinstance(node, dict):
        node[rng.choice(TEXTS)] = json_value(rng)
    elif action == 3 and isinstance(node, list) and node is not tree:
        node.insert(
            rng.randrange(len(node) + 1), rng.choice((node[key], json_value(rng)))
        )
    else:
        node[key] = json_value(rng)


json_text = one_of(json_tree, json_tree, json_tree, text)


def json_lines(rng: random.Random, data: bytes) -> bytes:
    """Lines of JSON with one changed as `json_tree` does it, left out, repeated or joined."""
    lines = data.splitlines(keepends=True)
    at = rng.randrange(len(lines))
    action = rng.randrange(6)
    if action < 3:
        lines[at] = json_tree(rng, lines[at]) + b"\n"
    elif action == 3:
        del lines[at]
    elif action == 4:
        lines.insert(at, rng.choice(lines))
    else:
        lines[at] = lines[at].rstrip(b"\n")
    return b"".join(lines)


# ---- pickles

_CALL = b"c%s\n%s\n"
MOST = b"\xff\xff\xff\x7f"  # a length or an index that is a lie; of 8 bytes with 7 times ff
OPCODES = (
    *(
        bytes([code])
        for code in b"(012N\x88\x89}])\x8fRb\x81\x92suaetld\x85\x86\x87\x90\x91\x93\x94Q.\x97\x98o"
    ),
    *(code + MOST for code in (b"j", b"J", b"\x8b", b"T", b"X", b"B")),
    *(code + b"\xff" * 4 for code in (b"r", b"J", b"\x8b", b"T")),
    *(code + b"\xff" * 4 + MOST for code in (b"\x8a\x08", b"\x8d", b"\x96")),
    *(code + b"\xff" * 8 for code in (b"\x8e", b"\x95")),
    *(b"h\x00", b"h\x05", b"q\x00", b"p-1\n", b"g0\n", b"K\x00", b"M\xff\xff"),
    *(b"p" + b"9" * 30 + b"\n", b"P../outside.npz\n", b"\x8a\xff" + b"\x7f" * 255),
    *(b"I" + b"9" * 5000 + b"\n", b"I01\n", b"L" + b"9" * 5000 + b"L\n"),
    *(b"G\x7f\xf8" + bytes(6), b"F1e400\n", b"Fnan\n", b"\x95" + bytes(8)),
    *(b"U\x03abc", b"X\x02\x00\x00\x00\xff\xff", b"C\x01a", b"V\\ud800\n"),
    *(b"S'\\x1b[31m'\n", b"S'unclosed\n", b"ios\nsystem\n"),
    *(b"\x80\x02", b"\x80\xff", b"\x82\x01", b"\x83\x01\x02", b"\x84\x01\x00\x00\x00"),
    _CALL % (b"os", b"system") + b"X\x07\x00\x00\x00touch x\x85R",
    _CALL % (b"builtins", b"exec") + b"X\x08\x00\x00\x00import x\x85R",
    _CALL % (b"builtins", b"open") + b"X\x0b\x00\x00\x00outside.npz\x85R",
    _CALL % (b"builtins", b"bytearray") + b"J\xff\xff\xff\x7f\x85R",
    _CALL % (b"numpy", b"zeros") + b"J\xff\xff\xff\x7f\x85R",
    _CALL % (b"collections", b"OrderedDict") + b")R",
    _CALL % (b"_codecs", b"encode") + b"X\x01\x00\x00\x00aX\x06\x00\x00\x00latin1\x86R",
    *(
        _CALL % name
        for name in ((b"torch._utils", b"_rebuild_tensor_v2"), (b"numpy", b"dtype"))
    ),
    _CALL % (b"numpy", b"ndarray"),
    b"]q\x63h\x63a",
    b"}q\x63X\x01\x00\x00\x00ah\x63s",
    b"]" + b"2\x86" * 40,
    b"(" * 2000,
    b"]" * 2000 + b"a" * 1999,
    b")" + b"\x85" * 3000,
)

DOUBLED = b"]" + b"2\x86" * 40  # the text of which would have 2**40 parts


def opcodes(rng: random.Random, data: bytes) -> bytes:
    """A pickle with opcodes put in, left out, repeated, exchanged, or with other arguments."""
    pieces = _opcode_pieces(data)
    if not pieces:
        return flips(rng, data)
    for _ in range(times(rng)):
        at = rng.randrange(len(pieces))
        action = rng.randrange(7)
        if action <= 1:
            pieces.insert(at, rng.choice(OPCODES))
        elif action == 2:
            del pieces[at]
        elif action == 3:
            pieces.insert(at, rng.choice(pieces))
        elif action == 4:
            other = rng.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif action == 5:
            pieces[at] = rng.choice(OPCODES)
        else:
            _change_argument(rng, pieces)
        if not pieces:
            return b""
    return b"".join(pieces)


def _opcode_pieces(data: bytes) -> list[bytes]:
    """The bytes of every opcode, over several pickles in a row; the last piece is what follows."""
    stream, starts = io.BytesIO(data), [0]
    try:
        while stream.tell() < len(data) and len(starts) < 100_000:
            for _, _, position in pickletools.genops(stream):
                starts.append(position or 0)
            starts.append(stream.tell())
    except Exception:  # what follows is no pickle
        pass
    starts = sorted({*starts, len(data)})
    return [data[a:b] for a, b in itertools.pairwise(starts)]


def _change_argument(rng: random.Random, pieces: list[bytes]) -> None:
    """Another number for an integer, or another text for a text."""
    numbers = [n for n, piece in enumerate(pieces) if piece[:1] in (b"K", b"M", b"J")]
    texts = [n for n, piece in enumerate(pieces) if piece[:1] in (b"X", b"U", b"\x8c")]
    if texts and rng.random() < 0.1:
        pieces[rng.choice(texts)] = DOUBLED
    elif texts and (not numbers or rng.random() < 0.5):
        encoded = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        pieces[rng.choice(texts)] = b"X" + struct.pack("<L", len(encoded)) + encoded
    elif numbers:
        number = rng.choice(INTEGERS)
        pieces[rng.choice(numbers)] = b"\x8a\x09" + number.to_bytes(
            9, "little", signed=True
        )


pickled = one_of(opcodes, opcodes, opcodes, flips, truncation)


# ---- NumPy's files

DTYPES = "<f4 <f8 >f4 <f2 <f16 <c8 |O O |V8 <U3 <U0 |S3 |S0 |b1 <M8[s] <m8 <i4 <u8 |i1 <f4,<f4"
DESCRIPTIONS = (
    *map(repr, DTYPES.split()),
    *map(repr, ("", "float32", "\x1b[31m", "<V2", "<U1000000000", "bfloat16")),
    *("[('a', '<f4')]", "[]", "('<f4', (2,))", "None", "1"),
)


def npy(rng: random.Random, data: bytes) -> bytes:
    """An array file with another dtype, shape, order, version or header length."""
    wide = data[6:7] != b"\x01"
    length = int.from_bytes(data[8 : 12 if wide else 10], "little")
    start = 12 if wide else 10
    header, numbers = (
        data[start : start + length].decode("latin-1"),
        data[start + length :],
    )
    if "descr" not in header:
        return flips(rng, data)
    action = rng.randrange(6)
    if action == 0:
        descr = rng.choice(DESCRIPTIONS)
        header = re.sub(r"('descr': ).*?(?=, 'fortran)", lambda m: m[1] + descr, header)
    elif action == 1:
        axes = rng.choice((0, 1, 2, 3, 40))
        shape = repr(tuple(rng.choice((*INTEGERS[:12], 5, 4)) for _ in range(axes)))
        shape = rng.choice((shape, "3", "[2, 2]", "(True,)", "(2.0,)", "(-1, -1)"))
        header = re.sub(r"\(.*\)", lambda _: shape, header)
    elif action == 2:
        header = header.replace("False", rng.choice(("True", "1", "None", "'x'")))
    elif action == 3:
        header = tokens(rng, header.encode("latin-1")).decode("latin-1")
    elif action == 4:
        header = header.rstrip() + " " * rng.choice((0, 100, 20_000, 70_000)) + "\n"
    else:
        numbers = binary(rng, numbers or b"\0")
    usual = 2 if wide or len(header) > 65535 else 1
    version = rng.choice((1, 1, 1, 2, 3, 0, 255)) if rng.random() < 0.3 else usual
    lies = (0, 1, 65535, len(header) + 64, (1 << 32) - 1)
    size, width = (
        len(header) if rng.random() < 0.9 else rng.choice(lies),
        2 if version == 1 else 4,
    )
    claimed = min(size, (1 << 8 * width) - 1).to_bytes(width, "little")
    prefix = b"\x93NUMPY" + bytes((version, 0)) + claimed
    return prefix + header.encode("latin-1") + numbers


# ---- safetensors


def safetensors(rng: random.Random, data: bytes) -> bytes:
    """A file of safetensors with another header, or one whose length is a lie."""
    length = int.from_bytes(data[:8], "little")
    header, numbers = data[8 : 8 + length], data[8 + length :]
    action = rng.randrange(4)
    if action == 0:
        size = rng.choice(
            (*INTEGERS, length + 1, length - 1, len(data), len(data) - 8)
        ) % (1 << 64)
        return size.to_bytes(8, "little") + header + numbers
    if action == 1:
        numbers = flips(rng, numbers or b"\0")
    else:
        header = json_text(rng, header)
    return len(header).to_bytes(8, "little") + header + numbers


# ---- protocol buffers

FIXED = {FIXED64: 8, FIXED32: 4}  # bytes of the kinds that have no length
_Node = list[Any]  # [number, wire, integer or bytes or list of nodes]


def protobuf(rng: random.Random, data: bytes) -> bytes:
    """A message with fields changed at any depth, under lengths that are right again."""
    try:
        tree = _message(data, 0)
    except Damaged:
        return flips(rng, data)
    for _ in range(times(rng)):
        _change_field(rng, tree)
    return _encoded(tree)


def _message(data: bytes, depth: int) -> list[_Node]:
    """The fields of a message, those that are messages themselves as lists."""
    nodes: list[_Node] = []
    for number, wire, found in fields(data):
        value: Any = found if isinstance(found, int) else bytes(found)
        if wire in FIXED:
            value = value.to_bytes(FIXED[wire], "little")
        if number >= 1 << 20:
            raise Damaged("no field of a file")
        if wire == BYTES and depth < 12 and 1 < len(value) < 200_000:
            with suppress(Damaged):
                value = _message(value, depth + 1)
        nodes.append([number, wire, value])
    return nodes


def _encoded(nodes: Sequence[_Node]) -> bytes:
    out = bytearray()
    for number, wire, value in nodes:
        out += varint(number << 3 | wire)
        if isinstance(value, _Lying):
            out += varint(value.claimed) + value.content
        elif isinstance(value, int):
            out += varint(value)
        else:
            content = _encoded(value) if isinstance(value, list) else value
            out += (varint(len(content)) if wire == BYTES else b"") + content
    return bytes(out)


def _change_field(rng: random.Random, tree: list[_Node]) -> None:
    nodes = tree
    while True:
        deeper = [node[2] for node in nodes if isinstance(node[2], list) and node[2]]
        if not deeper or rng.random() < 0.25:
            break
        nodes = rng.choice(deeper)
    if not nodes:
        return
    at = rng.randrange(len(nodes))
    node = nodes[at]
    action = rng.randrange(14)  # from 6 on: another value
    if action == 0:
        del nodes[at]
    elif action == 1:
        nodes.insert(rng.randrange(len(nodes) + 1), list(node))
    elif action == 2:
        node[0] = rng.choice((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 20, 21, 1 << 19))
    elif action == 3:
        other = rng.randrange(len(nodes))
        nodes[at], nodes[other] = nodes[other], nodes[at]
    elif action == 4 and isinstance(node[2], list):  # within itself, deep
        for _ in range(rng.choice((1, 2, 60, 150))):
            node[2] = [*node[2][:1], [node[0], 2, _encoded(node[2])[:4000]]]
    elif action == 5:  # a length, or a number, that is a lie
        node[:] = [node[0], 2, _Lying(rng.choice(INTEGERS), _content_of(node))]
    elif node[1] == 0:
        node[2] = rng.choice((*INTEGERS, node[2] + 1, node[2] - 1, rng.randrange(40)))
    elif node[1] == 2 and isinstance(node[2], bytes):
        name = rng.choice(TEXTS).encode("utf-8", "surrogatepass")
        packed = b"".join(varint(rng.choice(INTEGERS)) for _ in range(3))
        node[2] = rng.choice(
            (name, flips(rng, node[2] or b"\0"), node[2] * 50, b"", packed)
        )
    elif node[1] == 2:
        name = rng.choice(TEXTS).encode("utf-8", "replace")
        node[2] = rng.choice((b"", flips(rng, _content_of(node) or b"\0"), name))
    else:
        node[2] = rng.choice(
            (b"\xff" * len(node[2]), bytes(len(node[2])), node[2][:-1])
        )


class _Lying(NamedTuple):
    """A field of bytes whose length is a lie."""

    claimed: int
    content: bytes


def _content_of(node: _Node) -> bytes:
    value = node[2]
    if isinstance(value, _Lying):
        return value.content
    if isinstance(value, int):
        return varint(value)
    return _encoded(value) if isinstance(value, list) else bytes(value)


message = one_of(protobuf, protobuf, protobuf, flips, truncation)
