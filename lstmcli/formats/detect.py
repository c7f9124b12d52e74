"""The format of a file by its content: magic bytes, kinds of text, files of other programs.

A suffix only decides between kinds of text that the content leaves open.
"""

from __future__ import annotations

import io
import re
import struct

from lstmcli.errors import UserError
from lstmcli.formats.files.limits import damage_reported
from lstmcli.formats.files.source import (
    ARCHIVE,
    BYTE_ORDER_MARKS,
    Opened,
    how_raw_numbers_are_read,
)
from lstmcli.formats.text.numbers import IS_NUMBER

PATTERNS = {  # what the first bytes match -> format
    rb"\x93NUMPY": "npy",
    rb"PK\x05\x06": "npz",  # an archive without members
    rb"GGUF": "gguf",
    rb"\x89HDF\r\n\x1a\n": "keras",  # HDF5, of other programs too
    # PyTorch's magic number before 1.6; in protocols 4 and 5 in a frame
    rb"\x80[\x02-\x05](\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19": "torch",
    rb"\x80[\x02-\x05]": "pickle",
    rb".{4}TFL3": "tflite",
    rb"\x08[\x02-\x1f][\x12\x1a\x22\x28\x32\x3a]": "onnx",  # a version, then another field
    rb".{5}\0\0\0\{": "safetensors",  # the upper bytes of the header's length, and its start
    rb"\x08\x01\x12": "tensorflow",  # a SavedModel: its version, its first graph
    # a graph: its first node, a name and an op; one behind a list of ops
    rb"\n[\x80-\xff]{0,4}[\0-\x7f]\n[\x80-\xff]?[\0-\x7f][\w.][\w./>\\-]*\x12": "tensorflow",
    rb"\n[\x80-\xff]{0,4}[\0-\x7f]\x12[\x80-\xff]{0,4}[\0-\x7f]\n": "tensorflow",
}

TABLE_END = 0xDB4775248B80FB57.to_bytes(
    8, "little"
)  # the last bytes of TensorFlow's table

# a container, or the class of an object
OLD_PICKLE = re.compile(rb"\(|[}\]]|c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n")
IMPORTED = re.compile(r"[A-Za-z_][\w.]* [A-Za-z_][\w.]*")  # a module and a name in it
STOP = b"."
TEXT_BYTES = frozenset((*range(32, 127), *b"\t\n\r"))
SAMPLE = 4096  # bytes at a file's start: of numbers, one is no character
MOST_CELLS = 10_000  # of a first line, parsed to detect a table
MOST_COMPONENTS = 64  # of traineddata: 17 in Tesseract 3, 24 since 4
FEWEST = 3  # complete opcodes in a long pickle's head: an array may fill the rest

ARCHIVES = {  # ending of a member's name -> format; else npz
    "data.pkl": "torch",
    "model.json": "torch",  # TorchScript of 1.0
    "model.weights.h5": "keras",
    "model.weights.json": "keras",  # whose name shows that it is in pieces
}
WAY_OUT = "Save its arrays with numpy.savez."


EXPORTED = (
    "a program of torch.export",
    "Save its weights: torch.save(torch.export.load(FILE).state_dict, 'weights.pt')",
)
UNREAD_ARCHIVES = {  # ending of a member's name -> kind of archive, way out
    "model_weights_config.json": EXPORTED,
    "serialized_exported_program.json": EXPORTED,
    ".data/extern_modules": (
        "a torch.package",
        "Save its weights: load the model with torch.package.PackageImporter(FILE).load_pickle, "
        "and torch.save(model.state_dict(), 'weights.pt')",
    ),
}

TESSERACT = (
    "Its LSTMs run only in Tesseract; to run one here, save the arrays of its weights with "
    "numpy.savez."
)

UNREAD = {  # first bytes -> kind of file, way out
    rb"\x1f\x8b": (
        "a gzip archive",
        "Unpack it first: gunzip FILE, or tar xzf FILE for a tar.",
    ),
    rb"(?=(\./)?(sys_info|pickle|tensors|storages)\0).{257}ustar": (
        "a tar archive of PyTorch 0.1",
        "If you trust it, load it in PyTorch and save it again: "
        "torch.save(torch.load(FILE, weights_only=False), 'weights.pt')",
    ),
    rb".{257}ustar": (
        "a tar archive",
        "Unpack it, and give a file of weights in it: tar xf FILE.",
    ),
    rb".{4}ORTM": (
        "a model in onnxruntime's format",
        "Give the .onnx file that it was made from.",
    ),
    rb"MATLAB 5\.0": ("a MATLAB file", ""),
    rb"\x84\xa5nodes[\x90-\x9f\xdc\xdd].{0,4}\x84\xa5index": (  # MessagePack; spaCy's too
        "a model of thinc, as spaCy keeps them",
        "Load it with thinc. Of a layer LSTM, save kernel, recurrent kernel and bias with "
        "numpy.savez; of a PyTorchLSTM, torch.save the state dict of layer.shims[0]._model.",
    ),
    rb"\0\x06\0\0\0Series": ("a network of Tesseract", TESSERACT),
    rb"#(Lookup)?Parameter# /": (
        "a file of DyNet's parameters",
        "Load it in DyNet, and save them: numpy.savez('weights.npz', **{p.name().strip('/'): "
        "p.as_array() for p in model.parameters_list()})",
    ),
}

SUPPORTED = """\
  PyTorch .pt, .pth, .ckpt; Keras .keras, .h5; .onnx, .safetensors, .gguf, .tflite, .pkl;
  TensorFlow checkpoints and SavedModels; model.json of TensorFlow.js; .nam;
  arrays in .npy, .npz, .json, .jsonl, .csv, .tsv, or text as it was printed."""


def binary_kind(file: Opened) -> str | None:
    """The binary format of a file by its content, a row of the table; None for text.

    UserError for a file of another program, or bytes that are not text.
    """
    head = file.head()
    if head.startswith(ARCHIVE):
        return _archive_kind(file)
    for pattern, kind in PATTERNS.items():
        if re.match(pattern, head, re.DOTALL):
            return kind
    if _is_old_pickle(file):
        return "pickle"
    if file.tail() == TABLE_END:
        return "tensorflow"
    if not head.startswith(tuple(BYTE_ORDER_MARKS)):
        _refuse_no_text(file, head)
    return None


def _refuse_no_text(file: Opened, head: bytes) -> None:
    """Refuse a file of another program, and bytes that are not text."""
    for pattern, (what, way_out) in UNREAD.items():
        if re.match(pattern, head, re.DOTALL):
            raise _unread(file, what, way_out)
    if _is_traineddata(head):
        raise _unread(file, "traineddata of Tesseract", TESSERACT)
    if b"\0" in head:
        raise UserError(
            f"{file.source} is neither text nor of a known kind, or it is damaged. What is read:",
            *SUPPORTED.split("\n"),
            *how_raw_numbers_are_read(file.source),
        )


def _unread(file: Opened, what: str, way_out: str) -> UserError:
    return UserError(
        f"{file.source} is {what}; this version does not read it. {way_out or WAY_OUT}"
    )


def is_unknown(file: Opened) -> bool:
    """Return whether a file, neither text nor of a known format, may be plain numbers."""
    try:
        kind = binary_kind(file)
    except UserError:
        return True
    head = file.head()
    return kind is None and not TEXT_BYTES.issuperset(head[:SAMPLE])


def _is_traineddata(head: bytes) -> bool:
    """Tell whether a file is traineddata: a count of components, then their offsets, -1 if absent.

    The first component follows. Source: tesseract, ccutil/tessdatamanager.cpp
    (5.3).
    """
    count = int.from_bytes(head[:4], "little")
    end = 4 + 8 * count
    if not 1 <= count <= MOST_COMPONENTS or len(head) < end:
        return False
    begins = struct.unpack_from(f"<{count}q", head, 4)
    present = [at for at in begins if at != -1]
    return bool(present) and present == sorted(present) and present[0] == end


def _is_old_pickle(file: Opened) -> bool:
    """Return whether a file is a pickle of protocol 0 or 1, which have no magic number.

    It starts with opcodes, with names that Python can import, and ends with
    the opcode STOP.
    """
    head = file.head()
    if not OLD_PICKLE.match(head):
        return False
    from lstmcli.formats.wire.pickle import opcodes

    stream, count = io.BytesIO(head), 0
    try:
        for name, argument in opcodes(stream):
            count += 1
            if name in ("GLOBAL", "INST") and not IMPORTED.fullmatch(argument):
                return False
            if name == "STOP":
                return stream.tell() == file.size
    except Exception:  # the readers of arguments raise many classes
        if stream.tell() < len(head):
            return False
    return count > FEWEST and len(head) < file.size and file.tail().endswith(STOP)


def _archive_kind(file: Opened) -> str:
    from lstmcli.formats.files.zip import Archive  # its zipfile takes 7 ms to import

    try:
        with damage_reported(file.source):
            names = [member.filename for member in Archive(file).members]
    except UserError:  # the reader of npz reports the damage
        names = []
    finally:
        file.stream.seek(0)

    def has(ending: str) -> bool:
        return any(f"/{name}".endswith(f"/{ending}") for name in names)

    for ending, (what, way_out) in UNREAD_ARCHIVES.items():
        if has(ending):
            raise _unread(file, what, way_out)
    return next((kind for ending, kind in ARCHIVES.items() if has(ending)), "npz")


# ---- kinds of text


HEADER_CELL = re.compile(r"""["']?[A-Za-z_][\w. /-]*(?:\[\d+\])*["']?""")


def text_kind(text: str, hint: str | None) -> str:
    """The kind of text, by its content; ``hint``, of its suffix, decides open cases."""
    start = text.lstrip()
    first, _, rest = start.partition("\n")
    if start[:1] == "{" and not re.match(r"\{\s*'|\{[\s{]*[-+.\d]", start):
        return _json_kind(first, rest, hint)
    if start[:1] == "[":
        return _list_kind(start, first, rest, hint)
    if hint in ("json", "jsonl") and not IS_NUMBER.match(start):
        return hint
    return _column_kind(first, rest, hint)


def _looks_printed(text: str) -> bool:
    """Return whether a text that starts with a bracket is console output, not JSON.

    JSON has commas between numbers and between lists, digits after a point,
    and no nan.
    """
    start = text.lstrip("[ \t\r\n")[:200]
    number = IS_NUMBER.match(start)
    if number and re.match(r"\s+[-+.\dni]", start[number.end() :]):
        return True
    if re.match(r"\[[^\[\]]{0,99}\]\s*[A-Za-z]", text):  # a step or a time of a log
        return True
    return bool(
        re.search(
            r"\bshape=\[|\bTensor\[\[|\bFloat\d\d\[|\d\.(?!\d)|\b(?:nan|inf)\b|\]\s+\[|\w\(|\.\.\.|…",
            text,
        )
    )


def _json_kind(first: str, rest: str, hint: str | None) -> str:
    kind = _kind_of_line(first)
    if hint == "jsonl" or (kind and rest.strip()):
        return "jsonl"
    return "json" if hint == "json" or kind in ("", "either") else "jsonl"


def _kind_of_line(line: str) -> str:
    from lstmcli.formats.text.json_line import kind_of_line  # binary files do without

    return kind_of_line(line)


def _list_kind(start: str, first: str, rest: str, hint: str | None) -> str:
    if hint == "text" and re.match(r'\[\s*\{\s*"', start):  # of objects: no console's
        hint = "json"
    if hint in ("text", "jsonl"):
        return hint
    if _kind_of_line(first) and (rest.strip() or hint != "json"):
        return "jsonl"
    return "text" if hint != "json" and _looks_printed(start) else "json"


def _column_kind(first: str, rest: str, hint: str | None) -> str:
    delimiter, kind = ("\t", "tsv") if "\t" in first else (",", "csv")
    cells = [cell.strip() for cell in first.split(delimiter, MOST_CELLS)[:MOST_CELLS]]
    if len(cells) == 1:  # one column, or words between blanks
        return hint if hint in ("csv", "tsv") and len(first.split()) == 1 else "text"
    if all(map(HEADER_CELL.fullmatch, cells)) and IS_NUMBER.match(
        rest.lstrip('"\r\n ')
    ):
        return kind
    numbers = all(not cell or IS_NUMBER.fullmatch(cell) for cell in cells)
    table = hint in ("csv", "tsv") or (numbers and hint != "text")
    return kind if table else "text"
