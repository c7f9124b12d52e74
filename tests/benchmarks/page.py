"""The page docs/performance.md: what was measured, in words, and the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Page(NamedTuple):
    """A text with a place ``{name}`` for the figures of each part."""

    text: str
    parts: Mapping[str, Sequence[str]]  # by name, the words of `python -m tests.benchmarks`

    def filled(self, figures: Mapping[str, str]) -> str:
        """The page."""
        return self.text.format(**figures)


PAGE = Page(
    """\
# Performance

<!-- written by python -m tests.benchmarks --page docs/performance.md -->

Each table is from one process. Its contenders take turns in every round, and a figure is the
median of the rounds. Figures are our time / theirs: below 1 is quicker. Shapes are (steps, batch,
inputs, units).

- *all gates*: our run that keeps every gate / our run that keeps h alone.
- *naive*: NumPy as one would write it first, with one product a step.
- *torch*: `torch.nn.LSTM`. *onnxruntime* and *openvino*: the operator LSTM of ONNX, which gives h
  alone.
- *products*: the matrix products of the steps and nothing else, as one block.

The times are those of one run in a process that is warm. With one thread they are seconds of the
processor, which other work on the machine moves less. `OPENBLAS_CORETYPE` and `OPENBLAS_L2_SIZE`
are unset: with either, OpenBLAS takes other kernels, so the benchmarks refuse to run.

## One thread

Batches, then single sequences and small batches. The frameworks compile a loop of their own for
these; our loop makes eight calls of NumPy a step, which take 2 microseconds together. The last
table shows how time grows with each size.

```text
{one}
```

## Two threads

The sequences of a batch are divided among two threads, and each contender has as many. These are
seconds of the clock, so both cores have to be free.

```text
{two}
```

## Whole processes

`lstm` as a command, from its start to its end. Ratios and rates are by the time of the processor.
Private memory is the most that the process had of its own.

```text
{processes}
```
""",
    {
        "one": ("--part", "loop", "--part", "few", "--part", "growth"),
        "two": ("--part", "loop", "--threads", "2"),
        "processes": ("--part", "processes"),
    },
)
