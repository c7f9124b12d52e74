"""Sentences of the documents about every command, every engine and every file are true."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from lstmcli.cli.group import COMMANDS
from lstmcli.engines import NAMES
from tests.benchmarks.__main__ import BLOCK, PAGE
from tests.docs.documents import documents
from tests.paths import TOP
from tests.transcripts.shell import Shell

CODE = re.compile(r"`([a-z-]+)`")


def test_contributing_fits_on_one_page() -> None:
    assert len((TOP / "CONTRIBUTING.md").read_text().splitlines()) <= 120


def commands_with(option: str) -> set[str]:
    modules = {name: import_module(f"lstmcli.cli.{name}") for name in COMMANDS}
    return {
        name
        for name, module in modules.items()
        if any(option in parameter.opts for parameter in module.command.params)
    }


def named(document: str, sentence: str) -> set[str]:
    """The commands that stand in the part of a document that a pattern matches."""
    match = re.search(sentence, (TOP / document).read_text(), re.S)
    assert match, sentence
    return {*CODE.findall(match[1])}


def test_the_commands_that_are_named_for_an_option_have_it() -> None:
    only = named("docs/formats.md", r"`--only h,f` chooses arrays, in (.*?)\.")
    assert only == commands_with("--only")
    assert named("docs/json.md", r"\n\n(`run`[^.]*) have `-f json`") == commands_with(
        "--format"
    )
    without = {*COMMANDS} - commands_with("--svg")
    for page in ("docs/commands/plot.md", "README.md"):
        assert named(page, r"`--svg FILE`[^.]*? but ([^.]*)\.") == without


def test_each_engine_is_an_extra_of_its_name() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    page = (TOP / "docs" / "commands" / "check.md").read_text()
    assert {*NAMES} <= {*project["optional-dependencies"]}
    assert "each is an extra of the same name" in page


def claims(text: str) -> Iterator[str]:
    """The lines of a document that claim more than is tried or tested."""
    for line in text.splitlines():
        if re.search(
            r"(in|under) every (other )?configuration|\bprov(es|ed)\b|only this conf",
            line,
        ):
            yield line


def test_the_documents_do_not_claim_a_proof_nor_every_configuration() -> None:
    found = {
        document: [*claims((TOP / document).read_text())] for document in documents()
    }
    assert not any(found.values()), found


HABITS = (
    r"\b(file|tensor|option|side|screen|header|name|row|remark|message|command)s? (says?|said)\b",
    r"\bsays? so\b|\bis said\b|\bwhat (no|neither) \w+ says?\b|\btold\b",
    r"(?<!here )\b(is|are) no (list|LSTM|mistake|number|object|proof|setting|tensor|text)s?\b",
    r"\b[Aa]n? (abbreviated )?print\b|\bthe print\b|\babbreviated prints\b",
    r"\bgreatest\b|\bnumber type\b|\bwhole numbers?\b|\bso many\b|\bas few\b",
    r"\b(taken as|taken for|read as) (?!they|those)|\bas [\w.' ]+ (have|has) (it|them)\b",
    r"\b(no|some)body\b|\b(bad|wrong) usage\b|\btrouble\b|\brefused by name\b",
    r"\b[Aa] line (for each|each|a )|\bbeside\b|\bcomes? to\b|\bwhat gives\b",
    r"\bturned (back|round)\b|\bpage to look at\b|\bpointed at\b",
    r'"""(What|That|Those|Whether) ',
    r"no setting '|\bwhere exactly one\b|\+1\.0\b|\de-0\d\b(?=.*\de-[1-9])",
)
"""Phrases that are mended everywhere, and their plain forms are in use."""


def test_no_habit_of_the_first_texts_comes_back() -> None:
    files = [*TOP.glob("lstmcli/**/*.py"), *TOP.glob("docs/**/*.md"), TOP / "README.md"]
    files += [
        TOP / "CONTRIBUTING.md",
        TOP / "CHANGELOG.md",
        *TOP.glob("tests/transcripts/*.console"),
    ]
    habits = re.compile("|".join(HABITS))
    found = [
        f"{path.relative_to(TOP)}:{number}: {match[0]}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := habits.search(line))
    ]
    assert not found, "\n".join(found)


def test_the_columns_that_readme_gives_for_a_tidy_table_are_those_of_its_sample(
    tmp_path: Path,
) -> None:
    readme = (TOP / "README.md").read_text()
    shown = re.search(r"--tidy > out\.csv +# (\S+)\.\.\.", readme)
    assert shown
    sample = "samples/forget-bias"
    command = f"lstm run {sample}/weights.npz {sample}/inputs.npy -f csv --tidy -q"
    assert Shell(tmp_path).run(command).out.startswith(shown[1])


def test_each_block_of_the_page_is_written_by_a_part() -> None:
    blocks = BLOCK.findall((TOP / "docs" / "performance.md").read_text())
    assert len(blocks) == len(PAGE)
    for words, block in zip(PAGE, blocks, strict=True):
        assert f"; threads {2 if '2' in words else 1}\n" in block
    for contender in ("naive", "torch", "onnxruntime", "openvino"):
        assert f"/ {contender}" in blocks[0]
