"""A plugin of pytest that keeps the tests named in a variable, in that order, with a limit of time.

It is loaded by `-p tests.mutation.selection`. A test that takes `SECONDS` ends the process: what is
broken may be the end of a loop.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

TESTS = "LSTM_MUTATION_TESTS"  # a JSON list of FILE::FUNCTION
SECONDS = 45


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Keep the tests that are named; of each function all parameters."""
    ranks = {name: rank for rank, name in enumerate(json.loads(os.environ[TESTS]))}

    def rank(item: pytest.Item) -> int:
        name = getattr(item, "originalname", item.name)
        return ranks.get(f"{item.path.relative_to(config.rootpath)}::{name}", -1)

    items[:] = sorted((item for item in items if rank(item) >= 0), key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test under the limit."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
