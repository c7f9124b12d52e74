"""Models in several files: the main file that a path stands for, and the others, its sidecars.

A path may be a prefix, a folder, or any file of a checkpoint. Sidecars are
opened by their base name in the folder of the file that names them; links out
of it are not followed.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from lstmcli.errors import UserError
from lstmcli.escaping import file_argument, shell_word
from lstmcli.formats.files.source import Opened, opened

CHECKPOINT_PART = re.compile(
    r"(?P<prefix>.+?)(?:\.data-\d{5}-of-\d{5}|\.meta)", re.DOTALL
)
FIRST_SHARD = re.compile(r"-00000-of-\d{5}")
TFJS_SHARD = re.compile(r".*shard\d+of\d+(\.bin)?", re.DOTALL)
LATEST = "checkpoint"  # the file in which TensorFlow notes what it saved last
NOTED = re.compile(r'^\s*model_checkpoint_path\s*:\s*"([^"\n]*)"', re.MULTILINE)
SAVED_MODEL = ("saved_model.pb", "keras_metadata.pb")


def main_file(path: str) -> str:
    """The file to open: the index of the model that a path is a part of, else the path.

    A checkpoint is named by its prefix, any of its files or its folder, a
    SavedModel by its folder or ``saved_model.pb``, a model of TensorFlow.js by
    any shard.
    """
    found = _meant(path)
    if found != path:
        sidecar_path(found, os.path.basename(found))
    return found


def _meant(path: str) -> str:
    if os.path.isdir(path):
        return _in_folder(path)
    folder, name = os.path.split(path)
    if name in SAVED_MODEL:
        return _of_saved_model(folder) or path
    if name == LATEST and (noted := _latest(path)):
        return noted
    if TFJS_SHARD.fullmatch(name):
        model = os.path.join(folder, "model.json")
        return model if os.path.isfile(model) else path
    if part := CHECKPOINT_PART.fullmatch(path):
        prefix = part["prefix"]
        if found := _of_prefix(prefix):
            return found
        if os.path.isfile(path) and not path.endswith(".meta"):
            raise UserError(
                f"{path} contains tensors of a TensorFlow checkpoint; {prefix}.index, which tells "
                "which, is not in its folder."
            )
        return path
    return path if os.path.lexists(path) else _of_prefix(path) or path


def _of_prefix(prefix: str) -> str | None:
    """The index of a checkpoint of this prefix, its first shard, or this file."""
    if os.path.isfile(f"{prefix}.index"):
        return f"{prefix}.index"
    folder, name = os.path.split(prefix)
    shards = [
        one for one in _names(folder) if FIRST_SHARD.fullmatch(one.removeprefix(name))
    ]
    if name and len(shards) == 1:
        return os.path.join(folder, shards[0])
    return prefix if os.path.isfile(prefix) else None


def _in_folder(folder: str) -> str:
    names = _names(folder)
    if found := _of_saved_model(folder):
        return found
    if "saved_model.pb" in names:  # a graph without variables
        return os.path.join(folder, "saved_model.pb")
    if noted := _latest(os.path.join(folder, LATEST)):
        return noted
    indexes = sorted(name for name in names if name.endswith(".index"))
    if not indexes:  # opening it reports what kind of folder it is
        return folder
    if len(indexes) == 1:
        return os.path.join(folder, indexes[0])
    paths = (os.path.join(folder, name) for name in indexes)
    listed = (f"  {shell_word(file_argument(path))}" for path in paths)
    raise UserError(
        f"{folder} contains {len(indexes)} checkpoints; name one of them:", *listed
    )


def _of_saved_model(folder: str) -> str | None:
    index = os.path.join(folder, "variables", "variables.index")
    if not os.path.isfile(index):
        return None
    variables = os.path.dirname(index)
    if os.path.realpath(variables) != os.path.join(
        os.path.realpath(folder), "variables"
    ):
        raise UserError(f"{variables} is a link out of its folder; it is not followed.")
    return index


def _latest(path: str) -> str | None:
    """The checkpoint that a ``checkpoint`` file names, by base name: it may have moved."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return None
    with opened(path) as file:
        noted = NOTED.search(file.head().decode(errors="replace"))
    if noted is None:
        return None
    name = re.split(r"[/\\]", noted[1])[-1].replace(
        "-?????-of-", "-00000-of-"
    )  # the first shard
    prefix = os.path.join(os.path.dirname(path), name)
    found = _of_prefix(prefix)
    if found is None:
        raise UserError(f"{path} names {name}, which is not in its folder.")
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder or ".")
    except OSError:
        return []


def sidecar_path(path: str, name: str) -> str | None:
    """The path of the file ``name`` in the folder of ``path``; None if it is not there.

    UserError for a name or a link that leads out of it, and for no regular
    file.
    """
    folder = os.path.dirname(path)
    full = os.path.join(folder, name)
    if os.path.basename(name) != name or name in ("", ".", ".."):
        raise UserError(
            f"{path} names {name!r}, which is not in its folder; it is not opened."
        )
    if not os.path.lexists(full):
        return None
    real = os.path.realpath(full)
    if os.path.dirname(real) != os.path.realpath(folder or "."):
        raise UserError(
            f"{full} is a link out of its folder; copy the file there to have it read."
        )
    if not os.path.exists(real) or not stat.S_ISREG(os.stat(real).st_mode):
        raise UserError(f"{full} is not a regular file.")
    return full


@contextmanager
def open_sidecar(file: Opened, name: str) -> Iterator[Opened]:
    """Open the part that ``file`` calls ``name``; folders in the name are left out.

    UserError for standard input, a part that is missing or empty, and what
    `sidecar_path` refuses.
    """
    base = os.path.basename(name.replace("\\", "/"))
    if file.path is None:
        raise UserError(
            f"{file.source} names a part, {base!a}, in its folder: give the path of the file."
        )
    path = None if "\0" in base else sidecar_path(file.path, base)
    if path is None:
        raise UserError(
            f"{file.source} names a part, {base!a}, that is not in its folder."
        )
    with opened(path) as part:
        yield part


# ---- FILE:MEMBER: one array of a file that contains several


def split_member(source: str) -> tuple[str, str | None]:
    """FILE and MEMBER of ``FILE:MEMBER``; the member is None if the text is a file's name.

    FILE is the longest text before a colon that is a file, the prefix of a
    checkpoint, or ``-``; the member may contain colons:
    ``m.h5:lstm/kernel:0``.
    """
    if ":" not in source or os.path.lexists(source):
        return source, None
    file = source
    while ":" in file:
        file = file.rpartition(":")[0]
        if is_source(file):
            return file, source[len(file) + 1 :]
    return source, None


def is_source(path: str) -> bool:
    """Return whether a path is a file, the prefix of a checkpoint, or ``-``."""
    return (
        path == "-" or os.path.lexists(path) or (path != "" and main_file(path) != path)
    )


def is_standard_input(source: str | None) -> bool:
    """Return whether a source is ``-``, or a member of it."""
    return source is not None and split_member(source)[0] == "-"
