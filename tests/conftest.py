"""Options and marks of the tests."""

import os
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings

from lstmcli.formats.wire import hdf5
from tests.fuzz.kept import Kept


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update``: transcripts and documents get what commands show now."""
    parser.addoption(
        "--update", action="store_true", help="write what commands show now"
    )


settings.register_profile("fixed", derandomize=True, deadline=None)
# also where CI is set, for which Hypothesis has a profile that draws nothing
settings.register_profile("drawn", derandomize=False, deadline=None)


def pytest_configure(config: pytest.Config) -> None:
    """Let workers and the commands that tests start keep compiled modules, as pytest its cache.

    A command takes half the time then. Without pytest's cache, what the environment says counts.
    Hypothesis draws new examples for the wide tests alone.
    """
    asks_for_wide = config.getoption("markexpr").startswith("wide")
    settings.load_profile("drawn" if asks_for_wide else "fixed")
    if config.pluginmanager.has_plugin("cacheprovider"):
        sys.dont_write_bytecode = False
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(tryfirst=True)  # before -m deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all but the first of every n cases of a ``sampled(n)`` test as slow."""
    seen: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("sampled"):
            name = item.nodeid.partition("[")[0]
            if seen[name] % mark.args[0]:
                item.add_marker(pytest.mark.slow)
            seen[name] += 1


@pytest.fixture(scope="session")
def kept() -> Iterator[Kept]:
    """One process that reads HDF5, started by the first file."""
    process = Kept()
    yield process
    process.close()


@pytest.fixture(autouse=True)
def one_process_reads_hdf5(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kept: Kept
) -> None:
    """Spare tests that are about something else the process that a command starts for each file."""
    if not request.node.get_closest_marker("separate_process"):
        monkeypatch.setattr(hdf5, "_child", kept.answer)
