"""The pytest plugin: `lstm_golden` compares with a file next to the test, and writes it on request.

Every pytest imports this module where lstmcli is installed, so NumPy, and what
needs it, is imported where the fixture is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lstmcli.escaping import file_name

UPDATE, SAVE = "--lstm-update", "--lstm-save"
PASSED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("lstm", "outputs of LSTMs (lstmcli)")
    group.addoption(
        UPDATE,
        action="store_true",
        help="Write the files that lstm_golden compares with.",
    )
    group.addoption(
        SAVE,
        metavar="DIR",
        help="Write what assert_lstm_close finds different, and its inputs.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Name the folder of --lstm-save to `lstmcli.testing`, which is imported later."""
    folder = config.getoption(SAVE)
    if folder:
        changed = pytest.MonkeyPatch()
        changed.setenv("LSTM_SAVE", os.path.abspath(folder))
        config.add_cleanup(changed.undo)


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Note whether a test passed, until then lstm_golden writes nothing."""
    if call.when == "call":
        item.stash[PASSED] = call.excinfo is None


@pytest.fixture
def lstm_golden(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """``lstm_golden(actual)`` compares with ``TESTFILE/TESTNAME.npz`` next to the test file.

    ``actual`` is an array, a tensor, a trace, or a dict of arrays by name; a
    test that compares several names each, as in ``lstm_golden(actual,
    name="second")``. Other arguments are those of
    `lstmcli.testing.assert_lstm_close`. With ``--lstm-update`` the file is
    written instead, once the test has passed.
    """
    compared: set[Path] = set()
    to_write: dict[Path, Any] = {}

    def compare(actual: Any, *, name: str = "", **given: Any) -> None:
        __tracebackhide__ = True
        from lstmcli.testing import assert_lstm_close, in_memory

        path, here = golden_path(request.node, name), Path.cwd()
        if path in compared:
            pytest.fail(
                f"{path.name} was compared in this test: name=... distinguishes two",
                False,
            )
        compared.add(path)
        short = path
        if path.is_relative_to(here):
            short = path.relative_to(here)
        if not request.config.getoption(UPDATE):
            if not path.exists():
                pytest.fail(f"there is no {path}: pytest {UPDATE} writes it", False)
            assert_lstm_close(actual, short, **given)
            return
        if path.is_symlink():
            pytest.fail(f"{short} is a link; remove it, or write what it names", False)
        side = in_memory(actual)
        try:
            assert_lstm_close(side, side, **{**given, "explain": False})
        except AssertionError as error:
            text = f"{short} is not written: what it gets does not equal itself"
            pytest.fail(f"{text}\n{error}", False)
        to_write[path] = side

    yield compare
    if request.config.getoption(UPDATE) and request.node.stash.get(PASSED, False):
        from lstmcli.testing import write_golden

        for path, side in to_write.items():
            write_golden(path, side)


def golden_path(test: pytest.Item, name: str = "") -> Path:
    """``TESTFILE/TESTNAME.npz``; what stands in no file name is quoted as in an address."""
    nodes = (pytest.Class, pytest.Item)
    names = [node.name for node in test.listchain() if isinstance(node, nodes)]
    if name:
        names.append(name)
    return test.path.with_suffix("") / f"{file_name('.'.join(names))}.npz"
