"""Passages of documents that are made from the program, the schemas and the recorded cases."""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import numpy as np

import lstmcli
from lstmcli.cli.command import default_in_words, grouped
from lstmcli.core.explain.causes import CAUSES, ZERO_STATE
from lstmcli.core.explain.wording import TEXTS, value_of
from lstmcli.core.model.conventions import CONVENTIONS
from lstmcli.core.model.edits import ANY, EDITS, HIDES, Edit
from lstmcli.core.model.settings import SETTINGS
from lstmcli.views.conventions import COLUMNS, LEGEND, description
from tests.docs.schemas import SCHEMAS
from tests.paths import TESTS, TOP
from tests.recorded import read

DEEPEST = 3  # dots in a key: deeper ones are in the schema's file alone


def passage(name: str) -> str:
    """The passage of a name: a maker, and what it is given (``keys diff``)."""
    maker, *words = name.split()
    return MAKERS[maker](*words)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(head)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |"
        for line in lines
    )


# ---- the keys of JSON documents

Schema = Mapping[str, Any]


def keys(name: str) -> str:
    """A row for each key of a JSON document, from its schema."""
    schema = _schema(name)
    if "anyOf" in schema:  # a list, or one of its items
        schema = schema["$defs"]["row"]
    return _table(("key", "type", "meaning"), _key_rows(schema, name, "", frozenset()))


def _schema(name: str) -> Schema:
    schema: Schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    return schema


def _key_rows(
    schema: Schema, file: str, path: str, above: frozenset[str]
) -> Iterator[tuple[str, str, str]]:
    """The rows of an object's keys, those of objects in it below; ``above`` are those it is in."""
    members = dict(schema.get("properties", {}))
    patterns = schema.get("patternProperties", {}).values()
    members |= {one["title"]: one for one in patterns if "title" in one}
    required = schema.get("required", ())
    for key, member in members.items():
        meaning = member.get("description", "") + " May be absent." * (
            key not in required
        )
        yield f"`{path}{key}`", _type(member), meaning.strip()
        ending, inner, of_file, reference = _objects(member, file)
        if inner and reference not in above and path.count(".") < DEEPEST:
            yield from _key_rows(
                inner, of_file, f"{path}{key}{ending}.", above | {reference}
            )


def _objects(member: Schema, file: str) -> tuple[str, Schema | None, str, str]:
    """The object with named keys that a member is or contains, and where its schema is."""
    ending, reference = "", ""
    while "properties" not in member:
        if "$ref" in member:
            reference = member["$ref"]
            name, _, inside = reference.partition("#/$defs/")
            file = name.removesuffix(".json") or file
            reference = f"{file}#{inside}"
            member = _schema(file)["$defs"][inside] if inside else _schema(file)
        elif member.get("type") == "array" and "items" in member:
            ending, member = f"{ending}[]", member["items"]
        elif isinstance(member.get("additionalProperties"), dict):
            ending, member = f"{ending}.NAME", member["additionalProperties"]
        elif "anyOf" in member:
            member = member["anyOf"][0]
        else:
            return "", None, file, reference
    return ending, member, file, reference


def _type(member: Schema) -> str:
    if "$ref" in member:
        word = member["$ref"].rpartition("/")[2].removesuffix(".json")
        return {"number_or_null": "number or null", "shape": "array"}.get(
            word, word if word in ("number", "array") else "object"
        )
    if "enum" in member:
        return " or ".join(f"`{value}`" for value in member["enum"])
    if "anyOf" in member:
        return " or ".join(dict.fromkeys(_type(one) for one in member["anyOf"]))
    kinds = member.get("type", "any")
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


PACKAGE = Path(lstmcli.__file__).parent  # installed, where the checkout has none
WITH_CODES = {"Hint", "remark", "Remark", "Pattern", "Rearrangement"}
"""Calls whose first argument is a code."""


def codes(package: str) -> str:
    """The codes that a package of core gives its remarks: those with a text, or of its source."""
    if package == "explain":
        return ", ".join(f"`{code}`" for code in sorted(TEXTS))
    trees = (
        ast.parse(path.read_text())
        for path in (PACKAGE / "core" / package).rglob("*.py")
    )
    found = {
        code for tree in trees for node in ast.walk(tree) for code in _codes_of(node)
    }
    return ", ".join(f"`{code}`" for code in sorted(found))


def _codes_of(node: ast.AST) -> Iterator[str]:
    """The codes of a call, in the rows of a loop over ``code, ...``, or of a dict with ``code``."""
    match node:
        case ast.Call(func=ast.Name(id=name), args=[ast.Constant(value=str(code)), *_]):
            if name in WITH_CODES:
                yield code
        case ast.For(
            target=ast.Tuple(elts=[ast.Name(id="code"), *_]), iter=ast.Tuple(elts=rows)
        ):
            for row in rows:
                match row:
                    case ast.Tuple(elts=[ast.Constant(value=str(code)), *_]):
                        yield code
        case ast.Dict(keys=keys, values=values):
            for key, value in zip(keys, values, strict=True):
                match key, value:
                    case ast.Constant(value="code"), ast.Constant(value=str(code)):
                        yield code
                    case ast.Constant(value=bool()), ast.Tuple(
                        elts=[ast.Constant(value=str(code)), _]
                    ):
                        yield code


# ---- tables of the program


def conventions() -> str:
    """The table of ``lstm conventions``."""
    rows = (
        [*(cell(row) for cell in COLUMNS.values()), description(row)]
        for row in CONVENTIONS.values()
    )
    legend = "\n".join(f"- `{heading}`: {text}." for heading, text in LEGEND.items())
    return f"{_table([*COLUMNS, 'what'], rows)}\n\n{legend}"


def values() -> str:
    """A row for each setting: what it means, and its values."""
    rows = (
        (
            f'<a id="{name}"></a>`{name}`',
            f"{setting.help} {setting.rule}".strip(),
            ", ".join(f"`{word}`" for word in setting.choices) or setting.values,
            setting.default,
        )
        for name, setting in SETTINGS.items()
    )
    return _table(("setting", "meaning", "values", "default"), rows)


def settings() -> str:
    """A row for each setting that `lstm explain` changes."""
    rows = (
        (
            f"`{name}`",
            cause.name or name.replace("_", " "),
            _each(cause.hides, name),
            cause.shows,
            _each(cause.used_by, name) or "conventions differ: `lstm conventions`",
            f"`{cause.mend}`",
        )
        for name, cause in CAUSES.items()
    )
    head = (
        "setting",
        "what it is",
        "why it hides",
        "what shows it",
        "who does it",
        "correct",
    )
    return _table(head, rows)


def _each(texts: Mapping[Any, str] | str, name: str) -> str:
    """The texts on the values of a setting, each once."""
    said: dict[str, list[str]] = {}
    for value, text in ({None: texts} if isinstance(texts, str) else texts).items():
        if text.startswith(ZERO_STATE):
            idle = text.removeprefix(ZERO_STATE)
            text = f"At the first step the state is zero, so that {idle} has no effect"
        said.setdefault(text, []).append("" if value is None else value_of(name, value))
    return "; ".join(
        f"{', '.join(v)}: {text}" if all(v) else text for text, v in said.items()
    )


def edits(family: str) -> str:
    """A row for each edit of a family."""
    rows = (
        (
            f"`{name}`", Edit(name, ANY).words, kind.shows, kind.used_by,
            f"`{Edit(name, ANY).code}`", f"`{kind.mend}`",
        )
        for name, kind in EDITS.items()
        if kind.family == family
    )  # fmt: skip
    head = ("edit", "what it is", "what shows it", "who does it", "mistake", "correct")
    return f"{HIDES[family]}.\n\n{_table(head, rows)}"


# ---- the command line


def options(name: str) -> str:
    """The options of a command under the headings of its help, each with an anchor."""
    command = import_module(f"lstmcli.cli.{name}").command
    context = click.Context(
        command, info_name=f"lstm {name}", help_option_names=["-h", "--help"]
    )
    given = {
        p.name: p for p in command.get_params(context) if isinstance(p, click.Option)
    }
    rows = {n: row for n, p in given.items() if (row := p.get_help_record(context))}
    head, tables = ("option", "meaning"), {}
    for heading, names in grouped(rows).items():
        in_order = sorted(
            names, key=lambda n: "--help" in given[n].opts
        )  # last in any click
        tables[heading] = _table(head, (_option(given[n], rows[n]) for n in in_order))
    return "\n\n".join(f"**{heading}**\n\n{table}" for heading, table in tables.items())


def _option(option: click.Option, row: tuple[str, str]) -> tuple[str, str]:
    anchor = max(option.opts, key=len).lstrip("-")
    text = default_in_words(row[1])
    name = f'<a id="{anchor}"></a><code>{escape(row[0])}</code>'
    return name, " ".join(escape(text, quote=False).replace("[", "\\[").split())


# ---- extras

EXTRAS = {
    "h5": "`.h5` and `.keras` files", "safetensors": "`.safetensors` files",
    "gguf": "`.gguf` files", "onnx": "`.onnx` files, `convert --to onnx`",
    "crc32c": "checksums of TensorFlow's checkpoints, faster",
    "formats": "all of the above",
    "torch": "`check` and `--engine torch`",
    "onnxruntime": "`check` and `--engine onnxruntime`",
    "openvino": "`check` and `--engine openvino`", "keras": "`check` and `--engine keras`",
    "tensorflow": "`check` and `--engine tensorflow`", "jax": "`check` and `--engine jax`",
    "dask": "`run --scheduler`", "plot": "`plot -o figure.png`",
    "docs": "this site", "fuzz": "fuzzing", "test": "the tests", "dev": "all checks",
}  # fmt: skip


def extras() -> str:
    """The extras of the package, and what each is for."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    each = project["optional-dependencies"]
    rows = (
        (f"`{name}`", EXTRAS[name], ", ".join(f"`{n}`" for n in each[name]))
        for name in each
    )
    return _table(("extra", "what it is for", "installs"), rows)


# ---- recorded cases


def recorded() -> str:
    """How many cases of each version of a framework are compared, and of which conventions."""
    found: dict[str, list[str]] = {}
    for path in sorted((TESTS / "golden").glob("*/*.npz")):
        with np.load(path) as members:
            record = json.loads(str(members["case"])) if "case" in members else {}
        if "version" in record:
            found.setdefault(record["version"], []).append(record.get("convention", ""))
    rows = (
        (version, str(len(names)), ", ".join(sorted({f"`{n}`" for n in names if n})))
        for version, names in sorted(found.items(), key=lambda item: item[0].lower())
    )
    return _table(("framework and version", "cases", "conventions"), rows)


PADDED = {  # calls, by a record of each
    "torch/packed": "PyTorch: `pack_padded_sequence`",
    "keras/mask": "Keras 3: a mask",
    "keras/mask_with_holes": "Keras 3: a mask with holes",
    "keras/mask_zero_output": "Keras 3: `zero_output_for_mask=True`",
    "keras/bidirectional_mask": "Keras 3: a mask of `Bidirectional`",
    "keras_masking/forgotten": "Keras 3: `Masking`, `LSTM`, `LSTM`",
    "tf_keras/mask": "tf_keras: a mask",
    "tensorflow1/sequence_length": "TensorFlow: `dynamic_rnn(sequence_length=)`",
    "onnxruntime/lengths_zero": "ONNX `sequence_lens`: onnxruntime",
    "openvino/lengths_zero": "ONNX `sequence_lens`: OpenVINO",
    "paddle/lengths": "Paddle: `sequence_length=`",
    "sonnet/lengths": "Sonnet 2: `dynamic_unroll(sequence_length=)`",
    "flax/linen_lengths": "flax: `RNN(seq_lengths=)`",
    "lasagne/mask": "Lasagne: `mask_input`",
}


def padding() -> str:
    """Recorded outputs and final states of each framework past the end of a sequence."""
    head = ("call", "h past the end", "final state", "of length 0", "recorded")
    return _table(head, ([call, *_padded(name)] for name, call in PADDED.items()))


def _padded(name: str) -> Iterator[str]:
    about, record = read(name)
    h = record["h"].squeeze(tuple(n for n in (1, 2) if record["h"].shape[n] == 1))
    h = h.swapaxes(0, 1) if about["layout"] == "time" else h  # (B, T, K)
    steps, items = np.arange(h.shape[1]), np.arange(len(h))
    valid = (
        record["mask"] > 0 if "mask" in record else steps < record["lengths"][:, None]
    )
    last = np.maximum.accumulate(
        np.where(valid, steps, 0), axis=1
    )  # (B, T): the last valid step
    repeated = np.allclose(h, h[items[:, None], last], atol=1e-6)
    yield (
        "zero"
        if not h[~valid].any()
        else "the last valid h again"
        if repeated
        else "runs on"
    )
    states = [record[n] for n in ("final_h", "initial_state.h") if n in record]
    forward = [one.reshape(-1, len(h), one.shape[-1])[0] for one in states]  # (B, P)
    agrees = kept = "-"
    if len(forward) == 2:
        (final, initial), some = forward, valid.any(axis=1)
        at_last = h[items, last[:, -1], : final.shape[1]]
        agrees = (
            "of the last valid step"
            if np.allclose(final[some], at_last[some])
            else "another"
        )
        if not some.all():
            kept = "zero" if not final[~some].any() else "the initial state"
            assert kept == "zero" or np.array_equal(final[~some], initial[~some])
    yield from (agrees, kept)
    yield str(about["version"])


MAKERS = {
    maker.__name__: maker
    for maker in (
        keys, codes, conventions, values, settings, edits, options, extras, recorded, padding,
    )
}  # fmt: skip
