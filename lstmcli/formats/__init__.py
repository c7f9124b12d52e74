"""Files <-> named arrays; nothing here knows LSTMs.

A format is a row of the table below and a module. `read` recognises it by the
content of a file; `write` takes its name, which `format_of` finds by a suffix.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

import numpy as np

from lstmcli.core.model.part import WHOLE, Part
from lstmcli.errors import STDIN, UserError
from lstmcli.formats.detect import binary_kind, is_unknown, text_kind
from lstmcli.formats.document import Arrays, Shape
from lstmcli.formats.document import Document as Document  # for those who read files
from lstmcli.formats.files.atomic import atomically as atomically
from lstmcli.formats.files.atomic import refuse_place
from lstmcli.formats.files.limits import MOST_WHOLE
from lstmcli.formats.files.sidecars import main_file, split_member
from lstmcli.formats.files.source import (
    BINARY_SUFFIXES,
    Opened,
    decode,
    in_memory,
    opened,
    pieces_of,
)
from lstmcli.formats.npy import BlockWriter, Stored, is_raw_form, read_raw
from lstmcli.formats.text.float32 import FLOAT32, counts_as_float32
from lstmcli.formats.text.numbers import ABBREVIATED
from lstmcli.formats.text.step_writers import LineWriter, StepWriter, TableWriter
from lstmcli.outputs import errors_named

if TYPE_CHECKING:
    from lstmcli.formats.text.line_stream import StepStream


class Format(NamedTuple):
    """A row of the table: a format's name, its module here, and the function that reads it."""

    name: str
    module: str
    reader: str = "read"


FORMATS: dict[str, Format] = {
    ".npy": Format("npy", "npy"),
    ".npz": Format("npz", "npz"),
    ".json": Format("json", "text.json", "document_of"),
    ".jsonl": Format("jsonl", "text.jsonl", "read_lines"),
    ".csv": Format("csv", "text.csv", "read_lines"),
    ".tsv": Format("tsv", "text.csv", "read_lines"),
    ".txt": Format("text", "text.console_print", "read_text"),
}

SEVERAL_ARRAYS = (".npz", ".json")  # formats that take several arrays and attributes

READ_ONLY = {  # not for traces; .safetensors is written, but only for weights
    ".onnx": Format("onnx", "onnx"),
    ".safetensors": Format("safetensors", "safetensors"),
    ".gguf": Format("gguf", "gguf"),
    ".pt": Format("torch", "torch"),
    ".pkl": Format("pickle", "torch", "read_pickle"),
    ".index": Format("tensorflow", "tensorflow"),
    ".tflite": Format("tflite", "tflite"),
    ".keras": Format("keras", "keras"),
}


JSON_MODELS = {  # the outermost members of a program's model file in JSON
    ("weightsManifest",): Format("tfjs", "tfjs", "read_value"),
    ("architecture", "config", "weights"): Format("nam", "audio", "read_nam"),
    ("model_data", "state_dict"): Format("guitarml", "audio", "read_guitarml"),
    ("in_shape", "layers"): Format("rtneural", "audio", "read_rtneural"),
    ("class_name", "config"): Format("keras", "keras", "read_value"),
}


_BY_NAME = {row.name: row for row in (*FORMATS.values(), *READ_ONLY.values())}


def read(
    source: str, *, abbreviated: bool = False, in_blocks: bool = False
) -> Document:
    """The named arrays of a file, or of standard input for "-"; of FILE:MEMBER only that one.

    The content shows the format; a suffix only decides between kinds of text.
    Prints that leave numbers out are read only if ``abbreviated``. With
    ``in_blocks`` the array of a .npy file of 64 MiB or more is a
    `lstmcli.formats.npy.FileArray`, which `--max-bytes` does not limit.
    """
    path, member = split_member(source)
    with opened(path if path == "-" else main_file(path)) as file:
        raw = is_raw_form(member) and is_unknown(file)
        document = (
            read_raw(file, str(member)) if raw else _read(file, in_blocks, member)
        )
    if member is not None and not raw:
        document = document.member(member)
    return document if abbreviated else _refuse_abbreviated(document)


def read_bytes(
    source: str, data: bytes, suffix: str = "", form: str | None = None
) -> Document:
    """The named arrays of bytes, which messages call ``source``; of raw numbers with a form."""
    file = in_memory(source, data, suffix)
    return read_raw(file, form) if form else _refuse_abbreviated(_read(file))


def read_or_stream(source: str) -> Document | StepStream:
    """As `read` in blocks; JSON lines of inputs on standard input are a `StepStream`."""
    if source != "-":
        return read(source, in_blocks=True)
    from lstmcli.formats.text.line_stream import LineReader, StepStream

    lines = LineReader(sys.stdin.buffer)
    if lines.are_inputs():
        return StepStream(lines)
    return _refuse_abbreviated(_read(in_memory(STDIN, lines.rest())))


def _refuse_abbreviated(document: Document) -> Document:
    for gaps in document.gaps.values():
        raise UserError(f"{gaps.where}: {ABBREVIATED}")
    return document


def _read(file: Opened, in_blocks: bool = False, member: str | None = None) -> Document:
    kind = binary_kind(file)
    if kind is not None:
        options: dict[str, Any] = {
            "npz": {"only": member},
            "npy": {"in_blocks": in_blocks},
        }
        return _reader(kind)(file, **options.get(kind, {}))
    try:
        document = _read_text(file)
    except UserError as error:
        if file.suffix not in BINARY_SUFFIXES:
            raise
        question = f"  A {file.suffix} file is binary, and this one is text: is it the right file?"
        raise error.adding(question) from None
    for name, array in document.arrays.items():
        if name not in document.dtypes and counts_as_float32(array):
            document.dtypes[name] = FLOAT32
    return document


def _read_text(file: Opened) -> Document:
    if file.size > MOST_WHOLE:
        return _read_large_text(file)
    text = file.text()
    if not text.strip():
        raise UserError(f"{file.source} is empty.")
    kind = text_kind(text, _hint(file))
    if kind == "json":
        return _read_json(text, file)
    if _reads_pieces(kind):
        return _reader(kind)(partial(pieces_of, text), file)
    return _reader(kind)(text, file)


def _read_large_text(file: Opened) -> Document:
    """The arrays of a text that is read in pieces if its format allows it."""
    head = decode(file.head(), file.source, is_cut=True)
    kind = text_kind(head, _hint(file))
    if _reads_pieces(kind):
        return _reader(kind)(file.pieces, file)
    if kind == "json":
        return _read_json(file.text(), file)
    raise UserError(
        f"{file.source}: {file.size:,} bytes are more than are read of console output. "
        "Save the numbers as .npy, .npz or .csv."
    )


def _hint(file: Opened) -> str | None:
    """The kind of text that a suffix names."""
    return FORMATS[file.suffix].name if file.suffix in FORMATS else None


def _reads_pieces(kind: str) -> bool:
    return _BY_NAME[kind].reader == "read_lines"


def _read_json(text: str, file: Opened) -> Document:
    """The arrays of a program's model file, or those of any other JSON."""
    value = _module("json").parse(text, file.source)
    try:
        if isinstance(value, dict):
            for members, model in JSON_MODELS.items():
                if value.keys() >= set(members):
                    return _of(model)(value, file)
        return _reader("json")(value, file.source)
    except RecursionError:
        raise UserError(f"{file.source} is nested too deeply.") from None


def _module(name: str) -> Any:
    return import_module(f"{__name__}.{_BY_NAME[name].module}")


def _reader(name: str) -> Callable[..., Document]:
    return _of(_BY_NAME[name])


def _of(row: Format) -> Callable[..., Document]:
    module = import_module(f"{__name__}.{row.module}")
    reader: Callable[..., Document] = getattr(module, row.reader)
    return reader


def write(
    target: str | BinaryIO,
    format: str,
    arrays: Mapping[str, Stored],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write arrays and attributes as "npy", "npz", "json" or "text", to a path atomically.

    npy and text have one array and no attributes.
    """
    with (
        atomically(target) if isinstance(target, str) else nullcontext(target) as stream
    ):
        _module(format).write(stream, dict(arrays), dict(attributes or {}))


@dataclass
class TraceInBlocks:
    """A trace to write: arrays in blocks, and arrays and attributes set at the end."""

    writers: dict[str, BlockWriter] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    order: Sequence[str] = ()  # of all arrays; (): ``writers``, then ``arrays``


@contextmanager
def open_blocks(
    target: str | BinaryIO,
    format: str,
    shapes: Mapping[str, Shape],
    dtype: np.dtype[Any],
) -> Iterator[TraceInBlocks]:
    """Write "npy" or "npz" in pieces; a file appears complete or not at all.

    Pieces of an archive, or for a pipe, go to nameless files first, on the
    disk of the target.
    """
    with ExitStack() as stack:
        stream = (
            stack.enter_context(atomically(target))
            if isinstance(target, str)
            else target
        )
        # a device's or a pipe's folder may take no files
        path = target if isinstance(target, str) and stream.seekable() else None
        direct = format == "npy" and path is not None
        trace = TraceInBlocks()
        for name, shape in shapes.items():
            file, output = (stream, str(path)) if direct else _temporary(path, stack)
            trace.writers[name] = BlockWriter(file, shape, dtype, output)
        yield trace
        if not direct:
            arrays: dict[str, Stored] = {**trace.writers, **trace.arrays}
            ordered = {name: arrays[name] for name in trace.order or arrays}
            write(stream, format, ordered, trace.attributes)


def _temporary(path: str | None, stack: ExitStack) -> tuple[BinaryIO, str]:
    """A nameless file in a path's folder, or in the temporary one; its name in messages."""
    from tempfile import TemporaryFile, gettempdir

    with errors_named(path or "a temporary file"):
        folder = os.path.dirname(os.path.realpath(path)) if path else gettempdir()
    output = path or f"a temporary file in {folder}"
    with errors_named(output):
        file = stack.enter_context(TemporaryFile(dir=folder))  # noqa: SIM115 (``stack`` closes it)
    return cast(BinaryIO, file), output


def open_steps(
    stream: BinaryIO,
    format: str,
    names: Sequence[str],
    batched: bool,
    part: Part = WHOLE,
    *,
    tidy: bool = False,
) -> StepWriter:
    """A writer of the named arrays, step by step, as "jsonl", "csv" or "tsv".

    Where only a ``part`` of a run is written, the indices of its batch items
    and columns are part of a table's rows and header, and members of JSON
    lines. With ``tidy`` each unit is a row.
    """
    if format == "jsonl" and not tidy:
        return LineWriter(stream, format, names, batched, part)
    return TableWriter(stream, format, names, batched, part, tidy)


def has_known_suffix(path: str) -> bool:
    """Return whether a path has the suffix of a format that is written."""
    return os.path.splitext(path)[1].lower() in FORMATS


def format_of(path: str, suffixes: Collection[str] = FORMATS) -> str:
    """The name of the format of a path's suffix, one of ``suffixes``."""
    return FORMATS[suffix_of(path, suffixes)].name


def suffix_of(path: str, suffixes: Collection[str]) -> str:
    """The suffix of a path, one of ``suffixes``; UserError for others and folders."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in suffixes:
        refuse_place(path)
        found = f'unsupported extension "{suffix}"' if suffix else "no extension"
        raise UserError(f"{path}: {found}; use {', '.join(suffixes)}.")
    return suffix
