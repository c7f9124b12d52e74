"""The benchmarks' own rules; their figures are no test."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.benchmarks.__main__ import BLOCK, KERNELS, PAGE
from tests.paths import TOP


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_that_is_chosen_is_refused(name: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in KERNELS} | {name: "512"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--small"],
        cwd=TOP, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"{name}=512 would make other figures than users have; unset it:\n"
        f"  env -u {name} python -m tests.benchmarks\n"
    )


def test_each_block_of_the_page_is_written_by_a_part() -> None:
    blocks = BLOCK.findall((TOP / "docs" / "performance.md").read_text())
    assert len(blocks) == len(PAGE)
    for words, block in zip(PAGE, blocks, strict=True):
        assert f"; threads {2 if '2' in words else 1}\n" in block
    for contender in ("naive", "torch", "onnxruntime", "openvino"):
        assert f"/ {contender}" in blocks[0]
