"""The benchmarks' own rules; their figures are no test."""

from __future__ import annotations

from tests.benchmarks.__main__ import BLOCK, PAGE
from tests.paths import TOP


def test_each_block_of_the_page_is_written_by_a_part() -> None:
    blocks = BLOCK.findall((TOP / "docs" / "performance.md").read_text())
    assert len(blocks) == len(PAGE)
    for words, block in zip(PAGE, blocks, strict=True):
        assert f"; threads {2 if '2' in words else 1}\n" in block
    for contender in ("naive", "torch", "onnxruntime", "openvino"):
        assert f"/ {contender}" in blocks[0]
