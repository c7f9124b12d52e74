"""README, docs/ and the samples' walk show what the program prints, pictures included.

    pytest tests/test_docs.py --update

writes today's output into the documents, and draws the pictures.
"""

from __future__ import annotations

import math
import re
import shutil
import tomllib
from doctest import ELLIPSIS, DocTestParser, DocTestRunner
from importlib import import_module
from importlib.util import find_spec
from inspect import isfunction
from pathlib import Path
from pydoc import plain, render_doc
from typing import Any

import numpy as np
import pytest

import lstmcli
from lstmcli import testing
from lstmcli.api.diff import side_of
from lstmcli.cli.group import COMMANDS
from lstmcli.pytest_plugin import SAVE, UPDATE
from tests.docs.documents import BLOCK, MADE, PAGES, blocks, documents, drawn, filled
from tests.docs.schemas import SCHEMAS
from tests.paths import TOP
from tests.processes import python
from tests.transcripts.shell import Shell
from tests.transcripts.transcript import difference

README = (TOP / "README.md").read_text()
DOCS = TOP / "docs"
COMMAND = {name: DOCS / "commands" / f"{name}.md" for name in COMMANDS}


@pytest.mark.parametrize("document", documents())
def test_output_in_documents_is_that_of_the_program(
    document: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = TOP / document
    text = path.read_text()
    now = filled(text, tmp_path)
    if request.config.getoption("--update"):
        path.write_text(now)
    elif now != text:
        pytest.fail(difference(text, now), pytrace=False)


def test_screens_are_shown() -> None:
    """So that a pattern that finds nothing is noticed."""
    assert len(BLOCK.findall(README)) >= 3
    assert len(BLOCK.findall((DOCS / "tutorial.md").read_text())) >= 3
    assert len(MADE.findall((DOCS / "json.md").read_text())) >= 9


def test_the_picture_is_of_today_s_screen(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path, now = DOCS / "pictures" / "plot.svg", drawn(tmp_path)
    if request.config.getoption("--update"):
        path.write_text(now)
    assert now == path.read_text(), "pytest tests/test_docs.py --update draws it"


def test_every_command_has_a_page_with_its_options() -> None:
    assert sorted(COMMAND.values()) == sorted(DOCS.glob("commands/*.md"))
    for name, document in COMMAND.items():
        assert f"<!-- made: options {name} -->\n" in document.read_text()


@pytest.mark.parametrize("document", documents())
def test_commands_options_and_paths_in_documents_exist(document: str) -> None:
    """Commands, their options, extras, and paths of the checkout."""
    text = (TOP / document).read_text()
    group = import_module("lstmcli.cli.group").lstm
    commands = [
        group,
        *(import_module(f"lstmcli.cli.{name}").command for name in COMMANDS),
    ]
    options = {
        word
        for command in commands
        for parameter in command.params
        for word in parameter.opts
    }
    options |= {"--help", "--version", SAVE, UPDATE}
    blocks, other_programs = r"^```.*?^```$", r"<!--.*?-->|`python -m [^`]*`"
    prose = re.sub(f"{blocks}|{other_programs}", "", text, flags=re.S | re.M)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", prose)) <= options
    assert set(re.findall(r"`lstm ([a-z]+)\b", text)) <= {*COMMANDS}
    extras = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    named = re.findall(r"extra `(\w+)`|\.\[(\w+)\]", text)
    assert {word for pair in named for word in pair if word} <= {
        *extras["optional-dependencies"]
    }
    for path in re.findall(r"`((?:docs|samples|tests)/[\w/.-]+)`", text):
        assert (TOP / path).exists(), path


def test_every_schema_has_its_keys_shown() -> None:
    shown = re.findall(r"made: keys (\w+)", (DOCS / "json.md").read_text())
    assert set(shown) == {path.stem for path in SCHEMAS.glob("*.json")} - {"common"}


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_the_python_that_is_shown_runs(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(TOP / "samples" / "forget-bias", tmp_path, dirs_exist_ok=True)
    (tmp_path / "numpy.txt").rename(tmp_path / "expected.txt")
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"x": np.load("inputs.npy"), "expected": "expected.txt"}
    exec("".join(blocks(document)["python"]), known)
    assert (known["difference"].equal, known["explanation"].found) == (False, True)
    assert Path("out.npz").exists()


PUBLIC = {
    name: getattr(lstmcli, name) for name in lstmcli.__all__ if name != "__version__"
}
PUBLIC |= {"lstmcli": lstmcli} | {
    name: getattr(testing, name) for name in testing.__all__
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_examples_of_a_docstring_give_what_they_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Shell(tmp_path).run("lstm init --example demo")
    monkeypatch.chdir(tmp_path)
    known = {"lstmcli": lstmcli, "np": np, **PUBLIC}
    examples = DocTestParser().get_doctest(
        PUBLIC[name].__doc__, known, name, None, None
    )
    shown: list[str] = []
    found = DocTestRunner(optionflags=ELLIPSIS).run(examples, out=shown.append)
    assert (found.failed, found.attempted > 0) == (0, True), "".join(shown)


@pytest.mark.parametrize("name", PUBLIC)
def test_help_on_a_function_fits_on_two_screens(name: str) -> None:
    if isfunction(PUBLIC[name]):
        text = plain(render_doc(PUBLIC[name]))
        assert (
            sum(max(1, math.ceil(len(line) / 80)) for line in text.splitlines())
            <= 2 * 40
        )
        assert "\n    Raises\n" in text


# ---- the site


@pytest.mark.skipif(find_spec("material") is None, reason="needs the extra docs")
def test_the_site_has_no_broken_link(tmp_path: Path) -> None:
    words = ("-m", "mkdocs", "build", "-q", "--strict", "-d", str(tmp_path))
    done = python(*words)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(COMMANDS)
    assert {path.stem for path in (tmp_path / "pages").iterdir()} == {*PAGES}


# ---- README


def test_readme_opens_with_a_sentence_and_a_screen() -> None:
    title, sentence, screen = README.partition("## Quick start")[0].split("\n\n", 2)
    assert title.startswith("# ")
    assert len(re.findall(r"[.?](?=\s|$)", sentence)) == 1
    assert screen.startswith("```console\n$ lstm explain ")
    assert screen.endswith("```\n\n")
    assert README.count("\n") <= 200


def test_readme_says_what_each_format_keeps_of_a_run(tmp_path: Path) -> None:
    sample = TOP / "samples" / "forget-bias"
    trace = lstmcli.run(
        lstmcli.load(sample / "weights.npz"), np.load(sample / "inputs.npy")
    )
    kept: dict[tuple[bool, bool], list[str]] = {}
    for suffix in (".npz", ".json", ".jsonl", ".csv", ".tsv", ".npy", ".txt"):
        lstmcli.save(trace, tmp_path / f"out{suffix}")
        arrays = side_of(tmp_path / f"out{suffix}", "").arrays
        assert "z" not in arrays
        kept.setdefault(("final_h" in arrays, "c" in arrays), []).append(suffix)
    everything, steps, output = (
        " ".join(kept.pop(has)) for has in ((True, True), (False, True), (False, False))
    )
    assert (everything, kept) == (".npz .json", {})
    text = f"h, c, the gates and the final states, `{steps}` h, c and the gates, `{output}` only h."
    assert f"`-o out.npz` or `.json` saves {text}\nz is saved only" in README


def test_the_links_of_readme_work_in_a_checkout() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert len(links) > 20
    assert [link for link in links if not (TOP / link).exists()] == []


def test_quick_start_opens_with_two_commands_of_one_line() -> None:
    start = README.split("## Quick start\n")[1]
    blocks = re.findall(r"^```sh\n((?:(?!```).*\n)*)```$", start, re.M)
    assert len(blocks) == 2
    assert all(block.count("\n") == 1 for block in blocks)
