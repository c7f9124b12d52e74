"""The JSON Schemas of ``docs/schemas``, and whether what a command prints is as its schema says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn

from tests.paths import TOP

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

SCHEMAS = TOP / "docs" / "schemas"
LARGEST = (
    100_000  # characters of an output that is validated: larger ones are arrays alone
)
INSTALLED = (
    find_spec("jsonschema") is not None
)  # by the extra test; test_schemas needs it


@cache
def validator(name: str) -> Draft202012Validator:
    """The validator of a schema by its name: ``diff``."""
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    schemas = {
        path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")
    }
    registry: Registry[Any] = Registry().with_resources(
        [(file, Resource.from_contents(schema)) for file, schema in schemas.items()]
    )
    return Draft202012Validator({"$ref": f"{name}.json"}, registry=registry)


def problems(name: str, document: Any) -> list[str]:
    """The parts of a document that do not follow its schema."""
    found = validator(name).iter_errors(document)
    return [f"{error.json_path}: {error.message[:300]}" for error in found]


def validate(name: str, document: Any) -> None:
    """Assert that a document is as its schema says.

    Raises
    ------
    AssertionError
        naming each member that is not.
    """
    found = problems(name, document)
    assert not found, f"docs/schemas/{name}.json: {found}"


def validate_output(words: Sequence[str], output: str) -> None:
    """Validate what a command printed, if its words ask for JSON or JSON lines."""
    format = words[words.index("-f") + 1] if "-f" in words[:-1] else ""
    if (
        not INSTALLED
        or format not in ("json", "jsonl")
        or not 0 < len(output) <= LARGEST
    ):
        return
    texts = output.splitlines() if format == "jsonl" else [output]
    name = "check_program" if "--program" in words else words[0]
    for text in texts:
        document = json.loads(text, parse_constant=_no_json)
        validate("step" if format == "jsonl" else name, document)


def _no_json(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")
