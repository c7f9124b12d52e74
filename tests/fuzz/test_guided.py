"""Inputs of the fuzzer that coverage leads: what they stand for, and those that were kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import corpus, guided
from tests.fuzz.test_fuzz import output_of

READ = """
import sys
from pathlib import Path
from tests.fuzz import corpus, guided
from tests.fuzz.guard import Audit
from tests.fuzz.session import Session

audit, failed = Audit(), []
for format in sys.argv[1:]:
    samples = corpus.samples_of(format)
    with Session(audit, format, 0) as session:
        for number, path in enumerate(sorted((guided.CORPUS / format).iterdir())):
            variant = guided.variant_of(samples, path.read_bytes())
            failures = session.failures_of(variant, number)
            failed += [f"{format} {path.name}: {text}" for text in failures]
print(*failed, sep="\\n")
sys.exit(bool(failed))
"""


def test_an_input_chooses_a_sample_and_the_file_that_it_replaces(tmp_path: Path) -> None:
    samples = corpus.samples_of("tensorflow-v2")
    guided.seeds(samples, tmp_path)
    inputs = sorted(tmp_path.iterdir())
    assert len(inputs) == sum(len(sample.damaged) for sample in samples)
    for path in inputs:
        variant = guided.variant_of(samples, path.read_bytes())
        assert variant.files == variant.sample.files
    assert guided.variant_of(samples, b"").files != samples[0].files


def test_a_change_that_knows_the_format_is_repeated_by_its_seed() -> None:
    row, samples = corpus.TABLE["npz"], corpus.samples_of("npz")
    data = b"\1\0" + samples[1].files[samples[1].damaged[0]]
    changed = [guided.changed(row, samples, data, seed) for seed in (1, 1, 2)]
    assert changed[0] == changed[1] != changed[2]
    assert {one[:2] for one in changed} == {b"\1\0"}


def test_a_corpus_keeps_its_smallest_inputs(tmp_path: Path) -> None:
    for name, size in (("a", guided.KEPT), ("b", 10), ("c", 20)):
        (tmp_path / name).write_bytes(bytes(size))
    guided.pruned(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "c"]


@pytest.mark.wide
def test_the_inputs_that_were_kept_are_read_well() -> None:
    formats = sorted(path.name for path in guided.CORPUS.iterdir())
    assert formats == sorted(corpus.TABLE)
    output_of("-c", READ, *formats)
