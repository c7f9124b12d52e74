"""``python -P asked.py TOP``: a pickled question on standard input, a line of JSON for it.

It runs with the package below TOP, which `PYTHONPATH` names, and imports only what users may.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import numpy as np

import lstmcli
from lstmcli.cli import invoke

Answer = dict[str, Any]


def answer_of(call: str, given: Mapping[str, Any]) -> Answer:
    """What the package answers; a refusal and a fault are answers too."""
    try:
        return CALLS[call](**given)
    except lstmcli.UserError as error:
        return {"refused": str(error)}
    except Exception as error:
        return {"fault": f"{type(error).__name__}: {error}"}


def _diff(sides: Sequence[Any], options: Mapping[str, Any]) -> Answer:
    found = lstmcli.diff(*sides, **options)
    return {"shown": repr(found), **found.to_json()}


def _run(weights: Any, inputs: Any, options: Mapping[str, Any]) -> Answer:
    trace = lstmcli.run(weights, inputs, **options)
    arrays = {name: _bits(array) for name, array in trace.members().items()}
    return {"shown": repr(trace), "arrays": arrays, "settings": dict(trace.settings)}


def _explain(asked: Sequence[Any], options: Mapping[str, Any]) -> Answer:
    found = lstmcli.explain(*asked, **options)
    edits = [str(edit) for edit in found.edits]
    return {**found.to_json(), "settings": dict(found.settings), "edits": edits}


def _commands(lines: Sequence[Sequence[str]]) -> Answer:
    """How command lines end, one after another, and the files that they leave."""
    ended = [_command(words) for words in lines]
    files = {str(path): _content(path) for path in Path().rglob("*") if path.is_file()}
    return {"ended": ended, "files": dict(sorted(files.items()))}


def _command(words: Sequence[str]) -> Answer:
    """The status and what stands on both streams, which are files."""
    with TemporaryFile() as out, TemporaryFile() as err:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        try:
            status: int | str = invoke(words)
        except Exception as error:
            status = f"{type(error).__name__}: {error}"
        sys.stdout.flush()
        sys.stderr.flush()
        shown = []
        for stream in (out, err):
            stream.seek(0)
            shown.append(stream.read().decode(errors="replace"))
    return {"status": status, "out": _parsed(shown[0]), "err": shown[1].splitlines()}


def _parsed(text: str) -> Any:
    """JSON as it is, another text by lines."""
    try:
        return json.loads(text)
    except ValueError:
        return text.splitlines()


def _content(path: Path) -> Any:
    """A text by lines, other bytes by a sum."""
    data = path.read_bytes()
    if path.suffix == ".safetensors":  # whose header has its names in any order
        start = 8 + int.from_bytes(data[:8], "little")
        return [_parsed(data[8:start].decode()), _sum(data[start:])]
    try:
        return _parsed(data.decode())
    except UnicodeDecodeError:
        return _sum(data)


def _bits(array: Any) -> list[Any]:
    data = np.ascontiguousarray(array).tobytes()
    if array.dtype == np.longdouble:  # six of its 16 bytes are whatever was there
        data = repr(array.tolist()).encode()
    return [array.dtype.name, list(array.shape), _sum(data)]


def _sum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


CALLS: dict[str, Callable[..., Answer]] = {
    "diff": _diff, "run": _run, "explain": _explain, "commands": _commands
}  # fmt: skip


def main(top: str) -> None:
    """Answer until standard input ends."""
    if Path(lstmcli.__file__).parents[1] != Path(top).resolve():
        sys.exit(f"{top} has no package lstmcli; {lstmcli.__file__} was imported")
    questions = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    while True:
        try:
            call, files, given = pickle.load(questions)
        except EOFError:
            return
        with TemporaryDirectory() as folder, chdir(folder):
            for name, data in files.items():
                Path(name).write_bytes(data)
            text = json.dumps(answer_of(call, given), default=repr)
            print(text.replace(folder, "FOLDER"), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
